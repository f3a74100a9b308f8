/*-------------------------------------------------------------------------
 *
 * capture.h
 *	  What statements do: triggers, what is noted of a statement, second writes, the end of a
 *	  statement where its counts are applied, and the fast ways.
 *
 * Units: counts and limits are numbers of contacts; instants are timestamptz.
 *
 * The folder above calls only ct_frames_check_none(), ct_statement() and its end hook, and
 * contacts_tier.c the functions that install; all else is for the files of this folder.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CONTACTS_TIER_CAPTURE_H
#define CONTACTS_TIER_CAPTURE_H

#include "parser/parse_node.h"

#include "tier/tier.h"

/* statement.c */

/* What was decided about a row before it is written, and matters for its count */
typedef struct CtDecision
{
	bool		by_default;		/* its status was left to a default */
	bool		dropped;		/* it would be a marketing contact, if there
								 * were room */
	bool		is_absent;		/* what conditions say of a new row, see CtRow */
	bool		is_ineligible;
} CtDecision;

/* When is a proposed row counted, if it is surely written as it is? */
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
	bool		end_is_noticed; /* is ct_statement_end_hook called at its end? */
	List	   *held_open;		/* relations that foreign keys wrote for it */
	const CtRow *decided;		/* a second write: the properties of the row */
	bool		is_classified;	/* is the next field known? */
	bool		only_adds;		/* can it release no place of an account? */
	bool		is_counted;		/* is the next field known? */
	bool		is_single;		/* does it write one row at most? */
	/* when rows are counted that the status trigger decides, in this relation */
	Oid			judged_relid;
	bool		judged_insert;
	CtCounting	counting;
	/* of the row that was proposed last for insertion: */
	unsigned int given;			/* which properties it was given, a bit for
								 * each CtTriggerArg */
	bool		given_flag;		/* the flag that it was given */
	bool		given_marketing;	/* was it given the status "marketing"? */
	bool		is_marketing;	/* as it would be stored */
	Oid			proposed_relid; /* where, and by which command */
	CommandId	proposed_command;
	CtDecision	decision;		/* of this or the last updated row */
	bool		leaves_flag;	/* does DO UPDATE set the flag to one that was
								 * not given, so that it stays? */

	/*
	 * The contact that was updated last in a partition: it may follow as a
	 * new row of another one (S7)
	 */
	Oid			moving_relid;	/* invalid: there is none */
	ItemPointerData moving_place;
	CommandId	moving_command;
} CtStatement;

/*
 * Called after the triggers of a statement, unless it ends by an error; for one that is not
 * known, with the key NULL.
 */
typedef void (*CtStatementEndHook) (const CtStatement *statement);
extern CtStatementEndHook ct_statement_end_hook;

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

/* eligible.c */

extern CtStatus ct_eligible_status(const CtTable *table, const CtRow *old, const CtRow *row,
								   CtStatus status, bool stated);
extern bool ct_may_not_return(const CtRow *old, const CtRow *row);
extern bool ct_breaks_eligibility(const CtTable *table, const CtRow *old, const CtRow *row);

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
	bool		comes_back;		/* did it count as deleted, and is as it was? */
	Oid			moved_from;		/* the partition where the old one is, if it
								 * is another; else invalid */
	int			mending;		/* its number among the rows to be mended, or
								 * -1 */
} CtRowChange;

extern void ct_note_row(const CtTable *table, CtRowChange *change);

/* notes.c */

/* What has become of a version of a row that an event is about */
typedef enum CtFate
{
	CT_FATE_CURRENT,			/* it is the row */
	CT_FATE_UPDATED,
	CT_FATE_GONE				/* the row was deleted, or moved to another
								 * partition */
} CtFate;

extern CtFate ct_notes_fate(const CtTable *table, Oid relid, const CtRow *written, CtRow *latest);
extern int	ct_notes_mend(const CtTable *table, Oid relid, const CtRow *decided);
extern void ct_notes_dropped(const CtTable *table, Datum account);
extern void ct_notes_source(const CtTable *table, const CtRow *promoted);
extern void ct_count_row(const CtTable *table, const CtRowChange *change);

/* by_default.c */

extern void ct_notes_before_insert(const CtTable *table, bool by_default, uint32 image);
extern bool ct_notes_need_image(const CtTable *table);
extern bool ct_notes_is_by_default(const CtTable *table, uint32 image);

/* room.c */

/* The room of an account, if it is known without a wait */
typedef struct CtRoom
{
	bool		is_known;
	int64		total;			/* marketing contacts now */
	int64		room;			/* how many more fit into tier and grace */
	bool		caps;			/* does the policy drop what does not fit? */
} CtRoom;

extern bool ct_is_full(const CtTable *table, Datum account, bool by_default, CtCounting counting);

/* delta.c */

typedef struct CtSecondWrites CtSecondWrites;

