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
#include "utils/snapmgr.h"

#include "counter/counter.h"

/* Begin to read all versions of the slots of an account, in the order of the slots. */
static SysScanDesc
begin_scan(CtCounter *counter, Datum account)
{
	const CtCounterTable *info = counter->info;
	ScanKeyData key;

	ScanKeyEntryInitialize(&key, 0, info->account, BTEqualStrategyNumber, InvalidOid,
						   info->table.account_collation, info->equals, account);
	/* which copies the key */
	return systable_beginscan(counter->rel, info->index, true, SnapshotAny, 1, &key);
}

/*
 * Look up by the index which slots an account has.  Returns the sums of what they
 * say.
 *
 * Not by SnapshotSelf: a slot that moves to another index entry between the look
 * at the index and that at the table would be missed, or seen twice.  All
 * versions are looked at, and the one that the latest snapshot shows is taken;
 * there is exactly one.  Doing the check here instead of in the scan keeps
 * predicate locks of SERIALIZABLE transactions off the slots.
 */
CtExact
ct_slots_list(CtCounter *counter, CtSlots *slots)
{
	const CtCounterTable *info = counter->info;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = begin_scan(counter, slots->account);
	HeapTuple	tuple;
	CtExact		exact = {.used = 0,.lowest = PG_INT64_MAX};

	slots->count = 0;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)) && slots->count < CT_MAX_SLOTS)
	{
		bool		isnull;
		Datum		number;
		int64		lowest;

		if (!table_tuple_satisfies_snapshot(counter->rel, scan->slot, snapshot))
			continue;
		number = heap_getattr(tuple, info->number, RelationGetDescr(counter->rel), &isnull);
		slots->place[slots->count].number = DatumGetInt32(number);
		slots->place[slots->count].tid = tuple->t_self;
		slots->count++;
		exact.used += DatumGetInt64(heap_getattr(tuple, info->used, RelationGetDescr(counter->rel), &isnull));
		lowest = DatumGetInt64(heap_getattr(tuple, info->lowest, RelationGetDescr(counter->rel), &isnull));
		if (!isnull)
			exact.lowest = Min(exact.lowest, lowest);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	exact.lowest = Min(exact.lowest, exact.used);
	return exact;
}

/* What ct_slots_least() has seen of a slot, in contacts */
typedef struct SeenSlot
{
	int32		number;			/* -1: of none yet */
	bool		is_current;		/* is "least" known? */
	int64		least;			/* of what is committed, ours or being written */
	int64		before;			/* as it was when the look began */
} SeenSlot;

/* What it counts at the least */
static int64
least_of(const SeenSlot *seen)
{
	return seen->is_current ? seen->least : seen->before;
}

/*
 * The least that the slots of an account may count together, however the transactions
 * end that are changing them: of each slot the committed version, or our own, and the one
 * that another transaction has written, whichever has less.
 *
 * HeapTupleSatisfiesDirty() finds both of them visible.  It finds none where a slot moves to
 * another index entry meanwhile: _bt_readpage() had not seen that yet, and the version it had
 * seen is over when it is looked at.  Then the slot counts as the snapshot has it from before
 * the look: that version is always found.
 */
int64
ct_slots_least(CtCounter *counter, Datum account)
{
	const CtCounterTable *info = counter->info;
	TupleDesc	tupdesc = RelationGetDescr(counter->rel);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SnapshotData dirty;
	SysScanDesc scan = begin_scan(counter, account);
	HeapTuple	tuple;
	SeenSlot	seen = {.number = -1};
	int64		sum = 0;

	InitDirtySnapshot(dirty);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		int64		used = DatumGetInt64(heap_getattr(tuple, info->used, tupdesc, &isnull));
		int32		number = DatumGetInt32(heap_getattr(tuple, info->number, tupdesc, &isnull));

		/* the index has them in the order of the slots */
		if (number != seen.number)
		{
			sum += least_of(&seen);
			seen = (SeenSlot)
			{
				.number = number
			};
		}
		if (table_tuple_satisfies_snapshot(counter->rel, scan->slot, snapshot))
			seen.before = used;
		if (!table_tuple_satisfies_snapshot(counter->rel, scan->slot, &dirty))
			continue;
		seen.least = seen.is_current ? Min(seen.least, used) : used;
		seen.is_current = true;
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	return sum + least_of(&seen);
}

