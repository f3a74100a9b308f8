/*-------------------------------------------------------------------------
 *
 * source_default.c
 *	  The status that a new contact gets by default (rule S4).
 *
 * An import needs the same few answers once per row, so they are remembered, for one
 * source type at a time, and hold for a statement as long as nothing is written
 * beside it.  After that, an answer holds if the account row is still the version
 * that it was given by, and the catalogue is as it was: statement triggers on it send
 * a message, which also reaches other sessions (contacts_tier_catalogue_changed()).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"

#include "tier/tier.h"

/* An answer: does a new contact of the account become a marketing contact by default? */
typedef struct DefaultEntry
{
	CtAccountEntry of;
	bool		marketing;
	uint64		moment;			/* when it was last known to hold */
	bool		found;			/* was there an account row? */
	ItemPointerData tid;		/* which version of it */
	TransactionId xmin;
} DefaultEntry;

/* Answers for one table and source type; NULL context: there are none */
static MemoryContext answers_context = NULL;
static CtTable answers_table;	/* a copy: it must not change under the
								 * answers */
static char *answers_source_type;
static CtAccountMap *answers;

/* The statement that answers were last given to, and what could change them */
static struct
{
	uint64		number;			/* counts the moments */
	const void *statement;
	TimestampTz started;		/* the top-level one */
	CommandId	command;
}			moment = {0};

/* The tables of the catalogue that answers follow from, while they are unchanged */
static CtCache *catalogue = NULL;
static const CtCatalogue watched[] = {CT_SOURCE_TYPE, CT_PLAN};
static Oid	catalogue_oids[lengthof(watched)];

/*
 * Note where the catalogue is; from now on changes are noticed.  An entry of the cache
 * without content serves: it ceases to hold when a message for its table is processed.
 */
static void
watch_catalogue(const CtNames *names)
{
	for (size_t i = 0; i < lengthof(watched); i++)
	{
		MemoryContext context;

		catalogue_oids[i] = ct_catalogue_relid(names, watched[i]);
		if (ct_cache_find(catalogue, catalogue_oids[i]) == NULL)
			ct_cache_end(ct_cache_begin(catalogue, catalogue_oids[i], &context));
	}
}

/* Is there no message that a table of the catalogue has changed? */
static bool
catalogue_is_unchanged(void)
{
	for (size_t i = 0; i < lengthof(watched); i++)
		if (ct_cache_find(catalogue, catalogue_oids[i]) == NULL)
			return false;
	return true;
}

/*
 * Is this the statement that was given the last answer, and has nothing been written since?
 * Another statement can have the same address later, so its time is compared, too.
 */
static bool
is_same_moment(const void *statement)
{
	return moment.statement == statement &&
		moment.command == GetCurrentCommandId(false) &&
		moment.started == GetCurrentStatementStartTimestamp();
}

/* An answer holds for this statement, until it writes something. */
static void
set_moment(const void *statement)
{
	moment.statement = statement;
	moment.command = GetCurrentCommandId(false);
	moment.started = GetCurrentStatementStartTimestamp();
}

/*
 * Forget the answers: at the end of a transaction, and when a policy changes.
 */
void
ct_source_forget(void)
{
	if (answers_context != NULL)
		MemoryContextDelete(answers_context);
	answers_context = NULL;
}

/* Answers are for one table and source type: forget those for others. */
static void
remember_answers_for(const CtTable *table, const char *source_type)
{
	MemoryContext context;

	if (answers_context != NULL &&
		answers_table.relid == table->relid &&
		answers_table.account_type == table->account_type &&
		strcmp(answers_source_type, source_type) == 0)
		return;
	ct_source_forget();
	context = AllocSetContextCreate(TopTransactionContext, "contacts_tier defaults",
									ALLOCSET_SMALL_SIZES);
	ct_table_copy(&answers_table, table, context);
	answers_source_type = MemoryContextStrdup(context, source_type);
	answers = ct_account_map(context, &answers_table, sizeof(DefaultEntry));
	answers_context = context;
}

