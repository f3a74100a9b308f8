/*-------------------------------------------------------------------------
 *
 * shard.c
 *	  Shards: tables of this node that hold a part of a table which Citus distributes.
 *
 * A shard of an attached table is attached itself, by triggers with the arguments of the
 * whole, and so are the shards of the companion tables at its side.  Which these are follows from
 * the catalogue of Citus: shards of tables that are distributed alike (one colocation id) and
 * begin with the same hash value (shardminvalue) are on one node, and move together.  A shard has
 * the name of the whole table, an underscore and its number.  A table of the catalogue of plans
 * is a reference table: one shard, with a copy on each node.
 *
 * Nothing here depends on Citus to be there, nor calls it: its catalogue is read as any other, by
 * names of tables and columns.  Without it ct_has_citus() is false, and nothing else is done.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"

#include "contact/contact.h"

/* What pg_dist_partition says of a table */
typedef struct Distribution
{
	bool		is_reference;
	int32		colocation;
} Distribution;

/* What pg_dist_shard says of a shard */
typedef struct Shard
{
	Oid			whole;			/* the distributed table */
	int64		number;
	char	   *minimum;		/* of its hash values; NULL for the only shard
								 * of a table */
} Shard;

/*
 * Is Citus installed in this database?
 */
bool
ct_has_citus(void)
{
	return OidIsValid(get_relname_relid("pg_dist_partition", PG_CATALOG_NAMESPACE));
}

/*
 * Find a row in a table of Citus' catalogue for which "matches" is true, among those with this value
 * of a column, by an index on it, or among all if "column" is NULL.  By a catalogue snapshot: what
 * others have committed is seen, whatever the isolation level.
 */
static bool
find_row(const char *catalogue, const char *index, const char *column, RegProcedure equals, Datum value,
		 bool (*matches) (HeapTuple row, TupleDesc tupdesc, void *arg), void *arg)
{
	Oid			relid = get_relname_relid(catalogue, PG_CATALOG_NAMESPACE);
	Relation	rel;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;
	Oid			indexrelid = get_relname_relid(index, PG_CATALOG_NAMESPACE);
	bool		found = false;

	if (!OidIsValid(relid))
		return false;
	rel = table_open(relid, AccessShareLock);
	if (column != NULL)
		ScanKeyInit(&key, get_attnum(relid, column), BTEqualStrategyNumber, equals, value);
	scan = systable_beginscan(rel, indexrelid, OidIsValid(indexrelid), NULL, column != NULL ? 1 : 0, &key);
	while (!found && HeapTupleIsValid(row = systable_getnext(scan)))
		found = matches(row, RelationGetDescr(rel), arg);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* A column of such a row, by its name */
static Datum
column_of(HeapTuple row, TupleDesc tupdesc, const char *name, bool *isnull)
{
	for (int i = 0; i < tupdesc->natts; i++)
		if (namestrcmp(&TupleDescAttr(tupdesc, i)->attname, name) == 0)
			return heap_getattr(row, i + 1, tupdesc, isnull);
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" is missing in the catalogue of Citus", name)));
}

/* find_row(): read how a table is distributed */
static bool
read_distribution(HeapTuple row, TupleDesc tupdesc, void *arg)
{
	Distribution *distribution = arg;
	bool		isnull;

	distribution->is_reference = DatumGetChar(column_of(row, tupdesc, "partmethod", &isnull)) == 'n' &&
		DatumGetChar(column_of(row, tupdesc, "repmodel", &isnull)) == 't';
	distribution->colocation = DatumGetInt32(column_of(row, tupdesc, "colocationid", &isnull));
	return true;
}

static bool
find_distribution(Oid relid, Distribution *distribution)
{
	return find_row("pg_dist_partition", "pg_dist_partition_logical_relid_index", "logicalrelid",
					F_OIDEQ, ObjectIdGetDatum(relid), read_distribution, distribution);
}

