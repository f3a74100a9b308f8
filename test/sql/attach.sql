--
-- attach() and detach(): columns, accounts of all types, hostile names
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
SET contacts_tier.source_name = 'attach';

CREATE SCHEMA attach;
SET search_path = attach, public;
SELECT contacts_tier.create_plan('attach', '{3, 1000}');


-- What attach adds to a table, and that it leaves what is there as it is: the
-- contacts become non-marketing, and nobody has set that
CREATE TABLE contacts (id integer PRIMARY KEY, account text, email text);
INSERT INTO contacts VALUES (1, 'a', 'one'), (2, 'a', 'two'), (3, NULL, 'three');
SELECT contacts_tier.attach('contacts', 'account');
SELECT attname, format_type(atttypid, atttypmod) AS type, attnotnull, atthasdef
  FROM pg_attribute WHERE attrelid = 'contacts'::regclass AND attnum > 0 ORDER BY attnum;
SELECT * FROM contacts ORDER BY id;
SELECT tgname, tgfoid::regproc AS function, tgenabled FROM pg_trigger WHERE tgrelid = 'contacts'::regclass AND NOT tgisinternal ORDER BY tgname;
SELECT relname, relkind FROM pg_class WHERE relnamespace = 'attach'::regnamespace AND relkind IN ('r', 'i') ORDER BY relname COLLATE "C";
-- the companion tables are ordinary tables, not members of the extension
SELECT c.relname, c.relowner = t.relowner AS same_owner, d.objid IS NOT NULL AS is_member
  FROM pg_class c
  JOIN pg_class t ON t.oid = 'contacts'::regclass
  LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
 WHERE c.relnamespace = 'attach'::regnamespace AND c.relname LIKE 'contacts\_tier\_%' AND c.relkind = 'r' ORDER BY c.relname;
-- entries of a slot are in the order of their places, which a look under an old snapshot relies on
SELECT reloptions FROM pg_class WHERE oid = 'contacts_tier_counter_pkey'::regclass;
SELECT * FROM contacts_tier.attached() WHERE contacts = 'contacts'::regclass;
SELECT contacts_tier.subscribe('contacts', 'a', 'attach');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (4, 'a', 'marketing');
CREATE VIEW drift AS
    SELECT * FROM contacts_tier.verify() WHERE drift <> 0 OR pending_counted <> pending_actual;
TABLE drift;


-- detach: the triggers and the index go, the columns and the history stay ...
SELECT contacts_tier.detach('contacts');
SELECT account, sum(used) AS used, sum(pending) AS pending FROM contacts_tier_counter GROUP BY account;
SELECT tgname FROM pg_trigger WHERE tgrelid = 'contacts'::regclass AND NOT tgisinternal;
SELECT relname FROM pg_class WHERE relnamespace = 'attach'::regnamespace AND relkind IN ('r', 'i') ORDER BY relname COLLATE "C";
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (5, 'a', NULL), (6, 'a', 'marketing'), (7, 'a', 'marketing');
SELECT event, count(*) FROM contacts_tier_ledger GROUP BY event;
SELECT contacts_tier.detach('contacts');
\echo :SQLSTATE
-- ... attached again, the status is counted as it stands, also above the tier.
-- What the rules do not allow is brought into line.
UPDATE contacts SET marketing_contact_until_next_update = CASE id WHEN 1 THEN true WHEN 2 THEN false WHEN 6 THEN true WHEN 7 THEN false END;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (8, NULL, 'marketing'), (9, 'nobody', 'marketing'), (10, 'a', 'marketing');
SELECT contacts_tier.attach('contacts', 'account');
SELECT id, account, marketing_contact_status AS status, marketing_contact_until_next_update AS until FROM contacts ORDER BY id;
SELECT account, counted, actual, pending_counted, pending_actual FROM contacts_tier.verify('contacts') ORDER BY account;
SELECT account, plan, contact_limit, marketing_contacts, pending_non_marketing FROM contacts_tier.usage('contacts');
-- a contact that was counted without a subscription can be kept and deleted, but
-- not joined by another
UPDATE contacts SET email = 'nine', marketing_contact_status = 'marketing' WHERE id = 9;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (11, 'nobody', 'marketing');
\echo :SQLSTATE
DELETE FROM contacts WHERE id = 9;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (11, 'nobody', 'marketing');
\echo :SQLSTATE
-- subscribing takes a tier that holds what is counted already
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (12, 'a', 'marketing');
SELECT contacts_tier.detach('contacts');
UPDATE contacts SET account = 'b' WHERE account = 'a';
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'b', 'attach');
SELECT account, contact_limit, marketing_contacts FROM contacts_tier.usage('contacts', 'b');
TABLE drift;
-- detach with drop_columns leaves the table as it was before that attach: the columns were there
SELECT contacts_tier.detach('contacts', drop_columns => true);
SELECT * FROM contacts ORDER BY id;
SELECT account, sum(used) AS used FROM contacts_tier_counter GROUP BY account ORDER BY account;
SELECT count(*) FROM contacts_tier.attached() WHERE companion_schema = 'attach';
DROP TABLE contacts, contacts_tier_account, contacts_tier_counter, contacts_tier_ledger;


