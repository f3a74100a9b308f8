/*-------------------------------------------------------------------------
 *
 * rollover.c
 *	  Applying the update dates that have come due (rule D2).
 *
 * An account is rolled over in steps: batches of its flagged contacts, batches of
 * those that are flagged since they are not eligible any more, then the
 * advance to its next update date, together with the last batch of each.  A full batch is
 * a transaction of its own, steps of small accounts share one, unless the caller has
 * a transaction block open.
 * Where a run is interrupted, the date is still due, and the next run goes on
 * with the contacts that are left.
 *
 * A step acquires a transaction-level lock on the account that only rollovers
 * use; a run that does not get it leaves the account to the holder.  It is not the
 * account row, which writers wait for while they hold contacts that the step
 * may be waiting for.
 *
 * Everything is done as the owner of the contacts table.  An account that fails
 * does not hold up the others: the step is rolled back to where it began, the
 * failure is a warning at once, and part of the error at the end.
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

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/timestamp.h"

#include "manage/manage.h"

/* How long everything that was put aside is tried again, in milliseconds */
#define TIME_FOR_LOCKED	3000

/* A work of a group, in memory of the run; "what" names it in messages. */
static CtWork *
new_work(CtTableGroup *group, void (*step) (CtWork *), char *what)
{
	CtWork	   *work = MemoryContextAllocZero(group->run->context, sizeof(CtWork));

	work->run = group->run;
	work->group = group;
	work->step = step;
	work->what = MemoryContextStrdup(group->run->context, what);
	return work;
}

/* A work is done, has failed or is skipped.  Its account belongs to the run. */
static void
end_work(CtWork *work)
{
	work->group->naccounts += work->ndates > 0 ? 1 : 0;
	work->group->ncontacts += work->ncontacts;
	if (work->lock != NULL)
		pfree(work->lock);
	if (work->position != NULL)
		pfree(work->position);
	pfree(work->what);
	pfree(work);
}

/*
 * Do a work, or put it aside if others hold a lock that it needs.  After the first such lock
 * all works wait for locks for a short time only: they are tried again anyway.
 */
static void
do_work(CtWork *work)
{
	CtRun	   *run = work->run;
	MemoryContext old;

	/* what idles can idle until the next run */
	if (ct_rollover_run_steps(work) != CT_STEP_LOCKED || work->step == ct_rollover_close_entries)
	{
		end_work(work);
		return;
	}
	old = MemoryContextSwitchTo(run->context);
	run->aside = lappend(run->aside, work);
	MemoryContextSwitchTo(old);
	run->patience = CT_NEXT_PATIENCE;
}

/* All accounts of a group that were marked; the list is emptied, for the next mark. */
static void
do_accounts(CtTableGroup *group)
{
	List	   *accounts = group->accounts;
	ListCell   *cell;

	group->accounts = NIL;
	foreach(cell, accounts)
	{
		const CtDueAccount *due = lfirst(cell);
		char	   *what = psprintf("account \"%s\" in schema \"%s\"", due->account, group->schema);
		CtWork	   *work = new_work(group, ct_rollover_account, what);

		work->account = due->account;
		work->rank = due->rank;
		pfree(what);
		do_work(work);
	}
	ct_rollover_commit(group->run);
}

/*
 * Do all that is due in a group of tables.  Partitions come last, and by themselves:
 * they may be locked by what is no matter to the accounts.
 */
static void
do_group(CtTableGroup *group)
{
	do_work(new_work(group, ct_rollover_mark_due, psprintf("schema \"%s\"", group->schema)));
	do_accounts(group);
	if (group->run->only_account == NULL)
		do_work(new_work(group, ct_rollover_close_entries, psprintf("activity in schema \"%s\"", group->schema)));
	for (int i = 0; i < group->ntables; i++)
		if (get_rel_relkind(group->relids[i]) == RELKIND_PARTITIONED_TABLE)
		{
			do_work(new_work(group, ct_rollover_partitions,
							 psprintf("partitions in schema \"%s\"", group->schema)));
			break;
		}
}

/*
 * Try what was put aside once more, all of it in turn, until it is done or the time
 * for it is over.
 */
