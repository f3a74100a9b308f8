/*-------------------------------------------------------------------------
 *
 * guard_trigger.c
 *	  The trigger of a guarded table: each row names a tool and a contact, and is stored only
 *	  if the tool can use the contact (rule G1).
 *
 * Its arguments are schema and name of the contacts, and what is done with a row that is
 * excluded.  Which columns the tool, the contact and the reason are in, the trigger knows by
 * the columns of its UPDATE OF, in this order (pg_trigger.tgattr): so none of them can be
 * dropped under it, or get another type, a new name does not matter, and partitions with
 * another order of columns, dumps and restores have them right.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "manage/manage.h"

static const char *const reason_codes[] = {
	[CT_OK] = "OK",
	[CT_NON_MARKETABLE] = "NON_MARKETABLE_CONTACT",
	[CT_NO_CONTACT] = "NO_CONTACT",
	[CT_INELIGIBLE] = "INELIGIBLE"
};

#define NREASONS	((int) lengthof(reason_codes))

/* What a statement has done with a guarded relation so far */
typedef struct Guarding
{
	CtXactNote	note;			/* must be first */
	MemoryContext context;		/* in which it is, as well */
	const void *statement;		/* its key; NULL: not known */
	Oid			relid;
	CtLookup   *lookup;			/* until the statement ends; NULL: one for
								 * each row */
	uint64		skipped[NREASONS];
} Guarding;

static void report_all(bool prepared);

/* Memory of an entry goes with its subtransaction, if that is rolled back. */
static CtXactList guardings = {.before_end = report_all};

/* A row that is about to be written */
typedef struct Send
{
	TriggerData *trigdata;
	HeapTuple	tuple;
	TupleTableSlot *slot;
	AttrNumber	tool;
	AttrNumber	contact;
	AttrNumber	reason;			/* invalid: no such column */
} Send;

/* Is this a trigger of guard()'s making?  39P01 if not. */
static void
read_send(FunctionCallInfo fcinfo, Send *send)
{
	TriggerData *trigdata = ct_trigger_data(fcinfo, "guard_send");
	const Trigger *trigger = trigdata->tg_trigger;

	if (!TRIGGER_FIRED_BEFORE(trigdata->tg_event) || !TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigdata->tg_event) || trigger->tgnargs != CT_GUARD_NARGS ||
		trigger->tgnattr != (strcmp(trigger->tgargs[CT_GUARD_MODE], "mark") == 0 ? 3 : 2))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" is not as contacts_tier.guard() creates it", trigger->tgname),
				 errtable(trigdata->tg_relation)));
	send->trigdata = trigdata;
	send->tuple = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple : trigdata->tg_trigtuple;
	send->slot = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newslot : trigdata->tg_trigslot;
	send->tool = trigger->tgattr[0];
	send->contact = trigger->tgattr[1];
	send->reason = trigger->tgnattr > 2 ? trigger->tgattr[2] : InvalidAttrNumber;
}

/* Has an UPDATE left a column as it was? */
static bool
is_unchanged(const Send *send, AttrNumber attno)
{
	Form_pg_attribute attr = TupleDescAttr(send->slot->tts_tupleDescriptor, attno - 1);
	bool		old_isnull;
	bool		isnull;
	Datum		old = slot_getattr(send->trigdata->tg_trigslot, attno, &old_isnull);
	Datum		new = slot_getattr(send->slot, attno, &isnull);

	return isnull == old_isnull && (isnull || datum_image_eq(old, new, attr->attbyval, attr->attlen));
}

/* The table on which the trigger has been created of which this is one in a partition */
static Oid
table_of_guard(Oid trigger)
{
	Oid			table = InvalidOid;

	while (OidIsValid(trigger))
	{
		HeapTuple	tuple = ct_read_trigger(trigger, NULL);

		trigger = InvalidOid;
		if (tuple != NULL)
		{
			table = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
			trigger = ((Form_pg_trigger) GETSTRUCT(tuple))->tgparentid;
		}
	}
	return table;
}

