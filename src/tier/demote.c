/*-------------------------------------------------------------------------
 *
 * demote.c
 *	  The contacts that an update date makes non-marketing (rule D2).
 *
 * They are written by an ordinary statement as their owner, which fires the triggers of the
 * application; ours trust it (own_statement.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

#include "tier/tier.h"

/* Are update dates being applied?  What they cause others to do does not apply any. */
static bool applying = false;

/*
 * The contacts of the account that the date concerns, as a WHERE clause over the
 * account, $1, and the date, $2: those that were flagged before it.
 */
char *
ct_flagged_contacts(const CtManaged *managed)
{
	const CtTable *table = managed->table;
	const char *updated_at = ct_table_column(table, CT_ARG_UPDATED_AT);
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s AND (%s OPERATOR(pg_catalog.<) $2 OR %s IS NULL)",
					 ct_table_column(table, CT_ARG_UNTIL), updated_at, updated_at);
	if (AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]))
		appendStringInfo(&buf, " AND %s %s $1", ct_table_column(table, CT_ARG_ACCOUNT), ct_quoted_operator(table->account_eq));
	return buf.data;
}

/*
 * So many rows that the running statement has promoted are in an array, at most.  An array
 * cannot have as many as a statement can promote (MaxArraySize).
 */
#define ROWS_OF_ARRAY	(1 << 26)

/* How many arrays are needed for the rows that the running statement has promoted? */
static int
count_arrays(const CtUpdateDate *due)
{
	int64		count = due->statement == NULL ? 0 : due->statement->count;

	return (int) ((count + ROWS_OF_ARRAY - 1) / ROWS_OF_ARRAY);
}

/*
 * Some of the rows that the running statement has promoted, as arrays of the relations
 * and places: they are written, but not counted yet, and no earlier date
 * concerns them.
 */
static void
promoted_rows(const CtUpdateDate *due, int64 first, Datum *relids, Datum *tids)
{
	int			count = (int) Min(due->statement->count - first, ROWS_OF_ARRAY);
	Datum	   *relid = palloc(sizeof(Datum) * count);
	Datum	   *tid = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
	{
		relid[i] = ObjectIdGetDatum(due->statement->relid[first + i]);
		tid[i] = PointerGetDatum(&due->statement->tid[first + i]);
	}
	*relids = PointerGetDatum(construct_array(relid, count, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	*tids = PointerGetDatum(construct_array(tid, count, TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT));
	pfree(relid);
	pfree(tid);
}

/* What leaves out the rows that are in arrays, the first two of which are $5 and $6 */
static char *
spare_clause(int narrays)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < narrays; i++)
		appendStringInfo(&buf, " AND NOT EXISTS (SELECT FROM ROWS FROM (pg_catalog.unnest($%d), pg_catalog.unnest($%d))"
						 " AS p (relid, place)"
						 " WHERE p.relid OPERATOR(pg_catalog.=) t.tableoid AND p.place OPERATOR(pg_catalog.=) t.ctid)",
						 5 + 2 * i, 6 + 2 * i);
	return buf.data;
}

/*
 * The statement that demotes contacts.  $1 is the account, $2 the date, $3 the current time,
 * $4 the date as text, for the source name, and the others the rows to be spared.  Every name and operator is
 * qualified, since it runs under the owner's search_path.
 */
static char *
demoting_statement(const CtUpdateDate *due, const CtManaged *managed, const char *condition)
{
	const CtTable *table = managed->table;

	return psprintf("UPDATE %s AS t SET %s = %s, %s = NULL, %s = 'ROLLOVER', %s = $4, %s = $3"
					" WHERE %s%s",
					ct_qualified_name(managed->rel),
					ct_table_column(table, CT_ARG_STATUS), ct_status_literal(&table->status, false),
					ct_table_column(table, CT_ARG_UNTIL),
					ct_table_column(table, CT_ARG_SOURCE_TYPE),
					ct_table_column(table, CT_ARG_SOURCE_NAME),
					ct_table_column(table, CT_ARG_UPDATED_AT),
					condition, spare_clause(count_arrays(due)));
}

/* An update date as a source name: in UTC, so that it is the same whoever applies it */
static char *
name_of_date(TimestampTz date)
{
	struct pg_tm tm;
	fsec_t		fsec;
	char		name[MAXDATELEN + 1];

	if (timestamp2tm(date, NULL, &tm, &fsec, NULL, NULL) != 0)
		elog(ERROR, "update date is out of range");
	tm.tm_isdst = 0;			/* else no zone is written */
	EncodeDateTime(&tm, fsec, true, 0, NULL, USE_ISO_DATES, name);
	return pstrdup(name);
}

/* Run that statement. */
static int64
demote(const CtUpdateDate *due, const CtManaged *managed, const char *condition)
{
	int			narrays = count_arrays(due);
	int			nargs = 4 + 2 * narrays;
	Oid		   *types = palloc(sizeof(Oid) * nargs);
	Datum	   *values = palloc(sizeof(Datum) * nargs);

	types[0] = managed->table->account_type;
	values[0] = due->account;
	types[1] = types[2] = TIMESTAMPTZOID;
	values[1] = TimestampTzGetDatum(due->date);
	values[2] = TimestampTzGetDatum(due->now);
	types[3] = TEXTOID;
	values[3] = CStringGetTextDatum(name_of_date(due->date));
	for (int i = 0; i < narrays; i++)
	{
		types[4 + 2 * i] = OIDARRAYOID;
		types[5 + 2 * i] = TIDARRAYOID;
		promoted_rows(due, (int64) i * ROWS_OF_ARRAY, &values[4 + 2 * i], &values[5 + 2 * i]);
	}
	return (int64) ct_execute_as_application_by_index(managed->table->owner, managed->table->relid,
													  demoting_statement(due, managed, condition), nargs, types, values);
}

/*
 * Demote the contacts of one of the tables that a condition over $1 and $2 selects, but not
 * those that the running statement has promoted.  Returns how many.  The counters follow at
 * the end of the UPDATE, as for any statement.  Errors: those of the application's triggers.
 *
 * Locks: the contacts, until the transaction ends.
 */
int64
ct_demote_contacts(const CtUpdateDate *due, const CtManaged *managed, const char *condition)
{
	bool		outer = applying;
	volatile int64 count = 0;

	applying = true;
	PG_TRY();
	{
		count = demote(due, managed, condition);
	}
	PG_FINALLY();
	{
		applying = outer;
	}
	PG_END_TRY();
	return count;
}

/*
 * Is an update date being applied in this session?  A trigger of the application that fires
 * for it, and writes contacts, must not apply the next one in between.
 */
bool
ct_is_demoting(void)
{
	return applying;
}
