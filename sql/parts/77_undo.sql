
------------------------------------------------------------------------------
-- Two contacts become one; what a source promoted is taken back
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier.merge_contacts(contacts regclass, winner text, loser text) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_merge_contacts';
COMMENT ON FUNCTION contacts_tier.merge_contacts(regclass, text, text) IS
'merges two contacts of an account, given by their primary keys: the winner is a marketing contact if either was one, the loser is deleted';

CREATE FUNCTION contacts_tier.merge_contacts(contacts regclass, winner anyelement, loser anyelement) RETURNS void
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_merge_contacts';
COMMENT ON FUNCTION contacts_tier.merge_contacts(regclass, anyelement, anyelement) IS
'merges two contacts of an account; the same with primary keys in their own type';

CREATE FUNCTION contacts_tier.undo_promotion(contacts regclass,
                                             account text,
                                             source_type text,
                                             source_name text,
                                             since timestamptz,
                                             OUT taken_back bigint,
                                             OUT left_alone bigint,
                                             OUT from_limit bigint,
                                             OUT to_limit bigint)
RETURNS record
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_undo_promotion';
COMMENT ON FUNCTION contacts_tier.undo_promotion(regclass, text, text, text, timestamptz) IS
'undoes what a source promoted since an instant of the current billing period, and a tier change that nothing else needed';

CREATE FUNCTION contacts_tier.explain_change(contacts regclass,
                                             account text,
                                             entry uuid DEFAULT NULL,
                                             OUT line text,
                                             OUT recorded_at timestamptz,
                                             OUT ended_at timestamptz,
                                             OUT role text,
                                             OUT source_type text,
                                             OUT source_name text,
                                             OUT statements bigint,
                                             OUT promoted bigint,
                                             OUT demoted bigint,
                                             OUT count_before bigint,
                                             OUT count_after bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'contacts_tier_explain_change';
COMMENT ON FUNCTION contacts_tier.explain_change(regclass, text, uuid) IS
'why an account is in another tier, in sentences: the change, its charge, its statement, and what each source had promoted by then';
