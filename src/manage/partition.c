/*-------------------------------------------------------------------------
 *
 * partition.c
 *	  Partitions that are attached to a managed table or detached from it, and tables
 *	  that are dropped: the counters follow (rule C1).
 *
 * PostgreSQL gives the row triggers to each partition.  The statement triggers it does not, and so
 * they can mark a partition: one that has them is counted.  The contacts of a partition are neither
 * promoted nor demoted when it is attached or detached; they correct the period (D3).
 *
 * ddl.c calls these functions, at the end of the command that did it, or just before a table is gone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

/*
 * Has the partition been counted in?  Only its statement triggers say so: the row triggers
 * are there as soon as it is a partition.
 */
static bool
is_counted(Relation rel)
{
	return ct_find_trigger(rel, CT_TRIGGER_TRUNCATE) != NULL;
}

/*
 * May there be contacts in this very relation?  A table of no blocks has none; one that has
 * blocks may be empty all the same.  Those of a table that Citus distributes are elsewhere.
 */
static bool
may_have_contacts(Relation rel)
{
	return rel->rd_rel->relkind == RELKIND_RELATION &&
		(RelationGetNumberOfBlocks(rel) > 0 || ct_is_distributed(RelationGetRelid(rel)));
}

/*
 * Does the relation belong to the owner of the contacts table, as whom it is
 * counted?  Errors: 42501, if there is something to count.
 */
static bool
belongs_to(Relation rel, Oid owner)
{
	if (rel->rd_rel->relowner == owner)
		return true;
	if (may_have_contacts(rel))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the contacts of \"%s\" cannot be counted", RelationGetRelationName(rel)),
				 errdetail("\"%s\" does not belong to the owner of the attached table.", RelationGetRelationName(rel)),
				 errhint("Use ALTER TABLE ... OWNER TO first."),
				 errtable(rel)));
	return false;
}

/*
 * Check that the partitions of a table that is going to be attached belong to its owner, as
 * whom they are counted and get their triggers; an empty one may belong to another role until
 * ct_partition_altered() finds it right.  Its clones of the row triggers have no comments until
 * then, for only the owner can comment on them.  The caller has locked all of them.  Errors: 42501.
 */
void
ct_check_partition_owners(Oid root)
{
	Oid			owner = ct_companion_owner(root);
	List	   *relids = find_all_inheritors(root, NoLock, NULL);
	ListCell   *cell;

	foreach(cell, relids)
	{
		Relation	rel = relation_open(lfirst_oid(cell), NoLock);

		(void) belongs_to(rel, owner);
		relation_close(rel, NoLock);
	}
}

/*
 * Give the statement triggers to the partitions of an attached table that do not
 * have them: those that were attached while event triggers were off.  They are not counted
 * in, since the row triggers may have counted their contacts; verify() shows the
 * difference, and repair() corrects it.
 */
void
ct_add_partition_triggers(Oid root_relid)
{
	Relation	root = table_open(root_relid, NoLock);
	char	   *args[CT_NARGS];
	List	   *relids;
	ListCell   *cell;

	/* those of shards come with the whole */
	if (!ct_is_shard(root_relid) && ct_trigger_args(root, CT_TRIGGER_STATUS, args))
	{
		relids = find_all_inheritors(root_relid, AccessShareLock, NULL);
		foreach(cell, relids)
		{
			Relation	rel = table_open(lfirst_oid(cell), NoLock);

			if (RelationGetRelid(rel) != root_relid &&
				rel->rd_rel->relkind != RELKIND_FOREIGN_TABLE &&
				rel->rd_rel->relowner == root->rd_rel->relowner &&
				!is_counted(rel))
				ct_create_statement_triggers(ct_qualified_name(rel), args);
			table_close(rel, NoLock);
		}
	}
	table_close(root, NoLock);
}

/* The quoted name of the next statement trigger of ours, or NULL. */
static char *
statement_trigger(Oid relid, char **table_name)
{
	Relation	rel = relation_open(relid, NoLock);
	Trigger    *trigger = ct_find_trigger(rel, CT_TRIGGER_APPLY);
	char	   *name = NULL;

	if (trigger == NULL)
		trigger = ct_find_trigger(rel, CT_TRIGGER_TRUNCATE);
	if (trigger != NULL)
		name = pstrdup(trigger->tgname);
	*table_name = ct_qualified_name(rel);
	relation_close(rel, NoLock);
	return name;
}

