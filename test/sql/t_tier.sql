--
-- Tier rules T1, T2, T4 under "block", and T5: a tier never goes down (docs/rules.md)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
SET contacts_tier.now = '2026-01-01 00:00+00';

CREATE SCHEMA t_tier;
SET search_path = t_tier, public;
CREATE TABLE contacts (id integer PRIMARY KEY, account text, email text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.create_plan('t_tier', '{2, 4, 8, 16}', '{10, 20, 30.50, 40}', 'EUR');
SELECT contacts_tier.create_plan('t_tier single', '{2}');

CREATE VIEW usage AS
    SELECT account, plan, contact_limit, marketing_contacts, available, percent_used FROM contacts_tier.usage('t_tier.contacts');
CREATE VIEW tier_change AS
    SELECT account, recorded_at, contacts, details->'from' AS "from", details->'to' AS "to",
           details->>'plan' AS plan, details->>'reason' AS reason, details->'period_fraction' AS period_fraction
      FROM contacts_tier_ledger WHERE event = 'tier_change' ORDER BY account, recorded_at, (details->'to')::bigint;
-- empty while counters and contacts agree
CREATE VIEW drift AS
    SELECT * FROM contacts_tier.verify('t_tier.contacts')
     WHERE drift <> 0 OR pending_counted <> pending_actual;
-- an error with the fields that a program looks at
CREATE FUNCTION error_of(statement text) RETURNS TABLE (code text, message text, detail text, hint text, table_name text)
LANGUAGE plpgsql AS $$
DECLARE
    schema_name text;
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT, schema_name = SCHEMA_NAME, table_name = TABLE_NAME;
    table_name := schema_name || '.' || table_name;
    RETURN NEXT;
END $$;


-- T1 "upgrade": move to the smallest tier of the plan that fits, and record a
-- tier change with the fraction of the running period that is left
SELECT contacts_tier.subscribe('contacts', 'step', 't_tier', 2);
SELECT contacts_tier.subscribe('contacts', 'jump', 't_tier', 2);
SELECT contacts_tier.subscribe('contacts', 'top', 't_tier', 8);
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'step', 'marketing'), (2, 'step', 'marketing');
-- at the tier is fine
TABLE usage;
TABLE tier_change;
-- one more is not: 15.5 of January's 31 days are left
SET contacts_tier.now = '2026-01-16 12:00+00';
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'step', 'marketing');
SELECT * FROM usage WHERE account = 'step';
TABLE tier_change;
-- several tiers are jumped at once, with one tier change
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'jump', 'marketing' FROM generate_series(101, 109) AS n;
SELECT * FROM usage WHERE account = 'jump';
SELECT * FROM tier_change WHERE account = 'jump';
-- also when there is room that does not do, and to a tier that is just enough
SET contacts_tier.now = '2026-01-31 00:00+00';
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'step', 'marketing' FROM generate_series(4, 8) AS n;
SELECT * FROM usage WHERE account = 'step';
SELECT * FROM tier_change WHERE account = 'step';
-- one statement, several accounts, each by itself; any kind of statement counts
UPDATE contacts SET account = CASE WHEN id < 105 THEN 'step' ELSE 'top' END WHERE account = 'jump';
TABLE usage;
SELECT * FROM tier_change WHERE account <> 'jump';
-- several statements in one transaction: a tier change each, and none when it is rolled back
SELECT contacts_tier.subscribe('contacts', 'slow', 't_tier');
BEGIN;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'slow', 'marketing' FROM generate_series(201, 203) AS n;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'slow', 'marketing' FROM generate_series(204, 206) AS n;
SAVEPOINT s;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'slow', 'marketing' FROM generate_series(207, 214) AS n;
SELECT contact_limit FROM usage WHERE account = 'slow';
ROLLBACK TO s;
COMMIT;
SELECT * FROM usage WHERE account = 'slow';
SELECT * FROM tier_change WHERE account = 'slow';
-- No larger tier: refused with MC001, tier and contacts stay
SELECT * FROM error_of($$UPDATE t_tier.contacts SET account = 'step', marketing_contact_status = 'marketing'$$);
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'slow', 'marketing' FROM generate_series(301, 311) AS n;
\echo :SQLSTATE
TABLE usage;
-- up to the last contact of the largest tier
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'slow', 'marketing' FROM generate_series(301, 310) AS n;
SELECT * FROM usage WHERE account = 'slow';
-- the fraction of an annual subscription is that of the period up to the update date
SELECT contacts_tier.subscribe('contacts', 'year', 't_tier', 2, 'annual', '2026-01-16 00:00+00');
SET contacts_tier.now = '2026-01-28 00:00+00';
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'year', 'marketing' FROM generate_series(401, 403) AS n;
SELECT * FROM tier_change WHERE account = 'year';
-- whoever did it is in the ledger
CREATE ROLE regress_t_tier_writer;
GRANT USAGE ON SCHEMA t_tier TO regress_t_tier_writer;
GRANT INSERT ON contacts TO regress_t_tier_writer;
SET ROLE regress_t_tier_writer;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'year', 'marketing' FROM generate_series(404, 406) AS n;
RESET ROLE;
SELECT account, event, role, contacts FROM contacts_tier_ledger WHERE event = 'tier_change' AND role = 'regress_t_tier_writer';
TABLE drift;


