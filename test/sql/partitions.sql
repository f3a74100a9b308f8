--
-- Partitioned tables (rule S6): through the root and straight into a
-- partition
-- (also rule S7)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
SET contacts_tier.source_name = 'partitions';

CREATE SCHEMA partitions;
SET search_path = partitions, public;
SELECT contacts_tier.create_plan('partitions', '{4, 1000}');
CREATE TABLE contacts (id integer, account text, region text, email text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE contacts_eu PARTITION OF contacts FOR VALUES IN ('eu') PARTITION BY RANGE (id);
CREATE TABLE contacts_eu_low PARTITION OF contacts_eu FOR VALUES FROM (0) TO (1000);
CREATE TABLE contacts_eu_high PARTITION OF contacts_eu FOR VALUES FROM (1000) TO (2000);
-- one whose columns come in another order, and that had others before
CREATE TABLE contacts_us (junk integer, email text, region text NOT NULL, account text, id integer NOT NULL);
ALTER TABLE contacts_us DROP COLUMN junk;
ALTER TABLE contacts ATTACH PARTITION contacts_us FOR VALUES IN ('us');
INSERT INTO contacts VALUES (1, 'old', 'eu', 'before'), (2, 'old', 'us', 'before');
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'partitions', 1000);
SELECT contacts_tier.subscribe('contacts', 'block', 'partitions', 4, on_exceed => 'block');

CREATE VIEW contact AS
    SELECT tableoid::regclass AS partition, id, account, marketing_contact_status AS status,
           marketing_contact_until_next_update AS until, marketing_contact_status_source_type AS source_type,
           marketing_contact_status_updated_at AS updated_at
      FROM contacts ORDER BY id;
-- empty while counters and contacts agree
CREATE VIEW drift AS
    SELECT * FROM contacts_tier.verify('partitions.contacts')
     WHERE drift <> 0 OR pending_counted <> pending_actual;
-- one table is attached, not its partitions
SELECT contacts, companion_schema FROM contacts_tier.attached() WHERE companion_schema = 'partitions';
-- each function says so of a partition, whoever may call it; one of another table is not attached
SELECT * FROM contacts_tier.usage('contacts_us', 'a');
SELECT * FROM contacts_tier.repair('contacts_eu_low');
SELECT contacts_tier.set_condition('contacts_us', 'exists', 'true');
SELECT contacts_tier.set_policy('contacts_us', 'a', grace => 0);
CREATE TABLE plain (id integer) PARTITION BY LIST (id);
CREATE TABLE plain_1 PARTITION OF plain FOR VALUES IN (1);
SELECT * FROM contacts_tier.usage('plain_1', 'a');
SELECT contacts_tier.set_policy('plain_1', 'a', grace => 0);
TABLE contact;


-- Through the root
INSERT INTO contacts (id, account, region, marketing_contact_status) VALUES
    (10, 'a', 'eu', 'marketing'), (1010, 'a', 'eu', 'marketing'), (11, 'a', 'us', 'marketing'), (12, 'a', 'us', NULL);
COPY contacts (id, account, region, marketing_contact_status, marketing_contact_until_next_update) FROM stdin;
13	a	eu	marketing	true
1013	a	eu	marketing	false
14	a	us	non_marketing	true
\.
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id IN (10, 11, 12);
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id IN (12, 13);
INSERT INTO contacts (id, account, region, marketing_contact_status) VALUES (11, 'a', 'us', 'marketing'), (15, 'a', 'us', 'marketing')
    ON CONFLICT (id, region) DO UPDATE SET marketing_contact_status = 'marketing';
MERGE INTO contacts c USING (VALUES (13, 'eu'), (16, 'us'), (1016, 'eu')) AS s (id, region) ON c.id = s.id AND c.region = s.region
 WHEN MATCHED THEN DELETE
 WHEN NOT MATCHED THEN INSERT (id, account, region, marketing_contact_status) VALUES (s.id, 'a', s.region, 'marketing');
DELETE FROM contacts WHERE id = 1010;
UPDATE contacts SET email = 'root';
TABLE contact;
SELECT account, counted, actual FROM contacts_tier.verify('contacts') ORDER BY account;
TABLE drift;


-- Straight into a partition, at any level
INSERT INTO contacts_us (id, account, region, marketing_contact_status, marketing_contact_until_next_update) VALUES
    (21, 'a', 'us', 'marketing', true), (22, 'a', 'us', 'non_marketing', true), (23, 'a', 'us', NULL, NULL);
