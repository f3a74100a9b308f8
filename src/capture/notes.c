/*-------------------------------------------------------------------------
 *
 * notes.c
 *	  What statements changed but the counters do not hold yet.
 *
 * Row triggers add to a frame, and the end of the statement applies it
 * (statement_end.c).  A frame belongs to a statement, since a
 * function or trigger of the application may run whole statements between the rows
 * of the outer one and its end: those are applied by themselves, and the outer one is
 * not judged half-way.  It also belongs to a subtransaction: rolling that back forgets
 * the frame.
 *
 * What an outer statement has released so far is there for the statements that it makes
 * others run, though it is applied later: they borrow it.  A loan that was taken in a
 * subtransaction is given back when that is rolled back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"

typedef struct DeltaEntry
{
	CtDelta		delta;
	uint32		hash;
	char		status;			/* of simplehash */
	int64		capacity;		/* of delta.promotions */
	bool		source_told;	/* is delta.source_type, ..._name of some row? */
	int			type_length;	/* of delta.source_type, and delta.source_name */
	int			name_length;

	/*
	 * What is known of the room of the account, for rows that are decided
	 * before they are written
	 */
	int64		ahead;			/* promotions that are written for sure, but
								 * not counted yet */
	int64		enough;			/* so many fit, or are decided at the end */
	CtRoom		room;			/* as it was seen by this command */
	CommandId	seen_by;
} DeltaEntry;

#define SH_PREFIX			delta
#define SH_ELEMENT_TYPE		DeltaEntry
#define SH_KEY_TYPE			Datum
#define SH_KEY				delta.account
#define SH_HASH_KEY(tb, key)	ct_account_hash((tb)->private_data, key)
#define SH_EQUAL(tb, a, b)	(ct_account_compare((tb)->private_data, a, b) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a)	(a)->hash
#define SH_SCOPE			static inline
#define SH_DEFINE
#define SH_DECLARE
#include "lib/simplehash.h"

/* New rows that look alike, of which only a default made marketing contacts */
typedef struct AlikeEntry
{
	uint32		image;			/* hash of the row */
	int			count;
	char		status;			/* of simplehash */
} AlikeEntry;

#define SH_PREFIX			alike
#define SH_ELEMENT_TYPE		AlikeEntry
#define SH_KEY_TYPE			uint32
#define SH_KEY				image
#define SH_HASH_KEY(tb, key)	(key)
#define SH_EQUAL(tb, a, b)	((a) == (b))
#define SH_SCOPE			static inline
#define SH_DEFINE
#define SH_DECLARE
#include "lib/simplehash.h"

/*
 * Changes of one statement, subtransaction and set of companion tables
 */
struct CtFrame
{
	slist_node	node;
	const void *statement;		/* key of the statement */
	SubTransactionId subid;
	Oid			relid;			/* the last table that added to it */
	CtTable    *table;			/* the first table that added to it; it lives
								 * as long as the transaction */
	MemoryContext context;		/* holds the frame and all below it */
	delta_hash *deltas;
	DeltaEntry *last;			/* entry added to last: rows often come by
								 * account */
	CtSecondWrites *mending;	/* rows that another trigger changed behind
								 * ours; NULL for none */
	CtDrops		drops;			/* rows that did not fit */

	/*
	 * New marketing contacts as the BEFORE trigger saw them, some of which
	 * may have been dropped later: how many, how many of them only a default
	 * made one, and these by what they look like.
	 */
	int64		inserts;
	int64		by_default;
	alike_hash *alike;

	/* A contact that an UPDATE has taken out of a partition (S7) */
	Oid			moving_from;	/* the partition; invalid: there is none */
	CtRow		moving;
	MemoryContext moving_context;
};

/* What a statement borrowed from an outer one, in a subtransaction of that */
typedef struct Loan
{
	slist_node	node;
	CtFrame    *from;
	Datum		account;		/* as the frame has it */
	int64		amount;			/* contacts */
	SubTransactionId subid;
} Loan;

/* Newest first; all in children of TopTransactionContext */
static slist_head frames = SLIST_STATIC_INIT(frames);
static slist_head loans = SLIST_STATIC_INIT(loans);

