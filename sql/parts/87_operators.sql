------------------------------------------------------------------------------
-- Operating: provenance, privileges, uninstalling, test suites
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier.set_source(source_type text, source_name text DEFAULT NULL, is_local boolean DEFAULT true)
RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT set_config('contacts_tier.source_type', coalesce(source_type, ''), coalesce(is_local, true));
    SELECT set_config('contacts_tier.source_name', coalesce(source_name, ''), coalesce(is_local, true));
END;
COMMENT ON FUNCTION contacts_tier.set_source(text, text, boolean) IS
'sets the source of what the transaction does, or the session if is_local is false; null clears it';

-- Public functions that are neither for everybody nor for monitors are for owners, and those
-- that attach(), guard() and uninstall() call.
CREATE FUNCTION contacts_tier_internal.grant_functions(role name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT p.oid::regprocedure AS routine,
               p.proname IN ('banner', 'pass_brake') AS is_permission
        FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
        WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
          AND d.refobjid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'contacts_tier')
          AND p.proname NOT IN ('grant_owner', 'grant_functions', 'grant_nodes')
          AND (p.pronamespace = 'contacts_tier'::regnamespace
               OR p.proname IN ('maintain_status', 'count_contact', 'apply_counts', 'count_truncate', 'guard_send',
                                'create_companions', 'run_call', 'report_on_shard', 'create_call_table', 'run_on_shards', 'release_columns', 'guarded_by',
                                'exists_condition', 'eligible_condition'))
          AND NOT EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                          WHERE a.privilege_type = 'EXECUTE' AND a.grantee IN (0, 'pg_monitor'::regrole))
        ORDER BY p.oid
    LOOP
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I%s', f.routine, role,
                       CASE WHEN f.is_permission THEN ' WITH GRANT OPTION' ELSE '' END);
    END LOOP;
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.grant_functions(name) IS
'grants a role EXECUTE on the functions that the owner of attached tables needs, on this node';

