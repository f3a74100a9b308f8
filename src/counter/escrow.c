/*-------------------------------------------------------------------------
 *
 * escrow.c
 *	  Claiming and releasing marketing contacts in the slots of an account.
 *
 * The protocol, and why it is exact and free of deadlocks, is in src/README.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
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

/* Releases, and changes of the flag alone, need no room. */
static bool
has_room(const CtSlot *slot, const CtChange *change)
{
	return change->marketing <= 0 ||
		(!slot->closed && slot->used + change->marketing <= slot->granted);
}

/*
 * Put a change into a slot.  Between two releases the count only grows, so the
 * peak of the period is among the counts before releases and the last one;
 * "total" is the count of the account before this one.
 */
static void
add_to_slot(CtSlot *slot, const CtChange *change, int64 total)
{
	if (change->marketing < 0)
		slot->peak = Max(slot->peak, total);
	slot->used += change->marketing;
	slot->pending += change->pending;
	slot->promoted += change->promoted;
	slot->demoted += change->demoted;
}

/*
 * How many marketing contacts the account has, for a release: of a single slot
 * the slot itself tells; of several the latest snapshot, without locks.
 */
static int64
total_before(CtCounter *counter, CtSlots *slots, const CtSlot *slot, const CtChange *change)
{
	CtSlots		fresh = {.account = slots->account};

	if (change->marketing >= 0)
		return 0;
	return slots->count == 1 ? slot->used : ct_slots_list(counter, &fresh);
}

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
		if (!has_room(&slot, change))
			return NO_ROOM;
		add_to_slot(&slot, change, total_before(counter, slots, &slot, change));
		result = ct_slot_write(counter, slots, &slot, ct_slot_is_ours(&slot), &xid);
		if (result == TM_Ok)
		{
			slots->home = index;
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

/* Write a slot that is locked. */
static void
write_locked(CtCounter *counter, CtSlots *slots, CtSlot *slot)
{
	TransactionId holder;

	if (ct_slot_write(counter, slots, slot, true, &holder) != TM_Ok)
		elog(ERROR, "slot %d changed while it was locked", slots->place[slot->index].number);
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

		if (!ct_slot_read(counter, slots, i, &slot) || slot.closed)
			return -1;
		if (slot.granted - slot.used <= most || ct_slot_is_held(counter, slots, i))
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
		!ct_slot_read(counter, slots, richest, &from) || !has_room(&from, change) ||
		!ct_slot_lock_as_read(counter, slots, &from))
		return false;
	add_to_slot(&from, change, 0);
	moved = (from.granted - from.used) / 2;
	slots->home = richest;
	ct_counter_remember_room(counter->table, slots->account, moved);
	if (ct_slot_read(counter, slots, home, &to) && !to.closed &&
		ct_slot_lock_as_read(counter, slots, &to))
	{
		from.granted -= moved;
		to.granted += moved;
		write_locked(counter, slots, &to);
		slots->home = home;
	}
	write_locked(counter, slots, &from);
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

static void
add_first_slot(const CtTable *table, Datum account)
{
	Datum		values[] = {account};

	ct_connect_spi();
	ct_companion_query(table, &ct_add_slot_query, values, NULL);
	SPI_finish();
	CommandCounterIncrement();
}

/* $2, $3: first and last of the new slots, $4: granted to each */
static const CtQuery add_slots_query = {
	"INSERT INTO {counter} (account, slot, granted)"
	" SELECT $1, slot, $4 FROM pg_catalog.generate_series($2, $3) slot",
	4, {CT_ACCOUNT_TYPE, INT4OID, INT4OID, INT8OID}
};

/*
 * Double the slots of a contended account, if we hold slot 0, and share its
 * room among the new ones.
 */
static void
add_slots(CtCounter *counter, CtSlots *slots)
{
	CtSlot		first;
	int64		share;
	int			count;

	if (!slots->contended || slots->place[slots->home].number != 0)
		return;
	slots->contended = false;
	CommandCounterIncrement();
	(void) ct_slots_list(counter, slots);
	count = Min(slots->count, CT_MAX_SLOTS - slots->count);
	if (count == 0 || !ct_slot_read(counter, slots, 0, &first) || first.closed)
		return;

	share = Max(first.granted - first.used, 0) / (count + 1);
	first.granted -= share * count;
	write_locked(counter, slots, &first);
	{
		Datum		values[] = {
			slots->account,
			Int32GetDatum(slots->place[slots->count - 1].number + 1),
			Int32GetDatum(slots->place[slots->count - 1].number + count),
			Int64GetDatum(share)
		};

		ct_connect_spi();
		ct_companion_query(counter->table, &add_slots_query, values, NULL);
		SPI_finish();
	}
	slots->count = 0;			/* list them when they are needed next */
}

/*
 * Lock a slot, if it is not locked already.  False if another transaction holds
 * it and "wait" is false.
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
	locked->count++;
	return true;
}

/*
 * Lock slots until they have room for "wanted", or all of them, as where one is
 * closed.  Slot 0 comes first: who holds it is alone on the slow path, and no
 * slots are added.
 */
static void
lock_room(CtCounter *counter, CtSlots *slots, int64 wanted, CtLockedSlots *locked)
{
	locked->count = 0;
	locked->room = 0;
	locked->closed = false;
	memset(locked->held, 0, sizeof(locked->held));

	if (!lock_slot(counter, slots, 0, true, locked))
		elog(ERROR, "counter of account \"%s\" has vanished",
			 ct_account_text(counter->table, slots->account));
	(void) ct_slots_list(counter, slots);
	for (int i = 1; i < slots->count; i++)
		lock_slot(counter, slots, i, false, locked);
	for (int i = 1; i < slots->count && (locked->closed || locked->room < wanted); i++)
		lock_slot(counter, slots, i, true, locked);
}

static int64
sum_used(const CtLockedSlots *locked)
{
	int64		used = 0;

	for (int i = 0; i < locked->count; i++)
		used += locked->slot[i].used;
	return used;
}

/* Does a slot say what it said when it was read? */
static bool
is_unchanged(const CtSlot *slot, const CtSlot *before)
{
	return slot->used == before->used && slot->pending == before->pending &&
		slot->closed == before->closed && (slot->closed || slot->granted == before->granted) &&
		slot->promoted == before->promoted && slot->demoted == before->demoted &&
		slot->corrected == before->corrected && slot->peak == before->peak;
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
			write_locked(counter, slots, slot);
	}
}

