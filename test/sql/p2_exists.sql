--
-- Contacts that do not exist by a condition of the table: soft delete (rule P2)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
CREATE SCHEMA p2;
SET search_path = p2, public;
SELECT contacts_tier.create_plan('p2', '{3}');
CREATE TABLE contacts (id integer PRIMARY KEY, account text, gone_at date, note text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', a, 'p2', on_exceed => p::contacts_tier.exceed_policy)
  FROM (VALUES ('a', 'block'), ('b', 'cap')) v (a, p);
CREATE VIEW counts AS
    SELECT account, counted, drift, pending_counted AS pending, pending_counted - pending_actual AS pending_drift
      FROM contacts_tier.verify('contacts') ORDER BY 1;

-- what can be a condition
SELECT contacts_tier.set_condition('contacts', 'existing', 'true');
SELECT contacts_tier.set_condition('contacts', 'exists', '');
SELECT contacts_tier.set_condition('contacts', 'exists', 'gone_at IS NULL,');
SELECT contacts_tier.set_condition('contacts', 'exists', 'gone_at IS NULL, true');
SELECT contacts_tier.set_condition('contacts', 'exists', 'true FROM contacts');
SELECT contacts_tier.set_condition('contacts', 'exists', 'true) OR (true');
SELECT contacts_tier.set_condition('contacts', 'exists', '*');
SELECT contacts_tier.set_condition('contacts', 'exists', 'contacts.*');
SELECT contacts_tier.set_condition('contacts', 'exists', 'contacts IS NOT NULL');
SELECT contacts_tier.set_condition('contacts', 'exists', 'ctid IS NOT NULL');
SELECT contacts_tier.set_condition('contacts', 'exists', 'id');
SELECT contacts_tier.set_condition('contacts', 'exists', 'removed_at IS NULL');
SELECT contacts_tier.set_condition('contacts', 'exists', 'EXISTS (SELECT)');
SELECT contacts_tier.set_condition('contacts', 'exists', 'count(*) > 0');
SELECT contacts_tier.set_condition('contacts', 'exists', 'generate_series(1, id) > 0');
SELECT contacts_tier.set_condition('contacts', 'exists', '$1');
SELECT contacts_tier.set_condition('contacts', 'exists', 'gone_at > current_date');
SELECT contacts_tier.set_condition('contacts', 'exists', 'id > random()');
SELECT contacts_tier.set_condition('contacts', 'exists', 'marketing_contact_status_source_type <> ''TEST''');
SELECT contacts_tier.set_condition('contacts', NULL, 'true');
SELECT contacts_tier.set_condition('contacts', 'exists', 'true', 'maybe');
SELECT contacts_tier.set_condition('pg_class', 'exists', 'true');

-- set, changed and dropped on a table with contacts
INSERT INTO contacts
SELECT i, chr(96 + i % 2 + 1), CASE WHEN i > 4 THEN '2025-01-01'::date END, NULL, CASE WHEN i <= 6 THEN 'marketing' ELSE 'non_marketing' END::contacts_tier.marketing_status
  FROM generate_series(1, 10) i;
TABLE counts;
SELECT contacts_tier.set_condition('contacts', 'exists', 'gone_at IS NULL');
TABLE counts;
SELECT contacts_tier.set_condition('contacts', 'exists', 'gone_at IS NULL OR id = 5');
TABLE counts;
SELECT contacts_tier.set_condition('contacts', 'exists', NULL);
TABLE counts;
SELECT contacts_tier.set_condition('contacts', 'exists', 'gone_at IS NULL');
TABLE counts;
-- nobody was promoted or demoted by that
SELECT account, promoted, demoted, corrected FROM contacts_tier.billing_periods('contacts') ORDER BY account;
-- readers are not locked out
BEGIN;
SELECT contacts_tier.set_condition('contacts', 'exists', 'gone_at IS NULL AND id > 0');
SELECT DISTINCT mode FROM pg_locks WHERE relation = 'contacts'::regclass AND mode LIKE '%Exclusive%' ORDER BY 1;
ROLLBACK;

-- what is deleted frees its place at once, and needs room to come back
UPDATE contacts SET gone_at = NULL WHERE id = 6;
UPDATE contacts SET gone_at = NULL WHERE id = 5;
TABLE counts;
INSERT INTO contacts VALUES (20, 'a', NULL, NULL, 'marketing');
UPDATE contacts SET gone_at = '2026-01-01' WHERE id = 6;
INSERT INTO contacts VALUES (20, 'a', NULL, NULL, 'marketing');
UPDATE contacts SET gone_at = NULL WHERE id = 6;
TABLE counts;
-- under "cap" it comes back as a non-marketing contact
INSERT INTO contacts VALUES (21, 'b', '2026-01-01', NULL, 'marketing'), (22, 'b', NULL, NULL, 'marketing');
UPDATE contacts SET gone_at = NULL WHERE id = 21 RETURNING id;
SELECT id, marketing_contact_status, marketing_contact_until_next_update FROM contacts WHERE id IN (21, 22) ORDER BY id;
TABLE counts;
-- one statement can make room for itself
UPDATE contacts SET gone_at = CASE id WHEN 20 THEN '2026-01-01'::date END WHERE id IN (6, 20);
TABLE counts;
-- promotions of what does not exist need no room
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE gone_at IS NOT NULL;
TABLE counts;
-- flags, moves to another account, and the other kinds of statements
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id IN (2, 6);
UPDATE contacts SET account = 'b' WHERE id = 20;
DELETE FROM contacts WHERE id IN (1, 20, 3);
TABLE counts;
INSERT INTO contacts VALUES (6, 'a') ON CONFLICT (id) DO UPDATE SET gone_at = '2026-01-02';
INSERT INTO contacts VALUES (6, 'a') ON CONFLICT (id) DO UPDATE SET gone_at = NULL;
MERGE INTO contacts c USING (VALUES (2, '2026-01-02'::date), (30, NULL), (31, '2026-01-02')) n (id, gone_at) ON n.id = c.id
    WHEN MATCHED THEN UPDATE SET gone_at = n.gone_at
    WHEN NOT MATCHED THEN INSERT (id, account, gone_at, marketing_contact_status) VALUES (n.id, 'b', n.gone_at, 'marketing');
COPY contacts (id, account, gone_at, marketing_contact_status) FROM stdin;
40	b	2026-01-01	marketing
41	b	\N	marketing
\.
TABLE counts;
-- the place of a contact that was flagged is free, too, and it goes with the date all the same
UPDATE contacts SET gone_at = '2026-01-03' WHERE id = 6;
TABLE counts;
SELECT sum(created) AS created, sum(deleted) AS deleted, sum(promoted) AS promoted, sum(demoted) AS demoted
  FROM contacts_tier.activity('contacts', 'a');

-- what comes back follows the policy of who brings it back, not of its source of long ago, whatever else is promoted (T8)
SELECT contacts_tier.subscribe('contacts', 'c', 'p2', on_exceed => 'block');
SELECT contacts_tier.set_policy('contacts', 'c', source_policies => '{"FORM": "cap"}');
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_status_source_type)
VALUES (60, 'c', 'marketing', 'API'), (61, 'c', 'marketing', 'FORM'), (62, 'c', 'non_marketing', 'API'), (63, 'c', 'marketing', 'API');
UPDATE contacts SET gone_at = '2026-01-01' WHERE id = 61;
UPDATE contacts SET gone_at = NULL, marketing_contact_status = 'marketing',
                    marketing_contact_status_source_type = CASE id WHEN 62 THEN 'IMPORT' ELSE marketing_contact_status_source_type END
 WHERE id IN (61, 62);
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (64, 'c', 'marketing');
UPDATE contacts SET gone_at = NULL WHERE id = 61;
SELECT id, gone_at, marketing_contact_status FROM contacts WHERE account = 'c' ORDER BY id;
DELETE FROM contacts WHERE account = 'c';

