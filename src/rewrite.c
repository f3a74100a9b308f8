/*-------------------------------------------------------------------------
 *
 * rewrite.c
 *	  Writing contacts once more behind the triggers.
 *
 * Rows that were written are mended where another trigger left them against the
 * rules, and made non-marketing where they did not fit the contact tier.  No
 * triggers fire, or those of the application would do again what they did; what
 * it means for the counters is the caller's to note.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "contacts_tier.h"

/* The statement that was run last, which is likely to be run next, and its plan */
static char *kept_statement = NULL;
static SPIPlanPtr kept_plan = NULL;

static SPIPlanPtr
plan_of(const char *statement, int nargs, Oid *types)
{
	SPIPlanPtr	plan;

	if (kept_statement != NULL && strcmp(kept_statement, statement) == 0)
		return kept_plan;
	plan = SPI_prepare(statement, nargs, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed on \"%s\": %s", statement, SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	if (kept_statement != NULL)
	{
		SPI_freeplan(kept_plan);
		pfree(kept_statement);
	}
	kept_plan = plan;
	kept_statement = MemoryContextStrdup(TopMemoryContext, statement);
	return plan;
}

/*
 * Run a statement in the open SPI connection while no triggers fire, and with a
 * safe search_path: expressions of indexes are the owner's, who we are.
 */
static uint64
execute_without_triggers(const char *statement, int nargs, Oid *types, Datum *values)
{
	int			level = NewGUCNestLevel();
	int			result;

	ct_set_safe_search_path();
	(void) set_config_option("session_replication_role", "replica", PGC_SUSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	/* rows of our own transaction, which an older snapshot would not show */
	result = SPI_execute_snapshot(plan_of(statement, nargs, types), values, NULL, GetLatestSnapshot(), InvalidSnapshot,
								  false, true, 0);
	if (result < 0)
		elog(ERROR, "SPI failed on \"%s\": %s", statement, SPI_result_code_string(result));
	AtEOXact_GUC(false, level);
	return SPI_processed;
}

/*
 * Write one row of a table as its owner, by a statement that ends in RETURNING
 * ctid.  Returns whether the row was there; if so, *tid is its new place.
 */
bool
ct_rewrite_row(const CtTable *table, const char *statement, int nargs, Oid *types, Datum *values,
			   ItemPointer tid)
{
	CtIdentity	identity;
	bool		found;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ct_act_as_owner(table->owner, &identity);
	found = execute_without_triggers(statement, nargs, types, values) > 0;
	if (found)
	{
		bool		isnull;

		ItemPointerCopy((ItemPointer) DatumGetPointer(ct_result(1, TIDOID, &isnull)), tid);
	}
	ct_restore_identity(&identity);
	SPI_finish();
	return found;
}

/* Triggers of the application may have written the rows again: where are they now? */
static void
follow_rows(Relation rel, ItemPointer tids, int count)
{
	TableScanDesc scan = table_beginscan_tid(rel, SnapshotSelf);

	for (int i = 0; i < count; i++)
		table_tuple_get_latest_tid(scan, &tids[i]);
	table_endscan(scan);
}

static Datum
tid_array(ItemPointer tids, int count)
{
	Datum	   *elements = palloc(sizeof(Datum) * count);

	for (int i = 0; i < count; i++)
		elements[i] = PointerGetDatum(&tids[i]);
	return PointerGetDatum(construct_array(elements, count, TIDOID, sizeof(ItemPointerData),
										   false, TYPALIGN_SHORT));
}

static int64
demote_rows(Relation rel, const CtTable *table, ItemPointer tids, int count, int64 *flagged)
{
	const char *status = ct_table_column(table, CT_ARG_STATUS);
	const char *until = ct_table_column(table, CT_ARG_UNTIL);
	char	   *name = ct_qualified_name(rel);
	char	   *condition = psprintf("ctid OPERATOR(pg_catalog.=) ANY ($1) AND %s OPERATOR(pg_catalog.=)"
									 " 'marketing'::contacts_tier.marketing_status", status);
	Oid			types[] = {TIDARRAYOID};
	Datum		values[1];

	follow_rows(rel, tids, count);
	values[0] = tid_array(tids, count);
	execute_without_triggers(psprintf("SELECT pg_catalog.count(%s) FROM ONLY %s WHERE %s",
									  until, name, condition), 1, types, values);
	*flagged = ct_result_int64(1);
	return (int64) execute_without_triggers(psprintf("UPDATE ONLY %s SET %s ="
													 " 'non_marketing'::contacts_tier.marketing_status,"
													 " %s = NULL WHERE %s",
													 name, status, until, condition),
											1, types, values);
}

/*
 * Make rows of one relation, which this transaction has written, non-marketing,
 * those that still are marketing contacts.  Their source and time stay.  Returns
 * how many; *flagged is how many of these carried the flag.  None if the relation
 * is not attached any more, or not there.  The caller is the table's owner and
 * connected to SPI.
 */
int64
ct_make_non_marketing(Oid relid, ItemPointer tids, int count, int64 *flagged)
{
	Relation	rel = try_table_open(relid, RowExclusiveLock);
	Trigger    *trigger = rel == NULL ? NULL : ct_find_trigger(rel, CT_TRIGGER_COUNT);
	int64		changed = 0;

	*flagged = 0;
	if (trigger != NULL && ct_right_args(trigger->tgnargs))
		changed = demote_rows(rel, ct_table_resolve(rel, trigger->tgnargs, trigger->tgargs), tids, count, flagged);
	if (rel != NULL)
		table_close(rel, NoLock);
	return changed;
}
