/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  Which statement is at work, and where it ends.
 *
 * Rows are counted while a statement runs, and judged at its end (notes.c).  A
 * function in one of its expressions, or a trigger, may run statements of its own
 * meanwhile; those must not judge the outer one half-way.  So what is noted is
 * kept by statement, and so is trust.
 *
 * A statement is known by its QueryDesc, or by its PlannedStmt where it is a COPY
 * or TRUNCATE: an address that no other statement has at the same time.  One
 * that began before this library was loaded is not known; neither is a write
 * without a statement, as the worker of logical replication does it.
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
 * triggers fire with that one's, its notes are handed over, and its tables are kept
 * open until these are applied.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "executor/executor.h"
#include "lib/ilist.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"

#include "contacts_tier.h"

/* What is not known, outside of everything */
static CtStatement unknown = {0};

/* The statement that runs, or whose triggers fire */
static CtStatement *current = &unknown;

/* A statement of the executor that writes, from its start to its end */
typedef struct Started
{
	CtStatement statement;
	slist_node	node;			/* in "started" */
	MemoryContextCallback forget;
} Started;

/* Newest first; others may run statements of their own between a run and its end */
static slist_head started = SLIST_STATIC_INIT(started);

static ExecutorRun_hook_type previous_run = NULL;
static ExecutorFinish_hook_type previous_finish = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

/*
 * The statement at work; its key is NULL if it is not known.
 */
CtStatement *
ct_statement(void)
{
	return current;
}

/*
 * Go to work on a statement, until ct_end_statement(), which is to be called in case
 * of an error as well.  It must live as long.
 */
void
ct_begin_statement(CtStatement *statement)
{
	/* before anything that the caller would have to take back */
	if (ct_is_truncating())
		ct_truncate_look();
	statement->outer = current;
	current = statement;
}

void
ct_end_statement(CtStatement *statement)
{
	current = statement->outer;
}

/*
 * Is the statement at work one of our own, which writes the status of contacts as it
 * is to be?
 */
bool
ct_is_trusted(void)
{
	return ct_is_own_statement(current->key);
}

static bool
writes(const QueryDesc *query)
{
	return query->operation != CMD_SELECT || query->plannedstmt->hasModifyingCTE;
}

/* Does a scan look for one key of a unique index? */
static bool
finds_one_row(const IndexScan *scan)
{
	Relation	index = index_open(scan->indexid, NoLock);	/* the plan has locked
															 * it */
	Form_pg_index form = index->rd_index;
	Bitmapset  *found = NULL;
	ListCell   *cell;
	bool		result;

	foreach(cell, scan->indexqual)
	{
		OpExpr	   *clause = lfirst(cell);
		Var		   *key = IsA(clause, OpExpr) ? linitial(clause->args) : NULL;

		/*
		 * set_plan_refs() has made INDEX_VAR of the key, by its number in the
		 * index
		 */
		if (key != NULL && IsA(key, Var) && key->varno == INDEX_VAR && key->varattno <= form->indnkeyatts &&
			get_op_opfamily_strategy(clause->opno, index->rd_opfamily[key->varattno - 1]) == BTEqualStrategyNumber)
			found = bms_add_member(found, key->varattno);
	}
	result = form->indisunique && form->indimmediate && index->rd_rel->relam == BTREE_AM_OID &&
		bms_num_members(found) == form->indnkeyatts;
	index_close(index, NoLock);
	return result;
}

/* Can a plan put out one row at most?  It is told of the usual ones: a key, or VALUES. */
static bool
puts_out_one_row(const Plan *plan)
{
	if (plan == NULL)
		return false;
	if (IsA(plan, IndexScan))
		return finds_one_row((const IndexScan *) plan);
	return IsA(plan, Result) && outerPlan(plan) == NULL;
}

/* See what the statement can do. */
static void
classify(CtStatement *statement)
{
	QueryDesc  *query = statement->query;
	ModifyTable *plan;

	if (statement->is_classified)
		return;
	statement->is_classified = true;
	if (query == NULL)
	{
		statement->only_adds = statement->key != NULL;
		return;
	}
	plan = (ModifyTable *) query->plannedstmt->planTree;
	if (!IsA(plan, ModifyTable) || query->plannedstmt->hasModifyingCTE ||
		(plan->operation != CMD_INSERT && plan->operation != CMD_UPDATE) ||
		plan->onConflictAction != ONCONFLICT_NONE)
		return;
	statement->only_adds = true;
	statement->is_single = puts_out_one_row(outerPlan(plan));
}

/*
 * Can the statement release no place of an account, whatever its rows are?  A plain
 * INSERT or COPY cannot, nor can an UPDATE that does not name the account, which the caller
 * has to see for himself: what is demoted is only flagged.
 */
bool
ct_only_adds(CtStatement *statement)
{
	classify(statement);
	return statement->only_adds;
}

/*
 * Does it write one row at most, for sure?
 */
bool
ct_writes_one_row(CtStatement *statement)
{
	classify(statement);
	return statement->is_single;
}

