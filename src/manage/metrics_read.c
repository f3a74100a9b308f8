/*-------------------------------------------------------------------------
 *
 * metrics_read.c
 *	  How the functions for monitoring read companion tables.
 *
 * Members of pg_monitor read tables that they have no right to, of owners who need not be
 * trusted.  So nothing of an owner's is evaluated, neither with another's rights nor for as
 * long as he likes.  A statement would: where it is planned, immutable functions
 * in the expressions of indexes and statistics and in the constraints of partitions are
 * (eval_const_expressions() in RelationGetIndexExpressions() and
 * get_relation_constraints()), and casts where it runs.  Here rows are read from the heap,
 * and what is read has built-in types.  Accounts are hashed and compared by default operator
 * classes and written by output functions, which superusers alone create (DefineOpClass(),
 * DefineType()); of enums, domains and types of several columns they are built in, and call
 * the same of their parts.  Even so all runs as the owner of the tables, security-restricted.
 *
 * Nothing is waited for, and the locks are released as soon as all is read: who has no
 * right to a table must not hold up those who have.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "manage/manage.h"

/*
 * What cannot be locked beforehand, as the relation of a type of several columns, is waited
 * for so many milliseconds.
 */
#define PATIENCE	100

/* A column that is read; InvalidOid stands for the type of the account */
typedef struct Column
{
	const char *name;
	Oid			type;
}			Column;

#define MAX_COLUMNS	7

typedef void (*PutRow) (CtSchemaMetrics *metrics, Datum *values, bool *nulls);

/*
 * Lock a relation without waiting: 55P03.
 */
static void
lock_nowait(Oid relid)
{
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not obtain lock on relation \"%s\"", get_rel_name(relid))));
}

/*
 * Can a relation have rows to be read?  A temporary one that inherits is of one session, and
 * a statement of another does not see it, either.  A foreign one may take any time.
 */
static bool
has_rows(Relation rel)
{
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ||
		rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		return false;
	if (rel->rd_rel->relkind != RELKIND_RELATION || rel->rd_rel->relam != HEAP_TABLE_AM_OID ||
		ct_is_distributed(RelationGetRelid(rel)))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not an ordinary table", RelationGetRelationName(rel)),
				 errdetail("Metrics read tables of this server alone."),
				 errtable(rel)));
	return true;
}

/*
 * Open a table and what is below it, each locked before its children are listed, and add those
 * that have rows to "rels".
 */
static List *
open_tree(CtSchemaMetrics *metrics, Oid relid, List *rels)
{
	Relation	rel;
	ListCell   *cell;

	lock_nowait(relid);
	rel = try_relation_open(relid, NoLock);
	/* dropped since it was listed */
	if (rel == NULL)
	{
		UnlockRelationOid(relid, AccessShareLock);
		return rels;
	}
	metrics->open = lappend(metrics->open, rel);
	if (has_rows(rel))
		rels = lappend(rels, rel);
	foreach(cell, find_inheritance_children(relid, NoLock))
		rels = open_tree(metrics, lfirst_oid(cell), rels);
	return rels;
}

/* OIDs of the companion tables: 42P01. */
static void
look_up(const CtNames *names, Oid *relids)
{
	for (int i = 0; i < CT_NCOMPANIONS; i++)
	{
		relids[i] = ct_companion_relid(names, i);
		if (!OidIsValid(ct_companion_owner(relids[i])))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("companion table \"%s.%s\" does not exist",
							NameStr(names->schema), NameStr(names->companions[i]))));
	}
}

/*
 * Open the companion tables that are read.  The names must still mean them when they are
 * locked, so that no others come in their place.  Errors: 42P01, 55P03, those of has_rows().
 */
static void
open_companions(CtSchemaMetrics *metrics, const CtNames *names, const Oid *relids, bool reads_ledger)
{
	Oid			now[CT_NCOMPANIONS];

	for (int i = 0; i < CT_NCOMPANIONS; i++)
		if (i != CT_LEDGER || reads_ledger)
			metrics->rels[i] = open_tree(metrics, relids[i], NIL);
	look_up(names, now);
	if (memcmp(now, relids, sizeof(now)) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("companion tables of schema \"%s\" have been replaced", NameStr(names->schema))));
}

