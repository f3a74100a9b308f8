/*-------------------------------------------------------------------------
 *
 * ledger.c
 *	  Entries of the ledger: what happened to accounts, and who did it.
 *
 * Activity is by far the most frequent event, one entry per statement and account,
 * so its entries do without SQL where the ledger is an ordinary table of this
 * node as attach() created it.  Where it has triggers, rules, row-level security,
 * partitions or other columns, SQL inserts them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "ledger/ledger.h"

/* A ledger with more indexes is left to SQL */
#define MAX_INDEXES		16

/* What is known of one ledger */
typedef struct LedgerTable
{
	CtKnownTable known;			/* must be first */
	bool		direct;			/* are entries inserted without SQL? */
	/* if they are: */
	bool		adds;			/* are entries added to? */
	AttrNumber	attno[CT_NLEDGER_COLUMNS];	/* by CtLedgerColumn; any order,
											 * after a restore */
	int			nindexes;		/* that activity enters */
	Oid			index[MAX_INDEXES];
	/* of a partitioned one: */
	bool		plain_parts;	/* could all entries be inserted by SQL? */
	uint64		parts_known_at; /* by ct_relation_name_changes() */
} LedgerTable;

/* A ledger that is open for direct access */
typedef struct Ledger
{
	Relation	rel;
	const LedgerTable *info;	/* stays until the transaction ends */
	TupleTableSlot *row;		/* filled anew for each entry */
	MemoryContext context;		/* for what is needed of one entry */
	/* for new versions that enter the indexes; NULL before the first: */
	EState	   *estate;
	ResultRelInfo *relinfo;
} Ledger;

static CtCache *ledger_tables = NULL;

/* Are there neither CHECK constraints nor stored generated columns, which would be evaluated? */
static bool
has_plain_columns(TupleDesc tupdesc)
{
	return tupdesc->constr == NULL ||
		(tupdesc->constr->num_check == 0 && !tupdesc->constr->has_generated_stored);
}

/*
 * Does an entry of activity never enter the index, by its predicate?  So it is
 * with those that attach() creates for other events.
 */
static bool
leaves_out_activity(Relation index, AttrNumber event)
{
	Expr	   *column = (Expr *) makeVar(1, event, TEXTOID, -1, DEFAULT_COLLATION_OID, 0);
	Expr	   *activity = (Expr *) makeConst(TEXTOID, -1, DEFAULT_COLLATION_OID, -1,
											  CStringGetTextDatum("activity"), false, false);
	Expr	   *is_activity = make_opclause(TextEqualOperator, BOOLOID, false, column, activity,
											InvalidOid, DEFAULT_COLLATION_OID);

	set_opfuncid((OpExpr *) is_activity);
	return predicate_refuted_by(RelationGetIndexPredicate(index), list_make1(is_activity), false);
}

/*
 * Note which indexes activity enters.  False if there are too many, or some have
 * expressions or predicates, which are not evaluated here, or can refuse an entry, which must
 * not be folded then: see is_direct().  A new index
 * changes the relation (index_update_stats() sends a message), so this is then done again.
 */
static bool
list_indexes(Relation rel, LedgerTable *info)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *cell;

	info->nindexes = 0;
	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		bool		enters = !leaves_out_activity(index, info->attno[CT_LEDGER_EVENT]);
		bool		is_plain = ct_ledger_index_is_plain(index->rd_indextuple);

		index_close(index, NoLock);
		if (!enters)
			continue;
		if (!is_plain || info->nindexes == MAX_INDEXES)
			return false;
		info->index[info->nindexes++] = lfirst_oid(cell);
	}
	list_free(indexes);
	return true;
}

/* Find the columns; false if there are others, or they have other types. */
static bool
find_columns(Relation rel, const CtTable *table, LedgerTable *info)
{
	static const struct
	{
		const char *name;
		Oid			type;		/* invalid: the account's */
	}			columns[CT_NLEDGER_COLUMNS] = {
		[CT_LEDGER_ACCOUNT] = {"account", InvalidOid},
		[CT_LEDGER_ENTRY] = {"entry", UUIDOID},
		[CT_LEDGER_RECORDED_AT] = {"recorded_at", TIMESTAMPTZOID},
		[CT_LEDGER_EVENT] = {"event", TEXTOID},
		[CT_LEDGER_ROLE] = {"role", TEXTOID},
		[CT_LEDGER_CONTACTS] = {"contacts", INT8OID},
		[CT_LEDGER_DETAILS] = {"details", JSONBOID}
	};

	for (int i = 0; i < CT_NLEDGER_COLUMNS; i++)
	{
		Oid			type = OidIsValid(columns[i].type) ? columns[i].type : table->account_type;

		info->attno[i] = ct_typed_column(RelationGetRelid(rel), columns[i].name, type);
		if (info->attno[i] == InvalidAttrNumber)
			return false;
	}
	return RelationGetNumberOfAttributes(rel) == CT_NLEDGER_COLUMNS;
}

