/*-------------------------------------------------------------------------
 *
 * metrics.c
 *	  Functions for monitoring: metrics() and account_metrics().
 *
 * Their caller needs EXECUTE, which members of pg_monitor have, and no privilege on the
 * tables; metrics_read.c says why that is sound.  They read account rows and counters, and
 * of the ledger, by index, the newest entries of each account; never the contacts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "manage/manage.h"

/* Where usage() says "banner", in percent of the limit (N1) */
#define BANNER_PERCENT	98

/* Metrics of one schema, while they are read */
typedef struct SchemaReport
{
	FunctionCallInfo fcinfo;	/* of the function that reports */
	const CtNames *names;		/* of its companion tables */
	bool		reads_ledger;
	void		(*put) (const struct SchemaReport *report, CtSchemaMetrics *metrics);
} SchemaReport;

/* What a schema's accounts add up to */
typedef struct Totals
{
	int64		accounts;
	int64		notice;
	int64		banner;
	int64		exceeded;
	int64		overdue;
	int64		unfinished;
	int64		requests;
	int64		drift;
	TimestampTz oldest;			/* update date that is not applied */
} Totals;

/* Put a row into the result. */
static void
put_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Report on one schema, for ct_attempt(). */
static void
report_schema(void *arg)
{
	SchemaReport *report = arg;
	CtSchemaMetrics metrics;

	ct_metrics_begin(&metrics, report->names, report->reads_ledger);
	report->put(report, &metrics);
	ct_metrics_end(&metrics);
}

/*
 * Report on each schema that has companion tables.  What fails, or is locked, is skipped
 * with a WARNING and handed to "put_unreadable", unless that is NULL (R5).
 */
static void
report_schemas(SchemaReport *report, void (*put_unreadable) (const SchemaReport *report))
{
	List	   *sets;
	ListCell   *cell;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "contacts_tier metrics",
												  ALLOCSET_DEFAULT_SIZES);

	InitMaterializedSRF(report->fcinfo, 0);
	sets = ct_companion_sets();
	foreach(cell, sets)
	{
		MemoryContext old;

		report->names = lfirst(cell);
		old = MemoryContextSwitchTo(context);
		if (!ct_attempt(report_schema, report, psprintf("schema \"%s\"", NameStr(report->names->schema))) &&
			put_unreadable != NULL)
			put_unreadable(report);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
}

/* Does a count reach this share of a limit? */
static bool
reaches(int64 count, int64 limit, int percent)
{
	const CtThresholds thresholds = {.limit = limit,.count = 1,.percent = &percent};
	const CtAnnounced nothing = {0};

	return ct_next_announcement(&thresholds, &nothing, count) > 0;
}

/* How near an account is to its limit, as usage() has it. */
static void
add_alert(Totals *totals, const CtAccountMetrics *account)
{
	if (account->contact_limit <= 0)
		return;
	if (account->used > account->contact_limit)
		totals->exceeded++;
	else if (reaches(account->used, account->contact_limit, BANNER_PERCENT))
		totals->banner++;
	else if (reaches(account->used, account->contact_limit, account->first_threshold))
		totals->notice++;
}

static void
add_up(Totals *totals, const CtSchemaMetrics *metrics)
{
	TimestampTz now = ct_now();

	memset(totals, 0, sizeof(*totals));
	totals->oldest = DT_NOEND;
	for (CtAccountEntry *entry = ct_account_newest(metrics->accounts); entry != NULL; entry = entry->older)
	{
		const CtAccountMetrics *account = (const CtAccountMetrics *) entry;

		ct_metrics_add(&totals->drift, account->drift);
		if (!account->is_subscribed)
			continue;
		totals->accounts++;
		add_alert(totals, account);
		totals->unfinished += account->in_rollover ? 1 : 0;
		totals->requests += account->requests_tier ? 1 : 0;
		totals->oldest = Min(totals->oldest, account->next_update_at);
		totals->overdue += account->next_update_at <= now ? 1 : 0;
	}
}