/*
 * Are they what attach() creates, with columns of the types that we read?  The contacts
 * are not looked at: nothing is read from them.  Errors: 42501, 42703, 42804, 55000.
 */
static void
check_companions(const CtSchemaMetrics *metrics, const CtNames *names)
{
	const CtTable *table = metrics->table;
	CtCompanionOf of = {
		.names = *names,.contacts = NameStr(names->companions[CT_ACCOUNT]),.owner = table->owner,
		.has_account_column = true,
		.account_type = table->account_type,.account_collation = table->account_collation
	};
	CtFault		fault;

	if (ct_find_companion_fault(&of, &fault))
		ereport(ERROR,
				(errcode(fault.code),
				 errmsg_internal("%s", fault.message),
				 fault.hint != NULL ? errhint("%s", fault.hint) : 0));
}

/*
 * Read some columns of a table and hand them to "put", row by row.  What "put" allocates goes
 * with the row.
 */
static void
read_table(CtSchemaMetrics *metrics, Relation rel, const Column * columns, int ncolumns, PutRow put)
{
	AttrNumber	attno[MAX_COLUMNS];
	TableScanDesc scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	TupleTableSlot *row = table_slot_create(rel, NULL);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "contacts_tier metrics row",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	for (int i = 0; i < ncolumns; i++)
		attno[i] = ct_metrics_column(metrics, rel, columns[i].name, columns[i].type);
	while (table_scan_getnextslot(scan, ForwardScanDirection, row))
	{
		Datum		values[MAX_COLUMNS];
		bool		nulls[MAX_COLUMNS];

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < ncolumns; i++)
			values[i] = slot_getattr(row, attno[i], &nulls[i]);
		if (!nulls[0])
			put(metrics, values, nulls);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	ExecDropSingleTupleTableSlot(row);
	table_endscan(scan);
}

/* Likewise of all tables of a list. */
static void
read_tables(CtSchemaMetrics *metrics, List *rels, const Column * columns, int ncolumns, PutRow put)
{
	ListCell   *cell;

	foreach(cell, rels)
		read_table(metrics, lfirst(cell), columns, ncolumns, put);
}

/*
 * Add to a sum: 22003 where that is out of range.
 */
void
ct_metrics_add(int64 *sum, int64 number)
{
	if (pg_add_s64_overflow(*sum, number, sum))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("bigint out of range")));
}

/*
 * A column of a table or partition, by its name and type: 42804.
 */
AttrNumber
ct_metrics_column(const CtSchemaMetrics *metrics, Relation rel, const char *name, Oid type)
{
	AttrNumber	attno = ct_typed_column(RelationGetRelid(rel), name,
										OidIsValid(type) ? type : metrics->table->account_type);

	if (!AttributeNumberIsValid(attno))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("table \"%s\" has no column \"%s\" as contacts_tier.attach() creates it",
						RelationGetRelationName(rel), name),
				 errtable(rel)));
	return attno;
}

static const Column counter_columns[] = {{"account", InvalidOid}, {"used", INT8OID}, {"pending", INT8OID}};

/* read_tables(): a slot */
static void
put_slot(CtSchemaMetrics *metrics, Datum *values, bool *nulls)
{
	CtAccountMetrics *account = ct_account_enter(metrics->accounts, values[0]);

	metrics->slots++;
	if (!nulls[1])
		ct_metrics_add(&account->used, DatumGetInt64(values[1]));
	if (!nulls[2])
		ct_metrics_add(&account->pending, DatumGetInt64(values[2]));
}

static const Column account_columns[] = {
	{"account", InvalidOid}, {"ended_at", TIMESTAMPTZOID}, {"contact_limit", INT8OID},
	{"thresholds", INT4ARRAYOID}, {"next_update_at", TIMESTAMPTZOID}, {"rollover_run", UUIDOID},
	{"requested_limit", INT8OID}
};

