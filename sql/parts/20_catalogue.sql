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
