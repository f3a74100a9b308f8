/*-------------------------------------------------------------------------
 *
 * history.c
 *	  Functions that tell how the count of an account came about: usage_history(),
 *	  sources(), and what usage_page() needs besides.  How they read, see report.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "manage/manage.h"

/* Arguments of usage_history() */
enum
{
	HISTORY_CONTACTS, HISTORY_ACCOUNT, HISTORY_SINCE, HISTORY_STEP
};

/*
 * In the texts of usage_history() and page_history(), %1$s is AND with a condition that chooses the account,
 * %2$s the start as an expression, and %3$s the step.
 */

/* The start, unless one is asked for: of the current billing period and the two before */
#define DEFAULT_START \
	"(SELECT coalesce(least(a.period_started_at, b.started_at), n.at - interval '3 months')" \
	" FROM (SELECT contacts_tier.clock()) n (at)" \
	" LEFT JOIN {account} a ON a.ended_at IS NULL%1$s" \
	" LEFT JOIN LATERAL (SELECT min(started_at) AS started_at" \
	"  FROM (SELECT (details->>'started_at')::timestamptz AS started_at" \
	"   FROM {ledger} WHERE event = 'billing_period'%1$s" \
	"   ORDER BY recorded_at DESC, entry DESC" \
	"   LIMIT CASE WHEN a.account IS NULL THEN 3 ELSE 2 END) l) b ON true)"

/* The instants that are told about, numbered; the current one is always the last */
#define POINTS \
	" since AS MATERIALIZED (SELECT %2$s AS at)," \
	" points AS MATERIALIZED (SELECT at, row_number() OVER (ORDER BY at) AS point" \
	"  FROM (SELECT generate_series(s.at, contacts_tier.clock(), %3$s) FROM since s" \
	"   UNION SELECT contacts_tier.clock()) p (at)),"

/*
 * What happened since then, with what is open, and since the update date before the first rollover since then.
 * Entries are in the order of their keys: those of a rollover, which holds all slots, come
 * after all that it counted, and before all else, whatever the clocks said.
 *
 * Each belongs to a "span", which ends with the close of a billing period, and the last, 0,
 * now: at both the count is known.
 */
#define ENTRIES \
	" entries AS (SELECT l.entry, l.recorded_at, l.event, l.contacts, l.details->>'source_type' = 'ROLLOVER' AS rolled," \
	"   (l.details->>'ended_at')::timestamptz AS ended_at," \
	"   coalesce((l.details->>'demoted')::bigint, 0) AS demoted," \
	"   coalesce((l.details->>'flagged')::bigint, 0) - coalesce((l.details->>'unflagged')::bigint, 0) AS flagged," \
	"   coalesce((l.details->>'drift')::bigint, 0) AS drift," \
	"   coalesce((l.details->>'not_flagged')::bigint, 0) AS not_flagged," \
	"   count(*) FILTER (WHERE l.event = 'billing_period') OVER (ORDER BY l.entry DESC) AS span" \
	"  FROM (SELECT * FROM " CT_WHOLE_LEDGER " w" \
	"   WHERE event IN ('activity', 'rollover', 'billing_period', 'repair')%1$s" \
	"   AND recorded_at >= (SELECT least(s.at, min((c.details->>'ended_at')::timestamptz)) FROM since s" \
	"    LEFT JOIN (SELECT * FROM {ledger} WHERE event = 'billing_period'%1$s) c ON c.recorded_at > s.at" \
	"    GROUP BY s.at)) l),"

/*
 * What each did to the counters, at which point.  The statements of a rollover are activity,
 * too: its own entry stands for those that are not recorded.  Where a subscription ends, contacts
 * leave that were not flagged.
 */
#define DELTAS \
	" deltas AS (SELECT e.span, e.entry, coalesce(e.point, 0) AS point," \
	"   CASE e.event WHEN 'activity' THEN e.contacts - e.demoted WHEN 'repair' THEN - e.drift" \
	"    WHEN 'rollover' THEN - greatest(e.contacts - e.rolled_already, 0) ELSE 0 END AS marketing," \
	"   CASE e.event WHEN 'activity' THEN e.flagged - CASE WHEN e.rolled THEN e.demoted ELSE 0 END" \
	"    WHEN 'rollover' THEN e.not_flagged - greatest(e.contacts - e.rolled_already, 0) ELSE 0 END AS pending" \
	"  FROM (SELECT *, max(number) OVER (ORDER BY at) AS point," \
	"    coalesce(sum(demoted) FILTER (WHERE event = 'activity' AND rolled) OVER (PARTITION BY span), 0) AS rolled_already" \
	"   FROM (SELECT *, recorded_at - interval '1 microsecond' AS at, NULL::bigint AS number FROM entries" \
	"    UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, at, point FROM points) u) e" \
	"  WHERE e.event IS NOT NULL),"

