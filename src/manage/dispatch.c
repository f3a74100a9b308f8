/*-------------------------------------------------------------------------
 *
 * dispatch.c
 *	  Managing functions for one account of a table that Citus distributes: they run on the shard
 *	  of the account, in the transaction of the caller.
 *
 * The companion tables of a distributed table have one more beside them, contacts_tier_call.  An INSERT into
 * it goes to the shard of the account, as any row of it; there a trigger calls the function for the
 * shard of the contacts (call.c), on behalf of the role that called here, and the result comes back
 * with RETURNING.  So errors keep their SQLSTATE, a rollback takes everything back, and Citus commits
 * on two nodes as for any rows. A second trigger deletes the row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

/*
 * Is argument 0 of a function a table that Citus distributes?
 */
bool
ct_is_dispatched(FunctionCallInfo fcinfo)
{
	return !PG_ARGISNULL(0) && ct_is_distributed(PG_GETARG_OID(0));
}

/*
 * A text as a part of a format of the SQL function format(): a % is doubled.
 */
char *
ct_double_percent(const char *part)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (; *part != '\0'; part++)
		appendStringInfo(&buf, *part == '%' ? "%%%%" : "%c", *part);
	return buf.data;
}

/* A value as a literal in the text of a call, which is a format */
static void
append_literal(StringInfo buf, const char *value, Oid type)
{
	appendStringInfoString(buf, value == NULL ? "NULL" : ct_double_percent(quote_literal_cstr(value)));
	appendStringInfo(buf, "::%s", ct_type_name(type));
}

/* Argument of a function as text, NULL where it is null */
static char *
argument_text(FunctionCallInfo fcinfo, int argument, Oid type)
{
	Oid			output;
	bool		isvarlena;

	if (PG_ARGISNULL(argument))
		return NULL;
	getTypeOutputInfo(type, &output, &isvarlena);
	return OidOutputFunctionCall(output, PG_GETARG_DATUM(argument));
}

/*
 * The call of this function for a shard, whose place is taken by "shard".  "account" replaces the second
 * argument, if that is one.  As the caller, whose types the arguments can be.
 */
static char *
call_of(FunctionCallInfo fcinfo, const char *shard, const char *account)
{
	Oid			function = fcinfo->flinfo->fn_oid;
	int			level = NewGUCNestLevel();
	StringInfoData buf;
	Oid		   *types;
	int			nargs;

	ct_set_exact_text();
	(void) get_func_signature(function, &types, &nargs);
	initStringInfo(&buf);
	appendStringInfo(&buf, "%s(%s::pg_catalog.regclass",
					 quote_qualified_identifier(get_namespace_name(get_func_namespace(function)), get_func_name(function)), shard);
	for (int i = 1; i < nargs; i++)
	{
		appendStringInfoString(&buf, ", ");
		if (account != NULL && i == 1)
			append_literal(&buf, account, TEXTOID);
		else
			append_literal(&buf, argument_text(fcinfo, i, types[i]), types[i]);
	}
	appendStringInfoChar(&buf, ')');
	AtEOXact_GUC(false, level);
	return buf.data;
}

/*
 * Run a call on the shard of an account; its result as JSON, in the given memory context, or NULL.  Errors: those of
 * the call and of ct_call_table(), 55000.
 */
static char *
run_call(const CtManaged *managed, Datum account, const char *call, MemoryContext context)
{
	char	   *result;

	ct_executef("INSERT INTO %s (account, contacts, call, role) VALUES (%s::%s, %s, %s, %s) RETURNING result::pg_catalog.text",
				ct_call_table(managed->table),
				quote_literal_cstr(ct_account_text(managed->table, account)), managed->account_type,
				quote_literal_cstr(ct_qualified_name(managed->rel)), quote_literal_cstr(call), quote_literal_cstr(ct_caller_name()));
	result = ct_result_text(1);
	if (result == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("a call for table \"%s\" did nothing", RelationGetRelationName(managed->rel)),
				 errdetail("Table \"%s.%s\" has lost triggers, or they are disabled.", NameStr(managed->table->names.schema), CT_CALL_TABLE),
				 errhint("Drop that table, and create it again with contacts_tier.repair().")));
	return strcmp(result, "null") == 0 ? NULL : MemoryContextStrdup(context, result);
}

