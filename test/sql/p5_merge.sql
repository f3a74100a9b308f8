--
-- Merging two contacts (rule P5; also C1, C2, D2, R2 and R3)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
-- who writes is shown
CREATE ROLE regress_user SUPERUSER;
SET SESSION AUTHORIZATION regress_user;
CREATE SCHEMA p5_merge;
SET search_path = p5_merge;
SELECT contacts_tier.create_plan('p5_merge', '{3, 6}', '{10, 20}', 'EUR');
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'p5_merge', 3, on_exceed => 'block');
CREATE VIEW contact AS
    SELECT id, account, marketing_contact_status AS status, marketing_contact_until_next_update AS until,
           marketing_contact_status_source_type AS source_type, marketing_contact_status_source_name AS source_name
      FROM contacts ORDER BY id;
CREATE VIEW drift AS
    SELECT * FROM contacts_tier.verify('contacts') WHERE drift <> 0 OR pending_counted <> pending_actual;

-- A full account: a form creates a contact that has no room, and the application merges it
-- with the known one
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(1, 3) n;
BEGIN;
SET LOCAL contacts_tier.source_type = 'FORM';
SET LOCAL contacts_tier.source_name = 'signup';
INSERT INTO contacts (id, account) VALUES (4, 'a');
SELECT contacts_tier.merge_contacts('contacts', '4', '1');
COMMIT;
TABLE contact;
-- the other way round: the known one wins, with its source
BEGIN;
SET LOCAL contacts_tier.source_type = 'FORM';
INSERT INTO contacts (id, account) VALUES (5, 'a');
SELECT contacts_tier.merge_contacts('contacts', 2, 5);
COMMIT;
TABLE contact;
-- two marketing contacts: there is room for one more then, and no more
SELECT contacts_tier.merge_contacts('contacts', 3, 2);
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (6, 'a', 'marketing');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (7, 'a', 'marketing');
\echo :SQLSTATE
TABLE drift;
-- what the ledger and the bill have: a contact that is deleted, and one that is promoted
SELECT source_type, source_name, created, deleted, promoted, demoted FROM contacts_tier.activity('contacts', 'a')
 WHERE source_type = 'FORM' ORDER BY source_name;
SELECT opening, peak, promoted, demoted, closing, opening + promoted - demoted = closing AS adds_up
  FROM contacts_tier.billing_periods('contacts', 'a');

-- Above the limit, under each policy: the count stays, so nothing is refused, capped or
-- charged
SELECT contacts_tier.set_policy('contacts', 'a', grace => 2);
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (7, 'a', 'marketing'), (8, 'a', 'marketing');
SELECT contacts_tier.set_policy('contacts', 'a', grace => 0);
INSERT INTO contacts (id, account) SELECT n, 'a' FROM generate_series(11, 13) n;
SELECT contacts_tier.merge_contacts('contacts', 11, 7);
SELECT contacts_tier.set_policy('contacts', 'a', on_exceed => 'cap');
SELECT contacts_tier.merge_contacts('contacts', 12, 8);
SELECT contacts_tier.set_policy('contacts', 'a', on_exceed => 'upgrade');
SELECT contacts_tier.merge_contacts('contacts', 13, 6);
TABLE contact;
SELECT contact_limit, marketing_contacts FROM contacts_tier.usage('contacts', 'a');
TABLE drift;

-- nor if the account has a brake, which has the last word
SELECT contacts_tier.set_policy('contacts', 'a', grace => 0, brake => '{"window": "1 minute", "limit": 100}');
INSERT INTO contacts (id, account) VALUES (14, 'a'), (15, 'a');
UPDATE contacts_tier_account SET contact_limit = 3 WHERE account = 'a';
SELECT contacts_tier.merge_contacts('contacts', 14, 13);
SELECT contacts_tier.set_policy('contacts', 'a', on_exceed => 'cap');
SELECT contacts_tier.merge_contacts('contacts', 15, 14);
SELECT count(*) FROM contacts WHERE marketing_contact_status = 'marketing';
SELECT contact_limit, marketing_contacts FROM contacts_tier.usage('contacts', 'a');
SELECT contacts_tier.set_policy('contacts', 'a', on_exceed => 'upgrade', brake => '{}');
TABLE drift;

