--
-- Privileges are stated, not inherited (rule R6): whatever ALTER DEFAULT PRIVILEGES
-- says, nothing is for strangers, and all that ordinary statements need is there
--
SET client_min_messages = error;
\set SHOW_CONTEXT never
SET contacts_tier.now = '2026-01-10 10:00+00';
CREATE ROLE regress_r6_owner;
CREATE ROLE regress_r6_writer;
CREATE ROLE regress_r6_stranger;

-- members of the extension, and its schema, which is none
CREATE VIEW governed AS
    SELECT classid, objid FROM pg_depend
     WHERE deptype = 'e' AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'contacts_tier')
    UNION ALL SELECT 'pg_namespace'::regclass, to_regnamespace('contacts_tier');
-- objects of the extension whose privileges are left to a default
CREATE VIEW unstated AS
    SELECT pg_describe_object(d.classid, d.objid, 0) AS object
      FROM governed d
      LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
      LEFT JOIN pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
      LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
      LEFT JOIN pg_namespace n ON d.classid = 'pg_namespace'::regclass AND n.oid = d.objid
     -- types of tables and arrays have none of their own
     WHERE (p.oid IS NOT NULL OR c.oid IS NOT NULL OR n.oid IS NOT NULL OR (t.typelem = 0 AND t.typrelid = 0))
       AND coalesce(p.proacl, t.typacl, c.relacl, n.nspacl) IS NULL;
TABLE unstated;
-- who may do what; the extension's owner may do all
CREATE VIEW privilege AS
    SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee,
           pg_describe_object(d.classid, d.objid, 0) AS object, string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type) AS privileges
      FROM governed d
      LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
      LEFT JOIN pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
      LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
      LEFT JOIN pg_namespace n ON d.classid = 'pg_namespace'::regclass AND n.oid = d.objid
      CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, t.typacl, c.relacl, n.nspacl)) a
     WHERE a.grantee <> coalesce(p.proowner, t.typowner, c.relowner, n.nspowner)
     GROUP BY a.grantee, d.classid, d.objid;
SELECT * FROM privilege ORDER BY object COLLATE "C", grantee;
CREATE TABLE as_made AS SELECT * FROM privilege;

-- what a table needs of its owner, and a writer of nobody
CREATE PROCEDURE work() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM contacts_tier.create_plan('r6', '{3, 6}', '{1, 2}');
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA contacts_tier, contacts_tier_internal TO regress_r6_owner;
    GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA contacts_tier TO regress_r6_owner;
    CREATE SCHEMA r6 AUTHORIZATION regress_r6_owner;
    GRANT USAGE ON SCHEMA r6 TO regress_r6_writer, regress_r6_stranger;
    SET LOCAL ROLE regress_r6_owner;
    CREATE TABLE r6.contacts (id integer PRIMARY KEY, account text);
    PERFORM contacts_tier.attach('r6.contacts', 'account');
    PERFORM contacts_tier.subscribe('r6.contacts', 'a', 'r6', 3, time_zone => 'Europe/Berlin');
    REVOKE ALL ON r6.contacts FROM PUBLIC, regress_r6_stranger;
    GRANT SELECT, INSERT, UPDATE, DELETE ON r6.contacts TO regress_r6_writer;
    SET LOCAL ROLE regress_r6_writer;
    INSERT INTO r6.contacts (id, account) VALUES (1, 'a');
    INSERT INTO r6.contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(2, 5) n;
    UPDATE r6.contacts SET marketing_contact_status = 'marketing' WHERE id = 1;
    UPDATE r6.contacts SET marketing_contact_status = 'non_marketing' WHERE id = 1;
    DELETE FROM r6.contacts WHERE id = 2;
    SET LOCAL ROLE regress_r6_owner;
    PERFORM set_config('contacts_tier.source_type', 'FORM', true);
    CALL contacts_tier.rollover('r6.contacts');
    RESET ROLE;
END
$$;
CREATE FUNCTION strangers_may() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT c.relname || ' ' || p FROM pg_class c, unnest('{SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER}'::text[]) p
     WHERE c.relnamespace = to_regnamespace('r6') AND c.relkind = 'r' AND has_table_privilege('regress_r6_stranger', c.oid, p)
     ORDER BY 1
