------------------------------------------------------------------------------
-- Metrics, for members of pg_monitor: of all schemas, whatever else they can read
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier_internal.metrics(OUT schema text,
                                               OUT readable boolean,
                                               OUT accounts bigint,
                                               OUT accounts_notice bigint,
                                               OUT accounts_banner bigint,
                                               OUT accounts_exceeded bigint,
                                               OUT accounts_overdue bigint,
                                               OUT oldest_overdue_seconds double precision,
                                               OUT last_rollover_at timestamptz,
                                               OUT last_rollover_seconds double precision,
                                               OUT last_rollover_accounts bigint,
                                               OUT last_rollover_failed bigint,
                                               OUT rollover_unfinished_accounts bigint,
                                               OUT upgrade_requests bigint,
                                               OUT ledger_bytes bigint,
                                               OUT slots bigint,
                                               OUT drift bigint,
                                               OUT clock_fixed boolean)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'contacts_tier_metrics';
COMMENT ON FUNCTION contacts_tier_internal.metrics() IS
'of each set of companion tables on this node, of which a schema of distributed ones has several, for contacts_tier.metrics()';

CREATE FUNCTION contacts_tier_internal.is_in_cluster() RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('pg_catalog.pg_dist_node') IS NULL THEN
        RETURN false;
    END IF;
    RETURN (SELECT count(*) > 1 FROM pg_dist_node);
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.is_in_cluster() IS
'true if this server is one of several nodes of Citus';

-- Rows of a function of ours on all nodes of a cluster of Citus
CREATE FUNCTION contacts_tier_internal.on_all_nodes(rows text) RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    node record;
BEGIN
    -- a cluster of one
    IF NOT contacts_tier_internal.is_in_cluster() THEN
        RETURN QUERY EXECUTE format('SELECT to_jsonb(m) FROM %s m', on_all_nodes.rows);
        RETURN;
    END IF;
    FOR node IN SELECT n.success, n.result
                FROM run_command_on_all_nodes(format('SELECT coalesce(pg_catalog.jsonb_agg(m), ''[]'') FROM %s m', on_all_nodes.rows)) n LOOP
        IF NOT node.success THEN
            RAISE WARNING USING MESSAGE = 'a node is skipped', DETAIL = node.result;
            CONTINUE;
        END IF;
        RETURN QUERY SELECT jsonb_array_elements(node.result::jsonb);
    END LOOP;
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.on_all_nodes(text) IS
'rows of a function, as JSON, on all nodes of a cluster of Citus';

CREATE FUNCTION contacts_tier.metrics(OUT schema text,
                                      OUT readable boolean,
                                      OUT accounts bigint,
                                      OUT accounts_notice bigint,
                                      OUT accounts_banner bigint,
                                      OUT accounts_exceeded bigint,
                                      OUT accounts_overdue bigint,
                                      OUT oldest_overdue_seconds double precision,
                                      OUT last_rollover_at timestamptz,
                                      OUT last_rollover_seconds double precision,
                                      OUT last_rollover_accounts bigint,
                                      OUT last_rollover_failed bigint,
                                      OUT rollover_unfinished_accounts bigint,
                                      OUT upgrade_requests bigint,
                                      OUT ledger_bytes bigint,
                                      OUT slots bigint,
                                      OUT drift bigint,
                                      OUT clock_fixed boolean)
RETURNS SETOF record
LANGUAGE plpgsql STABLE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('pg_catalog.pg_dist_node') IS NULL THEN
        RETURN QUERY SELECT m.* FROM contacts_tier_internal.metrics() m;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT m.schema, bool_and(m.readable), sum(m.accounts)::bigint, sum(m.accounts_notice)::bigint, sum(m.accounts_banner)::bigint,
               sum(m.accounts_exceeded)::bigint, sum(m.accounts_overdue)::bigint, max(m.oldest_overdue_seconds),
               max(m.last_rollover_at), max(m.last_rollover_seconds), sum(m.last_rollover_accounts)::bigint,
               sum(m.last_rollover_failed)::bigint, sum(m.rollover_unfinished_accounts)::bigint, sum(m.upgrade_requests)::bigint,
               sum(m.ledger_bytes)::bigint, sum(m.slots)::bigint, sum(m.drift)::bigint, bool_or(m.clock_fixed)
        FROM contacts_tier_internal.on_all_nodes('contacts_tier_internal.metrics()') n,
             jsonb_to_record(n) AS m (schema text, readable boolean, accounts bigint, accounts_notice bigint, accounts_banner bigint,
                                      accounts_exceeded bigint, accounts_overdue bigint, oldest_overdue_seconds double precision,
                                      last_rollover_at timestamptz, last_rollover_seconds double precision, last_rollover_accounts bigint,
                                      last_rollover_failed bigint, rollover_unfinished_accounts bigint, upgrade_requests bigint,
                                      ledger_bytes bigint, slots bigint, drift bigint, clock_fixed boolean)
        GROUP BY m.schema ORDER BY m.schema;
END
$$;
COMMENT ON FUNCTION contacts_tier.metrics() IS
'metrics of each schema with companion tables, of all nodes, for members of pg_monitor; reads no contacts';

CREATE FUNCTION contacts_tier_internal.account_metrics(IN top integer,
                                                       OUT schema text,
                                                       OUT account text,
                                                       OUT marketing_contacts bigint,
                                                       OUT pending_non_marketing bigint,
                                                       OUT contact_limit bigint,
                                                       OUT ratio numeric,
                                                       OUT next_update_at timestamptz)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_account_metrics';
COMMENT ON FUNCTION contacts_tier_internal.account_metrics(integer) IS
'of each schema the accounts nearest to their limits, for contacts_tier.account_metrics()';

-- A crafted type can give several accounts the same text, which would be one label.
CREATE FUNCTION contacts_tier.account_metrics(IN top integer DEFAULT 100,
                                              OUT schema text,
                                              OUT account text,
                                              OUT marketing_contacts bigint,
                                              OUT pending_non_marketing bigint,
                                              OUT contact_limit bigint,
                                              OUT ratio numeric,
                                              OUT next_update_at timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql STABLE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF contacts_tier_internal.is_in_cluster() THEN
        RETURN QUERY
            SELECT m.* FROM contacts_tier_internal.on_all_nodes(
                                format('contacts_tier_internal.account_metrics(%s)', coalesce(account_metrics.top::text, 'NULL'))) n,
                            jsonb_to_record(n) AS m (schema text, account text, marketing_contacts bigint, pending_non_marketing bigint,
                                                     contact_limit bigint, ratio numeric, next_update_at timestamptz)
            ORDER BY m.ratio DESC, m.schema, m.account LIMIT account_metrics.top;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT m.* FROM (SELECT DISTINCT ON (m.schema, m.account) m.*
                         FROM contacts_tier_internal.account_metrics(account_metrics.top) m
                         ORDER BY m.schema, m.account, m.ratio DESC) m
        -- below 0 is refused where the metrics are read
        ORDER BY m.ratio DESC, m.schema, m.account LIMIT CASE WHEN account_metrics.top >= 0 THEN account_metrics.top END;
END
$$;
COMMENT ON FUNCTION contacts_tier.account_metrics(integer) IS
'accounts nearest to their limits, nearest first, for members of pg_monitor';
