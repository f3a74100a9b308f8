# Attached tables of every kind, and all that a user can see of them, for the tests that dump,
# restore or upgrade them.

package ContactsTier::Kinds;

use strict;
use warnings;

use Exporter 'import';
use FindBin;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(create_kinds $kinds_state);

# Create them, with names that need quoting, in a database that has the extension
sub create_kinds
{
	my ($node, $database) = @_;

	$node->safe_psql($database, <<'SQL');
	SET contacts_tier.now = '2024-01-15 12:00Z';
	CREATE ROLE "Owner of ""contacts""";
	GRANT ALL ON DATABASE postgres TO "Owner of ""contacts""";
	GRANT EXECUTE ON FUNCTION contacts_tier_internal.maintain_status, contacts_tier_internal.count_contact, contacts_tier_internal.apply_counts,
		contacts_tier_internal.count_truncate, contacts_tier_internal.create_companions TO "Owner of ""contacts""";
	SELECT contacts_tier.create_plan('It''s a "plan"', ARRAY[2, 5, 10], ARRAY[1.5, 2.5, 3], 'EUR');
	SELECT contacts_tier.create_plan('legacy', NULL, marketing_contacts => false);
	INSERT INTO contacts_tier.source_type VALUES ('WEBINAR', 'marketing', true), ('O''Hara "x"', 'non_marketing', false);
	INSERT INTO contacts_tier.tool VALUES ('fax', true), ('pigeon', false);

	-- the whole table is one account
	CREATE TABLE people (id integer PRIMARY KEY);
	SELECT contacts_tier.attach('people');
	SELECT contacts_tier.subscribe('people', 'default', 'It''s a "plan"', started_at => '2024-01-10');
	INSERT INTO people VALUES (1, 'marketing'), (2, 'marketing'), (3, 'marketing'), (4, NULL);
	UPDATE people SET marketing_contact_until_next_update = true WHERE id = 1;

	-- mapped columns, hostile names, another owner
	CREATE SCHEMA "My ""own"" schema" AUTHORIZATION "Owner of ""contacts""";
	CREATE TABLE "My ""own"" schema"."Kunden, 'alle'" (
		"The ID" uuid PRIMARY KEY DEFAULT gen_random_uuid(), "Konto ""Nr.""" varchar(20) COLLATE "C",
		"Status'" contacts_tier.marketing_status, name text);
	ALTER TABLE "My ""own"" schema"."Kunden, 'alle'" OWNER TO "Owner of ""contacts""";
	INSERT INTO "My ""own"" schema"."Kunden, 'alle'" ("Konto ""Nr.""", "Status'", name)
	VALUES ('a', 'marketing', 'before'), ('b\c', 'non_marketing', 'before');
	SELECT contacts_tier.attach('"My ""own"" schema"."Kunden, ''alle''"', 'Konto "Nr."',
		'{"status": "Status''", "until_next_update": "bis, dann \"weg\"", "source_type": "Quelle\\Art",
		  "source_name": "Quelle", "updated_at": "Am"}');
	SELECT contacts_tier.subscribe('"My ""own"" schema"."Kunden, ''alle''"', a, 'It''s a "plan"', 5, 'annual',
		'2023-12-31 10:00+14', 'Pacific/Apia', 'block', 3) FROM unnest('{a,b\\c}'::text[]) a;
	SELECT contacts_tier.set_policy('"My ""own"" schema"."Kunden, ''alle''"', 'a', thresholds => '{10,50}',
		source_defaults => '{"FORM": "non_marketing"}');
	INSERT INTO "My ""own"" schema"."Kunden, 'alle'" ("Konto ""Nr.""", "Quelle\Art", name)
	SELECT a, 'WEBINAR', E'tab\t' || i FROM unnest('{a,b\\c}'::text[]) a, generate_series(1, 3) i;

	-- partitions, one in another schema and with another column order, and two
	-- tables that share accounts
	CREATE SCHEMA crm;
	CREATE SCHEMA archive;
	CREATE TABLE crm.contacts (id bigint, tenant bigint, PRIMARY KEY (id, tenant)) PARTITION BY RANGE (tenant);
	CREATE TABLE crm.contacts_1 PARTITION OF crm.contacts FOR VALUES FROM (0) TO (10);
	CREATE TABLE archive.contacts_2 (tenant bigint NOT NULL, dropped text, id bigint NOT NULL);
	ALTER TABLE archive.contacts_2 DROP COLUMN dropped;
	ALTER TABLE crm.contacts ATTACH PARTITION archive.contacts_2 FOR VALUES FROM (10) TO (20);
	CREATE TABLE crm.leads (id bigint PRIMARY KEY, tenant bigint);
	SELECT contacts_tier.attach('crm.contacts', 'tenant');
	SELECT contacts_tier.attach('crm.leads', 'tenant');
	SELECT contacts_tier.subscribe('crm.contacts', t, 'It''s a "plan"') FROM unnest('{1,11}'::text[]) t;
	SELECT contacts_tier.subscribe('crm.leads', '12', 'legacy');
	-- P2, P3; one does not exist
	SELECT contacts_tier.set_condition('crm.contacts', 'exists', 'id < 100');
	SELECT contacts_tier.set_condition('crm.contacts', 'eligible', 'tenant IS NOT NULL AND id > 0', 'refuse');
	INSERT INTO crm.contacts VALUES (100, 11, 'marketing');
	SET contacts_tier.source_type = 'FORM';
	INSERT INTO crm.contacts SELECT i, t FROM unnest('{1,11,12}'::bigint[]) t, generate_series(1, 3) i;
	INSERT INTO crm.leads SELECT 10 * t + i, t FROM unnest('{1,11,12}'::bigint[]) t, generate_series(1, 2) i;
	UPDATE crm.contacts SET marketing_contact_until_next_update = true WHERE id = 1;

	-- companion tables in a schema of their own, whole rows, and a column that was there
	CREATE SCHEMA "The tiers'";
	CREATE TABLE crm.saved (id bigint PRIMARY KEY, tenant text, marketing_contact_status_source_name text);
	SELECT contacts_tier.attach('crm.saved', 'tenant', NULL, 'The tiers''', true);
SQL
	# a ledger with partitions
	local $ENV{PGOPTIONS} = '-c contacts_tier.now=2024-01-15';
	$node->command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $database, '-v', 'schema=crm',
			'-f', "$FindBin::RealBin/../../examples/partition_ledger.sql" ], 'divide a ledger into partitions');
}

