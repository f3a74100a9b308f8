/*-------------------------------------------------------------------------
 *
 * floor.c
 *	  A trigger function that does nothing, for the benchmarks.
 *
 * A trigger in C that only returns shows what PostgreSQL itself takes for
 * calling one: no trigger can cost less.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(do_nothing);

/* As a BEFORE ROW trigger it returns the row as it came. */
Datum
do_nothing(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("do_nothing() must be called as a trigger"));
	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		return PointerGetDatum(trigdata->tg_newtuple);
	return PointerGetDatum(trigdata->tg_trigtuple);
}
