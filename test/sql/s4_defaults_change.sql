--
-- Defaults (rule S4) that change while contacts come in: what is remembered of the
-- catalogue and of an account holds only as long as these do
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
CREATE SCHEMA s4_change;
SET search_path = s4_change, public;
SELECT contacts_tier.create_plan('s4_change', '{1000}');
SELECT contacts_tier.create_plan('s4_legacy', NULL, marketing_contacts => false);
CREATE TABLE contacts (id serial PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 's4_change'), contacts_tier.subscribe('contacts', 'b', 's4_change');
-- the status that new contacts get now
CREATE FUNCTION now_gets(account text, source_type text) RETURNS contacts_tier.marketing_status LANGUAGE sql AS $$
    INSERT INTO contacts (account, marketing_contact_status_source_type) VALUES ($1, $2) RETURNING marketing_contact_status
$$;

-- in one transaction, and in one top-level statement, the catalogue changes
BEGIN;
SELECT now_gets('a', 'WEBINAR');
INSERT INTO contacts_tier.source_type (name, default_status, changeable) VALUES ('WEBINAR', 'marketing', true);
SELECT now_gets('a', 'WEBINAR');
UPDATE contacts_tier.source_type SET default_status = 'non_marketing' WHERE name = 'WEBINAR';
SELECT now_gets('a', 'WEBINAR');
DELETE FROM contacts_tier.source_type WHERE name = 'WEBINAR';
SELECT now_gets('a', 'FORM');
UPDATE contacts_tier.plan SET marketing_contacts = false WHERE name = 's4_change';
SELECT now_gets('a', 'FORM');
ROLLBACK;
SELECT now_gets('a', 'FORM');
DO $$
BEGIN
    RAISE WARNING '%', now_gets('a', 'WEBINAR');
    INSERT INTO contacts_tier.source_type (name, default_status, changeable) VALUES ('WEBINAR', 'marketing', true);
    RAISE WARNING '%', now_gets('a', 'WEBINAR');
    BEGIN
        UPDATE contacts_tier.source_type SET default_status = 'non_marketing' WHERE name = 'WEBINAR';
        RAISE WARNING '%', now_gets('a', 'WEBINAR');
        RAISE EXCEPTION 'back';
    EXCEPTION WHEN raise_exception THEN
        RAISE WARNING '%', now_gets('a', 'WEBINAR');
    END;
END
$$;
-- with triggers off, as a restore or a replication has them, too
BEGIN;
SELECT now_gets('a', 'WEBINAR');
SET LOCAL session_replication_role = replica;
UPDATE contacts_tier.source_type SET default_status = 'non_marketing' WHERE name = 'WEBINAR';
SET LOCAL session_replication_role = origin;
SELECT now_gets('a', 'WEBINAR');
ROLLBACK;

-- the owner changes the account by plain SQL
CREATE PROCEDURE policies() LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING 'IMPORT of a %, b %', now_gets('a', 'IMPORT'), now_gets('b', 'IMPORT');
    UPDATE contacts_tier_account SET source_defaults = '{"IMPORT": "marketing"}' WHERE account = 'a';
    RAISE WARNING 'IMPORT of a %, b %', now_gets('a', 'IMPORT'), now_gets('b', 'IMPORT');
    UPDATE contacts_tier_account SET plan = 's4_legacy' WHERE account = 'a';
    RAISE WARNING 'IMPORT of a %, b %', now_gets('a', 'IMPORT'), now_gets('b', 'IMPORT');
    UPDATE contacts_tier_account SET plan = 's4_change', source_defaults = '{}' WHERE account = 'a';
    RAISE WARNING 'FORM of a %, c %', now_gets('a', 'FORM'), now_gets('c', 'FORM');
    INSERT INTO contacts_tier_account SELECT (jsonb_populate_record(x, '{"account": "c"}')).* FROM contacts_tier_account x WHERE account = 'b';
    RAISE WARNING 'FORM of a %, c %', now_gets('a', 'FORM'), now_gets('c', 'FORM');
    DELETE FROM contacts_tier_account WHERE account = 'c';
    DELETE FROM contacts WHERE account = 'c';
    RAISE WARNING 'FORM of a %, c %', now_gets('a', 'FORM'), now_gets('c', 'FORM');
