--
-- Hostile values: dates, settings and texts that nobody means
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
\set VERBOSITY terse
CREATE SCHEMA hostile_values;
SET search_path = hostile_values, public;
SELECT contacts_tier.create_plan('hostile', '{1000}');
CREATE TABLE contacts (id serial PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');

-- the start of a subscription: from 1900 on, and not to come
SELECT contacts_tier.subscribe('contacts', 'a', 'hostile', started_at => '0001-06-01 BC');
\echo :SQLSTATE
SELECT contacts_tier.subscribe('contacts', 'a', 'hostile', started_at => '4714-11-24 00:00:00+00 BC');
SELECT contacts_tier.subscribe('contacts', 'a', 'hostile', started_at => '1899-12-31 23:59:59.999999+00');
SELECT contacts_tier.subscribe('contacts', 'a', 'hostile', started_at => '294276-12-31 23:59:59+00');
SELECT contacts_tier.subscribe('contacts', 'a', 'hostile', started_at => 'infinity');
SELECT contacts_tier.subscribe('contacts', 'a', 'hostile', started_at => '-infinity');
SELECT contacts_tier.subscribe('contacts', 'a', 'hostile', started_at => '1900-01-01 00:00+00');
SELECT anchor, next_update_at, renews_at FROM contacts_tier_account;
-- dates before Christ are counted right: there is no year 0
SELECT contacts_tier.next_update_date('0001-06-01 BC', 'monthly', 'UTC', '2026-01-10 10:00+00'),
       contacts_tier.next_renewal_date('0044-03-15 BC', 'annual', 'UTC', '2026-01-10 10:00+00'),
       contacts_tier.last_update_date('0001-01-31', 'monthly', 'UTC', '0001-01-30 00:00+00 BC');
-- infinities and dates out of range are refused, not computed with
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN
    EXECUTE statement INTO r;
    RETURN coalesce(r, 'NULL');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$;
SELECT f, d, try(format('SELECT contacts_tier.%s(''2026-01-31'', ''annual'', ''UTC'', %L)', f, d))
  FROM unnest('{next_update_date, last_update_date, next_renewal_date}'::text[]) f,
       unnest('{infinity, -infinity, 294276-12-31 23:00+00}'::text[]) d;

-- time zones
SELECT contacts_tier.subscribe('contacts', 'b', 'hostile', time_zone => tz)
  FROM (VALUES ('Mars/Olympus'), (''), (repeat('x', 100000)), ('../../etc/passwd')) z (tz) WHERE tz = 'Mars/Olympus';
SELECT left(tz, 20) AS time_zone, try(format('SELECT contacts_tier.subscribe(''contacts'', ''b'', ''hostile'', time_zone => %L)', tz))
  FROM (VALUES ('Mars/Olympus'), (''), (repeat('x', 100000)), ('../../etc/passwd'), ('infinity'), ('now')) z (tz);
SELECT try('SELECT contacts_tier.set_policy(''contacts'', ''a'', time_zone => ''Mars/Olympus'')'),
       try('SELECT contacts_tier.set_policy(''contacts'', ''a'', time_zone => '''')');

-- the clock
SET contacts_tier.now = 'infinity';
\echo :SQLSTATE
SET contacts_tier.now = '-infinity';
SET contacts_tier.now = 'not a time';
SHOW contacts_tier.now;

-- texts of any length: a contact may hold them, the ledger holds their beginning
SET contacts_tier.source_type = 'FORM';
SELECT set_config('contacts_tier.source_name', repeat('ä', 1000000), false) <> '' AS set;
INSERT INTO contacts (account, marketing_contact_status) VALUES ('a', 'marketing');
RESET contacts_tier.source_type;
RESET contacts_tier.source_name;
SELECT length(marketing_contact_status_source_name) FROM contacts;
SELECT octet_length(details->>'source_name') AS bytes, details->>'source_name' = repeat('ä', 500) AS valid
  FROM contacts_tier_ledger WHERE event = 'activity';
UPDATE contacts SET marketing_contact_until_next_update = true, marketing_contact_status_source_name = repeat('x', 10000000),
       marketing_contact_status_source_type = repeat('y', 10000000);
SELECT max(octet_length(details::text)) < 4000 AS bounded FROM contacts_tier_ledger;
SELECT account, counted, actual, pending_counted, pending_actual FROM contacts_tier.verify('contacts');

SET client_min_messages = error;
DROP SCHEMA hostile_values CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'hostile';
