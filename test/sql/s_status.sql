--
-- Status rules S1 to S6 (docs/rules.md)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA s_status;
SET search_path = s_status, public;
CREATE TABLE contacts (id integer PRIMARY KEY, account text, email text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.create_plan('s_status', '{1000}');
SELECT contacts_tier.create_plan('s_status legacy', NULL, marketing_contacts => false);
SELECT contacts_tier.subscribe('contacts', 'a', 's_status');
SELECT contacts_tier.subscribe('contacts', 'b', 's_status');

CREATE VIEW contact AS
    SELECT id, account, marketing_contact_status AS status, marketing_contact_until_next_update AS until
      FROM contacts ORDER BY id;
CREATE VIEW contact_with_source AS
    SELECT id, marketing_contact_status AS status, marketing_contact_until_next_update AS until,
           marketing_contact_status_source_type AS source_type, marketing_contact_status_source_name AS source_name,
           marketing_contact_status_updated_at AS updated_at
      FROM contacts ORDER BY id;
-- empty while counters and contacts agree
CREATE VIEW drift AS
    SELECT * FROM contacts_tier.verify('s_status.contacts')
     WHERE drift <> 0 OR pending_counted <> pending_actual;


-- S1 Setting "marketing" takes effect at once ...
INSERT INTO contacts (id, account) VALUES (1, 'a'), (2, 'a');
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 1;
TABLE contact;
-- ... and clears the flag
UPDATE contacts SET marketing_contact_until_next_update = true WHERE id = 1;
TABLE contact;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 1;
TABLE contact;
-- status and flag in one statement are both meant, whether the contact was flagged or not
UPDATE contacts SET marketing_contact_status = 'marketing', marketing_contact_until_next_update = true;
TABLE contact;
UPDATE contacts SET marketing_contact_status = 'marketing', marketing_contact_until_next_update = true;
TABLE contact;
-- the flag can be taken back by itself, too
UPDATE contacts SET marketing_contact_until_next_update = NULL WHERE id = 1;
UPDATE contacts SET marketing_contact_until_next_update = false WHERE id = 2;
TABLE contact;
TABLE drift;


-- S2 Setting "non_marketing" on a marketing contact keeps the status and sets the flag
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 1;
-- setting the flag itself does the same
UPDATE contacts SET marketing_contact_until_next_update = true WHERE id = 2;
TABLE contact;
-- doing it once more changes nothing, nor does a flag of false beside it
UPDATE contacts SET marketing_contact_status = 'non_marketing';
UPDATE contacts SET marketing_contact_status = 'non_marketing', marketing_contact_until_next_update = false;
TABLE contact;
-- on a non-marketing contact it does nothing
INSERT INTO contacts (id, account) VALUES (3, 'a'), (4, 'a');
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 3;
UPDATE contacts SET marketing_contact_until_next_update = true WHERE id = 4;
TABLE contact;
-- a NULL status is no wish at all
UPDATE contacts SET marketing_contact_status = NULL;
TABLE contact;
-- the contacts that are going to be non-marketing still count
SELECT account, marketing_contacts, pending_non_marketing, projected_marketing_contacts
  FROM contacts_tier.usage('contacts', 'a');
TABLE drift;


-- S3 The flag is legal only on a marketing contact; false is stored as NULL
DELETE FROM contacts;
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_until_next_update) VALUES
    (1, 'a', 'marketing', true), (2, 'a', 'marketing', false), (3, 'a', 'marketing', NULL),
    (4, 'a', 'non_marketing', true), (5, 'a', 'non_marketing', false), (6, 'a', NULL, true);
TABLE contact;
UPDATE contacts SET marketing_contact_until_next_update = false;
TABLE contact;
UPDATE contacts SET marketing_contact_status = 'non_marketing', marketing_contact_until_next_update = true;
TABLE contact;
TABLE drift;