/*
 * Can rows be put into the table without SQL, and are they then as SQL has them?
 * What the owner has added is left to SQL, and to a safe search_path: triggers,
 * rules, constraints, expressions.
 */
static bool
is_direct(Relation rel, const CtTable *table, LedgerTable *info)
{
	return find_columns(rel, table, info) &&
		ct_is_ordinary(rel, table, &info->attno[CT_LEDGER_ACCOUNT], 2) &&
		rel->trigdesc == NULL && rel->rd_rules == NULL && !rel->rd_rel->relforcerowsecurity &&
		has_plain_columns(RelationGetDescr(rel)) &&
		list_indexes(rel, info);
}

/*
 * Is every entry only inserted, because the ledger is published?  A publication may have
 * inserts alone, and without a replica identity, or with a filter, it can have nothing else.  A
 * new one changes the relation (InvalidatePublicationRels() sends a message).
 */
static bool
is_published(Relation rel)
{
	PublicationDesc published;

	RelationBuildPublicationDesc(rel, &published);
	return published.pubactions.pubinsert || published.pubactions.pubupdate;
}

/*
 * Create the cache of ledgers.
 */
void
ct_ledger_init(void)
{
	ledger_tables = ct_cache_create("contacts_tier ledgers", sizeof(LedgerTable), CT_MAX_KNOWN);
}

/* What is known of an open ledger; looked at once, until the table changes. */
static LedgerTable *
find_ledger_table(Relation rel, const CtTable *table)
{
	LedgerTable *info;
	bool		is_new;

	info = (LedgerTable *) ct_known_table(ledger_tables, rel, table, &is_new);
	if (!is_new)
		return info;
	info->direct = is_direct(rel, table, info);
	info->adds = info->direct && !is_published(rel);
	ct_cache_end(info);
	return info;
}

/*
 * Open the indexes, as ExecOpenIndices() does, but those that were found plain; they stay locked
 * until the transaction ends.
 */
static void
open_indexes(Ledger *ledger)
{
	const LedgerTable *info = ledger->info;
	ResultRelInfo *relinfo;
	MemoryContext old;

	if (ledger->estate != NULL)
		return;
	/* it is to last for all entries */
	old = MemoryContextSwitchTo(MemoryContextGetParent(ledger->context));
	ledger->estate = CreateExecutorState();
	MemoryContextSwitchTo(ledger->estate->es_query_cxt);
	ledger->relinfo = relinfo = makeNode(ResultRelInfo);
	InitResultRelInfo(relinfo, ledger->rel, 0, NULL, 0);
	relinfo->ri_IndexRelationDescs = palloc(sizeof(Relation) * Max(info->nindexes, 1));
	relinfo->ri_IndexRelationInfo = palloc(sizeof(IndexInfo *) * Max(info->nindexes, 1));
	for (int i = 0; i < info->nindexes; i++)
	{
		relinfo->ri_IndexRelationDescs[i] = index_open(info->index[i], RowExclusiveLock);
		relinfo->ri_IndexRelationInfo[i] = BuildIndexInfo(relinfo->ri_IndexRelationDescs[i]);
	}
	relinfo->ri_NumIndices = info->nindexes;
	MemoryContextSwitchTo(old);
}

/* Close them; the locks stay, as for an INSERT. */
static void
close_indexes(ResultRelInfo *relinfo)
{
	for (int i = 0; i < relinfo->ri_NumIndices; i++)
	{
		ct_index_insert_cleanup(relinfo->ri_IndexRelationDescs[i], relinfo->ri_IndexRelationInfo[i]);
		index_close(relinfo->ri_IndexRelationDescs[i], NoLock);
	}
}

/*
 * Open the ledger of an attached table.  False, with nothing open, if entries
 * must be inserted by SQL.
 */
