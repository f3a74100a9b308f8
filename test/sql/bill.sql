--
-- The bill: the ledger as typed rows, forecast and preview (rules D3, T1 and N1)
--
SET TIME ZONE 'UTC';
SET datestyle = 'ISO, YMD';
SET client_min_messages = error;
\set VERBOSITY terse
\set SHOW_CONTEXT never
\pset null '-'
SET contacts_tier.now = '2026-01-01 00:00+00';

CREATE SCHEMA bill;
SET search_path = bill, public;
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
CREATE TABLE leads (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.attach('leads', 'account');
SELECT contacts_tier.create_plan('bill', '{2, 4, 8}', '{10, 20.01, 40}', 'EUR');
SELECT contacts_tier.create_plan('bill unpriced', '{2, 4}');
SELECT contacts_tier.create_plan('bill legacy', NULL, marketing_contacts => false);

CREATE VIEW period AS
    SELECT account, period_start::date AS "from", period_end::date AS "to", closed, contact_limit AS "limit", opening, peak,
           closing, promoted AS up, demoted AS down, upgrades, monthly_price, tier_charges, total
      FROM contacts_tier.billing_periods('contacts');


-- Nothing happened yet: the running period alone
SELECT contacts_tier.subscribe('contacts', 'grows', 'bill', 2);
SELECT * FROM contacts_tier.billing_periods('contacts') \gx
SELECT contacts, account, changed_at, plan, from_limit, to_limit, reason, marketing_contacts, period_fraction, month_share, charge, currency, role
  FROM contacts_tier.tier_changes('contacts');
SELECT * FROM contacts_tier.notifications('contacts');
SELECT count(*) FROM contacts_tier.activity('contacts');
SELECT * FROM contacts_tier.forecast('contacts') \gx


-- Half of January is left when the third contact needs the next tier: 0.5 x 10.01
-- is 5.005, and rounded half away from zero
SET contacts_tier.now = '2026-01-16 12:00+00';
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'grows', 'marketing' FROM generate_series(1, 3) n;
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 1;
SELECT contacts, account, changed_at, plan, from_limit, to_limit, reason, marketing_contacts, period_fraction, charge, currency, role = current_user AS me
  FROM contacts_tier.tier_changes('contacts') \gx
SELECT * FROM period;
-- 3 of them now, one of them until the update date; then the first tier would do,
-- and the next one costs 19.99 more than the present
SELECT * FROM contacts_tier.forecast('contacts', 'grows') \gx
SELECT notified_at, event, threshold, marketing_contacts, contact_limit, details, role = current_user AS me
  FROM contacts_tier.notifications('contacts', 'grows');

-- The update date closes the period: what it opened with and what came and went
-- make what it closed with, and the new one begins with the price of its tier
SET contacts_tier.now = '2026-02-03 00:00+00';
CALL contacts_tier.rollover('contacts');
SELECT * FROM period;
SELECT account, plan, currency FROM contacts_tier.billing_periods('contacts');
SELECT bool_and(closing = opening + promoted - demoted + corrected) FROM contacts_tier.billing_periods('contacts');

-- A tier change on the very date belongs to the period that it begins: a whole
-- period is left.  One before it by a microsecond belongs to the other.
INSERT INTO contacts_tier_ledger (account, recorded_at, event, role, contacts, details) VALUES
    ('grows', '2026-02-01 00:00+00', 'tier_change', 'operator', 5,
     '{"plan": "bill", "currency": "EUR", "from": 4, "to": 8, "from_price": 20.01, "to_price": 40, "reason": "grace", "period_fraction": 1.000000, "charge": 19.99}'),
    ('grows', '2026-01-31 23:59:59.999999+00', 'tier_change', 'operator', 5,
     '{"plan": "bill", "currency": "EUR", "from": 4, "to": 8, "from_price": 20.01, "to_price": 40, "reason": "requested", "period_fraction": 0.000000, "charge": 0.01}');
SELECT account, closed, monthly_price, tier_charges, total FROM contacts_tier.billing_periods('contacts');
SELECT period_charges FROM contacts_tier.forecast('contacts', 'grows');
-- in the order in which they took place, whenever they were written down
SELECT changed_at, from_limit, to_limit, reason, marketing_contacts, period_fraction, charge FROM contacts_tier.tier_changes('contacts');
-- the next update date closes it, and nothing of the bill is lost
SET contacts_tier.now = '2026-03-01 00:00+00';
CALL contacts_tier.rollover('contacts');
SELECT account, "from", closed, monthly_price, tier_charges, total FROM period;
SELECT sum(total) FROM contacts_tier.billing_periods('contacts') WHERE closed;

-- A plan's new prices change neither past bills nor the running period's
UPDATE contacts_tier.tier SET monthly_price = monthly_price * 10 WHERE plan = 'bill';
SELECT account, "from", closed, monthly_price, tier_charges, total FROM period;
SELECT next_tier, next_tier_extra_price FROM contacts_tier.forecast('contacts', 'grows');
UPDATE contacts_tier.tier SET monthly_price = monthly_price / 10 WHERE plan = 'bill';

-- Counts are of the account, whichever of the tables and slots they are in
INSERT INTO contacts_tier_counter (account, slot, used, pending, granted, promoted, demoted, peak)
    VALUES ('grows', 1, 1, 1, 1, 2, 1, 7), ('grows', 2, 0, 0, 0, 3, 3, 6);
SELECT opening, peak, closing, promoted, demoted FROM contacts_tier.billing_periods('leads', 'grows') WHERE NOT closed;
SELECT marketing_contacts, pending_non_marketing, at_next_update FROM contacts_tier.forecast('leads', 'grows');
SELECT would_be FROM contacts_tier.preview('leads', 'grows', 1);
DELETE FROM contacts_tier_counter WHERE slot > 0;
-- no counter yet, but contacts at the start: the peak is not below them
SELECT contacts_tier.subscribe('contacts', 'opened', 'bill', 4);
UPDATE contacts_tier_account SET period_opening = 3 WHERE account = 'opened';
SELECT opening, peak, closing FROM contacts_tier.billing_periods('contacts', 'opened');


-- Where no prices are kept there is no bill, but there are counts
SELECT contacts_tier.subscribe('contacts', 'unpriced', 'bill unpriced', 2);
SELECT monthly_price, tier_charges, total, currency FROM contacts_tier.billing_periods('contacts', 'unpriced');
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'unpriced', 'marketing' FROM generate_series(11, 13) n;
SELECT from_limit, to_limit, charge, currency FROM contacts_tier.tier_changes('contacts', 'unpriced');
SELECT closing, upgrades, monthly_price, tier_charges, total FROM contacts_tier.billing_periods('contacts', 'unpriced');
SELECT next_tier, next_tier_extra_price, period_charges FROM contacts_tier.forecast('contacts', 'unpriced');
SELECT * FROM contacts_tier.preview('contacts', 'unpriced', 1);
SELECT * FROM contacts_tier.preview('contacts', 'unpriced', 2);


-- Forecast: with a cancelled subscription nobody is left at the renewal.  An annual
-- contract has update dates before it.
SELECT contacts_tier.subscribe('contacts', 'annual', 'bill', 4, 'annual');
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'annual', 'marketing' FROM generate_series(21, 24) n;
UPDATE contacts SET marketing_contact_until_next_update = true WHERE id = 21;
SELECT next_update_at, at_next_update, renews_at, at_renewal, tier_needed, tier_needed_at_renewal FROM contacts_tier.forecast('contacts', 'annual');
UPDATE contacts_tier_account SET cancelled = true WHERE account IN ('annual', 'grows');
SELECT account, next_update_at, at_next_update, renews_at, at_renewal, tier_needed, tier_needed_at_renewal
  FROM contacts_tier.forecast('contacts') WHERE account IN ('annual', 'grows');
UPDATE contacts_tier_account SET cancelled = false;
-- no tier is as large
INSERT INTO contacts_tier_counter (account, used) VALUES ('opened', 9) ON CONFLICT (account, slot) DO UPDATE SET used = 9;
SELECT at_next_update, tier_needed, tier_needed_at_renewal, next_tier, next_tier_extra_price FROM contacts_tier.forecast('contacts', 'opened');
DELETE FROM contacts_tier_counter WHERE account = 'opened';
-- the largest tier has no next one
SELECT contacts_tier.subscribe('contacts', 'largest', 'bill', 8);
SELECT at_next_update, tier_needed, next_tier, next_tier_extra_price FROM contacts_tier.forecast('contacts', 'largest');


-- Preview, by each policy
CREATE FUNCTION preview(account text, VARIADIC additional bigint[])
RETURNS TABLE (additional_ bigint, fits boolean, "now" bigint, "limit" bigint, would_be bigint, next_limit bigint, extra numeric, currency text, outcome text, max bigint)
LANGUAGE sql AS $$
    SELECT n, p.* FROM unnest(additional) n, contacts_tier.preview('bill.contacts', account, n) p
$$;
SELECT * FROM preview('annual', 0, 1, 4, 5);
SELECT contacts_tier.set_policy('contacts', 'annual', grace => 2);
SELECT * FROM preview('annual', 0, 2, 3);
SELECT contacts_tier.set_policy('contacts', 'annual', on_exceed => 'block');
SELECT * FROM preview('annual', 2, 3, 5);
UPDATE contacts_tier_account SET on_exceed = 'cap' WHERE account = 'annual';
SELECT * FROM preview('annual', 2, 3);
SELECT contacts_tier.set_policy('contacts', 'annual', on_exceed => 'upgrade', grace => 9223372036854775807);
SELECT * FROM preview('annual', 1000000);
SELECT contacts_tier.set_policy('contacts', 'annual', grace => 0);
-- what it says is what happens
SELECT outcome, next_limit FROM contacts_tier.preview('contacts', 'annual', 4);
BEGIN;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'annual', 'marketing' FROM generate_series(25, 28) n;
SELECT contact_limit, marketing_contacts FROM contacts_tier.usage('contacts', 'annual');
ROLLBACK;
-- no access: without a subscription, by the plan, after the end
SELECT contacts_tier.subscribe('contacts', 'legacy', 'bill legacy');
SELECT * FROM preview('nobody', 0, 1);
SELECT * FROM preview('legacy', 1);
UPDATE contacts_tier_account SET ended_at = '2026-03-01 00:00+00' WHERE account = 'grows';
SELECT * FROM preview('grows', 1);
SELECT account, contacts_tier.has_access('contacts', account) FROM unnest('{nobody, legacy, grows, annual}'::text[]) account;
-- what ended has bills, but no running period and no future
SELECT account, "from", closed, total FROM period WHERE account = 'grows';
SELECT count(*) FROM contacts_tier.forecast('contacts', 'grows');
SELECT * FROM contacts_tier.preview('contacts', 'annual', -1);
SELECT * FROM contacts_tier.preview('contacts', 'annual', NULL);
SELECT * FROM contacts_tier.preview('contacts', NULL, 1);
SELECT * FROM contacts_tier.preview(NULL, 'annual', 1);
SELECT * FROM contacts_tier.preview('contacts', 'annual', 9223372036854775807);
SELECT * FROM contacts_tier.preview('pg_class', 'annual', 1);


-- Notifications: all kinds, each with the count and limit of then as far as they are known
INSERT INTO contacts_tier_ledger (account, recorded_at, event, role, contacts, details) VALUES
    ('told', '2026-02-04 00:00+00', 'capped', 'operator', 3, '{"dropped": 3, "contact_limit": 4}'),
    ('told', '2026-02-04 00:00+00', 'upgrade_request', 'operator', 7, '{"from": 4, "contact_limit": 8, "extra_price": 19.99}'),
    ('told', '2026-02-03 00:00+00', 'exceeded', 'operator', 5, '{"contact_limit": 4}'),
    ('told', '2026-02-05 00:00+00', 'downgrade_kept', 'operator', 5, '{"asked": 4, "contact_limit": 8}'),
    ('told', '2026-02-05 00:00+00', 'rollover', 'operator', 5, '{}'),
    ('told', '2026-02-06 00:00+00', 'capped', 'operator', 3, '{"dropped": 3, "contact_limit": 4, "marketing_contacts": 4}');
SELECT notified_at, event, threshold, marketing_contacts, contact_limit, details, role FROM contacts_tier.notifications('contacts', 'told');


-- Activity: zeros where the ledger leaves them out
SELECT contacts_tier.subscribe('contacts', 'active', 'bill', 4);
SET contacts_tier.source_type = 'IMPORT';
SET contacts_tier.source_name = 'spring list';
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (31, 'active', 'marketing'), (32, 'active', 'marketing'), (33, 'active', NULL);
RESET contacts_tier.source_type;
RESET contacts_tier.source_name;
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 31;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 31;
DELETE FROM contacts WHERE id = 32;
SELECT recorded_at, role = current_user AS me, source_type, source_name = current_user AS by_me, created, deleted, promoted, flagged, unflagged, demoted, dropped
  FROM contacts_tier.activity('contacts', 'active');
SELECT source_name FROM contacts_tier.activity('contacts', 'active') WHERE created > 0;
INSERT INTO contacts_tier_ledger (account, recorded_at, event, role, contacts, details) VALUES
    ('hand', '2026-02-04 00:00+00', 'activity', 'operator', 3, '{"source_type": "API", "created": 1, "deleted": 2, "promoted": 3, "flagged": 4, "unflagged": 5, "demoted": 6, "dropped": 7}');
SELECT * FROM contacts_tier.activity('contacts', 'hand') \gx

-- What an application puts on the ledger works: a trigger, a constraint, a column,
-- an index; and what happens to the account row in between is seen
CREATE TABLE heard (account text, promoted bigint);
CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO bill.heard VALUES (NEW.account, NEW.contacts);
    RETURN NULL;
END
$$;
-- what is open when they come is closed before
SELECT contacts_tier.set_policy('contacts', 'active', record_activity => true);
CREATE TRIGGER hear AFTER INSERT ON contacts_tier_ledger FOR EACH ROW WHEN (NEW.event = 'activity') EXECUTE FUNCTION hear();
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (34, 'active', 'marketing');
TABLE heard;
DROP TRIGGER hear ON contacts_tier_ledger;
CREATE UNIQUE INDEX once ON contacts_tier_ledger ((details->>'source_name')) WHERE details->>'source_name' LIKE 'once%';
ALTER TABLE contacts_tier_ledger ADD CONSTRAINT named CHECK (details->>'source_name' <> 'nobody');
SET contacts_tier.source_name = 'once upon a time';
DELETE FROM contacts WHERE id = 33;
DELETE FROM contacts WHERE id = 34;
SET contacts_tier.source_name = 'nobody';
DELETE FROM contacts WHERE id = 34;
RESET contacts_tier.source_name;
ALTER TABLE contacts_tier_ledger DROP CONSTRAINT named, ADD COLUMN note text;
ALTER TABLE contacts_tier_ledger ALTER note SET DEFAULT 'n';
DELETE FROM contacts WHERE id = 34;
SELECT contacts, details - 'source_name' AS details, note FROM contacts_tier_ledger
 WHERE account = 'active' AND event = 'activity' ORDER BY entry DESC LIMIT 3;
ALTER TABLE contacts_tier_ledger DROP COLUMN note;
BEGIN;
INSERT INTO contacts (id, account) VALUES (35, 'active');
SELECT contacts_tier.set_policy('contacts', 'active', record_activity => false);
INSERT INTO contacts (id, account) VALUES (36, 'active');
SAVEPOINT s;
SELECT contacts_tier.set_policy('contacts', 'active', record_activity => true);
INSERT INTO contacts (id, account) VALUES (37, 'active');
ROLLBACK TO s;
INSERT INTO contacts (id, account) VALUES (38, 'active');
SELECT count(*) FROM contacts_tier.activity('contacts', 'active') WHERE created = 1;
ROLLBACK;


-- Accounts sort as their type does, and one that does not parse gets a plain error
CREATE SCHEMA bill_int;
CREATE TABLE bill_int.contacts (id integer PRIMARY KEY, account integer);
SELECT contacts_tier.attach('bill_int.contacts', 'account');
SELECT contacts_tier.subscribe('bill_int.contacts', n, 'bill', 2) FROM unnest('{10, 9}'::text[]) n;
SELECT contacts, account, plan FROM contacts_tier.billing_periods('bill_int.contacts');
SELECT account, next_tier FROM contacts_tier.forecast('bill_int.contacts');
SELECT * FROM contacts_tier.billing_periods('bill_int.contacts', '9; DROP TABLE bill.contacts');
SELECT account FROM contacts_tier.forecast('bill_int.contacts', ' 9 ');
SELECT count(*) FROM contacts_tier.tier_changes('contacts', ''' OR true --');
-- all tables, in the order of their names
SELECT contacts, account FROM contacts_tier.forecast() WHERE contacts IN ('contacts'::regclass, 'leads'::regclass, 'bill_int.contacts'::regclass);


-- Who may read the companion tables may ask; preview needs no ledger
CREATE ROLE contacts_tier_bill_reader;
GRANT USAGE ON SCHEMA bill TO contacts_tier_bill_reader;
GRANT SELECT ON contacts_tier_account, contacts_tier_counter TO contacts_tier_bill_reader;
SET ROLE contacts_tier_bill_reader;
SELECT outcome FROM contacts_tier.preview('contacts', 'annual', 1);
SELECT count(*) FROM contacts_tier.forecast('contacts');
SELECT count(*) FROM contacts_tier.activity('contacts');
SELECT count(*) FROM contacts_tier.billing_periods();
RESET ROLE;
GRANT SELECT ON contacts_tier_ledger TO contacts_tier_bill_reader;
SET ROLE contacts_tier_bill_reader;
SELECT count(*) FROM contacts_tier.forecast('contacts', 'annual');
SELECT count(*) > 0 AS some FROM contacts_tier.activity();
RESET ROLE;
REVOKE SELECT ON contacts_tier_counter FROM contacts_tier_bill_reader;
SET ROLE contacts_tier_bill_reader;
SELECT * FROM contacts_tier.preview('contacts', 'annual', 1);
RESET ROLE;

DROP SCHEMA bill, bill_int CASCADE;
DROP ROLE contacts_tier_bill_reader;
DELETE FROM contacts_tier.plan WHERE name LIKE 'bill%';
