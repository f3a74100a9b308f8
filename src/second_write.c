/*-------------------------------------------------------------------------
 *
 * second_write.c
 *	  Writing contacts once more that a statement has written.
 *
 * A row is decided before it is written, where that can be.  It must be written a
 * second time where a BEFORE trigger of the application changed it behind ours, and
 * where the end of the statement finds that it does not fit the contact tier.  What
 * is decided is counted at once, and queued here with the place of the row; the end
 * of the statement writes the queue, relation by relation (R2).
 *
 * A second write is an ordinary one, as if the writer's statement had made it: by the
 * writer, under his names, with the triggers, constraints and indexes of the
 * application; only nobody is asked for privileges, as in ExecSimpleRelationUpdate(),
 * by which the worker of logical replication writes.  Of our own triggers the status
 * trigger fires, after all others, and puts in what was decided (trigger_status.c);
 * the counts are known already.
 *
 * Only the very version that was noted is written.  A statement that a trigger of the
 * application runs may come between, and change a row that waits here: it takes what
 * was decided for what the row is (ct_second_write_find()), leaves the row right
 * itself, and the version that was noted is not there any more.  If that statement is
 * rolled back, it is there again.
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

#include "contacts_tier.h"

/* A relation that rows are written in; open as long as the queue */
typedef struct Target
{
	Oid			relid;
	Relation	rel;
	const CtTable *table;
	TupleTableSlot *slot;		/* of a row that was looked at */
	Bitmapset  *columns;		/* the status columns, as bits of an UPDATE */
} Target;

/* A row to be written */
typedef struct Waiting
{
	int			target;			/* index into the targets */
	ItemPointerData place;		/* of the version that was noted; then that of
								 * the new one */
	CtRow		decided;		/* the status properties */
} Waiting;

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

struct CtSecondWrites
{
	slist_node	node;			/* of "queues" */
	MemoryContext context;
	MemoryContextCallback forget;
	List	   *targets;		/* of Target */
	Waiting    *rows;
	int			nrows;
	int			capacity;
	waiting_hash *places;
};

/* All queues of the transaction, for ct_second_write_find() */
static slist_head queues = SLIST_STATIC_INIT(queues);

static void
forget_queue(void *arg)
{
	slist_delete(&queues, &((CtSecondWrites *) arg)->node);
}

/*
 * Make an empty queue.  It ends with the memory context.
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
 * Is there a row that waits for its second write?  Then statements must look at
 * rows that they would else leave alone.
 */
bool
ct_second_writes_wait(void)
{
	return !slist_is_empty(&queues);
}

static WaitingKey
make_key(Oid relid, const ItemPointerData *place)
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
		WaitingEntry *entry = waiting_lookup(queue->places, make_key(relid, place));

		if (entry != NULL)
			return &queue->rows[entry->index].decided;
	}
	return NULL;
}

static Bitmapset *
status_columns(const CtTable *table)
{
	Bitmapset  *columns = NULL;

	for (int i = CT_ARG_STATUS; i < CT_NARGS; i++)
		columns = bms_add_member(columns, table->attno[i] - FirstLowInvalidHeapAttributeNumber);
	return columns;
}

/*
 * The target for a relation whose rows this transaction has written, and which it has
 * locked thereby.  -1 if rows of it cannot be written again.
 */
