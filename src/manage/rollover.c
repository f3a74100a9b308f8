/*-------------------------------------------------------------------------
 *
 * rollover.c
 *	  Applying the update dates that have come due (design.md, D2).
 *
 * An account is rolled over in steps: batches of its flagged contacts, then the
 * advance to its next update date, together with the last batch.  Each step is
 * a transaction of its own, unless the caller has a transaction block open.
 * Where a run is broken off, the date is still due, and the next run goes on
 * with the contacts that are left.
 *
 * A step takes a transaction-level lock on the account that only rollovers
 * take; who does not get it leaves the account to its holder.  It is not the
 * account row, which writers wait for while they hold contacts that the step
 * may be waiting for.
 *
 * Everything is done as the owner of the contacts table.  An account that fails
 * does not hold up the others: the step is rolled back to where it began, the
 * failure is told at once as a warning and at the end as an error.
 *
 * Nor does one that is locked (R5).  A step waits for each lock for a short time
 * only; where that is not enough it is undone, and its account, or schema, is put
 * aside until the others are done.  Then it is tried again for some seconds.  What
 * is locked even then is skipped, with a warning: its date is still due, and the
 * next run applies it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "manage/manage.h"

/* Tells our locks on accounts from the advisory locks of users (1 and 2) */
#define ROLLOVER_LOCK	0x4354

/*
 * How long a step waits for a lock, in milliseconds.  A second at first, which is
 * enough for ordinary transactions; once a lock was not to be had the others do not
 * pay for it, and are tried again anyway.
 */
#define FIRST_PATIENCE	1000
#define NEXT_PATIENCE	50

/* So long is everything tried that was put aside, longer than the deadlock_timeout */
#define LAST_PATIENCE	2000
#define LEAST_PATIENCE	10
#define TIME_FOR_LOCKED	3000

/* One call of rollover() */
typedef struct Run
{
	MemoryContext context;		/* outlives the transactions of the run */
	bool		commits;		/* may it commit between steps? */
	int			batch_size;		/* contacts */
	TimestampTz now;
	char	   *id;				/* a uuid, as text */
	char	   *only_account;	/* as text; NULL for all */
	int			failures;		/* accounts, or whole schemas, that failed */
	bool		may_be_lost;	/* could the step at hand be done again after
								 * a crash? */
	int			patience;		/* with locks, in milliseconds */
	TimestampTz deadline;		/* of trying again; 0 before that */
	List	   *aside;			/* works that met a lock */
} Run;

/* The attached tables that share one set of companion tables */
typedef struct TableGroup
{
	Run		   *run;
	char	   *schema;
	int			ntables;
	Oid		   *relids;
	List	   *accounts;		/* due, as text */
} TableGroup;

/* Something to be done in steps, for instance an account, and how far it is */
typedef struct Work
{
	Run		   *run;
	TableGroup *group;
	void		(*step) (struct Work *work);
	char	   *what;			/* for messages */
	char	   *lock;			/* what it could not lock, for a message */
	bool		finished;		/* nothing (more) is to be done */
	/* of an account */
	const char *account;		/* as text */
	TimestampTz due;			/* the update date that is applied */
	int			table;			/* the table that full batches are taken from */
	char	   *position;		/* key of the last contact done in it, as a
								 * list of literals, NULL at its start */
} Work;

/* How a step ended; what was not done is undone */
typedef enum StepResult
{
	STEP_DONE,
	STEP_LOCKED,				/* others hold a lock that it needs */
	STEP_FAILED
} StepResult;

/* The tables of a group, opened for a step */
typedef struct Step
{
	Work	   *work;
	CtUpdateDate due;
} Step;

static void
tell_table(void *name)
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
	ErrorContextCallback context = {.callback = tell_table,.arg = name,.previous = error_context_stack};
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
static CtManaged *
open_group(const TableGroup *group, int *ntables)
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

static void
close_group(const TableGroup *group, CtManaged *tables, int ntables)
{
	/* nor is anything left that a trigger deferred */
	if (group->run->commits && ntables > 0)
		ct_executef("SET CONSTRAINTS ALL IMMEDIATE");
	for (int i = ntables - 1; i >= 0; i--)
		ct_manage_end(&tables[i]);
	pfree(tables);
}

