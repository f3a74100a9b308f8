/*-------------------------------------------------------------------------
 *
 * statement_end.c
 *	  The end of a statement: rows are written again, and counts applied.
 *
 * A second write is a statement of its own, whose triggers may note more.  What it
 * notes is handed over to the statement that it belongs to.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"

/* The executor's state for the second writes of one relation */
typedef struct Writing
{
	CtStatement statement;		/* must be first: as it is at work */
	CtWriteTarget *target;
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

/*
 * Create what the executor's functions need to write rows of one relation, as
 * create_edata_for_relation() in worker.c does, and fire what fires before them.  Where
 * it is a partition, statement triggers and transition tables are those of the root, as
 * for an UPDATE of that.
 *
 * The snapshot is for the triggers; which rows are written does not depend on it.
 */
static void
begin_writing(Writing *writing, CtWriteTarget *target)
{
	Relation	rels[2] = {target->rel, open_root(target->rel)};
	Bitmapset  *columns[2] = {target->columns, NULL};
	EState	   *estate = CreateExecutorState();
	MemoryContext old = MemoryContextSwitchTo(estate->es_query_cxt);
	CtTable    *table = rels[1] == NULL ? NULL : ct_table_of_relation(rels[1]);

	writing->target = target;
	writing->estate = estate;
	writing->root = rels[1];
	columns[1] = table == NULL ? NULL : ct_status_columns(table);
	ct_init_range_table(estate, rels, columns, rels[1] == NULL ? 1 : 2);
	writing->named = rels[1] == NULL ? NULL : ct_create_relinfo(estate, rels[1], 2, NULL);
	writing->relinfo = ct_create_relinfo(estate, rels[0], 1, writing->named);
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

/* Fire what fires after the rows, and close all of it. */
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
assemble(const CtWriteTarget *target, const CtRow *decided, TupleTableSlot *row)
{
	int			natts = row->tts_tupleDescriptor->natts;

	slot_getallattrs(target->tuple_slot);
	ExecClearTuple(row);
	memcpy(row->tts_values, target->tuple_slot->tts_values, sizeof(Datum) * natts);
	memcpy(row->tts_isnull, target->tuple_slot->tts_isnull, sizeof(bool) * natts);
	for (int i = CT_ARG_STATUS; i < CT_COLUMNS_END; i++)
	{
		row->tts_values[target->table->attno[i] - 1] = decided->value[i];
		row->tts_isnull[target->table->attno[i] - 1] = decided->isnull[i];
	}
	ExecStoreVirtualTuple(row);
	ExecMaterializeSlot(row);
	row->tts_tableOid = target->relid;
}

/* The count would be wrong if what was decided were not stored: 27000. */
static void
suppressed_error(const CtWriteTarget *target)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("a BEFORE trigger of table \"%s\" prevents the marketing contact status of a contact from being stored",
					RelationGetRelationName(target->rel)),
			 errdetail("The contact must be written once more, and the trigger returns NULL."),
			 errhint("The trigger must return the new row where columns of the marketing contact status change."),
			 errtable(target->rel)));
}

/*
 * A BEFORE trigger of the application may have moved the contact to another account
 * meanwhile, or deleted it (P2): count that.
 */
static void
count_move(Writing *writing, const CtRow *decided, const CtRow *stored)
{
	const CtTable *table = writing->target->table;
	CtRow		old = *stored;
	CtRow		new;
	CtRowChange change = {.relid = writing->target->relid,.old = &old,.new = &new,.mending = -1};

	ct_row_read(table, writing->row, &new);
	if (ct_row_same_account(table, stored, &new) && stored->is_absent == new.is_absent)
		return;
	for (int i = CT_ARG_STATUS; i < CT_COLUMNS_END; i++)
	{
		old.value[i] = decided->value[i];
		old.isnull[i] = decided->isnull[i];
	}
	change.status = ct_row_status(table, &new);
	ct_count_row(table, &change);
}

/* Write one row that waits, if it is still the version that was noted. */
static void
write_row(Writing *writing, CtSecondWrite *waiting)
{
	CtWriteTarget *target = writing->target;
	ItemPointerData place = waiting->place;
	CtRow		stored;

	CHECK_FOR_INTERRUPTS();
	ResetPerTupleExprContext(writing->estate);
	if (!table_tuple_fetch_row_version(target->rel, &place, SnapshotSelf, target->tuple_slot))
		return;
	ct_row_read(target->table, target->tuple_slot, &stored);
	assemble(target, &waiting->decided, writing->row);
	writing->statement.decided = &waiting->decided;
	if (!ct_update_row(writing->estate, &writing->epqstate, writing->relinfo, &place, writing->row, writing->capture))
		suppressed_error(target);
	count_move(writing, &waiting->decided, &stored);
	waiting->place = writing->row->tts_tid;
	ExecClearTuple(target->tuple_slot);
	ExecClearTuple(writing->row);
}

