/*-------------------------------------------------------------------------
 *
 * in_place.c
 *	  Rows are counted where they are written.
 *
 * For each row that an AFTER trigger is to see, PostgreSQL keeps an event and
 * fetches the row again at the end of the statement.  Before it does, it looks
 * at the trigger's WHEN clause, when the row has been written for good and is
 * still at hand.  So our counting trigger is given a WHEN clause of our own,
 * which counts the row at once and is false; it is true for the rows that need
 * more than counting, which the trigger then gets as usual.
 *
 * Only private descriptions of triggers get the clause: that of the executor for
 * one statement, which is handed the clause ready to run, and that of this backend
 * while a COPY starts (copy.c), where it has to be an expression.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "rewrite/prs2lock.h"

#include "contacts_tier.h"

/* Arguments of the expression: CT_ARG_ACCOUNT to CT_NARGS - 1, and ctid */
#define ROW_ARGS	(CT_NARGS - CT_ARG_ACCOUNT + 1)

/*
 * Count a row that was written.  Returns whether the trigger must look at it.
 * Errors: MC002 as ct_count_row().
 */
static bool
count_or_leave(const CtTable *table, CtRowChange *change)
{
	/* triggers of the statement would be one deeper */
	change->depth = ct_trigger_depth() + 1;
	change->relid = table->relid;
	change->trusted = ct_is_trusted();
	if (change->new != NULL)
	{
		change->status = ct_row_status(table, change->new);
		change->place = change->new->tid;
	}
	if (ct_needs_mending(table, change))
	{
		if (!change->new->isnull[CT_ARG_ACCOUNT])
			ct_delta_wait(table, change, change->new->value[CT_ARG_ACCOUNT]);
		return true;
	}
	ct_count_row(table, change);
	return false;
}

/*
 * The clause, as the executor calls it: the old row is the inner tuple and the
 * new one the outer.
 */
static Datum
evaluate_clause(ExprState *state, ExprContext *econtext, bool *isnull)
{
	const CtInPlace *in_place = state->evalfunc_private;
	CtRow		old;
	CtRow		new;
	CtRowChange change = {0};

	if (econtext->ecxt_innertuple != NULL)
	{
		ct_row_read(in_place->table, econtext->ecxt_innertuple, &old);
		change.old = &old;
	}
	if (econtext->ecxt_outertuple != NULL)
	{
		ct_row_read(in_place->table, econtext->ecxt_outertuple, &new);
		change.new = &new;
	}
	change.by_default = change.old == NULL && in_place->by_default;
	*isnull = false;
	return BoolGetDatum(count_or_leave(in_place->table, &change));
}

/*
 * Give the counting trigger of a relation of a statement that is about to run the
 * clause.  Not on partitions: an UPDATE may move rows out of them.  The memory is
 * that of the statement.
 */
void
ct_count_in_place(ResultRelInfo *relinfo, CtInPlace *in_place)
{
	Relation	rel = relinfo->ri_RelationDesc;
	Trigger    *trigger = ct_find_trigger_in(relinfo->ri_TrigDesc, CT_TRIGGER_COUNT);
	ExprState  *clause;

	if (rel->rd_rel->relkind != RELKIND_RELATION || rel->rd_rel->relispartition ||
		trigger == NULL || !ct_fires(trigger) || trigger->tgqual != NULL || !ct_right_args(trigger->tgnargs))
		return;
	clause = makeNode(ExprState);
	clause->flags = EEO_FLAG_IS_QUAL;
	clause->evalfunc = evaluate_clause;
	clause->evalfunc_private = in_place;
	/* that there is one; it is not read where it stands ready */
	trigger->tgqual = pstrdup("");
	relinfo->ri_TrigWhenExprs[trigger - relinfo->ri_TrigDesc->triggers] = clause;
	in_place->counts = true;
}

static Expr *
column(Relation rel, AttrNumber attno)
{
	Form_pg_attribute attr;

	if (attno == InvalidAttrNumber)
		return (Expr *) makeNullConst(TEXTOID, -1, InvalidOid);
	attr = TupleDescAttr(RelationGetDescr(rel), attno - 1);
	return (Expr *) makeVar(PRS2_NEW_VARNO, attno, attr->atttypid, attr->atttypmod, attr->attcollation, 0);
}

/*
 * The clause for the counting trigger of a relation that is copied into, as it
 * stands in a trigger description; palloc'd.
 */
char *
ct_copy_clause(Relation rel, const Trigger *trigger)
{
	CtTable    *table = ct_table_resolve(rel, trigger->tgnargs, trigger->tgargs);
	List	   *args = list_make1(makeConst(INTERNALOID, -1, InvalidOid, sizeof(Datum),
											PointerGetDatum(table), false, true));

	for (int i = CT_ARG_ACCOUNT; i < CT_NARGS; i++)
		args = lappend(args, column(rel, table->attno[i]));
	args = lappend(args, makeVar(PRS2_NEW_VARNO, SelfItemPointerAttributeNumber, TIDOID, -1, InvalidOid, 0));
	return nodeToString(makeFuncExpr(ct_function_oid(CT_COUNT_IN_PLACE), BOOLOID, args,
									 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL));
}

PG_FUNCTION_INFO_V1(contacts_tier_count_in_place);

/*
 * count_in_place(internal, ...) boolean: the clause in a COPY
 *
 * Nobody else can call it, for want of a value of type internal: the first
 * argument is the CtTable.  Errors: MC002 as ct_count_row().
 */
Datum
contacts_tier_count_in_place(PG_FUNCTION_ARGS)
{
	const CtTable *table = (const CtTable *) PG_GETARG_POINTER(0);
	CtRow		row;
	CtRowChange change = {.new = &row};

	for (int i = CT_ARG_ACCOUNT; i < CT_NARGS; i++)
	{
		row.value[i] = fcinfo->args[1 + i - CT_ARG_ACCOUNT].value;
		row.isnull[i] = fcinfo->args[1 + i - CT_ARG_ACCOUNT].isnull;
	}
	if (!AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]))
		row.value[CT_ARG_ACCOUNT] = ct_table_account(table, NULL, &row.isnull[CT_ARG_ACCOUNT]);
	ItemPointerCopy((ItemPointer) DatumGetPointer(fcinfo->args[ROW_ARGS].value), &row.tid);
	PG_RETURN_BOOL(count_or_leave(table, &change));
}
