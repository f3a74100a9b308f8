# Partitions that come and go: one that waits to be detached, and all of them in
# loops beside writers, rollover(), repair() and verify().
# Rule C1.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = new_node('partitions', 'autovacuum_naptime = 1s');

$node->safe_psql(
	'postgres', q{
	SELECT contacts_tier.create_plan('plan', ARRAY[1000000]);
	CREATE TABLE c (id integer, account text) PARTITION BY RANGE (id);
	CREATE TABLE c_0 PARTITION OF c FOR VALUES FROM (0) TO (100);
	CREATE TABLE c_1 PARTITION OF c FOR VALUES FROM (100) TO (200) PARTITION BY RANGE (id);
	CREATE TABLE c_1_0 PARTITION OF c_1 FOR VALUES FROM (100) TO (150);
	CREATE TABLE c_1_1 PARTITION OF c_1 FOR VALUES FROM (150) TO (200);
	SELECT contacts_tier.attach('c', 'account');
	SELECT contacts_tier.subscribe('c', a, 'plan') FROM unnest('{a,b,c}'::text[]) a;
	INSERT INTO c (id, account, marketing_contact_status)
	SELECT n, chr(97 + n % 3), 'marketing' FROM generate_series(0, 199) n;
});

# Leave a partition waiting to be detached: a snapshot keeps the command from its
# end, and it is broken off.
sub leave_pending
{
	my ($table, $partition) = @_;
	my $holder = $node->background_psql('postgres');

	$holder->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ');
	$holder->query_safe("SELECT count(*) FROM $table");
	my ($status, $stdout, $stderr) =
	  $node->psql('postgres', "SET statement_timeout = '1s'; ALTER TABLE $table DETACH PARTITION $partition CONCURRENTLY");
	$holder->quit;
	return $stderr;
}

like(leave_pending('c', 'c_0'), qr/cannot detach a partition of attached table "c" concurrently/,
	'DETACH CONCURRENTLY is refused');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_inherits WHERE inhdetachpending'), '0', 'at the start');

foreach my $case ([ 'c', 'c_0', 'c_0', 5 ], [ 'c_1', 'c_1_1', 'c_1_1', 155 ], [ 'c', 'c_1', 'c_1_0', 105 ])
{
	my ($table, $partition, $leaf, $id) = @$case;

	$node->safe_psql('postgres', 'ALTER EVENT TRIGGER contacts_tier_command_starts DISABLE');
	like(leave_pending($table, $partition), qr/statement timeout/, "$partition waits to be detached");
	$node->safe_psql('postgres', 'ALTER EVENT TRIGGER contacts_tier_command_starts ENABLE');
	is_exact($node, 'postgres', 'while it waits');
	$node->safe_psql(
		'postgres', qq{
		DELETE FROM $leaf WHERE id = $id;
		INSERT INTO $leaf (id, account, marketing_contact_status) VALUES ($id, 'a', 'marketing'), ($id, 'b', 'marketing')});
	is_exact($node, 'postgres', 'after writes straight into it');
	my ($status, $stdout, $stderr) = $node->psql('postgres',
		"INSERT INTO $leaf (id, account, marketing_contact_status) VALUES ($id, 'nobody', 'marketing')");
	like($stderr, qr/account "nobody" may not have marketing contacts/, 'a write that is refused is no crash');
	is($node->safe_psql('postgres', q{SELECT count(*) FROM contacts_tier.repair('c')}), '0', 'there is nothing to mend');
	$node->safe_psql('postgres', q{CALL contacts_tier.rollover('c')});
	is( $node->safe_psql(
			'postgres', qq{
			BEGIN;
			DROP TABLE $partition;
			SELECT count(*) FROM contacts_tier.verify() WHERE drift <> 0;
			ROLLBACK;
			BEGIN;
			SELECT contacts_tier.detach('c');
			SELECT sum(used) FROM contacts_tier_counter;
			ROLLBACK}),
		"0\n\n0",
		'it can be dropped, and the table detached');
	$node->safe_psql('postgres', "ALTER TABLE $table DETACH PARTITION $partition FINALIZE");
	is_exact($node, 'postgres', 'when it is detached');
	is( $node->safe_psql(
			'postgres', "SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('$partition'::regclass, '$leaf'::regclass) AND NOT tgisinternal"),
		'0',
		'and without our triggers');
	$node->safe_psql(
		'postgres', 'ALTER TABLE c_1 ATTACH PARTITION c_1_1 FOR VALUES FROM (150) TO (200)') if $partition eq 'c_1_1';
	is_exact($node, 'postgres', 'and attached again');
}
$node->safe_psql(
	'postgres', q{
	ALTER TABLE c ATTACH PARTITION c_0 FOR VALUES FROM (0) TO (100);
	ALTER TABLE c ATTACH PARTITION c_1 FOR VALUES FROM (100) TO (200);
});
is_exact($node, 'postgres', 'all are back');

