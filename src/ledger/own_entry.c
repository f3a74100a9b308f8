/*-------------------------------------------------------------------------
 *
 * own_entry.c
 *	  Entries of the ledger to which the backend that has inserted them adds.
 *
 * Statements that change no count have no slot that they write anyway, and must not take one
 * (src/README, "Activity").  So what they did is added to the entry of the same account, role,
 * source and minute that this backend has inserted last, if there is one, by an update in its
 * place.  Nobody else adds to it, so nobody waits.
 *
 * What the entry says is remembered with its place, and with the (sub)transaction that wrote it
 * there.  A version that was rolled back is not visible there.  Another one of the entry may come
 * to this place, when the owner updates it or CLUSTER writes the table anew; but it is of another
 * transaction, or in another file.  So what is remembered is what the version says.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "storage/bufmgr.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "ledger/ledger.h"

/* Entries that a backend remembers; a new one may take the place of another account's */
#define NOWN		64

/* Bytes that are remembered of the texts of an entry; one with more is not added to */
#define MAX_TEXTS	256

typedef struct OwnEntry
{
	Oid			relid;			/* the ledger; invalid: none */
	uint32		hash;			/* of the account */
	Oid			file;			/* pg_class.relfilenode */
	ItemPointerData tid;
	TransactionId xmin;			/* of the version there */
	pg_uuid_t	entry;
	CtActivity	activity;		/* its texts below, and no account */
	char		texts[MAX_TEXTS];
} OwnEntry;

static OwnEntry own_entries[NOWN];

static OwnEntry *
own_entry(Relation rel, uint32 hash)
{
	return &own_entries[(hash ^ RelationGetRelid(rel)) % NOWN];
}

/* Is the version of the entry that was remembered still there, and the account's? */
static bool
fetch_own(Relation rel, const OwnEntry *own, const CtTable *table, const AttrNumber *attno,
		  Datum account, TupleTableSlot *row)
{
	ItemPointerData tid = own->tid;
	bool		isnull;
	Datum		value;

	/* VACUUM may have cut the table */
	if (own->file != rel->rd_rel->relfilenode || ItemPointerGetBlockNumber(&tid) >= RelationGetNumberOfBlocks(rel) ||
		!table_tuple_fetch_row_version(rel, &tid, SnapshotSelf, row))
		return false;
	value = slot_getsysattr(row, MinTransactionIdAttributeNumber, &isnull);
	if (isnull || DatumGetTransactionId(value) != own->xmin)
		return false;
	value = slot_getattr(row, attno[CT_LEDGER_ENTRY], &isnull);
	if (isnull || memcmp(DatumGetUUIDP(value), &own->entry, sizeof(pg_uuid_t)) != 0)
		return false;
	value = slot_getattr(row, attno[CT_LEDGER_ACCOUNT], &isnull);
	return !isnull && ct_account_compare(table, value, account) == 0;
}

/*
 * Does it change no count?  What does must not be added to an entry that may be older than the
 * end of a period: the keys say which changes came first.
 */
static bool
counts_nothing(const CtActivity *activity)
{
	return activity->count[CT_PROMOTED] == 0 && activity->count[CT_DEMOTED] == 0 &&
		activity->count[CT_FLAGGED] == 0 && activity->count[CT_UNFLAGGED] == 0;
}

/*
 * If there is an entry that some activity can be added to: "row" holds it as it stands in the
 * ledger, and *sum is what it is to say then.
 */
bool
ct_own_entry_sum(Relation rel, const CtTable *table, const AttrNumber *attno,
				 const CtActivity *activity, TupleTableSlot *row, CtActivity *sum)
{
	uint32		hash = ct_account_hash(table, activity->account);
	OwnEntry   *own = own_entry(rel, hash);

	if (own->relid != RelationGetRelid(rel) || own->hash != hash)
		return false;
	*sum = own->activity;
	sum->account = activity->account;
	/* when it was recorded stands in an index */
	return activity->started_at >= sum->started_at &&
		counts_nothing(activity) && ct_activity_is_small(activity) && ct_activity_add(sum, activity) &&
		fetch_own(rel, own, table, attno, activity->account, row);
}

/*
 * Put that sum into the ledger: "row" is the entry with its new details, and then the new
 * version, which is to enter those indexes.  False, with nothing changed, if somebody holds the
 * entry, such as prune_ledger().
 *
 * SnapshotSelf is for table_tuple_update() to have one, as in ct_slot_write().
 */
bool
ct_own_entry_update(Relation rel, TupleTableSlot *row, const CtTable *table, const CtActivity *sum,
					CtUpdateIndexes *update_indexes)
{
	OwnEntry   *own = own_entry(rel, ct_account_hash(table, sum->account));
	TM_FailureData failure;
	LockTupleMode lockmode;

	CommandCounterIncrement();	/* a row is written once per command */
	ExecForceStoreHeapTuple(heap_form_tuple(RelationGetDescr(rel), row->tts_values, row->tts_isnull), row, true);
	row->tts_tableOid = RelationGetRelid(rel);
	if (table_tuple_update(rel, &own->tid, row, GetCurrentCommandId(true), SnapshotSelf, InvalidSnapshot,
						   false, &failure, &lockmode, update_indexes) != TM_Ok)
		return false;
	own->tid = row->tts_tid;
	own->xmin = GetCurrentTransactionId();
	own->activity = *sum;
	return true;
}

/*
 * Remember an entry that was inserted, to add to it; not one of a single large statement, which
 * stays an entry of its own.
 */
void
ct_own_entry_remember(Relation rel, const CtTable *table, TupleTableSlot *row, Datum entry,
					  const CtActivity *activity)
{
	uint32		hash = ct_account_hash(table, activity->account);
	OwnEntry   *own = own_entry(rel, hash);
	int			used = 0;

	if (activity->is_single || (activity->statements == 1 && !ct_activity_is_small(activity)))
		return;
	own->relid = InvalidOid;
	own->activity = *activity;
	for (int i = 0; i < CT_NENTRY_TEXTS; i++)
	{
		CtText	   *actor = &own->activity.actor[i];

		if (actor->data == NULL)
			continue;
		if (used + actor->length > MAX_TEXTS)
			return;
		actor->data = memcpy(own->texts + used, actor->data, actor->length);
		used += actor->length;
	}
	own->hash = hash;
	own->file = rel->rd_rel->relfilenode;
	own->tid = row->tts_tid;
	own->xmin = GetCurrentTransactionId();
	own->entry = *DatumGetUUIDP(entry);
	own->relid = RelationGetRelid(rel);
}
