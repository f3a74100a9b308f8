/*-------------------------------------------------------------------------
 *
 * companion.c
 *	  The statements that triggers run on companion tables.
 *
 * All go through SPI on the tables' logical names, one account each, so that
 * they also work where the tables are distributed.  Their plans are kept, for
 * each schema of companion tables and type of account.  They run as the owner
 * of the contacts table and under a safe search_path, for the sake of what the
 * owner has put on these tables; every name and operator in them is qualified.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "contacts_tier.h"

#define MAX_PARAMS	6

/* Operators and functions that do not depend on the account's type */
#define EQ	" OPERATOR(pg_catalog.=) "
#define GT	" OPERATOR(pg_catalog.>) "
#define GE	" OPERATOR(pg_catalog.>=) "
#define LT	" OPERATOR(pg_catalog.<) "
#define LE	" OPERATOR(pg_catalog.<=) "
#define ADD	" OPERATOR(pg_catalog.+) "
#define SUB	" OPERATOR(pg_catalog.-) "
#define MUL	" OPERATOR(pg_catalog.*) "
#define DIV	" OPERATOR(pg_catalog./) "

/* Stands for the account's own type in a list of parameter types */
#define ACCOUNT_TYPE	InvalidOid

/*
 * In the texts, %1$s is the quoted schema of the companion tables and %2$s the
 * equality operator of the account's type.  Parameter 1 is always the account.
 */