$$;
CREATE FUNCTION owner_may(companion regclass) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(p, ' ') FROM unnest('{SELECT, INSERT, UPDATE, DELETE, TRUNCATE}'::text[]) p
     WHERE has_table_privilege('regress_r6_owner', companion, p)
$$;

-- everything is taken away by default, also from the owners themselves
BEGIN;
DROP EXTENSION contacts_tier;
DROP SCHEMA contacts_tier;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON FUNCTIONS FROM PUBLIC, CURRENT_USER;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TYPES FROM PUBLIC, CURRENT_USER;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC, CURRENT_USER;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON SCHEMAS FROM PUBLIC, CURRENT_USER;
ALTER DEFAULT PRIVILEGES FOR ROLE regress_r6_owner REVOKE ALL ON FUNCTIONS FROM PUBLIC, regress_r6_owner;
ALTER DEFAULT PRIVILEGES FOR ROLE regress_r6_owner REVOKE ALL ON TYPES FROM PUBLIC, regress_r6_owner;
ALTER DEFAULT PRIVILEGES FOR ROLE regress_r6_owner REVOKE ALL ON TABLES FROM PUBLIC;
CREATE EXTENSION contacts_tier;
TABLE unstated;
SELECT * FROM privilege EXCEPT TABLE as_made;
SELECT * FROM as_made EXCEPT SELECT * FROM privilege;
CALL work();
SELECT account, marketing_contacts, pending_non_marketing, contact_limit FROM contacts_tier.usage('r6.contacts');
SELECT strangers_may();
SELECT owner_may('r6.contacts_tier_account'), owner_may('r6.contacts_tier_counter'), owner_may('r6.contacts_tier_ledger');
-- the owner's own, for companion tables
SET LOCAL ROLE regress_r6_owner;
SELECT contacts_tier.detach('r6.contacts');
DROP TABLE r6.contacts_tier_account, r6.contacts_tier_counter, r6.contacts_tier_ledger;
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM regress_r6_owner;
SELECT contacts_tier.attach('r6.contacts', 'account');
SELECT owner_may('r6.contacts_tier_account'), owner_may('r6.contacts_tier_counter'), owner_may('r6.contacts_tier_ledger');
ROLLBACK;

-- everything is given away by default, to one role and to all
BEGIN;
DROP EXTENSION contacts_tier;
DROP SCHEMA contacts_tier;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO regress_r6_stranger WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO regress_r6_stranger WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO regress_r6_stranger WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO regress_r6_stranger, PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE regress_r6_owner GRANT ALL ON TABLES TO regress_r6_stranger WITH GRANT OPTION;
CREATE EXTENSION contacts_tier;
TABLE unstated;
SELECT * FROM privilege EXCEPT TABLE as_made;
SELECT * FROM as_made EXCEPT SELECT * FROM privilege;
CALL work();
SELECT strangers_may();
-- those of the schema, for one role and for all
SET LOCAL ROLE regress_r6_owner;
SELECT contacts_tier.detach('r6.contacts');
DROP TABLE r6.contacts_tier_account, r6.contacts_tier_counter, r6.contacts_tier_ledger;
ALTER DEFAULT PRIVILEGES IN SCHEMA r6 GRANT ALL ON TABLES TO regress_r6_stranger;
ALTER DEFAULT PRIVILEGES IN SCHEMA r6 GRANT SELECT, UPDATE ON TABLES TO PUBLIC;
SELECT contacts_tier.attach('r6.contacts', 'account');
SELECT strangers_may();
SELECT owner_may('r6.contacts_tier_account'), owner_may('r6.contacts_tier_counter'), owner_may('r6.contacts_tier_ledger');
ROLLBACK;

DROP VIEW unstated, privilege, governed;
DROP TABLE as_made;
DROP PROCEDURE work();
DROP FUNCTION strangers_may(), owner_may(regclass);
DROP ROLE regress_r6_owner, regress_r6_writer, regress_r6_stranger;
