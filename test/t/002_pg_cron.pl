# pg_cron calls rollover(): schedule_rollover() and unschedule_rollover().
# Rules D2 and O1.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

# The job's workers live on the update date; this session before it.
my $node = new_node(
	'pg_cron',
	"shared_preload_libraries = 'pg_cron'",
	"cron.database_name = 'postgres'",
	"cron.use_background_workers = on",
	"max_worker_processes = 20",
	"contacts_tier.now = '2024-03-01 00:00:01Z'");

my ($status, $stdout, $stderr) = $node->psql('postgres', q{SELECT contacts_tier.schedule_rollover()});
isnt($status, 0, 'no job without pg_cron');
like($stderr, qr/ERROR:  extension "pg_cron" is not installed/, 'the error names pg_cron');
like($stderr, qr/HINT:  .*CREATE EXTENSION pg_cron/, 'the hint tells what to do');
($status, $stdout, $stderr) = $node->psql('postgres', q{SELECT contacts_tier.unschedule_rollover()});
is("$stdout$stderr", 'f', 'nothing to take back without pg_cron');

$node->safe_psql('postgres', 'CREATE EXTENSION pg_cron');
is($node->safe_psql('postgres', q{SELECT contacts_tier.unschedule_rollover()}), 'f',
	'nothing to take back yet');
my $job = $node->safe_psql('postgres', q{SELECT contacts_tier.schedule_rollover()});
is($node->safe_psql('postgres', q{SELECT jobid, schedule, command, username, active FROM cron.job}),
	"$job|*/5 * * * *|CALL contacts_tier.rollover()|" . $node->safe_psql('postgres', 'SELECT current_user') . '|t',
	'the job');

# Contacts flagged in January and in February: two update dates are due.
$node->safe_psql(
	'postgres', q{
	SET contacts_tier.now = '2024-01-15 12:00Z';
	CREATE TABLE c (id integer PRIMARY KEY, account text);
	SELECT contacts_tier.attach('c', 'account');
	SELECT contacts_tier.create_plan('plan', ARRAY[100]);
	SELECT contacts_tier.subscribe('c', 'a', 'plan', started_at => '2024-01-01');
	INSERT INTO c SELECT i, 'a', 'marketing' FROM generate_series(1, 9) i;
	BEGIN;
	UPDATE c SET marketing_contact_until_next_update = true WHERE id IN (1, 2);
	SET contacts_tier.now = '2024-02-15 12:00Z';
	UPDATE c SET marketing_contact_until_next_update = true WHERE id = 3;
	SET contacts_tier.now = '2024-03-01 00:00:00Z';
	UPDATE c SET marketing_contact_until_next_update = true WHERE id = 4;
	COMMIT;
});

# An account that fails, in another database: the error that pg_cron stores says which one, and why.
$node->safe_psql('postgres', 'CREATE DATABASE failing');
$node->safe_psql(
	'failing', q{
	SET contacts_tier.now = '2024-01-15 12:00Z';
	CREATE EXTENSION contacts_tier;
	CREATE TABLE c (id integer PRIMARY KEY, account text);
	SELECT contacts_tier.attach('c', 'account');
	SELECT contacts_tier.create_plan('plan', ARRAY[100]);
	SELECT contacts_tier.subscribe('c', 'b', 'plan', started_at => '2024-01-01');
	INSERT INTO c VALUES (11, 'b', 'marketing', true);
	CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE check_violation USING MESSAGE = 'contact 11 stays'; END$$;
	CREATE TRIGGER fail BEFORE UPDATE ON c FOR EACH ROW WHEN (NEW.id = 11) EXECUTE FUNCTION fail();
});

# pg_cron looks at the clock once a minute; what is to run at the start of the server it runs at once.
is($node->safe_psql('postgres', q{SELECT contacts_tier.schedule_rollover('@reboot')}), $job,
	'scheduled twice is scheduled once');
is($node->safe_psql('postgres', q{SELECT count(*), min(schedule) FROM cron.job}), '1|@reboot',
	'with the new schedule');
my $failing = $node->safe_psql('postgres',
	q{SELECT cron.schedule_in_database('failing', '@reboot', 'CALL contacts_tier.rollover()', 'failing')});
$node->restart;

ok( $node->poll_query_until(
		'postgres', q{SELECT next_update_at = '2024-04-01 00:00Z' FROM contacts_tier.usage('c', 'a')}),
	'pg_cron runs rollover()');
is( $node->safe_psql('postgres', q{SELECT marketing_contacts, pending_non_marketing FROM contacts_tier.usage('c', 'a')}),
	'6|1', 'what was flagged before the update dates is non-marketing');
is( $node->safe_psql(
		'postgres', q{
		SET timezone = 'UTC';
		SELECT (details->>'update_date')::timestamptz, contacts FROM contacts_tier_ledger
		WHERE event = 'rollover' ORDER BY 1}),
	"2024-02-01 00:00:00+00|2\n2024-03-01 00:00:00+00|1",
	'each update date was applied');
is_exact($node, 'postgres', 'after the job');
ok( $node->poll_query_until('postgres', qq{SELECT status = 'succeeded' FROM cron.job_run_details WHERE jobid = $job ORDER BY runid LIMIT 1}),
	'pg_cron is told of the success');

ok($node->poll_query_until('postgres', q{SELECT count(*) > 0 FROM cron.job_run_details WHERE status = 'failed'}),
	'pg_cron is told of the failure');
my $message = $node->safe_psql('postgres', q{SELECT return_message FROM cron.job_run_details WHERE status = 'failed' ORDER BY runid LIMIT 1});
like($message, qr/rollover of 1 account failed/, 'what pg_cron stores: how many failed');
like($message, qr/account "b" in schema "public": 23514: contact 11 stays/, 'which one, with SQLSTATE and message');
is( $node->safe_psql(
		'failing', q{
		SELECT details->>'failed', details#>>'{failures,0,account}', details#>>'{failures,0,sqlstate}', details#>>'{failures,0,message}',
			(details->>'started_at')::timestamptz BETWEEN now() - interval '1 hour' AND (details->>'ended_at')::timestamptz
		FROM contacts_tier_ledger WHERE event = 'rollover_run' ORDER BY entry DESC LIMIT 1}),
	'1|b|23514|contact 11 stays|t',
	'the ledger has it, too');

$node->safe_psql('postgres', "SELECT cron.unschedule($failing)");
is($node->safe_psql('postgres', q{SELECT contacts_tier.unschedule_rollover()}), 't', 'take the job back');
is($node->safe_psql('postgres', q{SELECT count(*) FROM cron.job}), '0', 'the job is gone');
is($node->safe_psql('postgres', q{SELECT contacts_tier.unschedule_rollover()}), 'f', 'only once');

# A role that is not a superuser, also where it is taken on by SET ROLE.
$node->safe_psql(
	'postgres', q{
	CREATE ROLE scheduler LOGIN;
	GRANT USAGE ON SCHEMA cron TO scheduler;
	GRANT EXECUTE ON FUNCTION contacts_tier.schedule_rollover(text), contacts_tier.unschedule_rollover() TO scheduler;
});
is( $node->safe_psql(
		'postgres', q{
		SET ROLE scheduler;
		SELECT contacts_tier.schedule_rollover() > 0;
		SELECT contacts_tier.unschedule_rollover();
		RESET ROLE;
		SELECT count(*) FROM cron.job}),
	"t\nt\n0",
	'the job belongs to the current role');

$node->stop;
done_testing();
