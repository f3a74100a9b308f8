--
-- Thresholds are announced once a period, and again after a fall of 5 points (rule N1)
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set include :abs_srcdir '/include/settings.sql'
\i :include
SET contacts_tier.now = '2026-01-10 10:00+00';
CREATE SCHEMA n1;
SET search_path = n1, public;
SELECT contacts_tier.create_plan('n1', '{100, 1000}');
CREATE TABLE n1 (id integer PRIMARY KEY, account integer NOT NULL);
SELECT contacts_tier.attach('n1', 'account');
SELECT contacts_tier.subscribe('n1', a::text, 'n1', on_exceed => 'block', grace => 10) FROM generate_series(1, 9) a;
INSERT INTO n1 SELECT a * 1000 + n, a FROM generate_series(1, 9) a, generate_series(1, 120) n;
-- what has been announced to an account since this was asked last
CREATE TEMP TABLE seen (entry uuid);
CREATE FUNCTION news(of integer) RETURNS text LANGUAGE sql AS $$
    WITH new AS (INSERT INTO seen SELECT l.entry FROM contacts_tier_ledger l
                  WHERE l.account = of AND l.event IN ('threshold', 'exceeded') AND l.entry NOT IN (SELECT entry FROM seen)
                 RETURNING entry)
    SELECT coalesce(string_agg(coalesce(l.details->>'threshold', 'exceeded'), ' ' ORDER BY l.entry), '-')
      FROM contacts_tier_ledger l JOIN new USING (entry)
$$;
-- so many marketing contacts, by single statements ("each"), or by one
CREATE FUNCTION go(of integer, to_count integer, by text DEFAULT 'one') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    change integer := to_count - (SELECT sum(used) FROM contacts_tier_counter WHERE account = of);
    step integer := CASE by WHEN 'each' THEN 1 ELSE abs(change) END;
BEGIN
    FOR i IN 1 .. abs(change) / greatest(step, 1) LOOP
        IF change > 0 THEN
            UPDATE n1 SET marketing_contact_status = 'marketing'
             WHERE id IN (SELECT id FROM n1 WHERE account = of AND marketing_contact_status = 'non_marketing'
                           ORDER BY id LIMIT step);
        ELSE
            DELETE FROM n1 WHERE id IN (SELECT id FROM n1 WHERE account = of AND marketing_contact_status = 'marketing'
                                         ORDER BY id LIMIT step);
            INSERT INTO n1 SELECT n, of FROM generate_series(of * 1000 + 1, of * 1000 + 120) n ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
    RETURN news(of);
END
$$;
SELECT go(1, 74) AS below, go(1, 75) AS reached, go(1, 80) AS above, go(1, 75) AS less, go(1, 80) AS more;
SELECT go(1, 71) AS "4 points", go(1, 75) AS again, go(1, 70) AS "5 points", go(1, 74) AS below, go(1, 75) AS reached;
SELECT go(1, 89, 'each') AS below, go(1, 90, 'each') AS reached, go(1, 86, 'each') AS "4 points", go(1, 92, 'each') AS again,
       go(1, 85, 'each') AS "5 points", go(1, 91, 'each') AS reached;
