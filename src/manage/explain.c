/*-------------------------------------------------------------------------
 *
 * explain.c
 *	  Why an account is in another tier: what somebody who disputes a bill is answered.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "manage/manage.h"

/*
 * In the texts, %1$s is AND with a condition that chooses the account, and %2$s one that chooses
 * the entry, or nothing.  Each row has a sentence, and the numbers of it as columns.  Citus may send them to
 * nodes (see ct_report()), so texts are put together with ||; what the details of an entry may lack is '' there.
 */

/* The tier change, and the billing periods of the account, the running one included */
#define CHANGE_AND_PERIODS \
	"WITH c AS (SELECT account::text AS account, entry, recorded_at AS at, role, contacts, details," \
	"   details->>'reason' AS reason, details->>'from' AS from_limit, details->>'to' AS to_limit," \
	"   ' ' || coalesce(details->>'currency', '') AS currency" \
	"  FROM {ledger} WHERE event = 'tier_change'%1$s%2$s" \
	"  ORDER BY recorded_at DESC, entry DESC LIMIT 1)," \
	" periods AS (SELECT (details->>'started_at')::timestamptz AS started_at, (details->>'ended_at')::timestamptz AS ended_at," \
	"   (details->>'opening')::bigint AS opening, NULL::timestamptz AS renews_at, entry AS closed_by" \
	"  FROM {ledger} WHERE event = 'billing_period'%1$s" \
	"  UNION ALL SELECT period_started_at, next_update_at, period_opening, renews_at, NULL" \
	"  FROM {account} WHERE ended_at IS NULL%1$s),"

/*
 * The period that pays for it, and the one in which contacts led to it: on an update date that
 * is the one that ended.  There, what the ledger has of each role and source up to it; an entry
 * that was open then is counted whole.  A rollover that is late has entries after the update date, and its
 * keys come after all that it counted, as usage_history() has it.
 */
#define ACTIVITY_BEFORE \
	" bill AS (SELECT p.* FROM c, periods p WHERE p.started_at <= c.at AND c.at < p.ended_at LIMIT 1)," \
	" p AS (SELECT p.*, (SELECT q.closed_by FROM periods q WHERE q.ended_at = p.started_at ORDER BY q.closed_by DESC LIMIT 1) AS after" \
	"  FROM c, periods p WHERE CASE WHEN c.reason IN ('grace', 'renewal')" \
	"   THEN p.started_at < c.at AND c.at <= p.ended_at ELSE p.started_at <= c.at AND c.at < p.ended_at END LIMIT 1)," \
	" a AS (SELECT l.recorded_at, coalesce((l.details->>'ended_at')::timestamptz, l.recorded_at) AS ended_at, l.role," \
	"   l.details->>'source_type' AS source_type, l.details->>'source_name' AS source_name," \
	"   coalesce((l.details->>'statements')::bigint, 1) AS statements, l.contacts AS promoted," \
	"   coalesce((l.details->>'demoted')::bigint, 0) AS demoted" \
	"  FROM (SELECT * FROM " CT_WHOLE_LEDGER " w WHERE event = 'activity'%1$s) l, c, p" \
	"  WHERE l.recorded_at >= p.started_at AND coalesce(l.entry > p.after, true)" \
	"   AND CASE WHEN c.reason IN ('grace', 'renewal') THEN l.entry < c.entry ELSE l.recorded_at <= c.at END)," \
	" s AS (SELECT a.* FROM a, c WHERE c.reason = 'exceeded' AND a.role = c.role AND a.ended_at >= c.at AND a.promoted > 0" \
	"  ORDER BY a.promoted DESC LIMIT 1)," \
	" g AS (SELECT role, source_type, source_name, min(recorded_at) AS recorded_at, max(ended_at) AS ended_at," \
	"   sum(statements)::bigint AS statements, sum(promoted)::bigint AS promoted, sum(demoted)::bigint AS demoted" \
	"  FROM a GROUP BY role, source_type, source_name HAVING sum(promoted) + sum(demoted) > 0)," \
	" rest AS (SELECT c.contacts - p.opening - (SELECT coalesce(sum(promoted - demoted), 0) FROM g) AS contacts FROM c, p)"

