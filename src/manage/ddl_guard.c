/*-------------------------------------------------------------------------
 *
 * ddl_guard.c
 *	  What an attached table needs is neither dropped nor given another type (rule O3).
 *
 * Columns, their types and the index of flagged contacts are the table's own, so the owner
 * could take them away, and each later write would fail, or each update date read the whole
 * table.
 *
 * PostgreSQL could refuse that by dependencies, for instance of a trigger UPDATE OF these
 * columns.  But CASCADE drops a dependent trigger in silence, nothing can depend on an
 * index in this way, and the HINT would be to use CASCADE.  So object_access_hook sees what a
 * command drops, in whatever way: ALTER TABLE, the type of a column that is dropped with
 * CASCADE, DROP OWNED.  The session need not have loaded the library before: the event
 * trigger on ddl_command_start does that (ddl.c), and only a superuser can turn event
 * triggers off.
 *
 * What is dropped with its table is not missed.  A column may be dropped before the table
 * that the same command drops, with its type (object_address_present_add_flags()).  So
 * the hook notes, and the end of the command looks whether the table is still there, and
 * attached: detach() drops the triggers first, and so does pg_restore --clean.  What fails
 * there is rolled back with the command.
 *
 * An index is missed only where no other of the kind is left: pg_repack and REINDEX
 * CONCURRENTLY create another one before they drop the first.  DROP INDEX CONCURRENTLY
 * commits half-way, so it is refused at once.
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
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "manage/manage.h"

/* Something that an attached table needs, and that a command has dropped */
typedef struct Missed
{
	CtXactNote	note;			/* must be first */
	Oid			relid;			/* the table */
	bool		is_index;
	bool		is_companion;	/* or a companion table */
	NameData	name;			/* of the column, index or table */
	NameData	missing;		/* column that the table needs and does not
								 * have; empty for none */
} Missed;

/* In TopTransactionContext */
static CtXactList missed = {0};

/*
 * Is the table attached itself, not only a partition of one that is?  The caller has locked
 * it, or the command has.
 */
bool
ct_ddl_is_attached(Oid relid)
{
	Relation	rel = try_relation_open(relid, NoLock);
	Trigger    *trigger = rel == NULL ? NULL : ct_find_trigger(rel, CT_TRIGGER_STATUS);
	bool		result = trigger != NULL && !trigger->tgisclone;

	if (rel != NULL)
		relation_close(rel, NoLock);
	return result;
}

/* How the table is detached, as a HINT. */
static char *
detach_hint(Oid relid)
{
	char	   *name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));

	return psprintf("Detach the table first, with SELECT contacts_tier.detach(%s).", quote_literal_cstr(name));
}

/*
 * A column as this command has left it, which no cache knows yet; again by SnapshotSelf.
 * False if there is none.  The fixed part of its row suffices.
 */
