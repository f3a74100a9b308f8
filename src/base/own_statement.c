/*-------------------------------------------------------------------------
 *
 * own_statement.c
 *	  Statements of ours that fire triggers of the application, and are trusted by
 *	  our own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"

#include "base/base.h"

/*
 * The statement of our own that runs, of which the triggers trust what it writes; NULL if
 * there is none.  Trust names the statement: what it causes others to run is another one,
 * and is not trusted (R2).
 */
static const void *own_statement = NULL;

/* Values of parameters, as the executor wants them; NULL if there are none, as from SPI. */
static ParamListInfo
create_params(int nargs, const Oid *types, const Datum *values)
{
	ParamListInfo params;

	if (nargs == 0)
		return NULL;
	params = makeParamList(nargs);
	for (int i = 0; i < nargs; i++)
	{
		params->params[i].value = values[i];
		params->params[i].isnull = false;
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = types[i];
	}
	return params;
}

/*
 * Run one planned statement by the executor instead of SPI, so that it has a name, its
 * QueryDesc, before it starts, by which our triggers can trust it.
 */
static uint64
run_planned(PlannedStmt *statement, const char *command, ParamListInfo params, bool trusted)
{
	QueryDesc  *query = CreateQueryDesc(statement, command, GetActiveSnapshot(), InvalidSnapshot,
										None_Receiver, params, NULL, 0);
	const void *before = own_statement;
	volatile uint64 count = 0;

	own_statement = trusted ? query : NULL;
	PG_TRY();
	{
		ExecutorStart(query, 0);
		ct_executor_run(query, ForwardScanDirection, 0);
		count = query->estate->es_processed;
		ExecutorFinish(query);
		ExecutorEnd(query);
	}
	PG_FINALLY();
	{
		own_statement = before;
	}
	PG_END_TRY();
	FreeQueryDesc(query);
	return count;
}

/*
 * Is this the key of the statement of our own that runs (see CtStatement)?  It writes the
 * status of contacts as it is to be.
 */
bool
ct_is_own_statement(const void *key)
{
	return own_statement != NULL && own_statement == key;
}

/* A statement of a plan, or a copy of it that needs no privilege to write to a relation. */
static PlannedStmt *
with_privileges(PlannedStmt *statement, Oid unchecked)
{
	PlannedStmt *copy;

	if (!OidIsValid(unchecked) || statement->utilityStmt != NULL)
		return statement;
	copy = copyObject(statement);
	ct_only_check_select(copy, unchecked);
	return copy;
}

/*
 * Run all that a planned command of ours consists of: where the owner has put rules on
 * the table, these have turned it into several statements, as in _SPI_execute_plan().  What
 * a rule adds is not ours, so it is neither trusted nor counted.  To write to the relation
 * "unchecked", if it is valid, no privilege is needed.
 */
static uint64
run_as_rewritten(CachedPlanSource *source, CachedPlan *plan, ParamListInfo params, Oid unchecked)
{
	uint64		count = 0;
	ListCell   *cell;
	ListCell   *query;

	forboth(cell, plan->stmt_list, query, source->query_list)
	{
		PlannedStmt *statement = with_privileges(lfirst_node(PlannedStmt, cell), unchecked);
		bool		ours = lfirst_node(Query, query)->querySource == QSRC_ORIGINAL;
		uint64		processed;

		CommandCounterIncrement();
		UpdateActiveSnapshotCommandId();
		if (statement->utilityStmt != NULL)
		{
			ProcessUtility(statement, source->query_string, true, PROCESS_UTILITY_QUERY, params, NULL,
						   None_Receiver, NULL);
			continue;
		}
		processed = run_planned(statement, source->query_string, params, ours);
		if (ours)
			count += processed;
	}
	return count;
}

/*
 * Plans of statements that are run again and again, as by the rollover of many accounts.  A
 * text names the columns of one table, as they are named now, and is known by two hashes: a
 * plan that another text of the same table and owner had would need both to be equal.
 */
#define MAX_PLANS	16

typedef struct StatementKey
{
	uint64		hash;			/* of the text */
	uint64		hash_with_types;	/* of the text and its types */
	Oid			owner;
	Oid			relid;
} StatementKey;

/* What ct_plan_begin() hands to prepare_by_index() */
typedef struct OwnStatement
{
	const char *command;
	int			nargs;
	Oid		   *types;
} OwnStatement;

static CtPlanCache *plans = NULL;

/* ct_plan_begin() has no plan yet. */
static SPIPlanPtr
prepare_by_index(const void *key, const void *arg)
{
	const OwnStatement *statement = arg;

	return ct_prepare_by_index(statement->command, statement->nargs, statement->types);
}

