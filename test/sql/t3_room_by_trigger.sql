--
-- Under cap, what a BEFORE trigger moves to another account makes room for the contacts
-- of the same UPDATE, whichever comes first (rule T3)
--
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET contacts_tier.now = '2026-01-10 10:00+00';
CREATE SCHEMA room;
SET search_path = room, public;
SELECT contacts_tier.create_plan('room', '{2}');
CREATE TABLE contacts (id integer PRIMARY KEY, account text, note text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', a, 'room', on_exceed => 'cap') FROM unnest('{a,b}'::text[]) a;
INSERT INTO contacts VALUES (1, 'a', NULL, 'non_marketing'), (2, 'a', NULL, 'marketing'), (3, 'a', NULL, 'marketing');
CREATE FUNCTION move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.note = 'move' THEN
        NEW.account := 'b';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER aaa BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION move();
BEGIN;
UPDATE contacts SET marketing_contact_status = 'marketing', note = CASE id WHEN 3 THEN 'move' END;
SELECT id, account, marketing_contact_status FROM contacts ORDER BY id;
ROLLBACK;
SET contacts_tier.fast_path = off;
BEGIN;
UPDATE contacts SET marketing_contact_status = 'marketing', note = CASE id WHEN 3 THEN 'move' END;
SELECT id, account, marketing_contact_status FROM contacts ORDER BY id;
ROLLBACK;
RESET contacts_tier.fast_path;
-- where it moves none, there is none
UPDATE contacts SET marketing_contact_status = 'marketing';
SELECT id, account, marketing_contact_status FROM contacts ORDER BY id;
SELECT account, drift FROM contacts_tier.verify('contacts');
RESET search_path;
DROP SCHEMA room CASCADE;
