/*-------------------------------------------------------------------------
 *
 * triggers.c
 *	  The private description of the triggers of a relation in a statement.
 *
 * InitResultRelInfo() copies the description that the relation cache holds, by
 * CopyTriggerDesc(), so each statement has one of its own, which it goes by until it
 * ends.  Without triggers of ours in that copy, the statement runs as if they were
 * not there; no other statement sees it, and a trigger that is created later is not in it.  The
 * cache's own description is never changed (R4).
 *
 * What makes it sound:
 *
 *	 If a release shared the description of the cache instead, a change would be seen by
 *	 others, and undone by any rebuild.  So ct_triggers_are_private() compares the two, and
 *	 where they are the same nothing is changed.
 *
 *	 ExecBRInsertTriggers() and the like, and AfterTriggerSaveEvent(), look for triggers of an
 *	 event by TRIGGER_TYPE_MATCHES() on tgtype; without the bit of the event, a trigger is not
 *	 one of it.  The executor looks at the flags of the description first, which
 *	 SetTriggerFlags() sets, so set_flags() sets them anew.  A release with further flags
 *	 would leave these set, and costs time; one that went by other fields than tgtype would
 *	 fire the trigger.
 *
 *	 AfterTriggerExecute() finds the trigger of an event by its OID.  ri_TrigFunctions,
 *	 ri_TrigWhenExprs and ri_TrigInstrument go by the number of a trigger, so triggers may
 *	 change their order only before something is in these.
 *
 *	 AfterTriggerSaveEvent() copies tgdeferrable and tginitdeferred into the event, and
 *	 afterTriggerCheckState() does not defer an event that is not deferrable, whatever SET
 *	 CONSTRAINTS says.
 *
 * This is the only file that changes a description.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_trigger.h"
#include "executor/executor.h"

#include "contact/contact.h"

/*
 * Does the statement have a description of its own, and is there one at all?  Only such a
 * one may be changed.
 */
bool
ct_triggers_are_private(const ResultRelInfo *relinfo)
{
	return relinfo->ri_TrigDesc != NULL && relinfo->ri_TrigDesc != relinfo->ri_RelationDesc->trigdesc;
}

/*
 * Tell the executor which kinds of triggers there are for some events, as SetTriggerFlags()
 * does.
 */
static void
set_flags(TriggerDesc *triggers, int16 events)
{
#define FLAG(name)	offsetof(TriggerDesc, trig_ ## name)
	static const struct
	{
		size_t		flag;
		int16		event;
		int16		kind;		/* timing and level */
	}			kinds[] = {
		{FLAG(insert_before_row), TRIGGER_TYPE_INSERT, TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_ROW},
		{FLAG(insert_after_row), TRIGGER_TYPE_INSERT, TRIGGER_TYPE_AFTER | TRIGGER_TYPE_ROW},
		{FLAG(insert_before_statement), TRIGGER_TYPE_INSERT, TRIGGER_TYPE_BEFORE},
		{FLAG(insert_after_statement), TRIGGER_TYPE_INSERT, TRIGGER_TYPE_AFTER},
		{FLAG(update_before_row), TRIGGER_TYPE_UPDATE, TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_ROW},
		{FLAG(update_after_row), TRIGGER_TYPE_UPDATE, TRIGGER_TYPE_AFTER | TRIGGER_TYPE_ROW},
		{FLAG(update_before_statement), TRIGGER_TYPE_UPDATE, TRIGGER_TYPE_BEFORE},
		{FLAG(update_after_statement), TRIGGER_TYPE_UPDATE, TRIGGER_TYPE_AFTER},
		{FLAG(delete_before_row), TRIGGER_TYPE_DELETE, TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_ROW},
		{FLAG(delete_after_row), TRIGGER_TYPE_DELETE, TRIGGER_TYPE_AFTER | TRIGGER_TYPE_ROW},
		{FLAG(delete_before_statement), TRIGGER_TYPE_DELETE, TRIGGER_TYPE_BEFORE},
		{FLAG(delete_after_statement), TRIGGER_TYPE_DELETE, TRIGGER_TYPE_AFTER}
	};
#undef FLAG

	int16		present[1 + (TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_ROW)] = {0};	/* events, by kind */

	/* INSTEAD OF triggers are those of views */
	for (int i = 0; i < triggers->numtriggers; i++)
		present[triggers->triggers[i].tgtype & (TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_ROW)] |= triggers->triggers[i].tgtype;
	for (size_t k = 0; k < lengthof(kinds); k++)
		if ((kinds[k].event & events) != 0)
			*(bool *) ((char *) triggers + kinds[k].flag) = (present[kinds[k].kind] & kinds[k].event) != 0;
}

/* When triggers of ours fire, as attach() created them, by CtFunction */
static const int16 types_of_kinds[] = {
	[CT_TRIGGER_STATUS] = TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_ROW,
	[CT_TRIGGER_COUNT] = TRIGGER_TYPE_AFTER | TRIGGER_TYPE_ROW,
	[CT_TRIGGER_APPLY] = TRIGGER_TYPE_AFTER
};

/* Is a trigger one of ours of these kinds, and fired as attach() created it? */
static bool
is_one_of(const Trigger *trigger, int kinds)
{
	int16		type = trigger->tgtype & (TRIGGER_TYPE_TIMING_MASK | TRIGGER_TYPE_ROW);
	CtFunction	function = ct_function(trigger->tgfoid);

	return (kinds & (1 << function)) != 0 && type == types_of_kinds[function];
}