static const struct
{
	const char *text;
	int			nparams;
	Oid			types[MAX_PARAMS];
}			queries[CT_NQUERIES] = {

	/*
	 * $2, $3: change of marketing and pending contacts, $4, $5: promoted and
	 * demoted; no row: no room
	 */
	[CT_QUERY_CLAIM] = {
		"UPDATE %1$s.contacts_tier_counter"
		" SET used = used" ADD "$2, pending = pending" ADD "$3,"
		" promoted = promoted" ADD "$4, demoted = demoted" ADD "$5,"
		" peak = CASE WHEN $2" LT "0 THEN greatest(peak, used) ELSE peak END"
		" WHERE account %2$s $1 AND slot" EQ "0"
		" AND ($2" LE "0 OR used" ADD "$2" LE "granted)",
		5, {ACCOUNT_TYPE, INT8OID, INT8OID, INT8OID, INT8OID}
	},
	[CT_QUERY_ADD_SLOT] = {
		"INSERT INTO %1$s.contacts_tier_counter (account, slot) VALUES ($1, 0)"
		" ON CONFLICT (account, slot) DO NOTHING",
		1, {ACCOUNT_TYPE}
	},
	/* $2, $3: first and last of the new slots, $4: granted to each */
	[CT_QUERY_ADD_SLOTS] = {
		"INSERT INTO %1$s.contacts_tier_counter (account, slot, granted)"
		" SELECT $1, slot, $4 FROM pg_catalog.generate_series($2, $3) slot",
		4, {ACCOUNT_TYPE, INT4OID, INT4OID, INT8OID}
	},
	[CT_QUERY_LOCK_SLOT] = {
		"SELECT used, coalesce(granted, used" SUB "1), pending, promoted, demoted, corrected, peak FROM %1$s.contacts_tier_counter"
		" WHERE account %2$s $1 AND slot" EQ "0 FOR NO KEY UPDATE",
		1, {ACCOUNT_TYPE}
	},
	[CT_QUERY_LOCK_ACCOUNT] = {
		"SELECT coalesce(a.plan::pg_catalog.text, ''), a.contact_limit, coalesce(a.on_exceed::pg_catalog.text, 'block'), a.grace,"
		" coalesce(p.marketing_contacts AND a.ended_at IS NULL, false),"
		" coalesce(a.thresholds, '{}'::pg_catalog.int4[]), coalesce(a.announced, 0),"
		" (SELECT t.contact_limit FROM contacts_tier.tier t"
		"  WHERE t.plan" EQ "a.plan AND t.contact_limit" GE "$2"
		"  ORDER BY t.contact_limit LIMIT 1),"
		" a.ended_at IS NOT NULL"
		" FROM %1$s.contacts_tier_account a"
		" LEFT JOIN contacts_tier.plan p ON p.name" EQ "a.plan"
		" WHERE a.account %2$s $1 FOR NO KEY UPDATE OF a",
		2, {ACCOUNT_TYPE, INT8OID}
	},
	/* $2: the new ceiling, NULL to freeze */
	[CT_QUERY_GRANT] = {
		"UPDATE %1$s.contacts_tier_counter SET granted = $2"
		" WHERE account %2$s $1 AND slot" EQ "0",
		2, {ACCOUNT_TYPE, INT8OID}
	},
	[CT_QUERY_CLOSE_PERIOD] = {
		"UPDATE %1$s.contacts_tier_counter SET promoted = 0, demoted = 0, corrected = 0, peak = 0"
		" WHERE account %2$s $1 AND slot" EQ "0",
		1, {ACCOUNT_TYPE}
	},

	/*
	 * $2: limit of the new tier, $3: contacts that need it, $4: when, $5:
	 * role, $6: reason.  When grace is settled a whole period is left; at a
	 * renewal the new period begins with the new tier.
	 */
	[CT_QUERY_SET_TIER] = {
		"WITH before AS (SELECT a.plan, a.contact_limit, p.currency,"
		"   (SELECT t.monthly_price FROM contacts_tier.tier t"
		"     WHERE t.plan" EQ "a.plan AND t.contact_limit" EQ "a.contact_limit) AS from_price,"
		"   (SELECT t.monthly_price FROM contacts_tier.tier t"
		"     WHERE t.plan" EQ "a.plan AND t.contact_limit" EQ "$2) AS to_price,"
		"   pg_catalog.round(CASE WHEN $6" EQ "'grace' THEN 1 WHEN $6" EQ "'renewal' THEN 0 ELSE greatest(0, least(1,"
		"    (extract(epoch FROM a.next_update_at)" SUB "extract(epoch FROM $4))"
		"    " DIV "(extract(epoch FROM a.next_update_at)" SUB "extract(epoch FROM a.period_started_at)))) END, 6) AS fraction,"
		"   contacts_tier.month_share(a.billing_cycle, a.time_zone, a.period_started_at, a.next_update_at) AS share"
		"  FROM %1$s.contacts_tier_account a LEFT JOIN contacts_tier.plan p ON p.name" EQ "a.plan"
		"  WHERE a.account %2$s $1),"
		" changed AS (UPDATE %1$s.contacts_tier_account SET contact_limit = $2, announced = 0,"
		"   period_upgrades = period_upgrades" ADD "CASE WHEN contact_limit" LT "$2 THEN 1 ELSE 0 END,"
		"   requested_limit = CASE WHEN requested_limit" GT "$2 THEN requested_limit END"
		"  WHERE account %2$s $1)"
		" INSERT INTO %1$s.contacts_tier_ledger (account, recorded_at, event, role, contacts, details)"
		" SELECT $1, $4, 'tier_change', $5, $3, pg_catalog.jsonb_build_object("
		"  'plan', plan, 'currency', currency, 'from', contact_limit, 'to', $2,"
		"  'from_price', from_price, 'to_price', to_price, 'reason', $6, 'period_fraction', fraction,"
		"  'month_share', share,"
		"  'charge', pg_catalog.round(fraction" MUL "share" MUL "(to_price" SUB "from_price), 2)) FROM before",
		6, {ACCOUNT_TYPE, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID}
	},
	/* $2: now; a row: an update date has passed */
	[CT_QUERY_IS_OVERDUE] = {
		"SELECT FROM %1$s.contacts_tier_account"
		" WHERE account %2$s $1 AND next_update_at" LE "$2",
		2, {ACCOUNT_TYPE, TIMESTAMPTZOID}
	},
	/* $2: the highest threshold announced, in percent */
	[CT_QUERY_SET_ANNOUNCED] = {
		"UPDATE %1$s.contacts_tier_account SET announced = $2 WHERE account %2$s $1",
		2, {ACCOUNT_TYPE, INT4OID}
	},
	/* $2: event, $3: contacts, $4: details, $5: role */
	[CT_QUERY_RECORD] = {
		"INSERT INTO %1$s.contacts_tier_ledger (account, recorded_at, event, role, contacts, details)"
		" VALUES ($1, contacts_tier.clock(), $2, $5, $3, $4::pg_catalog.jsonb)",
		5, {ACCOUNT_TYPE, TEXTOID, INT8OID, TEXTOID, TEXTOID}
	},
	/* $2: role, $3: promoted contacts, $4: details */
	[CT_QUERY_RECORD_ACTIVITY] = {
		"INSERT INTO %1$s.contacts_tier_ledger (account, recorded_at, event, role, contacts, details)"
		" SELECT $1, contacts_tier.clock(), 'activity', $2, $3, $4"
		" WHERE NOT EXISTS (SELECT FROM %1$s.contacts_tier_account a"
		"  WHERE a.account %2$s $1 AND NOT a.record_activity)",
		4, {ACCOUNT_TYPE, TEXTOID, INT8OID, JSONBOID}
	},

	/*
	 * $2: limit of the tier that is needed, $3: contacts that need it, $4:
	 * role; no row: as much is asked for already
	 */
	[CT_QUERY_REQUEST_UPGRADE] = {
		"WITH asked AS (UPDATE %1$s.contacts_tier_account a SET requested_limit = $2"
		"  WHERE a.account %2$s $1 AND $2" GT "coalesce(a.requested_limit, 0)"
		"  RETURNING a.plan, a.contact_limit)"
		" INSERT INTO %1$s.contacts_tier_ledger (account, recorded_at, event, role, contacts, details)"
		" SELECT $1, contacts_tier.clock(), 'upgrade_request', $4, $3, pg_catalog.jsonb_build_object("
		"  'contact_limit', $2, 'from', a.contact_limit,"
		"  'extra_price', (SELECT t.monthly_price FROM contacts_tier.tier t"
		"    WHERE t.plan" EQ "a.plan AND t.contact_limit" EQ "$2)"
		"   " SUB "(SELECT t.monthly_price FROM contacts_tier.tier t"
		"    WHERE t.plan" EQ "a.plan AND t.contact_limit" EQ "a.contact_limit))"
		" FROM asked a",
		4, {ACCOUNT_TYPE, INT8OID, INT8OID, TEXTOID}
	},
	/* $2: source type; no row: the account has no marketing contacts */
	[CT_QUERY_SOURCE_DEFAULT] = {
		"SELECT coalesce(CASE WHEN s.changeable THEN a.source_defaults OPERATOR(pg_catalog.->>) s.name END,"
		"  s.default_status::pg_catalog.text)" EQ "'marketing'"
		" FROM %1$s.contacts_tier_account a"
		" JOIN contacts_tier.plan p ON p.name" EQ "a.plan AND p.marketing_contacts"
		" LEFT JOIN contacts_tier.source_type s ON s.name" EQ "$2"
		" WHERE a.account %2$s $1 AND a.ended_at IS NULL",
		2, {ACCOUNT_TYPE, TEXTOID}
	},
};

