/*-------------------------------------------------------------------------
 *
 * prune.c
 *	  Statements that cannot touch the status of contacts run without our row
 *	  triggers.
 *
 * The mere existence of a BEFORE UPDATE row trigger makes PostgreSQL lock each
 * row before it updates it, and that of an AFTER UPDATE row trigger makes it
 * fetch the old row again, before any column list or WHEN clause is looked at.
 * On a bulk UPDATE of other columns that costs a quarter of its time.
 *
 * So when an UPDATE starts, and neither its SET list names one of our columns
 * nor a BEFORE trigger of somebody else could change one, our triggers are
 * taken off the executor's private copy of the table's triggers.  That is exact
 * because the copy is judged that will be used: a trigger made later is not in
 * it.  Where the hook is not installed yet, because nothing has loaded the
 * library in the session, the triggers run and find nothing to do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_trigger.h"
#include "executor/executor.h"
#include "optimizer/optimizer.h"
#include "utils/partcache.h"

#include "contacts_tier.h"

static ExecutorStart_hook_type previous_start = NULL;

static bool
sets_any_column(const CtTable *table, const Bitmapset *sets)
{
	for (int i = CT_ARG_ACCOUNT; i < CT_NARGS; i++)
		if (AttributeNumberIsValid(table->attno[i]) &&
			bms_is_member(table->attno[i] - FirstLowInvalidHeapAttributeNumber, sets))
			return true;
	return false;
}

/*
 * Take our triggers off UPDATE in the given copy, and tell the executor which
 * kinds of triggers are left.
 */
static void
remove_update_triggers(TriggerDesc *triggers)
{
	triggers->trig_update_before_row = false;
	triggers->trig_update_after_row = false;
	triggers->trig_update_after_statement = false;
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (ct_function(trigger->tgfoid) != CT_OTHER_FUNCTION)
			trigger->tgtype &= ~TRIGGER_TYPE_UPDATE;
		if (!TRIGGER_FOR_UPDATE(trigger->tgtype))
			continue;
		if (TRIGGER_FOR_BEFORE(trigger->tgtype) && TRIGGER_FOR_ROW(trigger->tgtype))
			triggers->trig_update_before_row = true;
		else if (TRIGGER_FOR_AFTER(trigger->tgtype) && TRIGGER_FOR_ROW(trigger->tgtype))
			triggers->trig_update_after_row = true;
		else if (TRIGGER_FOR_AFTER(trigger->tgtype))
			triggers->trig_update_after_statement = true;
	}
}

/*
 * Can the statement touch no status of a contact in this relation?
 */
static bool
leaves_contacts_alone(ResultRelInfo *relinfo, EState *estate)
{
	Relation	rel = relinfo->ri_RelationDesc;
	const Trigger *keeper;
	CtTable    *table;
	Bitmapset  *sets;

	if (relinfo->ri_TrigDesc == NULL)
		return false;
	keeper = ct_sole_keeper(relinfo->ri_TrigDesc, TRIGGER_TYPE_UPDATE);
	if (keeper == NULL)
		return false;
	sets = ExecGetUpdatedCols(relinfo, estate);
	table = ct_table_resolve(rel, keeper->tgnargs, keeper->tgargs);
	return !sets_any_column(table, sets) && !ct_may_move_rows(rel, table, sets);
}

/*
 * Only plain UPDATEs are pruned: what MERGE and ON CONFLICT update, they lock
 * anyway.  A partitioned table is pruned as a whole or not at all, since the
 * statement trigger of the root applies what row triggers of partitions note.
 * Returns whether it was.
 */
static bool
prune_update(QueryDesc *query)
{
	ListCell   *cell;

	if (query->operation != CMD_UPDATE)
		return false;
	foreach(cell, query->estate->es_opened_result_relations)
		if (!leaves_contacts_alone(lfirst(cell), query->estate))
		return false;
	foreach(cell, query->estate->es_opened_result_relations)
		remove_update_triggers(((ResultRelInfo *) lfirst(cell))->ri_TrigDesc);
	return true;
}

/*
 * Do the work of our row triggers in place where that is possible.
 */
static void
work_in_place(QueryDesc *query)
{
	ModifyTableState *state = (ModifyTableState *) query->planstate;
	MemoryContext old = MemoryContextSwitchTo(query->estate->es_query_cxt);

	for (int i = 0; i < state->mt_nrels; i++)
	{
		ResultRelInfo *relinfo = &state->resultRelInfo[i];
		Trigger    *trigger = ct_find_trigger_in(relinfo->ri_TrigDesc, CT_TRIGGER_STATUS);
		CtInPlace  *in_place;

		if (trigger == NULL || !ct_right_args(trigger->tgnargs))
			continue;
		in_place = palloc0(sizeof(CtInPlace));
		in_place->table = ct_table_resolve(relinfo->ri_RelationDesc, trigger->tgnargs, trigger->tgargs);
		ct_count_in_place(relinfo, in_place);
		if (query->operation != CMD_DELETE)
			ct_keep_in_place(state, i, in_place);
	}
	MemoryContextSwitchTo(old);
}

static bool
is_plain_write(const QueryDesc *query)
{
	return (query->operation == CMD_INSERT || query->operation == CMD_UPDATE || query->operation == CMD_DELETE) &&
		!query->plannedstmt->hasModifyingCTE && IsA(query->planstate, ModifyTableState);
}

static void
executor_start(QueryDesc *query, int flags)
{
	ct_copy_show_triggers();
	if (previous_start)
		previous_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
	if (is_plain_write(query) && !prune_update(query))
		work_in_place(query);
}

/*
 * Install the hook.
 */
void
ct_prune_init(void)
{
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
}
