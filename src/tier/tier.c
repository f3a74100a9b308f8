/*-------------------------------------------------------------------------
 *
 * tier.c
 *	  Moving an account to another tier of its plan (rules T1, T4, T5).
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
 * $2: limit of the new tier, $3: contacts that need it, $4: when, $5:
 * role, $6: reason.  When grace is settled a whole period is left; at a
 * renewal the new period begins with the new tier.  Else the account's proration says which
 * share of the period the difference is charged for (T9).
 */
static const CtQuery set_tier_query = {
	"WITH before AS (SELECT a.plan, a.contact_limit, p.currency,"
	"   (SELECT t.monthly_price FROM {tier} t"
	"     WHERE t.plan" CT_EQ "a.plan AND t.contact_limit" CT_EQ "a.contact_limit) AS from_price,"
	"   (SELECT t.monthly_price FROM {tier} t"
	"     WHERE t.plan" CT_EQ "a.plan AND t.contact_limit" CT_EQ "$2) AS to_price,"
	"   pg_catalog.round(CASE WHEN $6" CT_EQ "'grace' THEN 1 WHEN $6" CT_EQ "'renewal' OR a.proration" CT_EQ "'none' THEN 0"
	"    WHEN a.proration" CT_EQ "'full' THEN 1 ELSE greatest(0, least(1,"
	"    (extract(epoch FROM a.next_update_at)" CT_SUB "extract(epoch FROM $4))"
	"    " CT_DIV "(extract(epoch FROM a.next_update_at)" CT_SUB "extract(epoch FROM a.period_started_at)))) END, 6) AS fraction,"
	"   a.proration, contacts_tier_internal.month_share(a.billing_cycle, a.time_zone, a.period_started_at, a.next_update_at) AS share"
	"  FROM {account} a LEFT JOIN {plan} p ON p.name" CT_EQ "a.plan"
	"  WHERE a.account {=} $1),"
	" changed AS (UPDATE {account} SET contact_limit = $2, announced = 0, exceeded_announced = false,"
	"   period_upgrades = period_upgrades" CT_ADD "CASE WHEN contact_limit" CT_LT "$2 THEN 1 ELSE 0 END,"
	"   requested_limit = CASE WHEN requested_limit" CT_GT "$2 THEN requested_limit END"
	"  WHERE account {=} $1)"
	" INSERT INTO {ledger} (account, recorded_at, event, role, contacts, details)"
	" SELECT $1, $4, 'tier_change', $5, $3, pg_catalog.jsonb_build_object("
	"  'plan', plan, 'currency', currency, 'from', contact_limit, 'to', $2,"
	"  'from_price', from_price, 'to_price', to_price, 'reason', $6, 'proration', proration, 'period_fraction', fraction,"
	"  'month_share', share,"
	"  'charge', pg_catalog.round(fraction" CT_MUL "share" CT_MUL "(to_price" CT_SUB "from_price), 2)) FROM before",
	6, {CT_ACCOUNT_TYPE, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID}
};

/*
 * Move an account to the tier of "to" contacts, because it has or wants "count",
 * and record it with the share of the running period that is charged, from the
 * instant "at" on or as the account's proration says, and the charge for it: prices stay in the ledger as they are
 * now.  Reasons: exceeded, grace, requested, approved, renewal.
 *
 * The caller is the table's owner, connected to SPI, and holds the slots of the account,
 * whose row this locks until the transaction ends.  An account without a row, and a tier
 * whose price is not known, are no errors: the charge is null then.
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

	ct_companion_query(table, &set_tier_query, values, NULL);
}
