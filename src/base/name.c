/*-------------------------------------------------------------------------
 *
 * name.c
 *	  Names of relations and types, for statements and messages.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/base.h"

/*
 * A type as it is written in a statement, for values of any length: bpchar, not
 * character, which would be one character.
 */
char *
ct_type_name(Oid type)
{
	return format_type_extended(type, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

/*
 * There is no such relation, or not any more: 42P01.
 */
void
ct_no_relation_error(Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("relation with OID %u does not exist", relid)));
}

/*
 * A relation as it is written in a statement.
 */
char *
ct_qualified_name(Relation rel)
{
	char	   *schema = get_namespace_name(RelationGetNamespace(rel));

	if (schema == NULL)
		ct_no_relation_error(RelationGetRelid(rel));
	return quote_qualified_identifier(schema, RelationGetRelationName(rel));
}
