/*-------------------------------------------------------------------------
 *
 * limit.c
 *	  What happens when an account's ceiling is reached (design.md, T1, T2, T4
 *	  and N1).
 *
 * The caller holds all slots of the account, so the count is exact, and nobody
 * else decides about the account at the same time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "contacts_tier.h"

/* The subscription of an account, as a decision needs it */
typedef struct Subscription
{
	char	   *plan;
	char	   *on_exceed;		/* label of contacts_tier.exceed_policy */
	int64		contact_limit;
	int64		grace;			/* contacts let through above the limit */
	int64		larger_tier;	/* smallest tier that would do, 0 for none */
	bool		has_access;		/* does the plan include marketing contacts? */
	bool		ended;			/* was it cancelled, and is over? */
	int			nthresholds;
	Datum	   *thresholds;		/* int4, percent of the limit, ascending */
	int			announced;		/* highest that was announced, or EXCEEDED */
} Subscription;

/* Announced instead of a threshold: the count is above the limit */
#define EXCEEDED	101

/*
 * The attached table to name in an error: the root of a partition, for which
 * the statement may have been meant.
 */
static Oid
attached_relid(const CtTable *table)
{
	List	   *ancestors;

	if (!get_rel_relispartition(table->relid))
		return table->relid;
	/* none for a partition that waits to be detached, and has one still */
	ancestors = get_partition_ancestors(table->relid);
	return ancestors == NIL ? table->relid : llast_oid(ancestors);
}

/*
 * Put schema and table of the contacts into the fields of an error.
 */
static int
errcontacts(const CtTable *table)
{
	Oid			relid = attached_relid(table);
	char	   *schema = get_namespace_name(get_rel_namespace(relid));
	char	   *name = get_rel_name(relid);

	/* the root is not locked by a statement on a partition, and may be gone */
	if (schema != NULL && name != NULL)
	{
		err_generic_string(PG_DIAG_SCHEMA_NAME, schema);
		err_generic_string(PG_DIAG_TABLE_NAME, name);
	}
	return 0;
}

/*
 * A contact that belongs to no account cannot be a marketing contact: MC002.
 */
void
ct_null_account_error(const CtTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_CT_NO_ACCESS),
			 errmsg("a contact without an account cannot be a marketing contact"),
			 errdetail("Column \"%s\" is null.",
					   get_attname(table->relid, table->attno[CT_ARG_ACCOUNT], false)),
			 errhint("Set the account of the contact first, or leave the contact non-marketing."),
			 errcontacts(table)));
}

static void
no_access_error(const CtClaim *claim, const Subscription *subscription)
{
	char	   *account = ct_account_text(claim->table, claim->delta->account);

	ereport(ERROR,
			(errcode(ERRCODE_CT_NO_ACCESS),
			 errmsg("account \"%s\" has no marketing contacts", account),
			 subscription == NULL ?
			 errdetail("The account has no subscription; the statement would make %lld of its contacts marketing contacts.",
					   (long long) claim->delta->marketing) :
			 subscription->ended ?
			 errdetail("The subscription of the account has ended; the statement would make %lld of its contacts marketing contacts.",
					   (long long) claim->delta->marketing) :
			 errdetail("Plan \"%s\" does not include marketing contacts; the statement would make %lld of its contacts marketing contacts.",
					   subscription->plan, (long long) claim->delta->marketing),
			 errhint("Subscribe the account to a plan with marketing contacts by contacts_tier.subscribe(), or leave the contacts non-marketing."),
			 errcontacts(claim->table)));
}

