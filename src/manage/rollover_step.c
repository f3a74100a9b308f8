/*-------------------------------------------------------------------------
 *
 * rollover_step.c
 *	  Running one step of a rollover.
 *
 * A step is a subtransaction, so that an error, or a lock that others hold, undoes only
 * the step.  Unless the caller has a transaction open, a large step is one by itself, and
 * small ones share one.  It runs as the owner of the contacts table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "manage/manage.h"

/*
 * How long a step waits at most for a lock when it is tried again, in milliseconds:
 * longer than the deadlock_timeout
 */
#define LAST_PATIENCE	2000
#define LEAST_PATIENCE	10

/* For a lock that would be waited for while others wait for accounts that are done */
#define SHARED_PATIENCE	50

/*
 * Steps that share a transaction: their subtransactions are few enough for snapshots to
 * know them all (PGPROC_MAX_CACHED_SUBXIDS); and for how long they do, in milliseconds.
 */
#define MAX_SHARING		32
#define SHARING_TIME	500

/* Say in an error for which table the step waited; note_lock() reads it. */
static void
add_lock_context(void *name)
{
	errcontext("while locking table \"%s\"", (char *) name);
}

/*
 * Lock a table of a group, and say whether it is still attached: it may have been
 * dropped or detached since the run began.
 */
static bool
lock_attached(Oid relid)
{
	char	   *name = get_rel_name(relid);
	ErrorContextCallback context = {.callback = add_lock_context,.arg = name,.previous = error_context_stack};
	Relation	rel;
	bool		attached;

	if (name == NULL)
		return false;
	ct_check_owner(relid);		/* before anybody has to wait for us */
	error_context_stack = &context;
	rel = try_relation_open(relid, RowExclusiveLock);
	error_context_stack = context.previous;
	if (rel == NULL)
		return false;
	attached = ct_find_trigger(rel, CT_TRIGGER_STATUS) != NULL;
	relation_close(rel, NoLock);
	return attached;
}

/*
 * Become the owner of the tables of a group and open them; their number is 0 if
 * none is attached any more.
 */
CtManaged *
ct_rollover_open_group(const CtTableGroup *group, int *ntables)
{
	CtManaged  *tables = palloc(sizeof(CtManaged) * group->ntables);

	*ntables = 0;
	for (int i = 0; i < group->ntables; i++)
		if (lock_attached(group->relids[i]))
			ct_manage_begin(&tables[(*ntables)++], group->relids[i], RowExclusiveLock);
	/* what would be deferred to the commit would run as the caller there */
	if (group->run->commits && *ntables > 0)
		ct_executef("SET CONSTRAINTS ALL IMMEDIATE");
	return tables;
}

/*
 * Close them, in the reverse order, and be the caller again.
 */
void
ct_rollover_close_group(const CtTableGroup *group, CtManaged *tables, int ntables)
{
	/* nor is anything left that a trigger deferred */
	if (group->run->commits && ntables > 0)
		ct_executef("SET CONSTRAINTS ALL IMMEDIATE");
	ct_manage_end_group(tables, ntables);
	pfree(tables);
}

/*
 * For how long the next step may wait for a lock, in milliseconds.
 */
static int
patience(const CtRun *run)
{
	long		left;

	if (run->deadline == 0)
		return run->nsteps > 0 ? Min(run->patience, SHARED_PATIENCE) : run->patience;
	left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), run->deadline);
	return (int) Max(Min(left, LAST_PATIENCE), LEAST_PATIENCE);
}

/*
 * Do a step, with bounded waits: those of the user, if he has set smaller ones.  lock_timeout
 * holds for row locks, too (XactLockTableWait()), and is restored when the step fails.  For ct_try().
 */
static void
do_step(void *arg)
{
	CtWork	   *work = arg;
	int			level = NewGUCNestLevel();
	int			bound = patience(work->run);

	if (LockTimeout == 0 || LockTimeout > bound)
		ct_set_for_now("lock_timeout", psprintf("%d", bound));
	work->step(work);
	AtEOXact_GUC(false, level);
}

/*
 * Remember what a step was doing when it met a lock: the innermost line of the context of
 * the error.
 */
static void
note_lock(CtWork *work, const ErrorData *error)
{
	const char *text = error->context != NULL ? error->context : error->message;
	MemoryContext old = MemoryContextSwitchTo(work->run->context);

	if (work->lock != NULL)
		pfree(work->lock);
	work->lock = pnstrdup(text, strcspn(text, "\n"));
	MemoryContextSwitchTo(old);
}