/*
 * Drop the statement triggers of a former partition, which the caller has locked
 * and not opened.  As its owner: that may be another role than the caller.  They are looked
 * up one by one, since each DROP changes what is known of the table.
 */
static void
drop_statement_triggers(Oid relid)
{
	Oid			owner = ct_companion_owner(relid);
	CtIdentity	identity;
	char	   *name;
	char	   *table_name;

	if (!OidIsValid(owner))
		return;
	ct_manage_as_owner(owner, &identity);
	if (ct_is_distributed(relid))
		ct_allow_distributed_ddl();
	while ((name = statement_trigger(relid, &table_name)) != NULL)
		ct_executef("DROP TRIGGER %s ON %s", quote_identifier(name), table_name);
	ct_restore_identity(&identity);
}

/*
 * Is this a former partition of a table with companion tables in this schema?  Locked for
 * DROP TRIGGER, and looked at under the lock.
 */
static bool
is_former_partition(Oid relid, const char *schema)
{
	Relation	rel = try_relation_open(relid, AccessExclusiveLock);
	Trigger    *trigger = rel == NULL ? NULL : ct_find_trigger(rel, CT_TRIGGER_TRUNCATE);
	bool		result = trigger != NULL && trigger->tgnargs > CT_ARG_SCHEMA &&
		strcmp(trigger->tgargs[CT_ARG_SCHEMA], schema) == 0 &&
		ct_find_trigger(rel, CT_TRIGGER_STATUS) == NULL;

	if (rel != NULL)
		relation_close(rel, NoLock);
	return result;
}

/*
 * Tables that were detached while event triggers were off still have the statement
 * triggers.  When the counters have been set to what is counted without them, they
 * must not pass for counted ones.
 */
void
ct_drop_former_triggers(const char *schema)
{
	uint64		count = ct_executef("SELECT t.tgrelid FROM pg_catalog.pg_trigger t"
									" JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) t.tgrelid"
									" WHERE t.tgfoid OPERATOR(pg_catalog.=) %u"
									" AND c.relowner OPERATOR(pg_catalog.=) %u"
									" AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger s"
									"  WHERE s.tgrelid OPERATOR(pg_catalog.=) t.tgrelid"
									"  AND s.tgfoid OPERATOR(pg_catalog.=) %u) ORDER BY 1",
									ct_function_oid(CT_TRIGGER_TRUNCATE), GetUserId(), ct_function_oid(CT_TRIGGER_STATUS));
	SPITupleTable *tables = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;
		Oid			relid = DatumGetObjectId(SPI_getbinval(tables->vals[i], tables->tupdesc, 1, &isnull));

		if (is_former_partition(relid, schema))
			drop_statement_triggers(relid);
	}
}

/*
 * Count in a partition that is new, whatever the tiers of its accounts, and create the
 * triggers that say so.  DDL must not fail for a tier: its contacts exist already, and the
 * next promotion finds the tier full.
 */
static void
count_partition(Oid relid, char **args, Oid owner, Relation parent)
{
	Relation	rel = table_open(relid, NoLock);
	const char *name = ct_qualified_name(rel);

	ct_check_countable(rel, args);
	if (ct_is_distributed(relid))
		ct_allow_distributed_ddl();
	if (!is_counted(rel) && belongs_to(rel, owner))
	{
		if (may_have_contacts(rel))
		{
			CtTable    *table = ct_table_resolve(rel, CT_NARGS, args);

			ct_check_companions(table);
			ct_normalise_contacts(name, table);
			ct_count_in(table, ct_is_distributed(relid) ? name : psprintf("ONLY %s", name));
		}
		ct_create_statement_triggers(name, args);
	}
	table_close(rel, NoLock);
}

/*
 * Do something, as the owner of an attached table, with a relation and all below it.  Each is
 * locked exclusively, as the command has locked the topmost: contacts that are counted must
 * not change meanwhile.
 */
