--
-- TRUNCATE of several tables (rule C1): triggers of all of them fire before the
-- first one is emptied, so somebody else's trigger can write contacts that are counted
-- off already
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE ROLE regress_truncate_writer;
CREATE SCHEMA truncating;
GRANT USAGE, CREATE ON SCHEMA truncating TO regress_truncate_writer;
SET search_path = truncating, public;
SELECT contacts_tier.create_plan('truncating', '{10}');
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'truncating', on_exceed => 'block');
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON contacts TO regress_truncate_writer;
CREATE VIEW drift AS SELECT account, counted, actual FROM contacts_tier.verify('truncating.contacts') WHERE drift <> 0;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(1, 10) n;
INSERT INTO contacts (id, account) VALUES (11, 'a');

SET ROLE regress_truncate_writer;
CREATE TABLE lever (id integer);
CREATE FUNCTION pull() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE current_setting('truncating.command');
    RETURN NULL;
END $$;
CREATE TRIGGER before BEFORE TRUNCATE ON lever EXECUTE FUNCTION pull();
-- deleted or demoted, they would be taken off twice
SET truncating.command = 'DELETE FROM truncating.contacts';
TRUNCATE contacts, lever;
\echo :SQLSTATE
-- new ones would be counted for ever
SET truncating.command = 'INSERT INTO truncating.contacts (id, account, marketing_contact_status) VALUES (12, ''a'', ''marketing'')';
TRUNCATE contacts, lever;
\echo :SQLSTATE
SET truncating.command = 'UPDATE truncating.contacts SET marketing_contact_status = ''marketing'' WHERE id = 11';
TRUNCATE contacts, lever;
\echo :SQLSTATE
-- what is nobody's marketing contact does not matter
SET truncating.command = 'UPDATE truncating.contacts SET account = ''b'' WHERE id = 11';
BEGIN;
TRUNCATE contacts, lever;
ROLLBACK;
-- where the other table comes first, nothing has been counted off yet
SET truncating.command = 'DELETE FROM truncating.contacts WHERE id > 5';
BEGIN;
TRUNCATE lever, contacts;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(1, 10) n;
COMMIT;
RESET ROLE;
TABLE drift;
SELECT marketing_contacts FROM contacts_tier.usage('contacts');
SET ROLE regress_truncate_writer;
-- a trigger that meets the error goes on without the change
SET truncating.command = 'DO $do$ BEGIN DELETE FROM truncating.contacts; EXCEPTION WHEN OTHERS THEN NULL; END $do$';
TRUNCATE contacts, lever;
RESET ROLE;
TABLE drift;
SELECT marketing_contacts FROM contacts_tier.usage('contacts');
-- counting anew would count them once more
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');
SET truncating.command = 'SELECT contacts_tier.repair(''truncating.contacts'')';
TRUNCATE contacts, lever;
\echo :SQLSTATE
-- the first statement of a session comes before the library is loaded
\c -
SET client_min_messages = warning;
SET search_path = truncating, public;
SET truncating.command = 'DELETE FROM truncating.contacts';
TRUNCATE contacts, lever;
\echo :SQLSTATE
\c -
SET client_min_messages = warning;
SET search_path = truncating, public;
SET truncating.command = 'SELECT 1';
BEGIN;
TRUNCATE contacts, lever;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');
COMMIT;
TABLE drift;
SELECT marketing_contacts FROM contacts_tier.usage('contacts');
-- when they are emptied, contacts are counted as ever: by an AFTER trigger, in the same
-- transaction, in a table that is emptied in place, and after an error
DROP TRIGGER before ON lever;
CREATE TRIGGER after AFTER TRUNCATE ON lever EXECUTE FUNCTION pull();
SET truncating.command = 'INSERT INTO truncating.contacts (id, account, marketing_contact_status) VALUES (20, ''a'', ''marketing'')';
TRUNCATE contacts, lever;
BEGIN;
TRUNCATE contacts, lever;
TRUNCATE contacts, lever;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (21, 'a', 'marketing');
SAVEPOINT s;
SET LOCAL truncating.command = 'SELECT 1 / 0';
TRUNCATE contacts, lever;
ROLLBACK TO s;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (22, 'a', 'marketing');
TRUNCATE contacts;
TRUNCATE contacts;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (23, 'a', 'marketing');
COMMIT;
TABLE drift;
SELECT marketing_contacts FROM contacts_tier.usage('contacts');

-- A partition that is emptied alone, and written through the root
CREATE TABLE parts (id integer, account text, marketing_contact_status contacts_tier.marketing_status) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (1) TO (100);
CREATE TABLE part2 PARTITION OF parts FOR VALUES FROM (100) TO (200);
SELECT contacts_tier.attach('parts', 'account');
INSERT INTO parts SELECT n, 'a', 'marketing' FROM generate_series(1, 4) n;
INSERT INTO parts VALUES (100, 'a', 'marketing');
DROP TRIGGER after ON lever;
CREATE TRIGGER before BEFORE TRUNCATE ON lever EXECUTE FUNCTION pull();
-- one that moves on is not in what is emptied
SET truncating.command = 'UPDATE truncating.parts SET id = id + 100 WHERE id = 3';
TRUNCATE part1, lever;
\echo :SQLSTATE
SET truncating.command = 'DELETE FROM truncating.parts WHERE id < 100';
TRUNCATE part1, lever;
\echo :SQLSTATE
SET truncating.command = 'DELETE FROM truncating.parts WHERE id >= 100';
TRUNCATE part1, lever;
TABLE drift;
SELECT marketing_contacts FROM contacts_tier.usage('parts');

RESET search_path;
DROP SCHEMA truncating CASCADE;
DROP ROLE regress_truncate_writer;