static bool
open_ledger(Ledger *ledger, const CtTable *table)
{
	ledger->rel = ct_open_companion(table, CT_LEDGER, RowExclusiveLock);
	ledger->info = find_ledger_table(ledger->rel, table);
	if (!ledger->info->direct)
	{
		table_close(ledger->rel, NoLock);
		return false;
	}
	ledger->row = table_slot_create(ledger->rel, NULL);
	ledger->context = AllocSetContextCreate(CurrentMemoryContext, "contacts_tier ledger", ALLOCSET_SMALL_SIZES);
	ledger->estate = NULL;
	return true;
}

/*
 * Has a partitioned ledger nothing that could refuse an entry?  Looked at again whenever any
 * relation has changed: a change of a partition says nothing of the root.
 */
static bool
has_plain_parts(Relation rel, const CtTable *table, LedgerTable *info)
{
	uint64		now = ct_relation_name_changes() + 1;	/* 0: not looked at yet */

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return false;
	if (info->parts_known_at == now)
		return info->plain_parts;
	info->plain_parts = find_columns(rel, table, info) && list_indexes(rel, info) &&
		ct_ledger_parts_are_plain(RelationGetRelid(rel), table->owner) &&
		!ct_is_distributed(RelationGetRelid(rel));
	info->parts_known_at = now;
	return info->plain_parts;
}

/*
 * May entries of activity be folded?  So it is if nothing that the owner has put on the ledger can
 * refuse one, or is to see it at once: others may insert it.  Then entries are inserted without
 * SQL, or the ledger is partitioned.
 *
 * Locks: the ledger, as a SELECT does, until the transaction ends.
 */
bool
ct_ledger_folds(const CtTable *table)
{
	Relation	rel = ct_open_companion(table, CT_LEDGER, AccessShareLock);
	LedgerTable *info = find_ledger_table(rel, table);
	bool		folds = info->direct || has_plain_parts(rel, table, info);

	table_close(rel, NoLock);
	return folds;
}

/* Close what is open, and free its memory. */
static void
close_ledger(Ledger *ledger)
{
	if (ledger->estate != NULL)
	{
		close_indexes(ledger->relinfo);
		FreeExecutorState(ledger->estate);
	}
	ExecDropSingleTupleTableSlot(ledger->row);
	MemoryContextDelete(ledger->context);
	table_close(ledger->rel, NoLock);
}

static Datum
role_of(const CtActivity *activity)
{
	const CtText *role = &activity->actor[CT_ACTOR_ROLE];

	return PointerGetDatum(cstring_to_text_with_len(role->data, role->length));
}

/* $2: when, $3: role, $4: promoted contacts, $5: details */
static const CtQuery record_activity_query = {
	"INSERT INTO {ledger} (account, recorded_at, event, role, contacts, details)"
	" VALUES ($1, $2, 'activity', $3, $4, $5)",
	5, {CT_ACCOUNT_TYPE, TIMESTAMPTZOID, TEXTOID, INT8OID, JSONBOID}
};

/* Insert an entry by SQL. */
static void
insert_activity_by_sql(const CtTable *table, const CtActivity *activity)
{
	Datum		values[] = {
		activity->account, TimestampTzGetDatum(activity->started_at), role_of(activity),
		Int64GetDatum(activity->count[CT_PROMOTED]), ct_activity_details(activity)
	};

	ct_connect_spi();
	ct_companion_query(table, &record_activity_query, values, NULL);
	SPI_finish();
}

/* Fill the row of a new entry. */
static void
fill_row(Ledger *ledger, const CtActivity *activity)
{
	const AttrNumber *attno = ledger->info->attno;
	TupleTableSlot *row = ledger->row;

	ExecClearTuple(row);
	memset(row->tts_isnull, false, sizeof(bool) * CT_NLEDGER_COLUMNS);
	row->tts_values[attno[CT_LEDGER_ACCOUNT] - 1] = activity->account;
	row->tts_values[attno[CT_LEDGER_ENTRY] - 1] = ct_new_entry_key();
	row->tts_values[attno[CT_LEDGER_RECORDED_AT] - 1] = TimestampTzGetDatum(activity->started_at);
	row->tts_values[attno[CT_LEDGER_EVENT] - 1] = CStringGetTextDatum("activity");
	row->tts_values[attno[CT_LEDGER_ROLE] - 1] = role_of(activity);
	row->tts_values[attno[CT_LEDGER_CONTACTS] - 1] = Int64GetDatum(activity->count[CT_PROMOTED]);
	row->tts_values[attno[CT_LEDGER_DETAILS] - 1] = ct_activity_details(activity);
	ExecStoreVirtualTuple(row);
}

