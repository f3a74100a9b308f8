--
-- A ledger that is partitioned, by the recipe in examples/: history stays, and to drop the
-- activity of a month drops no bill (rule L2)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
\set recipe :srcdir '/../examples/partition_ledger.sql'
\set months :srcdir '/../examples/partition_ledger_months.sql'
\set VERBOSITY terse

CREATE ROLE regress_l2_owner;
CREATE ROLE regress_l2_reader;
CREATE SCHEMA "l2 'p'" AUTHORIZATION regress_l2_owner;
GRANT USAGE ON SCHEMA "l2 'p'" TO regress_l2_reader;
SELECT contacts_tier.create_plan('l2', '{100, 1000}', '{1, 2}');
\set owner regress_l2_owner
\set grant_owner :srcdir '/include/grant_owner.sql'
\i :grant_owner
-- contacts with partitions, and a table that shares their companion tables
SET contacts_tier.now = '2020-11-15 10:00+00';
SET ROLE regress_l2_owner;
SET search_path = "l2 'p'", public;
CREATE TABLE contacts (id integer, account text COLLATE "C", PRIMARY KEY (id, account)) PARTITION BY LIST (account);
CREATE TABLE contacts_a PARTITION OF contacts FOR VALUES IN ('a');
CREATE TABLE contacts_other PARTITION OF contacts DEFAULT;
CREATE TABLE leads (id integer PRIMARY KEY, account text COLLATE "C");
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.attach('leads', 'account');
SELECT contacts_tier.subscribe('contacts', a, 'l2', 100, started_at => '2020-11-15') FROM unnest('{a,b}'::text[]) a;
ALTER TRIGGER contacts_tier_truncate ON leads RENAME TO "my 'truncate'";
GRANT SELECT ON contacts_tier_account, contacts_tier_counter, contacts_tier_ledger TO regress_l2_reader;
RESET ROLE;
CREATE PROCEDURE work(at timestamptz, first integer) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('contacts_tier.now', at::text, false);
    SET LOCAL ROLE regress_l2_owner;
    INSERT INTO contacts SELECT i, 'a', 'marketing' FROM generate_series(first, first + 120) i;
    INSERT INTO contacts VALUES (first, 'b', 'marketing');
    DELETE FROM contacts WHERE account = 'b' AND id = first;
    INSERT INTO leads VALUES (first, 'b', 'marketing');
END $$;
CALL work('2020-11-16 10:00+00', 1000);
CALL work('2020-12-14 10:00+00', 2000);
SET contacts_tier.now = '2020-12-15 00:10+00';
CALL contacts_tier.rollover('contacts');
CALL work('2021-01-09 10:00+00', 3000);
SET contacts_tier.now = '2021-01-15 10:00+00';
CALL contacts_tier.rollover('contacts');
CREATE VIEW activity AS SELECT account, recorded_at, created, deleted, promoted, statements FROM contacts_tier.activity('contacts') ORDER BY 1, 2, 3 DESC, 4;
TABLE activity;
CREATE TABLE before AS SELECT * FROM contacts_tier_ledger;
CREATE TABLE activity_before AS TABLE activity;
CREATE TABLE bills_before AS SELECT b.*, b.contacts::text AS name FROM contacts_tier.billing_periods('contacts') b;
SELECT count(*), count(*) FILTER (WHERE closed), sum(total) FROM bills_before;
GRANT SELECT ON before, activity, activity_before, bills_before TO regress_l2_owner;

