/*-------------------------------------------------------------------------
 *
 * period.c
 *	  What happens at an update date (rules D1 to D3, T4 to T6).
 *
 * The contacts that were flagged before it become non-marketing, the billing
 * period ends and the next one begins; on a renewal date the tier that was
 * requested for it takes effect, or the subscription ends; and an account that lives on
 * its grace moves to a larger tier.  All of it is one step of one transaction, which holds
 * the contacts in question, the slots and the account row, in this order.
 *
 * rollover.c calls it for the accounts that are due.  Where a scheduler is late,
 * the statement that reaches the limit of an account calls it (catch_up.c), so that nobody
 * is refused or charged for contacts that should be gone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "tier/tier.h"

/* What the account row says at an update date */
typedef struct Account
{
	int64		contact_limit;
	int64		renewal_limit;	/* requested for the renewal; 0: none */
	bool		renews;			/* is it a renewal date? */
	bool		ends;			/* of a cancelled subscription? */
	bool		auto_downgrade;
	bool		upgrades;		/* does an excess move it to a larger tier? */
} Account;

/* $2: now */
static const CtQuery find_update_date_query = {
	"SELECT a.next_update_at, a.cancelled AND a.renews_at" CT_LE "a.next_update_at,"
	"  coalesce(c.pending, 0)::pg_catalog.int8, coalesce(c.used, 0)::pg_catalog.int8"
	" FROM {account} a,"
	"  (SELECT pg_catalog.sum(c.pending), pg_catalog.sum(c.used) FROM {counter} c WHERE c.account {=} $1) c (pending, used)"
	" WHERE a.account {=} $1 AND a.next_update_at" CT_LE "$2",
	2, {CT_ACCOUNT_TYPE, TIMESTAMPTZOID}
};

/*
 * A date that was applied is still there: a rule, trigger or policy of the owner's keeps the account row
 * as it is.  The period would be closed again and again.
 */
static void
check_moved_on(const CtUpdateDate *due)
{
	const CtTable *table = due->tables[0].table;

	if (due->applied != 0 && due->date <= due->applied)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the update date of account \"%s\" could not be changed", ct_account_text(table, due->account)),
				 errdetail("A rule, trigger or row security policy on table \"%s\" suppressed or changed the update.",
						   NameStr(table->names.companions[CT_ACCOUNT])),
				 errhint("Drop it, and begin a new session if it was a rule.")));
}

/*
 * Find the update date of the account that is to be applied, the earliest up to "now";
 * false if there is none.  Fills in "date", "ends", "flagged" and "marketing", and locks nothing: the
 * date may be gone when ct_apply_update_date() looks.  The caller is the owner of the tables.
 * Errors: 55000 where the date that was applied last has not been moved on.
 */
bool
ct_find_update_date(CtUpdateDate *due)
{
	Datum		values[] = {due->account, TimestampTzGetDatum(due->now)};
	bool		isnull;

	if (ct_companion_query(due->tables[0].table, &find_update_date_query, values, NULL) == 0)
		return false;
	due->date = DatumGetTimestampTz(ct_result(1, TIMESTAMPTZOID, &isnull));
	due->ends = ct_result_bool(2);
	due->flagged = ct_result_int64(3);
	due->marketing = ct_result_int64(4);
	check_moved_on(due);
	return true;
}

/*
 * The contacts that the date concerns, as ct_flagged_contacts(); if the account loses access,
 * all its marketing contacts.
 */
static char *
concerned_contacts(const CtManaged *managed, bool ends)
{
	const CtTable *table = managed->table;
	StringInfoData buf;

	if (!ends)
		return ct_flagged_contacts(managed);
	initStringInfo(&buf);
	appendStringInfo(&buf, "%s AND $2 IS NOT NULL",
					 ct_status_condition(&table->status, ct_table_column(table, CT_ARG_STATUS)));
	if (AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]))
		appendStringInfo(&buf, " AND %s %s $1", ct_table_column(table, CT_ARG_ACCOUNT), ct_quoted_operator(table->account_eq));
	return buf.data;
}

/*
 * Lock the contacts that a condition selects.
 */
static void
lock_contacts(const CtUpdateDate *due, const CtManaged *managed, const char *condition)
{
	Oid			types[] = {managed->table->account_type, TIMESTAMPTZOID};
	Datum		values[] = {due->account, TimestampTzGetDatum(due->date)};

	ct_execute_now_by_index(psprintf("SELECT count(*) FROM (SELECT FROM %s WHERE %s FOR NO KEY UPDATE) c",
									 ct_qualified_name(managed->rel), condition),
							lengthof(types), types, values);
}

