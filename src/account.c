/*-------------------------------------------------------------------------
 *
 * account.c
 *	  A look at account rows without SQL.
 *
 * As slots are (slot.c), an account row is read as it is now, whatever snapshot
 * the transaction has, and without a predicate lock: who writes contacts at
 * SERIALIZABLE must not depend on who changes the account.  Only where companion
 * tables are ordinary tables of this node.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "storage/bufmgr.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "contacts_tier.h"

/* Account rows whose places are remembered, per table */
#define NPLACES		4096

/* What is known of one account table */
typedef struct AccountTable
{
	CtKnownTable known;			/* must be first */
	bool		direct;			/* may it be looked at without SQL? */
	AttrNumber	account;
	AttrNumber	next_update_at;
	AttrNumber	record_activity;

	/*
	 * Where rows were seen last, by the hash of the account: a hint, for what
	 * is there may be the row of another account by now, or nothing.
	 */
	ItemPointerData place[NPLACES];
} AccountTable;

static HTAB *account_tables = NULL;

static AccountTable *
find_account_table(Relation rel, const CtTable *table)
{
	Oid			relid = RelationGetRelid(rel);
	AccountTable *info;

	if (account_tables == NULL)
		account_tables = ct_relation_cache("contacts_tier account tables", sizeof(AccountTable));
	info = (AccountTable *) ct_known_table(account_tables, sizeof(AccountTable), rel, table);
	if (info->known.valid)
		return info;
	info->account = ct_typed_column(relid, "account", table->account_type);
	info->next_update_at = ct_typed_column(relid, "next_update_at", TIMESTAMPTZOID);
	info->record_activity = ct_typed_column(relid, "record_activity", BOOLOID);
	info->direct = info->next_update_at && info->record_activity &&
		ct_is_ordinary(rel, table, &info->account, 1);
	for (int i = 0; i < NPLACES; i++)
		ItemPointerSetInvalid(&info->place[i]);
	info->known.valid = true;
	return info;
}

/* Read the row at the place where the account was seen last. */
static bool
fetch_at_place(Relation rel, const AccountTable *info, ItemPointer place,
			   const CtTable *table, Datum account, TupleTableSlot *row)
{
	bool		isnull;

	return ItemPointerIsValid(place) &&
		ItemPointerGetBlockNumber(place) < RelationGetNumberOfBlocks(rel) &&
		table_tuple_fetch_row_version(rel, place, SnapshotSelf, row) &&
		ct_account_compare(table, slot_getattr(row, info->account, &isnull), account) == 0;
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

/* Find the row: where it was seen last, or by the index. */
static bool
fetch_account(Relation rel, const CtTable *table, Datum account, AccountTable *info, TupleTableSlot *row)
{
	ItemPointer place = &info->place[ct_account_hash(table, account) % NPLACES];

	if (fetch_at_place(rel, info, place, table, account, row))
		return true;
	if (!fetch_by_index(rel, info, table, account, row))
		return false;
	*place = row->tts_tid;
	return true;
}

/*
 * Look at an account as it is now.
 */
CtAccountFound
ct_account_look(const CtTable *table, Datum account, CtAccountLook *look)
{
	Relation	rel = ct_open_companion(table, CT_ACCOUNT, AccessShareLock);
	AccountTable *info = find_account_table(rel, table);
	TupleTableSlot *row = table_slot_create(rel, NULL);
	CtAccountFound found = !info->direct ? CT_ACCOUNT_BY_SQL :
		fetch_account(rel, table, account, info, row) ? CT_ACCOUNT_FOUND : CT_ACCOUNT_MISSING;
	bool		isnull;

	if (found == CT_ACCOUNT_FOUND)
	{
		look->next_update_at = DatumGetTimestampTz(slot_getattr(row, info->next_update_at, &isnull));
		look->record_activity = DatumGetBool(slot_getattr(row, info->record_activity, &isnull));
	}
	ExecDropSingleTupleTableSlot(row);
	table_close(rel, NoLock);
	return found;
}

/*
 * Has an update date of the account passed?  "direct" as in counter.c.
 */
bool
ct_is_overdue(const CtTable *table, Datum account, bool direct)
{
	Datum		values[] = {account, TimestampTzGetDatum(ct_now())};
	CtAccountLook look;
	CtAccountFound found = direct ? ct_account_look(table, account, &look) : CT_ACCOUNT_BY_SQL;
	bool		overdue;

	if (found != CT_ACCOUNT_BY_SQL)
		return found == CT_ACCOUNT_FOUND && look.next_update_at <= ct_now();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	overdue = ct_companion_query(table, CT_QUERY_IS_OVERDUE, values, NULL) > 0;
	SPI_finish();
	return overdue;
}
