/*-------------------------------------------------------------------------
 *
 * trigger_status.c
 *	  The row trigger that decides the status properties of a contact.
 *
 * Its name makes it the last of the BEFORE triggers, so that it sees the result of the
 * application's triggers.  If one fires even later and changes the row, the row is mended
 * (trigger_count.c).  In a second write it fires after all of them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "capture/capture.h"

/* Is a new contact without a status a marketing contact by default? */
static bool
defaults_to_marketing(const CtTable *table, const CtRow *row)
{
	return !row->isnull[CT_ARG_ACCOUNT] &&
		ct_source_default(table, row->value[CT_ARG_ACCOUNT],
						  TextDatumGetCString(row->value[CT_ARG_SOURCE_TYPE]), ct_statement());
}

/*
 * Complete the status properties of a new row.  Those that it was given stay; an import may
 * give the time, too.  *by_default: it was given no status.
 */
static void
complete_new(const CtTable *table, CtRow *row, bool *by_default)
{
	CtStatus	status = ct_row_status(table, row);
	bool		default_marketing;

	ct_row_complete_source(row);
	*by_default = !status.given;
	default_marketing = !status.given && defaults_to_marketing(table, row);
	ct_row_set_status(table, row, ct_eligible_status(table, NULL, row, ct_status_on_insert(status, default_marketing),
													 status.given));
	/* no time in the future, or a flag would outlive its update date */
	if (row->isnull[CT_ARG_UPDATED_AT] || DatumGetTimestampTz(row->value[CT_ARG_UPDATED_AT]) > ct_now())
		ct_row_set_time(row);
}

/*
 * Does a contact that is to become a marketing contact of its account surely not fit?  This is
 * known before it is written only if the statement releases no room, and the row is written
 * as it is now.  One that counts as deleted needs no room.
 */
static bool
is_dropped(const CtTable *table, const CtRow *row, bool by_default, CtCounting counting)
{
	return counting != CT_COUNTED_MAYBE && !row->is_absent && !row->isnull[CT_ARG_ACCOUNT] && ct_only_adds(ct_statement()) &&
		ct_is_full(table, row->value[CT_ARG_ACCOUNT], by_default, counting);
}

/* Which properties was a new row given?  A bit for each. */
static unsigned int
given_properties(const CtRow *row)
{
	unsigned int given = 0;

	for (int i = CT_ARG_STATUS; i < CT_COLUMNS_END; i++)
		if (!(i == CT_ARG_SOURCE_TYPE || i == CT_ARG_SOURCE_NAME ? ct_row_lacks(row, i) : row->isnull[i]))
			given |= 1 << i;
	return given;
}

/*
 * Decide the status properties of a new row, in place; the statement and the triggers before
 * ours have set it.  Returns whether *row was changed.  The statement at work knows afterwards
 * what was given, and what was decided.
 *
 * Locks and errors: those of ct_is_full() and ct_source_default().
 */
bool
ct_row_insert(const CtTable *table, CtRow *row, CtCounting counting)
{
	static const CtStatus non_marketing = {.given = true};
	bool		complete = ct_row_is_complete(table, row) && !ct_breaks_eligibility(table, NULL, row);
	CtStatement *statement = ct_statement();
	CtDecision *decision = &statement->decision;

	statement->given = given_properties(row);
	statement->given_marketing = ct_row_status(table, row).given && ct_row_status(table, row).marketing;
	statement->given_flag = !row->isnull[CT_ARG_UNTIL] && DatumGetBool(row->value[CT_ARG_UNTIL]);
	statement->leaves_flag = false;
	decision->by_default = false;
	if (!complete)
		complete_new(table, row, &decision->by_default);
	decision->dropped = ct_row_status(table, row).marketing &&
		is_dropped(table, row, decision->by_default, counting);
	if (decision->dropped)
		ct_row_set_status(table, row, non_marketing);
	statement->is_marketing = ct_row_status(table, row).marketing;
	statement->proposed_relid = table->relid;
	statement->proposed_command = GetCurrentCommandId(false);
	return !complete || decision->dropped;
}

/* Remember which contact an UPDATE has come to last, in a partition; see is_moving(). */
static void
note_moving(TriggerData *trigdata, const CtRow *old)
{
	CtStatement *statement = ct_statement();

	statement->moving_relid = InvalidOid;
	if (!trigdata->tg_relation->rd_rel->relispartition ||
		trigdata->tg_relation->rd_rel->relkind != RELKIND_RELATION)
		return;
	statement->moving_relid = RelationGetRelid(trigdata->tg_relation);
	statement->moving_place = old->tid;
	statement->moving_command = GetCurrentCommandId(false);
}

