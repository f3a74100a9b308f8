--
-- O1: what a rollover records of itself, and what it says where it can do nothing
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
-- who writes is shown
CREATE ROLE regress_user SUPERUSER;
SET SESSION AUTHORIZATION regress_user;

CREATE ROLE regress_o1_owner;
CREATE ROLE regress_o1_other;
GRANT USAGE ON SCHEMA contacts_tier TO regress_o1_owner, regress_o1_other;
GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA contacts_tier TO regress_o1_owner, regress_o1_other;
CREATE SCHEMA o1;
GRANT USAGE, CREATE ON SCHEMA o1 TO regress_o1_owner;
SET search_path = o1, public;
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.create_plan('o1', '{20, 1000}');

-- nothing is attached: no reason to warn
SET ROLE regress_o1_other;
CALL contacts_tier.rollover();
RESET ROLE;

SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a' || n, 'o1', 1000, started_at => '2026-01-05 00:00+00') FROM generate_series(10, 25) AS n;
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_until_next_update)
    SELECT n * 10 + i, 'a' || n, 'marketing', true FROM generate_series(10, 25) AS n, generate_series(1, 3) AS i;

-- the last run, as a monitor reads it, and all
CREATE VIEW last_run AS
    SELECT account, role, contacts, details FROM contacts_tier_ledger WHERE event = 'rollover_run' ORDER BY entry DESC LIMIT 1;
CREATE VIEW progress AS
    SELECT in_progress, started_at < finished_at AS took_time, accounts_done, accounts_to_do, contacts_done, contacts_to_do,
           accounts_failed, accounts_skipped, jsonb_array_length(failures) AS failures, jsonb_array_length(skipped) AS skipped
      FROM contacts_tier.rollover_progress() WHERE contacts = 'contacts'::regclass ORDER BY run IS NULL, started_at;
SET enable_seqscan = off;
EXPLAIN (COSTS off) SELECT details FROM contacts_tier_ledger WHERE event = 'rollover_run' ORDER BY entry DESC LIMIT 1;
RESET enable_seqscan;

-- nothing is due: no run
SET contacts_tier.now = '2026-02-01 10:00+00';
CALL contacts_tier.rollover();
TABLE last_run;

-- A trigger of the application that fails for the accounts that its arguments list, with an SQLSTATE
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.marketing_contact_status_source_type = 'ROLLOVER' AND NEW.account = ANY (TG_ARGV[1]::text[]) THEN
        RAISE EXCEPTION 'no "%", says %', NEW.id, NEW.account USING ERRCODE = TG_ARGV[0], DETAIL = 'Because.';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER fail BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION fail('23514', '{a11}');
CREATE TRIGGER lock BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION fail('55P03', '{a12}');

-- One fails, one is locked, the others are done.  What failed is in the error, and recorded.
SET contacts_tier.now = '2026-02-06 10:00+00';
SELECT clock_timestamp() AS before \gset
CALL contacts_tier.rollover(batch_size => 2);
SELECT account, role = current_user AS by_me, contacts, details->>'accounts' AS accounts, details->>'failed' AS failed, details->>'skipped' AS skipped FROM last_run;
SELECT f.* FROM last_run, jsonb_to_recordset(details->'failures') AS f (what text, account text, sqlstate text, message text);
SELECT f.* FROM last_run, jsonb_to_recordset(details->'locked') AS f (what text, account text, sqlstate text, message text);
-- by the real clock, not by the one that is set
SELECT (details->>'started_at')::timestamptz BETWEEN :'before' AND (details->>'ended_at')::timestamptz AS started,
       (details->>'ended_at')::timestamptz BETWEEN (details->>'started_at')::timestamptz + interval '1 second' AND clock_timestamp() AS ended
  FROM last_run;
