--
-- What attach() tells of the columns that it takes over, what detach() drops, and HINTs that lead
-- out where a type is wrong (rule O4)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
SET client_min_messages = notice;

CREATE SCHEMA attach_columns;
SET search_path = attach_columns, public;
CREATE VIEW columns AS SELECT attrelid::regclass AS contacts, string_agg(attname, ' ' ORDER BY attnum) AS columns FROM pg_attribute
 WHERE attrelid::regclass::text LIKE 'contacts%' AND attrelid IN (SELECT oid FROM pg_class WHERE relkind IN ('r', 'p'))
   AND attrelid::regclass::text NOT LIKE 'contacts\_tier%' AND attnum > 0 AND NOT attisdropped GROUP BY attrelid;

-- a NOTICE for each column that was there, and for each DEFAULT that decides instead of what is not given
CREATE TABLE contacts (id integer PRIMARY KEY, account text, updated_at timestamptz DEFAULT '2020-01-01',
    status contacts_tier.marketing_status DEFAULT 'non_marketing', "source ""x""" text DEFAULT 'CRM', "Name" text DEFAULT 'unknown', flag boolean DEFAULT false);
INSERT INTO contacts VALUES (1, 'a');
SELECT contacts_tier.attach('contacts', 'account', '{"status": "status", "updated_at": "updated_at", "source_type": "source \"x\"", "source_name": "Name", "until_next_update": "flag"}');
-- what the HINT says helps: the default of the source type applies
SELECT contacts_tier.create_plan('attach_columns', '{10}');
SELECT contacts_tier.subscribe('contacts', 'a', 'attach_columns');
SET contacts_tier.source_type = 'FORM';
INSERT INTO contacts (id, account) VALUES (2, 'a');
ALTER TABLE attach_columns.contacts ALTER COLUMN status DROP DEFAULT;
ALTER TABLE attach_columns.contacts ALTER COLUMN "source ""x""" DROP DEFAULT;
INSERT INTO contacts (id, account) VALUES (3, 'a');
SELECT id, status, "source ""x""", "Name" FROM contacts ORDER BY id;
-- all were there, so none is dropped; the values stay
SELECT contacts_tier.detach('contacts', drop_columns => true);
TABLE columns;
SELECT id, updated_at FROM contacts WHERE id = 1;
DROP TABLE contacts;

-- only what attach() has added is dropped, after it was renamed to and fro, also from partitions
CREATE TABLE contacts (id integer PRIMARY KEY, account text, updated_at timestamptz DEFAULT '2020-01-01') PARTITION BY RANGE (id);
CREATE TABLE contacts_1 PARTITION OF contacts FOR VALUES FROM (0) TO (10);
INSERT INTO contacts VALUES (1, 'a');
SELECT contacts_tier.attach('contacts', 'account', '{"updated_at": "updated_at"}');
CREATE TABLE contacts_2 PARTITION OF contacts FOR VALUES FROM (10) TO (20);
COMMENT ON COLUMN contacts.updated_at IS 'added by contacts_tier.attach()';
COMMENT ON COLUMN contacts.marketing_contact_status IS NULL;
TABLE columns;
-- a trigger that was renamed is dropped all the same, one of the application's stays, and detach() has nothing to say
ALTER TRIGGER contacts_tier_apply ON contacts_1 RENAME TO other;
ALTER TRIGGER contacts_tier_truncate ON contacts RENAME TO "another ""one""";
DROP TRIGGER contacts_tier_apply ON contacts_2;
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER contacts_tier_apply AFTER UPDATE ON contacts_2 EXECUTE FUNCTION nothing();
SELECT contacts_tier.detach('contacts', drop_columns => true);
TABLE columns;
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgrelid IN ('contacts'::regclass, 'contacts_1'::regclass, 'contacts_2'::regclass);
SELECT id, updated_at FROM contacts;
-- columns that a first detach() has left are the application's when the table is attached again
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.detach('contacts');
SET client_min_messages = warning;
SELECT contacts_tier.attach('contacts', 'account');
SET client_min_messages = notice;
SELECT contacts_tier.detach('contacts', true);
SELECT contacts, array_length(string_to_array(columns, ' '), 1) AS columns FROM columns ORDER BY contacts::text;
DROP TABLE contacts, contacts_tier_account, contacts_tier_counter, contacts_tier_ledger;

-- Columns of a wrong type: the HINT is a statement, and with it attach() goes on
SET client_min_messages = warning;
CREATE PROCEDURE attach_by_hints() LANGUAGE plpgsql AS $$
DECLARE hint text; code text; message text;
BEGIN
    FOR i IN 1..9 LOOP
        BEGIN
            PERFORM contacts_tier.attach('contacts', 'account',
                '{"status": "status", "until_next_update": "the \"flag\"", "source_type": "type", "source_name": "name", "updated_at": "at"}');
            RAISE WARNING 'attached';
            RETURN;
        EXCEPTION WHEN datatype_mismatch THEN
            GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, code = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
        END;
        RAISE WARNING '%: %: %', code, message, hint;
        EXECUTE substring(hint, 'ALTER TABLE .*[^.]');
    END LOOP;
