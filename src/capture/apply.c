/*-------------------------------------------------------------------------
 *
 * apply.c
 *	  What a statement changed is counted, held against the tier, and told.
 *
 * This is the one place where counters (counter.c), update dates (catch_up.c), limits
 * (limit.c) and the ledger meet.  Each of them is given what it needs of a change, and knows
 * nothing of how it came about:
 *
 *	 the counter	CtChange: what is claimed or released
 *	 update dates	CtRowPlaces: the rows that come after the date
 *	 limits			CtClaim: what does not fit, and what was dropped for that
 *	 the ledger		CtActivity: an entry
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "capture/capture.h"

/* Does the change concern the counter, or only the ledger? */
static bool
is_counted(const CtDelta *delta)
{
	return delta->promoted != 0 || delta->demoted != 0 || delta->pending != 0;
}

/* What the counter is to change; anew where some of it has been dropped */
static CtChange
change_of(const CtDelta *delta)
{
	return (CtChange)
	{
		.account = delta->account,.marketing = delta->marketing,.pending = delta->pending,
			.promoted = delta->promoted,.demoted = delta->demoted
	};
}

/* Where the contacts are that a change promotes; in the current memory context. */
static CtRowPlaces
places_of(const CtDelta *delta)
{
	CtRowPlaces places = {.count = delta->npromotions};

	places.relid = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Oid) * Max(places.count, 1));
	places.tid = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(ItemPointerData) * Max(places.count, 1));
	for (int64 i = 0; i < places.count; i++)
	{
		places.relid[i] = delta->promotions[i].relid;
		places.tid[i] = delta->promotions[i].tid;
	}
	return places;
}

/* Apply the update dates of the account that have passed; false if there were none. */
static bool
catch_up(const CtTable *table, const CtDelta *delta)
{
	CtRowPlaces places = places_of(delta);

	return ct_catch_up(table, delta->account, &places);
}

/* What a change claims as it stands: some of it may have been dropped since. */
static void
set_claimed(CtClaim *claim, const CtDelta *delta)
{
	claim->marketing = delta->marketing;
	claim->dropped = delta->dropped;
}

/*
 * The counter is locked and has no room: let the tier decide, and drop what does not fit.
 * Returns the bounds within which nobody needs to ask.
 */
static CtBounds
decide(CtClaim *claim, CtDelta *delta)
{
	bool		only_defaults;
	int64		excess = ct_limit_excess(claim, &only_defaults);

	ct_delta_drop(delta, excess, only_defaults);
	set_claimed(claim, delta);
	return ct_limit_conclude(claim);
}

/*
 * Count the change of one account.  Update dates that have passed come before what the
 * statement promotes (T6).
 */
static void
count_delta(CtCounters *counters, CtClaim *claim, CtDelta *delta)
{
	CtChange	change = change_of(delta);
	CtExact		exact;
	CtBounds	bounds;

	if (ct_counter_claim(counters, &change))
		return;
	if (change.marketing > 0 && catch_up(claim->table, delta) && ct_counter_claim(counters, &change))
		return;
	if (ct_counter_lock(counters, &change, &exact))
		return;
	claim->used = exact.used;
	claim->lowest = exact.lowest;
	bounds = decide(claim, delta);
	change = change_of(delta);
	ct_counter_settle(counters, &change, &bounds);
}

/*
 * How many marketing contacts the account had before a change that was counted, for what is
 * told of rows that were decided early.  The last look at it (room.c) may be out of date: a
 * function that the statement has called since may have changed contacts.  What others are
 * changing is taken as it is committed, for nobody waits here.
 */
static int64
count_before(const CtTable *table, const CtDelta *delta)
{
	CtExact		exact = {.used = delta->total + delta->marketing};

	CommandCounterIncrement();	/* to see what was counted */
	(void) ct_counter_look(table, delta->account, &exact);
	return exact.used - delta->marketing;
}

/*
 * Apply the change of one account, and announce what was dropped of it, unless the decision
 * has: if rows were decided early and the claim fits, there was no decision.
 */