SELECT DISTINCT l.details->>'applied_by' AS applied_by, l.details->'run' = r.details->'run' AS same_run, l.details->'started_at' = r.details->'started_at' AS same_start,
       (l.details->>'applied_at')::timestamptz BETWEEN (r.details->>'started_at')::timestamptz AND (r.details->>'ended_at')::timestamptz AS in_between, l.recorded_at
  FROM contacts_tier_ledger l, last_run r WHERE event = 'rollover';
TABLE progress;

-- the next run does what is left, in a transaction block as well
DROP TRIGGER fail ON contacts;
DROP TRIGGER lock ON contacts;
BEGIN;
CALL contacts_tier.rollover();
COMMIT;
TABLE progress;
SELECT details - '{run,started_at,ended_at}'::text[] AS details FROM last_run;

-- More failures than the error lists
UPDATE contacts SET marketing_contact_status = 'marketing';
UPDATE contacts SET marketing_contact_status = 'non_marketing';
CREATE TRIGGER fail BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION fail('P0001', '{a10,a11,a12,a13,a14,a15,a16,a17,a18,a19,a20,a21}');
SET contacts_tier.now = '2026-03-06 10:00+00';
SET client_min_messages = error;
CALL contacts_tier.rollover('contacts');
RESET client_min_messages;
SELECT details->>'accounts' AS accounts, details->>'failed' AS failed, jsonb_array_length(details->'failures') AS listed FROM last_run;
-- one account alone
CALL contacts_tier.rollover('contacts', 'a21');
SELECT details->>'accounts' AS accounts, details->>'failed' AS failed, details#>>'{failures,0,account}' AS account FROM last_run;
DROP TRIGGER fail ON contacts;
CALL contacts_tier.rollover('contacts');

-- Update dates that statements apply are told apart from those of runs
SET contacts_tier.now = '2026-03-08 10:00+00';
SELECT contacts_tier.subscribe('contacts', 'late', 'o1', 20, started_at => '2026-03-07 00:00+00', on_exceed => 'block');
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_until_next_update) SELECT n, 'late', 'marketing', true FROM generate_series(1, 20) AS n;
SET contacts_tier.now = '2026-04-07 10:00+00';
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (21, 'late', 'marketing');
SELECT contacts, details->>'applied_by' AS applied_by, details->>'run' AS run, (details->>'started_at')::timestamptz < (details->>'applied_at')::timestamptz AS took_time
  FROM contacts_tier_ledger WHERE event = 'rollover' AND account = 'late';
TABLE progress;

-- A run that cannot be recorded says so; what it has done is done
CREATE FUNCTION no_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'no entries, please';
END $$;
CREATE TRIGGER no_entry BEFORE INSERT ON contacts_tier_ledger FOR EACH ROW WHEN (NEW.event = 'rollover_run') EXECUTE FUNCTION no_entry();
CALL contacts_tier.rollover('contacts');
SELECT count(*) FROM contacts_tier_account WHERE next_update_at <= contacts_tier.clock();
DROP TRIGGER no_entry ON contacts_tier_ledger;

-- Whoever owns nothing is told whose tables there are
SET ROLE regress_o1_other;
CALL contacts_tier.rollover();
RESET ROLE;
SELECT format('ALTER TABLE %s OWNER TO regress_o1_owner', c) FROM unnest('{contacts,contacts_tier_account,contacts_tier_counter,contacts_tier_ledger}'::regclass[]) AS c \gexec
SET contacts_tier.now = '2026-05-08 10:00+00';
SET ROLE regress_o1_other;
CALL contacts_tier.rollover();
RESET ROLE;
GRANT regress_o1_owner TO regress_o1_other;
SET ROLE regress_o1_other;
CALL contacts_tier.rollover();
RESET ROLE;
SELECT role, details->>'accounts' AS accounts FROM last_run;

SET client_min_messages = warning;
DROP SCHEMA o1 CASCADE;
DROP OWNED BY regress_o1_owner, regress_o1_other;
DROP ROLE regress_o1_owner, regress_o1_other;
DELETE FROM contacts_tier.plan WHERE name = 'o1';
RESET SESSION AUTHORIZATION;
DROP ROLE regress_user;
