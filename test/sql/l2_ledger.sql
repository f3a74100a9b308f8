--
-- The owner keeps as much of the ledger as he wants: entries of a range of time, and
-- prune_ledger(), which takes away activity and nothing else (rule L2)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE ROLE regress_l2_owner;
CREATE ROLE regress_l2_reader;
CREATE SCHEMA l2 AUTHORIZATION regress_l2_owner;
GRANT USAGE ON SCHEMA l2 TO regress_l2_reader;
SELECT contacts_tier.create_plan('l2', '{100, 1000}', '{1, 2}');
\set owner regress_l2_owner
\set grant_owner :srcdir '/include/grant_owner.sql'
\i :grant_owner
SET ROLE regress_l2_owner;
SET search_path = l2, public;
CREATE TABLE contacts (id integer PRIMARY KEY, account varchar(10));
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', a, 'l2', 100, started_at => '2026-01-05') FROM unnest('{a,b,c}'::text[]) a;
-- the owner may not change the ledger by hand
DELETE FROM contacts_tier_ledger;
-- a day of each week, and the move to another tier
RESET ROLE;
CREATE PROCEDURE work(day date, first integer) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('contacts_tier.now', format('%s 10:00+00', day), false);
    SET LOCAL ROLE regress_l2_owner;
    INSERT INTO l2.contacts SELECT i, a, 'marketing' FROM unnest('{a,b}'::text[]) WITH ORDINALITY u (a, n), generate_series(first + 100 * n, first + 100 * n + 60) i;
    INSERT INTO l2.contacts VALUES (first, 'c', 'non_marketing');
END $$;
CALL work('2026-01-06', 1000);
CALL work('2026-01-13', 2000);
CALL work('2026-01-20', 3000);
SET contacts_tier.now = '2026-01-20 11:00+00';
SET ROLE regress_l2_owner;

-- ranges of time: from "since" on, and before "until"
SELECT account, recorded_at, created FROM contacts_tier.activity('contacts', 'a', '2026-01-13 10:00+00', '2026-01-20 10:00+00');
SELECT account, recorded_at, created FROM contacts_tier.activity('contacts', since => '2026-01-13 10:00:00.000001+00');
SELECT account, recorded_at, created FROM contacts_tier.activity(until => '2026-01-13') ORDER BY 1;
SELECT account, changed_at, to_limit FROM contacts_tier.tier_changes('contacts', since => '2026-01-13', until => '2026-01-14') ORDER BY 1;
SELECT count(*) FROM contacts_tier.tier_changes('contacts', 'a', '2026-01-14');
SELECT account, notified_at, event, threshold FROM contacts_tier.notifications('contacts', 'b', until => '2026-01-13');
SELECT count(*) FROM contacts_tier.notifications('contacts', 'b', since => 'infinity');
SELECT count(*) FROM contacts_tier.activity('contacts', since => '-infinity', until => 'infinity');
-- an empty one, and one that ends before it begins
SELECT count(*) FROM contacts_tier.activity('contacts', 'a', '2026-01-13 10:00+00', '2026-01-13 10:00+00');
\set VERBOSITY sqlstate
SELECT count(*) FROM contacts_tier.activity('contacts', 'a', '2026-01-13', '2026-01-12');
SELECT count(*) FROM contacts_tier.tier_changes('contacts', 'a', '2026-01-13', '2026-01-12');
\set VERBOSITY default
SELECT count(*) FROM contacts_tier.notifications('contacts', 'a', '2026-01-13', '2026-01-12');
-- of any time zone and style of dates
SET TIME ZONE 'America/St_Johns';
SET datestyle = 'SQL, DMY';
SELECT account, created FROM contacts_tier.activity('contacts', 'a', '13/01/2026 06:30', '13/01/2026 06:31');
SET TIME ZONE 'UTC';
SET datestyle = 'ISO, YMD';
-- entries that are open in slots, too
RESET ROLE;
SET contacts_tier.now = '2026-01-20 12:00+00';
SET ROLE regress_l2_owner;
INSERT INTO contacts VALUES (9001, 'a', 'marketing');
SELECT entry_started_at FROM contacts_tier_counter WHERE entry_started_at IS NOT NULL AND account = 'a';
SELECT recorded_at, created FROM contacts_tier.activity('contacts', 'a', '2026-01-20 12:00+00', '2026-01-20 12:01+00');
SELECT recorded_at, created FROM contacts_tier.activity('contacts', 'a', '2026-01-20 12:00:01+00');
-- the same rights, and what is hidden is said
SET ROLE regress_l2_reader;
SELECT count(*) FROM contacts_tier.activity('contacts', 'a', '2026-01-13');
SET client_min_messages = notice;
SELECT count(*) FROM contacts_tier.activity(since => '2026-01-13');
SET client_min_messages = warning;
SET ROLE regress_l2_owner;

