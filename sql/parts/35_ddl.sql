
------------------------------------------------------------------------------
-- Commands that change tables.  These event triggers keep the counters exact when
-- partitions come and go; they do nothing about tables that have nothing to do
-- with an attached one.
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier_internal.command_starts() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_command_starts';
COMMENT ON FUNCTION contacts_tier_internal.command_starts() IS
'event trigger: has the library loaded before a command changes tables, and refuses what cannot be counted';

CREATE FUNCTION contacts_tier_internal.command_ends() RETURNS event_trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_command_ends';
COMMENT ON FUNCTION contacts_tier_internal.command_ends() IS
'event trigger: counts the contacts of partitions that came to an attached table or left it';

CREATE EVENT TRIGGER contacts_tier_command_starts ON ddl_command_start
    EXECUTE FUNCTION contacts_tier_internal.command_starts();
COMMENT ON EVENT TRIGGER contacts_tier_command_starts IS
'contacts_tier: has the library loaded before a command changes tables';

CREATE EVENT TRIGGER contacts_tier_command_ends ON ddl_command_end
    EXECUTE FUNCTION contacts_tier_internal.command_ends();
COMMENT ON EVENT TRIGGER contacts_tier_command_ends IS
'contacts_tier: keeps the counters exact when partitions come and go';
