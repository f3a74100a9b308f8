--
-- R3: what fires because the extension writes contacts as their owner runs under the
-- search_path of a session of the owner's, never under the caller's; and our triggers
-- trust the statement of our own, and none that it makes others run
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE ROLE regress_r3_owner;
CREATE ROLE regress_r3_writer;
CREATE SCHEMA r3 AUTHORIZATION regress_r3_owner;
CREATE SCHEMA regress_r3_owner AUTHORIZATION regress_r3_owner;
GRANT USAGE ON SCHEMA r3 TO regress_r3_writer;
SELECT contacts_tier.create_plan('r3', '{3}');
\set owner regress_r3_owner
\set grant_owner :srcdir '/include/grant_owner.sql'
\i :grant_owner

SET ROLE regress_r3_owner;
CREATE TABLE r3.secret (t text);
INSERT INTO r3.secret VALUES ('top secret');
-- what the triggers saw
CREATE TABLE r3.seen (as_role name, path text, word text);
CREATE TABLE r3.contacts (id integer PRIMARY KEY, account text, email text);
CREATE TABLE regress_r3_owner.word (word text);
INSERT INTO regress_r3_owner.word VALUES ('the owner''s');
CREATE FUNCTION r3.normalise() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.email := lower(NEW.email) || '';
    RETURN NEW;
END $$;
CREATE FUNCTION r3.see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.marketing_contact_status_source_type = 'ROLLOVER' THEN
        INSERT INTO r3.seen VALUES (current_user, current_setting('search_path'),
            (SELECT CASE WHEN relpersistence = 't' THEN 'temporary' ELSE relnamespace::regnamespace::text END
               FROM pg_class WHERE oid = to_regclass('word')));
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER normalise BEFORE INSERT OR UPDATE ON r3.contacts FOR EACH ROW EXECUTE FUNCTION r3.normalise();
CREATE TRIGGER see AFTER UPDATE ON r3.contacts FOR EACH ROW EXECUTE FUNCTION r3.see();
SELECT contacts_tier.attach('r3.contacts', 'account');
SELECT contacts_tier.subscribe('r3.contacts', 'a', 'r3', on_exceed => 'block', started_at => '2026-01-05 00:00+00');
GRANT SELECT, INSERT, UPDATE ON r3.contacts TO regress_r3_writer;
RESET ROLE;

-- A writer's schema and temporary schema, full of what the owner's triggers name
CREATE SCHEMA r3_evil AUTHORIZATION regress_r3_writer;
GRANT USAGE ON SCHEMA r3_evil TO PUBLIC;
SET ROLE regress_r3_writer;
CREATE TABLE r3_evil.loot (who name, t text);
GRANT ALL ON r3_evil.loot TO PUBLIC;
CREATE FUNCTION r3_evil.take(t text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF current_user = 'regress_r3_owner' THEN
        EXECUTE 'INSERT INTO r3_evil.loot SELECT current_user, t FROM r3.secret';
    END IF;
    RETURN t;
END $$;
CREATE FUNCTION r3_evil.lower(text) RETURNS text LANGUAGE sql AS 'SELECT r3_evil.take($1)';
CREATE FUNCTION r3_evil.both(text, text) RETURNS text LANGUAGE sql AS 'SELECT r3_evil.take($1)';
CREATE OPERATOR r3_evil.|| (FUNCTION = r3_evil.both, LEFTARG = text, RIGHTARG = text);
CREATE FUNCTION r3_evil.to_regclass(text) RETURNS regclass LANGUAGE sql AS 'SELECT r3_evil.take($1)::regclass';
CREATE TABLE r3_evil.word (word text);
INSERT INTO r3.contacts (id, account, email, marketing_contact_status) SELECT n, 'a', 'X', 'marketing' FROM generate_series(1, 3) AS n;
UPDATE r3.contacts SET marketing_contact_status = 'non_marketing' WHERE id = 1;
RESET ROLE;

-- A late date within the writer's statement.  Each permutation of it below is of a month
-- of its own: contact 1 is flagged, the date passes, and the writer needs the room.
CREATE PROCEDURE r3.late(month date, path text) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('contacts_tier.now', month::text || ' 00:00+00', true);
    UPDATE r3.contacts SET marketing_contact_status = 'non_marketing' WHERE marketing_contact_status = 'marketing'
       AND id = (SELECT min(id) FROM r3.contacts WHERE marketing_contact_status = 'marketing');
    PERFORM set_config('contacts_tier.now', (month + interval '1 month')::date::text || ' 00:00+00', true);
    PERFORM set_config('search_path', path, true);
    SET LOCAL ROLE regress_r3_writer;
    INSERT INTO r3.contacts (id, account, email, marketing_contact_status)
        SELECT max(id) OPERATOR(pg_catalog.+) 1, 'a', 'X', 'marketing' FROM r3.contacts;
    RESET ROLE;
END $$;
CREATE VIEW r3.result AS
    SELECT seen.*, (SELECT count(*) FROM r3_evil.loot) AS secrets_read,
           (SELECT count(*) FROM r3.contacts WHERE marketing_contact_status = 'marketing') AS marketing
      FROM r3.seen;

-- the default: the schema of the role's name is the owner's, and a temporary table of the writer's comes last
SET ROLE regress_r3_writer;
CREATE TEMP TABLE word (word text);
CREATE FUNCTION pg_temp.lower(text) RETURNS text LANGUAGE sql AS 'SELECT r3_evil.take($1)';
RESET ROLE;
CALL r3.late('2026-02-06', 'r3_evil, pg_catalog');
TABLE r3.result;
DELETE FROM r3.seen;
CALL r3.late('2026-03-06', 'pg_temp, r3_evil, pg_catalog');
TABLE r3.result;
DELETE FROM r3.seen;

-- the setting of all roles, else of the database, of the role, of the role in the
-- database: the more special counts
SELECT current_database() AS db \gset
CREATE SCHEMA "R3, path";
ALTER DATABASE :"db" SET search_path = 'R3, path', r3;
CALL r3.late('2026-04-06', 'r3_evil, pg_catalog');
ALTER ROLE regress_r3_owner SET search_path = pg_temp, r3, "$user", pg_catalog;
CALL r3.late('2026-05-06', 'r3_evil, pg_catalog');
ALTER ROLE regress_r3_owner IN DATABASE :"db" SET search_path = '';
CALL r3.late('2026-06-06', 'r3_evil, pg_catalog');
TABLE r3.result;
DELETE FROM r3.seen;
-- what is no search_path is none in a session either
SET allow_system_table_mods = on;
UPDATE pg_db_role_setting SET setconfig = '{"search_path=\"unclosed"}'
 WHERE setrole = 'regress_r3_owner'::regrole AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database());
