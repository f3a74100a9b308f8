
------------------------------------------------------------------------------
-- Privileges.  All are stated here, whatever ALTER DEFAULT PRIVILEGES says: what is not
-- granted below belongs to the extension's owner alone.  PUBLIC can read the catalogue,
-- which triggers do on behalf of the owners of the tables.  The extension's owner can grant
-- the functions that change something; each of them also checks that its caller owns the
-- table.
------------------------------------------------------------------------------

DO $$
DECLARE
    o record;
    g record;
BEGIN
    FOR o IN
        SELECT CASE d.classid WHEN 'pg_proc'::regclass THEN 'ROUTINE' WHEN 'pg_type'::regclass THEN 'TYPE'
                              WHEN 'pg_namespace'::regclass THEN 'SCHEMA' ELSE 'TABLE' END AS kind,
               CASE d.classid WHEN 'pg_proc'::regclass THEN d.objid::regprocedure::text
                              WHEN 'pg_type'::regclass THEN d.objid::regtype::text
                              WHEN 'pg_namespace'::regclass THEN d.objid::regnamespace::text
                              ELSE d.objid::regclass::text END AS name,
               coalesce(p.proowner, t.typowner, n.nspowner, c.relowner) AS owner,
               coalesce(p.proacl, t.typacl, n.nspacl, c.relacl) AS acl
        FROM (SELECT m.classid, m.objid FROM pg_catalog.pg_depend m
               WHERE m.refclassid = 'pg_extension'::regclass AND m.deptype = 'e'
                 AND m.refobjid = (SELECT e.oid FROM pg_catalog.pg_extension e WHERE e.extname = 'contacts_tier')
              -- the schema of the extension is no member of it
              UNION ALL SELECT 'pg_namespace'::regclass, 'contacts_tier'::regnamespace) d
        LEFT JOIN pg_catalog.pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
        LEFT JOIN pg_catalog.pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
        LEFT JOIN pg_catalog.pg_namespace n ON d.classid = 'pg_namespace'::regclass AND n.oid = d.objid
        LEFT JOIN pg_catalog.pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
        WHERE (p.oid IS NOT NULL OR n.oid IS NOT NULL OR c.oid IS NOT NULL
               OR (t.typtype IN ('b', 'd', 'e', 'r') AND t.typelem = 0)
               OR (t.typtype = 'c' AND (SELECT r.relkind = 'c' FROM pg_catalog.pg_class r WHERE r.oid = t.typrelid)))
    LOOP
        EXECUTE format('GRANT ALL ON %s %s TO %s', o.kind, o.name, o.owner::regrole);
        EXECUTE format('REVOKE ALL ON %s %s FROM PUBLIC', o.kind, o.name);
        FOR g IN SELECT DISTINCT a.grantee FROM aclexplode(o.acl) a WHERE a.grantee NOT IN (0, o.owner) LOOP
            EXECUTE format('REVOKE ALL ON %s %s FROM %s CASCADE', o.kind, o.name, g.grantee::regrole);
        END LOOP;
    END LOOP;
END
$$;

-- Schemas: any statement can name what it is granted below.
GRANT USAGE ON SCHEMA contacts_tier, contacts_tier_internal TO PUBLIC;

-- Ordinary statements evaluate types, column defaults and the predicate of the index, as
-- the role that reads or writes contacts.
GRANT USAGE ON TYPE contacts_tier.marketing_status, contacts_tier.billing_cycle, contacts_tier.exceed_policy TO PUBLIC;
GRANT EXECUTE ON FUNCTION
    contacts_tier_internal.default_status(),
    contacts_tier_internal.default_marketing(),
    contacts_tier_internal.default_until_next_update(),
    contacts_tier_internal.default_source_type(),
    contacts_tier_internal.default_source_name(),
    contacts_tier_internal.default_updated_at(),
    contacts_tier_internal.is_given(integer, boolean),
    contacts_tier_internal.given_flag(),
    contacts_tier_internal.given_marketing(),
    contacts_tier_internal.library_loaded(),
    contacts_tier_internal.catalogue_copy(regclass, text),
    contacts_tier.can_use(text, contacts_tier.marketing_status),
    contacts_tier.can_use(text, boolean),
    contacts_tier.can_use(text, text),
    contacts_tier.set_source(text, text, boolean)
    TO PUBLIC;