/* The lowest threshold, in percent of the limit; 0: none. */
static int
first_threshold(Datum thresholds)
{
	int			first = 1;
	bool		isnull;
	Datum		value = array_get_element(thresholds, 1, &first, -1, sizeof(int32), true, TYPALIGN_INT, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

/* read_tables(): an account that has, or had, a subscription */
static void
put_account(CtSchemaMetrics *metrics, Datum *values, bool *nulls)
{
	CtAccountMetrics *account = ct_account_enter(metrics->accounts, values[0]);

	if (!nulls[1])
		return;
	account->is_subscribed = true;
	account->contact_limit = nulls[2] ? 0 : DatumGetInt64(values[2]);
	account->first_threshold = nulls[3] ? 0 : first_threshold(values[3]);
	account->next_update_at = nulls[4] ? DT_NOEND : DatumGetTimestampTz(values[4]);
	account->in_rollover = !nulls[5];
	account->requests_tier = !nulls[6];
}

/*
 * Begin to read a set of companion tables: lock them, the ledger only where it is to
 * be read, be their owner, read accounts and counters.  Errors: 42501, 42703, 42804, 42809,
 * 42P01, 55000 where they are not as attach() creates them, 55P03 where they are locked.
 *
 * All is in the current memory context.  On error, the caller rolls back his subtransaction.
 */
void
ct_metrics_begin(CtSchemaMetrics *metrics, const CtNames *names, bool reads_ledger)
{
	Oid			relids[CT_NCOMPANIONS];

	memset(metrics, 0, sizeof(*metrics));
	look_up(names, relids);
	ct_manage_as_owner(ct_companion_owner(relids[CT_ACCOUNT]), &metrics->identity);
	ct_limit_lock_waits(PATIENCE);
	open_companions(metrics, names, relids, reads_ledger);
	metrics->table = ct_table_of_accounts(linitial(metrics->open), "account");
	check_companions(metrics, names);
	metrics->accounts = ct_account_map(CurrentMemoryContext, metrics->table, sizeof(CtAccountMetrics));
	read_tables(metrics, metrics->rels[CT_COUNTER], counter_columns, lengthof(counter_columns), put_slot);
	read_tables(metrics, metrics->rels[CT_ACCOUNT], account_columns, lengthof(account_columns), put_account);
}

/*
 * Begin to read one table of accounts alone, which the caller has found by its name.  Errors,
 * locks and identity as ct_metrics_begin(); the snapshot is the active one.
 */
void
ct_metrics_begin_accounts(CtSchemaMetrics *metrics, Oid relid)
{
	memset(metrics, 0, sizeof(*metrics));
	ct_manage_as_owner(ct_companion_owner(relid), &metrics->identity);
	ct_limit_lock_waits(PATIENCE);
	metrics->rels[CT_ACCOUNT] = open_tree(metrics, relid, NIL);
	if (metrics->open == NIL)
		ct_no_relation_error(relid);
	metrics->table = ct_table_of_accounts(linitial(metrics->open), "account");
}

/*
 * Lock all indexes of a table, which may be locked without it (REINDEX INDEX); the list of
 * them.  Until ct_metrics_end().
 */
List *
ct_metrics_lock_indexes(CtSchemaMetrics *metrics, Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *cell;

	foreach(cell, indexes)
	{
		lock_nowait(lfirst_oid(cell));
		metrics->indexes = lappend_oid(metrics->indexes, lfirst_oid(cell));
	}
	return indexes;
}

/*
 * Release what ct_metrics_begin() has locked, and be the caller again.
 */
void
ct_metrics_end(CtSchemaMetrics *metrics)
{
	ListCell   *cell;

	foreach(cell, metrics->indexes)
		UnlockRelationOid(lfirst_oid(cell), AccessShareLock);
	foreach(cell, metrics->open)
		relation_close(lfirst(cell), AccessShareLock);
	ct_restore_identity(&metrics->identity);
}