RESET allow_system_table_mods;
CALL r3.late('2026-07-06', 'r3_evil, pg_catalog');
ALTER ROLE regress_r3_owner IN DATABASE :"db" RESET ALL;
ALTER ROLE regress_r3_owner IN DATABASE :"db" SET work_mem = '4MB';
CALL r3.late('2026-08-06', 'r3_evil, pg_catalog');
ALTER ROLE regress_r3_owner RESET search_path;
ALTER DATABASE :"db" RESET search_path;
TABLE r3.result;
DELETE FROM r3.seen;
-- what the caller has for himself changes nothing; nor is anything put off until he commits
ALTER ROLE regress_r3_writer SET search_path = r3_evil;
CREATE CONSTRAINT TRIGGER see_deferred AFTER UPDATE ON r3.contacts DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION r3.see();
CALL r3.late('2026-09-06', 'r3_evil, pg_catalog');
ALTER ROLE regress_r3_writer RESET search_path;
DROP TRIGGER see_deferred ON r3.contacts;
TABLE r3.result;
DELETE FROM r3.seen;

-- The same in rollover(), by the owner and by somebody else, and in repair()
SET contacts_tier.now = '2026-10-06 00:00+00';
UPDATE r3.contacts SET marketing_contact_status = 'non_marketing' WHERE marketing_contact_status = 'marketing';
SET contacts_tier.now = '2026-11-06 00:00+00';
SET search_path = r3_evil, pg_catalog;
CALL contacts_tier.rollover('r3.contacts', batch_size => 2);
RESET search_path;
TABLE r3.result;
DELETE FROM r3.seen;
INSERT INTO r3.contacts (id, account, email, marketing_contact_status) VALUES (101, 'a', 'X', 'marketing'), (102, 'a', 'X', 'marketing');
UPDATE r3.contacts SET marketing_contact_status = 'non_marketing' WHERE id = 101;
SET contacts_tier.now = '2026-12-06 00:00+00';
SET ROLE regress_r3_owner;
SET search_path = r3_evil, pg_catalog;
CALL contacts_tier.rollover('r3.contacts');
RESET ROLE;
SET session_replication_role = replica;
UPDATE r3.contacts SET marketing_contact_status = NULL WHERE id OPERATOR(pg_catalog.=) 102;
RESET session_replication_role;
SELECT account, counted, actual FROM contacts_tier.repair('r3.contacts');
RESET search_path;
SELECT id, email, marketing_contact_status AS status FROM r3.contacts WHERE id > 100 ORDER BY id;
TABLE r3.result;
-- nobody meets the caller's path by what the table is made of anew, either
SELECT contacts_tier.detach('r3.contacts');
SET search_path = r3_evil, pg_catalog;
UPDATE r3.contacts SET marketing_contact_status = NULL WHERE id OPERATOR(pg_catalog.=) 101;
SELECT contacts_tier.attach('r3.contacts', 'account');
RESET search_path;
SELECT id, email, marketing_contact_status AS status FROM r3.contacts WHERE id > 100 ORDER BY id;
SELECT * FROM r3_evil.loot;
-- the path of the session is what it was
SHOW search_path;


-- Trust names the statement.  What a trigger, a CHECK function or a rule does while the
-- rollover demotes is judged as what anybody writes: it only flags.
DROP TRIGGER normalise ON r3.contacts;
DROP TRIGGER see ON r3.contacts;
TRUNCATE r3.contacts;
SET contacts_tier.now = '2026-12-06 00:00+00';
INSERT INTO r3.contacts (id, account, email, marketing_contact_status) SELECT n, 'a', 'rollover', 'marketing' FROM generate_series(1, 3) AS n;
CREATE VIEW r3.contact AS
    SELECT id, marketing_contact_status AS status, marketing_contact_until_next_update AS until,
           marketing_contact_status_source_type AS source_type FROM r3.contacts ORDER BY id;
