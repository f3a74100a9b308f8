/*-------------------------------------------------------------------------
 *
 * loan.c
 *	  What statements lend to the statements that they cause.
 *
 * The statements that triggers and functions of an outer statement run can borrow what it has
 * released so far, though it is applied later.  The sum of both changes stays the same.  If a
 * subtransaction is rolled back, the loans of its statements are given back.  The lender may
 * end otherwise than the borrower, so a loan is a note of the borrower's subtransaction
 * (xact_list.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "capture/capture.h"

/* What a statement borrowed from an outer one, in a subtransaction of that */
typedef struct Loan
{
	CtXactNote	note;			/* must be first; the borrower's */
	CtFrame    *from;
	Datum		account;		/* the very datum that the frame has */
	int64		amount;			/* contacts */
} Loan;

/*
 * A subtransaction is rolled back: what was borrowed in it is there again.  The entry is
 * found by its own datum: a comparison of accounts may read a catalog, which is not allowed
 * in an abort.
 */
static void
give_back(const Loan *loan)
{
	for (CtDeltaEntry *entry = ct_delta_newest(&loan->from->deltas); entry != NULL; entry = ct_delta_older(entry))
		if (entry->delta.account == loan->account)
			entry->delta.marketing -= loan->amount;
}

/* A loan that came into the subtransaction of the lender ends: both end alike from now on. */
static bool
loan_outlives(const CtXactNote *note, SubTransactionId parent)
{
	return ((const Loan *) note)->from->note.subid != parent;
}

static void
end_loan(CtXactNote *note, bool rolled_back)
{
	Loan	   *loan = (Loan *) note;

	if (rolled_back)
		give_back(loan);
	pfree(loan);
}

/* In TopTransactionContext */
static CtXactList loans = {.outlives = loan_outlives,.end = end_loan};

/*
 * Has a frame released places of an account that could be borrowed?
 */
bool
ct_can_lend(const CtFrame *from, Datum account)
{
	const CtDeltaEntry *entry = ct_delta_find(&from->deltas, account);

	return entry != NULL && entry->delta.marketing < 0;
}

/*
 * Lend to the change of an account what a frame has released of it, but no more than it
 * claims, in contacts.  Both frames have the same companion tables.
 */
void
ct_lend(CtFrame *from, CtDelta *delta)
{
	CtDeltaEntry *entry = ct_delta_find(&from->deltas, delta->account);
	Loan	   *loan;
	int64		amount;

	if (entry == NULL || entry->delta.marketing >= 0)
		return;
	amount = Min(-entry->delta.marketing, delta->marketing);
	entry->delta.marketing += amount;
	delta->marketing -= amount;
	if (from->note.subid == GetCurrentSubTransactionId())
		return;					/* both end alike */
	loan = MemoryContextAlloc(TopTransactionContext, sizeof(Loan));
	loan->from = from;
	loan->account = entry->delta.account;
	loan->amount = amount;
	ct_xact_note(&loans, &loan->note);
}

/*
 * Forget the loans of a frame that has ended.
 */
void
ct_loans_forget(const CtFrame *from)
{
	slist_mutable_iter iter;

	slist_foreach_modify(iter, &loans.notes)
	{
		Loan	   *loan = slist_container(Loan, note.node, iter.cur);

		if (loan->from != from)
			continue;
		slist_delete_current(&iter);
		pfree(loan);
	}
}

/*
 * Add the list of loans.  It must be added after that of frames, and so is served before it:
 * a loan reads the subtransaction of its frame.
 */
void
ct_loans_init(void)
{
	ct_xact_list_add(&loans);
}