/*
 * For how long the next step may wait for a lock, in milliseconds.
 */
static int
patience(const Run *run)
{
	long		left;

	if (run->deadline == 0)
		return run->patience;
	left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), run->deadline);
	return (int) Max(Min(left, LAST_PATIENCE), LEAST_PATIENCE);
}

/*
 * Do a step, with bounded waits: those of the user, if he has set smaller ones.
 */
static void
do_step(Work *work)
{
	int			level = NewGUCNestLevel();
	int			bound = patience(work->run);

	if (LockTimeout == 0 || LockTimeout > bound)
		ct_set_for_now("lock_timeout", psprintf("%d", bound));
	work->step(work);
	AtEOXact_GUC(false, level);
}

/*
 * Does the user, or who administers the server, want the run to end?  Then it is
 * ProcessInterrupts() that says so; anybody's function can raise the same codes.
 */
static bool
is_interrupt(const ErrorData *error)
{
	return ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION &&
		error->funcname != NULL && strcmp(error->funcname, "ProcessInterrupts") == 0;
}

/*
 * Keep what a step was doing when it met a lock, as the innermost line of the context
 * tells.
 */
static void
note_lock(Work *work, const ErrorData *error)
{
	const char *text = error->context != NULL ? error->context : error->message;
	MemoryContext old = MemoryContextSwitchTo(work->run->context);

	if (work->lock != NULL)
		pfree(work->lock);
	work->lock = pnstrdup(text, strcspn(text, "\n"));
	MemoryContextSwitchTo(old);
}

/*
 * What becomes of the run after a step that was undone because of an error?
 */
static StepResult
judge_error(Work *work, ErrorData *error)
{
	if (is_interrupt(error))
		ReThrowError(error);
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
		error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED)
	{
		note_lock(work, error);
		return STEP_LOCKED;
	}
	if (!work->run->commits)
		ReThrowError(error);
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("rollover of %s failed: %s", work->what, error->message),
			 error->detail != NULL ? errdetail_internal("%s", error->detail) : 0,
			 error->hint != NULL ? errhint("%s", error->hint) : 0));
	work->run->failures++;
	return STEP_FAILED;
}

/*
 * Run one step in a subtransaction, so that an error, or a lock that is not to be had,
 * undoes only the step.  Where the run commits, it does so after the step, and an
 * error becomes a warning; else it is the caller's.
 */
