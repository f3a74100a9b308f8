/*-------------------------------------------------------------------------
 *
 * account_map.c
 *	  Hash tables by account.
 *
 * Accounts are hashed and compared as the type of the account column has it, by
 * account_key.c, so a table of this kind holds for accounts of one CtTable.  The hash is
 * stored: accounts are compared only where their hashes are the same.
 *
 * Entries stay where they are when others are added, unlike those of simplehash.h itself,
 * which moves what it holds when it grows.  None is removed: a table ends with its
 * memory context.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "contact/contact.h"

/* Where the entry of an account is */
typedef struct Place
{
	Datum		account;		/* hash key */
	uint32		hash;
	char		status;			/* of simplehash */
	CtAccountEntry *entry;
} Place;

#define SH_PREFIX			places
#define SH_ELEMENT_TYPE		Place
#define SH_KEY_TYPE			Datum
#define SH_KEY				account
#define SH_HASH_KEY(tb, key)	ct_account_hash((tb)->private_data, key)
#define SH_EQUAL(tb, a, b)	(ct_account_compare((tb)->private_data, a, b) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, a)	(a)->hash
#define SH_SCOPE			static inline
#define SH_DEFINE
#define SH_DECLARE
#include "lib/simplehash.h"

struct CtAccountMap
{
	places_hash *places;		/* NULL before there are two: most have one */
	const CtTable *table;
	MemoryContext context;		/* of all of it */
	Size		size;			/* of an entry */
	CtAccountEntry *newest;
};

/*
 * Create an empty hash table in a memory context.  "size" is that of an entry, a struct that
 * begins with a CtAccountEntry.  The CtTable, which says what the accounts are, must live
 * as long.
 */
CtAccountMap *
ct_account_map(MemoryContext context, const CtTable *table, Size size)
{
	CtAccountMap *map = MemoryContextAlloc(context, sizeof(CtAccountMap));

	map->places = NULL;
	map->table = table;
	map->context = context;
	map->size = size;
	map->newest = NULL;
	return map;
}

/* Is the entry that was created last that of the account? */
static bool
is_newest(const CtAccountMap *map, Datum account)
{
	return map->newest != NULL && ct_account_compare(map->table, map->newest->account, account) == 0;
}

/*
 * The entry of an account, or NULL.
 */
void *
ct_account_find(CtAccountMap *map, Datum account)
{
	Place	   *place;

	if (map->places == NULL)
		return is_newest(map, account) ? map->newest : NULL;
	place = places_lookup(map->places, account);
	return place == NULL ? NULL : place->entry;
}

/* Put an entry into the hash table. */
static void
insert_place(CtAccountMap *map, CtAccountEntry *entry, uint32 hash)
{
	bool		found;

	places_insert_hash(map->places, entry->account, hash, &found)->entry = entry;
}

/* Begin to hash, with the only entry that there is. */
static void
begin_to_hash(CtAccountMap *map)
{
	uint32		hash = ct_account_hash(map->table, map->newest->account);

	map->places = places_create(map->context, 2, unconstify(CtTable *, map->table));
	insert_place(map, map->newest, hash);
}

/*
 * The entry of an account, which is created where there is none: its account is a copy that
 * depends on nothing, all else is zero.
 */
void *
ct_account_enter(CtAccountMap *map, Datum account)
{
	CtAccountEntry *entry = ct_account_find(map, account);

	if (entry != NULL)
		return entry;
	if (map->places == NULL && map->newest != NULL)
		begin_to_hash(map);
	/* first what may fail: a table never has an account without an entry */
	entry = MemoryContextAllocZero(map->context, map->size);
	entry->account = ct_account_copy(map->table, account, map->context);
	if (map->places != NULL)
		insert_place(map, entry, ct_account_hash(map->table, entry->account));
	entry->older = map->newest;
	map->newest = entry;
	return entry;
}

/*
 * The entry that was created last, NULL if there is none; the others follow by "older".
 */
void *
ct_account_newest(const CtAccountMap *map)
{
	return map->newest;
}

/*
 * How many entries there are.
 */
uint32
ct_account_count(const CtAccountMap *map)
{
	return map->places != NULL ? map->places->members : map->newest != NULL ? 1 : 0;
}
