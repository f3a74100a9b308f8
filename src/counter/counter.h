/*-------------------------------------------------------------------------
 *
 * counter.h
 *	  How many marketing contacts an account has, exactly, whatever many sessions do at once.
 *	  Knows neither limits nor dates.
 *
 * Others open counters, claim, settle and withdraw (counter.c).  What stands under "Inside
 * counter/ only" is for the files of this folder.
 *
 * Units: counts and limits are numbers of contacts; instants are timestamptz.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CONTACTS_TIER_COUNTER_H
#define CONTACTS_TIER_COUNTER_H

#include "access/tableam.h"

#include "contact/contact.h"

/* recount.c */

extern List *ct_pending_partitions(Oid parent);
extern char *ct_recount_query(List *relids);
extern char *ct_recount_sources_query(List *relids);
extern char *ct_flagged_query(List *relids);
extern void ct_count_in(const CtTable *table, const char *from);
extern void ct_uncount_going(const CtTable *table, Relation rel, Node *exists);
extern void ct_uncount(const CtTable *table, const char *from, bool demotes);
extern int64 ct_count_coming_without_account(const CtTable *table, const char *from, const char *was, const char *is);
extern void ct_recount_condition(const CtTable *table, const char *from, const char *was, const char *is);

/* activity.c */

/* What can happen to contacts, as the ledger has it */
typedef enum CtActivityKind
{
	CT_CREATED,
	CT_DELETED,
	CT_PROMOTED,				/* became marketing contacts */
	CT_DEMOTED,					/* ceased to be */
	CT_FLAGGED,					/* became so until next update */
	CT_UNFLAGGED,				/* ceased to be, and stay marketing contacts */
	CT_DROPPED,					/* stored non-marketing for want of room */
	CT_NACTIVITIES
} CtActivityKind;

/* A text that need not end with a null character; data is NULL for none */
typedef struct CtText
{
	const char *data;
	int			length;			/* bytes */
} CtText;

/* Who did it */
typedef enum CtActor
{
	CT_ACTOR_ROLE,
	/* NULL where it is not known, or where several did: */
	CT_ACTOR_SOURCE_TYPE,
	CT_ACTOR_SOURCE_NAME,
	CT_NENTRY_TEXTS
} CtActor;

/* What statements of one role and source did in an account: an entry "activity" of the ledger */
typedef struct CtActivity
{
	Datum		account;
	TimestampTz started_at;		/* of the first statement */
	TimestampTz ended_at;		/* of the last one */
	int64		statements;
	int64		count[CT_NACTIVITIES];	/* contacts */
	CtText		actor[CT_NENTRY_TEXTS]; /* by CtActor */
	bool		is_single;		/* is nothing to be added to it? */
} CtActivity;

/* How the activity of an account is recorded */
typedef enum CtRecording
{
	CT_NOT_RECORDED,
	CT_RECORDED_AT_ONCE,		/* by entries of the ledger */
	CT_FOLDED					/* by open entries, in slots */
} CtRecording;

extern bool ct_activity_is_small(const CtActivity *activity);
extern bool ct_activity_add(CtActivity *sum, const CtActivity *activity);

/* counter.c */

