/*-------------------------------------------------------------------------
 *
 * undo.c
 *	  Taking back what a source promoted in the running period (rule P4).
 *
 * A contact that has status, source and time of its promotion still was promoted by that
 * source, and nobody has set it since.  It becomes non-marketing at once, by the owner's act, as
 * on an update date.  The ledger tells how many the source promoted, and whether the account
 * would have needed its larger tier without those that are taken back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "manage/manage.h"

/* Arguments of the function, after table and account */
enum
{
	SOURCE_TYPE = 2,
	SOURCE_NAME,
	SINCE
};

/* One call, and what it has found and done */
typedef struct Undo
{
	CtManaged  *tables;			/* all that share the companion tables; the
								 * argument is the first */
	int			ntables;
	const CtTable *table;		/* the argument */
	Datum		account;
	Datum		source_type;
	Datum		source_name;
	Datum		since;
	/* the account, before: */
	int64		count;
	int64		grace;
	bool		records;		/* does it record activity? */
	int64		contact_limit;
	Datum		marker;			/* entries that are older are of before */
	/* what was done: */
	int64		taken_back;
	int64		left_alone;
	int64		new_limit;
} Undo;

/*
 * Open the tables, the argument first; end_tables() is to follow.  What is known of them outlives
 * the memory of SPI, whose end is part of ct_manage_end().
 */
static void
begin_tables(Undo *undo, FunctionCallInfo fcinfo)
{
	MemoryContext context = CurrentMemoryContext;
	CtManaged	first;
	List	   *relids;
	ListCell   *cell;

	undo->account = ct_manage_begin_account(&first, fcinfo);
	relids = ct_attached_tables(&first.table->names);
	undo->tables = MemoryContextAlloc(context, sizeof(CtManaged) * (list_length(relids) + 1));
	undo->tables[0] = first;
	undo->ntables = 1;
	foreach(cell, relids)
	{
		if (lfirst_oid(cell) != first.table->relid)
			ct_manage_begin(&undo->tables[undo->ntables++], lfirst_oid(cell), RowExclusiveLock);
	}
	undo->table = first.table;
}

static void
end_tables(Undo *undo)
{
	while (undo->ntables > 0)
		ct_manage_end(&undo->tables[--undo->ntables]);
}

/*
 * The contacts of a table that are taken back, as a WHERE clause over account, source type,
 * source name and instant, $1 to $4.  One that is flagged was a marketing contact before the source
 * set the flag, or somebody has set it since.
 */
static char *
promoted_contacts(const CtManaged *managed)
{
	const CtTable *table = managed->table;
	char	   *of_account = "";

	if (AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]))
		of_account = psprintf(" AND t.%s %s $1", ct_table_column(table, CT_ARG_ACCOUNT),
							  ct_quoted_operator(table->account_eq));
	return psprintf("%s AND t.%s IS NOT TRUE"
					" AND t.%s OPERATOR(pg_catalog.=) $2 AND t.%s OPERATOR(pg_catalog.=) $3"
					" AND t.%s OPERATOR(pg_catalog.>=) $4%s%s",
					ct_status_condition(&table->status, psprintf("t.%s", ct_table_column(table, CT_ARG_STATUS))),
					ct_table_column(table, CT_ARG_UNTIL),
					ct_table_column(table, CT_ARG_SOURCE_TYPE), ct_table_column(table, CT_ARG_SOURCE_NAME),
					ct_table_column(table, CT_ARG_UPDATED_AT), of_account,
					ct_and_condition(table->exists, true));
}

