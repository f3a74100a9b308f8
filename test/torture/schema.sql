-- What the clients of the torture test work on, in the schema that search_path
-- names: two tables that share companion tables, one of them partitioned, with
-- triggers and foreign keys that fail late, and the functions that check it.

CREATE TABLE company (id integer PRIMARY KEY);
INSERT INTO company SELECT generate_series(1, 10);

CREATE TABLE contacts (
    id      integer PRIMARY KEY,
    account text,
    company integer REFERENCES company,
    partner integer REFERENCES company DEFERRABLE INITIALLY DEFERRED,
    note    text
);

CREATE TABLE leads (
    id      integer,
    account text,
    region  integer NOT NULL DEFAULT 0,
    company integer REFERENCES company ON DELETE CASCADE,
    note    text,
    PRIMARY KEY (id, region)
) PARTITION BY LIST (region);
CREATE TABLE leads_0 PARTITION OF leads FOR VALUES IN (0);
CREATE TABLE leads_1 PARTITION OF leads FOR VALUES IN (1);
CREATE TABLE leads_2 (
    note    text,
    gone    text,
    region  integer NOT NULL,
    company integer,
    account text,
    id      integer NOT NULL
);
ALTER TABLE leads_2 DROP COLUMN gone;
ALTER TABLE leads ATTACH PARTITION leads_2 FOR VALUES IN (2);

SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.attach('leads', 'account');

-- An application's own triggers, on both sides of ours
CREATE FUNCTION misbehave() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    CASE NEW.note
    WHEN 'drop' THEN
        IF TG_WHEN = 'BEFORE' THEN
            RETURN NULL;
        END IF;
    WHEN 'fail' THEN
        IF TG_WHEN = 'AFTER' THEN
            RAISE EXCEPTION 'late failure';
        END IF;
    WHEN 'nest' THEN
        IF TG_WHEN = 'AFTER' THEN
            BEGIN
                INSERT INTO contacts (id, account, marketing_contact_status)
                VALUES (1000 + random() * 1000, NEW.account, 'marketing');
                IF random() < 0.5 THEN
                    RAISE EXCEPTION 'late failure';
                END IF;
            EXCEPTION WHEN OTHERS THEN
                NULL;
            END;
            UPDATE contacts SET marketing_contact_status = 'non_marketing', note = NULL
            WHERE id = 1000 + (random() * 1000)::integer;
        END IF;
    ELSE
        NULL;
    END CASE;
    RETURN NEW;
END
$$;

CREATE TRIGGER a_misbehave BEFORE INSERT OR UPDATE ON contacts
    FOR EACH ROW WHEN (NEW.note IS NOT NULL) EXECUTE FUNCTION misbehave();
CREATE TRIGGER a_misbehave BEFORE INSERT OR UPDATE ON leads
    FOR EACH ROW WHEN (NEW.note IS NOT NULL) EXECUTE FUNCTION misbehave();
CREATE TRIGGER zz_misbehave AFTER INSERT OR UPDATE ON contacts
    FOR EACH ROW WHEN (NEW.note IS NOT NULL) EXECUTE FUNCTION misbehave();
CREATE TRIGGER aa_misbehave AFTER INSERT OR UPDATE ON leads
    FOR EACH ROW WHEN (NEW.note IS NOT NULL) EXECUTE FUNCTION misbehave();

-- Some transactions take their time to commit, with all their locks.
CREATE FUNCTION linger() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF random() < 0.2 THEN
        PERFORM pg_sleep(random() * 0.01);
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER linger AFTER INSERT OR UPDATE OR DELETE ON contacts DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION linger();
CREATE CONSTRAINT TRIGGER linger AFTER INSERT OR UPDATE OR DELETE ON leads DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION linger();

-- What rollover demotes, row by row, to compare with what it says it did.  A promotion that
-- is dropped also makes a marketing contact non-marketing, with the source and time that it
-- had: if that is a rollover of this very instant, its date is not after the promotion (D2).
CREATE TABLE demoted (account text, update_date timestamptz);
CREATE FUNCTION note_demoted() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF NEW.marketing_contact_status_source_type = 'ROLLOVER' AND
        NEW.marketing_contact_status_updated_at =
            coalesce(nullif(current_setting('contacts_tier.now', true), '')::timestamptz, now()) AND
        OLD.marketing_contact_status_updated_at < NEW.marketing_contact_status_source_name::timestamptz THEN
        INSERT INTO demoted VALUES (NEW.account, NEW.marketing_contact_status_source_name::timestamptz);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER note_demoted AFTER UPDATE ON contacts FOR EACH ROW
    WHEN (OLD.marketing_contact_status = 'marketing' AND NEW.marketing_contact_status = 'non_marketing')
    EXECUTE FUNCTION note_demoted();
