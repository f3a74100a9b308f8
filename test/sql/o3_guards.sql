--
-- What an attached table needs is neither dropped nor given another type; a plan with
-- subscribed accounts is not deleted (rule O3)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA o3;
SET search_path = o3;
SELECT contacts_tier.create_plan('o3', '{2, 4}', '{10, 20}');
SELECT contacts_tier.create_plan('o3 other', '{2, 4}');
CREATE TABLE contacts (id integer PRIMARY KEY, account varchar(10), note text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'o3', 2);
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');

-- Columns, in whatever form of the command, and in any session
ALTER TABLE contacts DROP COLUMN marketing_contact_status;
\echo :SQLSTATE
ALTER TABLE contacts DROP COLUMN account CASCADE;
ALTER TABLE contacts ADD COLUMN extra text, DROP COLUMN note, DROP COLUMN marketing_contact_until_next_update, ALTER COLUMN id TYPE bigint;
ALTER TABLE contacts DROP COLUMN marketing_contact_status_updated_at, ADD COLUMN marketing_contact_status_updated_at timestamptz;
ALTER TABLE contacts ALTER COLUMN marketing_contact_status TYPE text;
\echo :SQLSTATE
ALTER TABLE contacts ALTER COLUMN marketing_contact_status_source_name TYPE varchar(20);
ALTER TABLE contacts ALTER COLUMN account TYPE text;
ALTER TABLE contacts ALTER COLUMN account TYPE varchar(10) COLLATE "C";
\c -
\i :settings
SET search_path = o3;
ALTER TABLE contacts DROP COLUMN marketing_contact_status_source_type;
-- also when another event trigger runs commands of its own
CREATE FUNCTION dropped() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN CREATE TABLE log (); DROP TABLE log; END$$;
CREATE EVENT TRIGGER o3_dropped ON sql_drop WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION dropped();
ALTER TABLE contacts DROP COLUMN marketing_contact_status_source_type;
DROP EVENT TRIGGER o3_dropped;
-- what does no harm is done
ALTER TABLE contacts DROP COLUMN note, ALTER COLUMN id TYPE bigint, ALTER COLUMN account TYPE varchar(20);
ALTER TABLE contacts RENAME COLUMN account TO company;
ALTER TABLE contacts RENAME COLUMN company TO account;
-- one that was renamed may be any column, until it is renamed back
ALTER TABLE contacts RENAME COLUMN marketing_contact_status TO former;
ALTER TABLE contacts DROP COLUMN former;
ALTER TABLE contacts ALTER COLUMN former TYPE text;
ALTER TABLE contacts RENAME COLUMN former TO marketing_contact_status;
-- a column of the wrong type can be given the right one, and a generated one can go
BEGIN;
ALTER TABLE contacts RENAME COLUMN marketing_contact_status_source_name TO source_name;
ALTER TABLE contacts ADD COLUMN marketing_contact_status_source_name varchar(20);
ALTER TABLE contacts ALTER COLUMN marketing_contact_status_source_name TYPE text;
ALTER TABLE contacts RENAME COLUMN account TO company;
ALTER TABLE contacts ADD COLUMN account text GENERATED ALWAYS AS (company) STORED;
ALTER TABLE contacts DROP COLUMN account;
ROLLBACK;

-- The index: one of them must be left
DROP INDEX contacts_contacts_tier_pending;
\echo :SQLSTATE
DROP INDEX CONCURRENTLY contacts_contacts_tier_pending;
REINDEX INDEX CONCURRENTLY contacts_contacts_tier_pending;
CREATE INDEX another ON contacts (account, id) WHERE marketing_contact_until_next_update AND contacts_tier_internal.library_loaded();
DROP INDEX CONCURRENTLY contacts_contacts_tier_pending;
DROP INDEX another CASCADE;
ALTER INDEX another RENAME TO contacts_contacts_tier_pending;
-- with a column of the primary key it may go
BEGIN;
ALTER TABLE contacts DROP COLUMN id;
SELECT count(*) FROM contacts_tier.repair('contacts');
\d contacts_contacts_tier_pending
ROLLBACK;

-- The type of a column that is dropped, partitions, and all that is dropped together
CREATE SCHEMA o3_types;
CREATE TABLE o3_types.contacts (id integer) PARTITION BY RANGE (id);
CREATE TABLE o3_types.p PARTITION OF o3_types.contacts FOR VALUES FROM (1) TO (10);
CREATE DOMAIN o3_types.account AS text;
ALTER TABLE o3_types.contacts ADD account o3_types.account;
SELECT contacts_tier.attach('o3_types.contacts', 'account');
DROP DOMAIN o3_types.account CASCADE;
CREATE ROLE regress_o3_owner;
GRANT CREATE ON SCHEMA o3_types TO regress_o3_owner;
ALTER DOMAIN o3_types.account OWNER TO regress_o3_owner;
DROP OWNED BY regress_o3_owner CASCADE;
ALTER DOMAIN o3_types.account OWNER TO CURRENT_USER;
DROP OWNED BY regress_o3_owner;
DROP ROLE regress_o3_owner;
ALTER TABLE o3_types.contacts DROP COLUMN marketing_contact_status;
ALTER TABLE o3_types.contacts ALTER COLUMN marketing_contact_status TYPE text;
ALTER TABLE o3_types.contacts ALTER COLUMN account TYPE text;
DROP INDEX o3_types.contacts_contacts_tier_pending;
ALTER TABLE o3_types.contacts DETACH PARTITION o3_types.p;
ALTER TABLE o3_types.p DROP COLUMN marketing_contact_status;
BEGIN;
DROP TABLE o3_types.contacts;
ROLLBACK;
-- the domain is newer than the table, so its column goes first
DROP SCHEMA o3_types CASCADE;

