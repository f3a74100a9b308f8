-- The sides that the benchmarks compare, each a schema with a table contacts:
--
--   bare          the table as it would be without us: the same columns, no triggers
--   same          the attached table without its triggers: its defaults and indexes
--   after_floor   "same" with an AFTER ROW trigger in C that does nothing
--   before_floor  "same" with a BEFORE ROW trigger in C that does nothing
--   ledger_floor  "bare" where the application itself writes a ledger, in the
--                 statement that promotes: no limit, no count
--   by_hand       "same" where the application writes by hand all that the rules
--                 store: the properties, a counter row that nobody else writes,
--                 and a ledger; no limit
--   statement     "bare" with a counter row per account, written by a PL/pgSQL
--                 statement trigger with transition tables
--   row           "bare" with a counter row per account, written by a PL/pgSQL
--                 row trigger
--   margin        "bare" with a fixed number of counter rows per account, of which
--                 a session writes one; a PL/pgSQL row trigger adds them up and lets
--                 a promotion through while the sum stays below the limit by a
--                 margin, and under an advisory lock after that
--   margin_c      the same with the trigger in C (floor/margin.c)
--   statement_floor  "same" with an AFTER STATEMENT trigger in C that does nothing;
--                 the application sets the properties itself
--   ours          contacts_tier
--   quiet         contacts_tier, with no activity recorded for the accounts
--
-- The variable floor is the path of the library with the triggers in C.

CREATE SCHEMA bench;

CREATE FUNCTION bench.nothing() RETURNS trigger LANGUAGE c AS :'floor', 'do_nothing';

SELECT contacts_tier.create_plan('large', ARRAY[1000000000]);

