--
-- Contacts that only time makes ineligible: by the clock of the extension, and by the rollover in
-- batches.  What a condition calls for the statement, and for each row.  Rule P3.
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
CREATE SCHEMA p3t;
SET search_path = p3t, public;
SELECT contacts_tier.create_plan('p3t', '{100}');
CREATE TABLE contacts (id integer PRIMARY KEY, account text, opened_at timestamptz);
SET contacts_tier.now = '2026-01-10 12:00+00';
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', a, 'p3t', started_at => '2026-01-01') FROM unnest('{a,b}'::text[]) a;
CREATE VIEW state AS
    SELECT id, marketing_contact_status AS status, marketing_contact_until_next_update AS flag,
           marketing_contact_status_source_type AS source, marketing_contact_status_updated_at AS at
      FROM contacts ORDER BY id;
CREATE VIEW counts AS
    SELECT account, counted, drift, pending_counted AS pending, pending_counted - pending_actual AS pending_drift
      FROM contacts_tier.verify('contacts') ORDER BY 1;

-- writes, ineligible(), audience() and the rollover see the same clock
SELECT contacts_tier.set_condition('contacts', 'eligible', 'opened_at > contacts_tier.clock() - interval ''60 days''');
INSERT INTO contacts SELECT i, 'a', '2026-01-05', 'marketing' FROM generate_series(1, 10) i;
COPY contacts (id, account, opened_at, marketing_contact_status) FROM stdin;
11	a	2025-01-05	marketing
12	a	2026-01-09	marketing
20	b	2026-01-09	marketing
\.
TABLE counts;
SELECT count(*) FROM contacts_tier.ineligible('contacts');
SET contacts_tier.now = '2026-03-06 12:00+00';
INSERT INTO contacts VALUES (13, 'a', '2026-01-05', 'marketing');
UPDATE contacts SET opened_at = '2026-03-01' WHERE id = 12;
SELECT * FROM state WHERE id >= 11;
SELECT account, array_agg(contact ORDER BY contact::integer) FROM contacts_tier.ineligible('contacts') GROUP BY 1;
SELECT reason, contacts FROM contacts_tier.audience('contacts', 'a', 'marketing_email');
-- the dates before have nothing to apply, and what they find stays until the next one
SELECT marketing_contacts, pending_non_marketing, next_update_at FROM contacts_tier.usage('contacts', 'a');

-- flagged in batches of three; where the run is interrupted, those before stay
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'not now';
END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON contacts FOR EACH ROW WHEN (OLD.id = 8) EXECUTE FUNCTION refuse();
CALL contacts_tier.rollover('contacts', 'a', 3);
SELECT id, flag, source, at FROM state WHERE flag;
TABLE counts;
SELECT next_update_at FROM contacts_tier.usage('contacts', 'a');
DROP TRIGGER refuse ON contacts;
SET contacts_tier.now = '2026-03-06 13:00+00';
CALL contacts_tier.rollover('contacts', 'a', 3);
SELECT id, flag, source, at FROM state WHERE flag;
TABLE counts;
SELECT count(DISTINCT xmin::text) AS steps FROM contacts WHERE marketing_contact_until_next_update;
SELECT next_update_at FROM contacts_tier.usage('contacts', 'a');
-- a run without batches leaves the same
CALL contacts_tier.rollover('contacts', 'b');
SELECT id, flag FROM state WHERE id = 20;
-- they go on the date after, also in batches
SET contacts_tier.now = '2026-04-02 12:00+00';
CALL contacts_tier.rollover('contacts', NULL, 3);
SELECT id, status, flag, at FROM state;
TABLE counts;

-- now() is the clock of the server, whatever contacts_tier.now says
SELECT contacts_tier.set_condition('contacts', 'eligible', 'opened_at > now() - interval ''60 days''');
INSERT INTO contacts VALUES (30, 'a', now(), 'marketing'), (31, 'a', '2001-01-01', 'marketing');
SELECT id, status FROM state WHERE id >= 30;

-- a part that reads no column is evaluated once a statement, and where it is come to
CREATE FUNCTION since() RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
BEGIN
    RAISE WARNING 'since %', current_setting('p3t.since');
    RETURN current_setting('p3t.since');
END $$;
SELECT contacts_tier.set_condition('contacts', 'eligible',
    'CASE WHEN account = ''b'' THEN opened_at > p3t.since() ELSE opened_at IS NOT NULL END');
SET p3t.since = '2026-01-01';
INSERT INTO contacts SELECT i, 'a', '2026-02-01', 'marketing' FROM generate_series(40, 42) i;
INSERT INTO contacts SELECT i, 'b', '2026-02-01', 'marketing' FROM generate_series(43, 45) i;
UPDATE contacts SET opened_at = opened_at + interval '1 day' WHERE id BETWEEN 40 AND 45;
BEGIN;
UPDATE contacts SET opened_at = opened_at + interval '1 day' WHERE id IN (43, 44);
SET LOCAL p3t.since = '2026-03-01';
UPDATE contacts SET opened_at = opened_at + interval '1 day' WHERE id IN (44, 45);
SAVEPOINT s;
SET LOCAL p3t.since = 'never';
UPDATE contacts SET opened_at = opened_at + interval '1 day' WHERE id = 43;
ROLLBACK TO s;
UPDATE contacts SET opened_at = opened_at + interval '1 day' WHERE id = 43;
COMMIT;
DO $$BEGIN
    UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 44;
    PERFORM set_config('p3t.since', '2026-01-02', false);
    UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 44;
END$$;
SELECT id, status, flag FROM state WHERE id >= 40;
TABLE counts;
-- it must not write contacts
CREATE FUNCTION intrude() RETURNS void LANGUAGE sql AS $$ INSERT INTO p3t.contacts VALUES (99, 'b', now(), 'marketing') $$;
CREATE OR REPLACE FUNCTION since() RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
BEGIN
    PERFORM p3t.intrude();
    RETURN now();
END $$;
UPDATE contacts SET opened_at = now() WHERE id = 45;

-- an UPDATE of what a condition reads leaves contacts alone that stay what they are, and mends others
SELECT contacts_tier.set_condition('contacts', 'eligible', 'opened_at > ''2026-01-01''');
ALTER TABLE contacts DISABLE TRIGGER USER;
UPDATE contacts SET marketing_contact_until_next_update = true WHERE id = 1;
UPDATE contacts SET marketing_contact_status = NULL WHERE id = 2;
ALTER TABLE contacts ENABLE TRIGGER USER;
UPDATE contacts SET opened_at = '2026-05-01' WHERE id IN (1, 2, 3, 12, 42, 43);
UPDATE contacts SET opened_at = CASE WHEN id = 42 THEN '2025-05-01' ELSE opened_at END::timestamptz WHERE id IN (12, 42, 43);
SELECT id, status, flag, source FROM state WHERE id IN (1, 2, 3, 12, 42, 43);
TABLE counts;
SELECT count(*) FROM contacts_tier.repair('contacts');

RESET search_path;
RESET contacts_tier.now;
DROP SCHEMA p3t CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'p3t';
