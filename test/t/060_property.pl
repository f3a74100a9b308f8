# Random lives of accounts through three years of the clock, compared step by
# step with a reference model in plain SQL; see test/property.
#
#   SEED=7      only these lives; otherwise always the same ones
#   SEEDS=50    so many random ones
#   ACCOUNTS, STEPS   how many accounts live, and in how many steps; "make property" has more of both
# Rules S1, S2, S4, T4, T5, T6, T7, T8, T9, P1, P2, P3, P4, P5, D1, D2 and D3.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $accounts = $ENV{ACCOUNTS} || 25;
my $steps = $ENV{STEPS} || 1500;
my @seeds = $ENV{SEED} ? ($ENV{SEED}) : $ENV{SEEDS} ? () : (1, 2);
push @seeds, map { 2 + int rand 1000000 } 1 .. ($ENV{SEED} ? 0 : $ENV{SEEDS} || 0);

# What must have come about in the lives that are always the same to test
# anything; of random ones it is only told
my $same = !$ENV{SEED} && !$ENV{SEEDS} && $accounts >= 25 && $steps >= 1500;
my %counts;
my %coverage = (
	'refused promotions' => q{SELECT count(*) FROM property.step WHERE outcome = 'MC001'},
	'promotions without access' => q{SELECT count(*) FROM property.step WHERE outcome = 'MC002'},
	'closed periods' => q{SELECT count(*) FROM model.period},
	'upgrades' => q{SELECT count(*) FROM model.tier_change WHERE reason = 'exceeded'},
	'settled graces' => q{SELECT count(*) FROM model.tier_change WHERE reason = 'grace'},
	'renewals with another tier' => q{SELECT count(*) FROM model.tier_change WHERE reason = 'renewal'},
	'approved upgrades' => q{SELECT count(*) FROM model.tier_change WHERE reason = 'approved'},
	'capped promotions' => q{SELECT count(*) FROM contacts_tier_ledger WHERE event = 'capped'},
	'ended subscriptions' => q{SELECT count(*) FROM contacts_tier_ledger WHERE event = 'ended'},
	'promotions that the brake refused' => q{SELECT count(*) FROM property.step WHERE outcome = 'MC004'},
	'contacts that came or went by a condition' => q{SELECT count(*) FROM model.log WHERE corrected <> 0},
	'promotions refused for a condition' => q{SELECT count(*) FROM property.step WHERE outcome = '23514'},
	'flags by the rollover' => q{SELECT count(*) FROM contacts_tier_ledger WHERE event = 'activity' AND details->>'source_name' = 'not eligible'},
	'undone promotions' => q{SELECT count(*) FROM property.undone WHERE taken_back > 0},
	'withdrawn tier changes' => q{SELECT count(*) FROM model.tier_change WHERE reason = 'undo'},
	'merged contacts' => q{SELECT count(*) FROM property.step WHERE outcome = '00000' AND command LIKE '%merge_contacts%'},
	'demoted contacts' => q{SELECT sum(demoted) FROM model.period},
	'three years' => q{SELECT (max(now) - min(now) > '1085 days')::integer FROM property.step});

my $node = new_node('property', 'max_wal_size = 1GB', 'autovacuum_naptime = 10s');
$node->safe_psql('postgres', 'CREATE DATABASE life');
$node->safe_psql('life', 'CREATE EXTENSION contacts_tier');
$node->safe_psql('life', slurp_file("$FindBin::RealBin/../property/$_.sql")) foreach qw(model lives);

foreach my $seed (@seeds)
{
	diag("SEED=$seed ACCOUNTS=$accounts STEPS=$steps");
	$node->safe_psql('postgres', "CREATE DATABASE life_$seed TEMPLATE life");
	my ($status, $stdout, $stderr) = $node->psql(
		"life_$seed", qq{
		SET client_min_messages = error;
		SET timezone = 'UTC';
		CALL property.live($seed, $accounts, $steps)});

	is($stderr, '', "seed $seed: $accounts accounts live through $steps steps");
	my $mismatches = $node->safe_psql(
		"life_$seed", q{
		SET timezone = 'UTC';
		SELECT format('step %s, account %s: %s', step, account, difference) FROM property.mismatch LIMIT 20});
	is($mismatches, '', "seed $seed: nothing differs from the model")
	  or diag("SEED=$seed ACCOUNTS=$accounts STEPS=$steps; the last steps were\n"
		  . $node->safe_psql("life_$seed", q{SET timezone = 'UTC'; TABLE property.last_steps}));
	# in one session
	my @counts = split /\n/, $node->safe_psql("life_$seed", join ';', map { $coverage{$_} } sort keys %coverage);
	foreach my $what (sort keys %coverage)
	{
		my $count = shift @counts;

		note("$what: $count");
		$counts{$what} += $count;
	}
	$same &&= !$mismatches && !$stderr;
	$node->safe_psql('postgres', "DROP DATABASE life_$seed");
}
if ($same)
{
	cmp_ok($counts{$_}, '>', 0, "there were $_") foreach sort keys %coverage;
}

$node->stop;
done_testing();
