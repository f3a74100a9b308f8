/*-------------------------------------------------------------------------
 *
 * on_conflict.c
 *	  EXCLUDED carries what was given, and nothing else (rule S4).
 *
 * In INSERT ... ON CONFLICT DO UPDATE, EXCLUDED is the row as it was proposed for
 * insertion, with the status properties that it would have got as a new contact.  A
 * property that was not given must not be mistaken for one that was: an import that
 * overwrites columns with those of EXCLUDED would flag marketing contacts, as their source.
 *
 * So before such a statement starts, each reference to EXCLUDED.property in its DO UPDATE
 * is replaced with
 *		CASE WHEN is_given(property, false) THEN EXCLUDED.property END
 * and "SET until_next_update = EXCLUDED.until_next_update" leaves the flag as it is if none
 * was given, since NULL would clear it.  is_given() knows the row that the statement has
 * proposed last, from the status trigger or its projection; where that does not fire,
 * EXCLUDED is what was given.
 *
 * What makes it sound:
 *
 *	 set_plan_refs() has turned EXCLUDED into INNER_VAR in onConflictSet and onConflictWhere,
 *	 with the numbers of the columns of the named table, and leaves the varno of the table
 *	 to the existing row.  With another number for EXCLUDED nothing would be replaced.
 *
 *	 ExecInitModifyTable() takes these expressions from the plan, and
 *	 ExecInitPartitionInfo() translates them by map_variable_attnos() for partitions with
 *	 other columns; is_given() has the number of a property, not that of a column.
 *
 *	 standard_ExecutorStart() goes by the PlannedStmt of the QueryDesc, so another one can be put
 *	 in before it.  The plan may be cached for other executions, so what is changed
 *	 is copied, and the rest is shared.
 *
 *	 ExecInsert() calls ExecOnConflictUpdate(), which evaluates the expressions, before
 *	 the next row is proposed.  If conflicts were resolved in batches, is_given() would answer
 *	 for the wrong row.  It is volatile, so it is not evaluated earlier.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/plannodes.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "capture/capture.h"

/* The property that a Var of EXCLUDED refers to, or 0 */
static int
property_of(const Var *var, const CtTable *table)
{
	/* set_plan_refs() has turned EXCLUDED into INNER_VAR */
	if (var->varno != INNER_VAR)
		return 0;
	for (int i = CT_ARG_STATUS; i < CT_COLUMNS_END; i++)
		if (var->varattno == table->attno[i])
			return i;
	return 0;
}

/* CASE WHEN condition THEN result ELSE otherwise END, of the type of a Var */
static Expr *
make_choice(const Var *var, Expr *condition, Expr *result, Expr *otherwise)
{
	CaseExpr   *choice = makeNode(CaseExpr);
	CaseWhen   *when = makeNode(CaseWhen);

	when->expr = condition;
	when->result = result;
	when->location = -1;
	choice->casetype = var->vartype;
	choice->casecollid = var->varcollid;
	choice->args = list_make1(when);
	choice->defresult = otherwise;
	choice->location = -1;
	return (Expr *) choice;
}

/* A call of one of our functions without arguments that returns boolean */
static Expr *
make_call(CtFunction function)
{
	return (Expr *) makeFuncExpr(ct_function_oid(function), BOOLOID, NIL, InvalidOid, InvalidOid,
								 COERCE_EXPLICIT_CALL);
}

/*
 * A property as it was given: the row has the flag only if it is a marketing contact, and that
 * only if it is eligible.
 */
static Expr *
as_given(Var *var, int property, const CtTable *table)
{
	if (property == CT_ARG_UNTIL)
		return make_call(CT_GIVEN_FLAG);
	if (property == CT_ARG_STATUS && table->eligible != NULL)
		return make_choice(var, make_call(CT_GIVEN_MARKETING),
						   (Expr *) makeConst(var->vartype, var->vartypmod, var->varcollid, get_typlen(var->vartype),
											  ct_status_datum(&table->status, true), false, true),
						   (Expr *) copyObject(var));
	return (Expr *) copyObject(var);
}

/* CASE WHEN is_given(property, is_set) THEN var ELSE otherwise END */
static Node *
if_given(Var *var, int property, const CtTable *table, bool is_set, Expr *otherwise)
{
	Expr	   *is_given = (Expr *) makeFuncExpr(ct_function_oid(CT_IS_GIVEN), BOOLOID,
												 list_make2(makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
																	  Int32GetDatum(property), false, true),
															makeBoolConst(is_set, false)),
												 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);

	return (Node *) make_choice(var, is_given, as_given(var, property, table), otherwise);
}

/* The table that a plan inserts into */
typedef struct Target
{
	const CtTable *table;
	TupleDesc	tupdesc;
} Target;

/* A column of EXCLUDED, as it is given; others than the properties are as they were. */
static Node *
replace_column(Var *var, const CtTable *table)
{
	int			property = property_of(var, table);

	return property == 0 ? (Node *) copyObject(var) :
		if_given(var, property, table, false, (Expr *) makeNullConst(var->vartype, var->vartypmod, var->varcollid));
}

