--
-- For those who run it: privileges in one call, the source of a transaction, test suites,
-- uninstalling, the warning of a fixed clock
-- (rules R3, R6, S5, O4, D1 and C1)
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set settings :abs_srcdir '/include/settings.sql'
\i :settings
CREATE ROLE regress_op_owner;
CREATE ROLE regress_op_reader;
CREATE ROLE regress_op_other;
CREATE ROLE regress_op_biller;
CREATE SCHEMA op AUTHORIZATION regress_op_owner;

-- An owner who is no superuser needs one call
SET ROLE regress_op_owner;
SELECT contacts_tier.grant_owner('regress_op_other');
RESET ROLE;
SELECT contacts_tier.grant_owner('regress_op_owner');
SELECT contacts_tier.grant_owner('regress_op_owner');
SELECT contacts_tier.grant_owner('regress_op_nobody');
SELECT contacts_tier.grant_owner(NULL);
-- every function of the schema, but for those of monitors, and this one
SELECT p.proname FROM pg_proc p
 WHERE p.pronamespace = 'contacts_tier'::regnamespace AND NOT has_function_privilege('regress_op_owner', p.oid, 'EXECUTE')
 ORDER BY p.proname COLLATE "C";
SET ROLE regress_op_owner;
SET search_path = op;
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.create_plan('op', '{3, 10}');
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'op', on_exceed => 'block', started_at => '2222-01-01');
SELECT contacts_tier.subscribe('contacts', 'a', 'op', on_exceed => 'block');
SELECT contacts_tier.set_policy('contacts', 'a', thresholds => '{50}');
SELECT contacts_tier.change_tier('contacts', 'a', 10);
SELECT contacts_tier.cancel('contacts', 'a');
SELECT contacts_tier.cancel('contacts', 'a', withdraw => true);
CALL contacts_tier.rollover('contacts');
SELECT * FROM contacts_tier.repair('contacts');
SELECT contacts_tier.prune_ledger('contacts', '2025-01-01');

-- The source of a transaction, and of a session
CREATE VIEW source AS
SELECT id, marketing_contact_status AS status, marketing_contact_status_source_type AS type,
       regexp_replace(marketing_contact_status_source_name, '^regress_op_owner$', 'the role') AS name FROM contacts;
BEGIN;
SELECT contacts_tier.set_source('FORM', 'Newsletter');
INSERT INTO contacts VALUES (1, 'a');
COMMIT;
INSERT INTO contacts VALUES (2, 'a');
SELECT contacts_tier.set_source('IMPORT', is_local => false);
INSERT INTO contacts VALUES (3, 'a');
SELECT contacts_tier.set_source('API', 'not kept');
INSERT INTO contacts VALUES (4, 'a');
BEGIN;
SELECT contacts_tier.set_source(NULL);
INSERT INTO contacts VALUES (5, 'a');
COMMIT;
SELECT contacts_tier.set_source(NULL, is_local => false);
INSERT INTO contacts VALUES (6, 'a');
SELECT * FROM source ORDER BY id;