/*
 * Run a command on the shard of an account, in the transaction of the caller, who is the owner.  It is
 * a format, in which %1$s is the shard; one that begins with CALL has no result.  Errors: those of the
 * command.
 */
void
ct_run_on_shard(const CtManaged *managed, Datum account, const char *command)
{
	(void) run_call(managed, account, command, CurrentMemoryContext);
}

/*
 * Columns of a record as in a statement, for jsonb_to_record(), but tables, which are shards elsewhere.
 */
char *
ct_columns_of_json(TupleDesc tupdesc)
{
	StringInfoData columns;

	initStringInfo(&columns);
	for (int i = 0; i < tupdesc->natts; i++)
		if (TupleDescAttr(tupdesc, i)->atttypid != REGCLASSOID)
			appendStringInfo(&columns, "%s%s %s", columns.len > 0 ? ", " : "", quote_identifier(NameStr(TupleDescAttr(tupdesc, i)->attname)),
							 ct_type_name(TupleDescAttr(tupdesc, i)->atttypid));
	return columns.data;
}

/* What shards have refused, as an error; its SQLSTATE is theirs no more. */
static void
check_shards(uint64 count)
{
	for (uint64 i = 0; i < count; i++)
	{
		char	   *success = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);

		if (success == NULL || strcmp(success, "t") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
					 errmsg_internal("%s", SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2))));
	}
}

/*
 * Sum of what a function that was called gives for each shard of a table that Citus distributes, in
 * transactions of their own.  The caller owns the table.
 */
Datum
ct_sum_of_shards(FunctionCallInfo fcinfo)
{
	CtManaged	managed;
	char	   *call = psprintf("SELECT %s", call_of(fcinfo, "%1$L", NULL));
	uint64		count;
	int64		sum = 0;

	ct_manage_begin(&managed, PG_GETARG_OID(0), AccessShareLock);
	count = ct_executef("SELECT success, result FROM contacts_tier_internal.run_on_shards(%u, %s)",
						managed.table->relid, quote_literal_cstr(call));
	check_shards(count);
	for (uint64 i = 0; i < count; i++)
		sum += strtoll(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2), NULL, 10);
	ct_manage_end(&managed);
	PG_RETURN_INT64(sum);
}

/* A JSON value as a value of a type; as the caller. */
static Datum
value_of_json(FunctionCallInfo fcinfo, const char *json, Oid type)
{
	TupleDesc	tupdesc;
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(json)};
	bool		isnull;
	Datum		result;

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
	{
		Oid			input;
		Oid			param;

		ct_connect_spi();
		ct_execute("SELECT $1::pg_catalog.jsonb OPERATOR(pg_catalog.#>>) '{}'", 1, types, values, NULL);
		getTypeInputInfo(type, &input, &param);
		result = OidInputFunctionCall(input, ct_result_text(1), param, -1);
		/* of a type by reference there is none so far */
		SPI_finish();
		return result;
	}
	ct_connect_spi();
	ct_execute(psprintf("SELECT r FROM pg_catalog.jsonb_to_record($1::pg_catalog.jsonb) AS r (%s)", ct_columns_of_json(tupdesc)), 1, types, values, NULL);
	result = SPI_datumTransfer(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull), false, -1);
	SPI_finish();
	return result;
}

/*
 * Call the function that was called for a distributed table, its first two arguments, and an
 * account of it, on the shard of the account instead.  The caller owns the table.
 *
 * Locks: the table as an INSERT does; on the shard those of the function.  Errors: those of the function; 42501, 55000
 * (not attached), 22004.
 */
Datum
ct_dispatch(FunctionCallInfo fcinfo)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			type = get_func_rettype(fcinfo->flinfo->fn_oid);
	CtManaged	managed;
	char	   *call;
	char	   *result;
	Datum		account;

	ct_check_account_not_null(fcinfo);
	call = call_of(fcinfo, "%1$s", ct_account_argument(fcinfo, 1));
	account = ct_manage_begin_account(&managed, fcinfo);
	result = run_call(&managed, account, psprintf(type == VOIDOID ? "SELECT NULL::pg_catalog.jsonb FROM %s" :
												  "SELECT pg_catalog.to_jsonb(r) FROM %s r", call), context);
	ct_manage_end(&managed);
	ct_source_forget();
	if (type == VOIDOID)
		PG_RETURN_VOID();
	if (result == NULL)
		PG_RETURN_NULL();
	return value_of_json(fcinfo, result, type);
}
