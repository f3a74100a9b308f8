# Tables that Citus distributes, on a coordinator and two workers, later three: attach() and distribute(),
# all kinds of statements, load through all nodes while shards move, managing, rollover, reports.
# Rules C1, C2, C3, D2, L2, O4, R3, S4 and S6.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Citus;
use ContactsTier::Test;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

plan(skip_all => 'Citus is not installed') unless has_citus();

my @settings = has_cron() ? cron_settings() : ();
my ($coordinator, @workers) = start_cluster(@settings);
my $directory = $PostgreSQL::Test::Utils::tmp_check;

# The errors that load meets
my $expected = join '|', 'contact tier of account', 'current transaction is aborted', 'savepoint "s" does not exist', 'distributed deadlock',
  'deadlock detected', 'could not find valid entry for shard', 'could not commit transaction for shard', 'shard for the given value does not exist', 'is not known as a shard on this node yet', 'duplicate key', 'connection',
  'terminat', 'shutting down';

# Does a statement fail with this SQLSTATE, and a message like this?
sub fails
{
	my ($node, $statement, $state, $message, $name) = @_;
	my ($status, $out, $error) = $node->psql('postgres', "\\set VERBOSITY verbose\n$statement", on_error_stop => 1);

	like($error, qr/ERROR:  $state: .*$message/, $name);
}

sql($coordinator, q{SELECT contacts_tier.create_plan('plan', '{100, 200}')});

#
# attach(): in one call, on a table with data
#
sql($coordinator, q{
	CREATE TABLE other (id bigint, account_id integer, email text);
	SELECT create_distributed_table('other', 'id')});
fails($coordinator, q{SELECT contacts_tier.attach('other', 'account_id')}, '0A000', 'cannot attach "other"',
	'a table distributed by another column is refused');
sql($coordinator, q{
	CREATE TABLE copied (id bigint PRIMARY KEY, account_id integer);
	SELECT create_reference_table('copied')});
fails($coordinator, q{SELECT contacts_tier.attach('copied', 'account_id')}, '0A000', 'cannot attach "copied"',
	'so is a reference table');
sql($coordinator, q{
	CREATE TABLE contacts (id bigint, account_id integer NOT NULL, email text,
		marketing_contact_status contacts_tier.marketing_status, PRIMARY KEY (account_id, id));
	INSERT INTO contacts SELECT i, i % 12, 'c' || i, CASE WHEN i % 2 = 0 THEN 'marketing' END::contacts_tier.marketing_status
	FROM generate_series(1, 240) i;
	SELECT create_distributed_table('contacts', 'account_id');
	SELECT contacts_tier.attach('contacts', 'account_id')});
is(sql($coordinator, q{SELECT sum(marketing_contacts) FROM contacts_tier.usage('contacts')}), '120', 'contacts are counted');
is(sql($coordinator, q{SHOW citus.enable_unsafe_triggers}), 'off', 'the setting that triggers need was for the call alone');
is(sql($workers[0], q{SELECT count(*) FROM contacts_tier.attached()}), '1', 'a worker knows one attached table, and no shards');
sql($coordinator, q{
	SELECT contacts_tier.subscribe('contacts', a::text, 'plan', 100, on_exceed => 'block') FROM generate_series(0, 11) a});
is(drift($coordinator, 'contacts'), '0|0', 'counters are right');

#
# All kinds of statements, from coordinator and worker
#
my $offset = 1000;
foreach my $node ($coordinator, @workers)
{
	my $name = $node->name;

	sql($node, qq{
		INSERT INTO contacts (id, account_id, marketing_contact_status) VALUES ($offset + 1, 1, 'marketing');
		INSERT INTO contacts (id, account_id, marketing_contact_status) VALUES ($offset + 2, 1, 'marketing'), ($offset + 2, 2, 'marketing');
		INSERT INTO contacts (id, account_id) VALUES ($offset + 3, 3);
		INSERT INTO contacts (id, account_id) VALUES ($offset + 4, 3);
		INSERT INTO contacts (id, account_id, marketing_contact_status) SELECT $offset + 10 + i, i % 12, 'marketing' FROM generate_series(1, 24) i;
		INSERT INTO contacts (id, account_id, marketing_contact_status) SELECT id + 100000, account_id, marketing_contact_status
		FROM contacts WHERE account_id = 5 AND id < 100;
		INSERT INTO contacts (id, account_id, email, marketing_contact_status) VALUES ($offset + 1, 1, 'new', 'marketing')
		ON CONFLICT (account_id, id) DO UPDATE SET email = EXCLUDED.email, marketing_contact_status = EXCLUDED.marketing_contact_status;
		INSERT INTO contacts (id, account_id, email) VALUES ($offset + 1, 1, 'newer')
		ON CONFLICT (account_id, id) DO UPDATE SET email = EXCLUDED.email, marketing_contact_status = EXCLUDED.marketing_contact_status;
		UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE account_id = 2 AND id % 3 = 0;
		UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id % 11 = 0;
		UPDATE contacts SET email = 'x' WHERE account_id IN (1, 2, 3);
		DELETE FROM contacts WHERE id > 100000;
		BEGIN;
		INSERT INTO contacts (id, account_id, marketing_contact_status) VALUES ($offset + 50, 6, 'marketing');
		SAVEPOINT s;
		INSERT INTO contacts (id, account_id, marketing_contact_status) VALUES ($offset + 50, 7, 'marketing');
		ROLLBACK TO s;
		INSERT INTO contacts (id, account_id, marketing_contact_status) VALUES ($offset + 51, 8, 'marketing');
		COMMIT;
		BEGIN;
		INSERT INTO contacts (id, account_id, marketing_contact_status) VALUES ($offset + 60, 6, 'marketing'), ($offset + 60, 7, 'marketing');
		ROLLBACK});
	$node->safe_psql('postgres', "COPY contacts (id, account_id, marketing_contact_status) FROM stdin;\n"
		  . join('', map { $offset + 100 + $_ . "\t" . $_ % 12 . "\tmarketing\n" } 1 .. 24) . "\\.\n");
	is(drift($coordinator, 'contacts'), '0|0', "counters are right after all kinds of statements from $name");
	fails($node, qq{INSERT INTO contacts (id, account_id, marketing_contact_status) VALUES ($offset, 99, 'marketing')},
		'MC002', 'account "99" may not have marketing contacts', "no access: the SQLSTATE of a single INSERT from $name");
	fails($node, qq{UPDATE contacts SET marketing_contact_status = 'marketing' WHERE account_id = 99;
		INSERT INTO contacts (id, account_id, marketing_contact_status) SELECT $offset + 5000 + i, 9, 'marketing' FROM generate_series(1, 200) i},
		'(MC001|XX000)', 'contact tier of account "9" exceeded', "a full tier refuses from $name");
	$offset += 1000;
}

# what differs: COPY through the coordinator has the text of an error, but not its SQLSTATE
fails($coordinator, "COPY contacts (id, account_id, marketing_contact_status) FROM stdin;\n"
	  . join('', map { 9000 + $_ . "\t4\tmarketing\n" } 1 .. 200) . "\\.\n",
	'XX000', 'contact tier of account "4" exceeded', 'COPY through the coordinator is refused, with the SQLSTATE of Citus');

# and MERGE can take nothing but tables of Citus as its source
sql($coordinator, q{
	CREATE TABLE arrivals (id bigint, account_id integer);
	SELECT create_distributed_table('arrivals', 'account_id', colocate_with => 'contacts');
	INSERT INTO arrivals VALUES (1, 1), (9001, 2)});
sql($coordinator, q{
	MERGE INTO contacts c USING arrivals a ON c.account_id = a.account_id AND c.id = a.id
	WHEN MATCHED THEN UPDATE SET marketing_contact_status = 'marketing'
	WHEN NOT MATCHED THEN INSERT (id, account_id, marketing_contact_status) VALUES (a.id, a.account_id, 'marketing')});
is(drift($coordinator, 'contacts'), '0|0', 'counters are right after MERGE');

# a setting reaches the worker by SET LOCAL, if Citus is told to hand it on
sql($coordinator, q{
	BEGIN;
	SET LOCAL citus.propagate_set_commands = 'local';
	SET LOCAL contacts_tier.source_type = 'IMPORT';
	INSERT INTO contacts (id, account_id, marketing_contact_status) VALUES (9100, 10, 'marketing');
	COMMIT});
is(sql($coordinator, q{SELECT marketing_contact_status_source_type FROM contacts WHERE account_id = 10 AND id = 9100}),
	'IMPORT', 'SET LOCAL reaches the shard');

#
# Managing, from the coordinator and from a worker
#
fails($coordinator, q{SELECT contacts_tier.subscribe('contacts', '1', 'plan', 100)}, '42710', 'account "1"',
	'errors of a managing function have their SQLSTATE');
