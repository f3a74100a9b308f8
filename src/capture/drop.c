/*-------------------------------------------------------------------------
 *
 * drop.c
 *	  Promotions that do not fit: which contacts are stored as non-marketing contacts instead.
 *
 * Contacts that a statement promotes are found again as triggers of the application have left
 * them; what is dropped waits in a queue for its second write (second_write.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"

/*
 * The properties of a contact that is not to be promoted after all: "stored" are those that
 * it has now.  One that was updated gets those that it had (S5): the version before is
 * there, since only this transaction has ended it.  The result lives in the tuple slot
 * of a target.
 */
static CtRow
unpromoted(CtSecondWrites *queue, CtWriteTarget *target, const CtPromotion *promotion, const CtRow *stored)
{
	static const CtStatus non_marketing = {.given = true};
	ItemPointerData before = promotion->before;
	int			number = ItemPointerIsValid(&before) ? ct_second_write_target(queue, promotion->before_relid) : -1;
	CtRow		row = *stored;

	if (number >= 0)
	{
		CtWriteTarget *from = list_nth(ct_second_write_targets(queue), number);

		if (!table_tuple_fetch_row_version(from->rel, &before, SnapshotAny, from->tuple_slot))
			elog(ERROR, "the version before an updated contact of \"%s\" has vanished",
				 RelationGetRelationName(from->rel));
		ct_row_read(from->table, from->tuple_slot, &row);
	}
	ct_row_set_status(target->table, &row, non_marketing);
	return row;
}

/*
 * Find a contact that was promoted, as it is now: its target, place and properties.  False if it is
 * no marketing contact of the account any more, whatever triggers of the application have done since.
 */
static bool
find_promoted(CtSecondWrites *queue, Datum account, const CtPromotion *promotion,
			  int *number, ItemPointer place, CtRow *row)
{
	CtWriteTarget *target;

	*number = ct_second_write_target(queue, promotion->relid);
	if (*number < 0)
		return false;
	target = list_nth(ct_second_write_targets(queue), *number);
	*place = promotion->tid;
	if (!ct_fetch_latest(target, place))
		return false;
	ct_row_read(target->table, target->tuple_slot, row);
	return ct_row_status(target->table, row).marketing && !row->is_absent && !row->isnull[CT_ARG_ACCOUNT] &&
		ct_account_compare(target->table, row->value[CT_ARG_ACCOUNT], account) == 0;
}

/* The queue for what does not fit. */
static CtSecondWrites *
drops_of(const CtDelta *delta)
{
	if (delta->drops->queue == NULL)
		delta->drops->queue = ct_second_writes(delta->drops->context);
	return delta->drops->queue;
}

/*
 * Read a contact that a change promotes as it is now.  False if it is no marketing contact of the
 * account any more.  The result lives until the next row is read.
 *
 * Locks: RowExclusiveLock on the relation, which the statement has.
 */
bool
ct_promoted_row(CtDelta *delta, const CtPromotion *promotion, CtRow *row)
{
	ItemPointerData place;
	int			number;

	return find_promoted(drops_of(delta), delta->account, promotion, &number, &place, row);
}

/*
 * Queue a contact that was promoted and is not to be: if it still is a marketing
 * contact of the account.  *flagged tells whether it carries the flag.  False if there is none, or if it is queued
 * already, as one that was promoted twice.
 */
static bool
drop(CtSecondWrites *queue, Datum account, const CtPromotion *promotion, bool *flagged)
{
	int			number;
	CtWriteTarget *target;
	ItemPointerData place;
	CtRow		row;

	if (!find_promoted(queue, account, promotion, &number, &place, &row))
		return false;
	target = list_nth(ct_second_write_targets(queue), number);
	*flagged = ct_row_status(target->table, &row).until_next_update;
	row = unpromoted(queue, target, promotion, &row);
	return ct_second_write_add_once(queue, number, &place, &row);
}

/* May a promotion be dropped? */
static bool
may_drop(const CtPromotion *promotion, CtDroppable droppable)
{
	if (promotion->dropped)
		return false;
	if (droppable == CT_DROP_DEFAULTS)
		return promotion->by_default;
	return promotion->policy == CT_POLICY_CAP || (promotion->by_default && promotion->policy == CT_POLICY_BLOCK);
}

/*
 * Drop the last promotions of a change that may be dropped, as many as "count" or as there
 * are.  Rows that another trigger has deleted, demoted or moved to another
 * account since do not count as dropped.  The others are queued for a second write, as
 * non-marketing contacts.  The change has afterwards what is left of it, and how many were
 * dropped.  Returns whether any were by a policy "cap".
 */
bool
ct_delta_drop(CtDelta *delta, int64 count, CtDroppable droppable)
{
	bool		capped = false;

	for (int64 i = delta->npromotions - 1; i >= 0 && count > 0; i--)
	{
		CtPromotion *promotion = &delta->promotions[i];
		bool		flagged;

		CHECK_FOR_INTERRUPTS();
		if (!may_drop(promotion, droppable))
			continue;
		promotion->dropped = true;
		if (!drop(drops_of(delta), delta->account, promotion, &flagged))
			continue;
		count--;
		capped |= droppable == CT_DROP_FIRST && promotion->policy == CT_POLICY_CAP;
		delta->marketing--;
		delta->promoted--;
		delta->dropped++;
		if (flagged)
		{
			delta->pending--;
			delta->flagged = Max(delta->flagged - 1, 0);
		}
	}
	return capped;
}

/*
 * Note where the contacts that a change promotes are now: triggers of the application may have
 * changed them since.
 */
void
ct_delta_follow(CtDelta *delta)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "contacts_tier places", ALLOCSET_SMALL_SIZES);
	CtSecondWrites *queue = ct_second_writes(context);

	for (int64 i = 0; i < delta->npromotions; i++)
	{
		CtPromotion *promotion = &delta->promotions[i];
		int			number = ct_second_write_target(queue, promotion->relid);
		ItemPointerData place = promotion->tid;

		CHECK_FOR_INTERRUPTS();
		if (number >= 0 && ct_fetch_latest(list_nth(ct_second_write_targets(queue), number), &place))
			promotion->tid = place;
	}
	ct_second_writes_end(queue);
	MemoryContextDelete(context);
}