/* Is the version at this place one that an UPDATE has moved to another partition? */
static bool
has_moved(Oid relid, ItemPointer place)
{
	Relation	rel = try_table_open(relid, AccessShareLock);
	TupleTableSlot *version;
	bool		moved = false;

	if (rel == NULL)
		return false;
	version = table_slot_create(rel, NULL);
	if (table_tuple_fetch_row_version(rel, place, SnapshotAny, version))
		moved = ct_is_moved(version);
	ExecDropSingleTupleTableSlot(version);
	table_close(rel, NoLock);
	return moved;
}

/*
 * Is a new row of a partition the contact that the statement has updated last, moved out
 * of another partition?  Its properties are as they are to be (S7).  ExecUpdate() has
 * ended its old version before it inserts it, and marked it.
 */
static bool
is_moving(TriggerData *trigdata)
{
	CtStatement *statement = ct_statement();
	Oid			from = statement->moving_relid;

	if (!OidIsValid(from) || !trigdata->tg_relation->rd_rel->relispartition ||
		statement->moving_command != GetCurrentCommandId(false) ||
		!has_moved(from, &statement->moving_place))
		return false;
	statement->moving_relid = InvalidOid;
	return true;
}

/*
 * Note which new rows are marketing contacts, and which of them only by default: these need
 * not be, if they do not fit (S4).
 */
static void
note_insert(const CtTable *table, Relation rel, HeapTuple tuple, const CtRow *row, bool by_default)
{
	if (ct_row_status(table, row).marketing)
		ct_notes_before_insert(table, by_default, by_default ? ct_tuple_image(rel, tuple) : 0);
}

/*
 * A row that has been decided is counted later, by the AFTER trigger, if ours is the last
 * BEFORE trigger: then the row is written as decided.  Other BEFORE triggers may move the
 * contacts of an UPDATE to another account, and AFTER triggers may make room: then only the
 * row of a statement that writes one can be decided before all have been seen.
 */
static CtCounting
judge_counting(TriggerData *trigdata, bool is_insert)
{
	/* a copy, for a look-up may rebuild the relation cache entry */
	TriggerDesc *triggers = CopyTriggerDesc(trigdata->tg_relation->trigdesc);
	int16		event = is_insert ? TRIGGER_TYPE_INSERT : TRIGGER_TYPE_UPDATE;
	CtTriggers	judged = ct_judge_triggers(triggers, event);
	bool		last = false;

	for (int i = 0; i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		if (trigger->tgoid == trigdata->tg_trigger->tgoid)
			last = true;
		else if (TRIGGER_TYPE_MATCHES(trigger->tgtype, TRIGGER_TYPE_ROW, TRIGGER_TYPE_BEFORE, event))
			last = false;
	}
	return last && (((is_insert || judged.is_sole) && !judged.has_followers) || ct_writes_one_row(ct_statement())) ?
		CT_COUNTED_LATER : CT_COUNTED_MAYBE;
}

/* The same, judged once for rows of a statement in a relation. */
static CtCounting
when_counted(TriggerData *trigdata)
{
	CtStatement *statement = ct_statement();
	bool		is_insert = TRIGGER_FIRED_BY_INSERT(trigdata->tg_event);
	Oid			relid = RelationGetRelid(trigdata->tg_relation);

	if (statement->key == NULL)
		return CT_COUNTED_MAYBE;
	if (statement->judged_relid != relid || statement->judged_insert != is_insert)
	{
		statement->counting = judge_counting(trigdata, is_insert);
		statement->judged_relid = relid;
		statement->judged_insert = is_insert;
	}
	return statement->counting;
}

/* Count a contact that was dropped early; the AFTER trigger would not know. */
static void
note_dropped(const CtTable *table, const CtRow *row)
{
	CtDecision *decision = &ct_statement()->decision;

	if (decision->dropped)
		ct_notes_dropped(table, row->value[CT_ARG_ACCOUNT]);
	decision->dropped = false;
}

/* The row that is inserted, as it is to be */
static HeapTuple
insert_contact(const CtTable *table, TriggerData *trigdata)
{
	Relation	rel = trigdata->tg_relation;
	HeapTuple	tuple = trigdata->tg_trigtuple;
	CtRow		row;

	if (is_moving(trigdata))
		return tuple;
	ct_row_read(table, trigdata->tg_trigslot, &row);
	ct_row_judge(table, trigdata->tg_trigslot, &row);
	if (ct_row_insert(table, &row, when_counted(trigdata)))
		tuple = ct_row_write(table, rel, tuple, &row);
	note_insert(table, rel, tuple, &row, ct_statement()->decision.by_default);
	note_dropped(table, &row);
	return tuple;
}

