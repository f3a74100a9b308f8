/*-------------------------------------------------------------------------
 *
 * second_write.c
 *	  Contacts that wait to be written again by the statement that wrote them.
 *
 * A row is decided before it is written, if possible.  It must be written a second time
 * if a BEFORE trigger of the application that fires after ours changed it, or if the end
 * of the statement finds that it does not fit the contact tier.  What
 * is decided is counted at once, and queued here with the place of the row; the end
 * of the statement writes the queue, relation by relation (statement_end.c, R2).
 *
 * A second write is an ordinary one, as if the statement itself had written the row: with
 * its user and search_path, and with the triggers, constraints and indexes of the
 * application.  Only privileges are not checked, as in ExecSimpleRelationUpdate(), with
 * which the worker of logical replication writes.  Of our own triggers the status
 * trigger fires, after all others, and puts in what was decided (trigger_status.c);
 * the counts are known already.
 *
 * Only the very version that was noted is written.  A statement that a trigger of the
 * application runs may come between, and change a row that waits here.  It sees the row
 * as it was decided (ct_second_write_find()) and leaves it as the rules want it, and the
 * version that was noted is not there any more.  If that statement is
 * rolled back, it is there again.  One that comes even before the row is noted cannot know
 * what will be decided, so then nothing is decided for that version (note_overtaken(),
 * trigger_count.c).
 *
 * A queue ends with its memory context, which is a child of that of its frame: so it ends when
 * the frame does (frame.c), by whatever way.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"

/* Where a row that waits is found */
typedef struct WaitingKey
{
	Oid			relid;
	BlockNumber block;
	OffsetNumber offset;
	uint16		zero;			/* no padding in a key */
} WaitingKey;

typedef struct WaitingEntry
{
	WaitingKey	key;
	uint32		index;			/* into the waiting rows */
	char		status;			/* of simplehash */
} WaitingEntry;

#define SH_PREFIX			waiting
#define SH_ELEMENT_TYPE		WaitingEntry
#define SH_KEY_TYPE			WaitingKey
#define SH_KEY				key
#define SH_HASH_KEY(tb, key)	hash_bytes((const unsigned char *) &(key), sizeof(WaitingKey))
#define SH_EQUAL(tb, a, b)	(memcmp(&(a), &(b), sizeof(WaitingKey)) == 0)
#define SH_SCOPE			static inline
#define SH_DEFINE
#define SH_DECLARE
#include "lib/simplehash.h"

/* A queue */
struct CtSecondWrites
{
	slist_node	node;			/* of "queues" */
	MemoryContext context;
	MemoryContextCallback forget;
	List	   *targets;		/* of CtWriteTarget */
	CtSecondWrite *rows;
	int			nrows;
	int			capacity;
	waiting_hash *places;		/* of the rows, for ct_second_write_find() */
};

/* All queues of the transaction, for ct_second_write_find() */
static slist_head queues = SLIST_STATIC_INIT(queues);

static void
forget_queue(void *arg)
{
	slist_delete(&queues, &((CtSecondWrites *) arg)->node);
}

/*
 * Create an empty queue, in a child of a memory context.  It ends with that.
 */
CtSecondWrites *
ct_second_writes(MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "contacts_tier second writes", ALLOCSET_SMALL_SIZES);
	CtSecondWrites *queue = MemoryContextAllocZero(context, sizeof(CtSecondWrites));

	queue->context = context;
	queue->places = waiting_create(context, 16, NULL);
	slist_push_head(&queues, &queue->node);
	queue->forget.func = forget_queue;
	queue->forget.arg = queue;
	MemoryContextRegisterResetCallback(context, &queue->forget);
	return queue;
}

/*
 * Can a row wait for its second write?  Then statements must look each row up, and cannot go
 * without row triggers.
 */
bool
ct_second_writes_wait(void)
{
	return !slist_is_empty(&queues);
}

/* A key is compared byte by byte, so none of it is left unset. */
static WaitingKey
waiting_key(Oid relid, const ItemPointerData *place)
{
	WaitingKey	key = {
		.relid = relid,
		.block = ItemPointerGetBlockNumberNoCheck(place),
		.offset = ItemPointerGetOffsetNumberNoCheck(place)
	};

	return key;
}

/*
 * What was decided about a row that waits for its second write; NULL if it does not
 * wait.
 */
const CtRow *
ct_second_write_find(Oid relid, const ItemPointerData *place)
{
	slist_iter	iter;

	slist_foreach(iter, &queues)
	{
		CtSecondWrites *queue = slist_container(CtSecondWrites, node, iter.cur);
		WaitingEntry *entry = waiting_lookup(queue->places, waiting_key(relid, place));

		if (entry != NULL)
			return &queue->rows[entry->index].decided;
	}
	return NULL;
}

/*
 * The columns of the status properties, as bits of an UPDATE.
 */
Bitmapset *
ct_status_columns(const CtTable *table)
{
	Bitmapset  *columns = NULL;

	for (int i = CT_ARG_STATUS; i < CT_COLUMNS_END; i++)
		columns = bms_add_member(columns, table->attno[i] - FirstLowInvalidHeapAttributeNumber);
	return columns;
}

/*
 * The target for a relation whose rows this transaction has written, and which it has
 * locked thereby.  -1 if rows of it cannot be written again.
 */
