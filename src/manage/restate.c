/*-------------------------------------------------------------------------
 *
 * restate.c
 *	  What attach() has stated about companion tables, stated again.
 *
 * A dump that is restored without owners, or without privileges, lets the new owner of the
 * ledger change its entries; and the owner may have put a partitioned ledger in the place of an
 * ordinary one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "manage/manage.h"

/*
 * Revoke from the owner of a ledger what create_companions() does, of it and of its partitions: where he has it by the
 * privileges that are known here, or "anyway".  The caller is the owner, and connected to SPI.
 */
static void
revoke_from_owner(Oid owner, Oid ledger, bool anyway)
{
	uint64		count = ct_executef("SELECT pg_catalog.format('REVOKE UPDATE, DELETE, TRUNCATE ON %%s FROM %%I',"
									"  c.oid::pg_catalog.regclass, pg_catalog.pg_get_userbyid(c.relowner))"
									" FROM pg_catalog.pg_class c WHERE c.relowner OPERATOR(pg_catalog.=) %u"
									" AND (c.oid OPERATOR(pg_catalog.=) %u"
									"  OR c.oid IN (SELECT t.relid FROM pg_catalog.pg_partition_tree(%u) t))"
									" AND (%s OR EXISTS (SELECT FROM pg_catalog.aclexplode("
									"   coalesce(c.relacl, pg_catalog.acldefault('r', c.relowner))) a"
									"  WHERE a.grantee OPERATOR(pg_catalog.=) c.relowner"
									"  AND a.privilege_type IN ('UPDATE', 'DELETE', 'TRUNCATE')))",
									owner, ledger, ledger, anyway ? "true" : "false");
	SPITupleTable *found = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
		ct_execute(SPI_getvalue(found->vals[i], found->tupdesc, 1), 0, NULL, NULL, NULL);
}

/*
 * Entries of the ledger are only inserted: revoke the other privileges from its owner, on all nodes if Citus
 * distributes it.  What he has granted to others stays.  The caller is the owner, and connected to SPI.
 */
void
ct_restate_ledger_privileges(const CtTable *table)
{
	Oid			ledger = ct_companion_relid(&table->names, CT_LEDGER);

	revoke_from_owner(table->owner, ledger, ct_is_distributed(ledger));
}

/*
 * Entries of the ledger get their keys by a default, which uninstall() and DROP EXTENSION drop: create it
 * again.  Ledgers that are not as attach() creates them ct_check_companions() refuses.  The caller is the
 * owner, and connected to SPI.
 *
 * Locks: ACCESS EXCLUSIVE on the ledger, if it has no such default.
 */
void
ct_restate_ledger_default(const CtTable *table)
{
	if (ct_executef("SELECT pg_catalog.format('ALTER TABLE %%s ALTER entry SET DEFAULT contacts_tier_internal.ledger_entry()',"
					"  c.oid::pg_catalog.regclass)"
					" FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid"
					" WHERE c.oid OPERATOR(pg_catalog.=) %u AND c.relowner OPERATOR(pg_catalog.=) %u AND c.relkind IN ('r', 'p')"
					" AND a.attname OPERATOR(pg_catalog.=) 'entry' AND NOT a.atthasdef AND a.atttypid OPERATOR(pg_catalog.=) %u",
					ct_companion_relid(&table->names, CT_LEDGER), table->owner, UUIDOID) > 0)
		ct_execute(ct_result_text(1), 0, NULL, NULL, NULL);
}

/*
 * Lock a companion table on this node, so that two do not change its privileges at once, as VACUUM does; false if
 * somebody holds a lock, or there is no such table.
 */
static bool
lock_companion(Oid relid)
{
	return OidIsValid(relid) && ConditionalLockRelationOid(relid, ShareUpdateExclusiveLock);
}

/* Revoke from others what they have on a shard, and not on the whole table as this node knows it: default privileges. */
static void
revoke_from_others(Oid shard, Oid whole)
{
	uint64		count = ct_executef("SELECT DISTINCT pg_catalog.format('REVOKE %%s ON %%s FROM %%s', a.privilege_type, s.oid::pg_catalog.regclass,"
									"  coalesce(pg_catalog.quote_ident(r.rolname), 'PUBLIC'))"
									" FROM pg_catalog.pg_class s JOIN pg_catalog.pg_class w ON w.oid OPERATOR(pg_catalog.=) %u,"
									" LATERAL pg_catalog.aclexplode(s.relacl) a LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) a.grantee"
									" WHERE s.oid OPERATOR(pg_catalog.=) %u AND a.grantee OPERATOR(pg_catalog.<>) s.relowner"
									" AND a.grantor OPERATOR(pg_catalog.=) s.relowner"
									" AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(w.relacl) x"
									"  WHERE x.grantee OPERATOR(pg_catalog.=) a.grantee AND x.privilege_type OPERATOR(pg_catalog.=) a.privilege_type)",
									whole, shard);
	SPITupleTable *found = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
		ct_execute(SPI_getvalue(found->vals[i], found->tupdesc, 1), 0, NULL, NULL, NULL);
}

