/*-------------------------------------------------------------------------
 *
 * xact_list.c
 *	  What holds only as long as a transaction or subtransaction does.
 *
 * A file has a list of what it notes in a transaction.  A note belongs to the
 * subtransaction in which it was created: it goes when that is rolled back, and becomes
 * the parent's when that is released.  At the end of the transaction the list is
 * emptied.  What is to happen to a note besides, the functions of the list say.
 *
 * One callback for transactions and one for subtransactions serve all lists.  They are
 * called while memory of the (sub)transaction is still there: CommitTransaction() and
 * AbortSubTransaction(), and the like, call CallXactCallbacks() or
 * CallSubXactCallbacks() before they clean up memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"

#include "base/base.h"

/* Of CtXactList; the one added last comes first */
static slist_head lists = SLIST_STATIC_INIT(lists);

/*
 * Have a list served as long as the backend lives.  Where notes of one list depend on
 * those of another, the list that is added last is served first.
 */
void
ct_xact_list_add(CtXactList *list)
{
	slist_push_head(&lists, &list->node);
}

/*
 * Put a note into a list, as the newest one.  It is part of what the caller remembers,
 * whose memory must live as long as the transaction, or until it leaves the list.
 */
void
ct_xact_note(CtXactList *list, CtXactNote *note)
{
	note->subid = GetCurrentSubTransactionId();
	slist_push_head(&list->notes, &note->node);
}

/*
 * Before the commit or PREPARE a list may still fail; after it, and in an abort, notes are
 * only dropped: their memory goes with the transaction.
 */
static void
end_transaction(CtXactList *list, XactEvent event)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
	{
		if (list->before_end != NULL)
			list->before_end(event == XACT_EVENT_PRE_PREPARE);
	}
	else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
	{
		slist_init(&list->notes);
		if (list->forget != NULL)
			list->forget();
	}
}

/* Of RegisterXactCallback().  A list must not be added while it runs. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	slist_iter	iter;

	slist_foreach(iter, &lists)
		end_transaction(slist_container(CtXactList, node, iter.cur), event);
}

/*
 * A subtransaction ends.  Those further in have ended before it, so whatever is not of
 * one further out is its own.
 */
static void
end_subtransaction(CtXactList *list, bool rolled_back, SubTransactionId subid, SubTransactionId parent)
{
	slist_mutable_iter iter;

	slist_foreach_modify(iter, &list->notes)
	{
		CtXactNote *note = slist_container(CtXactNote, node, iter.cur);

		if (note->subid < subid)
			continue;
		if (!rolled_back && (list->outlives == NULL || list->outlives(note, parent)))
		{
			note->subid = parent;
			continue;
		}
		slist_delete_current(&iter);
		if (list->end != NULL)
			list->end(note, rolled_back);
	}
	if (rolled_back && list->forget != NULL)
		list->forget();
}

/*
 * Of RegisterSubXactCallback().  At COMMIT_SUB the subtransaction is still the current one,
 * and its parent is named; nothing is to be done when one starts.
 */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	slist_iter	iter;

	if (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	slist_foreach(iter, &lists)
		end_subtransaction(slist_container(CtXactList, node, iter.cur),
						   event == SUBXACT_EVENT_ABORT_SUB, subid, parent);
}

/*
 * Register for the ends of transactions and subtransactions.
 */
void
ct_xact_list_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}
