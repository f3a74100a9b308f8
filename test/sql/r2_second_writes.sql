--
-- Second writes are ordinary writes (rule R2): where the extension writes a contact
-- again, the application's triggers and constraints see it, as the writer, and it is trusted
-- with nothing else
--
SET TIME ZONE 'UTC';
SET datestyle = 'ISO, YMD';
SET client_min_messages = error;
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET contacts_tier.now = '2026-01-10 10:00+00';

CREATE ROLE regress_r2_writer;
CREATE SCHEMA r2;
GRANT USAGE, CREATE ON SCHEMA r2 TO regress_r2_writer;
SET search_path = r2, public;
SELECT contacts_tier.create_plan('r2', '{3}'), contacts_tier.create_plan('r2 big', '{1000000}');
CREATE TABLE companies (name text PRIMARY KEY);
INSERT INTO companies VALUES ('here');
CREATE TABLE contacts (
    gone integer,
    id integer PRIMARY KEY,
    account text,
    how text,                           -- what a trigger of the application is to do with it
    company text REFERENCES companies DEFERRABLE INITIALLY DEFERRED,
    code integer UNIQUE DEFERRABLE INITIALLY DEFERRED,
    room integer, EXCLUDE USING btree (room WITH =) DEFERRABLE INITIALLY DEFERRED
);
SELECT contacts_tier.attach('contacts', 'account');
ALTER TABLE contacts DROP gone, ADD marks text GENERATED ALWAYS AS
    (CASE WHEN marketing_contact_status = 'marketing' THEN 'm' ELSE 'n' END || ' ' || marketing_contact_status_source_type) STORED;
CREATE INDEX ON contacts (marketing_contact_status, id);
CREATE INDEX ON contacts (id) WHERE marketing_contact_status = 'marketing';
CREATE INDEX ON contacts ((marks || how));
SELECT contacts_tier.subscribe('contacts', 'cap', 'r2', on_exceed => 'cap'), contacts_tier.subscribe('contacts', 'block', 'r2', on_exceed => 'block'),
       contacts_tier.subscribe('contacts', 'big', 'r2 big');
CREATE FUNCTION drift() RETURNS text LANGUAGE sql AS $$
SELECT coalesce(string_agg(format('%s counted %s/%s, there %s/%s', account, counted, pending_counted, actual, pending_actual), '; ' ORDER BY account), 'no drift')
  FROM contacts_tier.verify('r2.contacts') WHERE drift <> 0 OR pending_counted <> pending_actual $$;

-- A trigger that fires after ours, so that contacts must be written again
CREATE FUNCTION behind() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE NEW.how
        WHEN 'no source' THEN
            NEW.marketing_contact_status_source_type := NULL;
        WHEN 'flag' THEN
            NEW.marketing_contact_until_next_update := NEW.marketing_contact_status = 'marketing';
        WHEN 'demote' THEN
            NEW.marketing_contact_status := 'non_marketing';
        WHEN 'promote' THEN
            NEW.marketing_contact_status := 'marketing';
        WHEN 'none' THEN
            NEW.marketing_contact_status := NULL;
        ELSE
            NULL;
    END CASE;
    RETURN NEW;
END $$;
CREATE TRIGGER zzz_behind BEFORE INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION behind();

-- Those who watch: a row trigger of each kind, transition tables, a deferred trigger.  They
-- name tables without their schema, fire always, and run as who writes.
CREATE TABLE seen (n integer GENERATED ALWAYS AS IDENTITY, watcher text, id integer, marks text, until boolean,
                   who name DEFAULT current_user, role text DEFAULT current_setting('session_replication_role'));
CREATE INDEX ON seen (id, watcher, n);
GRANT INSERT, SELECT ON seen TO regress_r2_writer;
GRANT SELECT, INSERT ON contacts TO regress_r2_writer;
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO seen (watcher, id, marks, until) VALUES (TG_ARGV[0], NEW.id, NEW.marks, NEW.marketing_contact_until_next_update);
    RETURN NULL;
END $$;
CREATE FUNCTION watch_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO seen (watcher, id, marks, until) SELECT TG_ARGV[0], id, marks, marketing_contact_until_next_update FROM new_rows;
    RETURN NULL;
