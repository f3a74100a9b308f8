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

/* 18: a deferrable primary key must be asked for */
#if PG_VERSION_NUM >= 180000
#define ct_primary_key_index(rel)	RelationGetPrimaryKeyIndex(rel, false)
#else
#define ct_primary_key_index(rel)	RelationGetPrimaryKeyIndex(rel)
#endif

/* 17: what an index has gathered while rows were inserted is to be put in order */
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

/*
 * 18: relations that are not pruned are told; 16: privileges, and with them the
 * columns that are written, stand beside the range table, and EvalPlanQual() wants
 * to know the result relations
 */
#if PG_VERSION_NUM >= 160000
#if PG_VERSION_NUM >= 180000
#define CT_UNPRUNED			, bms_make_singleton(1)
#else
#define CT_UNPRUNED
#endif
#define ct_init_range_table(estate, rte, updated) \
	do { \
		List	   *perminfos = NIL; \
		addRTEPermissionInfo(&perminfos, rte)->updatedCols = (updated); \
		ExecInitRangeTable(estate, list_make1(rte), perminfos CT_UNPRUNED); \
	} while (0)
#define ct_eval_plan_qual_init(epqstate, estate) \
	EvalPlanQualInit(epqstate, estate, NULL, NIL, -1, NIL)
#else
#define ct_init_range_table(estate, rte, updated) \
	((rte)->updatedCols = (updated), ExecInitRangeTable(estate, list_make1(rte)))
#define ct_eval_plan_qual_init(epqstate, estate) \
	EvalPlanQualInit(epqstate, estate, NULL, NIL, -1)
#endif

#endif							/* CONTACTS_TIER_COMPAT_H */
