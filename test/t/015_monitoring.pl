# The files in monitoring/: the exporter of Debian reads queries.yaml from a server, promtool
# checks and tests the alert rules, and the dashboard shows metrics that there are.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

my $monitoring = "$FindBin::RealBin/../../monitoring";
my $node = new_node('monitoring');

attached_table($node, 'c', 200, 2, 100);
$node->safe_psql(
	'postgres', q{
	UPDATE c SET marketing_contact_status = 'marketing' WHERE account = 1 AND id <= 198;
	CREATE ROLE exporter LOGIN;
	GRANT pg_monitor TO exporter;
	CREATE SCHEMA locked;
	CREATE TABLE locked.c (id integer PRIMARY KEY, account integer);
	SELECT contacts_tier.attach('locked.c', 'account');
});
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; LOCK TABLE locked.contacts_tier_ledger');

# A port that nobody uses
my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', LocalPort => 0) or die "no port: $!";
my $address = '127.0.0.1:' . $socket->sockport;
$socket->close;

# The collectors that are on by default have other names in each release
my %collectors = map { $_ => 1 } qx(prometheus-postgres-exporter --help 2>&1) =~ /--(?:\[no-\])?collector\.(\w+)\s/g;

$ENV{DATA_SOURCE_NAME} = sprintf 'host=%s port=%d user=exporter dbname=postgres sslmode=disable', $node->host, $node->port;
my $exporter = IPC::Run::start(
	[
		'prometheus-postgres-exporter', "--extend.query-path=$monitoring/queries.yaml", "--web.listen-address=$address",
		'--disable-default-metrics', '--disable-settings-metrics', map { "--no-collector.$_" } sort keys %collectors
	],
	'<', \undef, '>&', $node->basedir . '/exporter.log');

# What the exporter tells, as name and labels to value
sub scrape
{
	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $response = HTTP::Tiny->new->get("http://$address/metrics");

		return map { /^(contacts_tier\S*\{.*\}|pg_exporter_last_scrape_error|pg_up) (\S+)$/ ? ($1, $2) : () } split /\n/, $response->{content}
		  if $response->{success};
		select undef, undef, undef, 0.1;
	}
	diag slurp_file($node->basedir . '/exporter.log');
	die 'the exporter does not answer';
}

my %value = scrape();

# labels of the server come with those of the queries
sub of
{
	my ($name, @labels) = @_;
	my ($found) = grep { my $key = $_; $key =~ /^\Q$name\E\{/ && !grep { index($key, $_) < 0 } @labels } keys %value;

	return defined $found ? $value{$found} : undef;
}

is($value{pg_up}, 1, 'the exporter reaches the server');
is($value{pg_exporter_last_scrape_error}, 0, 'and has no error');
is(of('contacts_tier_schema_readable', 'schema="public"', 'datname="postgres"'), 1, 'readable');
is(of('contacts_tier_schema_accounts', 'schema="public"'), 2, 'accounts');
is(of('contacts_tier_schema_accounts_banner', 'schema="public"'), 1, 'accounts by alert');
is(of('contacts_tier_schema_clock_fixed', 'schema="public"'), 0, 'the clock is not fixed');
cmp_ok(of('contacts_tier_schema_ledger_bytes', 'schema="public"'), '>', 8192, 'size of the ledger');
is(of('contacts_tier_schema_readable', 'schema="locked"'), 0, 'a schema that is locked is not readable');
is(of('contacts_tier_schema_accounts', 'schema="locked"'), 'NaN', 'and has no values');
is(of('contacts_tier_account_ratio', 'account="1"', 'schema="public"'), 0.99, 'an account near its limit');
is(of('contacts_tier_account_contact_limit', 'account="2"'), 100, 'and one that is not');

# Every metric of the rules and of the dashboard is there
my %known = map { /^([a-z_]+)/ ? ($1 => 1) : () } keys %value;
foreach my $file ('alerts.yml', 'dashboard.json')
{
	my %used = map { $_ => 1 } slurp_file("$monitoring/$file") =~ /\b(contacts_tier_(?:schema|account)_\w+)/g;

	cmp_ok(scalar keys %used, '>', 3, "$file uses metrics");
	is(join(' ', grep { !$known{$_} } sort keys %used), '', "all of $file are exported");
}
my $dashboard = decode_json(slurp_file("$monitoring/dashboard.json"));
cmp_ok(scalar @{ $dashboard->{panels} }, '>', 5, 'the dashboard has panels');

$exporter->kill_kill;
$holder->quit;

command_ok([ 'promtool', 'check', 'rules', "$monitoring/alerts.yml" ], 'alert rules are valid');
command_ok([ 'promtool', 'test', 'rules', "$monitoring/alerts_test.yml" ], 'alert rules fire as they should');

$node->stop;
done_testing();
