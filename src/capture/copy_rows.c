/*-------------------------------------------------------------------------
 *
 * copy_rows.c
 *	  The loop of a COPY that does without the BEFORE INSERT row trigger.
 *
 * The functions of PostgreSQL that CopyFrom() calls read rows, route them to partitions,
 * insert many at a time and fire triggers.  In contrast to CopyFrom(), each row gets its
 * status properties before it is inserted, as the status trigger would set them
 * (fast_project.c), and is counted after that (fast_count.c).
 *
 * What makes it sound: it does what CopyFrom() does, in its order.
 *
 *	 ExecInitResultRelation() creates the description of triggers that ExecBRInsertTriggers() and
 *	 ExecARInsertTriggers() go by; for a partition ExecFindPartition() does.  It is
 *	 private to the COPY, and changed before the first row comes.
 *
 *	 CopyFrom() inserts rows one by one where a BEFORE trigger or a volatile default
 *	 might look at the table, or where a partition is a foreign table; so does this, and
 *	 fast_copy.c leaves the rest alone.  Our status trigger looks at nothing but
 *	 the row and the account.
 *
 *	 CopyMultiInsertBufferFlush() calls table_multi_insert(), ExecInsertIndexTuples() and
 *	 ExecARInsertTriggers(), and so does flush(), with the same limits.  CopyFrom() has a
 *	 buffer for each of many partitions; here there is one, which is flushed where
 *	 the partition changes.  The rows are the same, in the order of the input.
 *
 * A new release of CopyFrom() must be compared with this file.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "commands/copy.h"
#include "commands/copyfrom_internal.h"
#include "commands/progress.h"
#include "executor/execPartition.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "foreign/fdwapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "capture/capture.h"

/* Rows that are inserted at a time, or bytes of input: the limits of CopyFrom() */
#define BATCH_ROWS	1000
#define BATCH_BYTES	65535

/* A relation that rows go to: the table itself, or a partition */
typedef struct Target
{
	ResultRelInfo *relinfo;
	CtFastPath *fast;			/* NULL: its BEFORE triggers fire */
	BulkInsertState bistate;
} Target;

/* A COPY at work */
typedef struct Copying
{
	CopyFromState cstate;		/* reads the input, and tells where it is */
	EState	   *estate;
	ModifyTableState *mtstate;	/* what ExecFindPartition() needs of one */
	ResultRelInfo *named;		/* the table that the COPY names */
	PartitionTupleRouting *routing; /* NULL if it is not partitioned */
	TupleTableSlot *read;		/* a row as it was read, where it is
								 * partitioned */
	List	   *targets;		/* of Target */
	Target	   *target;			/* of the rows that wait, and the last one */
	CommandId	command;		/* all rows are of */
	uint64		processed;		/* rows inserted, or waiting for it */
	/* rows that wait to be inserted, all for the target */
	int			nwaiting;
	Size		bytes;			/* of their input */
	TupleTableSlot *waiting[BATCH_ROWS];
	uint64		lines[BATCH_ROWS];	/* where they came from */
	CtDecision	decisions[BATCH_ROWS];	/* for the count of each */
} Copying;

/* A Target for a relation; its triggers are judged by the description that it will use. */
static Target *
create_target(Copying *copying, ResultRelInfo *relinfo)
{
	MemoryContext old = MemoryContextSwitchTo(copying->estate->es_query_cxt);
	Target	   *target = palloc0(sizeof(Target));
	CtTriggers	triggers = ct_judge_triggers(relinfo->ri_TrigDesc, TRIGGER_TYPE_INSERT);
	CtTable    *table;

	target->relinfo = relinfo;
	target->bistate = GetBulkInsertState();
	if (triggers.count != NULL && triggers.has_plain_status && triggers.is_sole &&
		relinfo->ri_RelationDesc->rd_rel->relkind == RELKIND_RELATION &&
		ct_triggers_are_private(relinfo) &&
		(table = ct_table_of_relation(relinfo->ri_RelationDesc)) != NULL)
	{
		target->fast = ct_create_fast_path(table, CurrentMemoryContext);
		target->fast->is_batched = true;
		target->fast->has_followers = triggers.has_followers;
		ct_fast_count(relinfo, triggers.count, target->fast);
		ct_remove_triggers(relinfo, CT_REMOVE_STATUS, TRIGGER_TYPE_INSERT);
	}
	copying->targets = lappend(copying->targets, target);
	MemoryContextSwitchTo(old);
	return target;
}

