/*-------------------------------------------------------------------------
 *
 * margin.c
 *	  Counting with a safety margin, as an application would do it in C.
 *
 * An account has a fixed number of counter rows, of which a session writes one.
 * A promotion is let through while their sum stays below the limit by a margin, and
 * under an advisory lock after that.  The sum misses what others have not committed
 * yet, so this is exact only while the margin exceeds the sessions that are at work.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/rel.h"

/* as in bench.create_margin() */
#define COUNTERS 32
#define MARGIN 1000

#define SUM "SELECT sum(c.used)::bigint, l.contact_limit " \
	"FROM margin_c.tier l JOIN margin_c.counter c USING (account) WHERE account = $1 GROUP BY l.contact_limit"
#define ADD "UPDATE margin_c.counter SET used = used + $3 WHERE account = $1 AND slot = $2"
#define LOCK "SELECT pg_advisory_xact_lock($1)"

PG_FUNCTION_INFO_V1(count_with_margin);

/* A statement, planned once in a session */
static SPIPlanPtr
planned(SPIPlanPtr *plan, const char *statement, int nargs)
{
	static Oid	types[] = {INT4OID, INT4OID, INT4OID};

	if (*plan == NULL)
	{
		*plan = SPI_prepare(statement, nargs, types);
		if (*plan == NULL || SPI_keepplan(*plan) != 0)
			elog(ERROR, "could not prepare \"%s\"", statement);
	}
	return *plan;
}

/* Contacts that the account has room for, by what can be seen */
static int64
visible_room(Datum account)
{
	static SPIPlanPtr sum = NULL;
	bool		isnull;

	if (SPI_execute_plan(planned(&sum, SUM, 1), &account, NULL, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "account without a tier");
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull)) -
		DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

static void
count_change(Datum account, int change)
{
	static SPIPlanPtr add = NULL;
	static SPIPlanPtr lock = NULL;
	Datum		values[] = {account, Int32GetDatum(MyProcPid % COUNTERS), Int32GetDatum(change)};

	if (change > 0 && visible_room(account) < MARGIN + change)
	{
		SPI_execute_plan(planned(&lock, LOCK, 1), &account, NULL, false, 1);
		if (visible_room(account) < change)
			ereport(ERROR,
					errcode(ERRCODE_CHECK_VIOLATION),
					errmsg("contact tier of account %d exceeded", DatumGetInt32(account)));
	}
	SPI_execute_plan(planned(&add, ADD, 3), values, NULL, false, 0);
}

/* An AFTER ROW trigger, which fires only for rows whose status has changed */
Datum
count_with_margin(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	bool		isnull;
	HeapTuple	tuple;
	TupleDesc	tupdesc;
	char	   *status;
	Datum		account;
	bool		is_marketing;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("count_with_margin() must be called as a trigger"));
	SPI_connect();
	tuple = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple : trigdata->tg_trigtuple;
	tupdesc = RelationGetDescr(trigdata->tg_relation);
	account = SPI_getbinval(tuple, tupdesc, SPI_fnumber(tupdesc, "account"), &isnull);
	status = SPI_getvalue(tuple, tupdesc, SPI_fnumber(tupdesc, "marketing_contact_status"));
	is_marketing = status != NULL && strcmp(status, "marketing") == 0;
	if (is_marketing || TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		count_change(account, is_marketing ? 1 : -1);
	SPI_finish();
	return PointerGetDatum(NULL);
}
