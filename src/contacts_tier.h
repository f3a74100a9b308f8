/*-------------------------------------------------------------------------
 *
 * contacts_tier.h
 *	  Types and prototypes of the extension, grouped by the file that holds
 *	  them: read from top to bottom, this is a map of the module.
 *
 * The way of a write: a row trigger decides the status properties of the contact
 * (trigger_status.c, by the rules of status.c), a second one notes what the
 * final row means for the counters (trigger_count.c, notes.c), and at the end
 * of the statement (statement.c) the notes are applied (counter.c), which may find
 * that the contact tier is exceeded (limit.c).  Rows that are to be otherwise than
 * they were written are written again (second_write.c).  src/README has the protocol.
 *
 * Units: counts and limits are numbers of contacts; instants are timestamptz.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CONTACTS_TIER_H
#define CONTACTS_TIER_H

#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/hsearch.h"
#include "utils/rel.h"

#include "compat.h"

/* SQLSTATE class MC (design.md, section 3) */
#define ERRCODE_CT_TIER_EXCEEDED		MAKE_SQLSTATE('M', 'C', '0', '0', '1')
#define ERRCODE_CT_NO_ACCESS			MAKE_SQLSTATE('M', 'C', '0', '0', '2')

/* Companion tables, in the schema that the trigger arguments name */
#define CT_ACCOUNT_TABLE	"contacts_tier_account"
#define CT_COUNTER_TABLE	"contacts_tier_counter"
#define CT_LEDGER_TABLE		"contacts_tier_ledger"

/* The account of a table that has no account column */
#define CT_DEFAULT_ACCOUNT	"default"

/* Trigger arguments, the same for each row trigger of an attached table */
typedef enum CtTriggerArg
{
	CT_ARG_SCHEMA,				/* schema of the companion tables */
	CT_ARG_ACCOUNT,				/* account column, "" for none */
	CT_ARG_STATUS,				/* the five status columns, in the order of */
	CT_ARG_UNTIL,				/* design.md, section 3 */
	CT_ARG_SOURCE_TYPE,
	CT_ARG_SOURCE_NAME,
	CT_ARG_UPDATED_AT,
	CT_NARGS
} CtTriggerArg;

#define CT_NCOLUMNS		(CT_NARGS - CT_ARG_STATUS)

/* Columns of the default name are left out at the end */
#define CT_MIN_NARGS	CT_ARG_STATUS
#define ct_right_args(nargs)	((nargs) >= CT_MIN_NARGS && (nargs) <= CT_NARGS)

/* settings.c */

extern char *ct_source_type;	/* contacts_tier.source_type, "" when unset */
extern char *ct_source_name;	/* contacts_tier.source_name, "" when unset */
extern bool ct_direct_access;	/* contacts_tier.direct_access */
extern bool ct_fast_path;		/* contacts_tier.fast_path */

extern void ct_settings_init(void);
extern const char *ct_valid_setting(const char *value);
extern TimestampTz ct_now(void);

/* cache.c */

typedef struct CtCache CtCache;

extern void ct_cache_init(void);
extern uint64 ct_name_changes(void);
extern uint64 ct_relation_name_changes(void);
extern CtCache *ct_cache_create(const char *name, Size size, int limit);
extern void *ct_cache_find(CtCache *cache, Oid relid);
extern void *ct_cache_begin(CtCache *cache, Oid relid, MemoryContext *context);
extern void ct_cache_end(void *data);

/* table.c */

/*
 * What a trigger knows of its table: which attribute is which, and how values
 * of the account column are compared.  Resolved by name from the trigger
 * arguments for the very relation that fires, which may be a partition with
 * another column order.
 */
typedef struct CtTable
{
	Oid			relid;
	Oid			owner;			/* triggers act as this role */
	NameData	schema;			/* of the companion tables */
	AttrNumber	attno[CT_NARGS];	/* by CtTriggerArg; of CT_ARG_ACCOUNT,
									 * invalid if the whole table is one
									 * account */
	Oid			marketing;		/* enum value "marketing" */
	Oid			non_marketing;	/* enum value "non_marketing" */
	/* the account column's type */
	Oid			account_type;
	Oid			account_collation;
	int16		account_typlen;
	bool		account_typbyval;
	Oid			account_output; /* its output function */
	Oid			account_eq;		/* its default equality operator */
	FmgrInfo	account_cmp;	/* btree comparison */
	FmgrInfo	account_hash;
} CtTable;

