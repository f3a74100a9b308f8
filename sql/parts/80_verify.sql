------------------------------------------------------------------------------
-- Verifying: counters against a count over the attached tables
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier.count_query(schema text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog
RETURN (
    SELECT string_agg(format('SELECT %s AS account, %I = ''marketing'' AS marketing,'
                             ' %I = ''marketing'' AND %I IS TRUE AS pending FROM %s',
                             coalesce(quote_ident(a.account_column), '''default''::text'),
                             a.status_column, a.status_column, a.until_next_update_column, a.contacts),
                      ' UNION ALL ' ORDER BY a.contacts)
    FROM contacts_tier.attached() a
    WHERE quote_ident(a.companion_schema) = schema
);
COMMENT ON FUNCTION contacts_tier.count_query(text) IS
'a query for account, status and flag of all contacts whose companion tables are in a quoted schema';

CREATE FUNCTION contacts_tier.verify(INOUT contacts regclass DEFAULT NULL,
                                     OUT account text,
                                     OUT counted bigint,
                                     OUT actual bigint,
                                     OUT drift bigint,
                                     OUT pending_counted bigint,
                                     OUT pending_actual bigint)
RETURNS SETOF record
LANGUAGE plpgsql STABLE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    companion record;
BEGIN
    FOR companion IN SELECT * FROM contacts_tier.companions(verify.contacts) LOOP
        -- one statement, so one snapshot: exact while others write
        RETURN QUERY EXECUTE format($sql$
            SELECT $1, coalesce(c.account, t.account)::text, coalesce(c.used, 0), coalesce(t.marketing, 0),
                   coalesce(c.used, 0) - coalesce(t.marketing, 0),
                   coalesce(c.pending, 0), coalesce(t.pending, 0)
            FROM (SELECT c.account, sum(c.used)::bigint AS used, sum(c.pending)::bigint AS pending
                  FROM %1$s.contacts_tier_counter c GROUP BY c.account) c
            FULL JOIN (SELECT t.account, count(*) FILTER (WHERE t.marketing) AS marketing,
                              count(*) FILTER (WHERE t.pending) AS pending
                       FROM (%2$s) t GROUP BY t.account) t ON c.account %3$s t.account
            WHERE c.account IS NOT NULL OR t.account IS NOT NULL OR t.marketing > 0
            ORDER BY coalesce(c.account, t.account)
            $sql$, companion.schema, contacts_tier.count_query(companion.schema), companion.equals)
        USING companion.contacts;
    END LOOP;
END
$$;
COMMENT ON FUNCTION contacts_tier.verify(regclass) IS
'counters of each account against a count over its contacts, in one snapshot; drift is counted less actual and should be 0 everywhere';

CREATE FUNCTION contacts_tier.repair(INOUT contacts regclass DEFAULT NULL,
                                     OUT account text,
                                     OUT counted bigint,
                                     OUT actual bigint,
                                     OUT drift bigint,
                                     OUT pending_counted bigint,
                                     OUT pending_actual bigint)
RETURNS SETOF record
LANGUAGE c ROWS 10 AS 'MODULE_PATHNAME', 'contacts_tier_repair';
COMMENT ON FUNCTION contacts_tier.repair(regclass) IS
'mends what verify() finds, and rows and partitions that came in behind the triggers; returns the accounts that were mended';

