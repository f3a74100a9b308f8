--
-- Partitions that come and go, and whose they are (rules C1, R3 and R5)
--
SET TIME ZONE 'UTC';
SET client_min_messages = warning;
\set SHOW_CONTEXT never
SET contacts_tier.now = '2026-01-10 10:00+00';

CREATE ROLE regress_c_owner;
CREATE ROLE regress_c_other;
CREATE ROLE regress_c_writer;
GRANT EXECUTE ON FUNCTION contacts_tier.attach, contacts_tier.subscribe(regclass, text, text, bigint, contacts_tier.billing_cycle, timestamptz, text, contacts_tier.exceed_policy, bigint), contacts_tier.repair,
    contacts_tier_internal.create_companions, contacts_tier_internal.maintain_status, contacts_tier_internal.count_contact,
    contacts_tier_internal.apply_counts, contacts_tier_internal.count_truncate TO regress_c_owner;
GRANT EXECUTE ON FUNCTION contacts_tier_internal.maintain_status TO regress_c_other;
CREATE SCHEMA c_owner AUTHORIZATION regress_c_owner;
GRANT USAGE ON SCHEMA c_owner TO regress_c_other, regress_c_writer;
SELECT contacts_tier.create_plan('c_owner', '{1000}');
CREATE FUNCTION public.c_owner_state() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT coalesce(sum(used), 0) FROM c_owner.contacts_tier_counter) || ' counted, ' ||
           (SELECT count(*) FROM contacts_tier.verify() WHERE drift <> 0 OR pending_counted <> pending_actual) || ' drift';
END $$;
SET ROLE regress_c_owner;
CREATE TABLE c_owner.contacts (id int, account text) PARTITION BY RANGE (id);
SELECT contacts_tier.attach('c_owner.contacts', 'account');
SELECT contacts_tier.subscribe('c_owner.contacts', 'a', 'c_owner');
RESET ROLE;

-- A partition that somebody else makes is counted once it has the owner of the
-- others, and cannot be written before
CREATE TABLE c_owner.c1 PARTITION OF c_owner.contacts FOR VALUES FROM (0) TO (100);
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'c_owner.c1'::regclass;
INSERT INTO c_owner.contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');
ALTER TABLE c_owner.c1 OWNER TO regress_c_owner;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'c_owner.c1'::regclass;
INSERT INTO c_owner.contacts (id, account, marketing_contact_status) VALUES (1, 'a', 'marketing');
-- one with contacts is refused until then
CREATE TABLE c_owner.c2 (LIKE c_owner.contacts);
INSERT INTO c_owner.c2 (id, account, marketing_contact_status) VALUES (101, 'a', 'marketing');
ALTER TABLE c_owner.contacts ATTACH PARTITION c_owner.c2 FOR VALUES FROM (100) TO (200);
ALTER TABLE c_owner.c2 OWNER TO regress_c_owner;
ALTER TABLE c_owner.contacts ATTACH PARTITION c_owner.c2 FOR VALUES FROM (100) TO (200);
ALTER TABLE c_owner.c2 OWNER TO regress_c_other;
ALTER TABLE c_owner.contacts DETACH PARTITION c_owner.c2;
ALTER TABLE c_owner.c2 OWNER TO regress_c_owner;
SELECT c_owner_state();

-- So it is when the table is attached; what comments on triggers need is the owner, too
CREATE TABLE c_owner.late (id int, account text) PARTITION BY RANGE (id);
CREATE TABLE c_owner.late1 PARTITION OF c_owner.late FOR VALUES FROM (0) TO (100);
INSERT INTO c_owner.late VALUES (1, 'a');
ALTER TABLE c_owner.late1 OWNER TO regress_c_other;
BEGIN;
ALTER TABLE c_owner.contacts_tier_account OWNER TO CURRENT_USER;
ALTER TABLE c_owner.contacts_tier_counter OWNER TO CURRENT_USER;
ALTER TABLE c_owner.contacts_tier_ledger OWNER TO CURRENT_USER;
SAVEPOINT s;
SELECT contacts_tier.attach('c_owner.late', 'account');
ROLLBACK TO s;
TRUNCATE c_owner.late1;
SELECT contacts_tier.attach('c_owner.late', 'account');
SELECT count(*), count(obj_description(oid, 'pg_trigger')) FROM pg_trigger WHERE tgrelid = 'c_owner.late1'::regclass;
ALTER TABLE c_owner.late1 OWNER TO CURRENT_USER;
SELECT count(*), count(obj_description(oid, 'pg_trigger')) FROM pg_trigger WHERE tgrelid = 'c_owner.late1'::regclass;
ROLLBACK;
DROP TABLE c_owner.late;

-- Everything that one role owns goes
BEGIN;
DROP OWNED BY regress_c_owner;
SELECT count(*) FROM pg_class WHERE relowner = 'regress_c_owner'::regrole;
ROLLBACK;
SELECT c_owner_state();