-- A reader of one table
RESET ROLE;
SET ROLE regress_op_reader;
SELECT account FROM contacts_tier.usage('contacts');
SELECT account FROM contacts_tier.usage('op.contacts');
SELECT contacts_tier.banner('op.contacts', 'a');
RESET ROLE;
SET ROLE regress_op_other;
SELECT contacts_tier.grant_reader('op.contacts', 'regress_op_reader');
RESET ROLE;
-- he can call it, and owns nothing
SELECT contacts_tier.grant_owner('regress_op_other');
SET ROLE regress_op_other;
SELECT contacts_tier.grant_reader('op.contacts', 'regress_op_reader');
SELECT contacts_tier.grant_reader('pg_class', 'regress_op_reader');
RESET ROLE;
SET ROLE regress_op_owner;
SELECT contacts_tier.grant_reader(NULL, 'regress_op_reader');
SELECT contacts_tier.grant_reader('contacts', NULL);
SELECT contacts_tier.grant_reader('contacts', 'regress_op_reader');
SELECT contacts_tier.grant_reader('contacts', 'regress_op_reader');
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id <= 5;
RESET ROLE;
SET ROLE regress_op_reader;
SET search_path = '';
SELECT account, marketing_contacts FROM contacts_tier.usage('op.contacts');
SELECT contacts_tier.banner('op.contacts', 'a');
SELECT contacts_tier.has_access('op.contacts', 'a');
SELECT count(*) FROM contacts_tier.billing_periods('op.contacts');
SELECT count(*) FROM contacts_tier.tier_changes('op.contacts', 'a');
SELECT count(*) FROM contacts_tier.notifications('op.contacts');
SELECT count(*) > 0 AS activity FROM contacts_tier.activity('op.contacts');
SELECT count(*) FROM contacts_tier.forecast('op.contacts');
SELECT outcome FROM contacts_tier.preview('op.contacts', 'a', 100);
SELECT count(*) > 0 AS history FROM contacts_tier.usage_history('op.contacts', 'a');
SELECT contacts_tier.usage_page('op.contacts', 'a') LIKE '<svg%' AS page;
SELECT account, marketing_contacts FROM contacts_tier.accounts;
SELECT account, closing FROM contacts_tier.bills;
SELECT count(*) FROM contacts_tier.overdue;
-- what contacts are called is not his to read, and nothing is his to change
SELECT id FROM op.contacts;
SELECT account FROM contacts_tier.verify('op.contacts');
SELECT contacts_tier.change_tier('op.contacts', 'a', 10);
UPDATE op.contacts_tier_counter SET used = 0;
SELECT contacts_tier.rename_account('op.contacts', 'a', 'b');
SELECT contacts_tier.reset('op.contacts');
SELECT contacts_tier.uninstall('op.contacts');
RESET ROLE;
-- an owner who may not hand banner() on is told, and the rest is granted
REVOKE GRANT OPTION FOR EXECUTE ON ROUTINE contacts_tier.banner(regclass, text) FROM regress_op_owner CASCADE;
SET ROLE regress_op_owner;
SET search_path = op;
SELECT contacts_tier.grant_reader('contacts', 'regress_op_biller');
SELECT has_table_privilege('regress_op_biller', 'contacts_tier_ledger', 'SELECT');

-- A test suite: TRUNCATE of all tables is no way, reset() is (rule C1)
TRUNCATE contacts, contacts_tier_account, contacts_tier_counter, contacts_tier_ledger;
CREATE TABLE notes (contact integer REFERENCES contacts);
INSERT INTO notes VALUES (1);
CREATE TABLE leads (id integer PRIMARY KEY, company text);
SELECT contacts_tier.attach('leads', 'company');
INSERT INTO leads VALUES (1, 'a', 'marketing');
SELECT contacts_tier.reset('contacts');
SELECT contacts_tier.reset('contacts', NULL);
SELECT contacts_tier.reset('notes');
BEGIN;
SELECT contacts_tier.reset('contacts', cascade => true);
ROLLBACK;
SELECT account, counted, drift FROM contacts_tier.verify('contacts');
SELECT contacts_tier.reset('contacts', cascade => true);
CREATE VIEW everything AS
SELECT (SELECT count(*) FROM contacts) AS contacts, (SELECT count(*) FROM leads) AS leads, (SELECT count(*) FROM notes) AS notes,
       (SELECT count(*) FROM contacts_tier_account) AS account, (SELECT count(*) FROM contacts_tier_counter) AS counter,
       (SELECT count(*) FROM contacts_tier_ledger) AS ledger;
TABLE everything;
SELECT * FROM contacts_tier.verify('contacts');
-- nothing is left over in the session, and all works as before
INSERT INTO contacts VALUES (1, 'a', 'marketing');
SELECT contacts_tier.subscribe('contacts', 'a', 'op', on_exceed => 'block');
INSERT INTO contacts SELECT n, 'a', 'marketing' FROM generate_series(1, 4) AS n;
INSERT INTO contacts SELECT n, 'a', 'marketing' FROM generate_series(1, 3) AS n;
SELECT account, counted, drift FROM contacts_tier.verify('contacts');
-- contacts that a trigger of the application writes meanwhile are counted
BEGIN;
CREATE FUNCTION first_contact() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO op.contacts VALUES (1, 'a', 'marketing');
    RETURN NULL;
END $$;
CREATE TRIGGER first_contact AFTER TRUNCATE ON contacts FOR EACH STATEMENT EXECUTE FUNCTION first_contact();
SELECT contacts_tier.reset('contacts', cascade => true);
SELECT account, counted, drift FROM contacts_tier.verify('contacts');
ROLLBACK;
-- within a statement on contacts
INSERT INTO contacts SELECT 9, 'a', 'non_marketing' FROM contacts_tier.reset('contacts', cascade => true);

-- Fixtures that were loaded with triggers off: repair() counts them (rule O4)
SELECT contacts_tier.reset('contacts', cascade => true);
ALTER TABLE contacts DISABLE TRIGGER USER;
INSERT INTO contacts VALUES (1, 'a', 'marketing'), (2, 'a', 'non_marketing');
ALTER TABLE contacts ENABLE TRIGGER USER;
SELECT contacts_tier.subscribe('contacts', 'a', 'op', on_exceed => 'block');
SELECT account, counted, actual, drift FROM contacts_tier.verify('contacts');
SELECT * FROM contacts_tier.repair('contacts');
SELECT account, counted, actual, drift FROM contacts_tier.verify('contacts');

