/*-------------------------------------------------------------------------
 *
 * trigger.c
 *	  What functions of triggers are called with.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "base/base.h"

/*
 * What the trigger manager has called a function with.  Errors: 39P01 where it was not the
 * trigger manager; "function" is its name, for the message.
 */
TriggerData *
ct_trigger_data(FunctionCallInfo fcinfo, const char *function)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by trigger manager", function)));
	return (TriggerData *) fcinfo->context;
}

/*
 * A trigger has called a function that attach() creates for another kind: 39P01.
 */
void
ct_wrong_trigger_error(const char *function)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("function \"%s\" is called by the wrong kind of trigger", function),
			 errhint("Use contacts_tier.attach() to create the triggers of contacts_tier.")));
}
