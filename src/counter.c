/*-------------------------------------------------------------------------
 *
 * counter.c
 *	  The counters of accounts: the one way in which the rest of the extension
 *	  changes them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "escrow.h"

/* Does the change concern the counter, or only the ledger? */
static bool
is_counted(const CtDelta *delta)
{
	return delta->promoted != 0 || delta->demoted != 0 || delta->pending != 0;
}

static void
apply_directly(CtCounter *counter, CtDelta *deltas, int ndeltas)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "contacts_tier counter",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	for (int i = 0; i < ndeltas; i++)
	{
		if (is_counted(&deltas[i]))
		{
			ct_check_account_fits(counter->table, deltas[i].account);
			ct_escrow_apply(counter, &deltas[i]);
		}
		ct_limit_tell_dropped(counter->table, &deltas[i]);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	ct_slots_close(counter);
	CommandCounterIncrement();	/* a slot is written once per command */
}

static void
apply_by_sql(const CtTable *table, CtDelta *deltas, int ndeltas)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	for (int i = 0; i < ndeltas; i++)
	{
		if (is_counted(&deltas[i]))
		{
			ct_check_account_fits(table, deltas[i].account);
			ct_sql_apply(table, &deltas[i]);
		}
		ct_limit_tell_dropped(table, &deltas[i]);
	}
	SPI_finish();
}

/*
 * Apply what a statement changed, in the order of accounts given, which must be
 * ascending: single-statement transactions then lock counters in one order and
 * cannot deadlock on them.  Then note it in the ledger.
 *
 * Locks: of each account a slot, or all slots and the account row where the
 * ceiling is reached, until the transaction ends.  Errors: those of limit.c.
 */
void
ct_counter_apply(const CtTable *table, CtDelta *deltas, int ndeltas)
{
	CtIdentity	identity;
	CtCounter	counter;
	bool		direct;

	if (ndeltas == 0)
		return;
	ct_act_as_owner(table->owner, &identity);
	direct = ct_direct_access && ct_slots_open(&counter, table);
	if (direct)
		apply_directly(&counter, deltas, ndeltas);
	else
		apply_by_sql(table, deltas, ndeltas);
	/* now that none of it is refused */
	for (int i = 0; i < ndeltas; i++)
		ct_limit_warn_dropped(table, &deltas[i]);
	ct_ledger_record_activity(table, deltas, ndeltas, direct);
	ct_restore_identity(&identity);
}

/*
 * How many more marketing contacts an account has room for, if that can be told without
 * waiting, and not with regard to others who are at work: nobody holds a slot of it, no
 * update date is overdue, and no threshold is to be announced.  Where the tier may grow
 * nothing is told.
 *
 * Takes no lock but on the companion tables: somebody else may claim the room meanwhile, or
 * make some.
 */
CtRoom
ct_counter_look(const CtTable *table, Datum account)
{
	CtRoom		room = {0};
	CtCounter	counter;
	CtSlots		slots;
	CtAccountLook look;
	CtIdentity	identity;
	bool		held = false;

	ct_act_as_owner(table->owner, &identity);
	if (ct_direct_access && ct_slots_open(&counter, table))
	{
		ct_slots_recall(&counter, account, &slots);
		room.total = ct_slots_list(&counter, &slots);
		for (int i = 0; i < slots.count; i++)
			held |= ct_slot_is_held(&counter, &slots, i);
		ct_slots_remember(&counter, &slots);
		ct_slots_close(&counter);
		if (!held && ct_account_look(table, account, &look, true) == CT_ACCOUNT_FOUND &&
			look.has_subscription && look.next_update_at > ct_now() && ct_limit_is_announced(&look, room.total))
		{
			const char *policy = ct_enum_label(look.on_exceed);

			room.caps = strcmp(policy, "cap") == 0;
			room.is_known = room.caps || strcmp(policy, "block") == 0;
			room.room = look.contact_limit - room.total +
				Min(look.grace, PG_INT64_MAX - look.contact_limit);
		}
	}
	ct_restore_identity(&identity);
	return room;
}

/*
 * The room of slots that this backend has claimed in, by table and hash of the account: a
 * hint, for it may have been another account's, or be gone.
 */
#define NROOMS		1024

typedef struct LastRoom
{
	Oid			relid;
	uint32		hash;
	int64		room;
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
 * Remember what is left of the slot that was claimed in.
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

static CtCount
freeze(const CtTable *table, Datum account, bool close_period)
{
	CtCounter	counter;
	CtCount		count;

	if (!ct_direct_access || !ct_slots_open(&counter, table))
		return ct_sql_freeze(table, account, close_period);
	count = ct_escrow_freeze(&counter, account, close_period);
	ct_slots_close(&counter);
	CommandCounterIncrement();
	return count;
}

/*
 * Lock the whole counter of an account, and make the next promotion ask for the
 * ceiling: for whoever changes what the ceiling follows from.  The caller is the
 * table's owner and connected to SPI.
 *
 * Locks: all slots of the account, until the transaction ends.
 */
CtCount
ct_counter_freeze(const CtTable *table, Datum account)
{
	return freeze(table, account, false);
}

/*
 * The same, and begin a new period (design.md, D3): what was promoted, demoted
 * and the peak count anew.  Returns what they were.
 */
CtCount
ct_counter_close_period(const CtTable *table, Datum account)
{
	return freeze(table, account, true);
}
