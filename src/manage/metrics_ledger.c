/*-------------------------------------------------------------------------
 *
 * metrics_ledger.c
 *	  What metrics() tells of the ledger: the last rollover, and the last drift.
 *
 * Of each account the newest entries are read, by the index in which activity is not.
 * Without SQL; see metrics_read.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
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

/* An index of the ledger; its predicate as pg_get_expr() writes it */
typedef struct IndexShape
{
	const char *columns[2];		/* the first ones; the second may be NULL */
	const char *predicate;
} IndexShape;

static const IndexShape by_account = {{"account", "recorded_at"}, "(event <> 'activity'::text)"};
static const IndexShape by_run = {{"entry", NULL}, "(event = 'rollover_run'::text)"};

/* A ledger, or a partition of it, while it is read */
typedef struct Leaf
{
	MemoryContext context;		/* in which the scan allocates */
	Relation	rel;
	List	   *indexes;		/* OIDs */
	Relation	index;			/* by account and time */
	IndexScanDesc scan;
	TupleTableSlot *row;
	AttrNumber	entry;
	AttrNumber	recorded_at;
	AttrNumber	event;
	AttrNumber	details;
} Leaf;

/* An entry that has been read */
typedef struct Entry
{
	pg_uuid_t	key;
	TimestampTz recorded_at;
	char	   *event;
	Jsonb	   *details;		/* may be NULL */
} Entry;

/* The entries of one account about which one asks */
typedef struct Found
{
	bool		has_rollover;
	bool		has_drift;		/* verify, or repair */
	Entry		rollover;
	Entry		drift;
} Found;

/*
 * Has an index of a ledger this shape?  It must also be one that this snapshot may use, as
 * get_relation_info() has it.
 */
static bool
has_shape(Relation index, Relation rel, const IndexShape *shape)
{
	Form_pg_index form = index->rd_index;
	bool		isnull;
	Datum		predicate;

	if (!form->indisvalid || !form->indisready || index->rd_rel->relam != BTREE_AM_OID ||
		(form->indcheckxmin &&
		 !TransactionIdPrecedes(HeapTupleHeaderGetXmin(index->rd_indextuple->t_data), TransactionXmin)))
		return false;
	for (int i = 0; i < 2 && shape->columns[i] != NULL; i++)
		if (i >= form->indnkeyatts ||
			form->indkey.values[i] != get_attnum(RelationGetRelid(rel), shape->columns[i]) ||
			index->rd_indcollation[i] != TupleDescAttr(RelationGetDescr(rel), form->indkey.values[i] - 1)->attcollation ||
			(index->rd_indoption[i] & INDOPTION_DESC) != 0)
			return false;
	predicate = SysCacheGetAttr(INDEXRELID, index->rd_indextuple, Anum_pg_index_indpred, &isnull);
	/* RelationGetIndexPredicate() would evaluate what is constant in it; this only writes it */
	return !isnull &&
		strcmp(TextDatumGetCString(DirectFunctionCall2(pg_get_expr, predicate,
													   ObjectIdGetDatum(RelationGetRelid(rel)))),
			   shape->predicate) == 0;
}

/* Open the index of a leaf that has this shape; NULL if there is none. */
static Relation
open_index(const Leaf *leaf, const IndexShape *shape)
{
	ListCell   *cell;

	foreach(cell, leaf->indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), NoLock);

		if (has_shape(index, leaf->rel, shape))
			return index;
		index_close(index, NoLock);
	}
	return NULL;
}