-- a BEFORE trigger that fires after ours deletes, and one writes beside
CREATE FUNCTION soften() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.note = 'soften' THEN
        NEW.gone_at := '2026-01-04';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER zzz BEFORE INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION soften();
INSERT INTO contacts VALUES (50, 'a', NULL, 'soften', 'marketing'), (51, 'a', NULL, NULL, 'marketing');
UPDATE contacts SET note = 'soften' WHERE id = 51;
TABLE counts;
DROP TRIGGER zzz ON contacts;

-- names and dependencies
ALTER TABLE contacts RENAME gone_at TO removed_at;
SELECT pg_get_triggerdef(oid) FROM pg_catalog.pg_trigger WHERE tgrelid = 'contacts'::regclass AND tgname = 'contacts_tier_exists';
ALTER TABLE contacts DROP COLUMN removed_at;
ALTER TABLE contacts DROP COLUMN removed_at CASCADE;
DROP TRIGGER contacts_tier_exists ON contacts;
ALTER TABLE contacts ALTER removed_at TYPE timestamptz;
ALTER TRIGGER contacts_tier_exists ON contacts RENAME TO lives;
ALTER TABLE contacts DISABLE TRIGGER lives;
SELECT contacts_tier.set_condition('contacts', 'exists', 'removed_at IS NULL AND note IS DISTINCT FROM ''dead''');
UPDATE contacts SET note = 'dead' WHERE id = 41;
TABLE counts;
SELECT drift FROM contacts_tier.repair('contacts');
-- a table is counted out by it
BEGIN;
DROP TABLE contacts CASCADE;
SELECT account, sum(used) AS used, sum(pending) AS pending FROM contacts_tier_counter GROUP BY account ORDER BY 1;
ROLLBACK;
BEGIN;
SELECT contacts_tier.detach('contacts');
SELECT account, sum(used) AS used, sum(pending) AS pending FROM contacts_tier_counter GROUP BY account ORDER BY 1;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'contacts'::regclass AND NOT tgisinternal;
ROLLBACK;
BEGIN;
TRUNCATE contacts;
SELECT account, sum(used) AS used, sum(pending) AS pending FROM contacts_tier_counter GROUP BY account ORDER BY 1;
ROLLBACK;

