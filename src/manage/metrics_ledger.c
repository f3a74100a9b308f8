/*-------------------------------------------------------------------------
 *
 * metrics_ledger.c
 *	  What metrics() tells of the ledger: the last rollover, and the last drift.
 *
 * Entries about drift and about runs are few, and have indexes of their own, by their keys:
 * these are read from the newest one on.  Without SQL; see metrics_read.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "manage/manage.h"

/* Entries about drift that are older than this tell nothing about now */
#define DRIFT_DAYS	35

/* The indexes by the key of an entry: their predicates, as pg_get_expr() writes them */
static const char *const of_drifts = "(event = ANY (ARRAY['verify'::text, 'repair'::text]))";
static const char *const of_runs = "(event = 'rollover_run'::text)";

/* A ledger, or a partition of it, while it is read */
typedef struct Leaf
{
	Relation	rel;
	List	   *indexes;		/* OIDs */
	TupleTableSlot *row;
	AttrNumber	account;
	AttrNumber	entry;
	AttrNumber	recorded_at;
	AttrNumber	event;
	AttrNumber	details;
} Leaf;

/* An entry that has been read */
typedef struct Entry
{
	Datum		account;
	pg_uuid_t	key;
	TimestampTz recorded_at;
	char	   *event;
	Jsonb	   *details;
} Entry;

/* A scan of an index of a leaf, the newest entry first */
typedef struct EntryScan
{
	const Leaf *leaf;
	Relation	index;
	IndexScanDesc scan;
	MemoryContext context;		/* in which the scan allocates */
} EntryScan;

/*
 * Is this an index of the entries by their keys, with this predicate?  It must also be one that this
 * snapshot may use, as get_relation_info() has it.
 */
static bool
has_predicate(Relation index, Relation rel, const char *expected)
{
	Form_pg_index form = index->rd_index;
	bool		isnull;
	Datum		predicate;

	if (!form->indisvalid || !form->indisready || index->rd_rel->relam != BTREE_AM_OID ||
		(form->indcheckxmin &&
		 !TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), TransactionXmin)))
		return false;
	if (form->indkey.values[0] != get_attnum(RelationGetRelid(rel), "entry") ||
		(index->rd_indoption[0] & INDOPTION_DESC) != 0)
		return false;
	predicate = SysCacheGetAttr(INDEXRELID, index->rd_indextuple, Anum_pg_index_indpred, &isnull);

	/*
	 * only written: RelationGetIndexPredicate() would evaluate constants in
	 * it
	 */
	return !isnull &&
		strcmp(TextDatumGetCString(DirectFunctionCall2(pg_get_expr, predicate,
													   ObjectIdGetDatum(RelationGetRelid(rel)))),
			   expected) == 0;
}

/* Open the index of a leaf that has this predicate; NULL if there is none. */
static Relation
open_index(const Leaf *leaf, const char *predicate)
{
	ListCell   *cell;

	foreach(cell, leaf->indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), NoLock);

		if (has_predicate(index, leaf->rel, predicate))
			return index;
		index_close(index, NoLock);
	}
	return NULL;
}

static void
open_leaf(CtSchemaMetrics *metrics, Leaf *leaf, Relation rel)
{
	leaf->rel = rel;
	leaf->account = ct_metrics_column(metrics, rel, "account", InvalidOid);
	leaf->entry = ct_metrics_column(metrics, rel, "entry", UUIDOID);
	leaf->recorded_at = ct_metrics_column(metrics, rel, "recorded_at", TIMESTAMPTZOID);
	leaf->event = ct_metrics_column(metrics, rel, "event", TEXTOID);
	leaf->details = ct_metrics_column(metrics, rel, "details", JSONBOID);
	leaf->indexes = ct_metrics_lock_indexes(metrics, rel);
	leaf->row = table_slot_create(rel, NULL);
}

/* Begin to read a leaf by the index with this predicate: 55000 without one. */
static void
begin_scan(EntryScan *scan, const Leaf *leaf, const char *predicate)
{
	scan->leaf = leaf;
	scan->index = open_index(leaf, predicate);
	if (scan->index == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" lacks an index that contacts_tier.attach() creates on the ledger", RelationGetRelationName(leaf->rel)),
				 errhint("Use CREATE INDEX ON %s (entry) WHERE %s.",
						 quote_identifier(RelationGetRelationName(leaf->rel)), predicate),
				 errtable(leaf->rel)));
	scan->context = CurrentMemoryContext;
	scan->scan = ct_index_beginscan(leaf->rel, scan->index, GetActiveSnapshot(), 0);
	index_rescan(scan->scan, NULL, 0, NULL, 0);
}

static void
end_scan(EntryScan *scan)
{
	ExecClearTuple(scan->leaf->row);
	index_endscan(scan->scan);
	index_close(scan->index, NoLock);
}

/* A value of the row of a leaf; attach() creates all columns with NOT NULL: 22004. */
static Datum
value_of(const Leaf *leaf, AttrNumber attno)
{
	bool		isnull;
	Datum		value = slot_getattr(leaf->row, attno, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("table \"%s\" has an entry with a null", RelationGetRelationName(leaf->rel)),
				 errtable(leaf->rel)));
	return value;
}

