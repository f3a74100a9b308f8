------------------------------------------------------------------------------
-- Seeing: these functions read companion tables with the rights of the caller
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier.usage(INOUT contacts regclass DEFAULT NULL,
                                    INOUT account text DEFAULT NULL,
                                    OUT plan text,
                                    OUT contact_limit bigint,
                                    OUT marketing_contacts bigint,
                                    OUT pending_non_marketing bigint,
                                    OUT projected_marketing_contacts bigint,
                                    OUT available bigint,
                                    OUT percent_used numeric,
                                    OUT alert text,
                                    OUT next_update_at timestamptz,
                                    OUT renews_at timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql STABLE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    companion record;
    one       text := usage.account;
BEGIN
    FOR companion IN SELECT * FROM contacts_tier.companions(usage.contacts) LOOP
        RETURN QUERY EXECUTE format($sql$
            WITH counter AS (
                SELECT c.account, sum(c.used)::bigint AS used, sum(c.pending)::bigint AS pending
                FROM %1$s.contacts_tier_counter c
                %4$s
                GROUP BY c.account
            ), subscription AS (
                SELECT * FROM %1$s.contacts_tier_account c %4$s
            )
            SELECT $1,
                   coalesce(a.account, c.account)::text,
                   a.plan,
                   a.contact_limit,
                   coalesce(c.used, 0),
                   coalesce(c.pending, 0),
                   coalesce(c.used - c.pending, 0),
                   greatest(a.contact_limit - coalesce(c.used, 0), 0),
                   round(100.0 * coalesce(c.used, 0) / nullif(a.contact_limit, 0), 1),
                   CASE WHEN c.used * 100 >= a.contact_limit * 98 THEN 'banner'
                        WHEN EXISTS (SELECT FROM unnest(a.thresholds) AS t
                                     WHERE c.used * 100 >= a.contact_limit * t) THEN 'notice'
                   END,
                   a.next_update_at,
                   a.renews_at
            FROM subscription a FULL JOIN counter c ON a.account %3$s c.account
            ORDER BY coalesce(a.account, c.account)
            $sql$, companion.schema, companion.account_type, companion.equals,
            CASE WHEN one IS NOT NULL
                 THEN format('WHERE c.account %s $2::%s', companion.equals, companion.account_type) END)
        USING companion.contacts, one;
    END LOOP;
END
$$;
COMMENT ON FUNCTION contacts_tier.usage(regclass, text) IS
'marketing contacts of each account against its contact tier, from the counters alone; tables of one schema that share them make one row';

