# Statements that do without our row triggers: an UPDATE that cannot touch the status
# of contacts fires none of our triggers and locks no rows first (PRUNE); what can touch
# it fires none, either (PROJECT, COUNT), or what it needs.
# Each case names the triggers that fire, so it fails with contacts_tier.fast_path off.
# The statement trigger has nothing to do in a statement whose end is known; it still fires
# at the root of partitions, and where the row triggers do.
# Rule S7.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";
use ContactsTier::Test;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('prune');

attached_table($node, 'c', 10, 2, 100);
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION pg_walinspect;
	CREATE TABLE p (id integer, region text, account integer, email text, PRIMARY KEY (id, region))
		PARTITION BY LIST (region);
	CREATE TABLE p_eu PARTITION OF p FOR VALUES IN ('eu');
	CREATE TABLE p_us (email text, account integer, region text NOT NULL, id integer NOT NULL);
	ALTER TABLE p ATTACH PARTITION p_us FOR VALUES IN ('us');
	SELECT contacts_tier.attach('p', 'account');
	INSERT INTO p SELECT i, CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END, 1, '' FROM generate_series(1, 10) i;
	CREATE VIEW v AS SELECT id, email FROM c;
});

# Which of our triggers fire in a statement, and how many rows it locks, in a session
# of its own, after the statements in $before
sub cost
{
	my ($statement, $before) = @_;
	my $output = $node->safe_psql(
		'postgres', ($before // '') . qq{;
		SELECT pg_current_wal_insert_lsn() AS before \\gset
		EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) $statement;
		SELECT count(*) AS locks
		FROM pg_get_wal_records_info(:'before', pg_current_wal_flush_lsn())
		WHERE resource_manager = 'Heap' AND record_type LIKE 'LOCK%' \\gset
		\\echo locks :locks
	});
	my %triggers = map { $_ => 1 } $output =~ /^Trigger (?:\w\w_)?contacts_tier_(\w+)/mg;
	my ($locks) = $output =~ /^locks (\d+)$/m;

	note($output);
	return join(' ', sort(keys(%triggers)), "$locks locks");
}

my $none = '0 locks';

is(cost(q{UPDATE c SET email = 'x'}), $none, 'in a fresh session');
is(cost(q{UPDATE c SET email = 'x'}, q{UPDATE c SET marketing_contact_status = 'marketing' WHERE id = 1}),
	$none, 'in a session that set a status before');
is(cost(q{UPDATE c SET email = o.email FROM c o WHERE c.id = o.id}), $none, 'UPDATE FROM');
is(cost(q{UPDATE c SET email = 'x' WHERE marketing_contact_status = 'marketing' RETURNING id}),
	$none, 'a status column in the WHERE clause');
is(cost(q{UPDATE v SET email = 'x'}), $none, 'through a view');
is(cost(q{EXECUTE s}, q{PREPARE s AS UPDATE c SET email = 'x'; EXECUTE s}), $none, 'a prepared statement');
is(cost(q{UPDATE p SET email = 'x'}), $none, 'a partitioned table');
is(cost(q{UPDATE p_us SET email = 'x'}), $none, 'a partition with another column order');

# Where the status is written they are done without, too, from the first statement of a session on (src/capture/fast_project.c, fast_count.c).
my $at_the_root = 'apply 0 locks';

is(cost(q{INSERT INTO c (id, account, email) VALUES (101, 1, 'x')}), $none, 'INSERT in a fresh session');
# the first claim of an account locks its counter
$node->safe_psql('postgres', q{UPDATE c SET marketing_contact_status = 'marketing' WHERE id <= 10});
is(cost(q{UPDATE c SET marketing_contact_status = 'marketing' WHERE id = 101}),
	$none, 'UPDATE of the status in a fresh session');
is(cost(q{DELETE FROM c WHERE id = 101}), $none, 'DELETE in a fresh session');
is(cost(q{INSERT INTO p_us (id, region, account) VALUES (101, 'us', 1)}), $none, 'INSERT into a partition');
is(cost(q{DELETE FROM p WHERE id = 101}), $at_the_root, 'DELETE through the root of partitions');

# So they are where it is set without being changed.
is(cost(q{UPDATE c SET marketing_contact_status = 'marketing'}), $none, 'the status is set');
is(cost(q{UPDATE c SET marketing_contact_status = marketing_contact_status}), $none, 'to what it is');
is(cost(q{UPDATE c SET marketing_contact_until_next_update = true WHERE id = 1}), $none, 'the flag is set');
is(cost(q{UPDATE c SET account = 1}), $none, 'the account is set');
is(cost(q{UPDATE p_us SET marketing_contact_status_source_name = 'x'}), $none, 'a source is set');
is_exact($node, 'postgres', 'after all of these');