static void
exceeded_error(const CtClaim *claim, const Subscription *subscription)
{
	char	   *account = ct_account_text(claim->table, claim->delta->account);
	int64		room = subscription->contact_limit - claim->used + subscription->grace;
	char	   *grace = subscription->grace == 0 ? "" :
		psprintf(" and a grace of %lld", (long long) subscription->grace);

	ereport(ERROR,
			(errcode(ERRCODE_CT_TIER_EXCEEDED),
			 errmsg("contact tier of account \"%s\" exceeded", account),
			 errdetail("The account has %lld of %lld marketing contacts%s; the statement adds %lld where %lld fit.",
					   (long long) claim->used, (long long) subscription->contact_limit,
					   grace, (long long) claim->delta->marketing, (long long) Max(room, 0)),
			 subscription->larger_tier > 0 ?
			 errhint("Make fewer contacts marketing, or set the policy of the account to \"upgrade\" by contacts_tier.set_policy(): the next tier that fits has %lld contacts.",
					 (long long) subscription->larger_tier) :
			 errhint("Make fewer contacts marketing: plan \"%s\" has no larger tier that fits.",
					 subscription->plan),
			 errcontacts(claim->table)));
}

/*
 * Read the account row, and lock it by CT_QUERY_LOCK_ACCOUNT; false if there is none.  A
 * larger tier would have to hold "wanted" contacts.
 */
static bool
read_subscription(const CtClaim *claim, CtQuery query, int64 wanted, Subscription *subscription)
{
	Datum		values[] = {claim->delta->account, Int64GetDatum(wanted)};
	bool		isnull;

	if (ct_companion_query(claim->table, query, values, NULL) == 0)
		return false;
	subscription->plan = ct_result_text(1);
	subscription->contact_limit = ct_result_int64(2);
	subscription->on_exceed = ct_result_text(3);
	subscription->grace = ct_result_int64(4);
	subscription->has_access = ct_result_bool(5);
	deconstruct_array(DatumGetArrayTypeP(ct_result(6, INT4ARRAYOID, &isnull)), INT4OID, sizeof(int32), true,
					  TYPALIGN_INT, &subscription->thresholds, NULL, &subscription->nthresholds);
	subscription->announced = DatumGetInt32(ct_result(7, INT4OID, &isnull));
	subscription->larger_tier = DatumGetInt64(ct_result(8, INT8OID, &isnull));
	if (isnull)
		subscription->larger_tier = 0;
	subscription->ended = ct_result_bool(9);
	return true;
}

/* The count at which a threshold is reached: its share of the limit, rounded up. */
static int64
threshold_count(int64 limit, int percent)
{
	return limit / 100 * percent + (limit % 100 * percent + 99) / 100;
}

/*
 * Announcements that the count has fallen below since are forgotten, so that
 * they are made again.
 */
static void
rearm(Subscription *subscription, int64 used)
{
	int			still = 0;

	if (subscription->announced == EXCEEDED && used > subscription->contact_limit)
		return;
	for (int i = 0; i < subscription->nthresholds; i++)
	{
		int			percent = DatumGetInt32(subscription->thresholds[i]);

		if (percent <= subscription->announced && threshold_count(subscription->contact_limit, percent) <= used)
			still = percent;
	}
	subscription->announced = still;
}

/*
 * Announce in the ledger and by NOTIFY that a threshold, or the limit itself,
 * has been passed.
 */
static void
announce(const CtClaim *claim, Subscription *subscription, int percent)
{
	int64		count = claim->used + claim->delta->marketing;
	char	   *threshold = percent == EXCEEDED ? "" : psprintf("\"threshold\": %d, ", percent);

	ct_announce(claim->table, claim->delta->account, percent == EXCEEDED ? "exceeded" : "threshold",
				count, count, psprintf("{%s\"contact_limit\": %lld}", threshold,
									   (long long) subscription->contact_limit));
	subscription->announced = percent;
}

static void
announce_thresholds(const CtClaim *claim, Subscription *subscription)
{
	int64		count = claim->used + claim->delta->marketing;

	for (int i = 0; i < subscription->nthresholds; i++)
	{
		int			percent = DatumGetInt32(subscription->thresholds[i]);

		if (percent > subscription->announced && threshold_count(subscription->contact_limit, percent) <= count)
			announce(claim, subscription, percent);
	}
	if (count > subscription->contact_limit && subscription->announced < EXCEEDED)
		announce(claim, subscription, EXCEEDED);
}

