/*-------------------------------------------------------------------------
 *
 * audience.c
 *	  audience(): how many contacts of an account a tool can use, and why not the others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

/* Has the account of a report access?  A condition on "a", its account row. */
#define HAS_ACCESS \
	"EXISTS (SELECT FROM {account} a JOIN {plan} p ON p.name = a.plan" \
	" WHERE p.marketing_contacts AND a.ended_at IS NULL%s)"

/*
 * How many contacts of the account the table has.  It asks for no other column than the
 * account, so that an index on it is enough, if there is one.
 */
static char *
total_query(const CtReport *report)
{
	const CtTable *table = report->table->table;

	return psprintf("(SELECT count(*) FROM %s WHERE true%s%s)", ct_qualified_name(report->table->rel),
					!AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]) ? "" :
					ct_report_account(report, "AND", ct_table_column(table, CT_ARG_ACCOUNT)),
					ct_and_condition(table->exists, true));
}

/* Of them, the marketing contacts that satisfy a condition, or do not */
static char *
count_marketing(const CtReport *report, const char *condition)
{
	const CtTable *table = report->table->table;

	return psprintf("(SELECT count(*) FROM %s WHERE %s%s%s%s)",
					ct_qualified_name(report->table->rel),
					ct_status_condition(&table->status, ct_table_column(table, CT_ARG_STATUS)),
					!AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]) ? "" :
					ct_report_account(report, "AND", ct_table_column(table, CT_ARG_ACCOUNT)),
					ct_and_condition(table->exists, true), condition);
}

/*
 * How many of them are marketing contacts.  The counters have it, unless other tables share
 * them; else an index that has the status as well serves best.
 */
static char *
marketing_query(const CtReport *report)
{
	const CtTable *table = report->table->table;

	if (list_length(ct_attached_tables(&table->names)) == 1)
		return psprintf("(SELECT coalesce(sum(used), 0)::bigint FROM %s s)", ct_report_counter(report));
	return count_marketing(report, "");
}

/* How many of these are not eligible (P3). */
static char *
ineligible_query(const CtReport *report)
{
	const CtTable *table = report->table->table;

	return table->eligible == NULL ? "(SELECT 0::bigint)" : count_marketing(report, ct_and_condition(table->eligible, false));
}

/* In one statement, so that all counts are of one snapshot */
static char *
audience_query(const CtReport *report)
{
	text	   *tool = DatumGetTextPP(report->fcinfo->args[2].value);
	const char *total = total_query(report);

	if (!ct_tool_needs_marketing_contact(VARDATA_ANY(tool), VARSIZE_ANY_EXHDR(tool)))
		return psprintf("SELECT 'OK'::text, t.total FROM %s t (total) WHERE t.total > 0", total);
	return ct_sqlf(report->table->table, "SELECT r.reason, r.contacts FROM (SELECT t.total, m.marketing, i.ineligible, " HAS_ACCESS " AS access"
				   "  FROM %s t (total), %s m (marketing), %s i (ineligible)) c,"
				   " LATERAL (VALUES (1, 'OK', c.access, c.marketing - c.ineligible),"
				   "  (2, 'NON_MARKETABLE_CONTACT', c.access, c.total - c.marketing),"
				   "  (3, 'INELIGIBLE', c.access, c.ineligible),"
				   "  (4, 'NO_ACCESS', NOT c.access, c.total)) r (position, reason, applies, contacts)"
				   " WHERE r.applies AND r.contacts > 0 ORDER BY r.position",
				   ct_report_account(report, "AND", "a.account"), total, marketing_query(report),
				   ineligible_query(report));
}

PG_FUNCTION_INFO_V1(contacts_tier_audience);

/*
 * audience(contacts regclass, account text, tool text): a row for each reason that has contacts
 *
 * Locks: ACCESS SHARE.  Errors: 22004, 22023 if there is no such tool, 42501, 42P01, 55000, those of
 * the account's input function.
 */
Datum
contacts_tier_audience(PG_FUNCTION_ARGS)
{
	static const CtReportKind audience = {.query = audience_query,.reads_table = true};
	static const char *const names[] = {"contacts", "account", "tool"};

	for (size_t i = 0; i < lengthof(names); i++)
		ct_check_not_null(fcinfo, i, names[i]);
	ct_report(fcinfo, &audience);
	return (Datum) 0;
}