-- partitions with another order of columns
CREATE TABLE parted (id integer, account text, removed boolean) PARTITION BY LIST (account);
CREATE TABLE parted_a (removed boolean, extra integer, account text, id integer);
ALTER TABLE parted_a DROP COLUMN extra;
ALTER TABLE parted ATTACH PARTITION parted_a FOR VALUES IN ('pa');
SELECT contacts_tier.attach('parted', 'account');
SELECT contacts_tier.set_condition('parted', 'exists', 'removed IS NOT TRUE');
SELECT contacts_tier.subscribe('parted', a, 'p2') FROM unnest('{pa,pb}'::text[]) a;
INSERT INTO parted VALUES (1, 'pa', true, 'marketing'), (2, 'pa', NULL, 'marketing'), (3, 'pa', false, 'marketing');
UPDATE parted SET removed = id = 3;
SELECT account, sum(used) AS used, sum(pending) AS pending FROM contacts_tier_counter WHERE account LIKE 'p%' GROUP BY account ORDER BY 1;
CREATE TABLE parted_b (LIKE parted);
ALTER TABLE parted_b ADD odd integer;
ALTER TABLE parted_b DROP odd;
INSERT INTO parted_b (id, account, removed, marketing_contact_status) VALUES (4, 'pb', true, 'marketing'), (5, 'pb', false, 'marketing');
ALTER TABLE parted ATTACH PARTITION parted_b FOR VALUES IN ('pb');
UPDATE parted SET account = 'pb' WHERE id IN (1, 3);
UPDATE parted SET account = 'pb', removed = false WHERE id = 1;
SELECT account, sum(used) AS used, sum(pending) AS pending FROM contacts_tier_counter WHERE account LIKE 'p%' GROUP BY account ORDER BY 1;
SELECT account, drift FROM contacts_tier.verify('parted') WHERE drift <> 0;
ALTER TABLE parted DETACH PARTITION parted_a;
SELECT account, sum(used) AS used, sum(pending) AS pending FROM contacts_tier_counter WHERE account LIKE 'p%' GROUP BY account ORDER BY 1;
ALTER TABLE parted DETACH PARTITION parted_b;
SELECT account, sum(used) AS used, sum(pending) AS pending FROM contacts_tier_counter WHERE account LIKE 'p%' GROUP BY account ORDER BY 1;