static bool
changed_column(Oid relid, int attno, FormData_pg_attribute *column)
{
	Relation	pg_attribute = table_open(AttributeRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key[0], Anum_pg_attribute_attrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	ScanKeyInit(&key[1], Anum_pg_attribute_attnum, BTEqualStrategyNumber, F_INT2EQ, Int16GetDatum(attno));
	scan = systable_beginscan(pg_attribute, AttributeRelidNumIndexId, true, SnapshotSelf, lengthof(key), key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
		memcpy(column, GETSTRUCT(tuple), ATTRIBUTE_FIXED_PART_SIZE);
	systable_endscan(scan);
	table_close(pg_attribute, AccessShareLock);
	return found;
}

/*
 * Does another type modifier leave all values as they are?  A shorter string type raises an
 * error for what does not fit; a number may be rounded.
 */
static bool
preserves_values(Oid type, int32 old_typmod, int32 typmod)
{
	return typmod == old_typmod || typmod < 0 || type == VARCHAROID || type == BPCHAROID;
}

/* Which property the column of an attached table has; CT_ARG_SCHEMA: none. */
static CtTriggerArg
property_of(Oid relid, char *const args[CT_NARGS], int attno)
{
	for (int i = CT_ARG_ACCOUNT; i < CT_COLUMNS_END; i++)
		if (get_attnum(relid, args[i]) == attno)
			return (CtTriggerArg) i;
	return CT_ARG_SCHEMA;
}

/*
 * The name of a column that an attached table needs and does not have, since somebody has renamed
 * it; NULL if it has all.  Any column may be that one then, until it is renamed back.
 */
static const char *
missing_column(Oid relid, char *const args[CT_NARGS])
{
	for (int i = CT_ARG_ACCOUNT; i < CT_COLUMNS_END; i++)
		if (args[i][0] != '\0' && get_attnum(relid, args[i]) == InvalidAttrNumber)
			return args[i];
	return NULL;
}

/* For an ereport(): why no column can be dropped or altered now. */
static int
errdetail_missing(const char *missing)
{
	return errdetail("The table needs a column \"%s\", which has been renamed, and this may be the one.", missing);
}

/*
 * A column was altered.  Triggers write status columns of the types that attach() gives them;
 * the companion tables know accounts by their type, and find them equal by their collation.
 * The old type is what caches still have.  The hook is called before rows are rewritten
 * (ATExecAlterColumnType()).  Errors: 55000.
 */
void
ct_guard_column_altered(Oid relid, int attno)
{
	char	   *args[CT_NARGS];
	FormData_pg_attribute new;
	Oid			type;
	int32		typmod;
	Oid			collation;
	CtTriggerArg property;

	if (!ct_ddl_args(relid, args) || !changed_column(relid, attno, &new))
		return;
	property = property_of(relid, args, attno);
	get_atttypetypmodcoll(relid, attno, &type, &typmod, &collation);
	/* not one that the same command has dropped: ct_guard_check() tells */
	if (property == CT_ARG_SCHEMA && new.atttypid != type && slist_is_empty(&missed.notes) &&
		missing_column(relid, args) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot alter type of column \"%s\" of attached table \"%s\"",
						get_attname(relid, attno, false), get_rel_name(relid)),
				 errdetail_missing(missing_column(relid, args)),
				 errhint("Rename the column back first."),
				 ct_errtable(relid)));
	if (property >= CT_ARG_STATUS && new.atttypid != type &&
		(ct_is_column_type(property, type) || !ct_is_column_type(property, new.atttypid)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot alter type of column \"%s\" of attached table \"%s\"",
						get_attname(relid, attno, false), get_rel_name(relid)),
				 errdetail("Triggers of contacts_tier write the column, and need it to be of type %s.",
						   format_type_be(type)),
				 errhint("%s", detach_hint(relid)),
				 ct_errtable(relid)));
	if (property == CT_ARG_ACCOUNT &&
		(new.atttypid != type || new.attcollation != collation ||
		 !preserves_values(type, typmod, new.atttypmod)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot alter type of column \"%s\" of attached table \"%s\"",
						get_attname(relid, attno, false), get_rel_name(relid)),
				 errdetail("The column identifies the account of a contact, and the companion tables have accounts of this type and collation."),
				 errhint("Detach the table with contacts_tier.detach(), alter the column and the columns \"account\" of its companion tables, and attach the table again."),
				 ct_errtable(relid)));
}

/* An index of flagged contacts is gone, or about to be, and no other is left: 2BP01. */
static void
index_error(Oid relid, const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot drop index \"%s\" because attached table \"%s\" requires it",
					name, get_rel_name(relid)),
			 errdetail("The rollover uses the index to find contacts that become non-marketing on the update date."),
			 errhint("%s", detach_hint(relid)),
			 ct_errtable(relid)));
}

/* Note something that is being dropped. */
static Missed *
note_missed(Oid relid, bool is_index, const char *name, const char *missing)
{
	Missed	   *note = MemoryContextAllocZero(TopTransactionContext, sizeof(Missed));

	note->relid = relid;
	note->is_index = is_index;
	namestrcpy(&note->name, name);
	namestrcpy(&note->missing, missing == NULL ? "" : missing);
	ct_xact_note(&missed, &note->note);
	return note;
}

/*
 * A column is about to be dropped; its partitions lose it with the attached table.  A generated
 * column of the name is in the way of writers, and is not missed.
 */
static void
column_dropped(Oid relid, int attno)
{
	char	   *args[CT_NARGS];
	const char *missing;

	if (!ct_ddl_is_attached(relid) || !ct_ddl_args(relid, args) || get_attgenerated(relid, attno))
		return;
	missing = missing_column(relid, args);
	if (missing != NULL || property_of(relid, args, attno) != CT_ARG_SCHEMA)
		note_missed(relid, false, get_attname(relid, attno, false), missing);
}

/*
 * A distributed companion table is about to be dropped, on which no trigger depends as on one server
 * (ct_create_truncate_trigger()): note the attached tables that use it.
 */
