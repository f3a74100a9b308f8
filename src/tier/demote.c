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
#include "utils/array.h"
#include "utils/builtins.h"
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
 * The rows that the running statement has promoted, as arrays of the relations
 * and places: they are written, but not counted yet, and no earlier date
 * concerns them.
 */
static void
promoted_rows(const CtUpdateDate *due, Datum *relids, Datum *tids)
{
	int64		count = due->statement == NULL ? 0 : due->statement->count;
	Datum	   *relid = palloc(sizeof(Datum) * Max(count, 1));
	Datum	   *tid = palloc(sizeof(Datum) * Max(count, 1));

	for (int64 i = 0; i < count; i++)
	{
		relid[i] = ObjectIdGetDatum(due->statement->relid[i]);
		tid[i] = PointerGetDatum(&due->statement->tid[i]);
	}
	*relids = PointerGetDatum(construct_array(relid, count, OIDOID, sizeof(Oid), true, TYPALIGN_INT));
	*tids = PointerGetDatum(construct_array(tid, count, TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT));
}

/*
 * The statement that demotes contacts.  $1 is the account, $2 the date, $3 the current time,
 * $4 the date as text, for the source name, and $5 and $6 the rows to be spared.  Every name and operator is
 * qualified, since it runs under the owner's search_path.
 */
static char *
demoting_statement(const CtUpdateDate *due, const CtManaged *managed, const char *condition)
{
	const CtTable *table = managed->table;
	const char *spare = due->statement == NULL ? "" :
		" AND NOT EXISTS (SELECT FROM ROWS FROM (pg_catalog.unnest($5), pg_catalog.unnest($6)) AS p (relid, place)"
		" WHERE p.relid OPERATOR(pg_catalog.=) t.tableoid AND p.place OPERATOR(pg_catalog.=) t.ctid)";

	return psprintf("UPDATE %s AS t SET %s = 'non_marketing', %s = NULL, %s = 'ROLLOVER', %s = $4, %s = $3"
					" WHERE %s%s",
					ct_qualified_name(managed->rel),
					ct_table_column(table, CT_ARG_STATUS),
					ct_table_column(table, CT_ARG_UNTIL),
					ct_table_column(table, CT_ARG_SOURCE_TYPE),
					ct_table_column(table, CT_ARG_SOURCE_NAME),
					ct_table_column(table, CT_ARG_UPDATED_AT),
					condition, spare);
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
	Oid			types[] = {
		managed->table->account_type, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, OIDARRAYOID, TIDARRAYOID
	};
	Datum		values[] = {
		due->account,
		TimestampTzGetDatum(due->date),
		TimestampTzGetDatum(due->now),
		CStringGetTextDatum(timestamptz_to_str(due->date)),
		0,
		0
	};
	bool		outer = applying;
	volatile int64 count = 0;

	promoted_rows(due, &values[4], &values[5]);
	applying = true;
	PG_TRY();
	{
		count = (int64) ct_execute_as_application(managed->table->owner, managed->table->relid,
												  demoting_statement(due, managed, condition),
												  lengthof(types), types, values, true);
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