-- a fall below several
SELECT go(1, 98), go(1, 100), go(1, 104, 'each'), go(1, 96), go(1, 105), go(1, 95), go(1, 101);
SELECT go(1, 20), go(1, 110), go(1, 0), go(1, 99, 'each');
-- to fall is not enough: what is rolled back was not
BEGIN;
SAVEPOINT s;
SELECT go(1, 50);
ROLLBACK TO s;
SELECT go(1, 99), go(1, 98);
ROLLBACK;
SELECT go(1, 99);
-- in several slots, of which the statements use one after the other
INSERT INTO contacts_tier_counter (account, slot) SELECT 2, s FROM generate_series(1, 3) s;
SELECT go(2, 76), go(2, 71, 'each'), go(2, 77), go(2, 70, 'each'), go(2, 77, 'each'), go(2, 92), go(2, 86), go(2, 92), go(2, 85), go(2, 92, 'each');
-- all of them together
SELECT go(3, 91);
DELETE FROM n1 WHERE account = 3 AND marketing_contact_status = 'marketing';
INSERT INTO n1 SELECT 3000 + n, 3 FROM generate_series(1, 120) n ON CONFLICT (id) DO NOTHING;
SELECT go(3, 91);
-- a rollover: the period is a new one, and who begins it above a threshold is told
SELECT go(4, 95);
UPDATE n1 SET marketing_contact_until_next_update = true
 WHERE id IN (SELECT id FROM n1 WHERE account = 4 AND marketing_contact_status = 'marketing' ORDER BY id LIMIT 10);
SELECT go(5, 60);
SET contacts_tier.now = '2026-02-10 10:00+00';
CALL contacts_tier.rollover('n1');
SELECT news(4) AS "85, told", news(5) AS "60, not", news(1) AS "99, told";
SELECT go(4, 89), go(4, 90), go(4, 70), go(4, 90);
-- contacts that a rollover demotes within the period: TRUNCATE of one of two tables
CREATE TABLE n1_more (id integer PRIMARY KEY, account integer NOT NULL);
SELECT contacts_tier.attach('n1_more', 'account');
INSERT INTO n1_more (id, account, marketing_contact_status) SELECT n, 6, 'marketing' FROM generate_series(1, 30) n;
SELECT go(6, 80);
TRUNCATE n1_more;
SELECT go(6, 80);
-- a fall after a rollover has told, and contacts that are counted in before the next promotion
SELECT go(9, 50);
INSERT INTO n1_more (id, account, marketing_contact_status) SELECT n, 9, 'marketing' FROM generate_series(1, 30) n;
SET contacts_tier.now = '2026-03-10 10:00+00';
SELECT news(9) AS "80";
CALL contacts_tier.rollover('n1');
SELECT news(9) AS "80, told";
SELECT contacts_tier.detach('n1_more');
SELECT contacts_tier.attach('n1_more', 'account');
SELECT news(9) AS "80, counted in", go(9, 81);
TRUNCATE n1_more;
-- repair() leaves a fall noted, in one slot of several
INSERT INTO contacts_tier_counter (account, slot) SELECT 8, s FROM generate_series(1, 3) s;
SELECT go(8, 80), go(8, 70), go(8, 72, 'each');
SET session_replication_role = replica;
DELETE FROM n1 WHERE id = (SELECT max(id) FROM n1 WHERE account = 8 AND marketing_contact_status = 'marketing');
RESET session_replication_role;
SELECT drift, counted FROM contacts_tier.repair('n1');
SELECT go(8, 78);
-- and notes one that happened behind the triggers, also where contacts come back in the same way
SET session_replication_role = replica;
UPDATE n1 SET marketing_contact_status = 'non_marketing' WHERE account = 8;
RESET session_replication_role;
SELECT drift, counted FROM contacts_tier.repair('n1');
SET session_replication_role = replica;
UPDATE n1 SET marketing_contact_status = 'marketing' WHERE account = 8 AND id <= 8074;
RESET session_replication_role;
SELECT drift, counted FROM contacts_tier.repair('n1');
SELECT go(8, 78);
-- a policy's own thresholds; the lowest cannot be fallen below by 5 points
SELECT contacts_tier.set_policy('n1', '7', thresholds => '{3, 50}');
SELECT go(7, 3), go(7, 0), go(7, 3), go(7, 55), go(7, 45), go(7, 55);
-- another tier: all of it once more
SELECT contacts_tier.set_policy('n1', '7', on_exceed => 'upgrade');
SELECT go(7, 111);
SELECT * FROM contacts_tier.verify('n1') WHERE drift <> 0;
SET client_min_messages = error;
DROP SCHEMA n1 CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'n1';
