/*-------------------------------------------------------------------------
 *
 * distribution.c
 *	  Attached tables that Citus distributes: the companion tables are distributed like the
 *	  contacts, and the catalogue becomes reference tables.
 *
 * Each shard is then one installation by itself (contact/shard.c): what is done here is to give
 * each shard of the contacts its triggers, and shards of companion tables at its side.  Citus
 * is called by SQL, by names, and only for a table that it distributes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "manage/manage.h"

/* The tables of the catalogue, in the order in which they become reference tables */
static const char *const catalogue[] = {"plan", "tier", "source_type", "tool"};

/*
 * A relation as in a statement, by its OID; the caller has locked it, or it is of the catalogue.
 */
char *
ct_name_in_statement(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

/* Ways in which Citus distributes tables that cannot be attached, as pg_dist_partition has them */
typedef struct Refusal
{
	const char *method;			/* partmethod and repmodel; a prefix */
	const char *detail;
	const char *hint;
} Refusal;

static const Refusal refused[] = {
	/* each node would choose slots, ids and times, and decide, by itself */
	{"hc", "Citus replicates its shards by statements, and triggers would count on each node by themselves.",
	"Use undistribute_table(), and distribute the table again with citus.shard_replication_factor = 1.  To be safe from the loss of a node, give it a standby."},
	{"nc", "Citus replicates its shard by statements, and triggers would count on each node by themselves.",
	"Use undistribute_table(), and distribute the table again with citus.shard_replication_factor = 1.  To be safe from the loss of a node, give it a standby."},
	{"nt", "It is a reference table, and contacts of an account must be on one node.",
	"Use undistribute_table(), and distribute the table by its account column with create_distributed_table()."},
	{"n0", "Citus manages it as a local table, and its companion tables would not be managed.",
	"Use undistribute_table(), or distribute the table by its account column with create_distributed_table()."},
	{"", "Citus distributes the table, but not by the hash of a column, nor by schema.",
	"Use undistribute_table(), and distribute the table by its account column with create_distributed_table()."}
};

/*
 * The column by which a table is distributed, NULL for a table of one shard, as in a tenant schema.
 * Errors: 0A000 for a table that is distributed otherwise than by hash, or whose shards are replicated.
 */
static char *
distribution_column(Oid relid)
{
	char	   *method;
	char	   *column;
	size_t		way = 0;

	ct_executef("SELECT CASE WHEN d.partmethod OPERATOR(pg_catalog.=) 'n' AND d.repmodel OPERATOR(pg_catalog.=) 's' AND d.colocationid OPERATOR(pg_catalog.=) 0 THEN 'n0'"
				"  ELSE pg_catalog.concat(d.partmethod, d.repmodel) END,"
				" pg_catalog.column_to_column_name(d.logicalrelid, d.partkey)"
				" FROM pg_catalog.pg_dist_partition d WHERE d.logicalrelid OPERATOR(pg_catalog.=) %u", relid);
	method = ct_result_text(1);
	column = ct_result_text(2);
	if (method == NULL || strcmp(method, "hs") == 0)
		return column;
	if (strcmp(method, "ns") == 0)
		return NULL;
	while (strncmp(method, refused[way].method, strlen(refused[way].method)) != 0)
		way++;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot attach \"%s\"", get_rel_name(relid)),
			 errdetail_internal("%s", refused[way].detail),
			 errhint("%s", refused[way].hint),
			 ct_errtable(relid)));
}

/* All contacts of an account must be in one shard: 0A000. */
static void
check_distribution(Oid relid, const char *account_column)
{
	const char *column = distribution_column(relid);

	if (column == NULL || strcmp(column, account_column) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot attach \"%s\"", get_rel_name(relid)),
			 errdetail("The table is distributed by column \"%s\", so contacts of one account can be on several nodes.", column),
			 account_column[0] != '\0' ?
			 errhint("Distribute it by the account: SELECT alter_distributed_table(%s, distribution_column => %s).",
					 quote_literal_cstr(ct_name_in_statement(relid)), quote_literal_cstr(account_column)) :
			 errhint("Pass that column as argument \"account_column\" if it identifies the account."),
			 ct_errtable(relid)));
}

/* Sessions know attached tables by the names that the catalogue had on this node. */
static void
invalidate_attached(void)
{
	ListCell   *cell;

	foreach(cell, ct_attached_tables(NULL))
	{
		if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(lfirst_oid(cell))))
			CacheInvalidateRelcacheByRelid(lfirst_oid(cell));
	}
}

