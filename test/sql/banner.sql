--
-- banner(): what an account near its limit is told, and who sees it
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA banner;
SET search_path = banner, public;
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.create_plan('banner', '{2000, 1234567}');
SELECT contacts_tier.create_plan('banner none', NULL, marketing_contacts => false);
SELECT contacts_tier.subscribe('contacts', a, 'banner', 2000, on_exceed => 'block', grace => 20)
  FROM unnest('{default, early, late, below}'::text[]) a;
SELECT contacts_tier.subscribe('contacts', 'legacy', 'banner none');
SELECT contacts_tier.set_policy('contacts', 'early', thresholds => '{10, 50}');
SELECT contacts_tier.set_policy('contacts', 'late', thresholds => '{100}');
CREATE FUNCTION become(of text, n integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM contacts WHERE account = of;
    INSERT INTO contacts (id, account, marketing_contact_status)
    SELECT i + 10000 * (SELECT count(*) FROM contacts), of, 'marketing' FROM generate_series(1, n) i;
    RETURN n || ': ' || coalesce(contacts_tier.banner('contacts', of), '-');
END
$$;
-- from 98 % on; the share is rounded down, so that it says 100 % at the limit alone
SELECT become('default', n) FROM unnest('{0, 1959, 1960, 1973, 1999, 2000, 2001, 2020}'::integer[]) n;
-- from the highest threshold below 100 % on; without one, from the limit on
SELECT become('early', n) FROM unnest('{999, 1000}'::integer[]) n;
SELECT become('late', n) FROM unnest('{1999, 2000}'::integer[]) n;
SELECT contacts_tier.set_policy('contacts', 'late', thresholds => '{}');
SELECT contacts_tier.banner('contacts', 'late');
-- large numbers have commas
SELECT contacts_tier.change_tier('contacts', 'below', 1234567);
UPDATE contacts_tier_counter SET used = 1234000 WHERE account = 'below';
INSERT INTO contacts_tier_counter (account, slot, used) SELECT 'below', 0, 1234000 ON CONFLICT (account, slot) DO NOTHING;
SELECT contacts_tier.banner('contacts', 'below');
-- nothing to be said
SELECT contacts_tier.banner('contacts', 'legacy'), contacts_tier.banner('contacts', 'nobody'), contacts_tier.banner('contacts', NULL);
SELECT contacts_tier.banner(NULL, 'default');
CREATE TABLE other (id integer);
SELECT contacts_tier.banner('other', 'default');

-- EXECUTE is the permission: nobody has it; who has it, and can read a column of the contacts, needs no more
CREATE ROLE regress_banner;
GRANT USAGE ON SCHEMA banner TO regress_banner;
GRANT SELECT (id) ON contacts TO regress_banner;
SET ROLE regress_banner;
SELECT contacts_tier.banner('contacts', 'default');
RESET ROLE;
GRANT EXECUTE ON FUNCTION contacts_tier.banner(regclass, text) TO regress_banner;
SET ROLE regress_banner;
SELECT contacts_tier.banner('contacts', 'default');
SELECT count(*) FROM contacts_tier_account;
RESET ROLE;
REVOKE SELECT (id) ON contacts FROM regress_banner;
SET ROLE regress_banner;
SELECT contacts_tier.banner('contacts', 'default');
RESET ROLE;

SET client_min_messages = error;
DROP SCHEMA banner CASCADE;
REVOKE EXECUTE ON FUNCTION contacts_tier.banner(regclass, text) FROM regress_banner;
DROP ROLE regress_banner;
DELETE FROM contacts_tier.plan WHERE name LIKE 'banner%';
