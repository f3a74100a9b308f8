/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between the supported PostgreSQL releases, newest first.
 *
 * No other file of the extension asks for PG_VERSION_NUM.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CONTACTS_TIER_COMPAT_H
#define CONTACTS_TIER_COMPAT_H

#include "access/heapam.h"
#include "access/sysattr.h"
#include "executor/executor.h"
#include "parser/parse_relation.h"
#include "storage/lockdefs.h"
#include "utils/rel.h"

#if PG_VERSION_NUM < 150000
#error "contacts_tier needs PostgreSQL 15 or later"
#endif

/*
 * 18: the magic block tells name and version of the module, and pg_noreturn
 * stands before a declaration instead of behind it
 */
#if PG_VERSION_NUM >= 180000
#define CT_MODULE_MAGIC() \
	PG_MODULE_MAGIC_EXT(.name = "contacts_tier", .version = CONTACTS_TIER_VERSION)
#else
#define CT_MODULE_MAGIC()	PG_MODULE_MAGIC
#define pg_noreturn			pg_attribute_noreturn()
#endif

/* 18: the executor is not told any more whether a plan is run only once */
#if PG_VERSION_NUM >= 180000
#define CT_EXECUTE_ONCE_PARAMETER
#define CT_EXECUTE_ONCE
#define ct_executor_run(query, direction, count)	ExecutorRun(query, direction, count)
#else
#define CT_EXECUTE_ONCE_PARAMETER	, bool execute_once
#define CT_EXECUTE_ONCE				, execute_once
#define ct_executor_run(query, direction, count)	ExecutorRun(query, direction, count, true)
#endif

/* 18: relations that were pruned when the plan starts are not in its state */
#if PG_VERSION_NUM >= 180000
#define ct_update_colnos(state, index) \
	((List *) list_nth((state)->mt_updateColnosLists, index))
#else
#define ct_update_colnos(state, index) \
	((List *) list_nth(castNode(ModifyTable, (state)->ps.plan)->updateColnosLists, index))
#endif

/*
 * 16: varatt.h was split from postgres.h, fmgr.h declares _PG_init(), and
 * ownership checks are generic
 */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#else
extern PGDLLEXPORT void _PG_init(void);

#define object_ownercheck(classid, objectid, roleid) \
	((void) (classid), pg_class_ownercheck((objectid), (roleid)))
#endif

/* 16: so are checks of privileges */
#if PG_VERSION_NUM >= 160000
#define ct_may_execute(function, role) \
	(object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE) == ACLCHECK_OK)
#else
#define ct_may_execute(function, role)	(pg_proc_aclcheck(function, role, ACL_EXECUTE) == ACLCHECK_OK)
#endif

/* 18: a deferrable primary key must be requested */
#if PG_VERSION_NUM >= 180000
#define ct_primary_key_index(rel)	RelationGetPrimaryKeyIndex(rel, false)
#else
#define ct_primary_key_index(rel)	RelationGetPrimaryKeyIndex(rel)
#endif

/* 18: an index scan counts what EXPLAIN shows, if it is told where */
#if PG_VERSION_NUM >= 180000
#define ct_index_beginscan(rel, index, snapshot, nkeys) index_beginscan(rel, index, snapshot, NULL, nkeys, 0)
#else
#define ct_index_beginscan(rel, index, snapshot, nkeys) index_beginscan(rel, index, snapshot, nkeys, 0)
#endif

/* 17: what an index has collected while rows were inserted is to be put in order */
#if PG_VERSION_NUM >= 170000
#define ct_index_insert_cleanup(index, indexinfo)	index_insert_cleanup(index, indexinfo)
#else
#define ct_index_insert_cleanup(index, indexinfo)	((void) 0)
#endif

/* 17: backends have one number, and it is called so */
#if PG_VERSION_NUM >= 170000
#define ct_backend_number()		((int) MyProcNumber)
#else
#define ct_backend_number()		((int) MyProc->pgprocno)
#endif

/* 16: an update tells which kind of indexes it needs entries in */
#if PG_VERSION_NUM >= 160000
#define CtUpdateIndexes			TU_UpdateIndexes
#define ct_needs_entries(update_indexes)	((update_indexes) != TU_None)
#define ct_insert_index_tuples(relinfo, slot, estate, update_indexes) \
	ExecInsertIndexTuples(relinfo, slot, estate, true, false, NULL, NIL, \
						  (update_indexes) == TU_Summarizing)
