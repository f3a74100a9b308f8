/*-------------------------------------------------------------------------
 *
 * subscription.c
 *	  Opening the subscription of an account, and its policy.
 *
 * Locks are taken in the order of the protocol: the slots of the account, then
 * its account row.  The grants of the slots are taken back, so that the next
 * promotion asks what holds from now on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "contacts_tier.h"

/* Arguments of subscribe() */
enum
{
	SUB_CONTACTS, SUB_ACCOUNT, SUB_PLAN, SUB_LIMIT, SUB_CYCLE, SUB_STARTED_AT,
	SUB_TIME_ZONE, SUB_ON_EXCEED, SUB_GRACE
};

/* Arguments of set_policy() */
enum
{
	POL_CONTACTS, POL_ACCOUNT, POL_ON_EXCEED, POL_GRACE, POL_THRESHOLDS,
	POL_SOURCE_DEFAULTS, POL_TIME_ZONE
};

static char *
enum_label(Oid value)
{
	return DatumGetCString(DirectFunctionCall1(enum_out, ObjectIdGetDatum(value)));
}

static void
check_grace(int64 grace)
{
	if (grace < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("grace must not be negative")));
}

static char *
subscribe_details(const char *plan, int64 contact_limit)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "{\"plan\": ");
	escape_json(&buf, plan);
	appendStringInfo(&buf, ", \"contact_limit\": %lld}", (long long) contact_limit);
	return buf.data;
}

/* A plan, as subscribe() needs it */
typedef struct ChosenPlan
{
	char	   *name;
	bool		has_access;		/* does it include marketing contacts? */
	char	   *limits;			/* of its tiers, for messages */
} ChosenPlan;

static ChosenPlan
read_plan(char *name)
{
	Datum		values[] = {CStringGetTextDatum(name)};
	Oid			types[] = {TEXTOID};
	ChosenPlan	plan = {.name = name};
	bool		isnull;

	if (ct_execute("SELECT p.marketing_contacts,"
				   " coalesce(string_agg(t.contact_limit::text, ', ' ORDER BY t.contact_limit), 'none')"
				   " FROM contacts_tier.plan p LEFT JOIN contacts_tier.tier t ON t.plan = p.name"
				   " WHERE p.name = $1 GROUP BY p.name", 1, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("plan \"%s\" does not exist", name),
				 errhint("Make it by contacts_tier.create_plan().")));
	plan.has_access = DatumGetBool(ct_result(1, &isnull));
	plan.limits = ct_result_text(2);
	return plan;
}

/*
 * The smallest tier of a plan that is at least this large; 0 if there is none.
 */
static int64
smallest_tier(const ChosenPlan *plan, int64 size)
{
	Datum		values[] = {CStringGetTextDatum(plan->name), Int64GetDatum(size)};
	Oid			types[] = {TEXTOID, INT8OID};

	ct_execute("SELECT coalesce(min(t.contact_limit), 0) FROM contacts_tier.tier t"
			   " WHERE t.plan = $1 AND t.contact_limit >= $2", 2, types, values, NULL);
	return ct_result_int64(1);
}

/*
 * Check that the tier asked for is of the plan and holds the contacts of the
 * account.
 */
static int64
asked_tier(const ChosenPlan *plan, const char *account, int64 asked, int64 used)
{
	if (smallest_tier(plan, asked) != asked || asked <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("plan \"%s\" has no tier of %lld contacts", plan->name, (long long) asked),
				 errhint("The tiers of the plan are: %s.", plan->limits)));
	if (asked < used)
		ereport(ERROR,
				(errcode(ERRCODE_CT_TIER_EXCEEDED),
				 errmsg("account \"%s\" does not fit into a contact tier of %lld", account, (long long) asked),
				 errdetail("The account has %lld marketing contacts.", (long long) used),
				 errhint("The tiers of plan \"%s\" are: %s.", plan->name, plan->limits)));
	return asked;
}

