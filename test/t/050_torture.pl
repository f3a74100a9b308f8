# Counters and limits stay exact whatever many clients do at once; see
# test/torture.  DURATION is the time it takes, in seconds; "make torture" has a minute of it.
# Rules C1, C2, C4 and L1.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../torture", "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Torture;

my $seconds = $ENV{DURATION} || 15;
my $clients = $ENV{CLIENTS} || 24;

my $node = PostgreSQL::Test::Cluster->new('torture');
$node->init;
$node->append_conf(
	'postgresql.conf', q{
	max_connections = 100
	max_prepared_transactions = 50
	deadlock_timeout = 50ms
	autovacuum_naptime = 1s
	log_line_prefix = '%m [%p] %e '
	log_min_messages = log
	log_min_error_statement = panic
});
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION contacts_tier');

my @provoked = ('statements', 'rollbacks', 'snapshots compared', 'backends killed', 'crashes', 'error MC001', 'error MC002', 'error 40P01');
my $torture = Torture->new(node => $node, seconds => $seconds);

# what the phases without a given time take is about a third of a short run
my $share = $seconds * 0.6;

$torture->use_schema('torture');
$torture->exact_limit_phase();
$torture->exact_fit_phase();
$torture->upgrade_phase();
$torture->churn_phase(transactions => $torture->transactions(int(10 * $share), int(4 * $share)));
$torture->single_phase(clients => $clients, seconds => $share * 0.2);
$torture->single_phase(clients => $clients, seconds => $share * 0.2, rollovers => 1);
# again, where a busy machine has not come to all of it
foreach (1 .. 5)
{
	$torture->mixed_phase(clients => $clients, seconds => $share * 0.6, crashes => 1 + int($share / 40));
	last unless grep { !$torture->{counts}{$_} } @provoked;
}
$torture->check_server_log();
$torture->summary();

is(join("\n", $torture->violations), '', 'no violations');
cmp_ok($torture->{counts}{$_} // 0, '>', 0, "there were $_") foreach @provoked;

$node->stop;
done_testing();