static int
find_target(CtSecondWrites *queue, Oid relid)
{
	ListCell   *cell;
	Relation	rel;
	char	   *args[CT_NARGS];
	CtTable    *table;
	Target	   *target;
	MemoryContext old;

	foreach(cell, queue->targets)
	{
		if (((Target *) lfirst(cell))->relid == relid)
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
	target = palloc0(sizeof(Target));
	target->relid = relid;
	target->rel = rel;
	target->table = table;
	target->slot = table_slot_create(rel, NULL);
	target->columns = status_columns(table);
	queue->targets = lappend(queue->targets, target);
	MemoryContextSwitchTo(old);
	return list_length(queue->targets) - 1;
}

static int
add_row(CtSecondWrites *queue, int target, const ItemPointerData *place, const CtRow *decided)
{
	Target	   *into = list_nth(queue->targets, target);
	Waiting    *row;
	WaitingEntry *entry;
	bool		found;

	if (queue->nrows == queue->capacity)
	{
		queue->capacity = Max(queue->capacity * 2, 64);
		queue->rows = queue->rows == NULL ?
			MemoryContextAllocHuge(queue->context, sizeof(Waiting) * queue->capacity) :
			repalloc_huge(queue->rows, sizeof(Waiting) * queue->capacity);
	}
	row = &queue->rows[queue->nrows];
	row->target = target;
	row->place = *place;
	ct_row_copy(into->table, decided, &row->decided, queue->context);
	entry = waiting_insert(queue->places, make_key(into->relid, place), &found);
	entry->index = queue->nrows;
	return queue->nrows++;
}

/*
 * Queue a row that is written, with the status properties that were decided for it.
 * Returns its number.  Errors: 0A000 where rows cannot be written twice, as in a
 * foreign table.
 */
int
ct_second_write_add(CtSecondWrites *queue, Oid relid, const CtRow *decided)
{
	int			target = find_target(queue, relid);

	if (target < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("contacts of relation with OID %u cannot be brought in line with their marketing contact status",
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
static bool
fetch_latest(Target *target, ItemPointer place)
{
	TableScanDesc scan;

	if (table_tuple_fetch_row_version(target->rel, place, SnapshotSelf, target->slot))
		return true;
	scan = table_beginscan_tid(target->rel, SnapshotSelf);
	table_tuple_get_latest_tid(scan, place);
	table_endscan(scan);
	return table_tuple_fetch_row_version(target->rel, place, SnapshotSelf, target->slot);
}

/*
 * The properties of a contact that is not to be promoted after all: "stored" are those that
 * it has now.  One that was updated keeps those that it had (S5): the version before is
 * there, since only this transaction has ended it.  The result lives in the slot of a target.
 */
static CtRow
unpromoted(CtSecondWrites *queue, Target *target, const CtPromotion *promotion, const CtRow *stored)
{
	static const CtStatus non_marketing = {.given = true};
	ItemPointerData before = promotion->before;
	int			number = ItemPointerIsValid(&before) ? find_target(queue, promotion->before_relid) : -1;
	CtRow		row = *stored;

	if (number >= 0)
	{
		Target	   *from = list_nth(queue->targets, number);

		if (!table_tuple_fetch_row_version(from->rel, &before, SnapshotAny, from->slot))
			elog(ERROR, "the version before an updated contact of \"%s\" has vanished",
				 RelationGetRelationName(from->rel));
		ct_row_read(from->table, from->slot, &row);
	}
	ct_row_set_status(target->table, &row, non_marketing);
	return row;
}

/*
 * Queue a contact that was promoted and is not to be: if it still is a marketing
 * contact of the account, whatever triggers of the application have done since.
 * *flagged tells whether it carries the flag.  False if there is none, or if it is queued
 * already, as one that was promoted twice.
 */
bool
ct_second_write_drop(CtSecondWrites *queue, Datum account, const CtPromotion *promotion, bool *flagged)
{
	int			number = find_target(queue, promotion->relid);
	Target	   *target = number < 0 ? NULL : list_nth(queue->targets, number);
	ItemPointerData place = promotion->tid;
	CtRow		row;
	CtStatus	status;

	if (target == NULL || !fetch_latest(target, &place))
		return false;
	ct_row_read(target->table, target->slot, &row);
	status = ct_row_status(target->table, &row);
	if (!status.marketing || row.isnull[CT_ARG_ACCOUNT] ||
		waiting_lookup(queue->places, make_key(target->relid, &place)) != NULL ||
		ct_account_compare(target->table, row.value[CT_ARG_ACCOUNT], account) != 0)
		return false;
	*flagged = status.until_next_update;
	row = unpromoted(queue, target, promotion, &row);
	add_row(queue, number, &place, &row);
	return true;
}

/* The executor's state for the second writes of one relation */
typedef struct Writing
{
	CtStatement statement;		/* must be first: as it is at work */
	Target	   *target;
	EState	   *estate;
	EPQState	epqstate;
	ResultRelInfo *relinfo;
	ResultRelInfo *named;		/* whose statement triggers fire: the root's,
								 * where the relation is a partition */
	Relation	root;			/* NULL if it is not */
	TransitionCaptureState *capture;
	TupleTableSlot *row;
} Writing;

/* The attached table that a partition belongs to, open; NULL for no partition. */
static Relation
open_root(Relation rel)
{
	List	   *ancestors;

	if (!rel->rd_rel->relispartition)
		return NULL;
	ancestors = get_partition_ancestors(RelationGetRelid(rel));
	return ancestors == NIL ? NULL : try_table_open(llast_oid(ancestors), AccessShareLock);
}

static ResultRelInfo *
make_relinfo(EState *estate, Relation rel, Index index, ResultRelInfo *root)
{
	ResultRelInfo *relinfo = makeNode(ResultRelInfo);

	InitResultRelInfo(relinfo, rel, index, root, 0);
	/* so that AFTER triggers find it; as create_edata_for_relation() does */
	estate->es_opened_result_relations = lappend(estate->es_opened_result_relations, relinfo);
	return relinfo;
}

static void
begin_writing(Writing *writing, Target *target)
{
	Relation	rels[2] = {target->rel, open_root(target->rel)};
	Bitmapset  *columns[2] = {target->columns, NULL};
	EState	   *estate = CreateExecutorState();
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	CtTable    *table = rels[1] == NULL ? NULL : ct_table_of_relation(rels[1]);

	writing->target = target;
	writing->estate = estate;
	writing->root = rels[1];
	columns[1] = table == NULL ? NULL : status_columns(table);
	ct_init_range_table(estate, rels, columns, rels[1] == NULL ? 1 : 2);
	writing->named = rels[1] == NULL ? NULL : make_relinfo(estate, rels[1], 2, NULL);
	writing->relinfo = make_relinfo(estate, rels[0], 1, writing->named);
	if (writing->named == NULL)
		writing->named = writing->relinfo;
	ct_triggers_for_second_write(writing->relinfo);
	ct_triggers_for_second_write(writing->named);
	ct_fire_at_once(estate);
	CheckCmdReplicaIdentity(target->rel, CMD_UPDATE);
	ExecOpenIndices(writing->relinfo, false);
	writing->row = table_slot_create(target->rel, &estate->es_tupleTable);
	estate->es_snapshot = RegisterSnapshot(GetLatestSnapshot());
	estate->es_output_cid = GetCurrentCommandId(true);
	ct_init_epq(&writing->epqstate, estate);
	AfterTriggerBeginQuery();
	writing->capture = writing->named->ri_TrigDesc == NULL ? NULL :
		MakeTransitionCaptureState(writing->named->ri_TrigDesc,
								   RelationGetRelid(writing->named->ri_RelationDesc), CMD_UPDATE);
	ExecBSUpdateTriggers(estate, writing->named);
	MemoryContextSwitchTo(old);
}

static void
end_writing(Writing *writing)
{
	EState	   *estate = writing->estate;

	ExecASUpdateTriggers(estate, writing->named, writing->capture);
	AfterTriggerEndQuery(estate);
	EvalPlanQualEnd(&writing->epqstate);
	ExecCloseResultRelations(estate);
	ExecResetTupleTable(estate->es_tupleTable, false);
	UnregisterSnapshot(estate->es_snapshot);
	if (writing->root != NULL)
		table_close(writing->root, NoLock);
	FreeExecutorState(estate);
}

/* Put the new version together: the old one with what was decided. */
static void
assemble(const Target *target, const CtRow *decided, TupleTableSlot *row)
{
	int			natts = row->tts_tupleDescriptor->natts;

	slot_getallattrs(target->slot);
	ExecClearTuple(row);
	memcpy(row->tts_values, target->slot->tts_values, sizeof(Datum) * natts);
	memcpy(row->tts_isnull, target->slot->tts_isnull, sizeof(bool) * natts);
	for (int i = CT_ARG_STATUS; i < CT_NARGS; i++)
	{
		row->tts_values[target->table->attno[i] - 1] = decided->value[i];
		row->tts_isnull[target->table->attno[i] - 1] = decided->isnull[i];
	}
	ExecStoreVirtualTuple(row);
	ExecMaterializeSlot(row);
	row->tts_tableOid = target->relid;
}

static void
suppressed_error(const Target *target)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("a BEFORE trigger of table \"%s\" keeps the marketing contact status of a contact from being stored",
					RelationGetRelationName(target->rel)),
			 errdetail("The contact must be written once more, and the trigger returns NULL."),
			 errhint("Let the trigger return the row where the columns of the marketing contact status change."),
			 errtable(target->rel)));
}

/*
 * A BEFORE trigger of the application may have moved the contact to another account
 * meanwhile: count that.
 */
static void
count_move(Writing *writing, const CtRow *decided, const CtRow *stored)
{
	const CtTable *table = writing->target->table;
	CtRow		old = *stored;
	CtRow		new;
	CtRowChange change = {.relid = writing->target->relid,.old = &old,.new = &new,.mending = -1};

	ct_row_read(table, writing->row, &new);
	if (ct_row_same_account(table, stored, &new))
		return;
	for (int i = CT_ARG_STATUS; i < CT_NARGS; i++)
	{
		old.value[i] = decided->value[i];
		old.isnull[i] = decided->isnull[i];
	}
	change.status = ct_row_status(table, &new);
	ct_count_row(table, &change);
}

/* Write one row that waits, if it is still the version that was noted. */
static void
write_row(Writing *writing, Waiting *waiting)
{
	Target	   *target = writing->target;
	ItemPointerData place = waiting->place;
	CtRow		stored;

	CHECK_FOR_INTERRUPTS();
	ResetPerTupleExprContext(writing->estate);
	if (!table_tuple_fetch_row_version(target->rel, &place, SnapshotSelf, target->slot))
		return;
	ct_row_read(target->table, target->slot, &stored);
	assemble(target, &waiting->decided, writing->row);
	writing->statement.decided = &waiting->decided;
	if (!ct_update_row(writing->estate, &writing->epqstate, writing->relinfo, &place, writing->row, writing->capture))
		suppressed_error(target);
	count_move(writing, &waiting->decided, &stored);
	waiting->place = writing->row->tts_tid;
	ExecClearTuple(target->slot);
	ExecClearTuple(writing->row);
}

static void
write_target(CtSecondWrites *queue, int number)
{
	Writing		writing = {.statement.key = &writing};

	ct_begin_statement(&writing.statement);
	PG_TRY();
	{
		begin_writing(&writing, list_nth(queue->targets, number));
		for (int i = 0; i < queue->nrows; i++)
			if (queue->rows[i].target == number)
				write_row(&writing, &queue->rows[i]);
		writing.statement.decided = NULL;
		end_writing(&writing);
		ct_notes_hand_over(writing.statement.outer);
	}
	PG_FINALLY();
	{
		ct_end_statement(&writing.statement);
	}
	PG_END_TRY();
}

/* Does a row of this target wait?  Of some only a former version is looked at. */
static bool
has_rows(const CtSecondWrites *queue, int number)
{
	for (int i = 0; i < queue->nrows; i++)
		if (queue->rows[i].target == number)
			return true;
	return false;
}

/*
 * Write what waits, as the present user.  Triggers of the application fire, those that
 * are deferred later.  What waits may be looked up until the queue ends with its memory,
 * but is not found any more: its versions are gone.
 *
 * Errors: 27000 where a trigger suppresses it, 55000 where updates are published and the
 * table has no replica identity, and those of the application's triggers and constraints.
 */
void
ct_second_writes_run(CtSecondWrites *queue)
{
	CommandCounterIncrement();	/* the rows are of this command */
	for (int i = 0; i < list_length(queue->targets); i++)
	{
		if (!has_rows(queue, i))
			continue;
		write_target(queue, i);
		CommandCounterIncrement();
	}
}

/*
 * Close the relations of a queue, which is to be done with.
 */
void
ct_second_writes_end(CtSecondWrites *queue)
{
	ListCell   *cell;

	foreach(cell, queue->targets)
	{
		Target	   *target = lfirst(cell);

		ExecDropSingleTupleTableSlot(target->slot);
		table_close(target->rel, NoLock);
	}
	queue->targets = NIL;
}
