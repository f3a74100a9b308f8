--
-- The catalogue: seeds, plans and tiers
-- (rules S4 and G1)
--
SET client_min_messages = warning;
\set SHOW_CONTEXT never
\pset null '-'

-- Source types and the status that their new contacts get; * those that an account may change
SELECT name, default_status, CASE WHEN changeable THEN '*' ELSE '' END AS changeable, seeded
  FROM contacts_tier.source_type ORDER BY name COLLATE "C";
-- Tools, and whether they need a marketing contact
SELECT name, needs_marketing_contact, seeded FROM contacts_tier.tool ORDER BY needs_marketing_contact DESC, name COLLATE "C";
-- Types
SELECT t.typname, enum_range(NULL::contacts_tier.marketing_status)::text AS labels FROM pg_type t WHERE t.oid = 'contacts_tier.marketing_status'::regtype
UNION ALL SELECT t.typname, enum_range(NULL::contacts_tier.billing_cycle)::text FROM pg_type t WHERE t.oid = 'contacts_tier.billing_cycle'::regtype
UNION ALL SELECT t.typname, enum_range(NULL::contacts_tier.exceed_policy)::text FROM pg_type t WHERE t.oid = 'contacts_tier.exceed_policy'::regtype;
-- Settings
SELECT contacts_tier.clock() IS NOT NULL AS loads_the_library;
SELECT name, setting, context, vartype FROM pg_settings WHERE name IN ('contacts_tier.source_type', 'contacts_tier.source_name', 'contacts_tier.now') ORDER BY name;

-- create_plan: limits alone; prices and a currency; a plan without access, with and without tiers
SELECT contacts_tier.create_plan('catalogue bare', '{1000}');
SELECT contacts_tier.create_plan('catalogue full', ARRAY[1000, 2000, 9223372036854775807], ARRAY[0, 45.50, 1e6], 'EUR');
SELECT contacts_tier.create_plan('catalogue legacy', NULL, marketing_contacts => false);
SELECT contacts_tier.create_plan('catalogue legacy too', '{10, 20}', '{1, 2}', 'EUR', false);
-- which price belongs to which limit does not depend on how the arrays are numbered
SELECT contacts_tier.create_plan('catalogue numbered', '[0:1]={10, 20}', '[5:6]={1, 2}');
SELECT * FROM contacts_tier.plan WHERE name LIKE 'catalogue%' ORDER BY name;
SELECT * FROM contacts_tier.tier WHERE plan LIKE 'catalogue%' ORDER BY plan, contact_limit;

-- The tables themselves hold on to what makes sense
BEGIN;
SELECT contacts_tier.create_plan('catalogue gone', '{1, 2}');
SAVEPOINT s;
UPDATE contacts_tier.plan SET name = 'catalogue renamed' WHERE name = 'catalogue gone';
ROLLBACK TO s;
UPDATE contacts_tier.plan SET currency = 'EUR' WHERE name = 'catalogue gone';
DELETE FROM contacts_tier.plan WHERE name = 'catalogue gone';
SELECT count(*) FROM contacts_tier.tier WHERE plan = 'catalogue gone';
TRUNCATE contacts_tier.plan;
SELECT count(*) FROM contacts_tier.tier;
ROLLBACK;
INSERT INTO contacts_tier.tier VALUES ('catalogue bare', 0, NULL);
INSERT INTO contacts_tier.tier VALUES ('catalogue bare', 10, -1);
INSERT INTO contacts_tier.tier VALUES ('catalogue bare', 1000, 1);
INSERT INTO contacts_tier.plan VALUES ('', 'USD', true);
-- tiers go with their plan
DELETE FROM contacts_tier.plan WHERE name = 'catalogue full';
SELECT count(*) FROM contacts_tier.tier WHERE plan = 'catalogue full';

-- Source types and tools of one's own, which a dump takes along
BEGIN;
INSERT INTO contacts_tier.source_type (name, default_status, changeable) VALUES ('Fax', 'marketing', true);
INSERT INTO contacts_tier.tool (name, needs_marketing_contact) VALUES ('fax', true);
SELECT name, seeded FROM contacts_tier.source_type WHERE name = 'Fax';
SELECT name, seeded FROM contacts_tier.tool WHERE name = 'fax';
CREATE SCHEMA catalogue;
CREATE TABLE catalogue.contacts (id integer, account text);
SELECT contacts_tier.attach('catalogue.contacts', 'account');
SELECT contacts_tier.subscribe('catalogue.contacts', 'a', 'catalogue bare');
INSERT INTO catalogue.contacts (id, account, marketing_contact_status_source_type) VALUES (1, 'a', 'Fax');
SELECT contacts_tier.set_policy('catalogue.contacts', 'a', source_defaults => '{"Fax": "non_marketing"}');
INSERT INTO catalogue.contacts (id, account, marketing_contact_status_source_type) VALUES (2, 'a', 'Fax');
SELECT id, marketing_contact_status FROM catalogue.contacts ORDER BY id;
ROLLBACK;
-- what of the catalogue is configuration, and what comes with the extension
SELECT extcondition.table_name, condition
  FROM pg_extension, unnest(extconfig::regclass[], extcondition) AS extcondition (table_name, condition)
 WHERE extname = 'contacts_tier' ORDER BY table_name::text;

DELETE FROM contacts_tier.plan WHERE name LIKE 'catalogue%';