/* Add to the entry that this backend has inserted last, if it can be; see own_entry.c. */
static bool
add_to_own(Ledger *ledger, const CtTable *table, const CtActivity *activity)
{
	const AttrNumber *attno = ledger->info->attno;
	TupleTableSlot *row = ledger->row;
	CtActivity	sum;
	CtUpdateIndexes update_indexes;

	if (!ledger->info->adds || !ct_own_entry_sum(ledger->rel, table, attno, activity, row, &sum))
		return false;
	slot_getallattrs(row);
	row->tts_values[attno[CT_LEDGER_CONTACTS] - 1] = Int64GetDatum(sum.count[CT_PROMOTED]);
	row->tts_values[attno[CT_LEDGER_DETAILS] - 1] = ct_activity_details(&sum);
	if (!ct_own_entry_update(ledger->rel, row, table, &sum, &update_indexes))
		return false;
	if (ct_needs_entries(update_indexes))
	{
		open_indexes(ledger);
		ct_insert_index_tuples(ledger->relinfo, row, ledger->estate, update_indexes);
	}
	return true;
}

/*
 * Insert an entry, or add it to one.  ExecSimpleRelationInsert() puts it into the table and the
 * indexes that are open, and checks NOT NULL; there is nothing else to be done (is_direct()).
 */
static void
insert_activity(Ledger *ledger, const CtTable *table, const CtActivity *activity)
{
	if (add_to_own(ledger, table, activity))
		return;
	open_indexes(ledger);
	fill_row(ledger, activity);
	ExecSimpleRelationInsert(ledger->relinfo, ledger->estate, ledger->row);
	ct_own_entry_remember(ledger->rel, table, ledger->row,
						  ledger->row->tts_values[ledger->info->attno[CT_LEDGER_ENTRY] - 1], activity);
}

/* Insert entries; later commands of the transaction see them. */
static void
insert_activities(Ledger *ledger, const CtTable *table, const List *activities)
{
	ListCell   *cell;

	foreach(cell, activities)
	{
		MemoryContext old = MemoryContextSwitchTo(ledger->context);

		insert_activity(ledger, table, lfirst(cell));
		MemoryContextSwitchTo(old);
		MemoryContextReset(ledger->context);
		if (ledger->estate != NULL)
			ResetPerTupleExprContext(ledger->estate);
	}
	close_ledger(ledger);
	CommandCounterIncrement();
}

/* The same by SQL, in memory that does not grow with the number of accounts. */
static void
insert_activities_by_sql(const CtTable *table, const List *activities)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "contacts_tier activity", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ListCell   *cell;

	foreach(cell, activities)
	{
		insert_activity_by_sql(table, lfirst(cell));
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * Append to the ledger what statements did, a list of CtActivity, of accounts that record
 * activity.  The caller is the table's owner.
 *
 * Locks: the ledger, as an INSERT does, until the transaction ends; nothing if the list is
 * empty.
 */
void
ct_ledger_record_activity(const CtTable *table, const List *activities)
{
	Ledger		ledger;

	if (activities == NIL)
		return;
	if (open_ledger(&ledger, table))
		insert_activities(&ledger, table, activities);
	else
		insert_activities_by_sql(table, activities);
}

/* $2: event, $3: contacts, $4: details, $5: role */
static const CtQuery record_query = {
	"INSERT INTO {ledger} (account, recorded_at, event, role, contacts, details)"
	" VALUES ($1, contacts_tier.clock(), $2, $5, $3, $4::pg_catalog.jsonb)",
	5, {CT_ACCOUNT_TYPE, TEXTOID, INT8OID, TEXTOID, TEXTOID}
};

/*
 * Append an entry to the ledger: what happened to how many contacts of an
 * account, and on behalf of which role.  "details" is a JSON object.  The caller is the
 * table's owner and connected to SPI.
 */
void
ct_ledger_record(const CtTable *table, Datum account, const char *event,
				 int64 contacts, const char *details)
{
	Datum		values[] = {
		account,
		CStringGetTextDatum(event),
		Int64GetDatum(contacts),
		CStringGetTextDatum(details),
		CStringGetTextDatum(ct_caller_name())
	};

	ct_companion_query(table, &record_query, values, NULL);
}
