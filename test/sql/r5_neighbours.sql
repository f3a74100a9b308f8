--
-- One bad neighbour stops nobody (rule R5): anybody with the right to our trigger
-- functions can put them on tables of his own, with any arguments
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
\set VERBOSITY terse

CREATE ROLE regress_neighbour;
GRANT EXECUTE ON FUNCTION contacts_tier_internal.maintain_status(), contacts_tier_internal.count_contact() TO regress_neighbour;
CREATE SCHEMA good;
CREATE SCHEMA bad AUTHORIZATION regress_neighbour;
SELECT contacts_tier.create_plan('neighbours', '{10}');
CREATE TABLE good.contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('good.contacts', 'account');
SELECT contacts_tier.subscribe('good.contacts', 'a', 'neighbours');
INSERT INTO good.contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');
-- all that reads or mends all tables
CREATE PROCEDURE good.all_tables() LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING 'usage %', (SELECT string_agg(u.account || ' ' || u.marketing_contacts, ', ' ORDER BY u.account) FROM contacts_tier.usage() u);
    RAISE WARNING 'verify %', (SELECT string_agg(v.account || ' ' || v.actual, ', ' ORDER BY v.account) FROM contacts_tier.verify() v);
    RAISE WARNING 'repair %', (SELECT count(*) FROM contacts_tier.repair());
    RAISE WARNING 'activity %', (SELECT count(*) FROM contacts_tier.activity());
    RAISE WARNING 'attached %', (SELECT string_agg(contacts::text, ', ' ORDER BY contacts::text COLLATE "C") FROM contacts_tier.attached());
END
$$;
CALL good.all_tables();

SET ROLE regress_neighbour;
SET search_path = bad;
CREATE TABLE template (id integer, account text, marketing_contact_status contacts_tier.marketing_status,
    marketing_contact_until_next_update boolean, marketing_contact_status_source_type text,
    marketing_contact_status_source_name text, marketing_contact_status_updated_at timestamptz);

-- temporary tables are never attached, nor are they companions
CREATE TEMP TABLE t (LIKE template);
CREATE TEMP TABLE contacts_tier_account (account text);
SELECT nspname AS temp FROM pg_namespace WHERE oid = pg_my_temp_schema() \gset
CREATE TRIGGER s BEFORE INSERT ON pg_temp.t FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status(:'temp', 'account');
RESET ROLE;
CALL good.all_tables();
SELECT count(*) FROM contacts_tier.usage('pg_temp.t');
\echo :SQLSTATE
SET ROLE regress_neighbour;
DROP TABLE pg_temp.t, pg_temp.contacts_tier_account;

-- a table without companions, with the companions of somebody else, without columns
CREATE TABLE none (LIKE template);
CREATE TRIGGER s BEFORE INSERT ON none FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('bad', 'account');
CREATE TABLE others (LIKE template);
CREATE TRIGGER s BEFORE INSERT ON others FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('good', 'account');
CREATE TABLE bare (id integer);
CREATE TRIGGER s BEFORE INSERT ON bare FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('bad', 'account');
CREATE VIEW contacts_tier_account AS SELECT 1 AS account;
RESET ROLE;
CALL good.all_tables();
SELECT count(*) FROM contacts_tier.usage('bad.none');
SELECT count(*) FROM contacts_tier.verify('bad.bare');
SELECT count(*) FROM contacts_tier.repair('bad.none');
-- who may not read it is not told about it
CREATE ROLE regress_neighbour_reader;
SET ROLE regress_neighbour_reader;
SELECT count(*) FROM contacts_tier.usage();
RESET ROLE;

-- companions that lack columns, or have others
GRANT USAGE ON SCHEMA good TO regress_neighbour;
GRANT SELECT ON good.contacts_tier_account, good.contacts_tier_counter, good.contacts_tier_ledger TO regress_neighbour;
SET ROLE regress_neighbour;
DROP VIEW contacts_tier_account;
DROP TABLE bare, others;
CREATE TABLE contacts_tier_account (LIKE good.contacts_tier_account INCLUDING ALL);
CREATE TABLE contacts_tier_counter (LIKE good.contacts_tier_counter INCLUDING ALL);
CREATE TABLE contacts_tier_ledger (account text, entry uuid, PRIMARY KEY (account, entry));
RESET ROLE;
CALL good.all_tables();
SET ROLE regress_neighbour;
DROP TABLE contacts_tier_ledger;
CREATE TABLE contacts_tier_ledger (LIKE good.contacts_tier_ledger INCLUDING ALL);
ALTER TABLE contacts_tier_counter DROP CONSTRAINT contacts_tier_counter_pkey;
RESET ROLE;
CALL good.all_tables();
SELECT count(*) FROM contacts_tier.usage('bad.none');
-- sound in their shape, but what stands in them fails
SET ROLE regress_neighbour;
ALTER TABLE contacts_tier_counter ADD PRIMARY KEY (account, slot);
INSERT INTO contacts_tier_counter (account, slot, used) SELECT 'x', n, 9223372036854775807 FROM generate_series(0, 1) n;
RESET ROLE;
CALL good.all_tables();
-- and code of others runs as these others
SET ROLE regress_neighbour;
DELETE FROM contacts_tier_counter;
CREATE FUNCTION whoami() RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE WARNING 'as %', current_user; RETURN 1 / 0; END$$;
ALTER TABLE contacts_tier_account RENAME TO real_account;
CREATE TABLE contacts_tier_account (LIKE real_account INCLUDING ALL);
DROP TABLE real_account;
ALTER TABLE contacts_tier_account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON contacts_tier_account USING (whoami() = '');
INSERT INTO contacts_tier_account (account, plan, contact_limit, billing_cycle, on_exceed, grace, time_zone, started_at, anchor,
    period_started_at, next_update_at, renews_at)
