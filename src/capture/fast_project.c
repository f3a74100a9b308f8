/*-------------------------------------------------------------------------
 *
 * fast_project.c
 *	  INSERT and UPDATE without the BEFORE row trigger.
 *
 * If a table has a BEFORE row trigger, PostgreSQL forms a tuple of each new row for it,
 * and locks and fetches each row first that it updates.  Our status trigger needs only
 * the new row, as the statement gives it, and the old one, and the executor has both at
 * hand when it puts the new row together.  So a plain INSERT or UPDATE gets a projection
 * of ours, which puts the new row together and does what the trigger would.  The trigger
 * is removed from the executor's private copy.
 *
 * That is right only where no other BEFORE trigger could come between, and where
 * rows cannot go to other partitions; elsewhere the trigger fires.
 *
 * What makes it sound:
 *
 *	 ExecModifyTable() calls ExecInitInsertProjection() or ExecInitUpdateProjection()
 *	 only while ri_projectNewInfoValid is false.  set_projection() does what they do: the
 *	 slots by table_slot_create(), the context by ExecAssignExprContext().  What
 *	 else they create in a new release must be created here.
 *
 *	 ExecGetInsertNewTuple() and ExecGetUpdateNewTuple() run ri_projectNew, with the plan's
 *	 output as the outer tuple and the old row as the scan tuple.  ExecProject() does not
 *	 look into the state: it calls evalfunc, and marks the result slot as filled.
 *	 For an INSERT PostgreSQL has no projection itself ("currently, this is dead code"), but
 *	 honours one.
 *
 *	 ExecCheckPlanOutput() and ExecBuildUpdateProjection() would have checked that the
 *	 plan fits the table, which has been locked since it was planned; has_width() does that,
 *	 and leaves to them what does not.
 *
 *	 EvalPlanQual() has ExecUpdate() project a row anew that another transaction has changed.
 *	 What was decided the first time is overwritten then; only the clause counts, when
 *	 the row has been written.
 *
 *	 ExecUpdatePrologue() and ExecUpdateEpilogue() of a row come before and after its projection,
 *	 which is the last one if there are several, so whether its AFTER triggers fire can be
 *	 decided there (ct_fire_after_update()).  Transition tables are filled all the same.
 *
 *	 ExecInsert() computes generated columns and checks constraints after the projection,
 *	 as after BEFORE triggers.
 *
 *	 From the projection of a row to its AFTER triggers, where fast_count.c counts it, nothing
 *	 changes the columns that concern us: they are not generated (ct_table_resolve()), and no
 *	 other BEFORE trigger fires.  What they point to lasts as long: the plan's output and the
 *	 old row until the next row is asked for, the memory of the row until ExecModifyTable()
 *	 resets it there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/partcache.h"

#include "capture/capture.h"

/* One relation of a statement */
typedef struct Projecting
{
	CtFastPath *fast;
	CtCounting	counting;		/* of its rows, if triggers leave it at that */
	bool		is_insert;
	Bitmapset  *sets;			/* columns that an UPDATE names, as bits: */
	bool		sets_contact;	/* is one of them ours? */
	bool		may_delete;		/* do contacts exist by one of them? */
	bool		may_exclude;	/* are they eligible by one of them? */
	AttrNumber *set;			/* columns that the plan's output is to set */
	int			nsets;			/* none for an INSERT: its output is whole */
	AttrNumber *dropped;		/* columns that were, which are to be null */
	int			ndropped;
} Projecting;

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
	for (int i = CT_ARG_STATUS; i < CT_COLUMNS_END; i++)
		if (bms_is_member(table->attno[i] - FirstLowInvalidHeapAttributeNumber, bounds))
			return true;
	return bms_overlap(bounds, sets);
}

/*
 * Put together the new row of an INSERT, which the plan's output has whole, or of
 * an UPDATE: what the statement sets comes from the plan, the rest from the old
 * row.  Dropped columns are null.
 */
