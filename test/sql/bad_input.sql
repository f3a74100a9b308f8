--
-- Bad input: each refusal with its message and SQLSTATE, and that nothing changed
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA bad_input;
SET search_path = bad_input, public;
CREATE ROLE regress_bad_input_other;
GRANT USAGE, CREATE ON SCHEMA bad_input TO regress_bad_input_other;
SELECT contacts_tier.create_plan('bad_input', '{5, 10}');
SELECT contacts_tier.create_plan('bad_input legacy', '{}', marketing_contacts => false);
CREATE TABLE contacts (id integer PRIMARY KEY, account integer, email text);

-- What there is of tables, columns, triggers, plans and companion rows: one line
-- that tells whether anything has changed since it was asked last
CREATE TABLE seen (state text);
CREATE FUNCTION unchanged() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    old text := (SELECT state FROM bad_input.seen);
    new text;
BEGIN
    SELECT md5(string_agg(line, E'\n' ORDER BY line COLLATE "C")) INTO new FROM (
        SELECT format('%s %s %s', a.attrelid::regclass, a.attname, a.atttypid) AS line
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
         WHERE c.relnamespace = 'bad_input'::regnamespace AND NOT a.attisdropped
        UNION ALL SELECT format('%s %s', tgrelid::regclass, tgname) FROM pg_trigger
        UNION ALL SELECT p::text FROM contacts_tier.plan p
        UNION ALL SELECT t::text FROM contacts_tier.tier t
        UNION ALL SELECT c::text FROM bad_input.contacts c) AS l;
    IF to_regclass('bad_input.contacts_tier_account') IS NOT NULL THEN
        SELECT md5(concat(new, string_agg(line, E'\n' ORDER BY line COLLATE "C"))) INTO new FROM (
            SELECT a::text AS line FROM bad_input.contacts_tier_account a
            UNION ALL SELECT account || ' ' || sum(used) || ' ' || sum(pending) FROM bad_input.contacts_tier_counter GROUP BY account
            UNION ALL SELECT l::text FROM bad_input.contacts_tier_ledger l) AS l;
    END IF;
    DELETE FROM bad_input.seen;
    INSERT INTO bad_input.seen VALUES (new);
    RETURN old = new;
END $$;
SELECT unchanged();


-- attach: what is not a table that can hold contacts
CREATE VIEW a_view AS TABLE contacts;
SELECT contacts_tier.attach('a_view', 'account');
\echo :SQLSTATE
CREATE MATERIALIZED VIEW a_matview AS TABLE contacts;
SELECT contacts_tier.attach('a_matview', 'account');
\echo :SQLSTATE
CREATE SEQUENCE a_sequence;
SELECT contacts_tier.attach('a_sequence');
\echo :SQLSTATE
CREATE FOREIGN DATA WRAPPER regress_bad_input_wrapper;
CREATE SERVER regress_bad_input_server FOREIGN DATA WRAPPER regress_bad_input_wrapper;
CREATE FOREIGN TABLE a_foreign_table (id integer, account integer) SERVER regress_bad_input_server;
SELECT contacts_tier.attach('a_foreign_table', 'account');
\echo :SQLSTATE
DROP FOREIGN DATA WRAPPER regress_bad_input_wrapper CASCADE;
CREATE TYPE a_type AS (id integer, account integer);
SELECT contacts_tier.attach('a_type', 'account');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts_pkey');
\echo :SQLSTATE
SELECT contacts_tier.attach('pg_catalog.pg_class', 'relnamespace');
\echo :SQLSTATE
\set VERBOSITY sqlstate
BEGIN;
SELECT contacts_tier.attach('information_schema.sql_features', 'feature_id');
ROLLBACK;
BEGIN;
SELECT contacts_tier.attach('contacts_tier.plan', 'name');
ROLLBACK;
\set VERBOSITY default
CREATE TEMP TABLE a_temp_table (id integer, account integer);
SELECT contacts_tier.attach('a_temp_table', 'account');
\echo :SQLSTATE
CREATE UNLOGGED TABLE an_unlogged_table (id integer, account integer);
SELECT contacts_tier.attach('an_unlogged_table', 'account');
\echo :SQLSTATE
CREATE TABLE a_parent (id integer, account integer);
CREATE TABLE a_child () INHERITS (a_parent);
SELECT contacts_tier.attach('a_parent', 'account');
\echo :SQLSTATE
SELECT contacts_tier.attach('a_child', 'account');
\echo :SQLSTATE
CREATE TABLE a_partitioned_table (id integer, account integer) PARTITION BY LIST (account);
CREATE TABLE a_partition PARTITION OF a_partitioned_table DEFAULT;
SELECT contacts_tier.attach('a_partition', 'account');
\echo :SQLSTATE
SELECT contacts_tier.attach('no such table');
\echo :SQLSTATE
SELECT contacts_tier.attach(0);
\echo :SQLSTATE
SELECT contacts_tier.attach(NULL);
\echo :SQLSTATE
-- somebody else's table: not to be attached, and not to be locked either
SET ROLE regress_bad_input_other;
SELECT contacts_tier.attach('contacts', 'account');
\echo :SQLSTATE
RESET ROLE;
GRANT EXECUTE ON FUNCTION contacts_tier.attach(regclass, name, jsonb, name, boolean), contacts_tier_internal.maintain_status(), contacts_tier_internal.count_contact(),
    contacts_tier_internal.apply_counts(), contacts_tier_internal.count_truncate(), contacts_tier_internal.create_companions(text, text) TO regress_bad_input_other;
