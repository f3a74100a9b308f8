/*-------------------------------------------------------------------------
 *
 * judge.c
 *	  What becomes of a change that the counter has no room for (rules T1 to T3, T7, T8 and S4).
 *
 * Each promotion follows the policy of its source type, or else that of the account.  In one
 * statement
 *
 *	 first those are dropped that may be: under "cap", and by default under "block";
 *	 then the account moves to the tier that holds the others, those under "block" not counted,
 *		if some are under "upgrade" and there is such a tier;
 *	 then those by default are dropped;
 *	 and if some still do not fit, the statement is refused.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "capture/capture.h"

/* What a change claims as it stands: some of it may have been dropped since. */
static void
set_claimed(CtClaim *claim, const CtDelta *delta)
{
	claim->marketing = delta->marketing;
	claim->dropped = delta->dropped;
}

/* The policy of a promotion, by its row as it is now; that of the account if it is no promotion any more. */
static CtPolicy
policy_of_row(const CtSubscription *subscription, CtDelta *delta, const CtPromotion *promotion)
{
	CtRow		row;
	text	   *source_type;

	if (!ct_promoted_row(delta, promotion, &row) || row.isnull[CT_ARG_SOURCE_TYPE])
		return subscription->policy;
	source_type = DatumGetTextPP(row.value[CT_ARG_SOURCE_TYPE]);
	return ct_limit_policy(subscription, VARDATA_ANY(source_type), VARSIZE_ANY_EXHDR(source_type));
}

/*
 * Note which policy each promotion follows.  Rows are read only if several source types have met in
 * the statement.
 */
static void
note_policies(const CtSubscription *subscription, CtDelta *delta)
{
	bool		is_mixed = subscription->source_policies != NULL && delta->source_type == NULL;
	CtPolicy	policy = delta->source_type == NULL ? subscription->policy :
		ct_limit_policy(subscription, delta->source_type, strlen(delta->source_type));

	for (int64 i = 0; i < delta->npromotions; i++)
	{
		CHECK_FOR_INTERRUPTS();
		delta->promotions[i].policy = is_mixed ?
			policy_of_row(subscription, delta, &delta->promotions[i]) : policy;
	}
}

/* Drop what may be dropped, as far as the claim does not fit. */
static void
drop(CtClaim *claim, CtDelta *delta, CtDroppable droppable)
{
	int64		excess = claim->subscription != NULL && claim->subscription->has_access ?
		ct_limit_excess(claim) : PG_INT64_MAX;	/* without access none fits */

	claim->capped |= ct_delta_drop(delta, excess, droppable);
	set_claimed(claim, delta);
}

/* Promotions of a claim that were not dropped, by what they may do */
typedef struct Numbers
{
	int64		blocked;		/* cause no move to a larger tier */
	int64		by_default;		/* would, but only a default asked for them */
	int64		others;			/* cause one */
}			Numbers;

static Numbers
count_promotions(const CtDelta *delta)
{
	Numbers		numbers = {0};

	for (int64 i = 0; i < delta->npromotions; i++)
	{
		const CtPromotion *promotion = &delta->promotions[i];

		if (promotion->dropped)
			continue;
		if (promotion->policy != CT_POLICY_UPGRADE)
			numbers.blocked++;
		else if (promotion->by_default)
			numbers.by_default++;
		else
			numbers.others++;
	}
	return numbers;
}

/*
 * Move the account to a larger tier, for those promotions that may cause it; if none holds them
 * all, for those that are not by default.
 */
static void
move_up(CtClaim *claim, const CtDelta *delta)
{
	Numbers		numbers = count_promotions(delta);
	int64		wanted = claim->used + claim->marketing - numbers.blocked;

	if (numbers.others + numbers.by_default > 0 && ct_limit_upgrade(claim, wanted))
		return;
	if (numbers.others > 0 && numbers.by_default > 0)
		(void) ct_limit_upgrade(claim, wanted - numbers.by_default);
}

/*
 * The counter is locked and has no room: let the tier decide, and drop what does not fit.
 * Returns the bounds within which nobody needs to ask.
 *
 * Locks: as ct_limit_begin().  Errors: MC001, MC002.
 */
CtBounds
ct_judge(CtClaim *claim, CtDelta *delta)
{
	if (!ct_limit_begin(claim))
		drop(claim, delta, CT_DROP_DEFAULTS);
	else if (ct_limit_excess(claim) > 0)
	{
		note_policies(claim->subscription, delta);
		drop(claim, delta, CT_DROP_FIRST);
		if (ct_limit_excess(claim) > 0)
			move_up(claim, delta);
		drop(claim, delta, CT_DROP_DEFAULTS);
	}
	return ct_limit_conclude(claim);
}
