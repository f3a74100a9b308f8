--
-- Taking back what a source promoted (rule P4; also C1, D3, L1 and R3)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
-- who writes is shown
CREATE ROLE regress_user SUPERUSER;
SET SESSION AUTHORIZATION regress_user;
CREATE SCHEMA p4_undo;
SET search_path = p4_undo;
SET contacts_tier.now = '2026-01-01 00:00+00';
SELECT contacts_tier.create_plan('p4_undo', '{10, 20, 40}', '{10, 20, 40}', 'EUR');
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
CREATE TABLE leads (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.attach('leads', 'account', '{"status": "s", "until_next_update": "u", "source_type": "t", "source_name": "n", "updated_at": "a"}');
SELECT contacts_tier.subscribe('contacts', a, 'p4_undo', 10) FROM unnest('{a, b, c}'::text[]) a;
CREATE VIEW counts AS
    SELECT account, marketing_contact_status AS status, marketing_contact_until_next_update AS until,
           marketing_contact_status_source_type AS source_type, marketing_contact_status_source_name AS source_name, count(*)
      FROM contacts GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5;
CREATE VIEW change AS
    SELECT account, from_limit AS "from", to_limit AS "to", reason, marketing_contacts AS contacts,
           period_fraction AS fraction, charge
      FROM contacts_tier.tier_changes('contacts') ORDER BY account, changed_at, from_limit, to_limit, marketing_contacts;
CREATE VIEW bill AS
    SELECT account, contact_limit, opening, peak, promoted, demoted, corrected, closing,
           opening + promoted - demoted + corrected = closing AS adds_up, upgrades, tier_charges, total
      FROM contacts_tier.billing_periods('contacts') ORDER BY account, period_start;
CREATE VIEW drift AS
    SELECT * FROM contacts_tier.verify('contacts') WHERE drift <> 0 OR pending_counted <> pending_actual;
CREATE FUNCTION promote(of text, first integer, last integer, source text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('contacts_tier.source_type', split_part(source, '/', 1), true),
            set_config('contacts_tier.source_name', split_part(source, '/', 2), true);
    INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, of, 'marketing' FROM generate_series(first, last) n;
END$$;

-- A workflow gone wrong moves the account up by two tiers; a user has set three of its
-- contacts since
SET contacts_tier.now = '2026-01-05 10:00+00';
SELECT promote('a', 1, 8, 'IMPORT/spring');
SET contacts_tier.now = '2026-01-16 12:00+00';
SELECT promote('a', 101, 110, 'WORKFLOW/welcome');
SET contacts_tier.now = '2026-01-17 12:00+00';
SELECT promote('a', 111, 120, 'WORKFLOW/welcome');
SELECT promote('a', 9, 9, 'WORKFLOW/other');
SET contacts_tier.now = '2026-01-18 12:00+00';
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 101;
DELETE FROM contacts WHERE id IN (102, 103);
TABLE change;
TABLE bill;
SELECT * FROM contacts_tier.undo_promotion('contacts', 'a', 'WORKFLOW', 'welcome', '2026-01-16 00:00+00');
TABLE counts;
TABLE drift;
-- the three were needed, with which the account was above 10
TABLE change;
TABLE bill;
SELECT event, contacts, role, details FROM contacts_tier_ledger WHERE event = 'undo';
SELECT role, source_type, promoted, demoted FROM contacts_tier.activity('contacts', 'a') WHERE demoted > 2;
-- nothing is left to be taken back
SELECT * FROM contacts_tier.undo_promotion('contacts', 'a', 'WORKFLOW', 'welcome', '2026-01-16 00:00+00');

-- Nothing else needed it: both tiers go back, and the bill has no charge
SET contacts_tier.now = '2026-01-05 10:00+00';
SELECT promote('b', 1001, 1008, 'IMPORT/spring');
SET contacts_tier.now = '2026-01-16 12:00+00';
SELECT promote('b', 1101, 1110, 'WORKFLOW/welcome');
SELECT promote('b', 1111, 1120, 'WORKFLOW/welcome');
SELECT promote('b', 1009, 1010, 'FORM/signup');
SELECT * FROM bill WHERE account = 'b';
SELECT * FROM contacts_tier.undo_promotion('contacts', 'b', 'WORKFLOW', 'welcome', '2026-01-16 00:00+00');
SELECT * FROM change WHERE account = 'b';
SELECT * FROM bill WHERE account = 'b';
SELECT contact_limit, marketing_contacts FROM contacts_tier.usage('contacts', 'b');
-- the former tier is what counts now: one more is charged again, and undone again
SELECT promote('b', 1121, 1121, 'WORKFLOW/welcome');
SELECT * FROM contacts_tier.undo_promotion('contacts', 'b', 'WORKFLOW', 'welcome', '2026-01-16 00:00+00');
SELECT * FROM change WHERE account = 'b';
SELECT * FROM bill WHERE account = 'b';
TABLE drift;

-- What something else needed stays: here what another source promoted and deleted since,
-- and a tier that somebody requested
SET contacts_tier.now = '2026-01-16 12:00+00';
SELECT promote('c', 2001, 2005, 'IMPORT/spring');
SELECT promote('c', 2101, 2110, 'WORKFLOW/welcome');
SELECT promote('c', 2006, 2012, 'FORM/signup');
DELETE FROM contacts WHERE id BETWEEN 2006 AND 2012;
SELECT * FROM contacts_tier.undo_promotion('contacts', 'c', 'WORKFLOW', 'welcome', '2026-01-16 00:00+00');
SELECT contacts_tier.change_tier('contacts', 'c', 40);
SELECT promote('c', 2111, 2120, 'WORKFLOW/welcome');
SELECT * FROM contacts_tier.undo_promotion('contacts', 'c', 'WORKFLOW', 'welcome', '2026-01-16 00:00+00');
SELECT * FROM change WHERE account = 'c';

-- All tables of the account; only from the instant on, and only this source
SELECT contacts_tier.subscribe('contacts', 'd', 'p4_undo', 10);
SET contacts_tier.now = '2026-01-16 12:00+00';
SELECT promote('d', 3001, 3002, 'WORKFLOW/welcome');
SET contacts_tier.now = '2026-01-16 13:00+00';
SELECT promote('d', 3003, 3004, 'WORKFLOW/welcome');
SELECT promote('d', 3005, 3006, 'WORKFLOW/other');
BEGIN;
SET LOCAL contacts_tier.source_type = 'WORKFLOW';
SET LOCAL contacts_tier.source_name = 'welcome';
INSERT INTO leads (id, account, s) VALUES (1, 'd', 'marketing');
UPDATE contacts SET marketing_contact_until_next_update = true WHERE id = 3006;
COMMIT;
SELECT * FROM contacts_tier.undo_promotion('leads', 'd', 'WORKFLOW', 'welcome', '2026-01-16 12:30+00');
SELECT * FROM counts WHERE account = 'd';
SELECT id, s, u, t, n, a FROM leads;
TABLE drift;
-- an account that records no activity: what cannot be known is null, and its tier stays
SELECT contacts_tier.set_policy('contacts', 'd', record_activity => false);
SELECT promote('d', 3010, 3020, 'WORKFLOW/welcome');
SELECT * FROM contacts_tier.undo_promotion('contacts', 'd', 'WORKFLOW', 'welcome', '2026-01-16 12:30+00');

-- After what another undo took back: that counts for nothing any more
SELECT contacts_tier.subscribe('contacts', 'e', 'p4_undo', 10);
SET contacts_tier.now = '2026-01-16 13:00+00';
SELECT promote('e', 5001, 5008, 'IMPORT/spring');
SELECT promote('e', 5011, 5015, 'WORKFLOW/one');
SELECT promote('e', 5021, 5030, 'WORKFLOW/two');
SELECT * FROM contacts_tier.undo_promotion('contacts', 'e', 'WORKFLOW', 'one', '2026-01-16 13:00+00');
SELECT * FROM contacts_tier.undo_promotion('contacts', 'e', 'WORKFLOW', 'two', '2026-01-16 13:00+00');
SELECT * FROM change WHERE account = 'e';

-- What is refused
SELECT contacts_tier.undo_promotion('contacts', 'd', 'WORKFLOW', 'welcome', '2025-12-31 23:59+00');
\echo :SQLSTATE
SELECT contacts_tier.undo_promotion('contacts', 'nobody', 'WORKFLOW', 'welcome', '2026-01-16 12:30+00');
\echo :SQLSTATE
SELECT contacts_tier.undo_promotion('contacts', 'd', 'WORKFLOW', NULL, '2026-01-16 12:30+00');
\echo :SQLSTATE
CREATE ROLE regress_p4_undo;
GRANT USAGE ON SCHEMA p4_undo TO regress_p4_undo;
GRANT SELECT, UPDATE ON contacts TO regress_p4_undo;
GRANT EXECUTE ON FUNCTION contacts_tier.undo_promotion(regclass, text, text, text, timestamptz) TO regress_p4_undo;
SET ROLE regress_p4_undo;
SELECT contacts_tier.undo_promotion('contacts', 'd', 'WORKFLOW', 'welcome', '2026-01-16 12:30+00');
\echo :SQLSTATE
RESET ROLE;

-- An update date that has passed is applied first: the period of the promotion is closed
SET contacts_tier.now = '2026-01-31 12:00+00';
SELECT promote('c', 2201, 2203, 'WORKFLOW/late');
SET contacts_tier.now = '2026-02-03 12:00+00';
SELECT contacts_tier.undo_promotion('contacts', 'c', 'WORKFLOW', 'late', '2026-01-31 00:00+00');
\echo :SQLSTATE
SELECT promote('c', 2204, 2204, 'WORKFLOW/late');
SELECT * FROM contacts_tier.undo_promotion('contacts', 'c', 'WORKFLOW', 'late', '2026-02-01 00:00+00');
SELECT * FROM bill WHERE account = 'c';
TABLE drift;

-- The application's triggers fire as the owner, and are not trusted; many contacts at once
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id = 4001 THEN
        RAISE WARNING '% as %, path %', TG_OP, current_user, current_setting('search_path');
    END IF;
    RETURN NEW;
END$$;
SELECT promote('b', 4001, 4030, 'WORKFLOW/many');
CREATE TRIGGER see BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION see();
SELECT * FROM contacts_tier.undo_promotion('contacts', 'b', 'WORKFLOW', 'many', '2026-02-01 00:00+00');
SELECT contact_limit, marketing_contacts FROM contacts_tier.usage('contacts', 'b');
TABLE drift;

DROP SCHEMA p4_undo CASCADE;
DROP OWNED BY regress_p4_undo;
DROP ROLE regress_p4_undo;
DELETE FROM contacts_tier.plan WHERE name = 'p4_undo';
RESET SESSION AUTHORIZATION;
DROP ROLE regress_user;
