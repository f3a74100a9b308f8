--
-- Tables whose application saves whole rows: a status that is set to what the row has is no act,
-- and a source that is set to what it was is not given (rules S5, S8)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
\set VERBOSITY terse

CREATE SCHEMA s8;
SET search_path = s8, public;
SELECT contacts_tier.create_plan('s8', '{1000}');
-- the same table with the option and without it, of short names, partitioned by id
CREATE FUNCTION create_contacts(contacts text, whole boolean, companions name DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %1$s (id integer PRIMARY KEY, account text, name text) PARTITION BY RANGE (id);'
                   'CREATE TABLE %1$s_low PARTITION OF %1$s FOR VALUES FROM (0) TO (100);'
                   'CREATE TABLE %1$s_high (name text, id integer NOT NULL, account text);'
                   'ALTER TABLE %1$s ATTACH PARTITION %1$s_high FOR VALUES FROM (100) TO (200)', contacts);
    PERFORM contacts_tier.attach(contacts::regclass, 'account',
        '{"status": "status", "until_next_update": "flag", "source_type": "type", "source_name": "source", "updated_at": "at"}',
        companions, whole);
END $$;
SELECT create_contacts('whole', true), create_contacts('part', false);
SELECT contacts, companion_schema, whole_row_saves FROM contacts_tier.attached() WHERE companion_schema = 's8' ORDER BY contacts::text;
-- the option is in the arguments of the triggers, those of partitions included, and nowhere else
SELECT tgrelid::regclass, tgname, split_part(encode(tgargs, 'escape'), '\000', 8) AS options FROM pg_trigger
 WHERE tgrelid IN ('whole'::regclass, 'whole_high'::regclass, 'part'::regclass) AND tgname LIKE '%contacts_tier%' ORDER BY tgrelid::regclass::text, tgname;
SELECT contacts_tier.subscribe('whole', 'a', 's8');

-- contact 1 is marketing, 2 flagged, 3 non-marketing; each from FORM, signup
CREATE FUNCTION reset_contacts() RETURNS void LANGUAGE sql AS $$
    DELETE FROM s8.whole; DELETE FROM s8.part;
    INSERT INTO s8.whole SELECT i, 'a', 'n', CASE WHEN i = 3 THEN 'non_marketing' ELSE 'marketing' END::contacts_tier.marketing_status,
        CASE WHEN i = 2 THEN true END, 'FORM', 'signup', '2026-01-01' FROM generate_series(1, 3) AS i;
    INSERT INTO s8.part TABLE s8.whole $$;
