--
-- usage_page(): well-formed, escaped, and with the numbers of the reports
--
SET TIME ZONE 'UTC';
SET client_min_messages = error;
\set VERBOSITY terse
SET contacts_tier.now = '2026-01-07 12:00+00';

CREATE SCHEMA usage_page;
SET search_path = usage_page, public;
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.create_plan('usage page', '{1000, 2000, 1000000000}', '{10, 30, 900}', 'EUR');
SELECT contacts_tier.create_plan('usage page one', '{1}');
SELECT contacts_tier.create_plan('usage page legacy', NULL, marketing_contacts => false);
CREATE FUNCTION words(account text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT unnest(xpath('//s:text/text()', contacts_tier.usage_page('contacts', account)::xml, '{{s,http://www.w3.org/2000/svg}}'))::text
$$;

SELECT contacts_tier.subscribe('contacts', 'Harbor Books', 'usage page', time_zone => 'Europe/Berlin');
INSERT INTO contacts SELECT n, 'Harbor Books', 'marketing', NULL, CASE WHEN n <= 300 THEN 'FORM' ELSE 'IMPORT' END
    FROM generate_series(1, 1133) n;
UPDATE contacts SET marketing_contact_until_next_update = true WHERE id <= 40;
SELECT replace(words, current_user, 'me') AS words FROM words('Harbor Books');
-- the day is that of the account: midnight of Berlin is the day before in UTC
SELECT contacts_tier.usage_page('contacts', 'Harbor Books') LIKE '%40 leave on 7 February%' AS berlin;
-- whatever the session is set to
SELECT md5(contacts_tier.usage_page('contacts', 'Harbor Books')) AS page \gset
SET datestyle = 'SQL, DMY'; SET intervalstyle = 'sql_standard'; SET extra_float_digits = -5; SET search_path = pg_catalog; SET timezone = 'Asia/Tokyo';
SELECT md5(contacts_tier.usage_page('usage_page.contacts', 'Harbor Books')) = :'page' AS same;
RESET datestyle; RESET intervalstyle; RESET extra_float_digits; SET search_path = usage_page, public; SET timezone = 'UTC';

-- What came and went between two points of the chart is drawn
SELECT contacts_tier.subscribe('contacts', 'short', 'usage page');
INSERT INTO contacts SELECT n, 'short', 'marketing' FROM generate_series(3001, 3010) n;
SET contacts_tier.now = '2026-01-20 12:00:01+00';
INSERT INTO contacts SELECT n, 'short', 'marketing' FROM generate_series(3011, 3950) n;
SET contacts_tier.now = '2026-01-20 12:05+00';
DELETE FROM contacts WHERE id BETWEEN 3011 AND 3950;
SET contacts_tier.now = '2026-02-06 12:00+00';
SELECT max(marketing_contacts) AS sampled, max(peak) AS peak
  FROM contacts_tier_internal.page_history('contacts', 'short', '2026-01-07 12:00+00', '1 hour');
SELECT edge[1] AS edge FROM regexp_matches(contacts_tier.usage_page('contacts', 'short'), 'class="edge" d="(M[0-9]*[.][^"]*)"', 'g') AS edge;
SET contacts_tier.now = '2026-01-07 12:00+00';

-- Names of any length and letters, no contacts, no subscription, the smallest and the largest tier
SELECT contacts_tier.subscribe('contacts', account, 'usage page') FROM unnest(ARRAY[repeat('<&"''>', 40), E'tab\t]]>\x01 \u202E\U0001F600', '']) account;
SELECT contacts_tier.subscribe('contacts', 'one', 'usage page one');
SELECT contacts_tier.subscribe('contacts', 'legacy', 'usage page legacy');
SELECT contacts_tier.subscribe('contacts', 'many', 'usage page', 1000000000);
INSERT INTO contacts VALUES (2000, 'one', 'marketing');
UPDATE contacts_tier_counter SET used = 1000000000, pending = 999999999 WHERE account = 'many';
SELECT (xpath('//s:text[2]/text()', page::xml, '{{s,http://www.w3.org/2000/svg}}'))[1] AS title,
       page ~ '[^ -~\n]' AS beyond_ascii, page::xml IS DOCUMENT AS document
  FROM unnest(ARRAY[repeat('<&"''>', 40), E'tab\t]]>\x01 \u202E\U0001F600', '', 'one', 'legacy', 'many', 'nobody']) account,
       contacts_tier.usage_page('contacts', account) AS page;
SELECT contacts_tier.usage_page('contacts', 'one', '2030-01-01')::xml IS DOCUMENT AS to_come,
       contacts_tier.usage_page('contacts', 'one', '1990-01-01')::xml IS DOCUMENT AS long_ago;
SELECT contacts_tier.usage_page('contacts', NULL);
SELECT contacts_tier.usage_page('pg_class', 'one');

-- a long name of a plan leaves room for what comes behind it
SELECT contacts_tier.create_plan('usage page ' || repeat('W', 200), '{10}');
SELECT contacts_tier.subscribe('contacts', 'long', 'usage page ' || repeat('W', 200));
SELECT words FROM words('long') WHERE words LIKE 'Plan%';

-- A role that may not read the contacts sees a page without sources
CREATE ROLE contacts_tier_page_reader;
GRANT USAGE ON SCHEMA usage_page TO contacts_tier_page_reader;
SET ROLE contacts_tier_page_reader;
SELECT contacts_tier.usage_page('contacts', 'one');
RESET ROLE;
GRANT SELECT ON contacts_tier_account, contacts_tier_counter, contacts_tier_ledger TO contacts_tier_page_reader;
SET ROLE contacts_tier_page_reader;
SELECT contacts_tier.usage_page('contacts', 'one') LIKE '%Only roles that may read the contacts see them.%' AS without_sources;
RESET ROLE;

DROP SCHEMA usage_page CASCADE;
DROP ROLE contacts_tier_page_reader;
DELETE FROM contacts_tier.plan WHERE name LIKE 'usage page%';
