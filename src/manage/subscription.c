/*-------------------------------------------------------------------------
 *
 * subscription.c
 *	  Opening the subscription of an account, and ending it.
 *
 * Locks are acquired in the order of the protocol: the slots of the account, then
 * its account row.  The grants of the slots are withdrawn, so that the next
 * promotion computes a ceiling from what holds from now on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "manage/manage.h"

/* Arguments of subscribe() */
enum
{
	SUB_CONTACTS, SUB_ACCOUNT, SUB_PLAN, SUB_LIMIT, SUB_CYCLE, SUB_STARTED_AT,
	SUB_TIME_ZONE, SUB_ON_EXCEED, SUB_GRACE
};

/* The details of an entry "subscribe": a JSON object. */
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
	const CtTable *table;
	bool		has_access;		/* does it include marketing contacts? */
	char	   *limits;			/* of its tiers, ascending, for messages */
} ChosenPlan;

/* Read a plan and lock it, so that it is there when the account is: 42704 where there is none. */
static ChosenPlan
read_plan(const CtTable *table, char *name)
{
	Datum		values[] = {CStringGetTextDatum(name)};
	Oid			types[] = {TEXTOID};
	ChosenPlan	plan = {.table = table,.name = name};

	ct_lock_plan(name);
	if (ct_execute_now(ct_sql(table, "SELECT p.marketing_contacts,"
							  " coalesce(string_agg(t.contact_limit::text, ', ' ORDER BY t.contact_limit), 'none')"
							  " FROM {plan} p LEFT JOIN {tier} t ON t.plan = p.name"
							  " WHERE p.name = $1 GROUP BY p.name"), 1, types, values) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("plan \"%s\" does not exist", name),
				 errhint("Create it with contacts_tier.create_plan().")));
	plan.has_access = ct_result_bool(1);
	plan.limits = ct_result_text(2);
	return plan;
}

/*
 * The smallest tier of a plan that is at least this large, in contacts; 0 if there is none.
 * The plan is locked by read_plan().
 */
static int64
smallest_tier(const ChosenPlan *plan, int64 size)
{
	Datum		values[] = {CStringGetTextDatum(plan->name), Int64GetDatum(size)};
	Oid			types[] = {TEXTOID, INT8OID};

	ct_execute_now(ct_sql(plan->table, "SELECT coalesce(min(t.contact_limit), 0) FROM {tier} t"
						  " WHERE t.plan = $1 AND t.contact_limit >= $2"), 2, types, values);
	return ct_result_int64(1);
}

/*
 * The tier that the caller has chosen, once it is known to be one of the plan and to
 * hold the contacts of the account.  Errors: 22023, MC001.
 */
static int64
chosen_tier(const ChosenPlan *plan, const char *account, int64 contact_limit, int64 used)
{
	ct_check_tier(plan->table, plan->name, contact_limit);
	if (contact_limit < used)
		ereport(ERROR,
				(errcode(ERRCODE_CT_TIER_EXCEEDED),
				 errmsg("account \"%s\" does not fit into a contact tier of %lld contacts", account, (long long) contact_limit),
				 errdetail("The account has %lld marketing contacts.", (long long) used),
				 errhint("The tiers of plan \"%s\" are: %s.", plan->name, plan->limits),
				 err_generic_string(PG_DIAG_CONSTRAINT_NAME, "contact_tier"),
				 ct_errtable(plan->table->relid)));
	return contact_limit;
}

/*
 * The smallest tier that holds the contacts of the account; 0 for a plan without
 * marketing contacts.  Errors: MC001.
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
				 errhint("The tiers of the plan are: %s.", plan->limits),
				 err_generic_string(PG_DIAG_CONSTRAINT_NAME, "contact_tier"),
				 ct_errtable(plan->table->relid)));
	return tier;
}

/* The earliest start of a subscription: 1900-01-01, in UTC */
#define EARLIEST_START	((TimestampTz) (date2j(1900, 1, 1) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY)

/*
 * A subscription starts at a date that people mean: what is earlier is a slip, and its
 * years are not counted as dates count them (there is no year 0).
 */
