/*-------------------------------------------------------------------------
 *
 * room.c
 *	  Is there room for a contact that has not been written yet?
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "capture/capture.h"

/*
 * How many more marketing contacts an account has room for, if that can be told without
 * waiting, and not with regard to others who are at work: nobody holds a slot of it, no
 * update date is overdue, and no threshold is to be announced.  Where the tier may grow
 * nothing is told.
 *
 * Takes no lock but on the companion tables: somebody else may claim the room meanwhile, or
 * make some.
 */
CtRoom
ct_look_for_room(const CtTable *table, Datum account)
{
	CtRoom		room = {0};
	CtAccountLook look;
	CtIdentity	identity;

	ct_act_as_owner(table->owner, &identity);
	if (ct_counter_look(table, account, &room.total) &&
		ct_account_look(table, account, &look, true) == CT_ACCOUNT_FOUND &&
		look.has_subscription && look.next_update_at > ct_now() && ct_limit_is_announced(&look, room.total))
	{
		const char *policy = ct_enum_label(look.on_exceed);

		room.caps = strcmp(policy, "cap") == 0;
		room.is_known = room.caps || strcmp(policy, "block") == 0;
		room.room = look.contact_limit - room.total +
			Min(look.grace, PG_INT64_MAX - look.contact_limit);
	}
	ct_restore_identity(&identity);
	return room;
}