#define SOURCE_OF(row) \
	"'role ' || " row ".role || ', source ' || coalesce(" row ".source_type, 'unknown or several')" \
	" || coalesce(' \"' || " row ".source_name || '\"', '')"

/* What happened, and what it costs */
#define LINES_OF_CHANGE \
	" SELECT 1 AS part, 'Account \"' || c.account || '\" moved from the tier of ' || coalesce(c.from_limit, '') || ' contacts to the tier of '" \
	"   || coalesce(c.to_limit, '') || ' at ' || c.at || ': ' || CASE c.reason" \
	"    WHEN 'exceeded' THEN c.contacts || ' marketing contacts exceeded the limit'" \
	"    WHEN 'grace' THEN c.contacts || ' marketing contacts were above the limit on the update date'" \
	"    WHEN 'requested' THEN 'role ' || c.role || ' requested it'" \
	"    WHEN 'approved' THEN 'role ' || c.role || ' approved the request for it'" \
	"    WHEN 'renewal' THEN 'it was requested for the renewal date, or the smallest tier that fits'" \
	"    WHEN 'undo' THEN 'role ' || c.role || ' undid the promotions that had moved it up'" \
	"    ELSE coalesce(c.reason, '') END || '.' AS line, c.at AS recorded_at, c.at AS ended_at, c.role, NULL AS source_type, NULL AS source_name," \
	"   NULL::bigint AS statements, NULL::bigint AS promoted, NULL::bigint AS demoted, p.opening AS count_before, c.contacts AS count_after" \
	"  FROM c LEFT JOIN p ON true" \
	" UNION ALL SELECT 2, CASE WHEN c.details->>'charge' IS NULL THEN 'Its charge is not known: a tier has no price.'" \
	"   ELSE 'The charge is ' || (c.details->>'charge') || c.currency || ' for ' || coalesce(c.details->>'period_fraction', '')" \
	"    || ' of the billing period' || coalesce(' until ' || b.ended_at, '')" \
	"    || CASE WHEN (c.details->>'month_share')::numeric <> 1 THEN ', which is ' || (c.details->>'month_share') || ' of a month' ELSE '' END" \
	"    || '. From then on the monthly price is ' || coalesce(c.details->>'to_price', '') || c.currency" \
	"    || ' instead of ' || coalesce(c.details->>'from_price', '') || c.currency || '.' END," \
	"  c.at, b.ended_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM c LEFT JOIN bill b ON true" \
	" UNION ALL SELECT 3, 'The tier can be lowered on the renewal date, ' || b.renews_at || '.'," \
	"  b.renews_at, b.renews_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL" \
	"  FROM bill b, {account} n, c WHERE n.contact_limit::text = c.to_limit AND c.to_limit::bigint > c.from_limit::bigint" \
	"   AND b.renews_at IS NOT NULL%3$s" \
	" UNION ALL SELECT 4, 'It was withdrawn at ' || u.recorded_at || ' by role ' || u.role || ', with its charge.'," \
	"  u.recorded_at, u.recorded_at, u.role, NULL, NULL, NULL, NULL, NULL, NULL, u.contacts" \
	"  FROM {ledger} u, c WHERE u.event = 'tier_change' AND u.details->>'undoes' = c.entry::text AND u.recorded_at >= c.at%4$s"

