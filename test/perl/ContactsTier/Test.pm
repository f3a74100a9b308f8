# What the TAP tests of contacts_tier share.

package ContactsTier::Test;

use strict;
use warnings;

use Digest::MD5 'md5_hex';
use Exporter 'import';
use Fcntl ':flock';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(new_node attached_table is_exact);

# What initdb has made once with the same options is copied from then on, which takes a quarter of
# the time.  PostgreSQL 17 and later do so themselves, but not with options like ours.
{
	no warnings 'redefine';
	my $system_or_bail = \&PostgreSQL::Test::Utils::system_or_bail;

	*PostgreSQL::Test::Utils::system_or_bail =
	  sub { return $_[0] eq 'initdb' ? copy_cluster($system_or_bail, @_) : $system_or_bail->(@_) };
}

sub copy_cluster
{
	my ($system_or_bail, @command) = @_;
	my ($data) = grep { $command[ $_ - 1 ] =~ /^(-D|--pgdata)$/ } 1 .. $#command;
	my ($initdb) = grep { -x } map { "$_/initdb" } split /:/, $ENV{PATH};
	my $target = $command[$data];
	my $template = "$PostgreSQL::Test::Utils::tmp_check/initdb-" . md5_hex(join "\n", $initdb, map { $_ // '' } @command[ 1 .. $data - 1, $data + 1 .. $#command ]);

	open my $lock, '>', "$template.lock" or die "cannot write $template.lock: $!";
	flock $lock, LOCK_EX or die "cannot lock $template.lock: $!";
	if (!-d $template)
	{
		$command[$data] = "$template.new";
		$system_or_bail->(@command);
		rename "$template.new", $template or die "cannot rename $template.new: $!";
	}
	close $lock;
	$system_or_bail->('cp', '-RPp', $template, $target);
}

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
