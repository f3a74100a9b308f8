/*-------------------------------------------------------------------------
 *
 * delta.c
 *	  What a statement changed in the counts of accounts.
 *
 * A CtDelta is the change of one account: numbers, the contacts that were promoted with
 * their places, and who did it.  The changes of a frame (frame.c) are in one hash table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "capture/capture.h"

/*
 * Begin to note changes of accounts as a CtTable has them, which must live as long as the
 * memory context that they are noted in.
 */
void
ct_deltas_begin(CtDeltas *deltas, const CtTable *table, MemoryContext context)
{
	deltas->context = context;
	deltas->table = table;
	deltas->map = ct_account_map(context, table, sizeof(CtDeltaEntry));
	deltas->last = NULL;
}

/*
 * What is noted of an account; an empty entry is added if there is none.
 */
CtDeltaEntry *
ct_delta_entry(CtDeltas *deltas, Datum account)
{
	CtDeltaEntry *last = deltas->last;

	if (last != NULL && ct_account_compare(deltas->table, last->delta.account, account) == 0)
		return last;
	last = ct_account_enter(deltas->map, account);
	last->delta.account = last->of.account;
	deltas->last = last;
	return last;
}

/*
 * The same, or NULL if there is none.
 */
CtDeltaEntry *
ct_delta_find(const CtDeltas *deltas, Datum account)
{
	return ct_account_find(deltas->map, account);
}

/*
 * What was noted of the account that was added last, or NULL.
 */
CtDeltaEntry *
ct_delta_newest(const CtDeltas *deltas)
{
	return ct_account_newest(deltas->map);
}

/*
 * What was noted of the account that was added before this one, or NULL.
 */
CtDeltaEntry *
ct_delta_older(const CtDeltaEntry *entry)
{
	return (CtDeltaEntry *) entry->of.older;
}

/*
 * Add the counts of a change to what is noted of its account; not what was dropped, and
 * neither promotions nor source.
 */
CtDeltaEntry *
ct_delta_add_counts(CtDeltas *deltas, const CtDelta *change)
{
	CtDeltaEntry *entry = ct_delta_entry(deltas, change->account);
	CtDelta    *delta = &entry->delta;

	delta->marketing += change->marketing;
	delta->pending += change->pending;
	delta->promoted += change->promoted;
	delta->demoted += change->demoted;
	delta->flagged += change->flagged;
	delta->unflagged += change->unflagged;
	delta->created += change->created;
	delta->deleted += change->deleted;
	return entry;
}

/*
 * Add contacts that were promoted, in the order of the statement.
 */
void
ct_delta_add_promotions(CtDeltas *deltas, CtDeltaEntry *entry, const CtPromotion *promotions, int64 count)
{
	CtDelta    *delta = &entry->delta;

	if (count == 0)
		return;
	/* a statement may promote more than palloc() has room for */
	if (delta->npromotions + count > entry->capacity)
	{
		int64		capacity = Max(delta->npromotions + count, entry->capacity * 2);
		Size		size = sizeof(CtPromotion) * capacity;

		delta->promotions = delta->promotions == NULL ?
			MemoryContextAllocHuge(deltas->context, size) : repalloc_huge(delta->promotions, size);
		entry->capacity = capacity;
	}
	memcpy(&delta->promotions[delta->npromotions], promotions, sizeof(CtPromotion) * count);
	delta->npromotions += count;
}

/*
 * Note the source.  If different sources meet in one statement, none is told.
 */
static void
add_source(CtDeltas *deltas, CtDeltaEntry *entry, const char *source_type, const char *source_name)
{
	CtDelta    *delta = &entry->delta;

	if (!entry->source_known)
	{
		entry->source_known = true;
		delta->source_type = source_type == NULL ? NULL : MemoryContextStrdup(deltas->context, source_type);
		delta->source_name = source_name == NULL ? NULL : MemoryContextStrdup(deltas->context, source_name);
		entry->type_length = source_type == NULL ? 0 : strlen(source_type);
		entry->name_length = source_name == NULL ? 0 : strlen(source_name);
		return;
	}
	if (delta->source_type != NULL &&
		(source_type == NULL || strcmp(delta->source_type, source_type) != 0))
		delta->source_type = NULL;
	if (delta->source_name != NULL &&
		(source_name == NULL || strcmp(delta->source_name, source_name) != 0))
		delta->source_name = NULL;
}

/* Is the text the same as a C string of this length? */
static bool
is_text(const CtRow *row, CtTriggerArg which, const char *string, int length)
{
	text	   *value = row->isnull[which] ? NULL : DatumGetTextPP(row->value[which]);

	if (value == NULL || string == NULL)
		return value == NULL && string == NULL;
	return VARSIZE_ANY_EXHDR(value) == (Size) length &&
		memcmp(VARDATA_ANY(value), string, length) == 0;
}

