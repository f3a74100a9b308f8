/*-------------------------------------------------------------------------
 *
 * slot_triggers.c
 *	  Writing a row of a counter table that has triggers (R7).
 *
 * The row is written by ct_update_row().  Statement triggers fire as well, once for each
 * slot that is written: where counters are written by SQL that is one statement, too, and
 * tools like to have one that wakes them up.  Their transition tables hold the one row.
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

#include "counter/counter.h"

/*
 * Create what the executor needs to know of the statement, as create_edata_for_relation()
 * in worker.c.  "updated" are the columns, for UPDATE OF triggers.
 */
static ResultRelInfo *
begin_statement(EState *estate, Relation rel, Bitmapset *updated)
{
	ResultRelInfo *relinfo;

	ct_init_range_table(estate, &rel, &updated, 1);
	relinfo = ct_create_relinfo(estate, rel, 1, NULL);
	estate->es_output_cid = GetCurrentCommandId(true);
	ct_fire_at_once(estate);
	return relinfo;
}

/*
 * Update a row of a table that has triggers; the caller has locked it.  new_row is then
 * what was written, with its place.  False if a trigger has suppressed that.
 *
 * The caller is the table's owner.  What fires runs as him, under a safe search_path.
 */
bool
ct_update_firing(Relation rel, ItemPointer place, TupleTableSlot *new_row, Bitmapset *updated)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *relinfo;
	TransitionCaptureState *capture;
	EPQState	epqstate;
	int			level = NewGUCNestLevel();
	bool		written;

	/* what fires has been written by the owner, not by the caller */
	ct_set_safe_search_path();
	PushActiveSnapshot(GetLatestSnapshot());
	relinfo = begin_statement(estate, rel, updated);
	CheckCmdReplicaIdentity(rel, CMD_UPDATE);
	ExecOpenIndices(relinfo, false);
	AfterTriggerBeginQuery();
	capture = MakeTransitionCaptureState(relinfo->ri_TrigDesc, RelationGetRelid(rel), CMD_UPDATE);
	ExecBSUpdateTriggers(estate, relinfo);
	ct_init_epq(&epqstate, estate);
	estate->es_snapshot = GetActiveSnapshot();
	written = ct_update_row(estate, &epqstate, relinfo, place, new_row, capture);
	EvalPlanQualEnd(&epqstate);
	ExecASUpdateTriggers(estate, relinfo, capture);
	AfterTriggerEndQuery(estate);
	/* what a trigger returned is in the memory of this statement */
	ExecMaterializeSlot(new_row);
	ExecCloseIndices(relinfo);
	ExecResetTupleTable(estate->es_tupleTable, false);
	FreeExecutorState(estate);
	PopActiveSnapshot();
	AtEOXact_GUC(false, level);
	return written;
}
