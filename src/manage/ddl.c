/*-------------------------------------------------------------------------
 *
 * ddl.c
 *	  Commands that change tables: what they do to attached ones.
 *
 * PostgreSQL calls object_access_hook for what a command does, whatever its form:
 * a table that becomes a child of another one or ceases to be, a column that changes,
 * a table that is about to be dropped.  What must not be is refused there; what has
 * to be done is noted, and done when the command has ended.
 *
 * Two event triggers stand around each command.  The first is there so that the
 * library is loaded, and the hook set, before the command does anything; the
 * second does what was noted.  A command on tables that have nothing to do with
 * an attached one costs a look at their triggers.
 *
 * Where event triggers are off, partitions are attached and detached without being
 * counted: verify() shows it, and repair() corrects it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/event_trigger.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "manage/manage.h"

/* What a command has done to a table */
typedef enum Change
{
	ALTERED,					/* in a way that says nothing more */
	PARENT_CHANGED				/* it became or ceased to be a partition */
} Change;

/* The same, for the end of the command */
typedef struct Note
{
	CtXactNote	note;			/* must be first */
	Oid			relid;
	Change		change;
	Oid			parent;			/* of PARENT_CHANGED */
} Note;

/* In TopTransactionContext */
static CtXactList notes = {0};

static object_access_hook_type next_hook = NULL;

/* Note a change; "parent" only for PARENT_CHANGED. */
static void
add_note(Oid relid, Change change, Oid parent)
{
	Note	   *note = MemoryContextAllocZero(TopTransactionContext, sizeof(Note));

	note->relid = relid;
	note->change = change;
	note->parent = parent;
	ct_xact_note(&notes, &note->note);
}

/*
 * Is the table below the other one as this command has left it?  The hook is called before
 * CommandCounterIncrement(), so only SnapshotSelf shows what the command has written.
 */
static bool
is_child(Oid relid, Oid parent)
{
	Relation	pg_inherits = table_open(InheritsRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key, Anum_pg_inherits_inhrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_inherits, InheritsRelidSeqnoIndexId, true, SnapshotSelf, 1, &key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = ((Form_pg_inherits) GETSTRUCT(tuple))->inhparent == parent;
	systable_endscan(scan);
	table_close(pg_inherits, AccessShareLock);
	return found;
}

/*
 * A table becomes a child of another one, or ceases to be.  Errors: 0A000.
 */
static void
inheritance_changed(Oid relid, Oid parent)
{
	bool		parent_is_attached = ct_ddl_is_attached(parent);

	if (get_rel_relkind(parent) == RELKIND_PARTITIONED_TABLE)
	{
		add_note(relid, PARENT_CHANGED, parent);
		if (parent_is_attached && ct_is_distributed(parent))
			ct_allow_distributed_ddl_of_others();
	}
	else if (parent_is_attached && is_child(relid, parent))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" cannot inherit from attached table \"%s\"",
						get_rel_name(relid), get_rel_name(parent)),
				 errdetail("Contacts of the child would count as contacts of table \"%s\", and no trigger would see them.",
						   get_rel_name(parent)),
				 errhint("Use a partitioned table, or CREATE TABLE ... (LIKE ...)."),
				 ct_errtable(parent)));
	if (ct_ddl_is_attached(relid) && is_child(relid, parent))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("attached table \"%s\" cannot become part of \"%s\"",
						get_rel_name(relid), get_rel_name(parent)),
				 errhint("Detach it with contacts_tier.detach() first; a partitioned table is attached as a whole."),
				 ct_errtable(relid)));
}

/* OAT_POST_ALTER: of inheritance, of a column, or of a table in another way. */
static void
altered(Oid class_id, Oid object_id, int sub_id, const ObjectAccessPostAlter *alter)
{
	if (class_id == InheritsRelationId)
		inheritance_changed(object_id, alter->auxiliary_id);
	else if (class_id == RelationRelationId && sub_id > 0)
		ct_guard_column_altered(object_id, sub_id);
	else if (class_id == TriggerRelationId)
		ct_guard_trigger_renamed(object_id);
	else if (class_id == RelationRelationId && sub_id == 0)
		add_note(object_id, ALTERED, InvalidOid);
}

/*
 * object_access_hook.  Those that other libraries have set run first.  It is called within
 * the command, under the locks of the command; errors here fail it.
 */
static void
access_object(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (next_hook != NULL)
		next_hook(access, class_id, object_id, sub_id, arg);
	if (access == OAT_POST_ALTER)
		altered(class_id, object_id, sub_id, arg);
	else if (access == OAT_DROP && class_id == RelationRelationId && sub_id == 0)
		ct_ddl_table_dropped(object_id);
	else if (access == OAT_POST_CREATE && class_id == TriggerRelationId)
		ct_guard_trigger_created(object_id);
	if (access == OAT_DROP && (((ObjectAccessDrop *) arg)->dropflags & PERFORM_DELETION_INTERNAL) == 0)
	{
		ct_guard_dropped(class_id, object_id, sub_id, ((ObjectAccessDrop *) arg)->dropflags);
		ct_ddl_object_dropped(class_id, object_id);
	}
}

/*
 * Have the hook called, and the lists served.
 */
