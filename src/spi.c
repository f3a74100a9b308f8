/*-------------------------------------------------------------------------
 *
 * spi.c
 *	  Whom the extension acts as, and how it runs SQL.
 *
 * Triggers and managing functions write companion tables as the owner of the
 * contacts table, as referential-integrity triggers do: never as the caller,
 * who needs no privilege on them, and never as the extension's owner, who may
 * be a superuser (design.md, section 5).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"

#include "contacts_tier.h"

/*
 * The statement of our own that runs, of which the triggers trust what it writes; NULL if
 * there is none.  Trust names the statement: what it makes others run is another one,
 * and is not trusted (R2).
 */
static const void *own_statement = NULL;

/*
 * Our bit in the security context, beside those of miscadmin.h: what runs acts as an
 * owner because of us.  PostgreSQL ignores it, hands it on to functions that change the
 * user, and takes it back with the identity when a (sub)transaction is rolled back.
 */
#define SECURITY_ACTS_AS_OWNER	0x4000

/*
 * Act as the owner of a contacts table inside a trigger.
 *
 * The caller's search_path stays in force, since changing it has its cost: who
 * runs SQL so, or evaluates what somebody else has written, sets a safe one for
 * that.  On error, transaction abort restores the identity.
 */
void
ct_act_as_owner(Oid owner, CtIdentity *saved)
{
	GetUserIdAndSecContext(&saved->userid, &saved->sec_context);
	saved->guc_level = 0;
	SetUserIdAndSecContext(owner, saved->sec_context | SECURITY_ACTS_AS_OWNER |
						   SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
}

/*
 * Set a setting until the present GUC nest level ends, for instance when the
 * identity is given back.
 */
void
ct_set_for_now(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
}

/*
 * Set a search_path under which nobody can slip in functions, likewise.
 */
void
ct_set_safe_search_path(void)
{
	ct_set_for_now("search_path", "pg_catalog, pg_temp");
}

/*
 * Act as the owner of a contacts table in a managing function, which runs DDL
 * and may fire what the owner has put on the table: with a safe search_path
 * and, when the caller is somebody else, security-restricted, so that nothing
 * of the owner's can reach the caller's rights or session (as REFRESH
 * MATERIALIZED VIEW does it).
 */
void
ct_manage_as_owner(Oid owner, CtIdentity *saved)
{
	int			context = SECURITY_ACTS_AS_OWNER | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS;

	GetUserIdAndSecContext(&saved->userid, &saved->sec_context);
	if (saved->userid != owner)
		context |= SECURITY_RESTRICTED_OPERATION;
	SetUserIdAndSecContext(owner, saved->sec_context | context);
	saved->guc_level = NewGUCNestLevel();
	ct_set_safe_search_path();
	/* values are compared as text here and there: let none be lost */
	ct_set_for_now("extra_float_digits", "1");
	ct_set_for_now("DateStyle", "ISO, YMD");
}

/*
 * Does what runs act as an owner, because of us?
 */
bool
ct_acts_as_owner(void)
{
	Oid			userid;
	int			context;

	GetUserIdAndSecContext(&userid, &context);
	return (context & SECURITY_ACTS_AS_OWNER) != 0;
}

/*
 * Be the caller again.
 */
void
ct_restore_identity(const CtIdentity *saved)
{
	if (saved->guc_level > 0)
		AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->userid, saved->sec_context);
}

/*
 * Name of the role on whose behalf the session works, whatever identity a
 * trigger or a SECURITY DEFINER function has taken on: provenance records who
 * asked, not who owns the table.
 */
char *
ct_caller_name(void)
{
	return GetUserNameFromId(GetOuterUserId(), false);
}

/*
 * Run one statement in the open SPI connection and return its row count.
 */
uint64
ct_execute(const char *command, int nargs, Oid *types, Datum *values, const char *nulls)
{
	int			result = SPI_execute_with_args(command, nargs, types, values, nulls, false, 0);

	if (result < 0)
		elog(ERROR, "SPI failed on \"%s\": %s", command, SPI_result_code_string(result));
	return SPI_processed;
}

static SPIPlanPtr
prepare(const char *command, int nargs, Oid *types, int options)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(command, nargs, types, options);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed on \"%s\": %s", command, SPI_result_code_string(SPI_result));
	return plan;
}

