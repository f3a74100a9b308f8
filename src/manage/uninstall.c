/*-------------------------------------------------------------------------
 *
 * uninstall.c
 *	  Columns that keep the extension from being dropped, for uninstall().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

/* Columns of a type of the extension, and columns with a default that depends on it */
static const char *const columns_query =
	"SELECT pg_catalog.quote_ident(a.attname), t.objid IS NOT NULL,"
	"  CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_depend e"
	"   ON e.classid = d.refclassid AND e.objid = d.refobjid"
	"   WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = f.oid"
	"   AND e.refclassid = x.tableoid AND e.refobjid = x.oid AND e.deptype = 'e')"
	"  THEN pg_catalog.pg_get_expr(f.adbin, f.adrelid) END"
	" FROM pg_catalog.pg_extension x"
	" JOIN pg_catalog.pg_attribute a ON a.attrelid = %u AND a.attnum > 0 AND NOT a.attisdropped"
	" LEFT JOIN pg_catalog.pg_depend t ON t.classid = 'pg_catalog.pg_type'::pg_catalog.regclass"
	"  AND t.objid = a.atttypid AND t.refclassid = x.tableoid AND t.refobjid = x.oid AND t.deptype = 'e'"
	" LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum AND a.attgenerated = ''"
	" WHERE x.extname = 'contacts_tier' ORDER BY a.attnum";

/*
 * Indexes and constraints, also of partitions, whose expression has a column of a type of the
 * extension and a constant of the same type: it has no meaning for text.
 */
static const char *const expressions_query =
	"SELECT pg_catalog.pg_describe_object(d.classid, d.objid, 0)"
	" FROM (SELECT %u::pg_catalog.oid UNION SELECT relid FROM pg_catalog.pg_partition_tree(%u)) c (oid)"
	" JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass"
	"  AND d.refobjid = c.oid AND d.refobjsubid > 0"
	"  AND (d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND EXISTS ("
	"    SELECT FROM pg_catalog.pg_index i WHERE i.indexrelid = d.objid)"
	"   OR d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass)"
	" JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid"
	" JOIN pg_catalog.pg_depend t ON t.classid = d.classid AND t.objid = d.objid"
	"  AND t.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND t.refobjid = a.atttypid"
	" JOIN pg_catalog.pg_depend e ON e.classid = t.refclassid AND e.objid = t.refobjid AND e.deptype = 'e'"
	" JOIN pg_catalog.pg_extension x ON e.refclassid = x.tableoid AND e.refobjid = x.oid"
	" WHERE x.extname = 'contacts_tier'"
	" ORDER BY d.classid, d.objid LIMIT 1";

/*
 * PostgreSQL cannot convert such an expression, and the error would not say whose it is.  Errors:
 * 2BP01.
 */
static void
check_expressions(Oid relid)
{
	if (ct_executef(expressions_query, relid, relid) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot convert status of table \"%s\" to text because %s requires its type",
						get_rel_name(relid), ct_result_text(1)),
				 errhint("Drop it first.  It can be created again afterwards, for text.")));
}

/* The value of a default as a literal; NULL where it is null. */
static char *
default_literal(const char *expression)
{
	char	   *value;

	ct_executef("SELECT (%s)::pg_catalog.text", expression);
	value = ct_result_text(1);
	return value == NULL ? NULL : quote_literal_cstr(value);
}

/*
 * Convert a column to text, if it has a type of the extension, and drop its default; a constant
 * one is a constant of text then.
 */
static void
release_column(const char *table, const char *column, bool has_type, const char *expression)
{
	char	   *value = has_type && expression != NULL ? default_literal(expression) : NULL;

	if (expression != NULL)
		ct_executef("ALTER TABLE %s ALTER %s DROP DEFAULT", table, column);
	if (has_type)
		ct_executef("ALTER TABLE %s ALTER %s TYPE pg_catalog.text", table, column);
	if (value != NULL)
		ct_executef("ALTER TABLE %s ALTER %s SET DEFAULT %s", table, column, value);
}

PG_FUNCTION_INFO_V1(contacts_tier_release_columns);

/*
 * release_columns(relation regclass) void
 *
 * As the owner of the table (R3), for defaults and what a rewritten table has are evaluated.
 *
 * Locks: ACCESS EXCLUSIVE on the table.  Errors: 22004, 2BP01, 42501, 42P01, those of
 * ALTER TABLE.
 */
Datum
contacts_tier_release_columns(PG_FUNCTION_ARGS)
{
	Relation	rel;
	CtIdentity	identity;
	char	   *name;
	SPITupleTable *found;
	uint64		count;

	ct_check_not_null(fcinfo, 0, "relation");
	rel = ct_open_owned(PG_GETARG_OID(0), AccessExclusiveLock);
	name = ct_qualified_name(rel);
	ct_connect_spi();
	ct_manage_as_owner(rel->rd_rel->relowner, &identity);
	relation_close(rel, NoLock);
	check_expressions(PG_GETARG_OID(0));
	count = ct_executef(columns_query, PG_GETARG_OID(0));
	found = SPI_tuptable;
	for (uint64 i = 0; i < count; i++)
	{
		const char *has_type = SPI_getvalue(found->vals[i], found->tupdesc, 2);

		release_column(name, SPI_getvalue(found->vals[i], found->tupdesc, 1), *has_type == 't',
					   SPI_getvalue(found->vals[i], found->tupdesc, 3));
	}
	ct_restore_identity(&identity);
	SPI_finish();
	PG_RETURN_VOID();
}
