
------------------------------------------------------------------------------
-- Privileges.  All are stated here, whatever ALTER DEFAULT PRIVILEGES says: what is not
-- granted below is for the extension's owner alone.  Everybody may read the catalogue,
-- which triggers do on behalf of the tables' owners.  Functions that change something
-- are for the extension's owner to hand on; besides, each looks whether its caller owns
-- the table.
------------------------------------------------------------------------------

DO $$
DECLARE
    o record;
    g record;
BEGIN
    FOR o IN
        SELECT CASE d.classid WHEN 'pg_proc'::regclass THEN 'ROUTINE' WHEN 'pg_type'::regclass THEN 'TYPE' ELSE 'TABLE' END AS kind,
               CASE d.classid WHEN 'pg_proc'::regclass THEN d.objid::regprocedure::text
                              WHEN 'pg_type'::regclass THEN d.objid::regtype::text ELSE d.objid::regclass::text END AS name,
               coalesce(p.proowner, t.typowner, c.relowner) AS owner,
               coalesce(p.proacl, t.typacl, c.relacl) AS acl
        FROM pg_catalog.pg_depend d
        LEFT JOIN pg_catalog.pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
        LEFT JOIN pg_catalog.pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
        LEFT JOIN pg_catalog.pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
        WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
          AND d.refobjid = (SELECT e.oid FROM pg_catalog.pg_extension e WHERE e.extname = 'contacts_tier')
          AND (p.oid IS NOT NULL OR c.oid IS NOT NULL
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

-- What ordinary statements evaluate, as whoever writes or reads contacts: types, defaults
-- of columns, the predicate of the index
GRANT USAGE ON TYPE contacts_tier.marketing_status, contacts_tier.billing_cycle, contacts_tier.exceed_policy TO PUBLIC;
GRANT EXECUTE ON FUNCTION
    contacts_tier.default_status(),
    contacts_tier.default_until_next_update(),
    contacts_tier.default_source_type(),
    contacts_tier.default_source_name(),
    contacts_tier.default_updated_at(),
    contacts_tier.is_given(integer, boolean),
    contacts_tier.given_flag()
    TO PUBLIC;
GRANT EXECUTE ON FUNCTION contacts_tier.library_loaded() TO PUBLIC;
GRANT EXECUTE ON FUNCTION contacts_tier.clock() TO PUBLIC;
-- ... and as the owner of the contacts
GRANT EXECUTE ON FUNCTION contacts_tier.ledger_entry() TO PUBLIC;
GRANT EXECUTE ON FUNCTION
    contacts_tier.local_midnight(timestamp, text),
    contacts_tier.months_since(date, timestamptz, text),
    contacts_tier.renewal_dates(date, contacts_tier.billing_cycle, text, timestamptz),
    contacts_tier.update_dates(date, contacts_tier.billing_cycle, text, timestamptz),
    contacts_tier.following_renewal_date(date, contacts_tier.billing_cycle, text, timestamptz),
    contacts_tier.following_update_date(contacts_tier.billing_cycle, text, timestamptz, timestamptz),
    contacts_tier.month_share(contacts_tier.billing_cycle, text, timestamptz, timestamptz),
    contacts_tier.next_update_date(date, contacts_tier.billing_cycle, text, timestamptz),
    contacts_tier.last_update_date(date, contacts_tier.billing_cycle, text, timestamptz),
    contacts_tier.next_renewal_date(date, contacts_tier.billing_cycle, text, timestamptz)
    TO PUBLIC;

-- What only reads looks itself at what the caller may read
GRANT EXECUTE ON FUNCTION
    contacts_tier.attached(),
    contacts_tier.usage(regclass, text),
    contacts_tier.verify(regclass),
    contacts_tier.has_access(regclass, text),
    contacts_tier.rollover_progress(),
    contacts_tier.tier_changes(regclass, text),
    contacts_tier.billing_periods(regclass, text),
    contacts_tier.notifications(regclass, text),
    contacts_tier.activity(regclass, text),
    contacts_tier.forecast(regclass, text),
    contacts_tier.preview(regclass, text, bigint)
    TO PUBLIC;

GRANT USAGE ON SCHEMA contacts_tier TO PUBLIC;
GRANT SELECT ON contacts_tier.plan, contacts_tier.tier, contacts_tier.source_type, contacts_tier.tool TO PUBLIC;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON contacts_tier.plan, contacts_tier.tier, contacts_tier.source_type, contacts_tier.tool TO @extowner@ WITH GRANT OPTION;

-- Who attaches needs the trigger functions and create_companions(), too
GRANT EXECUTE ON FUNCTION
    contacts_tier.maintain_status(),
    contacts_tier.count_contact(),
    contacts_tier.apply_counts(),
    contacts_tier.count_truncate(),
    contacts_tier.create_companions(text, text),
    contacts_tier.create_plan(text, bigint[], numeric[], text, boolean),
    contacts_tier.attach(regclass, name, jsonb),
    contacts_tier.detach(regclass, boolean),
    contacts_tier.subscribe(regclass, text, text, bigint, contacts_tier.billing_cycle, timestamptz, text, contacts_tier.exceed_policy, bigint),
    contacts_tier.set_policy(regclass, text, contacts_tier.exceed_policy, bigint, integer[], jsonb, text, boolean, contacts_tier.billing_cycle, boolean),
    contacts_tier.change_tier(regclass, text, bigint, boolean),
    contacts_tier.approve_upgrade(regclass, text),
    contacts_tier.cancel(regclass, text, boolean),
    contacts_tier.schedule_rollover(text),
    contacts_tier.unschedule_rollover(),
    contacts_tier.repair(regclass)
    TO @extowner@ WITH GRANT OPTION;
GRANT EXECUTE ON PROCEDURE contacts_tier.rollover(regclass, text, integer) TO @extowner@ WITH GRANT OPTION;
