--
-- Status, flag, source and time change together (rule S5): what is not given the session
-- says, what is merely repeated gives way to it, and what another trigger does to them is put
-- right by the same rules
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
-- who writes is shown
CREATE ROLE regress_user SUPERUSER;
SET SESSION AUTHORIZATION regress_user;
\set VERBOSITY terse

CREATE ROLE regress_s5_writer;
CREATE SCHEMA s5;
GRANT USAGE ON SCHEMA s5 TO regress_s5_writer;
SET search_path = s5, public;
SELECT contacts_tier.create_plan('s5', '{5}'), contacts_tier.create_plan('s5 big', '{1000000}');
CREATE TABLE contacts (id integer, account text, email text) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF contacts FOR VALUES FROM (0) TO (100);
CREATE TABLE high PARTITION OF contacts FOR VALUES FROM (100) TO (200);
CREATE TABLE plain (id integer PRIMARY KEY, account text, email text);
SELECT contacts_tier.attach('contacts', 'account'), contacts_tier.attach('plain', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 's5 big'), contacts_tier.subscribe('contacts', 'small', 's5', on_exceed => 'block');
GRANT SELECT, INSERT, UPDATE, DELETE ON contacts, low, high, plain TO regress_s5_writer;
CREATE FUNCTION properties(c anyelement) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', c.marketing_contact_status, CASE WHEN c.marketing_contact_until_next_update THEN 'flag' END,
                     coalesce(c.marketing_contact_status_source_type, 'NULL'), coalesce(c.marketing_contact_status_source_name, 'NULL'),
                     coalesce(c.marketing_contact_status_updated_at::text, 'NULL')) $$;
CREATE VIEW contact AS SELECT 'parted' AS in_table, id, account, properties(c) FROM contacts c UNION ALL SELECT 'plain', id, account, properties(p) FROM plain p ORDER BY 1, 2;

-- A new contact that comes while another one is updated is a new one: what is not given it gets
SET ROLE regress_s5_writer;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing'), (2, 'a', 'marketing');
INSERT INTO plain (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing'), (2, 'a', 'marketing');
WITH u AS (UPDATE contacts SET email = 'x', marketing_contact_status = 'non_marketing' WHERE id = 1 RETURNING id)
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_status_source_type, marketing_contact_status_source_name, marketing_contact_status_updated_at)
SELECT 11, 'a', 'marketing', NULL, NULL, NULL FROM u;
WITH u AS (UPDATE plain SET email = 'x', marketing_contact_status = 'non_marketing' WHERE id = 1 RETURNING id)
INSERT INTO plain (id, account, marketing_contact_status, marketing_contact_status_source_type, marketing_contact_status_source_name, marketing_contact_status_updated_at)
SELECT 11, 'a', 'marketing', NULL, '', NULL FROM u;
WITH d AS (DELETE FROM low WHERE id = 2 RETURNING *)
INSERT INTO high (id, account, marketing_contact_status, marketing_contact_status_source_type, marketing_contact_status_source_name, marketing_contact_status_updated_at)
SELECT 112, account, marketing_contact_status, NULL, NULL, NULL FROM d;
MERGE INTO contacts c USING (VALUES (1), (113)) AS s (id) ON c.id = s.id
 WHEN MATCHED THEN UPDATE SET marketing_contact_status = 'marketing', marketing_contact_status_source_type = NULL
 WHEN NOT MATCHED THEN INSERT (id, account, marketing_contact_status, marketing_contact_status_source_type, marketing_contact_status_source_name, marketing_contact_status_updated_at)
      VALUES (s.id, 'a', 'non_marketing', '', NULL, NULL);
RESET ROLE;
TABLE contact;


-- What is merely repeated gives way to the settings
SET ROLE regress_s5_writer;
DELETE FROM contacts;
DELETE FROM plain;
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_status_source_type, marketing_contact_status_source_name)
    SELECT n, 'a', 'marketing', 'FORM', 'signup' FROM generate_series(1, 5) AS n;
