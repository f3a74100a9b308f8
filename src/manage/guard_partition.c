/*-------------------------------------------------------------------------
 *
 * guard_partition.c
 *	  The partition in which a contact is, if there is one with this key.
 *
 * A unique index of a partitioned table has the columns of the partition key.  So the key by
 * which a contact is found tells its partition, as get_partition_for_tuple() finds it for a row:
 * that needs a row and the executor, and is not exported.  Where the index and the partitions do
 * not agree on what is equal, or the value has another type, nothing is told.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/table.h"
#include "access/transam.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"

#include "manage/manage.h"

/* A table that is partitioned */
struct CtPartitions
{
	Relation	rel;
	bool		can_tell;		/* is all known of its partition key? */
	int			values[CT_MAX_CONTACT_KEYS];	/* which values of the
												 * contact's key are those of
												 * its partition key */
	List	   *parts;			/* of CtPartitions: partitions that are
								 * partitioned, as far as contacts were in
								 * them */
	MemoryContext context;
};

/* Which column of the contact's key is column "i" of a partition key?  -1: none */
static int
find_value(const CtPartitions *partitions, const CtContactKey *key, int i)
{
	PartitionKey partition_key = RelationGetPartitionKey(partitions->rel);
	AttrNumber	attno = partition_key->partattrs[i];

	for (int k = 0; k < key->nkeys && AttributeNumberIsValid(attno); k++)
		if (strcmp(NameStr(TupleDescAttr(RelationGetDescr(partitions->rel), attno - 1)->attname),
				   NameStr(key->names[k])) == 0)
			return k;
	return -1;
}

/*
 * Is what the index calls equal to the value, as "key" says, surely in one partition?  The
 * function that finds that one must be PostgreSQL's own, as it is called as it is.
 */
static bool
is_told_by(PartitionKey partition_key, int i, const ScanKeyData *key)
{
	Oid			type = partition_key->partopcintype[i];
	StrategyNumber strategy = partition_key->strategy == PARTITION_STRATEGY_HASH ?
		HTEqualStrategyNumber : BTEqualStrategyNumber;
	Oid			equals = get_opfamily_member(partition_key->partopfamily[i], type, type, strategy);

	return key->sk_subtype == type && key->sk_collation == partition_key->partcollation[i] &&
		OidIsValid(equals) && get_opcode(equals) == key->sk_func.fn_oid &&
		partition_key->partsupfunc[i].fn_oid < FirstNormalObjectId;
}

/* Find the values of the partition key among those of the contact's. */
static bool
find_values(CtPartitions *partitions, const CtContactKey *key)
{
	PartitionKey partition_key = RelationGetPartitionKey(partitions->rel);

	if (partition_key->partnatts > CT_MAX_CONTACT_KEYS)
		return false;
	for (int i = 0; i < partition_key->partnatts; i++)
	{
		int			k = find_value(partitions, key, i);

		if (k < 0 || !is_told_by(partition_key, i, &key->keys[k]))
			return false;
		partitions->values[i] = k;
	}
	return true;
}

/*
 * Begin to find partitions of a table, which must stay open until ct_partitions_close(), by the
 * key of contacts.  In the current memory context.
 */
CtPartitions *
ct_partitions_open(Relation rel, const CtContactKey *key)
{
	CtPartitions *partitions = palloc0(sizeof(CtPartitions));

	partitions->rel = rel;
	partitions->can_tell = find_values(partitions, key);
	partitions->context = CurrentMemoryContext;
	return partitions;
}

/* A partition that is partitioned itself */
static CtPartitions *
open_part(CtPartitions *parent, Oid relid, const CtContactKey *key)
{
	MemoryContext old;
	CtPartitions *part;
	ListCell   *cell;

	foreach(cell, parent->parts)
	{
		part = lfirst(cell);
		if (RelationGetRelid(part->rel) == relid)
			return part;
	}
	old = MemoryContextSwitchTo(parent->context);
	part = ct_partitions_open(table_open(relid, AccessShareLock), key);
	parent->parts = lappend(parent->parts, part);
	MemoryContextSwitchTo(old);
	return part;
}

/* The number of the partition for a value of the contact's key: -1 if there is none. */
static int
find_number(const CtPartitions *partitions, PartitionBoundInfo bounds, const CtContactKey *key)
{
	PartitionKey partition_key = RelationGetPartitionKey(partitions->rel);
	Datum		values[CT_MAX_CONTACT_KEYS];
	bool		isnull[CT_MAX_CONTACT_KEYS] = {false};
	int			number = -1;
	bool		is_equal = false;
	int			offset;

	for (int i = 0; i < partition_key->partnatts; i++)
		values[i] = key->keys[partitions->values[i]].sk_argument;
	switch (partition_key->strategy)
	{
		case PARTITION_STRATEGY_HASH:
			return bounds->indexes[compute_partition_hash_value(partition_key->partnatts, partition_key->partsupfunc,
																partition_key->partcollation, values, isnull) %
								   bounds->nindexes];
		case PARTITION_STRATEGY_LIST:
			offset = partition_list_bsearch(partition_key->partsupfunc, partition_key->partcollation, bounds,
											values[0], &is_equal);
			if (offset >= 0 && is_equal)
				number = bounds->indexes[offset];
			break;
		case PARTITION_STRATEGY_RANGE:
			offset = partition_range_datum_bsearch(partition_key->partsupfunc, partition_key->partcollation, bounds,
												   partition_key->partnatts, values, &is_equal);
			number = bounds->indexes[offset + 1];
			break;
	}
	return number >= 0 ? number : bounds->default_index;
}

/*
 * The partition that has the contact of this key, if there is one.  InvalidOid: not known, or
 * there is no partition for it.
 *
 * Partitions that are being detached count: the statement may see their contacts still.
 */
Oid
ct_find_partition(CtPartitions *partitions, const CtContactKey *key)
{
	while (partitions->can_tell)
	{
		PartitionDesc desc = RelationGetPartitionDesc(partitions->rel, false);
		int			number = desc->nparts > 0 ? find_number(partitions, desc->boundinfo, key) : -1;

		if (number < 0)
			return InvalidOid;
		if (desc->is_leaf[number])
			return desc->oids[number];
		partitions = open_part(partitions, desc->oids[number], key);
	}
	return InvalidOid;
}

/*
 * Close what ct_find_partition() has opened; the locks stay.
 */
void
ct_partitions_close(CtPartitions *partitions)
{
	ListCell   *cell;

	foreach(cell, partitions->parts)
	{
		CtPartitions *part = lfirst(cell);

		ct_partitions_close(part);
		table_close(part->rel, NoLock);
	}
}
