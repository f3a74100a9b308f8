--
-- Small statements of one role and source within a minute are one entry of the ledger,
-- which is open, in a slot, until it is finished (rule L1)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA l1;
SET search_path = l1, public;
CREATE ROLE regress_l1_writer;
SELECT contacts_tier.create_plan('l1', '{1000, 2000}', '{1, 2}');
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'l1', 1000, started_at => '2026-01-05');
GRANT USAGE ON SCHEMA l1 TO regress_l1_writer;
GRANT SELECT, INSERT, UPDATE ON contacts TO regress_l1_writer;
-- what is in the ledger, and what is open
CREATE VIEW entries AS
    SELECT to_char(recorded_at, 'HH24:MI:SS') AS at, event, replace(role, current_user, 'me') AS role, contacts,
           details - 'source_name' - 'ended_at' AS details, to_char((details->>'ended_at')::timestamptz, 'HH24:MI:SS') AS until
      FROM contacts_tier_ledger WHERE event NOT IN ('subscribe', 'policy') ORDER BY entry;
CREATE VIEW open AS
    SELECT to_char(entry_started_at, 'HH24:MI:SS') AS at, to_char(entry_ended_at, 'HH24:MI:SS') AS until,
           entry_statements AS statements, entry_created AS created, entry_deleted AS deleted, entry_promoted AS promoted,
           entry_demoted AS demoted, entry_flagged AS flagged, entry_unflagged AS unflagged, entry_dropped AS dropped,
           replace(entry_role, current_user, 'me') AS role, entry_source_type AS source_type
      FROM contacts_tier_counter WHERE entry_started_at IS NOT NULL;
CREATE VIEW activity AS
    SELECT to_char(recorded_at, 'HH24:MI:SS') AS at, to_char(last_recorded_at, 'HH24:MI:SS') AS until, statements, source_type,
           created, deleted, promoted, flagged, unflagged, demoted, dropped
      FROM contacts_tier.activity('contacts', 'a') ORDER BY recorded_at, last_recorded_at, created DESC, statements, source_type, source_name;

-- statements that count add to what is open
INSERT INTO contacts VALUES (1, 'a', 'marketing'), (2, 'a', 'non_marketing');
SET contacts_tier.now = '2026-01-10 10:00:40+00';
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 2;
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 2;
SET contacts_tier.now = '2026-01-10 10:00:59.9+00';
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 2;
DELETE FROM contacts WHERE id = 1;
TABLE open;
TABLE entries;
TABLE activity;
-- another minute, source or role finishes it
SET contacts_tier.now = '2026-01-10 10:01:00+00';
INSERT INTO contacts VALUES (3, 'a', 'marketing');
SET contacts_tier.source_type = 'API';
INSERT INTO contacts VALUES (4, 'a', 'marketing');
SET ROLE regress_l1_writer;
INSERT INTO contacts VALUES (5, 'a', 'marketing');
RESET ROLE;
SET contacts_tier.source_name = 'another';
INSERT INTO contacts VALUES (6, 'a', 'marketing');
RESET contacts_tier.source_name;
TABLE open;
TABLE entries;
-- rolled back, what was added and what was finished is as it was before
BEGIN;
SAVEPOINT before;
INSERT INTO contacts VALUES (7, 'a', 'marketing');
TABLE open;
ROLLBACK TO before;
SET LOCAL contacts_tier.source_name = 'another';
INSERT INTO contacts VALUES (7, 'a', 'marketing');
COMMIT;
TABLE open;
SELECT count(*) FROM contacts_tier_ledger WHERE event = 'activity';
-- many contacts have an entry of their own, and so have long names
INSERT INTO contacts SELECT i, 'a', 'marketing' FROM generate_series(101, 200) i;
SELECT set_config('contacts_tier.source_name', repeat('n', 200), false) <> '' AS set;
INSERT INTO contacts VALUES (8, 'a', 'marketing');
RESET contacts_tier.source_name;
SELECT contacts, details->'statements' AS statements FROM contacts_tier_ledger WHERE event = 'activity' ORDER BY entry DESC LIMIT 2;
TABLE open;
-- contacts that are not marketing contacts take no slot: this backend adds to its own entry
SET contacts_tier.now = '2026-01-10 10:02:00+00';
SELECT xmin AS before FROM contacts_tier_counter \gset
INSERT INTO contacts VALUES (11, 'a', 'non_marketing');
INSERT INTO contacts VALUES (12, 'a', 'non_marketing'), (13, 'a', 'non_marketing');
DELETE FROM contacts WHERE id = 11;
BEGIN;
INSERT INTO contacts VALUES (14, 'a', 'non_marketing');
SAVEPOINT before;
INSERT INTO contacts VALUES (15, 'a', 'non_marketing');
ROLLBACK TO before;
INSERT INTO contacts VALUES (15, 'a', 'non_marketing');
COMMIT;
TABLE activity;
SELECT xmin = :'before'::xid AS slot_unchanged FROM contacts_tier_counter;
-- several accounts, several sources, both ways at once
SELECT contacts_tier.subscribe('contacts', 'b', 'l1', 1000, started_at => '2026-01-05');
INSERT INTO contacts VALUES (21, 'a', 'marketing'), (22, 'b', 'non_marketing'), (23, 'b', 'marketing'), (24, 'nobody', 'non_marketing');
SELECT account, statements, created, promoted FROM contacts_tier.activity('contacts') WHERE created < 10 AND recorded_at >= '2026-01-10 10:02' ORDER BY 1, 3, 4;