static void
check_start(TimestampTz started_at, TimestampTz now)
{
	if (TIMESTAMP_NOT_FINITE(started_at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the start of a subscription must be finite")));
	if (started_at < EARLIEST_START)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("the start of a subscription is out of range"),
				 errdetail("A subscription must not start before the year 1900.")));
	if (started_at > now)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a subscription cannot start in the future"),
				 errdetail("The current time is %s.", timestamptz_to_str(now)),
				 errhint("Subscribe the account at that time, or now without argument \"started_at\".")));
}

/* A key of the companion tables must fit into an index entry: 22023. */
static void
check_account_length(const CtTable *table, Datum account)
{
	if (!ct_account_fits(table, account))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the account is too long to be subscribed"),
				 ct_errtable(table->relid)));
}

/*
 * Write the account row, with its dates, of which the anchor is the day of the start in the
 * time zone of the account.  A subscription that began in the past has its update dates up
 * to now behind it: no bill is written for them.  One that has ended is opened again:
 * policies that are no argument of subscribe() stay.
 */
static void
insert_subscription(const CtManaged *managed, FunctionCallInfo fcinfo, Datum account,
					int64 contact_limit, int64 used)
{
	TimestampTz now = ct_now();
	Datum		started_at = PG_ARGISNULL(SUB_STARTED_AT) ? TimestampTzGetDatum(now) : PG_GETARG_DATUM(SUB_STARTED_AT);
	Oid			types[] = {
		managed->table->account_type, TEXTOID, INT8OID, TEXTOID, TIMESTAMPTZOID,
		TEXTOID, TEXTOID, INT8OID, TIMESTAMPTZOID, INT8OID
	};
	Datum		values[] = {
		account,
		PG_GETARG_DATUM(SUB_PLAN),
		Int64GetDatum(contact_limit),
		CStringGetTextDatum(ct_enum_label(PG_GETARG_OID(SUB_CYCLE))),
		started_at,
		PG_GETARG_DATUM(SUB_TIME_ZONE),
		CStringGetTextDatum(ct_enum_label(PG_GETARG_OID(SUB_ON_EXCEED))),
		PG_GETARG_DATUM(SUB_GRACE),
		TimestampTzGetDatum(now),
		Int64GetDatum(used)
	};

	check_start(DatumGetTimestampTz(started_at), now);
	ct_execute_now(ct_sqlf(managed->table, "WITH given AS (SELECT ($5 AT TIME ZONE $6)::date AS anchor, $4::contacts_tier.billing_cycle AS cycle)"
						   " INSERT INTO {account} AS a"
						   " (account, plan, contact_limit, billing_cycle, on_exceed, grace, time_zone,"
						   "  started_at, anchor, period_started_at, next_update_at, renews_at,"
						   "  period_limit, period_price, period_opening)"
						   " SELECT $1, $2, $3, cycle, $7::contacts_tier.exceed_policy, $8, $6, $5, anchor,"
						   "  greatest($5, contacts_tier.last_update_date(anchor, cycle, $6, $9)),"
						   "  contacts_tier.next_update_date(anchor, cycle, $6, $9),"
						   "  contacts_tier.next_renewal_date(anchor, cycle, $6, $9),"
						   "  $3, (SELECT t.monthly_price FROM {tier} t WHERE t.plan = $2 AND t.contact_limit = $3), $10"
						   " FROM given ON CONFLICT (account) DO UPDATE SET"
						   "  plan = excluded.plan, contact_limit = excluded.contact_limit, billing_cycle = excluded.billing_cycle,"
						   "  on_exceed = excluded.on_exceed, grace = excluded.grace, time_zone = excluded.time_zone,"
						   "  started_at = excluded.started_at, anchor = excluded.anchor,"
						   "  period_started_at = greatest(excluded.period_started_at, a.ended_at),"
						   "  next_update_at = excluded.next_update_at,"
						   "  renews_at = excluded.renews_at, period_limit = excluded.period_limit,"
						   "  period_price = excluded.period_price, period_opening = excluded.period_opening,"
						   "  period_upgrades = 0, announced = 0, exceeded_announced = false, ended_at = NULL, cancelled = false"),
				   lengthof(types), types, values);
}

