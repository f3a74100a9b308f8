--
-- Counting rules C1, C2 and C5 (docs/rules.md); C3 and C4 need several
-- sessions and are in test/specs
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA c_counting;
SET search_path = c_counting, public;
CREATE TABLE contacts (id integer PRIMARY KEY, account integer, email text);
CREATE TABLE leads (id integer PRIMARY KEY, account integer, email text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.attach('leads', 'account');
SELECT contacts_tier.create_plan('c_counting', '{100000}');
SELECT contacts_tier.create_plan('c_counting small', '{3, 10}');
DO $$
BEGIN
    FOR account IN 1 .. 5 LOOP
        PERFORM contacts_tier.subscribe('c_counting.contacts', account::text, 'c_counting');
    END LOOP;
END $$;
SELECT contacts_tier.subscribe('contacts', '9', 'c_counting small', 3, on_exceed => 'block');

CREATE VIEW contact AS
    SELECT id, account, marketing_contact_status AS status, marketing_contact_until_next_update AS until
      FROM contacts ORDER BY id;
-- empty while counters and contacts agree
CREATE VIEW drift AS
    SELECT * FROM contacts_tier.verify('c_counting.contacts')
     WHERE drift <> 0 OR pending_counted <> pending_actual;
-- the same without the help of the extension
CREATE VIEW counter AS
    SELECT account, sum(used)::bigint AS used, sum(pending)::bigint AS pending FROM contacts_tier_counter GROUP BY account;
CREATE VIEW truth AS
    SELECT account, count(*) FILTER (WHERE status = 'marketing') AS used, count(until) AS pending
      FROM (SELECT account, marketing_contact_status, marketing_contact_until_next_update FROM contacts
            UNION ALL
            SELECT account, marketing_contact_status, marketing_contact_until_next_update FROM leads)
           AS c (account, status, until)
     GROUP BY account;
CREATE VIEW mistake AS
    SELECT account, counter, truth FROM counter FULL JOIN truth USING (account)
     WHERE coalesce(counter.used, 0) <> coalesce(truth.used, 0) OR coalesce(counter.pending, 0) <> coalesce(truth.pending, 0);


-- C1 At every commit, for every account, the counters equal what a count over
-- the attached tables gives.
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_until_next_update)
    SELECT n, n % 5 + 1, (CASE WHEN n % 3 = 0 THEN 'marketing' ELSE 'non_marketing' END)::contacts_tier.marketing_status, n % 4 = 0
      FROM generate_series(1, 3000) AS n;
INSERT INTO leads (id, account, marketing_contact_status) SELECT n, n % 2 + 1, 'marketing' FROM generate_series(1, 100) AS n;
SELECT account, counted, actual, drift, pending_counted, pending_actual FROM contacts_tier.verify('contacts') ORDER BY account::integer;
-- tables that share companion tables are counted together, whichever one asks
SELECT count(*) FROM (SELECT account, counted, actual, drift FROM contacts_tier.verify('leads')
                      EXCEPT
                      SELECT account, counted, actual, drift FROM contacts_tier.verify('contacts')) AS difference;
TABLE mistake;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id % 2 = 0;
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id % 7 = 0;
UPDATE contacts SET account = account % 5 + 1 WHERE id % 11 = 0;
DELETE FROM contacts WHERE id % 13 = 0;
SELECT account, counted, actual, drift, pending_counted, pending_actual FROM contacts_tier.verify('contacts') ORDER BY account::integer;
TABLE mistake;

-- Several hundred writes of every kind, one transaction each or several together,
-- with savepoints that are rolled back, errors that are caught, and statements
-- that fail.
CREATE PROCEDURE torture(rounds integer) LANGUAGE plpgsql AS $$
DECLARE
    r bigint := 1;