static StepResult
run_step(Work *work)
{
	Run		   *run = work->run;
	Work		before = *work;
	MemoryContext context = CurrentMemoryContext;
	MemoryContext step_context = AllocSetContextCreate(run->context, "contacts_tier rollover step",
													   ALLOCSET_DEFAULT_SIZES);
	ResourceOwner owner = CurrentResourceOwner;
	volatile StepResult result = STEP_DONE;

	run->may_be_lost = false;
	/* its own transaction, which nobody chose a level for, and which waits */
	if (run->commits)
		XactIsoLevel = XACT_READ_COMMITTED;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(step_context);
	PG_TRY();
	{
		do_step(work);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		*work = before;
		result = judge_error(work, error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	MemoryContextDelete(step_context);
	CurrentResourceOwner = owner;
	if (!run->commits)
		return result;
	/* then nobody needs to wait until it is on disk */
	if (run->may_be_lost && result == STEP_DONE)
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
	SPI_commit();
	return result;
}

/*
 * Step: mark the accounts that are due as to be done by this run, but for those that
 * others have locked, and list all in the order in which they came due.
 */
static void
mark_due_accounts(Work *work)
{
	TableGroup *group = work->group;
	Run		   *run = work->run;
	int			ntables;
	CtManaged  *tables = open_group(group, &ntables);
	Oid			types[] = {UUIDOID, TIMESTAMPTZOID};
	Datum		values[2];
	const char *only = "";
	uint64		count;

	work->finished = true;
	if (ntables == 0)
		return;
	if (run->only_account != NULL)
		only = ct_sqlf(tables[0].table, " AND account {=} %s::%s",
					   quote_literal_cstr(run->only_account), tables[0].account_type);
	values[0] = DirectFunctionCall1(uuid_in, CStringGetDatum(run->id));
	values[1] = TimestampTzGetDatum(run->now);
	ct_execute(ct_sqlf(tables[0].table, "WITH due AS (SELECT account FROM {account}"
					   "  WHERE next_update_at <= $2%s ORDER BY account FOR NO KEY UPDATE SKIP LOCKED)"
					   " UPDATE {account} a"
					   " SET rollover_run = $1, rollover_started_at = $2"
					   " FROM due WHERE a.account {=} due.account", only),
			   2, types, values, NULL);

	/*
	 * by the output function of the type, as what is written is read by its
	 * input function
	 */
	count = ct_execute(ct_sqlf(tables[0].table, "SELECT account FROM {account}"
							   " WHERE next_update_at <= $2%s ORDER BY next_update_at, account", only),
					   2, types, values, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		char	   *account = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		MemoryContext old = MemoryContextSwitchTo(run->context);

		group->accounts = lappend(group->accounts, pstrdup(account));
		MemoryContextSwitchTo(old);
	}
	close_group(group, tables, ntables);
}

/*
 * Step: give new partitions what they lack.
 */
static void
add_partition_triggers(Work *work)
{
	int			ntables;
	CtManaged  *tables = open_group(work->group, &ntables);

	for (int i = 0; i < ntables; i++)
		ct_add_partition_triggers(RelationGetRelid(tables[i].rel));
	close_group(work->group, tables, ntables);
	work->finished = true;
}

/*
 * Keep other rollovers off the account for this transaction; false if one is at
 * work on it.
 */
static bool
lock_account(const Work *work)
{
	CtNames		names;
	uint32		key = DatumGetUInt32(hash_any((const unsigned char *) work->account,
											  strlen(work->account)));
	LOCKTAG		tag;

	ct_names_resolve(&names, work->group->schema);
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, ct_companion_relid(&names, CT_ACCOUNT), key, ROLLOVER_LOCK);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * The columns of the primary key by whose ranges a table is worked through,
 * with a format for their values; NULL where there is none that is safe to
 * compare by PostgreSQL's own operators.
 */
static char *
key_columns(const CtManaged *managed, char **literals)
{
	List	   *columns = ct_primary_key(managed->rel);
	StringInfoData names;
	StringInfoData formats;
	ListCell   *cell;

	initStringInfo(&names);
	initStringInfo(&formats);
	foreach(cell, columns)
	{
		/*
		 * copies: what follows looks into catalogs, by which the entry may be
		 * rebuilt
		 */
		Oid			type = TupleDescAttr(RelationGetDescr(managed->rel), lfirst_int(cell) - 1)->atttypid;
		const char *name = quote_identifier(get_attname(RelationGetRelid(managed->rel), lfirst_int(cell), false));
		const char *comma = names.len > 0 ? ", " : "";

		if (type >= FirstNormalObjectId)
			return NULL;
		appendStringInfo(&names, "%s%s", comma, name);
		appendStringInfo(&formats, "%sformat('%%L::%s', %s)", comma, ct_type_name(type), name);
	}
	*literals = formats.data;
	return names.len > 0 ? names.data : NULL;
}

/*
 * The key of the last contact of a full batch behind the given position; NULL
 * if less than a full batch is left.  When they were flagged is not asked here, so
 * the index that attach() made can tell, which has them in order; a plan that
 * sorts would read all that are left, for each batch.
 */
static char *
end_of_batch(const Step *step, const CtManaged *managed, const char *columns, const char *literals)
{
	const Work *work = step->work;
	Oid			types[] = {managed->table->account_type};
	Datum		values[] = {step->due.account};
	const char *account = !AttributeNumberIsValid(managed->table->attno[CT_ARG_ACCOUNT]) ? "" :
		ct_sqlf(managed->table, " AND %s {=} $1", ct_table_column(managed->table, CT_ARG_ACCOUNT));
	const char *behind = work->position == NULL ? "" :
		psprintf(" AND ROW(%s) OPERATOR(pg_catalog.>) ROW(%s)", columns, work->position);
	int			level = NewGUCNestLevel();
	char	   *end;

	ct_set_for_now("enable_bitmapscan", "off");
	ct_set_for_now("enable_sort", "off");
	end = ct_execute_now(psprintf("SELECT concat_ws(', ', %s) FROM (SELECT %s FROM %s WHERE %s%s%s"
								  " ORDER BY %s OFFSET %d LIMIT 1) c",
								  literals, columns, ct_qualified_name(managed->rel),
								  ct_table_column(managed->table, CT_ARG_UNTIL), account, behind,
								  columns, work->run->batch_size - 1),
						 lengthof(types), types, values) == 0 ? NULL : ct_result_text(1);
	AtEOXact_GUC(false, level);
	return end;
}

/*
 * Work on one full batch, if some table still has one.  Tables without a usable
 * key are left for the last step.
 */
static bool
demote_batch(Step *step)
{
	Work	   *work = step->work;

	for (; work->table < step->due.ntables; work->table++, work->position = NULL)
	{
		CtManaged  *managed = &step->due.tables[work->table];
		char	   *literals;
		char	   *columns = key_columns(managed, &literals);
		char	   *end = columns == NULL ? NULL : end_of_batch(step, managed, columns, literals);
		Oid			types[] = {managed->table->account_type, INT8OID, UUIDOID, TIMESTAMPTZOID};
		Datum		values[] = {step->due.account, 0, 0, TimestampTzGetDatum(work->run->now)};
		const char *behind;

		if (end == NULL)
			continue;
		behind = work->position == NULL ? "" :
			psprintf(" AND ROW(%s) OPERATOR(pg_catalog.>) ROW(%s)", columns, work->position);
		values[1] = Int64GetDatum(ct_demote_contacts(&step->due, managed,
													 psprintf("%s%s AND ROW(%s) OPERATOR(pg_catalog.<=) ROW(%s)",
															  ct_flagged_contacts(managed), behind, columns, end)));
		/* that it was locked when accounts were marked does not matter now */
		values[2] = DirectFunctionCall1(uuid_in, CStringGetDatum(work->run->id));
		ct_execute_now(ct_sqlf(managed->table, "UPDATE {account} SET rollover_contacts = rollover_contacts + $2,"
							   " rollover_run = $3, rollover_started_at = $4"
							   " WHERE account {=} $1"),
					   lengthof(types), types, values);
		work->position = MemoryContextStrdup(work->run->context, end);
		work->run->may_be_lost = true;
		return true;
	}
	return false;
}

/*
 * Find the update date to be applied, and go on with its batches where the last
 * step of this run left off.
 */
static bool
find_due_date(Step *step)
{
	Work	   *work = step->work;

	if (!ct_find_update_date(&step->due))
		return false;
	if (step->due.date != work->due)
	{
		work->due = step->due.date;
		work->table = 0;
		work->position = NULL;
	}
	return true;
}

/*
 * Step: a batch of an account, or its advance to the next update date.
 */
static void
roll_over_step(Work *work)
{
	Step		step = {
		.work = work,
		.due = {.now = work->run->now,.run = work->run->id}
	};

	step.due.tables = open_group(work->group, &step.due.ntables);
	if (step.due.ntables > 0)
		step.due.account = ct_managed_account(&step.due.tables[0], work->account);
	if (step.due.ntables == 0 || !lock_account(work) || !find_due_date(&step))
		work->finished = true;
	else if (!demote_batch(&step))
		ct_apply_update_date(&step.due);
	close_group(work->group, step.due.tables, step.due.ntables);
}

static Work *
new_work(TableGroup *group, void (*step) (Work *), char *what)
{
	Work	   *work = MemoryContextAllocZero(group->run->context, sizeof(Work));

	work->run = group->run;
	work->group = group;
	work->step = step;
	work->what = MemoryContextStrdup(group->run->context, what);
	return work;
}

static void
free_work(Work *work)
{
	if (work->lock != NULL)
		pfree(work->lock);
	if (work->position != NULL)
		pfree(work->position);
	pfree(work->what);
	pfree(work);
}

/*
 * Take the steps of a work: of an account, all its due update dates, one after the
 * other.
 */
static StepResult
take_steps(Work *work)
{
	StepResult	result = STEP_DONE;

	while (!work->finished && result == STEP_DONE)
	{
		char	   *position = work->position;

		CHECK_FOR_INTERRUPTS();
		result = run_step(work);
		if (position != NULL && work->position != position)
			pfree(position);
	}
	return result;
}

/*
 * Do a work, or put it aside if others hold a lock that it needs.
 */
static void
do_work(Work *work)
{
	Run		   *run = work->run;
	MemoryContext old;

	if (take_steps(work) != STEP_LOCKED)
	{
		free_work(work);
		return;
	}
	old = MemoryContextSwitchTo(run->context);
	run->aside = lappend(run->aside, work);
	MemoryContextSwitchTo(old);
	run->patience = NEXT_PATIENCE;
}

/* All accounts of a group that were marked. */
static void
do_accounts(TableGroup *group)
{
	List	   *accounts = group->accounts;
	ListCell   *cell;

	group->accounts = NIL;
	foreach(cell, accounts)
	{
		char	   *what = psprintf("account \"%s\"", (char *) lfirst(cell));
		Work	   *work = new_work(group, roll_over_step, what);

		work->account = lfirst(cell);
		pfree(what);
		do_work(work);
	}
}

/*
 * Do all that is due in a group of tables.  Partitions come last, and by themselves:
 * they may be locked by what is no matter to the accounts.
 */
static void
do_group(TableGroup *group)
{
	do_work(new_work(group, mark_due_accounts, psprintf("schema \"%s\"", group->schema)));
	do_accounts(group);
	for (int i = 0; i < group->ntables; i++)
		if (get_rel_relkind(group->relids[i]) == RELKIND_PARTITIONED_TABLE)
		{
			do_work(new_work(group, add_partition_triggers,
							 psprintf("partitions in schema \"%s\"", group->schema)));
			break;
		}
}

/*
 * Try what was put aside once more, all of it in turn, until it is done or the time
 * for it is over.
 */
static void
do_what_is_aside(Run *run)
{
	run->deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), TIME_FOR_LOCKED);
	while (run->aside != NIL)
	{
		List	   *works = run->aside;
		ListCell   *cell;

		run->aside = NIL;
		foreach(cell, works)
		{
			TableGroup *group = ((Work *) lfirst(cell))->group;

			do_work(lfirst(cell));
			do_accounts(group);
		}
		list_free(works);
		if (GetCurrentTimestamp() >= run->deadline)
			break;
		/* those that do not wait, but say at once that something is locked */
		if (run->aside != NIL)
			pg_usleep(NEXT_PATIENCE * 1000L);
	}
}