/* Lock the contacts, before the slots: a writer holds contacts when it locks a slot. */
static void
lock_contacts(const Undo *undo)
{
	Oid			types[] = {undo->table->account_type, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[] = {undo->account, undo->source_type, undo->source_name, undo->since};

	for (int i = 0; i < undo->ntables; i++)
		ct_execute_now(psprintf("SELECT count(*) FROM (SELECT FROM %s AS t WHERE %s FOR NO KEY UPDATE) c",
								ct_qualified_name(undo->tables[i].rel), promoted_contacts(&undo->tables[i])),
					   lengthof(types), types, values);
}

/*
 * Make the contacts non-marketing.  Every name and operator is qualified, since the statement
 * runs under the owner's search_path.
 */
static void
demote_contacts(Undo *undo)
{
	Oid			types[] = {undo->table->account_type, TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[] = {
		undo->account, undo->source_type, undo->source_name, undo->since,
		CStringGetTextDatum(ct_session_source_type()), CStringGetTextDatum(ct_session_source_name()),
		TimestampTzGetDatum(ct_now())
	};

	for (int i = 0; i < undo->ntables; i++)
	{
		const CtManaged *managed = &undo->tables[i];
		const CtTable *table = managed->table;
		char	   *command = psprintf("UPDATE %s AS t SET %s = %s, %s = NULL, %s = $5, %s = $6, %s = $7 WHERE %s",
									   ct_qualified_name(managed->rel),
									   ct_table_column(table, CT_ARG_STATUS), ct_status_literal(&table->status, false),
									   ct_table_column(table, CT_ARG_UNTIL),
									   ct_table_column(table, CT_ARG_SOURCE_TYPE), ct_table_column(table, CT_ARG_SOURCE_NAME),
									   ct_table_column(table, CT_ARG_UPDATED_AT), promoted_contacts(managed));

		undo->taken_back += ct_execute_as_application(table->owner, table->relid, command, lengthof(types), types, values);
	}
}

/*
 * Lock the counter and the account row, and read them.  Errors: 55000 without subscription,
 * 22023 for an instant before the running period.
 */
static void
lock_account(Undo *undo)
{
	Oid			types[] = {undo->table->account_type, TIMESTAMPTZOID};
	Datum		values[] = {undo->account, undo->since};
	Datum		marker;
	bool		isnull;

	undo->count = ct_ledger_withdraw(undo->table, undo->account).marketing;
	if (ct_execute_now(ct_sql(undo->table, "SELECT contact_limit, grace, record_activity, $2 >= period_started_at,"
							  " period_started_at::text, contacts_tier_internal.ledger_entry() FROM {account}"
							  " WHERE account {=} $1 AND ended_at IS NULL FOR NO KEY UPDATE"),
					   lengthof(types), types, values) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("account \"%s\" has no subscription", ct_account_text(undo->table, undo->account)),
				 errhint("Subscribe it with contacts_tier.subscribe()."),
				 errtable(undo->tables[0].rel)));
	if (!ct_result_bool(4))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("promotions of a closed billing period cannot be undone"),
				 errdetail("The current period of account \"%s\" began at %s.",
						   ct_account_text(undo->table, undo->account), ct_result_text(5)),
				 errhint("Use this instant or a later one as argument \"since\".")));
	undo->contact_limit = undo->new_limit = ct_result_int64(1);
	undo->grace = ct_result_int64(2);
	undo->records = ct_result_bool(3);
	marker = ct_result(6, UUIDOID, &isnull);
	undo->marker = PointerGetDatum(memcpy(palloc(UUID_LEN), DatumGetUUIDP(marker), UUID_LEN));
}

/*
 * The count of the account since the instant, as it would have been if nothing that was taken
 * back, now or before, had been promoted.  What a source promoted first is taken to be what was
 * taken back of it; the rest was needed, also if others have set or deleted it since.  An entry
 * "undo" cancels the demotions that it stands for, which are entries of activity, too.
 *
 * $1: account, $2, $3: source, $4: instant, $5: entries are older than this, $6: contacts that are
 * taken back now.  Entries that were begun before the instant, in its minute, are counted whole.
 */