/* Do two tables share companion tables, and speak of accounts alike? */
static bool
same_companions(const CtTable *a, const CtTable *b)
{
	return a->account_type == b->account_type &&
		a->account_collation == b->account_collation &&
		a->owner == b->owner &&
		ct_names_equal(&a->names, &b->names);
}

static CtFrame *
make_frame(const CtTable *table)
{
	MemoryContext context = AllocSetContextCreate(TopTransactionContext,
												  "contacts_tier deltas",
												  ALLOCSET_SMALL_SIZES);
	CtFrame    *frame = MemoryContextAllocZero(context, sizeof(CtFrame));

	frame->statement = ct_statement()->key;
	frame->subid = GetCurrentSubTransactionId();
	frame->relid = table->relid;
	frame->table = unconstify(CtTable *, table);
	frame->context = context;
	frame->drops.context = context;
	frame->deltas = delta_create(context, 1, frame->table);
	slist_push_head(&frames, &frame->node);
	return frame;
}

/* Is the frame of the statement at work? */
static bool
is_present(const CtFrame *frame)
{
	return frame->statement == ct_statement()->key && frame->subid == GetCurrentSubTransactionId();
}

static CtFrame *
find_frame(const CtTable *table)
{
	slist_iter	iter;

	slist_foreach(iter, &frames)
	{
		CtFrame    *frame = slist_container(CtFrame, node, iter.cur);

		if (is_present(frame) &&
			(frame->relid == table->relid || same_companions(frame->table, table)))
		{
			frame->relid = table->relid;
			return frame;
		}
	}
	return make_frame(table);
}

/* Forget the loans that a frame has given: it is done with. */
static void
forget_loans(const CtFrame *from)
{
	slist_mutable_iter iter;

	slist_foreach_modify(iter, &loans)
	{
		Loan	   *loan = slist_container(Loan, node, iter.cur);

		if (loan->from != from)
			continue;
		slist_delete_current(&iter);
		pfree(loan);
	}
}

/*
 * End a frame that is not in the list any more.
 */
void
ct_frame_end(CtFrame *frame)
{
	forget_loans(frame);
	MemoryContextDelete(frame->context);
}

static DeltaEntry *
find_entry(CtFrame *frame, Datum account)
{
	const CtTable *table = frame->table;
	DeltaEntry *entry;
	bool		found;

	if (frame->last != NULL && ct_account_compare(table, frame->last->delta.account, account) == 0)
		return frame->last;

	entry = delta_insert(frame->deltas, account, &found);
	if (!found)
	{
		CtDelta		empty = {.account = ct_account_copy(table, account, frame->context)};

		entry->delta = empty;
		entry->capacity = 0;
		entry->source_told = false;
		entry->ahead = 0;
		entry->enough = 0;
		entry->seen_by = InvalidCommandId;
	}
	frame->last = entry;
	return entry;
}

static void
add_promotions(CtFrame *frame, DeltaEntry *entry, const CtPromotion *promotions, int64 count)
{
	CtDelta    *delta = &entry->delta;

	if (count == 0)
		return;
	if (delta->npromotions + count > entry->capacity)
	{
		int64		capacity = Max(delta->npromotions + count, entry->capacity * 2);
		Size		size = sizeof(CtPromotion) * capacity;

		delta->promotions = delta->promotions == NULL ?
			MemoryContextAllocHuge(frame->context, size) : repalloc_huge(delta->promotions, size);
		entry->capacity = capacity;
	}
	memcpy(&delta->promotions[delta->npromotions], promotions, sizeof(CtPromotion) * count);
	delta->npromotions += count;
}

/*
 * Note who did it.  Where different sources meet in one statement, none is told.
 */
