--
-- Companion tables in a schema of their own (rules C1, R3, R6)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA crm;
CREATE SCHEMA shop;
CREATE SCHEMA "Bill's ""own"" %s $1";
SELECT contacts_tier.create_plan('companion_schema', '{3, 100}');
CREATE TABLE crm.contacts (id integer, account text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE crm.contacts_1 PARTITION OF crm.contacts FOR VALUES FROM (0) TO (100);
CREATE TABLE shop.customers (id integer PRIMARY KEY, tenant text, name text);

-- two tables of different schemas share companion tables in a third: one tier over both
SELECT contacts_tier.attach('crm.contacts', 'account', companion_schema => $$Bill's "own" %s $1$$);
SELECT contacts_tier.attach('shop.customers', 'tenant', NULL, $$Bill's "own" %s $1$$);
SELECT contacts, companion_schema FROM contacts_tier.attached() WHERE companion_schema LIKE 'Bill%' ORDER BY 1;
SELECT relnamespace::regnamespace, relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'contacts\_tier\_%'
   AND relnamespace IN ('crm'::regnamespace, 'shop'::regnamespace, $$"Bill's ""own"" %s $1"$$::regnamespace) ORDER BY 1, 2;
SELECT contacts_tier.subscribe('crm.contacts', 'a', 'companion_schema', on_exceed => 'block');
INSERT INTO crm.contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing'), (2, 'a', 'marketing');
INSERT INTO shop.customers (id, tenant, marketing_contact_status) VALUES (1, 'a', 'marketing');
INSERT INTO shop.customers (id, tenant, marketing_contact_status) VALUES (2, 'a', 'marketing');
\echo :SQLSTATE
SELECT contacts, account, marketing_contacts, contact_limit FROM contacts_tier.usage('shop.customers');
SELECT contacts, account, counted, actual FROM contacts_tier.verify('crm.contacts');
-- partitions that come and go, TRUNCATE, rollover, repair
CREATE TABLE crm.contacts_2 (LIKE crm.contacts_1);
INSERT INTO crm.contacts_2 VALUES (100, 'a', 'marketing');
ALTER TABLE crm.contacts ATTACH PARTITION crm.contacts_2 FOR VALUES FROM (100) TO (200);
SELECT account, counted, actual FROM contacts_tier.verify('shop.customers');
ALTER TABLE crm.contacts DETACH PARTITION crm.contacts_2;
UPDATE crm.contacts SET marketing_contact_status = 'non_marketing' WHERE id = 1;
SET contacts_tier.now = '2026-02-10 10:00+00';
CALL contacts_tier.rollover('shop.customers');
SET session_replication_role = replica;
DELETE FROM shop.customers;
RESET session_replication_role;
SELECT account, counted, actual FROM contacts_tier.repair('crm.contacts');
TRUNCATE crm.contacts;
SELECT account, counted, actual FROM contacts_tier.verify('crm.contacts');
SELECT event, count(*) FROM contacts_tier.notifications('shop.customers') GROUP BY event ORDER BY event;
-- a move of a table leaves them where they are; they cannot be dropped under it
ALTER TABLE shop.customers SET SCHEMA crm;
INSERT INTO crm.customers (id, tenant, marketing_contact_status) VALUES (1, 'a', 'marketing');
SELECT account, counted, actual FROM contacts_tier.verify('crm.customers');
\set VERBOSITY terse
DROP TABLE "Bill's ""own"" %s $1".contacts_tier_ledger;
\set VERBOSITY default
-- other tables of the schema have companion tables of their own, there or elsewhere
CREATE TABLE crm.numbers (id integer PRIMARY KEY, account integer);
SELECT contacts_tier.attach('crm.numbers', 'account', companion_schema => $$Bill's "own" %s $1$$);
SELECT contacts_tier.attach('crm.numbers', 'account');
SELECT contacts, companion_schema FROM contacts_tier.attached() WHERE contacts = 'crm.numbers'::regclass;
SELECT contacts_tier.detach('crm.numbers', true), contacts_tier.detach('crm.contacts', true);
SELECT account, counted, actual FROM contacts_tier.verify('crm.customers');

-- The schema must be there, and stay; the owner of the table needs it, not the caller
SELECT contacts_tier.attach('crm.contacts', 'account', companion_schema => 'nowhere');
\echo :SQLSTATE
SELECT contacts_tier.attach('crm.contacts', 'account', companion_schema => '');
SELECT contacts_tier.attach('crm.contacts', 'account', companion_schema => 'pg_catalog');
\echo :SQLSTATE
SELECT contacts_tier.attach('crm.contacts', 'account', companion_schema => 'contacts_tier');
SELECT contacts_tier.attach('crm.contacts', 'account', companion_schema => 'information_schema');
CREATE TEMP TABLE t ();
CREATE PROCEDURE crm.attach_temp() LANGUAGE plpgsql AS $$
BEGIN PERFORM contacts_tier.attach('crm.contacts', 'account', companion_schema => pg_my_temp_schema()::regnamespace::name);
EXCEPTION WHEN wrong_object_type THEN RAISE WARNING '%', SQLSTATE; END $$;
CALL crm.attach_temp();
CREATE ROLE regress_companion_owner;
GRANT EXECUTE ON FUNCTION contacts_tier_internal.maintain_status(), contacts_tier_internal.count_contact(),
    contacts_tier_internal.apply_counts(), contacts_tier_internal.count_truncate(), contacts_tier_internal.create_companions(text, text) TO regress_companion_owner;
CREATE SCHEMA private;
GRANT USAGE, CREATE ON SCHEMA crm TO regress_companion_owner;
ALTER TABLE crm.numbers OWNER TO regress_companion_owner;
SELECT contacts_tier.attach('crm.numbers', 'account', companion_schema => 'private');
\echo :SQLSTATE
GRANT USAGE ON SCHEMA private TO regress_companion_owner;
SELECT contacts_tier.attach('crm.numbers', 'account', companion_schema => 'private');
\echo :SQLSTATE
-- companion tables of another owner are his
GRANT USAGE ON SCHEMA "Bill's ""own"" %s $1" TO regress_companion_owner;
SELECT contacts_tier.attach('crm.numbers', 'account', companion_schema => $$Bill's "own" %s $1$$);
\echo :SQLSTATE
GRANT CREATE ON SCHEMA private TO regress_companion_owner;
SELECT contacts_tier.attach('crm.numbers', 'account', companion_schema => 'private');
SELECT relname, relowner::regrole FROM pg_class WHERE relnamespace = 'private'::regnamespace AND relkind = 'r' ORDER BY relname;
-- what is granted on the schema of the contacts does not matter
INSERT INTO crm.numbers (id, account) VALUES (1, 1);

SET client_min_messages = error;
DROP SCHEMA crm, shop, private, "Bill's ""own"" %s $1" CASCADE;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA contacts_tier_internal FROM regress_companion_owner;
DROP ROLE regress_companion_owner;
DELETE FROM contacts_tier.plan WHERE name = 'companion_schema';
