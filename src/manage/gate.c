/*-------------------------------------------------------------------------
 *
 * gate.c
 *	  Which tools can use which contacts (rule G1): the catalogue table "tool", and
 *	  can_use().
 *
 * A backend remembers the whole table, which is small.  Where the tool is known when a
 * statement is planned, the planner replaces can_use() by a condition on the status, which
 * an index can serve.
 *
 * What is remembered and what is planned both follow from rows of "tool", so a trigger on it
 * sends two messages, which each backend gets at commit, and this one at the end of the
 * command:
 *	 - one of the table itself, by which ct_cache_find() does not find what was remembered;
 *	 - one of the row of pg_proc that is can_use(), as if the function had been replaced.
 *	   extract_query_dependencies() notes each function that a query calls before it is
 *	   planned, and PlanCacheObjectCallback() makes queries and plans invalid that depend on
 *	   it.  So a message also counts that arrives while the query is being planned: the
 *	   query is invalid then, and RevalidateCachedQuery() has it planned again.  A call that
 *	   only comes in by inlining an SQL function is noted as inline_function() notes that
 *	   function, by record_plan_function_dependency().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/planmain.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "manage/manage.h"

/* Columns of "tool" */
#define ATTNO_NAME		1
#define ATTNO_NEEDS		2

/* A row of "tool" */
typedef struct Tool
{
	char	   *name;			/* not terminated */
	int			length;
	bool		needs_marketing_contact;
} Tool;

/* All rows */
typedef struct Tools
{
	Oid			marketing;		/* enum value "marketing" */
	int			ntools;
	Tool	   *tools;			/* by compare_tools() */
} Tools;

/* For one relation, which is "tool" */
static CtCache *cache = NULL;
static Oid	tool_relid = InvalidOid;

/* Of a tool by its length first: any order will do. */
static int
compare_tools(const void *a, const void *b)
{
	const Tool *left = a;
	const Tool *right = b;

	if (left->length != right->length)
		return left->length < right->length ? -1 : 1;
	return memcmp(left->name, right->name, left->length);
}

/* Add a row to what is remembered. */
static void
add_tool(Tools *tools, HeapTuple tuple, TupleDesc tupdesc, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	bool		isnull;
	text	   *name = DatumGetTextPP(heap_getattr(tuple, ATTNO_NAME, tupdesc, &isnull));
	Tool	   *tool;

	tools->tools = tools->ntools == 0 ? palloc(sizeof(Tool)) :
		repalloc(tools->tools, sizeof(Tool) * (tools->ntools + 1));
	tool = &tools->tools[tools->ntools++];
	tool->length = VARSIZE_ANY_EXHDR(name);
	tool->name = pnstrdup(VARDATA_ANY(name), tool->length);
	tool->needs_marketing_contact = DatumGetBool(heap_getattr(tuple, ATTNO_NEEDS, tupdesc, &isnull));
	MemoryContextSwitchTo(old);
}

/*
 * Read the table, by the snapshot that catalogs are read by: the newest one, also in a
 * transaction that has an older one, and in a parallel worker, which cannot take another.
 */
static Tools *
read_tools(void)
{
	Relation	rel = table_open(get_relname_relid("tool", get_namespace_oid("contacts_tier", false)),
								 AccessShareLock);
	MemoryContext context;
	Tools	   *tools = ct_cache_begin(cache, RelationGetRelid(rel), &context);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		add_tool(tools, tuple, RelationGetDescr(rel), context);
	systable_endscan(scan);
	qsort(tools->tools, tools->ntools, sizeof(Tool), compare_tools);
	tools->marketing = DatumGetObjectId(DirectFunctionCall2(enum_in, CStringGetDatum("marketing"),
															ObjectIdGetDatum(ct_column_type(CT_ARG_STATUS))));
	tool_relid = RelationGetRelid(rel);
	table_close(rel, AccessShareLock);
	ct_cache_end(tools);
	return tools;
}

/*
 * What "tool" has.  When the extension is dropped, so is the relation, which is not found any
 * more then.
 */
static const Tools *
find_tools(void)
{
	Tools	   *tools = OidIsValid(tool_relid) ? ct_cache_find(cache, tool_relid) : NULL;

	return tools != NULL ? tools : read_tools();
}

/* A tool by its name, or NULL */
static const Tool *
find_tool(const Tools *tools, const char *name, int length)
{
	Tool		key = {.name = unconstify(char *, name),.length = length};

	return tools->ntools == 0 ? NULL :
		bsearch(&key, tools->tools, tools->ntools, sizeof(Tool), compare_tools);
}

/* 22023 */
pg_noreturn static void
unknown_tool_error(const char *name, int length)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("tool \"%s\" does not exist", pnstrdup(name, length)),
			 errhint("Table contacts_tier.tool lists the tools; add yours there.")));
}

/*
 * Does a tool need a marketing contact?  Errors: 22023 if there is no such tool.
 */
bool
ct_tool_needs_marketing_contact(const char *name, int length)
{
	const Tool *tool = find_tool(find_tools(), name, length);

	if (tool == NULL)
		unknown_tool_error(name, length);
	return tool->needs_marketing_contact;
}

/* Does the tool that is argument 0 need a marketing contact? */
static bool
needs_marketing_contact(FunctionCallInfo fcinfo)
{
	text	   *tool;

	ct_check_not_null(fcinfo, 0, "tool");
	tool = PG_GETARG_TEXT_PP(0);
	return ct_tool_needs_marketing_contact(VARDATA_ANY(tool), VARSIZE_ANY_EXHDR(tool));
}

PG_FUNCTION_INFO_V1(contacts_tier_can_use);

