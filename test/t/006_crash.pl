# The server is killed while clients write, several times over: the counters
# agree with a recount after each restart, and no limit is exceeded.
# Rule C1.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $rounds = 4;
my $node = new_node('crash', 'max_prepared_transactions = 10', 'synchronous_commit = off', 'restart_after_crash = off');

attached_table($node, 'c', 400, 4, 60);
$node->safe_psql('postgres', "UPDATE contacts_tier_account SET period_started_at = now() - interval '1 month'");

# What an application does.  No transaction locks a second contact while it
# holds one, so that a deadlock would be one of the counters.
$node->safe_psql(
	'postgres', q{
	CREATE FUNCTION promote(contact integer) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		UPDATE c SET marketing_contact_status = 'marketing' WHERE id = contact;
	EXCEPTION WHEN SQLSTATE 'MC001' THEN
		NULL;
	END$$;
});
my $script = PostgreSQL::Test::Utils::tempdir . '/writes.sql';
append_to_file(
	$script, q{
	\set id random(1, 400)
	\set other random(1, 400)
	\set account random(1, 4)
	\set what random(1, 7)
	\if :what <= 3
	SELECT promote(:id);
	\elif :what = 4
	UPDATE c SET marketing_contact_until_next_update = true WHERE id = :id;
	\elif :what = 5
	DELETE FROM c WHERE id = :id AND marketing_contact_status = 'marketing';
	INSERT INTO c (id, account) VALUES (:id, :account) ON CONFLICT (id) DO UPDATE SET email = 'x';
	\elif :what = 6
	BEGIN;
	SAVEPOINT s;
	DELETE FROM c WHERE id = :other;
	ROLLBACK TO s;
	DELETE FROM c WHERE id = :id;
	INSERT INTO c (id, account) VALUES (:id, :account) ON CONFLICT (id) DO NOTHING;
	COMMIT;
	\else
	UPDATE contacts_tier_account SET next_update_at = now() WHERE account = :account AND period_started_at < now();
	CALL contacts_tier.rollover(batch_size => 5);
	\endif
});

foreach my $round (1 .. $rounds)
{
	my $before = $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
	my $log = '';
	my $load = IPC::Run::start(
		[ 'pgbench', '-n', '-c', '4', '-T', '300', '-f', $script, $node->connstr('postgres') ],
		'<', \undef, '>&', \$log);

	ok( $node->poll_query_until(
			'postgres', "SELECT pg_current_wal_insert_lsn() - '$before' > 500000 + 100000 * $round"),
		"round $round: there is load");
	$node->stop('immediate');
	$load->finish;
	$node->start;

	unlike($log, qr/ERROR:/, "round $round: no client fails before");
	is_exact($node, 'postgres', "round $round");
	is( $node->safe_psql(
			'postgres', 'SELECT * FROM contacts_tier.usage() WHERE marketing_contacts > contact_limit'),
		'',
		"round $round: no limit is exceeded");
}

# What was broken off is taken up again.
$node->safe_psql(
	'postgres', q{
	UPDATE c SET marketing_contact_until_next_update = true WHERE id <= 50;
	UPDATE contacts_tier_account SET next_update_at = clock_timestamp(), period_started_at = now() - interval '1 month';
	CALL contacts_tier.rollover();
});
is($node->safe_psql('postgres', 'SELECT sum(pending_non_marketing) FROM contacts_tier.usage()'), '0',
	'the rollover after the crashes does what is left');
is_exact($node, 'postgres', 'after that rollover');

# Prepared transactions keep their claims over a crash.
$node->safe_psql(
	'postgres', q{
	SELECT contacts_tier.subscribe('c', a, 'c', on_exceed => 'block') FROM unnest('{5, 6}'::text[]) a;
	INSERT INTO c (id, account) SELECT i, 5 FROM generate_series(1001, 1100) i;
	INSERT INTO c (id, account) SELECT i, 6 FROM generate_series(1101, 1200) i;
	BEGIN;
	UPDATE c SET marketing_contact_status = 'marketing' WHERE id BETWEEN 1001 AND 1030;
	PREPARE TRANSACTION 'kept';
	BEGIN;
	UPDATE c SET marketing_contact_status = 'marketing' WHERE account = 6 AND id <= 1130;
	PREPARE TRANSACTION 'dropped';
});
$node->stop('immediate');
$node->start;
$node->safe_psql('postgres', q{ROLLBACK PREPARED 'dropped'; COMMIT PREPARED 'kept'});
is($node->safe_psql('postgres', q{SELECT marketing_contacts FROM contacts_tier.usage('c', '5')}), '30',
	'a prepared transaction counts when it commits');
is($node->safe_psql('postgres', q{SELECT marketing_contacts FROM contacts_tier.usage('c', '6')}), '0',
	'and not when it is rolled back');
is_exact($node, 'postgres', 'after prepared transactions');
my ($status, $stdout, $stderr) = $node->psql('postgres',
	q{UPDATE c SET marketing_contact_status = 'marketing' WHERE id BETWEEN 1031 AND 1061});
like($stderr, qr/contact tier of account "5" exceeded/, 'room is refused where there is none');
$node->safe_psql('postgres', q{UPDATE c SET marketing_contact_status = 'marketing' WHERE id BETWEEN 1031 AND 1060});
is_exact($node, 'postgres', 'a full account');

# One that crosses a threshold can be prepared like any other.
($status, $stdout, $stderr) = $node->psql(
	'postgres', q{
	BEGIN;
	UPDATE c SET marketing_contact_status = 'marketing' WHERE account = 6 AND id <= 1160;
	PREPARE TRANSACTION 'crosses';
	COMMIT PREPARED 'crosses'}, on_error_stop => 1);
is($stderr, '', 'a transaction that crosses thresholds is prepared and commits');
is_exact($node, 'postgres', 'after it');

$node->stop;
done_testing();
