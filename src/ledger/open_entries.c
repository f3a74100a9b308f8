/*-------------------------------------------------------------------------
 *
 * open_entries.c
 *	  Entries of activity that are open: slots carry them (counter/activity.c), readers see
 *	  them, and here they are closed.
 *
 * What is in a slot and what is in the ledger is one history at any instant: an entry goes
 * from one to the other in a single transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "ledger/ledger.h"

/* Which slots have an open entry that is to be closed; read_entry() goes by the order of columns */
#define CHOOSE(condition) \
	"SELECT account, slot, entry_started_at, entry_ended_at, entry_statements, entry_created, entry_deleted," \
	" entry_promoted, entry_demoted, entry_flagged, entry_unflagged, entry_dropped," \
	" entry_role, entry_source_type, entry_source_name" \
	" FROM {counter} WHERE entry_started_at IS NOT NULL" condition

#define COLUMN_ACCOUNT	1
#define COLUMN_SLOT		2
#define COLUMN_STARTED	3
#define COLUMN_ENDED	4
#define COLUMN_COUNTS	5		/* of statements, and by CtActivityKind */
#define COLUMN_TEXTS	(COLUMN_COUNTS + 1 + CT_NACTIVITIES)

/*
 * $2: the slot.  A statement of its own, not one with the INSERT: rules that the owner has put
 * on the tables are not possible in a WITH; and if a trigger of his suppresses it, the entry stays where
 * it is.
 */
static const CtQuery close_query = {
	"UPDATE {counter} SET entry_started_at = NULL"
	" WHERE account {=} $1 AND slot" CT_EQ "$2 AND entry_started_at IS NOT NULL",
	2, {CT_ACCOUNT_TYPE, INT4OID}
};

static void
check_types(const CtTable *table, TupleDesc rows)
{
	ct_check_result_type(rows, COLUMN_ACCOUNT, table->account_type);
	ct_check_result_type(rows, COLUMN_SLOT, INT4OID);
	ct_check_result_type(rows, COLUMN_STARTED, TIMESTAMPTZOID);
	ct_check_result_type(rows, COLUMN_ENDED, TIMESTAMPTZOID);
	for (int column = COLUMN_COUNTS; column < COLUMN_TEXTS; column++)
		ct_check_result_type(rows, column, INT8OID);
	for (int i = 0; i < CT_NENTRY_TEXTS; i++)
		ct_check_result_type(rows, COLUMN_TEXTS + i, TEXTOID);
}

/* The entry of a chosen slot; what is null counts 0. */
static CtActivity *
read_entry(SPITupleTable *slots, uint64 row)
{
	CtActivity *entry = palloc0(sizeof(CtActivity));
	HeapTuple	tuple = slots->vals[row];
	bool		isnull;

	entry->account = SPI_getbinval(tuple, slots->tupdesc, COLUMN_ACCOUNT, &isnull);
	entry->started_at = DatumGetTimestampTz(SPI_getbinval(tuple, slots->tupdesc, COLUMN_STARTED, &isnull));
	entry->ended_at = DatumGetTimestampTz(SPI_getbinval(tuple, slots->tupdesc, COLUMN_ENDED, &isnull));
	entry->statements = DatumGetInt64(SPI_getbinval(tuple, slots->tupdesc, COLUMN_COUNTS, &isnull));
	for (int i = 0; i < CT_NACTIVITIES; i++)
		entry->count[i] = DatumGetInt64(SPI_getbinval(tuple, slots->tupdesc, COLUMN_COUNTS + 1 + i, &isnull));
	for (int i = 0; i < CT_NENTRY_TEXTS; i++)
	{
		Datum		value = SPI_getbinval(tuple, slots->tupdesc, COLUMN_TEXTS + i, &isnull);
		text	   *packed = isnull ? NULL : DatumGetTextPP(value);

		if (packed != NULL)
			entry->actor[i] = (CtText)
		{
			VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed)
		};
	}
	return entry;
}

/* Close the entry of a chosen slot; false if a trigger or rule of the owner prevents it. */
static bool
close_slot(const CtTable *table, SPITupleTable *slots, uint64 row)
{
	bool		isnull;
	Datum		values[] = {
		SPI_getbinval(slots->vals[row], slots->tupdesc, COLUMN_ACCOUNT, &isnull),
		SPI_getbinval(slots->vals[row], slots->tupdesc, COLUMN_SLOT, &isnull)
	};

	return ct_companion_query(table, &close_query, values, NULL) > 0;
}

/*
 * Close the open entries of the slots that a query chooses and locks, by SQL.  Returns how many
 * were closed.
 */
static uint64
close_chosen(const CtTable *table, const CtQuery *query)
{
	uint64		count = ct_companion_query(table, query, NULL, NULL);
	SPITupleTable *slots = SPI_tuptable;
	List	   *closed = NIL;
	uint64		nclosed;

	check_types(table, slots->tupdesc);
	for (uint64 i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (close_slot(table, slots, i))
			closed = lappend(closed, read_entry(slots, i));
	}
	ct_ledger_record_activity(table, closed);
	nclosed = list_length(closed);
	list_free_deep(closed);
	SPI_freetuptable(slots);
	return nclosed;
}

/*
 * As ct_counter_withdraw(), and the open entries of the account are closed: they stand in the
 * ledger before what the caller records there.  The caller is the table's owner.
 */
CtCount
ct_ledger_withdraw(const CtTable *table, Datum account)
{
	List	   *finished;
	CtCount		count = ct_counter_withdraw(table, account, &finished);

	ct_ledger_record_activity(table, finished);
	return count;
}

/*
 * The same for ct_counter_close_period().
 */
CtCount
ct_ledger_close_period(const CtTable *table, Datum account)
{
	List	   *finished;
	CtCount		count = ct_counter_close_period(table, account, &finished);

	ct_ledger_record_activity(table, finished);
	return count;
}

static const CtQuery choose_all_query = {
	CHOOSE(" LIMIT " CppAsString2(CT_ENTRIES_AT_ONCE) " FOR NO KEY UPDATE SKIP LOCKED"),
	0, {0}
};

static const CtQuery choose_idle_query = {
	CHOOSE(" AND entry_ended_at" CT_LT "(contacts_tier.clock()" CT_SUB "pg_catalog.interval '1 minute')"
		   " LIMIT " CppAsString2(CT_ENTRIES_AT_ONCE) " FOR NO KEY UPDATE SKIP LOCKED"),
	0, {0}
};

/*
 * Close entries: CT_ENTRIES_AT_ONCE at most, of any accounts, or of the idle ones, to which nobody can add any more.
 * Slots that somebody holds are left out, so this waits for nobody.  Returns how many were
 * closed.  The caller is the table's owner and connected to SPI.
 *
 * Locks: the slots that had one, until the transaction ends.  Errors: those of
 * ct_check_companions().
 */
uint64
ct_ledger_close_entries(const CtTable *table, bool idle)
{
	/*
	 * where they are distributed, no entries are opened, and those of several
	 * accounts cannot be locked
	 */
	if (ct_is_distributed(ct_companion_relid(&table->names, CT_COUNTER)))
		return 0;
	return close_chosen(table, idle ? &choose_idle_query : &choose_all_query);
}
