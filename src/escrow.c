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

#include "escrow.h"

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

/* The slots that the slow path has locked */
typedef struct Gathered
{
	int			count;
	int64		room;			/* of them, in contacts */
	bool		frozen;			/* is one of them? */
	CtSlot		slot[CT_MAX_SLOTS];
	bool		held[CT_MAX_SLOTS]; /* by index into CtSlots.place */
} Gathered;

/* Releases, and changes of the flag alone, need no room. */
static bool
has_room(const CtSlot *slot, const CtDelta *delta)
{
	return delta->marketing <= 0 ||
		(!slot->frozen && slot->used + delta->marketing <= slot->granted);
}

/*
 * Put a change into a slot.  Between two releases the count only grows, so the
 * peak of the period is among the counts before releases and the last one;
 * "total" is the count of the account before this one.
 */
static void
add_to_slot(CtSlot *slot, const CtDelta *delta, int64 total)
{
	if (delta->marketing < 0)
		slot->peak = Max(slot->peak, total);
	slot->used += delta->marketing;
	slot->pending += delta->pending;
	slot->promoted += delta->promoted;
	slot->demoted += delta->demoted;
}

/*
 * How many marketing contacts the account has, for a release: of a single slot
 * the slot itself tells; of several the latest snapshot, without locks.
 */
static int64
total_before(CtCounter *counter, CtSlots *slots, const CtSlot *slot, const CtDelta *delta)
{
	CtSlots		fresh = {.account = slots->account};

	if (delta->marketing >= 0)
		return 0;
	return slots->count == 1 ? slot->used : ct_slots_list(counter, &fresh);
}

/*
 * Try to put a change into one slot, without waiting.
 */
