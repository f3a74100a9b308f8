# pg_partman, as the owner of the contacts: maintenance, data that is moved out of the default partition, and retention.
# Rules C1, S7, D3.
#
# Packages (small): postgresql-MAJOR-partman

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Client;
use ContactsTier::Test;
use Test::More;

my $node = client_node('partman');
$node->safe_psql(
	'postgres', q{
	CREATE SCHEMA partman;
	CREATE EXTENSION pg_partman SCHEMA partman;
	GRANT ALL ON SCHEMA partman TO crm;
	GRANT ALL ON ALL TABLES IN SCHEMA partman TO crm;
	GRANT EXECUTE ON ALL ROUTINES IN SCHEMA partman TO crm;
	SET ROLE crm;
	CREATE TABLE contacts (
		id bigint NOT NULL, account_id bigint NOT NULL, email text, created_at timestamptz NOT NULL DEFAULT now(),
		PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
	SELECT contacts_tier.attach('contacts', 'account_id');
	SELECT contacts_tier.subscribe('contacts', n::text, 'plan', on_exceed => 'block') FROM generate_series(1, 2) n;
});
my $new = $node->safe_psql('postgres', q{SHOW server_version_num}) >= 170000 || $node->safe_psql(
	'postgres', q{SELECT extversion LIKE '5%' FROM pg_extension WHERE extname = 'pg_partman'}) eq 't';
my $create = $new
  ? q{partman.create_parent('public.contacts', 'created_at', '1 month', p_start_partition => (now() - interval '3 months')::text)}
  : q{partman.create_parent('public.contacts', 'created_at', 'native', 'monthly', p_start_partition => (now() - interval '3 months')::text)};
my $usage = q{SELECT account, marketing_contacts, pending_non_marketing FROM contacts_tier.usage() ORDER BY account};

is($node->safe_psql('postgres', "SET ROLE crm; SELECT $create"), 't', 'create_parent()');
$node->safe_psql(
	'postgres', q{
	INSERT INTO contacts (id, account_id, created_at, marketing_contact_status)
	SELECT n, 1 + n % 2, now() + (n - 6) * interval '20 days', 'marketing' FROM generate_series(1, 12) n;
	INSERT INTO contacts (id, account_id, created_at, marketing_contact_status)
	VALUES (100, 1, now() - interval '2 years', 'marketing'), (101, 2, now() + interval '2 years', 'marketing');
	UPDATE contacts SET marketing_contact_until_next_update = true WHERE id IN (1, 100);
});
is($node->safe_psql('postgres', $usage), "1|7|1\n2|7|1", 'contacts in partitions and in the default one');
isnt($node->safe_psql('postgres', 'SELECT count(*) FROM contacts_default'), '0', 'the default partition has some');

# Contacts that move to partitions of their own stay what they are
$node->safe_psql('postgres', q{
	SET ROLE crm;
	CALL partman.partition_data_proc('public.contacts');
});
is($node->safe_psql('postgres', 'SELECT count(*) FROM contacts_default'), '0', 'partition_data_proc() empties the default partition');
is($node->safe_psql('postgres', $usage), "1|7|1\n2|7|1", 'and no count changes');
is_exact($node, 'postgres', 'after partition_data_proc()');

$node->safe_psql('postgres', q{SET ROLE crm; CALL partman.run_maintenance_proc()});
is_exact($node, 'postgres', 'after maintenance');

# Retention drops partitions, and their contacts with them
my $contacts = $node->safe_psql('postgres', 'SELECT count(*) FROM contacts');
my $corrected = 'SELECT sum(corrected) FROM contacts_tier.billing_periods()';
my $before = $node->safe_psql('postgres', $corrected);

$node->safe_psql(
	'postgres', q{
	SET ROLE crm;
	UPDATE partman.part_config SET retention = '1 month', retention_keep_table = false, infinite_time_partitions = true;
	CALL partman.run_maintenance_proc();
});
is($node->safe_psql('postgres', q{SELECT count(*) FROM contacts WHERE created_at < now() - interval '3 months'}), '0', 'retention drops old partitions');
is($node->safe_psql('postgres', q{SELECT sum(marketing_contacts) = (SELECT count(*) FROM contacts) FROM contacts_tier.usage()}),
	't', 'and their contacts leave the count');
is_exact($node, 'postgres', 'after retention');
is($node->safe_psql('postgres', q{SELECT bool_and(opening + promoted - demoted + corrected = closing) FROM contacts_tier.billing_periods()}),
	't', 'the bill adds up');
is($node->safe_psql('postgres', $corrected) - $before, $node->safe_psql('postgres', 'SELECT count(*) FROM contacts') - $contacts,
	'and has them as corrected');
$node->stop;
done_testing();