-- S4 An insert without a status, or with NULL, gets the default of its source type
DELETE FROM contacts;
BEGIN;
SET LOCAL contacts_tier.source_type = 'FORM';
INSERT INTO contacts (id, account) VALUES (1, 'a');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (2, 'a', NULL);
-- an insert with a status gets that one
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'a', 'non_marketing');
SET LOCAL contacts_tier.source_type = 'IMPORT';
INSERT INTO contacts (id, account) VALUES (4, 'a');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (5, 'a', 'marketing');
-- the row's own source type decides, not that of the session
INSERT INTO contacts (id, account, marketing_contact_status_source_type) VALUES (6, 'a', 'EXTERNAL_FORM');
COMMIT;
-- no source type at all: USER
INSERT INTO contacts (id, account) VALUES (7, 'a');
-- an unknown source type is stored as given, and defaults to non-marketing
INSERT INTO contacts (id, account, marketing_contact_status_source_type) VALUES (8, 'a', 'Fax');
SELECT id, status, source_type FROM contact_with_source;
-- the default of every source type that comes with the extension
BEGIN;
INSERT INTO contacts (id, account, marketing_contact_status_source_type)
    SELECT 100 + row_number() OVER (ORDER BY name COLLATE "C"), 'a', name FROM contacts_tier.source_type WHERE seeded;
SELECT source_type, status FROM contact_with_source WHERE id > 100 ORDER BY source_type COLLATE "C";
ROLLBACK;
-- an account may choose another default, which holds for that account only
SELECT contacts_tier.set_policy('contacts', 'a', source_defaults => '{"FORM": "non_marketing", "IMPORT": "marketing"}');
BEGIN;
SET LOCAL contacts_tier.source_type = 'IMPORT';
INSERT INTO contacts (id, account) VALUES (10, 'a'), (11, 'b');
SET LOCAL contacts_tier.source_type = 'FORM';
INSERT INTO contacts (id, account) VALUES (12, 'a'), (13, 'b');
COMMIT;
SELECT c.*, source_type FROM contact c JOIN contact_with_source USING (id) WHERE id >= 10 ORDER BY id;
-- from the next statement on, also in the same transaction, and back again with a savepoint
BEGIN;
SET LOCAL contacts_tier.source_type = 'IMPORT';
SAVEPOINT before_policy;
SELECT contacts_tier.set_policy('contacts', 'a', source_defaults => '{}');
INSERT INTO contacts (id, account) VALUES (20, 'a');
SELECT * FROM contact WHERE id = 20;
ROLLBACK TO before_policy;
INSERT INTO contacts (id, account) VALUES (20, 'a');
SELECT * FROM contact WHERE id = 20;
ROLLBACK;
-- A default never loses a contact.  Without access it is stored non-marketing:
-- no subscription, a plan without marketing contacts, no account at all.
SELECT contacts_tier.subscribe('contacts', 'old', 's_status legacy');
SELECT contacts_tier.has_access('contacts', 'a') AS a, contacts_tier.has_access('contacts', 'old') AS old,
       contacts_tier.has_access('contacts', 'nobody') AS nobody;
BEGIN;
SET LOCAL contacts_tier.source_type = 'FORM';
INSERT INTO contacts (id, account) VALUES (30, 'nobody'), (31, 'old'), (32, NULL), (33, 'b');
COMMIT;
SELECT * FROM contact WHERE id BETWEEN 30 AND 39;
-- asked for by name, it is an error there: MC002
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (34, 'nobody', 'marketing');
\echo :SQLSTATE
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (34, 'old', 'marketing');
\echo :SQLSTATE
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (34, NULL, 'marketing');
\echo :SQLSTATE
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 30;
UPDATE contacts SET account = NULL WHERE id = 33;
SELECT * FROM contact WHERE id BETWEEN 30 AND 39;
TABLE drift;


-- S5 Status, flag, source and time change together.
DELETE FROM contacts;
CREATE ROLE regress_s_status_writer;
GRANT USAGE ON SCHEMA s_status TO regress_s_status_writer;
GRANT SELECT, INSERT, UPDATE ON contacts, contact, contact_with_source TO regress_s_status_writer;
SET ROLE regress_s_status_writer;
-- neither statement nor settings: USER and the role's name
INSERT INTO contacts (id, account) VALUES (1, 'a'), (2, 'a'), (3, 'a'), (4, 'a'), (5, 'a');
-- the settings
SET contacts_tier.source_type = 'WORKFLOW';
SET contacts_tier.source_name = 'Welcome';
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 2;
-- the statement itself is believed: both, or one of them beside a setting
UPDATE contacts SET marketing_contact_status = 'marketing', marketing_contact_status_source_type = 'FORM',
                    marketing_contact_status_source_name = 'Newsletter' WHERE id = 3;
