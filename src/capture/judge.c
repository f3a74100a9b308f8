/*-------------------------------------------------------------------------
 *
 * judge.c
 *	  What becomes of a change that the counter has no room for (rules T1 to T3, T7, T8, P1 and S4).
 *
 * Each promotion follows the policy of its source type, or else that of the account.  In one
 * statement
 *
 *	 first those are dropped that may be: under "cap", and by default under "block";
 *	 then the account moves to the tier that holds the others, those under "block" not counted,
 *		if some are under "upgrade" and there is such a tier;
 *	 then those by default are dropped;
 *	 and if some still do not fit, the statement is refused;
 *	 else the brake of the account must let them pass.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "capture/capture.h"

/* What a change claims as it stands: some of it may have been dropped since. */
static void
set_claimed(CtClaim *claim, const CtDelta *delta)
{
	claim->marketing = delta->marketing;
	claim->dropped = delta->dropped;
}

/*
 * The source type of a promotion, by its row as it is now; NULL if that is no promotion any more.  Who
 * brings a contact back is not who has promoted it long ago (P2).
 */
char *
ct_source_of_promotion(CtDelta *delta, const CtPromotion *promotion)
{
	CtRow		row;

	if (!ct_promoted_row(delta, promotion, &row) || row.isnull[CT_ARG_SOURCE_TYPE])
		return NULL;
	if (promotion->comes_back)
		return pstrdup(ct_session_source_type());
	return TextDatumGetCString(row.value[CT_ARG_SOURCE_TYPE]);
}

/* The policy of a promotion, by its row; that of the account if it is no promotion any more. */
static CtPolicy
policy_of_row(const CtSubscription *subscription, CtDelta *delta, const CtPromotion *promotion)
{
	char	   *source_type = ct_source_of_promotion(delta, promotion);

	return source_type == NULL ? subscription->policy :
		ct_limit_policy(subscription, source_type, strlen(source_type));
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
} Numbers;

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

/* How many contacts a change promotes with a source type; NULL: with any. */
static int64
count_source(CtDelta *delta, const char *source_type)
{
	int64		count = 0;

	if (source_type == NULL)
		return delta->promoted;
	if (delta->source_type != NULL)
		return strcmp(delta->source_type, source_type) == 0 ? delta->promoted : 0;
	for (int64 i = 0; i < delta->npromotions; i++)
	{
		char	   *other = delta->promotions[i].dropped ? NULL : ct_source_of_promotion(delta, &delta->promotions[i]);

		if (other != NULL && strcmp(other, source_type) == 0)
			count++;
	}
	return count;
}

/*
 * Hold the promotions of a change against one limit of the brake.  Those that only a default asked
 * for are dropped first, if need be also some of another source type.  Returns how many more are allowed.
 */
static int64
hold_against(CtClaim *claim, CtDelta *delta, const CtBrakeLimit *limit)
{
	int64		room = limit->maximum - limit->counted;
	int64		promoted = count_source(delta, limit->source_type);

	while (promoted > room && promoted > 0 && !ct_brake_is_passed())
	{
		int64		dropped = delta->dropped;

		(void) ct_delta_drop(delta, promoted - Max(room, 0), CT_DROP_DEFAULTS);
		if (delta->dropped == dropped)
			ct_brake_error(claim, limit, promoted);
		claim->braked = true;
		set_claimed(claim, delta);
		promoted = count_source(delta, limit->source_type);
	}
	return Max(room - promoted, 0);
}

/* P1: what the tier lets through must pass the brake; *brake is how many may without asking. */
static void
judge_brake(CtClaim *claim, CtDelta *delta, int64 *brake)
{
	ListCell   *cell;

	*brake = PG_INT64_MAX;
	foreach(cell, ct_brake_read(claim))
		* brake = Min(*brake, hold_against(claim, delta, lfirst(cell)));
}

/*
 * The counter is locked and has no room: let the tier decide, and drop what does not fit.  A change
 * that adds no contact may be here for the brake alone; the tier has nothing to say to it, also if
 * the account is above its limit.
 * Returns the bounds within which nobody needs to ask.
 *
 * Locks: as ct_limit_begin().  Errors: MC001, MC002, MC004.
 */
CtBounds
ct_judge(CtClaim *claim, CtDelta *delta)
{
	CtBounds	bounds;
	int64		brake = 0;
	bool		has_brake;

	if (!ct_limit_begin(claim))
		drop(claim, delta, CT_DROP_DEFAULTS);
	else if (claim->marketing > 0 && ct_limit_excess(claim) > 0)
	{
		note_policies(claim->subscription, delta);
		drop(claim, delta, CT_DROP_FIRST);
		if (ct_limit_excess(claim) > 0)
			move_up(claim, delta);
		drop(claim, delta, CT_DROP_DEFAULTS);
	}
	has_brake = claim->subscription != NULL && claim->subscription->has_brake;
	/* else the statement is refused below */
	if (has_brake && claim->subscription->has_access && (claim->marketing <= 0 || ct_limit_excess(claim) == 0))
		judge_brake(claim, delta, &brake);
	bounds = ct_limit_conclude(claim);
	bounds.has_brake = has_brake;
	bounds.brake = brake;
	bounds.braked_at = ct_now();
	return bounds;
}
