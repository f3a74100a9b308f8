--
-- An account whose key changes: subscription, counter and ledger follow, and no contact is
-- promoted or demoted by it (rules C1 and D3)
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set settings :abs_srcdir '/include/settings.sql'
\i :settings
CREATE SCHEMA ren;
SET search_path = ren;
SELECT contacts_tier.create_plan('ren', '{3, 10}');

-- ON UPDATE CASCADE, two tables that share the account, which is full under "block"
CREATE TABLE accounts (id text PRIMARY KEY);
CREATE TABLE contacts (id integer PRIMARY KEY, account text REFERENCES accounts ON UPDATE CASCADE);
CREATE TABLE leads (id integer PRIMARY KEY, company text REFERENCES accounts ON UPDATE CASCADE);
INSERT INTO accounts VALUES ('a'), ('other'), ('plain');
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.attach('leads', 'company');
SELECT contacts_tier.subscribe('contacts', 'a', 'ren', on_exceed => 'block');
SELECT contacts_tier.subscribe('contacts', 'other', 'ren');
INSERT INTO contacts VALUES (1, 'a', 'marketing'), (2, 'a', 'marketing'), (3, 'a', NULL), (4, 'other', 'marketing');
INSERT INTO leads VALUES (1, 'a', 'marketing'), (2, 'a', NULL);
UPDATE contacts SET marketing_contact_status = 'non_marketing' WHERE id = 2;
CREATE VIEW state AS
SELECT c.account, sum(used) AS used, sum(pending) AS pending, sum(promoted) AS promoted, sum(demoted) AS demoted,
       sum(corrected) AS corrected, a.contact_limit, (SELECT count(*) FROM contacts_tier_ledger l WHERE l.account = c.account AND event = 'subscribe') AS subscribed
FROM contacts_tier_counter c LEFT JOIN contacts_tier_account a USING (account) GROUP BY c.account, a.contact_limit;
SELECT * FROM state ORDER BY account;
-- without it, the contacts would be promotions of an account that has no subscription
UPDATE accounts SET id = 'b' WHERE id = 'a';
-- the key of the contacts must change in the same transaction
SELECT contacts_tier.rename_account('contacts', 'a', 'b');
-- and it must be free
SELECT contacts_tier.rename_account('contacts', 'a', 'other');
BEGIN;
SELECT contacts_tier.rename_account('contacts', 'a', 'b');
SELECT * FROM contacts_tier.verify('contacts');
-- a contact that has the former key still belongs to the account, which is full
INSERT INTO contacts VALUES (9, 'a');
SAVEPOINT before_full;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 9;
ROLLBACK TO before_full;
DELETE FROM contacts WHERE id = 1;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 9;
UPDATE accounts SET id = 'b' WHERE id = 'a';
SELECT * FROM contacts_tier.verify('contacts');
COMMIT;
SELECT * FROM contacts_tier.verify('contacts');
SELECT * FROM state ORDER BY account;
SELECT account, event, contacts, details FROM contacts_tier_ledger WHERE event = 'rename_account';
SELECT id, account, marketing_contact_status, marketing_contact_until_next_update FROM contacts ORDER BY id;

-- rolled back to a savepoint, and renamed otherwise; a key is given up once
BEGIN;
SAVEPOINT first;
SELECT contacts_tier.rename_account('leads', 'b', 'c');
UPDATE accounts SET id = 'c' WHERE id = 'b';
SAVEPOINT again;
SELECT contacts_tier.rename_account('leads', 'c', 'b');
ROLLBACK TO again;
SELECT contacts_tier.rename_account('leads', 'c', 'd');
UPDATE accounts SET id = 'd' WHERE id = 'c';
SELECT * FROM contacts_tier.verify('contacts');
ROLLBACK TO first;
SELECT * FROM contacts_tier.verify('contacts');
SELECT contacts_tier.rename_account('leads', 'b', 'c');
SAVEPOINT inner_one;
UPDATE accounts SET id = 'c' WHERE id = 'b';
RELEASE inner_one;
COMMIT;
SELECT * FROM contacts_tier.verify('contacts');
SELECT * FROM state ORDER BY account;

-- by a trigger of the application
CREATE FUNCTION rename() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM contacts_tier.rename_account('ren.contacts', OLD.id, NEW.id);
    RETURN NEW;
END $$;
CREATE TRIGGER rename BEFORE UPDATE OF id ON accounts FOR EACH ROW EXECUTE FUNCTION rename();
UPDATE accounts SET id = 'a' WHERE id = 'c';
SELECT * FROM contacts_tier.verify('contacts');
SELECT * FROM state ORDER BY account;