CREATE FUNCTION states(contacts text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN
    EXECUTE format('SELECT string_agg(concat_ws('':'', id, name, CASE status WHEN ''marketing'' THEN ''M'' ELSE ''N'' END || CASE WHEN flag THEN ''f'' ELSE '''' END,'
                   ' type || ''/'' || source, CASE WHEN at = ''2026-01-01'' THEN ''old'' ELSE ''now'' END), ''  '' ORDER BY id) FROM s8.%I', contacts) INTO r;
    RETURN r;
END $$;
-- a statement on both, where %I is the table, under these settings
CREATE FUNCTION try(statement text, setting text DEFAULT '') RETURNS TABLE (contacts text, result text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM s8.reset_contacts(), set_config('contacts_tier.source_type', setting, true),
        set_config('contacts_tier.source_name', CASE WHEN setting = '' THEN 'me' ELSE 'job' END, true);
    FOREACH contacts IN ARRAY '{whole,part}'::text[] LOOP
        EXECUTE replace(statement, '%I', 's8.' || contacts);
        result := s8.states(contacts);
        RETURN NEXT;
    END LOOP;
END $$;

-- a row is saved as it was read: nothing changes; without the option the flag is cleared (S1)
SELECT * FROM try('UPDATE %I SET name = ''x'', status = status, flag = flag, type = type, source = source, at = at');
SELECT * FROM try('UPDATE %I SET name = ''x'', status = status');
SELECT * FROM try('UPDATE %I SET status = ''marketing'' WHERE id < 3');
SELECT * FROM try('UPDATE %I SET status = ''marketing'', type = ''API'', source = ''other'', at = now() WHERE id < 3');
-- the flag is cleared by NULL and by false, alone and with the status
SELECT * FROM try('UPDATE %I SET status = status, flag = NULL, type = type, source = source', 'API');
SELECT * FROM try('UPDATE %I SET status = ''marketing'', flag = false WHERE id = 2');
SELECT * FROM try('UPDATE %I SET flag = NULL');
-- and set by true, and by non_marketing
SELECT * FROM try('UPDATE %I SET status = status, flag = true, type = type, source = source', 'API');
SELECT * FROM try('UPDATE %I SET status = ''non_marketing'', flag = flag, type = type, source = source', 'API');
SELECT * FROM try('UPDATE %I SET status = ''non_marketing'', flag = NULL');
-- a promotion is an act
SELECT * FROM try('UPDATE %I SET status = ''marketing'', flag = flag, type = type, source = source WHERE id > 1', 'API');
-- a source that is repeated is not given: the setting, else USER and the role; another one is stored (S5)
SELECT replace(result, current_user, 'role') AS "no setting" FROM try('SET LOCAL contacts_tier.source_name = ''''; UPDATE %I SET status = ''non_marketing'', type = type, source = source');
SELECT * FROM try('UPDATE %I SET status = ''non_marketing'', type = ''IMPORT'', source = source', 'API');
SELECT * FROM try('UPDATE %I SET status = ''non_marketing'', type = '''', source = ''file''', 'API');
-- NULL is no status
SELECT * FROM try('UPDATE %I SET status = NULL, flag = flag');

-- upserts, by EXCLUDED and by the row itself; MERGE
SELECT * FROM try('INSERT INTO %I SELECT id, account, ''x'', status, flag, type, source, at FROM %I'
    ' ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, status = EXCLUDED.status, flag = EXCLUDED.flag, type = EXCLUDED.type, source = EXCLUDED.source');
SELECT * FROM try('INSERT INTO %I (id, account, status) VALUES (1, ''a'', ''marketing''), (2, ''a'', ''marketing''), (3, ''a'', ''marketing'')'
    ' ON CONFLICT (id) DO UPDATE SET status = EXCLUDED.status', 'API');
SELECT * FROM try('INSERT INTO %I (id, account, status) VALUES (2, ''a'', ''marketing'')'
    ' ON CONFLICT (id) DO UPDATE SET status = EXCLUDED.status, flag = EXCLUDED.flag, type = EXCLUDED.type, source = EXCLUDED.source', 'API');
SELECT * FROM try('INSERT INTO %I VALUES (2, ''a'', ''x'', ''marketing'', false)'
    ' ON CONFLICT (id) DO UPDATE SET status = EXCLUDED.status, flag = EXCLUDED.flag, type = EXCLUDED.type, source = EXCLUDED.source', 'API');
SELECT * FROM try('MERGE INTO %I c USING %I o ON c.id = o.id WHEN MATCHED THEN UPDATE SET name = ''x'', status = o.status, flag = o.flag, type = o.type, source = o.source');
SELECT * FROM try('MERGE INTO %I c USING generate_series(1, 3) AS n ON c.id = n WHEN MATCHED THEN UPDATE SET status = ''marketing''', 'API');

-- moves to another partition and to another account
SELECT * FROM try('UPDATE %I SET id = id + 100, status = status, flag = flag, type = type, source = source', 'API');
SELECT * FROM try('UPDATE %I SET id = id + 100, status = ''marketing''', 'API');
SELECT * FROM try('UPDATE %I SET account = account, status = ''marketing''', 'API');
-- straight into a partition, of many rows, prepared, FROM another table, and by RETURNING
SELECT * FROM try('UPDATE %I_low SET status = ''marketing'', type = type', 'API');
SELECT * FROM try('UPDATE %I c SET status = o.status, flag = o.flag, type = o.type, source = o.source FROM %I o WHERE o.id = c.id', 'API');
PREPARE save AS UPDATE whole SET status = $1, flag = $2, type = $3, source = $4 WHERE id = $5 RETURNING id, status, flag, type;
SELECT reset_contacts();
EXECUTE save('marketing', true, 'FORM', 'signup', 2);
EXECUTE save('marketing', NULL, 'FORM', 'signup', 2);
SELECT replace(states('whole'), current_user, 'role') AS states;
-- new rows are as they are without the option; COPY
SELECT * FROM try('DELETE FROM %I WHERE id = 1; INSERT INTO %I (id, account, status, type) VALUES (1, ''a'', ''marketing'', '''')', 'API');
SELECT reset_contacts();
COPY whole (id, account, name, status, flag, type) FROM stdin;
4	a	n	marketing	t	FORM
5	a	n	\N	\N	FORM
\.
COPY part (id, account, name, status, flag, type) FROM stdin;
4	a	n	marketing	t	FORM
5	a	n	\N	\N	FORM
\.
SELECT states('whole') = states('part') AS same, replace(states('whole'), current_user, 'role') AS states;
DELETE FROM whole WHERE id > 3;

-- with the triggers of the application: BEFORE ours, after ours, and one that saves the row again at the end
CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER a BEFORE UPDATE ON whole FOR EACH ROW EXECUTE FUNCTION pass();
CREATE TRIGGER a BEFORE UPDATE ON part FOR EACH ROW EXECUTE FUNCTION pass();
SELECT * FROM try('UPDATE %I SET name = ''x'', status = status, flag = flag, type = type, source = source, at = at');
SELECT * FROM try('UPDATE %I SET status = ''non_marketing'', flag = flag, type = type, source = source', 'API');
DROP TRIGGER a ON whole;
DROP TRIGGER a ON part;
CREATE FUNCTION save_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('UPDATE s8.%I SET status = $1, flag = $2, type = $3, source = $4 WHERE id = $5 AND name <> ''again''', TG_ARGV[0])
      USING NEW.status, NEW.flag, NEW.type, NEW.source, NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER b AFTER UPDATE ON whole FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION save_again('whole');
CREATE TRIGGER b AFTER UPDATE ON part FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION save_again('part');
SELECT * FROM try('UPDATE %I SET flag = true WHERE id = 1', 'API');
CREATE FUNCTION demote() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.status := 'non_marketing'; NEW.flag := NULL; RETURN NEW; END $$;
-- a row that waits to be mended counts as decided, also where it is saved as it stands for now
CREATE TRIGGER zzz BEFORE UPDATE ON whole FOR EACH ROW WHEN (NEW.name = 'demoted' AND pg_trigger_depth() = 0) EXECUTE FUNCTION demote();
CREATE TRIGGER zzz BEFORE UPDATE ON part FOR EACH ROW WHEN (NEW.name = 'demoted' AND pg_trigger_depth() = 0) EXECUTE FUNCTION demote();
SELECT * FROM try('UPDATE %I SET name = ''demoted'' WHERE id = 1', 'API');
-- the source of such a row is the one decided: to save the one that is stored for now gives none
CREATE FUNCTION promote_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('UPDATE s8.%I SET status = ''marketing'', flag = NULL, type = $1, source = $2 WHERE id = $3', TG_ARGV[0]) USING NEW.type, NEW.source, NEW.id;
    RETURN NULL;
END $$;
ALTER TABLE whole DISABLE TRIGGER b;
CREATE TRIGGER c AFTER UPDATE ON whole FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION promote_again('whole');
SELECT result FROM try('UPDATE %I SET name = ''demoted'' WHERE id = 1', 'API') WHERE contacts = 'whole';
DROP TRIGGER c ON whole;
ALTER TABLE whole ENABLE TRIGGER b;
-- a row that does not fit, and is saved as it stands for now, is not promoted again
SELECT contacts_tier.create_plan('s8 small', '{1}');
SELECT contacts_tier.subscribe('whole', 'full', 's8 small', on_exceed => 'cap');
SELECT reset_contacts();
INSERT INTO whole (id, account, name, status) SELECT i, 'full', 'n', 'non_marketing' FROM generate_series(11, 13) AS i;
UPDATE whole SET status = 'marketing', name = 'x' WHERE account = 'full';
SELECT id, name, status FROM whole WHERE account = 'full' ORDER BY id;
DELETE FROM whole WHERE account = 'full';
DROP TRIGGER b ON whole;
DROP TRIGGER b ON part;
DROP TRIGGER zzz ON whole;
DROP TRIGGER zzz ON part;
SELECT account, drift, pending_counted = pending_actual AS same FROM contacts_tier.verify('whole');

-- new partitions and repair() have it, too; the rollover is an act
CREATE TABLE whole_new PARTITION OF whole FOR VALUES FROM (200) TO (300);
INSERT INTO whole (id, account, status, flag) VALUES (200, 'a', 'marketing', true);
UPDATE whole_new SET status = 'marketing';
SELECT status, flag FROM whole_new;
DROP TRIGGER contacts_tier_apply ON whole_new;
DROP TRIGGER contacts_tier_truncate ON whole_new;
SELECT count(*) FROM contacts_tier.repair('whole');
SELECT tgname, split_part(encode(tgargs, 'escape'), '\000', 8) AS options FROM pg_trigger WHERE tgrelid = 'whole_new'::regclass AND tgname LIKE '%contacts_tier%' ORDER BY tgname;
UPDATE whole_new SET status = 'marketing';
SELECT status, flag FROM whole_new;
SET contacts_tier.now = '2026-02-10 10:00+00';
CALL contacts_tier.rollover('whole');
SELECT status, flag, type FROM whole_new;
-- renamed, and attached again without it
ALTER TABLE whole RENAME TO saved;
INSERT INTO saved (id, account, status, flag) VALUES (201, 'a', 'marketing', true);
UPDATE saved SET status = 'marketing' WHERE id = 201 RETURNING flag;
SELECT contacts_tier.detach('saved');
SELECT contacts_tier.attach('saved', 'account', '{"status": "status", "until_next_update": "flag", "source_type": "type", "source_name": "source", "updated_at": "at"}');
UPDATE saved SET status = 'marketing' WHERE id = 201 RETURNING flag;
SELECT contacts_tier.attach('saved', whole_row_saves => NULL);

SET client_min_messages = error;
DROP SCHEMA s8 CASCADE;
DELETE FROM contacts_tier.plan WHERE name LIKE 's8%';