/*
 * The smallest tier that holds the contacts of the account; 0 for a plan without
 * marketing contacts.
 */
static int64
fitting_tier(const ChosenPlan *plan, const char *account, int64 used)
{
	int64		tier;

	if (!plan->has_access)
		return 0;
	tier = smallest_tier(plan, used);
	if (tier == 0)
		ereport(ERROR,
				(errcode(ERRCODE_CT_TIER_EXCEEDED),
				 errmsg("account \"%s\" does not fit into any tier of plan \"%s\"", account, plan->name),
				 errdetail("The account has %lld marketing contacts.", (long long) used),
				 errhint("The tiers of the plan are: %s.", plan->limits)));
	return tier;
}

/*
 * Insert the account row, with its dates.  A subscription that began in the
 * past has its update dates up to now behind it.
 */
static void
insert_subscription(const CtManaged *managed, FunctionCallInfo fcinfo, Datum account, int64 contact_limit)
{
	TimestampTz now = ct_now();
	Datum		started_at = PG_ARGISNULL(SUB_STARTED_AT) ? TimestampTzGetDatum(now) : PG_GETARG_DATUM(SUB_STARTED_AT);
	Oid			types[] = {
		managed->table->account_type, TEXTOID, INT8OID, TEXTOID, TIMESTAMPTZOID,
		TEXTOID, TEXTOID, INT8OID, TIMESTAMPTZOID
	};
	Datum		values[] = {
		account,
		PG_GETARG_DATUM(SUB_PLAN),
		Int64GetDatum(contact_limit),
		CStringGetTextDatum(enum_label(PG_GETARG_OID(SUB_CYCLE))),
		started_at,
		PG_GETARG_DATUM(SUB_TIME_ZONE),
		CStringGetTextDatum(enum_label(PG_GETARG_OID(SUB_ON_EXCEED))),
		PG_GETARG_DATUM(SUB_GRACE),
		TimestampTzGetDatum(now)
	};

	if (TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(started_at)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the start of a subscription must be finite")));
	if (DatumGetTimestampTz(started_at) > now)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a subscription cannot start in the future"),
				 errdetail("It is %s now.", timestamptz_to_str(now))));
	if (ct_execute(psprintf("WITH given AS (SELECT ($5 AT TIME ZONE $6)::date AS anchor, $4::contacts_tier.billing_cycle AS cycle)"
							" INSERT INTO %1$s." CT_ACCOUNT_TABLE
							" (account, plan, contact_limit, billing_cycle, on_exceed, grace, time_zone,"
							"  started_at, anchor, period_started_at, next_update_at, renews_at)"
							" SELECT $1, $2, $3, cycle, $7::contacts_tier.exceed_policy, $8, $6, $5, anchor,"
							"  greatest($5, contacts_tier.last_update_date(anchor, cycle, $6, $9)),"
							"  contacts_tier.next_update_date(anchor, cycle, $6, $9),"
							"  contacts_tier.next_renewal_date(anchor, cycle, $6, $9)"
							" FROM given ON CONFLICT (account) DO NOTHING", managed->schema),
				   lengthof(types), types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("account \"%s\" is already subscribed", ct_account_text(managed->table, account)),
				 errtable(managed->rel)));
}

static void
check_subscribe_arguments(FunctionCallInfo fcinfo)
{
	ct_check_not_null(fcinfo, SUB_CONTACTS, "contacts");
	ct_check_not_null(fcinfo, SUB_ACCOUNT, "account");
	ct_check_not_null(fcinfo, SUB_PLAN, "plan");
	ct_check_not_null(fcinfo, SUB_CYCLE, "billing_cycle");
	ct_check_not_null(fcinfo, SUB_TIME_ZONE, "time_zone");
	ct_check_not_null(fcinfo, SUB_ON_EXCEED, "on_exceed");
	ct_check_not_null(fcinfo, SUB_GRACE, "grace");
	check_grace(PG_GETARG_INT64(SUB_GRACE));
}

