/*-------------------------------------------------------------------------
 *
 * bill.c
 *	  Functions that show what accounts did and what it costs: the ledger as
 *	  typed rows, and what comes next.  For how they read, see report.c.
 *
 * Prices are those of the ledger and of the account row, as they were when they came
 * to apply; only what lies ahead is computed from the prices that the plan has now.
 * Amounts are rounded half away from zero, to 2 digits.  Where a price is not
 * known, neither is a sum of which it is a part: NULL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "manage/manage.h"

/*
 * In the texts, %1$u is the table, and %2$s AND with a condition that chooses the
 * account, or nothing; for placeholders see names.c.  In those of ledger_query() it chooses
 * the time, too.
 */

/* Arguments of functions that show entries: from when on, and until before when */
#define LEDGER_SINCE	2
#define LEDGER_UNTIL	3

/* The counters, added up */
#define COUNTERS \
	"(SELECT account, sum(used)::bigint AS used, sum(pending)::bigint AS pending," \
	"  sum(promoted)::bigint AS promoted, sum(demoted)::bigint AS demoted," \
	"  sum(corrected)::bigint AS corrected, max(peak) AS peak" \
	"  FROM %3$s s GROUP BY account)"

/*
 * The charges for the tier changes of the period of a row "b", whose account,
 * start and end it has; NULL where one of them is not known.  %4$s chooses the account once more, for Citus.
 */
#define CHARGES \
	"LATERAL (SELECT CASE WHEN count(*) FILTER (WHERE l.details->>'charge' IS NULL) = 0" \
	"   THEN coalesce(sum((l.details->>'charge')::numeric), 0) END AS charges" \
	"  FROM {ledger} l WHERE l.account {=} b.account%4$s AND l.event = 'tier_change'" \
	"  AND l.recorded_at >= b.period_start AND l.recorded_at < b.period_end)"

/* A text with its table and account filled in; it names the account column "account". */
static char *
bill_query(const CtReport *report, const char *text)
{
	return ct_sqlf(report->table->table, text, report->table->table->relid,
				   ct_report_account(report, "AND", "account"), ct_report_counter(report),
				   ct_report_account(report, "AND", "l.account"));
}

/* A bound of the time, if the argument is one; the index on account and time serves it. */
static char *
time_bound(const CtReport *report, int argument, const char *comparison)
{
	FunctionCallInfo fcinfo = report->fcinfo;

	return PG_ARGISNULL(argument) ? "" :
		psprintf(" AND recorded_at %s %s::timestamptz", comparison,
				 quote_literal_cstr(timestamptz_to_str(PG_GETARG_TIMESTAMPTZ(argument))));
}

/* The same as bill_query() for entries of the ledger; the text names the column "recorded_at", too. */
static char *
ledger_query(const CtReport *report, const char *text)
{
	return ct_sqlf(report->table->table, text, report->table->table->relid,
				   psprintf("%s%s%s", ct_report_account(report, "AND", "account"),
							time_bound(report, LEDGER_SINCE, ">="), time_bound(report, LEDGER_UNTIL, "<")));
}

/*
 * Run a report on entries of the ledger.  A range of time that ends before it begins is a
 * mistake, as it is for tstzrange(): 22023.  Other errors: those of ct_report().
 */
static void
report_ledger(FunctionCallInfo fcinfo, const CtReportKind *kind)
{
	if (!PG_ARGISNULL(LEDGER_SINCE) && !PG_ARGISNULL(LEDGER_UNTIL) &&
		PG_GETARG_TIMESTAMPTZ(LEDGER_SINCE) > PG_GETARG_TIMESTAMPTZ(LEDGER_UNTIL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"since\" must not be later than argument \"until\"")));
	ct_report(fcinfo, kind);
}

/* Entries of the ledger, in the order in which they were recorded. */
static char *
tier_changes_query(const CtReport *report)
{
	return ledger_query(report,
						"SELECT %1$u::regclass, account::text, recorded_at, details->>'plan',"
						" (details->>'from')::bigint, (details->>'to')::bigint, details->>'reason', contacts,"
						" (details->>'period_fraction')::numeric, (details->>'month_share')::numeric,"
						" (details->>'charge')::numeric,"
						" details->>'currency', role, entry"
						" FROM {ledger} WHERE event = 'tier_change'%2$s"
						" ORDER BY recorded_at DESC, entry DESC");
}

