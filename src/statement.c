/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  Which statement is at work.
 *
 * Rows are counted while a statement runs, and judged at its end.  A function in
 * one of its expressions may run statements of its own meanwhile, at the same
 * depth of triggers; those must not judge the outer one half-way.  So what is
 * noted is kept by statement (delta.c).
 *
 * A statement is known by its QueryDesc, or by its parse tree where it is a COPY
 * or TRUNCATE: an address that no other statement has at the same time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"

#include "contacts_tier.h"

/* The statement that runs, or whose triggers fire; NULL where it is not known */
static const void *current = NULL;

/* The last one that has run to its end: only its triggers are left */
static const QueryDesc *has_run = NULL;

/*
 * The statement of our own that is trusted; NULL if there is none.  Trust names the
 * statement: what it makes others run is another one, and is not trusted (R2).
 */
static const void *trusted = NULL;

static ExecutorRun_hook_type previous_run = NULL;
static ExecutorFinish_hook_type previous_finish = NULL;

/*
 * The statement at work.
 */
const void *
ct_statement(void)
{
	return current;
}

/*
 * Go to work on a statement; returns the outer one, which is to be set again when
 * this one has ended, be it by an error.
 */
const void *
ct_set_statement(const void *statement)
{
	const void *outer = current;

	current = statement;
	return outer;
}

/*
 * Trust a statement, as long as it runs; returns the one that was trusted before,
 * which is to be set again when this one has ended, be it by an error.
 */
const void *
ct_set_trusted(const void *statement)
{
	const void *before = trusted;

	trusted = statement;
	return before;
}

/*
 * Is the statement at work one of our own, which writes the status of contacts as it
 * is to be?
 */
bool
ct_is_trusted(void)
{
	return trusted != NULL && trusted == current;
}

static bool
writes(const QueryDesc *query)
{
	return query->operation != CMD_SELECT || query->plannedstmt->hasModifyingCTE;
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
executor_run(QueryDesc *query, ScanDirection direction, uint64 count CT_EXECUTE_ONCE_PARAMETER)
{
	const void *outer;

	if (!writes(query))
	{
		next_run(query, direction, count CT_EXECUTE_ONCE);
		return;
	}
	outer = ct_set_statement(query);
	PG_TRY();
	{
		next_run(query, direction, count CT_EXECUTE_ONCE);
	}
	PG_FINALLY();
	{
		current = outer;
	}
	PG_END_TRY();
	has_run = query;
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
 * The triggers of a statement belong to it.  One that ran before this library was
 * loaded, by its triggers, has run as part of the outer one and stays it.
 */
static void
executor_finish(QueryDesc *query)
{
	const void *outer;

	if (query != has_run)
	{
		next_finish(query);
		return;
	}
	outer = ct_set_statement(query);
	PG_TRY();
	{
		next_finish(query);
	}
	PG_FINALLY();
	{
		current = outer;
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
}