CREATE FUNCTION r3.demote_next(contact integer, source_type text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF source_type = 'ROLLOVER' THEN
        UPDATE r3.contacts SET marketing_contact_status = 'non_marketing' WHERE id = contact + 1 AND marketing_contact_status = 'marketing';
    END IF;
    RETURN true;
END $$;
ALTER TABLE r3.contacts ADD CONSTRAINT demote_next CHECK (r3.demote_next(id, marketing_contact_status_source_type));
UPDATE r3.contacts SET marketing_contact_status = 'non_marketing' WHERE id = 1;
SET contacts_tier.now = '2027-01-06 00:00+00';
CALL contacts_tier.rollover('r3.contacts');
TABLE r3.contact;
ALTER TABLE r3.contacts DROP CONSTRAINT demote_next;
SELECT account, drift, pending_counted - pending_actual AS pending_drift FROM contacts_tier.verify('r3.contacts');
-- BEFORE and AFTER, in an exception block that rolls it back and does it again
CREATE FUNCTION r3.demote_third() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.marketing_contact_status_source_type = 'ROLLOVER' AND NEW.id = 2 THEN
        BEGIN
            UPDATE r3.contacts SET marketing_contact_status = 'non_marketing' WHERE id = 3;
            RAISE EXCEPTION 'once more';
        EXCEPTION WHEN raise_exception THEN
            UPDATE r3.contacts SET marketing_contact_status = 'non_marketing' WHERE id = 3;
        END;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER demote_third BEFORE UPDATE ON r3.contacts FOR EACH ROW EXECUTE FUNCTION r3.demote_third();
SET contacts_tier.now = '2027-02-06 00:00+00';
CALL contacts_tier.rollover('r3.contacts');
TABLE r3.contact;
SELECT account, drift, pending_counted - pending_actual AS pending_drift FROM contacts_tier.verify('r3.contacts');
DROP TRIGGER demote_third ON r3.contacts;
-- rules: what they add runs, a NOTIFY as well as an INSERT, and is not counted as ours
UPDATE r3.contacts SET marketing_contact_status = 'marketing' WHERE id IN (1, 3);
UPDATE r3.contacts SET marketing_contact_status = 'non_marketing' WHERE id = 3;
CREATE TABLE r3.log (id integer);
ALTER TABLE r3.log OWNER TO regress_r3_owner;
CREATE RULE tell AS ON UPDATE TO r3.contacts DO ALSO NOTIFY r3;
CREATE RULE log AS ON UPDATE TO r3.contacts WHERE NEW.id = 3 DO ALSO INSERT INTO r3.log VALUES (NEW.id), (NEW.id);
SET contacts_tier.now = '2027-03-06 00:00+00';
CALL contacts_tier.rollover('r3.contacts');
TABLE r3.contact;
SELECT count(*) FROM r3.log;
SELECT contacts FROM r3.contacts_tier_ledger WHERE event = 'rollover' AND recorded_at = contacts_tier.clock();
DROP RULE tell ON r3.contacts;
DROP RULE log ON r3.contacts;
-- an error or a cancel of the statement leaves no trust behind
UPDATE r3.contacts SET marketing_contact_status = 'non_marketing' WHERE id = 1;
CREATE FUNCTION r3.fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.marketing_contact_status_source_type = 'ROLLOVER' THEN
        PERFORM pg_sleep(CASE TG_ARGV[0] WHEN 'sleep' THEN 60 ELSE 0 END);
        RAISE EXCEPTION 'late error';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER fail AFTER UPDATE ON r3.contacts FOR EACH ROW EXECUTE FUNCTION r3.fail('error');
SET contacts_tier.now = '2027-04-06 00:00+00';
CALL contacts_tier.rollover('r3.contacts');
DROP TRIGGER fail ON r3.contacts;
CREATE TRIGGER fail AFTER UPDATE ON r3.contacts FOR EACH ROW EXECUTE FUNCTION r3.fail('sleep');
SET statement_timeout = '200ms';
CALL contacts_tier.rollover('r3.contacts');
RESET statement_timeout;
DROP TRIGGER fail ON r3.contacts;
SET contacts_tier.now = '2027-03-06 00:00+00';
INSERT INTO r3.contacts (id, account, email, marketing_contact_status) VALUES (4, 'a', 'late', 'marketing');
UPDATE r3.contacts SET marketing_contact_status = 'non_marketing' WHERE id = 4;
TABLE r3.contact;
SELECT account, drift, pending_counted - pending_actual AS pending_drift FROM contacts_tier.verify('r3.contacts');

DROP SCHEMA r3, regress_r3_owner, r3_evil, "R3, path" CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'r3';
DROP OWNED BY regress_r3_owner, regress_r3_writer;
DROP ROLE regress_r3_owner, regress_r3_writer;
