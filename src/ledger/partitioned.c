/*-------------------------------------------------------------------------
 *
 * partitioned.c
 *	  Ledgers that their owner has partitioned (rule L2).
 *
 * Their entries are inserted by SQL, which finds the partition.  Activity is folded all the same, if
 * nothing in the partition tree can refuse an entry or is to see it at once: an entry that is
 * refused must hit the statement that it is of, and a folded one is inserted by another.
 *
 * Partitions are looked at in the catalogs alone, and not locked: who drops an old one holds it
 * locked, and no writer of contacts may wait for that.  So this is a snapshot, as it is for an
 * ordinary ledger between two statements.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_partitioned_table.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "ledger/ledger.h"

/* Has a partitioned table a default partition?  Then it refuses no row. */
static bool
has_default_partition(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(relid));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = OidIsValid(((Form_pg_partitioned_table) GETSTRUCT(tuple))->partdefid);
	ReleaseSysCache(tuple);
	return result;
}

/*
 * Has an index, a row of pg_index, neither expressions nor a predicate, which would be evaluated,
 * and can it refuse no entry?  The primary key cannot: it is new for each.
 */
bool
ct_ledger_index_is_plain(HeapTuple index)
{
	Form_pg_index form = (Form_pg_index) GETSTRUCT(index);

	return heap_attisnull(index, Anum_pg_index_indexprs, NULL) && heap_attisnull(index, Anum_pg_index_indpred, NULL) &&
		(!form->indisunique || form->indisprimary) && !form->indisexclusion;
}

/*
 * Has a partition no other index that is not plain than those that it has of the root, of which
 * the caller knows?
 */
static bool
has_plain_indexes(Oid relid)
{
	Relation	pg_index = table_open(IndexRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = true;

	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_index, IndexIndrelidIndexId, true, NULL, 1, &key);
	while (result && HeapTupleIsValid(tuple = systable_getnext(scan)))
		result = ct_ledger_index_is_plain(tuple) || get_rel_relispartition(((Form_pg_index) GETSTRUCT(tuple))->indexrelid);
	systable_endscan(scan);
	table_close(pg_index, AccessShareLock);
	return result;
}

/* Are there no triggers, constraints and the like? */
static bool
is_plain(Form_pg_class form, Oid owner)
{
	bool		is_leaf = form->relkind == RELKIND_RELATION && form->relam == HEAP_TABLE_AM_OID;

	if ((!is_leaf && form->relkind != RELKIND_PARTITIONED_TABLE) || form->relowner != owner ||
		form->relnatts != CT_NLEDGER_COLUMNS || form->relchecks > 0 ||
		form->relhastriggers || form->relhasrules || form->relforcerowsecurity)
		return false;
	for (int i = 1; i <= CT_NLEDGER_COLUMNS; i++)
		if (get_attgenerated(form->oid, i))
			return false;
	return is_leaf || has_default_partition(form->oid);
}

/*
 * Is nothing in a partition tree in the way of an entry that is inserted later, by another
 * statement?  "owner" is that of the contacts.  Indexes of the root are the caller's to look at.
 *
 * Nothing but the root need be locked: a partition that is gone meanwhile has nothing in the way.
 */
bool
ct_ledger_parts_are_plain(Oid relid, Oid owner)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		plain;
	List	   *children;
	ListCell   *cell;

	if (!HeapTupleIsValid(tuple))
		return true;
	plain = is_plain((Form_pg_class) GETSTRUCT(tuple), owner) &&
		(!((Form_pg_class) GETSTRUCT(tuple))->relispartition || has_plain_indexes(relid));
	ReleaseSysCache(tuple);

	/*
	 * find_inheritance_children() looks the relation up, before others'
	 * messages are processed
	 */
	if (!plain || !SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return plain;
	children = find_inheritance_children(relid, NoLock);
	foreach(cell, children)
		if (!ct_ledger_parts_are_plain(lfirst_oid(cell), owner))
		return false;
	return true;
}
