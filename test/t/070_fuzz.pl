# The same random statements in several configurations and in a reference model
# in Python; see test/fuzz.
#
#   FUZZ_SECONDS, FUZZ_SEED, FUZZ   how long, which statements, and other options
#   FUZZ_REPORT                     a file that gets the report, too
# Rules S1, S2, S3, S5, S6, T7, T8, T9, P1, P2, P3, P4, P5, N1 and L1.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $python = '/usr/bin/python3';		# the one that has Debian's psycopg2
my $fuzz = "$FindBin::RealBin/../fuzz/fuzz";
my $node = new_node('fuzz', 'max_connections = 100', 'fsync = off', 'max_wal_size = 1GB', 'autovacuum_naptime = 10s');

local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{PYTHONDONTWRITEBYTECODE} = 1;

# Runs it, and returns whether it succeeded, and its report
sub fuzz
{
	my @command = ($python, $fuzz, @_);
	my $report = '';

	open(my $out, '-|', @command) or die "cannot run @command: $!";
	while (my $line = <$out>)
	{
		$report .= $line;
		append_to_file($ENV{FUZZ_REPORT}, $line) if $ENV{FUZZ_REPORT};
	}
	return (close($out), $report);
}

# Each rule that is broken in the model on purpose must be noticed, or the run
# below would not mean anything.  Whether it is does not depend on the server, so
# test/matrix does without.
if (!$ENV{FUZZ_REPORT} && !$ENV{MATRIX})
{
	my ($ok, $report) = fuzz('--self-test', '--only', 'plain', '--seed', 1, '--seconds', 180);

	ok($ok, 'a broken rule is noticed') or diag($report);
	note($report);
}

my ($ok, $report) = fuzz('--seed', $ENV{FUZZ_SEED} || 1, '--seconds', $ENV{FUZZ_SECONDS} || 6, split(' ', $ENV{FUZZ} || ''));

ok($ok, 'nothing differs between the configurations, or from the model') or diag($report);
like($report, qr/^seed \d+: [1-9]\d* statements in each of (?:[2-9]|\d\d+) configurations/m, 'statements were run');
note($report);

# The same for an application that saves whole rows (rule S8)
if (!$ENV{FUZZ_REPORT})
{
	($ok, $report) = fuzz('--whole-rows', '--seed', 1, '--seconds', 3);
	ok($ok, 'nothing differs with whole_row_saves') or diag($report);
	note($report);
}

$node->stop;
done_testing();
