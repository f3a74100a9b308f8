/*-------------------------------------------------------------------------
 *
 * loan.c
 *	  What statements lend to those that they make others run.
 *
 * What an outer statement has released so far is there for the statements that its triggers
 * and functions run, though it is applied later: they borrow it.  The sum of both changes
 * stays the same.  A loan that was taken in a subtransaction is given back when that is
 * rolled back; the lender may end otherwise than the borrower, so it is noted by the
 * borrower's subtransaction (xact_list.c).
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
 * found by its own datum: to compare accounts may mean to read a catalog, and that
 * cannot be done now.
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
 * Lend to the change of an account what a frame has released of it, as far as there is
 * need.  Both frames have the same companion tables.
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
 * Forget the loans that a frame has given: it is done with.
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
 * Have loans end with subtransactions; before frames do, of which they must still know the
 * subtransaction.
 */
void
ct_loans_init(void)
{
	ct_xact_list_add(&loans);
}
