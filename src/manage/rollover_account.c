/*-------------------------------------------------------------------------
 *
 * rollover_account.c
 *	  What the steps of a rollover do.
 *
 * They mark the accounts that are due, apply the update dates of one, batch by batch, and
 * give new partitions what they lack.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "manage/manage.h"

/*
 * The fourth field of an advisory lock tag, in which pg_advisory_lock() has 1 or 2: no lock
 * of users is one of ours (lockfuncs.c)
 */
#define ROLLOVER_LOCK	0x4354

/* The tables of a group, opened for a step */
typedef struct Step
{
	CtWork	   *work;
	CtUpdateDate due;
} Step;

/*
 * Step: mark the accounts that are due as to be done by this run, but for those that
 * others have locked, and list all in the order in which they came due.
 */
void
ct_rollover_mark_due(CtWork *work)
{
	CtTableGroup *group = work->group;
	CtRun	   *run = work->run;
	int			ntables;
	CtManaged  *tables = ct_rollover_open_group(group, &ntables);
	Oid			types[] = {UUIDOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[3];
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
	values[2] = TimestampTzGetDatum(run->started_at);
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
	count = ct_execute(ct_sqlf(tables[0].table, "SELECT account, row_number() OVER (ORDER BY account) FROM {account}"
							   " WHERE next_update_at <= $2%s ORDER BY next_update_at, account", only),
					   2, types, values, NULL);
	for (uint64 i = 0; i < count; i++)
	{
		char	   *account = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		Size		size = strlen(account) + 1;
		CtDueAccount *due = MemoryContextAlloc(run->context, offsetof(CtDueAccount, account) + size);
		MemoryContext old = MemoryContextSwitchTo(run->context);
		bool		isnull;

		due->rank = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));
		memcpy(due->account, account, size);
		group->accounts = lappend(group->accounts, due);
		MemoryContextSwitchTo(old);
	}
	ct_rollover_close_group(group, tables, ntables);
}

/*
 * Step: give new partitions what they lack.
 */
void
ct_rollover_partitions(CtWork *work)
{
	int			ntables;
	CtManaged  *tables = ct_rollover_open_group(work->group, &ntables);

	for (int i = 0; i < ntables; i++)
		ct_add_partition_triggers(RelationGetRelid(tables[i].rel));
	ct_rollover_close_group(work->group, tables, ntables);
	work->finished = true;
}

/*
 * Step: close entries of activity that idle, a batch of them; on a shard, see also to privileges that Citus has
 * not revoked here.  Not where the run is about one account.
 */
void
ct_rollover_close_entries(CtWork *work)
{
	int			ntables;
	CtManaged  *tables = ct_rollover_open_group(work->group, &ntables);

	PushActiveSnapshot(GetTransactionSnapshot());	/* as in apply() */
	work->finished = ntables == 0 || ct_ledger_close_entries(tables[0].table, true) < CT_ENTRIES_AT_ONCE;
	PopActiveSnapshot();
	if (ntables > 0 && work->run->for_shard)
		ct_restate_on_node(tables[0].table);
	ct_rollover_close_group(work->group, tables, ntables);
}

/*
 * Exclude other rollovers from the account until the transaction ends; false if one is at
 * work on it.  Two accounts may have the same key: then they wait for one another's runs,
 * and nothing else.
 */
static bool
lock_account(const CtTable *table, const char *account)
{
	uint32		key = DatumGetUInt32(hash_any((const unsigned char *) account, strlen(account)));
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, ct_companion_relid(&table->names, CT_ACCOUNT), key, ROLLOVER_LOCK);
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
 * if less than a full batch is left.  The time at which they were flagged is no
 * condition, so that the index that attach() created suffices, which has them in order;
 * a plan that sorts would read all that are left, for each batch.
 */
