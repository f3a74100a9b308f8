/*-------------------------------------------------------------------------
 *
 * ineligible.c
 *	  Marketing contacts that are billed and cannot be mailed (rule P3): ineligible(), and what
 *	  the rollover does about them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "manage/manage.h"

/* Which contacts of a table these are: what stands behind WHERE */
static char *
are_ineligible(const CtTable *table)
{
	return psprintf("%s%s%s",
					ct_status_condition(&table->status, ct_table_column(table, CT_ARG_STATUS)), ct_and_condition(table->exists, true),
					ct_and_condition(table->eligible, false));
}

/* The primary key of a contact as text, that of several columns as a row */
static char *
key_as_text(const CtManaged *managed)
{
	List	   *columns = ct_primary_key(managed->rel);
	StringInfoData buf;
	ListCell   *cell;

	if (columns == NIL)
		return "NULL::text";
	initStringInfo(&buf);
	foreach(cell, columns)
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "",
						 quote_identifier(get_attname(managed->table->relid, lfirst_int(cell), false)));
	return psprintf(list_length(columns) == 1 ? "%s::text" : "ROW(%s)::text", buf.data);
}

static char *
ineligible_query(const CtReport *report)
{
	const CtTable *table = report->table->table;
	bool		has_account = AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]);
	const char *key = key_as_text(report->table);

	return psprintf("SELECT %s::text, %s, %s, %s::text, %s::text, %s FROM %s WHERE %s AND %s%s ORDER BY 1, 2",
					has_account ? ct_table_column(table, CT_ARG_ACCOUNT) : quote_literal_cstr(CT_DEFAULT_ACCOUNT), key,
					ct_table_column(table, CT_ARG_UNTIL), ct_table_column(table, CT_ARG_SOURCE_TYPE),
					ct_table_column(table, CT_ARG_SOURCE_NAME), ct_table_column(table, CT_ARG_UPDATED_AT),
					ct_qualified_name(report->table->rel), table->eligible != NULL ? "true" : "false", are_ineligible(table),
					!has_account ? "" : ct_report_account(report, "AND", ct_table_column(table, CT_ARG_ACCOUNT)));
}

PG_FUNCTION_INFO_V1(contacts_tier_ineligible);

/*
 * ineligible(contacts regclass, account text): a row for each contact
 *
 * Locks: ACCESS SHARE.  Errors: 22004, 42501, 42P01, 55000, those of the account's input function,
 * and of the condition.
 */
Datum
contacts_tier_ineligible(PG_FUNCTION_ARGS)
{
	static const CtReportKind ineligible = {.query = ineligible_query,.reads_table = true};

	ct_check_not_null(fcinfo, 0, "contacts");
	ct_report(fcinfo, &ineligible);
	return (Datum) 0;
}

/* The contacts of an account, $1, that the rollover flags: what stands behind WHERE */
static char *
are_to_be_flagged(const CtTable *table)
{
	return psprintf("%s IS NULL AND %s%s", ct_table_column(table, CT_ARG_UNTIL), are_ineligible(table),
					!AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]) ? "" :
					ct_sqlf(table, " AND %s {=} $1", ct_table_column(table, CT_ARG_ACCOUNT)));
}

/*
 * Where full batches of the contacts end that ct_flag_ineligible() would flag: the keys of the
 * last ones, as lists of literals, in order.  "columns" are those of a key, "literals" formats
 * them.  The result is in "context".  Locks: none of rows.  Errors: those of the condition.
 */
List *
ct_ineligible_batches(const CtManaged *managed, Datum account, int size, const char *columns,
					  const char *literals, MemoryContext context)
{
	Oid			types[] = {managed->table->account_type, INT8OID};
	Datum		values[] = {account, Int64GetDatum(size)};
	uint64		count = ct_execute_now(psprintf("SELECT concat_ws(', ', %s) FROM (SELECT %s, row_number() OVER (ORDER BY %s)"
												"  AS contacts_tier_number FROM %s WHERE %s) c"
												" WHERE contacts_tier_number %% $2 = 0 ORDER BY contacts_tier_number",
												literals, columns, columns, ct_qualified_name(managed->rel),
												are_to_be_flagged(managed->table)),
									   lengthof(types), types, values);
	MemoryContext old = MemoryContextSwitchTo(context);
	List	   *ends = NIL;

	for (uint64 i = 0; i < count; i++)
		ends = lappend(ends, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	MemoryContextSwitchTo(old);
	return ends;
}

/*
 * Flag the contacts of an account that have ceased to be eligible without being written, as by a
 * condition on time, in a range of keys, a condition to be put behind the others.  They become
 * non-marketing on the next update date after "now".  Our triggers trust the statement.
 *
 * Locks: the contacts, and a slot of the account; it must not hold others.  Errors: those of the
 * application's triggers, and of the condition.
 */
void
ct_flag_ineligible(const CtManaged *managed, Datum account, TimestampTz now, const char *range)
{
	const CtTable *table = managed->table;
	Oid			types[] = {table->account_type, TIMESTAMPTZOID};
	Datum		values[] = {account, TimestampTzGetDatum(now)};

	if (table->eligible == NULL)
		return;
	ct_execute_as_application(table->owner, table->relid,
							  psprintf("UPDATE %s SET %s = true, %s = 'ROLLOVER', %s = 'not eligible', %s = $2 WHERE %s%s",
									   ct_qualified_name(managed->rel),
									   ct_table_column(table, CT_ARG_UNTIL), ct_table_column(table, CT_ARG_SOURCE_TYPE),
									   ct_table_column(table, CT_ARG_SOURCE_NAME), ct_table_column(table, CT_ARG_UPDATED_AT),
									   are_to_be_flagged(table), range),
							  lengthof(types), types, values);
}
