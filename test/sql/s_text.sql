--
-- A status that is given as text, as drivers with typed parameters, CASE, unnest() and ->>
-- give it (rules S1, S2, S4, S6, C1), with and without row triggers
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA s_text;
SET search_path = s_text, public;
SELECT contacts_tier.create_plan('s_text', '{1000}');
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account', '{"status": "status", "until_next_update": "until", "source_type": "source", "source_name": "name", "updated_at": "since"}');
SELECT contacts_tier.subscribe('contacts', 'a', 's_text');
CREATE VIEW drift AS SELECT * FROM contacts_tier.verify('s_text.contacts') WHERE drift <> 0 OR pending_counted <> pending_actual;

CREATE PROCEDURE write() LANGUAGE plpgsql AS $$
DECLARE
    v varchar := 'marketing';
BEGIN
    INSERT INTO contacts (id, account) SELECT n, 'a' FROM generate_series(1, 4) AS n;
    UPDATE contacts SET status = CASE WHEN id % 2 = 0 THEN 'marketing' ELSE 'non_marketing' END;
    INSERT INTO contacts (id, account, status) SELECT 5, 'a', j ->> 's' FROM jsonb_array_elements('[{"s": "marketing"}]') AS j;
    INSERT INTO contacts (id, account, status) SELECT 5 + n, 'a', x FROM unnest('{marketing, non_marketing, NULL}'::text[]) WITH ORDINALITY AS u (x, n);
    INSERT INTO contacts (id, account, status) VALUES (9, 'a', v), (10, 'a', NULL::text), (11, 'a', upper('x')::varchar || NULL);
    INSERT INTO contacts (id, account, status) VALUES (9, 'a', NULL::text), (12, 'a', 'marketing'::varchar(20))
        ON CONFLICT (id) DO UPDATE SET status = 'non_marketing'::text;
    INSERT INTO contacts (id, account) VALUES (2, 'a') ON CONFLICT (id) DO UPDATE SET status = EXCLUDED.status::text;
    UPDATE contacts SET status = v WHERE id = 1;
END $$;
PREPARE by_varchar (integer, varchar) AS INSERT INTO contacts (id, account, status) VALUES ($1, 'a', $2);
PREPARE by_text (integer, text) AS UPDATE contacts SET status = $2 WHERE id = $1;

SET contacts_tier.fast_path = on;
CALL write();
EXECUTE by_varchar (13, 'marketing');
EXECUTE by_text (3, 'marketing');
EXECUTE by_text (5, 'non_marketing');
CREATE TABLE fast AS SELECT id, status, until, source FROM contacts;
SELECT * FROM fast ORDER BY id;
SELECT marketing_contacts, pending_non_marketing FROM contacts_tier.usage('contacts', 'a');
SELECT * FROM drift;
DELETE FROM contacts;

SET contacts_tier.fast_path = off;
CALL write();
EXECUTE by_varchar (13, 'marketing');
EXECUTE by_text (3, 'marketing');
EXECUTE by_text (5, 'non_marketing');
-- the same
SELECT id, status, until, source FROM contacts EXCEPT SELECT * FROM fast;
SELECT marketing_contacts, pending_non_marketing FROM contacts_tier.usage('contacts', 'a');
SELECT * FROM drift;
RESET contacts_tier.fast_path;

-- what is no status is refused, and so is what is no text; nothing else has become possible
\set VERBOSITY terse
UPDATE contacts SET status = 'maybe'::text WHERE id = 1;
UPDATE contacts SET status = 1 WHERE id = 1;
SELECT count(*) FROM contacts WHERE status = 'marketing'::text;
SELECT count(*) FROM contacts WHERE status IN ('marketing', 'non_marketing');
SELECT contacts_tier.can_use('marketing_email', 'marketing'), contacts_tier.can_use('sequence', NULL),
       contacts_tier.can_use('marketing_email', 'non_marketing'::contacts_tier.marketing_status),
       contacts_tier.can_use('marketing_email', 'marketing'::varchar);
PREPARE can_use AS SELECT contacts_tier.can_use($1, $2);
EXECUTE can_use ('marketing_email', 'marketing');
SELECT contacts_tier.can_use('sequence', 'maybe');

\set VERBOSITY default
SET client_min_messages = error;
DROP SCHEMA s_text CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 's_text';