/* Open a ledger, or a partition of it: 55000 if it has not the index. */
static void
open_leaf(CtSchemaMetrics *metrics, Leaf *leaf, Relation rel)
{
	leaf->context = CurrentMemoryContext;
	leaf->rel = rel;
	leaf->entry = ct_metrics_column(metrics, rel, "entry", UUIDOID);
	leaf->recorded_at = ct_metrics_column(metrics, rel, "recorded_at", TIMESTAMPTZOID);
	leaf->event = ct_metrics_column(metrics, rel, "event", TEXTOID);
	leaf->details = ct_metrics_column(metrics, rel, "details", JSONBOID);
	leaf->indexes = ct_metrics_lock_indexes(metrics, rel);
	leaf->index = open_index(leaf, &by_account);
	if (leaf->index == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" has no index by account and time", RelationGetRelationName(rel)),
				 errhint("Use CREATE INDEX ON %s (account, recorded_at) WHERE event <> 'activity'.",
						 quote_identifier(RelationGetRelationName(rel)))));
	leaf->scan = ct_index_beginscan(rel, leaf->index, GetActiveSnapshot(), 1);
	leaf->row = table_slot_create(rel, NULL);
}

static void
close_leaf(Leaf *leaf)
{
	ExecDropSingleTupleTableSlot(leaf->row);
	index_endscan(leaf->scan);
	index_close(leaf->index, NoLock);
}

/* Find the entries of an account, which next_entry() then reads. */
static void
find_account(Leaf *leaf, Datum account)
{
	Relation	index = leaf->index;
	Oid			operator = get_opfamily_member(index->rd_opfamily[0], index->rd_opcintype[0],
											   index->rd_opcintype[0], BTEqualStrategyNumber);
	ScanKeyData key;
	MemoryContext old;

	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid,
						   index->rd_indcollation[0], get_opcode(operator), account);
	old = MemoryContextSwitchTo(leaf->context);
	index_rescan(leaf->scan, &key, 1, NULL, 0);
	MemoryContextSwitchTo(old);
}

/* Go to the next older entry of that account; false if there is none. */
static bool
next_entry(Leaf *leaf)
{
	MemoryContext old = MemoryContextSwitchTo(leaf->context);
	bool		found = index_getnext_slot(leaf->scan, BackwardScanDirection, leaf->row);

	MemoryContextSwitchTo(old);
	CHECK_FOR_INTERRUPTS();
	return found;
}

/* Read the entry in the row of a leaf; false if it is crafted. */
static bool
read_entry(const Leaf *leaf, Entry *entry)
{
	bool		isnull[4];
	Datum		key = slot_getattr(leaf->row, leaf->entry, &isnull[0]);
	Datum		recorded_at = slot_getattr(leaf->row, leaf->recorded_at, &isnull[1]);
	Datum		event = slot_getattr(leaf->row, leaf->event, &isnull[2]);
	Datum		details = slot_getattr(leaf->row, leaf->details, &isnull[3]);

	if (isnull[0] || isnull[1] || isnull[2])
		return false;
	entry->key = *DatumGetUUIDP(key);
	entry->recorded_at = DatumGetTimestampTz(recorded_at);
	entry->event = TextDatumGetCString(event);
	entry->details = isnull[3] ? NULL : DatumGetJsonbPCopy(details);
	return true;
}

/* A property of an entry as text, like ->>; NULL where there is none. */
static char *
detail(const Entry *entry, const char *name)
{
	JsonbValue *value;

	if (entry->details == NULL || !JB_ROOT_IS_OBJECT(entry->details))
		return NULL;
	value = getKeyJsonValueFromContainer(&entry->details->root, name, strlen(name), NULL);
	if (value == NULL || (value->type != jbvString && value->type != jbvNumeric))
		return NULL;
	if (value->type == jbvString)
		return pnstrdup(value->val.string.val, value->val.string.len);
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
}

/* Is an entry newer than another? */
static bool
is_newer(const Entry *entry, const Entry *other)
{
	if (entry->recorded_at != other->recorded_at)
		return entry->recorded_at > other->recorded_at;
	return memcmp(&entry->key, &other->key, UUID_LEN) > 0;
}