/* Does a statement name the column of a property, or the account? */
static bool
is_set(const CtTable *table, CtTriggerArg which, const Bitmapset *sets)
{
	return bms_is_member(table->attno[which] - FirstLowInvalidHeapAttributeNumber, sets);
}

/* The same for the account, which a table need not have */
static bool
names_account(const CtTable *table, const Bitmapset *sets)
{
	return AttributeNumberIsValid(table->attno[CT_ARG_ACCOUNT]) && is_set(table, CT_ARG_ACCOUNT, sets);
}

/* Does a statement set the status?  Where whole rows are saved, not if it is what it was (S8). */
static bool
sets_status(const CtTable *table, const CtRow *old, const CtRow *row, const Bitmapset *sets)
{
	return is_set(table, CT_ARG_STATUS, sets) &&
		!(table->whole_row_saves && ct_row_same_column(old, row, CT_ARG_STATUS));
}

/*
 * The source of a change by an UPDATE (S5).  Another value than that of the old row stays; the
 * same, if it was set, gives way to a setting, and was not given where whole rows are saved (S8).
 * For one that was not given, the setting or the session's role is used.
 */
static void
change_source(const CtTable *table, const CtRow *old, CtRow *row, CtTriggerArg which,
			  const Bitmapset *sets)
{
	if (ct_row_lacks(row, which))
		ct_row_set_source(row, which);
	else if (ct_row_same_column(old, row, which) &&
			 (table->whole_row_saves || !is_set(table, which, sets) || ct_source_is_set(which)))
		ct_row_set_source(row, which);
}

/*
 * The status properties that a changed row gets where the status or the flag may
 * change.  "sets" are the columns that the statement names.  The properties stay as
 * they were where neither status nor flag changes (S5).
 */
static void
change_row(const CtTable *table, const CtRow *old, CtRow *row, const Bitmapset *sets)
{
	CtStatus	old_status = ct_row_status(table, old);
	CtStatus	status = ct_status_on_update(old_status, ct_row_status(table, row),
											 sets_status(table, old, row, sets),
											 is_set(table, CT_ARG_UNTIL, sets));

	status = ct_eligible_status(table, old, row, status, true);
	if (ct_status_equal(old_status, status))
		ct_row_copy_properties(row, old);
	else
	{
		change_source(table, old, row, CT_ARG_SOURCE_TYPE, sets);
		change_source(table, old, row, CT_ARG_SOURCE_NAME, sets);
		ct_row_set_time(row);
	}
	ct_row_set_status(table, row, status);
}

/*
 * Decide the status properties of a changed row, in place; the statement and the triggers
 * before ours have set it.  "sets" are the columns that the statement names.  Returns whether
 * *row was changed.  The decision of the statement at work has been set then.  A row that the
 * extension writes itself stays as it is, unless a trigger has given it what S3 does not
 * allow.
 *
 * Locks and errors: those of ct_is_full().
 */
bool
ct_row_change(const CtTable *table, const CtRow *old, CtRow *row, const Bitmapset *sets, CtCounting counting)
{
	CtDecision *decision = &ct_statement()->decision;

	decision->dropped = false;
	if (ct_is_trusted())
	{
		if (ct_row_is_legal(table, row))
			return false;
		ct_row_set_status(table, row, ct_status_on_insert(ct_row_status(table, row), false));
		return true;
	}
	/* the usual case: nothing of ours is touched */
	if (!sets_status(table, old, row, sets) && ct_row_same_columns(old, row) && !ct_breaks_eligibility(table, old, row))
		return false;
	change_row(table, old, row, sets);
	if (!ct_row_status(table, old).marketing && ct_row_status(table, row).marketing &&
		!names_account(table, sets) && !ct_condition_reads(table->exists, sets) && ct_row_same_account(table, old, row) &&
		is_dropped(table, row, false, counting))
	{
		/* it stays what it is (S5), corrected if S3 does not allow it */
		decision->dropped = true;
		ct_notes_source(table, row);
		ct_row_copy_properties(row, old);
		ct_row_set_status(table, row, ct_status_on_insert(ct_row_status(table, old), false));
	}
	return true;
}

/*
 * Decide the status properties of a row that was written otherwise, in place: another trigger
 * changed them after maintain_status(), or that did not fire.  "old" is NULL for a new row;
 * *by_default: that has no status.  Errors: those of ct_source_default().
 */
void
ct_row_mend(const CtTable *table, const CtRow *old, CtRow *row, bool *by_default)
{
	*by_default = false;
	if (old == NULL)
		complete_new(table, row, by_default);
	else
		change_row(table, old, row, NULL);
}