END
$$;
BEGIN;
CALL policies();
ROLLBACK;
-- within a statement the answer is one, and asked for once
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO log VALUES (NEW.account);
    RETURN NEW;
END
$$;
CREATE TABLE log (account text);
CREATE TRIGGER note BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO contacts (account, marketing_contact_status_source_type) SELECT (ARRAY['a', 'b'])[1 + n % 2], 'FORM' FROM generate_series(1, 100) n;
SELECT account, counted, actual, drift FROM contacts_tier.verify('contacts');

-- An account that cannot be a key of the companion tables: its contacts are free, and are
-- not refused
SELECT string_agg(sha512(n::text::bytea)::text, '') AS long FROM generate_series(1, 50) n \gset
INSERT INTO contacts (account) VALUES (:'long');
INSERT INTO contacts (account, marketing_contact_status_source_type) VALUES (:'long', 'FORM') RETURNING marketing_contact_status;
UPDATE contacts SET account = account || '.' WHERE length(account) > 1000;
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE length(account) > 1000;
INSERT INTO contacts (account, marketing_contact_status) VALUES (:'long', 'marketing');
\echo :SQLSTATE
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE length(account) > 1000;
\echo :SQLSTATE
UPDATE contacts SET account = :'long' WHERE account = 'a' AND marketing_contact_status = 'marketing';
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', :'long', 's4_change');
\echo :SQLSTATE
DELETE FROM contacts WHERE length(account) > 1000;
-- what can be compressed is shorter as a key
INSERT INTO contacts (account) VALUES (repeat('x', 20000));
SELECT contacts_tier.subscribe('contacts', repeat('x', 20000), 's4_change');
INSERT INTO contacts (account, marketing_contact_status) VALUES (repeat('x', 20000), 'marketing');
SELECT left(account, 3), counted, actual, drift FROM contacts_tier.verify('contacts');
-- the longest that fits, and the next: both sides of the boundary
DO $$
DECLARE
    text text := (SELECT string_agg(encode(sha512(n::text::bytea), 'base64'), '') FROM generate_series(1, 40) n);
    refused integer;
BEGIN
    FOR n IN 2600..2720 LOOP
        INSERT INTO contacts (account) VALUES (left(text, n));
        BEGIN
            PERFORM contacts_tier.subscribe('contacts', left(text, n), 's4_change');
            INSERT INTO contacts (account, marketing_contact_status) VALUES (left(text, n), 'marketing');
            IF refused IS NOT NULL THEN RAISE WARNING 'taken after %', refused; END IF;
        EXCEPTION WHEN invalid_parameter_value THEN
            refused := coalesce(refused, n);
        END;
    END LOOP;
    RAISE WARNING 'refused: %', refused IS NOT NULL;
END
$$;
-- another type of account, as an own table of its own
CREATE SCHEMA s4_bytes;
CREATE TABLE s4_bytes.contacts (id serial PRIMARY KEY, account bytea) PARTITION BY HASH (id);
CREATE TABLE s4_bytes.part PARTITION OF s4_bytes.contacts FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT contacts_tier.attach('s4_bytes.contacts', 'account');
INSERT INTO s4_bytes.contacts (account) SELECT string_agg(sha512(n::text::bytea), '') FROM generate_series(1, 100) n;
INSERT INTO s4_bytes.part (id, account) SELECT 2, string_agg(sha512(n::text::bytea), '') FROM generate_series(1, 50) n;
UPDATE s4_bytes.contacts SET marketing_contact_status = 'marketing';
\echo :SQLSTATE
SELECT count(*) FROM s4_bytes.contacts;

SET client_min_messages = error;
DROP SCHEMA s4_change, s4_bytes CASCADE;
DELETE FROM contacts_tier.source_type WHERE name = 'WEBINAR';
DELETE FROM contacts_tier.plan WHERE name LIKE 's4%';