END $$;
CREATE TRIGGER row AFTER INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION watch('row');
ALTER TABLE contacts ENABLE ALWAYS TRIGGER row;
CREATE TRIGGER of_status AFTER UPDATE OF marketing_contact_status ON contacts FOR EACH ROW EXECUTE FUNCTION watch('of status');
CREATE TRIGGER inserted AFTER INSERT ON contacts REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION watch_all('statement');
CREATE TRIGGER updated AFTER UPDATE ON contacts REFERENCING NEW TABLE AS new_rows OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION watch_all('statement');
CREATE CONSTRAINT TRIGGER deferred AFTER INSERT OR UPDATE ON contacts DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION watch('deferred');
-- What the last of each watcher says must be what is there, by whichever index it is looked up
CREATE FUNCTION differences(watchers text[] DEFAULT '{row, statement, deferred}') RETURNS text LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
    result text;
BEGIN
    SELECT string_agg(format('%s: %s saw %s, is %s', c.id, w.watcher, s.marks, c.marks), '; ' ORDER BY c.id, w.watcher) INTO result
      FROM contacts c
      CROSS JOIN unnest(watchers) AS w (watcher)
      LEFT JOIN LATERAL (SELECT * FROM seen s WHERE s.id = c.id AND s.watcher = w.watcher ORDER BY n DESC LIMIT 1) s ON true
     WHERE (s.marks, s.until) IS DISTINCT FROM (c.marks, c.marketing_contact_until_next_update)
        OR (c.marketing_contact_status = 'marketing') <> (c.marks ^@ 'm')
        OR NOT EXISTS (SELECT FROM contacts o WHERE o.id = c.id AND o.marketing_contact_status = c.marketing_contact_status)
        OR (c.how IS NOT NULL AND NOT EXISTS (SELECT FROM contacts o WHERE o.marks || o.how = c.marks || c.how));
    RETURN coalesce(result, 'all saw it') || ', ' || drift();
END $$;
CREATE VIEW contact AS SELECT id, account, how, marks, marketing_contact_until_next_update AS until FROM contacts ORDER BY id;

-- every form of statement, by one who may only insert, where he does nothing else
SET ROLE regress_r2_writer;
INSERT INTO contacts (id, account, how, marketing_contact_status) SELECT n, 'cap', 'no source', 'marketing' FROM generate_series(1, 5) AS n;
RESET ROLE;
TABLE contact;
SELECT differences();
SET ROLE regress_r2_writer;
COPY contacts (id, account, how, marketing_contact_status) FROM stdin;
11	block	no source	marketing
12	block	flag	marketing
13	cap	promote	\N
14	block	none	\N
15	block	demote	marketing
\.
RESET ROLE;
SELECT * FROM contact WHERE id > 10;
SELECT differences();
SELECT DISTINCT who, role FROM seen;
SELECT id, marks FROM seen WHERE watcher = 'of status' ORDER BY id;
UPDATE contacts SET how = 'flag' FROM (VALUES (1), (2)) AS v (n) WHERE id = n;
UPDATE contacts SET how = '', marketing_contact_status = 'marketing' WHERE id >= 3;
SELECT differences();
MERGE INTO contacts c USING (SELECT n FROM generate_series(4, 8) AS n) AS s ON c.id = s.n
 WHEN MATCHED THEN UPDATE SET how = 'promote'
 WHEN NOT MATCHED THEN INSERT (id, account, how, marketing_contact_status) VALUES (s.n, 'block', 'no source', 'non_marketing');
SELECT differences();
INSERT INTO contacts AS c (id, account, how, marketing_contact_status) VALUES (5, 'cap', 'no source', 'marketing'), (9, 'cap', 'none', 'marketing')
    ON CONFLICT (id) DO UPDATE SET how = excluded.how, marketing_contact_status = 'non_marketing', account = 'big';
