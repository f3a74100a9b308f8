# pg_upgrade, with --copy and with --link, from each older server that is installed with the
# extension, and from the same one where there is none: counts, triggers, history, conditions,
# brakes, entries that are open in a slot, guards, privileges and comments are as they were.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Kinds;
use ContactsTier::Objects;
use ContactsTier::Test;
use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# The checks of ours and of PostgreSQL 18 alike want checksums in both clusters
my @initdb = ('--encoding=UTF8', '--locale=C', '--data-checksums');

# The directories of servers beside our own, from which its pg_upgrade can upgrade
sub older_servers
{
	my $own = dirname(qx(pg_config --bindir) =~ s/\n//r);
	my ($major) = qx(pg_config --version) =~ /(\d+)/;
	my @older;

	foreach my $server (sort glob(dirname($own) . '/*'))
	{
		next unless -x "$server/bin/postgres" && -x "$server/bin/pg_config";
		my ($version) = qx("$server/bin/pg_config" --version) =~ /(\d+)/;
		my $library = qx("$server/bin/pg_config" --pkglibdir) =~ s/\n//r . '/contacts_tier.so';

		push @older, [ $version, $server ] if $version >= 15 && $version < $major && -e $library;
	}
	return @older ? @older : ([ $major, $own ]);
}

# What only a server that goes on can show: brakes, open entries, guards
sub create_more
{
	my ($node) = @_;

	$node->safe_psql('postgres', <<'SQL');
	SET contacts_tier.now = '2024-01-15 12:00Z';
	CREATE ROLE writer;
	CREATE ROLE reader;
	CREATE SCHEMA later;
	CREATE TABLE later.contacts (id bigint PRIMARY KEY, tenant bigint);
	SELECT contacts_tier.attach('later.contacts', 'tenant');
	GRANT USAGE ON SCHEMA later TO writer, reader;
	GRANT SELECT, INSERT, UPDATE, DELETE ON later.contacts TO writer;
	GRANT SELECT ON later.contacts_tier_ledger TO reader;
	SELECT contacts_tier.grant_reader('later.contacts', 'reader');
	GRANT EXECUTE ON FUNCTION contacts_tier.pass_brake() TO writer;
	SELECT contacts_tier.subscribe('later.contacts', '1', 'It''s a "plan"', 10);
	SELECT contacts_tier.set_policy('later.contacts', '1', brake => '{"window": "1 hour", "limit": 5, "sources": {"WORKFLOW": 2}}');
	SET ROLE writer;
	INSERT INTO later.contacts (id, tenant, marketing_contact_status, marketing_contact_status_source_type)
	SELECT i, 1, 'marketing', 'WORKFLOW' FROM generate_series(1, 2) i;
	-- within the minute: folded into the entry that is open in the slot
	RESET ROLE;
	SET contacts_tier.now = '2024-01-15 12:00:20Z';
	SET ROLE writer;
	INSERT INTO later.contacts VALUES (3, 1, 'marketing'), (4, 1, 'non_marketing');
	RESET ROLE;
	SET contacts_tier.now = '2024-01-15 12:00:40Z';
	SET ROLE writer;
	INSERT INTO later.contacts VALUES (5, 1, 'marketing');
	RESET ROLE;
	CREATE TABLE later.sends (id integer, tool text, contact bigint, reason text);
	SELECT contacts_tier.guard('later.sends', 'tool', 'contact', 'later.contacts', 'mark', 'reason');
	COMMENT ON TABLE later.contacts IS 'ours';
	COMMENT ON COLUMN later.contacts.marketing_contact_status IS 'our own comment';
SQL
}

# Also what is internal: the slots, with the entry that is open in them, and the account rows
my $state_query = $kinds_state . q{
	SELECT c::text FROM later.contacts_tier_counter c ORDER BY 1;
	SELECT c::text FROM crm.contacts_tier_counter c ORDER BY 1;
	SELECT a::text FROM later.contacts_tier_account a ORDER BY 1;
	SELECT a::text FROM crm.contacts_tier_account a ORDER BY 1;
	SELECT l::text FROM later.contacts_tier_ledger l ORDER BY 1;
	SELECT c::text FROM later.contacts c ORDER BY 1;
	SELECT a.attrelid::regclass, a.attname, a.attnum, col_description(a.attrelid, a.attnum) FROM pg_attribute a
	WHERE a.attrelid IN ('later.contacts'::regclass, 'crm.contacts'::regclass, 'people'::regclass) AND a.attnum > 0 ORDER BY a.attrelid::regclass::text, 3;
};

# Since 17.12 every column has an option "pg_attver", which 18.6 refuses in what its pg_upgrade
# dumps, of a plain table, too.
sub forget_attver
{
	my ($node) = @_;

	$node->safe_psql($_, q{
		SET allow_system_table_mods = on;
		UPDATE pg_attribute SET attoptions = (SELECT array_agg(o) FROM unnest(attoptions) o WHERE o NOT LIKE 'pg_attver=%')
		WHERE array_to_string(attoptions, ' ') LIKE '%pg_attver=%'}) foreach 'postgres', 'template1';
}

# What the brake, the open entry and the guard do with what comes next.  The program is the
# same for all servers, and so must be what comes of it.
my $goes_on = q{
	SET timezone = 'UTC';
	SET contacts_tier.now = '2024-01-15 12:00:50Z';
	SET ROLE writer;
	\set VERBOSITY sqlstate
	INSERT INTO later.contacts (id, tenant, marketing_contact_status, marketing_contact_status_source_type)
	VALUES (6, 1, 'marketing', 'WORKFLOW');
	\echo :SQLSTATE
	INSERT INTO later.contacts VALUES (7, 1, 'marketing');
	INSERT INTO later.contacts VALUES (8, 1, 'marketing');
	\echo :SQLSTATE
	RESET ROLE;
	INSERT INTO later.sends VALUES (1, 'automated_email', 3), (2, 'automated_email', 4) RETURNING id, reason;
	SELECT contacts, event, recorded_at, role FROM later.contacts_tier_ledger WHERE account = '1' ORDER BY entry;
	SELECT account, marketing_contacts FROM contacts_tier.usage('later.contacts');
	UPDATE people SET marketing_contact_status = 'non_marketing' WHERE id = 2;
	INSERT INTO crm.contacts VALUES (50, 1, 'marketing');
	DELETE FROM crm.contacts WHERE id = 3;
	SET contacts_tier.now = '2024-03-01';
	CALL contacts_tier.rollover();
	SELECT contacts::text, account, marketing_contacts, pending_non_marketing, contact_limit, next_update_at FROM contacts_tier.usage() ORDER BY 1, 2;
};

# Upgrade the cluster of $old, which is stopped, in the mode, and compare
sub upgrade
{
	my ($old, $version, $state, $privileges, $went_on, $mode) = @_;
	my $name = "from $version with --$mode";
	my $new = PostgreSQL::Test::Cluster->new("new_${version}_$mode");
	my $bindir = qx(pg_config --bindir) =~ s/\n//r;

	$new->init(extra => \@initdb);
	chdir($new->basedir) or die;		# pg_upgrade 14 and older write here
	$new->command_ok(
		[
			'pg_upgrade', '--no-sync', '-d', $old->data_dir, '-D', $new->data_dir, '-b', $old->{_install_path} . '/bin',
			'-B', $bindir, '-s', $new->host, '-p', $old->port, '-P', $new->port, $mode eq 'link' ? '--link' : ()
		],
		"pg_upgrade $name");
	$new->start;
	is($new->safe_psql('postgres', $state_query), $state, "$name: the state is as it was");
	is(privileges($new, 'postgres'), $privileges, "$name: the privileges on members are as they were");
	$new->safe_psql('postgres', 'CREATE DATABASE fresh TEMPLATE template0');
	$new->safe_psql('fresh', 'CREATE EXTENSION contacts_tier');
	is(join("\n", differences(extension_objects($new, 'postgres'), extension_objects($new, 'fresh'), sub { $_[0] =~ /^differs: privileges on / })),
		'', "$name: the extension has the objects of a fresh one");
	is_exact($new, 'postgres', $name);
	my ($status, $stdout, $stderr) = $new->psql('postgres', $goes_on, on_error_stop => 0);
	is($stdout, $went_on, "$name: it goes on as the old server does");
	is_exact($new, 'postgres', "$name, afterwards");
	$new->stop;
}

foreach my $server (older_servers())
{
	my ($version, $directory) = @$server;
	my $old = PostgreSQL::Test::Cluster->new("old_$version", install_path => $directory);

	$old->init(extra => \@initdb);
	$old->start;
	$old->safe_psql('postgres', 'CREATE EXTENSION contacts_tier');
	create_kinds($old, 'postgres');
	create_more($old);
	my $state = $old->safe_psql('postgres', $state_query);
	my $privileges = privileges($old, 'postgres');
	$old->safe_psql('template1', 'CREATE DATABASE twin TEMPLATE postgres');
	my ($status, $went_on, $stderr) = $old->psql('twin', $goes_on, on_error_stop => 0);
	like($went_on, qr/^MC004\nMC004\n/, "server $version: the brake") or diag($stderr);
	unlike($stderr, qr/ERROR:  (?!MC004)/, "server $version: and no other error");
	$old->safe_psql('postgres', 'DROP DATABASE twin');
	forget_attver($old) if $version == 17;
	$old->stop;
	upgrade($old, $version, $state, $privileges, $went_on, $_) foreach 'copy', 'link';
}

done_testing();
