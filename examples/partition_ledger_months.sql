-- Creates the partitions for this month and the next two of a ledger that partition_ledger.sql has
-- divided, unless they are there.  It is one statement, for pg_cron to run as the owner, whose
-- search_path must have the schema of the companion tables:
--
--     SELECT cron.schedule('months of the ledger', '@daily', $job$ DO ... $job$);
--
-- A month that is not wanted any more: DROP TABLE contacts_tier_ledger_activity_2025_01;
DO $$
DECLARE
    schema  text := (SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'contacts_tier_ledger_activity'::regclass);
    month   timestamp;
    created text;
BEGIN
    FOR month IN SELECT date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month' FROM generate_series(0, 2) n LOOP
        created := schema || '.contacts_tier_ledger_activity_' || to_char(month, 'YYYY_MM');
        CONTINUE WHEN to_regclass(created) IS NOT NULL;
        EXECUTE format('CREATE TABLE %s PARTITION OF %s.contacts_tier_ledger_activity FOR VALUES FROM (%L) TO (%L)',
                       created, schema, month || '+00', month + interval '1 month' || '+00');
        EXECUTE format('REVOKE ALL ON %1$s FROM PUBLIC; REVOKE UPDATE, DELETE, TRUNCATE ON %1$s FROM %2$I', created, current_user);
    END LOOP;
END $$;
