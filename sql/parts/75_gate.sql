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
