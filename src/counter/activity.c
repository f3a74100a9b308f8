/*-------------------------------------------------------------------------
 *
 * activity.c
 *	  What statements did in an account, folded into one entry (rule L1).
 *
 * A slot carries an open entry: statements of one role and one source within a minute add
 * to it in the very version of the slot that a claim writes.  Who finds another role,
 * source or minute there opens a new one, and is given the finished one, for the ledger.
 * The protocol is in src/README, "Activity".
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/timestamp.h"

#include "counter/counter.h"

/* Statements of so many contacts have an entry of their own */
#define MANY_CONTACTS	100

/*
 * Bytes of a role, source type or name in an open entry.  Longer ones have entries of their
 * own, so that a slot stays short: it is written by each claim.
 */
#define MAX_TEXT		128

/*
 * The columns of an open entry in the counter table.  Texts stand last in the row, so that they
 * are no part of what the WAL has of an update.
 */
const CtEntryColumn ct_entry_columns[CT_NENTRY_COLUMNS] = {
	[CT_ENTRY_STARTED_AT] = {"entry_started_at", TIMESTAMPTZOID},
	[CT_ENTRY_ENDED_AT] = {"entry_ended_at", TIMESTAMPTZOID},
	[CT_ENTRY_STATEMENTS] = {"entry_statements", INT8OID},
	[CT_ENTRY_COUNT + CT_CREATED] = {"entry_created", INT8OID},
	[CT_ENTRY_COUNT + CT_DELETED] = {"entry_deleted", INT8OID},
	[CT_ENTRY_COUNT + CT_PROMOTED] = {"entry_promoted", INT8OID},
	[CT_ENTRY_COUNT + CT_DEMOTED] = {"entry_demoted", INT8OID},
	[CT_ENTRY_COUNT + CT_FLAGGED] = {"entry_flagged", INT8OID},
	[CT_ENTRY_COUNT + CT_UNFLAGGED] = {"entry_unflagged", INT8OID},
	[CT_ENTRY_COUNT + CT_DROPPED] = {"entry_dropped", INT8OID},
	[CT_ENTRY_ROLE] = {"entry_role", TEXTOID},
	[CT_ENTRY_SOURCE_TYPE] = {"entry_source_type", TEXTOID},
	[CT_ENTRY_SOURCE_NAME] = {"entry_source_name", TEXTOID}
};

/* Have two entries one role and one source? */
static bool
is_same_actor(const CtActivity *activity, const CtActivity *other)
{
	for (int i = 0; i < CT_NENTRY_TEXTS; i++)
	{
		const CtText *a = &activity->actor[i];
		const CtText *b = &other->actor[i];

		if ((a->data == NULL) != (b->data == NULL))
			return false;
		if (a->data != NULL && (a->length != b->length || memcmp(a->data, b->data, a->length) != 0))
			return false;
	}
	return true;
}

/*
 * The minute of an instant.  Update dates are full minutes, so no entry lies on both sides of one.
 */
static int64
minute_of(TimestampTz instant)
{
	int64		minute = instant / USECS_PER_MINUTE;

	return instant < 0 && instant % USECS_PER_MINUTE != 0 ? minute - 1 : minute;
}

/*
 * May an entry be folded?  Not if it is of many contacts, or its texts are long.
 */
bool
ct_activity_is_small(const CtActivity *activity)
{
	int64		contacts = 0;

	for (int i = 0; i < CT_NENTRY_TEXTS; i++)
		if (activity->actor[i].data != NULL && activity->actor[i].length > MAX_TEXT)
			return false;
	for (int i = 0; i < CT_NACTIVITIES; i++)
		contacts += activity->count[i];
	return contacts < MANY_CONTACTS;
}

/*
 * Add an entry to one of the same role, source and minute; false, with nothing changed, if it
 * is of another.
 */
bool
ct_activity_add(CtActivity *sum, const CtActivity *activity)
{
	if (minute_of(sum->started_at) != minute_of(activity->started_at) || !is_same_actor(sum, activity))
		return false;
	sum->started_at = Min(sum->started_at, activity->started_at);
	sum->ended_at = Max(sum->ended_at, activity->ended_at);
	sum->statements += activity->statements;
	for (int i = 0; i < CT_NACTIVITIES; i++)
		sum->count[i] += activity->count[i];
	return true;
}

/*
 * Close the open entry of a slot.
 */
void
ct_slot_close_entry(CtSlot *slot)
{
	slot->finished = palloc(sizeof(CtActivity));
	*slot->finished = slot->entry;
	slot->has_entry = false;
	slot->entry_change = CT_ENTRY_CLOSED;
}

/* A new entry, in place of the one that is open. */
static void
open_entry(CtSlot *slot, const CtActivity *activity)
{
	if (slot->has_entry)
		ct_slot_close_entry(slot);
	slot->has_entry = true;
	slot->entry = *activity;
	slot->entry_change = CT_ENTRY_OPENED;
}

