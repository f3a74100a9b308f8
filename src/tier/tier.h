/*-------------------------------------------------------------------------
 *
 * tier.h
 *	  What is allowed: subscriptions, tiers, thresholds and the decision by them; update dates
 *	  and billing periods.  Knows nothing of how rows are caught.
 *
 * Units: counts and limits are numbers of contacts; instants are timestamptz.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CONTACTS_TIER_TIER_H
#define CONTACTS_TIER_TIER_H

#include "counter/counter.h"
#include "ledger/ledger.h"

/*
 * As many marketing contacts as an account may have by the limit of its tier and its grace,
 * which has no upper bound of its own.
 */
static inline int64
ct_most_contacts(int64 limit, int64 grace)
{
	return limit + Min(grace, PG_INT64_MAX - limit);
}

/* source_default.c */

extern bool ct_source_default(const CtTable *table, Datum account, const char *source_type, const void *statement);
extern void ct_source_forget(void);
extern void ct_source_default_init(void);

/* threshold.c */

/* Thresholds are growing percentages, so an account has not more */
#define CT_MAX_THRESHOLDS	100

/* What was announced to an account in its running period */
typedef struct CtAnnounced
{
	int			threshold;		/* the highest, in percent of the limit; 0:
								 * none */
	bool		exceeded;		/* that the limit is exceeded? */
} CtAnnounced;

/* The thresholds of an account */
typedef struct CtThresholds
{
	int64		limit;			/* of its tier */
	int			count;			/* of thresholds */
	const int  *percent;		/* of the limit, ascending */
} CtThresholds;

extern int	ct_next_announcement(const CtThresholds *thresholds, const CtAnnounced *announced, int64 count);
extern void ct_rearm_thresholds(const CtThresholds *thresholds, CtAnnounced *announced, int64 lowest);
extern bool ct_thresholds_are_announced(const CtThresholds *thresholds, CtAnnounced announced,
										int64 count, int64 lowest);
extern CtBounds ct_threshold_bounds(const CtThresholds *thresholds, const CtAnnounced *announced,
									int64 count, int64 grace);

/* account.c */

/* What the account row says of interest to a statement */
typedef struct CtAccountLook
{
	TimestampTz next_update_at; /* infinity: never */
	bool		record_activity;
	bool		has_brake;
	bool		has_subscription;	/* one that has not ended */
	int64		contact_limit;
	int64		grace;
	Oid			on_exceed;		/* value of contacts_tier.exceed_policy */
	bool		has_source_policies;	/* do some source types follow others? */
	CtAnnounced announced;
	int			nthresholds;
	int			thresholds[CT_MAX_THRESHOLDS];
	/* which version of the row it was */
	ItemPointerData tid;
	TransactionId xmin;
} CtAccountLook;

extern void ct_account_init(void);
extern bool ct_account_look(const CtTable *table, Datum account, CtAccountLook *look, bool whole);

/* Is the activity of an account recorded? */
typedef enum CtRecords
{
	CT_RECORDS_NOTHING,
	CT_RECORDS_ACTIVITY,
	CT_RECORDS_EACH				/* each statement by itself, for a brake */
} CtRecords;

extern CtRecords ct_records_activity(const CtTable *table, Datum account);
extern bool ct_is_overdue(const CtTable *table, Datum account);

/* limit.c */

/* What happens to promotions that the tier does not hold: contacts_tier.exceed_policy */
typedef enum CtPolicy
{
	CT_POLICY_UPGRADE,
	CT_POLICY_BLOCK,
	CT_POLICY_CAP
} CtPolicy;

/* The subscription of an account, as a decision needs it */
typedef struct CtSubscription
{
	char	   *plan;
	CtPolicy	policy;			/* of the account */
	const void *source_policies;	/* Jsonb, of source types; NULL for none */
	int64		contact_limit;
	int64		limit_before;	/* the same, before the statement moved it */
	int64		grace;			/* contacts let through above the limit */
	int64		max_limit;		/* it moves up to no larger tier by itself; 0:
								 * to any */
	int64		larger_tier;	/* smallest tier that would hold what is
								 * wanted, 0 for none */
	bool		has_access;		/* does the plan include marketing contacts? */
	bool		ended;			/* was it cancelled, and is over? */
	bool		has_plan;		/* does its plan still exist? */
	bool		has_brake;
	int			nthresholds;
	int		   *thresholds;		/* percent of the limit, ascending */
	CtAnnounced announced;
	CtAnnounced stored;			/* the same, as the account row has it */
	int64		wanted;			/* contacts that the tier would have to hold */
} CtSubscription;