UPDATE contacts SET marketing_contact_status = 'marketing', marketing_contact_status_source_name = 'Fair' WHERE id = 4;
INSERT INTO contacts (id, account, marketing_contact_status_source_type, marketing_contact_status_source_name)
    VALUES (6, 'a', 'EXTERNAL_FORM', 'Landing page');
INSERT INTO contacts (id, account) VALUES (7, 'a');
-- an import may bring the time along, too
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_status_updated_at)
    VALUES (8, 'a', 'marketing', '2025-12-24 18:00+00');
TABLE contact_with_source;
RESET contacts_tier.source_type;
RESET contacts_tier.source_name;
-- the flag counts as a change: source and time go with it
SET SESSION AUTHORIZATION DEFAULT;
SET contacts_tier.now = '2026-01-11 11:00+00';
SET ROLE regress_s_status_writer;
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 2;
UPDATE contacts SET marketing_contact_until_next_update = true WHERE id = 3;
SELECT * FROM contact_with_source WHERE id IN (2, 3);
-- a source that the statement names is believed even if it is the one that stands there
UPDATE contacts SET marketing_contact_status = 'non_marketing', marketing_contact_status_source_type = 'WORKFLOW',
                    marketing_contact_status_source_name = 'Fair' WHERE id = 4;
SELECT * FROM contact_with_source WHERE id = 4;
-- A write that changes neither status nor flag leaves all five alone: another
-- column, the same values once more, a demotion that is no change, source or
-- time alone, all columns at once as object mappers write them
RESET ROLE;
SET contacts_tier.now = '2026-01-12 12:00+00';
SET ROLE regress_s_status_writer;
CREATE TEMP TABLE before AS TABLE contact_with_source;
UPDATE contacts SET email = 'x@example.com';
UPDATE contacts SET marketing_contact_status = marketing_contact_status,
                    marketing_contact_until_next_update = marketing_contact_until_next_update;
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id IN (1, 2, 3, 4, 7);
UPDATE contacts SET marketing_contact_status_source_type = 'HACK', marketing_contact_status_source_name = NULL,
                    marketing_contact_status_updated_at = '2000-01-01 00:00+00';
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id IN (6, 8);
UPDATE contacts c SET (id, account, email, marketing_contact_status, marketing_contact_until_next_update,
                       marketing_contact_status_source_type, marketing_contact_status_source_name,
                       marketing_contact_status_updated_at) = (SELECT o.* FROM contacts o WHERE o.id = c.id);
SELECT 'changed', * FROM (TABLE contact_with_source EXCEPT TABLE before) AS c;
-- time goes with every change, and cannot be set by hand
UPDATE contacts SET marketing_contact_status = 'marketing', marketing_contact_status_updated_at = '2000-01-01 00:00+00'
 WHERE id = 1;
SELECT * FROM contact_with_source WHERE id = 1;
DROP TABLE before;
RESET ROLE;
TABLE drift;


-- S6 All of it holds for every way of writing.
SET contacts_tier.source_type = 'API';
SET contacts_tier.source_name = 'S6';

-- INSERT, multi-row INSERT, INSERT ... SELECT
TRUNCATE contacts;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_until_next_update) VALUES
    (2, 'a', 'marketing', NULL), (3, 'b', 'marketing', true), (4, 'b', NULL, true);
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_until_next_update)
    SELECT n, CASE n % 2 WHEN 0 THEN 'a' ELSE 'b' END,
           (CASE n % 3 WHEN 0 THEN 'marketing' ELSE 'non_marketing' END)::contacts_tier.marketing_status, n % 6 = 0
      FROM generate_series(5, 12) AS n;
TABLE contact;
TABLE drift;

-- INSERT ... ON CONFLICT: the arm that inserts, the arm that updates, and DO NOTHING
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing'), (20, 'a', 'marketing')
    ON CONFLICT (id) DO NOTHING;
INSERT INTO contacts AS c (id, account, marketing_contact_status) VALUES (1, 'a', 'non_marketing'), (21, 'b', 'marketing')
    ON CONFLICT (id) DO UPDATE SET marketing_contact_status = excluded.marketing_contact_status;
INSERT INTO contacts AS c (id, account) VALUES (2, 'a'), (3, 'b'), (22, 'a')
    ON CONFLICT (id) DO UPDATE SET marketing_contact_status = 'marketing' WHERE c.id = 3;