/* Roles to which this node grants privileges on each table that the role of the session creates, as a JSON array */
#define DEFAULT_GRANTEES \
	"SELECT coalesce(pg_catalog.jsonb_agg(coalesce(pg_catalog.quote_ident(g.rolname), 'PUBLIC')), '[]')" \
	" FROM pg_catalog.pg_default_acl d JOIN pg_catalog.pg_roles o ON o.oid OPERATOR(pg_catalog.=) d.defaclrole," \
	" LATERAL pg_catalog.aclexplode(d.defaclacl) a LEFT JOIN pg_catalog.pg_roles g ON g.oid OPERATOR(pg_catalog.=) a.grantee" \
	" WHERE o.rolname OPERATOR(pg_catalog.=) current_user AND d.defaclobjtype OPERATOR(pg_catalog.=) 'r' AND a.grantee OPERATOR(pg_catalog.<>) o.oid"

/*
 * State the privileges on a table that Citus has distributed, as they are here (R6), as its owner: nodes do not know what
 * was granted before, and have created it with default privileges of theirs, which ALTER DEFAULT PRIVILEGES has set there.
 */
static void
restate_privileges(Oid relid)
{
	const char *name = ct_name_in_statement(relid);
	uint64		count = ct_executef("SELECT pg_catalog.format('GRANT %%s ON %%s TO %%s%%s', a.privilege_type, %s, coalesce(pg_catalog.quote_ident(r.rolname), 'PUBLIC'),"
									"  CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
									" FROM pg_catalog.pg_class c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a"
									" LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) a.grantee"
									" WHERE c.oid OPERATOR(pg_catalog.=) %u AND a.grantee OPERATOR(pg_catalog.<>) c.relowner"
									" AND a.grantor OPERATOR(pg_catalog.=) c.relowner",
									quote_literal_cstr(name), relid);
	SPITupleTable *grants = SPI_tuptable;
	uint64		ngrantees = ct_executef("SELECT DISTINCT g FROM pg_catalog.run_command_on_all_nodes(%s) n,"
										" pg_catalog.jsonb_array_elements_text(CASE WHEN n.success THEN n.result::pg_catalog.jsonb ELSE '[]' END) g",
										quote_literal_cstr(DEFAULT_GRANTEES));
	SPITupleTable *grantees = SPI_tuptable;

	for (uint64 i = 0; i < ngrantees; i++)
		ct_executef("REVOKE ALL ON %s FROM %s", name, SPI_getvalue(grantees->vals[i], grantees->tupdesc, 1));
	for (uint64 i = 0; i < count; i++)
		ct_execute(SPI_getvalue(grants->vals[i], grants->tupdesc, 1), 0, NULL, NULL, NULL);
}

/*
 * Nodes that were added do not know what was granted on functions of the extension, so that the owner of a
 * table can have no triggers there: grant it, as the owner of the extension.  Where that is not
 * possible, a WARNING says so, and Citus is going to say what it misses.
 */
void
ct_grant_on_nodes(void)
{
	CtIdentity	identity;
	uint64		count;

	ct_manage_as_owner(ct_companion_owner(get_relname_relid(catalogue[0], get_namespace_oid("contacts_tier", false))), &identity);
	ct_connect_spi();
	count = ct_executef("SELECT node, error FROM contacts_tier_internal.grant_missing()");
	for (uint64 i = 0; i < count; i++)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("nothing is granted on node %s", SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1)),
				 errdetail_internal("%s", SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2)),
				 errhint("Have a superuser run: SELECT contacts_tier.grant_nodes().")));
	SPI_finish();
	ct_restore_identity(&identity);
}

/*
 * Make the catalogue reference tables, with which each node has a copy of, as the role that owns
 * them, for whoever attaches a table first.  Nothing of the caller's takes part.
 */
void
ct_distribute_catalogue(void)
{
	Oid			namespace = get_namespace_oid("contacts_tier", false);
	bool		changed = false;

	for (size_t i = 0; i < lengthof(catalogue); i++)
	{
		Oid			relid = get_relname_relid(catalogue[i], namespace);
		CtIdentity	identity;

		if (!OidIsValid(relid) || ct_is_distributed(relid))
			continue;
		ct_check_propagated(ct_companion_owner(relid));
		ct_manage_as_owner(ct_companion_owner(relid), &identity);
		ct_executef("SELECT pg_catalog.create_reference_table(%s)", quote_literal_cstr(ct_name_in_statement(relid)));
		restate_privileges(relid);
		ct_restore_identity(&identity);
		changed = true;
	}
	if (changed)
		invalidate_attached();
}

