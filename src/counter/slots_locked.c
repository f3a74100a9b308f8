/*-------------------------------------------------------------------------
 *
 * slots_locked.c
 *	  Changes of an account under the locks of several of its slots, or of all.
 *
 * The slow path, where no slot has room: slot 0 is locked first, and then as many
 * others as are needed.  Where all are locked, the exact count is known, and somebody
 * decides up to which ceiling the account may have contacts.  The protocol is in
 * src/README.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "counter/counter.h"

/*
 * Lock a slot, if it is not locked already.  False if another transaction holds
 * it and "wait" is false.  What was read is put beside what is going to be written.
 */
static bool
lock_slot(CtCounter *counter, CtSlots *slots, int index, bool wait, CtLockedSlots *locked)
{
	CtSlot	   *slot = &locked->slot[locked->count];

	if (locked->held[index] || !ct_slot_lock(counter, slots, index, wait, slot))
		return false;
	locked->held[index] = true;
	locked->before[locked->count] = *slot;
	if (slot->closed)
		locked->closed = true;
	else
		locked->room += slot->granted - slot->used;
	locked->has_brake |= slot->has_brake;
	locked->count++;
	return true;
}

/*
 * Lock slots until they have room for "wanted", or all of them, as where one is
 * closed; and if it promotes, where the account has a brake.  Slot 0 comes first: who holds it is alone
 * on the slow path, and no slots are added.
 */
static void
lock_room(CtCounter *counter, CtSlots *slots, int64 wanted, bool promotes, CtLockedSlots *locked)
{
	locked->count = 0;
	locked->room = 0;
	locked->closed = false;
	locked->has_brake = false;
	memset(locked->held, 0, sizeof(locked->held));

	if (!lock_slot(counter, slots, 0, true, locked))
		elog(ERROR, "counter of account \"%s\" has vanished",
			 ct_account_text(counter->table, slots->account));
	(void) ct_slots_list(counter, slots);
	for (int i = 1; i < slots->count; i++)
		lock_slot(counter, slots, i, false, locked);
	for (int i = 1; i < slots->count && (locked->closed || locked->room < wanted || (promotes && locked->has_brake)); i++)
		lock_slot(counter, slots, i, true, locked);
}

/* What locked slots say together; exact where all are locked. */
static CtExact
sum_up(const CtLockedSlots *locked)
{
	CtExact		exact = {.used = 0,.lowest = PG_INT64_MAX};

	for (int i = 0; i < locked->count; i++)
	{
		exact.used += locked->slot[i].used;
		if (locked->slot[i].fell)
			exact.lowest = Min(exact.lowest, locked->slot[i].lowest);
	}
	exact.lowest = Min(exact.lowest, exact.used);
	return exact;
}

/* Does a slot say what it said when it was read? */
static bool
is_unchanged(const CtSlot *slot, const CtSlot *before)
{
	return slot->entry_change == CT_ENTRY_AS_READ &&
		slot->used == before->used && slot->pending == before->pending &&
		slot->closed == before->closed && (slot->closed || slot->granted == before->granted) &&
		slot->promoted == before->promoted && slot->demoted == before->demoted &&
		slot->corrected == before->corrected && slot->peak == before->peak &&
		slot->has_brake == before->has_brake && (!slot->has_brake || slot->brake == before->brake) &&
		slot->fell == before->fell && (!slot->fell || slot->lowest == before->lowest) &&
		slot->observed == before->observed && slot->alone == before->alone &&
		(!slot->observed || slot->bottom == before->bottom) &&
		(!slot->observed || slot->alone || slot->floor == before->floor);
}

/*
 * Begin to observe the count anew, with the slack down to the bottom spread evenly over
 * all slots.  Where there are several, some may fall below their floor, and close, while
 * others stay open: these must not have room to reach bounds->again.  So what lies between
 * floors and ceiling of all of them together is limited.  Returns the room up to the
 * ceiling.
 */
