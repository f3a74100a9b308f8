--
-- A generated column that takes the name of the account column (rule C1): an
-- UPDATE of what it is generated from does not name it, and no trigger sees it change
--
SET client_min_messages = warning;
\set SHOW_CONTEXT never
\set VERBOSITY terse
CREATE SCHEMA generated;
SET search_path = generated, public;
SELECT contacts_tier.create_plan('generated', '{10}');
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', a, 'generated') FROM unnest('{a,b}'::text[]) a;
INSERT INTO contacts VALUES (1, 'a', 'marketing');
ALTER TABLE contacts RENAME account TO given_account;
ALTER TABLE contacts ADD account text GENERATED ALWAYS AS (lower(given_account)) STORED;
INSERT INTO contacts (id, given_account, marketing_contact_status) VALUES (2, 'A', 'marketing');
\echo :SQLSTATE
UPDATE contacts SET given_account = 'B';
DELETE FROM contacts;
COPY contacts (id, given_account) FROM PROGRAM 'echo 3,A' (FORMAT csv);
SELECT account, counted, actual FROM contacts_tier.verify('contacts');
ALTER TABLE contacts DROP account;
ALTER TABLE contacts RENAME given_account TO account;
UPDATE contacts SET account = 'b';
SELECT account, counted, actual FROM contacts_tier.verify('contacts');
-- the same for the flag
ALTER TABLE contacts RENAME marketing_contact_until_next_update TO given;
ALTER TABLE contacts ADD marketing_contact_until_next_update boolean GENERATED ALWAYS AS (id > 1) STORED;
UPDATE contacts SET id = 2;
\echo :SQLSTATE
RESET search_path;
DROP SCHEMA generated CASCADE;