#define HISTORY \
	"WITH e AS (SELECT recorded_at, entry, event, contacts, details->>'source_type' AS type," \
	"   details->>'source_name' AS name, coalesce((details->>'demoted')::bigint, 0) AS demoted" \
	"  FROM {ledger} WHERE account {=} $1 AND event IN ('activity', 'undo') AND entry < $5" \
	"  AND recorded_at >= date_trunc('minute', $4, 'UTC')" \
	"  AND coalesce((details->>'ended_at')::timestamptz, recorded_at) >= $4)," \
	" u AS (SELECT type, name, sum(contacts) AS contacts" \
	"  FROM (SELECT type, name, contacts FROM e WHERE event = 'undo' UNION ALL SELECT $2, $3, $6) a GROUP BY type, name)," \
	" p AS (SELECT e.recorded_at, e.entry, e.demoted, e.event, e.contacts, coalesce(u.contacts, 0) AS undone," \
	"   CASE e.event WHEN 'activity' THEN e.contacts ELSE 0 END AS promoted," \
	"   sum(CASE e.event WHEN 'activity' THEN e.contacts ELSE 0 END)" \
	"    OVER (PARTITION BY e.type, e.name ORDER BY e.recorded_at, e.entry ROWS UNBOUNDED PRECEDING) AS so_far," \
	"   e.type = $2 AND e.name = $3 AS is_own" \
	"  FROM e LEFT JOIN u ON u.type = e.type AND u.name = e.name)," \
	" s AS (SELECT sum(greatest(so_far - undone, 0) - greatest(so_far - promoted - undone, 0) - demoted" \
	"    + CASE event WHEN 'undo' THEN contacts ELSE 0 END)" \
	"   OVER (ORDER BY recorded_at, entry ROWS UNBOUNDED PRECEDING) AS count," \
	"   promoted - demoted AS change, CASE WHEN is_own THEN so_far - undone END AS left_alone FROM p)"

/*
 * The highest count of this history; sets "left_alone", too.
 */
static int64
count_without(Undo *undo)
{
	Oid			types[] = {undo->table->account_type, TEXTOID, TEXTOID, TIMESTAMPTZOID, UUIDOID, INT8OID};
	Datum		values[] = {
		undo->account, undo->source_type, undo->source_name, undo->since, undo->marker,
		Int64GetDatum(undo->taken_back)
	};

	ct_execute_now(ct_sql(undo->table,
						  HISTORY " SELECT greatest(max(count), 0)::bigint, coalesce(sum(change), 0)::bigint,"
						  " greatest(max(left_alone), 0)::bigint FROM s"),
				   lengthof(types), types, values);
	undo->left_alone = ct_result_int64(3);
	return undo->count - ct_result_int64(2) + ct_result_int64(1);
}

/*
 * Withdraw a tier change, if the count fits into the tier of before: the ledger gets the
 * opposite entry, with the charge that is not due any more.
 */
static bool
withdraw_change(Undo *undo, const char *entry)
{
	Oid			types[] = {undo->table->account_type, TEXTOID, INT8OID, TEXTOID};
	Datum		values[] = {
		undo->account, CStringGetTextDatum(entry), Int64GetDatum(undo->count - undo->taken_back),
		CStringGetTextDatum(ct_caller_name())
	};

	if (ct_execute_now(ct_sql(undo->table,
							  "WITH change AS (SELECT entry, details FROM {ledger} WHERE account {=} $1 AND entry = $2::uuid),"
							  " moved AS (UPDATE {account} a SET contact_limit = (c.details->>'from')::bigint,"
							  "   announced = 0, exceeded_announced = false, period_upgrades = greatest(period_upgrades - 1, 0)"
							  "  FROM change c WHERE a.account {=} $1)"
							  " INSERT INTO {ledger} (account, recorded_at, event, role, contacts, details)"
							  " SELECT $1, contacts_tier.clock(), 'tier_change', $4, $3, details || jsonb_build_object("
							  "  'from', details->'to', 'to', details->'from', 'from_price', details->'to_price',"
							  "  'to_price', details->'from_price', 'reason', 'undo', 'undoes', entry,"
							  "  'charge', -(details->>'charge')::numeric) FROM change"
							  " RETURNING (details->>'to')::bigint"),
					   lengthof(types), types, values) == 0)
		return false;
	undo->new_limit = ct_result_int64(1);
	return true;
}

/*
 * Withdraw the tier changes that nothing else needed, the last one first: what came after
 * one that stays has built on it, and so has what somebody requested.
 */