-- the recipe, as the owner
SET ROLE regress_l2_owner;
\set schema 'l2 ''p'''
\set ECHO errors
\i :recipe
\set ECHO all
SET search_path = "l2 'p'", public;
-- nothing is lost
(TABLE before EXCEPT TABLE contacts_tier_ledger) UNION ALL (TABLE contacts_tier_ledger EXCEPT TABLE before);
(TABLE activity_before EXCEPT TABLE activity) UNION ALL (TABLE activity EXCEPT TABLE activity_before);
SELECT tableoid::regclass, event, count(*) FROM contacts_tier_ledger GROUP BY 1, 2 ORDER BY min(tableoid::regclass::text COLLATE "C"), 2;
-- nobody may change it, and who could read it still can
SELECT c.relname, p FROM pg_class c, unnest('{INSERT,UPDATE,DELETE,TRUNCATE}'::text[]) p
 WHERE c.oid IN (SELECT relid FROM pg_partition_tree('contacts_tier_ledger')) AND has_table_privilege('regress_l2_owner', c.oid, p) ORDER BY 1, 2;
SET ROLE regress_l2_reader;
SELECT count(*) > 0 AS reads FROM contacts_tier.tier_changes('contacts');
SET ROLE regress_l2_owner;
-- the tables depend on it, and on no other
DROP TABLE contacts_tier_ledger;
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgfoid = 'contacts_tier_internal.count_truncate'::regproc
   AND tgrelid::regclass::text !~ 'regress' ORDER BY tgrelid::regclass::text;

-- it works as before
RESET ROLE;
CALL work('2021-02-10 10:00+00', 4000);
CALL work('2021-05-10 10:00+00', 5000);
SET ROLE regress_l2_owner;
SELECT account, drift FROM contacts_tier.verify('contacts', record => true) WHERE drift <> 0;
UPDATE contacts SET marketing_contact_until_next_update = true WHERE id < 1010;
RESET ROLE;
SET contacts_tier.now = '2021-05-15 10:00+00';
SET ROLE regress_l2_owner;
CALL contacts_tier.rollover('contacts');
RESET ROLE;
SET session_replication_role = replica;
DELETE FROM contacts WHERE id = 1020;
SET session_replication_role = DEFAULT;
SET ROLE regress_l2_owner;
SELECT account, drift FROM contacts_tier.repair('contacts');
SELECT account, count(*), max(closing) FROM contacts_tier.billing_periods('contacts') WHERE closed GROUP BY 1 ORDER BY 1;
SELECT tableoid::regclass, event, count(*) FROM contacts_tier_ledger WHERE recorded_at > '2021-02-01' GROUP BY 1, 2 ORDER BY min(tableoid::regclass::text COLLATE "C"), 2;
RESET ROLE;
SELECT schema, readable, last_rollover_at, drift FROM contacts_tier.metrics();
SET ROLE regress_l2_owner;
-- a range of time reads the partitions of that time
EXPLAIN (COSTS OFF) SELECT * FROM contacts_tier_ledger WHERE event = 'activity' AND account = 'a' AND recorded_at >= '2020-12-01' AND recorded_at < '2021-01-01';
SELECT account, recorded_at, created FROM contacts_tier.activity('contacts', 'a', '2020-12-01', '2021-01-01') ORDER BY 1, 2, 3;

-- small statements are folded, as where the ledger is not partitioned, if nothing can refuse an entry
RESET ROLE;
CREATE FUNCTION folds(first integer, OUT folds boolean) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO contacts VALUES (first, 'b', 'marketing');
    folds := EXISTS (SELECT FROM contacts_tier_counter WHERE entry_started_at = contacts_tier.clock());
END $$;
SET contacts_tier.now = '2021-05-20 10:00+00';
SELECT folds(6001);
SET contacts_tier.now = '2021-05-20 10:01+00';
SELECT folds(6002);
SELECT tableoid::regclass, created, statements FROM (SELECT *, tableoid, details->'created' AS created, details->'statements' AS statements
  FROM contacts_tier_ledger WHERE recorded_at = '2021-05-20 10:00+00') l;