-- Columns under other names: some are there, some are added
CREATE TABLE contacts (
    id integer PRIMARY KEY,
    "Company" integer,
    updated_at timestamptz,
    "is Marketing?" contacts_tier.marketing_status NOT NULL DEFAULT 'non_marketing',
    leaving boolean);
INSERT INTO contacts VALUES (1, 1, '2025-12-01 00:00+00', 'marketing', false), (2, 1, '2025-12-02 00:00+00', 'marketing', true), (3, 2, NULL, 'non_marketing', true);
SELECT contacts_tier.attach('contacts', 'Company', '{"status": "is Marketing?", "until_next_update": "leaving", "updated_at": "updated_at", "source_name": "setter"}');
SELECT * FROM contacts ORDER BY id;
SELECT * FROM contacts_tier.attached() WHERE contacts = 'contacts'::regclass;
SELECT account, counted, actual, pending_counted, pending_actual FROM contacts_tier.verify('contacts') ORDER BY account;
SELECT contacts_tier.subscribe('contacts', '1', 'attach');
SELECT contacts_tier.subscribe('contacts', '2', 'attach');
-- the rules go by the mapped columns; the default of the column is a given status
BEGIN;
SET LOCAL contacts_tier.source_type = 'FORM';
INSERT INTO contacts (id, "Company") VALUES (4, 2);
INSERT INTO contacts (id, "Company", "is Marketing?") VALUES (5, 2, NULL);
COMMIT;
UPDATE contacts SET "is Marketing?" = 'non_marketing' WHERE id IN (1, 2, 3);
SELECT * FROM contacts ORDER BY id;
SET contacts_tier.now = '2026-02-10 10:00+00';
CALL contacts_tier.rollover('contacts');
SELECT * FROM contacts ORDER BY id;
SET contacts_tier.now = '2026-01-10 10:00+00';
TABLE drift;
-- only the columns that attach has added are dropped, whatever they are called
SELECT contacts_tier.detach('contacts', true);
SELECT * FROM contacts ORDER BY id;
DROP TABLE contacts, contacts_tier_account, contacts_tier_counter, contacts_tier_ledger;


-- Without an account column, the whole table is one account named "default"
CREATE TABLE contacts (id integer PRIMARY KEY);
SELECT contacts_tier.attach('contacts');
SELECT contacts_tier.subscribe('contacts', 'default', 'attach', on_exceed => 'block');
SELECT contacts_tier.has_access('contacts', 'default') AS "default", contacts_tier.has_access('contacts', 'other') AS other;
INSERT INTO contacts (id, marketing_contact_status) SELECT n, 'marketing' FROM generate_series(1, 3) AS n;
INSERT INTO contacts (id, marketing_contact_status) VALUES (4, 'marketing');
BEGIN;
SET LOCAL contacts_tier.source_type = 'IMPORT';
SELECT contacts_tier.set_policy('contacts', 'default', on_exceed => 'upgrade', source_defaults => '{"IMPORT": "marketing"}');
INSERT INTO contacts VALUES (4);
COMMIT;
SELECT account, contact_limit, marketing_contacts FROM contacts_tier.usage('contacts', 'default');
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id > 2;
SET contacts_tier.now = '2026-02-10 10:00+00';
CALL contacts_tier.rollover('contacts', 'default', 1);
SET contacts_tier.now = '2026-01-10 10:00+00';
SELECT account, counted, actual FROM contacts_tier.verify('contacts');
TRUNCATE contacts;
SELECT account, counted, actual FROM contacts_tier.verify('contacts');
TABLE drift;
SELECT contacts_tier.detach('contacts');
DROP TABLE contacts, contacts_tier_account, contacts_tier_counter, contacts_tier_ledger;


