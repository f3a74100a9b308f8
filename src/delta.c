/*-------------------------------------------------------------------------
 *
 * delta.c
 *	  What statements changed but the counters do not hold yet.
 *
 * Row triggers add to a frame; the statement trigger applies it.  A frame
 * belongs to a statement and its trigger depth, since a function or trigger of the
 * application may run whole statements between the rows of the outer one and its
 * end: those are applied by themselves, and the outer one is not judged half-way.
 * It also belongs to a subtransaction: rolling that back forgets the frame.
 *
 * A write straight into a partition fires no statement trigger where the
 * partition has none; what is left at commit, or at PREPARE TRANSACTION, is
 * applied then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "lib/ilist.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "contacts_tier.h"

typedef struct DeltaEntry
{
	CtDelta		delta;
	uint32		hash;
	char		status;			/* of simplehash */
	int64		capacity;		/* of delta.promotions */
	int64		nwaiting;		/* of these, such as wait */
	int64		next_waiting;	/* no earlier one does */
	bool		source_told;	/* is delta.source_type, ..._name of some row? */
	int			type_length;	/* of delta.source_type, and delta.source_name */
	int			name_length;

	/*
	 * New marketing contacts as the BEFORE trigger saw them, some of which
	 * may have been dropped later: how many, and which of them only a default
	 * made one.
	 */
	int64		inserts;
	List	   *by_default;		/* numbers, counted from 0 */
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

/*
 * Changes of one trigger depth, statement, subtransaction and set of companion
 * tables
 */
typedef struct Frame
{
	slist_node	node;
	int			depth;
	const void *statement;		/* as ct_statement() */
	SubTransactionId subid;
	Oid			relid;			/* the last table that added to it */
	CtTable		table;			/* the first table that added to it; a copy,
								 * for it must not change under the entries */
	MemoryContext context;		/* holds the frame and all below it */
	delta_hash *deltas;
	DeltaEntry *last;			/* entry added to last: rows often come by
								 * account */
} Frame;

/* Rows that are made non-marketing by one statement */
#define DROP_BATCH	10000

/* Newest first; all in children of TopTransactionContext */
static slist_head frames = SLIST_STATIC_INIT(frames);

/* Do two tables share companion tables, and speak of accounts alike? */
static bool
same_companions(const CtTable *a, const CtTable *b)
{
	return a->account_type == b->account_type &&
		a->account_collation == b->account_collation &&
		a->owner == b->owner &&
		strcmp(NameStr(a->schema), NameStr(b->schema)) == 0;
}

static Frame *
make_frame(const CtTable *table, int depth)
{
	MemoryContext context = AllocSetContextCreate(TopTransactionContext,
												  "contacts_tier deltas",
												  ALLOCSET_SMALL_SIZES);
	Frame	   *frame = MemoryContextAlloc(context, sizeof(Frame));

	frame->depth = depth;
	frame->statement = ct_statement();
	frame->subid = GetCurrentSubTransactionId();
	frame->relid = table->relid;
	ct_table_copy(&frame->table, table, context);
	frame->context = context;
	frame->deltas = delta_create(context, 1, &frame->table);
	frame->last = NULL;
	slist_push_head(&frames, &frame->node);
	return frame;
}

static Frame *
find_frame(const CtTable *table, int depth)
{
	slist_iter	iter;

	slist_foreach(iter, &frames)
	{
		Frame	   *frame = slist_container(Frame, node, iter.cur);

		if (frame->depth == depth &&
			frame->statement == ct_statement() &&
			frame->subid == GetCurrentSubTransactionId() &&
			(frame->relid == table->relid || same_companions(&frame->table, table)))
		{
			frame->relid = table->relid;
			return frame;
		}
	}
	return make_frame(table, depth);
}

static DeltaEntry *
find_entry(Frame *frame, Datum account)
{
	const CtTable *table = &frame->table;
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
		entry->nwaiting = 0;
		entry->next_waiting = 0;
		entry->source_told = false;
		entry->inserts = 0;
		entry->by_default = NIL;
	}
	frame->last = entry;
	return entry;
}

