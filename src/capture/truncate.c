/*-------------------------------------------------------------------------
 *
 * truncate.c
 *	  The trigger that counts contacts off before TRUNCATE.
 *
 * TRUNCATE fires the triggers of each table that it empties, those of partitions
 * too.  So each counts off what is in its own table.  A partition that has no such
 * trigger, because it came while event triggers were off, is counted off by the
 * trigger of its parent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "storage/bufmgr.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "capture/capture.h"

/*
 * A table that has been counted off, and is going to be emptied.  ExecuteTruncateGuts() fires
 * the BEFORE triggers of all tables before it empties the first one, so a trigger of another
 * table may still write contacts, which would not be counted any more.
 */
typedef struct CountedOff
{
	CtXactNote	note;
	Oid			relid;
	Oid			filenode;		/* as it was when it was counted off */
	BlockNumber blocks;
	const void *statement;		/* key of the TRUNCATE; NULL if it is not
								 * known */
} CountedOff;

/* Of CountedOff, in TopTransactionContext */
static CtXactList counted_off = {0};

/* BEFORE, for each statement, and TRUNCATE: as attach() created it, or 39P01. */
static void
check_trigger(FunctionCallInfo fcinfo)
{
	TriggerEvent event = ((TriggerData *) fcinfo->context)->tg_event;

	if ((event & (TRIGGER_EVENT_TIMINGMASK | TRIGGER_EVENT_ROW)) != TRIGGER_EVENT_BEFORE ||
		!TRIGGER_FIRED_BY_TRUNCATE(event))
		ct_wrong_trigger_error("count_truncate");
}

/* A table has been counted off: note its file and size before it is emptied. */
static void
note_counted_off(Relation rel)
{
	CountedOff *table = MemoryContextAlloc(TopTransactionContext, sizeof(CountedOff));

	table->relid = RelationGetRelid(rel);
	table->filenode = rel->rd_rel->relfilenode;
	table->blocks = RelationGetNumberOfBlocks(rel);
	table->statement = ct_statement()->key;
	ct_xact_note(&counted_off, &table->note);
}

/*
 * Has the table been emptied by now?  It has another file then, or, where it was new in this
 * subtransaction, fewer blocks, unless there were none.  TRUNCATE holds its lock.
 */
static bool
is_emptied(const CountedOff *table)
{
	Relation	rel = try_relation_open(table->relid, NoLock);
	bool		emptied;

	if (rel == NULL)
		return true;
	emptied = rel->rd_rel->relfilenode != table->filenode || RelationGetNumberOfBlocks(rel) < table->blocks;
	relation_close(rel, NoLock);
	return emptied;
}

/*
 * A statement begins: forget tables that have been emptied, in which rows are counted as
 * usual.
 */
void
ct_truncate_look(void)
{
	slist_mutable_iter iter;

	slist_foreach_modify(iter, &counted_off.notes)
	{
		if (is_emptied(slist_container(CountedOff, note.node, iter.cur)))
			slist_delete_current(&iter);
	}
}

/*
 * A TRUNCATE has ended, also by an error: forget its tables.
 */
void
ct_truncate_ends(const CtStatement *statement)
{
	slist_mutable_iter iter;

	slist_foreach_modify(iter, &counted_off.notes)
	{
		if (slist_container(CountedOff, note.node, iter.cur)->statement == statement->key)
			slist_delete_current(&iter);
	}
}

/*
 * Is there a table that a TRUNCATE has counted off, and not emptied yet?  The worker of logical
 * replication begins no statement that would look.
 */
bool
ct_is_truncating(void)
{
	ct_truncate_look();
	return !slist_is_empty(&counted_off.notes);
}

/*
 * Check that TRUNCATE is not about to empty a table, in which a marketing contact changes.
 * Errors: 55000.
 */
void
ct_check_not_truncated(Oid relid)
{
	slist_iter	iter;

	slist_foreach(iter, &counted_off.notes)
	{
		if (slist_container(CountedOff, note.node, iter.cur)->relid == relid)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("cannot change marketing contacts of table \"%s\" while it is truncated", get_rel_name(relid)),
					 errdetail("The contacts of the table have already been subtracted from the counters."),
					 errhint("Change them before TRUNCATE, or in an AFTER TRUNCATE trigger."),
					 ct_errtable(relid)));
	}
}

/*
 * Add the list of tables that were counted off, so that they end with subtransactions.
 */
void
ct_truncate_init(void)
{
	ct_xact_list_add(&counted_off);
}

/*
 * Count a table off that is going to be truncated, as a DELETE of all its contacts would.
 * Triggers and expressions on the counter table are evaluated, so the search_path must not
 * be that of the caller.
 */
static void
uncount_table(Relation rel, const CtTable *table)
{
	CtIdentity	identity;

	if (ct_is_distributed(RelationGetRelid(rel)))
	{
		ct_check_companions(table);
		ct_check_propagated(table->owner);
	}
	ct_connect_spi();
	ct_act_as_owner(table->owner, &identity);
	identity.guc_level = NewGUCNestLevel();
	ct_set_safe_search_path();
	ct_uncount(table, psprintf("ONLY %s", ct_qualified_name(rel)), true);
	ct_restore_identity(&identity);
	SPI_finish();
	note_counted_off(rel);
}

/*
 * Count off the partitions below a partitioned table that have no trigger of their own.
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

	/*
	 * a former partition may still have this trigger, and is not counted; a
	 * shard gets it when Citus moves it, and its contacts are counted out
	 * with those of the whole table; and Citus can truncate what it has left
	 * in a table that it distributed
	 */
	if (ct_find_trigger(rel, CT_TRIGGER_STATUS) == NULL || ct_is_work_of_citus(RelationGetRelid(rel), InvalidOid))
		return PointerGetDatum(NULL);
	ct_complete_args(trigdata->tg_trigger->tgnargs, trigdata->tg_trigger->tgargs, args);
	if (rel->rd_rel->relkind == RELKIND_RELATION)
		uncount_table(rel, table);
	else
		uncount_partitions(RelationGetRelid(rel), args);
	return PointerGetDatum(NULL);
}