/* Errors: 22004, 22023. */
static void
check_subscribe_arguments(FunctionCallInfo fcinfo)
{
	ct_check_not_null(fcinfo, SUB_PLAN, "plan");
	ct_check_not_null(fcinfo, SUB_CYCLE, "billing_cycle");
	ct_check_not_null(fcinfo, SUB_TIME_ZONE, "time_zone");
	ct_check_not_null(fcinfo, SUB_ON_EXCEED, "on_exceed");
	ct_check_not_null(fcinfo, SUB_GRACE, "grace");
	ct_check_grace(PG_GETARG_INT64(SUB_GRACE));
	ct_check_time_zone(PG_GETARG_DATUM(SUB_TIME_ZONE));
}

/* An account has one subscription at a time.  Locks its row.  Errors: 42710. */
static void
check_not_subscribed(const CtManaged *managed, Datum account)
{
	Oid			types[] = {managed->table->account_type};

	if (ct_execute_now(ct_sqlf(managed->table, "SELECT FROM {account}"
							   " WHERE account {=} $1 AND ended_at IS NULL FOR NO KEY UPDATE"),
					   lengthof(types), types, &account) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("account \"%s\" is already subscribed", ct_account_text(managed->table, account)),
				 errhint("Change its tier with contacts_tier.change_tier() or its policy with contacts_tier.set_policy().  To change the plan, cancel the subscription; a new one can start at the renewal date."),
				 errtable(managed->rel)));
}

PG_FUNCTION_INFO_V1(contacts_tier_subscribe);

/*
 * subscribe(contacts regclass, account text, plan text, ...) void
 *
 * Locks: slots and account row of the account, until the transaction ends.
 * Errors: 42501, 55000 (not attached), 42710 (subscribed already), 42704 (plan),
 * 22023 (account, limit, time zone, start), 22008 (start), 22P02 (account), MC001
 * (contacts do not fit).
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

	if (ct_is_dispatched(fcinfo))
		return ct_dispatch(fcinfo);
	check_subscribe_arguments(fcinfo);
	account = ct_manage_begin_account(&managed, fcinfo);
	check_account_length(managed.table, account);
	name = ct_account_text(managed.table, account);
	plan = read_plan(managed.table, text_to_cstring(PG_GETARG_TEXT_PP(SUB_PLAN)));
	(void) ct_catch_up(managed.table, account, NULL);
	used = ct_ledger_close_period(managed.table, account).marketing;
	check_not_subscribed(&managed, account);
	contact_limit = PG_ARGISNULL(SUB_LIMIT) ? fitting_tier(&plan, name, used) :
		chosen_tier(&plan, name, PG_GETARG_INT64(SUB_LIMIT), used);
	insert_subscription(&managed, fcinfo, account, contact_limit, used);
	ct_ledger_record(managed.table, account, "subscribe", 0,
					 subscribe_details(plan.name, contact_limit));
	ct_source_forget();
	ct_manage_end(&managed);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(contacts_tier_cancel);

/*
 * cancel(contacts regclass, account text, withdraw boolean) void
 *
 * The subscription ends at the renewal date (end_subscription(), period.c); until then the
 * account can withdraw the cancellation.
 *
 * Locks: as subscribe().  Errors: 42501, 55000 (not attached, no
 * subscription).
 */
Datum
contacts_tier_cancel(PG_FUNCTION_ARGS)
{
	CtManaged	managed;
	CtSubscribed subscribed;
	bool		withdraw;

	if (ct_is_dispatched(fcinfo))
		return ct_dispatch(fcinfo);
	ct_check_not_null(fcinfo, 2, "withdraw");
	withdraw = PG_GETARG_BOOL(2);
	subscribed = ct_manage_subscription(&managed, fcinfo);
	{
		Oid			types[] = {managed.table->account_type, BOOLOID};
		Datum		values[] = {subscribed.account, BoolGetDatum(!withdraw)};

		/* said twice, it is recorded once */
		if (ct_execute_now(ct_sqlf(managed.table, "UPDATE {account} SET cancelled = $2"
								   " WHERE account {=} $1 AND cancelled <> $2"),
						   lengthof(types), types, values) > 0)
			ct_ledger_record(managed.table, subscribed.account, withdraw ? "cancel_withdrawn" : "cancel", 0, "{}");
	}
	ct_manage_end(&managed);
	PG_RETURN_VOID();
}
