/*-------------------------------------------------------------------------
 *
 * plan_use.c
 *	  A plan, or a tier, that accounts are subscribed to is not deleted (rule O3).
 *
 * No foreign key can say that: the account rows are in tables of many owners.  So a trigger
 * of the catalogue looks through the companion tables of all attached tables, whosever
 * they are, as metrics() does: from the heap, where nothing is evaluated that an owner has
 * written (metrics_read.c).  A table that is locked, or not as attach() creates it, is
 * skipped with a WARNING after a short wait (R5).
 *
 * As a foreign key does it, the trigger comes after the row is deleted, and sees what others
 * have committed, whatever the isolation level.  subscribe() in parallel
 * is kept out by a lock on the name of the plan.  It is not one on the row: the owner
 * of the contacts has no privilege to lock that, and who deletes the plan would
 * wait for his transaction without a bound.  So subscribe() waits for who deletes the plan, and
 * that one waits a short time only.  Writers that an upgrade moves to another tier take no lock:
 * they may move to a tier that is just being deleted.
 *
 * Logical replication applies what was decided elsewhere: the triggers do not fire there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

#include "manage/manage.h"

/* For so many milliseconds all in all others are waited for, in steps of so many */
#define PATIENCE	1000
#define STEP		10

/* What is looked for, and an account that was found */
typedef struct Search
{
	const char *plan;			/* NULL: any */
	int64		limit;			/* of a tier; 0: any */
	int			patience;		/* that is left, in milliseconds */
	MemoryContext context;		/* of the rest */
	const CtNames *names;		/* of the companion tables that are looked at
								 * now */
	bool		may_see;		/* the caller, the accounts in it? */
	bool		found;
	bool		shown;			/* may the caller see what was found? */
	char	   *found_plan;
	int64		found_limit;
	char	   *account;
	char	   *contacts;		/* a table */
} Search;

/* Lock the name of a plan; with dont_wait, false if that is not possible now. */
static bool
lock_name(const char *plan, LOCKMODE lockmode, bool dont_wait)
{
	Oid			relid = get_relname_relid("plan", get_namespace_oid("contacts_tier", false));
	LOCKTAG		tag;

	/* names with the same hash value wait for one another: that is no harm */
	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, relid,
					   (uint16) hash_bytes((const unsigned char *) plan, strlen(plan)));
	return LockAcquire(&tag, lockmode, false, dont_wait) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * Lock a plan, so that it is neither deleted nor loses tiers until the transaction ends.  Waits
 * for who is about to do that.  What was read of the plan before may not hold any more.
 */
void
ct_lock_plan(const char *plan)
{
	(void) lock_name(plan, ShareLock, false);
}

/* Wait a moment; false if there is no patience left. */
static bool
wait_a_step(int *patience)
{
	if (*patience <= 0)
		return false;
	CHECK_FOR_INTERRUPTS();
	pg_usleep(STEP * 1000L);
	*patience -= STEP;
	return true;
}

/* Keep subscribe() out: 55P03 if it does not end soon. */
static void
lock_out_subscribers(Search *search)
{
	while (!lock_name(search->plan, ExclusiveLock, true))
		if (!wait_a_step(&search->patience))
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("plan \"%s\" is locked", search->plan),
					 errdetail("A transaction that subscribes an account to the plan, or changes a tier of an account, has not ended."),
					 errhint("Try again when the transaction has ended.")));
}

/* May the caller see the rows of a companion table? */
static bool
may_see(Oid relid)
{
	bool		is_missing = false;

	if (pg_class_aclcheck_ext(relid, GetUserId(), ACL_SELECT, &is_missing) != ACLCHECK_OK || is_missing)
		return false;
	return object_ownercheck(RelationRelationId, relid, GetUserId()) ||
		check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED;
}

/* The first of the tables that share the companion tables at hand, as it is told to the caller */
static char *
contacts_of(const Search *search)
{
	List	   *relids = ct_attached_tables(search->names);
	Oid			relid = relids == NIL ? InvalidOid : linitial_oid(relids);
	char	   *name = OidIsValid(relid) ? get_rel_name(relid) : NULL;

	if (name == NULL)
		return psprintf("%s.%s", NameStr(search->names->schema), NameStr(search->names->companions[CT_ACCOUNT]));
	return psprintf("%s.%s", get_namespace_name(get_rel_namespace(relid)), name);
}

/* Note an account that was found.  An example that the caller may see is better. */
static void
note_found(Search *search, CtSchemaMetrics *metrics, Datum account, Datum plan, int64 limit)
{
	MemoryContext old = MemoryContextSwitchTo(search->context);

	search->found = true;
	search->shown = search->may_see;
	search->found_plan = TextDatumGetCString(plan);
	search->found_limit = limit;
	search->account = ct_account_text(metrics->table, account);
	search->contacts = contacts_of(search);
	MemoryContextSwitchTo(old);
}

/* Has the row a subscription to what is looked for? */
static bool
is_subscribed(const Search *search, TupleTableSlot *row, const AttrNumber *attno, Datum *values)
{
	bool		isnull[4];

	for (int i = 0; i < 4; i++)
		values[i] = slot_getattr(row, attno[i], &isnull[i]);
	if (isnull[0] || isnull[1] || isnull[2] || !isnull[3])
		return false;			/* or it has ended */
	if (search->plan != NULL && strcmp(TextDatumGetCString(values[1]), search->plan) != 0)
		return false;
	return search->limit == 0 || DatumGetInt64(values[2]) == search->limit;
}

