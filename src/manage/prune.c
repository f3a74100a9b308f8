/*-------------------------------------------------------------------------
 *
 * prune.c
 *	  prune_ledger(): taking old activity out of the ledger (rule L2).
 *
 * Only activity is taken: bills, tier changes, subscriptions and all else stay.
 *
 * attach() revokes DELETE on the ledger from its owner, so that nobody loses bills by a mistake.
 * This needs no such privilege (ct_execute_unchecked_by_index()), and works for any owner, whatever a
 * restored database has granted.  It never acts as anybody else than the owner: triggers, rules
 * and policies that he has put on the ledger would run as that role.
 *
 * A function cannot commit, and a long transaction has its price for all writers: dead versions
 * of slots stay.  So a call takes no more than a batch, and is called again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "manage/manage.h"

/*
 * The statement.  Old activity is found by the index on account and time: "accounts" skips from
 * one account of the ledger to the next, and each has its entries looked up until there are
 * enough.  What somebody else has locked is left out.  The WITH is not that of the DELETE, which
 * rules that the owner has put on the ledger would not allow.  %1$s is "greater" of accounts, %2$s the
 * instant, %3$d how many entries.
 */
#define PRUNE \
	"DELETE FROM {ledger} l USING (WITH RECURSIVE accounts (account) AS" \
	"  ((SELECT l.account FROM {ledger} l ORDER BY l.account LIMIT 1)" \
	"   UNION ALL SELECT (SELECT l.account FROM {ledger} l WHERE l.account %1$s a.account ORDER BY l.account LIMIT 1)" \
	"   FROM accounts a WHERE a.account IS NOT NULL)," \
	"  old AS MATERIALIZED (SELECT e.* FROM accounts a CROSS JOIN LATERAL" \
	"   (SELECT l.account, l.entry, l.recorded_at FROM {ledger} l" \
	"    WHERE l.account {=} a.account AND l.event = 'activity' AND l.recorded_at < %2$s::timestamptz" \
	"    FOR UPDATE SKIP LOCKED) e" \
	"   LIMIT %3$d)" \
	"  SELECT * FROM old) o" \
	" WHERE l.account {=} o.account AND l.entry = o.entry AND l.recorded_at = o.recorded_at AND l.event = 'activity'"

/* The caller is the owner, connected to SPI. */
static uint64
prune(const CtTable *table, TimestampTz before, int batch_size)
{
	Oid			greater = lookup_type_cache(table->account_type, TYPECACHE_GT_OPR)->gt_opr;
	Relation	ledger = ct_open_companion(table, CT_LEDGER, RowExclusiveLock);
	uint64		count;

	ct_check_companions(table);
	(void) ct_ledger_close_entries(table, true);
	count = ct_execute_unchecked_by_index(RelationGetRelid(ledger),
										  ct_sqlf(table, PRUNE, ct_quoted_operator(greater),
												  quote_literal_cstr(timestamptz_to_str(before)), batch_size));
	table_close(ledger, NoLock);
	return count;
}

PG_FUNCTION_INFO_V1(contacts_tier_prune_ledger);

/*
 * prune_ledger(contacts regclass, before timestamptz, batch_size integer) bigint
 *
 * Deletes entries of activity that were recorded before that, of all accounts of the companion
 * tables, at most so many.  Entries that are open and idle are closed first.  Returns how many
 * it has deleted: 0 when there are no more, but for those that others have locked.
 *
 * Locks: the contacts, as a SELECT does; the ledger, as a DELETE does; slots with idle entries;
 * entries that are deleted.  It waits for neither slots nor entries.  Errors: 22004, 22023, 25006,
 * those of ct_manage_begin() and ct_check_companions().
 */
Datum
contacts_tier_prune_ledger(PG_FUNCTION_ARGS)
{
	CtManaged	managed;
	uint64		count;

	ct_check_not_null(fcinfo, 0, "contacts");
	ct_check_not_null(fcinfo, 1, "before");
	ct_check_not_null(fcinfo, 2, "batch_size");
	if (PG_GETARG_INT32(2) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"batch_size\" must be greater than zero")));
	PreventCommandIfReadOnly("prune_ledger()");
	PreventCommandIfParallelMode("prune_ledger()");
	if (ct_is_dispatched(fcinfo))
		return ct_sum_of_shards(fcinfo);
	ct_manage_begin(&managed, PG_GETARG_OID(0), AccessShareLock);
	count = prune(managed.table, PG_GETARG_TIMESTAMPTZ(1), PG_GETARG_INT32(2));
	ct_manage_end(&managed);
	PG_RETURN_INT64((int64) count);
}
