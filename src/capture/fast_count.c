/*-------------------------------------------------------------------------
 *
 * fast_count.c
 *	  Rows are counted where they are written.
 *
 * For each row that an AFTER trigger is to see, PostgreSQL stores an event and
 * fetches the row again at the end of the statement.  Before that, TriggerEnabled()
 * evaluates the trigger's WHEN clause, when the row has been written for good and is
 * still at hand.  So our counting trigger gets a clause of our own, ready to run, which
 * counts the row at once and is false.
 *
 * What makes it sound:
 *
 *	 AfterTriggerSaveEvent() calls TriggerEnabled() once for each row and trigger, and
 *	 queues no event if it returns false.  With two calls a row would be counted twice,
 *	 with none not at all.
 *
 *	 ExecInsert(), ExecUpdateEpilogue() and ExecDeleteEpilogue() get there after the
 *	 index entries, and ON CONFLICT after it has found no conflict: only an error undoes the
 *	 row.  If TriggerEnabled() came earlier, a row that conflicts would be counted.
 *
 *	 TriggerEnabled() runs what it finds in ri_TrigWhenExprs[], and reads the text in
 *	 tgqual only if there is nothing: it must not be NULL, and can be anything.  It puts
 *	 the old row into ecxt_innertuple and the new one into ecxt_outertuple, NULL
 *	 where there is none.  ExecQual() requires EEO_FLAG_IS_QUAL and a result
 *	 that is not null, and calls evalfunc, whatever it is.
 *
 *	 InitResultRelInfo() has created the array, and the copy of the description, for
 *	 this statement alone (triggers.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"

#include "capture/capture.h"

/*
 * The new row that was written: as the projection has put it together, which spares taking
 * the tuple apart again, if that was for this event.  An ON CONFLICT DO UPDATE updates another
 * row than the one that was projected.
 */
static const CtRow *
new_row(CtFastPath *fast, TupleTableSlot *slot, CmdType event)
{
	if (fast->projected == event)
		fast->row.tid = slot->tts_tid;
	else if (fast->is_batched)
	{
		ct_row_read_columns(fast->table, slot, &fast->row);
		fast->row.is_absent = ct_statement()->decision.is_absent;
		fast->row.is_ineligible = ct_statement()->decision.is_ineligible;
	}
	else
	{
		ct_row_read(fast->table, slot, &fast->row);
		ct_row_judge(fast->table, slot, &fast->row);
	}
	fast->projected = CMD_UNKNOWN;
	return &fast->row;
}

/*
 * The old row: as the projection has read it, if that was the same version, which is still in
 * the executor's tuple slot then (ri_oldTupleSlot).  *read is for another one.
 */
static const CtRow *
old_row(CtFastPath *fast, TupleTableSlot *slot, CtRow *read)
{
	if (fast->projected == CMD_UPDATE && ItemPointerEquals(&fast->before.tid, &slot->tts_tid))
		return &fast->before;
	ct_row_read(fast->table, slot, read);
	return read;
}

/* Has the projection seen that the contact stays as it is?  Then there is nothing to count. */
static bool
is_left(CtFastPath *fast, TupleTableSlot *old)
{
	if (fast->projected != CMD_NOTHING)
		return false;
	fast->projected = CMD_UNKNOWN;
	return old != NULL && ItemPointerEquals(&fast->before.tid, &old->tts_tid);
}

/*
 * The clause, as the executor calls it: the old row is the inner tuple and the
 * new one the outer.  Errors: MC002 as ct_count_row().
 */
static Datum
count_in_clause(ExprState *state, ExprContext *econtext, bool *isnull)
{
	CtFastPath *fast = state->evalfunc_private;
	CtDecision *decision = &ct_statement()->decision;
	CtRow		old;
	CtRowChange change = {.relid = fast->table->relid};

	*isnull = false;
	if (is_left(fast, econtext->ecxt_innertuple))
		return BoolGetDatum(false);
	if (econtext->ecxt_innertuple != NULL)
		change.old = old_row(fast, econtext->ecxt_innertuple, &old);
	if (econtext->ecxt_outertuple != NULL)
		change.new = new_row(fast, econtext->ecxt_outertuple, change.old == NULL ? CMD_INSERT : CMD_UPDATE);
	/* the projection has judged its own */
	if (change.old == &old && change.new != NULL && change.new->is_ineligible)
		ct_row_judge(fast->table, econtext->ecxt_innertuple, &old);
	/* it was proposed right before, or flush() has restored what was decided */
	change.by_default = change.old == NULL && decision->by_default;
	change.dropped = decision->dropped;
	ct_note_row(fast->table, &change);
	decision->dropped = false;
	return BoolGetDatum(false);
}

/* The text of our clause */
static char no_text[] = "";

/*
 * Give the counting trigger of a relation of a statement that is about to run the
 * clause.  The trigger is one of the private description.  The caller is in the memory of the
 * statement, since the clause lives as long.
 */
void
ct_fast_count(ResultRelInfo *relinfo, Trigger *trigger, CtFastPath *fast)
{
	ExprState  *clause = makeNode(ExprState);

	clause->flags = EEO_FLAG_IS_QUAL;
	clause->evalfunc = count_in_clause;
	clause->evalfunc_private = fast;

	/*
	 * says that there is one; TriggerEnabled() does not read the text of a
	 * clause that is ready to run; FreeTriggerDesc() is not for the copy of a
	 * statement
	 */
	trigger->tgqual = no_text;
	relinfo->ri_TrigWhenExprs[trigger - relinfo->ri_TrigDesc->triggers] = clause;
}
