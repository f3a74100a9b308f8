--
-- EXCLUDED as a whole row carries what was given, and nothing else, as its columns do
-- (rule S4)
--
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET contacts_tier.now = '2026-01-10 10:00+00';
CREATE SCHEMA excluded_row;
SET search_path = excluded_row, public;
SELECT contacts_tier.create_plan('excluded_row', '{10}');
CREATE TABLE contacts (id integer PRIMARY KEY, gone integer, account text, note text);
ALTER TABLE contacts DROP gone;
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'excluded_row');
INSERT INTO contacts VALUES (1, 'a', 'first', 'marketing');
PREPARE upsert AS INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_until_next_update)
    VALUES (1, 'a', $1, $2) ON CONFLICT (id) DO UPDATE SET note = EXCLUDED::text RETURNING note;
EXECUTE upsert(NULL, NULL);
EXECUTE upsert('marketing', NULL);
EXECUTE upsert('non_marketing', true);
-- an import that takes everything from the row flags nobody, and signs for nothing
INSERT INTO contacts (id, account, note) VALUES (1, 'a', 'imported') ON CONFLICT (id) DO UPDATE
    SET (note, marketing_contact_status, marketing_contact_status_source_name) =
        (SELECT r.note, r.marketing_contact_status, r.marketing_contact_status_source_name
           FROM jsonb_populate_record(NULL::contacts, to_jsonb(EXCLUDED)) r)
    RETURNING note, marketing_contact_status, marketing_contact_until_next_update;
INSERT INTO contacts AS c (id, account, note) VALUES (1, 'a', 'imported') ON CONFLICT (id) DO UPDATE
    SET note = 'not reached' WHERE (to_jsonb(EXCLUDED)->>'marketing_contact_status') = 'non_marketing';
SELECT id, note FROM contacts;
-- partitions with other columns
CREATE TABLE parts (id integer PRIMARY KEY, account text, note text) PARTITION BY RANGE (id);
CREATE TABLE part1 (note text, gone integer, account text, id integer NOT NULL);
ALTER TABLE part1 DROP gone;
ALTER TABLE parts ATTACH PARTITION part1 FOR VALUES FROM (0) TO (10);
SELECT contacts_tier.attach('parts', 'account');
INSERT INTO parts VALUES (1, 'a', 'first', 'marketing');
INSERT INTO parts (id, account) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET note = EXCLUDED::text RETURNING note;
INSERT INTO part1 (id, account) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET note = EXCLUDED::text RETURNING note;
SELECT account, drift FROM contacts_tier.verify('parts');
RESET search_path;
DROP SCHEMA excluded_row CASCADE;
