/*-------------------------------------------------------------------------
 *
 * repair.c
 *	  Correcting what was written behind the triggers.
 *
 * Triggers do not see rows that are written while they are disabled, under
 * session_replication_role = replica, or that belong to a partition that is attached or
 * detached while event triggers are off.  verify() finds what that did to the counters;
 * repair() corrects rows and counters, creates again what attach() has created and is missing
 * (restore.c), and states again what attach() has stated of the companion tables.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/acl.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

/* The tables that share companion tables, and what is done for them */
typedef struct CompanionGroup
{
	CtNames		names;			/* of the companion tables */
	int		   *patience;		/* one of many: for ct_lock_within(); else
								 * NULL */
	MemoryContext context;
	List	   *mended;			/* rows of the result */
} CompanionGroup;

/*
 * What verify() finds wrong in the companion tables of this table, as rows of
 * the result; also the number of them.
 */
static uint64
report_drift(const CtManaged *managed, CompanionGroup *group)
{
	uint64		count = ct_execute_latest(ct_sqlf(managed->table, "SELECT * FROM contacts_tier.verify(%u::regclass)"
												  " WHERE drift <> 0 OR pending_counted <> pending_actual",
												  RelationGetRelid(managed->rel)));
	MemoryContext old = MemoryContextSwitchTo(group->context);

	for (uint64 i = 0; i < count; i++)
		group->mended = lappend(group->mended, heap_copytuple(SPI_tuptable->vals[i]));
	MemoryContextSwitchTo(old);
	return count;
}

/*
 * Set the counters to what is counted now, and note it in the ledger.  Writers are locked
 * out, so nothing changes between the count and the commit.  A NULL in "granted" closes a
 * slot: the next claim computes a new ceiling.  It must learn of falls, as those that were
 * noted before, so the bounds stay (ct_counter_withdraw() leaves them, too), and a count
 * that turns out to be below the bottom is noted.
 */
static void
repair_counters(const CtManaged *managed)
{
	ct_execute_latest(ct_sqlf(managed->table, "WITH drift AS (SELECT v.account::%1$s AS account, v.actual, v.drift, v.pending_actual"
							  "   FROM contacts_tier.verify(%2$u::regclass) v"
							  "   WHERE v.account IS NOT NULL AND (v.drift <> 0 OR v.pending_counted <> v.pending_actual)),"
							  " emptied AS (UPDATE {counter} c SET used = 0, pending = 0, granted = NULL"
							  "   FROM drift WHERE c.account {=} drift.account AND c.slot <> 0),"
							  " mended AS (INSERT INTO {counter} AS c (account, slot, used, pending, corrected)"
							  "   SELECT account, 0, actual, pending_actual, - drift FROM drift"
							  "   ON CONFLICT (account, slot) DO UPDATE"
							  "   SET used = excluded.used, pending = excluded.pending, granted = NULL,"
							  "   lowest = CASE WHEN excluded.used < c.bottom THEN least(c.lowest, excluded.used) ELSE c.lowest END,"
							  "   corrected = c.corrected + excluded.corrected)"
							  " INSERT INTO {ledger} (account, recorded_at, event, role, contacts, details)"
							  " SELECT account, contacts_tier.clock(), 'repair', %3$s, actual, jsonb_build_object('drift', drift)"
							  " FROM drift",
							  managed->account_type, RelationGetRelid(managed->rel),
							  quote_literal_cstr(ct_caller_name())));
}

/*
 * Partitions whose concurrent detachment has not ended.  find_all_inheritors() leaves them
 * out, but a statement that began before it can still write to them through the root.
 */
static void
lock_pending_partitions(Oid relid, LOCKMODE lockmode)
{
	List	   *relids = ct_pending_partitions(relid);
	ListCell   *cell;

	foreach(cell, relids)
		LockRelationOid(lfirst_oid(cell), lockmode);
}

/*
 * Begin to manage attached tables that share companion tables, and lock them and their
 * partitions: to be ended by ct_manage_end_group().  SHARE ROW EXCLUSIVE keeps writers out, lets readers
 * pass, and conflicts with itself.  "patience" is that of ct_lock_within(), NULL to wait as
 * long as it takes.  Errors: 42501, 55P03 where it must not wait long.
 */
