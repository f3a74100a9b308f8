/*-------------------------------------------------------------------------
 *
 * metrics.c
 *	  Functions for monitoring: metrics() and account_metrics().
 *
 * Their caller needs EXECUTE, which members of pg_monitor have, and no privilege on the
 * tables: each schema is read as the owner of its tables, security-restricted (see
 * report.c), so that types, casts and operators of the owner run with the owner's rights.
 * They read account rows and counters, and of the ledger, by index, the last entries of
 * each account; never the contacts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "manage/manage.h"

/* Entries about drift that are older than this tell nothing about now */
#define DRIFT_AGE	"interval '35 days'"

/* The milliseconds since 1970 that an entry's key begins with (RFC 9562) */
#define ENTRY_MS \
	"('x' || substr(replace(entry::text, '-', ''), 1, 12))::bit(48)::bigint"

/* Counters, and accounts with a subscription that has not ended */
#define COUNTERS \
	"c AS (SELECT account, sum(used)::bigint AS used, sum(pending)::bigint AS pending, count(*) AS slots" \
	"  FROM {counter} GROUP BY account)," \
	" a AS (SELECT s.*, coalesce(c.used, 0) AS used, coalesce(c.pending, 0) AS pending" \
	"  FROM {account} s LEFT JOIN c ON c.account {=} s.account WHERE s.ended_at IS NULL)"

/* The last entry of the rollover procedure for each account, and the newest run of these */
#define RUNS \
	"runs AS MATERIALIZED (SELECT l.* FROM {account} s CROSS JOIN LATERAL (SELECT e.details->>'run' AS run," \
	"   (e.details->>'started_at')::timestamptz AS started_at, e.recorded_at, e.entry" \
	"   FROM {ledger} e WHERE e.account {=} s.account AND e.event = 'rollover' AND e.details->>'run' IS NOT NULL" \
	"   ORDER BY e.recorded_at DESC, e.entry DESC LIMIT 1) l" \
	"  WHERE s.period_started_at > s.started_at)," \
	" run AS (SELECT max(recorded_at) AS ended_at, count(*) AS accounts," \
	"   to_timestamp(max(" ENTRY_MS ") / 1000.0) - min(started_at) AS took" \
	"  FROM runs WHERE run = (SELECT n.run FROM runs n ORDER BY n.entry DESC LIMIT 1))"

/* What verify(record => true) found last in each account, unless repair() has mended it */
#define DRIFT \
	"drift AS (SELECT sum(abs((l.details->>'drift')::bigint) + abs((l.details->>'pending_drift')::bigint))::bigint AS contacts" \
	"  FROM (SELECT account FROM c UNION SELECT account FROM {account}) k" \
	"  CROSS JOIN LATERAL (SELECT e.event, e.details FROM {ledger} e" \
	"   WHERE e.account {=} k.account AND e.event IN ('verify', 'repair')" \
	"   AND e.recorded_at > contacts_tier.clock() - " DRIFT_AGE \
	"   ORDER BY e.recorded_at DESC, e.entry DESC LIMIT 1) l WHERE l.event = 'verify')"

static char *
metrics_query(const CtReport *report)
{
	const CtNames *names = &report->table->table->names;

	return ct_sqlf(report->table->table, "WITH " COUNTERS ", " RUNS ", " DRIFT
				   " SELECT %1$s::text, true, count(*),"
				   " count(*) FILTER (WHERE used < contact_limit * 0.98 AND used <= contact_limit"
				   "  AND used >= contact_limit * thresholds[1] / 100.0 AND contact_limit > 0),"
				   " count(*) FILTER (WHERE used >= contact_limit * 0.98 AND used <= contact_limit AND contact_limit > 0),"
				   " count(*) FILTER (WHERE used > contact_limit AND contact_limit > 0),"
				   " count(*) FILTER (WHERE next_update_at <= contacts_tier.clock()),"
				   " greatest(extract(epoch FROM contacts_tier.clock() - min(next_update_at)), 0)::float8,"
				   " (SELECT ended_at FROM run),"
				   " (SELECT CASE WHEN NOT %4$s THEN extract(epoch FROM took)::float8 END FROM run),"
				   " (SELECT nullif(accounts, 0) FROM run), count(*) FILTER (WHERE rollover_run IS NOT NULL),"
				   " count(requested_limit), pg_total_relation_size(%2$u::oid::regclass),"
				   " (SELECT coalesce(sum(slots), 0)::bigint FROM c),"
				   " coalesce((SELECT contacts FROM drift), 0), %3$s"
				   " FROM a",
				   quote_literal_cstr(NameStr(names->schema)), ct_companion_relid(names, CT_LEDGER),
				   ct_clock_is_fixed() ? "true" : "false", ct_clock_is_fixed() ? "true" : "false");
}

/* A row that tells that a schema is there, and nothing of it. */
static void
put_unreadable(const CtReport *report, const char *schema)
{
	ReturnSetInfo *result = (ReturnSetInfo *) report->fcinfo->resultinfo;
	int			natts = result->setDesc->natts;
	Datum	   *values = palloc0(sizeof(Datum) * natts);
	bool	   *nulls = palloc(sizeof(bool) * natts);

	memset(nulls, true, sizeof(bool) * natts);
	values[0] = CStringGetTextDatum(schema);
	values[1] = BoolGetDatum(false);
	values[natts - 1] = BoolGetDatum(ct_clock_is_fixed());
	nulls[0] = nulls[1] = nulls[natts - 1] = false;
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(contacts_tier_metrics);

/*
 * metrics(): a row for each schema with companion tables
 *
 * A schema that is locked, fails or is crafted has a row in which "readable" is false,
 * and a WARNING says why.
 */
Datum
contacts_tier_metrics(PG_FUNCTION_ARGS)
{
	static const CtReportKind metrics = {
		.query = metrics_query,.reads_ledger = true,.for_monitors = true,.put_unreadable = put_unreadable
	};

	ct_report_all(fcinfo, &metrics);
	return (Datum) 0;
}

static char *
account_metrics_query(const CtReport *report)
{
	return ct_sqlf(report->table->table, "WITH " COUNTERS
				   " SELECT %1$s::text, account::text, used, pending, contact_limit,"
				   " round(used::numeric / contact_limit, 4), nullif(next_update_at, 'infinity')"
				   " FROM a WHERE contact_limit > 0"
				   " ORDER BY used::numeric / contact_limit DESC, account LIMIT %2$d",
				   quote_literal_cstr(NameStr(report->table->table->names.schema)),
				   DatumGetInt32(report->fcinfo->args[0].value));
}

PG_FUNCTION_INFO_V1(contacts_tier_account_metrics);

/*
 * account_metrics(top integer): of each schema the accounts nearest to their limits
 *
 * Errors: 22004, 22023.
 */
Datum
contacts_tier_account_metrics(PG_FUNCTION_ARGS)
{
	static const CtReportKind metrics = {.query = account_metrics_query,.for_monitors = true};

	ct_check_not_null(fcinfo, 0, "top");
	if (PG_GETARG_INT32(0) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("top must not be negative")));
	ct_report_all(fcinfo, &metrics);
	return (Datum) 0;
}
