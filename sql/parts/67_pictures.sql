------------------------------------------------------------------------------
-- Pictures: how the count came about, and a page that shows it, for roles that have SELECT
-- on the companion tables
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier.usage_history(contacts regclass,
                                            account text,
                                            since timestamptz DEFAULT NULL,
                                            step interval DEFAULT '1 day',
                                            OUT at timestamptz,
                                            OUT marketing_contacts bigint,
                                            OUT pending bigint,
                                            OUT contact_limit bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_usage_history';
COMMENT ON FUNCTION contacts_tier.usage_history(regclass, text, timestamptz, interval) IS
'marketing contacts and contact limit of an account at each step since an instant, and now; without since, from the start of the current billing period and the two before. Computed backwards from the counters and the closed billing periods, so exact where activity is recorded: what the ledger does not have (statements under record_activity => false, partitions and tables that came or left, TRUNCATE) appears at the start of its billing period. pending leaves out flagged contacts that were deleted or moved to another account before their update date';

CREATE FUNCTION contacts_tier.sources(contacts regclass,
                                      account text,
                                      OUT source_type text,
                                      OUT source_names bigint,
                                      OUT marketing_contacts bigint,
                                      OUT pending bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'contacts_tier_sources';
COMMENT ON FUNCTION contacts_tier.sources(regclass, text) IS
'marketing contacts of an account by the source type that set their status, largest first, with the number of source names; reads the contacts';
