/*-------------------------------------------------------------------------
 *
 * distribute.c
 *	  distribute(): an attached table that outgrew its server becomes one that Citus distributes.
 *
 * The counters and the ledger move to the shards as they are, so that nothing is counted anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

/* Triggers of shards that Citus replicates by statements would count on each node by themselves: 0A000. */
static void
check_replication(Relation rel)
{
	const char *factor = GetConfigOption("citus.shard_replication_factor", true, false);

	if (factor != NULL && strcmp(factor, "1") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot distribute table \"%s\" while citus.shard_replication_factor is %s", RelationGetRelationName(rel), factor),
				 errdetail("Citus would replicate its shards by statements, and triggers would count on each node by themselves."),
				 errhint("SET citus.shard_replication_factor = 1.  To be safe from the loss of a node, give it a standby."),
				 errtable(rel)));
}

/*
 * Which attached tables share the companion tables, and can Citus distribute them all?  Errors: 0A000
 * for tables without an account column, and partitions that others own.
 */
static void
check_distributable(const CtManaged *tables, int ntables)
{
	if (!ct_has_citus())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension \"citus\" is not installed in this database")));
	check_replication(tables[0].rel);
	for (int i = 0; i < ntables; i++)
		if (!AttributeNumberIsValid(tables[i].table->attno[CT_ARG_ACCOUNT]))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot distribute table \"%s\"", RelationGetRelationName(tables[i].rel)),
					 errdetail("The whole table is one account, which must be on one node."),
					 errtable(tables[i].rel)));
}

/* What distribute() knows of a table when it is closed */
typedef struct Distributed
{
	Oid			relid;
	char	   *name;
	char	   *account;		/* its account column */
	char	   *args[CT_NARGS];
	List	   *conditions;		/* statements that create the triggers that
								 * hold them */
} Distributed;

/*
 * Statements that create the triggers anew that hold the conditions of a table (P2, P3), in memory of the
 * caller.
 */
static List *
condition_triggers(Oid relid, MemoryContext context)
{
	uint64		count = ct_executef("SELECT pg_catalog.pg_get_triggerdef(t.oid) FROM pg_catalog.pg_trigger t"
									" WHERE t.tgrelid OPERATOR(pg_catalog.=) %u AND t.tgfoid IN (%u, %u) ORDER BY t.tgname", relid,
									ct_function_oid(CT_TRIGGER_EXISTS), ct_function_oid(CT_TRIGGER_ELIGIBLE));
	List	   *result = NIL;

	for (uint64 i = 0; i < count; i++)
	{
		char	   *statement = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		MemoryContext old = MemoryContextSwitchTo(context);

		result = lappend(result, pstrdup(statement));
		MemoryContextSwitchTo(old);
	}
	return result;
}

/* A guard would look for contacts where they are no more (guard_contact.c): 0A000. */
static void
check_guards(const Distributed *table)
{
	char	   *name;

	ct_executef("SELECT pg_catalog.min(g::pg_catalog.text) FROM contacts_tier_internal.guarded_by(%u) g", table->relid);
	name = ct_result_text(1);
	if (name != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot distribute table \"%s\"", get_rel_name(table->relid)),
				 errdetail("Table \"%s\" is guarded by its contacts, and a guard looks contacts up on its own node.", name),
				 errhint("Drop the guard first, with contacts_tier.unguard(), and use contacts_tier.can_use() where rows are inserted."),
				 ct_errtable(table->relid)));
}

/* Triggers of the application would fire for each row that Citus moves to a shard: 0A000. */
static void
check_triggers(const Distributed *table)
{
	char	   *name;

	ct_executef("SELECT pg_catalog.min(t.tgname::pg_catalog.text) FROM pg_catalog.pg_trigger t"
				" WHERE t.tgrelid OPERATOR(pg_catalog.=) %u AND NOT t.tgisinternal", table->relid);
	name = ct_result_text(1);
	if (name != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot distribute table \"%s\"", get_rel_name(table->relid)),
				 errdetail("Trigger \"%s\" of the application would fire for each contact.", name),
				 errhint("Drop the trigger first.  To create it again, use SET citus.enable_unsafe_triggers = on."),
				 ct_errtable(table->relid)));
}

/*
 * Distribute a table whose triggers were dropped, and create these again: Citus would fire them for
 * each row that it moves to a shard.  The counters move as they are.
 */
static void
distribute_table(Distributed *table, const Distributed *first)
{
	Relation	rel;

	ct_executef("SELECT pg_catalog.create_distributed_table(%s, %s%s)", quote_literal_cstr(table->name),
				quote_literal_cstr(table->account),
				table == first ? "" : psprintf(", colocate_with => %s", quote_literal_cstr(first->name)));
	rel = relation_open(table->relid, NoLock);
	ct_distribute_companions(table->relid, ct_table_resolve(rel, CT_NARGS, table->args));
	relation_close(rel, NoLock);
}

PG_FUNCTION_INFO_V1(contacts_tier_distribute);

/*
 * distribute(contacts regclass) void
 *
 * Has Citus distribute an attached table, by its account column, and the tables that share its
 * companion tables, and these, in one transaction.  Nothing is counted anew, so that history stays.
 *
 * Locks: the tables, exclusively.  Errors: 42501, 55000 (not attached, no Citus), 0A000 (no account column), those
 * of Citus, as for a primary key without the account.
 */
Datum
contacts_tier_distribute(PG_FUNCTION_ARGS)
{
	List	   *relids;
	MemoryContext context = CurrentMemoryContext;
	CtManaged  *managed;
	Distributed *tables;
	CtIdentity	identity;
	Oid			owner;
	int			ntables;

	ct_check_not_null(fcinfo, 0, "contacts");
	ct_check_owner(PG_GETARG_OID(0));
	managed = ct_manage_sharing(PG_GETARG_OID(0), AccessExclusiveLock, &relids);
	ntables = list_length(relids);
	check_distributable(managed, ntables);
	owner = managed[0].table->owner;
	MemoryContextSwitchTo(context); /* what outlives the SPI connections of
									 * these */
	tables = palloc0(sizeof(Distributed) * ntables);
	for (int i = 0; i < ntables; i++)
	{
		tables[i].relid = RelationGetRelid(managed[i].rel);
		(void) ct_trigger_args(managed[i].rel, CT_TRIGGER_STATUS, tables[i].args);
	}
	ct_manage_end_group(managed, ntables);
	for (int i = 0; i < ntables; i++)
	{
		tables[i].name = pstrdup(ct_name_in_statement(tables[i].relid));
		tables[i].account = tables[i].args[CT_ARG_ACCOUNT];
	}

	ct_connect_spi();
	ct_manage_as_owner(owner, &identity);
	ct_allow_distributed_ddl();
	ct_grant_on_nodes();
	ct_distribute_catalogue();
	for (int i = 0; i < ntables; i++)
	{
		tables[i].conditions = condition_triggers(tables[i].relid, context);
		ct_drop_triggers(tables[i].relid);
		check_triggers(&tables[i]);
		check_guards(&tables[i]);
	}
	ct_ddl_forget();
	for (int i = 0; i < ntables; i++)
		distribute_table(&tables[i], &tables[0]);
	for (int i = 0; i < ntables; i++)
	{
		ct_execute_each(tables[i].conditions);
		ct_create_row_triggers(tables[i].name, tables[i].args);
		ct_create_statement_triggers(tables[i].name, tables[i].args);
		ct_add_partition_triggers(tables[i].relid);
	}
	ct_restore_identity(&identity);
	SPI_finish();
	PG_RETURN_VOID();
}
