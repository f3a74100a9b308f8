--
-- A HINT, followed, leads out, and repair() creates again what attach() has created (rule O4)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA o4;
SET search_path = o4;
SELECT contacts_tier.create_plan('o4', '{10, 20}', '{10, 20}');
SELECT contacts_tier.create_plan('o4 without', '{}', marketing_contacts => false);
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
CREATE TABLE leads (id integer, account text) PARTITION BY RANGE (id);
CREATE TABLE leads_1 PARTITION OF leads FOR VALUES FROM (1) TO (100);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.attach('leads', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'o4', 10, on_exceed => 'block');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing'), (2, 'a', 'marketing');
INSERT INTO leads (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');
-- what there is to lose, and whether all of it works
CREATE VIEW parts AS
SELECT t.tgrelid::regclass::text || ' ' || t.tgname AS part, t.tgenabled::text AS state FROM pg_trigger t
 JOIN pg_class r ON r.oid = t.tgrelid AND r.relnamespace = 'o4'::regnamespace
 WHERE t.tgfoid IN (SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'contacts_tier_internal'::regnamespace)
UNION ALL SELECT i.indrelid::regclass || ' index', i.indisvalid::text FROM pg_index i
 WHERE i.indrelid::regclass::text IN ('contacts', 'leads') AND pg_get_expr(i.indpred, i.indrelid) LIKE '%library_loaded%'
UNION ALL SELECT d.adrelid::regclass || ' defaults', count(*)::text FROM pg_attrdef d
 WHERE d.adrelid::regclass::text IN ('contacts', 'leads') GROUP BY d.adrelid;
CREATE PROCEDURE works() LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO contacts (id, account, marketing_contact_status) VALUES (9, 'a', 'marketing');
    INSERT INTO leads (id, account, marketing_contact_status) VALUES (9, 'a', 'marketing');
    DELETE FROM contacts WHERE id = 9;
    DELETE FROM leads WHERE id = 9;
    RAISE WARNING 'verified: %', (SELECT string_agg(format('%s counted %s of %s, drift %s', v.account, v.counted, v.actual, v.drift), '; ') FROM contacts_tier.verify('contacts') v);
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING '%: %', SQLSTATE, SQLERRM;
END
$$;
CREATE TABLE parts_before AS SELECT * FROM parts;
-- what differs from how it was
CREATE VIEW differences AS
(SELECT 'missing' AS what, * FROM parts_before EXCEPT SELECT 'missing', * FROM parts)
UNION ALL (SELECT 'new', * FROM parts EXCEPT SELECT 'new', * FROM parts_before);
SELECT * FROM parts ORDER BY part COLLATE "C";
CALL works();

-- Triggers, the index, defaults
CREATE PROCEDURE lose(statements text, mend text DEFAULT 'SELECT FROM contacts_tier.repair(''contacts'')') LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statements;
    RAISE WARNING 'lost: %', (SELECT string_agg(d.what || ' ' || d.part || ' ' || d.state, ', ' ORDER BY d.part COLLATE "C", d.what) FROM differences d);
    EXECUTE mend;
    RAISE WARNING 'then: %', coalesce((SELECT string_agg(d.what || ' ' || d.part || ' ' || d.state, ', ' ORDER BY d.part COLLATE "C", d.what) FROM differences d), 'as before');
    CALL works();
    RAISE EXCEPTION USING ERRCODE = 'P0001', MESSAGE = 'undone';
EXCEPTION WHEN raise_exception THEN
    NULL;
END
$$;
CALL lose('DROP TRIGGER zz_contacts_tier_status ON contacts');
CALL lose('DROP TRIGGER aa_contacts_tier_count ON contacts');
CALL lose('DROP TRIGGER contacts_tier_apply ON contacts');
CALL lose('DROP TRIGGER contacts_tier_truncate ON contacts');
CALL lose('DROP TRIGGER zz_contacts_tier_status ON contacts; DROP TRIGGER contacts_tier_truncate ON contacts');
CALL lose('DROP TRIGGER zz_contacts_tier_status ON leads', 'SELECT FROM contacts_tier.repair(''leads'')');
CALL lose('DROP TRIGGER aa_contacts_tier_count ON leads');
CALL lose('DROP TRIGGER contacts_tier_apply ON leads_1; DROP TRIGGER contacts_tier_truncate ON leads_1');
CALL lose('ALTER TABLE contacts DISABLE TRIGGER USER; ALTER TABLE leads_1 DISABLE TRIGGER aa_contacts_tier_count');
CALL lose('ALTER TABLE contacts ENABLE ALWAYS TRIGGER aa_contacts_tier_count, ENABLE REPLICA TRIGGER contacts_tier_apply');
CALL lose('ALTER TABLE contacts ALTER marketing_contact_status DROP DEFAULT, ALTER marketing_contact_status_source_name DROP DEFAULT');
CALL lose('ALTER TABLE contacts DROP COLUMN id CASCADE; ALTER TABLE contacts ADD COLUMN id integer');
-- what was written meanwhile is counted
CALL lose('DROP TRIGGER aa_contacts_tier_count ON contacts;'
          'INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, ''a'', ''marketing'')');
CALL lose('DROP TRIGGER zz_contacts_tier_status ON contacts; ALTER TABLE contacts DISABLE TRIGGER aa_contacts_tier_count;'
          'INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, ''a'', ''marketing''), (4, ''b'', NULL)');
-- a renamed trigger is none that is missing
CALL lose('ALTER TRIGGER contacts_tier_apply ON contacts RENAME TO apply; DROP TRIGGER contacts_tier_truncate ON contacts');
-- without row triggers the table is not attached, whatever else is left of it; a former partition has as much
BEGIN;
DROP TRIGGER zz_contacts_tier_status ON contacts;
DROP TRIGGER aa_contacts_tier_count ON contacts;
SELECT count(*) FROM contacts_tier.repair('contacts');
ROLLBACK;
CALL lose('DROP TRIGGER zz_contacts_tier_status ON contacts; DROP TRIGGER aa_contacts_tier_count ON contacts; DROP INDEX contacts_contacts_tier_pending',
          'SELECT contacts_tier.attach(''contacts'', ''account'')');
-- detach() drops triggers by whatever name
CALL lose('ALTER TRIGGER contacts_tier_truncate ON contacts RENAME TO emptied; ALTER TRIGGER zz_contacts_tier_status ON contacts RENAME TO zzz',
          'SELECT contacts_tier.detach(''contacts''); SELECT contacts_tier.attach(''contacts'', ''account'')');
-- without any trigger the contacts were counted before, and the table does not say so
CALL lose('DROP TRIGGER zz_contacts_tier_status ON contacts; DROP TRIGGER aa_contacts_tier_count ON contacts; DROP TRIGGER contacts_tier_truncate ON contacts',
          'SELECT contacts_tier.attach(''contacts'', ''account''); SELECT FROM contacts_tier.repair(''contacts'')');
-- a guard that was disabled
CREATE TABLE sends (id integer, tool text, contact integer);
SELECT contacts_tier.guard('sends', 'tool', 'contact', 'contacts');
CALL lose('ALTER TABLE sends DISABLE TRIGGER USER');
DROP TABLE sends;

-- Companion tables that are dropped or renamed: repair(), or detach() and attach()
DROP TABLE contacts_tier_ledger;
\echo :SQLSTATE
BEGIN;
DROP TABLE contacts_tier_ledger CASCADE;
SAVEPOINT s;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'a', 'marketing');
ROLLBACK TO s;
SELECT count(*) FROM contacts_tier.activity('contacts');
ROLLBACK TO s;
SELECT account, counted, actual FROM contacts_tier.repair('contacts');
SELECT * FROM differences;
CALL works();
ROLLBACK;
BEGIN;
DROP TABLE contacts_tier_counter CASCADE;
SELECT account, counted, actual FROM contacts_tier.repair('leads');
SELECT * FROM differences;
CALL works();
SET LOCAL contacts_tier.now = '2026-02-10 10:00+00';
CALL contacts_tier.rollover('contacts');
SELECT account, closing, opening + promoted - demoted + corrected - closing AS difference FROM contacts_tier.billing_periods('contacts');
ROLLBACK;
BEGIN;
DROP TABLE contacts_tier_account, contacts_tier_counter, contacts_tier_ledger CASCADE;
SELECT account, counted, actual FROM contacts_tier.repair('contacts');
SELECT * FROM differences;
CALL works();
SELECT contacts_tier.subscribe('contacts', 'a', 'o4', 10);
CALL works();
ROLLBACK;
BEGIN;
DROP TABLE contacts_tier_ledger CASCADE;
SELECT contacts_tier.detach('contacts');
SELECT contacts_tier.attach('contacts', 'account');
CALL works();
ROLLBACK;
BEGIN;
DROP TABLE contacts_tier_counter CASCADE;
SELECT contacts_tier.detach('contacts');
SAVEPOINT s;
SELECT contacts_tier.attach('contacts', 'account');
\echo :SQLSTATE
ROLLBACK TO s;
SELECT account, counted, actual FROM contacts_tier.repair('leads');
SELECT contacts_tier.attach('contacts', 'account');
CALL works();
ROLLBACK;
BEGIN;
ALTER TABLE contacts_tier_counter RENAME TO counter;
CALL works();
-- contacts would stay counted there, and the history would be lost
SAVEPOINT s;
SELECT contacts_tier.detach('contacts');
ROLLBACK TO s;
ALTER TABLE counter RENAME TO contacts_tier_counter;
ALTER TABLE contacts_tier_ledger RENAME TO ledger;
SELECT contacts_tier.detach('contacts');
ROLLBACK TO s;
ALTER TABLE counter RENAME TO contacts_tier_counter;
ALTER SCHEMA o4 RENAME TO o4_renamed;
SET LOCAL search_path = o4_renamed;
CALL works();
SAVEPOINT s;
SELECT contacts_tier.detach('contacts');
ROLLBACK TO s;
SELECT count(*) FROM contacts_tier.repair('contacts');
ROLLBACK TO s;
CREATE SCHEMA o4;
SELECT count(*) FROM contacts_tier.repair('contacts');
ROLLBACK TO s;
ALTER SCHEMA o4_renamed RENAME TO o4;
SET LOCAL search_path = o4;
CALL works();
ROLLBACK;
BEGIN;
CREATE SCHEMA o4_parts;
CREATE TABLE o4_parts.contacts (id integer, account text, PRIMARY KEY (account, id)) PARTITION BY LIST (account);
CREATE TABLE o4_parts.part PARTITION OF o4_parts.contacts DEFAULT;
SELECT contacts_tier.attach('o4_parts.contacts', 'account');
INSERT INTO o4_parts.contacts (id, account) VALUES (1, 'a');
ALTER SCHEMA o4_parts RENAME TO o4_renamed;
ALTER TABLE o4_renamed.contacts DETACH PARTITION o4_renamed.part;
ROLLBACK;
-- or are damaged
BEGIN;
ALTER TABLE contacts_tier_account DROP COLUMN grace;
CALL works();
SAVEPOINT s;
SELECT count(*) FROM contacts_tier.repair('contacts');
ROLLBACK TO s;
ALTER TABLE contacts_tier_account ADD COLUMN grace bigint;
UPDATE contacts_tier_account SET grace = 0;
ALTER TABLE contacts_tier_account ALTER COLUMN grace SET NOT NULL;
CALL works();
ROLLBACK TO s;
DROP TABLE contacts_tier_account, contacts_tier_counter, contacts_tier_ledger CASCADE;
SELECT account, counted, actual FROM contacts_tier.repair('contacts');
CALL works();
ROLLBACK;
-- a crash would empty the counters, and not the contacts
BEGIN;
ALTER TABLE contacts_tier_counter SET UNLOGGED;
CALL works();
ALTER TABLE contacts_tier_counter SET LOGGED;
CALL works();
ROLLBACK;
-- a subscription has lost its plan
BEGIN;
ALTER TABLE contacts_tier_account ALTER COLUMN plan DROP NOT NULL;
UPDATE contacts_tier_account SET plan = NULL;
SELECT contacts_tier.change_tier('contacts', 'a', 20);
ROLLBACK;
-- the key of the ledger has lost its default
BEGIN;
ALTER TABLE contacts_tier_ledger ALTER COLUMN entry DROP DEFAULT;
SELECT count(*) FROM contacts_tier.repair('contacts');
SELECT contacts_tier.set_policy('contacts', 'a', grace => 1);
ROLLBACK;
BEGIN;
ALTER TABLE contacts_tier_counter DROP CONSTRAINT contacts_tier_counter_pkey;
SAVEPOINT s;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'a', 'marketing');
ROLLBACK TO s;
ALTER TABLE contacts_tier_counter ADD PRIMARY KEY (account, slot);
CALL works();
ROLLBACK;
CREATE ROLE regress_o4;
BEGIN;
ALTER TABLE contacts_tier_counter OWNER TO regress_o4;
SAVEPOINT s;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'a', 'marketing');
ROLLBACK TO s;
ALTER TABLE contacts_tier_counter OWNER TO CURRENT_USER;
CALL works();
ROLLBACK;
-- privileges that the owner has revoked from himself
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA contacts_tier, contacts_tier_internal TO regress_o4;
CREATE SCHEMA o4_owner AUTHORIZATION regress_o4;
SET ROLE regress_o4;
CREATE TABLE o4_owner.contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('o4_owner.contacts', 'account');
SELECT contacts_tier.subscribe('o4_owner.contacts', 'a', 'o4');
GRANT SELECT ON o4_owner.contacts_tier_account TO PUBLIC;
REVOKE ALL ON o4_owner.contacts_tier_account, o4_owner.contacts_tier_counter, o4_owner.contacts_tier_ledger FROM regress_o4;
INSERT INTO o4_owner.contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');
SELECT account, counted, actual FROM contacts_tier.repair('o4_owner.contacts');
INSERT INTO o4_owner.contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');
SELECT c.relname, string_agg(a.privilege_type, ' ' ORDER BY a.privilege_type COLLATE "C") FROM pg_class c, aclexplode(c.relacl) a
 WHERE c.relnamespace = 'o4_owner'::regnamespace AND c.relkind = 'r' AND a.grantee <> 0 AND a.privilege_type <> 'MAINTAIN'
 GROUP BY 1 ORDER BY c.relname COLLATE "C";
