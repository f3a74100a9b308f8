/*-------------------------------------------------------------------------
 *
 * eligible.c
 *	  Contacts that may not be promoted: what the condition of a table makes of a status (rule
 *	  P3).
 *
 * The rows have been judged by ct_row_judge() or ct_row_judge_change().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/lsyscache.h"

#include "capture/capture.h"

/* Does the change of a row promote it?  So it does if it counted as deleted before (P2). */
static bool
promotes(const CtTable *table, const CtRow *old, const CtRow *row)
{
	return old == NULL || !ct_row_status(table, old).marketing || (old->is_absent && !row->is_absent);
}

/*
 * Does a contact that is not eligible come back, from one that counted as deleted?  Then it is a
 * non-marketing contact at once, since it was not counted.
 */
bool
ct_may_not_return(const CtRow *old, const CtRow *row)
{
	return old->is_absent && !row->is_absent && row->is_ineligible;
}

/* 23514: the row, and not the tier, is the reason */
pg_noreturn static void
ineligible_error(const CtTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("contact of table \"%s\" is not eligible to be a marketing contact", get_rel_name(table->relid)),
			 errdetail("The condition \"eligible\" of the table is not true for it."),
			 errhint("Leave the contact non-marketing, or set the condition with on_ineligible => 'keep'."),
			 err_generic_string(PG_DIAG_SCHEMA_NAME, get_namespace_name(get_rel_namespace(table->relid))),
			 err_generic_string(PG_DIAG_TABLE_NAME, get_rel_name(table->relid)),
			 err_generic_string(PG_DIAG_CONSTRAINT_NAME, "contact_tier")));
}

/*
 * The status that a row gets which the other rules would give this one; "old" is NULL for a new
 * row.  One that is not eligible is not promoted, and "stated" promotions are refused, if
 * that was chosen: 23514.  A marketing contact that ceases to be eligible is flagged, and one that
 * is flagged already stays so.
 */
CtStatus
ct_eligible_status(const CtTable *table, const CtRow *old, const CtRow *row, CtStatus status, bool stated)
{
	if (!row->is_ineligible || !status.marketing)
		return status;
	if (promotes(table, old, row))
	{
		if (stated && table->refuses_ineligible)
			ineligible_error(table);
		return (CtStatus)
		{
			.given = true
		};
	}
	if (!old->is_ineligible || ct_row_status(table, old).until_next_update)
		status.until_next_update = true;
	return status;
}

/*
 * Has a row that was written a status that it cannot have?
 */
bool
ct_breaks_eligibility(const CtTable *table, const CtRow *old, const CtRow *row)
{
	CtStatus	status = ct_row_status(table, row);

	return row->is_ineligible && !ct_status_equal(ct_eligible_status(table, old, row, status, true), status) &&
		status.given;
}
