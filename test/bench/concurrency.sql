-- The sides of the concurrency benchmark, each a schema with a table contacts
-- and a function fill(contacts, accounts) that puts it back to its start.

SELECT contacts_tier.create_plan('large', ARRAY[1000000000]);

CREATE FUNCTION pg_temp.create_side(side text) RETURNS void
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
        );
        CREATE FUNCTION %1$I.fill(contacts integer, accounts integer) RETURNS void
        LANGUAGE sql
        AS $fill$
            TRUNCATE %1$I.contacts;
            INSERT INTO %1$I.contacts
            SELECT i, i %% accounts, 'contact' || i || '@example.com', 'non_marketing', NULL, 'IMPORT', 'bench', now()
            FROM generate_series(1, contacts) i;
        $fill$;
        $sql$, side);
END
$$;
SELECT pg_temp.create_side(side) FROM unnest(ARRAY['bare', 'ours', 'one_row', 'plpgsql']) side;

SELECT contacts_tier.attach('ours.contacts', 'account'), contacts_tier.attach('one_row.contacts', 'account');
SELECT contacts_tier.subscribe(side::regclass, account::text, 'large', on_exceed => 'block')
FROM unnest(ARRAY['ours.contacts', 'one_row.contacts']) side, generate_series(0, 999) account;

CREATE TABLE plpgsql.counter (
    account       integer PRIMARY KEY,
    used          bigint NOT NULL,
    contact_limit bigint NOT NULL
) WITH (fillfactor = 30);
INSERT INTO plpgsql.counter SELECT account, 0, 1000000000 FROM generate_series(0, 999) account;
CREATE FUNCTION plpgsql.count_contact() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    change integer := (NEW.marketing_contact_status = 'marketing')::integer - (OLD.marketing_contact_status = 'marketing')::integer;
BEGIN
    IF change <> 0 THEN
        UPDATE plpgsql.counter SET used = used + change
        WHERE account = NEW.account AND used + change <= contact_limit;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'contact tier of account % exceeded', NEW.account;
        END IF;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER count_contact AFTER UPDATE ON plpgsql.contacts FOR EACH ROW EXECUTE FUNCTION plpgsql.count_contact();
