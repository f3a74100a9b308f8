/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  Counters against a count of the contacts; how it reads, see report.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "manage/manage.h"

/* What the slots add up to beside what a count of the contacts gives; the account in its own type */
static char *
found_query(const CtReport *report)
{
	return ct_sqlf(report->table->table, "SELECT coalesce(c.account, t.account) AS account,"
				   " coalesce(c.used, 0) AS counted, coalesce(t.marketing, 0) AS actual,"
				   " coalesce(c.used, 0) - coalesce(t.marketing, 0) AS drift,"
				   " coalesce(c.pending, 0) AS pending_counted, coalesce(t.pending, 0) AS pending_actual"
				   " FROM (SELECT account, sum(used)::bigint AS used, sum(pending)::bigint AS pending"
				   "  FROM {counter} GROUP BY account) c"
				   " FULL JOIN (%s) t ON c.account {=} t.account",
				   ct_recount_query(report->relids));
}

static char *
verify_query(const CtReport *report)
{
	return psprintf("SELECT %u::regclass, account::text, counted, actual, drift, pending_counted, pending_actual"
					" FROM (%s) found ORDER BY found.account",
					report->table->table->relid, found_query(report));
}

/*
 * The same, which also records each drift in the ledger; and that there is none any more,
 * where the last entry about it says that there was.
 */
static char *
record_query(const CtReport *report)
{
	return ct_sqlf(report->table->table, "WITH found AS MATERIALIZED (%2$s), recorded AS ("
				   " INSERT INTO {ledger} (account, recorded_at, event, role, contacts, details)"
				   " SELECT f.account, contacts_tier.clock(), 'verify', %3$s, f.actual,"
				   "  jsonb_build_object('drift', f.drift, 'pending_drift', f.pending_counted - f.pending_actual)"
				   " FROM found f WHERE f.account IS NOT NULL"
				   " AND (f.drift <> 0 OR f.pending_counted <> f.pending_actual"
				   "  OR (SELECT l.event = 'verify' AND (l.details->>'drift' <> '0' OR l.details->>'pending_drift' <> '0')"
				   "   FROM {ledger} l WHERE l.account {=} f.account AND l.event IN ('verify', 'repair')"
				   "   ORDER BY l.recorded_at DESC, l.entry DESC LIMIT 1)))"
				   " SELECT %1$u::regclass, account::text, counted, actual, drift, pending_counted, pending_actual"
				   " FROM found ORDER BY found.account",
				   report->table->table->relid, found_query(report), quote_literal_cstr(ct_caller_name()));
}

PG_FUNCTION_INFO_V1(contacts_tier_verify);

/*
 * verify(contacts regclass, record boolean): counters of each account against its
 * contacts
 *
 * One statement, so one snapshot: exact while others write.  With "record" it writes each
 * drift to the ledger, and only the owner of the tables may.  Errors: 22004, those of
 * ct_report().
 */
Datum
contacts_tier_verify(PG_FUNCTION_ARGS)
{
	static const CtReportKind verify = {.query = verify_query,.reads_contacts = true};
	static const CtReportKind record = {
		.query = record_query,.reads_contacts = true,.reads_ledger = true,.records = true,.by_shard = true
	};

	ct_check_not_null(fcinfo, 1, "record");
	ct_report_of(fcinfo, PG_GETARG_BOOL(1) ? &record : &verify, NULL);
	return (Datum) 0;
}
