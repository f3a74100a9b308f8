------------------------------------------------------------------------------
-- Metrics, for members of pg_monitor: of all schemas, whatever else they can read
------------------------------------------------------------------------------

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
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'contacts_tier_metrics';
COMMENT ON FUNCTION contacts_tier.metrics() IS
'metrics of each schema with companion tables, for members of pg_monitor; reads no contacts';

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
LANGUAGE sql STABLE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT * FROM (SELECT DISTINCT ON (m.schema, m.account) m.*
                   FROM contacts_tier_internal.account_metrics(account_metrics.top) m
                   ORDER BY m.schema, m.account, m.ratio DESC) m
    -- below 0 is refused where the metrics are read
    ORDER BY m.ratio DESC, m.schema, m.account LIMIT CASE WHEN account_metrics.top >= 0 THEN account_metrics.top END
$$;
COMMENT ON FUNCTION contacts_tier.account_metrics(integer) IS
'accounts nearest to their limits, nearest first, for members of pg_monitor';
