/*-------------------------------------------------------------------------
 *
 * attach.c
 *	  attach(): putting a table under management.
 *
 * Everything that attach() creates is an ordinary object of the table's owner:
 * columns, companion tables, an index and triggers.  So pg_dump has all of it, and
 * ownership is what decides who may change it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"

#include "manage/manage.h"

/* The five status columns, by CtTriggerArg less CT_ARG_STATUS */
static const struct
{
	const char *key;			/* in the "columns" argument */
	const char *type;			/* as in a statement, qualified */
	const char *expression;		/* its default, or NULL */
	const char *comment;		/* its comment, where attach() adds it */
}			status_columns[CT_NCOLUMNS] = {

	{"status", "contacts_tier.marketing_status", "contacts_tier_internal.default_status()",
	"whether the contact is a marketing contact, which counts against the contact tier"},
	{"until_next_update", "pg_catalog.bool", "contacts_tier_internal.default_until_next_update()",
	"true if the marketing contact becomes non-marketing on the next update date, else null"},
	{"source_type", "pg_catalog.text", "contacts_tier_internal.default_source_type()",
	"type of the source that last changed the marketing status of the contact"},
	{"source_name", "pg_catalog.text", "contacts_tier_internal.default_source_name()",
	"name of the source that last changed the marketing status of the contact"},
	{"updated_at", "pg_catalog.timestamptz", "contacts_tier_internal.default_updated_at()",
	"time at which the marketing status of the contact last changed"}
};

/* The default of a status that is a boolean, which attach() never adds */
#define BOOLEAN_DEFAULT	"contacts_tier_internal.default_marketing()"

/* The reason continues a sentence that begins with the name of the table; hint may be NULL. */
static void
refuse_kind(Relation rel, int code, const char *reason, const char *hint)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("cannot attach \"%s\"", RelationGetRelationName(rel)),
			 errdetail_internal("\"%s\" %s", RelationGetRelationName(rel), reason),
			 hint != NULL ? errhint("%s", hint) : 0,
			 errtable(rel)));
}

/*
 * What can be attached: an ordinary or partitioned table of the user, logged,
 * whole.  A child by inheritance has rows that SELECT from its parent shows, and none of
 * the parent's triggers, so counts and contacts would differ; partitions get clones of the
 * row triggers.  Errors: 42809, 42501, 0A000, 42710.
 */
static void
check_kind(Relation rel)
{
	Form_pg_class form = rel->rd_rel;
	CtNames		names;

	if (form->relkind != RELKIND_RELATION && form->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot attach relation \"%s\"", RelationGetRelationName(rel)),
				 errdetail_relkind_not_supported(form->relkind),
				 errhint("Attach the table that holds the contacts."),
				 errtable(rel)));
	if (RelationGetRelid(rel) < FirstNormalObjectId)
		refuse_kind(rel, ERRCODE_INSUFFICIENT_PRIVILEGE, "is a system table.", NULL);
	if (form->relispartition)
		refuse_kind(rel, ERRCODE_WRONG_OBJECT_TYPE, "is a partition.",
					"Attach the partitioned table that it belongs to.");
	if (form->relpersistence != RELPERSISTENCE_PERMANENT)
		refuse_kind(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
					"is temporary or unlogged: it loses its rows in a crash or at the end of the session, but the counters would remain.",
					NULL);
	if (form->relkind == RELKIND_RELATION &&
		(has_subclass(RelationGetRelid(rel)) || has_superclass(RelationGetRelid(rel))))
		refuse_kind(rel, ERRCODE_FEATURE_NOT_SUPPORTED, "is part of an inheritance tree.",
					"Use a partitioned table.");
	if (OidIsValid(getExtensionOfObject(RelationRelationId, RelationGetRelid(rel))))
		refuse_kind(rel, ERRCODE_WRONG_OBJECT_TYPE, "belongs to an extension.", NULL);
	ct_names_resolve(&names, InvalidOid, get_namespace_name(RelationGetNamespace(rel)));
	for (int i = 0; i < CT_NCOMPANIONS; i++)
		if (strcmp(RelationGetRelationName(rel), NameStr(names.companions[i])) == 0)
			refuse_kind(rel, ERRCODE_WRONG_OBJECT_TYPE, "is a companion table.", NULL);
	if (ct_find_trigger(rel, CT_TRIGGER_STATUS) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("table \"%s\" is already attached", RelationGetRelationName(rel)),
				 errhint("To attach it in another way, detach it first."),
				 errtable(rel)));
}

/* Which status column a key of "columns" means: 22023 for another key. */
static int
column_of_key(const char *key, int length)
{
	for (int i = 0; i < CT_NCOLUMNS; i++)
		if (strlen(status_columns[i].key) == (size_t) length &&
			strncmp(status_columns[i].key, key, length) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%.*s\" is not a key of argument \"columns\"", length, key),
			 errhint("The keys are status, until_next_update, source_type, source_name and updated_at.")));
}