-- The extension evaluates the default of the ledger's key, the clock and the calendar, as
-- the owner of the contacts or as the caller of a report.
GRANT EXECUTE ON FUNCTION
    contacts_tier_internal.ledger_entry(),
    contacts_tier_internal.local_midnight(timestamp, text),
    contacts_tier_internal.finite_instant(timestamptz),
    contacts_tier_internal.months_since(date, timestamptz, text),
    contacts_tier_internal.renewal_dates(date, contacts_tier.billing_cycle, text, timestamptz),
    contacts_tier_internal.update_dates(date, contacts_tier.billing_cycle, text, timestamptz),
    contacts_tier_internal.following_renewal_date(date, contacts_tier.billing_cycle, text, timestamptz),
    contacts_tier_internal.following_update_date(contacts_tier.billing_cycle, text, timestamptz, timestamptz),
    contacts_tier_internal.month_share(contacts_tier.billing_cycle, text, timestamptz, timestamptz),
    contacts_tier.clock(),
    contacts_tier.next_update_date(date, contacts_tier.billing_cycle, text, timestamptz),
    contacts_tier.last_update_date(date, contacts_tier.billing_cycle, text, timestamptz),
    contacts_tier.next_renewal_date(date, contacts_tier.billing_cycle, text, timestamptz)
    TO PUBLIC;

-- A merge is a write with the caller's privileges.
GRANT EXECUTE ON FUNCTION
    contacts_tier.merge_contacts(regclass, text, text),
    contacts_tier.merge_contacts(regclass, anyelement, anyelement)
    TO PUBLIC;

-- Reports check themselves what their caller can read.
GRANT EXECUTE ON FUNCTION
    contacts_tier.attached(),
    contacts_tier.usage(regclass, text),
    contacts_tier.verify(regclass, boolean),
    contacts_tier.has_access(regclass, text),
    contacts_tier.rollover_progress(),
    contacts_tier.tier_changes(regclass, text, timestamptz, timestamptz),
    contacts_tier.explain_change(regclass, text, uuid),
    contacts_tier.billing_periods(regclass, text),
    contacts_tier.notifications(regclass, text, timestamptz, timestamptz),
    contacts_tier.activity(regclass, text, timestamptz, timestamptz),
    contacts_tier.forecast(regclass, text),
    contacts_tier.preview(regclass, text, bigint),
    contacts_tier.audience(regclass, text, text),
    contacts_tier.ineligible(regclass, text),
    contacts_tier.usage_history(regclass, text, timestamptz, interval),
    contacts_tier.sources(regclass, text),
    contacts_tier.usage_page(regclass, text, timestamptz),
    -- and what makes a page of them, as the caller
    contacts_tier_internal.page_account(regclass, text),
    contacts_tier_internal.page_history(regclass, text, timestamptz, interval),
    contacts_tier_internal.svg_code(text),
    contacts_tier_internal.svg_escape(text),
    contacts_tier_internal.svg_width(text),
    contacts_tier_internal.svg_length(text),
    contacts_tier_internal.svg_words(text, numeric),
    contacts_tier_internal.svg_text(numeric, numeric, text, numeric, text, numeric),
    contacts_tier_internal.svg_rect(numeric, numeric, numeric, numeric, text, numeric),
    contacts_tier_internal.page_number(numeric),
    contacts_tier_internal.page_amount(numeric, text),
    contacts_tier_internal.page_day(timestamptz, text, timestamptz),
    contacts_tier_internal.page_title(bigint, bigint, bigint, text, record),
    contacts_tier_internal.page_style(),
    contacts_tier_internal.page_bar(bigint, bigint, bigint, text),
    contacts_tier_internal.page_scale(numeric),
    contacts_tier_internal.page_axis(numeric, numeric, numeric),
    contacts_tier_internal.page_steps(timestamptz[], bigint[], timestamptz, timestamptz, numeric),
    contacts_tier_internal.page_peaks(record, timestamptz, timestamptz, numeric),
    contacts_tier_internal.page_limit(timestamptz[], bigint[], timestamptz, timestamptz, numeric),
    contacts_tier_internal.page_days(timestamptz[], timestamptz, timestamptz, text),
    contacts_tier_internal.page_legend(),
    contacts_tier_internal.page_chart(regclass, text, timestamptz, timestamptz, record, text),
    contacts_tier_internal.page_sources(regclass, text),
    contacts_tier_internal.page_forecast(regclass, text, timestamptz, record, record),
    contacts_tier_internal.page_changes(regclass, text, text)
    TO PUBLIC;

GRANT SELECT ON contacts_tier.accounts, contacts_tier.bills, contacts_tier.overdue TO PUBLIC;

-- Metrics are of all schemas, whatever their reader may read.
GRANT EXECUTE ON FUNCTION
    contacts_tier.metrics(),
    contacts_tier_internal.metrics(),
    contacts_tier_internal.on_all_nodes(text),
    contacts_tier_internal.is_in_cluster(),
    contacts_tier.account_metrics(integer),
    contacts_tier_internal.account_metrics(integer)
    TO pg_monitor;

