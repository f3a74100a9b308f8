--
-- COPY does what an INSERT of the same rows does (rule S6), whichever way it goes
-- (also rule C5)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
-- who writes is shown
CREATE ROLE regress_user SUPERUSER;
SET SESSION AUTHORIZATION regress_user;
\set VERBOSITY terse

CREATE SCHEMA s6;
SET search_path = s6, public;
SELECT contacts_tier.create_plan('s6', '{4}'), contacts_tier.create_plan('s6 big', '{1000000}');
CREATE TABLE contacts (id integer PRIMARY KEY, account text, note text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', 'a', 's6 big'), contacts_tier.subscribe('contacts', 'm', 's6 big'), contacts_tier.subscribe('contacts', 'few', 's6', on_exceed => 'cap');
SELECT contacts_tier.set_policy('contacts', 'm', source_defaults => '{"USER": "marketing"}');
CREATE VIEW contact AS SELECT id, account, note, marketing_contact_status AS status, marketing_contact_until_next_update AS until,
    marketing_contact_status_source_type AS source_type FROM contacts ORDER BY id;

-- A status that is NOT NULL, and everything else as well
ALTER TABLE contacts ALTER marketing_contact_status SET NOT NULL, ALTER marketing_contact_status_source_type SET NOT NULL,
    ALTER marketing_contact_status_source_name SET NOT NULL, ALTER marketing_contact_status_updated_at SET NOT NULL,
    ADD CHECK (marketing_contact_until_next_update);
COPY contacts (id, account, marketing_contact_status) FROM stdin;
1	a	\N
2	m	\N
3	a	marketing
\.
COPY contacts (id, account, marketing_contact_status, marketing_contact_until_next_update, marketing_contact_status_source_type,
               marketing_contact_status_source_name, marketing_contact_status_updated_at) FROM stdin (FORMAT csv, NULL 'nil');
4,m,nil,nil,nil,nil,nil
5,a,non_marketing,true,nil,"",nil
6,a,marketing,false,FORM,f,nil
\.
COPY contacts FROM stdin (HEADER, DELIMITER '|');
id|account|note|status|until|type|name|time
7|a||\N|\N|\N|\N|\N
\.
TABLE contact;
INSERT INTO contacts SELECT id + 10, account, note, NULL, NULL, NULL, NULL, NULL FROM contacts;
SELECT count(*) FROM contact c JOIN contact i ON i.id = c.id + 10 WHERE c.id IN (1, 2, 4, 7) AND (c.status, c.source_type) IS DISTINCT FROM (i.status, i.source_type);


-- Triggers of the application see what is stored, and are not shown it twice
DELETE FROM contacts;
CREATE TABLE seen (n integer GENERATED ALWAYS AS IDENTITY, id integer, status text, source_type text, op text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO s6.seen (id, status, source_type, op) VALUES (NEW.id, NEW.marketing_contact_status, NEW.marketing_contact_status_source_type, TG_OP);
    RETURN NULL;
END $$;
CREATE TRIGGER aa_see AFTER INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION see();
COPY contacts (id, account) FROM stdin;
1	m
2	a
3	nobody
\.
SET contacts_tier.source_type = 'FORM';
COPY contacts (id, account, marketing_contact_status) FROM stdin;
4	a	\N
5	a	non_marketing
\.
RESET contacts_tier.source_type;
SELECT id, string_agg(concat_ws(' ', s.op, s.status, s.source_type), ', ' ORDER BY s.n) AS seen, c.status, c.source_type FROM contact c JOIN seen s USING (id) GROUP BY id, c.status, c.source_type ORDER BY id;
-- under a cap, the last that is seen is what is there
TRUNCATE seen;
COPY contacts (id, account, marketing_contact_status) FROM stdin;
11	few	marketing
12	few	marketing
13	few	\N
14	few	marketing
15	few	marketing
16	few	marketing
\.
SELECT id, (SELECT s.status FROM seen s WHERE s.id = c.id ORDER BY n DESC LIMIT 1) AS seen, c.status FROM contact c WHERE account = 'few';
DROP TRIGGER aa_see ON contacts;


-- WHERE sees the same rows with a BEFORE trigger that does nothing, and without
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
DELETE FROM contacts;
COPY contacts (id, account) FROM stdin WHERE marketing_contact_status = 'non_marketing';
1	a
2	m
\.
COPY contacts (id, account, marketing_contact_status) FROM stdin WHERE marketing_contact_status IS NOT NULL AND marketing_contact_status_source_type IS NULL;
3	a	marketing
4	a	\N
\.
COPY contacts (id, account, marketing_contact_status) FROM stdin WHERE marketing_contact_status IS NULL;
5	a	marketing
6	m	\N
\.
CREATE TABLE without AS SELECT id, status, source_type FROM contact;
DELETE FROM contacts;
CREATE TRIGGER nothing BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION nothing();
COPY contacts (id, account) FROM stdin WHERE marketing_contact_status = 'non_marketing';
1	a
2	m
\.
COPY contacts (id, account, marketing_contact_status) FROM stdin WHERE marketing_contact_status IS NOT NULL AND marketing_contact_status_source_type IS NULL;
3	a	marketing
4	a	\N
\.
COPY contacts (id, account, marketing_contact_status) FROM stdin WHERE marketing_contact_status IS NULL;
5	a	marketing
6	m	\N
\.
SELECT * FROM without FULL JOIN (SELECT id, status, source_type FROM contact) AS c USING (id) WHERE (without.status, without.source_type) IS DISTINCT FROM (c.status, c.source_type);
TABLE contact;
DROP TRIGGER nothing ON contacts;
DROP TABLE without;


-- Statements that are nested in it are statements of their own: a default, a CHECK, a trigger
DELETE FROM contacts;
CREATE FUNCTION add_one(integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO s6.contacts (id, account, note, marketing_contact_status, marketing_contact_status_source_type)
        SELECT $1, 'm', 'nested', 'non_marketing', 'FORM' WHERE NOT EXISTS (SELECT FROM s6.contacts WHERE id = $1);
    UPDATE s6.contacts SET marketing_contact_status = 'marketing' WHERE id = $1 + 1;
    RETURN 'outer';
END $$;
ALTER TABLE contacts ALTER note SET DEFAULT add_one(100);
INSERT INTO contacts (id, account, note) VALUES (101, 'a', '');
COPY contacts (id, account) FROM stdin;
1	a
2	m
\.
ALTER TABLE contacts ALTER note DROP DEFAULT, ADD CONSTRAINT nested CHECK (id > 99 OR add_one(200) = 'outer');
COPY contacts (id, account, marketing_contact_status) FROM stdin;
3	m	non_marketing
4	m	\N
5	a	\N
\.
ALTER TABLE contacts DROP CONSTRAINT nested;
CREATE FUNCTION copied() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM s6.add_one(300); RETURN NULL; END $$;
CREATE TRIGGER copied AFTER INSERT ON contacts FOR EACH ROW WHEN (NEW.id < 100) EXECUTE FUNCTION copied();
COPY contacts (id, account) FROM stdin;
301	a
6	m
\.
DROP TRIGGER copied ON contacts;
TABLE contact;
-- and a COPY in a statement is, too
CREATE FUNCTION copy_in() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.note = 'copy' THEN
        COPY s6.contacts (id, account) FROM PROGRAM 'echo 401 m; echo 402 a' (DELIMITER ' ');
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER copy_in BEFORE INSERT ON contacts FOR EACH ROW EXECUTE FUNCTION copy_in();
INSERT INTO contacts (id, account, note, marketing_contact_status) VALUES (403, 'm', 'copy', 'non_marketing'), (404, 'a', '', 'marketing');
DROP TRIGGER copy_in ON contacts;
SELECT * FROM contact WHERE id > 400;


-- Partitions: one with a BEFORE trigger of its own, one with columns in another order
CREATE TABLE parted (id integer, account text, note text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE TABLE parted_2 (note text, gone integer, account text, id integer);
ALTER TABLE parted_2 DROP gone;
ALTER TABLE parted ATTACH PARTITION parted_2 FOR VALUES FROM (100) TO (200);
CREATE TABLE parted_3 PARTITION OF parted FOR VALUES FROM (200) TO (300);
SELECT contacts_tier.attach('parted', 'account');
CREATE FUNCTION decide() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.note = 'drop' THEN
        RETURN NULL;
    END IF;
    NEW.marketing_contact_status := CASE WHEN NEW.note = 'm' THEN 'marketing' ELSE 'non_marketing' END;
    NEW.marketing_contact_status_source_type := TG_TABLE_NAME;
    RETURN NEW;
END $$;
CREATE TRIGGER aa BEFORE INSERT ON parted_1 FOR EACH ROW EXECUTE FUNCTION decide();
CREATE TRIGGER zzzz BEFORE INSERT ON parted_2 FOR EACH ROW EXECUTE FUNCTION decide();
CREATE TABLE lines (id integer, account text, note text);
INSERT INTO lines VALUES (1, 'm', ''), (101, 'm', 'm'), (201, 'm', ''), (2, 'a', 'm'), (102, 'm', 'drop'), (202, 'a', 'm'), (3, 'm', 'drop'), (103, 'm', ''), (4, 'few', 'm');
INSERT INTO parted SELECT * FROM lines;
CREATE TABLE by_insert AS SELECT id, account, note, marketing_contact_status AS status, marketing_contact_status_source_type AS source_type FROM parted;
DELETE FROM parted;
COPY parted (id, account, note) FROM stdin;
1	m	
101	m	m
201	m	
2	a	m
102	m	drop
202	a	m
3	m	drop
103	m	
4	few	m
\.
SELECT id, account, note, marketing_contact_status, marketing_contact_status_source_type FROM parted ORDER BY id;
SELECT count(*) FROM (SELECT id, account, note, marketing_contact_status, marketing_contact_status_source_type FROM parted EXCEPT TABLE by_insert) AS difference;
COPY parted_1 (id, account) FROM stdin;
5	m
\.
COPY parted_2 (id, account, note) FROM stdin;
105	a	m
205	a	m
\.
COPY parted_2 (id, account, note) FROM stdin;
105	a	m
\.
SELECT id, account, note, marketing_contact_status, marketing_contact_status_source_type FROM parted WHERE id % 100 = 5 ORDER BY id;


-- What else a COPY must do: generated columns, identity, errors that name their line, a view
CREATE TABLE more (id integer GENERATED ALWAYS AS IDENTITY (START WITH 7), account text NOT NULL, note text DEFAULT 'd' CHECK (note <> 'bad'),
                   double text GENERATED ALWAYS AS (account || account) STORED);
SELECT contacts_tier.attach('more', 'account');
ALTER TABLE more ADD is_marketing boolean GENERATED ALWAYS AS (marketing_contact_status = 'marketing') STORED;
COPY more (account) FROM stdin;
m
a
\.
COPY more (account, note, marketing_contact_status) FROM stdin;
m	x	non_marketing
a	y	marketing
\.
\set VERBOSITY default
\set SHOW_CONTEXT errors
COPY more (account, note) FROM stdin;
m	x
m	bad
\.
COPY more (account, marketing_contact_status) FROM stdin;
m	marketing
m	marketable
\.
COPY more (account, note) FROM stdin;
m
\.
\set VERBOSITY terse
\set SHOW_CONTEXT never
SELECT id, account, note, double, is_marketing FROM more ORDER BY id;
CREATE VIEW people AS SELECT account, note FROM more;
CREATE FUNCTION put() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO s6.more (account, note) VALUES (NEW.account, NEW.note); RETURN NEW; END $$;
CREATE TRIGGER put INSTEAD OF INSERT ON people FOR EACH ROW EXECUTE FUNCTION put();
COPY people FROM stdin;
m	view
\.
SELECT note, is_marketing FROM more WHERE note = 'view';
BEGIN;
TRUNCATE more;
COPY more (account) FROM stdin (FREEZE);
m
\.
SELECT count(*) FROM more WHERE is_marketing;
COMMIT;

-- The work is that of the rows: four times as many take about four times as many pages, where some
-- must be mended, do not fit, or are left to a default, too
CREATE TABLE large (id integer, account text, note text) WITH (autovacuum_enabled = off);
SELECT contacts_tier.attach('large', 'account');
SELECT contacts_tier.subscribe('large', 'tiny', 's6', on_exceed => 'cap'), contacts_tier.subscribe('large', 'tight', 's6', on_exceed => 'block');
CREATE FUNCTION behind() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.note = 'behind' THEN
        NEW.marketing_contact_status_source_type := NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER zzz_behind BEFORE INSERT OR UPDATE ON large FOR EACH ROW EXECUTE FUNCTION behind();
CREATE TABLE work (n integer GENERATED ALWAYS AS IDENTITY, what text, rows integer, pages bigint);
CREATE FUNCTION pages() RETURNS bigint LANGUAGE sql AS $$
    SELECT sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0))::bigint FROM pg_statio_user_tables
     WHERE schemaname = 's6' AND relname <> 'work' $$;
CREATE TABLE measure (what text, statement text);
INSERT INTO measure VALUES
    ('all given', $$COPY s6.large (id, account, marketing_contact_status) FROM PROGRAM 'seq -f "@ a marketing" 1 %s' (DELIMITER ' ')$$),
    ('all but the first', $$COPY s6.large (id, account, marketing_contact_status) FROM PROGRAM 'echo "0 a \N"; seq -f "@ a marketing" 1 %s' (DELIMITER ' ')$$),
    ('none given', $$COPY s6.large (id, account) FROM PROGRAM 'seq -f "@ m" 1 %s' (DELIMITER ' ')$$),
    ('too many', $$COPY s6.large (id, account, marketing_contact_status) FROM PROGRAM 'seq -f "@ tiny marketing" 1 %s' (DELIMITER ' ')$$),
    ('too many by default', $$INSERT INTO s6.large (id, account, marketing_contact_status_source_type) SELECT n, 'tight', 'FORM' FROM generate_series(1, %s) AS n$$),
    ('mended', $$INSERT INTO s6.large (id, account, note, marketing_contact_status) SELECT n, 'a', 'behind', 'marketing' FROM generate_series(1, %s) AS n$$),
    ('mended, too many', $$COPY s6.large (id, account, note, marketing_contact_status) FROM PROGRAM 'seq -f "@ tiny behind marketing" 1 %s' (DELIMITER ' ')$$);
SET client_min_messages = error;
INSERT INTO work (pages) VALUES (pages());
\set ECHO none
\o /dev/null
SELECT CASE WHEN what ~ 'mended' THEN 'ALTER TABLE s6.large ENABLE TRIGGER zzz_behind' ELSE 'ALTER TABLE s6.large DISABLE TRIGGER zzz_behind' END,
       'TRUNCATE s6.large', 'SELECT pg_stat_force_next_flush()', 'INSERT INTO s6.work (pages) VALUES (s6.pages())',
       replace(format(replace(statement, '@', '%%.0f'), n), '%%', '%'), 'SELECT pg_stat_force_next_flush()',
       format('INSERT INTO s6.work (what, rows, pages) VALUES (%L, %s, s6.pages())', what, n)
  FROM measure, unnest('{2000, 8000}'::integer[]) AS n ORDER BY what COLLATE "C", n \gexec
\o
\set ECHO all
WITH done AS (SELECT what, rows, pages - lag(pages) OVER (ORDER BY n) AS pages FROM work)
SELECT what, round(b.pages::numeric / a.pages, 1) BETWEEN 3.5 AND 4.5 AS is_linear, b.pages / b.rows < 15 AS is_little
  FROM done a JOIN done b USING (what) WHERE a.rows = 2000 AND b.rows = 8000 ORDER BY what COLLATE "C";
SET client_min_messages = warning;

SELECT account, drift FROM contacts_tier.verify() WHERE drift <> 0 OR pending_counted <> pending_actual;
SET client_min_messages = error;
DROP SCHEMA s6 CASCADE;
DELETE FROM contacts_tier.plan WHERE name LIKE 's6%';
RESET SESSION AUTHORIZATION;
DROP ROLE regress_user;