SELECT differences();
WITH moved AS (UPDATE contacts SET account = 'cap', how = 'flag' WHERE account = 'big' RETURNING id)
INSERT INTO contacts (id, account, how) SELECT id + 20, 'big', 'promote' FROM moved;
SELECT differences();
PREPARE put(integer, text) AS INSERT INTO contacts (id, account, how, marketing_contact_status) VALUES ($1, 'cap', $2, 'marketing');
EXECUTE put(31, 'no source');
EXECUTE put(32, 'flag');
CREATE FUNCTION put(integer, text) RETURNS void LANGUAGE sql AS
'INSERT INTO contacts (id, account, how, marketing_contact_status) VALUES ($1, ''cap'', $2, ''marketing'')';
SELECT put(33, 'demote'), put(34, 'none');
DO $$
BEGIN
    FOR n IN 35..36 LOOP
        BEGIN
            PERFORM put(n, 'flag');
            IF n = 36 THEN RAISE EXCEPTION 'never mind'; END IF;
        EXCEPTION WHEN raise_exception THEN NULL;
        END;
    END LOOP;
END $$;
SELECT differences();
TABLE contact;
-- one that only a default makes a marketing contact, where there is no room
DELETE FROM contacts;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'block', 'marketing' FROM generate_series(1, 2) AS n;
SET contacts_tier.source_type = 'FORM';
INSERT INTO contacts (id, account, how) SELECT n, 'block', CASE n % 2 WHEN 0 THEN 'flag' END FROM generate_series(3, 6) AS n;
COPY contacts (id, account) FROM stdin;
7	block
8	nobody
\.
RESET contacts_tier.source_type;
TABLE contact;
SELECT differences();


-- Deferred constraints of the application are checked
DELETE FROM contacts;
INSERT INTO contacts (id, account, code, room, marketing_contact_status) SELECT n, 'cap', n, n, 'marketing' FROM generate_series(1, 3) AS n;
INSERT INTO contacts (id, account, company, marketing_contact_status) VALUES (4, 'cap', 'nobody', 'marketing');
\echo :SQLSTATE
INSERT INTO contacts (id, account, company, how) VALUES (4, 'big', 'nobody', 'no source');
\echo :SQLSTATE
COPY contacts (id, account, company, marketing_contact_status) FROM stdin;
4	cap	nobody	\N
\.
COPY contacts (id, account, code, marketing_contact_status) FROM stdin;
4	cap	2	marketing
\.
MERGE INTO contacts c USING (VALUES (4)) AS s (id) ON c.id = s.id
 WHEN NOT MATCHED THEN INSERT (id, account, room, marketing_contact_status) VALUES (4, 'cap', 3, 'marketing');
\echo :SQLSTATE
INSERT INTO contacts (id, account) VALUES (4, 'big');
UPDATE contacts SET how = 'no source', code = 3, marketing_contact_status = 'marketing' WHERE id = 4;
\echo :SQLSTATE
-- and those that are kept in the end are not refused
BEGIN;
INSERT INTO contacts (id, account, company, code, room, marketing_contact_status) VALUES (5, 'cap', 'later', 3, 3, 'marketing');
INSERT INTO companies VALUES ('later');
DELETE FROM contacts WHERE id = 3;
COMMIT;
TABLE contact;
SELECT differences();
-- one that is not deferred
DELETE FROM contacts WHERE marketing_contact_status = 'non_marketing' OR id > 3;
ALTER TABLE contacts ADD CONSTRAINT few CHECK (marketing_contact_status = 'marketing' OR account <> 'cap');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (6, 'cap', 'marketing');
SELECT differences();
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (7, 'cap', 'marketing');
\echo :SQLSTATE
ALTER TABLE contacts DROP CONSTRAINT few;


-- Only what is still what was noted is written: a trigger may do anything with a contact
-- before the statement ends
TRUNCATE contacts;
CREATE FUNCTION do_anything() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE NEW.code % 100
        WHEN 1 THEN UPDATE contacts SET account = 'big' WHERE id = NEW.id;
        WHEN 2 THEN DELETE FROM contacts WHERE id = NEW.id;
        WHEN 3 THEN UPDATE contacts SET marketing_contact_status = 'non_marketing', code = NULL WHERE id = NEW.id;
        WHEN 4 THEN UPDATE contacts SET id = id + 1000 WHERE id = NEW.id;
        WHEN 5 THEN
            -- what is undone has not been done
            BEGIN
                UPDATE contacts SET account = 'big', how = '' WHERE id = NEW.id;
                DELETE FROM contacts WHERE id = NEW.id;
                RAISE EXCEPTION 'never mind';
            EXCEPTION WHEN raise_exception THEN
                UPDATE contacts SET code = NULL WHERE id = NEW.id;
            END;
        WHEN 6 THEN
            DELETE FROM contacts WHERE id = NEW.id;
            INSERT INTO contacts (id, account, how) VALUES (NEW.id, 'big', 'no source');
        WHEN 7 THEN
            -- another statement of the account, beside it
            INSERT INTO contacts (id, account, how, marketing_contact_status) VALUES (NEW.id + 1000, NEW.account, NEW.how, 'marketing');
        ELSE NULL;
    END CASE;
    RETURN NULL;
