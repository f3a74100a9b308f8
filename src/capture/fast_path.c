/*-------------------------------------------------------------------------
 *
 * fast_path.c
 *	  Which statements do without our row triggers.
 *
 * If there is a BEFORE UPDATE row trigger, PostgreSQL locks each row before it updates
 * it, and if there is an AFTER UPDATE row trigger, it fetches the old row again, before it
 * looks at column lists and WHEN clauses.  For a BEFORE INSERT row trigger it forms a
 * tuple of each new row.  So when a statement starts, each relation that it writes is
 * classified:
 *
 *	 NONE	  the triggers fire
 *	 PRUNE	  an UPDATE that neither names one of our columns nor has a BEFORE
 *			  trigger of the application that could change one: none of ours fires
 *	 PROJECT  a plain INSERT or UPDATE of a table without other BEFORE row triggers:
 *			  the projection that puts the new row together does what the status
 *			  trigger would (fast_project.c)
 *	 COUNT	  rows are counted where they are written (fast_count.c)
 *
 * PROJECT and COUNT go together or alone, but an INSERT has no PROJECT without COUNT.
 * It is the statement's private description of the triggers that is judged and changed
 * (triggers.c), so what is judged is what will be used.  What these ways do is what the
 * triggers do, by the same functions; with contacts_tier.fast_path off the triggers do it.
 *
 * What makes it sound:
 *
 *	 standard_ExecutorStart() has opened each relation that the plan names by
 *	 ExecInitResultRelation(), which lists it in es_opened_result_relations, and has
 *	 written no row yet.  If a release opened some later, their triggers would fire, which is
 *	 slower and correct.  Partitions that rows are routed to are
 *	 opened later (ExecInitPartitionInfo()), and so left to the triggers.
 *
 *	 ExecUpdatePrologue() and ExecARUpdateTriggers() decide by trig_update_before_row
 *	 and trig_update_after_row of the private description whether a row is locked
 *	 and fetched; without our triggers they are false.  If they looked elsewhere,
 *	 PRUNE would gain nothing.
 *
 *	 ExecGetUpdatedCols() are the columns that the statement names, and BEFORE triggers
 *	 alone can change others in a plain table; so PRUNE demands that there are none.
 *	 Generated columns are none of ours.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_trigger.h"
#include "executor/executor.h"

#include "capture/capture.h"

/* Ways of a relation in a statement; a set of bits */
#define FAST_NONE		0
#define FAST_PRUNE		(1 << 0)
#define FAST_PROJECT	(1 << 1)
#define FAST_COUNT		(1 << 2)

static ExecutorStart_hook_type previous_start = NULL;

/* Does an UPDATE name a column of a contact that matters to us? */
static bool
sets_any_column(const CtTable *table, const Bitmapset *sets)
{
	return ct_row_is_set(table, sets) || ct_condition_reads(table->exists, sets) || ct_condition_reads(table->eligible, sets);
}

/* A relation of a statement, while it is judged */
typedef struct Candidate
{
	ResultRelInfo *relinfo;
	CmdType		operation;
	Bitmapset  *sets;			/* columns that an UPDATE names */
	CtTriggers	triggers;		/* of the private description */
	const CtTable *table;		/* as the arguments of our trigger have it */
	int			ways;			/* FAST_ bits: what can be done */
} Candidate;

/* Can an UPDATE touch no status of a contact in this relation? */
static bool
can_prune(const Candidate *candidate)
{
	return candidate->operation == CMD_UPDATE && candidate->triggers.is_sole &&
		!sets_any_column(candidate->table, candidate->sets) &&
		!ct_may_move_rows(candidate->relinfo->ri_RelationDesc, candidate->table, candidate->sets);
}

/*
 * Can the projection do the work of the status trigger?  It must be the only BEFORE trigger,
 * and the relation must not have a projection yet, as another extension could have given
 * it one.
 */
static bool
can_project(const Candidate *candidate)
{
	return (candidate->operation == CMD_INSERT || candidate->operation == CMD_UPDATE) &&
		candidate->triggers.has_plain_status && candidate->triggers.is_sole &&
		!candidate->relinfo->ri_projectNewInfoValid;
}

/*
 * Can rows be counted where they are written?  Not where an UPDATE, or a BEFORE trigger in
 * it, may move them to another partition.
 */
static bool
can_count(const Candidate *candidate)
{
	Relation	rel = candidate->relinfo->ri_RelationDesc;

	return rel->rd_rel->relkind == RELKIND_RELATION && candidate->triggers.count != NULL &&
		!(candidate->operation == CMD_UPDATE && rel->rd_rel->relispartition &&
		  (!candidate->triggers.is_sole || ct_may_move_rows(rel, candidate->table, candidate->sets)));
}

/* The event of the triggers that a statement fires, one of TRIGGER_TYPE_ bits */
static int16
event_of(const QueryDesc *query)
{
	return query->operation == CMD_INSERT ? TRIGGER_TYPE_INSERT :
		query->operation == CMD_UPDATE ? TRIGGER_TYPE_UPDATE : TRIGGER_TYPE_DELETE;
}

/*
 * What can be done in one relation of a statement that writes one table.  Asked of the relation
 * that was judged last, it says the same again.
 */
