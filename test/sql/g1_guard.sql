--
-- The guard of a table of what tools send to contacts
-- (rules G1, R3 and R6)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
SET client_min_messages = notice;
CREATE SCHEMA g1_guard;
SET search_path = g1_guard, public;
CREATE TABLE contacts (id bigint PRIMARY KEY, account text, email text UNIQUE);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.create_plan('g1 guard', '{1000, 2000}');
SELECT contacts_tier.subscribe('contacts', 'a', 'g1 guard');
INSERT INTO contacts (id, account, email, marketing_contact_status) VALUES
    (1, 'a', 'one', 'marketing'), (2, 'a', 'two', 'non_marketing'), (3, 'a', 'three', 'marketing'), (4, 'a', 'four', 'non_marketing');
UPDATE contacts SET marketing_contact_until_next_update = true WHERE id = 3;
-- the contact has another type than the key
CREATE TABLE sends (id integer GENERATED ALWAYS AS IDENTITY, gone text, tool text, contact integer, reason text, note text);
ALTER TABLE sends DROP COLUMN gone;

-- What is wrong with arguments
SELECT contacts_tier.guard('sends', 'tool', 'contact', 'contacts', 'forget');
SELECT contacts_tier.guard('sends', 'tool', 'contact', 'contacts', 'mark');
SELECT contacts_tier.guard('sends', 'tool', 'contact', 'contacts', 'skip', 'reason');
SELECT contacts_tier.guard('sends', 'tool', 'person', 'contacts');
SELECT contacts_tier.guard('sends', 'tool', 'tool', 'contacts');
SELECT contacts_tier.guard('sends', 'id', 'contact', 'contacts');
SELECT contacts_tier.guard('sends', 'tool', 'contact', 'contacts', 'mark', 'id');
SELECT contacts_tier.guard('sends', 'tool', 'contact', 'sends');
SELECT contacts_tier.guard('sends', 'tool', 'contact', NULL);
SELECT contacts_tier.guard(NULL, 'tool', 'contact', 'contacts');
SELECT contacts_tier.unguard('sends');

-- reject
SELECT contacts_tier.guard('sends', 'tool', 'contact', 'contacts');
SELECT pg_get_triggerdef(oid), obj_description(oid, 'pg_trigger') FROM pg_trigger WHERE tgrelid = 'sends'::regclass;
INSERT INTO sends (tool, contact) SELECT name, 1 FROM contacts_tier.tool;
-- a flagged one is a marketing contact still
INSERT INTO sends (tool, contact) VALUES ('marketing_email', 3);
INSERT INTO sends (tool, contact) VALUES ('sequence', 2), ('sequence', 99), ('marketing_email', NULL), ('sequence', NULL);
INSERT INTO sends (tool, contact) VALUES ('marketing_email', 2);
INSERT INTO sends (tool, contact) VALUES ('marketing_email', 99);
INSERT INTO sends (tool, contact) VALUES ('telepathy', 1);
INSERT INTO sends (tool, contact) VALUES (NULL, 1);
-- each kind that needs one, and each that does not, with a contact that is none
DO $$
DECLARE
    t record;
    state text;
BEGIN
    FOR t IN SELECT name FROM contacts_tier.tool ORDER BY needs_marketing_contact DESC, name COLLATE "C" LOOP
        state := 'stored';
        BEGIN
            INSERT INTO sends (tool, contact) VALUES (t.name, 4);
        EXCEPTION WHEN SQLSTATE 'MC003' THEN
            GET STACKED DIAGNOSTICS state = CONSTRAINT_NAME;
        END;
        RAISE NOTICE '%: %', t.name, state;
    END LOOP;
END $$;
-- many rows, one of them excluded: none is stored
INSERT INTO sends (tool, contact) SELECT 'ads_audience', i FROM unnest('{1, 3, 2}'::int[]) AS i;
SELECT tool, contact, count(*) FROM sends GROUP BY 1, 2 ORDER BY tool COLLATE "C", contact;
-- an UPDATE of other columns, or to the same values, sends nothing
UPDATE sends SET note = 'read', contact = contact, tool = tool WHERE contact = 4;
UPDATE sends SET tool = 'marketing_email' WHERE contact = 4;
UPDATE sends SET contact = 2 WHERE tool = 'marketing_email' AND contact = 3;
UPDATE sends SET contact = 1 WHERE tool = 'marketing_email' AND contact = 3;
TRUNCATE sends;

