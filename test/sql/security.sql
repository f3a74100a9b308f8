--
-- Security: who may do what, on whose behalf things are
-- done, and names that a caller puts in the way
-- (rules S5 and R3)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE ROLE regress_security_owner;
CREATE ROLE regress_security_writer;
CREATE ROLE regress_security_reader;
CREATE SCHEMA security AUTHORIZATION regress_security_owner;
GRANT USAGE ON SCHEMA security TO regress_security_writer, regress_security_reader;
SELECT contacts_tier.create_plan('security', '{3, 6, 1000}');
-- the owner is an ordinary role that has been given the managing functions
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA contacts_tier, contacts_tier_internal TO regress_security_owner;
GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA contacts_tier TO regress_security_owner;

SET ROLE regress_security_owner;
CREATE TABLE security.contacts (id integer PRIMARY KEY, account text, email text);
SELECT contacts_tier.attach('security.contacts', 'account');
SELECT contacts_tier.subscribe('security.contacts', 'a', 'security', 3);
CREATE VIEW security.contact AS
    SELECT id, marketing_contact_status AS status, marketing_contact_until_next_update AS until,
           marketing_contact_status_source_type AS source_type, marketing_contact_status_source_name AS source_name
      FROM security.contacts ORDER BY id;
RESET ROLE;
-- empty while counters and contacts agree
CREATE VIEW security.drift AS
    SELECT * FROM contacts_tier.verify('security.contacts')
     WHERE drift <> 0 OR pending_counted <> pending_actual;
-- whatever attach makes belongs to the table's owner
SELECT relname, relowner::regrole FROM pg_class WHERE relnamespace = 'security'::regnamespace AND relname LIKE 'contacts%' AND relkind = 'r' ORDER BY relname;


-- Whoever may write contacts needs no privilege on the companion tables
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON security.contacts TO regress_security_writer;
SET ROLE regress_security_writer;
SELECT count(*) FROM security.contacts_tier_counter;
SELECT count(*) FROM security.contacts_tier_account;
SELECT count(*) FROM security.contacts_tier_ledger;
UPDATE security.contacts_tier_counter SET used = 0;
INSERT INTO security.contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(1, 4) AS n;
UPDATE security.contacts SET marketing_contact_status = 'non_marketing' WHERE id = 1;
DELETE FROM security.contacts WHERE id = 2;
BEGIN;
SET LOCAL contacts_tier.source_type = 'FORM';
INSERT INTO security.contacts (id, account) VALUES (5, 'a');
COMMIT;
RESET ROLE;
TABLE security.contact;
SELECT account, contact_limit, marketing_contacts, pending_non_marketing FROM contacts_tier.usage('security.contacts');
-- the ledger tells who it was, not in whose name the trigger acted
SELECT DISTINCT event, role FROM security.contacts_tier_ledger WHERE event IN ('subscribe', 'tier_change') ORDER BY event;
TABLE security.drift;
BEGIN;
SET LOCAL ROLE regress_security_writer;
TRUNCATE security.contacts;
RESET ROLE;
TABLE security.drift;
ROLLBACK;
-- without the right to the contacts, there is nothing
SET ROLE regress_security_reader;
INSERT INTO security.contacts (id, account) VALUES (6, 'a');
SELECT * FROM contacts_tier.usage('security.contacts');
SELECT * FROM contacts_tier.verify('security.contacts');
SELECT contacts_tier.has_access('security.contacts', 'a');
-- asked for everything, one sees what one may read
SELECT count(*) FROM contacts_tier.usage();
SELECT count(*) FROM contacts_tier.verify();
SELECT count(*) FROM contacts_tier.rollover_progress();
-- the catalogue is there for everybody, to read
SELECT count(*) > 0 AS plans FROM contacts_tier.plan;
UPDATE contacts_tier.plan SET marketing_contacts = false;
DELETE FROM contacts_tier.tier;
INSERT INTO contacts_tier.source_type VALUES ('Fax', 'marketing', true);
UPDATE contacts_tier.tool SET needs_marketing_contact = false;
RESET ROLE;


