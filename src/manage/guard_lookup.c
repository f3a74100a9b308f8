/*-------------------------------------------------------------------------
 *
 * guard_lookup.c
 *	  The look-up of the contacts that the rows of a guarded table name.
 *
 * A statement can name as many contacts as it writes rows, so each is looked up in the
 * index itself, which stays open as long as the statement, and not by a query.  Nothing but
 * the comparison of keys is called for that.  Where it is not PostgreSQL's own, it is the
 * owner's of the contacts, and runs as his, under a safe search_path (R3), as the queries of a
 * foreign key do.
 *
 * A descent of the index costs about half of what the row itself does.  But rows that are
 * written by the thousand come in the order of the contacts, mostly: of their key or of their
 * places in the table.  So where the last contacts lay in one page, at regular distances, we
 * look first whether the row at the next place is the contact.  A row that the snapshot sees
 * and that has the key is the one that the index would find, since that is unique; every other
 * outcome says nothing, and the index is asked.  As the fetch begins at a line pointer, as an
 * entry of the index does (heap_hot_search_buffer()), a place that has none, or one in the
 * middle of a HOT chain, has no row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "storage/itemptr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "manage/manage.h"

/* So many next places are tried: a few contacts may be left out */
#define MAX_STEPS	3

/* So many distances further, a contact still counts as one of the next */
#define MAX_NEAR	8

/* The attached table, or a partition of it that has contacts itself */
typedef struct Leaf
{
	Oid			relid;			/* must be first */
	AttrNumber	status;
	const CtTable *table;		/* with conditions; NULL: it has none */
	AttrNumber	columns[CT_MAX_CONTACT_KEYS];	/* of the key */
	Relation	rel;			/* NULL: not open yet */
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	/* the place of the last contact, and where the next one may be */
	IndexFetchTableData *fetch; /* NULL: places are not those of a heap */
	ItemPointerData place;		/* the root of its HOT chain */
	int			distance;		/* in line pointers */
	bool		is_near;		/* is it worth while to look there? */
} Leaf;

struct CtLookup
{
	MemoryContext context;
	Relation	contacts;
	Oid			owner;			/* of the contacts */
	CtStatusType status;		/* of their status */
	CtContactKey key;
	Snapshot	snapshot;		/* of its own */
	CtPartitions *partitions;	/* NULL: the table has none */
	int			nleaves;
	Leaf	   *leaves;			/* by relid */
	int			last;			/* that of the last contact */
};

/* The relations that have contacts: locked, but not open. */
static void
list_leaves(CtLookup *lookup, const char *status)
{
	List	   *relids = find_all_inheritors(RelationGetRelid(lookup->contacts), AccessShareLock, NULL);
	ListCell   *cell;

	list_sort(relids, list_oid_cmp);
	lookup->leaves = palloc0(sizeof(Leaf) * list_length(relids));
	foreach(cell, relids)
	{
		Leaf	   *leaf = &lookup->leaves[lookup->nleaves];

		if (get_rel_relkind(lfirst_oid(cell)) != RELKIND_RELATION)
			continue;
		leaf->relid = lfirst_oid(cell);
		leaf->status = get_attnum(leaf->relid, status);
		lookup->nleaves++;
	}
}

/*
 * A snapshot of our own: that of the statement, but with what this and earlier commands
 * have done, so that a statement can write a contact and what is sent to it.
 */
static Snapshot
create_snapshot(void)
{
	Snapshot	snapshot;

	PushCopiedSnapshot(ActiveSnapshotSet() ? GetActiveSnapshot() : GetTransactionSnapshot());
	snapshot = RegisterSnapshot(GetActiveSnapshot());
	PopActiveSnapshot();
	return snapshot;
}

/*
 * Begin to look contacts up, until ct_lookup_end(): in this memory context, which must live as
 * long.  Everything is resolved by name and checked anew, since it may have changed since
 * guard().  Locks: ACCESS SHARE on the contacts.  Errors: as ct_check_lookup().
 */
