/*-------------------------------------------------------------------------
 *
 * manage.h
 *	  What SQL calls: attach and detach, subscriptions, policies, rollover, verification,
 *	  repair, reports, bills, tools; and the DDL of others.
 *
 * Units: counts and limits are numbers of contacts; instants are timestamptz.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CONTACTS_TIER_MANAGE_H
#define CONTACTS_TIER_MANAGE_H

#include "access/skey.h"
#include "utils/uuid.h"

#include "capture/capture.h"

/* attach_companions.c */

extern void ct_check_companion_schema(const char *schema, Oid owner);
extern char *ct_companion_account_type(const CtTable *table);
extern void ct_create_companions(const CtTable *table, bool is_repair);

/* distribution.c */

extern char *ct_name_in_statement(Oid relid);
extern void ct_grant_on_nodes(void);
extern void ct_distribute_catalogue(void);
extern bool ct_begin_distributed(Oid relid, const char *account_column);
extern void ct_check_companions_local(const CtTable *table);
extern void ct_distribute_companions(Oid contacts, const CtTable *table);
extern Oid	ct_find_call_table(const CtTable *table);
extern char *ct_call_table(const CtTable *table);

/* The table beside companion tables that takes calls to a shard: see dispatch.c */
#define CT_CALL_TABLE	"contacts_tier_call"


/* change_tier.c */

/* The subscription of an account that is being managed, locked */
typedef struct CtSubscribed
{
	Datum		account;
	char	   *plan;			/* its name; it may have been deleted */
	int64		contact_limit;	/* the current tier */
	int64		requested_limit;	/* the requested tier, from contacts that
									 * were capped; 0: none */
	int64		count;			/* marketing contacts */
} CtSubscribed;

extern void ct_check_tier(const CtTable *table, const char *plan, int64 contact_limit);
extern CtSubscribed ct_manage_subscription(CtManaged *managed, FunctionCallInfo fcinfo);

/* plan_use.c */

extern void ct_lock_plan(const char *plan);

/* policy.c */

extern void ct_check_grace(int64 grace);
extern void ct_check_time_zone(Datum time_zone);

/* applied.c */

struct CtReport;
extern char *ct_applied_accounts(const struct CtReport *report);

/* report.c */

/* A report over the tables that share one set of companion tables */
typedef struct CtReport
{
	FunctionCallInfo fcinfo;	/* of the function that reports */
	const CtManaged *table;		/* the argument, or the first of them */
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
	bool		reads_contacts; /* of all tables that share the companion
								 * tables */
	bool		reads_table;	/* of the one asked for */
	bool		records;		/* it writes to the ledger; for owners only */
	const char *accounts;		/* where Citus distributes the table, and the
								 * query is more than it can plan for all
								 * accounts: a query of these, and a shard
								 * that has a row of each */
} CtReportKind;

/* dispatch.c */

extern bool ct_is_dispatched(FunctionCallInfo fcinfo);
extern Datum ct_dispatch(FunctionCallInfo fcinfo);
extern char *ct_double_percent(const char *part);
extern void ct_run_on_shard(const CtManaged *managed, Datum account, const char *command);
extern char *ct_columns_of_json(TupleDesc tupdesc);
extern Datum ct_sum_of_shards(FunctionCallInfo fcinfo);

extern void ct_report(FunctionCallInfo fcinfo, const CtReportKind *kind);
extern void ct_report_of(FunctionCallInfo fcinfo, const CtReportKind *kind, const char *account);
extern void ct_report_all(FunctionCallInfo fcinfo, const CtReportKind *kind);
extern char *ct_counter_of(const CtTable *table, const char *condition);
extern char *ct_report_counter(const CtReport *report);
extern char *ct_report_account(const CtReport *report, const char *keyword, const char *column);

/* shard_report.c */

extern char *ct_shards_query(const CtReport *report, const char *accounts);

/* metrics_read.c */

