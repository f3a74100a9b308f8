/*-------------------------------------------------------------------------
 *
 * escrow.c
 *	  Claiming and releasing marketing contacts in the slots of an account.
 *
 * The fast path: a slot is found that has room, without locking others and
 * without waiting while one is held.  The slow path, under the locks of several slots, is
 * in slots_locked.c.  The protocol, and why it is exact and free of deadlocks, is in
 * src/README.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lmgr.h"

#include "counter/counter.h"

/* How a look at the free slots of an account ended */
typedef enum Outcome
{
	DONE,						/* the change is in a slot */
	MISSED,						/* a slot was not where it was seen last */
	BUSY,						/* a slot with room is held by a transaction */
	NO_ROOM,					/* no slot has room */
	UNCLEAR						/* a slot is held by several transactions */
} Outcome;

/* Room is moved between slots if it lasts for so many such claims */
#define CLAIMS_TO_MOVE	8

/* The slot that is waited for */
typedef struct Holder
{
	TransactionId xid;
	ItemPointerData tid;
} Holder;

/*
 * Try to put a change into one slot, without waiting.
 */
static Outcome
try_slot(CtCounter *counter, CtSlots *slots, int index, const CtChange *change, Holder *holder)
{
	for (;;)
	{
		CtSlot		slot;
		TransactionId xid;
		TM_Result	result;

		CHECK_FOR_INTERRUPTS();
		if (!ct_slot_read(counter, slots, index, &slot))
			return MISSED;
		if (!ct_slot_has_room(&slot, change))
			return NO_ROOM;
		ct_slot_add(counter, slots, &slot, change, ct_slots_total(counter, slots, &slot, change));
		result = ct_slot_write(counter, slots, &slot, ct_slot_is_ours(&slot), &xid);
		if (result == TM_Ok)
		{
			slots->home = index;
			ct_slot_note_fall(counter, slots, &slot, change);
			ct_counter_remember_room(counter->table, slots->account, slot.closed ? 0 : slot.granted - slot.used);
			return DONE;
		}
		if (result == TM_BeingModified)
		{
			if (!TransactionIdIsValid(xid))
				return UNCLEAR;
			holder->xid = xid;
			holder->tid = slots->place[index].tid;
			return BUSY;
		}
		/* somebody was faster, and has ended: look again */
	}
}

/*
 * The slot with most room among those that nobody holds at this moment, if half of
 * it lasts for some claims; -1 if there is none, or a slot is closed.
 */
static int
richest_slot(CtCounter *counter, CtSlots *slots, const CtChange *change)
{
	int			richest = -1;
	int64		most = 2 * CLAIMS_TO_MOVE * change->marketing - 1;

	for (int i = 0; i < slots->count; i++)
	{
		CtSlot		slot;
		TransactionId holder;

		if (!ct_slot_read(counter, slots, i, &slot) || slot.closed)
			return -1;
		if (slot.granted - slot.used <= most || ct_slot_is_held(counter, slots, i, &holder))
			continue;
		most = slot.granted - slot.used;
		richest = i;
	}
	return richest;
}

/*
 * Where the slot that is tried first has no room, claim in the richest one, and
 * move half of what is left there to the first, without waiting.  False if that
 * cannot be, or is not worth it; then nothing is locked: who holds a slot of the
 * account without having claimed in it must not go on to wait for others.
 */
static bool
claim_and_move(CtCounter *counter, CtSlots *slots, const CtChange *change)
{
	int			home = slots->home % slots->count;
	int			richest = richest_slot(counter, slots, change);
	CtSlot		from;
	CtSlot		to;
	int64		moved;

	if (richest < 0 || richest == home ||
		!ct_slot_read(counter, slots, richest, &from) || !ct_slot_has_room(&from, change) ||
		!ct_slot_lock_as_read(counter, slots, &from))
		return false;
	ct_slot_add(counter, slots, &from, change, 0);
	moved = (from.granted - from.used) / 2;
	slots->home = richest;
	ct_counter_remember_room(counter->table, slots->account, moved);
	if (ct_slot_read(counter, slots, home, &to) && !to.closed &&
		ct_slot_lock_as_read(counter, slots, &to))
	{
		from.granted -= moved;
		to.granted += moved;
		ct_slot_write_locked(counter, slots, &to);
		slots->home = home;
	}
	ct_slot_write_locked(counter, slots, &from);
	return true;
}

/*
 * Try all slots, beginning with the one that worked last.
 */
static Outcome
try_slots(CtCounter *counter, CtSlots *slots, const CtChange *change, Holder *holder)
{
	Outcome		result = NO_ROOM;
	int			home = slots->home;

	for (int i = 0; i < slots->count; i++)
	{
		Outcome		outcome = try_slot(counter, slots, (home + i) % slots->count, change, holder);

		if (outcome == NO_ROOM && i == 0 && claim_and_move(counter, slots, change))
			return DONE;
		if (outcome == DONE || outcome == MISSED)
			return outcome;
		if (outcome == BUSY)
			result = BUSY;
	}
	return result;
}

/*
 * Try to put a change into the counter of its account.  False, with nothing changed
 * and nothing locked, if there is no room for it.  May wait for other transactions.
 *
 * What was seen of the slots is remembered also where there is no room: that
 * somebody had to be waited for, above all.
 *
 * Locks: a slot of the account, until the transaction ends.
 */
bool
ct_counter_claim(CtCounters *counters, const CtChange *change)
{
	CtCounter  *counter = &counters->counter;
	CtSlots    *slots = &counters->slots;
	Outcome		outcome;
	Holder		holder;
	bool		fresh = false;	/* are the slots listed as they are now? */
	bool		added = false;	/* was the first slot made here? */

	ct_slots_recall(counter, change->account, slots);
	while ((outcome = try_slots(counter, slots, change, &holder)) != DONE)
	{
		if (slots->count == 0)
		{
			if (added)
				elog(ERROR, "counter of account \"%s\" is not found where it was inserted",
					 ct_account_text(counter->table, change->account));
			ct_slots_add_first(counter->table, change->account);
			added = true;
		}
		else if (fresh && outcome == NO_ROOM)
		{
			ct_slots_remember(counter, slots);
			return false;
		}
		else if (fresh && outcome == BUSY)
		{
			slots->contended = true;
			XactLockTableWait(holder.xid, counter->rel, &holder.tid, XLTW_Update);
		}
		(void) ct_slots_list(counter, slots);
		fresh = true;
	}
	ct_slots_changed(counter, slots);
	return true;
}