static void
withdraw_changes(Undo *undo)
{
	Oid			types[] = {undo->table->account_type, TIMESTAMPTZOID, INT8OID, INT8OID, INT8OID, INT8OID};
	int64		without = count_without(undo);
	Datum		values[] = {
		undo->account, undo->since, 0, Int64GetDatum(undo->count - undo->taken_back),
		Int64GetDatum(without), Int64GetDatum(undo->grace)
	};

	if (!undo->records || undo->taken_back == 0)
		return;
	for (;;)
	{
		values[2] = Int64GetDatum(undo->new_limit);
		if (ct_execute_now(ct_sql(undo->table,
								  "SELECT entry::text FROM (SELECT * FROM {ledger}"
								  "  WHERE account {=} $1 AND event = 'tier_change' AND recorded_at >= $2"
								  "  AND entry NOT IN (SELECT (details->>'undoes')::uuid FROM {ledger} WHERE account {=} $1"
								  "   AND event = 'tier_change' AND recorded_at >= $2 AND details ? 'undoes')"
								  "  AND NOT details ? 'undoes'"
								  "  ORDER BY recorded_at DESC, entry DESC LIMIT 1) l"
								  " WHERE details->>'reason' = 'exceeded' AND (details->>'to')::bigint = $3"
								  " AND (details->>'from')::bigint >= $4"
								  " AND (details->>'from')::numeric + $6 >= $5"),
						   lengthof(types), types, values) == 0 ||
			!withdraw_change(undo, ct_result_text(1)))
			return;
	}
}

/*
 * Record it by an entry of its own, behind those of the demotions that it stands for: see
 * HISTORY.
 */
static void
record(const Undo *undo)
{
	Oid			types[] = {undo->table->account_type, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT8OID, INT8OID, INT8OID, INT8OID, TEXTOID};
	Datum		values[] = {
		undo->account, undo->source_type, undo->source_name, undo->since, Int64GetDatum(undo->taken_back),
		Int64GetDatum(undo->left_alone), Int64GetDatum(undo->contact_limit), Int64GetDatum(undo->new_limit),
		CStringGetTextDatum(ct_caller_name())
	};

	(void) ct_ledger_withdraw(undo->table, undo->account);
	ct_execute_now_nulls(ct_sql(undo->table,
								"INSERT INTO {ledger} (account, recorded_at, event, role, contacts, details)"
								" VALUES ($1, contacts_tier.clock(), 'undo', $9, $5, jsonb_build_object('source_type', $2,"
								"  'source_name', $3, 'since', $4, 'left_alone', $6, 'from', $7, 'to', $8))"),
						 lengthof(types), types, values, undo->records ? NULL : "     n   ");
}

/* The result, of the number of contacts and the tiers */
static Datum
form_result(FunctionCallInfo fcinfo, const Undo *undo)
{
	Datum		values[] = {
		Int64GetDatum(undo->taken_back), Int64GetDatum(undo->left_alone),
		Int64GetDatum(undo->contact_limit), Int64GetDatum(undo->new_limit)
	};
	bool		nulls[] = {false, !undo->records, false, false};
	TupleDesc	tupdesc;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls));
}

PG_FUNCTION_INFO_V1(contacts_tier_undo_promotion);

/*
 * undo_promotion(contacts regclass, account text, source_type text, source_name text,
 *				  since timestamptz) record
 *
 * Of all tables that share the companion tables, makes those contacts of the account non-marketing that
 * the source promoted at the instant or later, and nobody has set since; then the account goes
 * back to its former tier, if it fits, and would have fit all the time without these
 * contacts.  Overdue update dates are applied first.
 *
 * Locks: the contacts, then all slots and the row of the account, until the transaction ends.
 * Errors: 22004, 42501, 55000 (not attached, no subscription), 22023 (before the running period),
 * those of ct_catch_up(), and those of the application's triggers and constraints.
 */
Datum
contacts_tier_undo_promotion(PG_FUNCTION_ARGS)
{
	Undo		undo = {0};

	if (ct_is_dispatched(fcinfo))
		return ct_dispatch(fcinfo);
	ct_check_account_not_null(fcinfo);
	ct_check_not_null(fcinfo, SOURCE_TYPE, "source_type");
	ct_check_not_null(fcinfo, SOURCE_NAME, "source_name");
	ct_check_not_null(fcinfo, SINCE, "since");
	undo.source_type = PG_GETARG_DATUM(SOURCE_TYPE);
	undo.source_name = PG_GETARG_DATUM(SOURCE_NAME);
	undo.since = PG_GETARG_DATUM(SINCE);
	begin_tables(&undo, fcinfo);
	(void) ct_catch_up(undo.table, undo.account, NULL);
	lock_contacts(&undo);
	lock_account(&undo);
	demote_contacts(&undo);
	withdraw_changes(&undo);
	record(&undo);
	end_tables(&undo);
	return form_result(fcinfo, &undo);
}