/* What monitors are told of an account */
typedef struct CtAccountMetrics
{
	CtAccountEntry entry;
	int64		used;			/* marketing contacts */
	int64		pending;		/* of these, flagged */
	bool		is_subscribed;	/* all that follows is zero otherwise: */
	int64		contact_limit;
	int			first_threshold;	/* in percent of the limit; 0: none */
	TimestampTz next_update_at;
	bool		in_rollover;	/* a run began with it */
	bool		requests_tier;
	/* by the ledger, of any account: */
	bool		has_drift;		/* is there an entry about it? */
	pg_uuid_t	drift_entry;	/* the newest one */
	int64		drift;			/* contacts that verify() found, 0 if they
								 * were corrected */
} CtAccountMetrics;

/* The last run of rollover in a schema */
typedef struct CtLastRun
{
	TimestampTz at;				/* by the clock of the extension */
	double		seconds;		/* by that of the server */
	int64		accounts;		/* that were rolled over */
	int64		failed;			/* that were not */
} CtLastRun;

/* The companion tables of a schema, open and locked, and what was read of them */
typedef struct CtSchemaMetrics
{
	CtIdentity	identity;		/* of the caller */
	CtTable    *table;			/* how accounts are compared, nothing else */
	List	   *open;			/* relations */
	List	   *indexes;		/* OIDs of those that are locked */
	List	   *rels[CT_NCOMPANIONS];	/* the relations that have rows */
	CtAccountMap *accounts;		/* of CtAccountMetrics */
	int64		slots;
	bool		has_run;		/* by the ledger */
	CtLastRun	run;
} CtSchemaMetrics;

extern void ct_metrics_begin(CtSchemaMetrics *metrics, const CtNames *names, bool reads_ledger);
extern void ct_metrics_begin_accounts(CtSchemaMetrics *metrics, Oid relid);
extern void ct_metrics_add(int64 *sum, int64 number);
extern AttrNumber ct_metrics_column(const CtSchemaMetrics *metrics, Relation rel, const char *name, Oid type);
extern List *ct_metrics_lock_indexes(CtSchemaMetrics *metrics, Relation rel);
extern void ct_metrics_end(CtSchemaMetrics *metrics);

/* metrics_ledger.c */

extern void ct_metrics_read_ledger(CtSchemaMetrics *metrics);

/* gate.c */

extern void ct_gate_init(void);
extern bool ct_tool_needs_marketing_contact(const char *name, int length);

/* guard_contact.c */

/* One column, or the account and another one */
#define CT_MAX_CONTACT_KEYS	2

/* How the contacts are found that a guarded table names */
typedef struct CtContactKey
{
	Oid			index;			/* of the attached table; unique */
	int			nkeys;
	AttrNumber	contact_columns[CT_MAX_CONTACT_KEYS];	/* in the order of the
														 * index */
	NameData	names[CT_MAX_CONTACT_KEYS]; /* of them */
	AttrNumber	columns[CT_MAX_CONTACT_KEYS];	/* of the guarded table, with
												 * the values */
	ScanKeyData keys[CT_MAX_CONTACT_KEYS];	/* without values */
	bool		is_builtin;		/* is the comparison PostgreSQL's own? */
} CtContactKey;

extern const CtTable *ct_open_contacts(Oid relid, Relation guarded, AttrNumber contact, Relation *rel,
									   CtContactKey *key);
extern void ct_check_lookup(Oid contacts, Relation guarded, AttrNumber contact);

/* guard_partition.c */

typedef struct CtPartitions CtPartitions;

extern CtPartitions *ct_partitions_open(Relation rel, const CtContactKey *key);
extern Oid	ct_find_partition(CtPartitions *partitions, const CtContactKey *key);
extern void ct_partitions_close(CtPartitions *partitions);

/* guard_lookup.c */

/* Can a tool that needs a marketing contact use one?  If not, why? */
typedef enum CtReason
{
	CT_OK,
	CT_NON_MARKETABLE,
	CT_NO_CONTACT,
	CT_INELIGIBLE
} CtReason;

typedef struct CtLookup CtLookup;

extern CtLookup *ct_lookup_begin(Oid contacts, Relation guarded, AttrNumber contact, MemoryContext context);
extern CtReason ct_lookup(CtLookup *lookup, TupleTableSlot *row);
extern void ct_lookup_end(CtLookup *lookup);

/* guard_trigger.c */

/* Arguments of the trigger of a guarded table */
typedef enum CtGuardArg
{
	CT_GUARD_SCHEMA,			/* of the contacts */
	CT_GUARD_TABLE,
	CT_GUARD_MODE,				/* on_excluded */
	CT_GUARD_NARGS
} CtGuardArg;

