/*-------------------------------------------------------------------------
 *
 * policy.c
 *	  The policy of an account: what happens at its limit, what is announced and
 *	  recorded, its dates and its defaults.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "manage/manage.h"

/* Arguments of set_policy() */
enum
{
	POL_CONTACTS, POL_ACCOUNT, POL_ON_EXCEED, POL_GRACE, POL_THRESHOLDS,
	POL_SOURCE_DEFAULTS, POL_TIME_ZONE, POL_AUTO_DOWNGRADE, POL_BILLING_CYCLE,
	POL_RECORD_ACTIVITY, POL_MAX_LIMIT, POL_SOURCE_POLICIES, POL_PRORATION, POL_BRAKE, POL_NARGS
};

/*
 * Refuse a negative grace: 22023.
 */
void
ct_check_grace(int64 grace)
{
	if (grace < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"grace\" must not be negative")));
}

/*
 * A time zone must be known to PostgreSQL: 22023 here, rather than deep in a statement.
 */
void
ct_check_time_zone(Datum time_zone)
{
	(void) DirectFunctionCall2(timestamptz_zone, time_zone, TimestampTzGetDatum(0));
}

/*
 * Thresholds are percentages of the limit, in ascending order, so there are no more than
 * CT_MAX_THRESHOLDS of them.  Errors: 22023.
 */
static void
check_thresholds(ArrayType *thresholds)
{
	Datum	   *values;
	bool	   *nulls;
	int			count;
	int			last = 0;

	if (ARR_NDIM(thresholds) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"thresholds\" must be a one-dimensional array")));
	deconstruct_array(thresholds, INT4OID, sizeof(int32), true, TYPALIGN_INT, &values, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i] || DatumGetInt32(values[i]) <= last || DatumGetInt32(values[i]) > 100)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("thresholds must be percentages between 1 and 100 in ascending order"),
					 errdetail("The thresholds are %s.",
							   OidOutputFunctionCall(F_ARRAY_OUT, PointerGetDatum(thresholds)))));
		last = DatumGetInt32(values[i]);
	}
}

/* Say what is wrong with the default of one source type; "status" is NULL for a null. */
pg_noreturn static void
source_default_error(const char *source_type, const char *status, bool exists, bool changeable)
{
	if (!exists)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("source type \"%s\" does not exist", source_type),
				 errhint("Table contacts_tier.source_type lists the source types.")));
	if (!changeable)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("default of source type \"%s\" cannot be changed", source_type)));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 status != NULL ?
			 errmsg("invalid status \"%s\" for source type \"%s\"", status, source_type) :
			 errmsg("status for source type \"%s\" must not be null", source_type),
			 errhint("The status must be \"marketing\" or \"non_marketing\".")));
}

/*
 * Source defaults are an object from source types that an account may change to
 * a status.  Errors: 22023, 42704.
 */
static void
check_source_defaults(const CtTable *table, Datum source_defaults)
{
	Oid			types[] = {JSONBOID};

	if (!JB_ROOT_IS_OBJECT(DatumGetJsonbP(source_defaults)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"source_defaults\" must be a JSON object")));
	if (ct_execute(ct_sql(table, "SELECT d.key, d.value, s.name IS NOT NULL, coalesce(s.changeable, false)"
						  " FROM jsonb_each_text($1) d LEFT JOIN {source_type} s ON s.name = d.key"
						  " WHERE s.changeable IS NOT TRUE OR d.value IS NULL"
						  "  OR d.value NOT IN ('marketing', 'non_marketing')"
						  " ORDER BY 1 LIMIT 1"), 1, types, &source_defaults, NULL) > 0)
		source_default_error(ct_result_text(1), ct_result_text(2), ct_result_bool(3), ct_result_bool(4));
}

/*
 * Source policies are an object from source types to policies; the catalogue need not have the source
 * types.  Errors: 22023.
 */