END $$;
CREATE TRIGGER do_anything AFTER INSERT ON contacts FOR EACH ROW WHEN (NEW.code IS NOT NULL) EXECUTE FUNCTION do_anything();
-- each of three new contacts, of which there is room for one, and those that must be written
-- again for another reason, too
CREATE FUNCTION attempt(account text, how text, what integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO contacts (id, account, how, code, marketing_contact_status)
        SELECT n, account, how, CASE WHEN n <> 11 THEN 100 * n + what END, 'marketing' FROM generate_series(11, 13) AS n;
    RETURN 'ok';
EXCEPTION WHEN SQLSTATE 'MC001' THEN
    RETURN SQLSTATE;
END $$;
CREATE TABLE outcome (what integer, account text, how text, result text, there bigint, marketing bigint, differences text);
CREATE PROCEDURE try_all() LANGUAGE plpgsql AS $$
DECLARE
    t record;
    r text;
BEGIN
    FOR t IN SELECT * FROM generate_series(1, 7) AS what, unnest('{cap, block}'::text[]) AS account,
                           unnest('{"", no source, flag, promote}'::text[]) AS how LOOP
        DELETE FROM contacts;
        INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, t.account, 'marketing'), (2, t.account, 'marketing');
        COMMIT;
        DELETE FROM seen WHERE id > 2;
        r := attempt(t.account, t.how, t.what);
        COMMIT;
        INSERT INTO outcome SELECT t.what, t.account, t.how, r, count(*),
            count(*) FILTER (WHERE c.marketing_contact_status = 'marketing' AND c.account = t.account), differences('{deferred}') FROM contacts c;
    END LOOP;
END $$;
CALL try_all();
-- whatever it is, it is seen and counted, nobody is lost, and the tier holds
SELECT what, differences, count(*) FROM outcome GROUP BY 1, 2 ORDER BY 1;
SELECT what, account, result, there, count(*) FROM outcome GROUP BY 1, 2, 3, 4 ORDER BY what, account COLLATE "C", result COLLATE "C", there;
SELECT max(marketing) FROM outcome;
-- the last is moved to another account: it is marketing there, and the account has what fits
DELETE FROM contacts;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'cap', 'marketing'), (2, 'cap', 'marketing');
INSERT INTO contacts (id, account, code, marketing_contact_status) VALUES (11, 'cap', NULL, 'marketing'), (12, 'cap', NULL, 'marketing'), (13, 'cap', 1, 'marketing');
TABLE contact;
SELECT differences('{deferred}');
-- an UPDATE whose trigger takes some of what it promotes away
DELETE FROM contacts;
INSERT INTO contacts (id, account, code) SELECT n, 'cap', CASE WHEN n < 7 THEN 100 * n END FROM generate_series(1, 7) AS n;
CREATE FUNCTION do_other() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 AND NEW.id = 7 THEN
        UPDATE contacts SET account = 'big' WHERE id IN (5, 6);
        DELETE FROM contacts WHERE id = 1;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER do_other AFTER UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION do_other();
UPDATE contacts SET how = 'no source', marketing_contact_status = 'marketing';
SELECT count(*), count(*) FILTER (WHERE marketing_contact_status = 'marketing' AND account = 'cap') <= 3 AS fits, differences('{deferred}') FROM contacts;
DROP TRIGGER do_other ON contacts;
DROP TRIGGER do_anything ON contacts;


