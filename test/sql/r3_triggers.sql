--
-- R3: the triggers of the extension act as the owner of the table, and a condition is evaluated
-- as the owner, so nobody else creates or replaces them; and the owner chooses a condition by set_condition(), which counts contacts again (C1)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
CREATE ROLE regress_r3_owner;
CREATE ROLE regress_r3_writer;
CREATE SCHEMA r3 AUTHORIZATION regress_r3_owner;
CREATE SCHEMA r3_evil AUTHORIZATION regress_r3_writer;
GRANT USAGE ON SCHEMA r3 TO regress_r3_writer;
SELECT contacts_tier.create_plan('r3', '{3}');
-- both own attached tables, so both may create triggers of the extension
\set owner regress_r3_owner
\set grant_owner :srcdir '/include/grant_owner.sql'
\i :grant_owner
\set owner regress_r3_writer
\i :grant_owner

SET ROLE regress_r3_owner;
CREATE TABLE r3.contacts (id integer PRIMARY KEY, account text, gone boolean);
CREATE TABLE r3.others (LIKE r3.contacts);
SELECT contacts_tier.attach('r3.contacts', 'account');
SELECT contacts_tier.subscribe('r3.contacts', 'a', 'r3', on_exceed => 'block');
SELECT contacts_tier.set_condition('r3.contacts', 'exists', 'gone IS NOT TRUE');
GRANT SELECT, INSERT, UPDATE, TRIGGER ON r3.contacts, r3.others TO regress_r3_writer;

-- somebody who may create triggers on the table
SET ROLE regress_r3_writer;
CREATE FUNCTION r3_evil.evil(integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RAISE WARNING 'this runs as %', current_user;
    RETURN true;
END $$;
CREATE TRIGGER aa AFTER DELETE ON r3.contacts FOR EACH ROW WHEN ((false AND r3_evil.evil(old.id)) IS TRUE)
    EXECUTE FUNCTION contacts_tier_internal.exists_condition();
CREATE TRIGGER aa AFTER DELETE ON r3.contacts FOR EACH ROW WHEN ((false AND r3_evil.evil(old.id)) IS TRUE)
    EXECUTE FUNCTION contacts_tier_internal.eligible_condition('keep');
CREATE OR REPLACE TRIGGER contacts_tier_exists AFTER DELETE ON r3.contacts FOR EACH ROW
    WHEN ((false AND r3_evil.evil(old.id)) IS TRUE) EXECUTE FUNCTION contacts_tier_internal.exists_condition();
CREATE TRIGGER aa AFTER DELETE ON r3.others FOR EACH ROW WHEN ((false AND r3_evil.evil(old.id)) IS TRUE)
    EXECUTE FUNCTION contacts_tier_internal.exists_condition();
-- nor can they count contacts twice, or not at all
CREATE TRIGGER twice AFTER INSERT OR UPDATE OR DELETE ON r3.contacts FOR EACH ROW
    EXECUTE FUNCTION contacts_tier_internal.count_contact('r3', 'account');
CREATE FUNCTION r3_evil.nothing() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE OR REPLACE TRIGGER aa_contacts_tier_count AFTER INSERT ON r3.contacts FOR EACH ROW EXECUTE FUNCTION r3_evil.nothing();
CREATE TRIGGER own AFTER INSERT ON r3.contacts FOR EACH ROW EXECUTE FUNCTION r3_evil.nothing();
CREATE OR REPLACE TRIGGER own AFTER DELETE ON r3.contacts FOR EACH ROW EXECUTE FUNCTION r3_evil.nothing();
INSERT INTO r3.contacts VALUES (1, 'a', NULL, 'marketing'), (2, 'a', true, 'marketing');

-- the owner has a function that does it right
SET ROLE regress_r3_owner;
CREATE FUNCTION r3.nothing() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE OR REPLACE TRIGGER contacts_tier_exists AFTER DELETE ON r3.contacts FOR EACH ROW
    WHEN ((false AND old.id > 1) IS TRUE) EXECUTE FUNCTION contacts_tier_internal.exists_condition();
CREATE OR REPLACE TRIGGER contacts_tier_exists AFTER DELETE ON r3.contacts FOR EACH ROW EXECUTE FUNCTION r3.nothing();
CREATE TRIGGER aa AFTER DELETE ON r3.contacts FOR EACH ROW
    WHEN ((false AND old.id > 1) IS TRUE) EXECUTE FUNCTION contacts_tier_internal.exists_condition();
SELECT account, counted, drift FROM contacts_tier.verify('r3.contacts');
SELECT contacts_tier.set_condition('r3.contacts', 'exists', 'id > 1');
SELECT contacts_tier.set_condition('r3.contacts', 'eligible', 'id < 10');
SELECT contacts_tier.set_condition('r3.contacts', 'eligible', 'id < 11', on_ineligible => 'refuse');
SELECT account, counted, drift FROM contacts_tier.verify('r3.contacts');
-- a restore may create it before all others
CREATE TABLE r3.restored (id integer, account text);
CREATE TRIGGER contacts_tier_exists AFTER DELETE ON r3.restored FOR EACH ROW
    WHEN ((false AND old.id > 1) IS TRUE) EXECUTE FUNCTION contacts_tier_internal.exists_condition();
CREATE OR REPLACE TRIGGER contacts_tier_exists AFTER DELETE ON r3.restored FOR EACH ROW
    WHEN ((false AND old.id > 2) IS TRUE) EXECUTE FUNCTION contacts_tier_internal.exists_condition();
RESET ROLE;

DROP SCHEMA r3, r3_evil CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'r3';
DROP OWNED BY regress_r3_owner, regress_r3_writer;
DROP ROLE regress_r3_owner, regress_r3_writer;