/* What is to be changed in the counter of one account, in contacts */
typedef struct CtChange
{
	Datum		account;
	int64		marketing;		/* claimed; negative: released */
	int64		pending;		/* of these, until next update */
	int64		promoted;		/* became marketing contacts of the account */
	int64		demoted;		/* ceased to be */
	int64		corrected;		/* came or went otherwise */
	bool		passes_brake;

	/*
	 * What is to be folded into an open entry of the account, or NULL, and
	 * what is to be done where a new one would have to be opened
	 */
	const CtActivity *activity;
	CtRecording (*recording) (const CtTable *table, Datum account);
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

/* What a counter that is locked says of the marketing contacts of an account, exactly */
typedef struct CtExact
{
	int64		used;			/* how many there are */
	int64		lowest;			/* the fewest since the counter was settled,
								 * if that was below its bottom; where several
								 * change it at once, it may be less */
} CtExact;

/*
 * Between which counts nobody needs to ask.  A change that leads above the ceiling asks;
 * and once the count has been below the bottom, so does one that leads to "again", if not
 * an earlier one, and is told the lowest count.
 */
typedef struct CtBounds
{
	int64		ceiling;
	bool		has_bottom;
	int64		bottom;
	int64		again;			/* not less than the bottom */
	bool		has_brake;		/* so many may be promoted from now on, by
								 * statements that begin at this instant or
								 * later, before one asks: */
	int64		brake;
	TimestampTz braked_at;
} CtBounds;

/* Opaque to other folders */
typedef struct CtCounters CtCounters;

extern CtCounters *ct_counters_open(const CtTable *table);
extern void ct_counters_close(CtCounters *counters);
extern bool ct_counters_have_recorded(const CtCounters *counters);
extern List *ct_counters_finished(const CtCounters *counters);
extern void ct_counter_release(CtCounters *counters, const CtChange *change);
extern bool ct_counter_look(const CtTable *table, Datum account, CtExact *exact);
extern CtCount ct_counter_withdraw(const CtTable *table, Datum account, List **finished);
extern CtCount ct_counter_close_period(const CtTable *table, Datum account, List **finished);

/* escrow.c */

extern bool ct_counter_claim(CtCounters *counters, const CtChange *change);

/* slots_locked.c */

extern bool ct_counter_lock(CtCounters *counters, const CtChange *change, CtExact *exact);
extern void ct_counter_settle(CtCounters *counters, const CtChange *change, const CtBounds *bounds);

/* slot_memory.c */

extern int64 ct_counter_last_room(const CtTable *table, Datum account);

/* slot_table.c */

extern void ct_slot_init(void);

/*
 * Inside counter/ only
 * ====================
 *
 * What follows is not for other folders, which know of accounts and counts, not of slots.
 */

/* An account has at most so many slots */
#define CT_MAX_SLOTS	64

/* Where a slot was seen last */
typedef struct CtSlotPlace
{
	int32		number;			/* column "slot" */
	ItemPointerData tid;
} CtSlotPlace;

/* A version of a slot that was written where its account recorded no activity (activity.c) */
typedef struct CtUnrecorded
{
	ItemPointerData tid;
	TransactionId xmin;			/* invalid: there is none */
	TimestampTz written_at;
} CtUnrecorded;

/* The slots of an account, as a backend remembers them */
typedef struct CtSlots
{
	Datum		account;
	bool		contended;		/* had to wait for a slot: make more of them */
	int			count;			/* 0: to be listed before they are used */
	int			home;			/* index of the slot to try first, modulo
								 * count */
	CtUnrecorded unrecorded;	/* written by this backend */
	CtSlotPlace place[CT_MAX_SLOTS];	/* in ascending order of the number */
} CtSlots;

/* Columns of an open entry in the counter table, in this order, counts and texts by kind */
typedef enum CtEntryAttribute
{
	CT_ENTRY_STARTED_AT,
	CT_ENTRY_ENDED_AT,
	CT_ENTRY_STATEMENTS,
	CT_ENTRY_COUNT,
	CT_ENTRY_ROLE = CT_ENTRY_COUNT + CT_NACTIVITIES,
	CT_ENTRY_SOURCE_TYPE,
	CT_ENTRY_SOURCE_NAME,
	CT_NENTRY_COLUMNS
} CtEntryAttribute;

typedef struct CtEntryColumn
{
	const char *name;
	Oid			type;
} CtEntryColumn;

/* What a change has done to the open entry of a slot */
typedef enum CtEntryChange
{
	CT_ENTRY_AS_READ,
	CT_ENTRY_ADDED,				/* to what was there */
	CT_ENTRY_OPENED,
	CT_ENTRY_CLOSED
} CtEntryChange;

/* A slot that was read, to be written back */
typedef struct CtSlot
{
	int			index;			/* into CtSlots.place */
	int64		used;			/* contacts; granted - used is its room */
	int64		pending;		/* of these, until next update; either may be
								 * negative, see src/README */
	int64		granted;
	bool		closed;			/* granted is null: the next claim asks */
	bool		observed;		/* is it noted how far the count falls? */
	bool		alone;			/* was it the only slot when it was settled? */
	int64		floor;			/* else the slot closes when it falls below
								 * this */
	int64		bottom;			/* falls of the account below this are noted */
	bool		fell;			/* did it, as a release in this slot saw? */
	int64		lowest;			/* to how many */
	bool		has_brake;
	bool		had_brake;		/* as it was read? */
	int64		brake;			/* promotions that need not ask */
	TimestampTz braked_at;
	int64		promoted;		/* in the running period */
	int64		demoted;
	int64		corrected;
	int64		peak;			/* see CtCount; 0 if nobody had to note one */
	bool		has_entry;		/* one of the ledger that is open */
	CtEntryChange entry_change;
	bool		unrecorded;		/* does the account record no activity, as the
								 * change found? */
	CtActivity	entry;			/* its texts in the tuple, or of the change */
	CtActivity *finished;		/* the entry that it takes the place of, or
								 * NULL; in the memory of the caller */
	HeapTuple	tuple;			/* the version that was read; a copy in the
								 * memory of the caller */
} CtSlot;

/* Slots that are locked until the transaction ends */
typedef struct CtLockedSlots
{
	int			count;
	int64		room;			/* of them, in contacts */
	bool		closed;			/* is one of them? */
	bool		has_brake;		/* has the account a brake? */
	CtSlot		slot[CT_MAX_SLOTS]; /* in the order in which they were locked:
									 * slot 0 is the first */
	CtSlot		before[CT_MAX_SLOTS];	/* as they were read */
	bool		held[CT_MAX_SLOTS]; /* by index into CtSlots.place */
} CtLockedSlots;

/* Where values were in the row of a slot that was read last (slot_row.c) */
typedef struct CtSlotLayout
{
	int			nfixed;			/* of so many columns it may be the same again */
	int			natts;			/* of that row; 0 before the first */
	uint32		account_end;	/* bytes */
	uint32		fixed_end;
	bool		has_nulls;
	bits8	   *nulls;			/* as t_bits */
	uint16	   *place;			/* of each column, bytes */
	HeapTupleHeader row;		/* whose these places are; NULL for none */
} CtSlotLayout;

/* What is known of one counter table */
typedef struct CtCounterTable
{
	CtKnownTable known;			/* must be first */
	CtTable		table;			/* for the account's type; a copy */
	AttrNumber	account;		/* columns */
	AttrNumber	number;			/* column "slot" */
	AttrNumber	used;
	AttrNumber	pending;
	AttrNumber	granted;
	AttrNumber	promoted;
	AttrNumber	demoted;
	AttrNumber	corrected;
	AttrNumber	peak;
	AttrNumber	floor;
	AttrNumber	bottom;
	AttrNumber	lowest;
	AttrNumber	brake;
	AttrNumber	braked_at;
	AttrNumber	entry[CT_NENTRY_COLUMNS];	/* by CtEntryAttribute */
	CtSlotLayout layout;
	Oid			index;			/* its primary key */
	RegProcedure equals;		/* of the account's type */
	MemoryContext context;		/* of the memory below */
	CtAccountMap *memory;		/* of CtRememberedSlots */
} CtCounterTable;

/* What is remembered of the slots of an account */
typedef struct CtRememberedSlots
{
	CtAccountEntry of;
	CtSlots		slots;			/* but for the account */
} CtRememberedSlots;

/* A counter table, open for direct access */
typedef struct CtCounter
{
	Relation	rel;
	const CtTable *table;		/* of the contacts */
	CtCounterTable *info;
	/* created when they are needed: */
	TupleTableSlot *row;		/* a row that is there */
	TupleTableSlot *new_row;	/* the version to be written */
	BlockNumber blocks;			/* of the table, at least */
	List	   *finished;		/* entries that changes have closed, of
								 * CtActivity; for the ledger */
	MemoryContext context;		/* of these */
	bool		recorded;		/* is there nothing more to be recorded of the
								 * last change? */
} CtCounter;

/* The counters of the accounts of an attached table, open for changes */
struct CtCounters
{
	CtCounter	counter;
	CtSlots		slots;			/* of the account that is changed */
	CtLockedSlots *locked;		/* those locked for a change; else NULL */
};

/* activity.c */

extern const CtEntryColumn ct_entry_columns[CT_NENTRY_COLUMNS];
extern void ct_slot_fold(CtCounter *counter, const CtSlots *slots, CtSlot *slot, const CtChange *change);
extern void ct_slot_close_entry(CtSlot *slot);
extern void ct_slot_folded(CtCounter *counter, CtSlots *slots, const CtSlot *slot);
extern int	ct_slot_write_entry(const CtCounterTable *info, const CtSlot *slot, int at,
								int *attnos, Datum *values, bool *nulls);

/* slot_table.c */

extern void ct_slots_open(CtCounter *counter, const CtTable *table);
extern void ct_slots_close(CtCounter *counter);
extern bool ct_counter_has_place(CtCounter *counter, const ItemPointerData *tid);
extern TupleTableSlot *ct_counter_row(CtCounter *counter);
extern TupleTableSlot *ct_new_counter_row(CtCounter *counter);

/* slot_row.c */

extern void ct_slot_layout_begin(CtCounterTable *info, TupleDesc tupdesc, MemoryContext context);
extern bool ct_slot_deform(CtCounter *counter, HeapTuple row, Datum account, int32 number, CtSlot *slot);
extern HeapTuple ct_slot_form(CtCounter *counter, HeapTuple row, int ncolumns,
							  const int *attnos, const Datum *values, const bool *nulls);

/* slot_list.c */

extern CtExact ct_slots_list(CtCounter *counter, CtSlots *slots);
extern int64 ct_slots_least(CtCounter *counter, Datum account);

/* slot.c */

extern bool ct_slot_read(CtCounter *counter, CtSlots *slots, int index, CtSlot *slot);
extern bool ct_slot_is_ours(const CtSlot *slot);
extern bool ct_slot_is_held(CtCounter *counter, const CtSlots *slots, int index, TransactionId *holder);
extern bool ct_slot_lock_as_read(CtCounter *counter, const CtSlots *slots, const CtSlot *slot);
extern bool ct_slot_lock(CtCounter *counter, CtSlots *slots, int index, bool wait, CtSlot *slot);

/* slot_memory.c */

extern void ct_slots_recall(CtCounter *counter, Datum account, CtSlots *slots);
extern CtExact ct_slots_recall_listed(CtCounter *counter, Datum account, CtSlots *slots);
extern void ct_slots_remember(CtCounter *counter, const CtSlots *slots);
extern void ct_counter_remember_room(const CtTable *table, Datum account, int64 room);

/* slot_write.c */

extern TM_Result ct_slot_write(CtCounter *counter, CtSlots *slots, CtSlot *slot, bool wait,
							   TransactionId *holder);

/* slot_triggers.c */

extern bool ct_update_firing(Relation rel, ItemPointer place, TupleTableSlot *new_row, Bitmapset *updated);

/* slot_change.c */

extern bool ct_slot_has_room(const CtSlot *slot, const CtChange *change);
extern void ct_slot_add(CtCounter *counter, const CtSlots *slots, CtSlot *slot, const CtChange *change, int64 total);
extern int64 ct_slots_total(CtCounter *counter, const CtSlots *slots, const CtSlot *slot, const CtChange *change);
extern void ct_slot_note_fall(CtCounter *counter, CtSlots *slots, const CtSlot *slot, const CtChange *change);
extern void ct_slot_write_locked(CtCounter *counter, CtSlots *slots, CtSlot *slot);
extern void ct_slots_add_first(const CtTable *table, Datum account);
extern void ct_slots_changed(CtCounter *counter, CtSlots *slots);

/* slots_locked.c */

extern CtCount ct_slots_withdraw(CtCounters *counters, Datum account, bool close_period, bool closes_entries);

#endif							/* CONTACTS_TIER_COUNTER_H */