RESET ROLE;
DROP SCHEMA o4_owner CASCADE;
DROP OWNED BY regress_o4;
DROP ROLE regress_o4;

-- Columns of the contacts: another type of the account, a name, a column that was lost while nobody
-- looked
BEGIN;
CREATE SCHEMA o4_type;
SET LOCAL search_path = o4_type;
CREATE TABLE contacts (id integer PRIMARY KEY, account integer);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', '1', 'o4', 10);
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 1, 'marketing');
SAVEPOINT s;
ALTER TABLE contacts ALTER COLUMN account TYPE bigint;
ROLLBACK TO s;
SELECT contacts_tier.detach('contacts');
ALTER TABLE contacts ALTER COLUMN account TYPE bigint;
ALTER TABLE contacts_tier_account ALTER COLUMN account TYPE bigint;
ALTER TABLE contacts_tier_counter ALTER COLUMN account TYPE bigint;
ALTER TABLE contacts_tier_ledger ALTER COLUMN account TYPE bigint;
SELECT contacts_tier.attach('contacts', 'account');
SELECT account, counted, actual FROM contacts_tier.verify('contacts');
ROLLBACK;
BEGIN;
ALTER TABLE contacts RENAME COLUMN marketing_contact_status TO status;
SAVEPOINT s;
INSERT INTO contacts (id, account) VALUES (3, 'a');
ROLLBACK TO s;
ALTER TABLE contacts ADD COLUMN marketing_contact_status contacts_tier.marketing_status;
SELECT account, counted, actual FROM contacts_tier.repair('contacts');
CALL works();
ROLLBACK TO s;
ALTER TABLE contacts RENAME COLUMN status TO marketing_contact_status;
CALL works();
ROLLBACK;
BEGIN;
SELECT contacts_tier.detach('contacts', drop_columns => true);
SELECT contacts_tier.attach('contacts', 'account');
CALL works();
ROLLBACK;