static void
check_source_policies(Datum source_policies)
{
	Oid			types[] = {JSONBOID};
	char	   *policy;

	if (!JB_ROOT_IS_OBJECT(DatumGetJsonbP(source_policies)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"source_policies\" must be a JSON object")));
	if (ct_execute("SELECT d.key, d.value #>> '{}' FROM jsonb_each($1) d"
				   " WHERE jsonb_typeof(d.value) <> 'string' OR d.value #>> '{}' NOT IN ('upgrade', 'block', 'cap')"
				   " ORDER BY 1 LIMIT 1", 1, types, &source_policies, NULL) == 0)
		return;
	policy = ct_result_text(2);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 policy == NULL ?
			 errmsg("policy for source type \"%s\" must not be null", ct_result_text(1)) :
			 errmsg("invalid policy \"%s\" for source type \"%s\"", policy, ct_result_text(1)),
			 errhint("The policy must be \"upgrade\", \"block\" or \"cap\".  Leave a source type out if it is to follow the policy of the account.")));
}

/* Errors: 22023. */
static void
check_proration(const char *proration)
{
	if (strcmp(proration, "prorated") != 0 && strcmp(proration, "full") != 0 && strcmp(proration, "none") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid proration \"%s\"", proration),
				 errhint("The proration must be \"prorated\", \"full\" or \"none\".")));
}

/*
 * A brake has a window, and a limit, or limits of source types, or both; an empty object is none.
 * Returns what is wrong with it.
 */
static char *
find_brake_fault(Datum brake)
{
	Oid			types[] = {JSONBOID};

	if (ct_execute("SELECT format('unknown member \"%s\"', k) FROM jsonb_object_keys($1) k"
				   " WHERE k NOT IN ('window', 'limit', 'sources')"
				   " UNION ALL SELECT 'member \"window\" must be a text' WHERE jsonb_typeof($1->'window') IS DISTINCT FROM 'string'"
				   " UNION ALL SELECT 'it needs \"limit\" or \"sources\"' WHERE NOT $1 ?| '{limit,sources}'"
				   " UNION ALL SELECT 'member \"sources\" must be an object' WHERE $1 ? 'sources' AND jsonb_typeof($1->'sources') <> 'object'"
				   " UNION ALL SELECT format('%s must be a number of promotions', n.name)"
				   "  FROM (SELECT 'member \"limit\"' AS name, $1->'limit' AS value WHERE $1 ? 'limit'"
				   "   UNION ALL SELECT format('limit of source type \"%s\"', s.key), s.value"
				   "   FROM jsonb_each(CASE WHEN jsonb_typeof($1->'sources') = 'object' THEN $1->'sources' ELSE '{}' END) s) n"
				   "  WHERE CASE WHEN jsonb_typeof(n.value) = 'number' THEN n.value::numeric <> trunc(n.value::numeric)"
				   "   OR n.value::numeric NOT BETWEEN 0 AND 1e15 ELSE true END"
				   " LIMIT 1", 1, types, &brake, NULL) == 0)
		return NULL;
	return ct_result_text(1);
}

/*
 * Refuse a brake that is none: 22023, and errors of the input of interval, 22007 and 22008.
 */
static void
check_brake(Datum brake)
{
	Oid			types[] = {JSONBOID};
	char	   *fault = NULL;

	if (!JB_ROOT_IS_OBJECT(DatumGetJsonbP(brake)))
		fault = "it must be a JSON object";
	else if (JB_ROOT_COUNT(DatumGetJsonbP(brake)) > 0)
		fault = find_brake_fault(brake);
	if (fault == NULL && ct_execute("SELECT WHERE ($1->>'window')::interval NOT BETWEEN interval '1 second' AND interval '100 years'",
									1, types, &brake, NULL) > 0)
		fault = "member \"window\" must be between a second and 100 years";
	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid brake: %s", fault),
				 errhint("A brake is an object such as {\"window\": \"1 hour\", \"limit\": 500, \"sources\": {\"WORKFLOW\": 100}}; {} is none.")));
}

/*
 * Have all slots of the account ask, or none: the caller holds them, and they are closed.
 */
static void
mark_slots(const CtManaged *managed, Datum account)
{
	Oid			types[] = {managed->table->account_type};

	ct_execute_now(ct_sqlf(managed->table, "UPDATE {counter} c SET"
						   " brake = CASE WHEN a.brake IS NOT NULL THEN 0 END,"
						   " braked_at = CASE WHEN a.brake IS NOT NULL THEN contacts_tier.clock() END"
						   " FROM {account} a WHERE a.account {=} $1 AND c.account {=} $1"),
				   lengthof(types), types, &account);
}