/*
 * Tell of what is locked even then.  That is no failure: the next run does it.
 */
static void
skip_what_is_aside(Run *run)
{
	ListCell   *cell;

	foreach(cell, run->aside)
	{
		const Work *work = lfirst(cell);

		ereport(WARNING,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("rollover of %s skipped: another transaction holds a lock that it needs", work->what),
				 errdetail("Schema \"%s\": %s.", work->group->schema, work->lock),
				 errhint("The next rollover takes it up.")));
	}
}

/*
 * The tables that are to be rolled over and that the caller owns, by the schema
 * of their companion tables; with "only", those that share its companions.
 */
static List *
find_groups(Run *run, Oid only)
{
	List	   *groups = NIL;
	TableGroup *group = NULL;
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(only)};
	uint64		count;
	MemoryContext old;

	count = ct_execute("SELECT a.companion_schema::pg_catalog.text, a.contacts::pg_catalog.oid"
					   " FROM contacts_tier.attached() a"
					   " JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.contacts"
					   " WHERE pg_catalog.pg_has_role(c.relowner, 'USAGE')"
					   " AND ($1 OPERATOR(pg_catalog.=) 0 OR EXISTS (SELECT FROM contacts_tier.attached() o"
					   "  WHERE o.contacts OPERATOR(pg_catalog.=) $1"
					   "  AND o.companion_schema OPERATOR(pg_catalog.=) a.companion_schema))"
					   " ORDER BY a.companion_schema, a.contacts::pg_catalog.oid",
					   1, types, values, NULL);
	old = MemoryContextSwitchTo(run->context);
	for (uint64 i = 0; i < count; i++)
	{
		HeapTuple	row = SPI_tuptable->vals[i];
		char	   *schema = SPI_getvalue(row, SPI_tuptable->tupdesc, 1);
		bool		isnull;

		if (group == NULL || strcmp(group->schema, schema) != 0)
		{
			group = palloc0(sizeof(TableGroup));
			group->run = run;
			group->schema = schema;
			group->relids = palloc(sizeof(Oid) * count);
			groups = lappend(groups, group);
		}
		group->relids[group->ntables++] =
			DatumGetObjectId(SPI_getbinval(row, SPI_tuptable->tupdesc, 2, &isnull));
	}
	MemoryContextSwitchTo(old);
	return groups;
}