/*
 * Put the schema of a group into the fields of a warning, and its table if it is the
 * only one.
 */
static int
errgroup(const CtTableGroup *group)
{
	char	   *name = group->ntables == 1 ? get_rel_name(group->relids[0]) : NULL;

	err_generic_string(PG_DIAG_SCHEMA_NAME, group->schema);
	if (name != NULL)
		err_generic_string(PG_DIAG_TABLE_NAME, name);
	return 0;
}

/*
 * What becomes of the run after a step that was undone because of an error?  A deadlock is a
 * lock like others: the step is tried again later, when the other transaction has ended.
 */
static CtStepResult
judge_error(CtWork *work, ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED)
	{
		note_lock(work, error);
		return CT_STEP_LOCKED;
	}
	if (!work->run->commits)
		ReThrowError(error);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("rollover of %s failed: %s", work->what, error->message),
			 error->detail != NULL ? errdetail_internal("%s", error->detail) : 0,
			 error->hint != NULL ? errhint("%s", error->hint) : 0,
			 errgroup(work->group)));
	ct_rollover_note_failure(work, error);
	return CT_STEP_FAILED;
}

/*
 * Try one step in a subtransaction, so that an error, or a lock that is not to be had,
 * undoes only the step.  Where the run commits, an error becomes a warning; else it is the
 * caller's.
 */
static CtStepResult
try_step(CtWork *work)
{
	CtRun	   *run = work->run;
	CtWork		before = *work;
	MemoryContext step_context = AllocSetContextCreate(run->context, "contacts_tier rollover step",
													   ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(step_context);
	CtStepResult result = CT_STEP_DONE;
	ErrorData  *error;

	run->may_be_lost = false;

	/*
	 * a transaction of the run: no level was chosen for it, and it waits for
	 * locks
	 */
	if (run->commits)
		XactIsoLevel = XACT_READ_COMMITTED;
	error = ct_try(do_step, work);
	if (error != NULL)
	{
		*work = before;
		result = judge_error(work, error);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(step_context);
	return result;
}

/*
 * Commit the steps that share a transaction, if there are any, and if the run commits.
 */
void
ct_rollover_commit(CtRun *run)
{
	if (run->nsteps == 0)
		return;
	/* then the commit need not wait until it is on disk */
	if (!run->must_last)
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
	run->nsteps = 0;
	run->nwritten = 0;
	run->must_last = false;
	SPI_commit();
}

/*
 * May a step join those that are not committed yet?  Accounts are locked in ascending order
 * (src/README on the order of locks), and nothing is tried again while others wait.
 */
static bool
may_share(const CtWork *work)
{
	const CtRun *run = work->run;

	return work->account != NULL && work->rank >= run->rank && run->deadline == 0;
}

/* Commit after a step, unless it is a small one that others can join. */
static void
end_step(const CtWork *work, CtStepResult result, int64 written)
{
	CtRun	   *run = work->run;

	if (!run->commits)
		return;
	run->nsteps++;
	run->nwritten += written;
	run->rank = work->rank;
	run->must_last |= !run->may_be_lost || result != CT_STEP_DONE;
	if (work->account == NULL || result != CT_STEP_DONE || run->may_be_lost ||
		run->nwritten >= run->batch_size || run->nsteps >= MAX_SHARING ||
		TimestampDifferenceExceeds(GetCurrentTransactionStartTimestamp(), GetCurrentTimestamp(), SHARING_TIME))
		ct_rollover_commit(run);
}

/*
 * Run one step.  One that meets a lock beside others is tried once more alone, when it can
 * wait without making anybody wait for these.
 */
static CtStepResult
run_step(CtWork *work)
{
	CtRun	   *run = work->run;
	int64		before = work->ncontacts;
	CtStepResult result;

	if (!may_share(work))
		ct_rollover_commit(run);
	result = try_step(work);
	if (result == CT_STEP_LOCKED && run->nsteps > 0)
	{
		ct_rollover_commit(run);
		result = try_step(work);
	}
	end_step(work, result, work->ncontacts - before);
	return result;
}

/*
 * Run the steps of a work: of an account, all its due update dates, one after the
 * other.
 */
CtStepResult
ct_rollover_run_steps(CtWork *work)
{
	CtStepResult result = CT_STEP_DONE;

	while (!work->finished && result == CT_STEP_DONE)
	{
		char	   *position = work->position;

		CHECK_FOR_INTERRUPTS();
		result = run_step(work);
		if (position != NULL && work->position != position)
			pfree(position);
	}
	return result;
}