static void
add_promotions(Frame *frame, DeltaEntry *entry, const CtPromotion *promotions, int64 count)
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
 * The place that a promotion was given when its row was written, if it was; it is
 * not kept any more.  Rows come to the AFTER trigger as they were written, so
 * each is behind the one before it.
 */
static CtPromotion *
take_waiting(DeltaEntry *entry, const CtRowChange *change)
{
	CtDelta    *delta = &entry->delta;
	ItemPointerData place = change->place;

	if (entry->nwaiting == 0)
		return NULL;
	for (int64 i = entry->next_waiting; i < delta->npromotions; i++)
	{
		CtPromotion *promotion = &delta->promotions[i];

		if (promotion->waits && promotion->relid == change->relid &&
			ItemPointerEquals(&promotion->tid, &place))
		{
			entry->nwaiting--;
			entry->next_waiting = i + 1;
			return promotion;
		}
	}
	return NULL;
}

/*
 * Note who did it.  Where different sources meet in one statement, none is told.
 */
static void
add_source(Frame *frame, DeltaEntry *entry, const char *source_type, const char *source_name)
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
note_source(Frame *frame, DeltaEntry *entry, const CtRow *row)
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
add_counts(Frame *frame, const CtDelta *change)
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
 * Find out which of the new contacts in an entry only a default made marketing
 * contacts.  The BEFORE trigger knew which, the AFTER trigger knows where they
 * are; rows come to both in the same order, but some may have been dropped in
 * between.  That matters only where a statement asked for some and not for
 * others; then nobody can tell, and all count as asked for.
 */
static void
resolve_defaults(DeltaEntry *entry)
{
	CtDelta    *delta = &entry->delta;
	bool		all = list_length(entry->by_default) == entry->inserts;
	ListCell   *next = list_head(entry->by_default);
	int64		created = 0;

	if (next == NULL)
		return;
	for (int64 i = 0; i < delta->npromotions; i++)
		created += delta->promotions[i].created && !delta->promotions[i].waits ? 1 : 0;
	if (!all && created != entry->inserts)
		return;
	created = 0;
	for (int64 i = 0; i < delta->npromotions; i++)
	{
		CtPromotion *promotion = &delta->promotions[i];

		if (!promotion->created || promotion->waits)
			continue;
		if (all || (next != NULL && lfirst_int(next) == created))
		{
			promotion->by_default = true;
			next = all ? next : lnext(entry->by_default, next);
		}
		created++;
	}
}

/*
 * Add what one entry holds to a frame, and empty it.  What it knows of rows to
 * come stays.
 */
static void
move_entry(Frame *into, DeltaEntry *from)
{
	DeltaEntry *entry = add_counts(into, &from->delta);
	CtDelta		empty = {.account = from->delta.account};

	resolve_defaults(from);
	add_promotions(into, entry, from->delta.promotions, from->delta.npromotions);
	if (from->source_told)
		add_source(into, entry, from->delta.source_type, from->delta.source_name);
	from->delta = empty;
	from->capacity = 0;
	from->nwaiting = 0;
	from->next_waiting = 0;
	from->source_told = false;
}

/*
 * Note what the change of a row means for an account.
 */
void
ct_delta_add(const CtTable *table, const CtRowChange *change, const CtDelta *delta)
{
	Frame	   *frame = find_frame(table, change->depth);
	DeltaEntry *entry = add_counts(frame, delta);

	if (delta->promoted > 0)
	{
		CtPromotion promotion = {
			.relid = change->relid,.tid = change->new->tid,
			.created = change->old == NULL,.by_default = change->by_default
		};
		CtPromotion *waiting = take_waiting(entry, change);

		if (waiting != NULL)
			*waiting = promotion;
		else
			add_promotions(frame, entry, &promotion, 1);
	}
	note_source(frame, entry, change->new);
}

/*
 * Keep the place of a promotion among those of its account, while other rows are
 * counted where they are written: whether it is one, the AFTER trigger will tell.
 */