/*
 * The count up to which nobody needs to look: one below the next threshold, at
 * most the limit, or the grace where the limit is exceeded already.
 */
static int64
ceiling(const Subscription *subscription, int64 count)
{
	if (count > subscription->contact_limit)
		return subscription->contact_limit +
			Min(subscription->grace, PG_INT64_MAX - subscription->contact_limit);
	for (int i = 0; i < subscription->nthresholds; i++)
	{
		int			percent = DatumGetInt32(subscription->thresholds[i]);

		if (percent > subscription->announced)
			return Min(threshold_count(subscription->contact_limit, percent) - 1, subscription->contact_limit);
	}
	return subscription->contact_limit;
}

/*
 * T1: move to the smallest tier that fits, and record it.
 */
static void
upgrade(const CtClaim *claim, Subscription *subscription)
{
	ct_tier_move(claim->table, claim->delta->account, subscription->larger_tier,
				 claim->used + claim->delta->marketing, "exceeded", ct_now());
	subscription->contact_limit = subscription->larger_tier;
	subscription->announced = 0;
}

/*
 * How many contacts of the claim are beyond what the tier and its grace hold?
 */
static int64
excess(const CtClaim *claim, const Subscription *subscription)
{
	int64		room = subscription->contact_limit - claim->used +
		Min(subscription->grace, PG_INT64_MAX - subscription->contact_limit);

	return claim->delta->marketing - room;
}

/*
 * Note which tier the account would need, for somebody to approve (approve_upgrade),
 * unless as much was asked for already.  "count" are the contacts that it would hold.
 */
static void
request_upgrade(const CtClaim *claim, const Subscription *subscription, int64 count)
{
	Datum		values[] = {
		claim->delta->account,
		Int64GetDatum(subscription->larger_tier),
		Int64GetDatum(count),
		CStringGetTextDatum(ct_caller_name())
	};

	if (strcmp(subscription->on_exceed, "cap") == 0 && subscription->larger_tier > 0)
		ct_companion_query(claim->table, CT_QUERY_REQUEST_UPGRADE, values, NULL);
}

/* Announce how many contacts were stored as non-marketing contacts, if any. */
static void
announce_dropped(const CtClaim *claim, const Subscription *subscription)
{
	CtDelta    *delta = claim->delta;
	int64		dropped = delta->dropped;

	if (dropped == 0)
		return;
	ct_announce(claim->table, delta->account, "capped", dropped, -1,
				psprintf("{\"dropped\": %lld, \"marketing_contacts\": %lld, \"contact_limit\": %lld}",
						 (long long) dropped, (long long) (claim->used + delta->marketing),
						 (long long) subscription->contact_limit));
	delta->has_access = subscription->has_access;
	delta->contact_limit = subscription->contact_limit;
	delta->is_told = true;
}

/*
 * The account has no marketing contacts: those that only a default made ones are
 * not, and others are refused.
 */
static int64
decide_without_access(const CtClaim *claim, const Subscription *subscription)
{
	static const Subscription none = {0};

	ct_delta_drop(claim->delta, ct_delta_by_default(claim->delta), true);
	if (claim->delta->marketing > 0)
		no_access_error(claim, subscription);
	announce_dropped(claim, subscription != NULL ? subscription : &none);
	return 0;
}

/*
 * Make the claim fit: by a larger tier, or by dropping what may be dropped, under "cap"
 * any of the promotions, else those that only a default asked for (T3, S4).
 */
static void
fit(const CtClaim *claim, Subscription *subscription)
{
	bool		caps = strcmp(subscription->on_exceed, "cap") == 0;

	if (strcmp(subscription->on_exceed, "upgrade") == 0 && subscription->larger_tier > 0)
	{
		upgrade(claim, subscription);
		return;
	}
	ct_delta_drop(claim->delta, excess(claim, subscription), !caps);
	if (claim->delta->marketing > 0 && excess(claim, subscription) > 0)
		exceeded_error(claim, subscription);
}

