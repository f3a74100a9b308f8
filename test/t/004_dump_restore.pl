# A dump restores to the same state, attached and guarded as before.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('dump');
my $dir = PostgreSQL::Test::Utils::tempdir;

# Attached tables of every kind, with names that need quoting
$node->safe_psql('postgres', <<'SQL');
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
{
	local $ENV{PGOPTIONS} = '-c contacts_tier.now=2024-01-15';
	$node->command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', 'postgres', '-v', 'schema=crm',
			'-f', "$FindBin::RealBin/../../examples/partition_ledger.sql" ], 'divide a ledger into partitions');
}
is_exact($node, 'postgres', 'before the dump');
is( $node->safe_psql('postgres', 'SELECT count(*), sum(marketing_contacts) FROM contacts_tier.usage()'),
	'6|20', 'there is something to dump');

# All that a user can see, as text.  Tables are named by text so that their OIDs
# do not matter.
my $state_query = q{
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
	SELECT relname, coalesce(relacl, acldefault('r', relowner)) FROM pg_class WHERE relname LIKE 'contacts\_tier\_%' AND relkind = 'r'
	ORDER BY relname, oid::regclass::text;
};

my $state = $node->safe_psql('postgres', $state_query);

sub restore
{
	my ($database, @files) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0");
	foreach my $file (@files)
	{
		$node->command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $database, '-o', $file . '.log', '-f', $file ],
			"restore $file into $database");
	}
}

sub dump_to
{
	my ($database, $file, @options) = @_;

	$node->command_ok([ 'pg_dump', '-d', $database, '-f', "$dir/$file", @options ], "dump $database to $file");
	return "$dir/$file";
}

# A plain dump
restore('plain', dump_to('postgres', 'plain.sql'));
is($node->safe_psql('plain', $state_query), $state, 'the restored database is in the same state');
dump_to('plain', 'again.sql');
is(slurp_file("$dir/again.sql") =~ s/^\\(un)?restrict .*//mgr,
	slurp_file("$dir/plain.sql") =~ s/^\\(un)?restrict .*//mgr,
	'its dump is the same');

# The restored triggers work.
$node->safe_psql(
	'plain', q{
	SET contacts_tier.now = '2024-01-20';
	UPDATE people SET marketing_contact_status = 'marketing' WHERE id = 4;
	UPDATE "My ""own"" schema"."Kunden, 'alle'" SET "bis, dann ""weg""" = true WHERE name = 'before';
	DELETE FROM crm.contacts WHERE id = 2;
	INSERT INTO archive.contacts_2 (id, tenant, marketing_contact_status) VALUES (7, 11, 'marketing');
	UPDATE crm.contacts SET tenant = 11, id = 30 WHERE id = 3 AND tenant = 1;
	TRUNCATE crm.leads;
});
is_exact($node, 'plain', 'after writing to the restored tables');
is( $node->safe_psql(
		'plain', q{SELECT string_agg(format('%s: %s', account, marketing_contacts), ', ' ORDER BY account)
		FROM contacts_tier.usage()}),
	'1: 1, 11: 4, 12: 0, a: 4, b\c: 3, default: 4',
	'and the counters moved');
my ($status, $stdout, $stderr) = $node->psql(
	'plain', q{SET contacts_tier.now = '2024-01-20';
	INSERT INTO "My ""own"" schema"."Kunden, 'alle'" ("Konto ""Nr.""", "Status'")
	SELECT 'a', 'marketing' FROM generate_series(1, 5)});
like($stderr, qr/contact tier of account "a" exceeded/, 'the tier is enforced');
$node->safe_psql('plain', q{SET contacts_tier.now = '2024-02-20'; CALL contacts_tier.rollover()});
is_exact($node, 'plain', 'after a rollover');
is($node->safe_psql('plain', 'SELECT sum(pending_non_marketing) FROM contacts_tier.usage()'), '0',
	'which applied what was flagged');

