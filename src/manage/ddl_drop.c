/*-------------------------------------------------------------------------
 *
 * ddl_drop.c
 *	  Tables that are dropped: their contacts are subtracted from the counters.
 *
 * PostgreSQL drops what depends on a table before the table, its triggers included
 * (findDependentObjects()).  So the arguments of the status trigger are noted when that is
 * dropped, and by these its table is counted out when it follows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_trigger.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "manage/manage.h"

/* A table that lost triggers of ours, and may be dropped by the same command */
typedef struct Dropped
{
	CtXactNote	note;			/* must be first */
	Oid			relid;
	bool		has_args;
	char	   *args[CT_NARGS]; /* of the status trigger */
	char	   *exists;			/* clause of the trigger with that condition */
	bool		lost_eligible;	/* the trigger with that condition */
	bool		counted;		/* have its contacts been subtracted already? */
} Dropped;

/* In TopTransactionContext */
static CtXactList dropped = {0};

/*
 * The arguments of the triggers of an attached table, or of a partition of one, palloc'd;
 * false for other tables.  The caller has locked it.
 */
bool
ct_ddl_args(Oid relid, char *args[CT_NARGS])
{
	Relation	rel = try_relation_open(relid, NoLock);
	bool		found = rel != NULL && ct_trigger_args(rel, CT_TRIGGER_STATUS, args);

	if (rel != NULL)
		relation_close(rel, NoLock);
	return found;
}

/* The note of a table that is dropped, or NULL */
static Dropped *
find_dropped(Oid relid)
{
	slist_iter	iter;

	slist_foreach(iter, &dropped.notes)
	{
		Dropped    *note = (Dropped *) slist_container(CtXactNote, node, iter.cur);

		if (note->relid == relid)
			return note;
	}
	return NULL;
}

/* Note a table that may be dropped; what is known of it is completed by and by. */
static Dropped *
note_dropped(Oid relid)
{
	Dropped    *note = find_dropped(relid);

	if (note != NULL)
		return note;
	note = MemoryContextAllocZero(TopTransactionContext, sizeof(Dropped));
	note->relid = relid;
	ct_xact_note(&dropped, &note->note);
	return note;
}

/* Note copies of the arguments of its status trigger. */
static void
note_args(Dropped *note, char *args[CT_NARGS])
{
	for (int i = 0; i < CT_NARGS && !note->has_args; i++)
		note->args[i] = MemoryContextStrdup(TopTransactionContext, args[i]);
	note->has_args = true;
}

/* Note what a row of pg_trigger says; from the row, for its table may not be locked. */
static void
note_trigger(HeapTuple tuple, TupleDesc tupdesc)
{
	Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
	bool		isnull;
	Datum		value = heap_getattr(tuple, Anum_pg_trigger_tgargs, tupdesc, &isnull);
	char	   *given[CT_NARGS];
	char	   *next;
	char	   *args[CT_NARGS];

	if (isnull || !ct_right_args(form->tgnargs))
		return;
	next = VARDATA_ANY(DatumGetByteaPP(value));
	for (int i = 0; i < form->tgnargs; i++)
	{
		given[i] = next;
		next += strlen(next) + 1;
	}
	ct_complete_args(form->tgnargs, given, args);
	note_args(note_dropped(form->tgrelid), args);
}

/* Note the condition in a row of pg_trigger. */
static void
note_condition(HeapTuple tuple, TupleDesc tupdesc, CtFunction function)
{
	Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
	bool		isnull;
	Datum		value = heap_getattr(tuple, Anum_pg_trigger_tgqual, tupdesc, &isnull);
	Dropped    *note;
	char	   *clause;

	if (isnull)
		return;
	clause = TextDatumGetCString(value);
	if (ct_condition_of_clause(clause) == NULL)
		return;
	note = note_dropped(form->tgrelid);
	if (function == CT_TRIGGER_EXISTS)
		note->exists = MemoryContextStrdup(TopTransactionContext, clause);
	else
		note->lost_eligible = true;
}

/*
 * A trigger is dropped.  If it is the status trigger, its table may follow, and can be
 * counted out then by what the trigger says.  Those that PostgreSQL drops by itself,
 * for a partition that is detached, do not matter.
 */
