/*-------------------------------------------------------------------------
 *
 * open_entries.c
 *	  Entries of activity that are open: slots carry them (counter/activity.c), readers see
 *	  them, and here they are closed.
 *
 * What is in a slot and what is in the ledger is one history at any instant: an entry goes
 * from one to the other in a single transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "ledger/ledger.h"

/*
 * Close entries: which slots have one that is to be closed is said by "chosen", which locks them.
 * The locked version is what both the update and the entry are made of.
 */
#define CLOSE(chosen) \
	"WITH c AS MATERIALIZED (SELECT * FROM {counter} WHERE entry_started_at IS NOT NULL" chosen ")," \
	" closed AS (UPDATE {counter} s SET entry_started_at = NULL FROM c" \
	"  WHERE s.account {=} c.account AND s.slot" CT_EQ "c.slot)" \
	" INSERT INTO {ledger} (account, recorded_at, event, role, contacts, details)" \
	" SELECT c.account, c.entry_started_at, 'activity', c.entry_role, c.entry_promoted, " CT_OPEN_DETAILS " FROM c"

static const CtQuery close_query = {
	CLOSE(" AND account {=} $1 FOR NO KEY UPDATE"),
	1, {CT_ACCOUNT_TYPE}
};

/* What a counter says, with its entries in the ledger; see ct_counter_withdraw() */
typedef CtCount (*Withdraw) (const CtTable *table, Datum account, List **finished);

static CtCount
withdraw(const CtTable *table, Datum account, Withdraw counter_withdraw)
{
	Datum		values[] = {account};
	List	   *finished;
	CtCount		count = counter_withdraw(table, account, &finished);

	if (ct_slots_are_direct(table))
		ct_ledger_record_activity(table, finished);
	else
	{
		ct_connect_spi();
		ct_companion_query(table, &close_query, values, NULL);
		SPI_finish();
	}
	return count;
}

/*
 * As ct_counter_withdraw(), and the open entries of the account are closed: they stand in the
 * ledger before what the caller records there.  The caller is the table's owner.
 */
CtCount
ct_ledger_withdraw(const CtTable *table, Datum account)
{
	return withdraw(table, account, ct_counter_withdraw);
}

/*
 * The same for ct_counter_close_period().
 */
CtCount
ct_ledger_close_period(const CtTable *table, Datum account)
{
	return withdraw(table, account, ct_counter_close_period);
}

static const CtQuery close_all_query = {
	CLOSE(" FOR NO KEY UPDATE SKIP LOCKED"),
	0, {0}
};

static const CtQuery close_idle_query = {
	CLOSE(" AND entry_ended_at" CT_LT "(contacts_tier.clock()" CT_SUB "pg_catalog.interval '1 minute')"
		  " LIMIT " CppAsString2(CT_ENTRIES_AT_ONCE) " FOR NO KEY UPDATE SKIP LOCKED"),
	0, {0}
};

/*
 * Close the entries of all accounts, or some of the idle ones, to which nobody can add any more.
 * Slots that somebody holds are left out, so this waits for nobody.  Returns how many were
 * closed.  The caller is the table's owner and connected to SPI.
 *
 * Locks: the slots that had one, until the transaction ends.  Errors: those of
 * ct_check_companions().
 */
uint64
ct_ledger_close_entries(const CtTable *table, bool idle)
{
	return ct_companion_query(table, idle ? &close_idle_query : &close_all_query, NULL, NULL);
}