/* $2: source type; no row: the account has no marketing contacts */
static const CtQuery source_default_query = {
	"SELECT coalesce(CASE WHEN s.changeable THEN a.source_defaults OPERATOR(pg_catalog.->>) s.name END,"
	"  s.default_status::pg_catalog.text)" CT_EQ "'marketing'"
	" FROM {account} a"
	" JOIN {plan} p ON p.name" CT_EQ "a.plan AND p.marketing_contacts"
	" LEFT JOIN {source_type} s ON s.name" CT_EQ "$2"
	" WHERE a.account {=} $1 AND a.ended_at IS NULL",
	2, {CT_ACCOUNT_TYPE, TEXTOID}
};

/*
 * Look the default up, as the owner of the companion tables: the writer of contacts needs no
 * right to them (R3).
 */
static bool
look_up_default(const CtTable *table, Datum account, const char *source_type)
{
	Datum		values[] = {account, CStringGetTextDatum(source_type)};
	CtIdentity	identity;
	bool		marketing = false;

	ct_connect_spi();
	ct_act_as_owner(table->owner, &identity);
	if (ct_companion_query(table, &source_default_query, values, NULL) > 0)
		marketing = ct_result_bool(1);
	ct_restore_identity(&identity);
	SPI_finish();
	return marketing;
}

/* Is the account row still the version that an answer was given by? */
static bool
still_holds(const CtTable *table, DefaultEntry *entry)
{
	CtAccountLook look;
	bool		found = ct_account_look(table, entry->of.account, &look, false);

	return found == entry->found &&
		(!found ||
		 (ItemPointerEquals(&look.tid, &entry->tid) && look.xmin == entry->xmin));
}

/*
 * Look the default up, and remember it with the version that the account row had before: if
 * the row changes in between, the version does not match any more.
 */
static bool
look_up_and_remember(const CtTable *table, Datum account, const char *source_type, const void *statement)
{
	CtAccountLook look = {0};
	bool		found = ct_account_look(table, account, &look, false);
	bool		marketing;
	DefaultEntry *entry;

	watch_catalogue(&table->names);
	marketing = found && look_up_default(table, account, source_type);
	set_moment(statement);		/* the look-up is a command, too */
	if (!catalogue_is_unchanged())
		return marketing;
	remember_answers_for(table, source_type);	/* SQL may have run code */
	entry = ct_account_enter(answers, account);
	entry->marketing = marketing;
	entry->moment = moment.number;
	entry->found = found;
	entry->tid = look.tid;
	entry->xmin = look.xmin;
	return marketing;
}

/*
 * Does a new contact of this account and source type become a marketing
 * contact, if nothing is said?  Unknown source types default to non-marketing,
 * and so does everything in an account that has no marketing contacts.  "statement"
 * is the key of the statement (see CtStatement), by which answers are its own.
 *
 * Locks: the account table, as a SELECT does.  Errors: those of ct_open_companion() and
 * ct_companion_query().
 */
bool
ct_source_default(const CtTable *table, Datum account, const char *source_type, const void *statement)
{
	DefaultEntry *entry;

	if (!is_same_moment(statement))
	{
		if (!catalogue_is_unchanged())
			ct_source_forget();
		moment.number++;
		set_moment(statement);
	}
	remember_answers_for(table, source_type);
	entry = ct_account_find(answers, account);
	if (entry != NULL && (entry->moment == moment.number || still_holds(table, entry)))
	{
		entry->moment = moment.number;
		return entry->marketing;
	}
	return look_up_and_remember(table, account, source_type, statement);
}

PG_FUNCTION_INFO_V1(contacts_tier_catalogue_changed);

/*
 * catalogue_changed() trigger: AFTER trigger of the catalogue, for each row, as logical
 * replication fires no other triggers, and for TRUNCATE.  A changed row sends no message to
 * sessions that remember what they read.  CacheInvalidateRelcache() does, for the table: to this
 * session at the end of the command, and to others at commit.
 */
Datum
contacts_tier_catalogue_changed(PG_FUNCTION_ARGS)
{
	CacheInvalidateRelcache(ct_trigger_data(fcinfo, "catalogue_changed")->tg_relation);
	return PointerGetDatum(NULL);
}

/*
 * Answers go with the transaction, whose memory they are in.  A rollback to a savepoint may
 * undo a policy that they depend on.
 */
static CtXactList at_end = {.forget = ct_source_forget};

/*
 * Create the cache, and have answers forgotten at the end of transactions.
 */
void
ct_source_default_init(void)
{
	catalogue = ct_cache_create("contacts_tier catalogue", 0, lengthof(watched));
	ct_xact_list_add(&at_end);
}
