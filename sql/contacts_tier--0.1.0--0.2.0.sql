-- From 0.1.0 to 0.2.0: each change of sql/parts since 0.1.0 was frozen.  Functions are replaced by CREATE OR
-- REPLACE FUNCTION, so that views and triggers that depend on them stay; what is new gets comment and privileges.
-- test/t/017_update.pl compares the result with a new installation.

CREATE OR REPLACE FUNCTION contacts_tier_internal.cascade_to_tiers() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    has_tiers boolean;
BEGIN
    IF TG_TABLE_NAME <> 'plan' AND (TG_OP = 'DELETE' OR NEW.name <> OLD.name) THEN
        IF TG_OP = 'DELETE' THEN
            EXECUTE format('DELETE FROM %s WHERE plan = $1', contacts_tier_internal.catalogue_copy(TG_RELID, 'tier')) USING OLD.name;
            RETURN NULL;
        END IF;
        EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE plan = $1)', contacts_tier_internal.catalogue_copy(TG_RELID, 'tier'))
            INTO has_tiers USING OLD.name;
        IF NOT has_tiers THEN
            RETURN NULL;
        END IF;
    END IF;
    IF TG_OP = 'TRUNCATE' THEN
        -- rows that were left when Citus made it a reference table
        IF current_setting('citus.enable_ddl_propagation', true) = 'off' THEN
            RETURN NULL;
        END IF;
        DELETE FROM contacts_tier.tier;
    ELSIF TG_OP = 'DELETE' THEN
        DELETE FROM contacts_tier.tier WHERE plan = OLD.name;
    ELSIF NEW.name <> OLD.name AND (has_tiers OR EXISTS (SELECT FROM contacts_tier.tier WHERE plan = OLD.name)) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'foreign_key_violation',
            MESSAGE = format('cannot rename plan "%s" because it has tiers', OLD.name),
            HINT = 'Create another plan with contacts_tier.create_plan().';
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION contacts_tier_internal.create_companions(schema text, account_type text) RETURNS void
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

-- Tables that Citus distributes
CREATE FUNCTION contacts_tier_internal.report_on_shard(shard regclass, contacts text, report name, account anyelement) RETURNS jsonb
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'contacts_tier_report_on_shard';
COMMENT ON FUNCTION contacts_tier_internal.report_on_shard(regclass, text, name, anyelement) IS
'rows of a report about an account, run on the shard of the contacts beside the given shard';

CREATE OR REPLACE FUNCTION contacts_tier_internal.run_call() RETURNS trigger
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'contacts_tier_run_call';

DROP FUNCTION contacts_tier_internal.shard_beside(regclass, text);

CREATE OR REPLACE FUNCTION contacts_tier_internal.create_call_table(schema text, account_type text) RETURNS void
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

CREATE OR REPLACE FUNCTION contacts_tier.schedule_rollover(schedule text DEFAULT '*/5 * * * *') RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
        RAISE undefined_object
            USING MESSAGE = 'extension "pg_cron" is not installed in this database',
                  HINT = format('Create it with CREATE EXTENSION pg_cron, or in the database of pg_cron run, as a superuser,'
                                ' SELECT cron.schedule_in_database(''contacts_tier rollover'', %s, ''CALL contacts_tier.rollover()'', %s, %s).',
                                quote_nullable(schedule_rollover.schedule), quote_literal(current_database()), quote_literal(current_user));
    END IF;
    RETURN cron.schedule('contacts_tier rollover', schedule_rollover.schedule, 'CALL contacts_tier.rollover()');
END
$$;

CREATE OR REPLACE FUNCTION contacts_tier_internal.on_all_nodes(rows text) RETURNS SETOF jsonb
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

CREATE OR REPLACE FUNCTION contacts_tier.metrics(OUT schema text,
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

CREATE OR REPLACE FUNCTION contacts_tier_internal.grant_functions(role name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    f record;
BEGIN
    FOR f IN
        SELECT p.oid::regprocedure AS routine,
               p.proname IN ('banner', 'pass_brake') AS is_permission
        FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid
        WHERE d.classid = 'pg_proc'::regclass AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
          AND d.refobjid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'contacts_tier')
          AND p.proname NOT IN ('grant_owner', 'grant_functions', 'grant_nodes')
          AND (p.pronamespace = 'contacts_tier'::regnamespace
               OR p.proname IN ('maintain_status', 'count_contact', 'apply_counts', 'count_truncate', 'guard_send',
                                'create_companions', 'run_call', 'report_on_shard', 'create_call_table', 'run_on_shards', 'release_columns', 'guarded_by',
                                'exists_condition', 'eligible_condition'))
          AND NOT EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                          WHERE a.privilege_type = 'EXECUTE' AND a.grantee IN (0, 'pg_monitor'::regrole))
        ORDER BY p.oid
    LOOP
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I%s', f.routine, role,
                       CASE WHEN f.is_permission THEN ' WITH GRANT OPTION' ELSE '' END);
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION contacts_tier.grant_owner(role name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF role IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'argument "role" must not be null';
    END IF;
    PERFORM contacts_tier_internal.grant_functions(role);
    -- Citus hands on what is granted on tables, but not on functions of an extension
    IF contacts_tier_internal.is_in_cluster() THEN
        PERFORM contacts_tier.grant_nodes();
    END IF;
    EXECUTE format('GRANT INSERT ON contacts_tier.plan, contacts_tier.tier TO %I', role);
END
$$;

-- What is new has the privileges of a new installation, whatever ALTER DEFAULT PRIVILEGES says; roles that grant_owner()
-- has been called for get what it grants now.
DO $$
DECLARE
    o record;
    g record;
BEGIN
    FOR o IN
        SELECT p.oid::regprocedure AS name, p.proowner AS owner, p.proacl AS acl
        FROM pg_catalog.pg_proc p
        WHERE p.oid IN ('contacts_tier_internal.report_on_shard(regclass, text, name, anyelement)'::regprocedure,
                        'contacts_tier_internal.grants()'::regprocedure,
                        'contacts_tier_internal.grant_missing()'::regprocedure,
                        'contacts_tier.grant_nodes()'::regprocedure)
    LOOP
        EXECUTE format('GRANT ALL ON ROUTINE %s TO %s', o.name, o.owner::regrole);
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', o.name);
        FOR g IN SELECT DISTINCT a.grantee FROM aclexplode(o.acl) a WHERE a.grantee NOT IN (0, o.owner) LOOP
            EXECUTE format('REVOKE ALL ON ROUTINE %s FROM %s CASCADE', o.name, g.grantee::regrole);
        END LOOP;
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO @extowner@ WITH GRANT OPTION', o.name);
    END LOOP;
    FOR g IN
        SELECT a.grantee::regrole AS role
        FROM pg_catalog.pg_proc p, aclexplode(p.proacl) a
        WHERE p.oid = 'contacts_tier_internal.run_call()'::regprocedure AND a.grantee NOT IN (0, p.proowner)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION contacts_tier_internal.report_on_shard(regclass, text, name, anyelement) TO %s', g.role);
    END LOOP;
END
$$;