/* Read the next older entry into memory of the caller; false if there is none. */
static bool
next_entry(EntryScan *scan, Entry *entry)
{
	const Leaf *leaf = scan->leaf;
	MemoryContext old = MemoryContextSwitchTo(scan->context);
	bool		found = index_getnext_slot(scan->scan, BackwardScanDirection, leaf->row);

	MemoryContextSwitchTo(old);
	CHECK_FOR_INTERRUPTS();
	if (!found)
		return false;
	entry->account = value_of(leaf, leaf->account);
	entry->key = *DatumGetUUIDP(value_of(leaf, leaf->entry));
	entry->recorded_at = DatumGetTimestampTz(value_of(leaf, leaf->recorded_at));
	entry->event = TextDatumGetCString(value_of(leaf, leaf->event));
	entry->details = DatumGetJsonbPCopy(value_of(leaf, leaf->details));
	return true;
}

/* A property of an entry as text, like ->>; NULL where there is none. */
static char *
detail(const Entry *entry, const char *name)
{
	JsonbValue *value;

	if (!JB_ROOT_IS_OBJECT(entry->details))
		return NULL;
	value = getKeyJsonValueFromContainer(&entry->details->root, name, strlen(name), NULL);
	if (value == NULL || (value->type != jbvString && value->type != jbvNumeric))
		return NULL;
	if (value->type == jbvString)
		return pnstrdup(value->val.string.val, value->val.string.len);
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
}

/* An instant in an entry; that at which it was recorded, where it has none. */
static TimestampTz
instant(const Entry *entry, const char *name)
{
	char	   *text = detail(entry, name);

	return text == NULL ? entry->recorded_at :
		DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(text),
												ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/* A number in an entry, without its sign; 0 where it has none. */
static int64
amount(const Entry *entry, const char *name)
{
	char	   *text = detail(entry, name);
	int64		number = text == NULL ? 0 : DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(text)));

	return number < 0 && number > PG_INT64_MIN ? -number : number;
}

/* Is an entry newer than another? */
static bool
is_newer(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a, b, UUID_LEN) > 0;
}

/*
 * The newest entry about drift, of verify() or repair(), stands for its account, if it is not
 * too old.
 */
static void
put_drift(CtSchemaMetrics *metrics, const Entry *entry, TimestampTz oldest)
{
	CtAccountMetrics *account = ct_account_enter(metrics->accounts, entry->account);

	if (account->has_drift && !is_newer(&entry->key, &account->drift_entry))
		return;
	account->has_drift = true;
	account->drift_entry = entry->key;
	account->drift = 0;
	if (strcmp(entry->event, "verify") != 0 || entry->recorded_at <= oldest)
		return;
	ct_metrics_add(&account->drift, amount(entry, "drift"));
	ct_metrics_add(&account->drift, amount(entry, "pending_drift"));
}

/* Read the entries about drift in one leaf. */
static void
read_drifts(CtSchemaMetrics *metrics, const Leaf *leaf, MemoryContext context)
{
	TimestampTz oldest = ct_now() - DRIFT_DAYS * USECS_PER_DAY;
	EntryScan	scan;
	Entry		entry;
	MemoryContext old;

	begin_scan(&scan, leaf, of_drifts);
	old = MemoryContextSwitchTo(context);
	while (next_entry(&scan, &entry))
	{
		put_drift(metrics, &entry, oldest);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	end_scan(&scan);
}

/* The newest entry about a run in one leaf, if it is newer than the one that was found. */
static void
read_run(const Leaf *leaf, Entry *newest, bool *found)
{
	EntryScan	scan;
	Entry		entry;

	begin_scan(&scan, leaf, of_runs);
	if (next_entry(&scan, &entry) && (!*found || is_newer(&entry.key, &newest->key)))
	{
		*newest = entry;
		*found = true;
	}
	end_scan(&scan);
}

/*
 * The last run of rollover: its entry is the newest one.
 */
static void
find_last_run(CtSchemaMetrics *metrics, const Leaf *leaves, int nleaves)
{
	CtLastRun  *run = &metrics->run;
	Entry		entry;

	for (int i = 0; i < nleaves; i++)
		read_run(&leaves[i], &entry, &metrics->has_run);
	if (!metrics->has_run)
		return;
	run->at = entry.recorded_at;
	run->seconds = (instant(&entry, "ended_at") - instant(&entry, "started_at")) / (double) USECS_PER_SEC;
	run->accounts = amount(&entry, "accounts");
	run->failed = amount(&entry, "failed");
}

/*
 * Read what the ledger tells.  Errors: 22004, 42804, 55000, 55P03, and those of values that
 * are crafted.
 */
void
ct_metrics_read_ledger(CtSchemaMetrics *metrics)
{
	int			nleaves = 0;
	Leaf	   *leaves = palloc0(sizeof(Leaf) * (list_length(metrics->rels[CT_LEDGER]) + 1));
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "contacts_tier ledger entries",
												  ALLOCSET_SMALL_SIZES);
	ListCell   *cell;

	foreach(cell, metrics->rels[CT_LEDGER])
		open_leaf(metrics, &leaves[nleaves++], lfirst(cell));
	for (int i = 0; i < nleaves; i++)
		read_drifts(metrics, &leaves[i], context);
	find_last_run(metrics, leaves, nleaves);
	for (int i = 0; i < nleaves; i++)
		ExecDropSingleTupleTableSlot(leaves[i].row);
	MemoryContextDelete(context);
}
