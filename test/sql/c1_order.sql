--
-- Contacts whose row events come in another order than their versions: a trigger changes a
-- contact before the event that made it has come to the counting trigger (rules C1, R1, R2)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings

CREATE SCHEMA c1_order;
SET search_path = c1_order, public;
SET client_min_messages = error;
SELECT contacts_tier.create_plan('c1_order', '{2, 1000}');

-- Writes what the rules do not want, behind the status trigger
CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE NEW.name
        WHEN 'demoted' THEN NEW.marketing_contact_status = 'non_marketing'; NEW.marketing_contact_until_next_update = NULL;
        WHEN 'illegal' THEN NEW.marketing_contact_status = 'non_marketing'; NEW.marketing_contact_until_next_update = true;
        WHEN 'flagged' THEN NEW.marketing_contact_status = 'marketing'; NEW.marketing_contact_until_next_update = true;
        WHEN 'untimed' THEN NEW.marketing_contact_status_updated_at = NULL;
        ELSE NULL;
    END CASE;
    RETURN NEW;
END $$;
-- Sorts before the counting trigger
CREATE FUNCTION nest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE current_setting('c1_order.nested');
    RETURN NULL;
END $$;
-- The same contacts in a table and in partitions
CREATE FUNCTION create_contacts(kind text, partitioned text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE SCHEMA %I', kind);
    PERFORM set_config('search_path', kind || ', c1_order, public', true);
    EXECUTE 'CREATE TABLE contacts (id integer PRIMARY KEY, account text, name text, parent integer) ' || partitioned;
    IF partitioned <> '' THEN
        CREATE TABLE low PARTITION OF contacts FOR VALUES FROM (0) TO (100);
        CREATE TABLE high PARTITION OF contacts FOR VALUES FROM (100) TO (1000);
    END IF;
    ALTER TABLE contacts ADD FOREIGN KEY (parent) REFERENCES contacts ON UPDATE CASCADE ON DELETE SET NULL;
    PERFORM contacts_tier.attach('contacts', 'account');
    PERFORM contacts_tier.subscribe('contacts', account, 'c1_order', 1000) FROM unnest('{a,b}'::text[]) AS account;
    PERFORM contacts_tier.subscribe('contacts', 'cap', 'c1_order', 2, on_exceed => 'cap');
    CREATE TRIGGER zzz BEFORE INSERT OR UPDATE ON contacts FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION spoil();
    CREATE TRIGGER zzz_cascade BEFORE UPDATE ON contacts FOR EACH ROW
        WHEN (OLD.parent IS DISTINCT FROM NEW.parent) EXECUTE FUNCTION spoil();
    CREATE TRIGGER a_new_or_gone AFTER INSERT OR DELETE ON contacts FOR EACH ROW
        WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION nest();
    -- not by the second write
    CREATE TRIGGER a_changed AFTER UPDATE ON contacts FOR EACH ROW
        WHEN (pg_trigger_depth() = 0 AND OLD.name <> NEW.name) EXECUTE FUNCTION nest();
END $$;
SELECT create_contacts('c1_order_table', '');
SELECT create_contacts('c1_order_parts', 'PARTITION BY RANGE (id)');

CREATE TABLE seen (number integer, kind text, fast text, contacts text, drift numeric, error text);
CREATE FUNCTION see(number integer, fast text, kind text, changed text, nested text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    contacts text;
    drifts numeric;
    error text;
BEGIN
    PERFORM set_config('search_path', kind || ', c1_order, public', true), set_config('contacts_tier.fast_path', fast, true),
        set_config('c1_order.nested', 'SELECT', true);
    INSERT INTO contacts (id, account, name, parent, marketing_contact_status)
    VALUES (1, 'a', 'n', NULL, 'marketing'), (2, 'a', 'n', 1, 'marketing'), (3, 'a', 'n', NULL, NULL), (4, 'b', 'n', NULL, 'marketing');
    PERFORM set_config('c1_order.nested', nested, true);
    BEGIN
        EXECUTE changed;
    EXCEPTION WHEN object_not_in_prerequisite_state THEN
        error = sqlerrm;
    END;
    SELECT string_agg(concat(c.id, c.account, ' ', CASE c.marketing_contact_status WHEN 'marketing' THEN '+' ELSE '-' END,
                             CASE WHEN c.marketing_contact_until_next_update THEN '!' END), ', ' ORDER BY c.id)
    INTO contacts FROM contacts c;
    SELECT sum(abs(v.drift) + abs(v.pending_counted - v.pending_actual)) INTO drifts FROM contacts_tier.verify('contacts') v;
    PERFORM set_config('c1_order.nested', 'SELECT', true);
    DELETE FROM contacts;
    SELECT drifts + sum(abs(v.drift) + abs(v.pending_counted - v.pending_actual)) INTO drifts FROM contacts_tier.verify('contacts') v;
    PERFORM contacts_tier.repair('contacts');
    INSERT INTO seen VALUES (number, kind, fast, contacts, drifts, error);
END $$;

CREATE TABLE changes (number serial, changed text);
INSERT INTO changes (changed) VALUES
    ('UPDATE contacts SET name = ''demoted'' WHERE id = 2'),
    ('UPDATE contacts SET name = ''demoted'' WHERE id IN (1, 2)'),
    ('UPDATE contacts SET name = ''illegal'' WHERE id = 2'),
    ('UPDATE contacts SET name = ''flagged'' WHERE id IN (2, 3)'),
    ('UPDATE contacts SET name = ''demoted'', id = 102 WHERE id = 2'),
    ('UPDATE contacts SET name = ''demoted'', id = CASE id WHEN 1 THEN 10 ELSE id END WHERE id IN (1, 2)'),
    ('INSERT INTO contacts VALUES (2, ''a'', ''x'') ON CONFLICT (id) DO UPDATE SET name = ''demoted'''),
    ('INSERT INTO contacts VALUES (20, ''a'', ''illegal'')'),
    ('INSERT INTO contacts SELECT n, ''cap'', CASE n WHEN 22 THEN ''flagged'' ELSE ''untimed'' END, NULL, ''marketing'' FROM generate_series(20, 23) n'),
    ('DELETE FROM contacts WHERE id = 2');
CREATE TABLE nestings (number serial, nested text);
INSERT INTO nestings (nested) VALUES
    ('UPDATE contacts SET marketing_contact_status = marketing_contact_status WHERE id NOT IN (1, 3, 4)'),
    ('UPDATE contacts SET name = name || ''+'''),
    ('UPDATE contacts SET account = ''b'' WHERE id NOT IN (1, 3, 4)'),
    ('UPDATE contacts SET account = ''b'', marketing_contact_status = ''marketing'' WHERE id NOT IN (1, 3, 4)'),
    ('UPDATE contacts SET marketing_contact_status = ''marketing'', marketing_contact_until_next_update = NULL WHERE id NOT IN (1, 3, 4)'),
    ('UPDATE contacts SET marketing_contact_status = ''non_marketing'' WHERE id NOT IN (1, 3, 4)'),
    ('UPDATE contacts SET id = id + 200 WHERE id NOT IN (1, 3, 4) AND id < 200 AND account <> ''cap'''),
    ('DELETE FROM contacts WHERE id NOT IN (1, 3, 4)'),
    ('DO $do$ BEGIN DELETE FROM contacts WHERE id NOT IN (1, 3, 4); RAISE EXCEPTION ''back''; EXCEPTION WHEN raise_exception THEN NULL; END $do$'),
    ('DO $do$ BEGIN UPDATE contacts SET name = ''-'' WHERE id NOT IN (1, 3, 4); EXCEPTION WHEN raise_exception THEN NULL; END $do$'),
    ('SELECT contacts_tier.repair(''contacts'')');
SELECT count(see(c.number * 100 + n.number, fast, kind, changed, nested))
FROM changes c, nestings n, unnest('{on,off}'::text[]) AS fast, unnest('{c1_order_table,c1_order_parts}'::text[]) AS kind
WHERE (c.number, n.number) <> (6, 7);      -- the foreign key refuses it

-- The counters are those of the contacts, whatever came when (C1)
SELECT kind, fast, changed, nested, contacts, drift
FROM seen s, changes c, nestings n
WHERE drift <> 0 AND s.number = c.number * 100 + n.number ORDER BY s.number, kind, fast;
-- What the contacts are depends on the way only where a contact is moved to another partition so
-- early, which demotes it at once, or where the trigger copies a status that it finds stored
SELECT c.number, n.number AS nested, string_agg(DISTINCT contacts, '; ' ORDER BY contacts) AS contacts
FROM seen s, changes c, nestings n
WHERE s.number = c.number * 100 + n.number
GROUP BY c.number, n.number HAVING count(DISTINCT contacts) > 1 ORDER BY c.number, n.number;
SELECT c.number, n.number AS nested, min(contacts) AS contacts
FROM seen s, changes c, nestings n
WHERE s.number = c.number * 100 + n.number
GROUP BY c.number, n.number HAVING count(DISTINCT contacts) = 1 ORDER BY c.number, n.number;
-- Nothing is counted anew where events wait
SELECT count(*), error FROM seen WHERE error IS NOT NULL GROUP BY error;

-- What a statement promotes is spared by the update date that it applies, though a trigger has
-- changed it since (T6)
CREATE FUNCTION move_late(fast text, kind text) RETURNS TABLE (contacts text, drift numeric) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('search_path', kind || ', c1_order, public', true), set_config('contacts_tier.fast_path', fast, true),
        set_config('contacts_tier.now', '2026-01-11 10:00+00', true), set_config('c1_order.nested', 'SELECT', true);
    PERFORM contacts_tier.subscribe('contacts', fast, 'c1_order', 2);
    INSERT INTO contacts (id, account, name, marketing_contact_status, marketing_contact_until_next_update)
    SELECT n, CASE n WHEN 5 THEN 'b' ELSE fast END, 'n', 'marketing', true FROM generate_series(5, 7) AS n;
    PERFORM set_config('contacts_tier.now', '2026-02-11 10:00+00', true),
        set_config('c1_order.nested', 'UPDATE contacts SET name = name || ''+'' WHERE id = 5', true);
    UPDATE contacts SET account = fast, name = 'moved' WHERE id = 5;
    SELECT string_agg(concat(c.id, c.account, ' ', CASE c.marketing_contact_status WHEN 'marketing' THEN '+' ELSE '-' END,
                             CASE WHEN c.marketing_contact_until_next_update THEN '!' END), ', ' ORDER BY c.id)
    INTO contacts FROM contacts c;
    SELECT sum(abs(v.drift) + abs(v.pending_counted - v.pending_actual)) INTO drift FROM contacts_tier.verify('contacts') v;
    DELETE FROM contacts c;
    RETURN NEXT;
END $$;
SELECT * FROM move_late('on', 'c1_order_table');
SELECT * FROM move_late('off', 'c1_order_table');
SELECT * FROM move_late('on', 'c1_order_parts');
SELECT * FROM move_late('off', 'c1_order_parts');

SET client_min_messages = error;
DROP SCHEMA c1_order_table, c1_order_parts, c1_order CASCADE;
