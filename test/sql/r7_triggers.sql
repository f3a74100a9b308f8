--
-- R7: rows of companion tables that are written directly fire the triggers that somebody
-- has put on them
-- (also rule R3)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE ROLE regress_r7_owner;
CREATE ROLE regress_r7_writer;
CREATE SCHEMA r7 AUTHORIZATION regress_r7_owner;
GRANT USAGE ON SCHEMA r7 TO regress_r7_writer;
SELECT contacts_tier.create_plan('r7', '{3, 10, 1000}');
\set owner regress_r7_owner
\set grant_owner :srcdir '/include/grant_owner.sql'
\i :grant_owner
SET ROLE regress_r7_owner;
CREATE TABLE r7.contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('r7.contacts', 'account');
SELECT contacts_tier.subscribe('r7.contacts', a, 'r7') FROM unnest('{a,b}'::text[]) AS a;
SELECT contacts_tier.subscribe('r7.contacts', c, 'r7', on_exceed => c::contacts_tier.exceed_policy) FROM unnest('{block,cap}'::text[]) AS c;
GRANT SELECT, INSERT, UPDATE, DELETE ON r7.contacts TO regress_r7_writer;
-- a column that somebody has added
ALTER TABLE r7.contacts_tier_counter ADD changes integer;
-- a constraint that somebody has added holds
BEGIN;
ALTER TABLE r7.contacts_tier_counter ADD CONSTRAINT few CHECK (used < 10);
INSERT INTO r7.contacts SELECT i, 'a', 'marketing' FROM generate_series(1, 5) i;
\set VERBOSITY sqlstate
INSERT INTO r7.contacts SELECT i, 'a', 'marketing' FROM generate_series(11, 15) i;
\set VERBOSITY default
ROLLBACK;

-- A copy that is kept by triggers, as tools keep one that rewrite a table beside its
-- writers; it must be the same in the end
CREATE TABLE r7.copy (LIKE r7.contacts_tier_counter, PRIMARY KEY (account, slot));
INSERT INTO r7.copy TABLE r7.contacts_tier_counter;
CREATE FUNCTION r7.copy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        DELETE FROM r7.copy WHERE copy = OLD;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'row is not in the copy: %', OLD;
        END IF;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO r7.copy SELECT NEW.*;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER copy AFTER INSERT OR UPDATE OR DELETE ON r7.contacts_tier_counter FOR EACH ROW EXECUTE FUNCTION r7.copy();
ALTER TABLE r7.contacts_tier_counter ENABLE ALWAYS TRIGGER copy;
-- each kind of trigger, and what it saw
CREATE TABLE r7.log (number integer GENERATED ALWAYS AS IDENTITY, name text, role text, path text, rows bigint, used bigint);
CREATE FUNCTION r7.log_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO r7.log (name, role, path, used) VALUES (TG_NAME, current_user, current_setting('search_path'), NEW.used - OLD.used);
    IF TG_WHEN = 'BEFORE' THEN
        NEW.changes := coalesce(OLD.changes, 0) + 1;
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION r7.log_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO r7.log (name, role, path) VALUES (TG_NAME, current_user, current_setting('search_path'));
    RETURN NULL;
END $$;
CREATE FUNCTION r7.log_tables() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO r7.log (name, rows, used)
        SELECT TG_NAME, count(*), sum(n.used - o.used) FROM new_rows n JOIN old_rows o USING (account, slot);
    RETURN NULL;
END $$;
CREATE TRIGGER before_row BEFORE UPDATE ON r7.contacts_tier_counter FOR EACH ROW EXECUTE FUNCTION r7.log_row();
CREATE TRIGGER after_row AFTER UPDATE ON r7.contacts_tier_counter FOR EACH ROW EXECUTE FUNCTION r7.log_row();
CREATE TRIGGER when_demoted AFTER UPDATE ON r7.contacts_tier_counter FOR EACH ROW WHEN (NEW.demoted > OLD.demoted) EXECUTE FUNCTION r7.log_row();
CREATE TRIGGER of_used AFTER UPDATE OF used ON r7.contacts_tier_counter FOR EACH ROW EXECUTE FUNCTION r7.log_row();
CREATE TRIGGER of_slot AFTER UPDATE OF slot ON r7.contacts_tier_counter FOR EACH ROW EXECUTE FUNCTION r7.log_row();
CREATE TRIGGER replica AFTER UPDATE ON r7.contacts_tier_counter FOR EACH ROW EXECUTE FUNCTION r7.log_row();
ALTER TABLE r7.contacts_tier_counter ENABLE REPLICA TRIGGER replica;
CREATE TRIGGER disabled AFTER UPDATE ON r7.contacts_tier_counter FOR EACH ROW EXECUTE FUNCTION r7.log_row();
ALTER TABLE r7.contacts_tier_counter DISABLE TRIGGER disabled;
CREATE TRIGGER before_statement BEFORE UPDATE ON r7.contacts_tier_counter FOR EACH STATEMENT EXECUTE FUNCTION r7.log_statement();
CREATE TRIGGER after_statement AFTER UPDATE ON r7.contacts_tier_counter FOR EACH STATEMENT EXECUTE FUNCTION r7.log_statement();
RESET ROLE;
CREATE VIEW r7.drift AS
    SELECT account, drift FROM contacts_tier.verify('r7.contacts') WHERE drift <> 0 OR pending_counted <> pending_actual
    UNION ALL
    (SELECT 'copy of ' || account, used FROM r7.contacts_tier_counter EXCEPT SELECT 'copy of ' || account, used FROM r7.copy);

