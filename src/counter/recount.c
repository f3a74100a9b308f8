/*-------------------------------------------------------------------------
 *
 * recount.c
 *	  Counting contacts in the table itself, where the counters cannot know:
 *	  when a table comes or goes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/queryenvironment.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "counter/counter.h"

/*
 * On shards statements run as the owner in a session of his, where row-level security that is forced on him leaves
 * contacts out (here SECURITY_NOFORCE_RLS lifts it).  Errors: 0A000.
 */
static void
check_row_security(const CtTable *table)
{
	HeapTuple	tuple;
	bool		forced;

	if (!ct_is_distributed(table->relid) || has_bypassrls_privilege(table->owner))
		return;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table->relid));
	if (!HeapTupleIsValid(tuple))
		return;
	forced = ((Form_pg_class) GETSTRUCT(tuple))->relrowsecurity && ((Form_pg_class) GETSTRUCT(tuple))->relforcerowsecurity;
	ReleaseSysCache(tuple);
	if (forced)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot count contacts of distributed table \"%s\" while its row-level security is forced", get_rel_name(table->relid)),
				 errdetail("It applies to the owner on other nodes, so that contacts would be missing."),
				 errhint("Use ALTER TABLE ... NO FORCE ROW LEVEL SECURITY, at least for the same transaction.  Shards can be verified by themselves."),
				 ct_errtable(table->relid)));
}

/* The account of a contact, as an expression, in a query that counts contacts. */
static const char *
account_of_contact(const CtTable *table)
{
	check_row_security(table);
	return AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]) ?
		ct_renamed_account_sql(table, ct_table_column(table, CT_ARG_ACCOUNT)) :
		psprintf("%s::pg_catalog.text", quote_literal_cstr(CT_DEFAULT_ACCOUNT));
}

/*
 * A query for the marketing contacts of each account in a relation: columns
 * account, marketing, pending.  "from" is what stands in the FROM clause, "and" is empty, or goes
 * on with its conditions.  The account is NULL for contacts that cannot be marketing contacts but
 * are.
 */
static char *
count_query_and(const CtTable *table, const char *from, const char *and)
{
	return psprintf("SELECT %1$s AS account, pg_catalog.count(*) AS marketing,"
					" pg_catalog.count(*) FILTER (WHERE %2$s) AS pending"
					" FROM %3$s"
					" WHERE %4$s%5$s"
					" GROUP BY 1",
					account_of_contact(table), ct_table_column(table, CT_ARG_UNTIL), from,
					ct_status_condition(&table->status, ct_table_column(table, CT_ARG_STATUS)), and);
}

/* The same of those that exist (P2) */
static char *
count_query(const CtTable *table, const char *from)
{
	return count_query_and(table, from, ct_and_condition(table->exists, true));
}

/*
 * The same of each account, source type and source name: columns account, source_type,
 * source_name, marketing, pending.  Sources are any text-like columns of the application.
 */
static char *
source_query(const CtTable *table, const char *from)
{
	return psprintf("SELECT %1$s AS account, %2$s::pg_catalog.text COLLATE pg_catalog.\"C\" AS source_type,"
					" %3$s::pg_catalog.text COLLATE pg_catalog.\"C\" AS source_name,"
					" pg_catalog.count(*) AS marketing, pg_catalog.count(*) FILTER (WHERE %4$s) AS pending"
					" FROM %5$s"
					" WHERE %6$s%7$s"
					" GROUP BY 1, 2, 3",
					account_of_contact(table), ct_table_column(table, CT_ARG_SOURCE_TYPE), ct_table_column(table, CT_ARG_SOURCE_NAME),
					ct_table_column(table, CT_ARG_UNTIL), from,
					ct_status_condition(&table->status, ct_table_column(table, CT_ARG_STATUS)),
					ct_and_condition(table->exists, true));
}

/* A query for the contacts that are flagged until the next update: columns account, updated_at. */
static char *
flagged_query(const CtTable *table, const char *from)
{
	return psprintf("SELECT %1$s AS account, %2$s AS updated_at FROM %3$s WHERE %4$s",
					account_of_contact(table), ct_table_column(table, CT_ARG_UPDATED_AT), from,
					ct_table_column(table, CT_ARG_UNTIL));
}