-- the owner closes: before anything else that is recorded of the account
SELECT contacts_tier.change_tier('contacts', 'a', 2000);
TABLE open;
SELECT event FROM contacts_tier_ledger WHERE account = 'a' ORDER BY entry DESC LIMIT 2;
INSERT INTO contacts VALUES (31, 'a', 'marketing');
SELECT contacts_tier.set_policy('contacts', 'a', record_activity => false);
INSERT INTO contacts VALUES (32, 'a', 'marketing');
INSERT INTO contacts VALUES (33, 'a', 'non_marketing');
SELECT contacts_tier.set_policy('contacts', 'a', record_activity => true);
SELECT promoted FROM contacts_tier.activity('contacts', 'a') ORDER BY recorded_at DESC, promoted LIMIT 3;
-- also within one transaction, and what is rolled back of it
SELECT contacts_tier.set_policy('contacts', 'a', record_activity => false);
SELECT count(*) AS entries FROM activity \gset before_
BEGIN;
INSERT INTO contacts VALUES (35, 'a', 'marketing');
SAVEPOINT before;
SELECT contacts_tier.set_policy('contacts', 'a', record_activity => true);
INSERT INTO contacts VALUES (36, 'a', 'marketing');
SELECT count(*) - :before_entries AS entries FROM activity;
ROLLBACK TO before;
INSERT INTO contacts VALUES (36, 'a', 'marketing');
SELECT count(*) - :before_entries AS entries FROM activity;
SELECT contacts_tier.set_policy('contacts', 'a', record_activity => true);
INSERT INTO contacts VALUES (37, 'a', 'marketing');
COMMIT;
SELECT count(*) - :before_entries AS entries FROM activity;
-- what the owner himself writes into the account is found within a minute
SELECT contacts_tier.set_policy('contacts', 'a', record_activity => false);
SELECT count(*) AS entries FROM activity \gset before_
INSERT INTO contacts VALUES (38, 'a', 'marketing');
UPDATE contacts_tier_account SET record_activity = true WHERE account = 'a';
SET contacts_tier.now = '2026-01-10 10:59+00';
INSERT INTO contacts VALUES (39, 'a', 'marketing');
SELECT count(*) - :before_entries AS entries FROM activity;
-- and so does the end of a period, whose entries stand before its bill
INSERT INTO contacts VALUES (34, 'a', 'marketing');
SET contacts_tier.now = '2026-02-06 10:00+00';
CALL contacts_tier.rollover('contacts');
SELECT event FROM contacts_tier_ledger WHERE account = 'a' AND event <> 'rollover_run' ORDER BY entry DESC LIMIT 3;
SELECT sum(promoted) AS told FROM contacts_tier.activity('contacts', 'a');
SELECT sum(promoted) AS billed FROM contacts_tier.billing_periods('contacts', 'a');

