/*-------------------------------------------------------------------------
 *
 * account.c
 *	  A look at account rows without SQL.
 *
 * As slots are (slot.c), an account row is read as it is now, whatever snapshot
 * the transaction has, and without a predicate lock: a writer of contacts at
 * SERIALIZABLE must not depend on those who change the account.  Only where companion
 * tables are ordinary tables of this node.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/nbtree.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/toast_compression.h"
#include "access/toast_internals.h"
#include "storage/bufmgr.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "tier/tier.h"

/* Account rows whose places are remembered; two with the same hash displace one another */
#define NPLACES		4096

/*
 * Where rows were seen last, by table and hash of the account: a hint, for what is
 * there may be the row of another account by now, or nothing.
 */
typedef struct Place
{
	Oid			relid;
	ItemPointerData tid;
} Place;

static Place places[NPLACES];

/* What is known of one account table */
typedef struct AccountTable
{
	CtKnownTable known;			/* must be first */
	/* its columns; those of another type than they should have are invalid */
	AttrNumber	account;
	AttrNumber	next_update_at;
	AttrNumber	record_activity;
	AttrNumber	contact_limit;
	AttrNumber	grace;
	AttrNumber	on_exceed;
	AttrNumber	source_policies;
	AttrNumber	brake;
	AttrNumber	ended_at;
	AttrNumber	announced;
	AttrNumber	exceeded_announced;
	AttrNumber	thresholds;
} AccountTable;

static CtCache *account_tables = NULL;

/*
 * Create the cache of account tables.
 */
void
ct_account_init(void)
{
	account_tables = ct_cache_create("contacts_tier account tables", sizeof(AccountTable), CT_MAX_KNOWN);
}

/* Find its columns; false if the table is not as attach() creates it. */
static bool
find_columns(Relation rel, const CtTable *table, AccountTable *info)
{
	Oid			relid = RelationGetRelid(rel);

	info->account = ct_typed_column(relid, "account", table->account_type);
	info->next_update_at = ct_typed_column(relid, "next_update_at", TIMESTAMPTZOID);
	info->record_activity = ct_typed_column(relid, "record_activity", BOOLOID);
	info->contact_limit = ct_typed_column(relid, "contact_limit", INT8OID);
	info->grace = ct_typed_column(relid, "grace", INT8OID);
	info->on_exceed = ct_typed_column(relid, "on_exceed", ct_own_type("exceed_policy"));
	info->source_policies = ct_typed_column(relid, "source_policies", JSONBOID);
	info->brake = ct_typed_column(relid, "brake", JSONBOID);
	info->ended_at = ct_typed_column(relid, "ended_at", TIMESTAMPTZOID);
	info->announced = ct_typed_column(relid, "announced", INT4OID);
	info->exceeded_announced = ct_typed_column(relid, "exceeded_announced", BOOLOID);
	info->thresholds = ct_typed_column(relid, "thresholds", INT4ARRAYOID);
	return info->next_update_at && info->record_activity && info->contact_limit && info->grace &&
		info->on_exceed && info->source_policies && info->brake && info->ended_at &&
		info->announced && info->exceeded_announced && info->thresholds &&
		ct_is_ordinary(rel, table, &info->account, 1);
}

/* What is known of an open account table; looked at once, until the table changes. */
static AccountTable *
find_account_table(Relation rel, const CtTable *table)
{
	AccountTable *info;
	bool		is_new;

	info = (AccountTable *) ct_known_table(account_tables, rel, table, &is_new);
	if (!is_new)
		return info;
	if (!find_columns(rel, table, info))
		ct_refuse_companion(rel, table);
	ct_cache_end(info);
	return info;
}

/*
 * Read the row at the place where the account was seen last, if that is a row of this
 * account that is valid now.  The place may be beyond the end of a table that was truncated.
 */
static bool
fetch_at_place(Relation rel, const AccountTable *info, Place *place,
			   const CtTable *table, Datum account, TupleTableSlot *row)
{
	bool		isnull;
	Datum		found;

	if (place->relid != RelationGetRelid(rel) || !ItemPointerIsValid(&place->tid) ||
		ItemPointerGetBlockNumber(&place->tid) >= RelationGetNumberOfBlocks(rel) ||
		!table_tuple_fetch_row_version(rel, &place->tid, SnapshotSelf, row))
		return false;
	found = slot_getattr(row, info->account, &isnull);
	return !isnull && ct_account_compare(table, found, account) == 0;
}

/*
 * Look the row up by the index.  Not by SnapshotSelf: see ct_slots_list().
 */
static bool
fetch_by_index(Relation rel, const AccountTable *info, const CtTable *table, Datum account,
			   TupleTableSlot *row)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	bool		found = false;

	ScanKeyEntryInitialize(&key, 0, info->account, BTEqualStrategyNumber, InvalidOid,
						   table->account_collation, get_opcode(table->account_eq), account);
	scan = systable_beginscan(rel, ct_primary_key_index(rel), true, SnapshotAny, 1, &key);
	while (!found && HeapTupleIsValid(systable_getnext(scan)))
		found = table_tuple_satisfies_snapshot(rel, scan->slot, snapshot);
	if (found)
		ExecCopySlot(row, scan->slot);
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	return found;
}

/*
 * Find the row: where it was seen last, or by the index.  An index look-up walks all dead
 * versions of the row, of which an old snapshot can make many; a place skips them.
 */
