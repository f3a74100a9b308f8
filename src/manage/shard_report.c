/*-------------------------------------------------------------------------
 *
 * shard_report.c
 *	  Reports on all accounts of a table that Citus distributes, where their query is more than it can plan.
 *
 * It is one query over all shards, in the transaction of the caller, as for any other report:
 * Citus hands it down, since each account is on one of them, with a function in it that tells of each
 * account what the same report says on the shard (report_on_shard()).  There the shard is a table as
 * any other.  The function runs the report once for all accounts of a shard.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

/* Columns of rows that shards gave: what is a table is the whole, not a shard. */
static char *
result_list(TupleDesc tupdesc, Oid whole)
{
	StringInfoData columns;

	initStringInfo(&columns);
	for (int i = 0; i < tupdesc->natts; i++)
		if (TupleDescAttr(tupdesc, i)->atttypid == REGCLASSOID)
			appendStringInfo(&columns, "%s%u::pg_catalog.regclass", i > 0 ? ", " : "", whole);
		else
			appendStringInfo(&columns, "%sr.%s", i > 0 ? ", " : "", quote_identifier(NameStr(TupleDescAttr(tupdesc, i)->attname)));
	return columns.data;
}

/*
 * The query of a report on all accounts.  "accounts" is a query of them that Citus can hand down, by
 * placeholders: each account once, with the OID of a shard that has a row of it.  The rows of an
 * account keep their order.
 */
char *
ct_shards_query(const CtReport *report, const char *accounts)
{
	TupleDesc	tupdesc = ((ReturnSetInfo *) report->fcinfo->resultinfo)->setDesc;

	return psprintf("SELECT %s FROM (SELECT s.account, contacts_tier_internal.report_on_shard(s.shard, %s, %s, s.account) AS rows FROM (%s) s) a,"
					" pg_catalog.jsonb_array_elements(a.rows) WITH ORDINALITY e (row, number),"
					" pg_catalog.jsonb_to_record(e.row) AS r (%s) ORDER BY a.account, e.number",
					result_list(tupdesc, report->table->table->relid), quote_literal_cstr(ct_qualified_name(report->table->rel)),
					quote_literal_cstr(get_func_name(report->fcinfo->flinfo->fn_oid)), ct_sql(report->table->table, accounts),
					ct_columns_of_json(tupdesc));
}

/* What a report says of an account */
typedef struct AccountRows
{
	char	   *account;
	Datum		rows;			/* a JSON array */
} AccountRows;

/* What it says of all accounts of a shard of the contacts; remembered for a statement. */
typedef struct ShardReport
{
	Oid			shard;
	Oid			beside;			/* the shard by which it was found last */
	int			naccounts;
	AccountRows *accounts;		/* by their texts */
	MemoryContext context;
} ShardReport;

/* For qsort() and bsearch() */
static int
compare_accounts(const void *a, const void *b)
{
	return strcmp(((const AccountRows *) a)->account, ((const AccountRows *) b)->account);
}

/* Remember the result of the report. */
static void
remember_rows(ShardReport *report)
{
	MemoryContext old = MemoryContextSwitchTo(report->context);

	report->naccounts = SPI_processed;
	report->accounts = MemoryContextAllocHuge(report->context, sizeof(AccountRows) * Max(SPI_processed, 1));
	for (int i = 0; i < report->naccounts; i++)
	{
		bool		isnull;
		Datum		rows = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull);

		/* in the context that is current */
		report->accounts[i].account = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		report->accounts[i].rows = datumCopy(rows, false, -1);
	}
	qsort(report->accounts, report->naccounts, sizeof(AccountRows), compare_accounts);
	MemoryContextSwitchTo(old);
}

/* Run a report of the extension, by its name, on a shard. */
static void
run_report(ShardReport *report, Oid shard, const char *name)
{
	Oid			types[] = {REGCLASSOID};
	Datum		values[] = {ObjectIdGetDatum(shard)};

	report->shard = InvalidOid;
	MemoryContextReset(report->context);
	ct_connect_spi();
	if (SPI_execute_with_args(psprintf("SELECT r.account, pg_catalog.jsonb_agg(r ORDER BY r.ordinality)"
									   " FROM contacts_tier.%s($1) WITH ORDINALITY r GROUP BY r.account", quote_identifier(name)),
							  lengthof(types), types, values, NULL, true, 0) < 0)
		elog(ERROR, "SPI failed on report \"%s\"", name);
	ct_check_result_type(SPI_tuptable->tupdesc, 1, TEXTOID);
	ct_check_result_type(SPI_tuptable->tupdesc, 2, JSONBOID);
	remember_rows(report);
	SPI_finish();
	report->shard = shard;
}

/* The shard of the contacts beside a shard of a companion table: there can be two of them, and rows of both in turn. */
static Oid
shard_of_contacts(ShardReport *report, Oid beside, Datum contacts)
{
	if (report->beside == beside && OidIsValid(report->shard))
		return report->shard;
	report->beside = beside;
	return ct_shard_beside(beside, TextDatumGetCString(contacts));
}

/* What is remembered for the statement at work, empty at first */
static ShardReport *
remembered(FmgrInfo *function)
{
	ShardReport *report = function->fn_extra;

	if (report != NULL)
		return report;
	report = MemoryContextAllocZero(function->fn_mcxt, sizeof(ShardReport));
	report->context = AllocSetContextCreate(function->fn_mcxt, "contacts_tier report on a shard", ALLOCSET_DEFAULT_SIZES);
	function->fn_extra = report;
	return report;
}

PG_FUNCTION_INFO_V1(contacts_tier_report_on_shard);

/*
 * report_on_shard(shard regclass, contacts text, report name, account anyelement) jsonb: the rows of a report about
 * an account, as an array; null if there are none.  "shard" is a shard that has the account, of a companion table.
 *
 * As the caller.  Errors: those of the report, which is given the shard of the contacts alone; 42P01.
 */
Datum
contacts_tier_report_on_shard(PG_FUNCTION_ARGS)
{
	ShardReport *report = remembered(fcinfo->flinfo);
	AccountRows key = {.account = ct_account_argument(fcinfo, 3)};
	AccountRows *found;
	Oid			shard;

	shard = shard_of_contacts(report, PG_GETARG_OID(0), PG_GETARG_DATUM(1));
	if (report->shard != shard)
		run_report(report, shard, NameStr(*PG_GETARG_NAME(2)));
	found = bsearch(&key, report->accounts, report->naccounts, sizeof(AccountRows), compare_accounts);
	if (found == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(found->rows);
}