/* A query over the contacts of one relation, as count_query() and source_query() */
typedef char *(*RelationQuery) (const CtTable *table, const char *from);

/*
 * Add a relation to the query.  It may be gone, or not be attached any more: the
 * caller has locked but one of them.
 */
static void
append_relation(StringInfo buf, Oid relid, RelationQuery query)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	CtTable    *table = rel == NULL ? NULL : ct_table_of_relation(rel);

	if (table != NULL)
		appendStringInfo(buf, "%s(%s)", buf->len > 0 ? " UNION ALL " : "",
						 query(table, ct_qualified_name(rel)));
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

/* The query of each of several attached tables, and of their pending partitions, together */
static char *
query_relations(List *relids, RelationQuery query)
{
	StringInfoData buf;
	ListCell   *cell;

	initStringInfo(&buf);
	foreach(cell, relids)
	{
		List	   *pending = ct_pending_partitions(lfirst_oid(cell));
		ListCell   *partition;

		append_relation(&buf, lfirst_oid(cell), query);
		foreach(partition, pending)
			append_relation(&buf, lfirst_oid(partition), query);
	}
	/* while we waited, they may have been dropped or detached */
	if (buf.len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the table is no longer attached")));
	return buf.data;
}

/*
 * A query for the marketing contacts of each account in several attached tables
 * together: columns as count_query().  Contacts without an account make a row
 * of their own.
 */
char *
ct_recount_query(List *relids)
{
	return psprintf("SELECT account, pg_catalog.sum(marketing)::pg_catalog.int8 AS marketing,"
					" pg_catalog.sum(pending)::pg_catalog.int8 AS pending FROM (%s) x GROUP BY account",
					query_relations(relids, count_query));
}

/*
 * A query for the same by source: columns as source_query(), perhaps several rows for
 * a source.
 */
char *
ct_recount_sources_query(List *relids)
{
	return query_relations(relids, source_query);
}

/*
 * A query for the flagged contacts of several attached tables: columns account, updated_at.
 */
char *
ct_flagged_query(List *relids)
{
	return query_relations(relids, flagged_query);
}

/*
 * Take back what is granted in the other slots of the accounts that were just
 * counted in, whose slot 0 we hold, so that no slots are added meanwhile.
 */
static void
withdraw_counted(const CtTable *table)
{
	uint64		count = ct_execute_latest(ct_sqlf(table, "SELECT DISTINCT c.account FROM {counter} c"
												  " JOIN {counter} f ON f.account {=} c.account"
												  " AND f.slot OPERATOR(pg_catalog.=) 0 AND f.granted IS NULL"
												  " WHERE c.slot OPERATOR(pg_catalog.>) 0"
												  " AND c.granted IS NOT NULL ORDER BY c.account"));
	SPITupleTable *accounts = SPI_tuptable;

	ct_check_result_type(accounts->tupdesc, 1, table->account_type);
	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;

		ct_counter_withdraw(table, SPI_getbinval(accounts->vals[i], accounts->tupdesc, 1, &isnull), NULL);
	}
}

/*
 * Add what a query as count_query() finds to the counters.  In the order of accounts, unless Citus distributes the
 * table: then each shard adds what it finds to its counters, by a statement that Citus can hand down, and
 * all slots are closed, so that who claims next computes the ceiling.
 */
static void
count_in(const CtTable *table, const char *query)
{
	bool		is_distributed = ct_is_distributed(table->relid);

	ct_execute_latest(ct_sqlf(table, "INSERT INTO {counter} AS c"
							  " (account, slot, used, pending, corrected)"
							  " SELECT t.account, 0, t.marketing, t.pending, t.marketing"
							  " FROM (%1$s%2$s) t WHERE t.account IS NOT NULL"
							  " ON CONFLICT (account, slot) DO UPDATE"
							  " SET used = c.used OPERATOR(pg_catalog.+) excluded.used,"
							  " pending = c.pending OPERATOR(pg_catalog.+) excluded.pending,"
							  " corrected = c.corrected OPERATOR(pg_catalog.+) excluded.corrected,"
							  " granted = NULL",
							  query, is_distributed ? "" : " ORDER BY 1"));
	if (is_distributed)
		ct_execute_latest(ct_sql(table, "UPDATE {counter} SET granted = NULL WHERE granted IS NOT NULL"));
	else
		withdraw_counted(table);
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
	count_in(table, count_query(table, from));
}

