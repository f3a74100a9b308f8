--
-- R2: second writes are ordinary writes: generated columns and the triggers that look at
-- them follow, and what is published is looked after
--
SET client_min_messages = error;
\set SHOW_CONTEXT never
\set VERBOSITY terse

CREATE SCHEMA r2;
SET search_path = r2, public;
SELECT contacts_tier.create_plan('r2', '{5}');
CREATE TABLE contacts (id integer, account text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 'r2', on_exceed => 'cap');
-- behind the status trigger: a contact that is to leave loses its status at once, which is
-- put right by a second write
CREATE FUNCTION demote() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id > 100 THEN
        NEW.marketing_contact_status := 'non_marketing';
        NEW.marketing_contact_until_next_update := NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER zzz_demote BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION demote();
ALTER TABLE contacts ADD leaving boolean GENERATED ALWAYS AS (coalesce(marketing_contact_until_next_update, false)) STORED;
CREATE TABLE seen (id integer, leaving boolean, source_type text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO seen VALUES (NEW.id, NEW.leaving, NEW.marketing_contact_status_source_type);
    RETURN NULL;
END $$;
CREATE TRIGGER see AFTER UPDATE OF leaving ON contacts FOR EACH ROW EXECUTE FUNCTION see();

INSERT INTO contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing'), (101, 'a', 'marketing');
UPDATE contacts SET id = id, account = account;
-- one write of what the statement sets, and another of what was put right
SELECT id, marketing_contact_status, leaving FROM contacts ORDER BY id;
SELECT id, leaving, source_type FROM seen ORDER BY id, leaving;
DELETE FROM seen;
UPDATE contacts SET marketing_contact_status = 'non_marketing';
SELECT id, marketing_contact_status, leaving FROM contacts ORDER BY id;
SELECT id, leaving, source_type FROM seen ORDER BY id, leaving;

-- Without a replica identity a subscriber could not find what the second write updates, nor
-- could it for an UPDATE
CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.marketing_contact_status_source_type := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER zzz_forget BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION forget();
CREATE PUBLICATION r2 FOR TABLE contacts;
UPDATE contacts SET account = 'a';
\echo :SQLSTATE
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (2, 'a', 'marketing');
\echo :SQLSTATE
ALTER PUBLICATION r2 SET (publish = 'insert');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (2, 'a', 'marketing');
ALTER PUBLICATION r2 SET (publish = 'insert, update');
ALTER TABLE contacts ADD CONSTRAINT contacts_id UNIQUE (id), ALTER id SET NOT NULL;
ALTER TABLE contacts REPLICA IDENTITY USING INDEX contacts_id;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (3, 'a', 'marketing');
SELECT id, marketing_contact_status, marketing_contact_status_source_type FROM contacts WHERE id < 100 ORDER BY id;
SELECT * FROM contacts_tier.verify('contacts') WHERE drift <> 0 OR pending_counted <> pending_actual;

DROP PUBLICATION r2;
DROP SCHEMA r2 CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'r2';
