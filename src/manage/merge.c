/*-------------------------------------------------------------------------
 *
 * merge.c
 *	  Merging two contacts into one (rule P5).
 *
 * A merge is a write of its caller's: with his privileges, under his search_path, and with his
 * triggers, as if he had written the statement.  One statement deletes the loser and updates
 * the winner, so one frame has both changes, and the account claims the difference: nothing.
 * In two statements the second one would have to fit, which it does not where an account is
 * above its limit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "manage/manage.h"

/* The two contacts */
typedef enum Side
{
	WINNER,
	LOSER,
	NSIDES
} Side;

/* What merge_contacts() knows of its contacts */
typedef struct Merge
{
	CtManaged	contacts;		/* open; the caller does not become its owner */
	const char *table;			/* its name, for a statement */
	const char *key;			/* the column of the primary key, likewise */
	const char *equals;			/* its operator, likewise */
	Oid			key_types[NSIDES];
	Datum		keys[NSIDES];
	char	   *names[NSIDES];	/* the keys as text */
	CtRow		rows[NSIDES];	/* account, status, flag, existence */
} Merge;

/* How much of a marketing contact is it?  The flag takes it away, but not yet. */
static int
rank(const Merge *merge, Side side)
{
	CtStatus	status = ct_row_status(merge->contacts.table, &merge->rows[side]);

	/* one that counts as deleted has no place to give */
	if (merge->rows[side].is_absent)
		return 0;
	return !status.marketing ? 0 : status.until_next_update ? 1 : 2;
}

/* The column of the primary key, which must be one: 55000, 0A000. */
static AttrNumber
find_key(Relation rel)
{
	Oid			index_id = ct_primary_key_index(rel);
	Relation	index;
	int			nkeys;
	AttrNumber	result;

	if (!OidIsValid(index_id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no primary key", RelationGetRelationName(rel)),
				 errdetail("contacts_tier.merge_contacts() identifies contacts by the primary key."),
				 errtable(rel)));
	index = index_open(index_id, AccessShareLock);
	nkeys = IndexRelationGetNumberOfKeyAttributes(index);
	result = index->rd_index->indkey.values[0];
	index_close(index, NoLock);
	if (nkeys != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("contacts of table \"%s\" cannot be merged", RelationGetRelationName(rel)),
				 errdetail("Its primary key has %d columns, but contacts_tier.merge_contacts() needs one of a single column.",
						   nkeys),
				 errtable(rel)));
	return result;
}

/* The key of a contact, an argument of any type, in the type of the column; and as text. */
static void
read_key(Merge *merge, FunctionCallInfo fcinfo, Side side, AttrNumber column)
{
	Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(merge->contacts.rel), column - 1);
	int			argument = 1 + side;
	Oid			output;
	Oid			input;
	Oid			param;
	bool		is_varlena;

	getTypeOutputInfo(get_fn_expr_argtype(fcinfo->flinfo, argument), &output, &is_varlena);
	merge->names[side] = OidOutputFunctionCall(output, PG_GETARG_DATUM(argument));
	merge->key_types[side] = getBaseType(attribute->atttypid);
	getTypeInputInfo(merge->key_types[side], &input, &param);
	merge->keys[side] = OidInputFunctionCall(input, merge->names[side], param, -1);
}

/* What identifies the contacts */
static void
read_keys(Merge *merge, FunctionCallInfo fcinfo)
{
	Relation	rel = merge->contacts.rel;
	AttrNumber	column = find_key(rel);
	TypeCacheEntry *type;

	for (Side side = WINNER; side < NSIDES; side++)
		read_key(merge, fcinfo, side, column);
	type = lookup_type_cache(merge->key_types[WINNER], TYPECACHE_EQ_OPR);
	merge->table = ct_qualified_name(rel);
	merge->key = quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(rel), column - 1)->attname));
	merge->equals = ct_quoted_operator(type->eq_opr);
}

/* Take account, status and flag from a row of a result. */
static void
read_row(Merge *merge, Side side, int first_column, uint64 row)
{
	static const CtTriggerArg columns[] = {CT_ARG_ACCOUNT, CT_ARG_STATUS, CT_ARG_UNTIL};
	CtRow		contact = {0};

	memset(contact.isnull, true, sizeof(contact.isnull));
	for (int i = 0; i < (int) lengthof(columns); i++)
		contact.value[columns[i]] = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, first_column + i,
												  &contact.isnull[columns[i]]);
	merge->rows[side] = contact;
}

