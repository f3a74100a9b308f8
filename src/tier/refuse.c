/*-------------------------------------------------------------------------
 *
 * refuse.c
 *	  The errors by which a statement is refused (rule T2), and the warning of what was not.
 *
 * They say in numbers what the statement would do, in the fields of an error which table it
 * concerns, and in a HINT what can be done.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/lsyscache.h"

#include "tier/tier.h"

/*
 * For an ereport(): put schema and table of the contacts into the fields of an error.
 */
int
ct_errcontacts(const CtTable *table)
{
	return ct_errtable(table->relid);
}

/*
 * A contact that belongs to no account cannot be a marketing contact: MC002.  Nothing could
 * count it.
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
			 ct_errcontacts(table)));
}

/* Why an account may not have marketing contacts */
typedef enum Reason
{
	NOT_SUBSCRIBED,
	ENDED,
	NOT_INCLUDED,				/* in its plan */
	PLAN_MISSING
} Reason;

/* Of several reasons the first counts: a plan does not matter once a subscription has ended. */
static Reason
reason_of(const CtSubscription *subscription)
{
	if (subscription == NULL)
		return NOT_SUBSCRIBED;
	if (subscription->ended)
		return ENDED;
	return subscription->has_plan ? NOT_INCLUDED : PLAN_MISSING;
}

/* The reason as DETAIL, for an ereport(). */
static int
errdetail_no_access(Reason reason, const CtClaim *claim, const CtSubscription *subscription)
{
	long long	contacts = (long long) claim->marketing;

	switch (reason)
	{
		case NOT_SUBSCRIBED:
			return errdetail("The account has no subscription; the statement would make %lld of its contacts marketing contacts.",
							 contacts);
		case ENDED:
			return errdetail("The subscription of the account has ended; the statement would make %lld of its contacts marketing contacts.",
							 contacts);
		case NOT_INCLUDED:
			return errdetail("Plan \"%s\" does not include marketing contacts; the statement would make %lld of the account's contacts marketing contacts.",
							 subscription->plan, contacts);
		case PLAN_MISSING:
			return errdetail("Plan \"%s\" of the subscription no longer exists; the statement would make %lld of the account's contacts marketing contacts.",
							 subscription->plan, contacts);
	}
	return 0;
}

/* What can be done about it, as HINT. */
static int
errhint_no_access(Reason reason, bool is_move)
{
	if (reason == NOT_SUBSCRIBED && is_move)
		return errhint("If an account gets another key, call contacts_tier.rename_account() first, in the same transaction.  Otherwise subscribe the account with contacts_tier.subscribe(), or leave the contacts non-marketing.");
	switch (reason)
	{
		case NOT_SUBSCRIBED:
		case ENDED:
			return errhint("Subscribe the account with contacts_tier.subscribe(), to a plan that includes marketing contacts, or leave the contacts non-marketing.");
		case NOT_INCLUDED:
			return errhint("Leave the contacts non-marketing, or cancel the subscription and subscribe the account to another plan.");
		case PLAN_MISSING:
			return errhint("Create the plan again with contacts_tier.create_plan(), or leave the contacts non-marketing.");
	}
	return 0;
}

/*
 * The account may not have marketing contacts: MC002.  "subscription" is NULL where
 * there is none.  The caller is the table's owner.
 */
void
ct_no_access_error(const CtClaim *claim, const CtSubscription *subscription)
{
	Reason		reason = reason_of(subscription);

	ereport(ERROR,
			(errcode(ERRCODE_CT_NO_ACCESS),
			 errmsg("account \"%s\" may not have marketing contacts",
					ct_account_text(claim->table, claim->account)),
			 errdetail_no_access(reason, claim, subscription),
			 errhint_no_access(reason, claim->is_move),
			 ct_errcontacts(claim->table)));
}

