/*-------------------------------------------------------------------------
 *
 * room.c
 *	  Is there room for a contact that has not been written yet?
 *
 * For what can be decided early (src/README, "Early decisions").  It depends on what this
 * backend remembers of a slot, on a look at the account, which does not wait, and on what
 * the statement has promoted so far.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/timestamp.h"

#include "capture/capture.h"

/* Is nothing to be announced, so that a contact that does not fit announces nothing? */
static bool
is_announced(const CtAccountLook *look, const CtExact *exact)
{
	CtThresholds thresholds = {
		.limit = look->contact_limit,.count = look->nthresholds,.percent = look->thresholds
	};

	return ct_thresholds_are_announced(&thresholds, look->announced, exact->used, exact->lowest);
}

/*
 * How many more marketing contacts an account has room for, if that is known without a wait:
 * no slot of it is locked by others, no update date is overdue, and no threshold is to be
 * announced.  Under "upgrade", and where source types have policies of their own (T8), it is not known.
 *
 * Locks only the companion tables: other transactions may claim the room right afterwards, or
 * make some.
 */
static CtRoom
look_for_room(const CtTable *table, Datum account)
{
	CtRoom		room = {0};
	CtAccountLook look;
	CtExact		exact;
	CtIdentity	identity;

	ct_act_as_owner(table->owner, &identity);
	if (ct_counter_look(table, account, &exact) &&
		ct_account_look(table, account, &look, true) &&
		look.has_subscription && !look.has_source_policies && look.next_update_at > ct_now() && is_announced(&look, &exact))
	{
		const char *policy = ct_enum_label(look.on_exceed);

		room.caps = strcmp(policy, "cap") == 0;
		room.total = exact.used;
		room.is_known = room.caps || strcmp(policy, "block") == 0;
		room.room = ct_most_contacts(look.contact_limit, look.grace) - room.total;
	}
	ct_restore_identity(&identity);
	return room;
}

/*
 * Does one more marketing contact of an account surely not fit, so that it can be stored as
 * a non-marketing contact at once?  "by_default": only a default would make it one.  The
 * statement at work releases no place of the account, so it would be among the last ones
 * that are dropped at its end.
 *
 * This is called for each promotion of a statement.  The room of the slot that was claimed in
 * last, and else a look at the account, answers for many of them; the look is repeated when
 * another command has run.
 *
 * Locks: the companion tables, no row.  Errors: those of ct_open_companion().
 */
bool
ct_is_full(const CtTable *table, Datum account, bool by_default, CtCounting counting)
{
	CtFrame    *frame = ct_frame(table);
	CtDeltaEntry *entry = ct_delta_entry(&frame->deltas, account);
	int64		wanted = entry->delta.marketing + entry->ahead + 1;
	bool		full = false;

	if (wanted > entry->enough)
		entry->enough = ct_counter_last_room(table, account);
	if (wanted > entry->enough)
	{
		CommandId	command = GetCurrentCommandId(false);

		if (!entry->is_seen || entry->seen_by != command)
			entry->room = look_for_room(table, account);
		entry->is_seen = true;
		entry->seen_by = command;
		if (!entry->room.is_known)
			entry->enough = PG_INT64_MAX;
		full = entry->room.is_known && wanted > entry->room.room &&
			(entry->room.caps || by_default) && !ct_frame_can_borrow(frame, account);
		entry->delta.total = entry->room.total;
	}
	if (!full && counting == CT_COUNTED_LATER)
		entry->ahead++;
	return full;
}