SET ROLE regress_bad_input_other;
BEGIN;
SELECT contacts_tier.attach('contacts', 'account');
\echo :SQLSTATE
ROLLBACK;
-- and one's own where one may not make tables
RESET ROLE;
REVOKE CREATE ON SCHEMA bad_input FROM regress_bad_input_other;
CREATE TABLE others (id integer, account integer);
ALTER TABLE others OWNER TO regress_bad_input_other;
SET ROLE regress_bad_input_other;
\set VERBOSITY sqlstate
SELECT contacts_tier.attach('others', 'account');
\set VERBOSITY default
RESET ROLE;
REVOKE EXECUTE ON FUNCTION contacts_tier.attach(regclass, name, jsonb, name, boolean) FROM regress_bad_input_other;
DROP VIEW a_view;
DROP MATERIALIZED VIEW a_matview;
DROP SEQUENCE a_sequence;
DROP TYPE a_type;
DROP TABLE a_temp_table, an_unlogged_table, a_parent, a_child, a_partitioned_table, others;
SELECT unchanged();

-- attach: columns
SELECT contacts_tier.attach('contacts', 'no such column');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts', 'ctid');
\echo :SQLSTATE
\set VERBOSITY sqlstate
BEGIN;
SELECT contacts_tier.attach('contacts', '');
ROLLBACK;
\set VERBOSITY default
-- of a wrong type: the status, each of the others, and the account
SELECT contacts_tier.attach('contacts', 'account', '{"status": "email"}');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts', 'account', '{"until_next_update": "id"}');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts', 'account', '{"source_type": "id"}');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts', 'account', '{"source_name": "id"}');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts', 'account', '{"updated_at": "email"}');
\echo :SQLSTATE
CREATE TABLE typed (id integer, place point, status contacts_tier.marketing_status,
                    shout text GENERATED ALWAYS AS ('!') STORED, leaving boolean NOT NULL DEFAULT false);
SELECT contacts_tier.attach('typed', 'place');
\echo :SQLSTATE
-- one that cannot be written as the rules want it
SELECT contacts_tier.attach('typed', 'id', '{"source_name": "shout"}');
\echo :SQLSTATE
\set VERBOSITY sqlstate
BEGIN;
SELECT contacts_tier.attach('typed', 'id', '{"until_next_update": "leaving"}');
ROLLBACK;
\set VERBOSITY default
DROP TABLE typed;
SELECT contacts_tier.attach('contacts', 'account', '{"status": "xmin"}');
\echo :SQLSTATE
-- one for two things
SELECT contacts_tier.attach('contacts', 'account', '{"source_type": "email", "source_name": "email"}');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts', 'email', '{"source_name": "email"}');
\echo :SQLSTATE
-- what is not a mapping of columns
SELECT contacts_tier.attach('contacts', 'account', '["status"]');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts', 'account', '"status"');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts', 'account', 'null');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts', 'account', '{"state": "status"}');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts', 'account', '{"status": null}');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts', 'account', '{"status": ""}');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts', 'account', '{"status": 1}');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts', 'account', '{"status": {"status": "status"}}');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts', 'account', '{"status": ["status"]}');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts', 'account', jsonb_build_object('status', repeat('x', 64)));
\echo :SQLSTATE
SELECT unchanged();