PG_FUNCTION_INFO_V1(contacts_tier_subscribe);

/*
 * subscribe(contacts regclass, account text, plan text, ...) void
 *
 * Locks: slots and account row of the account, until the transaction ends.
 *  Errors: 42501, 55000 (not attached), 42710 (subscribed already), 22023
 * (plan, limit, time zone, start), 22P02 (account), MC001 (contacts do not fit).
 */
Datum
contacts_tier_subscribe(PG_FUNCTION_ARGS)
{
	CtManaged	managed;
	Datum		account;
	const char *name;
	ChosenPlan	plan;
	int64		used;
	int64		contact_limit;

	check_subscribe_arguments(fcinfo);
	ct_manage_begin(&managed, PG_GETARG_OID(SUB_CONTACTS), RowExclusiveLock);
	account = ct_managed_account(&managed, text_to_cstring(PG_GETARG_TEXT_PP(SUB_ACCOUNT)));
	name = ct_account_text(managed.table, account);
	plan = read_plan(text_to_cstring(PG_GETARG_TEXT_PP(SUB_PLAN)));
	used = ct_counter_freeze(managed.table, account).marketing;
	contact_limit = PG_ARGISNULL(SUB_LIMIT) ? fitting_tier(&plan, name, used) :
		asked_tier(&plan, name, PG_GETARG_INT64(SUB_LIMIT), used);
	insert_subscription(&managed, fcinfo, account, contact_limit);
	ct_ledger_record(managed.table, account, "subscribe", 0,
					 subscribe_details(plan.name, contact_limit));
	ct_source_forget();
	ct_manage_end(&managed);
	PG_RETURN_VOID();
}

/*
 * Thresholds are percentages of the limit, growing.
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
				 errmsg("thresholds must be a one-dimensional array")));
	deconstruct_array(thresholds, INT4OID, sizeof(int32), true, TYPALIGN_INT, &values, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i] || DatumGetInt32(values[i]) <= last || DatumGetInt32(values[i]) > 100)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("thresholds must be growing percentages from 1 to 100")));
		last = DatumGetInt32(values[i]);
	}
}

/*
 * Source defaults are an object from source types that an account may change to
 * a status.
 */
static void
check_source_defaults(Datum source_defaults)
{
	Oid			types[] = {JSONBOID};

	if (!JB_ROOT_IS_OBJECT(DatumGetJsonbP(source_defaults)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"source_defaults\" must be a JSON object")));
	if (ct_execute("SELECT d.key, d.value FROM jsonb_each_text($1) d"
				   " LEFT JOIN contacts_tier.source_type s ON s.name = d.key AND s.changeable"
				   " WHERE s.name IS NULL OR d.value IS NULL OR d.value NOT IN ('marketing', 'non_marketing')"
				   " ORDER BY 1 LIMIT 1", 1, types, &source_defaults, NULL) > 0)
	{
		const char *value = ct_result_text(2);

		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid source default: \"%s\" for \"%s\"",
						value != NULL ? value : "null", ct_result_text(1)),
				 errhint("The value must be marketing or non_marketing, the source type one of contacts_tier.source_type that is changeable.")));
	}
}

/*
 * Write the policy.  In a new time zone the next dates stay the same days.
 */
