------------------------------------------------------------------------------
-- Attaching tables
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier_internal.ledger_entry() RETURNS uuid
LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_ledger_entry';
COMMENT ON FUNCTION contacts_tier_internal.ledger_entry() IS
'key of a new ledger entry: a UUID of version 7, so that entries sort in the order in which they were created';

CREATE FUNCTION contacts_tier_internal.create_companions(schema text, account_type text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET default_table_access_method = heap
SET client_min_messages = warning
AS $$
DECLARE
    companion text;
    existing  text[] := '{}';
    granted   record;
BEGIN
    -- privileges on those that exist stay as they are
    FOREACH companion IN ARRAY '{contacts_tier_account, contacts_tier_counter, contacts_tier_ledger}'::text[] LOOP
        CONTINUE WHEN to_regclass(schema || '.' || companion) IS NULL;
        existing := existing || companion;
    END LOOP;
    EXECUTE format($sql$
        CREATE TABLE IF NOT EXISTS %1$s.contacts_tier_account (
            account             %2$s PRIMARY KEY,
            plan                text NOT NULL,
            contact_limit       bigint NOT NULL CHECK (contact_limit >= 0),
            billing_cycle       contacts_tier.billing_cycle NOT NULL,
            on_exceed           contacts_tier.exceed_policy NOT NULL,
            grace               bigint NOT NULL CHECK (grace >= 0),
            thresholds          integer[] NOT NULL DEFAULT '{75,90,98,100}',
            announced           integer NOT NULL DEFAULT 0,
            exceeded_announced  boolean NOT NULL DEFAULT false,
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
            max_limit           bigint CHECK (max_limit > 0),
            source_policies     jsonb NOT NULL DEFAULT '{}',
            proration           text NOT NULL DEFAULT 'prorated' CHECK (proration IN ('prorated', 'full', 'none')),
            brake               jsonb,
            rollover_run        uuid,
            rollover_started_at timestamptz,
            rollover_contacts   bigint NOT NULL DEFAULT 0,
            CHECK (period_started_at < next_update_at)
        )$sql$, schema, account_type);
    EXECUTE format('CREATE INDEX IF NOT EXISTS contacts_tier_account_next_update_at_idx'
                   ' ON %s.contacts_tier_account (next_update_at)', schema);
    EXECUTE format('CREATE INDEX IF NOT EXISTS contacts_tier_account_rollover_run_idx'
                   ' ON %s.contacts_tier_account (rollover_run) WHERE rollover_run IS NOT NULL', schema);
    EXECUTE format($sql$
        COMMENT ON TABLE %1$s.contacts_tier_account IS 'contacts_tier: subscription, policy and dates of each account';
        COMMENT ON COLUMN %1$s.contacts_tier_account.account IS 'account: a value of the account column, or default if the table is one account';
        COMMENT ON COLUMN %1$s.contacts_tier_account.plan IS 'plan that the account is subscribed to';
        COMMENT ON COLUMN %1$s.contacts_tier_account.contact_limit IS 'contact limit of the current tier';
        COMMENT ON COLUMN %1$s.contacts_tier_account.billing_cycle IS 'whether the contract renews each month or each year';
        COMMENT ON COLUMN %1$s.contacts_tier_account.on_exceed IS 'what happens when the account exceeds its contact tier';
        COMMENT ON COLUMN %1$s.contacts_tier_account.grace IS 'number of contacts that are allowed above the limit';
        COMMENT ON COLUMN %1$s.contacts_tier_account.thresholds IS 'percentages of the limit at which a notification is sent';
        COMMENT ON COLUMN %1$s.contacts_tier_account.announced IS 'highest threshold that was announced in the current period, in percent of the limit';
        COMMENT ON COLUMN %1$s.contacts_tier_account.exceeded_announced IS 'whether it was announced in the current period that the limit is exceeded';
        COMMENT ON COLUMN %1$s.contacts_tier_account.source_defaults IS 'object that maps source types to the default status of new contacts, unless the default of the catalogue applies';
        COMMENT ON COLUMN %1$s.contacts_tier_account.time_zone IS 'time zone of the dates of the account';
        COMMENT ON COLUMN %1$s.contacts_tier_account.started_at IS 'when the subscription began';
        COMMENT ON COLUMN %1$s.contacts_tier_account.anchor IS 'local day on which the subscription began; update and renewal dates follow from it';
        COMMENT ON COLUMN %1$s.contacts_tier_account.period_started_at IS 'last update date that was applied, or the start of the subscription';
        COMMENT ON COLUMN %1$s.contacts_tier_account.next_update_at IS 'next update date; rollover applies it when it has passed';
        COMMENT ON COLUMN %1$s.contacts_tier_account.renews_at IS 'renewal date of the contract';
        COMMENT ON COLUMN %1$s.contacts_tier_account.renewal_limit IS 'contact limit of the tier requested for the renewal date; null if there is no request';
        COMMENT ON COLUMN %1$s.contacts_tier_account.renewal_cycle IS 'billing cycle requested for the renewal date; null if there is no request';
        COMMENT ON COLUMN %1$s.contacts_tier_account.auto_downgrade IS 'true if the account moves to the smallest tier that fits at the renewal date';
        COMMENT ON COLUMN %1$s.contacts_tier_account.cancelled IS 'true if the subscription ends at the renewal date';
        COMMENT ON COLUMN %1$s.contacts_tier_account.ended_at IS 'when a cancelled subscription ended; the account has had no marketing contacts since';
        COMMENT ON COLUMN %1$s.contacts_tier_account.period_limit IS 'contact limit at the start of the current period';
        COMMENT ON COLUMN %1$s.contacts_tier_account.period_price IS 'monthly price of the tier at the start of the current period; null if it had none';
        COMMENT ON COLUMN %1$s.contacts_tier_account.period_opening IS 'number of marketing contacts at the start of the current period';
        COMMENT ON COLUMN %1$s.contacts_tier_account.period_upgrades IS 'number of moves to a larger tier in the current period';
        COMMENT ON COLUMN %1$s.contacts_tier_account.requested_limit IS 'contact limit of the requested tier, which would have held the contacts that were capped; approve_upgrade() grants it';
        COMMENT ON COLUMN %1$s.contacts_tier_account.record_activity IS 'true if the ledger records each statement that changes contacts';
        COMMENT ON COLUMN %1$s.contacts_tier_account.max_limit IS 'contact limit of the largest tier that the account moves up to by itself; null if there is none';
        COMMENT ON COLUMN %1$s.contacts_tier_account.source_policies IS 'object that maps source types to what happens when their promotions exceed the contact tier, instead of on_exceed';
        COMMENT ON COLUMN %1$s.contacts_tier_account.proration IS 'what a move to a larger tier costs in the current period: prorated, full or none of the difference in price';
        COMMENT ON COLUMN %1$s.contacts_tier_account.brake IS 'how many promotions the brake allows in a sliding window, of the account and of source types; null if it has none';
        COMMENT ON COLUMN %1$s.contacts_tier_account.rollover_run IS 'run of rollover that processes the account, or will';
        COMMENT ON COLUMN %1$s.contacts_tier_account.rollover_started_at IS 'when that run started';
        COMMENT ON COLUMN %1$s.contacts_tier_account.rollover_contacts IS 'number of contacts that the run has made non-marketing so far'
        $sql$, schema);

    -- Counters have few rows, which change all the time: their pages have room for HOT
    -- updates, and autovacuum starts early.
    EXECUTE format($sql$
        CREATE TABLE IF NOT EXISTS %1$s.contacts_tier_counter (
            account   %2$s NOT NULL,
            slot      integer NOT NULL DEFAULT 0,
            used      bigint NOT NULL DEFAULT 0,
            pending   bigint NOT NULL DEFAULT 0,
            granted   bigint,
            promoted  bigint NOT NULL DEFAULT 0,
            demoted   bigint NOT NULL DEFAULT 0,
            corrected bigint NOT NULL DEFAULT 0,
            peak      bigint NOT NULL DEFAULT 0,
            floor     bigint,
            bottom    bigint,
            lowest    bigint,
            brake     bigint,
            braked_at timestamptz,
            -- the open entry of activity; its texts, which change least, come last
            entry_started_at  timestamptz,
            entry_ended_at    timestamptz,
            entry_statements  bigint,
            entry_created     bigint,
            entry_deleted     bigint,
            entry_promoted    bigint,
            entry_demoted     bigint,
            entry_flagged     bigint,
            entry_unflagged   bigint,
            entry_dropped     bigint,
            entry_role        text,
            entry_source_type text,
            entry_source_name text,
            -- so that the newest of many dead versions comes first in a backward scan
            PRIMARY KEY (account, slot) WITH (deduplicate_items = off)
        ) WITH (fillfactor = 30, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.0,
                autovacuum_vacuum_cost_delay = 0)$sql$, schema, account_type);
    EXECUTE format($sql$
        COMMENT ON TABLE %1$s.contacts_tier_counter IS 'contacts_tier: number of marketing contacts of each account; see contacts_tier.usage()';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.account IS 'account that the contacts belong to';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.used IS 'number of marketing contacts';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.pending IS 'how many of these become non-marketing on the next update date';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.slot IS 'number of the slot; an account has as many slots as its concurrent writers need, and their sum is its counter';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.granted IS 'number up to which statements can use the slot without reading the tier; null if the next one must compute a new ceiling';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.promoted IS 'number of contacts that became marketing contacts of the account in the current period';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.demoted IS 'number of contacts that ceased to be marketing contacts of the account in the current period';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.corrected IS 'number of marketing contacts that partitions, attach() and repair() added in the current period, minus those that they removed';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.peak IS 'highest count of the account in the current period, as recorded before contacts were subtracted';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.floor IS 'number of marketing contacts below which the next statement must look at all slots; null for a single slot, or if nothing has been announced';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.bottom IS 'number of marketing contacts of the account below which an announcement has to be made again; null if nothing has been announced';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.lowest IS 'lowest number of marketing contacts of the account below that, as far as the slot has noted it';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.brake IS 'number of promotions that statements can make in the slot without counting those of the window of the brake; null if the account has none';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.braked_at IS 'when that was computed; it holds for statements since then';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.entry_started_at IS 'when the first statement of the open entry of activity ran, which the ledger does not have yet; null if none is open';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.entry_ended_at IS 'when the last statement of the open entry ran';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.entry_statements IS 'number of statements of the open entry';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.entry_created IS 'number of contacts that they created';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.entry_deleted IS 'number of contacts that they deleted';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.entry_promoted IS 'number of contacts that they made marketing contacts';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.entry_demoted IS 'number of contacts that they made non-marketing contacts, or deleted as marketing contacts';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.entry_flagged IS 'number of contacts that they flagged as non-marketing from the next update date on';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.entry_unflagged IS 'number of contacts whose flag they cleared';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.entry_dropped IS 'number of contacts that they stored as non-marketing because the tier had no room';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.entry_role IS 'role that ran the statements of the open entry';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.entry_source_type IS 'source type of the open entry; null if there is none, or several';
        COMMENT ON COLUMN %1$s.contacts_tier_counter.entry_source_name IS 'source name of the open entry; null if there is none, or several'
        $sql$, schema);

    EXECUTE format($sql$
        CREATE TABLE IF NOT EXISTS %1$s.contacts_tier_ledger (
            account     %2$s NOT NULL,
            entry       uuid NOT NULL DEFAULT contacts_tier_internal.ledger_entry(),
            recorded_at timestamptz NOT NULL,
            event       text NOT NULL,
            role        text NOT NULL,
            contacts    bigint NOT NULL,
            details     jsonb NOT NULL,
            PRIMARY KEY (account, entry)
        )$sql$, schema, account_type);
    EXECUTE format('CREATE INDEX IF NOT EXISTS contacts_tier_ledger_recorded_at_idx'
                   ' ON %s.contacts_tier_ledger (account, recorded_at)', schema);
    -- What metrics() reads of all accounts.
    EXECUTE format('CREATE INDEX IF NOT EXISTS contacts_tier_ledger_drift_idx'
                   ' ON %s.contacts_tier_ledger (entry) WHERE event IN (''verify'', ''repair'')', schema);
    -- The last run of rollover is the last of its entries.
    EXECUTE format('CREATE INDEX IF NOT EXISTS contacts_tier_ledger_rollover_run_idx'
                   ' ON %s.contacts_tier_ledger (entry) WHERE event = ''rollover_run''', schema);
    EXECUTE format($sql$
        COMMENT ON TABLE %1$s.contacts_tier_ledger IS 'contacts_tier: history of each account: activity, tier changes, billing periods, notifications';
        COMMENT ON COLUMN %1$s.contacts_tier_ledger.account IS 'account that the entry is about';
        COMMENT ON COLUMN %1$s.contacts_tier_ledger.entry IS 'key of the entry, in the order of creation';
        COMMENT ON COLUMN %1$s.contacts_tier_ledger.recorded_at IS 'when it happened';
        COMMENT ON COLUMN %1$s.contacts_tier_ledger.event IS 'kind of event, as listed in docs/reference.md';
        COMMENT ON COLUMN %1$s.contacts_tier_ledger.role IS 'role that caused it';
        COMMENT ON COLUMN %1$s.contacts_tier_ledger.contacts IS 'number of contacts that the event is about';
        COMMENT ON COLUMN %1$s.contacts_tier_ledger.details IS 'further properties of the event, as listed in docs/reference.md'
        $sql$, schema);

    -- Whatever ALTER DEFAULT PRIVILEGES says, only the owner has privileges; entries of the
    -- ledger are only inserted.
    FOREACH companion IN ARRAY '{contacts_tier_account, contacts_tier_counter, contacts_tier_ledger}'::text[] LOOP
        CONTINUE WHEN companion = ANY (existing);
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
'creates the companion tables of a schema for attach(), those that do not exist; both arguments must be quoted already';

CREATE FUNCTION contacts_tier.attach(contacts regclass,
                                     account_column name DEFAULT NULL,
                                     columns jsonb DEFAULT NULL,
                                     companion_schema name DEFAULT NULL,
                                     whole_row_saves boolean DEFAULT false)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_attach';
COMMENT ON FUNCTION contacts_tier.attach(regclass, name, jsonb, name, boolean) IS
'attaches a table of contacts: adds status columns unless the table has them, companion tables, triggers and an index';

CREATE FUNCTION contacts_tier.detach(contacts regclass, drop_columns boolean DEFAULT false)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_detach';
COMMENT ON FUNCTION contacts_tier.detach(regclass, boolean) IS
'detaches a table: drops what attach() created on it, and its contacts leave the counters; the companion tables remain, as history';

CREATE FUNCTION contacts_tier.set_condition(contacts regclass, kind text, condition text, on_ineligible text DEFAULT 'keep')
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_set_condition';
COMMENT ON FUNCTION contacts_tier.set_condition(regclass, text, text, text) IS
'sets which contacts exist, or which are eligible to be marketing contacts, by a boolean expression over the row; NULL drops the condition';

CREATE FUNCTION contacts_tier.ineligible(IN contacts regclass,
                                         INOUT account text DEFAULT NULL,
                                         OUT contact text,
                                         OUT until_next_update boolean,
                                         OUT source_type text,
                                         OUT source_name text,
                                         OUT updated_at timestamptz)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_ineligible';
COMMENT ON FUNCTION contacts_tier.ineligible(regclass, text) IS
'marketing contacts that are billed and not eligible, of an account or of all, by their primary keys';
