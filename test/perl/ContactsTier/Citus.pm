# A cluster of Citus: a coordinator and workers, for the tests of distributed tables.

package ContactsTier::Citus;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use Test::More;

our @EXPORT = qw(has_citus has_cron cron_settings start_node start_cluster add_worker on_all sql drift load_files run_load);

# Has the server this extension?
sub has_extension
{
	my ($name) = @_;
	my $share = `$ENV{PG_CONFIG} --sharedir` if $ENV{PG_CONFIG};

	$share = `pg_config --sharedir` unless $share;
	chomp $share;
	return -e "$share/extension/$name.control";
}

sub has_citus { return has_extension('citus'); }

sub has_cron { return has_extension('pg_cron'); }

# Lines of configuration with which pg_cron works beside Citus
sub cron_settings
{
	return (
		"shared_preload_libraries = 'citus,contacts_tier,pg_cron'",
		"cron.database_name = 'postgres'",
		'cron.use_background_workers = on',
		'max_worker_processes = 30');
}

# A running server with Citus
sub start_node
{
	my ($name, @settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init(allows_streaming => 1, extra => [ '--encoding=UTF8', '--locale=C' ]);
	$node->append_conf('postgresql.conf', "$_\n")
	  foreach "shared_preload_libraries = 'citus, contacts_tier'", "listen_addresses = '127.0.0.1'", 'wal_level = logical',
	  'max_prepared_transactions = 50', 'max_connections = 100', 'max_wal_senders = 20', 'max_replication_slots = 20',
	  "citus.node_conninfo = 'sslmode=prefer'", 'citus.shard_count = 6', 'citus.enable_statistics_collection = off',
	  'contacts_tier.clock_warning = off', @settings;
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION citus');
	return $node;
}

# A worker more, known to the coordinator
sub add_worker
{
	my ($coordinator, $name, @settings) = @_;
	my $node = start_node($name, @settings);

	$coordinator->safe_psql('postgres', "SELECT citus_add_node('127.0.0.1', " . $node->port . ')');
	return $node;
}

# A coordinator and two workers, with the extension.  The arguments are lines of their configuration.
sub start_cluster
{
	my (@settings) = @_;
	my $coordinator = start_node('coordinator', @settings);

	$coordinator->safe_psql('postgres', "SELECT citus_set_coordinator_host('127.0.0.1', " . $coordinator->port . ')');
	my @workers = map { add_worker($coordinator, "worker$_", @settings) } 1, 2;
	$coordinator->safe_psql('postgres', 'CREATE EXTENSION contacts_tier');
	return ($coordinator, @workers);
}

# Rows of a query, without the noise of NOTICEs
sub sql
{
	my ($node, $query) = @_;

	return $node->safe_psql('postgres', "SET client_min_messages = warning; $query");
}

# How many accounts have wrong counters, or more than their tier holds?
sub drift
{
	my ($node, $table) = @_;

	return sql($node, qq{
		SELECT (SELECT count(*) FROM contacts_tier.verify('$table') WHERE drift <> 0 OR pending_counted <> pending_actual),
		       (SELECT count(*) FROM contacts_tier.usage('$table') WHERE marketing_contacts > contact_limit)});
}

# A file of statements as an application's sessions write them, for accounts 0 to $accounts - 1
sub write_statements
{
	my ($file, $seed, $count, $accounts, $table) = @_;
	my $state = $seed;
	my $random = sub { $state = ($state * 1103515245 + 12345) % 2147483648; return int($state / 65536) % $_[0]; };
	my $id = sub { return 1000 + $seed * 10000000 + $random->(30000) * 300 + $random->(300); };
	my $columns = "$table (id, account_id, marketing_contact_status)";

	open my $out, '>', $file or die "$file: $!";
	for my $i (1 .. $count)
	{
		my ($a, $b) = sort { $a <=> $b } $random->($accounts), $random->($accounts);
		my $kind = $random->(20);

		print $out
		  $kind < 6 ? 'INSERT INTO ' . $columns . ' VALUES (' . $id->() . ", $a, 'marketing')"
		  : $kind < 7 ? 'INSERT INTO ' . $columns . ' VALUES (' . $id->() . ", $a, 'marketing'), (" . $id->() . ", $b, 'marketing')"
		  : $kind < 8 ? 'INSERT INTO ' . $columns . ' SELECT ' . $id->() . " + g, $a, 'marketing' FROM generate_series(1, 4) g"
		  : $kind < 10 ? 'INSERT INTO ' . $columns . ' VALUES (' . $random->(15) . ", $a, 'marketing') ON CONFLICT (account_id, id)"
		  . " DO UPDATE SET email = 'u', marketing_contact_status = EXCLUDED.marketing_contact_status"
		  : $kind < 13 ? "DELETE FROM $table WHERE account_id = $a AND id IN (SELECT id FROM $table WHERE account_id = $a ORDER BY id LIMIT 2)"
		  : $kind < 14 ? "UPDATE $table SET marketing_contact_status = 'non_marketing' WHERE account_id = $a AND id % 7 = " . $random->(7)
		  : $kind < 16 ? "UPDATE $table SET marketing_contact_status = 'marketing' WHERE account_id = $a AND id % 5 = " . $random->(5)
		  : $kind < 17 ? "UPDATE $table SET email = 'e$i' WHERE account_id = $a"
		  : $kind < 19 ? "BEGIN;\nINSERT INTO $columns VALUES (" . $id->() . ", $a, 'marketing');\nSAVEPOINT s;\nINSERT INTO $columns VALUES ("
		  . $id->() . ", $b, 'marketing');\n" . ($random->(2) ? "ROLLBACK TO s;\n" : '') . ($random->(3) ? 'COMMIT' : 'ROLLBACK')
		  : "COPY $columns FROM stdin;\n" . $id->() . "\t$a\tmarketing\n" . $id->() . "\t$a\tmarketing\n\\.\n";
		print $out $kind == 19 ? '' : ";\n";
	}
	close $out;
}

# Start sessions on these nodes that run such files; returns what run_load() waits for.
sub load_files
{
	my ($directory, $count, $accounts, $table, @nodes) = @_;
	my @sessions;

	for my $i (0 .. $#nodes)
	{
		my $file = "$directory/load$i.sql";

		write_statements($file, $i + 1, $count, $accounts, $table);
		push @sessions,
		  IPC::Run::start([ 'psql', '-XAtq', '-d', $nodes[$i]->connstr('postgres'), '-f', $file ],
			'>', "$directory/load$i.out", '2>', "$directory/load$i.err");
	}
	return @sessions;
}

# Wait for such sessions; what they were told in errors that nobody expects
sub run_load
{
	my ($directory, $expected, @sessions) = @_;
	my %errors;

	foreach my $session (@sessions) { IPC::Run::finish($session); }
	for my $i (0 .. $#sessions)
	{
		open my $in, '<', "$directory/load$i.err" or die;
		while (<$in>) { $errors{$1}++ if /ERROR:  (.*)/ && $1 !~ $expected; }
		close $in;
	}
	return join "\n", map { "$errors{$_} $_" } sort keys %errors;
}

1;
