/*-------------------------------------------------------------------------
 *
 * rename.c
 *	  rename_account(): an account whose key changes.
 *
 * Subscription, counter and ledger get the new key here; the application changes that of the
 * contacts, later in the same transaction (contact/renamed.c; src/README, "Renaming an account").
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/json.h"

#include "manage/manage.h"

/* An account that is being renamed */
typedef struct Renaming
{
	const CtManaged *tables;	/* that share companion tables */
	int			ntables;
	const CtTable *table;		/* the first of them */
	const char *account_type;
	Datum		former;
	Datum		account;
} Renaming;

/* A key as a literal of the account's type */
static char *
literal(const Renaming *renaming, Datum account)
{
	return psprintf("%s::%s", quote_literal_cstr(ct_account_text(renaming->table, account)), renaming->account_type);
}

/* Run a statement on companion tables; $1 is the former key, $2 the new one. */
static uint64
execute(const Renaming *renaming, const char *text)
{
	Oid			types[] = {renaming->table->account_type, renaming->table->account_type};
	Datum		values[] = {renaming->former, renaming->account};

	return ct_execute_now(ct_sql(renaming->table, text), lengthof(types), types, values);
}

/*
 * A key that this transaction has given up stands for the account that had it, until the end.
 * Errors: 55000.
 */
static void
check_not_renamed(const Renaming *renaming, Datum account)
{
	if (ct_is_renamed(renaming->table, account))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("account \"%s\" has already been renamed in this transaction",
						ct_account_text(renaming->table, account)),
				 errhint("Commit the transaction first."),
				 ct_errtable(renaming->table->relid)));
}

/*
 * Does anything have the former key?  An account without subscription and history is one if it
 * has contacts.  Errors: 42704.
 */
static void
check_known(const Renaming *renaming)
{
	bool		known = execute(renaming, "SELECT FROM {account} WHERE account {=} $1 LIMIT 1") > 0 ||
		execute(renaming, "SELECT FROM {counter} WHERE account {=} $1 LIMIT 1") > 0 ||
		execute(renaming, "SELECT FROM {ledger} WHERE account {=} $1 LIMIT 1") > 0;

	for (int i = 0; i < renaming->ntables && !known; i++)
		known = ct_has_contacts(&renaming->tables[i], renaming->former);
	if (!known)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("account \"%s\" does not exist", ct_account_text(renaming->table, renaming->former)),
				 errdetail("The account has no contacts, no subscription and no history."),
				 ct_errtable(renaming->table->relid)));
}

/*
 * Is the new key free?  Contacts may have it already, if no marketing contact among them: those
 * of two accounts would be one count then.  What its counter has is deleted; the slots of both
 * are locked.  Errors: 22023, 42710, 55000.
 */
static void
claim_key(const Renaming *renaming)
{
	const char *account = ct_account_text(renaming->table, renaming->account);
	int64		used;

	if (!ct_account_fits(renaming->table, renaming->account))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the account is too long to be subscribed"),
				 ct_errtable(renaming->table->relid)));
	used = ct_ledger_withdraw(renaming->table, renaming->account).marketing;
	if (execute(renaming, "SELECT FROM {account} WHERE account {=} $2") > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("account \"%s\" has a subscription of its own", account),
				 errdetail("The subscription may have ended; its history remains."),
				 ct_errtable(renaming->table->relid)));
	if (used != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg_plural("account \"%s\" has %lld marketing contact of its own",
							   "account \"%s\" has %lld marketing contacts of its own",
							   used, account, (long long) used),
				 ct_errtable(renaming->table->relid)));
	execute(renaming, "DELETE FROM {counter} WHERE account {=} $2");
}

/*
 * The key in the companion tables.  An UPDATE of the ledger is not for its owner, but for this.
 */
static void
change_key(const Renaming *renaming)
{
	Relation	ledger = ct_open_companion(renaming->table, CT_LEDGER, RowExclusiveLock);

	execute(renaming, "UPDATE {counter} SET account = $2 WHERE account {=} $1");
	execute(renaming, "UPDATE {account} SET account = $2 WHERE account {=} $1");
	ct_execute_unchecked_by_index(RelationGetRelid(ledger),
								  ct_sqlf(renaming->table, "UPDATE {ledger} SET account = %s WHERE account {=} %s",
										  literal(renaming, renaming->account), literal(renaming, renaming->former)));
	table_close(ledger, NoLock);
}

static char *
details_of(const Renaming *renaming)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "{\"from\": ");
	escape_json(&buf, ct_account_text(renaming->table, renaming->former));
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

/*
 * Rename an account, in all tables that share its companion tables, which are locked against
 * writers.  Dates that have passed come first, while contacts and companion tables have one key.
 */
static void
rename_account(const Renaming *renaming)
{
	int64		count;

	check_not_renamed(renaming, renaming->former);
	check_not_renamed(renaming, renaming->account);
	check_known(renaming);
	(void) ct_catch_up(renaming->table, renaming->former, NULL);
	claim_key(renaming);
	count = ct_ledger_withdraw(renaming->table, renaming->former).marketing;
	change_key(renaming);
	ct_ledger_record(renaming->table, renaming->account, "rename_account", count, details_of(renaming));
	ct_note_renamed(renaming->table, renaming->former, renaming->account);
	ct_source_forget();
}

PG_FUNCTION_INFO_V1(contacts_tier_rename_account);

/*
 * rename_account(contacts regclass, account text, new_account text) void
 * the same with (regclass, anyelement, anycompatible)
 *
 * To be called before the account column of the contacts changes, in the same transaction; at
 * its end no contact must have the former key (ct_check_renamed()).  Nothing is done where
 * both keys are equal.
 *
 * Locks: the attached tables that share companion tables, against writers, in the order of their
 * OIDs; the slots of both accounts, the account row, and the entries of the ledger.  Errors:
 * 22004, 22023, 25006, 42501, 42704 (no such account), 42710 (the new key is subscribed),
 * 55000 (not attached; marketing contacts of the new key; a statement on contacts is running; a
 * key was given up before), those of ct_catch_up() and of the account's input function.
 */
Datum
contacts_tier_rename_account(PG_FUNCTION_ARGS)
{
	List	   *relids;
	CtManaged  *tables;
	char	   *former;
	char	   *account;
	Renaming	renaming;

	ct_check_account_not_null(fcinfo);
	ct_check_not_null(fcinfo, 2, "new_account");
	PreventCommandIfReadOnly("rename_account()");
	PreventCommandIfParallelMode("rename_account()");
	if (ct_is_dispatched(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("accounts of table \"%s\" cannot be renamed", get_rel_name(PG_GETARG_OID(0))),
				 errdetail("Citus distributes the table by the account, whose value it does not change in rows that exist."),
				 ct_errtable(PG_GETARG_OID(0))));
	ct_check_owner(PG_GETARG_OID(0));
	former = ct_account_argument(fcinfo, 1);
	account = ct_account_argument(fcinfo, 2);
	tables = ct_manage_sharing(PG_GETARG_OID(0), ShareRowExclusiveLock, &relids);
	renaming.tables = tables;
	renaming.ntables = list_length(relids);
	renaming.table = tables[0].table;
	renaming.account_type = tables[0].account_type;
	renaming.former = ct_managed_account(&tables[0], former);
	renaming.account = ct_managed_account(&tables[0], account);
	if (ct_account_compare(renaming.table, renaming.former, renaming.account) != 0)
		rename_account(&renaming);
	ct_manage_end_group(tables, list_length(relids));
	PG_RETURN_VOID();
}
