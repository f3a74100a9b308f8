------------------------------------------------------------------------------
-- Attaching tables
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier_internal.ledger_entry() RETURNS uuid
LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_ledger_entry';
COMMENT ON FUNCTION contacts_tier_internal.ledger_entry() IS
'key of a new ledger entry: a UUID of version 7, so that entries of an account lie in the order in which they were made';

CREATE FUNCTION contacts_tier_internal.create_companions(schema text, account_type text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    companion text;
    granted   record;
BEGIN
    EXECUTE format($sql$
        CREATE TABLE %1$s.contacts_tier_account (
            account             %2$s PRIMARY KEY,
            plan                text NOT NULL,
            contact_limit       bigint NOT NULL CHECK (contact_limit >= 0),
            billing_cycle       contacts_tier.billing_cycle NOT NULL,
            on_exceed           contacts_tier.exceed_policy NOT NULL,
            grace               bigint NOT NULL CHECK (grace >= 0),
            thresholds          integer[] NOT NULL DEFAULT '{75,90,98,100}',
            announced           integer NOT NULL DEFAULT 0,
            source_defaults     jsonb NOT NULL DEFAULT '{}',
            time_zone           text NOT NULL,
            started_at          timestamptz NOT NULL,
            anchor              date NOT NULL,
            period_started_at   timestamptz NOT NULL,
            next_update_at      timestamptz NOT NULL,
            renews_at           timestamptz NOT NULL,
            renewal_limit       bigint,
            renewal_cycle       contacts_tier.billing_cycle,
            auto_downgrade      boolean NOT NULL DEFAULT false,
            cancelled           boolean NOT NULL DEFAULT false,
            ended_at            timestamptz,
            period_limit        bigint NOT NULL DEFAULT 0,
            period_price        numeric,
            period_opening      bigint NOT NULL DEFAULT 0,
            period_upgrades     integer NOT NULL DEFAULT 0,
            requested_limit     bigint,
            record_activity     boolean NOT NULL DEFAULT true,
            rollover_run        uuid,
            rollover_started_at timestamptz,
            rollover_contacts   bigint NOT NULL DEFAULT 0,
            CHECK (period_started_at < next_update_at)
        )$sql$, schema, account_type);
    EXECUTE format('CREATE INDEX contacts_tier_account_next_update_at_idx'
                   ' ON %s.contacts_tier_account (next_update_at)', schema);
    EXECUTE format('CREATE INDEX contacts_tier_account_rollover_run_idx'
                   ' ON %s.contacts_tier_account (rollover_run) WHERE rollover_run IS NOT NULL', schema);
    EXECUTE format($sql$
        COMMENT ON TABLE %1$s.contacts_tier_account IS 'contacts_tier: subscription, policy and dates of each account';
        COMMENT ON COLUMN %1$s.contacts_tier_account.contact_limit IS 'contact limit of the tier, in contacts';
        COMMENT ON COLUMN %1$s.contacts_tier_account.grace IS 'contacts let through above the limit';
        COMMENT ON COLUMN %1$s.contacts_tier_account.thresholds IS 'percentages of the limit that are announced';
        COMMENT ON COLUMN %1$s.contacts_tier_account.announced IS 'highest of them that was announced in this period; 101 if it was that the limit is exceeded';
        COMMENT ON COLUMN %1$s.contacts_tier_account.source_defaults IS 'from source types to the status of their new contacts, where it differs from the catalogue';
        COMMENT ON COLUMN %1$s.contacts_tier_account.anchor IS 'local day on which the subscription began; its day of the month comes back on every update date';
        COMMENT ON COLUMN %1$s.contacts_tier_account.period_started_at IS 'last update date that was applied, or the start';
        COMMENT ON COLUMN %1$s.contacts_tier_account.next_update_at IS 'next update date; rollover is due when it has passed';
        COMMENT ON COLUMN %1$s.contacts_tier_account.renews_at IS 'renewal date of the contract';
        COMMENT ON COLUMN %1$s.contacts_tier_account.renewal_limit IS 'tier that was asked for from the renewal date on; null: the same';
        COMMENT ON COLUMN %1$s.contacts_tier_account.renewal_cycle IS 'billing cycle that was asked for from the renewal date on; null: the same';
        COMMENT ON COLUMN %1$s.contacts_tier_account.auto_downgrade IS 'whether the renewal takes the smallest tier that fits';
        COMMENT ON COLUMN %1$s.contacts_tier_account.cancelled IS 'whether the subscription ends at the renewal date';
        COMMENT ON COLUMN %1$s.contacts_tier_account.ended_at IS 'when a cancelled subscription ended; from then on the account has no marketing contacts';
        COMMENT ON COLUMN %1$s.contacts_tier_account.period_limit IS 'contact limit at the start of the running period';
        COMMENT ON COLUMN %1$s.contacts_tier_account.period_price IS 'monthly price of that tier then; null where no prices are kept';
        COMMENT ON COLUMN %1$s.contacts_tier_account.period_opening IS 'marketing contacts at the start of the running period';
        COMMENT ON COLUMN %1$s.contacts_tier_account.period_upgrades IS 'moves to a larger tier in the running period';
        COMMENT ON COLUMN %1$s.contacts_tier_account.requested_limit IS 'tier that contacts which were capped would have needed; see approve_upgrade()';
        COMMENT ON COLUMN %1$s.contacts_tier_account.record_activity IS 'whether the ledger notes each statement that changes contacts';
        COMMENT ON COLUMN %1$s.contacts_tier_account.rollover_run IS 'the rollover that works, or is going to work, on the account';
        COMMENT ON COLUMN %1$s.contacts_tier_account.rollover_contacts IS 'contacts that it has made non-marketing so far'
        $sql$, schema);

    -- Counters change all the time and their rows are few: room on the page for
    -- HOT updates, and a vacuum that comes early.
    EXECUTE format($sql$
        CREATE TABLE %1$s.contacts_tier_counter (
            account   %2$s NOT NULL,
            slot      integer NOT NULL DEFAULT 0,
            used      bigint NOT NULL DEFAULT 0,
            pending   bigint NOT NULL DEFAULT 0,
            granted   bigint,
            promoted  bigint NOT NULL DEFAULT 0,
            demoted   bigint NOT NULL DEFAULT 0,
            corrected bigint NOT NULL DEFAULT 0,
            peak      bigint NOT NULL DEFAULT 0,
            PRIMARY KEY (account, slot)
        ) WITH (fillfactor = 30, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.0,
                autovacuum_vacuum_cost_delay = 0)$sql$, schema, account_type);
    EXECUTE format($sql$
        COMMENT ON TABLE %1$s.contacts_tier_counter IS 'contacts_tier: how many marketing contacts each account has; see contacts_tier.usage()';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.used IS 'marketing contacts';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.pending IS 'of these, flagged to become non-marketing on the update date';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.slot IS 'an account has as many as its concurrent writers need; their sum is the counter';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.granted IS 'number up to which the slot can be used before somebody must look at the tier; null: at once';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.promoted IS 'contacts that became marketing contacts of the account in the running period';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.demoted IS 'contacts that ceased to be marketing contacts of the account in the running period';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.corrected IS 'marketing contacts that partitions, attach() or repair() brought in, less those that they took out, in the running period';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.peak IS 'highest count of the account that was noted before a release in the running period'
        $sql$, schema);

    EXECUTE format($sql$
        CREATE TABLE %1$s.contacts_tier_ledger (
            account     %2$s NOT NULL,
            entry       uuid NOT NULL DEFAULT contacts_tier_internal.ledger_entry(),
            recorded_at timestamptz NOT NULL,
            event       text NOT NULL,
            role        text NOT NULL,
            contacts    bigint NOT NULL,
            details     jsonb NOT NULL,
            PRIMARY KEY (account, entry)
        )$sql$, schema, account_type);
    -- Activity is by far the most frequent event, so it pays for one index only.
    EXECUTE format('CREATE INDEX contacts_tier_ledger_recorded_at_idx'
                   ' ON %s.contacts_tier_ledger (account, recorded_at) WHERE event <> ''activity''', schema);
    EXECUTE format($sql$
        COMMENT ON TABLE %1$s.contacts_tier_ledger IS 'contacts_tier: what happened to each account; entries are only added';
        COMMENT ON COLUMN %1$s.contacts_tier_ledger.event IS 'what happened: see the reference';
        COMMENT ON COLUMN %1$s.contacts_tier_ledger.role IS 'role on whose behalf it happened';
        COMMENT ON COLUMN %1$s.contacts_tier_ledger.contacts IS 'number of contacts that the event is about'
        $sql$, schema);

    -- Whatever ALTER DEFAULT PRIVILEGES says: they are the owner's alone, and entries of
    -- the ledger are only added.
    FOREACH companion IN ARRAY '{contacts_tier_account, contacts_tier_counter, contacts_tier_ledger}'::text[] LOOP
        EXECUTE format('GRANT ALL ON %1$s.%2$s TO %3$I; REVOKE ALL ON %1$s.%2$s FROM PUBLIC', schema, companion, current_user);
        FOR granted IN
            SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee
            WHERE c.oid = (schema || '.' || companion)::regclass AND a.grantee <> c.relowner
        LOOP
            EXECUTE format('REVOKE ALL ON %s.%s FROM %I CASCADE', schema, companion, granted.rolname);
        END LOOP;
    END LOOP;
    EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %s.contacts_tier_ledger FROM %I', schema, current_user);
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.create_companions(text, text) IS
'makes the companion tables in a schema, as attach() needs them; given quoted schema and type';

CREATE FUNCTION contacts_tier.attach(contacts regclass, account_column name DEFAULT NULL, columns jsonb DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_attach';
COMMENT ON FUNCTION contacts_tier.attach(regclass, name, jsonb) IS
'puts a table of contacts under management: adds missing status columns, companion tables, triggers and an index';

CREATE FUNCTION contacts_tier.detach(contacts regclass, drop_columns boolean DEFAULT false)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_detach';
COMMENT ON FUNCTION contacts_tier.detach(regclass, boolean) IS
'takes a table off management and its contacts off the counters; the companion tables stay, as history';