/*
 * Has an UPDATE moved the row here from another partition?  Then it is no new one: the guard of
 * all partitions has looked at it there, if its tool or contact has changed, and it must not be lost
 * because of what its contact is now.  An UPDATE that inserts rows is at work on nothing else, unless
 * there are others in WITH.
 */
static bool
is_moving(const Send *send)
{
	const CtStatement *statement = ct_statement();
	Relation	rel = send->trigdata->tg_relation;

	return TRIGGER_FIRED_BY_INSERT(send->trigdata->tg_event) && rel->rd_rel->relispartition &&
		statement->query != NULL && statement->query->operation == CMD_UPDATE &&
		!statement->query->plannedstmt->hasModifyingCTE &&
		table_of_guard(send->trigdata->tg_trigger->tgoid) == llast_oid(get_partition_ancestors(RelationGetRelid(rel)));
}

/*
 * Does the row not send anything?  What was sent stays so, also if its row is saved anew, or
 * a foreign key gives it the new key of its contact, or none where that is deleted
 * (EXEC_FLAG_SKIP_TRIGGERS: ri_PerformCheck()).  But a reason is the guard's: who saves a row as he inserted
 * it, without having read it again, would take the reason away.
 */
static bool
is_no_send(const Send *send)
{
	const CtStatement *statement = ct_statement();

	if (!TRIGGER_FIRED_BY_UPDATE(send->trigdata->tg_event))
		return is_moving(send);
	return (statement->query != NULL &&
			(statement->query->estate->es_top_eflags & EXEC_FLAG_SKIP_TRIGGERS) != 0) ||
		(is_unchanged(send, send->tool) && is_unchanged(send, send->contact) &&
		 (!AttributeNumberIsValid(send->reason) || is_unchanged(send, send->reason)));
}

/* Does the tool of the row need a marketing contact?  22004, 22023. */
static bool
needs_marketing_contact(const Send *send)
{
	Oid			type = TupleDescAttr(send->slot->tts_tupleDescriptor, send->tool - 1)->atttypid;
	bool		isnull;
	Datum		tool = slot_getattr(send->slot, send->tool, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the tool in column \"%s\" of guarded table \"%s\" must not be null",
						NameStr(TupleDescAttr(send->slot->tts_tupleDescriptor, send->tool - 1)->attname),
						RelationGetRelationName(send->trigdata->tg_relation)),
				 errtablecol(send->trigdata->tg_relation, send->tool)));
	if (type != TEXTOID && type != VARCHAROID)
		type = getBaseType(type);
	if (type == TEXTOID || type == VARCHAROID)
	{
		text	   *name = DatumGetTextPP(tool);

		return ct_tool_needs_marketing_contact(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	}
	else
	{
		char	   *name = ct_enum_label(DatumGetObjectId(tool));

		return ct_tool_needs_marketing_contact(name, strlen(name));
	}
}

/* The contacts that the trigger names: 42P01. */
static Oid
contacts_relid(const Send *send)
{
	char	  **args = send->trigdata->tg_trigger->tgargs;
	Oid			relid = ct_find_relation(args[CT_GUARD_SCHEMA], args[CT_GUARD_TABLE]);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s.%s\" with the contacts of guarded table \"%s\" does not exist",
						args[CT_GUARD_SCHEMA], args[CT_GUARD_TABLE],
						RelationGetRelationName(send->trigdata->tg_relation)),
				 errhint("Call contacts_tier.guard() again with the table that has the contacts now, or contacts_tier.unguard()."),
				 errtable(send->trigdata->tg_relation)));
	return relid;
}

/*
 * What the statement at work has done with the relation.  The index stays open for the rows to
 * come if the end of the statement will be noticed.
 */
