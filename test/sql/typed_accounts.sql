--
-- Accounts that are given in their own type mean what they mean as text, with the same
-- privileges (rule R6)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA typed_b; CREATE SCHEMA typed_u; CREATE SCHEMA typed_d; CREATE SCHEMA typed_t; CREATE SCHEMA typed_none;
SELECT contacts_tier.create_plan('typed', '{100, 200}');
CREATE TABLE typed_b.contacts (id integer PRIMARY KEY, account bigint);
CREATE TABLE typed_u.contacts (id integer PRIMARY KEY, account uuid);
CREATE DOMAIN typed_d.tenant AS integer CHECK (VALUE > 0);
CREATE TABLE typed_d.contacts (id integer PRIMARY KEY, account typed_d.tenant);
CREATE TABLE typed_t.contacts (id integer PRIMARY KEY, account text);
CREATE TABLE typed_none.contacts (id integer PRIMARY KEY);
SELECT contacts_tier.attach('typed_b.contacts', 'account');
SELECT contacts_tier.attach('typed_u.contacts', 'account');
SELECT contacts_tier.attach('typed_d.contacts', 'account');
SELECT contacts_tier.attach('typed_t.contacts', 'account');
SELECT contacts_tier.attach('typed_none.contacts');

-- each function, with an integer for a bigint, and named
SELECT contacts_tier.subscribe('typed_b.contacts', 7, 'typed', 100);
SELECT contacts_tier.subscribe('typed_b.contacts', account => 8::bigint, plan => 'typed', on_exceed => 'cap');
INSERT INTO typed_b.contacts (id, account, marketing_contact_status) VALUES (1, 7, 'marketing'), (2, 8, 'marketing');
SELECT contacts_tier.set_policy('typed_b.contacts', 7, 'block', grace => 5);
SELECT contacts_tier.change_tier('typed_b.contacts', 7, 200);
SELECT contacts_tier.cancel('typed_b.contacts', 7), contacts_tier.cancel('typed_b.contacts', 7::smallint, withdraw => true);
SELECT contacts_tier.has_access('typed_b.contacts', 7) AS seven, contacts_tier.has_access('typed_b.contacts', 9) AS nine,
       contacts_tier.has_access(contacts => 'typed_b.contacts', account => 7) AS named, contacts_tier.has_access('typed_b.contacts', NULL::bigint) AS "null";
SELECT contacts, account, pg_typeof(account), contact_limit, marketing_contacts FROM contacts_tier.usage('typed_b.contacts', 7);
SELECT count(*) FROM contacts_tier.usage('typed_b.contacts', NULL::bigint);
SELECT contacts_tier.banner('typed_b.contacts', 7);
SELECT account, from_limit, to_limit FROM contacts_tier.tier_changes('typed_b.contacts', account => 7, since => '2026-01-01');
SELECT account, closing FROM contacts_tier.billing_periods('typed_b.contacts', 7);
SELECT account, event FROM contacts_tier.notifications('typed_b.contacts', 7);
SELECT account, promoted FROM contacts_tier.activity('typed_b.contacts', 7);
SELECT account, at_next_update FROM contacts_tier.forecast('typed_b.contacts', 7);
SELECT fits, would_be FROM contacts_tier.preview('typed_b.contacts', 7, 10);
SELECT * FROM contacts_tier.audience('typed_b.contacts', 7, 'marketing_email');
SELECT count(*) FROM contacts_tier.usage_history('typed_b.contacts', 7, step => '1 day');
SELECT source_type, marketing_contacts FROM contacts_tier.sources('typed_b.contacts', 7);
SELECT contacts_tier.usage_page('typed_b.contacts', 7) = contacts_tier.usage_page('typed_b.contacts', '7') AS same;
CALL contacts_tier.rollover('typed_b.contacts', 7);
CALL contacts_tier.rollover('typed_b.contacts', 7, batch_size => 10);
-- the new key may be of another type than the former one
BEGIN;
SELECT contacts_tier.rename_account('typed_b.contacts', 7::bigint, 70);
UPDATE typed_b.contacts SET account = 70 WHERE account = 7;
COMMIT;
SELECT account, marketing_contacts FROM contacts_tier.usage('typed_b.contacts', 70);
BEGIN;
SELECT contacts_tier.rename_account('typed_b.contacts', 70, '7'::char(3));
UPDATE typed_b.contacts SET account = 7 WHERE account = 70;
COMMIT;
SELECT contacts_tier.rename_account('typed_b.contacts', 7, NULL::bigint);
SELECT account, drift FROM contacts_tier.verify('typed_b.contacts');
\set VERBOSITY terse
SELECT contacts_tier.approve_upgrade('typed_b.contacts', 7);
SELECT contacts_tier.subscribe('typed_b.contacts', NULL::bigint, 'typed');

