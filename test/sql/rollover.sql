--
-- The procedure rollover() and what it leaves behind; verify() and repair()
-- (rules S3, D2, D3 and O4)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
SET contacts_tier.source_name = 'rollover';

CREATE SCHEMA rollover;
SET search_path = rollover, public;
CREATE TABLE contacts (id integer PRIMARY KEY, account text, email text);
CREATE TABLE leads (id integer, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.attach('leads', 'account');
SELECT contacts_tier.create_plan('rollover', '{1000}');
SELECT contacts_tier.subscribe('contacts', a, 'rollover', started_at => '2026-01-05 00:00+00') FROM unnest('{a,b,c}'::text[]) AS a;

CREATE VIEW ledger AS
    SELECT account, recorded_at, event, contacts, details - 'run' - 'started_at' - 'applied_at' AS details
      FROM contacts_tier_ledger WHERE event IN ('rollover', 'repair') ORDER BY recorded_at, account, details->>'update_date';
CREATE VIEW progress AS
    SELECT in_progress, started_at < finished_at AS took_time, accounts_done, accounts_to_do, contacts_done, contacts_to_do
      FROM contacts_tier.rollover_progress() WHERE contacts IN ('contacts'::regclass, 'leads'::regclass) ORDER BY started_at DESC;
-- empty while counters and contacts agree
CREATE VIEW drift AS
    SELECT * FROM contacts_tier.verify('rollover.contacts')
     WHERE drift <> 0 OR pending_counted <> pending_actual;


-- What a run does is in the ledger and in rollover_progress()
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_until_next_update)
    SELECT n, (ARRAY['a', 'b', 'c'])[n % 3 + 1], 'marketing', n % 2 = 0 FROM generate_series(1, 60) AS n;
INSERT INTO leads (id, account, marketing_contact_status, marketing_contact_until_next_update)
    SELECT n, 'a', 'marketing', n <= 5 FROM generate_series(1, 10) AS n;
TABLE progress;
-- nothing is due: no run
CALL contacts_tier.rollover();
TABLE progress;
SET contacts_tier.now = '2026-02-06 10:00+00';
CALL contacts_tier.rollover();
TABLE progress;
TABLE ledger;
SELECT count(*) AS runs, count(DISTINCT run) AS different FROM contacts_tier.rollover_progress() WHERE contacts = 'contacts'::regclass;
-- both tables of the account are done
SELECT marketing_contact_status AS status, marketing_contact_status_source_type AS source_type,
       marketing_contact_status_source_name AS source_name, count(*)
  FROM (SELECT account, marketing_contact_status, marketing_contact_status_source_type, marketing_contact_status_source_name FROM contacts
        UNION ALL SELECT account, marketing_contact_status, marketing_contact_status_source_type, marketing_contact_status_source_name FROM leads) AS c
 WHERE account = 'a' GROUP BY 1, 2, 3 ORDER BY 1;
SELECT account, marketing_contacts, pending_non_marketing, next_update_at FROM contacts_tier.usage('contacts');
TABLE drift;
-- once more is no run
CALL contacts_tier.rollover();
SELECT count(*) FROM progress;


-- One account only, one table's group only
UPDATE contacts SET marketing_contact_status = 'non_marketing';
SET contacts_tier.now = '2026-03-06 10:00+00';
CALL contacts_tier.rollover('contacts', 'b');
CALL contacts_tier.rollover('contacts', 'no such account');
SELECT account, marketing_contacts, pending_non_marketing, next_update_at FROM contacts_tier.usage('contacts');
SELECT count(*) FROM progress;
CREATE SCHEMA rollover_two;
CREATE TABLE rollover_two.contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('rollover_two.contacts', 'account');
SELECT contacts_tier.subscribe('rollover_two.contacts', 'a', 'rollover');
INSERT INTO rollover_two.contacts VALUES (1, 'a', 'marketing', true);
SET contacts_tier.now = '2026-04-10 10:00+00';
CALL contacts_tier.rollover('rollover_two.contacts');
SELECT contacts, account, pending_non_marketing, next_update_at FROM contacts_tier.usage() WHERE contacts IN ('contacts'::regclass, 'rollover_two.contacts'::regclass);
-- all that one owns
CALL contacts_tier.rollover();
SELECT contacts, account, pending_non_marketing, next_update_at FROM contacts_tier.usage() WHERE contacts IN ('contacts'::regclass, 'rollover_two.contacts'::regclass);
TABLE drift;


