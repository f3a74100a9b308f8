--
-- Contacts that may not be promoted by a condition of the table (rule P3)
--
\getenv srcdir PG_ABS_SRCDIR
\set settings :srcdir '/include/settings.sql'
\i :settings
-- who writes is shown
CREATE ROLE regress_user SUPERUSER;
SET SESSION AUTHORIZATION regress_user;
CREATE SCHEMA p3;
SET search_path = p3, public;
SELECT contacts_tier.create_plan('p3', '{100}');
CREATE TABLE contacts (id integer PRIMARY KEY, account text, opted_out boolean, engaged_at timestamptz, gone boolean, note text);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.subscribe('contacts', a, 'p3', started_at => '2026-01-01') FROM unnest('{a,b}'::text[]) a;
CREATE VIEW state AS
    SELECT id, marketing_contact_status AS status, marketing_contact_until_next_update AS flag,
           marketing_contact_status_source_type AS source
      FROM contacts ORDER BY id;
CREATE VIEW counts AS
    SELECT account, counted, drift, pending_counted AS pending, pending_counted - pending_actual AS pending_drift
      FROM contacts_tier.verify('contacts') ORDER BY 1;

-- what can be a condition; one on time can
SELECT contacts_tier.set_condition('contacts', 'eligible', 'random() > 0.5');
SELECT contacts_tier.set_condition('contacts', 'eligible', 'marketing_contact_status IS NULL');
SELECT contacts_tier.set_condition('contacts', 'eligible', 'opted_out IS NOT TRUE AND coalesce(engaged_at, ''infinity'') > now() - interval ''6 months''');

-- new contacts: silently non-marketing, by a status or by a default
INSERT INTO contacts (id, account, opted_out, marketing_contact_status) VALUES (1, 'a', true, 'marketing'), (2, 'a', false, 'marketing');
INSERT INTO contacts (id, account, opted_out, marketing_contact_status_source_type) VALUES (3, 'a', true, 'FORM'), (4, 'a', NULL, 'FORM');
COPY contacts (id, account, opted_out, marketing_contact_status) FROM stdin;
5	a	t	marketing
6	a	\N	marketing
\.
TABLE state;
-- promotions
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id IN (1, 3);
INSERT INTO contacts (id, account) VALUES (1, 'a') ON CONFLICT (id) DO UPDATE SET marketing_contact_status = 'marketing';
MERGE INTO contacts c USING (VALUES (5), (7)) n (id) ON n.id = c.id
    WHEN MATCHED THEN UPDATE SET marketing_contact_status = 'marketing'
    WHEN NOT MATCHED THEN INSERT (id, account, opted_out, marketing_contact_status) VALUES (n.id, 'a', true, 'marketing');
UPDATE contacts SET marketing_contact_status = 'marketing', opted_out = false WHERE id = 5;
TABLE state;
TABLE counts;
-- who ceases to be eligible is flagged, stays so, and is not unflagged by becoming eligible
UPDATE contacts SET opted_out = true WHERE id IN (2, 4);
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 2;
UPDATE contacts SET marketing_contact_until_next_update = NULL WHERE id = 2;
UPDATE contacts SET opted_out = false WHERE id = 4;
TABLE state;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 4;
UPDATE contacts SET opted_out = true, note = 'unsubscribed', marketing_contact_status_source_type = 'UNSUBSCRIBE' WHERE id = 6;
UPDATE contacts SET note = 'of no concern' WHERE id IN (1, 2);
TABLE state;
TABLE counts;
SELECT * FROM contacts_tier.ineligible('contacts', 'a');
SELECT * FROM contacts_tier.audience('contacts', 'a', 'marketing_email');

-- EXCLUDED is what was given, also if the proposed row is not eligible (S4)
INSERT INTO contacts (id, account, opted_out) VALUES (8, 'a', false), (9, 'a', false);
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 8;
INSERT INTO contacts (id, account, opted_out, marketing_contact_status) VALUES (8, 'a', true, 'marketing'), (9, 'a', true, 'marketing')
    ON CONFLICT (id) DO UPDATE SET marketing_contact_status = EXCLUDED.marketing_contact_status, note = EXCLUDED.marketing_contact_status::text;
SELECT id, marketing_contact_status, marketing_contact_until_next_update, note FROM contacts WHERE id IN (8, 9) ORDER BY id;
DELETE FROM contacts WHERE id IN (8, 9);

-- refused, if so chosen; but not where only a default would promote
SELECT contacts_tier.set_condition('contacts', 'eligible', 'opted_out IS NOT TRUE', 'refuse');
INSERT INTO contacts (id, account, opted_out, marketing_contact_status) VALUES (10, 'a', true, 'marketing');
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 1;
INSERT INTO contacts (id, account, opted_out, marketing_contact_status_source_type) VALUES (10, 'a', true, 'FORM');
UPDATE contacts SET opted_out = true WHERE id = 4;
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 4;
TABLE state;
TABLE counts;

