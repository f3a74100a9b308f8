--
-- What every object of the extension has: a comment, and no more privileges than
-- it needs
--

-- the members of the extension
CREATE TEMP VIEW member AS
    SELECT classid, objid, (pg_identify_object(classid, objid, 0)).type, (pg_identify_object(classid, objid, 0)).identity
      FROM pg_depend
     WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
       AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'contacts_tier');
SELECT count(*) > 20 AS many FROM member;

-- Every one has a COMMENT; the schema was made by CREATE EXTENSION
SELECT type, identity FROM member
 WHERE obj_description(objid, classid::regclass::name) IS NULL AND type <> 'schema'
   -- array types and row types come with what they are made of
   AND NOT EXISTS (SELECT FROM pg_type t WHERE classid = 'pg_type'::regclass AND t.oid = objid AND (t.typelem <> 0 OR t.typrelid <> 0))
 ORDER BY type, identity;
-- and so has every column of its tables
SELECT attrelid::regclass AS table_name, attname FROM pg_attribute JOIN member ON classid = 'pg_class'::regclass AND objid = attrelid
 WHERE attnum > 0 AND NOT attisdropped AND col_description(attrelid, attnum) IS NULL ORDER BY 1::text, attnum;
SELECT extname FROM pg_extension WHERE extname = 'contacts_tier' AND obj_description(oid, 'pg_extension') IS NOT NULL;

-- What everybody may execute only reads, but for create_companions(), which makes
-- tables with the rights of whoever calls it: attach() calls it as the table's
-- owner.  All others are for the extension's owner to hand on.
SELECT oid::regprocedure AS function, CASE provolatile WHEN 'v' THEN 'volatile' WHEN 's' THEN 'stable' ELSE 'immutable' END AS volatility
  FROM pg_proc
 WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass)
   AND has_function_privilege('public', oid, 'EXECUTE') AND prorettype <> 'trigger'::regtype
 ORDER BY proname COLLATE "C", 1::text COLLATE "C";
SELECT oid::regprocedure AS function FROM pg_proc
 WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass)
   AND NOT has_function_privilege('public', oid, 'EXECUTE')
 ORDER BY proname COLLATE "C", 1::text COLLATE "C";
-- nothing that changes something pretends not to
SELECT oid::regprocedure AS function FROM pg_proc
 WHERE oid IN (SELECT objid FROM member WHERE classid = 'pg_proc'::regclass)
   AND NOT has_function_privilege('public', oid, 'EXECUTE') AND provolatile <> 'v';
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
 WHERE relkind = 'r' AND has_table_privilege('public', c.oid, privilege) ORDER BY 1::text, 2;
-- the whole of it is in one schema, but for event triggers, which have none
SELECT identity FROM member WHERE identity NOT LIKE 'contacts\_tier.%' AND type NOT IN ('schema', 'event trigger');

-- The companion tables, their indexes' tables and columns are explained as well
CREATE SCHEMA comments;
CREATE TABLE comments.contacts (id integer, account text);
SELECT contacts_tier.attach('comments.contacts', 'account');
SELECT c.relname FROM pg_class c
 WHERE relnamespace = 'comments'::regnamespace AND relname LIKE 'contacts\_tier%' AND relkind = 'r' AND obj_description(oid, 'pg_class') IS NULL;
SET client_min_messages = warning;
DROP SCHEMA comments CASCADE;
