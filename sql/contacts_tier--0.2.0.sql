/* contacts_tier: make generates this script from sql/parts; edit the parts */
-- complain if the script is sourced in psql rather than by CREATE EXTENSION
\echo Use "CREATE EXTENSION contacts_tier" to load this file. \quit

------------------------------------------------------------------------------
-- Schemas.  Public functions stand in contacts_tier, which CREATE EXTENSION creates; what
-- only triggers, column defaults, index predicates and the extension itself call stands in
-- contacts_tier_internal, which fails to be created if there is such a schema.
--
-- CREATE EXTENSION adopts a schema contacts_tier that is there already.  A restore needs
-- that: pg_dump creates it first, with the owner that it had.  But nothing that another role
-- has put there may pass for a function of ours, now or later: it must be empty, and a role
-- that is neither a superuser nor the owner of the extension does not stay its owner.
------------------------------------------------------------------------------

DO $$
DECLARE
    content text;
    schema_owner pg_catalog.regrole;
    extension_owner pg_catalog.regrole;
BEGIN
    SELECT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) INTO content
    FROM pg_catalog.pg_depend d
    WHERE d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass
      AND d.refobjid OPERATOR(pg_catalog.=) 'contacts_tier'::pg_catalog.regnamespace
      AND d.classid OPERATOR(pg_catalog.<>) 'pg_catalog.pg_extension'::pg_catalog.regclass
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'duplicate_object',
            MESSAGE = 'schema "contacts_tier" already exists and is not empty',
            DETAIL = pg_catalog.format('The schema contains %s.', content),
            HINT = 'Find out which role created the schema, and drop or rename it before CREATE EXTENSION.';
    END IF;

    SELECT n.nspowner, e.extowner INTO STRICT schema_owner, extension_owner
    FROM pg_catalog.pg_namespace n, pg_catalog.pg_extension e
    WHERE n.nspname OPERATOR(pg_catalog.=) 'contacts_tier' AND e.extname OPERATOR(pg_catalog.=) 'contacts_tier';
    IF schema_owner OPERATOR(pg_catalog.<>) extension_owner
       AND NOT (SELECT r.rolsuper FROM pg_catalog.pg_roles r WHERE r.oid OPERATOR(pg_catalog.=) schema_owner)
    THEN
        EXECUTE pg_catalog.format('ALTER SCHEMA contacts_tier OWNER TO %s', extension_owner);
    END IF;
END
$$;

COMMENT ON SCHEMA contacts_tier IS
'what applications and owners of contacts use of the extension contacts_tier: functions, views, types, plans and tools';

CREATE SCHEMA contacts_tier_internal;
COMMENT ON SCHEMA contacts_tier_internal IS
'internal functions of the extension contacts_tier, which triggers and column defaults call';

------------------------------------------------------------------------------
-- Types
------------------------------------------------------------------------------

CREATE TYPE contacts_tier.marketing_status AS ENUM ('non_marketing', 'marketing');
COMMENT ON TYPE contacts_tier.marketing_status IS
'status of a contact: a marketing contact counts against the contact tier, a non-marketing contact is free';

-- Drivers and ORMs send parameters of type text and varchar, and CASE, unnest() and ->> give
-- text.  Assignment is enough for INSERT and UPDATE; no expression finds another operator or
-- function by it.
CREATE CAST (text AS contacts_tier.marketing_status) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (text AS contacts_tier.marketing_status) IS 'stores a text as the status of a contact';
CREATE CAST (varchar AS contacts_tier.marketing_status) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (varchar AS contacts_tier.marketing_status) IS 'stores a varchar as the status of a contact';

CREATE TYPE contacts_tier.billing_cycle AS ENUM ('monthly', 'annual');
COMMENT ON TYPE contacts_tier.billing_cycle IS
'monthly: the update date is the anchor day of each month; annual: the 1st of each month or the renewal date, whichever comes first';

CREATE TYPE contacts_tier.exceed_policy AS ENUM ('upgrade', 'block', 'cap');
COMMENT ON TYPE contacts_tier.exceed_policy IS
'what happens when an account exceeds its contact tier: upgrade to a larger one, block the statement, or cap: store what does not fit as non-marketing';

------------------------------------------------------------------------------
-- Dates.  An account has a monthly update date, and the renewal date of its contract.
-- Both follow from its anchor, the local day on which the subscription began, so that
-- day 31 returns after a shorter month.
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier_internal.local_midnight(day timestamp, time_zone text) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT CASE WHEN (t - interval '1 hour') AT TIME ZONE time_zone = midnight THEN t - interval '1 hour' ELSE t END
    FROM (SELECT date_trunc('day', day), date_trunc('day', day) AT TIME ZONE time_zone) AS m (midnight, t)
);
COMMENT ON FUNCTION contacts_tier_internal.local_midnight(timestamp, text) IS
'00:00 of a day in a time zone; if a change of clocks skips 00:00, the first instant after it; if 00:00 occurs twice, the first';

CREATE FUNCTION contacts_tier.clock() RETURNS timestamptz
LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'contacts_tier_clock';
COMMENT ON FUNCTION contacts_tier.clock() IS
'current time of contacts_tier: the start of the statement, or the setting contacts_tier.now';

CREATE FUNCTION contacts_tier_internal.finite_instant(instant timestamptz) RETURNS timestamptz
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_finite_instant';
COMMENT ON FUNCTION contacts_tier_internal.finite_instant(timestamptz) IS
'the instant; an error if it is infinite';

-- There is no year 0: 1 BC is the year before 1.
CREATE FUNCTION contacts_tier_internal.months_since(anchor date, instant timestamptz, time_zone text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT (12 * (year + (year < 0)::integer - since_year - (since_year < 0)::integer) + month - since_month)::integer
    FROM (SELECT extract(year FROM contacts_tier_internal.finite_instant(instant) AT TIME ZONE time_zone),
                 extract(month FROM instant AT TIME ZONE time_zone),
                 extract(year FROM anchor), extract(month FROM anchor)) AS d (year, month, since_year, since_month)
);
COMMENT ON FUNCTION contacts_tier_internal.months_since(date, timestamptz, text) IS
'calendar months from the month of the anchor to that of an instant';

CREATE FUNCTION contacts_tier_internal.renewal_dates(anchor date, cycle contacts_tier.billing_cycle,
                                                     time_zone text, around timestamptz)
RETURNS SETOF timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 3
BEGIN ATOMIC
    SELECT contacts_tier_internal.local_midnight(anchor + make_interval(months => term * (months / term + n)), time_zone)
    FROM (SELECT contacts_tier_internal.months_since(anchor, around, time_zone),
                 CASE cycle WHEN 'annual' THEN 12 ELSE 1 END) AS m (months, term),
         generate_series(-1, 1) AS n;
END;
COMMENT ON FUNCTION contacts_tier_internal.renewal_dates(date, contacts_tier.billing_cycle, text, timestamptz) IS
'the renewal dates next to an instant, at least one before and one after it: the anchor day of each month or year, or the last day of a shorter month';

CREATE FUNCTION contacts_tier_internal.update_dates(anchor date, cycle contacts_tier.billing_cycle,
                                                    time_zone text, around timestamptz)
RETURNS SETOF timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 6
BEGIN ATOMIC
    SELECT d FROM contacts_tier_internal.renewal_dates(anchor, cycle, time_zone, around) AS d
    UNION ALL
    SELECT contacts_tier_internal.local_midnight(date_trunc('month', around AT TIME ZONE time_zone)
                                        + make_interval(months => n), time_zone)
    FROM generate_series(-1, 1) AS n
    WHERE cycle = 'annual';
END;
COMMENT ON FUNCTION contacts_tier_internal.update_dates(date, contacts_tier.billing_cycle, text, timestamptz) IS
'the update dates next to an instant, at least one before and one after it: monthly, the anchor day of each month; annual, the 1st of each month and the renewal date';

