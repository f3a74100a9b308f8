# What the TAP tests of contacts_tier share.

package ContactsTier::Test;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use Test::More;

our @EXPORT = qw(new_node attached_table is_exact);

# A running server with the extension in database "postgres".  The further
# arguments are lines of its configuration.
sub new_node
{
	my ($name, @settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	# whatever the environment says
	$node->init(allows_streaming => 1, extra => [ '--encoding=UTF8', '--locale=C' ]);
	$node->append_conf('postgresql.conf', "$_\n") foreach @settings;
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION contacts_tier');
	return $node;
}

# An attached table with $contacts contacts, who belong to accounts 1 to
# $accounts in turn, each subscribed to a tier of $limit.
sub attached_table
{
	my ($node, $table, $contacts, $accounts, $limit) = @_;

	$node->safe_psql(
		'postgres', qq{
		CREATE TABLE $table (id integer PRIMARY KEY, account integer NOT NULL, email text);
		SELECT contacts_tier.attach('$table', 'account');
		SELECT contacts_tier.create_plan('$table', ARRAY[$limit]);
		SELECT contacts_tier.subscribe('$table', a::text, '$table', on_exceed => 'block')
		FROM generate_series(1, $accounts) a;
		INSERT INTO $table (id, account, email)
		SELECT i, 1 + i % $accounts, 'c' || i FROM generate_series(1, $contacts) i;
	});
}

# Do the counters of a database agree with a recount?
sub is_exact
{
	my ($node, $database, $name) = @_;

	is( $node->safe_psql(
			$database, q{
			SELECT * FROM contacts_tier.verify() WHERE drift <> 0 OR pending_counted <> pending_actual}),
		'',
		"counters equal a recount: $name");
}

1;