/* Look through the rows of one table, up to the first that is found. */
static void
search_rows(Search *search, CtSchemaMetrics *metrics, Relation rel)
{
	AttrNumber	attno[] = {
		ct_metrics_column(metrics, rel, "account", InvalidOid),
		ct_metrics_column(metrics, rel, "plan", TEXTOID),
		ct_metrics_column(metrics, rel, "contact_limit", INT8OID),
		ct_metrics_column(metrics, rel, "ended_at", TIMESTAMPTZOID)
	};
	TableScanDesc scan = table_beginscan(rel, GetActiveSnapshot(), 0, NULL);
	TupleTableSlot *row = table_slot_create(rel, NULL);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "contacts_tier account row",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	bool		found = false;

	while (!found && table_scan_getnextslot(scan, ForwardScanDirection, row))
	{
		Datum		values[4];

		CHECK_FOR_INTERRUPTS();
		found = is_subscribed(search, row, attno, values);
		if (found)
			note_found(search, metrics, values[0], values[1], DatumGetInt64(values[2]));
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	ExecDropSingleTupleTableSlot(row);
	table_endscan(scan);
}

/*
 * ct_attempt(): look through the companion tables in a schema.  All locks are released at
 * the end, or when the subtransaction fails.
 */
static void
search_schema(void *arg)
{
	Search	   *search = arg;
	CtSchemaMetrics metrics;
	Oid			relid;
	bool		locked;
	ListCell   *cell;

	relid = ct_companion_relid(search->names, CT_ACCOUNT);
	if (!OidIsValid(ct_companion_owner(relid)))
		return;					/* where there is none, nobody is subscribed */
	search->may_see = may_see(relid);
	/* else the next attempt fails, and says why */
	while (!(locked = ConditionalLockRelationOid(relid, AccessShareLock)) && wait_a_step(&search->patience))
		;
	PushActiveSnapshot(GetLatestSnapshot());
	ct_metrics_begin_accounts(&metrics, relid);
	foreach(cell, metrics.rels[CT_ACCOUNT])
	{
		if (!search->shown)
			search_rows(search, &metrics, lfirst(cell));
	}
	ct_metrics_end(&metrics);
	PopActiveSnapshot();
	if (locked)
		UnlockRelationOid(relid, AccessShareLock);
}

/* Look through all companion tables of this node, until an account is found that the caller may see. */
static void
search_all(Search *search)
{
	List	   *sets = ct_companion_sets();
	ListCell   *cell;

	search->context = CurrentMemoryContext;
	foreach(cell, sets)
	{
		if (search->shown)
			continue;
		search->names = lfirst(cell);
		(void) ct_attempt(search_schema, search, psprintf("schema \"%s\"", NameStr(search->names->schema)));
	}
}

/* 23503, as a foreign key would have it. */
static void
in_use_error(const Search *search, Relation rel, bool is_tier)
{
	ereport(ERROR,
			(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
			 is_tier ?
			 errmsg("tier of %lld contacts of plan \"%s\" has subscribed accounts",
					(long long) search->found_limit, search->found_plan) :
			 errmsg("plan \"%s\" has subscribed accounts", search->found_plan),
			 search->shown ?
			 errdetail("One of them is account \"%s\" of table \"%s\".", search->account, search->contacts) :
			 errdetail("Role \"%s\" has no privilege to see which accounts.", GetUserNameFromId(GetUserId(), false)),
			 is_tier ?
			 errhint("Move the accounts to another tier first, with contacts_tier.change_tier().") :
			 errhint("End the subscriptions first, with contacts_tier.cancel(): they end at the renewal date."),
			 errtable(rel)));
}

/* Has an UPDATE left the key as it was? */
static bool
has_same_key(TriggerData *trigdata, bool is_tier)
{
	TupleDesc	tupdesc = RelationGetDescr(trigdata->tg_relation);
	int			nkeys = is_tier ? 2 : 1;

	for (int i = 1; i <= nkeys; i++)
	{
		char	   *before = SPI_getvalue(trigdata->tg_trigtuple, tupdesc, i);
		char	   *after = SPI_getvalue(trigdata->tg_newtuple, tupdesc, i);

		if (before == NULL || after == NULL || strcmp(before, after) != 0)
			return false;
	}
	return true;
}

PG_FUNCTION_INFO_V1(contacts_tier_accounts_subscribed);

/*
 * accounts_subscribed(): AFTER row trigger of the plans and tiers for UPDATE and DELETE,
 * BEFORE statement trigger for TRUNCATE, whose lock keeps subscribe() out
 *
 * The key is in the first columns of both tables, as the extension creates them.
 *
 * Locks: the name of the plan, until the transaction ends; each account table while it is read.
 * Errors: 23503, 55P03.
 */
Datum
contacts_tier_accounts_subscribed(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = ct_trigger_data(fcinfo, "accounts_subscribed");
	Relation	rel = trigdata->tg_relation;
	bool		is_tier = strcmp(RelationGetRelationName(rel), "tier") == 0;
	Search		search = {.patience = PATIENCE};
	bool		isnull;

	if (TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
	{
		if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) && has_same_key(trigdata, is_tier))
			return (Datum) 0;
		search.plan = SPI_getvalue(trigdata->tg_trigtuple, RelationGetDescr(rel), 1);
		if (is_tier)
			search.limit = DatumGetInt64(heap_getattr(trigdata->tg_trigtuple, 2, RelationGetDescr(rel), &isnull));
		lock_out_subscribers(&search);
	}
	/* rows that were left when the table became a reference table */
	else if (ct_is_work_of_citus(RelationGetRelid(rel), InvalidOid))
		return (Datum) 0;
	search_all(&search);
	if (search.found)
		in_use_error(&search, rel, is_tier);
	return (Datum) 0;
}
