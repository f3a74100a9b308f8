/*-------------------------------------------------------------------------
 *
 * table.c
 *	  What a trigger knows of its table.
 *
 * Names travel in the trigger arguments; attribute numbers and types are
 * resolved for the relation that fires, a partition or a shard included, and
 * remembered per backend until the relation changes.  Nothing is stored anywhere
 * else: pg_trigger is the registry.
 *
 * What was resolved never changes: see cache.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "contact/contact.h"

/* Attached tables and partitions of them that a backend knows in any case */
#define MAX_TABLES	256

static CtCache *tables = NULL;

/*
 * Create the cache.
 */
void
ct_table_init(void)
{
	tables = ct_cache_create("contacts_tier tables", sizeof(CtTable), MAX_TABLES);
}

/*
 * OID of a type of the extension: 42704 where there is none.
 */
Oid
ct_own_type(const char *name)
{
	Oid			namespace = get_namespace_oid("contacts_tier", false);
	Oid			type = GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum(name),
									   ObjectIdGetDatum(namespace));

	if (!OidIsValid(type))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type \"contacts_tier.%s\" does not exist", name)));
	return type;
}

/*
 * The type that a status column has, if attach() adds it.  Not for CT_ARG_SCHEMA and
 * CT_ARG_ACCOUNT.
 */
Oid
ct_column_type(CtTriggerArg which)
{
	switch (which)
	{
		case CT_ARG_STATUS:
			return ct_own_type("marketing_status");
		case CT_ARG_UNTIL:
			return BOOLOID;
		case CT_ARG_UPDATED_AT:
			return TIMESTAMPTZOID;
		default:
			return TEXTOID;
	}
}

/*
 * Can a status column be of this type?  The status itself may be a boolean, of the
 * application's own.
 */
bool
ct_is_column_type(CtTriggerArg which, Oid type)
{
	return (which == CT_ARG_STATUS && type == BOOLOID) || type == ct_column_type(which);
}

/* OID of an enum value: 42704 where there is none. */
static Oid
enum_value(Oid type, const char *label)
{
	HeapTuple	tuple = SearchSysCache2(ENUMTYPOIDNAME, ObjectIdGetDatum(type),
										CStringGetDatum(label));
	Oid			value;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type %s has no value \"%s\"", format_type_be(type), label)));
	value = ((Form_pg_enum) GETSTRUCT(tuple))->oid;
	ReleaseSysCache(tuple);
	return value;
}

/*
 * HINT for a column that a trigger argument names and that does not exist any more.
 * "type" is that of a status column, InvalidOid for the account column.
 */
char *
ct_missing_column_hint(Oid type)
{
	if (!OidIsValid(type))
		return "If it was renamed, rename it back.  If it was dropped, add it again.";
	return psprintf("If it was renamed, rename it back.  If it was dropped, add it again as %s and run contacts_tier.repair().",
					format_type_be_qualified(type));
}

/* 42804 */
pg_noreturn static void
wrong_type_error(Relation rel, AttrNumber attno, CtTriggerArg which)
{
	Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(rel), attno - 1);

	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of table \"%s\" must be of type %s%s, not %s",
					NameStr(attr->attname), RelationGetRelationName(rel),
					format_type_be(ct_column_type(which)),
					which == CT_ARG_STATUS ? " or boolean" : "",
					format_type_be(attr->atttypid)),
			 errhint("Use %s.", ct_retype_statement(ct_qualified_name(rel), RelationGetRelid(rel),
													NameStr(attr->attname), ct_column_type(which), InvalidOid)),
			 errtablecol(rel, attno)));
}

/*
 * Attribute number of a column that a trigger argument names.  The account column may have
 * any type.
 * Columns of attached tables can be renamed and dropped, so each is looked for.
 * Errors: 42703, 42804, 42809 (a generated column).
 */
static AttrNumber
resolve_column(Relation rel, const char *column, CtTriggerArg which)
{
	Oid			type = which == CT_ARG_ACCOUNT ? InvalidOid : ct_column_type(which);
	AttrNumber	attno = get_attnum(RelationGetRelid(rel), column);

	if (attno <= 0 || attno > RelationGetNumberOfAttributes(rel))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of attached table \"%s\" does not exist",
						column, RelationGetRelationName(rel)),
				 errhint("%s", ct_missing_column_hint(type)),
				 errtable(rel)));
	/* attach() refuses that; a column of the name can come later */
	if (TupleDescAttr(RelationGetDescr(rel), attno - 1)->attgenerated)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("column \"%s\" of attached table \"%s\" is a generated column",
						column, RelationGetRelationName(rel)),
				 errdetail("Triggers can neither see nor write generated columns."),
				 errtablecol(rel, attno)));
	if (OidIsValid(type) && !ct_is_column_type(which, TupleDescAttr(RelationGetDescr(rel), attno - 1)->atttypid))
		wrong_type_error(rel, attno, which);
	return attno;
}