-- the form that comes in again promotes; other columns leave the status alone
BEGIN;
SET LOCAL contacts_tier.source_type = 'FORM';
INSERT INTO contacts (id, account, email) VALUES (4, 'b', 'form@example.com'), (5, 'b', 'form@example.com')
    ON CONFLICT (id) DO UPDATE SET email = excluded.email, marketing_contact_status = 'marketing' WHERE contacts.id = 4;
INSERT INTO contacts (id, account, email) VALUES (7, 'b', 'form@example.com')
    ON CONFLICT (id) DO UPDATE SET email = excluded.email;
COMMIT;
SELECT * FROM contact WHERE id IN (1, 2, 3, 4, 5, 7) OR id >= 20;
TABLE drift;

-- COPY
COPY contacts (id, account, marketing_contact_status, marketing_contact_until_next_update) FROM stdin;
30	a	marketing	\N
31	a	marketing	true
32	b	\N	true
33	b	non_marketing	false
\.
COPY contacts (id, account) FROM stdin;
34	a
35	a
\.
-- a line that is wrong takes the whole of it back
COPY contacts (id, account, marketing_contact_status) FROM stdin;
36	a	marketing
37	a	marketable
\.
SELECT * FROM contact WHERE id BETWEEN 30 AND 39;
TABLE drift;

-- UPDATE of the key and of the account column: the contact counts where it is
UPDATE contacts SET id = id + 1000 WHERE id IN (30, 31);
UPDATE contacts SET account = CASE account WHEN 'a' THEN 'b' ELSE 'a' END WHERE id IN (1, 2, 3, 1030, 1031);
-- with the status in the same statement
UPDATE contacts SET account = 'b', marketing_contact_status = 'marketing' WHERE id = 34;
UPDATE contacts SET account = 'b', marketing_contact_status = 'non_marketing' WHERE id IN (20, 35);
-- of a view, with FROM, and by a positioned UPDATE
UPDATE contact SET until = true WHERE id = 21;
UPDATE contacts SET marketing_contact_status = 'marketing'
  FROM generate_series(32, 33) AS n WHERE contacts.id = n;
BEGIN;
DECLARE flagged CURSOR FOR SELECT * FROM contacts WHERE id = 1031 FOR UPDATE;
MOVE flagged;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE CURRENT OF flagged;
COMMIT;
SELECT * FROM contact WHERE id IN (1, 2, 3, 20, 21) OR id >= 30;
TABLE drift;

-- MERGE: every action, in one statement
MERGE INTO contacts c
USING (VALUES (20, 'delete'), (21, 'promote'), (22, 'promote'), (32, 'demote'), (33, 'leave'), (50, 'insert'), (51, 'insert'))
      AS s (id, what) ON s.id = c.id
 WHEN MATCHED AND s.what = 'delete' THEN DELETE
 WHEN MATCHED AND s.what = 'promote' THEN UPDATE SET marketing_contact_status = 'marketing'
 WHEN MATCHED AND s.what = 'demote' THEN UPDATE SET marketing_contact_status = 'non_marketing'
 WHEN MATCHED THEN DO NOTHING
 WHEN NOT MATCHED THEN INSERT (id, account, marketing_contact_status) VALUES (s.id, 'a', 'marketing');
SELECT * FROM contact WHERE id IN (20, 21, 22, 32, 33, 50, 51);
-- DELETE, TRUNCATE
DELETE FROM contacts WHERE id IN (50, 1, 2, 4);
DELETE FROM contacts USING contact c WHERE c.id = contacts.id AND c.until;
TABLE drift;
BEGIN;
TRUNCATE contacts;
SELECT account, counted, actual FROM contacts_tier.verify('contacts') ORDER BY account;
ROLLBACK;
TABLE drift;
TRUNCATE contacts;
SELECT account, counted, actual FROM contacts_tier.verify('contacts') ORDER BY account;

-- functions, and triggers of other tables
CREATE TABLE signup (id integer PRIMARY KEY, account text);
CREATE FUNCTION sign_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO s_status.contacts (id, account, marketing_contact_status) VALUES (NEW.id, NEW.account, 'marketing');
    UPDATE s_status.contacts SET marketing_contact_status = 'non_marketing' WHERE id = NEW.id AND id % 2 = 0;
    RETURN NULL;
