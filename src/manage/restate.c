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
#include "utils/acl.h"
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
 * The same on the node of a shard, of its ledger and of the whole as this node knows it: to a node that comes later, and
 * with a shard that moves, Citus hands on what is granted, and not what is revoked from the owner.  Until the identity is
 * restored, commands here reach no other node.
 *
 * Locks: the ledgers, as VACUUM does, so that two do not revoke at once; one that is locked so is left for the next time.
 */
void
ct_restate_ledger_on_node(const CtTable *table)
{
	CtNames		whole;
	Oid			ledgers[2];

	ct_names_resolve(&whole, InvalidOid, NameStr(table->names.schema));
	ledgers[0] = ct_companion_relid(&table->names, CT_LEDGER);
	ledgers[1] = ct_companion_relid(&whole, CT_LEDGER);
	ct_set_for_now("citus.enable_ddl_propagation", "off");
	for (size_t i = 0; i < lengthof(ledgers); i++)
		if (OidIsValid(ledgers[i]) &&
			pg_class_aclmask(ledgers[i], table->owner, ACL_UPDATE | ACL_DELETE | ACL_TRUNCATE, ACLMASK_ANY) != 0 &&
			ConditionalLockRelationOid(ledgers[i], ShareUpdateExclusiveLock))
			revoke_from_owner(table->owner, ledgers[i], false);
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