CREATE TRIGGER note_demoted AFTER UPDATE ON leads FOR EACH ROW
    WHEN (OLD.marketing_contact_status = 'marketing' AND NEW.marketing_contact_status = 'non_marketing')
    EXECUTE FUNCTION note_demoted();

-- The accounts.  "loose" has its policy changed by the clients, and "none" has
-- no subscription.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM contacts_tier.plan WHERE name = 'fixed') THEN
        PERFORM contacts_tier.create_plan('fixed', ARRAY[20, 40, 400, 100000]);
        PERFORM contacts_tier.create_plan('growing', ARRAY[5, 10, 20, 40, 80, 160, 320, 640, 100000]);
    END IF;
END
$$;
SET contacts_tier.now = '2024-02-01 00:00+00';
SELECT contacts_tier.subscribe('contacts', 'block', 'fixed', 40, on_exceed => 'block', started_at => '2024-01-31');
SELECT contacts_tier.subscribe('contacts', 'grace', 'fixed', 20, on_exceed => 'block', grace => 7, started_at => '2024-01-15');
SELECT contacts_tier.subscribe('contacts', 'annual', 'fixed', 20, 'annual', on_exceed => 'block', started_at => '2023-05-31', time_zone => 'America/New_York');
SELECT contacts_tier.subscribe('contacts', 'cap', 'fixed', 20, on_exceed => 'cap', grace => 3, started_at => '2024-01-10');
SELECT contacts_tier.set_policy('contacts', 'cap', source_defaults => '{"USER": "marketing"}');
SELECT contacts_tier.subscribe('contacts', 'upgrade', 'growing', 5);
SELECT contacts_tier.subscribe('contacts', 'loose', 'fixed', 40);
SELECT contacts_tier.subscribe('contacts', 'large', 'fixed', 100000, on_exceed => 'block');
-- of the phases that count exactly
SELECT contacts_tier.subscribe('contacts', 'exact', 'fixed', 400, on_exceed => 'block');
SELECT contacts_tier.subscribe('contacts', 'fits', 'fixed', 400, on_exceed => 'block');
SELECT contacts_tier.subscribe('contacts', 'grows', 'growing', 5);
SELECT contacts_tier.subscribe('contacts', 'churns', 'fixed', 20, on_exceed => 'block');
RESET contacts_tier.now;

-- One snapshot of everything: the number of accounts compared, or what is wrong
CREATE FUNCTION snapshot() RETURNS SETOF text
LANGUAGE sql
BEGIN ATOMIC
    WITH truth AS (
        SELECT account,
               count(*) FILTER (WHERE status = 'marketing') AS marketing,
               count(*) FILTER (WHERE until_next_update) AS pending,
               count(*) FILTER (WHERE status IS NULL OR until_next_update IS FALSE
                                OR until_next_update AND status = 'non_marketing') AS illegal
        FROM (SELECT account, marketing_contact_status, marketing_contact_until_next_update FROM contacts
              UNION ALL
              SELECT account, marketing_contact_status, marketing_contact_until_next_update FROM leads)
             AS c (account, status, until_next_update)
        GROUP BY account
    ), counter AS (
        SELECT account, sum(used) AS used, sum(pending) AS pending,
               -- a closed slot cannot grow without a decision
               CASE WHEN bool_or(granted IS NOT NULL) THEN sum(coalesce(granted, used)) END AS granted,
               sum(promoted) - sum(demoted) AS change, max(peak) AS peak,
               count(*) AS slots, max(slot) + 1 AS expected_slots, count(*) FILTER (WHERE used > granted) AS overdrawn
        FROM contacts_tier_counter
        GROUP BY account
    ), compared AS (
        SELECT coalesce(t.account, c.account, a.account) AS account,
               coalesce(t.marketing, 0) AS marketing, coalesce(t.pending, 0) AS pending,
               coalesce(c.used, 0) AS used, coalesce(c.pending, 0) AS counted_pending,
               coalesce(c.granted, 0) AS granted, c.change, c.peak, a.period_opening, t.illegal, c.slots, c.expected_slots, c.overdrawn,
               coalesce(a.contact_limit, 0) AS contact_limit, coalesce(a.grace, 0) AS grace,
               EXISTS (SELECT FROM contacts_tier_ledger l
                       WHERE l.account = a.account AND l.event = 'exceeded') AS was_exceeded
        FROM truth t
        FULL JOIN counter c USING (account)
        FULL JOIN contacts_tier_account a USING (account)
    )
    SELECT 'compared ' || count(*) FROM compared
    UNION ALL
    SELECT 'VIOLATION drift: ' || to_json(c) FROM compared c WHERE marketing <> used
    UNION ALL
    SELECT 'VIOLATION pending drift: ' || to_json(c) FROM compared c WHERE pending <> counted_pending
    UNION ALL
    SELECT 'VIOLATION illegal row: ' || to_json(c) FROM compared c WHERE illegal > 0
    UNION ALL
    SELECT 'VIOLATION over limit: ' || to_json(c) FROM compared c
    WHERE marketing > contact_limit + grace AND account IS DISTINCT FROM 'loose'
    UNION ALL
    SELECT 'VIOLATION granted too much: ' || to_json(c) FROM compared c
    WHERE granted > contact_limit + CASE WHEN was_exceeded THEN grace ELSE 0 END AND account IS DISTINCT FROM 'loose'
    UNION ALL
    SELECT 'VIOLATION period does not add up: ' || to_json(c) FROM compared c WHERE period_opening + change <> used
    UNION ALL
    SELECT 'VIOLATION slot overdrawn: ' || to_json(c) FROM compared c WHERE overdrawn > 0
    UNION ALL
    SELECT 'VIOLATION slots not contiguous: ' || to_json(c) FROM compared c WHERE slots <> expected_slots;
