/*-------------------------------------------------------------------------
 *
 * bulk.c
 *	  Rows of bulk statements are counted where they are written.
 *
 * For each row that an AFTER trigger is to see, PostgreSQL keeps an event and
 * fetches the row again at the end of the statement.  Before it does, it looks
 * at the trigger's WHEN clause, when the row has been written for good and is
 * still at hand.  So where a statement writes many rows, our counting trigger is
 * given a WHEN clause of our own, which counts the row at once and is false; it
 * is true for the rows that need more than counting, which the trigger then gets
 * as usual.
 *
 * Only private descriptions of triggers get the clause: that of the executor for
 * one statement, and that of this backend while a COPY starts (copy.c).  Making
 * it ready costs about what ten rows cost without it, so statements of a few
 * rows do without.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/plannodes.h"
#include "rewrite/prs2lock.h"

#include "contacts_tier.h"

/* Statements of fewer rows, by the planner's estimate, are not bulk */
#define BULK_ROWS	20

/* Arguments of the clause for a row: CT_ARG_ACCOUNT to CT_NARGS - 1, and ctid */
#define ROW_ARGS	(CT_NARGS - CT_ARG_ACCOUNT + 1)

static Expr *
column(Relation rel, int varno, AttrNumber attno)
{
	Form_pg_attribute attr;

	if (attno == InvalidAttrNumber)
		return (Expr *) makeNullConst(TEXTOID, -1, InvalidOid);
	if (attno == SelfItemPointerAttributeNumber)
		return (Expr *) makeVar(varno, attno, TIDOID, -1, InvalidOid, 0);
	attr = TupleDescAttr(RelationGetDescr(rel), attno - 1);
	return (Expr *) makeVar(varno, attno, attr->atttypid, attr->atttypmod, attr->attcollation, 0);
}

static List *
add_row(List *args, Relation rel, const CtTable *table, int varno)
{
	for (int i = CT_ARG_ACCOUNT; i < CT_NARGS; i++)
		args = lappend(args, column(rel, varno, table->attno[i]));
	return lappend(args, column(rel, varno, SelfItemPointerAttributeNumber));
}

/*
 * The WHEN clause for the counting trigger of a relation, as it stands in a
 * trigger description; palloc'd.  With "update" it also looks at the old row, so
 * it is for UPDATE alone; else it is for INSERT alone.
 */
char *
ct_bulk_clause(Relation rel, const Trigger *trigger, bool update)
{
	CtTable    *table = ct_table_resolve(rel, trigger->tgnargs, trigger->tgargs);
	List	   *args = list_make1(makeConst(INTERNALOID, -1, InvalidOid, sizeof(Datum),
											PointerGetDatum(table), false, true));

	args = add_row(args, rel, table, PRS2_NEW_VARNO);
	if (update)
		args = add_row(args, rel, table, PRS2_OLD_VARNO);
	return nodeToString(makeFuncExpr(ct_function_oid(CT_COUNT_IN_PLACE), BOOLOID, args,
									 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL));
}

/*
 * Does the statement write many rows, and each by one kind of event?
 */
static bool
is_bulk(const QueryDesc *query)
{
	const ModifyTable *plan = (const ModifyTable *) query->plannedstmt->planTree;

	if ((query->operation != CMD_INSERT && query->operation != CMD_UPDATE) ||
		!IsA(plan, ModifyTable))
		return false;
	return plan->onConflictAction != ONCONFLICT_UPDATE &&
		outerPlan(plan)->plan_rows >= BULK_ROWS;
}

/*
 * Give the counting triggers of a statement that is about to run the clause.
 * Not on partitions: an UPDATE may move rows out of them, by other events.
 */
void
ct_bulk_prepare(QueryDesc *query)
{
	ListCell   *cell;

	if (!is_bulk(query))
		return;
	foreach(cell, query->estate->es_opened_result_relations)
	{
		ResultRelInfo *relinfo = lfirst(cell);
		Relation	rel = relinfo->ri_RelationDesc;
		Trigger    *trigger = ct_find_trigger_in(relinfo->ri_TrigDesc, CT_TRIGGER_COUNT);
		MemoryContext old;

		if (rel->rd_rel->relispartition || trigger == NULL || !ct_right_args(trigger->tgnargs))
			continue;
		old = MemoryContextSwitchTo(query->estate->es_query_cxt);
		trigger->tgqual = ct_bulk_clause(rel, trigger, query->operation == CMD_UPDATE);
		MemoryContextSwitchTo(old);
	}
}

/* The row among the arguments of the clause that begins with argument "first". */
static void
read_row(FunctionCallInfo fcinfo, const CtTable *table, int first, CtRow *row)
{
	ct_row_from_args(fcinfo, table, first, row);
	ItemPointerCopy((ItemPointer) DatumGetPointer(fcinfo->args[first + ROW_ARGS - 1].value), &row->tid);
}

PG_FUNCTION_INFO_V1(contacts_tier_count_in_place);

/*
 * count_in_place(internal, ...) boolean: the clause
 *
 * Nobody else can call it, for want of a value of type internal: the first
 * argument is the CtTable.  Errors: MC002 as ct_count_row().
 */
Datum
contacts_tier_count_in_place(PG_FUNCTION_ARGS)
{
	const CtTable *table = (const CtTable *) PG_GETARG_POINTER(0);
	CtRow		oldrow;
	CtRow		newrow;

	/* triggers of the statement would be one deeper */
	CtRowChange change = {.depth = ct_trigger_depth() + 1,.relid = table->relid,.new = &newrow};

	read_row(fcinfo, table, 1, &newrow);
	if (PG_NARGS() > 1 + ROW_ARGS)
	{
		read_row(fcinfo, table, 1 + ROW_ARGS, &oldrow);
		change.old = &oldrow;
	}
	change.status = ct_row_status(table, &newrow);
	change.trusted = ct_trusted_depth == change.depth;
	change.place = newrow.tid;
	if (ct_needs_mending(table, &change))
	{
		if (!newrow.isnull[CT_ARG_ACCOUNT])
			ct_delta_wait(table, &change, newrow.value[CT_ARG_ACCOUNT]);
		PG_RETURN_BOOL(true);
	}
	ct_count_row(table, &change);
	PG_RETURN_BOOL(false);
}