/* Remember an entry if it is the newest of its kind. */
static void
note_entry(Found *found, const Entry *entry)
{
	if (strcmp(entry->event, "rollover") == 0 && detail(entry, "run") != NULL &&
		(!found->has_rollover || is_newer(entry, &found->rollover)))
	{
		found->has_rollover = true;
		found->rollover = *entry;
	}
	else if ((strcmp(entry->event, "verify") == 0 || strcmp(entry->event, "repair") == 0) &&
			 (!found->has_drift || is_newer(entry, &found->drift)))
	{
		found->has_drift = true;
		found->drift = *entry;
	}
}

/* Read the entries of an account, the newest first, as far back as they tell something. */
static void
read_leaf(Leaf *leaf, Datum account, TimestampTz oldest, Found *found)
{
	Found		here = {0};
	Entry		entry;

	find_account(leaf, account);
	while (next_entry(leaf))
	{
		if (!read_entry(leaf, &entry))
			continue;
		/* those of the same instant are not in order */
		if (here.has_rollover && entry.recorded_at < here.rollover.recorded_at &&
			(entry.recorded_at <= oldest || (here.has_drift && entry.recorded_at < here.drift.recorded_at)))
			break;
		note_entry(&here, &entry);
	}
	ExecClearTuple(leaf->row);
	if (here.has_rollover)
		note_entry(found, &here.rollover);
	if (here.has_drift && here.drift.recorded_at > oldest)
		note_entry(found, &here.drift);
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

/*
 * What the last rollover of an account was, by the entry that close_period() writes.
 */
static void
put_rollover(CtAccountMetrics *account, const Entry *entry)
{
	const unsigned char *key = entry->key.data;
	int64		milliseconds = 0;

	/* the first 48 bits of the key (RFC 9562): since 1970 */
	for (int i = 0; i < 6; i++)
		milliseconds = milliseconds << 8 | key[i];
	account->has_rollover = true;
	account->rollover.run = *DatumGetUUIDP(DirectFunctionCall1(uuid_in, CStringGetDatum(detail(entry, "run"))));
	account->rollover.entry = entry->key;
	account->rollover.recorded_at = entry->recorded_at;
	account->rollover.ended_at = time_t_to_timestamptz(0) + milliseconds * 1000;
	account->rollover.started_at = instant(entry, "started_at");
}

/* A number in an entry, without its sign. */
static int64
amount(const Entry *entry, const char *name)
{
	char	   *text = detail(entry, name);
	int64		number = text == NULL ? 0 : DatumGetInt64(DirectFunctionCall1(int8in, CStringGetDatum(text)));

	return number < 0 && number > PG_INT64_MIN ? -number : number;
}

/* What the newest entries of an account tell. */
static void
put_found(CtAccountMetrics *account, const Found *found)
{
	if (found->has_rollover)
		put_rollover(account, &found->rollover);
	if (!found->has_drift || strcmp(found->drift.event, "verify") != 0)
		return;
	ct_metrics_add(&account->drift, amount(&found->drift, "drift"));
	ct_metrics_add(&account->drift, amount(&found->drift, "pending_drift"));
}

/* The entry of the account that was rolled over last, NULL if none was. */
static const CtAccountMetrics *
rolled_over_last(const CtSchemaMetrics *metrics)
{
	const CtAccountMetrics *last = NULL;

	for (CtAccountEntry *entry = ct_account_newest(metrics->accounts); entry != NULL; entry = entry->older)
	{
		const CtAccountMetrics *account = (const CtAccountMetrics *) entry;

		if (account->has_rollover &&
			(last == NULL || memcmp(&account->rollover.entry, &last->rollover.entry, UUID_LEN) > 0))
			last = account;
	}
	return last;
}

/*
 * The last run that applied an update date, put together from what it wrote of each account.
 * How many accounts failed is not known so; nor how long it took, by a fixed clock.
 */
static bool
run_of_accounts(const CtSchemaMetrics *metrics, CtLastRun *run)
{
	const CtAccountMetrics *last = rolled_over_last(metrics);
	TimestampTz started_at = DT_NOEND;

	if (last == NULL)
		return false;
	for (CtAccountEntry *entry = ct_account_newest(metrics->accounts); entry != NULL; entry = entry->older)
	{
		const CtAccountMetrics *account = (const CtAccountMetrics *) entry;

		if (!account->has_rollover || memcmp(&account->rollover.run, &last->rollover.run, UUID_LEN) != 0)
			continue;
		run->accounts++;
		run->at = Max(run->at, account->rollover.recorded_at);
		started_at = Min(started_at, account->rollover.started_at);
	}
	run->seconds = ct_clock_is_fixed() ? -1 : (last->rollover.ended_at - started_at) / (double) USECS_PER_SEC;
	run->failed = -1;
	return true;
}

/* The newest entry about a run as such, in one leaf or in those before. */
static void
read_run_of_leaf(const Leaf *leaf, Entry *newest, bool *found)
{
	Relation	index = open_index(leaf, &by_run);
	IndexScanDesc scan;
	Entry		entry;

	if (index == NULL)
		return;
	scan = ct_index_beginscan(leaf->rel, index, GetActiveSnapshot(), 0);
	index_rescan(scan, NULL, 0, NULL, 0);
	if (index_getnext_slot(scan, BackwardScanDirection, leaf->row) && read_entry(leaf, &entry) &&
		(!*found || memcmp(&entry.key, &newest->key, UUID_LEN) > 0))
	{
		*newest = entry;
		*found = true;
	}
	ExecClearTuple(leaf->row);
	index_endscan(scan);
	index_close(index, NoLock);
}

/*
 * The last run of rollover: by its own entry, where ledgers have such entries, else by those
 * of its accounts.  This is the one place that knows how runs are recorded.
 */
static void
find_last_run(CtSchemaMetrics *metrics, const Leaf *leaves, int nleaves)
{
	CtLastRun  *run = &metrics->run;
	Entry		entry;
	bool		found = false;

	for (int i = 0; i < nleaves; i++)
		read_run_of_leaf(&leaves[i], &entry, &found);
	if (!found)
	{
		metrics->has_run = run_of_accounts(metrics, run);
		return;
	}
	metrics->has_run = true;
	run->at = entry.recorded_at;
	run->seconds = (instant(&entry, "ended_at") - instant(&entry, "started_at")) / (double) USECS_PER_SEC;
	run->accounts = amount(&entry, "accounts");
	run->failed = amount(&entry, "failed");
}

/*
 * Read the newest entries of all accounts.  Errors: 42804, 55000, 55P03, and those of values
 * that are crafted.
 */
void
ct_metrics_read_ledger(CtSchemaMetrics *metrics)
{
	int			nleaves = 0;
	Leaf	   *leaves = palloc0(sizeof(Leaf) * (list_length(metrics->rels[CT_LEDGER]) + 1));
	TimestampTz oldest = ct_now() - DRIFT_DAYS * USECS_PER_DAY;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "contacts_tier ledger entries",
												  ALLOCSET_SMALL_SIZES);
	ListCell   *cell;

	foreach(cell, metrics->rels[CT_LEDGER])
		open_leaf(metrics, &leaves[nleaves++], lfirst(cell));
	for (CtAccountEntry *entry = ct_account_newest(metrics->accounts); entry != NULL; entry = entry->older)
	{
		MemoryContext old = MemoryContextSwitchTo(context);
		Found		found = {0};

		for (int i = 0; i < nleaves; i++)
			read_leaf(&leaves[i], entry->account, oldest, &found);
		put_found((CtAccountMetrics *) entry, &found);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	find_last_run(metrics, leaves, nleaves);
	for (int i = 0; i < nleaves; i++)
		close_leaf(&leaves[i]);
	MemoryContextDelete(context);
}
