/*-------------------------------------------------------------------------
 *
 * notify.c
 *	  NOTIFY contacts_tier, at the end of the transaction (design.md, N1).
 *
 * What is announced is kept until the transaction commits, instead of being
 * handed to NOTIFY at once, because PostgreSQL refuses to PREPARE a transaction
 * that has used NOTIFY: a two-phase transaction must not fail because it reaches
 * a threshold.  It tells nobody; the ledger has the entry all the same.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/async.h"
#include "lib/ilist.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "ledger/ledger.h"

#define CHANNEL		"contacts_tier"

/* NOTIFY takes payloads of less than 8000 bytes */
#define NOTIFY_PAYLOAD_MAX	8000

typedef struct Announcement
{
	slist_node	node;
	SubTransactionId subid;
	char	   *payload;
} Announcement;

/* Newest first; all in TopTransactionContext */
static slist_head announcements = SLIST_STATIC_INIT(announcements);

/* NOTIFY it when, and if, the transaction commits. */
static void
notify_at_commit(const char *payload)
{
	Announcement *announcement = MemoryContextAlloc(TopTransactionContext, sizeof(Announcement));

	announcement->subid = GetCurrentSubTransactionId();
	announcement->payload = MemoryContextStrdup(TopTransactionContext, payload);
	slist_push_head(&announcements, &announcement->node);
}

/*
 * Announce in the ledger and by NOTIFY what happened to so many contacts of an
 * account, and how many marketing contacts it has now, or -1 where the details
 * tell.  "details" is a JSON
 * object that is not empty; the payload has its members too.  The caller is the
 * table's owner and connected to SPI.
 */
void
ct_announce(const CtTable *table, Datum account, const char *event,
			int64 contacts, int64 marketing_contacts, const char *details)
{
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"schema\": ");
	escape_json(&payload, NameStr(table->names.schema));
	appendStringInfoString(&payload, ", \"account\": ");
	escape_json(&payload, ct_account_text(table, account));
	appendStringInfo(&payload, ", \"event\": \"%s\", ", event);
	if (marketing_contacts >= 0)
		appendStringInfo(&payload, "\"marketing_contacts\": %lld, ", (long long) marketing_contacts);
	appendStringInfoString(&payload, details + 1);
	ct_ledger_record(table, account, event, contacts, details);

	/*
	 * a name too long for NOTIFY must not fail the statement; the ledger has
	 * it
	 */
	if (payload.len < NOTIFY_PAYLOAD_MAX)
		notify_at_commit(payload.data);
}

/* Hand over to NOTIFY, in the order in which it happened. */
static void
notify_all(void)
{
	List	   *payloads = NIL;
	slist_iter	iter;
	ListCell   *cell;

	slist_foreach(iter, &announcements)
		payloads = lcons(slist_container(Announcement, node, iter.cur)->payload, payloads);
	foreach(cell, payloads)
		Async_Notify(CHANNEL, lfirst(cell));
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT)
		notify_all();
	if (event != XACT_EVENT_PRE_PREPARE)
		slist_init(&announcements); /* memory goes with the transaction */
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subid,
					  SubTransactionId parent, void *arg)
{
	slist_mutable_iter iter;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	slist_foreach_modify(iter, &announcements)
	{
		Announcement *announcement = slist_container(Announcement, node, iter.cur);

		if (announcement->subid < subid)
			continue;
		if (event == SUBXACT_EVENT_COMMIT_SUB)
			announcement->subid = parent;
		else
			slist_delete_current(&iter);
	}
}

/*
 * Register for the ends of transactions and subtransactions.
 */
void
ct_notify_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}
