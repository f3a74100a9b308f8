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

