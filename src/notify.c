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
#include "utils/memutils.h"

#include "contacts_tier.h"

#define CHANNEL		"contacts_tier"

typedef struct Announcement
{
	slist_node	node;
	SubTransactionId subid;
	char	   *payload;
} Announcement;

/* Newest first; all in TopTransactionContext */
static slist_head announcements = SLIST_STATIC_INIT(announcements);

/*
 * Announce something when, and if, the transaction commits.
 */
void
ct_notify(const char *payload)
{
	Announcement *announcement = MemoryContextAlloc(TopTransactionContext, sizeof(Announcement));

	announcement->subid = GetCurrentSubTransactionId();
	announcement->payload = MemoryContextStrdup(TopTransactionContext, payload);
	slist_push_head(&announcements, &announcement->node);
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
 * Hear of the ends of transactions and subtransactions.  To be called before
 * ct_delta_init(): callbacks are called in the reverse order, and what delta.c
 * applies at the end may have something to announce.
 */
void
ct_notify_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}