-- What the owner has put on the counters runs as the owner, whoever detaches,
-- drops or truncates, and not by the search_path of that one
CREATE SCHEMA c_owner_path AUTHORIZATION regress_c_other;
CREATE TABLE c_owner_path.ran (who name, by_what text);
GRANT USAGE ON SCHEMA c_owner_path TO PUBLIC;
GRANT INSERT ON c_owner_path.ran TO PUBLIC;
CREATE FUNCTION c_owner_path.upper(text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO c_owner_path.ran VALUES (current_user, 'upper');
    RETURN pg_catalog.upper($1);
END $$;
SET ROLE regress_c_owner;
CREATE FUNCTION c_owner.norm(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN upper($1); END $$;
ALTER TABLE c_owner.contacts_tier_counter ADD CHECK (c_owner.norm(account) <> '');
CREATE FUNCTION c_owner.who() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO c_owner_path.ran VALUES (current_user, tg_op);
    RETURN NEW;
END $$;
CREATE TRIGGER who AFTER INSERT OR UPDATE ON c_owner.contacts_tier_counter FOR EACH STATEMENT EXECUTE FUNCTION c_owner.who();
GRANT TRUNCATE, INSERT ON c_owner.contacts, c_owner.c2 TO regress_c_writer;
RESET ROLE;
SET search_path = c_owner_path, pg_catalog;
ALTER TABLE c_owner.contacts DETACH PARTITION c_owner.c2;
ALTER TABLE c_owner.contacts ATTACH PARTITION c_owner.c2 FOR VALUES FROM (100) TO (200);
DROP TABLE c_owner.c1;
SET ROLE regress_c_writer;
TRUNCATE c_owner.c2;
INSERT INTO c_owner.contacts (id, account, marketing_contact_status) VALUES (102, 'a', 'marketing');
TRUNCATE c_owner.contacts;
RESET ROLE;
RESET search_path;
SELECT who, by_what, count(*) > 0 AS ran FROM c_owner_path.ran GROUP BY 1, 2 ORDER BY 1, 2;
SELECT c_owner_state();

-- and does not keep others from dropping what is his
INSERT INTO c_owner.contacts (id, account, marketing_contact_status) VALUES (103, 'a', 'marketing');
SET ROLE regress_c_owner;
CREATE FUNCTION c_owner.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused by %', current_user; END $$;
CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON c_owner.contacts_tier_counter FOR EACH ROW EXECUTE FUNCTION c_owner.refuse();
DROP TABLE c_owner.c2;
RESET ROLE;
DROP TABLE c_owner.c2;
SELECT c_owner_state();
SET ROLE regress_c_owner;
DROP TRIGGER refuse ON c_owner.contacts_tier_counter;
SELECT account, counted, actual FROM contacts_tier.repair('c_owner.contacts');
RESET ROLE;
SELECT c_owner_state();

-- Arguments of triggers can be anything: nobody writes counters of others by that
CREATE SCHEMA c_crafted AUTHORIZATION regress_c_other;
SET ROLE regress_c_other;
CREATE TABLE c_crafted.t (id int, account text, marketing_contact_status contacts_tier.marketing_status,
    marketing_contact_until_next_update boolean, marketing_contact_status_source_type text,
    marketing_contact_status_source_name text, marketing_contact_status_updated_at timestamptz) PARTITION BY LIST (id);
CREATE TRIGGER s BEFORE INSERT ON c_crafted.t FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('c_owner', 'account');
CREATE TABLE c_crafted.t1 (LIKE c_crafted.t);
INSERT INTO c_crafted.t1 VALUES (1, 'a', 'marketing');
ALTER TABLE c_crafted.t ATTACH PARTITION c_crafted.t1 FOR VALUES IN (1);
CREATE TABLE c_crafted.t2 (LIKE c_crafted.t);
CREATE TRIGGER s BEFORE INSERT ON c_crafted.t2 FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('c_owner', 'nothing');
CREATE TABLE c_crafted.t3 (LIKE c_crafted.t);
CREATE TRIGGER s BEFORE INSERT ON c_crafted.t3 FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('c_owner');
CREATE TABLE c_crafted.t4 (LIKE c_crafted.t);
CREATE TRIGGER s BEFORE INSERT ON c_crafted.t4 FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status();
ALTER TABLE c_crafted.t2 ALTER account TYPE varchar;
ALTER TABLE c_crafted.t4 ALTER account TYPE varchar;
INSERT INTO c_crafted.t3 (id) VALUES (1);
ALTER TABLE c_crafted.t3 DISABLE TRIGGER s;
INSERT INTO c_crafted.t3 VALUES (1, 'a', 'marketing');
DROP TABLE c_crafted.t3;
RESET ROLE;
DROP SCHEMA c_crafted CASCADE;
SELECT c_owner_state();

DROP SCHEMA c_owner, c_owner_path CASCADE;
DROP FUNCTION c_owner_state();
DELETE FROM contacts_tier.plan WHERE name = 'c_owner';
DROP OWNED BY regress_c_owner, regress_c_other, regress_c_writer;
DROP ROLE regress_c_owner, regress_c_other, regress_c_writer;