-- other types
SELECT contacts_tier.subscribe('typed_u.contacts', '6f1c2b1e-0000-4000-8000-000000000001'::uuid, 'typed');
SELECT account FROM contacts_tier.usage('typed_u.contacts', '6F1C2B1E-0000-4000-8000-000000000001'::uuid);
SELECT contacts_tier.subscribe('typed_d.contacts', 3::typed_d.tenant, 'typed');
SELECT account FROM contacts_tier.usage('typed_d.contacts', 3::typed_d.tenant);
SELECT contacts_tier.subscribe('typed_t.contacts', 'x'::varchar, 'typed');
SELECT contacts_tier.has_access('typed_t.contacts', 'x'::char(5)) AS "char", contacts_tier.has_access('typed_t.contacts', 'x'::name) AS name,
       contacts_tier.has_access('typed_t.contacts', 'x'::varchar) AS varchar, contacts_tier.has_access('typed_t.contacts', 'x'::text) AS text;
SELECT contacts_tier.subscribe('typed_t.contacts', 12, 'typed');
SELECT account FROM contacts_tier.usage('typed_t.contacts', 12);
-- a table that is one account
SELECT contacts_tier.subscribe('typed_none.contacts', 'default'::name, 'typed');
SELECT contacts_tier.has_access('typed_none.contacts', 1);
-- what is no value of the column's type
SELECT contacts_tier.has_access('typed_b.contacts', 1.5);
SELECT contacts_tier.has_access('typed_u.contacts', 7);

-- a date means the same account however the session writes dates
CREATE SCHEMA typed_date;
CREATE TABLE typed_date.contacts (id integer PRIMARY KEY, account date);
SELECT contacts_tier.attach('typed_date.contacts', 'account');
SET DateStyle = 'SQL, DMY';
SELECT contacts_tier.subscribe('typed_date.contacts', date '2026-03-05', 'typed');
SET DateStyle = 'German';
SELECT contacts_tier.has_access('typed_date.contacts', date '2026-03-05');
SELECT contact_limit FROM contacts_tier.usage('typed_date.contacts', date '2026-03-05');
SELECT contacts_tier.banner('typed_date.contacts', date '2026-03-05');
CALL contacts_tier.rollover('typed_date.contacts', date '2026-03-05');
RESET DateStyle;
SELECT contacts_tier.has_access('typed_date.contacts', '2026-03-05');

-- literals and parameters of no type are text
PREPARE usage AS SELECT account FROM contacts_tier.usage('typed_b.contacts', $1);
SELECT parameter_types FROM pg_prepared_statements WHERE name = 'usage';
EXECUTE usage ('7');
PREPARE typed (bigint) AS SELECT account FROM contacts_tier.usage('typed_b.contacts', $1);
EXECUTE typed (7);
SELECT account FROM contacts_tier.usage('typed_b.contacts', '8');
SELECT count(*) FROM contacts_tier.usage('typed_b.contacts', NULL);

-- privileges are those of the function with text (R6)
SELECT o.oid::regprocedure FROM pg_proc o JOIN pg_proc t ON t.pronamespace = o.pronamespace AND t.proname = o.proname AND t.proargtypes[1] = 'text'::regtype AND t.pronargs = o.pronargs
 WHERE o.pronamespace = 'contacts_tier'::regnamespace AND o.proargtypes[1] = 'anyelement'::regtype AND (o.proacl::text[]) IS DISTINCT FROM (t.proacl::text[]);
-- and each function with an account has one
SELECT t.oid::regprocedure FROM pg_proc t
 WHERE t.pronamespace = 'contacts_tier'::regnamespace AND t.proargnames[2] = 'account' AND t.proargtypes[1] = 'text'::regtype
   AND NOT EXISTS (SELECT FROM pg_proc o WHERE o.pronamespace = t.pronamespace AND o.proname = t.proname AND o.proargtypes[1] = 'anyelement'::regtype);

SET client_min_messages = error;
DROP SCHEMA typed_b, typed_u, typed_d, typed_t, typed_none, typed_date CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'typed';