/* find_row(): read what is known of a shard */
static bool
read_shard(HeapTuple row, TupleDesc tupdesc, void *arg)
{
	Shard	   *shard = arg;
	bool		isnull;
	Datum		minimum;

	shard->whole = DatumGetObjectId(column_of(row, tupdesc, "logicalrelid", &isnull));
	shard->number = DatumGetInt64(column_of(row, tupdesc, "shardid", &isnull));
	minimum = column_of(row, tupdesc, "shardminvalue", &isnull);
	shard->minimum = isnull ? NULL : TextDatumGetCString(minimum);
	return true;
}

/* find_row(): look for the shard of another table at the side of one; "arg" becomes it. */
static bool
is_sibling(HeapTuple row, TupleDesc tupdesc, void *arg)
{
	Shard	   *shard = arg;
	Shard		candidate;

	(void) read_shard(row, tupdesc, &candidate);
	if ((candidate.minimum == NULL) != (shard->minimum == NULL) ||
		(shard->minimum != NULL && strcmp(candidate.minimum, shard->minimum) != 0))
		return false;
	*shard = candidate;
	return true;
}

/* The shard of a table whose hash values begin with "minimum" */
static bool
find_sibling(Oid whole, char *minimum, Shard *shard)
{
	shard->minimum = minimum;
	return find_row("pg_dist_shard", "pg_dist_shard_logical_relid_index", "logicalrelid",
					F_OIDEQ, ObjectIdGetDatum(whole), is_sibling, shard);
}

/* The number at the end of a name, behind an underscore; 0 if there is none. */
static int64
number_in_name(const char *name)
{
	const char *separator = strrchr(name, '_');
	char	   *end;
	int64		number;

	if (separator == NULL || separator == name || strspn(separator + 1, "0123456789") != strlen(separator + 1) ||
		strlen(separator) > 18)
		return 0;
	number = strtoll(separator + 1, &end, 10);
	return number;
}

/*
 * Is this the name of a shard of a table with that name?  A name that would be too long is
 * shortened, and a hash is put in.
 */
static bool
is_name_of_shard(const char *name, const char *whole, int64 number)
{
	char	   *suffix = psprintf("_" INT64_FORMAT, number);

	return strlen(whole) + strlen(suffix) >= NAMEDATALEN || strcmp(name, psprintf("%s%s", whole, suffix)) == 0;
}

/*
 * The name of a shard of a table on this node.  A long name is shortened by Citus, with a hash in it; it
 * says which.
 */
static const char *
shard_name(Oid whole, int64 number)
{
	char	   *name = get_rel_name(whole);
	char	   *result = psprintf("%s_" INT64_FORMAT, name, number);
	MemoryContext context = CurrentMemoryContext;

	if (strlen(result) < NAMEDATALEN)
		return result;
	ct_connect_spi();
	/* qualified, but in schema "public" */
	ct_executef("SELECT n.parts[pg_catalog.cardinality(n.parts)]"
				" FROM (SELECT pg_catalog.parse_ident(pg_catalog.shard_name(%u, " INT64_FORMAT "))) n (parts)", whole, number);
	result = MemoryContextStrdup(context, ct_result_text(1));
	SPI_finish();
	return result;
}

/*
 * What is known of a relation that is a shard, by its name, which others may have, too, and its
 * schema; false if it is none.
 */
static bool
find_shard(Oid relid, Shard *shard)
{
	char	   *name = get_rel_name(relid);
	int64		number = name == NULL ? 0 : number_in_name(name);
	char	   *whole;

	if (number == 0 ||
		!find_row("pg_dist_shard", "pg_dist_shard_shardid_index", "shardid",
				  F_INT8EQ, Int64GetDatum(number), read_shard, shard))
		return false;
	whole = get_rel_name(shard->whole);
	return whole != NULL && get_rel_namespace(shard->whole) == get_rel_namespace(relid) &&
		is_name_of_shard(name, whole, number);
}

/*
 * Is the relation a shard of a table that Citus distributes?
 */
bool
ct_is_shard(Oid relid)
{
	Shard		shard;

	return ct_has_citus() && find_shard(relid, &shard);
}

/* find_row(): read the number of this node */
static bool
read_group(HeapTuple row, TupleDesc tupdesc, void *arg)
{
	bool		isnull;

	*(int32 *) arg = DatumGetInt32(column_of(row, tupdesc, "groupid", &isnull));
	return true;
}