static int64
decide(const CtClaim *claim)
{
	int64		wanted = claim->used + claim->delta->marketing + claim->delta->dropped;
	Subscription subscription;
	int			announced;

	if (!read_subscription(claim, CT_QUERY_LOCK_ACCOUNT, wanted, &subscription))
		return decide_without_access(claim, NULL);
	if (!subscription.has_access)
		return decide_without_access(claim, &subscription);

	announced = subscription.announced;
	rearm(&subscription, claim->used);
	if (excess(claim, &subscription) > 0)
	{
		int64		limit = subscription.contact_limit;

		fit(claim, &subscription);
		if (subscription.contact_limit != limit)
			announced = 0;
	}
	if (claim->delta->dropped > 0)
		request_upgrade(claim, &subscription, wanted);
	announce_dropped(claim, &subscription);
	announce_thresholds(claim, &subscription);
	if (subscription.announced != announced)
	{
		Datum		values[] = {claim->delta->account, Int32GetDatum(subscription.announced)};

		ct_companion_query(claim->table, CT_QUERY_SET_ANNOUNCED, values, NULL);
	}
	return ceiling(&subscription, claim->used + claim->delta->marketing);
}

/*
 * Decide about a claim beyond the ceiling.  Returns the new ceiling, which holds
 * the claim, or is below the count where that is above the tier already; moves
 * the account to a larger tier where its policy says so, takes contacts that do
 * not fit out of the claim where they may be, and announces the thresholds that
 * the claim reaches.
 *
 * Locks: the account row, until the transaction ends; the caller holds all slots
 * of the account.  Errors: MC001, MC002.
 */
int64
ct_limit_decide(const CtClaim *claim)
{
	int64		result;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	result = decide(claim);
	SPI_finish();
	return result;
}

/*
 * Tell of contacts that were stored as non-marketing contacts at once, where the claim did
 * not tell of them.  Nothing is locked for that, so writers of a full account do not wait
 * for one another.  The caller is the table's owner.
 */
void
ct_limit_tell_dropped(const CtTable *table, CtDelta *delta)
{
	CtClaim		claim = {.table = table,.delta = delta,.used = delta->total};
	int64		wanted = delta->total + delta->marketing + delta->dropped;
	Subscription subscription;

	if (delta->dropped == 0 || delta->is_told)
		return;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (read_subscription(&claim, CT_QUERY_READ_ACCOUNT, wanted, &subscription))
	{
		request_upgrade(&claim, &subscription, wanted);
		announce_dropped(&claim, &subscription);
	}
	SPI_finish();
}

/*
 * Warn of contacts that were stored as non-marketing contacts, when nothing of the statement
 * is refused any more.
 */
void
ct_limit_warn_dropped(const CtTable *table, const CtDelta *delta)
{
	if (delta->dropped == 0 || !delta->is_told)
		return;
	ereport(WARNING,
			(errcode(ERRCODE_CT_TIER_EXCEEDED),
			 errmsg_plural("%lld contact of account \"%s\" was stored as non-marketing contact",
						   "%lld contacts of account \"%s\" were stored as non-marketing contacts",
						   delta->dropped, (long long) delta->dropped, ct_account_text(table, delta->account)),
			 delta->has_access ?
			 errdetail("The contact tier of %lld is full.", (long long) delta->contact_limit) :
			 errdetail("The account has no marketing contacts.")));
}

/*
 * Has everything been announced that the account has reached, and nothing that it has fallen
 * below?  Then a contact that does not fit announces nothing.
 */
bool
ct_limit_is_announced(const CtAccountLook *look, int64 count)
{
	int			reached = count > look->contact_limit ? EXCEEDED : 0;

	for (int i = 0; i < look->nthresholds && reached != EXCEEDED; i++)
		if (threshold_count(look->contact_limit, look->thresholds[i]) <= count)
			reached = look->thresholds[i];
	return look->announced == reached;
}
