/*-------------------------------------------------------------------------
 *
 * frame.c
 *	  Frames: what statements changed but the counters do not hold yet.
 *
 * Row triggers add to a frame, and the end of the statement applies it (statement_end.c).  A
 * frame belongs to a statement, since a function or trigger of the application may
 * run whole statements between the rows of the outer one and its end: those are applied by
 * themselves, and the outer one is not judged half-way.  It also belongs to a
 * subtransaction, whose rollback ends it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "commands/trigger.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "capture/capture.h"

/* Release and rollback, and the end of the transaction */
static void check_nothing_left(bool prepared);
static void end_frame(CtXactNote *note, bool rolled_back);

/* All in children of TopTransactionContext */
static CtXactList frames = {.before_end = check_nothing_left,.end = end_frame};

/* Do two tables share companion tables, and speak of accounts alike? */
static bool
same_companions(const CtTable *a, const CtTable *b)
{
	return a->account_type == b->account_type &&
		a->account_collation == b->account_collation &&
		a->owner == b->owner &&
		ct_names_equal(&a->names, &b->names);
}

static CtFrame *
create_frame(const CtTable *table)
{
	MemoryContext context = AllocSetContextCreate(TopTransactionContext,
												  "contacts_tier deltas",
												  ALLOCSET_SMALL_SIZES);
	CtFrame    *frame = MemoryContextAllocZero(context, sizeof(CtFrame));

	frame->statement = ct_statement()->key;
	frame->relid = table->relid;
	frame->table = table;
	frame->context = context;
	frame->drops.context = context;
	ct_deltas_begin(&frame->deltas, table, context);
	ct_xact_note(&frames, &frame->note);
	return frame;
}

/* Is the frame of the statement at work? */
static bool
is_current(const CtFrame *frame)
{
	return frame->statement == ct_statement()->key && frame->note.subid == GetCurrentSubTransactionId();
}

/*
 * The frame of the statement at work for rows of a table; it is created if there is none.
 * The CtTable must live as long as the transaction, as those of the cache do.
 */
CtFrame *
ct_frame(const CtTable *table)
{
	slist_iter	iter;

	slist_foreach(iter, &frames.notes)
	{
		CtFrame    *frame = slist_container(CtFrame, note.node, iter.cur);

		if (is_current(frame) &&
			(frame->relid == table->relid || same_companions(frame->table, table)))
		{
			frame->relid = table->relid;
			return frame;
		}
	}
	return create_frame(table);
}

/*
 * The newest frame of the statement at work in the current subtransaction, or NULL.
 */
CtFrame *
ct_frame_current(void)
{
	slist_iter	iter;

	slist_foreach(iter, &frames.notes)
	{
		CtFrame    *frame = slist_container(CtFrame, note.node, iter.cur);

		if (is_current(frame))
			return frame;
	}
	return NULL;
}

/*
 * The frame of another statement with the same companion tables and subtransaction as this
 * one, or NULL.
 */
CtFrame *
ct_frame_of(const CtStatement *statement, const CtFrame *like)
{
	slist_iter	iter;

	slist_foreach(iter, &frames.notes)
	{
		CtFrame    *frame = slist_container(CtFrame, note.node, iter.cur);

		if (frame->statement == statement->key && frame->note.subid == like->note.subid && frame != like &&
			same_companions(frame->table, like->table))
			return frame;
	}
	return NULL;
}

/*
 * Have outer statements released places of an account that could be borrowed?
 */
bool
ct_frame_can_borrow(const CtFrame *into, Datum account)
{
	slist_iter	iter;

	slist_foreach(iter, &frames.notes)
	{
		CtFrame    *from = slist_container(CtFrame, note.node, iter.cur);

		if (from != into && same_companions(from->table, into->table) && ct_can_lend(from, account))
			return true;
	}
	return false;
}

/* Lend one account of an inner frame what outer ones have released of it. */
static void
borrow_for(CtFrame *into, CtDelta *delta)
{
	slist_iter	iter;

	slist_foreach(iter, &frames.notes)
	{
		CtFrame    *from = slist_container(CtFrame, note.node, iter.cur);

		if (delta->marketing <= 0)
			return;
		if (same_companions(from->table, into->table))
			ct_lend(from, delta);
	}
}

/*
 * The rows of a frame that must be written again have been: note where they are now, and
 * close their relations.  Until then the frame stays in the list, for the statements that
 * triggers run meanwhile: they find what was decided, and may borrow.
 */
void
ct_frame_written(CtFrame *frame)
{
	ct_deltas_follow(&frame->deltas, frame->mending);
	ct_second_writes_end(frame->mending);
	frame->mending = NULL;
}

/*
 * Remove a frame from the list, to be applied.  Returns the changes of its accounts, in
 * ascending order, with what outer statements have released of these accounts.  They live as
 * long as the frame, which the caller must end by ct_frame_end().
 */
CtDelta *
ct_frame_remove(CtFrame *frame, int *ndeltas)
{
	CtDelta    *deltas;

	slist_delete(&frames.notes, &frame->note.node);
	deltas = ct_deltas_sort(&frame->deltas, &frame->drops, ndeltas);
	for (int i = 0; i < *ndeltas; i++)
		borrow_for(frame, &deltas[i]);
	return deltas;
}

/*
 * Add what a frame has noted to another one of the same companion tables, and end it.
 */
void
ct_frame_merge(CtFrame *into, CtFrame *frame)
{
	ct_deltas_merge(&into->deltas, &frame->deltas);
	slist_delete(&frames.notes, &frame->note.node);
	ct_frame_end(frame);
}

/*
 * End a frame that is not in the list any more.
 */
void
ct_frame_end(CtFrame *frame)
{
	ct_loans_forget(frame);
	MemoryContextDelete(frame->context);
}

/* Its subtransaction was rolled back. */
static void
end_frame(CtXactNote *note, bool rolled_back)
{
	ct_frame_end((CtFrame *) note);
}

/*
 * Does a statement on one of some tables, or of their partitions, have row triggers that have not
 * fired yet?  Only within a statement: events of deferred triggers, which wait longer, are none
 * of ours.
 */
static bool
events_wait(List *relids)
{
	ListCell   *table;
	ListCell   *cell;

	if (ct_statement()->key == NULL && DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0)) == 0)
		return false;
	foreach(table, relids)
	{
		foreach(cell, find_all_inheritors(lfirst_oid(table), NoLock, NULL))
			if (AfterTriggerPendingOnRel(lfirst_oid(cell)))
			return true;
	}
	return false;
}

/*
 * For a recount of tables, which would count a second time what is noted or is going to be, or
 * what TRUNCATE has counted off.  Errors: 55000 if a statement that writes contacts
 * has not ended.
 */
void
ct_frames_check_none(List *relids)
{
	if (slist_is_empty(&frames.notes) && !ct_is_truncating() && !events_wait(relids))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("contacts cannot be counted anew while a statement changes them"),
			 errhint("Do this in a statement of its own, not in a function or trigger that the statement runs.")));
}

/* Nothing is left at the end of a transaction: an error rather than a wrong count. */
static void
check_nothing_left(bool prepared)
{
	if (slist_is_empty(&frames.notes))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("changes of contacts have not been counted"),
			 errdetail("A statement has ended without the triggers of contacts_tier on its table."),
			 errhint("Use contacts_tier.repair() to create the missing triggers.")));
}

/*
 * Add the lists of frames and of loans, so that they end with subtransactions.
 */
void
ct_frames_init(void)
{
	ct_xact_list_add(&frames);
	ct_loans_init();			/* served before frames: see there */
}
