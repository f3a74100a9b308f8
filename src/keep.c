/*-------------------------------------------------------------------------
 *
 * keep.c
 *	  INSERT and UPDATE without the BEFORE row trigger.
 *
 * Where a table has a BEFORE row trigger, PostgreSQL makes a tuple of each new
 * row for it, and locks and fetches each row first that it updates.  Our status
 * trigger needs nothing but the new row as the statement wants it and the old
 * one, and the executor has both at hand when it puts the new row together.  So a
 * plain INSERT or UPDATE gets a projection of ours for the new row, which puts it
 * together and does what the trigger would, and the trigger is taken off the
 * executor's private copy.
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
#include "executor/executor.h"
#include "optimizer/optimizer.h"
#include "utils/partcache.h"

#include "contacts_tier.h"

/* One relation of a statement */
typedef struct Keeping
{
	CtInPlace  *in_place;
	bool		is_insert;
	Bitmapset  *sets;			/* columns that an UPDATE names, as bits */
	AttrNumber *set;			/* columns that the plan's output is to set */
	int			nsets;			/* none for an INSERT: its output is whole */
	AttrNumber *dropped;
	int			ndropped;
} Keeping;

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

/*
 * Put together the new row of an INSERT, which the plan's output has whole, or of
 * an UPDATE: what the statement sets comes from the plan, the rest from the old
 * row.  Dropped columns are null.
 */
static void
assemble_row(const Keeping *keeping, const TupleTableSlot *planned, const TupleTableSlot *old,
			 TupleTableSlot *row)
{
	const TupleTableSlot *from = old == NULL ? planned : old;
	TupleDesc	tupdesc = row->tts_tupleDescriptor;

	memcpy(row->tts_values, from->tts_values, sizeof(Datum) * tupdesc->natts);
	memcpy(row->tts_isnull, from->tts_isnull, sizeof(bool) * tupdesc->natts);
	for (int i = 0; i < keeping->nsets; i++)
	{
		row->tts_values[keeping->set[i] - 1] = planned->tts_values[i];
		row->tts_isnull[keeping->set[i] - 1] = planned->tts_isnull[i];
	}
	for (int i = 0; i < keeping->ndropped; i++)
		row->tts_isnull[keeping->dropped[i] - 1] = true;
}

/*
 * Does the new row differ in its status properties from what the statement wants
 * after the rules have been applied?  Then "contact" has them.
 */
static bool
apply_rules(const Keeping *keeping, TupleTableSlot *old, TupleTableSlot *row, CtRow *contact)
{
	CtInPlace  *in_place = keeping->in_place;
	const CtTable *table = in_place->table;
	int			depth = ct_trigger_depth() + 1; /* of triggers of the
												 * statement */
	CtRow		before;

	ct_row_read(table, row, contact);
	if (old == NULL)
	{
		bool		differs = ct_row_insert(table, contact, &in_place->by_default);

		if (!in_place->counts)
			ct_note_insert(table, depth, contact, in_place->by_default);
		return differs;
	}
	ct_row_read(table, old, &before);
	return ct_row_change(table, &before, contact, keeping->sets, ct_is_trusted());
}

/*
 * The projection: fills the slot of the new row, as the executor calls it.  There
 * is no value, and from PostgreSQL 18 on no place for it.  The memory is that of
 * one row.
 */
static Datum
project_row(ExprState *state, ExprContext *econtext, bool *isnull)
{
	const Keeping *keeping = state->evalfunc_private;
	const AttrNumber *attno = keeping->in_place->table->attno;
	TupleTableSlot *planned = econtext->ecxt_outertuple;
	TupleTableSlot *old = keeping->is_insert ? NULL : econtext->ecxt_scantuple;
	TupleTableSlot *row = state->resultslot;
	CtRow		contact;

	slot_getallattrs(planned);
	if (old != NULL)
		slot_getallattrs(old);
	assemble_row(keeping, planned, old, row);
	ExecStoreVirtualTuple(row);
	if (apply_rules(keeping, old, row, &contact))
		for (int i = CT_ARG_STATUS; i < CT_NARGS; i++)
		{
			row->tts_values[attno[i] - 1] = contact.value[i];
			row->tts_isnull[attno[i] - 1] = contact.isnull[i];
		}
	return (Datum) 0;
}