/* Kept plans for one schema of companion tables and one type of account */
typedef struct CompanionKey
{
	NameData	schema;
	Oid			account_type;
} CompanionKey;

typedef struct Companion
{
	CompanionKey key;			/* must be first */
	SPIPlanPtr	plans[CT_NQUERIES];
} Companion;

static HTAB *companions = NULL;

static Companion *
find_companion(const CtTable *table)
{
	CompanionKey key;
	Companion  *companion;
	bool		found;

	if (companions == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(CompanionKey),.entrysize = sizeof(Companion),.hcxt = CacheMemoryContext};

		companions = hash_create("contacts_tier companion tables", 4, &ctl,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	memset(&key, 0, sizeof(key));
	key.schema = table->schema;
	key.account_type = table->account_type;
	companion = hash_search(companions, &key, HASH_ENTER, &found);
	if (!found)
		memset(companion->plans, 0, sizeof(companion->plans));
	return companion;
}

const char *const ct_companion_names[CT_NCOMPANIONS] = {
	[CT_ACCOUNT] = CT_ACCOUNT_TABLE,
	[CT_COUNTER] = CT_COUNTER_TABLE,
	[CT_LEDGER] = CT_LEDGER_TABLE
};

/* The companion tables that were looked up last, while known */
static struct
{
	bool		valid;
	uint64		invalidations;	/* heard of so far */
	NameData	schema;
	Oid			relids[CT_NCOMPANIONS];
}			companion_oids = {0};

/*
 * Owner of a companion table; invalid if there is no such table.
 */
Oid
ct_companion_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	Oid			owner = InvalidOid;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	form = (Form_pg_class) GETSTRUCT(tuple);
	if (form->relkind == RELKIND_RELATION || form->relkind == RELKIND_PARTITIONED_TABLE)
		owner = form->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * The companion tables are ordinary tables of the contacts table's owner: say
 * clearly what to do when they are not where, or whose, the triggers expect.
 */
void
ct_check_companions(const CtTable *table)
{
	Oid			namespace = get_namespace_oid(NameStr(table->schema), true);

	for (int i = 0; i < CT_NCOMPANIONS; i++)
	{
		Oid			owner = ct_companion_owner(get_relname_relid(ct_companion_names[i], namespace));

		if (!OidIsValid(owner))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_TABLE),
					 errmsg("companion table \"%s.%s\" of attached table \"%s\" does not exist",
							NameStr(table->schema), ct_companion_names[i], get_rel_name(table->relid)),
					 errhint("If the schema was renamed, rename it back; if the companion tables were dropped, detach the table and attach it again.")));
		if (owner != table->owner)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("companion table \"%s.%s\" does not belong to the owner of \"%s\"",
							NameStr(table->schema), ct_companion_names[i], get_rel_name(table->relid)),
					 errhint("Attached tables and their companion tables must have one owner: use ALTER TABLE ... OWNER TO.")));
	}
}

