/*-------------------------------------------------------------------------
 *
 * ddl_trigger.c
 *	  Who creates and replaces triggers of the extension.
 *
 * CREATE TRIGGER demands no more than the privilege TRIGGER, also where it replaces one.  What our
 * triggers do, they do as the owner of the table, and a condition is evaluated as the owner: who
 * has that privilege must not choose what the owner runs (R3), nor count contacts twice or not at all.
 * And contacts are counted by their condition, so another one needs set_condition(), which counts
 * them again (C1).
 *
 * A dump creates the triggers anew, as the owner or a superuser, on a table that has none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "manage/manage.h"

static bool
holds_condition(Oid function)
{
	CtFunction	kind = ct_function(function);

	return kind == CT_TRIGGER_EXISTS || kind == CT_TRIGGER_ELIGIBLE;
}

/*
 * Does a trigger replace a condition, or add another one of its kind?  The relation cache has
 * triggers as they were before the command, or also the new one, if it is the first of the relation:
 * CreateTrigger() increments the command counter then.
 */
static bool
changes_condition(Relation rel, const FormData_pg_trigger *created, bool is_new)
{
	const TriggerDesc *triggers = rel->trigdesc;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (holds_condition(trigger->tgfoid) &&
			(trigger->tgoid == created->oid ? !is_new : trigger->tgfoid == created->tgfoid))
			return true;
	}
	return false;
}

/* Is a trigger one of ours, or in the place of one? */
static bool
concerns_us(Relation rel, const FormData_pg_trigger *created)
{
	const TriggerDesc *triggers = rel->trigdesc;

	if (ct_function(created->tgfoid) != CT_OTHER_FUNCTION)
		return true;
	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (triggers->triggers[i].tgoid == created->oid)
			return ct_function(triggers->triggers[i].tgfoid) != CT_OTHER_FUNCTION;
	return false;
}

/* Check a trigger that was created on a relation, which the command has locked. */
static void
check_created(const FormData_pg_trigger *created, bool is_new)
{
	Relation	rel = relation_open(created->tgrelid, NoLock);

	if (concerns_us(rel, created) && !object_ownercheck(RelationRelationId, created->tgrelid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(rel->rd_rel->relkind), RelationGetRelationName(rel));
	/* Citus hands on what set_condition() does, in a session of its own */
	if (!ct_sets_condition() && !ct_is_work_of_citus(created->tgrelid, InvalidOid) && changes_condition(rel, created, is_new))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot change a condition of table \"%s\" with CREATE TRIGGER", RelationGetRelationName(rel)),
				 errdetail("Its contacts are counted, or promoted, by the condition."),
				 errhint("Use contacts_tier.set_condition()."),
				 errtable(rel)));
	relation_close(rel, NoLock);
}

/*
 * The row of a trigger in pg_trigger that a snapshot shows, NULL being the catalog snapshot; NULL if there is
 * none.  The result is palloc'd.
 */
HeapTuple
ct_read_trigger(Oid trigger, Snapshot snapshot)
{
	Relation	pg_trigger = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(trigger));
	scan = systable_beginscan(pg_trigger, TriggerOidIndexId, true, snapshot, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	table_close(pg_trigger, AccessShareLock);
	return tuple;
}

/*
 * A trigger was created or replaced, as a row of pg_trigger that only SnapshotSelf shows for certain; the
 * catalog snapshot shows the one that was replaced.  Clones in partitions follow that of their
 * parent.  Errors: 42501 for others than the owner of the table, 55000.
 */
void
ct_guard_trigger_created(Oid trigger)
{
	HeapTuple	after = ct_read_trigger(trigger, SnapshotSelf);
	HeapTuple	before = ct_read_trigger(trigger, NULL);
	bool		is_new = before == NULL || after == NULL || ItemPointerEquals(&before->t_self, &after->t_self);

	if (after != NULL && !OidIsValid(((Form_pg_trigger) GETSTRUCT(after))->tgparentid))
		check_created((Form_pg_trigger) GETSTRUCT(after), is_new);
}
