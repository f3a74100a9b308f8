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
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "contacts_tier.h"

/* Tells our locks on accounts from the advisory locks of users (1 and 2) */
#define ROLLOVER_LOCK	0x4354

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

/* An account that is being rolled over, and how far */
typedef struct Work
{
	Run		   *run;
	TableGroup *group;
	const char *account;		/* as text */
	TimestampTz due;			/* the update date that is applied */
	int			table;			/* the table that full batches are taken from */
	char	   *position;		/* key of the last contact done in it, as a
								 * list of literals, NULL at its start */
	bool		finished;		/* nothing (more) is due */
} Work;

/* The tables of a group, opened for a step */
typedef struct Step
{
	Work	   *work;
	CtUpdateDate due;
} Step;

/*
 * Become the owner of the tables of a group and open them.
 */
static CtManaged *
open_group(const TableGroup *group)
{
	CtManaged  *tables = palloc(sizeof(CtManaged) * group->ntables);

	for (int i = 0; i < group->ntables; i++)
		ct_manage_begin(&tables[i], group->relids[i], RowExclusiveLock);
	/* what would be deferred to the commit would run as the caller there */
	if (group->run->commits)
		ct_executef("SET CONSTRAINTS ALL IMMEDIATE");
	return tables;
}

static void
close_group(const TableGroup *group, CtManaged *tables)
{
	for (int i = group->ntables - 1; i >= 0; i--)
		ct_manage_end(&tables[i]);
	pfree(tables);
}

/*
 * Run one step.  Where the run commits, it does so after the step, and an error
 * undoes only the step: it becomes a warning, and false is returned.  Only the
 * user's wish to stop ends the run.
 */
static bool
run_step(Run *run, void (*step) (void *), void *arg, const char *what)
{
	MemoryContext context = CurrentMemoryContext;
	MemoryContext step_context = AllocSetContextCreate(run->context, "contacts_tier rollover step",
													   ALLOCSET_DEFAULT_SIZES);
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool done = true;

	MemoryContextSwitchTo(step_context);
	if (!run->commits)
	{
		step(arg);
		MemoryContextSwitchTo(context);
		MemoryContextDelete(step_context);
		return true;
	}
	run->may_be_lost = false;
	/* its own transaction, which nobody chose a level for, and which waits */
	XactIsoLevel = XACT_READ_COMMITTED;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(step_context);
	PG_TRY();
	{
		step(arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(error);
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("rollover of %s failed: %s", what, error->message),
				 error->detail != NULL ? errdetail_internal("%s", error->detail) : 0,
				 error->hint != NULL ? errhint("%s", error->hint) : 0));
		FreeErrorData(error);
		run->failures++;
		done = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	MemoryContextDelete(step_context);
	CurrentResourceOwner = owner;
	/* then nobody needs to wait until it is on disk */
	if (run->may_be_lost)
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
	SPI_commit();
	return done;
}

/*
 * Step: mark the accounts that are due as to be done by this run, and list them
 * in the order in which they came due.  Also give new partitions what they lack.
 */
static void
mark_due_accounts(void *arg)
{
	TableGroup *group = arg;
	Run		   *run = group->run;
	CtManaged  *tables = open_group(group);
	const char *schema = tables[0].schema;
	Oid			types[] = {UUIDOID, TIMESTAMPTZOID};
	Datum		values[2];
	const char *only = "";
	uint64		count;

	if (run->only_account != NULL)
		only = psprintf(" AND account %s %s::%s", tables[0].equals,
						quote_literal_cstr(run->only_account), tables[0].account_type);
	values[0] = DirectFunctionCall1(uuid_in, CStringGetDatum(run->id));
	values[1] = TimestampTzGetDatum(run->now);
	ct_execute(psprintf("WITH due AS (SELECT account FROM %1$s." CT_ACCOUNT_TABLE
						"  WHERE next_update_at <= $2%3$s ORDER BY account FOR NO KEY UPDATE)"
						" UPDATE %1$s." CT_ACCOUNT_TABLE " a"
						" SET rollover_run = $1, rollover_started_at = $2"
						" FROM due WHERE a.account %2$s due.account",
						schema, tables[0].equals, only),
			   2, types, values, NULL);
	count = ct_execute(psprintf("SELECT account::text FROM %s." CT_ACCOUNT_TABLE
								" WHERE rollover_run = $1 ORDER BY next_update_at, account", schema),
					   1, types, values, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		char	   *account = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		MemoryContext old = MemoryContextSwitchTo(run->context);

		group->accounts = lappend(group->accounts, pstrdup(account));
		MemoryContextSwitchTo(old);
	}
	for (int i = 0; i < group->ntables; i++)
		ct_add_partition_triggers(group->relids[i]);
	close_group(group, tables);
}