/* The Target of a relation */
static Target *
target_of_relation(Copying *copying, ResultRelInfo *relinfo)
{
	ListCell   *cell;

	if (copying->target != NULL && copying->target->relinfo == relinfo)
		return copying->target;
	foreach(cell, copying->targets)
	{
		if (((Target *) lfirst(cell))->relinfo == relinfo)
			return lfirst(cell);
	}
	return create_target(copying, relinfo);
}

/* A row has been inserted: enter it into the indexes and fire triggers. */
static void
finish_row(Copying *copying, const Target *target, TupleTableSlot *row)
{
	ResultRelInfo *relinfo = target->relinfo;
	List	   *recheck = NIL;

	if (relinfo->ri_NumIndices > 0)
		recheck = ct_insert_new_index_tuples(relinfo, row, copying->estate);
	ExecARInsertTriggers(copying->estate, relinfo, row, recheck, NULL);
	list_free(recheck);
}

/* Insert the rows that wait.  An error names the line that a row came from. */
static void
flush(Copying *copying)
{
	CopyFromState cstate = copying->cstate;
	Target	   *target = copying->target;
	bool		line_buf_valid = cstate->line_buf_valid;
	uint64		line = cstate->cur_lineno;
	MemoryContext old;

	if (copying->nwaiting == 0)
		return;
	cstate->line_buf_valid = false;
	/* table_multi_insert() may leak */
	old = MemoryContextSwitchTo(GetPerTupleMemoryContext(copying->estate));
	table_multi_insert(target->relinfo->ri_RelationDesc, copying->waiting, copying->nwaiting,
					   copying->command, 0, target->bistate);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < copying->nwaiting; i++)
	{
		cstate->cur_lineno = copying->lines[i];
		ct_statement()->decision = copying->decisions[i];
		finish_row(copying, target, copying->waiting[i]);
		ExecClearTuple(copying->waiting[i]);
	}
	copying->nwaiting = 0;
	copying->bytes = 0;
	cstate->line_buf_valid = line_buf_valid;
	cstate->cur_lineno = line;
}

/*
 * A free tuple slot of the batch for rows of the current target.  The tuple slots are of its
 * type, so another target gets others.
 */
static TupleTableSlot *
next_tuple_slot(Copying *copying)
{
	TupleTableSlot **place = &copying->waiting[copying->nwaiting];
	Relation	rel = copying->target->relinfo->ri_RelationDesc;

	if (*place == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(copying->estate->es_query_cxt);

		*place = MakeSingleTupleTableSlot(RelationGetDescr(rel), table_slot_callbacks(rel));
		MemoryContextSwitchTo(old);
	}
	return *place;
}

/* The tuple slots are of the target's type: another one needs others. */
static void
drop_tuple_slots(Copying *copying)
{
	for (int i = 0; i < BATCH_ROWS && copying->waiting[i] != NULL; i++)
	{
		ExecDropSingleTupleTableSlot(copying->waiting[i]);
		copying->waiting[i] = NULL;
	}
}

/* Rows go to this target from now on. */
static void
turn_to(Copying *copying, Target *target)
{
	if (copying->target == target)
		return;
	flush(copying);
	if (copying->target != NULL)
	{
		drop_tuple_slots(copying);
		ReleaseBulkInsertStatePin(copying->target->bistate);
	}
	copying->target = target;
}

/*
 * Read the next row.  Returns its tuple slot, which is of the current target's type; NULL
 * at the end of the input.  The memory is that of one row.
 */
