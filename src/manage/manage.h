/*-------------------------------------------------------------------------
 *
 * manage.h
 *	  What SQL calls: attach and detach, subscriptions, policies, rollover, verification,
 *	  repair, reports, bills; and the DDL of others.
 *
 * Units: counts and limits are numbers of contacts; instants are timestamptz.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CONTACTS_TIER_MANAGE_H
#define CONTACTS_TIER_MANAGE_H

#include "capture/capture.h"

/* change_tier.c */

/* The subscription of an account that is being managed, locked */
typedef struct CtSubscribed
{
	Datum		account;
	char	   *plan;
	int64		contact_limit;
	int64		requested_limit;	/* by contacts that were capped; 0: none */
	int64		count;			/* marketing contacts */
} CtSubscribed;

extern void ct_check_tier(const CtTable *table, const char *plan, int64 contact_limit);
extern CtSubscribed ct_manage_subscription(CtManaged *managed, FunctionCallInfo fcinfo);

/* policy.c */

extern void ct_check_grace(int64 grace);

/* report.c */

/* A report over the tables that share one set of companion tables */
typedef struct CtReport
{
	FunctionCallInfo fcinfo;	/* of the function that reports */
	const CtManaged *table;		/* the one asked for, or the first of them */
	List	   *relids;			/* all, ascending, if it reads contacts */
	const char *account;		/* only this, as text; NULL for all */
} CtReport;

/* The statement of a report; its columns have the types of the function's result */
typedef char *(*CtReportQuery) (const CtReport *report);

/* A report, and what the caller must be allowed to read besides counters and accounts */
typedef struct CtReportKind
{
	CtReportQuery query;
	bool		reads_ledger;
	bool		reads_contacts;
} CtReportKind;

extern void ct_report(FunctionCallInfo fcinfo, const CtReportKind *kind);
extern char *ct_report_account(const CtReport *report, const char *keyword, const char *column);

/* trigger_ddl.c */

extern void ct_make_statement_triggers(const char *name, char **args);
extern void ct_make_row_triggers(const char *name, char **args);
extern void ct_drop_triggers(Oid root);
extern void ct_normalise_contacts(const char *name, const CtTable *table);

/* partition.c */

extern void ct_check_partitions(Oid root, char **args);
extern void ct_add_partition_triggers(Oid root);
extern void ct_drop_former_triggers(const char *schema);
extern void ct_partition_came(Oid relid, Oid parent);
extern void ct_partition_went(Oid relid, Oid parent);
extern void ct_detach_pending(Oid root);
extern void ct_partition_altered(Oid relid);
extern void ct_table_goes(Oid relid, char **args);

/* ddl.c */

extern void ct_ddl_init(void);
extern void ct_ddl_forget(void);

#endif							/* CONTACTS_TIER_MANAGE_H */
