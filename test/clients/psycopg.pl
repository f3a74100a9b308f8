# An application's day with psycopg 3, directly and through pgbouncer, which hands each
# transaction to any connection.
# Rules S4, S5, S8, T2, T3.
#
# Packages (small): python3-psycopg pgbouncer

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Client;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

foreach my $way ('direct', 'pgbouncer')
{
	my $node = client_node($way);

	create_tables($node);
	prepare_day($node);
	if ($way eq 'direct')
	{
		run_day($node, 'psycopg', '/usr/bin/python3', in_clients('psycopg_day.py'));
	}
	else
	{
		through_pgbouncer($node);
	}
	is_day_done($node, "psycopg, $way");
	$node->stop;
}
done_testing();

# Two connections to the server, and a day in which each transaction takes either.
sub through_pgbouncer
{
	my ($node) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir_short();
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my ($host, $server_port) = ($node->host, $node->port);
	my ($log, $bouncer) = ('');

	append_to_file("$dir/users", qq{"app" ""\n});
	append_to_file(
		"$dir/pgbouncer.ini", qq{[databases]
postgres = host=$host port=$server_port dbname=postgres
[pgbouncer]
listen_addr =
listen_port = $port
unix_socket_dir = $dir
auth_type = trust
auth_file = $dir/users
pool_mode = transaction
server_round_robin = 1
default_pool_size = 2
min_pool_size = 2
});
	$ENV{PATH} .= ':/usr/sbin';
	$bouncer = IPC::Run::start([ 'pgbouncer', "$dir/pgbouncer.ini" ], '<', \undef, '>&', \$log);
	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		last if -S "$dir/.s.PGSQL.$port";
		select undef, undef, undef, 0.1;
	}
	{
		local $ENV{POOLER} = "host=$dir port=$port";
		run_day($node, 'psycopg through pgbouncer', '/usr/bin/python3', in_clients('psycopg_day.py'));
	}
	# which it opens as it needs them
	cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'}), '<=', 2,
		'the pooler has two connections at most');
	$bouncer->kill_kill;
	note($log);
}