extern void ct_table_init(void);
extern const char *const ct_default_columns[CT_NARGS];

extern Oid	ct_own_type(const char *name);
extern Oid	ct_column_type(CtTriggerArg which);

extern void ct_complete_args(int nargs, char **given, char *args[CT_NARGS]);
extern CtTable *ct_table_of_trigger(FunctionCallInfo fcinfo, const char *function);
extern CtTable *ct_table_resolve(Relation rel, int nargs, char **args);
extern CtTable *ct_table_of_relation(Relation rel);
extern Datum ct_table_account(const CtTable *table, TupleTableSlot *slot, bool *isnull);
extern const char *ct_table_column(const CtTable *table, CtTriggerArg which);
extern void ct_table_copy(CtTable *copy, const CtTable *table, MemoryContext context);
extern Datum ct_account_copy(const CtTable *table, Datum account, MemoryContext context);
extern uint32 ct_account_hash(const CtTable *table, Datum account);
extern int	ct_account_compare(const CtTable *table, Datum a, Datum b);
extern char *ct_account_text(const CtTable *table, Datum account);
extern const char *ct_quoted_operator(Oid operator);

/* registry.c */

/* A function that is ours, or not */
typedef enum CtFunction
{
	CT_OTHER_FUNCTION,
	CT_TRIGGER_STATUS,
	CT_TRIGGER_COUNT,
	CT_TRIGGER_APPLY,
	CT_TRIGGER_TRUNCATE,
	CT_IS_GIVEN,
	CT_GIVEN_FLAG,
	CT_DEFAULT_STATUS,
	CT_DEFAULT_UNTIL,
	CT_DEFAULT_SOURCE_TYPE,
	CT_DEFAULT_SOURCE_NAME,
	CT_DEFAULT_UPDATED_AT
} CtFunction;

extern CtFunction ct_function(Oid function);
extern Oid	ct_function_oid(CtFunction function);
extern bool ct_has_our_default(Relation rel, AttrNumber attno);
extern bool ct_fires(const Trigger *trigger);
extern Trigger *ct_find_trigger(Relation rel, CtFunction kind);
extern bool ct_trigger_args(Relation rel, CtFunction kind, char *args[CT_NARGS]);
extern bool ct_look_up_args(Oid relid, char *args[CT_NARGS]);
extern char *ct_companion_schema(Oid relid);
extern List *ct_attached_tables(const char *companion_schema);
extern bool ct_is_sound(Oid relid, const char *companion_schema);
extern void ct_check_sound(Oid relid);

/* spi.c */

/* An identity to return to */
typedef struct CtIdentity
{
	Oid			userid;
	int			sec_context;
	int			guc_level;		/* 0: no settings to restore */
} CtIdentity;

extern void ct_act_as_owner(Oid owner, CtIdentity *saved);
extern void ct_manage_as_owner(Oid owner, CtIdentity *saved);
extern void ct_set_safe_search_path(void);
extern void ct_set_for_now(const char *name, const char *value);
extern bool ct_acts_as_owner(void);
extern void ct_restore_identity(const CtIdentity *saved);
extern char *ct_caller_name(void);
extern SPIPlanPtr ct_prepare(const char *command, int nargs, Oid *types, int options);
extern SPIPlanPtr ct_prepare_by_index(const char *command, int nargs, Oid *types);
extern uint64 ct_execute(const char *command, int nargs, Oid *types, Datum *values,
						 const char *nulls);
extern uint64 ct_execute_latest(const char *command);
extern uint64 ct_execute_now(const char *command, int nargs, Oid *types, Datum *values);
extern uint64 ct_execute_now_nulls(const char *command, int nargs, Oid *types, Datum *values,
								   const char *nulls);
extern bool ct_is_own_statement(const void *key);
extern uint64 ct_execute_as_application(Oid owner, Oid relid, const char *command,
										int nargs, Oid *types, Datum *values, bool by_index);
extern uint64 ct_execute_now_by_index(const char *command, int nargs, Oid *types, Datum *values);
extern uint64 ct_executef(const char *format,...) pg_attribute_printf(1, 2);
extern uint64 ct_query(const char *query);
extern Datum ct_result(int column, Oid type, bool *isnull);
extern void ct_check_result_type(TupleDesc tupdesc, int column, Oid type);
extern bool ct_result_bool(int column);
extern int64 ct_result_int64(int column);
extern char *ct_enum_label(Oid value);
extern char *ct_result_text(int column);

