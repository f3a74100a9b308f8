/*-------------------------------------------------------------------------
 *
 * update.c
 *	  UPDATE without the BEFORE UPDATE row trigger.
 *
 * For a table that has any BEFORE UPDATE row trigger, PostgreSQL locks and
 * fetches each row before it updates it, and makes a tuple for the trigger.  Our
 * status trigger needs nothing but the old row and what the statement sets, and
 * the executor has both at hand when it puts the new row together.  So a plain
 * UPDATE gets a projection of ours for the new row, whose expressions for the
 * status columns do what the trigger would, and the trigger is taken off the
 * executor's private copy.
 *
 * That is right only where no other BEFORE trigger could come between, and where
 * a row cannot be moved to another partition; elsewhere the trigger fires.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/tableam.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "utils/partcache.h"

#include "contacts_tier.h"

/* The executor hands the old row to a projection as the scanned one */
#define OLD_ROW		1

/* One relation of an UPDATE */
typedef struct Keeping
{
	const CtTable *table;
	Bitmapset  *sets;			/* columns that the statement names */
	CtRow		row;			/* the status properties of the row at hand */
} Keeping;

/* Would the trigger fire in this session? */
static bool
is_enabled(const Trigger *trigger)
{
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA || trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
	return trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN || trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
}

/*
 * Could a row be moved to another partition by a change of these columns, or of
 * our own?  It would come by as a new one there, of which the status trigger
 * must know that it is not.
 */
bool
ct_may_move_rows(Relation rel, const CtTable *table, const Bitmapset *sets)
{
	Bitmapset  *bounds = NULL;

	if (!rel->rd_rel->relispartition)
		return false;
	pull_varattnos((Node *) RelationGetPartitionQual(rel), 1, &bounds);
	for (int i = CT_ARG_STATUS; i < CT_NARGS; i++)
		if (bms_is_member(table->attno[i] - FirstLowInvalidHeapAttributeNumber, bounds))
			return true;
	return bms_overlap(bounds, sets);
}

/* The column of the plan's output that sets an attribute, 0 if none does. */
static int
position_of(const List *colnos, AttrNumber attno)
{
	ListCell   *cell;

	foreach(cell, colnos)
		if (lfirst_int(cell) == attno)
			return foreach_current_index(cell) + 1;
	return 0;
}

/* A column of the new row, before we have looked at it, or of the old one. */
static Expr *
column(Relation rel, AttrNumber attno, int position)
{
	Form_pg_attribute attr;

	if (attno == InvalidAttrNumber)
		return (Expr *) makeNullConst(TEXTOID, -1, InvalidOid);
	attr = TupleDescAttr(RelationGetDescr(rel), attno - 1);
	return (Expr *) makeVar(position > 0 ? OUTER_VAR : OLD_ROW, position > 0 ? position : attno,
							attr->atttypid, attr->atttypmod, attr->attcollation, 0);
}

/*
 * The expression for one status column.  That for the first looks at the whole
 * row; the others only ask what was found.
 */
static Expr *
kept_column(Relation rel, Keeping *keeping, CtTriggerArg which, const List *colnos)
{
	const AttrNumber *attno = keeping->table->attno;
	Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(rel), attno[which] - 1);
	List	   *args;
	FuncExpr   *expression;

	args = list_make2(makeConst(INTERNALOID, -1, InvalidOid, sizeof(Datum), PointerGetDatum(keeping), false, true),
					  makeConst(INT4OID, -1, InvalidOid, sizeof(int32), Int32GetDatum(which), false, true));
	for (int i = CT_ARG_ACCOUNT; which == CT_ARG_STATUS && i < CT_NARGS; i++)
		args = lappend(args, column(rel, attno[i], 0));
	for (int i = CT_ARG_ACCOUNT; which == CT_ARG_STATUS && i < CT_NARGS; i++)
		args = lappend(args, column(rel, attno[i], position_of(colnos, attno[i])));
	expression = makeFuncExpr(ct_function_oid(CT_KEEP_PROPERTY), attr->atttypid, args,
							  attr->attcollation, InvalidOid, COERCE_EXPLICIT_CALL);
	return (Expr *) expression;
}

/*
 * The new row: the status columns by us, the others that the statement sets as
 * the plan has them.  What is not in the list comes from the old row.
 */
static List *
new_row(Relation rel, Keeping *keeping, const List *colnos, List **targets)
{
	List	   *attnos = NIL;
	ListCell   *cell;

	*targets = NIL;
	for (int i = CT_ARG_STATUS; i < CT_NARGS; i++)
	{
		attnos = lappend_int(attnos, keeping->table->attno[i]);
		*targets = lappend(*targets, makeTargetEntry(kept_column(rel, keeping, i, colnos),
													 list_length(attnos), NULL, false));
	}
	foreach(cell, colnos)
	{
		AttrNumber	attno = lfirst_int(cell);

		if (list_member_int(attnos, attno))
			continue;
		attnos = lappend_int(attnos, attno);
		*targets = lappend(*targets, makeTargetEntry(column(rel, attno, foreach_current_index(cell) + 1),
													 list_length(attnos), NULL, false));
	}
	return attnos;
}

