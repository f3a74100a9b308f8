/*-------------------------------------------------------------------------
 *
 * repair.c
 *	  Mending what came in behind the triggers.
 *
 * Triggers do not see rows that are written while they are disabled, under
 * session_replication_role = replica, or that come and go with a partition.
 * verify() finds what that did to the counters; repair() mends rows, counters
 * and missing triggers of partitions.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/acl.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "contacts_tier.h"

/*
 * What verify() finds wrong in the companion tables of this table, as rows of
 * the result; also the number of them.
 */
static uint64
report_drift(const CtManaged *managed, ReturnSetInfo *result)
{
	uint64		count = ct_execute_latest(psprintf("SELECT * FROM contacts_tier.verify(%u::regclass)"
												   " WHERE drift <> 0 OR pending_counted <> pending_actual",
												   RelationGetRelid(managed->rel)));

	for (uint64 i = 0; i < count; i++)
		tuplestore_puttuple(result->setResult, SPI_tuptable->vals[i]);
	return count;
}

/*
 * Set the counters to what is counted now, and note it in the ledger.
 */
static void
repair_counters(const CtManaged *managed)
{
	ct_execute_latest(psprintf("WITH drift AS (SELECT v.account::%3$s AS account, v.actual, v.drift, v.pending_actual"
							   "   FROM contacts_tier.verify(%4$u::regclass) v"
							   "   WHERE v.account IS NOT NULL AND (v.drift <> 0 OR v.pending_counted <> v.pending_actual)),"
							   " emptied AS (UPDATE %1$s." CT_COUNTER_TABLE " c SET used = 0, pending = 0, granted = NULL"
							   "   FROM drift WHERE c.account %5$s drift.account AND c.slot <> 0),"
							   " mended AS (INSERT INTO %1$s." CT_COUNTER_TABLE " AS c (account, slot, used, pending, promoted, demoted)"
							   "   SELECT account, 0, actual, pending_actual, greatest(- drift, 0), greatest(drift, 0) FROM drift"
							   "   ON CONFLICT (account, slot) DO UPDATE"
							   "   SET used = excluded.used, pending = excluded.pending, granted = NULL,"
							   "   promoted = c.promoted + excluded.promoted, demoted = c.demoted + excluded.demoted)"
							   " INSERT INTO %1$s." CT_LEDGER_TABLE " (account, recorded_at, event, role, contacts, details)"
							   " SELECT account, contacts_tier.clock(), 'repair', %2$s, actual, jsonb_build_object('drift', drift)"
							   " FROM drift",
							   managed->schema, quote_literal_cstr(ct_caller_name()), managed->account_type,
							   RelationGetRelid(managed->rel), managed->equals));
}

/*
 * Repair all tables whose companion tables are in a schema.  They are locked
 * against writers until the transaction ends.
 */
static void
repair_group(const char *schema, ReturnSetInfo *result)
{
	List	   *relids = ct_attached_tables(schema);
	int			ntables = list_length(relids);
	CtManaged  *tables = palloc(sizeof(CtManaged) * ntables);

	for (int i = 0; i < ntables; i++)
	{
		ct_manage_begin(&tables[i], list_nth_oid(relids, i), ShareRowExclusiveLock);
		(void) find_all_inheritors(list_nth_oid(relids, i), ShareRowExclusiveLock, NULL);
	}
	ct_delta_apply_all();
	for (int i = 0; i < ntables; i++)
	{
		ct_add_partition_triggers(RelationGetRelid(tables[i].rel));
		ct_normalise_contacts(ct_qualified_name(tables[i].rel), tables[i].table);
	}
	if (report_drift(&tables[0], result) > 0)
		repair_counters(&tables[0]);
	for (int i = ntables - 1; i >= 0; i--)
		ct_manage_end(&tables[i]);
}

PG_FUNCTION_INFO_V1(contacts_tier_repair);

/*
 * repair(contacts regclass): a row for each account that was mended
 *
 * Locks: the attached tables that share companion tables, against writers, in
 * the order of their OIDs.  Errors: 42501, 55000 (not attached).
 */
Datum
contacts_tier_repair(PG_FUNCTION_ARGS)
{
	List	   *relids = PG_ARGISNULL(0) ? ct_attached_tables(NULL) : list_make1_oid(PG_GETARG_OID(0));
	List	   *done = NIL;
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, relids)
	{
		char	   *schema;

		if (!PG_ARGISNULL(0))
			ct_check_owner(lfirst_oid(cell));
		else if (!object_ownercheck(RelationRelationId, lfirst_oid(cell), GetUserId()))
			continue;
		schema = ct_companion_schema(lfirst_oid(cell));
		if (list_member(done, makeString(schema)))
			continue;
		done = lappend(done, makeString(schema));
		repair_group(schema, (ReturnSetInfo *) fcinfo->resultinfo);
	}
	return (Datum) 0;
}