/* All of a point, and how far the count was above that at their end */
#define CHANGES \
	" changes AS (SELECT span, point, sum(marketing) AS marketing, sum(pending) AS pending," \
	"   greatest(max(- later), - sum(marketing), 0) AS rise" \
	"  FROM (SELECT *, sum(marketing) OVER (PARTITION BY span, point ORDER BY entry DESC" \
	"    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later FROM deltas) d" \
	"  GROUP BY 1, 2),"

/*
 * What is known at the end of each span.  Of those that are flagged when an update date has
 * been applied, all were flagged after it.
 */
#define SPANS \
	" spans AS (SELECT 0 AS span, 'infinity'::timestamptz AS at," \
	"   coalesce(sum(used), 0)::numeric AS marketing, coalesce(sum(pending), 0)::numeric AS pending" \
	"   FROM {counter} WHERE true%1$s" \
	"  UNION ALL SELECT b.span, b.recorded_at, b.contacts, greatest(coalesce((SELECT sum(e.flagged)" \
	"    FROM entries e WHERE e.span = b.span AND e.recorded_at >= b.ended_at), 0), 0)" \
	"   FROM entries b WHERE b.event = 'billing_period'),"

/*
 * The count at an instant is that at the end of its span, without what happened in between.
 * The peak is the highest count between a point and the next one.
 */
#define COUNTS \
	" counts AS (SELECT c.at, c.point, s.marketing - sum(c.marketing) OVER later AS marketing," \
	"   s.pending - sum(c.pending) OVER later AS pending," \
	"   s.marketing - sum(c.marketing) OVER later + c.marketing + c.rise AS peak" \
	"  FROM (SELECT at, (SELECT coalesce(max(s.span), 0) FROM spans s WHERE s.at > p.at) AS span," \
	"    point, 0 AS marketing, 0 AS pending, NULL AS rise FROM points p" \
	"   UNION ALL SELECT NULL, span, point, marketing, pending, rise FROM changes) c" \
	"  JOIN spans s USING (span)" \
	"  WINDOW later AS (PARTITION BY c.span ORDER BY c.point DESC))"

/* The limit at an instant is that of the last entry which has one. */
#define LIMIT_AT \
	"(SELECT CASE event WHEN 'tier_change' THEN (details->>'to')::bigint" \
	"  WHEN 'subscribe' THEN (details->>'contact_limit')::bigint END" \
	" FROM {ledger} WHERE event IN ('tier_change', 'subscribe', 'ended') AND recorded_at <= c.at%1$s" \
	" ORDER BY recorded_at DESC, entry DESC LIMIT 1)"

/* An instant, its counts and limit, and the peak until the next one where that is asked for */
static char *
counts_query(const CtReport *report, const char *peak)
{
	FunctionCallInfo fcinfo = report->fcinfo;
	const CtTable *table = report->table->table;
	const char *account = ct_report_account(report, "AND", "account");
	const char *since = PG_ARGISNULL(HISTORY_SINCE) ? ct_sqlf(table, DEFAULT_START, account) :
		psprintf("%s::timestamptz",
				 quote_literal_cstr(timestamptz_to_str(PG_GETARG_TIMESTAMPTZ(HISTORY_SINCE))));
	const char *step = psprintf("%s::interval",
								quote_literal_cstr(DatumGetCString(DirectFunctionCall1(interval_out,
																					   PG_GETARG_DATUM(HISTORY_STEP)))));

	return ct_sqlf(table, "WITH" POINTS ENTRIES DELTAS CHANGES SPANS COUNTS
				   " SELECT c.at, greatest(c.marketing, 0)::bigint,"
				   " least(greatest(c.pending, 0), greatest(c.marketing, 0))::bigint, " LIMIT_AT "%4$s"
				   " FROM counts c WHERE c.at IS NOT NULL ORDER BY c.at",
				   account, since, step, peak);
}

static char *
history_query(const CtReport *report)
{
	return counts_query(report, "");
}

static char *
page_history_query(const CtReport *report)
{
	return counts_query(report, ", greatest(c.marketing, 0, (SELECT max(p.peak) FROM counts p"
						" WHERE p.point = c.point))::bigint");
}

/* So many instants are told about at most; each is kept until the end */
#define MAX_STEPS	100000

