# A consumer of wal2json sees the rows as they are stored in the end, and can leave the
# companion tables out.
# Rules T3, R2.
#
# Packages (small): postgresql-MAJOR-wal2json

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Client;
use ContactsTier::Test;
use JSON::PP;
use Test::More;

my $node = client_node('wal2json', 'wal_level = logical', 'max_replication_slots = 2');
create_tables($node);
prepare_day($node);
# some servers allow only the plugins that this setting names
if ($node->safe_psql('postgres', q{SELECT count(*) FROM pg_settings WHERE name = 'output_plugin_libraries'}) eq '1')
{
	$node->append_conf('postgresql.conf', "output_plugin_libraries = 'wal2json'");
	$node->reload;
}
$node->safe_psql('postgres', q{SELECT pg_create_logical_replication_slot('cdc', 'wal2json')});

# Statements whose contacts are written a second time: rows that do not fit, in an upsert
$node->safe_psql(
	'postgres', q{
	SET ROLE app;
	INSERT INTO contacts (account_id, email, marketing_contact_status)
	SELECT 2, n || '@example.com', 'marketing' FROM generate_series(1, 7) n
	ON CONFLICT (account_id, email) DO UPDATE SET name = 'again';
	UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE email = '1@example.com';
	UPDATE contacts SET name = 'typo' WHERE email = '2@example.com';
	DELETE FROM contacts WHERE email = '3@example.com';
});

# The recipe of docs/clients.md
my $changes = q{
SELECT data FROM pg_logical_slot_peek_changes('cdc', NULL, NULL,
    'format-version', '2', 'add-tables', '*.contacts,*.leads')
};
my (%rows, %tables);
foreach my $line (split /\n/, $node->safe_psql('postgres', $changes))
{
	my $change = decode_json($line);

	next unless $change->{table};
	$tables{ $change->{table} }++;
	my %new = map { $_->{name} => $_->{value} } @{ $change->{columns} || $change->{identity} };
	if ($change->{action} eq 'D') { delete $rows{ $new{id} } }
	else { $rows{ $new{id} } = \%new }
}
is(join(' ', sort keys %tables), 'contacts', 'the companion tables are left out');
is( join("\n", map { join '|', @{ $rows{$_} }{qw(id email name marketing_contact_status)}, $rows{$_}{marketing_contact_until_next_update} ? 't' : '' }
		  sort { $a <=> $b } keys %rows),
	$node->safe_psql('postgres', q{
	SELECT id, email, name, marketing_contact_status, marketing_contact_until_next_update FROM contacts WHERE account_id = 2 ORDER BY id}),
	'the consumer has the contacts as they are stored');
is(scalar(grep { $_->{marketing_contact_status} eq 'marketing' } values %rows), 4, 'among them those that fit');

# and without a filter it sees them
like($node->safe_psql('postgres', q{
	SELECT string_agg(data, ' ') FROM pg_logical_slot_peek_changes('cdc', NULL, NULL, 'format-version', '2')}),
	qr/"table":"contacts_tier_ledger"/, 'unfiltered it sees the ledger');
is_exact($node, 'postgres', 'at the end');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('cdc')});
$node->stop;
done_testing();
