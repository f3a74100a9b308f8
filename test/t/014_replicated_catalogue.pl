# Where logical replication applies changes of the catalogue, a session that remembers what it
# read of it follows, in the midst of a transaction (rules S4 and G1).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = new_node('publisher', 'wal_level = logical');
my $subscriber = new_node('subscriber');
my $source = $publisher->connstr . ' dbname=postgres';

$publisher->safe_psql(
	'postgres', q{
	SELECT contacts_tier.create_plan('plan', ARRAY[10]);
	INSERT INTO contacts_tier.tool VALUES ('fax', false);
	CREATE PUBLICATION catalogue FOR TABLE contacts_tier.plan, contacts_tier.tier, contacts_tier.source_type, contacts_tier.tool;
});
$subscriber->safe_psql(
	'postgres', q{
	TRUNCATE contacts_tier.plan, contacts_tier.tier, contacts_tier.source_type, contacts_tier.tool;
});
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION catalogue CONNECTION '$source' PUBLICATION catalogue");
$subscriber->wait_for_subscription_sync($publisher, 'catalogue');
$subscriber->safe_psql(
	'postgres', q{
	CREATE TABLE c (id serial PRIMARY KEY, account text);
	SELECT contacts_tier.attach('c', 'account');
	SELECT contacts_tier.subscribe('c', 'a', 'plan');
});

# What a session sees before and after the other node has done something.  Messages about a
# change are sent right after it can be seen, and a transaction processes them when it locks a
# relation that it has not locked before: so it waits a little, and does.
my $answers = q{
	SELECT contacts_tier.can_use(rtrim('fax '), 'non_marketing');
	INSERT INTO c (account, marketing_contact_status_source_type) VALUES ('a', 'FORM') RETURNING marketing_contact_status;
};

sub answers_around
{
	my ($change, $arrived) = @_;

	return join(
		' ',
		split(
			/\n/,
			$subscriber->safe_psql(
				'postgres', qq{
				BEGIN;
				$answers
				\\! psql -Xq -d "$source" -c "$change"
				DO \$\$
				BEGIN
					FOR i IN 1 .. 1800 LOOP
						EXIT WHEN $arrived;
						PERFORM pg_sleep(0.1);
					END LOOP;
				END
				\$\$;
				SELECT FROM pg_sleep(0.5);
				CREATE TEMPORARY TABLE locked () ON COMMIT DROP;
				$answers
				COMMIT})));
}

is( answers_around(
		"UPDATE contacts_tier.tool SET needs_marketing_contact = true WHERE name = 'fax'",
		"EXISTS (SELECT FROM contacts_tier.tool WHERE name = 'fax' AND needs_marketing_contact)"),
	't marketing f marketing',
	'a tool');
is( answers_around(
		"UPDATE contacts_tier.source_type SET default_status = 'non_marketing' WHERE name = 'FORM'",
		"EXISTS (SELECT FROM contacts_tier.source_type WHERE name = 'FORM' AND default_status = 'non_marketing')"),
	'f marketing f non_marketing',
	'the default of a source type');
$publisher->safe_psql('postgres', q{UPDATE contacts_tier.source_type SET default_status = 'marketing' WHERE name = 'FORM'});
$publisher->wait_for_catchup('catalogue');
is( answers_around(
		"UPDATE contacts_tier.plan SET marketing_contacts = false WHERE name = 'plan'",
		"EXISTS (SELECT FROM contacts_tier.plan WHERE name = 'plan' AND NOT marketing_contacts)"),
	'f marketing f non_marketing',
	'a plan');
is_exact($subscriber, 'postgres', 'at the end');

# What the worker itself writes is counted where triggers are made to fire (R1, C1), also
# after a TRUNCATE of its transaction
$publisher->safe_psql(
	'postgres', q{
	CREATE TABLE d (id integer PRIMARY KEY, account text, marketing_contact_status contacts_tier.marketing_status);
	INSERT INTO d SELECT n, 'a', 'marketing' FROM generate_series(1, 3) AS n;
	CREATE PUBLICATION contacts FOR TABLE d;
});
$subscriber->safe_psql(
	'postgres', q{
	CREATE TABLE d (id integer PRIMARY KEY, account text);
	SELECT contacts_tier.attach('d', 'account');
	ALTER TABLE d ENABLE ALWAYS TRIGGER zz_contacts_tier_status;
	ALTER TABLE d ENABLE ALWAYS TRIGGER aa_contacts_tier_count;
	ALTER TABLE d ENABLE ALWAYS TRIGGER contacts_tier_truncate;
});
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION contacts CONNECTION '$source' PUBLICATION contacts");
$subscriber->wait_for_subscription_sync($publisher, 'contacts');
$publisher->safe_psql(
	'postgres', q{
	BEGIN;
	TRUNCATE d;
	INSERT INTO d SELECT n, 'a', 'marketing' FROM generate_series(4, 5) AS n;
	COMMIT;
});
$publisher->wait_for_catchup('contacts');
is($subscriber->safe_psql('postgres', "SELECT count(*) FROM d WHERE marketing_contact_status = 'marketing'"), 2, 'what the worker has written');
is_exact($subscriber, 'postgres', 'after the worker has written contacts');

$subscriber->stop;
$publisher->stop;
done_testing();