static int
classify(Candidate *candidate, ResultRelInfo *relinfo, const QueryDesc *query)
{
	Trigger    *status;

	if (candidate->relinfo == relinfo)
		return candidate->ways;
	candidate->relinfo = relinfo;
	candidate->operation = query->operation;
	candidate->ways = FAST_NONE;
	if (!ct_triggers_are_private(relinfo))
		return FAST_NONE;
	candidate->triggers = ct_judge_triggers(relinfo->ri_TrigDesc,
											event_of(query));
	status = candidate->triggers.status;
	if (status == NULL)
		return FAST_NONE;
	candidate->table = ct_table_resolve(relinfo->ri_RelationDesc, status->tgnargs, status->tgargs);
	candidate->sets = query->operation == CMD_UPDATE ? ExecGetUpdatedCols(relinfo, query->estate) : NULL;
	if (can_prune(candidate))
		return candidate->ways = FAST_PRUNE;
	if (can_count(candidate))
		candidate->ways |= FAST_COUNT;

	/*
	 * CtDecision says which new rows are by default, but only if they are
	 * counted where they are written
	 */
	if (can_project(candidate) && (query->operation != CMD_INSERT || candidate->ways == FAST_COUNT))
		candidate->ways |= FAST_PROJECT;
	return candidate->ways;
}

/*
 * Create what a relation on the fast path needs, in a memory context of the statement.  The
 * CtTable must live as long.
 */
CtFastPath *
ct_create_fast_path(const CtTable *table, MemoryContext context)
{
	CtFastPath *fast = MemoryContextAllocZero(context, sizeof(CtFastPath));

	fast->table = table;
	fast->source.context = context;
	return fast;
}

/*
 * A partitioned table is pruned as a whole or not at all, since the statement trigger
 * of the root applies what row triggers of partitions note.
 */
static bool
prune_update(QueryDesc *query, Candidate *candidate)
{
	ListCell   *cell;

	if (query->operation != CMD_UPDATE)
		return false;
	foreach(cell, query->estate->es_opened_result_relations)
	{
		if (classify(candidate, lfirst(cell), query) != FAST_PRUNE)
			return false;
	}
	foreach(cell, query->estate->es_opened_result_relations)
		ct_remove_triggers(lfirst(cell), CT_REMOVE_STATUS | CT_REMOVE_COUNT | CT_REMOVE_APPLY,
						   TRIGGER_TYPE_UPDATE);
	return true;
}

/*
 * Project and count what can be.  What is noted is applied at the end of the statement, which is
 * known, so the statement trigger has nothing to do.
 */
static void
project_and_count(QueryDesc *query, Candidate *candidate)
{
	ModifyTableState *state = castNode(ModifyTableState, query->planstate);
	MemoryContext old = MemoryContextSwitchTo(query->estate->es_query_cxt);

	for (int i = 0; i < state->mt_nrels; i++)
	{
		ResultRelInfo *relinfo = &state->resultRelInfo[i];
		int			removed = CT_REMOVE_APPLY;
		int			ways = classify(candidate, relinfo, query);
		CtFastPath *fast;

		if (ways == FAST_NONE || ways == FAST_PRUNE)
			continue;
		fast = ct_create_fast_path(candidate->table, CurrentMemoryContext);
		fast->has_followers = candidate->triggers.has_followers;
		if ((ways & FAST_COUNT) != 0)
		{
			ct_fast_count(relinfo, candidate->triggers.count, fast);
			if (candidate->triggers.is_alone)
				fast->alone = relinfo;
		}
		if ((ways & FAST_PROJECT) != 0 &&
			ct_fast_project(state, i, fast, (ways & FAST_COUNT) != 0 ? CT_COUNTED_AT_ONCE : CT_COUNTED_MAYBE))
			removed |= CT_REMOVE_STATUS;
		ct_remove_triggers(relinfo, removed, event_of(query));
	}
	MemoryContextSwitchTo(old);
}

/*
 * Statements that write one table, and not by MERGE, which locks what it updates anyway.
 * While a row waits for its second write, statements must look at all rows.
 */
static bool
may_be_fast(const QueryDesc *query)
{
	return ct_fast_path &&
		(query->operation == CMD_INSERT || query->operation == CMD_UPDATE || query->operation == CMD_DELETE) &&
		!query->plannedstmt->hasModifyingCTE && IsA(query->planstate, ModifyTableState) &&
		!ct_second_writes_wait();
}

/*
 * ExecutorStart_hook.  EXCLUDED is replaced before the executor reads the plan, and the ways are
 * chosen after that.  EXPLAIN without ANALYZE runs nothing, and shows the triggers as they
 * are.
 */
static void
executor_start(QueryDesc *query, int flags)
{
	MemoryContext memory = NULL;
	Candidate	candidate = {0};

	if (query->operation == CMD_INSERT || query->plannedstmt->hasModifyingCTE)
		query->plannedstmt = ct_replace_excluded(query->plannedstmt, &memory);
	if (previous_start)
		previous_start(query, flags);
	else
		standard_ExecutorStart(query, flags);

	/*
	 * it ends with the statement: a function may run thousands of them in one
	 * context
	 */
	if (memory != NULL)
		MemoryContextSetParent(memory, query->estate->es_query_cxt);
	ct_statement_started(query);
	ct_fire_at_once(query->estate);
	if ((flags & EXEC_FLAG_EXPLAIN_ONLY) == 0 && may_be_fast(query) && !prune_update(query, &candidate))
		project_and_count(query, &candidate);
}

/*
 * Install the hook.
 */
void
ct_fast_path_init(void)
{
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
}
