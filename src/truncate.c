/*-------------------------------------------------------------------------
 *
 * truncate.c
 *	  The trigger that takes contacts off the counters before TRUNCATE.
 *
 * TRUNCATE fires the triggers of each table that it empties, those of partitions
 * too.  So each takes off what is in its own table; a partition that has no such
 * trigger, because it came while event triggers were off, is taken off by the
 * trigger of the table that it belongs to.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "utils/guc.h"

#include "contacts_tier.h"

static void
check_trigger(FunctionCallInfo fcinfo)
{
	TriggerEvent event = ((TriggerData *) fcinfo->context)->tg_event;

	if ((event & (TRIGGER_EVENT_TIMINGMASK | TRIGGER_EVENT_ROW)) != TRIGGER_EVENT_BEFORE ||
		!TRIGGER_FIRED_BY_TRUNCATE(event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" is called by the wrong kind of trigger", "count_truncate"),
				 errhint("Triggers of contacts_tier are made by contacts_tier.attach().")));
}

/*
 * Take a table that is going to be truncated off the counters, as a DELETE of all
 * its contacts would.  What the owner has put on the counter table is evaluated,
 * so the search_path must not be that of the caller.
 */
static void
uncount_table(Relation rel, const CtTable *table)
{
	CtIdentity	identity;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ct_act_as_owner(table->owner, &identity);
	identity.guc_level = NewGUCNestLevel();
	ct_set_safe_search_path();
	ct_uncount(table, psprintf("ONLY %s", ct_qualified_name(rel)), true);
	ct_restore_identity(&identity);
	SPI_finish();
}

/*
 * Take off the partitions below a partitioned table whose own trigger does not do
 * it.
 */
static void
uncount_partitions(Oid parent, char **args)
{
	/* TRUNCATE has locked them */
	List	   *relids = find_inheritance_children(parent, NoLock);
	ListCell   *cell;

	foreach(cell, relids)
	{
		Relation	rel = table_open(lfirst_oid(cell), NoLock);

		if (ct_find_trigger(rel, CT_TRIGGER_TRUNCATE) == NULL)
		{
			if (rel->rd_rel->relkind == RELKIND_RELATION)
				uncount_table(rel, ct_table_resolve(rel, CT_NARGS, args));
			else if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
				uncount_partitions(RelationGetRelid(rel), args);
		}
		table_close(rel, NoLock);
	}
}

PG_FUNCTION_INFO_V1(contacts_tier_count_truncate);

/*
 * count_truncate(): BEFORE TRUNCATE trigger
 *
 * Reads the table, which TRUNCATE has locked exclusively, and locks the counter
 * rows of its accounts until the transaction ends.
 */
Datum
contacts_tier_count_truncate(PG_FUNCTION_ARGS)
{
	CtTable    *table = ct_table_of_trigger(fcinfo, "count_truncate");
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Relation	rel = trigdata->tg_relation;
	char	   *args[CT_NARGS];

	check_trigger(fcinfo);
	/* a former partition may have kept this trigger, and is not counted */
	if (ct_find_trigger(rel, CT_TRIGGER_STATUS) == NULL)
		return PointerGetDatum(NULL);
	ct_complete_args(trigdata->tg_trigger->tgnargs, trigdata->tg_trigger->tgargs, args);
	if (rel->rd_rel->relkind == RELKIND_RELATION)
		uncount_table(rel, table);
	else
		uncount_partitions(RelationGetRelid(rel), args);
	return PointerGetDatum(NULL);
}