static bool
fetch_account(Relation rel, const CtTable *table, Datum account, const AccountTable *info, TupleTableSlot *row)
{
	Place	   *place = &places[(ct_account_hash(table, account) ^ RelationGetRelid(rel)) % NPLACES];

	if (fetch_at_place(rel, info, place, table, account, row))
		return true;
	if (!fetch_by_index(rel, info, table, account, row))
		return false;
	place->relid = RelationGetRelid(rel);
	place->tid = row->tts_tid;
	return true;
}

/* Returns false where the column is null, or no list of thresholds. */
static bool
look_at_thresholds(TupleTableSlot *row, const AccountTable *info, CtAccountLook *look)
{
	bool		isnull;
	Datum		value = slot_getattr(row, info->thresholds, &isnull);
	Datum	   *elements;
	bool	   *nulls;

	if (isnull)
		return false;
	deconstruct_array(DatumGetArrayTypeP(value), INT4OID, sizeof(int32), true, TYPALIGN_INT,
					  &elements, &nulls, &look->nthresholds);
	if (look->nthresholds > CT_MAX_THRESHOLDS)
		return false;
	for (int i = 0; i < look->nthresholds; i++)
	{
		if (nulls[i])
			return false;
		look->thresholds[i] = DatumGetInt32(elements[i]);
	}
	return true;
}

/* Do some source types follow another policy than the account? */
static bool
has_source_policies(TupleTableSlot *row, const AccountTable *info)
{
	bool		isnull;
	Datum		value = slot_getattr(row, info->source_policies, &isnull);
	Jsonb	   *policies = isnull ? NULL : DatumGetJsonbP(value);

	return policies != NULL && JB_ROOT_IS_OBJECT(policies) && JB_ROOT_COUNT(policies) > 0;
}

/* What is needed to compute the room of the account: see room.c. */
static void
look_at_subscription(TupleTableSlot *row, const AccountTable *info, CtAccountLook *look)
{
	bool		isnull[6];

	look->contact_limit = DatumGetInt64(slot_getattr(row, info->contact_limit, &isnull[0]));
	look->grace = DatumGetInt64(slot_getattr(row, info->grace, &isnull[1]));
	look->on_exceed = DatumGetObjectId(slot_getattr(row, info->on_exceed, &isnull[2]));
	look->has_source_policies = has_source_policies(row, info);
	look->announced.threshold = DatumGetInt32(slot_getattr(row, info->announced, &isnull[3]));
	look->announced.exceeded = DatumGetBool(slot_getattr(row, info->exceeded_announced, &isnull[4]));
	(void) slot_getattr(row, info->ended_at, &isnull[5]);
	look->has_subscription = !isnull[0] && !isnull[1] && !isnull[2] && !isnull[3] && !isnull[4] && isnull[5] &&
		look->contact_limit > 0 && look_at_thresholds(row, info, look);
}

/* Nulls, which the columns do not allow as attach() creates them, mean what they do in SQL. */
static void
read_look(TupleTableSlot *row, const AccountTable *info, CtAccountLook *look, bool whole)
{
	bool		isnull;
	Datum		value = slot_getattr(row, info->next_update_at, &isnull);

	look->next_update_at = isnull ? DT_NOEND : DatumGetTimestampTz(value);
	value = slot_getattr(row, info->record_activity, &isnull);
	look->record_activity = isnull || DatumGetBool(value);
	look->has_brake = !slot_attisnull(row, info->brake);
	value = slot_getsysattr(row, MinTransactionIdAttributeNumber, &isnull);
	look->xmin = isnull ? InvalidTransactionId : DatumGetTransactionId(value);
	look->tid = row->tts_tid;
	if (whole)
		look_at_subscription(row, info, look);
}

/*
 * Look at an account as it is now; "whole": at its subscription, too, else those fields of
 * "look" are not filled in.  False, and nothing is filled in, if there is none.  What was found
 * may change at once: no row is locked.
 *
 * Locks: the account table, as a SELECT does, until the transaction ends.  Errors: those of
 * ct_open_companion() and ct_refuse_companion().
 */
bool
ct_account_look(const CtTable *table, Datum account, CtAccountLook *look, bool whole)
{
	Relation	rel = ct_open_companion(table, CT_ACCOUNT, AccessShareLock);
	AccountTable *info = find_account_table(rel, table);
	TupleTableSlot *row = table_slot_create(rel, NULL);
	bool		found = fetch_account(rel, table, account, info, row);

	if (found)
		read_look(row, info, look, whole);
	ExecDropSingleTupleTableSlot(row);
	table_close(rel, NoLock);
	return found;
}

/*
 * Has an update date of the account passed?
 */
bool
ct_is_overdue(const CtTable *table, Datum account)
{
	CtAccountLook look;

	return ct_account_look(table, account, &look, false) && look.next_update_at <= ct_now();
}

/*
 * Does the account record activity?  So do those without a subscription; a brake counts by what is
 * recorded.
 */
CtRecords
ct_records_activity(const CtTable *table, Datum account)
{
	CtAccountLook look;

	if (!ct_account_look(table, account, &look, false))
		return CT_RECORDS_ACTIVITY;
	return look.has_brake ? CT_RECORDS_EACH : look.record_activity ? CT_RECORDS_ACTIVITY : CT_RECORDS_NOTHING;
}
