/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  guard() and unguard(): the trigger of a table of what tools send to contacts.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

/* It fires last of the BEFORE triggers, to judge what the application's own made of the row. */
#define GUARD_TRIGGER	"zz_contacts_tier_guard"

/* How long the column for reasons must be, if its length is limited */
#define REASON_LENGTH	22

/* Arguments of guard() */
enum
{
	ARG_SENDS,
	ARG_TOOL_COLUMN,
	ARG_CONTACT_COLUMN,
	ARG_CONTACTS,
	ARG_ON_EXCLUDED,
	ARG_REASON_COLUMN
};

/* Rows are written to ordinary and partitioned tables: 42809. */
static void
check_relkind(Relation rel)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION && rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", RelationGetRelationName(rel)),
				 errtable(rel)));
}

/* A column that a BEFORE trigger sees: 42703, 42809. */
static Form_pg_attribute
find_column(Relation rel, const char *name)
{
	AttrNumber	attno = get_attnum(RelationGetRelid(rel), name);
	Form_pg_attribute attr;

	if (attno <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", name, RelationGetRelationName(rel)),
				 errtable(rel)));
	attr = TupleDescAttr(RelationGetDescr(rel), attno - 1);
	if (attr->attgenerated)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("column \"%s\" of table \"%s\" is a generated column", name, RelationGetRelationName(rel)),
				 errdetail("Triggers can neither see nor write generated columns."),
				 errtablecol(rel, attno)));
	return attr;
}

/* The columns have types that the trigger can read and write: 42804. */
static void
check_types(Relation rel, Form_pg_attribute tool, Form_pg_attribute reason)
{
	Oid			type = getBaseType(tool->atttypid);

	if (type != TEXTOID && type != VARCHAROID && get_typtype(type) != TYPTYPE_ENUM)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" must be of type text, varchar or an enum, not %s",
						NameStr(tool->attname), RelationGetRelationName(rel), format_type_be(tool->atttypid)),
				 errtablecol(rel, tool->attnum)));
	if (reason == NULL || reason->atttypid == TEXTOID ||
		(reason->atttypid == VARCHAROID &&
		 (reason->atttypmod < 0 || reason->atttypmod >= REASON_LENGTH + (int) VARHDRSZ)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of table \"%s\" must be of type text, not %s", NameStr(reason->attname),
					RelationGetRelationName(rel), format_type_with_typemod(reason->atttypid, reason->atttypmod)),
			 errtablecol(rel, reason->attnum)));
}

/* What is done with rows that are excluded, and a column for the reason where it needs one: 22023. */
static void
check_mode(const char *mode, bool has_reason)
{
	if (strcmp(mode, "reject") != 0 && strcmp(mode, "skip") != 0 && strcmp(mode, "mark") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"on_excluded\" must be \"reject\", \"skip\" or \"mark\", not \"%s\"", mode)));
	if (has_reason != (strcmp(mode, "mark") == 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 has_reason ? errmsg("argument \"reason_column\" requires on_excluded => 'mark'") :
				 errmsg("on_excluded => 'mark' requires argument \"reason_column\"")));
}

/* Check the columns, and return them as they are written in UPDATE OF: tool, contact, reason. */
static char *
read_columns(FunctionCallInfo fcinfo, Relation rel, AttrNumber *contact)
{
	Form_pg_attribute tool_column = find_column(rel, NameStr(*PG_GETARG_NAME(ARG_TOOL_COLUMN)));
	Form_pg_attribute contact_column = find_column(rel, NameStr(*PG_GETARG_NAME(ARG_CONTACT_COLUMN)));
	Form_pg_attribute reason_column = PG_ARGISNULL(ARG_REASON_COLUMN) ? NULL :
		find_column(rel, NameStr(*PG_GETARG_NAME(ARG_REASON_COLUMN)));
	StringInfoData columns;

	if (tool_column == contact_column || tool_column == reason_column || contact_column == reason_column)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("columns of tool, contact and reason must be different"),
				 errtable(rel)));
	check_types(rel, tool_column, reason_column);
	*contact = contact_column->attnum;
	initStringInfo(&columns);
	/* separately: quote_identifier() is called for each before the next one */
	appendStringInfoString(&columns, quote_identifier(NameStr(tool_column->attname)));
	appendStringInfo(&columns, ", %s", quote_identifier(NameStr(contact_column->attname)));
	if (reason_column != NULL)
		appendStringInfo(&columns, ", %s", quote_identifier(NameStr(reason_column->attname)));
	return columns.data;
}

