------------------------------------------------------------------------------
-- Seeing: who may SELECT from the companion tables may ask
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
'marketing contacts of each account against its contact tier, from the counters alone; tables of one schema that share them make one row';

