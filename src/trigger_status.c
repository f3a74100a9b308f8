/*-------------------------------------------------------------------------
 *
 * trigger_status.c
 *	  The row trigger that keeps the status properties of a contact.
 *
 * It fires last among the BEFORE triggers, by its name, so that it judges what
 * the application's own triggers made of the row.  Where one fires even later,
 * trigger_count.c mends the row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "contacts_tier.h"

/*
 * The last contact that was updated in a partition, if nobody has ever set its
 * status: should the update move it to another partition, it comes by as a new
 * row, and must not be taken for one whose source is to be completed.
 */
static struct
{
	int			depth;			/* 0: there is none */
	CommandId	command;
}			moving = {0};

/*
 * How deep in triggers we are; 0 outside any.
 */
int
ct_trigger_depth(void)
{
	return DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0));
}

/* The status that a new contact gets which is given none. */
static bool
defaults_to_marketing(const CtTable *table, const CtRow *row, const char *source_type)
{
	return !row->isnull[CT_ARG_ACCOUNT] &&
		ct_source_default(table, row->value[CT_ARG_ACCOUNT], source_type);
}

/*
 * The status properties that a new row gets.  What it gives is taken; an import
 * may bring the time along too.  With "status_defaulted" the status that it has
 * was not given.
 */
static void
complete_new(const CtTable *table, CtRow *row, bool status_defaulted)
{
	CtStatus	status = ct_row_status(table, row);
	bool		default_marketing = false;

	ct_row_complete_source(row);
	if (status_defaulted)
		status.given = false;
	if (!status.given)
		default_marketing = defaults_to_marketing(table, row, TextDatumGetCString(row->value[CT_ARG_SOURCE_TYPE]));
	ct_row_set_status(table, row, ct_status_on_insert(status, default_marketing));
	/* no time to come, or a flag would outlive its update date */
	if (row->isnull[CT_ARG_UPDATED_AT] || DatumGetTimestampTz(row->value[CT_ARG_UPDATED_AT]) > ct_now())
		ct_row_set_time(row);
}

/* Has nobody ever set the status of the contact? */
static bool
is_never_set(const CtRow *row)
{
	return row->isnull[CT_ARG_SOURCE_TYPE] && row->isnull[CT_ARG_UPDATED_AT];
}

static void
note_moving(TriggerData *trigdata, const CtRow *row)
{
	moving.depth = 0;
	if (trigdata->tg_relation->rd_rel->relispartition && is_never_set(row))
	{
		moving.depth = ct_trigger_depth();
		moving.command = GetCurrentCommandId(false);
	}
}

static bool
is_moving(const CtTable *table, TriggerData *trigdata, const CtRow *row)
{
	return moving.depth > 0 && trigdata->tg_relation->rd_rel->relispartition &&
		moving.depth == ct_trigger_depth() &&
		moving.command == GetCurrentCommandId(false) &&
		ct_row_is_legal(table, row) && is_never_set(row);
}

/*
 * Does a new row whose status was defaulted without regard to the row miss what
 * the default of its source type in its account would have made of it?
 */
bool
ct_row_lacks_default(const CtTable *table, const CtRow *row)
{
	return !row->isnull[CT_ARG_SOURCE_TYPE] && !ct_row_status(table, row).marketing &&
		defaults_to_marketing(table, row, TextDatumGetCString(row->value[CT_ARG_SOURCE_TYPE]));
}

/*
 * S4: a new contact that only a default makes a marketing contact need not be
 * one, if it does not fit.  Note which these are, where the row is written by
 * somebody else.  "depth" is that of the statement's row triggers.
 */
void
ct_note_insert(const CtTable *table, int depth, const CtRow *row, bool by_default)
{
	if (ct_row_status(table, row).marketing && !row->isnull[CT_ARG_ACCOUNT])
		ct_delta_note_insert(table, depth, row->value[CT_ARG_ACCOUNT], by_default);
}

/*
 * What becomes of the status properties of a new row, given as a statement and
 * the triggers before ours leave it.  Returns whether that differs from the row
 * as given, and whether its status was left to a default.
 */
bool
ct_row_insert(const CtTable *table, CtRow *row, bool *by_default)
{
	bool		complete = ct_row_is_complete(table, row);

	*by_default = row->isnull[CT_ARG_STATUS];
	if (!complete)
		complete_new(table, row, false);
	return !complete;
}