static void
retry_aside(CtRun *run)
{
	run->deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), TIME_FOR_LOCKED);
	while (run->aside != NIL)
	{
		List	   *works = run->aside;
		ListCell   *cell;

		run->aside = NIL;
		foreach(cell, works)
		{
			CtTableGroup *group = ((CtWork *) lfirst(cell))->group;

			do_work(lfirst(cell));
			do_accounts(group);
		}
		list_free(works);
		if (GetCurrentTimestamp() >= run->deadline)
			break;
		/* those that do not wait, but say at once that something is locked */
		if (run->aside != NIL)
			pg_usleep(CT_NEXT_PATIENCE * 1000L);
	}
}

/*
 * Warn of what is locked even then.  That is no failure: the next run does it.
 */
static void
report_skipped(CtRun *run)
{
	ListCell   *cell;

	foreach(cell, run->aside)
	{
		CtWork	   *work = lfirst(cell);

		ereport(WARNING,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("rollover of %s skipped: another transaction holds a lock that it needs", work->what),
				 errdetail("Schema \"%s\": %s.", work->group->schema, work->lock),
				 errhint("The next rollover tries again.")));
		ct_rollover_note_skipped(work);
		end_work(work);
	}
	list_free(run->aside);
	run->aside = NIL;
}

/*
 * Record what the run has done, failed and skipped, one entry in each ledger: the last
 * steps of the run.
 */
static void
record_run(CtRun *run)
{
	ListCell   *cell;

	foreach(cell, run->groups)
	{
		CtTableGroup *group = lfirst(cell);

		if (ct_rollover_has_record(group))
			do_work(new_work(group, ct_rollover_record,
							 psprintf("schema \"%s\" (its record)", group->schema)));
	}
	report_skipped(run);
}

/* The tables that share the companion tables of a shard, which attached() does not list */
static CtTableGroup *
group_of_shard(CtRun *run, Oid shard)
{
	CtTableGroup *group = MemoryContextAllocZero(run->context, sizeof(CtTableGroup));
	CtNames		names;
	List	   *relids;
	ListCell   *cell;

	ct_attached_names(shard, &names);
	relids = ct_attached_tables(&names);
	run->for_shard = true;
	group->run = run;
	group->schema = MemoryContextStrdup(run->context, NameStr(names.schema));
	group->relids = MemoryContextAlloc(run->context, sizeof(Oid) * Max(list_length(relids), 1));
	foreach(cell, relids)
	{
		/* nor call its own shards again */
		if (ct_is_distributed(lfirst_oid(cell)))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("shard \"%s\" has no companion tables beside it", get_rel_name(shard)),
					 errdetail("The companion tables are not distributed like the contacts."),
					 ct_errtable(shard)));
		group->relids[group->ntables++] = lfirst_oid(cell);
	}
	return group;
}

/*
 * The tables that are to be rolled over and that the caller owns, by the schema
 * of their companion tables; with "only", a valid OID, those that share its companions.
 * Lists are in memory of the run: transactions end while it works on them.
 */
static List *
find_groups(CtRun *run, Oid only)
{
	List	   *groups = NIL;
	CtTableGroup *group = NULL;
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(only)};
	uint64		count;
	MemoryContext old;

	if (OidIsValid(only) && ct_is_shard(only))
	{
		group = group_of_shard(run, only);
		old = MemoryContextSwitchTo(run->context);
		groups = list_make1(group);
		MemoryContextSwitchTo(old);
		return groups;
	}
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
			group = palloc0(sizeof(CtTableGroup));
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
 * another transaction has locked the table so that it cannot be looked at, the steps find
 * out.  Errors: 42501, 55000, those of ct_managed_account().
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

/* This call of rollover(), as a format in which "shard" is the shard of a table that Citus distributes */
static char *
call_for_shard(const CtRun *run, const char *shard)
{
	return psprintf("CALL contacts_tier.rollover(%s, %s, %d)", shard,
					run->only_account == NULL ? "NULL" : ct_double_percent(quote_literal_cstr(run->only_account)),
					run->batch_size);
}

/* What a shard has refused: Citus gives the first line of an error, with its severity. */
static const char *
without_severity(const char *message)
{
	return strncmp(message, "ERROR:  ", 8) == 0 ? message + 8 : message;
}

