/*-------------------------------------------------------------------------
 *
 * status.c
 *	  The status rules (rules S1 to S4): pure functions of the old row, the new row
 *	  and what the statement sets.  And the one place that knows how the status column
 *	  stores a status: as an enum, or as a boolean of the application's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "contact/contact.h"

/* A status that is not NULL. */
static CtStatus
create_status(bool marketing, bool until_next_update)
{
	CtStatus	status = {.given = true,.marketing = marketing,.until_next_update = until_next_update};

	return status;
}

/*
 * Do two contacts have the same status and flag?  A NULL status, which only
 * rows written behind the triggers have, equals nothing, so it gets mended.
 */
bool
ct_status_equal(CtStatus a, CtStatus b)
{
	return a.given && b.given &&
		a.marketing == b.marketing &&
		a.until_next_update == b.until_next_update;
}

/*
 * Status of a new contact.  A given status counts, otherwise the default of
 * the source type (S4); the flag is legal only on a marketing contact (S3).
 */
CtStatus
ct_status_on_insert(CtStatus row, bool default_marketing)
{
	bool		marketing = row.given ? row.marketing : default_marketing;

	return create_status(marketing, marketing && row.until_next_update);
}

/*
 * Status of a changed contact: "old" as it stands, "row" as the statement and
 * the application's own triggers want it.  sets_status and sets_until say
 * whether the statement names these columns in its SET list: setting
 * "marketing" on a flagged contact removes the flag (S1), while carrying the
 * same value along does not.
 */
CtStatus
ct_status_on_update(CtStatus old, CtStatus row, bool sets_status, bool sets_until)
{
	bool		was_marketing = old.given && old.marketing;

	if (!row.given)
		row.marketing = was_marketing;

	if (!row.marketing)
	{
		/* S2: only a marketing contact has something to lose, and not yet */
		return create_status(was_marketing, was_marketing);
	}

	if (sets_status && row.given && !sets_until)
		return create_status(true, false);	/* S1 */

	return create_status(true, row.until_next_update);
}

/*
 * The value that the status column has for a marketing contact, or for another one.
 */
Datum
ct_status_datum(const CtStatusType *type, bool marketing)
{
	if (type->is_boolean)
		return BoolGetDatum(marketing);
	return ObjectIdGetDatum(marketing ? type->marketing : type->non_marketing);
}

/*
 * The same as it is written in a statement, whatever the search_path.
 */
const char *
ct_status_literal(const CtStatusType *type, bool marketing)
{
	if (type->is_boolean)
		return marketing ? "true" : "false";
	return marketing ? "'marketing'::contacts_tier.marketing_status" :
		"'non_marketing'::contacts_tier.marketing_status";
}

/*
 * The condition that selects marketing contacts, NULL where the status is.  "column" is the
 * status column as in a statement.
 */
char *
ct_status_condition(const CtStatusType *type, const char *column)
{
	if (type->is_boolean)
		return pstrdup(column);
	return psprintf("%s OPERATOR(pg_catalog.=) %s", column, ct_status_literal(type, true));
}
