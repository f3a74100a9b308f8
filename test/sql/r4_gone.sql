--
-- Looked up is not there (rule R4): what is named may be no relation, or none any
-- more
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA gone;
SET search_path = gone, public;
SELECT contacts_tier.create_plan('gone', '{10}');
-- the SQLSTATE of a statement
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;
CREATE TABLE call (template text);
INSERT INTO call VALUES
    ('SELECT * FROM contacts_tier.usage(%s)'), ('SELECT * FROM contacts_tier.verify(%s)'),
    ('SELECT * FROM contacts_tier.repair(%s)'), ('SELECT * FROM contacts_tier.activity(%s)'),
    ('SELECT * FROM contacts_tier.tier_changes(%s)'), ('SELECT * FROM contacts_tier.billing_periods(%s)'),
    ('SELECT * FROM contacts_tier.notifications(%s)'), ('SELECT * FROM contacts_tier.forecast(%s)'),
    ('SELECT * FROM contacts_tier.preview(%s, ''a'', 1)'), ('SELECT contacts_tier.has_access(%s, ''a'')'),
    ('SELECT contacts_tier.attach(%s)'), ('SELECT contacts_tier.detach(%s)'),
    ('SELECT contacts_tier.subscribe(%s, ''a'', ''gone'')'), ('SELECT contacts_tier.cancel(%s, ''a'')'),
    ('SELECT contacts_tier.set_policy(%s, ''a'')'), ('SELECT contacts_tier.change_tier(%s, ''a'', 10)'),
    ('SELECT contacts_tier.approve_upgrade(%s, ''a'')'), ('CALL contacts_tier.rollover(%s)');

-- no relation: the greatest OID, none, and one that was one
CREATE TABLE dropped (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('dropped', 'account');
SELECT 'dropped'::regclass::oid AS dropped \gset
DROP TABLE dropped;
SELECT template, try(format(template, '4294967295::regclass')), try(format(template, '0::regclass')),
       try(format(template, :'dropped' || '::oid::regclass')) AS dropped
  FROM call ORDER BY template COLLATE "C";

-- relations that are no tables, and tables that are not attached
CREATE VIEW no_table AS SELECT 1 AS id;
CREATE TABLE plain (id integer PRIMARY KEY, account text);
SELECT template, try(format(template, '''no_table''')) AS view, try(format(template, '''plain_pkey''')) AS index
  FROM call ORDER BY template COLLATE "C";
SELECT template, try(format(template, '''plain''')) AS not_attached
  FROM call WHERE template NOT LIKE '%attach(%' ORDER BY template COLLATE "C";

-- a table is dropped, renamed and attached again in one transaction: what was found of it
-- before does not hold
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'gone');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');
BEGIN;
SELECT contacts_tier.detach('contacts');
ALTER TABLE contacts RENAME TO former;
CREATE TABLE contacts (email text, account text, id integer PRIMARY KEY);
SELECT contacts_tier.attach('contacts', 'account');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing'), (2, 'a', 'marketing');
SELECT account, counted, actual FROM contacts_tier.verify('contacts');
ROLLBACK;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (2, 'a', 'marketing');
SELECT account, counted, actual FROM contacts_tier.verify('contacts');
-- so do the companion tables move away under a session that has used them
BEGIN;
ALTER TABLE contacts_tier_account RENAME TO away;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'a', 'marketing');
\echo :SQLSTATE
ROLLBACK;
BEGIN;
ALTER SCHEMA gone RENAME TO gone_away;
INSERT INTO gone_away.contacts (id, account, marketing_contact_status) VALUES (3, 'a', 'marketing');
\echo :SQLSTATE
ROLLBACK;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'a', 'marketing');
SELECT account, counted, actual FROM contacts_tier.verify('contacts');

-- nothing that was found holds longer than a message: every look-up is made anew
SET client_min_messages = error;
DO $$
BEGIN
    IF (SELECT setting <> '0' FROM pg_settings WHERE name = 'debug_discard_caches') THEN RETURN; END IF;
    SET debug_discard_caches = 1;
EXCEPTION WHEN OTHERS THEN
    NULL;                       -- only in builds with assertions
END
$$;
SET client_min_messages = warning;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (4, 'a', 'marketing'), (5, 'a', NULL);
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 4;
DELETE FROM contacts WHERE id = 3;
RESET debug_discard_caches;
SELECT account, counted, actual, pending_counted, pending_actual FROM contacts_tier.verify('contacts');

SET client_min_messages = error;
DROP SCHEMA gone CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'gone';