static void
apply_delta(CtCounters *counters, CtClaim *claim, CtDelta *delta)
{
	set_claimed(claim, delta);
	if (is_counted(delta))
	{
		ct_check_account_fits(claim->table, delta->account);
		count_delta(counters, claim, delta);
	}
	if (claim->is_told || delta->dropped == 0)
		return;
	claim->used = count_before(claim->table, delta);
	ct_limit_tell_dropped(claim);
}

/* The entry of the ledger for a change */
static CtActivity
activity_of(const CtDelta *delta)
{
	return (CtActivity)
	{
		.account = delta->account,.created = delta->created,.deleted = delta->deleted,
			.promoted = delta->promoted,.demoted = delta->demoted,
			.flagged = delta->flagged,.unflagged = delta->unflagged,.dropped = delta->dropped,
			.source_type = delta->source_type,.source_name = delta->source_name
	};
}

/*
 * Is the activity of an account not recorded?  The account row is read as long as that can be
 * done without SQL, *direct; else the ledger's statement reads it.
 */
static bool
is_unrecorded(const CtTable *table, Datum account, bool *direct)
{
	CtAccountLook look;

	/* what cannot be a key has no marketing contacts, and no entries */
	if (!ct_account_fits(table, account))
		return true;
	if (!*direct)
		return false;
	switch (ct_account_look(table, account, &look, false))
	{
		case CT_ACCOUNT_FOUND:
			return !look.record_activity;
		case CT_ACCOUNT_BY_SQL:
			*direct = false;
			break;
		case CT_ACCOUNT_MISSING:
			break;
	}
	return false;
}

/*
 * Note in the ledger what was done, for the accounts whose activity is recorded.  "context"
 * is for what is needed of one account.
 */
static void
record(const CtTable *table, const CtDelta *deltas, int ndeltas, bool direct, MemoryContext context)
{
	/* a statement may change more accounts than palloc() has room for */
	CtActivity *activities = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(CtActivity) * ndeltas);
	MemoryContext old = MemoryContextSwitchTo(context);
	int			count = 0;

	for (int i = 0; i < ndeltas; i++)
	{
		if (!is_unrecorded(table, deltas[i].account, &direct))
			activities[count++] = activity_of(&deltas[i]);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	if (count > 0)
		ct_ledger_record_activity(table, activities, count, direct);
	pfree(activities);
}

/*
 * Apply what a statement changed, in the order of accounts given, which must be
 * ascending: single-statement transactions then lock counters in one order and
 * cannot deadlock on them.  Then warn, and note it in the ledger, since none of it is
 * refused any more.
 *
 * Locks: of each account a slot, or all slots and the account row where the
 * ceiling is reached, until the transaction ends.  Errors: MC001 and MC002 (also
 * those of ct_check_account_fits()), those of ct_companion_query() and ct_catch_up(), and 55000
 * where a trigger on the counters interferes.
 */
void
ct_apply_deltas(const CtTable *table, CtDelta *deltas, int ndeltas)
{
	MemoryContext context;
	MemoryContext old;
	CtIdentity	identity;
	CtCounters *counters;
	bool		direct;
	List	   *told = NIL;
	ListCell   *cell;

	if (ndeltas == 0)
		return;
	/* the writer needs no privileges on the companion tables */
	ct_act_as_owner(table->owner, &identity);
	counters = ct_counters_open(table);
	direct = ct_counters_are_direct(counters);
	context = AllocSetContextCreate(CurrentMemoryContext, "contacts_tier counter", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	for (int i = 0; i < ndeltas; i++)
	{
		CtClaim		claim = {.table = table,.account = deltas[i].account};

		apply_delta(counters, &claim, &deltas[i]);
		MemoryContextSwitchTo(old);
		if (claim.is_told)
			told = lappend(told, memcpy(palloc(sizeof(claim)), &claim, sizeof(claim)));
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
	}
	MemoryContextSwitchTo(old);
	ct_counters_close(counters);
	/* a statement that is refused for a later account warns of nothing */
	foreach(cell, told)
		ct_limit_warn_dropped(lfirst(cell));
	record(table, deltas, ndeltas, direct, context);
	MemoryContextDelete(context);
	ct_restore_identity(&identity);
}
