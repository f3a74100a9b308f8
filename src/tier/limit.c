/*-------------------------------------------------------------------------
 *
 * limit.c
 *	  What happens when an account's ceiling is reached (rules T1 to T4
 *	  and N1).
 *
 * The caller holds all slots of the account, so the count is exact, and nobody
 * else decides about the account at the same time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "tier/tier.h"

/* What a decision needs to know of an account */
#define SUBSCRIPTION_OF_ACCOUNT \
	"SELECT coalesce(a.plan::pg_catalog.text, ''), a.contact_limit, coalesce(a.on_exceed::pg_catalog.text, 'block'), a.grace," \
	" coalesce(p.marketing_contacts AND a.ended_at IS NULL, false)," \
	" coalesce(a.thresholds, '{}'::pg_catalog.int4[]), coalesce(a.announced, 0), coalesce(a.exceeded_announced, false)," \
	" (SELECT t.contact_limit FROM {tier} t" \
	"  WHERE t.plan" CT_EQ "a.plan AND t.contact_limit" CT_GE "$2" \
	"  ORDER BY t.contact_limit LIMIT 1)," \
	" a.ended_at IS NOT NULL, p.name IS NOT NULL" \
	" FROM {account} a" \
	" LEFT JOIN {plan} p ON p.name" CT_EQ "a.plan" \
	" WHERE a.account {=} $1"

/* $2: contacts that a larger tier would have to hold */
static const CtQuery lock_account_query = {
	SUBSCRIPTION_OF_ACCOUNT " FOR NO KEY UPDATE OF a",
	2, {CT_ACCOUNT_TYPE, INT8OID}
};

static const CtQuery read_account_query = {
	SUBSCRIPTION_OF_ACCOUNT,
	2, {CT_ACCOUNT_TYPE, INT8OID}
};

/* $2: the highest threshold announced, in percent, $3: that the limit is exceeded? */
static const CtQuery set_announced_query = {
	"UPDATE {account} SET announced = $2, exceeded_announced = $3 WHERE account {=} $1",
	3, {CT_ACCOUNT_TYPE, INT4OID, BOOLOID}
};

/*
 * $2: limit of the tier that is needed, $3: contacts that need it, $4:
 * role; no row: as much is requested already
 */
static const CtQuery request_upgrade_query = {
	"WITH requested AS (UPDATE {account} a SET requested_limit = $2"
	"  WHERE a.account {=} $1 AND $2" CT_GT "coalesce(a.requested_limit, 0)"
	"  RETURNING a.plan, a.contact_limit)"
	" INSERT INTO {ledger} (account, recorded_at, event, role, contacts, details)"
	" SELECT $1, contacts_tier.clock(), 'upgrade_request', $4, $3, pg_catalog.jsonb_build_object("
	"  'contact_limit', $2, 'from', a.contact_limit,"
	"  'extra_price', (SELECT t.monthly_price FROM {tier} t"
	"    WHERE t.plan" CT_EQ "a.plan AND t.contact_limit" CT_EQ "$2)"
	"   " CT_SUB "(SELECT t.monthly_price FROM {tier} t"
	"    WHERE t.plan" CT_EQ "a.plan AND t.contact_limit" CT_EQ "a.contact_limit))"
	" FROM requested a",
	4, {CT_ACCOUNT_TYPE, INT8OID, INT8OID, TEXTOID}
};

/* A copy of a text that outlives the SPI connection */
static char *
copy_out(const char *text)
{
	return strcpy(SPI_palloc(strlen(text) + 1), text);
}

/* The same for an array of thresholds */
static void
copy_out_thresholds(CtSubscription *subscription, ArrayType *array)
{
	Datum	   *thresholds;
	int			count;

	deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT, &thresholds, NULL, &count);
	subscription->nthresholds = count;
	subscription->thresholds = SPI_palloc(sizeof(int) * Max(count, 1));
	for (int i = 0; i < count; i++)
		subscription->thresholds[i] = DatumGetInt32(thresholds[i]);
}

static CtThresholds
thresholds_of(const CtSubscription *subscription)
{
	return (CtThresholds)
	{
		.limit = subscription->contact_limit,
			.count = subscription->nthresholds,.percent = subscription->thresholds
	};
}

/*
 * Read the account row, and lock it by lock_account_query; NULL if there is none.
 */