static void
add_source(CtFrame *frame, DeltaEntry *entry, const char *source_type, const char *source_name)
{
	CtDelta    *delta = &entry->delta;

	if (!entry->source_told)
	{
		entry->source_told = true;
		delta->source_type = source_type == NULL ? NULL : MemoryContextStrdup(frame->context, source_type);
		delta->source_name = source_name == NULL ? NULL : MemoryContextStrdup(frame->context, source_name);
		entry->type_length = source_type == NULL ? 0 : strlen(source_type);
		entry->name_length = source_name == NULL ? 0 : strlen(source_name);
		return;
	}
	if (delta->source_type != NULL &&
		(source_type == NULL || strcmp(delta->source_type, source_type) != 0))
		delta->source_type = NULL;
	if (delta->source_name != NULL &&
		(source_name == NULL || strcmp(delta->source_name, source_name) != 0))
		delta->source_name = NULL;
}

/* Is the text the same as a C string of this length? */
static bool
is_text(const CtRow *row, CtTriggerArg which, const char *string, int length)
{
	text	   *value = row->isnull[which] ? NULL : DatumGetTextPP(row->value[which]);

	if (value == NULL || string == NULL)
		return value == NULL && string == NULL;
	return VARSIZE_ANY_EXHDR(value) == (Size) length &&
		memcmp(VARDATA_ANY(value), string, length) == 0;
}

/*
 * Note the source of a row, NULL for a deleted one: then it is the session's.
 */
static void
note_source(CtFrame *frame, DeltaEntry *entry, const CtRow *row)
{
	CtDelta    *delta = &entry->delta;

	if (row == NULL)
		add_source(frame, entry, ct_session_source_type(), ct_session_source_name());
	else if (!entry->source_told ||
			 !is_text(row, CT_ARG_SOURCE_TYPE, delta->source_type, entry->type_length) ||
			 !is_text(row, CT_ARG_SOURCE_NAME, delta->source_name, entry->name_length))
		add_source(frame, entry,
				   row->isnull[CT_ARG_SOURCE_TYPE] ? NULL : TextDatumGetCString(row->value[CT_ARG_SOURCE_TYPE]),
				   row->isnull[CT_ARG_SOURCE_NAME] ? NULL : TextDatumGetCString(row->value[CT_ARG_SOURCE_NAME]));
}

static DeltaEntry *
add_counts(CtFrame *frame, const CtDelta *change)
{
	DeltaEntry *entry = find_entry(frame, change->account);
	CtDelta    *delta = &entry->delta;

	delta->marketing += change->marketing;
	delta->pending += change->pending;
	delta->promoted += change->promoted;
	delta->demoted += change->demoted;
	delta->flagged += change->flagged;
	delta->unflagged += change->unflagged;
	delta->created += change->created;
	delta->deleted += change->deleted;
	return entry;
}

/*
 * Note what the change of a row means for an account.
 */
void
ct_notes_add(const CtTable *table, const CtRowChange *change, const CtDelta *delta)
{
	CtFrame    *frame = find_frame(table);
	DeltaEntry *entry = add_counts(frame, delta);

	if (change->dropped)
		entry->delta.dropped++;
	if (delta->promoted > 0)
	{
		CtPromotion promotion = {
			.relid = change->relid,.tid = change->new->tid,
			.created = change->old == NULL,.by_default = change->by_default,
			.mending = change->mending
		};

		if (change->old != NULL)
			promotion.before = change->old->tid;
		else
			ItemPointerSetInvalid(&promotion.before);
		promotion.before_relid = OidIsValid(change->moved_from) ? change->moved_from : change->relid;
		add_promotions(frame, entry, &promotion, 1);
		if (entry->ahead > 0)
			entry->ahead--;
	}
	note_source(frame, entry, change->new);
}

/*
 * Note that a row must be written again, as it is in "decided".  Returns its number in
 * the frame.
 */
int
ct_notes_mend(const CtTable *table, Oid relid, const CtRow *decided)
{
	CtFrame    *frame = find_frame(table);

	if (frame->mending == NULL)
		frame->mending = ct_second_writes(frame->context);
	return ct_second_write_add(frame->mending, relid, decided);
}

/*
 * Note that a new row is going to be a marketing contact, as the BEFORE trigger made
 * it: "by_default" if nobody asked for it.  Only that trigger knows; the AFTER trigger
 * will know by ct_notes_is_by_default() what the row looks like then.
 */
