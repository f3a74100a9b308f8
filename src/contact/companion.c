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
#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "contact/contact.h"

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

/* What a decision needs to know of an account */
#define SUBSCRIPTION_OF_ACCOUNT \
	"SELECT coalesce(a.plan::pg_catalog.text, ''), a.contact_limit, coalesce(a.on_exceed::pg_catalog.text, 'block'), a.grace," \
	" coalesce(p.marketing_contacts AND a.ended_at IS NULL, false)," \
	" coalesce(a.thresholds, '{}'::pg_catalog.int4[]), coalesce(a.announced, 0)," \
	" (SELECT t.contact_limit FROM contacts_tier.tier t" \
	"  WHERE t.plan" EQ "a.plan AND t.contact_limit" GE "$2" \
	"  ORDER BY t.contact_limit LIMIT 1)," \
	" a.ended_at IS NOT NULL" \
	" FROM %1$s.contacts_tier_account a" \
	" LEFT JOIN contacts_tier.plan p ON p.name" EQ "a.plan" \
	" WHERE a.account %2$s $1"

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
	/* $2: contacts that a larger tier would have to hold */
	[CT_QUERY_LOCK_ACCOUNT] = {
		SUBSCRIPTION_OF_ACCOUNT " FOR NO KEY UPDATE OF a",
		2, {ACCOUNT_TYPE, INT8OID}
	},
	[CT_QUERY_READ_ACCOUNT] = {
		SUBSCRIPTION_OF_ACCOUNT,
		2, {ACCOUNT_TYPE, INT8OID}
	},
	/* $2: the new ceiling, NULL to withdraw it */
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
	uint64		used;			/* when it was, by counting */
	int			running;		/* statements at work now */
	SPIPlanPtr	plans[CT_NQUERIES];
} Companion;

/* Of so many the plans are kept */
#define MAX_COMPANIONS	16

static HTAB *companions = NULL;
static uint64 companion_uses = 0;

/* Forget the plans that have been at rest for the longest time. */
static void
forget_oldest_plans(void)
{
	HASH_SEQ_STATUS status;
	Companion  *companion;
	Companion  *oldest = NULL;

	hash_seq_init(&status, companions);
	while ((companion = hash_seq_search(&status)) != NULL)
		if (companion->running == 0 && (oldest == NULL || companion->used < oldest->used))
			oldest = companion;
	if (oldest == NULL)
		return;
	for (int i = 0; i < CT_NQUERIES; i++)
		if (oldest->plans[i] != NULL)
			SPI_freeplan(oldest->plans[i]);
	(void) hash_search(companions, &oldest->key, HASH_REMOVE, NULL);
}

