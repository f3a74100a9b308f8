/*-------------------------------------------------------------------------
 *
 * source.c
 *	  Who sets the status of contacts in this session (design.md, S5), and the
 *	  status that a new contact gets by default (S4).
 *
 * An import asks for the same few answers once per row, so they are kept for
 * the transaction, for one source type at a time.  A policy that another
 * session changes meanwhile holds from the next transaction on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "contacts_tier.h"

/*
 * S5: what a row does not say about its source, the settings do, and else the
 * caller's role.
 */
const char *
ct_session_source_type(void)
{
	return *ct_source_type != '\0' ? ct_source_type : "USER";
}

const char *
ct_session_source_name(void)
{
	return *ct_source_name != '\0' ? ct_source_name : ct_caller_name();
}

/*
 * Does a setting of the session tell the source type, or the source name?
 */
bool
ct_source_is_set(CtTriggerArg which)
{
	return *(which == CT_ARG_SOURCE_TYPE ? ct_source_type : ct_source_name) != '\0';
}

/* Where the texts are kept for the statement at hand; NULL: nowhere */
static CtSessionSource *kept_source = NULL;

/*
 * Keep the texts of the session's source here for the rows that follow, until this is
 * called with NULL.
 */
void
ct_keep_session_source(CtSessionSource *source)
{
	kept_source = source;
}

static Datum
session_text(CtTriggerArg which)
{
	return CStringGetTextDatum(which == CT_ARG_SOURCE_TYPE ? ct_session_source_type() : ct_session_source_name());
}

/*
 * Give a row what the session says of its source type or name (S5).
 */
void
ct_row_take_source(CtRow *row, CtTriggerArg which)
{
	const char *setting = which == CT_ARG_SOURCE_TYPE ? ct_source_type : ct_source_name;
	CtSessionSource *source = kept_source;
	int			i = which - CT_ARG_SOURCE_TYPE;

	row->isnull[which] = false;
	if (source == NULL)
	{
		row->value[which] = session_text(which);
		return;
	}
	if (source->kept[i].setting == NULL || strcmp(source->kept[i].setting, setting) != 0 ||
		source->kept[i].role != GetOuterUserId())
	{
		MemoryContext old = MemoryContextSwitchTo(source->context);

		source->kept[i].setting = pstrdup(setting);
		source->kept[i].role = GetOuterUserId();
		source->kept[i].text = session_text(which);
		MemoryContextSwitchTo(old);
	}
	row->value[which] = source->kept[i].text;
}

/*
 * S5: what the row does not say about its source, the session does.
 */
void
ct_row_complete_source(CtRow *row)
{
	for (int i = CT_ARG_SOURCE_TYPE; i <= CT_ARG_SOURCE_NAME; i++)
		if (ct_row_lacks(row, i))
			ct_row_take_source(row, i);
}

typedef struct DefaultEntry
{
	Datum		account;
	uint32		hash;
	char		status;			/* of simplehash */
	bool		marketing;
} DefaultEntry;

#define SH_PREFIX			defaults
#define SH_ELEMENT_TYPE		DefaultEntry
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

/* Answers for one table and source type; NULL context: none are kept */
static MemoryContext kept_context = NULL;
static CtTable kept_table;		/* a copy: it must not change under the
								 * answers */
static char *kept_source_type;
static defaults_hash *kept;

/*
 * Forget the answers: at the end of a transaction, and when a policy changes.
 */
void
ct_source_forget(void)
{
	if (kept_context != NULL)
		MemoryContextDelete(kept_context);
	kept_context = NULL;
}

static void
keep_answers_for(const CtTable *table, const char *source_type)
{
	MemoryContext context;

	if (kept_context != NULL &&
		kept_table.relid == table->relid &&
		kept_table.account_type == table->account_type &&
		strcmp(kept_source_type, source_type) == 0)
		return;
	ct_source_forget();
	context = AllocSetContextCreate(TopTransactionContext, "contacts_tier defaults",
									ALLOCSET_SMALL_SIZES);
	ct_table_copy(&kept_table, table, context);
	kept_source_type = MemoryContextStrdup(context, source_type);
	kept = defaults_create(context, 16, &kept_table);
	kept_context = context;
}

static bool
ask_default(const CtTable *table, Datum account, const char *source_type)
{
	Datum		values[] = {account, CStringGetTextDatum(source_type)};
	CtIdentity	identity;
	bool		marketing = false;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ct_act_as_owner(table->owner, &identity);
	if (ct_companion_query(table, CT_QUERY_SOURCE_DEFAULT, values, NULL) > 0)
		marketing = ct_result_bool(1);
	ct_restore_identity(&identity);
	SPI_finish();
	return marketing;
}

/*
 * Does a new contact of this account and source type become a marketing
 * contact, if nothing is said?  Unknown source types default to non-marketing,
 * and so does everything in an account that has no marketing contacts.
 */
bool
ct_source_default(const CtTable *table, Datum account, const char *source_type)
{
	DefaultEntry *entry;
	bool		marketing;
	bool		found;

	keep_answers_for(table, source_type);
	entry = defaults_lookup(kept, account);
	if (entry != NULL)
		return entry->marketing;

	marketing = ask_default(table, account, source_type);
	keep_answers_for(table, source_type);	/* the question may have run code */
	entry = defaults_insert(kept, account, &found);
	if (!found)
		entry->account = ct_account_copy(table, account, kept_context);
	entry->marketing = marketing;
	return marketing;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		kept_context = NULL;	/* memory goes with the transaction */
		kept_source = NULL;		/* and that of a statement that failed */
	}
}

/*
 * A rollback to a savepoint may take back a policy that answers were given by.
 */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subid,
					  SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		ct_source_forget();
		kept_source = NULL;
	}
}

/*
 * Hear of the ends of transactions and subtransactions.
 */
void
ct_source_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}
