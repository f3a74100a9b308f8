/*-------------------------------------------------------------------------
 *
 * slot.c
 *	  Reading, writing and locking slots, the rows of the counter table.
 *
 * Direct access through the table access method, for counter tables that are
 * ordinary tables of this node.  Rows are read by SnapshotSelf: the latest
 * committed version, or our own.  Who may use it and why is in src/README.
 *
 * A backend remembers which slots an account has and where it saw them last.
 * That is a hint: what is found there is taken only if it is visible and is the
 * row of this account and slot; otherwise the version chain is followed, and
 * then the index asked.  A list may be too short, since others add slots.
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
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "counter/counter.h"

/* What is remembered of an account */
typedef struct Remembered
{
	Datum		account;		/* hash key */
	uint32		hash;
	char		status;			/* of simplehash */
	CtSlots		slots;
} Remembered;

#define SH_PREFIX			memory
#define SH_ELEMENT_TYPE		Remembered
#define SH_KEY_TYPE			Datum
#define SH_KEY				account
#define SH_HASH_KEY(tb, key)	ct_account_hash((tb)->private_data, key)
#define SH_EQUAL(tb, a, b)	(ct_account_compare((tb)->private_data, a, b) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a)	(a)->hash
#define SH_SCOPE			static inline
#define SH_DEFINE
#define SH_DECLARE
#include "lib/simplehash.h"

/* Accounts remembered per counter table before all are forgotten */
#define MAX_REMEMBERED	4096

/* What is known of one counter table */
typedef struct CounterTable
{
	CtKnownTable known;			/* must be first */
	bool		direct;			/* may it be accessed directly? */
	CtTable		table;			/* for the account's type; a copy */
	AttrNumber	account;
	AttrNumber	number;
	AttrNumber	used;
	AttrNumber	pending;
	AttrNumber	granted;
	AttrNumber	promoted;
	AttrNumber	demoted;
	AttrNumber	corrected;
	AttrNumber	peak;
	Oid			index;			/* its primary key */
	RegProcedure equals;		/* of the account's type */
	MemoryContext context;		/* of the memory below */
	memory_hash *memory;
} CounterTable;

static CtCache *counter_tables = NULL;

/*
 * Make the cache.
 */
void
ct_slot_init(void)
{
	counter_tables = ct_cache_create("contacts_tier counter tables", sizeof(CounterTable), CT_MAX_KNOWN);
}

/*
 * Is the table one that may be accessed directly, with the columns that attach()
 * made?
 */
static bool
is_direct(Relation rel, const CtTable *table, CounterTable *counter)
{
	Oid			relid = RelationGetRelid(rel);
	AttrNumber	key[2];

	counter->account = ct_typed_column(relid, "account", table->account_type);
	counter->number = ct_typed_column(relid, "slot", INT4OID);
	counter->used = ct_typed_column(relid, "used", INT8OID);
	counter->pending = ct_typed_column(relid, "pending", INT8OID);
	counter->granted = ct_typed_column(relid, "granted", INT8OID);
	counter->promoted = ct_typed_column(relid, "promoted", INT8OID);
	counter->demoted = ct_typed_column(relid, "demoted", INT8OID);
	counter->corrected = ct_typed_column(relid, "corrected", INT8OID);
	counter->peak = ct_typed_column(relid, "peak", INT8OID);
	counter->index = ct_primary_key_index(rel);
	counter->equals = get_opcode(table->account_eq);

	key[0] = counter->account;
	key[1] = counter->number;
	return counter->account && counter->number && counter->used &&
		counter->pending && counter->granted &&
		counter->promoted && counter->demoted && counter->corrected && counter->peak &&
		ct_is_ordinary(rel, table, key, lengthof(key));
}

static void
forget_slots(CounterTable *counter)
{
	if (counter->context != NULL)
		MemoryContextDelete(counter->context);
	counter->context = NULL;
	counter->context = AllocSetContextCreate(counter->known.context, "contacts_tier slots",
											 ALLOCSET_SMALL_SIZES);
	counter->memory = memory_create(counter->context, 1, &counter->table);
}

static CounterTable *
find_counter_table(Relation rel, const CtTable *table)
{
	bool		is_new;
	CounterTable *counter = (CounterTable *) ct_known_table(counter_tables, rel, table, &is_new);

	if (!is_new)
		return counter;
	ct_table_copy(&counter->table, table, counter->known.context);
	counter->direct = is_direct(rel, table, counter);
	forget_slots(counter);
	ct_cache_end(counter);
	return counter;
}

/*
 * Open the counter table of an attached table.  False, with nothing open, if it
 * may not be accessed directly.
 */
