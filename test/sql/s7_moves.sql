--
-- A contact that an UPDATE moves to another partition is neither created nor deleted, promoted
-- nor demoted (rule S7)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
\set VERBOSITY terse

CREATE SCHEMA s7;
SET search_path = s7, public;
SELECT contacts_tier.create_plan('s7', '{6}'), contacts_tier.create_plan('s7 big', '{1000000}');
CREATE TABLE contacts (id integer, account text, note text, marketing_contact_status contacts_tier.marketing_status,
                       marketing_contact_status_updated_at timestamptz) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF contacts FOR VALUES FROM (0) TO (100);
CREATE TABLE high (note text, gone integer, account text, id integer, marketing_contact_status_updated_at timestamptz,
                   marketing_contact_status contacts_tier.marketing_status);
ALTER TABLE high DROP gone;
ALTER TABLE contacts ATTACH PARTITION high FOR VALUES FROM (100) TO (200);
CREATE TABLE far PARTITION OF contacts FOR VALUES FROM (200) TO (400) PARTITION BY LIST (account);
CREATE TABLE far_a PARTITION OF far FOR VALUES IN ('a');
CREATE TABLE far_others PARTITION OF far DEFAULT;
-- what was there before attach() has a time, and no source
INSERT INTO contacts VALUES (1, 'a', NULL, 'marketing', '2020-01-01'), (2, 'a', NULL, 'non_marketing', '2020-01-01'), (3, 'a', NULL, 'marketing', NULL);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 's7 big'), contacts_tier.subscribe('contacts', 'b', 's7', on_exceed => 'block');
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_until_next_update) VALUES (4, 'a', 'marketing', true), (5, 'a', 'non_marketing', NULL),
    (6, 'b', 'marketing', NULL);
CREATE VIEW contact AS SELECT id, tableoid::regclass AS partition, account, marketing_contact_status AS status, marketing_contact_until_next_update AS until,
    marketing_contact_status_source_type AS source_type, marketing_contact_status_updated_at::date AS updated_at FROM contacts ORDER BY id % 100;
-- what the period of each account has noted, whether that is what there is, and what was created and deleted
CREATE FUNCTION period() RETURNS TABLE (account text, marketing bigint, promoted bigint, demoted bigint, drift text) LANGUAGE sql AS $$
    SELECT p.account, (SELECT counted FROM contacts_tier.verify('s7.contacts') v WHERE v.account = p.account), p.promoted, p.demoted,
           coalesce((SELECT 'drift ' || v.drift FROM contacts_tier.verify('s7.contacts') v WHERE v.account = p.account AND (drift <> 0 OR pending_counted <> pending_actual)), 'none')
      FROM contacts_tier.billing_periods('s7.contacts') p ORDER BY 1
$$;
CREATE TABLE properties AS SELECT id % 100 AS contact, status, until, source_type, updated_at FROM contact;
CREATE FUNCTION changed() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM (SELECT id % 100, status, until, source_type, updated_at FROM s7.contact EXCEPT TABLE s7.properties) AS c $$;
SELECT * FROM period();
TABLE contact;

-- by the root, FROM another table, MERGE, prepared, a cursor, a function, two levels down, to and fro
SET contacts_tier.source_type = 'API';
UPDATE contacts SET id = id + 100;
SELECT * FROM period();
SELECT changed();
UPDATE contacts SET id = id + 100 FROM generate_series(101, 103) AS n WHERE id = n;
MERGE INTO contacts c USING generate_series(104, 106) AS n ON c.id = n WHEN MATCHED THEN UPDATE SET id = n - 100;
SELECT * FROM period();
SELECT changed();
PREPARE move(integer, integer) AS UPDATE contacts SET id = $2 WHERE id = $1;
EXECUTE move(201, 1);
EXECUTE move(4, 204);
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM contacts WHERE id % 1000 = 202 FOR UPDATE;
FETCH c;
UPDATE contacts SET id = 102 WHERE CURRENT OF c;
COMMIT;
DO $$
BEGIN
    UPDATE s7.contacts SET id = 305 WHERE id = 5;
    BEGIN
        UPDATE s7.contacts SET id = 6 + 300 WHERE id = 6;
        RAISE EXCEPTION 'never mind';
    EXCEPTION WHEN raise_exception THEN
        UPDATE s7.contacts SET id = 106 WHERE id = 6;
    END;
END $$;
WITH gone AS (UPDATE contacts SET id = 3 WHERE id = 203 RETURNING id)
UPDATE contacts SET id = 105 FROM gone WHERE contacts.id = 305;
TABLE contact;
SELECT * FROM period();
SELECT changed();
-- the activity is none
SELECT * FROM contacts_tier.activity('contacts') WHERE source_type = 'API';

