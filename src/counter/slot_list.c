/*-------------------------------------------------------------------------
 *
 * slot_list.c
 *	  Looking up by the index which slots an account has.
 *
 * By the index of the primary key and the table access method, for counter tables that are
 * ordinary tables of this node (slot_table.c).
 *
 * While somebody holds an old snapshot slots have many dead versions, which nobody can
 * remove.  A B-tree has entries of one key in the order of their places, and new versions mostly go
 * to the end of the table: so the index is read backwards, and what is left of a slot is skipped.
 * An entry is that of a page's worth of versions, the HOT chain, and of these the last one is
 * looked at first.  attach() creates the index without deduplication: a backward scan returns the
 * places of a posting list in ascending order (_bt_readpage()).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "counter/counter.h"

/*
 * So many entries of the index without a version that is looked for are read behind one with it,
 * before the index is asked for the next slot
 */
#define ENTRIES_TO_SKIP	2

/* A look at the slots of an account, from the last one to the first */
typedef struct SlotScan
{
	CtCounter  *counter;
	Relation	index;
	IndexScanDesc scan;
	ScanKeyData keys[2];		/* the account, and what slots are less than */
	TupleTableSlot *row;
} SlotScan;

static void
begin_scan(SlotScan *look, CtCounter *counter, Datum account)
{
	const CtCounterTable *info = counter->info;

	look->counter = counter;
	look->index = index_open(info->index, AccessShareLock);
	look->scan = ct_index_beginscan(counter->rel, look->index, SnapshotAny, lengthof(look->keys));
	look->row = table_slot_create(counter->rel, NULL);
	ScanKeyEntryInitialize(&look->keys[0], 0, 1, BTEqualStrategyNumber, InvalidOid,
						   info->table.account_collation, info->equals, account);
	ScanKeyInit(&look->keys[1], 2, BTLessStrategyNumber, F_INT4LT, Int32GetDatum(PG_INT32_MAX));
	index_rescan(look->scan, look->keys, lengthof(look->keys), NULL, 0);
}

static void
end_scan(SlotScan *look)
{
	index_endscan(look->scan);
	ExecDropSingleTupleTableSlot(look->row);
	index_close(look->index, AccessShareLock);
}

static int64
counted(const SlotScan *look, AttrNumber attno, bool *isnull)
{
	return DatumGetInt64(slot_getattr(look->row, attno, isnull));
}

static int32
number_of(const SlotScan *look)
{
	bool		isnull;

	return DatumGetInt32(slot_getattr(look->row, look->counter->info->number, &isnull));
}

/*
 * Which version of a HOT chain a snapshot shows, in a buffer that is locked; false for none.
 * heap_hot_search_buffer() finds the chain, whose versions are in the order in which they were
 * written: so the last ones are asked first.
 */
static bool
find_version(Relation rel, Buffer buffer, ItemPointerData tid, Snapshot snapshot, HeapTuple version)
{
	OffsetNumber chain[MaxHeapTuplesPerPage];
	int			count = 0;

	while (count < MaxHeapTuplesPerPage &&
		   heap_hot_search_buffer(&tid, rel, buffer, SnapshotAny, version, NULL, count == 0))
		chain[count++] = ItemPointerGetOffsetNumber(&tid);
	while (count > 0)
	{
		Page		page = BufferGetPage(buffer);
		ItemId		item = PageGetItemId(page, chain[--count]);

		version->t_data = (HeapTupleHeader) PageGetItem(page, item);
		version->t_len = ItemIdGetLength(item);
		ItemPointerSetOffsetNumber(&version->t_self, chain[count]);
		if (HeapTupleSatisfiesVisibility(version, snapshot, buffer))
			return true;
	}
	return false;
}

/*
 * Read the version that a snapshot shows of the HOT chain that an entry of the index leads to.
 * As heapam_index_fetch_tuple() does it, but for predicate locks.
 */
static bool
fetch_version(SlotScan *look, const ItemPointerData *root, Snapshot snapshot)
{
	Relation	rel = look->counter->rel;
	HeapTuple	version = &((BufferHeapTupleTableSlot *) look->row)->base.tupdata;
	Buffer		buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(root));
	bool		found;

	ExecClearTuple(look->row);
	heap_page_prune_opt(rel, buffer);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	found = find_version(rel, buffer, *root, snapshot, version);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	if (found)
		ExecStoreBufferHeapTuple(version, look->row, buffer);
	ReleaseBuffer(buffer);
	return found;
}

/* Go on behind the slots from "before" on. */
static void
skip_slots(SlotScan *look, int32 before)
{
	look->keys[1].sk_argument = Int32GetDatum(before);
	index_rescan(look->scan, look->keys, lengthof(look->keys), NULL, 0);
}

/*
 * Read on to the version of a slot less than "before" that a snapshot shows.  False if there is
 * no such slot any more.
 */