static int64
set_bounds(CtLockedSlots *locked, const CtBounds *bounds)
{
	int64		total = sum_up(locked).used;
	int64		room = bounds->ceiling - total;
	int64		slack = bounds->has_bottom ? Max(total - bounds->bottom, 0) : 0;

	if (bounds->has_bottom && locked->count > 1)
	{
		int64		window = bounds->again - bounds->bottom;

		slack = Min(slack, window / 2);
		room = Min(room, window - slack);
	}
	for (int i = 0; i < locked->count; i++)
	{
		CtSlot	   *slot = &locked->slot[i];
		int64		share = slack / (locked->count - i);

		slot->observed = bounds->has_bottom;
		slot->alone = locked->count == 1 || !slot->observed;
		slot->bottom = bounds->bottom;
		slot->floor = slot->used - share;
		slot->fell = false;
		slack -= share;
	}
	return room;
}

/* Spread what the brake of the account allows evenly over all slots, or take it away. */
static void
set_brake(CtLockedSlots *locked, const CtBounds *bounds)
{
	int64		left = bounds->brake;

	for (int i = 0; i < locked->count; i++)
	{
		CtSlot	   *slot = &locked->slot[i];
		int64		share = left / (locked->count - i);

		slot->has_brake = bounds->has_brake;
		slot->brake = share;
		slot->braked_at = bounds->braked_at;
		left -= share;
	}
}

/*
 * Write all locked slots, with the room spread evenly over them, or closed.  One that
 * stays as it is, as in a full account under "cap", needs no new version: the lock keeps
 * others out as long as a write would.
 */
static void
write_slots(CtCounter *counter, CtSlots *slots, CtLockedSlots *locked, int64 room)
{
	for (int i = 0; i < locked->count; i++)
	{
		CtSlot	   *slot = &locked->slot[i];
		int64		share = room / (locked->count - i);

		slot->granted = slot->used + share;
		slot->closed = locked->closed;
		room -= share;
		if (!is_unchanged(slot, &locked->before[i]))
			ct_slot_write_locked(counter, slots, slot);
	}
}

/* Write slots that are locked and changed, and share out what room there is then. */
static void
write_changed(CtCounters *counters, const CtChange *change, int64 room)
{
	CtLockedSlots *locked = counters->locked;
	CtSlot	   *first = &locked->slot[0];

	write_slots(&counters->counter, &counters->slots, locked, room);
	counters->slots.home = first->index;
	ct_slot_note_fall(&counters->counter, &counters->slots, first, change);
	ct_counter_remember_room(counters->counter.table, change->account, locked->closed ? 0 : first->granted - first->used);
	ct_slots_changed(&counters->counter, &counters->slots);
	counters->locked = NULL;
}

/*
 * Lock the counter of the account of a change, after ct_counter_claim().  True if there is
 * room for it after all, or it needs none: then it is in the counter.  Otherwise *exact
 * says exactly what it has, and ct_counter_settle() is to follow.  The change must stay where
 * it is until then, and what is locked is in counters->locked.
 *
 * Locks: all slots of the account, until the transaction ends.
 */
bool
ct_counter_lock(CtCounters *counters, const CtChange *change, CtExact *exact)
{
	CtCounter  *counter = &counters->counter;
	CtSlots    *slots = &counters->slots;
	CtLockedSlots *locked = palloc(sizeof(CtLockedSlots));
	int64		room;

	counters->locked = locked;
	lock_room(counter, slots, change->marketing, change->promoted > 0, locked);
	room = locked->room - change->marketing;
	if ((change->promoted == 0 || !locked->has_brake) &&
		(change->marketing <= 0 || (!locked->closed && room >= 0)))
	{
		CtSlot	   *first = &locked->slot[0];

		ct_slot_add(counter, slots, first, change, ct_slots_total(counter, slots, first, change));
		locked->closed |= first->closed;
		write_changed(counters, change, room);
		return true;
	}
	/* only the sum of all is exact */
	if (locked->count < slots->count)
		elog(ERROR, "could not lock all slots of account \"%s\"",
			 ct_account_text(counter->table, change->account));
	*exact = sum_up(locked);
	return false;
}