/*
 * State privileges on the node of a shard, of its companion tables and of the whole ledger as this node knows it.  To a
 * node that comes later, and with a shard that moves, Citus hands on what is granted, and not what is revoked from
 * the owner, nor from those who have default privileges on that node.  Until the identity is restored, commands here reach no
 * other node.
 *
 * Locks: the companion tables, as VACUUM does; one that is locked so is left for the next time.
 */
void
ct_restate_on_node(const CtTable *table)
{
	CtNames		whole;
	Oid			ledger;

	ct_names_resolve(&whole, InvalidOid, NameStr(table->names.schema));
	ct_set_for_now("citus.enable_ddl_propagation", "off");
	for (int i = 0; i < CT_NCOMPANIONS; i++)
	{
		Oid			shard = ct_companion_relid(&table->names, i);

		if (!lock_companion(shard))
			continue;
		revoke_from_others(shard, ct_companion_relid(&whole, i));
		if (i == CT_LEDGER)
			revoke_from_owner(table->owner, shard, false);
	}
	ledger = ct_companion_relid(&whole, CT_LEDGER);
	if (lock_companion(ledger))
		revoke_from_owner(table->owner, ledger, false);
}

/*
 * The companion tables cannot be dropped, since the TRUNCATE triggers of an attached table and its
 * partitions depend on them: create those anew that depend on former ones.  The caller is the
 * owner, connected to SPI, and has locked these tables.
 */
void
ct_restate_dependencies(const CtTable *table)
{
	char	   *args[CT_NARGS];
	uint64		count;
	SPITupleTable *found;

	if (!ct_look_up_args(table->relid, args))
		return;
	count = ct_executef("SELECT pg_catalog.quote_ident(t.tgname), t.tgrelid::pg_catalog.regclass::pg_catalog.text"
						" FROM pg_catalog.pg_trigger t"
						" JOIN pg_catalog.pg_class r ON r.oid OPERATOR(pg_catalog.=) t.tgrelid"
						" WHERE t.tgfoid OPERATOR(pg_catalog.=) %u AND r.relowner OPERATOR(pg_catalog.=) %u"
						" AND (t.tgrelid OPERATOR(pg_catalog.=) %u"
						"  OR t.tgrelid IN (SELECT p.relid FROM pg_catalog.pg_partition_tree(%u) p))"
						" AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid IN (%u, %u, %u)"
						"  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d"
						"   WHERE d.classid OPERATOR(pg_catalog.=) t.tableoid AND d.objid OPERATOR(pg_catalog.=) t.oid"
						"   AND d.refclassid OPERATOR(pg_catalog.=) %u AND d.refobjid OPERATOR(pg_catalog.=) c.reltype))",
						ct_function_oid(CT_TRIGGER_TRUNCATE), table->owner, table->relid, table->relid,
						ct_companion_relid(&table->names, CT_ACCOUNT), ct_companion_relid(&table->names, CT_COUNTER),
						ct_companion_relid(&table->names, CT_LEDGER), TypeRelationId);
	found = SPI_tuptable;
	for (uint64 i = 0; i < count; i++)
		ct_create_truncate_trigger(SPI_getvalue(found->vals[i], found->tupdesc, 1),
								   SPI_getvalue(found->vals[i], found->tupdesc, 2), args);
}

/*
 * Refuse companion tables that have other names now: contacts would stay counted in them, and the history would be
 * lost.  Where they are dropped, and not renamed, the trigger for TRUNCATE of an attached table has gone with them.
 * The caller is the owner, and connected to SPI.  Errors: 42P01.
 */
void
ct_refuse_renamed(const CtTable *table)
{
	const CtNames *names = &table->names;

	if (OidIsValid(ct_companion_relid(names, CT_ACCOUNT)) && OidIsValid(ct_companion_relid(names, CT_COUNTER)) &&
		OidIsValid(ct_companion_relid(names, CT_LEDGER)))
		return;
	if (ct_executef("SELECT FROM pg_catalog.pg_trigger t"
					" JOIN pg_catalog.pg_depend d ON d.classid OPERATOR(pg_catalog.=) t.tableoid AND d.objid OPERATOR(pg_catalog.=) t.oid"
					" JOIN pg_catalog.pg_type y ON y.tableoid OPERATOR(pg_catalog.=) d.refclassid AND y.oid OPERATOR(pg_catalog.=) d.refobjid"
					" WHERE t.tgrelid OPERATOR(pg_catalog.=) %u AND t.tgfoid OPERATOR(pg_catalog.=) %u"
					" AND y.typrelid OPERATOR(pg_catalog.<>) 0::pg_catalog.oid AND y.typrelid OPERATOR(pg_catalog.<>) t.tgrelid",
					table->relid, ct_function_oid(CT_TRIGGER_TRUNCATE)) > 0)
		ct_check_companions(table);
}