-- a marketing contact without an account cannot come back, neither by a statement nor by another condition
CREATE TABLE lost (id integer PRIMARY KEY, account text, removed boolean, note text);
SELECT contacts_tier.attach('lost', 'account');
SELECT contacts_tier.set_condition('lost', 'exists', 'removed IS NOT TRUE');
SELECT contacts_tier.subscribe('lost', 'z', 'p2');
INSERT INTO lost VALUES (1, NULL, true, NULL, 'marketing'), (2, NULL, true, NULL, 'marketing'), (3, 'z', true, NULL, 'marketing');
UPDATE lost SET removed = false WHERE id = 1;
SELECT contacts_tier.set_condition('lost', 'exists', NULL);
SELECT contacts_tier.set_condition('lost', 'exists', 'removed IS NOT TRUE OR id = 2');
SELECT contacts_tier.set_condition('lost', 'exists', 'removed IS NOT TRUE OR id = 3');
UPDATE lost SET account = 'z' WHERE id = 1;
SELECT account, marketing_contacts FROM contacts_tier.usage('lost', 'z');
SELECT count(*) FROM contacts_tier.repair('lost');
SELECT contacts_tier.set_condition('lost', 'exists', NULL);
SELECT id, account, marketing_contact_status FROM lost ORDER BY id;
-- one that was written behind the triggers is in nobody's way
SET session_replication_role = replica;
INSERT INTO lost VALUES (4, NULL, false, NULL, 'marketing'), (5, NULL, false, NULL, 'marketing');
RESET session_replication_role;
UPDATE lost SET note = 'written' WHERE id = 4;
UPDATE lost SET note = 'written', marketing_contact_status = 'marketing' WHERE id = 5;
UPDATE lost SET account = 'z' WHERE id = 5;
UPDATE lost SET account = NULL WHERE id = 5;
SELECT id, account, note, marketing_contact_status FROM lost WHERE id > 3 ORDER BY id;
SELECT account, drift FROM contacts_tier.verify('lost') WHERE drift <> 0;
SELECT count(*) FROM contacts_tier.repair('lost');
SELECT account, drift FROM contacts_tier.verify('lost') WHERE drift <> 0;
DROP TABLE lost;

-- functions of the owner run as he, under a safe search_path (R3)
CREATE ROLE regress_p2_owner;
CREATE ROLE regress_p2_writer;
GRANT CREATE, USAGE ON SCHEMA p2 TO regress_p2_owner;
GRANT USAGE ON SCHEMA p2 TO regress_p2_writer;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA contacts_tier, contacts_tier_internal TO regress_p2_owner;
CREATE SCHEMA p2_own AUTHORIZATION regress_p2_owner;
SET ROLE regress_p2_owner;
CREATE TABLE p2_own.contacts (id integer PRIMARY KEY, gone boolean);
SELECT contacts_tier.attach('p2_own.contacts');
CREATE FUNCTION p2_own.lives(boolean) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF current_user <> 'regress_p2_owner' OR current_setting('search_path') <> 'pg_catalog, pg_temp' THEN
        RAISE EXCEPTION 'evaluated as % under %', current_user, current_setting('search_path');
    END IF;
    RETURN $1 IS NOT TRUE;
END $$;
REVOKE EXECUTE ON FUNCTION p2_own.lives(boolean) FROM PUBLIC;
SELECT contacts_tier.set_condition('p2_own.contacts', 'exists', 'p2_own.lives(gone)');
GRANT USAGE ON SCHEMA p2_own TO regress_p2_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON p2_own.contacts TO regress_p2_writer;
SELECT contacts_tier.subscribe('p2_own.contacts', 'default', 'p2');
SET ROLE regress_p2_writer;
SELECT contacts_tier.set_condition('p2_own.contacts', 'exists', NULL);
INSERT INTO p2_own.contacts VALUES (1, true, 'marketing'), (2, false, 'marketing'), (3, NULL, 'marketing');
UPDATE p2_own.contacts SET gone = true WHERE id = 3;
DELETE FROM p2_own.contacts WHERE id = 1;
RESET ROLE;
SELECT counted, actual, drift FROM contacts_tier.verify('p2_own.contacts');
-- a function in a condition is depended on, and can be replaced
DROP FUNCTION p2_own.lives(boolean);
DROP FUNCTION p2_own.lives(boolean) CASCADE;
DROP SCHEMA p2_own CASCADE;
RESET search_path;
DROP SCHEMA p2 CASCADE;
DROP OWNED BY regress_p2_owner, regress_p2_writer;
DROP ROLE regress_p2_owner, regress_p2_writer;
DELETE FROM contacts_tier.plan WHERE name = 'p2';
