/*-------------------------------------------------------------------------
 *
 * delta.c
 *	  What statements changed but the counters do not hold yet.
 *
 * Row triggers add to a frame; the statement trigger applies it.  A frame
 * belongs to a trigger depth, since a trigger of the application may run whole
 * statements between the row events of the outer one and its end: those are
 * applied by themselves, and the outer one is not judged half-way.  It also
 * belongs to a subtransaction: rolling that back forgets the frame.
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
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "contacts_tier.h"

typedef struct DeltaEntry
{
	CtDelta		delta;
	uint32		hash;
	char		status;			/* of simplehash */
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

/* Changes of one trigger depth, subtransaction and set of companion tables */
typedef struct Frame
{
	slist_node	node;
	int			depth;
	SubTransactionId subid;
	CtTable		table;			/* the first table that added to it; a copy,
								 * for it must not change under the entries */
	MemoryContext context;		/* holds the frame and all below it */
	delta_hash *deltas;
	DeltaEntry *last;			/* entry added to last: rows often come by
								 * account */
} Frame;

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
	frame->subid = GetCurrentSubTransactionId();
	ct_table_copy(&frame->table, table, context);
	frame->context = context;
	frame->deltas = delta_create(context, 16, &frame->table);
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
			frame->subid == GetCurrentSubTransactionId() &&
			same_companions(&frame->table, table))
			return frame;
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
		entry->delta = (CtDelta)
		{
			.account = ct_account_copy(table, account, frame->context)
		};
	}
	frame->last = entry;
	return entry;
}

static void
add_to_frame(Frame *frame, const CtDelta *change)
{
	CtDelta    *delta = &find_entry(frame, change->account)->delta;

	delta->marketing += change->marketing;
	delta->pending += change->pending;
	delta->promoted += change->promoted;
	delta->demoted += change->demoted;
}

/*
 * Note what the change of a row means for an account.  "depth" is the trigger
 * depth of the row trigger.
 */
void
ct_delta_add(const CtTable *table, int depth, const CtDelta *change)
{
	add_to_frame(find_frame(table, depth), change);
}

static bool
is_empty(const CtDelta *delta)
{
	return delta->pending == 0 && delta->promoted == 0 && delta->demoted == 0;
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
			deltas[ndeltas++] = entry->delta;
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
		add_to_frame(into, &entry->delta);
	MemoryContextDelete(frame->context);
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

		if (frame->depth < depth || frame->subid != GetCurrentSubTransactionId() ||
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

		if (frame->depth >= depth || frame->subid != GetCurrentSubTransactionId() ||
			!same_companions(&frame->table, &into->table))
			continue;
		delta_start_iterate(frame->deltas, &entries);
		while ((entry = delta_iterate(frame->deltas, &entries)) != NULL)
		{
			if (entry->delta.marketing >= 0)
				continue;
			add_to_frame(into, &entry->delta);
			entry->delta = (CtDelta)
			{
				.account = entry->delta.account
			};
		}
	}
}

/*
 * Apply what was noted at this trigger depth, by the statement that ends now,
 * and below it, by statements that ended without a statement trigger.  What the
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