END $$;
CREATE TRIGGER sign_up AFTER INSERT ON signup FOR EACH ROW EXECUTE FUNCTION sign_up();
INSERT INTO signup VALUES (1, 'a'), (2, 'a'), (3, 'b');
DO $$
BEGIN
    FOR n IN 4 .. 6 LOOP
        INSERT INTO s_status.contacts (id, account, marketing_contact_status) VALUES (n, 'b', 'marketing');
    END LOOP;
END $$;
CREATE FUNCTION add_contacts() RETURNS bigint LANGUAGE sql BEGIN ATOMIC
    INSERT INTO contacts (id, account, marketing_contact_status) VALUES (7, 'a', 'marketing'), (8, 'b', 'marketing');
    DELETE FROM contacts WHERE id = 7;
    SELECT count(*) FROM contacts;
END;
SELECT add_contacts();
TABLE contact;
TABLE drift;

-- cascades of foreign keys: of the key, and of the contact's own parent
TRUNCATE contacts;
CREATE TABLE companies (account text PRIMARY KEY);
INSERT INTO companies VALUES ('a'), ('b');
ALTER TABLE contacts ADD CONSTRAINT company FOREIGN KEY (account) REFERENCES companies ON UPDATE CASCADE ON DELETE CASCADE;
CREATE TABLE family (child integer REFERENCES contacts (id) ON DELETE CASCADE, email text);
ALTER TABLE contacts ADD parent integer REFERENCES contacts (id) ON DELETE CASCADE;
INSERT INTO contacts (id, account, marketing_contact_status, parent) VALUES
    (1, 'a', 'marketing', NULL), (2, 'a', 'marketing', 1), (3, 'a', 'non_marketing', 2), (4, 'a', 'marketing', 3),
    (5, 'b', 'marketing', NULL), (6, 'b', 'marketing', 5);
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id IN (2, 6);
DELETE FROM contacts WHERE id = 2;
TABLE contact;
TABLE drift;
INSERT INTO companies VALUES ('c');
SELECT contacts_tier.subscribe('contacts', 'c', 's_status');
BEGIN;
DELETE FROM contacts WHERE account = 'b' AND id = 6;
ALTER TABLE contacts DROP CONSTRAINT company,
    ADD CONSTRAINT company FOREIGN KEY (account) REFERENCES companies ON UPDATE CASCADE ON DELETE SET NULL;
COMMIT;
UPDATE companies SET account = 'c2' WHERE account = 'c';
-- a marketing contact cannot lose its account in a cascade either
DELETE FROM companies WHERE account = 'b';
TABLE contact;
ALTER TABLE contacts DROP CONSTRAINT company,
    ADD CONSTRAINT company FOREIGN KEY (account) REFERENCES companies ON UPDATE CASCADE ON DELETE CASCADE;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (7, 'a', 'marketing'), (8, 'b', 'marketing');
DELETE FROM companies WHERE account IN ('b', 'c2');
-- the account moves, and its contacts with it; the new one needs a subscription
UPDATE companies SET account = 'd' WHERE account = 'a';
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', 'd', 's_status');
UPDATE companies SET account = 'd' WHERE account = 'a';
TABLE contact;
SELECT account, counted, actual FROM contacts_tier.verify('contacts') ORDER BY account;
-- TRUNCATE that cascades to contacts
TRUNCATE companies CASCADE;
SELECT account, counted, actual FROM contacts_tier.verify('contacts') ORDER BY account;
ALTER TABLE contacts DROP CONSTRAINT company, DROP parent;
DROP TABLE family, companies;
TABLE drift;

-- savepoints and rollbacks
BEGIN;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing'), (2, 'a', 'marketing');
SAVEPOINT one;
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 1;
SAVEPOINT two;
DELETE FROM contacts WHERE id = 2;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'b', 'marketing' FROM generate_series(10, 19) AS n;
ROLLBACK TO two;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'b', 'marketing');
RELEASE one;
SAVEPOINT three;
TRUNCATE contacts;
ROLLBACK TO three;
COMMIT;
TABLE contact;
TABLE drift;
BEGIN;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'b', 'marketing' FROM generate_series(10, 19) AS n;
UPDATE contacts SET marketing_contact_status = 'marketing';
ROLLBACK;
TABLE contact;
TABLE drift;