void
ct_delta_wait(const CtTable *table, const CtRowChange *change, Datum account)
{
	Frame	   *frame = find_frame(table, change->depth);
	DeltaEntry *entry = find_entry(frame, account);
	CtPromotion promotion = {.relid = change->relid,.tid = change->place,.waits = true};

	add_promotions(frame, entry, &promotion, 1);
	entry->nwaiting++;
}

/*
 * Note that a new row is going to be a marketing contact, as the BEFORE trigger
 * made it: "by_default" if nobody asked for it.
 */
void
ct_delta_note_insert(const CtTable *table, int depth, Datum account, bool by_default)
{
	Frame	   *frame = find_frame(table, depth);
	DeltaEntry *entry = find_entry(frame, account);

	if (by_default)
	{
		MemoryContext old = MemoryContextSwitchTo(frame->context);

		entry->by_default = lappend_int(entry->by_default, (int) entry->inserts);
		MemoryContextSwitchTo(old);
	}
	entry->inserts++;
}

static bool
is_empty(const CtDelta *delta)
{
	return delta->promoted == 0 && delta->demoted == 0 && delta->pending == 0 &&
		delta->flagged == 0 && delta->created == 0 && delta->deleted == 0;
}

/*
 * How many of the promotions only a default asked for.
 */
int64
ct_delta_by_default(const CtDelta *delta)
{
	int64		count = 0;

	for (int64 i = 0; i < delta->npromotions; i++)
		count += delta->promotions[i].by_default ? 1 : 0;
	return count;
}

/*
 * Collect the last promotions that may still be dropped and are in one relation,
 * in their order, at most "max"; marks them as looked at.
 */
static int
collect_droppable(CtDelta *delta, bool only_defaults, int max, Oid *relid, ItemPointerData *tids)
{
	int			count = 0;

	for (int64 i = delta->npromotions - 1; i >= 0 && count < max; i--)
	{
		CtPromotion *promotion = &delta->promotions[i];

		if (promotion->dropped || promotion->waits || (only_defaults && !promotion->by_default))
			continue;
		if (count > 0 && promotion->relid != *relid)
			break;
		*relid = promotion->relid;
		tids[count++] = promotion->tid;
		promotion->dropped = true;
	}
	return count;
}

/*
 * Make the last promotions of a change non-marketing after all, as many as
 * "count" or as there are: all are candidates, or those that only a default
 * asked for.  Rows that another trigger has deleted or demoted since are no
 * candidates any more.  The change tells afterwards what is left of it, and how
 * many were dropped.  The caller is the table's owner and connected to SPI.
 */
void
ct_delta_drop(CtDelta *delta, int64 count, bool only_defaults)
{
	ItemPointerData *tids = palloc(sizeof(ItemPointerData) * DROP_BATCH);
	Oid			relid = InvalidOid;
	int			candidates;

	while (count > 0 &&
		   (candidates = collect_droppable(delta, only_defaults, Min(count, DROP_BATCH), &relid, tids)) > 0)
	{
		int64		flagged;
		int64		changed = ct_make_non_marketing(relid, tids, candidates, &flagged);

		count -= changed;
		delta->marketing -= changed;
		delta->promoted -= changed;
		delta->pending -= flagged;
		delta->flagged = Max(delta->flagged - flagged, 0);
		delta->dropped += changed;
	}
	pfree(tids);
}

static int
compare_deltas(const void *a, const void *b, void *table)
{
	return ct_account_compare(table, ((const CtDelta *) a)->account, ((const CtDelta *) b)->account);
}

/* Apply one frame that is no longer in the list, and free it. */
static void
apply_frame(Frame *frame)
{
	CtDelta    *deltas = MemoryContextAllocHuge(frame->context,
												sizeof(CtDelta) * Max(frame->deltas->members, 1));
	int			ndeltas = 0;
	delta_iterator iter;
	DeltaEntry *entry;

	delta_start_iterate(frame->deltas, &iter);
	while ((entry = delta_iterate(frame->deltas, &iter)) != NULL)
		if (!is_empty(&entry->delta))
		{
			resolve_defaults(entry);
			deltas[ndeltas++] = entry->delta;
		}
	qsort_arg(deltas, ndeltas, sizeof(CtDelta), compare_deltas, &frame->table);
	ct_counter_apply(&frame->table, deltas, ndeltas);
	MemoryContextDelete(frame->context);
}

