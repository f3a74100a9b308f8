-- Makes the ledger of a schema a partitioned table: activity by months, and all else in a
-- partition of its own, so that to drop the activity of a month drops no bill.
--
--     psql -v ON_ERROR_STOP=1 -v schema=public -f partition_ledger.sql
--
-- As the owner of the attached tables, once.  "schema" is that of the companion tables.  All
-- entries are copied, which blocks writers of contacts, and needs room for a second copy.  Those
-- to whom SELECT on the ledger is granted keep it.
--
-- The key has the columns that divide the table, beside those that the extension needs.  The two
-- DEFAULT partitions take what belongs to no other, so no entry is ever refused for want of a
-- partition; the one of activity is empty as long as months are created in advance.

BEGIN;
SELECT set_config('search_path', format('%I, pg_catalog, pg_temp', :'schema'), true) AS search_path;

-- Writers come from the contacts to the ledger, so the contacts are locked first.
SELECT format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', contacts) FROM contacts_tier.attached()
 WHERE companion_schema = :'schema' ORDER BY contacts \gexec
ALTER TABLE contacts_tier_ledger RENAME TO contacts_tier_ledger_before;
ALTER INDEX contacts_tier_ledger_pkey RENAME TO contacts_tier_ledger_before_pkey;
ALTER INDEX contacts_tier_ledger_recorded_at_idx RENAME TO contacts_tier_ledger_before_recorded_at_idx;
ALTER INDEX contacts_tier_ledger_drift_idx RENAME TO contacts_tier_ledger_before_drift_idx;
ALTER INDEX contacts_tier_ledger_rollover_run_idx RENAME TO contacts_tier_ledger_before_rollover_run_idx;

CREATE TABLE contacts_tier_ledger (
    LIKE contacts_tier_ledger_before INCLUDING DEFAULTS INCLUDING COMMENTS,
    CONSTRAINT contacts_tier_ledger_pkey PRIMARY KEY (account, entry, event, recorded_at)
) PARTITION BY LIST (event);
CREATE TABLE contacts_tier_ledger_events PARTITION OF contacts_tier_ledger DEFAULT;
CREATE TABLE contacts_tier_ledger_activity PARTITION OF contacts_tier_ledger
    FOR VALUES IN ('activity') PARTITION BY RANGE (recorded_at);
CREATE TABLE contacts_tier_ledger_activity_other PARTITION OF contacts_tier_ledger_activity DEFAULT;
COMMENT ON TABLE contacts_tier_ledger IS 'contacts_tier: history of each account; activity by months';
COMMENT ON TABLE contacts_tier_ledger_events IS 'contacts_tier: all entries of the ledger but activity';
COMMENT ON TABLE contacts_tier_ledger_activity IS 'contacts_tier: activity, by months (UTC)';
COMMENT ON TABLE contacts_tier_ledger_activity_other IS 'contacts_tier: activity of months that have no partition';

-- reports and usage_history() read by account and time; metrics() needs the other two
CREATE INDEX contacts_tier_ledger_recorded_at_idx ON contacts_tier_ledger (account, recorded_at);
CREATE INDEX contacts_tier_ledger_drift_idx ON contacts_tier_ledger (entry) WHERE event IN ('verify', 'repair');
CREATE INDEX contacts_tier_ledger_rollover_run_idx ON contacts_tier_ledger (entry) WHERE event = 'rollover_run';

-- A partition for each month from the first activity on, and for the next one
SELECT format('CREATE TABLE contacts_tier_ledger_activity_%s PARTITION OF contacts_tier_ledger_activity FOR VALUES FROM (%L) TO (%L)',
              to_char(month, 'YYYY_MM'), month || '+00', month + interval '1 month' || '+00')
  FROM generate_series((SELECT date_trunc('month', coalesce(min(recorded_at), contacts_tier.clock()) AT TIME ZONE 'UTC')
                          FROM contacts_tier_ledger_before WHERE event = 'activity'),
                       date_trunc('month', contacts_tier.clock() AT TIME ZONE 'UTC') + interval '1 month',
                       interval '1 month') AS month \gexec

INSERT INTO contacts_tier_ledger (account, entry, recorded_at, event, role, contacts, details)
SELECT account, entry, recorded_at, event, role, contacts, details FROM contacts_tier_ledger_before;

-- Nobody has got a privilege by it.
SELECT format('REVOKE ALL ON %s FROM PUBLIC', relid::regclass) FROM pg_partition_tree('contacts_tier_ledger') \gexec
SELECT DISTINCT format('GRANT SELECT ON contacts_tier_ledger TO %s', CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END)
  FROM pg_class c, aclexplode(c.relacl) a
 WHERE c.oid = 'contacts_tier_ledger_before'::regclass AND a.privilege_type = 'SELECT' AND a.grantee <> c.relowner \gexec

-- repair() has the attached tables depend on this ledger instead of the former one, and revokes
-- UPDATE, DELETE and TRUNCATE on it.
SELECT r.account, r.drift FROM (SELECT contacts FROM contacts_tier.attached()
                                 WHERE companion_schema = :'schema' ORDER BY contacts LIMIT 1) a, contacts_tier.repair(a.contacts) r;
DROP TABLE contacts_tier_ledger_before;
COMMIT;