static HeapTuple
insert_contact(const CtTable *table, TriggerData *trigdata)
{
	CtRow		row;
	bool		by_default;
	bool		differs;

	ct_row_read(table, trigdata->tg_trigslot, &row);
	if (is_moving(table, trigdata, &row))
		return trigdata->tg_trigtuple;
	differs = ct_row_insert(table, &row, &by_default);
	ct_note_insert(table, ct_trigger_depth(), &row, by_default);
	if (!differs)
		return trigdata->tg_trigtuple;
	return ct_row_write(table, RelationGetDescr(trigdata->tg_relation), trigdata->tg_trigtuple, &row);
}

static bool
is_set(const CtTable *table, CtTriggerArg which, const Bitmapset *sets)
{
	return bms_is_member(table->attno[which] - FirstLowInvalidHeapAttributeNumber, sets);
}

/*
 * The status properties that a changed row gets where the status or the flag may
 * change.  "sets" are the columns that the statement names: a source that it
 * names is believed, even if it is the one that stood there before.  The
 * properties stay as they were where neither status nor flag changes (S5).
 */
static void
change_row(const CtTable *table, const CtRow *old, CtRow *row, const Bitmapset *sets)
{
	CtStatus	old_status = ct_row_status(table, old);
	CtStatus	status = ct_status_on_update(old_status, ct_row_status(table, row),
											 is_set(table, CT_ARG_STATUS, sets),
											 is_set(table, CT_ARG_UNTIL, sets));

	if (ct_status_equal(old_status, status))
	{
		*row = *old;
		ct_row_set_status(table, row, status);
		return;
	}
	for (int i = CT_ARG_SOURCE_TYPE; i <= CT_ARG_SOURCE_NAME; i++)
		if (!is_set(table, i, sets) && ct_row_same_column(old, row, i))
			row->isnull[i] = true;
	ct_row_complete_source(row);
	ct_row_set_status(table, row, status);
	ct_row_set_time(row);
}

/*
 * What becomes of the status properties of a row, given as a statement and the
 * triggers before ours leave it.  Returns whether that differs from the row as
 * given.  A row that the extension writes itself ("trusted") is taken as it is,
 * unless a trigger made something of it that is not allowed (S3).
 */
bool
ct_row_change(const CtTable *table, const CtRow *old, CtRow *row, const Bitmapset *sets, bool trusted)
{
	if (trusted)
	{
		if (ct_row_is_legal(table, row))
			return false;
		ct_row_set_status(table, row, ct_status_on_insert(ct_row_status(table, row), false));
		return true;
	}
	/* the usual case: nothing of ours is touched */
	if (!is_set(table, CT_ARG_STATUS, sets) && ct_row_same_columns(old, row))
		return false;
	change_row(table, old, row, sets);
	return true;
}

/*
 * The status properties that a row should have got, where another trigger
 * changed them behind maintain_status(), or it did not fire.  "old" is NULL for
 * a new row, and status_defaulted as in complete_new().
 */
void
ct_row_mend(const CtTable *table, const CtRow *old, CtRow *row, bool status_defaulted)
{
	if (old == NULL)
	{
		complete_new(table, row, status_defaulted);
		return;
	}
	change_row(table, old, row, NULL);
	ct_row_complete_source(row);
	if (row->isnull[CT_ARG_UPDATED_AT])
		ct_row_set_time(row);
}

static HeapTuple
update_contact(const CtTable *table, TriggerData *trigdata, bool trusted)
{
	CtRow		old;
	CtRow		row;

	ct_row_read(table, trigdata->tg_trigslot, &old);
	ct_row_read(table, trigdata->tg_newslot, &row);
	if (!trusted)
		note_moving(trigdata, &row);
	if (!ct_row_change(table, &old, &row, trigdata->tg_updatedcols, trusted))
		return trigdata->tg_newtuple;
	return ct_row_write(table, RelationGetDescr(trigdata->tg_relation), trigdata->tg_newtuple, &row);
}

PG_FUNCTION_INFO_V1(contacts_tier_maintain_status);

/*
 * maintain_status(): BEFORE INSERT OR UPDATE row trigger (design.md, S1 to S5)
 *
 * Takes no locks; reads the account row where a default is asked for.
 */
Datum
contacts_tier_maintain_status(PG_FUNCTION_ARGS)
{
	CtTable    *table = ct_table_of_trigger(fcinfo, "maintain_status");
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	bool		trusted = ct_is_trusted();

	if (!TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired BEFORE INSERT OR UPDATE for each row",
						"maintain_status")));

	return PointerGetDatum(TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) ?
						   insert_contact(table, trigdata) :
						   update_contact(table, trigdata, trusted));
}
