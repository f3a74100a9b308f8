--
-- Date rules D1 and D2 (docs/rules.md)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA d_dates;
SET search_path = d_dates, public;


-- D1 Monthly: the update date is the anchor day of each month, clamped in short
-- months and back on the anchor in long ones.
-- The update dates that follow one another, in UTC and local
CREATE FUNCTION dates(anchor date, cycle contacts_tier.billing_cycle, time_zone text, first timestamptz, number integer)
RETURNS TABLE (update_date timestamptz, local timestamp) LANGUAGE plpgsql AS $$
DECLARE
    d timestamptz := first;
BEGIN
    FOR n IN 1 .. number LOOP
        d := contacts_tier.next_update_date(anchor, cycle, time_zone, d);
        update_date := d;
        local := d AT TIME ZONE time_zone;
        RETURN NEXT;
    END LOOP;
END $$;
-- bought on 15 April: 15 May
SELECT * FROM dates('2026-04-15', 'monthly', 'UTC', '2026-04-15 12:00+00', 3);
-- 31st, over a common February; 30th; 29th, over a common and a leap year
SELECT update_date FROM dates('2026-01-31', 'monthly', 'UTC', '2026-01-31 12:00+00', 12);
SELECT update_date FROM dates('2026-01-30', 'monthly', 'UTC', '2026-01-30 12:00+00', 4);
SELECT update_date FROM dates('2027-01-29', 'monthly', 'UTC', '2027-01-29 12:00+00', 2);
SELECT update_date FROM dates('2027-01-31', 'monthly', 'UTC', '2028-01-31 12:00+00', 3);
-- started on the last day of a short month: that day is the anchor, not the end of the month
SELECT update_date FROM dates('2026-02-28', 'monthly', 'UTC', '2026-02-28 12:00+00', 3);
SELECT update_date FROM dates('2028-02-29', 'monthly', 'UTC', '2028-02-29 12:00+00', 13) OFFSET 10;
-- strictly after the instant that is asked for, also one microsecond before and at a date
SELECT i AS after, contacts_tier.next_update_date('2026-04-15', 'monthly', 'UTC', i),
       contacts_tier.last_update_date('2026-04-15', 'monthly', 'UTC', i)
  FROM unnest(ARRAY['2026-05-14 23:59:59.999999+00', '2026-05-15 00:00+00', '2026-05-15 00:00:00.000001+00']::timestamptz[]) AS i;

-- Annual: the 1st of each month, or the renewal date if that comes first
SELECT * FROM dates('2026-04-15', 'annual', 'UTC', '2026-04-15 12:00+00', 2);
SELECT update_date, contacts_tier.next_renewal_date('2026-04-15', 'annual', 'UTC', update_date) AS next_renewal_date
  FROM dates('2026-04-15', 'annual', 'UTC', '2027-03-15 12:00+00', 4);
-- a renewal date on the 1st is one date, not two; 29 February renews on 28 in common years
SELECT update_date FROM dates('2026-05-01', 'annual', 'UTC', '2027-04-15 12:00+00', 2);
SELECT update_date, contacts_tier.next_renewal_date('2028-02-29', 'annual', 'UTC', update_date) AS next_renewal_date
  FROM dates('2028-02-29', 'annual', 'UTC', '2029-02-10 12:00+00', 3);
SELECT contacts_tier.next_renewal_date('2028-02-29', 'annual', 'UTC', '2031-06-01 12:00+00');