sql($coordinator, q{
	BEGIN;
	SELECT contacts_tier.set_policy('contacts', '1', grace => 5);
	SELECT contacts_tier.set_policy('contacts', '2', grace => 5);
	SELECT contacts_tier.change_tier('contacts', '3', 200);
	ROLLBACK});
is(sql($coordinator, q{SELECT max(grace), max(contact_limit) FROM contacts_tier_account}), '0|100', 'they are rolled back');
sql($workers[1], q{
	BEGIN;
	SELECT contacts_tier.set_policy('contacts', a::text, grace => 5) FROM generate_series(0, 11) a;
	INSERT INTO contacts (id, account_id, marketing_contact_status) VALUES (9200, 11, 'marketing');
	SELECT contacts_tier.set_policy('contacts', a::text, grace => 0) FROM generate_series(0, 11) a;
	COMMIT});
is(sql($coordinator, q{SELECT max(grace) FROM contacts_tier_account}), '0', 'and run on all nodes in one transaction');
is(sql($coordinator, q{SELECT count(*) FROM contacts_tier_call}), '0', 'nothing stays of the calls');
my $since = sql($coordinator, q{SELECT period_started_at FROM contacts_tier_account WHERE account = 10});
my $role = sql($coordinator, q{SELECT marketing_contact_status_source_name FROM contacts WHERE account_id = 10 AND id = 9100});
is(sql($coordinator, qq{SELECT taken_back, left_alone FROM contacts_tier.undo_promotion('contacts', '10', 'IMPORT', '$role', '$since')}),
	'1|0', 'a function with a row as its result');
sql($workers[0], q{SELECT contacts_tier.create_plan('of a worker', '{10}')});
is(sql($workers[1], q{SELECT count(*) FROM contacts_tier.plan WHERE name = 'of a worker'}), '1', 'a plan is created from any node');
fails($coordinator, q{DELETE FROM contacts_tier.plan WHERE name = 'plan'}, '23503', 'plan "plan" has subscribed accounts',
	'a plan with subscribers on workers is not deleted');
sql($coordinator, q{DELETE FROM contacts_tier.plan WHERE name = 'of a worker'});
is(sql($workers[1], q{SELECT count(*) FROM contacts_tier.tier WHERE plan = 'of a worker'}), '0', 'another one is, with its tiers');
fails($coordinator, q{SELECT contacts_tier.rename_account('contacts', '1', '100')}, '0A000', 'cannot be renamed',
	'an account of a distributed table cannot be renamed');

#
# Reports
#
is(sql($coordinator, q{SELECT count(*), count(DISTINCT contacts) FROM contacts_tier.billing_periods('contacts')}), '12|1', 'billing_periods()');
is(sql($workers[0], q{SELECT count(*) FROM contacts_tier.billing_periods('contacts', '3')}), '1', 'billing_periods() of an account, on a worker');
is(sql($coordinator, q{SELECT count(*) FROM contacts_tier.forecast('contacts')}), '12', 'forecast()');
is(sql($coordinator, q{SELECT count(*) FROM contacts_tier.activity('contacts', '1')}) > 0, 1, 'activity()');

# in the transaction of the caller, with what he has not committed; also with an account that has a counter and no subscription
is(sql($coordinator, q{
	BEGIN;
	INSERT INTO contacts (id, account_id, marketing_contact_status) SELECT 200000 + i, 3, 'marketing' FROM generate_series(1, 7) i;
	INSERT INTO contacts_tier_counter (account, slot) VALUES (77, 0);
	SELECT contacts_tier.change_tier('contacts', '3', 200);
	SELECT (SELECT f.marketing_contacts = u.marketing_contacts AND f.marketing_contacts = g.marketing_contacts
	         AND b.closing = u.marketing_contacts AND c.closing = u.marketing_contacts AND h.marketing_contacts = u.marketing_contacts AND h.contact_limit = 200
	        FROM contacts_tier.usage('contacts', '3') u, contacts_tier.forecast('contacts', '3') f, contacts_tier.forecast('contacts') g,
	             contacts_tier.billing_periods('contacts', '3') b, contacts_tier.billing_periods('contacts') c,
	             (SELECT * FROM contacts_tier.usage_history('contacts', '3') ORDER BY at DESC LIMIT 1) h
	        WHERE g.account = '3' AND c.account = '3'),
	       (SELECT count(*) > 0 FROM contacts_tier.explain_change('contacts', '3')), contacts_tier.usage_page('contacts', '3') LIKE '<svg%',
	       (SELECT string_agg(account, ',') FROM contacts_tier.forecast('contacts')), (SELECT string_agg(account, ',') FROM contacts_tier.billing_periods('contacts'));
	ROLLBACK}), "\nt|t|t|0,1,2,3,4,5,6,7,8,9,10,11|0,1,2,3,4,5,6,7,8,9,10,11", 'reports see what their transaction has done, and each account once');
foreach my $node ($coordinator, $workers[1])
{
	# a column of the view, as Citus 13.2 on PostgreSQL 17 fails where a LEFT JOIN can be removed
	is(sql($node, q{
		BEGIN READ ONLY;
		SELECT (SELECT count(*) FROM contacts_tier.billing_periods('contacts')), (SELECT count(*) FROM contacts_tier.forecast('contacts')),
		       (SELECT count(*) FROM contacts_tier.forecast('contacts', '5')), (SELECT count(*) FROM contacts_tier.explain_change('contacts', '5')),
		       (SELECT count(*) > 1 FROM contacts_tier.usage_history('contacts', '5')), (SELECT count(*) > 1 FROM contacts_tier.usage_history('contacts', '99')),
		       (SELECT count(table_schema) FROM contacts_tier.bills WHERE contacts = 'contacts')}), '12|12|1|0|t|t|12',
		'reports in a transaction that only reads, from ' . $node->name);
}
foreach my $report (q{billing_periods('contacts', '3')}, q{usage_history('contacts', '3')}, q{explain_change('contacts', '3')}, q{forecast('contacts')})
{
	my ($status, $out, $error) = $coordinator->psql('postgres', "SET citus.log_remote_commands = on; SELECT count(*) FROM contacts_tier.$report");
	my @statements = $error =~ /issuing (SELECT|WITH)/g;

	is(scalar(@statements), $report =~ /,/ ? 1 : 6, "$report is one task for each shard that it needs");
}

is(sql($coordinator, q{SELECT contacts_tier.has_access('contacts', '1'), contacts_tier.has_access('contacts', '99')}), 't|f', 'has_access()');
is(sql($coordinator, q{SELECT count(*) FROM contacts_tier.preview('contacts', '1', 5)}), '1', 'preview()');
is(sql($coordinator, q{SELECT string_agg(account, ',' ORDER BY n) FROM contacts_tier.usage('contacts') WITH ORDINALITY u (c, account, p, l, m, pe, pr, av, pc, al, nu, re, n)}),
	'0,1,2,3,4,5,6,7,8,9,10,11', 'usage(): one list, in the order of accounts');
is(sql($workers[1], q{SELECT count(*) FROM contacts_tier.verify('contacts') WHERE drift <> 0}), '0', 'verify() on a worker sees the whole');

#
# A hot account has more than one slot
#
{
	my @sessions;

	for my $i (1 .. 6)
	{
		my $file = "$directory/hot$i.sql";

		append_to_file($file, join '', map { "INSERT INTO contacts (id, account_id) VALUES (" . (200000 + $i * 1000 + $_)
			  . ", 0);\nUPDATE contacts SET marketing_contact_status = 'marketing' WHERE account_id = 0 AND id = "
			  . (200000 + $i * 1000 + $_) . ";\nDELETE FROM contacts WHERE account_id = 0 AND id = " . (200000 + $i * 1000 + $_) . ";\n" } 1 .. 100);
		push @sessions, IPC::Run::start([ 'psql', '-XAtq', '-d', $coordinator->connstr('postgres'), '-f', $file ], '>', \my $o, '2>', \my $e);
	}
	IPC::Run::finish($_) foreach @sessions;
	is(sql($coordinator, q{SELECT count(*) > 1 FROM contacts_tier_counter WHERE account = 0}), 't', 'a hot account has several slots');
	is(drift($coordinator, 'contacts'), '0|0', 'and is counted right');
}