-- a constraint on a partition; a trigger; no default partition; a partial index of a partition alone
SET contacts_tier.now = '2021-05-20 10:02+00';
ALTER TABLE contacts_tier_ledger_activity_other ADD CHECK (contacts < 1000);
SELECT folds(6003);
ALTER TABLE contacts_tier_ledger_activity_other DROP CONSTRAINT contacts_tier_ledger_activity_other_contacts_check;
SELECT folds(6004);
SET contacts_tier.now = '2021-05-20 10:03+00';
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER see BEFORE INSERT ON contacts_tier_ledger_events FOR EACH ROW EXECUTE FUNCTION see();
SELECT folds(6005);
DROP TRIGGER see ON contacts_tier_ledger_events;
VACUUM contacts_tier_ledger_events;
SELECT folds(6006);
SET contacts_tier.now = '2021-05-20 10:04+00';
CREATE INDEX partial ON contacts_tier_ledger_activity_2021_02 (entry) WHERE contacts / 1 > 0;
SELECT folds(6007);
DROP INDEX partial;
-- a unique index of a partition alone, which can refuse an entry
CREATE UNIQUE INDEX once ON contacts_tier_ledger_activity_other (recorded_at, role, entry);
SELECT folds(6050);
DROP INDEX once;
SELECT folds(6008);
SET contacts_tier.now = '2021-05-20 10:05+00';
ALTER TABLE contacts_tier_ledger_activity DETACH PARTITION contacts_tier_ledger_activity_other;
CREATE TABLE contacts_tier_ledger_activity_2021_05 PARTITION OF contacts_tier_ledger_activity FOR VALUES FROM ('2021-05-01') TO ('2021-06-01');
SELECT folds(6009);
DROP TABLE contacts_tier_ledger_activity_2021_05;
ALTER TABLE contacts_tier_ledger_activity ATTACH PARTITION contacts_tier_ledger_activity_other DEFAULT;
SELECT folds(6010);
SET ROLE regress_l2_owner;
SELECT account, drift FROM contacts_tier.verify('contacts') WHERE drift <> 0;

-- months to come, as pg_cron creates them; again, it has nothing to do
\set ECHO errors
\i :months
\i :months
\set ECHO all
SELECT count(*) AS months FROM pg_partition_tree('contacts_tier_ledger_activity') WHERE relid::regclass::text ~ to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM');
SELECT count(*) AS changeable FROM pg_partition_tree('contacts_tier_ledger') WHERE has_table_privilege('regress_l2_owner', relid, 'UPDATE, DELETE, TRUNCATE');
-- a month is dropped, and no bill
CREATE TABLE bills AS SELECT b.*, b.contacts::text AS name FROM contacts_tier.billing_periods('contacts') b;
DROP TABLE contacts_tier_ledger_activity_2020_11;
SELECT * FROM activity WHERE recorded_at < '2021-01-01';
(SELECT account, period_start, total, promoted, closing FROM bills_before WHERE closed)
EXCEPT SELECT account, period_start, total, promoted, closing FROM contacts_tier.billing_periods('contacts');
SELECT count(*) FROM bills;
-- and so does prune_ledger()
SELECT contacts_tier.prune_ledger('contacts', '2021-01-09 10:00+00', 1);
SELECT contacts_tier.prune_ledger('contacts', '2021-01-09 10:00+00');
SELECT min(recorded_at) FROM activity;
SELECT count(*) FROM bills;

-- a table that is detached, and attached to this ledger
SELECT contacts_tier.detach('leads');
GRANT ALL ON contacts_tier_ledger_events TO regress_l2_owner;
SELECT contacts_tier.attach('leads', 'account');
SELECT count(*) AS changeable FROM pg_partition_tree('contacts_tier_ledger') WHERE has_table_privilege('regress_l2_owner', relid, 'UPDATE, DELETE, TRUNCATE');
SELECT account, drift FROM contacts_tier.verify('contacts') WHERE drift <> 0;

RESET ROLE;
RESET search_path;
SET client_min_messages = error;
DROP SCHEMA "l2 'p'" CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'l2';
DROP OWNED BY regress_l2_owner, regress_l2_reader;
DROP ROLE regress_l2_owner, regress_l2_reader;