/* owner_path.c */

extern char *ct_owner_search_path(Oid owner, Oid relid);

/* manage.c */

/* An attached table that is being managed */
typedef struct CtManaged
{
	Relation	rel;
	CtTable    *table;
	CtIdentity	identity;		/* of the caller */
	/* for putting statements together */
	const char *schema;			/* of the companion tables, quoted */
	const char *account_type;	/* of the account column, qualified */
	const char *equals;			/* its equality operator, qualified */
} CtManaged;

extern char *ct_type_name(Oid type);
extern void ct_check_not_null(FunctionCallInfo fcinfo, int argument, const char *name);
pg_noreturn extern void ct_no_relation_error(Oid relid);
extern void ct_check_owner(Oid relid);
extern bool ct_attempt(void (*work) (void *arg), void *arg, const char *what);
extern void ct_lock_at_once(Oid relid, LOCKMODE lockmode);
extern void ct_wait_briefly(void);
extern List *ct_primary_key(Relation rel);
extern char *ct_qualified_name(Relation rel);
extern Relation ct_open_owned(Oid relid, LOCKMODE lockmode);
extern void ct_manage_begin(CtManaged *managed, Oid relid, LOCKMODE lockmode);
extern Datum ct_managed_account(const CtManaged *managed, const char *account);
extern void ct_read_open(CtManaged *managed, Oid relid);
extern void ct_read_begin(CtManaged *managed);
extern void ct_manage_close_table(CtManaged *managed);
extern void ct_manage_end(CtManaged *managed);

/* status.c */

/* The part of a contact that the status rules speak of */
typedef struct CtStatus
{
	bool		given;			/* false: the status is NULL */
	bool		marketing;
	bool		until_next_update;	/* the pending flag */
} CtStatus;

extern CtStatus ct_status_on_insert(CtStatus row, bool default_marketing);
extern CtStatus ct_status_on_update(CtStatus old, CtStatus row,
									bool sets_status, bool sets_until);
extern bool ct_status_equal(CtStatus a, CtStatus b);

/* contact.c */

/*
 * The columns of a row that concern us, by CtTriggerArg from CT_ARG_ACCOUNT on,
 * and its place, if it has one already
 */
typedef struct CtRow
{
	Datum		value[CT_NARGS];
	bool		isnull[CT_NARGS];
	ItemPointerData tid;
} CtRow;

extern void ct_row_read(const CtTable *table, TupleTableSlot *slot, CtRow *row);

/*
 * Status and flag of a row; asked several times for each.
 */
static inline CtStatus
ct_row_status(const CtTable *table, const CtRow *row)
{
	CtStatus	status;

	status.given = !row->isnull[CT_ARG_STATUS];
	status.marketing = status.given && DatumGetObjectId(row->value[CT_ARG_STATUS]) == table->marketing;
	status.until_next_update = !row->isnull[CT_ARG_UNTIL] && DatumGetBool(row->value[CT_ARG_UNTIL]);
	return status;
}

extern void ct_row_copy(const CtTable *table, const CtRow *row, CtRow *copy, MemoryContext context);
extern bool ct_row_same_account(const CtTable *table, const CtRow *a, const CtRow *b);
extern bool ct_row_lacks(const CtRow *row, CtTriggerArg which);
extern void ct_row_keep(CtRow *row, const CtRow *from);
extern bool ct_row_is_legal(const CtTable *table, const CtRow *row);
extern bool ct_row_is_complete(const CtTable *table, const CtRow *row);
extern bool ct_row_same_column(const CtRow *a, const CtRow *b, CtTriggerArg which);
extern bool ct_row_same_columns(const CtRow *a, const CtRow *b);
extern void ct_row_set_status(const CtTable *table, CtRow *row, CtStatus status);
extern void ct_row_set_time(CtRow *row);
extern uint32 ct_tuple_image(Relation rel, HeapTuple tuple);
extern bool ct_is_moved(TupleTableSlot *slot);
extern HeapTuple ct_row_write(const CtTable *table, Relation rel, HeapTuple tuple, const CtRow *row);

/* statement.c */