CREATE FUNCTION contacts_tier.grant_owner(role name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF role IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'argument "role" must not be null';
    END IF;
    PERFORM contacts_tier_internal.grant_functions(role);
    -- Citus hands on what is granted on tables, but not on functions of an extension
    IF contacts_tier_internal.is_in_cluster() THEN
        PERFORM contacts_tier.grant_nodes();
    END IF;
    EXECUTE format('GRANT INSERT ON contacts_tier.plan, contacts_tier.tier TO %I', role);
END
$$;
COMMENT ON FUNCTION contacts_tier.grant_owner(name) IS
'grants a role what the owner of attached tables needs: EXECUTE on the functions that change something, and INSERT on plans';

-- Its own grants: EXECUTE on reports is everybody's.
CREATE FUNCTION contacts_tier.grant_reader(contacts regclass, role name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema   name;
    readable name;
    banner   regprocedure;
BEGIN
    IF contacts IS NULL OR role IS NULL THEN
        RAISE null_value_not_allowed
            USING MESSAGE = format('argument "%s" must not be null', CASE WHEN contacts IS NULL THEN 'contacts' ELSE 'role' END);
    END IF;
    SELECT t.companion_schema, coalesce(nullif(t.account_column, ''), t.status_column) INTO schema, readable
    FROM contacts_tier.attached() t WHERE t.contacts = grant_reader.contacts;
    IF NOT FOUND THEN
        RAISE object_not_in_prerequisite_state
            USING MESSAGE = format('table "%s" is not attached', (SELECT c.relname FROM pg_class c WHERE c.oid = grant_reader.contacts)),
                  HINT = 'Use contacts_tier.attached() to list attached tables.';
    END IF;
    IF NOT pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = grant_reader.contacts), 'USAGE') THEN
        RAISE insufficient_privilege USING MESSAGE = format('must be owner of table %s', contacts);
    END IF;
    IF NOT has_schema_privilege(role, schema, 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', schema, role);
    END IF;
    EXECUTE format('GRANT SELECT ON %1$I.contacts_tier_account, %1$I.contacts_tier_counter, %1$I.contacts_tier_ledger TO %2$I',
                   schema, role);
    -- a role that sees the banner of a table reads a column of it
    IF NOT has_any_column_privilege(role, contacts, 'SELECT') THEN
        EXECUTE format('GRANT SELECT (%I) ON %s TO %I', readable, contacts, role);
    END IF;
    FOR banner IN
        SELECT p.oid::regprocedure FROM pg_proc p
        WHERE p.pronamespace = 'contacts_tier'::regnamespace AND p.proname = 'banner'
          AND NOT has_function_privilege(role, p.oid, 'EXECUTE')
        ORDER BY p.oid
    LOOP
        IF NOT has_function_privilege(banner, 'EXECUTE WITH GRANT OPTION') THEN
            RAISE WARNING USING
                MESSAGE = format('role "%s" was not granted contacts_tier.banner()', role),
                HINT = format('Have a role that may grant it run: SELECT contacts_tier.grant_owner(%L).', current_user);
            EXIT;
        END IF;
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', banner, role);
    END LOOP;
END
$$;
COMMENT ON FUNCTION contacts_tier.grant_reader(regclass, name) IS
'grants a role what reports and banner() need: SELECT on the companion tables, and on one column of the contacts';

CREATE FUNCTION contacts_tier_internal.release_columns(relation regclass) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_release_columns';
COMMENT ON FUNCTION contacts_tier_internal.release_columns(regclass) IS
'converts columns that have a type of the extension to text, and drops defaults that call it, for uninstall()';

CREATE FUNCTION contacts_tier_internal.guarded_by(contacts regclass) RETURNS SETOF regclass
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT t.tgrelid::regclass
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
         -- arguments end with a zero byte each
         LATERAL (SELECT convert_to(n.nspname, getdatabaseencoding()) || decode('00', 'hex')
                         || convert_to(c.relname, getdatabaseencoding()) || decode('00', 'hex')) AS k (key),
         pg_trigger t
    WHERE c.oid = contacts AND t.tgparentid = 0
      AND t.tgfoid = 'contacts_tier_internal.guard_send()'::regprocedure
      AND substring(t.tgargs FROM 1 FOR octet_length(key)) = key
    ORDER BY t.tgrelid;
END;
COMMENT ON FUNCTION contacts_tier_internal.guarded_by(regclass) IS
'tables of sends whose guard looks contacts of this table up, for uninstall()';

CREATE FUNCTION contacts_tier.uninstall(contacts regclass, drop_columns boolean DEFAULT false, drop_history boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema    name;
    owner     oid;
    companion text;
    sends     regclass;
BEGIN
    SELECT t.companion_schema INTO schema FROM contacts_tier.attached() t WHERE t.contacts = uninstall.contacts;
    SELECT c.relowner INTO owner FROM pg_class c WHERE c.oid = uninstall.contacts;
    -- of a table whose companion tables are not all there, its triggers say where they were
    IF schema IS NULL THEN
        SELECT convert_from(substring(t.tgargs FROM 1 FOR position('\x00'::bytea IN t.tgargs) - 1), getdatabaseencoding())
        INTO schema
        FROM pg_trigger t
        WHERE t.tgrelid = uninstall.contacts
          AND t.tgfoid IN ('contacts_tier_internal.maintain_status()'::regprocedure,
                           'contacts_tier_internal.count_contact()'::regprocedure)
        LIMIT 1;
    END IF;
    -- as writers do it: the guarded table is locked before the contacts
    FOR sends IN SELECT g.sends FROM contacts_tier_internal.guarded_by(contacts) AS g (sends) LOOP
        IF pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = sends), 'USAGE') THEN
            PERFORM contacts_tier.unguard(sends);
        END IF;
    END LOOP;
    PERFORM contacts_tier.detach(contacts, drop_columns);
    PERFORM contacts_tier_internal.release_columns(contacts);
    FOR sends IN SELECT g.sends FROM contacts_tier_internal.guarded_by(contacts) AS g (sends) LOOP
        RAISE WARNING USING MESSAGE = format('table "%s" is still guarded', (SELECT c.relname FROM pg_class c WHERE c.oid = sends)),
            DETAIL = 'The extension cannot be dropped while a table is guarded.',
            HINT = format('Have its owner run: SELECT contacts_tier.unguard(%L).', sends);
    END LOOP;
    IF EXISTS (SELECT FROM contacts_tier.attached() t WHERE t.companion_schema = schema) THEN
        RAISE NOTICE USING MESSAGE = format('companion tables of schema "%s" remain, because other attached tables share them', schema);
        RETURN;
    END IF;
    -- of a distributed table: never anything but ours
    IF EXISTS (SELECT FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
               WHERE t.tgrelid = to_regclass(format('%I.contacts_tier_call', schema)) AND c.relowner = owner
                 AND t.tgfoid = 'contacts_tier_internal.run_call()'::regprocedure) THEN
        EXECUTE format('DROP TABLE %I.contacts_tier_call', schema);
    END IF;
    FOREACH companion IN ARRAY '{contacts_tier_account, contacts_tier_counter, contacts_tier_ledger}'::text[] LOOP
        -- the creator of a trigger chooses its arguments: tables of other owners are not touched
        IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass(format('%I.%I', schema, companion))
                          AND c.relkind IN ('r', 'p') AND c.relowner = owner) THEN
            RAISE WARNING USING MESSAGE = format('companion table "%s.%s" of table %s was not found', schema, companion, contacts),
                HINT = 'If it was renamed, or has another owner now, drop it before the extension.';
        ELSIF drop_history THEN
            EXECUTE format('DROP TABLE %I.%I', schema, companion);
        ELSE
            PERFORM contacts_tier_internal.release_columns(format('%I.%I', schema, companion)::regclass);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION contacts_tier.uninstall(regclass, boolean, boolean) IS
'detaches a table and converts its status to text, so that the extension can be dropped; companion tables remain unless drop_history is true';

CREATE FUNCTION contacts_tier.reset(contacts regclass, cascade boolean DEFAULT false) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_reset';
COMMENT ON FUNCTION contacts_tier.reset(regclass, boolean) IS
'for test suites: empties the attached tables that share companion tables, and these; with cascade also tables that reference them';

