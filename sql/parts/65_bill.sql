------------------------------------------------------------------------------
-- The bill: the ledger as typed rows, and a forecast, for roles that have SELECT on the
-- companion tables
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier.tier_changes(INOUT contacts regclass DEFAULT NULL,
                                           INOUT account text DEFAULT NULL,
                                           IN since timestamptz DEFAULT NULL,
                                           IN until timestamptz DEFAULT NULL,
                                           OUT changed_at timestamptz,
                                           OUT plan text,
                                           OUT from_limit bigint,
                                           OUT to_limit bigint,
                                           OUT reason text,
                                           OUT marketing_contacts bigint,
                                           OUT period_fraction numeric,
                                           OUT month_share numeric,
                                           OUT charge numeric,
                                           OUT currency text,
                                           OUT role text,
                                           OUT entry uuid)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_tier_changes';
COMMENT ON FUNCTION contacts_tier.tier_changes(regclass, text, timestamptz, timestamptz) IS
'tier changes of each account, with reason and charge; newest first, from since on and before until';

CREATE FUNCTION contacts_tier.billing_periods(INOUT contacts regclass DEFAULT NULL,
                                              INOUT account text DEFAULT NULL,
                                              OUT period_start timestamptz,
                                              OUT period_end timestamptz,
                                              OUT closed boolean,
                                              OUT plan text,
                                              OUT contact_limit bigint,
                                              OUT opening bigint,
                                              OUT peak bigint,
                                              OUT closing bigint,
                                              OUT promoted bigint,
                                              OUT demoted bigint,
                                              OUT corrected bigint,
                                              OUT upgrades integer,
                                              OUT monthly_price numeric,
                                              OUT month_share numeric,
                                              OUT tier_charges numeric,
                                              OUT total numeric,
                                              OUT currency text)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_billing_periods';
COMMENT ON FUNCTION contacts_tier.billing_periods(regclass, text) IS
'billing periods of each account, the current one last: tier and price at its start, counts, charges for tier changes, and total';

CREATE FUNCTION contacts_tier.notifications(INOUT contacts regclass DEFAULT NULL,
                                            INOUT account text DEFAULT NULL,
                                            IN since timestamptz DEFAULT NULL,
                                            IN until timestamptz DEFAULT NULL,
                                            OUT notified_at timestamptz,
                                            OUT event text,
                                            OUT threshold integer,
                                            OUT marketing_contacts bigint,
                                            OUT contact_limit bigint,
                                            OUT details jsonb,
                                            OUT role text,
                                            OUT entry uuid)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_notifications';
COMMENT ON FUNCTION contacts_tier.notifications(regclass, text, timestamptz, timestamptz) IS
'notifications of each account: thresholds, capped contacts, requested tiers; newest first, from since on and before until';

CREATE FUNCTION contacts_tier.activity(INOUT contacts regclass DEFAULT NULL,
                                       INOUT account text DEFAULT NULL,
                                       IN since timestamptz DEFAULT NULL,
                                       IN until timestamptz DEFAULT NULL,
                                       OUT recorded_at timestamptz,
                                       OUT role text,
                                       OUT source_type text,
                                       OUT source_name text,
                                       OUT created bigint,
                                       OUT deleted bigint,
                                       OUT promoted bigint,
                                       OUT flagged bigint,
                                       OUT unflagged bigint,
                                       OUT demoted bigint,
                                       OUT dropped bigint,
                                       OUT statements bigint,
                                       OUT last_recorded_at timestamptz)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 1000 AS 'MODULE_PATHNAME', 'contacts_tier_activity';
COMMENT ON FUNCTION contacts_tier.activity(regclass, text, timestamptz, timestamptz) IS
'which role and source created, deleted, promoted, flagged how many contacts; newest first, from since on and before until';

CREATE FUNCTION contacts_tier.forecast(INOUT contacts regclass DEFAULT NULL,
                                       INOUT account text DEFAULT NULL,
                                       OUT marketing_contacts bigint,
                                       OUT pending_non_marketing bigint,
                                       OUT next_update_at timestamptz,
                                       OUT at_next_update bigint,
                                       OUT renews_at timestamptz,
                                       OUT at_renewal bigint,
                                       OUT tier_needed bigint,
                                       OUT tier_needed_at_renewal bigint,
                                       OUT next_tier bigint,
                                       OUT next_tier_extra_price numeric,
                                       OUT period_charges numeric,
                                       OUT currency text,
                                       OUT max_limit bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_forecast';
COMMENT ON FUNCTION contacts_tier.forecast(regclass, text) IS
'count of each account on its next update date and at renewal, the tiers that would hold it, and the price of the next tier';

CREATE FUNCTION contacts_tier.preview(contacts regclass,
                                      account text,
                                      additional bigint,
                                      OUT fits boolean,
                                      OUT marketing_contacts bigint,
                                      OUT contact_limit bigint,
                                      OUT would_be bigint,
                                      OUT next_limit bigint,
                                      OUT extra_monthly_price numeric,
                                      OUT currency text,
                                      OUT outcome text,
                                      OUT max_limit bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 1 AS 'MODULE_PATHNAME', 'contacts_tier_preview';
COMMENT ON FUNCTION contacts_tier.preview(regclass, text, bigint) IS
'what would happen if that many contacts of an account became marketing contacts now; changes nothing';

CREATE FUNCTION contacts_tier.prune_ledger(contacts regclass, before timestamptz, batch_size integer DEFAULT 10000) RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_prune_ledger';
COMMENT ON FUNCTION contacts_tier.prune_ledger(regclass, timestamptz, integer) IS
'deletes activity that was recorded before an instant, at most batch_size entries, and returns how many; call it until it returns 0';