PG_FUNCTION_INFO_V1(contacts_tier_tier_changes);

/*
 * tier_changes(contacts regclass, account text, since timestamptz, until timestamptz): every move
 * to another tier, newest first
 */
Datum
contacts_tier_tier_changes(PG_FUNCTION_ARGS)
{
	static const CtReportKind tier_changes = {.query = tier_changes_query,.reads_ledger = true};

	report_ledger(fcinfo, &tier_changes);
	return (Datum) 0;
}

/*
 * A tier change of a period is in its charges, not in its monthly price, which
 * is that of the tier with which it began.  Of that price a period pays its share
 * of a month.
 */
static char *
billing_periods_query(const CtReport *report)
{
	return bill_query(report,
					  "SELECT %1$u::regclass, b.account::text, b.period_start, b.period_end, b.closed, b.plan,"
					  " b.contact_limit, b.opening, b.peak, b.closing, b.promoted, b.demoted, b.corrected, b.upgrades,"
					  " round(b.monthly_price, 2), b.month_share, round(t.charges, 2),"
					  " round(b.monthly_price * b.month_share, 2) + round(t.charges, 2),"
					  " b.currency"
					  " FROM (SELECT account, recorded_at, entry, true AS closed,"
					  "   (details->>'started_at')::timestamptz AS period_start,"
					  "   (details->>'ended_at')::timestamptz AS period_end, details->>'plan' AS plan,"
					  "   (details->>'contact_limit')::bigint AS contact_limit,"
					  "   (details->>'opening')::bigint AS opening, (details->>'peak')::bigint AS peak,"
					  "   (details->>'closing')::bigint AS closing, (details->>'promoted')::bigint AS promoted,"
					  "   (details->>'demoted')::bigint AS demoted, (details->>'corrected')::bigint AS corrected,"
					  "   (details->>'upgrades')::integer AS upgrades,"
					  "   (details->>'monthly_price')::numeric AS monthly_price,"
					  "   (details->>'month_share')::numeric AS month_share, details->>'currency' AS currency"
					  "  FROM {ledger} WHERE event = 'billing_period'%2$s"
					  " UNION ALL SELECT a.account, NULL, NULL, false, a.period_started_at, a.next_update_at,"
					  "   a.plan, a.period_limit, a.period_opening,"
					  "   greatest(coalesce(c.used, 0), c.peak, a.period_opening), coalesce(c.used, 0),"
					  "   coalesce(c.promoted, 0), coalesce(c.demoted, 0), coalesce(c.corrected, 0),"
					  "   a.period_upgrades, a.period_price,"
					  "   contacts_tier_internal.month_share(a.billing_cycle, a.time_zone, a.period_started_at, a.next_update_at),"
					  "   p.currency"
					  "  FROM (SELECT * FROM {account} WHERE ended_at IS NULL%2$s) a"
					  "  LEFT JOIN " COUNTERS " c ON c.account {=} a.account"
					  "  LEFT JOIN {plan} p ON p.name = a.plan) b, " CHARGES " t"
					  " ORDER BY b.account, b.closed DESC, b.recorded_at, b.entry");
}

PG_FUNCTION_INFO_V1(contacts_tier_billing_periods);

/*
 * billing_periods(contacts regclass, account text): the bill of each period, the
 * running one last
 */
Datum
contacts_tier_billing_periods(PG_FUNCTION_ARGS)
{
	static const CtReportKind billing_periods = {
		.query = billing_periods_query,.reads_ledger = true,
		.accounts = "SELECT coalesce(a.account, l.account) AS account, coalesce(a.shard, l.shard) AS shard"
		" FROM (SELECT account, tableoid AS shard FROM {account}) a"
		" FULL JOIN (SELECT account, min(tableoid) AS shard FROM {ledger} WHERE event = 'billing_period' GROUP BY account) l"
		" ON a.account {=} l.account"
	};

	ct_report(fcinfo, &billing_periods);
	return (Datum) 0;
}

/*
 * The entry of contacts that were capped has the number of these; the number of
 * marketing contacts is in its details, if at all.  That of a request has the requested
 * tier, and the current one as "from".
 */