-- a key that has contacts, but no marketing contacts and no subscription, is free
INSERT INTO contacts VALUES (20, 'plain'), (21, 'plain');
BEGIN;
SELECT contacts_tier.rename_account('contacts', 'a', 'plain');
UPDATE contacts SET account = 'plain' WHERE account = 'a';
UPDATE leads SET company = 'plain' WHERE company = 'a';
COMMIT;
SELECT * FROM contacts_tier.verify('contacts');
SELECT * FROM state ORDER BY account;

-- TRUNCATE between the two counts off what the account has now
BEGIN;
SELECT contacts_tier.rename_account('contacts', 'plain', 'a');
TRUNCATE contacts;
UPDATE leads SET company = 'a' WHERE company = 'plain';
SELECT * FROM contacts_tier.verify('contacts');
COMMIT;
SELECT * FROM contacts_tier.verify('contacts');
-- within a statement on contacts
INSERT INTO contacts SELECT 30, 'a', 'marketing' FROM contacts_tier.rename_account('contacts', 'a', 'z');
CREATE FUNCTION in_between() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM contacts_tier.rename_account('ren.contacts', 'a', 'z');
    RETURN NULL;
END $$;
CREATE TRIGGER zzz AFTER INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION in_between();
INSERT INTO contacts VALUES (31, 'a', 'marketing');
DROP TRIGGER zzz ON contacts;
-- nulls, nonsense, and who may
SELECT contacts_tier.rename_account(NULL, 'a', 'b');
SELECT contacts_tier.rename_account('contacts', NULL, 'b');
SELECT contacts_tier.rename_account('contacts', 'a', NULL);
SELECT contacts_tier.rename_account('accounts', 'a', 'b');
SELECT contacts_tier.rename_account('contacts', 'a', 'a');
-- an unknown account; one that has contacts and nothing else is known
SELECT contacts_tier.rename_account('contacts', 'unknown', 'nobody');
\echo :SQLSTATE
SELECT count(*) FROM contacts_tier_ledger WHERE account IN ('unknown', 'nobody');
ALTER TABLE leads DISABLE TRIGGER USER;
INSERT INTO accounts VALUES ('loaded');
INSERT INTO leads VALUES (40, 'loaded', 'non_marketing');
ALTER TABLE leads ENABLE TRIGGER USER;
BEGIN;
SELECT contacts_tier.rename_account('contacts', 'loaded', 'moved');
UPDATE leads SET company = 'a' WHERE id = 40;
COMMIT;
DROP TABLE contacts, leads, accounts, contacts_tier_account, contacts_tier_counter, contacts_tier_ledger CASCADE;

-- partitioned by the account: the contacts move
CREATE TABLE contacts (id integer, account integer) PARTITION BY LIST (account);
CREATE TABLE one PARTITION OF contacts FOR VALUES IN (1);
CREATE TABLE others PARTITION OF contacts DEFAULT;
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', '1', 'ren', on_exceed => 'block');
INSERT INTO contacts VALUES (1, 1, 'marketing'), (2, 1, 'marketing'), (3, 1, 'marketing'), (4, 1, NULL);
BEGIN;
SELECT contacts_tier.rename_account('contacts', '1', '2');
UPDATE contacts SET account = 2 WHERE account = 1;
COMMIT;
SELECT * FROM contacts_tier.verify('contacts');
SELECT account, sum(used) AS used, sum(promoted) AS promoted, sum(demoted) AS demoted FROM contacts_tier_counter GROUP BY account;
SELECT tableoid::regclass, id, account, marketing_contact_status FROM contacts ORDER BY id;

-- a deferred foreign key, and PREPARE TRANSACTION is no way around the check
CREATE TABLE accounts (id integer PRIMARY KEY);
INSERT INTO accounts VALUES (2);
ALTER TABLE contacts ADD FOREIGN KEY (account) REFERENCES accounts DEFERRABLE INITIALLY DEFERRED;
BEGIN;
SELECT contacts_tier.rename_account('contacts', '2', '3');
PREPARE TRANSACTION 'regress_rename';
BEGIN;
SELECT contacts_tier.rename_account('contacts', '2', '3');
UPDATE contacts SET account = 3;
UPDATE accounts SET id = 3;
COMMIT;
SELECT * FROM contacts_tier.verify('contacts');
-- the bill of the period has them as promoted once
SET contacts_tier.now = '2026-02-10 10:00+00';
CALL contacts_tier.rollover('contacts');
SELECT b.account, b.opening, b.promoted, b.demoted, b.corrected, b.closing, b.opening + b.promoted - b.demoted + b.corrected = b.closing AS adds_up FROM contacts_tier.billing_periods('contacts') b;
SET client_min_messages = error;
DROP SCHEMA ren CASCADE;
DELETE FROM contacts_tier.plan;