/* A contact that a statement made a marketing contact, and where it is */
typedef struct CtPromotion
{
	Oid			relid;
	ItemPointerData tid;
	ItemPointerData before;		/* the version that an UPDATE ended; invalid
								 * for a new row */
	Oid			before_relid;	/* where that is: another partition, perhaps */
	bool		by_default;		/* only a default promoted it (S4) */
	bool		comes_back;		/* as in CtRowChange */
	bool		dropped;		/* was looked at, and did not fit */
	uint8		policy;			/* CtPolicy that it follows, once it is judged */
	int			mending;		/* as in CtRowChange */
} CtPromotion;

/* Which promotions may be dropped, so that the others fit */
typedef enum CtDroppable
{
	CT_DROP_FIRST,				/* by their policy; see judge.c */
	CT_DROP_DEFAULTS			/* that only a default asked for (S4) */
} CtDroppable;

/* Contacts that a statement made marketing contacts and that did not fit */
typedef struct CtDrops
{
	MemoryContext context;		/* for the queue */
	CtSecondWrites *queue;		/* NULL as long as there are none */
} CtDrops;

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
	int64		total;			/* marketing contacts as the last look saw
								 * them, where some were stored non-marketing
								 * at once */
	CtDrops    *drops;			/* of the frame */
	/* the source; NULL if there are several, or none */
	char	   *source_type;
	char	   *source_name;
} CtDelta;

/* The same, while the statement is at work */
typedef struct CtDeltaEntry
{
	CtAccountEntry of;
	CtDelta		delta;
	int64		capacity;		/* of delta.promotions */
	bool		source_known;	/* is delta.source_type, ..._name of some row? */
	int			type_length;	/* of delta.source_type, and delta.source_name */
	int			name_length;

	/*
	 * What is known of the room of the account, for rows that are decided
	 * before they are written (room.c)
	 */
	int64		ahead;			/* promotions that are written for sure, but
								 * not counted yet */
	int64		enough;			/* so many fit, or are decided at the end */
	bool		is_seen;		/* is seen_by valid? */
	CommandId	seen_by;		/* the command that looked at the account */
	CtRoom		room;			/* as it saw it */
} CtDeltaEntry;

/* The changes of a frame */
typedef struct CtDeltas
{
	MemoryContext context;		/* that of the frame */
	const CtTable *table;		/* of the accounts */
	CtAccountMap *map;			/* of CtDeltaEntry */
	CtDeltaEntry *last;			/* entry added to last: rows often come by
								 * account */
} CtDeltas;

extern void ct_deltas_begin(CtDeltas *deltas, const CtTable *table, MemoryContext context);
extern CtDeltaEntry *ct_delta_entry(CtDeltas *deltas, Datum account);
extern CtDeltaEntry *ct_delta_find(const CtDeltas *deltas, Datum account);
extern CtDeltaEntry *ct_delta_newest(const CtDeltas *deltas);
extern CtDeltaEntry *ct_delta_older(const CtDeltaEntry *entry);
extern CtDeltaEntry *ct_delta_add_counts(CtDeltas *deltas, const CtDelta *change);
extern void ct_delta_add_promotions(CtDeltas *deltas, CtDeltaEntry *entry,
									const CtPromotion *promotions, int64 count);
extern void ct_delta_add_source(CtDeltas *deltas, CtDeltaEntry *entry, const CtRow *row);
extern void ct_deltas_merge(CtDeltas *into, const CtDeltas *from);
extern void ct_deltas_follow(CtDeltas *deltas, const CtSecondWrites *mending);
extern CtDelta *ct_deltas_sort(CtDeltas *deltas, CtDrops *drops, int *ndeltas);

/* frame.c */

/* The changes of one statement, subtransaction and set of companion tables */
typedef struct CtFrame
{
	CtXactNote	note;			/* must be first; whose it is */
	const void *statement;		/* key of the statement */
	Oid			relid;			/* the last table that added to it */
	const CtTable *table;		/* the first table that added to it; it lives
								 * as long as the transaction */
	MemoryContext context;		/* holds the frame and all below it */
	CtDeltas	deltas;
	CtSecondWrites *mending;	/* rows that another trigger changed behind
								 * ours; NULL for none */
	CtDrops		drops;			/* rows that did not fit */

	/*
	 * New marketing contacts as the BEFORE trigger saw them, some of which
	 * may have been dropped later: how many, how many of them by default, and
	 * the images of these (by_default.c).
	 */
	int64		inserts;
	int64		by_default;
	struct alike_hash *alike;

	/* A contact that an UPDATE moves out of a partition (moving.c) */
	Oid			moving_from;	/* the partition; invalid: there is none */
	CtRow		moving;
	MemoryContext moving_context;
} CtFrame;

