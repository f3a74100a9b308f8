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
-- what a function of the statement makes of the count is told with what did not fit, and as
-- much is requested
SELECT contacts_tier.create_plan('requested', '{3, 4, 1000}');
SELECT contacts_tier.subscribe('contacts', a, 'requested', on_exceed => 'cap') FROM unnest('{c,d,e}'::text[]) a;
INSERT INTO contacts SELECT ascii(a) * 10 + n, a, NULL, 'marketing' FROM unnest('{c,d,e}'::text[]) a, generate_series(1, 3) n;
CREATE FUNCTION remove(which integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM contacts WHERE id = which;
    RETURN 'removed ' || which;
END $$;
CREATE VIEW told AS
    SELECT a.account, a.requested_limit, l.event, l.contacts, l.details->>'dropped' AS dropped,
           l.details->>'marketing_contacts' AS marketing
      FROM contacts_tier_account a LEFT JOIN contacts_tier_ledger l
        ON l.account = a.account AND l.event IN ('capped', 'upgrade_request')
     WHERE a.account > 'b' ORDER BY a.account, l.entry;
INSERT INTO contacts (id, account, marketing_contact_status, note)
     VALUES (11, 'c', 'marketing', NULL), (12, 'c', 'marketing', NULL), (13, 'c', 'non_marketing', remove(991));
-- some of it fits
INSERT INTO contacts (id, account, marketing_contact_status, note)
     VALUES (21, 'd', 'marketing', NULL), (22, 'd', 'marketing', NULL), (23, 'd', 'marketing', remove(1001)),
            (24, 'd', 'non_marketing', remove(1002));
-- no larger tier is needed any more
INSERT INTO contacts (id, account, marketing_contact_status, note)
     VALUES (31, 'e', 'marketing', NULL), (32, 'e', 'non_marketing', remove(1011));
TABLE told;
-- that this transaction itself has filled the tier is known before a contact is written
SELECT contacts_tier.subscribe('contacts', 'f', 'room', on_exceed => 'cap');
BEGIN;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (41, 'f', 'marketing'), (42, 'f', 'marketing');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (43, 'f', 'marketing') RETURNING marketing_contact_status;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (44, 'f', 'marketing') RETURNING marketing_contact_status;
COMMIT;
SELECT id, marketing_contact_status FROM contacts WHERE account = 'f' ORDER BY id;
SELECT account, drift FROM contacts_tier.verify('contacts');
RESET search_path;
DROP SCHEMA room CASCADE;
