/*-------------------------------------------------------------------------
 *
 * recount.c
 *	  Counting contacts in the table itself, where the counters cannot know:
 *	  when a table comes or goes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "contacts_tier.h"

/*
 * A query for the marketing contacts of each account in a relation: columns
 * account, marketing, pending.  "from" is what stands in the FROM clause.  The
 * account is NULL for contacts that cannot be marketing contacts but are.
 */
static char *
count_query(const CtTable *table, const char *from)
{
	const char *account = AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]) ?
		ct_table_column(table, CT_ARG_ACCOUNT) :
		psprintf("%s::pg_catalog.text", quote_literal_cstr(CT_DEFAULT_ACCOUNT));

	return psprintf("SELECT %1$s AS account, pg_catalog.count(*) AS marketing,"
					" pg_catalog.count(*) FILTER (WHERE %2$s) AS pending"
					" FROM %3$s"
					" WHERE %4$s OPERATOR(pg_catalog.=) 'marketing'::contacts_tier.marketing_status"
					" GROUP BY 1",
					account, ct_table_column(table, CT_ARG_UNTIL), from,
					ct_table_column(table, CT_ARG_STATUS));
}

/*
 * A query for the marketing contacts of each account in several attached tables
 * together: columns as count_query().  Contacts without an account make a row
 * of their own.
 */
char *
ct_recount_query(List *relids)
{
	StringInfoData buf;
	int			ntables = 0;
	ListCell   *cell;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "SELECT account, pg_catalog.sum(marketing)::pg_catalog.int8 AS marketing,"
						   " pg_catalog.sum(pending)::pg_catalog.int8 AS pending FROM (");
	foreach(cell, relids)
	{
		Relation	rel = try_relation_open(lfirst_oid(cell), AccessShareLock);
		CtTable    *table = rel == NULL ? NULL : ct_table_of_relation(rel);

		/* while we waited, it may have been dropped or detached */
		if (table != NULL)
			appendStringInfo(&buf, "%s(%s)", ntables++ > 0 ? " UNION ALL " : "",
							 count_query(table, ct_qualified_name(rel)));
		if (rel != NULL)
			relation_close(rel, NoLock);
	}
	if (ntables == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the table is not attached any more")));
	appendStringInfoString(&buf, ") x GROUP BY account");
	return buf.data;
}

/*
 * Take back what is granted in the other slots of the accounts that were just
 * counted in.  No slots are added meanwhile, since we hold slot 0 of each.
 */
static void
freeze_counted(const CtTable *table)
{
	uint64		count = ct_execute_latest(psprintf("SELECT DISTINCT c.account FROM %1$s." CT_COUNTER_TABLE " c"
												   " WHERE c.slot > 0 ORDER BY c.account",
												   quote_identifier(NameStr(table->schema))));
	SPITupleTable *accounts = SPI_tuptable;

	ct_check_result_type(accounts->tupdesc, 1, table->account_type);
	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;

		ct_counter_freeze(table, SPI_getbinval(accounts->vals[i], accounts->tupdesc, 1, &isnull));
	}
}

/*
 * Add the contacts of a relation to the counters as they stand, whatever the
 * tiers of their accounts.  Where the accounts were counted before, by another
 * table, nothing stays granted.  The caller has locked the relation against
 * writers, and manages it as its owner.
 */
void
ct_count_in(const CtTable *table, const char *from)
{
	ct_execute_latest(psprintf("INSERT INTO %s." CT_COUNTER_TABLE " AS c (account, slot, used, pending, granted, promoted)"
							   " SELECT t.account, 0, t.marketing, t.pending, NULL, t.marketing FROM (%s ORDER BY 1) t"
							   " WHERE t.account IS NOT NULL"
							   " ON CONFLICT (account, slot) DO UPDATE SET used = c.used + excluded.used,"
							   " pending = c.pending + excluded.pending,"
							   " promoted = c.promoted + excluded.promoted, granted = NULL",
							   quote_identifier(NameStr(table->schema)),
							   count_query(table, from)));
	freeze_counted(table);
}

/*
 * Take the contacts of a relation off the counters.  The caller has locked the
 * relation against writers, and is the table's owner.  Where an account has no
 * slot yet, what is going to be counted in later finds the opposite there.
 */
void
ct_uncount(const CtTable *table, const char *from)
{
	ct_execute_latest(psprintf("INSERT INTO %1$s." CT_COUNTER_TABLE " AS c"
							   " (account, slot, used, pending, granted, demoted)"
							   " SELECT t.account, 0, OPERATOR(pg_catalog.-) t.marketing,"
							   " OPERATOR(pg_catalog.-) t.pending, NULL, t.marketing"
							   " FROM (%2$s ORDER BY 1) t WHERE t.account IS NOT NULL"
							   " ON CONFLICT (account, slot) DO UPDATE"
							   " SET used = c.used OPERATOR(pg_catalog.+) excluded.used,"
							   " pending = c.pending OPERATOR(pg_catalog.+) excluded.pending,"
							   " demoted = c.demoted OPERATOR(pg_catalog.+) excluded.demoted,"
							   " peak = greatest(c.peak, (SELECT pg_catalog.sum(s.used)::pg_catalog.int8"
							   "  FROM %1$s." CT_COUNTER_TABLE " s WHERE s.account %3$s c.account))",
							   quote_identifier(NameStr(table->schema)),
							   count_query(table, from), ct_quoted_operator(table->account_eq)));
}