static void
next_run(QueryDesc *query, ScanDirection direction, uint64 count CT_EXECUTE_ONCE_PARAMETER)
{
	if (previous_run)
		previous_run(query, direction, count CT_EXECUTE_ONCE);
	else
		standard_ExecutorRun(query, direction, count CT_EXECUTE_ONCE);
}

static void
forget_started(void *arg)
{
	slist_delete(&started, &((Started *) arg)->node);
}

/* Remember a statement as long as its memory lives, also if that ends by an error. */
static CtStatement *
remember_started(QueryDesc *query, const void *key)
{
	Started    *entry = MemoryContextAllocZero(query->estate->es_query_cxt, sizeof(Started));

	entry->statement.key = key;
	entry->statement.query = query;
	slist_push_head(&started, &entry->node);
	entry->forget.func = forget_started;
	entry->forget.arg = entry;
	MemoryContextRegisterResetCallback(query->estate->es_query_cxt, &entry->forget);
	return &entry->statement;
}

/*
 * The executor has started a statement.
 */
void
ct_statement_started(QueryDesc *query)
{
	if (writes(query))
		(void) remember_started(query, query);
}

/* What is known of a statement; one that started before this library was loaded stays unknown. */
static CtStatement *
statement_of(QueryDesc *query)
{
	slist_iter	iter;

	slist_foreach(iter, &started)
	{
		Started    *entry = slist_container(Started, node, iter.cur);

		if (entry->statement.query == query)
			return &entry->statement;
	}
	return remember_started(query, NULL);
}

static void
executor_run(QueryDesc *query, ScanDirection direction, uint64 count CT_EXECUTE_ONCE_PARAMETER)
{
	CtStatement *statement;

	if (!writes(query))
	{
		next_run(query, direction, count CT_EXECUTE_ONCE);
		return;
	}
	statement = statement_of(query);
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

static void
next_finish(QueryDesc *query)
{
	if (previous_finish)
		previous_finish(query);
	else
		standard_ExecutorFinish(query);
}

/*
 * Keep relations open until the end of the statement: CheckTableNotInUse() then refuses to
 * rewrite or drop them, so that the places of rows that were noted in them stay valid.
 */
static void
keep_open(CtStatement *statement, const List *relinfos)
{
	MemoryContext old;
	const ListCell *cell;

	if (statement->query == NULL)
		return;
	old = MemoryContextSwitchTo(statement->query->estate->es_query_cxt);
	foreach(cell, relinfos)
	{
		Relation	rel = ((const ResultRelInfo *) lfirst(cell))->ri_RelationDesc;

		if (list_member_ptr(statement->kept_open, rel))
			continue;
		statement->kept_open = lappend(statement->kept_open, rel);
		RelationIncrementReferenceCount(rel);
	}
	MemoryContextSwitchTo(old);
}

static void
close_kept(CtStatement *statement)
{
	ListCell   *cell;

	foreach(cell, statement->kept_open)
		RelationDecrementReferenceCount(lfirst(cell));
	statement->kept_open = NIL;
}

/*
 * The triggers of a statement belong to it, and what they leave is applied then.
 * Those of a statement that a foreign key runs fire with the outer one's
 * (EXEC_FLAG_SKIP_TRIGGERS, ri_PerformCheck()), which also ends in this resource owner.
 * If that is not known, its end will not be either: then what was noted is applied at once.
 */
static void
finish_statement(CtStatement *statement, QueryDesc *query)
{
	next_finish(query);
	if ((query->estate->es_top_eflags & EXEC_FLAG_SKIP_TRIGGERS) == 0 || statement->outer->key == NULL)
	{
		ct_notes_apply();
		close_kept(statement);
		return;
	}
	ct_notes_hand_over(statement->outer);
	keep_open(statement->outer, query->estate->es_opened_result_relations);
	keep_open(statement->outer, query->estate->es_tuple_routing_result_relations);
}

static void
executor_finish(QueryDesc *query)
{
	CtStatement *statement;

	if (!writes(query))
	{
		next_finish(query);
		return;
	}
	statement = statement_of(query);
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

static bool
copies_in(const PlannedStmt *planned)
{
	return IsA(planned->utilityStmt, CopyStmt) && castNode(CopyStmt, planned->utilityStmt)->is_from;
}

/*
 * COPY and TRUNCATE write rows, or fire our triggers, without an executor's run.  A
 * COPY is taken over where nobody else would miss it (fast_copy.c).
 */
static void
process_utility(PlannedStmt *planned, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	CtStatement statement = {.key = planned};

	if (!copies_in(planned) && !IsA(planned->utilityStmt, TruncateStmt))
	{
		next_utility(planned, query, read_only_tree, context, params, environment, dest, completion);
		return;
	}
	ct_begin_statement(&statement);
	PG_TRY();
	{
		if (!copies_in(planned) || previous_utility != NULL || !ct_copy_fast(planned, query, completion))
			next_utility(planned, query, read_only_tree, context, params, environment, dest, completion);
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
ct_statement_init(void)
{
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = executor_run;
	previous_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = executor_finish;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