-- an entry that the owner's constraint refuses is refused at once, not a later statement
\set VERBOSITY terse
ALTER TABLE contacts_tier_ledger ADD CHECK (details->>'source_type' <> 'WORKFLOW');
SET contacts_tier.source_type = 'WORKFLOW';
INSERT INTO contacts VALUES (41, 'a', 'marketing');
SET contacts_tier.source_type = 'API';
INSERT INTO contacts VALUES (41, 'a', 'marketing');
TABLE open;

-- what is open is closed before an entry of another kind
ALTER TABLE contacts_tier_ledger DROP CONSTRAINT contacts_tier_ledger_details_check;
INSERT INTO contacts VALUES (42, 'a', 'marketing');
INSERT INTO contacts VALUES (43, 'a', 'marketing');
SELECT contacts_tier.set_policy('contacts', 'a', grace => 1);
TABLE open;

-- a rollover closes what idles for a minute
SET contacts_tier.now = '2026-02-06 10:05+00';
INSERT INTO contacts VALUES (45, 'a', 'marketing');
CALL contacts_tier.rollover('contacts');
TABLE open;
SET contacts_tier.now = '2026-02-06 10:06:01+00';
CALL contacts_tier.rollover('contacts', 'a');
CALL contacts_tier.rollover('contacts');
TABLE open;
SELECT to_char(recorded_at, 'HH24:MI:SS') AS at, event FROM contacts_tier_ledger WHERE account = 'a' ORDER BY entry DESC LIMIT 1;

-- detach() closes what is open
INSERT INTO contacts VALUES (44, 'a', 'marketing');
SELECT contacts_tier.detach('contacts');
TABLE open;
SELECT contacts, details->'created' AS created FROM contacts_tier_ledger WHERE event = 'activity' ORDER BY entry DESC LIMIT 1;
-- a promotion that does not fit is told with its own source, not with that of the contact's
-- status, whichever way the row is written
CREATE TABLE full_account (id integer PRIMARY KEY, account text, marketing_contact_status contacts_tier.marketing_status);
SELECT contacts_tier.create_plan('l1_full', '{2}');
SELECT contacts_tier.attach('full_account', 'account');
SELECT contacts_tier.subscribe('full_account', account, 'l1_full', on_exceed => 'cap') FROM unnest('{e, f}'::text[]) AS account;
SET contacts_tier.source_type = 'CRM_SYNC';
INSERT INTO full_account SELECT n, CASE WHEN n < 10 THEN 'e' ELSE 'f' END, 'non_marketing' FROM generate_series(5, 14) AS n;
SET contacts_tier.source_type = 'IMPORT';
SET client_min_messages = error;
SET contacts_tier.fast_path = on;
UPDATE full_account SET marketing_contact_status = 'marketing' WHERE account = 'e';
UPDATE full_account SET marketing_contact_status = 'marketing' WHERE id = 9;
SET contacts_tier.fast_path = off;
UPDATE full_account SET marketing_contact_status = 'marketing' WHERE account = 'f';
UPDATE full_account SET marketing_contact_status = 'marketing' WHERE id = 14;
RESET contacts_tier.fast_path;
SELECT account, source_type, created, promoted, dropped, statements FROM contacts_tier.activity('full_account') WHERE account IN ('e', 'f')
    ORDER BY account, source_type, promoted DESC;
RESET search_path;
SET client_min_messages = error;
DROP SCHEMA l1 CASCADE;
DELETE FROM contacts_tier.plan WHERE name LIKE 'l1%';
DROP ROLE regress_l1_writer;
