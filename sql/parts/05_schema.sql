------------------------------------------------------------------------------
-- Schemas.  Public functions stand in contacts_tier, which CREATE EXTENSION creates; what
-- only triggers, column defaults, index predicates and the extension itself call stands in
-- contacts_tier_internal.  If somebody else has created a schema of this name, the extension
-- must not adopt it: CREATE EXTENSION fails.
------------------------------------------------------------------------------

CREATE SCHEMA contacts_tier_internal;
COMMENT ON SCHEMA contacts_tier_internal IS
'functions that triggers, column defaults and the extension contacts_tier call; applications call those of schema contacts_tier';

