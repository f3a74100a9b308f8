/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  rollover_progress(): what the runs of rollover have done and have to do.  How it reads,
 *	  see report.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "manage/manage.h"

/*
 * Of rollover_progress(): accounts that are done, by the ledger, those to be done, and what
 * runs say at their ends.  Dates that statements applied are in a row without a run.
 */
static char *
progress_query(const CtReport *report)
{
	return ct_sqlf(report->table->table, "SELECT %1$u::regclass, run, t.run IS NOT NULL AND r.run IS NULL,"
				   " least(d.started_at, t.started_at, r.started_at),"
				   " coalesce(r.ended_at, CASE WHEN t.run IS NULL THEN d.finished_at END),"
				   " coalesce(d.accounts, 0), coalesce(t.accounts, 0),"
				   " coalesce(d.contacts, 0) + coalesce(t.contacts_done, 0), coalesce(t.contacts, 0),"
				   " coalesce(r.failed, 0), coalesce(r.nskipped, 0), r.failures, r.skipped"
				   " FROM (SELECT run, min(started_at) AS started_at, max(finished_at) AS finished_at, count(*) AS accounts,"
				   "   sum(contacts)::bigint AS contacts"
				   "  FROM (SELECT (details->>'run')::uuid AS run, min((details->>'started_at')::timestamptz) AS started_at,"
				   "    max((details->>'applied_at')::timestamptz) AS finished_at, sum(contacts) AS contacts"
				   "   FROM {ledger} WHERE event = 'rollover' GROUP BY account, 1) o GROUP BY run) d"
				   " FULL JOIN (SELECT a.rollover_run AS run, min(a.rollover_started_at) AS started_at,"
				   "   count(*) AS accounts, sum(a.rollover_contacts)::bigint AS contacts_done,"
				   "   sum((SELECT sum(c.pending) FROM {counter} c"
				   "        WHERE c.account {=} a.account))::bigint AS contacts"
				   "  FROM {account} a WHERE a.rollover_run IS NOT NULL GROUP BY 1) t USING (run)"
				   " FULL JOIN (SELECT (details->>'run')::uuid AS run, (details->>'started_at')::timestamptz AS started_at,"
				   "   (details->>'ended_at')::timestamptz AS ended_at, (details->>'failed')::bigint AS failed,"
				   "   (details->>'skipped')::bigint AS nskipped, details->'failures' AS failures, details->'locked' AS skipped"
				   "  FROM {ledger} WHERE event = 'rollover_run') r USING (run)"
				   " ORDER BY 4, run",
				   report->table->table->relid);
}

PG_FUNCTION_INFO_V1(contacts_tier_rollover_progress);

/*
 * rollover_progress(): runs of rollover, in progress and past
 */
Datum
contacts_tier_rollover_progress(PG_FUNCTION_ARGS)
{
	static const CtReportKind progress = {.query = progress_query,.reads_ledger = true};

	ct_report_all(fcinfo, &progress);
	return (Datum) 0;
}