/*
 * Fill in how values of the account column are compared, by the default btree
 * operator class, which the primary keys of the companion tables use too.  Type cache
 * entries stay, but may be refilled: what is needed of one is copied.  Errors: 42804.
 */
static void
resolve_account_type(CtTable *table, Relation rel, MemoryContext context)
{
	AttrNumber	attno = table->attno[CT_ARG_ACCOUNT];
	TypeCacheEntry *type;
	bool		isvarlena;

	if (AttributeNumberIsValid(attno))
	{
		Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(rel), attno - 1);

		table->account_type = attr->atttypid;
		table->account_collation = attr->attcollation;
	}
	else
	{
		table->account_type = TEXTOID;
		table->account_collation = DEFAULT_COLLATION_OID;
	}
	type = lookup_type_cache(table->account_type,
							 TYPECACHE_EQ_OPR | TYPECACHE_CMP_PROC_FINFO | TYPECACHE_HASH_PROC_FINFO);
	if (!OidIsValid(type->eq_opr) || !OidIsValid(type->cmp_proc) || !OidIsValid(type->hash_proc))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("type %s cannot be the type of an account column",
						format_type_be(table->account_type)),
				 errdetail("The type needs default operator classes for btree and hash."),
				 errtable(rel)));
	get_typlenbyval(table->account_type, &table->account_typlen, &table->account_typbyval);
	getTypeOutputInfo(table->account_type, &table->account_output, &isvarlena);
	table->account_eq = type->eq_opr;
	fmgr_info_cxt(type->cmp_proc, &table->account_cmp, context);
	fmgr_info_cxt(type->hash_proc, &table->account_hash, context);
}

/* Fill in how the status column stores a status.  Errors: 42704. */
static void
resolve_status_type(CtStatusType *status, Oid type)
{
	status->is_boolean = type == BOOLOID;
	if (!status->is_boolean)
	{
		status->marketing = enum_value(type, "marketing");
		status->non_marketing = enum_value(type, "non_marketing");
	}
}

/* Is the promotion of a contact that is not eligible an error?  The trigger says so. */
static bool
refuses_ineligible(Relation rel)
{
	Trigger    *trigger = ct_find_trigger(rel, CT_TRIGGER_ELIGIBLE);

	return trigger != NULL && trigger->tgnargs > 0 && strcmp(trigger->tgargs[0], "refuse") == 0;
}

/* Fill a new entry; "args" are complete.  Errors: 42501, 42703, 42704, 42804, 42809. */
static void
fill_table(CtTable *table, Relation rel, char **args, MemoryContext context)
{
	static uint64 last_id = 0;

	table->relid = RelationGetRelid(rel);
	table->owner = rel->rd_rel->relowner;
	table->id = ++last_id;
	table->known_at = ct_name_changes();
	table->names_known_at = ct_relation_name_changes();

	/*
	 * first: what becomes known from here on may have come too late for its
	 * names
	 */
	table->is_unsettled = ct_may_become_shard(table->relid);
	ct_names_resolve(&table->names, table->relid, args[CT_ARG_SCHEMA]);
	table->attno[CT_ARG_ACCOUNT] = args[CT_ARG_ACCOUNT][0] == '\0' ? InvalidAttrNumber :
		resolve_column(rel, args[CT_ARG_ACCOUNT], CT_ARG_ACCOUNT);
	for (int i = CT_ARG_STATUS; i < CT_COLUMNS_END; i++)
		table->attno[i] = resolve_column(rel, args[i], i);
	table->whole_row_saves = ct_option_whole_row_saves(args[CT_ARG_OPTIONS]);
	resolve_account_type(table, rel, context);
	resolve_status_type(&table->status,
						TupleDescAttr(RelationGetDescr(rel), table->attno[CT_ARG_STATUS] - 1)->atttypid);
	table->exists = ct_condition_resolve(rel, CT_TRIGGER_EXISTS, context);
	table->eligible = ct_condition_resolve(rel, CT_TRIGGER_ELIGIBLE, context);
	table->refuses_ineligible = table->eligible != NULL && refuses_ineligible(rel);
}

