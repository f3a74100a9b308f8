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
#include "utils/timestamp.h"

#include "contacts_tier.h"

/*
 * Status and flag of a row.
 */
CtStatus
ct_contact_status(const CtTable *table, TupleTableSlot *slot)
{
	CtStatus	status;
	bool		isnull;
	Datum		value = slot_getattr(slot, table->attno[CT_ARG_STATUS], &isnull);

	status.given = !isnull;
	status.marketing = !isnull && DatumGetObjectId(value) == table->marketing;
	value = slot_getattr(slot, table->attno[CT_ARG_UNTIL], &isnull);
	status.until_next_update = !isnull && DatumGetBool(value);
	return status;
}

/*
 * Is a row as the rules leave rows?  It has a status, the flag is true or NULL
 * and only on a marketing contact (S3).
 */
bool
ct_contact_is_legal(const CtTable *table, TupleTableSlot *slot)
{
	CtStatus	status = ct_contact_status(table, slot);

	if (!status.given || (status.until_next_update && !status.marketing))
		return false;
	return status.until_next_update || slot_attisnull(slot, table->attno[CT_ARG_UNTIL]);
}

static char *
read_text(const CtTable *table, CtTriggerArg which, TupleTableSlot *slot)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, table->attno[which], &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/*
 * All status properties of a row; texts are palloc'd.
 */
CtContact
ct_contact_read(const CtTable *table, TupleTableSlot *slot)
{
	CtContact	contact;
	bool		isnull;

	contact.status = ct_contact_status(table, slot);
	contact.source_type = read_text(table, CT_ARG_SOURCE_TYPE, slot);
	contact.source_name = read_text(table, CT_ARG_SOURCE_NAME, slot);
	contact.updated_at = DatumGetTimestampTz(slot_getattr(slot, table->attno[CT_ARG_UPDATED_AT], &isnull));
	contact.updated_at_given = !isnull;
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