/*
 * Begin to attach a table, as its owner: false if it is none that Citus distributes.  If it is, it
 * must be distributed by its account column, "" for none; the catalogue is distributed, and triggers can be
 * created.  Errors: 0A000.
 */
bool
ct_begin_distributed(Oid relid, const char *account_column)
{
	if (ct_is_shard(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a shard", get_rel_name(relid)),
				 errhint("Name the distributed table that it belongs to."),
				 ct_errtable(relid)));
	if (!ct_is_distributed(relid))
		return false;
	check_distribution(relid, account_column);
	ct_allow_distributed_ddl();
	ct_grant_on_nodes();
	ct_distribute_catalogue();
	return true;
}

/* Are shards of two tables side by side? */
static bool
are_colocated(Oid a, Oid b)
{
	ct_executef("SELECT (pg_catalog.count(DISTINCT d.colocationid) OPERATOR(pg_catalog.=) 1 AND pg_catalog.count(*) OPERATOR(pg_catalog.=) 2)::pg_catalog.text"
				" FROM pg_catalog.pg_dist_partition d"
				" WHERE d.logicalrelid OPERATOR(pg_catalog.=) %u OR d.logicalrelid OPERATOR(pg_catalog.=) %u", a, b);
	return strcmp(ct_result_text(1), "true") == 0;
}

/* Distribute a companion table like the contacts; its rows go to the shards. */
static void
distribute_companion(Oid relid, Oid contacts, bool by_account)
{
	ct_executef("SELECT pg_catalog.create_distributed_table(%s, %s, colocate_with => %s)",
				quote_literal_cstr(ct_name_in_statement(relid)), by_account ? "'account'" : "NULL",
				quote_literal_cstr(ct_name_in_statement(contacts)));
}

/* Create the table of calls, and distribute it with its triggers. */
static void
create_call_table(Oid contacts, const CtTable *table, bool by_account)
{
	const char *name = quote_qualified_identifier(NameStr(table->names.schema), CT_CALL_TABLE);

	ct_executef("SELECT contacts_tier_internal.create_call_table(%s, %s)",
				quote_literal_cstr(quote_identifier(NameStr(table->names.schema))),
				quote_literal_cstr(ct_companion_account_type(table)));
	distribute_companion(ct_find_relation(NameStr(table->names.schema), CT_CALL_TABLE), contacts, by_account);
	ct_executef("CREATE TRIGGER contacts_tier_call BEFORE INSERT ON %s"
				" FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.run_call()", name);
	ct_executef("CREATE TRIGGER contacts_tier_called AFTER INSERT ON %s"
				" FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.run_call()", name);
}

/*
 * Distribute the companion tables of distributed contacts like these.  The caller is the
 * owner, connected to SPI, after ct_begin_distributed().  Errors: 0A000 if they are distributed otherwise, those of
 * ct_find_call_table().
 */
void
ct_distribute_companions(Oid contacts, const CtTable *table)
{
	const CtNames *names = &table->names;
	bool		by_account = distribution_column(contacts) != NULL;

	for (int i = 0; i < CT_NCOMPANIONS; i++)
	{
		Oid			relid = ct_companion_relid(names, i);

		if (!ct_is_distributed(relid))
			distribute_companion(relid, contacts, by_account);
		else if (!are_colocated(relid, contacts))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("companion table \"%s.%s\" is not distributed like table \"%s\"",
							NameStr(names->schema), get_rel_name(relid), get_rel_name(contacts)),
					 errhint("Distribute the table with colocate_with => %s, or pass another schema as argument \"companion_schema\".",
							 quote_literal_cstr(ct_name_in_statement(relid))),
					 ct_errtable(contacts)));
		restate_privileges(relid);
	}
	if (!OidIsValid(ct_find_call_table(table)))
		create_call_table(contacts, table, by_account);
	restate_privileges(ct_find_call_table(table));
	/* Citus hands on what is granted, and not what is revoked from the owner */
	ct_restate_ledger_privileges(table);
}

/*
 * The companion tables of contacts that Citus does not distribute must not be distributed, either: 0A000.
 */
void
ct_check_companions_local(const CtTable *table)
{
	Oid			relid = ct_companion_relid(&table->names, CT_ACCOUNT);

	if (ct_is_distributed(relid))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("companion tables of schema \"%s\" are distributed, and table \"%s\" is not",
						NameStr(table->names.schema), get_rel_name(table->relid)),
				 errhint("Distribute the table with colocate_with => %s, or pass another schema as argument \"companion_schema\".",
						 quote_literal_cstr(ct_name_in_statement(relid))),
				 ct_errtable(table->relid)));
}
