/*-------------------------------------------------------------------------
 *
 * function.c
 *	  Functions of ours: which triggers and defaults of a relation run them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "contact/contact.h"

/* Names of the status columns where "columns" does not say otherwise; no options */
const char *const ct_default_columns[CT_NARGS] = {
	[CT_ARG_STATUS] = "marketing_contact_status",
	[CT_ARG_UNTIL] = "marketing_contact_until_next_update",
	[CT_ARG_SOURCE_TYPE] = "marketing_contact_status_source_type",
	[CT_ARG_SOURCE_NAME] = "marketing_contact_status_source_name",
	[CT_ARG_UPDATED_AT] = "marketing_contact_status_updated_at",
	[CT_ARG_OPTIONS] = ""
};

/*
 * They are in a schema of their own, which CREATE EXTENSION refuses to share: nobody
 * else's function passes for one of them.
 */
static const char *const functions[] = {
	[CT_TRIGGER_STATUS] = "maintain_status",
	[CT_TRIGGER_COUNT] = "count_contact",
	[CT_TRIGGER_APPLY] = "apply_counts",
	[CT_TRIGGER_TRUNCATE] = "count_truncate",
	[CT_TRIGGER_EXISTS] = "exists_condition",
	[CT_TRIGGER_ELIGIBLE] = "eligible_condition",
	[CT_IS_GIVEN] = "is_given",
	[CT_GIVEN_FLAG] = "given_flag",
	[CT_GIVEN_MARKETING] = "given_marketing",
	[CT_LIBRARY_LOADED] = "library_loaded",
	[CT_DEFAULT_STATUS] = "default_status",
	[CT_DEFAULT_UNTIL] = "default_until_next_update",
	[CT_DEFAULT_SOURCE_TYPE] = "default_source_type",
	[CT_DEFAULT_SOURCE_NAME] = "default_source_name",
	[CT_DEFAULT_UPDATED_AT] = "default_updated_at",
	[CT_DEFAULT_MARKETING] = "default_marketing"
};

#define NKINDS	((int) lengthof(functions))

/* Their OIDs, as long as no name has changed */
static Oid	function_oids[NKINDS];
static bool functions_known = false;
static uint64 functions_known_at;

/* By name and argument types; the change count is read first: see ct_name_changes(). */
static void
look_up_functions(void)
{
	uint64		changes = ct_name_changes();
	Oid			namespace = get_namespace_oid("contacts_tier_internal", true);
	Oid			arguments[] = {INT4OID, BOOLOID};

	for (int i = CT_TRIGGER_STATUS; i < NKINDS; i++)
	{
		int			nargs = i == CT_IS_GIVEN ? 2 : 0;

		function_oids[i] = !OidIsValid(namespace) ? InvalidOid :
			GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
							CStringGetDatum(functions[i]),
							PointerGetDatum(buildoidvector(arguments, nargs)),
							ObjectIdGetDatum(namespace));
	}
	functions_known_at = changes;
	functions_known = true;
}

/*
 * Look the functions up, unless they are known.  Call this before a loop over the triggers
 * of a relation: a look-up may process messages, and so replace them.
 */
static void
know_functions(void)
{
	if (!functions_known || functions_known_at != ct_name_changes())
		look_up_functions();
}

/* Which of the known functions is this, if any?  Looks nothing up. */
static CtFunction
known_function(Oid function)
{
	/* without the extension, none is ours */
	for (int i = CT_TRIGGER_STATUS; i < NKINDS && OidIsValid(function); i++)
		if (function_oids[i] == function)
			return (CtFunction) i;
	return CT_OTHER_FUNCTION;
}

/*
 * Which of our functions is this, if any?
 */
CtFunction
ct_function(Oid function)
{
	know_functions();
	return known_function(function);
}

/*
 * The OID of one of our functions; invalid where the extension is not installed.
 */
Oid
ct_function_oid(CtFunction function)
{
	know_functions();
	return function_oids[function];
}

/*
 * Does a column get its default from us?  A default that somebody has wrapped into another
 * expression is the application's own.
 */
bool
ct_has_our_default(Relation rel, AttrNumber attno)
{
	Node	   *expression = build_column_default(rel, attno);

	return expression != NULL && IsA(expression, FuncExpr) &&
		ct_function(((FuncExpr *) expression)->funcid) >= CT_DEFAULT_STATUS;
}

/*
 * Would the trigger fire in this session?  As TriggerEnabled() decides, but for columns and
 * WHEN clauses.
 */
bool
ct_fires(const Trigger *trigger)
{
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA || trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
	return trigger->tgenabled == TRIGGER_FIRES_ON_ORIGIN || trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
}

/* The first trigger that runs one of our functions, or NULL.  Looks nothing up. */
static Trigger *
find_known_trigger(TriggerDesc *triggers, CtFunction kind)
{
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (known_function(triggers->triggers[i].tgfoid) == kind)
			return &triggers->triggers[i];
	return NULL;
}

/*
 * The first trigger of a relation that runs one of our functions, or NULL.  What is
 * returned holds until something is looked up or locked: see ct_trigger_args().
 */
Trigger *
ct_find_trigger(Relation rel, CtFunction kind)
{
	know_functions();
	return find_known_trigger(rel->trigdesc, kind);
}

/*
 * The trigger arguments as attach() knows them: what is not given at the end is
 * a column of the default name.  Short argument lists are worth it, since the
 * executor copies them for each statement.  The result is palloc'd: what was
 * given may belong to a relcache entry that is about to be rebuilt.
 */
void
ct_complete_args(int nargs, char **given, char *args[CT_NARGS])
{
	for (int i = 0; i < CT_NARGS; i++)
		args[i] = pstrdup(i < nargs ? given[i] : ct_default_columns[i]);
}

/*
 * Copies of the arguments of that trigger.  False if there is none, or it has not
 * as many as attach() gives.
 */
bool
ct_trigger_args(Relation rel, CtFunction kind, char *args[CT_NARGS])
{
	Trigger    *trigger = ct_find_trigger(rel, kind);

	if (trigger == NULL || !ct_right_args(trigger->tgnargs))
		return false;
	ct_complete_args(trigger->tgnargs, trigger->tgargs, args);
	return true;
}