/*
 * Roll the shards over of a table that Citus distributes, in parallel, each in transactions of its
 * own.  What fails on one is a WARNING here, and part of the error at the end.
 */
static void
do_shards(CtRun *run, Oid relid)
{
	char	   *name = get_rel_name(relid);
	uint64		count = ct_executef("SELECT shard::pg_catalog.text, result FROM contacts_tier_internal.run_on_shards(%u, %s, %s) WHERE NOT success",
									relid,
									quote_literal_cstr(call_for_shard(run, "%1$L")),
									run->only_account == NULL ? "NULL" : quote_literal_cstr(run->only_account));
	SPITupleTable *failed = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
	{
		char	   *shard = SPI_getvalue(failed->vals[i], failed->tupdesc, 1);
		const char *message = without_severity(SPI_getvalue(failed->vals[i], failed->tupdesc, 2));
		MemoryContext old = MemoryContextSwitchTo(run->context);

		run->failed_shards = lappend(run->failed_shards, psprintf("shard %s of table \"%s\": %s", shard, name, message));
		MemoryContextSwitchTo(old);
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("rollover of shard %s of table \"%s\" failed", shard, name),
				 errdetail_internal("%s", message)));
	}
	SPI_freetuptable(failed);
}

/*
 * In a transaction block, the rollover of one account of a distributed table is part of it; that of all is
 * not possible.  Errors: 25001.
 */
static void
roll_over_in_block(FunctionCallInfo fcinfo, const CtRun *run)
{
	CtManaged	managed;

	if (run->only_account == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("rollover of distributed table \"%s\" cannot run inside a transaction block", get_rel_name(PG_GETARG_OID(0))),
				 errhint("Pass an account, or call contacts_tier.rollover() by itself.")));
	ct_manage_begin(&managed, PG_GETARG_OID(0), RowExclusiveLock);
	ct_run_on_shard(&managed, ct_managed_account(&managed, run->only_account),
					call_for_shard(run, "%1$s"));
	ct_manage_end(&managed);
}

/* What all steps of a run have in common; in memory that outlives their transactions. */
static void
start_run(CtRun *run, FunctionCallInfo fcinfo)
{
	run->context = AllocSetContextCreate(PortalContext, "contacts_tier rollover", ALLOCSET_SMALL_SIZES);
	run->commits = !castNode(CallContext, fcinfo->context)->atomic;
	run->batch_size = PG_GETARG_INT32(2);
	run->patience = CT_FIRST_PATIENCE;
	run->now = ct_now();
	run->started_at = GetCurrentTimestamp();
	run->only_account = PG_ARGISNULL(1) ? NULL :
		MemoryContextStrdup(run->context, ct_account_argument(fcinfo, 1));
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
	CtRun		run = {0};
	ListCell   *cell;

	ct_check_not_null(fcinfo, 2, "batch_size");
	if (PG_GETARG_INT32(2) <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"batch_size\" must be greater than zero")));
	if (RecoveryInProgress())
		PG_RETURN_VOID();

	if (SPI_connect_ext(castNode(CallContext, fcinfo->context)->atomic ? 0 : SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	start_run(&run, fcinfo);
	if (!PG_ARGISNULL(0))
		check_manageable(PG_GETARG_OID(0), run.only_account);
	if (!run.commits && ct_is_dispatched(fcinfo))
	{
		roll_over_in_block(fcinfo, &run);
		SPI_finish();
		PG_RETURN_VOID();
	}
	run.groups = find_groups(&run, PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0));
	if (run.groups == NIL && PG_ARGISNULL(0))
		ct_rollover_warn_of_owners();
	if (run.commits)
		SPI_commit();
	foreach(cell, run.groups)
	{
		CtTableGroup *group = lfirst(cell);

		if (ct_is_distributed(group->relids[0]))
			do_shards(&run, group->relids[0]);
		else
			do_group(group);
	}
	retry_aside(&run);
	report_skipped(&run);
	record_run(&run);
	SPI_finish();
	ct_rollover_raise_failures(&run);
	PG_RETURN_VOID();
}