#else
#define CtUpdateIndexes			bool
#define ct_needs_entries(update_indexes)	(update_indexes)
#define ct_insert_index_tuples(relinfo, slot, estate, update_indexes) \
	((void) (update_indexes), \
	 ExecInsertIndexTuples(relinfo, slot, estate, true, false, NULL, NIL))
#endif

/* 16: so does heap_update(); before, heapam_tuple_update() found it out */
#if PG_VERSION_NUM >= 160000
#define ct_heap_update(rel, place, tuple, command, failure, lockmode, update_indexes) \
	heap_update(rel, place, tuple, command, InvalidSnapshot, true, failure, lockmode, update_indexes)
#else
#define ct_heap_update(rel, place, tuple, command, failure, lockmode, update_indexes) \
	ct_heap_update_15(rel, place, tuple, command, failure, lockmode, update_indexes)

static inline TM_Result
ct_heap_update_15(Relation rel, ItemPointer place, HeapTuple tuple, CommandId command,
				  TM_FailureData *failure, LockTupleMode *lockmode, bool *update_indexes)
{
	TM_Result	result = heap_update(rel, place, tuple, command, InvalidSnapshot, true, failure, lockmode);

	*update_indexes = result == TM_Ok && !HeapTupleIsHeapOnly(tuple);
	return result;
}
#endif

/* 16: what a BEFORE trigger that met a concurrent update found is told by its result */
#if PG_VERSION_NUM >= 180000
#define ct_before_update_triggers(estate, epqstate, relinfo, tid, slot) \
	ExecBRUpdateTriggers(estate, epqstate, relinfo, tid, NULL, slot, NULL, NULL, false)
#elif PG_VERSION_NUM >= 160000
#define ct_before_update_triggers(estate, epqstate, relinfo, tid, slot) \
	ExecBRUpdateTriggers(estate, epqstate, relinfo, tid, NULL, slot, NULL, NULL)
#else
#define ct_before_update_triggers(estate, epqstate, relinfo, tid, slot) \
	ExecBRUpdateTriggers(estate, epqstate, relinfo, tid, NULL, slot, NULL)
#endif

/* 16: EvalPlanQual is told its result relations */
#if PG_VERSION_NUM >= 160000
#define ct_init_epq(epqstate, estate)	EvalPlanQualInit(epqstate, estate, NULL, NIL, -1, NIL)
#else
#define ct_init_epq(epqstate, estate)	EvalPlanQualInit(epqstate, estate, NULL, NIL, -1)
#endif

/* 16: entries for a new row; see ct_insert_index_tuples() */
#if PG_VERSION_NUM >= 160000
#define ct_insert_new_index_tuples(relinfo, slot, estate) \
	ExecInsertIndexTuples(relinfo, slot, estate, false, false, NULL, NIL, false)
#else
#define ct_insert_new_index_tuples(relinfo, slot, estate) \
	ExecInsertIndexTuples(relinfo, slot, estate, false, false, NULL, NIL)
#endif

/*
 * 16: what walks a tree says what it is called with; no type that all compilers agree on does before.
 * Input functions have a place for soft errors.
 */
#if PG_VERSION_NUM >= 160000
#define ct_string_to_qualified_name_list(string)	stringToQualifiedNameList(string, NULL)
#define ct_expression_tree_walker(node, walker, context)	expression_tree_walker(node, walker, context)
#define ct_expression_tree_mutator(node, mutator, context)	expression_tree_mutator(node, mutator, context)
#else
#define ct_string_to_qualified_name_list(string)	stringToQualifiedNameList(string)
#define ct_expression_tree_walker(node, walker, context) \
	expression_tree_walker(node, (void *) (walker), context)
#define ct_expression_tree_mutator(node, mutator, context) \
	expression_tree_mutator(node, (void *) (mutator), context)
#endif

