/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  Which tables are attached: pg_trigger knows.
 *
 * A table is attached when it has the status trigger.  The arguments of the
 * trigger name the rest, so that a dump, a restore and a shard move carry the registry
 * along.  There is no table of attached tables, which could say something else than the
 * triggers do.
 *
 * pg_trigger is read with a catalogue snapshot (systable_beginscan()): what other
 * transactions have committed is seen, whatever the isolation level.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "contact/contact.h"

/*
 * Is this the trigger by which a table is attached?  Then read its arguments.
 * Partitions, whose triggers are clones, are not attached themselves.
 */
static bool
read_registered(HeapTuple tuple, TupleDesc tupdesc, char *args[CT_NARGS])
{
	Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
	bool		isnull;
	Datum		value;
	char	   *given[CT_NARGS];
	char	   *p;

	if (OidIsValid(form->tgparentid) || ct_function(form->tgfoid) != CT_TRIGGER_STATUS ||
		!ct_right_args(form->tgnargs))
		return false;
	value = heap_getattr(tuple, Anum_pg_trigger_tgargs, tupdesc, &isnull);
	if (isnull)
		return false;
	p = VARDATA_ANY(DatumGetByteaPP(value));
	for (int i = 0; i < form->tgnargs; i++)
	{
		given[i] = p;
		p += strlen(p) + 1;
	}
	ct_complete_args(form->tgnargs, given, args);
	return true;
}

/*
 * The arguments of the status trigger of a table, palloc'd; false if it has none.  They
 * are read from the catalogue: this locks no table, to which the caller may have no right.
 */
bool
ct_look_up_args(Oid relid, char *args[CT_NARGS])
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_trigger, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = read_registered(tuple, RelationGetDescr(pg_trigger), args);
	systable_endscan(scan);
	table_close(pg_trigger, AccessShareLock);
	return found;
}

/*
 * Is it a table that can be attached at all?  Anybody may create our triggers on tables of
 * other kinds, if he has EXECUTE on their functions.
 */
static bool
is_permanent_table(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	result = (form->relkind == RELKIND_RELATION || form->relkind == RELKIND_PARTITIONED_TABLE) &&
		form->relpersistence != RELPERSISTENCE_TEMP;
	ReleaseSysCache(tuple);
	return result;
}

/*
 * Raise an error for a relation that is not attached: 42P01 where there is none, 42809 for
 * a partition of an attached table, else 55000.
 */
void
ct_not_attached_error(Oid relid)
{
	char	   *args[CT_NARGS];
	char	   *name = get_rel_name(relid);
	List	   *roots = get_rel_relispartition(relid) ? get_partition_ancestors(relid) : NIL;

	if (name == NULL)
		ct_no_relation_error(relid);
	if (roots != NIL && ct_look_up_args(llast_oid(roots), args))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a partition", name),
				 errhint("Name the partitioned table that is attached."),
				 ct_errtable(relid)));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" is not attached", name),
			 errhint("Use contacts_tier.attached() to list attached tables."),
			 ct_errtable(relid)));
}

/*
 * Schema of the companion tables of an attached table, without a lock on it.
 * Errors: those of ct_not_attached_error().
 */
char *
ct_companion_schema(Oid relid)
{
	char	   *args[CT_NARGS];

	if (!is_permanent_table(relid) || !ct_look_up_args(relid, args))
		ct_not_attached_error(relid);
	return args[CT_ARG_SCHEMA];
}

/*
 * Has the table the columns that the arguments name, with the right types?  If so, read the
 * type of the account.  True, with "fault" filled in, if it has not.
 */
static bool
find_column_fault(Oid relid, char *const args[CT_NARGS], CtCompanionOf *of, CtFault *fault)
{
	int32		typmod;

	of->account_type = TEXTOID;
	of->account_collation = DEFAULT_COLLATION_OID;
	for (int i = CT_ARG_ACCOUNT; i < CT_COLUMNS_END; i++)
	{
		AttrNumber	attno = get_attnum(relid, args[i]);

		if (i == CT_ARG_ACCOUNT && args[i][0] == '\0')
			continue;
		if (attno <= 0)
		{
			fault->code = ERRCODE_UNDEFINED_COLUMN;
			fault->message = psprintf("column \"%s\" of attached table \"%s\" does not exist", args[i], of->contacts);
			fault->hint = ct_missing_column_hint(i == CT_ARG_ACCOUNT ? InvalidOid : ct_column_type(i));
			return true;
		}
		fault->code = ERRCODE_DATATYPE_MISMATCH;
		fault->message = psprintf("column \"%s\" of attached table \"%s\" has another type than attach() gives it", args[i], of->contacts);
		fault->hint = NULL;
		if (i == CT_ARG_ACCOUNT)
			get_atttypetypmodcoll(relid, attno, &of->account_type, &typmod, &of->account_collation);
		else if (!ct_is_column_type(i, get_atttype(relid, attno)))
			return true;
	}
	return false;
}

