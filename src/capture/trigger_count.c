/*-------------------------------------------------------------------------
 *
 * trigger_count.c
 *	  The triggers that count: rows after they changed, and statements at their
 *	  end.
 *
 * Only AFTER row triggers see what was really written: rows that ON CONFLICT
 * or another trigger dropped never get here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "capture/capture.h"

static void
check_trigger(FunctionCallInfo fcinfo, const char *function, TriggerEvent timing)
{
	if (!CALLED_AS_TRIGGER(fcinfo) ||
		(((TriggerData *) fcinfo->context)->tg_event &
		 (TRIGGER_EVENT_TIMINGMASK | TRIGGER_EVENT_ROW)) != timing)
		ct_wrong_trigger_error(function);
}

/*
 * Has a new contact that is a marketing contact by default lost its account since?  S4: a
 * default never makes a statement fail.
 */
static bool
lost_account(const CtRowChange *change)
{
	return change->by_default && change->status.marketing && change->new->isnull[CT_ARG_ACCOUNT];
}

/*
 * Is a row that was written not as the rules want it?  A BEFORE trigger that fires after ours
 * changed it, or ours did not fire.  For a changed row: a marketing contact became
 * non-marketing at once, the status changed and the time did not, or the other way round,
 * or the row is one that S3 does not allow.
 */
static bool
needs_mending(const CtTable *table, const CtRowChange *change)
{
	const CtRow *row = change->new;
	CtStatus	old;

	if (row == NULL)
		return false;
	if (ct_is_trusted())
		return !ct_row_is_legal(table, row);
	if (change->old == NULL)
		return !ct_row_is_complete(table, row) || lost_account(change) || ct_breaks_eligibility(table, NULL, row);
	if (!ct_row_is_legal(table, row) || ct_breaks_eligibility(table, change->old, row))
		return true;
	old = ct_row_status(table, change->old);
	if (ct_status_equal(old, change->status))
		return !ct_row_same_columns(change->old, row);
	return (old.marketing && !change->status.marketing && !ct_may_not_return(change->old, row)) ||
		ct_row_lacks(row, CT_ARG_SOURCE_TYPE) || ct_row_lacks(row, CT_ARG_SOURCE_NAME) ||
		row->isnull[CT_ARG_UPDATED_AT] || DatumGetTimestampTz(row->value[CT_ARG_UPDATED_AT]) != ct_now();
}

/* Decide how a row must be changed that is not as the rules want it, and queue it. */
static void
mend_row(const CtTable *table, CtRowChange *change, CtRow *mended)
{
	bool		by_default = false;

	*mended = *change->new;
	if (ct_is_trusted())
		ct_row_set_status(table, mended, ct_status_on_insert(change->status, false));
	else
		ct_row_mend(table, change->old, mended, &by_default);
	change->by_default |= by_default;
	change->new = mended;
	change->status = ct_row_status(table, mended);
	if (change->old == NULL && lost_account(change))
	{
		change->status = (CtStatus)
		{
			.given = true
		};
		ct_row_set_status(table, mended, change->status);
	}
	change->mending = ct_notes_mend(table, change->relid, mended);
}

/* Has a marketing contact been written where TRUNCATE has counted already? */
static void
check_not_truncated(const CtTable *table, const CtRowChange *change)
{
	if (!(change->new != NULL && change->status.marketing) &&
		!(change->old != NULL && ct_row_status(table, change->old).marketing))
		return;
	ct_check_not_truncated(change->relid);
	if (OidIsValid(change->moved_from))
		ct_check_not_truncated(change->moved_from);
}

/* Count a change.  Errors: MC002 as ct_count_row(), 55000 where TRUNCATE has counted the table already. */
static void
count_row(const CtTable *table, const CtRowChange *change)
{
	if (ct_is_truncating())
		check_not_truncated(table, change);
	ct_count_row(table, change);
}

/*
 * The same contact of the same account with the same status, for a count?  Two versions
 * of a row.
 */
static bool
counts_alike(const CtTable *table, const CtRow *a, const CtRow *b)
{
	return ct_row_same_account(table, a, b) && ct_status_equal(ct_row_status(table, a), ct_row_status(table, b));
}

/*
 * Count a version that is not the row any more, or that waits already: as it was written.  Without
 * an account it does not count, whatever its status: what came of it is checked when that
 * is counted.
 */
static void
count_as_written(const CtTable *table, CtRowChange *change)
{
	if (change->new->isnull[CT_ARG_ACCOUNT])
		change->status = (CtStatus)
	{
		.given = true
	};
	count_row(table, change);
}

/*
 * Count a row that must be mended, but is another version by now: a statement that a trigger
 * runs has changed it before this event came to ours, and has counted from what was
 * written.  So the version counts as it was written, and what must be mended is the row as it
 * is: from what it was before the statement.
 */
static void
note_overtaken(const CtTable *table, CtRowChange *change, CtRow *latest)
{
	const CtRow *written = change->new;
	CtRowChange rest = *change;
	CtRow		mended;

	rest.new = latest;
	rest.status = ct_row_status(table, latest);
	if (ct_second_write_find(change->relid, &latest->tid) != NULL || !needs_mending(table, &rest))
	{
		count_as_written(table, change);
		return;
	}
	mend_row(table, &rest, &mended);
	if (!counts_alike(table, written, latest))
	{
		count_as_written(table, change);
		rest.old = latest;
		rest.moved_from = InvalidOid;
		rest.dropped = false;
	}
	count_row(table, &rest);
}

/*
 * Count a row that was written, and must be mended if it still is the row; whether it is is
 * asked before anything is decided for it, so that all events count it alike.
 */
