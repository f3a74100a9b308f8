/*-------------------------------------------------------------------------
 *
 * trigger_status.c
 *	  The row trigger that keeps the status properties of a contact.
 *
 * It fires last among the BEFORE triggers, by its name, so that it judges what
 * the application's own triggers made of the row.  Where one fires even later,
 * trigger_count.c mends the row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "contacts_tier.h"

/*
 * Rows written at this trigger depth are stored as they come: the statement is
 * the extension's own.  Statements that the application's triggers run because
 * of it are deeper, and are not trusted.  0 when there is none.
 */
int			ct_trusted_depth = 0;

/*
 * The last contact that was updated in a partition, if nobody has ever set its
 * status: should the update move it to another partition, it comes by as a new
 * row, and must not be taken for one whose source is to be completed.
 */
static struct
{
	int			depth;			/* 0: there is none */
	CommandId	command;
}			moving = {0};

/*
 * How deep in triggers we are; 0 outside any.
 */
int
ct_trigger_depth(void)
{
	return DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, (Datum) 0));
}

/* S5: what the row does not say about its source, the session does. */
static void
complete_source(CtContact *contact)
{
	if (contact->source_type == NULL)
		contact->source_type = pstrdup(ct_session_source_type());
	if (contact->source_name == NULL)
		contact->source_name = pstrdup(ct_session_source_name());
}

/* The status that a new contact gets which is given none. */
static bool
defaults_to_marketing(const CtTable *table, const CtRow *row, const char *source_type)
{
	return !row->isnull[CT_ARG_ACCOUNT] &&
		ct_source_default(table, row->value[CT_ARG_ACCOUNT], source_type);
}

/*
 * The status properties of a new row.  What it gives is taken; an import may
 * bring the time along too.  With "status_defaulted" the status that it has was
 * not given.
 */
static CtContact
new_contact(const CtTable *table, const CtRow *row, bool status_defaulted)
{
	CtContact	contact = ct_contact_read(table, row);
	bool		default_marketing = false;

	complete_source(&contact);
	if (status_defaulted)
		contact.status.given = false;
	if (!contact.status.given)
		default_marketing = defaults_to_marketing(table, row, contact.source_type);
	contact.status = ct_status_on_insert(contact.status, default_marketing);
	/* no time to come, or a flag would outlive its update date */
	if (!contact.updated_at_given || contact.updated_at > ct_now())
		contact.updated_at = ct_now();
	contact.updated_at_given = true;
	return contact;
}

/* Has nobody ever set the status of the contact? */
static bool
is_never_set(const CtRow *row)
{
	return row->isnull[CT_ARG_SOURCE_TYPE] && row->isnull[CT_ARG_UPDATED_AT];
}

static void
note_moving(TriggerData *trigdata, const CtRow *row)
{
	moving.depth = 0;
	if (trigdata->tg_relation->rd_rel->relispartition && is_never_set(row))
	{
		moving.depth = ct_trigger_depth();
		moving.command = GetCurrentCommandId(false);
	}
}

static bool
is_moving(const CtTable *table, TriggerData *trigdata, const CtRow *row)
{
	return moving.depth > 0 && trigdata->tg_relation->rd_rel->relispartition &&
		moving.depth == ct_trigger_depth() &&
		moving.command == GetCurrentCommandId(false) &&
		ct_row_is_legal(table, row) && is_never_set(row);
}

/*
 * Does a new row whose status was defaulted without regard to the row miss what
 * the default of its source type in its account would have made of it?
 */
bool
ct_row_lacks_default(const CtTable *table, const CtRow *row)
{
	return !row->isnull[CT_ARG_SOURCE_TYPE] && !ct_row_status(table, row).marketing &&
		defaults_to_marketing(table, row, TextDatumGetCString(row->value[CT_ARG_SOURCE_TYPE]));
}

/*
 * S4: a new contact that only a default makes a marketing contact need not be
 * one, if it does not fit.  Only here it is known which these are.
 */
static void
note_new_contact(const CtTable *table, const CtRow *row, CtStatus status, bool by_default)
{
	if (status.marketing && !row->isnull[CT_ARG_ACCOUNT])
		ct_delta_note_insert(table, ct_trigger_depth(), row->value[CT_ARG_ACCOUNT], by_default);
}

static HeapTuple
insert_contact(const CtTable *table, TriggerData *trigdata)
{
	CtRow		row;
	CtContact	contact;

	ct_row_read(table, trigdata->tg_trigslot, &row);
	if (ct_row_is_complete(table, &row) || is_moving(table, trigdata, &row))
	{
		note_new_contact(table, &row, ct_row_status(table, &row), false);
		return trigdata->tg_trigtuple;
	}
	contact = new_contact(table, &row, false);
	note_new_contact(table, &row, contact.status, row.isnull[CT_ARG_STATUS]);
	return ct_contact_write(table, RelationGetDescr(trigdata->tg_relation),
							trigdata->tg_trigtuple, &contact);
}

