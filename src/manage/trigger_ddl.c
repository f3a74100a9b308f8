/*-------------------------------------------------------------------------
 *
 * trigger_ddl.c
 *	  The triggers that a managed table gets, and its contacts as they must be then.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

/*
 * Names of the triggers, in whose order they fire.  The BEFORE trigger comes
 * last, to judge the row as the application's own leave it; the AFTER trigger
 * comes first, so that what a row releases is noted when theirs run statements.
 */
#define STATUS_TRIGGER		"zz_contacts_tier_status"
#define COUNT_TRIGGER		"aa_contacts_tier_count"
#define APPLY_TRIGGER		"contacts_tier_apply"
#define TRUNCATE_TRIGGER	"contacts_tier_truncate"

static const struct
{
	CtFunction	function;
	const char *comment;
}			triggers[] = {

	{CT_TRIGGER_STATUS,
	"decides the marketing status of each contact before it is written"},
	{CT_TRIGGER_COUNT,
	"notes what each changed contact means for the counters of its account"},
	{CT_TRIGGER_APPLY,
	"applies the noted changes to the counters and enforces the contact tier at the end of each statement"},
	{CT_TRIGGER_TRUNCATE,
	"subtracts truncated contacts from the counters, and makes the table depend on its companion tables"}
};

/*
 * Contacts that have a status already: correct what the rules do not allow.  What is not
 * clearly marketing becomes non-marketing, as nothing is counted that was not promoted.
 * "name" is the table as in a statement.  The caller is the owner.
 */
void
ct_normalise_contacts(const char *name, const CtTable *table)
{
	const char *status = ct_table_column(table, CT_ARG_STATUS);
	const char *until = ct_table_column(table, CT_ARG_UNTIL);
	const char *marketing = ct_status_condition(&table->status, status);
	const char *remains_marketing = AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]) ?
		psprintf("%s AND %s IS NOT NULL", marketing, ct_table_column(table, CT_ARG_ACCOUNT)) : marketing;

	ct_execute_as_application(table->owner, table->relid,
							  psprintf("UPDATE %1$s SET"
									   " %2$s = CASE WHEN %4$s THEN %6$s ELSE %7$s END,"
									   " %3$s = CASE WHEN %4$s AND %3$s THEN true END"
									   " WHERE %2$s IS NULL OR NOT %3$s"
									   " OR ((%5$s OR %3$s) AND (%4$s) IS NOT TRUE)",
									   name, status, until, remains_marketing, marketing,
									   ct_status_literal(&table->status, true),
									   ct_status_literal(&table->status, false)),
							  0, NULL, NULL);
}

/*
 * The trigger arguments as they are written in CREATE TRIGGER, without columns
 * of the default name, and no options, at the end.
 */
static char *
argument_list(char **args)
{
	StringInfoData buf;
	int			nargs = CT_NARGS;

	while (nargs > CT_MIN_NARGS && strcmp(args[nargs - 1], ct_default_columns[nargs - 1]) == 0)
		nargs--;
	initStringInfo(&buf);
	for (int i = 0; i < nargs; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", quote_literal_cstr(args[i]));
	return buf.data;
}

/* What a trigger of ours is for, or NULL if the function is not one of a trigger. */
static const char *
comment_of(CtFunction function)
{
	for (size_t i = 0; i < lengthof(triggers); i++)
		if (triggers[i].function == function)
			return triggers[i].comment;
	return NULL;
}

/*
 * Our triggers of a relation, with their functions, in SPI_tuptable; also the number of them.
 * By their functions, since the owner of the table may have renamed a trigger.
 */
static uint64
find_triggers(const char *name, const char *condition)
{
	return ct_executef("SELECT pg_catalog.quote_ident(t.tgname), t.tgfoid FROM pg_catalog.pg_trigger t"
					   " WHERE t.tgrelid OPERATOR(pg_catalog.=) %s::pg_catalog.regclass AND %s"
					   " AND t.tgfoid IN (%u, %u, %u, %u) ORDER BY t.tgname",
					   quote_literal_cstr(name), condition,
					   ct_function_oid(CT_TRIGGER_STATUS), ct_function_oid(CT_TRIGGER_COUNT),
					   ct_function_oid(CT_TRIGGER_APPLY), ct_function_oid(CT_TRIGGER_TRUNCATE));
}

/*
 * Say what our triggers of a relation are for.  PostgreSQL does not copy comments to
 * the clones of row triggers.
 */
static void
comment_on_triggers(const char *name)
{
	uint64		count = find_triggers(name, "true");
	SPITupleTable *found = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;
		Datum		function = SPI_getbinval(found->vals[i], found->tupdesc, 2, &isnull);

		ct_executef("COMMENT ON TRIGGER %s ON %s IS '%s; created by contacts_tier.attach()'",
					SPI_getvalue(found->vals[i], found->tupdesc, 1), name,
					comment_of(ct_function(DatumGetObjectId(function))));
	}
}

/*
 * Create the TRUNCATE trigger, by this quoted name, or create it anew.  Its WHEN clause is always
 * true; it is there for the dependencies that it brings: the companion tables cannot be
 * dropped under an attached table, nor after a dump and restore.  Where Citus distributes them, it has
 * none: a node that is added gets triggers before it gets all tables.
 */