static Guarding *
find_guarding(const Send *send)
{
	const CtStatement *statement = ct_statement();
	Oid			relid = RelationGetRelid(send->trigdata->tg_relation);
	MemoryContext context;
	Guarding   *guarding;
	slist_iter	iter;

	slist_foreach(iter, &guardings.notes)
	{
		guarding = slist_container(Guarding, note.node, iter.cur);
		if (guarding->statement == statement->key && guarding->relid == relid)
			return guarding;
	}
	context = AllocSetContextCreate(CurTransactionContext, "contacts_tier guard", ALLOCSET_SMALL_SIZES);
	guarding = MemoryContextAllocZero(context, sizeof(Guarding));
	guarding->context = context;
	guarding->statement = statement->key;
	guarding->relid = relid;
	if (statement->end_is_noticed)
		guarding->lookup = ct_lookup_begin(contacts_relid(send), send->trigdata->tg_relation, send->contact, context);
	ct_xact_note(&guardings, &guarding->note);
	return guarding;
}

/* Can the tool of the row use its contact?  It needs a marketing contact. */
static CtReason
judge(const Send *send, Guarding *guarding)
{
	CtLookup   *lookup;
	CtReason	reason;

	if (guarding->lookup != NULL)
		return ct_lookup(guarding->lookup, send->slot);
	lookup = ct_lookup_begin(contacts_relid(send), send->trigdata->tg_relation, send->contact, CurrentMemoryContext);
	reason = ct_lookup(lookup, send->slot);
	ct_lookup_end(lookup);
	return reason;
}

/* A column of the row, as text. */
static char *
column_text(const Send *send, AttrNumber attno)
{
	bool		isnull;
	Datum		value = slot_getattr(send->slot, attno, &isnull);
	Oid			output;
	bool		isvarlena;

	getTypeOutputInfo(TupleDescAttr(send->slot->tts_tupleDescriptor, attno - 1)->atttypid, &output, &isvarlena);
	return isnull ? "" : OidOutputFunctionCall(output, value);
}

/* The row is refused: MC003. */
static void
refuse(const Send *send, CtReason reason)
{
	char	   *contact = column_text(send, send->contact);
	char	   *tool = column_text(send, send->tool);

	ereport(ERROR,
			(errcode(ERRCODE_CT_NOT_MARKETING),
			 reason == CT_NO_CONTACT ? errmsg("contact \"%s\" does not exist", contact) :
			 reason == CT_INELIGIBLE ? errmsg("contact \"%s\" is not eligible to be a marketing contact", contact) :
			 errmsg("contact \"%s\" is not a marketing contact", contact),
			 reason == CT_INELIGIBLE ?
			 errdetail("Tool \"%s\" needs a marketing contact; the condition \"eligible\" of table \"%s\" is not true for contact \"%s\".",
					   tool, send->trigdata->tg_trigger->tgargs[CT_GUARD_TABLE], contact) :
			 reason == CT_NO_CONTACT ?
			 errdetail("Tool \"%s\" needs a marketing contact; table \"%s\" has no such contact.",
					   tool, send->trigdata->tg_trigger->tgargs[CT_GUARD_TABLE]) :
			 errdetail("Tool \"%s\" needs a marketing contact; the status of contact \"%s\" in table \"%s\" is not \"marketing\".",
					   tool, contact, send->trigdata->tg_trigger->tgargs[CT_GUARD_TABLE]),
			 reason == CT_INELIGIBLE ? errhint("Leave it out: contacts_tier.ineligible() finds such contacts.") :
			 errhint("Make the contact a marketing contact first, or leave it out: contacts_tier.can_use() finds those that the tool can use."),
			 errtableconstraint(send->trigdata->tg_relation, "contact_tier")));
}

