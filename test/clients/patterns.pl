# What applications have beside their contacts: an audit trigger, a column of their own that
# the status follows, and an account that is one table away.  patterns.sql has them, and
# docs/clients.md shows them.
# Rules C1, S6, S8, R2.
#
# Packages (small):

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Client;
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = client_node('patterns');
create_tables($node);
prepare_day($node);
$node->safe_psql('postgres', "SET ROLE crm;\n" . slurp_file(in_clients('patterns.sql')));

# A model that does not have the flag: its saves clear it, but not with whole_row_saves
$node->safe_psql(
	'postgres', qq{
	SET ROLE app;
	UPDATE $_ SET name = 'saved', marketing_contact_status = 'marketing' WHERE email = 'flagged\@example.com';
}) foreach 'contacts', 'leads';
is($node->safe_psql('postgres', q{
	SELECT marketing_contact_until_next_update FROM contacts WHERE email = 'flagged@example.com'
	UNION ALL SELECT marketing_contact_until_next_update FROM leads WHERE email = 'flagged@example.com'}),
	"\nt", 'a save without the flag');
is_exact($node, 'postgres', 'a save without the flag');

# The audit has each write, the second one of a contact that does not fit, too: its last
# entry has what is stored.
$node->safe_psql(
	'postgres', q{
	SET ROLE app;
	INSERT INTO contacts (account_id, email, marketing_contact_status)
	SELECT 2, n || '@example.com', 'marketing' FROM generate_series(1, 7) n
	ON CONFLICT (account_id, email) DO NOTHING;
	UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE email = '1@example.com';
	DELETE FROM contacts WHERE email = '2@example.com';
});
is( $node->safe_psql(
		'postgres', q{
	SELECT DISTINCT ON (e) c.marketing_contact_status::text = a.changed ->> 'marketing_contact_status' AND a.role = session_user
	  FROM contacts c, audit a, LATERAL (SELECT coalesce(a.changed ->> 'email', a.old_row ->> 'email') AS e) x
	 WHERE c.email = e AND c.account_id = 2 AND a.changed ? 'marketing_contact_status' ORDER BY e, a.entry DESC}),
	join("\n", ('t') x 6),
	'the last entry of the audit has the status that is stored');
is($node->safe_psql('postgres', q{SELECT changed ->> 'marketing_contact_until_next_update' FROM audit WHERE action = 'UPDATE' AND old_row ->> 'email' = '1@example.com'}),
	'true', 'the audit has the flag');
is_exact($node, 'postgres', 'audit');

# The status follows a column, and what is promoted by hand stays
$node->safe_psql(
	'postgres', q{
	SET ROLE app;
	INSERT INTO leads (account_id, email, wants_mail) VALUES (1, 'yes@example.com', true), (1, 'no@example.com', false);
	UPDATE leads SET wants_mail = NOT wants_mail WHERE account_id = 1;
	UPDATE leads SET name = 'x' WHERE account_id = 1;
});
is($node->safe_psql('postgres', 'SELECT email, marketing_contact_status, marketing_contact_until_next_update FROM leads WHERE account_id = 1 ORDER BY email'),
	"no\@example.com|marketing|\nyes\@example.com|marketing|t", 'the status follows the column');
is_exact($node, 'postgres', 'the status follows a column');

# The account comes from another table, also when a list moves
$node->safe_psql(
	'postgres', q{
	SET ROLE app;
	INSERT INTO lists VALUES (1, 1), (2, 3);
	INSERT INTO subscribers (list_id, email, marketing_contact_status)
	VALUES (1, 'a', 'marketing'), (1, 'b', 'marketing'), (2, 'c', 'marketing');
});
my $usage = q{SELECT account, marketing_contacts FROM contacts_tier.usage() WHERE account <> '2' ORDER BY account};
is($node->safe_psql('postgres', $usage), "1|4\n3|5", 'the account is one table away');
$node->safe_psql('postgres', 'SET ROLE app; UPDATE lists SET account_id = 3 WHERE id = 1; UPDATE subscribers SET list_id = 1');
is($node->safe_psql('postgres', $usage), "1|2\n3|7", 'a list moves to another account');
is_exact($node, 'postgres', 'the account is one table away');
$node->stop;
done_testing();
