--
-- metrics() and account_metrics(), and what verify() records for them
-- (rules O2, R3 and R5)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
\set VERBOSITY terse

CREATE SCHEMA metrics;
SET search_path = metrics, public;
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.create_plan('metrics', '{100, 200}');
SELECT contacts_tier.subscribe('contacts', a, 'metrics', 100, on_exceed => 'cap', grace => 5)
  FROM unnest('{none, notice, banner, exceeded, capped, cancelled}'::text[]) a;
SELECT contacts_tier.subscribe('contacts', 'annual', 'metrics', 100, 'annual');
INSERT INTO contacts (id, account, marketing_contact_status)
SELECT 1000 * o + i, a, 'marketing' FROM (VALUES ('notice', 75), ('banner', 98), ('exceeded', 103)) v (a, n), generate_series(1, n) i,
       LATERAL (SELECT ascii(a) + n) w (o);
INSERT INTO contacts (id, account, marketing_contact_status) SELECT i, 'capped', 'marketing' FROM generate_series(1, 106) i;
CREATE ROLE regress_metrics;
GRANT pg_monitor TO regress_metrics;
CREATE ROLE regress_metrics_stranger;

-- for members of pg_monitor, who need no other privilege
SET ROLE regress_metrics_stranger;
SELECT count(*) FROM contacts_tier.metrics();
SELECT count(*) FROM contacts_tier.account_metrics();
SELECT count(*) FROM contacts_tier_internal.account_metrics(1);
SET ROLE regress_metrics;
SELECT schema, readable, accounts, accounts_notice, accounts_banner, accounts_exceeded, upgrade_requests, slots, ledger_bytes > 8192 AS ledger, clock_fixed
  FROM contacts_tier.metrics();
SELECT account, marketing_contacts, pending_non_marketing, contact_limit, ratio, next_update_at FROM contacts_tier.account_metrics();
SELECT account, ratio FROM contacts_tier.account_metrics(2);
SELECT count(*) FROM contacts_tier.account_metrics(0);
SELECT count(*) FROM contacts_tier.account_metrics(-1);
SELECT count(*) FROM contacts_tier.account_metrics(NULL);
SELECT count(*) FROM contacts_tier.usage();
RESET ROLE;
RESET contacts_tier.now;
SELECT clock_fixed FROM contacts_tier.metrics();

-- dates that have passed, and the run that applies them
SET contacts_tier.now = '2026-02-10 01:00+00';
SELECT accounts_overdue, oldest_overdue_seconds, last_rollover_at, last_rollover_accounts FROM contacts_tier.metrics();
CALL contacts_tier.rollover('contacts', 'notice');
CALL contacts_tier.rollover();
SELECT accounts_overdue, oldest_overdue_seconds, last_rollover_at, coalesce(last_rollover_seconds, 0) BETWEEN 0 AND 60 AS took, last_rollover_accounts, rollover_unfinished_accounts
  FROM contacts_tier.metrics();
-- an account that a run began with and did not finish
SET contacts_tier.now = '2026-03-10 01:00+00';
CALL contacts_tier.rollover();
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE account = 'notice';
SET contacts_tier.now = '2026-04-10 01:00+00';
ALTER TABLE contacts ADD CONSTRAINT stays CHECK (account <> 'notice' OR marketing_contact_status = 'marketing') NOT VALID;
CALL contacts_tier.rollover();
SELECT accounts_overdue, rollover_unfinished_accounts FROM contacts_tier.metrics();
ALTER TABLE contacts DROP CONSTRAINT stays;
CALL contacts_tier.rollover();
SELECT accounts_overdue, rollover_unfinished_accounts FROM contacts_tier.metrics();