CtLookup *
ct_lookup_begin(Oid contacts, Relation guarded, AttrNumber contact, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	CtLookup   *lookup = palloc0(sizeof(CtLookup));
	const CtTable *table = ct_open_contacts(contacts, guarded, contact, &lookup->contacts, &lookup->key);

	lookup->context = context;
	lookup->owner = table->owner;
	lookup->status = table->status;
	list_leaves(lookup, get_attname(table->relid, table->attno[CT_ARG_STATUS], false));
	if (lookup->contacts->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		lookup->partitions = ct_partitions_open(lookup->contacts, &lookup->key);
	lookup->snapshot = create_snapshot();
	MemoryContextSwitchTo(old);
	return lookup;
}

/* The index of a partition that belongs to this one of the attached table. */
static Oid
index_of_leaf(Relation rel, Oid root_index)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *cell;

	foreach(cell, indexes)
		if (get_rel_relispartition(lfirst_oid(cell)) &&
			list_member_oid(get_partition_ancestors(lfirst_oid(cell)), root_index))
		return lfirst_oid(cell);
	elog(ERROR, "partition \"%s\" has no index for index %u", RelationGetRelationName(rel), root_index);
	return InvalidOid;
}

static void
open_leaf(CtLookup *lookup, Leaf *leaf)
{
	Oid			index = lookup->key.index;

	leaf->rel = table_open(leaf->relid, AccessShareLock);
	if (leaf->relid != RelationGetRelid(lookup->contacts))
		index = index_of_leaf(leaf->rel, index);
	leaf->index = index_open(index, AccessShareLock);
	leaf->scan = ct_index_beginscan(leaf->rel, leaf->index, lookup->snapshot, lookup->key.nkeys);
	leaf->slot = table_slot_create(leaf->rel, NULL);
	leaf->table = ct_table_of_relation(leaf->rel);
	if (leaf->table != NULL && leaf->table->exists == NULL && leaf->table->eligible == NULL)
		leaf->table = NULL;
	for (int i = 0; i < lookup->key.nkeys; i++)
		leaf->columns[i] = leaf->index->rd_index->indkey.values[i];
	if (leaf->rel->rd_tableam == GetHeapamTableAmRoutine())
		leaf->fetch = table_index_fetch_begin(leaf->rel);
	ItemPointerSetInvalid(&leaf->place);
}

/* Is the row in the slot the contact? */
static bool
has_key(const CtLookup *lookup, const Leaf *leaf)
{
	for (int i = 0; i < lookup->key.nkeys; i++)
	{
		const ScanKeyData *key = &lookup->key.keys[i];
		bool		isnull;
		Datum		value = slot_getattr(leaf->slot, leaf->columns[i], &isnull);

		if (isnull || !DatumGetBool(FunctionCall2Coll(unconstify(FmgrInfo *, &key->sk_func), key->sk_collation,
													  value, key->sk_argument)))
			return false;
	}
	return true;
}

/* Look for the contact in the next places. */
static bool
look_nearby(CtLookup *lookup, Leaf *leaf)
{
	int			number = ItemPointerGetOffsetNumberNoCheck(&leaf->place);

	for (int i = 0; i < MAX_STEPS && leaf->is_near; i++)
	{
		ItemPointerData place;
		bool		call_again = false;

		number += leaf->distance;
		if (number < FirstOffsetNumber || number > (int) MaxHeapTuplesPerPage)
			break;
		ItemPointerSet(&place, ItemPointerGetBlockNumber(&leaf->place), number);
		/* it returns the place of the version that it found */
		if (table_index_fetch_tuple(leaf->fetch, &place, lookup->snapshot, leaf->slot, &call_again, NULL) &&
			has_key(lookup, leaf))
		{
			ItemPointerSetOffsetNumber(&leaf->place, number);
			return true;
		}
	}
	return false;
}

/*
 * The index has found a contact here: is the next one worth a look nearby?  At the end of a page
 * one goes on as before in the page next to it.
 */
static void
note_place(Leaf *leaf, const ItemPointerData *place)
{
	int64		pages = (int64) ItemPointerGetBlockNumber(place) - ItemPointerGetBlockNumberNoCheck(&leaf->place);
	int			step = (int) ItemPointerGetOffsetNumber(place) - ItemPointerGetOffsetNumberNoCheck(&leaf->place);

	if (pages == 0 && step != 0)
	{
		leaf->is_near = leaf->distance != 0 && step % leaf->distance == 0 &&
			step / leaf->distance > 0 && step / leaf->distance <= MAX_NEAR;
		if (!leaf->is_near)
			leaf->distance = step;
	}
	else if (pages < -1 || pages > 1)
		leaf->is_near = false;
	leaf->place = *place;
}

/* Look for the contact in the index.  index_getnext_slot() would not tell the place. */
static bool
look_in_index(CtLookup *lookup, Leaf *leaf)
{
	ItemPointer tid;

	index_rescan(leaf->scan, lookup->key.keys, lookup->key.nkeys, NULL, 0);
	while ((tid = index_getnext_tid(leaf->scan, ForwardScanDirection)) != NULL)
	{
		ItemPointerData place = *tid;

		if (!index_fetch_heap(leaf->scan, leaf->slot))
			continue;
		if (leaf->fetch != NULL)
			note_place(leaf, &place);
		return true;
	}
	return false;
}

