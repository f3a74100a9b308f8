--
-- What nobody stated stays unstated (rule S4): a default never demotes, and never loses
-- a contact; EXCLUDED carries what the statement gave and nothing else
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
-- who writes is shown
CREATE ROLE regress_user SUPERUSER;
SET SESSION AUTHORIZATION regress_user;
\set VERBOSITY terse

CREATE SCHEMA s4;
SET search_path = s4, public;
SELECT contacts_tier.create_plan('s4', '{3}'), contacts_tier.create_plan('s4 big', '{1000000}');
CREATE TABLE contacts (id integer PRIMARY KEY, account text, email text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 's4 big'), contacts_tier.subscribe('contacts', 'full', 's4', on_exceed => 'block');
CREATE VIEW contact AS SELECT id, account, marketing_contact_status AS status, marketing_contact_until_next_update AS until,
    marketing_contact_status_source_type AS source_type, marketing_contact_status_source_name AS source_name,
    marketing_contact_status_updated_at AS updated_at, email FROM contacts ORDER BY id;
-- contacts to begin with: a marketing contact, a flagged one, a non-marketing one
CREATE PROCEDURE begin_again() LANGUAGE sql AS $$
    DELETE FROM s4.contacts;
    INSERT INTO s4.contacts (id, account, marketing_contact_status, marketing_contact_until_next_update, marketing_contact_status_source_type,
                             marketing_contact_status_source_name, marketing_contact_status_updated_at)
    VALUES (1, 'a', 'marketing', NULL, 'FORM', 'f', '2026-01-01 00:00+00'), (2, 'a', 'marketing', true, 'FORM', 'f', '2026-01-01 00:00+00'),
           (3, 'a', 'non_marketing', NULL, 'FORM', 'f', '2026-01-01 00:00+00');