-- before it is attached, nothing of it can be managed
SELECT contacts_tier.detach('contacts');
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '1', 'bad_input');
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', '1', grace => 1);
\echo :SQLSTATE
SELECT contacts_tier.has_access('contacts', '1');
\echo :SQLSTATE
SELECT * FROM contacts_tier.usage('contacts');
\echo :SQLSTATE
SELECT * FROM contacts_tier.verify('contacts');
\echo :SQLSTATE
SELECT * FROM contacts_tier.repair('contacts');
\echo :SQLSTATE
CALL contacts_tier.rollover('contacts');
\echo :SQLSTATE
SELECT unchanged();

-- a table twice
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', '1', 'bad_input', on_exceed => 'block');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 1, 'marketing'), (2, 1, 'marketing'), (3, 1, 'non_marketing');
SELECT unchanged();
SELECT contacts_tier.attach('contacts', 'account');
\echo :SQLSTATE
SELECT contacts_tier.attach('contacts');
\echo :SQLSTATE
-- nor the companion tables themselves
\set VERBOSITY sqlstate
BEGIN;
SELECT contacts_tier.attach('contacts_tier_counter', 'account');
ROLLBACK;
\set VERBOSITY default
SELECT unchanged();


-- subscribe: an account that the type does not take, or NULL
SELECT contacts_tier.subscribe('contacts', 'one', 'bad_input');
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '99999999999', 'bad_input');
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '', 'bad_input');
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', NULL, 'bad_input');
\echo :SQLSTATE
SELECT contacts_tier.subscribe(NULL, '2', 'bad_input');
\echo :SQLSTATE
-- twice
SELECT contacts_tier.subscribe('contacts', '1', 'bad_input');
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', ' 01 ', 'bad_input', 10);
\echo :SQLSTATE
-- to what there is not
SELECT contacts_tier.subscribe('contacts', '2', 'no such plan');
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '2', NULL);
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '2', 'bad_input', 7);
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '2', 'bad_input', 0);
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '2', 'bad_input', -5);
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '2', 'bad_input legacy', 5);
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '2', 'bad_input', billing_cycle => 'weekly');
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '2', 'bad_input', billing_cycle => NULL);
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '2', 'bad_input', on_exceed => 'explode');
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '2', 'bad_input', on_exceed => NULL);
\echo :SQLSTATE
-- time zones
-- no statement of ours behind the error
\set SHOW_CONTEXT errors
SELECT contacts_tier.subscribe('contacts', '2', 'bad_input', time_zone => 'Mars/Phobos');
\set SHOW_CONTEXT never
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '2', 'bad_input', time_zone => '');
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '2', 'bad_input', time_zone => NULL);
\echo :SQLSTATE
-- starts that are none
SELECT contacts_tier.subscribe('contacts', '2', 'bad_input', started_at => '2026-01-10 10:00:00.000001+00');
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '2', 'bad_input', started_at => 'infinity');
\echo :SQLSTATE
\set VERBOSITY sqlstate
SELECT contacts_tier.subscribe('contacts', '2', 'bad_input', started_at => '-infinity');
\set VERBOSITY default
SELECT contacts_tier.subscribe('contacts', '2', 'bad_input', grace => -1);
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '2', 'bad_input', grace => NULL);
\echo :SQLSTATE
-- a tier that is too small for what is there: MC001
SELECT contacts_tier.create_plan('bad_input small', '{1}');
SELECT contacts_tier.detach('contacts');
UPDATE contacts SET account = 3 WHERE account = 1;
SELECT contacts_tier.attach('contacts', 'account');
SELECT unchanged();
SELECT contacts_tier.subscribe('contacts', '3', 'bad_input small');
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', '3', 'bad_input small', 1);
\echo :SQLSTATE
SELECT unchanged();