/*
 * Write the rows of one relation of a queue, by a statement of its own.  What its triggers
 * note belongs to the statement that the queue is of.
 */
static void
write_target(CtSecondWrites *queue, int number)
{
	Writing		writing = {.statement.key = &writing};
	CtSecondWrite *row;

	ct_truncate_look();
	ct_begin_statement(&writing.statement);
	PG_TRY();
	{
		begin_writing(&writing, list_nth(ct_second_write_targets(queue), number));
		for (int i = 0; (row = ct_second_write_row(queue, i)) != NULL; i++)
			if (row->target == number)
				write_row(&writing, row);
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
has_rows(CtSecondWrites *queue, int number)
{
	CtSecondWrite *row;

	for (int i = 0; (row = ct_second_write_row(queue, i)) != NULL; i++)
		if (row->target == number)
			return true;
	return false;
}

/*
 * Write what waits, as the current user.  Triggers of the application fire, deferred ones
 * later.  The queue can still be searched until it ends with its memory, but its rows are not
 * found any more: their versions have been updated.
 *
 * Errors: 27000 where a trigger suppresses it, 55000 where updates are published and the
 * table has no replica identity, and those of the application's triggers and constraints.
 */
static void
write_queue(CtSecondWrites *queue)
{
	CommandCounterIncrement();	/* the rows are of this command */
	for (int i = 0; i < list_length(ct_second_write_targets(queue)); i++)
	{
		if (!has_rows(queue, i))
			continue;
		write_target(queue, i);
		CommandCounterIncrement();
	}
}

/* Write the rows of a frame that must be mended. */
static void
mend_rows(CtFrame *frame)
{
	if (frame->mending == NULL)
		return;
	write_queue(frame->mending);
	ct_frame_written(frame);
}

/*
 * Apply one frame: mend its rows, apply its counts, and write again what did not fit.
 * These may add to a frame of the statement in turn.
 */
static void
apply_frame(CtFrame *frame)
{
	CtDelta    *deltas;
	int			ndeltas;
	MemoryContext old;

	ct_moving_complete(frame);
	mend_rows(frame);
	deltas = ct_frame_remove(frame, &ndeltas);
	old = MemoryContextSwitchTo(frame->context);
	ct_apply_deltas(frame->table, deltas, ndeltas);
	MemoryContextSwitchTo(old);
	if (frame->drops.queue != NULL)
	{
		write_queue(frame->drops.queue);
		ct_second_writes_end(frame->drops.queue);
	}
	ct_frame_end(frame);
}

/*
 * Apply what the statement at work has noted, as the user that runs it.  What outer
 * statements have noted waits for their end.
 *
 * Locks and errors: those of ct_apply_deltas() and write_queue().
 */
void
ct_notes_apply(void)
{
	CtFrame    *frame;
	bool		pushed = false;

	while ((frame = ct_frame_current()) != NULL)
	{
		/* at the end of a COPY there is none */
		if (!pushed && !ActiveSnapshotSet())
		{
			PushActiveSnapshot(GetTransactionSnapshot());
			pushed = true;
		}
		apply_frame(frame);
	}
	if (pushed)
		PopActiveSnapshot();
}

/* Give a frame of the statement at work to another one, further out. */
static void
hand_over(CtFrame *frame, const CtStatement *statement)
{
	CtFrame    *into = ct_frame_of(statement, frame);

	if (into == NULL)
		frame->statement = statement->key;
	else
	{
		ct_moving_complete(frame);
		ct_frame_merge(into, frame);
	}
}

/*
 * Hand what the statement at work has noted over to "statement", the outer one that it is part
 * of.  Rows that must be mended are written first.
 *
 * Locks and errors: those of write_queue().
 */
void
ct_notes_hand_over(const CtStatement *statement)
{
	CtFrame    *frame;

	while (statement->key != ct_statement()->key && (frame = ct_frame_current()) != NULL)
	{
		mend_rows(frame);
		hand_over(frame, statement);
	}
}