/* The key of a statement, without padding. */
static void
set_key(StatementKey *key, Oid owner, Oid relid, const char *command, int nargs, const Oid *types)
{
	const unsigned char *text = (const unsigned char *) command;
	int			length = strlen(command);

	key->hash = hash_bytes_extended(text, length, 0);
	key->hash_with_types = hash_bytes_extended(text, length,
											   hash_bytes_extended((const unsigned char *) types, sizeof(Oid) * nargs, 1));
	key->owner = owner;
	key->relid = relid;
}

/* Run a plan on what is committed now; "unchecked" is that of run_as_rewritten(). */
static uint64
run_now(SPIPlanPtr plan, CachedPlan *cached, ParamListInfo params, Oid unchecked)
{
	uint64		count;

	PushCopiedSnapshot(GetLatestSnapshot());

	/*
	 * planning may have rewritten the command anew: only now the lists belong
	 * together
	 */
	count = run_as_rewritten(linitial(SPI_plan_get_plan_sources(plan)), cached, params, unchecked);
	PopActiveSnapshot();
	CommandCounterIncrement();
	return count;
}

/* Run a plan as the owner, under the search_path of a session of the owner's. */
static uint64
run_plan(SPIPlanPtr plan, CachedPlan *cached, Oid owner, Oid relid, ParamListInfo params)
{
	int			level = NewGUCNestLevel();
	uint64		count;

	ct_set_for_now("search_path", ct_owner_search_path(owner, relid));
	count = run_now(plan, cached, params, InvalidOid);
	AtEOXact_GUC(false, level);
	return count;
}

/*
 * Run a statement that writes the status of contacts, as the owner of their table, so
 * that it sees what is committed now.  Our triggers trust it, and nothing that it causes
 * others to do.  Triggers of the application fire too, under the search_path of a session
 * of the owner's, never under the caller's; so the statement itself must qualify every
 * name and operator.  Returns how many it wrote.
 */
uint64
ct_execute_as_application(Oid owner, Oid relid, const char *command,
						  int nargs, Oid *types, Datum *values)
{
	SPIPlanPtr	plan = ct_prepare(command, nargs, types, CURSOR_OPT_GENERIC_PLAN);
	CachedPlan *cached = SPI_plan_get_cached_plan(plan);
	uint64		count = run_plan(plan, cached, owner, relid, create_params(nargs, types, values));

	ReleaseCachedPlan(cached, NULL);	/* the plan is not saved */
	SPI_freeplan(plan);
	return count;
}

/* A plan that finds each row to be written by an index, however few rows there are by the statistics. */
static CachedPlan *
plan_row_by_row(SPIPlanPtr plan)
{
	int			level = NewGUCNestLevel();
	CachedPlan *cached;

	ct_set_for_now("enable_hashjoin", "off");
	ct_set_for_now("enable_mergejoin", "off");
	cached = ct_plan_by_index(plan);
	AtEOXact_GUC(false, level);
	return cached;
}

/*
 * Run a statement that writes to a table of the current user, who need not have the privilege: an
 * owner can grant it to himself, so it protects from accidents, and the caller means it.  Other
 * privileges are checked, and triggers, rules and policies of the table apply, as ever.  It sees
 * what is committed now, and looks rows up one by one.  Returns how many rows it wrote.
 *
 * That a transaction may not write is found by the privileges that a statement needs
 * (ExecCheckXactReadOnly()), so the caller looks at that.
 */
uint64
ct_execute_unchecked_by_index(Oid relid, const char *command)
{
	SPIPlanPtr	plan = ct_prepare(command, 0, NULL, 0);
	CachedPlan *cached;
	uint64		count;

	Assert(object_ownercheck(RelationRelationId, relid, GetUserId()));
	cached = plan_row_by_row(plan);
	count = run_now(plan, cached, NULL, relid);
	ReleaseCachedPlan(cached, NULL);	/* the plan is not saved */
	SPI_freeplan(plan);
	return count;
}

/*
 * As ct_execute_as_application() for a statement that is run again and again, for few contacts,
 * which an index finds: its plan is saved.
 */
uint64
ct_execute_as_application_by_index(Oid owner, Oid relid, const char *command,
								   int nargs, Oid *types, Datum *values)
{
	OwnStatement statement = {.command = command,.nargs = nargs,.types = types};
	StatementKey key;
	SPIPlanPtr	plan;
	volatile uint64 count = 0;

	if (plans == NULL)
		plans = ct_plan_cache_create("contacts_tier statements", sizeof(StatementKey), MAX_PLANS);
	set_key(&key, owner, relid, command, nargs, types);
	plan = ct_plan_begin(plans, &key, prepare_by_index, &statement);
	PG_TRY();
	{
		CachedPlan *cached = ct_plan_by_index(plan);

		count = run_plan(plan, cached, owner, relid, create_params(nargs, types, values));
		ReleaseCachedPlan(cached, CurrentResourceOwner);
	}
	PG_FINALLY();
	{
		ct_plan_end(plans, &key);
	}
	PG_END_TRY();
	return count;
}