INSERT INTO plain SELECT * FROM contacts;
-- without settings it is kept, and without the columns it is not
UPDATE contacts SET marketing_contact_status = 'non_marketing', marketing_contact_status_source_type = 'FORM', marketing_contact_status_source_name = 'signup' WHERE id = 1;
UPDATE plain SET marketing_contact_status = 'non_marketing', marketing_contact_status_source_name = marketing_contact_status_source_name WHERE id = 1;
BEGIN;
SET LOCAL contacts_tier.source_type = 'WORKFLOW';
SET LOCAL contacts_tier.source_name = 'clean-up';
-- the whole row, as it was read
UPDATE contacts c SET (id, account, email, marketing_contact_status, marketing_contact_until_next_update, marketing_contact_status_source_type,
                       marketing_contact_status_source_name, marketing_contact_status_updated_at) =
    (SELECT id, account, 'x', 'non_marketing'::contacts_tier.marketing_status, marketing_contact_until_next_update, marketing_contact_status_source_type,
            marketing_contact_status_source_name, marketing_contact_status_updated_at FROM contacts r WHERE r.id = c.id) WHERE id = 2;
-- one of the two is another
UPDATE contacts SET marketing_contact_status = 'non_marketing', marketing_contact_status_source_type = 'FORM', marketing_contact_status_source_name = 'unsubscribe' WHERE id = 3;
UPDATE plain SET marketing_contact_status = 'non_marketing', marketing_contact_status_source_type = 'API', marketing_contact_status_source_name = 'signup' WHERE id = 3;
-- '' is not given
UPDATE plain SET marketing_contact_status = 'non_marketing', marketing_contact_status_source_type = '', marketing_contact_status_source_name = '' WHERE id = 4;
INSERT INTO plain (id, account, marketing_contact_status, marketing_contact_status_source_type, marketing_contact_status_source_name) VALUES (6, 'a', 'marketing', '', '');
COPY contacts (id, account, marketing_contact_status, marketing_contact_status_source_type, marketing_contact_status_source_name) FROM stdin;
6	a	marketing		\N
\.
INSERT INTO plain SELECT * FROM contacts WHERE id = 5 ON CONFLICT (id) DO UPDATE SET marketing_contact_status = 'non_marketing',
    marketing_contact_status_source_type = excluded.marketing_contact_status_source_type, marketing_contact_status_source_name = excluded.marketing_contact_status_source_name;
MERGE INTO contacts c USING plain p ON c.id = p.id AND c.id = 4
 WHEN MATCHED THEN UPDATE SET marketing_contact_status = 'non_marketing', marketing_contact_status_source_type = 'FORM', marketing_contact_status_source_name = c.marketing_contact_status_source_name;
UPDATE contacts SET marketing_contact_until_next_update = true, marketing_contact_status_source_type = p.marketing_contact_status_source_type FROM plain p WHERE contacts.id = 5 AND p.id = 5;
-- and where nothing changes, nothing does
UPDATE plain SET marketing_contact_status = 'marketing', marketing_contact_status_source_type = 'FORM', email = 'x' WHERE id = 2;
COMMIT;
RESET ROLE;
TABLE contact;


-- What a later trigger of the application makes of it: NULL or '', a time to come, a status, another account
DELETE FROM contacts;
DELETE FROM plain;
CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.email ~ 'null' THEN
        NEW.marketing_contact_status_source_type := NULL;
        NEW.marketing_contact_status_source_name := '';
        NEW.marketing_contact_status_updated_at := NULL;
    END IF;
    IF NEW.email ~ 'future' THEN
        NEW.marketing_contact_status_updated_at := '2099-01-01';
    END IF;
    IF NEW.email ~ 'past' THEN
        NEW.marketing_contact_status_updated_at := '2001-01-01';
    END IF;
    IF NEW.email ~ 'source' THEN
        NEW.marketing_contact_status_source_type := 'X';
    END IF;
    IF NEW.email ~ 'marketing' THEN
        NEW.marketing_contact_status := 'marketing';
    END IF;
    IF NEW.email ~ 'account' THEN
        NEW.account := 'small';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER zzz_later BEFORE INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION later();
CREATE TRIGGER zzz_later BEFORE INSERT OR UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION later();
SET ROLE regress_s5_writer;
INSERT INTO plain (id, account, email, marketing_contact_status, marketing_contact_until_next_update) VALUES (1, 'a', 'null', 'marketing', NULL), (2, 'a', 'future', 'marketing', true),
    (3, 'a', 'null marketing', NULL, NULL), (4, 'a', 'past source', 'marketing', NULL), (5, 'a', 'source account', 'marketing', NULL);