static char *
notifications_query(const CtReport *report)
{
	return ledger_query(report,
						"SELECT %1$u::regclass, account::text, recorded_at, event, (details->>'threshold')::integer,"
						" CASE event WHEN 'capped' THEN (details->>'marketing_contacts')::bigint ELSE contacts END,"
						" (details->>CASE event WHEN 'upgrade_request' THEN 'from' ELSE 'contact_limit' END)::bigint,"
						" details, role, entry"
						" FROM {ledger}"
						" WHERE event IN ('threshold', 'exceeded', 'capped', 'grace', 'downgrade_kept', 'upgrade_request')%2$s"
						" ORDER BY recorded_at DESC, entry DESC");
}

PG_FUNCTION_INFO_V1(contacts_tier_notifications);

/*
 * notifications(contacts regclass, account text, since timestamptz, until timestamptz): what was announced to
 * accounts, newest first
 */
Datum
contacts_tier_notifications(PG_FUNCTION_ARGS)
{
	static const CtReportKind notifications = {.query = notifications_query,.reads_ledger = true};

	report_ledger(fcinfo, &notifications);
	return (Datum) 0;
}

/*
 * Entries of the ledger, and those that are open.  Counts that are 0 are not in the details,
 * nor is the last of several statements where there is only one: see ct_activity_details().
 */
static char *
activity_query(const CtReport *report)
{
	return ledger_query(report,
						"SELECT %1$u::regclass, account::text, recorded_at, role,"
						" details->>'source_type', details->>'source_name',"
						" coalesce((details->>'created')::bigint, 0), coalesce((details->>'deleted')::bigint, 0),"
						" contacts, coalesce((details->>'flagged')::bigint, 0),"
						" coalesce((details->>'unflagged')::bigint, 0), coalesce((details->>'demoted')::bigint, 0),"
						" coalesce((details->>'dropped')::bigint, 0), coalesce((details->>'statements')::bigint, 1),"
						" coalesce((details->>'ended_at')::timestamptz, recorded_at)"
						" FROM " CT_WHOLE_LEDGER " l WHERE event = 'activity'%2$s"
						" ORDER BY recorded_at DESC, entry DESC");
}

PG_FUNCTION_INFO_V1(contacts_tier_activity);

/*
 * activity(contacts regclass, account text, since timestamptz, until timestamptz): which role and
 * source changed how many contacts, newest first
 */
Datum
contacts_tier_activity(PG_FUNCTION_ARGS)
{
	static const CtReportKind activity = {.query = activity_query,.reads_ledger = true};

	report_ledger(fcinfo, &activity);
	return (Datum) 0;
}

/*
 * Update dates that have passed count as applied (applied.c).  Contacts that are flagged leave on the
 * next update date, which is not later than the renewal; with a cancelled subscription all do, at the
 * renewal, and no tier is needed.
 */
static char *
forecast_query(const CtReport *report)
{
	return ct_sqlf(report->table->table,
				   "SELECT %1$u::regclass, b.account::text, b.used, b.pending, b.period_end, b.at_update,"
				   " b.renews_at, b.at_renewal,"
				   " (SELECT min(t.contact_limit) FROM {tier} t"
				   "   WHERE NOT b.ends AND t.plan = b.plan AND t.contact_limit >= b.at_update),"
				   " (SELECT min(t.contact_limit) FROM {tier} t"
				   "   WHERE NOT b.cancelled AND t.plan = b.plan AND t.contact_limit >= b.at_renewal),"
				   " n.contact_limit, round(n.monthly_price - p.monthly_price, 2), round(c.charges + b.charge, 2), b.currency,"
				   " b.max_limit"
				   " FROM (SELECT a.*, c.*, a.period_started_at AS period_start, a.next_update_at AS period_end, p.currency,"
				   "   CASE WHEN c.ends THEN 0 ELSE c.used - c.pending END AS at_update,"
				   "   CASE WHEN a.cancelled THEN 0 ELSE c.used - c.pending END AS at_renewal"
				   "  FROM %2$s a"
				   "  LEFT JOIN " COUNTERS " s ON s.account {=} a.account"
				   "  CROSS JOIN LATERAL (SELECT coalesce(s.used, 0) - a.gone AS used, coalesce(s.pending, 0) - a.gone AS pending,"
				   "   a.cancelled AND a.renews_at <= a.next_update_at AS ends) c"
				   "  LEFT JOIN {plan} p ON p.name = a.plan WHERE a.ended_at IS NULL) b"
				   " LEFT JOIN {tier} p ON p.plan = b.plan AND p.contact_limit = b.contact_limit"
				   " LEFT JOIN LATERAL (SELECT t.contact_limit, t.monthly_price FROM {tier} t"
				   "  WHERE t.plan = b.plan AND t.contact_limit > b.contact_limit"
				   "  ORDER BY t.contact_limit LIMIT 1) n ON true, " CHARGES " c"
				   " ORDER BY b.account",
				   report->table->table->relid, ct_applied_accounts(report), ct_report_counter(report),
				   ct_report_account(report, "AND", "l.account"));
}