static bool
is_set(const CtTable *table, CtTriggerArg which, const Bitmapset *sets)
{
	return bms_is_member(table->attno[which] - FirstLowInvalidHeapAttributeNumber, sets);
}

/*
 * The status properties that a changed row gets.  "sets" are the columns that
 * the statement names: a source that it names is believed, even if it is the
 * one that stood there before.  The properties stay as they were where neither
 * status nor flag changes (S5).
 */
static CtContact
change_contact(const CtTable *table, const CtRow *oldrow, const CtRow *newrow, const Bitmapset *sets)
{
	CtContact	old = ct_contact_read(table, oldrow);
	CtContact	contact = ct_contact_read(table, newrow);

	contact.status = ct_status_on_update(old.status, contact.status,
										 is_set(table, CT_ARG_STATUS, sets),
										 is_set(table, CT_ARG_UNTIL, sets));
	if (ct_status_equal(old.status, contact.status))
		return old;

	if (!is_set(table, CT_ARG_SOURCE_TYPE, sets) &&
		ct_row_same_column(oldrow, newrow, CT_ARG_SOURCE_TYPE))
		contact.source_type = NULL;
	if (!is_set(table, CT_ARG_SOURCE_NAME, sets) &&
		ct_row_same_column(oldrow, newrow, CT_ARG_SOURCE_NAME))
		contact.source_name = NULL;
	complete_source(&contact);
	contact.updated_at = ct_now();
	contact.updated_at_given = true;
	return contact;
}

/*
 * The status properties that a row should have got, where another trigger
 * changed them behind maintain_status(), or it did not fire.  oldrow is NULL for
 * a new row, and status_defaulted as in new_contact().
 */
CtContact
ct_contact_mended(const CtTable *table, const CtRow *oldrow, const CtRow *newrow, bool status_defaulted)
{
	CtContact	contact;

	if (oldrow == NULL)
		return new_contact(table, newrow, status_defaulted);
	contact = change_contact(table, oldrow, newrow, NULL);
	complete_source(&contact);
	if (!contact.updated_at_given)
		contact.updated_at = ct_now();
	return contact;
}

static HeapTuple
update_contact(const CtTable *table, TriggerData *trigdata)
{
	bool		sets_status = is_set(table, CT_ARG_STATUS, trigdata->tg_updatedcols);
	CtRow		oldrow;
	CtRow		newrow;
	CtContact	contact;

	ct_row_read(table, trigdata->tg_trigslot, &oldrow);
	ct_row_read(table, trigdata->tg_newslot, &newrow);
	note_moving(trigdata, &newrow);
	/* the usual case: nothing of ours is touched */
	if (!sets_status && ct_row_same_columns(&oldrow, &newrow))
		return trigdata->tg_newtuple;

	contact = change_contact(table, &oldrow, &newrow, trigdata->tg_updatedcols);
	return ct_contact_write(table, RelationGetDescr(trigdata->tg_relation),
							trigdata->tg_newtuple, &contact);
}

/*
 * A row that the extension writes itself is stored as it is, unless a trigger of
 * the application made something of it that is not allowed (S3).
 */
static HeapTuple
trusted_contact(const CtTable *table, TriggerData *trigdata, HeapTuple tuple)
{
	CtRow		row;
	CtContact	contact;

	ct_row_read(table, TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) ?
				trigdata->tg_trigslot : trigdata->tg_newslot, &row);
	if (ct_row_is_legal(table, &row))
		return tuple;
	contact = ct_contact_read(table, &row);
	contact.status = ct_status_on_insert(contact.status, false);
	return ct_contact_write(table, RelationGetDescr(trigdata->tg_relation), tuple, &contact);
}

PG_FUNCTION_INFO_V1(contacts_tier_maintain_status);

/*
 * maintain_status(): BEFORE INSERT OR UPDATE row trigger (design.md, S1 to S5)
 *
 * Takes no locks; reads the account row where a default is asked for.
 */
Datum
contacts_tier_maintain_status(PG_FUNCTION_ARGS)
{
	CtTable    *table = ct_table_of_trigger(fcinfo, "maintain_status");
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	bool		is_insert = TRIGGER_FIRED_BY_INSERT(trigdata->tg_event);
	HeapTuple	row = is_insert ? trigdata->tg_trigtuple : trigdata->tg_newtuple;

	if (!TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be fired BEFORE INSERT OR UPDATE for each row",
						"maintain_status")));

	if (ct_trusted_depth > 0 && ct_trusted_depth == ct_trigger_depth())
		return PointerGetDatum(trusted_contact(table, trigdata, row));
	return PointerGetDatum(is_insert ? insert_contact(table, trigdata) :
						   update_contact(table, trigdata));
}