static void
assemble_row(const Projecting *projecting, const TupleTableSlot *planned, const TupleTableSlot *old,
			 TupleTableSlot *row)
{
	const TupleTableSlot *from = old == NULL ? planned : old;
	TupleDesc	tupdesc = row->tts_tupleDescriptor;

	memcpy(row->tts_values, from->tts_values, sizeof(Datum) * tupdesc->natts);
	memcpy(row->tts_isnull, from->tts_isnull, sizeof(bool) * tupdesc->natts);
	for (int i = 0; i < projecting->nsets; i++)
	{
		row->tts_values[projecting->set[i] - 1] = planned->tts_values[i];
		row->tts_isnull[projecting->set[i] - 1] = planned->tts_isnull[i];
	}
	for (int i = 0; i < projecting->ndropped; i++)
		row->tts_isnull[projecting->dropped[i] - 1] = true;
}

/* Put the status properties into a row, in a virtual tuple slot. */
static void
put_properties(const CtTable *table, TupleTableSlot *row, const CtRow *contact)
{
	for (int i = CT_ARG_STATUS; i < CT_COLUMNS_END; i++)
	{
		row->tts_values[table->attno[i] - 1] = contact->value[i];
		row->tts_isnull[table->attno[i] - 1] = contact->isnull[i];
	}
}

/*
 * If triggers of the application fire for a statement, it cannot be decided before they have
 * fired that its rows do not fit.  A single row is decided all the same, so that they see what
 * is stored.
 */
static CtCounting
if_sure(const CtFastPath *fast, CtCounting counting)
{
	return fast->has_followers && !ct_writes_one_row(ct_statement()) ? CT_COUNTED_MAYBE : counting;
}

/*
 * Give a new row, in a virtual tuple slot, the status properties that the status trigger
 * would give it.  The decision of the statement at work is that of this row then, for
 * fast_count.c, which counts it.  What is put into the tuple slot lives in the current memory
 * context, which is that of the row, or in that of the statement.  Errors: those of
 * ct_row_insert().
 */
void
ct_fast_complete(CtFastPath *fast, TupleTableSlot *row, CtCounting counting)
{
	bool		differs;

	ct_row_read(fast->table, row, &fast->row);
	ct_row_judge(fast->table, row, &fast->row);
	ct_use_session_source(&fast->source);
	differs = ct_row_insert(fast->table, &fast->row, if_sure(fast, counting));
	ct_use_session_source(NULL);
	ct_statement()->decision.is_absent = fast->row.is_absent;
	ct_statement()->decision.is_ineligible = fast->row.is_ineligible;
	if (differs)
		put_properties(fast->table, row, &fast->row);
}

/*
 * Note of a row that is updated, and of what it is to be, whether they count as deleted.  They
 * do alike if the UPDATE names no column of the condition.
 */
static void
note_existence(const Projecting *projecting, TupleTableSlot *old, TupleTableSlot *row)
{
	CtFastPath *fast = projecting->fast;
	const CtCondition *exists = fast->table->exists;

	fast->row.is_absent = exists != NULL && !ct_condition_is_true(exists, row);
	fast->before.is_absent = projecting->may_delete ? !ct_condition_is_true(exists, old) : fast->row.is_absent;
}

/* Is a column null in a virtual tuple slot? */
static inline bool
lacks(const CtTable *table, const TupleTableSlot *row, CtTriggerArg which)
{
	return row->tts_isnull[table->attno[which] - 1];
}

/* The value of one that is not */
static inline Datum
column(const CtTable *table, const TupleTableSlot *row, CtTriggerArg which)
{
	return row->tts_values[table->attno[which] - 1];
}

/*
 * Does an UPDATE leave a contact as it is?  So does one that sets no column of ours, but one that
 * a condition reads, unless it changes what that says, or the row is one that must be mended or
 * refused.
 */