bool
ct_slots_open(CtCounter *counter, const CtTable *table)
{
	counter->rel = ct_open_companion(table, CT_COUNTER, RowExclusiveLock);
	counter->info = find_counter_table(counter->rel, table);
	if (!counter->info->direct)
	{
		table_close(counter->rel, NoLock);
		return false;
	}
	if (counter->info->memory->members > MAX_REMEMBERED)
		forget_slots(counter->info);
	counter->table = table;
	counter->row = MakeSingleTupleTableSlot(RelationGetDescr(counter->rel),
											table_slot_callbacks(counter->rel));
	counter->new_row = MakeSingleTupleTableSlot(RelationGetDescr(counter->rel), &TTSOpsHeapTuple);
	counter->blocks = RelationGetNumberOfBlocks(counter->rel);
	return true;
}

/*
 * May the companion tables of an attached table be accessed directly?
 */
bool
ct_slots_are_direct(const CtTable *table)
{
	CtCounter	counter;

	if (!ct_direct_access || !ct_slots_open(&counter, table))
		return false;
	ct_slots_close(&counter);
	return true;
}

void
ct_slots_close(CtCounter *counter)
{
	ExecDropSingleTupleTableSlot(counter->row);
	ExecDropSingleTupleTableSlot(counter->new_row);
	table_close(counter->rel, NoLock);
}

/*
 * Look up by the index which slots an account has.  Returns the sum of what was
 * counted in them.
 *
 * Not by SnapshotSelf: a slot that moves to another index entry between the look
 * at the index and that at the table would be missed, or seen twice.  All
 * versions are looked at, and the one that the latest snapshot shows is taken;
 * there is exactly one.  Doing the check here instead of in the scan keeps
 * predicate locks of SERIALIZABLE transactions off the slots.
 */
