/*-------------------------------------------------------------------------
 *
 * slot.c
 *	  Reading and locking slots, the rows of the counter table.
 *
 * Direct access through the table access method, for counter tables that are
 * ordinary tables of this node (slot_table.c).  Rows are read by SnapshotSelf: the
 * latest committed version, or our own.  A claim is part of an allocation and does
 * not look at data, so it must see what is there, not what its snapshot shows.
 *
 * Where a slot was seen last is a hint (slot_memory.c): what is found there is taken
 * only if it is visible and is the row of this account and slot; otherwise the
 * version chain is followed, and then the index asked.
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
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "counter/counter.h"

/*
 * So many versions of a slot are read in a row, behind the one that was looked for, before the
 * index is asked for the next slot
 */
#define VERSIONS_TO_SKIP	8

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
 * Read on to the version of a slot less than "before" that a snapshot shows.  False if there is
 * no such slot any more.
 */
static bool
next_slot(SlotScan *look, int32 before, Snapshot snapshot)
{
	int			skipped = 0;

	while (index_getnext_slot(look->scan, BackwardScanDirection, look->row))
	{
		if (number_of(look) < before)
		{
			if (table_tuple_satisfies_snapshot(look->counter->rel, look->row, snapshot))
				return true;
		}
		else if (++skipped == VERSIONS_TO_SKIP)
		{
			look->keys[1].sk_argument = Int32GetDatum(before);
			index_rescan(look->scan, look->keys, lengthof(look->keys), NULL, 0);
		}
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
 *
 * While somebody holds an old snapshot, slots have many dead versions.  A B-tree has entries
 * of one key in the order of their places, and new versions mostly go to the end of the table:
 * so the index is read backwards, and what is left of a slot is skipped.
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

/* Is there a block where the slot was seen?  Vacuum may have cut the table. */
static bool
place_exists(CtCounter *counter, ItemPointer tid)
{
	if (ItemPointerGetBlockNumber(tid) < counter->blocks)
		return true;
	counter->blocks = RelationGetNumberOfBlocks(counter->rel);
	return ItemPointerGetBlockNumber(tid) < counter->blocks;
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
	while (place_exists(counter, &tid) &&
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

/* Take a row apart; false if it is not the one expected.  The slot points into it. */
static bool
deform_slot(CtCounter *counter, CtSlots *slots, int index, HeapTuple row, CtSlot *slot)
{
	CtSlotPlace *place = &slots->place[index];

	if (!ct_slot_deform(counter, row, slots->account, place->number, slot))
		return false;
	place->tid = row->t_self;
	slot->index = index;
	return true;
}

/* A copy of the version at a place, NULL if SnapshotSelf does not show it; as heapam_fetch_row_version() */
static HeapTuple
copy_version(CtCounter *counter, const ItemPointerData *tid)
{
	HeapTupleData version = {.t_self = *tid};
	HeapTuple	copy;
	Buffer		buffer;

	if (!heap_fetch(counter->rel, SnapshotSelf, &version, &buffer, false))
		return NULL;
	copy = heap_copytuple(&version);
	ReleaseBuffer(buffer);
	return copy;
}

/*
 * Read the latest version of a slot.  False if it is not found from where it
 * was seen last: the caller lists the slots afresh.  The tuple is a copy, in the present
 * memory context.
 */
bool
ct_slot_read(CtCounter *counter, CtSlots *slots, int index, CtSlot *slot)
{
	ItemPointerData tid = slots->place[index].tid;
	HeapTuple	row;
	TableScanDesc scan;

	if (!place_exists(counter, &tid))
		return false;
	row = copy_version(counter, &tid);
	if (row != NULL)
		return deform_slot(counter, slots, index, row, slot);

	scan = table_beginscan_tid(counter->rel, SnapshotSelf);
	table_tuple_get_latest_tid(scan, &tid);
	table_endscan(scan);
	row = copy_version(counter, &tid);
	return row != NULL && deform_slot(counter, slots, index, row, slot);
}

/*
 * Did this transaction lock the slot before?  Its own lock is no reason to wait,
 * but an update that must not wait stops at it.
 */
bool
ct_slot_is_ours(const CtSlot *slot)
{
	HeapTupleHeader header = slot->tuple->t_data;

	return (header->t_infomask & (HEAP_XMAX_INVALID | HEAP_XMAX_IS_MULTI)) == 0 &&
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmax(header));
}

/*
 * Is the version of a slot that was seen last held by a transaction, be it ours?  Then
 * *holder is its id, or invalid if there are several.  It tells of this moment alone.
 *
 * Asked of the row itself, by HeapTupleSatisfiesUpdate(), as heap_update() does it.  That
 * must not be called without waiting: it does not consider the case, as it says itself,
 * and would stop at any lock, also at one that does not conflict.
 */
bool
ct_slot_is_held(CtCounter *counter, const CtSlots *slots, int index, TransactionId *holder)
{
	const ItemPointerData *tid = &slots->place[index].tid;
	Buffer		buffer = ReadBuffer(counter->rel, ItemPointerGetBlockNumber(tid));
	Page		page = BufferGetPage(buffer);
	ItemId		item;
	bool		held = false;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);

	/*
	 * VACUUM may have cut the line pointers since it was seen, as
	 * heap_fetch() knows
	 */
	item = ItemPointerGetOffsetNumber(tid) > PageGetMaxOffsetNumber(page) ? NULL :
		PageGetItemId(page, ItemPointerGetOffsetNumber(tid));
	if (item != NULL && ItemIdIsNormal(item))
	{
		HeapTupleData tuple = {
			.t_tableOid = RelationGetRelid(counter->rel),
			.t_self = *tid,
			.t_len = ItemIdGetLength(item),
			.t_data = (HeapTupleHeader) PageGetItem(page, item)
		};

		held = HeapTupleSatisfiesUpdate(&tuple, GetCurrentCommandId(false), buffer) == TM_BeingModified;
		*holder = (tuple.t_data->t_infomask & HEAP_XMAX_IS_MULTI) != 0 ?
			InvalidTransactionId : HeapTupleHeaderGetRawXmax(tuple.t_data);
	}
	UnlockReleaseBuffer(buffer);
	return held;
}

/*
 * Lock a slot that was read, without waiting.  False, with nothing locked, if
 * another transaction holds it or it has changed since.
 *
 * Locks: as ct_slot_lock().
 */
bool
ct_slot_lock_as_read(CtCounter *counter, const CtSlots *slots, const CtSlot *slot)
{
	ItemPointerData tid = slots->place[slot->index].tid;
	TM_FailureData failure;

	return table_tuple_lock(counter->rel, &tid, SnapshotSelf, ct_counter_row(counter), GetCurrentCommandId(true),
							LockTupleNoKeyExclusive, LockWaitSkip, 0, &failure) == TM_Ok;
}

/*
 * Lock a slot until the transaction ends, and read it.  False if another
 * transaction holds it and "wait" is false, or there is no such slot any more.
 *
 * Locks: the row, as an UPDATE that leaves the key alone does (LockTupleNoKeyExclusive), which
 * is what heap_update() would take then.
 */
bool
ct_slot_lock(CtCounter *counter, CtSlots *slots, int index, bool wait, CtSlot *slot)
{
	for (;;)
	{
		TM_FailureData failure;
		TM_Result	result;
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		if (!ct_slot_read(counter, slots, index, slot))
		{
			(void) ct_slots_list(counter, slots);
			if (index >= slots->count)
				return false;
			continue;
		}
		tid = slots->place[index].tid;
		result = table_tuple_lock(counter->rel, &tid, SnapshotSelf, ct_counter_row(counter),
								  GetCurrentCommandId(true), LockTupleNoKeyExclusive,
								  wait ? LockWaitBlock : LockWaitSkip,
								  TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
		if (result == TM_Ok && deform_slot(counter, slots, index, ExecCopySlotHeapTuple(counter->row), slot))
			return true;
		if (result == TM_WouldBlock)
			return false;
	}
}
