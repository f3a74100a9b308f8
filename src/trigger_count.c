/*-------------------------------------------------------------------------
 *
 * trigger_count.c
 *	  The triggers that count: rows after they changed, statements at their
 *	  end, and TRUNCATE before it happens.
 *
 * Only AFTER row triggers see what was really written: rows that ON CONFLICT
 * or another trigger dropped never get here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "contacts_tier.h"

static void
check_trigger(FunctionCallInfo fcinfo, const char *function, TriggerEvent timing)
{
	if (!CALLED_AS_TRIGGER(fcinfo) ||
		(((TriggerData *) fcinfo->context)->tg_event &
		 (TRIGGER_EVENT_TIMINGMASK | TRIGGER_EVENT_ROW)) != timing)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" is called by the wrong kind of trigger", function),
				 errhint("Triggers of contacts_tier are made by contacts_tier.attach().")));
}

/*
 * Note that a contact of an account had one status and has another; no_contact
 * where it was not the account's, or is not any more.
 */
static const CtStatus no_contact = {0};

static void
count_change(const CtTable *table, Datum account, CtStatus old, CtStatus new)
{
	CtDelta		change = {.account = account};

	change.promoted = new.marketing && !old.marketing;
	change.demoted = old.marketing && !new.marketing;
	change.marketing = change.promoted - change.demoted;
	change.pending = (int) (new.marketing && new.until_next_update) -
		(int) (old.marketing && old.until_next_update);
	if (change.marketing != 0 || change.pending != 0)
		ct_delta_add(table, ct_trigger_depth(), &change);
}

/*
 * Count a row that changed: from "old" to "new", whose slots are NULL for a new
 * and for a deleted row.  Errors: MC002 for a marketing contact without an
 * account.
 */
static void
count_row(const CtTable *table, TupleTableSlot *oldslot, CtStatus old,
		  TupleTableSlot *newslot, CtStatus new)
{
	bool		old_null = true;
	bool		new_null = true;
	Datum		from = oldslot == NULL ? 0 : ct_table_account(table, oldslot, &old_null);
	Datum		to = newslot == NULL ? 0 : ct_table_account(table, newslot, &new_null);

	if (newslot != NULL && new_null && new.marketing)
		ct_null_account_error(table);
	if (!old_null && !new_null && ct_account_compare(table, from, to) == 0)
		count_change(table, to, old, new);
	else
	{
		if (!old_null)
			count_change(table, from, old, no_contact);
		if (!new_null)
			count_change(table, to, no_contact, new);
	}
}

/* Was the status of the row defaulted by a COPY, which could not see the row? */
static bool
is_status_defaulted(TriggerData *trigdata)
{
	bool		sets_status;

	return TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) &&
		ct_is_copying(ct_trigger_depth(), &sets_status) && !sets_status;
}

/*
 * Is a new row not as our BEFORE trigger would have left it?  In a COPY it may
 * not have fired; else another one may have changed the row behind it.
 */
static bool
new_needs_mending(const CtTable *table, TriggerData *trigdata)
{
	TupleTableSlot *slot = trigdata->tg_trigslot;
	bool		sets_status;

	if (!ct_is_copying(ct_trigger_depth(), &sets_status))
		return !ct_contact_is_legal(table, slot);
	return !ct_contact_is_complete(table, slot) ||
		(!sets_status && ct_contact_lacks_default(table, slot));
}

/*
 * Did another BEFORE trigger change the row behind ours, against the rules?  A
 * marketing contact became non-marketing at once, the status changed and the
 * time did not, or the other way round, or the row is one that S3 does not allow.
 */
static bool
needs_mending(const CtTable *table, TriggerData *trigdata)
{
	CtStatus	old;
	CtStatus	new;
	bool		isnull;
	Datum		updated_at;

	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
		return new_needs_mending(table, trigdata);

	old = ct_contact_status(table, trigdata->tg_trigslot);
	new = ct_contact_status(table, trigdata->tg_newslot);
	if (!ct_contact_is_legal(table, trigdata->tg_newslot))
		return true;
	if (ct_status_equal(old, new))
		return !ct_same_columns(table, trigdata->tg_trigslot, trigdata->tg_newslot);
	updated_at = slot_getattr(trigdata->tg_newslot, table->attno[CT_ARG_UPDATED_AT], &isnull);
	return (old.marketing && !new.marketing) ||
		isnull || DatumGetTimestampTz(updated_at) != ct_now();
}

/* The statement that writes the status properties of one row of a relation. */
static char *
mending_statement(const CtTable *table, Relation rel)
{
	return psprintf("UPDATE ONLY %s SET %s = CASE WHEN $2 THEN 'marketing'::contacts_tier.marketing_status"
					" ELSE 'non_marketing'::contacts_tier.marketing_status END,"
					" %s = CASE WHEN $3 THEN true END, %s = $4, %s = $5, %s = $6"
					" WHERE ctid OPERATOR(pg_catalog.=) $1",
					ct_qualified_name(rel),
					ct_table_column(table, CT_ARG_STATUS),
					ct_table_column(table, CT_ARG_UNTIL),
					ct_table_column(table, CT_ARG_SOURCE_TYPE),
					ct_table_column(table, CT_ARG_SOURCE_NAME),
					ct_table_column(table, CT_ARG_UPDATED_AT));
}

/*
 * Write the row once more, as the rules want it.  No triggers fire, or the one
 * that changed it would do so again.  If the row has been written again since,
 * its own event is to come.  Returns the status that the row has now, as far as
 * this event is concerned.
 */