foreach my $schema ('public', '"My ""own"" schema"', 'crm')
{
	foreach my $table (qw(account counter ledger))
	{
		($status, $stdout, $stderr) = $node->psql('plain', "DROP TABLE $schema.contacts_tier_$table");
		like($stderr, qr/ERROR:  cannot drop table .* because other objects depend on it/,
			"$schema.contacts_tier_$table cannot be dropped");
	}
}

# Without owners and privileges, as another role: what was revoked from the owner of the ledger, repair() revokes from
# the new one (rule L2).  With privileges, the dump has those of the former owner.
my $rights = q{
	SELECT c.oid::regclass, p FROM pg_class c, unnest('{UPDATE,DELETE,TRUNCATE}'::text[]) p
	WHERE c.relname LIKE 'contacts\_tier\_ledger%' AND c.relkind IN ('r', 'p') AND EXISTS (SELECT FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
		WHERE a.grantee = c.relowner AND a.privilege_type = p) ORDER BY 1, 2;
};
my $none = $node->safe_psql('postgres', $rights);
is($none, '', 'the owner may not change the ledger');
foreach my $options ([ 'new_owner', '--no-owner', '--no-acl' ], [ 'new_owner_acl', '--no-owner' ], [ 'no_acl', '--no-acl' ])
{
	my ($database, @options) = @$options;

	restore($database, dump_to('postgres', "$database.sql", @options));
	$node->safe_psql($database, 'SELECT count(*) FROM contacts_tier.repair()');
	is($node->safe_psql($database, $rights), $none, "nor may the owner after @options");
	is_exact($node, $database, "after @options");
	is($node->safe_psql($database, "SELECT contacts_tier.prune_ledger('people', 'infinity') > 0"), 't', 'and can prune it');
}

# Custom format, restored side by side
dump_to('postgres', 'custom.dump', '-Fc');
$node->safe_psql('postgres', 'CREATE DATABASE custom TEMPLATE template0');
$node->command_ok([ 'pg_restore', '-e', '-j', '2', '-d', 'custom', "$dir/custom.dump" ], 'restore with two jobs');
is($node->safe_psql('custom', $state_query), $state, 'the same state from two jobs');

# Schema first, data later: the triggers are there when the contacts come.  They
# must be disabled, or the contacts count twice, and so they are not even let in
# where the tier has no room.
my $schema = dump_to('postgres', 'schema.sql', '--schema-only');
my $data = dump_to('postgres', 'data.sql', '--data-only', '--disable-triggers');
restore('parted', $schema, $data);
is($node->safe_psql('parted', $state_query), $state, 'the same state from schema and data, with --disable-triggers');

$node->safe_psql(
	'postgres', q{
	CREATE DATABASE small;
	\c small
	CREATE EXTENSION contacts_tier;
	CREATE TABLE people (id integer PRIMARY KEY);
	SELECT contacts_tier.attach('people');
	SELECT contacts_tier.create_plan('plan', ARRAY[100]);
	SELECT contacts_tier.subscribe('people', 'default', 'plan');
	INSERT INTO people VALUES (1, 'marketing'), (2, 'marketing'), (3, 'marketing');
	UPDATE people SET marketing_contact_until_next_update = true WHERE id = 1;
});
$schema = dump_to('small', 'small-schema.sql', '--schema-only');
$data = dump_to('small', 'small-data.sql', '--data-only');
restore('twice', $schema, $data);
is($node->safe_psql('twice', 'SELECT counted, actual, drift, pending_counted, pending_actual FROM contacts_tier.verify()'),
	'6|3|3|2|1', 'without --disable-triggers, contacts are counted twice');
is($node->safe_psql('twice', 'SELECT account, drift FROM contacts_tier.repair()'), 'default|3', 'repair() says so');
is_exact($node, 'twice', 'after repair()');

$node->stop;
done_testing();