/* Size of the ledger on disk, with indexes and partitions, which ct_metrics_end() releases. */
static int64
ledger_bytes(const CtSchemaMetrics *metrics)
{
	int64		bytes = 0;
	ListCell   *cell;

	foreach(cell, metrics->rels[CT_LEDGER])
	{
		Oid			relid = RelationGetRelid((Relation) lfirst(cell));

		ct_metrics_add(&bytes, DatumGetInt64(DirectFunctionCall1(pg_total_relation_size, ObjectIdGetDatum(relid))));
	}
	return bytes;
}

/* The columns of metrics(), in their order */
enum
{
	SCHEMA, READABLE, ACCOUNTS, NOTICE_ACCOUNTS, BANNER_ACCOUNTS, EXCEEDED, OVERDUE, OLDEST_OVERDUE,
	LAST_AT, LAST_SECONDS, LAST_ACCOUNTS, LAST_FAILED, UNFINISHED, REQUESTS, LEDGER_BYTES, SLOTS, DRIFT,
	CLOCK_FIXED, NCOLUMNS
};

/* What of the last rollover is known. */
static void
put_last_run(const CtSchemaMetrics *metrics, Datum *values, bool *nulls)
{
	CtLastRun	run = metrics->run;
	bool		found = metrics->has_run;

	nulls[LAST_AT] = nulls[LAST_SECONDS] = nulls[LAST_ACCOUNTS] = nulls[LAST_FAILED] = !found;
	values[LAST_AT] = TimestampTzGetDatum(run.at);
	values[LAST_SECONDS] = Float8GetDatum(run.seconds);
	values[LAST_ACCOUNTS] = Int64GetDatum(run.accounts);
	values[LAST_FAILED] = Int64GetDatum(run.failed);
}

/* The row of metrics() for a schema */
static void
put_schema(const SchemaReport *report, CtSchemaMetrics *metrics)
{
	Datum		values[NCOLUMNS];
	bool		nulls[NCOLUMNS] = {false};
	Totals		totals;

	ct_metrics_read_ledger(metrics);
	add_up(&totals, metrics);
	values[SCHEMA] = CStringGetTextDatum(NameStr(report->names->schema));
	values[READABLE] = BoolGetDatum(true);
	values[ACCOUNTS] = Int64GetDatum(totals.accounts);
	values[NOTICE_ACCOUNTS] = Int64GetDatum(totals.notice);
	values[BANNER_ACCOUNTS] = Int64GetDatum(totals.banner);
	values[EXCEEDED] = Int64GetDatum(totals.exceeded);
	values[OVERDUE] = Int64GetDatum(totals.overdue);
	values[OLDEST_OVERDUE] = Float8GetDatum(totals.overdue == 0 ? 0 :
											(ct_now() - totals.oldest) / (double) USECS_PER_SEC);
	nulls[OLDEST_OVERDUE] = totals.accounts == 0;
	put_last_run(metrics, values, nulls);
	values[UNFINISHED] = Int64GetDatum(totals.unfinished);
	values[REQUESTS] = Int64GetDatum(totals.requests);
	values[LEDGER_BYTES] = Int64GetDatum(ledger_bytes(metrics));
	values[SLOTS] = Int64GetDatum(metrics->slots);
	values[DRIFT] = Int64GetDatum(totals.drift);
	values[CLOCK_FIXED] = BoolGetDatum(ct_clock_is_fixed());
	put_row(report->fcinfo, values, nulls);
}

/* A row that tells that a schema is there, and nothing of it. */
static void
put_unreadable(const SchemaReport *report)
{
	Datum		values[NCOLUMNS] = {0};
	bool		nulls[NCOLUMNS];

	memset(nulls, true, sizeof(nulls));
	values[SCHEMA] = CStringGetTextDatum(NameStr(report->names->schema));
	values[READABLE] = BoolGetDatum(false);
	values[CLOCK_FIXED] = BoolGetDatum(ct_clock_is_fixed());
	nulls[SCHEMA] = nulls[READABLE] = nulls[CLOCK_FIXED] = false;
	put_row(report->fcinfo, values, nulls);
}

