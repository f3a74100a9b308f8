--
-- Views of the reports, histories newest first, and what a caller is told of what is
-- hidden (rule O2)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA views;
CREATE SCHEMA views_two;
SET search_path = views, public;
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
CREATE TABLE views_two.contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach(c, 'account') FROM unnest('{views.contacts, views_two.contacts}'::regclass[]) c;
SELECT contacts_tier.create_plan('views', '{4, 8}', '{10, 20}');
SELECT contacts_tier.subscribe('contacts', a, 'views', 4) FROM unnest('{a, b}'::text[]) a;
SELECT contacts_tier.subscribe('views_two.contacts', 'a', 'views', 4, time_zone => 'Asia/Tokyo');
SET contacts_tier.now = '2026-01-11 10:00+00';
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(1, 3) n;
SET contacts_tier.now = '2026-01-12 10:00+00';
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'b', 'marketing' FROM generate_series(11, 15) n;
SET contacts_tier.now = '2026-01-13 10:00+00';
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(4, 5) n;
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 1;

-- as the functions have it, tables by name
SELECT * FROM contacts_tier.accounts WHERE contacts = 'contacts' ORDER BY account;
SELECT contacts, account, period_start, closed, closing, total FROM contacts_tier.bills ORDER BY 1, 2;
SELECT * FROM contacts_tier.overdue;
-- schema and name are text, whatever the search_path
SET search_path = pg_catalog;
SELECT table_schema, table_name, account, pg_typeof(table_schema), pg_typeof(table_name) FROM contacts_tier.accounts WHERE table_schema LIKE 'views%' ORDER BY 1, 2, 3;
SELECT DISTINCT table_schema, table_name FROM contacts_tier.bills WHERE table_schema LIKE 'views%' ORDER BY 1, 2;
SET search_path = views, public;
SELECT attrelid::regclass AS view, attname FROM pg_attribute
 WHERE attrelid IN ('contacts_tier.accounts'::regclass, 'contacts_tier.bills'::regclass, 'contacts_tier.overdue'::regclass) AND atttypid = 'regclass'::regtype;
-- nothing is missing of what the functions return
SELECT proname, name FROM pg_proc, unnest(proargnames) name
 WHERE oid IN ('contacts_tier.usage(regclass, text)'::regprocedure, 'contacts_tier.billing_periods(regclass, text)'::regprocedure)
   AND name NOT IN (SELECT attname FROM pg_attribute WHERE attrelid = CASE proname WHEN 'usage' THEN 'contacts_tier.accounts'::regclass ELSE 'contacts_tier.bills' END);
SET contacts_tier.now = '2026-02-09 15:00+00';
SELECT * FROM contacts_tier.overdue;
SET contacts_tier.now = '2026-02-11 12:00+00';
SELECT * FROM contacts_tier.overdue ORDER BY contacts, account;

-- newest first
SELECT account, changed_at, to_limit FROM contacts_tier.tier_changes('contacts');
SELECT account, notified_at, event, threshold FROM contacts_tier.notifications('contacts');
SELECT account, notified_at, event, threshold FROM contacts_tier.notifications('contacts', 'a');
SELECT account, recorded_at, promoted, flagged FROM contacts_tier.activity('contacts');
-- each has the key of its entry
SELECT count(*), count(DISTINCT n.entry), count(l.entry) FROM contacts_tier.notifications('contacts') n
  LEFT JOIN contacts_tier_ledger l ON l.account = n.account AND l.entry = n.entry;

-- a view shows its caller what the function would, and how much is hidden
CREATE ROLE regress_views;
SET client_min_messages = notice;
SET ROLE regress_views;
SELECT count(*) FROM contacts_tier.accounts;
SELECT count(*) FROM contacts_tier.verify();
RESET ROLE;
GRANT USAGE ON SCHEMA views TO regress_views;
GRANT SELECT ON contacts_tier_account, contacts_tier_counter TO regress_views;
SET ROLE regress_views;
SELECT count(*) FROM contacts_tier.usage();
SELECT count(*) FROM contacts_tier.overdue;
SELECT count(*) FROM contacts_tier.bills;
SELECT count(*) FROM contacts_tier.rollover_progress();
RESET ROLE;
GRANT SELECT ON contacts_tier_ledger, views_two.contacts_tier_account, views_two.contacts_tier_counter, views_two.contacts_tier_ledger TO regress_views;
SET ROLE regress_views;
-- to read the companions does not suffice to count the contacts
SELECT count(*) FROM contacts_tier.bills;
SELECT count(*) FROM contacts_tier.verify();
RESET ROLE;

SET client_min_messages = error;
DROP SCHEMA views, views_two CASCADE;
DROP ROLE regress_views;
DELETE FROM contacts_tier.plan WHERE name = 'views';
