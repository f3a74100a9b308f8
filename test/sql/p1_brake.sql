--
-- The promotion brake (rule P1)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
CREATE SCHEMA p1_brake;
SET search_path = p1_brake;
CREATE TABLE contacts (id serial PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.create_plan('p1_brake', '{1000, 2000}', '{10, 20}', 'EUR');
CREATE FUNCTION promote(account text, VARIADIC sources text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO p1_brake.contacts (account, marketing_contact_status, marketing_contact_status_source_type)
    SELECT account, 'marketing', s FROM unnest(sources) WITH ORDINALITY AS u (s, n) ORDER BY n
$$;
CREATE VIEW slots AS SELECT account, slot, used, granted, brake FROM contacts_tier_counter ORDER BY account, slot;
CREATE VIEW drift AS SELECT account, drift FROM contacts_tier.verify('contacts') WHERE drift <> 0;

-- what came before it was set counts, too: folded entries until the last of them has left the window
SELECT contacts_tier.subscribe('contacts', 'a', 'p1_brake');
SET contacts_tier.now = '2026-01-10 10:00:10+00';
SELECT promote('a', 'USER');
SET contacts_tier.now = '2026-01-10 10:00:40+00';
SELECT promote('a', 'USER');
SELECT contacts_tier.set_policy('contacts', 'a', brake => '{"window": "1 hour", "limit": 5, "sources": {"WORKFLOW": 2}}');
SET contacts_tier.now = '2026-01-10 10:20+00';
SELECT promote('a', 'USER', 'USER');
SELECT promote('a', 'USER', 'USER');
\echo :SQLSTATE
SELECT promote('a', 'USER');
SELECT promote('a', 'USER');
SET contacts_tier.now = '2026-01-10 11:00:39+00';
SELECT promote('a', 'USER');
SET contacts_tier.now = '2026-01-10 11:00:40+00';
SELECT promote('a', 'USER', 'USER');
-- what a demotion releases is no room for the brake
DELETE FROM contacts WHERE account = 'a';
SELECT promote('a', 'USER');
TABLE slots;
-- nor is a statement that promotes as many as it demotes; one that promotes none passes
SET contacts_tier.now = '2026-01-10 11:20+00';
SELECT promote('a', 'USER', 'USER');
INSERT INTO contacts (account) VALUES ('a');
SELECT contacts_tier.subscribe('contacts', 'b', 'p1_brake');
UPDATE contacts SET account = CASE account WHEN 'a' THEN 'b' ELSE 'a' END WHERE marketing_contact_status = 'marketing';
SELECT contacts_tier.set_policy('contacts', 'b', brake => '{"window": "1 hour", "limit": 2}');
SELECT promote('b', 'USER');
WITH gone AS (DELETE FROM contacts WHERE account = 'b' AND marketing_contact_status = 'marketing' RETURNING id)
INSERT INTO contacts (account, marketing_contact_status) SELECT 'b', 'marketing' FROM gone;
-- by source type: the others are not held up; a statement may bring several
SET contacts_tier.now = '2026-01-11 10:00+00';
SELECT promote('a', 'WORKFLOW', 'WORKFLOW', 'WORKFLOW');
SELECT promote('a', 'WORKFLOW', 'USER');
SELECT promote('a', 'WORKFLOW', 'USER', 'WORKFLOW');
SELECT promote('a', 'USER', 'WORKFLOW');
SELECT promote('a', 'WORKFLOW');
SELECT promote('a', 'USER');
SELECT promote('a', 'USER');
SELECT source_type, promoted, created FROM contacts_tier.activity('contacts', 'a') WHERE recorded_at = '2026-01-11 10:00+00' ORDER BY 1, 2, 3;
-- the window is where it is: an instant before, and at it
SET contacts_tier.now = '2026-01-11 10:59:59.999999+00';
SELECT promote('a', 'WORKFLOW');
SET contacts_tier.now = '2026-01-11 11:00+00';
SELECT promote('a', 'WORKFLOW', 'WORKFLOW');
-- a rollback leaves nothing, within a transaction nor of it
BEGIN;
SAVEPOINT s;
SELECT promote('a', 'USER', 'USER', 'USER');
ROLLBACK TO s;
SELECT promote('a', 'USER', 'USER');
ROLLBACK;
SELECT promote('a', 'USER', 'USER', 'USER');
SELECT promote('a', 'USER');
-- a COPY, an UPDATE and what triggers write are held against it alike
COPY contacts (account, marketing_contact_status) FROM stdin;
a	marketing
\.
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE account = 'a';
-- a default is never refused (S4), and never loses a contact
SELECT contacts_tier.set_policy('contacts', 'a', source_defaults => '{"FORM": "marketing"}');
INSERT INTO contacts (account, marketing_contact_status_source_type) VALUES ('a', 'FORM');
-- another period, another tier: the window goes on
SELECT contacts_tier.change_tier('contacts', 'a', 2000);
SELECT promote('a', 'USER');
-- activity is recorded for it whatever record_activity says
SELECT contacts_tier.set_policy('contacts', 'a', record_activity => false);
SET contacts_tier.now = '2026-01-12 10:00+00';
SELECT promote('a', 'USER', 'USER', 'USER', 'USER', 'USER');
SELECT promote('a', 'USER');
-- one window after the other
SET contacts_tier.now = '2026-01-13 10:00+00';
SELECT promote('a', 'USER', 'USER', 'WORKFLOW');
SELECT promote('a', 'USER', 'USER', 'USER');
SELECT promote('a', 'WORKFLOW', 'USER');
SELECT promote('a', 'USER');
-- who may pass does so by a call, in his transaction; what passes counts
CREATE ROLE regress_p1_writer;
GRANT USAGE ON SCHEMA p1_brake TO regress_p1_writer;
GRANT INSERT ON contacts TO regress_p1_writer;
GRANT USAGE ON SEQUENCE contacts_id_seq TO regress_p1_writer;
SET contacts_tier.now = '2026-01-14 10:00+00';
SET ROLE regress_p1_writer;
SELECT contacts_tier.pass_brake();
\echo :SQLSTATE
SELECT promote('a', VARIADIC array_fill('USER'::text, '{6}'));
RESET ROLE;
GRANT EXECUTE ON FUNCTION contacts_tier.pass_brake() TO regress_p1_writer;
SET ROLE regress_p1_writer;
SELECT promote('a', VARIADIC array_fill('USER'::text, '{6}'));
BEGIN;
SAVEPOINT s;
SELECT contacts_tier.pass_brake();
ROLLBACK TO s;
SELECT promote('a', VARIADIC array_fill('USER'::text, '{6}'));
ROLLBACK;
BEGIN;
SELECT contacts_tier.pass_brake();
SELECT promote('a', VARIADIC array_fill('USER'::text, '{6}'));
COMMIT;
SELECT promote('a', 'USER');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION contacts_tier.pass_brake() FROM regress_p1_writer;
-- set again, and taken away
SELECT contacts_tier.set_policy('contacts', 'a', brake => '{"window": "1 day", "limit": 7}');
SELECT promote('a', 'USER', 'USER');
SELECT promote('a', 'USER');
SELECT contacts_tier.set_policy('contacts', 'a', brake => '{}');
SELECT promote('a', 'USER', 'USER', 'USER');
SELECT account, brake FROM contacts_tier_account ORDER BY account;
TABLE slots;
-- what the brake drops needs no larger tier: under "cap" none is requested
SELECT contacts_tier.create_plan('p1_grace', '{1, 3}');
SELECT contacts_tier.subscribe('contacts', 'g', 'p1_grace', on_exceed => 'cap', grace => 1);
SELECT contacts_tier.set_policy('contacts', 'g', brake => '{"window": "1 day", "limit": 1}', source_defaults => '{"USER": "marketing"}');
INSERT INTO contacts (account) VALUES ('g');
INSERT INTO contacts (account) VALUES ('g');
SELECT contact_limit, requested_limit FROM contacts_tier_account WHERE account = 'g';
SELECT contacts_tier.set_policy('contacts', 'g', brake => '{}');
INSERT INTO contacts (account) VALUES ('g'), ('g');
SELECT contact_limit, requested_limit FROM contacts_tier_account WHERE account = 'g';
-- wrong values
SELECT contacts_tier.set_policy('contacts', 'a', brake => '[]');
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', 'a', brake => '{"window": "1 hour"}');
SELECT contacts_tier.set_policy('contacts', 'a', brake => '{"limit": 5}');
SELECT contacts_tier.set_policy('contacts', 'a', brake => '{"window": "1 hour", "limit": -5}');
SELECT contacts_tier.set_policy('contacts', 'a', brake => '{"window": "1 hour", "limit": "5"}');
SELECT contacts_tier.set_policy('contacts', 'a', brake => '{"window": "1 hour", "limit": 5, "most": 1}');
SELECT contacts_tier.set_policy('contacts', 'a', brake => '{"window": "1 hour", "sources": {"WORKFLOW": 1.5}}');
SELECT contacts_tier.set_policy('contacts', 'a', brake => '{"window": "1 hour", "sources": 5}');
SELECT contacts_tier.set_policy('contacts', 'a', brake => '{"window": "soon", "limit": 5}');
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', 'a', brake => '{"window": "-1 hour", "limit": 5}');
TABLE drift;
DROP SCHEMA p1_brake CASCADE;
DROP ROLE regress_p1_writer;
DELETE FROM contacts_tier.plan WHERE name IN ('p1_brake', 'p1_grace');
