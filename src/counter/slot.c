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

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"

#include "counter/counter.h"

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

/* In how many pages versions are followed before the index is asked, which finds the last of many sooner */
#define PAGES_TO_FOLLOW	16

/* Versions of a slot that are followed, as heap_get_latest_tid() does it */
typedef struct VersionChain
{
	ItemPointerData next;		/* to be looked at */
	TransactionId writer;		/* who wrote it; invalid if that is not known */
	ItemPointerData latest;		/* that SnapshotSelf shows; invalid for none */
} VersionChain;

/* Follow them to the end of a page, which is locked.  True if they go on in another one. */
static bool
follow_in_page(CtCounter *counter, Buffer buffer, VersionChain *chain)
{
	Page		page = BufferGetPage(buffer);

	while (ItemPointerGetBlockNumber(&chain->next) == BufferGetBlockNumber(buffer))
	{
		HeapTupleData version = {.t_self = chain->next,.t_tableOid = RelationGetRelid(counter->rel)};
		OffsetNumber offset = ItemPointerGetOffsetNumber(&chain->next);
		ItemId		item = offset > PageGetMaxOffsetNumber(page) ? NULL : PageGetItemId(page, offset);
		HeapTupleHeader header;

		if (item == NULL || !ItemIdIsNormal(item))
			return false;
		version.t_len = ItemIdGetLength(item);
		version.t_data = header = (HeapTupleHeader) PageGetItem(page, item);
		if (TransactionIdIsValid(chain->writer) &&
			!TransactionIdEquals(HeapTupleHeaderGetXmin(header), chain->writer))
			return false;
		if (HeapTupleSatisfiesVisibility(&version, SnapshotSelf, buffer))
			chain->latest = chain->next;
		if ((header->t_infomask & HEAP_XMAX_INVALID) != 0 || HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask) ||
			ItemPointerEquals(&header->t_ctid, &chain->next))
			return false;
		chain->writer = HeapTupleHeaderGetUpdateXid(header);
		chain->next = header->t_ctid;
	}
	return true;
}

/* A copy of the latest version from a place on, as copy_version(); NULL also if it is far. */
static HeapTuple
copy_latest_version(CtCounter *counter, const ItemPointerData *tid)
{
	VersionChain chain = {.next = *tid,.writer = InvalidTransactionId};
	bool		goes_on = true;

	ItemPointerSetInvalid(&chain.latest);
	for (int i = 0; goes_on && i < PAGES_TO_FOLLOW && ct_counter_has_place(counter, &chain.next); i++)
	{
		Buffer		buffer = ReadBuffer(counter->rel, ItemPointerGetBlockNumber(&chain.next));

		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		goes_on = follow_in_page(counter, buffer, &chain);
		UnlockReleaseBuffer(buffer);
	}
	return goes_on || !ItemPointerIsValid(&chain.latest) ? NULL : copy_version(counter, &chain.latest);
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

	if (!ct_counter_has_place(counter, &tid))
		return false;
	row = copy_version(counter, &tid);
	if (row != NULL)
		return deform_slot(counter, slots, index, row, slot);

	row = copy_latest_version(counter, &tid);
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