-- set_policy
SELECT contacts_tier.set_policy('contacts', '2', grace => 1);
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', 'one', grace => 1);
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', NULL, grace => 1);
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', '1', on_exceed => 'explode');
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', '1', grace => -1);
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', '1', thresholds => '{90, 75}');
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', '1', thresholds => '{75, 75}');
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', '1', thresholds => '{0, 50}');
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', '1', thresholds => '{50, 101}');
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', '1', thresholds => '{50, NULL}');
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', '1', source_defaults => '[]');
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', '1', source_defaults => 'null');
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', '1', source_defaults => '{"FORM": "maybe"}');
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', '1', source_defaults => '{"FORM": null}');
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', '1', source_defaults => '{"FORM": ["marketing"]}');
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', '1', source_defaults => '{"Fax": "marketing"}');
\echo :SQLSTATE
-- a source type that an account may not change
SELECT contacts_tier.set_policy('contacts', '1', source_defaults => '{"FORM": "non_marketing", "MULTI_OBJECT_IMPORT": "marketing"}');
\echo :SQLSTATE
\set SHOW_CONTEXT errors
SELECT contacts_tier.set_policy('contacts', '1', time_zone => 'Mars/Phobos');
\set SHOW_CONTEXT never
\echo :SQLSTATE
-- one thing wrong, and none of the others is done
SELECT contacts_tier.set_policy('contacts', '1', on_exceed => 'upgrade', grace => 5, time_zone => 'Mars/Phobos');
\echo :SQLSTATE
SELECT unchanged();


-- rollover
CALL contacts_tier.rollover(batch_size => 0);
\echo :SQLSTATE
CALL contacts_tier.rollover('contacts', '1', -1);
\echo :SQLSTATE
CALL contacts_tier.rollover(batch_size => NULL);
\echo :SQLSTATE
CALL contacts_tier.rollover('contacts', 'one');
\echo :SQLSTATE
CALL contacts_tier.rollover('seen');
\echo :SQLSTATE
-- has_access and usage, of an account that is none
SELECT contacts_tier.has_access('contacts', 'one');
\echo :SQLSTATE
SELECT contacts_tier.has_access(NULL, '1');
\echo :SQLSTATE
SELECT * FROM contacts_tier.usage('contacts', 'one');
\echo :SQLSTATE
SELECT unchanged();


-- create_plan: limits that do not grow, or are none
SELECT contacts_tier.create_plan('bad', '{}');
\echo :SQLSTATE
SELECT contacts_tier.create_plan('bad', NULL);
\echo :SQLSTATE
SELECT contacts_tier.create_plan('bad', '{10, 5}');
\echo :SQLSTATE
SELECT contacts_tier.create_plan('bad', '{5, 5}');
\echo :SQLSTATE
SELECT contacts_tier.create_plan('bad', '{0, 5}');
\echo :SQLSTATE
SELECT contacts_tier.create_plan('bad', '{-5}');
\echo :SQLSTATE
SELECT contacts_tier.create_plan('bad', '{5, NULL}');
\echo :SQLSTATE
BEGIN;
SELECT contacts_tier.create_plan('bad', '[2:3]={9, 5}');
\echo :SQLSTATE
ROLLBACK;
BEGIN;
SELECT contacts_tier.create_plan('bad', '{{4, 3}, {2, 1}}');
\echo :SQLSTATE
ROLLBACK;
-- prices
SELECT contacts_tier.create_plan('bad', '{5, 10}', '{1}');
\echo :SQLSTATE
SELECT contacts_tier.create_plan('bad', '{5, 10}', '{}');
\echo :SQLSTATE
SELECT contacts_tier.create_plan('bad', '{5, 10}', '{1, -2}');
\echo :SQLSTATE
SELECT contacts_tier.create_plan('bad', '{5, 10}', '{1, NULL}');
\echo :SQLSTATE
BEGIN;
SELECT contacts_tier.create_plan('bad', '{5, 10}', '{1, NaN}');
\echo :SQLSTATE
ROLLBACK;
BEGIN;
SELECT contacts_tier.create_plan('bad', '{5, 10}', '{1, Infinity}');
\echo :SQLSTATE
ROLLBACK;
-- names
SELECT contacts_tier.create_plan('bad_input', '{5}');
\echo :SQLSTATE
SELECT contacts_tier.create_plan(NULL, '{5}');
\echo :SQLSTATE
SELECT contacts_tier.create_plan('', '{5}');
\echo :SQLSTATE
SELECT contacts_tier.create_plan('bad', '{5}', currency => NULL);
\echo :SQLSTATE
SELECT contacts_tier.create_plan('bad', '{5}', marketing_contacts => NULL);
\echo :SQLSTATE
SELECT contacts_tier.create_plan('bad', '{5}', currency => 'euros');
\echo :SQLSTATE
SELECT contacts_tier.create_plan('bad', '{5}', currency => 'eur');
\echo :SQLSTATE
SELECT unchanged();


