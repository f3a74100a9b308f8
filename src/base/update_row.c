/*-------------------------------------------------------------------------
 *
 * update_row.c
 *	  Updating a row of a table by the executor's functions, without a plan.
 *
 * It is what ExecSimpleRelationUpdate() does, by which the worker of logical replication
 * writes: triggers of rows fire, and generated columns, constraints and indexes are maintained.
 * No privileges are checked.  In contrast to it, triggers with transition tables see
 * the row, too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"

#include "base/base.h"

/*
 * Update the row at a place, which nobody else may have changed.  "row" is then what was
 * written, with its place.  False if a BEFORE trigger did not let it through.  The caller
 * has begun the query of AFTER triggers.
 */
bool
ct_update_row(EState *estate, EPQState *epqstate, ResultRelInfo *relinfo, ItemPointer place,
			  TupleTableSlot *row, TransitionCaptureState *capture)
{
	Relation	rel = relinfo->ri_RelationDesc;
	CtUpdateIndexes update_indexes;
	List	   *recheck = NIL;

	if (relinfo->ri_TrigDesc != NULL && relinfo->ri_TrigDesc->trig_update_before_row &&
		!ct_before_update_triggers(estate, epqstate, relinfo, place, row))
		return false;
	if (rel->rd_att->constr != NULL && rel->rd_att->constr->has_generated_stored)
		ExecComputeStoredGenerated(relinfo, estate, row, CMD_UPDATE);
	if (rel->rd_att->constr != NULL)
		ExecConstraints(relinfo, row, estate);
	if (rel->rd_rel->relispartition)
		ExecPartitionCheck(relinfo, row, estate, true);
	simple_table_tuple_update(rel, place, row, estate->es_snapshot, &update_indexes);
	if (relinfo->ri_NumIndices > 0 && ct_needs_entries(update_indexes))
		recheck = ct_insert_index_tuples(relinfo, row, estate, update_indexes);
	ExecARUpdateTriggers(estate, relinfo, NULL, NULL, place, NULL, row, recheck, capture, false);
	list_free(recheck);
	return true;
}

/*
 * Create a result relation of the executor; "root" is that of the table it is a partition
 * of, or NULL.  AFTER triggers find it in es_opened_result_relations, as
 * create_edata_for_relation() in worker.c says.
 */
ResultRelInfo *
ct_create_relinfo(EState *estate, Relation rel, Index index, ResultRelInfo *root)
{
	ResultRelInfo *relinfo = makeNode(ResultRelInfo);

	InitResultRelInfo(relinfo, rel, index, root, 0);
	estate->es_opened_result_relations = lappend(estate->es_opened_result_relations, relinfo);
	return relinfo;
}