-- EXECUTE is the right to pass the brake of accounts.
GRANT EXECUTE ON FUNCTION contacts_tier.pass_brake() TO @extowner@ WITH GRANT OPTION;

-- EXECUTE is the right to see the banner.
GRANT EXECUTE ON FUNCTION contacts_tier.banner(regclass, text) TO @extowner@ WITH GRANT OPTION;

GRANT SELECT ON contacts_tier.plan, contacts_tier.tier, contacts_tier.source_type, contacts_tier.tool TO PUBLIC;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON contacts_tier.plan, contacts_tier.tier, contacts_tier.source_type, contacts_tier.tool TO @extowner@ WITH GRANT OPTION;

-- The owner of a table that is attached or guarded needs the trigger functions, and
-- create_companions().
GRANT EXECUTE ON FUNCTION
    contacts_tier_internal.maintain_status(),
    contacts_tier_internal.count_contact(),
    contacts_tier_internal.apply_counts(),
    contacts_tier_internal.count_truncate(),
    contacts_tier_internal.exists_condition(),
    contacts_tier_internal.eligible_condition(),
    contacts_tier_internal.guard_send(),
    contacts_tier_internal.create_companions(text, text),
    contacts_tier_internal.run_call(),
    contacts_tier_internal.report_on_shard(regclass, text, name, anyelement),
    contacts_tier_internal.create_call_table(text, text),
    contacts_tier_internal.run_on_shards(regclass, text, text),
    contacts_tier_internal.grant_functions(name),
    contacts_tier_internal.grants(),
    contacts_tier_internal.grant_missing(),
    contacts_tier_internal.is_in_cluster()
    TO @extowner@ WITH GRANT OPTION;

-- Functions that change something
GRANT EXECUTE ON FUNCTION
    contacts_tier.create_plan(text, bigint[], numeric[], text, boolean),
    contacts_tier.attach(regclass, name, jsonb, name, boolean),
    contacts_tier.detach(regclass, boolean),
    contacts_tier.distribute(regclass),
    contacts_tier.relay_notifications(regclass, timestamptz, interval),
    contacts_tier.set_condition(regclass, text, text, text),
    contacts_tier.subscribe(regclass, text, text, bigint, contacts_tier.billing_cycle, timestamptz, text, contacts_tier.exceed_policy, bigint),
    contacts_tier.set_policy(regclass, text, contacts_tier.exceed_policy, bigint, integer[], jsonb, text, boolean, contacts_tier.billing_cycle, boolean, bigint, jsonb, text, jsonb),
    contacts_tier.change_tier(regclass, text, bigint, boolean),
    contacts_tier.approve_upgrade(regclass, text),
    contacts_tier.undo_promotion(regclass, text, text, text, timestamptz),
    contacts_tier.cancel(regclass, text, boolean),
    contacts_tier.rename_account(regclass, text, text),
    contacts_tier.schedule_rollover(text),
    contacts_tier.unschedule_rollover(),
    contacts_tier.repair(regclass),
    contacts_tier.prune_ledger(regclass, timestamptz, integer),
    contacts_tier.guard(regclass, name, name, regclass, text, name),
    contacts_tier.unguard(regclass),
    contacts_tier.grant_owner(name),
    contacts_tier.grant_nodes(),
    contacts_tier.grant_reader(regclass, name),
    contacts_tier.uninstall(regclass, boolean, boolean),
    contacts_tier_internal.release_columns(regclass),
    contacts_tier_internal.guarded_by(regclass),
    contacts_tier.reset(regclass, boolean)
    TO @extowner@ WITH GRANT OPTION;
GRANT EXECUTE ON PROCEDURE contacts_tier.rollover(regclass, text, integer) TO @extowner@ WITH GRANT OPTION;

-- A role that may call a function with the account as text may pass it in its own type, too.
DO $$
DECLARE
    g record;
BEGIN
    FOR g IN
        SELECT o.oid::regprocedure AS signature, a.is_grantable,
               CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
        FROM pg_catalog.pg_proc o
        JOIN pg_catalog.pg_proc t ON t.pronamespace = o.pronamespace AND t.proname = o.proname
                                     AND t.proargtypes[1] = 'text'::regtype AND t.pronargs = o.pronargs,
             aclexplode(t.proacl) a
        WHERE o.pronamespace = 'contacts_tier'::regnamespace AND o.proargtypes[1] = 'anyelement'::regtype
    LOOP
        EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %s%s', g.signature, g.grantee,
                       CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
    END LOOP;
END
$$;