int64
ct_slots_list(CtCounter *counter, CtSlots *slots)
{
	CounterTable *info = counter->info;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int64		used = 0;

	ScanKeyEntryInitialize(&key, 0, info->account, BTEqualStrategyNumber, InvalidOid,
						   info->table.account_collation, info->equals, slots->account);
	scan = systable_beginscan(counter->rel, info->index, true, SnapshotAny, 1, &key);
	slots->count = 0;
	while (HeapTupleIsValid(tuple = systable_getnext(scan)) && slots->count < CT_MAX_SLOTS)
	{
		bool		isnull;
		Datum		number;

		if (!table_tuple_satisfies_snapshot(counter->rel, scan->slot, snapshot))
			continue;
		number = heap_getattr(tuple, info->number, RelationGetDescr(counter->rel), &isnull);
		slots->place[slots->count].number = DatumGetInt32(number);
		slots->place[slots->count].tid = tuple->t_self;
		slots->count++;
		used += DatumGetInt64(heap_getattr(tuple, info->used, RelationGetDescr(counter->rel), &isnull));
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	return used;
}

/*
 * The slots of an account, as this backend remembers them.  The copy is the
 * caller's: nested statements may change what is remembered.
 */
void
ct_slots_recall(CtCounter *counter, Datum account, CtSlots *slots)
{
	Remembered *known = memory_lookup(counter->info->memory, account);

	if (known != NULL)
		*slots = known->slots;
	else
	{
		slots->contended = false;
		slots->home = ct_backend_number();
		slots->count = 0;
	}
	slots->account = account;
	if (slots->count == 0)
		(void) ct_slots_list(counter, slots);
}

/*
 * Remember the slots of an account.
 */
void
ct_slots_remember(CtCounter *counter, const CtSlots *slots)
{
	CounterTable *info = counter->info;
	bool		found;
	Remembered *known = memory_insert(info->memory, slots->account, &found);

	if (!found)
		known->account = ct_account_copy(&info->table, slots->account, info->context);
	known->slots = *slots;
}

/* Take the row in counter->row apart; false if it is not the one expected. */
static bool
deform_slot(CtCounter *counter, CtSlots *slots, int index, CtSlot *slot)
{
	CounterTable *info = counter->info;
	TupleTableSlot *row = counter->row;
	bool		isnull;

	/* what the key has is not null, and the other counts are 0 then */
	if (DatumGetInt32(slot_getattr(row, info->number, &isnull)) != slots->place[index].number ||
		ct_account_compare(&info->table, slot_getattr(row, info->account, &isnull), slots->account) != 0)
		return false;
	slot->index = index;
	slot->used = DatumGetInt64(slot_getattr(row, info->used, &isnull));
	slot->pending = DatumGetInt64(slot_getattr(row, info->pending, &isnull));
	slot->granted = DatumGetInt64(slot_getattr(row, info->granted, &slot->closed));
	slot->promoted = DatumGetInt64(slot_getattr(row, info->promoted, &isnull));
	slot->demoted = DatumGetInt64(slot_getattr(row, info->demoted, &isnull));
	slot->corrected = DatumGetInt64(slot_getattr(row, info->corrected, &isnull));
	slot->peak = DatumGetInt64(slot_getattr(row, info->peak, &isnull));
	slot->tuple = ExecCopySlotHeapTuple(row);
	slots->place[index].tid = row->tts_tid;
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
 * was seen last: the caller lists the slots afresh.
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
 * Enter a version into the primary key, without asking whether the key is there:
 * it is that of the version before, which is ours.  To ask would mean to look at
 * all dead versions, of which a transaction of many statements leaves many.
 */
static void
insert_key_entry(CtCounter *counter, EState *estate)
{
	Relation	index = index_open(counter->info->index, RowExclusiveLock);
	IndexInfo  *indexinfo = BuildIndexInfo(index);
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	FormIndexDatum(indexinfo, counter->new_row, estate, values, nulls);
	(void) index_insert(index, values, nulls, &counter->new_row->tts_tid, counter->rel,
						UNIQUE_CHECK_NO, true, indexinfo);
	index_close(index, NoLock);
}

/* Enter a version into all indexes, where somebody has added some. */
static void
insert_entries(CtCounter *counter, EState *estate, CtUpdateIndexes update_indexes)
{
	ResultRelInfo *relinfo = makeNode(ResultRelInfo);
	int			level = NewGUCNestLevel();

	ct_set_safe_search_path();
	InitResultRelInfo(relinfo, counter->rel, 0, NULL, 0);
	ExecOpenIndices(relinfo, false);
	ct_insert_index_tuples(relinfo, counter->new_row, estate, update_indexes);
	ExecCloseIndices(relinfo);
	AtEOXact_GUC(false, level);
}

/* Enter a version that is not HOT into the indexes. */
static void
insert_index_entries(CtCounter *counter, CtUpdateIndexes update_indexes)
{
	EState	   *estate = CreateExecutorState();
	List	   *indexes = RelationGetIndexList(counter->rel);

	if (list_length(indexes) == 1 && linitial_oid(indexes) == counter->info->index)
		insert_key_entry(counter, estate);
	else
		insert_entries(counter, estate, update_indexes);
	list_free(indexes);
	FreeExecutorState(estate);
}

/*
 * Is a tuple of a slot held by another transaction?  Then *holder is its id, or invalid if
 * there are several.  Asked of the row itself, for heap_update() must not be
 * called without waiting.
 */
static bool
is_held(CtCounter *counter, ItemPointer tid, TransactionId *holder)
{
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
 * Is a slot held by a transaction, from what is seen at this moment?
 */
bool
ct_slot_is_held(CtCounter *counter, const CtSlots *slots, int index)
{
	ItemPointerData tid = slots->place[index].tid;
	TransactionId holder;

	return is_held(counter, &tid, &holder);
}

/*
 * Is the row in counter->new_row the one that was to be written?  Triggers may fill
 * other columns, those that somebody has added.
 */
static bool
is_as_written(CtCounter *counter, const CtSlots *slots, const CtSlot *slot,
			  const int *attnos, const Datum *values, const bool *nulls, int count)
{
	TupleTableSlot *row = counter->new_row;
	bool		isnull;
	Datum		value;

	for (int i = 0; i < count; i++)
	{
		value = slot_getattr(row, attnos[i], &isnull);
		if (isnull != nulls[i] || (!isnull && DatumGetInt64(value) != DatumGetInt64(values[i])))
			return false;
	}
	value = slot_getattr(row, counter->info->number, &isnull);
	if (isnull || DatumGetInt32(value) != slots->place[slot->index].number)
		return false;
	value = slot_getattr(row, counter->info->account, &isnull);
	return !isnull && ct_account_compare(&counter->info->table, value, slots->account) == 0;
}

/* Triggers must let counters be: 55000. */
static void
refuse_trigger(CtCounter *counter, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("a trigger on companion table \"%s\" %s", RelationGetRelationName(counter->rel), what),
			 errdetail("Counters would not agree with the contacts any more."),
			 errhint("Row triggers on it must return the new row with the columns of attach() as they are."),
			 errtable(counter->rel)));
}

/*
 * Write the row in counter->new_row for a slot whose table has triggers; the results are
 * those of ct_slot_write().  The version that was read is locked first, so that no
 * concurrent change can come between, in which the executor would look at another.
 */
static TM_Result
write_firing(CtCounter *counter, CtSlots *slots, const CtSlot *slot,
			 const int *attnos, const Datum *values, const bool *nulls, int count)
{
	ItemPointer tid = &slots->place[slot->index].tid;
	Bitmapset  *updated = NULL;
	TM_FailureData failure;
	TM_Result	result = table_tuple_lock(counter->rel, tid, SnapshotSelf, counter->row,
										  GetCurrentCommandId(true), LockTupleNoKeyExclusive,
										  LockWaitBlock, 0, &failure);

	/* as in heap_update(), or the caller would look for ever */
	if (result == TM_Invisible)
		elog(ERROR, "attempted to update invisible tuple");
	if (result != TM_Ok)
		return result;
	for (int i = 0; i < count; i++)
		updated = bms_add_member(updated, attnos[i] - FirstLowInvalidHeapAttributeNumber);
	if (!ct_update_firing(counter->rel, tid, counter->new_row, updated))
		refuse_trigger(counter, "suppressed an update");
	if (!is_as_written(counter, slots, slot, attnos, values, nulls, count))
		refuse_trigger(counter, "changed a counter");
	*tid = counter->new_row->tts_tid;
	return TM_Ok;
}

/*
 * Write a slot that was read or locked.  With "wait" false, does nothing if
 * another transaction holds it: TM_BeingModified, and *holder is its id, or
 * invalid if there are several.  One that takes it at this very moment is waited
 * for even so; it was not there before, so this makes no deadlock.  TM_Ok: the
 * slot is ours until the transaction ends.  Any other result: it has changed,
 * read it again.
 */
TM_Result
ct_slot_write(CtCounter *counter, CtSlots *slots, CtSlot *slot, bool wait, TransactionId *holder)
{
	CounterTable *info = counter->info;
	int			attnos[] = {
		info->used, info->pending, info->promoted, info->demoted,
		info->corrected, info->peak, info->granted
	};
	Datum		values[] = {
		Int64GetDatum(slot->used), Int64GetDatum(slot->pending), Int64GetDatum(slot->promoted),
		Int64GetDatum(slot->demoted), Int64GetDatum(slot->corrected), Int64GetDatum(slot->peak),
		Int64GetDatum(slot->granted)
	};
	bool		nulls[lengthof(attnos)] = {[lengthof(attnos) - 1] = slot->closed};
	ItemPointer tid = &slots->place[slot->index].tid;
	HeapTuple	tuple;
	TM_FailureData failure;
	CtUpdateIndexes update_indexes;
	LockTupleMode lockmode;
	TM_Result	result;

	if (!wait && is_held(counter, tid, holder))
		return TM_BeingModified;
	tuple = heap_modify_tuple_by_cols(slot->tuple, RelationGetDescr(counter->rel),
									  lengthof(attnos), attnos, values, nulls);
	ExecForceStoreHeapTuple(tuple, counter->new_row, false);
	if (counter->rel->trigdesc != NULL)
		return write_firing(counter, slots, slot, attnos, values, nulls, lengthof(attnos));
	result = table_tuple_update(counter->rel, tid, counter->new_row, GetCurrentCommandId(true),
								SnapshotSelf, InvalidSnapshot, true, &failure, &lockmode, &update_indexes);
	if (result != TM_Ok)
		return result;
	counter->new_row->tts_tableOid = RelationGetRelid(counter->rel);
	if (ct_needs_entries(update_indexes))
		insert_index_entries(counter, update_indexes);
	*tid = counter->new_row->tts_tid;
	return TM_Ok;
}

/*
 * Lock a slot that was read, without waiting.  False, with nothing locked, if
 * another transaction holds it or it has changed since.
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
 * transaction holds it and "wait" is false.
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

/*
 * The room of slots that this backend has claimed in, by table and hash of the account: a
 * hint, for it may have been another account's, or be gone.
 */
#define NROOMS		1024

typedef struct LastRoom
{
	Oid			relid;
	uint32		hash;
	int64		room;
} LastRoom;

static LastRoom last_rooms[NROOMS];

static LastRoom *
last_room(const CtTable *table, uint32 hash)
{
	return &last_rooms[(hash ^ table->relid) % NROOMS];
}

/*
 * What was left of the slot that this backend has claimed in last, as far as it is known; 0
 * if nothing is.  It is not said that so many fit, but there was no need to look.
 */
int64
ct_counter_last_room(const CtTable *table, Datum account)
{
	uint32		hash = ct_account_hash(table, account);
	LastRoom   *last = last_room(table, hash);

	return last->relid == table->relid && last->hash == hash ? last->room : 0;
}

/*
 * Remember what is left of the slot that was claimed in.
 */
void
ct_counter_remember_room(const CtTable *table, Datum account, int64 room)
{
	uint32		hash = ct_account_hash(table, account);
	LastRoom   *last = last_room(table, hash);

	last->relid = table->relid;
	last->hash = hash;
	last->room = room;
}
