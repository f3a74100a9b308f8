/*-------------------------------------------------------------------------
 *
 * tier.c
 *	  Moving an account to another tier of its plan (design.md, T1, T4, T5).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "tier/tier.h"

/*
 * Move an account to the tier of "to" contacts, because it has or wants "count",
 * and record it with the share of the running period that is left, from the
 * instant "at" on, and the charge for it: prices stay in the ledger as they are
 * now.  Reasons: exceeded, grace, requested, approved, renewal.
 *
 * The caller is the table's owner and connected to SPI, holds the slots and locks
 * the account row, or does so by this.
 */
void
ct_tier_move(const CtTable *table, Datum account, int64 to, int64 count,
			 const char *reason, TimestampTz at)
{
	Datum		values[] = {
		account,
		Int64GetDatum(to),
		Int64GetDatum(count),
		TimestampTzGetDatum(at),
		CStringGetTextDatum(ct_caller_name()),
		CStringGetTextDatum(reason)
	};

	ct_companion_query(table, CT_QUERY_SET_TIER, values, NULL);
}