-- Flags: unflagged before flagged before non-marketing
DELETE FROM contacts;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(1, 4) n;
UPDATE contacts SET marketing_contact_until_next_update = true WHERE id IN (1, 3, 4);
INSERT INTO contacts (id, account) VALUES (5, 'a');
SELECT contacts_tier.merge_contacts('contacts', 1, 2);
SELECT contacts_tier.merge_contacts('contacts', 5, 3);
SELECT contacts_tier.merge_contacts('contacts', 4, 5);
TABLE contact;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (6, 'a', 'marketing');
SELECT contacts_tier.merge_contacts('contacts', 6, 4);
TABLE contact;
TABLE drift;
-- a flag of before an update date that has passed is not carried over it
UPDATE contacts SET marketing_contact_until_next_update = true WHERE id = 6;
INSERT INTO contacts (id, account) VALUES (7, 'a');
SET contacts_tier.now = '2026-02-15 10:00+00';
SELECT contacts_tier.merge_contacts('contacts', 7, 6);
TABLE contact;
TABLE drift;
SET contacts_tier.now = '2026-01-10 10:00+00';

-- What is refused, with nothing written
INSERT INTO contacts (id, account) VALUES (8, 'b');
SELECT contacts_tier.merge_contacts('contacts', 7, 8);
\echo :SQLSTATE
SELECT contacts_tier.merge_contacts('contacts', 7, 7);
\echo :SQLSTATE
SELECT contacts_tier.merge_contacts('contacts', '7', ' 7');
\echo :SQLSTATE
SELECT contacts_tier.merge_contacts('contacts', 7, 99);
\echo :SQLSTATE
SELECT contacts_tier.merge_contacts('contacts', 99, 7);
\echo :SQLSTATE
SELECT contacts_tier.merge_contacts('contacts', '7', 'x');
\echo :SQLSTATE
SELECT contacts_tier.merge_contacts('contacts', 7, NULL);
\echo :SQLSTATE
SELECT contacts_tier.merge_contacts('pg_class', 7, 8);
\echo :SQLSTATE
TABLE contact;
CREATE SCHEMA p5_merge_keys;
CREATE TABLE p5_merge_keys.two (id integer, account text, PRIMARY KEY (account, id));
CREATE TABLE p5_merge_keys.none (id integer, account text);
SELECT contacts_tier.attach('p5_merge_keys.two', 'account');
SELECT contacts_tier.attach('p5_merge_keys.none', 'account');
SELECT contacts_tier.merge_contacts('p5_merge_keys.two', 7, 8);
\echo :SQLSTATE
SELECT contacts_tier.merge_contacts('p5_merge_keys.none', 7, 8);
\echo :SQLSTATE
DROP SCHEMA p5_merge_keys CASCADE;

-- A merge is its caller's: with all three privileges, and row security
CREATE ROLE regress_p5_merge;
GRANT USAGE ON SCHEMA p5_merge TO regress_p5_merge;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (9, 'a', 'marketing');
GRANT SELECT ON contacts TO regress_p5_merge;
SET ROLE regress_p5_merge;
SELECT contacts_tier.merge_contacts('contacts', 7, 9);
\echo :SQLSTATE
RESET ROLE;
GRANT DELETE ON contacts TO regress_p5_merge;
SET ROLE regress_p5_merge;
SELECT contacts_tier.merge_contacts('contacts', 7, 9);
\echo :SQLSTATE
RESET ROLE;
REVOKE DELETE ON contacts FROM regress_p5_merge;
GRANT UPDATE ON contacts TO regress_p5_merge;
SET ROLE regress_p5_merge;
SELECT contacts_tier.merge_contacts('contacts', 7, 9);
\echo :SQLSTATE
RESET ROLE;
GRANT DELETE ON contacts TO regress_p5_merge;
ALTER TABLE contacts ENABLE ROW LEVEL SECURITY;
CREATE POLICY not_nine ON contacts TO regress_p5_merge USING (id <> 9);
SET ROLE regress_p5_merge;
SELECT contacts_tier.merge_contacts('contacts', 7, 9);
\echo :SQLSTATE
RESET ROLE;
ALTER TABLE contacts DISABLE ROW LEVEL SECURITY;
-- triggers fire as the caller, who is in the ledger
CREATE FUNCTION who() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING '% of % by %', TG_OP, coalesce(NEW.id, OLD.id), current_user;
    RETURN coalesce(NEW, OLD);
