--
-- Managing a subscription: change_tier(), cancel(), subscribe() again,
-- approve_upgrade() and the policies (rules T1, T3, T5 and D1)
-- (also rules T4 and T6)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
CREATE SCHEMA t_change;
SET search_path = t_change;
SET contacts_tier.now = '2026-01-01 00:00+00';
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.create_plan('t_change', '{2, 4, 8}', '{10, 20, 35.55}', 'EUR');
CREATE VIEW change AS
    SELECT account, changed_at, from_limit AS "from", to_limit AS "to", reason, marketing_contacts AS contacts,
           period_fraction AS fraction, charge
      FROM contacts_tier.tier_changes('contacts') ORDER BY changed_at, account, from_limit;
CREATE VIEW account AS
    SELECT account, contact_limit AS "limit", renewal_limit, billing_cycle AS cycle, renewal_cycle, cancelled, ended_at,
           period_started_at, next_update_at, renews_at, requested_limit AS requested
      FROM contacts_tier_account ORDER BY account;

-- A larger tier: at once, charged for what is left of the period; or at the renewal
SELECT contacts_tier.subscribe('contacts', 'a', 't_change', 2);
SET contacts_tier.now = '2026-01-16 12:00+00';
SELECT contacts_tier.change_tier('contacts', 'a', 4);
SELECT contacts_tier.change_tier('contacts', 'a', 8, at_renewal => true);
TABLE change;
TABLE account;
-- the present one takes back what was asked for
SELECT contacts_tier.change_tier('contacts', 'a', 4);
TABLE account;
-- a smaller one only at the renewal, and only if the count fits by then
SELECT contacts_tier.change_tier('contacts', 'a', 2, at_renewal => false);
\echo :SQLSTATE
SELECT contacts_tier.change_tier('contacts', 'a', 2);
INSERT INTO contacts (id, account, marketing_contact_status) SELECT i, 'a', 'marketing' FROM generate_series(1, 3) i;
SET contacts_tier.now = '2026-02-01 00:00+00';
CALL contacts_tier.rollover();
TABLE account;
SELECT event, marketing_contacts, contact_limit, details FROM contacts_tier.notifications('contacts') WHERE event = 'downgrade_kept';
SELECT contacts_tier.change_tier('contacts', 'a', 2);
DELETE FROM contacts WHERE id = 3;
SET contacts_tier.now = '2026-03-01 00:00+00';
CALL contacts_tier.rollover();
TABLE change;
TABLE account;
-- by itself, if the account wants it so
SELECT contacts_tier.change_tier('contacts', 'a', 8);
SELECT contacts_tier.set_policy('contacts', 'a', auto_downgrade => true);
SET contacts_tier.now = '2026-04-01 00:00+00';
CALL contacts_tier.rollover();
SELECT account, "limit" FROM account;
-- what there is not
SELECT contacts_tier.change_tier('contacts', 'a', 3);
\echo :SQLSTATE
SELECT contacts_tier.change_tier('contacts', 'nobody', 4);
\echo :SQLSTATE
SELECT contacts_tier.change_tier('contacts', 'a', NULL);
\echo :SQLSTATE

-- Cap: what would have been needed is a request, which somebody approves
SELECT contacts_tier.subscribe('contacts', 'c', 't_change', 2, on_exceed => 'cap');
SELECT contacts_tier.approve_upgrade('contacts', 'c');
\echo :SQLSTATE
SET client_min_messages = notice;
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_status_source_type)
SELECT i, 'c', 'marketing', 'IMPORT' FROM generate_series(11, 17) i;
SET client_min_messages = warning;
SELECT id, marketing_contact_status AS status, marketing_contact_status_source_type AS type FROM contacts WHERE account = 'c' ORDER BY id;
SELECT event, marketing_contacts, contact_limit, details FROM contacts_tier.notifications('contacts', 'c');
SELECT requested FROM account WHERE account = 'c';
SELECT contacts_tier.approve_upgrade('contacts', 'c');
SELECT contacts_tier.approve_upgrade('contacts', 'c');
\echo :SQLSTATE
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE account = 'c';
SELECT account, contact_limit, marketing_contacts FROM contacts_tier.usage('contacts', 'c');
SELECT * FROM change WHERE account = 'c';
-- the grace of a cap; and contacts that leave in the same statement make room
SELECT contacts_tier.set_policy('contacts', 'c', grace => 2);
INSERT INTO contacts (id, account, marketing_contact_status) SELECT i, 'c', 'marketing' FROM generate_series(18, 22) i;
SELECT count(*) FROM contacts WHERE account = 'c' AND marketing_contact_status = 'marketing';
WITH gone AS (DELETE FROM contacts WHERE id = 11 RETURNING id)
INSERT INTO contacts (id, account, marketing_contact_status) SELECT 30 + id, 'c', 'marketing' FROM gone;
SELECT count(*) FROM contacts WHERE account = 'c' AND marketing_contact_status = 'marketing';

