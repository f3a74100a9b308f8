# The owner of a database, who is not a superuser, installs and uses the
# extension; users of the application need no rights but those on the table.
# Rule R6.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('trusted');

$node->init(auth_extra => [ '--create-role', 'dbo,writer,stranger' ]);
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE ROLE dbo LOGIN CREATEDB;
	CREATE ROLE writer LOGIN;
	CREATE ROLE stranger LOGIN;
	CREATE DATABASE app OWNER dbo;
});

# The result of statements as a role; an error as text
sub as
{
	my ($role, $statements) = @_;
	my ($status, $stdout, $stderr) =
	  $node->psql('app', $statements, extra_params => [ '-U', $role ], on_error_stop => 1);

	return $stdout if $status == 0;
	my ($error) = $stderr =~ /(ERROR: .*)/;
	return $error;
}

my $denied = qr/^ERROR:  permission denied for/;
my $not_owner = qr/^ERROR:  must be owner of table/;

# A schema that somebody has prepared is not adopted.
is(as('dbo', 'GRANT CREATE ON DATABASE app TO stranger'), '', 'others may create schemas');
is(as('stranger', 'CREATE SCHEMA contacts_tier_internal'), '', 'and do');
is(as('dbo', 'CREATE EXTENSION contacts_tier'), 'ERROR:  schema "contacts_tier_internal" already exists',
	'which keeps the extension from being installed');
is(as('stranger', 'DROP SCHEMA contacts_tier_internal'), '', 'as long as it is there');
is(as('stranger', 'CREATE SCHEMA contacts_tier'), '', 'they create the other one, too');
is(as('stranger', 'CREATE FUNCTION contacts_tier.attach(name) RETURNS void LANGUAGE sql RETURN NULL::void'), '',
	'with a function that looks like one of ours');
is(as('dbo', 'CREATE EXTENSION contacts_tier'), 'ERROR:  schema "contacts_tier" already exists and is not empty',
	'which keeps it from being installed, too');
is(as('stranger', 'DROP FUNCTION contacts_tier.attach(name); GRANT CREATE ON SCHEMA contacts_tier TO writer'), '',
	'an empty one is adopted');
is(as('dbo', 'REVOKE CREATE ON DATABASE app FROM stranger'), '', 'others may no more');
is(as('dbo', 'CREATE EXTENSION contacts_tier'), '', 'the owner of the database installs');
like(as($_, 'CREATE FUNCTION contacts_tier.attach(name) RETURNS void LANGUAGE sql RETURN NULL::void'), $denied,
	"and leaves $_ no right to add to it")
  foreach 'stranger', 'writer';
like(as('dbo', 'CREATE FUNCTION contacts_tier_internal.f() RETURNS integer LANGUAGE sql RETURN 1'), $denied,
	'and does not add to the internal functions');
is( as( 'dbo', q{
		CREATE TABLE c (id integer PRIMARY KEY, account text, email text);
		SELECT contacts_tier.create_plan('plan', ARRAY[2, 4]);
		INSERT INTO contacts_tier.tool VALUES ('fax', true);
		SELECT contacts_tier.attach('c', 'account');
		SELECT contacts_tier.subscribe('c', 'a', 'plan');
		GRANT SELECT, INSERT, UPDATE, DELETE ON c TO writer;
		INSERT INTO c VALUES (1, 'a', 'x', 'marketing'), (2, 'a', 'y', 'marketing');
		UPDATE c SET marketing_contact_until_next_update = true WHERE id = 1;
		SELECT marketing_contacts, pending_non_marketing, contact_limit FROM contacts_tier.usage('c', 'a')}) =~ s/^\n+//r,
	'2|1|2',
	'and attaches and subscribes');
is(as('dbo', q{CALL contacts_tier.rollover()}), '', 'and rolls over');
like(as('dbo', q{SELECT contacts_tier.clock(); SET contacts_tier.now = '2030-01-01'}),
	qr/^ERROR:  permission denied to set parameter/, 'but does not set the clock');
is(as('dbo', q{SET contacts_tier.now = '2030-01-01'; SELECT contacts_tier.clock() = statement_timestamp()}),
	't', 'nor before the library is loaded');
{
	local $ENV{PGOPTIONS} = '-c contacts_tier.now=2030-01-01';
	is(as('dbo', q{SELECT contacts_tier.clock() = statement_timestamp()}), 't', 'nor when the session starts');
}

# Who may write contacts needs no right to the companion tables.
is(as('writer', q{INSERT INTO c VALUES (3, 'a', 'z', 'marketing')}), '', 'a writer promotes, and the tier changes');
is(as('dbo', q{SELECT role FROM contacts_tier_ledger WHERE event = 'tier_change'}), 'writer',
	'in the name of the writer');
