--
-- Which tools can use which contacts: can_use() and audience()
-- (rule G1)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
CREATE SCHEMA g1_gate;
SET search_path = g1_gate, public;
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.create_plan('g1', '{1000, 2000}');
SELECT contacts_tier.create_plan('g1 legacy', NULL, marketing_contacts => false);
SELECT contacts_tier.subscribe('contacts', 'a', 'g1');
SELECT contacts_tier.subscribe('contacts', 'b', 'g1 legacy');
INSERT INTO contacts (id, account, marketing_contact_status)
SELECT i, 'a', CASE WHEN i % 100 = 0 THEN 'marketing' ELSE 'non_marketing' END::contacts_tier.marketing_status
  FROM generate_series(1, 2000) AS i;
INSERT INTO contacts (id, account) SELECT i, 'b' FROM generate_series(2001, 2005) AS i;
CREATE INDEX status ON contacts (marketing_contact_status);
VACUUM ANALYZE contacts;
CREATE FUNCTION plan(command text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || command LOOP
        RETURN NEXT line;
    END LOOP;
END $$;

-- The tools of the catalogue, with each status
SELECT name, contacts_tier.can_use(name, 'marketing') AS marketing, contacts_tier.can_use(name, 'non_marketing') AS non_marketing,
       contacts_tier.can_use(name, NULL) AS "null"
  FROM contacts_tier.tool ORDER BY needs_marketing_contact DESC, name COLLATE "C";
-- the same by constants, which the planner sees
SELECT contacts_tier.can_use('marketing_email', 'marketing') AS marketing, contacts_tier.can_use('marketing_email', 'non_marketing') AS non_marketing,
       contacts_tier.can_use('marketing_email', NULL) AS "null", NOT contacts_tier.can_use('marketing_email', NULL) AS not_null,
       contacts_tier.can_use('sequence', NULL) AS open_null;
-- a tool that is not there, none at all, and one of an empty name
SELECT contacts_tier.can_use('telepathy', 'marketing');
SELECT contacts_tier.can_use('MARKETING_EMAIL', marketing_contact_status) FROM contacts LIMIT 1;
SELECT contacts_tier.can_use(NULL, 'marketing');
SELECT contacts_tier.can_use('', 'marketing');

-- Plans: an index on the status serves, also a partial one
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT plan($$SELECT * FROM contacts WHERE contacts_tier.can_use('marketing_email', marketing_contact_status)$$);
SET enable_seqscan = on;
SELECT plan($$SELECT * FROM contacts WHERE NOT contacts_tier.can_use('marketing_email', marketing_contact_status)$$);
SET enable_seqscan = off;
DROP INDEX status;
CREATE INDEX status ON contacts (id) WHERE marketing_contact_status = 'marketing';
SELECT plan($$SELECT id FROM contacts WHERE contacts_tier.can_use('marketing_email', marketing_contact_status) ORDER BY id$$);
SELECT count(*) FROM contacts WHERE contacts_tier.can_use('marketing_email', marketing_contact_status);
-- an open tool needs no condition, and an unknown one stays for the execution
SELECT plan($$SELECT * FROM contacts WHERE contacts_tier.can_use('sequence', marketing_contact_status) AND id = 1$$);
SELECT plan($$SELECT * FROM contacts WHERE contacts_tier.can_use('telepathy', marketing_contact_status) AND id = 1$$);
-- where the status would be evaluated twice, the call stays
SELECT plan($$SELECT * FROM contacts WHERE contacts_tier.can_use('marketing_email', CASE WHEN random() < 2 THEN marketing_contact_status END) AND id = 1$$);

-- Prepared: the plan of a statement follows the catalogue, in this and other transactions
SET plan_cache_mode = force_generic_plan;
PREPARE usable AS SELECT count(*) FROM contacts WHERE contacts_tier.can_use('sequence', marketing_contact_status);
PREPARE by_view AS SELECT count(*) FROM contacts c JOIN contacts_tier.tool t ON contacts_tier.can_use(t.name, c.marketing_contact_status) WHERE t.name = 'sequence';
PREPARE given (text) AS SELECT count(*) FROM contacts WHERE contacts_tier.can_use($1, marketing_contact_status);
CREATE FUNCTION inlined(contacts_tier.marketing_status) RETURNS boolean LANGUAGE sql STABLE AS $$SELECT contacts_tier.can_use('sequence', $1)$$;
PREPARE inlined AS SELECT count(*) FROM contacts WHERE inlined(marketing_contact_status);
CREATE FUNCTION simple(status contacts_tier.marketing_status) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RETURN contacts_tier.can_use('sequence', status); END$$;
EXECUTE usable;
EXECUTE by_view;
EXECUTE given ('sequence');
EXECUTE inlined;
SELECT simple('non_marketing');
SELECT plan('EXECUTE usable');
BEGIN;
UPDATE contacts_tier.tool SET needs_marketing_contact = true WHERE name = 'sequence';
EXECUTE usable;
EXECUTE by_view;
EXECUTE given ('sequence');
EXECUTE inlined;
SELECT simple('non_marketing');
SELECT plan('EXECUTE usable');
SELECT plan('EXECUTE inlined');
ROLLBACK;
EXECUTE usable;
EXECUTE by_view;
EXECUTE given ('sequence');
EXECUTE inlined;
SELECT simple('non_marketing');
BEGIN;
DELETE FROM contacts_tier.tool WHERE name = 'sequence';
EXECUTE usable;
ROLLBACK;
BEGIN;
TRUNCATE contacts_tier.tool;
EXECUTE inlined;
ROLLBACK;
EXECUTE usable;
-- a tool of one's own
BEGIN;
SELECT contacts_tier.can_use('fax', 'non_marketing') FROM contacts_tier.tool WHERE name = 'fax';
INSERT INTO contacts_tier.tool VALUES ('fax', true);
SELECT contacts_tier.can_use(name, 'non_marketing') FROM contacts_tier.tool WHERE name = 'fax';
ROLLBACK;
-- a custom plan knows its parameter
SET plan_cache_mode = force_custom_plan;
SELECT plan($$EXECUTE given ('marketing_email')$$);
RESET plan_cache_mode;
RESET enable_seqscan;
RESET enable_bitmapscan;
-- in parallel workers, which read the catalogue themselves
SET min_parallel_table_scan_size = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SELECT count(*) FROM contacts WHERE contacts_tier.can_use(CASE WHEN id % 2 = 0 THEN 'marketing_email' ELSE 'sequence' END, marketing_contact_status);

-- Audience: how many, and why not the others
SELECT * FROM contacts_tier.audience('contacts', 'a', 'marketing_email');
SELECT * FROM contacts_tier.audience('contacts', 'a', 'sequence');
-- an account without access
SELECT * FROM contacts_tier.audience('contacts', 'b', 'marketing_email');
SELECT * FROM contacts_tier.audience('contacts', 'b', 'sequence');
-- one without contacts
SELECT * FROM contacts_tier.audience('contacts', 'c', 'marketing_email');
SELECT * FROM contacts_tier.audience('contacts', 'a', 'telepathy');
SELECT * FROM contacts_tier.audience('contacts', 'a', NULL);
SELECT * FROM contacts_tier.audience('contacts', NULL, 'sequence');
SELECT * FROM contacts_tier.audience('contacts_tier_ledger', 'a', 'sequence');
-- what this transaction has done counts
BEGIN;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id <= 50;
SELECT * FROM contacts_tier.audience('contacts', 'a', 'marketing_email');
ROLLBACK;
-- another table with the same counters: only the contacts of the one asked for
CREATE TABLE leads (id integer, company text);
SELECT contacts_tier.attach('leads', 'company');
INSERT INTO leads (id, company, marketing_contact_status) VALUES (1, 'a', 'marketing'), (2, 'a', 'non_marketing'), (3, 'a', 'non_marketing');
SELECT * FROM contacts_tier.audience('contacts', 'a', 'marketing_email');
SELECT * FROM contacts_tier.audience('leads', 'a', 'marketing_email');
-- who may not read the contacts, or not all of them
CREATE ROLE regress_g1_reader;
GRANT USAGE ON SCHEMA g1_gate TO regress_g1_reader;
GRANT SELECT ON contacts_tier_account, contacts_tier_counter TO regress_g1_reader;
SET ROLE regress_g1_reader;
SELECT contacts_tier.can_use('marketing_email', 'marketing');
SELECT * FROM contacts_tier.audience('contacts', 'a', 'marketing_email');
RESET ROLE;
GRANT SELECT ON contacts TO regress_g1_reader;
SET ROLE regress_g1_reader;
SELECT * FROM contacts_tier.audience('contacts', 'a', 'marketing_email');
RESET ROLE;
ALTER TABLE contacts ENABLE ROW LEVEL SECURITY;
SET ROLE regress_g1_reader;
SELECT * FROM contacts_tier.audience('contacts', 'a', 'marketing_email');
RESET ROLE;

SET search_path = public;
DROP OWNED BY regress_g1_reader;
DROP ROLE regress_g1_reader;
DROP SCHEMA g1_gate CASCADE;
DELETE FROM contacts_tier.plan WHERE name LIKE 'g1%';