/* What is to be subtracted from the counter of an account: a row of count_query() */
static CtChange
release_of(SPITupleTable *counts, uint64 row, bool demotes)
{
	bool		isnull;
	int64		marketing = DatumGetInt64(SPI_getbinval(counts->vals[row], counts->tupdesc, 2, &isnull));
	int64		pending = DatumGetInt64(SPI_getbinval(counts->vals[row], counts->tupdesc, 3, &isnull));

	return (CtChange)
	{
		.account = SPI_getbinval(counts->vals[row], counts->tupdesc, 1, &isnull),
			.marketing = -marketing,.pending = -pending,
			.demoted = demotes ? marketing : 0,.corrected = demotes ? 0 : -marketing
	};
}

/*
 * Release contacts of accounts, which come in ascending order, as a DELETE of the contacts
 * would: what that sees of a fall and of the peak, this must see, too.
 */
static void
release(const CtTable *table, SPITupleTable *counts, uint64 count, bool demotes)
{
	CtCounters *counters = ct_counters_open(table);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "contacts_tier release", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	for (uint64 i = 0; i < count; i++)
	{
		CtChange	change = release_of(counts, i, demotes);

		CHECK_FOR_INTERRUPTS();
		ct_counter_release(counters, &change);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	ct_counters_close(counters);
}

/*
 * The same for a table that Citus distributes, by a statement that Citus can hand down.  A release notes
 * the peak before it, and a fall below the bottom (ct_counter_release()); slot 0 is closed.
 */
static void
uncount_shards(const CtTable *table, const char *query, bool demotes)
{
	ct_execute_latest(ct_sqlf(table, "UPDATE {counter} c SET used = c.used OPERATOR(pg_catalog.-) x.marketing,"
							  " pending = c.pending OPERATOR(pg_catalog.-) x.pending,"
							  " demoted = c.demoted OPERATOR(pg_catalog.+) x.marketing OPERATOR(pg_catalog.*) %2$d,"
							  " corrected = c.corrected OPERATOR(pg_catalog.-) x.marketing OPERATOR(pg_catalog.*) %3$d,"
							  " peak = greatest(c.peak, x.total),"
							  " lowest = CASE WHEN x.total OPERATOR(pg_catalog.-) x.marketing OPERATOR(pg_catalog.<) c.bottom"
							  "  THEN least(c.lowest, x.total OPERATOR(pg_catalog.-) x.marketing) ELSE c.lowest END,"
							  " granted = NULL"
							  " FROM (SELECT t.account, t.marketing, t.pending, s.total FROM (%1$s) t"
							  "  JOIN (SELECT account, pg_catalog.sum(used)::pg_catalog.int8 AS total FROM {counter} GROUP BY account) s"
							  "  ON s.account {=} t.account) x"
							  " WHERE c.account {=} x.account AND c.slot OPERATOR(pg_catalog.=) 0",
							  query, demotes ? 1 : 0, demotes ? 0 : 1));
}

/* Take what a query as count_query() finds off the counters. */
static void
uncount(const CtTable *table, const char *query, bool demotes)
{
	uint64		count;
	SPITupleTable *counts;

	if (ct_is_distributed(table->relid))
	{
		uncount_shards(table, query, demotes);
		return;
	}
	count = ct_execute_latest(psprintf("SELECT t.account, t.marketing, t.pending FROM (%s) t"
									   " WHERE t.account IS NOT NULL ORDER BY 1", query));
	counts = SPI_tuptable;
	ct_check_result_type(counts->tupdesc, 1, table->account_type);
	/* without contacts to count, it does not matter what the counter table is */
	if (count > 0)
		release(table, counts, count, demotes);
	SPI_freetuptable(counts);
}

/*
 * Take the contacts of a relation off the counters, as demoted, or as a
 * correction (D3).  The caller has locked the relation against writers, and is
 * the table's owner and connected to SPI, under a safe search_path.  Where an account has no
 * slot yet, what is going to be counted in later finds the opposite there.
 *
 * The count of a whole table fits into the memory of this: a row for each account.
 *
 * Locks: a slot of each account, until the transaction ends.  Errors: those of
 * ct_counters_open(), and 55000 where a trigger on the counter table interferes.
 */
void
ct_uncount(const CtTable *table, const char *from, bool demotes)
{
	uncount(table, count_query(table, from), demotes);
}

/* The contacts that come, or go, when a condition changes from one to another, as count_query() */
static char *
coming_query(const CtTable *table, const char *from, const char *was, const char *is)
{
	return count_query_and(table, from, psprintf(" AND (%s) AND (%s) IS NOT TRUE", is, was));
}

/*
 * How many marketing contacts without an account, which nothing can count, would come if another
 * condition said which contacts of a relation exist (P2)?  As ct_recount_condition().
 */
int64
ct_count_coming_without_account(const CtTable *table, const char *from, const char *was, const char *is)
{
	uint64		count = ct_execute_latest(psprintf("SELECT t.marketing FROM (%s) t WHERE t.account IS NULL",
												   coming_query(table, from, was, is)));

	return count > 0 ? ct_result_int64(1) : 0;
}

/*
 * Another condition says which contacts of a relation exist (P2): correct the counters by those
 * that come and those that go, whatever the tiers.  "was" and "is" are the conditions as
 * text.  The caller as for ct_count_in(); locks and errors as ct_uncount().
 */
void
ct_recount_condition(const CtTable *table, const char *from, const char *was, const char *is)
{
	uncount(table, coming_query(table, from, is, was), false);
	count_in(table, coming_query(table, from, was, is));
}

/* What stands in the FROM clause for the contacts of a relation that is about to go */
#define GOING	"ct_going"

/* Columns of a contact that matter for a count */
static const CtTriggerArg counted[] = {CT_ARG_STATUS, CT_ARG_UNTIL, CT_ARG_ACCOUNT};

static TupleDesc
counted_columns(const CtTable *table, TupleDesc contacts)
{
	int			natts = lengthof(counted) - (AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]) ? 0 : 1);
	TupleDesc	tupdesc = CreateTemplateTupleDesc(natts);

	for (int i = 0; i < natts; i++)
		TupleDescCopyEntry(tupdesc, i + 1, contacts, table->attno[counted[i]]);
	return tupdesc;
}