/*
 * Read the "columns" argument, an object from keys to names of columns; what it does not
 * have stays as it is in "args".  Errors: 22023.
 */
static void
read_columns(Jsonb *columns, char **args)
{
	JsonbIterator *it = JsonbIteratorInit(&columns->root);
	JsonbValue	value;
	JsonbIteratorToken token = JsonbIteratorNext(&it, &value, false);
	int			column = 0;

	if (token != WJB_BEGIN_OBJECT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"columns\" must be a JSON object")));
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			column = column_of_key(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE)
		{
			if (value.type != jbvString || value.val.string.len == 0 ||
				value.val.string.len >= NAMEDATALEN)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("key \"%s\" of argument \"columns\" must have the name of a column as its value",
								status_columns[column].key)));
			args[CT_ARG_STATUS + column] = pnstrdup(value.val.string.val, value.val.string.len);
		}
	}
}

/* Each property needs a column of its own: 22023. */
static void
check_distinct_columns(char **args)
{
	for (int i = CT_ARG_ACCOUNT; i < CT_COLUMNS_END; i++)
		for (int j = i + 1; j < CT_COLUMNS_END; j++)
			if (strcmp(args[i], args[j]) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("column \"%s\" is named more than once", args[i]),
						 errhint("Name different columns for the account and each status property.")));
}

/*
 * A status column that is there already must be one that triggers can write;
 * its type is checked when the table is resolved.  A BEFORE trigger sees no generated
 * column, whose value is computed after it.  Errors: 42P10.
 */
static bool
has_column(Oid relid, const char *column)
{
	AttrNumber	attno = get_attnum(relid, column);

	if (attno == InvalidAttrNumber)
		return false;
	if (attno < 0 || get_attgenerated(relid, attno))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("column \"%s\" of table \"%s\" cannot be the account or a status property",
						column, get_rel_name(relid)),
				 errdetail("The column is a system or generated column, which triggers cannot see or write."),
				 ct_errtable(relid)));
	return true;
}

/*
 * The flag is NULL on most contacts, so that the index of flagged contacts is small, and a
 * column of the application's own must allow that.  Errors: 42P10.
 */
static void
check_nullable(Relation rel, AttrNumber attno)
{
	if (TupleDescAttr(RelationGetDescr(rel), attno - 1)->attnotnull)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("column \"%s\" of table \"%s\" must not be NOT NULL",
						get_attname(RelationGetRelid(rel), attno, false), RelationGetRelationName(rel)),
				 errdetail("The column is true on contacts that are marketing contacts until the next update, and null on all others."),
				 errtablecol(rel, attno)));
}

/* Tell the owner which of his columns will be written from now on. */
static void
tell_of_column(Oid relid, const char *column, const char *key)
{
	ereport(NOTICE,
			(errmsg("existing column \"%s\" of table \"%s\" becomes status property \"%s\"",
					column, get_rel_name(relid), key),
			 errdetail("From now on contacts_tier sets the column.  contacts_tier.detach() does not drop it.")));
}

/*
 * Add the status columns that are missing.  "had" says which were there already, by
 * CtTriggerArg less CT_ARG_STATUS.  The table must not be open, as ALTER TABLE demands
 * (CheckTableNotInUse()).  A column with a constant default is added without rewriting the table
 * (ATExecAddColumn()), however large it is.
 * Errors: 42703 where the account column is missing, 42P10.
 */
static void
add_columns(Oid relid, const char *name, char **args, bool had[CT_NCOLUMNS])
{
	if (args[CT_ARG_ACCOUNT][0] != '\0' && !has_column(relid, args[CT_ARG_ACCOUNT]))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist",
						args[CT_ARG_ACCOUNT], get_rel_name(relid)),
				 errhint("Pass the column that identifies the account, or omit it if the whole table is one account."),
				 ct_errtable(relid)));
	for (int i = 0; i < CT_NCOLUMNS; i++)
	{
		const char *column = args[CT_ARG_STATUS + i];

		had[i] = has_column(relid, column);
		if (had[i])
		{
			tell_of_column(relid, column, status_columns[i].key);
			continue;
		}
		ct_executef("ALTER TABLE %s ADD COLUMN %s %s%s", name,
					quote_identifier(column), status_columns[i].type,
					i == 0 ? " DEFAULT 'non_marketing'" : "");
		ct_executef("COMMENT ON COLUMN %s.%s IS '%s; added by contacts_tier.attach()'",
					name, quote_identifier(column), status_columns[i].comment);
		/* the default was for the contacts that are there, not for new ones */
		if (i == 0)
			ct_executef("ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT",
						name, quote_identifier(column));
	}
}