-- T2 "block": the statement fails as a whole, MC001, nothing is written
TRUNCATE contacts;
SELECT contacts_tier.subscribe('contacts', 'block', 't_tier', 4, on_exceed => 'block');
INSERT INTO contacts (id, account, marketing_contact_status, email) VALUES
    (1, 'block', 'marketing', 'one'), (2, 'block', 'marketing', 'two'), (3, 'block', 'non_marketing', 'three'),
    (4, 'block', 'non_marketing', 'four'), (5, 'block', 'non_marketing', 'five'), (6, 'top', 'non_marketing', 'six');
-- the error tells numbers, a way out, and the table
\x on
SELECT * FROM error_of($$UPDATE t_tier.contacts SET marketing_contact_status = 'marketing', email = 'written'$$);
SELECT * FROM error_of($$INSERT INTO t_tier.contacts (id, account, marketing_contact_status)
                         SELECT n, 'block', 'marketing' FROM generate_series(10, 30) AS n$$);
\x off
-- the other account of the statement, and its other columns, are as before
SELECT id, account, marketing_contact_status AS status, email FROM contacts ORDER BY id;
SELECT * FROM usage WHERE account IN ('block', 'top');
-- so is what other tables got from the same statement
CREATE TABLE log (what text);
CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO t_tier.log VALUES (NEW.email);
    RETURN NULL;
END $$;
CREATE TRIGGER log AFTER INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION log();
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE account = 'block';
WITH log AS (INSERT INTO log VALUES ('by hand'))
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE account = 'block';
COPY contacts (id, account, marketing_contact_status) FROM stdin;
11	block	marketing
12	block	marketing
13	block	marketing
\.
SELECT count(*) AS logged FROM log;
DROP TRIGGER log ON contacts;
-- in a transaction, what came before stays, up to the savepoint; without one,
-- everything is taken back
BEGIN;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 3;
SAVEPOINT s;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id IN (4, 5);
ROLLBACK TO s;
UPDATE contacts SET email = 'still here' WHERE id = 5;
COMMIT;
BEGIN;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 4;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 5;
COMMIT;
SELECT id, account, marketing_contact_status AS status, email FROM contacts ORDER BY id;
-- a function can catch it, and go on
DO $$
BEGIN
    UPDATE t_tier.contacts SET marketing_contact_status = 'marketing' WHERE id IN (4, 5);
EXCEPTION WHEN SQLSTATE 'MC001' THEN
    UPDATE t_tier.contacts SET marketing_contact_status = 'marketing' WHERE id = 4;
END $$;
SELECT id, account, marketing_contact_status AS status, email FROM contacts WHERE account = 'block' ORDER BY id;
-- the hint does not promise a larger tier where there is none
SELECT contacts_tier.subscribe('contacts', 'single', 't_tier single', on_exceed => 'block');
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'single', 'marketing' FROM generate_series(21, 23) AS n;
-- once the policy says so, the account moves up instead
SELECT contacts_tier.set_policy('contacts', 'block', on_exceed => 'upgrade');
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 5;
SELECT * FROM usage WHERE account = 'block';
-- and the other way round
SELECT contacts_tier.set_policy('contacts', 'block', on_exceed => 'block');
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'block', 'marketing' FROM generate_series(31, 34) AS n;
SELECT * FROM usage WHERE account = 'block';
TABLE tier_change;
TABLE drift;