static CtSubscription *
read_subscription(const CtClaim *claim, const CtQuery *query)
{
	int64		wanted = claim->used + claim->marketing + claim->dropped;
	Datum		values[] = {claim->account, Int64GetDatum(wanted)};
	CtSubscription *subscription;
	bool		isnull;

	if (ct_companion_query(claim->table, query, values, NULL) == 0)
		return NULL;
	subscription = SPI_palloc(sizeof(CtSubscription));
	subscription->plan = copy_out(ct_result_text(1));
	subscription->contact_limit = ct_result_int64(2);
	subscription->on_exceed = copy_out(ct_result_text(3));
	subscription->grace = ct_result_int64(4);
	subscription->has_access = ct_result_bool(5);
	copy_out_thresholds(subscription, DatumGetArrayTypeP(ct_result(6, INT4ARRAYOID, &isnull)));
	subscription->announced.threshold = DatumGetInt32(ct_result(7, INT4OID, &isnull));
	subscription->announced.exceeded = ct_result_bool(8);
	subscription->stored = subscription->announced;
	subscription->larger_tier = DatumGetInt64(ct_result(9, INT8OID, &isnull));
	if (isnull)
		subscription->larger_tier = 0;
	subscription->ended = ct_result_bool(10);
	subscription->has_plan = ct_result_bool(11);
	subscription->wanted = wanted;
	return subscription;
}

/* Announce an event in the ledger and by NOTIFY. */
static void
announce(const CtClaim *claim, const CtSubscription *subscription, const char *event, const char *details)
{
	int64		count = claim->used + claim->marketing;

	ct_announce(claim->table, claim->account, event, count, count,
				psprintf("{%s\"contact_limit\": %lld}", details, (long long) subscription->contact_limit));
}

/* Announce the thresholds that the claim reaches, and that it exceeds the limit. */
static void
announce_thresholds(const CtClaim *claim, CtSubscription *subscription)
{
	int64		count = claim->used + claim->marketing;
	CtThresholds thresholds = thresholds_of(subscription);
	int			percent;

	while ((percent = ct_next_announcement(&thresholds, &subscription->announced, count)) > 0)
	{
		announce(claim, subscription, "threshold", psprintf("\"threshold\": %d, ", percent));
		subscription->announced.threshold = percent;
	}
	if (count > subscription->contact_limit && !subscription->announced.exceeded)
	{
		announce(claim, subscription, "exceeded", "");
		subscription->announced.exceeded = true;
	}
}

/*
 * T1: move to the smallest tier that fits, and record it.
 */
static void
upgrade(const CtClaim *claim, CtSubscription *subscription)
{
	const CtAnnounced nothing = {0};

	ct_tier_move(claim->table, claim->account, subscription->larger_tier,
				 claim->used + claim->marketing, "exceeded", ct_now());
	subscription->contact_limit = subscription->larger_tier;
	subscription->announced = subscription->stored = nothing;
}

/*
 * How many contacts of the claim are beyond what the tier and its grace hold?
 */
static int64
excess(const CtClaim *claim, const CtSubscription *subscription)
{
	int64		most = ct_most_contacts(subscription->contact_limit, subscription->grace);

	return claim->marketing - (most - claim->used);
}

/*
 * Record which tier the account would need, for somebody to approve (approve_upgrade), and
 * notify, unless as much was requested already, or there is room by now for what was
 * decided early.
 */
static void
request_upgrade(const CtClaim *claim, const CtSubscription *subscription)
{
	Datum		values[] = {
		claim->account,
		Int64GetDatum(subscription->larger_tier),
		Int64GetDatum(subscription->wanted),
		CStringGetTextDatum(ct_caller_name())
	};
	bool		requested = false;

	if (strcmp(subscription->on_exceed, "cap") == 0 && subscription->larger_tier > subscription->contact_limit)
		requested = ct_companion_query(claim->table, &request_upgrade_query, values, NULL) > 0;
	if (requested)
		ct_notify(claim->table, claim->account, "upgrade_request", claim->used + claim->marketing,
				  psprintf("{\"contact_limit\": %lld, \"requested_limit\": %lld}",
						   (long long) subscription->contact_limit, (long long) subscription->larger_tier));
}

/* Announce how many contacts were stored as non-marketing contacts, if any. */
static void
announce_dropped(CtClaim *claim)
{
	const CtSubscription *subscription = claim->subscription;

	if (claim->dropped == 0)
		return;
	claim->is_told = true;
	claim->has_access = subscription != NULL && subscription->has_access;
	claim->contact_limit = subscription != NULL ? subscription->contact_limit : 0;
	ct_announce(claim->table, claim->account, "capped", claim->dropped, CT_COUNT_IN_DETAILS,
				psprintf("{\"dropped\": %lld, \"marketing_contacts\": %lld, \"contact_limit\": %lld}",
						 (long long) claim->dropped, (long long) (claim->used + claim->marketing),
						 (long long) claim->contact_limit));
}

/* Make the claim fit by a larger tier, if the policy says so and there is one (T1). */
static void
try_upgrade(CtClaim *claim)
{
	CtSubscription *subscription = claim->subscription;

	if (excess(claim, subscription) > 0 && strcmp(subscription->on_exceed, "upgrade") == 0 &&
		subscription->larger_tier > 0)
		upgrade(claim, subscription);
}