int
ct_second_write_target(CtSecondWrites *queue, Oid relid)
{
	ListCell   *cell;
	Relation	rel;
	char	   *args[CT_NARGS];
	CtTable    *table;
	CtWriteTarget *target;
	MemoryContext old;

	foreach(cell, queue->targets)
	{
		if (((CtWriteTarget *) lfirst(cell))->relid == relid)
			return foreach_current_index(cell);
	}
	rel = try_table_open(relid, RowExclusiveLock);
	table = rel != NULL && rel->rd_rel->relkind == RELKIND_RELATION &&
		ct_trigger_args(rel, CT_TRIGGER_COUNT, args) ? ct_table_resolve(rel, CT_NARGS, args) : NULL;
	if (table == NULL)
	{
		if (rel != NULL)
			table_close(rel, NoLock);
		return -1;
	}
	old = MemoryContextSwitchTo(queue->context);
	target = palloc0(sizeof(CtWriteTarget));
	target->relid = relid;
	target->rel = rel;
	target->table = table;
	target->tuple_slot = table_slot_create(rel, NULL);
	target->columns = ct_status_columns(table);
	queue->targets = lappend(queue->targets, target);
	MemoryContextSwitchTo(old);
	return list_length(queue->targets) - 1;
}

/* Put a row into the queue of a target, with a copy of what was decided; returns its number. */
static int
add_row(CtSecondWrites *queue, int target, const ItemPointerData *place, const CtRow *decided)
{
	CtWriteTarget *into = list_nth(queue->targets, target);
	CtSecondWrite *row;
	WaitingEntry *entry;
	bool		found;

	if (queue->nrows == queue->capacity)
	{
		queue->capacity = Max(queue->capacity * 2, 64);
		queue->rows = queue->rows == NULL ?
			MemoryContextAllocHuge(queue->context, sizeof(CtSecondWrite) * queue->capacity) :
			repalloc_huge(queue->rows, sizeof(CtSecondWrite) * queue->capacity);
	}
	row = &queue->rows[queue->nrows];
	row->target = target;
	row->place = *place;
	ct_row_copy(into->table, decided, &row->decided, queue->context);
	entry = waiting_insert(queue->places, waiting_key(into->relid, place), &found);
	entry->index = queue->nrows;
	return queue->nrows++;
}

/*
 * Queue a row that is written, with the status properties that were decided for it.
 * Returns its number.
 *
 * Locks: RowExclusiveLock on the relation, which the statement has.  Errors: 0A000 if its rows
 * cannot be written twice, as those of a foreign table.
 */
int
ct_second_write_add(CtSecondWrites *queue, Oid relid, const CtRow *decided)
{
	int			target = ct_second_write_target(queue, relid);

	if (target < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot correct the marketing contact status of contacts of relation with OID %u",
						relid),
				 errdetail("A BEFORE trigger has changed them after the triggers of contacts_tier, and they are not in a table."),
				 errhint("Give the trigger a name that sorts before \"zz_contacts_tier_status\".")));
	return add_row(queue, target, &decided->tid, decided);
}

/*
 * Where a row that was queued is now.
 */
ItemPointerData
ct_second_write_place(const CtSecondWrites *queue, int number)
{
	return queue->rows[number].place;
}

/*
 * Fetch the latest version of a row that this transaction has written, and *place with
 * it.  Nothing can have moved it but updates: its relation is open in the statement.
 */
bool
ct_fetch_latest(CtWriteTarget *target, ItemPointer place)
{
	TableScanDesc scan;

	if (table_tuple_fetch_row_version(target->rel, place, SnapshotSelf, target->tuple_slot))
		return true;
	scan = table_beginscan_tid(target->rel, SnapshotSelf);
	table_tuple_get_latest_tid(scan, place);
	table_endscan(scan);
	return table_tuple_fetch_row_version(target->rel, place, SnapshotSelf, target->tuple_slot);
}

/*
 * What has become of the version of a row that this transaction has written at a place.  If
 * it was updated since, *latest is the row as it is; it lives until the queue looks at another
 * one.  Rows that cannot be written again count as current: ct_second_write_add()
 * refuses them.
 *
 * Locks: as ct_second_write_add().
 */
CtFate
ct_second_write_fate(CtSecondWrites *queue, Oid relid, const ItemPointerData *place, CtRow *latest)
{
	int			number = ct_second_write_target(queue, relid);
	CtWriteTarget *target = number < 0 ? NULL : list_nth(queue->targets, number);
	ItemPointerData current = *place;

	if (target == NULL)
		return CT_FATE_CURRENT;
	if (!ct_fetch_latest(target, &current))
		return CT_FATE_GONE;
	if (ItemPointerEquals(&current, unconstify(ItemPointerData *, place)))
		return CT_FATE_CURRENT;
	ct_row_read(target->table, target->tuple_slot, latest);
	return CT_FATE_UPDATED;
}

/*
 * Queue a row at a place of a target, unless it is queued already: false then.
 */
bool
ct_second_write_add_once(CtSecondWrites *queue, int target, const ItemPointerData *place, const CtRow *decided)
{
	CtWriteTarget *into = list_nth(queue->targets, target);

	if (waiting_lookup(queue->places, waiting_key(into->relid, place)) != NULL)
		return false;
	(void) add_row(queue, target, place, decided);
	return true;
}

/*
 * The relations in which rows of a queue are, a list of CtWriteTarget.
 */
List *
ct_second_write_targets(const CtSecondWrites *queue)
{
	return queue->targets;
}

/*
 * A row of a queue by its number, in the order in which they were queued; NULL where
 * there are no more.  It moves when another one is queued.
 */
CtSecondWrite *
ct_second_write_row(CtSecondWrites *queue, int number)
{
	return number < queue->nrows ? &queue->rows[number] : NULL;
}

/*
 * Close the relations of a queue that has been written.  Its rows can still be looked up.
 */
void
ct_second_writes_end(CtSecondWrites *queue)
{
	ListCell   *cell;

	foreach(cell, queue->targets)
	{
		CtWriteTarget *target = lfirst(cell);

		ExecDropSingleTupleTableSlot(target->tuple_slot);
		table_close(target->rel, NoLock);
	}
	queue->targets = NIL;
}