/*
 * Keep other rollovers off the account for this transaction; false if one is at
 * work on it.
 */
static bool
lock_account(const Work *work)
{
	Oid			companion = get_relname_relid(CT_ACCOUNT_TABLE,
											  get_namespace_oid(work->group->schema, false));
	uint32		key = DatumGetUInt32(hash_any((const unsigned char *) work->account,
											  strlen(work->account)));
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, companion, key, ROLLOVER_LOCK);
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
		Form_pg_attribute attr = TupleDescAttr(RelationGetDescr(managed->rel), lfirst_int(cell) - 1);
		const char *comma = names.len > 0 ? ", " : "";

		if (attr->atttypid >= FirstNormalObjectId)
			return NULL;
		appendStringInfo(&names, "%s%s", comma, quote_identifier(NameStr(attr->attname)));
		appendStringInfo(&formats, "%sformat('%%L::%s', %s)", comma,
						 ct_type_name(attr->atttypid),
						 quote_identifier(NameStr(attr->attname)));
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
		psprintf(" AND %s %s $1", ct_table_column(managed->table, CT_ARG_ACCOUNT), managed->equals);
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

	for (; work->table < work->group->ntables; work->table++, work->position = NULL)
	{
		CtManaged  *managed = &step->due.tables[work->table];
		char	   *literals;
		char	   *columns = key_columns(managed, &literals);
		char	   *end = columns == NULL ? NULL : end_of_batch(step, managed, columns, literals);
		Oid			types[] = {managed->table->account_type, INT8OID};
		Datum		values[] = {step->due.account, 0};
		const char *behind;

		if (end == NULL)
			continue;
		behind = work->position == NULL ? "" :
			psprintf(" AND ROW(%s) OPERATOR(pg_catalog.>) ROW(%s)", columns, work->position);
		values[1] = Int64GetDatum(ct_demote_contacts(&step->due, managed,
													 psprintf("%s%s AND ROW(%s) OPERATOR(pg_catalog.<=) ROW(%s)",
															  ct_flagged_contacts(managed), behind, columns, end)));
		ct_execute_now(psprintf("UPDATE %s." CT_ACCOUNT_TABLE " SET rollover_contacts = rollover_contacts + $2"
								" WHERE account %s $1", managed->schema, managed->equals),
					   2, types, values);
		if (work->position != NULL)
			pfree(work->position);
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
roll_over_step(void *arg)
{
	Work	   *work = arg;
	Step		step = {
		.work = work,
		.due = {.ntables = work->group->ntables,.now = work->run->now,.run = work->run->id}
	};

	step.due.tables = open_group(work->group);
	step.due.account = ct_managed_account(&step.due.tables[0], work->account);
	if (!lock_account(work) || !find_due_date(&step))
		work->finished = true;
	else if (!demote_batch(&step))
		ct_apply_update_date(&step.due);
	close_group(work->group, step.due.tables);
}

/*
 * Apply all due update dates of an account, one after the other.
 */
static void
roll_over_account(TableGroup *group, const char *account)
{
	Work		work = {.run = group->run,.group = group,.account = account};
	char	   *what = psprintf("account \"%s\"", account);

	while (!work.finished)
	{
		CHECK_FOR_INTERRUPTS();
		if (!run_step(group->run, roll_over_step, &work, what))
			break;
	}
	pfree(what);
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

/* An attached table that the caller owns, and one of its accounts, or an error. */
static void
check_manageable(Oid relid, const char *account)
{
	CtManaged	managed;

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
 * and last the account row.  Errors: 22023 (batch size), 42501, 55000 (not
 * attached, or accounts failed).
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
	{
		TableGroup *group = lfirst(cell);
		ListCell   *account;

		if (run_step(&run, mark_due_accounts, group, psprintf("schema \"%s\"", group->schema)))
			foreach(account, group->accounts)
				roll_over_account(group, lfirst(account));
	}
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