/* Who did it: the statement, and all that was promoted before */
#define LINES_OF_ACTIVITY \
	" UNION ALL SELECT 5, 'It was ' || CASE s.statements WHEN 1 THEN 'a statement' ELSE 'one of ' || s.statements || ' statements' END" \
	"   || ' of ' || " SOURCE_OF("s") " || ', which promoted ' || s.promoted || ' and demoted ' || s.demoted" \
	"   || CASE WHEN s.statements = 1 THEN ' contacts: from ' || (c.contacts - s.promoted + s.demoted) || ' to ' || c.contacts || '.'" \
	"    ELSE ' contacts within a minute.' END," \
	"  s.recorded_at, s.ended_at, s.role, s.source_type, s.source_name, s.statements, s.promoted, s.demoted," \
	"  CASE s.statements WHEN 1 THEN c.contacts - s.promoted + s.demoted END, CASE s.statements WHEN 1 THEN c.contacts END FROM s, c" \
	" UNION ALL SELECT 6, 'The billing period began at ' || p.started_at || ' with ' || p.opening || ' marketing contacts. '" \
	"   || CASE WHEN EXISTS (SELECT FROM g) THEN 'Up to the change:' ELSE 'Nothing was promoted or demoted up to the change.' END," \
	"  p.started_at, c.at, NULL, NULL, NULL, NULL, NULL, NULL, p.opening, c.contacts FROM p, c" \
	" UNION ALL SELECT 7, '- ' || " SOURCE_OF("g") " || ': ' || g.promoted || ' promoted, ' || g.demoted || ' demoted, in '" \
	"   || g.statements || CASE g.statements WHEN 1 THEN ' statement' ELSE ' statements' END || '.'," \
	"  g.recorded_at, g.ended_at, g.role, g.source_type, g.source_name, g.statements, g.promoted, g.demoted, NULL, NULL FROM g" \
	" UNION ALL SELECT 8, '- otherwise: ' || rest.contacts || ', with partitions, by repair(), by statements that the ledger does not have, or after the change within its minute.'," \
	"  NULL, NULL, NULL, NULL, NULL, NULL, greatest(rest.contacts, 0)::bigint, greatest(-rest.contacts, 0)::bigint, NULL, NULL" \
	"  FROM rest WHERE rest.contacts <> 0"

/* The entry that is argument 2 of the function; NULL: the last tier change. */
static char *
entry_of(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(2) ? NULL : DatumGetCString(DirectFunctionCall1(uuid_out, PG_GETARG_DATUM(2)));
}

static char *
explain_query(const CtReport *report)
{
	char	   *entry = entry_of(report->fcinfo);

	return ct_sqlf(report->table->table,
				   "SELECT line, recorded_at, ended_at, role, source_type, source_name, statements, promoted, demoted,"
				   " count_before, count_after FROM (" CHANGE_AND_PERIODS ACTIVITY_BEFORE LINES_OF_CHANGE LINES_OF_ACTIVITY
				   ") lines ORDER BY part, promoted DESC, demoted DESC, role, source_type, source_name",
				   ct_report_account(report, "AND", "account"),
				   entry == NULL ? "" : psprintf(" AND entry = '%s'", entry),
				   ct_report_account(report, "AND", "n.account"), ct_report_account(report, "AND", "u.account"));
}

PG_FUNCTION_INFO_V1(contacts_tier_explain_change);

/*
 * explain_change(contacts regclass, account text, entry uuid): what moved the account to another
 * tier, and what it costs; no row for an account that has always been in its tier
 *
 * Errors: 22004, 22023 where there is no such tier change of the account, and those of ct_report().
 */
Datum
contacts_tier_explain_change(PG_FUNCTION_ARGS)
{
	static const CtReportKind explain = {.query = explain_query,.reads_ledger = true};

	ct_check_account_not_null(fcinfo);
	ct_report(fcinfo, &explain);
	if (!PG_ARGISNULL(2) && tuplestore_tuple_count(((ReturnSetInfo *) fcinfo->resultinfo)->setResult) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("account \"%s\" has no tier change with entry \"%s\"",
						ct_account_argument(fcinfo, 1), entry_of(fcinfo)),
				 errhint("Use contacts_tier.tier_changes() to list tier changes with their entries.")));
	return (Datum) 0;
}