-- They fire as the owner, not under the writer's search_path
CREATE SCHEMA r7_writer AUTHORIZATION regress_r7_writer;
SET ROLE regress_r7_writer;
SET search_path = r7_writer, public;
INSERT INTO r7.contacts VALUES (1, 'a', 'marketing'), (2, 'a', 'marketing');
RESET ROLE;
SELECT name, role, path, used FROM r7.log ORDER BY number;
DELETE FROM r7.log;
SET ROLE regress_r7_writer;
DELETE FROM r7.contacts WHERE id = 2;
RESET ROLE;
SELECT name, role, path, used FROM r7.log ORDER BY number;
DELETE FROM r7.log;
RESET search_path;
-- ENABLE ALWAYS and REPLICA where the session replicates; the counting trigger does not fire then
SET session_replication_role = replica;
SET ROLE regress_r7_owner;
SELECT contacts_tier.set_policy('r7.contacts', 'a', grace => 1);
RESET ROLE;
RESET session_replication_role;
SELECT name, role, used FROM r7.log ORDER BY number;
DELETE FROM r7.log;
TABLE r7.drift;
-- transition tables, for statements and rows
CREATE TRIGGER tables_statement AFTER UPDATE ON r7.contacts_tier_counter REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION r7.log_tables();
CREATE TRIGGER tables_row AFTER UPDATE ON r7.contacts_tier_counter REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH ROW EXECUTE FUNCTION r7.log_tables();
INSERT INTO r7.contacts VALUES (3, 'a', 'marketing');
SELECT name, rows, used FROM r7.log ORDER BY number;
DELETE FROM r7.log;
-- a deferrable constraint and another index that somebody has added are kept
ALTER TABLE r7.contacts_tier_counter ADD EXCLUDE USING btree ((account || slot) WITH =) DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX ON r7.contacts_tier_counter (used);
BEGIN;
INSERT INTO r7.contacts VALUES (4, 'a', 'marketing');
SET CONSTRAINTS ALL IMMEDIATE;
COMMIT;
SET enable_seqscan = off;
SELECT account, used FROM r7.contacts_tier_counter WHERE used = 3;
RESET enable_seqscan;
DROP TRIGGER tables_statement ON r7.contacts_tier_counter;
DROP TRIGGER tables_row ON r7.contacts_tier_counter;
DELETE FROM r7.log;

-- Deferred ones fire before the writer commits, and so does what they write in turn: when
-- he commits the search_path is his
CREATE TABLE r7.noted (name text, role text);
GRANT ALL ON r7.noted TO regress_r7_owner;
CREATE FUNCTION r7.log_deferred() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO r7.log (name, role, path) VALUES (TG_NAME || ' of ' || TG_TABLE_NAME, current_user, current_setting('search_path'));
    IF TG_TABLE_NAME <> 'noted' THEN
        INSERT INTO r7.noted VALUES (TG_TABLE_NAME, current_user);
    END IF;
    RETURN NULL;
END $$;
GRANT EXECUTE ON FUNCTION r7.log_deferred() TO PUBLIC;
CREATE CONSTRAINT TRIGGER deferred AFTER UPDATE ON r7.contacts_tier_counter DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION r7.log_deferred();
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON r7.contacts_tier_ledger DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION r7.log_deferred();
CREATE CONSTRAINT TRIGGER deferred AFTER UPDATE ON r7.contacts_tier_account DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION r7.log_deferred();
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON r7.noted DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION r7.log_deferred();
BEGIN;
SET LOCAL ROLE regress_r7_writer;
SET LOCAL search_path = r7_writer, public;
DELETE FROM r7.contacts WHERE id = 4;
RESET ROLE;
SELECT contacts_tier.set_policy('r7.contacts', 'a', grace => 2);
SELECT DISTINCT name, role, path FROM r7.log WHERE name LIKE 'deferred%' ORDER BY name;
DELETE FROM r7.log;
COMMIT;
SELECT name, role, path FROM r7.log WHERE name LIKE 'deferred%' ORDER BY number;
DROP TRIGGER deferred ON r7.contacts_tier_counter;
DROP TRIGGER deferred ON r7.contacts_tier_ledger;
DROP TRIGGER deferred ON r7.contacts_tier_account;
INSERT INTO r7.contacts VALUES (4, 'a', 'marketing');
SELECT contacts_tier.set_policy('r7.contacts', 'a', grace => 1);
DELETE FROM r7.log;

