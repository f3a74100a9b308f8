/*-------------------------------------------------------------------------
 *
 * owner_path.c
 *	  The search_path under which the owner's code runs.
 *
 * What the extension writes as the owner of a contacts table fires what the
 * application has put on it.  Such code may name things without a schema, and
 * finds them as in a session of the owner's, whoever the caller is and whatever
 * search_path he has chosen (R3).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "base/base.h"

/* The default of the setting, where neither role nor database has one (guc.c) */
#define DEFAULT_PATH	"\"$user\", public"

/*
 * The search_path in a list of settings, "name=value" each; NULL if there is none.
 */
static char *
path_in_settings(ArrayType *settings)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	char	   *path = NULL;

	deconstruct_array(settings, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		char	   *name;
		char	   *value;

		if (nulls[i])
			continue;
		ParseLongOption(TextDatumGetCString(elements[i]), &name, &value);
		if (value != NULL && pg_strcasecmp(name, "search_path") == 0)
			path = value;
	}
	return path;
}

/*
 * The search_path that ALTER ROLE or ALTER DATABASE has set; invalid OIDs stand for
 * any role or database, as in pg_db_role_setting.  NULL if there is none.
 */
static char *
path_set_for(Relation pg_db_role_setting, Oid database, Oid role)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *path = NULL;

	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(database));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(pg_db_role_setting, DbRoleSettingDatidRolidIndexId, true, NULL,
							  lengthof(keys), keys);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		settings = heap_getattr(tuple, Anum_pg_db_role_setting_setconfig,
											RelationGetDescr(pg_db_role_setting), &isnull);

		if (!isnull)
			path = path_in_settings(DatumGetArrayTypePCopy(settings));
	}
	systable_endscan(scan);
	return path;
}

/*
 * The schemas of a search_path.  False if it is none, which a session refuses at its
 * start, to go by the next more general setting.
 */
static bool
split_path(const char *path, List **schemas)
{
	return path != NULL && SplitIdentifierString(pstrdup(path), ',', schemas);
}

/*
 * The schemas that a session of a role in this database searches: the first setting
 * counts of those that process_settings() reads when a session starts, in its order.
 */
static List *
schemas_of_session(Oid role)
{
	const Oid	places[][2] = {
		{MyDatabaseId, role}, {InvalidOid, role}, {MyDatabaseId, InvalidOid}, {InvalidOid, InvalidOid}
	};
	Relation	rel = table_open(DbRoleSettingRelationId, AccessShareLock);
	List	   *schemas = NIL;
	bool		found = false;

	for (size_t i = 0; i < lengthof(places) && !found; i++)
		found = split_path(path_set_for(rel, places[i][0], places[i][1]), &schemas);
	table_close(rel, AccessShareLock);
	if (!found)
		(void) split_path(DEFAULT_PATH, &schemas);
	return schemas;
}

/* Add a schema to a search_path that is put together. */
static void
append_schema(StringInfo path, const char *schema)
{
	appendStringInfo(path, "%s%s", path->len > 0 ? ", " : "", quote_identifier(schema));
}

/*
 * The search_path under which triggers on a table run as its owner: that of
 * a session of his, then the schema of the table, then pg_temp.  Temporary schemas
 * that he has named come no earlier than that: this session's is the caller's.
 * "$user" needs no care: recomputeNamespacePath() replaces it by the current role, which is
 * the owner, and sees to it that he may use each schema.
 *
 * Returns a palloc'd value for the setting.  Looked up each time: no message says that
 * pg_db_role_setting has changed, since no system cache is on it.
 */
char *
ct_owner_search_path(Oid owner, Oid relid)
{
	const char *contacts = get_namespace_name(get_rel_namespace(relid));
	List	   *schemas = schemas_of_session(owner);
	StringInfoData path;
	ListCell   *cell;

	initStringInfo(&path);
	foreach(cell, schemas)
	{
		const char *schema = lfirst(cell);

		if (strncmp(schema, "pg_temp", strlen("pg_temp")) != 0)
			append_schema(&path, schema);
	}
	if (contacts != NULL)
		append_schema(&path, contacts);
	append_schema(&path, "pg_temp");
	return path.data;
}