/* Add what one frame holds to another, and free it. */
static void
merge_frame(Frame *into, Frame *frame)
{
	delta_iterator iter;
	DeltaEntry *entry;

	delta_start_iterate(frame->deltas, &iter);
	while ((entry = delta_iterate(frame->deltas, &iter)) != NULL)
		move_entry(into, entry);
	MemoryContextDelete(frame->context);
}

/*
 * Is the frame of the statement at work, whose triggers are at this depth, or of
 * one that its triggers ran?
 */
static bool
belongs_here(const Frame *frame, int depth)
{
	return (frame->depth > depth || (frame->depth == depth && frame->statement == ct_statement())) &&
		frame->subid == GetCurrentSubTransactionId();
}

/*
 * Take a frame off the list, together with all that are for the same companion
 * tables: they are judged as one.  NULL if there is none.
 */
static Frame *
take_frame(int depth)
{
	Frame	   *taken = NULL;
	slist_mutable_iter iter;

	slist_foreach_modify(iter, &frames)
	{
		Frame	   *frame = slist_container(Frame, node, iter.cur);

		if (!belongs_here(frame, depth) ||
			(taken != NULL && !same_companions(&taken->table, &frame->table)))
			continue;
		slist_delete_current(&iter);
		if (taken == NULL)
			taken = frame;
		else
			merge_frame(taken, frame);
	}
	return taken;
}

/*
 * What statements further out have released so far is released: a trigger may
 * fill the places that its statement has made.  What they claim is judged at
 * their end.
 */
static void
take_releases(Frame *into, int depth)
{
	slist_iter	iter;

	slist_foreach(iter, &frames)
	{
		Frame	   *frame = slist_container(Frame, node, iter.cur);
		delta_iterator entries;
		DeltaEntry *entry;

		if (belongs_here(frame, depth) || frame->subid != GetCurrentSubTransactionId() ||
			!same_companions(&frame->table, &into->table))
			continue;
		delta_start_iterate(frame->deltas, &entries);
		while ((entry = delta_iterate(frame->deltas, &entries)) != NULL)
		{
			if (entry->delta.marketing < 0)
				move_entry(into, entry);
		}
	}
}

/*
 * Apply what was noted by the statement that ends now, whose triggers are at this
 * depth, and below it, by statements that ended without a statement trigger.  What the
 * parent transaction noted waits: it must outlive a rollback of this one.
 */
void
ct_delta_apply(int depth)
{
	Frame	   *frame;

	while ((frame = take_frame(depth)) != NULL)
	{
		take_releases(frame, depth);
		apply_frame(frame);
	}
}

/*
 * Apply everything that is noted, for a recount that follows.  What an outer
 * transaction level noted cannot be applied here, so it is an error: 55000.
 */
void
ct_delta_apply_all(void)
{
	ct_delta_apply(0);
	if (!slist_is_empty(&frames))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("writes to partitions wait for the end of the transaction to be counted"),
				 errhint("Do this before such writes, or in another transaction.")));
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			if (slist_is_empty(&frames))
				break;
			PushActiveSnapshot(GetTransactionSnapshot());
			ct_delta_apply(0);
			PopActiveSnapshot();
			break;
		case XACT_EVENT_ABORT:
			slist_init(&frames);	/* memory goes with the transaction */
			break;
		default:
			break;
	}
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subid,
					  SubTransactionId parent, void *arg)
{
	slist_mutable_iter iter;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	slist_foreach_modify(iter, &frames)
	{
		Frame	   *frame = slist_container(Frame, node, iter.cur);

		if (frame->subid < subid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			frame->subid = parent;
		else
		{
			slist_delete_current(&iter);
			MemoryContextDelete(frame->context);
		}
	}
}

/*
 * Hear of the ends of transactions and subtransactions.
 */
void
ct_delta_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}