/*
 * can_use(tool text, status marketing_status) boolean
 * can_use(tool text, status boolean) boolean
 *
 * Can the tool use a contact of this status?  A contact without a status is none that a tool
 * can use which needs a marketing contact.
 *
 * Errors: 22004 if the tool is null, 22023 if there is no such tool.
 */
Datum
contacts_tier_can_use(PG_FUNCTION_ARGS)
{
	if (!needs_marketing_contact(fcinfo))
		PG_RETURN_BOOL(true);
	if (PG_ARGISNULL(1))
		PG_RETURN_BOOL(false);
	if (get_fn_expr_argtype(fcinfo->flinfo, 1) == BOOLOID)
		PG_RETURN_BOOL(PG_GETARG_BOOL(1));
	PG_RETURN_BOOL(PG_GETARG_OID(1) == find_tools()->marketing);
}

PG_FUNCTION_INFO_V1(contacts_tier_can_use_text);

/*
 * can_use(tool text, status text) boolean
 *
 * Errors: as can_use(), and 22P02 for what is no status.
 */
Datum
contacts_tier_can_use_text(PG_FUNCTION_ARGS)
{
	bool		is_needed = needs_marketing_contact(fcinfo);
	Datum		status;

	if (PG_ARGISNULL(1))
		PG_RETURN_BOOL(!is_needed);
	status = DirectFunctionCall2(enum_in, CStringGetDatum(text_to_cstring(PG_GETARG_TEXT_PP(1))),
								 ObjectIdGetDatum(ct_column_type(CT_ARG_STATUS)));
	PG_RETURN_BOOL(!is_needed || DatumGetObjectId(status) == find_tools()->marketing);
}

/*
 * "status = 'marketing' AND status IS NOT NULL", which is false where the status is null, as
 * the function is: NOT can_use(...) finds such contacts.  In WHERE the planner takes it apart.
 */
static Node *
is_marketing(Node *status, Oid marketing)
{
	Oid			type = exprType(status);
	Const	   *value = makeConst(type, -1, InvalidOid, sizeof(Oid), ObjectIdGetDatum(marketing), false, true);
	NullTest   *test = makeNode(NullTest);

	test->arg = copyObject((Expr *) status);
	test->nulltesttype = IS_NOT_NULL;
	test->argisrow = false;
	test->location = -1;
	if (type == BOOLOID)
		return (Node *) make_andclause(list_make2(status, test));
	return (Node *) make_andclause(list_make2(make_opclause(lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr,
															BOOLOID, false, (Expr *) status, (Expr *) value,
															InvalidOid, InvalidOid),
											  test));
}

/*
 * The condition that replaces a call, or NULL if that is to stay: because the tool is not
 * known yet, or not at all, which is an error only where the function is called; because the
 * status would be evaluated twice; or because nothing notes what the result depends on
 * (outside of the planner).
 */
static Node *
simplify(SupportRequestSimplify *request)
{
	Const	   *name = linitial(request->fcall->args);
	Node	   *status = lsecond(request->fcall->args);
	const Tools *tools;
	const Tool *tool;

	if (request->root == NULL || !IsA(name, Const) || name->constisnull)
		return NULL;
	if (contain_volatile_functions(status) || contain_subplans(status))
		return NULL;
	tools = find_tools();
	tool = find_tool(tools, VARDATA_ANY(DatumGetTextPP(name->constvalue)),
					 VARSIZE_ANY_EXHDR(DatumGetTextPP(name->constvalue)));
	if (tool == NULL)
		return NULL;
	record_plan_function_dependency(request->root, request->fcall->funcid);
	return tool->needs_marketing_contact ? is_marketing(status, tools->marketing) : makeBoolConst(true, false);
}

PG_FUNCTION_INFO_V1(contacts_tier_can_use_support);

/*
 * can_use_support(internal): planner support function of can_use()
 */
Datum
contacts_tier_can_use_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);

	PG_RETURN_POINTER(IsA(request, SupportRequestSimplify) ?
					  simplify((SupportRequestSimplify *) request) : NULL);
}

/* Make plans invalid that can_use() of this type of status was part of. */
static void
invalidate_plans(Relation pg_proc, Oid type)
{
	Oid			arguments[] = {TEXTOID, type};
	HeapTuple	tuple = SearchSysCache3(PROCNAMEARGSNSP, CStringGetDatum("can_use"),
										PointerGetDatum(buildoidvector(arguments, lengthof(arguments))),
										ObjectIdGetDatum(get_namespace_oid("contacts_tier", false)));

	if (!HeapTupleIsValid(tuple))
		return;
	CacheInvalidateHeapTuple(pg_proc, tuple, NULL);
	ReleaseSysCache(tuple);
}

PG_FUNCTION_INFO_V1(contacts_tier_tool_changed);

/*
 * tool_changed() trigger: AFTER trigger of "tool".  For each row, as logical replication
 * fires no other triggers; and for TRUNCATE.
 */
Datum
contacts_tier_tool_changed(PG_FUNCTION_ARGS)
{
	Relation	pg_proc;

	CacheInvalidateRelcache(ct_trigger_data(fcinfo, "tool_changed")->tg_relation);
	pg_proc = table_open(ProcedureRelationId, AccessShareLock);
	invalidate_plans(pg_proc, ct_column_type(CT_ARG_STATUS));
	invalidate_plans(pg_proc, BOOLOID);
	table_close(pg_proc, AccessShareLock);
	return PointerGetDatum(NULL);
}

/*
 * Make the cache.
 */
void
ct_gate_init(void)
{
	cache = ct_cache_create("contacts_tier tools", sizeof(Tools), 1);
}