-- a move that changes more than the partition counts what it changes
UPDATE contacts SET id = 202, marketing_contact_status = 'marketing' WHERE id = 102;
UPDATE contacts SET id = 101, marketing_contact_status = 'non_marketing' WHERE id = 1;
UPDATE contacts SET id = 104, marketing_contact_until_next_update = NULL WHERE id = 204;
SELECT * FROM period();
-- and one to another account is a release there and a promotion here, which must fit
UPDATE contacts SET account = 'b', id = 103 WHERE id = 3;
UPDATE contacts SET account = 'b' WHERE id = 202;
TABLE contact;
SELECT * FROM period();
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'b', 'marketing' FROM generate_series(41, 43) AS n;
UPDATE contacts SET account = 'b', id = id - 50 WHERE id = 104;
UPDATE contacts SET id = id + 200 WHERE account = 'b' AND id < 100;
SELECT * FROM period();
TABLE contact;
-- a move and a new contact in one statement are not taken for one another, whichever comes first
DELETE FROM contacts;
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_status_source_type, marketing_contact_status_updated_at)
VALUES (1, 'a', 'marketing', 'FORM', '2020-01-01'), (2, 'a', 'non_marketing', 'FORM', '2020-01-01');
TRUNCATE properties;
INSERT INTO properties SELECT id % 100 AS contact, status, until, source_type, updated_at FROM contact;
WITH moved AS (UPDATE contacts SET id = id + 100 RETURNING id)
INSERT INTO contacts (id, account, marketing_contact_status, marketing_contact_status_source_type, marketing_contact_status_source_name, marketing_contact_status_updated_at)
SELECT id % 100 + 10, 'a', 'marketing', NULL, NULL, NULL FROM moved;
WITH new AS (INSERT INTO contacts (id, account, marketing_contact_status_source_type, marketing_contact_status_updated_at) SELECT n, 'a', NULL, NULL FROM generate_series(121, 122) AS n RETURNING id)
UPDATE contacts SET id = id + 100 WHERE id < 120 AND id > 100 AND EXISTS (SELECT FROM new);
MERGE INTO contacts c USING (VALUES (201), (33), (202), (134)) AS s (id) ON c.id = s.id
 WHEN MATCHED THEN UPDATE SET id = s.id - 100
 WHEN NOT MATCHED THEN INSERT (id, account, marketing_contact_status) VALUES (s.id, 'a', 'marketing');
TABLE contact;
SELECT account, drift FROM period();
-- a new contact whose insertion another trigger makes of an update that stays where it is
CREATE FUNCTION add_one() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.note = 'add' THEN
        INSERT INTO s7.contacts (id, account, marketing_contact_status, marketing_contact_status_source_type, marketing_contact_status_source_name, marketing_contact_status_updated_at)
        VALUES (NEW.id + 50, NEW.account, 'marketing', NULL, NULL, NULL);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER zzz_add BEFORE UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION add_one();
UPDATE contacts SET note = 'add' WHERE id IN (101, 33);
UPDATE contacts SET note = 'add', id = id - 100 WHERE id IN (102, 134);
DROP TRIGGER zzz_add ON contacts;
TABLE contact;
SELECT account, drift FROM period();

-- What triggers of the new partition do with it: it may be changed there, or lost
CREATE FUNCTION arrive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.note = 'lost' THEN
        RETURN NULL;
    ELSIF NEW.note = 'demoted' THEN
        NEW.marketing_contact_status := 'non_marketing';
    ELSIF NEW.note = 'other' THEN
        NEW.account := 'b';
    END IF;
    RETURN NEW;
END $$;
DELETE FROM contacts;
CREATE TRIGGER arrive BEFORE INSERT ON high FOR EACH ROW EXECUTE FUNCTION arrive();
INSERT INTO contacts (id, account, note, marketing_contact_status) SELECT n, 'a', w, 'marketing' FROM unnest('{lost, other, stays, demoted, lost}'::text[]) WITH ORDINALITY AS u (w, n);
UPDATE contacts SET id = id + 100;
SELECT c.*, note FROM contact c JOIN contacts USING (id);
SELECT account, marketing, drift FROM period();
DROP TRIGGER arrive ON high;
CREATE TRIGGER zzz_arrive BEFORE INSERT ON high FOR EACH ROW EXECUTE FUNCTION arrive();
DELETE FROM contacts;
INSERT INTO contacts (id, account, note, marketing_contact_status) SELECT n, 'a', w, 'marketing' FROM unnest('{lost, other, stays, demoted, lost}'::text[]) WITH ORDINALITY AS u (w, n);
UPDATE contacts SET id = id + 100;
SELECT c.*, note FROM contact c JOIN contacts USING (id);
SELECT account, marketing, drift FROM period();
DROP TRIGGER zzz_arrive ON high;
-- a move that is refused
DELETE FROM contacts;
INSERT INTO contacts (id, account, marketing_contact_status) SELECT n, 'b', 'marketing' FROM generate_series(1, 6) AS n;
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (7, 'a', 'marketing');
UPDATE contacts SET id = id + 100, account = 'b';
UPDATE contacts SET id = id + 1000 WHERE id < 4;
ALTER TABLE high ADD CHECK (id <> 105);
UPDATE contacts SET id = id + 100;
SELECT account, marketing, drift FROM period();
SELECT count(*) FROM low;

SET client_min_messages = error;
DROP SCHEMA s7 CASCADE;
DELETE FROM contacts_tier.plan WHERE name LIKE 's7%';
