/*-------------------------------------------------------------------------
 *
 * attach_companions.c
 *	  The companion tables of a table that is being attached: create them, or use those that
 *	  are there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#include "manage/manage.h"

/* Has the current role this privilege on a schema? */
static bool
has_schema_privilege(const char *schema, const char *privilege)
{
	ct_executef("SELECT pg_catalog.has_schema_privilege(%s, %s)::pg_catalog.text",
				quote_literal_cstr(schema), quote_literal_cstr(privilege));
	return strcmp(ct_result_text(1), "true") == 0;
}

/* Refuse a schema on which the owner of the table, who is the current role, lacks a privilege. */
static void
check_privilege(const char *schema, Oid owner, const char *privilege)
{
	const char *role = GetUserNameFromId(owner, false);

	if (!has_schema_privilege(schema, privilege))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for schema %s", schema),
				 errdetail("Role \"%s\" owns the table, so it needs %s on the schema of the companion tables.",
						   role, privilege),
				 errhint("Use GRANT %s ON SCHEMA %s TO %s.", privilege, quote_identifier(schema), quote_identifier(role))));
}

/*
 * Can companion tables be in a schema?  It must outlive the session, and DROP EXTENSION, and
 * the owner of the table, who is the current role, must have USAGE on it, now and later.
 * Errors: 3F000, 42501, 42809.
 */
void
ct_check_companion_schema(const char *schema, Oid owner)
{
	Oid			namespace = get_namespace_oid(schema, false);

	if (isAnyTempNamespace(namespace) || IsCatalogNamespace(namespace) || IsToastNamespace(namespace) ||
		strcmp(schema, "information_schema") == 0 || strcmp(schema, "contacts_tier") == 0 ||
		OidIsValid(getExtensionOfObject(NamespaceRelationId, namespace)))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("companion tables cannot be in schema \"%s\"", schema),
				 errdetail("Schema \"%s\" is temporary, a system schema, or belongs to an extension.", schema),
				 errhint("Pass a schema of your own as argument \"companion_schema\".")));
	check_privilege(schema, owner, "USAGE");
}

/* A companion table as it is written in a statement */
static const char *
companion_name(const CtNames *names, CtCompanion which)
{
	return quote_qualified_identifier(NameStr(names->schema), NameStr(names->companions[which]));
}

/*
 * Is a relation with the name of a companion table somebody else's?  Not even a table, or one
 * that knows no accounts.  What else differs ct_check_companions() tells.
 */
static bool
is_foreign(Oid relid)
{
	return !OidIsValid(ct_companion_owner(relid)) || get_attnum(relid, "account") <= 0;
}

/*
 * How many of the companion tables exist?  Errors: 42P07 where a relation of the name is
 * somebody else's.
 */
static int
count_companions(const CtTable *table)
{
	int			count = 0;

	for (int i = 0; i < CT_NCOMPANIONS; i++)
	{
		Oid			relid = ct_companion_relid(&table->names, i);

		if (!OidIsValid(relid))
			continue;
		count++;
		if (is_foreign(relid))
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_TABLE),
					 errmsg("relation \"%s.%s\" already exists", NameStr(table->names.schema),
							NameStr(table->names.companions[i])),
					 errdetail("The relation was not created with contacts_tier."),
					 errhint("Rename it, or pass another schema as argument \"companion_schema\".")));
	}
	return count;
}

/* An attached table of the same owner that uses these companion tables, or invalid */
static Oid
sharing_table(const CtTable *table)
{
	ListCell   *cell;

	foreach(cell, ct_attached_tables(&table->names))
	{
		if (ct_companion_owner(lfirst_oid(cell)) == table->owner)
			return lfirst_oid(cell);
	}
	return InvalidOid;
}

/*
 * Some companion tables are there and others are not: then these were dropped, if those are what
 * attach() creates.  Tables that share them and are attached still have contacts in what was
 * dropped, so repair() must create it.  Errors: 42P07, 55000.
 */
static void
check_some(const CtTable *table, bool is_repair)
{
	if (!ct_some_companions_fit(table))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("some of the companion tables of schema \"%s\" already exist", NameStr(table->names.schema)),
				 errdetail("The tables are not as contacts_tier.attach() creates them."),
				 errhint("Rename them, or pass another schema as argument \"companion_schema\".")));
	if (!is_repair && OidIsValid(sharing_table(table)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("some companion tables of schema \"%s\" do not exist", NameStr(table->names.schema)),
				 errdetail("Attached table \"%s\" uses the companion tables, too.", get_rel_name(sharing_table(table))),
				 errhint("Run contacts_tier.repair() on that table first.")));
}