/*
 * Remove triggers of ours from some events, a set of TRIGGER_TYPE_ bits.  "kinds" is a set of bits
 * too, of CT_REMOVE_ names.  The description must be private.
 */
void
ct_remove_triggers(ResultRelInfo *relinfo, int kinds, int16 events)
{
	TriggerDesc *triggers = relinfo->ri_TrigDesc;

	Assert(ct_triggers_are_private(relinfo));
	for (int i = 0; i < triggers->numtriggers; i++)
		if ((triggers->triggers[i].tgtype & events) != 0 && is_one_of(&triggers->triggers[i], kinds))
			triggers->triggers[i].tgtype &= ~events;
	set_flags(triggers, events);
}

/*
 * Does the row that is about to be updated fire what fires after rows?  The description must be
 * private.  ExecARUpdateTriggers() asks for each row.
 */
void
ct_fire_after_update(ResultRelInfo *relinfo, bool fires)
{
	relinfo->ri_TrigDesc->trig_update_after_row = fires;
}

/* Does a trigger fire, without a condition that somebody has given it? */
static bool
is_plain(const Trigger *trigger)
{
	return trigger->tgqual == NULL && ct_fires(trigger);
}

/*
 * What triggers a description has for an event, one of TRIGGER_TYPE_INSERT,
 * TRIGGER_TYPE_UPDATE and TRIGGER_TYPE_DELETE; NULL for none.  It must not be the relation
 * cache's own: a look-up of a function may rebuild that, and the result points into it.
 */
CtTriggers
ct_judge_triggers(TriggerDesc *triggers, int16 event)
{
	CtTriggers	result = {.is_sole = true,.is_alone = true};
	int			nstatus = 0;
	int			ncount = 0;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];
		int16		kind = trigger->tgtype & (TRIGGER_TYPE_TIMING_MASK | TRIGGER_TYPE_ROW);
		CtFunction	function;

		if ((kind & TRIGGER_TYPE_ROW) == 0)
			continue;
		function = ct_function(trigger->tgfoid);
		if (kind == types_of_kinds[CT_TRIGGER_STATUS] && function == CT_TRIGGER_STATUS)
		{
			nstatus++;
			result.status = ct_right_args(trigger->tgnargs) ? trigger : NULL;
			result.has_plain_status = (trigger->tgtype & event) != 0 && is_plain(trigger);
		}
		else if (kind == types_of_kinds[CT_TRIGGER_COUNT] && function == CT_TRIGGER_COUNT)
		{
			ncount++;
			result.count = ct_right_args(trigger->tgnargs) && is_plain(trigger) ? trigger : NULL;
		}
		else if ((trigger->tgtype & event) == 0 || function == CT_TRIGGER_EXISTS || function == CT_TRIGGER_ELIGIBLE)
			continue;			/* those never fire */
		else if ((kind & TRIGGER_TYPE_BEFORE) != 0)
			result.is_sole = false;
		else if (kind == (TRIGGER_TYPE_AFTER | TRIGGER_TYPE_ROW))
		{
			result.is_alone = false;
			result.has_followers |= !trigger->tgisinternal;
		}
	}
	/* a second one is somebody's forgery: row by row each is told what it is */
	if (result.status == NULL || nstatus > 1 || ncount > 1)
		return (CtTriggers)
	{
		.has_followers = true
	};
	return result;
}

/* The status trigger comes last, to have the last word about a row. */
static void
move_status_trigger_last(TriggerDesc *triggers)
{
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger		trigger = triggers->triggers[i];

		if (!is_one_of(&trigger, CT_REMOVE_STATUS))
			continue;
		memmove(&triggers->triggers[i], &triggers->triggers[i + 1],
				sizeof(Trigger) * (triggers->numtriggers - i - 1));
		triggers->triggers[triggers->numtriggers - 1] = trigger;
		return;
	}
}

/*
 * For a relation that is written a second time: of our triggers only the status trigger
 * fires, after all others.  To be called before anything fires, while the arrays beside the
 * description are still empty.
 */
void
ct_triggers_for_second_write(ResultRelInfo *relinfo)
{
	if (!ct_triggers_are_private(relinfo))
		return;
	ct_remove_triggers(relinfo, CT_REMOVE_COUNT | CT_REMOVE_APPLY,
					   TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE);
	move_status_trigger_last(relinfo->ri_TrigDesc);
}

/*
 * Where a statement acts as an owner because of us, have what it fires fire at its end,
 * deferred triggers as well (R3).  To be called before it has written a row.  When the
 * transaction ends the search_path is the caller's, and so is the role, or from PostgreSQL
 * 18 on it is the owner's still.  Foreign
 * keys may be deferred: what they run qualifies everything.
 */
void
ct_fire_at_once(EState *estate)
{
	ListCell   *cell;

	if (!ct_acts_as_owner())
		return;
	foreach(cell, estate->es_opened_result_relations)
	{
		const ResultRelInfo *relinfo = lfirst(cell);

		if (!ct_triggers_are_private(relinfo))
			continue;
		for (int i = 0; i < relinfo->ri_TrigDesc->numtriggers; i++)
		{
			Trigger    *trigger = &relinfo->ri_TrigDesc->triggers[i];

			if (RI_FKey_trigger_type(trigger->tgfoid) != RI_TRIGGER_NONE)
				continue;
			trigger->tgdeferrable = false;
			trigger->tginitdeferred = false;
		}
	}
}