-- Cancel: access until the renewal date, none after it
SELECT contacts_tier.cancel('contacts', 'a');
SELECT contacts_tier.cancel('contacts', 'a', withdraw => true);
SELECT contacts_tier.cancel('contacts', 'a');
SELECT contacts_tier.cancel('contacts', 'a');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (141, 'a', 'marketing');
SELECT contacts_tier.has_access('contacts', 'a');
SELECT contacts_tier.subscribe('contacts', 'a', 't_change', 8);
\echo :SQLSTATE
-- nobody calls rollover(): the statement that comes late finds it ended
SET contacts_tier.now = '2026-05-02 00:00+00';
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (42, 'a', 'marketing');
\echo :SQLSTATE
CALL contacts_tier.rollover();
SELECT next_update_at, renews_at FROM contacts_tier.usage('contacts', 'a');
SELECT contacts_tier.has_access('contacts', 'a');
SELECT id, marketing_contact_status AS status, marketing_contact_status_source_type AS type FROM contacts WHERE account = 'a' ORDER BY id;
SET contacts_tier.source_type = 'FORM';
INSERT INTO contacts (id, account) VALUES (43, 'a') RETURNING marketing_contact_status;
RESET contacts_tier.source_type;
SELECT contacts_tier.set_policy('contacts', 'a', grace => 1);
\echo :SQLSTATE
SELECT contacts_tier.cancel('contacts', 'a');
\echo :SQLSTATE
SELECT event, count(*) FROM contacts_tier_ledger WHERE account = 'a' AND event IN ('cancel', 'cancel_withdrawn', 'ended') GROUP BY 1 ORDER BY 1;
-- and may subscribe again
SELECT contacts_tier.subscribe('contacts', 'a', 't_change', 4, 'annual', time_zone => 'Asia/Tokyo');
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id IN (1, 2);
TABLE account;
SELECT period_start, period_end, closed, contact_limit AS "limit", opening, promoted, demoted, closing, month_share, total
  FROM contacts_tier.billing_periods('contacts', 'a') ORDER BY period_start;

-- Another billing cycle begins with the next renewal; another time zone keeps the
-- local days, or takes the next where that would be before the period began
SELECT contacts_tier.set_policy('contacts', 'c', billing_cycle => 'annual');
SELECT cycle, renewal_cycle, next_update_at, renews_at FROM account WHERE account = 'c';
SET contacts_tier.now = '2026-06-01 00:00+00';
CALL contacts_tier.rollover();
SELECT cycle, renewal_cycle, next_update_at, renews_at FROM account WHERE account = 'c';
SELECT contacts_tier.set_policy('contacts', 'c', time_zone => 'America/New_York');
SELECT next_update_at, renews_at FROM account WHERE account = 'c';
SET contacts_tier.now = '2026-06-30 20:00+00';
SELECT contacts_tier.subscribe('contacts', 'z', 't_change', 2, 'annual');
SELECT next_update_at, renews_at FROM account WHERE account = 'z';
SELECT contacts_tier.set_policy('contacts', 'z', time_zone => 'Pacific/Auckland');
SELECT next_update_at, renews_at FROM account WHERE account = 'z';

-- Activity: who did what; not for an account that does not want it
SELECT role = current_user AS me, source_type, created, deleted, promoted, flagged, unflagged, demoted, dropped
  FROM contacts_tier.activity('contacts', 'c') ORDER BY recorded_at LIMIT 6;
SELECT contacts_tier.set_policy('contacts', 'z', record_activity => false);
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (51, 'z', 'marketing');
SELECT count(*) FROM contacts_tier.activity('contacts', 'z');
SELECT contacts_tier.set_policy('contacts', 'z', record_activity => true);
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 51;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 51;
SELECT flagged, unflagged FROM contacts_tier.activity('contacts', 'z');
-- nor does what a cap drops, where nothing is to be recorded
INSERT INTO contacts (id, account, marketing_contact_status) SELECT i, 'z', 'marketing' FROM generate_series(52, 53) i;
SELECT contacts_tier.set_policy('contacts', 'z', on_exceed => 'cap', record_activity => false);
INSERT INTO contacts (id, account, marketing_contact_status) SELECT i, 'z', 'marketing' FROM generate_series(61, 68) i;
SELECT created, promoted FROM contacts_tier.activity('contacts', 'z') ORDER BY recorded_at;
SELECT contact_limit, marketing_contacts FROM contacts_tier.usage('contacts', 'z');

-- A tier that has gone from the plan since it was asked for is not taken
SELECT contacts_tier.subscribe('contacts', 'gone', 't_change', 2, on_exceed => 'cap');
INSERT INTO contacts (id, account, marketing_contact_status) SELECT i, 'gone', 'marketing' FROM generate_series(71, 73) i;
SELECT contacts_tier.change_tier('contacts', 'gone', 4, at_renewal => true);
BEGIN;
-- others are in it: only without triggers can it go
SET LOCAL session_replication_role = replica;
DELETE FROM contacts_tier.tier WHERE plan = 't_change' AND contact_limit = 4;
SET LOCAL session_replication_role = origin;
SAVEPOINT before;
SELECT contacts_tier.approve_upgrade('contacts', 'gone');
\echo :SQLSTATE
ROLLBACK TO before;
SET LOCAL contacts_tier.now = '2026-08-30 00:00+00';
CALL contacts_tier.rollover('contacts');
SELECT event, marketing_contacts, contact_limit, details FROM contacts_tier.notifications('contacts', 'gone')
 WHERE event = 'downgrade_kept';
SELECT "limit", renewal_limit FROM account WHERE account = 'gone';
ROLLBACK;
SELECT contacts_tier.approve_upgrade('contacts', 'gone');

SELECT * FROM contacts_tier.verify('contacts') WHERE drift <> 0 OR pending_counted <> pending_actual;
SELECT account, bool_and(opening + promoted - demoted + corrected = closing) AS "adds up" FROM contacts_tier.billing_periods('contacts') GROUP BY 1 ORDER BY 1;
DROP SCHEMA t_change CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 't_change';