static void
forget_companions(Datum arg, int cacheid, uint32 hashvalue)
{
	companion_oids.valid = false;
	companion_oids.invalidations++;
}

/* The OIDs of all companion tables, as they are named now. */
static void
look_up_companions(const CtTable *table, Oid *relids)
{
	Oid			namespace = get_namespace_oid(NameStr(table->schema), true);

	for (int i = 0; i < CT_NCOMPANIONS; i++)
	{
		relids[i] = get_relname_relid(ct_companion_names[i], namespace);
		if (!OidIsValid(relids[i]))
			ct_check_companions(table);
	}
}

/* The OID of a companion table, from the cache if it is there. */
static Oid
companion_oid(const CtTable *table, CtCompanion which)
{
	static bool registered = false;
	Oid			relids[CT_NCOMPANIONS];
	uint64		invalidations;

	if (companion_oids.valid && strcmp(NameStr(companion_oids.schema), NameStr(table->schema)) == 0)
		return companion_oids.relids[which];
	if (!registered)
	{
		CacheRegisterSyscacheCallback(RELNAMENSP, forget_companions, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACENAME, forget_companions, (Datum) 0);
		registered = true;
	}
	invalidations = companion_oids.invalidations;
	look_up_companions(table, relids);
	companion_oids.schema = table->schema;
	memcpy(companion_oids.relids, relids, sizeof(relids));
	companion_oids.valid = companion_oids.invalidations == invalidations;
	return relids[which];
}

/*
 * Open a companion table of an attached table.  Errors: 42P01 if it is missing,
 * as ct_check_companions().
 */
Relation
ct_open_companion(const CtTable *table, CtCompanion which, LOCKMODE lockmode)
{
	for (;;)
	{
		Oid			relid = companion_oid(table, which);

		/* while we waited, the name may have come to mean another */
		LockRelationOid(relid, lockmode);
		if (companion_oid(table, which) == relid)
			return table_open(relid, NoLock);
		UnlockRelationOid(relid, lockmode);
	}
}