-- statements that fail half-way, and EXCEPTION blocks
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(5, 1, -1) AS n;
UPDATE contacts SET marketing_contact_status = 'marketing', email = (1 / (id - 3))::text;
BEGIN;
SAVEPOINT s;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (4, 'a', 'marketing'), (1, 'a', 'marketing');
ROLLBACK TO s;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (4, 'a', 'marketing');
COMMIT;
DO $$
BEGIN
    INSERT INTO s_status.contacts (id, account, marketing_contact_status) VALUES (5, 'a', 'marketing');
    BEGIN
        INSERT INTO s_status.contacts (id, account, marketing_contact_status) VALUES (6, 'a', 'marketing'), (7, 'b', 'marketing');
        UPDATE s_status.contacts SET marketing_contact_status = 'non_marketing' WHERE account = 'a';
        RAISE division_by_zero;
    EXCEPTION WHEN division_by_zero THEN
        INSERT INTO s_status.contacts (id, account, marketing_contact_status) VALUES (8, 'b', 'marketing');
    END;
    BEGIN
        INSERT INTO s_status.contacts (id, account, marketing_contact_status) VALUES (9, 'b', 'marketing'), (8, 'b', 'marketing');
    EXCEPTION WHEN unique_violation THEN
        NULL;
    END;
END $$;
TABLE contact;
TABLE drift;

-- data-modifying CTEs, also several that write the same table
WITH gone AS (
    DELETE FROM contacts WHERE id IN (3, 4) RETURNING id, account
), flagged AS (
    UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 5 RETURNING id
), added AS (
    INSERT INTO contacts (id, account, marketing_contact_status)
        SELECT id + 100, 'b', 'marketing' FROM gone RETURNING id
)
SELECT (SELECT array_agg(id ORDER BY id) FROM gone) AS gone, (SELECT array_agg(id ORDER BY id) FROM flagged) AS flagged,
       (SELECT array_agg(id ORDER BY id) FROM added) AS added;
-- one that nobody reads runs nevertheless
WITH unread AS (UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 5)
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (6, 'a', 'marketing');
TABLE contact;
TABLE drift;

-- BEFORE triggers of the application.  Ours is zz_contacts_tier_status: one that
-- fires before it has its say, and is judged like a statement.
TRUNCATE contacts;
CREATE FUNCTION vip() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.email LIKE 'vip%' THEN
        NEW.marketing_contact_status := 'marketing';
    ELSIF NEW.email LIKE 'bounced%' THEN
        NEW.marketing_contact_status := 'non_marketing';
    ELSIF NEW.email LIKE 'spam%' THEN
        RETURN NULL;
    ELSIF NEW.email LIKE 'null%' THEN
        NEW.marketing_contact_status := NULL;
    ELSIF NEW.email LIKE 'flag%' THEN
        NEW.marketing_contact_until_next_update := true;
    ELSIF NEW.email LIKE 'source%' THEN
        NEW.marketing_contact_status_source_type := 'HACK';
        NEW.marketing_contact_status_updated_at := '2000-01-01 00:00+00';
    ELSIF NEW.email LIKE 'move%' THEN
        NEW.account := 'b';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER vip BEFORE INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION vip();
SET contacts_tier.now = '2026-01-13 13:00+00';
INSERT INTO contacts (id, account, email) VALUES (1, 'a', 'vip'), (2, 'a', 'bounced'), (3, 'a', 'spam'),
    (4, 'a', 'null'), (5, 'a', 'flag'), (6, 'a', 'source'), (7, 'a', 'move');
INSERT INTO contacts (id, account, marketing_contact_status, email) VALUES (11, 'a', 'marketing', 'vip'),
    (12, 'a', 'marketing', 'bounced'), (13, 'a', 'marketing', 'spam'), (14, 'a', 'marketing', 'null'),
    (15, 'a', 'marketing', 'flag'), (16, 'a', 'marketing', 'plain'), (17, 'a', 'marketing', 'move');