/*
 * Have functions changed that a condition may have inlined?  Or relations, where the table looks like
 * a shard and was not known as one?
 */
static bool
is_outdated(const CtTable *table)
{
	if (table->is_unsettled && table->names_known_at != ct_relation_name_changes())
		return true;
	return (table->exists != NULL || table->eligible != NULL) && table->known_at != ct_name_changes();
}

/*
 * What is known of an attached table or one of its partitions, given the
 * arguments of its triggers.  Errors: 42703, 42804.
 *
 * It stays as it is until the transaction ends.  The arguments may belong to the
 * relation, and to a description of its triggers that is replaced meanwhile: they
 * are copied before anything is looked up.
 */
CtTable *
ct_table_resolve(Relation rel, int nargs, char **args)
{
	CtTable    *table = ct_cache_find(tables, RelationGetRelid(rel));

	if (table == NULL || is_outdated(table))
	{
		char	   *all_args[CT_NARGS];
		MemoryContext context;

		ct_complete_args(nargs, args, all_args);
		table = ct_cache_begin(tables, RelationGetRelid(rel), &context);
		fill_table(table, rel, all_args, context);
		ct_cache_end(table);
	}
	return table;
}

/*
 * What is known of an open relation by its status trigger; NULL if it has none.  Errors: as
 * ct_table_resolve().
 */
CtTable *
ct_table_of_relation(Relation rel)
{
	char	   *args[CT_NARGS];

	return ct_trigger_args(rel, CT_TRIGGER_STATUS, args) ? ct_table_resolve(rel, CT_NARGS, args) : NULL;
}

/*
 * What is known of accounts by a column of an open table, which need not be attached; all
 * else is zero.  In the current memory context.  Errors: 42703, 42804.
 */
CtTable *
ct_table_of_accounts(Relation rel, const char *column)
{
	CtTable    *table = palloc0(sizeof(CtTable));

	table->relid = RelationGetRelid(rel);
	table->owner = rel->rd_rel->relowner;
	table->attno[CT_ARG_ACCOUNT] = resolve_column(rel, column, CT_ARG_ACCOUNT);
	resolve_account_type(table, rel, CurrentMemoryContext);
	return table;
}

/*
 * The table that a row or TRUNCATE trigger was called for, after a check that it
 * was called as a trigger that attach() creates (39P01).  "function" is its name, for
 * the messages.
 */
CtTable *
ct_table_of_trigger(FunctionCallInfo fcinfo, const char *function)
{
	TriggerData *trigdata = ct_trigger_data(fcinfo, function);

	if (!ct_right_args(trigdata->tg_trigger->tgnargs))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called with %d to %d arguments",
						function, CT_MIN_NARGS, CT_NARGS),
				 errhint("Create triggers of contacts_tier with contacts_tier.attach().")));
	return ct_table_resolve(trigdata->tg_relation, trigdata->tg_trigger->tgnargs,
							trigdata->tg_trigger->tgargs);
}

/*
 * The account of a row; for a table without an account column it is the same for all, and
 * lives as long as the backend.
 */
Datum
ct_table_account(const CtTable *table, TupleTableSlot *slot, bool *isnull)
{
	static Datum default_account = 0;

	if (AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]))
		return slot_getattr(slot, table->attno[CT_ARG_ACCOUNT], isnull);

	if (default_account == 0)
	{
		MemoryContext old = MemoryContextSwitchTo(CacheMemoryContext);

		default_account = CStringGetTextDatum(CT_DEFAULT_ACCOUNT);
		MemoryContextSwitchTo(old);
	}
	*isnull = false;
	return default_account;
}

/*
 * A column as it is written in a statement, quoted.  By its number, since the table may
 * have been renamed, and its columns too, since it was looked up.
 */
const char *
ct_table_column(const CtTable *table, CtTriggerArg which)
{
	return quote_identifier(get_attname(table->relid, table->attno[which], false));
}

/*
 * A copy that stays as it is when the table changes, for values of the account's type that
 * outlive the transaction or the table.  fmgr_info_copy() gives it function look-ups of its
 * own in the memory context.
 */
void
ct_table_copy(CtTable *copy, const CtTable *table, MemoryContext context)
{
	*copy = *table;
	fmgr_info_copy(&copy->account_cmp, unconstify(FmgrInfo *, &table->account_cmp), context);
	fmgr_info_copy(&copy->account_hash, unconstify(FmgrInfo *, &table->account_hash), context);
}
