--
-- An account column of type citext, whose equality is not that of text.  Where
-- the extension citext is not at hand, there is nothing to test.
--
SELECT NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'citext') AS skip_test \gset
\if :skip_test
\quit
\endif
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET contacts_tier.now = '2026-01-10 10:00+00';

CREATE SCHEMA citext_home;
CREATE EXTENSION citext SCHEMA citext_home;
CREATE SCHEMA citext_test;
CREATE TABLE citext_test.contacts (id integer PRIMARY KEY, account citext_home.citext);
-- neither schema is in the search_path, here and in all that follows
SELECT contacts_tier.attach('citext_test.contacts', 'account');
SELECT contacts_tier.create_plan('citext', '{3, 10}');
SELECT contacts_tier.subscribe('citext_test.contacts', 'Acme', 'citext', on_exceed => 'block');
SELECT contacts_tier.subscribe('citext_test.contacts', 'ACME', 'citext');
INSERT INTO citext_test.contacts (id, account, marketing_contact_status) VALUES (1, 'acme', 'marketing'), (2, 'ACME', 'marketing');
INSERT INTO citext_test.contacts (id, account, marketing_contact_status) VALUES (3, 'aCME', 'marketing');
INSERT INTO citext_test.contacts (id, account, marketing_contact_status) VALUES (4, 'AcMe', 'marketing');
UPDATE citext_test.contacts SET account = 'acMe', marketing_contact_status = 'non_marketing' WHERE id = 1;
SELECT account, contact_limit, marketing_contacts, pending_non_marketing FROM contacts_tier.usage('citext_test.contacts', 'acMe');
SELECT contacts_tier.has_access('citext_test.contacts', 'aCMe');
BEGIN;
SET LOCAL contacts_tier.source_type = 'FORM';
INSERT INTO citext_test.contacts (id, account) VALUES (5, 'nobody');
SELECT contacts_tier.set_policy('citext_test.contacts', 'ACME', on_exceed => 'upgrade');
INSERT INTO citext_test.contacts (id, account) VALUES (6, 'AcMe');
COMMIT;
SELECT id, account, marketing_contact_status AS status FROM citext_test.contacts ORDER BY id;
SET contacts_tier.now = '2026-02-10 10:00+00';
CALL contacts_tier.rollover('citext_test.contacts', 'acmE', 1);
SELECT account, counted, actual, drift, pending_counted, pending_actual FROM contacts_tier.verify('citext_test.contacts');
SET session_replication_role = replica;
DELETE FROM citext_test.contacts WHERE id = 2;
RESET session_replication_role;
SELECT account, counted, actual, drift FROM contacts_tier.repair('citext_test.contacts');
SELECT contacts_tier.detach('citext_test.contacts');
SELECT account, sum(used) AS used FROM citext_test.contacts_tier_counter GROUP BY account;

DROP SCHEMA citext_test CASCADE;
DROP EXTENSION citext;
DROP SCHEMA citext_home;
DELETE FROM contacts_tier.plan WHERE name = 'citext';
