# A foreign partition that came while event triggers were off: what goes there must not
# end the server, whichever way a row takes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('foreign');
my ($host, $port) = ($node->host, $node->port);

plan(skip_all => 'postgres_fdw is not installed')
  if $node->safe_psql('postgres', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'postgres_fdw'}) eq '0';

$node->safe_psql(
	'postgres', qq{
	CREATE EXTENSION postgres_fdw;
	CREATE SERVER same FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '$host', port '$port', dbname 'postgres');
	CREATE USER MAPPING FOR PUBLIC SERVER same;
	SELECT contacts_tier.create_plan('plan', ARRAY[10]);
	CREATE TABLE c (id integer, account text) PARTITION BY LIST (account);
	CREATE TABLE c_a PARTITION OF c FOR VALUES IN ('a');
	SELECT contacts_tier.attach('c', 'account');
	SELECT contacts_tier.subscribe('c', 'a', 'plan');
	CREATE TABLE remote (LIKE c);
	SET session_replication_role = replica;
	CREATE FOREIGN TABLE c_b PARTITION OF c FOR VALUES IN ('b') SERVER same OPTIONS (table_name 'remote');
});

foreach my $fast_path ('on', 'off')
{
	my $given = $node->safe_psql(
		'postgres', qq{
		SET contacts_tier.fast_path = $fast_path;
		INSERT INTO c (id, account) VALUES (1, 'b'), (2, 'a');
		COPY c (id, account) FROM stdin;
3	b
4	a
5	b
\\.
		UPDATE c SET id = id + 10;
		COPY c_b (id, account) FROM stdin;
6	b
\\.
		SELECT tableoid::regclass, id, account, marketing_contact_status FROM c ORDER BY id;
		DELETE FROM c});
	is($given, join("\n", 'c_b|6|b|non_marketing', 'c_b|11|b|non_marketing', 'c_a|12|a|non_marketing',
			'c_b|13|b|non_marketing', 'c_a|14|a|non_marketing', 'c_b|15|b|non_marketing'),
		"rows of a foreign partition, fast_path $fast_path");
}
is_exact($node, 'postgres', 'at the end');

$node->stop;
done_testing();
