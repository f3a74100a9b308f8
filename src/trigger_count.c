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

#include "contacts_tier.h"

static void
check_trigger(FunctionCallInfo fcinfo, const char *function, TriggerEvent timing)
{
	if (!CALLED_AS_TRIGGER(fcinfo) ||
		(((TriggerData *) fcinfo->context)->tg_event &
		 (TRIGGER_EVENT_TIMINGMASK | TRIGGER_EVENT_ROW)) != timing)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" is called by the wrong kind of trigger", function),
				 errhint("Triggers of contacts_tier are made by contacts_tier.attach().")));
}

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
	if (delta.marketing != 0 || delta.pending != 0 || delta.created || delta.deleted)
		ct_delta_add(table, change, &delta);
}

/*
 * Count a row that changed.  Errors: MC002 for a marketing contact without an
 * account.
 */
void
ct_count_row(const CtTable *table, const CtRowChange *change)
{
	const CtRow *old = change->old;
	const CtRow *new = change->new;
	bool		had_account = old != NULL && !old->isnull[CT_ARG_ACCOUNT];
	bool		has_account = new != NULL && !new->isnull[CT_ARG_ACCOUNT];
	CtStatus	old_status = old != NULL ? ct_row_status(table, old) : no_contact;

	if (new != NULL && !has_account && change->status.marketing)
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

/* Was the status of a new row defaulted by a COPY, which could not see the row? */
static bool
is_status_defaulted(const CtRowChange *change)
{
	bool		sets_status;

	return change->old == NULL && ct_is_copying(change->depth, &sets_status) && !sets_status;
}

/*
 * Is a new row not as our BEFORE trigger would have left it?  In a COPY it may
 * not have fired; else another one may have changed the row behind it.
 */
static bool
new_needs_mending(const CtTable *table, const CtRowChange *change)
{
	bool		sets_status;

	if (!ct_is_copying(change->depth, &sets_status))
		return !ct_row_is_legal(table, change->new);
	return !ct_row_is_complete(table, change->new) ||
		(!sets_status && ct_row_lacks_default(table, change->new));
}

/*
 * Is a row that was written not as the rules want it?  For a changed one: another
 * BEFORE trigger changed it behind ours.  A marketing contact became
 * non-marketing at once, the status changed and the time did not, or the other
 * way round, or the row is one that S3 does not allow.
 */
bool
ct_needs_mending(const CtTable *table, const CtRowChange *change)
{
	const CtRow *row = change->new;
	CtStatus	old;

	if (row == NULL || change->trusted)
		return false;
	if (change->old == NULL)
		return new_needs_mending(table, change);
	if (!ct_row_is_legal(table, row))
		return true;
	old = ct_row_status(table, change->old);
	if (ct_status_equal(old, change->status))
		return !ct_row_same_columns(change->old, row);
	return (old.marketing && !change->status.marketing) || row->isnull[CT_ARG_UPDATED_AT] ||
		DatumGetTimestampTz(row->value[CT_ARG_UPDATED_AT]) != ct_now();
}

/* The statement that writes the status properties of one row of a relation. */
static char *
mending_statement(const CtTable *table, Relation rel)
{
	return psprintf("UPDATE ONLY %s SET %s = CASE WHEN $2 THEN 'marketing'::contacts_tier.marketing_status"
					" ELSE 'non_marketing'::contacts_tier.marketing_status END,"
					" %s = CASE WHEN $3 THEN true END, %s = $4, %s = $5, %s = $6"
					" WHERE ctid OPERATOR(pg_catalog.=) $1 RETURNING ctid",
					ct_qualified_name(rel),
					ct_table_column(table, CT_ARG_STATUS),
					ct_table_column(table, CT_ARG_UNTIL),
					ct_table_column(table, CT_ARG_SOURCE_TYPE),
					ct_table_column(table, CT_ARG_SOURCE_NAME),
					ct_table_column(table, CT_ARG_UPDATED_AT));
}

/*
 * Write the row once more, as the rules want it.  No triggers fire, or the one
 * that changed it would do so again.  If the row has been written again since,
 * its own event is to come, and the status of this one stays what it was.
 */
static void
mend_row(const CtTable *table, Relation rel, CtRowChange *change, CtRow *row)
{
	bool		status_defaulted = is_status_defaulted(change);
	CtRow		mended = *row;
	Oid			types[] = {TIDOID, BOOLOID, BOOLOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	CtStatus	status;

	ct_row_mend(table, change->old, &mended, status_defaulted);
	status = ct_row_status(table, &mended);
	{
		Datum		values[] = {
			PointerGetDatum(&row->tid),
			BoolGetDatum(status.marketing),
			BoolGetDatum(status.until_next_update),
			mended.value[CT_ARG_SOURCE_TYPE],
			mended.value[CT_ARG_SOURCE_NAME],
			mended.value[CT_ARG_UPDATED_AT]
		};

		if (!ct_rewrite_row(table, mending_statement(table, rel), lengthof(types), types, values, &row->tid))
			return;
	}
	mended.tid = row->tid;
	*row = mended;
	change->by_default = status.marketing && (status_defaulted || !change->status.given);
	change->status = status;
}

PG_FUNCTION_INFO_V1(contacts_tier_count_contact);

/*
 * count_contact(): AFTER INSERT OR UPDATE OR DELETE row trigger (design.md, C1)
 *
 * Errors: MC002 for a marketing contact without an account.
 */
Datum
contacts_tier_count_contact(PG_FUNCTION_ARGS)
{
	CtTable    *table = ct_table_of_trigger(fcinfo, "count_contact");
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TriggerEvent event = trigdata->tg_event;
	TupleTableSlot *newslot = TRIGGER_FIRED_BY_UPDATE(event) ? trigdata->tg_newslot : trigdata->tg_trigslot;
	CtRow		oldrow;
	CtRow		newrow;
	CtRowChange change = {.depth = ct_trigger_depth(),.relid = RelationGetRelid(trigdata->tg_relation)};

	check_trigger(fcinfo, "count_contact", TRIGGER_EVENT_AFTER | TRIGGER_EVENT_ROW);
	change.trusted = ct_is_trusted();
	if (!TRIGGER_FIRED_BY_INSERT(event))
	{
		ct_row_read(table, trigdata->tg_trigslot, &oldrow);
		change.old = &oldrow;
	}
	if (!TRIGGER_FIRED_BY_DELETE(event))
	{
		ct_row_read(table, newslot, &newrow);
		change.new = &newrow;
		change.place = newrow.tid;
		change.status = ct_row_status(table, &newrow);
	}
	if (ct_needs_mending(table, &change))
		mend_row(table, trigdata->tg_relation, &change, &newrow);
	ct_count_row(table, &change);
	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(contacts_tier_apply_counts);

/*
 * apply_counts(): AFTER INSERT OR UPDATE OR DELETE statement trigger
 *
 * Locks and errors: see ct_counter_apply().
 */
Datum
contacts_tier_apply_counts(PG_FUNCTION_ARGS)
{
	check_trigger(fcinfo, "apply_counts", TRIGGER_EVENT_AFTER);
	ct_delta_apply(ct_trigger_depth());
	return PointerGetDatum(NULL);
}
