--
-- The tiers of the field: each has a test
-- (rules T1 and T5)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA domain_tier;
SET search_path = domain_tier, public;
SET contacts_tier.now = '2026-01-01 00:00+00';
CREATE TABLE contacts (id integer PRIMARY KEY, account text, email text);
SELECT contacts_tier.attach('contacts', 'account');
CREATE VIEW usage AS
    SELECT account, plan, contact_limit, marketing_contacts, available FROM contacts_tier.usage('domain_tier.contacts');
CREATE VIEW tier_change AS
    SELECT account, changed_at, from_limit, to_limit, reason, marketing_contacts, period_fraction, charge, currency
      FROM contacts_tier.tier_changes('domain_tier.contacts');
CREATE VIEW period AS
    SELECT account, period_start, closed, contact_limit, opening, peak, closing, promoted, demoted, upgrades,
           monthly_price, tier_charges, total
      FROM contacts_tier.billing_periods('domain_tier.contacts');
-- empty while counters and contacts agree
CREATE VIEW drift AS
    SELECT * FROM contacts_tier.verify('domain_tier.contacts') WHERE drift <> 0 OR pending_counted <> pending_actual;
-- gives an account so many marketing contacts more
CREATE FUNCTION promote(which text, number integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO domain_tier.contacts (id, account, marketing_contact_status)
    SELECT n + (SELECT coalesce(max(id), 0) FROM domain_tier.contacts), which, 'marketing' FROM generate_series(1, number) AS n
$$;


-- Row: sizes (US list, 2026): Starter, Professional, Enterprise; the unit price falls in bands, so tiers are rows, not a formula
-- 1,000 included, steps of 1,000 at $50
SELECT contacts_tier.create_plan('domain starter', array_agg(1000 * n ORDER BY n), array_agg(20 + 50 * (n - 1) ORDER BY n))
  FROM generate_series(1, 10) AS n;
-- 2,000 included, steps of 5,000: $250 up to 22,000, then $225
SELECT contacts_tier.create_plan('domain professional', array_agg(2000 + 5000 * n ORDER BY n),
                                 array_agg(890 + 250 * least(n, 4) + 225 * greatest(n - 4, 0) ORDER BY n))
  FROM generate_series(0, 60) AS n;
-- 10,000 included, steps of 10,000 at $100
SELECT contacts_tier.create_plan('domain enterprise', array_agg(10000 * n ORDER BY n), array_agg(3600 + 100 * (n - 1) ORDER BY n))
  FROM generate_series(1, 30) AS n;
SELECT plan, count(*) AS tiers, min(contact_limit), max(contact_limit), min(monthly_price) AS from_price, max(monthly_price) AS to_price
  FROM contacts_tier.tier WHERE plan LIKE 'domain %' GROUP BY plan ORDER BY plan;
SELECT contact_limit, monthly_price, monthly_price - lag(monthly_price) OVER (ORDER BY contact_limit) AS step
  FROM contacts_tier.tier WHERE plan = 'domain professional' ORDER BY contact_limit LIMIT 7;
-- who subscribes without a size gets what is included
SELECT contacts_tier.subscribe('contacts', p, 'domain ' || p) FROM unnest('{starter, professional, enterprise}'::text[]) AS p;
SELECT account, contact_limit FROM usage;


-- Row: what trips it: a count strictly greater than the tier; at the tier is fine
SELECT promote('starter', 1000);
SELECT * FROM usage WHERE account = 'starter';
SELECT count(*) FROM tier_change;
SELECT promote('starter', 1);
SELECT * FROM usage WHERE account = 'starter';
-- non-marketing contacts are free
INSERT INTO contacts (id, account) SELECT n, 'starter' FROM generate_series(100001, 105000) AS n;
SELECT * FROM usage WHERE account = 'starter';


-- Row: what happens: automatic move to the smallest larger tier that fits, jumping several if needed
SELECT promote('professional', 12000);
SELECT * FROM usage WHERE account = 'professional';
-- 12,000 -> 252,000 overnight
SELECT promote('professional', 235001);
SELECT * FROM usage WHERE account = 'professional';
-- one move each, not one for each tier on the way
SELECT account, from_limit, to_limit, reason, marketing_contacts FROM tier_change WHERE account = 'professional';
-- who did it
SELECT DISTINCT role = current_user AS by_me FROM contacts_tier.tier_changes('contacts', 'professional');


-- Row: charge: pro-rated, the following day (the bill is at hand at once)
-- 15.5 of January's 31 days are left: half of the difference of $100 a month
SELECT promote('enterprise', 10000);
SET contacts_tier.now = '2026-01-16 12:00+00';
SELECT promote('enterprise', 1);
SELECT * FROM tier_change WHERE account = 'enterprise';
SELECT * FROM period WHERE account = 'enterprise';
-- on the last day a 31st, and from the next period on the whole price
SET contacts_tier.now = '2026-01-31 00:00+00';
SELECT promote('enterprise', 10000);
SELECT * FROM tier_change WHERE account = 'enterprise';
SET contacts_tier.now = '2026-02-01 10:00+00';
CALL contacts_tier.rollover('contacts');
SELECT * FROM period WHERE account = 'enterprise';
-- a plan without prices records the share of the period
SELECT contacts_tier.create_plan('domain unpriced', '{1, 2}');
SELECT contacts_tier.subscribe('contacts', 'unpriced', 'domain unpriced', started_at => '2026-02-01');
SET contacts_tier.now = '2026-02-08 00:00+00';
SELECT promote('unpriced', 2);
SELECT * FROM tier_change WHERE account = 'unpriced';


-- Row: undo: none before renewal; a lower count never lowers the tier by itself
SELECT contacts_tier.subscribe('contacts', 'annual', 'domain starter', 2000, 'annual', '2026-02-01');
SELECT promote('annual', 2001);
SELECT * FROM usage WHERE account = 'annual';
DELETE FROM contacts WHERE account = 'annual';
SELECT * FROM usage WHERE account = 'annual';
SET contacts_tier.now = '2026-06-15 10:00+00';
CALL contacts_tier.rollover('contacts', 'annual');
SELECT * FROM usage WHERE account = 'annual';
-- smaller at once is refused
SELECT contacts_tier.change_tier('contacts', 'annual', 1000, at_renewal => false);
\echo :SQLSTATE
-- nor does the renewal lower what nobody asked to be lowered
SET contacts_tier.now = '2027-02-01 10:00+00';
CALL contacts_tier.rollover('contacts', 'annual');
SELECT * FROM usage WHERE account = 'annual';


-- Row: downgrade: asked for before renewal; the count must fit
SELECT promote('annual', 1500);
SELECT contacts_tier.change_tier('contacts', 'annual', 2000);
-- until the renewal date nothing changes
SET contacts_tier.now = '2028-01-31 10:00+00';
CALL contacts_tier.rollover('contacts', 'annual');
SELECT * FROM usage WHERE account = 'annual';
SET contacts_tier.now = '2028-02-01 10:00+00';
CALL contacts_tier.rollover('contacts', 'annual');
SELECT * FROM usage WHERE account = 'annual';
SELECT * FROM tier_change WHERE account = 'annual';
-- one that does not fit is not taken, and the account is told
SELECT contacts_tier.change_tier('contacts', 'annual', 1000);
SET contacts_tier.now = '2029-02-01 10:00+00';
CALL contacts_tier.rollover('contacts', 'annual');
SELECT * FROM usage WHERE account = 'annual';
SELECT notified_at, event, marketing_contacts, contact_limit FROM contacts_tier.notifications('contacts', 'annual')
 WHERE event = 'downgrade_kept';
-- what leaves in time makes it fit: the contacts flagged before the renewal date do not count after it
SELECT contacts_tier.change_tier('contacts', 'annual', 1000);
UPDATE contacts SET marketing_contact_status = 'non_marketing'
 WHERE id IN (SELECT id FROM contacts WHERE account = 'annual' ORDER BY id LIMIT 500);
SELECT * FROM usage WHERE account = 'annual';
SET contacts_tier.now = '2030-02-01 10:00+00';
CALL contacts_tier.rollover('contacts', 'annual');
SELECT * FROM usage WHERE account = 'annual';
TABLE drift;

DROP SCHEMA domain_tier CASCADE;
DELETE FROM contacts_tier.plan WHERE name LIKE 'domain %';