-- Triggers that were off
BEGIN;
ALTER TABLE contacts DISABLE TRIGGER USER;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'a', 'marketing');
ALTER TABLE contacts ENABLE TRIGGER USER;
SELECT account, drift FROM contacts_tier.verify('contacts');
SELECT account, drift FROM contacts_tier.repair('contacts');
CALL works();
ROLLBACK;

-- Accounts: without a subscription, or a plan; a tier that is full
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'b', 'marketing');
SELECT contacts_tier.subscribe('contacts', 'b', 'o4 without');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'b', 'marketing');
SELECT contacts_tier.change_tier('contacts', 'b', 10);
BEGIN;
SELECT contacts_tier.cancel('contacts', 'b');
SET LOCAL contacts_tier.now = '2026-02-10 10:00+00';
CALL contacts_tier.rollover('contacts');
SELECT contacts_tier.subscribe('contacts', 'b', 'o4');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'b', 'marketing');
ROLLBACK;
BEGIN;
SET LOCAL session_replication_role = replica;
DELETE FROM contacts_tier.plan WHERE name = 'o4';
DELETE FROM contacts_tier.tier WHERE plan = 'o4';
SET LOCAL session_replication_role = origin;
SAVEPOINT s;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'a', 'marketing');
ROLLBACK TO s;
SELECT contacts_tier.change_tier('contacts', 'a', 20);
ROLLBACK TO s;
SELECT contacts_tier.has_access('contacts', 'a');
SELECT contacts_tier.create_plan('o4', '{10, 20}', '{10, 20}');
CALL works();
SELECT contacts_tier.change_tier('contacts', 'a', 20);
ROLLBACK;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT i, 'a', 'marketing' FROM generate_series(11, 18) i;
BEGIN;
SELECT contacts_tier.change_tier('contacts', 'a', 20);
INSERT INTO contacts (id, account, marketing_contact_status) SELECT i, 'a', 'marketing' FROM generate_series(11, 18) i;
ROLLBACK;
BEGIN;
SELECT contacts_tier.set_policy('contacts', 'a', on_exceed => 'upgrade');
INSERT INTO contacts (id, account, marketing_contact_status) SELECT i, 'a', 'marketing' FROM generate_series(11, 18) i;
ROLLBACK;
BEGIN;
DELETE FROM contacts_tier.tier WHERE plan = 'o4' AND contact_limit = 10;
ROLLBACK;
BEGIN;
SELECT contacts_tier.change_tier('contacts', 'a', 20);
DELETE FROM contacts_tier.tier WHERE plan = 'o4' AND contact_limit = 10;
ROLLBACK;

-- Partitions and tables that inherit
ALTER TABLE leads DETACH PARTITION leads_1 CONCURRENTLY;
BEGIN;
ALTER TABLE leads DETACH PARTITION leads_1;
SELECT account, counted, actual FROM contacts_tier.verify('leads');
ROLLBACK;
CREATE TABLE child () INHERITS (contacts);
CREATE TABLE likes (LIKE contacts);

DROP SCHEMA o4 CASCADE;
DELETE FROM contacts_tier.plan WHERE name LIKE 'o4%';