/*
 * Plan a statement so that it goes by an index that serves it, row by row: where
 * many entries of the index are dead, it meets each of them once, and keeps
 * nothing in memory.  The settings that make it so hold while it is planned, not
 * while it runs and fires triggers.
 */
static SPIPlanPtr
prepare_by_index(const char *command, int nargs, Oid *types)
{
	int			level = NewGUCNestLevel();
	SPIPlanPtr	plan;

	ct_set_for_now("enable_seqscan", "off");
	ct_set_for_now("enable_bitmapscan", "off");
	plan = prepare(command, nargs, types, CURSOR_OPT_GENERIC_PLAN);
	ReleaseCachedPlan(SPI_plan_get_cached_plan(plan), NULL);
	AtEOXact_GUC(false, level);
	return plan;
}

/* Run a statement so that it sees what is committed now. */
static uint64
execute_now(SPIPlanPtr plan, const char *command, Datum *values, const char *nulls)
{
	int			result = SPI_execute_snapshot(plan, values, nulls, GetLatestSnapshot(), InvalidSnapshot,
											  false, true, 0);

	if (result < 0)
		elog(ERROR, "SPI failed on \"%s\": %s", command, SPI_result_code_string(result));
	return SPI_processed;
}

/* Values of parameters, as the executor wants them. */
static ParamListInfo
make_params(int nargs, const Oid *types, const Datum *values)
{
	ParamListInfo params = makeParamList(nargs);

	for (int i = 0; i < nargs; i++)
	{
		params->params[i].value = values[i];
		params->params[i].isnull = false;
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = types[i];
	}
	return params;
}

/*
 * Run one planned statement by the executor instead of SPI, so that it has a name, its
 * QueryDesc, before it starts, by which our triggers can trust it.
 */
static uint64
run_planned(PlannedStmt *statement, const char *command, ParamListInfo params, bool trusted)
{
	QueryDesc  *query = CreateQueryDesc(statement, command, GetActiveSnapshot(), InvalidSnapshot,
										None_Receiver, params, NULL, 0);
	const void *before = own_statement;
	volatile uint64 count = 0;

	own_statement = trusted ? query : NULL;
	PG_TRY();
	{
		ExecutorStart(query, 0);
		ct_executor_run(query, ForwardScanDirection, 0);
		count = query->estate->es_processed;
		ExecutorFinish(query);
		ExecutorEnd(query);
	}
	PG_FINALLY();
	{
		own_statement = before;
	}
	PG_END_TRY();
	FreeQueryDesc(query);
	return count;
}

/*
 * Is this the key of the statement of our own that runs (see CtStatement)?  It writes the
 * status of contacts as it is to be.
 */
bool
ct_is_own_statement(const void *key)
{
	return own_statement != NULL && own_statement == key;
}

/*
 * Run all that a planned command of ours consists of: where the owner has put rules on
 * the table, these have made several statements of it, as in _SPI_execute_plan().  What
 * a rule adds is not ours, so it is neither trusted nor counted.
 */
static uint64
run_as_rewritten(CachedPlanSource *source, CachedPlan *plan, ParamListInfo params)
{
	uint64		count = 0;
	ListCell   *cell;
	ListCell   *query;

	forboth(cell, plan->stmt_list, query, source->query_list)
	{
		PlannedStmt *statement = lfirst_node(PlannedStmt, cell);
		bool		ours = lfirst_node(Query, query)->querySource == QSRC_ORIGINAL;
		uint64		processed;

		CommandCounterIncrement();
		UpdateActiveSnapshotCommandId();
		if (statement->utilityStmt != NULL)
		{
			ProcessUtility(statement, source->query_string, true, PROCESS_UTILITY_QUERY, params, NULL,
						   None_Receiver, NULL);
			continue;
		}
		processed = run_planned(statement, source->query_string, params, ours);
		if (ours)
			count += processed;
	}
	return count;
}

/*
 * Run a statement that writes the status of contacts, as the owner of their table, so
 * that it sees what is committed now.  Our triggers trust it, and nothing that it makes
 * others do.  Triggers of the application fire too, under the search_path of a session
 * of the owner's, never under the caller's; so the statement itself must qualify every
 * name and operator.  "by_index": it is for few contacts, which an index finds.  Returns
 * how many it wrote.
 */
