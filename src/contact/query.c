/*-------------------------------------------------------------------------
 *
 * query.c
 *	  The statements that triggers run on companion tables.
 *
 * Each folder has the texts of its own (CtQuery).  All go through SPI on the tables'
 * names, one account each, so that they also work where the tables are distributed.
 * They run as the owner of the contacts table and under a safe search_path, for the
 * sake of what the owner has put on these tables; every name and operator in them is
 * qualified.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/guc.h"

#include "contact/contact.h"

/* Plans that a backend saves: of all statements, and for some sets of companion tables */
#define MAX_PLANS	48

/* What a plan depends on, besides what PostgreSQL looks after */
typedef struct QueryKey
{
	const CtQuery *query;
	Oid			account_type;
	CtNames		names;
} QueryKey;

static CtPlanCache *plans = NULL;

/*
 * Create the cache of plans.
 */
void
ct_query_init(void)
{
	plans = ct_plan_cache_create("contacts_tier plans", sizeof(QueryKey), MAX_PLANS);
}

/* ct_plan_execute() has no plan yet.  Errors: as ct_check_companions(). */
static SPIPlanPtr
prepare_query(const void *key, const void *arg)
{
	const CtQuery *query = ((const QueryKey *) key)->query;
	const CtTable *table = arg;
	Oid			types[CT_MAX_PARAMS];

	ct_check_companions(table);
	for (int i = 0; i < query->nparams; i++)
		types[i] = query->types[i] == CT_ACCOUNT_TYPE ? table->account_type : query->types[i];
	return ct_prepare(ct_sql(table, query->text), query->nparams, types, 0);
}

/*
 * Run a statement in the open SPI connection, as the identity in force, which the
 * caller has made the table's owner.  Returns the count of rows; a result is read
 * by ct_result().  Parameter 1 is the account.
 *
 * Errors: those of ct_check_companions() where no plan is saved: 42P01 (a companion table is
 * missing), 42501 (it is not of the owner of the contacts table), 42703, 42804, 55000 (it is
 * not as attach() creates it); 42501 where the owner has lost a privilege on it; 40001 above READ
 * COMMITTED; and those of triggers and constraints that the owner has put on it.
 */
uint64
ct_companion_query(const CtTable *table, const CtQuery *query, Datum *values, const char *nulls)
{
	int			level = NewGUCNestLevel();
	QueryKey	key;
	uint64		count;

	/* compared byte by byte, with its padding */
	memset(&key, 0, sizeof(key));
	key.query = query;
	key.account_type = table->account_type;
	key.names = table->names;
	ct_set_safe_search_path();
	count = ct_plan_execute(plans, &key, prepare_query, table, values, nulls);
	AtEOXact_GUC(false, level);
	return count;
}
