/*-------------------------------------------------------------------------
 *
 * slot_change.c
 *	  What a change of an account does to a slot, and how many slots there are.
 *
 * An account begins with one slot, and gets more where its writers wait for one
 * another.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"

#include "counter/counter.h"

/* Does the brake of the account let a change pass in a slot, without asking? */
static bool
passes(const CtSlot *slot, const CtChange *change)
{
	return !slot->closed && !change->passes_brake && change->promoted <= slot->brake && ct_now() >= slot->braked_at;
}

/*
 * Is there room for a change in a slot?  Releases, and changes of the flag alone, need none.
 */
bool
ct_slot_has_room(const CtSlot *slot, const CtChange *change)
{
	if (slot->has_brake && change->promoted > 0 && !passes(slot, change))
		return false;
	return change->marketing <= 0 ||
		(!slot->closed && slot->used + change->marketing <= slot->granted);
}

/* Note that the account has fallen to so many, if that is below the bottom. */
static bool
note_count(CtSlot *slot, int64 count)
{
	if (!slot->observed || count >= slot->bottom || (slot->fell && count >= slot->lowest))
		return false;
	slot->lowest = count;
	slot->fell = true;
	slot->closed = true;
	return true;
}

/*
 * Put a change into a slot.  Between two releases the count only grows, so the
 * peak of the period is among the counts before releases and the last one;
 * "total" is the count of the account before this one.
 *
 * A slot that falls below its floor closes, so that the next claim asks, whatever others
 * have released (see src/README on thresholds).
 */
void
ct_slot_add(CtCounter *counter, const CtSlots *slots, CtSlot *slot, const CtChange *change, int64 total)
{
	if (change->marketing < 0)
		slot->peak = Max(slot->peak, total);
	slot->used += change->marketing;
	if (slot->observed && slot->alone)
		(void) note_count(slot, slot->used);
	else if (slot->observed && slot->used < slot->floor)
		slot->closed = true;
	slot->pending += change->pending;
	slot->promoted += change->promoted;
	slot->demoted += change->demoted;
	slot->corrected += change->corrected;
	if (slot->has_brake)
		slot->brake -= change->promoted;
	ct_slot_fold(counter, slots, slot, change);
}

/* How many marketing contacts the slots of an account count, as the latest snapshot has it */
static int64
count_afresh(CtCounter *counter, Datum account)
{
	CtSlots		fresh = {.account = account};

	return ct_slots_list(counter, &fresh).used;
}

/*
 * How many marketing contacts the account has before a change, for ct_slot_add(); 0 where that
 * is no release and does not ask.  Of a single slot the slot itself tells; of several the
 * latest snapshot, without locks: the peak may be missed that others make at this very moment.
 */
int64
ct_slots_total(CtCounter *counter, const CtSlots *slots, const CtSlot *slot, const CtChange *change)
{
	if (change->marketing >= 0)
		return 0;
	return slots->count == 1 ? slot->used : count_afresh(counter, slots->account);
}

/*
 * Write a slot that is locked, which waits for nobody.
 */
void
ct_slot_write_locked(CtCounter *counter, CtSlots *slots, CtSlot *slot)
{
	TransactionId holder;

	if (ct_slot_write(counter, slots, slot, true, &holder) != TM_Ok)
		elog(ERROR, "slot %d changed while it was locked", slots->place[slot->index].number);
}

/*
 * After a release was written into a slot that is not alone: note how far the account may
 * have fallen by it.  Of two transactions that release at the same time, one sees what the
 * other has written, for it looks after it has written itself.
 *
 * Waits for nobody: the slot is ours.
 */
void
ct_slot_note_fall(CtCounter *counter, CtSlots *slots, const CtSlot *slot, const CtChange *change)
{
	CtSlot		again = *slot;
	int64		least;

	if (change->marketing >= 0 || !slot->observed || slot->alone)
		return;
	least = ct_slots_least(counter, slots->account);
	if (!note_count(&again, least))
		return;
	CommandCounterIncrement();	/* a slot is written once per command */
	if (!ct_slot_read(counter, slots, slot->index, &again))
		elog(ERROR, "slot %d has vanished", slots->place[slot->index].number);
	(void) note_count(&again, least);
	ct_slot_write_locked(counter, slots, &again);
}

static const CtQuery add_first_query = {
	"INSERT INTO {counter} (account, slot) VALUES ($1, 0)"
	" ON CONFLICT (account, slot) DO NOTHING",
	1, {CT_ACCOUNT_TYPE}
};

/*
 * Make the first slot of an account, closed, unless somebody else has made one meanwhile; that
 * one is waited for.  By SQL, for it is done once for an account.  The caller is the
 * table's owner.
 */
void
ct_slots_add_first(const CtTable *table, Datum account)
{
	Datum		values[] = {account};

	ct_connect_spi();
	ct_companion_query(table, &add_first_query, values, NULL);
	SPI_finish();
	CommandCounterIncrement();
}

/*
 * $2, $3: first and last of the new slots, $4: granted to each, or NULL: closed, $5: bottom, $6: has
 * the account a brake?
 */
static const CtQuery add_slots_query = {
	"INSERT INTO {counter} (account, slot, granted, floor, bottom, brake, braked_at)"
	" SELECT $1, slot, $4, CASE WHEN $5 IS NOT NULL THEN 0 END, $5, CASE WHEN $6 THEN 0 END,"
	"  CASE WHEN $6 THEN contacts_tier.clock() END FROM pg_catalog.generate_series($2, $3) slot",
	6, {CT_ACCOUNT_TYPE, INT4OID, INT4OID, INT8OID, INT8OID, BOOLOID}
};

/*
 * Double the slots of a contended account, if we hold slot 0, and share its
 * room among the new ones.  No slots are made without its lock, so that whoever locks it
 * and lists the slots then knows all of them.
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

	/*
	 * The bounds of one slot may be wider than those of several: where it is
	 * observed, or has a brake, the next claim asks, and all get theirs
	 */
	first.closed = first.observed || first.has_brake;
	if (first.alone)
		first.floor = first.used;
	first.alone = false;
	share = Max(first.granted - first.used, 0) / (count + 1);
	first.granted -= share * count;
	ct_slot_write_locked(counter, slots, &first);
	{
		Datum		values[] = {
			slots->account,
			Int32GetDatum(slots->place[slots->count - 1].number + 1),
			Int32GetDatum(slots->place[slots->count - 1].number + count),
			Int64GetDatum(share),
			Int64GetDatum(first.bottom),
			BoolGetDatum(first.has_brake)
		};
		char		nulls[] = {' ', ' ', ' ', first.closed ? 'n' : ' ', first.observed ? ' ' : 'n', ' ', '\0'};

		ct_connect_spi();
		ct_companion_query(counter->table, &add_slots_query, values, nulls);
		SPI_finish();
	}
	slots->count = 0;			/* list them when they are needed next */
}

/*
 * A change is in the counter: do what else is left to do, and remember the slots.
 */
void
ct_slots_changed(CtCounter *counter, CtSlots *slots)
{
	add_slots(counter, slots);
	ct_slots_remember(counter, slots);
}
