/*-------------------------------------------------------------------------
 *
 * limit.c
 *	  What happens when an account's ceiling is reached (rules T1 to T4, T7,
 *	  T8 and N1).
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
#include "utils/jsonb.h"
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
	" a.ended_at IS NOT NULL, p.name IS NOT NULL, coalesce(a.max_limit, 0), a.source_policies, a.brake IS NOT NULL" \
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

/* $2: contacts that the tier would have to hold; 0: the plan has none */
static const CtQuery find_tier_query = {
	"SELECT coalesce(pg_catalog.min(t.contact_limit), 0) FROM {tier} t"
	" JOIN {account} a ON a.plan" CT_EQ "t.plan"
	" WHERE a.account {=} $1 AND t.contact_limit" CT_GE "$2",
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

/* The policies of source types, in memory that outlives the SPI connection; NULL for none. */
static Jsonb *
copy_out_policies(void)
{
	bool		isnull;
	Datum		value = ct_result(13, JSONBOID, &isnull);
	Jsonb	   *policies = isnull ? NULL : DatumGetJsonbP(value);

	if (isnull || !JB_ROOT_IS_OBJECT(policies) || JB_ROOT_COUNT(policies) == 0)
		return NULL;
	return memcpy(SPI_palloc(VARSIZE(policies)), policies, VARSIZE(policies));
}

/* A policy by its label, of "length" bytes; if it is none, "other". */
static CtPolicy
policy_of(const char *label, int length, CtPolicy other)
{
	static const struct
	{
		const char *label;
		CtPolicy	policy;
	}			policies[] = {
		{"upgrade", CT_POLICY_UPGRADE}, {"block", CT_POLICY_BLOCK}, {"cap", CT_POLICY_CAP}
	};

	for (size_t i = 0; i < lengthof(policies); i++)
		if (strlen(policies[i].label) == (Size) length && memcmp(policies[i].label, label, length) == 0)
			return policies[i].policy;
	return other;
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
	char	   *policy;

	if (ct_companion_query(claim->table, query, values, NULL) == 0)
		return NULL;
	subscription = SPI_palloc(sizeof(CtSubscription));
	subscription->plan = copy_out(ct_result_text(1));
	subscription->contact_limit = subscription->limit_before = ct_result_int64(2);
	policy = ct_result_text(3);
	subscription->policy = policy_of(policy, strlen(policy), CT_POLICY_BLOCK);
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
	subscription->max_limit = ct_result_int64(12);
	subscription->has_brake = ct_result_bool(14);
	subscription->source_policies = copy_out_policies();
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
 * T1: move to a larger tier, and record it.
 */
static void
upgrade(const CtClaim *claim, int64 tier)
{
	CtSubscription *subscription = claim->subscription;
	const CtAnnounced nothing = {0};

	ct_tier_move(claim->table, claim->account, tier, claim->used + claim->marketing, "exceeded", ct_now());
	subscription->contact_limit = tier;
	subscription->announced = subscription->stored = nothing;
}

/* How many contacts may the account have now? */
static int64
most(const CtSubscription *subscription)
{
	return ct_most_contacts(subscription->contact_limit, subscription->grace);
}

/* May the account move up to a tier by itself (T7)? */
static bool
is_allowed(const CtSubscription *subscription, int64 tier)
{
	return tier > subscription->contact_limit &&
		(subscription->max_limit == 0 || tier <= subscription->max_limit);
}

/*
 * Was something dropped by a policy "cap"?  Not by the brake alone, which a larger tier does not
 * release.  Where rows were decided early, no source type has a policy of its own (room.c).
 */
static bool
is_capped(const CtClaim *claim, const CtSubscription *subscription)
{
	return claim->capped || (claim->dropped_early > 0 &&
							 subscription->policy == CT_POLICY_CAP && subscription->source_policies == NULL);
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

	if (is_capped(claim, subscription) && is_allowed(subscription, subscription->larger_tier))
		requested = ct_companion_query(claim->table, &request_upgrade_query, values, NULL) > 0;
	if (requested)
		ct_notify(claim->table, claim->account, "upgrade_request", claim->used + claim->marketing,
				  psprintf("{\"contact_limit\": %lld, \"requested_limit\": %lld}",
						   (long long) subscription->contact_limit, (long long) subscription->larger_tier));
}

/* The limit of the tier that had no room: the one before, if the account has moved up for others (T8). */
static int64
full_limit(const CtClaim *claim)
{
	const CtSubscription *subscription = claim->subscription;

	return claim->used + claim->marketing < subscription->contact_limit ?
		subscription->limit_before : subscription->contact_limit;
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
	claim->contact_limit = subscription != NULL ? full_limit(claim) : 0;
	claim->by_default = !claim->has_access || !is_capped(claim, subscription);
	claim->has_larger_tier = claim->has_access && is_allowed(subscription, subscription->larger_tier);
	ct_announce(claim->table, claim->account, "capped", claim->dropped, CT_COUNT_IN_DETAILS,
				psprintf("{\"dropped\": %lld, \"marketing_contacts\": %lld, \"contact_limit\": %lld}",
						 (long long) claim->dropped, (long long) (claim->used + claim->marketing),
						 (long long) claim->contact_limit));
}

/*
 * Begin to decide about a claim beyond the ceiling; false if the account may have no marketing
 * contacts.  The caller is to make the claim fit as far as it can, by what may be dropped and by
 * a larger tier (T1, T3, T8, S4), and then to call ct_limit_conclude().
 *
 * Locks: the account row, until the transaction ends; the caller holds all slots
 * of the account, and is the table's owner.
 */
bool
ct_limit_begin(CtClaim *claim)
{
	CtSubscription *subscription;
	CtThresholds thresholds;

	ct_connect_spi();
	subscription = claim->subscription = read_subscription(claim, &lock_account_query);
	SPI_finish();
	if (subscription == NULL || !subscription->has_access)
		return false;
	thresholds = thresholds_of(subscription);
	ct_rearm_thresholds(&thresholds, &subscription->announced, claim->lowest);
	return true;
}

/*
 * How many contacts of the claim are beyond what the tier and its grace hold?  0 if none is.
 */
int64
ct_limit_excess(const CtClaim *claim)
{
	return Max(claim->marketing - (most(claim->subscription) - claim->used), 0);
}

/*
 * Which policy do promotions of a source type follow, of "length" bytes; NULL for none (T8)?
 */
CtPolicy
ct_limit_policy(const CtSubscription *subscription, const char *source_type, int length)
{
	const Jsonb *policies = subscription->source_policies;
	JsonbValue *found;

	if (policies == NULL || source_type == NULL)
		return subscription->policy;
	found = getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &policies->root), source_type, length, NULL);
	if (found == NULL || found->type != jbvString)
		return subscription->policy;
	return policy_of(found->val.string.val, found->val.string.len, subscription->policy);
}

/* The smallest tier of the account's plan that holds so many contacts, 0 for none. */
static int64
find_tier(const CtClaim *claim, int64 wanted)
{
	Datum		values[] = {claim->account, Int64GetDatum(wanted)};
	int64		tier;

	ct_connect_spi();
	ct_companion_query(claim->table, &find_tier_query, values, NULL);
	tier = ct_result_int64(1);
	SPI_finish();
	return tier;
}

/*
 * T1: move the account to the smallest tier that holds so many contacts, if its own does not, and
 * there is one that it may move up to (T7).  The caller has called ct_limit_begin(), which said
 * that the account may have marketing contacts.
 */
bool
ct_limit_upgrade(CtClaim *claim, int64 wanted)
{
	CtSubscription *subscription = claim->subscription;
	int64		tier;

	if (wanted <= most(subscription))
		return false;
	tier = wanted == subscription->wanted ? subscription->larger_tier : find_tier(claim, wanted);
	if (!is_allowed(subscription, tier))
		return false;
	ct_connect_spi();
	upgrade(claim, tier);
	SPI_finish();
	return true;
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
	if (claim->marketing > 0 && ct_limit_excess(claim) > 0)
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
 * Locks: as ct_limit_begin().  Errors: MC001, MC002.
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
