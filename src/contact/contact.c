/*-------------------------------------------------------------------------
 *
 * contact.c
 *	  What concerns us of a row of a contacts table: reading, judging, writing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/timestamp.h"

#include "contact/contact.h"

/*
 * The columns of a row that concern us.  Values are those of the slot, and hold as long
 * as it does.  The account is the one that the row belongs to, under the key that it has now
 * (renamed.c).  What conditions say of the row stays as it is in *row.
 */
void
ct_row_read_columns(const CtTable *table, TupleTableSlot *slot, CtRow *row)
{
	row->value[CT_ARG_ACCOUNT] = ct_table_account(table, slot, &row->isnull[CT_ARG_ACCOUNT]);
	if (unlikely(ct_has_renamed()) && !row->isnull[CT_ARG_ACCOUNT])
		row->value[CT_ARG_ACCOUNT] = ct_renamed_account(table, row->value[CT_ARG_ACCOUNT]);
	for (int i = CT_ARG_STATUS; i < CT_COLUMNS_END; i++)
		row->value[i] = slot_getattr(slot, table->attno[i], &row->isnull[i]);
	row->tid = slot->tts_tid;
}

/*
 * The same, and whether the row counts as deleted.
 */
void
ct_row_read(const CtTable *table, TupleTableSlot *slot, CtRow *row)
{
	ct_row_read_columns(table, slot, row);
	row->is_absent = table->exists != NULL && !ct_condition_is_true(table->exists, slot);
	row->is_ineligible = false;
}

/*
 * Does an UPDATE that names these columns set one that concerns us?
 */
bool
ct_row_is_set(const CtTable *table, const Bitmapset *sets)
{
	for (int i = CT_ARG_ACCOUNT; i < CT_COLUMNS_END; i++)
		if (AttributeNumberIsValid(table->attno[i]) &&
			bms_is_member(table->attno[i] - FirstLowInvalidHeapAttributeNumber, sets))
			return true;
	return false;
}

/*
 * A copy of a row that depends on nothing but the memory context: source columns may point
 * into the row, or to TOAST values, which are read now.
 */
void
ct_row_copy(const CtTable *table, const CtRow *row, CtRow *copy, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	*copy = *row;
	if (!row->isnull[CT_ARG_ACCOUNT])
		copy->value[CT_ARG_ACCOUNT] = ct_account_copy(table, row->value[CT_ARG_ACCOUNT], context);
	for (int i = CT_ARG_SOURCE_TYPE; i <= CT_ARG_SOURCE_NAME; i++)
		if (!row->isnull[i])
			copy->value[i] = PointerGetDatum(PG_DETOAST_DATUM_COPY(row->value[i]));
	MemoryContextSwitchTo(old);
}

/*
 * Are two contacts of the same account?
 */
bool
ct_row_same_account(const CtTable *table, const CtRow *a, const CtRow *b)
{
	if (a->isnull[CT_ARG_ACCOUNT] || b->isnull[CT_ARG_ACCOUNT])
		return a->isnull[CT_ARG_ACCOUNT] && b->isnull[CT_ARG_ACCOUNT];
	return ct_account_compare(table, a->value[CT_ARG_ACCOUNT], b->value[CT_ARG_ACCOUNT]) == 0;
}

/*
 * Is a source column not given?  NULL and the empty string both say so (S5).
 */
bool
ct_row_lacks(const CtRow *row, CtTriggerArg which)
{
	return row->isnull[which] || VARSIZE_ANY_EXHDR(DatumGetPointer(row->value[which])) == 0;
}

/*
 * Give a row the status properties of another.
 */
