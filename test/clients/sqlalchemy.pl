# An application's day with SQLAlchemy: Alembic's migration creates and attaches the tables,
# and its autogenerate has nothing to propose after that.
# Rules S4, S5, S8, T2, T3.
#
# Packages: python3-sqlalchemy python3-psycopg2 alembic

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Client;
use PostgreSQL::Test::RecursiveCopy;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = client_node('sqlalchemy');
# autogenerate writes its migration beside the others
my $dir = $node->basedir . '/sqlalchemy';

PostgreSQL::Test::RecursiveCopy::copypath(in_clients('sqlalchemy'), $dir);
$ENV{PYTHONPATH} = join(':', $dir, in_clients('.'));

sub alembic
{
	return run_program($node, 'crm', '/usr/bin/python3', '-m', 'alembic.config', '-c', "$dir/alembic.ini", @_);
}

my ($status, $out, $err) = alembic('upgrade', 'head');
is($status, 0, 'the migration attaches the tables') or diag($err);
($status, $out, $err) = alembic('revision', '--autogenerate', '--rev-id', 'proposal');
is($status, 0, 'autogenerate') or diag($err);
my ($proposal) = glob "$dir/migrations/versions/proposal*.py";
like(slurp_file($proposal), qr/def upgrade\(\):\n(\s*#.*\n)*\s*pass\n/, 'autogenerate proposes nothing');
unlink $proposal;

prepare_day($node);
run_day($node, 'SQLAlchemy', '/usr/bin/python3', "$dir/day.py");
is_day_done($node, 'SQLAlchemy');
$node->stop;
done_testing();
