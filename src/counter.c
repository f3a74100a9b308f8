/*-------------------------------------------------------------------------
 *
 * counter.c
 *	  The counters of accounts: the only file whose triggers write them.
 *
 * A counter row holds how many marketing contacts are used, how many of them
 * are pending, and how many are granted, the ceiling up to which promotions
 * need to ask nobody.  The protocol is in src/README.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"

#include "contacts_tier.h"

static bool
claim(const CtTable *table, const CtDelta *delta)
{
	Datum		values[] = {
		delta->account,
		Int64GetDatum(delta->marketing),
		Int64GetDatum(delta->pending)
	};

	return ct_companion_query(table, CT_QUERY_CLAIM, values, NULL) > 0;
}

static void
grant(const CtTable *table, Datum account, int64 ceiling)
{
	Datum		values[] = {account, Int64GetDatum(ceiling)};

	ct_companion_query(table, CT_QUERY_GRANT, values, NULL);
}

/*
 * The counter row is there but has no room, or is not there.  Lock it, so that
 * nobody else decides at the same time, and ask the account's policy how far
 * the ceiling may go; an exceeded tier leaves here with an error.
 */
static void
claim_slowly(const CtTable *table, const CtDelta *delta)
{
	Datum		values[] = {delta->account};
	CtClaim		request = {.table = table,.account = delta->account,.wanted = delta->marketing};
	int64		granted;

	ct_companion_query(table, CT_QUERY_ADD_SLOT, values, NULL);
	ct_companion_query(table, CT_QUERY_LOCK_SLOT, values, NULL);
	request.used = ct_result_int64(1);
	granted = ct_result_int64(2);

	/* a release: there was no counter row yet.  Else somebody made room. */
	if (delta->marketing > 0 && request.used + request.wanted > granted)
		grant(table, delta->account, ct_limit_decide(&request));

	if (!claim(table, delta))
		elog(ERROR, "claim of %lld contacts failed under lock", (long long) delta->marketing);
}

/*
 * Apply what a statement changed, in the order of accounts given, which must be
 * the order of their type: single-statement transactions then lock counter rows
 * in one order and cannot deadlock on them.
 *
 * Locks: the counter row of each account, and the account row where a ceiling
 * is reached, both until the transaction ends.  Errors: those of limit.c, and
 * 40001 at isolation levels above READ COMMITTED.
 */
void
ct_counter_apply(const CtTable *table, CtDelta *deltas, int ndeltas)
{
	CtIdentity	identity;

	if (ndeltas == 0)
		return;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ct_act_as_owner(table->owner, &identity);
	for (int i = 0; i < ndeltas; i++)
		if (!claim(table, &deltas[i]))
			claim_slowly(table, &deltas[i]);
	ct_restore_identity(&identity);
	SPI_finish();
}
