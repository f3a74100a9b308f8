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
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
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
 * Add a relation to the query.  It may be gone, or not be attached any more: the
 * caller has locked but one of them.
 */
static void
append_relation(StringInfo buf, Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	Trigger    *trigger = rel == NULL ? NULL : ct_find_trigger(rel, CT_TRIGGER_STATUS);

	if (trigger != NULL && ct_right_args(trigger->tgnargs))
	{
		/* resolved at once: the trigger may go with the next look-up */
		CtTable    *table = ct_table_resolve(rel, trigger->tgnargs, trigger->tgargs);

		appendStringInfo(buf, "%s(%s)", buf->len > 0 ? " UNION ALL " : "",
						 count_query(table, ct_qualified_name(rel)));
	}
	if (rel != NULL)
		relation_close(rel, NoLock);
}

/*
 * The partitions that wait to be detached, at any level below a table: a query of
 * it does not see them, but until then they have its triggers, and are counted.
 */
List *
ct_pending_partitions(Oid parent)
{
	List	   *pending = NIL;
	List	   *children;
	List	   *visible;
	ListCell   *cell;

	if (get_rel_relkind(parent) != RELKIND_PARTITIONED_TABLE)
		return NIL;
	children = find_inheritance_children_extended(parent, false, AccessShareLock, NULL, NULL);
	visible = find_inheritance_children(parent, NoLock);
	foreach(cell, children)
	{
		if (!list_member_oid(visible, lfirst_oid(cell)))
			pending = lappend_oid(pending, lfirst_oid(cell));
		pending = list_concat(pending, ct_pending_partitions(lfirst_oid(cell)));
	}
	return pending;
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
	ListCell   *cell;

	initStringInfo(&buf);
	foreach(cell, relids)
	{
		List	   *pending = ct_pending_partitions(lfirst_oid(cell));
		ListCell   *partition;

		append_relation(&buf, lfirst_oid(cell));
		foreach(partition, pending)
			append_relation(&buf, lfirst_oid(partition));
	}
	if (buf.len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the table is not attached any more")));
	return psprintf("SELECT account, pg_catalog.sum(marketing)::pg_catalog.int8 AS marketing,"
					" pg_catalog.sum(pending)::pg_catalog.int8 AS pending FROM (%s) x GROUP BY account", buf.data);
}

/*
 * Take back what is granted in the other slots of the accounts that were just
 * counted in, whose slot 0 we hold, so that no slots are added meanwhile.
 */
static void
freeze_counted(const CtTable *table)
{
	uint64		count = ct_execute_latest(psprintf("SELECT DISTINCT c.account FROM %1$s." CT_COUNTER_TABLE " c"
												   " JOIN %1$s." CT_COUNTER_TABLE " f ON f.account %2$s c.account"
												   " AND f.slot OPERATOR(pg_catalog.=) 0 AND f.granted IS NULL"
												   " WHERE c.slot OPERATOR(pg_catalog.>) 0"
												   " AND c.granted IS NOT NULL ORDER BY c.account",
												   quote_identifier(NameStr(table->schema)),
												   ct_quoted_operator(table->account_eq)));
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
 * tiers of their accounts: nobody has promoted them in the running period, they
 * correct it (D3).  Where the accounts were counted before, by another table,
 * nothing stays granted.  The caller has locked the relation against writers, and
 * manages it as its owner.
 */
void
ct_count_in(const CtTable *table, const char *from)
{
	ct_execute_latest(psprintf("INSERT INTO %1$s." CT_COUNTER_TABLE " AS c"
							   " (account, slot, used, pending, granted, corrected)"
							   " SELECT t.account, 0, t.marketing, t.pending, NULL, t.marketing"
							   " FROM (%2$s ORDER BY 1) t WHERE t.account IS NOT NULL"
							   " ON CONFLICT (account, slot) DO UPDATE"
							   " SET used = c.used OPERATOR(pg_catalog.+) excluded.used,"
							   " pending = c.pending OPERATOR(pg_catalog.+) excluded.pending,"
							   " corrected = c.corrected OPERATOR(pg_catalog.+) excluded.corrected,"
							   " granted = NULL",
							   quote_identifier(NameStr(table->schema)),
							   count_query(table, from)));
	freeze_counted(table);
}

/*
 * Take the contacts of a relation off the counters, as demoted, or as a
 * correction (D3).  The caller has locked the relation against writers, and is
 * the table's owner, under a safe search_path.  Where an account has no slot yet,
 * what is going to be counted in later finds the opposite there.
 */
void
ct_uncount(const CtTable *table, const char *from, bool demotes)
{
	ct_execute_latest(psprintf("INSERT INTO %1$s." CT_COUNTER_TABLE " AS c"
							   " (account, slot, used, pending, granted, %4$s)"
							   " SELECT t.account, 0, OPERATOR(pg_catalog.-) t.marketing,"
							   " OPERATOR(pg_catalog.-) t.pending, NULL, %5$s t.marketing"
							   " FROM (%2$s ORDER BY 1) t WHERE t.account IS NOT NULL"
							   " ON CONFLICT (account, slot) DO UPDATE"
							   " SET used = c.used OPERATOR(pg_catalog.+) excluded.used,"
							   " pending = c.pending OPERATOR(pg_catalog.+) excluded.pending,"
							   " %4$s = c.%4$s OPERATOR(pg_catalog.+) excluded.%4$s,"
							   " peak = greatest(c.peak, (SELECT pg_catalog.sum(s.used)::pg_catalog.int8"
							   "  FROM %1$s." CT_COUNTER_TABLE " s WHERE s.account %3$s c.account))",
							   quote_identifier(NameStr(table->schema)),
							   count_query(table, from), ct_quoted_operator(table->account_eq),
							   demotes ? "demoted" : "corrected",
							   demotes ? "" : "OPERATOR(pg_catalog.-)"));
}
