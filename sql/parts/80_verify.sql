------------------------------------------------------------------------------
-- Verification of the counters, by a count over the attached tables
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier.verify(INOUT contacts regclass DEFAULT NULL,
                                     IN record boolean DEFAULT false,
                                     OUT account text,
                                     OUT counted bigint,
                                     OUT actual bigint,
                                     OUT drift bigint,
                                     OUT pending_counted bigint,
                                     OUT pending_actual bigint)
RETURNS SETOF record
LANGUAGE c ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_verify';
COMMENT ON FUNCTION contacts_tier.verify(regclass, boolean) IS
'counters of each account beside a count of its contacts; drift is counted minus actual, and should be 0; with record the ledger has it, too';

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
'corrects what verify() finds, and rows and partitions that bypassed the triggers; returns the accounts that it corrected';