static void
note_mended(const CtTable *table, CtRowChange *change)
{
	CtRow		other;

	switch (ct_notes_fate(table, change->relid, change->new, &other))
	{
		case CT_FATE_CURRENT:
			mend_row(table, change, &other);
			count_row(table, change);
			break;
		case CT_FATE_UPDATED:
			note_overtaken(table, change, &other);
			break;
		case CT_FATE_GONE:
			count_as_written(table, change);
			break;
	}
}

/* What the old row was decided to be, if it waits for its second write; *decided is for that. */
static const CtRow *
as_decided(const CtRowChange *change, CtRow *decided)
{
	const CtRow *waiting = ct_second_write_find(change->relid, &change->old->tid);

	if (waiting == NULL)
		return change->old;
	*decided = *change->old;
	ct_row_copy_properties(decided, waiting);
	return decided;
}

/*
 * Count a row that was written, or deleted, as the rules want it; where it is not so yet,
 * it is written again at the end of the statement.
 *
 * Versions of a row may come in another order than they were written: a trigger can change a
 * row whose event has not come to ours.  Each is the new row of one event and the old row of
 * at most one, and the count is right if both take it for the same: for what was
 * decided if it is in a queue by the first of the two, otherwise for what was written.
 *
 * Errors: those of count_row().
 */
void
ct_note_row(const CtTable *table, CtRowChange *change)
{
	CtRow		old;
	bool		waits = ct_second_writes_wait();

	change->mending = -1;
	if (change->old != NULL && waits && !OidIsValid(change->moved_from))
		change->old = as_decided(change, &old);
	if (change->new != NULL)
		change->status = ct_row_status(table, change->new);
	if (change->new != NULL && waits && ct_second_write_find(change->relid, &change->new->tid) != NULL)
		count_as_written(table, change);
	else if (needs_mending(table, change))
		note_mended(table, change);
	else
		count_row(table, change);
}

/*
 * Will something apply later what a row trigger notes?  If a table is written without a
 * statement, as by logical replication, no statement trigger fires; neither in a partition
 * that does not have it yet.
 */
static bool
is_applied_later(Relation rel)
{
	Trigger    *trigger;

	if (ct_statement()->key != NULL)
		return true;
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		return false;
	trigger = ct_find_trigger(rel, CT_TRIGGER_APPLY);
	return trigger != NULL && ct_fires(trigger);
}

/*
 * Note the event of a row trigger.  A row that leaves a partition and follows as a new one of
 * another is one change.
 */
static void
note_event(const CtTable *table, TriggerData *trigdata, CtRowChange *change, CtRow *old)
{
	if (change->new == NULL && ct_is_moved(trigdata->tg_trigslot))
	{
		CtRow		decided;

		/* for the new row: was it eligible before? */
		ct_row_judge(table, trigdata->tg_trigslot, old);
		ct_moving_out(table, ct_second_writes_wait() ? as_decided(change, &decided) : change->old);
		return;
	}
	if (change->old == NULL && trigdata->tg_relation->rd_rel->relispartition)
		change->moved_from = ct_moving_in(table, old);
	if (OidIsValid(change->moved_from))
		change->old = old;
	if (change->old == NULL && ct_row_status(table, change->new).marketing)
		change->by_default =
			ct_notes_is_by_default(table, !ct_notes_need_image(table) ? 0 :
								   ct_tuple_image(trigdata->tg_relation, trigdata->tg_trigtuple));
	ct_note_row(table, change);
}

/* Note which rows of the event of a trigger are not eligible. */
static void
judge(const CtTable *table, TriggerData *trigdata, CtRow *old, CtRow *row)
{
	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		ct_row_judge_change(table, trigdata->tg_trigslot, old, trigdata->tg_newslot, row);
	else
		ct_row_judge(table, trigdata->tg_trigslot, row);
}

PG_FUNCTION_INFO_V1(contacts_tier_count_contact);

/*
 * count_contact(): AFTER INSERT OR UPDATE OR DELETE row trigger (rule C1)
 *
 * Errors: MC002 for a marketing contact without an account; where nothing else applies
 * it, those of ct_notes_apply().
 */
Datum
contacts_tier_count_contact(PG_FUNCTION_ARGS)
{
	CtTable    *table = ct_table_of_trigger(fcinfo, "count_contact");
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TriggerEvent event = trigdata->tg_event;
	CtRow		oldrow;
	CtRow		newrow;
	CtRowChange change = {.relid = RelationGetRelid(trigdata->tg_relation)};

	check_trigger(fcinfo, "count_contact", TRIGGER_EVENT_AFTER | TRIGGER_EVENT_ROW);
	if (!TRIGGER_FIRED_BY_INSERT(event))
	{
		ct_row_read(table, trigdata->tg_trigslot, &oldrow);
		change.old = &oldrow;
	}
	if (!TRIGGER_FIRED_BY_DELETE(event))
	{
		ct_row_read(table, TRIGGER_FIRED_BY_UPDATE(event) ? trigdata->tg_newslot : trigdata->tg_trigslot, &newrow);
		change.new = &newrow;
		judge(table, trigdata, &oldrow, &newrow);
	}
	note_event(table, trigdata, &change, &oldrow);
	if (!is_applied_later(trigdata->tg_relation))
		ct_notes_apply();
	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(contacts_tier_apply_counts);

/*
 * apply_counts(): AFTER INSERT OR UPDATE OR DELETE statement trigger
 *
 * Applies what was noted by a statement that is not known; the end of others does
 * (hooks.c).
 *
 * Locks and errors: see ct_notes_apply().
 */
Datum
contacts_tier_apply_counts(PG_FUNCTION_ARGS)
{
	check_trigger(fcinfo, "apply_counts", TRIGGER_EVENT_AFTER);
	if (ct_statement()->key == NULL)
		ct_notes_apply();
	return PointerGetDatum(NULL);
}