/* find_row(): is a copy of a shard on the node with this number? */
static bool
is_on_node(HeapTuple row, TupleDesc tupdesc, void *arg)
{
	int32		group;

	(void) read_group(row, tupdesc, &group);
	return group == *(int32 *) arg;
}

/*
 * Is the relation what Citus has left of a shard that it has moved to another node?  It drops that
 * later.
 */
bool
ct_is_left_behind(Oid relid)
{
	Shard		shard;
	int32		node;

	return ct_has_citus() && find_shard(relid, &shard) &&
		find_row("pg_dist_local_group", "pg_dist_local_group_pkey", NULL, InvalidOid, (Datum) 0, read_group, &node) &&
		!find_row("pg_dist_placement", "pg_dist_placement_shardid_index", "shardid",
				  F_INT8EQ, Int64GetDatum(shard.number), is_on_node, &node);
}

/*
 * Could it become known as a shard, because its name is like one of a table beside it, and nothing is known of
 * it yet?
 */
bool
ct_may_become_shard(Oid relid)
{
	char	   *name = ct_has_citus() ? get_rel_name(relid) : NULL;

	if (name == NULL || number_in_name(name) == 0 || ct_is_shard(relid) || ct_is_distributed(relid))
		return false;
	if (strlen(name) >= NAMEDATALEN - 1)
		return true;			/* it may have been shortened */
	*strrchr(name, '_') = '\0';
	return OidIsValid(get_relname_relid(name, get_rel_namespace(relid)));
}

/*
 * Is this a table that Citus distributes?  Its rows are elsewhere then, and the local
 * table is empty.
 */
bool
ct_is_distributed(Oid relid)
{
	Distribution distribution;

	return ct_has_citus() && find_distribution(relid, &distribution);
}

/*
 * Is this a table of which Citus has a copy on each node?
 */
bool
ct_is_reference(Oid relid)
{
	Distribution distribution;

	return ct_has_citus() && find_distribution(relid, &distribution) && distribution.is_reference;
}

/*
 * Is there the table by which Citus replaces this distributed one?  Its name has a hash of
 * the name behind it.
 */
bool
ct_has_replacement(Oid relid)
{
	char	   *name = get_rel_name(relid);

	return name != NULL && ct_is_distributed(relid) &&
		OidIsValid(get_relname_relid(shard_name(relid, DatumGetUInt32(hash_any((unsigned char *) name, strlen(name)))),
									 get_rel_namespace(relid)));
}

/* Use the names of the shards at the side of this one.  False if some are not distributed like it. */
static bool
use_siblings(CtNames *names, const Shard *shard)
{
	Distribution own;
	Distribution other;
	Shard		sibling;

	if (!find_distribution(shard->whole, &own))
		return false;
	for (int i = 0; i < CT_NCOMPANIONS; i++)
	{
		Oid			companion = ct_find_relation(NameStr(names->schema), NameStr(names->companions[i]));

		if (!OidIsValid(companion) || !find_distribution(companion, &other) ||
			other.colocation != own.colocation || other.is_reference ||
			!find_sibling(companion, shard->minimum, &sibling))
			return false;
		snprintf(NameStr(names->companions[i]), NAMEDATALEN, "%s_" INT64_FORMAT,
				 get_rel_name(companion), sibling.number);
	}
	return true;
}

/* Use the copies of reference tables that this node has. */
static void
use_copies(CtNames *names)
{
	for (int i = 0; i < CT_NCATALOGUE; i++)
	{
		Oid			relid = ct_find_relation(NameStr(names->catalogue_schema), NameStr(names->catalogue[i]));
		Shard		copy;
		NameData	name = {""};

		if (!OidIsValid(relid) || !ct_is_reference(relid) || !find_sibling(relid, NULL, &copy))
			continue;
		snprintf(NameStr(name), NAMEDATALEN, "%s_" INT64_FORMAT, NameStr(names->catalogue[i]), copy.number);
		if (OidIsValid(ct_find_relation(NameStr(names->catalogue_schema), NameStr(name))))
			names->catalogue[i] = name;
	}
}

