/*-------------------------------------------------------------------------
 *
 * change_tier.c
 *	  Moving an account to another tier on request (rules T4, T5).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "manage/manage.h"

/*
 * Begin to manage the subscription of an account, for a function whose first two
 * arguments are the table and the account: overdue update dates are applied first,
 * then the slots and the account row are locked.
 * Errors: those of ct_manage_begin_account(), 55000 where there is no subscription, or
 * it has ended.
 */
CtSubscribed
ct_manage_subscription(CtManaged *managed, FunctionCallInfo fcinfo)
{
	Datum		account = ct_manage_begin_account(managed, fcinfo);
	Oid			types[] = {managed->table->account_type};
	CtSubscribed subscribed = {.account = account};

	(void) ct_catch_up(managed->table, account, NULL);
	subscribed.count = ct_ledger_withdraw(managed->table, account).marketing;
	if (ct_execute_now(ct_sqlf(managed->table, "SELECT coalesce(plan, ''), contact_limit, coalesce(requested_limit, 0), ended_at IS NOT NULL"
							   " FROM {account} WHERE account {=} $1 FOR NO KEY UPDATE"),
					   lengthof(types), types, &account) == 0 ||
		ct_result_bool(4))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("account \"%s\" has no subscription", ct_account_text(managed->table, account)),
				 errhint("Subscribe it with contacts_tier.subscribe()."),
				 errtable(managed->rel)));
	subscribed.plan = ct_result_text(1);
	subscribed.contact_limit = ct_result_int64(2);
	subscribed.requested_limit = ct_result_int64(3);
	return subscribed;
}

/*
 * A tier that is requested must be one of the plan, which is locked, so that it remains one.
 * The caller is connected to SPI.
 * Errors: 22023, and 42704 where the plan was deleted.
 */
void
ct_check_tier(const CtTable *table, const char *plan, int64 contact_limit)
{
	Oid			types[] = {TEXTOID, INT8OID};
	Datum		values[] = {CStringGetTextDatum(plan), Int64GetDatum(contact_limit)};
	const char *tiers;

	ct_lock_plan(plan);
	if (ct_execute_now(ct_sql(table, "SELECT coalesce(bool_or(t.contact_limit = $2), false),"
							  " string_agg(t.contact_limit::text, ', ' ORDER BY t.contact_limit)"
							  " FROM {plan} p LEFT JOIN {tier} t ON t.plan = p.name"
							  " WHERE p.name = $1 GROUP BY p.name"),
					   lengthof(types), types, values) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("plan \"%s\" does not exist", plan),
				 errhint("Create it again with contacts_tier.create_plan().")));
	if (ct_result_bool(1))
		return;
	tiers = ct_result_text(2);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("plan \"%s\" has no tier of %lld contacts", plan, (long long) contact_limit),
			 tiers != NULL ? errhint("The tiers of the plan are: %s.", tiers) :
			 errdetail("The plan has no tiers.")));
}

/* Request a tier from the next renewal on; 0 withdraws the request. */
static void
request_at_renewal(const CtManaged *managed, Datum account, int64 contact_limit)
{
	Oid			types[] = {managed->table->account_type, INT8OID};
	Datum		values[] = {account, Int64GetDatum(contact_limit)};

	ct_execute_now(ct_sqlf(managed->table, "UPDATE {account} SET renewal_limit = nullif($2, 0)"
						   " WHERE account {=} $1"),
				   lengthof(types), types, values);
}

PG_FUNCTION_INFO_V1(contacts_tier_change_tier);

/*
 * change_tier(contacts regclass, account text, contact_limit bigint,
 *			   at_renewal boolean) void
 *
 * A larger tier takes effect at once, unless it is requested for the renewal; a
 * smaller one only there, and only if the count fits by then (T5).  The current one
 * withdraws the request.
 *
 * Locks: slots and account row of the account, until the transaction ends.
 * Errors: 42501, 55000 (not attached, no subscription), 22023 (no such tier, a
 * smaller one at once), 42704 (the plan was deleted).
 */
Datum
contacts_tier_change_tier(PG_FUNCTION_ARGS)
{
	CtManaged	managed;
	CtSubscribed subscribed;
	int64		wanted;
	bool		at_renewal;

	if (ct_is_dispatched(fcinfo))
		return ct_dispatch(fcinfo);
	ct_check_not_null(fcinfo, 2, "contact_limit");
	wanted = PG_GETARG_INT64(2);
	subscribed = ct_manage_subscription(&managed, fcinfo);
	ct_check_tier(managed.table, subscribed.plan, wanted);
	at_renewal = PG_ARGISNULL(3) ? wanted < subscribed.contact_limit : PG_GETARG_BOOL(3);
	if (wanted < subscribed.contact_limit && !at_renewal)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a contact tier can be lowered only at the renewal date"),
				 errdetail("Account \"%s\" has a tier of %lld contacts.",
						   ct_account_text(managed.table, subscribed.account), (long long) subscribed.contact_limit),
				 errhint("Use at_renewal => true or omit the argument.")));
	if (wanted > subscribed.contact_limit && !at_renewal)
		ct_tier_move(managed.table, subscribed.account, wanted, subscribed.count, "requested", ct_now());
	else
		ct_ledger_record(managed.table, subscribed.account, "tier_asked", subscribed.count,
						 psprintf("{\"contact_limit\": %lld}", (long long) wanted));
	request_at_renewal(&managed, subscribed.account, at_renewal && wanted != subscribed.contact_limit ? wanted : 0);
	ct_manage_end(&managed);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(contacts_tier_approve_upgrade);

/*
 * approve_upgrade(contacts regclass, account text) bigint
 *
 * Moves an account to its requested tier, which would have held the contacts that
 * were capped, and returns its limit.  These stay non-marketing until a statement
 * promotes them again.
 *
 * Locks: as change_tier().  Errors: 42501, 55000 (not attached, no subscription, no
 * request), 22023 (the plan has no such tier any more), 42704 (the plan was deleted).
 */
Datum
contacts_tier_approve_upgrade(PG_FUNCTION_ARGS)
{
	CtManaged	managed;
	CtSubscribed subscribed;

	if (ct_is_dispatched(fcinfo))
		return ct_dispatch(fcinfo);
	subscribed = ct_manage_subscription(&managed, fcinfo);
	if (subscribed.requested_limit <= subscribed.contact_limit)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("account \"%s\" has no upgrade request",
						ct_account_text(managed.table, subscribed.account)),
				 errhint("Requests come from statements under policy \"cap\".  Use contacts_tier.change_tier() to choose a tier.")));
	ct_check_tier(managed.table, subscribed.plan, subscribed.requested_limit);
	ct_tier_move(managed.table, subscribed.account, subscribed.requested_limit, subscribed.count, "approved", ct_now());
	ct_manage_end(&managed);
	PG_RETURN_INT64(subscribed.requested_limit);
}
