/*-------------------------------------------------------------------------
 *
 * partition_check.c
 *	  Which tables and partitions can be counted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

/* The reason continues a sentence that begins with the name of the table. */
static void
refuse_partition(Relation rel, const char *reason, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("the contacts of \"%s\" cannot be counted", RelationGetRelationName(rel)),
			 errdetail_internal("\"%s\" %s", RelationGetRelationName(rel), reason),
			 errhint("%s", hint),
			 errtable(rel)));
}

/*
 * Contacts that become marketing contacts, or cease to be, stay where they are:
 * where a row is written once more to mend it, it must fit its partition.
 */
static bool
is_partitioned_by_status(Relation rel, char **args)
{
	Bitmapset  *columns = NULL;
	bool		in_expression;

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return false;
	for (int i = CT_ARG_STATUS; i < CT_COLUMNS_END; i++)
	{
		AttrNumber	attno = get_attnum(RelationGetRelid(rel), args[i]);

		if (attno != InvalidAttrNumber)
			columns = bms_add_member(columns, attno - FirstLowInvalidHeapAttributeNumber);
	}
	return has_partition_attrs(rel, columns, &in_expression);
}

/*
 * Can the contacts of a table, or of a partition, be counted?  "args" are those of the
 * triggers.  Errors: 0A000.
 */
void
ct_check_countable(Relation rel, char **args)
{
	if (rel->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		refuse_partition(rel, "is a foreign table: its contacts can change where no trigger fires.",
						 "Keep contacts in tables of this database.");
	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		refuse_partition(rel, "is temporary or unlogged: it loses its rows in a crash or at the end of the session, but the counters would remain.",
						 "Use ALTER TABLE ... SET LOGGED first.");
	if (is_partitioned_by_status(rel, args))
		refuse_partition(rel, "is partitioned by a status column, so contacts would have to move when their status changes.",
						 "Partition by another column, and use an index on the status.");
}

/*
 * The same for a table that is going to be attached and all of its partitions,
 * which the caller has locked.
 */
void
ct_check_partitions(Oid root, char **args)
{
	List	   *relids = find_all_inheritors(root, NoLock, NULL);
	ListCell   *cell;

	foreach(cell, relids)
	{
		Relation	rel = table_open(lfirst_oid(cell), NoLock);

		ct_check_countable(rel, args);
		table_close(rel, NoLock);
	}
}

/*
 * Does a table have the columns that its triggers speak of, of the right types?  Without an
 * error, since a table of any kind can be dropped.
 */
bool
ct_has_columns(Relation rel, char **args)
{
	const Oid	types[CT_COLUMNS_END] = {
		[CT_ARG_STATUS] = get_func_rettype(ct_function_oid(CT_DEFAULT_STATUS)),
		[CT_ARG_UNTIL] = BOOLOID,
		[CT_ARG_SOURCE_TYPE] = TEXTOID,
		[CT_ARG_SOURCE_NAME] = TEXTOID,
		[CT_ARG_UPDATED_AT] = TIMESTAMPTZOID
	};

	for (int i = CT_ARG_STATUS; i < CT_COLUMNS_END; i++)
		if (!AttributeNumberIsValid(ct_typed_column(RelationGetRelid(rel), args[i], types[i])) &&
			!(i == CT_ARG_STATUS && AttributeNumberIsValid(ct_typed_column(RelationGetRelid(rel), args[i], BOOLOID))))
			return false;
	return args[CT_ARG_ACCOUNT][0] == '\0' || get_attnum(RelationGetRelid(rel), args[CT_ARG_ACCOUNT]) > 0;
}
