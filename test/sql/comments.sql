--
-- What every object of the extension has: a comment, and no more privileges than
-- it needs
-- (rule R6)
--

-- the members of the extension
CREATE TEMP VIEW member AS
    SELECT classid, objid, (pg_identify_object(classid, objid, 0)).type, (pg_identify_object(classid, objid, 0)).identity
      FROM pg_depend
     WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
       AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'contacts_tier');
SELECT count(*) > 20 AS many FROM member;

-- Every one has a COMMENT
SELECT type, identity FROM member
 WHERE obj_description(objid, classid::regclass::name) IS NULL
   -- array types and row types come with what they are made of
   AND NOT EXISTS (SELECT FROM pg_type t WHERE classid = 'pg_type'::regclass AND t.oid = objid AND (t.typelem <> 0 OR t.typrelid <> 0))
 ORDER BY type, identity;
-- and so has every column of its tables
SELECT attrelid::regclass AS table_name, attname FROM pg_attribute JOIN member ON classid = 'pg_class'::regclass AND objid = attrelid
 WHERE attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL ORDER BY attrelid::regclass::text COLLATE "C", attnum;
SELECT extname FROM pg_extension WHERE extname = 'contacts_tier' AND obj_description(oid, 'pg_extension') IS NOT NULL;
-- and both schemas, one of which is no member
SELECT nspname FROM pg_namespace WHERE nspname LIKE 'contacts\_tier%' AND obj_description(oid, 'pg_namespace') IS NULL;
-- what users call has a short one, for \df+, and names for its arguments
SELECT objid::regprocedure AS function FROM member JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid
 WHERE identity LIKE 'contacts\_tier.%'
   AND (length(obj_description(objid, 'pg_proc')) > 150 OR pronargs > 0 AND (proargnames IS NULL OR '' = ANY (proargnames)))
 ORDER BY identity;

-- What everybody may execute only reads, but for create_companions(), which makes
-- tables with the rights of whoever calls it: attach() calls it as the table's
-- owner.  All others are for the extension's owner to hand on.
SELECT oid::regprocedure AS function, CASE provolatile WHEN 'v' THEN 'volatile' WHEN 's' THEN 'stable' ELSE 'immutable' END AS volatility
  FROM pg_proc
 WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass)
   AND has_function_privilege('public', oid, 'EXECUTE') AND prorettype <> 'trigger'::regtype
 ORDER BY proname COLLATE "C", oid::regprocedure::text COLLATE "C";
SELECT oid::regprocedure AS function FROM pg_proc
 WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass)
   AND NOT has_function_privilege('public', oid, 'EXECUTE')
 ORDER BY proname COLLATE "C", oid::regprocedure::text COLLATE "C";
-- nothing that changes something pretends not to: these read what their caller need not be able to read
SELECT oid::regprocedure AS function FROM pg_proc
 WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass)
   AND NOT has_function_privilege('public', oid, 'EXECUTE') AND provolatile <> 'v'
 ORDER BY proname COLLATE "C", oid::regprocedure::text COLLATE "C";
-- nothing runs with the rights of the extension's owner
SELECT oid::regprocedure AS function FROM pg_proc
 WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass) AND prosecdef;
-- what is written in PL/pgSQL has a search_path of its own, with the temporary
-- tables of a caller at its end
SELECT oid::regprocedure AS function, proconfig FROM pg_proc
 WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass)
   AND prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql')
   AND NOT coalesce(proconfig @> '{"search_path=pg_catalog, pg_temp"}', false)
 ORDER BY proname COLLATE "C";
-- what everybody may do with the catalogue is read it
SELECT c.oid::regclass AS table_name, privilege FROM pg_class c JOIN member ON classid = 'pg_class'::regclass AND objid = c.oid,
       unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS privilege
 WHERE relkind = 'r' AND has_table_privilege('public', c.oid, privilege) ORDER BY c.oid::regclass::text COLLATE "C", 2;
-- the whole of it is in two schemas, but for event triggers and casts, which have none
SELECT identity FROM member WHERE identity NOT LIKE ALL ('{contacts\\_tier.%,contacts\\_tier\\_internal.%}') AND type NOT IN ('schema', 'event trigger', 'cast');
-- what is not internal stands in the reference, and takes no part in triggers or defaults
SELECT objid::regprocedure AS function FROM member JOIN pg_proc p ON classid = 'pg_proc'::regclass AND p.oid = objid
 WHERE identity LIKE 'contacts\_tier.%' AND prorettype IN ('trigger'::regtype, 'event_trigger'::regtype);