$$;
-- every property is overwritten by what was proposed
CREATE PROCEDURE overwrite(given text, new_rows text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('INSERT INTO s4.contacts (id, account, email %s) VALUES %s ON CONFLICT (id) DO UPDATE SET
        account = excluded.account, email = excluded.email, marketing_contact_status = excluded.marketing_contact_status,
        marketing_contact_until_next_update = excluded.marketing_contact_until_next_update,
        marketing_contact_status_source_type = excluded.marketing_contact_status_source_type,
        marketing_contact_status_source_name = excluded.marketing_contact_status_source_name,
        marketing_contact_status_updated_at = excluded.marketing_contact_status_updated_at', given, new_rows);
END $$;

SET contacts_tier.source_type = 'IMPORT';
-- nothing of the status is given: all five stay, in an account of any default
CALL begin_again();
CALL overwrite('', $$(1, 'a', 'x'), (2, 'a', 'x'), (3, 'a', 'x'), (4, 'a', 'new')$$);
TABLE contact;
SELECT contacts_tier.set_policy('contacts', 'a', source_defaults => '{"IMPORT": "marketing"}');
CALL begin_again();
CALL overwrite('', $$(1, 'a', 'x'), (2, 'a', 'x'), (3, 'a', 'x'), (4, 'a', 'new')$$);
TABLE contact;
SELECT contacts_tier.set_policy('contacts', 'a', source_defaults => '{}');
-- NULL is not given, nor is an empty source
CALL begin_again();
CALL overwrite(', marketing_contact_status, marketing_contact_until_next_update, marketing_contact_status_source_type, marketing_contact_status_source_name',
               $$(1, 'a', 'x', NULL, NULL, '', NULL), (2, 'a', 'x', NULL, NULL, NULL, ''), (3, 'a', 'x', NULL, NULL, '', ''), (4, 'a', 'new', NULL, NULL, '', '')$$);
TABLE contact;
-- what is given, is
CALL begin_again();
CALL overwrite(', marketing_contact_status, marketing_contact_status_source_name',
               $$(1, 'a', 'x', 'non_marketing', 'file'), (2, 'a', 'x', 'marketing', NULL), (3, 'a', 'x', 'marketing', NULL), (4, 'a', 'new', 'marketing', 'file')$$);
TABLE contact;
CALL begin_again();
CALL overwrite(', marketing_contact_until_next_update', $$(1, 'a', 'x', true), (2, 'a', 'x', false), (3, 'a', 'x', true)$$);
TABLE contact;
-- some rows of a statement give it, and some do not, whatever came before
CALL begin_again();
CALL overwrite(', marketing_contact_status', $$(3, 'a', 'x', 'marketing'), (2, 'a', 'x', NULL), (1, 'a', 'x', 'non_marketing'), (5, 'a', 'new', NULL)$$);
TABLE contact;

-- in expressions of all kinds, and in WHERE; a column by another name, of a view, in a function,
-- prepared, executed until the plan is a generic one
CALL begin_again();
INSERT INTO contacts AS c (id, account) VALUES (1, 'a'), (2, 'a'), (3, 'a') ON CONFLICT (id) DO UPDATE SET
    email = concat_ws('/', coalesce(excluded.marketing_contact_status::text, 'none'), excluded.marketing_contact_until_next_update IS NULL,
                      (SELECT excluded.marketing_contact_status_source_type), excluded.marketing_contact_status_updated_at),
    (marketing_contact_status, marketing_contact_status_source_name) = (SELECT excluded.marketing_contact_status, excluded.marketing_contact_status_source_name),
    marketing_contact_until_next_update = coalesce(excluded.marketing_contact_until_next_update, c.marketing_contact_until_next_update)
 WHERE excluded.marketing_contact_status IS NULL AND c.id <> 3;
TABLE contact;
INSERT INTO contacts AS c (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing'), (3, 'a', 'marketing') ON CONFLICT (id) DO UPDATE SET
    marketing_contact_status = CASE WHEN c.id = 3 THEN excluded.marketing_contact_status ELSE 'non_marketing' END
 WHERE excluded.marketing_contact_status IS NOT NULL RETURNING id, marketing_contact_status, marketing_contact_until_next_update;
CALL begin_again();
CREATE VIEW people AS SELECT email, marketing_contact_status AS s, account, marketing_contact_until_next_update AS u, id FROM contacts;
INSERT INTO people (id, account, email) VALUES (1, 'a', 'v'), (2, 'a', 'v'), (3, 'a', 'v')
    ON CONFLICT (id) DO UPDATE SET s = excluded.s, u = excluded.u, email = excluded.email || coalesce(excluded.s::text, '');
TABLE contact;
PREPARE put(integer, contacts_tier.marketing_status) AS INSERT INTO contacts (id, account, marketing_contact_status) VALUES ($1, 'a', $2)
    ON CONFLICT (id) DO UPDATE SET marketing_contact_status = excluded.marketing_contact_status, email = 'p';
DO $$ BEGIN FOR n IN 1..8 LOOP EXECUTE format('EXECUTE put(%s, NULL)', n % 3 + 1); END LOOP; END $$;
EXECUTE put(2, 'marketing');
EXECUTE put(1, 'non_marketing');
EXECUTE put(4, NULL);
CREATE FUNCTION put(integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO s4.contacts (id, account) VALUES ($1, 'a')
    ON CONFLICT (id) DO UPDATE SET marketing_contact_status = excluded.marketing_contact_status, email = 'function' $$;
SELECT put(3), put(5);
TABLE contact;
-- as a part of another statement, and beside one that the proposed row has caused
CREATE FUNCTION inner_upsert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.email = 'outer' THEN
        INSERT INTO s4.contacts (id, account, marketing_contact_status) VALUES (2, 'a', 'marketing')
            ON CONFLICT (id) DO UPDATE SET marketing_contact_status = excluded.marketing_contact_status, email = 'inner';
    END IF;
    RETURN NEW;
END $$;
CALL begin_again();
CREATE TRIGGER zzz_inner BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION inner_upsert();
WITH up AS (
    INSERT INTO contacts (id, account, email) VALUES (1, 'a', 'outer'), (4, 'a', 'outer')
    ON CONFLICT (id) DO UPDATE SET marketing_contact_status = excluded.marketing_contact_status, email = excluded.email RETURNING id)
UPDATE contacts SET email = 'beside' WHERE id = 3 AND EXISTS (SELECT FROM up);
TABLE contact;
DROP TRIGGER zzz_inner ON contacts;
-- partitions, with columns in another order
CREATE TABLE parted (id integer PRIMARY KEY, account text, email text) PARTITION BY RANGE (id);
CREATE TABLE parted_low (email text, gone integer, account text, id integer NOT NULL);
ALTER TABLE parted_low DROP gone;
ALTER TABLE parted ATTACH PARTITION parted_low FOR VALUES FROM (0) TO (3);
CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (3) TO (9);
SELECT contacts_tier.attach('parted', 'account');
INSERT INTO parted (id, account, marketing_contact_status, marketing_contact_status_source_type) SELECT n, 'a', 'marketing', 'FORM' FROM generate_series(1, 4) AS n;
INSERT INTO parted (id, account, email) SELECT n, 'a', 'x' FROM generate_series(1, 4) AS n ON CONFLICT (id) DO UPDATE SET email = excluded.email,
    marketing_contact_status = excluded.marketing_contact_status, marketing_contact_status_source_type = excluded.marketing_contact_status_source_type;
INSERT INTO parted (id, account, marketing_contact_status) SELECT n, 'a', CASE WHEN n % 2 = 0 THEN 'non_marketing'::contacts_tier.marketing_status END FROM generate_series(1, 4) AS n
    ON CONFLICT (id) DO UPDATE SET marketing_contact_status = excluded.marketing_contact_status;
SELECT id, marketing_contact_status, marketing_contact_until_next_update, marketing_contact_status_source_type, email FROM parted ORDER BY id;
-- MERGE says NULL itself
CALL begin_again();
MERGE INTO contacts c USING (VALUES (1, NULL::contacts_tier.marketing_status), (2, 'marketing'), (6, NULL)) AS s (id, status) ON c.id = s.id
 WHEN MATCHED THEN UPDATE SET marketing_contact_status = s.status
 WHEN NOT MATCHED THEN INSERT (id, account, marketing_contact_status) VALUES (s.id, 'a', s.status);
TABLE contact;


-- A default never loses a contact, also where another trigger gives it another account: one that
-- is full, one without a subscription, none
SET contacts_tier.source_type = 'FORM';
DELETE FROM contacts;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'full', 'marketing' FROM generate_series(1, 3) AS n;
CREATE FUNCTION other_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.account := nullif(NEW.email, 'none');
    RETURN NEW;
END $$;
CREATE TRIGGER zzz_other BEFORE INSERT OR UPDATE ON contacts FOR EACH ROW WHEN (NEW.email IS NOT NULL) EXECUTE FUNCTION other_account();
INSERT INTO contacts (id, account, email) VALUES (11, 'a', 'full');
INSERT INTO contacts (id, account, email) VALUES (12, 'a', 'nobody');
SET client_min_messages = error;
INSERT INTO contacts (id, account, email) VALUES (13, 'a', 'none');
SET client_min_messages = warning;
COPY contacts (id, account, email) FROM stdin;
14	a	full
15	full	a
16	nobody	none
\.
MERGE INTO contacts c USING (VALUES (17, 'full')) AS s (id, email) ON c.id = s.id
 WHEN NOT MATCHED THEN INSERT (id, account, email) VALUES (s.id, 'nobody', s.email);
-- who asked for it is told
INSERT INTO contacts (id, account, email, marketing_contact_status) VALUES (19, 'a', 'full', 'marketing');
INSERT INTO contacts (id, account, email, marketing_contact_status) VALUES (19, 'a', 'none', 'marketing');
UPDATE contacts SET email = 'full' WHERE id = 15;
TABLE contact;
DROP TRIGGER zzz_other ON contacts;
-- without it, in a statement with room for one, which asks for some itself
DELETE FROM contacts WHERE id IN (1, 2);
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (21, 'full', NULL), (22, 'full', 'marketing'), (23, 'full', NULL), (24, 'full', 'marketing'), (25, 'full', NULL);
SELECT id, status FROM contact WHERE account = 'full' AND (id < 10 OR id > 20);
DELETE FROM contacts WHERE id = 24;
COPY contacts (id, account, marketing_contact_status) FROM stdin;
31	full	\N
32	full	marketing
33	full	\N
\.
SELECT id, status FROM contact WHERE account = 'full' AND (id < 10 OR id > 20);

SELECT account, drift FROM contacts_tier.verify() WHERE drift <> 0 OR pending_counted <> pending_actual;
SET client_min_messages = error;
DROP SCHEMA s4 CASCADE;
DELETE FROM contacts_tier.plan WHERE name LIKE 's4%';
RESET SESSION AUTHORIZATION;
DROP ROLE regress_user;