/*
 * A step that goes back in some months would never end; nor, for anybody who waits, would a
 * short one since long ago.  A month counts 28 days here.
 */
static void
check_step(const Interval *step, TimestampTz since)
{
	double		seconds = step->time / (double) USECS_PER_SEC + (step->day + 28.0 * step->month) * SECS_PER_DAY;

	if (step->month < 0 || step->day < 0 || step->time < 0 || seconds <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"step\" must be positive")));
	if (((double) ct_now() - since) / USECS_PER_SEC > seconds * MAX_STEPS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"step\" is too short for the time since %s", timestamptz_to_str(since)),
				 errdetail("There can be at most %d steps.", MAX_STEPS)));
}

/* When the default start is at the earliest: see DEFAULT_START. */
static TimestampTz
earliest_default(void)
{
	return ct_now() - 100 * USECS_PER_DAY;
}

/* Check the arguments, and report. */
static void
report_history(FunctionCallInfo fcinfo, const CtReportKind *kind)
{
	ct_check_account_not_null(fcinfo);
	ct_check_not_null(fcinfo, HISTORY_STEP, "step");
	if (!PG_ARGISNULL(HISTORY_SINCE) && TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(HISTORY_SINCE)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"since\" must be finite")));
	check_step(PG_GETARG_INTERVAL_P(HISTORY_STEP),
			   PG_ARGISNULL(HISTORY_SINCE) ? earliest_default() : PG_GETARG_TIMESTAMPTZ(HISTORY_SINCE));
	ct_report(fcinfo, kind);
}

PG_FUNCTION_INFO_V1(contacts_tier_usage_history);

/*
 * usage_history(contacts regclass, account text, since timestamptz, step interval):
 * counts and limit of an account at each step, and now
 *
 * Reads the activity of the account since then.
 * Errors: 22004, 22023 (step, start), and those of ct_report().
 */
Datum
contacts_tier_usage_history(PG_FUNCTION_ARGS)
{
	static const CtReportKind history = {.query = history_query,.reads_ledger = true};

	report_history(fcinfo, &history);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(contacts_tier_page_history);

/*
 * page_history(contacts regclass, account text, since timestamptz, step interval):
 * usage_history(), and the highest count between each instant and the next one, for
 * usage_page()
 */
Datum
contacts_tier_page_history(PG_FUNCTION_ARGS)
{
	static const CtReportKind page_history = {.query = page_history_query,.reads_ledger = true};

	report_history(fcinfo, &page_history);
	return (Datum) 0;
}

static char *
sources_query(const CtReport *report)
{
	return ct_sqlf(report->table->table, "SELECT source_type, count(*) FILTER (WHERE source_name IS NOT NULL), sum(marketing)::bigint, sum(pending)::bigint"
				   " FROM (SELECT source_type, source_name, sum(marketing) AS marketing, sum(pending) AS pending"
				   "  FROM (%s) s WHERE true%s GROUP BY 1, 2) s GROUP BY source_type ORDER BY 3 DESC, 1",
				   ct_recount_sources_query(report->relids),
				   ct_report_account(report, "AND", "account"));
}

PG_FUNCTION_INFO_V1(contacts_tier_sources);

/*
 * sources(contacts regclass, account text): marketing contacts of an account by
 * source type
 *
 * Reads the contacts, as verify() does.  Errors: 22004, and those of ct_report().
 */
Datum
contacts_tier_sources(PG_FUNCTION_ARGS)
{
	static const CtReportKind sources = {.query = sources_query,.reads_contacts = true};

	ct_check_account_not_null(fcinfo);
	ct_report(fcinfo, &sources);
	return (Datum) 0;
}

static char *
page_account_query(const CtReport *report)
{
	return ct_sqlf(report->table->table, "SELECT a.time_zone, a.on_exceed::text, a.grace, a.record_activity,"
				   " coalesce(p.marketing_contacts, false), a.ended_at"
				   " FROM {account} a LEFT JOIN {plan} p ON p.name = a.plan WHERE true%s",
				   ct_report_account(report, "AND", "a.account"));
}

PG_FUNCTION_INFO_V1(contacts_tier_page_account);

/*
 * page_account(contacts regclass, account text): what usage_page() needs of a subscription
 */
Datum
contacts_tier_page_account(PG_FUNCTION_ARGS)
{
	static const CtReportKind page_account = {.query = page_account_query};

	ct_check_account_not_null(fcinfo);
	ct_report(fcinfo, &page_account);
	return (Datum) 0;
}