/*
 * The statement that reads the contacts.  $1 and $2 are their keys; every name and operator is
 * qualified, since it runs under the caller's search_path.
 */
static char *
reading_statement(const Merge *merge, const char *locking)
{
	const CtTable *table = merge->contacts.table;
	bool		has_account = AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]);

	return psprintf("SELECT t.%1$s %2$s $1, t.%1$s %2$s $2, %3$s, t.%4$s, t.%5$s FROM %6$s AS t"
					" WHERE t.%1$s %2$s $1 OR t.%1$s %2$s $2 ORDER BY t.%1$s%7$s",
					merge->key, merge->equals,
					has_account ? psprintf("t.%s", ct_table_column(table, CT_ARG_ACCOUNT)) : "NULL",
					ct_table_column(table, CT_ARG_STATUS), ct_table_column(table, CT_ARG_UNTIL), merge->table, locking);
}

/* A contact that is not there, or that the caller does not see. */
static void
check_found(const Merge *merge, Side side, bool found)
{
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" has no contact \"%s\"", RelationGetRelationName(merge->contacts.rel),
						merge->names[side]),
				 errtable(merge->contacts.rel)));
}

/*
 * Note which of the contacts count as deleted (P2).  The condition is evaluated as the owner, whose
 * functions it may call.
 */
static void
note_absent(Merge *merge)
{
	const CtTable *table = merge->contacts.table;
	CtIdentity	identity;
	char	   *command;

	if (table->exists == NULL)
		return;
	ct_act_as_owner(table->owner, &identity);
	identity.guc_level = NewGUCNestLevel();
	ct_set_safe_search_path();
	command = psprintf("SELECT FROM %s AS t WHERE t.%s %s $1%s", merge->table, merge->key, merge->equals,
					   ct_and_condition(table->exists, true));
	for (Side side = WINNER; side < NSIDES; side++)
		merge->rows[side].is_absent =
			ct_execute(command, 1, &merge->key_types[side], &merge->keys[side], NULL) == 0;
	ct_restore_identity(&identity);
}

/*
 * Read the contacts, and lock them, if "locking" says so, in the order of their keys: two
 * merges of the same contacts do not deadlock.
 */
static void
read_rows(Merge *merge, const char *locking)
{
	bool		found[NSIDES] = {false};
	uint64		count = ct_execute(reading_statement(merge, locking), NSIDES, merge->key_types, merge->keys, NULL);

	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;
		bool		is_side[NSIDES];

		for (Side side = WINNER; side < NSIDES; side++)
			is_side[side] = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1 + side, &isnull));
		if (is_side[WINNER] && is_side[LOSER])
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("contact \"%s\" cannot be merged with itself", merge->names[WINNER])));
		read_row(merge, is_side[WINNER] ? WINNER : LOSER, 1 + NSIDES, i);
		found[is_side[WINNER] ? WINNER : LOSER] = true;
	}
	check_found(merge, WINNER, found[WINNER]);
	check_found(merge, LOSER, found[LOSER]);
	note_absent(merge);
}

/* Contacts of two accounts are two persons: 22023. */
static void
check_account(const Merge *merge)
{
	const CtTable *table = merge->contacts.table;

	if (!ct_row_same_account(table, &merge->rows[WINNER], &merge->rows[LOSER]))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("contacts \"%s\" and \"%s\" belong to different accounts",
						merge->names[WINNER], merge->names[LOSER]),
				 errtable(merge->contacts.rel)));
}

/*
 * A flag that is copied to the winner is a new one there, which an update date that has
 * passed would not concern (D2).  So that date is applied first, as the owner, as it is for
 * any statement (T6).
 */
static void
apply_update_dates(const Merge *merge)
{
	const CtTable *table = merge->contacts.table;
	const CtRow *winner = &merge->rows[WINNER];
	CtIdentity	identity;

	if (rank(merge, WINNER) != 1 && rank(merge, LOSER) != 1)
		return;
	ct_act_as_owner(table->owner, &identity);
	(void) ct_catch_up(table, winner->isnull[CT_ARG_ACCOUNT] ? ct_account_input(table, CT_DEFAULT_ACCOUNT) :
					   winner->value[CT_ARG_ACCOUNT], NULL);
	ct_restore_identity(&identity);
}

