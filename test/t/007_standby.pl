# On a physical standby usage() and verify() work, and rollover() does nothing,
# so that the same job can be scheduled there; after a promotion it works.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_node('primary', "contacts_tier.now = '2024-02-01 00:05Z'");
my $standby = PostgreSQL::Test::Cluster->new('standby');

$primary->backup('base');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

$primary->safe_psql(
	'postgres', q{
	SET contacts_tier.now = '2024-01-15 12:00Z';
	CREATE TABLE c (id integer PRIMARY KEY, account text);
	SELECT contacts_tier.attach('c', 'account');
	SELECT contacts_tier.create_plan('plan', ARRAY[100]);
	SELECT contacts_tier.subscribe('c', 'a', 'plan', started_at => '2024-01-01');
	INSERT INTO c SELECT i, 'a', 'marketing' FROM generate_series(1, 9) i;
	UPDATE c SET marketing_contact_until_next_update = true WHERE id <= 4;
});
$primary->wait_for_catchup($standby);

my $usage = q{SELECT marketing_contacts, pending_non_marketing FROM contacts_tier.usage('c', 'a')};
is($standby->safe_psql('postgres', $usage), '9|4', 'usage() on the standby');
is_exact($standby, 'postgres', 'on the standby');
is($standby->safe_psql('postgres', q{SELECT contacts_tier.has_access('c', 'a')}), 't', 'has_access() on the standby');
is($standby->safe_psql('postgres', q{SELECT count(*) FROM contacts_tier.rollover_progress()}), '0',
	'rollover_progress() on the standby');

my ($status, $stdout, $stderr) = $standby->psql('postgres', 'CALL contacts_tier.rollover()');
is("$status: $stdout$stderr", '0: ', 'rollover() on the standby raises nothing');
($status, $stdout, $stderr) = $standby->psql('postgres', q{BEGIN; CALL contacts_tier.rollover('c', 'a'); COMMIT});
is("$status: $stdout$stderr", '0: ', 'nor in a transaction');
is($standby->safe_psql('postgres', $usage), '9|4', 'and does nothing');

$primary->safe_psql('postgres', q{UPDATE c SET marketing_contact_status = 'marketing' WHERE id = 1});
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $usage), '9|3', 'the standby follows');

$primary->stop('immediate');
$standby->promote;
$standby->safe_psql('postgres', 'CALL contacts_tier.rollover()');
is($standby->safe_psql('postgres', $usage), '6|0', 'after a failover rollover() works');
is_exact($standby, 'postgres', 'after the failover');

$standby->stop;
done_testing();