/* The row with this reason in its column; NULL for CT_OK. */
static HeapTuple
mark(const Send *send, CtReason reason)
{
	int			attno = send->reason;
	bool		isnull = reason == CT_OK;
	Datum		code = isnull ? (Datum) 0 : CStringGetTextDatum(reason_codes[reason]);

	if (isnull && slot_attisnull(send->slot, attno))
		return send->tuple;
	return heap_modify_tuple_by_cols(send->tuple, send->slot->tts_tupleDescriptor, 1, &attno, &code, &isnull);
}

/* What becomes of the row?  NULL: it is skipped. */
static HeapTuple
dispose(const Send *send, CtReason reason, Guarding *guarding)
{
	const char *mode = send->trigdata->tg_trigger->tgargs[CT_GUARD_MODE];

	if (AttributeNumberIsValid(send->reason))
		return mark(send, reason);
	if (reason == CT_OK)
		return send->tuple;
	if (strcmp(mode, "skip") != 0)
		refuse(send, reason);
	guarding->skipped[reason]++;
	return NULL;
}

PG_FUNCTION_INFO_V1(contacts_tier_guard_send);

/*
 * guard_send() trigger: BEFORE INSERT OR UPDATE row trigger of a guarded table
 *
 * A row without a contact addresses nobody, and passes, as for a foreign key.
 *
 * Locks: ACCESS SHARE on the contacts.  Errors: MC003; 22004, 22023 for the tool; 42501,
 * 42P01, 55000 if the contacts cannot be looked up any more.
 */
Datum
contacts_tier_guard_send(PG_FUNCTION_ARGS)
{
	Send		send;
	Guarding   *guarding = NULL;
	CtReason	reason = CT_OK;

	read_send(fcinfo, &send);
	if (is_no_send(&send))
		return PointerGetDatum(send.tuple);
	if (needs_marketing_contact(&send) && !slot_attisnull(send.slot, send.contact))
	{
		guarding = find_guarding(&send);
		reason = judge(&send, guarding);
	}
	return PointerGetDatum(dispose(&send, reason, guarding));
}

/* Tell of the rows that were skipped. */
static void
report(const uint64 skipped[NREASONS])
{
	StringInfoData reasons;
	uint64		count = 0;

	initStringInfo(&reasons);
	for (int i = 0; i < NREASONS; i++)
	{
		if (skipped[i] == 0)
			continue;
		appendStringInfo(&reasons, "%s%s: %llu", count > 0 ? ", " : "", reason_codes[i],
						 (unsigned long long) skipped[i]);
		count += skipped[i];
	}
	if (count > 0)
		ereport(NOTICE,
				(errmsg_plural("%llu row was skipped because its tool cannot use its contact",
							   "%llu rows were skipped because their tools cannot use their contacts",
							   count, (unsigned long long) count),
				 errdetail_internal("%s", reasons.data)));
	pfree(reasons.data);
}

/* The statement has ended: close what it had open, and report. */
static void
end_statement(const CtStatement *statement)
{
	uint64		skipped[NREASONS] = {0};
	slist_mutable_iter iter;

	/*
	 * nearly always: what is allocated below may live as long as a function
	 * that runs many statements
	 */
	if (slist_is_empty(&guardings.notes))
		return;
	slist_foreach_modify(iter, &guardings.notes)
	{
		Guarding   *guarding = slist_container(Guarding, note.node, iter.cur);

		if (guarding->statement != statement->key)
			continue;
		slist_delete_current(&iter);
		for (int i = 0; i < NREASONS; i++)
			skipped[i] += guarding->skipped[i];
		if (guarding->lookup != NULL)
			ct_lookup_end(guarding->lookup);
		MemoryContextDelete(guarding->context);
	}
	report(skipped);
}

/* A statement whose end was not noticed, a COPY that began before the library was loaded */
static void
report_all(bool prepared)
{
	const CtStatement unknown = {0};

	end_statement(&unknown);
}

/*
 * Have the ends of statements noticed.
 */
void
ct_guard_init(void)
{
	ct_xact_list_add(&guardings);
	ct_statement_end_hook = end_statement;
}