BEGIN
    FOR n IN 1 .. rounds LOOP
        r := r * 16807 % 2147483647;     -- what comes next looks random and is not
        BEGIN
            CASE r % 12
                WHEN 0 THEN
                    INSERT INTO c_counting.contacts (id, account, marketing_contact_status) VALUES (10000 + n, r % 5 + 1, 'marketing');
                WHEN 1 THEN
                    INSERT INTO c_counting.leads (id, account, marketing_contact_status, marketing_contact_until_next_update)
                        SELECT 10000 + 10 * n + m, (r + m) % 5 + 1, 'marketing', m % 2 = 0 FROM generate_series(1, 9) AS m;
                WHEN 2 THEN
                    UPDATE c_counting.contacts SET marketing_contact_status = 'marketing' WHERE id % 500 = r % 500;
                WHEN 3 THEN
                    UPDATE c_counting.contacts SET marketing_contact_status = 'non_marketing' WHERE id % 500 = r % 500;
                WHEN 4 THEN
                    UPDATE c_counting.contacts SET marketing_contact_until_next_update = r % 2 = 0 WHERE id % 300 = r % 300;
                WHEN 5 THEN
                    UPDATE c_counting.contacts SET account = r % 5 + 1 WHERE id % 400 = r % 400;
                WHEN 6 THEN
                    DELETE FROM c_counting.leads WHERE id % 100 = r % 100;
                WHEN 7 THEN
                    INSERT INTO c_counting.contacts (id, account, marketing_contact_status)
                        SELECT m, r % 5 + 1, 'marketing' FROM generate_series(r % 3000, r % 3000 + 9) AS m
                        ON CONFLICT (id) DO UPDATE SET account = excluded.account,
                            marketing_contact_status = CASE WHEN excluded.id % 2 = 0 THEN 'marketing' ELSE 'non_marketing' END::contacts_tier.marketing_status;
                WHEN 8 THEN
                    WITH moved AS (DELETE FROM c_counting.contacts WHERE id % 200 = r % 200 RETURNING *)
                    INSERT INTO c_counting.leads SELECT id + 1000000 + 10000 * n, account, email, marketing_contact_status FROM moved;
                WHEN 9 THEN
                    UPDATE c_counting.contacts SET marketing_contact_status = 'marketing' WHERE id % 50 = r % 50;
                    DELETE FROM c_counting.leads WHERE id % 70 = r % 70;
                    RAISE EXCEPTION 'never mind';
                WHEN 10 THEN
                    UPDATE c_counting.contacts SET marketing_contact_status = 'marketing', email = (1 / (id % 100 - r % 100))::text
                     WHERE id > r % 3000;
                ELSE
                    MERGE INTO c_counting.contacts c USING (SELECT r % 3000 + m AS id FROM generate_series(1, 9) AS m) AS s ON c.id = s.id
                     WHEN MATCHED AND s.id % 3 = 0 THEN DELETE
                     WHEN MATCHED THEN UPDATE SET marketing_contact_status = 'marketing'
                     WHEN NOT MATCHED THEN INSERT (id, account, marketing_contact_status) VALUES (s.id, r % 5 + 1, 'marketing');
            END CASE;
        EXCEPTION WHEN raise_exception OR division_by_zero OR unique_violation THEN
            NULL;
        END;
        IF r % 5 = 0 THEN
            COMMIT;
        ELSIF r % 17 = 0 THEN
            ROLLBACK;
        END IF;
    END LOOP;
END $$;
CALL torture(600);
-- it did something
SELECT bool_and(counted > 0) FROM contacts_tier.verify('contacts') WHERE account <> '9';
TABLE mistake;
TABLE drift;

-- at other isolation levels
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (-1, 1, 'marketing'), (-2, 2, 'marketing');
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = -1;
DELETE FROM contacts WHERE id = -2;
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
DELETE FROM contacts WHERE id = -1;
TRUNCATE leads;
COMMIT;
TABLE mistake;
TABLE drift;

-- inside a transaction the counters already hold what its statements did
BEGIN;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (-1, 1, 'marketing');
TABLE drift;
ROLLBACK;


-- C2 Under "block" no committed state exceeds the limit, and no statement is
-- refused while there is room.  Exceeding means strictly greater.
TRUNCATE contacts;
INSERT INTO contacts (id, account) SELECT n, 9 FROM generate_series(1, 8) AS n;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id IN (1, 2, 3);
SELECT marketing_contacts, contact_limit, available FROM contacts_tier.usage('contacts', '9');
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 4;
\echo :SQLSTATE
-- flagged contacts still count
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 3;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 4;
\echo :SQLSTATE
-- taking the flag back needs no room, nor does writing what stands there
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id IN (1, 2, 3);
-- A statement is judged by what it leaves behind, not half-way: one contact out,
-- another one in, in every way in which one statement can do that.
TABLE contact;
-- UPDATE: the account changes for one, the status for another
UPDATE contacts SET account = CASE WHEN id = 1 THEN 1 ELSE account END,
                    marketing_contact_status = CASE WHEN id = 4 THEN 'marketing' ELSE marketing_contact_status END
 WHERE id IN (1, 4);