# All at once, for some seconds
my $seconds = $ENV{SECONDS_OF_LOOPS} || 4;
my $dir = PostgreSQL::Test::Utils::tempdir;
my %loops = (
	managing => q{
		CALL contacts_tier.rollover('c');
		SELECT count(*) FROM contacts_tier.repair('c');
		SELECT count(*) FROM contacts_tier.verify('c');
		SELECT count(*) FROM contacts_tier.verify();
		SELECT count(*) FROM contacts_tier.usage('c');
	},
	altering => q{
		ALTER TABLE c ALTER COLUMN account SET STATISTICS 50;
		ANALYZE c;
		ALTER TABLE c_1_0 ALTER COLUMN account SET STATISTICS 40;
		COMMENT ON TABLE c IS 'altered';
	},
	partitions => q{
		DROP TABLE IF EXISTS c_2;
		CREATE TABLE c_2 PARTITION OF c FOR VALUES FROM (200) TO (300);
		INSERT INTO c (id, account, marketing_contact_status) SELECT 200 + n, chr(97 + n % 3), 'marketing' FROM generate_series(0, 9) n;
		ALTER TABLE c DETACH PARTITION c_2;
		UPDATE c_2 SET marketing_contact_status = 'marketing', account = 'a' WHERE id < 205;
		ALTER TABLE c ATTACH PARTITION c_2 FOR VALUES FROM (200) TO (300);
		TRUNCATE c_2;
		INSERT INTO c_2 (id, account, marketing_contact_status) VALUES (200, 'a', 'marketing'), (201, 'b', 'marketing');
		DROP TABLE c_2;
	},
	trees => q{
		DROP TABLE IF EXISTS c_3, c_3_a;
		BEGIN;
		CREATE TABLE c_3 (LIKE c INCLUDING DEFAULTS) PARTITION BY LIST (account);
		CREATE TABLE c_3_a PARTITION OF c_3 FOR VALUES IN ('a');
		CREATE TABLE c_3_b PARTITION OF c_3 FOR VALUES IN ('b');
		COMMIT;
		INSERT INTO c_3 (id, account, marketing_contact_status) VALUES (300, 'a', 'marketing'), (301, 'b', 'marketing'), (302, 'b', NULL);
		ALTER TABLE c ATTACH PARTITION c_3 FOR VALUES FROM (300) TO (400);
		INSERT INTO c (id, account, marketing_contact_status) VALUES (303, 'a', 'marketing');
		ALTER TABLE c_3 DETACH PARTITION c_3_a;
		TRUNCATE c_3;
		BEGIN;
		DROP TABLE c_3;
		ROLLBACK;
		DROP TABLE c_3, c_3_a;
	},
	writing => q{
		BEGIN;
		UPDATE c SET marketing_contact_until_next_update = true WHERE id = 1 + (random() * 90)::int;
		DELETE FROM c_1_0 WHERE id = 101 + (random() * 40)::int;
		COMMIT;
		INSERT INTO c (id, account, marketing_contact_status) VALUES (101 + (random() * 90)::int, 'a', 'marketing');
		INSERT INTO c_0 (id, account, marketing_contact_status) VALUES ((random() * 90)::int, 'b', 'marketing');
		UPDATE c SET marketing_contact_status = 'marketing' WHERE id = (random() * 190)::int;
	});
my (%running, %output);
my $log_start = -s $node->logfile;

foreach my $name (sort keys %loops)
{
	append_to_file("$dir/$name.sql", "$loops{$name} SELECT 'round';" x 10);
	# writing transactions of several statements and all that moves partitions may wait
	# for each other: a script ends with that, since the next command may need what was
	# refused, and begins again; a session that ends is noticed in the log
	$running{$name} = IPC::Run::start(
		[ 'bash', '-c', "end=\$((SECONDS + $seconds)); while [ \$SECONDS -lt \$end ]; do psql -XqAt -v ON_ERROR_STOP=1 -f $dir/$name.sql; done" ],
		'>', \$output{$name}, '2>', \$output{$name},
		init => sub { $ENV{PGHOST} = $node->host; $ENV{PGPORT} = $node->port; $ENV{PGDATABASE} = 'postgres'; });
}
$_->finish foreach values %running;
my $log = slurp_file($node->logfile, $log_start);

unlike($log, qr/PANIC|terminated by signal|cache lookup failed|could not open relation|unrecognized|TRAP/,
	'no session ends, and none looks for what is gone');
foreach my $name (sort keys %loops)
{
	my $rounds = () = $output{$name} =~ /^round$/mg;
	cmp_ok($rounds, '>=', 10, "rounds in the loop: $name");
	my %errors = map { $_ => 1 } grep { !/deadlock detected/ } $output{$name} =~ /ERROR:  (.*)/g;
	is(join("\n", sort keys %errors), '', "no errors but deadlocks in the loop: $name");
}
is_exact($node, 'postgres', 'after the loops');
is( $node->safe_psql(
		'postgres', q{
		SELECT count(*) FROM contacts_tier.billing_periods()
		WHERE closing <> opening + promoted - demoted + corrected}),
	'0',
	'and the bill adds up');

$node->stop;
done_testing();
