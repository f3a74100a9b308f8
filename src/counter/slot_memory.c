/*-------------------------------------------------------------------------
 *
 * slot_memory.c
 *	  What a backend remembers of slots: where they are, and what room they have.
 *
 * All of it are hints.  What is found at a place is taken only if it is visible and is
 * the row of this account and slot (slot.c); a list of slots may be too short, since
 * others add some; a room may be gone, or another account's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "storage/proc.h"

#include "counter/counter.h"

/* Copy what is used of slots: mostly a few of many places. */
static void
copy_slots(CtSlots *to, const CtSlots *from)
{
	memcpy(to, from, offsetof(CtSlots, place) + sizeof(CtSlotPlace) * from->count);
}

/* The slots of an account, as this backend remembers them; none if it does not. */
static void
recall(CtCounter *counter, Datum account, CtSlots *slots)
{
	CtRememberedSlots *known = ct_account_find(counter->info->memory, account);

	if (known != NULL)
		copy_slots(slots, &known->slots);
	else
	{
		slots->contended = false;
		slots->home = ct_backend_number();
		slots->unrecorded.xmin = InvalidTransactionId;
		slots->count = 0;
	}
	slots->account = account;
}

/*
 * The slots of an account, as this backend remembers them, or as they are listed now if
 * it does not.  The copy is the caller's: nested statements may change what is
 * remembered.  "account" must live as long as *slots is used.
 */
void
ct_slots_recall(CtCounter *counter, Datum account, CtSlots *slots)
{
	recall(counter, account, slots);
	if (slots->count == 0)
		(void) ct_slots_list(counter, slots);
}

/*
 * The same, with the slots as they are listed now in any case; returns what ct_slots_list() does.
 */
CtExact
ct_slots_recall_listed(CtCounter *counter, Datum account, CtSlots *slots)
{
	recall(counter, account, slots);
	return ct_slots_list(counter, slots);
}

/*
 * Remember the slots of an account, as the caller knows them.
 */
void
ct_slots_remember(CtCounter *counter, const CtSlots *slots)
{
	CtRememberedSlots *known = ct_account_enter(counter->info->memory, slots->account);

	copy_slots(&known->slots, slots);
}

/* Rooms that are remembered; a new one may take the place of another account's */
#define NROOMS		1024

/* The room of a slot that this backend has claimed in, by table and hash of the account */
typedef struct LastRoom
{
	Oid			relid;
	uint32		hash;
	int64		room;			/* contacts */
} LastRoom;

static LastRoom last_rooms[NROOMS];

static LastRoom *
last_room(const CtTable *table, uint32 hash)
{
	return &last_rooms[(hash ^ table->relid) % NROOMS];
}

/*
 * What was left of the slot that this backend has claimed in last, as far as it is known; 0
 * if nothing is.  It is not said that so many fit, but there was no need to look.
 */
int64
ct_counter_last_room(const CtTable *table, Datum account)
{
	uint32		hash = ct_account_hash(table, account);
	LastRoom   *last = last_room(table, hash);

	return last->relid == table->relid && last->hash == hash ? last->room : 0;
}

/*
 * Remember what is left, in contacts, of the slot that was claimed in; 0 where nobody may
 * claim in it.
 */
void
ct_counter_remember_room(const CtTable *table, Datum account, int64 room)
{
	uint32		hash = ct_account_hash(table, account);
	LastRoom   *last = last_room(table, hash);

	last->relid = table->relid;
	last->hash = hash;
	last->room = room;
}