void
ct_notes_before_insert(const CtTable *table, bool by_default, uint32 image)
{
	CtFrame    *frame = find_frame(table);
	AlikeEntry *entry;
	bool		found;

	frame->inserts++;
	if (!by_default)
		return;
	frame->by_default++;
	if (frame->alike == NULL)
		frame->alike = alike_create(frame->context, 16, NULL);
	entry = alike_insert(frame->alike, image, &found);
	entry->count = found ? entry->count + 1 : 1;
}

/*
 * Can only be told of a row by what it looks like whether it was noted so?
 */
bool
ct_notes_need_image(const CtTable *table)
{
	CtFrame    *frame = find_frame(table);

	return frame->by_default > 0 && frame->by_default < frame->inserts;
}

/*
 * Was a row that has been inserted made a marketing contact by a default only?  Where
 * the statement left all to a default, or asked for all, that is clear; else by the
 * rows that look like it: between two that are the same nobody can tell a difference.
 */
bool
ct_notes_is_by_default(const CtTable *table, uint32 image)
{
	CtFrame    *frame = find_frame(table);
	AlikeEntry *entry;

	if (frame->by_default == 0 || frame->by_default == frame->inserts)
		return frame->by_default > 0;
	entry = alike_lookup(frame->alike, image);
	if (entry == NULL || entry->count == 0)
		return false;
	entry->count--;
	return true;
}

static const CtStatus no_contact = {0};

/*
 * Note that a contact of an account had one status and has another; no_contact
 * where it was not the account's, or is not any more.
 */
static void
count_change(const CtTable *table, const CtRowChange *change, Datum account,
			 CtStatus old, CtStatus new)
{
	bool		was_flagged = old.marketing && old.until_next_update;
	bool		is_flagged = new.marketing && new.until_next_update;
	CtDelta		delta = {.account = account};

	delta.promoted = new.marketing && !old.marketing;
	delta.demoted = old.marketing && !new.marketing;
	delta.marketing = delta.promoted - delta.demoted;
	delta.pending = (int) is_flagged - (int) was_flagged;
	delta.flagged = is_flagged && !was_flagged;
	delta.unflagged = was_flagged && new.marketing && !is_flagged;
	delta.created = change->old == NULL;
	delta.deleted = change->new == NULL;
	if (delta.marketing != 0 || delta.pending != 0 || delta.created || delta.deleted || change->dropped)
		ct_notes_add(table, change, &delta);
}

/*
 * Count a row that changed.  Errors: MC002 for a marketing contact without an
 * account.
 */
void
ct_count_row(const CtTable *table, const CtRowChange *change)
{
	const CtRow *old = change->old;
	const CtRow *new = change->new;
	bool		had_account = old != NULL && !old->isnull[CT_ARG_ACCOUNT];
	bool		has_account = new != NULL && !new->isnull[CT_ARG_ACCOUNT];
	CtStatus	old_status = old != NULL ? ct_row_status(table, old) : no_contact;

	if (new != NULL && !has_account && change->status.marketing)
		ct_null_account_error(table);
	if (had_account && has_account &&
		ct_account_compare(table, old->value[CT_ARG_ACCOUNT], new->value[CT_ARG_ACCOUNT]) == 0)
	{
		count_change(table, change, new->value[CT_ARG_ACCOUNT], old_status, change->status);
		return;
	}
	if (had_account)
		count_change(table, change, old->value[CT_ARG_ACCOUNT], old_status, no_contact);
	if (has_account)
		count_change(table, change, new->value[CT_ARG_ACCOUNT], no_contact, change->status);
}

/* An unpaired contact that was taken out of a partition is deleted: count it so. */
static void
delete_moving(CtFrame *frame)
{
	CtRowChange change = {.relid = frame->moving_from,.old = &frame->moving,.mending = -1};

	if (!OidIsValid(frame->moving_from))
		return;
	frame->moving_from = InvalidOid;
	ct_count_row(frame->table, &change);
}

/*
 * Keep a contact that an UPDATE has taken out of its partition, until it comes by again
 * as a new row of another one (S7).
 */
