/*-------------------------------------------------------------------------
 *
 * notes.c
 *	  What a row that was written means for its accounts.
 *
 * What was decided about a row is noted in the frame of the statement at work (frame.c): for
 * each account that had it or has it now, the change of the counts and the promotion.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/capture.h"

/* Note what the change of a row means for an account. */
static void
add_change(const CtTable *table, const CtRowChange *change, const CtDelta *delta)
{
	CtFrame    *frame = ct_frame(table);
	CtDeltaEntry *entry = ct_delta_add_counts(&frame->deltas, delta);

	if (change->dropped)
		entry->delta.dropped++;
	if (delta->promoted > 0)
	{
		CtPromotion promotion = {
			.relid = change->relid,.tid = change->new->tid,
			.by_default = change->by_default,.comes_back = change->comes_back,.mending = change->mending
		};

		if (change->old != NULL)
			promotion.before = change->old->tid;
		else
			ItemPointerSetInvalid(&promotion.before);
		promotion.before_relid = OidIsValid(change->moved_from) ? change->moved_from : change->relid;
		ct_delta_add_promotions(&frame->deltas, entry, &promotion, 1);
		if (entry->ahead > 0)
			entry->ahead--;
	}

	/*
	 * the source of one that comes back as it was is that of long ago, and so
	 * is that of one that was dropped and stays as it was: ct_notes_source()
	 */
	if (!change->dropped || change->old == NULL)
		ct_delta_add_source(&frame->deltas, entry, change->comes_back ? NULL : change->new);
}

/* The queue of the rows that must be mended */
static CtSecondWrites *
mending(const CtTable *table)
{
	CtFrame    *frame = ct_frame(table);

	if (frame->mending == NULL)
		frame->mending = ct_second_writes(frame->context);
	return frame->mending;
}

/*
 * What has become of a row that must be mended since it was written: see
 * ct_second_write_fate().
 */
CtFate
ct_notes_fate(const CtTable *table, Oid relid, const CtRow *written, CtRow *latest)
{
	return ct_second_write_fate(mending(table), relid, &written->tid, latest);
}

/*
 * Note that a row must be written again, as it is in "decided".  Returns its number in
 * the frame.  Errors: 0A000 as ct_second_write_add().
 */
int
ct_notes_mend(const CtTable *table, Oid relid, const CtRow *decided)
{
	return ct_second_write_add(mending(table), relid, decided);
}

/* The status of what is no contact of the account */
static const CtStatus no_contact = {0};

/*
 * Note that a contact of an account had one status and has another; no_contact
 * where it was not the account's, or is not any more.
 */
static void
count_change(const CtTable *table, const CtRowChange *change, Datum account,
			 CtStatus old, CtStatus new)
{
	bool		was_flagged = old.marketing && old.until_next_update;
	bool		is_flagged = new.marketing && new.until_next_update;
	CtDelta		delta = {.account = account};

	delta.promoted = new.marketing && !old.marketing;
	delta.demoted = old.marketing && !new.marketing;
	delta.marketing = delta.promoted - delta.demoted;
	delta.pending = (int) is_flagged - (int) was_flagged;
	delta.flagged = is_flagged && !was_flagged;
	delta.unflagged = was_flagged && new.marketing && !is_flagged;
	delta.created = change->old == NULL;
	delta.deleted = change->new == NULL;
	if (delta.marketing != 0 || delta.pending != 0 || delta.created || delta.deleted || change->dropped)
		add_change(table, change, &delta);
}

/*
 * Count a row that is there.  A marketing contact without an account, which a session under
 * session_replication_role may have written, is left alone until repair() mends it.
 */
static void
count_row(const CtTable *table, const CtRowChange *change)
{
	const CtRow *old = change->old;
	const CtRow *new = change->new;
	bool		had_account = old != NULL && !old->isnull[CT_ARG_ACCOUNT];
	bool		has_account = new != NULL && !new->isnull[CT_ARG_ACCOUNT];
	CtStatus	old_status = old != NULL ? ct_row_status(table, old) : no_contact;

	if (new != NULL && !has_account && change->status.marketing &&
		!(old != NULL && !had_account && old_status.marketing))
		ct_null_account_error(table);
	if (had_account && has_account &&
		ct_account_compare(table, old->value[CT_ARG_ACCOUNT], new->value[CT_ARG_ACCOUNT]) == 0)
	{
		count_change(table, change, new->value[CT_ARG_ACCOUNT], old_status, change->status);
		return;
	}
	if (had_account)
		count_change(table, change, old->value[CT_ARG_ACCOUNT], old_status, no_contact);
	if (has_account)
		count_change(table, change, new->value[CT_ARG_ACCOUNT], no_contact, change->status);
}

/*
 * Count a row that changed.  One that does not exist, by the condition of the table, is none: a
 * contact that ceases to exist is deleted, one that comes back is a new one, and promoted if it
 * is a marketing contact (P2).  Errors: MC002 for one that becomes a marketing contact without an
 * account.
 */
void
ct_count_row(const CtTable *table, const CtRowChange *change)
{
	CtRowChange seen;

	if (table->exists == NULL)
	{
		count_row(table, change);
		return;
	}
	seen = *change;
	if (seen.old != NULL && seen.old->is_absent)
		seen.old = NULL;
	if (seen.new != NULL && seen.new->is_absent)
		seen.new = NULL;
	seen.comes_back = change->old != NULL && seen.old == NULL && seen.new != NULL &&
		ct_row_same_columns(change->old, change->new);
	if (seen.old != NULL || seen.new != NULL)
		count_row(table, &seen);
}

/*
 * Note that a contact was stored as a non-marketing contact for want of room.
 */
void
ct_notes_dropped(const CtTable *table, Datum account)
{
	ct_delta_entry(&ct_frame(table)->deltas, account)->delta.dropped++;
}

/*
 * Note the source of a promotion that is dropped early: the row will not have it.
 */
void
ct_notes_source(const CtTable *table, const CtRow *promoted)
{
	CtDeltas   *deltas = &ct_frame(table)->deltas;

	ct_delta_add_source(deltas, ct_delta_entry(deltas, promoted->value[CT_ARG_ACCOUNT]), promoted);
}