/*
 * A row that waits for its second write counts as decided, not as stored; so do the properties
 * of it that the statement does not change, or a source that it repeats where whole rows are saved.
 */
static void
apply_decided(const CtTable *table, const CtRow *decided, CtRow *old, CtRow *row, const Bitmapset *sets)
{
	for (int i = CT_ARG_STATUS; i < CT_COLUMNS_END; i++)
	{
		if ((is_set(table, i, sets) && !(table->whole_row_saves && i >= CT_ARG_SOURCE_TYPE)) ||
			!ct_row_same_column(old, row, i))
			continue;
		row->value[i] = decided->value[i];
		row->isnull[i] = decided->isnull[i];
	}
	ct_row_copy_properties(old, decided);
}

/* The columns that a statement names, without a flag that it leaves as it is. */
static const Bitmapset *
columns_set(const CtTable *table, CtStatement *statement, const TriggerData *trigdata)
{
	if (!statement->leaves_flag)
		return trigdata->tg_updatedcols;
	statement->leaves_flag = false;
	return bms_del_member(bms_copy(trigdata->tg_updatedcols),
						  table->attno[CT_ARG_UNTIL] - FirstLowInvalidHeapAttributeNumber);
}

/*
 * ON CONFLICT DO UPDATE in a statement that began before the library was loaded, so that
 * on_conflict.c could not replace EXCLUDED.  If the status or flag is that of the row proposed
 * right before, and was not given there, it is assumed to be EXCLUDED's.
 */
static const Bitmapset *
guess_excluded(const CtTable *table, const CtStatement *statement, CtRow *row, const Bitmapset *sets)
{
	if (statement->key != NULL || statement->proposed_relid != table->relid ||
		statement->proposed_command != GetCurrentCommandId(false))
		return sets;
	if ((statement->given & (1 << CT_ARG_STATUS)) == 0 && is_set(table, CT_ARG_STATUS, sets) &&
		ct_row_status(table, row).marketing == statement->is_marketing)
		row->isnull[CT_ARG_STATUS] = true;
	if (statement->given_marketing && !statement->is_marketing && is_set(table, CT_ARG_STATUS, sets))
		ct_row_set_status(table, row, ct_status_on_insert(ct_row_status(table, row), true));
	if ((statement->given & (1 << CT_ARG_UNTIL)) == 0 && row->isnull[CT_ARG_UNTIL])
		return bms_del_member(bms_copy(sets), table->attno[CT_ARG_UNTIL] - FirstLowInvalidHeapAttributeNumber);
	return sets;
}

/*
 * The new version of a row that is updated, as it must be stored.  In a second write that has
 * been decided before.
 */
static HeapTuple
update_contact(const CtTable *table, TriggerData *trigdata)
{
	CtStatement *statement = ct_statement();
	const Bitmapset *sets = columns_set(table, statement, trigdata);
	Oid			relid = RelationGetRelid(trigdata->tg_relation);
	const CtRow *decided = NULL;
	CtRow		old;
	CtRow		row;

	ct_row_read(table, trigdata->tg_trigslot, &old);
	ct_row_read(table, trigdata->tg_newslot, &row);
	ct_row_judge_change(table, trigdata->tg_trigslot, &old, trigdata->tg_newslot, &row);
	old.tid = trigdata->tg_trigtuple->t_self;
	sets = guess_excluded(table, statement, &row, sets);
	note_moving(trigdata, &old);
	if (ct_second_writes_wait())
		decided = ct_second_write_find(relid, &old.tid);
	if (statement->decided != NULL)
		ct_row_copy_properties(&row, statement->decided);
	else
	{
		if (decided != NULL)
			apply_decided(table, decided, &old, &row, sets);
		if (!ct_row_change(table, &old, &row, sets, when_counted(trigdata)) && decided == NULL)
			return trigdata->tg_newtuple;
		note_dropped(table, &row);
	}
	return ct_row_write(table, trigdata->tg_relation, trigdata->tg_newtuple, &row);
}

PG_FUNCTION_INFO_V1(contacts_tier_maintain_status);

/*
 * maintain_status(): BEFORE INSERT OR UPDATE row trigger (rules S1 to S5)
 *
 * Locks no row; reads the account row if a default decides, or room is looked for.
 */
Datum
contacts_tier_maintain_status(PG_FUNCTION_ARGS)
{
	CtTable    *table = ct_table_of_trigger(fcinfo, "maintain_status");
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired BEFORE INSERT OR UPDATE for each row",
						"maintain_status")));

	return PointerGetDatum(TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) ?
						   insert_contact(table, trigdata) :
						   update_contact(table, trigdata));
}