static bool
leaves_contact(const Projecting *projecting, TupleTableSlot *row)
{
	const CtTable *table = projecting->fast->table;
	bool		marketing;

	if (projecting->sets_contact || projecting->fast->row.is_absent != projecting->fast->before.is_absent ||
		ct_second_writes_wait() || ct_is_truncating() || lacks(table, row, CT_ARG_STATUS) ||
		(AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]) && lacks(table, row, CT_ARG_ACCOUNT)))
		return false;
	marketing = ct_status_is_marketing(&table->status, column(table, row, CT_ARG_STATUS));
	if (!lacks(table, row, CT_ARG_UNTIL))
		return marketing && DatumGetBool(column(table, row, CT_ARG_UNTIL));
	return !marketing || !projecting->may_exclude || ct_condition_is_true(table->eligible, row);
}

/*
 * The same for a row that is updated; false if its contact stays as it is, which is neither read
 * nor counted then.
 */
static bool
change_properties(const Projecting *projecting, TupleTableSlot *old, TupleTableSlot *row)
{
	CtFastPath *fast = projecting->fast;
	bool		differs;

	note_existence(projecting, old, row);
	if (leaves_contact(projecting, row))
	{
		fast->before.tid = old->tts_tid;
		ct_statement()->decision.dropped = false;
		return false;
	}
	ct_row_read_columns(fast->table, row, &fast->row);
	ct_row_read_columns(fast->table, old, &fast->before);
	ct_row_judge_change(fast->table, old, &fast->before, row, &fast->row);
	ct_use_session_source(&fast->source);
	differs = ct_row_change(fast->table, &fast->before, &fast->row, projecting->sets,
							if_sure(fast, projecting->counting));
	ct_use_session_source(NULL);
	if (differs)
		put_properties(fast->table, row, &fast->row);
	return true;
}

/* Project a row, and say in *fast by what. */
static void
project(const Projecting *projecting, TupleTableSlot *old, TupleTableSlot *row)
{
	CtFastPath *fast = projecting->fast;

	if (old == NULL)
	{
		ct_fast_complete(fast, row, projecting->counting);
		fast->projected = CMD_INSERT;
		return;
	}
	fast->projected = change_properties(projecting, old, row) ? CMD_UPDATE : CMD_NOTHING;
	if (fast->alone != NULL)
		ct_fire_after_update(fast->alone, fast->projected == CMD_UPDATE);
}

/*
 * The projection: fills the tuple slot of the new row, as the executor calls it.  There
 * is no value, and from PostgreSQL 18 on no place for it.  The memory is that of
 * one row.
 */
static Datum
project_row(ExprState *state, ExprContext *econtext, bool *isnull)
{
	const Projecting *projecting = state->evalfunc_private;
	TupleTableSlot *planned = econtext->ecxt_outertuple;
	TupleTableSlot *old = projecting->is_insert ? NULL : econtext->ecxt_scantuple;
	TupleTableSlot *row = state->resultslot;

	slot_getallattrs(planned);
	if (old != NULL)
		slot_getallattrs(old);
	assemble_row(projecting, planned, old, row);
	ExecStoreVirtualTuple(row);
	project(projecting, old, row);
	return (Datum) 0;
}

/*
 * Give a relation of the statement our projection, as the executor would create its
 * own at the first row.  It is not an expression that was compiled: there is one
 * step, which is ours.
 */
static void
set_projection(ModifyTableState *state, ResultRelInfo *relinfo, Projecting *projecting)
{
	EState	   *estate = state->ps.state;
	Relation	rel = relinfo->ri_RelationDesc;
	ProjectionInfo *projection = makeNode(ProjectionInfo);

	if (state->ps.ps_ExprContext == NULL)
		ExecAssignExprContext(estate, &state->ps);
	relinfo->ri_newTupleSlot = table_slot_create(rel, &estate->es_tupleTable);
	if (!projecting->is_insert)
		relinfo->ri_oldTupleSlot = table_slot_create(rel, &estate->es_tupleTable);
	projection->pi_exprContext = state->ps.ps_ExprContext;
	projection->pi_state.type = T_ExprState;
	projection->pi_state.resultslot = relinfo->ri_newTupleSlot;
	projection->pi_state.evalfunc = project_row;
	projection->pi_state.evalfunc_private = projecting;
	projection->pi_state.parent = &state->ps;
	relinfo->ri_projectNew = projection;
	relinfo->ri_projectNewInfoValid = true;
}