-- The calendar needs instants (rule D1)
SELECT contacts_tier.next_update_date('2020-01-01', 'monthly', 'UTC', 'infinity');
SELECT contacts_tier.last_update_date('2020-01-01', 'annual', 'UTC', '-infinity');
SELECT contacts_tier.next_renewal_date('2020-01-01', 'annual', 'UTC', 'infinity');
SELECT contacts_tier.next_update_date('2020-01-01', 'monthly', 'UTC', NULL);

-- Uninstalling: guards go, the columns are of other types, the history remains
SET client_min_messages = notice;
CREATE TABLE sends (tool text, contact integer);
SELECT contacts_tier.guard('sends', 'tool', 'contact', 'contacts');
CREATE TABLE mails (tool text, contact integer);
SELECT contacts_tier.guard('mails', 'tool', 'contact', 'leads');
RESET ROLE;
CREATE SCHEMA op_other AUTHORIZATION regress_op_other;
GRANT USAGE ON SCHEMA op TO regress_op_other;
GRANT SELECT ON op.contacts TO regress_op_other;
SET ROLE regress_op_other;
CREATE TABLE op_other.sends (tool text, contact integer);
SELECT contacts_tier.guard('op_other.sends', 'tool', 'contact', 'op.contacts');
RESET ROLE;
SET ROLE regress_op_owner;
-- a default that its owner has written runs as the owner, whoever calls (rule R3)
CREATE FUNCTION default_of() RETURNS contacts_tier.marketing_status LANGUAGE plpgsql AS $$
BEGIN
    RAISE NOTICE 'as %', current_user;
    RETURN 'marketing';
END $$;
ALTER TABLE contacts ALTER marketing_contact_status SET DEFAULT default_of()::text::contacts_tier.marketing_status;
RESET ROLE;
DROP VIEW source, everything;
BEGIN;
SELECT contacts_tier.uninstall('contacts');
SELECT tgrelid::regclass FROM pg_trigger WHERE tgfoid = 'contacts_tier_internal.guard_send()'::regprocedure ORDER BY tgrelid;
ROLLBACK;
SET ROLE regress_op_owner;
SELECT contacts_tier.uninstall('contacts');
SELECT attname, format_type(atttypid, atttypmod), pg_get_expr(adbin, adrelid)
  FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
 WHERE attrelid = 'contacts'::regclass AND attnum > 0 ORDER BY attnum;
TABLE sends;
SELECT tgrelid::regclass FROM pg_trigger WHERE tgfoid = 'contacts_tier_internal.guard_send()'::regprocedure ORDER BY tgrelid;
SELECT id, marketing_contact_status FROM contacts ORDER BY id;
SELECT contacts_tier.uninstall('contacts');
-- the last one of the schema
SELECT contacts_tier.uninstall('leads', drop_columns => true);
SELECT account, plan, billing_cycle, pg_typeof(billing_cycle) FROM contacts_tier_account;
SELECT count(*) > 0 AS history FROM contacts_tier_ledger;
RESET ROLE;
SET ROLE regress_op_other;
SELECT contacts_tier.unguard('op_other.sends');
RESET ROLE;
-- nothing of the schema keeps the extension any more
SELECT pg_describe_object(d.classid, d.objid, d.objsubid), pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid)
  FROM pg_depend d JOIN pg_depend e ON e.classid = d.refclassid AND e.objid = d.refobjid AND e.deptype = 'e'
 WHERE e.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'contacts_tier')
   AND ((d.classid = 'pg_class'::regclass AND (SELECT relnamespace FROM pg_class WHERE oid = d.objid) = 'op'::regnamespace)
        OR (d.classid = 'pg_attrdef'::regclass AND (SELECT relnamespace FROM pg_class c JOIN pg_attrdef a ON c.oid = a.adrelid WHERE a.oid = d.objid) = 'op'::regnamespace)
        OR (d.classid = 'pg_trigger'::regclass AND (SELECT relnamespace FROM pg_class c JOIN pg_trigger t ON c.oid = t.tgrelid WHERE t.oid = d.objid) = 'op'::regnamespace));
