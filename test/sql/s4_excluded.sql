--
-- EXCLUDED carries what was given (rule S4): as a whole, in partitions, where the
-- status trigger does not fire, and without costs that add up
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA s4_excluded;
SET search_path = s4_excluded, public;
SELECT contacts_tier.create_plan('s4_excluded', '{1000}');
CREATE TABLE contacts (id integer, region text, account text, note text, document jsonb, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE contacts_eu PARTITION OF contacts FOR VALUES IN ('eu');
-- one whose columns come in another order, and that had others before
CREATE TABLE contacts_us (junk integer, document jsonb, note text, region text NOT NULL, account text, id integer NOT NULL);
ALTER TABLE contacts_us DROP COLUMN junk;
ALTER TABLE contacts ATTACH PARTITION contacts_us FOR VALUES IN ('us');
ALTER TABLE contacts ADD COLUMN gone integer, ADD COLUMN score numeric(6, 2);
ALTER TABLE contacts DROP COLUMN gone;
SELECT contacts_tier.attach('contacts', 'account', columns => '{"status": "status", "until_next_update": "until", "source_type": "source", "source_name": "name", "updated_at": "since"}');
SELECT contacts_tier.subscribe('contacts', 'a', 's4_excluded');
CREATE VIEW contact AS SELECT id, region, note, status, until, source, name FROM contacts ORDER BY id, region;
CREATE VIEW drift AS
    SELECT * FROM contacts_tier.verify('s4_excluded.contacts') WHERE drift <> 0 OR pending_counted <> pending_actual;
INSERT INTO contacts (id, region, account, status, name)
    SELECT n, region, 'a', 'marketing', 'import' FROM generate_series(1, 4) AS n, (VALUES ('eu'), ('us')) AS r (region);


-- EXCLUDED as a whole
INSERT INTO contacts (id, region, account, score) VALUES (1, 'eu', 'a', 1.5), (1, 'us', 'a', 2.5)
    ON CONFLICT (id, region) DO UPDATE SET document = to_jsonb(EXCLUDED);
INSERT INTO contacts (id, region, account, status, until, source) VALUES (2, 'eu', 'a', 'marketing', true, 'IMPORT'), (2, 'us', 'a', 'non_marketing', NULL, NULL)
    ON CONFLICT (id, region) DO UPDATE SET document = to_jsonb(EXCLUDED.*), note = (EXCLUDED).region
    WHERE EXCLUDED IS NOT NULL OR (SELECT to_jsonb(EXCLUDED) ->> 'status') IS NOT NULL;
SELECT id, region, note, document FROM contacts WHERE document IS NOT NULL ORDER BY id, region;
-- nothing comes of what was not given, by whatever way
INSERT INTO contacts (id, region, account) VALUES (3, 'eu', 'a'), (3, 'us', 'a')
    ON CONFLICT (id, region) DO UPDATE SET
        status = (jsonb_populate_record(NULL::contacts, to_jsonb(EXCLUDED))).status,
        (source, name) = (SELECT (x).source, (x).name FROM (SELECT EXCLUDED AS x) AS s);
TABLE contact;
TABLE drift;


-- Where the status trigger does not fire, as in a restore, EXCLUDED is what was given
BEGIN;
SET LOCAL session_replication_role = replica;
INSERT INTO contacts (id, region, account, status, until, source, name, since) VALUES
    (3, 'eu', 'a', 'marketing', true, 'WORKFLOW', 'elsewhere', '2026-01-09'),
    (4, 'us', 'a', 'marketing', true, 'WORKFLOW', 'elsewhere', '2026-01-09')
    ON CONFLICT (id, region) DO UPDATE SET status = EXCLUDED.status, until = EXCLUDED.until, source = EXCLUDED.source, name = EXCLUDED.name;
TABLE contact;
ROLLBACK;
BEGIN;
ALTER TABLE contacts DISABLE TRIGGER zz_contacts_tier_status;
INSERT INTO contacts (id, region, account, status, until, source, name) VALUES (4, 'eu', 'a', 'marketing', NULL, 'WORKFLOW', 'elsewhere')
    ON CONFLICT (id, region) DO UPDATE SET status = EXCLUDED.status, note = EXCLUDED.source, name = EXCLUDED.name;
SELECT note, status FROM contact WHERE id = 4;
ROLLBACK;


-- The first statement of a session that names all columns: the library is loaded when the
-- executor has started it
\c -
INSERT INTO s4_excluded.contacts_eu (id, region, account, note, status, until, source, name, since)
    VALUES (4, 'eu', 'a', 'first', NULL, NULL, NULL, NULL, NULL)
    ON CONFLICT (id, region) DO UPDATE SET note = EXCLUDED.note, status = EXCLUDED.status, name = EXCLUDED.name;
\c -
INSERT INTO s4_excluded.contacts_us (id, region, account, note, document, score, status, until, source, name, since)
    VALUES (5, 'us', 'a', 'first', NULL, NULL, 'marketing', NULL, NULL, 'import', NULL);
SET search_path = s4_excluded, public;
SET client_min_messages = warning;
SET contacts_tier.now = '2026-01-10 10:00+00';
SELECT * FROM contact WHERE note = 'first';
TABLE drift;


-- A function that runs such a statement for each row of another leaves nothing behind
CREATE FUNCTION upsert(id integer) RETURNS integer LANGUAGE sql AS $$
    INSERT INTO contacts (id, region, account, note) VALUES (id, 'eu', 'a', 'again')
        ON CONFLICT (id, region) DO UPDATE SET note = EXCLUDED.note, status = EXCLUDED.status RETURNING id;
$$;
CREATE FUNCTION memory() RETURNS numeric LANGUAGE sql VOLATILE AS 'SELECT sum(used_bytes) FROM pg_backend_memory_contexts';
WITH run AS MATERIALIZED
    (SELECT n, upsert(1 + n % 4), CASE WHEN n IN (100, 2100) THEN memory() END AS bytes FROM generate_series(1, 2100) AS n)
SELECT max(bytes) - min(bytes) < 1000000 AS bounded, CASE WHEN max(bytes) - min(bytes) >= 1000000 THEN max(bytes) - min(bytes) END AS excess FROM run;
-- nor does one that signs each row by another name
CREATE FUNCTION sign(n integer) RETURNS text LANGUAGE sql AS $$ SELECT set_config('contacts_tier.source_name', repeat('name ', 100) || n, true) $$;
CREATE TABLE measured (n integer, bytes numeric);
CREATE FUNCTION measure(n integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    PERFORM sign(n);
    IF n % 2000 = 100 THEN
        INSERT INTO s4_excluded.measured VALUES (n, s4_excluded.memory());
    END IF;
    RETURN n;
END $$;
INSERT INTO contacts_eu (id, region, account) SELECT measure(n) + 1000, 'eu', 'a' FROM generate_series(1, 4100) AS n;
SELECT count(*), max(bytes) - min(bytes) < 1000000 AS bounded, CASE WHEN max(bytes) - min(bytes) >= 1000000 THEN max(bytes) - min(bytes) END AS excess FROM measured;
SELECT count(DISTINCT name) FROM contacts WHERE id > 1000;
TABLE drift;

DROP SCHEMA s4_excluded CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 's4_excluded';
