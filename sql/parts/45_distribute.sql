------------------------------------------------------------------------------
-- Tables that Citus distributes
------------------------------------------------------------------------------

-- As the caller, who is the owner of the contacts: a query of a report on another node has it.
CREATE FUNCTION contacts_tier_internal.report_on_shard(shard regclass, contacts text, report name, account anyelement) RETURNS jsonb
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'contacts_tier_report_on_shard';
COMMENT ON FUNCTION contacts_tier_internal.report_on_shard(regclass, text, name, anyelement) IS
'rows of a report about an account, run on the shard of the contacts beside the given shard';

-- As the role that inserts, which can only run what it may run anyway.
CREATE FUNCTION contacts_tier_internal.run_call() RETURNS trigger
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'contacts_tier_run_call';
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
            role     text,
            result   jsonb,
            PRIMARY KEY (account, call_id)
        )$sql$, schema, account_type);
    EXECUTE format($sql$
        COMMENT ON TABLE %1$s.contacts_tier_call IS 'contacts_tier: takes calls of managing functions to the shard of an account; always empty';
        COMMENT ON COLUMN %1$s.contacts_tier_call.account IS 'account that the call is about';
        COMMENT ON COLUMN %1$s.contacts_tier_call.call_id IS 'key of the call';
        COMMENT ON COLUMN %1$s.contacts_tier_call.contacts IS 'qualified name of the table of contacts';
        COMMENT ON COLUMN %1$s.contacts_tier_call.call IS 'statement to run, a format in which %%1$s is the shard of that table';
        COMMENT ON COLUMN %1$s.contacts_tier_call.role IS 'role that called, for the ledger; counts only where the owner inserts';
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

-- In transactions of their own.  The name of the shard takes the place of %1$s in the command.
CREATE FUNCTION contacts_tier_internal.run_on_shards(contacts regclass, command text, account text DEFAULT NULL)
RETURNS TABLE (shard bigint, success boolean, result text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    by_account boolean := (SELECT d.partkey IS NOT NULL FROM pg_dist_partition d WHERE d.logicalrelid = run_on_shards.contacts);
    only_shard bigint;
    schema     name := (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = run_on_shards.contacts);
BEGIN
    IF by_account AND run_on_shards.account IS NOT NULL THEN
        EXECUTE format('SELECT get_shard_id_for_distribution_column($1, %L::%s)', run_on_shards.account,
                       (SELECT format_type(a.atttypid, NULL) FROM pg_dist_partition d, pg_attribute a
                        WHERE d.logicalrelid = run_on_shards.contacts AND a.attrelid = d.logicalrelid
                          AND a.attname = column_to_column_name(d.logicalrelid, d.partkey)))
            INTO only_shard USING run_on_shards.contacts;
    END IF;
    RETURN QUERY
        WITH placed AS (
            SELECT array_agg(p.nodename ORDER BY p.shardid) AS nodes, array_agg(p.nodeport ORDER BY p.shardid) AS ports,
                   array_agg(p.shardid ORDER BY p.shardid) AS shards,
                   array_agg(format(run_on_shards.command, format('%I.%I', schema, p.parts[cardinality(p.parts)])) ORDER BY p.shardid) AS commands
            FROM (SELECT DISTINCT ON (s.shardid) s.shardid, l.nodename, l.nodeport::integer AS nodeport,
                         -- qualified, but in schema public
                         parse_ident(shard_name(s.logicalrelid, s.shardid)) AS parts
                  FROM pg_dist_shard s JOIN pg_dist_shard_placement l USING (shardid)
                  WHERE s.logicalrelid = run_on_shards.contacts AND (only_shard IS NULL OR s.shardid = only_shard)
                  ORDER BY s.shardid, l.placementid) p)
        SELECT p.shards[r.ordinality], r.success, r.result
        FROM placed p, master_run_on_worker(p.nodes, p.ports, p.commands, true) WITH ORDINALITY r;
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.run_on_shards(regclass, text, text) IS
'runs a command on each shard of a distributed table, or on that of an account, in parallel and in transactions of their own';

-- NOTIFY reaches those who listen on the worker of an account; the ledger has all of it.
CREATE FUNCTION contacts_tier.relay_notifications(contacts regclass,
                                                  since timestamptz,
                                                  lag interval DEFAULT '5 seconds')
RETURNS timestamptz
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    until  timestamptz := contacts_tier.clock() - relay_notifications.lag;
    schema name := (SELECT a.companion_schema FROM contacts_tier.attached() a WHERE a.contacts = relay_notifications.contacts);
BEGIN
    IF relay_notifications.contacts IS NULL OR relay_notifications.since IS NULL OR relay_notifications.lag IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'arguments "contacts", "since" and "lag" must not be null';
    END IF;
    IF until <= relay_notifications.since THEN
        RETURN relay_notifications.since;
    END IF;
    PERFORM pg_notify('contacts_tier', (jsonb_build_object('schema', schema, 'account', n.account, 'event', n.event,
                                                           'marketing_contacts', n.marketing_contacts) || n.details)::text)
    FROM contacts_tier.notifications(relay_notifications.contacts, NULL, relay_notifications.since, until) n
    ORDER BY n.notified_at, n.entry;
    RETURN until;
END
$$;
COMMENT ON FUNCTION contacts_tier.relay_notifications(regclass, timestamptz, interval) IS
'notifies listeners on this node of what the ledger of a distributed table has recorded since an instant; returns the instant to continue from';

-- Citus creates the extension on a node that is added, and the roles, but it does not hand on what was
-- granted on members of an extension.
CREATE FUNCTION contacts_tier_internal.grants() RETURNS SETOF text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT format('GRANT %s ON %s TO %s%s', a.privilege_type, o.object, coalesce(quote_ident(r.rolname), 'PUBLIC'),
                  CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM (SELECT 'ROUTINE ' || p.oid::regprocedure, p.proacl, p.proowner
          FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
          WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
            AND d.refobjid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'contacts_tier')
          UNION ALL
          SELECT 'TABLE ' || c.oid::regclass, c.relacl, c.relowner
          FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
          WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
            AND d.refobjid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'contacts_tier')) o (object, acl, owner),
         aclexplode(o.acl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE a.grantee <> o.owner;
END;
COMMENT ON FUNCTION contacts_tier_internal.grants() IS
'what is granted on functions and tables of the extension on this node, as statements';

-- Each node in a transaction of its own, as the caller.  A statement waits for others there only for some seconds, since the
-- caller's own transaction may be what it waits for.
CREATE FUNCTION contacts_tier_internal.grant_missing() RETURNS TABLE (node text, error text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT contacts_tier_internal.is_in_cluster() THEN
        RETURN;
    END IF;
    IF (SELECT l.groupid <> 0 FROM pg_dist_local_group l) THEN
        RETURN;
    END IF;
    RETURN QUERY
        WITH lacking AS (
            SELECT w.nodename, w.nodeport, CASE WHEN NOT w.success THEN w.result END AS error,
                   (SELECT string_agg(g, '; ') FROM contacts_tier_internal.grants() g
                    WHERE w.success AND NOT w.result::jsonb ? g) AS statements
            FROM run_command_on_workers('SELECT coalesce(pg_catalog.jsonb_agg(g), ''[]'') FROM contacts_tier_internal.grants() g') w),
        granted AS (
            SELECT m.node_name, m.node_port, m.success, m.result
            FROM (SELECT array_agg(l.nodename) AS nodes, array_agg(l.nodeport) AS ports,
                         array_agg(format('DO %L', format('BEGIN SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL citus.enable_ddl_propagation = off;'
                                                          ' SET LOCAL lock_timeout = ''5s''; %s; END', l.statements))) AS commands
                  FROM lacking l WHERE l.statements IS NOT NULL) c,
                 master_run_on_worker(c.nodes, c.ports, c.commands, true) m
            WHERE c.nodes IS NOT NULL)
        SELECT format('%s:%s', l.nodename, l.nodeport), l.error FROM lacking l WHERE l.error IS NOT NULL
        UNION ALL
        SELECT format('%s:%s', g.node_name, g.node_port), g.result FROM granted g WHERE NOT g.success;
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.grant_missing() IS
'grants on other nodes what is granted on the coordinator on functions and tables of the extension; returns the nodes where that failed';

CREATE FUNCTION contacts_tier.grant_nodes() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    failed record;
BEGIN
    IF NOT contacts_tier_internal.is_in_cluster() THEN
        RETURN;
    END IF;
    IF (SELECT l.groupid <> 0 FROM pg_dist_local_group l) THEN
        RAISE object_not_in_prerequisite_state
            USING MESSAGE = 'grant_nodes() must be called on the coordinator';
    END IF;
    FOR failed IN SELECT m.node, m.error FROM contacts_tier_internal.grant_missing() m LIMIT 1 LOOP
        RAISE external_routine_exception
            USING MESSAGE = format('nothing is granted on node %s', failed.node), DETAIL = failed.error;
    END LOOP;
END
$$;
COMMENT ON FUNCTION contacts_tier.grant_nodes() IS
'grants on all nodes of Citus what is granted on the coordinator on functions and tables of the extension, as for a node that was added';