END;

-- The same at two points of one transaction that sees an old snapshot
CREATE FUNCTION old_snapshot(seconds float8) RETURNS SETOF text
LANGUAGE plpgsql
AS $$
DECLARE
    before text[] := ARRAY(SELECT snapshot());
BEGIN
    PERFORM pg_sleep(seconds);
    IF before IS DISTINCT FROM ARRAY(SELECT snapshot()) THEN
        RETURN NEXT 'VIOLATION unstable snapshot: ' || to_json(before);
    END IF;
    RETURN QUERY SELECT snapshot();
END
$$;

-- What holds when all is quiet
CREATE FUNCTION audit() RETURNS SETOF text
LANGUAGE sql
BEGIN ATOMIC
    SELECT snapshot()
    UNION ALL
    SELECT 'VIOLATION verify(): ' || to_json(v) FROM contacts_tier.verify('contacts') v
    WHERE drift <> 0 OR pending_counted <> pending_actual
    UNION ALL
    SELECT 'VIOLATION usage() differs from verify(): ' || to_json(u)
    FROM contacts_tier.usage('contacts') u LEFT JOIN contacts_tier.verify('contacts') v USING (account)
    WHERE u.marketing_contacts <> coalesce(v.actual, 0) OR u.pending_non_marketing <> coalesce(v.pending_actual, 0)
    UNION ALL
    -- what the ledger says that statements did is what the counters and the bills say
    SELECT 'VIOLATION activity does not add up: ' || to_json(x)
    FROM (SELECT account, a.promoted AS told, b.promoted
          FROM (SELECT account, sum(promoted) AS promoted FROM contacts_tier.activity('contacts') GROUP BY account) a
          FULL JOIN (SELECT account, sum(promoted) AS promoted FROM contacts_tier.billing_periods('contacts') GROUP BY account) b
              USING (account)) x
    WHERE coalesce(told, 0) <> coalesce(promoted, 0)    UNION ALL
    SELECT 'VIOLATION rollover of a date twice, or of none: ' || to_json(r)
    FROM (SELECT account, details->>'update_date' AS update_date,
                 (details->>'period_started_at')::timestamptz AS period_started_at,
                 lag((details->>'update_date')::timestamptz)
                     OVER (PARTITION BY account ORDER BY (details->>'update_date')::timestamptz) AS last_update_date
          FROM contacts_tier_ledger WHERE event = 'rollover') r
    WHERE last_update_date <> period_started_at
    UNION ALL
    SELECT 'VIOLATION rollover told a wrong number: ' || to_json(r)
    FROM (SELECT coalesce(l.account, d.account) AS account, coalesce(l.update_date, d.update_date) AS update_date,
                 l.contacts AS told, coalesce(d.contacts, 0) AS demoted
          FROM (SELECT account, (details->>'update_date')::timestamptz AS update_date, sum(contacts) AS contacts
                FROM contacts_tier_ledger WHERE event = 'rollover' GROUP BY 1, 2) l
          FULL JOIN (SELECT account, update_date, count(*) AS contacts FROM demoted GROUP BY 1, 2) d
              USING (account, update_date)) r
    WHERE told IS DISTINCT FROM demoted
    UNION ALL
    SELECT 'VIOLATION tier changes are no chain: ' || to_json(t)
    FROM (SELECT account, contacts, (details->>'from')::bigint AS contact_limit_before, (details->>'to')::bigint AS contact_limit,
                 lag((details->>'to')::bigint) OVER (PARTITION BY account ORDER BY entry) AS expected,
                 details->>'reason' = 'exceeded' AS exceeded
          FROM contacts_tier_ledger WHERE event = 'tier_change') t
    WHERE contact_limit_before <> expected OR exceeded AND (contacts > contact_limit OR contacts <= contact_limit_before)
    UNION ALL
    SELECT 'VIOLATION last tier change is not the tier: ' || to_json(t)
    FROM (SELECT DISTINCT ON (a.account) a.account, a.contact_limit, (l.details->>'to')::bigint AS last_change
          FROM contacts_tier_account a JOIN contacts_tier_ledger l ON l.account = a.account AND l.event = 'tier_change'
          ORDER BY a.account, l.entry DESC) t
    WHERE contact_limit <> last_change;
