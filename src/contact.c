/*-------------------------------------------------------------------------
 *
 * contact.c
 *	  From a row of a contacts table to the struct that the rules speak of, and
 *	  back.
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
 * Status and flag of a row.
 */
CtStatus
ct_row_status(const CtTable *table, const CtRow *row)
{
	CtStatus	status;

	status.given = !row->isnull[CT_ARG_STATUS];
	status.marketing = status.given && DatumGetObjectId(row->value[CT_ARG_STATUS]) == table->marketing;
	status.until_next_update = !row->isnull[CT_ARG_UNTIL] && DatumGetBool(row->value[CT_ARG_UNTIL]);
	return status;
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

static char *
read_text(const CtRow *row, CtTriggerArg which)
{
	return row->isnull[which] ? NULL : TextDatumGetCString(row->value[which]);
}

/*
 * All status properties of a row; texts are palloc'd.
 */
CtContact
ct_contact_read(const CtTable *table, const CtRow *row)
{
	CtContact	contact;

	contact.status = ct_row_status(table, row);
	contact.source_type = read_text(row, CT_ARG_SOURCE_TYPE);
	contact.source_name = read_text(row, CT_ARG_SOURCE_NAME);
	contact.updated_at_given = !row->isnull[CT_ARG_UPDATED_AT];
	contact.updated_at = contact.updated_at_given ?
		DatumGetTimestampTz(row->value[CT_ARG_UPDATED_AT]) : 0;
	return contact;
}

/*
 * A copy of the tuple with these status properties.
 */
HeapTuple
ct_contact_write(const CtTable *table, TupleDesc tupdesc, HeapTuple tuple,
				 const CtContact *contact)
{
	Datum		values[CT_NCOLUMNS] = {0};
	bool		nulls[CT_NCOLUMNS] = {0};
	int			attnos[CT_NCOLUMNS];

#define VALUE(which)	values[(which) - CT_ARG_STATUS]
#define IS_NULL(which)	nulls[(which) - CT_ARG_STATUS]
	for (int i = 0; i < CT_NCOLUMNS; i++)
		attnos[i] = table->attno[CT_ARG_STATUS + i];
	VALUE(CT_ARG_STATUS) = ObjectIdGetDatum(contact->status.marketing ?
											table->marketing : table->non_marketing);
	VALUE(CT_ARG_UNTIL) = BoolGetDatum(true);
	IS_NULL(CT_ARG_UNTIL) = !contact->status.until_next_update;
	if (contact->source_type != NULL)
		VALUE(CT_ARG_SOURCE_TYPE) = CStringGetTextDatum(contact->source_type);
	IS_NULL(CT_ARG_SOURCE_TYPE) = contact->source_type == NULL;
	if (contact->source_name != NULL)
		VALUE(CT_ARG_SOURCE_NAME) = CStringGetTextDatum(contact->source_name);
	IS_NULL(CT_ARG_SOURCE_NAME) = contact->source_name == NULL;
	VALUE(CT_ARG_UPDATED_AT) = TimestampTzGetDatum(contact->updated_at);
	IS_NULL(CT_ARG_UPDATED_AT) = !contact->updated_at_given;
#undef VALUE
#undef IS_NULL
	return heap_modify_tuple_by_cols(tuple, tupdesc, CT_NCOLUMNS, attnos, values, nulls);
}