-- An account that fails does not hold up the others: each failure is a warning,
-- the end an error, and the next run does what is left.  What it has done in
-- full batches before it failed stays done.
TRUNCATE contacts, leads;
SET contacts_tier.now = '2026-04-11 10:00+00';
INSERT INTO contacts (id, account, email, marketing_contact_status, marketing_contact_until_next_update)
    SELECT n, (ARRAY['a', 'b', 'c'])[n % 3 + 1], 'x' || n, 'marketing', true FROM generate_series(1, 30) AS n;
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.marketing_contact_status = 'non_marketing' AND OLD.email = 'x25' THEN
        RAISE EXCEPTION 'contact 25 stays' USING DETAIL = 'For sentimental reasons.';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION keep();
SET contacts_tier.now = '2026-05-06 10:00+00';
CALL contacts_tier.rollover('contacts', batch_size => 4);
\echo :SQLSTATE
SELECT account, marketing_contacts, pending_non_marketing, next_update_at FROM contacts_tier.usage('contacts');
TABLE drift;
-- the account that is left is still to be done
SELECT accounts_done, accounts_to_do, contacts_to_do FROM progress LIMIT 1;
SELECT * FROM ledger WHERE recorded_at = contacts_tier.clock();
-- in a transaction block the error is the caller's
BEGIN;
CALL contacts_tier.rollover('contacts');
\echo :SQLSTATE
ROLLBACK;
DROP TRIGGER keep ON contacts;
SET contacts_tier.now = '2026-05-07 10:00+00';
CALL contacts_tier.rollover('contacts', batch_size => 4);
SELECT account, marketing_contacts, pending_non_marketing, next_update_at FROM contacts_tier.usage('contacts');
SELECT in_progress, accounts_done, accounts_to_do, contacts_to_do FROM progress LIMIT 2;
-- the ledger tells how many contacts the update date made non-marketing, in whatever runs
SELECT * FROM ledger WHERE recorded_at >= '2026-05-06 10:00+00';
TABLE drift;


-- The application's triggers fire for what a rollover writes, also those that
-- write contacts; a contact that one of them does not let go stays as it is
CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id < 100 THEN
        UPDATE rollover.contacts SET marketing_contact_status = NEW.marketing_contact_status WHERE id = NEW.id + 100;
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION drop_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN CASE WHEN OLD.id = 3 THEN NULL ELSE NEW END;
END $$;
TRUNCATE contacts;
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_until_next_update)
    SELECT n, 'a', 'marketing', n < 100 FROM unnest('{1,2,3,101,102}'::integer[]) AS n;
CREATE TRIGGER follow AFTER UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION follow();
CREATE TRIGGER drop_row BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION drop_row();
SET contacts_tier.now = '2026-06-06 10:00+00';
CALL contacts_tier.rollover('contacts', batch_size => 1);
SELECT id, marketing_contact_status AS status, marketing_contact_until_next_update AS until,
       marketing_contact_status_source_type AS source_type FROM contacts ORDER BY id;
TABLE drift;
DROP TRIGGER follow ON contacts;
DROP TRIGGER drop_row ON contacts;