INSERT INTO contacts_eu (id, account, region, marketing_contact_status) VALUES (24, 'a', 'eu', 'marketing'), (1025, 'a', 'eu', 'marketing');
COPY contacts_eu_low (id, account, region, marketing_contact_status) FROM stdin;
25	a	eu	marketing
26	a	eu	\N
\.
UPDATE contacts_us SET marketing_contact_status = CASE WHEN id = 23 THEN 'marketing' ELSE 'non_marketing' END::contacts_tier.marketing_status;
UPDATE contacts_eu_low SET account = 'block' WHERE id IN (24, 25);
DELETE FROM contacts_us WHERE id = 21;
UPDATE ONLY contacts_eu_high SET email = 'leaf';
TABLE contact;
SELECT account, counted, actual FROM contacts_tier.verify('contacts') ORDER BY account;
TABLE drift;
-- the tier is enforced there at the end of the statement, and the error names
-- the table that is attached
INSERT INTO contacts_eu_low (id, account, region, marketing_contact_status) SELECT n, 'block', 'eu', 'marketing' FROM generate_series(31, 33) AS n;
\echo :SQLSTATE
DO $$
DECLARE
    schema_name text;
    table_name text;
BEGIN
    INSERT INTO partitions.contacts_us (id, account, region, marketing_contact_status) SELECT n, 'block', 'us', 'marketing' FROM generate_series(31, 33) AS n;
EXCEPTION WHEN SQLSTATE 'MC001' THEN
    GET STACKED DIAGNOSTICS schema_name = SCHEMA_NAME, table_name = TABLE_NAME;
    RAISE WARNING '%.%', schema_name, table_name;
END $$;
INSERT INTO contacts_eu_low (id, account, region, marketing_contact_status) SELECT n, 'block', 'eu', 'marketing' FROM generate_series(31, 32) AS n;
SELECT account, marketing_contacts, available FROM contacts_tier.usage('contacts', 'block');
TABLE drift;


-- Rows that move between partitions keep status, flag, source and time, also
-- those that nobody has set a status of yet
SET contacts_tier.now = '2026-01-11 11:00+00';
CREATE TEMP TABLE before AS SELECT id, account, status, until, source_type, updated_at FROM contact;
UPDATE contacts SET region = CASE region WHEN 'us' THEN 'eu' ELSE 'us' END WHERE id < 1000 AND (id % 2 = 0 OR id = 1);
SELECT id, partition FROM contact WHERE id < 1000 AND (id % 2 = 0 OR id = 1);
SELECT 'changed', c.* FROM (SELECT id, account, status, until, source_type, updated_at FROM contact EXCEPT TABLE before) AS c ORDER BY id;
TABLE drift;
-- with the status, with the account, and the other way round, in one statement
UPDATE contacts SET region = 'us', marketing_contact_status = 'non_marketing' WHERE id IN (10, 22);
UPDATE contacts SET region = 'eu', account = 'a' WHERE id IN (24, 32);
UPDATE contacts SET region = CASE region WHEN 'us' THEN 'eu' ELSE 'us' END, marketing_contact_status = 'marketing' WHERE id IN (12, 14);
UPDATE contacts_eu SET id = id + 1000 WHERE id IN (24, 32);
SELECT * FROM contact WHERE id IN (10, 12, 14, 22, 1024, 1032);
TABLE drift;
-- a full tier does not stand in the way of moving
SELECT account, marketing_contacts, available FROM contacts_tier.usage('contacts', 'block');
INSERT INTO contacts (id, account, region, marketing_contact_status) VALUES (34, 'block', 'eu', 'marketing'), (35, 'block', 'us', 'marketing');
UPDATE contacts SET region = CASE region WHEN 'us' THEN 'eu' ELSE 'us' END WHERE account = 'block';
SELECT partition, count(*) FROM contact WHERE account = 'block' GROUP BY partition ORDER BY partition::text;
TABLE drift;


