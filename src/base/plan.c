/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  Plans that a backend saves, so that it parses and plans a statement once.
 *
 * A file that runs statements again and again has one cache, and identifies a statement by
 * a key of its own: the text is put together only where there is no plan yet.  PostgreSQL
 * replans a saved plan when something that it depends on has changed
 * (RevalidateCachedQuery()).
 *
 * Memory is bounded by the number of plans.  A plan that is running is never
 * dropped: what it fires may need others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/catcache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/base.h"

/* What the plan of one statement has; its key follows */
typedef struct SavedPlan
{
	SPIPlanPtr	plan;
	uint64		used;			/* when it was used last: see "uses" */
	int			running;		/* executions that have not ended */
} SavedPlan;

struct CtPlanCache
{
	HTAB	   *plans;			/* the key, and a SavedPlan after it */
	Size		keysize;		/* rounded up, as the entry begins with it */
	int			limit;			/* plans that are saved at most */
	uint64		uses;			/* executions so far */
};

#define SAVED_PLAN(cache, entry)	((SavedPlan *) ((char *) (entry) + (cache)->keysize))

/*
 * Create a cache, which lives as long as the backend.  Keys of "keysize" bytes are compared
 * byte by byte: they must have no padding that is not set.  Above "limit" plans, the one
 * that was not used for longest makes room.
 */
CtPlanCache *
ct_plan_cache_create(const char *name, Size keysize, int limit)
{
	HASHCTL		ctl = {.keysize = keysize,.entrysize = MAXALIGN(keysize) + sizeof(SavedPlan)};
	CtPlanCache *cache;

	/* the postmaster, which may load the library for all, has none */
	CreateCacheMemoryContext();
	ctl.hcxt = CacheMemoryContext;
	cache = MemoryContextAlloc(CacheMemoryContext, sizeof(CtPlanCache));
	cache->plans = hash_create(name, 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	cache->keysize = MAXALIGN(keysize);
	cache->limit = limit;
	cache->uses = 0;
	return cache;
}

/* Drop the plan that was not used for longest, and does not run. */
static void
drop_oldest_plan(CtPlanCache *cache)
{
	HASH_SEQ_STATUS status;
	void	   *entry;
	void	   *oldest = NULL;

	hash_seq_init(&status, cache->plans);
	while ((entry = hash_seq_search(&status)) != NULL)
		if (SAVED_PLAN(cache, entry)->running == 0 &&
			(oldest == NULL || SAVED_PLAN(cache, entry)->used < SAVED_PLAN(cache, oldest)->used))
			oldest = entry;
	if (oldest == NULL)
		return;
	if (SAVED_PLAN(cache, oldest)->plan != NULL)
		SPI_freeplan(SAVED_PLAN(cache, oldest)->plan);
	(void) hash_search(cache->plans, oldest, HASH_REMOVE, NULL);
}

/* The entry of a key, with a plan or, if it is new, without. */
static SavedPlan *
find_plan(CtPlanCache *cache, const void *key)
{
	void	   *entry = hash_search(cache->plans, key, HASH_FIND, NULL);

	if (entry == NULL)
	{
		if (hash_get_num_entries(cache->plans) >= cache->limit)
			drop_oldest_plan(cache);
		entry = hash_search(cache->plans, key, HASH_ENTER, NULL);
		memset(SAVED_PLAN(cache, entry), 0, sizeof(SavedPlan));
	}
	SAVED_PLAN(cache, entry)->used = ++cache->uses;
	return SAVED_PLAN(cache, entry);
}

/*
 * The plan of the statement that a key stands for; "prepare" plans it where no plan is
 * saved.  It stays until ct_plan_end(), which the caller also calls when an error ends it.
 * Errors: those of "prepare".
 */
SPIPlanPtr
ct_plan_begin(CtPlanCache *cache, const void *key, SPIPlanPtr (*prepare) (const void *key, const void *arg),
			  const void *arg)
{
	SavedPlan  *saved = find_plan(cache, key);

	/* entries of a hash table stay where they are, and ours is not dropped */
	saved->running++;
	PG_TRY();
	{
		if (saved->plan == NULL)
		{
			SPIPlanPtr	plan = prepare(key, arg);

			SPI_keepplan(plan);
			saved->plan = plan;
		}
	}
	PG_CATCH();
	{
		saved->running--;
		PG_RE_THROW();
	}
	PG_END_TRY();
	return saved->plan;
}

/*
 * The caller does not need the plan any more.
 */
void
ct_plan_end(CtPlanCache *cache, const void *key)
{
	void	   *entry = hash_search(cache->plans, key, HASH_FIND, NULL);

	SAVED_PLAN(cache, entry)->running--;
}

/*
 * Run the statement that a key stands for, in the open SPI connection and as the
 * identity in force; "prepare" plans it where no plan is saved.  It sees what is
 * committed now, whatever snapshot the transaction has: the statements of triggers
 * work on rows that they lock (src/README on isolation levels).  Returns the count of rows; a
 * result is read by ct_result().
 *
 * Errors: those of "prepare" and of the statement.
 */
uint64
ct_plan_execute(CtPlanCache *cache, const void *key, SPIPlanPtr (*prepare) (const void *key, const void *arg),
				const void *arg, Datum *values, const char *nulls)
{
	SPIPlanPtr	plan = ct_plan_begin(cache, key, prepare, arg);
	volatile int result;

	PG_TRY();
	{
		result = SPI_execute_snapshot(plan, values, nulls, GetLatestSnapshot(),
									  InvalidSnapshot, false, true, 0);
	}
	PG_FINALLY();
	{
		ct_plan_end(cache, key);
	}
	PG_END_TRY();
	if (result < 0)
		elog(ERROR, "SPI failed on a saved plan: %s", SPI_result_code_string(result));
	return SPI_processed;
}