void
ct_notes_move_out(const CtTable *table, const CtRow *row)
{
	CtFrame    *frame = find_frame(table);

	delete_moving(frame);
	if (frame->moving_context == NULL)
		frame->moving_context = AllocSetContextCreate(frame->context, "contacts_tier moving contact",
													  ALLOCSET_SMALL_SIZES);
	MemoryContextReset(frame->moving_context);
	ct_row_copy(table, row, &frame->moving, frame->moving_context);
	frame->moving_from = table->relid;
}

/*
 * Is a new row one that was taken out of another partition?  Then returns that, and *row is
 * what it was there; it lives until the next one is taken out.  The executor queues the two
 * events one after the other, so it is the last one.
 */
Oid
ct_notes_move_in(const CtTable *table, CtRow *row)
{
	CtFrame    *frame = find_frame(table);
	Oid			from = frame->moving_from;

	frame->moving_from = InvalidOid;
	*row = frame->moving;
	return from;
}

static bool
is_empty(const CtDelta *delta)
{
	return delta->promoted == 0 && delta->demoted == 0 && delta->pending == 0 &&
		delta->flagged == 0 && delta->created == 0 && delta->deleted == 0 && delta->dropped == 0;
}

/* Have outer statements released places of an account that could be borrowed? */
static bool
can_borrow(const CtFrame *into, Datum account)
{
	slist_iter	iter;

	slist_foreach(iter, &frames)
	{
		CtFrame    *from = slist_container(CtFrame, node, iter.cur);
		DeltaEntry *entry;

		if (from != into && same_companions(from->table, into->table) &&
			(entry = delta_lookup(from->deltas, account)) != NULL && entry->delta.marketing < 0)
			return true;
	}
	return false;
}

/*
 * Does one more marketing contact of an account surely not fit, so that it can be stored as
 * a non-marketing contact at once?  "by_default": only a default would make it one.  The
 * statement at work releases no place of the account, so it would be among the last ones
 * that are dropped at its end.
 *
 * It is asked for each promotion of a statement.  What the slot that was claimed in last has
 * left, and else what a look at the account tells, answers for many of them; the look is
 * taken again when other statements have run in between.
 */
bool
ct_notes_is_full(const CtTable *table, Datum account, bool by_default, CtCounting counting)
{
	CtFrame    *frame = find_frame(table);
	DeltaEntry *entry = find_entry(frame, account);
	int64		wanted = entry->delta.marketing + entry->ahead + 1;
	bool		full = false;

	if (wanted > entry->enough)
		entry->enough = ct_counter_last_room(table, account);
	if (wanted > entry->enough)
	{
		CommandId	command = GetCurrentCommandId(false);

		if (entry->seen_by != command)
			entry->room = ct_look_for_room(table, account);
		entry->seen_by = command;
		if (!entry->room.is_known)
			entry->enough = PG_INT64_MAX;
		full = entry->room.is_known && wanted > entry->room.room &&
			(entry->room.caps || by_default) && !can_borrow(frame, account);
		entry->delta.total = entry->room.total;
	}
	if (!full && counting == CT_COUNTED_LATER)
		entry->ahead++;
	return full;
}

/*
 * Note that a contact was stored as a non-marketing contact for want of room.
 */
void
ct_notes_dropped(const CtTable *table, Datum account)
{
	find_entry(find_frame(table), account)->delta.dropped++;
}

static int
compare_deltas(const void *a, const void *b, void *table)
{
	return ct_account_compare(table, ((const CtDelta *) a)->account, ((const CtDelta *) b)->account);
}

/* Add what one frame holds to another. */
static void
merge_deltas(CtFrame *into, CtFrame *frame)
{
	delta_iterator iter;
	DeltaEntry *from;

	delta_start_iterate(frame->deltas, &iter);
	while ((from = delta_iterate(frame->deltas, &iter)) != NULL)
	{
		DeltaEntry *entry = add_counts(into, &from->delta);

		add_promotions(into, entry, from->delta.promotions, from->delta.npromotions);
		entry->delta.dropped += from->delta.dropped;
		if (from->delta.dropped > 0)
			entry->delta.total = from->delta.total;
		if (from->source_told)
			add_source(into, entry, from->delta.source_type, from->delta.source_name);
	}
}

