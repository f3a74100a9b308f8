/*-------------------------------------------------------------------------
 *
 * slot_write.c
 *	  Writing slots, the rows of the counter table.
 *
 * A new version is put where the old one is by heap_update(), without the
 * executor, or by the executor's functions where the table has triggers
 * (slot_triggers.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/tableam.h"
#include "access/tupmacs.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "counter/counter.h"

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

/*
 * Enter a version into all indexes, where somebody has added some.  Their expressions are
 * evaluated, so the search_path must not be the caller's (R3).
 */
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

/*
 * Enter a version that is not HOT into the indexes.  The usual table has but its key, for
 * which the executor's way would cost more than the write.
 */
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
		Form_pg_attribute attr = TupleDescAttr(row->tts_tupleDescriptor, attnos[i] - 1);

		value = slot_getattr(row, attnos[i], &isnull);
		if (isnull != nulls[i] ||
			(!isnull && !datum_image_eq(value, values[i], attr->attbyval, attr->attlen)))
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
			 errhint("Row triggers on it must return the new row with the columns that contacts_tier.attach() creates unchanged."),
			 errtable(counter->rel)));
}

/*
 * Write the row in counter->new_row for a slot whose table needs the executor; the results are
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
	TM_Result	result = table_tuple_lock(counter->rel, tid, SnapshotSelf, ct_counter_row(counter),
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
	ct_slot_folded(counter, slots, slot);
	return TM_Ok;
}

/* Has somebody added what the executor serves: triggers, CHECK constraints or generated columns? */
static bool
needs_executor(Relation rel)
{
	const TupleConstr *constr = RelationGetDescr(rel)->constr;

	return rel->trigdesc != NULL || (constr != NULL && (constr->num_check > 0 || constr->has_generated_stored));
}

/* Columns of a slot that are written each time, and those of a brake */
#define NFIXED	10
#define NBRAKE	2

/* What is to be written of a brake, if the account has or had one: columns from "at" on; how many there are then. */
static int
write_brake(const CtCounterTable *info, const CtSlot *slot, int at, int *attnos, Datum *values, bool *nulls)
{
	if (!slot->has_brake && !slot->had_brake)
		return at;
	attnos[at] = info->brake;
	values[at] = Int64GetDatum(slot->brake);
	attnos[at + 1] = info->braked_at;
	values[at + 1] = TimestampTzGetDatum(slot->braked_at);
	nulls[at] = nulls[at + 1] = !slot->has_brake;
	return at + NBRAKE;
}

/*
 * Write a slot that was read or locked.  With "wait" false, does nothing if
 * another transaction holds it: TM_BeingModified, and *holder is its id, or
 * invalid if there are several.  One that takes it at this very moment is waited
 * for even so; it was not there before, so this makes no deadlock.  TM_Ok: the
 * slot is ours until the transaction ends.  Any other result: it has changed,
 * read it again.
 *
 * As heapam_tuple_update() does it for a tuple in a tuple slot, which is not needed here; without
 * a crosscheck heap_update() updates the version at the place or says why not.
 *
 * Errors: 55000 where a trigger on the counter table interferes; those of its constraints.
 */
TM_Result
ct_slot_write(CtCounter *counter, CtSlots *slots, CtSlot *slot, bool wait, TransactionId *holder)
{
	const CtCounterTable *info = counter->info;
	int			attnos[NFIXED + CT_NENTRY_COLUMNS + NBRAKE] = {
		info->used, info->pending, info->promoted, info->demoted,
		info->corrected, info->peak, info->granted, info->floor, info->bottom, info->lowest
	};
	Datum		values[lengthof(attnos)] = {
		Int64GetDatum(slot->used), Int64GetDatum(slot->pending), Int64GetDatum(slot->promoted),
		Int64GetDatum(slot->demoted), Int64GetDatum(slot->corrected), Int64GetDatum(slot->peak),
		Int64GetDatum(slot->granted), Int64GetDatum(slot->floor), Int64GetDatum(slot->bottom),
		Int64GetDatum(slot->lowest)
	};
	bool		nulls[lengthof(attnos)] = {
		[NFIXED - 4] = slot->closed,
		[NFIXED - 3] = !slot->observed || slot->alone,
		[NFIXED - 2] = !slot->observed,
		[NFIXED - 1] = !slot->fell
	};
	int			ncolumns = write_brake(info, slot, ct_slot_write_entry(info, slot, NFIXED, attnos, values, nulls),
									   attnos, values, nulls);
	ItemPointer tid = &slots->place[slot->index].tid;
	HeapTuple	tuple;
	TM_FailureData failure;
	CtUpdateIndexes update_indexes;
	LockTupleMode lockmode;
	TM_Result	result;

	if (!wait && ct_slot_is_held(counter, slots, slot->index, holder))
		return TM_BeingModified;
	tuple = ct_slot_form(counter, slot->tuple, ncolumns, attnos, values, nulls);
	if (needs_executor(counter->rel))
	{
		ExecForceStoreHeapTuple(tuple, ct_new_counter_row(counter), false);
		return write_firing(counter, slots, slot, attnos, values, nulls, ncolumns);
	}
	tuple->t_tableOid = RelationGetRelid(counter->rel);
	result = ct_heap_update(counter->rel, tid, tuple, GetCurrentCommandId(true), &failure, &lockmode, &update_indexes);
	if (result != TM_Ok)
		return result;
	*tid = tuple->t_self;
	if (ct_needs_entries(update_indexes))
	{
		ExecForceStoreHeapTuple(tuple, ct_new_counter_row(counter), false);
		insert_index_entries(counter, update_indexes);
	}
	ct_slot_folded(counter, slots, slot);
	return TM_Ok;
}