-- the index on account and time serves, newest first
RESET ROLE;
INSERT INTO contacts_tier_ledger (account, recorded_at, event, role, contacts, details)
SELECT a, '2025-01-01 00:00+00'::timestamptz + i * interval '1 minute', 'activity', 'somebody', 1, '{"created": 1, "promoted": 1}'
  FROM unnest('{a,b,d}'::text[]) a, generate_series(1, 2000) i;
ANALYZE contacts_tier_ledger;
SET ROLE regress_l2_owner;
EXPLAIN (COSTS OFF) SELECT * FROM contacts_tier_ledger
 WHERE event = 'activity' AND account = 'a' AND recorded_at >= '2025-01-01 10:00+00' AND recorded_at < '2025-01-01 10:10+00';
-- and so it does inside the functions: entries of the other accounts and times are not read
CREATE FUNCTION reads(query text, OUT result bigint, OUT index_scans bigint, OUT entries_by_index bigint, OUT table_scans bigint) LANGUAGE plpgsql AS $$
DECLARE
    before bigint[] := ARRAY[pg_stat_get_xact_numscans('l2.contacts_tier_ledger_recorded_at_idx'::regclass),
                             pg_stat_get_xact_tuples_returned('l2.contacts_tier_ledger_recorded_at_idx'::regclass),
                             pg_stat_get_xact_numscans('l2.contacts_tier_ledger'::regclass)];
BEGIN
    EXECUTE query INTO result;
    index_scans := pg_stat_get_xact_numscans('l2.contacts_tier_ledger_recorded_at_idx'::regclass) - before[1];
    entries_by_index := pg_stat_get_xact_tuples_returned('l2.contacts_tier_ledger_recorded_at_idx'::regclass) - before[2];
    table_scans := pg_stat_get_xact_numscans('l2.contacts_tier_ledger'::regclass) - before[3];
END $$;
SELECT * FROM reads($$SELECT count(*) FROM contacts_tier.activity('l2.contacts', 'a', '2025-01-01 10:00+00', '2025-01-01 10:10+00')$$);
SELECT * FROM reads($$SELECT count(*) FROM contacts_tier.notifications('l2.contacts', 'a', '2026-01-06', '2026-01-07')$$);
SELECT * FROM reads($$SELECT count(*) FROM contacts_tier.tier_changes('l2.contacts', 'a', '2026-01-06', '2026-01-14')$$);

-- pruning: in batches, the oldest of each account first
CREATE VIEW entries AS
    SELECT event, account, count(*), min(recorded_at), max(recorded_at) FROM contacts_tier_ledger GROUP BY 1, 2 ORDER BY 1, 2;
TABLE entries;
CREATE TABLE not_activity AS SELECT * FROM contacts_tier_ledger WHERE event <> 'activity';
SELECT contacts_tier.prune_ledger('contacts', '2025-01-01 00:01:30+00');
SELECT contacts_tier.prune_ledger('contacts', '2025-01-02', 1000);
SELECT contacts_tier.prune_ledger('contacts', '2025-01-02', 10000);
SELECT contacts_tier.prune_ledger('contacts', '2025-01-02', 1000);
SELECT * FROM entries WHERE event = 'activity';
-- by indexes: of each account no more is read than is old
SELECT result, index_scans BETWEEN 1 AND 30 AS scans_index, entries_by_index, table_scans
  FROM reads($$SELECT contacts_tier.prune_ledger('l2.contacts', '2025-01-02 00:05+00')$$);
-- up to an instant, which stays
SELECT contacts_tier.prune_ledger('contacts', '2026-01-13 10:00+00');
SELECT * FROM entries WHERE event = 'activity';
-- entries that are open are closed first, where they idle
SELECT contacts_tier.prune_ledger('contacts', 'infinity');
SELECT account, entry_started_at FROM contacts_tier_counter WHERE entry_started_at IS NOT NULL;
RESET ROLE;
SET contacts_tier.now = '2026-01-20 12:02+00';
SET ROLE regress_l2_owner;
SELECT contacts_tier.prune_ledger('contacts', 'infinity');
SELECT account, entry_started_at FROM contacts_tier_counter WHERE entry_started_at IS NOT NULL;
SELECT contacts_tier.prune_ledger('contacts', 'infinity');
SELECT count(*) FROM contacts_tier.activity('contacts');
-- all else is there
(TABLE not_activity EXCEPT TABLE contacts_tier_ledger) UNION ALL (TABLE contacts_tier_ledger EXCEPT TABLE not_activity);
SELECT account, drift FROM contacts_tier.verify('contacts') WHERE drift <> 0;
-- what this session has pruned it does not add to
INSERT INTO contacts VALUES (9002, 'a', 'non_marketing');
SELECT contacts_tier.prune_ledger('contacts', 'infinity');
INSERT INTO contacts VALUES (9003, 'a', 'non_marketing');
SELECT created, statements FROM contacts_tier.activity('contacts', 'a');
SELECT contacts_tier.prune_ledger('contacts', 'infinity');

