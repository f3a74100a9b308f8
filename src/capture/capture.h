/*-------------------------------------------------------------------------
 *
 * capture.h
 *	  What statements do: triggers, what is noted of a statement, second writes, the end of a
 *	  statement where its counts are applied, and the fast ways.
 *
 * Units: counts and limits are numbers of contacts; instants are timestamptz.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CONTACTS_TIER_CAPTURE_H
#define CONTACTS_TIER_CAPTURE_H

#include "tier/tier.h"

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
	List	   *held_open;		/* relations that foreign keys wrote for it */
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

/* notes.c */

typedef struct CtSecondWrites CtSecondWrites;

/* Contacts that a statement made marketing contacts and that did not fit */
typedef struct CtDrops
{
	MemoryContext context;		/* for the queue */
	CtSecondWrites *queue;		/* NULL as long as there are none */
} CtDrops;

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
extern CtDelta *ct_frame_remove(CtFrame *frame, const CtTable **table, int *ndeltas);
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
extern CtSecondWrite *ct_second_write_row(CtSecondWrites *queue, int number);
extern bool ct_second_writes_wait(void);
extern const CtRow *ct_second_write_find(Oid relid, const ItemPointerData *place);
extern int	ct_second_write_add(CtSecondWrites *queue, Oid relid, const CtRow *decided);
extern ItemPointerData ct_second_write_place(const CtSecondWrites *queue, int number);
extern void ct_delta_drop(CtDelta *delta, int64 count, bool only_defaults);
extern void ct_second_writes_end(CtSecondWrites *queue);

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

#endif							/* CONTACTS_TIER_CAPTURE_H */