SELECT email, c.*, source_type, updated_at FROM contact c JOIN contacts USING (id) JOIN contact_with_source USING (id) ORDER BY id;
TABLE drift;
-- on UPDATE, where no column of ours is named: the same six contacts, marketing ...
SET contacts_tier.now = '2026-01-14 14:00+00';
TRUNCATE contacts;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(1, 7) AS n;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'a', 'non_marketing' FROM generate_series(11, 17) AS n;
SET contacts_tier.now = '2026-01-15 15:00+00';
UPDATE contacts SET email = (ARRAY['vip', 'bounced', 'spam', 'null', 'flag', 'source', 'move'])[id % 10];
-- ... and non-marketing; spam was not updated at all
SELECT email, c.*, source_type, updated_at FROM contact c JOIN contacts USING (id) JOIN contact_with_source USING (id) ORDER BY id;
TABLE drift;
-- MERGE, ON CONFLICT and COPY meet the same trigger
INSERT INTO contacts (id, account, email) VALUES (11, 'a', 'x'), (21, 'a', 'vip'), (22, 'a', 'spam')
    ON CONFLICT (id) DO UPDATE SET email = 'spam';
MERGE INTO contacts c USING (VALUES (12, 'vip'), (13, 'spam'), (23, 'spam'), (24, 'vip')) AS s (id, email) ON c.id = s.id
 WHEN MATCHED THEN UPDATE SET email = s.email
 WHEN NOT MATCHED THEN INSERT (id, account, email, marketing_contact_status) VALUES (s.id, 'b', s.email, 'marketing');
COPY contacts (id, account, email, marketing_contact_status) FROM stdin;
25	a	spam	marketing
26	a	vip	non_marketing
\.
SELECT email, c.* FROM contact c JOIN contacts USING (id) WHERE id IN (11, 12, 13) OR id > 20 ORDER BY id;
TABLE drift;

-- The same trigger under a name that fires after ours: what it makes of the row
-- is mended
ALTER TRIGGER vip ON contacts RENAME TO zzz_vip;
SET contacts_tier.now = '2026-01-16 16:00+00';
TRUNCATE contacts;
INSERT INTO contacts (id, account, email) VALUES (1, 'a', 'vip'), (2, 'a', 'bounced'), (3, 'a', 'spam'),
    (4, 'a', 'null'), (5, 'a', 'flag'), (7, 'a', 'move');
INSERT INTO contacts (id, account, marketing_contact_status, email) VALUES (11, 'a', 'marketing', 'vip'),
    (12, 'a', 'marketing', 'bounced'), (13, 'a', 'marketing', 'spam'), (14, 'a', 'marketing', 'null'),
    (15, 'a', 'marketing', 'flag'), (17, 'a', 'marketing', 'move');
SELECT email, c.*, source_type, updated_at FROM contact c JOIN contacts USING (id) JOIN contact_with_source USING (id) ORDER BY id;
TABLE drift;
-- on UPDATE: a demotion waits for the update date, and a row that changes
-- neither status nor flag keeps its source and time
SET contacts_tier.now = '2026-01-17 17:00+00';
TRUNCATE contacts;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(1, 7) AS n;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'a', 'non_marketing' FROM generate_series(11, 17) AS n;
SET contacts_tier.now = '2026-01-18 18:00+00';
UPDATE contacts SET email = (ARRAY['vip', 'bounced', 'spam', 'null', 'flag', 'source', 'move'])[id % 10];
SELECT email, c.*, source_type, updated_at FROM contact c JOIN contacts USING (id) JOIN contact_with_source USING (id) ORDER BY id;
TABLE drift;
-- ... also where an AFTER trigger of the application writes the row again
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE s_status.contacts SET email = 'touched' WHERE id = NEW.id AND email = 'bounced';
    RETURN NULL;
END $$;
CREATE TRIGGER aaa_touch AFTER UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION touch();
UPDATE contacts SET email = 'bounced' WHERE id IN (1, 3);
SELECT email, c.* FROM contact c JOIN contacts USING (id) WHERE id IN (1, 3) ORDER BY id;
TABLE drift;
DROP TRIGGER aaa_touch ON contacts;
DROP TRIGGER zzz_vip ON contacts;