-- A partition that is created after attach: rows count from the first one
CREATE TABLE contacts_asia PARTITION OF contacts FOR VALUES IN ('asia');
INSERT INTO contacts (id, account, region, marketing_contact_status) VALUES (41, 'a', 'asia', 'marketing');
INSERT INTO contacts_asia (id, account, region, marketing_contact_status) VALUES (42, 'a', 'asia', 'marketing'), (43, 'a', 'asia', NULL);
UPDATE contacts_asia SET marketing_contact_status = 'non_marketing' WHERE id = 42;
UPDATE contacts SET region = 'asia' WHERE id = 11;
DELETE FROM contacts_asia WHERE id = 41;
SELECT * FROM contact WHERE partition = 'contacts_asia'::regclass;
TABLE drift;
-- with savepoints and errors: what is rolled back is not counted at the commit
BEGIN;
INSERT INTO contacts_asia (id, account, region, marketing_contact_status) VALUES (44, 'a', 'asia', 'marketing');
SAVEPOINT s;
INSERT INTO contacts_asia (id, account, region, marketing_contact_status) SELECT n, 'a', 'asia', 'marketing' FROM generate_series(100, 199) AS n;
ROLLBACK TO s;
SAVEPOINT t;
DELETE FROM contacts_asia WHERE id = 11;
RELEASE t;
COMMIT;
TABLE drift;
-- the tier holds at the end of the statement
INSERT INTO contacts_asia (id, account, region, marketing_contact_status) SELECT n, 'block', 'asia', 'marketing' FROM generate_series(100, 104) AS n;
\echo :SQLSTATE
SELECT account, marketing_contacts, contact_limit FROM contacts_tier.usage('contacts', 'block');
TABLE drift;
-- it has the statement triggers of the others, so that TRUNCATE straight of that
-- partition is counted
INSERT INTO contacts_asia (id, account, region, marketing_contact_status) VALUES (45, 'a', 'asia', 'marketing');
TRUNCATE contacts_asia;
TABLE drift;
-- and repair() finds nothing to mend
SELECT count(*) FROM contacts_tier.repair('contacts');
TABLE drift;
INSERT INTO contacts_asia (id, account, region, marketing_contact_status) SELECT n, 'block', 'asia', 'marketing' FROM generate_series(100, 104) AS n;
\echo :SQLSTATE
INSERT INTO contacts_asia (id, account, region, marketing_contact_status) VALUES (46, 'a', 'asia', 'marketing');
TRUNCATE contacts_asia;
TABLE drift;


-- TRUNCATE of the root, of one partition, and of a partition that has partitions
CREATE TABLE contacts_africa PARTITION OF contacts FOR VALUES IN ('africa');
INSERT INTO contacts (id, account, region, marketing_contact_status, marketing_contact_until_next_update)
    SELECT n, 'a', (ARRAY['eu', 'us', 'asia', 'africa'])[n % 4 + 1], 'marketing', n % 3 = 0 FROM generate_series(600, 1600) AS n WHERE n % 100 BETWEEN 40 AND 60;
SELECT counted > 0 AS counted FROM contacts_tier.verify('contacts') WHERE account = 'a';
TRUNCATE contacts_us;
TABLE drift;
TRUNCATE contacts_eu;
TABLE drift;
BEGIN;
TRUNCATE contacts;
SELECT account, counted, actual FROM contacts_tier.verify('contacts') ORDER BY account;
ROLLBACK;
TABLE drift;
TRUNCATE contacts;
SELECT account, counted, actual, pending_counted FROM contacts_tier.verify('contacts') ORDER BY account;


-- Rollover in batches over all partitions
INSERT INTO contacts (id, account, region, marketing_contact_status, marketing_contact_until_next_update)
    SELECT n, 'a', (ARRAY['eu', 'us', 'asia', 'africa'])[n % 4 + 1], 'marketing', n % 5 <> 0 FROM generate_series(990, 1029) AS n;
SET contacts_tier.now = '2026-02-11 11:00+00';
CALL contacts_tier.rollover('contacts', batch_size => 7);
SELECT partition, status, until, count(*) FROM contact GROUP BY partition, status, until ORDER BY partition::text, status;
TABLE drift;


-- Partitions that are attached and detached with rows in them are counted in and
-- taken off, and repair() finds nothing to mend
ALTER TABLE contacts DETACH PARTITION contacts_us;
TABLE drift;
SELECT account, counted, actual, drift FROM contacts_tier.repair('contacts');
TABLE drift;
-- what is detached is an ordinary table again, also for TRUNCATE
BEGIN;
TRUNCATE contacts_us;
TABLE drift;
ROLLBACK;
INSERT INTO contacts_us (id, account, region, marketing_contact_status) VALUES (51, 'a', 'us', 'marketing'), (52, 'a', 'us', 'marketing');
TABLE drift;
ALTER TABLE contacts ATTACH PARTITION contacts_us FOR VALUES IN ('us');
TABLE drift;
SELECT account, counted, actual, drift FROM contacts_tier.repair('contacts');
TABLE drift;
UPDATE contacts_us SET marketing_contact_status = 'non_marketing';
TABLE drift;


-- A partition itself is neither attached nor managed
SELECT contacts_tier.attach('contacts_eu', 'account');
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts_us', 'b', 'partitions');
\echo :SQLSTATE
SELECT contacts_tier.detach('contacts_us');
\echo :SQLSTATE

-- detach takes all of it back
DROP VIEW drift, contact;
SELECT contacts_tier.detach('contacts', true);
SELECT account, sum(used) AS used FROM contacts_tier_counter GROUP BY account ORDER BY account;
SELECT count(*) FROM pg_trigger WHERE tgrelid IN (SELECT relid FROM pg_partition_tree('contacts')) AND NOT tgisinternal;
SELECT attname FROM pg_attribute WHERE attrelid = 'contacts_us'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;
SELECT count(*) FROM contacts;

DROP SCHEMA partitions CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'partitions';