void
ct_create_truncate_trigger(const char *trigger, const char *name, char **args)
{
	CtNames		names;
	bool		distributed;

	ct_names_resolve(&names, InvalidOid, args[CT_ARG_SCHEMA]);
	distributed = ct_is_distributed(ct_companion_relid(&names, CT_ACCOUNT));
	ct_execute(ct_names_sqlf(&names, "CREATE OR REPLACE TRIGGER %s"
							 " BEFORE TRUNCATE ON %s FOR EACH STATEMENT%s"
							 " EXECUTE FUNCTION contacts_tier_internal.count_truncate(%s)", trigger, name,
							 distributed ? "" : ct_names_sqlf(&names, " WHEN (NULL::{account} IS NULL AND NULL::{counter} IS NULL"
															  " AND NULL::{ledger} IS NULL)"), argument_list(args)),
			   0, NULL, NULL, NULL);
}

/* Create one of our triggers, by its own name.  A statement trigger may be there already. */
static void
create_trigger(CtFunction kind, const char *name, char **args)
{
	if (kind == CT_TRIGGER_STATUS)
		ct_executef("CREATE TRIGGER " STATUS_TRIGGER
					" BEFORE INSERT OR UPDATE ON %s FOR EACH ROW"
					" EXECUTE FUNCTION contacts_tier_internal.maintain_status(%s)", name, argument_list(args));
	else if (kind == CT_TRIGGER_COUNT)
		ct_executef("CREATE TRIGGER " COUNT_TRIGGER
					" AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW"
					" EXECUTE FUNCTION contacts_tier_internal.count_contact(%s)", name, argument_list(args));
	else if (kind == CT_TRIGGER_APPLY)
		ct_executef("CREATE OR REPLACE TRIGGER " APPLY_TRIGGER
					" AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH STATEMENT"
					" EXECUTE FUNCTION contacts_tier_internal.apply_counts()", name);
	else
		ct_create_truncate_trigger(TRUNCATE_TRIGGER, name, args);
}

/*
 * Statement triggers, which partitions do not inherit.  A former partition may have such
 * triggers already.  Of a partition, they also say that its contacts are counted
 * (partition.c).  The row triggers must be there: all of them get their comments.
 */
void
ct_create_statement_triggers(const char *name, char **args)
{
	create_trigger(CT_TRIGGER_APPLY, name, args);
	create_trigger(CT_TRIGGER_TRUNCATE, name, args);
	comment_on_triggers(name);
}

/*
 * Create the row triggers of a managed table; partitions get clones of them
 * (CloneRowTriggersToPartition()).
 */
void
ct_create_row_triggers(const char *name, char **args)
{
	create_trigger(CT_TRIGGER_STATUS, name, args);
	create_trigger(CT_TRIGGER_COUNT, name, args);
}

/*
 * Create those triggers of an attached table again that are missing.  The owner may have
 * renamed the others.
 */
void
ct_restore_triggers(Oid relid, const char *name, char **args)
{
	bool		created = false;

	for (size_t i = 0; i < lengthof(triggers); i++)
	{
		Relation	rel = table_open(relid, NoLock);
		bool		exists = ct_find_trigger(rel, triggers[i].function) != NULL;

		table_close(rel, NoLock);
		if (exists)
			continue;
		create_trigger(triggers[i].function, name, args);
		created = true;
	}
	if (created)
		comment_on_triggers(name);
}

/* Drop the triggers of one relation.  Those that are clones go with their parents. */
static void
drop_triggers_of(const char *name)
{
	uint64		count = find_triggers(name, "t.tgparentid OPERATOR(pg_catalog.=) 0");
	SPITupleTable *found = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
		ct_executef("DROP TRIGGER %s ON %s", SPI_getvalue(found->vals[i], found->tupdesc, 1), name);
}

/* Drop the triggers that hold the conditions of a table, and so their clones. */
static void
drop_conditions(Oid root, const char *name)
{
	uint64		count = ct_executef("SELECT pg_catalog.quote_ident(tgname) FROM pg_catalog.pg_trigger"
									" WHERE tgrelid = %u AND tgfoid IN (%u, %u)", root,
									ct_function_oid(CT_TRIGGER_EXISTS), ct_function_oid(CT_TRIGGER_ELIGIBLE));
	SPITupleTable *found = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
		ct_executef("DROP TRIGGER %s ON %s", SPI_getvalue(found->vals[i], found->tupdesc, 1), name);
}

/*
 * Drop the triggers that attach() created on a table and its partitions, none of
 * which may be open.  Row triggers of partitions go with that of the root.
 */
void
ct_drop_triggers(Oid root)
{
	List	   *relids = find_all_inheritors(root, AccessExclusiveLock, NULL);
	ListCell   *cell;

	foreach(cell, relids)
	{
		Oid			relid = lfirst_oid(cell);
		char	   *name;

		if (get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE)
			continue;
		/* it is locked, so it is there */
		name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
		drop_triggers_of(name);
		/* last: they must not go while the table is attached (ddl_drop.c) */
		if (relid == root)
			drop_conditions(root, name);
	}
}