/* $2: the date */
static const CtQuery lock_account_query = {
	"SELECT contact_limit, coalesce(renewal_limit, 0), renews_at" CT_LE "$2,"
	" renews_at" CT_LE "$2 AND cancelled, auto_downgrade, on_exceed" CT_EQ "'upgrade'"
	" FROM {account}"
	" WHERE account {=} $1 AND next_update_at" CT_EQ "$2 FOR NO KEY UPDATE",
	2, {CT_ACCOUNT_TYPE, TIMESTAMPTZOID}
};

/*
 * Lock the account row and read it.  False if the date is not due any more:
 * another transaction has applied it.  FOR NO KEY UPDATE is what an UPDATE of the row
 * locks; ct_companion_query() sees what was committed while it waited.
 */
static bool
lock_account(const CtUpdateDate *due, Account *account)
{
	Datum		values[] = {due->account, TimestampTzGetDatum(due->date)};

	if (ct_companion_query(due->tables[0].table, &lock_account_query, values, NULL) == 0)
		return false;
	account->contact_limit = ct_result_int64(1);
	account->renewal_limit = ct_result_int64(2);
	account->renews = ct_result_bool(3);
	account->ends = ct_result_bool(4);
	account->auto_downgrade = ct_result_bool(5);
	account->upgrades = ct_result_bool(6);
	return true;
}

/* $2: contacts */
static const CtQuery smallest_tier_query = {
	"SELECT coalesce(pg_catalog.min(t.contact_limit), 0) FROM {tier} t"
	" JOIN {account} a ON a.plan" CT_EQ "t.plan"
	" WHERE a.account {=} $1 AND t.contact_limit" CT_GE "$2",
	2, {CT_ACCOUNT_TYPE, INT8OID}
};

/* $2: contacts; not beyond the account's max_limit */
static const CtQuery allowed_tier_query = {
	"SELECT coalesce(pg_catalog.min(t.contact_limit), 0) FROM {tier} t"
	" JOIN {account} a ON a.plan" CT_EQ "t.plan"
	" WHERE a.account {=} $1 AND t.contact_limit" CT_GE "$2"
	"  AND (a.max_limit IS NULL OR t.contact_limit" CT_LE "a.max_limit)",
	2, {CT_ACCOUNT_TYPE, INT8OID}
};

/*
 * The smallest tier of the account's plan that holds the count, 0 for none.  By the plan as
 * it is now: tiers can be added to a plan and removed from it while it has subscribers.
 */
static int64
smallest_tier(const CtUpdateDate *due, int64 count)
{
	Datum		values[] = {due->account, Int64GetDatum(count)};

	ct_companion_query(due->tables[0].table, &smallest_tier_query, values, NULL);
	return ct_result_int64(1);
}

/* The same, of those that the account may move up to by itself (T7). */
static int64
allowed_tier(const CtUpdateDate *due, int64 count)
{
	Datum		values[] = {due->account, Int64GetDatum(count)};

	ct_companion_query(due->tables[0].table, &allowed_tier_query, values, NULL);
	return ct_result_int64(1);
}

/*
 * $2: the date, $3: now, $4: role, $5: run or NULL, $6 to $11: closing count, peak,
 * promoted, demoted, demoted by this, corrected, $12: start of the run, $13: the real time,
 * $14: how many of those demoted were not flagged
 */
static const CtQuery close_period_query = {
	"INSERT INTO {ledger} (account, recorded_at, event, role, contacts, details)"
	" SELECT $1, $3, e.event, $4, e.contacts, e.details"
	" FROM {account} a"
	" LEFT JOIN {plan} p ON p.name" CT_EQ "a.plan,"
	" LATERAL (VALUES ('rollover', a.rollover_contacts" CT_ADD "$10, pg_catalog.jsonb_build_object("
	"  'run', $5, 'applied_by', CASE WHEN $5 IS NULL THEN 'statement' ELSE 'rollover' END,"
	"  'update_date', $2, 'period_started_at', a.period_started_at,"
	"  'contact_limit', a.contact_limit, 'started_at', $12, 'applied_at', $13)"
	"  OPERATOR(pg_catalog.||) CASE WHEN $14" CT_GT "0 THEN pg_catalog.jsonb_build_object('not_flagged', $14) ELSE '{}' END),"
	" ('billing_period', $6, pg_catalog.jsonb_build_object("
	"  'started_at', a.period_started_at, 'ended_at', $2, 'plan', a.plan,"
	"  'currency', p.currency, 'billing_cycle', a.billing_cycle,"
	"  'contact_limit', a.period_limit, 'monthly_price', a.period_price,"
	"  'month_share', contacts_tier_internal.month_share(a.billing_cycle, a.time_zone, a.period_started_at, $2),"
	"  'opening', a.period_opening, 'peak', greatest($7, a.period_opening), 'closing', $6,"
	"  'promoted', $8, 'demoted', $9, 'corrected', $11, 'upgrades', a.period_upgrades))"
	") AS e (event, contacts, details)"
	" WHERE a.account {=} $1",
	14, {CT_ACCOUNT_TYPE, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID}
};

