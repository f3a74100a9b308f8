/*-------------------------------------------------------------------------
 *
 * moving.c
 *	  Contacts that an UPDATE moves to another partition (rule S7).
 *
 * ExecCrossPartitionUpdate() deletes the row and inserts it elsewhere, and queues one event
 * for each, the one right after the other.  The contact is neither created nor deleted: the
 * first event is set aside in the frame, and becomes one change with the second.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "capture/capture.h"

/*
 * No row can follow any more that is the contact which left its partition last.  So it is
 * deleted: count that.
 */
void
ct_moving_complete(CtFrame *frame)
{
	CtRowChange change = {.relid = frame->moving_from,.old = &frame->moving,.mending = -1};

	if (!OidIsValid(frame->moving_from))
		return;
	frame->moving_from = InvalidOid;
	ct_count_row(frame->table, &change);
}

/*
 * Set aside a contact that an UPDATE moves out of its partition, until it follows as a new row
 * of another one.
 */
void
ct_moving_out(const CtTable *table, const CtRow *row)
{
	CtFrame    *frame = ct_frame(table);

	ct_moving_complete(frame);
	if (frame->moving_context == NULL)
		frame->moving_context = AllocSetContextCreate(frame->context, "contacts_tier moving contact",
													  ALLOCSET_SMALL_SIZES);
	MemoryContextReset(frame->moving_context);
	ct_row_copy(table, row, &frame->moving, frame->moving_context);
	frame->moving_from = table->relid;
}

/*
 * Is a new row the contact that left another partition last?  Then returns that partition, and
 * *row is what the contact was there; it lives until the next one leaves.  Otherwise returns an
 * invalid OID.  The executor queues the two events one after the other, so it is the last
 * one.
 */
Oid
ct_moving_in(const CtTable *table, CtRow *row)
{
	CtFrame    *frame = ct_frame(table);
	Oid			from = frame->moving_from;

	frame->moving_from = InvalidOid;
	*row = frame->moving;
	return from;
}
