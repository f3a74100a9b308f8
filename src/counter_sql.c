/*-------------------------------------------------------------------------
 *
 * counter_sql.c
 *	  The counters by SQL, for companion tables that are not ordinary tables of
 *	  this node.
 *
 * The same protocol with one slot for each account, by statements on the
 * logical name of the table, which may be distributed.  The caller is connected
 * to SPI and has become the table's owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "escrow.h"

static bool
claim(const CtTable *table, const CtDelta *delta)
{
	Datum		values[] = {
		delta->account,
		Int64GetDatum(delta->marketing),
		Int64GetDatum(delta->pending),
		Int64GetDatum(delta->promoted),
		Int64GetDatum(delta->demoted)
	};

	return ct_companion_query(table, CT_QUERY_CLAIM, values, NULL) > 0;
}

static void
grant(const CtTable *table, Datum account, int64 granted, bool freeze)
{
	Datum		values[] = {account, Int64GetDatum(granted)};

	ct_companion_query(table, CT_QUERY_GRANT, values, freeze ? " n" : NULL);
}

static void
freeze(const CtTable *table, Datum account)
{
	Datum		values[] = {account, 0};

	ct_companion_query(table, CT_QUERY_GRANT, values, " n");
}

/*
 * Lock the slot, making it if it is missing.  Returns how many contacts it has,
 * and up to how many it may have.
 */
static int64
lock_slot(const CtTable *table, Datum account, int64 *granted)
{
	Datum		values[] = {account};

	ct_companion_query(table, CT_QUERY_ADD_SLOT, values, NULL);
	ct_companion_query(table, CT_QUERY_LOCK_SLOT, values, NULL);
	*granted = ct_result_int64(2);
	return ct_result_int64(1);
}

/*
 * Apply the change of one account.  Locks and errors as ct_escrow_apply(), and
 * 40001 above READ COMMITTED.
 */
void
ct_sql_apply(const CtTable *table, CtDelta *delta)
{
	CtClaim		request = {.table = table,.delta = delta};
	int64		granted;

	if (claim(table, delta))
		return;
	if (delta->marketing > 0)
		(void) ct_catch_up(table, delta->account, delta);
	request.used = lock_slot(table, delta->account, &granted);
	/* a release: there was no slot yet.  Else somebody may have made room. */
	if (delta->marketing > 0 && request.used + delta->marketing > granted)
	{
		int64		ceiling = ct_limit_decide(&request);

		/* above its tier, the account has no room even after a release */
		grant(table, delta->account, ceiling, ceiling < request.used + delta->marketing);
	}
	if (!claim(table, delta))
		elog(ERROR, "claim of %lld contacts failed under lock", (long long) delta->marketing);
}

/*
 * Take back what was granted, and begin a new period, as ct_escrow_freeze().
 */
CtCount
ct_sql_freeze(const CtTable *table, Datum account, bool close_period)
{
	Datum		values[] = {account};
	CtCount		count;
	int64		granted;

	count.marketing = lock_slot(table, account, &granted);
	count.pending = ct_result_int64(3);
	count.promoted = ct_result_int64(4);
	count.demoted = ct_result_int64(5);
	count.corrected = ct_result_int64(6);
	count.peak = Max(ct_result_int64(7), count.marketing);
	freeze(table, account);
	if (close_period)
		ct_companion_query(table, CT_QUERY_CLOSE_PERIOD, values, NULL);
	return count;
}