/* A frame of another statement with the same companion tables, or NULL. */
static CtFrame *
frame_of(const CtStatement *statement, const CtFrame *like)
{
	slist_iter	iter;

	slist_foreach(iter, &frames)
	{
		CtFrame    *frame = slist_container(CtFrame, node, iter.cur);

		if (frame->statement == statement->key && frame->subid == like->subid && frame != like &&
			same_companions(frame->table, like->table))
			return frame;
	}
	return NULL;
}

/* Where are the rows now that were written again? */
static void
follow_mended(CtFrame *frame)
{
	delta_iterator iter;
	DeltaEntry *entry;

	delta_start_iterate(frame->deltas, &iter);
	while ((entry = delta_iterate(frame->deltas, &iter)) != NULL)
		for (int64 i = 0; i < entry->delta.npromotions; i++)
		{
			CtPromotion *promotion = &entry->delta.promotions[i];

			if (promotion->mending >= 0)
				promotion->tid = ct_second_write_place(frame->mending, promotion->mending);
			/* the number is one of this queue, and the frame may get another */
			promotion->mending = -1;
		}
}

/* Lend one account of an inner frame what outer ones have released of it. */
static void
borrow_for(CtFrame *into, CtDelta *delta)
{
	slist_iter	iter;

	slist_foreach(iter, &frames)
	{
		CtFrame    *from = slist_container(CtFrame, node, iter.cur);
		DeltaEntry *entry;
		Loan	   *loan;
		int64		amount;

		if (delta->marketing <= 0)
			return;
		if (!same_companions(from->table, into->table) ||
			(entry = delta_lookup(from->deltas, delta->account)) == NULL || entry->delta.marketing >= 0)
			continue;
		amount = Min(-entry->delta.marketing, delta->marketing);
		entry->delta.marketing += amount;
		delta->marketing -= amount;
		if (from->subid == GetCurrentSubTransactionId())
			continue;			/* both end alike */
		loan = MemoryContextAlloc(TopTransactionContext, sizeof(Loan));
		loan->from = from;
		loan->account = entry->delta.account;
		loan->amount = amount;
		loan->subid = GetCurrentSubTransactionId();
		slist_push_head(&loans, &loan->node);
	}
}

/* What was noted in a frame, in ascending order of the accounts. */
static CtDelta *
sort_deltas(CtFrame *frame, int *ndeltas)
{
	CtDelta    *deltas = MemoryContextAllocHuge(frame->context,
												sizeof(CtDelta) * Max(frame->deltas->members, 1));
	delta_iterator iter;
	DeltaEntry *entry;

	*ndeltas = 0;
	delta_start_iterate(frame->deltas, &iter);
	while ((entry = delta_iterate(frame->deltas, &iter)) != NULL)
	{
		if (is_empty(&entry->delta))
			continue;
		entry->delta.drops = &frame->drops;
		deltas[(*ndeltas)++] = entry->delta;
	}
	qsort_arg(deltas, *ndeltas, sizeof(CtDelta), compare_deltas, frame->table);
	return deltas;
}

/*
 * The newest frame of the statement at work, or NULL.
 */
CtFrame *
ct_frame_present(void)
{
	slist_iter	iter;

	slist_foreach(iter, &frames)
	{
		CtFrame    *frame = slist_container(CtFrame, node, iter.cur);

		if (is_present(frame))
			return frame;
	}
	return NULL;
}

/*
 * The rows of a frame that must be written again, NULL for none.  The frame stays in the
 * list while that is done, for the statements that triggers run meanwhile: they find
 * what was decided, and may borrow.
 */
CtSecondWrites *
ct_frame_second_writes(CtFrame *frame)
{
	return frame->mending;
}

/*
 * They have been written: note where they are now, and close their relations.
 */
void
ct_frame_written(CtFrame *frame)
{
	follow_mended(frame);
	ct_second_writes_end(frame->mending);
	frame->mending = NULL;
}

