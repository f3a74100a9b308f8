--
-- Policies and conditions where they seldom meet (rules T8, P1, P2, P3, P4 and P5)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
CREATE SCHEMA p_seldom;
SET search_path = p_seldom;
SELECT contacts_tier.create_plan('p_seldom', '{2, 4, 20, 50}', '{10, 20, 30, 40}', 'EUR');
CREATE TABLE contacts (id integer PRIMARY KEY, account text, gone boolean, opted_out boolean, note text);
SELECT contacts_tier.attach('contacts', 'account');
CREATE FUNCTION promote(of text, first integer, last integer, source text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO p_seldom.contacts (id, account, marketing_contact_status, marketing_contact_status_source_type)
    SELECT n, of, 'marketing', source FROM generate_series(first, last) n
$$;
CREATE VIEW state AS
    SELECT account, id, marketing_contact_status AS status, marketing_contact_until_next_update AS flag, gone, note
      FROM contacts ORDER BY account, id;
CREATE VIEW counts AS
    SELECT account, counted, drift, pending_counted - pending_actual AS pending_drift
      FROM contacts_tier.verify('contacts') ORDER BY 1;
CREATE VIEW tier AS
    SELECT account, contact_limit, requested_limit FROM contacts_tier_account ORDER BY account;

-- T8: a source type with a policy of its own in a full account under "cap", which is announced as full
SELECT contacts_tier.subscribe('contacts', 'cap', 'p_seldom', 2, on_exceed => 'cap');
SELECT contacts_tier.set_policy('contacts', 'cap', source_policies => '{"WORKFLOW": "upgrade", "FORM": "block"}',
                                source_defaults => '{"FORM": "marketing"}');
SELECT promote('cap', 1, 2, 'USER');
SELECT promote('cap', 3, 3, 'WORKFLOW');
SELECT promote('cap', 4, 4, 'USER');
TABLE state;
-- what only a default asked for, under "block", is not a reason for a request
INSERT INTO contacts (id, account, marketing_contact_status_source_type) VALUES (5, 'cap', 'FORM');
TABLE state;
TABLE tier;
TABLE counts;
TRUNCATE contacts;

-- P1: the statement fits when the newest of those has left the window that are in its way
SELECT contacts_tier.subscribe('contacts', 'brake', 'p_seldom', 50);
SELECT contacts_tier.set_policy('contacts', 'brake', brake => '{"window": "1 hour", "limit": 20}');
SET contacts_tier.now = '2026-01-10 10:10+00';
SELECT promote('brake', 1, 12, 'USER');
SET contacts_tier.now = '2026-01-10 10:20+00';
SELECT promote('brake', 13, 20, 'USER');
SELECT promote('brake', 21, 30, 'USER');
SELECT promote('brake', 21, 33, 'USER');
-- a clock that goes back finds again what had left the window
SET contacts_tier.now = '2026-01-10 11:15+00';
SELECT promote('brake', 21, 21, 'USER');
SET contacts_tier.now = '2026-01-10 11:05+00';
SELECT promote('brake', 22, 22, 'USER');
SET contacts_tier.now = '2026-01-10 11:15+00';
SELECT promote('brake', 22, 22, 'USER');
TABLE counts;
TRUNCATE contacts;

-- P2: a partition brings contacts that do not exist, and takes them along
CREATE TABLE parts (id integer, account text, gone boolean, PRIMARY KEY (id)) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
SELECT contacts_tier.attach('parts', 'account');
SELECT contacts_tier.set_condition('parts', 'exists', 'gone IS NOT TRUE');
INSERT INTO parts (id, account, gone, marketing_contact_status) VALUES (1, 'cap', false, 'marketing'), (2, 'cap', true, 'marketing');
SELECT account, counted, drift FROM contacts_tier.verify('parts') WHERE account = 'cap';
ALTER TABLE parts DETACH PARTITION parts_1;
SELECT account, counted, drift FROM contacts_tier.verify('parts') WHERE account = 'cap';
ALTER TABLE parts ATTACH PARTITION parts_1 FOR VALUES FROM (0) TO (10);
SELECT account, counted, drift FROM contacts_tier.verify('parts') WHERE account = 'cap';
DROP TABLE parts;

-- what a trigger deletes after it was promoted is not dropped again: another one is
SELECT contacts_tier.set_condition('contacts', 'exists', 'gone IS NOT TRUE');
CREATE FUNCTION remove() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE p_seldom.contacts SET gone = true WHERE id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER aaa AFTER INSERT ON contacts FOR EACH ROW WHEN (NEW.note = 'remove') EXECUTE FUNCTION remove();
SELECT contacts_tier.subscribe('contacts', 'cap2', 'p_seldom', 2, on_exceed => 'cap');
INSERT INTO contacts (id, account, note, marketing_contact_status)
VALUES (1, 'cap2', NULL, 'marketing'), (2, 'cap2', NULL, 'marketing'), (3, 'cap2', NULL, 'marketing'), (4, 'cap2', 'remove', 'marketing');
TABLE state;
TABLE counts;
TRUNCATE contacts;
DROP TRIGGER aaa ON contacts;
-- a trigger deletes a contact when the extension writes it again
CREATE FUNCTION withdraw() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.note = 'withdraw' AND OLD.note IS NULL THEN
        NEW.marketing_contact_status := 'non_marketing';
    ELSIF NEW.note = 'withdraw' THEN
        NEW.gone := true;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER zzz BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION withdraw();
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'cap2', 'marketing'), (2, 'cap2', 'marketing');
UPDATE contacts SET note = 'withdraw' WHERE id = 1;
TABLE state;
TABLE counts;
DROP TRIGGER zzz ON contacts;
TRUNCATE contacts;
-- no condition is set while a statement changes contacts
CREATE FUNCTION set_condition() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM contacts_tier.set_condition('p_seldom.contacts', 'eligible', 'opted_out IS NOT TRUE');
    RETURN 'set';
