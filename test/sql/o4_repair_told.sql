--
-- repair() tells what it has mended, not what it had to undo (rules O4 and R5)
--
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET contacts_tier.now = '2026-01-10 10:00+00';
CREATE ROLE regress_repair_owner;
CREATE SCHEMA told AUTHORIZATION regress_repair_owner;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA contacts_tier, contacts_tier_internal TO regress_repair_owner;
SELECT contacts_tier.create_plan('told', '{10}');
SET ROLE regress_repair_owner;
CREATE TABLE told.contacts (id integer PRIMARY KEY, account text);
SELECT contacts_tier.attach('told.contacts', 'account');
SELECT contacts_tier.subscribe('told.contacts', 'a', 'told');
CREATE FUNCTION told.fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'not in my ledger';
END $$;
CREATE TRIGGER fail BEFORE INSERT ON told.contacts_tier_ledger FOR EACH ROW EXECUTE FUNCTION told.fail();
RESET ROLE;
SET session_replication_role = replica;
INSERT INTO told.contacts VALUES (1, 'a', 'marketing');
RESET session_replication_role;
SELECT contacts, account, drift FROM contacts_tier.repair() WHERE contacts = 'told.contacts'::regclass;
SELECT contacts, account, drift FROM contacts_tier.verify('told.contacts');
DROP TRIGGER fail ON told.contacts_tier_ledger;
SELECT contacts, account, drift FROM contacts_tier.repair() WHERE contacts = 'told.contacts'::regclass;
SELECT contacts, account, drift FROM contacts_tier.verify('told.contacts');
DROP SCHEMA told CASCADE;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA contacts_tier, contacts_tier_internal FROM regress_repair_owner;
DROP ROLE regress_repair_owner;