static Companion *
find_companion(const CtTable *table)
{
	CompanionKey key;
	Companion  *companion;
	bool		found;

	if (companions == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(CompanionKey),.entrysize = sizeof(Companion),.hcxt = CacheMemoryContext};

		companions = hash_create("contacts_tier companion tables", MAX_COMPANIONS, &ctl,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	memset(&key, 0, sizeof(key));
	key.schema = table->schema;
	key.account_type = table->account_type;
	companion = hash_search(companions, &key, HASH_FIND, NULL);
	if (companion == NULL)
	{
		if (hash_get_num_entries(companions) >= MAX_COMPANIONS)
			forget_oldest_plans();
		companion = hash_search(companions, &key, HASH_ENTER, &found);
		companion->running = 0;
		memset(companion->plans, 0, sizeof(companion->plans));
	}
	companion->used = ++companion_uses;
	return companion;
}

const char *const ct_companion_names[CT_NCOMPANIONS] = {
	[CT_ACCOUNT] = CT_ACCOUNT_TABLE,
	[CT_COUNTER] = CT_COUNTER_TABLE,
	[CT_LEDGER] = CT_LEDGER_TABLE
};

/* The companion tables that were looked up last, as long as no name has changed */
static struct
{
	bool		valid;
	uint64		known_at;
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
	if ((form->relkind == RELKIND_RELATION || form->relkind == RELKIND_PARTITIONED_TABLE) &&
		form->relpersistence != RELPERSISTENCE_TEMP)
		owner = form->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* Types that are not built in */
#define BILLING_CYCLE	"billing_cycle"
#define EXCEED_POLICY	"exceed_policy"

/*
 * The columns that the extension needs, as create_companions() makes them; there may
 * be more.
 */
static const struct
{
	CtCompanion which;
	const char *name;
	Oid			type;			/* invalid: see own_type */
	const char *own_type;		/* of the extension; NULL: the account's */
}			companion_columns[] = {
	{CT_ACCOUNT, "account", InvalidOid, NULL},
	{CT_ACCOUNT, "plan", TEXTOID, NULL},
	{CT_ACCOUNT, "contact_limit", INT8OID, NULL},
	{CT_ACCOUNT, "billing_cycle", InvalidOid, BILLING_CYCLE},
	{CT_ACCOUNT, "on_exceed", InvalidOid, EXCEED_POLICY},
	{CT_ACCOUNT, "grace", INT8OID, NULL},
	{CT_ACCOUNT, "thresholds", INT4ARRAYOID, NULL},
	{CT_ACCOUNT, "announced", INT4OID, NULL},
	{CT_ACCOUNT, "source_defaults", JSONBOID, NULL},
	{CT_ACCOUNT, "time_zone", TEXTOID, NULL},
	{CT_ACCOUNT, "started_at", TIMESTAMPTZOID, NULL},
	{CT_ACCOUNT, "anchor", DATEOID, NULL},
	{CT_ACCOUNT, "period_started_at", TIMESTAMPTZOID, NULL},
	{CT_ACCOUNT, "next_update_at", TIMESTAMPTZOID, NULL},
	{CT_ACCOUNT, "renews_at", TIMESTAMPTZOID, NULL},
	{CT_ACCOUNT, "renewal_limit", INT8OID, NULL},
	{CT_ACCOUNT, "renewal_cycle", InvalidOid, BILLING_CYCLE},
	{CT_ACCOUNT, "auto_downgrade", BOOLOID, NULL},
	{CT_ACCOUNT, "cancelled", BOOLOID, NULL},
	{CT_ACCOUNT, "ended_at", TIMESTAMPTZOID, NULL},
	{CT_ACCOUNT, "period_limit", INT8OID, NULL},
	{CT_ACCOUNT, "period_price", NUMERICOID, NULL},
	{CT_ACCOUNT, "period_opening", INT8OID, NULL},
	{CT_ACCOUNT, "period_upgrades", INT4OID, NULL},
	{CT_ACCOUNT, "requested_limit", INT8OID, NULL},
	{CT_ACCOUNT, "record_activity", BOOLOID, NULL},
	{CT_ACCOUNT, "rollover_run", UUIDOID, NULL},
	{CT_ACCOUNT, "rollover_started_at", TIMESTAMPTZOID, NULL},
	{CT_ACCOUNT, "rollover_contacts", INT8OID, NULL},
	{CT_COUNTER, "account", InvalidOid, NULL},
	{CT_COUNTER, "slot", INT4OID, NULL},
	{CT_COUNTER, "used", INT8OID, NULL},
	{CT_COUNTER, "pending", INT8OID, NULL},
	{CT_COUNTER, "granted", INT8OID, NULL},
	{CT_COUNTER, "promoted", INT8OID, NULL},
	{CT_COUNTER, "demoted", INT8OID, NULL},
	{CT_COUNTER, "peak", INT8OID, NULL},
	{CT_LEDGER, "account", InvalidOid, NULL},
	{CT_LEDGER, "entry", UUIDOID, NULL},
	{CT_LEDGER, "recorded_at", TIMESTAMPTZOID, NULL},
	{CT_LEDGER, "event", TEXTOID, NULL},
	{CT_LEDGER, "role", TEXTOID, NULL},
	{CT_LEDGER, "contacts", INT8OID, NULL},
	{CT_LEDGER, "details", JSONBOID, NULL}
};

/* The columns of the primary keys; the second may be missing */
static const char *const companion_keys[CT_NCOMPANIONS][2] = {
	[CT_ACCOUNT] = {"account", NULL},
	[CT_COUNTER] = {"account", "slot"},
	[CT_LEDGER] = {"account", "entry"}
};

static bool
fault_is(CtFault *fault, int code, char *message, const char *hint)
{
	fault->code = code;
	fault->message = message;
	fault->hint = hint;
	return true;
}

static bool
find_owner_fault(const CtCompanionOf *of, const char *name, Oid relid, CtFault *fault)
{
	Oid			owner = ct_companion_owner(relid);

	if (!OidIsValid(owner))
		return fault_is(fault, ERRCODE_UNDEFINED_TABLE,
						psprintf("companion table \"%s.%s\" of attached table \"%s\" does not exist",
								 of->schema, name, of->contacts),
						"If the schema was renamed, rename it back; if the companion tables were dropped, detach the table and attach it again.");
	if (owner != of->owner)
		return fault_is(fault, ERRCODE_INSUFFICIENT_PRIVILEGE,
						psprintf("companion table \"%s.%s\" does not belong to the owner of \"%s\"",
								 of->schema, name, of->contacts),
						"Attached tables and their companion tables must have one owner: use ALTER TABLE ... OWNER TO.");
	return false;
}

/* The account must be of the same type, and compared in the same way. */
static bool
find_account_fault(const CtCompanionOf *of, const char *name, Oid relid, AttrNumber attno, CtFault *fault)
{
	Oid			type;
	int32		typmod;
	Oid			collation;

	get_atttypetypmodcoll(relid, attno, &type, &typmod, &collation);
	if (type == of->account_type && collation == of->account_collation)
		return false;
	return fault_is(fault, ERRCODE_DATATYPE_MISMATCH,
					psprintf("accounts of \"%s\" are of type %s, but those of companion table \"%s\" are of type %s%s",
							 of->contacts, format_type_be(of->account_type), name, format_type_be(type),
							 type == of->account_type ? " with another collation" : ""),
					"Attached tables of one schema share their companion tables; move the table to another schema.");
}

static bool
find_column_fault(const CtCompanionOf *of, int column, Oid relid, CtFault *fault)
{
	static const char *const hint =
		"Add the column, or drop the companion tables, with which all history goes; then attach the table again.";
	const char *name = ct_companion_names[companion_columns[column].which];
	const char *own_type = companion_columns[column].own_type;
	Oid			type = own_type != NULL ? ct_own_type(own_type) : companion_columns[column].type;
	AttrNumber	attno = get_attnum(relid, companion_columns[column].name);

	if (attno <= 0)
		return fault_is(fault, ERRCODE_UNDEFINED_COLUMN,
						psprintf("companion table \"%s.%s\" has no column \"%s\"",
								 of->schema, name, companion_columns[column].name), hint);
	if (!OidIsValid(type))
		return find_account_fault(of, name, relid, attno, fault);
	if (get_atttype(relid, attno) != type)
		return fault_is(fault, ERRCODE_DATATYPE_MISMATCH,
						psprintf("column \"%s\" of companion table \"%s.%s\" must be of type %s, not %s",
								 companion_columns[column].name, of->schema, name, format_type_be(type),
								 format_type_be(get_atttype(relid, attno))), hint);
	return false;
}

/* That of a partitioned table needs the columns that divide it, too. */
static bool
find_key_fault(const CtCompanionOf *of, CtCompanion which, Oid relid, CtFault *fault)
{
	Oid			constraint;
	Bitmapset  *key = get_primary_key_attnos(relid, false, &constraint);
	int			nkeys = 0;
	bool		missing = false;

	for (int i = 0; i < 2 && companion_keys[which][i] != NULL; i++)
	{
		nkeys++;
		missing |= !bms_is_member(get_attnum(relid, companion_keys[which][i]) - FirstLowInvalidHeapAttributeNumber, key);
	}
	if (!missing && (bms_num_members(key) == nkeys || get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE))
		return false;
	return fault_is(fault, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
					psprintf("companion table \"%s.%s\" has no primary key (%s%s%s)", of->schema, ct_companion_names[which],
							 companion_keys[which][0], nkeys > 1 ? ", " : "", nkeys > 1 ? companion_keys[which][1] : ""),
					"Add it by ALTER TABLE ... ADD PRIMARY KEY.");
}

/*
 * Are the companion tables in a schema not what attach() makes for these contacts?
 * The first thing that is wrong is told.  Looks at the catalogues only: no lock on the
 * tables is taken, so what is found may change at once.
 */
bool
ct_find_companion_fault(const CtCompanionOf *of, CtFault *fault)
{
	Oid			namespace = get_namespace_oid(of->schema, true);
	Oid			relids[CT_NCOMPANIONS];

	for (int i = 0; i < CT_NCOMPANIONS; i++)
	{
		relids[i] = OidIsValid(namespace) ? get_relname_relid(ct_companion_names[i], namespace) : InvalidOid;
		if (find_owner_fault(of, ct_companion_names[i], relids[i], fault))
			return true;
	}
	for (size_t i = 0; i < lengthof(companion_columns); i++)
		if (find_column_fault(of, i, relids[companion_columns[i].which], fault))
			return true;
	for (int i = 0; i < CT_NCOMPANIONS; i++)
		if (find_key_fault(of, i, relids[i], fault))
			return true;
	return false;
}

/*
 * The companion tables are ordinary tables of the contacts table's owner: say
 * clearly what to do when they are not where, whose, or as the triggers expect.
 */
void
ct_check_companions(const CtTable *table)
{
	char	   *name = get_rel_name(table->relid);
	CtCompanionOf of = {
		.schema = NameStr(table->schema),.contacts = name != NULL ? name : "?",.owner = table->owner,
		.account_type = table->account_type,.account_collation = table->account_collation
	};
	CtFault		fault;

	if (ct_find_companion_fault(&of, &fault))
		ereport(ERROR,
				(errcode(fault.code),
				 errmsg_internal("%s", fault.message),
				 fault.hint != NULL ? errhint("%s", fault.hint) : 0));
}

/* The OIDs of all companion tables, as they are named now. */
static void
look_up_companions(const CtTable *table, Oid *relids)
{
	Oid			namespace = get_namespace_oid(NameStr(table->schema), true);

	for (int i = 0; i < CT_NCOMPANIONS; i++)
	{
		relids[i] = OidIsValid(namespace) ? get_relname_relid(ct_companion_names[i], namespace) : InvalidOid;
		if (!OidIsValid(relids[i]))
			ct_check_companions(table);
	}
}

/* The OID of a companion table, from the cache if it is there. */
static Oid
companion_oid(const CtTable *table, CtCompanion which)
{
	Oid			relids[CT_NCOMPANIONS];
	uint64		now = ct_relation_name_changes();

	if (companion_oids.valid && companion_oids.known_at == now &&
		strcmp(NameStr(companion_oids.schema), NameStr(table->schema)) == 0)
		return companion_oids.relids[which];
	look_up_companions(table, relids);
	/* what has changed meanwhile shows when it is looked at next */
	companion_oids.known_at = now;
	companion_oids.schema = table->schema;
	memcpy(companion_oids.relids, relids, sizeof(relids));
	companion_oids.valid = true;
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
		Relation	rel = NULL;

		/* while we waited, the name may have come to mean another, or none */
		LockRelationOid(relid, lockmode);
		if (companion_oid(table, which) == relid)
			rel = try_relation_open(relid, NoLock);
		if (rel != NULL)
			return rel;
		UnlockRelationOid(relid, lockmode);
		CHECK_FOR_INTERRUPTS();
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
 * Run a kept plan.  What it runs may ask for the plans of other companion tables, and
 * ours must stay.
 */
static pg_noinline int
run_saved(Companion *companion, const CtTable *table, CtQuery query, Datum *values, const char *nulls)
{
	int			result;

	companion->running++;
	PG_TRY();
	{
		if (companion->plans[query] == NULL)
			companion->plans[query] = prepare_query(table, query);
		/* the latest, under locks: see src/README on isolation levels */
		result = SPI_execute_snapshot(companion->plans[query], values, nulls, GetLatestSnapshot(),
									  InvalidSnapshot, false, true, 0);
	}
	PG_FINALLY();
	{
		companion->running--;
	}
	PG_END_TRY();
	return result;
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
	int			level = NewGUCNestLevel();
	int			result;

	ct_set_safe_search_path();
	result = run_saved(find_companion(table), table, query, values, nulls);
	if (result < 0)
		elog(ERROR, "SPI failed on query %d: %s", query, SPI_result_code_string(result));
	AtEOXact_GUC(false, level);
	return SPI_processed;
}

/*
 * The entry of a companion table, for the contacts of an attached table.  A new one is
 * all zero but for its beginning, and to be filled and handed to ct_cache_end().
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
	ct_connect_spi();
	distributed = ct_executef("SELECT FROM pg_catalog.pg_dist_partition"
							  " WHERE logicalrelid OPERATOR(pg_catalog.=) %u", relid) > 0;
	SPI_finish();
	return distributed;
}

/* The collation by which the first column of an index is sorted */
static Oid
first_collation(HeapTuple index)
{
	bool		isnull;
	Datum		collations = SysCacheGetAttr(INDEXRELID, index, Anum_pg_index_indcollation, &isnull);

	return isnull ? InvalidOid : ((oidvector *) DatumGetPointer(collations))->values[0];
}

/*
 * Is the primary key made of exactly these columns?  The first is the account, which is
 * to be found by how the contacts table compares accounts.
 */
static bool
has_key(Relation rel, const CtTable *table, const AttrNumber *key, int nkeys)
{
	Oid			index = ct_primary_key_index(rel);
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	result = form->indisvalid && form->indnkeyatts == nkeys && form->indnatts == nkeys &&
		first_collation(tuple) == table->account_collation;
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
		has_key(rel, table, key, nkeys) &&
		!is_distributed(RelationGetRelid(rel));
}