void
ct_row_copy_properties(CtRow *row, const CtRow *from)
{
	for (int i = CT_ARG_STATUS; i < CT_COLUMNS_END; i++)
	{
		row->value[i] = from->value[i];
		row->isnull[i] = from->isnull[i];
	}
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
 * Has a new row all that it is to have?  A time in the future does not count: a flag with
 * such a time would outlive its update date.
 */
bool
ct_row_is_complete(const CtTable *table, const CtRow *row)
{
	return !ct_row_lacks(row, CT_ARG_SOURCE_TYPE) && !ct_row_lacks(row, CT_ARG_SOURCE_NAME) &&
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
	/* the common case; a text has not moved then */
	if (a->value[which] == b->value[which])
		return true;
	/* an enum, as a column gives it, has the sign extended (fetch_att()) */
	if (which == CT_ARG_STATUS)
		return DatumGetObjectId(a->value[which]) == DatumGetObjectId(b->value[which]);
	return is_text && datum_image_eq(a->value[which], b->value[which], false, -1);
}

/*
 * The same for all status columns.
 */
bool
ct_row_same_columns(const CtRow *a, const CtRow *b)
{
	for (int i = CT_ARG_STATUS; i < CT_COLUMNS_END; i++)
		if (!ct_row_same_column(a, b, i))
			return false;
	return true;
}

/*
 * Give a row this status and flag.  A flag that is not set is NULL (S3).
 */
void
ct_row_set_status(const CtTable *table, CtRow *row, CtStatus status)
{
	row->value[CT_ARG_STATUS] = ct_status_datum(&table->status, status.marketing);
	row->isnull[CT_ARG_STATUS] = false;
	row->value[CT_ARG_UNTIL] = BoolGetDatum(status.until_next_update);
	row->isnull[CT_ARG_UNTIL] = !status.until_next_update;
}

/*
 * The status of a row changes now.
 */
void
ct_row_set_time(CtRow *row)
{
	row->value[CT_ARG_UPDATED_AT] = TimestampTzGetDatum(ct_now());
	row->isnull[CT_ARG_UPDATED_AT] = false;
}

/*
 * A copy of a tuple of the relation with the status properties of the row.
 */
HeapTuple
ct_row_write(const CtTable *table, Relation rel, HeapTuple tuple, const CtRow *row)
{
	int			attnos[CT_NCOLUMNS];

	for (int i = 0; i < CT_NCOLUMNS; i++)
		attnos[i] = table->attno[CT_ARG_STATUS + i];
	return heap_modify_tuple_by_cols(tuple, RelationGetDescr(rel), CT_NCOLUMNS, attnos,
									 unconstify(Datum *, &row->value[CT_ARG_STATUS]),
									 unconstify(bool *, &row->isnull[CT_ARG_STATUS]));
}

/*
 * What a row looks like: a hash of all columns that are not generated, the same before
 * it is written and after.
 *
 * To read a value may mean to open the TOAST table, and so to process the message that the
 * relation has changed: the description is pinned.  One that is not goes with the last who has
 * pinned it, such as the type cache (TypeCacheRelCallback()), though the
 * relation cache itself would retain it until the transaction ends.
 */
uint32
ct_tuple_image(Relation rel, HeapTuple tuple)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);
	uint32		image = 0;

	PinTupleDesc(tupdesc);
	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(tupdesc, i);
		bool		isnull;
		Datum		value;

		if (attr->attisdropped || attr->attgenerated)
			continue;
		value = heap_getattr(tuple, i + 1, tupdesc, &isnull);
		image = hash_combine(image, isnull ? 0 : datum_image_hash(value, attr->attbyval, attr->attlen));
	}
	ReleaseTupleDesc(tupdesc);
	return image;
}

/*
 * Is a row version one that an UPDATE has moved to another partition?  heap_delete()
 * marks it so.
 */
bool
ct_is_moved(TupleTableSlot *slot)
{
	bool		should_free;
	HeapTuple	tuple;
	bool		moved;

	if (!TTS_IS_BUFFERTUPLE(slot))
		return false;
	tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);
	moved = HeapTupleHeaderIndicatesMovedPartitions(tuple->t_data);
	if (should_free)
		heap_freetuple(tuple);
	return moved;
}