/* 16: the map to a partition is made when it is asked for */
#if PG_VERSION_NUM >= 160000
#define ct_root_to_partition_map(relinfo, estate)	ExecGetRootToChildMap(relinfo, estate)
#else
#define ct_root_to_partition_map(relinfo, estate)	((void) (estate), (relinfo)->ri_RootToPartitionMap)
#endif

/*
 * 16: which columns a statement names is not in its range table, but beside it; and 18
 * is told which relations are not pruned
 */
#if PG_VERSION_NUM >= 180000
#define ct_init_executor_range_table(estate, rtable, permissions) \
	ExecInitRangeTable(estate, rtable, permissions, bms_add_range(NULL, 1, list_length(rtable)))
#elif PG_VERSION_NUM >= 160000
#define ct_init_executor_range_table(estate, rtable, permissions) \
	ExecInitRangeTable(estate, rtable, permissions)
#endif

/*
 * The range table of an executor's state that updates these columns of relations which
 * are open and locked.
 */
static inline void
ct_init_range_table(EState *estate, Relation *rels, Bitmapset **updated, int nrels)
{
	List	   *rtable = NIL;
#if PG_VERSION_NUM >= 160000
	List	   *permissions = NIL;
#endif

	for (int i = 0; i < nrels; i++)
	{
		RangeTblEntry *rte = makeNode(RangeTblEntry);

		rte->rtekind = RTE_RELATION;
		rte->relid = RelationGetRelid(rels[i]);
		rte->relkind = rels[i]->rd_rel->relkind;
		rte->rellockmode = RowExclusiveLock;
		rtable = lappend(rtable, rte);
#if PG_VERSION_NUM >= 160000
		{
			RTEPermissionInfo *permission = addRTEPermissionInfo(&permissions, rte);

			permission->updatedCols = updated[i];
		}
#else
		rte->updatedCols = updated[i];
#endif
	}
#if PG_VERSION_NUM >= 160000
	ct_init_executor_range_table(estate, rtable, permissions);
#else
	ExecInitRangeTable(estate, rtable);
#endif
}

/* The range table of an executor's state, as it was parsed */
static inline void
ct_init_parsed_range_table(EState *estate, ParseState *pstate)
{
#if PG_VERSION_NUM >= 160000
	ct_init_executor_range_table(estate, pstate->p_rtable, pstate->p_rteperminfos);
#else
	ExecInitRangeTable(estate, pstate->p_rtable);
#endif
}

/*
 * Enter the relation that a COPY FROM names into its range table, and check that the user
 * may insert into these columns: 42501.
 */
static inline void
ct_check_copy_privileges(ParseState *pstate, Relation rel, List *columns)
{
	ParseNamespaceItem *item = addRangeTableEntryForRelation(pstate, rel, RowExclusiveLock, NULL, false, false);
	Bitmapset  *inserted = NULL;
	ListCell   *cell;

	foreach(cell, columns)
		inserted = bms_add_member(inserted, lfirst_int(cell) - FirstLowInvalidHeapAttributeNumber);
#if PG_VERSION_NUM >= 160000
	item->p_perminfo->requiredPerms = ACL_INSERT;
	item->p_perminfo->insertedCols = inserted;
	ExecCheckPermissions(pstate->p_rtable, list_make1(item->p_perminfo), true);
#else
	item->p_rte->requiredPerms = ACL_INSERT;
	item->p_rte->insertedCols = inserted;
	ExecCheckRTPerms(pstate->p_rtable, true);
#endif
}

/*
 * Have a planned statement, which nobody else runs, check no other privilege on a relation than
 * SELECT.  16: what privileges it needs is in a list of its own.
 */
static inline void
ct_only_check_select(PlannedStmt *statement, Oid relid)
{
	ListCell   *cell;

#if PG_VERSION_NUM >= 160000
	foreach(cell, statement->permInfos)
	{
		RTEPermissionInfo *permission = lfirst_node(RTEPermissionInfo, cell);

		if (permission->relid == relid)
			permission->requiredPerms = ACL_SELECT;
	}
#else
	foreach(cell, statement->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, cell);

		if (rte->rtekind == RTE_RELATION && rte->relid == relid && rte->requiredPerms != 0)
			rte->requiredPerms = ACL_SELECT;
	}
#endif
}

#endif							/* CONTACTS_TIER_COMPAT_H */