/* What was decided about a row before it is written, and matters for its count */
typedef struct CtDecision
{
	bool		by_default;		/* its status was left to a default */
	bool		dropped;		/* it would be a marketing contact, if there
								 * were room */
} CtDecision;

/* When is a row that is proposed counted?  If it is surely written, that is. */
typedef enum CtCounting
{
	CT_COUNTED_MAYBE,			/* it may be dropped or changed by others */
	CT_COUNTED_AT_ONCE,			/* before the next one is proposed */
	CT_COUNTED_LATER
} CtCounting;

/* A statement at work; lives as long as it is executed */
typedef struct CtStatement
{
	const void *key;			/* its QueryDesc, or the PlannedStmt of a COPY
								 * or TRUNCATE; NULL: not known */
	struct CtStatement *outer;	/* the one that was at work before */
	QueryDesc  *query;			/* NULL for others than the executor's */
	List	   *kept_open;		/* relations that foreign keys wrote for it */
	const CtRow *decided;		/* a second write: the properties of the row */
	bool		is_classified;	/* are the next fields known? */
	bool		only_adds;		/* can it release no place of an account? */
	bool		is_single;		/* does it write one row at most? */
	/* when rows are counted that the status trigger decides, in this relation */
	Oid			judged_relid;
	bool		judged_insert;
	CtCounting	counting;
	/* of the row that was proposed last for insertion: */
	unsigned int given;			/* which properties it was given, a bit for
								 * each CtTriggerArg */
	bool		given_flag;		/* the flag that it was given */
	bool		is_marketing;	/* as it would be stored */
	Oid			proposed_relid; /* where, and by which command */
	CommandId	proposed_command;
	CtDecision	decision;		/* of this or the last updated row */
	bool		leaves_flag;	/* does DO UPDATE set the flag to what was not
								 * given, that is, not at all? */

	/*
	 * The contact that was updated last in a partition: it may come by again
	 * as a new row of another one (S7)
	 */
	Oid			moving_relid;	/* invalid: there is none */
	ItemPointerData moving_place;
	CommandId	moving_command;
} CtStatement;

extern CtStatement *ct_statement(void);
extern void ct_statement_started(QueryDesc *query);
extern void ct_begin_statement(CtStatement *statement);
extern void ct_end_statement(CtStatement *statement);
extern bool ct_is_trusted(void);
extern bool ct_writes(const QueryDesc *query);
extern CtStatement *ct_statement_of(QueryDesc *query);
extern bool ct_only_adds(CtStatement *statement);
extern bool ct_writes_one_row(CtStatement *statement);

/* trigger_status.c */

extern bool ct_row_insert(const CtTable *table, CtRow *row, CtCounting counting);
extern bool ct_row_change(const CtTable *table, const CtRow *old, CtRow *row,
						  const Bitmapset *sets, CtCounting counting);
extern void ct_row_mend(const CtTable *table, const CtRow *old, CtRow *row, bool *by_default);

/* truncate.c */

extern void ct_truncate_init(void);
extern void ct_truncate_look(void);
extern void ct_truncate_ends(const CtStatement *statement);
extern bool ct_is_truncating(void);
extern void ct_check_not_truncated(Oid relid);

/* trigger_count.c */

/* The change of a row, as it is to be counted */
typedef struct CtRowChange
{
	Oid			relid;			/* of the very relation that holds the row */
	const CtRow *old;			/* NULL for a new row */
	const CtRow *new;			/* NULL for a deleted one; as it was decided */
	CtStatus	status;			/* of the new row */
	bool		by_default;		/* is it a marketing contact by default only? */
	bool		dropped;		/* is it none for want of room? */
	Oid			moved_from;		/* the partition where the old one is, if it
								 * is another; else invalid */
	int			mending;		/* its number among the rows to be mended, or
								 * -1 */
} CtRowChange;

extern void ct_note_row(const CtTable *table, CtRowChange *change);

/* source.c */

/*
 * What the session says about the source, as texts that many rows of a statement get;
 * all zero but for the memory of the statement at first
 */
typedef struct CtSessionSource
{
	MemoryContext context;
	struct
	{
		char	   *setting;	/* NULL: not known yet */
		Oid			role;
		Datum		text;
	}			kept[2];		/* by CtTriggerArg less CT_ARG_SOURCE_TYPE */
} CtSessionSource;