uint64
ct_execute_as_application(const CtTable *table, const char *command,
						  int nargs, Oid *types, Datum *values, bool by_index)
{
	SPIPlanPtr	plan = by_index ? prepare_by_index(command, nargs, types) :
		prepare(command, nargs, types, CURSOR_OPT_GENERIC_PLAN);
	CachedPlan *cached = SPI_plan_get_cached_plan(plan);
	int			level = NewGUCNestLevel();
	uint64		count;

	ct_set_for_now("search_path", ct_owner_search_path(table));
	PushCopiedSnapshot(GetLatestSnapshot());

	/*
	 * planning may have rewritten the command anew: only now the lists belong
	 * together
	 */
	count = run_as_rewritten(linitial(SPI_plan_get_plan_sources(plan)), cached,
							 make_params(nargs, types, values));
	PopActiveSnapshot();
	CommandCounterIncrement();
	AtEOXact_GUC(false, level);
	ReleaseCachedPlan(cached, NULL);	/* the plan is not saved */
	SPI_freeplan(plan);
	return count;
}

/*
 * The same for a statement that must see what is committed now, even where the
 * transaction's snapshot is older: the caller holds a lock that keeps writers
 * out, and counts; or has to find what others have flagged.
 */
uint64
ct_execute_now_nulls(const char *command, int nargs, Oid *types, Datum *values, const char *nulls)
{
	return execute_now(prepare(command, nargs, types, 0), command, values, nulls);
}

/*
 * The same for a statement that only locks or reads, by an index.
 */
uint64
ct_execute_now_by_index(const char *command, int nargs, Oid *types, Datum *values)
{
	return execute_now(prepare_by_index(command, nargs, types), command, values, NULL);
}

uint64
ct_execute_now(const char *command, int nargs, Oid *types, Datum *values)
{
	return ct_execute_now_nulls(command, nargs, types, values, NULL);
}

uint64
ct_execute_latest(const char *command)
{
	return ct_execute_now_nulls(command, 0, NULL, NULL, NULL);
}

/*
 * The same for a statement without parameters that is put together first.
 */
uint64
ct_executef(const char *format,...)
{
	StringInfoData buf;
	va_list		args;
	int			needed;

	initStringInfo(&buf);
	for (;;)
	{
		va_start(args, format);
		needed = appendStringInfoVA(&buf, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&buf, needed);
	}
	return ct_execute(buf.data, 0, NULL, NULL, NULL);
}

/*
 * Run a query that only reads, by the snapshot of the statement that asks.
 */
uint64
ct_query(const char *query)
{
	int			result = SPI_execute(query, true, 0);

	if (result < 0)
		elog(ERROR, "SPI failed on \"%s\": %s", query, SPI_result_code_string(result));
	return SPI_processed;
}

/*
 * A value of the first row of the last result.  It must be of the given type:
 * anybody can make companion tables, with columns of any type.  Errors: 42804.
 */
Datum
ct_result(int column, Oid type, bool *isnull)
{
	if (SPI_processed == 0)
		elog(ERROR, "statement returned no row");
	ct_check_result_type(SPI_tuptable->tupdesc, column, type);
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

/*
 * Check that a column of a result has the type that is expected of it: 42804.
 */
void
ct_check_result_type(TupleDesc tupdesc, int column, Oid type)
{
	if (SPI_gettypeid(tupdesc, column) != type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("\"%s\" of the companion tables must be of type %s, not %s",
						SPI_fname(tupdesc, column), format_type_be(type),
						format_type_be(SPI_gettypeid(tupdesc, column))),
				 errhint("Companion tables are made by contacts_tier.attach().")));
}

/*
 * A boolean that is not NULL, or false.
 */
bool
ct_result_bool(int column)
{
	bool		isnull;
	Datum		value = ct_result(column, BOOLOID, &isnull);

	return !isnull && DatumGetBool(value);
}

/*
 * A bigint that cannot be NULL.
 */
int64
ct_result_int64(int column)
{
	bool		isnull;
	Datum		value = ct_result(column, INT8OID, &isnull);

	if (isnull)
		elog(ERROR, "unexpected null in column %d of a result", column);
	return DatumGetInt64(value);
}

/*
 * A value of any type, as text; NULL for a NULL.
 */
char *
ct_result_text(int column)
{
	if (SPI_processed == 0)
		elog(ERROR, "statement returned no row");
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

/*
 * The label of an enum value.
 */
char *
ct_enum_label(Oid value)
{
	return DatumGetCString(DirectFunctionCall1(enum_out, ObjectIdGetDatum(value)));
}