VALUES ('x', 'neighbours', 0, 'monthly', 'block', 0, 'UTC', now(), '2026-01-01', '2026-01-01', 'infinity', 'infinity');
RESET ROLE;
CALL good.all_tables();
SET ROLE regress_neighbour;
CREATE TABLE part (LIKE template) PARTITION BY LIST (account);
-- an attached table does not become a partition, but triggers can be put on one
ALTER TABLE part ATTACH PARTITION none DEFAULT;
DROP TABLE none;
CREATE TABLE none PARTITION OF part DEFAULT;
CREATE TRIGGER s BEFORE INSERT ON none FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('bad', 'account');
RESET ROLE;
CALL good.all_tables();
CALL contacts_tier.rollover();
SELECT account, counted, actual FROM contacts_tier.verify('good.contacts');

-- a table of the same schema that has lost a column: the others of the schema are counted
-- together with it, so they are left out with it, and asked for by name the error tells
RESET search_path;
SET client_min_messages = error;
DROP SCHEMA bad CASCADE;
SET client_min_messages = warning;
CREATE TABLE good.leads (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('good.leads', 'account');
INSERT INTO good.leads (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');
ALTER TABLE good.leads RENAME COLUMN marketing_contact_status TO status;
CALL good.all_tables();
SELECT account, marketing_contacts FROM contacts_tier.usage('good.contacts');
SELECT * FROM contacts_tier.verify('good.contacts');
SELECT * FROM contacts_tier.repair('good.contacts');
ALTER TABLE good.leads RENAME COLUMN status TO marketing_contact_status;
CALL good.all_tables();

-- a query that is cancelled ends the call all the same, and leaves nothing of it: neither a
-- transaction, nor a subtransaction for who catches the error; one that says it was cancelled is
-- skipped like others
CREATE FUNCTION good.fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('good.sleeps')::boolean THEN
        PERFORM pg_sleep(600);
    END IF;
    RAISE EXCEPTION 'failed' USING ERRCODE = 'query_canceled';
END
$$;
CREATE TRIGGER fail BEFORE UPDATE OR DELETE ON good.contacts_tier_counter FOR EACH ROW EXECUTE FUNCTION good.fail();
SET session_replication_role = replica;
DELETE FROM good.leads;
RESET session_replication_role;
SET good.sleeps = false;
SELECT * FROM contacts_tier.repair();
SET good.sleeps = true;
SET statement_timeout = '200ms';
SELECT * FROM contacts_tier.repair();
\echo :SQLSTATE
SELECT count(*) AS locks FROM pg_locks WHERE relation IN ('good.contacts'::regclass, 'good.leads'::regclass) AND pid = pg_backend_pid();
DO $$
BEGIN
    PERFORM contacts_tier.repair();
EXCEPTION WHEN query_canceled THEN
    RAISE WARNING 'caught';
END
$$;
RESET statement_timeout;
-- the same where a role drops a table of another's
CREATE SCHEMA owned AUTHORIZATION regress_neighbour;
SELECT contacts_tier.grant_owner('regress_neighbour');
GRANT USAGE ON SCHEMA good TO regress_neighbour;
SET ROLE regress_neighbour;
CREATE TABLE owned.contacts (id integer PRIMARY KEY, account text);
CREATE TABLE owned.leads (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('owned.contacts', 'account');
SELECT contacts_tier.attach('owned.leads', 'account');
SELECT contacts_tier.subscribe('owned.contacts', 'a', 'neighbours');
INSERT INTO owned.contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');
INSERT INTO owned.leads (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');
CREATE TRIGGER fail BEFORE UPDATE ON owned.contacts_tier_counter FOR EACH ROW EXECUTE FUNCTION good.fail();
RESET ROLE;
SET statement_timeout = '200ms';
DROP TABLE owned.contacts;
\echo :SQLSTATE
RESET statement_timeout;
SET good.sleeps = false;
DROP TABLE owned.leads;
SELECT to_regclass('owned.contacts') AS contacts, to_regclass('owned.leads') AS leads;

SET client_min_messages = error;
SET ROLE regress_neighbour;
DROP TRIGGER fail ON owned.contacts_tier_counter;
RESET ROLE;
DROP SCHEMA owned CASCADE;
DROP TRIGGER fail ON good.contacts_tier_counter;
DROP SCHEMA good CASCADE;
DROP OWNED BY regress_neighbour;
DROP ROLE regress_neighbour, regress_neighbour_reader;
DELETE FROM contacts_tier.plan WHERE name = 'neighbours';
