/*-------------------------------------------------------------------------
 *
 * restore.c
 *	  What attach() has created for a table, created again by repair() where it is lost.
 *
 * Triggers say where the companion tables are and what columns are called.  As long as one
 * of the row triggers is left, the others can be created again, and the companion tables,
 * without what they had recorded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

/*
 * The arguments of any row trigger of ours, palloc'd; false if there is none.  Statement
 * triggers alone may be those of a former partition.
 */
static bool
remaining_args(Relation rel, char *args[CT_NARGS])
{
	return ct_trigger_args(rel, CT_TRIGGER_STATUS, args) ||
		ct_trigger_args(rel, CT_TRIGGER_COUNT, args);
}

/*
 * Are companion tables missing, and to be created again?  Not where their schema is
 * missing, or they are in that of the contacts: a schema was renamed then, and the HINT of
 * ct_check_sound() is to rename it back.
 */
static bool
lacks_companions(Oid relid, const char *schema)
{
	CtNames		there;
	CtNames		here;
	char	   *own_schema;
	int			missing = 0;
	int			elsewhere = 0;

	ct_names_resolve(&there, relid, schema);
	own_schema = get_namespace_name(get_rel_namespace(relid));
	if (own_schema == NULL)
		return false;			/* the table is gone */
	ct_names_resolve(&here, relid, own_schema);
	for (int i = 0; i < CT_NCOMPANIONS; i++)
	{
		missing += !OidIsValid(ct_companion_relid(&there, i));
		elsewhere += OidIsValid(ct_companion_relid(&here, i));
	}
	if (missing == CT_NCOMPANIONS && elsewhere == CT_NCOMPANIONS)
		return false;
	return missing > 0 && OidIsValid(get_namespace_oid(schema, true));
}

/* Tell of companion tables that are about to be created again. */
static void
warn_of_missing(const CtTable *table)
{
	for (int i = 0; i < CT_NCOMPANIONS; i++)
		if (!OidIsValid(ct_companion_relid(&table->names, i)))
			ereport(WARNING,
					(errcode(ERRCODE_WARNING),
					 errmsg("companion table \"%s.%s\" was missing and has been created again",
							NameStr(table->names.schema), NameStr(table->names.companions[i])),
					 i == CT_ACCOUNT ?
					 errdetail("The subscriptions of all accounts are lost.") :
					 i == CT_COUNTER ?
					 errdetail("The contacts of all accounts are counted again.") :
					 errdetail("The history of all accounts is lost."),
					 i == CT_ACCOUNT ?
					 errhint("Subscribe the accounts again with contacts_tier.subscribe().") : 0));
}

/*
 * Before a table is detached: if there are counters, of which its contacts are subtracted, but
 * other companion tables are missing, create these again.  The caller is the owner,
 * connected to SPI.  Errors: 42P07, those of CREATE TABLE.
 */
void
ct_restore_companions(const CtTable *table)
{
	if (!OidIsValid(ct_companion_relid(&table->names, CT_COUNTER)) ||
		(OidIsValid(ct_companion_relid(&table->names, CT_ACCOUNT)) &&
		 OidIsValid(ct_companion_relid(&table->names, CT_LEDGER))))
		return;
	warn_of_missing(table);
	ct_create_companions(table, true);
}

/* Restore a table, with these arguments of its triggers, as its owner; closes it. */
static void
restore_registered(Relation rel, char **args)
{
	Oid			relid = RelationGetRelid(rel);
	char	   *name = ct_qualified_name(rel);
	bool		has_status = ct_find_trigger(rel, CT_TRIGGER_STATUS) != NULL;
	CtIdentity	identity;
	CtTable    *table;

	ct_connect_spi();
	ct_manage_as_owner(rel->rd_rel->relowner, &identity);
	table = ct_table_resolve(rel, CT_NARGS, args);
	/* else ct_check_sound() says what is wrong */
	if (lacks_companions(relid, args[CT_ARG_SCHEMA]) && ct_some_companions_fit(table))
	{
		warn_of_missing(table);
		ct_create_companions(table, true);
	}
	relation_close(rel, NoLock);
	if (!has_status)
		ct_restore_triggers(relid, name, args);
	ct_restore_identity(&identity);
	SPI_finish();
}

/*
 * Make a table known as attached again, if it was: create its companion tables and its status
 * trigger, where they are missing.  What else is missing ct_restore_table() creates.
 *
 * Locks: the table, against writers, if something is missing; otherwise none, for the caller
 * is going to lock several in the order of their OIDs.  Errors: 42501, 42P01, 42703, 42804,
 * those of CREATE TABLE.
 */
void
ct_restore_registered(Oid relid)
{
	char	   *args[CT_NARGS];
	Relation	rel;

	if (ct_look_up_args(relid, args) && !lacks_companions(relid, args[CT_ARG_SCHEMA]))
		return;
	rel = ct_open_owned(relid, ShareRowExclusiveLock);
	if (!rel->rd_rel->relispartition && remaining_args(rel, args))
		restore_registered(rel, args);
	else
		relation_close(rel, NoLock);
}