-- drift, as verify() recorded it
SELECT drift FROM contacts_tier.metrics();
SET session_replication_role = replica;
DELETE FROM contacts WHERE account = 'banner' AND id % 2 = 0;
RESET session_replication_role;
SELECT account, drift FROM contacts_tier.verify('contacts', false) WHERE drift <> 0;
SELECT drift FROM contacts_tier.metrics();
SELECT account, drift FROM contacts_tier.verify(record => true) WHERE drift <> 0;
SELECT account, event, contacts, details FROM contacts_tier_ledger WHERE event = 'verify';
SELECT drift FROM contacts_tier.metrics();
-- repaired; or gone, as the next look finds
BEGIN;
SELECT account, drift FROM contacts_tier.repair();
SELECT drift FROM contacts_tier.metrics();
ROLLBACK;
UPDATE contacts_tier_counter SET used = (SELECT count(*) FROM contacts WHERE account = 'banner') WHERE account = 'banner' AND slot = 0;
SELECT count(*) FROM contacts_tier.verify('contacts', true) WHERE drift <> 0;
SELECT count(*) FROM contacts_tier.verify('contacts', true) WHERE drift <> 0;
SELECT account, details FROM contacts_tier_ledger WHERE event = 'verify' ORDER BY entry;
SELECT drift FROM contacts_tier.metrics();
SELECT count(*) FROM contacts_tier.verify('contacts', NULL);
-- the owner alone records
GRANT USAGE ON SCHEMA metrics TO regress_metrics;
GRANT SELECT ON ALL TABLES IN SCHEMA metrics TO regress_metrics;
SET ROLE regress_metrics;
SET client_min_messages = notice;
SELECT count(*) FROM contacts_tier.verify('contacts');
SELECT count(*) FROM contacts_tier.verify('contacts', true);
SELECT count(*) FROM contacts_tier.verify(record => true);
SET client_min_messages = warning;
RESET ROLE;

-- a neighbour: nothing of his is evaluated, with anybody's rights, where a report would do it as him
CREATE SCHEMA metrics_bad AUTHORIZATION regress_metrics_stranger;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA contacts_tier, contacts_tier_internal TO regress_metrics_stranger;
SET ROLE regress_metrics_stranger;
SET search_path = metrics_bad;
CREATE TYPE crafted AS ENUM ('x', 'y');
CREATE FUNCTION spell(crafted) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE WARNING 'cast as %', current_user; RETURN 'same'; END$$;
CREATE CAST (crafted AS text) WITH FUNCTION spell(crafted);
CREATE FUNCTION wait() RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$BEGIN RAISE WARNING 'planned as %', current_user; PERFORM pg_sleep(0.01); RETURN true; END$$;
CREATE TABLE contacts (id integer, account crafted);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', a, 'metrics', 100) FROM unnest('{x, y}'::text[]) a;
INSERT INTO contacts SELECT n, 'x', 'marketing' FROM generate_series(1, 90) n;
CREATE INDEX ON contacts_tier_counter ((used > 0 AND wait()));
CREATE INDEX ON contacts_tier_ledger (account) WHERE wait();
CREATE STATISTICS waits ON (used > 0 AND wait()) FROM contacts_tier_counter;
ALTER TABLE contacts_tier_account ADD CHECK (wait());
CREATE TABLE part (CHECK (wait())) INHERITS (contacts_tier_counter);
\c -
\i :settings
\set VERBOSITY terse
SELECT count(*) FROM contacts_tier.usage('metrics_bad.contacts');
SET ROLE regress_metrics;
SELECT schema, readable, accounts, accounts_notice FROM contacts_tier.metrics();
SELECT schema, account, ratio FROM contacts_tier.account_metrics() WHERE schema = 'metrics_bad';
-- nor waits anybody for who has looked, or knows where he has
BEGIN;
SELECT count(*) FROM contacts_tier.metrics();
SELECT count(*) FROM contacts_tier.account_metrics();
SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE pid = pg_backend_pid() AND relnamespace IN ('metrics'::regnamespace, 'metrics_bad'::regnamespace);
COMMIT;
-- what cannot be read so is not readable, and hides nobody else
SET ROLE regress_metrics_stranger;
SET search_path = metrics_bad;
DROP TABLE part;
DROP STATISTICS waits;
SET client_min_messages = error;
BEGIN;
ALTER TABLE contacts_tier_counter RENAME TO gone;
CREATE VIEW contacts_tier_counter AS SELECT * FROM gone WHERE wait();
SET ROLE regress_metrics;
SET client_min_messages = warning;
SELECT schema, readable FROM contacts_tier.metrics();
ROLLBACK;
SET client_min_messages = warning;
SET ROLE regress_metrics_stranger;
BEGIN;
DROP INDEX contacts_tier_ledger_drift_idx;
CREATE INDEX ON contacts_tier_ledger (entry) WHERE event IN ('verify', 'activity');
SET ROLE regress_metrics;
SELECT schema, readable FROM contacts_tier.metrics();
ROLLBACK;
SET client_min_messages = error;
INSERT INTO contacts_tier_counter (account, slot, used) SELECT 'x', n, 9223372036854775807 FROM generate_series(5, 6) n;
SET client_min_messages = warning;
SET ROLE regress_metrics;
SELECT schema, readable, accounts, drift FROM contacts_tier.metrics();
SELECT count(*) FROM contacts_tier.account_metrics() WHERE schema = 'metrics_bad';
RESET ROLE;
CREATE FOREIGN DATA WRAPPER slow;
CREATE SERVER slow FOREIGN DATA WRAPPER slow;
CREATE FOREIGN TABLE metrics.far () INHERITS (metrics.contacts_tier_ledger) SERVER slow;
SELECT schema, readable FROM contacts_tier.metrics();
DROP FOREIGN DATA WRAPPER slow CASCADE;
SET ROLE regress_metrics_stranger;
-- and one who claims the schema of another
SET ROLE regress_metrics_stranger;
ALTER TABLE contacts_tier_account RENAME TO gone;
CREATE TABLE claims (LIKE contacts);
CREATE TRIGGER s BEFORE INSERT ON claims FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('metrics', 'account');
SET ROLE regress_metrics;
SELECT schema, readable, accounts FROM contacts_tier.metrics();
RESET ROLE;
RESET search_path;


