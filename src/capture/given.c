/*-------------------------------------------------------------------------
 *
 * given.c
 *	  What an INSERT has given of the row that it proposed last, for its ON CONFLICT DO UPDATE.
 *
 * The status trigger, or the projection in its place, notes it in the statement at work; the
 * executor asks where EXCLUDED was replaced (on_conflict.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "capture/capture.h"

PG_FUNCTION_INFO_V1(contacts_tier_is_given);
PG_FUNCTION_INFO_V1(contacts_tier_given_flag);
PG_FUNCTION_INFO_V1(contacts_tier_given_marketing);

/*
 * is_given(property integer, is_set boolean) boolean: was the row that an INSERT has
 * proposed last given this property?  "is_set": it is the new value of the flag, which stays
 * as it is if it was not given.  See on_conflict.c.
 */
Datum
contacts_tier_is_given(PG_FUNCTION_ARGS)
{
	int32		property = PG_GETARG_INT32(0);
	bool		given = property >= CT_ARG_STATUS && property < CT_COLUMNS_END &&
		(ct_statement()->given & (1 << property)) != 0;

	if (!given && PG_GETARG_BOOL(1))
		ct_statement()->leaves_flag = true;
	PG_RETURN_BOOL(given);
}

/*
 * given_flag() boolean: the flag that this row was given, which a non-marketing contact has
 * lost
 */
Datum
contacts_tier_given_flag(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(ct_statement()->given_flag);
}

/*
 * given_marketing() boolean: was it given the status "marketing", which one that is not eligible
 * has lost (P3)?
 */
Datum
contacts_tier_given_marketing(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(ct_statement()->given_marketing);
}