-- what is refused
SELECT contacts_tier.prune_ledger(NULL, 'infinity');
SELECT contacts_tier.prune_ledger('contacts', NULL);
SELECT contacts_tier.prune_ledger('contacts', 'infinity', NULL);
SELECT contacts_tier.prune_ledger('contacts', 'infinity', 0);
SELECT contacts_tier.prune_ledger('contacts_tier_ledger', 'infinity');
BEGIN READ ONLY;
SELECT contacts_tier.prune_ledger('contacts', 'infinity');
ROLLBACK;
-- others than the owner; and nobody has got a privilege by it
RESET ROLE;
SELECT contacts_tier.prune_ledger('contacts', 'infinity');
GRANT ALL ON l2.contacts, l2.contacts_tier_account, l2.contacts_tier_counter, l2.contacts_tier_ledger TO regress_l2_reader;
SET ROLE regress_l2_reader;
SELECT contacts_tier.prune_ledger('contacts', 'infinity');
RESET ROLE;
GRANT EXECUTE ON FUNCTION contacts_tier.prune_ledger TO regress_l2_reader;
SET ROLE regress_l2_reader;
SELECT contacts_tier.prune_ledger('contacts', 'infinity');
SET ROLE regress_l2_owner;
SELECT p, has_table_privilege('contacts_tier_ledger', p) FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE}'::text[]) p;
DELETE FROM contacts_tier_ledger;

-- triggers, rules and policies of the owner run as the owner, with a safe search_path, and may refuse
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING '% as %, restricted: %', TG_OP, current_user, current_setting('search_path');
    RETURN CASE WHEN OLD.account = 'b' THEN NULL ELSE OLD END;
END $$;
CREATE TRIGGER refuse BEFORE DELETE ON contacts_tier_ledger FOR EACH ROW EXECUTE FUNCTION refuse();
INSERT INTO contacts VALUES (9004, 'a', 'non_marketing'), (9005, 'b', 'non_marketing');
RESET ROLE;
SELECT contacts_tier.prune_ledger('contacts', 'infinity');
SET ROLE regress_l2_owner;
SELECT account FROM contacts_tier.activity('contacts');
CREATE FUNCTION mightier() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'CREATE ROLE regress_l2_mighty SUPERUSER';
    RETURN OLD;
END $$;
CREATE TRIGGER mightier BEFORE DELETE ON contacts_tier_ledger FOR EACH ROW EXECUTE FUNCTION mightier();
RESET ROLE;
\set VERBOSITY sqlstate
SELECT contacts_tier.prune_ledger('contacts', 'infinity');
\set VERBOSITY default
SET ROLE regress_l2_owner;
DROP TRIGGER refuse ON contacts_tier_ledger;
DROP TRIGGER mightier ON contacts_tier_ledger;
-- a rule sees what is deleted; one that writes elsewhere needs the privilege there
CREATE TABLE archive (LIKE contacts_tier_ledger);
CREATE RULE archive AS ON DELETE TO contacts_tier_ledger DO ALSO INSERT INTO archive SELECT OLD.*;
SELECT contacts_tier.prune_ledger('contacts', 'infinity');
SELECT account, event FROM archive;
INSERT INTO contacts VALUES (9006, 'b', 'non_marketing');
DELETE FROM archive;
REVOKE INSERT ON archive FROM regress_l2_owner;
SELECT contacts_tier.prune_ledger('contacts', 'infinity');
CREATE OR REPLACE RULE archive AS ON DELETE TO contacts_tier_ledger DO INSTEAD NOTHING;
SELECT contacts_tier.prune_ledger('contacts', 'infinity');
DROP RULE archive ON contacts_tier_ledger;
-- row security does not hide anything from it
ALTER TABLE contacts_tier_ledger ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY nothing ON contacts_tier_ledger USING (false);
SELECT contacts_tier.prune_ledger('contacts', 'infinity');
ALTER TABLE contacts_tier_ledger DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
SELECT account FROM contacts_tier.activity('contacts');
-- a ledger that is somebody else's
RESET ROLE;
ALTER TABLE contacts_tier_ledger OWNER TO regress_l2_reader;
SELECT contacts_tier.prune_ledger('contacts', 'infinity');
SET ROLE regress_l2_owner;
SELECT contacts_tier.prune_ledger('contacts', 'infinity');
RESET ROLE;
ALTER TABLE contacts_tier_ledger OWNER TO regress_l2_owner;
-- whatever is granted
INSERT INTO contacts VALUES (9007, 'b', 'non_marketing');
GRANT ALL ON contacts_tier_ledger TO regress_l2_owner;
SELECT contacts_tier.prune_ledger('contacts', 'infinity');

RESET search_path;
SET client_min_messages = error;
DROP SCHEMA l2 CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'l2';
DROP OWNED BY regress_l2_owner, regress_l2_reader;
DROP ROLE regress_l2_owner, regress_l2_reader;
DROP PROCEDURE IF EXISTS work;
