------------------------------------------------------------------------------
-- Trigger functions.  Every trigger of an attached table carries the same
-- arguments: the schema of the companion tables, the account column ('' where
-- the whole table is one account), and the five status columns.
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier_internal.maintain_status() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_maintain_status';
COMMENT ON FUNCTION contacts_tier_internal.maintain_status() IS
'BEFORE INSERT OR UPDATE row trigger: keeps the status properties of a contact';

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
'BEFORE TRUNCATE trigger: takes the contacts that go off the counters';

------------------------------------------------------------------------------
-- What statements evaluate.  attach() makes the first ones defaults of the status columns
-- where there are none.
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier_internal.default_status() RETURNS contacts_tier.marketing_status
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_not_given';
COMMENT ON FUNCTION contacts_tier_internal.default_status() IS
'default of the status: NULL, which leaves it to maintain_status(); the planner loads the library to find that out';

CREATE FUNCTION contacts_tier_internal.default_until_next_update() RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_not_given';
COMMENT ON FUNCTION contacts_tier_internal.default_until_next_update() IS
'default of the flag: NULL, which leaves it to maintain_status(); the planner loads the library to find that out';

CREATE FUNCTION contacts_tier_internal.default_source_type() RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_not_given';
COMMENT ON FUNCTION contacts_tier_internal.default_source_type() IS
'default of the source type: NULL, which leaves it to maintain_status(); the planner loads the library to find that out';

CREATE FUNCTION contacts_tier_internal.default_source_name() RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_not_given';
COMMENT ON FUNCTION contacts_tier_internal.default_source_name() IS
'default of the source name: NULL, which leaves it to maintain_status(); the planner loads the library to find that out';

CREATE FUNCTION contacts_tier_internal.default_updated_at() RETURNS timestamptz
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_not_given';
COMMENT ON FUNCTION contacts_tier_internal.default_updated_at() IS
'default of the time: NULL, which leaves it to maintain_status(); the planner loads the library to find that out';

CREATE FUNCTION contacts_tier_internal.is_given(property integer, is_set boolean) RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'contacts_tier_is_given';
COMMENT ON FUNCTION contacts_tier_internal.is_given(integer, boolean) IS
'whether the row that an INSERT ... ON CONFLICT has proposed was given a status property: what was not is NULL in EXCLUDED';

CREATE FUNCTION contacts_tier_internal.given_flag() RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'contacts_tier_given_flag';
COMMENT ON FUNCTION contacts_tier_internal.given_flag() IS
'the flag that this row was given, whatever it would be as a new contact';

CREATE FUNCTION contacts_tier_internal.library_loaded() RETURNS boolean
LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_library_loaded';
COMMENT ON FUNCTION contacts_tier_internal.library_loaded() IS
'always true: as part of an index predicate it has the library loaded when a statement on the table is planned';

CREATE FUNCTION contacts_tier.attached(OUT contacts regclass,
                                       OUT companion_schema name,
                                       OUT account_column name,
                                       OUT status_column name,
                                       OUT until_next_update_column name,
                                       OUT source_type_column name,
                                       OUT source_name_column name,
                                       OUT updated_at_column name)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'contacts_tier_attached';
COMMENT ON FUNCTION contacts_tier.attached() IS
'the attached tables, where their companion tables are and what their columns are called, read from the arguments of their triggers';

