-- The story that `make demo` tells: two months in the life of three companies.
--
-- Reads crm-export.csv from the current directory, wants a database named demo
-- whose server runs pg_cron, and stops with an error if a number comes out
-- wrong. What is shown to the reader runs with ECHO on and output on; what only
-- prepares or checks, with ECHO off and its output to /dev/null.

\pset footer off
\pset null ''
SET client_min_messages = warning;
\o /dev/null

-- What is expected is computed from the data while the story goes on. The first
-- mismatch is an error; what held is counted on the last page.
CREATE SCHEMA demo;
CREATE TABLE demo.held (what text, value text);
CREATE FUNCTION demo.expect(what text, actual anycompatible, expected anycompatible) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF actual IS DISTINCT FROM expected THEN
        RAISE EXCEPTION 'demo: %: expected %, found %', what, expected, coalesce(actual::text, 'NULL');
    END IF;
    INSERT INTO demo.held VALUES (what, actual::text);
END $$;

-- The counters agree with a plain count of the contacts, account by account.
CREATE FUNCTION demo.expect_no_drift(moment text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM demo.expect(format('marketing contacts of %s, %s', account, moment), marketing_contacts,
                        (SELECT count(*) FROM crm.contacts
                          WHERE company_id = account::bigint AND marketing_contact_status = 'marketing')),
            demo.expect(format('leaving contacts of %s, %s', account, moment), pending_non_marketing,
                        (SELECT count(*) FROM crm.contacts
                          WHERE company_id = account::bigint AND marketing_contact_until_next_update))
       FROM contacts_tier.usage('crm.contacts');
END $$;

\o
\echo
\echo :b'contacts_tier: three companies and two months':n
\echo
\echo :b'1. A CRM and its contacts':n
\echo
\echo 'An application has a table of contacts, and the export of its former CRM.'
\echo
\set ECHO queries
CREATE SCHEMA crm;
CREATE TABLE crm.contacts (
    record_id  bigint PRIMARY KEY,
    email      text NOT NULL,
    first_name text,
    last_name  text,
    company_id bigint NOT NULL
);
\set ECHO none
CREATE TABLE crm.companies (company_id bigint PRIMARY KEY, name text, time_zone text);
INSERT INTO crm.companies VALUES
    (101, 'Harbor Books', 'America/New_York'),
    (202, 'Spreewald Tea', 'Europe/Berlin'),
    (303, 'Kumo Cycles', 'Asia/Tokyo');
CREATE TABLE crm.export (
    "Record ID" bigint, "Email" text, "First Name" text, "Last Name" text, "Company ID" bigint,
    "Marketing contact status" text, "Marketing contact until next update" text,
    "Marketing contact status source type" text, "Marketing contact status source name" text
);
\echo '\\copy crm.export FROM ''crm-export.csv'' WITH (FORMAT csv, HEADER match)'
\copy crm.export FROM 'crm-export.csv' WITH (FORMAT csv, HEADER match)
\set ECHO queries
INSERT INTO crm.contacts
    SELECT "Record ID", "Email", "First Name", "Last Name", "Company ID" FROM crm.export;
\set ECHO none
ANALYZE crm.contacts, crm.export;
\echo
SELECT "Company ID" AS company_id, name AS company, count(*) AS contacts,
       count(*) FILTER (WHERE "Marketing contact status" = 'Marketing contact') AS "marketing in the file",
       count(*) FILTER (WHERE "Marketing contact until next update" = 'Yes') AS "until next update"
  FROM crm.export JOIN crm.companies ON company_id = "Company ID"
 GROUP BY 1, 2 ORDER BY 1;

\echo
\echo :b'2. 15 April 2026: plans, subscriptions and a meter':n
\echo
\echo 'The clock is a setting, so that two months fit into two minutes. Attaching adds'
\echo 'five columns to the table; from here on PostgreSQL maintains them, and counts.'
\echo
\o /dev/null
\set ECHO queries
CREATE EXTENSION contacts_tier;
SET contacts_tier.now = '2026-04-15 14:00+00';
SELECT contacts_tier.attach('crm.contacts', 'company_id');
SELECT contacts_tier.create_plan('Starter', ARRAY[1000, 2000, 3000, 5000], ARRAY[20, 70, 120, 220]);
SELECT contacts_tier.create_plan('Professional', ARRAY[2000, 7000, 12000], ARRAY[890, 1140, 1390]);
\set ECHO none
\echo
\echo 'Harbor Books buys today, and wants to move up when it grows. Spreewald Tea bought'
\echo 'on the 31st of March, and wants a hard limit. Kumo Cycles pays by the year, until'
\echo 'the 10th of June, and has a grace of 25 contacts.'
\echo
\set ECHO queries
SELECT contacts_tier.subscribe('crm.contacts', '101', 'Professional', 2000,
           time_zone => 'America/New_York', on_exceed => 'upgrade');
SELECT contacts_tier.subscribe('crm.contacts', '202', 'Starter', 1000, 'monthly', '2026-03-31 12:00+02',
           time_zone => 'Europe/Berlin', on_exceed => 'block');
SELECT contacts_tier.subscribe('crm.contacts', '303', 'Starter', 1000, 'annual', '2025-06-10 12:00+09',
           time_zone => 'Asia/Tokyo', on_exceed => 'block', grace => 25);
CREATE VIEW crm.meter AS
    SELECT name AS company, marketing_contacts AS marketing, contact_limit AS tier,
           rpad(rpad(repeat('█', (20 * projected_marketing_contacts / contact_limit)::int),
                     (20 * marketing_contacts / contact_limit)::int, '▒'), 20, '·') AS "█ stays ▒ leaves · free",
           pending_non_marketing AS leaving, alert,
           to_char(next_update_at AT TIME ZONE time_zone, 'DD Mon HH24:MI') AS "next update"
      FROM contacts_tier.usage('crm.contacts') JOIN crm.companies ON company_id = account::bigint
     ORDER BY company_id;
\o
TABLE crm.meter;
\set ECHO none
\echo 'Contacts that were there before are non-marketing, which is free. The update dates'
\echo 'are local midnights, and the 31st is the 30th in April.'
\o /dev/null
SELECT demo.expect('marketing contacts of ' || account || ' when attached', marketing_contacts, 0)
  FROM contacts_tier.usage('crm.contacts');
SELECT demo.expect('first update date of ' || account, next_update_at, first)
  FROM contacts_tier.usage('crm.contacts')
  JOIN (VALUES ('101', timestamptz '2026-05-15 00:00 America/New_York'),
               ('202', '2026-04-30 00:00 Europe/Berlin'),
               ('303', '2026-05-01 00:00 Asia/Tokyo')) AS due (account, first) USING (account);
\o

\echo
\echo :b'3. The marketing status of the file, by one plain UPDATE':n
\echo
\set ECHO queries
BEGIN;
SET LOCAL contacts_tier.source_type = 'IMPORT';
SET LOCAL contacts_tier.source_name = 'crm-export.csv';
UPDATE crm.contacts
   SET marketing_contact_status = 'marketing',
       marketing_contact_until_next_update = ("Marketing contact until next update" = 'Yes')
  FROM crm.export
 WHERE record_id = "Record ID" AND "Marketing contact status" = 'Marketing contact';
COMMIT;
TABLE crm.meter;
\set ECHO none
\echo 'Those that leave at the next update carry the flag, and still count.'
\o /dev/null
SELECT demo.expect('marketing contacts of ' || account || ' as in the file', marketing_contacts,
                   count(*) FILTER (WHERE "Marketing contact status" = 'Marketing contact')),
       demo.expect('leaving contacts of ' || account || ' as in the file', pending_non_marketing,
                   count(*) FILTER (WHERE "Marketing contact until next update" = 'Yes'))
  FROM contacts_tier.usage('crm.contacts') JOIN crm.export ON "Company ID" = account::bigint
 GROUP BY account, marketing_contacts, pending_non_marketing;
SELECT demo.expect_no_drift('after the import');
\o

\echo
\echo :b'4. 20 April: new contacts, each with the default of its source':n
\echo
\echo 'A form makes marketing contacts, an import does not; a person types one in by hand.'
\echo
\set ECHO queries
SET contacts_tier.now = '2026-04-20 09:00+00';
BEGIN;
SET LOCAL contacts_tier.source_type = 'FORM';
SET LOCAL contacts_tier.source_name = 'Newsletter sign-up';
INSERT INTO crm.contacts VALUES
    (90001, 'iris.lindgren@example.com', 'Iris', 'Lindgren', 101),
    (90002, 'owen.marsh@example.org', 'Owen', 'Marsh', 101),
    (90003, 'greta.vogt@example.net', 'Greta', 'Vogt', 202);
COMMIT;
BEGIN;
SET LOCAL contacts_tier.source_type = 'IMPORT';
SET LOCAL contacts_tier.source_name = 'trade-fair.csv';
INSERT INTO crm.contacts VALUES
    (90004, 'raj.mehta@example.com', 'Raj', 'Mehta', 101),
    (90005, 'ulla.brandt@example.org', 'Ulla', 'Brandt', 202);
COMMIT;
INSERT INTO crm.contacts VALUES (90006, 'sora.abe@example.net', 'Sora', 'Abe', 303);
\set ECHO none
-- The five columns under names short enough for a terminal
CREATE VIEW crm.card AS
    SELECT record_id, company_id, marketing_contact_status AS status,
           CASE WHEN marketing_contact_until_next_update THEN 'Yes' END AS "until next update",
           marketing_contact_status_source_type AS "source type",
           marketing_contact_status_source_name AS "source name",
           to_char(marketing_contact_status_updated_at, 'DD Mon HH24:MI') AS "updated at"
      FROM crm.contacts;
\echo
\echo 'The five columns of those six, shown by a view that shortens their names:'
\echo
\set ECHO queries
SELECT * FROM crm.card WHERE record_id BETWEEN 90001 AND 90006 ORDER BY record_id;
\set ECHO none
\o /dev/null
SELECT demo.expect('form contacts are marketing',
           (SELECT count(*) FROM crm.contacts WHERE record_id BETWEEN 90001 AND 90003
                AND marketing_contact_status = 'marketing' AND marketing_contact_status_source_type = 'FORM'), 3),
       demo.expect('other new contacts are not',
           (SELECT count(*) FROM crm.contacts WHERE record_id BETWEEN 90004 AND 90006
                AND marketing_contact_status = 'non_marketing'), 3);
SELECT demo.expect_no_drift('after the new contacts');
\o

\echo
\echo :b'5. 24 April: a workflow promotes, and the banner appears':n
\echo
SELECT ceil(0.98 * contact_limit)::bigint - marketing_contacts AS batch
  FROM contacts_tier.usage('crm.contacts', '101') \gset
\set ECHO queries
SET contacts_tier.now = '2026-04-24 09:00+00';
LISTEN contacts_tier;
BEGIN;
SET LOCAL contacts_tier.source_type = 'WORKFLOW';
SET LOCAL contacts_tier.source_name = 'Spring catalogue';
UPDATE crm.contacts SET marketing_contact_status = 'marketing'
 WHERE record_id IN (SELECT record_id FROM crm.contacts
                      WHERE company_id = 101 AND marketing_contact_status = 'non_marketing'
                      ORDER BY record_id LIMIT :batch);
COMMIT;
UNLISTEN contacts_tier;
TABLE crm.meter;
\set ECHO none
\echo 'Each threshold is announced once, by the statement that crosses it; the ledger has it:'
\echo
\set ECHO queries
SELECT recorded_at, account, contacts, details->>'threshold' AS "threshold %", details->>'contact_limit' AS "of"
  FROM crm.contacts_tier_ledger WHERE event = 'threshold'
 ORDER BY recorded_at, account, (details->>'threshold')::int;
\set ECHO none
\o /dev/null
SELECT demo.expect('thresholds that ' || account || ' has crossed',
           (SELECT string_agg(details->>'threshold', ' ' ORDER BY (details->>'threshold')::int)
              FROM crm.contacts_tier_ledger l WHERE l.account = u.account::bigint AND event = 'threshold'),
           (SELECT string_agg(t::text, ' ' ORDER BY t) FROM unnest(ARRAY[75, 90, 98, 100]) AS t
             WHERE 100 * u.marketing_contacts >= t * u.contact_limit))
  FROM contacts_tier.usage('crm.contacts') AS u;
SELECT demo.expect('alert at 98 %', alert, 'banner'),
       demo.expect('the workflow promoted as many as it meant to', marketing_contacts, ceil(0.98 * contact_limit))
  FROM contacts_tier.usage('crm.contacts', '101');
\o

\echo
\echo :b'6. 27 April: over the tier, with the policy to move up':n
\echo
\set ECHO queries
SET contacts_tier.now = '2026-04-27 09:00+00';
BEGIN;
SET LOCAL contacts_tier.source_type = 'WORKFLOW';
SET LOCAL contacts_tier.source_name = 'Mother''s Day';
UPDATE crm.contacts SET marketing_contact_status = 'marketing'
 WHERE record_id IN (SELECT record_id FROM crm.contacts
                      WHERE company_id = 101 AND marketing_contact_status = 'non_marketing'
                      ORDER BY record_id LIMIT 300);
COMMIT;
TABLE crm.meter;
\set ECHO none
\echo 'The next tier, in the same transaction, and the share of the period to pay it for:'
\echo
\set ECHO queries
SELECT account, recorded_at, event, role, contacts, jsonb_pretty(details) AS details
  FROM crm.contacts_tier_ledger
 WHERE account = 101 AND event = 'tier_change';
\set ECHO none
\o /dev/null
SELECT demo.expect('share of the period', (details->>'period_fraction')::numeric, round((extract(epoch FROM
           timestamptz '2026-05-15 00:00 America/New_York' - '2026-04-27 09:00+00') / extract(epoch FROM
           timestamptz '2026-05-15 00:00 America/New_York' - '2026-04-15 14:00+00')), 6))
  FROM crm.contacts_tier_ledger WHERE account = 101 AND event = 'tier_change';
SELECT demo.expect('101 moved to the smallest tier that fits', u.contact_limit,
           (SELECT min(t.contact_limit) FROM contacts_tier.tier t
             WHERE t.plan = 'Professional' AND t.contact_limit >= u.marketing_contacts)),
       demo.expect('101 has 300 more', marketing_contacts, ceil(0.98 * 2000) + 300)
  FROM contacts_tier.usage('crm.contacts', '101') u;
SELECT demo.expect_no_drift('after the tier change');
\o

\echo
\echo :b'7. The same day: over the tier, with the policy to block':n
\echo
SELECT marketing_contacts AS before FROM contacts_tier.usage('crm.contacts', '202') \gset
\set ECHO queries
\set ON_ERROR_STOP off
UPDATE crm.contacts SET marketing_contact_status = 'marketing'
 WHERE record_id IN (SELECT record_id FROM crm.contacts
                      WHERE company_id = 202 AND marketing_contact_status = 'non_marketing'
                      ORDER BY record_id LIMIT 150);
\set refused :SQLSTATE
\set ON_ERROR_STOP on
\set ECHO none
\echo
\echo 'SQLSTATE' :refused
\echo
\echo 'Nothing of it was written. A statement that fits is never refused, and the limit'
\echo 'itself still fits:'
\echo
\o /dev/null
SELECT demo.expect('sqlstate of the refusal', :'refused', 'MC001'),
       demo.expect('count after the refusal', marketing_contacts, :before)
  FROM contacts_tier.usage('crm.contacts', '202');
SELECT demo.expect_no_drift('after the refusal');
\o
SELECT available FROM contacts_tier.usage('crm.contacts', '202') \gset
\set ECHO queries
UPDATE crm.contacts SET marketing_contact_status = 'marketing'
 WHERE record_id IN (SELECT record_id FROM crm.contacts
                      WHERE company_id = 202 AND marketing_contact_status = 'non_marketing'
                      ORDER BY record_id LIMIT :available);
TABLE crm.meter;
\set ECHO none
\o /dev/null
SELECT demo.expect('202 is exactly full', marketing_contacts, contact_limit)
  FROM contacts_tier.usage('crm.contacts', '202');
\o

\echo
\echo :b'8. 28 April: setting contacts non-marketing makes room, but not yet':n
\echo
\echo 'Lena of Spreewald Tea may write contacts, and nothing else.'
\echo
\set ECHO queries
SET contacts_tier.now = '2026-04-28 09:00+00';
CREATE ROLE lena;
GRANT USAGE ON SCHEMA crm TO lena;
GRANT SELECT, INSERT, UPDATE, DELETE ON crm.contacts TO lena;
SET ROLE lena;
UPDATE crm.contacts SET marketing_contact_status = 'non_marketing'
 WHERE company_id = 202 AND marketing_contact_status = 'marketing' AND email LIKE '%@example.org';
UPDATE crm.contacts SET marketing_contact_status = 'marketing'
 WHERE record_id = (SELECT min(record_id) FROM crm.contacts
                     WHERE company_id = 202 AND email LIKE '%@example.org' AND marketing_contact_until_next_update);
RESET ROLE;
SELECT * FROM crm.card WHERE company_id = 202 AND "source name" = 'lena' ORDER BY record_id LIMIT 4;
TABLE crm.meter;
\set ECHO none
\echo 'They stay marketing contacts, and count, until the update date. One of them Lena'
\echo 'took back, which clears its flag.'
\o /dev/null
SELECT demo.expect('202 still counts those who leave', marketing_contacts, contact_limit)
  FROM contacts_tier.usage('crm.contacts', '202');
SELECT demo.expect_no_drift('after lena''s changes');
\o

\echo
\echo :b'9. 1 May: pg_cron rolls the contacts over':n
\echo
\echo 'Midnight has passed in Berlin on the 30th and in Tokyo on the 1st. The job runs in'
\echo 'a session of its own, so the clock is set for the database.'
\echo
SELECT pending_non_marketing AS due_202, marketing_contacts AS before_202
  FROM contacts_tier.usage('crm.contacts', '202') \gset
SELECT pending_non_marketing AS due_303, marketing_contacts AS before_303
  FROM contacts_tier.usage('crm.contacts', '303') \gset
\set ECHO queries
ALTER DATABASE demo SET contacts_tier.now = '2026-05-01 00:10+00';
SET contacts_tier.now = '2026-05-01 00:10+00';
CREATE EXTENSION pg_cron;
\o /dev/null
SELECT contacts_tier.schedule_rollover('* * * * *');
\o
\set ECHO none
\echo
\echo '(waiting for the full minute)'
\echo
DO $$
BEGIN
    FOR second IN 1 .. 90 LOOP
        EXIT WHEN EXISTS (SELECT FROM cron.job_run_details WHERE status IN ('succeeded', 'failed'));
        PERFORM pg_sleep(1);
    END LOOP;
END $$;
\set ECHO queries
SELECT command, status, return_message, end_time - start_time AS took FROM cron.job_run_details;
TABLE crm.meter;
SELECT contacts, in_progress, accounts_done, accounts_to_do, contacts_done, contacts_to_do
  FROM contacts_tier.rollover_progress();
SELECT * FROM crm.card WHERE company_id = 202 AND "source type" = 'ROLLOVER' ORDER BY record_id LIMIT 3;
\o /dev/null
SELECT contacts_tier.unschedule_rollover();
\set ECHO none
SELECT demo.expect('jobs left with pg_cron', count(*), 0) FROM cron.job;
SELECT demo.expect('runs of the pg_cron job', string_agg(DISTINCT status, ', '), 'succeeded') FROM cron.job_run_details;
SELECT demo.expect('202 after its update date', marketing_contacts, :before_202 - :due_202),
       demo.expect('202''s next update date', next_update_at, '2026-05-31 00:00 Europe/Berlin')
  FROM contacts_tier.usage('crm.contacts', '202');
SELECT demo.expect('303 after its update date', marketing_contacts, :before_303 - :due_303),
       demo.expect('303''s next update date', next_update_at, '2026-06-01 00:00 Asia/Tokyo')
  FROM contacts_tier.usage('crm.contacts', '303');
SELECT demo.expect('contacts whose status the rollover set',
           (SELECT count(*) FROM crm.contacts WHERE marketing_contact_status_source_type = 'ROLLOVER'
                                                AND marketing_contact_status = 'non_marketing'),
           :due_202 + :due_303);
SELECT demo.expect_no_drift('after pg_cron''s rollover');
\o
\echo
\echo 'Now there is room for what was refused in April:'
\echo
\set ECHO queries
UPDATE crm.contacts SET marketing_contact_status = 'marketing'
 WHERE record_id IN (SELECT record_id FROM crm.contacts
                      WHERE company_id = 202 AND marketing_contact_status = 'non_marketing'
                      ORDER BY record_id LIMIT 150);
TABLE crm.meter;
\set ECHO none
\o /dev/null
SELECT demo.expect('202 after the second try', marketing_contacts, :before_202 - :due_202 + 150)
  FROM contacts_tier.usage('crm.contacts', '202');
\o

\echo
\echo :b'10. May: a scheduler that is late':n
\echo
\echo 'Nothing runs the rollover now. On the 10th Harbor Books sets its Mother''s Day contacts'
\echo 'non-marketing; on the 16th, a day after its update date, some of Spring catalogue.'
\echo 'Deleted contacts leave the count at once.'
\echo
\set ECHO queries
SET contacts_tier.now = '2026-05-10 09:00+00';
UPDATE crm.contacts SET marketing_contact_status = 'non_marketing'
 WHERE company_id = 101 AND marketing_contact_status_source_name = 'Mother''s Day';
SET contacts_tier.now = '2026-05-16 09:00+00';
UPDATE crm.contacts SET marketing_contact_status = 'non_marketing'
 WHERE company_id = 101 AND marketing_contact_status_source_name = 'Spring catalogue'
   AND email LIKE '%@example.org';
DELETE FROM crm.contacts WHERE record_id IN (90001, 90002);
\set ECHO none
SELECT marketing_contacts AS before_101 FROM contacts_tier.usage('crm.contacts', '101') \gset
SELECT count(*) FILTER (WHERE marketing_contact_status_updated_at < '2026-05-15 00:00 America/New_York') AS due_101,
       count(*) FILTER (WHERE marketing_contact_status_updated_at >= '2026-05-15 00:00 America/New_York') AS late_101
  FROM crm.contacts WHERE company_id = 101 AND marketing_contact_until_next_update \gset
\set ECHO queries
TABLE crm.meter;
SET contacts_tier.now = '2026-05-20 09:00+00';
CALL contacts_tier.rollover();
TABLE crm.meter;
\set ECHO none
\echo 'Those of the 10th have left, those of the 16th wait for June: what counts is the'
\echo 'update date, not the day on which the procedure ran.'
\o /dev/null
SELECT demo.expect('101 after its update date', marketing_contacts, :before_101 - :due_101),
       demo.expect('101''s late flags wait', pending_non_marketing, :late_101)
  FROM contacts_tier.usage('crm.contacts', '101');
SELECT demo.expect('tier does not fall by itself', contact_limit, 7000) FROM contacts_tier.usage('crm.contacts', '101');
SELECT demo.expect_no_drift('after the late rollover');
\o

\echo
\echo :b'11. June: several dates at once, and a renewal':n
\echo
\echo 'Kumo Cycles cleans up on the 2nd: after the update date of the 1st, before its renewal'
\echo 'on the 10th.'
\echo
\set ECHO queries
SET contacts_tier.now = '2026-06-02 09:00+00';
UPDATE crm.contacts SET marketing_contact_status = 'non_marketing'
 WHERE company_id = 303 AND marketing_contact_status = 'marketing' AND email LIKE '%@example.net';
SET contacts_tier.now = '2026-06-20 09:00+00';
CALL contacts_tier.rollover();
TABLE crm.meter;
\set ECHO none
\echo 'Each date that came due was applied by itself, the renewal as well; the ledger has them:'
\echo
\set ECHO queries
SELECT details->>'update_date' AS update_date, account, contacts AS "became non-marketing", recorded_at AS "applied at"
  FROM crm.contacts_tier_ledger WHERE event = 'rollover' ORDER BY 1;
SELECT account, next_update_at, renews_at FROM contacts_tier.usage('crm.contacts');
\set ECHO none
\o /dev/null
SELECT demo.expect('303 is renewed for a year', renews_at, '2027-06-10 00:00 Asia/Tokyo') FROM contacts_tier.usage('crm.contacts', '303');
SELECT demo.expect('next update date of ' || account, next_update_at, due.next)
  FROM contacts_tier.usage('crm.contacts')
  JOIN (VALUES ('101', timestamptz '2026-07-15 00:00 America/New_York'),
               ('202', '2026-06-30 00:00 Europe/Berlin'),
               ('303', '2026-07-01 00:00 Asia/Tokyo')) AS due (account, next) USING (account);
SELECT demo.expect('nobody is left waiting', sum(pending_non_marketing), 0) FROM contacts_tier.usage('crm.contacts');
SELECT demo.expect_no_drift('in June');
\o
SELECT contact_limit + 10 - marketing_contacts AS batch FROM contacts_tier.usage('crm.contacts', '303') \gset
\echo 'A campaign takes it ten over the limit: that is within its grace.'
\echo
\set ECHO queries
BEGIN;
SET LOCAL contacts_tier.source_type = 'BULK_ACTION';
SET LOCAL contacts_tier.source_name = 'Summer ride';
UPDATE crm.contacts SET marketing_contact_status = 'marketing'
 WHERE record_id IN (SELECT record_id FROM crm.contacts
                      WHERE company_id = 303 AND marketing_contact_status = 'non_marketing'
                      ORDER BY record_id LIMIT :batch);
COMMIT;
TABLE crm.meter;
SELECT recorded_at, event, contacts, details
  FROM crm.contacts_tier_ledger WHERE account = 303 AND event IN ('threshold', 'exceeded')
 ORDER BY recorded_at, event DESC, (details->>'threshold')::int;
\set ECHO none
\o /dev/null
SELECT demo.expect('announcements of the contacts over the limit', count(*), 1)
  FROM crm.contacts_tier_ledger WHERE account = 303 AND event = 'exceeded';
SELECT demo.expect('303 is ten over, by grace', marketing_contacts - contact_limit, 10)
  FROM contacts_tier.usage('crm.contacts', '303');
\o

\echo
\echo :b'12. Who set what, and is it true?':n
\echo
\set ECHO queries
SELECT marketing_contact_status_source_type AS source_type, marketing_contact_status_source_name AS source_name,
       count(*) FILTER (WHERE marketing_contact_status = 'marketing') AS marketing,
       count(*) FILTER (WHERE marketing_contact_status = 'non_marketing') AS non_marketing
  FROM crm.contacts GROUP BY 1, 2 ORDER BY 1, 2;
\set ECHO none
\echo 'On the last line are the contacts whose status was never set. And the counters, against'
\echo 'a count over the table:'
\echo
\set ECHO queries
SELECT * FROM contacts_tier.verify();
\set ECHO none
\o /dev/null
SELECT demo.expect('drift of ' || account, drift, 0) FROM contacts_tier.verify();
SELECT demo.expect('accounts verified', count(*), 3) FROM contacts_tier.verify();
SELECT demo.expect_no_drift('at the end');
\o

\echo
\echo :b'13. The bill':n
\echo
\echo 'What moved Harbor Books up, who did it, and what it costs until its next update date:'
\echo
\set ECHO queries
SELECT changed_at, from_limit, to_limit, reason, marketing_contacts, period_fraction, charge, currency
  FROM contacts_tier.tier_changes('crm.contacts');
SELECT recorded_at, role, source_type, source_name, created, promoted
  FROM contacts_tier.activity('crm.contacts', '101') WHERE promoted >= 100 ORDER BY promoted DESC LIMIT 3;
\set ECHO none
\echo 'Each period of each company. Contacts: opening + promoted - demoted = closing. Money:'
\echo 'the price of the tier with which the period began, for one month, or by the year for its'
\echo 'part of the month, + the charges above = total.'
\echo
\set ECHO queries
SELECT name AS company, (period_start AT TIME ZONE time_zone)::date AS "from", (period_end AT TIME ZONE time_zone)::date AS "to",
       opening, promoted, demoted, closing, peak, b.contact_limit AS tier, monthly_price AS price, month_share AS months, tier_charges AS charges, total
  FROM contacts_tier.billing_periods('crm.contacts') b JOIN crm.companies ON company_id::text = account
 WHERE closed ORDER BY account, period_start;
SELECT name AS company, sum(total) AS "to pay", min(currency) AS currency
  FROM contacts_tier.billing_periods('crm.contacts') b JOIN crm.companies ON company_id::text = account
 WHERE closed GROUP BY account, name ORDER BY account;
\set ECHO none
\echo 'And what is to come, as things stand:'
\echo
\set ECHO queries
SELECT account, marketing_contacts, at_next_update, tier_needed, next_tier, next_tier_extra_price
  FROM contacts_tier.forecast('crm.contacts');
\set ECHO none
\o /dev/null
SELECT demo.expect('contacts of period ' || period_start || ' of ' || account, opening + promoted - demoted, closing),
       demo.expect('money of period ' || period_start || ' of ' || account, round(monthly_price * month_share, 2) + tier_charges, total)
  FROM contacts_tier.billing_periods('crm.contacts');
SELECT demo.expect('opening of the period after ' || period_start || ' of ' || account, next_opening, closing)
  FROM (SELECT *, lead(opening) OVER (PARTITION BY account ORDER BY period_start) AS next_opening
          FROM contacts_tier.billing_periods('crm.contacts')) p
 WHERE next_opening IS NOT NULL;
SELECT demo.expect('last count of ' || b.account, closing, marketing_contacts)
  FROM contacts_tier.billing_periods('crm.contacts') b JOIN contacts_tier.usage('crm.contacts') u USING (account)
 WHERE NOT closed;
-- by hand: each change is charged for the part of its period that was left
SELECT demo.expect('charge of ' || account || ' at ' || changed_at, charge,
                   round(round(extract(epoch FROM period_end - changed_at) / extract(epoch FROM period_end - period_start), 6)
                         * (new.monthly_price - old.monthly_price), 2))
  FROM contacts_tier.tier_changes('crm.contacts') c
  JOIN (SELECT account, period_start, period_end FROM contacts_tier.billing_periods('crm.contacts')) b USING (account)
  JOIN contacts_tier.tier old ON old.plan = c.plan AND old.contact_limit = from_limit
  JOIN contacts_tier.tier new ON new.plan = c.plan AND new.contact_limit = to_limit
 WHERE changed_at >= period_start AND changed_at < period_end AND reason = 'exceeded';
\o
SELECT count(*) AS held FROM demo.held \gset
\echo 'All' :held 'expectations held: counters, tiers and dates are what the contacts and the calendar say.'
\echo
