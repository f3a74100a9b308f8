/*-------------------------------------------------------------------------
 *
 * ledger.c
 *	  Entries of the ledger: what happened to accounts, and who did it.
 *
 * Activity is by far the most frequent event, one entry per statement and account,
 * so its entries do without SQL where the ledger is an ordinary table of this
 * node as attach() created it.  Where it has triggers, rules, row-level security or
 * other columns, SQL inserts them.
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
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "ledger/ledger.h"

/* Columns of an entry, in the order of "columns" below */
typedef enum Column
{
	ACCOUNT,
	ENTRY,
	RECORDED_AT,
	EVENT,
	ROLE,
	CONTACTS,
	DETAILS,
	NCOLUMNS
} Column;

/* A ledger with more indexes is left to SQL */
#define MAX_INDEXES		16

/* What is known of one ledger */
typedef struct LedgerTable
{
	CtKnownTable known;			/* must be first */
	bool		direct;			/* are entries inserted without SQL? */
	/* if they are: */
	AttrNumber	attno[NCOLUMNS];	/* by Column; any order, after a restore */
	int			nindexes;		/* that activity enters */
	Oid			index[MAX_INDEXES];
} LedgerTable;

/* A ledger that is open for direct inserts */
typedef struct Ledger
{
	const LedgerTable *info;	/* stays until the transaction ends */
	EState	   *estate;			/* owns all the memory */
	ResultRelInfo *relinfo;		/* with the indexes that activity enters */
	TupleTableSlot *row;		/* filled anew for each entry */
	Datum		role;			/* who acts; the same for all entries */
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
 * with the one that attach() created for all the others.
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
 * expressions or predicates, which are not evaluated here: see is_direct().  A new index
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
		bool		enters = !leaves_out_activity(index, info->attno[EVENT]);
		bool		is_plain = RelationGetIndexExpressions(index) == NIL && RelationGetIndexPredicate(index) == NIL;

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

/*
 * Can rows be put into the table without SQL, and are they then as SQL has them?
 * What the owner has added is left to SQL, and to a safe search_path: triggers,
 * rules, constraints, expressions.
 */
static bool
is_direct(Relation rel, const CtTable *table, LedgerTable *info)
{
	static const struct
	{
		const char *name;
		Oid			type;		/* invalid: the account's */
	}			columns[NCOLUMNS] = {
		[ACCOUNT] = {"account", InvalidOid},
		[ENTRY] = {"entry", UUIDOID},
		[RECORDED_AT] = {"recorded_at", TIMESTAMPTZOID},
		[EVENT] = {"event", TEXTOID},
		[ROLE] = {"role", TEXTOID},
		[CONTACTS] = {"contacts", INT8OID},
		[DETAILS] = {"details", JSONBOID}
	};

	for (int i = 0; i < NCOLUMNS; i++)
	{
		Oid			type = OidIsValid(columns[i].type) ? columns[i].type : table->account_type;

		info->attno[i] = ct_typed_column(RelationGetRelid(rel), columns[i].name, type);
		if (info->attno[i] == InvalidAttrNumber)
			return false;
	}
	return ct_is_ordinary(rel, table, &info->attno[ACCOUNT], 2) && RelationGetNumberOfAttributes(rel) == NCOLUMNS &&
		rel->trigdesc == NULL && rel->rd_rules == NULL && !rel->rd_rel->relforcerowsecurity &&
		has_plain_columns(RelationGetDescr(rel)) &&
		list_indexes(rel, info);
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
	ct_cache_end(info);
	return info;
}

/*
 * As ExecOpenIndices(), but only the indexes that activity enters; they stay
 * locked until the transaction ends.
 */
static void
open_indexes(Ledger *ledger)
{
	const LedgerTable *info = ledger->info;
	ResultRelInfo *relinfo = ledger->relinfo;

	relinfo->ri_IndexRelationDescs = palloc(sizeof(Relation) * Max(info->nindexes, 1));
	relinfo->ri_IndexRelationInfo = palloc(sizeof(IndexInfo *) * Max(info->nindexes, 1));
	for (int i = 0; i < info->nindexes; i++)
	{
		relinfo->ri_IndexRelationDescs[i] = index_open(info->index[i], RowExclusiveLock);
		relinfo->ri_IndexRelationInfo[i] = BuildIndexInfo(relinfo->ri_IndexRelationDescs[i]);
	}
	relinfo->ri_NumIndices = info->nindexes;
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
 * must be inserted by SQL.  The role is that of the session: it is looked up once for all
 * entries of a statement.
 */
static bool
open_ledger(Ledger *ledger, const CtTable *table)
{
	Relation	rel = ct_open_companion(table, CT_LEDGER, RowExclusiveLock);

	ledger->info = find_ledger_table(rel, table);
	if (!ledger->info->direct)
	{
		table_close(rel, NoLock);
		return false;
	}
	ledger->estate = CreateExecutorState();
	ledger->relinfo = makeNode(ResultRelInfo);
	InitResultRelInfo(ledger->relinfo, rel, 0, NULL, 0);
	open_indexes(ledger);
	ledger->row = table_slot_create(rel, &ledger->estate->es_tupleTable);
	ledger->role = CStringGetTextDatum(ct_caller_name());
	return true;
}

/* Close what open_ledger() has opened, and free its memory. */
static void
close_ledger(Ledger *ledger)
{
	close_indexes(ledger->relinfo);
	ExecResetTupleTable(ledger->estate->es_tupleTable, false);
	table_close(ledger->relinfo->ri_RelationDesc, NoLock);
	FreeExecutorState(ledger->estate);
}

PG_FUNCTION_INFO_V1(contacts_tier_ledger_entry);

/*
 * ledger_entry() uuid: the time, and random bits (RFC 9562, version 7)
 *
 * The 12 bits behind the milliseconds are the fraction of one, and those of one
 * backend grow strictly, so that entries can be read in their order.  No
 * sequence, which distributed tables could not share.
 */
Datum
contacts_tier_ledger_entry(PG_FUNCTION_ARGS)
{
	const int64 unix_epoch = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	static uint64 last = 0;
	uint64		now = Max((uint64) (GetCurrentTimestamp() + unix_epoch), last + 1);
	uint64		fraction = now % 1000 * 4096 / 1000;
	uint64		random = pg_prng_uint64(&pg_global_prng_state);
	pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));
	uint64		high = pg_hton64(now / 1000 << 16 | 0x7000 | fraction);
	uint64		low = pg_hton64((random & UINT64CONST(0x3fffffffffffffff)) | UINT64CONST(0x8000000000000000));

	last = now;
	memcpy(uuid->data, &high, sizeof(high));
	memcpy(uuid->data + sizeof(high), &low, sizeof(low));
	PG_RETURN_UUID_P(uuid);
}

