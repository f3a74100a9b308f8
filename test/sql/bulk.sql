-- Statements of many rows, and the ways in which they do without row triggers:
-- COPY without the status trigger (fast_copy.c), INSERT and UPDATE with the status
-- properties in their projection (fast_project.c), counting in place (fast_count.c).  Each
-- must leave what the triggers would.
-- Rules S4, S6 and T3.
SET TIME ZONE 'UTC';
SET datestyle = 'ISO, YMD';
\set SHOW_CONTEXT never
-- who writes is shown
CREATE ROLE regress_user SUPERUSER;
SET SESSION AUTHORIZATION regress_user;
CREATE SCHEMA bulk;
SET search_path = bulk;
-- where a library has a hook on commands before ours, as Citus has, COPY fires the row triggers: bulk_1.out
SELECT current_setting('shared_preload_libraries') = '' AS copies_without_triggers;
\pset null '-'
SET contacts_tier.now = '2026-01-10 10:00+00';
SET track_functions = 'all';
-- the triggers are what it is compared with
SET contacts_tier.fast_path = on;
SELECT contacts_tier.create_plan('bulk', '{5, 1000}');
CREATE TABLE contacts (id integer PRIMARY KEY, account text, email text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', account, 'bulk', 1000) FROM unnest('{a, b, c}'::text[]) account;
SELECT contacts_tier.set_policy('contacts', 'b', source_defaults => '{"IMPORT": "marketing"}');
CREATE VIEW contact AS
SELECT id, account, marketing_contact_status AS status, marketing_contact_until_next_update AS flag,
       marketing_contact_status_source_type AS type, marketing_contact_status_source_name AS name,
       marketing_contact_status_updated_at AS updated_at
FROM contacts ORDER BY id;
CREATE VIEW calls AS
SELECT funcname AS function, calls FROM pg_stat_xact_user_functions
WHERE schemaname = 'contacts_tier_internal' AND funcname IN ('maintain_status', 'count_contact')
ORDER BY 1;
CREATE VIEW drift AS
SELECT account, counted, actual FROM contacts_tier.verify('contacts') WHERE drift <> 0 OR pending_counted <> pending_actual;

-- COPY with the status: no row trigger fires, the properties are kept
SELECT pg_stat_force_next_flush();
BEGIN;
SET LOCAL contacts_tier.source_type = 'IMPORT';
SET LOCAL contacts_tier.source_name = 'list 1';
COPY contacts (id, account, marketing_contact_status) FROM stdin;
1	a	marketing
2	a	non_marketing
3	b	marketing
4	b	non_marketing
\.
TABLE calls;
COMMIT;
TABLE contact;
TABLE drift;

-- COPY without the status: the default of the source type, which an account may
-- have chosen otherwise
SELECT pg_stat_force_next_flush();
BEGIN;
SET LOCAL contacts_tier.source_type = 'IMPORT';
COPY contacts (id, account) FROM stdin;
11	a
12	b
13	\N
14	c
\.
TABLE calls;
COMMIT;
SELECT * FROM contact WHERE id > 10;
TABLE drift;

-- a null status in the file is none
COPY contacts (id, account, marketing_contact_status) FROM stdin;
21	a	\N
22	b	marketing
23	b	\N
\.
SELECT * FROM contact WHERE id > 20;
TABLE drift;

-- what usually becomes marketing, or brings a source or a flag along, goes the
-- way of the trigger
SELECT pg_stat_force_next_flush();
BEGIN;
SET LOCAL contacts_tier.source_type = 'FORM';
COPY contacts (id, account) FROM stdin;
31	a
\.
COPY contacts (id, account, marketing_contact_status, marketing_contact_until_next_update, marketing_contact_status_source_type) FROM stdin;
32	a	marketing	t	API
33	a	non_marketing	t	\N
34	a	\N	\N	API
\.
COPY contacts FROM stdin;
35	a	e	marketing	\N	API	key	2025-12-01 00:00+00
36	a	e	marketing	\N	\N	\N	2099-12-01 00:00+00
\.
TABLE calls;
COMMIT;
SELECT * FROM contact WHERE id > 30;
TABLE drift;

-- a COPY that fails half-way leaves nothing, neither in the table nor in what
-- this session knows of its triggers
COPY contacts (id, account, marketing_contact_status) FROM stdin;
41	a	marketing
42	a	unknown
\.
COPY contacts (id, account, marketing_contact_status) FROM stdin;
41	a	marketing
1	a	marketing
\.
INSERT INTO contacts (id, account, marketing_contact_until_next_update) VALUES (43, 'a', true);
SELECT * FROM contact WHERE id > 40;
TABLE drift;

-- a trigger of the application that writes contacts itself while a COPY runs
CREATE FUNCTION twin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id < 1000 THEN
        INSERT INTO bulk.contacts (id, account, marketing_contact_until_next_update) VALUES (NEW.id + 1000, NEW.account, true);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER twin AFTER INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION twin();
COPY contacts (id, account, marketing_contact_status) FROM stdin;
51	b	marketing
52	b	non_marketing
\.
SELECT * FROM contact WHERE id % 1000 > 50;
TABLE drift;
DROP TRIGGER twin ON contacts;
-- and one that changes the row
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.email := upper(NEW.email);
    NEW.marketing_contact_status := 'marketing';
    RETURN NEW;
END
$$;
CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION shout();
COPY contacts (id, account, email, marketing_contact_status) FROM stdin;
61	c	loud	non_marketing
\.
INSERT INTO contacts (id, account, email) SELECT i, 'c', 'loud' FROM generate_series(62, 63) i;
UPDATE contacts SET email = 'louder' WHERE id IN (4, 61);
SELECT * FROM contact WHERE id > 60 AND id < 1000 OR id = 4;
TABLE drift;
DROP TRIGGER shout ON contacts;

-- INSERT ... SELECT and UPDATE of many rows: no row trigger fires
INSERT INTO contacts (id, account) SELECT i, 'c' FROM generate_series(3001, 4000) i;
ANALYZE contacts;
SELECT pg_stat_force_next_flush();
BEGIN;
INSERT INTO contacts (id, account, marketing_contact_status)
SELECT i, 'a', CASE WHEN i % 2 = 0 THEN 'marketing'::contacts_tier.marketing_status END FROM generate_series(2001, 2040) i;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id BETWEEN 3001 AND 3100;
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id BETWEEN 3051 AND 3200;
TABLE calls;
DELETE FROM contacts WHERE id IN (2040, 3900);
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (2039, 'a', 'marketing'), (2040, 'a', 'marketing')
ON CONFLICT DO NOTHING;
TABLE calls;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (2040, 'a', NULL), (3900, 'c', NULL)
ON CONFLICT (id) DO UPDATE SET marketing_contact_status = 'marketing';
-- what DO UPDATE does, the status trigger sees
TABLE calls;
COMMIT;
SELECT status, flag, type, name, count(*) FROM contact WHERE id > 2000 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;
TABLE drift;
-- S5: a source that the statement sets is believed, the same source too; what does
-- not change leaves all five alone
SET contacts_tier.now = '2026-01-11 10:00+00';
UPDATE contacts SET marketing_contact_status = 'marketing', marketing_contact_status_source_type = 'API'
WHERE id IN (3001, 3061, 3110);
UPDATE contacts SET marketing_contact_status = 'marketing', marketing_contact_status_source_name = marketing_contact_status_source_name
WHERE id IN (3001, 3063);
SELECT * FROM contact WHERE id IN (3001, 3061, 3063, 3110);
-- moves between accounts, of marketing contacts and others, in one statement
UPDATE contacts SET account = CASE account WHEN 'a' THEN 'b' ELSE 'a' END WHERE id > 2000 AND account <> 'b';
SELECT account, marketing_contacts, pending_non_marketing FROM contacts_tier.usage('contacts');
TABLE drift;
-- RETURNING tells what is stored, and a generated column sees it
ALTER TABLE contacts ADD COLUMN reachable boolean
    GENERATED ALWAYS AS (marketing_contact_status = 'marketing' AND marketing_contact_until_next_update IS NULL) STORED;
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id IN (1, 2)
RETURNING id, marketing_contact_status AS status, marketing_contact_until_next_update AS flag, reachable;
INSERT INTO contacts (id, account, marketing_contact_until_next_update) VALUES (71, 'c', true), (72, 'c', false)
RETURNING id, marketing_contact_status AS status, marketing_contact_until_next_update AS flag, reachable;
-- a dropped column, and columns in another order than the arguments of triggers
ALTER TABLE contacts DROP COLUMN email, DROP COLUMN reachable;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (73, 'c', 'marketing');
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 73;
SELECT * FROM contact WHERE id IN (71, 72, 73);
TABLE drift;
-- a disabled trigger stays so
ALTER TABLE contacts DISABLE TRIGGER zz_contacts_tier_status;
UPDATE contacts SET marketing_contact_until_next_update = NULL WHERE id = 73;
SELECT * FROM contact WHERE id = 73;
ALTER TABLE contacts ENABLE TRIGGER zz_contacts_tier_status;
-- prepared statements, before and after the table changes
PREPARE promote(integer) AS UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = $1;
EXECUTE promote(71);
ALTER TABLE contacts ADD COLUMN note text DEFAULT 'n';
EXECUTE promote(72);
SELECT * FROM contact WHERE id IN (71, 72);
TABLE drift;
DROP TABLE contacts, contacts_tier_account, contacts_tier_counter, contacts_tier_ledger CASCADE;

-- Partitions: COPY through the root and into one, INSERT and UPDATE through both
CREATE TABLE contacts (id integer, account text, region integer, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE contacts_1 PARTITION OF contacts FOR VALUES IN (1);
CREATE TABLE contacts_2 (region integer NOT NULL, account text, id integer NOT NULL);
ALTER TABLE contacts ATTACH PARTITION contacts_2 FOR VALUES IN (2);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'bulk', 1000);
CREATE VIEW drift AS
SELECT account, counted, actual FROM contacts_tier.verify('contacts') WHERE drift <> 0 OR pending_counted <> pending_actual;
SELECT pg_stat_force_next_flush();
BEGIN;
COPY contacts (id, account, region, marketing_contact_status) FROM stdin;
1	a	1	marketing
2	a	2	marketing
3	a	1	non_marketing
\.
COPY contacts_2 (id, account, region, marketing_contact_status) FROM stdin;
4	a	2	marketing
\.
SELECT funcname AS function, calls FROM pg_stat_xact_user_functions
WHERE schemaname = 'contacts_tier_internal' AND funcname IN ('maintain_status', 'count_contact') ORDER BY 1;
COMMIT;
TABLE drift;
INSERT INTO contacts (id, account, region, marketing_contact_status) SELECT i, 'a', 1 + i % 2, 'marketing' FROM generate_series(11, 60) i;
INSERT INTO contacts_1 (id, account, region) SELECT i, 'a', 1 FROM generate_series(61, 90) i;
UPDATE contacts SET region = 3 - region WHERE id > 50;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id > 40;
UPDATE contacts_2 SET marketing_contact_status = 'non_marketing' WHERE id > 40;
SELECT marketing_contact_status AS status, marketing_contact_until_next_update AS flag, marketing_contact_status_source_type AS type, count(*)
FROM contacts GROUP BY 1, 2, 3 ORDER BY 1, 2;
SELECT account, marketing_contacts, pending_non_marketing FROM contacts_tier.usage('contacts');
TABLE drift;
-- a partition that came later is judged as the others
CREATE TABLE contacts_3 PARTITION OF contacts FOR VALUES IN (3);
SELECT contacts_tier.subscribe('contacts', 'late', 'bulk', 5, on_exceed => 'cap');
BEGIN;
INSERT INTO contacts_3 (id, account, region, marketing_contact_status) SELECT i, 'late', 3, 'marketing' FROM generate_series(201, 207) i;
COMMIT;
SELECT id, marketing_contact_status AS status FROM contacts_3 ORDER BY id;
TABLE drift;
-- partitions that are pruned when the statement starts
SET plan_cache_mode = force_generic_plan;
PREPARE promote_in(integer, text) AS UPDATE contacts SET account = $2, marketing_contact_status = 'marketing' WHERE region = $1 AND id < 10;
EXECUTE promote_in(2, 'a');
EXECUTE promote_in(1, 'a');
DEALLOCATE promote_in;
RESET plan_cache_mode;
SELECT tableoid::regclass, id, account, region, marketing_contact_status AS status FROM contacts WHERE id < 10 ORDER BY id;
TABLE drift;
-- contacts that only a default makes marketing contacts do not fit either, whether
-- a statement or a trigger of another one wrote them
CREATE TABLE form (id integer);
CREATE FUNCTION enter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO bulk.contacts_3 (id, account, region) VALUES (NEW.id, 'late', 3);
    RETURN NULL;
END
$$;
CREATE TRIGGER enter AFTER INSERT ON form FOR EACH ROW EXECUTE FUNCTION enter();
SELECT contacts_tier.set_policy('contacts', 'late', on_exceed => 'block');
BEGIN;
SET LOCAL contacts_tier.source_type = 'FORM';
INSERT INTO contacts_3 (id, account, region) VALUES (211, 'late', 3);
INSERT INTO form VALUES (212), (213);
COMMIT;
SELECT id, marketing_contact_status AS status, marketing_contact_status_source_type AS type FROM contacts_3 WHERE id > 210 ORDER BY id;
TABLE drift;

-- partitions that are detached after they were written to take their contacts along
BEGIN;
SELECT contacts_tier.set_policy('contacts', 'late', on_exceed => 'cap');
INSERT INTO contacts_3 (id, account, region, marketing_contact_status) SELECT i, 'late', 3, 'marketing' FROM generate_series(221, 222) i;
ALTER TABLE contacts DETACH PARTITION contacts_3;
COMMIT;
TABLE drift;

-- Under a cap the first contacts fit, also where some of the rows have to be
-- mended after they were written
CREATE TABLE people (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('people', 'account');
SELECT contacts_tier.subscribe('people', account, 'bulk', 5, on_exceed => 'cap') FROM unnest('{p, q, r}'::text[]) account;
SELECT contacts_tier.set_policy('people', 'p', source_defaults => '{"API": "marketing"}');
COPY people (id, account, marketing_contact_status, marketing_contact_status_source_type) FROM stdin;
1	p	\N	API
2	p	marketing	\N
3	p	\N	IMPORT
4	p	marketing	\N
5	q	marketing	\N
6	p	\N	API
7	p	marketing	\N
8	p	\N	API
9	p	marketing	\N
\.
SELECT id, account, marketing_contact_status AS status, marketing_contact_status_source_type AS type FROM people ORDER BY id;

-- Which contacts only a default asked for is known also where ON CONFLICT drops
-- some of the rows: q has room for 4
SELECT contacts_tier.set_policy('people', 'q', on_exceed => 'block', source_defaults => '{"API": "marketing"}');
INSERT INTO people (id, account, marketing_contact_status, marketing_contact_status_source_type)
VALUES (21, 'q', NULL, 'API'), (5, 'q', NULL, 'API'), (22, 'q', 'marketing', 'API'), (23, 'q', NULL, 'API'),
       (24, 'q', 'marketing', 'API'), (4, 'q', 'marketing', 'API'), (25, 'q', NULL, 'API'), (26, 'q', 'marketing', 'API')
ON CONFLICT DO NOTHING;
INSERT INTO people (id, account, marketing_contact_status, marketing_contact_status_source_type)
VALUES (27, 'q', NULL, 'API'), (26, 'q', 'marketing', 'API'), (28, 'q', NULL, 'API')
ON CONFLICT (id) DO UPDATE SET marketing_contact_status = 'marketing';
SELECT id, account, marketing_contact_status AS status, marketing_contact_status_source_type AS type FROM people WHERE account = 'q' ORDER BY id;
CREATE FUNCTION late_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id % 3 = 0 THEN
        NEW.marketing_contact_until_next_update := false;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER "~~~late" BEFORE INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION late_status();
INSERT INTO people (id, account, marketing_contact_status) SELECT i, 'r', 'marketing' FROM generate_series(101, 130) i;
SELECT id, marketing_contact_status AS status, marketing_contact_status_source_type AS type FROM people
WHERE account = 'r' AND id <= 108 ORDER BY id;
SELECT contacts_tier.set_policy('people', 'r', grace => 3);
UPDATE people SET marketing_contact_status = 'marketing' WHERE account = 'r' AND marketing_contact_status <> 'marketing';
SELECT count(*) FROM people WHERE account = 'r' AND marketing_contact_status = 'marketing';
SELECT account, counted, actual FROM contacts_tier.verify('people');
SET client_min_messages = warning;
DROP SCHEMA bulk CASCADE;
RESET SESSION AUTHORIZATION;
DROP ROLE regress_user;
