------------------------------------------------------------------------------
-- Types
------------------------------------------------------------------------------

CREATE TYPE contacts_tier.marketing_status AS ENUM ('non_marketing', 'marketing');
COMMENT ON TYPE contacts_tier.marketing_status IS
'status of a contact: a marketing contact counts against the contact tier, a non-marketing contact is free';

-- Drivers and ORMs send parameters of type text and varchar, and CASE, unnest() and ->> give
-- text.  Assignment is enough for INSERT and UPDATE; no expression finds another operator or
-- function by it.
CREATE CAST (text AS contacts_tier.marketing_status) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (text AS contacts_tier.marketing_status) IS 'stores a text as the status of a contact';
CREATE CAST (varchar AS contacts_tier.marketing_status) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (varchar AS contacts_tier.marketing_status) IS 'stores a varchar as the status of a contact';

CREATE TYPE contacts_tier.billing_cycle AS ENUM ('monthly', 'annual');
COMMENT ON TYPE contacts_tier.billing_cycle IS
'monthly: the update date is the anchor day of each month; annual: the 1st of each month or the renewal date, whichever comes first';

CREATE TYPE contacts_tier.exceed_policy AS ENUM ('upgrade', 'block', 'cap');
COMMENT ON TYPE contacts_tier.exceed_policy IS
'what happens when an account exceeds its contact tier: upgrade to a larger one, block the statement, or cap: store what does not fit as non-marketing';

