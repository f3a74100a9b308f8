/*-------------------------------------------------------------------------
 *
 * applied.c
 *	  Accounts as they will be once the update dates that have passed are applied, for reports that
 *	  look ahead: nothing is written.
 *
 * The rules are those of tier/period.c.  Which contacts an update date concerns, the contacts
 * themselves say; they are looked at only if an account is overdue.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "manage/manage.h"

/* What a report needs of an account, of a row "a" with its charge and contacts that go */
#define COLUMNS(gone, charge) \
	"a.account, a.plan, a.contact_limit, a.max_limit, a.on_exceed, a.grace, a.cancelled, a.ended_at," \
	" a.period_started_at, a.next_update_at, a.renews_at, " gone " AS gone, " charge " AS charge"

/*
 * An account at each update date that has passed, "d" being it before that date: "n" is what the date
 * leaves, "r" the renewal, "t" the tier after it, and "s" the tier after a grace is settled.
 */
#define NEXT_DATE \
	" SELECT d.account, d.plan, s.contact_limit, d.max_limit, d.on_exceed, d.grace, d.cancelled," \
	"  CASE WHEN r.ends THEN d.next_update_at END, d.next_update_at," \
	"  CASE WHEN r.ends THEN 'infinity' ELSE u.next_update_at END, r.renews_at," \
	"  CASE WHEN r.ends THEN d.used ELSE n.gone END," \
	"  CASE WHEN s.contact_limit > t.contact_limit THEN round(contacts_tier_internal.month_share(r.cycle, d.time_zone," \
	"    d.next_update_at, u.next_update_at) * (" PRICE("s") " - " PRICE("t") "), 2) ELSE 0 END," \
	"  d.used, r.cycle, CASE WHEN NOT r.renews THEN d.renewal_cycle END, CASE WHEN NOT r.renews THEN d.renewal_limit END," \
	"  d.auto_downgrade, d.anchor, d.time_zone" \
	" FROM dates d" \
	" CROSS JOIN LATERAL (SELECT count(*) AS gone, d.used - count(*) AS count FROM flagged f" \
	"  WHERE f.account {=} d.account AND coalesce(f.updated_at, '-infinity') < d.next_update_at) n" \
	" CROSS JOIN LATERAL (SELECT x.renews, x.renews AND d.cancelled AS ends, x.cycle, CASE WHEN x.renews THEN" \
	"   contacts_tier_internal.following_renewal_date(d.anchor, x.cycle, d.time_zone, d.next_update_at) ELSE d.renews_at END AS renews_at" \
	"  FROM (SELECT d.renews_at <= d.next_update_at AS renews, CASE WHEN d.renews_at <= d.next_update_at" \
	"   THEN coalesce(d.renewal_cycle, d.billing_cycle) ELSE d.billing_cycle END AS cycle) x) r" \
	" CROSS JOIN LATERAL (SELECT contacts_tier_internal.following_update_date(r.cycle, d.time_zone, r.renews_at, d.next_update_at)" \
	"   AS next_update_at) u" \
	" CROSS JOIN LATERAL (SELECT coalesce((SELECT min(l.contact_limit) FROM {tier} l" \
	"   WHERE r.renews AND l.plan = d.plan AND l.contact_limit >= n.count" \
	"    AND (l.contact_limit = d.renewal_limit" \
	"     OR (d.renewal_limit IS NULL AND d.auto_downgrade AND l.contact_limit < d.contact_limit))), d.contact_limit) AS contact_limit) t" \
	" CROSS JOIN LATERAL (SELECT coalesce((SELECT min(l.contact_limit) FROM {tier} l" \
	"   WHERE d.on_exceed = 'upgrade' AND n.count > t.contact_limit AND l.plan = d.plan AND l.contact_limit >= n.count" \
	"    AND (d.max_limit IS NULL OR l.contact_limit <= d.max_limit)), t.contact_limit) AS contact_limit) s" \
	" WHERE d.next_update_at <= contacts_tier.clock()"

#define PRICE(tier) \
	"(SELECT l.monthly_price FROM {tier} l WHERE l.plan = d.plan AND l.contact_limit = " tier ".contact_limit)"

/* The attached tables that share the companion tables of a report, and are sound. */
static List *
sound_tables(const CtReport *report)
{
	const CtNames *names = &report->table->table->names;
	List	   *result = NIL;
	ListCell   *cell;

	foreach(cell, ct_attached_tables(names))
		if (ct_is_sound(lfirst_oid(cell), names))
		result = lappend_oid(result, lfirst_oid(cell));
	return result;
}

/*
 * For a FROM clause: the accounts of a report with the update dates applied that have passed, as
 * columns account to renews_at of the account table, and gone, the marketing contacts that are none
 * any more then, all of them flagged unless the subscription has ended; and charge, for a grace that is settled.
 *
 * Locks: the contacts, as a SELECT does, if an account is overdue.
 */
char *
ct_applied_accounts(const CtReport *report)
{
	const CtTable *table = report->table->table;
	char	   *of_account = ct_report_account(report, "AND", "a.account");

	if (ct_query(ct_sqlf(table, "SELECT FROM {account} a WHERE a.next_update_at <= contacts_tier.clock()%s LIMIT 1", of_account)) == 0)
		return ct_sqlf(table, "(SELECT " COLUMNS("0::bigint", "0::numeric") " FROM {account} a WHERE true%s)", of_account);
	return ct_sqlf(table, "(WITH RECURSIVE flagged AS (SELECT a.account, a.updated_at FROM (%2$s) a WHERE true%1$s),"
				   " dates AS (SELECT " COLUMNS("0::bigint", "0::numeric") ","
				   "   (SELECT coalesce(sum(c.used), 0)::bigint FROM {counter} c WHERE c.account {=} a.account%3$s) AS used,"
				   "   a.billing_cycle, a.renewal_cycle, a.renewal_limit, a.auto_downgrade, a.anchor, a.time_zone"
				   "  FROM {account} a WHERE a.next_update_at <= contacts_tier.clock()%1$s"
				   " UNION ALL" NEXT_DATE ")"
				   " SELECT " COLUMNS("0", "0") " FROM {account} a WHERE a.next_update_at > contacts_tier.clock()%1$s"
				   " UNION ALL SELECT " COLUMNS("a.gone", "a.charge") " FROM dates a WHERE a.next_update_at > contacts_tier.clock())",
				   of_account, ct_flagged_query(sound_tables(report)), ct_report_account(report, "AND", "c.account"));
}