/*
 * Give a relation of the statement our projection, as the executor would make its
 * own at the first row.
 */
static void
set_projection(ModifyTableState *state, ResultRelInfo *relinfo, Keeping *keeping, const List *colnos)
{
	EState	   *estate = state->ps.state;
	Relation	rel = relinfo->ri_RelationDesc;
	List	   *targets;
	List	   *attnos = new_row(rel, keeping, colnos, &targets);

	relinfo->ri_oldTupleSlot = table_slot_create(rel, &estate->es_tupleTable);
	relinfo->ri_newTupleSlot = table_slot_create(rel, &estate->es_tupleTable);
	if (state->ps.ps_ExprContext == NULL)
		ExecAssignExprContext(estate, &state->ps);
	relinfo->ri_projectNew = ExecBuildUpdateProjection(targets, true, attnos, RelationGetDescr(rel),
													   state->ps.ps_ExprContext,
													   relinfo->ri_newTupleSlot, &state->ps);
	relinfo->ri_projectNewInfoValid = true;
}

static void
remove_status_trigger(TriggerDesc *triggers)
{
	Trigger    *trigger = ct_find_trigger_in(triggers, CT_TRIGGER_STATUS);

	trigger->tgtype &= ~TRIGGER_TYPE_UPDATE;
	triggers->trig_update_before_row = false;	/* it was the only one */
}

/* What we do in place of the trigger, or NULL where it must fire. */
static Keeping *
may_keep(ResultRelInfo *relinfo, EState *estate)
{
	Relation	rel = relinfo->ri_RelationDesc;
	const Trigger *trigger = relinfo->ri_TrigDesc == NULL ? NULL :
		ct_sole_keeper(relinfo->ri_TrigDesc, TRIGGER_TYPE_UPDATE);
	Keeping    *keeping;

	if (trigger == NULL || !is_enabled(trigger) || trigger->tgqual != NULL ||
		relinfo->ri_projectNewInfoValid)
		return NULL;
	keeping = palloc(sizeof(Keeping));
	keeping->table = ct_table_resolve(rel, trigger->tgnargs, trigger->tgargs);
	keeping->sets = ExecGetUpdatedCols(relinfo, estate);
	return ct_may_move_rows(rel, keeping->table, keeping->sets) ? NULL : keeping;
}

/*
 * Take over from the status trigger in a statement that is about to run.
 */
void
ct_update_prepare(QueryDesc *query)
{
	ModifyTableState *state = (ModifyTableState *) query->planstate;
	ModifyTable *plan = (ModifyTable *) query->plannedstmt->planTree;
	MemoryContext old;

	if (query->operation != CMD_UPDATE || !IsA(state, ModifyTableState) || plan->updateColnosLists == NIL)
		return;
	old = MemoryContextSwitchTo(query->estate->es_query_cxt);
	for (int i = 0; i < state->mt_nrels; i++)
	{
		ResultRelInfo *relinfo = &state->resultRelInfo[i];
		Keeping    *keeping = may_keep(relinfo, query->estate);

		if (keeping == NULL)
			continue;
		set_projection(state, relinfo, keeping, list_nth(plan->updateColnosLists, i));
		remove_status_trigger(relinfo->ri_TrigDesc);
	}
	MemoryContextSwitchTo(old);
}

PG_FUNCTION_INFO_V1(contacts_tier_keep_property);

/*
 * keep_property(internal, integer, VARIADIC "any") internal: a status column of
 * the new row, by CtTriggerArg.  Rows follow where it is to be found out: the old
 * one, and the new one as the statement wants it.
 *
 * Nobody else can call it, for want of a value of type internal.
 */
Datum
contacts_tier_keep_property(PG_FUNCTION_ARGS)
{
	Keeping    *keeping = (Keeping *) PG_GETARG_POINTER(0);
	CtTriggerArg which = PG_GETARG_INT32(1);

	if (PG_NARGS() > 2)
	{
		CtRow		old;
		int			depth = ct_trigger_depth() + 1; /* of triggers of the statement */

		ct_row_from_args(fcinfo, keeping->table, 2, &old);
		ct_row_from_args(fcinfo, keeping->table, 2 + CT_NARGS - CT_ARG_ACCOUNT, &keeping->row);
		(void) ct_row_change(keeping->table, &old, &keeping->row, keeping->sets, ct_trusted_depth == depth);
	}
	fcinfo->isnull = keeping->row.isnull[which];
	return keeping->row.value[which];
}