-- detach() lifts all of it
BEGIN;
SELECT contacts_tier.detach('contacts');
ALTER TABLE contacts ALTER COLUMN marketing_contact_status TYPE text, DROP COLUMN marketing_contact_until_next_update;
ROLLBACK;
BEGIN;
SELECT contacts_tier.detach('contacts', drop_columns => true);
ROLLBACK;
-- and dropping triggers first, as pg_restore --clean does
BEGIN;
DROP TRIGGER aa_contacts_tier_count ON contacts;
DROP TRIGGER zz_contacts_tier_status ON contacts;
DROP INDEX contacts_contacts_tier_pending;
ALTER TABLE contacts DROP COLUMN marketing_contact_status;
ROLLBACK;
BEGIN;
DROP EXTENSION contacts_tier CASCADE;
SELECT count(*) FROM contacts;
ROLLBACK;

-- A plan, and a tier, that accounts are subscribed to
DELETE FROM contacts_tier.plan WHERE name = 'o3';
\echo :SQLSTATE
UPDATE contacts_tier.plan SET name = 'o3 renamed' WHERE name = 'o3';
UPDATE contacts_tier.plan SET name = name, currency = 'EUR' WHERE name = 'o3';
TRUNCATE contacts_tier.plan;
DELETE FROM contacts_tier.tier WHERE plan = 'o3';
\echo :SQLSTATE
UPDATE contacts_tier.tier SET contact_limit = 3 WHERE plan = 'o3' AND contact_limit = 2;
TRUNCATE contacts_tier.tier;
UPDATE contacts_tier.tier SET monthly_price = 11 WHERE plan = 'o3';
DELETE FROM contacts_tier.tier WHERE plan = 'o3' AND contact_limit = 4;
DELETE FROM contacts_tier.plan WHERE name = 'o3 other';
-- nor in the transaction that subscribes one
BEGIN;
SELECT contacts_tier.create_plan('o3 own', '{2}');
SELECT contacts_tier.subscribe('contacts', 'b', 'o3 own');
DELETE FROM contacts_tier.plan WHERE name = 'o3 own';
ROLLBACK;
-- who may not see the accounts is told of none
CREATE ROLE regress_o3_sales;
GRANT SELECT, DELETE ON contacts_tier.plan TO regress_o3_sales;
SET ROLE regress_o3_sales;
DELETE FROM contacts_tier.plan WHERE name = 'o3';
RESET ROLE;
GRANT USAGE ON SCHEMA o3 TO regress_o3_sales;
GRANT SELECT ON contacts_tier_account TO regress_o3_sales;
SET ROLE regress_o3_sales;
DELETE FROM contacts_tier.plan WHERE name = 'o3';
RESET ROLE;
ALTER TABLE contacts_tier_account ENABLE ROW LEVEL SECURITY;
SET ROLE regress_o3_sales;
DELETE FROM contacts_tier.plan WHERE name = 'o3';
RESET ROLE;
ALTER TABLE contacts_tier_account DISABLE ROW LEVEL SECURITY;
DROP OWNED BY regress_o3_sales;
DROP ROLE regress_o3_sales;

-- A neighbour's tables are skipped that are not as attach() creates them, and nothing of it is
-- evaluated (R5)
CREATE SCHEMA o3_bad;
CREATE TABLE o3_bad.contacts (id integer, account text);
SELECT contacts_tier.attach('o3_bad.contacts', 'account');
CREATE FUNCTION o3_bad.shout(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$BEGIN RAISE WARNING 'shout'; RETURN $1; END$$;
INSERT INTO o3_bad.contacts_tier_account (account, plan, contact_limit, billing_cycle, on_exceed, grace, time_zone, started_at, anchor, period_started_at, next_update_at, renews_at)
SELECT 'x', 'nobody', 0, billing_cycle, on_exceed, 0, time_zone, started_at, anchor, period_started_at, next_update_at, renews_at FROM contacts_tier_account;
CREATE INDEX ON o3_bad.contacts_tier_account (o3_bad.shout(plan));
ALTER TABLE o3_bad.contacts_tier_account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON o3_bad.contacts_tier_account USING (o3_bad.shout(plan) = '');
BEGIN;
SELECT contacts_tier.create_plan('o3 free', '{2}');
DELETE FROM contacts_tier.plan WHERE name = 'o3 free';
DROP INDEX o3_bad.contacts_tier_account_shout_idx;
DROP POLICY p ON o3_bad.contacts_tier_account;
ALTER TABLE o3_bad.contacts_tier_account RENAME COLUMN plan TO contract;
SELECT contacts_tier.create_plan('o3 free', '{2}');
DELETE FROM contacts_tier.plan WHERE name = 'o3 free';
ROLLBACK;
DROP SCHEMA o3_bad CASCADE;

-- when the subscription has ended the plan can go
SELECT contacts_tier.cancel('contacts', 'a');
DELETE FROM contacts_tier.plan WHERE name = 'o3';
SET contacts_tier.now = '2026-02-10 10:00+00';
CALL contacts_tier.rollover('contacts');
DELETE FROM contacts_tier.plan WHERE name = 'o3';
DROP SCHEMA o3 CASCADE;