-- MERGE
MERGE INTO contacts c USING (VALUES (9, 'in'), (2, 'out')) AS s (id, what) ON c.id = s.id
 WHEN MATCHED THEN DELETE
 WHEN NOT MATCHED THEN INSERT (id, account, marketing_contact_status) VALUES (s.id, 9, 'marketing');
TABLE contact;
-- data-modifying CTEs, whichever part comes first
WITH gone AS (DELETE FROM contacts WHERE id = 3 RETURNING id)
INSERT INTO contacts (id, account, marketing_contact_status) SELECT 10, 9, 'marketing' FROM gone;
WITH added AS (INSERT INTO contacts (id, account, marketing_contact_status) VALUES (11, 9, 'marketing'))
DELETE FROM contacts WHERE id = 9;
TABLE contact;
TABLE drift;
-- an AFTER trigger that fills the place that its statement has made
TRUNCATE contacts;
INSERT INTO contacts (id, account, marketing_contact_status)
    SELECT n, 9, (CASE WHEN n <= 3 THEN 'marketing' ELSE 'non_marketing' END)::contacts_tier.marketing_status
      FROM generate_series(1, 8) AS n;
CREATE FUNCTION next_in_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE c_counting.contacts SET marketing_contact_status = 'marketing'
     WHERE id = (SELECT min(id) FROM c_counting.contacts WHERE account = 9 AND marketing_contact_status = 'non_marketing');
    RETURN NULL;
END $$;
CREATE TRIGGER zzz_next AFTER DELETE ON contacts FOR EACH ROW EXECUTE FUNCTION next_in_line();
DELETE FROM contacts WHERE id = 1;
DROP TRIGGER zzz_next ON contacts;
CREATE TRIGGER aaa_next AFTER DELETE ON contacts FOR EACH ROW EXECUTE FUNCTION next_in_line();
DELETE FROM contacts WHERE id = 2;
DROP TRIGGER aaa_next ON contacts;
CREATE TRIGGER zzz_next AFTER DELETE ON contacts FOR EACH STATEMENT EXECUTE FUNCTION next_in_line();
DELETE FROM contacts WHERE id = 3;
DROP TRIGGER zzz_next ON contacts;
TABLE contact;
-- a BEFORE trigger that comes after ours and demotes: the contact stays, and
-- that it stays must not be counted as one more
CREATE FUNCTION demote_bounced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.email = 'bounced' AND OLD.email IS DISTINCT FROM 'bounced' THEN
        NEW.marketing_contact_status := 'non_marketing';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER zzz_bounced BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION demote_bounced();
UPDATE contacts SET email = 'bounced' WHERE account = 9;
TABLE contact;
DROP TRIGGER zzz_bounced ON contacts;
-- several statements of one transaction are judged one by one, with what the
-- earlier ones have left
BEGIN;
DELETE FROM contacts WHERE marketing_contact_status = 'marketing';
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (21, 9, 'marketing'), (22, 9, 'marketing'), (23, 9, 'marketing');
SAVEPOINT s;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (24, 9, 'marketing');
ROLLBACK TO s;
COMMIT;
BEGIN;
SAVEPOINT s;
DELETE FROM contacts WHERE id = 21;
ROLLBACK TO s;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (24, 9, 'marketing');
\echo :SQLSTATE
COMMIT;
SELECT marketing_contacts, contact_limit FROM contacts_tier.usage('contacts', '9');
TABLE mistake;
TABLE drift;

-- a statement is judged as a whole, also where a function in it writes contacts
-- meanwhile: accounts that are full change places
SELECT contacts_tier.subscribe('contacts', account, 'c_counting small', 3, on_exceed => policy)
  FROM (VALUES ('11', 'block'::contacts_tier.exceed_policy), ('12', 'block'), ('13', 'upgrade'), ('14', 'upgrade')) AS a (account, policy);