static Outcome
try_slot(CtCounter *counter, CtSlots *slots, int index, const CtDelta *delta, Holder *holder)
{
	for (;;)
	{
		CtSlot		slot;
		TransactionId xid;
		TM_Result	result;

		CHECK_FOR_INTERRUPTS();
		if (!ct_slot_read(counter, slots, index, &slot))
			return MISSED;
		if (!has_room(&slot, delta))
			return NO_ROOM;
		add_to_slot(&slot, delta, total_before(counter, slots, &slot, delta));
		result = ct_slot_write(counter, slots, &slot, ct_slot_is_ours(&slot), &xid);
		if (result == TM_Ok)
		{
			slots->home = index;
			ct_counter_remember_room(counter->table, slots->account, slot.frozen ? 0 : slot.granted - slot.used);
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
 * it lasts for some claims; -1 if there is none, or a slot is frozen.
 */
static int
richest_slot(CtCounter *counter, CtSlots *slots, const CtDelta *delta)
{
	int			richest = -1;
	int64		most = 2 * CLAIMS_TO_MOVE * delta->marketing - 1;

	for (int i = 0; i < slots->count; i++)
	{
		CtSlot		slot;

		if (!ct_slot_read(counter, slots, i, &slot) || slot.frozen)
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
claim_and_move(CtCounter *counter, CtSlots *slots, const CtDelta *delta)
{
	int			home = slots->home % slots->count;
	int			richest = richest_slot(counter, slots, delta);
	CtSlot		from;
	CtSlot		to;
	int64		moved;

	if (richest < 0 || richest == home ||
		!ct_slot_read(counter, slots, richest, &from) || !has_room(&from, delta) ||
		!ct_slot_lock_as_read(counter, slots, &from))
		return false;
	add_to_slot(&from, delta, 0);
	moved = (from.granted - from.used) / 2;
	slots->home = richest;
	ct_counter_remember_room(counter->table, slots->account, moved);
	if (ct_slot_read(counter, slots, home, &to) && !to.frozen &&
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
try_slots(CtCounter *counter, CtSlots *slots, const CtDelta *delta, Holder *holder)
{
	Outcome		result = NO_ROOM;
	int			home = slots->home;

	for (int i = 0; i < slots->count; i++)
	{
		Outcome		outcome = try_slot(counter, slots, (home + i) % slots->count, delta, holder);

		if (outcome == NO_ROOM && i == 0 && claim_and_move(counter, slots, delta))
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

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ct_companion_query(table, CT_QUERY_ADD_SLOT, values, NULL);
	SPI_finish();
	CommandCounterIncrement();
}

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
	if (count == 0 || !ct_slot_read(counter, slots, 0, &first) || first.frozen)
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

		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		ct_companion_query(counter->table, CT_QUERY_ADD_SLOTS, values, NULL);
		SPI_finish();
	}
	slots->count = 0;			/* list them when they are needed next */
}

/*
 * Lock a slot, if it is not locked already.  False if another transaction holds
 * it and "wait" is false.
 */
static bool
gather(CtCounter *counter, CtSlots *slots, int index, bool wait, Gathered *gathered)
{
	CtSlot	   *slot = &gathered->slot[gathered->count];

	if (gathered->held[index] || !ct_slot_lock(counter, slots, index, wait, slot))
		return false;
	gathered->held[index] = true;
	if (slot->frozen)
		gathered->frozen = true;
	else
		gathered->room += slot->granted - slot->used;
	gathered->count++;
	return true;
}

/*
 * Lock slots until they have room for "wanted", or all of them, as where one is
 * frozen.  Slot 0 comes first: who holds it is alone on the slow path, and no
 * slots are added.
 */
static void
gather_room(CtCounter *counter, CtSlots *slots, int64 wanted, Gathered *gathered)
{
	gathered->count = 0;
	gathered->room = 0;
	gathered->frozen = false;
	memset(gathered->held, 0, sizeof(gathered->held));

	if (!gather(counter, slots, 0, true, gathered))
		elog(ERROR, "counter of account \"%s\" has vanished",
			 ct_account_text(counter->table, slots->account));
	(void) ct_slots_list(counter, slots);
	for (int i = 1; i < slots->count; i++)
		gather(counter, slots, i, false, gathered);
	for (int i = 1; i < slots->count && (gathered->frozen || gathered->room < wanted); i++)
		gather(counter, slots, i, true, gathered);
}

static int64
sum_used(const Gathered *gathered)
{
	int64		used = 0;

	for (int i = 0; i < gathered->count; i++)
		used += gathered->slot[i].used;
	return used;
}

/*
 * Write all gathered slots, with the room spread evenly over them, or frozen.
 */
static void
write_gathered(CtCounter *counter, CtSlots *slots, Gathered *gathered, int64 room)
{
	for (int i = 0; i < gathered->count; i++)
	{
		CtSlot	   *slot = &gathered->slot[i];
		int64		share = room / (gathered->count - i);

		slot->granted = slot->used + share;
		slot->frozen = gathered->frozen;
		room -= share;
		write_locked(counter, slots, slot);
	}
}

/*
 * The slow path.  Errors: MC001, MC002.
 */
static void
claim_slowly(CtCounter *counter, CtSlots *slots, CtDelta *delta)
{
	Gathered	gathered;
	int64		room;
	int64		total;

	gather_room(counter, slots, delta->marketing, &gathered);
	total = total_before(counter, slots, &gathered.slot[0], delta);
	room = gathered.room - delta->marketing;
	if (delta->marketing > 0 && (gathered.frozen || room < 0))
	{
		CtClaim		claim = {.table = counter->table,.delta = delta,.used = sum_used(&gathered)};

		if (gathered.count < slots->count)
			elog(ERROR, "could not lock all slots of account \"%s\"",
				 ct_account_text(counter->table, delta->account));
		room = ct_limit_decide(&claim) - claim.used - delta->marketing;
		total = claim.used;
		/* above its tier, the account has no room even after a release */
		gathered.frozen = room < 0;
	}
	add_to_slot(&gathered.slot[0], delta, total);
	write_gathered(counter, slots, &gathered, room);
	slots->home = gathered.slot[0].index;
	ct_counter_remember_room(counter->table, slots->account,
							 gathered.frozen ? 0 : gathered.slot[0].granted - gathered.slot[0].used);
}

/*
 * Apply the change of one account.
 *
 * Locks: one slot of the account, or several and the account row on the slow
 * path, until the transaction ends.  Errors: MC001, MC002.
 */
void
ct_escrow_apply(CtCounter *counter, CtDelta *delta)
{
	CtSlots		slots;
	Outcome		outcome;
	Holder		holder;
	bool		fresh = false;	/* are the slots listed as they are now? */
	bool		added = false;	/* was the first slot made here? */
	bool		current = false;	/* are no update dates overdue? */

	ct_slots_recall(counter, delta->account, &slots);
	while ((outcome = try_slots(counter, &slots, delta, &holder)) != DONE)
	{
		if (slots.count == 0)
		{
			if (added)
				elog(ERROR, "counter of account \"%s\" is not found where it was inserted",
					 ct_account_text(counter->table, delta->account));
			add_first_slot(counter->table, delta->account);
			added = true;
		}
		else if (fresh && outcome == NO_ROOM && !current)
		{
			(void) ct_catch_up(counter->table, delta->account, delta);
			current = true;
		}
		else if (fresh && outcome == NO_ROOM)
		{
			claim_slowly(counter, &slots, delta);
			break;
		}
		else if (fresh && outcome == BUSY)
		{
			slots.contended = true;
			XactLockTableWait(holder.xid, counter->rel, &holder.tid, XLTW_Update);
		}
		(void) ct_slots_list(counter, &slots);
		fresh = true;
	}
	add_slots(counter, &slots);
	ct_slots_remember(counter, &slots);
}

/* What all slots of an account say together. */
static CtCount
sum_slots(const Gathered *gathered)
{
	CtCount		count = {0};

	for (int i = 0; i < gathered->count; i++)
	{
		const CtSlot *slot = &gathered->slot[i];

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
begin_period(Gathered *gathered)
{
	for (int i = 0; i < gathered->count; i++)
	{
		gathered->slot[i].promoted = 0;
		gathered->slot[i].demoted = 0;
		gathered->slot[i].corrected = 0;
		gathered->slot[i].peak = 0;
	}
}

/*
 * Lock all slots of an account and take back what was granted, so that the next
 * promotion asks for the ceiling.  With "close_period" a new period begins in
 * them.  Returns what was in them.
 *
 * Locks: all slots of the account, until the transaction ends.
 */
CtCount
ct_escrow_freeze(CtCounter *counter, Datum account, bool close_period)
{
	CtSlots		slots;
	Gathered	gathered;
	CtCount		count;

	ct_slots_recall(counter, account, &slots);
	(void) ct_slots_list(counter, &slots);	/* what is remembered may be
											 * rolled back */
	if (slots.count == 0)
	{
		add_first_slot(counter->table, account);
		(void) ct_slots_list(counter, &slots);
	}
	gather_room(counter, &slots, PG_INT64_MAX, &gathered);
	count = sum_slots(&gathered);
	if (close_period)
		begin_period(&gathered);
	gathered.frozen = true;
	write_gathered(counter, &slots, &gathered, 0);
	ct_slots_remember(counter, &slots);
	return count;
}
