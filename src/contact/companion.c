/*-------------------------------------------------------------------------
 *
 * companion.c
 *	  Opening companion tables, and what a backend knows of them.
 *
 * They are found by name (names.c) each time, as a statement would find them: the
 * OIDs are remembered as long as no relation or schema has changed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"

#include "contact/contact.h"

/* The companion tables that were looked up last, as long as no name has changed */
static struct
{
	bool		valid;
	uint64		known_at;
	uint64		table;			/* CtTable.id of whose they were */
	CtNames		names;
	Oid			relids[CT_NCOMPANIONS];
}			companion_oids = {0};

/* The OIDs of all companion tables, as they are named now. */
static void
look_up_companions(const CtTable *table, Oid *relids)
{
	for (int i = 0; i < CT_NCOMPANIONS; i++)
	{
		relids[i] = ct_companion_relid(&table->names, i);
		if (!OidIsValid(relids[i]))
			ct_check_companions(table);
	}
}

/* Are the names that were looked up last those of a table?  Mostly it is the very same one. */
static bool
are_last_names(const CtTable *table)
{
	if (companion_oids.table == table->id)
		return true;
	if (!ct_names_equal(&companion_oids.names, &table->names))
		return false;
	companion_oids.table = table->id;
	return true;
}

/*
 * The OID of a companion table, remembered from the last look-up where nothing can have
 * changed.  Not locked: see ct_open_companion().
 */
static Oid
companion_oid(const CtTable *table, CtCompanion which)
{
	Oid			relids[CT_NCOMPANIONS];
	uint64		now = ct_relation_name_changes();

	if (companion_oids.valid && companion_oids.known_at == now &&
		are_last_names(table))
		return companion_oids.relids[which];
	look_up_companions(table, relids);
	/* what has changed meanwhile shows when it is looked at next */
	companion_oids.known_at = now;
	companion_oids.table = table->id;
	companion_oids.names = table->names;
	memcpy(companion_oids.relids, relids, sizeof(relids));
	companion_oids.valid = true;
	return relids[which];
}

/*
 * Open a companion table of an attached table, by name.  As RangeVarGetRelidExtended() does
 * it, the name is looked up once more when the lock is granted, until it means the same.
 * The lock stays when the caller closes the table.  Errors: 42P01 if it is missing, as
 * ct_check_companions().
 */
Relation
ct_open_companion(const CtTable *table, CtCompanion which, LOCKMODE lockmode)
{
	for (;;)
	{
		Oid			relid = companion_oid(table, which);
		Relation	rel = NULL;

		LockRelationOid(relid, lockmode);
		/* nothing has changed, so it is there */
		if (companion_oids.known_at == ct_relation_name_changes())
			return relation_open(relid, NoLock);
		/* while we waited, the name may have come to mean another, or none */
		if (companion_oid(table, which) == relid)
			rel = try_relation_open(relid, NoLock);
		if (rel != NULL)
			return rel;
		UnlockRelationOid(relid, lockmode);
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * The entry of an open companion table in a cache, for the contacts of an attached table.
 * Contacts of another owner, or with another type of account, replace it: what was found out
 * holds for one of these.  A new one is all zero but for its beginning, and the caller fills
 * it and hands it to ct_cache_end().
 */
CtKnownTable *
ct_known_table(CtCache *cache, Relation rel, const CtTable *table, bool *is_new)
{
	CtKnownTable *known = ct_cache_find(cache, RelationGetRelid(rel));
	MemoryContext context;

	*is_new = known == NULL || known->owner != table->owner ||
		known->account_type != table->account_type || known->account_collation != table->account_collation;
	if (!*is_new)
		return known;
	known = ct_cache_begin(cache, RelationGetRelid(rel), &context);
	known->owner = table->owner;
	known->account_type = table->account_type;
	known->account_collation = table->account_collation;
	known->context = context;
	return known;
}

/*
 * Attribute number of a column of this type, invalid if there is none or its type is
 * another.
 */
AttrNumber
ct_typed_column(Oid relid, const char *name, Oid type)
{
	AttrNumber	attno = get_attnum(relid, name);

	if (attno <= 0 || get_atttype(relid, attno) != type)
		return InvalidAttrNumber;
	return attno;
}

/*
 * May a companion table be accessed without SQL?  If it is an ordinary, logged heap of this
 * node, of the same owner, for privileges are not looked at, and has the primary
 * key that attach() created: anybody can create tables of these names.
 */
bool
ct_is_ordinary(Relation rel, const CtTable *table, const AttrNumber *key, int nkeys)
{
	return rel->rd_rel->relkind == RELKIND_RELATION &&
		rel->rd_rel->relam == HEAP_TABLE_AM_OID &&
		rel->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT &&
		rel->rd_rel->relowner == table->owner &&
		ct_has_key(ct_primary_key_index(rel), table->account_collation, key, nkeys) &&
		!ct_is_distributed(RelationGetRelid(rel));
}

/*
 * Refuse an open companion table that must be accessed without SQL, and is not as attach()
 * creates it.  Errors: those of ct_check_companions(); 40001 and 55000 for what it lets pass.
 */
void
ct_refuse_companion(Relation rel, const CtTable *table)
{
	ct_check_companions(table);

	/*
	 * a shard that Citus has moved or split at this moment: this node is told
	 * of it as the last, and may know it by now, but not when names were
	 * looked up
	 */
	if (ct_is_distributed(RelationGetRelid(rel)) && table->is_unsettled)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("\"%s\" is not known as a shard on this node yet", get_rel_name(table->relid)),
				 errhint("Try again.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("companion table \"%s\" is not an ordinary table of this server", ct_qualified_name(rel)),
			 errtable(rel)));
}