/*
 * Write what the period was into the ledger (D3), and what the rollover did.  Prices are
 * copied, so that a later change of the plan does not change a bill.  "not_flagged" is how many
 * contacts became non-marketing that were not flagged for it, but lost access.
 */
static void
close_period(const CtUpdateDate *due, const CtCount *closing, int64 not_flagged)
{
	Datum		values[] = {
		due->account,
		TimestampTzGetDatum(due->date),
		TimestampTzGetDatum(due->now),
		CStringGetTextDatum(ct_caller_name()),
		due->run == NULL ? (Datum) 0 : CStringGetTextDatum(due->run),
		Int64GetDatum(closing->marketing),
		Int64GetDatum(closing->peak),
		Int64GetDatum(closing->promoted),
		Int64GetDatum(closing->demoted),
		Int64GetDatum(due->demoted),
		Int64GetDatum(closing->corrected),
		TimestampTzGetDatum(due->started_at),
		TimestampTzGetDatum(GetCurrentTimestamp()),
		Int64GetDatum(not_flagged)
	};

	ct_companion_query(due->tables[0].table, &close_period_query, values,
					   due->run == NULL ? "    n         " : NULL);
}

/* $2: the date, $3: contacts with which the period begins */
static const CtQuery open_period_query = {
	"UPDATE {account} a SET"
	" period_started_at = $2, renews_at = n.renews_at,"
	" next_update_at = contacts_tier_internal.following_update_date(n.cycle, a.time_zone, n.renews_at, $2),"
	" billing_cycle = n.cycle,"
	" renewal_cycle = CASE WHEN a.renews_at" CT_GT "$2 THEN a.renewal_cycle END,"
	" renewal_limit = CASE WHEN a.renews_at" CT_GT "$2 THEN a.renewal_limit END,"
	" announced = 0, exceeded_announced = false, period_opening = $3, period_upgrades = 0, period_limit = a.contact_limit,"
	" period_price = (SELECT t.monthly_price FROM {tier} t"
	"  WHERE t.plan" CT_EQ "a.plan AND t.contact_limit" CT_EQ "a.contact_limit),"
	" rollover_run = NULL, rollover_started_at = NULL, rollover_contacts = 0"
	" FROM (SELECT b.account, c.cycle, CASE WHEN b.renews_at" CT_GT "$2 THEN b.renews_at"
	"   ELSE contacts_tier_internal.following_renewal_date(b.anchor, c.cycle, b.time_zone, $2) END AS renews_at"
	"  FROM {account} b, LATERAL (SELECT CASE WHEN b.renews_at" CT_GT "$2"
	"   THEN b.billing_cycle ELSE coalesce(b.renewal_cycle, b.billing_cycle) END) AS c (cycle)"
	"  WHERE b.account {=} $1) n"
	" WHERE a.account {=} $1",
	3, {CT_ACCOUNT_TYPE, TIMESTAMPTZOID, INT8OID}
};

/*
 * Begin the next period, up to the next update date.  Renewals follow one
 * another by a month or a year from the last one, on the anchor's day.  The period begins
 * with the date, not with the moment at which it is applied, so a late rollover makes it
 * neither longer nor shorter.
 */
static void
open_period(const CtUpdateDate *due, int64 opening)
{
	Datum		values[] = {due->account, TimestampTzGetDatum(due->date), Int64GetDatum(opening)};

	ct_companion_query(due->tables[0].table, &open_period_query, values, NULL);
}

/* $2: the date */
static const CtQuery end_subscription_query = {
	"UPDATE {account} SET ended_at = $2, cancelled = false,"
	" period_started_at = $2, next_update_at = 'infinity',"
	" renewal_limit = NULL, renewal_cycle = NULL, requested_limit = NULL,"
	" announced = 0, exceeded_announced = false, period_opening = 0, period_upgrades = 0,"
	" rollover_run = NULL, rollover_started_at = NULL, rollover_contacts = 0"
	" WHERE account {=} $1",
	2, {CT_ACCOUNT_TYPE, TIMESTAMPTZOID}
};

/*
 * The subscription ends: there is no next period, and no access.  The account row stays,
 * with its policies, for bills and for a new subscription.  What new contacts get by default
 * changes with it, so remembered answers are forgotten.
 */