/*
 * Is something about the table not as attach() creates it?  Anybody can write anything
 * into the arguments of a trigger on a table of his own.
 */
static bool
find_fault(Oid relid, char *const args[CT_NARGS], CtFault *fault)
{
	char	   *name = get_rel_name(relid);
	CtCompanionOf of = {
		.contacts = name != NULL ? name : "?",.owner = ct_companion_owner(relid),
		.has_account_column = args[CT_ARG_ACCOUNT][0] != '\0'
	};

	ct_names_resolve(&of.names, relid, args[CT_ARG_SCHEMA]);

	if (get_rel_relispartition(relid))
	{
		fault->code = ERRCODE_WRONG_OBJECT_TYPE;
		fault->message = psprintf("\"%s\" is a partition", of.contacts);
		fault->hint = "Name the partitioned table that is attached.";
		return true;
	}
	return find_column_fault(relid, args, &of, fault) || ct_find_companion_fault(&of, fault);
}

/*
 * The names of the tables that belong to an attached table, without a lock on it.  Errors:
 * as ct_companion_schema().
 */
void
ct_attached_names(Oid relid, CtNames *names)
{
	ct_names_resolve(names, relid, ct_companion_schema(relid));
}

/* Does an attached table with these arguments use just these companion tables? */
static bool
uses_companions(Oid relid, char *const args[CT_NARGS], const CtNames *names)
{
	CtNames		own;

	if (strcmp(args[CT_ARG_SCHEMA], NameStr(names->schema)) != 0 || !ct_may_have_companions(relid, names))
		return false;
	ct_names_resolve(&own, relid, args[CT_ARG_SCHEMA]);
	return ct_same_companions(&own, names);
}

/*
 * Is a table attached, by these companion tables, and is all as attach()
 * creates it?  Nothing is locked, so the answer may change at once.
 */
bool
ct_is_sound(Oid relid, const CtNames *names)
{
	char	   *args[CT_NARGS];
	CtFault		fault;

	return is_permanent_table(relid) && ct_look_up_args(relid, args) &&
		uses_companions(relid, args, names) && !find_fault(relid, args, &fault);
}

/*
 * Raise an error that says what is not as attach() creates it: 42P01, 42501, 42703, 42804,
 * 42809, 55000.
 */
void
ct_check_sound(Oid relid)
{
	char	   *args[CT_NARGS];
	CtFault		fault;

	(void) ct_companion_schema(relid);
	if (ct_look_up_args(relid, args) && find_fault(relid, args, &fault))
		ereport(ERROR,
				(errcode(fault.code),
				 errmsg_internal("%s", fault.message),
				 fault.hint != NULL ? errhint("%s", fault.hint) : 0,
				 ct_errtable(relid)));
}

/* Warn the caller that a table is left out, if he may read it: its name is not for others. */
static void
warn_of_fault(Oid relid, const CtFault *fault)
{
	bool		is_missing = false;
	AclResult	may_read = pg_class_aclcheck_ext(relid, GetUserId(), ACL_SELECT, &is_missing);
	char	   *name = get_rel_name(relid);

	if (may_read != ACLCHECK_OK || is_missing || name == NULL)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("table \"%s\" is skipped because it is not as contacts_tier.attach() creates it", name),
			 errdetail_internal("%s", fault->message),
			 fault->hint != NULL ? errhint("%s", fault->hint) : 0));
}

/*
 * Do these companion tables belong to the owner of the table?  Otherwise anybody
 * could enter a table of his own among those of others, by a trigger that names their schema.
 */
static bool
owns_companions(Oid relid, const CtNames *names)
{
	Oid			owner = ct_companion_owner(ct_companion_relid(names, CT_ACCOUNT));

	return OidIsValid(owner) && owner == ct_companion_owner(relid);
}

/* What is done with an attached table */
typedef void (*Visit) (Oid relid, char *args[CT_NARGS], void *arg);

/*
 * Call "visit" for each attached table that is sound, and "visit_unsound" for the others,
 * or warn of them where that is NULL; shards are left out, or visited too.  With names that are not
 * NULL, call "visit" for all whose companion tables these are, are there and theirs: one of them that
 * is not sound must not be left out of what is counted together.
 */