/*
 * The arguments from on_exceed on as parameters, enums as text: so the statement need not
 * know the OIDs of the extension's types.  "nulls" is as SPI wants it.
 */
static void
policy_values(FunctionCallInfo fcinfo, Datum *values, char *nulls)
{
	for (int i = POL_ON_EXCEED; i < POL_NARGS; i++)
	{
		bool		is_enum = i == POL_ON_EXCEED || i == POL_BILLING_CYCLE;

		nulls[i - POL_ON_EXCEED] = PG_ARGISNULL(i) ? 'n' : ' ';
		if (!PG_ARGISNULL(i))
			values[i - POL_ON_EXCEED] = is_enum ?
				CStringGetTextDatum(ct_enum_label(PG_GETARG_OID(i))) : PG_GETARG_DATUM(i);
	}
}

/*
 * Write the policy: an argument that is null leaves its column as it is.  Another billing
 * cycle begins with the next renewal.  A max_limit of 0 is none; a request for a tier beyond
 * it is withdrawn.  A brake of {} is none.
 */
static void
update_policy(const CtManaged *managed, FunctionCallInfo fcinfo, Datum account)
{
	Oid			types[] = {
		managed->table->account_type, TEXTOID, INT8OID, INT4ARRAYOID, JSONBOID, TEXTOID,
		BOOLOID, TEXTOID, BOOLOID, INT8OID, JSONBOID, TEXTOID, JSONBOID
	};
	Datum		values[lengthof(types)] = {account};
	char		nulls[lengthof(types) + 1] = " ";

	policy_values(fcinfo, values + 1, nulls + 1);
	ct_execute_now_nulls(ct_sqlf(managed->table, "UPDATE {account} a SET"
								 " on_exceed = coalesce($2::contacts_tier.exceed_policy, on_exceed),"
								 " grace = coalesce($3, grace),"
								 " thresholds = coalesce($4, thresholds),"
								 " source_defaults = coalesce($5, source_defaults),"
								 " time_zone = coalesce($6, time_zone),"
								 " auto_downgrade = coalesce($7, auto_downgrade),"
								 " renewal_cycle = nullif(coalesce($8::contacts_tier.billing_cycle, renewal_cycle), billing_cycle),"
								 " record_activity = coalesce($9, record_activity),"
								 " max_limit = CASE WHEN $10 IS NULL THEN max_limit ELSE nullif($10, 0) END,"
								 " requested_limit = CASE WHEN requested_limit > nullif($10, 0) THEN NULL ELSE requested_limit END,"
								 " source_policies = coalesce($11, source_policies),"
								 " proration = coalesce($12, proration),"
								 " brake = CASE WHEN $13 IS NULL THEN brake WHEN $13 <> '{}' THEN $13 END"
								 " WHERE account {=} $1"),
						 lengthof(types), types, values, nulls);
}

/*
 * In a new time zone the next dates stay the same days; where one would then not
 * be after the start of the running period, it is the next.  So a period never ends before it
 * began, and a change of zone neither skips a bill nor writes one twice.
 */
static void
move_dates(const CtManaged *managed, Datum account, Datum time_zone)
{
	Oid			types[] = {managed->table->account_type, TEXTOID};
	Datum		values[] = {account, time_zone};

	ct_execute_now(ct_sqlf(managed->table, "WITH RECURSIVE dates AS ("
						   " SELECT a.billing_cycle, a.anchor, a.period_started_at,"
						   "  contacts_tier_internal.local_midnight(a.next_update_at AT TIME ZONE a.time_zone, $2) AS next_update_at,"
						   "  contacts_tier_internal.local_midnight(a.renews_at AT TIME ZONE a.time_zone, $2) AS renews_at"
						   " FROM {account} a WHERE a.account {=} $1"
						   " UNION ALL"
						   " SELECT d.billing_cycle, d.anchor, d.period_started_at,"
						   "  contacts_tier_internal.following_update_date(d.billing_cycle, $2, r.renews_at, d.next_update_at), r.renews_at"
						   " FROM dates d, LATERAL (SELECT CASE WHEN d.renews_at > d.next_update_at THEN d.renews_at ELSE"
						   "  contacts_tier_internal.following_renewal_date(d.anchor, d.billing_cycle, $2, d.renews_at) END) r (renews_at)"
						   " WHERE d.next_update_at <= d.period_started_at)"
						   " UPDATE {account} a"
						   " SET next_update_at = d.next_update_at, renews_at = d.renews_at"
						   " FROM dates d WHERE a.account {=} $1 AND d.next_update_at > d.period_started_at"),
				   lengthof(types), types, values);
}