/*
 * Drop the guard of a table, whatever its owner has called it; those of partitions go with
 * it.  The table must not be open.  False if there is none.
 */
static bool
drop_guard(Oid relid, const char *name)
{
	uint64		count = ct_executef("SELECT t.tgname::pg_catalog.text FROM pg_catalog.pg_trigger t"
									" WHERE t.tgrelid OPERATOR(pg_catalog.=) %u AND t.tgparentid OPERATOR(pg_catalog.=) 0"
									" AND t.tgfoid OPERATOR(pg_catalog.=)"
									" 'contacts_tier_internal.guard_send()'::pg_catalog.regprocedure", relid);
	SPITupleTable *found = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
		ct_executef("DROP TRIGGER %s ON %s",
					quote_identifier(SPI_getvalue(found->vals[i], found->tupdesc, 1)), name);
	return count > 0;
}

/* Create the trigger, as the owner of the table. */
static void
create_guard(const char *name, const char *columns, Oid contacts, const char *mode)
{
	char	   *schema = get_namespace_name(get_rel_namespace(contacts));
	char	   *table = get_rel_name(contacts);

	/* it is locked, so it is there */
	ct_executef("CREATE TRIGGER " GUARD_TRIGGER " BEFORE INSERT OR UPDATE OF %s ON %s FOR EACH ROW"
				" EXECUTE FUNCTION contacts_tier_internal.guard_send(%s, %s, %s)",
				columns, name, quote_literal_cstr(schema), quote_literal_cstr(table), quote_literal_cstr(mode));
	ct_executef("COMMENT ON TRIGGER " GUARD_TRIGGER " ON %s IS"
				" 'checks whether the tool of each row can use its contact; created by contacts_tier.guard()'", name);
}

PG_FUNCTION_INFO_V1(contacts_tier_guard);

/*
 * guard(sends regclass, tool_column name, contact_column name, contacts regclass,
 *		 on_excluded text, reason_column name)
 *
 * Puts the guard on a table, or another one in its place.
 *
 * Locks: SHARE ROW EXCLUSIVE on the guarded table, ACCESS EXCLUSIVE if it has a guard; ACCESS
 * SHARE on the contacts.  Errors: 22004, 22023, 42501, 42703, 42804, 42809, 42P01, 55000.
 */
Datum
contacts_tier_guard(PG_FUNCTION_ARGS)
{
	static const char *const names[] = {"sends", "tool_column", "contact_column", "contacts", "on_excluded"};
	Oid			relid;
	Oid			contacts;
	Relation	rel;
	CtIdentity	identity;
	AttrNumber	contact;
	char	   *columns;
	char	   *name;
	char	   *mode;

	for (size_t i = 0; i < lengthof(names); i++)
		ct_check_not_null(fcinfo, i, names[i]);
	relid = PG_GETARG_OID(ARG_SENDS);
	contacts = PG_GETARG_OID(ARG_CONTACTS);
	mode = text_to_cstring(PG_GETARG_TEXT_PP(ARG_ON_EXCLUDED));
	check_mode(mode, !PG_ARGISNULL(ARG_REASON_COLUMN));
	rel = ct_open_owned(relid, ShareRowExclusiveLock);
	check_relkind(rel);
	columns = read_columns(fcinfo, rel, &contact);
	ct_check_lookup(contacts, rel, contact);
	name = ct_qualified_name(rel);
	ct_connect_spi();
	ct_manage_as_owner(rel->rd_rel->relowner, &identity);
	relation_close(rel, NoLock);
	(void) drop_guard(relid, name);
	create_guard(name, columns, contacts, mode);
	ct_restore_identity(&identity);
	SPI_finish();
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(contacts_tier_unguard);

/*
 * unguard(sends regclass)
 *
 * Locks: ACCESS EXCLUSIVE on the table.  Errors: 22004, 42501, 42P01; 55000 if it has no guard.
 */
Datum
contacts_tier_unguard(PG_FUNCTION_ARGS)
{
	Oid			relid;
	Relation	rel;
	CtIdentity	identity;
	char	   *name;

	ct_check_not_null(fcinfo, 0, "sends");
	relid = PG_GETARG_OID(0);
	rel = ct_open_owned(relid, AccessExclusiveLock);
	name = ct_qualified_name(rel);
	ct_connect_spi();
	ct_manage_as_owner(rel->rd_rel->relowner, &identity);
	relation_close(rel, NoLock);
	if (!drop_guard(relid, name))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no guard", get_rel_name(relid)),
				 ct_errtable(relid)));
	ct_restore_identity(&identity);
	SPI_finish();
	PG_RETURN_VOID();
}