-- Several slots, and at the ceiling: thresholds, moves to a larger tier, a full account
INSERT INTO r7.contacts_tier_counter (account, slot) VALUES ('a', 1), ('a', 2), ('block', 1), ('cap', 1);
INSERT INTO r7.contacts SELECT n, 'a', 'marketing' FROM generate_series(5, 9) AS n;
INSERT INTO r7.contacts VALUES (10, 'a', 'marketing');
INSERT INTO r7.contacts SELECT n, 'block', 'marketing' FROM generate_series(11, 13) AS n;
INSERT INTO r7.contacts VALUES (14, 'block', 'marketing');
\echo :SQLSTATE
SET client_min_messages = error;
INSERT INTO r7.contacts SELECT n, 'cap', 'marketing' FROM generate_series(21, 29) AS n;
SET client_min_messages = warning;
BEGIN;
SAVEPOINT s;
INSERT INTO r7.contacts SELECT n, 'a', 'marketing' FROM generate_series(31, 90) AS n;
ROLLBACK TO s;
UPDATE r7.contacts SET account = 'b' WHERE id IN (3, 4);
UPDATE r7.contacts SET marketing_contact_status = 'non_marketing' WHERE account = 'a' AND id < 7;
COMMIT;
SELECT account, marketing_contacts, pending_non_marketing, contact_limit FROM contacts_tier.usage('r7.contacts') ORDER BY account;
SELECT count(*) > 10 AS fired FROM r7.log WHERE name = 'after_row';
SELECT bool_and(changes > 0) AS filled FROM r7.contacts_tier_counter WHERE used > 0;
TABLE r7.drift;
-- update dates close all slots, in a rollover and in a writer's statement
SET contacts_tier.now = '2026-02-10 10:00+00';
CALL contacts_tier.rollover('r7.contacts');
SELECT account, marketing_contacts, pending_non_marketing FROM contacts_tier.usage('r7.contacts') ORDER BY account;
UPDATE r7.contacts SET marketing_contact_status = 'non_marketing' WHERE id = 11;
SET contacts_tier.now = '2026-03-10 10:00+00';
INSERT INTO r7.contacts VALUES (14, 'block', 'marketing');
TABLE r7.drift;

-- A trigger that writes contacts itself
CREATE FUNCTION r7.follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE r7.contacts SET marketing_contact_status = 'marketing' WHERE id = 100 AND marketing_contact_status = 'non_marketing';
    RETURN NULL;
END $$;
INSERT INTO r7.contacts VALUES (100, 'b', 'non_marketing');
CREATE TRIGGER follow AFTER UPDATE ON r7.contacts_tier_counter FOR EACH ROW EXECUTE FUNCTION r7.follow();
INSERT INTO r7.contacts VALUES (101, 'b', 'marketing');
DROP TRIGGER follow ON r7.contacts_tier_counter;
SELECT id, marketing_contact_status AS status FROM r7.contacts WHERE id >= 100 ORDER BY id;
TABLE r7.drift;

-- What must not be: a counter that is changed, or not written
CREATE FUNCTION r7.change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW := jsonb_populate_record(NEW, TG_ARGV[0]::jsonb);
    RETURN CASE WHEN TG_ARGV[0] <> '{}' THEN NEW END;
END $$;
CREATE FUNCTION r7.try(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text;
    message text;
BEGIN
    EXECUTE format('CREATE TRIGGER zzz BEFORE UPDATE ON r7.contacts_tier_counter FOR EACH ROW EXECUTE FUNCTION r7.change(%L)', change);
    INSERT INTO r7.contacts VALUES (200, 'b', 'marketing');
    RETURN 'written';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
    RETURN state || ': ' || message;
END $$;
SELECT c, r7.try(c)
  FROM unnest(ARRAY['{}', '{"used": 0}', '{"pending": 7}', '{"granted": null}', '{"granted": 1000000}', '{"promoted": null}',
                    '{"account": "c"}', '{"slot": 7}', '{"changes": 7}']) AS c;
DROP TRIGGER zzz ON r7.contacts_tier_counter;
TABLE r7.drift;

-- foreign keys of the companion tables are triggers, too, and go on
CREATE TABLE r7.accounts (account text PRIMARY KEY);
INSERT INTO r7.accounts SELECT DISTINCT account FROM r7.contacts_tier_counter;
ALTER TABLE r7.contacts_tier_counter ADD FOREIGN KEY (account) REFERENCES r7.accounts;
ALTER TABLE r7.accounts OWNER TO regress_r7_owner;
INSERT INTO r7.contacts VALUES (201, 'b', 'marketing');
TABLE r7.drift;

DROP SCHEMA r7, r7_writer CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'r7';
DROP OWNED BY regress_r7_owner, regress_r7_writer;
DROP ROLE regress_r7_owner, regress_r7_writer;
