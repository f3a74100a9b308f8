/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  Which tables are attached: pg_trigger knows.
 *
 * A table is attached when it has the status trigger.  Its arguments tell the
 * rest, so that a dump, a restore and a shard move carry the registry along.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "contacts_tier.h"

static const char *const functions[] = {
	[CT_TRIGGER_STATUS] = "maintain_status",
	[CT_TRIGGER_COUNT] = "count_contact",
	[CT_TRIGGER_APPLY] = "apply_counts",
	[CT_TRIGGER_TRUNCATE] = "count_truncate",
	[CT_COUNT_IN_PLACE] = "count_in_place",
	[CT_DEFAULT_STATUS] = "default_status",
	[CT_DEFAULT_SOURCE_TYPE] = "default_source_type",
	[CT_DEFAULT_SOURCE_NAME] = "default_source_name",
	[CT_DEFAULT_UPDATED_AT] = "clock"
};

#define NKINDS	((int) lengthof(functions))

/* Their OIDs, while known, and how often they may have changed */
static Oid	function_oids[NKINDS];
static bool functions_known = false;
static uint64 function_changes = 0;

static void
forget_functions(Datum arg, int cacheid, uint32 hashvalue)
{
	functions_known = false;
	function_changes++;
}

static void
look_up_functions(void)
{
	static bool registered = false;
	Oid			namespace = get_namespace_oid("contacts_tier", true);
	Oid			arguments[] = {INTERNALOID};
	uint64		changes = function_changes;

	if (!registered)
	{
		CacheRegisterSyscacheCallback(PROCOID, forget_functions, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACENAME, forget_functions, (Datum) 0);
		registered = true;
	}
	for (int i = CT_TRIGGER_STATUS; i < NKINDS; i++)
	{
		int			nargs = i == CT_COUNT_IN_PLACE ? 1 : 0;

		function_oids[i] = !OidIsValid(namespace) ? InvalidOid :
			GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
							CStringGetDatum(functions[i]),
							PointerGetDatum(buildoidvector(arguments, nargs)),
							ObjectIdGetDatum(namespace));
	}
	/* what changed while we looked is looked up again next time */
	functions_known = changes == function_changes;
}

/*
 * Which of our functions is this, if any?
 */
CtFunction
ct_function(Oid function)
{
	if (!functions_known)
		look_up_functions();
	/* without the extension, none is ours */
	for (int i = CT_TRIGGER_STATUS; i < NKINDS && OidIsValid(function); i++)
		if (function_oids[i] == function)
			return (CtFunction) i;
	return CT_OTHER_FUNCTION;
}

/*
 * And the other way round.
 */
Oid
ct_function_oid(CtFunction function)
{
	if (!functions_known)
		look_up_functions();
	return function_oids[function];
}

/*
 * Does a column get its default from us?
 */
bool
ct_has_our_default(Relation rel, AttrNumber attno)
{
	Node	   *expression = build_column_default(rel, attno);

	return expression != NULL && IsA(expression, FuncExpr) &&
		ct_function(((FuncExpr *) expression)->funcid) >= CT_DEFAULT_STATUS;
}

/*
 * Our status trigger, if no other trigger can change a row before the event, one
 * of TRIGGER_TYPE_INSERT and TRIGGER_TYPE_UPDATE; NULL if one can, or if the
 * table is not attached.
 */
Trigger *
ct_sole_keeper(TriggerDesc *triggers, int16 event)
{
	Trigger    *keeper = NULL;

	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (!TRIGGER_FOR_ROW(trigger->tgtype) || !TRIGGER_FOR_BEFORE(trigger->tgtype) ||
			(trigger->tgtype & event) == 0)
			continue;
		if (ct_function(trigger->tgfoid) != CT_TRIGGER_STATUS || !ct_right_args(trigger->tgnargs))
			return NULL;
		keeper = trigger;
	}
	return keeper;
}

/*
 * Would the trigger fire in this session?
 */
bool
ct_fires(const Trigger *trigger)
{
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA || trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
	return trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN || trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
}

static Trigger *
find_function(TriggerDesc *triggers, Oid function)
{
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (triggers->triggers[i].tgfoid == function)
			return &triggers->triggers[i];
	return NULL;
}

/*
 * The first trigger that runs one of our functions, or NULL, in a private
 * description of triggers, which may be NULL.
 */