/*
 * Members of a JSON object.  A text that is NULL and a count of 0 are left out: readers
 * take a missing member for these.
 */
static void
push_key(JsonbParseState **state, const char *key)
{
	JsonbValue	value = {.type = jbvString,.val.string = {.val = unconstify(char *, key),.len = strlen(key)}};

	(void) pushJsonbValue(state, WJB_KEY, &value);
}

/*
 * Bytes of a source type or name that an entry holds at most: it identifies the source,
 * and a contact may hold any text.
 */
#define MAX_SOURCE	1000

/* A text, cut between characters; unconstify() only drops a const, nothing writes to it. */
static void
push_text(JsonbParseState **state, const char *key, const char *text)
{
	JsonbValue	value = {.type = jbvString};

	if (text == NULL)
		return;
	value.val.string.val = unconstify(char *, text);
	value.val.string.len = pg_mbcliplen(text, strlen(text), MAX_SOURCE);
	push_key(state, key);
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

/* A count; numeric, since JSON numbers are. */
static void
push_count(JsonbParseState **state, const char *key, int64 count)
{
	JsonbValue	value = {.type = jbvNumeric};

	if (count == 0)
		return;
	value.val.numeric = int64_to_numeric(count);
	push_key(state, key);
	(void) pushJsonbValue(state, WJB_VALUE, &value);
}

/* What a statement did in an account, as the details of an entry. */
static Datum
activity_details(const CtActivity *activity)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, "source_type", activity->source_type);
	push_text(&state, "source_name", activity->source_name);
	push_count(&state, "created", activity->created);
	push_count(&state, "deleted", activity->deleted);
	push_count(&state, "promoted", activity->promoted);
	push_count(&state, "flagged", activity->flagged);
	push_count(&state, "unflagged", activity->unflagged);
	push_count(&state, "demoted", activity->demoted);
	push_count(&state, "dropped", activity->dropped);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL)));
}