-- T4 "grace": up to that many contacts above the limit are let through
TRUNCATE contacts;
SELECT contacts_tier.subscribe('contacts', 'grace', 't_tier', 2, on_exceed => 'block', grace => 2);
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'grace', 'marketing'), (2, 'grace', 'marketing');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'grace', 'marketing');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (4, 'grace', 'marketing');
SELECT * FROM usage WHERE account = 'grace';
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (5, 'grace', 'marketing');
\echo :SQLSTATE
-- in one go, also; and not one too many
DELETE FROM contacts;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'grace', 'marketing' FROM generate_series(1, 5) AS n;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'grace', 'marketing' FROM generate_series(1, 4) AS n;
SELECT * FROM usage WHERE account = 'grace';
-- the tier itself does not change
SELECT count(*) FROM tier_change WHERE account = 'grace';
-- less grace than is used keeps what is there, and lets nothing more in until it fits again
SELECT contacts_tier.set_policy('contacts', 'grace', grace => 0);
SELECT * FROM usage WHERE account = 'grace';
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (5, 'grace', 'marketing');
UPDATE contacts SET email = 'other columns can be written', marketing_contact_status = 'marketing';
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 4;
DELETE FROM contacts WHERE id = 1;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (5, 'grace', 'marketing');
DELETE FROM contacts WHERE id IN (2, 3);
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (5, 'grace', 'marketing');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (6, 'grace', 'marketing');
DELETE FROM contacts WHERE id = 4;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (6, 'grace', 'marketing');
SELECT * FROM usage WHERE account = 'grace';
-- the largest grace there is stands for "as many as you like"
SELECT contacts_tier.set_policy('contacts', 'grace', grace => 9223372036854775807);
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'grace', 'marketing' FROM generate_series(10, 40) AS n;
SELECT * FROM usage WHERE account = 'grace';
TABLE drift;


-- T5 A tier never goes down by itself
SELECT * FROM usage WHERE account = 'block';
TRUNCATE contacts;
SELECT * FROM usage WHERE account = 'block';
SET contacts_tier.now = '2026-03-15 00:00+00';
CALL contacts_tier.rollover('contacts');
SELECT * FROM usage WHERE account = 'block';
TABLE drift;

-- a plan can be deleted under its subscriptions: errors say so
SELECT contacts_tier.subscribe('contacts', 'deleted', 't_tier');
UPDATE contacts_tier_account SET plan = 't_tier deleted' WHERE account = 'deleted';
SELECT code, message, detail, hint FROM error_of($$INSERT INTO contacts (id, account, marketing_contact_status) VALUES (100, 'deleted', 'marketing')$$);
SELECT code, message, hint FROM error_of($$SELECT contacts_tier.change_tier('contacts', 'deleted', 8)$$);
-- the field by which programs tell a violated constraint
DO $$
DECLARE
    name text;
BEGIN
    INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'block', 'marketing' FROM generate_series(100, 200) AS n;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS name = CONSTRAINT_NAME;
    RAISE WARNING 'constraint %', name;
END $$;
-- subscribe() has it, too, and the table
DO $$
DECLARE
    name text;
    relation text;
BEGIN
    PERFORM contacts_tier.subscribe('contacts', 'small', 't_tier', 4);
    INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'small', 'marketing' FROM generate_series(301, 304) AS n;
    DELETE FROM contacts_tier_account WHERE account = 'small';
    PERFORM contacts_tier.subscribe('contacts', 'small', 't_tier', 2);
EXCEPTION WHEN SQLSTATE 'MC001' THEN
    GET STACKED DIAGNOSTICS name = CONSTRAINT_NAME, relation = TABLE_NAME;
    RAISE WARNING 'constraint %, table %', name, relation;
END $$;
-- T3: what is not refused is a WARNING with a code of its own
SELECT contacts_tier.subscribe('contacts', 'warned', 't_tier', 2, on_exceed => 'cap');
\set VERBOSITY sqlstate
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'warned', 'marketing' FROM generate_series(401, 403) AS n;
\set VERBOSITY default
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (404, 'warned', 'marketing');

DROP SCHEMA t_tier CASCADE;
DROP ROLE regress_t_tier_writer;
DELETE FROM contacts_tier.plan WHERE name LIKE 't\_tier%';
