------------------------------------------------------------------------------
-- Verifying: counters against a count over the attached tables
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier.verify(INOUT contacts regclass DEFAULT NULL,
                                     OUT account text,
                                     OUT counted bigint,
                                     OUT actual bigint,
                                     OUT drift bigint,
                                     OUT pending_counted bigint,
                                     OUT pending_actual bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_verify';
COMMENT ON FUNCTION contacts_tier.verify(regclass) IS
'counters of each account against a count over its contacts, in one snapshot; drift is counted less actual and should be 0 everywhere';

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
'mends what verify() finds, and rows and partitions that came in behind the triggers; returns the accounts that were mended';