/* The change is in the counter: what else is left to do. */
static void
end_change(CtCounter *counter, CtSlots *slots)
{
	add_slots(counter, slots);
	ct_slots_remember(counter, slots);
}

/*
 * ct_counter_claim(), by slots
 *
 * What was seen of the slots is remembered also where there is no room: that
 * somebody had to be waited for, above all.
 */
static bool
claim(CtCounters *counters, const CtChange *change)
{
	CtCounter  *counter = &counters->direct;
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
					 ct_account_text(counters->table, change->account));
			add_first_slot(counters->table, change->account);
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
	end_change(counter, slots);
	return true;
}

/*
 * Put a change into slots that are locked, and share out what room there is then.
 * "total" as in add_to_slot().
 */
static void
change_locked(CtCounters *counters, const CtChange *change, int64 total, int64 room)
{
	CtLockedSlots *locked = counters->locked;
	CtSlot	   *first = &locked->slot[0];

	add_to_slot(first, change, total);
	write_slots(&counters->direct, &counters->slots, locked, room);
	counters->slots.home = first->index;
	ct_counter_remember_room(counters->table, change->account, locked->closed ? 0 : first->granted - first->used);
	end_change(&counters->direct, &counters->slots);
	counters->locked = NULL;
}

/* ct_counter_lock(), by slots */
static bool
lock(CtCounters *counters, const CtChange *change, int64 *used)
{
	CtCounter  *counter = &counters->direct;
	CtSlots    *slots = &counters->slots;
	CtLockedSlots *locked = palloc(sizeof(CtLockedSlots));
	int64		room;

	counters->locked = locked;
	lock_room(counter, slots, change->marketing, locked);
	room = locked->room - change->marketing;
	if (change->marketing <= 0 || (!locked->closed && room >= 0))
	{
		change_locked(counters, change, total_before(counter, slots, &locked->slot[0], change), room);
		return true;
	}
	if (locked->count < slots->count)
		elog(ERROR, "could not lock all slots of account \"%s\"",
			 ct_account_text(counters->table, change->account));
	*used = sum_used(locked);
	return false;
}

/* ct_counter_settle(), by slots */
static void
settle(CtCounters *counters, const CtChange *change, int64 ceiling)
{
	int64		used = sum_used(counters->locked);
	int64		room = ceiling - used - change->marketing;

	/* above its tier, the account has no room even after a release */
	counters->locked->closed = room < 0;
	change_locked(counters, change, used, room);
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

static void
begin_period(CtLockedSlots *locked)
{
	for (int i = 0; i < locked->count; i++)
	{
		locked->slot[i].promoted = 0;
		locked->slot[i].demoted = 0;
		locked->slot[i].corrected = 0;
		locked->slot[i].peak = 0;
	}
}

/*
 * ct_counter_withdraw() and ct_counter_close_period(), by slots: what was granted is
 * taken back, so that the next promotion asks for the ceiling.
 */
static CtCount
withdraw(CtCounters *counters, Datum account, bool close_period)
{
	CtCounter  *counter = &counters->direct;
	CtSlots    *slots = &counters->slots;
	CtLockedSlots *locked = palloc(sizeof(CtLockedSlots));
	CtCount		count;

	ct_slots_recall(counter, account, slots);
	/* what is remembered may be rolled back */
	(void) ct_slots_list(counter, slots);
	if (slots->count == 0)
	{
		add_first_slot(counters->table, account);
		(void) ct_slots_list(counter, slots);
	}
	lock_room(counter, slots, PG_INT64_MAX, locked);
	count = sum_slots(locked);
	if (close_period)
		begin_period(locked);
	locked->closed = true;
	write_slots(counter, slots, locked, 0);
	ct_slots_remember(counter, slots);
	pfree(locked);
	return count;
}

const CtCounterWay ct_slots_way = {
	.claim = claim,
	.lock = lock,
	.settle = settle,
	.withdraw = withdraw
};
