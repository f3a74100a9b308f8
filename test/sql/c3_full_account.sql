--
-- Statements that get no place in a full account leave its counter as it is: no versions
-- pile up there, which the next statement of the transaction would have to walk through
-- (rules C3 and C5)
--
SET client_min_messages = error;
SET contacts_tier.now = '2026-01-10 10:00+00';
CREATE SCHEMA full_account;
SET search_path = full_account, public;
SELECT contacts_tier.create_plan('full_account', '{2}');
CREATE TABLE contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'full_account', on_exceed => 'cap');
INSERT INTO contacts VALUES (1, 'a', 'marketing'), (2, 'a', 'marketing');
CREATE VIEW written AS
    SELECT pg_stat_get_xact_tuples_updated('contacts_tier_counter'::regclass) AS slots,
           (SELECT count(*) FROM contacts) AS contacts;
-- an upsert decides nothing before its end
BEGIN;
DO $$
BEGIN
    FOR i IN 1..5 LOOP
        INSERT INTO contacts VALUES (10 + i, 'a', 'marketing') ON CONFLICT (id) DO NOTHING;
        BEGIN
            INSERT INTO contacts VALUES (20 + i, 'a', 'marketing') ON CONFLICT (id) DO NOTHING;
        END;
    END LOOP;
END $$;
TABLE written;
-- room is still found, and written
DELETE FROM contacts WHERE id = 1;
INSERT INTO contacts VALUES (1, 'a', 'marketing'), (3, 'a', 'marketing') ON CONFLICT (id) DO NOTHING;
TABLE written;
COMMIT;
SELECT id, marketing_contact_status FROM contacts WHERE id < 10 ORDER BY id;
SELECT account, drift FROM contacts_tier.verify('contacts');
RESET search_path;
DROP SCHEMA full_account CASCADE;
