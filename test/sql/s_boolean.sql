--
-- A status of type boolean, a column that the application has (rules S1 to S6, C1, T2, T3,
-- D2, G1), with and without row triggers
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA s_boolean;
SET search_path = s_boolean, public;
SELECT contacts_tier.create_plan('s_boolean', '{4}');
CREATE TABLE contacts (id integer PRIMARY KEY, account text, is_marketing boolean);
INSERT INTO contacts VALUES (1, 'a', true), (2, 'a', false), (3, 'a', NULL), (4, NULL, true);
SELECT contacts_tier.attach('contacts', 'account', '{"status": "is_marketing", "until_next_update": "until", "source_type": "source", "source_name": "name", "updated_at": "since"}');
-- what was there is normalised and counted (C1)
SELECT id, account, is_marketing, until FROM contacts ORDER BY id;
SELECT pg_get_expr(adbin, adrelid) AS "default" FROM pg_attrdef WHERE adrelid = 'contacts'::regclass AND adnum = 3;
SELECT contacts_tier.subscribe('contacts', 'a', 's_boolean', on_exceed => 'block');
CREATE VIEW contact AS SELECT id, is_marketing AS m, until AS u, source FROM contacts WHERE account = 'a' ORDER BY id;
CREATE VIEW drift AS SELECT * FROM contacts_tier.verify('s_boolean.contacts') WHERE drift <> 0 OR pending_counted <> pending_actual;

-- everything, with or without row triggers
CREATE PROCEDURE write() LANGUAGE plpgsql AS $$
BEGIN
    -- S2 a demotion waits, S1 a promotion clears the flag, S3 the flag is legal only on a marketing contact
    UPDATE contacts SET is_marketing = false WHERE id = 1;
    UPDATE contacts SET is_marketing = true WHERE id IN (1, 2);
    UPDATE contacts SET until = true WHERE id IN (2, 3);
    UPDATE contacts SET is_marketing = NULL WHERE id = 1;
    -- S4 the default of the source type
    PERFORM set_config('contacts_tier.source_type', 'FORM', true);
    INSERT INTO contacts (id, account) VALUES (5, 'a');
    PERFORM set_config('contacts_tier.source_type', '', true);
    INSERT INTO contacts (id, account, is_marketing) VALUES (6, 'a', NULL), (7, 'a', false);
    -- S6 the ways; what nobody stated stays unstated (S4)
    INSERT INTO contacts (id, account) VALUES (5, 'a') ON CONFLICT (id) DO UPDATE SET is_marketing = EXCLUDED.is_marketing;
    INSERT INTO contacts (id, account, is_marketing) VALUES (7, 'a', true) ON CONFLICT (id) DO UPDATE SET is_marketing = EXCLUDED.is_marketing;
    MERGE INTO contacts c USING (VALUES (7, false), (8, false)) AS v (id, m) ON c.id = v.id
        WHEN MATCHED THEN UPDATE SET is_marketing = v.m WHEN NOT MATCHED THEN INSERT (id, account, is_marketing) VALUES (v.id, 'a', v.m);
    DELETE FROM contacts WHERE id = 8;
END $$;
BEGIN;
SET LOCAL contacts_tier.fast_path = on;
CALL write();
CREATE TEMPORARY TABLE fast ON COMMIT PRESERVE ROWS AS TABLE contact;
SELECT * FROM fast ORDER BY id;
SELECT marketing_contacts, pending_non_marketing FROM contacts_tier.usage('contacts', 'a');
SELECT * FROM drift;
ROLLBACK;
SET contacts_tier.fast_path = off;
CALL write();
SELECT * FROM contact;
SELECT marketing_contacts, pending_non_marketing FROM contacts_tier.usage('contacts', 'a');
SELECT * FROM drift;
RESET contacts_tier.fast_path;
-- another write changes nothing (S5); a source of its own stays
UPDATE contacts SET account = 'a' WHERE id = 1;
UPDATE contacts SET is_marketing = false, source = 'API', name = 'job' WHERE id = 5;
SELECT id, is_marketing, until, source, name FROM contacts WHERE id = 5;