-- Accounts are told apart by their names, however alike these look
SELECT contacts_tier.subscribe('contacts', a, 'rollover') FROM unnest(ARRAY['A', ' a', 'a ', '', 'NULL', '''', '%s']) AS a;
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_until_next_update)
    SELECT 200 + n, a, 'marketing', true FROM unnest(ARRAY['A', ' a', 'a ', '', 'NULL', '''', '%s']) WITH ORDINALITY AS t (a, n);
SET contacts_tier.now = '2026-07-07 10:00+00';
CALL contacts_tier.rollover('contacts', 'A');
CALL contacts_tier.rollover('contacts', '');
SELECT account, marketing_contact_status AS status FROM contacts WHERE id > 200 ORDER BY id;
CALL contacts_tier.rollover('contacts');
SELECT count(*) FROM contacts WHERE id > 200 AND marketing_contact_status = 'marketing';
TABLE drift;


-- verify() finds what bypassed the triggers, and repair() mends it: counters,
-- and rows that the rules do not allow
TRUNCATE contacts;
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_until_next_update)
    SELECT n, (ARRAY['a', 'b', 'c'])[n % 3 + 1], 'marketing', n % 4 = 0 FROM generate_series(1, 12) AS n;
SELECT account, counted, actual, drift, pending_counted, pending_actual FROM contacts_tier.verify('contacts') WHERE counted > 0;
-- nothing to mend, and nothing in the ledger
SELECT * FROM contacts_tier.repair('contacts');
SELECT count(*) FROM ledger WHERE event = 'repair';
SET session_replication_role = replica;
DELETE FROM contacts WHERE id IN (1, 2);
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_until_next_update) VALUES
    (20, 'a', 'marketing', true), (21, 'a', 'non_marketing', true), (22, 'b', NULL, NULL), (23, 'b', NULL, true),
    (24, 'b', 'marketing', false), (25, NULL, 'marketing', NULL), (26, 'stranger', 'marketing', NULL), (27, 'c', 'non_marketing', false);
UPDATE contacts SET marketing_contact_until_next_update = true WHERE id = 3;
INSERT INTO leads (id, account, marketing_contact_status) VALUES (1, 'c', 'marketing');
RESET session_replication_role;
SELECT account, counted, actual, drift, pending_counted, pending_actual FROM contacts_tier.verify('contacts') WHERE counted > 0 OR actual > 0;
SELECT account, counted, actual, drift, pending_counted, pending_actual FROM contacts_tier.repair('contacts');
TABLE drift;
SELECT id, account, marketing_contact_status AS status, marketing_contact_until_next_update AS until FROM contacts ORDER BY id;
SELECT account, event, contacts, details FROM ledger WHERE event = 'repair';
-- by ALTER TABLE ... DISABLE TRIGGER, and by hand in the counters
ALTER TABLE contacts DISABLE TRIGGER USER;
UPDATE contacts SET account = 'b' WHERE account = 'a';
ALTER TABLE contacts ENABLE TRIGGER USER;
UPDATE contacts_tier_counter SET used = used + 1000, pending = 7 WHERE account = 'c' AND slot = 0;
SELECT account, drift, pending_counted - pending_actual AS pending_drift FROM drift;
-- without a table, all that one owns
SELECT account, drift FROM contacts_tier.repair() WHERE contacts = 'contacts'::regclass;
TABLE drift;
-- what is mended counts from then on, to the tier, too
SELECT contacts_tier.create_plan('rollover small', '{3, 50}');
SELECT contacts_tier.subscribe('contacts', 'small', 'rollover small', 3, on_exceed => 'block');
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'small', 'marketing' FROM generate_series(31, 33) AS n;
SET session_replication_role = replica;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'small', 'marketing' FROM generate_series(34, 36) AS n;
RESET session_replication_role;
SELECT account, counted, actual FROM contacts_tier.repair('contacts');
DELETE FROM contacts WHERE id = 31;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (37, 'small', 'marketing');
\echo :SQLSTATE
DELETE FROM contacts WHERE id IN (32, 33, 34);
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (37, 'small', 'marketing');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (38, 'small', 'marketing');
\echo :SQLSTATE
SELECT account, marketing_contacts, contact_limit FROM contacts_tier.usage('contacts', 'small');
TABLE drift;

DROP SCHEMA rollover, rollover_two CASCADE;
DELETE FROM contacts_tier.plan WHERE name LIKE 'rollover%';