/*
 * An attached table that the caller owns, and one of its accounts, or an error.  Where
 * somebody has locked the table so that it cannot be looked at, the steps meet that.
 */
static void
check_manageable(Oid relid, const char *account)
{
	CtManaged	managed;

	if (get_rel_name(relid) != NULL)
	{
		ct_check_owner(relid);
		if (!ConditionalLockRelationOid(relid, AccessShareLock))
			return;
	}
	ct_manage_begin(&managed, relid, AccessShareLock);
	if (account != NULL)
		(void) ct_managed_account(&managed, account);
	ct_manage_end(&managed);
}

static void
start_run(Run *run, FunctionCallInfo fcinfo)
{
	run->context = AllocSetContextCreate(PortalContext, "contacts_tier rollover", ALLOCSET_SMALL_SIZES);
	run->commits = !castNode(CallContext, fcinfo->context)->atomic;
	run->batch_size = PG_GETARG_INT32(2);
	run->patience = FIRST_PATIENCE;
	run->now = ct_now();
	run->only_account = PG_ARGISNULL(1) ? NULL :
		MemoryContextStrdup(run->context, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	ct_executef("SELECT pg_catalog.gen_random_uuid()::pg_catalog.text");
	run->id = MemoryContextStrdup(run->context, ct_result_text(1));
}

PG_FUNCTION_INFO_V1(contacts_tier_rollover);

/*
 * rollover(contacts regclass, account text, batch_size integer)
 *
 * A procedure; commits after each step unless it is called in a transaction
 * block.  On a standby it does nothing, so that the same job can be scheduled
 * there.
 *
 * Locks: for a step, the table as an UPDATE does, its contacts, the counter row
 * and last the account row; none is waited for longer than some seconds.  Errors:
 * 22023 (batch size), 42501, 55000 (not attached, or accounts failed).
 */
Datum
contacts_tier_rollover(PG_FUNCTION_ARGS)
{
	Run			run = {0};
	List	   *groups;
	ListCell   *cell;

	ct_check_not_null(fcinfo, 2, "batch_size");
	if (PG_GETARG_INT32(2) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch size must be greater than zero")));
	if (RecoveryInProgress())
		PG_RETURN_VOID();

	if (SPI_connect_ext(castNode(CallContext, fcinfo->context)->atomic ? 0 : SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	start_run(&run, fcinfo);
	if (!PG_ARGISNULL(0))
		check_manageable(PG_GETARG_OID(0), run.only_account);
	groups = find_groups(&run, PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0));
	if (run.commits)
		SPI_commit();
	foreach(cell, groups)
		do_group(lfirst(cell));
	do_what_is_aside(&run);
	skip_what_is_aside(&run);
	SPI_finish();
	if (run.failures > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg_plural("rollover of %d account failed", "rollover of %d accounts failed",
							   run.failures, run.failures),
				 errdetail("All others are done; the warnings above tell what failed."),
				 errhint("What failed is tried again by the next rollover.")));
	PG_RETURN_VOID();
}