/* A default of the application's own counts as given, so nothing else decides (S4, S5). */
static void
tell_of_default(Oid relid, const char *name, const char *column, CtTriggerArg which)
{
	bool		is_status = which == CT_ARG_STATUS;

	if (!is_status && which != CT_ARG_SOURCE_TYPE && which != CT_ARG_SOURCE_NAME)
		return;
	ereport(NOTICE,
			(errmsg("default of column \"%s\" of table \"%s\" disables %s", column, get_rel_name(relid),
					is_status ? "defaults by source type" : psprintf("the setting contacts_tier.%s for new contacts",
																	 status_columns[which - CT_ARG_STATUS].key)),
			 errdetail("The default counts as given wherever an INSERT gives no %s.", is_status ? "status" : "source"),
			 errhint("To change that, use ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT.", name, quote_identifier(column))));
}

/*
 * Give the status columns that have no default one that says that nothing was given,
 * and has the library loaded.  A default of the application's own stays, and is told of by a
 * NOTICE if "tells".  The table is
 * opened and closed for each, since ALTER TABLE changes what is known of it.
 */
void
ct_set_defaults(Oid relid, const char *name, char **args, bool tells)
{
	for (int i = 0; i < CT_NCOLUMNS; i++)
	{
		const char *column = args[CT_ARG_STATUS + i];
		Relation	rel = table_open(relid, NoLock);
		Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(rel), get_attnum(relid, column) - 1);
		bool		has_default = attr->atthasdef;
		const char *expression = i == 0 && attr->atttypid == BOOLOID ? BOOLEAN_DEFAULT : status_columns[i].expression;
		bool		tells_of_it = tells && has_default && !ct_has_our_default(rel, attr->attnum);

		table_close(rel, NoLock);
		if (tells_of_it)
			tell_of_default(relid, name, column, CT_ARG_STATUS + i);
		if (!has_default && expression != NULL)
			ct_executef("ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s",
						name, quote_identifier(column), expression);
	}
}

/*
 * The owner needs EXECUTE on our trigger functions: CREATE TRIGGER checks it, and so does
 * CREATE TABLE ... PARTITION OF for the clones (CreateTriggerFiringOn()).  Checked here, the
 * error says what is missing.  Errors: 42501.
 */
static void
check_may_attach(Oid owner)
{
	static const CtFunction functions[] = {
		CT_TRIGGER_STATUS, CT_TRIGGER_COUNT, CT_TRIGGER_APPLY, CT_TRIGGER_TRUNCATE
	};

	for (size_t i = 0; i < lengthof(functions); i++)
		if (!ct_may_execute(ct_function_oid(functions[i]), owner))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied for function %s", format_procedure(ct_function_oid(functions[i]))),
					 errdetail("Role \"%s\" owns the table, so it needs EXECUTE on the functions that attach() uses.",
							   GetUserNameFromId(owner, false)),
					 errhint("Grant it EXECUTE on maintain_status, count_contact, apply_counts, count_truncate and create_companions, all in schema contacts_tier_internal.")));
}

/*
 * The statements that create the index by which rollover finds flagged contacts,
 * on the account, and the primary key, by whose ranges it works; and its comment.
 * ChooseRelationName() gives it a name that no relation of the schema has.  Most contacts are
 * not flagged, so the index is small.  Its predicate calls library_loaded(), by which
 * detach() finds it again.
 */
List *
ct_pending_index_statements(Relation rel, const CtTable *table)
{
	char	   *name = ChooseRelationName(RelationGetRelationName(rel), NULL, "contacts_tier_pending",
										  RelationGetNamespace(rel), false);
	List	   *columns = ct_primary_key(rel);
	AttrNumber	account = table->attno[CT_ARG_ACCOUNT];
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	if (AttributeNumberIsValid(account))
		columns = lcons_int(account, list_delete_int(columns, account));
	if (columns == NIL)
		columns = list_make1_int(table->attno[CT_ARG_UNTIL]);
	foreach(cell, columns)
		appendStringInfo(&buf, "%s%s", buf.len > 0 ? ", " : "",
						 quote_identifier(get_attname(table->relid, lfirst_int(cell), false)));
	return list_make2(psprintf("CREATE INDEX %s ON %s (%s) WHERE %s AND contacts_tier_internal.library_loaded()",
							   quote_identifier(name), ct_qualified_name(rel), buf.data, ct_table_column(table, CT_ARG_UNTIL)),
					  psprintf("COMMENT ON INDEX %s.%s IS"
							   " 'finds contacts that become non-marketing on the next update date; created by contacts_tier.attach()'",
							   quote_identifier(get_namespace_name(RelationGetNamespace(rel))), quote_identifier(name)));
}