/*
 * Where Citus is installed, make the names of an attached relation those of tables of this node: for
 * a shard of its siblings, and for a shard or a local table of the copies of the catalogue.  So
 * no statement of a trigger meets Citus.  A distributed table has the names of the whole.
 */
void
ct_names_localise(CtNames *names, Oid relid)
{
	CtNames		shards = *names;
	Shard		shard;

	if (find_shard(relid, &shard))
	{
		if (use_siblings(&shards, &shard))
			*names = shards;
	}
	else if (ct_is_distributed(relid))
		return;
	use_copies(names);
}

/*
 * Can a relation have these companion tables?  Only if both are shards that begin with the same hash value, or
 * neither is one.  A quick look, before names are resolved: a node can have thousands of shards.
 */
bool
ct_may_have_companions(Oid relid, const CtNames *names)
{
	Oid			account = ct_find_relation(NameStr(names->schema), NameStr(names->companions[CT_ACCOUNT]));
	Shard		own;
	Shard		companion;
	bool		is_shard;

	if (!ct_has_citus())
		return true;
	is_shard = find_shard(relid, &own);
	if (is_shard != (OidIsValid(account) && find_shard(account, &companion)))
		return false;
	if (!is_shard)
		return true;
	return own.minimum == NULL || companion.minimum == NULL ? own.minimum == companion.minimum :
		strcmp(own.minimum, companion.minimum) == 0;
}

/*
 * Is a command on a table one by which Citus hands on what another session was told, moves shards, or
 * makes a node know a table?  Then the table is a shard, or was one until this command, or the whole
 * that commands here do not reach the shards of ("parent" is what it becomes, or was, a partition of,
 * or invalid).  What follows from the command, the session does that was told.
 */
bool
ct_is_work_of_citus(Oid relid, Oid parent)
{
	const char *propagates;

	if (!ct_has_citus())
		return false;
	if (!ct_is_distributed(relid) && !ct_is_distributed(parent))
	{
		char	   *name = get_rel_name(relid);

		return name != NULL && number_in_name(name) != 0 &&
			(ct_is_shard(relid) || (OidIsValid(parent) && ct_is_shard(parent)));
	}
	propagates = GetConfigOption("citus.enable_ddl_propagation", true, false);
	return propagates != NULL && strcmp(propagates, "off") == 0;
}

/*
 * Let statements of ours that come change triggers of distributed tables, until the identity is
 * restored, on all nodes, whatever the session has set; and use one connection to each node, since triggers are created
 * where rows of the same transaction are.
 */
void
ct_allow_distributed_ddl(void)
{
	ct_set_for_now("citus.enable_ddl_propagation", "on");
	ct_set_for_now("citus.enable_unsafe_triggers", "on");
	ct_set_for_now("citus.multi_shard_modify_mode", "sequential");
}

/*
 * A command of a user has given triggers to what becomes a partition of a distributed table, which Citus
 * is going to distribute when we have no say: allow it until the transaction ends.
 */
void
ct_allow_distributed_ddl_of_others(void)
{
	(void) set_config_option("citus.enable_unsafe_triggers", "on", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
							 true, 0, false);
}

/*
 * The shard of a distributed table, by its qualified name, that is on this node beside a shard of another
 * one.  Errors: 42P01 if there is none.
 */
Oid
ct_shard_beside(Oid relid, const char *contacts)
{
	RangeVar   *name = makeRangeVarFromNameList(ct_string_to_qualified_name_list(contacts));
	Oid			whole = RangeVarGetRelid(name, NoLock, false);
	Shard		shard;
	Shard		beside;
	Oid			result = InvalidOid;

	if (find_shard(relid, &shard) && find_sibling(whole, shard.minimum, &beside))
		result = ct_find_relation(get_namespace_name(get_rel_namespace(whole)), shard_name(whole, beside.number));
	if (!OidIsValid(result))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("there is no shard of table \"%s\" beside \"%s\"", contacts, get_rel_name(relid))));
	return result;
}