END $$;
CREATE FUNCTION life() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    CALL attach_by_hints();
    RETURN QUERY EXECUTE 'SELECT c::text FROM contacts c ORDER BY id';
    PERFORM contacts_tier.detach('contacts');
    DROP TABLE contacts, contacts_tier_account, contacts_tier_counter, contacts_tier_ledger;
END $$;
CREATE TABLE contacts (id integer PRIMARY KEY, account text, status text DEFAULT 'non_marketing', "the ""flag""" integer DEFAULT 0, type varchar(20), name name, at timestamp);
INSERT INTO contacts VALUES (1, 'a', 'marketing', 1, 'API', 'x', '2025-12-31 23:59');
INSERT INTO contacts VALUES (2, 'a');
SELECT life();
CREATE TABLE contacts (id integer PRIMARY KEY, account text, status boolean DEFAULT true, "the ""flag""" smallint DEFAULT 0, type "char", name integer, at bigint DEFAULT 0);
INSERT INTO contacts VALUES (1, 'a', true, 0, 'A', 12, 1767225540);
INSERT INTO contacts VALUES (2, 'a', NULL);
SELECT life();
CREATE TYPE yes_no AS ENUM ('yes', 'no');
CREATE DOMAIN short_text AS text CHECK (length(VALUE) < 10);
CREATE TABLE contacts (id integer PRIMARY KEY, account text, status varchar, "the ""flag""" yes_no, type yes_no DEFAULT 'yes', name short_text, at date);
INSERT INTO contacts VALUES (1, 'a', 'marketing', 'yes', 'no', 'me', '2025-12-31');
SELECT life();

-- After detach(), an account column of another type: the companion tables are converted, with their history, by what the HINT says
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', '7', 'attach_columns');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, '7', 'marketing'), (2, '7', 'marketing');
SELECT contacts_tier.detach('contacts');
CREATE PROCEDURE attach_after(change text) LANGUAGE plpgsql AS $$
DECLARE hint text; message text; statement text;
BEGIN
    EXECUTE change;
    BEGIN
        PERFORM contacts_tier.attach('contacts', 'account');
    EXCEPTION WHEN datatype_mismatch THEN
        GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, message = MESSAGE_TEXT;
        RAISE WARNING '%: %', message, hint;
        FOR statement IN SELECT m[1] FROM regexp_matches(hint, '(ALTER TABLE [^;]*);', 'g') AS m LOOP
            EXECUTE statement;
        END LOOP;
        PERFORM contacts_tier.attach('contacts', 'account');
    END;
END $$;
CALL attach_after('ALTER TABLE contacts ALTER account TYPE bigint USING account::bigint');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 7, 'marketing');
SELECT account, plan, marketing_contacts FROM contacts_tier.usage('contacts');
SELECT account, drift FROM contacts_tier.verify('contacts');
SELECT event, count(*) FROM contacts_tier_ledger WHERE account = 7 GROUP BY event ORDER BY event;
SELECT contacts_tier.detach('contacts');
CALL attach_after('ALTER TABLE contacts ALTER account TYPE text COLLATE "C"');
UPDATE contacts SET marketing_contact_status = 'non_marketing';
SELECT account, marketing_contacts, pending_non_marketing FROM contacts_tier.usage('contacts');
-- or none of it: the other ways that the HINTs name
SELECT contacts_tier.detach('contacts');
ALTER TABLE contacts ALTER account TYPE uuid USING md5(account)::uuid;
SELECT contacts_tier.attach('contacts', 'account');
CREATE SCHEMA "Companions' ""x""";
SELECT contacts_tier.attach('contacts', 'account', companion_schema => $$Companions' "x"$$);
SELECT contacts_tier.detach('contacts');
DROP TABLE contacts_tier_account, contacts_tier_counter, contacts_tier_ledger;
SELECT contacts_tier.attach('contacts', 'account');
-- one companion table is missing: it is created again
SELECT contacts_tier.detach('contacts');
DROP TABLE contacts_tier_counter;
SELECT contacts_tier.attach('contacts', 'account');
SELECT drift FROM contacts_tier.verify('contacts');
-- somebody else's relation
SELECT contacts_tier.detach('contacts');
DROP TABLE contacts_tier_account, contacts_tier_counter, contacts_tier_ledger;
CREATE SEQUENCE contacts_tier_ledger;
SELECT contacts_tier.attach('contacts', 'account');
ALTER SEQUENCE contacts_tier_ledger RENAME TO ours;
SELECT contacts_tier.attach('contacts', 'account');

SET client_min_messages = error;
DROP SCHEMA attach_columns, "Companions' ""x""" CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'attach_columns';