/*
 * Look at a claim beyond the ceiling, and move the account to a larger tier where its
 * policy says so.  Returns how many contacts still do not fit: the caller is to take as
 * many out of the claim as may be taken, under "cap" any, else those that only a default
 * asked for (*only_defaults; T3, S4), and then to call ct_limit_conclude().
 *
 * Locks: the account row, until the transaction ends; the caller holds all slots
 * of the account, and is the table's owner.
 */
int64
ct_limit_excess(CtClaim *claim, bool *only_defaults)
{
	CtSubscription *subscription;
	int64		result = PG_INT64_MAX;	/* without access none fits */

	ct_connect_spi();
	*only_defaults = true;
	subscription = claim->subscription = read_subscription(claim, &lock_account_query);
	if (subscription != NULL && subscription->has_access)
	{
		CtThresholds thresholds = thresholds_of(subscription);

		ct_rearm_thresholds(&thresholds, &subscription->announced, claim->lowest);
		try_upgrade(claim);
		*only_defaults = strcmp(subscription->on_exceed, "cap") != 0;
		result = Max(excess(claim, subscription), 0);
	}
	SPI_finish();
	return result;
}

/* Record which thresholds have been announced, where that has changed. */
static void
store_announced(const CtClaim *claim)
{
	const CtAnnounced *announced = &claim->subscription->announced;
	const CtAnnounced *stored = &claim->subscription->stored;
	Datum		values[] = {
		claim->account, Int32GetDatum(announced->threshold), BoolGetDatum(announced->exceeded)
	};

	if (announced->threshold != stored->threshold || announced->exceeded != stored->exceeded)
		ct_companion_query(claim->table, &set_announced_query, values, NULL);
}

static CtBounds
conclude(CtClaim *claim)
{
	CtSubscription *subscription = claim->subscription;
	CtBounds	none = {0};
	CtThresholds thresholds;

	if (subscription == NULL || !subscription->has_access)
	{
		if (claim->marketing > 0)
			ct_no_access_error(claim, subscription);
		announce_dropped(claim);
		return none;
	}
	if (claim->marketing > 0 && excess(claim, subscription) > 0)
		ct_exceeded_error(claim, subscription);
	if (claim->dropped > 0)
		request_upgrade(claim, subscription);
	announce_dropped(claim);
	announce_thresholds(claim, subscription);
	store_announced(claim);
	thresholds = thresholds_of(subscription);
	return ct_threshold_bounds(&thresholds, &subscription->announced, claim->used + claim->marketing,
							   subscription->grace);
}

/*
 * Decide about what is left of the claim.  Returns the new bounds; the ceiling holds the
 * claim, or is below the count where that is above the tier already.  Announces the
 * thresholds that the claim reaches, and the contacts that were dropped.
 *
 * Locks: as ct_limit_excess().  Errors: MC001, MC002.
 */
CtBounds
ct_limit_conclude(CtClaim *claim)
{
	CtBounds	result;

	ct_connect_spi();
	result = conclude(claim);
	SPI_finish();
	return result;
}

/*
 * Tell of contacts that were stored as non-marketing contacts at once, where the claim did
 * not tell of them.  Nothing is locked for that, so writers of a full account do not wait
 * for one another.  The caller is the table's owner.
 */
void
ct_limit_tell_dropped(CtClaim *claim)
{
	ct_connect_spi();
	claim->subscription = read_subscription(claim, &read_account_query);
	if (claim->subscription != NULL)
	{
		request_upgrade(claim, claim->subscription);
		announce_dropped(claim);
	}
	SPI_finish();
}

/*
 * Warn of contacts that were stored as non-marketing contacts, when nothing of the statement
 * is refused any more.
 */
void
ct_limit_warn_dropped(const CtClaim *claim)
{
	ereport(WARNING,
			(errcode(ERRCODE_CT_TIER_EXCEEDED),
			 errmsg_plural("%lld contact of account \"%s\" was stored as non-marketing contact",
						   "%lld contacts of account \"%s\" were stored as non-marketing contacts",
						   claim->dropped, (long long) claim->dropped, ct_account_text(claim->table, claim->account)),
			 claim->has_access ?
			 errdetail("The contact tier of %lld is full.", (long long) claim->contact_limit) :
			 errdetail("The account may not have marketing contacts.")));
}

/*
 * A period begins, and nothing is announced in it yet: announce the thresholds that the
 * account is above already.
 *
 * The caller holds the slots and the account row, and is the table's owner and connected
 * to SPI.
 */
void
ct_limit_begin_period(const CtTable *table, Datum account, int64 count)
{
	CtClaim		claim = {.table = table,.account = account,.used = count,.lowest = count};

	claim.subscription = read_subscription(&claim, &read_account_query);
	if (claim.subscription == NULL || !claim.subscription->has_access)
		return;
	announce_thresholds(&claim, claim.subscription);
	store_announced(&claim);
}