END $$;
INSERT INTO contacts (id, account, note) VALUES (1, 'cap2', set_condition());

-- P3: an ineligible contact that comes back is non-marketing at once, and is written once
SELECT contacts_tier.set_condition('contacts', 'eligible', 'opted_out IS NOT TRUE');
CREATE TABLE writes (id integer);
CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO p_seldom.writes VALUES (NEW.id);
    RETURN NULL;
END $$;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'cap2', 'marketing'), (2, 'cap2', 'marketing');
UPDATE contacts SET gone = true;
CREATE TRIGGER bbb AFTER UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION log();
UPDATE contacts SET gone = NULL, opted_out = true WHERE id = 1;
TABLE state;
SELECT id, count(*) FROM writes GROUP BY 1 ORDER BY 1;
TABLE counts;
DROP TRIGGER bbb ON contacts;
TRUNCATE contacts;
-- one that was not eligible before, and has no flag, gets none by a write that is not about it
SELECT contacts_tier.set_condition('contacts', 'eligible', NULL);
INSERT INTO contacts (id, account, opted_out, marketing_contact_status) VALUES (1, 'cap2', true, 'marketing'), (2, 'cap2', false, 'marketing');
SELECT contacts_tier.set_condition('contacts', 'eligible', 'opted_out IS NOT TRUE');
UPDATE contacts SET opted_out = true, note = 'seen';
TABLE state;
-- also where a trigger of the application decides last, and it is written once
CREATE FUNCTION opt_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.opted_out := true;
    RETURN NEW;
END $$;
CREATE TRIGGER zzz BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION opt_out();
TRUNCATE writes;
CREATE TRIGGER zzz_written AFTER UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION log();
UPDATE contacts SET note = 'opted out' WHERE id = 1;
SELECT count(*) FROM writes;
DROP TRIGGER zzz ON contacts;
DROP TRIGGER zzz_written ON contacts;
TABLE state;
TABLE counts;
SELECT contacts_tier.set_condition('contacts', 'eligible', NULL);
TRUNCATE contacts;

-- P4: what does not exist any more is not taken back
SELECT contacts_tier.subscribe('contacts', 'undo', 'p_seldom', 2);
SELECT contacts_tier.set_policy('contacts', 'undo', source_policies => '{}');
SET contacts_tier.source_name = 'wrong';
SELECT promote('undo', 1, 3, 'WORKFLOW');
RESET contacts_tier.source_name;
UPDATE contacts SET gone = true WHERE id = 3;
SELECT * FROM contacts_tier.undo_promotion('contacts', 'undo', 'WORKFLOW', 'wrong', '2026-01-10 11:15+00');
TABLE state;
TABLE counts;
TRUNCATE contacts;

-- P5: one that does not exist has no status to give
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'cap2', 'non_marketing'), (2, 'cap2', 'marketing');
UPDATE contacts SET gone = true WHERE id = 2;
SELECT contacts_tier.merge_contacts('contacts', '1', '2');
TABLE state;
TABLE counts;
RESET search_path;
DROP SCHEMA p_seldom CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'p_seldom';