extern const char *ct_session_source_type(void);
extern const char *ct_session_source_name(void);
extern bool ct_source_is_set(CtTriggerArg which);
extern void ct_row_take_source(CtRow *row, CtTriggerArg which);
extern void ct_keep_session_source(CtSessionSource *source);
extern void ct_row_complete_source(CtRow *row);
extern void ct_source_init(void);

/* source_default.c */

extern bool ct_source_default(const CtTable *table, Datum account, const char *source_type, const void *statement);
extern void ct_source_forget(void);
extern void ct_source_default_init(void);

/* notes.c */

typedef struct CtSecondWrites CtSecondWrites;

/* Contacts that a statement made marketing contacts and that did not fit */
typedef struct CtDrops
{
	MemoryContext context;		/* for the queue */
	CtSecondWrites *queue;		/* NULL as long as there are none */
} CtDrops;

/* A contact that a statement made a marketing contact, and where it is */
typedef struct CtPromotion
{
	Oid			relid;
	ItemPointerData tid;
	ItemPointerData before;		/* the version that an UPDATE ended; invalid
								 * for a new row */
	Oid			before_relid;	/* where that is: another partition, perhaps */
	bool		created;
	bool		by_default;		/* only a default asked for it (S4) */
	bool		dropped;		/* was looked at, and did not fit */
	int			mending;		/* as in CtRowChange */
} CtPromotion;

/* What a statement changed in the counts of one account, in contacts */
typedef struct CtDelta
{
	Datum		account;
	int64		marketing;		/* promoted less demoted, and less what was
								 * borrowed from, or lent to, another
								 * statement */
	int64		pending;		/* marketing contacts until next update */
	int64		promoted;		/* became marketing contacts of the account */
	int64		demoted;		/* ceased to be */
	int64		flagged;		/* became so until next update */
	int64		unflagged;		/* ceased to be, and stay marketing contacts */
	int64		created;
	int64		deleted;
	/* the promoted ones, in the order of the statement */
	CtPromotion *promotions;
	int64		npromotions;
	int64		dropped;		/* of these, or stored non-marketing at once */
	int64		total;			/* marketing contacts before the statement,
								 * where some were stored non-marketing at
								 * once */
	CtDrops    *drops;
	bool		is_unrecorded;	/* does the account want no entry of it? */
	/* who did it; NULL where it was not told, or by several */
	char	   *source_type;
	char	   *source_name;
} CtDelta;

extern void ct_notes_init(void);
extern void ct_notes_add(const CtTable *table, const CtRowChange *change, const CtDelta *delta);
extern int	ct_notes_mend(const CtTable *table, Oid relid, const CtRow *decided);
extern void ct_notes_before_insert(const CtTable *table, bool by_default, uint32 image);
extern bool ct_notes_need_image(const CtTable *table);
extern bool ct_notes_is_by_default(const CtTable *table, uint32 image);
extern void ct_notes_move_out(const CtTable *table, const CtRow *row);
extern Oid	ct_notes_move_in(const CtTable *table, CtRow *row);
extern bool ct_notes_is_full(const CtTable *table, Datum account, bool by_default, CtCounting counting);
extern void ct_notes_dropped(const CtTable *table, Datum account);
extern void ct_notes_check_none(void);
extern void ct_count_row(const CtTable *table, const CtRowChange *change);

/* The changes of one statement, subtransaction and set of companion tables */
typedef struct CtFrame CtFrame;

extern CtFrame *ct_frame_present(void);
extern CtSecondWrites *ct_frame_second_writes(CtFrame *frame);
extern void ct_frame_written(CtFrame *frame);
extern void ct_frame_complete(CtFrame *frame);
extern CtDelta *ct_frame_take(CtFrame *frame, const CtTable **table, int *ndeltas);
extern CtSecondWrites *ct_frame_drops(CtFrame *frame);
extern void ct_frame_hand_over(CtFrame *frame, const CtStatement *statement);
extern void ct_frame_end(CtFrame *frame);

/* statement_end.c */

extern void ct_notes_apply(void);
extern void ct_notes_hand_over(const CtStatement *statement);

/* hooks.c */

extern void ct_hooks_init(void);

/* room.c */

/* The room of an account, where it can be told without waiting */
typedef struct CtRoom
{
	bool		is_known;
	int64		total;			/* marketing contacts now */
	int64		room;			/* how many more fit into tier and grace */
	bool		caps;			/* does the policy drop what does not fit? */
} CtRoom;

