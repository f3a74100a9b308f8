/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  Which statement is at work.
 *
 * Rows are counted while a statement runs, and judged at its end (frame.c).  A
 * function in one of its expressions, or a trigger, may run statements of its own
 * meanwhile; those must not judge the outer one half-way.  So notes
 * belong to a statement, and so does trust.
 *
 * A statement is known by its QueryDesc, or by its PlannedStmt where it is a COPY
 * or TRUNCATE: an address that no other statement has at the same time.  One
 * that began before this library was loaded is not known; neither is a write
 * without a statement, as the worker of logical replication does it.
 *
 * What is known of a statement is forgotten with its own memory (es_query_cxt), not with a
 * subtransaction: a statement may end before that does, and a portal outlives the
 * one in which it was opened.
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

#include "capture/capture.h"

CtStatementEndHook ct_statement_end_hook = NULL;

/* Outside of all statements, and for those that are not known */
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


/*
 * The statement at work; its key is NULL if it is not known.
 */
CtStatement *
ct_statement(void)
{
	return current;
}

/*
 * Make a statement the one at work, until ct_end_statement(), which must be called after an
 * error, too.  *statement must live as long.
 */
void
ct_begin_statement(CtStatement *statement)
{
	statement->outer = current;
	current = statement;
}

/*
 * Return to the statement that was at work before.
 */
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

/*
 * Can a statement of the executor write anything?
 */
bool
ct_writes(const QueryDesc *query)
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
		 * set_plan_refs() has turned the key into INDEX_VAR, by its number in
		 * the index
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

/* Is the output of a plan one row at most?  It is known of the usual ones: a key, or VALUES. */
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
}

/*
 * Can the statement release no room of an account, whatever its rows are?  A plain INSERT or
 * COPY cannot.  Neither can an UPDATE that does not name the account, since what it demotes is
 * only flagged; the caller must check whether it does.
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
	if (!statement->is_counted && statement->only_adds && statement->query != NULL)
		statement->is_single = puts_out_one_row(outerPlan(statement->query->plannedstmt->planTree));
	statement->is_counted = true;
	return statement->is_single;
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
	entry->statement.end_is_noticed = key != NULL;
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
	if (ct_writes(query))
		(void) remember_started(query, query);
}

/*
 * What is known of a statement; one that started before this library was loaded stays
 * unknown.
 */
CtStatement *
ct_statement_of(QueryDesc *query)
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
