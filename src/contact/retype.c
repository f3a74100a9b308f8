/*-------------------------------------------------------------------------
 *
 * retype.c
 *	  The statement that gives a column the type that it must have, for a HINT.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "contact/contact.h"

/* A type as any session can write it; those of PostgreSQL without a schema */
static const char *
type_as_written(Oid type)
{
	return type < FirstNormalObjectId ? format_type_be(type) : format_type_be_qualified(type);
}

/* Is this a type of numbers, such as seconds since 1970? */
static bool
is_number(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID ||
		type == FLOAT4OID || type == FLOAT8OID || type == NUMERICOID;
}

/* The values of a column in another type.  What has no cast goes by its text. */
static const char *
conversion(const char *column, Oid from, Oid to)
{
	const char *type = type_as_written(to);

	if (to == TIMESTAMPTZOID && is_number(from))
		return psprintf("to_timestamp(%s)", column);
	if (from == BOOLOID && get_typtype(to) == TYPTYPE_ENUM)
		return psprintf("(CASE WHEN %s THEN 'marketing' ELSE 'non_marketing' END)::%s", column, type);
	if (can_coerce_type(1, &from, &to, COERCION_EXPLICIT))
		return psprintf("%s::%s", column, type);
	return psprintf("%s::text::%s", column, type);
}

/* Has a column a default? */
static bool
has_default(Oid relid, AttrNumber attno)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attno));
	bool		result = HeapTupleIsValid(tuple) && ((Form_pg_attribute) GETSTRUCT(tuple))->atthasdef;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return result;
}

/*
 * The ALTER TABLE that gives a column another type, and collation where that is valid.
 * "table" is the table as in a statement.  Not all values need have one of the other type.  A
 * default that PostgreSQL cannot convert is dropped.
 */
char *
ct_retype_statement(const char *table, Oid relid, const char *name, Oid type, Oid collation)
{
	const char *column = quote_identifier(name);
	AttrNumber	attno = get_attnum(relid, name);
	Oid			from = get_atttype(relid, attno);
	bool		drops_default = has_default(relid, attno) &&
		!can_coerce_type(1, &from, &type, COERCION_ASSIGNMENT);

	return psprintf("ALTER TABLE %s%s ALTER COLUMN %s TYPE %s%s USING %s", table,
					drops_default ? psprintf(" ALTER COLUMN %s DROP DEFAULT,", column) : "",
					column, type_as_written(type),
					OidIsValid(collation) && collation != get_typcollation(type) ?
					psprintf(" COLLATE %s", generate_collation_name(collation)) : "",
					conversion(column, from, type));
}