-- The account column may be of many types.  For each: subscribe, promote up to
-- the tier and beyond, look, change the policy, roll over, drift, repair, detach.
CREATE TYPE team AS ENUM ('blue', 'red');
CREATE DOMAIN tenant AS text CHECK (VALUE <> '');
CREATE DOMAIN tenant_number AS bigint CHECK (VALUE > 0);
CREATE FUNCTION life_of(type text, account text, other text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    CREATE SCHEMA of_type;
    EXECUTE format('CREATE TABLE of_type.contacts (id integer PRIMARY KEY, account %s)', type);
    PERFORM contacts_tier.attach('of_type.contacts', 'account');
    PERFORM contacts_tier.subscribe('of_type.contacts', account, 'attach', on_exceed => 'block');
    PERFORM contacts_tier.subscribe('of_type.contacts', other, 'attach');
    RETURN QUERY SELECT format('access: %s %s', u.account, contacts_tier.has_access('of_type.contacts', a.account))
                   FROM (VALUES (1, account), (2, other)) AS a (n, account), contacts_tier.usage('of_type.contacts', a.account) AS u
                  ORDER BY n;
    EXECUTE format('INSERT INTO of_type.contacts SELECT n, %L, ''marketing'', n = 1 FROM generate_series(1, 3) AS n', account);
    BEGIN
        EXECUTE format('INSERT INTO of_type.contacts VALUES (4, %L, ''marketing'')', account);
    EXCEPTION WHEN SQLSTATE 'MC001' THEN
        RETURN NEXT sqlerrm;
    END;
    PERFORM contacts_tier.set_policy('of_type.contacts', account, on_exceed => 'upgrade', source_defaults => '{"USER": "marketing"}');
    EXECUTE format('INSERT INTO of_type.contacts SELECT n, %L FROM generate_series(4, 5) AS n', account);
    EXECUTE format('UPDATE of_type.contacts SET account = %L WHERE id = 5', other);
    RETURN QUERY SELECT format('usage: %s %s of %s', u.account, marketing_contacts, contact_limit)
                   FROM contacts_tier.usage('of_type.contacts') AS u ORDER BY marketing_contacts DESC;
    SET LOCAL contacts_tier.now = '2026-02-10 10:00+00';
    CALL contacts_tier.rollover('of_type.contacts', account, 1);
    SET LOCAL session_replication_role = replica;
    DELETE FROM of_type.contacts WHERE id = 2;
    SET LOCAL session_replication_role = origin;
    RETURN QUERY SELECT format('repair: %s counted %s, actual %s', r.account, counted, actual) FROM contacts_tier.repair('of_type.contacts') AS r;
    RETURN QUERY SELECT format('verify: %s counted %s, actual %s', v.account, counted, actual)
                   FROM contacts_tier.verify('of_type.contacts') AS v ORDER BY actual DESC;
    PERFORM contacts_tier.detach('of_type.contacts');
    RETURN QUERY SELECT format('detached: %s left', sum(used)) FROM of_type.contacts_tier_counter;
    DROP SCHEMA of_type CASCADE;
    SET LOCAL contacts_tier.now = '2026-01-10 10:00+00';
END $$;
SELECT life_of('bigint', '9223372036854775807', '-1');
SELECT life_of('integer', '1', '02');
SELECT life_of('smallint', '1', '2');
SELECT life_of('uuid', '6ba7b810-9dad-11d1-80b4-00c04fd430c8', '{6BA7B811-9DAD-11D1-80B4-00C04FD430C8}');
SELECT life_of('text', 'a', $x$b' "\ %s {"a": 1}$x$);
SELECT life_of('character varying(10)', 'a', 'b');
SELECT life_of('character varying', 'a', 'b');
SELECT life_of('name', 'a', 'b');
SELECT life_of('character(5)', 'abc', 'abd');
SELECT life_of('numeric(10,2)', '1.50', '2');
SELECT life_of('date', '2026-01-01', '2026-01-02');
SELECT life_of('bytea', '\x00ff', '\x0000');
SELECT life_of('jsonb', '{"a": 1}', '"b"');
SELECT life_of('integer[]', '{1,2}', '{}');
SELECT life_of('attach.team', 'red', 'blue');
SELECT life_of('attach.tenant', 'a', 'b');
SELECT life_of('attach.tenant_number', '1', '2');
SELECT life_of('text COLLATE "C"', 'a', 'B');
-- accounts that the type takes for one are one
CREATE SCHEMA of_type;
CREATE TABLE of_type.contacts (id integer PRIMARY KEY, account numeric);
SELECT contacts_tier.attach('of_type.contacts', 'account');
SELECT contacts_tier.subscribe('of_type.contacts', '1.0', 'attach');
INSERT INTO of_type.contacts (id, account, marketing_contact_status) VALUES (1, 1, 'marketing'), (2, 1.00, 'marketing'), (3, 1.000, 'marketing');
UPDATE of_type.contacts SET account = 1.0000 WHERE id = 3;
SELECT account::numeric, counted, actual FROM contacts_tier.verify('of_type.contacts');
SELECT contacts_tier.has_access('of_type.contacts', '1.00000');
TABLE drift;
DROP SCHEMA of_type CASCADE;
-- types without an order, or without a hash, cannot be told apart
CREATE TABLE of_point (id integer, account point);
SELECT contacts_tier.attach('of_point', 'account');
\echo :SQLSTATE
CREATE TABLE of_json (id integer, account json);
SELECT contacts_tier.attach('of_json', 'account');
DROP TABLE of_point, of_json;


-- Hostile names, of everything that has one
CREATE SCHEMA "Hostile ""schema""; '%s $1";
CREATE TABLE "Hostile ""schema""; '%s $1"."Contacts ""of""; DROP TABLE x; --'%s \n" (
    "K""ey '%s" text PRIMARY KEY, "Acc""ount'; -- %s \" text, "select" text);
SET search_path = "Hostile ""schema""; '%s $1", attach, public;
SELECT contacts_tier.attach('"Contacts ""of""; DROP TABLE x; --''%s \n"', $$Acc"ount'; -- %s \$$,
    $${"status": "from", "until_next_update": "u\"'%s", "source_type": "type\\", "source_name": "name %1$s", "updated_at": "WHEN"}$$);
SELECT contacts_tier.subscribe('"Contacts ""of""; DROP TABLE x; --''%s \n"', $$O'Brien "& %s \ $1$$, 'attach', on_exceed => 'block');
INSERT INTO "Contacts ""of""; DROP TABLE x; --'%s \n" ("K""ey '%s", "Acc""ount'; -- %s \", "from")
    SELECT $$k'"\%s$$ || n, $$O'Brien "& %s \ $1$$, 'marketing' FROM generate_series(1, 3) AS n;
INSERT INTO "Contacts ""of""; DROP TABLE x; --'%s \n" VALUES ('4', $$O'Brien "& %s \ $1$$, '', 'marketing');
SELECT contacts_tier.set_policy('"Contacts ""of""; DROP TABLE x; --''%s \n"', $$O'Brien "& %s \ $1$$, on_exceed => 'upgrade',
    source_defaults => '{"FORM": "non_marketing"}');
INSERT INTO "Contacts ""of""; DROP TABLE x; --'%s \n" VALUES ('4', $$O'Brien "& %s \ $1$$, '', 'marketing');
UPDATE "Contacts ""of""; DROP TABLE x; --'%s \n" SET "from" = 'non_marketing' WHERE "K""ey '%s" <> '4';
SELECT account, contact_limit, marketing_contacts, pending_non_marketing FROM contacts_tier.usage('"Contacts ""of""; DROP TABLE x; --''%s \n"');
SET contacts_tier.now = '2026-02-10 10:00+00';
CALL contacts_tier.rollover('"Contacts ""of""; DROP TABLE x; --''%s \n"', $$O'Brien "& %s \ $1$$, 2);
SET contacts_tier.now = '2026-01-10 10:00+00';
SELECT * FROM "Contacts ""of""; DROP TABLE x; --'%s \n" ORDER BY 1;
SELECT event, contacts FROM contacts_tier_ledger WHERE event IN ('subscribe', 'tier_change', 'policy', 'rollover') ORDER BY recorded_at, event;
SET session_replication_role = replica;
DELETE FROM "Contacts ""of""; DROP TABLE x; --'%s \n";
RESET session_replication_role;
SELECT * FROM contacts_tier.repair('"Contacts ""of""; DROP TABLE x; --''%s \n"');
TABLE drift;
SELECT contacts_tier.detach('"Contacts ""of""; DROP TABLE x; --''%s \n"', true);
TABLE "Contacts ""of""; DROP TABLE x; --'%s \n";
SET search_path = attach, public;
DROP SCHEMA "Hostile ""schema""; '%s $1" CASCADE;
-- names as long as they can be
CREATE TABLE contacts_in_a_table_with_a_name_of_sixty_three_characters_for_s (id integer PRIMARY KEY,
    account_in_a_column_with_a_name_of_sixty_three_characters_for_s text);
SELECT contacts_tier.attach('contacts_in_a_table_with_a_name_of_sixty_three_characters_for_s',
    'account_in_a_column_with_a_name_of_sixty_three_characters_for_s',
    '{"status": "status_in_a_column_with_a_name_that_has_sixty_three_characters_"}');
SELECT contacts_tier.subscribe('contacts_in_a_table_with_a_name_of_sixty_three_characters_for_s', 'a', 'attach');
INSERT INTO contacts_in_a_table_with_a_name_of_sixty_three_characters_for_s VALUES (1, 'a', 'marketing');
TABLE drift;
SELECT contacts_tier.detach('contacts_in_a_table_with_a_name_of_sixty_three_characters_for_s', true);
DROP TABLE contacts_in_a_table_with_a_name_of_sixty_three_characters_for_s, contacts_tier_account, contacts_tier_counter, contacts_tier_ledger;


-- Two tables of one schema share their companion tables: one tier over both
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
CREATE TABLE leads (account text, email text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.attach('leads', 'account', '{"status": "lead_status"}');
SELECT contacts_tier.subscribe('leads', 'a', 'attach', on_exceed => 'block');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing'), (2, 'a', 'marketing');
INSERT INTO leads (account, lead_status) VALUES ('a', 'marketing');
INSERT INTO leads (account, lead_status) VALUES ('a', 'marketing');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'a', 'marketing');
-- a lead becomes a contact, in one statement
WITH won AS (DELETE FROM leads RETURNING *) INSERT INTO contacts (id, account, marketing_contact_status) SELECT 3, account, lead_status FROM won;
SELECT contacts, account, marketing_contacts, contact_limit FROM contacts_tier.usage('contacts');
SELECT contacts, account, marketing_contacts, contact_limit FROM contacts_tier.usage('leads');
-- without a table, each set of companion tables is told once
SELECT account, marketing_contacts FROM contacts_tier.usage() WHERE contacts IN ('contacts'::regclass, 'leads'::regclass);
SELECT contacts_tier.detach('contacts');
SELECT account, marketing_contacts, contact_limit FROM contacts_tier.usage('leads');
INSERT INTO leads (account, lead_status) SELECT 'a', 'marketing' FROM generate_series(1, 3);
TABLE drift;
-- others may not share them: accounts of another type, and another owner
CREATE TABLE numbered (id integer, account bigint);
SELECT contacts_tier.attach('numbered', 'account');
\echo :SQLSTATE
-- the other way round, a table that is one account as a whole
CREATE SCHEMA attach_numbers;
CREATE TABLE attach_numbers.numbered (id integer, account bigint);
SELECT contacts_tier.attach('attach_numbers.numbered', 'account');
CREATE TABLE attach_numbers.whole (id integer);
SELECT contacts_tier.attach('attach_numbers.whole');
\echo :SQLSTATE
DROP SCHEMA attach_numbers CASCADE;
-- a relation that has the name of a companion table
CREATE SCHEMA attach_names;
CREATE TABLE attach_names.contacts_tier_ledger (id integer);
CREATE TABLE attach_names.contacts (id integer);
SELECT contacts_tier.attach('attach_names.contacts');
\echo :SQLSTATE
DROP SCHEMA attach_names CASCADE;
CREATE ROLE regress_attach_owner;
GRANT ALL ON SCHEMA attach TO regress_attach_owner;
-- who owns what is attached needs the trigger functions
ALTER TABLE contacts OWNER TO regress_attach_owner;
SELECT contacts_tier.attach('contacts', 'account');
\echo :SQLSTATE
GRANT EXECUTE ON FUNCTION contacts_tier_internal.maintain_status(), contacts_tier_internal.count_contact(),
    contacts_tier_internal.apply_counts(), contacts_tier_internal.count_truncate(), contacts_tier_internal.create_companions(text, text) TO regress_attach_owner;
SELECT contacts_tier.attach('contacts', 'account');
\echo :SQLSTATE
ALTER TABLE contacts OWNER TO CURRENT_USER;
DROP TABLE contacts;
-- the same type with another length fits in
CREATE SCHEMA short;
CREATE TABLE short.contacts (id integer, account character varying(3));
CREATE TABLE short.leads (id integer, account character varying(30));
SELECT contacts_tier.attach('short.contacts', 'account');
SELECT contacts_tier.attach('short.leads', 'account');
SELECT contacts_tier.subscribe('short.leads', 'longer than three', 'attach');
INSERT INTO short.leads (id, account, marketing_contact_status) VALUES (1, 'longer than three', 'marketing');
SELECT account, counted, actual FROM contacts_tier.verify('short.leads');
DROP SCHEMA short CASCADE;
TABLE drift;


-- An attached table can be renamed and moved; its companion tables stay where they are
CREATE SCHEMA moved;
ALTER TABLE leads RENAME TO prospects;
ALTER TABLE prospects SET SCHEMA moved;
SELECT * FROM contacts_tier.attached() WHERE contacts = 'moved.prospects'::regclass;
INSERT INTO moved.prospects (account, lead_status) VALUES ('a', 'marketing');
DELETE FROM moved.prospects;
INSERT INTO moved.prospects (account, lead_status) VALUES ('a', 'marketing');
SELECT account, marketing_contacts, contact_limit FROM contacts_tier.usage('moved.prospects');
-- columns that come and go do not disturb it
ALTER TABLE moved.prospects DROP COLUMN email, ADD COLUMN phone text;
INSERT INTO moved.prospects (account, lead_status, phone) VALUES ('a', 'marketing', '112');
UPDATE moved.prospects SET phone = '110', lead_status = 'non_marketing';
SELECT * FROM moved.prospects;
TABLE drift;
-- one can be dropped without being detached, and its contacts are taken off; the
-- companion tables can be with the last one
CREATE TABLE contacts_again (id integer, account text);
SELECT contacts_tier.attach('contacts_again', 'account');
DROP TABLE moved.prospects;
SELECT account, counted, actual, drift FROM contacts_tier.verify('contacts_again');
TABLE drift;
DROP TABLE contacts_again;
DROP TABLE contacts_tier_account, contacts_tier_counter, contacts_tier_ledger;

-- companion tables that are there already, but not whole: DROP EXTENSION takes the columns of
-- its types with it ...
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
BEGIN;
SET LOCAL client_min_messages = error;
DROP EXTENSION contacts_tier CASCADE;
CREATE EXTENSION contacts_tier;
SELECT contacts_tier.attach('contacts', 'account');
ROLLBACK;
-- after uninstall(), the HINTs lead back to an attached table with its history (rule O4) ...
BEGIN;
SET LOCAL client_min_messages = error;
SELECT contacts_tier.subscribe('contacts', 'a', 'attach');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');
SELECT contacts_tier.uninstall('contacts');
DROP EXTENSION contacts_tier CASCADE;
CREATE EXTENSION contacts_tier;
SELECT contacts_tier.create_plan('attach', '{3, 1000}');
SET LOCAL client_min_messages = warning;
DO $$
DECLARE hint text; message text;
BEGIN
    FOR i IN 1..9 LOOP
        BEGIN
            PERFORM contacts_tier.attach('contacts', 'account');
            RETURN;
        EXCEPTION WHEN datatype_mismatch THEN
            GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, message = MESSAGE_TEXT;
        END;
        RAISE WARNING '%: %', message, hint;
        EXECUTE substring(hint, 'ALTER TABLE .*[^.]');
    END LOOP;
END $$;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (2, 'a', 'marketing');
SELECT contacts_tier.cancel('contacts', 'a');
SELECT account, counted, actual FROM contacts_tier.verify('contacts');
SELECT event, count(*), count(DISTINCT entry) FROM contacts_tier_ledger GROUP BY event ORDER BY event;
ROLLBACK;
-- ... and others have columns of another type, another collation, and no primary key
SELECT contacts_tier.detach('contacts', true);
CREATE PROCEDURE attach_after(change text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE change;
    PERFORM contacts_tier.attach('contacts', 'account');
    RAISE EXCEPTION 'attached';
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING '%: %', SQLSTATE, SQLERRM;
END
$$;
CALL attach_after('ALTER TABLE contacts_tier_ledger DROP COLUMN details');
CALL attach_after('ALTER TABLE contacts_tier_counter ALTER used TYPE numeric');
CALL attach_after('ALTER TABLE contacts_tier_account ALTER on_exceed TYPE text');
CALL attach_after('ALTER TABLE contacts_tier_counter ALTER account TYPE text COLLATE "C"');
CALL attach_after('ALTER TABLE contacts_tier_ledger ALTER account TYPE varchar');
CALL attach_after('ALTER TABLE contacts_tier_account DROP CONSTRAINT contacts_tier_account_pkey');
CALL attach_after('ALTER TABLE contacts_tier_counter DROP CONSTRAINT contacts_tier_counter_pkey, ADD PRIMARY KEY (slot, account, used)');
-- counters and accounts are accessed without SQL: ordinary tables with the very key
CALL attach_after('ALTER TABLE contacts_tier_counter DROP CONSTRAINT contacts_tier_counter_pkey, ADD PRIMARY KEY (slot, account)');
CALL attach_after('ALTER TABLE contacts_tier_account RENAME TO old; CREATE TABLE contacts_tier_account (LIKE old INCLUDING ALL) PARTITION BY HASH (account)');
CALL attach_after('ALTER TABLE contacts_tier_account RENAME TO old; CREATE ACCESS METHOD regress_attach_heap TYPE TABLE HANDLER heap_tableam_handler;'
                  ' CREATE TABLE contacts_tier_account (LIKE old INCLUDING ALL) USING regress_attach_heap');
CALL attach_after('ALTER TABLE contacts_tier_ledger SET UNLOGGED');
CALL attach_after('DROP TABLE contacts_tier_ledger');
CALL attach_after('DROP TABLE contacts_tier_ledger; CREATE VIEW contacts_tier_ledger AS SELECT 1 AS account');
CALL attach_after('ALTER TABLE contacts_tier_counter OWNER TO regress_attach_owner');
CALL attach_after('ALTER TABLE contacts_tier_account ADD remark text');
-- nor does attach() itself create others where that is the default
CALL attach_after('DROP TABLE contacts_tier_account, contacts_tier_counter, contacts_tier_ledger CASCADE;'
                  ' CREATE ACCESS METHOD regress_attach_heap TYPE TABLE HANDLER heap_tableam_handler; SET LOCAL default_table_access_method = regress_attach_heap');

SET client_min_messages = error;
DROP SCHEMA moved, attach CASCADE;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA contacts_tier, contacts_tier_internal FROM regress_attach_owner;
DROP ROLE regress_attach_owner;
DELETE FROM contacts_tier.plan WHERE name = 'attach';