# A BEFORE trigger of the application can change anything.
$node->safe_psql(
	'postgres', q{
	CREATE FUNCTION opt_out() RETURNS trigger LANGUAGE plpgsql AS
		$$BEGIN NEW.marketing_contact_status = 'non_marketing'; RETURN NEW; END$$;
	CREATE TRIGGER opt_out BEFORE UPDATE ON c FOR EACH ROW WHEN (NEW.email = 'out') EXECUTE FUNCTION opt_out();
	CREATE TRIGGER opt_out BEFORE UPDATE ON p_us FOR EACH ROW WHEN (NEW.email = 'out') EXECUTE FUNCTION opt_out();
});
is(cost(q{UPDATE c SET email = 'out' WHERE id = 1}), 'status 1 locks', 'a BEFORE trigger of the application brings them back');
is( $node->safe_psql('postgres', q{SELECT marketing_contact_status, marketing_contact_until_next_update FROM c WHERE id = 1}),
	'marketing|t', 'and they keep the rules');
# Contacts are counted by the trigger there, since the other one may move them.  It is
# the only case that does not depend on contacts_tier.fast_path.
is(cost(q{UPDATE p SET email = 'out'}), 'apply count status 10 locks', 'one of a partition, too');
is_exact($node, 'postgres', 'after the trigger of the application');

# The partition alone has a trigger that promotes, and the statement names the
# root: the tier is enforced at the end of the statement all the same.
$node->safe_psql(
	'postgres', q{
	CREATE FUNCTION opt_in() RETURNS trigger LANGUAGE plpgsql AS
		$$BEGIN NEW.marketing_contact_status = 'marketing'; RETURN NEW; END$$;
	CREATE TRIGGER opt_in BEFORE UPDATE ON p_us FOR EACH ROW WHEN (NEW.email = 'in') EXECUTE FUNCTION opt_in();
	SELECT contacts_tier.create_plan('small', ARRAY[1]);
	SELECT contacts_tier.subscribe('p', '9', 'small', on_exceed => 'block');
	INSERT INTO p VALUES (21, 'us', 9), (22, 'us', 9);
});
my ($status, $stdout, $stderr) =
  $node->psql('postgres', q{BEGIN; UPDATE p SET email = 'in' WHERE account = 9; SELECT 'too late'; COMMIT});
like($stderr, qr/ERROR:  contact tier of account "9" exceeded/, 'the trigger of a partition exceeds the tier');
is($stdout, '', 'which the statement is told, not the commit');
is_exact($node, 'postgres', 'after that statement');
$node->safe_psql('postgres', 'DELETE FROM p WHERE account = 9');
$node->safe_psql('postgres', 'DROP TRIGGER opt_out ON c');
is(cost(q{UPDATE c SET email = 'x'}), $none, 'when it is gone they are gone');

# AFTER triggers of the application do not, and still fire.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE seen (n integer);
	CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
		$$BEGIN INSERT INTO seen VALUES (1); RETURN NULL; END$$;
	CREATE TRIGGER see_row AFTER UPDATE ON c FOR EACH ROW EXECUTE FUNCTION see();
	CREATE TRIGGER see_statement AFTER UPDATE ON c EXECUTE FUNCTION see();
	CREATE TRIGGER see_before BEFORE UPDATE ON c EXECUTE FUNCTION see();
});
is(cost(q{UPDATE c SET email = 'x'}), $none, 'AFTER triggers and statement triggers do not');
is($node->safe_psql('postgres', 'SELECT count(*) FROM seen'), '12', 'and fire themselves');

# Rows that move to another partition are deleted and inserted.
is( $node->safe_psql(
		'postgres', q{
		UPDATE p SET marketing_contact_status = 'non_marketing';
		CREATE TEMP TABLE before AS SELECT * FROM p;
		UPDATE p SET region = CASE region WHEN 'eu' THEN 'us' ELSE 'eu' END;
		SELECT count(*) FROM p JOIN before b USING (id)
		WHERE p.region <> b.region AND p.email = b.email
		  AND (p.marketing_contact_status, p.marketing_contact_until_next_update,
		       p.marketing_contact_status_source_type, p.marketing_contact_status_source_name,
		       p.marketing_contact_status_updated_at)
		      IS NOT DISTINCT FROM
		      (b.marketing_contact_status, b.marketing_contact_until_next_update,
		       b.marketing_contact_status_source_type, b.marketing_contact_status_source_name,
		       b.marketing_contact_status_updated_at)}),
	'10', 'a move to another partition leaves the status properties alone');
is_exact($node, 'postgres', 'after the move');

# What referential integrity sets is seen.
$node->safe_psql(
	'postgres', q{
	CREATE TABLE a (id integer PRIMARY KEY);
	INSERT INTO a VALUES (1), (2);
	ALTER TABLE c ADD FOREIGN KEY (account) REFERENCES a ON UPDATE CASCADE ON DELETE CASCADE;
	SELECT contacts_tier.subscribe('c', '3', 'c');
	UPDATE a SET id = 3 WHERE id = 1;
});
is($node->safe_psql('postgres', q{SELECT account, marketing_contacts > 0 FROM contacts_tier.usage('c') WHERE account < '9' ORDER BY 1}),
	"1|f\n2|f\n3|t", 'a cascade moves contacts to another account');
is_exact($node, 'postgres', 'after the cascade');

$node->stop;
done_testing();