/* EXCLUDED as a whole, put together from its columns */
static Node *
replace_row(const Var *var, const Target *target)
{
	RowExpr    *row = makeNode(RowExpr);

	for (int i = 0; i < target->tupdesc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(target->tupdesc, i);

		if (attr->attisdropped)
			row->args = lappend(row->args, makeNullConst(INT4OID, -1, InvalidOid));
		else
			row->args = lappend(row->args,
								replace_column(makeVar(INNER_VAR, i + 1, attr->atttypid, attr->atttypmod,
													   attr->attcollation, 0), target->table));
	}
	row->row_typeid = var->vartype;
	row->row_format = COERCE_IMPLICIT_CAST;
	row->location = -1;
	return (Node *) row;
}

/* Replace all that refers to EXCLUDED in an expression. */
static Node *
replace_mutator(Node *node, void *context)
{
	const Target *target = context;

	if (node == NULL)
		return NULL;
	if (IsA(node, Var) && ((Var *) node)->varno == INNER_VAR && ((Var *) node)->varattno == InvalidAttrNumber)
		return replace_row((Var *) node, target);
	if (IsA(node, Var))
		return replace_column((Var *) node, target->table);
	return ct_expression_tree_mutator(node, replace_mutator, context);
}

/*
 * The SET list.  A flag that is set to that of EXCLUDED, and was not given, stays what it is
 * in the table.
 */
static List *
replace_in_set(const ModifyTable *plan, const Target *target)
{
	List	   *result = NIL;
	ListCell   *cell;
	int			rti = linitial_int(plan->resultRelations);

	foreach(cell, plan->onConflictSet)
	{
		TargetEntry *entry = copyObject(lfirst_node(TargetEntry, cell));
		Var		   *var = IsA(entry->expr, Var) ? (Var *) entry->expr : NULL;

		if (var != NULL && property_of(var, target->table) == CT_ARG_UNTIL)
			entry->expr = (Expr *) if_given(var, CT_ARG_UNTIL, target->table, true,
											(Expr *) makeVar(rti, var->varattno, var->vartype, var->vartypmod,
															 var->varcollid, 0));
		else
			entry->expr = (Expr *) replace_mutator((Node *) entry->expr, unconstify(Target *, target));
		result = lappend(result, entry);
	}
	return result;
}

/*
 * Find the table that the statement names; false if the status trigger does not fire, which
 * notes what is given.
 */
static bool
resolve_named_table(const PlannedStmt *planned, const ModifyTable *plan, Target *target)
{
	RangeTblEntry *rte = rt_fetch(linitial_int(plan->resultRelations), planned->rtable);
	Relation	rel = try_table_open(rte->relid, NoLock);	/* the plan has locked
															 * it */
	Trigger    *status;

	if (rel == NULL)
		return false;
	status = ct_find_trigger(rel, CT_TRIGGER_STATUS);
	target->table = status != NULL && ct_fires(status) ? ct_table_of_relation(rel) : NULL;
	target->tupdesc = CreateTupleDescCopy(RelationGetDescr(rel));
	table_close(rel, NoLock);
	return target->table != NULL;
}

/* Is a plan an INSERT ... ON CONFLICT DO UPDATE? */
static bool
updates_on_conflict(const Plan *plan)
{
	return plan != NULL && IsA(plan, ModifyTable) &&
		((const ModifyTable *) plan)->onConflictAction == ONCONFLICT_UPDATE;
}

/* The plan, or a copy with EXCLUDED replaced, if it is an ON CONFLICT DO UPDATE. */
static Plan *
replace_in_plan(const PlannedStmt *planned, Plan *plan)
{
	ModifyTable *copy;
	Target		target;

	if (!updates_on_conflict(plan) || !resolve_named_table(planned, (ModifyTable *) plan, &target))
		return plan;
	copy = palloc(sizeof(ModifyTable));
	memcpy(copy, plan, sizeof(ModifyTable));
	copy->onConflictSet = replace_in_set(copy, &target);
	copy->onConflictWhere = replace_mutator(copy->onConflictWhere, &target);
	return (Plan *) copy;
}

/* Has a statement any of these? */
static bool
has_upsert(const PlannedStmt *planned)
{
	ListCell   *cell;

	if (planned->hasModifyingCTE)
	{
		foreach(cell, planned->subplans)
		{
			if (updates_on_conflict(lfirst(cell)))
				return true;
		}
	}
	return updates_on_conflict(planned->planTree);
}

/* A copy of a statement with EXCLUDED replaced in its upserts, at the top and in WITH queries */
static PlannedStmt *
replace_in_statement(const PlannedStmt *planned)
{
	PlannedStmt *copy = palloc(sizeof(PlannedStmt));
	ListCell   *cell;

	memcpy(copy, planned, sizeof(PlannedStmt));
	copy->planTree = replace_in_plan(planned, planned->planTree);
	copy->subplans = NIL;
	foreach(cell, planned->subplans)
		copy->subplans = lappend(copy->subplans, replace_in_plan(planned, lfirst(cell)));
	return copy;
}

/*
 * The statement as it is to be executed.  If that is a copy, *memory is its memory context, a
 * child of the current one; else it is NULL.  Nothing that the plan refers to is locked
 * here: the planner, or AcquireExecutorLocks() for a cached plan, has done that.
 */
PlannedStmt *
ct_replace_excluded(PlannedStmt *planned, MemoryContext *memory)
{
	MemoryContext old;

	*memory = NULL;
	if (!has_upsert(planned))
		return planned;
	*memory = AllocSetContextCreate(CurrentMemoryContext, "contacts_tier upsert", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(*memory);
	planned = replace_in_statement(planned);
	MemoryContextSwitchTo(old);
	return planned;
}