/* What set_policy() changed, as a JSON object for the ledger; without what stays as it is. */
static char *
policy_details(FunctionCallInfo fcinfo)
{
	Oid			types[] = {TEXTOID, INT8OID, INT4ARRAYOID, JSONBOID, TEXTOID, BOOLOID, TEXTOID, BOOLOID, INT8OID, JSONBOID, TEXTOID, JSONBOID};
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types) + 1];

	policy_values(fcinfo, values, nulls);
	ct_execute("SELECT jsonb_strip_nulls(jsonb_build_object('on_exceed', $1, 'grace', $2, 'thresholds', $3,"
			   " 'source_defaults', $4, 'time_zone', $5, 'auto_downgrade', $6, 'billing_cycle', $7,"
			   " 'record_activity', $8, 'max_limit', $9, 'source_policies', $10, 'proration', $11, 'brake', $12))::text", lengthof(types), types, values, nulls);
	return ct_result_text(1);
}

PG_FUNCTION_INFO_V1(contacts_tier_set_policy);

/*
 * set_policy(contacts regclass, account text, on_exceed, grace, thresholds,
 *			  source_defaults, time_zone, auto_downgrade, billing_cycle,
 *			  record_activity, max_limit, source_policies, proration, brake) void
 *
 * Locks: slots and account row of the account, until the transaction ends.
 * Errors: 42501, 55000 (not attached, no subscription), 22023 (values), 42704 (source type).
 */
Datum
contacts_tier_set_policy(PG_FUNCTION_ARGS)
{
	CtManaged	managed;
	Datum		account;

	if (ct_is_dispatched(fcinfo))
		return ct_dispatch(fcinfo);
	if (!PG_ARGISNULL(POL_GRACE))
		ct_check_grace(PG_GETARG_INT64(POL_GRACE));
	if (!PG_ARGISNULL(POL_TIME_ZONE))
		ct_check_time_zone(PG_GETARG_DATUM(POL_TIME_ZONE));
	if (!PG_ARGISNULL(POL_THRESHOLDS))
		check_thresholds(PG_GETARG_ARRAYTYPE_P(POL_THRESHOLDS));
	if (!PG_ARGISNULL(POL_MAX_LIMIT) && PG_GETARG_INT64(POL_MAX_LIMIT) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"max_limit\" must not be negative"),
				 errhint("Use 0 for no limit.")));
	if (!PG_ARGISNULL(POL_PRORATION))
		check_proration(text_to_cstring(PG_GETARG_TEXT_PP(POL_PRORATION)));

	account = ct_manage_subscription(&managed, fcinfo).account;
	if (!PG_ARGISNULL(POL_SOURCE_DEFAULTS))
		check_source_defaults(managed.table, PG_GETARG_DATUM(POL_SOURCE_DEFAULTS));
	if (!PG_ARGISNULL(POL_SOURCE_POLICIES))
		check_source_policies(PG_GETARG_DATUM(POL_SOURCE_POLICIES));
	if (!PG_ARGISNULL(POL_BRAKE))
		check_brake(PG_GETARG_DATUM(POL_BRAKE));
	if (!PG_ARGISNULL(POL_TIME_ZONE))
		move_dates(&managed, account, PG_GETARG_DATUM(POL_TIME_ZONE));
	update_policy(&managed, fcinfo, account);
	if (!PG_ARGISNULL(POL_BRAKE))
		mark_slots(&managed, account);
	ct_ledger_record(managed.table, account, "policy", 0, policy_details(fcinfo));
	ct_source_forget();
	ct_manage_end(&managed);
	PG_RETURN_VOID();
}