-- companion tables in partitions; accounts that are equal and look different
CREATE SCHEMA metrics_parts;
SET search_path = metrics_parts;
CREATE TABLE contacts (id integer, account numeric);
SELECT contacts_tier.attach('contacts', 'account');
ALTER TABLE contacts_tier_ledger RENAME TO old;
CREATE TABLE contacts_tier_ledger (LIKE old INCLUDING DEFAULTS, PRIMARY KEY (account, entry)) PARTITION BY HASH (account);
CREATE INDEX ON contacts_tier_ledger (account, recorded_at) WHERE event <> 'activity';
CREATE INDEX ON contacts_tier_ledger (entry) WHERE event IN ('verify', 'repair');
CREATE INDEX ON contacts_tier_ledger (entry) WHERE event = 'rollover_run';
CREATE TABLE ledger0 PARTITION OF contacts_tier_ledger FOR VALUES WITH (MODULUS 2, REMAINDER 0);
-- with columns in another order
CREATE TABLE ledger1 (details jsonb NOT NULL DEFAULT '{}', contacts bigint NOT NULL, role text NOT NULL, event text NOT NULL, recorded_at timestamptz NOT NULL,
                      entry uuid NOT NULL DEFAULT contacts_tier_internal.ledger_entry(), account numeric NOT NULL);
ALTER TABLE contacts_tier_ledger ATTACH PARTITION ledger1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SET contacts_tier.now = '2026-01-10 10:00+00';
SELECT contacts_tier.subscribe('contacts', a, 'metrics', 100) FROM unnest('{1.0, 2.0, 3.0}'::text[]) a;
INSERT INTO contacts SELECT n, a, 'marketing' FROM (VALUES (1.00, 90), (2.000, 75), (3, 10)) v (a, m), generate_series(1, m) n;
SET contacts_tier.now = '2026-02-10 10:00+00';
SET client_min_messages = error;
CALL contacts_tier.rollover('contacts');
SET client_min_messages = warning;
SET session_replication_role = replica;
DELETE FROM contacts WHERE id > 70;
RESET session_replication_role;
SELECT account, drift FROM contacts_tier.verify('contacts', true) ORDER BY account;
SELECT schema, readable, accounts, accounts_notice, slots, drift, last_rollover_at, last_rollover_accounts, last_rollover_failed, ledger_bytes > 8192 AS ledger
  FROM contacts_tier.metrics() WHERE schema = 'metrics_parts';
SELECT account, marketing_contacts, ratio FROM contacts_tier.account_metrics() WHERE schema = 'metrics_parts';
-- the newest entry about a run tells, in whichever partition
INSERT INTO contacts_tier_ledger (account, recorded_at, event, role, contacts, details)
SELECT 1, '2026-02-11 10:00+00', 'rollover_run', 'me', 0, format('{"started_at": "2026-11-27T07:00:00+00:00", "ended_at": "2026-11-27T07:00:01.5+00:00", "accounts": %s, "failed": 2}', n)::jsonb
  FROM generate_series(3, 4) n;
SELECT last_rollover_at, last_rollover_seconds, last_rollover_accounts, last_rollover_failed FROM contacts_tier.metrics() WHERE schema = 'metrics_parts';
RESET search_path;

SET client_min_messages = error;
DROP SCHEMA metrics, metrics_bad, metrics_parts CASCADE;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA contacts_tier, contacts_tier_internal FROM regress_metrics_stranger;
DROP ROLE regress_metrics, regress_metrics_stranger;
DELETE FROM contacts_tier.plan WHERE name = 'metrics';
