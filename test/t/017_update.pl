# ALTER EXTENSION ... UPDATE leaves exactly the objects of a new installation, from each version that has
# been frozen (sql/freeze), in a database restored from a dump that this version has made of
# attached tables of every kind (test/update); and the same dump restores into a new installation.
#
#   UPDATE_DUMP=file    gets such a dump of the present version, for sql/freeze

use strict;
use warnings;

use File::Basename;
use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Kinds;
use ContactsTier::Objects;
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('update');
my $dir = PostgreSQL::Test::Utils::tempdir;
my $root = "$FindBin::RealBin/../..";
my $version = $node->safe_psql('postgres', q{SELECT default_version FROM pg_available_extensions WHERE name = 'contacts_tier'});

# What counts, in words that all versions know
my $counts = q{
	SELECT contacts::text, account, marketing_contacts, pending_non_marketing, contact_limit FROM contacts_tier.usage() ORDER BY 1, 2;
	SELECT count(*) FROM crm.contacts_tier_ledger;
	SELECT count(*) FROM contacts_tier_ledger;
};

# A database from a dump, with another version of the extension than the present one if one is given
sub restore
{
	my ($database, $file, $version) = @_;
	my $dump = slurp_file($file);

	if ($version)
	{
		my $created = $dump =~ s/^(CREATE EXTENSION IF NOT EXISTS contacts_tier WITH SCHEMA contacts_tier);$/$1 VERSION '$version';/m;

		ok($created, "the dump of $version creates the extension");
	}
	append_to_file("$dir/$database.sql", $dump);
	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0");
	$node->command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $database, '-o', "$dir/log", '-f', "$dir/$database.sql" ],
		"restore $database from " . basename($file));
}

sub has_objects_of
{
	my ($left, $right, $name, $may_differ) = @_;
	my @lines = differences(all_objects($node, $left), all_objects($node, $right), $may_differ);

	is(join("\n", @lines), '', $name);
}

create_kinds($node, 'postgres');
$node->command_ok([ 'pg_dump', '-d', 'postgres', '-f', "$dir/dump.sql" ], 'dump');
my $dump = slurp_file("$dir/dump.sql");
# older minor releases of psql do not know it
$dump =~ s/^\\(un)?restrict .*\n//mg;
append_to_file($ENV{UPDATE_DUMP}, $dump) if $ENV{UPDATE_DUMP};
restore('present', "$dir/dump.sql");
# a restored table has no dropped column any more
has_objects_of('postgres', 'present', 'a dump restores to the same objects', sub { $_[0] =~ / archive contacts_2/ });

# What is compared shows each difference
$node->safe_psql('postgres', 'CREATE DATABASE changed TEMPLATE present');
$node->safe_psql(
	'changed', q{
	COMMENT ON VIEW contacts_tier.bills IS 'mine';
	GRANT EXECUTE ON FUNCTION contacts_tier.pass_brake() TO PUBLIC;
	ALTER FUNCTION contacts_tier.clock() COST 7;
	ALTER EXTENSION contacts_tier DROP VIEW contacts_tier.overdue;
	ALTER TABLE contacts_tier.plan ADD COLUMN further integer;
	CREATE FUNCTION contacts_tier.further() RETURNS integer LANGUAGE sql AS 'SELECT 1';
	ALTER TYPE contacts_tier.exceed_policy ADD VALUE 'further';
	ALTER TABLE crm.contacts_tier_account DROP COLUMN brake;
});
my $changes = join("\n", differences(all_objects($node, 'changed'), all_objects($node, 'present')));
like($changes, qr/$_/, "noticed: $_")
  foreach qr/^differs: COMMENT contacts_tier VIEW bills,/m, qr/^differs: privileges on function contacts_tier\.pass_brake\(\)$/m,
  qr/^differs: FUNCTION contacts_tier clock\(\),/m, qr/^differs: VIEW contacts_tier overdue,/m, qr/^differs: TABLE contacts_tier plan,/m,
  qr/^only one has: FUNCTION contacts_tier further\(\),/m, qr/^differs: TYPE contacts_tier exceed_policy,/m,
  qr/^differs: TABLE crm contacts_tier_account,/m;

my @frozen = grep { $_ ne $version } map { /--([0-9.]+)\.sql$/ ? $1 : () } sort glob("$root/sql/contacts_tier--*.sql");
foreach my $old (@frozen)
{
	my $file = "$root/test/update/$old.sql";
	my $database = 'from_' . $old =~ tr/./_/r;
	# what there is by now, and was not when the dump was made
	my $later = sub { $_[0] =~ /^only the other one has/ && $_[0] !~ / contacts_tier(_internal)?[ .]/ };

	ok(-e $file, "there is a dump of $old");
	restore($database, $file, $old);
	is_exact($node, $database, "$old with the library of $version");
	$node->safe_psql($database, q{
		SET contacts_tier.now = '2024-01-20';
		INSERT INTO people VALUES (1001, 'non_marketing');
		DELETE FROM people WHERE id = 1001;});
	my $before = $node->safe_psql($database, $counts);
	$node->safe_psql($database, 'ALTER EXTENSION contacts_tier UPDATE');
	is($node->safe_psql($database, $counts), $before, "updated from $old: the counts are as they were");
	$node->safe_psql($database, 'SELECT count(*) FROM contacts_tier.repair()');
	is_exact($node, $database, "updated from $old");
	has_objects_of($database, 'present', "updated from $old: the objects are those of a new installation", $later);

	restore("restored_$database", $file);
	$node->safe_psql("restored_$database", 'SELECT count(*) FROM contacts_tier.repair()');
	is_exact($node, "restored_$database", "restored from $old");
	has_objects_of("restored_$database", 'present', "restored from $old: likewise", $later);
}

$node->stop;
done_testing();