extern CtRoom ct_look_for_room(const CtTable *table, Datum account);

/* apply.c */

extern void ct_apply_deltas(const CtTable *table, CtDelta *deltas, int ndeltas);

/* second_write.c */

/* A relation that rows are written in a second time; open as long as the queue */
typedef struct CtWriteTarget
{
	Oid			relid;
	Relation	rel;
	const CtTable *table;
	TupleTableSlot *slot;		/* of a row that was looked at */
	Bitmapset  *columns;		/* the status columns, as bits of an UPDATE */
} CtWriteTarget;

/* A row to be written a second time */
typedef struct CtSecondWrite
{
	int			target;			/* index into the targets */
	ItemPointerData place;		/* of the version that was noted; then that of
								 * the new one */
	CtRow		decided;		/* the status properties */
} CtSecondWrite;

extern CtSecondWrites *ct_second_writes(MemoryContext parent);
extern Bitmapset *ct_status_columns(const CtTable *table);
extern List *ct_second_write_targets(const CtSecondWrites *queue);
extern CtSecondWrite *ct_second_write_rows(CtSecondWrites *queue, int *nrows);
extern bool ct_second_writes_wait(void);
extern const CtRow *ct_second_write_find(Oid relid, const ItemPointerData *place);
extern int	ct_second_write_add(CtSecondWrites *queue, Oid relid, const CtRow *decided);
extern ItemPointerData ct_second_write_place(const CtSecondWrites *queue, int number);
extern void ct_delta_drop(CtDelta *delta, int64 count, bool only_defaults);
extern void ct_second_writes_end(CtSecondWrites *queue);

/* update_row.c */

extern bool ct_update_row(EState *estate, EPQState *epqstate, ResultRelInfo *relinfo, ItemPointer place,
						  TupleTableSlot *row, TransitionCaptureState *capture);

/* triggers.c */

extern bool ct_triggers_are_private(const ResultRelInfo *relinfo);

/* The row triggers of a relation, as far as they matter for an event */
typedef struct CtTriggers
{
	Trigger    *status;			/* ours; NULL if there is none */
	bool		has_plain_status;	/* does it fire, without a condition? */
	Trigger    *count;			/* ours, if it does; NULL otherwise */
	bool		is_sole;		/* is "status" the only BEFORE trigger? */
	bool		has_followers;	/* has the application AFTER triggers?  What
								 * they do may make room for contacts of the
								 * statement */
} CtTriggers;

extern CtTriggers ct_judge_triggers(TriggerDesc *triggers, int16 event);
extern void ct_remove_triggers(ResultRelInfo *relinfo, CtFunction kind, int16 events);
extern void ct_triggers_for_second_write(ResultRelInfo *relinfo);
extern void ct_fire_at_once(EState *estate);

/* companion.c */

/* Statements on the companion tables that triggers run */
typedef enum CtQuery
{
	CT_QUERY_CLAIM,
	CT_QUERY_ADD_SLOT,
	CT_QUERY_ADD_SLOTS,
	CT_QUERY_LOCK_SLOT,
	CT_QUERY_LOCK_ACCOUNT,
	CT_QUERY_READ_ACCOUNT,
	CT_QUERY_GRANT,
	CT_QUERY_CLOSE_PERIOD,
	CT_QUERY_SET_TIER,
	CT_QUERY_IS_OVERDUE,
	CT_QUERY_SET_ANNOUNCED,
	CT_QUERY_RECORD,
	CT_QUERY_RECORD_ACTIVITY,
	CT_QUERY_REQUEST_UPGRADE,
	CT_QUERY_SOURCE_DEFAULT,
	CT_NQUERIES
} CtQuery;

/* The companion tables */
typedef enum CtCompanion
{
	CT_ACCOUNT,
	CT_COUNTER,
	CT_LEDGER,
	CT_NCOMPANIONS
} CtCompanion;

extern const char *const ct_companion_names[CT_NCOMPANIONS];

/* What is wrong with companion tables, for a message */
typedef struct CtFault
{
	int			code;
	char	   *message;
	const char *hint;
} CtFault;

/* Whose companion tables, and in which shape */
typedef struct CtCompanionOf
{
	const char *schema;			/* of the companion tables */
	const char *contacts;		/* the table, for messages */
	Oid			owner;
	Oid			account_type;
	Oid			account_collation;
} CtCompanionOf;