-- skip: one NOTICE a statement
SELECT contacts_tier.guard('sends', 'tool', 'contact', 'contacts', 'skip');
INSERT INTO sends (tool, contact) VALUES ('marketing_email', 1), ('marketing_email', 2), ('marketing_email', 99), ('workflow_email', 4), ('sequence', 2) RETURNING tool, contact;
INSERT INTO sends (tool, contact) VALUES ('marketing_email', 2);
COPY sends (tool, contact) FROM stdin;
marketing_email	1
marketing_email	2
sequence	4
marketing_email	77
\.
UPDATE sends SET tool = 'marketing_email' WHERE tool = 'sequence';
SELECT tool, contact, count(*) FROM sends GROUP BY 1, 2 ORDER BY tool COLLATE "C", contact;
-- a savepoint, and a statement that fails half-way
BEGIN;
SAVEPOINT s;
INSERT INTO sends (tool, contact) VALUES ('marketing_email', 2), ('telepathy', 2);
ROLLBACK TO s;
INSERT INTO sends (tool, contact) VALUES ('marketing_email', 2), ('marketing_email', 1);
ROLLBACK;
-- a statement within another: each has its own
CREATE FUNCTION send(i integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sends (tool, contact) VALUES ('marketing_email', i), ('marketing_email', 4);
    BEGIN
        INSERT INTO sends (tool, contact) VALUES ('marketing_email', i), ('telepathy', 4);
    EXCEPTION WHEN invalid_parameter_value THEN
        NULL;
    END;
    RETURN i;
END $$;
INSERT INTO sends (tool, contact) SELECT 'marketing_email', send(i) FROM generate_series(1, 2) AS i;
-- what the statement itself does to the contacts counts
WITH new AS (INSERT INTO contacts (id, account, marketing_contact_status) VALUES (5, 'a', 'marketing') RETURNING id)
INSERT INTO sends (tool, contact) SELECT 'marketing_email', id FROM new RETURNING contact;
BEGIN;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 2;
INSERT INTO sends (tool, contact) VALUES ('marketing_email', 2) RETURNING contact;
ROLLBACK;
-- the catalogue decides
BEGIN;
UPDATE contacts_tier.tool SET needs_marketing_contact = false WHERE name = 'marketing_email';
INSERT INTO sends (tool, contact) VALUES ('marketing_email', 2) RETURNING contact;
ROLLBACK;
TRUNCATE sends;

-- mark
SELECT contacts_tier.guard('sends', 'tool', 'contact', 'contacts', 'mark', 'reason');
INSERT INTO sends (tool, contact, reason) VALUES ('marketing_email', 1, NULL), ('marketing_email', 1, 'mine'), ('marketing_email', 2, NULL),
    ('marketing_email', 99, 'mine'), ('sequence', 2, NULL) RETURNING tool, contact, reason;
UPDATE sends SET contact = 3 WHERE contact = 2 RETURNING tool, contact, reason;
UPDATE sends SET tool = 'marketing_email', contact = 4 WHERE tool = 'sequence' RETURNING tool, contact, reason;
-- the reason is the guard's: who saves a row as he inserted it, or writes one of his own, does not change it
UPDATE sends SET tool = tool, contact = contact, reason = NULL, note = 'read' RETURNING tool, contact, reason;
UPDATE sends SET reason = 'mine' WHERE contact = 1 RETURNING tool, contact, reason;
-- columns can be renamed, not dropped or changed
ALTER TABLE sends RENAME reason TO excluded;
ALTER TABLE sends RENAME contact TO "Contact";
INSERT INTO sends (tool, "Contact") VALUES ('marketing_email', 2) RETURNING tool, "Contact", excluded;
ALTER TABLE sends ALTER tool TYPE varchar(100);
ALTER TABLE sends DROP COLUMN excluded;
ALTER TABLE sends RENAME "Contact" TO contact;

-- foreign keys: what was sent stays so when its contact gets another key, or goes
SELECT contacts_tier.guard('sends', 'tool', 'contact', 'contacts');
TRUNCATE sends;
ALTER TABLE sends ADD FOREIGN KEY (contact) REFERENCES contacts ON UPDATE CASCADE ON DELETE SET NULL;
INSERT INTO sends (tool, contact) VALUES ('marketing_email', 1), ('marketing_email', 5), ('sequence', 2);
UPDATE contacts SET id = 6 WHERE id = 5;
DELETE FROM contacts WHERE id = 6;
SELECT tool, contact FROM sends ORDER BY id;
SELECT contacts_tier.unguard('sends');
INSERT INTO sends (tool, contact) VALUES ('marketing_email', 2);
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'sends'::regclass AND NOT tgisinternal;

-- A row that an UPDATE moves to another partition has been sent: it stays, whatever its contact is now
CREATE TABLE moves (state text, tool text, contact bigint, reason text) PARTITION BY LIST (state);
CREATE TABLE moves_new PARTITION OF moves FOR VALUES IN ('new');
CREATE TABLE moves_sent (LIKE moves);
ALTER TABLE moves ATTACH PARTITION moves_sent FOR VALUES IN ('sent');
SELECT contacts_tier.guard('moves', 'tool', 'contact', 'contacts', 'skip');
INSERT INTO moves VALUES ('new', 'marketing_email', 3), ('new', 'sequence', 2);
BEGIN;
DELETE FROM contacts WHERE id = 3;
UPDATE moves SET state = 'sent' RETURNING *;
-- but not with another tool, which the guard looks at before
UPDATE moves SET state = 'new', tool = 'marketing_email' WHERE contact = 2;
-- and rows that an INSERT inserts beside an UPDATE are new
WITH new AS (INSERT INTO moves VALUES ('new', 'marketing_email', 2)) UPDATE moves SET state = 'sent';
SELECT contacts_tier.guard('moves', 'tool', 'contact', 'contacts', 'mark', 'reason');
UPDATE moves SET state = 'new' RETURNING *;
SELECT contacts_tier.guard('moves', 'tool', 'contact', 'contacts');
UPDATE moves SET state = 'sent' RETURNING *;
ROLLBACK;
-- the guard of one partition alone looks at what comes
SELECT contacts_tier.unguard('moves');
SELECT contacts_tier.guard('moves_sent', 'tool', 'contact', 'contacts');
UPDATE moves SET state = 'sent', tool = 'marketing_email' WHERE contact = 2;
DROP TABLE moves;

-- Tools of an enum, contacts by a unique column of text
CREATE TYPE kind AS ENUM ('marketing_email', 'sequence', 'telepathy');
CREATE TABLE mails (kind kind, address varchar(50));
SELECT contacts_tier.guard('mails', 'kind', 'address', 'contacts', 'skip');
INSERT INTO mails VALUES ('marketing_email', 'one'), ('marketing_email', 'two'), ('sequence', 'two') RETURNING *;
INSERT INTO mails VALUES ('telepathy', 'one');
-- no index tells
CREATE TABLE blurred (tool text, contact uuid);
SELECT contacts_tier.guard('blurred', 'tool', 'contact', 'contacts');
DROP TABLE blurred;

-- Partitions, of both tables, with other columns; the key has the account
CREATE TABLE people (account integer, key integer, PRIMARY KEY (account, key)) PARTITION BY LIST (account);
CREATE TABLE people_1 PARTITION OF people FOR VALUES IN (1);
CREATE TABLE people_2 (gone text, key integer NOT NULL, account integer NOT NULL) PARTITION BY HASH (key);
ALTER TABLE people_2 DROP COLUMN gone;
CREATE TABLE people_2_0 PARTITION OF people_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE people_2_1 (key integer NOT NULL, gone text, account integer NOT NULL);
ALTER TABLE people_2_1 DROP COLUMN gone;
ALTER TABLE people_2 ATTACH PARTITION people_2_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
ALTER TABLE people ATTACH PARTITION people_2 FOR VALUES IN (2);
CREATE SCHEMA g1_guard_people;
ALTER TABLE people SET SCHEMA g1_guard_people;
SELECT contacts_tier.attach('g1_guard_people.people', 'account');
SELECT contacts_tier.subscribe('g1_guard_people.people', '1', 'g1 guard');
SELECT contacts_tier.subscribe('g1_guard_people.people', '2', 'g1 guard');
INSERT INTO g1_guard_people.people (account, key, marketing_contact_status)
SELECT a, k, CASE WHEN k % 2 = a % 2 THEN 'marketing' ELSE 'non_marketing' END::contacts_tier.marketing_status
  FROM generate_series(1, 2) AS a, generate_series(1, 6) AS k;
CREATE TABLE calls (account integer, tool text, key integer) PARTITION BY LIST (tool);
CREATE TABLE calls_open (key integer, account integer, tool text);
ALTER TABLE calls ATTACH PARTITION calls_open DEFAULT;
CREATE TABLE calls_marketing PARTITION OF calls FOR VALUES IN ('marketing_email');
SELECT contacts_tier.guard('calls', 'tool', 'key', 'g1_guard_people.people', 'skip');
INSERT INTO calls SELECT a, t, k FROM generate_series(1, 3) AS a, generate_series(1, 6) AS k, unnest('{marketing_email, workflow_email, sequence}'::text[]) AS t;
SELECT account, tool, array_agg(key ORDER BY key) FROM calls GROUP BY 1, 2 ORDER BY 1, 2;
INSERT INTO calls_open (tool, account, key) VALUES ('workflow_email', 1, 2), ('sequence', 1, 2);
CREATE TABLE calls_later PARTITION OF calls FOR VALUES IN ('ads_audience');
INSERT INTO calls VALUES (1, 'ads_audience', 1), (1, 'ads_audience', 2), (NULL, 'ads_audience', 1) RETURNING *;
SELECT contacts_tier.unguard('calls_later');
SELECT contacts_tier.unguard('calls');
SELECT count(*) FROM pg_trigger WHERE tgname = 'zz_contacts_tier_guard' AND tgrelid::regclass::text LIKE 'calls%';
-- a contact without the account in the key
CREATE TABLE letters (tool text, key integer);
SELECT contacts_tier.guard('letters', 'tool', 'key', 'g1_guard_people.people', 'skip');

-- A type with functions of its own: they run as the owner of the contacts, under a safe search_path
CREATE SCHEMA g1_guard_own;
SET search_path = g1_guard_own, public;
CREATE ROLE regress_g1_owner;
CREATE ROLE regress_g1_sender;
CREATE ROLE regress_g1_writer;
CREATE TYPE address AS (name text);
CREATE FUNCTION compare(address, address) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF current_setting('g1.tells', true) = 'on' THEN
        RAISE NOTICE 'compares as %, search_path %', current_user, current_setting('search_path');
    END IF;
    RETURN btrecordcmp($1, $2);
END $$;
SELECT format('CREATE FUNCTION %s(address, address) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$SELECT ROW($1.name) %s ROW($2.name)$$', name, sign) AS function,
       format('CREATE OPERATOR %s (FUNCTION = %s, LEFTARG = address, RIGHTARG = address)', sign, name) AS operator
  FROM (VALUES ('lt', '<'), ('le', '<='), ('eq', '='), ('ge', '>='), ('gt', '>')) AS o (name, sign) \gexec
CREATE OPERATOR CLASS address_ops FOR TYPE address USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 compare(address, address);
CREATE TABLE contacts (address address, account text);
CREATE UNIQUE INDEX ON contacts (address address_ops);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'g1 guard');
INSERT INTO contacts (address, account, marketing_contact_status) VALUES (ROW('x'), 'a', 'marketing'), (ROW('y'), 'a', 'non_marketing');
CREATE TABLE sends (tool text, address address);
SELECT contacts_tier.guard('sends', 'tool', 'address', 'contacts', 'skip');
INSERT INTO sends VALUES ('marketing_email', ROW('x')), ('marketing_email', ROW('y')), ('sequence', ROW('y')) RETURNING *;
ALTER TABLE contacts OWNER TO regress_g1_owner;
ALTER TABLE contacts_tier_account OWNER TO regress_g1_owner;
ALTER TABLE contacts_tier_counter OWNER TO regress_g1_owner;
ALTER TABLE contacts_tier_ledger OWNER TO regress_g1_owner;
GRANT USAGE ON SCHEMA g1_guard_own TO regress_g1_owner;
SET g1.tells = 'on';
INSERT INTO sends VALUES ('marketing_email', ROW('x'));
RESET g1.tells;

