/*-------------------------------------------------------------------------
 *
 * keep.c
 *	  INSERT and UPDATE without the BEFORE row trigger.
 *
 * Where a table has a BEFORE row trigger, PostgreSQL makes a tuple of each new
 * row for it, and locks and fetches each row first that it updates.  Our status
 * trigger needs nothing but the new row as the statement wants it and the old
 * one, and the executor has both at hand when it puts the new row together.  So a
 * plain INSERT or UPDATE gets a projection of ours for the new row, whose
 * expressions for the status columns do what the trigger would, and the trigger
 * is taken off the executor's private copy.
 *
 * That is right only where no other BEFORE trigger could come between, and where
 * rows cannot go to other partitions; elsewhere the trigger fires.
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

/* One relation of a statement */
typedef struct Keeping
{
	Trigger    *trigger;		/* ours, in the private copy */
	const CtTable *table;
	Bitmapset  *sets;			/* columns that an UPDATE names */
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
 * row; the others only ask what was found.  "colnos" are the attributes that the
 * plan's output sets; an INSERT has no old row.
 */
static Expr *
kept_column(Relation rel, Keeping *keeping, CtTriggerArg which, const List *colnos, bool is_insert)
{
	const AttrNumber *attno = keeping->table->attno;
	Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(rel), attno[which] - 1);
	List	   *args;

	args = list_make2(makeConst(INTERNALOID, -1, InvalidOid, sizeof(Datum), PointerGetDatum(keeping), false, true),
					  makeConst(INT4OID, -1, InvalidOid, sizeof(int32), Int32GetDatum(which), false, true));
	if (which == CT_ARG_STATUS)
	{
		for (int i = CT_ARG_ACCOUNT; i < CT_NARGS; i++)
			args = lappend(args, column(rel, attno[i], position_of(colnos, attno[i])));
		for (int i = CT_ARG_ACCOUNT; !is_insert && i < CT_NARGS; i++)
			args = lappend(args, column(rel, attno[i], 0));
	}
	return (Expr *) makeFuncExpr(ct_function_oid(CT_KEEP_PROPERTY), attr->atttypid, args,
								 attr->attcollation, InvalidOid, COERCE_EXPLICIT_CALL);
}

static List *
add_target(List *targets, Expr *expression)
{
	return lappend(targets, makeTargetEntry(expression, list_length(targets) + 1, NULL, false));
}

/*
 * The new row of an UPDATE: the status columns by us, the others that the
 * statement sets as the plan has them.  What is not in the list comes from the
 * old row.
 */
static ProjectionInfo *
project_update(ModifyTableState *state, ResultRelInfo *relinfo, Keeping *keeping, const List *colnos)
{
	Relation	rel = relinfo->ri_RelationDesc;
	List	   *targets = NIL;
	List	   *attnos = NIL;
	ListCell   *cell;

	for (int i = CT_ARG_STATUS; i < CT_NARGS; i++)
	{
		targets = add_target(targets, kept_column(rel, keeping, i, colnos, false));
		attnos = lappend_int(attnos, keeping->table->attno[i]);
	}
	foreach(cell, colnos)
	{
		AttrNumber	attno = lfirst_int(cell);

		if (list_member_int(attnos, attno))
			continue;
		targets = add_target(targets, column(rel, attno, foreach_current_index(cell) + 1));
		attnos = lappend_int(attnos, attno);
	}
	relinfo->ri_oldTupleSlot = table_slot_create(rel, &state->ps.state->es_tupleTable);
	return ExecBuildUpdateProjection(targets, true, attnos, RelationGetDescr(rel), state->ps.ps_ExprContext,
									 relinfo->ri_newTupleSlot, &state->ps);
}

/* The expression for any column of a new row, which the plan's output has whole. */
static Expr *
inserted_column(Relation rel, Keeping *keeping, AttrNumber attno, const List *colnos)
{
	for (int i = CT_ARG_STATUS; i < CT_NARGS; i++)
		if (keeping->table->attno[i] == attno)
			return kept_column(rel, keeping, i, colnos, true);
	if (TupleDescAttr(RelationGetDescr(rel), attno - 1)->attisdropped)
		return (Expr *) makeNullConst(INT4OID, -1, InvalidOid);
	return column(rel, attno, attno);
}

/*
 * The new row of an INSERT.  The status comes first among our columns wherever
 * it is in the table, for it is found together with the others.
 */
static ProjectionInfo *
project_insert(ModifyTableState *state, ResultRelInfo *relinfo, Keeping *keeping)
{
	Relation	rel = relinfo->ri_RelationDesc;
	int			natts = RelationGetNumberOfAttributes(rel);
	AttrNumber	status = keeping->table->attno[CT_ARG_STATUS];
	List	   *colnos = NIL;
	List	   *targets = NIL;

	for (int attno = 1; attno <= natts; attno++)
		colnos = lappend_int(colnos, attno);
	targets = lappend(targets, makeTargetEntry(inserted_column(rel, keeping, status, colnos),
											   status, NULL, false));
	for (int attno = 1; attno <= natts; attno++)
		if (attno != status)
			targets = lappend(targets, makeTargetEntry(inserted_column(rel, keeping, attno, colnos),
													   attno, NULL, false));
	return ExecBuildProjectionInfo(targets, state->ps.ps_ExprContext, relinfo->ri_newTupleSlot,
								   &state->ps, NULL);
}

