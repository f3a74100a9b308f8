--
-- Entries of activity are told exactly once, whatever the owner does with the companion
-- tables while they are open, or added to (rules L1 and R7)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
SET client_min_messages = error;

CREATE SCHEMA l1o;
SET search_path = l1o, public;
SELECT contacts_tier.create_plan('l1o', '{1000, 2000}', '{1, 2}');
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'l1o', 1000, started_at => '2026-01-05');
SELECT contacts_tier.subscribe('contacts', 'z', 'l1o', 1000, started_at => '2026-01-05');
SET contacts_tier.now = '2026-01-10 10:00:10+00';
CREATE VIEW activity AS
    SELECT account, statements, created, promoted, source_type
      FROM contacts_tier.activity('contacts') ORDER BY 1, 3, 2, 4, 5;

-- CLUSTER puts an entry where a version of it was that was rolled back
INSERT INTO contacts VALUES (1, 'z', 'non_marketing');
BEGIN;
SAVEPOINT before;
INSERT INTO contacts VALUES (2, 'z', 'non_marketing');
ROLLBACK TO before;
COMMIT;
INSERT INTO contacts VALUES (2, 'a', 'non_marketing');
CLUSTER contacts_tier_ledger USING contacts_tier_ledger_pkey;
INSERT INTO contacts VALUES (3, 'z', 'non_marketing');
SELECT sum(created) AS created, sum(statements) AS statements FROM activity WHERE account = 'z';
-- the owner updates an entry
UPDATE contacts_tier_ledger SET details = details || '{"note": 1}' WHERE event = 'activity';
INSERT INTO contacts VALUES (4, 'z', 'non_marketing');
SELECT sum(created) AS created, sum(statements) AS statements FROM activity WHERE account = 'z';
SELECT count(*) AS noted FROM contacts_tier_ledger WHERE details ? 'note';
DELETE FROM contacts_tier_ledger WHERE event = 'activity';

-- a statement of many contacts is not added to
INSERT INTO contacts SELECT i, 'a', 'non_marketing' FROM generate_series(101, 250) i;
INSERT INTO contacts VALUES (5, 'a', 'non_marketing');
INSERT INTO contacts VALUES (6, 'a', 'non_marketing');
TABLE activity;

-- where the ledger is published, entries are only inserted: inserts may be all that is published
CREATE PUBLICATION l1o FOR TABLE contacts_tier_ledger WITH (publish = 'insert');
SET contacts_tier.now = '2026-01-10 10:01:10+00';
INSERT INTO contacts VALUES (7, 'a', 'non_marketing');
INSERT INTO contacts VALUES (8, 'a', 'non_marketing');
SELECT count(*) FROM contacts_tier_ledger WHERE recorded_at >= '2026-01-10 10:01+00';
DROP PUBLICATION l1o;
INSERT INTO contacts VALUES (9, 'a', 'non_marketing');
SELECT count(*) FROM contacts_tier_ledger WHERE recorded_at >= '2026-01-10 10:01+00';
DELETE FROM contacts_tier_ledger WHERE event = 'activity';

-- a unique index refuses the statement of the entry, not a later one
CREATE UNIQUE INDEX once ON contacts_tier_ledger (account, recorded_at, role);
SET contacts_tier.now = '2026-01-10 10:02:10+00';
SET contacts_tier.source_type = 'API';
INSERT INTO contacts VALUES (11, 'a', 'marketing');
SET contacts_tier.source_type = 'FORM';
\set VERBOSITY terse
INSERT INTO contacts VALUES (12, 'a', 'marketing');
SET contacts_tier.now = '2026-01-10 10:02:11+00';
INSERT INTO contacts VALUES (12, 'a', 'marketing');
TABLE activity;
DROP INDEX once;
DELETE FROM contacts_tier_ledger WHERE event = 'activity';

-- rules on the tables
CREATE TABLE seen (what text);
CREATE RULE seen AS ON UPDATE TO contacts_tier_counter DO ALSO INSERT INTO seen VALUES ('counter');
SET contacts_tier.now = '2026-01-10 10:03:10+00';
INSERT INTO contacts VALUES (13, 'a', 'marketing');
CREATE RULE seen AS ON INSERT TO contacts_tier_ledger WHERE new.event = 'activity' DO ALSO INSERT INTO seen VALUES ('ledger');
SET contacts_tier.now = '2026-01-10 10:05+00';
CALL contacts_tier.rollover('contacts');
TABLE activity;
SELECT count(*) FROM contacts_tier_counter WHERE entry_started_at IS NOT NULL;
SELECT DISTINCT what FROM seen ORDER BY 1;
DROP RULE seen ON contacts_tier_ledger;
DROP RULE seen ON contacts_tier_counter;
DELETE FROM contacts_tier_ledger WHERE event = 'activity';

-- an entry whose slot a trigger leaves as it is stays there
INSERT INTO contacts VALUES (14, 'a', 'marketing');
CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER leave BEFORE UPDATE ON contacts_tier_counter FOR EACH ROW WHEN (new.entry_started_at IS NULL) EXECUTE FUNCTION leave();
SET contacts_tier.now = '2026-01-10 10:07+00';
CALL contacts_tier.rollover('contacts');
CALL contacts_tier.rollover('contacts');
TABLE activity;
DROP TRIGGER leave ON contacts_tier_counter;
SELECT contacts_tier.detach('contacts');
SELECT details->'created' AS created FROM contacts_tier_ledger WHERE event = 'activity';

-- an entry has the account as its slot spells it, open or finished, whatever statements say
CREATE SCHEMA l1o_numeric;
CREATE TABLE l1o_numeric.contacts (id integer PRIMARY KEY, account numeric);
SELECT contacts_tier.attach('l1o_numeric.contacts', 'account');
SELECT contacts_tier.subscribe('l1o_numeric.contacts', '1.0', 'l1o', 1000);
INSERT INTO l1o_numeric.contacts VALUES (1, 1.00, 'marketing');
SELECT account, promoted, source_type FROM contacts_tier.activity('l1o_numeric.contacts');
SET contacts_tier.source_type = 'API';
INSERT INTO l1o_numeric.contacts VALUES (2, 1, 'marketing');
SELECT account, promoted, source_type FROM contacts_tier.activity('l1o_numeric.contacts') ORDER BY source_type;

RESET search_path;
DROP SCHEMA l1o_numeric CASCADE;
DROP SCHEMA l1o CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'l1o';
