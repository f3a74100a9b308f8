/*-------------------------------------------------------------------------
 *
 * name.c
 *	  Names of relations, types and operators, for statements and messages.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_operator.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

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
 * OID of a relation as it is named now, invalid if there is none.  It is not locked.
 */
Oid
ct_find_relation(const char *schema, const char *name)
{
	Oid			namespace = get_namespace_oid(schema, true);

	return OidIsValid(namespace) ? get_relname_relid(name, namespace) : InvalidOid;
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
 * Put schema and table into the fields of an error, as errtable(), for a table that need not
 * be open: the root of a partition, for which the statement may have been meant.  Returns 0.
 */
int
ct_errtable(Oid relid)
{
	char	   *schema;
	char	   *name;

	/* none for a partition that waits to be detached, and has one still */
	if (get_rel_relispartition(relid) && get_partition_ancestors(relid) != NIL)
		relid = llast_oid(get_partition_ancestors(relid));
	schema = get_namespace_name(get_rel_namespace(relid));
	name = get_rel_name(relid);
	/* the root is not locked by a statement on a partition, and may be gone */
	if (schema != NULL && name != NULL)
	{
		err_generic_string(PG_DIAG_SCHEMA_NAME, schema);
		err_generic_string(PG_DIAG_TABLE_NAME, name);
	}
	return 0;
}

/*
 * A relation as it is written in a statement, palloc'd.  The relation is open; its schema
 * may still have been dropped, if it is not locked against that: 42P01.
 */
char *
ct_qualified_name(Relation rel)
{
	char	   *schema = get_namespace_name(RelationGetNamespace(rel));

	if (schema == NULL)
		ct_no_relation_error(RelationGetRelid(rel));
	return quote_qualified_identifier(schema, RelationGetRelationName(rel));
}

/*
 * An operator as it can be written in a statement under any search_path.  Errors: 42883,
 * 3F000, where it was dropped since it was looked up.
 */
const char *
ct_quoted_operator(Oid operator)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	Form_pg_operator form;
	char	   *result;
	char	   *schema;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("operator with OID %u does not exist", operator)));
	form = (Form_pg_operator) GETSTRUCT(tuple);
	schema = get_namespace_name(form->oprnamespace);
	if (schema == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("schema with OID %u does not exist", form->oprnamespace)));
	result = psprintf("OPERATOR(%s.%s)", quote_identifier(schema), NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return result;
}
