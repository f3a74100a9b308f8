------------------------------------------------------------------------------
-- Subscriptions
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier.subscribe(contacts regclass,
                                        account text,
                                        plan text,
                                        contact_limit bigint DEFAULT NULL,
                                        billing_cycle contacts_tier.billing_cycle DEFAULT 'monthly',
                                        started_at timestamptz DEFAULT NULL,
                                        time_zone text DEFAULT 'UTC',
                                        on_exceed contacts_tier.exceed_policy DEFAULT 'upgrade',
                                        grace bigint DEFAULT 0)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_subscribe';
COMMENT ON FUNCTION contacts_tier.subscribe(regclass, text, text, bigint, contacts_tier.billing_cycle, timestamptz, text, contacts_tier.exceed_policy, bigint) IS
'starts the subscription of an account; without a limit, to the smallest tier of the plan that holds its marketing contacts';

CREATE FUNCTION contacts_tier.change_tier(contacts regclass,
                                          account text,
                                          contact_limit bigint,
                                          at_renewal boolean DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_change_tier';
COMMENT ON FUNCTION contacts_tier.change_tier(regclass, text, bigint, boolean) IS
'moves an account to a larger tier at once, or requests a tier for the renewal date; the current tier withdraws the request';

CREATE FUNCTION contacts_tier.approve_upgrade(contacts regclass, account text) RETURNS bigint
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_approve_upgrade';
COMMENT ON FUNCTION contacts_tier.approve_upgrade(regclass, text) IS
'moves an account to its requested tier, which would have held the contacts that were capped; returns its limit';

CREATE FUNCTION contacts_tier.cancel(contacts regclass, account text, withdraw boolean DEFAULT false) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_cancel';
COMMENT ON FUNCTION contacts_tier.cancel(regclass, text, boolean) IS
'ends the subscription of an account at its renewal date, or withdraws the cancellation';

CREATE FUNCTION contacts_tier.set_policy(contacts regclass,
                                         account text,
                                         on_exceed contacts_tier.exceed_policy DEFAULT NULL,
                                         grace bigint DEFAULT NULL,
                                         thresholds integer[] DEFAULT NULL,
                                         source_defaults jsonb DEFAULT NULL,
                                         time_zone text DEFAULT NULL,
                                         auto_downgrade boolean DEFAULT NULL,
                                         billing_cycle contacts_tier.billing_cycle DEFAULT NULL,
                                         record_activity boolean DEFAULT NULL,
                                         max_limit bigint DEFAULT NULL,
                                         source_policies jsonb DEFAULT NULL,
                                         proration text DEFAULT NULL,
                                         brake jsonb DEFAULT NULL)
RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_set_policy';
COMMENT ON FUNCTION contacts_tier.set_policy(regclass, text, contacts_tier.exceed_policy, bigint, integer[], jsonb, text, boolean, contacts_tier.billing_cycle, boolean, bigint, jsonb, text, jsonb) IS
'changes the policy of an account; arguments that are null change nothing';

CREATE FUNCTION contacts_tier.rename_account(contacts regclass, account text, new_account text) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_rename_account';
COMMENT ON FUNCTION contacts_tier.rename_account(regclass, text, text) IS
'gives subscription, counter and ledger of an account another key; call it before its contacts change, in the same transaction';

CREATE FUNCTION contacts_tier.pass_brake() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'contacts_tier_pass_brake';
COMMENT ON FUNCTION contacts_tier.pass_brake() IS
'lets the running transaction pass the brake of all accounts; its promotions count in the window even so';

CREATE FUNCTION contacts_tier.has_access(contacts regclass, account text) RETURNS boolean
LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'contacts_tier_has_access';
COMMENT ON FUNCTION contacts_tier.has_access(regclass, text) IS
'true if the account has a subscription that includes marketing contacts';

