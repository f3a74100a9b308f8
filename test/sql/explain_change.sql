--
-- Why an account is in another tier: explain_change() (rules T1, T4, L1, P4 and D3)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
-- who writes is shown
CREATE ROLE regress_user SUPERUSER;
SET SESSION AUTHORIZATION regress_user;
CREATE SCHEMA explain_change;
SET search_path = explain_change;
SET contacts_tier.now = '2026-01-01 00:00+00';
SELECT contacts_tier.create_plan('explain_change', '{10, 20, 400}', '{10, 20, 40}', 'EUR');
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'explain_change', 10);
SELECT contacts_tier.subscribe('contacts', 'b', 'explain_change', 10, billing_cycle => 'annual');
CREATE FUNCTION promote(of text, first integer, last integer, source text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('contacts_tier.source_type', split_part(source, '/', 1), true),
            set_config('contacts_tier.source_name', split_part(source, '/', 2), true);
    INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, of, 'marketing' FROM generate_series(first, last) n;
END$$;

-- An account that has always been in its tier has nothing to explain
SELECT * FROM contacts_tier.explain_change('contacts', 'a');

-- The last change: by a statement of its own; and the one before, by its entry
SET contacts_tier.now = '2026-01-05 10:00+00';
SELECT promote('a', 1, 8, 'IMPORT/spring');
SET contacts_tier.now = '2026-01-06 10:00+00';
DELETE FROM contacts WHERE id <= 2;
SET contacts_tier.now = '2026-01-07 10:00+00';
SELECT promote('a', 11, 14, 'FORM/signup');
SET contacts_tier.now = '2026-01-16 12:00+00';
SELECT promote('a', 15, 17, 'FORM/signup');
SET contacts_tier.now = '2026-01-24 06:00+00';
SELECT promote('a', 101, 300, 'WORKFLOW/welcome');
SET contacts_tier.now = '2026-01-25 12:00+00';
SELECT promote('a', 301, 310, 'WORKFLOW/later');
SELECT line FROM contacts_tier.explain_change('contacts', 'a');
SELECT role, source_type, source_name, statements, promoted, demoted, count_before, count_after
  FROM contacts_tier.explain_change('contacts', 'a');
SELECT entry AS first FROM contacts_tier.tier_changes('contacts', 'a') WHERE to_limit = 20 \gset
SELECT line FROM contacts_tier.explain_change('contacts', 'a', :'first');
-- small statements within a minute are one entry
SET contacts_tier.now = '2026-01-16 12:00:10+00';
SELECT promote('b', 1001, 1006, 'FORM/signup');
SET contacts_tier.now = '2026-01-16 12:00:20+00';
SELECT promote('b', 1011, 1016, 'FORM/signup');
SET contacts_tier.now = '2026-01-16 12:00:30+00';
SELECT promote('b', 1017, 1017, 'FORM/signup');
SELECT line FROM contacts_tier.explain_change('contacts', 'b');

-- One that was withdrawn, and the one that withdrew it
SELECT * FROM contacts_tier.undo_promotion('contacts', 'b', 'FORM', 'signup', '2026-01-16 12:00+00');
SELECT entry AS first FROM contacts_tier.tier_changes('contacts', 'b') WHERE to_limit = 20 \gset
SELECT line FROM contacts_tier.explain_change('contacts', 'b', :'first');
SELECT line FROM contacts_tier.explain_change('contacts', 'b');

-- In a period that is closed; on an update date; on request
SELECT promote('b', 2001, 2009, 'IMPORT/spring');
SELECT contacts_tier.set_policy('contacts', 'b', grace => 3);
SELECT promote('b', 2010, 2012, 'IMPORT/spring');
SET contacts_tier.now = '2026-02-01 00:05+00';
CALL contacts_tier.rollover();
SELECT line FROM contacts_tier.explain_change('contacts', 'b');
SELECT line FROM contacts_tier.explain_change('contacts', 'a');
SELECT contacts_tier.change_tier('contacts', 'b', 400);
SELECT line FROM contacts_tier.explain_change('contacts', 'b');

-- By a rollover that is late: flagged contacts that it demotes count before the change, and not in the next period
SET contacts_tier.now = '2026-02-02 10:00+00';
SELECT contacts_tier.subscribe('contacts', 'c', 'explain_change', 20);
SELECT contacts_tier.set_policy('contacts', 'c', auto_downgrade => true);
SELECT promote('c', 3001, 3015, 'IMPORT/spring');
UPDATE contacts SET marketing_contact_until_next_update = true WHERE id BETWEEN 3001 AND 3008;
SET contacts_tier.now = '2026-03-02 10:00+00';
CALL contacts_tier.rollover();
SELECT line FROM contacts_tier.explain_change('contacts', 'c');
SET contacts_tier.now = '2026-03-09 10:00+00';
SELECT promote('c', 3021, 3024, 'FORM/signup');
SELECT line FROM contacts_tier.explain_change('contacts', 'c');

-- What is refused
SELECT line FROM contacts_tier.explain_change('contacts', 'b', '00000000-0000-0000-0000-000000000000');
\echo :SQLSTATE
SELECT line FROM contacts_tier.explain_change('contacts', NULL);
\echo :SQLSTATE
CREATE ROLE regress_explain_change;
GRANT USAGE ON SCHEMA explain_change TO regress_explain_change;
SET ROLE regress_explain_change;
SELECT line FROM contacts_tier.explain_change('contacts', 'b');
\echo :SQLSTATE
RESET ROLE;
GRANT SELECT ON contacts_tier_account, contacts_tier_counter, contacts_tier_ledger TO regress_explain_change;
SET ROLE regress_explain_change;
SELECT count(*) > 0 FROM contacts_tier.explain_change('contacts', 'b');
RESET ROLE;

DROP SCHEMA explain_change CASCADE;
DROP ROLE regress_explain_change;
DELETE FROM contacts_tier.plan WHERE name = 'explain_change';
RESET SESSION AUTHORIZATION;
DROP ROLE regress_user;
