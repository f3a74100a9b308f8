/*-------------------------------------------------------------------------
 *
 * catch_up.c
 *	  Applying an update date within a statement (rule T6).
 *
 * Where a scheduler is late, the statement that reaches the limit of an account applies the
 * dates that have passed, so that nobody is refused or charged for contacts that should
 * be gone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "tier/tier.h"

/* How long a statement waits for tables that it writes only because of a date, in ms */
#define TABLE_LOCK_TIMEOUT	1000

/* Say in an error for which table we waited. */
static void
add_lock_context(void *name)
{
	errcontext("while locking table \"%s\" to apply an update date that has passed", (char *) name);
}

/*
 * Lock tables and their partitions as the date will write them.  The statement that we
 * are part of need not write them itself, so it must not wait long for a command that
 * alters one of them (R5): 55P03 then, since to go on without them would cost the account money (T6).
 */
static void
lock_tables(List *relids)
{
	int			level = NewGUCNestLevel();
	ListCell   *cell;

	if (LockTimeout == 0 || LockTimeout > TABLE_LOCK_TIMEOUT)
		ct_set_for_now("lock_timeout", psprintf("%d", TABLE_LOCK_TIMEOUT));
	foreach(cell, relids)
	{
		char	   *name = get_rel_name(lfirst_oid(cell));
		ErrorContextCallback context = {.callback = add_lock_context,.arg = name,.previous = error_context_stack};

		if (name == NULL)
			continue;
		error_context_stack = &context;
		LockRelationOid(lfirst_oid(cell), RowExclusiveLock);
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(cell))))
			(void) find_all_inheritors(lfirst_oid(cell), RowExclusiveLock, NULL);
		error_context_stack = context.previous;
	}
	AtEOXact_GUC(false, level);
}

/*
 * All attached tables that share the companion tables of one, locked.  While we waited
 * for a lock some may have been attached, detached or dropped: look once more.
 */
static List *
lock_sharing_tables(const CtTable *table)
{
	List	   *relids = ct_attached_tables(&table->names);

	for (;;)
	{
		List	   *locked = relids;

		lock_tables(locked);
		relids = ct_attached_tables(&table->names);
		if (equal(relids, locked))
			return relids;
	}
}

/* Open all attached tables that share the companion tables of one. */
static void
open_tables(const CtTable *table, CtUpdateDate *due)
{
	List	   *relids = lock_sharing_tables(table);

	due->ntables = list_length(relids);
	due->tables = palloc(sizeof(CtManaged) * due->ntables);
	for (int i = 0; i < due->ntables; i++)
		ct_manage_begin(&due->tables[i], list_nth_oid(relids, i), RowExclusiveLock);
}

/*
 * Apply all dates that have passed, the oldest first.  Whether one is due is read anew each
 * time: another transaction may have applied it while we waited for locks.
 */
static bool
apply_overdue(const CtTable *table, Datum account, const CtRowPlaces *statement)
{
	CtUpdateDate due = {
		.account = account,.now = ct_now(),.started_at = GetCurrentStatementStartTimestamp(),.run = NULL,
		.statement = statement
	};
	bool		applied = false;

	open_tables(table, &due);
	while (due.ntables > 0 && ct_find_update_date(&due))
	{
		CHECK_FOR_INTERRUPTS();
		(void) ct_apply_update_date(&due);
		applied = true;
	}
	for (int i = due.ntables - 1; i >= 0; i--)
		ct_manage_end(&due.tables[i]);
	return applied;
}

/*
 * T6: apply the update dates of an account that have passed, in the running
 * statement, whose promotions count for the period after them.  "statement" has the places
 * of these, or is NULL where the caller has written no contacts.  Returns whether there
 * were any dates.  The caller is the owner of the contacts table and holds no slot of the
 * account.
 *
 * Locks: all attached tables that share the companion tables, as an UPDATE does; rows as
 * ct_apply_update_date().  Errors: 55P03 where one of the tables stays locked, 42501 where one of
 * them belongs to another role, 55000, 42P01, 42703 and 42804 where they or the companion
 * tables are not as attach() creates them, 40P01 and 40001 (src/README on update dates), and
 * those of the application's triggers and constraints, which fire for what is demoted.
 */
bool
ct_catch_up(const CtTable *table, Datum account, const CtRowPlaces *statement)
{
	return !ct_is_demoting() && ct_is_overdue(table, account) &&
		apply_overdue(table, account, statement);
}