/* A text of a row as a C string in a memory context; NULL for a null. */
static char *
copy_text(MemoryContext context, const CtRow *row, CtTriggerArg which, int *length)
{
	text	   *value = row->isnull[which] ? NULL : DatumGetTextPP(row->value[which]);
	char	   *copy;

	*length = value == NULL ? 0 : VARSIZE_ANY_EXHDR(value);
	if (value == NULL)
		return NULL;
	copy = MemoryContextAlloc(context, *length + 1);
	memcpy(copy, VARDATA_ANY(value), *length);
	copy[*length] = '\0';
	return copy;
}

/* Note the source of the first row. */
static void
begin_source(CtDeltas *deltas, CtDeltaEntry *entry, const CtRow *row)
{
	CtDelta    *delta = &entry->delta;

	delta->source_type = copy_text(deltas->context, row, CT_ARG_SOURCE_TYPE, &entry->type_length);
	delta->source_name = copy_text(deltas->context, row, CT_ARG_SOURCE_NAME, &entry->name_length);
	entry->source_known = true;
}

/*
 * Note the source of the status of a row; for a deleted one, NULL, that of the session.  This
 * is called for each row, so texts are compared where they are.
 */
void
ct_delta_add_source(CtDeltas *deltas, CtDeltaEntry *entry, const CtRow *row)
{
	CtDelta    *delta = &entry->delta;

	if (row == NULL)
		add_source(deltas, entry, ct_session_source_type(), ct_session_source_name());
	else if (!entry->source_known)
		begin_source(deltas, entry, row);
	else if (!is_text(row, CT_ARG_SOURCE_TYPE, delta->source_type, entry->type_length) ||
			 !is_text(row, CT_ARG_SOURCE_NAME, delta->source_name, entry->name_length))
		add_source(deltas, entry,
				   row->isnull[CT_ARG_SOURCE_TYPE] ? NULL : TextDatumGetCString(row->value[CT_ARG_SOURCE_TYPE]),
				   row->isnull[CT_ARG_SOURCE_NAME] ? NULL : TextDatumGetCString(row->value[CT_ARG_SOURCE_NAME]));
}

/*
 * Add all that is noted in one place to another one.
 */
void
ct_deltas_merge(CtDeltas *into, const CtDeltas *from)
{
	for (CtDeltaEntry *old = ct_delta_newest(from); old != NULL; old = ct_delta_older(old))
	{
		CtDeltaEntry *entry = ct_delta_add_counts(into, &old->delta);

		ct_delta_add_promotions(into, entry, old->delta.promotions, old->delta.npromotions);
		entry->delta.dropped += old->delta.dropped;
		if (old->delta.dropped > 0)
			entry->delta.total = old->delta.total;
		if (old->source_known)
			add_source(into, entry, old->delta.source_type, old->delta.source_name);
	}
}

/*
 * Rows that were promoted have been written again: note where they are now.
 */
void
ct_deltas_follow(CtDeltas *deltas, const CtSecondWrites *mending)
{
	for (CtDeltaEntry *entry = ct_delta_newest(deltas); entry != NULL; entry = ct_delta_older(entry))
		for (int64 i = 0; i < entry->delta.npromotions; i++)
		{
			CtPromotion *promotion = &entry->delta.promotions[i];

			if (promotion->mending >= 0)
				promotion->tid = ct_second_write_place(mending, promotion->mending);
			/* the number is one of this queue, and the frame may get another */
			promotion->mending = -1;
		}
}

static bool
is_empty(const CtDelta *delta)
{
	return delta->promoted == 0 && delta->demoted == 0 && delta->pending == 0 &&
		delta->flagged == 0 && delta->created == 0 && delta->deleted == 0 && delta->dropped == 0;
}

static int
compare_deltas(const void *a, const void *b, void *table)
{
	return ct_account_compare(table, ((const CtDelta *) a)->account, ((const CtDelta *) b)->account);
}

/*
 * All changes that are any, in ascending order of the accounts.  What does not fit goes to
 * "drops".
 */
CtDelta *
ct_deltas_sort(CtDeltas *deltas, CtDrops *drops, int *ndeltas)
{
	CtDelta    *sorted = MemoryContextAllocHuge(deltas->context,
												sizeof(CtDelta) * Max(ct_account_count(deltas->map), 1));

	*ndeltas = 0;
	for (CtDeltaEntry *entry = ct_delta_newest(deltas); entry != NULL; entry = ct_delta_older(entry))
	{
		if (is_empty(&entry->delta))
			continue;
		entry->delta.drops = drops;
		sorted[(*ndeltas)++] = entry->delta;
	}
	qsort_arg(sorted, *ndeltas, sizeof(CtDelta), compare_deltas, unconstify(CtTable *, deltas->table));
	return sorted;
}
