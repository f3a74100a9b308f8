/*-------------------------------------------------------------------------
 *
 * hooks.c
 *	  Where statements begin to work, and where what they noted is applied.
 *
 * No note outlives its statement (R1).  It is applied
 *	 - at the end of the executor's run or of the COPY, after all triggers of the
 *	   statement: what is written again then is the last that those see of it, and
 *	   rows of all tables that it writes have been noted;
 *	 - where the statement is not known, by the statement trigger of the table that
 *	   it names;
 *	 - where no such trigger will fire either (logical replication), at once, row by
 *	   row (trigger_count.c).
 * A statement that a foreign key runs is part of the one that caused it: its
 * triggers fire with those of that statement, its notes are handed over, and its tables
 * stay open until these are applied.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"

#include "capture/capture.h"

static ExecutorRun_hook_type previous_run = NULL;
static ExecutorFinish_hook_type previous_finish = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

/* ExecutorRun(), as it would be without us */
static void
next_run(QueryDesc *query, ScanDirection direction, uint64 count CT_EXECUTE_ONCE_PARAMETER)
{
	if (previous_run)
		previous_run(query, direction, count CT_EXECUTE_ONCE);
	else
		standard_ExecutorRun(query, direction, count CT_EXECUTE_ONCE);
}

/*
 * ExecutorRun_hook.  A portal runs its statement in several parts; it is at work in
 * each of them, and what it noted waits for ExecutorFinish.
 */
static void
executor_run(QueryDesc *query, ScanDirection direction, uint64 count CT_EXECUTE_ONCE_PARAMETER)
{
	CtStatement *statement;

	if (!ct_writes(query))
	{
		next_run(query, direction, count CT_EXECUTE_ONCE);
		return;
	}
	statement = ct_statement_of(query);
	ct_truncate_look();
	ct_begin_statement(statement);
	PG_TRY();
	{
		next_run(query, direction, count CT_EXECUTE_ONCE);
	}
	PG_FINALLY();
	{
		ct_end_statement(statement);
	}
	PG_END_TRY();
}

/* ExecutorFinish(), which fires the AFTER triggers that are not deferred */
static void
next_finish(QueryDesc *query)
{
	if (previous_finish)
		previous_finish(query);
	else
		standard_ExecutorFinish(query);
}

/*
 * Hold relations open until the end of the statement.  CheckTableNotInUse() then refuses to
 * rewrite or drop them, so the places of rows that were noted in them stay valid.
 */
static void
hold_open(CtStatement *statement, const List *relinfos)
{
	MemoryContext old;
	const ListCell *cell;

	if (statement->query == NULL)
		return;
	old = MemoryContextSwitchTo(statement->query->estate->es_query_cxt);
	foreach(cell, relinfos)
	{
		Relation	rel = ((const ResultRelInfo *) lfirst(cell))->ri_RelationDesc;

		if (list_member_ptr(statement->held_open, rel))
			continue;
		statement->held_open = lappend(statement->held_open, rel);
		RelationIncrementReferenceCount(rel);
	}
	MemoryContextSwitchTo(old);
}

/* What the statement has noted is applied: its relations may be rewritten again. */
static void
close_held(CtStatement *statement)
{
	ListCell   *cell;

	foreach(cell, statement->held_open)
		RelationDecrementReferenceCount(lfirst(cell));
	statement->held_open = NIL;
}

/* The rows of a statement are written, and its triggers have fired: tell who wants to know. */
static void
statement_ended(const CtStatement *statement)
{
	if (ct_statement_end_hook != NULL)
		ct_statement_end_hook(statement);
}

/*
 * The triggers of a statement belong to it; what they note is applied after them.  Those of a
 * statement that a foreign key runs fire with those of the outer one
 * (EXEC_FLAG_SKIP_TRIGGERS, ri_PerformCheck()), which also ends in this resource owner.  If
 * the outer one is not known, its end is not, either: then what was noted is applied at
 * once.
 */
static void
finish_statement(CtStatement *statement, QueryDesc *query)
{
	next_finish(query);
	statement_ended(statement);
	if ((query->estate->es_top_eflags & EXEC_FLAG_SKIP_TRIGGERS) == 0 || statement->outer->key == NULL)
	{
		ct_notes_apply();
		close_held(statement);
		return;
	}
	ct_notes_hand_over(statement->outer);
	hold_open(statement->outer, query->estate->es_opened_result_relations);
	hold_open(statement->outer, query->estate->es_tuple_routing_result_relations);
}

/*
 * ExecutorFinish_hook: the ordinary end.  standard_ExecutorFinish() fires the AFTER triggers of
 * the statement, and the caller's snapshot is still active.
 */
static void
executor_finish(QueryDesc *query)
{
	CtStatement *statement;

	if (!ct_writes(query))
	{
		next_finish(query);
		return;
	}
	statement = ct_statement_of(query);
	ct_truncate_look();
	ct_begin_statement(statement);
	PG_TRY();
	{
		finish_statement(statement, query);
	}
	PG_FINALLY();
	{
		ct_end_statement(statement);
	}
	PG_END_TRY();
}

/* ProcessUtility(), as it would be without us */
static void
next_utility(PlannedStmt *statement, const char *query, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	if (previous_utility)
		previous_utility(statement, query, read_only_tree, context, params, environment, dest, completion);
	else
		standard_ProcessUtility(statement, query, read_only_tree, context, params, environment, dest, completion);
}

/* Is it a COPY FROM? */
static bool
copies_in(const PlannedStmt *planned)
{
	return IsA(planned->utilityStmt, CopyStmt) && castNode(CopyStmt, planned->utilityStmt)->is_from;
}

/*
 * COPY and TRUNCATE write rows, or fire our triggers, without an executor's run.  A
 * COPY is done here unless another hook would miss it (fast_copy.c).
 */
static void
process_utility(PlannedStmt *planned, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	CtStatement statement = {.key = planned,.end_is_noticed = true};

	if (IsA(planned->utilityStmt, VariableSetStmt))
		ct_propagated_set();
	if (!copies_in(planned) && !IsA(planned->utilityStmt, TruncateStmt))
	{
		next_utility(planned, query, read_only_tree, context, params, environment, dest, completion);
		return;
	}
	ct_truncate_look();
	ct_begin_statement(&statement);
	PG_TRY();
	{
		if (!copies_in(planned) || previous_utility != NULL || !ct_copy_fast(planned, query, completion))
			next_utility(planned, query, read_only_tree, context, params, environment, dest, completion);
		statement_ended(&statement);
		ct_notes_apply();
	}
	PG_FINALLY();
	{
		ct_truncate_ends(&statement);
		ct_end_statement(&statement);
	}
	PG_END_TRY();
}

/*
 * Install the hooks.
 */
void
ct_hooks_init(void)
{
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = executor_run;
	previous_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = executor_finish;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