static void
manage_tree(Oid relid, char **args, Oid owner, void (*work) (Oid relid, char **args, Oid owner, Relation parent),
			Relation parent)
{
	CtIdentity	identity;
	List	   *relids = find_all_inheritors(relid, AccessExclusiveLock, NULL);
	ListCell   *cell;

	ct_connect_spi();
	ct_manage_as_owner(owner, &identity);
	foreach(cell, relids)
		work(lfirst_oid(cell), args, owner, parent);
	ct_restore_identity(&identity);
	SPI_finish();
}

/*
 * A table became a partition: if it is one of an attached table, count it in.  The
 * command that did it has locked it, and what is below it.  Errors: 0A000 where it cannot
 * be counted, 42501 where it belongs to another role and has contacts.
 */
void
ct_partition_attached(Oid relid, Oid parent)
{
	Relation	rel = table_open(relid, NoLock);
	Oid			owner = ct_companion_owner(parent);
	char	   *args[CT_NARGS];
	bool		is_ours = OidIsValid(owner) && ct_trigger_args(rel, CT_TRIGGER_STATUS, args);

	table_close(rel, NoLock);
	if (is_ours)
		manage_tree(relid, args, owner, count_partition, NULL);
}

/* Are there counters to subtract contacts from?  They may have been dropped, or be about to be by the same command. */
static bool
has_counters(Relation rel, char **args)
{
	CtNames		names;
	Oid			counter;

	ct_names_resolve(&names, RelationGetRelid(rel), args[CT_ARG_SCHEMA]);
	counter = ct_companion_relid(&names, CT_COUNTER);
	return ct_companion_owner(counter) == rel->rd_rel->relowner &&
		get_attnum(counter, "account") > 0 && get_attnum(counter, "used") > 0 &&
		OidIsValid(ct_function_oid(CT_DEFAULT_STATUS));
}

/*
 * Subtract the contacts of this very relation from the counters, as its owner.  "exists" is the
 * condition that it has lost with its triggers, or NULL.  Errors: 42703, 42804 for columns that
 * are not as the triggers say.
 */
static void
uncount(Relation rel, char **args, Node *exists)
{
	if (!may_have_contacts(rel) || !has_counters(rel, args))
		return;
	if (ct_is_distributed(RelationGetRelid(rel)))
		ct_uncount(ct_table_resolve(rel, CT_NARGS, args), ct_qualified_name(rel), false);
	else
		ct_uncount_going(ct_table_resolve(rel, CT_NARGS, args), rel, exists);
}

/* The table is dropped all the same, so the counters are wrong until repair() is run. */
static void
warn_still_counted(Relation rel, const char *why)
{
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("the contacts of \"%s\" are still counted", RelationGetRelationName(rel)),
			 errdetail_internal("%s", why),
			 errhint("Run contacts_tier.repair() on the tables that share its companion tables."),
			 errtable(rel)));
}

/* Subtract what was a partition from the counters, and drop its triggers once it is closed. */
static void
uncount_detached(Oid relid, char **args, Oid owner, Relation parent)
{
	Relation	rel = relation_open(relid, NoLock);
	Node	   *exists = ct_condition_of_relation(parent, CT_TRIGGER_EXISTS);

	if (may_have_contacts(rel) && !has_counters(rel, args))
		ct_refuse_renamed(ct_table_resolve(parent, CT_NARGS, args));
	if (ct_is_distributed(relid))
		ct_allow_distributed_ddl();
	if (belongs_to(rel, owner))
		uncount(rel, args, (Node *) map_partition_varattnos((List *) exists, 1, rel, parent));
	relation_close(rel, NoLock);
	drop_statement_triggers(relid);
}

/*
 * A table ceased to be a partition: if it was one of an attached table, subtract it from the counters.  The command that
 * did it has locked both, and what is below it.  Errors: 42501 where it belongs to another role and has contacts, 42P01.
 */
void
ct_partition_detached(Oid relid, Oid parent)
{
	Relation	rel = try_relation_open(parent, AccessShareLock);
	char	   *args[CT_NARGS];

	if (rel != NULL && ct_trigger_args(rel, CT_TRIGGER_STATUS, args))
		manage_tree(relid, args, rel->rd_rel->relowner, uncount_detached, rel);
	if (rel != NULL)
		relation_close(rel, NoLock);
}