INSERT INTO contacts (id, account, marketing_contact_status) SELECT 100 + i, 11 + i / 3, 'marketing' FROM generate_series(0, 11) i;
CREATE SEQUENCE found_id START 200;
CREATE FUNCTION found() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO c_counting.contacts (id, account, marketing_contact_status) VALUES (nextval('c_counting.found_id'), 1, NULL);
    RETURN true;
END
$$;
UPDATE contacts SET account = CASE account WHEN 11 THEN 12 WHEN 12 THEN 11 WHEN 13 THEN 14 ELSE 13 END
 WHERE id BETWEEN 100 AND 111 AND found();
SELECT account, marketing_contacts, contact_limit FROM contacts_tier.usage('contacts') WHERE account::integer > 10;
INSERT INTO leads (id, account, marketing_contact_status) SELECT id, account, 'marketing' FROM contacts WHERE id = 100 AND found();
DELETE FROM contacts WHERE id = 100 AND found();
SELECT marketing_contacts FROM contacts_tier.usage('contacts', '12');
SELECT count(*) FROM contacts WHERE id >= 200;
TABLE mistake;
TABLE drift;


-- Slots: a claim that finds no room in the slot which it tries first takes half of
-- the room of the richest.  Seen from that slot, room is in the fourth alone.
SELECT contacts_tier.subscribe('contacts', '10', 'c_counting');
INSERT INTO contacts_tier_counter (account, slot) SELECT 10, slot FROM generate_series(1, 7) slot;
-- as if something had been granted by a decision that has announced nothing
UPDATE contacts_tier_counter SET granted = 10, floor = NULL, bottom = NULL WHERE account = 10;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (31, 10, 'marketing');
CREATE TEMP TABLE home AS SELECT slot FROM contacts_tier_counter WHERE account = 10 AND used = 1;
CREATE VIEW slot AS
    SELECT (c.slot - home.slot + 8) % 8 AS slot, used, granted FROM contacts_tier_counter c, home WHERE account = 10 ORDER BY 1;
UPDATE contacts_tier_counter c SET granted = c.used + CASE WHEN c.slot = (home.slot + 3) % 8 THEN 101 ELSE 0 END
  FROM home WHERE c.account = 10;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (32, 10, 'marketing');
TABLE slot;
-- so little stays where it is
UPDATE contacts_tier_counter c SET granted = c.used + CASE WHEN c.slot = (home.slot + 3) % 8 THEN 9 ELSE 0 END
  FROM home WHERE c.account = 10;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (34, 10, 'marketing');
TABLE slot;
UPDATE contacts_tier_counter c SET granted = c.used + CASE WHEN c.slot = (home.slot + 5) % 8 THEN 100 ELSE 0 END
  FROM home WHERE c.account = 10;
BEGIN;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (35, 10, 'marketing');
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 31;
SAVEPOINT s;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT id, 10, 'marketing' FROM generate_series(36, 42) id;
ROLLBACK TO s;
DELETE FROM contacts WHERE id = 31;
COMMIT;
SELECT sum(used) AS used, sum(granted) AS granted, min(granted - used) AS least, count(*) FILTER (WHERE granted > used) AS roomy
  FROM slot;
TABLE mistake;
TABLE drift;


-- C5 Cost does not depend on how many contacts there are: usage() never looks
-- at them, so that a role may read it who may not read contacts
CREATE ROLE regress_c_counting_reader;
GRANT USAGE ON SCHEMA c_counting TO regress_c_counting_reader;
GRANT SELECT ON contacts_tier_account, contacts_tier_counter TO regress_c_counting_reader;
SET ROLE regress_c_counting_reader;
SELECT account, marketing_contacts FROM contacts_tier.usage('contacts', '9');
SELECT account, counted FROM contacts_tier.verify('contacts');
RESET ROLE;
TABLE drift;

DROP SCHEMA c_counting CASCADE;
DROP ROLE regress_c_counting_reader;
DELETE FROM contacts_tier.plan WHERE name LIKE 'c\_counting%';