static bool
next_slot(SlotScan *look, int32 before, Snapshot snapshot)
{
	int			missed = 0;
	ItemPointer tid;

	while ((tid = index_getnext_tid(look->scan, BackwardScanDirection)) != NULL)
	{
		if (fetch_version(look, tid, snapshot))
			return true;
		if (++missed == ENTRIES_TO_SKIP && before != PG_INT32_MAX)
			skip_slots(look, before);
	}
	return false;
}

/* ct_slots_list(), as a snapshot shows them; the first "count" of *used are filled in. */
static CtExact
list_slots(CtCounter *counter, CtSlots *slots, Snapshot snapshot, int64 used[CT_MAX_SLOTS])
{
	const CtCounterTable *info = counter->info;
	SlotScan	look;
	CtExact		exact = {.used = 0,.lowest = PG_INT64_MAX};
	int			first = CT_MAX_SLOTS;
	int32		before = PG_INT32_MAX;
	bool		isnull;

	begin_scan(&look, counter, slots->account);
	while (first > 0 && next_slot(&look, before, snapshot))
	{
		int64		lowest;

		before = number_of(&look);
		first--;
		slots->place[first].number = before;
		slots->place[first].tid = look.row->tts_tid;
		used[first] = counted(&look, info->used, &isnull);
		exact.used += used[first];
		lowest = counted(&look, info->lowest, &isnull);
		if (!isnull)
			exact.lowest = Min(exact.lowest, lowest);
	}
	end_scan(&look);
	slots->count = CT_MAX_SLOTS - first;
	memmove(slots->place, slots->place + first, sizeof(CtSlotPlace) * slots->count);
	memmove(used, used + first, sizeof(int64) * slots->count);
	exact.lowest = Min(exact.lowest, exact.used);
	return exact;
}

/*
 * Look up by the index which slots an account has.  Returns the sums of what they
 * say.
 *
 * Not by SnapshotSelf: a slot that moves to another index entry between the look
 * at the index and that at the table would be missed, or seen twice.  Of all versions
 * that are looked at the one that the latest snapshot shows is taken; there is exactly one.
 * Doing the check here instead of in the scan keeps predicate locks of SERIALIZABLE
 * transactions off the slots.
 */
CtExact
ct_slots_list(CtCounter *counter, CtSlots *slots)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	int64		used[CT_MAX_SLOTS];
	CtExact		exact = list_slots(counter, slots, snapshot, used);

	UnregisterSnapshot(snapshot);
	return exact;
}

/*
 * Where the version in counter->row has its next one, and by whom; false if it has none.  As
 * heap_get_latest_tid() does it.
 */
static bool
next_version(CtCounter *counter, ItemPointer tid, TransactionId *writer)
{
	HeapTupleHeader header = ((HeapTupleTableSlot *) counter->row)->tuple->t_data;
	Buffer		buffer = ((BufferHeapTupleTableSlot *) counter->row)->buffer;
	bool		has_next;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	has_next = (header->t_infomask & HEAP_XMAX_INVALID) == 0 && !HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) &&
		!ItemPointerEquals(&header->t_ctid, tid);
	if (has_next)
	{
		*writer = HeapTupleHeaderGetUpdateXid(header);
		*tid = header->t_ctid;
	}
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
	return has_next;
}

/*
 * The least that a slot may count, by its versions from one on; "least" is what that one says.  A
 * version that is not by whom the one before says has taken the place of an aborted one.
 */
static int64
least_from(CtCounter *counter, ItemPointerData tid, int64 least)
{
	TransactionId writer = InvalidTransactionId;
	SnapshotData dirty;
	bool		is_current = false;

	InitDirtySnapshot(dirty);
	while (ct_counter_has_place(counter, &tid) &&
		   table_tuple_fetch_row_version(counter->rel, &tid, SnapshotAny, ct_counter_row(counter)))
	{
		HeapTuple	tuple = ((HeapTupleTableSlot *) counter->row)->tuple;

		if (TransactionIdIsValid(writer) && !TransactionIdEquals(HeapTupleHeaderGetXmin(tuple->t_data), writer))
			break;
		if (table_tuple_satisfies_snapshot(counter->rel, counter->row, &dirty))
		{
			bool		isnull;
			int64		used = DatumGetInt64(slot_getattr(counter->row, counter->info->used, &isnull));

			least = is_current ? Min(least, used) : used;
			is_current = true;
		}
		if (!next_version(counter, &tid, &writer))
			break;
	}
	return least;
}

/*
 * The least that the slots of an account may count together, however the transactions
 * end that are changing them: of each slot the committed version, or our own, and the one
 * that another transaction has written, whichever has less.
 *
 * HeapTupleSatisfiesDirty() finds both of them visible.  They are looked for from the version on
 * that was current when the look began, which stays as long as the snapshot is registered.
 */
int64
ct_slots_least(CtCounter *counter, Datum account)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	CtSlots		slots = {.account = account};
	int64		used[CT_MAX_SLOTS];
	int64		sum = 0;

	(void) list_slots(counter, &slots, snapshot, used);
	for (int i = 0; i < slots.count; i++)
		sum += least_from(counter, slots.place[i].tid, used[i]);
	UnregisterSnapshot(snapshot);
	return sum;
}