/*
 * The same for the partitions that wait to be detached, when the whole table ceases
 * to be attached.
 */
void
ct_detach_pending(Oid root)
{
	List	   *relids = ct_pending_partitions(root);
	ListCell   *cell;

	foreach(cell, relids)
	{
		LockRelationOid(lfirst_oid(cell), AccessExclusiveLock);
		ct_partition_detached(lfirst_oid(cell), root);
	}
}

/*
 * A partition that belonged to another role when it was attached is counted from now on,
 * if there is nothing in it.
 */
static void
count_empty_partition(Relation rel, char **args)
{
	const char *name = ct_qualified_name(rel);
	CtIdentity	identity;

	ct_connect_spi();
	ct_manage_as_owner(rel->rd_rel->relowner, &identity);
	if (!may_have_contacts(rel) ||
		ct_execute_latest(psprintf("SELECT FROM ONLY %s LIMIT 1", name)) == 0)
		ct_create_statement_triggers(name, args);
	ct_restore_identity(&identity);
	SPI_finish();
}

/*
 * A table was altered.  If it is attached, or a partition of one that is, it must
 * be one that can be counted still (0A000), and may have got the right owner.
 */
void
ct_partition_altered(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	char	   *args[CT_NARGS];

	if (rel == NULL)
		return;
	if (ct_trigger_args(rel, CT_TRIGGER_STATUS, args))
	{
		ct_check_countable(rel, args);
		if (rel->rd_rel->relispartition && !is_counted(rel) &&
			ct_companion_owner(get_partition_parent(relid, true)) == rel->rd_rel->relowner)
			count_empty_partition(rel, args);
	}
	relation_close(rel, AccessShareLock);
}

/* A table that is about to be dropped; see ct_table_dropped() */
typedef struct Going
{
	Relation	rel;
	char	  **args;
	Node	   *exists;
} Going;

/* Subtract it from the counters, as its owner; for ct_try(). */
static void
uncount_as_owner(void *arg)
{
	Going	   *going = arg;
	CtIdentity	identity;

	if (ct_is_distributed(RelationGetRelid(going->rel)))
		ct_check_propagated(going->rel->rd_rel->relowner);
	ct_connect_spi();
	ct_manage_as_owner(going->rel->rd_rel->relowner, &identity);
	uncount(going->rel, going->args, going->exists);
	ct_restore_identity(&identity);
	SPI_finish();
}

/*
 * The same for a table that another role than its owner drops, or whose condition may call what
 * has been dropped before it.  What the owner has put on the counters must not prevent that (R5).
 */
static void
try_to_uncount(Going *going)
{
	ErrorData  *error = ct_try(uncount_as_owner, going);

	if (error != NULL)
		warn_still_counted(going->rel, error->message);
}

/* Was it a shard until this command?  Its counters are distributed, and it is not. */
static bool
was_shard(Relation rel, char **args)
{
	CtNames		names;

	ct_names_resolve(&names, RelationGetRelid(rel), args[CT_ARG_SCHEMA]);
	return ct_is_distributed(ct_companion_relid(&names, CT_COUNTER)) && !ct_is_distributed(RelationGetRelid(rel));
}

/*
 * A table is about to be dropped, which has lost its triggers already; they said what is in "args",
 * and the condition of the contacts that exist, if not NULL.  The table is locked exclusively.  Where it
 * cannot be counted, a WARNING says so: a DROP must not fail for the sake of counters.
 */
void
ct_table_dropped(Oid relid, char **args, Node *exists)
{
	Relation	rel = ct_is_work_of_citus(relid, InvalidOid) ? NULL : try_relation_open(relid, NoLock);
	Going		going = {rel, args, exists};

	if (rel == NULL)
		return;
	/* nothing of a former shard is in the counters of the whole */
	if (!was_shard(rel, args) && may_have_contacts(rel) && has_counters(rel, args))
	{
		if (!ct_has_columns(rel, args))
			warn_still_counted(rel, "The columns of the table are not those that it was attached with.");
		else if (rel->rd_rel->relowner == GetUserId() && exists == NULL)
			uncount_as_owner(&going);
		else
			try_to_uncount(&going);
	}
	relation_close(rel, NoLock);
}
