/*-------------------------------------------------------------------------
 *
 * renamed.c
 *	  Accounts that this transaction has renamed (rename_account()).
 *
 * The companion tables have the new key at once, the contacts as soon as the application
 * changes them, in the same transaction.  Until that ends the former key is another name of the account:
 * each row that is read gets the new key, and so does each row that SQL counts.  So a contact whose key
 * changes stays in its account, and nothing is counted.
 *
 * At the commit no contact may have the former key any more, which stands for another account
 * then: that is checked, and an error otherwise, as a deferred constraint would do it.  A
 * rename that is rolled back with its subtransaction leaves nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "contact/contact.h"

/* An account that has been renamed; in TopTransactionContext */
typedef struct Renamed
{
	CtXactNote	note;			/* must be first */
	CtTable		table;			/* one of those with its contacts; a copy */
	Datum		former;			/* its key before */
	Datum		account;		/* and now */
} Renamed;

static void check_at_end(bool prepared);

static CtXactList renames = {.before_end = check_at_end};

/*
 * Add the list of renamed accounts, so that they end with subtransactions.
 */
void
ct_renamed_init(void)
{
	ct_xact_list_add(&renames);
}

/* The rename that has given up a key; NULL if none has.  There is one at most. */
static const Renamed *
find_rename(const CtTable *table, Datum account)
{
	slist_iter	iter;

	slist_foreach(iter, &renames.notes)
	{
		const Renamed *renamed = slist_container(Renamed, note.node, iter.cur);

		if (ct_names_equal(&renamed->table.names, &table->names) &&
			renamed->table.account_type == table->account_type &&
			ct_account_compare(table, renamed->former, account) == 0)
			return renamed;
	}
	return NULL;
}

/*
 * Has this transaction renamed an account of any table?
 */
bool
ct_has_renamed(void)
{
	return !slist_is_empty(&renames.notes);
}

/*
 * Note that an account has another key from now on.  Neither of the keys is one that this
 * transaction has given up already (ct_is_renamed()), so renames form no circle.
 */
void
ct_note_renamed(const CtTable *table, Datum former, Datum account)
{
	Renamed    *renamed = MemoryContextAlloc(TopTransactionContext, sizeof(Renamed));

	ct_table_copy(&renamed->table, table, TopTransactionContext);
	renamed->former = ct_account_copy(table, former, TopTransactionContext);
	renamed->account = ct_account_copy(table, account, TopTransactionContext);
	ct_xact_note(&renames, &renamed->note);
}

/*
 * Has this transaction given up the key of an account?
 */
bool
ct_is_renamed(const CtTable *table, Datum account)
{
	return find_rename(table, account) != NULL;
}

/*
 * The key that an account has now; the value lives as long as the transaction, or is the one
 * that was given.
 */
Datum
ct_renamed_account(const CtTable *table, Datum account)
{
	const Renamed *renamed;

	while ((renamed = find_rename(table, account)) != NULL)
		account = renamed->account;
	return account;
}

/*
 * The same as an SQL expression, for the account in a column of contacts.
 */
const char *
ct_renamed_account_sql(const CtTable *table, const char *column)
{
	const char *type = ct_type_name(table->account_type);
	StringInfoData buf;
	slist_iter	iter;

	if (!ct_has_renamed())
		return column;
	initStringInfo(&buf);
	appendStringInfoString(&buf, "CASE");
	slist_foreach(iter, &renames.notes)
	{
		const Renamed *renamed = slist_container(Renamed, note.node, iter.cur);

		if (find_rename(table, renamed->former) == renamed)
			appendStringInfoString(&buf, ct_sqlf(table, " WHEN %s {=} %s::%s THEN %s::%s", column,
												 quote_literal_cstr(ct_account_text(table, renamed->former)), type,
												 quote_literal_cstr(ct_account_text(table, ct_renamed_account(table, renamed->former))), type));
	}
	if (strcmp(buf.data, "CASE") == 0)
		return column;
	appendStringInfo(&buf, " ELSE %s END", column);
	return buf.data;
}

/* 55000, or 40001 where it is the snapshot of the transaction that does not show them */
static void
still_there_error(Relation rel, const Renamed *renamed)
{
	const char *former = ct_account_text(&renamed->table, renamed->former);

	ereport(ERROR,
			(errcode(IsolationUsesXactSnapshot() ? ERRCODE_T_R_SERIALIZATION_FAILURE :
					 ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("contacts of \"%s\" still have account \"%s\", which was renamed",
					RelationGetRelationName(rel), former),
			 errdetail("The account is called \"%s\" now.", ct_account_text(&renamed->table, renamed->account)),
			 errhint("Change the account column of its contacts in the same transaction, after contacts_tier.rename_account()."),
			 errtable(rel)));
}

/*
 * Has an attached table contacts of an account, also such as this transaction cannot see?
 */
bool
ct_has_contacts(const CtManaged *managed, Datum account)
{
	return ct_execute_latest(ct_sqlf(managed->table, "SELECT FROM %s WHERE %s {=} %s::%s LIMIT 1",
									 ct_qualified_name(managed->rel), ct_table_column(managed->table, CT_ARG_ACCOUNT),
									 quote_literal_cstr(ct_account_text(managed->table, account)),
									 managed->account_type)) > 0;
}

static void
check_table(Oid relid, const Renamed *renamed)
{
	CtManaged	managed;

	ct_read_open(&managed, relid);
	ct_read_begin(&managed);
	if (ct_has_contacts(&managed, renamed->former))
		still_there_error(managed.rel, renamed);
	ct_manage_end(&managed);
}

/*
 * Check that no contact has a key any more that this transaction has given up, in any table
 * with which the account shares companion tables.  Errors: 55000, 40001.
 */
void
ct_check_renamed(void)
{
	slist_iter	iter;

	slist_foreach(iter, &renames.notes)
	{
		const Renamed *renamed = slist_container(Renamed, note.node, iter.cur);
		List	   *relids = ct_attached_tables(&renamed->table.names);
		ListCell   *cell;

		foreach(cell, relids)
			check_table(lfirst_oid(cell), renamed);
	}
}

/* Of the list */
static void
check_at_end(bool prepared)
{
	ct_check_renamed();
}