PG_FUNCTION_INFO_V1(contacts_tier_forecast);

/*
 * forecast(contacts regclass, account text): what the next dates bring, as things
 * stand
 */
Datum
contacts_tier_forecast(PG_FUNCTION_ARGS)
{
	static const CtReportKind forecast = {
		.query = forecast_query,.reads_ledger = true,
		.accounts = "SELECT account, tableoid AS shard FROM {account} WHERE ended_at IS NULL"
	};

	ct_report(fcinfo, &forecast);
	return (Datum) 0;
}

/*
 * The rules are those of limit.c; update dates that have passed count as applied.  One
 * row, also for an account without a subscription.
 */
static char *
preview_query(const CtReport *report)
{
	FunctionCallInfo fcinfo = report->fcinfo;

	return ct_sqlf(report->table->table, "SELECT r.outcome = 'fits', r.used, r.contact_limit, r.would_be, n.contact_limit,"
				   " round(n.monthly_price - p.monthly_price, 2), r.currency,"
				   " CASE WHEN r.outcome = 'upgrade' AND (n.contact_limit IS NULL OR n.contact_limit > r.max_limit)"
				   "  THEN 'block' ELSE r.outcome END, r.max_limit"
				   " FROM (SELECT c.used, c.would_be, a.plan, a.contact_limit, a.max_limit, p.currency,"
				   "   CASE WHEN p.marketing_contacts IS NOT TRUE OR a.ended_at IS NOT NULL THEN 'no_access'"
				   "    WHEN c.would_be = c.used OR c.would_be <= a.contact_limit::numeric + a.grace THEN 'fits'"
				   "    ELSE a.on_exceed::text END AS outcome"
				   "  FROM (SELECT coalesce(sum(used), 0)::bigint AS used FROM %3$s s) s"
				   "  LEFT JOIN %2$s a ON true"
				   "  CROSS JOIN LATERAL (SELECT s.used - coalesce(a.gone, 0) AS used,"
				   "   (s.used::numeric - coalesce(a.gone, 0) + %1$lld)::bigint AS would_be) c"
				   "  LEFT JOIN {plan} p ON p.name = a.plan) r"
				   " LEFT JOIN {tier} p ON p.plan = r.plan AND p.contact_limit = r.contact_limit"
				   " LEFT JOIN LATERAL (SELECT t.contact_limit, t.monthly_price FROM {tier} t"
				   "  WHERE r.outcome <> 'no_access' AND r.would_be > r.contact_limit"
				   "  AND t.plan = r.plan AND t.contact_limit >= r.would_be"
				   "  ORDER BY t.contact_limit LIMIT 1) n ON true",
				   (long long) PG_GETARG_INT64(2),
				   ct_applied_accounts(report), ct_report_counter(report));
}

PG_FUNCTION_INFO_V1(contacts_tier_preview);

/*
 * preview(contacts regclass, account text, additional bigint): what would happen
 * if so many contacts became marketing contacts now
 *
 * Errors: 22004, 22023, and those of ct_report().
 */
Datum
contacts_tier_preview(PG_FUNCTION_ARGS)
{
	static const CtReportKind preview = {.query = preview_query};

	ct_check_account_not_null(fcinfo);
	ct_check_not_null(fcinfo, 2, "additional");
	if (PG_GETARG_INT64(2) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"additional\" must not be negative")));
	ct_report(fcinfo, &preview);
	return (Datum) 0;
}
