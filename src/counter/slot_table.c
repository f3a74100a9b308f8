/*-------------------------------------------------------------------------
 *
 * slot_table.c
 *	  Counter tables: how they are opened for access without SQL.
 *
 * Why that is possible is in src/README.  What is found out about a
 * table stands in a cache, until the table changes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "counter/counter.h"

/* Accounts remembered per counter table before all are forgotten */
#define MAX_REMEMBERED	4096

/* Of CtCounterTable */
static CtCache *counter_tables = NULL;

/*
 * Make the cache.
 */
void
ct_slot_init(void)
{
	counter_tables = ct_cache_create("contacts_tier counter tables", sizeof(CtCounterTable), CT_MAX_KNOWN);
}

/* Find the columns and the index; false if the table is not as attach() creates it. */
static bool
find_columns(Relation rel, const CtTable *table, CtCounterTable *counter)
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
	counter->floor = ct_typed_column(relid, "floor", INT8OID);
	counter->bottom = ct_typed_column(relid, "bottom", INT8OID);
	counter->lowest = ct_typed_column(relid, "lowest", INT8OID);
	counter->brake = ct_typed_column(relid, "brake", INT8OID);
	counter->braked_at = ct_typed_column(relid, "braked_at", TIMESTAMPTZOID);
	for (int i = 0; i < CT_NENTRY_COLUMNS; i++)
	{
		counter->entry[i] = ct_typed_column(relid, ct_entry_columns[i].name, ct_entry_columns[i].type);
		if (counter->entry[i] == InvalidAttrNumber)
			return false;
	}
	counter->index = ct_primary_key_index(rel);
	counter->equals = get_opcode(table->account_eq);

	key[0] = counter->account;
	key[1] = counter->number;
	return counter->account && counter->number && counter->used &&
		counter->pending && counter->granted &&
		counter->promoted && counter->demoted && counter->corrected && counter->peak &&
		counter->floor && counter->bottom && counter->lowest && counter->brake && counter->braked_at &&
		ct_is_ordinary(rel, table, key, lengthof(key));
}

/* Forget the slots of all accounts, or begin to remember. */
static void
forget_slots(CtCounterTable *counter)
{
	if (counter->context != NULL)
		MemoryContextDelete(counter->context);
	counter->context = NULL;
	counter->context = AllocSetContextCreate(counter->known.context, "contacts_tier slots",
											 ALLOCSET_SMALL_SIZES);
	counter->memory = ct_account_map(counter->context, &counter->table, sizeof(CtRememberedSlots));
}

/* What is known of a counter table, found out anew where it has changed. */
static CtCounterTable *
find_counter_table(Relation rel, const CtTable *table)
{
	bool		is_new;
	CtCounterTable *counter = (CtCounterTable *) ct_known_table(counter_tables, rel, table, &is_new);

	if (!is_new)
		return counter;
	ct_table_copy(&counter->table, table, counter->known.context);
	if (!find_columns(rel, table, counter))
		ct_refuse_companion(rel, table);
	ct_slot_layout_begin(counter, RelationGetDescr(rel), counter->known.context);
	forget_slots(counter);
	ct_cache_end(counter);
	return counter;
}

/*
 * So many blocks a table that is locked has, at least, without asking for its length: it has the
 * one that was written into last, for whoever cuts the table makes others forget that, as
 * RelationGetBufferForTuple() relies on.
 */
static BlockNumber
known_blocks(Relation rel)
{
	BlockNumber target = RelationGetTargetBlock(rel);

	return target == InvalidBlockNumber ? 0 : target + 1;
}

/*
 * Open the counter table of an attached table.
 *
 * Locks: RowExclusiveLock on the table, until the transaction ends: what is written directly
 * needs what an UPDATE needs.  Errors: those of ct_open_companion() and ct_refuse_companion().
 */
void
ct_slots_open(CtCounter *counter, const CtTable *table)
{
	counter->rel = ct_open_companion(table, CT_COUNTER, RowExclusiveLock);
	counter->info = find_counter_table(counter->rel, table);
	if (ct_account_count(counter->info->memory) > MAX_REMEMBERED)
		forget_slots(counter->info);
	counter->table = table;
	counter->row = NULL;
	counter->new_row = NULL;
	counter->blocks = known_blocks(counter->rel);
	counter->finished = NIL;
	counter->recorded = false;
	counter->context = CurrentMemoryContext;
}

/*
 * Is there such a place in the counter table, where a slot was seen?  Vacuum may have cut the table.
 */
bool
ct_counter_has_place(CtCounter *counter, const ItemPointerData *tid)
{
	if (ItemPointerGetBlockNumber(tid) < counter->blocks)
		return true;
	counter->blocks = RelationGetNumberOfBlocks(counter->rel);
	return ItemPointerGetBlockNumber(tid) < counter->blocks;
}

/* A tuple slot for rows of the counter table, created when it is needed first */
static TupleTableSlot *
needed_slot(CtCounter *counter, TupleTableSlot **slot, const TupleTableSlotOps *ops)
{
	MemoryContext old;

	if (*slot != NULL)
		return *slot;
	old = MemoryContextSwitchTo(counter->context);
	*slot = MakeSingleTupleTableSlot(RelationGetDescr(counter->rel), ops);
	MemoryContextSwitchTo(old);
	return *slot;
}

/*
 * The tuple slot for a row that is there, and the one for a version that is to be written.  What
 * needs none, as the usual statement, is spared of creating them.
 */
TupleTableSlot *
ct_counter_row(CtCounter *counter)
{
	return needed_slot(counter, &counter->row, table_slot_callbacks(counter->rel));
}

TupleTableSlot *
ct_new_counter_row(CtCounter *counter)
{
	return needed_slot(counter, &counter->new_row, &TTSOpsHeapTuple);
}

/*
 * Close it.  Locks on the table and on slots stay until the transaction ends.
 */
void
ct_slots_close(CtCounter *counter)
{
	if (counter->row != NULL)
		ExecDropSingleTupleTableSlot(counter->row);
	if (counter->new_row != NULL)
		ExecDropSingleTupleTableSlot(counter->new_row);
	table_close(counter->rel, NoLock);
}
