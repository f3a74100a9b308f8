/*-------------------------------------------------------------------------
 *
 * spi.c
 *	  Whom the extension acts as, and how it runs SQL.
 *
 * Triggers and managing functions write companion tables as the owner of the
 * contacts table, as referential-integrity triggers do: never as the caller,
 * who needs no privilege on them, and never as the extension's owner, who may
 * be a superuser (rule R3).
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

#include "base/base.h"

/*
 * Our bit in the security context, beside those of miscadmin.h: what runs acts as an
 * owner because of us.  PostgreSQL ignores it, hands it on to functions that change the
 * user, and restores it with the identity when a (sub)transaction is rolled back.
 */
#define SECURITY_ACTS_AS_OWNER	0x4000

/*
 * Act as the owner of a contacts table inside a trigger.
 *
 * The caller's search_path stays in force, since changing it has its cost.  A caller that
 * runs SQL so, or evaluates what others have written, sets a safe one for that.  On error,
 * transaction abort restores the identity.
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
 * Set a setting until the current GUC nest level ends, for instance when the
 * identity is restored.  GUC_ACTION_SAVE is what SET in a function definition uses; an
 * error restores the old value, too (AtEOXact_GUC()).
 */
void
ct_set_for_now(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
}

/*
 * Likewise, set a search_path under which nobody can slip in functions: pg_temp is
 * named, and last, since it would come first for tables and types if it were not
 * (recomputeNamespacePath()).  For functions and operators it is never searched.
 */
void
ct_set_safe_search_path(void)
{
	ct_set_for_now("search_path", "pg_catalog, pg_temp");
}

/*
 * Likewise, have values written as text so that nothing of them is lost, and read in the same
 * way whatever the caller has set: values are compared and passed as text here and there.
 */
void
ct_set_exact_text(void)
{
	ct_set_for_now("extra_float_digits", "1");
	ct_set_for_now("DateStyle", "ISO, YMD");
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
	ct_set_exact_text();
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
 * Be the caller again.  Identities are restored in the reverse order of their being saved.
 */
void
ct_restore_identity(const CtIdentity *saved)
{
	if (saved->guc_level > 0)
		AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->userid, saved->sec_context);
}

/*
 * Connect to SPI, until SPI_finish(); an error ends it too.
 */
void
ct_connect_spi(void)
{
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
}

/*
 * Run one statement in the open SPI connection and return its row count.  "nulls" has an
 * 'n' for each parameter that is null and a blank for the others, as SPI wants it; NULL
 * where none is.  It sees what the snapshot of the transaction shows.
 */
uint64
ct_execute(const char *command, int nargs, Oid *types, Datum *values, const char *nulls)
{
	int			result = SPI_execute_with_args(command, nargs, types, values, nulls, false, 0);

	if (result < 0)
		elog(ERROR, "SPI failed on \"%s\": %s", command, SPI_result_code_string(result));
	return SPI_processed;
}

/*
 * Run statements without parameters one after the other, each by itself: Citus hands a command
 * on as it comes, and takes one at a time.
 */
void
ct_execute_each(List *commands)
{
	ListCell   *cell;

	foreach(cell, commands)
		ct_execute(lfirst(cell), 0, NULL, NULL, NULL);
}

/*
 * Plan a statement in the open SPI connection.  "options" are CURSOR_OPT_ bits.  The plan
 * goes with the connection unless it is saved.
 */
SPIPlanPtr
ct_prepare(const char *command, int nargs, Oid *types, int options)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(command, nargs, types, options);

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed on \"%s\": %s", command, SPI_result_code_string(SPI_result));
	return plan;
}

/*
 * The plan of a prepared statement that goes by an index that serves it, row by row: where
 * many entries of the index are dead, it meets each of them once, and holds
 * nothing in memory.  The settings that make it so hold while it is planned, not
 * while it runs and fires triggers.  The caller releases it.
 */
