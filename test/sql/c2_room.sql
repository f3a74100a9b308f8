--
-- No statement is refused while there is room (rule C2), and none passes where there is
-- none: what an outer statement has released is there for those that it makes others run, in
-- subtransactions too, and once
--
SET TIME ZONE 'UTC';
SET client_min_messages = warning;
\set SHOW_CONTEXT never
\set VERBOSITY terse
SET contacts_tier.now = '2026-01-10 10:00+00';

CREATE SCHEMA c2;
SET search_path = c2, public;
SELECT contacts_tier.create_plan('c2', '{5}');
CREATE TABLE contacts (id integer PRIMARY KEY, account text, script text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', a, 'c2', on_exceed => 'block') FROM unnest('{a, b}'::text[]) AS a;
-- what a trigger of a statement does: promote contacts, each "(" begins a block with EXCEPTION, ")" ends
-- it, "!" ends it by an error
CREATE FUNCTION run(script text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text := '';
    rest text := script;
    inner_script text;
    depth integer;
    i integer;
BEGIN
    WHILE rest <> '' LOOP
        IF rest ^@ '(' THEN
            depth := 0;
            FOR i IN 1..length(rest) LOOP
                depth := depth + CASE substr(rest, i, 1) WHEN '(' THEN 1 WHEN ')' THEN -1 WHEN '!' THEN -1 ELSE 0 END;
                IF depth = 0 THEN
                    inner_script := substr(rest, 2, i - 2);
                    BEGIN
                        result := result || '(' || run(inner_script);
                        IF substr(rest, i, 1) = '!' THEN
                            RAISE EXCEPTION 'never mind';
                        END IF;
                        result := result || ')';
                    EXCEPTION
                        WHEN raise_exception THEN result := result || '!';
                        WHEN SQLSTATE 'MC001' THEN result := result || 'full)';
                    END;
                    rest := substr(rest, i + 1);
                    EXIT;
                END IF;
            END LOOP;
        ELSE
            UPDATE c2.contacts SET marketing_contact_status = 'marketing' WHERE id = 100 + substr(rest, 1, 1)::integer;
            result := result || substr(rest, 1, 1);
            rest := substr(rest, 2);
        END IF;
    END LOOP;
    RETURN result;
END $$;
CREATE FUNCTION run_script() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 AND OLD.script !~ 'deletes' THEN
        RAISE WARNING '%', c2.run(OLD.script);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER run_script AFTER UPDATE OR DELETE ON contacts FOR EACH ROW EXECUTE FUNCTION run_script();
CREATE FUNCTION state() RETURNS text LANGUAGE sql AS $$
SELECT (SELECT string_agg(format('%s %s', account, n), ', ' ORDER BY account) FROM (SELECT account, count(*) AS n FROM c2.contacts WHERE marketing_contact_status = 'marketing' GROUP BY 1) AS c)
       || coalesce((SELECT ', drift ' || string_agg(drift::text, ' ') FROM contacts_tier.verify('c2.contacts') WHERE drift <> 0), '') $$;
-- an account that is full, with one contact that has a script
CREATE PROCEDURE begin_again(script text) LANGUAGE sql AS $$
    TRUNCATE c2.contacts;
    INSERT INTO c2.contacts (id, account, marketing_contact_status) SELECT n, 'a', 'marketing' FROM generate_series(1, 4) AS n;
    INSERT INTO c2.contacts (id, account, script, marketing_contact_status) VALUES (5, 'a', script, 'marketing');
    INSERT INTO c2.contacts (id, account) SELECT n, 'a' FROM generate_series(101, 109) AS n;
$$;

-- the one place, in a block or not, and blocks of blocks
CALL begin_again('1');
DELETE FROM contacts WHERE id = 5;
SELECT state();
CALL begin_again('(1)');
DELETE FROM contacts WHERE id = 5;
SELECT state();
CALL begin_again('(((1)))');
DELETE FROM contacts WHERE id = 5;
SELECT state();
-- it is there once
CALL begin_again('(1)(2)');
DELETE FROM contacts WHERE id = 5;
SELECT state();
CALL begin_again('(1(2))');
DELETE FROM contacts WHERE id = 5;
SELECT state();
CALL begin_again('1(2)');
DELETE FROM contacts WHERE id = 5;
SELECT state();
-- and again, where who took it has been undone
CALL begin_again('(1!(2)');
DELETE FROM contacts WHERE id = 5;
SELECT state();
CALL begin_again('(1!2');
DELETE FROM contacts WHERE id = 5;
SELECT state();
CALL begin_again('((1)!(2)(3)');
DELETE FROM contacts WHERE id = 5;
SELECT state();
CALL begin_again('((1!(2))(3)');
DELETE FROM contacts WHERE id = 5;
SELECT state();
CALL begin_again('((1!2!((3))(4)');
DELETE FROM contacts WHERE id = 5;
SELECT state();
-- too many takes the whole statement back
CALL begin_again('12');
DELETE FROM contacts WHERE id = 5;
SELECT state();
CALL begin_again('(1)2');
DELETE FROM contacts WHERE id = 5;
SELECT state();

-- other statements that make room: a move to another account, of several, by MERGE, by a CTE, by a cascade
CALL begin_again('(1)(2)');
UPDATE contacts SET account = 'b' WHERE id = 5;
SELECT state();
CALL begin_again('((1)2)(3)(4)');
MERGE INTO contacts c USING (VALUES (3), (4), (5)) AS s (id) ON c.id = s.id
 WHEN MATCHED AND c.id = 3 THEN UPDATE SET account = 'b'
 WHEN MATCHED THEN DELETE;
SELECT state();
CALL begin_again('(1!(2)(3)');
WITH gone AS (DELETE FROM contacts WHERE id = 4 RETURNING account)
UPDATE contacts SET account = 'b' FROM gone WHERE id = 5;
SELECT state();
CALL begin_again('(1)(2)');
WITH gone AS (DELETE FROM contacts WHERE id IN (4, 5) RETURNING account)
INSERT INTO contacts (id, account, marketing_contact_status) SELECT 10, account, 'marketing' FROM gone LIMIT 1;
SELECT state();
CREATE TABLE companies (id integer PRIMARY KEY);
INSERT INTO companies VALUES (7);
ALTER TABLE contacts ADD company integer REFERENCES companies ON DELETE CASCADE;
CALL begin_again(NULL);
UPDATE contacts SET company = 7 WHERE id IN (4, 5);
UPDATE contacts SET script = '(1)(2)(3)' WHERE id = 5;
DELETE FROM companies;
SELECT state();
-- what a trigger of a trigger makes room for
CREATE FUNCTION promote(integer) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE c2.contacts SET marketing_contact_status = 'marketing' WHERE id = $1;
    RETURN 'promoted';
EXCEPTION WHEN SQLSTATE 'MC001' THEN
    RETURN 'full';
END $$;
CREATE FUNCTION cascade_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.script ~ 'deletes' THEN
        DELETE FROM c2.contacts WHERE id = right(OLD.script, 1)::integer;
        RAISE WARNING '%, % after %', c2.promote(100 + OLD.id), c2.promote(105 + OLD.id), OLD.id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER cascade_delete AFTER DELETE ON contacts FOR EACH ROW EXECUTE FUNCTION cascade_delete();
CALL begin_again(NULL);
UPDATE contacts SET script = CASE id WHEN 1 THEN 'deletes 2' WHEN 2 THEN 'deletes 3' END;
DELETE FROM contacts WHERE id = 1;
SELECT state();
SELECT promote(108), promote(109);
SELECT state();

SET client_min_messages = error;
DROP SCHEMA c2 CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'c2';