-- A trigger that keeps the contact from being written again is told so, and one that changes
-- it then has it counted as it is
DELETE FROM contacts;
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.code = 1 THEN
        RETURN NULL;
    ELSIF NEW.code = 2 THEN
        NEW.account := 'big';
    ELSIF NEW.code = 3 THEN
        NEW.marketing_contact_status := 'marketing';
        NEW.marketing_contact_until_next_update := true;
        NEW.marketing_contact_status_source_type := 'meddler';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER meddle BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION meddle();
INSERT INTO contacts (id, account, how, code, marketing_contact_status) VALUES (1, 'big', 'no source', 1, 'marketing');
\echo :SQLSTATE
INSERT INTO contacts (id, account, how, code, marketing_contact_status) VALUES (2, 'cap', 'no source', 2, 'marketing'), (3, 'cap', 'no source', 3, 'marketing');
SELECT * FROM contact;
SELECT differences();
DROP TRIGGER meddle ON contacts;


-- Nothing but the second write itself is trusted: not what the application runs beside it
DELETE FROM contacts;
CREATE FUNCTION beside(contact integer, source_type text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF contact = 1 THEN
        INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'block', 'marketing'
          FROM generate_series(101, 120) AS n WHERE NOT EXISTS (SELECT FROM contacts WHERE id > 100);
    ELSIF contact = 2 AND pg_trigger_depth() < 3 THEN
        UPDATE contacts SET marketing_contact_status = 'non_marketing', marketing_contact_status_source_type = NULL WHERE id = 3;
    END IF;
    RETURN true;
END $$;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'big', 'marketing');
ALTER TABLE contacts ADD CONSTRAINT beside CHECK (beside(id, marketing_contact_status_source_type));
INSERT INTO contacts (id, account, how) VALUES (1, 'big', 'no source');
\echo :SQLSTATE
INSERT INTO contacts (id, account, how) VALUES (2, 'big', 'no source');
TABLE contact;
SELECT differences('{deferred}');
-- a table of somebody else with our trigger, and a CHECK that writes past the tier when it can
ALTER TABLE contacts DROP CONSTRAINT beside;
DELETE FROM contacts;
GRANT EXECUTE ON FUNCTION contacts_tier_internal.count_contact TO regress_r2_writer;
SET SESSION AUTHORIZATION regress_r2_writer;
CREATE FUNCTION pg_temp.past(id integer, status contacts_tier.marketing_status) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF status IS NOT NULL AND id = 1 THEN
        INSERT INTO r2.contacts (id, account, marketing_contact_status) SELECT n, 'block', 'marketing' FROM generate_series(1, 100) AS n;
        RETURN false;
    ELSIF status IS NOT NULL AND id = 2 THEN
        UPDATE pg_temp.other SET marketing_contact_status = NULL;
    END IF;
    RETURN true;
END $$;
CREATE TEMP TABLE mine (id integer CHECK (pg_temp.past(id, marketing_contact_status)), account text, marketing_contact_status contacts_tier.marketing_status,
    marketing_contact_until_next_update boolean, marketing_contact_status_source_type text,
    marketing_contact_status_source_name text, marketing_contact_status_updated_at timestamptz);
CREATE TEMP TABLE other (LIKE mine);
INSERT INTO mine VALUES (1, 'block'), (2, 'big');
INSERT INTO other VALUES (3, 'big', 'non_marketing'), (4, 'big', 'non_marketing');
CREATE TRIGGER c AFTER UPDATE ON mine FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.count_contact('r2', 'account');
CREATE TRIGGER c AFTER UPDATE ON other FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.count_contact('r2', 'account');
ALTER TABLE other ENABLE ALWAYS TRIGGER c;
UPDATE mine SET account = account WHERE id = 1;
\echo :SQLSTATE
-- and one whose check has a row of another such table written again, within its own
UPDATE mine SET account = account WHERE id = 2;
\echo :SQLSTATE
UPDATE mine SET account = account WHERE id = 2;
\echo :SQLSTATE
SELECT id, marketing_contact_status FROM other;
SELECT id, marketing_contact_status FROM mine;
DROP TABLE mine, other;
RESET SESSION AUTHORIZATION;
REVOKE EXECUTE ON FUNCTION contacts_tier_internal.count_contact FROM regress_r2_writer;
SELECT count(*), drift() FROM contacts;
-- what a trigger does while the rollover makes contacts non-marketing: S2 holds for it
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_until_next_update)
VALUES (1, 'big', 'marketing', true), (2, 'big', 'marketing', NULL), (3, 'big', 'non_marketing', NULL), (4, 'block', 'non_marketing', NULL);
CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE r2.contacts SET marketing_contact_status = 'non_marketing', marketing_contact_status_source_type = 'WORKFLOW' WHERE id = 2;
    UPDATE r2.contacts SET marketing_contact_status = 'marketing', marketing_contact_status_source_type = NULL WHERE id = 3;
    RETURN NULL;