-- At 00:00 in the account's time zone, through gaps and overlaps.
-- An ordinary one: the dates move against UTC with summer time
SELECT * FROM dates('2026-03-15', 'monthly', 'Europe/Berlin', '2026-03-01 12:00+00', 3);
SELECT * FROM dates('2026-01-31', 'monthly', 'America/New_York', '2026-02-15 12:00+00', 3);
SELECT * FROM dates('2026-04-15', 'monthly', 'Asia/Kathmandu', '2026-04-15 12:00+00', 1);
SELECT * FROM dates('2026-04-15', 'monthly', 'Pacific/Kiritimati', '2026-04-15 12:00+00', 1);
-- where midnight does not exist on that day, the first instant after it
SELECT * FROM dates('2018-10-04', 'monthly', 'America/Sao_Paulo', '2018-10-15 12:00+00', 2);
SELECT * FROM dates('2018-08-12', 'monthly', 'America/Asuncion', '2018-09-15 12:00+00', 1);
SELECT * FROM dates('2021-03-28', 'monthly', 'Asia/Beirut', '2021-03-15 12:00+00', 2);
SELECT * FROM dates('2018-03-11', 'monthly', 'America/Havana', '2018-03-01 12:00+00', 2);
-- where midnight comes twice, the first of the two
SELECT * FROM dates('2018-11-04', 'monthly', 'America/Havana', '2018-10-15 12:00+00', 2);
SELECT * FROM dates('2018-10-28', 'monthly', 'Atlantic/Azores', '2018-10-15 12:00+00', 2);
-- where the clock goes back from midnight to 23:00, the day itself begins once
SELECT * FROM dates('2018-02-18', 'monthly', 'America/Sao_Paulo', '2018-02-10 12:00+00', 1);
-- a whole day that does not exist: Samoa skipped 30 December 2011
SELECT * FROM dates('2011-01-30', 'monthly', 'Pacific/Apia', '2011-12-15 12:00+00', 2);
SELECT * FROM dates('2011-01-31', 'monthly', 'Pacific/Apia', '2011-12-15 12:00+00', 2);
-- by a fixed offset, too
SELECT * FROM dates('2026-04-15', 'monthly', 'UTC-5:30', '2026-04-15 12:00+00', 1);

-- The same found by looking at every single day of three years, in which each of
-- these zones has changed its clocks in a way of its own: the update dates are
-- exactly the first instants of the days that the rule names
CREATE TABLE named_day AS
    SELECT time_zone, anchor, cycle, day
      FROM unnest(ARRAY['UTC', 'America/Sao_Paulo', 'America/Havana', 'Asia/Beirut', 'Africa/Cairo', 'Pacific/Apia',
                        'Australia/Lord_Howe', 'America/St_Johns']) AS time_zone,
           unnest(ARRAY['2010-01-15', '2010-01-31', '2012-02-29']::date[]) AS anchor,
           unnest(enum_range(NULL::contacts_tier.billing_cycle)) AS cycle,
           generate_series(timestamp '2010-06-01', timestamp '2013-06-30', interval '1 day') AS day,
           LATERAL (SELECT extract(day FROM day),
                           least(extract(day FROM anchor), extract(day FROM date_trunc('month', day) + interval '1 month -1 day')))
           AS number (of_day, of_anchor)
     WHERE CASE cycle
               WHEN 'monthly' THEN of_day = of_anchor
               ELSE of_day = 1 OR of_day = of_anchor AND extract(month FROM day) = extract(month FROM anchor)
           END;
-- of all half hours around, the first that belongs to that day there, or to one after it
CREATE TABLE midnight AS
    SELECT time_zone, day, min(instant) AS midnight
      FROM (SELECT DISTINCT time_zone, day FROM named_day) AS d,
           generate_series(day AT TIME ZONE 'UTC' - interval '14 hours', day AT TIME ZONE 'UTC' + interval '13 hours',
                           interval '30 minutes') AS instant
     WHERE instant AT TIME ZONE time_zone >= day
     GROUP BY time_zone, day;
CREATE TABLE expected AS SELECT * FROM named_day JOIN midnight USING (time_zone, day);
SELECT *
  FROM (SELECT time_zone, anchor, cycle, midnight,
               lead(midnight) OVER w AS next,
               contacts_tier.next_update_date(anchor, cycle, time_zone, midnight) AS computed_next,
               contacts_tier.last_update_date(anchor, cycle, time_zone, lead(midnight) OVER w - interval '1 second') AS last
          FROM expected
        WINDOW w AS (PARTITION BY time_zone, anchor, cycle ORDER BY midnight)) AS e
 WHERE next IS NOT NULL AND (computed_next <> next OR last <> midnight)
 LIMIT 10;
SELECT *
  FROM (SELECT time_zone, anchor, midnight, lead(midnight) OVER w AS next,
               contacts_tier.next_renewal_date(anchor, 'annual', time_zone, midnight) AS computed_next
          FROM expected
         WHERE cycle = 'monthly' AND extract(month FROM day) = extract(month FROM anchor)
        WINDOW w AS (PARTITION BY time_zone, anchor ORDER BY midnight)) AS e
 WHERE next IS NOT NULL AND computed_next <> next
 LIMIT 10;

