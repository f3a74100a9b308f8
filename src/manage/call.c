/*-------------------------------------------------------------------------
 *
 * call.c
 *	  Managing functions on a shard: the trigger of contacts_tier_call, which runs what dispatch.c
 *	  has sent.
 *
 * It runs as the role that inserts, who can only run what he may run anyway.  The name of the role that called
 * on the other node holds only if that role is the owner of the table, or has his privileges (base/caller.c):
 * whoever else the owner lets insert is named himself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"

#include "manage/manage.h"

/* A column of the row as text, NULL where it is null.  Errors: 42703 on a table that is not as attach() creates it. */
static char *
column_text(const TriggerData *trigger, const char *column)
{
	TupleDesc	tupdesc = RelationGetDescr(trigger->tg_relation);
	int			attno = SPI_fnumber(tupdesc, column);

	if (attno <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" does not exist in table \"%s\"", column, RelationGetRelationName(trigger->tg_relation)),
				 ct_errtable(RelationGetRelid(trigger->tg_relation))));
	return SPI_getvalue(trigger->tg_trigtuple, tupdesc, attno);
}

/* The statement of a row, with the shard of the contacts in its place; connected to SPI. */
static char *
statement_of(const TriggerData *trigger)
{
	Oid			types[] = {TEXTOID, OIDOID};
	char	   *call = column_text(trigger, "call");
	char	   *contacts = column_text(trigger, "contacts");
	Datum		values[2];

	if (call == NULL || contacts == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a call must name a statement and a table"),
				 ct_errtable(RelationGetRelid(trigger->tg_relation))));
	values[0] = CStringGetTextDatum(call);
	values[1] = ObjectIdGetDatum(ct_shard_beside(RelationGetRelid(trigger->tg_relation), contacts));
	ct_execute("SELECT pg_catalog.format($1, $2)", lengthof(types), types, values, NULL);
	return ct_result_text(1);
}

/* Run the statement of a row, on behalf of the role that it names if that is to be believed. */
static void
run_statement(const TriggerData *trigger, const char *statement)
{
	Relation	rel = trigger->tg_relation;
	char	   *role = column_text(trigger, "role");
	CtCaller	call;

	/* no role has a longer name */
	if (role == NULL || strlen(role) >= NAMEDATALEN ||
		!object_ownercheck(RelationRelationId, RelationGetRelid(rel), GetUserId()))
	{
		ct_execute(statement, 0, NULL, NULL, NULL);
		return;
	}
	ct_caller_begin(&call, rel->rd_rel->relowner, role);
	PG_TRY();
	{
		ct_execute(statement, 0, NULL, NULL, NULL);
	}
	PG_FINALLY();
	{
		ct_caller_end();
	}
	PG_END_TRY();
}

/*
 * Run the call of a row, and return the row with the result of it: a null of JSON if there is none, so
 * that who calls sees that it ran.
 */
static HeapTuple
with_result(const TriggerData *trigger)
{
	HeapTuple	row = trigger->tg_trigtuple;
	int			column = SPI_fnumber(RelationGetDescr(trigger->tg_relation), "result");
	char	   *statement;
	bool		isnull = true;
	Datum		result = (Datum) 0;

	ct_connect_spi();
	statement = statement_of(trigger);
	run_statement(trigger, statement);
	if (column > 0)
	{
		ct_check_result_type(RelationGetDescr(trigger->tg_relation), column, JSONBOID);
		if (SPI_tuptable != NULL && SPI_processed > 0)
			result = ct_result(1, JSONBOID, &isnull);
		if (isnull)
			result = DirectFunctionCall1(jsonb_in, CStringGetDatum("null"));
		row = SPI_modifytuple(trigger->tg_relation, row, 1, &column, &result, NULL);
	}
	SPI_finish();
	return row;
}

/* The row has done its work. */
static void
delete_row(const TriggerData *trigger)
{
	ct_connect_spi();
	ct_executef("DELETE FROM %s WHERE call_id OPERATOR(pg_catalog.=) %s::pg_catalog.uuid", ct_qualified_name(trigger->tg_relation),
				quote_literal_cstr(column_text(trigger, "call_id")));
	SPI_finish();
}

PG_FUNCTION_INFO_V1(contacts_tier_run_call);

/*
 * run_call(): trigger of contacts_tier_call, for each row that is inserted: before, calls a managing function on
 * the shard of the contacts, with the result in the row; after, deletes the row.
 *
 * Errors: those of the call; 22004, 39P01, 42P01, 42703 on another table.
 */
Datum
contacts_tier_run_call(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = ct_trigger_data(fcinfo, "run_call");

	if (!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ct_wrong_trigger_error("run_call");
	if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
		return PointerGetDatum(with_result(trigger));
	delete_row(trigger);
	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(contacts_tier_shard_beside);

/*
 * shard_beside(shard regclass, contacts text) oid: of version 0.1.0, whose run_call() needs it until the extension is
 * updated, and a dump of it to be restored.  Errors: 42P01.
 */
Datum
contacts_tier_shard_beside(PG_FUNCTION_ARGS)
{
	PG_RETURN_OID(ct_shard_beside(PG_GETARG_OID(0), text_to_cstring(PG_GETARG_TEXT_PP(1))));
}