static TupleTableSlot *
read_row(Copying *copying)
{
	EState	   *estate = copying->estate;
	TupleTableSlot *row = copying->routing != NULL ? copying->read : next_tuple_slot(copying);
	MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));
	bool		found;

	ExecClearTuple(row);
	found = NextCopyFrom(copying->cstate, GetPerTupleExprContext(estate), row->tts_values, row->tts_isnull);
	MemoryContextSwitchTo(old);
	if (!found)
		return NULL;
	ExecStoreVirtualTuple(row);
	row->tts_tableOid = RelationGetRelid(copying->named->ri_RelationDesc);
	return row;
}

/* Find the partition for a row, and bring the row into its form. */
static TupleTableSlot *
route_row(Copying *copying, TupleTableSlot *row)
{
	ResultRelInfo *relinfo = ExecFindPartition(copying->mtstate, copying->named, copying->routing,
											   row, copying->estate);
	TupleConversionMap *map = ct_root_to_partition_map(relinfo, copying->estate);
	TupleTableSlot *routed;

	turn_to(copying, target_of_relation(copying, relinfo));
	routed = next_tuple_slot(copying);
	if (map != NULL)
		routed = execute_attr_map_slot(map->attrMap, row, routed);
	else
	{
		int			natts = row->tts_tupleDescriptor->natts;

		ExecClearTuple(routed);
		memcpy(routed->tts_values, row->tts_values, sizeof(Datum) * natts);
		memcpy(routed->tts_isnull, row->tts_isnull, sizeof(bool) * natts);
		ExecStoreVirtualTuple(routed);
	}
	routed->tts_tableOid = RelationGetRelid(relinfo->ri_RelationDesc);
	return routed;
}

/*
 * Everything that a row must be checked for.  As CopyFrom() does, leave the constraints of a
 * foreign table to its server.
 */
static void
check_row(Copying *copying, ResultRelInfo *relinfo, TupleTableSlot *row, bool by_trigger)
{
	Relation	rel = relinfo->ri_RelationDesc;

	if (rel->rd_att->constr != NULL && rel->rd_att->constr->has_generated_stored)
		ExecComputeStoredGenerated(relinfo, copying->estate, row, CMD_INSERT);
	if (relinfo->ri_FdwRoutine == NULL && rel->rd_att->constr != NULL)
		ExecConstraints(relinfo, row, copying->estate);
	if (rel->rd_rel->relispartition && (copying->routing == NULL || by_trigger))
		ExecPartitionCheck(relinfo, row, copying->estate, true);
}

/* Put a row into the batch that is inserted at a time. */
static void
batch_row(Copying *copying, TupleTableSlot *row)
{
	Target	   *target = copying->target;
	MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(copying->estate));

	ct_fast_complete(target->fast, row, CT_COUNTED_LATER);
	MemoryContextSwitchTo(old);
	copying->decisions[copying->nwaiting] = ct_statement()->decision;
	check_row(copying, target->relinfo, row, false);
	ExecMaterializeSlot(row);
	copying->lines[copying->nwaiting++] = copying->cstate->cur_lineno;
	copying->bytes += copying->cstate->line_buf.len;
	if (copying->nwaiting == BATCH_ROWS || copying->bytes > BATCH_BYTES)
		flush(copying);
	copying->processed++;
}

/*
 * Insert a row into a partition that is a foreign table, as CopyFrom() does: it may have come
 * while event triggers were off.  NULL if it was not inserted.
 */
static TupleTableSlot *
insert_foreign_row(Copying *copying, ResultRelInfo *relinfo, TupleTableSlot *row)
{
	TupleTableSlot *inserted = relinfo->ri_FdwRoutine->ExecForeignInsert(copying->estate, relinfo, row, NULL);

	if (inserted != NULL)
		inserted->tts_tableOid = RelationGetRelid(relinfo->ri_RelationDesc);
	return inserted;
}