SELECT id, marketing_contact_status, pg_typeof(marketing_contact_status) FROM contacts ORDER BY id;
-- and without history: attached again, to companion tables of its own
SET ROLE regress_op_owner;
DROP TABLE contacts_tier_account, contacts_tier_counter, contacts_tier_ledger, leads;
CREATE TABLE leads (id integer PRIMARY KEY, company text);
SELECT contacts_tier.attach('leads', 'company');
SELECT contacts_tier.uninstall('leads', true, true);
SELECT relname FROM pg_class WHERE relnamespace = 'op'::regnamespace AND relkind = 'r' ORDER BY relname COLLATE "C";
SELECT attname FROM pg_attribute WHERE attrelid = 'leads'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum;
-- an index or constraint that has a status in it is named
SET client_min_messages = warning;
SELECT contacts_tier.attach('leads', 'company');
CREATE INDEX leads_marketing ON leads (company) WHERE marketing_contact_status = 'marketing';
ALTER TABLE leads ADD CONSTRAINT given CHECK (marketing_contact_status <> 'marketing' OR company <> '');
CREATE INDEX leads_status ON leads (marketing_contact_status) WHERE marketing_contact_status IS NOT NULL;
SELECT contacts_tier.uninstall('leads');
DROP INDEX leads_marketing;
SELECT contacts_tier.uninstall('leads');
ALTER TABLE leads DROP CONSTRAINT given;
-- companion tables that are missing, or moved, are no obstacle
BEGIN;
DROP TABLE contacts_tier_account, contacts_tier_counter CASCADE;
SELECT contacts_tier.uninstall('leads');
SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'leads'::regclass AND attname = 'marketing_contact_status';
ROLLBACK;
BEGIN;
DROP TABLE contacts_tier_ledger CASCADE;
SELECT contacts_tier.uninstall('leads', drop_history => true);
SELECT relname FROM pg_class WHERE relnamespace = 'op'::regnamespace AND relkind = 'r' ORDER BY relname COLLATE "C";
ROLLBACK;
RESET client_min_messages;
SELECT contacts_tier.uninstall('leads', true, true);
-- nor are those of others dropped that a trigger of one's own names
DROP TABLE leads;
CREATE TABLE leads (id integer PRIMARY KEY, company text);
SELECT contacts_tier.attach('leads', 'company');
RESET ROLE;
CREATE SCHEMA op_forged AUTHORIZATION regress_op_other;
SET ROLE regress_op_other;
SET search_path = op_forged;
CREATE TABLE leads (id integer PRIMARY KEY, company text, marketing_contact_status contacts_tier.marketing_status, marketing_contact_until_next_update boolean,
    marketing_contact_status_source_type text, marketing_contact_status_source_name text, marketing_contact_status_updated_at timestamptz);
CREATE TRIGGER zz_contacts_tier_status BEFORE INSERT OR UPDATE ON leads FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('op', 'company');
RESET ROLE;
SELECT contacts_tier.uninstall('op_forged.leads', drop_history => true);
DROP TABLE op_forged.leads;
SELECT relname FROM pg_class WHERE relnamespace = 'op'::regnamespace AND relkind = 'r' ORDER BY relname COLLATE "C";

-- A fixed clock is warned of once in a session that writes or manages
\c -
SET contacts_tier.clock_warning = on;
SET contacts_tier.now = '2026-01-10 10:00+00';
CREATE SCHEMA op_clock;
SET search_path = op_clock;
CREATE TABLE tests (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('tests', 'account');
SELECT contacts_tier.subscribe('tests', 'a', 'op');
\c -
SET contacts_tier.clock_warning = on;
SET search_path = op_clock;
-- a write that changes nothing of a contact is none of ours
UPDATE tests SET id = id;
SET contacts_tier.now = '2026-01-10 10:00+00';
SELECT account, marketing_contacts FROM contacts_tier.usage('tests');
INSERT INTO tests VALUES (2, 'a', 'marketing');
INSERT INTO tests VALUES (3, 'a', 'marketing');
CALL contacts_tier.rollover('tests');
\c -
SET contacts_tier.clock_warning = on;
SET contacts_tier.now = '2026-01-10 10:00+00';
CALL contacts_tier.rollover('op_clock.tests');
\c -
SET contacts_tier.clock_warning = off;
SET contacts_tier.now = '2026-01-10 10:00+00';
INSERT INTO op_clock.tests VALUES (4, 'a', 'marketing');

SET client_min_messages = error;
DROP SCHEMA op, op_other, op_clock, op_forged CASCADE;
DELETE FROM contacts_tier.plan;
DROP OWNED BY regress_op_owner, regress_op_reader, regress_op_other, regress_op_biller;
DROP ROLE regress_op_owner, regress_op_reader, regress_op_other, regress_op_biller;