-- Only the table's owner manages it: not the writer, who may not call these
-- functions ...
SET ROLE regress_security_writer;
SELECT contacts_tier.create_plan('mine', '{1}');
SELECT contacts_tier.attach('security.contacts', 'account');
SELECT contacts_tier.detach('security.contacts');
SELECT contacts_tier.subscribe('security.contacts', 'b', 'security');
SELECT contacts_tier.set_policy('security.contacts', 'a', grace => 1000);
SELECT * FROM contacts_tier.repair('security.contacts');
CALL contacts_tier.rollover('security.contacts');
SELECT contacts_tier.schedule_rollover();
SELECT contacts_tier.unschedule_rollover();
RESET ROLE;
-- ... and would be refused if it might
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA contacts_tier, contacts_tier_internal TO regress_security_writer;
GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA contacts_tier TO regress_security_writer;
SET ROLE regress_security_writer;
SELECT contacts_tier.attach('security.contacts', 'account');
\echo :SQLSTATE
SELECT contacts_tier.detach('security.contacts');
\echo :SQLSTATE
SELECT contacts_tier.subscribe('security.contacts', 'b', 'security');
\echo :SQLSTATE
SELECT contacts_tier.set_policy('security.contacts', 'a', grace => 1000);
\echo :SQLSTATE
SELECT * FROM contacts_tier.repair('security.contacts');
\echo :SQLSTATE
CALL contacts_tier.rollover('security.contacts');
\echo :SQLSTATE
-- a rollover or a repair of everything leaves out what is not one's own
SELECT * FROM contacts_tier.repair();
CALL contacts_tier.rollover();
RESET ROLE;
SELECT account, contact_limit, next_update_at FROM contacts_tier.usage('security.contacts');
-- a member of the owner's role may do what the owner may
GRANT regress_security_owner TO regress_security_writer;
SET ROLE regress_security_writer;
SELECT contacts_tier.subscribe('security.contacts', 'b', 'security');
RESET ROLE;
SELECT relname, relowner::regrole FROM pg_class WHERE relnamespace = 'security'::regnamespace AND relname LIKE 'contacts%' AND relkind = 'r' ORDER BY relname;
SELECT account, event, role FROM security.contacts_tier_ledger WHERE account = 'b' AND event = 'subscribe';
REVOKE regress_security_owner FROM regress_security_writer;
TABLE security.drift;


-- The right to set a status is a column privilege on the table.  Who lacks it
-- can write everything else, and the rules go on.
REVOKE ALL ON security.contacts FROM regress_security_writer;
GRANT SELECT, DELETE, INSERT (id, account, email, marketing_contact_status_source_type), UPDATE (id, account, email)
    ON security.contacts TO regress_security_writer;
SET ROLE regress_security_writer;
INSERT INTO security.contacts (id, account, email) VALUES (10, 'a', 'ten');
INSERT INTO security.contacts (id, account, marketing_contact_status_source_type) VALUES (11, 'a', 'FORM');
UPDATE security.contacts SET email = 'written' WHERE id IN (1, 10, 11);
UPDATE security.contacts SET account = 'b' WHERE id = 3;
INSERT INTO security.contacts (id, account) VALUES (10, 'a') ON CONFLICT (id) DO UPDATE SET email = 'conflict';
INSERT INTO security.contacts (id, account, marketing_contact_status) VALUES (12, 'a', 'marketing');
\echo :SQLSTATE
UPDATE security.contacts SET marketing_contact_status = 'marketing' WHERE id = 10;
\echo :SQLSTATE
UPDATE security.contacts SET marketing_contact_until_next_update = true WHERE id = 11;
\echo :SQLSTATE
INSERT INTO security.contacts (id, account) VALUES (10, 'a') ON CONFLICT (id) DO UPDATE SET marketing_contact_status = 'marketing';
\echo :SQLSTATE
COPY security.contacts (id, account, email) FROM stdin;
13	a	copied
\.
RESET ROLE;
TABLE security.contact;
TABLE security.drift;