#
# Load through three nodes, while shards move and a node comes
#
{
	my @sessions = load_files($directory, $ENV{CITUS_STATEMENTS} // 600, 12, 'contacts', $coordinator, @workers, $coordinator, @workers);
	my $move = sub {
		my ($number, $mode) = @_;

		return $coordinator->psql('postgres', qq{
			SELECT citus_move_shard_placement(s.shardid, s.nodename, s.nodeport, n.nodename, n.nodeport, '$mode')
			FROM (SELECT shardid, nodename, nodeport, row_number() OVER (ORDER BY shardid) AS number
			      FROM pg_dist_shard JOIN pg_dist_shard_placement USING (shardid) WHERE logicalrelid = 'contacts'::regclass) s
			JOIN pg_dist_node n ON n.nodeport <> s.nodeport AND n.groupid > 0 WHERE s.number = $number LIMIT 1});
	};

	is($move->(1, 'block_writes'), 0, 'a shard moves, writes wait');
	is($move->(2, 'force_logical'), 0, 'a shard moves, writes go on');
	push @workers, add_worker($coordinator, 'worker3', @settings);
	sql($coordinator, q{SELECT rebalance_table_shards('contacts', shard_transfer_mode => 'block_writes')});
	is(sql($coordinator, q{SELECT count(DISTINCT nodeport) FROM pg_dist_shard JOIN pg_dist_shard_placement USING (shardid)
		WHERE logicalrelid = 'contacts'::regclass}), '3', 'shards are on three workers');
	is($coordinator->psql('postgres', q{SELECT isolate_tenant_to_new_shard('contacts', 5, 'CASCADE', shard_transfer_mode => 'block_writes')}),
		0, 'an account gets a shard of its own');
	$workers[1]->stop('immediate');
	$workers[1]->start;
	is(run_load($directory, $expected, @sessions), '', 'load meets no other errors');
	sql($coordinator, 'SELECT recover_prepared_transactions()');
	is(drift($coordinator, 'contacts'), '0|0', 'counters are right, and no tier is exceeded');
	is(sql($coordinator, q{SELECT string_agg(DISTINCT result, ',') FROM run_command_on_all_nodes('SELECT count(*) FROM pg_prepared_xacts')}),
		'0', 'no prepared transaction is left');
}

#
# verify() and repair() by shard
#
my $shard = sql($coordinator, q{SELECT shard_name('contacts', get_shard_id_for_distribution_column('contacts', 3))});
my $counter = sql($coordinator, q{SELECT shard_name('contacts_tier_counter', get_shard_id_for_distribution_column('contacts_tier_counter', 3))});
my ($holder) = grep { sql($_, qq{SET citus.override_table_visibility = off; SELECT count(*) FROM pg_class WHERE oid = to_regclass('$shard')}) =~ /1$/ } @workers;
sql($coordinator, q{UPDATE contacts_tier_counter SET used = used + 7 WHERE account = 3 AND slot = 0});
is(sql($coordinator, q{SELECT account, drift FROM contacts_tier.verify('contacts') WHERE drift <> 0}), '3|7', 'verify() finds a drift');
is(sql($holder, qq{SELECT account, drift FROM contacts_tier.verify('$shard') WHERE drift <> 0}), '3|7', 'so does verify() of the shard, on its node');
is(sql($coordinator, q{SELECT account, drift FROM contacts_tier.repair('contacts')}), '3|7', 'repair() says so');
is(drift($coordinator, 'contacts'), '0|0', 'and has corrected it');
is(sql($coordinator, q{SELECT count(*) FROM contacts_tier_ledger WHERE event = 'repair'}), '1', 'the ledger has it once');
sql($coordinator, q{UPDATE contacts_tier_counter SET used = used + 1 WHERE account = 4 AND slot = 0});
is(sql($coordinator, q{SELECT account, drift FROM contacts_tier.verify('contacts', record => true) WHERE drift <> 0}), '4|1', 'verify() that records');
is(sql($coordinator, q{SELECT count(*) FROM contacts_tier_ledger WHERE event = 'verify'}), '1', 'is in the ledger of the shard');
sql($coordinator, q{
	BEGIN;
	SET LOCAL citus.enable_unsafe_triggers = on;
	DROP TRIGGER aa_contacts_tier_count ON contacts;
	DROP TRIGGER contacts_tier_apply ON contacts;
	COMMIT;
	SELECT contacts_tier.repair('contacts')});
is(sql($coordinator, q{SELECT string_agg(DISTINCT result, ',') FROM run_command_on_shards('contacts',
	$$SELECT count(*) >= 3 FROM pg_trigger WHERE tgrelid = '%s'::regclass$$)}), 't', 'repair() creates lost triggers on all shards');
is(drift($coordinator, 'contacts'), '0|0', 'and counts anew');

#
# Rollover
#
$_->append_conf('postgresql.conf', "contacts_tier.now = '" . sql($coordinator, q{SELECT (now() + interval '32 days')::text}) . "'"), $_->reload
  foreach $coordinator, @workers;
sleep 1;
my $flagged = sql($coordinator, q{SELECT sum(pending_non_marketing) FROM contacts_tier.usage('contacts')});
is(sql($coordinator, q{SELECT (SELECT marketing_contacts FROM contacts_tier.forecast('contacts', '3')) = (SELECT marketing_contacts FROM contacts_tier.forecast('contacts') WHERE account = '3'),
	(SELECT count(*) FROM contacts_tier.preview('contacts', '3', 1)), contacts_tier.usage_page('contacts', '3') LIKE '<svg%'}), 't|1|t',
	'reports look through an update date that has passed');
{
	my @sessions = load_files($directory, 200, 12, 'contacts', $coordinator, @workers);

	is($coordinator->psql('postgres', q{CALL contacts_tier.rollover()}), 0, 'rollover() from the coordinator, beside writers');
	run_load($directory, $expected, @sessions);
}
is(sql($coordinator, q{CALL contacts_tier.rollover('contacts'); SELECT count(*), count(DISTINCT account) FROM contacts_tier_ledger WHERE event = 'billing_period'}),
	'12|12', 'each account has one billing period');
is(drift($coordinator, 'contacts'), '0|0', 'counters are right after the rollover');
fails($coordinator, q{BEGIN; CALL contacts_tier.rollover('contacts')}, '25001', 'cannot run inside a transaction block', 'all shards are rolled over by themselves');
is($coordinator->psql('postgres', q{BEGIN; CALL contacts_tier.rollover('contacts', '3'); ROLLBACK}), 0, 'one account can be part of a transaction');
$_->append_conf('postgresql.conf', "contacts_tier.now = ''"), $_->reload foreach $coordinator, @workers;
sleep 1;

# What locks the table and counts it, beside writers through all nodes, is in no deadlock that Citus does not find
{
	my @sessions = load_files($directory, 300, 12, 'contacts', $coordinator, @workers[0, 1], $coordinator, @workers[0, 1]);
	my @failed;

	foreach my $i (1 .. 4)
	{
		foreach my $call (q{set_condition('contacts', 'exists', 'email IS NOT NULL OR id > 0')}, q{set_condition('contacts', 'exists', NULL)}, q{repair('contacts')})
		{
			my ($status, $out, $error) = $coordinator->psql('postgres', "SET statement_timeout = '60s'; SELECT contacts_tier.$call");

			push @failed, $error if $error =~ /ERROR/ && $error !~ /deadlock/;
		}
	}
	is(join("\n", @failed), '', 'set_condition() and repair() beside writers');
	run_load($directory, $expected, @sessions);
	sql($coordinator, q{SELECT contacts_tier.set_condition('contacts', 'exists', NULL)});
	is(drift($coordinator, 'contacts'), '0|0', 'leave counters right');
}

#
# TRUNCATE, detach and attach again
#
sql($workers[0], 'TRUNCATE contacts');
is(sql($coordinator, q{SELECT sum(marketing_contacts) FROM contacts_tier.usage('contacts')}), '0', 'TRUNCATE, from a worker');
is(drift($coordinator, 'contacts'), '0|0', 'counts all out');
sql($coordinator, q{INSERT INTO contacts (id, account_id, marketing_contact_status) SELECT i, i % 12, 'marketing' FROM generate_series(1, 240) i;
	SELECT contacts_tier.detach('contacts')});
is(sql($coordinator, q{SELECT sum(used) FROM contacts_tier_counter}), '0', 'detach() counts out');
sql($coordinator, q{SELECT contacts_tier.attach('contacts', 'account_id')});
is(sql($coordinator, q{SELECT sum(used) FROM contacts_tier_counter}), '240', 'attach() again counts in');

#
# Partitions
#
sql($coordinator, q{
	CREATE SCHEMA p; SET search_path = p;
	CREATE TABLE contacts (id bigint, account_id integer NOT NULL, day date NOT NULL, email text, PRIMARY KEY (account_id, id, day)) PARTITION BY RANGE (day);
	CREATE TABLE c25 PARTITION OF contacts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
	CREATE TABLE c26 PARTITION OF contacts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
	INSERT INTO contacts SELECT i, i % 6, '2025-06-01' FROM generate_series(1, 60) i;
	SELECT create_distributed_table('contacts', 'account_id');
	SELECT contacts_tier.attach('contacts', 'account_id');
	SELECT contacts_tier.subscribe('contacts', a::text, 'plan', 100) FROM generate_series(0, 5) a;
	INSERT INTO contacts (id, account_id, day, marketing_contact_status) SELECT i, i % 6, '2026-06-01', 'marketing' FROM generate_series(101, 160) i;
	UPDATE contacts SET day = '2025-07-07' WHERE account_id = 2;
	CREATE TABLE c27 PARTITION OF contacts FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
	INSERT INTO c27 (id, account_id, day, marketing_contact_status) SELECT i, i % 6, '2027-06-01', 'marketing' FROM generate_series(201, 230) i;
	CREATE TABLE c28 (LIKE contacts);
	INSERT INTO c28 (id, account_id, day, marketing_contact_status) SELECT i, i % 6, '2028-06-01', 'marketing' FROM generate_series(301, 330) i;
	ALTER TABLE contacts ATTACH PARTITION c28 FOR VALUES FROM ('2028-01-01') TO ('2029-01-01')});
is(sql($coordinator, q{SELECT sum(marketing_contacts) FROM contacts_tier.usage('p.contacts')}), '120', 'partitions come');
is(drift($coordinator, 'p.contacts'), '0|0', 'and are counted');
sql($coordinator, q{SET search_path = p; ALTER TABLE contacts DETACH PARTITION c27; DROP TABLE c26; TRUNCATE c28});
is(drift($coordinator, 'p.contacts'), '0|0', 'partitions go, and are counted out');
sql($coordinator, q{SELECT citus_move_shard_placement(shardid, nodename, nodeport, (SELECT nodename FROM pg_dist_node n WHERE n.nodeport <> s.nodeport AND groupid > 0 LIMIT 1),
	(SELECT nodeport FROM pg_dist_node n WHERE n.nodeport <> s.nodeport AND groupid > 0 LIMIT 1), 'block_writes')
	FROM (SELECT shardid, nodename, nodeport FROM pg_dist_shard JOIN pg_dist_shard_placement USING (shardid) WHERE logicalrelid = 'p.contacts'::regclass ORDER BY shardid LIMIT 1) s});
is(drift($coordinator, 'p.contacts'), '0|0', 'a move of a shard of a partitioned table counts nothing twice');

#
# A schema of a tenant
#
sql($coordinator, q{
	SET citus.enable_schema_based_sharding = on;
	CREATE SCHEMA tenant;
	CREATE TABLE tenant.contacts (id bigint PRIMARY KEY, email text);
	INSERT INTO tenant.contacts SELECT i FROM generate_series(1, 10) i;
	SELECT contacts_tier.attach('tenant.contacts');
	SELECT contacts_tier.subscribe('tenant.contacts', 'default', 'plan', 100);
	UPDATE tenant.contacts SET marketing_contact_status = 'marketing' WHERE id <= 5});
is(sql($workers[2], q{SELECT marketing_contacts FROM contacts_tier.usage('tenant.contacts', 'default')}), '5', 'a table of a tenant schema');
is(drift($coordinator, 'tenant.contacts'), '0|0', 'is counted');
is(sql($workers[2], q{SELECT (SELECT marketing_contacts FROM contacts_tier.forecast('tenant.contacts')), (SELECT closing FROM contacts_tier.billing_periods('tenant.contacts')),
	(SELECT count(*) FROM contacts_tier.usage_history('tenant.contacts', 'default')), (SELECT count(*) FROM contacts_tier.verify('tenant.contacts', true))}), '5|5|2|1',
	'reported, from any node');
sql($coordinator, q{
	UPDATE tenant.contacts_tier_counter SET used = used + 1;
	SELECT contacts_tier.repair('tenant.contacts');
	SELECT citus_schema_move('tenant', n.nodename, n.nodeport, 'block_writes') FROM pg_dist_node n
	WHERE n.groupid > 0 AND n.nodeport <> (SELECT nodeport FROM citus_shards WHERE table_name = 'tenant.contacts'::regclass) LIMIT 1;
	UPDATE tenant.contacts SET marketing_contact_status = 'marketing' WHERE id = 6;
	CALL contacts_tier.rollover('tenant.contacts')});
is(drift($coordinator, 'tenant.contacts'), '0|0', 'repaired, moved and rolled over');
is(sql($coordinator, q{SELECT contacts_tier.detach('tenant.contacts'); SELECT contacts_tier.attach('tenant.contacts');
	SELECT marketing_contacts FROM contacts_tier.usage('tenant.contacts')}), "\n\n6", 'detached and attached again');

#
# Names of shards that Citus shortens
#
my $long = 'contacts_' . 'x' x 50;
sql($coordinator, qq{
	CREATE TABLE $long (id bigint, account_id integer NOT NULL, PRIMARY KEY (account_id, id));
	SELECT create_distributed_table('$long', 'account_id', colocate_with => 'none');
	CREATE SCHEMA long;
	SELECT contacts_tier.attach('$long', 'account_id', companion_schema => 'long');
	SELECT contacts_tier.subscribe('$long', a::text, 'plan', 100) FROM generate_series(0, 5) a;
	INSERT INTO $long (id, account_id, marketing_contact_status) SELECT i, i % 6, 'marketing' FROM generate_series(1, 60) i;
	INSERT INTO $long (id, account_id, marketing_contact_status) VALUES (100, 1, 'marketing');
	CALL contacts_tier.rollover('$long')});
is(sql($coordinator, qq{SELECT count(*), sum(closing) FROM contacts_tier.billing_periods('$long')}), '6|61', 'a table with a long name');
is(drift($coordinator, $long), '0|0', 'is counted');

#
# An owner who is no superuser, and an application that may only write contacts
#
sql($coordinator, q{
	CREATE ROLE crm LOGIN;
	CREATE ROLE app LOGIN;
	GRANT CREATE ON DATABASE postgres TO crm;
	SELECT contacts_tier.grant_owner('crm')});
my $crm = sub { $coordinator->safe_psql('postgres', "SET client_min_messages = warning; $_[0]", extra_params => [ '-U', 'crm' ]) };
my $app = sub { $coordinator->safe_psql('postgres', "SET client_min_messages = warning; $_[0]", extra_params => [ '-U', 'app' ]) };
$crm->(q{
	CREATE SCHEMA crm;
	CREATE TABLE crm.contacts (id bigint, account_id integer NOT NULL, PRIMARY KEY (account_id, id));
	SELECT create_distributed_table('crm.contacts', 'account_id');
	SELECT contacts_tier.attach('crm.contacts', 'account_id');
	SELECT contacts_tier.create_plan('crm', '{10, 20}');
	SELECT contacts_tier.subscribe('crm.contacts', a::text, 'crm', 10) FROM generate_series(0, 5) a;
	GRANT USAGE ON SCHEMA crm TO app;
	GRANT SELECT, INSERT, UPDATE, DELETE ON crm.contacts TO app});
$app->(q{
	INSERT INTO crm.contacts (id, account_id, marketing_contact_status) SELECT i, i % 6, 'marketing' FROM generate_series(1, 30) i;
	INSERT INTO crm.contacts (id, account_id, marketing_contact_status) VALUES (100, 1, 'marketing')});
is($app->(q{SELECT marketing_contact_status_source_name FROM crm.contacts WHERE account_id = 1 AND id = 100}), 'app',
	'the source is the role of the session');
is($crm->(q{SELECT sum(marketing_contacts) FROM contacts_tier.usage('crm.contacts')}), '31', 'an owner reads his usage');
is($crm->(q{SELECT count(*) FROM contacts_tier.forecast('crm.contacts')}), '6', 'and reports of all shards');

# A role that reads, one that has the privileges of the owner, and what the ledger says of whom
sql($coordinator, q{
	CREATE ROLE reader LOGIN;
	CREATE ROLE clerk LOGIN;
	GRANT crm TO clerk});
$crm->(q{
	GRANT USAGE ON SCHEMA crm TO reader;
	GRANT SELECT ON crm.contacts_tier_account, crm.contacts_tier_counter, crm.contacts_tier_ledger TO reader});
my $reader = sub { $coordinator->safe_psql('postgres', "SET client_min_messages = warning; $_[0]", extra_params => [ '-U', 'reader' ]) };
my $clerk = sub { $coordinator->safe_psql('postgres', "SET client_min_messages = warning; $_[0]", extra_params => [ '-U', 'clerk' ]) };
is($reader->(q{SELECT (SELECT count(*) FROM contacts_tier.forecast('crm.contacts')), (SELECT count(*) FROM contacts_tier.forecast('crm.contacts', '1')),
	(SELECT count(*) FROM contacts_tier.billing_periods('crm.contacts')), (SELECT count(*) > 0 FROM contacts_tier.usage_history('crm.contacts', '1'))}), '6|1|6|t',
	'who may only read the companion tables reads all reports');
$clerk->(q{
	SELECT contacts_tier.set_policy('crm.contacts', '1', grace => 3);
	SELECT contacts_tier.change_tier('crm.contacts', '1', 20);
	SELECT period_started_at AS since FROM crm.contacts_tier_account WHERE account = 1 \gset
	SELECT contacts_tier.undo_promotion('crm.contacts', '1', 'USER', 'app', :'since');
	UPDATE crm.contacts SET marketing_contact_status = 'marketing' WHERE account_id = 1;
	UPDATE crm.contacts_tier_counter SET used = used + 1 WHERE account = 2;
	SELECT contacts_tier.verify('crm.contacts', true);
	SELECT contacts_tier.repair('crm.contacts')});
is($crm->(q{SELECT string_agg(DISTINCT event || ' ' || role, ', ' ORDER BY event || ' ' || role) FROM crm.contacts_tier_ledger
	WHERE account IN (1, 2) AND event IN ('policy', 'tier_change', 'undo', 'verify', 'repair', 'subscribe')}),
	'policy clerk, repair clerk, subscribe crm, tier_change clerk, undo clerk, verify clerk', 'the ledger names the role that called');
is($crm->(q{SELECT count(*) FROM contacts_tier.activity('crm.contacts', '1') WHERE role = 'clerk' AND source_name = 'clerk' AND demoted = 6}), '1',
	'so does the activity, with the role as the source');
is($crm->(q{
	BEGIN;
	SELECT count(*) FROM contacts_tier.verify('crm.contacts', true);
	UPDATE crm.contacts_tier_counter SET used = used + 1 WHERE account = 2;
	SELECT count(*) FROM contacts_tier.verify('crm.contacts', true) WHERE drift <> 0;
	ROLLBACK}), "6\n1", 'verify(record => true) sees what its transaction has done');
is($crm->(q{SELECT count(*) FROM crm.contacts_tier_ledger WHERE event = 'verify'}), '1', 'and what it records can be rolled back');

# The role is believed only for what the owner could write into the ledger himself
$crm->(q{
	CREATE FUNCTION crm.intrude(shard oid) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE format('INSERT INTO %s (id, account_id, marketing_contact_status) VALUES (70000 + (random() * 10000)::integer, 1, %L)', shard::regclass, 'marketing');
		RETURN 1;
	END $$;
	GRANT SELECT, INSERT, DELETE ON crm.contacts_tier_call TO app});
sql($coordinator, q{GRANT INSERT ON public.contacts TO crm});
my $intrude = q{INSERT INTO crm.contacts_tier_call (account, contacts, call, role) VALUES (1, '%s.contacts', 'SELECT crm.intrude(%%1$s)', 'postgres')};
$crm->(sprintf $intrude, 'public');
is(sql($coordinator, q{SELECT string_agg(DISTINCT role, ',' ORDER BY role) FROM contacts_tier.activity('public.contacts', '1')}), 'crm,postgres',
	'an owner who names another role is named himself in the ledger of somebody else');
$app->(sprintf $intrude, 'crm');
is($crm->(q{SELECT string_agg(DISTINCT role, ',' ORDER BY role) FROM contacts_tier.activity('crm.contacts', '1')}), 'app,clerk',
	'so is, in his, whom he lets insert calls');
$crm->(sprintf $intrude, 'crm');
is($crm->(q{SELECT string_agg(DISTINCT role, ',' ORDER BY role) FROM contacts_tier.activity('crm.contacts', '1')}), 'app,clerk,postgres',
	'into his own he can write what he likes');
$crm->(q{REVOKE ALL ON crm.contacts_tier_call FROM app; DELETE FROM crm.contacts WHERE id >= 70000});
sql($coordinator, q{REVOKE INSERT ON public.contacts FROM crm; DELETE FROM public.contacts WHERE id >= 70000});
$clerk->(q{
	UPDATE crm.contacts_tier_account SET period_started_at = now() - interval '31 days', next_update_at = now() - interval '1 hour' WHERE account = 5;
	BEGIN;
	CALL contacts_tier.rollover('crm.contacts', '5');
	COMMIT});
is($crm->(q{SELECT string_agg(DISTINCT event || ' ' || role, ', ' ORDER BY event || ' ' || role) FROM crm.contacts_tier_ledger
	WHERE event IN ('rollover', 'rollover_run', 'billing_period')}), 'billing_period clerk, rollover clerk, rollover_run clerk',
	'a rollover in a transaction names the role that called');
is($reader->(q{SELECT (SELECT count(*) FROM contacts_tier.billing_periods('crm.contacts')), (SELECT count(*) FROM contacts_tier.billing_periods('crm.contacts', '5'))}),
	'7|2', 'a closed period is in the bill');
is($crm->(q{BEGIN;
	DELETE FROM crm.contacts_tier_account WHERE account IN (2, 5);
	SELECT (SELECT count(*) FROM contacts_tier.billing_periods('crm.contacts')), (SELECT count(*) FROM contacts_tier.billing_periods('crm.contacts', '5')),
		(SELECT count(*) FROM contacts_tier.forecast('crm.contacts'))}), '5|1|4', 'also of an account that the ledger alone knows');
# Calls run with the rights of the owner: never through a table of somebody else's, and none is lost in silence
sql($coordinator, q{CREATE ROLE intruder LOGIN});
$crm->(q{
	CREATE SCHEMA shared;
	GRANT ALL ON SCHEMA shared TO intruder;
	CREATE TABLE shared.contacts (id bigint, account_id integer NOT NULL, PRIMARY KEY (account_id, id));
	SELECT create_distributed_table('shared.contacts', 'account_id');
	SELECT contacts_tier.attach('shared.contacts', 'account_id');
	DROP TABLE shared.contacts_tier_call});
my $subscribe = q{SELECT contacts_tier.subscribe('shared.contacts', '1', 'plan', 100)};
fails($coordinator, $subscribe, '42P01', 'table "shared.contacts_tier_call" does not exist', 'a call without the table of calls');
sql($coordinator, q{
	SET ROLE intruder;
	CREATE TABLE shared.intrusion (role text);
	CREATE TABLE shared.contacts_tier_call (account integer, contacts text, call text, role text, result jsonb);
	GRANT ALL ON shared.intrusion, shared.contacts_tier_call TO PUBLIC;
	CREATE FUNCTION shared.intrude() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO shared.intrusion VALUES (current_user); RETURN NEW; END $$;
	CREATE TRIGGER intrude BEFORE INSERT ON shared.contacts_tier_call FOR EACH ROW EXECUTE FUNCTION shared.intrude()});
foreach my $call ($subscribe, q{SELECT contacts_tier.repair('shared.contacts')})
{
	fails($coordinator, $call, '42501', 'table "shared.contacts_tier_call" is no table of the owner of "contacts"', "a table of calls of somebody else: $call");
}
is(sql($coordinator, q{SELECT count(*) FROM shared.intrusion}), '0', 'whose trigger has not run');
sql($coordinator, q{DROP TABLE shared.contacts_tier_call});
$crm->(q{CREATE TABLE shared.contacts_tier_call (LIKE crm.contacts_tier_call)});
fails($coordinator, $subscribe, '42809', 'table "shared.contacts_tier_call" is not distributed', 'a table of calls that takes none to a shard');
$crm->(q{
	DROP TABLE shared.contacts_tier_call;
	SELECT contacts_tier.repair('shared.contacts');
	SET citus.enable_unsafe_triggers = on;
	ALTER TABLE shared.contacts_tier_call DISABLE TRIGGER contacts_tier_call});
fails($coordinator, $subscribe, '55000', 'a call for table "contacts" did nothing', 'a table of calls without its trigger');
$crm->(qq{
	DROP TABLE shared.contacts_tier_call;
	SELECT contacts_tier.repair('shared.contacts');
	$subscribe});
is($crm->(q{SELECT count(*) FROM contacts_tier.usage('shared.contacts')}), '1', 'repair() creates the table of calls again');

# Settings that Citus hands on to nodes, with all that is in their string, do not reach sessions of the owner
sql($coordinator, q{GRANT ALL ON SCHEMA shared TO reader});
$crm->(q{
	SELECT contacts_tier.grant_reader('shared.contacts', 'reader');
	GRANT TRUNCATE ON shared.contacts TO reader;
	CREATE TABLE shared.proof (id integer, role text);
	SELECT create_distributed_table('shared.proof', 'id');
	GRANT ALL ON shared.proof TO PUBLIC});
my $hand_on = q{SET LOCAL citus.propagate_set_commands = 'local'; SET LOCAL search_path = shared, pg_catalog};
my $acts = qr/cannot act as role "crm" in a transaction that has handed on settings/;
foreach my $act (
	q{SELECT count(*) FROM contacts_tier.usage('shared.contacts', '1')},
	q{SELECT count(*) FROM contacts_tier.forecast('shared.contacts')},
	q{SELECT contacts_tier.has_access('shared.contacts', '1')})
{
	fails($coordinator, "SET ROLE reader; BEGIN; $hand_on; $act", '25001', $acts, "settings, and then: $act");
	fails($workers[0], "SET ROLE reader; BEGIN; $act; $hand_on", '25001', 'cannot hand on settings to nodes', "then settings: $act");
}
fails($coordinator, "SET ROLE reader; BEGIN; $hand_on; TRUNCATE shared.contacts", '25001', $acts, 'settings, and then TRUNCATE');
fails($coordinator, 'SET ROLE reader; TRUNCATE shared.contacts', '25001', 'by a different user', 'TRUNCATE needs the owner');
fails($coordinator, q{SET ROLE reader;
	CREATE FUNCTION shared.hand_on() RETURNS void LANGUAGE plpgsql SET citus.propagate_set_commands = 'local'
	AS $$ BEGIN SET LOCAL search_path = shared, pg_catalog; END $$;
	SELECT shared.hand_on(), contacts_tier.has_access('shared.contacts', '1')}, '25001', $acts, 'settings in a function');
is($reader->(q{BEGIN; SET LOCAL search_path = shared, pg_catalog;
	SELECT count(*) FROM contacts_tier.usage('shared.contacts', '1');
	COMMIT}), '1', 'settings that are not handed on');
is($crm->("BEGIN; $hand_on; SELECT count(*) FROM contacts_tier.usage('shared.contacts', '1'); COMMIT"), '1', 'the owner may hand on his own');

# Who is not the owner reads reports before he writes, or the companion tables
$crm->(q{GRANT INSERT ON shared.contacts TO reader});
my $write = q{INSERT INTO shared.contacts (id, account_id) VALUES (7, 1)};
my $usage = q{SELECT count(*) FROM contacts_tier.usage('shared.contacts', '1')};
fails($coordinator, "SET ROLE reader; BEGIN; $write; $usage", '25001', 'by a different user', 'a report after a write of another role');
is($reader->("BEGIN; $usage; $write; ROLLBACK"), '1', 'before it');
is($reader->("BEGIN; $write; SELECT sum(used) FROM shared.contacts_tier_counter WHERE account = 1; ROLLBACK"), '0', 'and the companion tables after it');

# Row-level security that is forced on the owner hides contacts from him on nodes: nothing is counted there then (C1)
my $forced = 'cannot count contacts of distributed table "contacts" while its row-level security is forced';
$crm->(q{
	INSERT INTO shared.contacts (id, account_id, marketing_contact_status) VALUES (1, 1, 'marketing'), (2, 1, 'marketing');
	CREATE POLICY own ON shared.contacts USING (id = 1) WITH CHECK (true);
	ALTER TABLE shared.contacts ENABLE ROW LEVEL SECURITY;
	ALTER TABLE shared.contacts FORCE ROW LEVEL SECURITY;
	INSERT INTO shared.contacts (id, account_id, marketing_contact_status) VALUES (3, 1, 'marketing')});
is($crm->(q{SELECT marketing_contacts FROM contacts_tier.usage('shared.contacts', '1')}), '3', 'forced row-level security does not affect counting');
fails($coordinator, "SET ROLE crm; $_", '0A000', $forced, "nor is counted what it hides: $_")
  foreach q{SELECT contacts_tier.verify('shared.contacts')}, q{TRUNCATE shared.contacts}, q{SELECT contacts_tier.detach('shared.contacts')};
is($crm->(q{CALL contacts_tier.rollover('shared.contacts');
	BEGIN;
	ALTER TABLE shared.contacts NO FORCE ROW LEVEL SECURITY;
	SELECT account, actual, drift FROM contacts_tier.verify('shared.contacts');
	SELECT contacts_tier.detach('shared.contacts');
	COMMIT;
	ALTER TABLE shared.contacts FORCE ROW LEVEL SECURITY}), "1|3|0\n", 'while it is not forced it is');
fails($coordinator, q{SET ROLE crm; SELECT contacts_tier.attach('shared.contacts', 'account_id')}, '0A000', $forced, 'nor is such a table attached');
$crm->(q{ALTER TABLE shared.contacts NO FORCE ROW LEVEL SECURITY; SELECT contacts_tier.attach('shared.contacts', 'account_id')});

# Entries of the ledger are changed by mistake from no node (L2)
foreach my $node ($coordinator, @workers[0, 1])
{
	fails($node, qq{SET ROLE crm; $_}, '42501', 'permission denied', "from " . $node->name . ": $_")
	  foreach q{UPDATE shared.contacts_tier_ledger SET role = 'x' WHERE account = 1}, q{DELETE FROM crm.contacts_tier_ledger};
}
is($crm->(q{SELECT contacts_tier.prune_ledger('shared.contacts', now())}), '0', 'and pruned nonetheless');

# Functions that others create in a schema of the search_path on nodes do not come into what nodes are sent (R3)
{
	my @nodes = ($coordinator, @workers);
	my %read = map { $_->name => -s $_->logfile } @nodes;

	sql($_, q{ALTER SYSTEM SET log_statement = 'all'; SELECT pg_reload_conf()}) foreach @nodes;
	sleep 1;
	my @reports = ('contacts_tier.rollover_progress()', 'contacts_tier.overdue', q{contacts_tier.preview('crm.contacts', '1', 3)},
		q{contacts_tier.audience('crm.contacts', '1', 'marketing_email')});
	push @reports, map { "contacts_tier.$_('crm.contacts', '1')" }
	  qw(usage forecast billing_periods tier_changes activity notifications ineligible usage_history explain_change sources banner has_access usage_page);
	push @reports, map { "contacts_tier.$_('crm.contacts')" } qw(usage forecast billing_periods tier_changes activity notifications ineligible verify);
	# all columns of it: see above on LEFT JOIN
	$crm->(join ';', map { "SELECT count(r) FROM $_ r" } @reports);
	sql($_, q{ALTER SYSTEM RESET log_statement; SELECT pg_reload_conf()}) foreach @nodes;
	my %polymorphic = map { $_ => 1 } split /\n/, sql($coordinator, q{SELECT DISTINCT proname FROM pg_proc
		WHERE pronamespace = 'pg_catalog'::regnamespace AND proname NOT IN ('min', 'max')
		AND EXISTS (SELECT FROM unnest(proargtypes::oid[]) t JOIN pg_type y ON y.oid = t WHERE y.typtype = 'p')});
	my (%found, %seen);
	foreach my $node (@nodes)
	{
		foreach my $statement (slurp_file($node->logfile, $read{$node->name}) =~ /citus_internal[^\n]*?LOG:  (?:statement|execute \S+): ((?:SELECT|WITH|INSERT|UPDATE).*?)(?=^\d{4}-\d\d-\d\d )/gms)
		{
			next unless $statement =~ /contacts_tier_(?:account|counter|ledger|call)_\d/;
			$seen{$1} = 1 while $statement =~ /(moved from the tier of|marketing contacts of its contact tier|OVER later)/g;
			$found{$1} = 1 while $statement =~ /(?<![.\w"])([a-z_]\w*)\((?!\*\))/g;
		}
	}
	is(join(',', sort grep { $polymorphic{$_} } keys %found), '', 'no function that takes "any" is in the statements of reports');
	is(join(',', sort keys %seen), 'OVER later,marketing contacts of its contact tier,moved from the tier of', 'which have been looked at');
}
sql($coordinator, q{
	CREATE SCHEMA proof; GRANT ALL ON SCHEMA proof TO PUBLIC;
	SELECT run_command_on_all_nodes('GRANT CREATE ON SCHEMA public TO intruder')});
sql($coordinator, q{
	SET ROLE intruder;
	CREATE FUNCTION public.jsonb_agg_step(state jsonb, value text) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN EXECUTE format('CREATE TABLE IF NOT EXISTS proof.%I ()', session_user); RETURN coalesce(state, '[]') || to_jsonb(value); END $$;
	CREATE AGGREGATE public.jsonb_agg(text) (sfunc = public.jsonb_agg_step, stype = jsonb);
	CREATE FUNCTION public.jsonb_agg_step(state jsonb, value record) RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN EXECUTE format('CREATE TABLE IF NOT EXISTS proof.%I ()', session_user); RETURN coalesce(state, '[]') || to_jsonb(value); END $$;
	CREATE AGGREGATE public.jsonb_agg(record) (sfunc = public.jsonb_agg_step, stype = jsonb)});
$crm->(q{SELECT contacts_tier.repair('crm.contacts')});
sql($coordinator, q{SELECT contacts_tier.grant_nodes(); SELECT count(*) FROM contacts_tier.metrics()});
is(sql($coordinator, q{SELECT string_agg(DISTINCT result, ',') FROM run_command_on_all_nodes($$SELECT count(*) FROM pg_class WHERE relnamespace = 'proof'::regnamespace$$)}),
	'0', 'nor in those by which grants reach nodes and metrics are read there, as a superuser');
sql($coordinator, q{SET ROLE intruder; DROP AGGREGATE public.jsonb_agg(text), public.jsonb_agg(record);
	DROP FUNCTION public.jsonb_agg_step(jsonb, text), public.jsonb_agg_step(jsonb, record)});

foreach my $statement (
	q{INSERT INTO crm.contacts_tier_call (account, contacts, call) VALUES (1, 'crm.contacts', 'SELECT 1')},
	q{SELECT * FROM crm.contacts_tier_account},
	q{SELECT contacts_tier.set_policy('crm.contacts', '1', grace => 3)},
	q{SELECT * FROM contacts_tier.usage('crm.contacts')})
{
	my ($status, $out, $error) = $coordinator->psql('postgres', $statement, extra_params => [ '-U', 'app' ]);

	like($error, qr/permission denied/, "the application may not: $statement");
}

fails($coordinator, q{DROP TABLE crm.contacts_tier_counter}, '2BP01', 'attached table "contacts" depends on it', 'a companion table is not dropped');

#
# A node that comes later has what was granted before on functions of the extension (R6)
#
{
	my $grants = q{SELECT count(DISTINCT result) FROM run_command_on_all_nodes(
		'SELECT md5(string_agg(g, chr(10) ORDER BY g)) FROM contacts_tier_internal.grants() g')};

	sql($coordinator, q{
		CREATE ROLE scheduler;
		GRANT EXECUTE ON FUNCTION contacts_tier.repair(regclass) TO scheduler WITH GRANT OPTION});
	push @workers, add_worker($coordinator, 'worker4', @settings);
	is(sql($coordinator, $grants), '3', 'what was granted by GRANT is on one node, and nothing is on a new one');
	sql($coordinator, q{CREATE SCHEMA leads AUTHORIZATION crm});
	$crm->(q{
		CREATE TABLE crm.leads (id bigint, account_id integer NOT NULL, PRIMARY KEY (account_id, id));
		SELECT create_distributed_table('crm.leads', 'account_id', colocate_with => 'none');
		SELECT contacts_tier.attach('crm.leads', 'account_id', companion_schema => 'leads');
		SELECT contacts_tier.subscribe('crm.leads', a::text, 'crm', 10) FROM generate_series(0, 5) a;
		INSERT INTO crm.leads (id, account_id, marketing_contact_status) SELECT i, i % 6, 'marketing' FROM generate_series(1, 30) i});
	is(sql($coordinator, $grants), '1', 'attach() grants it');
	is(drift($coordinator, 'crm.leads'), '0|0', 'and a table of an owner can have shards there');
	sql($coordinator, q{GRANT EXECUTE ON FUNCTION contacts_tier.detach(regclass, boolean) TO scheduler; SELECT contacts_tier.grant_nodes()});
	is(sql($coordinator, $grants), '1', 'so does grant_nodes()');
	fails($workers[0], q{SELECT contacts_tier.grant_nodes()}, '55000', 'must be called on the coordinator', 'which the coordinator is asked for');
	is($coordinator->psql('postgres', q{
		SELECT replicate_reference_tables();
		SELECT citus_move_shard_placement(s.shardid, s.nodename, s.nodeport, '127.0.0.1', } . $workers[3]->port . q{, 'block_writes')
		FROM (SELECT shardid, nodename, nodeport FROM pg_dist_shard JOIN pg_dist_shard_placement USING (shardid)
		      WHERE logicalrelid = 'crm.contacts'::regclass ORDER BY shardid LIMIT 1) s}), 0, 'a shard moves to it');
	is(drift($coordinator, 'crm.contacts'), '0|0', 'and is counted there');

	# Citus hands on no REVOKE from the owner of the ledger: the next rollover does (L2)
	my $changes = q{SELECT string_agg(DISTINCT result, ',' ORDER BY result) FROM (
		SELECT result FROM run_command_on_shards('crm.contacts_tier_ledger', $$SELECT has_table_privilege('crm', '%s', 'UPDATE, DELETE')$$)
		UNION ALL SELECT result FROM run_command_on_all_nodes($$SELECT has_table_privilege('crm', 'crm.contacts_tier_ledger', 'UPDATE, DELETE')$$)) r};
	is(sql($coordinator, $changes), 'f,t', 'the owner may change entries of the ledger on a node that came, and of a shard that moved');
	$crm->(q{CALL contacts_tier.rollover('crm.contacts')});
	is(sql($coordinator, $changes), 'f', 'until the next rollover');
}

#
# What is announced on a worker reaches those who listen on the coordinator by a relay
#
is(sql($coordinator, q{
	UPDATE crm.contacts SET marketing_contact_status = 'marketing' WHERE false;
	INSERT INTO crm.contacts (id, account_id, marketing_contact_status) VALUES (200, 3, 'marketing'), (201, 3, 'marketing'), (202, 3, 'marketing');
	SELECT event, threshold FROM contacts_tier.notifications('crm.contacts', '3')}), 'threshold|75', 'a threshold is in the ledger');
like($coordinator->safe_psql('postgres', q{LISTEN contacts_tier;
	SELECT contacts_tier.relay_notifications('crm.contacts', now() - interval '1 hour', '0') > now() - interval '1 hour'}),
	qr/notification "contacts_tier" with payload "\{.*"account": "3".*"threshold": 75/, 'relay_notifications() notifies');

#
# Metrics of all nodes
#
is(sql($coordinator, q{SELECT readable, accounts, accounts_overdue FROM contacts_tier.metrics() WHERE schema = 'crm'}), 't|6|0',
	'metrics(): a row for the shards of all nodes');
is(sql($workers[2], q{SELECT count(*) FROM contacts_tier.account_metrics(3)}), '3', 'account_metrics(), from a worker');

#
# pg_cron on the coordinator: a job of the owner rolls over what is due on all shards
#
SKIP:
{
	skip('pg_cron is not installed', 11) unless has_cron();
	# billing periods of each account, beyond those that it has already
	my $periods = q{SELECT string_agg(account || ':' || n, ' ' ORDER BY account)
		FROM (SELECT a.account, count(p.account) - p0.n AS n FROM crm.contacts_tier_account a JOIN crm.periods p0 USING (account)
		      LEFT JOIN crm.contacts_tier_ledger p ON p.account = a.account AND p.event = 'billing_period' GROUP BY a.account, p0.n) p
		WHERE n > 0};
	$crm->(q{
		CREATE TABLE crm.periods (account integer PRIMARY KEY, n bigint);
		SELECT create_distributed_table('crm.periods', 'account', colocate_with => 'crm.contacts');
		INSERT INTO crm.periods SELECT a.account, count(p.account) FROM crm.contacts_tier_account a
		LEFT JOIN crm.contacts_tier_ledger p ON p.account = a.account AND p.event = 'billing_period' GROUP BY a.account});
	my $clock = sub {
		my ($days) = @_;
		my $now = $days == 0 ? '' : sql($coordinator, qq{SELECT (now() + interval '$days days')::text});

		$_->append_conf('postgresql.conf', "contacts_tier.now = '$now'"), $_->reload foreach $coordinator, @workers;
		sleep 1;
	};

	sql($coordinator, q{
		CREATE EXTENSION pg_cron;
		GRANT USAGE ON SCHEMA cron TO crm});
	$crm->(q{
		UPDATE crm.contacts SET marketing_contact_status = 'non_marketing' WHERE account_id IN (1, 2, 3) AND id < 15;
		ALTER TABLE crm.contacts ADD CONSTRAINT stays CHECK (account_id <> 3 OR marketing_contact_status = 'marketing')});
	$clock->(32);
	my $cron = sql($coordinator, q{SELECT extversion FROM pg_extension WHERE extname = 'pg_cron'});
	my $often = $cron =~ /^1\.[0-4]/ ? '* * * * *' : '1 second';
	my $job = $crm->("SELECT contacts_tier.schedule_rollover('$often')");
	is(sql($coordinator, q{SELECT username, command FROM cron.job}), 'crm|CALL contacts_tier.rollover()', 'a job of the owner');
	is(sql($workers[0], q{SELECT count(*) FROM cron.job}), '0', 'on the coordinator alone');
	ok($coordinator->poll_query_until('postgres', qq{SELECT count(*) > 0 FROM cron.job_run_details WHERE jobid = $job AND status = 'failed'}),
		'pg_cron is told that an account failed');
	like(sql($coordinator, qq{SELECT return_message FROM cron.job_run_details WHERE jobid = $job AND status = 'failed' LIMIT 1}),
		qr/rollover of 1 shard failed.*table "contacts": rollover of 1 account failed: account "3" in schema "crm": 23514: .*"stays_/s, 'which, and why');
	is(sql($coordinator, $periods), '0:1 1:1 2:1 4:1 5:1', 'all others of all shards have one period');
	$crm->(q{ALTER TABLE crm.contacts DROP CONSTRAINT stays});
	ok($coordinator->poll_query_until('postgres', qq{SELECT count(*) > 0 FROM cron.job_run_details WHERE jobid = $job AND status = 'succeeded'}),
		'the next run succeeds');
	is(sql($coordinator, $periods), '0:1 1:1 2:1 3:1 4:1 5:1', 'and the one that failed has its period');
	is($crm->(q{SELECT contacts_tier.unschedule_rollover()}), 't', 'the job is dropped');

	# a worker is down for a while; then all nodes are told at once, by a member of the owner
	sql($coordinator, q{CREATE ROLE ops LOGIN; GRANT crm TO ops});
	$clock->(95);
	$workers[0]->stop('immediate');
	isnt($coordinator->psql('postgres', q{CALL contacts_tier.rollover('crm.contacts')}, extra_params => [ '-U', 'ops' ]), 0, 'shards of a worker that is down fail');
	$workers[0]->start;
	my @calls = map { IPC::Run::start([ 'psql', '-XAtq', '-U', 'ops', '-d', $_->connstr('postgres'), '-c', 'CALL contacts_tier.rollover()' ], '>', \my $o, '2>', \my $e) }
	  $coordinator, @workers;
	IPC::Run::finish($_) foreach @calls;
	is(sql($coordinator, $periods), '0:3 1:3 2:3 3:3 4:3 5:3', 'each update date was applied once');
	is(drift($coordinator, 'crm.contacts'), '0|0', 'counters are right');
	$clock->(0);
}

#
# A table that outgrew its server; local tables beside it
#
sql($coordinator, q{
	CREATE SCHEMA grown; SET search_path = grown;
	CREATE TABLE contacts (id bigint, account_id integer NOT NULL, deleted_at timestamptz, PRIMARY KEY (account_id, id));
	CREATE TABLE leads (id bigint, account_id integer NOT NULL, PRIMARY KEY (account_id, id));
	SELECT contacts_tier.attach('contacts', 'account_id');
	SELECT contacts_tier.attach('leads', 'account_id');
	SELECT contacts_tier.set_condition('contacts', 'exists', 'deleted_at IS NULL');
	SELECT contacts_tier.subscribe('contacts', a::text, 'plan', 100) FROM generate_series(0, 9) a;
	INSERT INTO contacts (id, account_id, marketing_contact_status) SELECT i, i % 10, 'marketing' FROM generate_series(1, 300) i;
	INSERT INTO leads (id, account_id, marketing_contact_status) SELECT i, i % 10, 'marketing' FROM generate_series(1, 100) i;
	UPDATE contacts SET deleted_at = now() WHERE account_id = 4;
	UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE account_id = 3;
	CREATE TABLE before AS SELECT account, sum(used) AS used, sum(promoted) AS promoted, sum(demoted) AS demoted, sum(corrected) AS corrected
	FROM contacts_tier_counter GROUP BY account});
my $history = q{SELECT count(*), sum(contacts) FROM grown.contacts_tier_ledger};
my $before = sql($coordinator, $history);
is($coordinator->psql('postgres', q{BEGIN; SELECT contacts_tier.distribute('grown.contacts'); ROLLBACK}), 0, 'distribute(), rolled back');
is(drift($coordinator, 'grown.contacts'), '0|0', 'leaves a local table');
sql($coordinator, q{SELECT contacts_tier.distribute('grown.contacts')});
is(sql($coordinator, $history), $before, 'distribute() keeps the history');
is(sql($coordinator, q{SELECT count(*) FROM grown.before JOIN (SELECT account, sum(used) AS used, sum(promoted) AS promoted,
	sum(demoted) AS demoted, sum(corrected) AS corrected FROM grown.contacts_tier_counter GROUP BY account) now
	USING (account, used, promoted, demoted, corrected)}), '10', 'and the counters of the period');
sql($coordinator, q{
	SELECT truncate_local_data_after_distributing_table(t) FROM unnest('{grown.contacts, grown.leads, grown.contacts_tier_account,
		grown.contacts_tier_counter, grown.contacts_tier_ledger, contacts_tier.plan, contacts_tier.source_type}'::regclass[]) t});
is(drift($coordinator, 'grown.contacts') . ' ' . sql($coordinator, $history), "0|0 $before", 'rows that Citus has left on the coordinator can be removed');
is(sql($coordinator, q{SELECT count(*) > 0 FROM contacts_tier.tier}), 't', 'those of plans, too');
sql($workers[0], q{
	SET search_path = grown;
	INSERT INTO leads (id, account_id, marketing_contact_status) SELECT i, i % 10, 'marketing' FROM generate_series(1001, 1040) i;
	UPDATE contacts SET deleted_at = now() WHERE account_id = 5;
	UPDATE contacts SET deleted_at = NULL WHERE account_id = 4});
is(drift($coordinator, 'grown.contacts'), '0|0', 'both tables share their counters, and the condition holds');
my $marketing = q{SELECT sum(marketing_contacts) FROM contacts_tier.usage('grown.contacts')};
my $all = sql($coordinator, q{SELECT contacts_tier.set_condition('grown.contacts', 'exists', NULL)} . "; $marketing");
is(sql($coordinator, q{SELECT contacts_tier.set_condition('grown.contacts', 'exists', 'deleted_at IS NULL AND account_id <> 6')} . "; $marketing") =~ s/\s//r,
	$all - 30 - 30, 'a condition is dropped, and another one set');
is(drift($coordinator, 'grown.contacts'), '0|0', 'and counted by');
fails($coordinator, q{SET citus.enable_unsafe_triggers = on;
	CREATE OR REPLACE TRIGGER contacts_tier_exists AFTER DELETE ON grown.contacts FOR EACH ROW WHEN (false) EXECUTE FUNCTION contacts_tier_internal.exists_condition()},
	'55000', 'cannot change a condition', 'CREATE TRIGGER changes none');

sql($coordinator, q{
	CREATE SCHEMA local; SET search_path = local;
	CREATE TABLE contacts (id bigint PRIMARY KEY, account_id integer NOT NULL);
	SELECT contacts_tier.attach('contacts', 'account_id');
	BEGIN;
	SELECT contacts_tier.create_plan('local', '{10, 20}');
	SELECT contacts_tier.subscribe('contacts', a::text, 'local', 10) FROM generate_series(0, 2) a;
	INSERT INTO contacts (id, account_id, marketing_contact_status) VALUES (1, 1, 'marketing');
	INSERT INTO grown.contacts (id, account_id, marketing_contact_status) VALUES (5001, 1, 'marketing');
	INSERT INTO contacts (id, account_id) VALUES (2, 1);
	INSERT INTO contacts (id, account_id, marketing_contact_status) SELECT i, 2, 'marketing' FROM generate_series(11, 25) i;
	COMMIT;
	INSERT INTO contacts (id, account_id) SELECT id + 10000, account_id FROM grown.contacts});
is(drift($coordinator, 'local.contacts'), '0|0', 'local attached tables of the same database go on working');
is(drift($coordinator, 'grown.contacts'), '0|0', 'beside distributed ones');

#
# And back to a single server
#
sql($coordinator, q{
	SET search_path = grown;
	SELECT contacts_tier.detach('contacts');
	SELECT contacts_tier.detach('leads');
	SELECT undistribute_table(t) FROM unnest('{contacts, leads, contacts_tier_account, contacts_tier_counter, contacts_tier_ledger}'::regclass[]) t;
	DROP TABLE contacts_tier_call;
	SELECT contacts_tier.attach('contacts', 'account_id');
	SELECT contacts_tier.attach('leads', 'account_id')});
is(drift($coordinator, 'grown.contacts'), '0|0', 'back to one server: detach, undistribute, attach');

# Without preloading nobody knows which settings the transaction that loads the library has handed on
$coordinator->append_conf('postgresql.conf', "shared_preload_libraries = 'citus'");
$coordinator->restart;
fails($coordinator, q{SET ROLE reader; SELECT contacts_tier.has_access('crm.contacts', '1')}, '55000', 'in the transaction that has loaded the library',
	'who lacks the privileges of the owner is refused in it');
is(sql($coordinator, q{SELECT contacts_tier.has_access('crm.contacts', '1'); SET ROLE reader; SELECT contacts_tier.has_access('crm.contacts', '1')}),
	"t\nt", 'and served in the next one, as the others are in it');

$crm->(q{SELECT contacts_tier.uninstall('crm.contacts')});
is(sql($coordinator, q{SELECT count(*) FROM pg_tables WHERE schemaname = 'crm' AND tablename NOT IN ('leads', 'periods')}), '4', 'uninstall() of a distributed table leaves plain tables');
sql($coordinator, q{DROP TABLE p.contacts, public.contacts});
pass('distributed tables are dropped');
is(sql($coordinator, q{SELECT sum(used) FROM contacts_tier_counter}), '0', 'DROP TABLE counts out');

done_testing();
