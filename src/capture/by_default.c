/*-------------------------------------------------------------------------
 *
 * by_default.c
 *	  Which new marketing contacts only a default made (rule S4).
 *
 * Where AFTER triggers count, all rows of a statement are proposed before the first one is
 * counted, and only the BEFORE trigger knows what was given.  So it notes the rows that a
 * default makes marketing contacts, by what they look like.  Where a row is counted before
 * the next one is proposed, the statement remembers it (CtDecision), and nothing is
 * noted here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "capture/capture.h"

/* New rows that look alike, of which only a default made marketing contacts */
typedef struct AlikeEntry
{
	uint32		image;			/* hash of the row */
	int			count;
	char		status;			/* of simplehash */
} AlikeEntry;

#define SH_PREFIX			alike
#define SH_ELEMENT_TYPE		AlikeEntry
#define SH_KEY_TYPE			uint32
#define SH_KEY				image
#define SH_HASH_KEY(tb, key)	(key)
#define SH_EQUAL(tb, a, b)	((a) == (b))
#define SH_SCOPE			static inline
#define SH_DEFINE
#define SH_DECLARE
#include "lib/simplehash.h"

/*
 * Note that a new row is going to be a marketing contact, as the BEFORE trigger made
 * it: "by_default" if no status was given.  Only that trigger knows.  The AFTER trigger calls
 * ct_notes_is_by_default() with the image of the row; "image" is 0 if not by default.
 */
void
ct_notes_before_insert(const CtTable *table, bool by_default, uint32 image)
{
	CtFrame    *frame = ct_frame(table);
	AlikeEntry *entry;
	bool		found;

	frame->inserts++;
	if (!by_default)
		return;
	frame->by_default++;
	if (frame->alike == NULL)
		frame->alike = alike_create(frame->context, 16, NULL);
	entry = alike_insert(frame->alike, image, &found);
	entry->count = found ? entry->count + 1 : 1;
}

/*
 * Is the image of a row needed to tell whether it was noted as one by default?  The caller
 * spares itself the hash if not.
 */
bool
ct_notes_need_image(const CtTable *table)
{
	CtFrame    *frame = ct_frame(table);

	return frame->by_default > 0 && frame->by_default < frame->inserts;
}

/*
 * Did only a default make a row that has been inserted a marketing contact?  If all rows of
 * the statement came with a status, or none did, that is clear.  Else the rows with the same
 * image tell: two rows that are the same need not be told apart.
 */
bool
ct_notes_is_by_default(const CtTable *table, uint32 image)
{
	CtFrame    *frame = ct_frame(table);
	AlikeEntry *entry;

	if (frame->by_default == 0 || frame->by_default == frame->inserts)
		return frame->by_default > 0;
	entry = alike_lookup(frame->alike, image);
	if (entry == NULL || entry->count == 0)
		return false;
	entry->count--;
	return true;
}