END$$;
CREATE TRIGGER who BEFORE UPDATE OR DELETE ON contacts FOR EACH ROW EXECUTE FUNCTION who();
SET ROLE regress_p5_merge;
SELECT contacts_tier.merge_contacts('contacts', 7, 9);
RESET ROLE;
SELECT * FROM contact WHERE id IN (7, 9);
SELECT role, deleted, promoted, demoted FROM contacts_tier.activity('contacts', 'a') WHERE role = 'regress_p5_merge';
-- one that suppresses half of it makes all of it fail
CREATE OR REPLACE FUNCTION who() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
INSERT INTO contacts (id, account) VALUES (9, 'a');
SELECT contacts_tier.merge_contacts('contacts', 7, 9);
\echo :SQLSTATE
SELECT contacts_tier.merge_contacts('contacts', 9, 7);
\echo :SQLSTATE
DROP TRIGGER who ON contacts;
-- nor is the winner deleted with the loser
ALTER TABLE contacts ADD duplicate_of integer REFERENCES contacts ON DELETE CASCADE;
UPDATE contacts SET duplicate_of = 9 WHERE id = 7;
SELECT contacts_tier.merge_contacts('contacts', 7, 9);
\echo :SQLSTATE
SELECT id FROM contacts WHERE id IN (7, 9) ORDER BY id;
UPDATE contacts SET duplicate_of = CASE id WHEN 9 THEN 7 END WHERE id IN (7, 9);
SELECT contacts_tier.merge_contacts('contacts', 9, 7);
\echo :SQLSTATE
SELECT id FROM contacts WHERE id IN (7, 9) ORDER BY id;
ALTER TABLE contacts DROP duplicate_of;
TABLE drift;

-- A contact that counts as deleted has no place to give, nor a status (P2); a winner that does gets one
ALTER TABLE contacts ADD gone boolean;
CREATE FUNCTION p5_merge.lives(boolean) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 IS NOT TRUE';
REVOKE EXECUTE ON FUNCTION p5_merge.lives(boolean) FROM PUBLIC;
SELECT contacts_tier.set_condition('contacts', 'exists', 'lives(gone)');
DELETE FROM contacts;
INSERT INTO contacts (id, account, marketing_contact_status, gone) VALUES (1, 'a', NULL, false), (2, 'a', 'marketing', true), (3, 'a', 'marketing', false);
SET ROLE regress_p5_merge;
SELECT contacts_tier.merge_contacts('contacts', 1, 2);
RESET ROLE;
TABLE contact;
INSERT INTO contacts (id, account, gone) VALUES (4, 'a', true);
SELECT contacts_tier.merge_contacts('contacts', 4, 3);
TABLE contact;
TABLE drift;
SELECT contacts_tier.set_condition('contacts', 'exists', NULL);
TABLE drift;

-- Keys of other types, partitions, quoted names, and a caller's path that has operators of
-- the same names
CREATE SCHEMA "p5 Merge";
CREATE TABLE "p5 Merge"."Con""tacts" ("I d" text PRIMARY KEY) PARTITION BY HASH ("I d");
CREATE TABLE "p5 Merge".p0 PARTITION OF "p5 Merge"."Con""tacts" FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE "p5 Merge".p1 PARTITION OF "p5 Merge"."Con""tacts" FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT contacts_tier.attach('"p5 Merge"."Con""tacts"');
SELECT contacts_tier.subscribe('"p5 Merge"."Con""tacts"', 'default', 'p5_merge', 3, on_exceed => 'block');
INSERT INTO "p5 Merge"."Con""tacts" ("I d", marketing_contact_status) VALUES ('a', 'marketing'), ('b', 'marketing'), ('c', 'marketing'), ('d', NULL), ('e', NULL);
CREATE FUNCTION p5_merge.never(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'called'; END$$;
CREATE OPERATOR p5_merge.= (LEFTARG = text, RIGHTARG = text, FUNCTION = p5_merge.never);
SET search_path = p5_merge, pg_catalog;
SELECT contacts_tier.merge_contacts('"p5 Merge"."Con""tacts"', 'd', 'a');
SELECT contacts_tier.merge_contacts('"p5 Merge"."Con""tacts"', 'e'::text, 'b'::text);
SELECT "I d", marketing_contact_status FROM "p5 Merge"."Con""tacts" ORDER BY 1;
SELECT counted, actual FROM contacts_tier.verify('"p5 Merge"."Con""tacts"');
RESET search_path;

DROP SCHEMA p5_merge CASCADE;
DROP SCHEMA "p5 Merge" CASCADE;
DROP ROLE regress_p5_merge;
DELETE FROM contacts_tier.plan WHERE name = 'p5_merge';
RESET SESSION AUTHORIZATION;
DROP ROLE regress_user;