END $$;
CREATE TRIGGER follow AFTER UPDATE ON contacts FOR EACH ROW WHEN (NEW.id = 1 AND NEW.marketing_contact_status = 'non_marketing') EXECUTE FUNCTION follow();
SET contacts_tier.now = '2026-02-10 12:00+00';
ALTER TABLE contacts DISABLE TRIGGER row, DISABLE TRIGGER of_status, DISABLE TRIGGER inserted, DISABLE TRIGGER updated, DISABLE TRIGGER deferred;
CALL contacts_tier.rollover('contacts');
TABLE contact;
SELECT drift();
SET contacts_tier.now = '2026-01-10 10:00+00';


-- Partitions: their own triggers, with another order of columns
CREATE TABLE people (id integer, account text, how text) PARTITION BY RANGE (id);
CREATE TABLE people_low (gone integer, how text, id integer, account text);
ALTER TABLE people_low DROP gone;
ALTER TABLE people ATTACH PARTITION people_low FOR VALUES FROM (0) TO (100);
CREATE TABLE people_high PARTITION OF people FOR VALUES FROM (100) TO (200);
SELECT contacts_tier.attach('people', 'account');
DELETE FROM contacts;
DELETE FROM seen;
ALTER TABLE people ADD marks text GENERATED ALWAYS AS
    (CASE WHEN marketing_contact_status = 'marketing' THEN 'm' ELSE 'n' END || ' ' || marketing_contact_status_source_type) STORED;
CREATE TRIGGER zzz_behind BEFORE INSERT OR UPDATE ON people_low FOR EACH ROW EXECUTE FUNCTION behind();
CREATE TRIGGER row AFTER INSERT OR UPDATE ON people_low FOR EACH ROW EXECUTE FUNCTION watch('row of partition');
CREATE TRIGGER row AFTER INSERT OR UPDATE ON people_high FOR EACH ROW EXECUTE FUNCTION watch('row of partition');
CREATE TRIGGER inserted AFTER INSERT ON people REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION watch_all('statement');
CREATE TRIGGER updated AFTER UPDATE ON people REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION watch_all('statement');
CREATE VIEW unseen AS
SELECT p.id, p.marks, w.watcher, s.marks AS saw FROM people p CROSS JOIN (VALUES ('row of partition'), ('statement')) AS w (watcher)
  LEFT JOIN LATERAL (SELECT * FROM seen s WHERE s.id = p.id AND s.watcher = w.watcher ORDER BY n DESC LIMIT 1) AS s ON true
 WHERE (s.marks, s.until) IS DISTINCT FROM (p.marks, p.marketing_contact_until_next_update);
INSERT INTO people (id, account, how, marketing_contact_status) SELECT n, 'cap', 'no source', 'marketing' FROM unnest('{101, 1, 2, 102, 3, 103}'::integer[]) AS n;
COPY people (id, account, how, marketing_contact_status) FROM stdin;
4	block	flag	marketing
105	block	flag	marketing
5	cap	promote	non_marketing
\.
UPDATE people SET id = id + 100 WHERE id = 4;
UPDATE people SET how = 'flag' WHERE id < 3;
MERGE INTO people p USING (VALUES (3), (6)) AS s (id) ON p.id = s.id
 WHEN MATCHED THEN UPDATE SET how = 'promote'
 WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'block', 'no source');
SELECT id, account, how, marks, marketing_contact_until_next_update AS until FROM people ORDER BY id;
TABLE unseen;
SELECT drift();

DROP SCHEMA r2 CASCADE;
DROP OWNED BY regress_r2_writer;
DROP ROLE regress_r2_writer;
DELETE FROM contacts_tier.plan WHERE name LIKE 'r2%';
