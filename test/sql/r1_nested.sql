--
-- Notes and second writes where statements meet (rules R1 and R2): cascades, the first
-- statement of a session, rollbacks of what has borrowed
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA r1_nested;
SET search_path = r1_nested, public;
SELECT contacts_tier.create_plan('r1_nested', '{3, 1000}');
CREATE TABLE contacts (id integer PRIMARY KEY, account text, parent integer REFERENCES contacts ON UPDATE CASCADE);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'r1_nested', 3, on_exceed => 'cap');
CREATE VIEW contact AS SELECT id, account, parent, marketing_contact_status AS status FROM contacts ORDER BY id;
CREATE VIEW drift AS
    SELECT * FROM contacts_tier.verify('r1_nested.contacts') WHERE drift <> 0 OR pending_counted <> pending_actual;


-- A cascade mends rows before the statement that caused it does: each knows its own.  Which
-- contacts come last depends on when the statement's own row is counted, before its foreign
-- keys fire or after them.
SET contacts_tier.fast_path = on;
CREATE FUNCTION promote() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.marketing_contact_status = 'marketing';
    RETURN NEW;
END $$;
INSERT INTO contacts (id, account, parent) SELECT n, 'a', CASE WHEN n > 1 THEN 1 END FROM generate_series(1, 7) AS n;
CREATE TRIGGER zzz_promote BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION promote();
SET contacts_tier.now = '2026-01-10 11:00+00';
BEGIN;
MERGE INTO contacts c USING (VALUES (1)) AS s (id) ON c.id = s.id WHEN MATCHED THEN UPDATE SET id = 11;
TABLE contact;
TABLE drift;
ROLLBACK;
-- two levels of it
BEGIN;
UPDATE contacts SET parent = id - 1 WHERE id > 1;
SET contacts_tier.now = '2026-01-10 12:00+00';
MERGE INTO contacts c USING (VALUES (1), (2), (3)) AS s (id) ON c.id = s.id WHEN MATCHED THEN UPDATE SET id = 10 + c.id;
TABLE contact;
TABLE drift;
ROLLBACK;
DROP TRIGGER zzz_promote ON contacts;
RESET contacts_tier.fast_path;


-- A second write fires statement triggers where it writes, not where it looks
CREATE TABLE parted (id integer, account text, region text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu');
CREATE TABLE parted_us PARTITION OF parted FOR VALUES IN ('us');
SELECT contacts_tier.attach('parted', 'account');
CREATE FUNCTION untouched() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING '% % of %', TG_WHEN, TG_OP, TG_TABLE_NAME;
    RETURN NULL;
END $$;
CREATE TRIGGER zzz_untouched BEFORE UPDATE ON parted FOR EACH ROW EXECUTE FUNCTION untouched();
CREATE TRIGGER tell AFTER UPDATE ON parted EXECUTE FUNCTION tell();
INSERT INTO parted (id, account, region) SELECT n, 'a', 'eu' FROM generate_series(1, 5) AS n;
UPDATE parted SET region = 'us', marketing_contact_status = 'marketing';
SELECT tableoid::regclass AS partition, marketing_contact_status AS status, count(*) FROM parted GROUP BY 1, 2 ORDER BY 1, 2;
TABLE drift;
DROP TRIGGER tell ON parted;
DROP TRIGGER zzz_untouched ON parted;


-- The first statement of a session began before the library was loaded, and what it
-- cascades to has no statement trigger, as where a partition came while event triggers were off
CREATE TABLE companies (id integer PRIMARY KEY);
ALTER TABLE parted ADD COLUMN company integer;
ALTER TABLE parted_us ADD FOREIGN KEY (company) REFERENCES companies ON DELETE CASCADE;
INSERT INTO companies VALUES (1);
UPDATE parted SET company = 1;
DROP TRIGGER contacts_tier_apply ON parted_us;
\c -
DELETE FROM r1_nested.companies;
SET search_path = r1_nested, public;
SET client_min_messages = warning;
SET contacts_tier.now = '2026-01-10 10:00+00';
SELECT count(*) FROM parted;
TABLE drift;


-- What a statement has borrowed is given back when it is rolled back, whatever comparing
-- accounts takes: those of a row type are compared by what the catalog says of it
CREATE TYPE tenant AS (name text, number integer);
CREATE SCHEMA r1_nested_row;
CREATE TABLE r1_nested_row.contacts (id integer PRIMARY KEY, account tenant);
SELECT contacts_tier.attach('r1_nested_row.contacts', 'account');
SELECT contacts_tier.subscribe('r1_nested_row.contacts', '(x,1)', 'r1_nested', 3, on_exceed => 'block');
INSERT INTO r1_nested_row.contacts (id, account, marketing_contact_status)
    SELECT n, ROW('x', 1)::tenant, 'marketing' FROM generate_series(1, 3) AS n;
CREATE FUNCTION replace() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    BEGIN
        INSERT INTO r1_nested_row.contacts (id, account, marketing_contact_status) VALUES (OLD.id + 10, OLD.account, 'marketing');
        -- types that are remembered must be looked up again
        CREATE TYPE r1_nested.passing AS (name text);
        ALTER TYPE r1_nested.tenant RENAME TO lessee;
        RAISE EXCEPTION 'no' USING ERRCODE = 'P0099';
    EXCEPTION WHEN SQLSTATE 'P0099' THEN
        INSERT INTO r1_nested_row.contacts (id, account, marketing_contact_status) VALUES (OLD.id + 20, OLD.account, 'marketing');
    END;
    RETURN NULL;
END $$;
CREATE TRIGGER b_replace AFTER DELETE ON r1_nested_row.contacts FOR EACH ROW EXECUTE FUNCTION replace();
DELETE FROM r1_nested_row.contacts WHERE id < 3;
SELECT id, marketing_contact_status AS status FROM r1_nested_row.contacts ORDER BY id;
SELECT account, counted, actual FROM contacts_tier.verify('r1_nested_row.contacts');

DROP SCHEMA r1_nested_row, r1_nested CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'r1_nested';
