--
-- No note outlives its statement (rule R1): what a statement changes is counted, and
-- judged, at its end, whatever applies it, and nothing is left for the commit
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
-- who writes is shown
CREATE ROLE regress_user SUPERUSER;
SET SESSION AUTHORIZATION regress_user;
\set VERBOSITY terse

CREATE SCHEMA r1;
SET search_path = r1, public;
SELECT contacts_tier.create_plan('r1', '{4}'), contacts_tier.create_plan('r1 big', '{1000000}');
CREATE TABLE contacts (id integer, account text, email text) PARTITION BY RANGE (id);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'r1', on_exceed => 'block');
SELECT contacts_tier.subscribe('contacts', 'b', 'r1 big', on_exceed => 'block');
CREATE TABLE part PARTITION OF contacts FOR VALUES FROM (0) TO (1000);
-- nothing of ours fires at the end of a statement on this one: the end of the executor's
-- run, or that of the COPY, is what is left
ALTER TABLE part DISABLE TRIGGER contacts_tier_apply;

-- what is counted at this moment, within the transaction, beside what is there
CREATE FUNCTION counts() RETURNS text LANGUAGE sql AS $$
SELECT coalesce(string_agg(format('%s %s/%s', account, coalesce(used, 0), coalesce(pending, 0)) ||
                           CASE WHEN (coalesce(used, 0), coalesce(pending, 0)) IS DISTINCT FROM (coalesce(there, 0), coalesce(flagged, 0))
                                THEN format(' but there are %s/%s', there, flagged) ELSE '' END, ', ' ORDER BY account), 'none')
  FROM (SELECT account, sum(used) AS used, sum(pending) AS pending FROM r1.contacts_tier_counter GROUP BY 1) AS counter
  FULL JOIN (SELECT account, count(*) FILTER (WHERE marketing_contact_status = 'marketing') AS there,
                    count(marketing_contact_until_next_update) AS flagged FROM r1.contacts GROUP BY 1) AS contact USING (account)
 WHERE coalesce(used, 0) <> 0 OR coalesce(there, 0) <> 0
$$;