extern Oid	ct_companion_owner(Oid relid);
extern bool ct_find_companion_fault(const CtCompanionOf *of, CtFault *fault);
extern void ct_check_companions(const CtTable *table);
extern Relation ct_open_companion(const CtTable *table, CtCompanion which, LOCKMODE lockmode);
extern uint64 ct_companion_query(const CtTable *table, CtQuery query,
								 Datum *values, const char *nulls);

/* Companion tables of each kind that a backend knows in any case */
#define CT_MAX_KNOWN	32

/*
 * How the entry of a companion table begins in a cache of such tables.  It holds
 * for contacts of one owner with one type of account.
 */
typedef struct CtKnownTable
{
	Oid			owner;
	Oid			account_type;
	Oid			account_collation;
	MemoryContext context;		/* of what belongs to the entry */
} CtKnownTable;

extern CtKnownTable *ct_known_table(CtCache *cache, Relation rel, const CtTable *table, bool *is_new);
extern AttrNumber ct_typed_column(Oid relid, const char *name, Oid type);
extern bool ct_is_ordinary(Relation rel, const CtTable *table, const AttrNumber *key, int nkeys);

/* account.c */

/* Thresholds are growing percentages, so an account has not more */
#define CT_MAX_THRESHOLDS	100

/* What the account row says of interest to a statement */
typedef struct CtAccountLook
{
	TimestampTz next_update_at; /* infinity: never */
	bool		record_activity;
	bool		has_subscription;	/* one that has not ended */
	int64		contact_limit;
	int64		grace;
	Oid			on_exceed;		/* value of contacts_tier.exceed_policy */
	int			announced;		/* highest threshold that was announced */
	int			nthresholds;
	int			thresholds[CT_MAX_THRESHOLDS];
	/* which version of the row it was */
	ItemPointerData tid;
	TransactionId xmin;
} CtAccountLook;

/* Was there an account to look at? */
typedef enum CtAccountFound
{
	CT_ACCOUNT_MISSING,
	CT_ACCOUNT_FOUND,
	CT_ACCOUNT_BY_SQL			/* the table must be looked at by SQL */
} CtAccountFound;

extern CtAccountFound ct_account_look(const CtTable *table, Datum account, CtAccountLook *look, bool whole);
extern bool ct_is_overdue(const CtTable *table, Datum account, bool direct);
extern bool ct_account_fits(const CtTable *table, Datum account);
extern void ct_check_account_fits(const CtTable *table, Datum account);

/* ledger.c */

extern void ct_ledger_record_activity(const CtTable *table, const CtDelta *deltas, int ndeltas, bool direct);
extern void ct_ledger_record(const CtTable *table, Datum account, const char *event,
							 int64 contacts, const char *details);

/* recount.c */

extern List *ct_pending_partitions(Oid parent);
extern char *ct_recount_query(List *relids);
extern void ct_count_in(const CtTable *table, const char *from);
extern void ct_uncount_going(const CtTable *table, Relation rel);
extern void ct_uncount(const CtTable *table, const char *from, bool demotes);

/* counter.c, and below it escrow.h */

/* What is to be changed in the counter of one account, in contacts */
typedef struct CtChange
{
	Datum		account;
	int64		marketing;		/* claimed; negative: released */
	int64		pending;		/* of these, until next update */
	int64		promoted;		/* became marketing contacts of the account */
	int64		demoted;		/* ceased to be */
} CtChange;

/* What the counter of an account says of its running period; contacts */
typedef struct CtCount
{
	int64		marketing;		/* marketing contacts now */
	int64		pending;		/* of these, flagged until next update */
	int64		promoted;		/* became marketing contacts of the account */
	int64		demoted;		/* ceased to be */
	int64		corrected;		/* came or went by partitions and repair() */
	int64		peak;			/* most there were after any statement */
} CtCount;

typedef struct CtCounters CtCounters;

extern CtCounters *ct_counters_open(const CtTable *table);
extern void ct_counters_close(CtCounters *counters);
extern bool ct_counters_are_direct(const CtCounters *counters);
extern bool ct_counter_claim(CtCounters *counters, const CtChange *change);
extern bool ct_counter_lock(CtCounters *counters, const CtChange *change, int64 *used);
extern void ct_counter_settle(CtCounters *counters, const CtChange *change, int64 ceiling);
extern bool ct_counter_look(const CtTable *table, Datum account, int64 *used);
extern int64 ct_counter_last_room(const CtTable *table, Datum account);
extern CtCount ct_counter_freeze(const CtTable *table, Datum account);
extern CtCount ct_counter_close_period(const CtTable *table, Datum account);