-- T2: block
INSERT INTO contacts (id, account, is_marketing) VALUES (10, 'a', true);
-- a default never is a reason to refuse (S4)
SELECT set_config('contacts_tier.source_type', 'FORM', false);
INSERT INTO contacts (id, account) VALUES (11, 'a') RETURNING is_marketing;
SELECT set_config('contacts_tier.source_type', '', false);
-- T3: cap
SELECT contacts_tier.set_policy('contacts', 'a', 'cap');
INSERT INTO contacts (id, account, is_marketing) VALUES (12, 'a', true), (13, 'a', true);
COPY contacts (id, account, is_marketing) FROM stdin;
14	a	t
15	a	f
16	a	\N
\.
SELECT * FROM contact;
SELECT * FROM drift;

-- D2: the update date, and reports
CALL contacts_tier.rollover('contacts');
SET contacts_tier.now = '2026-02-10 10:00+00';
CALL contacts_tier.rollover('contacts');
SELECT * FROM contact;
SELECT * FROM drift;
SELECT source_type, marketing_contacts FROM contacts_tier.sources('contacts', 'a');

-- G1: the gate; an index on the status serves
SELECT id FROM contacts WHERE contacts_tier.can_use('marketing_email', is_marketing) ORDER BY id;
SELECT count(*) FROM contacts WHERE NOT contacts_tier.can_use('marketing_email', is_marketing);
CREATE INDEX ON contacts (is_marketing);
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS off) SELECT id FROM contacts WHERE contacts_tier.can_use('marketing_email', is_marketing);
RESET enable_seqscan;
RESET enable_bitmapscan;
SELECT * FROM contacts_tier.audience('contacts', 'a', 'marketing_email');
CREATE TABLE sends (tool text, contact integer);
SELECT contacts_tier.guard('sends', 'tool', 'contact', 'contacts');
INSERT INTO sends SELECT 'marketing_email', max(id) FROM contacts WHERE is_marketing;
\set VERBOSITY terse
INSERT INTO sends VALUES ('marketing_email', 2);
\set VERBOSITY default

-- repair: what was written behind the triggers
SET session_replication_role = replica;
UPDATE contacts SET is_marketing = NULL WHERE id = 2;
UPDATE contacts SET is_marketing = true WHERE id IN (3, 7);
RESET session_replication_role;
SELECT counted, actual FROM drift;
SELECT counted, actual, drift FROM contacts_tier.repair('contacts');
SELECT * FROM drift;
SELECT count(*) FROM contacts WHERE is_marketing IS NULL;
TRUNCATE contacts CASCADE;
SELECT marketing_contacts FROM contacts_tier.usage('contacts', 'a');

-- partitions, and an end of the subscription that demotes all
SELECT contacts_tier.unguard('sends');
CREATE TABLE leads (id integer, region text, account text, is_marketing boolean NOT NULL DEFAULT false, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE leads_eu PARTITION OF leads FOR VALUES IN ('eu');
SELECT contacts_tier.attach('leads', 'account', '{"status": "is_marketing"}');
CREATE TABLE leads_us PARTITION OF leads FOR VALUES IN ('us');
INSERT INTO leads (id, region, account, is_marketing) VALUES (1, 'eu', 'a', true), (2, 'us', 'a', true), (3, 'us', 'a', false);
INSERT INTO leads_us (id, region, account) VALUES (4, 'us', 'a');
UPDATE leads SET region = 'eu' WHERE id = 2;
SELECT id, region, is_marketing FROM leads ORDER BY id;
SELECT * FROM contacts_tier.verify('leads');
DROP TABLE leads_eu;
SELECT * FROM contacts_tier.verify('leads');
SELECT contacts_tier.cancel('contacts', 'a');
SET contacts_tier.now = '2026-03-10 10:00+00';
CALL contacts_tier.rollover('contacts');
SELECT count(*) FILTER (WHERE is_marketing), count(*) FROM leads;

-- detach() leaves the column, without the default
SELECT contacts_tier.detach('contacts');
SELECT count(*) FROM pg_attrdef WHERE adrelid = 'contacts'::regclass;
SET client_min_messages = error;
DROP SCHEMA s_boolean CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 's_boolean';