-- A schema with a bare table
CREATE FUNCTION bench.create_bare(side text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format($sql$
        CREATE SCHEMA %1$I;
        CREATE TABLE %1$I.contacts (
            id      integer PRIMARY KEY,
            account integer NOT NULL,
            email   text NOT NULL,
            marketing_contact_status contacts_tier.marketing_status,
            marketing_contact_until_next_update boolean,
            marketing_contact_status_source_type text,
            marketing_contact_status_source_name text,
            marketing_contact_status_updated_at timestamptz
        )$sql$, side);
END
$$;

-- A schema with an attached table and so many accounts, far from their limits
CREATE FUNCTION bench.create_attached(side text, accounts integer) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    contacts regclass;
BEGIN
    EXECUTE format($sql$
        CREATE SCHEMA %1$I;
        CREATE TABLE %1$I.contacts (
            id      integer PRIMARY KEY,
            account integer NOT NULL,
            email   text NOT NULL
        )$sql$, side);
    contacts := format('%I.contacts', side);
    PERFORM contacts_tier.attach(contacts, 'account');
    PERFORM contacts_tier.subscribe(contacts, account::text, 'large', on_exceed => 'block')
    FROM generate_series(0, accounts - 1) account;
END
$$;

-- A schema with the attached table of "ours" without its triggers
CREATE FUNCTION bench.create_same(side text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('CREATE SCHEMA %1$I; CREATE TABLE %1$I.contacts (LIKE ours.contacts INCLUDING ALL)', side);
END
$$;

-- Takes all contacts of a side away, and their counts
CREATE FUNCTION bench.clear(side text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('TRUNCATE %I.contacts', side);
    IF to_regclass(format('%I.counter', side)) IS NOT NULL THEN
        EXECUTE format('UPDATE %I.counter SET used = 0', side);
    END IF;
END
$$;

-- Fills a side with contacts, alike on all sides: those with id % 2 = 0 are
-- marketing contacts, or none.
CREATE FUNCTION bench.fill(side text, contacts integer, accounts integer, half_marketing boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM bench.clear(side);
    EXECUTE format($sql$
        INSERT INTO %I.contacts
        SELECT i, i %% $2, 'contact' || i || '@example.com',
            CASE WHEN $3 AND i %% 2 = 0 THEN 'marketing' ELSE 'non_marketing' END::contacts_tier.marketing_status,
            NULL, 'IMPORT', 'bench', now()
        FROM generate_series(1, $1) i
    $sql$, side) USING contacts, accounts, half_marketing;
END
$$;

-- Fills a side for a rollover: a quarter are marketing contacts that become
-- non-marketing, evenly in the accounts below "due", a quarter stay.
CREATE FUNCTION bench.fill_pending(side text, contacts integer, accounts integer, due integer) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM bench.clear(side);
    EXECUTE format($sql$
        INSERT INTO %I.contacts
        SELECT i, CASE WHEN i %% 4 = 0 THEN (i / 4) %% $3 ELSE i %% $2 END, 'contact' || i || '@example.com',
            CASE WHEN i %% 2 = 0 THEN 'marketing' ELSE 'non_marketing' END::contacts_tier.marketing_status,
            CASE WHEN i %% 4 = 0 THEN true END, 'IMPORT', 'bench', now()
        FROM generate_series(1, $1) i
    $sql$, side) USING contacts, accounts, due;
END
$$;

SELECT bench.create_bare(side) FROM unnest(ARRAY['bare', 'ledger_floor', 'statement', 'row', 'margin', 'margin_c']) side;
SELECT bench.create_attached(side, 1000) FROM unnest(ARRAY['ours', 'quiet']) side;
SELECT bench.create_same(side) FROM unnest(ARRAY['same', 'after_floor', 'before_floor', 'statement_floor', 'by_hand']) side;

UPDATE quiet.contacts_tier_account SET record_activity = false;
CREATE TABLE ledger_floor.ledger (LIKE ours.contacts_tier_ledger INCLUDING ALL);
CREATE TABLE by_hand.ledger (LIKE ours.contacts_tier_ledger INCLUDING ALL);
CREATE TABLE by_hand.counter (LIKE ours.contacts_tier_counter INCLUDING ALL)
    WITH (fillfactor = 30, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_cost_delay = 0);
INSERT INTO by_hand.counter (account, slot) SELECT 0, slot FROM generate_series(0, 63) slot;

CREATE TRIGGER nothing AFTER INSERT OR UPDATE ON after_floor.contacts
FOR EACH ROW EXECUTE FUNCTION bench.nothing();
CREATE TRIGGER nothing BEFORE INSERT OR UPDATE ON before_floor.contacts
FOR EACH ROW EXECUTE FUNCTION bench.nothing();
CREATE TRIGGER nothing AFTER INSERT OR UPDATE ON statement_floor.contacts
FOR EACH STATEMENT EXECUTE FUNCTION bench.nothing();

-- What one writes by hand.  The low fillfactor is the best that can be done for
-- a row which is updated so often.
CREATE FUNCTION bench.create_counter(side text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format($sql$
        CREATE TABLE %1$I.counter (
            account       integer PRIMARY KEY,
            used          bigint NOT NULL,
            contact_limit bigint NOT NULL
        ) WITH (fillfactor = 30);
        INSERT INTO %1$I.counter SELECT account, 0, 1000000000 FROM generate_series(0, 999) account
        $sql$, side);
END
$$;
SELECT bench.create_counter(side) FROM unnest(ARRAY['statement', 'row']) side;

CREATE FUNCTION "row".count_contact() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    change integer := (NEW.marketing_contact_status = 'marketing')::integer;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        change := change - (OLD.marketing_contact_status = 'marketing')::integer;
    END IF;
    IF change <> 0 THEN
        UPDATE "row".counter SET used = used + change
        WHERE account = NEW.account AND used + change <= contact_limit;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'contact tier of account % exceeded', NEW.account;
        END IF;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_contact AFTER INSERT OR UPDATE ON "row".contacts
FOR EACH ROW EXECUTE FUNCTION "row".count_contact();

CREATE FUNCTION statement.add_changes() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        UPDATE statement.counter c SET used = used + d.change
        FROM (
            SELECT account, sum(change) AS change
            FROM (
                SELECT account, (marketing_contact_status = 'marketing')::integer AS change FROM new_contacts
                UNION ALL
                SELECT account, -(marketing_contact_status = 'marketing')::integer FROM old_contacts
            ) r
            GROUP BY account
            HAVING sum(change) <> 0
        ) d
        WHERE c.account = d.account;
    ELSE
        UPDATE statement.counter c SET used = used + d.change
        FROM (
            SELECT account, count(*) AS change
            FROM new_contacts
            WHERE marketing_contact_status = 'marketing'
            GROUP BY account
        ) d
        WHERE c.account = d.account;
    END IF;
    IF EXISTS (SELECT FROM statement.counter WHERE used > contact_limit) THEN
        RAISE EXCEPTION 'contact tier exceeded';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_inserted AFTER INSERT ON statement.contacts
REFERENCING NEW TABLE AS new_contacts
FOR EACH STATEMENT EXECUTE FUNCTION statement.add_changes();
CREATE TRIGGER count_updated AFTER UPDATE ON statement.contacts
REFERENCING OLD TABLE AS old_contacts NEW TABLE AS new_contacts
FOR EACH STATEMENT EXECUTE FUNCTION statement.add_changes();

-- The nearest kin of what contacts_tier does.  The sum misses what others have not
-- committed, so the limit is exact only while the margin, 1,000 here, exceeds the
-- sessions that are at work; a session shares its counter row with those whose
-- process numbers leave the same remainder.
CREATE FUNCTION bench.create_margin(side text) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format($sql$
        CREATE TABLE %1$I.tier (
            account       integer PRIMARY KEY,
            contact_limit bigint NOT NULL
        );
        INSERT INTO %1$I.tier SELECT account, 1000000000 FROM generate_series(0, 999) account;
        CREATE TABLE %1$I.counter (
            account integer,
            slot    integer,
            used    bigint NOT NULL,
            PRIMARY KEY (account, slot)
        ) WITH (fillfactor = 30);
        INSERT INTO %1$I.counter SELECT account, slot, 0 FROM generate_series(0, 999) account, generate_series(0, 31) slot
        $sql$, side);
END
$$;
SELECT bench.create_margin(side) FROM unnest(ARRAY['margin', 'margin_c']) side;

CREATE FUNCTION margin.count_contact() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    change integer := CASE WHEN NEW.marketing_contact_status = 'marketing' THEN 1 WHEN TG_OP = 'UPDATE' THEN -1 ELSE 0 END;
    room   bigint;
BEGIN
    IF change > 0 THEN
        room := (SELECT contact_limit FROM margin.tier WHERE account = NEW.account) -
            (SELECT sum(used) FROM margin.counter WHERE account = NEW.account);
        IF room < 1000 + change THEN
            PERFORM pg_advisory_xact_lock(NEW.account);
            room := (SELECT contact_limit FROM margin.tier WHERE account = NEW.account) -
                (SELECT sum(used) FROM margin.counter WHERE account = NEW.account);
            IF room < change THEN
                RAISE EXCEPTION 'contact tier of account % exceeded', NEW.account;
            END IF;
        END IF;
    END IF;
    IF change <> 0 THEN
        UPDATE margin.counter SET used = used + change
        WHERE account = NEW.account AND slot = pg_backend_pid() % 32;
    END IF;
    RETURN NULL;
END
$$;
CREATE FUNCTION margin_c.count_contact() RETURNS trigger LANGUAGE c AS :'floor', 'count_with_margin';

SELECT format('CREATE TRIGGER count_inserted AFTER INSERT ON %1$I.contacts
    FOR EACH ROW WHEN (NEW.marketing_contact_status = ''marketing'') EXECUTE FUNCTION %1$I.count_contact()', side),
    format('CREATE TRIGGER count_updated AFTER UPDATE ON %1$I.contacts
    FOR EACH ROW WHEN (OLD.marketing_contact_status IS DISTINCT FROM NEW.marketing_contact_status)
    EXECUTE FUNCTION %1$I.count_contact()', side)
FROM unnest(ARRAY['margin', 'margin_c']) side \gexec