-- Roles: the owner of the guarded table looks contacts up
CREATE TABLE own (tool text, id bigint);
ALTER TABLE own OWNER TO regress_g1_sender;
GRANT USAGE ON SCHEMA g1_guard, g1_guard_own TO regress_g1_sender, regress_g1_writer;
GRANT INSERT, SELECT ON own TO regress_g1_writer;
GRANT USAGE ON SCHEMA contacts_tier TO regress_g1_sender;
SET ROLE regress_g1_sender;
SELECT contacts_tier.guard('own', 'tool', 'id', 'g1_guard.contacts');
RESET ROLE;
GRANT EXECUTE ON FUNCTION contacts_tier.guard, contacts_tier.unguard, contacts_tier_internal.guard_send TO regress_g1_sender;
GRANT EXECUTE ON FUNCTION contacts_tier.guard, contacts_tier.unguard TO regress_g1_writer;
SET ROLE regress_g1_sender;
SELECT contacts_tier.guard('own', 'tool', 'id', 'g1_guard.contacts');
RESET ROLE;
GRANT SELECT (id) ON g1_guard.contacts TO regress_g1_sender;
SET ROLE regress_g1_sender;
SELECT contacts_tier.guard('own', 'tool', 'id', 'g1_guard.contacts');
RESET ROLE;
GRANT SELECT (marketing_contact_status) ON g1_guard.contacts TO regress_g1_sender;
SET ROLE regress_g1_writer;
SELECT contacts_tier.guard('own', 'tool', 'id', 'g1_guard.contacts');
SELECT contacts_tier.unguard('own');
SET ROLE regress_g1_sender;
SELECT contacts_tier.guard('own', 'tool', 'id', 'g1_guard.contacts');
-- a writer without any privilege on the contacts
SET ROLE regress_g1_writer;
INSERT INTO own VALUES ('marketing_email', 1);
INSERT INTO own VALUES ('marketing_email', 2);
RESET ROLE;
-- what was allowed then is not any more
ALTER TABLE g1_guard.contacts ENABLE ROW LEVEL SECURITY;
SET ROLE regress_g1_writer;
INSERT INTO own VALUES ('marketing_email', 1);
INSERT INTO own VALUES ('sequence', 2);
RESET ROLE;
ALTER TABLE g1_guard.contacts DISABLE ROW LEVEL SECURITY;
REVOKE SELECT (id) ON g1_guard.contacts FROM regress_g1_sender;
INSERT INTO own VALUES ('marketing_email', 1);
GRANT SELECT ON g1_guard.contacts TO regress_g1_sender;
INSERT INTO own VALUES ('marketing_email', 1);
-- the contacts are renamed, detached, dropped
ALTER TABLE g1_guard.contacts RENAME TO persons;
INSERT INTO own VALUES ('marketing_email', 1);
ALTER TABLE g1_guard.persons RENAME TO contacts;
BEGIN;
SELECT contacts_tier.detach('g1_guard.contacts');
INSERT INTO own VALUES ('marketing_email', 1);
ROLLBACK;
DROP TABLE g1_guard.contacts CASCADE;
INSERT INTO own VALUES ('sequence', 1);
INSERT INTO own VALUES ('marketing_email', 1);
SELECT contacts_tier.unguard('own');
INSERT INTO own VALUES ('marketing_email', 1);
-- triggers that are not of guard()'s making
CREATE TRIGGER own BEFORE INSERT ON own FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.guard_send();
INSERT INTO own VALUES ('marketing_email', 1);

SET search_path = public;
SET client_min_messages = warning;
DROP SCHEMA g1_guard, g1_guard_own, g1_guard_people CASCADE;
DROP OWNED BY regress_g1_sender, regress_g1_writer, regress_g1_owner;
DROP ROLE regress_g1_sender, regress_g1_writer, regress_g1_owner;
DELETE FROM contacts_tier.plan WHERE name LIKE 'g1%';