CachedPlan *
ct_plan_by_index(SPIPlanPtr plan)
{
	int			level = NewGUCNestLevel();
	CachedPlan *cached;

	ct_set_for_now("enable_seqscan", "off");
	ct_set_for_now("enable_bitmapscan", "off");
	cached = SPI_plan_get_cached_plan(plan);
	AtEOXact_GUC(false, level);
	return cached;
}

/*
 * Prepare a statement that is planned so.
 */
SPIPlanPtr
ct_prepare_by_index(const char *command, int nargs, Oid *types)
{
	SPIPlanPtr	plan = ct_prepare(command, nargs, types, CURSOR_OPT_GENERIC_PLAN);

	ReleaseCachedPlan(ct_plan_by_index(plan), NULL);
	return plan;
}

/*
 * Run a statement so that it sees what is committed now.  SPI_execute_snapshot() uses the
 * snapshot that it is given, at every isolation level; SPI_execute() would use that of the
 * transaction above READ COMMITTED.
 */
static uint64
execute_now(SPIPlanPtr plan, const char *command, Datum *values, const char *nulls)
{
	int			result = SPI_execute_snapshot(plan, values, nulls, GetLatestSnapshot(), InvalidSnapshot,
											  false, true, 0);

	if (result < 0)
		elog(ERROR, "SPI failed on \"%s\": %s", command, SPI_result_code_string(result));
	return SPI_processed;
}

/*
 * The same for a statement that must see what is committed now, even where the
 * transaction's snapshot is older: the caller holds a lock that excludes
 * writers, and counts; or has to find what others have flagged.
 */
uint64
ct_execute_now_nulls(const char *command, int nargs, Oid *types, Datum *values, const char *nulls)
{
	return execute_now(ct_prepare(command, nargs, types, 0), command, values, nulls);
}

/*
 * The same for a statement that only locks or reads, by an index: the settings that its plan
 * needs are not in force while it runs.
 */
uint64
ct_execute_now_by_index(const char *command, int nargs, Oid *types, Datum *values)
{
	return execute_now(ct_prepare_by_index(command, nargs, types), command, values, NULL);
}

/* The same where no parameter is null. */
uint64
ct_execute_now(const char *command, int nargs, Oid *types, Datum *values)
{
	return ct_execute_now_nulls(command, nargs, types, values, NULL);
}

/* The same without parameters. */
uint64
ct_execute_latest(const char *command)
{
	return ct_execute_now_nulls(command, 0, NULL, NULL, NULL);
}

/*
 * psprintf() for a list of arguments.
 */
char *
ct_vpsprintf(const char *format, va_list args)
{
	StringInfoData buf;

	initStringInfo(&buf);
	for (;;)
	{
		va_list		copy;
		int			needed;

		va_copy(copy, args);
		needed = appendStringInfoVA(&buf, format, copy);
		va_end(copy);
		if (needed == 0)
			return buf.data;
		enlargeStringInfo(&buf, needed);
	}
}

/*
 * As ct_execute(), for a statement without parameters that is put together first.  The
 * caller quotes what it fills in.
 */
uint64
ct_executef(const char *format,...)
{
	va_list		args;
	char	   *command;

	va_start(args, format);
	command = ct_vpsprintf(format, args);
	va_end(args);
	return ct_execute(command, 0, NULL, NULL, NULL);
}

/*
 * Run a query that only reads, by the snapshot of the statement that calls us: SPI takes
 * no new one for a query that is read-only.  Returns the count of rows.
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
 * A value of the first row of the last result; columns count from 1.  It must be of the
 * given type: anybody can create companion tables, with columns of any type.  The value
 * is in memory of the SPI connection.  Errors: 42804.
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
				 errhint("Companion tables must be as contacts_tier.attach() creates them.")));
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
 * A value of any type, as text; NULL for a NULL.  The text is in memory of the SPI
 * connection.
 */
char *
ct_result_text(int column)
{
	if (SPI_processed == 0)
		elog(ERROR, "statement returned no row");
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);
}

/*
 * The label of an enum value, as stored in pg_enum.  Errors: 22P03 where it is none.
 */
char *
ct_enum_label(Oid value)
{
	return DatumGetCString(DirectFunctionCall1(enum_out, ObjectIdGetDatum(value)));
}