/*
 * Enable triggers of ours that somebody has disabled, of a table, its partitions and the
 * tables of the same owner that it guards.  One that fires always stays so.
 */
static void
enable_triggers(const CtTable *table)
{
	uint64		count = ct_executef("SELECT pg_catalog.format('ALTER TABLE %%s ENABLE TRIGGER %%I',"
									"  t.tgrelid::pg_catalog.regclass, t.tgname)"
									" FROM pg_catalog.pg_trigger t"
									" JOIN pg_catalog.pg_class r ON r.oid OPERATOR(pg_catalog.=) t.tgrelid"
									" WHERE t.tgenabled IN ('D', 'R') AND r.relowner OPERATOR(pg_catalog.=) %u"
									" AND (t.tgfoid IN (%u, %u, %u, %u)"
									"  AND (t.tgrelid OPERATOR(pg_catalog.=) %u"
									"   OR t.tgrelid IN (SELECT p.relid FROM pg_catalog.pg_partition_tree(%u) p))"
									"  OR t.tgfoid OPERATOR(pg_catalog.=) 'contacts_tier_internal.guard_send()'::pg_catalog.regprocedure"
									"  AND pg_catalog.strpos(pg_catalog.encode(t.tgargs, 'hex'),"
									"   (SELECT pg_catalog.encode(pg_catalog.convert_to(n.nspname, pg_catalog.getdatabaseencoding()), 'hex') OPERATOR(pg_catalog.||) '00'"
									"     OPERATOR(pg_catalog.||) pg_catalog.encode(pg_catalog.convert_to(c.relname, pg_catalog.getdatabaseencoding()), 'hex') OPERATOR(pg_catalog.||) '00'"
									"    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
									"    WHERE c.oid OPERATOR(pg_catalog.=) %u)) OPERATOR(pg_catalog.=) 1)"
									" ORDER BY t.tgrelid, t.tgname",
									table->owner,
									ct_function_oid(CT_TRIGGER_STATUS), ct_function_oid(CT_TRIGGER_COUNT),
									ct_function_oid(CT_TRIGGER_APPLY), ct_function_oid(CT_TRIGGER_TRUNCATE),
									table->relid, table->relid, table->relid);
	SPITupleTable *found = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
		ct_execute(SPI_getvalue(found->vals[i], found->tupdesc, 1), 0, NULL, NULL, NULL);
}

/*
 * Create again what an attached table has lost: triggers, the index, defaults of its columns and of the
 * ledger; and enable its triggers.  Who is impatient waits for no lock long: only a lost default needs
 * more than the lock against writers, which the caller holds.
 *
 * Errors: 42501, 42703, 42804, 55P03.
 */
void
ct_restore_table(Oid relid, bool is_impatient)
{
	Relation	rel = ct_open_owned(relid, ShareRowExclusiveLock);
	char	   *args[CT_NARGS];
	char	   *name = ct_qualified_name(rel);
	List	   *create_index = NIL;
	CtIdentity	identity;
	CtTable    *table;

	if (!ct_trigger_args(rel, CT_TRIGGER_STATUS, args))
	{
		relation_close(rel, NoLock);
		return;
	}
	ct_connect_spi();
	ct_manage_as_owner(rel->rd_rel->relowner, &identity);
	if (is_impatient)
		ct_limit_lock_waits(1000);
	if (ct_is_distributed(relid))
		ct_allow_distributed_ddl();
	table = ct_table_resolve(rel, CT_NARGS, args);
	if (!ct_has_pending_index(relid, InvalidOid))
		create_index = ct_pending_index_statements(rel, table);
	relation_close(rel, NoLock);
	ct_restore_triggers(relid, name, args);
	enable_triggers(table);
	ct_execute_each(create_index);
	ct_set_defaults(relid, name, args, false);
	ct_restate_ledger_default(table);
	ct_restore_identity(&identity);
	SPI_finish();
}

/*
 * The owner needs his privileges on the companion tables: grant those that he has revoked
 * from himself.  On the ledger, what ct_restate_ledger_privileges() revokes stays so.  The
 * caller is the owner, connected to SPI.
 */
void
ct_restore_privileges(const CtTable *table)
{
	static const char *const privileges[CT_NCOMPANIONS] = {
		[CT_ACCOUNT] = "ALL",
		[CT_COUNTER] = "ALL",
		[CT_LEDGER] = "SELECT, INSERT, REFERENCES, TRIGGER"
	};

	for (int i = 0; i < CT_NCOMPANIONS; i++)
	{
		Oid			relid = ct_companion_relid(&table->names, i);
		AclMode		needed = ACL_SELECT | ACL_INSERT | (i == CT_LEDGER ? 0 : ACL_UPDATE | ACL_DELETE);

		if (pg_class_aclmask(relid, table->owner, needed, ACLMASK_ALL) != needed)
			ct_executef("GRANT %s ON %s TO %s", privileges[i],
						quote_qualified_identifier(NameStr(table->names.schema), NameStr(table->names.companions[i])),
						quote_identifier(GetUserNameFromId(table->owner, false)));
	}
}
