/*-------------------------------------------------------------------------
 *
 * cache.c
 *	  What a backend remembers of relations, until they change.
 *
 * All caches of the extension share one callback on relations and one on names,
 * since a backend has room for few (MAX_RELCACHE_CALLBACKS in inval.c is 10).
 *
 * An entry never changes once it is filled: one whose relation has changed is
 * replaced by another, and stays where it is until the transaction ends, since a
 * caller further up the stack may use it.  Callbacks only mark entries: they run
 * wherever a lock is acquired or a catalogue is read
 * (AcceptInvalidationMessages()).
 *
 * Memory is bounded: at the end of a transaction, when nobody uses an entry any
 * more, a cache that has outgrown its limit is reduced to what that transaction used.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/ilist.h"
#include "utils/catcache.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/base.h"

/* In front of what is remembered of a relation */
typedef struct Entry
{
	Oid			relid;
	bool		filled;
	bool		changed;		/* the relation has, since the entry was begun */
	uint64		used;			/* the transaction that looked at it last */
	MemoryContext context;		/* of the entry and what belongs to it */
	slist_node	node;			/* in "replaced" */
} Entry;

#define ENTRY_SIZE		MAXALIGN(sizeof(Entry))
#define DATA(entry)		((void *) ((char *) (entry) + ENTRY_SIZE))
#define ENTRY(data)		((Entry *) ((char *) (data) - ENTRY_SIZE))

/* How a cache finds an entry */
typedef struct Place
{
	Oid			relid;			/* hash key */
	Entry	   *entry;
} Place;

struct CtCache
{
	HTAB	   *places;
	Size		size;			/* of what is remembered of one relation */
	int			limit;			/* entries up to which it forgets none */
	slist_node	node;			/* in "caches" */
};

/* All caches, of CtCache: the callbacks serve each of them */
static slist_head caches = SLIST_STATIC_INIT(caches);

/* Entries that are in no cache any more, but may be in use until the transaction ends */
static slist_head replaced = SLIST_STATIC_INIT(replaced);

/* Counted up by each transaction, from 1, and by each invalidation message that is processed */
static uint64 transactions = 1;
static uint64 relation_changes = 0;
static uint64 name_changes = 0;

/*
 * How often schemas, functions and roles have changed, as far as this backend has processed the
 * messages.  What was looked up by name holds as long as this stays the same.  Read it
 * before the look-up: a message that comes in between must not be missed.
 */
uint64
ct_name_changes(void)
{
	return name_changes;
}

/*
 * The same for names of relations: any change of a relation may be a new name, so it
 * counts them all, and grows faster.
 */
uint64
ct_relation_name_changes(void)
{
	return relation_changes + name_changes;
}

/*
 * The number of the transaction at work, among those of this backend.
 */
uint64
ct_transaction_number(void)
{
	return transactions;
}

/* A message without a relation stands for all: the queue has overflowed. */
static void
mark_all(CtCache *cache)
{
	HASH_SEQ_STATUS status;
	Place	   *place;

	hash_seq_init(&status, cache->places);
	while ((place = hash_seq_search(&status)) != NULL)
		place->entry->changed = true;
}

/* Of CacheRegisterRelcacheCallback().  Must not fail, nor look anything up. */
static void
relation_changed(Datum arg, Oid relid)
{
	slist_iter	iter;

	relation_changes++;
	slist_foreach(iter, &caches)
	{
		CtCache    *cache = slist_container(CtCache, node, iter.cur);
		Place	   *place;

		if (!OidIsValid(relid))
			mark_all(cache);
		else if ((place = hash_search(cache->places, &relid, HASH_FIND, NULL)) != NULL)
			place->entry->changed = true;
	}
}

/* Of CacheRegisterSyscacheCallback(), for schemas, functions and roles. */
static void
name_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	name_changes++;
}