extern void ct_guard_init(void);

/* Of the files of rollover() */

/* One call of rollover() */
typedef struct CtRun
{
	MemoryContext context;		/* outlives the transactions of the run */
	bool		commits;		/* may it commit between steps? */
	int			batch_size;		/* contacts */
	TimestampTz now;			/* as ct_now() when it began */
	TimestampTz started_at;		/* when it really began */
	char	   *id;				/* a uuid, as text */
	char	   *only_account;	/* as text; NULL for all */
	List	   *groups;			/* of CtTableGroup */
	bool		for_shard;		/* called for a shard, by the whole table? */
	List	   *failed_shards;	/* of distributed tables: lines for messages */
	bool		may_be_lost;	/* could the step at hand be done again after
								 * a crash? */
	int			patience;		/* with locks, in milliseconds */
	TimestampTz deadline;		/* of trying again; 0 before that */
	List	   *aside;			/* of CtWork: those that met a lock */
	/* of the transaction that is open: */
	int			nsteps;			/* that have ended in it */
	int64		nwritten;		/* contacts */
	int64		rank;			/* of the last account */
	bool		must_last;		/* is there what a crash must not undo? */
} CtRun;

/* The attached tables that share one set of companion tables */
typedef struct CtTableGroup
{
	CtRun	   *run;
	char	   *schema;			/* of the companion tables */
	int			ntables;
	Oid		   *relids;			/* ascending */
	List	   *accounts;		/* of CtDueAccount, in the order of dates */
	/* what the run has done, for its record: */
	int64		naccounts;		/* with an update date that was applied */
	int64		ncontacts;		/* that became non-marketing */
	int			nfailed;		/* accounts, or the schema itself */
	List	   *failures;		/* the first of them, of CtTrouble */
	int			nskipped;
	List	   *skipped;		/* the first of them, of CtTrouble */
} CtTableGroup;

/* An account that is due */
typedef struct CtDueAccount
{
	int64		rank;			/* its place in the order of accounts */
	char		account[FLEXIBLE_ARRAY_MEMBER]; /* as text */
} CtDueAccount;

/* What failed, or was skipped, and why */
typedef struct CtTrouble
{
	char	   *what;			/* for messages */
	char	   *account;		/* as text; NULL: the schema, or its
								 * partitions */
	int			sqlstate;
	char	   *message;
} CtTrouble;

/* Something to be done in steps, for instance an account, and how far it is */
typedef struct CtWork
{
	CtRun	   *run;
	CtTableGroup *group;
	void		(*step) (struct CtWork *work);
	char	   *what;			/* for messages */
	char	   *lock;			/* what it could not lock, for a message */
	bool		finished;		/* nothing (more) is to be done */
	/* of an account */
	const char *account;		/* as text */
	int64		rank;			/* see CtDueAccount */
	TimestampTz due;			/* the update date that is applied */
	int			ndates;			/* that were applied */
	int64		ncontacts;		/* that became non-marketing */
	int			table;			/* index of the table whose batches are done */
	char	   *position;		/* key of the last contact done in it, as a
								 * list of literals, NULL at its start */
	/* the same for contacts that are flagged since they are not eligible: */
	int			flag_table;
	List	   *flag_ends;		/* the last key of each of its full batches,
								 * as such lists; NIL: not looked for yet, or
								 * none */
	int			flag_batch;		/* index of the batch that comes next */
} CtWork;

/* How a step ended; what was not done is undone */
typedef enum CtStepResult
{
	CT_STEP_DONE,
	CT_STEP_LOCKED,				/* others hold a lock that it needs */
	CT_STEP_FAILED
} CtStepResult;

/* rollover_run.c */

extern void ct_rollover_note_failure(const CtWork *work, const ErrorData *error);
extern void ct_rollover_note_skipped(const CtWork *work);
extern bool ct_rollover_has_record(const CtTableGroup *group);
extern void ct_rollover_record(CtWork *work);
extern void ct_rollover_raise_failures(const CtRun *run);
extern void ct_rollover_warn_of_owners(void);

/* rollover_step.c */

