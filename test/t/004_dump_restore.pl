# A dump restores to the same state, attached and guarded as before.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Kinds;
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('dump');
my $dir = PostgreSQL::Test::Utils::tempdir;

create_kinds($node, 'postgres');
is_exact($node, 'postgres', 'before the dump');
is( $node->safe_psql('postgres', 'SELECT count(*), sum(marketing_contacts) FROM contacts_tier.usage()'),
	'6|20', 'there is something to dump');

my $state = $node->safe_psql('postgres', $kinds_state);

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
is($node->safe_psql('plain', $kinds_state), $state, 'the restored database is in the same state');
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
is($node->safe_psql('custom', $kinds_state), $state, 'the same state from two jobs');

# Schema first, data later: the triggers are there when the contacts come.  They
# must be disabled, or the contacts count twice, and so they are not even let in
# where the tier has no room.
my $schema = dump_to('postgres', 'schema.sql', '--schema-only');
my $data = dump_to('postgres', 'data.sql', '--data-only', '--disable-triggers');
restore('parted', $schema, $data);
is($node->safe_psql('parted', $kinds_state), $state, 'the same state from schema and data, with --disable-triggers');

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

# The recipe of docs/operations.md: a superuser restores what an owner who is none has granted (rule R6)
$node->safe_psql(
	'postgres', q{
	CREATE ROLE installer;
	CREATE ROLE other;
	CREATE ROLE reader;
	CREATE DATABASE granted;
	CREATE DATABASE granted_again;
	GRANT CREATE ON DATABASE granted, granted_again TO installer;
	\c granted
	SET ROLE installer;
	CREATE EXTENSION contacts_tier;
	SELECT contacts_tier.grant_owner('other');
	RESET ROLE;
	CREATE SCHEMA other AUTHORIZATION other;
	SET ROLE other;
	CREATE TABLE other.people (id integer PRIMARY KEY);
	SELECT contacts_tier.attach('other.people');
	SELECT contacts_tier.grant_reader('other.people', 'reader');
	GRANT EXECUTE ON FUNCTION contacts_tier.pass_brake() TO reader;
});
dump_to('granted', 'granted.dump', '-Fc');
$node->safe_psql('granted_again', 'SET ROLE installer; CREATE EXTENSION contacts_tier');
my ($list) = run_command([ 'pg_restore', '-l', "$dir/granted.dump" ]);
append_to_file("$dir/granted.list", join("\n", grep { !/ SCHEMA - contacts_tier / } split /\n/, $list) . "\n");
$node->command_ok([ 'pg_restore', '-e', '-d', 'granted_again', '-L', "$dir/granted.list", "$dir/granted.dump" ],
	'restore grants of the owner of the extension');
my $acls = q{SELECT p.oid::regprocedure, a.grantor::regrole, a.grantee::regrole, a.is_grantable FROM pg_proc p, aclexplode(p.proacl) a
	WHERE p.pronamespace::regnamespace::text LIKE 'contacts\_tier%' AND a.grantee <> 0 ORDER BY p.oid::regprocedure::text, 2, 3};
is($node->safe_psql('granted_again', $acls), $node->safe_psql('granted', $acls), 'the same privileges');

$node->stop;
done_testing();