/*
 * Create a cache of relations, which lives as long as the backend.  "size" is that of what
 * is remembered of one, in bytes, "limit" the number of relations above which it forgets
 * some.
 */
CtCache *
ct_cache_create(const char *name, Size size, int limit)
{
	HASHCTL		ctl = {.keysize = sizeof(Oid),.entrysize = sizeof(Place)};
	CtCache    *cache;

	/* the postmaster, which may load the library for all, has none */
	CreateCacheMemoryContext();
	ctl.hcxt = CacheMemoryContext;
	cache = MemoryContextAlloc(CacheMemoryContext, sizeof(CtCache));
	cache->places = hash_create(name, 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	cache->size = size;
	cache->limit = limit;
	slist_push_head(&caches, &cache->node);
	return cache;
}

/*
 * What is remembered of a relation, NULL if there is nothing that still holds.  Whether it
 * holds is known as far as messages were processed, as they are when a lock is acquired: to
 * be sure of it, lock the relation first.
 */
void *
ct_cache_find(CtCache *cache, Oid relid)
{
	Place	   *place = hash_search(cache->places, &relid, HASH_FIND, NULL);

	if (place == NULL || !place->entry->filled || place->entry->changed)
		return NULL;
	place->entry->used = transactions;
	return DATA(place->entry);
}

/*
 * Begin to remember a relation: zeroes, to be filled.  What belongs to it goes into
 * "context".  If that ends by an error, nothing is remembered.
 */
void *
ct_cache_begin(CtCache *cache, Oid relid, MemoryContext *context)
{
	bool		found;
	Place	   *place;
	Entry	   *entry;

	*context = AllocSetContextCreate(CacheMemoryContext, "contacts_tier relation", ALLOCSET_SMALL_SIZES);
	entry = MemoryContextAllocZero(*context, ENTRY_SIZE + cache->size);
	entry->relid = relid;
	entry->used = transactions;
	entry->context = *context;
	place = hash_search(cache->places, &relid, HASH_ENTER, &found);
	if (found)
		slist_push_head(&replaced, &place->entry->node);
	place->entry = entry;
	return DATA(entry);
}

/*
 * It is filled.  It holds from now on, unless the relation has changed meanwhile;
 * then it serves its creator alone.
 */
void
ct_cache_end(void *data)
{
	ENTRY(data)->filled = true;
}

/* At the end of a transaction: nobody can use these any more. */
static void
free_replaced(void)
{
	while (!slist_is_empty(&replaced))
	{
		Entry	   *entry = slist_container(Entry, node, slist_pop_head_node(&replaced));

		MemoryContextDelete(entry->context);
	}
}

/* Forget the entries that the last transaction has not used, or all of them. */
static void
forget(CtCache *cache, bool all)
{
	HASH_SEQ_STATUS status;
	Place	   *place;

	hash_seq_init(&status, cache->places);
	while ((place = hash_seq_search(&status)) != NULL)
	{
		if (!all && place->entry->used == transactions)
			continue;
		MemoryContextDelete(place->entry->context);
		(void) hash_search(cache->places, &place->relid, HASH_REMOVE, NULL);
	}
}

/*
 * Between transactions nobody holds an entry: a procedure that commits gives up all
 * that it has looked up, since PostgreSQL releases its locks and relations.
 */
static void
at_transaction_end(XactEvent event, void *arg)
{
	slist_iter	iter;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	free_replaced();
	slist_foreach(iter, &caches)
	{
		CtCache    *cache = slist_container(CtCache, node, iter.cur);

		if (hash_get_num_entries(cache->places) > cache->limit)
			forget(cache, false);
		if (hash_get_num_entries(cache->places) > cache->limit)
			forget(cache, true);
	}
	transactions++;
}

/*
 * Register for changes, and for the ends of transactions.
 */
void
ct_cache_init(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACENAME, name_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, name_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, name_changed, (Datum) 0);
	RegisterXactCallback(at_transaction_end, NULL);
}