static char *
end_of_batch(const Step *step, const CtManaged *managed, const char *columns, const char *literals)
{
	const CtWork *work = step->work;
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
 * Do one full batch, if some table still has one.  Tables without a usable
 * key are left for the last step.
 */
static bool
demote_batch(Step *step)
{
	CtWork	   *work = step->work;

	/* the counter is exact, but for what others are flagging now */
	if (step->due.flagged < work->run->batch_size)
		return false;
	for (; work->table < step->due.ntables; work->table++, work->position = NULL)
	{
		CtManaged  *managed = &step->due.tables[work->table];
		char	   *literals;
		char	   *columns = key_columns(managed, &literals);
		char	   *end = columns == NULL ? NULL : end_of_batch(step, managed, columns, literals);
		Oid			types[] = {managed->table->account_type, INT8OID, UUIDOID, TIMESTAMPTZOID};
		Datum		values[] = {step->due.account, 0, 0, TimestampTzGetDatum(work->run->started_at)};
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
		work->ncontacts += DatumGetInt64(values[1]);
		work->run->may_be_lost = true;
		return true;
	}
	return false;
}

/* The contacts of a batch that is flagged next, as a condition on their keys */
static char *
range_of_batch(const CtWork *work, const char *columns)
{
	const char *end = list_nth(work->flag_ends, work->flag_batch);
	const char *behind = work->flag_batch == 0 ? "" :
		psprintf(" AND ROW(%s) OPERATOR(pg_catalog.>) ROW(%s)", columns,
				 (char *) list_nth(work->flag_ends, work->flag_batch - 1));

	return psprintf("%s AND ROW(%s) OPERATOR(pg_catalog.<=) ROW(%s)", behind, columns, end);
}

/*
 * Flag one full batch of the contacts that are not eligible any more (P3), if some table still
 * has one; once a run, whatever dates are applied, since all of them go on the next date after
 * that.  Where a run is interrupted, the next one finds those that have no flag.  What is less than a
 * full batch is left for the last step.
 */
static bool
flag_batch(Step *step)
{
	CtWork	   *work = step->work;
	CtRun	   *run = work->run;

	if (step->due.ends || step->due.marketing < run->batch_size)
		return false;
	for (; work->flag_table < step->due.ntables; work->flag_table++, work->flag_ends = NIL, work->flag_batch = 0)
	{
		CtManaged  *managed = &step->due.tables[work->flag_table];
		char	   *literals;
		char	   *columns = managed->table->eligible == NULL ? NULL : key_columns(managed, &literals);

		if (columns == NULL)
			continue;
		if (work->flag_ends == NIL)
			work->flag_ends = ct_ineligible_batches(managed, step->due.account, run->batch_size, columns, literals,
													run->context);
		if (work->flag_batch >= list_length(work->flag_ends))
			continue;
		ct_flag_ineligible(managed, step->due.account, step->due.now, range_of_batch(work, columns));
		work->flag_batch++;
		/* the counter has them now, but they do not go on this date */
		work->table = step->due.ntables;
		run->may_be_lost = true;
		return true;
	}
	return false;
}

/* Flag what is left of them, together with the date. */
static void
flag_rest(Step *step)
{
	if (step->due.ends || step->work->ndates > 0)
		return;
	for (int i = 0; i < step->due.ntables; i++)
		ct_flag_ineligible(&step->due.tables[i], step->due.account, step->due.now, "");
}

/*
 * Find the update date to be applied, and go on with its batches where the last
 * step of this run left off.
 */
static bool
find_due_date(Step *step)
{
	CtWork	   *work = step->work;

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
 * Apply the date, and look for the next one.  If a statement has applied it meanwhile, what
 * this step wrote is undone, and the work is tried again like one that met a lock.
 */
static void
apply(Step *step)
{
	CtWork	   *work = step->work;
	bool		applied;

	/*
	 * outside a statement none is active, but slots and entries have texts,
	 * which can be toasted
	 */
	PushActiveSnapshot(GetTransactionSnapshot());
	/* contacts before slots; what is flagged now does not go on this date */
	flag_rest(step);
	applied = ct_apply_update_date(&step->due);
	PopActiveSnapshot();
	if (applied)
	{
		work->ndates++;
		work->ncontacts += step->due.demoted;
	}
	else if (step->due.demoted > 0)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("another transaction has applied the update date")));
	work->finished = !find_due_date(step);
}

/*
 * Step: a batch of an account, or its advance to the next update date.
 */
void
ct_rollover_account(CtWork *work)
{
	Step		step = {
		.work = work,
		.due = {.now = work->run->now,.started_at = work->run->started_at,.run = work->run->id}
	};

	step.due.tables = ct_rollover_open_group(work->group, &step.due.ntables);
	if (step.due.ntables > 0)
		step.due.account = ct_managed_account(&step.due.tables[0], work->account);
	if (step.due.ntables == 0 || !lock_account(step.due.tables[0].table, work->account) || !find_due_date(&step))
		work->finished = true;
	else if (!demote_batch(&step) && !flag_batch(&step))
		apply(&step);
	ct_rollover_close_group(work->group, step.due.tables, step.due.ntables);
}
