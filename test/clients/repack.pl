# pg_repack on the contacts and the companion tables, beside writers.
# Rules C1, R7.
#
# Packages (small): postgresql-MAJOR-repack

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Client;
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = client_node('repack');
create_tables($node);
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION pg_repack;
	INSERT INTO account SELECT n, 'account ' || n FROM generate_series(1, 5) n;
	SELECT contacts_tier.create_plan('large', ARRAY[1000000]);
	SELECT contacts_tier.subscribe('contacts', n::text, 'large', on_exceed => 'block') FROM generate_series(1, 5) n;
	INSERT INTO contacts (account_id, email, marketing_contact_status)
	SELECT 1 + n % 5, n || '@example.com', CASE WHEN n % 2 = 0 THEN 'marketing' END FROM generate_series(1, 2000) n;});

my $script = $node->basedir . '/load.sql';
append_to_file($script, q{
	\set id random(1, 2000)
	\set what random(1, 3)
	\if :what = 1
	UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = :id;
	\elif :what = 2
	UPDATE contacts SET marketing_contact_until_next_update = true WHERE id = :id;
	\else
	INSERT INTO contacts (account_id, email, marketing_contact_status) VALUES (1 + :id % 5, gen_random_uuid(), 'marketing');
	\endif
});
my $bindir = $node->config_data('--bindir');
my $log = '';
my $load = IPC::Run::start(
	[ 'pgbench', '-n', '-c', '4', '-T', '300', '-f', $script, $node->connstr('postgres') . ' user=app' ],
	'<', \undef, '>&', \$log);

foreach my $table ('contacts', map { "contacts_tier_$_" } 'account', 'counter', 'ledger')
{
	my $before = $node->safe_psql('postgres', "SELECT pg_relation_filenode('$table')");
	my ($out, $err) = ('', '');

	IPC::Run::run([ "$bindir/pg_repack", '-h', $node->host, '-p', $node->port, '-d', 'postgres', '-t', "public.$table" ],
		'<', \undef, '>', \$out, '2>', \$err);
	is($?, 0, "pg_repack of $table") or diag($err);
	isnt($node->safe_psql('postgres', "SELECT pg_relation_filenode('$table')"), $before, "$table is written anew");
	is_exact($node, 'postgres', "after $table, beside writers");
}
ok($load->pumpable, 'the writers are at work until then');
$load->kill_kill;
unlike($log, qr/ERROR/, 'no writer failed');
$node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'app'});
is_exact($node, 'postgres', 'in the end');
is($node->safe_psql('postgres', 'SELECT count(*) FROM contacts_tier.repair()'), '0', 'repair() has nothing to correct');
$node->safe_psql('postgres', q{UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 1});
is_exact($node, 'postgres', 'a write after that');
$node->stop;
done_testing();