/*
 * Attach a locked table, as its owner, in an SPI connection.  The triggers come after the
 * contacts have been counted, or normalising them would fire these.  A table whose row triggers
 * were dropped, without detach(), is counted already: its TRUNCATE trigger says so.
 */
static void
attach_table(Oid relid, const char *name, char **args, bool whole_row_saves)
{
	bool		had[CT_NCOLUMNS];
	bool		is_counted;
	bool		is_distributed = ct_begin_distributed(relid, args[CT_ARG_ACCOUNT]);
	char	   *former_args[CT_NARGS];
	Relation	rel;
	CtTable    *table;
	List	   *create_index;

	/* an attach() that failed may have resolved the table by other names */
	CacheInvalidateRelcacheByRelid(relid);
	CommandCounterIncrement();
	ct_check_partition_owners(relid);
	add_columns(relid, name, args, had);
	args[CT_ARG_OPTIONS] = ct_options(whole_row_saves, had);
	rel = table_open(relid, NoLock);
	table = ct_table_resolve(rel, CT_NARGS, args);
	is_counted = ct_trigger_args(rel, CT_TRIGGER_TRUNCATE, former_args) &&
		strcmp(former_args[CT_ARG_SCHEMA], args[CT_ARG_SCHEMA]) == 0;
	create_index = ct_pending_index_statements(rel, table);
	check_nullable(rel, table->attno[CT_ARG_UNTIL]);
	ct_check_partitions(relid, args);
	ct_create_companions(table, false);
	if (is_distributed)
		ct_distribute_companions(relid, table);
	else
		ct_check_companions_local(table);
	table_close(rel, NoLock);

	ct_execute_each(create_index);
	/* then contacts are counted as they stand */
	if (had[0])
	{
		ct_normalise_contacts(name, table);
		if (!is_counted)
			ct_count_in(table, name);
	}
	ct_create_row_triggers(name, args);
	ct_create_statement_triggers(name, args);
	ct_add_partition_triggers(relid);
	ct_set_defaults(relid, name, args, true);
}

/* Read what attach() was given into the arguments of the triggers, but for the options. */
static void
read_args(FunctionCallInfo fcinfo, Relation rel, char **args)
{
	args[CT_ARG_SCHEMA] = PG_ARGISNULL(3) ? get_namespace_name(RelationGetNamespace(rel)) : NameStr(*PG_GETARG_NAME(3));
	args[CT_ARG_ACCOUNT] = PG_ARGISNULL(1) ? "" : NameStr(*PG_GETARG_NAME(1));
	ct_complete_args(CT_MIN_NARGS, args, args);
	if (!PG_ARGISNULL(1) && args[CT_ARG_ACCOUNT][0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("name of the account column must not be empty"),
				 errhint("Omit the argument if the whole table is one account.")));
	if (!PG_ARGISNULL(2))
		read_columns(PG_GETARG_JSONB_P(2), args);
	check_distinct_columns(args);
}

PG_FUNCTION_INFO_V1(contacts_tier_attach);

/*
 * attach(contacts regclass, account_column name, columns jsonb, companion_schema name,
 * whole_row_saves boolean) void
 *
 * Locks: the table and its partitions, exclusively, since ALTER TABLE and CREATE TRIGGER
 * need it, and contacts are counted that must not change meanwhile.  Errors: 42809, 0A000
 * (not a table that can be attached), 42501 (also where a partition with contacts belongs to
 * another role), 42710 (attached already), those of ct_check_companion_schema() and
 * ct_create_companions(), 42703, 42804 (columns), 22004, 22023.
 */
Datum
contacts_tier_attach(PG_FUNCTION_ARGS)
{
	char	   *args[CT_NARGS];
	Relation	rel;
	CtIdentity	identity;
	Oid			owner;
	char	   *name;

	ct_check_not_null(fcinfo, 0, "contacts");
	ct_check_not_null(fcinfo, 4, "whole_row_saves");
	rel = ct_open_owned(PG_GETARG_OID(0), AccessExclusiveLock);
	(void) find_all_inheritors(PG_GETARG_OID(0), AccessExclusiveLock, NULL);
	check_kind(rel);
	read_args(fcinfo, rel, args);
	owner = rel->rd_rel->relowner;
	check_may_attach(owner);
	name = ct_qualified_name(rel);
	relation_close(rel, NoLock);

	ct_connect_spi();
	ct_manage_as_owner(owner, &identity);
	ct_check_companion_schema(args[CT_ARG_SCHEMA], owner);
	attach_table(PG_GETARG_OID(0), name, args, PG_GETARG_BOOL(4));
	ct_restore_identity(&identity);
	SPI_finish();
	PG_RETURN_VOID();
}
