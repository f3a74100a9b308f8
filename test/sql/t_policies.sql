--
-- Policies of an account: the largest tier that it moves up to (T7), policies of source types (T8),
-- and what a move costs (T9)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
CREATE SCHEMA t_policies;
SET search_path = t_policies;
CREATE TABLE contacts (id serial PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.create_plan('t_policies', '{2, 4, 8}', '{10, 20, 35.55}', 'EUR');
CREATE FUNCTION promote(account text, VARIADIC sources text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO t_policies.contacts (account, marketing_contact_status, marketing_contact_status_source_type)
    SELECT account, 'marketing', s FROM unnest(sources) WITH ORDINALITY AS u (s, n) ORDER BY n
$$;
CREATE VIEW held AS
    SELECT account, marketing_contact_status_source_type AS source, marketing_contact_status AS status, count(*)
      FROM contacts GROUP BY 1, 2, 3 ORDER BY 1, 2, 3;
CREATE VIEW tier AS
    SELECT account, contact_limit AS "limit", max_limit AS "max", requested_limit AS requested, period_upgrades AS upgrades
      FROM contacts_tier_account ORDER BY account;
CREATE VIEW change AS
    SELECT account, from_limit AS "from", to_limit AS "to", reason, period_fraction AS fraction, month_share AS share, charge
      FROM contacts_tier.tier_changes('contacts') ORDER BY changed_at, account, from_limit;
CREATE VIEW drift AS SELECT account, drift FROM contacts_tier.verify('contacts') WHERE drift <> 0 OR pending_counted <> pending_actual;

-- T7: no upgrade beyond max_limit, shown by preview(), forecast() and the HINT
SELECT contacts_tier.subscribe('contacts', 'max', 't_policies', 2);
SELECT contacts_tier.set_policy('contacts', 'max', max_limit => 4);
SELECT promote('max', VARIADIC array_fill('USER'::text, '{3}'));
TABLE tier;
SELECT n, outcome, next_limit, max_limit FROM generate_series(0, 2) n, contacts_tier.preview('contacts', 'max', n);
SELECT next_tier, max_limit FROM contacts_tier.forecast('contacts', 'max');
SELECT promote('max', 'USER', 'USER');
\echo :SQLSTATE
-- the owner raises it at any time, lowers it below the tier, which stays, and takes it away
SELECT contacts_tier.set_policy('contacts', 'max', max_limit => 8);
SELECT promote('max', 'USER', 'USER');
SELECT contacts_tier.set_policy('contacts', 'max', max_limit => 3);
TABLE tier;
SELECT promote('max', 'USER', 'USER', 'USER');
SELECT promote('max', 'USER');
SELECT contacts_tier.set_policy('contacts', 'max', max_limit => 0);
TABLE tier;
SELECT event, details FROM contacts_tier_ledger WHERE event = 'policy' ORDER BY entry;
-- what only a default asks for is dropped, and never keeps the others from moving up as far as they may
SELECT contacts_tier.subscribe('contacts', 'default', 't_policies', 2);
SELECT contacts_tier.set_policy('contacts', 'default', max_limit => 4, source_defaults => '{"FORM": "marketing"}');
INSERT INTO contacts (account, marketing_contact_status, marketing_contact_status_source_type)
VALUES ('default', 'marketing', 'USER'), ('default', 'marketing', 'USER'), ('default', 'marketing', 'USER'),
       ('default', NULL, 'FORM'), ('default', NULL, 'FORM'), ('default', NULL, 'FORM');
SELECT * FROM held WHERE account = 'default';
SELECT * FROM tier WHERE account = 'default';
-- under "cap" no tier beyond it is requested, and a request that is beyond it is withdrawn
SELECT contacts_tier.subscribe('contacts', 'cap', 't_policies', 2, on_exceed => 'cap');
SELECT promote('cap', 'USER', 'USER', 'USER');
SELECT * FROM tier WHERE account = 'cap';
SELECT contacts_tier.set_policy('contacts', 'cap', max_limit => 2);
SELECT promote('cap', 'USER');
SELECT * FROM tier WHERE account = 'cap';
-- T4: grace is settled within it
SELECT contacts_tier.subscribe('contacts', 'grace', 't_policies', 2, grace => 2);
SELECT contacts_tier.set_policy('contacts', 'grace', max_limit => 2);
SELECT promote('grace', 'USER', 'USER', 'USER');
SET contacts_tier.now = '2026-02-10 00:00+00';
CALL contacts_tier.rollover();
SELECT * FROM tier WHERE account = 'grace';
-- the owner's own change_tier() is no upgrade of this kind
SELECT contacts_tier.change_tier('contacts', 'grace', 4);
SELECT * FROM tier WHERE account = 'grace';
-- block: the HINT tells both
SELECT contacts_tier.subscribe('contacts', 'both', 't_policies', 2, on_exceed => 'block');
SELECT contacts_tier.set_policy('contacts', 'both', max_limit => 3);
SELECT promote('both', 'USER', 'USER', 'USER');
-- wrong values
SELECT contacts_tier.set_policy('contacts', 'max', max_limit => -1);
\echo :SQLSTATE

-- T8: promotions of a source type follow its policy, others that of the account
SELECT contacts_tier.subscribe('contacts', 'src', 't_policies', 2);
SELECT contacts_tier.set_policy('contacts', 'src', source_policies => '{"IMPORT": "block", "WORKFLOW": "cap", "OUR OWN": "cap"}');
SELECT promote('src', 'IMPORT', 'IMPORT', 'IMPORT');
\echo :SQLSTATE
SELECT promote('src', 'WORKFLOW', 'WORKFLOW', 'WORKFLOW');
SELECT * FROM held WHERE account = 'src';
SELECT contacts, details FROM contacts_tier.notifications('contacts', 'src') WHERE event IN ('capped', 'upgrade_request') ORDER BY event;
SELECT promote('src', 'OUR OWN');
SELECT promote('src', 'USER');
SELECT * FROM tier WHERE account = 'src';
-- in one statement what may be dropped is dropped first, wherever it stands, ...
SELECT promote('src', 'WORKFLOW', 'USER', 'WORKFLOW', 'OUR OWN');
SELECT * FROM held WHERE account = 'src';
SELECT * FROM tier WHERE account = 'src';
-- ... then the account moves up if it may, and the others stay dropped; ...
SELECT promote('src', 'WORKFLOW', 'USER');
SELECT * FROM held WHERE account = 'src';
SELECT * FROM tier WHERE account = 'src';
-- ... and a blocked one goes with a move that another caused, but causes none
SELECT contacts_tier.subscribe('contacts', 'rides', 't_policies', 2);
SELECT contacts_tier.set_policy('contacts', 'rides', source_policies => '{"IMPORT": "block"}');
SELECT promote('rides', 'USER', 'USER');
SELECT promote('rides', 'IMPORT', 'IMPORT', 'IMPORT', 'USER');
SELECT promote('rides', 'IMPORT', 'USER');
SELECT * FROM tier WHERE account = 'rides';
-- an account under "block" whose people may move it up
SELECT contacts_tier.subscribe('contacts', 'people', 't_policies', 2, on_exceed => 'block');
SELECT contacts_tier.set_policy('contacts', 'people', source_policies => '{"USER": "upgrade"}', max_limit => 4);
SELECT promote('people', 'API', 'API', 'API');
SELECT promote('people', 'USER', 'USER', 'API');
SELECT * FROM tier WHERE account = 'people';
SELECT promote('people', 'USER', 'USER');
-- by default, under "block", none is refused; an UPDATE, a COPY and a MERGE of several sources judge alike
SELECT contacts_tier.set_policy('contacts', 'rides', max_limit => 4, source_policies => '{"FORM": "block", "WORKFLOW": "cap"}', source_defaults => '{"FORM": "marketing"}');
INSERT INTO contacts (account, marketing_contact_status_source_type) VALUES ('rides', 'FORM'), ('rides', 'FORM');
SELECT * FROM held WHERE account = 'rides';
COPY contacts (account, marketing_contact_status, marketing_contact_status_source_type) FROM stdin;
rides	marketing	WORKFLOW
people	non_marketing	WORKFLOW
rides	marketing	WORKFLOW
\.
SELECT * FROM held WHERE account = 'rides';
UPDATE contacts SET marketing_contact_status = 'marketing',
       marketing_contact_status_source_type = CASE WHEN id % 2 = 0 THEN 'WORKFLOW' ELSE 'IMPORT' END
 WHERE account = 'rides' AND marketing_contact_status = 'non_marketing';
SELECT contacts_tier.set_policy('contacts', 'rides', source_policies => '{"IMPORT": "cap", "WORKFLOW": "cap"}');
UPDATE contacts SET marketing_contact_status = 'marketing',
       marketing_contact_status_source_type = CASE WHEN id % 2 = 0 THEN 'WORKFLOW' ELSE 'IMPORT' END
 WHERE account = 'rides' AND marketing_contact_status = 'non_marketing';
SELECT * FROM held WHERE account = 'rides';
SELECT contacts_tier.set_policy('contacts', 'rides', source_policies => '{}');
SELECT promote('rides', 'WORKFLOW');
-- wrong values
SELECT contacts_tier.set_policy('contacts', 'src', source_policies => '{"IMPORT": "stop"}');
\echo :SQLSTATE
SELECT contacts_tier.set_policy('contacts', 'src', source_policies => '{"IMPORT": null}');
SELECT contacts_tier.set_policy('contacts', 'src', source_policies => '{"IMPORT": {"a": 1}}');
SELECT contacts_tier.set_policy('contacts', 'src', source_policies => '["IMPORT"]');
\echo :SQLSTATE
TABLE drift;

-- T9: what a promotion in the last hour costs: 2 -> 4 for 10 more a month
SET contacts_tier.now = '2026-03-01 00:00+00';
SELECT contacts_tier.subscribe('contacts', 'p_' || p, 't_policies', 2) FROM unnest('{prorated, full, none}'::text[]) p;
SELECT contacts_tier.set_policy('contacts', 'p_' || p, proration => p) FROM unnest('{prorated, full, none}'::text[]) p;
SET contacts_tier.now = '2026-03-31 23:00+00';
SELECT promote(account, 'USER', 'USER', 'USER') FROM contacts_tier_account WHERE account LIKE 'p\_%';
SELECT * FROM change WHERE account LIKE 'p\_%';
-- two moves in one period price the difference each
SELECT promote(account, 'USER', 'USER', 'USER') FROM contacts_tier_account WHERE account LIKE 'p\_%';
SELECT * FROM change WHERE account LIKE 'p\_%';
SELECT account, period_start, monthly_price, tier_charges, total FROM contacts_tier.billing_periods('contacts') WHERE account LIKE 'p\_%';
-- the next period has the new price, whatever the mode
SET contacts_tier.now = '2026-04-01 00:00+00';
CALL contacts_tier.rollover();
SELECT account, period_start, monthly_price, tier_charges, total FROM contacts_tier.billing_periods('contacts') WHERE account LIKE 'p\_%';
-- an anchor on the 31st: the short period from January 31st to February 28th, and the long one after it
SET contacts_tier.now = '2027-01-31 00:00+00';
SELECT contacts_tier.subscribe('contacts', 'a_' || p, 't_policies', 2) FROM unnest('{prorated, full, none}'::text[]) p;
SELECT contacts_tier.set_policy('contacts', 'a_' || p, proration => p) FROM unnest('{prorated, full, none}'::text[]) p;
SET contacts_tier.now = '2027-02-14 00:00+00';
SELECT promote(account, 'USER', 'USER', 'USER') FROM contacts_tier_account WHERE account LIKE 'a\_%';
SET contacts_tier.now = '2027-02-28 00:00+00';
CALL contacts_tier.rollover();
SET contacts_tier.now = '2027-03-30 23:00+00';
SELECT promote(account, 'USER', 'USER') FROM contacts_tier_account WHERE account LIKE 'a\_%';
SELECT * FROM change WHERE account LIKE 'a\_%';
-- a leap day, and a contract of a year: twelve periods pay a twelfth, the first from the 29th on a share of it
SET contacts_tier.now = '2028-02-29 00:00+00';
SELECT contacts_tier.subscribe('contacts', 'y_' || p, 't_policies', 2, 'annual') FROM unnest('{prorated, full, none}'::text[]) p;
SELECT contacts_tier.set_policy('contacts', 'y_' || p, proration => p) FROM unnest('{prorated, full, none}'::text[]) p;
SET contacts_tier.now = '2028-02-29 12:00+00';
SELECT promote(account, 'USER', 'USER', 'USER') FROM contacts_tier_account WHERE account LIKE 'y\_%';
SET contacts_tier.now = '2028-03-01 00:00+00';
CALL contacts_tier.rollover();
SET contacts_tier.now = '2028-03-31 12:00+00';
SELECT promote(account, 'USER', 'USER') FROM contacts_tier_account WHERE account LIKE 'y\_%';
SELECT * FROM change WHERE account LIKE 'y\_%';
SET contacts_tier.now = '2029-03-01 00:00+00';
CALL contacts_tier.rollover();
SELECT account, count(*), sum(month_share) AS shares, sum(tier_charges) AS charges, sum(total) AS total
  FROM contacts_tier.billing_periods('contacts') WHERE account LIKE 'y\_%' AND period_end <= '2029-02-28' GROUP BY account ORDER BY account;
-- a grace that is settled is charged in the period after it
SET contacts_tier.now = '2029-03-10 00:00+00';
SELECT contacts_tier.subscribe('contacts', 'g_none', 't_policies', 2, grace => 1);
SELECT contacts_tier.set_policy('contacts', 'g_none', proration => 'none');
SELECT promote('g_none', 'USER', 'USER', 'USER');
SET contacts_tier.now = '2029-04-10 00:00+00';
CALL contacts_tier.rollover();
SELECT * FROM change WHERE account = 'g_none';
SELECT contacts_tier.set_policy('contacts', 'g_none', proration => 'half');
\echo :SQLSTATE
TABLE drift;
DROP SCHEMA t_policies CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 't_policies';