END;

-- Thresholds that were announced to an account in the only period it has had:
-- for each limit in order, each threshold once, with the count that reached it
CREATE FUNCTION wrong_thresholds(which text, most_at_once bigint) RETURNS SETOF text
LANGUAGE sql
BEGIN ATOMIC
    WITH announced AS (
        SELECT contacts, event, (details->>'contact_limit')::bigint AS contact_limit,
               CASE event WHEN 'exceeded' THEN 101 ELSE (details->>'threshold')::bigint END AS percent
        FROM contacts_tier_ledger WHERE account = which AND event IN ('threshold', 'exceeded')
    )
    SELECT 'VIOLATION threshold announced twice: ' || to_json(d)
    FROM (SELECT contact_limit, percent, count(*) FROM announced GROUP BY 1, 2 HAVING count(*) > 1) d
    UNION ALL
    SELECT 'VIOLATION threshold announced at the wrong count: ' || to_json(a)
    FROM announced a
    WHERE event = 'threshold' AND contacts NOT BETWEEN ceil(contact_limit * percent / 100.0)
                                               AND ceil(contact_limit * percent / 100.0) + most_at_once - 1
    UNION ALL
    SELECT 'VIOLATION threshold not announced: ' || t
    FROM contacts_tier_account a, unnest(a.thresholds) t,
         LATERAL (SELECT sum(used) AS used FROM contacts_tier_counter c WHERE c.account = a.account) c
    WHERE a.account = which AND c.used >= ceil(a.contact_limit * t / 100.0)
    AND NOT EXISTS (SELECT FROM announced n WHERE n.contact_limit = a.contact_limit AND n.percent = t);
END;

-- Claims of the phases that count exactly.  Sequences are not rolled back.
CREATE SEQUENCE contact_id START 1000000;
CREATE SEQUENCE refusals;

CREATE FUNCTION claim(which text, n integer) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO contacts (id, account, marketing_contact_status)
    SELECT nextval('contact_id'), which, 'marketing' FROM generate_series(1, n);
EXCEPTION WHEN SQLSTATE 'MC001' THEN
    PERFORM nextval('refusals');
END
$$;

-- One contact goes and another one comes: room for that there always is
CREATE FUNCTION swap(which text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM contacts WHERE id = (SELECT id FROM contacts WHERE account = which AND marketing_contact_status = 'marketing'
                                     ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED);
    IF FOUND THEN
        PERFORM claim(which, 1);
    END IF;
END
$$;

-- Comes and goes around the limit
CREATE FUNCTION churn(which text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF random() < 0.5 THEN
        DELETE FROM contacts WHERE id = (SELECT id FROM contacts WHERE account = which LIMIT 1 FOR UPDATE SKIP LOCKED);
    ELSE
        PERFORM claim(which, 1);
    END IF;
END
$$;

CREATE FUNCTION marketing_contacts(which text) RETURNS bigint
LANGUAGE sql
RETURN (SELECT count(*) FROM contacts WHERE account = which AND marketing_contact_status = 'marketing');

CREATE FUNCTION refused() RETURNS bigint
LANGUAGE sql
RETURN (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM refusals);
