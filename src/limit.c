/*-------------------------------------------------------------------------
 *
 * limit.c
 *	  What happens when an account's ceiling is reached (design.md, T1, T2, T4).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
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
} Subscription;

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
	ancestors = get_partition_ancestors(table->relid);
	return llast_oid(ancestors);
}

/*
 * Put schema and table of the contacts into the fields of an error.
 */
static int
errcontacts(const CtTable *table)
{
	Oid			relid = attached_relid(table);

	err_generic_string(PG_DIAG_SCHEMA_NAME, get_namespace_name(get_rel_namespace(relid)));
	err_generic_string(PG_DIAG_TABLE_NAME, get_rel_name(relid));
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
	char	   *account = ct_account_text(claim->table, claim->account);

	ereport(ERROR,
			(errcode(ERRCODE_CT_NO_ACCESS),
			 errmsg("account \"%s\" has no marketing contacts", account),
			 subscription == NULL ?
			 errdetail("The account has no subscription; the statement would make %lld of its contacts marketing contacts.",
					   (long long) claim->wanted) :
			 errdetail("Plan \"%s\" does not include marketing contacts; the statement would make %lld of its contacts marketing contacts.",
					   subscription->plan, (long long) claim->wanted),
			 errhint("Subscribe the account to a plan with marketing contacts by contacts_tier.subscribe(), or leave the contacts non-marketing."),
			 errcontacts(claim->table)));
}

static void
exceeded_error(const CtClaim *claim, const Subscription *subscription)
{
	char	   *account = ct_account_text(claim->table, claim->account);
	bool		blocked = strcmp(subscription->on_exceed, "block") == 0;
	int64		room = subscription->contact_limit + subscription->grace - claim->used;

	ereport(ERROR,
			(errcode(ERRCODE_CT_TIER_EXCEEDED),
			 errmsg("contact tier of account \"%s\" exceeded", account),
			 errdetail("The account has %lld of %lld marketing contacts and a grace of %lld; the statement adds %lld where %lld fit.",
					   (long long) claim->used, (long long) subscription->contact_limit,
					   (long long) subscription->grace, (long long) claim->wanted,
					   (long long) Max(room, 0)),
			 blocked && subscription->larger_tier > 0 ?
			 errhint("Make fewer contacts marketing, or set the policy of the account to \"upgrade\" by contacts_tier.set_policy(): the next tier that fits has %lld contacts.",
					 (long long) subscription->larger_tier) :
			 errhint("Make fewer contacts marketing: plan \"%s\" has no larger tier that fits.",
					 subscription->plan),
			 errcontacts(claim->table)));
}

/*
 * Read and lock the account row; false if there is none.
 */
static bool
lock_subscription(const CtClaim *claim, Subscription *subscription)
{
	Datum		values[] = {claim->account, Int64GetDatum(claim->used + claim->wanted)};
	bool		isnull;

	if (ct_companion_query(claim->table, CT_QUERY_LOCK_ACCOUNT, values, NULL) == 0)
		return false;
	subscription->plan = ct_result_text(1);
	subscription->contact_limit = ct_result_int64(2);
	subscription->on_exceed = ct_result_text(3);
	subscription->grace = ct_result_int64(4);
	subscription->has_access = DatumGetBool(ct_result(5, &isnull));
	subscription->larger_tier = DatumGetInt64(ct_result(6, &isnull));
	if (isnull)
		subscription->larger_tier = 0;
	return true;
}

/*
 * T1: move to the smallest tier that fits, and record it.
 */
static void
upgrade(const CtClaim *claim, int64 contact_limit)
{
	Datum		values[] = {
		claim->account,
		Int64GetDatum(contact_limit),
		Int64GetDatum(claim->used + claim->wanted),
		TimestampTzGetDatum(ct_now()),
		CStringGetTextDatum(ct_caller_name())
	};

	ct_companion_query(claim->table, CT_QUERY_SET_TIER, values, NULL);
}

/*
 * Decide about a claim beyond the ceiling.  The counter row is locked, so what
 * the claim says of it is final.  Returns the new ceiling, which holds the
 * claim; moves the account to a larger tier where its policy says so.
 *
 * Locks: the account row, until the transaction ends.  Errors: MC001, MC002.
 */
int64
ct_limit_decide(const CtClaim *claim)
{
	Subscription subscription;
	int64		needed = claim->used + claim->wanted;

	if (!lock_subscription(claim, &subscription))
		no_access_error(claim, NULL);
	if (!subscription.has_access)
		no_access_error(claim, &subscription);

	if (needed <= subscription.contact_limit)
		return subscription.contact_limit;
	if (needed <= subscription.contact_limit + subscription.grace)
		return subscription.contact_limit + subscription.grace; /* T4 */

	if (strcmp(subscription.on_exceed, "upgrade") != 0 || subscription.larger_tier == 0)
		exceeded_error(claim, &subscription);
	upgrade(claim, subscription.larger_tier);
	return subscription.larger_tier;
}