static void
companion_dropped(Oid relid)
{
	char	   *name = get_rel_name(relid);
	CtNames		names;
	bool		is_companion = false;
	ListCell   *cell;

	if (!ct_is_distributed(relid) || ct_is_work_of_citus(relid, InvalidOid))
		return;
	ct_names_resolve(&names, InvalidOid, get_namespace_name(get_rel_namespace(relid)));
	for (int i = 0; i < CT_NCOMPANIONS; i++)
		is_companion |= strcmp(NameStr(names.companions[i]), name) == 0;
	if (!is_companion)
		return;
	foreach(cell, ct_attached_tables(&names))
		note_missed(lfirst_oid(cell), false, name, NULL)->is_companion = true;
}

/* An index is about to be dropped.  Errors: 2BP01. */
static void
index_dropped(Oid index, int dropflags)
{
	Oid			relid;

	if (!ct_is_pending_index(index))
		return;
	relid = IndexGetRelation(index, true);
	if (!OidIsValid(relid) || !ct_ddl_is_attached(relid))
		return;
	if ((dropflags & PERFORM_DELETION_CONCURRENTLY) == 0)
		note_missed(relid, true, get_rel_name(index), NULL);
	else if (!ct_has_pending_index(relid, index))
		index_error(relid, get_rel_name(index));
}

/*
 * Something is about to be dropped, and not because PostgreSQL replaces it
 * (PERFORM_DELETION_INTERNAL).  Errors: 2BP01 where that cannot wait for the end of the
 * command.
 */
void
ct_guard_dropped(Oid class_id, Oid object_id, int sub_id, int dropflags)
{
	char		relkind;

	if (class_id == TriggerRelationId)
		ct_guard_replaced(object_id);
	if (class_id != RelationRelationId)
		return;
	relkind = get_rel_relkind(object_id);
	if (sub_id > 0 && (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE))
		column_dropped(object_id, sub_id);
	else if (sub_id == 0 && relkind == RELKIND_RELATION && ct_has_citus())
		companion_dropped(object_id);
	else if (sub_id == 0 && (relkind == RELKIND_INDEX || relkind == RELKIND_PARTITIONED_INDEX))
		index_dropped(object_id, dropflags);
}

/* A column that an attached table needs is gone: 2BP01. */
static void
column_error(const Missed *note)
{
	const char *missing = NameStr(note->missing);

	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot drop column \"%s\" of attached table \"%s\"",
					NameStr(note->name), get_rel_name(note->relid)),
			 missing[0] != '\0' ? errdetail_missing(missing) :
			 errdetail("The column has the account or a status property of each contact."),
			 missing[0] != '\0' ? errhint("Rename the column back first.") :
			 errhint("%s", detach_hint(note->relid)),
			 ct_errtable(note->relid)));
}

/* A companion table of an attached table is gone: 2BP01. */
static void
companion_error(const Missed *note)
{
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("cannot drop table \"%s\" because attached table \"%s\" depends on it",
					NameStr(note->name), get_rel_name(note->relid)),
			 errhint("%s", detach_hint(note->relid)),
			 ct_errtable(note->relid)));
}

/*
 * An index is gone.  DROP INDEX can have meant nothing else, and is refused.  Where it went
 * with a column of the primary key, that is not: nothing is wrong without the index, only slow.
 */
static void
index_missed(const Missed *note, Node *command)
{
	if (ct_has_pending_index(note->relid, InvalidOid))
		return;
	if (IsA(command, DropStmt) && ((DropStmt *) command)->removeType == OBJECT_INDEX)
		index_error(note->relid, NameStr(note->name));
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("index \"%s\" of attached table \"%s\" was dropped with one of its columns",
					NameStr(note->name), get_rel_name(note->relid)),
			 errdetail("The rollover uses the index to find contacts that become non-marketing on the update date."),
			 errhint("Use contacts_tier.repair() to create it again."),
			 ct_errtable(note->relid)));
}

/*
 * A command has ended: is anything missed that it has dropped?  Also at the end of a
 * command that an event trigger runs meanwhile.  Errors: 2BP01.
 */
void
ct_guard_check(Node *command)
{
	while (!slist_is_empty(&missed.notes))
	{
		CtXactNote *first = slist_container(CtXactNote, node, slist_pop_head_node(&missed.notes));
		Missed	   *note = (Missed *) first;

		if (get_rel_relkind(note->relid) == '\0' || !ct_ddl_is_attached(note->relid))
			continue;			/* dropped or detached by the same command */
		if (note->is_companion)
			companion_error(note);
		else if (note->is_index)
			index_missed(note, command);
		else
			column_error(note);
	}
}

/*
 * Have the list served.
 */
void
ct_ddl_guard_init(void)
{
	ct_xact_list_add(&missed);
}