static CtStatus
mend_row(const CtTable *table, TriggerData *trigdata)
{
	bool		is_insert = TRIGGER_FIRED_BY_INSERT(trigdata->tg_event);
	TupleTableSlot *slot = is_insert ? trigdata->tg_trigslot : trigdata->tg_newslot;
	CtContact	contact = ct_contact_mended(table, is_insert ? NULL : trigdata->tg_trigslot, slot,
										   is_status_defaulted(trigdata));
	Oid			types[] = {TIDOID, BOOLOID, BOOLOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[] = {
		PointerGetDatum(&slot->tts_tid),
		BoolGetDatum(contact.status.marketing),
		BoolGetDatum(contact.status.until_next_update),
		CStringGetTextDatum(contact.source_type),
		CStringGetTextDatum(contact.source_name),
		TimestampTzGetDatum(contact.updated_at)
	};
	CtIdentity	identity;
	uint64		count;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ct_act_as_owner(table->owner, &identity);
	identity.guc_level = NewGUCNestLevel();
	(void) set_config_option("session_replication_role", "replica", PGC_SUSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	count = ct_execute(mending_statement(table, trigdata->tg_relation),
					   lengthof(types), types, values, NULL);
	ct_restore_identity(&identity);
	SPI_finish();
	return count > 0 ? contact.status : ct_contact_status(table, slot);
}

PG_FUNCTION_INFO_V1(contacts_tier_count_contact);

/*
 * count_contact(): AFTER INSERT OR UPDATE OR DELETE row trigger (design.md, C1)
 *
 * Errors: MC002 for a marketing contact without an account.
 */
Datum
contacts_tier_count_contact(PG_FUNCTION_ARGS)
{
	CtTable    *table = ct_table_of_trigger(fcinfo, "count_contact");
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TriggerEvent event = trigdata->tg_event;
	bool		trusted = ct_trusted_depth > 0 && ct_trusted_depth == ct_trigger_depth();
	TupleTableSlot *oldslot = TRIGGER_FIRED_BY_INSERT(event) ? NULL : trigdata->tg_trigslot;
	TupleTableSlot *newslot = TRIGGER_FIRED_BY_INSERT(event) ? trigdata->tg_trigslot :
		TRIGGER_FIRED_BY_UPDATE(event) ? trigdata->tg_newslot : NULL;
	CtStatus	old = no_contact;
	CtStatus	new = no_contact;

	check_trigger(fcinfo, "count_contact", TRIGGER_EVENT_AFTER | TRIGGER_EVENT_ROW);
	if (oldslot != NULL)
		old = ct_contact_status(table, oldslot);
	if (newslot != NULL)
		new = !trusted && needs_mending(table, trigdata) ? mend_row(table, trigdata) :
			ct_contact_status(table, newslot);
	count_row(table, oldslot, old, newslot, new);
	return PointerGetDatum(NULL);
}

PG_FUNCTION_INFO_V1(contacts_tier_apply_counts);

/*
 * apply_counts(): AFTER INSERT OR UPDATE OR DELETE statement trigger
 *
 * Locks and errors: see ct_counter_apply().
 */
Datum
contacts_tier_apply_counts(PG_FUNCTION_ARGS)
{
	check_trigger(fcinfo, "apply_counts", TRIGGER_EVENT_AFTER);
	ct_delta_apply(ct_trigger_depth());
	return PointerGetDatum(NULL);
}

/*
 * Take a table that is going to be truncated off the counters.  A partition has
 * its own trigger, which fires for TRUNCATE of the root too; one that was made
 * after attach() has none, and its contacts are taken off by the root's.
 */
static void
uncount_relation(Relation rel, const CtTable *table)
{
	CtIdentity	identity;

	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	ct_act_as_owner(table->owner, &identity);
	ct_uncount(table, psprintf("ONLY %s", ct_qualified_name(rel)));
	ct_restore_identity(&identity);
	SPI_finish();
}

static void
uncount_new_partitions(TriggerData *trigdata)
{
	Relation	root = trigdata->tg_relation;
	List	   *relids = find_all_inheritors(RelationGetRelid(root), NoLock, NULL);
	ListCell   *cell;

	foreach(cell, relids)
	{
		/* TRUNCATE has locked them */
		Relation	rel = table_open(lfirst_oid(cell), NoLock);

		if (rel->rd_rel->relkind == RELKIND_RELATION &&
			ct_find_trigger(rel, CT_TRIGGER_TRUNCATE) == NULL)
			uncount_relation(rel, ct_table_resolve(rel, trigdata->tg_trigger->tgnargs,
												   trigdata->tg_trigger->tgargs));
		table_close(rel, NoLock);
	}
}

PG_FUNCTION_INFO_V1(contacts_tier_count_truncate);

/*
 * count_truncate(): BEFORE TRUNCATE trigger
 *
 * Reads the table, which TRUNCATE has locked exclusively, and locks the counter
 * rows of its accounts until the transaction ends.
 */
Datum
contacts_tier_count_truncate(PG_FUNCTION_ARGS)
{
	CtTable    *table = ct_table_of_trigger(fcinfo, "count_truncate");
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Relation	rel = trigdata->tg_relation;

	check_trigger(fcinfo, "count_truncate", TRIGGER_EVENT_BEFORE);
	/* a former partition keeps this trigger, and is not counted any more */
	if (ct_find_trigger(rel, CT_TRIGGER_STATUS) == NULL)
		return PointerGetDatum(NULL);
	ct_delta_apply(ct_trigger_depth());
	if (rel->rd_rel->relkind == RELKIND_RELATION)
		uncount_relation(rel, table);
	else if (!rel->rd_rel->relispartition)
		uncount_new_partitions(trigdata);
	return PointerGetDatum(NULL);
}