/* A contact that does not exist is none (P2), and one that is not eligible cannot be mailed (P3). */
static CtReason
reason_by_conditions(const Leaf *leaf, CtReason reason)
{
	const CtTable *table = leaf->table;

	if (table->exists != NULL && !ct_condition_is_true(table->exists, leaf->slot))
		return CT_NO_CONTACT;
	if (reason == CT_OK && table->eligible != NULL && !ct_condition_is_true(table->eligible, leaf->slot))
		return CT_INELIGIBLE;
	return reason;
}

/* Look for the contact in one relation. */
static CtReason
look_in_leaf(CtLookup *lookup, Leaf *leaf)
{
	CtReason	reason = CT_NO_CONTACT;

	if (leaf->rel == NULL)
		open_leaf(lookup, leaf);
	if (look_nearby(lookup, leaf) || look_in_index(lookup, leaf))
	{
		bool		isnull;
		Datum		status = slot_getattr(leaf->slot, leaf->status, &isnull);

		reason = !isnull && ct_status_is_marketing(&lookup->status, status) ? CT_OK : CT_NON_MARKETABLE;
		if (leaf->table != NULL)
			reason = reason_by_conditions(leaf, reason);
	}
	ExecClearTuple(leaf->slot);
	return reason;
}

/* The relation that has the contact, if there is one; NULL: not known. */
static Leaf *
find_leaf(const CtLookup *lookup)
{
	Oid			relid;

	if (lookup->nleaves == 1)
		return lookup->leaves;
	if (lookup->partitions == NULL)
		return NULL;
	relid = ct_find_partition(lookup->partitions, &lookup->key);
	return bsearch(&relid, lookup->leaves, lookup->nleaves, sizeof(Leaf), oid_cmp);
}

/*
 * Look for the contact where it must be, else in each relation, first in that of the last
 * contact: those of one account are often in one.
 */
static CtReason
look_in_leaves(CtLookup *lookup)
{
	MemoryContext old = MemoryContextSwitchTo(lookup->context); /* scans allocate in it */
	Leaf	   *only = find_leaf(lookup);
	int			count = only != NULL ? 1 : lookup->nleaves;
	CtReason	reason = CT_NO_CONTACT;

	for (int i = 0; i < count && reason == CT_NO_CONTACT; i++)
	{
		Leaf	   *leaf = only != NULL ? only : &lookup->leaves[(lookup->last + i) % count];

		reason = look_in_leaf(lookup, leaf);
		if (reason != CT_NO_CONTACT)
			lookup->last = leaf - lookup->leaves;
	}
	MemoryContextSwitchTo(old);
	return reason;
}

/*
 * Can a tool use the contact that a row of the guarded table names, and that is not null, if
 * the tool needs a marketing contact?  If not, why?
 */
CtReason
ct_lookup(CtLookup *lookup, TupleTableSlot *row)
{
	CtIdentity	identity;
	CtReason	reason;

	for (int i = 0; i < lookup->key.nkeys; i++)
	{
		bool		isnull;

		lookup->key.keys[i].sk_argument = slot_getattr(row, lookup->key.columns[i], &isnull);
		if (isnull)
			return CT_NO_CONTACT;
	}
	lookup->snapshot->curcid = GetCurrentCommandId(false) + 1;
	if (lookup->key.is_builtin)
		return look_in_leaves(lookup);
	ct_manage_as_owner(lookup->owner, &identity);
	reason = look_in_leaves(lookup);
	ct_restore_identity(&identity);
	return reason;
}

/*
 * Close all of it; the locks stay.  After an error it must not be called: then all has been
 * released with the resource owner.
 */
void
ct_lookup_end(CtLookup *lookup)
{
	for (int i = 0; i < lookup->nleaves; i++)
	{
		Leaf	   *leaf = &lookup->leaves[i];

		if (leaf->rel == NULL)
			continue;
		ExecDropSingleTupleTableSlot(leaf->slot);
		if (leaf->fetch != NULL)
			table_index_fetch_end(leaf->fetch);
		index_endscan(leaf->scan);
		index_close(leaf->index, NoLock);
		table_close(leaf->rel, NoLock);
	}
	if (lookup->partitions != NULL)
		ct_partitions_close(lookup->partitions);
	UnregisterSnapshot(lookup->snapshot);
	relation_close(lookup->contacts, NoLock);
}
