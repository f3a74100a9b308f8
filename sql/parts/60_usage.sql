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