is(as('dbo', q{SELECT marketing_contact_status_source_type, marketing_contact_status_source_name FROM c WHERE id = 3}),
	'USER|writer', 'who is the source of the status');
like(as('writer', 'SELECT * FROM contacts_tier_counter'), $denied, 'a writer does not see the counters');
like(as('writer', 'UPDATE contacts_tier_account SET contact_limit = 99'), $denied, 'nor changes the subscription');
foreach my $call (
	q{attach('c')}, q{detach('c')}, q{subscribe('c', 'b', 'plan')},
	q{set_policy('c', 'a', grace => 9)}, q{repair('c')}, q{create_plan('p', ARRAY[1])})
{
	like(as('writer', "SELECT contacts_tier.$call"), $denied, "a writer may not call $call");
}
like(as('writer', q{CALL contacts_tier.rollover('c')}), $denied, 'nor rollover()');
like(as('writer', q{INSERT INTO contacts_tier.source_type VALUES ('X', 'marketing', true)}), $denied,
	'nor change the catalogue');

# Even where the owner hands on the functions, only the table's owner uses them.
is( as( 'dbo', q{
		GRANT EXECUTE ON FUNCTION contacts_tier.attach, contacts_tier.repair,
			contacts_tier.subscribe(regclass, text, text, bigint, contacts_tier.billing_cycle, timestamptz, text, contacts_tier.exceed_policy, bigint) TO stranger;
		GRANT EXECUTE ON PROCEDURE contacts_tier.rollover(regclass, text, integer) TO stranger}),
	'', 'the owner of the extension hands on its functions');
like(as('stranger', q{SELECT contacts_tier.subscribe('c', 'b', 'plan')}), $not_owner, 'a stranger does not subscribe');
like(as('stranger', q{SELECT contacts_tier.attach('c')}), $not_owner, 'nor attach');
like(as('stranger', q{SELECT contacts_tier.repair('c')}), $not_owner, 'nor repair');
like(as('stranger', q{CALL contacts_tier.rollover('c')}), $not_owner, 'nor roll over');
is(as('stranger', q{CALL contacts_tier.rollover()}), '', 'rollover of all finds nothing of theirs');
is(as('stranger', q{SELECT count(*) FROM contacts_tier.usage()}), '0', 'and usage() neither');

# Dump and restore, without a superuser
my $dump = PostgreSQL::Test::Utils::tempdir . '/app.sql';
$node->command_ok([ 'pg_dump', '-U', 'dbo', '-d', 'app', '-f', $dump ], 'the owner dumps');
$node->safe_psql('postgres', 'CREATE DATABASE copy OWNER dbo TEMPLATE template0');
$node->command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-U', 'dbo', '-d', 'copy', '-f', $dump ], 'and restores');
$node->safe_psql('postgres', 'CREATE DATABASE moved OWNER dbo TEMPLATE template0');
# Rights that the owner has handed on are his to give: another role restores without them.
$node->command_ok([ 'pg_dump', '-x', '-d', 'app', '-f', $dump ], 'a superuser dumps');
$node->command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', 'moved', '-f', $dump ],
	'and restores, though the schema has another owner than the extension');
my $state = q{
	SET timezone = 'UTC';
	SELECT u.* FROM contacts_tier.usage() u;
	SELECT v.* FROM contacts_tier.verify() v;
	TABLE contacts_tier.plan;
	TABLE contacts_tier.tier;
	TABLE contacts_tier.tool ORDER BY 1;
};
is($node->safe_psql($_, $state), $node->safe_psql('app', $state), "the $_ is in the same state") foreach 'copy', 'moved';

# uninstall() leaves nothing that keeps the extension from being dropped
is( as( 'dbo', q{
		SELECT contacts_tier.uninstall('c');
		DROP EXTENSION contacts_tier;
		SELECT id, marketing_contact_status, pg_typeof(marketing_contact_status) FROM c WHERE id = 3;
		SELECT count(*) > 0 FROM contacts_tier_ledger}) =~ s/^\n+//r,
	"3|marketing|text\nt", 'the owner uninstalls; contacts and history remain');
$node->command_ok(
	[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-U', 'dbo', '-d', 'copy',
		'-c', q{SELECT contacts_tier.uninstall('c', drop_columns => true, drop_history => true)},
		'-c', 'DROP EXTENSION contacts_tier' ],
	'or without a trace');
is($node->safe_psql('copy', q{SELECT relname FROM pg_class WHERE relname LIKE 'contacts\_tier%'}), '',
	'no companion table is left then');
is(as('dbo', q{SELECT to_regnamespace('contacts_tier_internal') IS NULL}), 't', 'the internal schema goes with the extension');

$node->stop;
done_testing();