# All that a user can see, as text.  Tables are named by text so that their OIDs
# do not matter.
our $kinds_state = q{
	SET timezone = 'UTC';
	SET contacts_tier.now = '2024-01-20';
	SELECT contacts::text, u.* FROM contacts_tier.usage() u ORDER BY 1, 3;
	SELECT contacts::text, v.* FROM contacts_tier.verify() v ORDER BY 1, 3;
	SELECT contacts::text, a.* FROM contacts_tier.attached() a ORDER BY 1;
	TABLE contacts_tier.plan ORDER BY 1;
	TABLE contacts_tier.tier ORDER BY 1, 2;
	TABLE contacts_tier.source_type ORDER BY 1;
	TABLE contacts_tier.tool ORDER BY 1;
	SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger
	WHERE tgname LIKE '%contacts_tier%' ORDER BY tgrelid::regclass::text, tgname;
	SELECT tgrelid::regclass, pg_get_triggerdef(oid) FROM pg_trigger
	WHERE tgfoid::regproc::text LIKE 'contacts_tier_internal.%condition' ORDER BY tgrelid::regclass::text, tgname;
	-- pg_dump has no comments on clones of triggers
	SELECT tgrelid::regclass, tgname, obj_description(oid, 'pg_trigger') FROM pg_trigger
	WHERE tgname LIKE '%contacts_tier%' AND tgparentid = 0 ORDER BY tgrelid::regclass::text, tgname;
	SELECT classoid::regclass, objoid::regclass, objsubid, description FROM pg_description
	WHERE description LIKE '%contacts_tier.attach()' AND classoid = 'pg_class'::regclass ORDER BY objoid::regclass::text, 3;
	SELECT string_agg(l::text, E'\n' ORDER BY l::text)
	FROM (TABLE public.contacts_tier_ledger) l;
	SELECT string_agg(l.tableoid::regclass || l::text, E'\n' ORDER BY l::text) FROM crm.contacts_tier_ledger l;
	SELECT string_agg(a::text, E'\n' ORDER BY a::text) FROM "My ""own"" schema".contacts_tier_account a;
	SELECT string_agg(c::text, E'\n' ORDER BY c::text) FROM crm.contacts c;
	-- MAINTAIN, which PostgreSQL 17 has added, every owner gets
	SELECT relname, a.grantor::regrole, coalesce(nullif(a.grantee, 0)::regrole::text, 'public'), string_agg(a.privilege_type, ',' ORDER BY a.privilege_type)
	FROM pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner))) a
	WHERE relname LIKE 'contacts\_tier\_%' AND relkind = 'r' AND a.privilege_type <> 'MAINTAIN'
	GROUP BY relname, pg_class.oid, a.grantor, a.grantee ORDER BY relname, pg_class.oid::regclass::text, 2, 3;
};

1;
