/*-------------------------------------------------------------------------
 *
 * notify.c
 *	  NOTIFY contacts_tier, at the end of the transaction (rule N1).
 *
 * What is announced waits until the transaction commits, instead of being
 * handed to NOTIFY at once, because PostgreSQL refuses to PREPARE a transaction
 * that has used NOTIFY: a two-phase transaction must not fail because it reaches
 * a threshold.  It notifies nobody; the ledger has the entry all the same.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/async.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "ledger/ledger.h"

#define CHANNEL		"contacts_tier"

/* NOTIFY takes payloads of less than 8000 bytes */
#define NOTIFY_PAYLOAD_MAX	8000

/* What is to be announced, in TopTransactionContext with its payload */
typedef struct Announcement
{
	CtXactNote	note;
	char	   *payload;		/* as NOTIFY sends it; fits into one */
} Announcement;

static void notify_all(bool prepared);

static CtXactList announcements = {.before_end = notify_all};

/* NOTIFY it when, and if, the transaction commits. */
static void
notify_at_commit(const char *payload)
{
	Announcement *announcement = MemoryContextAlloc(TopTransactionContext, sizeof(Announcement));

	announcement->payload = MemoryContextStrdup(TopTransactionContext, payload);
	ct_xact_note(&announcements, &announcement->note);
}

/* The payload; without the name of the account where "name" is NULL */
static StringInfoData
create_payload(const CtTable *table, const char *name, const char *event,
			   int64 marketing_contacts, const char *details)
{
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"schema\": ");
	escape_json(&payload, NameStr(table->names.schema));
	appendStringInfoString(&payload, ", \"account\": ");
	if (name != NULL)
		escape_json(&payload, name);
	else
		appendStringInfoString(&payload, "null, \"truncated\": true");
	appendStringInfo(&payload, ", \"event\": \"%s\", ", event);
	if (marketing_contacts != CT_COUNT_IN_DETAILS)
		appendStringInfo(&payload, "\"marketing_contacts\": %lld, ", (long long) marketing_contacts);
	appendStringInfoString(&payload, details + 1);
	return payload;
}

/*
 * NOTIFY what happened to an account, and how many marketing contacts it has now, or
 * CT_COUNT_IN_DETAILS.  "details" is a JSON object that is not empty, whose members the
 * payload has, too.
 *
 * A name that is too long for NOTIFY must not fail the statement: the payload has no name
 * then, and says so; the ledger has it.
 */
void
ct_notify(const CtTable *table, Datum account, const char *event,
		  int64 marketing_contacts, const char *details)
{
	StringInfoData payload = create_payload(table, ct_account_text(table, account), event,
											marketing_contacts, details);

	if (payload.len >= NOTIFY_PAYLOAD_MAX)
		payload = create_payload(table, NULL, event, marketing_contacts, details);
	notify_at_commit(payload.data);
}

/*
 * Record in the ledger what happened to so many contacts of an account, and notify as
 * ct_notify() does.  The caller is the table's owner and connected to SPI.
 */
void
ct_announce(const CtTable *table, Datum account, const char *event,
			int64 contacts, int64 marketing_contacts, const char *details)
{
	ct_ledger_record(table, account, event, contacts, details);
	ct_notify(table, account, event, marketing_contacts, details);
}

/*
 * Hand over to NOTIFY, in the order in which it happened.  PrepareTransaction() refuses
 * a transaction that has used NOTIFY, so one that is prepared announces nothing.
 */
static void
notify_all(bool prepared)
{
	List	   *payloads = NIL;
	slist_iter	iter;
	ListCell   *cell;

	if (prepared)
		return;
	slist_foreach(iter, &announcements.notes)
		payloads = lcons(slist_container(Announcement, note.node, iter.cur)->payload, payloads);
	foreach(cell, payloads)
		Async_Notify(CHANNEL, lfirst(cell));
}

/*
 * Have announcements go with the (sub)transaction that they belong to.
 */
void
ct_notify_init(void)
{
	ct_xact_list_add(&announcements);
}