static void
end_subscription(const CtUpdateDate *due)
{
	const CtTable *table = due->tables[0].table;
	Datum		values[] = {due->account, TimestampTzGetDatum(due->date)};

	ct_companion_query(table, &end_subscription_query, values, NULL);
	ct_ledger_record(table, due->account, "ended", 0, "{}");
	ct_source_forget();
}

/*
 * T5: on the renewal date the tier that was requested for it takes effect if the count
 * fits into it and the plan still has it; else the current tier stays, and a notification
 * says so.
 */
static void
renew(const CtUpdateDate *due, Account *account, int64 count)
{
	const CtTable *table = due->tables[0].table;
	int64		wanted = account->renewal_limit;

	if (wanted == 0 && account->auto_downgrade)
	{
		wanted = smallest_tier(due, count);
		if (wanted > account->contact_limit)
			wanted = 0;
	}
	if (wanted == 0 || wanted == account->contact_limit)
		return;
	/* too small, or no tier of the plan any more */
	if (wanted < count || smallest_tier(due, wanted) != wanted)
	{
		ct_announce(table, due->account, "downgrade_kept", count, count,
					psprintf("{\"asked\": %lld, \"contact_limit\": %lld}",
							 (long long) wanted, (long long) account->contact_limit));
		return;
	}
	ct_tier_move(table, due->account, wanted, count, "renewal", due->date);
	account->contact_limit = wanted;
}

/*
 * T4: an account that is above its limit on the update date, within its grace, moves to a
 * larger tier, if there is one that it may move up to.  It pays for the whole period that
 * begins, whatever its proration is: that is the period after the one in which it was exceeded.
 */
static void
settle_grace(const CtUpdateDate *due, const Account *account, int64 count)
{
	int64		larger;

	if (!account->upgrades || count <= account->contact_limit)
		return;
	larger = allowed_tier(due, count);
	if (larger > account->contact_limit)
		ct_tier_move(due->tables[0].table, due->account, larger, count, "grace", due->date);
}

/*
 * Write the contacts that the date concerns, in all tables.  Contacts come before slots, as
 * in any statement: it locks what it writes, and claims at its end.
 */
static void
demote(CtUpdateDate *due, bool ends)
{
	for (int i = 0; i < due->ntables; i++)
		due->demoted += ct_demote_contacts(due, &due->tables[i], concerned_contacts(&due->tables[i], ends));
}

/*
 * Can the contacts be written before the account row is locked?  Those that were flagged can,
 * by a rollover, since its step is undone if the date turns out to be applied; what a
 * statement has written cannot be, and a cancellation can be withdrawn until then.
 */
static bool
writes_early(const CtUpdateDate *due)
{
	return due->run != NULL && !due->ends;
}

/*
 * Lock the contacts that the date concerns, in all tables, before the slots; or write them.
 */
static void
claim_contacts(CtUpdateDate *due)
{
	if (writes_early(due))
	{
		demote(due, false);
		return;
	}
	for (int i = 0; i < due->ntables; i++)
		lock_contacts(due, &due->tables[i], concerned_contacts(&due->tables[i], due->ends));
}

/*
 * The last step of an update date: the contacts that are left, the period, the
 * renewal and the next date, all or nothing.  False if the date is not due any more;
 * due->demoted says how many contacts became non-marketing, and if there are any then, the
 * caller, a rollover, undoes that.
 *
 * Locks, until the transaction ends: the contacts in question of all tables, the
 * slots of the account, its row.  That is the order of writers, who hold contacts when they
 * lock slots, so the contacts come first (src/README on the order of locks).  The slots
 * are locked a second time, by then without waiting, to begin the counts of a period.
 */
bool
ct_apply_update_date(CtUpdateDate *due)
{
	const CtTable *table = due->tables[0].table;
	Account		account;
	CtCount		left;
	CtCount		closing;

	due->demoted = 0;
	ct_check_renamed();			/* contacts are looked up by the account */
	claim_contacts(due);
	left = ct_counter_withdraw(table, due->account, NULL);
	if (!lock_account(due, &account))
		return false;

	/*
	 * what others have flagged, or promoted, until the slots were locked:
	 * these are exact
	 */
	if (!writes_early(due) || (account.ends ? left.marketing : left.pending) > 0)
		demote(due, account.ends);
	closing = ct_ledger_close_period(table, due->account);
	close_period(due, &closing, account.ends ? left.marketing - left.pending : 0);
	due->applied = due->date;
	if (account.ends)
	{
		end_subscription(due);
		return true;
	}
	if (account.renews)
		renew(due, &account, closing.marketing);
	open_period(due, closing.marketing);
	settle_grace(due, &account, closing.marketing);
	ct_limit_begin_period(table, due->account, closing.marketing);
	return true;
}
