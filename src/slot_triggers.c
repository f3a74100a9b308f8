/*-------------------------------------------------------------------------
 *
 * slot_triggers.c
 *	  Writing a row of a counter table that has triggers (R7).
 *
 * The row is written by core's ExecSimpleRelationUpdate(), as the apply worker of
 * logical replication does it: it fires BEFORE and AFTER row triggers, keeps generated
 * columns, constraints and indexes, and asks for no privilege.  In contrast to the
 * worker, statement triggers fire as well, once for each slot that is written:
 * where counters are written by SQL that is one statement, too, and tools like to
 * have one that wakes them up.  Their transition tables hold the one row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "parser/parse_relation.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

#include "escrow.h"

/*
 * Make what the executor needs to know of the statement, as create_edata_for_relation()
 * in worker.c.  "updated" are the columns, for UPDATE OF triggers.
 */
static ResultRelInfo *
make_result_relation(EState *estate, Relation rel, Bitmapset *updated)
{
	ResultRelInfo *relinfo = makeNode(ResultRelInfo);
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(rel);
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	ct_init_range_table(estate, rte, updated);
	InitResultRelInfo(relinfo, rel, 1, NULL, 0);
	estate->es_opened_result_relations = lappend(estate->es_opened_result_relations, relinfo);
	estate->es_output_cid = GetCurrentCommandId(true);
	return relinfo;
}

/*
 * Update the row, which is locked.  Where triggers have transition tables, AFTER row
 * triggers are left out of ExecSimpleRelationUpdate(), which knows of none, and queued
 * behind it; the description of triggers is our own copy.  unique_key_recheck() then
 * looks at all deferrable indexes.
 */
static void
update_row(ResultRelInfo *relinfo, EState *estate, TupleTableSlot *old_row, TupleTableSlot *new_row,
		   TransitionCaptureState *capture)
{
	bool		after_row = relinfo->ri_TrigDesc->trig_update_after_row;
	ItemPointerData before = old_row->tts_tid;
	EPQState	epqstate;

	ct_eval_plan_qual_init(&epqstate, estate);
	if (capture != NULL)
		relinfo->ri_TrigDesc->trig_update_after_row = false;
	ExecSimpleRelationUpdate(relinfo, estate, &epqstate, old_row, new_row);
	relinfo->ri_TrigDesc->trig_update_after_row = after_row;
	if (capture != NULL && ct_row_was_written(&before, new_row))
		ExecARUpdateTriggers(estate, relinfo, NULL, NULL, &before, NULL, new_row,
							 RelationGetIndexList(relinfo->ri_RelationDesc), capture, false);
	EvalPlanQualEnd(&epqstate);
}

/*
 * Has a row got a new place?  A version is never written where the one before it is; a
 * BEFORE trigger that suppresses the update leaves no place, or that one.
 */
bool
ct_row_was_written(ItemPointer before, TupleTableSlot *new_row)
{
	return ItemPointerIsValid(&new_row->tts_tid) && !ItemPointerEquals(before, &new_row->tts_tid);
}

/*
 * Update a row of a table that has triggers; "old_row" has its place, and the caller has
 * locked it.  new_row is then what was written, with its place, if a trigger has not
 * suppressed that: see ct_row_was_written().
 *
 * The caller is the table's owner.  What fires runs as him, under a safe search_path.
 */
void
ct_update_firing(Relation rel, TupleTableSlot *old_row, TupleTableSlot *new_row, Bitmapset *updated)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *relinfo;
	TransitionCaptureState *capture;
	int			level = NewGUCNestLevel();

	ct_set_safe_search_path();
	PushActiveSnapshot(GetLatestSnapshot());
	relinfo = make_result_relation(estate, rel, updated);
	ExecOpenIndices(relinfo, false);
	AfterTriggerBeginQuery();
	capture = MakeTransitionCaptureState(relinfo->ri_TrigDesc, RelationGetRelid(rel), CMD_UPDATE);
	ExecBSUpdateTriggers(estate, relinfo);
	update_row(relinfo, estate, old_row, new_row, capture);
	ExecASUpdateTriggers(estate, relinfo, capture);
	AfterTriggerEndQuery(estate);
	/* what a trigger returned is in the memory of this statement */
	ExecMaterializeSlot(new_row);
	ExecCloseIndices(relinfo);
	ExecResetTupleTable(estate->es_tupleTable, false);
	FreeExecutorState(estate);
	PopActiveSnapshot();
	AtEOXact_GUC(false, level);
}
