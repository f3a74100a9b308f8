/*-------------------------------------------------------------------------
 *
 * reset.c
 *	  reset(): empty tables for a test suite.
 *
 * Contacts go by TRUNCATE, which counts them off and fires the application's triggers.  The
 * owner has no privilege to TRUNCATE the ledger; its entries are deleted, as prune_ledger()
 * does it.  What a counter says is of no use without its subscription, so all tables that share the
 * companion tables are emptied together.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "manage/manage.h"

/*
 * TRUNCATE all contacts in one statement, so that they may reference one another.  It wants no
 * table to be open.
 */
static void
truncate_contacts(CtManaged *tables, int ntables, bool cascade)
{
	const CtTable *table = tables[0].table;
	int			level = NewGUCNestLevel();
	StringInfoData buf;

	initStringInfo(&buf);
	for (int i = 0; i < ntables; i++)
	{
		appendStringInfo(&buf, "%s%s", i == 0 ? "TRUNCATE " : ", ", ct_qualified_name(tables[i].rel));
		ct_manage_close_table(&tables[i]);
	}
	if (cascade)
		appendStringInfoString(&buf, " CASCADE");
	/* as in a session of the owner: triggers of the application fire (R3) */
	ct_set_for_now("search_path", ct_owner_search_path(table->owner, table->relid));
	ct_execute(buf.data, 0, NULL, NULL, NULL);
	AtEOXact_GUC(false, level);
}

/*
 * Count contacts that a trigger of the application has written when the tables were truncated
 * (C1).  It may have detached or dropped a table, too.
 */
static void
count_written(List *relids)
{
	ListCell   *cell;

	foreach(cell, relids)
	{
		Relation	rel = try_relation_open(lfirst_oid(cell), NoLock);
		CtTable    *table = rel == NULL ? NULL : ct_table_of_relation(rel);

		if (table != NULL)
			ct_count_in(table, ct_qualified_name(rel));
		if (rel != NULL)
			relation_close(rel, NoLock);
	}
}

/* Empty a ledger that Citus distributes: nodes look at the owner's privileges, who may not delete entries otherwise. */
static void
empty_distributed_ledger(const CtTable *table)
{
	ct_allow_distributed_ddl();
	ct_execute(ct_sqlf(table, "GRANT DELETE ON {ledger} TO %s", quote_identifier(GetUserNameFromId(table->owner, false))), 0, NULL, NULL, NULL);
	ct_execute_latest(ct_sql(table, "DELETE FROM {ledger}"));
	ct_restate_ledger_privileges(table);
}

static void
empty_companions(const CtTable *table)
{
	Relation	ledger = ct_open_companion(table, CT_LEDGER, RowExclusiveLock);

	ct_execute_latest(ct_sql(table, "DELETE FROM {counter}"));
	ct_execute_latest(ct_sql(table, "DELETE FROM {account}"));
	if (ct_is_distributed(RelationGetRelid(ledger)))
		empty_distributed_ledger(table);
	else
		ct_execute_unchecked_by_index(RelationGetRelid(ledger), ct_sql(table, "DELETE FROM {ledger}"));
	table_close(ledger, NoLock);
}

PG_FUNCTION_INFO_V1(contacts_tier_reset);

/*
 * reset(contacts regclass, cascade boolean) void
 *
 * Locks: the attached tables that share companion tables, exclusively, in the order of their
 * OIDs, and all rows of the companion tables.  Errors: 0A000 where other tables reference the contacts,
 * 22004, 25006, 42501, 55000 (not attached; a statement on contacts is running).
 */
Datum
contacts_tier_reset(PG_FUNCTION_ARGS)
{
	List	   *relids;
	CtManaged  *tables;

	ct_check_not_null(fcinfo, 0, "contacts");
	ct_check_not_null(fcinfo, 1, "cascade");
	PreventCommandIfReadOnly("reset()");
	PreventCommandIfParallelMode("reset()");
	ct_check_owner(PG_GETARG_OID(0));
	tables = ct_manage_sharing(PG_GETARG_OID(0), AccessExclusiveLock, &relids);
	truncate_contacts(tables, list_length(relids), PG_GETARG_BOOL(1));
	empty_companions(tables[0].table);
	count_written(relids);
	ct_source_forget();
	ct_manage_end_group(tables, list_length(relids));
	PG_RETURN_VOID();
}
