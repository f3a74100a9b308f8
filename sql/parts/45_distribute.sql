------------------------------------------------------------------------------
-- Tables that Citus distributes
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier_internal.shard_beside(shard regclass, contacts text) RETURNS oid
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'contacts_tier_shard_beside';
COMMENT ON FUNCTION contacts_tier_internal.shard_beside(regclass, text) IS
'shard of a distributed table, by its qualified name, that is on this node beside the given shard of another one';

-- As the role that inserts, which can only run what it may run anyway.
CREATE FUNCTION contacts_tier_internal.run_call() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_WHEN = 'BEFORE' THEN
        EXECUTE format(NEW.call, contacts_tier_internal.shard_beside(TG_RELID, NEW.contacts)) INTO NEW.result;
        RETURN NEW;
    END IF;
    EXECUTE format('DELETE FROM %I.%I WHERE call_id = $1', TG_TABLE_SCHEMA, TG_TABLE_NAME) USING NEW.call_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.run_call() IS
'trigger: calls a managing function on the shard that the row came to, and deletes the row';

CREATE FUNCTION contacts_tier_internal.create_call_table(schema text, account_type text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET client_min_messages = warning
AS $$
DECLARE
    granted record;
BEGIN
    EXECUTE format($sql$
        CREATE TABLE %1$s.contacts_tier_call (
            account  %2$s NOT NULL,
            call_id  uuid NOT NULL DEFAULT gen_random_uuid(),
            contacts text NOT NULL,
            call     text NOT NULL,
            result   jsonb,
            PRIMARY KEY (account, call_id)
        )$sql$, schema, account_type);
    EXECUTE format($sql$
        COMMENT ON TABLE %1$s.contacts_tier_call IS 'contacts_tier: takes calls of managing functions to the shard of an account; always empty';
        COMMENT ON COLUMN %1$s.contacts_tier_call.account IS 'account that the call is about';
        COMMENT ON COLUMN %1$s.contacts_tier_call.call_id IS 'key of the call';
        COMMENT ON COLUMN %1$s.contacts_tier_call.contacts IS 'qualified name of the table of contacts';
        COMMENT ON COLUMN %1$s.contacts_tier_call.call IS 'statement to run, a format in which %%1$s is the shard of that table';
        COMMENT ON COLUMN %1$s.contacts_tier_call.result IS 'result of the call'
        $sql$, schema);
    EXECUTE format('GRANT ALL ON %1$s.contacts_tier_call TO %2$I; REVOKE ALL ON %1$s.contacts_tier_call FROM PUBLIC', schema, current_user);
    FOR granted IN
        SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee
        WHERE c.oid = (schema || '.contacts_tier_call')::regclass AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON %s.contacts_tier_call FROM %I CASCADE', schema, granted.rolname);
    END LOOP;
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.create_call_table(text, text) IS
'creates the table of calls beside the companion tables of a distributed table; both arguments must be quoted already';

CREATE FUNCTION contacts_tier.distribute(contacts regclass) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_distribute';
COMMENT ON FUNCTION contacts_tier.distribute(regclass) IS
'has Citus distribute an attached table by its account column, with its companion tables, whose history stays; in one transaction';
