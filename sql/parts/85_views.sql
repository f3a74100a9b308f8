------------------------------------------------------------------------------
-- Views of the reports, for all tables that the caller can read.  They have tables by name,
-- since many clients do not know regclass.
------------------------------------------------------------------------------

CREATE VIEW contacts_tier.accounts WITH (security_invoker = true) AS
    SELECT u.contacts::text AS contacts, n.nspname::text AS table_schema, c.relname::text AS table_name, u.account, u.plan, u.contact_limit, u.marketing_contacts,
           u.pending_non_marketing, u.projected_marketing_contacts, u.available, u.percent_used,
           u.alert, u.next_update_at, u.renews_at
    FROM contacts_tier.usage() u
    LEFT JOIN pg_catalog.pg_class c ON c.oid = u.contacts
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace;
COMMENT ON VIEW contacts_tier.accounts IS 'accounts, their marketing contacts and contact tier, as usage() has them';
COMMENT ON COLUMN contacts_tier.accounts.contacts IS 'table of contacts; the first of those that share their counters';
COMMENT ON COLUMN contacts_tier.accounts.table_schema IS 'schema of that table';
COMMENT ON COLUMN contacts_tier.accounts.table_name IS 'name of that table, whatever the search_path';
COMMENT ON COLUMN contacts_tier.accounts.account IS 'account that the contacts belong to';
COMMENT ON COLUMN contacts_tier.accounts.plan IS 'plan that the account is subscribed to';
COMMENT ON COLUMN contacts_tier.accounts.contact_limit IS 'contact limit of the current tier';
COMMENT ON COLUMN contacts_tier.accounts.marketing_contacts IS 'number of marketing contacts';
COMMENT ON COLUMN contacts_tier.accounts.pending_non_marketing IS 'how many of these become non-marketing on the next update date';
COMMENT ON COLUMN contacts_tier.accounts.projected_marketing_contacts IS 'how many will be left then';
COMMENT ON COLUMN contacts_tier.accounts.available IS 'number of contacts that fit into the tier, without the grace';
COMMENT ON COLUMN contacts_tier.accounts.percent_used IS 'marketing contacts in percent of the limit';
COMMENT ON COLUMN contacts_tier.accounts.alert IS 'notice from the first threshold on, banner from 98 %';
COMMENT ON COLUMN contacts_tier.accounts.next_update_at IS 'next update date';
COMMENT ON COLUMN contacts_tier.accounts.renews_at IS 'renewal date of the contract';

CREATE VIEW contacts_tier.bills WITH (security_invoker = true) AS
    SELECT b.contacts::text AS contacts, n.nspname::text AS table_schema, c.relname::text AS table_name, b.account, b.period_start, b.period_end, b.closed, b.plan,
           b.contact_limit, b.opening, b.peak, b.closing, b.promoted, b.demoted, b.corrected,
           b.upgrades, b.monthly_price, b.month_share, b.tier_charges, b.total, b.currency
    FROM contacts_tier.billing_periods() b
    LEFT JOIN pg_catalog.pg_class c ON c.oid = b.contacts
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace;
COMMENT ON VIEW contacts_tier.bills IS 'billing periods of all accounts, as billing_periods() has them';
COMMENT ON COLUMN contacts_tier.bills.contacts IS 'table of contacts; the first of those that share their counters';
COMMENT ON COLUMN contacts_tier.bills.table_schema IS 'schema of that table';
COMMENT ON COLUMN contacts_tier.bills.table_name IS 'name of that table, whatever the search_path';
COMMENT ON COLUMN contacts_tier.bills.account IS 'account that is billed';
COMMENT ON COLUMN contacts_tier.bills.period_start IS 'start of the billing period';
COMMENT ON COLUMN contacts_tier.bills.period_end IS 'end of the billing period, the update date';
COMMENT ON COLUMN contacts_tier.bills.closed IS 'false for the current period';
COMMENT ON COLUMN contacts_tier.bills.plan IS 'plan at the start of the period';
COMMENT ON COLUMN contacts_tier.bills.contact_limit IS 'contact limit of the tier at the start of the period';
COMMENT ON COLUMN contacts_tier.bills.opening IS 'number of marketing contacts at the start';
COMMENT ON COLUMN contacts_tier.bills.peak IS 'highest number after any statement of the period';
COMMENT ON COLUMN contacts_tier.bills.closing IS 'number at the end, or now';
COMMENT ON COLUMN contacts_tier.bills.promoted IS 'number of contacts that became marketing contacts';
COMMENT ON COLUMN contacts_tier.bills.demoted IS 'number of contacts that ceased to be';
COMMENT ON COLUMN contacts_tier.bills.corrected IS 'number that partitions, attach() and repair() added, minus those that they removed';
COMMENT ON COLUMN contacts_tier.bills.upgrades IS 'number of moves to a larger tier';
COMMENT ON COLUMN contacts_tier.bills.monthly_price IS 'monthly price of the tier at the start of the period';
COMMENT ON COLUMN contacts_tier.bills.month_share IS 'share of a month that the period pays for';
COMMENT ON COLUMN contacts_tier.bills.tier_charges IS 'sum of the charges for tier changes in the period';
COMMENT ON COLUMN contacts_tier.bills.total IS 'monthly price times share of the month, and tier charges';
COMMENT ON COLUMN contacts_tier.bills.currency IS 'currency of the amounts';

CREATE VIEW contacts_tier.overdue WITH (security_invoker = true) AS
    SELECT u.contacts::text AS contacts, n.nspname::text AS table_schema, c.relname::text AS table_name, u.account, u.plan, u.next_update_at AS overdue_since,
           contacts_tier.clock() - u.next_update_at AS overdue_for, u.pending_non_marketing
    FROM contacts_tier.usage() u
    LEFT JOIN pg_catalog.pg_class c ON c.oid = u.contacts
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE u.next_update_at <= contacts_tier.clock();
COMMENT ON VIEW contacts_tier.overdue IS 'accounts whose update date has passed and is not applied yet; rollover() applies it';
COMMENT ON COLUMN contacts_tier.overdue.contacts IS 'table of contacts; the first of those that share their counters';
COMMENT ON COLUMN contacts_tier.overdue.table_schema IS 'schema of that table';
COMMENT ON COLUMN contacts_tier.overdue.table_name IS 'name of that table, whatever the search_path';
COMMENT ON COLUMN contacts_tier.overdue.account IS 'account whose update date has passed';
COMMENT ON COLUMN contacts_tier.overdue.plan IS 'plan that the account is subscribed to';
COMMENT ON COLUMN contacts_tier.overdue.overdue_since IS 'update date that has passed and is not applied';
COMMENT ON COLUMN contacts_tier.overdue.overdue_for IS 'how long ago that was';
COMMENT ON COLUMN contacts_tier.overdue.pending_non_marketing IS 'number of contacts that become non-marketing when it is applied';
