/*-------------------------------------------------------------------------
 *
 * slot_row.c
 *	  Rows of the counter table: taken apart, and put together anew.
 *
 * A slot is read and written once for each statement that counts, so it is done without
 * heap_deform_tuple() and heap_form_tuple(): where the values of a row are depends on which of them
 * are null, and on the lengths of those of variable length alone.  Almost all columns are
 * numbers of eight bytes behind the account; as long as the row read before had the same nulls and
 * an account of the same length, they are in the same places.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"

#include "counter/counter.h"

/* The place of a value that is null, or that a row from before its column was added lacks */
#define NO_PLACE	PG_UINT16_MAX

/* Columns from the first one on that have their place by the nulls and the account alone */
static int
count_fixed(const CtCounterTable *info, TupleDesc tupdesc)
{
	int			nfixed = 1;

	if (info->account != 1)
		return 0;
	while (nfixed < tupdesc->natts && TupleDescAttr(tupdesc, nfixed)->attlen > 0)
		nfixed++;
	return nfixed;
}

/*
 * Begin to remember where values are, in a memory context that lives as long as what is known of
 * the table, whose columns are known already.
 */
void
ct_slot_layout_begin(CtCounterTable *info, TupleDesc tupdesc, MemoryContext context)
{
	CtSlotLayout *layout = &info->layout;

	layout->nfixed = count_fixed(info, tupdesc);
	layout->natts = 0;
	layout->row = NULL;
	layout->nulls = MemoryContextAllocZero(context, BITMAPLEN(tupdesc->natts));
	layout->place = MemoryContextAllocZero(context, sizeof(uint16) * tupdesc->natts);
}

/* The places of columns from "from" on, the first of which comes behind "offset"; returns the end. */
static uint32
walk(const CtSlotLayout *layout, TupleDesc tupdesc, HeapTupleHeader row, int from, int to, uint32 offset)
{
	const char *data = (char *) row + row->t_hoff;
	bool		has_nulls = (row->t_infomask & HEAP_HASNULL) != 0;

	for (int i = from; i < to; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(tupdesc, i);

		layout->place[i] = NO_PLACE;
		if (has_nulls && att_isnull(i, row->t_bits))
			continue;
		offset = att_align_pointer(offset, attr->attalign, attr->attlen, data + offset);
		layout->place[i] = offset;
		offset = att_addlength_pointer(offset, attr->attlen, data + offset);
	}
	return offset;
}

/* Has a row the nulls of the one before? */
static bool
has_same_nulls(const CtSlotLayout *layout, HeapTupleHeader row)
{
	int			length = BITMAPLEN(layout->natts);

	if ((row->t_infomask & HEAP_HASNULL) == 0)
		return !layout->has_nulls;
	return layout->has_nulls && memcmp(layout->nulls, row->t_bits, length) == 0;
}

/*
 * The places of the values of a row, in bytes from where its data begins; they hold until the next
 * call.
 */
static const uint16 *
places_of(CtCounterTable *info, TupleDesc tupdesc, HeapTupleHeader row)
{
	CtSlotLayout *layout = &info->layout;
	int			natts = Min(HeapTupleHeaderGetNatts(row), tupdesc->natts);
	int			nfixed = Min(layout->nfixed, natts);
	uint32		account_end = walk(layout, tupdesc, row, 0, Min(nfixed, 1), 0);

	if (layout->natts != natts || layout->account_end != account_end || !has_same_nulls(layout, row))
	{
		layout->natts = natts;
		layout->account_end = account_end;
		layout->has_nulls = (row->t_infomask & HEAP_HASNULL) != 0;
		if (layout->has_nulls)
			memcpy(layout->nulls, row->t_bits, BITMAPLEN(natts));
		layout->fixed_end = walk(layout, tupdesc, row, Min(nfixed, 1), nfixed, account_end);
		for (int i = natts; i < tupdesc->natts; i++)
			layout->place[i] = NO_PLACE;
	}
	(void) walk(layout, tupdesc, row, nfixed, natts, layout->fixed_end);
	layout->row = row;
	return layout->place;
}

/* A number of a row, 0 where it is null. */
static int64
number_at(const char *data, const uint16 *place, AttrNumber attno, bool *isnull)
{
	*isnull = place[attno - 1] == NO_PLACE;
	return *isnull ? 0 : *(const int64 *) (data + place[attno - 1]);
}

/* A text of a row; in the row itself, or a copy if it was compressed or moved out of it */
static CtText
text_at(char *data, const uint16 *place, AttrNumber attno)
{
	text	   *packed;

	if (place[attno - 1] == NO_PLACE)
		return (CtText)
	{
		NULL, 0
	};
	packed = DatumGetTextPP(PointerGetDatum(data + place[attno - 1]));
	return (CtText)
	{
		VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed)
	};
}

/* The account of a row, which is never null */
static Datum
account_of(const CtCounterTable *info, TupleDesc tupdesc, char *data, const uint16 *place)
{
	return fetchatt(TupleDescAttr(tupdesc, info->account - 1), data + place[info->account - 1]);
}

