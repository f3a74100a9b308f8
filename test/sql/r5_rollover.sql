--
-- R5: what is crafted, fails or says that it is locked costs a warning, and stops
-- neither the other accounts nor the other schemas
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA r5;
CREATE SCHEMA r5_other;
CREATE TABLE r5.contacts (id integer PRIMARY KEY, account text);
CREATE TABLE r5_other.contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.create_plan('r5', '{1000}');
SELECT contacts_tier.attach('r5.contacts', 'account');
SELECT contacts_tier.attach('r5_other.contacts', 'account');
SELECT contacts_tier.subscribe('r5.contacts', a, 'r5', started_at => '2026-01-05 00:00+00') FROM unnest('{a,b}'::text[]) AS a;
SELECT contacts_tier.subscribe('r5_other.contacts', 'c', 'r5', started_at => '2026-01-05 00:00+00');
INSERT INTO r5.contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing'), (2, 'a', 'marketing'), (3, 'b', 'marketing');
INSERT INTO r5_other.contacts (id, account, marketing_contact_status) VALUES (4, 'c', 'marketing');

-- A trigger of the application that raises what its first argument says when account "a" is
-- rolled over, so many times as the second one says
CREATE SEQUENCE r5.raised;
CREATE FUNCTION r5.raise() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.marketing_contact_status_source_type = 'ROLLOVER' AND NEW.id = 2 AND nextval('r5.raised') <= TG_ARGV[1]::bigint THEN
        RAISE EXCEPTION 'raised by the application' USING ERRCODE = TG_ARGV[0];
    END IF;
    RETURN NEW;
END $$;
CREATE PROCEDURE r5.prepare(month date, code text, times bigint) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('contacts_tier.now', month::text || ' 10:00+00', false);
    DROP TRIGGER IF EXISTS raise ON r5.contacts;
    UPDATE r5.contacts SET marketing_contact_status = 'marketing';
    UPDATE r5_other.contacts SET marketing_contact_status = 'marketing';
    UPDATE r5.contacts SET marketing_contact_status = 'non_marketing';
    UPDATE r5_other.contacts SET marketing_contact_status = 'non_marketing';
    EXECUTE format('CREATE TRIGGER raise BEFORE UPDATE ON r5.contacts FOR EACH ROW EXECUTE FUNCTION r5.raise(%L, %L)', code, times);
    PERFORM setval('r5.raised', 1, false), set_config('contacts_tier.now', (month + interval '1 month')::date::text || ' 10:00+00', false);
END $$;
CREATE VIEW r5.contact AS
    SELECT id, account, marketing_contact_status AS status FROM (TABLE r5.contacts UNION ALL TABLE r5_other.contacts) AS c ORDER BY id;
CREATE VIEW r5.drift AS
    SELECT * FROM contacts_tier.verify('r5.contacts') WHERE drift <> 0 OR pending_counted <> pending_actual;

-- a deadlock: tried once more in the same run, with commits and in a block
CALL r5.prepare('2026-02-06', 'deadlock_detected', 2);
CALL contacts_tier.rollover();
TABLE r5.contact;
CALL r5.prepare('2026-03-06', 'deadlock_detected', 2);
BEGIN;
CALL contacts_tier.rollover(batch_size => 1);
COMMIT;
TABLE r5.contact;
TABLE r5.drift;

-- a lock that is never to be had: no failure, and left to the next run
CALL r5.prepare('2026-04-06', 'lock_not_available', 1000000);
CALL contacts_tier.rollover();
TABLE r5.contact;
CALL r5.prepare('2026-05-06', 'lock_not_available', 1000000);
BEGIN;
CALL contacts_tier.rollover('r5.contacts', batch_size => 1);
COMMIT;
TABLE r5.contact;
DROP TRIGGER raise ON r5.contacts;
CALL contacts_tier.rollover();
TABLE r5.contact;
TABLE r5.drift;
SELECT account, count(*) AS periods FROM r5.contacts_tier_ledger WHERE event = 'billing_period' GROUP BY account ORDER BY account;

-- only the user's own wish to stop ends the run, not what anybody's function calls so
CALL r5.prepare('2026-06-06', 'query_canceled', 1000000);
CALL contacts_tier.rollover();
\echo :SQLSTATE
TABLE r5.contact;
CALL r5.prepare('2026-07-06', 'admin_shutdown', 1000000);
CALL contacts_tier.rollover();
\echo :SQLSTATE
TABLE r5.contact;
DROP TRIGGER raise ON r5.contacts;

-- an account whose date stays fails, and is not rolled over for ever; nor is it by a statement
CALL r5.prepare('2026-08-06', 'x', 0);
CREATE FUNCTION r5.stay() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER stay BEFORE UPDATE ON r5.contacts_tier_account FOR EACH ROW EXECUTE FUNCTION r5.stay();
SET statement_timeout = '60s';
CALL contacts_tier.rollover();
TABLE r5.contact;
UPDATE r5.contacts_tier_counter SET granted = used;
INSERT INTO r5.contacts (id, account, marketing_contact_status) SELECT i, 'a', 'marketing' FROM generate_series(11, 1100) i;
RESET statement_timeout;
DROP TRIGGER stay ON r5.contacts_tier_account;
CALL contacts_tier.rollover();
TABLE r5.contact;

-- an account of a type whose text and cast to text differ is found again
CREATE SCHEMA r5_type;
CREATE TYPE r5_type.code AS ENUM ('x', 'y');
CREATE FUNCTION r5_type.as_text(r5_type.code) RETURNS text LANGUAGE sql AS 'SELECT ''no such code''';
CREATE CAST (r5_type.code AS text) WITH FUNCTION r5_type.as_text(r5_type.code);
CREATE TABLE r5_type.contacts (id integer PRIMARY KEY, account r5_type.code);
SELECT contacts_tier.attach('r5_type.contacts', 'account');
SELECT contacts_tier.subscribe('r5_type.contacts', 'x', 'r5');
INSERT INTO r5_type.contacts (id, account, marketing_contact_status, marketing_contact_until_next_update) VALUES (1, 'x', 'marketing', true);
SET contacts_tier.now = '2026-11-06 10:00+00';
CALL contacts_tier.rollover('r5_type.contacts');
SELECT id, account, marketing_contact_status AS status FROM r5_type.contacts;

-- triggers of new partitions are added, in the same run as the date
CREATE TABLE r5_type.parts (id integer, account r5_type.code) PARTITION BY LIST (account);
SELECT contacts_tier.attach('r5_type.parts', 'account');
CREATE TABLE r5_type.part_x PARTITION OF r5_type.parts FOR VALUES IN ('x');
INSERT INTO r5_type.parts (id, account, marketing_contact_status, marketing_contact_until_next_update) VALUES (1, 'x', 'marketing', true);
SET contacts_tier.now = '2026-12-06 10:00+00';
CALL contacts_tier.rollover('r5_type.parts');
SELECT id, account, marketing_contact_status AS status FROM r5_type.parts;
SELECT count(*) > 2 AS has_triggers FROM pg_trigger WHERE tgrelid = 'r5_type.part_x'::regclass;

DROP SCHEMA r5, r5_other, r5_type CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'r5';