/* What can be done about a tier that is too small, as HINT; max_limit may be what keeps the account in it (T7). */
static int
errhint_exceeded(const CtSubscription *subscription)
{
	long long	tier = (long long) subscription->larger_tier;
	bool		upgrades = subscription->policy == CT_POLICY_UPGRADE;

	if (tier == 0)
		return errhint("Promote fewer contacts: plan \"%s\" has no tier that would hold them all.",
					   subscription->plan);
	if (subscription->max_limit > 0 && subscription->max_limit < tier)
		return upgrades ?
			errhint("Promote fewer contacts, move the account to the tier of %lld contacts with contacts_tier.change_tier(), or raise its max_limit, which is %lld, with contacts_tier.set_policy().",
					tier, (long long) subscription->max_limit) :
			errhint("Promote fewer contacts, move the account to the tier of %lld contacts with contacts_tier.change_tier(), or set its policy to \"upgrade\" and raise its max_limit, which is %lld, with contacts_tier.set_policy().",
					tier, (long long) subscription->max_limit);
	return upgrades ?
		errhint("Promote fewer contacts, move the account to the tier of %lld contacts with contacts_tier.change_tier(), or change its source_policies with contacts_tier.set_policy().",
				tier) :
		errhint("Promote fewer contacts, move the account to the tier of %lld contacts with contacts_tier.change_tier(), or set its policy to \"upgrade\" with contacts_tier.set_policy().",
				tier);
}

/*
 * The claim does not fit into the tier: MC001.  No constraint of the catalogue is
 * violated; the name lets applications tell it by the field that they look at for
 * those, too.
 */
void
ct_exceeded_error(const CtClaim *claim, const CtSubscription *subscription)
{
	char	   *account = ct_account_text(claim->table, claim->account);
	int64		room = ct_most_contacts(subscription->limit_before, subscription->grace) - claim->used;
	char	   *grace = subscription->grace == 0 ? "" :
		psprintf(" and a grace of %lld", (long long) subscription->grace);

	ereport(ERROR,
			(errcode(ERRCODE_CT_TIER_EXCEEDED),
			 errmsg("contact tier of account \"%s\" exceeded", account),
			 errdetail("The account has %lld of %lld marketing contacts%s; the statement adds %lld, but there is room for %lld.",
					   (long long) claim->used, (long long) subscription->limit_before,
					   grace, (long long) claim->marketing, (long long) Max(room, 0)),
			 errhint_exceeded(subscription),
			 err_generic_string(PG_DIAG_CONSTRAINT_NAME, "contact_tier"),
			 ct_errcontacts(claim->table)));
}

/* Why contacts were stored as non-marketing contacts, as DETAIL. */
static int
errdetail_dropped(const CtClaim *claim)
{
	long long	limit = (long long) claim->contact_limit;

	if (!claim->has_access)
		return errdetail("No status was given, and the account may not have marketing contacts.");
	if (claim->by_default)
		return errdetail_plural("No status was given, and the contact tier of %lld contact is full.",
								"No status was given, and the contact tier of %lld contacts is full.", limit, limit);
	return errdetail_plural("The contact tier of %lld contact is full.",
							"The contact tier of %lld contacts is full.", limit, limit);
}

/*
 * Warn of contacts that were stored as non-marketing contacts, when nothing of the statement
 * is refused any more.
 */
void
ct_limit_warn_dropped(const CtClaim *claim)
{
	ereport(WARNING,
			(errcode(ERRCODE_CT_STORED_NON_MARKETING),
			 errmsg_plural("%lld contact of account \"%s\" was stored as a non-marketing contact",
						   "%lld contacts of account \"%s\" were stored as non-marketing contacts",
						   claim->dropped, (long long) claim->dropped, ct_account_text(claim->table, claim->account)),
			 claim->braked ? errdetail("The brake of the account leaves no room for them.") : errdetail_dropped(claim),
			 !claim->braked && !claim->by_default && claim->has_larger_tier ?
			 errhint("Grant the larger tier with contacts_tier.approve_upgrade().") : 0,
			 ct_errcontacts(claim->table)));
}