/*
 * Read the open entry of a slot from its row, if there is one.  Its account and texts point into
 * the row: a change may spell the account otherwise, as citext does, and readers see what is open
 * as the row spells it.
 */
static void
read_entry(const CtCounterTable *info, char *data, const uint16 *place, Datum account, CtSlot *slot)
{
	CtActivity *entry = &slot->entry;
	const AttrNumber *column = info->entry;
	bool		isnull;

	slot->entry_change = CT_ENTRY_AS_READ;
	slot->unrecorded = false;
	slot->finished = NULL;
	entry->started_at = number_at(data, place, column[CT_ENTRY_STARTED_AT], &isnull);
	slot->has_entry = !isnull;
	if (isnull)
		return;
	/* as it is opened, the others are not null; else they are 0 */
	entry->account = account;
	entry->ended_at = number_at(data, place, column[CT_ENTRY_ENDED_AT], &isnull);
	entry->statements = number_at(data, place, column[CT_ENTRY_STATEMENTS], &isnull);
	for (int i = 0; i < CT_NACTIVITIES; i++)
		entry->count[i] = number_at(data, place, column[CT_ENTRY_COUNT + i], &isnull);
	for (int i = 0; i < CT_NENTRY_TEXTS; i++)
		entry->actor[i] = text_at(data, place, column[CT_ENTRY_ROLE + i]);
}

/*
 * Read a slot from its row, which it points into afterwards.  False if the row is not the one that
 * is expected: of this account, and this number.
 */
bool
ct_slot_deform(CtCounter *counter, HeapTuple row, Datum account, int32 number, CtSlot *slot)
{
	CtCounterTable *info = counter->info;
	TupleDesc	tupdesc = RelationGetDescr(counter->rel);
	const uint16 *place = places_of(info, tupdesc, row->t_data);
	char	   *data = (char *) row->t_data + row->t_data->t_hoff;
	Datum		found = account_of(info, tupdesc, data, place);
	bool		isnull;

	/* what the key has is not null, and the other counts are 0 then */
	if (*(int32 *) (data + place[info->number - 1]) != number ||
		ct_account_compare(&info->table, found, account) != 0)
		return false;
	slot->tuple = row;
	slot->used = number_at(data, place, info->used, &isnull);
	slot->pending = number_at(data, place, info->pending, &isnull);
	slot->granted = number_at(data, place, info->granted, &slot->closed);
	slot->promoted = number_at(data, place, info->promoted, &isnull);
	slot->demoted = number_at(data, place, info->demoted, &isnull);
	slot->corrected = number_at(data, place, info->corrected, &isnull);
	slot->peak = number_at(data, place, info->peak, &isnull);
	slot->floor = number_at(data, place, info->floor, &slot->alone);
	slot->bottom = number_at(data, place, info->bottom, &isnull);
	slot->observed = !isnull;
	slot->lowest = number_at(data, place, info->lowest, &isnull);
	slot->fell = !isnull;
	slot->brake = number_at(data, place, info->brake, &isnull);
	slot->has_brake = slot->had_brake = !isnull;
	if (slot->has_brake)
		slot->braked_at = number_at(data, place, info->braked_at, &isnull);
	read_entry(info, data, place, found, slot);
	return true;
}

/*
 * The places of the values of a row that ct_slot_deform() has taken apart, and that has stayed
 * where it was: so if the row taken apart last lay there, it was this one.
 */
static const uint16 *
places_again(CtCounterTable *info, TupleDesc tupdesc, HeapTupleHeader row)
{
	return info->layout.row == row ? info->layout.place : places_of(info, tupdesc, row);
}

/*
 * The row of a slot, one that ct_slot_deform() has read, with new values of some columns, all of
 * type bigint or timestamptz, or text.  Mostly these are numbers that take the place of numbers:
 * then they are put into a copy.
 */
HeapTuple
ct_slot_form(CtCounter *counter, HeapTuple row, int ncolumns, const int *attnos, const Datum *values, const bool *nulls)
{
	TupleDesc	tupdesc = RelationGetDescr(counter->rel);
	const uint16 *place = places_again(counter->info, tupdesc, row->t_data);
	HeapTuple	copy = heap_copytuple(row);
	char	   *data = (char *) copy->t_data + copy->t_data->t_hoff;

	for (int i = 0; i < ncolumns; i++)
	{
		int			column = attnos[i] - 1;

		if (nulls[i] && place[column] == NO_PLACE)
			continue;
		if (nulls[i] || place[column] == NO_PLACE || TupleDescAttr(tupdesc, column)->attlen != sizeof(int64))
		{
			heap_freetuple(copy);
			return heap_modify_tuple_by_cols(row, tupdesc, ncolumns, unconstify(int *, attnos),
											 unconstify(Datum *, values), unconstify(bool *, nulls));
		}
		*(int64 *) (data + place[column]) = DatumGetInt64(values[i]);
	}
	return copy;
}