-- AFTER triggers of the application that write contacts themselves, in the
-- midst of the outer statement
TRUNCATE contacts;
CREATE FUNCTION partner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.id < 100 THEN
        INSERT INTO s_status.contacts (id, account, marketing_contact_status) VALUES (NEW.id + 100, 'b', 'marketing');
    ELSIF TG_OP = 'UPDATE' AND NEW.id < 100 THEN
        UPDATE s_status.contacts SET marketing_contact_status = NEW.marketing_contact_status,
                                     marketing_contact_until_next_update = NEW.marketing_contact_until_next_update
         WHERE id = NEW.id + 100;
    ELSIF TG_OP = 'DELETE' AND OLD.id < 100 THEN
        DELETE FROM s_status.contacts WHERE id = OLD.id + 100;
    END IF;
    RETURN NULL;
END $$;
-- before our AFTER triggers ("contacts_tier_...") and behind them
CREATE TRIGGER aaa_partner AFTER INSERT OR UPDATE OR DELETE ON contacts FOR EACH ROW EXECUTE FUNCTION partner();
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing'), (2, 'a', 'non_marketing');
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 2;
ALTER TRIGGER aaa_partner ON contacts RENAME TO zzz_partner;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'a', 'marketing'), (4, 'a', 'marketing');
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id IN (2, 4);
DELETE FROM contacts WHERE id = 3;
TABLE contact;
TABLE drift;
-- one that changes the very row that was just written
CREATE FUNCTION second_thoughts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.email = 'think' THEN
        UPDATE s_status.contacts SET email = 'thought', marketing_contact_status = 'marketing' WHERE id = NEW.id;
    ELSIF NEW.email = 'regret' THEN
        DELETE FROM s_status.contacts WHERE id = NEW.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER aaa_thoughts AFTER INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION second_thoughts();
INSERT INTO contacts (id, account, email, marketing_contact_status) VALUES
    (5, 'a', 'think', NULL), (6, 'a', 'regret', 'marketing');
UPDATE contacts SET email = 'think' WHERE id = 4;
UPDATE contacts SET email = 'regret' WHERE id = 1;
ALTER TRIGGER aaa_thoughts ON contacts RENAME TO zzz_thoughts;
INSERT INTO contacts (id, account, email, marketing_contact_status) VALUES
    (7, 'a', 'think', NULL), (8, 'a', 'regret', 'marketing');
UPDATE contacts SET email = 'regret' WHERE id = 5;
TABLE contact;
TABLE drift;
DROP TRIGGER zzz_thoughts ON contacts;
DROP TRIGGER zzz_partner ON contacts;

-- An AFTER ROW trigger that fails late, caught by an EXCEPTION block: what the
-- rows before it had added must be forgotten, not applied by a later statement
TRUNCATE contacts;
CREATE FUNCTION fail_late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id = 3 THEN
        RAISE EXCEPTION 'contact 3 is not welcome';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER zzz_fail_late AFTER INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION fail_late();
DO $$
BEGIN
    INSERT INTO s_status.contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');
    BEGIN
        INSERT INTO s_status.contacts (id, account, marketing_contact_status)
            SELECT n, 'a', 'marketing' FROM generate_series(2, 9) AS n;
    EXCEPTION WHEN raise_exception THEN
        RAISE WARNING 'caught: %', sqlerrm;
    END;
    INSERT INTO s_status.contacts (id, account, marketing_contact_status) VALUES (10, 'a', 'marketing');
END $$;
BEGIN;
SAVEPOINT s;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (2, 'b', 'marketing'), (3, 'b', 'marketing');
ROLLBACK TO s;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (11, 'b', 'marketing');
COMMIT;
TABLE contact;
SELECT account, counted, actual FROM contacts_tier.verify('contacts') WHERE counted > 0 ORDER BY account;
TABLE drift;
DROP TRIGGER zzz_fail_late ON contacts;

-- constraint triggers that write contacts when the transaction commits
CREATE FUNCTION late_contact() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE s_status.contacts SET marketing_contact_status = 'marketing' WHERE id = NEW.id;
    INSERT INTO s_status.contacts (id, account, marketing_contact_status) VALUES (NEW.id + 100, 'b', 'marketing')
        ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER late_contact AFTER INSERT ON contacts DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.id < 100) EXECUTE FUNCTION late_contact();
INSERT INTO contacts (id, account) VALUES (12, 'a'), (13, 'a');
TABLE contact;
TABLE drift;

DROP SCHEMA s_status CASCADE;
DROP ROLE regress_s_status_writer;
DELETE FROM contacts_tier.plan WHERE name LIKE 's\_status%';