/* 27000; "reason" is a sentence */
pg_noreturn static void
not_merged_error(const Merge *merge, const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("contacts \"%s\" and \"%s\" were not merged", merge->names[WINNER], merge->names[LOSER]),
			 errdetail_internal("%s", reason),
			 errtable(merge->contacts.rel)));
}

/*
 * Delete the loser, and give the winner its status, if that is more: one statement.  A
 * trigger that suppresses one of these would leave half a merge, and a foreign key of the winner to the
 * loser, with ON DELETE CASCADE, neither of them: 27000.
 */
static void
write_rows(const Merge *merge)
{
	const CtTable *table = merge->contacts.table;
	const char *status = ct_table_column(table, CT_ARG_STATUS);
	const char *until = ct_table_column(table, CT_ARG_UNTIL);
	Oid			types[NSIDES] = {merge->key_types[LOSER], merge->key_types[WINNER]};
	Datum		keys[NSIDES] = {merge->keys[LOSER], merge->keys[WINNER]};
	char	   *command = psprintf("DELETE FROM %s AS l WHERE l.%s %s $1", merge->table, merge->key, merge->equals);
	int			nkeys = 1;

	if (rank(merge, LOSER) > rank(merge, WINNER))
	{
		command = psprintf("WITH gone (status, until) AS (%1$s RETURNING l.%2$s, l.%3$s)"
						   " UPDATE %4$s AS w SET %2$s = gone.status, %3$s = gone.until FROM gone WHERE w.%5$s %6$s $2",
						   command, status, until, merge->table, merge->key, merge->equals);
		nkeys = NSIDES;
	}
	if (ct_execute(command, nkeys, types, keys, NULL) != 1)
		not_merged_error(merge, "A trigger or rule of the table suppressed the deletion of one or the update of the other.");
	command = psprintf("SELECT FROM %s AS w WHERE w.%s %s $1", merge->table, merge->key, merge->equals);
	if (ct_execute(command, 1, &types[1], &keys[1], NULL) == 0)
		not_merged_error(merge, "The deletion of one deleted the other, by a foreign key or trigger of the table.");
}

PG_FUNCTION_INFO_V1(contacts_tier_merge_contacts);

/*
 * merge_contacts(contacts regclass, winner, loser) void
 *
 * The winner gets the better status of the two: marketing, then marketing until the next
 * update, then non-marketing.  The loser is deleted.  The account has no contact more for it,
 * so a full one can merge.
 *
 * Locks: both contacts, as SELECT FOR UPDATE does, in the order of their keys; then those of the
 * statement; and those of ct_catch_up(), if one of the contacts is flagged.
 * Errors: 22004 (null), 42501 (no privilege to select, update or delete), 55000 (not attached, no
 * primary key), 0A000 (one of several columns), those of the input function of the key, 22023 (no
 * such contact, twice the same one, two accounts), 27000 (suppressed by a trigger, or both deleted), and those of any
 * DELETE and UPDATE of the contacts.
 */
Datum
contacts_tier_merge_contacts(PG_FUNCTION_ARGS)
{
	Merge		merge = {0};
	Oid			relid;
	AclResult	result;

	ct_check_not_null(fcinfo, 0, "contacts");
	ct_check_not_null(fcinfo, 1 + WINNER, "winner");
	ct_check_not_null(fcinfo, 1 + LOSER, "loser");
	relid = PG_GETARG_OID(0);

	/*
	 * a privilege on the whole table, which is looked at before it is locked;
	 * the others may be on columns, and the statements check them
	 */
	result = pg_class_aclcheck(relid, GetUserId(), ACL_DELETE);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, get_relkind_objtype(get_rel_relkind(relid)), get_rel_name(relid));
	ct_read_open(&merge.contacts, relid);
	ct_connect_spi();
	read_keys(&merge, fcinfo);
	read_rows(&merge, "");
	check_account(&merge);
	apply_update_dates(&merge);
	read_rows(&merge, " FOR UPDATE");
	check_account(&merge);
	write_rows(&merge);
	SPI_finish();
	relation_close(merge.contacts.rel, NoLock);
	PG_RETURN_VOID();
}
