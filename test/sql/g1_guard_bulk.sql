--
-- The guard and many rows: it stores exactly those that a query would choose, in whichever
-- order they come, whatever has become of the contacts, and however these are partitioned
-- (rule G1)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
CREATE SCHEMA g1_bulk;
SET search_path = g1_bulk, public;
SELECT contacts_tier.create_plan('g1 bulk', '{100000}');
-- The order in which contacts are sent to, by an expression
CREATE TABLE orders (name text, ordering text);
INSERT INTO orders VALUES ('ascending', 'c.id'), ('descending', 'c.id DESC'), ('random', 'md5(c.id::text)'), ('place', 'c.place'),
    ('each third', 'c.id % 3, c.id'), ('by account', 'c.account, c.id'), ('accounts in turn', 'c.id / 50, c.account, c.id');
-- Makes contacts with holes, moved and rolled back versions, HOT chains and contacts of others between them
CREATE FUNCTION fill(contacts regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM contacts_tier.attach(contacts, 'account');
    PERFORM contacts_tier.subscribe(contacts, a::text, 'g1 bulk') FROM generate_series(1, 5) AS a WHERE NOT EXISTS (SELECT FROM contacts_tier_account);
    EXECUTE format('INSERT INTO %s (id, account, marketing_contact_status) SELECT i, 1 + i / 100 %% 5,
                    CASE WHEN i %% 7 = 0 THEN ''non_marketing'' ELSE ''marketing'' END::contacts_tier.marketing_status
                    FROM generate_series(1, 1000) AS i', contacts);
    BEGIN
        EXECUTE format('INSERT INTO %s (id, account, marketing_contact_status) SELECT i, 1 + i / 100 %% 5, ''marketing'' FROM generate_series(1001, 1100) AS i', contacts);
        EXECUTE format('DELETE FROM %s WHERE id %% 9 = 0', contacts);
        RAISE EXCEPTION 'back';
    EXCEPTION WHEN raise_exception THEN
        NULL;
    END;
    EXECUTE format('INSERT INTO %s (id, account, marketing_contact_status) SELECT i, 1 + i %% 5, ''marketing'' FROM generate_series(1050, 1500) AS i', contacts);
    EXECUTE format('DELETE FROM %s WHERE id %% 11 = 0', contacts);
    EXECUTE format('UPDATE %s SET note = ''x'' WHERE id %% 5 = 0', contacts);
    EXECUTE format('UPDATE %s SET marketing_contact_status = ''marketing'' WHERE id %% 35 = 0', contacts);
    EXECUTE format('UPDATE %s SET note = ''y'' WHERE id BETWEEN 300 AND 400', contacts);
    EXECUTE format('UPDATE %s SET id = id + 1000 WHERE id BETWEEN 600 AND 620', contacts);
END $$;
-- Sends to all ids, of contacts and others, in each order, and compares what is stored
CREATE FUNCTION compare(contacts regclass, id_type regtype DEFAULT 'bigint') RETURNS TABLE (name text, stored bigint, wrong bigint)
LANGUAGE plpgsql AS $$
DECLARE
    ordering text;
BEGIN
    EXECUTE format('CREATE TABLE sends (account integer, tool text, id %s, n integer GENERATED ALWAYS AS IDENTITY)', id_type);
    PERFORM contacts_tier.guard('sends', 'tool', 'id', contacts, 'skip');
    EXECUTE format('CREATE TABLE candidates AS SELECT i AS id, coalesce(c.account, 1 + i %% 6) AS account, c.ctid AS place,
                    c.marketing_contact_status IS NOT DISTINCT FROM ''marketing'' AS passes
                    FROM generate_series(1, 1700) AS i LEFT JOIN %s AS c ON c.id = i', contacts);
    FOR compare.name, ordering IN SELECT o.name, o.ordering FROM orders AS o LOOP
        TRUNCATE sends;
        EXECUTE format('INSERT INTO sends (account, tool, id) SELECT c.account, CASE WHEN c.id %% 10 = 0 AND c.id %% 20 > 0 THEN ''sequence'' ELSE ''marketing_email'' END, c.id
                        FROM candidates AS c, generate_series(1, 1 + (c.id %% 4 = 0)::integer) ORDER BY %s', ordering);
        SELECT count(*) INTO stored FROM sends;
        SELECT count(*) INTO wrong FROM (
            (SELECT c.id FROM candidates AS c, generate_series(1, 1 + (c.id % 4 = 0)::integer)
              WHERE c.passes OR c.id % 10 = 0 AND c.id % 20 > 0 EXCEPT ALL SELECT s.id FROM sends AS s)
            UNION ALL
            (SELECT s.id FROM sends AS s EXCEPT ALL SELECT c.id FROM candidates AS c, generate_series(1, 1 + (c.id % 4 = 0)::integer)
              WHERE c.passes OR c.id % 10 = 0 AND c.id % 20 > 0)) AS w;
        RETURN NEXT;
    END LOOP;
    DROP TABLE sends, candidates;
END $$;

CREATE TABLE plain (id bigint PRIMARY KEY, account integer, note text);
SELECT fill('plain');
SELECT * FROM compare('plain');
SELECT * FROM compare('plain', 'integer');
VACUUM plain;
SELECT * FROM compare('plain');

-- Partitions: by the account, by the id, by both, of two levels, with other columns
CREATE TABLE by_list (note text, account integer, id bigint, PRIMARY KEY (account, id)) PARTITION BY LIST (account);
CREATE TABLE by_list_1 PARTITION OF by_list FOR VALUES IN (1, 2);
CREATE TABLE by_list_3 (id bigint NOT NULL, gone integer, account integer NOT NULL, note text) PARTITION BY RANGE (id);
ALTER TABLE by_list_3 DROP COLUMN gone;
CREATE TABLE by_list_3_low PARTITION OF by_list_3 FOR VALUES FROM (MINVALUE) TO (500);
CREATE TABLE by_list_3_high PARTITION OF by_list_3 DEFAULT;
ALTER TABLE by_list ATTACH PARTITION by_list_3 FOR VALUES IN (3);
CREATE TABLE by_list_other PARTITION OF by_list DEFAULT;
CREATE TABLE by_hash (id bigint PRIMARY KEY, account integer, note text) PARTITION BY HASH (id);
SELECT format('CREATE TABLE by_hash_%s PARTITION OF by_hash FOR VALUES WITH (MODULUS 5, REMAINDER %1$s)', i) FROM generate_series(0, 4) AS i \gexec
CREATE TABLE by_both (account integer, id bigint, note text, PRIMARY KEY (account, id)) PARTITION BY RANGE (id, account);
CREATE TABLE by_both_1 PARTITION OF by_both FOR VALUES FROM (1, MINVALUE) TO (700, 3);
CREATE TABLE by_both_2 PARTITION OF by_both FOR VALUES FROM (700, 3) TO (5000, MAXVALUE);
SELECT fill(name) FROM unnest('{by_list, by_hash, by_both}'::regclass[]) AS name;
SELECT c, r.* FROM unnest('{by_list, by_hash, by_both}'::regclass[]) AS c, compare(c) AS r;
-- the value has another type than the partition key: nothing tells the partition
SELECT * FROM compare('by_hash', 'integer');
-- a key that no partition is for, and then a partition that comes
CREATE TABLE sends (tool text, account integer, id bigint);
SELECT contacts_tier.guard('sends', 'tool', 'id', 'by_both');
INSERT INTO sends VALUES ('marketing_email', 1, 6000);
BEGIN;
CREATE TABLE by_both_3 PARTITION OF by_both FOR VALUES FROM (6000, MINVALUE) TO (7000, MAXVALUE);
INSERT INTO by_both (id, account, marketing_contact_status) VALUES (6000, 1, 'marketing');
INSERT INTO sends VALUES ('marketing_email', 1, 6000);
ALTER TABLE by_both DETACH PARTITION by_both_3;
INSERT INTO sends VALUES ('marketing_email', 1, 6000);
ROLLBACK;
DROP TABLE sends;

-- What the statement itself does to the contacts, in the midst of others that come in order
CREATE FUNCTION touch(i bigint) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    CASE i % 5
        WHEN 0 THEN UPDATE plain SET note = 'again' WHERE id = i;
        WHEN 1 THEN DELETE FROM plain WHERE id = i;
        WHEN 2 THEN DELETE FROM plain WHERE id = i + 1;
        WHEN 3 THEN INSERT INTO plain (id, account, marketing_contact_status) VALUES (i, 1, 'marketing');
        ELSE NULL;
    END CASE;
    RETURN i;
END $$;
CREATE TABLE sends (tool text, id bigint);
SELECT contacts_tier.guard('sends', 'tool', 'id', 'plain', 'skip');
UPDATE plain SET marketing_contact_status = 'marketing' WHERE id BETWEEN 1 AND 200;
DELETE FROM plain WHERE id BETWEEN 1 AND 200 AND id % 5 = 3;
INSERT INTO sends SELECT 'marketing_email', touch(i) FROM generate_series(1, 200) AS i;
SELECT id % 5 AS rest, count(*), count(*) FILTER (WHERE id % 11 = 0) AS deleted_before FROM sends GROUP BY 1 ORDER BY 1;

-- Keys by reference
CREATE TABLE people (email text PRIMARY KEY, account integer, note text) PARTITION BY LIST (email);
CREATE TABLE people_a PARTITION OF people FOR VALUES IN ('a1', 'a2', 'a3');
CREATE TABLE people_other PARTITION OF people DEFAULT;
SELECT contacts_tier.attach('people', 'account');
INSERT INTO people (email, account, marketing_contact_status)
SELECT c || i, 1, CASE WHEN i % 3 > 0 THEN 'marketing' ELSE 'non_marketing' END::contacts_tier.marketing_status
  FROM unnest('{a, b}'::text[]) AS c, generate_series(1, 100) AS i;
CREATE TABLE mails (tool text, email varchar(30));
SELECT contacts_tier.guard('mails', 'tool', 'email', 'people', 'skip');
INSERT INTO mails SELECT 'marketing_email', c || i FROM unnest('{a, b, c}'::text[]) AS c, generate_series(1, 100) AS i ORDER BY i, c;
SELECT left(email, 1) AS letter, count(*), count(*) FILTER (WHERE substr(email, 2)::integer % 3 = 0) AS wrong FROM mails GROUP BY 1 ORDER BY 1;

SET search_path = public;
DROP SCHEMA g1_bulk CASCADE;
DELETE FROM contacts_tier.plan WHERE name LIKE 'g1%';
