# Thresholds (rule N1) beside many writers in several slots: each is announced once, and again
# after each fall of 5 points, however the count fell; who requests a larger tier notifies,
# and so does an account whose name is too long for a payload.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('thresholds');
my $clients = 8;

attached_table($node, 'c', 12000, 1, 1000);
# the scripts below look for the next contact of a status
$node->safe_psql('postgres', 'CREATE INDEX ON c (marketing_contact_status, id)');

# Transactions that hold what they have claimed or released for a moment
my %script = (
	promote => q{UPDATE c SET marketing_contact_status = 'marketing' WHERE id =
		(SELECT id FROM c WHERE marketing_contact_status = 'non_marketing' ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1)},
	release => q{DELETE FROM c WHERE id =
		(SELECT id FROM c WHERE marketing_contact_status = 'marketing' ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1)});

foreach my $name (keys %script)
{
	append_to_file($node->basedir . "/$name", "BEGIN;\n$script{$name};\nSELECT pg_sleep(0.002);\nCOMMIT;\n");
}

my $count = 0;

# Have all clients together change the count to another one, and say what was announced
sub go
{
	my ($to) = @_;
	my $name = $to > $count ? 'promote' : 'release';
	my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM contacts_tier_ledger');

	die "$to cannot be reached by $clients clients" if ($to - $count) % $clients != 0;
	$node->command_ok(
		[
			'pgbench', '--no-vacuum', '--client', $clients, '--transactions', abs($to - $count) / $clients,
			'--file', $node->basedir . "/$name", 'postgres'
		],
		"from $count to $to");
	$count = $to;
	return $node->safe_psql(
		'postgres', qq{
		SELECT string_agg(coalesce(l.details->>'threshold', l.event), ' ' ORDER BY l.entry)
		FROM (SELECT * FROM contacts_tier_ledger ORDER BY entry OFFSET $before) l
		WHERE l.event IN ('threshold', 'exceeded')});
}

is(go(648), '', 'nothing is announced far from the thresholds');
cmp_ok($node->safe_psql('postgres', 'SELECT count(*) FROM contacts_tier_counter'), '>', 1, 'writers use several slots');
foreach my $round (1 .. 2)
{
	is(go(920), '75 90', 'each threshold once');
	is(go(864), '', 'less is no news');
	is(go(920), '', 'a fall of less than 5 points re-arms nothing');
	is(go(848), '', 'less is no news');
	is(go(888), '', 'what was not reached is not announced');
	is(go(920), '90', 'a fall of 5 points re-arms');
	is(go(696), '', 'less is no news');
}
is_exact($node, 'postgres', 'after all');

# Two who release together what none of them does alone
is(go(920), '75 90', 'each threshold once');
my @sessions = map { $node->background_psql('postgres') } 1 .. 4;
foreach my $session (@sessions)
{
	$session->query_safe(
		q{BEGIN; DELETE FROM c WHERE id IN
		  (SELECT id FROM c WHERE marketing_contact_status = 'marketing' ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 20)});
}
$_->query_safe('COMMIT') foreach @sessions;
$_->quit foreach @sessions;
$count -= 80;
is(go(920), '90', 'a fall of 5 points by several transactions at once');

# Notifications
my $listener = $node->background_psql('postgres', on_error_stop => 0);
$node->safe_psql(
	'postgres', q{
	CREATE SCHEMA s;
	CREATE TABLE s.c (id integer, account text);
	SELECT contacts_tier.attach('s.c', 'account');
	SELECT contacts_tier.create_plan('s', '{2, 10}');
	SELECT contacts_tier.subscribe('s.c', a, 's', on_exceed => 'cap') FROM (VALUES ('short'), (repeat(chr(1), 2000))) v (a);
});
$listener->query_safe('LISTEN contacts_tier');
$node->safe_psql(
	'postgres', qq{
	INSERT INTO s.c (id, account, marketing_contact_status)
	SELECT n, a, 'marketing' FROM generate_series(1, 3) n, (VALUES ('short'), (repeat(chr(1), 2000))) v (a)});
my $heard = $listener->query('SELECT 1');
$listener->quit;
like($heard, qr/"account": "short", "event": "upgrade_request", "marketing_contacts": 2, "contact_limit": 2, "requested_limit": 10}/,
	'a request for a larger tier notifies');
like($heard, qr/"account": null, "truncated": true, "event": "upgrade_request"/,
	'a payload that would be too long has no name, and says so');
is( $node->safe_psql(
		'postgres', q{SELECT count(*), max(length(account)) FROM s.contacts_tier_ledger WHERE event = 'upgrade_request'}),
	'2|2000',
	'the ledger has both');

$node->stop;
done_testing();
