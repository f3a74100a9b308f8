# An application's day with Django: its migrations create and attach the tables, and
# makemigrations has nothing to propose after that; fixtures; tests of the application.
# Rules S4, S5, S8, T2, T3, O4.
#
# Packages: python3-django python3-psycopg2

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Client;
use ContactsTier::Test;
use Test::More;

$ENV{DJANGO_SETTINGS_MODULE} = 'settings';
$ENV{PYTHONPATH} = join(':', in_clients('django'), in_clients('.'));

my $node = client_node('django');

sub django
{
	my ($role, @arguments) = @_;

	return run_program($node, $role, '/usr/bin/python3', '-m', 'django', @arguments);
}

my ($status, $out, $err) = django('crm', 'migrate');
is($status, 0, 'migrate attaches the tables') or diag($err);
($status, $out, $err) = django('crm', 'makemigrations', '--check', '--dry-run');
is("$status $out", "0 No changes detected\n", 'makemigrations proposes nothing');
($status, $out, $err) = django('crm', 'check');
is($status, 0, 'the models are valid') or diag($err);

# manage.py test creates a database, and the extension in it
$node->safe_psql('postgres', 'ALTER ROLE crm CREATEDB');
($status, $out, $err) = django('crm', 'test', 'crm');
is($status, 0, 'tests of the application') or diag($err);
like($err, qr/^Ran 6 tests/m, 'all of them');

prepare_day($node);
run_day($node, 'Django', '/usr/bin/python3', in_clients('django/day.py'));
is_day_done($node, 'Django');

# loaddata writes as any other; triggers fire, and a fixture without a status gives none
my $contacts = in_clients('django/crm/fixtures/contacts.json');
my $loaded = q{SELECT id, marketing_contact_status FROM contacts WHERE id > 1000 ORDER BY id};

($status, $out, $err) = django('app', 'loaddata', $contacts);
is($status, 0, 'loaddata') or diag($err);
is($node->safe_psql('postgres', $loaded), "1001|marketing\n1002|non_marketing", 'a fixture is loaded');
is_exact($node, 'postgres', 'after loaddata');

# With triggers off nothing is counted until repair()
$node->safe_psql('postgres', 'DELETE FROM contacts WHERE id > 1000');
{
	local $ENV{PGOPTIONS} = '-c session_replication_role=replica';
	($status, $out, $err) = django($node->safe_psql('postgres', 'SELECT current_user'), 'loaddata', $contacts);
}
is($status, 0, 'loaddata without triggers') or diag($err);
is($node->safe_psql('postgres', 'SELECT sum(abs(drift)) FROM contacts_tier.verify()'), '1', 'verify() finds the contact');
$node->safe_psql('postgres', 'SELECT * FROM contacts_tier.repair()');
is($node->safe_psql('postgres', $loaded), "1001|marketing\n1002|non_marketing", 'repair() gives the status');
is_exact($node, 'postgres', 'after repair()');

# and back
($status, $out, $err) = django('crm', 'migrate', 'crm', '0001');
is($status, 0, 'the migration can be undone') or diag($err);
is($node->safe_psql('postgres', 'SELECT count(*) FROM contacts_tier.attached()'), '0', 'nothing is attached then');

$node->stop;
done_testing();