/*
 * Take the row in counter->row apart; false if it is not the one expected.  It is done with a
 * copy, which the caller keeps, as what is read of it may point into it.
 */
static bool
deform_slot(CtCounter *counter, CtSlots *slots, int index, CtSlot *slot)
{
	const CtCounterTable *info = counter->info;
	TupleTableSlot *row = counter->row;
	bool		isnull;

	/* what the key has is not null, and the other counts are 0 then */
	if (DatumGetInt32(slot_getattr(row, info->number, &isnull)) != slots->place[index].number ||
		ct_account_compare(&info->table, slot_getattr(row, info->account, &isnull), slots->account) != 0)
		return false;
	slots->place[index].tid = row->tts_tid;
	slot->tuple = ExecCopySlotHeapTuple(row);
	row = counter->new_row;
	ExecStoreHeapTuple(slot->tuple, row, false);
	slot_getallattrs(row);		/* at once, which costs less than one by one */
	slot->index = index;
	slot->used = DatumGetInt64(slot_getattr(row, info->used, &isnull));
	slot->pending = DatumGetInt64(slot_getattr(row, info->pending, &isnull));
	slot->granted = DatumGetInt64(slot_getattr(row, info->granted, &slot->closed));
	slot->promoted = DatumGetInt64(slot_getattr(row, info->promoted, &isnull));
	slot->demoted = DatumGetInt64(slot_getattr(row, info->demoted, &isnull));
	slot->corrected = DatumGetInt64(slot_getattr(row, info->corrected, &isnull));
	slot->peak = DatumGetInt64(slot_getattr(row, info->peak, &isnull));
	slot->floor = DatumGetInt64(slot_getattr(row, info->floor, &slot->alone));
	slot->bottom = DatumGetInt64(slot_getattr(row, info->bottom, &isnull));
	slot->observed = !isnull;
	slot->lowest = DatumGetInt64(slot_getattr(row, info->lowest, &isnull));
	slot->fell = !isnull;
	ct_slot_read_entry(info, row, slots->account, slot);
	ExecClearTuple(row);
	return true;
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
 * Read the latest version of a slot.  False if it is not found from where it
 * was seen last: the caller lists the slots afresh.  The tuple is a copy, in the present
 * memory context.
 */
bool
ct_slot_read(CtCounter *counter, CtSlots *slots, int index, CtSlot *slot)
{
	ItemPointerData tid = slots->place[index].tid;
	TableScanDesc scan;

	if (!place_exists(counter, &tid))
		return false;
	if (table_tuple_fetch_row_version(counter->rel, &tid, SnapshotSelf, counter->row))
		return deform_slot(counter, slots, index, slot);

	scan = table_beginscan_tid(counter->rel, SnapshotSelf);
	table_tuple_get_latest_tid(scan, &tid);
	table_endscan(scan);
	return table_tuple_fetch_row_version(counter->rel, &tid, SnapshotSelf, counter->row) &&
		deform_slot(counter, slots, index, slot);
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

	return table_tuple_lock(counter->rel, &tid, SnapshotSelf, counter->row, GetCurrentCommandId(true),
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
		result = table_tuple_lock(counter->rel, &tid, SnapshotSelf, counter->row,
								  GetCurrentCommandId(true), LockTupleNoKeyExclusive,
								  wait ? LockWaitBlock : LockWaitSkip,
								  TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
		if (result == TM_Ok && deform_slot(counter, slots, index, slot))
			return true;
		if (result == TM_WouldBlock)
			return false;
	}
}