/* slot.c */

extern void ct_slot_init(void);
extern bool ct_slots_are_direct(const CtTable *table);

/* limit.c */

typedef struct CtSubscription CtSubscription;

/* A change that the counter has no room for, or contacts that were dropped for that */
typedef struct CtClaim
{
	const CtTable *table;
	Datum		account;
	int64		used;			/* marketing contacts of the account now */
	int64		marketing;		/* so many more are claimed */
	int64		dropped;		/* and so many stored as non-marketing
								 * contacts instead */
	CtSubscription *subscription;	/* NULL if there is none */
	/* what was told of those dropped: */
	bool		is_told;
	bool		has_access;		/* has the account marketing contacts? */
	int64		contact_limit;	/* its tier */
} CtClaim;

extern int64 ct_limit_excess(CtClaim *claim, bool *only_defaults);
extern int64 ct_limit_conclude(CtClaim *claim);
extern void ct_limit_tell_dropped(CtClaim *claim);
extern void ct_limit_warn_dropped(const CtClaim *claim);
extern bool ct_limit_is_announced(const CtAccountLook *look, int64 count);
pg_noreturn extern void ct_null_account_error(const CtTable *table);

/* tier.c */

/* The subscription of an account that is being managed, locked */
typedef struct CtSubscribed
{
	char	   *plan;
	int64		contact_limit;
	int64		requested_limit;	/* by contacts that were capped; 0: none */
	int64		count;			/* marketing contacts */
} CtSubscribed;

extern void ct_check_tier(const char *plan, int64 contact_limit);
extern CtSubscribed ct_lock_subscription(const CtManaged *managed, Datum account);
extern void ct_tier_move(const CtTable *table, Datum account, int64 to, int64 count,
						 const char *reason, TimestampTz at);

/* policy.c */

extern void ct_check_grace(int64 grace);

/* period.c */

/* An update date that is to be applied to an account */
typedef struct CtUpdateDate
{
	CtManaged  *tables;			/* all attached tables with its contacts, open */
	int			ntables;
	Datum		account;
	TimestampTz date;
	bool		ends;			/* does a cancelled subscription end then? */
	TimestampTz now;			/* at most dates up to here are applied */
	const char *run;			/* a uuid, as text; NULL: no rollover, but a
								 * statement */
	const CtDelta *statement;	/* what it changes in the account, or NULL */
} CtUpdateDate;

extern bool ct_find_update_date(CtUpdateDate *due);
extern char *ct_flagged_contacts(const CtManaged *managed);
extern int64 ct_demote_contacts(const CtUpdateDate *due, const CtManaged *managed, const char *condition);
extern void ct_apply_update_date(const CtUpdateDate *due);
extern bool ct_catch_up(const CtTable *table, Datum account, const CtDelta *statement);

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

/* notify.c */

extern void ct_announce(const CtTable *table, Datum account, const char *event,
						int64 contacts, int64 marketing_contacts, const char *details);
extern void ct_notify_init(void);

/* fast_path.c */

/* A relation of a statement that does without our row triggers */
typedef struct CtFastPath
{
	const CtTable *table;
	bool		has_followers;	/* see CtTriggers */
	CtSessionSource source;
} CtFastPath;

extern void ct_fast_path_init(void);
extern CtFastPath *ct_make_fast_path(const CtTable *table, MemoryContext context);

/* fast_count.c */

extern void ct_fast_count(ResultRelInfo *relinfo, Trigger *trigger, CtFastPath *fast);

/* fast_project.c */

extern bool ct_may_move_rows(Relation rel, const CtTable *table, const Bitmapset *sets);
extern bool ct_fast_project(ModifyTableState *state, int index, CtFastPath *fast, CtCounting counting);
extern void ct_fast_complete(CtFastPath *fast, TupleTableSlot *row, CtCounting counting);

/* fast_copy.c */

extern bool ct_copy_fast(PlannedStmt *planned, const char *query, QueryCompletion *completion);

/* on_conflict.c */

extern PlannedStmt *ct_mind_excluded(PlannedStmt *planned, MemoryContext *memory);

#endif							/* CONTACTS_TIER_H */