-- Every form of statement ends counted, in the transaction that it is part of
BEGIN;
INSERT INTO part (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing'), (2, 'a', 'non_marketing');
SELECT counts();
COPY part (id, account, marketing_contact_status) FROM stdin;
3	a	marketing
\.
SELECT counts();
UPDATE part SET marketing_contact_status = 'marketing' WHERE id = 2;
SELECT counts();
UPDATE part SET account = 'b' FROM (VALUES (3)) AS v (id) WHERE part.id = v.id;
SELECT counts();
MERGE INTO part USING (VALUES (1), (4)) AS v (id) ON part.id = v.id
 WHEN MATCHED THEN UPDATE SET marketing_contact_status = 'non_marketing'
 WHEN NOT MATCHED THEN INSERT (id, account, marketing_contact_status) VALUES (v.id, 'a', 'marketing');
SELECT counts();
WITH gone AS (DELETE FROM part WHERE id = 1 RETURNING *)
INSERT INTO part (id, account, marketing_contact_status) SELECT id + 10, 'b', 'marketing' FROM gone RETURNING id;
SELECT counts();
WITH more AS (INSERT INTO part (id, account, marketing_contact_status) VALUES (5, 'a', 'marketing') RETURNING id) SELECT id FROM more;
SELECT counts();
PREPARE put(integer) AS INSERT INTO part (id, account, marketing_contact_status) VALUES ($1, 'b', 'marketing') RETURNING id;
EXECUTE put(6);
SELECT counts();
DO $$ BEGIN EXECUTE 'EXPLAIN (ANALYZE) INSERT INTO r1.part (id, account, marketing_contact_status) VALUES (7, ''b'', ''marketing'')'; END $$;
SELECT counts();
COPY (INSERT INTO part (id, account, marketing_contact_status) VALUES (8, 'b', 'marketing') RETURNING id) TO stdout;
SELECT counts();
DECLARE c CURSOR FOR SELECT * FROM part WHERE id = 8 FOR UPDATE;
FETCH c;
DELETE FROM part WHERE CURRENT OF c;
SELECT counts();
CLOSE c;
DO $$
DECLARE
    n integer;
BEGIN
    -- stops at the first row that it is asked for, but all are written
    FOR n IN INSERT INTO r1.part (id, account, marketing_contact_status) SELECT m, 'b', 'marketing' FROM generate_series(21, 23) AS m RETURNING id LOOP
        RAISE WARNING 'at %: %', n, r1.counts();
        EXIT;
    END LOOP;
    UPDATE r1.part SET marketing_contact_status = 'non_marketing' WHERE id = 21 RETURNING id INTO n;
    RAISE WARNING 'flagged %: %', n, r1.counts();
    DELETE FROM r1.part WHERE id BETWEEN 21 AND 23;
    RAISE WARNING 'deleted: %', r1.counts();
END $$;
CREATE FUNCTION put_two(integer) RETURNS SETOF text LANGUAGE sql AS $$
    INSERT INTO r1.part (id, account, marketing_contact_status) VALUES ($1, 'b', 'marketing');
    INSERT INTO r1.part (id, account, email) SELECT $1 + 1, 'b', r1.counts();
    UPDATE r1.part SET marketing_contact_status = 'marketing' WHERE id = $1 + 1;
    SELECT email FROM r1.part WHERE id = $1 + 1 UNION ALL SELECT r1.counts();
$$;
SELECT * FROM put_two(31);
SELECT counts();
TRUNCATE part;
SELECT counts();
ROLLBACK;
SELECT counts();
DEALLOCATE put;

-- So a statement that does not fit fails itself, not the commit
BEGIN;
INSERT INTO part (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(1, 4) AS n;
SAVEPOINT full_up;
INSERT INTO part (id, account, marketing_contact_status) VALUES (5, 'a', 'marketing');
ROLLBACK TO full_up;
COPY part (id, account, marketing_contact_status) FROM stdin;
5	a	marketing
\.
ROLLBACK TO full_up;
WITH more AS (INSERT INTO part (id, account, marketing_contact_status) VALUES (5, 'a', 'marketing') RETURNING id) SELECT id FROM more;
ROLLBACK TO full_up;
DO $$
BEGIN
    INSERT INTO r1.part (id, account, marketing_contact_status) VALUES (5, 'a', 'marketing');
    RAISE WARNING 'comes as far as here';
EXCEPTION WHEN SQLSTATE 'MC001' THEN
    RAISE WARNING 'refused, %', r1.counts();
END $$;
COMMIT;
SELECT counts();


-- Statements within a statement are judged for themselves, and what runs at the end of the
-- transaction is, too
CREATE FUNCTION also_put() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.email LIKE 'twice%' THEN
        INSERT INTO r1.contacts (id, account, email, marketing_contact_status) VALUES (NEW.id + 100, NEW.account, 'once', 'marketing');
    END IF;
    RETURN NEW;
EXCEPTION WHEN SQLSTATE 'MC001' THEN
    RAISE WARNING 'no second contact for %', NEW.id;
    RETURN NEW;
END $$;
DELETE FROM contacts;
CREATE TRIGGER also_put BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION also_put();
INSERT INTO contacts (id, account, email, marketing_contact_status) VALUES (1, 'a', 'twice', 'marketing'), (2, 'a', 'twice', 'non_marketing');
SELECT counts();
-- the outer statement is refused at its end, and takes the inner one along
INSERT INTO part (id, account, email, marketing_contact_status) VALUES (3, 'a', 'twice', 'marketing'), (4, 'a', 'twice', 'marketing');
SELECT counts();
DROP TRIGGER also_put ON part;
CREATE CONSTRAINT TRIGGER also_put AFTER INSERT ON part DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION also_put();
BEGIN;
INSERT INTO part (id, account, email, marketing_contact_status) VALUES (5, 'b', 'twice', 'marketing');
SELECT counts();
SET CONSTRAINTS ALL IMMEDIATE;
SELECT counts();
INSERT INTO part (id, account, email, marketing_contact_status) VALUES (6, 'b', 'twice', 'marketing');
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO part (id, account, email, marketing_contact_status) VALUES (7, 'a', 'twice', 'non_marketing');
COMMIT;
SELECT counts();
DROP TRIGGER also_put ON part;
-- an argument of a statement that writes, in a function that is not said to
CREATE FUNCTION put(id integer, account text) RETURNS integer LANGUAGE sql AS $$
    INSERT INTO r1.part (id, account, marketing_contact_status) VALUES (id, account, 'marketing') RETURNING id
$$;
DELETE FROM contacts;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT put(n, 'a') + 100, 'a', 'marketing' FROM generate_series(1, 2) AS n;
SELECT counts();
INSERT INTO contacts (id, account, marketing_contact_status) SELECT put(n, 'a') + 100, 'a', 'marketing' FROM generate_series(3, 4) AS n;
SELECT counts();
-- two tables of different schemas in one statement, neither of which judges for the other
CREATE SCHEMA r1_other;
CREATE TABLE r1_other.leads (id integer, account integer);
SELECT contacts_tier.attach('r1_other.leads', 'account');
SELECT contacts_tier.subscribe('r1_other.leads', '7', 'r1', on_exceed => 'block');
WITH gone AS (DELETE FROM part RETURNING id)
INSERT INTO r1_other.leads (id, account, marketing_contact_status) SELECT id, 7, 'marketing' FROM gone;
WITH more AS (INSERT INTO r1_other.leads (id, account, marketing_contact_status) SELECT 99, 7, 'marketing' RETURNING id)
DELETE FROM contacts USING more;
SELECT counts(), (SELECT sum(used) FROM r1_other.contacts_tier_counter), (SELECT count(*) FROM r1_other.leads);
WITH more AS (INSERT INTO r1_other.leads (id, account, marketing_contact_status) SELECT id, 7, 'marketing' FROM part WHERE id < 1 RETURNING id)
DELETE FROM contacts WHERE id > 100;
SELECT counts();
-- rules: statements one after the other
CREATE VIEW people AS SELECT id, account, email FROM contacts;
CREATE RULE put AS ON INSERT TO people DO INSTEAD (
    INSERT INTO part (id, account, marketing_contact_status) VALUES (NEW.id, NEW.account, 'marketing');
    INSERT INTO contacts (id, account, email) SELECT NEW.id + 100, NEW.account, counts());
INSERT INTO people (id, account) VALUES (50, 'b');
SELECT id, email FROM contacts WHERE id IN (50, 150) ORDER BY id;
DROP VIEW people;


-- What a foreign key does belongs to the statement that it does it for
DELETE FROM contacts;
CREATE TABLE companies (name text PRIMARY KEY, partner text REFERENCES companies ON DELETE CASCADE);
CREATE TABLE people (id integer PRIMARY KEY, account text REFERENCES companies ON UPDATE CASCADE ON DELETE SET NULL,
                     friend integer REFERENCES people ON DELETE CASCADE);
SELECT contacts_tier.attach('people', 'account');
INSERT INTO companies VALUES ('a', NULL), ('b', 'a'), ('c', NULL);
INSERT INTO people (id, account, friend, marketing_contact_status) SELECT n, 'b', nullif(n - 1, 0), 'marketing' FROM generate_series(1, 6) AS n;
INSERT INTO people (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(11, 14) AS n;
CREATE FUNCTION people_counts() RETURNS text LANGUAGE sql AS $$
SELECT format('counted %s, there %s', (SELECT string_agg(account || ' ' || used, ', ' ORDER BY account) FROM r1.contacts_tier_counter WHERE used <> 0),
              (SELECT string_agg(account || ' ' || n, ', ' ORDER BY account) FROM (SELECT account, count(*) AS n FROM r1.people
                WHERE marketing_contact_status = 'marketing' GROUP BY 1) AS p)) $$;
SELECT people_counts();
-- contacts that go to another account by the change of its name
UPDATE companies SET name = 'nobody' WHERE name = 'b';
SELECT people_counts();
SELECT contacts_tier.subscribe('people', 'c', 'r1 big', on_exceed => 'block');
BEGIN;
DELETE FROM companies WHERE name = 'c';
UPDATE companies SET name = 'c' WHERE name = 'b';
SELECT people_counts();
ROLLBACK;
-- one that calls itself
DELETE FROM people WHERE id = 4;
SELECT people_counts();
WITH gone AS (DELETE FROM people WHERE id = 2 RETURNING id)
INSERT INTO people (id, account, marketing_contact_status) SELECT n, 'b', 'marketing' FROM gone, generate_series(21, 23) AS n;
SELECT people_counts();
-- a marketing contact without an account is refused, and so is the company's end
DELETE FROM companies WHERE name = 'a';
SELECT people_counts();
DROP TABLE people, companies;
-- what it does for one company is not judged before it has been done for the other: contacts of
-- one go to a full account, those of the other leave it
CREATE TABLE companies (name text PRIMARY KEY);
CREATE TABLE people (id integer PRIMARY KEY, account text DEFAULT 'a' REFERENCES companies ON DELETE SET DEFAULT,
                     agent text REFERENCES companies ON DELETE CASCADE);
SELECT contacts_tier.attach('people', 'account');
INSERT INTO companies VALUES ('a'), ('b'), ('agents');
INSERT INTO people (id, account, agent, marketing_contact_status) VALUES (1, 'a', NULL, 'marketing'), (2, 'a', NULL, 'marketing'),
    (3, 'a', 'agents', 'marketing'), (4, 'a', 'agents', 'marketing'), (5, 'b', NULL, 'marketing');
DELETE FROM companies WHERE name = 'b';
DELETE FROM companies WHERE name IN ('b', 'agents');
SELECT people_counts();
-- nor can somebody give the contacts other places before
CREATE FUNCTION rewrite() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ALTER TABLE r1.people ALTER agent TYPE varchar(20); RETURN NULL; END $$;
CREATE TRIGGER zzz_rewrite AFTER DELETE ON companies FOR EACH STATEMENT EXECUTE FUNCTION rewrite();
INSERT INTO companies VALUES ('b');
INSERT INTO people (id, account) VALUES (6, 'b');
DELETE FROM companies WHERE name = 'b';
SELECT people_counts();
DROP TABLE people, companies;


-- A table that was written in the transaction may go, or change, before its end
DELETE FROM contacts;
BEGIN;
INSERT INTO part (id, account, marketing_contact_status) VALUES (1, 'b', 'marketing');
DROP TABLE part;
COMMIT;
SELECT counts();
CREATE TABLE part PARTITION OF contacts FOR VALUES FROM (0) TO (1000);
ALTER TABLE part DISABLE TRIGGER contacts_tier_apply;
BEGIN;
INSERT INTO part (id, account, marketing_contact_status) VALUES (1, 'nobody', 'marketing');
DROP TABLE part;
COMMIT;
BEGIN;
INSERT INTO part (id, account, marketing_contact_status) VALUES (1, 'b', 'marketing');
ALTER TABLE contacts DETACH PARTITION part;
COMMIT;
SELECT counts();
ALTER TABLE contacts ATTACH PARTITION part FOR VALUES FROM (0) TO (1000);
ALTER TABLE part DISABLE TRIGGER contacts_tier_apply;
-- written anew, so that every row has another place
CREATE INDEX part_id ON part (id);
INSERT INTO part (id, account, marketing_contact_status) SELECT n, 'b', 'marketing' FROM generate_series(100, 119) AS n;
DELETE FROM part WHERE id < 110;
SELECT contacts_tier.set_policy('contacts', 'a', on_exceed => 'cap');
SET client_min_messages = error;
BEGIN;
INSERT INTO part (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(20, 30) AS n;
INSERT INTO part (id, account, marketing_contact_status) SELECT n, 'b', 'marketing' FROM generate_series(30, 49) AS n;
ALTER TABLE contacts ALTER email TYPE varchar(10);
COMMIT;
SELECT counts();
BEGIN;
INSERT INTO part (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(15, 19) AS n;
CLUSTER part USING part_id;
INSERT INTO part (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(10, 14) AS n;
COMMIT;
SELECT counts();
SET client_min_messages = warning;
-- an account of another type is refused while the counters have the old one
BEGIN;
INSERT INTO part (id, account, marketing_contact_status) VALUES (50, 'b', 'marketing');
ALTER TABLE contacts ALTER account TYPE bigint USING 4702111234474983745;
INSERT INTO part (id, account, marketing_contact_status) VALUES (51, 99, 'marketing');
COMMIT;
SELECT counts();


-- The ledger and the contact name who wrote, and the source as it was then
CREATE ROLE regress_r1_writer;
CREATE ROLE regress_r1_other;
GRANT USAGE ON SCHEMA r1 TO regress_r1_writer, regress_r1_other;
GRANT SELECT, INSERT ON part, contacts TO regress_r1_writer;
DELETE FROM contacts;
DELETE FROM contacts_tier_ledger;
BEGIN;
SET LOCAL ROLE regress_r1_writer;
SET LOCAL contacts_tier.source_type = 'FORM';
INSERT INTO part (id, account, marketing_contact_status) VALUES (1, 'b', 'marketing');
SET LOCAL contacts_tier.source_type = 'API';
SET LOCAL ROLE regress_r1_other;
COMMIT;
SELECT role, source_type, source_name, promoted FROM contacts_tier.activity('contacts') WHERE source_type IN ('FORM', 'WORKFLOW') ORDER BY source_type;
-- a function that writes as its owner
CREATE FUNCTION put_as_owner(integer) RETURNS void LANGUAGE sql SECURITY DEFINER SET contacts_tier.source_type = 'WORKFLOW' AS
'INSERT INTO r1.part (id, account, marketing_contact_status) VALUES ($1, ''b'', ''marketing'')';
DELETE FROM contacts_tier_ledger;
SET ROLE regress_r1_writer;
SELECT put_as_owner(2);
RESET ROLE;
SELECT role, source_type, source_name, promoted FROM contacts_tier.activity('contacts') WHERE source_type IN ('FORM', 'WORKFLOW') ORDER BY source_type;
SELECT marketing_contact_status_source_type, marketing_contact_status_source_name FROM contacts ORDER BY id;


-- An update date that has passed is applied by the statement, and constraints of the
-- application see what that does to contacts, whichever relation is written
DELETE FROM contacts;
SELECT contacts_tier.set_policy('contacts', 'a', on_exceed => 'block');
CREATE FUNCTION must_stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'contact % must stay', NEW.id; END $$;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(1, 4) AS n;
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 1;
SET contacts_tier.now = '2026-02-10 10:00+00';
CREATE CONSTRAINT TRIGGER must_stay AFTER UPDATE ON contacts DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.marketing_contact_status = 'non_marketing') EXECUTE FUNCTION must_stay();
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (5, 'a', 'marketing');
BEGIN;
INSERT INTO part (id, account, marketing_contact_status) VALUES (5, 'a', 'marketing');
SELECT counts();
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;
COPY part (id, account, marketing_contact_status) FROM stdin;
5	a	marketing
\.
MERGE INTO part USING (VALUES (5)) AS v (id) ON part.id = v.id
 WHEN NOT MATCHED THEN INSERT (id, account, marketing_contact_status) VALUES (v.id, 'a', 'marketing');
SELECT counts();
DROP TRIGGER must_stay ON contacts;
INSERT INTO part (id, account, marketing_contact_status) VALUES (5, 'a', 'marketing');
SELECT counts();

SELECT account, drift FROM contacts_tier.verify() WHERE drift <> 0 OR pending_counted <> pending_actual;
SET client_min_messages = error;
DROP SCHEMA r1, r1_other CASCADE;
DROP ROLE regress_r1_writer, regress_r1_other;
DELETE FROM contacts_tier.plan WHERE name LIKE 'r1%';
RESET SESSION AUTHORIZATION;
DROP ROLE regress_user;
