
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