extern void ct_frames_init(void);
extern CtFrame *ct_frame(const CtTable *table);
extern CtFrame *ct_frame_current(void);
extern CtFrame *ct_frame_of(const CtStatement *statement, const CtFrame *like);
extern bool ct_frame_can_borrow(const CtFrame *into, Datum account);
extern void ct_frame_written(CtFrame *frame);
extern CtDelta *ct_frame_remove(CtFrame *frame, int *ndeltas);
extern void ct_frame_merge(CtFrame *into, CtFrame *frame);
extern void ct_frame_end(CtFrame *frame);
extern void ct_frames_check_none(List *relids);

/* loan.c */

extern void ct_loans_init(void);
extern bool ct_can_lend(const CtFrame *from, Datum account);
extern void ct_lend(CtFrame *from, CtDelta *delta);
extern void ct_loans_forget(const CtFrame *from);

/* moving.c */

extern void ct_moving_out(const CtTable *table, const CtRow *row);
extern Oid	ct_moving_in(const CtTable *table, CtRow *row);
extern void ct_moving_complete(CtFrame *frame);

/* statement_end.c */

extern void ct_notes_apply(void);
extern void ct_notes_hand_over(const CtStatement *statement);

/* hooks.c */

extern void ct_hooks_init(void);

/* judge.c */

extern char *ct_source_of_promotion(CtDelta *delta, const CtPromotion *promotion);
extern CtBounds ct_judge(CtClaim *claim, CtDelta *delta);

/* apply.c */

extern void ct_apply_deltas(const CtTable *table, CtDelta *deltas, int ndeltas);

/* second_write.c */

/* A relation that rows are written in a second time; open as long as the queue */
typedef struct CtWriteTarget
{
	Oid			relid;
	Relation	rel;
	const CtTable *table;
	TupleTableSlot *tuple_slot; /* tuple slot of a row that was looked at */
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
extern CtSecondWrite *ct_second_write_row(CtSecondWrites *queue, int number);
extern bool ct_second_writes_wait(void);
extern const CtRow *ct_second_write_find(Oid relid, const ItemPointerData *place);
extern CtFate ct_second_write_fate(CtSecondWrites *queue, Oid relid, const ItemPointerData *place,
								   CtRow *latest);
extern int	ct_second_write_add(CtSecondWrites *queue, Oid relid, const CtRow *decided);
extern ItemPointerData ct_second_write_place(const CtSecondWrites *queue, int number);
extern int	ct_second_write_target(CtSecondWrites *queue, Oid relid);
extern bool ct_fetch_latest(CtWriteTarget *target, ItemPointer place);
extern bool ct_second_write_add_once(CtSecondWrites *queue, int target, const ItemPointerData *place,
									 const CtRow *decided);
extern void ct_second_writes_end(CtSecondWrites *queue);

/* drop.c */

extern void ct_delta_follow(CtDelta *delta);
extern bool ct_promoted_row(CtDelta *delta, const CtPromotion *promotion, CtRow *row);
extern bool ct_delta_drop(CtDelta *delta, int64 count, CtDroppable droppable);

/* fast_path.c */

/* A relation of a statement that does without our row triggers */
typedef struct CtFastPath
{
	const CtTable *table;
	bool		has_followers;	/* see CtTriggers */
	bool		is_batched;		/* are rows completed before the first of them
								 * is written? */
	ResultRelInfo *alone;		/* the relation, if nothing but our clause
								 * looks at rows after they are written */
	CmdType		projected;		/* by what the projection made the row;
								 * CMD_NOTHING: its contact stays as it is;
								 * CMD_UNKNOWN: there is none */
	CtRow		row;			/* the new row that was completed last */
	CtRow		before;			/* of an UPDATE: the old row, as it was read
								 * for that */
	CtSessionSource source;
} CtFastPath;

extern void ct_fast_path_init(void);
extern CtFastPath *ct_create_fast_path(const CtTable *table, MemoryContext context);

/* fast_count.c */

extern void ct_fast_count(ResultRelInfo *relinfo, Trigger *trigger, CtFastPath *fast);

/* fast_project.c */

extern bool ct_may_move_rows(Relation rel, const CtTable *table, const Bitmapset *sets);
extern bool ct_fast_project(ModifyTableState *state, int index, CtFastPath *fast, CtCounting counting);
extern void ct_fast_complete(CtFastPath *fast, TupleTableSlot *row, CtCounting counting);

/* copy_rows.c */

extern uint64 ct_copy_rows(ParseState *pstate, Relation rel, const CopyStmt *copy);

/* fast_copy.c */

extern bool ct_copy_fast(PlannedStmt *planned, const char *query, QueryCompletion *completion);

/* on_conflict.c */

extern PlannedStmt *ct_replace_excluded(PlannedStmt *planned, MemoryContext *memory);

#endif							/* CONTACTS_TIER_CAPTURE_H */