Trigger *
ct_find_trigger_in(TriggerDesc *triggers, CtFunction kind)
{
	return find_function(triggers, ct_function_oid(kind));
}

/*
 * The same where it stands in the relcache entry, to be used before the next look
 * into a catalog: any look may rebuild the entry (RelationClearRelation()), which
 * frees its triggers, whatever lock we hold.
 */
Trigger *
ct_live_trigger(Relation rel, CtFunction kind)
{
	Oid			function = ct_function_oid(kind);

	return find_function(rel->trigdesc, function);
}

/*
 * A copy of it, palloc'd, as CopyTriggerDesc() makes it: for everybody else.
 */
Trigger *
ct_find_trigger(Relation rel, CtFunction kind)
{
	Trigger    *live = ct_live_trigger(rel, kind);
	TriggerDesc only = {.triggers = live,.numtriggers = 1};

	return live == NULL ? NULL : CopyTriggerDesc(&only)->triggers;
}

/*
 * Read the arguments of a pg_trigger row of ours; false if they are not as many
 * as attach() gives.
 */
static bool
read_arguments(HeapTuple tuple, TupleDesc tupdesc, char *args[CT_NARGS])
{
	Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
	bool		isnull;
	Datum		value = heap_getattr(tuple, Anum_pg_trigger_tgargs, tupdesc, &isnull);
	char	   *given[CT_NARGS];
	char	   *p;

	if (isnull || !ct_right_args(form->tgnargs))
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
 * Do the companion tables that the arguments name belong to the owner of the
 * table?  Anybody can write anything into the arguments of a trigger on a table
 * of his own.
 */
static bool
owns_companions(Oid relid, const char *schema)
{
	Oid			namespace = get_namespace_oid(schema, true);
	Oid			owner = ct_companion_owner(get_relname_relid(CT_ACCOUNT_TABLE, namespace));

	return OidIsValid(owner) && owner == ct_companion_owner(relid);
}

/*
 * Call "visit" for each attached table: partitions, whose triggers are clones,
 * are not attached themselves.
 */
static void
visit_attached(void (*visit) (Oid relid, char *args[CT_NARGS], void *arg), void *arg)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(pg_trigger, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
		char	   *args[CT_NARGS];

		if (!OidIsValid(form->tgparentid) &&
			ct_function(form->tgfoid) == CT_TRIGGER_STATUS &&
			read_arguments(tuple, RelationGetDescr(pg_trigger), args) &&
			owns_companions(form->tgrelid, args[CT_ARG_SCHEMA]))
			visit(form->tgrelid, args, arg);
	}
	systable_endscan(scan);
	table_close(pg_trigger, AccessShareLock);
}

typedef struct SchemaTables
{
	const char *schema;			/* NULL: any */
	List	   *relids;
} SchemaTables;

static void
collect_table(Oid relid, char *args[CT_NARGS], void *arg)
{
	SchemaTables *tables = arg;

	if (tables->schema == NULL || strcmp(tables->schema, args[CT_ARG_SCHEMA]) == 0)
		tables->relids = lappend_oid(tables->relids, relid);
}

/*
 * OIDs of the attached tables whose companion tables are in the given schema,
 * or of all attached tables for NULL, in the order of their OIDs: whoever locks
 * several of them takes them in this order.
 */
List *
ct_attached_tables(const char *companion_schema)
{
	SchemaTables tables = {.schema = companion_schema,.relids = NIL};

	visit_attached(collect_table, &tables);
	list_sort(tables.relids, list_oid_cmp);
	return tables.relids;
}

static void
put_attached(Oid relid, char *args[CT_NARGS], void *arg)
{
	ReturnSetInfo *rsinfo = arg;
	Datum		values[1 + CT_NARGS];
	bool		nulls[1 + CT_NARGS] = {0};
	NameData	names[CT_NARGS];

	values[0] = ObjectIdGetDatum(relid);
	for (int i = 0; i < CT_NARGS; i++)
	{
		namestrcpy(&names[i], args[i]);
		values[1 + i] = NameGetDatum(&names[i]);
	}
	nulls[1 + CT_ARG_ACCOUNT] = args[CT_ARG_ACCOUNT][0] == '\0';
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(contacts_tier_attached);

/*
 * attached(): a row for each attached table
 */
Datum
contacts_tier_attached(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	visit_attached(put_attached, fcinfo->resultinfo);
	return (Datum) 0;
}