/*
 * Put a change, or what is left of it, into a counter that is locked.  Within the bounds
 * others may claim then without asking; none may if the ceiling is below the count.  All
 * slots are locked, so their sum may become another one than was granted.
 */
void
ct_counter_settle(CtCounters *counters, const CtChange *change, const CtBounds *bounds)
{
	CtLockedSlots *locked = counters->locked;
	int64		room;

	ct_slot_add(&counters->counter, &counters->slots, &locked->slot[0], change, sum_up(locked).used);
	room = set_bounds(locked, bounds);
	set_brake(locked, bounds);
	/* above its tier, the account has no room even after a release */
	locked->closed = room < 0;
	write_changed(counters, change, room);
}

/* What all slots of an account say together. */
static CtCount
sum_slots(const CtLockedSlots *locked)
{
	CtCount		count = {0};

	for (int i = 0; i < locked->count; i++)
	{
		const CtSlot *slot = &locked->slot[i];

		count.marketing += slot->used;
		count.pending += slot->pending;
		count.promoted += slot->promoted;
		count.demoted += slot->demoted;
		count.corrected += slot->corrected;
		count.peak = Max(count.peak, slot->peak);
	}
	count.peak = Max(count.peak, count.marketing);
	return count;
}

/* What slots note of the period that has ended begins anew. */
static void
begin_period(CtLockedSlots *locked)
{
	for (int i = 0; i < locked->count; i++)
	{
		locked->slot[i].promoted = 0;
		locked->slot[i].demoted = 0;
		locked->slot[i].corrected = 0;
		locked->slot[i].peak = 0;
		locked->slot[i].fell = false;
	}
}

/*
 * Have each fall noted until the counter is settled: whoever withdraws it may announce thresholds,
 * and contacts may be counted in before the next claim asks, so that it would not see the fall.
 */
static void
observe_all(CtLockedSlots *locked)
{
	for (int i = 0; i < locked->count; i++)
	{
		locked->slot[i].observed = true;
		locked->slot[i].alone = locked->count == 1;
		locked->slot[i].bottom = PG_INT64_MAX;
		locked->slot[i].floor = locked->slot[i].used;
	}
}

/* Close the entries of activity that slots carry. */
static void
close_entries(CtLockedSlots *locked)
{
	for (int i = 0; i < locked->count; i++)
		if (locked->slot[i].has_entry)
			ct_slot_close_entry(&locked->slot[i]);
}

/*
 * Have all slots written, also those that stay as they are: who has read one before it was locked,
 * and decided by what is going to change now to open an entry there, must read it again.
 */
static void
have_all_written(CtLockedSlots *locked)
{
	for (int i = 0; i < locked->count; i++)
		locked->slot[i].entry_change = CT_ENTRY_CLOSED;
}

/*
 * ct_counter_withdraw() and ct_counter_close_period(): what was granted is
 * taken back, so that the next promotion asks for the ceiling.
 */
CtCount
ct_slots_withdraw(CtCounters *counters, Datum account, bool close_period, bool closes_entries)
{
	CtCounter  *counter = &counters->counter;
	CtSlots    *slots = &counters->slots;
	CtLockedSlots *locked = palloc(sizeof(CtLockedSlots));
	CtCount		count;

	/* what is remembered may be rolled back */
	(void) ct_slots_recall_listed(counter, account, slots);
	if (slots->count == 0)
	{
		ct_slots_add_first(counter->table, account);
		(void) ct_slots_list(counter, slots);
	}
	lock_room(counter, slots, PG_INT64_MAX, true, locked);
	count = sum_slots(locked);
	if (close_period)
		begin_period(locked);
	observe_all(locked);
	if (closes_entries)
		close_entries(locked);
	/* what is recorded changes with the policy, not with the period */
	if (closes_entries && !close_period)
		have_all_written(locked);
	locked->closed = true;
	write_slots(counter, slots, locked, 0);
	ct_slots_remember(counter, slots);
	pfree(locked);
	return count;
}