/* Insert a row by itself, by way of the BEFORE triggers. */
static void
insert_row(Copying *copying, TupleTableSlot *row)
{
	Target	   *target = copying->target;
	ResultRelInfo *relinfo = target->relinfo;
	bool		has_before = relinfo->ri_TrigDesc != NULL && relinfo->ri_TrigDesc->trig_insert_before_row;

	if (has_before && !ExecBRInsertTriggers(copying->estate, relinfo, row))
		return;
	check_row(copying, relinfo, row, has_before);
	if (relinfo->ri_FdwRoutine == NULL)
		table_tuple_insert(relinfo->ri_RelationDesc, row, copying->command, 0, target->bistate);
	else if ((row = insert_foreign_row(copying, relinfo, row)) == NULL)
		return;
	finish_row(copying, target, row);
	ExecClearTuple(row);
	copying->processed++;
}

/* Copy all rows of the input. */
static void
copy_all(Copying *copying)
{
	TupleTableSlot *row;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		ResetPerTupleExprContext(copying->estate);
		row = read_row(copying);
		if (row == NULL)
			break;
		if (copying->routing != NULL)
			row = route_row(copying, row);
		if (copying->target->fast != NULL)
			batch_row(copying, row);
		else
			insert_row(copying, row);
		pgstat_progress_update_param(PROGRESS_COPY_TUPLES_PROCESSED, copying->processed);
	}
	flush(copying);
}

/*
 * Create what the executor's functions need, in the order of CopyFrom(): triggers of the
 * statement fire after its query level has begun, and before the first row is read.
 */
static void
begin_copying(Copying *copying, ParseState *pstate)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *named = makeNode(ResultRelInfo);
	ModifyTableState *mtstate = makeNode(ModifyTableState);

	copying->estate = estate;
	copying->command = GetCurrentCommandId(true);
	ct_init_parsed_range_table(estate, pstate);
	ExecInitResultRelation(estate, named, 1);
	ExecOpenIndices(named, false);
	/* for ExecFindPartition() */
	mtstate->ps.state = estate;
	mtstate->operation = CMD_INSERT;
	mtstate->mt_nrels = 1;
	mtstate->resultRelInfo = named;
	mtstate->rootResultRelInfo = named;
	copying->named = named;
	copying->mtstate = mtstate;
	AfterTriggerBeginQuery();
	if (named->ri_RelationDesc->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		copying->routing = ExecSetupPartitionTupleRouting(estate, named->ri_RelationDesc);
		copying->read = table_slot_create(named->ri_RelationDesc, &estate->es_tupleTable);
	}
	else
		turn_to(copying, create_target(copying, named));
	ExecBSInsertTriggers(estate, named);
}

/* End all of it, in the order of CopyFrom(): AFTER triggers may still need what is open. */
static void
end_copying(Copying *copying)
{
	EState	   *estate = copying->estate;
	ListCell   *cell;

	drop_tuple_slots(copying);
	foreach(cell, copying->targets)
		FreeBulkInsertState(((Target *) lfirst(cell))->bistate);
	ExecASInsertTriggers(estate, copying->named, NULL);
	AfterTriggerEndQuery(estate);
	ExecResetTupleTable(estate->es_tupleTable, false);
	if (copying->routing != NULL)
		ExecCleanupTupleRouting(copying->mtstate, copying->routing);
	ExecCloseResultRelations(estate);
	ExecCloseRangeTableRelations(estate);
	FreeExecutorState(estate);
}

/*
 * Copy into a relation that is open, and for which ct_copy_fast() has found that it can be done
 * here.  Returns how many rows were inserted.  Errors: those of COPY.
 */
uint64
ct_copy_rows(ParseState *pstate, Relation rel, const CopyStmt *copy)
{
	Copying    *copying = palloc0(sizeof(Copying));
	ErrorContextCallback context = {
		.callback = CopyFromErrorCallback,.previous = error_context_stack
	};

	copying->cstate = BeginCopyFrom(pstate, rel, NULL, copy->filename, copy->is_program, NULL,
									copy->attlist, copy->options);
	begin_copying(copying, pstate);
	context.arg = copying->cstate;
	error_context_stack = &context;
	copy_all(copying);
	error_context_stack = context.previous;
	end_copying(copying);
	EndCopyFrom(copying->cstate);
	return copying->processed;
}