/* Could rows of the statement go to other partitions? */
static bool
may_go_elsewhere(Relation rel, const Projecting *projecting)
{
	if (projecting->is_insert)
		return rel->rd_rel->relkind != RELKIND_RELATION;
	return ct_may_move_rows(rel, projecting->fast->table, projecting->sets);
}

/* Note which columns the plan's output sets, in its order, and which are dropped. */
static void
note_columns(Projecting *projecting, TupleDesc tupdesc, const List *colnos)
{
	ListCell   *cell;

	projecting->set = palloc(sizeof(AttrNumber) * (list_length(colnos) + tupdesc->natts));
	foreach(cell, colnos)
		projecting->set[projecting->nsets++] = lfirst_int(cell);
	projecting->dropped = projecting->set + projecting->nsets;
	for (int i = 0; i < tupdesc->natts; i++)
		if (TupleDescAttr(tupdesc, i)->attisdropped)
			projecting->dropped[projecting->ndropped++] = i + 1;
}

/*
 * Does the output of the plan have the columns that the projection expects?  For an INSERT
 * a whole row, as ExecCheckPlanOutput() demands; for an UPDATE the columns that are set, in
 * order.
 */
static bool
has_width(const ModifyTableState *state, Relation rel, const List *colnos)
{
	const Plan *plan = outerPlan(state->ps.plan);
	TupleDesc	tupdesc = RelationGetDescr(rel);
	int			width = 0;
	ListCell   *cell;

	foreach(cell, plan->targetlist)
	{
		TargetEntry *entry = lfirst(cell);
		AttrNumber	attno = colnos == NIL ? width + 1 : width < list_length(colnos) ? list_nth_int(colnos, width) : 0;

		if (entry->resjunk)
			break;
		if (attno < 1 || attno > tupdesc->natts ||
			(!TupleDescAttr(tupdesc, attno - 1)->attisdropped &&
			 exprType((Node *) entry->expr) != TupleDescAttr(tupdesc, attno - 1)->atttypid))
			return false;
		width++;
	}
	return width == (colnos == NIL ? tupdesc->natts : list_length(colnos));
}

/*
 * Do the work of the status trigger in one relation of an INSERT or UPDATE that is about to
 * run; false, with nothing changed, if that cannot be.  The caller removes the trigger for
 * the event; an ON CONFLICT DO UPDATE still fires it for the rows that it updates.  The
 * current memory context is that of the statement.
 */
bool
ct_fast_project(ModifyTableState *state, int index, CtFastPath *fast, CtCounting counting)
{
	ResultRelInfo *relinfo = &state->resultRelInfo[index];
	bool		is_insert = state->operation == CMD_INSERT;
	List	   *colnos = is_insert ? NIL : ct_update_colnos(state, index);
	Projecting *projecting = palloc0(sizeof(Projecting));

	projecting->fast = fast;
	projecting->counting = counting;
	projecting->is_insert = is_insert;
	projecting->sets = is_insert ? NULL : ExecGetUpdatedCols(relinfo, state->ps.state);
	projecting->sets_contact = ct_row_is_set(fast->table, projecting->sets);
	projecting->may_delete = ct_condition_reads(fast->table->exists, projecting->sets);
	projecting->may_exclude = ct_condition_reads(fast->table->eligible, projecting->sets);
	if (may_go_elsewhere(relinfo->ri_RelationDesc, projecting) ||
		!has_width(state, relinfo->ri_RelationDesc, colnos))
		return false;
	note_columns(projecting, RelationGetDescr(relinfo->ri_RelationDesc), colnos);
	set_projection(state, relinfo, projecting);
	return true;
}