/* $2: role, $3: promoted contacts, $4: details */
static const CtQuery record_activity_query = {
	"INSERT INTO {ledger} (account, recorded_at, event, role, contacts, details)"
	" SELECT $1, contacts_tier.clock(), 'activity', $2, $3, $4"
	" WHERE NOT EXISTS (SELECT FROM {account} a"
	"  WHERE a.account {=} $1 AND NOT a.record_activity)",
	4, {CT_ACCOUNT_TYPE, TEXTOID, INT8OID, JSONBOID}
};

/* Insert an entry by SQL, unless the account row says that activity is not recorded. */
static void
insert_activity_by_sql(const CtTable *table, const CtActivity *activity)
{
	Datum		values[] = {
		activity->account, CStringGetTextDatum(ct_caller_name()), Int64GetDatum(activity->promoted), activity_details(activity)
	};

	ct_connect_spi();
	ct_companion_query(table, &record_activity_query, values, NULL);
	SPI_finish();
}

/*
 * Insert an entry.  ExecSimpleRelationInsert() puts it into the table and the indexes that
 * are open, and checks NOT NULL; there is nothing else to be done (is_direct()).
 */
static void
insert_activity(Ledger *ledger, const CtActivity *activity)
{
	const AttrNumber *attno = ledger->info->attno;
	TupleTableSlot *row = ledger->row;

	ExecClearTuple(row);
	memset(row->tts_isnull, false, sizeof(bool) * NCOLUMNS);
	row->tts_values[attno[ACCOUNT] - 1] = activity->account;
	row->tts_values[attno[ENTRY] - 1] = contacts_tier_ledger_entry(NULL);
	row->tts_values[attno[RECORDED_AT] - 1] = TimestampTzGetDatum(ct_now());
	row->tts_values[attno[EVENT] - 1] = CStringGetTextDatum("activity");
	row->tts_values[attno[ROLE] - 1] = ledger->role;
	row->tts_values[attno[CONTACTS] - 1] = Int64GetDatum(activity->promoted);
	row->tts_values[attno[DETAILS] - 1] = activity_details(activity);
	ExecStoreVirtualTuple(row);
	ExecSimpleRelationInsert(ledger->relinfo, ledger->estate, row);
}

/* Insert the entries of a statement; later commands of the transaction see them. */
static void
insert_activities(Ledger *ledger, const CtActivity *activities, int count)
{
	for (int i = 0; i < count; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(ledger->estate));

		insert_activity(ledger, &activities[i]);
		MemoryContextSwitchTo(old);
		ResetPerTupleExprContext(ledger->estate);
	}
	close_ledger(ledger);
	CommandCounterIncrement();
}

/* The same by SQL, in memory that does not grow with the number of accounts. */
static void
insert_activities_by_sql(const CtTable *table, const CtActivity *activities, int count)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "contacts_tier activity", ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	for (int i = 0; i < count; i++)
	{
		insert_activity_by_sql(table, &activities[i]);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * Append to the ledger what a statement did in each account.  "direct": have the accounts
 * been looked at without SQL?  Otherwise
 * SQL looks whether they record activity.  The caller is the table's owner.
 *
 * Locks: the ledger, as an INSERT does, until the transaction ends.
 */
void
ct_ledger_record_activity(const CtTable *table, const CtActivity *activities, int count, bool direct)
{
	Ledger		ledger;

	if (direct && open_ledger(&ledger, table))
		insert_activities(&ledger, activities, count);
	else
		insert_activities_by_sql(table, activities, count);
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
