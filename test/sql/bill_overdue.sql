--
-- forecast() and preview() while update dates have passed and are not applied (rule T6): they say what will hold
-- once these are.  Beside each, in a transaction that is rolled back, what they say when the rollover has been there.
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
CREATE SCHEMA bill_overdue;
SET search_path = bill_overdue;
SET contacts_tier.now = '2026-01-10 00:00+00';
CREATE TABLE contacts (id serial PRIMARY KEY, account text);
CREATE TABLE leads (account text, id serial PRIMARY KEY);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.attach('leads', 'account');
SELECT contacts_tier.create_plan('overdue', '{2, 4, 8}', '{10, 20, 35.55}', 'EUR');
SELECT contacts_tier.subscribe('contacts', a, 'overdue', 4) FROM unnest('{flags, zone, down, asked, ends, year, idle}'::text[]) a;
SELECT contacts_tier.subscribe('contacts', a, 'overdue', 2, grace => 3) FROM unnest('{grace, max}'::text[]) a;
SELECT contacts_tier.set_policy('contacts', 'down', auto_downgrade => true);
SELECT contacts_tier.set_policy('contacts', 'max', max_limit => 2);
SELECT contacts_tier.set_policy('contacts', 'zone', time_zone => 'America/Havana');
SELECT contacts_tier.set_policy('contacts', 'year', billing_cycle => 'annual');
SELECT contacts_tier.change_tier('contacts', 'asked', 2);
SELECT contacts_tier.cancel('contacts', 'ends');
INSERT INTO contacts (account, marketing_contact_status)
SELECT a, 'marketing' FROM unnest('{flags, zone, down, asked, ends, year, grace, max}'::text[]) a, generate_series(1, 2);
INSERT INTO leads (account, marketing_contact_status)
SELECT a, 'marketing' FROM unnest('{flags, zone, down, asked, ends, year, grace, max}'::text[]) a, generate_series(1, 2);
UPDATE leads SET marketing_contact_status = 'non_marketing' WHERE account IN ('flags', 'zone', 'down', 'asked', 'year') AND id % 2 = 0;
CREATE VIEW ahead AS
    SELECT f.account, f.marketing_contacts AS now, f.pending_non_marketing AS pending, f.next_update_at, f.at_next_update AS at,
           f.renews_at, f.at_renewal AS at_renewal, f.tier_needed AS needed, f.next_tier AS next, f.period_charges AS charges,
           p.contact_limit AS "limit", p.would_be, p.next_limit, p.outcome
      FROM contacts_tier.forecast('contacts') f, contacts_tier.preview('contacts', f.account, 2) p ORDER BY f.account;
TABLE ahead;
CREATE PROCEDURE compare() LANGUAGE plpgsql AS $$
DECLARE
    before text[] := ARRAY(SELECT a::text FROM bill_overdue.ahead a);
    after  text[];
BEGIN
    CALL contacts_tier.rollover('bill_overdue.contacts');
    after := ARRAY(SELECT a::text FROM bill_overdue.ahead a);
    RAISE WARNING '% accounts, the same: %', cardinality(before), before = after;
    IF before <> after THEN
        RAISE WARNING '%', (SELECT string_agg(format(E'%s\n%s', b, a), E'\n') FROM unnest(before, after) x (b, a) WHERE b IS DISTINCT FROM a);
    END IF;
END $$;
-- flags of after the date are for the next one; dates that were missed follow one another
SET contacts_tier.now = '2026-02-10 10:00+00';
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE account IN ('flags', 'year') AND id % 2 = 1;
TABLE ahead;
SELECT marketing_contacts, would_be, outcome FROM contacts_tier.preview('contacts', 'ends', 0);
BEGIN;
CALL compare();
ROLLBACK;
SET contacts_tier.now = '2026-05-20 10:00+00';
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE account IN ('zone', 'down');
BEGIN;
CALL compare();
ROLLBACK;
-- who can read the companion tables alone reads it, too
CREATE ROLE regress_bill_overdue;
GRANT USAGE ON SCHEMA bill_overdue TO regress_bill_overdue;
GRANT SELECT ON contacts_tier_account, contacts_tier_counter, contacts_tier_ledger TO regress_bill_overdue;
SET ROLE regress_bill_overdue;
SELECT account, marketing_contacts, pending_non_marketing FROM contacts_tier.forecast('contacts', 'down');
RESET ROLE;
DROP SCHEMA bill_overdue CASCADE;
DROP ROLE regress_bill_overdue;
DELETE FROM contacts_tier.plan WHERE name = 'overdue';
