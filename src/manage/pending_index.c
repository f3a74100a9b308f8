/*-------------------------------------------------------------------------
 *
 * pending_index.c
 *	  The index by which the rollover finds flagged contacts.
 *
 * Its predicate calls library_loaded(), and by that dependency it is known: its name, its
 * columns and even its OID may be others by now.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_index.h"
#include "catalog/pg_proc.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "manage/manage.h"

/*
 * Is it an index of flagged contacts?  Read from the catalogue: nothing is locked.
 */
bool
ct_is_pending_index(Oid index)
{
	Oid			function = ct_function_oid(CT_LIBRARY_LOADED);
	Relation	pg_depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(index));
	scan = systable_beginscan(pg_depend, DependDependerIndexId, true, NULL, lengthof(key), key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		found = form->refclassid == ProcedureRelationId && form->refobjid == function && OidIsValid(function);
	}
	systable_endscan(scan);
	table_close(pg_depend, AccessShareLock);
	return found;
}

/* Can queries use the index?  Not where CREATE INDEX CONCURRENTLY failed. */
static bool
is_valid(Oid index)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	bool		result = HeapTupleIsValid(tuple) && ((Form_pg_index) GETSTRUCT(tuple))->indisvalid;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return result;
}

/*
 * Has the table such an index, other than "except"?  The caller has locked it.
 */
bool
ct_has_pending_index(Oid relid, Oid except)
{
	Relation	rel = relation_open(relid, NoLock);
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *cell;
	bool		found = false;

	foreach(cell, indexes)
		found |= lfirst_oid(cell) != except && is_valid(lfirst_oid(cell)) && ct_is_pending_index(lfirst_oid(cell));
	list_free(indexes);
	relation_close(rel, NoLock);
	return found;
}