/*
 * No other row of the statement comes: a contact that was taken out of a partition is gone.
 */
void
ct_frame_complete(CtFrame *frame)
{
	delete_moving(frame);
}

/*
 * Take a frame out of the list, to be applied: the changes of its accounts, in ascending
 * order, with what outer statements have released of these accounts.  The frame is still to
 * be ended.
 */
CtDelta *
ct_frame_remove(CtFrame *frame, const CtTable **table, int *ndeltas)
{
	CtDelta    *deltas;

	slist_delete(&frames, &frame->node);
	deltas = sort_deltas(frame, ndeltas);
	for (int i = 0; i < *ndeltas; i++)
		borrow_for(frame, &deltas[i]);
	*table = frame->table;
	return deltas;
}

/*
 * The rows of a frame that did not fit, after it has been applied; NULL for none.
 */
CtSecondWrites *
ct_frame_drops(CtFrame *frame)
{
	return frame->drops.queue;
}

/*
 * Give a frame of the statement at work to another one, further out.
 */
void
ct_frame_hand_over(CtFrame *frame, const CtStatement *statement)
{
	CtFrame    *into = frame_of(statement, frame);

	if (into == NULL)
	{
		frame->statement = statement->key;
		return;
	}
	delete_moving(frame);
	merge_deltas(into, frame);
	slist_delete(&frames, &frame->node);
	ct_frame_end(frame);
}

/*
 * For a recount, which would count what is noted a second time, or what TRUNCATE has taken
 * off: 55000 if a statement that writes contacts has not ended.
 */
void
ct_notes_check_none(void)
{
	if (ct_is_truncating())
		ct_truncate_look();
	if (slist_is_empty(&frames) && !ct_is_truncating())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("contacts cannot be counted anew while a statement changes them"),
			 errhint("Do this in a statement of its own, not in a function or trigger that the statement runs.")));
}

/* Nothing is left at the end of a transaction: an error rather than a wrong count. */
static void
check_nothing_left(void)
{
	if (slist_is_empty(&frames))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("changes of contacts have not been counted"),
			 errdetail("A statement has ended without the triggers of contacts_tier on its table."),
			 errhint("contacts_tier.repair() makes missing triggers again.")));
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		check_nothing_left();
	if (event == XACT_EVENT_ABORT)
	{
		slist_init(&frames);	/* memory goes with the transaction */
		slist_init(&loans);
	}
}

/*
 * A subtransaction is rolled back: what was borrowed in it is there again.  The entry is
 * found by its own datum: to compare accounts may mean to read a catalog, and that
 * cannot be done now.
 */
static void
give_back(const Loan *loan)
{
	delta_iterator iter;
	DeltaEntry *entry;

	delta_start_iterate(loan->from->deltas, &iter);
	while ((entry = delta_iterate(loan->from->deltas, &iter)) != NULL)
		if (entry->delta.account == loan->account)
			entry->delta.marketing -= loan->amount;
}

static void
end_loans(SubXactEvent event, SubTransactionId subid, SubTransactionId parent)
{
	slist_mutable_iter iter;

	slist_foreach_modify(iter, &loans)
	{
		Loan	   *loan = slist_container(Loan, node, iter.cur);

		if (loan->subid < subid)
			continue;
		if (event == SUBXACT_EVENT_ABORT_SUB)
			give_back(loan);
		else if (loan->from->subid != parent)
		{
			loan->subid = parent;
			continue;
		}
		slist_delete_current(&iter);
		pfree(loan);
	}
}

static void
end_frames(SubXactEvent event, SubTransactionId subid, SubTransactionId parent)
{
	slist_mutable_iter iter;

	slist_foreach_modify(iter, &frames)
	{
		CtFrame    *frame = slist_container(CtFrame, node, iter.cur);

		if (frame->subid < subid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			frame->subid = parent;
		else
		{
			slist_delete_current(&iter);
			ct_frame_end(frame);
		}
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subid,
					  SubTransactionId parent, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	end_loans(event, subid, parent);
	end_frames(event, subid, parent);
}

/*
 * Register for the ends of transactions and subtransactions.
 */
void
ct_notes_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}