static void
visit_attached(const CtNames *names, bool shards, Visit visit, Visit visit_unsound, void *arg)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);

	/* by the index: so warnings come in the order of the tables, too */
	SysScanDesc scan = systable_beginscan(pg_trigger, TriggerRelidNameIndexId, true, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid			relid = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
		char	   *args[CT_NARGS];
		CtFault		fault;

		if (!read_registered(tuple, RelationGetDescr(pg_trigger), args) || !is_permanent_table(relid) ||
			(names == NULL && !shards && ct_is_shard(relid)))
			continue;
		if (names != NULL ?
			uses_companions(relid, args, names) && owns_companions(relid, names) :
			!find_fault(relid, args, &fault))
			visit(relid, args, arg);
		else if (visit_unsound != NULL)
			visit_unsound(relid, args, arg);
		else if (names == NULL)
			warn_of_fault(relid, &fault);
	}
	systable_endscan(scan);
	table_close(pg_trigger, AccessShareLock);
}

/* visit_attached(): add to a list of OIDs */
static void
collect_table(Oid relid, char *args[CT_NARGS], void *arg)
{
	List	  **relids = arg;

	*relids = lappend_oid(*relids, relid);
}

/*
 * OIDs of the attached tables with the given companion tables; NULL stands
 * for all tables but shards, and then those that are not sound are left out, with a WARNING.  They
 * are in the order of their OIDs, in which all callers lock them.  Nothing is locked yet, so each may
 * be gone when it is opened.
 */
List *
ct_attached_tables(const CtNames *names)
{
	List	   *relids = NIL;

	visit_attached(names, false, collect_table, NULL, &relids);
	list_sort(relids, list_oid_cmp);
	list_deduplicate_oid(relids);	/* by two triggers of ours */
	return relids;
}

/* visit_attached(): the companion tables that it says it has, unless Citus distributes them or has moved them */
static void
collect_names(Oid relid, char *args[CT_NARGS], void *arg)
{
	List	  **sets = arg;
	CtNames    *names;
	ListCell   *cell;

	if (!OidIsValid(get_namespace_oid(args[CT_ARG_SCHEMA], true)) || ct_is_distributed(relid) || ct_is_left_behind(relid))
		return;
	names = palloc(sizeof(CtNames));
	ct_names_resolve(names, relid, args[CT_ARG_SCHEMA]);
	foreach(cell, *sets)
	{
		if (ct_same_companions(lfirst(cell), names))
			return;
	}
	*sets = lappend(*sets, names);
}

/* For list_sort(): by names, which are the same after a dump and restore */
static int
compare_names(const ListCell *a, const ListCell *b)
{
	const CtNames *left = lfirst(a);
	const CtNames *right = lfirst(b);
	int			result = strcmp(NameStr(left->schema), NameStr(right->schema));

	return result != 0 ? result : strcmp(NameStr(left->companions[CT_ACCOUNT]), NameStr(right->companions[CT_ACCOUNT]));
}

/*
 * The companion tables on this node that attached tables and shards, sound or not, say they
 * have; a list of CtNames, by schema and name.
 */
List *
ct_companion_sets(void)
{
	List	   *sets = NIL;

	visit_attached(NULL, true, collect_names, collect_names, &sets);
	list_sort(sets, compare_names);
	return sets;
}

/* visit_attached(): a row of attached() */
static void
put_attached(Oid relid, char *args[CT_NARGS], void *arg)
{
	ReturnSetInfo *rsinfo = arg;
	Datum		values[1 + CT_NARGS];
	bool		nulls[1 + CT_NARGS] = {0};
	NameData	names[CT_COLUMNS_END];

	values[0] = ObjectIdGetDatum(relid);
	values[1 + CT_ARG_OPTIONS] = BoolGetDatum(ct_option_whole_row_saves(args[CT_ARG_OPTIONS]));
	for (int i = 0; i < CT_COLUMNS_END; i++)
	{
		namestrcpy(&names[i], args[i]);
		values[1 + i] = NameGetDatum(&names[i]);
	}
	nulls[1 + CT_ARG_ACCOUNT] = args[CT_ARG_ACCOUNT][0] == '\0';
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(contacts_tier_attached);

/*
 * attached(): a row for each attached table that is sound, and a WARNING for each that is
 * not and that the caller may read
 */
Datum
contacts_tier_attached(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	visit_attached(NULL, false, put_attached, NULL, fcinfo->resultinfo);
	return (Datum) 0;
}
