------------------------------------------------------------------------------
-- Schemas.  Public functions stand in contacts_tier, which CREATE EXTENSION creates; what
-- only triggers, column defaults, index predicates and the extension itself call stands in
-- contacts_tier_internal, which fails to be created if there is such a schema.
--
-- CREATE EXTENSION adopts a schema contacts_tier that is there already.  A restore needs
-- that: pg_dump creates it first, with the owner that it had.  But nothing that another role
-- has put there may pass for a function of ours, now or later: it must be empty, and a role
-- that is neither a superuser nor the owner of the extension does not stay its owner.
------------------------------------------------------------------------------

DO $$
DECLARE
    content text;
    schema_owner pg_catalog.regrole;
    extension_owner pg_catalog.regrole;
BEGIN
    SELECT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) INTO content
    FROM pg_catalog.pg_depend d
    WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
      AND d.refobjid OPERATOR(pg_catalog.=) 'contacts_tier'::pg_catalog.regnamespace
      AND d.classid OPERATOR(pg_catalog.<>) 'pg_catalog.pg_extension'::pg_catalog.regclass
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
            MESSAGE = 'schema "contacts_tier" already exists and is not empty',
            DETAIL = pg_catalog.format('The schema contains %s.', content),
            HINT = 'Find out which role created the schema, and drop or rename it before CREATE EXTENSION.';
    END IF;

    SELECT n.nspowner, e.extowner INTO STRICT schema_owner, extension_owner
    FROM pg_catalog.pg_namespace n, pg_catalog.pg_extension e
    WHERE n.nspname OPERATOR(pg_catalog.=) 'contacts_tier' AND e.extname OPERATOR(pg_catalog.=) 'contacts_tier';
    IF schema_owner OPERATOR(pg_catalog.<>) extension_owner
       AND NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) schema_owner)
    THEN
        EXECUTE pg_catalog.format('ALTER SCHEMA contacts_tier OWNER TO %s', extension_owner);
    END IF;
END
$$;

COMMENT ON SCHEMA contacts_tier IS
'what applications and owners of contacts use of the extension contacts_tier: functions, views, types, plans and tools';

CREATE SCHEMA contacts_tier_internal;
COMMENT ON SCHEMA contacts_tier_internal IS
'internal functions of the extension contacts_tier, which triggers and column defaults call';