PG_FUNCTION_INFO_V1(contacts_tier_metrics);

/*
 * metrics(): a row for each schema with companion tables
 *
 * A schema that is locked, fails or is crafted has a row in which "readable" is false,
 * and a WARNING says why.  Locks are released at once.
 */
Datum
contacts_tier_metrics(PG_FUNCTION_ARGS)
{
	SchemaReport report = {.fcinfo = fcinfo,.reads_ledger = true,.put = put_schema};

	report_schemas(&report, put_unreadable);
	return (Datum) 0;
}

/* For qsort_arg(): the account nearest to its limit first, then by account. */
static int
compare_ratios(const void *a, const void *b, void *table)
{
	const CtAccountMetrics *left = *(const CtAccountMetrics *const *) a;
	const CtAccountMetrics *right = *(const CtAccountMetrics *const *) b;
	double		left_ratio = (double) left->used / left->contact_limit;
	double		right_ratio = (double) right->used / right->contact_limit;

	if (left_ratio != right_ratio)
		return left_ratio > right_ratio ? -1 : 1;
	return ct_account_compare(table, left->entry.account, right->entry.account);
}

/* The accounts that have a limit, nearest to it first. */
static CtAccountMetrics **
sort_by_ratio(CtSchemaMetrics *metrics, int *count)
{
	CtAccountMetrics **accounts =
		MemoryContextAllocHuge(CurrentMemoryContext,
							   sizeof(CtAccountMetrics *) * (ct_account_count(metrics->accounts) + (Size) 1));

	*count = 0;
	for (CtAccountEntry *entry = ct_account_newest(metrics->accounts); entry != NULL; entry = entry->older)
		if (((CtAccountMetrics *) entry)->is_subscribed && ((CtAccountMetrics *) entry)->contact_limit > 0)
			accounts[(*count)++] = (CtAccountMetrics *) entry;
	qsort_arg(accounts, *count, sizeof(CtAccountMetrics *), compare_ratios, metrics->table);
	return accounts;
}

/* Marketing contacts as a share of the limit, to 4 digits */
static Datum
ratio(const CtAccountMetrics *account)
{
	Datum		share = DirectFunctionCall2(numeric_div, NumericGetDatum(int64_to_numeric(account->used)),
											NumericGetDatum(int64_to_numeric(account->contact_limit)));

	return DirectFunctionCall2(numeric_round, share, Int32GetDatum(4));
}

/* The rows of account_metrics() for a schema */
static void
put_accounts(const SchemaReport *report, CtSchemaMetrics *metrics)
{
	int			count;
	CtAccountMetrics **accounts = sort_by_ratio(metrics, &count);

	for (int i = 0; i < count && i < DatumGetInt32(report->fcinfo->args[0].value); i++)
	{
		const CtAccountMetrics *account = accounts[i];
		Datum		values[] = {
			CStringGetTextDatum(NameStr(report->names->schema)),
			CStringGetTextDatum(ct_account_text(metrics->table, account->entry.account)),
			Int64GetDatum(account->used),
			Int64GetDatum(account->pending),
			Int64GetDatum(account->contact_limit),
			ratio(account),
			TimestampTzGetDatum(account->next_update_at)
		};
		bool		nulls[lengthof(values)] = {false};

		nulls[6] = account->next_update_at == DT_NOEND;
		put_row(report->fcinfo, values, nulls);
	}
}

PG_FUNCTION_INFO_V1(contacts_tier_account_metrics);

/*
 * account_metrics(top integer): of each schema the accounts nearest to their limits
 *
 * What is not readable is left out with a WARNING.  Errors: 22004, 22023.
 */
Datum
contacts_tier_account_metrics(PG_FUNCTION_ARGS)
{
	SchemaReport report = {.fcinfo = fcinfo,.put = put_accounts};

	ct_check_not_null(fcinfo, 0, "top");
	if (PG_GETARG_INT32(0) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"top\" must not be negative")));
	report_schemas(&report, NULL);
	return (Datum) 0;
}
