--
-- How the count of an account came about: usage_history() and sources() (rules D2, D3)
--
SET TIME ZONE 'UTC';
SET datestyle = 'ISO, YMD';
SET client_min_messages = error;
\set VERBOSITY terse
\pset null '-'
SET contacts_tier.now = '2026-04-15 12:00+00';

CREATE SCHEMA usage_history;
SET search_path = usage_history, public;
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
CREATE TABLE leads (LIKE contacts INCLUDING ALL);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.attach('leads', 'account');
SELECT contacts_tier.create_plan('usage history', '{100, 200}', '{10, 20}');
SELECT contacts_tier.subscribe('contacts', 'a', 'usage history');

-- What the counters were is noted as it happens, and must come out again
CREATE TABLE seen (at timestamptz, marketing_contacts bigint, pending bigint, contact_limit bigint);
CREATE PROCEDURE see(at timestamptz) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('contacts_tier.now', at::text, false);
    INSERT INTO seen SELECT see.at, marketing_contacts, pending_non_marketing, contact_limit FROM contacts_tier.usage('contacts', 'a');
END $$;
INSERT INTO contacts SELECT n, 'a', 'marketing' FROM generate_series(1, 50) n;
CALL see('2026-04-16 12:00+00');
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id <= 20;
CALL see('2026-04-20 12:00+00');
INSERT INTO leads SELECT n, 'a', 'marketing' FROM generate_series(1, 60) n;
CALL see('2026-05-10 12:00+00');
-- flagged after the update date, before it is applied in batches
CALL see('2026-05-16 12:00+00');
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id BETWEEN 21 AND 25;
CALL see('2026-05-17 12:00+00');
CALL contacts_tier.rollover('contacts', batch_size => 8);
CALL see('2026-05-18 12:00+00');
UPDATE contacts SET marketing_contact_until_next_update = false WHERE id = 21;
DELETE FROM leads WHERE id <= 10;
CALL see('2026-06-18 12:00+00');
CALL contacts_tier.rollover('contacts');
CALL see('2026-06-19 12:00+00');
TABLE seen;
-- what was seen at an instant is what it was just before
SELECT s.at, h.marketing_contacts - s.marketing_contacts AS marketing, h.pending - s.pending AS pending, h.contact_limit - s.contact_limit AS "limit"
  FROM seen s CROSS JOIN LATERAL contacts_tier.usage_history('contacts', 'a', s.at - interval '1 second', '100 years') h
 WHERE h.at = s.at - interval '1 second' ORDER BY 1;

-- By default from the start of the current period and the two before
SELECT min(at), max(at), count(*) FROM contacts_tier.usage_history('contacts', 'a');
-- without activity, what is not recorded appears at the start of its period
SELECT contacts_tier.set_policy('contacts', 'a', record_activity => false);
SET contacts_tier.now = '2026-06-25 12:00+00';
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id BETWEEN 41 AND 50;
SET contacts_tier.now = '2026-07-20 12:00+00';
CALL contacts_tier.rollover('contacts');
SELECT * FROM contacts_tier.usage_history('contacts', 'a', '2026-06-17 12:00+00', '8 days');
-- repair, a subscription that ends, an account without one
SET session_replication_role = replica;
DELETE FROM leads WHERE id = 11;
RESET session_replication_role;
SET contacts_tier.now = '2026-07-21 12:00+00';
SELECT drift FROM contacts_tier.repair('contacts');
SELECT contacts_tier.cancel('contacts', 'a');
SET contacts_tier.now = '2026-08-15 12:00+00';
CALL contacts_tier.rollover('contacts');
SELECT * FROM contacts_tier.usage_history('contacts', 'a', '2026-07-20 12:00+00', '13 days');
-- at the end all leave, also those that were not flagged
SELECT contacts_tier.subscribe('contacts', 'ends', 'usage history');
INSERT INTO contacts SELECT n, 'ends', 'marketing' FROM generate_series(301, 330) n;
SET contacts_tier.now = '2026-08-20 12:00+00';
UPDATE contacts SET marketing_contact_until_next_update = true WHERE id BETWEEN 301 AND 305;
SELECT contacts_tier.cancel('contacts', 'ends');
SET contacts_tier.now = '2026-09-16 12:00+00';
CALL contacts_tier.rollover('contacts', batch_size => 2);
SELECT * FROM contacts_tier.usage_history('contacts', 'ends', '2026-08-16 12:00+00', '10 days');
SET contacts_tier.now = '2026-08-15 12:00+00';
SELECT * FROM contacts_tier.usage_history('contacts', 'nobody', step => '1 month');
SELECT * FROM contacts_tier.usage_history('contacts', 'a', '2030-01-01');

SELECT contacts_tier.usage_history('contacts', 'a', step => '0');
SELECT contacts_tier.usage_history('contacts', 'a', step => '1 month -31 days');
SELECT contacts_tier.usage_history('contacts', 'a', step => NULL);
-- as many steps as anybody can wait for
SELECT contacts_tier.usage_history('contacts', 'a', '0001-01-01 00:00+00', '1 second');
SELECT contacts_tier.usage_history('contacts', 'a', step => '1 second');
SELECT count(*) FROM contacts_tier.usage_history('contacts', 'a', contacts_tier.clock() - interval '1 day', '1 second');
SELECT contacts_tier.usage_history('contacts', 'a', '-infinity');
SELECT contacts_tier.usage_history('contacts', NULL);
SELECT contacts_tier.usage_history('seen', 'a');

-- Sources, of all tables that are counted together
SELECT contacts_tier.subscribe('contacts', 'b', 'usage history');
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_status_source_type, marketing_contact_status_source_name)
    SELECT 100 + n, 'b', 'marketing', CASE WHEN n <= 5 THEN 'IMPORT' ELSE 'FORM' END, 'list ' || n % 3 FROM generate_series(1, 12) n;
INSERT INTO leads (id, account, marketing_contact_status, marketing_contact_status_source_type, marketing_contact_status_source_name)
    VALUES (200, 'b', 'marketing', 'FORM', 'list 7'), (201, 'b', 'non_marketing', 'API', 'none');
UPDATE contacts SET marketing_contact_until_next_update = true, marketing_contact_status_source_type = 'FORM' WHERE id = 101;
SELECT * FROM contacts_tier.sources('contacts', 'b');
SELECT * FROM contacts_tier.sources('leads', 'nobody');
CREATE ROLE contacts_tier_history_reader;
GRANT USAGE ON SCHEMA usage_history TO contacts_tier_history_reader;
GRANT SELECT ON contacts_tier_account, contacts_tier_counter TO contacts_tier_history_reader;
SET ROLE contacts_tier_history_reader;
SELECT * FROM contacts_tier.sources('contacts', 'b');
SELECT * FROM contacts_tier.usage_history('contacts', 'b');
RESET ROLE;
GRANT SELECT ON contacts_tier_ledger TO contacts_tier_history_reader;
SET ROLE contacts_tier_history_reader;
SELECT max(marketing_contacts) FROM contacts_tier.usage_history('contacts', 'b');
RESET ROLE;

DROP SCHEMA usage_history CASCADE;
DROP ROLE contacts_tier_history_reader;
DELETE FROM contacts_tier.plan WHERE name = 'usage history';