-- a BEFORE trigger that fires after ours has the last word about the row, and no more
SELECT contacts_tier.set_condition('contacts', 'eligible', 'opted_out IS NOT TRUE');
CREATE FUNCTION opt_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.opted_out := NEW.note = 'out';
    RETURN NEW;
END $$;
CREATE TRIGGER zzz BEFORE INSERT OR UPDATE ON contacts FOR EACH ROW EXECUTE FUNCTION opt_out();
INSERT INTO contacts (id, account, note, marketing_contact_status) VALUES (20, 'b', 'out', 'marketing'), (21, 'b', NULL, 'marketing');
UPDATE contacts SET note = 'out' WHERE id = 21;
SELECT * FROM state WHERE id >= 20;
TABLE counts;
DROP TRIGGER zzz ON contacts;

-- who comes back and is not eligible is a non-marketing contact
SELECT contacts_tier.set_condition('contacts', 'exists', 'gone IS NOT TRUE');
INSERT INTO contacts (id, account, marketing_contact_status) VALUES (30, 'b', 'marketing'), (31, 'b', 'marketing');
UPDATE contacts SET gone = true, opted_out = id = 30 WHERE id IN (30, 31);
UPDATE contacts SET gone = false WHERE id IN (30, 31);
SELECT * FROM state WHERE id >= 30;
TABLE counts;

-- time: the rollover flags the unengaged, who go on the date after it
SELECT contacts_tier.set_condition('contacts', 'eligible', 'engaged_at > now() - interval ''6 months''');
DELETE FROM contacts WHERE account = 'a';
INSERT INTO contacts (id, account, engaged_at, marketing_contact_status) VALUES (40, 'a', now(), 'marketing'), (41, 'a', now(), 'marketing');
ALTER TABLE contacts DISABLE TRIGGER USER;
UPDATE contacts SET engaged_at = '2001-01-01' WHERE id = 41;
ALTER TABLE contacts ENABLE TRIGGER USER;
UPDATE contacts SET note = 'saved' WHERE id = 41;
SELECT account, contact, until_next_update FROM contacts_tier.ineligible('contacts', 'a');
SELECT * FROM state WHERE id >= 40;
SET contacts_tier.now = '2026-02-02 00:00+00';
CALL contacts_tier.rollover('contacts', 'a');
SELECT * FROM state WHERE id >= 40;
TABLE counts;
SET contacts_tier.now = '2026-03-02 00:00+00';
CALL contacts_tier.rollover('contacts', 'a');
SELECT * FROM state WHERE id >= 40;
TABLE counts;

-- a contact that has ceased to be eligible without being written is not flagged by a move to another partition (S7)
CREATE TABLE parted (id integer, account text, engaged_at date) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (10) TO (20);
SELECT contacts_tier.attach('parted', 'account');
INSERT INTO parted (id, account, engaged_at, marketing_contact_status) SELECT n, 'a', '2026-01-01', 'marketing' FROM generate_series(1, 2) n;
SELECT contacts_tier.set_condition('parted', 'eligible', 'engaged_at > ''2026-02-02''');
UPDATE parted SET id = id + 10;
SELECT id, tableoid::regclass, marketing_contact_until_next_update FROM parted ORDER BY id;
UPDATE parted SET engaged_at = '2026-03-03' WHERE id = 11;
UPDATE parted SET engaged_at = '2000-01-01', id = 1 WHERE id = 11;
SELECT id, tableoid::regclass, marketing_contact_until_next_update FROM parted ORDER BY id;
DROP TABLE parted;

-- tools: a guarded table
CREATE TABLE sends (tool text, contact integer, reason text);
SELECT contacts_tier.guard('sends', 'tool', 'contact', 'contacts', 'mark', 'reason');
INSERT INTO contacts (id, account, engaged_at, marketing_contact_status, gone) VALUES (50, 'a', now(), 'marketing', false), (51, 'a', now(), 'marketing', true);
ALTER TABLE contacts DISABLE TRIGGER USER;
UPDATE contacts SET engaged_at = NULL WHERE id = 40;
ALTER TABLE contacts ENABLE TRIGGER USER;
INSERT INTO sends SELECT 'marketing_email', i FROM unnest('{40,41,50,51}'::integer[]) i;
SELECT contact, reason FROM sends ORDER BY 1;
SELECT contacts_tier.unguard('sends');
SELECT contacts_tier.guard('sends', 'tool', 'contact', 'contacts');
INSERT INTO sends VALUES ('marketing_email', 40);
INSERT INTO sends VALUES ('marketing_email', 51);

-- dropped, and the table is as before
SELECT contacts_tier.set_condition('contacts', 'eligible', NULL);
SELECT count(*) FROM contacts_tier.ineligible('contacts');
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = 40;
SELECT * FROM state WHERE id = 40;
TABLE counts;

RESET search_path;
DROP SCHEMA p3 CASCADE;
DELETE FROM contacts_tier.plan WHERE name = 'p3';
RESET SESSION AUTHORIZATION;
DROP ROLE regress_user;