static SPIPlanPtr
prepare_query(const CtTable *table, CtQuery query)
{
	char	   *text = psprintf(queries[query].text,
								quote_identifier(NameStr(table->schema)),
								ct_quoted_operator(table->account_eq));
	Oid			types[MAX_PARAMS];
	SPIPlanPtr	plan;

	ct_check_companions(table);
	for (int i = 0; i < queries[query].nparams; i++)
		types[i] = queries[query].types[i] == ACCOUNT_TYPE ? table->account_type : queries[query].types[i];
	plan = SPI_prepare(text, queries[query].nparams, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed on \"%s\": %s", text, SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	return plan;
}

/*
 * Run one of the statements in the open SPI connection, as the identity in
 * force, which the caller has made the table's owner.  Returns the row count;
 * a result is read by ct_result().  Parameter 1 is the account.
 *
 * Errors: 42P01 where a companion table is missing, 42501 where the owner of
 * the contacts table lost the right to them.
 */
uint64
ct_companion_query(const CtTable *table, CtQuery query, Datum *values, const char *nulls)
{
	Companion  *companion = find_companion(table);
	int			level = NewGUCNestLevel();
	int			result;

	ct_set_safe_search_path();
	if (companion->plans[query] == NULL)
		companion->plans[query] = prepare_query(table, query);
	/* the latest, under locks: see src/README on isolation levels */
	result = SPI_execute_snapshot(companion->plans[query], values, nulls, GetLatestSnapshot(),
								  InvalidSnapshot, false, true, 0);
	if (result < 0)
		elog(ERROR, "SPI failed on query %d: %s", query, SPI_result_code_string(result));
	AtEOXact_GUC(false, level);
	return SPI_processed;
}

/*
 * The entry of a companion table, for the contacts of an attached table; all zero
 * but for its beginning if it is new.  The cache is from ct_relation_cache().
 */
CtKnownTable *
ct_known_table(HTAB *cache, Size entry_size, Relation rel, const CtTable *table)
{
	Oid			relid = RelationGetRelid(rel);
	bool		found;
	CtKnownTable *known = hash_search(cache, &relid, HASH_ENTER, &found);

	if (!found)
		memset((char *) known + sizeof(Oid), 0, entry_size - sizeof(Oid));
	if (known->owner != table->owner || known->account_type != table->account_type)
		known->valid = false;
	known->owner = table->owner;
	known->account_type = table->account_type;
	return known;
}

/*
 * Attribute number of a column of this type, invalid if there is none.
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
 * Is this a table that Citus distributes?  Its rows are elsewhere then.
 */
static bool
is_distributed(Oid relid)
{
	bool		distributed;

	if (!OidIsValid(get_relname_relid("pg_dist_partition", PG_CATALOG_NAMESPACE)))
		return false;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	distributed = ct_executef("SELECT FROM pg_catalog.pg_dist_partition"
							  " WHERE logicalrelid OPERATOR(pg_catalog.=) %u", relid) > 0;
	SPI_finish();
	return distributed;
}

/* Is the primary key made of exactly these columns? */
static bool
has_key(Relation rel, const AttrNumber *key, int nkeys)
{
	Oid			index = ct_primary_key_index(rel);
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	result = form->indisvalid && form->indnkeyatts == nkeys && form->indnatts == nkeys;
	for (int i = 0; result && i < nkeys; i++)
		result = key[i] != InvalidAttrNumber && form->indkey.values[i] == key[i];
	ReleaseSysCache(tuple);
	return result;
}

/*
 * May a companion table be accessed directly?  If it is an ordinary heap of this
 * node, of the same owner, for privileges are not looked at, and has the primary
 * key that attach() made: anybody can make tables of these names.
 */
bool
ct_is_ordinary(Relation rel, const CtTable *table, const AttrNumber *key, int nkeys)
{
	return rel->rd_rel->relkind == RELKIND_RELATION &&
		rel->rd_rel->relam == HEAP_TABLE_AM_OID &&
		rel->rd_rel->relowner == table->owner &&
		has_key(rel, key, nkeys) &&
		!is_distributed(RelationGetRelid(rel));
}
