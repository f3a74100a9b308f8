/*-------------------------------------------------------------------------
 *
 * contact.c
 *	  What concerns us of a row of a contacts table: reading, judging, writing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/timestamp.h"

#include "contacts_tier.h"

/*
 * The columns of a row that concern us.
 */
void
ct_row_read(const CtTable *table, TupleTableSlot *slot, CtRow *row)
{
	row->value[CT_ARG_ACCOUNT] = ct_table_account(table, slot, &row->isnull[CT_ARG_ACCOUNT]);
	for (int i = CT_ARG_STATUS; i < CT_NARGS; i++)
		row->value[i] = slot_getattr(slot, table->attno[i], &row->isnull[i]);
	row->tid = slot->tts_tid;
}

/*
 * Is a row as the rules leave rows?  It has a status, the flag is true or NULL
 * and only on a marketing contact (S3).
 */
bool
ct_row_is_legal(const CtTable *table, const CtRow *row)
{
	CtStatus	status = ct_row_status(table, row);

	if (!status.given || (status.until_next_update && !status.marketing))
		return false;
	return status.until_next_update || row->isnull[CT_ARG_UNTIL];
}

/*
 * Has a new row all that it is to have?  Most have, thanks to the defaults of
 * their columns.  A time to come is not taken, or a flag would outlive its
 * update date.
 */
bool
ct_row_is_complete(const CtTable *table, const CtRow *row)
{
	return !row->isnull[CT_ARG_SOURCE_TYPE] && !row->isnull[CT_ARG_SOURCE_NAME] &&
		!row->isnull[CT_ARG_UPDATED_AT] &&
		DatumGetTimestampTz(row->value[CT_ARG_UPDATED_AT]) <= ct_now() &&
		ct_row_is_legal(table, row);
}

/*
 * Do two rows have the same value, to the bit, in a status column?
 */
bool
ct_row_same_column(const CtRow *a, const CtRow *b, CtTriggerArg which)
{
	bool		is_text = which == CT_ARG_SOURCE_TYPE || which == CT_ARG_SOURCE_NAME;

	if (a->isnull[which] || b->isnull[which])
		return a->isnull[which] && b->isnull[which];
	return is_text ? datum_image_eq(a->value[which], b->value[which], false, -1) :
		a->value[which] == b->value[which];
}

/*
 * The same for all status columns.
 */
bool
ct_row_same_columns(const CtRow *a, const CtRow *b)
{
	for (int i = CT_ARG_STATUS; i < CT_NARGS; i++)
		if (!ct_row_same_column(a, b, i))
			return false;
	return true;
}

/*
 * Give a row this status and flag.
 */
void
ct_row_set_status(const CtTable *table, CtRow *row, CtStatus status)
{
	row->value[CT_ARG_STATUS] = ObjectIdGetDatum(status.marketing ? table->marketing : table->non_marketing);
	row->isnull[CT_ARG_STATUS] = false;
	row->value[CT_ARG_UNTIL] = BoolGetDatum(status.until_next_update);
	row->isnull[CT_ARG_UNTIL] = !status.until_next_update;
}

static void
complete_text(CtRow *row, CtTriggerArg which, const char *(*find) (void))
{
	if (!row->isnull[which])
		return;
	row->value[which] = CStringGetTextDatum(find());
	row->isnull[which] = false;
}

/*
 * S5: what the row does not say about its source, the session does.
 */
void
ct_row_complete_source(CtRow *row)
{
	complete_text(row, CT_ARG_SOURCE_TYPE, ct_session_source_type);
	complete_text(row, CT_ARG_SOURCE_NAME, ct_session_source_name);
}

/*
 * Its status changes now.
 */
void
ct_row_set_time(CtRow *row)
{
	row->value[CT_ARG_UPDATED_AT] = TimestampTzGetDatum(ct_now());
	row->isnull[CT_ARG_UPDATED_AT] = false;
}

/*
 * A copy of the tuple with the status properties of the row.
 */
HeapTuple
ct_row_write(const CtTable *table, TupleDesc tupdesc, HeapTuple tuple, const CtRow *row)
{
	int			attnos[CT_NCOLUMNS];

	for (int i = 0; i < CT_NCOLUMNS; i++)
		attnos[i] = table->attno[CT_ARG_STATUS + i];
	return heap_modify_tuple_by_cols(tuple, tupdesc, CT_NCOLUMNS, attnos,
									 unconstify(Datum *, &row->value[CT_ARG_STATUS]),
									 unconstify(bool *, &row->isnull[CT_ARG_STATUS]));
}