-- the pg_cron job, where pg_cron is not installed
GRANT EXECUTE ON FUNCTION contacts_tier.schedule_rollover(text) TO regress_bad_input_other;
SET ROLE regress_bad_input_other;
SELECT contacts_tier.schedule_rollover();
\echo :SQLSTATE
RESET ROLE;
REVOKE EXECUTE ON FUNCTION contacts_tier.schedule_rollover(text) FROM regress_bad_input_other;
SELECT contacts_tier.unschedule_rollover();


-- settings
SET contacts_tier.now = 'half past eight';
\echo :SQLSTATE
SET contacts_tier.nonsense = 'x';
\echo :SQLSTATE
SHOW contacts_tier.now;


-- trigger functions called by hand, or by triggers that attach did not make
SELECT contacts_tier_internal.maintain_status();
\echo :SQLSTATE
CREATE TABLE plain (id integer, account integer);
CREATE TRIGGER wrong BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status();
INSERT INTO plain VALUES (1, 1);
\echo :SQLSTATE
DROP TRIGGER wrong ON plain;
CREATE TRIGGER wrong BEFORE INSERT ON plain FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('bad_input', 'account');
INSERT INTO plain VALUES (1, 1);
\echo :SQLSTATE
DROP TRIGGER wrong ON plain;
CREATE TRIGGER wrong AFTER INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('bad_input', 'account');
INSERT INTO contacts (id, account) VALUES (9, 1);
\echo :SQLSTATE
DROP TRIGGER wrong ON contacts;
CREATE TRIGGER wrong BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.count_contact('bad_input', 'account');
INSERT INTO contacts (id, account) VALUES (9, 1);
\echo :SQLSTATE
DROP TRIGGER wrong ON contacts;
DROP TABLE plain;
SELECT unchanged();


-- Companion tables: not to be dropped under an attached table
DROP TABLE contacts_tier_account;
\echo :SQLSTATE
DROP TABLE contacts_tier_counter;
DROP TABLE contacts_tier_ledger;
SELECT unchanged();
-- the ledger is only added to, also by its owner, where that is no superuser
CREATE SCHEMA owned AUTHORIZATION regress_bad_input_other;
CREATE TABLE owned.contacts (id integer, account integer);
ALTER TABLE owned.contacts OWNER TO regress_bad_input_other;
SELECT contacts_tier.attach('owned.contacts', 'account');
SELECT contacts_tier.subscribe('owned.contacts', '1', 'bad_input');
SET ROLE regress_bad_input_other;
SELECT count(*) FROM owned.contacts_tier_ledger;
UPDATE owned.contacts_tier_ledger SET contacts = 0;
\echo :SQLSTATE
DELETE FROM owned.contacts_tier_ledger;
TRUNCATE owned.contacts_tier_ledger;
RESET ROLE;
-- the extension itself: not without CASCADE
\set VERBOSITY terse
DROP EXTENSION contacts_tier;
\echo :SQLSTATE
\set VERBOSITY default
-- columns that are renamed away are missed at the next write, and found again
ALTER TABLE contacts RENAME COLUMN marketing_contact_status TO status;
INSERT INTO contacts (id, account) VALUES (9, 1);
\echo :SQLSTATE
SELECT * FROM contacts_tier.verify('contacts');
SELECT contacts_tier.detach('contacts');
-- as the hint says: rename it back, detach, and attach with the new name
ALTER TABLE contacts RENAME COLUMN status TO marketing_contact_status;
SELECT contacts_tier.detach('contacts');
ALTER TABLE contacts RENAME COLUMN marketing_contact_status TO status;
SELECT contacts_tier.attach('contacts', 'account', '{"status": "status"}');
INSERT INTO contacts (id, account, status) VALUES (9, 1, 'marketing');
SELECT id, account, status FROM contacts ORDER BY id;
SELECT * FROM contacts_tier.verify('contacts') WHERE drift <> 0 OR pending_counted <> pending_actual;
-- a schema that is renamed away
ALTER SCHEMA owned RENAME TO owned_no_more;
INSERT INTO owned_no_more.contacts VALUES (1, 1, 'marketing');
\echo :SQLSTATE
ALTER SCHEMA owned_no_more RENAME TO owned;
INSERT INTO owned.contacts VALUES (1, 1, 'marketing');
SELECT * FROM contacts_tier.verify('owned.contacts') WHERE drift <> 0 OR pending_counted <> pending_actual;

DROP SCHEMA bad_input, owned CASCADE;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA contacts_tier, contacts_tier_internal FROM regress_bad_input_other;
DROP ROLE regress_bad_input_other;
DELETE FROM contacts_tier.plan WHERE name LIKE 'bad\_input%';