CREATE FUNCTION contacts_tier_internal.following_renewal_date(anchor date, cycle contacts_tier.billing_cycle,
                                                              time_zone text, renewal timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN contacts_tier_internal.local_midnight(
    anchor + make_interval(months => contacts_tier_internal.months_since(anchor, renewal, time_zone)
                                     + CASE cycle WHEN 'annual' THEN 12 ELSE 1 END), time_zone);
COMMENT ON FUNCTION contacts_tier_internal.following_renewal_date(date, contacts_tier.billing_cycle, text, timestamptz) IS
'the renewal date after another: the anchor day a month or a year later, or the last day of a shorter month';

CREATE FUNCTION contacts_tier_internal.following_update_date(cycle contacts_tier.billing_cycle, time_zone text,
                                                             renewal timestamptz, after timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE cycle
    WHEN 'annual' THEN least(renewal,
        contacts_tier_internal.local_midnight(date_trunc('month', after AT TIME ZONE time_zone) + interval '1 month', time_zone))
    ELSE renewal END;
COMMENT ON FUNCTION contacts_tier_internal.following_update_date(contacts_tier.billing_cycle, text, timestamptz, timestamptz) IS
'the update date after an instant: monthly, the renewal date; annual, the 1st of the next month or the renewal date, whichever comes first';

CREATE FUNCTION contacts_tier_internal.month_share(cycle contacts_tier.billing_cycle, time_zone text,
                                                   period_start timestamptz, period_end timestamptz) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE cycle
    WHEN 'annual' THEN (
        SELECT round(extract(epoch FROM period_end - period_start) / extract(epoch FROM
                         contacts_tier_internal.local_midnight(month + interval '1 month', time_zone)
                         - contacts_tier_internal.local_midnight(month, time_zone)), 6)
        FROM (SELECT date_trunc('month', (period_end - interval '1 microsecond') AT TIME ZONE time_zone)) AS m (month))
    ELSE 1 END;
COMMENT ON FUNCTION contacts_tier_internal.month_share(contacts_tier.billing_cycle, text, timestamptz, timestamptz) IS
'share of a monthly price that is due for a billing period: monthly, 1; annual, its part of the calendar month, which the renewal date divides';

CREATE FUNCTION contacts_tier.next_update_date(anchor date, cycle contacts_tier.billing_cycle,
                                               time_zone text, after timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT min(d) FROM contacts_tier_internal.update_dates(anchor, cycle, time_zone, after) AS d WHERE d > after);
COMMENT ON FUNCTION contacts_tier.next_update_date(date, contacts_tier.billing_cycle, text, timestamptz) IS
'the first update date after an instant';

CREATE FUNCTION contacts_tier.last_update_date(anchor date, cycle contacts_tier.billing_cycle,
                                               time_zone text, before timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT max(d) FROM contacts_tier_internal.update_dates(anchor, cycle, time_zone, before) AS d WHERE d <= before);
COMMENT ON FUNCTION contacts_tier.last_update_date(date, contacts_tier.billing_cycle, text, timestamptz) IS
'the last update date up to an instant, that instant included';

CREATE FUNCTION contacts_tier.next_renewal_date(anchor date, cycle contacts_tier.billing_cycle,
                                                time_zone text, after timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT min(d) FROM contacts_tier_internal.renewal_dates(anchor, cycle, time_zone, after) AS d WHERE d > after);
COMMENT ON FUNCTION contacts_tier.next_renewal_date(date, contacts_tier.billing_cycle, text, timestamptz) IS
'the first renewal date after an instant';

------------------------------------------------------------------------------
-- Catalogue: plans, tiers, source types and tools.  Triggers on contacts only read it.
------------------------------------------------------------------------------

CREATE TABLE contacts_tier.plan (
    name               text PRIMARY KEY CONSTRAINT plan_name_not_empty CHECK (name <> ''),
    currency           text NOT NULL,
    marketing_contacts boolean NOT NULL
);
COMMENT ON TABLE contacts_tier.plan IS 'plans that an account can subscribe to';
COMMENT ON COLUMN contacts_tier.plan.name IS 'name of the plan';
COMMENT ON COLUMN contacts_tier.plan.currency IS 'currency of the prices of its tiers, an ISO 4217 code';
COMMENT ON COLUMN contacts_tier.plan.marketing_contacts IS 'true if the plan includes marketing contacts; false for a legacy plan without access';
SELECT pg_catalog.pg_extension_config_dump('contacts_tier.plan', '');

-- No foreign key references the plan: a restore with several jobs loads both tables at the
-- same time.
CREATE TABLE contacts_tier.tier (
    plan          text NOT NULL,
    contact_limit bigint NOT NULL CONSTRAINT tier_contact_limit_positive CHECK (contact_limit > 0),
    monthly_price numeric CONSTRAINT tier_monthly_price_valid CHECK (monthly_price >= 0 AND monthly_price < 'infinity'),
    PRIMARY KEY (plan, contact_limit)
);
COMMENT ON TABLE contacts_tier.tier IS 'tiers of each plan: their contact limits and prices';
COMMENT ON COLUMN contacts_tier.tier.plan IS 'plan that the tier belongs to';
COMMENT ON COLUMN contacts_tier.tier.contact_limit IS 'number of marketing contacts that the tier holds';
COMMENT ON COLUMN contacts_tier.tier.monthly_price IS 'price of a month, in the currency of the plan; null if the plan has no prices';
SELECT pg_catalog.pg_extension_config_dump('contacts_tier.tier', '');

-- Where Citus is, each node has copies of the catalogue, which have triggers of their own.
CREATE FUNCTION contacts_tier_internal.catalogue_copy(catalogue regclass, name text) RETURNS text
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'contacts_tier_catalogue_copy';
COMMENT ON FUNCTION contacts_tier_internal.catalogue_copy(regclass, text) IS
'qualified name of the table plan, tier or source_type that stands with the given table of the catalogue: it itself, or the copy of this node';
CREATE FUNCTION contacts_tier_internal.cascade_to_tiers() RETURNS trigger
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
COMMENT ON FUNCTION contacts_tier_internal.cascade_to_tiers() IS
'trigger: deletes the tiers of a deleted plan, and prevents the renaming of a plan that has tiers';
CREATE TRIGGER cascade_to_tiers AFTER UPDATE OF name OR DELETE ON contacts_tier.plan
    FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.cascade_to_tiers();
CREATE TRIGGER cascade_to_tiers_truncate AFTER TRUNCATE ON contacts_tier.plan
    FOR EACH STATEMENT EXECUTE FUNCTION contacts_tier_internal.cascade_to_tiers();

-- Nor can the account tables reference it, which belong to many.  The name of the trigger
-- sorts before cascade_to_tiers, which deletes tiers.
CREATE FUNCTION contacts_tier_internal.accounts_subscribed() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_accounts_subscribed';
COMMENT ON FUNCTION contacts_tier_internal.accounts_subscribed() IS
'trigger: prevents that a plan or tier is deleted that accounts of attached tables are subscribed to';
CREATE TRIGGER accounts_subscribed AFTER UPDATE OF name OR DELETE ON contacts_tier.plan
    FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.accounts_subscribed();
CREATE TRIGGER accounts_subscribed_truncate BEFORE TRUNCATE ON contacts_tier.plan
    FOR EACH STATEMENT EXECUTE FUNCTION contacts_tier_internal.accounts_subscribed();
CREATE TRIGGER accounts_subscribed AFTER UPDATE OF plan, contact_limit OR DELETE ON contacts_tier.tier
    FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.accounts_subscribed();
CREATE TRIGGER accounts_subscribed_truncate BEFORE TRUNCATE ON contacts_tier.tier
    FOR EACH STATEMENT EXECUTE FUNCTION contacts_tier_internal.accounts_subscribed();

CREATE TABLE contacts_tier.source_type (
    name           text PRIMARY KEY,
    default_status contacts_tier.marketing_status NOT NULL,
    changeable     boolean NOT NULL,
    seeded         boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE contacts_tier.source_type IS 'tools that create contacts or set their status, and the default status of new contacts';
COMMENT ON COLUMN contacts_tier.source_type.name IS 'name of the source type';
COMMENT ON COLUMN contacts_tier.source_type.default_status IS 'status of a new contact that is inserted without one';
COMMENT ON COLUMN contacts_tier.source_type.changeable IS 'true if set_policy() can set another default for an account';
COMMENT ON COLUMN contacts_tier.source_type.seeded IS 'true for the rows that CREATE EXTENSION inserts, which pg_dump omits';
INSERT INTO contacts_tier.source_type (name, default_status, changeable, seeded) VALUES
    ('FORM',                'marketing',     true,  true),
    ('EXTERNAL_FORM',       'marketing',     true,  true),
    ('CHATFLOW',            'non_marketing', true,  true),
    ('IMPORT',              'non_marketing', true,  true),
    ('MULTI_OBJECT_IMPORT', 'non_marketing', false, true),
    ('INTEGRATION',         'non_marketing', true,  true),
    ('API',                 'non_marketing', true,  true),
    ('CRM_SYNC',            'non_marketing', true,  true),
    ('USER',                'non_marketing', true,  true),
    ('MOBILE_APP',          'non_marketing', false, true),
    ('EMAIL_LOG',           'non_marketing', false, true),
    ('TEAM_INBOX',          'non_marketing', false, true),
    ('DOCUMENT',            'non_marketing', false, true),
    ('MEETING',             'non_marketing', false, true),
    ('EMAIL_EXTENSION',     'non_marketing', false, true),
    ('WORKFLOW',            'non_marketing', false, true),
    ('BULK_ACTION',         'non_marketing', false, true),
    ('ROLLOVER',            'non_marketing', false, true),
    ('TIER',                'non_marketing', false, true);
SELECT pg_catalog.pg_extension_config_dump('contacts_tier.source_type', 'WHERE NOT seeded');

CREATE TABLE contacts_tier.tool (
    name                    text PRIMARY KEY,
    needs_marketing_contact boolean NOT NULL,
    seeded                  boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE contacts_tier.tool IS 'tools that address contacts, and whether they need a marketing contact';
COMMENT ON COLUMN contacts_tier.tool.name IS 'name of the tool';
COMMENT ON COLUMN contacts_tier.tool.needs_marketing_contact IS 'true if the tool can be used for marketing contacts only';
COMMENT ON COLUMN contacts_tier.tool.seeded IS 'true for the rows that CREATE EXTENSION inserts, which pg_dump omits';
INSERT INTO contacts_tier.tool (name, needs_marketing_contact, seeded) VALUES
    ('marketing_email',       true,  true),
    ('automated_email',       true,  true),
    ('form_follow_up_email',  true,  true),
    ('ads_audience',          true,  true),
    ('workflow_email',        true,  true),
    ('workflow_ads_audience', true,  true),
    ('one_to_one_email',      false, true),
    ('sequence',              false, true),
    ('chat_transcript',       false, true),
    ('registration_email',    false, true),
    ('ticket_kickback_email', false, true),
    ('transactional_email',   false, true),
    ('feedback_survey',       false, true);
SELECT pg_catalog.pg_extension_config_dump('contacts_tier.tool', 'WHERE NOT seeded');

CREATE FUNCTION contacts_tier.create_plan(plan text,
                                          contact_limits bigint[],
                                          monthly_prices numeric[] DEFAULT NULL,
                                          currency text DEFAULT 'USD',
                                          marketing_contacts boolean DEFAULT true)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    limits bigint[] := coalesce(create_plan.contact_limits, '{}');
BEGIN
    IF create_plan.plan IS NULL OR create_plan.currency IS NULL OR create_plan.marketing_contacts IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'arguments "plan", "currency" and "marketing_contacts" must not be null';
    END IF;
    IF create_plan.currency !~ '^[A-Z]{3}$' THEN
        RAISE invalid_parameter_value
            USING MESSAGE = 'currency must be a three-letter ISO 4217 code',
                  DETAIL = format('The currency is "%s".', create_plan.currency);
    END IF;
    IF EXISTS (SELECT FROM contacts_tier.plan p WHERE p.name = create_plan.plan) THEN
        RAISE duplicate_object USING MESSAGE = format('plan "%s" already exists', create_plan.plan);
    END IF;
    IF create_plan.marketing_contacts AND cardinality(limits) = 0 THEN
        RAISE invalid_parameter_value
            USING MESSAGE = format('plan "%s" needs at least one contact limit', create_plan.plan),
                  HINT = 'Use marketing_contacts => false for a plan without marketing contacts.';
    END IF;
    IF array_ndims(limits) > 1 OR array_ndims(create_plan.monthly_prices) > 1 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'contact limits and monthly prices must be one-dimensional arrays';
    END IF;
    IF EXISTS (SELECT FROM (SELECT l.contact_limit, lag(l.contact_limit, 1, 0::bigint) OVER (ORDER BY l.i) AS smaller
                            FROM unnest(limits) WITH ORDINALITY AS l (contact_limit, i)) AS l
               WHERE (l.contact_limit > l.smaller) IS NOT TRUE) THEN
        RAISE invalid_parameter_value
            USING MESSAGE = 'contact limits must be positive and in ascending order',
                  DETAIL = format('The limits are %s.', array_to_string(limits, ', ', 'null'));
    END IF;
    IF cardinality(create_plan.monthly_prices) <> cardinality(limits) THEN
        RAISE invalid_parameter_value
            USING MESSAGE = 'number of monthly prices must match number of contact limits',
                  DETAIL = format('There are %s and %s.',
                                  format(CASE cardinality(limits) WHEN 1 THEN '%s limit' ELSE '%s limits' END,
                                         cardinality(limits)),
                                  format(CASE cardinality(create_plan.monthly_prices) WHEN 1 THEN '%s price' ELSE '%s prices' END,
                                         cardinality(create_plan.monthly_prices)));
    END IF;
    IF EXISTS (SELECT FROM unnest(create_plan.monthly_prices) AS p (price) WHERE (p.price >= 0 AND p.price < 'infinity') IS NOT TRUE) THEN
        RAISE invalid_parameter_value USING MESSAGE = 'monthly prices must be finite and not negative';
    END IF;
    INSERT INTO contacts_tier.plan (name, currency, marketing_contacts)
    VALUES (create_plan.plan, create_plan.currency, create_plan.marketing_contacts);
    INSERT INTO contacts_tier.tier (plan, contact_limit, monthly_price)
    SELECT create_plan.plan, l.contact_limit, l.monthly_price
    FROM unnest(limits, create_plan.monthly_prices) AS l (contact_limit, monthly_price);
END
$$;
COMMENT ON FUNCTION contacts_tier.create_plan(text, bigint[], numeric[], text, boolean) IS
'creates a plan and its tiers, one for each contact limit';

-- Sessions cache what their triggers read from the catalogue.  A change must invalidate
-- these caches, also where logical replication applies it, which fires ALWAYS triggers only, and
-- those of statements for TRUNCATE only.
CREATE FUNCTION contacts_tier_internal.catalogue_changed() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_catalogue_changed';
COMMENT ON FUNCTION contacts_tier_internal.catalogue_changed() IS
'trigger: invalidates what sessions have cached of the catalogue';
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON contacts_tier.plan
    FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.catalogue_changed();
CREATE TRIGGER changed_truncate AFTER TRUNCATE ON contacts_tier.plan
    FOR EACH STATEMENT EXECUTE FUNCTION contacts_tier_internal.catalogue_changed();
ALTER TABLE contacts_tier.plan ENABLE ALWAYS TRIGGER changed, ENABLE ALWAYS TRIGGER changed_truncate;
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON contacts_tier.source_type
    FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.catalogue_changed();
CREATE TRIGGER changed_truncate AFTER TRUNCATE ON contacts_tier.source_type
    FOR EACH STATEMENT EXECUTE FUNCTION contacts_tier_internal.catalogue_changed();
ALTER TABLE contacts_tier.source_type ENABLE ALWAYS TRIGGER changed, ENABLE ALWAYS TRIGGER changed_truncate;
------------------------------------------------------------------------------
-- Trigger functions.  The triggers of an attached table have the same arguments: the
-- schema of the companion tables, the account column ('' if the whole table is one
-- account), the five status columns, and options (src/contact/option.c).
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier_internal.maintain_status() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_maintain_status';
COMMENT ON FUNCTION contacts_tier_internal.maintain_status() IS
'BEFORE INSERT OR UPDATE row trigger: decides the status properties of a contact';

CREATE FUNCTION contacts_tier_internal.count_contact() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_count_contact';
COMMENT ON FUNCTION contacts_tier_internal.count_contact() IS
'AFTER row trigger: notes what a changed row means for the counters of its account';

CREATE FUNCTION contacts_tier_internal.apply_counts() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_apply_counts';
COMMENT ON FUNCTION contacts_tier_internal.apply_counts() IS
'AFTER statement trigger: applies the noted changes to the counters and enforces the contact tier';

CREATE FUNCTION contacts_tier_internal.count_truncate() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_count_truncate';
COMMENT ON FUNCTION contacts_tier_internal.count_truncate() IS
'BEFORE TRUNCATE statement trigger: subtracts the contacts of the table from the counters';

-- Of triggers that hold a condition on contacts in their WHEN clause, and never fire.
CREATE FUNCTION contacts_tier_internal.exists_condition() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_hold_condition';
COMMENT ON FUNCTION contacts_tier_internal.exists_condition() IS
'AFTER DELETE row trigger that never fires: its WHEN clause holds the condition of the contacts that exist';

CREATE FUNCTION contacts_tier_internal.eligible_condition() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_hold_condition';
COMMENT ON FUNCTION contacts_tier_internal.eligible_condition() IS
'AFTER DELETE row trigger that never fires: its WHEN clause holds the condition of the contacts that can be promoted, its argument what becomes of others';

------------------------------------------------------------------------------
-- Functions that statements evaluate.  attach() makes those called default_... the defaults
-- of the status columns that have none.
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier_internal.default_status() RETURNS contacts_tier.marketing_status
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_not_given';
COMMENT ON FUNCTION contacts_tier_internal.default_status() IS
'default of the status column: NULL, so that maintain_status() decides; the planner loads the library to evaluate it';

CREATE FUNCTION contacts_tier_internal.default_marketing() RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_not_given';
COMMENT ON FUNCTION contacts_tier_internal.default_marketing() IS
'default of a status column of type boolean: NULL, so that maintain_status() decides; the planner loads the library to evaluate it';

CREATE FUNCTION contacts_tier_internal.default_until_next_update() RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_not_given';
COMMENT ON FUNCTION contacts_tier_internal.default_until_next_update() IS
'default of the column of the flag: NULL, so that maintain_status() decides; the planner loads the library to evaluate it';

CREATE FUNCTION contacts_tier_internal.default_source_type() RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_not_given';
COMMENT ON FUNCTION contacts_tier_internal.default_source_type() IS
'default of the source type column: NULL, so that maintain_status() decides; the planner loads the library to evaluate it';

CREATE FUNCTION contacts_tier_internal.default_source_name() RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_not_given';
COMMENT ON FUNCTION contacts_tier_internal.default_source_name() IS
'default of the source name column: NULL, so that maintain_status() decides; the planner loads the library to evaluate it';

CREATE FUNCTION contacts_tier_internal.default_updated_at() RETURNS timestamptz
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_not_given';
COMMENT ON FUNCTION contacts_tier_internal.default_updated_at() IS
'default of the time column: NULL, so that maintain_status() decides; the planner loads the library to evaluate it';

CREATE FUNCTION contacts_tier_internal.is_given(property integer, is_set boolean) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'contacts_tier_is_given';
COMMENT ON FUNCTION contacts_tier_internal.is_given(integer, boolean) IS
'true if INSERT ... ON CONFLICT gave the proposed row this status property; EXCLUDED has NULL for a property that was not given';

CREATE FUNCTION contacts_tier_internal.given_flag() RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'contacts_tier_given_flag';
COMMENT ON FUNCTION contacts_tier_internal.given_flag() IS
'the flag that INSERT ... ON CONFLICT gave the proposed row, before the rules for new contacts';

CREATE FUNCTION contacts_tier_internal.given_marketing() RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'contacts_tier_given_marketing';
COMMENT ON FUNCTION contacts_tier_internal.given_marketing() IS
'true if INSERT ... ON CONFLICT gave the proposed row the status marketing, whether or not it is eligible';

CREATE FUNCTION contacts_tier_internal.library_loaded() RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_library_loaded';
COMMENT ON FUNCTION contacts_tier_internal.library_loaded() IS
'always true; in an index predicate it loads the library when a statement on the table is planned';

CREATE FUNCTION contacts_tier.attached(OUT contacts regclass,
                                       OUT companion_schema name,
                                       OUT account_column name,
                                       OUT status_column name,
                                       OUT until_next_update_column name,
                                       OUT source_type_column name,
                                       OUT source_name_column name,
                                       OUT updated_at_column name,
                                       OUT whole_row_saves boolean)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'contacts_tier_attached';
COMMENT ON FUNCTION contacts_tier.attached() IS
'attached tables, with the schema of their companion tables, the names of their columns, and whether their application saves whole rows';


------------------------------------------------------------------------------
-- Commands that change tables.  The event triggers update the counters when partitions
-- are attached, detached or dropped.  They ignore tables that are unrelated to attached
-- ones.
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier_internal.command_starts() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_command_starts';
COMMENT ON FUNCTION contacts_tier_internal.command_starts() IS
'event trigger: loads the library before a command changes tables, so that its hooks can refuse what cannot be counted';

CREATE FUNCTION contacts_tier_internal.command_ends() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_command_ends';
COMMENT ON FUNCTION contacts_tier_internal.command_ends() IS
'event trigger: counts the contacts of partitions that a command has attached, detached or dropped';

CREATE EVENT TRIGGER contacts_tier_command_starts ON ddl_command_start
    EXECUTE FUNCTION contacts_tier_internal.command_starts();
COMMENT ON EVENT TRIGGER contacts_tier_command_starts IS
'contacts_tier: loads the library before a command changes tables';

CREATE EVENT TRIGGER contacts_tier_command_ends ON ddl_command_end
    EXECUTE FUNCTION contacts_tier_internal.command_ends();
COMMENT ON EVENT TRIGGER contacts_tier_command_ends IS
'contacts_tier: updates the counters after a command has attached, detached or dropped partitions';
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
------------------------------------------------------------------------------
-- Tables that Citus distributes
------------------------------------------------------------------------------

-- As the caller, who is the owner of the contacts: a query of a report on another node has it.
CREATE FUNCTION contacts_tier_internal.report_on_shard(shard regclass, contacts text, report name, account anyelement) RETURNS jsonb
LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'contacts_tier_report_on_shard';
COMMENT ON FUNCTION contacts_tier_internal.report_on_shard(regclass, text, name, anyelement) IS
'rows of a report about an account, run on the shard of the contacts beside the given shard';

-- As the role that inserts, which can only run what it may run anyway.
CREATE FUNCTION contacts_tier_internal.run_call() RETURNS trigger
LANGUAGE c
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'contacts_tier_run_call';
COMMENT ON FUNCTION contacts_tier_internal.run_call() IS
'trigger: calls a managing function on the shard that the row came to, and deletes the row';

CREATE FUNCTION contacts_tier_internal.create_call_table(schema text, account_type text) RETURNS void
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
COMMENT ON FUNCTION contacts_tier_internal.create_call_table(text, text) IS
'creates the table of calls beside the companion tables of a distributed table; both arguments must be quoted already';

CREATE FUNCTION contacts_tier.distribute(contacts regclass) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_distribute';
COMMENT ON FUNCTION contacts_tier.distribute(regclass) IS
'has Citus distribute an attached table by its account column, with its companion tables, whose history stays; in one transaction';

-- In transactions of their own.  The name of the shard takes the place of %1$s in the command.
CREATE FUNCTION contacts_tier_internal.run_on_shards(contacts regclass, command text, account text DEFAULT NULL)
RETURNS TABLE (shard bigint, success boolean, result text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    by_account boolean := (SELECT d.partkey IS NOT NULL FROM pg_dist_partition d WHERE d.logicalrelid = run_on_shards.contacts);
    only_shard bigint;
    schema     name := (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = run_on_shards.contacts);
BEGIN
    IF by_account AND run_on_shards.account IS NOT NULL THEN
        EXECUTE format('SELECT get_shard_id_for_distribution_column($1, %L::%s)', run_on_shards.account,
                       (SELECT format_type(a.atttypid, NULL) FROM pg_dist_partition d, pg_attribute a
                        WHERE d.logicalrelid = run_on_shards.contacts AND a.attrelid = d.logicalrelid
                          AND a.attname = column_to_column_name(d.logicalrelid, d.partkey)))
            INTO only_shard USING run_on_shards.contacts;
    END IF;
    RETURN QUERY
        WITH placed AS (
            SELECT array_agg(p.nodename ORDER BY p.shardid) AS nodes, array_agg(p.nodeport ORDER BY p.shardid) AS ports,
                   array_agg(p.shardid ORDER BY p.shardid) AS shards,
                   array_agg(format(run_on_shards.command, format('%I.%I', schema, p.parts[cardinality(p.parts)])) ORDER BY p.shardid) AS commands
            FROM (SELECT DISTINCT ON (s.shardid) s.shardid, l.nodename, l.nodeport::integer AS nodeport,
                         -- qualified, but in schema public
                         parse_ident(shard_name(s.logicalrelid, s.shardid)) AS parts
                  FROM pg_dist_shard s JOIN pg_dist_shard_placement l USING (shardid)
                  WHERE s.logicalrelid = run_on_shards.contacts AND (only_shard IS NULL OR s.shardid = only_shard)
                  ORDER BY s.shardid, l.placementid) p)
        SELECT p.shards[r.ordinality], r.success, r.result
        FROM placed p, master_run_on_worker(p.nodes, p.ports, p.commands, true) WITH ORDINALITY r;
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.run_on_shards(regclass, text, text) IS
'runs a command on each shard of a distributed table, or on that of an account, in parallel and in transactions of their own';

-- NOTIFY reaches those who listen on the worker of an account; the ledger has all of it.
CREATE FUNCTION contacts_tier.relay_notifications(contacts regclass,
                                                  since timestamptz,
                                                  lag interval DEFAULT '5 seconds')
RETURNS timestamptz
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    until  timestamptz := contacts_tier.clock() - relay_notifications.lag;
    schema name := (SELECT a.companion_schema FROM contacts_tier.attached() a WHERE a.contacts = relay_notifications.contacts);
BEGIN
    IF relay_notifications.contacts IS NULL OR relay_notifications.since IS NULL OR relay_notifications.lag IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = 'arguments "contacts", "since" and "lag" must not be null';
    END IF;
    IF until <= relay_notifications.since THEN
        RETURN relay_notifications.since;
    END IF;
    PERFORM pg_notify('contacts_tier', (jsonb_build_object('schema', schema, 'account', n.account, 'event', n.event,
                                                           'marketing_contacts', n.marketing_contacts) || n.details)::text)
    FROM contacts_tier.notifications(relay_notifications.contacts, NULL, relay_notifications.since, until) n
    ORDER BY n.notified_at, n.entry;
    RETURN until;
END
$$;
COMMENT ON FUNCTION contacts_tier.relay_notifications(regclass, timestamptz, interval) IS
'notifies listeners on this node of what the ledger of a distributed table has recorded since an instant; returns the instant to continue from';

-- Citus creates the extension on a node that is added, and the roles, but it does not hand on what was
-- granted on members of an extension.
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

-- Each node in a transaction of its own, as the caller.  A statement waits for others there only for some seconds, since the
-- caller's own transaction may be what it waits for.
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
------------------------------------------------------------------------------
-- Subscriptions
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier.subscribe(contacts regclass,
                                        account text,
                                        plan text,
                                        contact_limit bigint DEFAULT NULL,
                                        billing_cycle contacts_tier.billing_cycle DEFAULT 'monthly',
                                        started_at timestamptz DEFAULT NULL,
                                        time_zone text DEFAULT 'UTC',
                                        on_exceed contacts_tier.exceed_policy DEFAULT 'upgrade',
                                        grace bigint DEFAULT 0)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_subscribe';
COMMENT ON FUNCTION contacts_tier.subscribe(regclass, text, text, bigint, contacts_tier.billing_cycle, timestamptz, text, contacts_tier.exceed_policy, bigint) IS
'starts the subscription of an account; without a limit, to the smallest tier of the plan that holds its marketing contacts';

CREATE FUNCTION contacts_tier.change_tier(contacts regclass,
                                          account text,
                                          contact_limit bigint,
                                          at_renewal boolean DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_change_tier';
COMMENT ON FUNCTION contacts_tier.change_tier(regclass, text, bigint, boolean) IS
'moves an account to a larger tier at once, or requests a tier for the renewal date; the current tier withdraws the request';

CREATE FUNCTION contacts_tier.approve_upgrade(contacts regclass, account text) RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_approve_upgrade';
COMMENT ON FUNCTION contacts_tier.approve_upgrade(regclass, text) IS
'moves an account to its requested tier, which would have held the contacts that were capped; returns its limit';

CREATE FUNCTION contacts_tier.cancel(contacts regclass, account text, withdraw boolean DEFAULT false) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_cancel';
COMMENT ON FUNCTION contacts_tier.cancel(regclass, text, boolean) IS
'ends the subscription of an account at its renewal date, or withdraws the cancellation';

CREATE FUNCTION contacts_tier.set_policy(contacts regclass,
                                         account text,
                                         on_exceed contacts_tier.exceed_policy DEFAULT NULL,
                                         grace bigint DEFAULT NULL,
                                         thresholds integer[] DEFAULT NULL,
                                         source_defaults jsonb DEFAULT NULL,
                                         time_zone text DEFAULT NULL,
                                         auto_downgrade boolean DEFAULT NULL,
                                         billing_cycle contacts_tier.billing_cycle DEFAULT NULL,
                                         record_activity boolean DEFAULT NULL,
                                         max_limit bigint DEFAULT NULL,
                                         source_policies jsonb DEFAULT NULL,
                                         proration text DEFAULT NULL,
                                         brake jsonb DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_set_policy';
COMMENT ON FUNCTION contacts_tier.set_policy(regclass, text, contacts_tier.exceed_policy, bigint, integer[], jsonb, text, boolean, contacts_tier.billing_cycle, boolean, bigint, jsonb, text, jsonb) IS
'changes the policy of an account; arguments that are null change nothing';

CREATE FUNCTION contacts_tier.rename_account(contacts regclass, account text, new_account text) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_rename_account';
COMMENT ON FUNCTION contacts_tier.rename_account(regclass, text, text) IS
'gives subscription, counter and ledger of an account another key; call it before its contacts change, in the same transaction';

CREATE FUNCTION contacts_tier.pass_brake() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'contacts_tier_pass_brake';
COMMENT ON FUNCTION contacts_tier.pass_brake() IS
'lets the running transaction pass the brake of all accounts; its promotions count in the window even so';

CREATE FUNCTION contacts_tier.has_access(contacts regclass, account text) RETURNS boolean
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'contacts_tier_has_access';
COMMENT ON FUNCTION contacts_tier.has_access(regclass, text) IS
'true if the account has a subscription that includes marketing contacts';

------------------------------------------------------------------------------
-- Usage, for roles that have SELECT on the companion tables
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
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_usage';
COMMENT ON FUNCTION contacts_tier.usage(regclass, text) IS
'marketing contacts and contact tier of each account, read from the counters alone';


-- The banner.  EXECUTE on it is the permission to see it.
CREATE FUNCTION contacts_tier.banner(contacts regclass, account text) RETURNS text
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'contacts_tier_banner';
COMMENT ON FUNCTION contacts_tier.banner(regclass, text) IS
'sentence that shows how many contacts of its tier an account uses; null unless it is near its limit';
------------------------------------------------------------------------------
-- The bill: the ledger as typed rows, and a forecast, for roles that have SELECT on the
-- companion tables
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier.tier_changes(INOUT contacts regclass DEFAULT NULL,
                                           INOUT account text DEFAULT NULL,
                                           IN since timestamptz DEFAULT NULL,
                                           IN until timestamptz DEFAULT NULL,
                                           OUT changed_at timestamptz,
                                           OUT plan text,
                                           OUT from_limit bigint,
                                           OUT to_limit bigint,
                                           OUT reason text,
                                           OUT marketing_contacts bigint,
                                           OUT period_fraction numeric,
                                           OUT month_share numeric,
                                           OUT charge numeric,
                                           OUT currency text,
                                           OUT role text,
                                           OUT entry uuid)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_tier_changes';
COMMENT ON FUNCTION contacts_tier.tier_changes(regclass, text, timestamptz, timestamptz) IS
'tier changes of each account, with reason and charge; newest first, from since on and before until';

CREATE FUNCTION contacts_tier.billing_periods(INOUT contacts regclass DEFAULT NULL,
                                              INOUT account text DEFAULT NULL,
                                              OUT period_start timestamptz,
                                              OUT period_end timestamptz,
                                              OUT closed boolean,
                                              OUT plan text,
                                              OUT contact_limit bigint,
                                              OUT opening bigint,
                                              OUT peak bigint,
                                              OUT closing bigint,
                                              OUT promoted bigint,
                                              OUT demoted bigint,
                                              OUT corrected bigint,
                                              OUT upgrades integer,
                                              OUT monthly_price numeric,
                                              OUT month_share numeric,
                                              OUT tier_charges numeric,
                                              OUT total numeric,
                                              OUT currency text)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_billing_periods';
COMMENT ON FUNCTION contacts_tier.billing_periods(regclass, text) IS
'billing periods of each account, the current one last: tier and price at its start, counts, charges for tier changes, and total';

CREATE FUNCTION contacts_tier.notifications(INOUT contacts regclass DEFAULT NULL,
                                            INOUT account text DEFAULT NULL,
                                            IN since timestamptz DEFAULT NULL,
                                            IN until timestamptz DEFAULT NULL,
                                            OUT notified_at timestamptz,
                                            OUT event text,
                                            OUT threshold integer,
                                            OUT marketing_contacts bigint,
                                            OUT contact_limit bigint,
                                            OUT details jsonb,
                                            OUT role text,
                                            OUT entry uuid)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_notifications';
COMMENT ON FUNCTION contacts_tier.notifications(regclass, text, timestamptz, timestamptz) IS
'notifications of each account: thresholds, capped contacts, requested tiers; newest first, from since on and before until';

CREATE FUNCTION contacts_tier.activity(INOUT contacts regclass DEFAULT NULL,
                                       INOUT account text DEFAULT NULL,
                                       IN since timestamptz DEFAULT NULL,
                                       IN until timestamptz DEFAULT NULL,
                                       OUT recorded_at timestamptz,
                                       OUT role text,
                                       OUT source_type text,
                                       OUT source_name text,
                                       OUT created bigint,
                                       OUT deleted bigint,
                                       OUT promoted bigint,
                                       OUT flagged bigint,
                                       OUT unflagged bigint,
                                       OUT demoted bigint,
                                       OUT dropped bigint,
                                       OUT statements bigint,
                                       OUT last_recorded_at timestamptz)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 1000 AS 'MODULE_PATHNAME', 'contacts_tier_activity';
COMMENT ON FUNCTION contacts_tier.activity(regclass, text, timestamptz, timestamptz) IS
'which role and source created, deleted, promoted, flagged how many contacts; newest first, from since on and before until';

CREATE FUNCTION contacts_tier.forecast(INOUT contacts regclass DEFAULT NULL,
                                       INOUT account text DEFAULT NULL,
                                       OUT marketing_contacts bigint,
                                       OUT pending_non_marketing bigint,
                                       OUT next_update_at timestamptz,
                                       OUT at_next_update bigint,
                                       OUT renews_at timestamptz,
                                       OUT at_renewal bigint,
                                       OUT tier_needed bigint,
                                       OUT tier_needed_at_renewal bigint,
                                       OUT next_tier bigint,
                                       OUT next_tier_extra_price numeric,
                                       OUT period_charges numeric,
                                       OUT currency text,
                                       OUT max_limit bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_forecast';
COMMENT ON FUNCTION contacts_tier.forecast(regclass, text) IS
'count of each account on its next update date and at renewal, the tiers that would hold it, and the price of the next tier';

CREATE FUNCTION contacts_tier.preview(contacts regclass,
                                      account text,
                                      additional bigint,
                                      OUT fits boolean,
                                      OUT marketing_contacts bigint,
                                      OUT contact_limit bigint,
                                      OUT would_be bigint,
                                      OUT next_limit bigint,
                                      OUT extra_monthly_price numeric,
                                      OUT currency text,
                                      OUT outcome text,
                                      OUT max_limit bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 1 AS 'MODULE_PATHNAME', 'contacts_tier_preview';
COMMENT ON FUNCTION contacts_tier.preview(regclass, text, bigint) IS
'what would happen if that many contacts of an account became marketing contacts now; changes nothing';

CREATE FUNCTION contacts_tier.prune_ledger(contacts regclass, before timestamptz, batch_size integer DEFAULT 10000) RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_prune_ledger';
COMMENT ON FUNCTION contacts_tier.prune_ledger(regclass, timestamptz, integer) IS
'deletes activity that was recorded before an instant, at most batch_size entries, and returns how many; call it until it returns 0';
------------------------------------------------------------------------------
-- Pictures: how the count came about, and a page that shows it, for roles that have SELECT
-- on the companion tables
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier.usage_history(contacts regclass,
                                            account text,
                                            since timestamptz DEFAULT NULL,
                                            step interval DEFAULT '1 day',
                                            OUT at timestamptz,
                                            OUT marketing_contacts bigint,
                                            OUT pending bigint,
                                            OUT contact_limit bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_usage_history';
COMMENT ON FUNCTION contacts_tier.usage_history(regclass, text, timestamptz, interval) IS
'marketing contacts and contact limit of an account at each step since an instant, and now; exact where activity is recorded';

CREATE FUNCTION contacts_tier.sources(contacts regclass,
                                      account text,
                                      OUT source_type text,
                                      OUT source_names bigint,
                                      OUT marketing_contacts bigint,
                                      OUT pending bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'contacts_tier_sources';
COMMENT ON FUNCTION contacts_tier.sources(regclass, text) IS
'marketing contacts of an account by the source type that set their status, largest first, with the number of source names; reads the contacts';

CREATE FUNCTION contacts_tier_internal.page_account(contacts regclass,
                                                    account text,
                                                    OUT time_zone text,
                                                    OUT on_exceed text,
                                                    OUT grace bigint,
                                                    OUT record_activity boolean,
                                                    OUT has_plan boolean,
                                                    OUT ended_at timestamptz)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 1 AS 'MODULE_PATHNAME', 'contacts_tier_page_account';
COMMENT ON FUNCTION contacts_tier_internal.page_account(regclass, text) IS
'time zone and policies of an account, for usage_page(); no row without a subscription';

CREATE FUNCTION contacts_tier_internal.page_history(contacts regclass,
                                                    account text,
                                                    since timestamptz,
                                                    step interval,
                                                    OUT at timestamptz,
                                                    OUT marketing_contacts bigint,
                                                    OUT pending bigint,
                                                    OUT contact_limit bigint,
                                                    OUT peak bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_page_history';
COMMENT ON FUNCTION contacts_tier_internal.page_history(regclass, text, timestamptz, interval) IS
'usage_history() for usage_page(), with the highest count between an instant and the next one';

-- Text in a picture.  There is no font to measure it with, so widths are those of a wide
-- one, DejaVu Sans, or above.  All but plain ASCII is written by number, whatever the
-- encodings of the server and of the file are.

CREATE FUNCTION contacts_tier_internal.svg_code(letter text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT CASE octet_length(u)
               WHEN 2 THEN get_byte(u, 0) % 32 * 64 + get_byte(u, 1) % 64
               WHEN 3 THEN (get_byte(u, 0) % 16 * 64 + get_byte(u, 1) % 64) * 64 + get_byte(u, 2) % 64
               WHEN 4 THEN ((get_byte(u, 0) % 8 * 64 + get_byte(u, 1) % 64) * 64 + get_byte(u, 2) % 64) * 64 + get_byte(u, 3) % 64
               -- SQL_ASCII does not say which letter this is
               ELSE CASE WHEN get_byte(u, 0) < 128 THEN get_byte(u, 0) ELSE 65533 END
           END
    FROM convert_to(letter, 'UTF8') AS u
    WHERE letter <> ''
);
COMMENT ON FUNCTION contacts_tier_internal.svg_code(text) IS
'Unicode number of a letter';

CREATE FUNCTION contacts_tier_internal.svg_escape(letter text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT CASE
               WHEN letter = '<' THEN '&lt;'
               WHEN letter = '>' THEN '&gt;'
               WHEN letter = '&' THEN '&amp;'
               WHEN letter = '"' THEN '&quot;'
               WHEN letter = '''' THEN '&#39;'
               WHEN code BETWEEN 32 AND 126 THEN letter
               WHEN code IN (9, 10, 13) THEN ' '
               -- not allowed in XML, or turns the direction of what follows
               WHEN code < 32 OR code BETWEEN 127 AND 159 OR code BETWEEN 8234 AND 8238
                    OR code BETWEEN 8294 AND 8297 OR code IN (65534, 65535) THEN '&#65533;'
               ELSE '&#' || code || ';'
           END
    FROM contacts_tier_internal.svg_code(letter) AS code
);
COMMENT ON FUNCTION contacts_tier_internal.svg_escape(text) IS
'a letter as it is written in XML';

CREATE FUNCTION contacts_tier_internal.svg_width(letter text) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT CASE
               WHEN letter ~ '[-iljI.,:;''|!`ftrJ()/ ]' OR letter IN ('[', ']') THEN 0.42
               WHEN letter ~ '[mwMWOQGD@%&<>=+#~^]' THEN 1.0
               WHEN letter ~ '[A-Z]' THEN 0.79
               WHEN code < 128 THEN 0.64
               WHEN code = 183 THEN 0.42
               WHEN code < 592 THEN 0.9
               WHEN code < 65536 THEN 1.1
               ELSE 1.5
           END
    FROM contacts_tier_internal.svg_code(letter) AS code
);
COMMENT ON FUNCTION contacts_tier_internal.svg_width(text) IS
'width of a letter, in units of the font size, in no usual font less than it is';

CREATE FUNCTION contacts_tier_internal.svg_length(words text) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT coalesce(sum(contacts_tier_internal.svg_width(letter)), 0)
    FROM regexp_split_to_table("left"(words, 1000), '') AS letter
    WHERE letter <> ''
);
COMMENT ON FUNCTION contacts_tier_internal.svg_length(text) IS
'width of a text, in units of the font size';

CREATE FUNCTION contacts_tier_internal.svg_words(words text, room numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT coalesce(string_agg(contacts_tier_internal.svg_escape(letter), '' ORDER BY n) FILTER (WHERE whole <= room OR upto <= room - 1), '')
           || CASE WHEN max(whole) > room OR length(words) > 1000 THEN '&#8230;' ELSE '' END
    FROM (SELECT letter, n, sum(width) OVER (ORDER BY n), sum(width) OVER ()
          FROM (SELECT letter, n, contacts_tier_internal.svg_width(letter)
                FROM regexp_split_to_table("left"(words, 1000), '') WITH ORDINALITY AS l (letter, n)
                WHERE letter <> '') AS w (letter, n, width)) AS c (letter, n, upto, whole)
);
COMMENT ON FUNCTION contacts_tier_internal.svg_words(text, numeric) IS
'a text as it is written in XML, cut where it would take more room, in units of the font size';

CREATE FUNCTION contacts_tier_internal.svg_text(x numeric, y numeric, class text, size numeric, words text, room numeric)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN format(E'<text x="%s" y="%s" class="%s" font-size="%s">%s</text>\n', round(x, 1), round(y, 1), class, round(size, 1),
              contacts_tier_internal.svg_words(words, room / size / CASE WHEN class ~ '\mb\M' THEN 1.15 ELSE 1.0 END));
COMMENT ON FUNCTION contacts_tier_internal.svg_text(numeric, numeric, text, numeric, text, numeric) IS
'a line of text in a picture, cut where it would take more room; class b is bold';

CREATE FUNCTION contacts_tier_internal.svg_rect(x numeric, y numeric, width numeric, height numeric, class text, radius numeric DEFAULT 0)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN width <= 0 THEN ''
    ELSE format(E'<rect x="%s" y="%s" width="%s" height="%s" rx="%s" class="%s"/>\n',
                round(x, 1), round(y, 1), round(width, 1), round(height, 1), radius, class)
END;
COMMENT ON FUNCTION contacts_tier_internal.svg_rect(numeric, numeric, numeric, numeric, text, numeric) IS
'a rectangle in a picture';

CREATE FUNCTION contacts_tier_internal.page_number(n numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_char(n, 'FM9,999,999,999,999,999,990');
COMMENT ON FUNCTION contacts_tier_internal.page_number(numeric) IS
'a number of contacts, for usage_page()';

CREATE FUNCTION contacts_tier_internal.page_amount(amount numeric, currency text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_char(amount, 'FM999,999,999,999,990.00') || coalesce(' ' || currency, '');
COMMENT ON FUNCTION contacts_tier_internal.page_amount(numeric, text) IS
'an amount of money, for usage_page()';

CREATE FUNCTION contacts_tier_internal.page_day(instant timestamptz, time_zone text, today timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT to_char(day, 'FMDD FMMonth') || CASE WHEN abs(day::date - (today AT TIME ZONE time_zone)::date) > 300
                                                THEN to_char(day, ' FMYYYY') ELSE '' END
    FROM (SELECT instant AT TIME ZONE time_zone) AS d (day)
);
COMMENT ON FUNCTION contacts_tier_internal.page_day(timestamptz, text, timestamptz) IS
'the day of an instant in words, with the year if it is far from today, for usage_page()';

CREATE FUNCTION contacts_tier_internal.page_title(used bigint, leaving bigint, contact_limit bigint, day text, s record)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- "No marketing contacts", "1 marketing contact"
    contacts text := CASE used WHEN 0 THEN 'No' ELSE contacts_tier_internal.page_number(used) END
                     || ' marketing contact' || CASE used WHEN 1 THEN '' ELSE 's' END;
BEGIN
    IF contact_limit IS NULL THEN
        RETURN contacts || ', no subscription';
    ELSIF s.ended_at IS NOT NULL THEN
        RETURN contacts || ', the subscription has ended';
    ELSIF NOT s.has_plan THEN
        RETURN contacts || ', the plan includes none';
    END IF;
    RETURN format('%s of %s marketing contact%s%s', contacts_tier_internal.page_number(used),
                  contacts_tier_internal.page_number(contact_limit), CASE contact_limit WHEN 1 THEN '' ELSE 's' END,
                  CASE WHEN leaving > 0 THEN format(', %s leave%s on %s', contacts_tier_internal.page_number(leaving),
                                                    CASE leaving WHEN 1 THEN 's' ELSE '' END, day) ELSE '' END);
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.page_title(bigint, bigint, bigint, text, record) IS
'title of a usage page: how many of how many';

CREATE FUNCTION contacts_tier_internal.page_style() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '<style>
text { font-family: system-ui, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; fill: #1c2434; }
.b { font-weight: bold; }
.e { text-anchor: end; }
.m { text-anchor: middle; }
.q { fill: #5a6478; }
.halo { stroke: #ffffff; stroke-width: 4; stroke-linejoin: round; paint-order: stroke; }
.page { fill: #ffffff; }
.used { fill: #2f6fde; }
.leaving { fill: #f2a33a; }
.free { fill: #e4e9f2; }
.over { fill: #d23f5c; }
.grid { stroke: #e4e8ef; fill: none; }
.axis { stroke: #aab3c3; fill: none; }
.update { stroke: #8d98ab; stroke-dasharray: 2 4; fill: none; }
.tier { stroke: #d23f5c; stroke-width: 2; fill: none; }
.edge { stroke: #2f6fde; stroke-width: 2; stroke-linejoin: round; fill: none; }
.ahead { stroke: #2f6fde; stroke-width: 2; stroke-dasharray: 5 4; fill: none; }
.now { stroke: #1c2434; fill: none; }
.dot { fill: #2f6fde; stroke: #ffffff; stroke-width: 2; }
.area { fill: #2f6fde; fill-opacity: 0.22; }
.tierword { fill: #b92f4b; }
@media (prefers-color-scheme: dark) {
text { fill: #e9edf5; }
.q { fill: #9ba6b9; }
.halo { stroke: #141923; }
.page { fill: #141923; }
.used { fill: #5a94f7; }
.leaving { fill: #eaa447; }
.free { fill: #2b3445; }
.over { fill: #f0718b; }
.grid { stroke: #262e3d; }
.axis { stroke: #55617a; }
.update { stroke: #7b879d; }
.tier { stroke: #f0718b; }
.edge, .ahead { stroke: #5a94f7; }
.now { stroke: #e9edf5; }
.dot { fill: #5a94f7; stroke: #141923; }
.area { fill: #5a94f7; fill-opacity: 0.28; }
.tierword { fill: #f58ea3; }
}
</style>
';
COMMENT ON FUNCTION contacts_tier_internal.page_style() IS
'colours of a usage page, on a light and on a dark background';

CREATE FUNCTION contacts_tier_internal.page_bar(used bigint, leaving bigint, contact_limit bigint, day text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- the whole bar: all that counts, and all that would fit
    whole  numeric := greatest(used, contact_limit, 1);
    per    numeric := 880 / whole;
    stays  numeric := (used - leaving) * per;
    leaves numeric := leaving * per;
    parts  text[][] := ARRAY[['used', CASE WHEN leaving > 0 THEN ' stay' ELSE ' in use' END, (used - leaving)::text]];
    result text;
BEGIN
    result := format(E'<g clip-path="url(#bar)">\n%s%s%s</g>\n',
                     contacts_tier_internal.svg_rect(40, 138, 880, 24, 'free'),
                     contacts_tier_internal.svg_rect(40, 138, stays, 24, 'used'),
                     contacts_tier_internal.svg_rect(40 + stays, 138, leaves, 24, 'leaving'));
    IF leaving > 0 THEN
        parts := parts || ARRAY[['leaving', coalesce(' leave on ' || day, ' leave'), leaving::text]];
    END IF;
    IF contact_limit > used THEN
        parts := parts || ARRAY[['free', ' free', (contact_limit - used)::text]];
    ELSIF used > contact_limit THEN
        parts := parts || ARRAY[['over', ' above the limit', (used - contact_limit)::text]];
        -- where the limit is
        result := result || format(E'<path class="tier" d="M%s 132v36"/>\n', round(40 + contact_limit * per, 1));
    END IF;
    FOR i IN 1 .. array_length(parts, 1) LOOP
        result := result || contacts_tier_internal.svg_rect(40 + (i - 1) * 300, 178, 12, 12, parts[i][1], 3)
                  || contacts_tier_internal.svg_text(60 + (i - 1) * 300, 189, 'q', 13,
                         contacts_tier_internal.page_number(parts[i][3]::numeric) || parts[i][2], 272);
    END LOOP;
    RETURN result;
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.page_bar(bigint, bigint, bigint, text) IS
'part of a usage page: a bar of what stays, leaves and is free';

CREATE FUNCTION contacts_tier_internal.page_scale(highest numeric, OUT top numeric, OUT step numeric) RETURNS record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- room for the words above the highest line, and about four lines below it
    SELECT greatest(highest, 1) * 1.15, greatest(1, (
        SELECT min(digit * power) FROM unnest('{1, 2, 2.5, 5, 10}'::numeric[]) AS digit
        WHERE digit * power >= greatest(highest, 1) / 4 AND digit * power = trunc(digit * power)))
    FROM (SELECT power(10::numeric, floor(log(greatest(greatest(highest, 1) / 4, 1))))) AS p (power);
END;
COMMENT ON FUNCTION contacts_tier_internal.page_scale(numeric) IS
'top of an axis from 0, and the distance of its lines';

CREATE FUNCTION contacts_tier_internal.page_axis(top numeric, step numeric, y numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT string_agg(format(E'<path class="%s" d="M112 %sH920"/>\n', CASE n WHEN 0 THEN 'axis' ELSE 'grid' END, at)
                      || contacts_tier_internal.svg_text(104, at + 4, 'q e', 12,
                             CASE WHEN n > 0 AND top > 10000000
                                  THEN rtrim(to_char(n / 1000000, 'FM999,999,999,999,990.99'), '.') || ' M'
                                  ELSE contacts_tier_internal.page_number(n) END, 64), '' ORDER BY n)
    FROM (SELECT n, round(y + 220 - 220 * n / top, 1) FROM generate_series(0, top, step) AS n) AS l (n, at)
);
COMMENT ON FUNCTION contacts_tier_internal.page_axis(numeric, numeric, numeric) IS
'part of a usage page: lines and numbers of the vertical axis';

CREATE FUNCTION contacts_tier_internal.page_steps(at timestamptz[], value bigint[], first timestamptz, last timestamptz, top numeric)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    -- only where the value changes, up to the last instant
    SELECT 'M' || string_agg(format('%s %s', x, y), 'H' ORDER BY n) FILTER (WHERE n = 1)
           || coalesce(string_agg(format('H%sV%s', x, y), '' ORDER BY n) FILTER (WHERE n > 1 AND value IS DISTINCT FROM before), '')
           || 'H' || max(x)
    FROM (SELECT n, value, lag(value) OVER (ORDER BY n) AS before, round(500 - 220 * value / top, 1) AS y,
                 round(112 + 808 * extract(epoch FROM at - first) / extract(epoch FROM last - first), 1) AS x
          FROM unnest(at, value) WITH ORDINALITY AS p (at, value, n)) AS c
);
COMMENT ON FUNCTION contacts_tier_internal.page_steps(timestamptz[], bigint[], timestamptz, timestamptz, numeric) IS
'path of a number that changes in steps, in the chart of a usage page';

CREATE FUNCTION contacts_tier_internal.page_peaks(h record, first timestamptz, last timestamptz, top numeric) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- upright, where the steps on both sides are lower
    RETURN (SELECT E'<path class="edge" d="' || string_agg(format('M%s %sV%s', round(112 + 808 * extract(epoch FROM until - first) / extract(epoch FROM last - first), 1),
                                     round(500 - 220 * greatest(value, next) / top, 1), round(500 - 220 * peak / top, 1)), '' ORDER BY n)
                   || E'"/>\n'
            FROM (SELECT n, value, peak, lead(at) OVER w AS until, lead(value) OVER w AS next
                  FROM unnest(h.at, h.used, h.peak) WITH ORDINALITY AS p (at, value, peak, n) WINDOW w AS (ORDER BY n)) AS c
            WHERE until IS NOT NULL AND peak > greatest(value, next));
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.page_peaks(record, timestamptz, timestamptz, numeric) IS
'part of a usage page: what the count reached between the points of the chart; NULL if nothing';

CREATE FUNCTION contacts_tier_internal.page_limit(at timestamptz[], value bigint[], first timestamptz, last timestamptz,
                                                  top numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    -- where limits change; each is written above its line, if that is long enough
    SELECT string_agg(format(E'<path class="tier" d="M%s %sH%s%s"/>\n', x, y, until, coalesce('V' || next_y, ''))
                      || CASE WHEN until - x >= 12 + 12 * contacts_tier_internal.svg_length(words)
                              THEN contacts_tier_internal.svg_text(x + 6, y - 6, 'tierword halo', 12, words, until - x - 6)
                              ELSE '' END, '' ORDER BY x)
    FROM (SELECT x, y, coalesce(lead(x) OVER (ORDER BY n), 920) AS until, lead(y) OVER (ORDER BY n) AS next_y, value,
                 'tier ' || contacts_tier_internal.page_number(value) AS words
          FROM (SELECT n, value, lag(value) OVER (ORDER BY n) AS before, round(500 - 220 * value / top, 1) AS y,
                       round(112 + 808 * extract(epoch FROM at - first) / extract(epoch FROM last - first), 1) AS x
                FROM unnest(at, value) WITH ORDINALITY AS p (at, value, n)) AS c
          WHERE n = 1 OR value IS DISTINCT FROM before) AS l
    WHERE value IS NOT NULL
);
COMMENT ON FUNCTION contacts_tier_internal.page_limit(timestamptz[], bigint[], timestamptz, timestamptz, numeric) IS
'lines and words of the limits in the chart of a usage page';

CREATE FUNCTION contacts_tier_internal.page_days(dates timestamptz[], first timestamptz, last timestamptz, time_zone text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result text := '';
    span   numeric := extract(epoch FROM last - first);
    -- the year only where it is not clear
    style  text := CASE WHEN span > 300 * 86400 THEN 'FMDD Mon YYYY' WHEN span < 2 * 86400 THEN 'FMDD Mon HH24:MI' ELSE 'FMDD Mon' END;
    room   numeric := 12 * 1.15 * contacts_tier_internal.svg_length(to_char(timestamp '2000-12-30', style));
    every  interval := make_interval(days => greatest(1, ceil(span / 86400 / 7)::integer));
    taken  numeric[] := '{}';
    day    record;
    x      numeric;
BEGIN
    FOR day IN
        SELECT d.at, d.is_date FROM (
            SELECT at, true AS is_date FROM unnest(dates) AS u (at)
            UNION ALL SELECT first, false
            UNION ALL SELECT at AT TIME ZONE time_zone, false
            FROM generate_series(date_trunc('day', first AT TIME ZONE time_zone) + every, last AT TIME ZONE time_zone, every) AS g (at)) AS d
        WHERE d.at BETWEEN first AND last ORDER BY d.is_date DESC, CASE WHEN d.is_date THEN last - d.at ELSE d.at - first END
    LOOP
        x := 112 + 808 * extract(epoch FROM day.at - first) / span;
        IF day.is_date THEN
            result := result || format(E'<path class="update" d="M%s 280V506"/>\n', round(x, 1));
        END IF;
        x := least(greatest(x, 112 + room / 2), 920 - room / 2);
        CONTINUE WHEN EXISTS (SELECT FROM unnest(taken) AS t (place) WHERE abs(t.place - x) < room + 10);
        taken := taken || x;
        result := result || contacts_tier_internal.svg_text(x, 521, CASE WHEN day.is_date THEN 'b m' ELSE 'q m' END, 12,
                                                            to_char(day.at AT TIME ZONE time_zone, style), 2 * room);
    END LOOP;
    RETURN result;
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.page_days(timestamptz[], timestamptz, timestamptz, text) IS
'days below the chart of a usage page, as many as there is room for, and lines at update dates';

CREATE FUNCTION contacts_tier_internal.page_legend() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN contacts_tier_internal.svg_rect(40, 244, 12, 12, 'area', 3) || E'<path class="edge" d="M40 245h12"/>\n'
    || contacts_tier_internal.svg_text(58, 254, 'q', 12.5, 'marketing contacts', 150)
    || contacts_tier_internal.svg_rect(212, 244, 12, 12, 'leaving', 3)
    || contacts_tier_internal.svg_text(230, 254, 'q', 12.5, 'leave on the update date', 190)
    || E'<path class="tier" d="M424 250h20"/>\n'
    || contacts_tier_internal.svg_text(450, 254, 'q', 12.5, 'contact tier', 100)
    || E'<path class="update" d="M567 241v18"/>\n'
    || contacts_tier_internal.svg_text(577, 254, 'q', 12.5, 'update date', 100)
    || E'<path class="ahead" d="M686 250h24"/>\n'
    || contacts_tier_internal.svg_text(718, 254, 'q', 12.5, 'if nothing else changes', 190);
COMMENT ON FUNCTION contacts_tier_internal.page_legend() IS
'part of a usage page: what the colours and lines of the chart mean';

CREATE FUNCTION contacts_tier_internal.page_chart(contacts regclass, account text, since timestamptz, now timestamptz,
                                                  forecast record, time_zone text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    span  interval := now - since;
    -- the next update date is shown unless it would leave little room for what happened
    ahead boolean := coalesce(forecast.next_update_at > now
                              AND forecast.next_update_at <= now + greatest(1.5 * span, '35 days'::interval), false);
    last  timestamptz := CASE WHEN ahead THEN forecast.next_update_at + 0.04 * (forecast.next_update_at - since) ELSE now END;
    h     record;
    dates timestamptz[];
    scale record;
    y     numeric;
    x     numeric;
BEGIN
    SELECT array_agg(u.at ORDER BY u.at) AS at, array_agg(u.marketing_contacts ORDER BY u.at) AS used,
           array_agg(u.pending ORDER BY u.at) AS pending, array_agg(u.contact_limit ORDER BY u.at) AS contact_limit,
           array_agg(u.peak ORDER BY u.at) AS peak, greatest(max(u.peak), max(u.contact_limit)) AS highest INTO h
    FROM contacts_tier_internal.page_history($1, $2, since, greatest(span / 400, '1 minute'::interval)) AS u;
    SELECT array_agg(b.period_end) || CASE WHEN ahead THEN forecast.next_update_at END INTO dates
    FROM contacts_tier.billing_periods($1, $2) AS b WHERE b.closed AND b.period_end >= since;
    scale := contacts_tier_internal.page_scale(h.highest);
    x := round(112 + 808 * extract(epoch FROM now - since) / extract(epoch FROM last - since), 1);
    y := round(500 - 220 * h.used[array_length(h.used, 1)] / scale.top, 1);
    RETURN contacts_tier_internal.svg_text(40, 230, 'b', 16, 'Since ' || to_char(since AT TIME ZONE time_zone, 'FMDD FMMonth YYYY'), 420)
        || contacts_tier_internal.page_legend()
        || contacts_tier_internal.page_axis(scale.top, scale.step, 280)
        || format(E'<path class="area" d="%sV500H112Z"/>\n', contacts_tier_internal.page_steps(h.at, h.used, since, last, scale.top))
        || format(E'<path class="leaving" d="%sV500H112Z"/>\n', contacts_tier_internal.page_steps(h.at, h.pending, since, last, scale.top))
        || contacts_tier_internal.page_days(dates, since, last, time_zone)
        || format(E'<path class="edge" d="%s"/>\n', contacts_tier_internal.page_steps(h.at, h.used, since, last, scale.top))
        || CASE WHEN ahead THEN format(E'<path class="ahead" d="M%s %sH%sV%sH920"/>\n', x, y,
                    round(112 + 808 * extract(epoch FROM forecast.next_update_at - since) / extract(epoch FROM last - since), 1),
                    round(500 - 220 * forecast.at_next_update / scale.top, 1))
                ELSE '' END
        || coalesce(contacts_tier_internal.page_limit(h.at, h.contact_limit, since, last, scale.top), '')
        -- a peak often moves the account up: above the line that shows that
        || coalesce(contacts_tier_internal.page_peaks(h, since, last, scale.top), '')
        || format(E'<path class="now" d="M%1$s 280V500"/>\n<circle class="dot" cx="%1$s" cy="%2$s" r="5"/>\n', x, y)
        || contacts_tier_internal.svg_text(least(x, 904), 275, 'b m', 12, 'now', 60);
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.page_chart(regclass, text, timestamptz, timestamptz, record, text) IS
'part of a usage page: usage in steps under the tiers, update dates, and what comes next';

CREATE FUNCTION contacts_tier_internal.page_sources(contacts regclass, account text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result text := contacts_tier_internal.svg_text(40, 562, 'b', 16, 'Sources of the marketing contacts', 430);
    source record;
    per    numeric;
    y      numeric := 592;
BEGIN
    FOR source IN
        SELECT CASE WHEN t.shown THEN coalesce(min(t.source_type), '(not known)') ELSE format('%s others', count(*)) END AS name,
               sum(t.marketing_contacts) AS used, sum(t.pending) AS leaving, max(sum(t.marketing_contacts)) OVER () AS most, t.shown
        FROM (SELECT s.*, row_number() OVER () <= 5 OR count(*) OVER () <= 6 AS shown
              FROM contacts_tier.sources($1, $2) AS s) AS t
        GROUP BY t.shown, CASE WHEN t.shown THEN t.source_type END ORDER BY t.shown DESC, 2 DESC, 1
    LOOP
        per := 170 / source.most;
        result := result || contacts_tier_internal.svg_text(40, y, 'q', 13, source.name, 142)
            || contacts_tier_internal.svg_rect(190, y - 11, (source.used - source.leaving) * per, 12, 'used', 2)
            || contacts_tier_internal.svg_rect(190 + (source.used - source.leaving) * per, y - 11, source.leaving * per, 12, 'leaving', 2)
            || contacts_tier_internal.svg_text(470, y, 'b e', 13, contacts_tier_internal.page_number(source.used), 106);
        y := y + 27;
    END LOOP;
    IF y = 592 THEN
        result := result || contacts_tier_internal.svg_text(40, y, 'q', 13, 'There are no marketing contacts.', 430);
    END IF;
    RETURN result;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN contacts_tier_internal.svg_text(40, 562, 'b', 16, 'Sources of the marketing contacts', 430)
        || contacts_tier_internal.svg_text(40, 592, 'q', 13, 'Only roles that may read the contacts see them.', 430);
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.page_sources(regclass, text) IS
'part of a usage page: marketing contacts by source; says so if the caller may not read the contacts';

CREATE FUNCTION contacts_tier_internal.page_forecast(contacts regclass, account text, now timestamptz, forecast record, s record)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result text := contacts_tier_internal.svg_text(510, 562, 'b', 16, 'What comes next', 410);
    line   record;
    y      numeric := 592;
BEGIN
    IF forecast.next_update_at IS NULL THEN
        RETURN result || contacts_tier_internal.svg_text(510, y, 'q', 13, 'Without a subscription there is no forecast.', 410);
    END IF;
    FOR line IN
        SELECT l.label, l.value FROM (VALUES
            (contacts_tier_internal.page_day(forecast.next_update_at, s.time_zone, now),
             CASE WHEN forecast.next_update_at <= now THEN 'update date is overdue'
                  ELSE contacts_tier_internal.page_number(forecast.at_next_update) || coalesce(' fit tier '
                       || contacts_tier_internal.page_number(forecast.tier_needed), ', in no tier') END),
            ('Renewal, ' || contacts_tier_internal.page_day(forecast.renews_at, s.time_zone, now),
             CASE WHEN forecast.at_renewal = 0 AND forecast.tier_needed_at_renewal IS NULL THEN 'the subscription ends'
                  ELSE contacts_tier_internal.page_number(forecast.at_renewal) || coalesce(' fit tier '
                       || contacts_tier_internal.page_number(forecast.tier_needed_at_renewal), ', in no tier') END),
            ('If exceeded', CASE s.on_exceed WHEN 'upgrade' THEN 'moves to the next tier' WHEN 'block' THEN 'statements are refused'
                                             ELSE 'the rest is non-marketing' END),
            ('Next tier, ' || contacts_tier_internal.page_number(forecast.next_tier),
             coalesce(contacts_tier_internal.page_amount(forecast.next_tier_extra_price, forecast.currency) || ' more a month', 'no price')),
            ('This period', (SELECT contacts_tier_internal.page_amount(b.total, b.currency)
                             FROM contacts_tier.billing_periods($1, $2) AS b WHERE NOT b.closed)),
            ('of these, tier changes', CASE WHEN forecast.period_charges > 0
                                            THEN contacts_tier_internal.page_amount(forecast.period_charges, forecast.currency) END)
            ) AS l (label, value)
    LOOP
        CONTINUE WHEN line.label IS NULL OR line.value IS NULL;
        result := result || contacts_tier_internal.svg_text(510, y, 'q', 13, line.label, 190)
            || contacts_tier_internal.svg_text(920, y, 'e', 13, line.value, 212);
        y := y + 27;
    END LOOP;
    RETURN result;
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.page_forecast(regclass, text, timestamptz, record, record) IS
'part of a usage page: counts and tiers at the next dates, policy and prices';

CREATE FUNCTION contacts_tier_internal.page_changes(contacts regclass, account text, time_zone text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result text := contacts_tier_internal.svg_text(40, 786, 'b', 16, 'Last changes of the tier', 880);
    change record;
    y      numeric := 816;
BEGIN
    FOR change IN
        SELECT t.* FROM contacts_tier.tier_changes($1, $2) WITH ORDINALITY AS t ORDER BY t.changed_at DESC, t.ordinality LIMIT 5
    LOOP
        result := result
            || contacts_tier_internal.svg_text(40, y, 'q', 13, to_char(change.changed_at AT TIME ZONE time_zone, 'FMDD Mon YYYY'), 116)
            || contacts_tier_internal.svg_text(160, y, '', 13, contacts_tier_internal.page_number(change.from_limit) || ' to '
                   || contacts_tier_internal.page_number(change.to_limit), 236)
            || contacts_tier_internal.svg_text(404, y, 'q', 13,
                   CASE change.reason WHEN 'exceeded' THEN 'exceeded' WHEN 'grace' THEN 'above the limit on the update date'
                                      WHEN 'renewal' THEN 'at renewal' ELSE coalesce(change.reason, 'changed') END
                   || ' with ' || contacts_tier_internal.page_number(change.marketing_contacts) || coalesce(', by ' || change.role, ''), 366)
            || contacts_tier_internal.svg_text(920, y, 'b e', 13,
                   coalesce(contacts_tier_internal.page_amount(change.charge, change.currency), 'no price'), 142);
        y := y + 26;
    END LOOP;
    IF y = 816 THEN
        result := result || contacts_tier_internal.svg_text(40, y, 'q', 13, 'None so far.', 880);
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.page_changes(regclass, text, text) IS
'part of a usage page: the last changes of the tier, with cause and charge';

CREATE FUNCTION contacts_tier.usage_page(contacts regclass, account text, since timestamptz DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s      record;
    u      record;
    f      record;
    now    timestamptz := contacts_tier.clock();
    start  timestamptz;
    zone   text;
    day    text;
    title  text;
    height numeric := 860;
BEGIN
    SELECT p.* INTO s FROM contacts_tier_internal.page_account($1, $2) AS p;
    SELECT p.* INTO f FROM contacts_tier.forecast($1, $2) AS p;
    SELECT p.* INTO u FROM contacts_tier.usage($1, $2) AS p;
    zone := coalesce(s.time_zone, current_setting('TimeZone'));
    day := contacts_tier_internal.page_day(u.next_update_at, zone, now);
    -- a chart needs some width
    SELECT least(min(h.at), now - interval '1 hour') INTO start FROM contacts_tier.usage_history($1, $2, $3, interval '1000 years') AS h;
    title := contacts_tier_internal.page_title(coalesce(u.marketing_contacts, 0), coalesce(u.pending_non_marketing, 0),
                                               u.contact_limit, day, s);
    SELECT 862 + 26 * greatest(least(count(*), 5), 1) INTO height FROM contacts_tier.tier_changes($1, $2);
    RETURN format(E'<svg xmlns="http://www.w3.org/2000/svg" width="960" height="%1$s" viewBox="0 0 960 %1$s" role="img">\n'
                  '<title>%2$s: %3$s</title>\n', height, contacts_tier_internal.svg_words($2, 100000),
                  contacts_tier_internal.svg_words(title, 1000))
        || contacts_tier_internal.page_style()
        || E'<defs><clipPath id="bar"><rect x="40" y="138" width="880" height="24" rx="6"/></clipPath></defs>\n'
        || contacts_tier_internal.svg_rect(0, 0, 960, height, 'page')
        || contacts_tier_internal.svg_text(40, 44, 'q b', 14, $2, 880)
        || contacts_tier_internal.svg_text(40, 84, 'b', least(28, 870 / contacts_tier_internal.svg_length(title) / 1.15), title, 880)
        || contacts_tier_internal.svg_text(40, 112, 'q', 14, concat_ws(', ', 'Plan ' || CASE WHEN length(u.plan) > 24 THEN "left"(u.plan, 22) || '...' ELSE u.plan END,
               rtrim(to_char(u.percent_used, 'FM999,999,999,990.9'), '.') || ' % of the tier', 'next update ' || day,
               'renews ' || contacts_tier_internal.page_day(u.renews_at, zone, now),
               CASE WHEN NOT s.record_activity THEN 'activity is not recorded' END), 880)
        || contacts_tier_internal.page_bar(coalesce(u.marketing_contacts, 0), coalesce(u.pending_non_marketing, 0),
                                           CASE WHEN s.ended_at IS NULL THEN coalesce(u.contact_limit, 0) ELSE 0 END, day)
        || contacts_tier_internal.page_chart($1, $2, start, now, f, zone)
        || contacts_tier_internal.page_sources($1, $2)
        || contacts_tier_internal.page_forecast($1, $2, now, f, s)
        || contacts_tier_internal.page_changes($1, $2, zone)
        || contacts_tier_internal.svg_text(40, height - 24, 'q', 11.5,
               format('As of %s, %s.', to_char(now AT TIME ZONE zone, 'FMDD FMMonth YYYY, HH24:MI'), zone), 880)
        || '</svg>';
END
$$;
COMMENT ON FUNCTION contacts_tier.usage_page(regclass, text, timestamptz) IS
'the usage of an account as a picture (SVG): how many of how many, over time, by source, what comes next and what it costs';

CREATE FUNCTION contacts_tier.usage_page(contacts regclass, account anyelement, since timestamptz DEFAULT NULL) RETURNS text
LANGUAGE sql STABLE
AS 'SELECT contacts_tier.usage_page($1, $2::pg_catalog.text, $3)';
------------------------------------------------------------------------------
-- Rollover: applying the update dates
------------------------------------------------------------------------------

CREATE PROCEDURE contacts_tier.rollover(contacts regclass DEFAULT NULL,
                                        account text DEFAULT NULL,
                                        batch_size integer DEFAULT 10000)
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_rollover';
COMMENT ON PROCEDURE contacts_tier.rollover(regclass, text, integer) IS
'applies the update dates that have passed, in batches that it commits; in a transaction block it does not commit';

CREATE FUNCTION contacts_tier.rollover_progress(OUT contacts regclass,
                                                OUT run uuid,
                                                OUT in_progress boolean,
                                                OUT started_at timestamptz,
                                                OUT finished_at timestamptz,
                                                OUT accounts_done bigint,
                                                OUT accounts_to_do bigint,
                                                OUT contacts_done bigint,
                                                OUT contacts_to_do bigint,
                                                OUT accounts_failed bigint,
                                                OUT accounts_skipped bigint,
                                                OUT failures jsonb,
                                                OUT skipped jsonb)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_rollover_progress';
COMMENT ON FUNCTION contacts_tier.rollover_progress() IS
'runs of rollover(): what is done, what is to do, what failed or was skipped; a row without a run has what statements applied';

CREATE FUNCTION contacts_tier.schedule_rollover(schedule text DEFAULT '*/5 * * * *') RETURNS bigint
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
COMMENT ON FUNCTION contacts_tier.schedule_rollover(text) IS
'creates a job of pg_cron that calls rollover() as the current role, or changes the schedule of that job; returns its number';

CREATE FUNCTION contacts_tier.unschedule_rollover() RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
        RETURN false;
    END IF;
    IF NOT EXISTS (SELECT FROM cron.job j
                   WHERE j.jobname = 'contacts_tier rollover' AND j.username = current_user) THEN
        RETURN false;
    END IF;
    RETURN cron.unschedule('contacts_tier rollover');
END
$$;
COMMENT ON FUNCTION contacts_tier.unschedule_rollover() IS
'removes the job that schedule_rollover() created for the current role; returns false if there is none';

------------------------------------------------------------------------------
-- Tools: which contacts they can use, and the guard of a table of what they send
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier_internal.can_use_support(internal) RETURNS internal
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'contacts_tier_can_use_support';
COMMENT ON FUNCTION contacts_tier_internal.can_use_support(internal) IS
'planner support function of can_use(): replaces it by a condition on the status, which an index can serve';

CREATE FUNCTION contacts_tier.can_use(tool text, status contacts_tier.marketing_status) RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE SUPPORT contacts_tier_internal.can_use_support
AS 'MODULE_PATHNAME', 'contacts_tier_can_use';
COMMENT ON FUNCTION contacts_tier.can_use(text, contacts_tier.marketing_status) IS
'true if the tool can use a contact of this status; in WHERE an index on the status serves';

CREATE FUNCTION contacts_tier.can_use(tool text, status boolean) RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE SUPPORT contacts_tier_internal.can_use_support
AS 'MODULE_PATHNAME', 'contacts_tier_can_use';
COMMENT ON FUNCTION contacts_tier.can_use(text, boolean) IS
'the same for a status column of type boolean';

-- For literals and parameters: a status that is not known to be of one of the two types is
-- of this one, as PostgreSQL prefers text to all others.
CREATE FUNCTION contacts_tier.can_use(tool text, status text) RETURNS boolean
LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_can_use_text';
COMMENT ON FUNCTION contacts_tier.can_use(text, text) IS
'the same for a status that is a literal or a parameter: marketing or non_marketing';

CREATE FUNCTION contacts_tier_internal.tool_changed() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_tool_changed';
COMMENT ON FUNCTION contacts_tier_internal.tool_changed() IS
'trigger: invalidates what sessions have cached of the tools, and the plans that depend on them';
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE ON contacts_tier.tool
    FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.tool_changed();
CREATE TRIGGER changed_truncate AFTER TRUNCATE ON contacts_tier.tool
    FOR EACH STATEMENT EXECUTE FUNCTION contacts_tier_internal.tool_changed();
ALTER TABLE contacts_tier.tool ENABLE ALWAYS TRIGGER changed, ENABLE ALWAYS TRIGGER changed_truncate;

CREATE FUNCTION contacts_tier.audience(contacts regclass,
                                       account text,
                                       tool text,
                                       OUT reason text,
                                       OUT contacts bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 3 AS 'MODULE_PATHNAME', 'contacts_tier_audience';
COMMENT ON FUNCTION contacts_tier.audience(regclass, text, text) IS
'contacts of an account that the tool can use (OK), and those that it cannot, by reason';

CREATE FUNCTION contacts_tier_internal.guard_send() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_guard_send';
COMMENT ON FUNCTION contacts_tier_internal.guard_send() IS
'BEFORE INSERT OR UPDATE row trigger of a guarded table: checks whether the tool of a row can use its contact';

CREATE FUNCTION contacts_tier.guard(sends regclass,
                                    tool_column name,
                                    contact_column name,
                                    contacts regclass,
                                    on_excluded text DEFAULT 'reject',
                                    reason_column name DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_guard';
COMMENT ON FUNCTION contacts_tier.guard(regclass, name, name, regclass, text, name) IS
'guards a table whose rows each name a tool and a contact: a row whose tool cannot use its contact is rejected, skipped or marked';

CREATE FUNCTION contacts_tier.unguard(sends regclass) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_unguard';
COMMENT ON FUNCTION contacts_tier.unguard(regclass) IS
'drops the guard of a table';

------------------------------------------------------------------------------
-- Two contacts become one; what a source promoted is taken back
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier.merge_contacts(contacts regclass, winner text, loser text) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_merge_contacts';
COMMENT ON FUNCTION contacts_tier.merge_contacts(regclass, text, text) IS
'merges two contacts of an account, given by their primary keys: the winner is a marketing contact if either was one, the loser is deleted';

CREATE FUNCTION contacts_tier.merge_contacts(contacts regclass, winner anyelement, loser anyelement) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_merge_contacts';
COMMENT ON FUNCTION contacts_tier.merge_contacts(regclass, anyelement, anyelement) IS
'merges two contacts of an account; the same with primary keys in their own type';

CREATE FUNCTION contacts_tier.undo_promotion(contacts regclass,
                                             account text,
                                             source_type text,
                                             source_name text,
                                             since timestamptz,
                                             OUT taken_back bigint,
                                             OUT left_alone bigint,
                                             OUT from_limit bigint,
                                             OUT to_limit bigint)
RETURNS record
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_undo_promotion';
COMMENT ON FUNCTION contacts_tier.undo_promotion(regclass, text, text, text, timestamptz) IS
'undoes what a source promoted since an instant of the current billing period, and a tier change that nothing else needed';

CREATE FUNCTION contacts_tier.explain_change(contacts regclass,
                                             account text,
                                             entry uuid DEFAULT NULL,
                                             OUT line text,
                                             OUT recorded_at timestamptz,
                                             OUT ended_at timestamptz,
                                             OUT role text,
                                             OUT source_type text,
                                             OUT source_name text,
                                             OUT statements bigint,
                                             OUT promoted bigint,
                                             OUT demoted bigint,
                                             OUT count_before bigint,
                                             OUT count_after bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'contacts_tier_explain_change';
COMMENT ON FUNCTION contacts_tier.explain_change(regclass, text, uuid) IS
'why an account is in another tier, in sentences: the change, its charge, its statement, and what each source had promoted by then';
------------------------------------------------------------------------------
-- Verification of the counters, by a count over the attached tables
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier.verify(INOUT contacts regclass DEFAULT NULL,
                                     IN record boolean DEFAULT false,
                                     OUT account text,
                                     OUT counted bigint,
                                     OUT actual bigint,
                                     OUT drift bigint,
                                     OUT pending_counted bigint,
                                     OUT pending_actual bigint)
RETURNS SETOF record
LANGUAGE c ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_verify';
COMMENT ON FUNCTION contacts_tier.verify(regclass, boolean) IS
'counters of each account beside a count of its contacts; drift is counted minus actual, and should be 0; with record the ledger has it, too';

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
'corrects what verify() finds, and rows and partitions that bypassed the triggers; returns the accounts that it corrected';

------------------------------------------------------------------------------
-- Metrics, for members of pg_monitor: of all schemas, whatever else they can read
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier_internal.metrics(OUT schema text,
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
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'contacts_tier_metrics';
COMMENT ON FUNCTION contacts_tier_internal.metrics() IS
'of each set of companion tables on this node, of which a schema of distributed ones has several, for contacts_tier.metrics()';

CREATE FUNCTION contacts_tier_internal.is_in_cluster() RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regclass('pg_catalog.pg_dist_node') IS NULL THEN
        RETURN false;
    END IF;
    RETURN (SELECT count(*) > 1 FROM pg_dist_node);
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.is_in_cluster() IS
'true if this server is one of several nodes of Citus';

-- Rows of a function of ours on all nodes of a cluster of Citus
CREATE FUNCTION contacts_tier_internal.on_all_nodes(rows text) RETURNS SETOF jsonb
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
COMMENT ON FUNCTION contacts_tier_internal.on_all_nodes(text) IS
'rows of a function, as JSON, on all nodes of a cluster of Citus';

CREATE FUNCTION contacts_tier.metrics(OUT schema text,
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
COMMENT ON FUNCTION contacts_tier.metrics() IS
'metrics of each schema with companion tables, of all nodes, for members of pg_monitor; reads no contacts';

CREATE FUNCTION contacts_tier_internal.account_metrics(IN top integer,
                                                       OUT schema text,
                                                       OUT account text,
                                                       OUT marketing_contacts bigint,
                                                       OUT pending_non_marketing bigint,
                                                       OUT contact_limit bigint,
                                                       OUT ratio numeric,
                                                       OUT next_update_at timestamptz)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_account_metrics';
COMMENT ON FUNCTION contacts_tier_internal.account_metrics(integer) IS
'of each schema the accounts nearest to their limits, for contacts_tier.account_metrics()';

-- A crafted type can give several accounts the same text, which would be one label.
CREATE FUNCTION contacts_tier.account_metrics(IN top integer DEFAULT 100,
                                              OUT schema text,
                                              OUT account text,
                                              OUT marketing_contacts bigint,
                                              OUT pending_non_marketing bigint,
                                              OUT contact_limit bigint,
                                              OUT ratio numeric,
                                              OUT next_update_at timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql STABLE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF contacts_tier_internal.is_in_cluster() THEN
        RETURN QUERY
            SELECT m.* FROM contacts_tier_internal.on_all_nodes(
                                format('contacts_tier_internal.account_metrics(%s)', coalesce(account_metrics.top::text, 'NULL'))) n,
                            jsonb_to_record(n) AS m (schema text, account text, marketing_contacts bigint, pending_non_marketing bigint,
                                                     contact_limit bigint, ratio numeric, next_update_at timestamptz)
            ORDER BY m.ratio DESC, m.schema, m.account LIMIT account_metrics.top;
        RETURN;
    END IF;
    RETURN QUERY
        SELECT m.* FROM (SELECT DISTINCT ON (m.schema, m.account) m.*
                         FROM contacts_tier_internal.account_metrics(account_metrics.top) m
                         ORDER BY m.schema, m.account, m.ratio DESC) m
        -- below 0 is refused where the metrics are read
        ORDER BY m.ratio DESC, m.schema, m.account LIMIT CASE WHEN account_metrics.top >= 0 THEN account_metrics.top END;
END
$$;
COMMENT ON FUNCTION contacts_tier.account_metrics(integer) IS
'accounts nearest to their limits, nearest first, for members of pg_monitor';
------------------------------------------------------------------------------
-- Views of the reports, for all tables that the caller can read.  They have tables by name,
-- since many clients do not know regclass.
------------------------------------------------------------------------------

CREATE VIEW contacts_tier.accounts WITH (security_invoker = true) AS
    SELECT u.contacts::text AS contacts, n.nspname::text AS table_schema, c.relname::text AS table_name, u.account, u.plan, u.contact_limit, u.marketing_contacts,
           u.pending_non_marketing, u.projected_marketing_contacts, u.available, u.percent_used,
           u.alert, u.next_update_at, u.renews_at
    FROM contacts_tier.usage() u
    LEFT JOIN pg_catalog.pg_class c ON c.oid = u.contacts
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace;
COMMENT ON VIEW contacts_tier.accounts IS 'accounts, their marketing contacts and contact tier, as usage() has them';
COMMENT ON COLUMN contacts_tier.accounts.contacts IS 'table of contacts; the first of those that share their counters';
COMMENT ON COLUMN contacts_tier.accounts.table_schema IS 'schema of that table';
COMMENT ON COLUMN contacts_tier.accounts.table_name IS 'name of that table, whatever the search_path';
COMMENT ON COLUMN contacts_tier.accounts.account IS 'account that the contacts belong to';
COMMENT ON COLUMN contacts_tier.accounts.plan IS 'plan that the account is subscribed to';
COMMENT ON COLUMN contacts_tier.accounts.contact_limit IS 'contact limit of the current tier';
COMMENT ON COLUMN contacts_tier.accounts.marketing_contacts IS 'number of marketing contacts';
COMMENT ON COLUMN contacts_tier.accounts.pending_non_marketing IS 'how many of these become non-marketing on the next update date';
COMMENT ON COLUMN contacts_tier.accounts.projected_marketing_contacts IS 'how many will be left then';
COMMENT ON COLUMN contacts_tier.accounts.available IS 'number of contacts that fit into the tier, without the grace';
COMMENT ON COLUMN contacts_tier.accounts.percent_used IS 'marketing contacts in percent of the limit';
COMMENT ON COLUMN contacts_tier.accounts.alert IS 'notice from the first threshold on, banner from 98 %';
COMMENT ON COLUMN contacts_tier.accounts.next_update_at IS 'next update date';
COMMENT ON COLUMN contacts_tier.accounts.renews_at IS 'renewal date of the contract';

CREATE VIEW contacts_tier.bills WITH (security_invoker = true) AS
    SELECT b.contacts::text AS contacts, n.nspname::text AS table_schema, c.relname::text AS table_name, b.account, b.period_start, b.period_end, b.closed, b.plan,
           b.contact_limit, b.opening, b.peak, b.closing, b.promoted, b.demoted, b.corrected,
           b.upgrades, b.monthly_price, b.month_share, b.tier_charges, b.total, b.currency
    FROM contacts_tier.billing_periods() b
    LEFT JOIN pg_catalog.pg_class c ON c.oid = b.contacts
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace;
COMMENT ON VIEW contacts_tier.bills IS 'billing periods of all accounts, as billing_periods() has them';
COMMENT ON COLUMN contacts_tier.bills.contacts IS 'table of contacts; the first of those that share their counters';
COMMENT ON COLUMN contacts_tier.bills.table_schema IS 'schema of that table';
COMMENT ON COLUMN contacts_tier.bills.table_name IS 'name of that table, whatever the search_path';
COMMENT ON COLUMN contacts_tier.bills.account IS 'account that is billed';
COMMENT ON COLUMN contacts_tier.bills.period_start IS 'start of the billing period';
COMMENT ON COLUMN contacts_tier.bills.period_end IS 'end of the billing period, the update date';
COMMENT ON COLUMN contacts_tier.bills.closed IS 'false for the current period';
COMMENT ON COLUMN contacts_tier.bills.plan IS 'plan at the start of the period';
COMMENT ON COLUMN contacts_tier.bills.contact_limit IS 'contact limit of the tier at the start of the period';
COMMENT ON COLUMN contacts_tier.bills.opening IS 'number of marketing contacts at the start';
COMMENT ON COLUMN contacts_tier.bills.peak IS 'highest number after any statement of the period';
COMMENT ON COLUMN contacts_tier.bills.closing IS 'number at the end, or now';
COMMENT ON COLUMN contacts_tier.bills.promoted IS 'number of contacts that became marketing contacts';
COMMENT ON COLUMN contacts_tier.bills.demoted IS 'number of contacts that ceased to be';
COMMENT ON COLUMN contacts_tier.bills.corrected IS 'number that partitions, attach() and repair() added, minus those that they removed';
COMMENT ON COLUMN contacts_tier.bills.upgrades IS 'number of moves to a larger tier';
COMMENT ON COLUMN contacts_tier.bills.monthly_price IS 'monthly price of the tier at the start of the period';
COMMENT ON COLUMN contacts_tier.bills.month_share IS 'share of a month that the period pays for';
COMMENT ON COLUMN contacts_tier.bills.tier_charges IS 'sum of the charges for tier changes in the period';
COMMENT ON COLUMN contacts_tier.bills.total IS 'monthly price times share of the month, and tier charges';
COMMENT ON COLUMN contacts_tier.bills.currency IS 'currency of the amounts';

CREATE VIEW contacts_tier.overdue WITH (security_invoker = true) AS
    SELECT u.contacts::text AS contacts, n.nspname::text AS table_schema, c.relname::text AS table_name, u.account, u.plan, u.next_update_at AS overdue_since,
           contacts_tier.clock() - u.next_update_at AS overdue_for, u.pending_non_marketing
    FROM contacts_tier.usage() u
    LEFT JOIN pg_catalog.pg_class c ON c.oid = u.contacts
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE u.next_update_at <= contacts_tier.clock();
COMMENT ON VIEW contacts_tier.overdue IS 'accounts whose update date has passed and is not applied yet; rollover() applies it';
COMMENT ON COLUMN contacts_tier.overdue.contacts IS 'table of contacts; the first of those that share their counters';
COMMENT ON COLUMN contacts_tier.overdue.table_schema IS 'schema of that table';
COMMENT ON COLUMN contacts_tier.overdue.table_name IS 'name of that table, whatever the search_path';
COMMENT ON COLUMN contacts_tier.overdue.account IS 'account whose update date has passed';
COMMENT ON COLUMN contacts_tier.overdue.plan IS 'plan that the account is subscribed to';
COMMENT ON COLUMN contacts_tier.overdue.overdue_since IS 'update date that has passed and is not applied';
COMMENT ON COLUMN contacts_tier.overdue.overdue_for IS 'how long ago that was';
COMMENT ON COLUMN contacts_tier.overdue.pending_non_marketing IS 'number of contacts that become non-marketing when it is applied';
------------------------------------------------------------------------------
-- An account in its own type.  Each function that has an account as text has an overload
-- with anyelement for it, of the same C function, which reads it by ct_account_argument().
-- It has no default for the account, so what is called without one is the other function; and
-- literals and parameters that are not known to be of a type are text, which PostgreSQL
-- prefers.  An argument that is IN and OUT becomes two, so that the result is text as well.
------------------------------------------------------------------------------

DO $$
DECLARE
    f    record;
    args text;
BEGIN
    FOR f IN
        SELECT p.oid, p.proname, p.prosrc, p.provolatile, p.prorows, p.proargnames AS names,
               coalesce(p.proallargtypes, ARRAY(SELECT unnest(p.proargtypes))) AS types,
               coalesce(p.proargmodes, array_fill('i'::"char", ARRAY[p.pronargs::integer])) AS modes,
               CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END AS kind,
               CASE WHEN p.prokind = 'p' THEN '' ELSE ' RETURNS ' || pg_get_function_result(p.oid) END AS returns,
               p.proretset
        FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'contacts_tier'::regnamespace
          AND p.proargnames[2] = 'account' AND p.proargtypes[1] = 'text'::regtype
          AND p.proname IN ('subscribe', 'change_tier', 'approve_upgrade', 'cancel', 'set_policy', 'has_access',
                            'rename_account', 'usage', 'banner', 'tier_changes', 'billing_periods', 'notifications', 'activity',
                            'forecast', 'preview', 'rollover', 'audience', 'usage_history', 'sources',
                            'undo_promotion', 'explain_change', 'ineligible')
    LOOP
        SELECT string_agg(CASE WHEN n = 1 THEN 'contacts regclass'
                               WHEN n = 2 THEN 'account anyelement'
                               -- of another type, too: rename_account('contacts', id, 7) where id is a bigint
                               WHEN f.names[n] = 'new_account' THEN 'new_account anycompatible'
                               ELSE format('%I %s', f.names[n], format_type(f.types[n], NULL))
                                    || coalesce(' DEFAULT ' || pg_get_function_arg_default(f.oid, n::integer), '')
                          END, ', ' ORDER BY n) FILTER (WHERE f.modes[n] IN ('i', 'b'))
               || coalesce(string_agg(format(', OUT %I %s', f.names[n], format_type(f.types[n], NULL)), '' ORDER BY n)
                           FILTER (WHERE f.modes[n] IN ('b', 'o')), '')
        INTO args
        FROM generate_subscripts(f.types, 1) AS n;
        EXECUTE format('CREATE %s contacts_tier.%I(%s)%s LANGUAGE c%s%s AS ''MODULE_PATHNAME'', %L',
                       f.kind, f.proname, args, f.returns,
                       CASE f.provolatile WHEN 's' THEN ' STABLE' ELSE '' END,
                       CASE WHEN f.proretset THEN format(' ROWS %s', f.prorows) ELSE '' END, f.prosrc);
    END LOOP;

    FOR f IN
        SELECT p.oid::regprocedure AS signature
        FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'contacts_tier'::regnamespace AND p.proargtypes[1] = 'anyelement'::regtype
    LOOP
        EXECUTE format('COMMENT ON ROUTINE %s IS ''the same as with text, for an account that is given in its own type''', f.signature);
    END LOOP;
END
$$;
------------------------------------------------------------------------------
-- Operating: provenance, privileges, uninstalling, test suites
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier.set_source(source_type text, source_name text DEFAULT NULL, is_local boolean DEFAULT true)
RETURNS void
LANGUAGE sql VOLATILE
BEGIN ATOMIC
    SELECT set_config('contacts_tier.source_type', coalesce(source_type, ''), coalesce(is_local, true));
    SELECT set_config('contacts_tier.source_name', coalesce(source_name, ''), coalesce(is_local, true));
END;
COMMENT ON FUNCTION contacts_tier.set_source(text, text, boolean) IS
'sets the source of what the transaction does, or the session if is_local is false; null clears it';

-- Public functions that are neither for everybody nor for monitors are for owners, and those
-- that attach(), guard() and uninstall() call.
CREATE FUNCTION contacts_tier_internal.grant_functions(role name) RETURNS void
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
COMMENT ON FUNCTION contacts_tier_internal.grant_functions(name) IS
'grants a role EXECUTE on the functions that the owner of attached tables needs, on this node';

CREATE FUNCTION contacts_tier.grant_owner(role name) RETURNS void
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
COMMENT ON FUNCTION contacts_tier.grant_owner(name) IS
'grants a role what the owner of attached tables needs: EXECUTE on the functions that change something, and INSERT on plans';

-- Its own grants: EXECUTE on reports is everybody's.
CREATE FUNCTION contacts_tier.grant_reader(contacts regclass, role name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema   name;
    readable name;
    banner   regprocedure;
BEGIN
    IF contacts IS NULL OR role IS NULL THEN
        RAISE null_value_not_allowed
            USING MESSAGE = format('argument "%s" must not be null', CASE WHEN contacts IS NULL THEN 'contacts' ELSE 'role' END);
    END IF;
    SELECT t.companion_schema, coalesce(nullif(t.account_column, ''), t.status_column) INTO schema, readable
    FROM contacts_tier.attached() t WHERE t.contacts = grant_reader.contacts;
    IF NOT FOUND THEN
        RAISE object_not_in_prerequisite_state
            USING MESSAGE = format('table "%s" is not attached', (SELECT c.relname FROM pg_class c WHERE c.oid = grant_reader.contacts)),
                  HINT = 'Use contacts_tier.attached() to list attached tables.';
    END IF;
    IF NOT pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = grant_reader.contacts), 'USAGE') THEN
        RAISE insufficient_privilege USING MESSAGE = format('must be owner of table %s', contacts);
    END IF;
    IF NOT has_schema_privilege(role, schema, 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', schema, role);
    END IF;
    EXECUTE format('GRANT SELECT ON %1$I.contacts_tier_account, %1$I.contacts_tier_counter, %1$I.contacts_tier_ledger TO %2$I',
                   schema, role);
    -- a role that sees the banner of a table reads a column of it
    IF NOT has_any_column_privilege(role, contacts, 'SELECT') THEN
        EXECUTE format('GRANT SELECT (%I) ON %s TO %I', readable, contacts, role);
    END IF;
    FOR banner IN
        SELECT p.oid::regprocedure FROM pg_proc p
        WHERE p.pronamespace = 'contacts_tier'::regnamespace AND p.proname = 'banner'
          AND NOT has_function_privilege(role, p.oid, 'EXECUTE')
        ORDER BY p.oid
    LOOP
        IF NOT has_function_privilege(banner, 'EXECUTE WITH GRANT OPTION') THEN
            RAISE WARNING USING
                MESSAGE = format('role "%s" was not granted contacts_tier.banner()', role),
                HINT = format('Have a role that may grant it run: SELECT contacts_tier.grant_owner(%L).', current_user);
            EXIT;
        END IF;
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', banner, role);
    END LOOP;
END
$$;
COMMENT ON FUNCTION contacts_tier.grant_reader(regclass, name) IS
'grants a role what reports and banner() need: SELECT on the companion tables, and on one column of the contacts';

CREATE FUNCTION contacts_tier_internal.release_columns(relation regclass) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_release_columns';
COMMENT ON FUNCTION contacts_tier_internal.release_columns(regclass) IS
'converts columns that have a type of the extension to text, and drops defaults that call it, for uninstall()';

CREATE FUNCTION contacts_tier_internal.guarded_by(contacts regclass) RETURNS SETOF regclass
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT t.tgrelid::regclass
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
         -- arguments end with a zero byte each
         LATERAL (SELECT convert_to(n.nspname, getdatabaseencoding()) || decode('00', 'hex')
                         || convert_to(c.relname, getdatabaseencoding()) || decode('00', 'hex')) AS k (key),
         pg_trigger t
    WHERE c.oid = contacts AND t.tgparentid = 0
      AND t.tgfoid = 'contacts_tier_internal.guard_send()'::regprocedure
      AND substring(t.tgargs FROM 1 FOR octet_length(key)) = key
    ORDER BY t.tgrelid;
END;
COMMENT ON FUNCTION contacts_tier_internal.guarded_by(regclass) IS
'tables of sends whose guard looks contacts of this table up, for uninstall()';

CREATE FUNCTION contacts_tier.uninstall(contacts regclass, drop_columns boolean DEFAULT false, drop_history boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    schema    name;
    owner     oid;
    companion text;
    sends     regclass;
BEGIN
    SELECT t.companion_schema INTO schema FROM contacts_tier.attached() t WHERE t.contacts = uninstall.contacts;
    SELECT c.relowner INTO owner FROM pg_class c WHERE c.oid = uninstall.contacts;
    -- of a table whose companion tables are not all there, its triggers say where they were
    IF schema IS NULL THEN
        SELECT convert_from(substring(t.tgargs FROM 1 FOR position('\x00'::bytea IN t.tgargs) - 1), getdatabaseencoding())
        INTO schema
        FROM pg_trigger t
        WHERE t.tgrelid = uninstall.contacts
          AND t.tgfoid IN ('contacts_tier_internal.maintain_status()'::regprocedure,
                           'contacts_tier_internal.count_contact()'::regprocedure)
        LIMIT 1;
    END IF;
    -- as writers do it: the guarded table is locked before the contacts
    FOR sends IN SELECT g.sends FROM contacts_tier_internal.guarded_by(contacts) AS g (sends) LOOP
        IF pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = sends), 'USAGE') THEN
            PERFORM contacts_tier.unguard(sends);
        END IF;
    END LOOP;
    PERFORM contacts_tier.detach(contacts, drop_columns);
    PERFORM contacts_tier_internal.release_columns(contacts);
    FOR sends IN SELECT g.sends FROM contacts_tier_internal.guarded_by(contacts) AS g (sends) LOOP
        RAISE WARNING USING MESSAGE = format('table "%s" is still guarded', (SELECT c.relname FROM pg_class c WHERE c.oid = sends)),
            DETAIL = 'The extension cannot be dropped while a table is guarded.',
            HINT = format('Have its owner run: SELECT contacts_tier.unguard(%L).', sends);
    END LOOP;
    IF EXISTS (SELECT FROM contacts_tier.attached() t WHERE t.companion_schema = schema) THEN
        RAISE NOTICE USING MESSAGE = format('companion tables of schema "%s" remain, because other attached tables share them', schema);
        RETURN;
    END IF;
    -- of a distributed table: never anything but ours
    IF EXISTS (SELECT FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
               WHERE t.tgrelid = to_regclass(format('%I.contacts_tier_call', schema)) AND c.relowner = owner
                 AND t.tgfoid = 'contacts_tier_internal.run_call()'::regprocedure) THEN
        EXECUTE format('DROP TABLE %I.contacts_tier_call', schema);
    END IF;
    FOREACH companion IN ARRAY '{contacts_tier_account, contacts_tier_counter, contacts_tier_ledger}'::text[] LOOP
        -- the creator of a trigger chooses its arguments: tables of other owners are not touched
        IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = to_regclass(format('%I.%I', schema, companion))
                          AND c.relkind IN ('r', 'p') AND c.relowner = owner) THEN
            RAISE WARNING USING MESSAGE = format('companion table "%s.%s" of table %s was not found', schema, companion, contacts),
                HINT = 'If it was renamed, or has another owner now, drop it before the extension.';
        ELSIF drop_history THEN
            EXECUTE format('DROP TABLE %I.%I', schema, companion);
        ELSE
            PERFORM contacts_tier_internal.release_columns(format('%I.%I', schema, companion)::regclass);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION contacts_tier.uninstall(regclass, boolean, boolean) IS
'detaches a table and converts its status to text, so that the extension can be dropped; companion tables remain unless drop_history is true';

CREATE FUNCTION contacts_tier.reset(contacts regclass, cascade boolean DEFAULT false) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_reset';
COMMENT ON FUNCTION contacts_tier.reset(regclass, boolean) IS
'for test suites: empties the attached tables that share companion tables, and these; with cascade also tables that reference them';


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