/* A change that the counter has no room for, or contacts that were dropped for that */
typedef struct CtClaim
{
	const CtTable *table;
	Datum		account;
	int64		used;			/* marketing contacts of the account now */
	int64		lowest;			/* the fewest since the last decision */
	int64		marketing;		/* so many more are claimed */
	int64		dropped;		/* and so many stored as non-marketing
								 * contacts instead */
	int64		dropped_early;	/* of these, for want of room, before they
								 * were written */
	bool		is_move;		/* other accounts lose contacts by the
								 * statement */
	CtSubscription *subscription;	/* NULL: the account has none */
	bool		capped;			/* were some dropped by a policy "cap"? */
	bool		braked;			/* were some dropped by the brake? */
	/* what was announced of those dropped: */
	bool		is_told;
	bool		has_access;		/* has the account marketing contacts? */
	int64		contact_limit;	/* its tier */
	bool		by_default;		/* had no status been given for them? */
	bool		has_larger_tier;	/* has its plan a larger one? */
} CtClaim;

extern bool ct_limit_begin(CtClaim *claim);
extern int64 ct_limit_excess(const CtClaim *claim);
extern CtPolicy ct_limit_policy(const CtSubscription *subscription, const char *source_type, int length);
extern bool ct_limit_upgrade(CtClaim *claim, int64 wanted);
extern CtBounds ct_limit_conclude(CtClaim *claim);
extern void ct_limit_tell_dropped(CtClaim *claim);
extern void ct_limit_begin_period(const CtTable *table, Datum account, int64 count);

/* refuse.c */

extern int	ct_errcontacts(const CtTable *table);
extern void ct_limit_warn_dropped(const CtClaim *claim);

pg_noreturn extern void ct_null_account_error(const CtTable *table);
pg_noreturn extern void ct_no_access_error(const CtClaim *claim, const CtSubscription *subscription);
pg_noreturn extern void ct_exceeded_error(const CtClaim *claim, const CtSubscription *subscription);

/* brake.c */

/* How many promotions the brake of an account allows, and how many there were in its window */
typedef struct CtBrakeLimit
{
	char	   *source_type;	/* of these alone; NULL: of all */
	int64		maximum;
	int64		counted;
} CtBrakeLimit;

extern void ct_brake_init(void);
extern bool ct_brake_is_passed(void);
extern List *ct_brake_read(const CtClaim *claim);
pg_noreturn extern void ct_brake_error(const CtClaim *claim, const CtBrakeLimit *limit, int64 promoted);

/* tier.c */

extern void ct_tier_move(const CtTable *table, Datum account, int64 to, int64 count,
						 const char *reason, TimestampTz at);

/* Where contacts are that the running statement has promoted in an account */
typedef struct CtRowPlaces
{
	int64		count;
	Oid		   *relid;			/* of the table or partition, by contact */
	ItemPointerData *tid;		/* of the row version that was written */
} CtRowPlaces;

/* An update date that is to be applied to an account */
typedef struct CtUpdateDate
{
	CtManaged  *tables;			/* all attached tables with its contacts, open */
	int			ntables;
	Datum		account;
	TimestampTz date;
	bool		ends;			/* does a cancelled subscription end then? */
	int64		flagged;		/* contacts until next update, by the counter */
	int64		marketing;		/* marketing contacts, by the counter */
	TimestampTz now;			/* at most dates up to here are applied */
	TimestampTz started_at;		/* when the run, or the statement, really
								 * began */
	const char *run;			/* a uuid, as text; NULL: no rollover, but a
								 * statement */
	const CtRowPlaces *statement;	/* which contacts it has promoted, NULL:
									 * none */
	int64		demoted;		/* contacts, by the last step of the date */
	TimestampTz applied;		/* the last date that was applied; 0: none */
} CtUpdateDate;

/* period.c */

extern bool ct_find_update_date(CtUpdateDate *due);
extern bool ct_apply_update_date(CtUpdateDate *due);

/* demote.c */

extern char *ct_flagged_contacts(const CtManaged *managed);
extern int64 ct_demote_contacts(const CtUpdateDate *due, const CtManaged *managed, const char *condition);
extern bool ct_is_demoting(void);

/* catch_up.c */

extern bool ct_catch_up(const CtTable *table, Datum account, const CtRowPlaces *statement);

#endif							/* CONTACTS_TIER_TIER_H */