static void
update_policy(const CtManaged *managed, FunctionCallInfo fcinfo, Datum account)
{
	Oid			types[] = {
		managed->table->account_type, TEXTOID, INT8OID, INT4ARRAYOID, JSONBOID, TEXTOID
	};
	Datum		values[lengthof(types)] = {account};
	char		nulls[lengthof(types) + 1] = "      ";

	for (int i = POL_ON_EXCEED; i <= POL_TIME_ZONE; i++)
	{
		values[i - 1] = PG_GETARG_DATUM(i);
		nulls[i - 1] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	if (!PG_ARGISNULL(POL_ON_EXCEED))
		values[POL_ON_EXCEED - 1] = CStringGetTextDatum(enum_label(PG_GETARG_OID(POL_ON_EXCEED)));

	if (ct_execute(psprintf("UPDATE %s." CT_ACCOUNT_TABLE " a SET"
							" on_exceed = coalesce($2::contacts_tier.exceed_policy, on_exceed),"
							" grace = coalesce($3, grace),"
							" thresholds = coalesce($4, thresholds),"
							" source_defaults = coalesce($5, source_defaults),"
							" time_zone = coalesce($6, time_zone),"
							" next_update_at = contacts_tier.local_midnight(next_update_at AT TIME ZONE time_zone,"
							"  coalesce($6, time_zone)),"
							" renews_at = contacts_tier.local_midnight(renews_at AT TIME ZONE time_zone,"
							"  coalesce($6, time_zone))"
							" WHERE account %s $1",
							managed->schema, managed->equals),
				   lengthof(types), types, values, nulls) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("account \"%s\" has no subscription", ct_account_text(managed->table, account)),
				 errhint("Open one by contacts_tier.subscribe()."),
				 errtable(managed->rel)));
}

/* What set_policy() changed, as a JSON object for the ledger. */
static char *
policy_details(FunctionCallInfo fcinfo)
{
	Oid			types[] = {TEXTOID, INT8OID, INT4ARRAYOID, JSONBOID, TEXTOID};
	Datum		values[lengthof(types)];
	char		nulls[lengthof(types) + 1] = "     ";

	for (int i = POL_ON_EXCEED; i <= POL_TIME_ZONE; i++)
	{
		values[i - POL_ON_EXCEED] = PG_GETARG_DATUM(i);
		nulls[i - POL_ON_EXCEED] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	if (!PG_ARGISNULL(POL_ON_EXCEED))
		values[0] = CStringGetTextDatum(enum_label(PG_GETARG_OID(POL_ON_EXCEED)));
	ct_execute("SELECT jsonb_strip_nulls(jsonb_build_object('on_exceed', $1, 'grace', $2, 'thresholds', $3,"
			   " 'source_defaults', $4, 'time_zone', $5))::text", lengthof(types), types, values, nulls);
	return ct_result_text(1);
}

PG_FUNCTION_INFO_V1(contacts_tier_set_policy);

/*
 * set_policy(contacts regclass, account text, on_exceed, grace, thresholds,
 *			  source_defaults, time_zone) void
 *
 * Locks: slots and account row of the account, until the transaction ends.
 *  Errors: 42501, 55000 (not attached), 22023 (values, no subscription).
 */
Datum
contacts_tier_set_policy(PG_FUNCTION_ARGS)
{
	CtManaged	managed;
	Datum		account;

	ct_check_not_null(fcinfo, POL_CONTACTS, "contacts");
	ct_check_not_null(fcinfo, POL_ACCOUNT, "account");
	if (!PG_ARGISNULL(POL_GRACE))
		check_grace(PG_GETARG_INT64(POL_GRACE));
	if (!PG_ARGISNULL(POL_THRESHOLDS))
		check_thresholds(PG_GETARG_ARRAYTYPE_P(POL_THRESHOLDS));

	ct_manage_begin(&managed, PG_GETARG_OID(POL_CONTACTS), RowExclusiveLock);
	if (!PG_ARGISNULL(POL_SOURCE_DEFAULTS))
		check_source_defaults(PG_GETARG_DATUM(POL_SOURCE_DEFAULTS));
	account = ct_managed_account(&managed, text_to_cstring(PG_GETARG_TEXT_PP(POL_ACCOUNT)));
	ct_counter_freeze(managed.table, account);
	update_policy(&managed, fcinfo, account);
	ct_ledger_record(managed.table, account, "policy", 0, policy_details(fcinfo));
	ct_source_forget();
	ct_manage_end(&managed);
	PG_RETURN_VOID();
}