CtManaged *
ct_manage_group(List *relids, LOCKMODE lockmode, int *patience)
{
	CtManaged  *tables = palloc(sizeof(CtManaged) * list_length(relids));
	ListCell   *cell;

	foreach(cell, relids)
	{
		Oid			relid = lfirst_oid(cell);

		ct_check_owner(relid);
		if (patience != NULL)
			ct_lock_within(relid, lockmode, patience);
		ct_manage_begin(&tables[foreach_current_index(cell)], relid, lockmode);
		if (patience != NULL)
			ct_limit_lock_waits(1000);
		(void) find_all_inheritors(relid, lockmode, NULL);
		lock_pending_partitions(relid, lockmode);
	}
	return tables;
}

/*
 * End what ct_manage_group() has begun, in the reverse order.
 */
void
ct_manage_end_group(CtManaged *tables, int ntables)
{
	for (int i = ntables - 1; i >= 0; i--)
		ct_manage_end(&tables[i]);
}

/*
 * Begin to manage an attached table and all others that share its companion tables, whose OIDs
 * *relids lists then; there is at least one.  The caller owns the table.
 *
 * Locks: the tables, in the order of their OIDs, until the transaction ends.  Errors: those of
 * ct_check_sound(), ct_manage_group(), ct_check_companions() and ct_frames_check_none(), and 42P01.
 */
CtManaged *
ct_manage_sharing(Oid relid, LOCKMODE lockmode, List **relids)
{
	CtManaged  *tables;
	CtNames		names;

	ct_attached_names(relid, &names);
	*relids = ct_attached_tables(&names);
	ct_check_sound(relid);
	tables = ct_manage_group(*relids, lockmode, NULL);
	if (*relids == NIL)
		ct_no_relation_error(relid);
	ct_check_companions(tables[0].table);
	ct_frames_check_none(*relids);
	return tables;
}

/*
 * Create again what the tables of a group have lost, each locked before.  Triggers and defaults
 * can be created only while a table is not open.
 */
static void
restore_group(const CompanionGroup *group, List *relids)
{
	ListCell   *cell;

	foreach(cell, relids)
	{
		ct_check_owner(lfirst_oid(cell));
		if (group->patience != NULL)
			ct_lock_within(lfirst_oid(cell), ShareRowExclusiveLock, group->patience);
		ct_restore_table(lfirst_oid(cell), group->patience != NULL);
	}
}

/* Privileges, triggers of partitions and dependencies of a group as attach() creates them */
static void
restate_group(CtManaged *tables, int ntables)
{
	if (ct_is_distributed(RelationGetRelid(tables[0].rel)))
	{
		ct_allow_distributed_ddl();
		ct_distribute_companions(RelationGetRelid(tables[0].rel), tables[0].table);
	}
	ct_restore_privileges(tables[0].table);
	for (int i = 0; i < ntables; i++)
	{
		ct_add_partition_triggers(RelationGetRelid(tables[i].rel));
		ct_restate_dependencies(tables[i].table);
	}
	ct_restate_ledger_privileges(tables[0].table);
}

/*
 * Where Citus distributes the tables: repair each shard that has an account whose counters are wrong, in this
 * transaction.
 */
static void
repair_shards(CtManaged *managed)
{
	uint64		count = ct_executef("SELECT pg_catalog.min(v.account) FROM contacts_tier.verify(%1$u::pg_catalog.regclass) v"
									" WHERE v.account IS NOT NULL AND (v.drift <> 0 OR v.pending_counted <> v.pending_actual)"
									" GROUP BY CASE WHEN (SELECT d.partkey IS NOT NULL FROM pg_catalog.pg_dist_partition d WHERE d.logicalrelid = %1$u)"
									"  THEN pg_catalog.get_shard_id_for_distribution_column(%1$u, v.account::%2$s) END",
									RelationGetRelid(managed->rel), managed->account_type);
	SPITupleTable *accounts = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
		ct_run_on_shard(managed, ct_managed_account(managed, SPI_getvalue(accounts->vals[i], accounts->tupdesc, 1)),
						"SELECT pg_catalog.to_jsonb(pg_catalog.count(*)) FROM contacts_tier.repair(%1$s)");
}

