--
-- A backend's memory is bounded (rule R8): what it remembers of companion tables does
-- not grow with the number of schemas that it visits
--
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET contacts_tier.now = '2026-01-10 10:00+00';
SELECT contacts_tier.create_plan('r8', '{1, 2, 9}');
CREATE PROCEDURE make_schemas(count integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..count LOOP
        EXECUTE format('CREATE SCHEMA r8_%s', i);
        EXECUTE format('CREATE TABLE r8_%s.contacts (id integer PRIMARY KEY, account text)', i);
        EXECUTE format('SELECT contacts_tier.attach(''r8_%s.contacts'', ''account'')', i);
        EXECUTE format('SELECT contacts_tier.subscribe(''r8_%s.contacts'', ''a'', ''r8'')', i);
        COMMIT;
    END LOOP;
END
$$;
-- writes by all ways: with and without a status, to the next tier, and back
CREATE PROCEDURE visit(first integer, last integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN first..last LOOP
        EXECUTE format('INSERT INTO r8_%s.contacts (id, account, marketing_contact_status) SELECT n, ''a'', ''marketing'' FROM generate_series(1, 2) n', i);
        EXECUTE format('INSERT INTO r8_%s.contacts (id, account, marketing_contact_status_source_type) VALUES (3, ''a'', ''CHATFLOW'')', i);
        EXECUTE format('UPDATE r8_%s.contacts SET marketing_contact_status = ''non_marketing'' WHERE id = 1', i);
        EXECUTE format('DELETE FROM r8_%s.contacts WHERE id = 2', i);
        COMMIT;
    END LOOP;
END
$$;
-- what is kept of the extension, the plans of its statements included
CREATE VIEW kept AS
    SELECT sum(used_bytes) AS bytes FROM pg_backend_memory_contexts
     WHERE name LIKE 'contacts_tier%' OR name LIKE 'CachedPlan%' OR name = 'SPI Plan';
CALL make_schemas(60);
\c -
SET client_min_messages = warning;
SET contacts_tier.now = '2026-01-10 10:00+00';
CALL visit(1, 10);
SELECT bytes AS few FROM kept \gset
SELECT :few > 0 AS measured;
CALL visit(11, 60);
SELECT bytes <= 2 * :few AS bounded, CASE WHEN bytes > 2 * :few THEN format('%s after %s', bytes, :few) END AS excess FROM kept;
-- what was forgotten is found again
UPDATE r8_1.contacts SET marketing_contact_status = 'marketing' WHERE id = 3;
SELECT account, counted, actual, pending_counted, pending_actual FROM contacts_tier.verify('r8_1.contacts');
-- in one transaction, too, plans are not kept for all
BEGIN;
DO $$
BEGIN
    FOR i IN 1..60 LOOP
        EXECUTE format('INSERT INTO r8_%s.contacts (id, account, marketing_contact_status) SELECT n, ''a'', ''marketing'' FROM generate_series(11, 13) n', i);
    END LOOP;
END
$$;
SELECT count(*) <= 16 * 14 AS bounded FROM pg_backend_memory_contexts WHERE name = 'SPI Plan';
ROLLBACK;
-- many accounts, of one schema
INSERT INTO r8_2.contacts (id, account) SELECT n, n::text FROM generate_series(100, 20000) n;
SELECT bytes <= 2 * :few AS bounded FROM kept;
-- nor does a COPY need more for more rows
CREATE TABLE r8_3.used (bytes bigint);
CREATE FUNCTION r8_3.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO r8_3.used SELECT sum(used_bytes) FROM pg_backend_memory_contexts;
    RETURN NULL;
END
$$;
CREATE TRIGGER note AFTER INSERT ON r8_3.contacts FOR EACH STATEMENT EXECUTE FUNCTION r8_3.note();
SELECT contacts_tier.set_policy('r8_3.contacts', 'a', source_defaults => '{"IMPORT": "non_marketing"}');
SET contacts_tier.fast_path = on;
COPY r8_3.contacts (id, account, marketing_contact_status_source_type) FROM PROGRAM 'seq -f "%.0f a IMPORT" 10 19' (DELIMITER ' ');
COPY r8_3.contacts (id, account, marketing_contact_status_source_type) FROM PROGRAM 'seq -f "%.0f a IMPORT" 100 100000' (DELIMITER ' ');
-- where a library has a hook on commands before ours, COPY queues events of triggers
SELECT CASE current_setting('shared_preload_libraries') WHEN '' THEN 500000 ELSE 4000000 END AS bound \gset
SELECT max(bytes) - min(bytes) <= :bound AS bounded, CASE WHEN max(bytes) - min(bytes) > :bound THEN max(bytes) - min(bytes) END AS excess
  FROM r8_3.used;

SET client_min_messages = error;
DO $$BEGIN FOR i IN 1..60 LOOP EXECUTE format('DROP SCHEMA r8_%s CASCADE', i); IF i % 20 = 0 THEN COMMIT; END IF; END LOOP; END$$;
DROP VIEW kept;
DROP PROCEDURE make_schemas(integer);
DROP PROCEDURE visit(integer, integer);
DELETE FROM contacts_tier.plan WHERE name = 'r8';
