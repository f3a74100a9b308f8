# Which tables Citus has, and which of them can be attached; what Citus does to attached ones; a cluster of one
# node, and shards on the coordinator.
# Rules C1, O3, O4 and R6.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Citus;
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

plan(skip_all => 'Citus is not installed') unless has_citus();

# Does a statement fail with this SQLSTATE, and a message like this?
sub fails
{
	my ($node, $statement, $state, $message, $name) = @_;
	my ($status, $out, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\n$statement", on_error_stop => 1);

	like($error, qr/ERROR:  $state: .*$message/s, $name);
}

#
# A cluster of one node, which Citus adds when it is first needed
#
{
	my $single = start_node('single');

	sql($single, q{
		CREATE EXTENSION contacts_tier;
		SELECT contacts_tier.create_plan('plan', '{100, 200}');
		CREATE TABLE contacts (id bigint, account_id integer NOT NULL, PRIMARY KEY (account_id, id));
		SELECT contacts_tier.attach('contacts', 'account_id');
		SELECT contacts_tier.subscribe('contacts', a::text, 'plan', 100, on_exceed => 'block') FROM generate_series(0, 11) a;
		INSERT INTO contacts (id, account_id, marketing_contact_status) SELECT i, i % 12, 'marketing' FROM generate_series(1, 120) i;
		SELECT contacts_tier.distribute('contacts');
		INSERT INTO contacts (id, account_id, marketing_contact_status) SELECT i, i % 12, 'marketing' FROM generate_series(201, 320) i;
		INSERT INTO contacts (id, account_id, marketing_contact_status) VALUES (401, 1, 'marketing');
		UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id % 3 = 0;
		DELETE FROM contacts WHERE id < 20;
		SELECT contacts_tier.set_policy('contacts', '1', grace => 5)});
	is(drift($single, 'contacts'), '0|0', 'a cluster of one node: distributed, and counted');
	is(sql($single, q{CALL contacts_tier.rollover(); SELECT schema, readable, accounts, accounts_overdue FROM contacts_tier.metrics()}),
		'public|t|12|0', 'metrics() has one row for all its shards');
	fails($single, q{INSERT INTO contacts (id, account_id, marketing_contact_status) SELECT i, 1, 'marketing' FROM generate_series(1001, 1101) i},
		'(MC001|XX000)', 'contact tier of account "1" exceeded', 'a full tier refuses');
	sql($single, q{UPDATE contacts_tier_counter SET used = used + 7 WHERE account = 3 AND slot = 0});
	is(sql($single, q{SELECT account, drift FROM contacts_tier.repair('contacts')}), '3|7', 'repair()');
	sql($single, 'TRUNCATE contacts');
	is(drift($single, 'contacts'), '0|0', 'TRUNCATE');

	# a local table that Citus would manage
	sql($single, q{
		CREATE SCHEMA local; SET search_path = local;
		CREATE TABLE accounts (id integer PRIMARY KEY);
		SELECT create_reference_table('accounts');
		CREATE TABLE contacts (id bigint PRIMARY KEY, account_id integer NOT NULL);
		SELECT contacts_tier.attach('contacts', 'account_id')});
	fails($single, q{ALTER TABLE local.contacts ADD FOREIGN KEY (account_id) REFERENCES local.accounts}, '0A000',
		'attached table "contacts" cannot become a local table that Citus manages.*distribute', 'an attached local table does not reference a reference table');
	$single->stop;
}

#
# Which tables can be attached
#
my ($coordinator, @workers) = start_cluster();

sql($coordinator, q{
	SELECT contacts_tier.create_plan('plan', '{100, 200}');
	CREATE TABLE appended (id bigint, account_id integer NOT NULL);
	SELECT create_distributed_table('appended', 'account_id', 'append');
	CREATE TABLE ranged (id bigint, account_id integer NOT NULL);
	SELECT create_distributed_table('ranged', 'account_id', 'range');
	CREATE TABLE managed (id bigint PRIMARY KEY, account_id integer NOT NULL);
	SELECT citus_add_local_table_to_metadata('managed');
	CREATE TABLE copied (id bigint PRIMARY KEY, account_id integer NOT NULL);
	SELECT create_reference_table('copied');
	SET citus.shard_replication_factor = 2;
	CREATE TABLE replicated (id bigint, account_id integer NOT NULL);
	SELECT create_distributed_table('replicated', 'account_id')});
fails($coordinator, "SELECT contacts_tier.attach('$_->[0]', 'account_id')", '0A000', "cannot attach \"$_->[0]\".*$_->[1].*HINT:", "$_->[0] is refused")
  foreach [ 'appended', 'not by the hash of a column' ], [ 'ranged', 'not by the hash of a column' ], [ 'managed', 'manages it as a local table' ],
  [ 'copied', 'is a reference table' ], [ 'replicated', 'replicates its shards by statements' ];
sql($coordinator, q{
	CREATE SCHEMA grown; SET search_path = grown;
	CREATE TABLE contacts (id bigint, account_id integer NOT NULL, PRIMARY KEY (account_id, id));
	SELECT contacts_tier.attach('contacts', 'account_id')});
fails($coordinator, q{SET citus.shard_replication_factor = 2; SELECT contacts_tier.distribute('grown.contacts')}, '0A000',
	'while citus.shard_replication_factor is 2', 'distribute() does not replicate shards');
fails($coordinator, q{SELECT create_distributed_table_concurrently('grown.contacts', 'account_id')}, '0A000',
	'attached table "contacts" cannot become', 'a local attached table is not distributed without distribute()');
fails($coordinator, q{SELECT create_distributed_table('grown.contacts', 'account_id')}, 'XX000', 'because it has triggers', 'by none of both functions');

# companion tables are distributed while settings say otherwise: as the contacts are
sql($coordinator, q{
	CREATE SCHEMA once; SET search_path = once;
	CREATE TABLE contacts (id bigint, account_id integer NOT NULL, PRIMARY KEY (account_id, id));
	SELECT create_distributed_table('contacts', 'account_id');
	SET citus.shard_replication_factor = 2;
	SET citus.enable_ddl_propagation = off;
	SELECT contacts_tier.attach('contacts', 'account_id')});
is(sql($coordinator, q{SELECT string_agg(DISTINCT repmodel::text, ',') FROM pg_dist_partition d JOIN pg_class c ON c.oid = d.logicalrelid
	WHERE c.relnamespace = 'once'::regnamespace}), 's', 'companion tables are distributed like the contacts');
is(sql($workers[0], q{
	SELECT contacts_tier.subscribe('once.contacts', '1', 'plan', 100);
	INSERT INTO once.contacts (id, account_id, marketing_contact_status) VALUES (1, 1, 'marketing');
	SELECT marketing_contacts FROM contacts_tier.usage('once.contacts')}), "\n1", 'and triggers are on all nodes, though the session hands on no DDL');

#
# Names that need quotes, accounts of several types, two tables with the same companion tables
#
foreach my $kind (
	[ 'uuid', '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002' ],
	[ 'bigint', '1', '99999999999' ],
	[ 'text', q{it''s "%s", %1$s}, '' ],
	[ 'date', '2026-01-01', '2026-12-31' ],
	[ 'public.colour', 'red', 'blue' ])
{
	my ($type, @accounts) = @$kind;
	my $schema = qq{"My ""%1\$s ' $type"};
	my $contacts = qq{$schema."Con'tacts ""%s"};
	my $leads = qq{$schema.leads};
	my $literal = sub { my $l = shift; $l =~ s/'/''/g; return "'$l'" };
	my $all = "(VALUES ('$accounts[0]'), ('$accounts[1]')) v (a)";

	sql($coordinator, q{CREATE TYPE public.colour AS ENUM ('red', 'blue')}) if $type eq 'public.colour';
	sql($coordinator, qq{
		CREATE SCHEMA $schema;
		CREATE TABLE $contacts (id bigint, "Account %s" $type NOT NULL, PRIMARY KEY ("Account %s", id));
		CREATE TABLE $leads (id bigint, acc $type NOT NULL, PRIMARY KEY (acc, id));
		SELECT create_distributed_table(} . $literal->($contacts) . qq{, 'Account %s', colocate_with => 'none');
		SELECT create_distributed_table(} . $literal->($leads) . q{, 'acc', colocate_with => } . $literal->($contacts) . q{);
		SELECT contacts_tier.attach(} . $literal->($contacts) . q{, 'Account %s');
		SELECT contacts_tier.attach(} . $literal->($leads) . qq{, 'acc');
		SELECT contacts_tier.subscribe(} . $literal->($contacts) . qq{, a, 'plan', 100) FROM $all;
		SELECT contacts_tier.set_policy(} . $literal->($leads) . qq{, a::$type, grace => 5) FROM $all;
		INSERT INTO $contacts (id, "Account %s", marketing_contact_status) SELECT i, a::$type, 'marketing' FROM generate_series(1, 10) i, $all;
		INSERT INTO $leads (id, acc, marketing_contact_status) SELECT i, a::$type, 'marketing' FROM generate_series(1, 10) i, $all;
		INSERT INTO $contacts (id, "Account %s", marketing_contact_status) VALUES (100, '$accounts[0]', 'marketing');
		UPDATE $schema.contacts_tier_counter SET used = used + 1 WHERE slot = 0 AND account = '$accounts[1]'});
	is(sql($coordinator, 'CALL contacts_tier.rollover(' . $literal->($contacts) . '); SELECT drift FROM contacts_tier.repair(' . $literal->($leads) . ')'),
		'1', "accounts of type $type: repair()");
	is(sql($coordinator, 'SELECT count(*), sum(marketing_contacts) FROM contacts_tier.usage(' . $literal->($contacts) . ')'), '2|41', 'usage()');
	is(sql($coordinator, 'SELECT count(*) FROM contacts_tier.billing_periods(' . $literal->($contacts) . ", '$accounts[0]')"), '1', 'billing_periods()');
	is(sql($coordinator, 'SELECT count(*) FROM contacts_tier.verify(' . $literal->($contacts) . ') WHERE drift <> 0'), '0', 'counters are right');
}

#
# What Citus does to attached tables
#
sql($coordinator, q{
	CREATE SCHEMA a; SET search_path = a;
	CREATE TABLE contacts (id bigint, account_id integer NOT NULL, PRIMARY KEY (account_id, id));
	SELECT create_distributed_table('contacts', 'account_id', colocate_with => 'none');
	SELECT contacts_tier.attach('contacts', 'account_id');
	SELECT contacts_tier.subscribe('contacts', a::text, 'plan', 100) FROM generate_series(0, 5) a;
	INSERT INTO contacts (id, account_id, marketing_contact_status) SELECT i, i % 6, 'marketing' FROM generate_series(1, 60) i});
fails($coordinator, "SELECT $_", '55000', 'cannot change the distribution of attached table "contacts"', $_)
  foreach q{undistribute_table('a.contacts')}, q{alter_distributed_table('a.contacts', shard_count => 4, cascade_to_colocated => false)},
  q{alter_distributed_table('a.contacts', colocate_with => 'none')};
fails($coordinator, q{SELECT alter_distributed_table('a.contacts_tier_account', shard_count => 4, cascade_to_colocated => true)},
	'(55000|2BP01)', '.*', 'nor from its companion tables');
is(drift($coordinator, 'a.contacts'), '0|0', 'counters stay right');
fails($coordinator, q{
	CREATE TABLE a.local (id bigint, account_id integer NOT NULL);
	SELECT contacts_tier.attach('a.local', 'account_id')}, '0A000', 'are distributed, and table "local" is not', 'a local table has no distributed companion tables');
is(sql($coordinator, q{
	SET search_path = a;
	SELECT contacts_tier.detach('contacts');
	DROP TABLE contacts_tier_call;
	SELECT alter_distributed_table('contacts', shard_count => 4, cascade_to_colocated => true);
	SELECT contacts_tier.attach('contacts', 'account_id');
	INSERT INTO contacts (id, account_id, marketing_contact_status) SELECT i, i % 6, 'marketing' FROM generate_series(61, 72) i;
	SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = 'contacts'::regclass}), "\n\n\n4", 'another number of shards: detach, alter, attach');
is(drift($coordinator, 'a.contacts'), '0|0', 'counters are right');
is(sql($coordinator, q{SELECT sum(marketing_contacts) FROM contacts_tier.usage('a.contacts')}), '72', 'and count all');

# another table of the application beside them
sql($coordinator, q{
	SET search_path = a;
	CREATE TABLE sends (id bigint, account_id integer NOT NULL, contact bigint, PRIMARY KEY (account_id, id));
	SELECT create_distributed_table('sends', 'account_id', colocate_with => 'contacts');
	ALTER TABLE sends ADD FOREIGN KEY (account_id, contact) REFERENCES contacts (account_id, id) ON DELETE CASCADE;
	INSERT INTO sends SELECT id, account_id, id FROM contacts;
	DELETE FROM contacts WHERE id <= 12});
is(sql($coordinator, q{SELECT count(*) FROM a.sends}) . ' ' . drift($coordinator, 'a.contacts'), '60 0|0', 'a foreign key of a colocated table');

# a guard looks contacts up on its own node: refused, and not "contact does not exist"
fails($coordinator, q{SET citus.enable_unsafe_triggers = on;
	CREATE TABLE a.mails (id bigint, account_id integer NOT NULL, contact bigint, tool text);
	SELECT contacts_tier.guard('a.mails', 'tool', 'contact', 'a.contacts')}, '0A000',
	'table "mails" cannot be guarded by contacts of table "contacts".*can_use', 'a guard of distributed contacts');
fails($coordinator, q{CREATE TABLE grown.sends (id bigint, account_id integer NOT NULL, contact bigint, tool text);
	SELECT contacts_tier.guard('grown.sends', 'tool', 'contact', 'grown.contacts');
	SELECT contacts_tier.distribute('grown.contacts')}, '0A000', 'cannot distribute table "contacts".*guarded.*unguard', 'contacts that guard a table are not distributed');

# reset() empties the ledger, too, whose entries the owner may not delete
sql($coordinator, q{
	CREATE ROLE tester LOGIN; SELECT contacts_tier.grant_owner('tester');
	CREATE ROLE "A stranger"; CREATE ROLE "A reader";
	CREATE SCHEMA tested AUTHORIZATION tester});
sql($coordinator, q{SELECT run_command_on_all_nodes('ALTER DEFAULT PRIVILEGES FOR ROLE tester GRANT ALL ON TABLES TO PUBLIC, "A stranger", "A reader"')});
is(sql($coordinator, q{
	SET ROLE tester; SET search_path = tested;
	CREATE TABLE contacts (id bigint, account_id integer NOT NULL, PRIMARY KEY (account_id, id));
	SELECT create_distributed_table('contacts', 'account_id', colocate_with => 'none');
	SELECT contacts_tier.attach('contacts', 'account_id');
	SELECT contacts_tier.subscribe('contacts', a::text, 'plan', 100) FROM generate_series(1, 2) a;
	INSERT INTO contacts (id, account_id, marketing_contact_status) SELECT i, 1 + i % 2, 'marketing' FROM generate_series(1, 60) i;
	SELECT contacts_tier.reset('contacts');
	SELECT (SELECT count(*) FROM contacts), (SELECT count(*) FROM contacts_tier_counter), (SELECT count(*) FROM contacts_tier_account),
		(SELECT count(*) FROM contacts_tier_ledger), has_table_privilege('contacts_tier_ledger', 'DELETE')}), "\n\n\n\n\n0|0|0|0|f", 'reset()');

# and who may do what with companion tables is the same on all nodes, whatever ALTER DEFAULT PRIVILEGES says there (R6)
sql($coordinator, q{
	SET ROLE tester; SET search_path = tested;
	SELECT contacts_tier.grant_reader('contacts', 'A reader');
	SELECT contacts_tier.repair('contacts')});
my $others = q{SELECT string_agg(DISTINCT r.result, ' ') FROM (VALUES ('account'), ('counter'), ('ledger'), ('call')) t (name),
	LATERAL (SELECT result FROM run_command_on_all_nodes(format($$SELECT string_agg(a.grantee || ':' || a.privilege_type, ' ' ORDER BY 1)
			FROM pg_class c, LATERAL aclexplode(c.relacl) x, LATERAL (SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END, x.privilege_type) a (grantee, privilege_type)
			WHERE c.oid = 'tested.contacts_tier_%s'::regclass AND x.grantee <> c.relowner$$, t.name))
		UNION ALL SELECT result FROM run_command_on_shards(format('tested.contacts_tier_%s', t.name), $$SELECT string_agg(a.grantee || ':' || a.privilege_type, ' ' ORDER BY 1)
			FROM pg_class c, LATERAL aclexplode(c.relacl) x, LATERAL (SELECT CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END, x.privilege_type) a (grantee, privilege_type)
			WHERE c.oid = '%s'::regclass AND x.grantee <> c.relowner$$)) r WHERE r.result <> ''};
is(sql($coordinator, $others), '"A reader":SELECT', 'on all nodes only the reader reads companion tables');
sql($coordinator, q{SELECT citus_move_shard_placement(s.shardid, s.nodename, s.nodeport, n.nodename, n.nodeport, 'block_writes')
	FROM (SELECT shardid, nodename, nodeport FROM pg_dist_shard JOIN pg_dist_shard_placement USING (shardid) WHERE logicalrelid = 'tested.contacts'::regclass ORDER BY shardid LIMIT 1) s
	JOIN pg_dist_node n ON n.nodeport <> s.nodeport AND n.groupid > 0 LIMIT 1});
$others =~ s/, \('call'\)//;
like(sql($coordinator, $others), qr/"A stranger"/, 'a shard that moves has default privileges of the other node');
sql($coordinator, q{SET ROLE tester; CALL contacts_tier.rollover('tested.contacts')});
is(sql($coordinator, $others), '"A reader":SELECT', 'until the next rollover');

# a rollover of shards whose companion tables were moved away ends, and does not go round
sql($coordinator, q{SELECT update_distributed_table_colocation('a.contacts_tier_counter', colocate_with => 'none')});
fails($coordinator, q{CALL contacts_tier.rollover('a.contacts')}, '55000', 'has no companion tables beside it', 'companion tables that are not distributed like the contacts');
fails($coordinator, q{INSERT INTO a.contacts (id, account_id, marketing_contact_status) VALUES (1001, 1, 'marketing')}, '55000', 'is not an ordinary table',
	'contacts are not written then');
sql($coordinator, q{SELECT update_distributed_table_colocation('a.contacts_tier_counter', colocate_with => 'a.contacts')});
is(drift($coordinator, 'a.contacts'), '0|0', 'nothing is lost');

# a schema that is renamed under a table, and tables that get another owner
sql($coordinator, q{ALTER SCHEMA a RENAME TO b});
fails($coordinator, $_, '42P01', 'companion table "a.contacts_tier_account".* of attached table "contacts.*HINT:  If the companion table or its schema was renamed', "a renamed schema: $_")
  foreach q{TRUNCATE b.contacts CASCADE}, q{INSERT INTO b.contacts (id, account_id, marketing_contact_status) VALUES (1001, 1, 'marketing')}, q{SELECT contacts_tier.repair('b.contacts')};
sql($coordinator, q{
	ALTER SCHEMA b RENAME TO a;
	CREATE ROLE heir LOGIN; CREATE ROLE other LOGIN;
	SELECT contacts_tier.grant_owner('heir'); SELECT contacts_tier.grant_owner('other')});
sql($coordinator, q{
	GRANT ALL ON SCHEMA a TO heir, other;
	ALTER TABLE a.contacts OWNER TO heir});
fails($coordinator, q{INSERT INTO a.contacts (id, account_id, marketing_contact_status) VALUES (1001, 1, 'marketing')}, '42501',
	'does not belong to the owner of', 'contacts of another owner than the companion tables');
sql($coordinator, 'ALTER TABLE a.contacts_tier_account OWNER TO heir; ALTER TABLE a.contacts_tier_counter OWNER TO heir; ALTER TABLE a.contacts_tier_ledger OWNER TO heir');
fails($coordinator, q{SELECT contacts_tier.set_policy('a.contacts', '1', grace => 5)}, '42501', 'is no table of the owner of "contacts".*OWNER TO', 'and than the table of calls');
sql($coordinator, 'ALTER TABLE a.contacts_tier_call OWNER TO heir; REASSIGN OWNED BY heir TO other');
is(sql($coordinator, q{
	SET ROLE other;
	INSERT INTO a.contacts (id, account_id, marketing_contact_status) VALUES (1001, 1, 'marketing');
	SELECT contacts_tier.set_policy('a.contacts', '1', grace => 5);
	CALL contacts_tier.rollover('a.contacts');
	SELECT contacts_tier.repair('a.contacts');
	SELECT string_agg(DISTINCT result, ',') FROM run_command_on_shards('a.contacts_tier_ledger', $$SELECT relowner::regrole || ' ' || has_table_privilege(relowner, oid, 'UPDATE') FROM pg_class WHERE oid = '%s'::regclass$$)}),
	"\nother false", 'another owner of all tables');
is(drift($coordinator, 'a.contacts'), '0|0', 'whose contacts are counted');
sql($coordinator, 'ALTER TABLE a.contacts OWNER TO postgres; ALTER TABLE a.contacts_tier_account OWNER TO postgres; ALTER TABLE a.contacts_tier_counter OWNER TO postgres;'
	  . ' ALTER TABLE a.contacts_tier_ledger OWNER TO postgres; ALTER TABLE a.contacts_tier_call OWNER TO postgres');

#
# Shards on the coordinator
#
sql($coordinator, q{
	SELECT citus_set_node_property('127.0.0.1', } . $coordinator->port . q{, 'shouldhaveshards', true);
	SELECT citus_move_shard_placement(s.shardid, s.nodename, s.nodeport, '127.0.0.1', } . $coordinator->port . q{, 'block_writes')
	FROM (SELECT shardid, nodename, nodeport FROM pg_dist_shard JOIN pg_dist_shard_placement USING (shardid)
	      WHERE logicalrelid = 'a.contacts'::regclass ORDER BY shardid LIMIT 2) s});
foreach my $node ($coordinator, $workers[0])
{
	sql($node, q{
		INSERT INTO a.contacts (id, account_id, marketing_contact_status) SELECT i, i % 6, 'marketing'
		FROM generate_series((SELECT max(id) + 1 FROM a.contacts), (SELECT max(id) + 12 FROM a.contacts)) i;
		UPDATE a.contacts SET marketing_contact_status = 'non_marketing' WHERE id % 7 = 0;
		BEGIN; INSERT INTO a.contacts (id, account_id, marketing_contact_status) SELECT 5000, i, 'marketing' FROM generate_series(0, 5) i; ROLLBACK;
		SELECT contacts_tier.set_policy('a.contacts', a::text, grace => 5) FROM generate_series(0, 5) a;
		CALL contacts_tier.rollover()});
	is(drift($coordinator, 'a.contacts'), '0|0', 'shards on the coordinator are counted, from ' . $node->name);
}
is(sql($coordinator, q{SELECT accounts, accounts_overdue FROM contacts_tier.metrics() WHERE schema = 'a'}), '6|0', 'and metrics() has each once');

#
# DROP TABLE, DROP EXTENSION
#
is(sql($coordinator, q{DROP TABLE a.contacts CASCADE; SELECT sum(used) FROM a.contacts_tier_counter}), '0', 'DROP TABLE counts out');
sql($coordinator, q{DROP EXTENSION contacts_tier CASCADE; DROP SCHEMA contacts_tier CASCADE});
is(sql($coordinator, q{SELECT string_agg(DISTINCT result, ',') FROM run_command_on_all_nodes($$
	SELECT count(*) FROM pg_class WHERE relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname LIKE 'contacts_tier%')$$)}), '0',
	'nothing stays of the extension on any node');
sql($coordinator, q{
	CREATE EXTENSION contacts_tier;
	SELECT contacts_tier.create_plan('plan', '{100, 200}');
	CREATE SCHEMA again; SET search_path = again;
	CREATE TABLE contacts (id bigint, account_id integer NOT NULL, PRIMARY KEY (account_id, id));
	SELECT create_distributed_table('contacts', 'account_id');
	SELECT contacts_tier.attach('contacts', 'account_id');
	SELECT contacts_tier.subscribe('contacts', '1', 'plan', 100);
	INSERT INTO contacts (id, account_id, marketing_contact_status) VALUES (1, 1, 'marketing')});
is(drift($coordinator, 'again.contacts'), '0|0', 'and it can be created again');

done_testing();
