/*-------------------------------------------------------------------------
 *
 * threshold.c
 *	  Which thresholds an account has reached, and when that is announced again
 *	  (rule N1).
 *
 * A threshold is a percentage of the limit, and it is reached when the count is at
 * least that share.  It is announced once, and again only after the count has fallen
 * by 5 points below it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tier/tier.h"

/* So far, in percent of the limit, the count must fall below a threshold */
#define POINTS_TO_REARM		5

/* The count at which a threshold is reached: its share of the limit, rounded up. */
static int64
reached_at(int64 limit, int percent)
{
	return limit / 100 * percent + (limit % 100 * percent + 99) / 100;
}

/* The count at which it is announced again later: 5 points less, rounded down; or -1: none. */
static int64
rearmed_at(int64 limit, int percent)
{
	int			rest = percent - POINTS_TO_REARM;

	return rest < 0 ? -1 : limit / 100 * rest + limit % 100 * rest / 100;
}

/*
 * The highest threshold that a count reaches, in percent; 0 if there is none.
 */
static int
highest_reached(const CtThresholds *thresholds, int64 count)
{
	int			highest = 0;

	for (int i = 0; i < thresholds->count; i++)
		if (reached_at(thresholds->limit, thresholds->percent[i]) <= count)
			highest = thresholds->percent[i];
	return highest;
}

/* The lowest threshold that has not been announced, in percent; 0 if there is none. */
static int
next_threshold(const CtThresholds *thresholds, const CtAnnounced *announced)
{
	for (int i = 0; i < thresholds->count; i++)
		if (thresholds->percent[i] > announced->threshold)
			return thresholds->percent[i];
	return 0;
}

/*
 * The next threshold that is to be announced at a count; 0 if there is none.
 */
int
ct_next_announcement(const CtThresholds *thresholds, const CtAnnounced *announced, int64 count)
{
	int			percent = next_threshold(thresholds, announced);

	return percent > 0 && reached_at(thresholds->limit, percent) <= count ? percent : 0;
}

/*
 * Forget the announcements that the count has fallen 5 points below since, so that they
 * are made again.  "lowest" is the lowest count since then.
 */
void
ct_rearm_thresholds(const CtThresholds *thresholds, CtAnnounced *announced, int64 lowest)
{
	int			still = 0;

	if (lowest <= rearmed_at(thresholds->limit, 100))
		announced->exceeded = false;
	for (int i = 0; i < thresholds->count; i++)
		if (thresholds->percent[i] <= announced->threshold &&
			lowest > rearmed_at(thresholds->limit, thresholds->percent[i]))
			still = thresholds->percent[i];
	announced->threshold = still;
}

/*
 * Is nothing to be announced at a count, even if the lowest count since the last look is
 * taken into account?
 */
bool
ct_thresholds_are_announced(const CtThresholds *thresholds, CtAnnounced announced, int64 count, int64 lowest)
{
	ct_rearm_thresholds(thresholds, &announced, lowest);
	return announced.threshold >= highest_reached(thresholds, count) &&
		(announced.exceeded || count <= thresholds->limit);
}

/* The count up to which no threshold is to be announced, and the limit is kept. */
static int64
threshold_ceiling(const CtThresholds *thresholds, const CtAnnounced *announced)
{
	int			percent = next_threshold(thresholds, announced);

	return percent == 0 ? thresholds->limit :
		Min(reached_at(thresholds->limit, percent) - 1, thresholds->limit);
}

/*
 * Between which counts nobody needs to look: up to one below the next threshold, at most
 * the limit, or the limit and its grace where it is exceeded already; and down to where the
 * highest announcement has to be made again.
 */
CtBounds
ct_threshold_bounds(const CtThresholds *thresholds, const CtAnnounced *announced, int64 count, int64 grace)
{
	int64		limit = thresholds->limit;
	int			highest = announced->exceeded ? 100 : announced->threshold;
	CtBounds	bounds = {0};

	bounds.ceiling = count > limit ? ct_most_contacts(limit, grace) : threshold_ceiling(thresholds, announced);
	bounds.has_bottom = highest > 0 && rearmed_at(limit, highest) >= 0;
	if (!bounds.has_bottom)
		return bounds;
	bounds.bottom = rearmed_at(limit, highest) + 1;
	bounds.again = Max(reached_at(limit, highest), bounds.bottom);
	return bounds;
}
