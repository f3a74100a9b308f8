/*-------------------------------------------------------------------------
 *
 * verify.c
 *	  Counters against a count of the contacts; how it reads, see report.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
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
record_here_query(const CtReport *report)
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

/* The accounts of which a drift has been recorded, as an array in a statement; of all shards */
static char *
recorded_accounts(const CtReport *report)
{
	(void) ct_query(ct_sql(report->table->table, "SELECT array_agg(DISTINCT account::text)::text FROM {ledger} WHERE event = 'verify'"));
	return ct_result_text(1) == NULL ? "'{}'" : quote_literal_cstr(ct_result_text(1));
}

/*
 * Record what is found on the shards of a table that Citus distributes, in the transaction of the caller: on those that
 * have a drift, or have had one.  Any account is the address of its shard.  The query of accounts has
 * no distributed table in it, so that it runs here, where the shards of all of them are known.
 */
static void
record_on_shards(const CtReport *report)
{
	Oid			relid = report->table->table->relid;
	uint64		count = ct_query(psprintf("SELECT min(f.account) FROM (SELECT v.account FROM contacts_tier.verify(%1$u::regclass) v"
										  "  WHERE v.account IS NOT NULL AND (v.drift <> 0 OR v.pending_counted <> v.pending_actual)"
										  " UNION ALL SELECT unnest(%2$s::text[])) f"
										  " GROUP BY CASE WHEN (SELECT d.partkey IS NOT NULL FROM pg_dist_partition d WHERE d.logicalrelid = %1$u)"
										  "  THEN get_shard_id_for_distribution_column(%1$u, f.account::%3$s) END",
										  relid, recorded_accounts(report), report->table->account_type));
	SPITupleTable *accounts = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
		ct_run_on_shard(report->table, ct_managed_account(report->table, SPI_getvalue(accounts->vals[i], accounts->tupdesc, 1)),
						"SELECT pg_catalog.to_jsonb(pg_catalog.count(*)) FROM contacts_tier.verify(%1$s, true)");
}

static char *
record_query(const CtReport *report)
{
	if (!ct_is_distributed(report->table->table->relid))
		return record_here_query(report);
	record_on_shards(report);
	return verify_query(report);
}

PG_FUNCTION_INFO_V1(contacts_tier_verify);

/*
 * verify(contacts regclass, record boolean): counters of each account against its
 * contacts
 *
 * One statement, so one snapshot: exact while others write.  With "record" it writes each
 * drift to the ledger, and only the owner of the tables may; on shards by one more statement each.
 * Errors: 22004, those of ct_report().
 */
Datum
contacts_tier_verify(PG_FUNCTION_ARGS)
{
	static const CtReportKind verify = {.query = verify_query,.reads_contacts = true};
	static const CtReportKind record = {
		.query = record_query,.reads_contacts = true,.reads_ledger = true,.records = true
	};

	ct_check_not_null(fcinfo, 1, "record");
	ct_report_of(fcinfo, PG_GETARG_BOOL(1) ? &record : &verify, NULL);
	return (Datum) 0;
}