COPY contacts (id, account, email, marketing_contact_status, marketing_contact_until_next_update) FROM stdin;
1	a	null	marketing	\N
2	a	future	marketing	true
3	a	null marketing	\N	\N
4	a	past source	marketing	\N
5	a	source account	marketing	\N
\.
RESET ROLE;
TABLE contact;
-- on a contact that changes, and on one that does not
SET contacts_tier.now = '2026-01-11 10:00+00';
SET ROLE regress_s5_writer;
DELETE FROM plain;
DELETE FROM contacts;
INSERT INTO plain (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(1, 8) AS n;
INSERT INTO contacts SELECT * FROM plain;
RESET ROLE;
SET contacts_tier.now = '2026-01-12 10:00+00';
SET ROLE regress_s5_writer;
UPDATE plain SET email = (ARRAY['null', 'future', 'source', 'past'])[id] WHERE id <= 4;
UPDATE plain SET email = (ARRAY['null', 'future', 'source', 'past'])[id - 4], marketing_contact_status = 'non_marketing' WHERE id > 4;
MERGE INTO contacts c USING generate_series(1, 8) AS n ON c.id = n
 WHEN MATCHED AND n <= 4 THEN UPDATE SET email = (ARRAY['null', 'future', 'source', 'past'])[id]
 WHEN MATCHED THEN UPDATE SET email = (ARRAY['null', 'future', 'source', 'past'])[id - 4], marketing_contact_status = 'non_marketing';
RESET ROLE;
TABLE contact;
-- the account moves, and is counted and checked, whatever else the trigger changes
DELETE FROM contacts;
DELETE FROM plain;
CREATE FUNCTION counted() RETURNS text LANGUAGE sql AS $$
SELECT string_agg(format('%s %s/%s', account, counted, pending_counted) || CASE WHEN drift <> 0 OR pending_counted <> pending_actual THEN ' drift' ELSE '' END, ', ' ORDER BY account)
  FROM contacts_tier.verify('s5.contacts') WHERE counted <> 0 OR actual <> 0 $$;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(1, 7) AS n;
INSERT INTO plain (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');
UPDATE contacts SET account = 'small', email = 'source' WHERE id IN (1, 2);
SELECT counted();
UPDATE contacts SET email = 'source account' WHERE id IN (3, 4);
SELECT counted();
UPDATE contacts SET email = 'null account', marketing_contact_status = 'non_marketing' WHERE id = 5;
SELECT counted();
UPDATE contacts SET id = id + 100, account = 'small', email = 'source' WHERE id = 6;
MERGE INTO plain p USING (VALUES (1)) AS s (id) ON p.id = s.id WHEN MATCHED THEN UPDATE SET email = 'source account';
INSERT INTO plain (id, account, email, marketing_contact_status) VALUES (2, 'a', 'future account', 'marketing');
SELECT counted();
UPDATE contacts SET account = 'a', email = 'null' WHERE id = 1;
SELECT counted();

-- a time to come would keep a flag over its update date
DELETE FROM contacts;
INSERT INTO contacts (id, account, email, marketing_contact_status, marketing_contact_until_next_update) VALUES (1, 'a', 'future', 'marketing', true), (2, 'a', NULL, 'marketing', NULL), (3, 'a', NULL, 'marketing', NULL);
UPDATE contacts SET email = 'future', marketing_contact_status = 'non_marketing' WHERE id = 2;
UPDATE contacts SET marketing_contact_status = 'non_marketing', marketing_contact_status_updated_at = '2099-01-01' WHERE id = 3;
ALTER TABLE contacts DISABLE TRIGGER zzz_later;
ALTER TABLE low DISABLE TRIGGER zzz_later;
SET contacts_tier.now = '2026-02-11 12:00+00';
CALL contacts_tier.rollover('contacts');
TABLE contact;

SELECT account, drift FROM contacts_tier.verify() WHERE drift <> 0 OR pending_counted <> pending_actual;
SET client_min_messages = error;
DROP SCHEMA s5 CASCADE;
DROP OWNED BY regress_s5_writer;
DROP ROLE regress_s5_writer;
DELETE FROM contacts_tier.plan WHERE name LIKE 's5%';
RESET SESSION AUTHORIZATION;
DROP ROLE regress_user;
