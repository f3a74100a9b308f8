--
-- The dates of the field: each has a test
-- (rules S2, D1 and D2)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA domain_dates;
SET search_path = domain_dates, public;
SET contacts_tier.now = '2026-04-15 14:00+00';
CREATE TABLE contacts (id integer PRIMARY KEY, account text, email text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.create_plan('domain_dates', '{100, 1000}');
CREATE VIEW contact AS
    SELECT id, marketing_contact_status AS status, marketing_contact_until_next_update AS until,
           marketing_contact_status_source_type AS source_type, marketing_contact_status_updated_at AS updated_at
      FROM contacts ORDER BY id;
-- the dates of an account, in its own time
CREATE FUNCTION dates(which text, OUT next_update timestamp, OUT renewal timestamp) LANGUAGE sql AS $$
    SELECT u.next_update_at AT TIME ZONE a.time_zone, u.renews_at AT TIME ZONE a.time_zone
      FROM contacts_tier.usage('domain_dates.contacts', which) u JOIN domain_dates.contacts_tier_account a USING (account)
$$;
-- the update dates that an account lives through up to some day: the clock goes
-- to each one, and rollover applies it
CREATE PROCEDURE live(which text, until timestamptz) LANGUAGE plpgsql AS $$
DECLARE
    due timestamptz;
BEGIN
    LOOP
        SELECT next_update_at INTO due FROM contacts_tier.usage('contacts', which);
        EXIT WHEN due > until;
        PERFORM set_config('contacts_tier.now', due::text, false);
        CALL contacts_tier.rollover('contacts', which);
    END LOOP;
END $$;
CREATE VIEW applied AS
    SELECT account, (details->>'update_date')::timestamptz AS update_date
      FROM contacts_tier_ledger WHERE event = 'rollover' ORDER BY 1, 2;
-- empty while counters and contacts agree
CREATE VIEW drift AS
    SELECT * FROM contacts_tier.verify('domain_dates.contacts') WHERE drift <> 0 OR pending_counted <> pending_actual;


-- Row: monthly subscription: the update date is the day of month of the renewal (bought 15 April -> 15 May)
SELECT contacts_tier.subscribe('contacts', 'monthly', 'domain_dates');
SELECT * FROM dates('monthly');
CALL live('monthly', '2026-08-01');
SELECT update_date FROM applied WHERE account = 'monthly';
SELECT * FROM dates('monthly');


-- Row: annual subscription: the update date is the 1st of each month, or the renewal date if that comes first
SET contacts_tier.now = '2026-04-15 14:00+00';
SELECT contacts_tier.subscribe('contacts', 'annual', 'domain_dates', billing_cycle => 'annual');
SELECT * FROM dates('annual');
CALL live('annual', '2027-05-31');
-- twelve times the 1st; then the renewal date comes before the next 1st
SELECT update_date FROM applied WHERE account = 'annual';
SELECT * FROM dates('annual');
-- a renewal date on the 1st is one date
SET contacts_tier.now = '2026-05-01 14:00+00';
SELECT contacts_tier.subscribe('contacts', 'annual first', 'domain_dates', billing_cycle => 'annual');
CALL live('annual first', '2027-06-30');
SELECT update_date FROM applied WHERE account = 'annual first' AND update_date > '2027-03-15';


-- Row: promotion is immediate, demotion waits for the update date
SET contacts_tier.now = '2026-04-15 14:00+00';
SELECT contacts_tier.subscribe('contacts', 'waits', 'domain_dates');
INSERT INTO contacts (id, account) VALUES (1, 'waits'), (2, 'waits'), (3, 'waits');
SET contacts_tier.now = '2026-04-20 10:00+00';
UPDATE contacts SET marketing_contact_status = 'marketing';
SELECT * FROM contact;
SELECT marketing_contacts, pending_non_marketing FROM contacts_tier.usage('contacts', 'waits');
SET contacts_tier.now = '2026-05-01 10:00+00';
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id IN (1, 2);
-- they stay what they are, count, and carry the flag
SELECT * FROM contact;
SELECT marketing_contacts, pending_non_marketing, projected_marketing_contacts FROM contacts_tier.usage('contacts', 'waits');
-- until the update date, not a microsecond earlier
SET contacts_tier.now = '2026-05-14 23:59:59.999999+00';
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 2;
CALL contacts_tier.rollover('contacts', 'waits');
SELECT * FROM contact;
SET contacts_tier.now = '2026-05-15 00:00+00';
CALL contacts_tier.rollover('contacts', 'waits');
SELECT * FROM contact;
SELECT marketing_contacts, pending_non_marketing FROM contacts_tier.usage('contacts', 'waits');
TABLE drift;


-- Row: day 29-31 in a short month: clamp to the last day, keep the anchor day for the next month
-- over a February of 28 days, and over one of 29
SET contacts_tier.now = '2026-01-31 12:00+00';
SELECT contacts_tier.subscribe('contacts', 'day ' || extract(day FROM d), 'domain_dates', started_at => d)
  FROM unnest('{2026-01-29, 2026-01-30, 2026-01-31}'::timestamptz[]) AS d;
CALL live('day 29', '2026-05-15');
CALL live('day 30', '2026-05-15');
CALL live('day 31', '2026-05-15');
SET contacts_tier.now = '2027-12-31 12:00+00';
SELECT contacts_tier.subscribe('contacts', 'leap ' || extract(day FROM d), 'domain_dates', started_at => d)
  FROM unnest('{2027-12-29, 2027-12-30, 2027-12-31}'::timestamptz[]) AS d;
CALL live('leap 29', '2028-04-15');
CALL live('leap 30', '2028-04-15');
CALL live('leap 31', '2028-04-15');
SELECT account, string_agg(to_char(update_date, 'YYYY-MM-DD'), ' ' ORDER BY update_date) AS update_dates
  FROM applied WHERE account ~ '^day|^leap' GROUP BY account ORDER BY account;
-- a contract of 29 February renews on 28 February in common years
SET contacts_tier.now = '2028-02-29 12:00+00';
SELECT contacts_tier.subscribe('contacts', 'leap day', 'domain_dates', billing_cycle => 'annual');
SELECT * FROM dates('leap day');
CALL live('leap day', '2029-03-15');
SELECT * FROM dates('leap day');
CALL live('leap day', '2031-03-15');
SELECT * FROM dates('leap day');


-- Row: the instant: 00:00 in the account's own time zone (DST gaps and overlaps)
-- the same day begins at as many instants as there are time zones
SET contacts_tier.now = '2026-04-15 14:00+00';
SELECT contacts_tier.subscribe('contacts', z, 'domain_dates', time_zone => z)
  FROM unnest('{Europe/Berlin, America/New_York, Asia/Kathmandu}'::text[]) AS z;
SELECT account, next_update_at FROM contacts_tier.usage('contacts') WHERE account ~ '/' ORDER BY next_update_at;
-- it moves against UTC with summer time
CALL live('Europe/Berlin', '2026-11-16');
SELECT update_date FROM applied WHERE account = 'Europe/Berlin' AND update_date > '2026-09-01';
-- clocks that go forward at 00:00: the day begins at 01:00
SET contacts_tier.now = '2018-10-20 12:00+00';
SELECT contacts_tier.subscribe('contacts', 'gap', 'domain_dates', started_at => '2018-10-04 12:00+00', time_zone => 'America/Sao_Paulo');
SELECT * FROM dates('gap');
SELECT next_update_at FROM contacts_tier.usage('contacts', 'gap');
CALL live('gap', '2018-12-15');
SELECT update_date, update_date AT TIME ZONE 'America/Sao_Paulo' AS local FROM applied WHERE account = 'gap';
-- clocks that go back at 01:00 show 00:00 twice: the first of the two
SET contacts_tier.now = '2018-10-20 12:00+00';
SELECT contacts_tier.subscribe('contacts', 'overlap', 'domain_dates', started_at => '2018-10-04 12:00+00', time_zone => 'America/Havana');
CALL live('overlap', '2018-12-15');
SELECT update_date, update_date AT TIME ZONE 'America/Havana' AS local FROM applied WHERE account = 'overlap';


-- Row: the renewal date (contract) and the monthly update date are two clocks
SET contacts_tier.now = '2026-04-15 14:00+00';
SELECT contacts_tier.subscribe('contacts', 'clocks', 'domain_dates', billing_cycle => 'annual');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (10, 'clocks', 'marketing');
SELECT * FROM dates('clocks');
SET contacts_tier.now = '2026-04-20 14:00+00';
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 10;
-- the update date demotes, and leaves the renewal date where it is
SET contacts_tier.now = '2026-05-01 14:00+00';
CALL contacts_tier.rollover('contacts', 'clocks');
SELECT * FROM contact WHERE id = 10;
SELECT * FROM dates('clocks');
-- a cancelled contract goes on to its renewal date, over every update date before it
SELECT contacts_tier.cancel('contacts', 'clocks');
CALL live('clocks', '2027-04-14');
SELECT contacts_tier.has_access('contacts', 'clocks');
SELECT * FROM dates('clocks');
SET contacts_tier.now = '2027-04-15 00:00+00';
CALL contacts_tier.rollover('contacts', 'clocks');
SELECT contacts_tier.has_access('contacts', 'clocks');
TABLE drift;

DROP SCHEMA domain_dates CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'domain_dates';