/*
 * Give a relation of the statement our projection, as the executor would make its
 * own at the first row.  It is not an expression that was compiled: there is one
 * step, which is ours.
 */
static void
set_projection(ModifyTableState *state, ResultRelInfo *relinfo, Keeping *keeping)
{
	EState	   *estate = state->ps.state;
	Relation	rel = relinfo->ri_RelationDesc;
	ProjectionInfo *projection = makeNode(ProjectionInfo);

	if (state->ps.ps_ExprContext == NULL)
		ExecAssignExprContext(estate, &state->ps);
	relinfo->ri_newTupleSlot = table_slot_create(rel, &estate->es_tupleTable);
	if (!keeping->is_insert)
		relinfo->ri_oldTupleSlot = table_slot_create(rel, &estate->es_tupleTable);
	projection->pi_exprContext = state->ps.ps_ExprContext;
	projection->pi_state.type = T_ExprState;
	projection->pi_state.resultslot = relinfo->ri_newTupleSlot;
	projection->pi_state.evalfunc = project_row;
	projection->pi_state.evalfunc_private = keeping;
	projection->pi_state.parent = &state->ps;
	relinfo->ri_projectNew = projection;
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
may_go_elsewhere(Relation rel, const Keeping *keeping)
{
	if (keeping->is_insert)
		return rel->rd_rel->relkind != RELKIND_RELATION;
	return ct_may_move_rows(rel, keeping->in_place->table, keeping->sets);
}

/* The trigger that we can do the work of, or NULL. */
static Trigger *
trigger_to_replace(const ResultRelInfo *relinfo, bool is_insert)
{
	Trigger    *trigger = ct_sole_keeper(relinfo->ri_TrigDesc, is_insert ? TRIGGER_TYPE_INSERT : TRIGGER_TYPE_UPDATE);

	if (trigger == NULL || !ct_fires(trigger) || trigger->tgqual != NULL ||
		relinfo->ri_projectNewInfoValid)
		return NULL;
	return trigger;
}

static void
note_columns(Keeping *keeping, TupleDesc tupdesc, const List *colnos)
{
	ListCell   *cell;

	keeping->set = palloc(sizeof(AttrNumber) * (list_length(colnos) + tupdesc->natts));
	foreach(cell, colnos)
		keeping->set[keeping->nsets++] = lfirst_int(cell);
	keeping->dropped = keeping->set + keeping->nsets;
	for (int i = 0; i < tupdesc->natts; i++)
		if (TupleDescAttr(tupdesc, i)->attisdropped)
			keeping->dropped[keeping->ndropped++] = i + 1;
}

/*
 * Take over from the status trigger in one relation of an INSERT or UPDATE that is
 * about to run.  An ON CONFLICT DO UPDATE still has the trigger fire for what it
 * updates.  The memory is that of the statement.
 */
void
ct_keep_in_place(ModifyTableState *state, int index, CtInPlace *in_place)
{
	ResultRelInfo *relinfo = &state->resultRelInfo[index];
	bool		is_insert = state->operation == CMD_INSERT;
	Trigger    *trigger = trigger_to_replace(relinfo, is_insert);
	Keeping    *keeping;

	if (trigger == NULL)
		return;
	keeping = palloc0(sizeof(Keeping));
	keeping->in_place = in_place;
	keeping->is_insert = is_insert;
	keeping->sets = is_insert ? NULL : ExecGetUpdatedCols(relinfo, state->ps.state);
	if (may_go_elsewhere(relinfo->ri_RelationDesc, keeping))
		return;
	note_columns(keeping, RelationGetDescr(relinfo->ri_RelationDesc),
				 is_insert ? NIL : ct_update_colnos(state, index));
	set_projection(state, relinfo, keeping);
	remove_status_trigger(relinfo->ri_TrigDesc, trigger, is_insert);
}