/* What leads out if the companion tables know accounts by another type */
static char *
conversion_hint(const CtTable *table)
{
	Oid			sharing = sharing_table(table);
	StringInfoData buf;

	if (OidIsValid(sharing))
		return psprintf("Attached table \"%s\" uses these companion tables, too.  Pass another schema as argument \"companion_schema\"%s.",
						get_rel_name(sharing),
						AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]) ? ", or change the account column" : "");
	initStringInfo(&buf);
	for (int i = 0; i < CT_NCOMPANIONS; i++)
		appendStringInfo(&buf, "%s;%s",
						 ct_retype_statement(companion_name(&table->names, i), ct_companion_relid(&table->names, i),
											 "account", table->account_type, table->account_collation),
						 i < CT_NCOMPANIONS - 1 ? " " : "");
	return psprintf("To continue with their history, convert them: %s  To begin without it, drop them, or pass another schema as argument \"companion_schema\".",
					buf.data);
}

/*
 * The companion tables must know accounts by the type of the account column, and compare
 * them as it does.  No attached table need use them any more: then they can be converted.
 * Errors: 42804.
 */
static void
check_account_type(const CtTable *table)
{
	for (int i = 0; i < CT_NCOMPANIONS; i++)
	{
		Oid			relid = ct_companion_relid(&table->names, i);
		Oid			type;
		int32		typmod;
		Oid			collation;

		get_atttypetypmodcoll(relid, get_attnum(relid, "account"), &type, &typmod, &collation);
		/* those of another owner nobody converts: ct_check_companions() tells */
		if (ct_companion_owner(relid) == table->owner &&
			(type != table->account_type || collation != table->account_collation))
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]) ?
					 errmsg("accounts of table \"%s\" are of type %s, but those of companion table \"%s.%s\" are of type %s%s",
							get_rel_name(table->relid), format_type_be(table->account_type),
							NameStr(table->names.schema), NameStr(table->names.companions[i]), format_type_be(type),
							type == table->account_type ? " with another collation" : "") :
					 errmsg("table \"%s\" without an account column needs companion tables of account type %s, but those of schema \"%s\" are of type %s%s",
							get_rel_name(table->relid), format_type_be(table->account_type),
							NameStr(table->names.schema), format_type_be(type),
							type == table->account_type ? " with another collation" : ""),
					 errhint("%s", conversion_hint(table))));
	}
}

/*
 * The type of accounts in the companion tables, as it is written in a statement.
 */
char *
ct_companion_account_type(const CtTable *table)
{
	const char *type = ct_type_name(table->account_type);

	/* without a length, so that that of the account column can be changed */
	return !OidIsValid(table->account_collation) ? pstrdup(type) :
		psprintf("%s COLLATE %s", type, generate_collation_name(table->account_collation));
}

/*
 * Create the companion tables that do not exist, in the schema that the names say, as the owner of
 * the contacts, connected to SPI.  Those that exist already must be as they would be created;
 * whatever privileges the ledger has, entries are only inserted.  New counters of accounts begin so
 * that what a period began with and what is counted in now add up (D3).
 *
 * Errors: 42501; for tables that exist 42P07 (they are somebody else's), 42804 (another type of
 * account), 55000 (other tables use them), and those of ct_check_companions().
 */
void
ct_create_companions(const CtTable *table, bool is_repair)
{
	int			count = count_companions(table);
	bool		is_counted = OidIsValid(ct_companion_relid(&table->names, CT_ACCOUNT)) &&
		!OidIsValid(ct_companion_relid(&table->names, CT_COUNTER));

	if (count == CT_NCOMPANIONS)
	{
		check_account_type(table);
		ct_check_companions(table);
		ct_restate_ledger_default(table);
		ct_restate_ledger_privileges(table);
		return;
	}
	if (count > 0)
		check_some(table, is_repair);
	check_privilege(NameStr(table->names.schema), table->owner, "CREATE");
	ct_executef("SELECT contacts_tier_internal.create_companions(%s, %s)",
				quote_literal_cstr(quote_identifier(NameStr(table->names.schema))),
				quote_literal_cstr(ct_companion_account_type(table)));
	if (is_counted)
		ct_execute(ct_sql(table, "INSERT INTO {counter} (account, slot, corrected)"
						  " SELECT account, 0, - period_opening FROM {account} WHERE period_opening <> 0"),
				   0, NULL, NULL, NULL);
}
