------------------------------------------------------------------------------
-- Privileges.  Everybody may read the catalogue, which triggers do on behalf of
-- the tables' owners.  Functions that change something are for the extension's
-- owner to hand on; besides, each looks whether its caller owns the table.
------------------------------------------------------------------------------

GRANT USAGE ON SCHEMA contacts_tier TO PUBLIC;
GRANT SELECT ON contacts_tier.plan, contacts_tier.tier, contacts_tier.source_type, contacts_tier.tool TO PUBLIC;
GRANT SELECT, INSERT, UPDATE, DELETE
    ON contacts_tier.plan, contacts_tier.tier, contacts_tier.source_type, contacts_tier.tool TO @extowner@ WITH GRANT OPTION;

REVOKE ALL ON FUNCTION contacts_tier.create_plan(text, bigint[], numeric[], text, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION contacts_tier.attach(regclass, name, jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION contacts_tier.detach(regclass, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION contacts_tier.subscribe(regclass, text, text, bigint, contacts_tier.billing_cycle, timestamptz, text, contacts_tier.exceed_policy, bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION contacts_tier.set_policy(regclass, text, contacts_tier.exceed_policy, bigint, integer[], jsonb, text, boolean, contacts_tier.billing_cycle, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION contacts_tier.change_tier(regclass, text, bigint, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION contacts_tier.approve_upgrade(regclass, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION contacts_tier.cancel(regclass, text, boolean) FROM PUBLIC;
REVOKE ALL ON PROCEDURE contacts_tier.rollover(regclass, text, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION contacts_tier.schedule_rollover(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION contacts_tier.unschedule_rollover() FROM PUBLIC;
REVOKE ALL ON FUNCTION contacts_tier.repair(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
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
