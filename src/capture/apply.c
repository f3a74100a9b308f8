/*-------------------------------------------------------------------------
 *
 * apply.c
 *	  What a statement changed is counted, held against the tier, and told.
 *
 * This is the one place where counters (counter.c), update dates (period.c), limits
 * (limit.c) and the ledger meet.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "capture/capture.h"

/* Does the change concern the counter, or only the ledger? */
static bool
is_counted(const CtDelta *delta)
{
	return delta->promoted != 0 || delta->demoted != 0 || delta->pending != 0;
}

static CtChange
change_of(const CtDelta *delta)
{
	return (CtChange)
	{
		.account = delta->account,.marketing = delta->marketing,.pending = delta->pending,
			.promoted = delta->promoted,.demoted = delta->demoted
	};
}

/*
 * The counter is locked and has no room: have the tier decide, and drop what it does not
 * hold.  Returns the ceiling.
 */
static int64
decide(CtClaim *claim, CtDelta *delta)
{
	bool		only_defaults;
	int64		excess;

	claim->marketing = delta->marketing;
	claim->dropped = delta->dropped;
	excess = ct_limit_excess(claim, &only_defaults);
	ct_delta_drop(delta, excess, only_defaults);
	claim->marketing = delta->marketing;
	claim->dropped = delta->dropped;
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
	int64		ceiling;

	if (ct_counter_claim(counters, &change))
		return;
	if (change.marketing > 0 && ct_catch_up(claim->table, delta->account, delta) &&
		ct_counter_claim(counters, &change))
		return;
	if (ct_counter_lock(counters, &change, &claim->used))
		return;
	ceiling = decide(claim, delta);
	change = change_of(delta);
	ct_counter_settle(counters, &change, ceiling);
}

/* Apply the change of one account, and announce what was dropped of it. */
static void
apply_delta(CtCounters *counters, CtClaim *claim, CtDelta *delta)
{
	if (is_counted(delta))
	{
		ct_check_account_fits(claim->table, delta->account);
		count_delta(counters, claim, delta);
	}
	if (claim->is_told || delta->dropped == 0)
		return;
	claim->used = delta->total;
	claim->marketing = delta->marketing;
	claim->dropped = delta->dropped;
	ct_limit_tell_dropped(claim);
}

/*
 * Which entries of the ledger are not wanted?  An account that cannot be a key has no
 * marketing contacts, and no entries.  The others are looked at if that can be done without
 * SQL, "direct"; returns whether it could.
 */
static bool
mark_unrecorded(const CtTable *table, CtDelta *deltas, int ndeltas, bool direct, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	bool		known = direct;

	for (int i = 0; i < ndeltas; i++)
	{
		CtAccountLook look;

		deltas[i].is_unrecorded = !ct_account_fits(table, deltas[i].account);
		if (known && !deltas[i].is_unrecorded)
			switch (ct_account_look(table, deltas[i].account, &look, false))
			{
				case CT_ACCOUNT_FOUND:
					deltas[i].is_unrecorded = !look.record_activity;
					break;
				case CT_ACCOUNT_BY_SQL:
					known = false;
					break;
				case CT_ACCOUNT_MISSING:
					break;
			}
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	return known;
}

/*
 * Apply what a statement changed, in the order of accounts given, which must be
 * ascending: single-statement transactions then lock counters in one order and
 * cannot deadlock on them.  Then warn, and note it in the ledger, now that none of it
 * is refused.
 *
 * Locks: of each account a slot, or all slots and the account row where the
 * ceiling is reached, until the transaction ends.  Errors: those of limit.c.
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
	foreach(cell, told)
		ct_limit_warn_dropped(lfirst(cell));
	direct = mark_unrecorded(table, deltas, ndeltas, direct, context);
	ct_ledger_record_activity(table, deltas, ndeltas, direct);
	MemoryContextDelete(context);
	ct_restore_identity(&identity);
}