/*
 * The marketing contacts in this very relation as they are now, without looking at it by SQL.
 * "exists" is the condition that the table has lost, or NULL.
 */
static Tuplestorestate *
read_contacts(const CtTable *table, Relation rel, TupleDesc tupdesc, CtCondition *exists)
{
	Tuplestorestate *contacts = tuplestore_begin_heap(false, false, work_mem);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CtRow		row;
		Datum		values[lengthof(counted)];
		bool		nulls[lengthof(counted)];

		CHECK_FOR_INTERRUPTS();
		ct_row_read_columns(table, slot, &row);
		if (!ct_row_status(table, &row).marketing ||
			(exists != NULL && !ct_condition_is_true(exists, slot)))
			continue;
		for (int i = 0; i < tupdesc->natts; i++)
		{
			values[i] = row.value[counted[i]];
			nulls[i] = row.isnull[counted[i]];
		}
		tuplestore_putvalues(contacts, tupdesc, values, nulls);
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	return contacts;
}

/*
 * Take the contacts in this very relation off the counters, as ct_uncount() does, where
 * the command that drops it is at work.  What depends on it has gone before it, such as
 * the expressions of its generated columns; no query can be planned any more.  "exists" is the
 * condition (P2) that has gone with its trigger, or NULL.
 */
void
ct_uncount_going(const CtTable *table, Relation rel, Node *exists)
{
	EphemeralNamedRelationData going = {
		.md.name = GOING,.md.enrtype = ENR_NAMED_TUPLESTORE,
		.md.tupdesc = counted_columns(table, RelationGetDescr(rel))
	};
	CtCondition *condition = exists == NULL ? NULL : ct_condition_prepare(rel, exists, CurrentMemoryContext);
	Tuplestorestate *contacts = read_contacts(table, rel, going.md.tupdesc, condition);

	going.md.enrtuples = tuplestore_tuple_count(contacts);
	going.reldata = contacts;
	if (SPI_register_relation(&going) != SPI_OK_REL_REGISTER)
		elog(ERROR, "SPI_register_relation failed");
	uncount(table, count_query_and(table, GOING, ""), false);
	SPI_unregister_relation(GOING);
	tuplestore_end(contacts);
}
