/*-------------------------------------------------------------------------
 *
 * counter_sql.c
 *	  The counters by SQL, for companion tables that are not ordinary tables of
 *	  this node.
 *
 * The same protocol with one slot for each account, by statements on the
 * logical name of the table, which may be distributed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"

#include "counter/counter.h"

/*
 * $2, $3: change of marketing and pending contacts, $4, $5, $6: promoted, demoted and
 * corrected, $7: has the brake been asked?  No row: no room
 */
static const CtQuery claim_query = {
	"UPDATE {counter}"
	" SET used = used" CT_ADD "$2, pending = pending" CT_ADD "$3,"
	" promoted = promoted" CT_ADD "$4, demoted = demoted" CT_ADD "$5, corrected = corrected" CT_ADD "$6,"
	" peak = CASE WHEN $2" CT_LT "0 THEN greatest(peak, used) ELSE peak END,"
	" lowest = CASE WHEN used" CT_ADD "$2" CT_LT "bottom THEN least(lowest, used" CT_ADD "$2) ELSE lowest END,"
	" granted = CASE WHEN used" CT_ADD "$2" CT_LT "bottom THEN NULL ELSE granted END"
	" WHERE account {=} $1 AND slot" CT_EQ "0"
	" AND ($2" CT_LE "0 OR used" CT_ADD "$2" CT_LE "granted)"
	" AND ($7 OR $4" CT_LE "0 OR brake IS NULL)",
	7, {CT_ACCOUNT_TYPE, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, BOOLOID}
};

/* Used by both ways: the first slot of an account, unless there is one */
const CtQuery ct_add_slot_query = {
	"INSERT INTO {counter} (account, slot) VALUES ($1, 0)"
	" ON CONFLICT (account, slot) DO NOTHING",
	1, {CT_ACCOUNT_TYPE}
};

static const CtQuery lock_slot_query = {
	"SELECT used, coalesce(granted, used" CT_SUB "1), pending, promoted, demoted, corrected, peak,"
	" least(lowest, used), brake IS NOT NULL FROM {counter}"
	" WHERE account {=} $1 AND slot" CT_EQ "0 FOR NO KEY UPDATE",
	1, {CT_ACCOUNT_TYPE}
};

/* $2: the new ceiling, or NULL: closed, $3: bottom, or NULL */
static const CtQuery settle_query = {
	"UPDATE {counter} SET granted = $2, bottom = $3, floor = NULL, lowest = NULL"
	" WHERE account {=} $1 AND slot" CT_EQ "0",
	3, {CT_ACCOUNT_TYPE, INT8OID, INT8OID}
};

static const CtQuery withdraw_query = {
	"UPDATE {counter} SET granted = NULL"
	" WHERE account {=} $1 AND slot" CT_EQ "0",
	1, {CT_ACCOUNT_TYPE}
};

static const CtQuery close_period_query = {
	"UPDATE {counter} SET promoted = 0, demoted = 0, corrected = 0, peak = 0,"
	" floor = NULL, bottom = NULL, lowest = NULL"
	" WHERE account {=} $1 AND slot" CT_EQ "0",
	1, {CT_ACCOUNT_TYPE}
};

static bool
try_claim(const CtTable *table, const CtChange *change, bool asked)
{
	Datum		values[] = {
		change->account,
		Int64GetDatum(change->marketing),
		Int64GetDatum(change->pending),
		Int64GetDatum(change->promoted),
		Int64GetDatum(change->demoted),
		Int64GetDatum(change->corrected),
		BoolGetDatum(asked)
	};

	return ct_companion_query(table, &claim_query, values, NULL) > 0;
}

static void
claim_surely(const CtTable *table, const CtChange *change)
{
	if (!try_claim(table, change, true))
		elog(ERROR, "claim of %lld contacts failed under lock", (long long) change->marketing);
}

/*
 * Lock the slot, making it if it is missing.  Returns how many contacts it has,
 * and up to how many it may have.
 */
static int64
lock_slot(const CtTable *table, Datum account, int64 *granted)
{
	Datum		values[] = {account};

	ct_companion_query(table, &ct_add_slot_query, values, NULL);
	ct_companion_query(table, &lock_slot_query, values, NULL);
	*granted = ct_result_int64(2);
	return ct_result_int64(1);
}

/* ct_counter_claim(), by SQL */
static bool
claim(CtCounters *counters, const CtChange *change)
{
	bool		claimed;

	ct_connect_spi();
	claimed = try_claim(counters->table, change, false);
	SPI_finish();
	return claimed;
}

/* ct_counter_lock(), by SQL: 40001 above READ COMMITTED where others have changed it */
static bool
lock(CtCounters *counters, const CtChange *change, CtExact *exact)
{
	int64		granted;
	bool		fits;

	ct_connect_spi();
	counters->used = exact->used = lock_slot(counters->table, change->account, &granted);
	exact->lowest = ct_result_int64(8);
	/* a release: there was no slot yet.  Else somebody may have made room. */
	fits = (change->promoted == 0 || !ct_result_bool(9)) &&
		(change->marketing <= 0 || exact->used + change->marketing <= granted);
	if (fits)
		claim_surely(counters->table, change);
	SPI_finish();
	return fits;
}

/* ct_counter_settle(), by SQL */
static void
settle(CtCounters *counters, const CtChange *change, const CtBounds *bounds)
{
	Datum		values[] = {
		change->account, Int64GetDatum(bounds->ceiling), Int64GetDatum(bounds->bottom)
	};
	char		nulls[] = "   ";

	/* above its tier, the account has no room even after a release */
	if (bounds->ceiling < counters->used + change->marketing)
		nulls[1] = 'n';
	if (!bounds->has_bottom)
		nulls[2] = 'n';

	ct_connect_spi();
	ct_companion_query(counters->table, &settle_query, values, nulls);
	claim_surely(counters->table, change);
	SPI_finish();
}

/*
 * ct_counter_withdraw() and ct_counter_close_period(), by SQL.  Here slots carry no entries, and
 * those that they had before are left to ct_ledger_withdraw().
 */
static CtCount
withdraw(CtCounters *counters, Datum account, bool close_period, bool closes_entries)
{
	const CtTable *table = counters->table;
	Datum		values[] = {account};
	CtCount		count;
	int64		granted;

	ct_connect_spi();
	count.marketing = lock_slot(table, account, &granted);
	count.pending = ct_result_int64(3);
	count.promoted = ct_result_int64(4);
	count.demoted = ct_result_int64(5);
	count.corrected = ct_result_int64(6);
	count.peak = Max(ct_result_int64(7), count.marketing);
	ct_companion_query(table, &withdraw_query, values, NULL);
	if (close_period)
		ct_companion_query(table, &close_period_query, values, NULL);
	SPI_finish();
	return count;
}

const CtCounterWay ct_sql_way = {
	.claim = claim,
	.lock = lock,
	.settle = settle,
	.withdraw = withdraw
};