extern CtManaged *ct_rollover_open_group(const CtTableGroup *group, int *ntables);
extern void ct_rollover_close_group(const CtTableGroup *group, CtManaged *tables, int ntables);
extern CtStepResult ct_rollover_run_steps(CtWork *work);
extern void ct_rollover_commit(CtRun *run);

/* rollover_account.c */

extern void ct_rollover_mark_due(CtWork *work);
extern void ct_rollover_partitions(CtWork *work);
extern void ct_rollover_close_entries(CtWork *work);
extern void ct_rollover_account(CtWork *work);

/* ineligible.c */

extern List *ct_ineligible_batches(const CtManaged *managed, Datum account, int size, const char *columns,
								   const char *literals, MemoryContext context);
extern void ct_flag_ineligible(const CtManaged *managed, Datum account, TimestampTz now, const char *range);

/* trigger_ddl.c */

extern void ct_create_truncate_trigger(const char *trigger, const char *name, char **args);
extern void ct_create_statement_triggers(const char *name, char **args);
extern void ct_create_row_triggers(const char *name, char **args);
extern void ct_restore_triggers(Oid relid, const char *name, char **args);
extern void ct_drop_triggers(Oid root);
extern void ct_normalise_contacts(const char *name, const CtTable *table);

/* repair.c */

extern CtManaged *ct_manage_group(List *relids, LOCKMODE lockmode, int *patience);
extern void ct_manage_end_group(CtManaged *tables, int ntables);
extern CtManaged *ct_manage_sharing(Oid relid, LOCKMODE lockmode, List **relids);

/* restate.c */

extern void ct_restate_ledger_privileges(const CtTable *table);
extern void ct_restate_ledger_default(const CtTable *table);
extern void ct_restate_on_node(const CtTable *table);
extern void ct_restate_dependencies(const CtTable *table);
extern void ct_refuse_renamed(const CtTable *table);

/* attach.c */

extern void ct_set_defaults(Oid relid, const char *name, char **args, bool tells);
extern List *ct_pending_index_statements(Relation rel, const CtTable *table);

/* restore.c */

extern void ct_restore_companions(const CtTable *table);
extern void ct_restore_registered(Oid relid);
extern void ct_restore_table(Oid relid, bool is_impatient);
extern void ct_restore_privileges(const CtTable *table);

/* partition_check.c */

extern void ct_check_countable(Relation rel, char **args);
extern void ct_check_partitions(Oid root, char **args);
extern bool ct_has_columns(Relation rel, char **args);

/* partition.c */

extern void ct_check_partition_owners(Oid root);
extern void ct_add_partition_triggers(Oid root);
extern void ct_drop_former_triggers(const char *schema);
extern void ct_partition_attached(Oid relid, Oid parent);
extern void ct_partition_detached(Oid relid, Oid parent);
extern void ct_detach_pending(Oid root);
extern void ct_partition_altered(Oid relid);
extern void ct_table_dropped(Oid relid, char **args, Node *exists);

/* ddl.c */

extern void ct_ddl_init(void);

/* ddl_drop.c */

extern bool ct_ddl_args(Oid relid, char *args[CT_NARGS]);
extern void ct_ddl_object_dropped(Oid class_id, Oid object_id);
extern void ct_ddl_table_dropped(Oid relid);
extern void ct_ddl_check_conditions(void);
extern void ct_ddl_forget(void);
extern void ct_ddl_drop_init(void);

/* set_condition.c */

extern bool ct_sets_condition(void);

/* ddl_trigger.c */

extern HeapTuple ct_read_trigger(Oid trigger, Snapshot snapshot);
extern void ct_guard_trigger_created(Oid trigger);

/* ddl_citus.c */
extern void ct_guard_replaced(Oid trigger);
extern void ct_guard_trigger_renamed(Oid trigger);

/* ddl_guard.c */

extern bool ct_ddl_is_attached(Oid relid);
extern void ct_guard_column_altered(Oid relid, int attno);
extern void ct_guard_dropped(Oid class_id, Oid object_id, int sub_id, int dropflags);
extern void ct_guard_check(Node *command);
extern void ct_ddl_guard_init(void);

/* pending_index.c */

extern bool ct_is_pending_index(Oid index);
extern bool ct_has_pending_index(Oid relid, Oid except);

#endif							/* CONTACTS_TIER_MANAGE_H */