static void
trigger_dropped(Oid trigger_oid)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	HeapTuple	tuple = ct_read_trigger(trigger_oid, NULL);
	CtFunction	function = tuple == NULL ? CT_OTHER_FUNCTION : ct_function(((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid);

	if (function == CT_TRIGGER_STATUS)
		note_trigger(tuple, RelationGetDescr(pg_trigger));
	else if (function == CT_TRIGGER_EXISTS || function == CT_TRIGGER_ELIGIBLE)
		note_condition(tuple, RelationGetDescr(pg_trigger), function);
	table_close(pg_trigger, AccessShareLock);
}

/* Subtract the contacts of a table that is dropped from the counters, once. */
static void
uncount_dropped(Dropped *note)
{
	slist_head	all = dropped.notes;

	/* commands of others that this causes have notes of their own */
	slist_init(&dropped.notes);
	if (!note->counted && note->has_args)
		ct_table_dropped(note->relid, note->args, note->exists == NULL ? NULL : ct_condition_of_clause(note->exists));
	note->counted = true;
	dropped.notes = all;
}

/*
 * The table that a TOAST table belongs to.  pg_class has the way to the TOAST table only;
 * pg_depend has the way back.
 */
static Oid
toasted_table(Oid toast_relid)
{
	Relation	pg_depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			result = InvalidOid;

	ScanKeyInit(&key[0], Anum_pg_depend_classid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_objid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(toast_relid));
	scan = systable_beginscan(pg_depend, DependDependerIndexId, true, NULL, lengthof(key), key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->refclassid == RelationRelationId && form->deptype == DEPENDENCY_INTERNAL)
			result = form->refobjid;
	}
	systable_endscan(scan);
	table_close(pg_depend, AccessShareLock);
	return result;
}

/*
 * The index of a TOAST table is dropped, as the first thing of it: the TOAST table and the
 * table that it belongs to follow.  That one is counted out now, while its long values can
 * be read.  Its triggers have been dropped before, or will be next.
 */
static void
toast_dropped(Oid index_relid)
{
	Oid			relid = toasted_table(IndexGetRelation(index_relid, false));
	char	   *args[CT_NARGS];
	Dropped    *note = find_dropped(relid);

	if ((note == NULL || !note->has_args) && ct_ddl_args(relid, args))
	{
		note = note_dropped(relid);
		note_args(note, args);
	}
	if (note != NULL)
		uncount_dropped(note);
}

/*
 * A table is about to be dropped; what depends on it, as its triggers, has been.  Its rows
 * can still be read, but for long values: see toast_dropped().  Errors: those of counting.
 */
void
ct_ddl_table_dropped(Oid relid)
{
	Dropped    *note = find_dropped(relid);

	if (note == NULL)
		return;
	uncount_dropped(note);
	slist_delete(&dropped.notes, &note->note.node);
}

/*
 * Something else than a table is dropped, and not because PostgreSQL replaces it (as when a
 * table is rewritten: PERFORM_DELETION_INTERNAL).
 */
void
ct_ddl_object_dropped(Oid class_id, Oid object_id)
{
	if (class_id == TriggerRelationId)
		trigger_dropped(object_id);
	else if (class_id == RelationRelationId && get_rel_relkind(object_id) == RELKIND_INDEX &&
			 get_rel_namespace(object_id) == PG_TOAST_NAMESPACE)
		toast_dropped(object_id);
}

/* Is a table attached that has lost a condition? */
static bool
lacks_condition(const Dropped *note, Relation rel)
{
	return ct_find_trigger(rel, CT_TRIGGER_STATUS) != NULL &&
		((note->exists != NULL && ct_condition_of_relation(rel, CT_TRIGGER_EXISTS) == NULL) ||
		 (note->lost_eligible && ct_condition_of_relation(rel, CT_TRIGGER_ELIGIBLE) == NULL));
}

/*
 * The command has ended: a table that is attached must not have lost a condition, by a DROP
 * TRIGGER or the CASCADE of another one, since its contacts are counted by it.  Errors: 2BP01.
 */
void
ct_ddl_check_conditions(void)
{
	slist_iter	iter;

	slist_foreach(iter, &dropped.notes)
	{
		const Dropped *note = (Dropped *) slist_container(CtXactNote, node, iter.cur);
		Relation	rel = note->exists != NULL || note->lost_eligible ? try_relation_open(note->relid, AccessShareLock) : NULL;

		if (rel == NULL)
			continue;
		if (lacks_condition(note, rel))
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("cannot drop a condition of attached table \"%s\"", RelationGetRelationName(rel)),
					 errdetail("Its contacts are counted, or promoted, by the condition."),
					 errhint("Use contacts_tier.set_condition() to drop it first."),
					 errtable(rel)));
		relation_close(rel, NoLock);
	}
}

/*
 * Forget triggers that were dropped and whose table was not: the command has ended.
 */
void
ct_ddl_forget(void)
{
	slist_init(&dropped.notes);
}

/*
 * Have the list served.
 */
void
ct_ddl_drop_init(void)
{
	ct_xact_list_add(&dropped);
}