-- Provenance records the caller's role: in SECURITY DEFINER functions, in
-- triggers, under SET ROLE and SET SESSION AUTHORIZATION
SET ROLE regress_security_owner;
CREATE FUNCTION security.promote(contact integer) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = security, pg_temp AS
    'UPDATE contacts SET marketing_contact_status = ''marketing'' WHERE id = contact';
CREATE FUNCTION security.add(contact integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = security, pg_temp AS $$
BEGIN
    INSERT INTO contacts (id, account, marketing_contact_status) VALUES (contact, 'a', 'marketing');
END $$;
RESET ROLE;
SET ROLE regress_security_writer;
SELECT security.promote(10);
SELECT security.add(n) FROM generate_series(20, 23) AS n;
RESET ROLE;
SET SESSION AUTHORIZATION regress_security_writer;
SELECT security.add(24);
RESET SESSION AUTHORIZATION;
SET ROLE regress_security_owner;
SELECT security.add(25);
RESET ROLE;
SELECT * FROM security.contact WHERE id IN (10, 20, 24, 25);
SELECT event, role, contacts, details->'to' AS "to" FROM security.contacts_tier_ledger WHERE event = 'tier_change' ORDER BY contacts;
TABLE security.drift;


-- Names in the way.  The writer puts its own schema first in its search_path,
-- full of things called like those that triggers and functions use, each of
-- which tells the world when it is reached.
CREATE SCHEMA hostile AUTHORIZATION regress_security_writer;
-- a search_path leaves out the schemas that the current role may not use, so all may
GRANT USAGE ON SCHEMA hostile TO PUBLIC;
SET ROLE regress_security_writer;
CREATE FUNCTION hostile.trapped() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING 'trapped as %', current_user;
    RETURN 1000000;
END $$;
DO $$
DECLARE
    type text;
    op text;
BEGIN
    FOREACH type IN ARRAY '{text,name,bigint,integer,smallint,oid,boolean,numeric,timestamptz,timestamp,date,jsonb,tid}'::text[] LOOP
        EXECUTE format('CREATE FUNCTION hostile.compare(%s, %1$s) RETURNS boolean LANGUAGE sql AS ''SELECT hostile.trapped() IS NULL''', type);
        FOREACH op IN ARRAY '{=,<>,<,<=,>,>=}'::text[] LOOP
            EXECUTE format('CREATE OPERATOR hostile.%s (FUNCTION = hostile.compare, LEFTARG = %s, RIGHTARG = %2$s)', op, type);
        END LOOP;
    END LOOP;
    FOREACH type IN ARRAY '{bigint,integer,numeric}'::text[] LOOP
        EXECUTE format('CREATE FUNCTION hostile.calculate(%s, %1$s) RETURNS %1$s LANGUAGE sql AS ''SELECT hostile.trapped()::%1$s''', type);
        FOREACH op IN ARRAY '{+,-,*,/}'::text[] LOOP
            EXECUTE format('CREATE OPERATOR hostile.%s (FUNCTION = hostile.calculate, LEFTARG = %s, RIGHTARG = %2$s)', op, type);
        END LOOP;
    END LOOP;
    EXECUTE 'CREATE FUNCTION hostile.get(jsonb, text) RETURNS text LANGUAGE sql AS ''SELECT hostile.trapped()::text''';
    EXECUTE 'CREATE OPERATOR hostile.->> (FUNCTION = hostile.get, LEFTARG = jsonb, RIGHTARG = text)';
END $$;
CREATE FUNCTION hostile.sum(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT hostile.trapped()';
CREATE FUNCTION hostile.count(bigint) RETURNS bigint LANGUAGE sql AS 'SELECT hostile.trapped()';
CREATE FUNCTION hostile.round(numeric, integer) RETURNS numeric LANGUAGE sql AS 'SELECT hostile.trapped()::numeric';
CREATE FUNCTION hostile.format(text, text) RETURNS text LANGUAGE sql AS 'SELECT hostile.trapped()::text';
CREATE FUNCTION hostile.gen_random_uuid() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid WHERE hostile.trapped() IS NULL';
CREATE FUNCTION hostile.clock() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz WHERE hostile.trapped() IS NULL';
CREATE TABLE hostile.contacts (id integer, account text, email text);
CREATE TABLE hostile.contacts_tier_account (LIKE hostile.contacts);
CREATE TABLE hostile.contacts_tier_counter (LIKE hostile.contacts);
CREATE TABLE hostile.contacts_tier_ledger (LIKE hostile.contacts);
CREATE TABLE hostile.pg_class (oid oid, relname name, relowner oid, relnamespace oid);
CREATE TABLE hostile.pg_trigger (oid oid);
CREATE TABLE hostile.pg_namespace (oid oid, nspname name);
CREATE TABLE hostile.pg_type (oid oid);
CREATE TABLE hostile.pg_attribute (attrelid oid, attname name, atttypid oid);
CREATE TABLE hostile.plan (name text, marketing_contacts boolean);
CREATE TABLE hostile.tier (plan text, contact_limit bigint);
CREATE TYPE hostile.marketing_status AS ENUM ('marketing');
CREATE DOMAIN hostile.text AS pg_catalog.text CHECK (VALUE = 'trapped');
CREATE DOMAIN hostile.timestamptz AS pg_catalog.timestamptz CHECK (VALUE IS NULL);
CREATE TYPE hostile.boolean AS ENUM ('trapped');
RESET ROLE;
GRANT ALL ON security.contacts TO regress_security_writer;
SET search_path = hostile, pg_catalog, security;
SET ROLE regress_security_writer;
INSERT INTO security.contacts (id, account, marketing_contact_status) VALUES (30, 'a', 'marketing'), (31, 'b', 'marketing');
SET contacts_tier.source_type = 'FORM';
INSERT INTO security.contacts (id, account) VALUES (32, 'a'), (33, 'b');
RESET contacts_tier.source_type;
UPDATE security.contacts SET marketing_contact_status = 'non_marketing' WHERE id OPERATOR(pg_catalog.=) 30;
INSERT INTO security.contacts (id, account, marketing_contact_status) SELECT n, 'b', 'marketing' FROM generate_series(40, 43) AS n;
UPDATE security.contacts SET account = 'b' WHERE id OPERATOR(pg_catalog.=) 30;
DELETE FROM security.contacts WHERE id OPERATOR(pg_catalog.=) 31;
RESET ROLE;
-- and what a session does that knows the counters already
SET ROLE regress_security_writer;
INSERT INTO security.contacts (id, account, marketing_contact_status) VALUES (34, 'a', 'marketing'), (35, 'd', 'non_marketing');
UPDATE security.contacts SET marketing_contact_status = 'non_marketing' WHERE id OPERATOR(pg_catalog.=) 34;
UPDATE security.contacts SET account = 'd', marketing_contact_status = 'marketing' WHERE id OPERATOR(pg_catalog.=) 35;
DELETE FROM security.contacts WHERE id OPERATOR(pg_catalog.=) 32;
RESET ROLE;
-- the owner, or a superuser, with the same search_path
SET ROLE regress_security_owner;
SELECT contacts_tier.subscribe('security.contacts', 'c', 'security');
SELECT contacts_tier.set_policy('security.contacts', 'c', on_exceed => 'block', source_defaults => '{"IMPORT": "marketing"}');
SELECT contacts_tier.has_access('security.contacts', 'c');
RESET ROLE;
SELECT account, contact_limit, marketing_contacts, pending_non_marketing FROM contacts_tier.usage('security.contacts');
SELECT account, counted, actual FROM contacts_tier.verify('security.contacts');
SELECT count(*) FROM contacts_tier.attached() WHERE contacts OPERATOR(pg_catalog.=) 'security.contacts'::regclass;
SET contacts_tier.now = '2026-02-10 10:00+00';
CALL contacts_tier.rollover('security.contacts');
SELECT accounts_done, contacts_done FROM contacts_tier.rollover_progress() WHERE contacts OPERATOR(pg_catalog.=) 'security.contacts'::regclass;
SET session_replication_role = replica;
DELETE FROM security.contacts WHERE id OPERATOR(pg_catalog.=) 40;
RESET session_replication_role;
SELECT account, counted, actual FROM contacts_tier.repair('security.contacts');
SELECT contacts_tier.create_plan('security hostile', '{1, 2}', '{1, 2}');
SELECT contacts_tier.next_update_date('2026-01-31', 'monthly', 'UTC', '2026-02-01 00:00+00');
SELECT contacts_tier.detach('security.contacts');
SELECT contacts_tier.attach('security.contacts', 'account');
TRUNCATE security.contacts;
SET search_path = "$user", public;
SELECT account, counted, actual FROM contacts_tier.verify('security.contacts');
SET contacts_tier.now = '2026-01-10 10:00+00';
TABLE security.drift;
-- the same with temporary tables, which come before all schemas that the
-- search_path does not name
INSERT INTO security.contacts (id, account, marketing_contact_status) VALUES (50, 'a', 'marketing');
CREATE TEMP TABLE pg_class (oid oid, relname name, relowner oid, relnamespace oid);
CREATE TEMP TABLE pg_namespace (oid oid, nspname name);
CREATE TEMP TABLE pg_type (oid oid);
CREATE TEMP TABLE pg_trigger (oid oid);
CREATE TEMP TABLE contacts_tier_counter (account text, used bigint, pending bigint);
SELECT account, marketing_contacts FROM contacts_tier.usage('security.contacts', 'a');
SELECT account, counted, actual FROM contacts_tier.verify('security.contacts') WHERE account = 'a';
SELECT contacts_tier.has_access('security.contacts', 'a');
DROP TABLE pg_temp.pg_class, pg_temp.pg_namespace, pg_temp.pg_type, pg_temp.pg_trigger, pg_temp.contacts_tier_counter;
TABLE security.drift;


-- Triggers act as the table's owner.  Nobody else's code may run in its name:
-- neither a BEFORE trigger that a role with the right to make triggers puts
-- behind ours, so that the row has to be mended ...
REVOKE ALL ON security.contacts FROM regress_security_writer;
GRANT SELECT, INSERT, UPDATE, DELETE, TRIGGER ON security.contacts TO regress_security_writer;
SET ROLE regress_security_writer;
CREATE FUNCTION hostile.whoami() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING '% % as %', TG_WHEN, TG_OP, current_user;
    IF TG_WHEN = 'BEFORE' THEN
        NEW.marketing_contact_status := NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER zzz_before BEFORE INSERT OR UPDATE ON security.contacts FOR EACH ROW EXECUTE FUNCTION hostile.whoami();
CREATE TRIGGER zzz_after AFTER INSERT OR UPDATE ON security.contacts FOR EACH ROW EXECUTE FUNCTION hostile.whoami();
INSERT INTO security.contacts (id, account) VALUES (60, 'a');
RESET ROLE;
DROP TRIGGER zzz_before ON security.contacts;
DROP TRIGGER zzz_after ON security.contacts;
SELECT * FROM security.contact WHERE id = 60;
-- ... nor the code of companion tables that it names in triggers of its own
-- making, whatever becomes of these: an error, or nothing
GRANT SELECT ON security.contacts_tier_account, security.contacts_tier_counter, security.contacts_tier_ledger TO regress_security_writer;
SET ROLE regress_security_writer;
DROP TABLE hostile.contacts_tier_account, hostile.contacts_tier_counter, hostile.contacts_tier_ledger;
CREATE TABLE hostile.contacts_tier_account (LIKE security.contacts_tier_account INCLUDING ALL);
CREATE TABLE hostile.contacts_tier_counter (LIKE security.contacts_tier_counter INCLUDING ALL);
CREATE TABLE hostile.contacts_tier_ledger (LIKE security.contacts_tier_ledger INCLUDING ALL);
INSERT INTO hostile.contacts_tier_account TABLE security.contacts_tier_account;
UPDATE hostile.contacts_tier_account SET contact_limit = 3;
GRANT ALL ON SCHEMA hostile TO regress_security_owner;
GRANT ALL ON hostile.contacts_tier_account, hostile.contacts_tier_counter, hostile.contacts_tier_ledger TO regress_security_owner;
CREATE FUNCTION hostile.whoami_now() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING '% of % as %', TG_OP, TG_TABLE_NAME, current_user;
    RETURN NEW;
END $$;
CREATE TRIGGER whoami BEFORE INSERT OR UPDATE ON hostile.contacts_tier_counter FOR EACH ROW EXECUTE FUNCTION hostile.whoami_now();
CREATE TRIGGER whoami BEFORE INSERT OR UPDATE ON hostile.contacts_tier_account FOR EACH ROW EXECUTE FUNCTION hostile.whoami_now();
CREATE TRIGGER whoami BEFORE INSERT OR UPDATE ON hostile.contacts_tier_ledger FOR EACH ROW EXECUTE FUNCTION hostile.whoami_now();
-- which is refused (R3); where it was there before, it does not help
RESET ROLE;
CREATE TRIGGER aaa BEFORE INSERT ON security.contacts FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('hostile', 'account');
CREATE TRIGGER mine AFTER INSERT ON security.contacts FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.count_contact('hostile', 'account');
-- a session that has seen nothing of the table yet
\c -
SET client_min_messages = warning;
SET contacts_tier.now = '2026-01-10 10:00+00';
SET ROLE regress_security_writer;
DO $$
BEGIN
    INSERT INTO security.contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(61, 69) AS n;
EXCEPTION WHEN OTHERS THEN
    NULL;
END $$;
RESET ROLE;
DROP TRIGGER aaa ON security.contacts;
DROP TRIGGER mine ON security.contacts;
TABLE security.drift;


-- Companion tables that anybody makes, with columns of other types, are not trusted
CREATE SCHEMA crafted AUTHORIZATION regress_security_writer;
CREATE SCHEMA crafted_twice AUTHORIZATION regress_security_writer;
SET ROLE regress_security_writer;
SET search_path = crafted;
\set VERBOSITY terse
CREATE TABLE crafted.t (id integer, account text, marketing_contact_status contacts_tier.marketing_status,
    marketing_contact_until_next_update boolean, marketing_contact_status_source_type text,
    marketing_contact_status_source_name text, marketing_contact_status_updated_at timestamptz);
CREATE TRIGGER c AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.count_contact('crafted', 'account');
CREATE TRIGGER a AFTER INSERT ON t EXECUTE FUNCTION contacts_tier_internal.apply_counts();
CREATE TABLE contacts_tier_ledger (account text, entry uuid, recorded_at timestamptz, event text, role text, contacts bigint, details jsonb);
CREATE TABLE contacts_tier_counter (account text, slot integer, used bigint DEFAULT 0, pending bigint DEFAULT 0, granted bigint,
    promoted bigint DEFAULT 0, demoted bigint DEFAULT 0, corrected bigint DEFAULT 0, peak bigint DEFAULT 0, PRIMARY KEY (account, slot));
CREATE TABLE contacts_tier_account (account bigint PRIMARY KEY, next_update_at timestamptz NOT NULL, record_activity boolean);
INSERT INTO contacts_tier_account VALUES (9223372036854775807, 'infinity', true);
INSERT INTO t VALUES (1, 'x', 'non_marketing', NULL, 'a', 'b', now());
DROP TABLE contacts_tier_account;
CREATE TABLE contacts_tier_account (account text PRIMARY KEY, plan text, contact_limit bigint, on_exceed text, grace bigint,
    thresholds bigint, announced integer, ended_at timestamptz, next_update_at timestamptz, record_activity boolean);
INSERT INTO contacts_tier_account VALUES ('x', 'p', 10, NULL, 0, 9223372036854775800, 0, NULL, 'infinity', true);
INSERT INTO t VALUES (1, 'x', 'marketing', NULL, 'a', 'b', now());
ALTER TABLE contacts_tier_account DROP thresholds, ADD thresholds integer[], ALTER contact_limit TYPE text;
INSERT INTO t VALUES (1, 'x', 'marketing', NULL, 'a', 'b', now());
ALTER TABLE contacts_tier_counter DROP CONSTRAINT contacts_tier_counter_pkey, ADD PRIMARY KEY (slot) INCLUDE (account);
INSERT INTO contacts_tier_counter (slot, used, granted) VALUES (0, 0, 1000);
INSERT INTO t VALUES (1, 'x', 'marketing', NULL, 'a', 'b', now());
-- nor is what was found of them for another type of account
SET search_path = crafted_twice;
CREATE TABLE contacts_tier_account (account text PRIMARY KEY, next_update_at timestamptz, record_activity boolean);
CREATE TABLE contacts_tier_counter (account text, slot integer, used bigint DEFAULT 0, pending bigint DEFAULT 0, granted bigint,
    promoted bigint DEFAULT 0, demoted bigint DEFAULT 0, corrected bigint DEFAULT 0, peak bigint DEFAULT 0, PRIMARY KEY (account, slot));
CREATE TABLE contacts_tier_ledger (account text, entry uuid, recorded_at timestamptz, event text, role text, contacts bigint,
    details jsonb, PRIMARY KEY (account, entry));
CREATE TABLE t (LIKE crafted.t);
CREATE TRIGGER c AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.count_contact('crafted_twice', 'account');
CREATE TRIGGER a AFTER INSERT ON t EXECUTE FUNCTION contacts_tier_internal.apply_counts();
INSERT INTO t VALUES (1, 'x', 'non_marketing', NULL, 'a', 'b', now());
ALTER TABLE contacts_tier_account ALTER account TYPE bigint USING 1;
ALTER TABLE contacts_tier_counter ALTER account TYPE bigint USING 1;
CREATE TABLE u (LIKE t);
ALTER TABLE u ALTER account TYPE bigint USING 1;
CREATE TRIGGER c AFTER INSERT ON u FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.count_contact('crafted_twice', 'account');
CREATE TRIGGER a AFTER INSERT ON u EXECUTE FUNCTION contacts_tier_internal.apply_counts();
INSERT INTO u VALUES (1, 9223372036854775807, 'non_marketing', NULL, 'a', 'b', now());
\set VERBOSITY default
RESET search_path;
RESET ROLE;


-- What the owner puts on a companion table runs as the owner, but not with what a
-- caller has put into his search_path
SET client_min_messages = notice;
CREATE FUNCTION security.norm(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN upper($1); END$$;
ALTER FUNCTION security.norm(text) OWNER TO regress_security_owner;
CREATE INDEX norm ON security.contacts_tier_ledger (security.norm(role));
ALTER TABLE security.contacts_tier_ledger ADD CONSTRAINT normal CHECK (security.norm(role) <> '');
CREATE INDEX norm_account ON security.contacts_tier_counter (security.norm(account));
CREATE SCHEMA evil AUTHORIZATION regress_security_writer;
SET ROLE regress_security_writer;
CREATE FUNCTION evil.upper(text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'upper() as %', current_user;
    RETURN pg_catalog.upper($1);
END
$$;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
SET search_path = evil, pg_catalog;
INSERT INTO security.contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(81, 82) AS n;
DELETE FROM security.contacts WHERE id IN (81, 82);
RESET search_path;
RESET ROLE;
SET client_min_messages = warning;
TABLE security.drift;


-- The clock is for superusers only
SET ROLE regress_security_writer;
SET contacts_tier.now = '2030-01-01 00:00+00';
SET contacts_tier.source_type = 'API';
RESET ROLE;
RESET contacts_tier.source_type;
SHOW contacts_tier.now;
-- also for those who set it before the library is there
\c -
SET ROLE regress_security_writer;
SET contacts_tier.now = '2030-01-01 00:00+00';
SELECT contacts_tier.clock() < '2030-01-01 00:00+00';
RESET ROLE;

SET client_min_messages = warning;
DROP SCHEMA hostile, crafted, crafted_twice, evil, security CASCADE;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA contacts_tier, contacts_tier_internal FROM regress_security_owner, regress_security_writer;
REVOKE EXECUTE ON ALL PROCEDURES IN SCHEMA contacts_tier FROM regress_security_owner, regress_security_writer;
DROP ROLE regress_security_owner, regress_security_writer, regress_security_reader;
DELETE FROM contacts_tier.plan WHERE name LIKE 'security%';