/*
 * Repair all tables that share companion tables.  They are locked
 * against writers until the transaction ends.
 */
static void
repair_group(void *arg)
{
	CompanionGroup *group = arg;
	List	   *relids = ct_attached_tables(&group->names);
	int			ntables = list_length(relids);
	CtManaged  *tables;
	bool		is_shard;

	if (ntables == 0)
		return;
	ct_frames_check_none(relids);
	is_shard = ct_is_shard(linitial_oid(relids));
	if (ct_is_distributed(linitial_oid(relids)))
		ct_grant_on_nodes();
	/* what a shard has lost comes back with the whole */
	if (!is_shard)
		restore_group(group, relids);
	tables = ct_manage_group(relids, ShareRowExclusiveLock, group->patience);
	ct_check_companions(tables[0].table);
	if (!is_shard)
		restate_group(tables, ntables);
	for (int i = 0; i < ntables; i++)
		ct_normalise_contacts(ct_qualified_name(tables[i].rel), tables[i].table);
	if (report_drift(&tables[0], group) > 0)
	{
		if (ct_is_distributed(RelationGetRelid(tables[0].rel)))
			repair_shards(&tables[0]);
		else
			repair_counters(&tables[0]);
	}
	if (!is_shard)
		ct_drop_former_triggers(NameStr(group->names.schema));
	ct_manage_end_group(tables, ntables);
}

/* Put the rows into the result, now that the work will not be rolled back. */
static void
return_mended(const CompanionGroup *group, ReturnSetInfo *result)
{
	ListCell   *cell;

	foreach(cell, group->mended)
		tuplestore_puttuple(result->setResult, lfirst(cell));
}

/*
 * Repair what the caller owns; what fails, or stays locked, is left out with a WARNING.  One
 * schema after another, each in a subtransaction: locks of the others are held until the end.
 */
static void
repair_all(ReturnSetInfo *result)
{
	List	   *relids = ct_attached_tables(NULL);
	List	   *done = NIL;
	int			patience = CT_FIRST_PATIENCE;
	ListCell   *cell;

	ct_frames_check_none(relids);	/* not within what may be rolled back */
	foreach(cell, relids)
	{
		char	   *args[CT_NARGS];
		CompanionGroup group = {.patience = &patience,.context = CurrentMemoryContext};

		if (get_rel_name(lfirst_oid(cell)) == NULL ||
			!object_ownercheck(RelationRelationId, lfirst_oid(cell), GetUserId()) ||
			!ct_look_up_args(lfirst_oid(cell), args) ||
			list_member(done, makeString(args[CT_ARG_SCHEMA])))
			continue;
		ct_names_resolve(&group.names, lfirst_oid(cell), args[CT_ARG_SCHEMA]);
		done = lappend(done, makeString(args[CT_ARG_SCHEMA]));
		if (ct_attempt(repair_group, &group, psprintf("schema \"%s\"", args[CT_ARG_SCHEMA])))
			return_mended(&group, result);
	}
}

PG_FUNCTION_INFO_V1(contacts_tier_repair);

/*
 * repair(contacts regclass): a row for each account that was mended
 *
 * Locks: the attached tables that share companion tables, against writers, in
 * the order of their OIDs.  Errors: 42P01, 42501, 42703, 42804, 42809, 55000 (not attached,
 * or a statement on contacts is running).
 */
Datum
contacts_tier_repair(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		repair_all(result);
	else
	{
		CompanionGroup group = {.context = CurrentMemoryContext};

		ct_check_owner(PG_GETARG_OID(0));
		ct_frames_check_none(list_make1_oid(PG_GETARG_OID(0)));
		ct_restore_registered(PG_GETARG_OID(0));
		ct_attached_names(PG_GETARG_OID(0), &group.names);
		ct_check_sound(PG_GETARG_OID(0));
		repair_group(&group);
		return_mended(&group, result);
	}
	return (Datum) 0;
}