/*
 * Give a relation of the statement our projection, as the executor would make its
 * own at the first row.
 */
static void
set_projection(ModifyTableState *state, ResultRelInfo *relinfo, Keeping *keeping, const List *colnos)
{
	EState	   *estate = state->ps.state;

	if (state->ps.ps_ExprContext == NULL)
		ExecAssignExprContext(estate, &state->ps);
	relinfo->ri_newTupleSlot = table_slot_create(relinfo->ri_RelationDesc, &estate->es_tupleTable);
	relinfo->ri_projectNew = state->operation == CMD_INSERT ?
		project_insert(state, relinfo, keeping) :
		project_update(state, relinfo, keeping, colnos);
	relinfo->ri_projectNewInfoValid = true;
}

/* Take the status trigger, the only one before rows, off a private copy. */
static void
remove_status_trigger(TriggerDesc *triggers, Trigger *trigger, bool is_insert)
{
	if (is_insert)
	{
		trigger->tgtype &= ~TRIGGER_TYPE_INSERT;
		triggers->trig_insert_before_row = false;
	}
	else
	{
		trigger->tgtype &= ~TRIGGER_TYPE_UPDATE;
		triggers->trig_update_before_row = false;
	}
}

/* Could rows of the statement go to other partitions? */
static bool
may_go_elsewhere(Relation rel, const Keeping *keeping, bool is_insert)
{
	if (is_insert)
		return rel->rd_rel->relkind != RELKIND_RELATION;
	return ct_may_move_rows(rel, keeping->table, keeping->sets);
}

/* What we do in place of the trigger, or NULL where it must fire. */
static Keeping *
may_keep(ResultRelInfo *relinfo, EState *estate, bool is_insert)
{
	Relation	rel = relinfo->ri_RelationDesc;
	Trigger    *trigger = relinfo->ri_TrigDesc == NULL ? NULL :
		ct_sole_keeper(relinfo->ri_TrigDesc, is_insert ? TRIGGER_TYPE_INSERT : TRIGGER_TYPE_UPDATE);
	Keeping    *keeping;

	if (trigger == NULL || !is_enabled(trigger) || trigger->tgqual != NULL ||
		relinfo->ri_projectNewInfoValid)
		return NULL;
	keeping = palloc(sizeof(Keeping));
	keeping->trigger = trigger;
	keeping->table = ct_table_resolve(rel, trigger->tgnargs, trigger->tgargs);
	keeping->sets = is_insert ? NULL : ExecGetUpdatedCols(relinfo, estate);
	return may_go_elsewhere(rel, keeping, is_insert) ? NULL : keeping;
}

/*
 * Take over from the status trigger in a statement that is about to run.  An ON
 * CONFLICT DO UPDATE still has the trigger fire for what it updates.
 */
void
ct_keep_prepare(QueryDesc *query)
{
	ModifyTableState *state = (ModifyTableState *) query->planstate;
	ModifyTable *plan = (ModifyTable *) query->plannedstmt->planTree;
	bool		is_insert = query->operation == CMD_INSERT;
	MemoryContext old;

	if ((!is_insert && query->operation != CMD_UPDATE) || !IsA(state, ModifyTableState))
		return;
	old = MemoryContextSwitchTo(query->estate->es_query_cxt);
	for (int i = 0; i < state->mt_nrels; i++)
	{
		ResultRelInfo *relinfo = &state->resultRelInfo[i];
		Keeping    *keeping = may_keep(relinfo, query->estate, is_insert);

		if (keeping == NULL)
			continue;
		set_projection(state, relinfo, keeping, is_insert ? NIL : list_nth(plan->updateColnosLists, i));
		remove_status_trigger(relinfo->ri_TrigDesc, keeping->trigger, is_insert);
	}
	MemoryContextSwitchTo(old);
}

PG_FUNCTION_INFO_V1(contacts_tier_keep_property);

/*
 * keep_property(internal, integer, VARIADIC "any") internal: a status column of
 * the new row, by CtTriggerArg.  Rows follow where it is to be found out: the new
 * one as the statement wants it and, in an UPDATE, the old one.
 *
 * Nobody else can call it, for want of a value of type internal.
 */
Datum
contacts_tier_keep_property(PG_FUNCTION_ARGS)
{
	const int	row_args = CT_NARGS - CT_ARG_ACCOUNT;
	Keeping    *keeping = (Keeping *) PG_GETARG_POINTER(0);
	CtTriggerArg which = PG_GETARG_INT32(1);

	if (PG_NARGS() > 2)
	{
		int			depth = ct_trigger_depth() + 1; /* of triggers of the
													 * statement */
		CtRow		old;

		ct_row_from_args(fcinfo, keeping->table, 2, &keeping->row);
		if (PG_NARGS() == 2 + row_args)
			(void) ct_row_insert(keeping->table, &keeping->row, depth);
		else
		{
			ct_row_from_args(fcinfo, keeping->table, 2 + row_args, &old);
			(void) ct_row_change(keeping->table, &old, &keeping->row, keeping->sets,
								 ct_trusted_depth == depth);
		}
	}
	fcinfo->isnull = keeping->row.isnull[which];
	return keeping->row.value[which];
}