-- The dates of a subscription
SET contacts_tier.now = '2026-04-15 14:00+00';
CREATE TABLE contacts (id integer PRIMARY KEY, account text, email text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.create_plan('d_dates', '{100, 1000}');
CREATE VIEW date AS
    SELECT account, billing_cycle AS cycle, time_zone, started_at, anchor, period_started_at, next_update_at, renews_at
      FROM contacts_tier_account ORDER BY account;
-- empty while counters and contacts agree
CREATE VIEW drift AS
    SELECT * FROM contacts_tier.verify('d_dates.contacts')
     WHERE drift <> 0 OR pending_counted <> pending_actual;
SELECT contacts_tier.subscribe('contacts', 'now', 'd_dates');
SELECT contacts_tier.subscribe('contacts', 'annual', 'd_dates', billing_cycle => 'annual');
-- one that began earlier has the update dates up to now behind it
SELECT contacts_tier.subscribe('contacts', 'earlier', 'd_dates', started_at => '2025-12-31 10:00+00');
SELECT contacts_tier.subscribe('contacts', 'long ago', 'd_dates', billing_cycle => 'annual', started_at => '2020-02-29 10:00+00');
-- the anchor is the local day: it is the 16th in Tokyo already, and still the 14th in Honolulu
SELECT contacts_tier.subscribe('contacts', 'tokyo', 'd_dates', started_at => '2026-03-14 20:00+00', time_zone => 'Asia/Tokyo');
SELECT contacts_tier.subscribe('contacts', 'honolulu', 'd_dates', started_at => '2026-03-14 05:00+00', time_zone => 'Pacific/Honolulu');
TABLE date;
-- usage() tells the same dates
SELECT account, next_update_at, renews_at FROM contacts_tier.usage('contacts')
EXCEPT SELECT account, next_update_at, renews_at FROM date;
-- Another time zone moves the dates that are still to come ...
SELECT contacts_tier.set_policy('contacts', 'now', time_zone => 'America/New_York');
SELECT contacts_tier.set_policy('contacts', 'annual', time_zone => 'Asia/Tokyo');
SELECT * FROM date WHERE account IN ('now', 'annual');
-- ... and loses none: on the evening of 30 April in UTC, the update date of May
-- has passed in Auckland, and is due now
SET contacts_tier.now = '2026-04-30 20:00+00';
SELECT contacts_tier.subscribe('contacts', 'moved', 'd_dates', started_at => '2026-04-01 10:00+00');
SELECT contacts_tier.set_policy('contacts', 'moved', time_zone => 'Pacific/Auckland');
SELECT account, next_update_at, next_update_at <= contacts_tier.clock() AS is_due FROM date WHERE account = 'moved';
TABLE drift;


-- D2 On the update date exactly the contacts flagged before that instant become
-- non-marketing, with source type ROLLOVER.
TRUNCATE contacts;
DELETE FROM contacts_tier_account;
SET contacts_tier.now = '2026-01-15 10:00+00';
SELECT contacts_tier.subscribe('contacts', 'a', 'd_dates', time_zone => 'Europe/Berlin');
SELECT contacts_tier.subscribe('contacts', 'b', 'd_dates', started_at => '2026-01-10 10:00+00');
CREATE VIEW contact AS
    SELECT id, account, marketing_contact_status AS status, marketing_contact_until_next_update AS until,
           marketing_contact_status_source_type AS source_type, marketing_contact_status_updated_at AS updated_at
      FROM contacts ORDER BY id;
SET contacts_tier.source_type = 'API';
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(1, 8) AS n;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'b', 'marketing' FROM generate_series(11, 13) AS n;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (9, 'a', 'non_marketing');
-- flagged early, and flagged but promoted again
SET contacts_tier.now = '2026-01-20 10:00+00';
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id IN (1, 2, 3, 11);
SET contacts_tier.now = '2026-01-21 10:00+00';
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 3;
-- flagged a microsecond before midnight in Berlin, at midnight, and after it
SET contacts_tier.now = '2026-02-14 22:59:59.999999+00';
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 4;
SET contacts_tier.now = '2026-02-14 23:00+00';
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 5;
SET contacts_tier.now = '2026-02-16 10:00+00';
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 6;
-- a flag that stood before the date stands as of then, also where the row is written once more
UPDATE contacts SET marketing_contact_status = 'non_marketing', email = 'again' WHERE id = 1;
-- the procedure comes five days late, in a session with a time zone of its own
SET contacts_tier.now = '2026-02-20 10:00+00';
SET timezone = 'Asia/Tokyo';
CALL contacts_tier.rollover('contacts', 'a');
SET timezone = 'UTC';
SELECT * FROM contact WHERE account = 'a';
SELECT marketing_contact_status_source_name AS date, count(*) FROM contacts WHERE marketing_contact_status_source_type = 'ROLLOVER' GROUP BY 1;
SELECT account, period_started_at, next_update_at FROM date;
TABLE drift;
-- once more does nothing
CREATE TEMP TABLE before AS TABLE contact;
CALL contacts_tier.rollover('contacts', 'a');
SELECT 'changed', * FROM (TABLE contact EXCEPT TABLE before) AS c ORDER BY id;
SELECT count(*) AS ledger_entries FROM contacts_tier_ledger WHERE event = 'rollover';
-- nothing happens before the date; at the instant itself it is due
SET contacts_tier.now = '2026-03-14 22:59:59.999999+00';
CALL contacts_tier.rollover('contacts', 'a');
SELECT 'changed', * FROM (TABLE contact EXCEPT TABLE before) AS c ORDER BY id;
SET contacts_tier.now = '2026-03-14 23:00+00';
CALL contacts_tier.rollover('contacts', 'a');
SELECT 'changed', * FROM (TABLE contact EXCEPT TABLE before) AS c ORDER BY id;
TABLE drift;

-- Several missed dates are caught up one by one: b has three behind it
SET contacts_tier.now = '2026-02-11 10:00+00';
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 12;
SET contacts_tier.now = '2026-04-15 10:00+00';
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 13;
CALL contacts_tier.rollover('contacts');
SELECT id, account, status, until, source_type, updated_at FROM contact WHERE account = 'b';
SELECT account, recorded_at, contacts, details->>'update_date' AS update_date, details->>'period_started_at' AS period_started_at
  FROM contacts_tier_ledger WHERE event = 'rollover' ORDER BY account, 4;
SELECT account, period_started_at, next_update_at, renews_at FROM date;
-- the contact flagged last is the only one left to do
SELECT account, marketing_contacts, pending_non_marketing FROM contacts_tier.usage('contacts') WHERE account IN ('a', 'b');
TABLE drift;

-- Accounts have dates of their own: b's has passed by a second, a's is still to come
SET contacts_tier.now = '2026-05-10 00:00:01+00';
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 8;
CALL contacts_tier.rollover('contacts');
SELECT id, account, status, until FROM contact WHERE id IN (8, 13);
SELECT account, next_update_at FROM date;
TABLE drift;

-- In a transaction block it works without commits, and can be taken back
SET contacts_tier.now = '2026-06-20 10:00+00';
BEGIN;
CALL contacts_tier.rollover();
SELECT count(*) FILTER (WHERE until) AS flagged FROM contact;
TABLE drift;
ROLLBACK;
SELECT count(*) FILTER (WHERE until) AS flagged FROM contact;
BEGIN;
SAVEPOINT s;
CALL contacts_tier.rollover(batch_size => 1);
ROLLBACK TO s;
CALL contacts_tier.rollover('contacts', 'a', 1);
COMMIT;
SELECT count(*) FILTER (WHERE until) AS flagged FROM contact;
SELECT account, next_update_at FROM date;
-- from a procedure, and from a function, which cannot commit
CREATE PROCEDURE nightly() LANGUAGE plpgsql AS $$ BEGIN CALL contacts_tier.rollover('d_dates.contacts'); END $$;
CALL nightly();
SELECT account, next_update_at FROM date;
SET contacts_tier.now = '2026-07-20 10:00+00';
DO $$ BEGIN CALL contacts_tier.rollover('d_dates.contacts', batch_size => 1); END $$;
SELECT account, next_update_at FROM date;
TABLE drift;

-- Batches smaller than the number of contacts, whatever the key is: one column,
-- several, of a type with a length, of a type of one's own, hostile names, none
-- at all
SET contacts_tier.source_type = '';
DROP TABLE before;
DROP VIEW contact;
CREATE TABLE composite (region text, "No." integer, account text, PRIMARY KEY (region, "No."));
CREATE TABLE account_first (account text, id uuid, PRIMARY KEY (account, id));
CREATE TABLE by_character (id character(4) PRIMARY KEY, account text);
CREATE TABLE by_bit (id bit(8) PRIMARY KEY, account text);
CREATE TABLE by_time ("when it's" timestamptz PRIMARY KEY, account text);
CREATE DOMAIN contact_id AS integer CHECK (VALUE > 0);
CREATE TABLE by_domain (id contact_id PRIMARY KEY, account text);
CREATE TYPE shade AS ENUM ('red', 'green', 'blue', 'cyan', 'pink', 'grey', 'gold');
CREATE TABLE by_enum (id shade PRIMARY KEY, account text);
CREATE TABLE no_key (account text, email text);
CREATE TABLE "Weird"" table's" ("P""K '%s" text PRIMARY KEY, account text);
SELECT attach.* FROM unnest('{composite, account_first, by_character, by_bit, by_time, by_domain, by_enum, no_key, "\"Weird\"\" table''s\""}'::regclass[]) AS t,
       contacts_tier.attach(t, 'account');
SET contacts_tier.now = '2026-07-25 10:00+00';
INSERT INTO composite SELECT CASE n % 2 WHEN 0 THEN 'eu' ELSE 'u''s' END, n, 'a', 'marketing', n <> 4 FROM generate_series(1, 7) AS n;
INSERT INTO account_first SELECT 'a', ('00000000-0000-0000-0000-00000000000' || n)::uuid, 'marketing', n <> 4 FROM generate_series(1, 7) AS n;
INSERT INTO by_character SELECT 'x' || chr(96 + n), 'a', 'marketing', n <> 4 FROM generate_series(1, 7) AS n;
INSERT INTO by_bit SELECT n::bit(8), 'a', 'marketing', n <> 4 FROM generate_series(1, 7) AS n;
INSERT INTO by_time SELECT '2020-01-01 00:00+00'::timestamptz + n * interval '1 microsecond', 'a', 'marketing', n <> 4 FROM generate_series(1, 7) AS n;
INSERT INTO by_domain SELECT n, 'a', 'marketing', n <> 4 FROM generate_series(1, 7) AS n;
INSERT INTO by_enum SELECT (enum_range(NULL::shade))[n], 'a', 'marketing', n <> 4 FROM generate_series(1, 7) AS n;
INSERT INTO no_key SELECT 'a', 'x', 'marketing', n <> 4 FROM generate_series(1, 7) AS n;
INSERT INTO "Weird"" table's" SELECT repeat(E'''"\\%s', n), 'a', 'marketing', n <> 4 FROM generate_series(1, 7) AS n;
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_until_next_update)
    SELECT n, CASE n % 2 WHEN 0 THEN 'a' ELSE 'b' END, 'marketing', n <> 104 FROM generate_series(101, 107) AS n;
CREATE FUNCTION left_over() RETURNS TABLE (contacts regclass, flagged bigint, marketing bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR contacts IN SELECT a.contacts FROM contacts_tier.attached() a WHERE companion_schema = 'd_dates' ORDER BY a.contacts::text COLLATE "C" LOOP
        EXECUTE format('SELECT count(marketing_contact_until_next_update), count(*) FILTER (WHERE marketing_contact_status = ''marketing'') FROM %s',
                       contacts) INTO flagged, marketing;
        RETURN NEXT;
    END LOOP;
END $$;
SELECT * FROM left_over();
SELECT account, marketing_contacts, pending_non_marketing FROM contacts_tier.usage('contacts') WHERE account IN ('a', 'b');
SET contacts_tier.now = '2026-08-20 10:00+00';
SET statement_timeout = '20s';
CALL contacts_tier.rollover(batch_size => 3);
RESET statement_timeout;
SELECT * FROM left_over();
SELECT account, marketing_contacts, pending_non_marketing FROM contacts_tier.usage('contacts') WHERE account IN ('a', 'b');
SELECT account, contacts FROM contacts_tier_ledger
 WHERE event = 'rollover' AND recorded_at = contacts_tier.clock() ORDER BY account;
TABLE drift;

DROP SCHEMA d_dates CASCADE;
DELETE FROM contacts_tier.plan WHERE name LIKE 'd\_dates%';
