/*-------------------------------------------------------------------------
 *
 * counter.c
 *	  How many marketing contacts accounts have: the one way in which the rest of
 *	  the extension changes their counters.
 *
 * A counter knows neither limits nor dates.  A change is claimed.  Where it has no
 * room, the whole counter is locked, somebody decides up to which ceiling the
 * account may have contacts, and the change is settled:
 *
 *	 claim -> done
 *	 claim -> no room -> lock -> there is room: done
 *							  -> the exact count -> settle, with a ceiling
 *
 * escrow.c claims, slots_locked.c locks and settles.  The protocol, and why it is exact and free
 * of deadlocks, is in src/README.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"

#include "counter/counter.h"

/*
 * Open the counters of an attached table for changes of one account after the
 * other.  The caller is the table's owner.
 *
 * Locks: the counter table, as an UPDATE does, until the transaction ends.  Errors: those of
 * ct_open_companion() and ct_refuse_companion().
 */
CtCounters *
ct_counters_open(const CtTable *table)
{
	CtCounters *counters = palloc(sizeof(CtCounters));

	counters->locked = NULL;
	ct_slots_open(&counters->counter, table);
	return counters;
}

/*
 * Is the activity of the last change in an open entry, unless it is not to be recorded?
 * Otherwise that is left to the caller.
 */
bool
ct_counters_have_recorded(const CtCounters *counters)
{
	return counters->counter.recorded;
}

/*
 * The entries of activity that changes have closed since the counters were opened, of
 * CtActivity: they are for the ledger, in the same transaction.  In the memory in which the
 * counters were opened, with all that they point to.
 */
List *
ct_counters_finished(const CtCounters *counters)
{
	return counters->counter.finished;
}

/*
 * Close them.  Their locks stay until the transaction ends.
 */
void
ct_counters_close(CtCounters *counters)
{
	ct_slots_close(&counters->counter);
	CommandCounterIncrement();	/* a slot is written once per command */
	pfree(counters);
}

/*
 * Put a change that claims nothing into the counter of its account: it needs no room.  May
 * wait for other transactions.
 *
 * Locks: a slot of the account, until the transaction ends.
 */
void
ct_counter_release(CtCounters *counters, const CtChange *change)
{
	CtExact		exact;

	if (!ct_counter_claim(counters, change) && !ct_counter_lock(counters, change, &exact))
		elog(ERROR, "release of %lld contacts failed", (long long) -change->marketing);
}

/*
 * What the counter of an account says, if nobody else is changing it at this moment.
 * False if somebody is: *exact is what is committed then, and what we have changed.  A slot
 * that we have locked ourselves says what it will say: nobody else changes it before we end.
 *
 * Takes no lock but on the counter table: somebody may change it right afterwards.  The
 * caller is the table's owner.
 */
bool
ct_counter_look(const CtTable *table, Datum account, CtExact *exact)
{
	CtCounter	counter;
	CtSlots		slots;
	TransactionId holder;
	bool		held = false;

	ct_slots_open(&counter, table);
	*exact = ct_slots_recall_listed(&counter, account, &slots);
	for (int i = 0; i < slots.count; i++)
		held |= ct_slot_is_held(&counter, &slots, i, &holder) && !TransactionIdIsCurrentTransactionId(holder);
	ct_slots_remember(&counter, &slots);
	ct_slots_close(&counter);
	return !held;
}

static CtCount
withdraw(const CtTable *table, Datum account, bool close_period, List **finished)
{
	CtCounters *counters = ct_counters_open(table);
	CtCount		count = ct_slots_withdraw(counters, account, close_period, finished != NULL);

	if (finished != NULL)
		*finished = ct_counters_finished(counters);
	ct_counters_close(counters);
	return count;
}

/*
 * Lock the whole counter of an account, and make the next promotion ask for the
 * ceiling: for whoever changes what the ceiling follows from.  If "finished" is not NULL,
 * open entries are closed, and are what it then lists: see ct_counters_finished() and
 * ct_ledger_withdraw().  The caller is the table's owner.
 *
 * Locks: all slots of the account, until the transaction ends.
 */
CtCount
ct_counter_withdraw(const CtTable *table, Datum account, List **finished)
{
	return withdraw(table, account, false, finished);
}

/*
 * The same, and begin a new period (rule D3): what was promoted, demoted
 * and the peak count anew.  Returns what they were.
 */
CtCount
ct_counter_close_period(const CtTable *table, Datum account, List **finished)
{
	return withdraw(table, account, true, finished);
}