SELECT p.proname FROM pg_proc p WHERE pronamespace = 'contacts_tier'::regnamespace GROUP BY p.proname ORDER BY p.proname COLLATE "C";
SELECT p.proname FROM pg_proc p WHERE pronamespace = 'contacts_tier_internal'::regnamespace ORDER BY p.proname COLLATE "C";
-- nobody but the extension's owner creates anything in the second
SELECT has_schema_privilege('public', 'contacts_tier_internal', 'USAGE') AS usage, has_schema_privilege('public', 'contacts_tier_internal', 'CREATE') AS "create";

-- The companion tables and their columns are explained as well
CREATE SCHEMA comments;
CREATE TABLE comments.contacts (id integer, account text, marketing_contact_status_source_name text) PARTITION BY LIST (account);
COMMENT ON COLUMN comments.contacts.marketing_contact_status_source_name IS 'of our own';
CREATE TABLE comments.contacts_a PARTITION OF comments.contacts FOR VALUES IN ('a');
SELECT contacts_tier.attach('comments.contacts', 'account');
SELECT c.relname FROM pg_class c
 WHERE relnamespace = 'comments'::regnamespace AND relname LIKE 'contacts\_tier%' AND relkind = 'r' AND obj_description(oid, 'pg_class') IS NULL;
SELECT attrelid::regclass AS table_name, attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
 WHERE relnamespace = 'comments'::regnamespace AND relname LIKE 'contacts\_tier%' AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
   AND col_description(attrelid, attnum) IS NULL ORDER BY attrelid::regclass::text COLLATE "C", attnum;
-- and so is what attach() adds to the table: columns, unless they were there, the index ...
SELECT attname, col_description(attrelid, attnum) FROM pg_attribute WHERE attrelid = 'comments.contacts'::regclass AND attnum > 0 ORDER BY attnum;
SELECT relname, obj_description(oid, 'pg_class') FROM pg_class WHERE relname LIKE '%contacts_tier_pending' AND relkind = 'I' AND relnamespace = 'comments'::regnamespace;
-- ... and triggers, also of partitions, whenever they come and whatever the triggers are called then
SELECT tgname, obj_description(oid, 'pg_trigger') FROM pg_trigger WHERE tgrelid = 'comments.contacts'::regclass ORDER BY tgname;
ALTER TRIGGER zz_contacts_tier_status ON comments.contacts RENAME TO "zz ""it's"" % status";
CREATE TABLE comments.contacts_b PARTITION OF comments.contacts FOR VALUES IN ('b') PARTITION BY LIST (account);
CREATE TABLE comments.contacts_b_b PARTITION OF comments.contacts_b FOR VALUES IN ('b');
CREATE TABLE comments.contacts_c (LIKE comments.contacts);
ALTER TABLE comments.contacts ATTACH PARTITION comments.contacts_c FOR VALUES IN ('c');
CREATE VIEW comments.explained AS
    SELECT t.tgrelid::regclass AS table_name, count(*) AS triggers, count(d.description) AS explained, count(d.description LIKE '%contacts_tier.attach()' OR NULL) AS ours
      FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid AND c.relnamespace = 'comments'::regnamespace
      LEFT JOIN pg_description d ON d.classoid = 'pg_trigger'::regclass AND d.objoid = t.oid
     GROUP BY t.tgrelid;
SELECT * FROM comments.explained ORDER BY table_name::text COLLATE "C";
-- they go with the triggers; a comment of the owner's stays
ALTER TABLE comments.contacts DETACH PARTITION comments.contacts_c;
COMMENT ON TRIGGER aa_contacts_tier_count ON comments.contacts IS 'counts';
CREATE TABLE comments.contacts_d PARTITION OF comments.contacts FOR VALUES IN ('d');
SELECT * FROM comments.explained ORDER BY table_name::text COLLATE "C";
ALTER TRIGGER "zz ""it's"" % status" ON comments.contacts RENAME TO zz_contacts_tier_status;
SELECT contacts_tier.detach('comments.contacts');
SELECT * FROM comments.explained ORDER BY table_name::text COLLATE "C";
SELECT count(*) FROM pg_description d WHERE classoid = 'pg_trigger'::regclass AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.oid = d.objoid);
SELECT contacts_tier.attach('comments.contacts', 'account');
SELECT * FROM comments.explained ORDER BY table_name::text COLLATE "C";
-- the columns were there, so they stay, with their comments
SELECT contacts_tier.detach('comments.contacts', true);
SELECT count(*) FROM pg_description WHERE objoid = 'comments.contacts'::regclass;
SET client_min_messages = warning;
DROP SCHEMA comments CASCADE;
