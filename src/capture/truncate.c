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

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_inherits.h"
#include "storage/bufmgr.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "capture/capture.h"

/*
 * A table that has been taken off the counters, and is going to be emptied.  ExecuteTruncateGuts()
 * fires the BEFORE triggers of all tables before it empties the first one, so a trigger of
 * another table may still write contacts, which nobody would count any more.
 */
typedef struct TakenOff
{
	Oid			relid;
	Oid			filenode;		/* as it was when it was taken off */
	BlockNumber blocks;
	const void *statement;		/* key of the TRUNCATE; NULL if it is not
								 * known */
	SubTransactionId subid;
} TakenOff;

/* In TopTransactionContext */
static List *taken_off = NIL;

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

static void
note_taken_off(Relation rel)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	TakenOff   *note = palloc(sizeof(TakenOff));

	note->relid = RelationGetRelid(rel);
	note->filenode = rel->rd_rel->relfilenode;
	note->blocks = RelationGetNumberOfBlocks(rel);
	note->statement = ct_statement()->key;
	note->subid = GetCurrentSubTransactionId();
	taken_off = lappend(taken_off, note);
	MemoryContextSwitchTo(old);
}

/*
 * Has the table been emptied by now?  It has another file then, or, where it was new in this
 * subtransaction, fewer blocks, unless there were none.  TRUNCATE holds its lock.
 */
static bool
is_emptied(const TakenOff *note)
{
	Relation	rel = try_relation_open(note->relid, NoLock);
	bool		emptied;

	if (rel == NULL)
		return true;
	emptied = rel->rd_rel->relfilenode != note->filenode || RelationGetNumberOfBlocks(rel) < note->blocks;
	relation_close(rel, NoLock);
	return emptied;
}

/*
 * A statement begins: whatever it writes in a table that has been emptied is counted as
 * ever.
 */
void
ct_truncate_look(void)
{
	ListCell   *cell;

	foreach(cell, taken_off)
		if (is_emptied(lfirst(cell)))
			taken_off = foreach_delete_current(taken_off, cell);
}

/*
 * A TRUNCATE has ended, be it by an error.
 */
void
ct_truncate_ends(const CtStatement *statement)
{
	ListCell   *cell;

	foreach(cell, taken_off)
		if (((TakenOff *) lfirst(cell))->statement == statement->key)
			taken_off = foreach_delete_current(taken_off, cell);
}

/*
 * Is a TRUNCATE at work that has taken tables off the counters and not emptied them yet?
 */
bool
ct_is_truncating(void)
{
	return taken_off != NIL;
}

/*
 * Refuse to count a marketing contact in a table that TRUNCATE is about to empty: 55000.
 */
void
ct_check_not_truncated(Oid relid)
{
	ListCell   *cell;

	foreach(cell, taken_off)
		if (((TakenOff *) lfirst(cell))->relid == relid)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("cannot change marketing contacts of \"%s\" while it is truncated", get_rel_name(relid)),
					 errdetail("They have been taken off the counters already."),
					 errhint("Do this before TRUNCATE, or in an AFTER TRUNCATE trigger.")));
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		taken_off = NIL;
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	ListCell   *cell;

	foreach(cell, taken_off)
	{
		TakenOff   *note = lfirst(cell);

		if (note->subid != subid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			note->subid = parent;
		else if (event == SUBXACT_EVENT_ABORT_SUB)
			taken_off = foreach_delete_current(taken_off, cell);
	}
}

/*
 * Register for the ends of transactions and subtransactions.
 */
void
ct_truncate_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
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

	ct_connect_spi();
	ct_act_as_owner(table->owner, &identity);
	identity.guc_level = NewGUCNestLevel();
	ct_set_safe_search_path();
	ct_uncount(table, psprintf("ONLY %s", ct_qualified_name(rel)), true);
	ct_restore_identity(&identity);
	SPI_finish();
	note_taken_off(rel);
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