void
ct_ddl_init(void)
{
	next_hook = object_access_hook;
	object_access_hook = access_object;
	ct_xact_list_add(&notes);
	ct_ddl_drop_init();
	ct_ddl_guard_init();
}

/* What an event trigger was called with.  Errors: 39P01 where it was not called as one. */
static EventTriggerData *
event_trigger_data(FunctionCallInfo fcinfo, const char *function)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" was not called by event trigger manager", function)));
	return (EventTriggerData *) fcinfo->context;
}

/*
 * Is this an attached table, or a partition of one, of the caller's own?  The command has
 * not locked it yet.  For tables of others, PostgreSQL refuses the command itself.
 */
static bool
is_ours(Oid relid)
{
	Relation	rel;
	bool		result;

	if (!OidIsValid(relid) || !object_ownercheck(RelationRelationId, relid, GetUserId()))
		return false;
	rel = try_relation_open(relid, AccessShareLock);
	if (rel == NULL)
		return false;
	result = ct_find_trigger(rel, CT_TRIGGER_STATUS) != NULL;
	relation_close(rel, AccessShareLock);
	return result;
}

/*
 * DETACH CONCURRENTLY commits half-way: the contacts of the partition would be
 * gone from the table, and still be counted.
 */
static void
check_alter_table(const AlterTableStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->cmds)
	{
		AlterTableCmd *command = lfirst(cell);

		if (command->subtype == AT_DetachPartition &&
			castNode(PartitionCmd, command->def)->concurrent &&
			is_ours(RangeVarGetRelid(statement->relation, NoLock, true)))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot detach a partition of attached table \"%s\" concurrently",
							statement->relation->relname),
					 errdetail("Until the command ends, the contacts of the partition would be counted, but no longer be in the table."),
					 errhint("Use DETACH PARTITION without CONCURRENTLY.")));
	}
}

PG_FUNCTION_INFO_V1(contacts_tier_command_starts);

/*
 * command_starts(): event trigger for ddl_command_start
 *
 * What a command that failed has left in the lists is forgotten here; a rollback does the same.
 *
 * Errors: 0A000.
 */
Datum
contacts_tier_command_starts(PG_FUNCTION_ARGS)
{
	EventTriggerData *data = event_trigger_data(fcinfo, "command_starts");

	ct_ddl_forget();
	if (IsA(data->parsetree, AlterTableStmt))
		check_alter_table((AlterTableStmt *) data->parsetree);
	return (Datum) 0;
}

/*
 * A column that is rewritten by an expression has other values, which no trigger has
 * seen.  Looked at when the command has ended, under its lock.  Errors: 55000.
 */
static void
check_rewritten(const AlterTableStmt *statement)
{
	char	   *args[CT_NARGS];
	ListCell   *cell;

	foreach(cell, statement->cmds)
	{
		AlterTableCmd *command = lfirst(cell);

		if (command->subtype != AT_AlterColumnType ||
			castNode(ColumnDef, command->def)->raw_default == NULL ||
			!ct_ddl_args(RangeVarGetRelid(statement->relation, NoLock, true), args))
			continue;
		for (int i = CT_ARG_ACCOUNT; i <= CT_ARG_UNTIL; i++)
			if (strcmp(args[i], command->name) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("cannot rewrite column \"%s\" of attached table \"%s\"",
								command->name, statement->relation->relname),
						 errdetail("The contacts of the table would be counted as they were before."),
						 errhint("Use UPDATE instead of ALTER COLUMN ... USING.")));
	}
}

/*
 * Do what follows from a note: the table is looked at as the command has left it, since
 * several of its actions may have concerned it.
 */
static void
settle(const Note *note)
{
	if (get_rel_relkind(note->relid) == '\0')
		return;					/* the same command has dropped it */
	if (ct_is_work_of_citus(note->relid, note->parent))
		return;
	if (note->change == ALTERED)
		ct_partition_altered(note->relid);
	else if (get_rel_relispartition(note->relid))
		ct_partition_attached(note->relid, note->parent);
	else
		ct_partition_detached(note->relid, note->parent);
}

PG_FUNCTION_INFO_V1(contacts_tier_command_ends);

/*
 * command_ends(): event trigger for ddl_command_end
 *
 * Locks: the slots of accounts whose contacts are counted in or out.  Errors: 0A000, 2BP01, 42501,
 * 55000.
 */
Datum
contacts_tier_command_ends(PG_FUNCTION_ARGS)
{
	EventTriggerData *data = event_trigger_data(fcinfo, "command_ends");
	List	   *todo = NIL;
	ListCell   *cell;

	/* commands of others that this causes have notes of their own */
	while (!slist_is_empty(&notes.notes))
		todo = lcons(slist_container(CtXactNote, node, slist_pop_head_node(&notes.notes)), todo);
	ct_ddl_check_conditions();
	ct_ddl_forget();
	foreach(cell, todo)
		settle(lfirst(cell));
	list_free_deep(todo);
	ct_guard_check(data->parsetree);
	if (IsA(data->parsetree, AlterTableStmt))
		check_rewritten((AlterTableStmt *) data->parsetree);
	return (Datum) 0;
}