/*
 * Is the version of a slot that was read the one by which this backend wrote that the account
 * records no activity?  Who changes that writes all slots.  A place is not used anew by the
 * transaction that used it before, so place and transaction tell versions apart; within a minute
 * transaction ids do not come round.
 */
static bool
is_unrecorded(const CtSlots *slots, const CtSlot *slot, const CtActivity *activity)
{
	const CtUnrecorded *unrecorded = &slots->unrecorded;

	return TransactionIdIsValid(unrecorded->xmin) &&
		unrecorded->xmin == HeapTupleHeaderGetRawXmin(slot->tuple->t_data) &&
		ItemPointerEquals(unconstify(ItemPointerData *, &unrecorded->tid), &slot->tuple->t_self) &&
		minute_of(unrecorded->written_at) == minute_of(activity->started_at);
}

/*
 * Put what a change says of its activity into the slot that it changes.  What is there of others
 * becomes slot->finished.
 *
 * How it is recorded is asked only for a new entry: where an account ceases to record activity,
 * open entries are closed under the locks of all slots, so one that is there says that it does.
 * Nor is it asked of a slot in which this backend has found within the minute that the account
 * records none, if nobody has written it since.
 */
void
ct_slot_fold(CtCounter *counter, const CtSlots *slots, CtSlot *slot, const CtChange *change)
{
	CtRecording recording = CT_RECORDED_AT_ONCE;

	if (change->activity != NULL && slot->has_entry && ct_activity_add(&slot->entry, change->activity))
	{
		slot->entry_change = CT_ENTRY_ADDED;
		recording = CT_FOLDED;
	}
	else if (change->activity != NULL)
	{
		recording = is_unrecorded(slots, slot, change->activity) ? CT_NOT_RECORDED :
			change->recording(counter->table, change->account);
		slot->unrecorded = recording == CT_NOT_RECORDED;
		if (recording == CT_FOLDED)
			open_entry(slot, change->activity);
	}
	counter->recorded = recording != CT_RECORDED_AT_ONCE;
}

/* Note that the version of a slot which was written is of an account that records no activity. */
static void
note_unrecorded(CtSlots *slots, const CtSlot *slot)
{
	slots->unrecorded = (CtUnrecorded)
	{
		.tid = slots->place[slot->index].tid,.xmin = GetCurrentTransactionId(),.written_at = ct_now()
	};
}

/*
 * A slot has been written: what it had of another entry is finished, and is now the
 * caller's, in his memory.
 */
void
ct_slot_folded(CtCounter *counter, CtSlots *slots, const CtSlot *slot)
{
	Form_pg_attribute account = TupleDescAttr(RelationGetDescr(counter->rel), counter->info->account - 1);
	MemoryContext old;
	CtActivity *finished;

	if (slot->unrecorded)
		note_unrecorded(slots, slot);
	if (slot->finished == NULL)
		return;
	old = MemoryContextSwitchTo(counter->context);
	finished = palloc(sizeof(CtActivity));
	*finished = *slot->finished;
	finished->account = datumCopy(finished->account, account->attbyval, account->attlen);
	for (int i = 0; i < CT_NENTRY_TEXTS; i++)
		if (finished->actor[i].data != NULL)
			finished->actor[i].data = pnstrdup(finished->actor[i].data, finished->actor[i].length);
	counter->finished = lappend(counter->finished, finished);
	MemoryContextSwitchTo(old);
}

/*
 * What is to be written of the entry of a slot: columns, values and nulls from "at" on.  Returns
 * how many there are then.
 */
int
ct_slot_write_entry(const CtCounterTable *info, const CtSlot *slot, int at,
					int *attnos, Datum *values, bool *nulls)
{
	const CtActivity *entry = &slot->entry;
	static const int written[] = {
		[CT_ENTRY_AS_READ] = 0,
		[CT_ENTRY_ADDED] = CT_ENTRY_ROLE,
		[CT_ENTRY_OPENED] = CT_NENTRY_COLUMNS,
		[CT_ENTRY_CLOSED] = CT_ENTRY_STARTED_AT + 1
	};
	int			ncolumns = written[slot->entry_change];

	for (int i = 0; i < ncolumns; i++)
	{
		const CtText *actor = i < CT_ENTRY_ROLE ? NULL : &entry->actor[i - CT_ENTRY_ROLE];

		attnos[at + i] = info->entry[i];
		nulls[at + i] = !slot->has_entry || (actor != NULL && actor->data == NULL);
		values[at + i] = i == CT_ENTRY_STARTED_AT ? TimestampTzGetDatum(entry->started_at) :
			i == CT_ENTRY_ENDED_AT ? TimestampTzGetDatum(entry->ended_at) :
			i == CT_ENTRY_STATEMENTS ? Int64GetDatum(entry->statements) :
			i < CT_ENTRY_ROLE ? Int64GetDatum(entry->count[i - CT_ENTRY_COUNT]) :
			actor->data == NULL ? (Datum) 0 : PointerGetDatum(cstring_to_text_with_len(actor->data, actor->length));
	}
	return at + ncolumns;
}
