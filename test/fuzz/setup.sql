-- What every configuration has, in a database of its own: the plans, and what
-- looks at the table and its companions without being part of them.
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA app TO PUBLIC;
SELECT contacts_tier.create_plan('steps', '{3,5,10,20}', '{10,15,25,40}');
SELECT contacts_tier.create_plan('small', '{3,5}', '{10,15}');
SELECT contacts_tier.create_plan('none', '{}', '{}', marketing_contacts => false);

CREATE SCHEMA fuzz;
GRANT USAGE ON SCHEMA fuzz TO PUBLIC;
CREATE TABLE fuzz.audit (n bigint GENERATED ALWAYS AS IDENTITY, trigger text, id integer, seen text);
CREATE INDEX ON fuzz.audit (id, trigger, n DESC);

-- Who writes contacts
CREATE FUNCTION fuzz.writer() RETURNS name LANGUAGE sql AS 'SELECT current_user';

-- Does nothing
CREATE FUNCTION fuzz.pass() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';

-- Only looks
CREATE FUNCTION fuzz.look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fuzz.audit (trigger, id, seen)
    VALUES (TG_NAME, NEW.id, concat_ws('|', NEW.status, NEW.flag, NEW.source_type, NEW.source_name, NEW.changed_at));
    RETURN NULL;
END $$;

-- Writes the contact once more, as it is
CREATE FUNCTION fuzz.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE app.contacts SET note = note WHERE id = NEW.id;
    RETURN NULL;
END $$;

-- Everything that is compared after each statement
CREATE FUNCTION fuzz.inspect(OUT contacts text, OUT counters text, OUT activity text, OUT events text, OUT audit text)
LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
BEGIN
    SELECT coalesce(string_agg(concat_ws('|', c.id, coalesce(c.account, '~'), coalesce(c.status::text, '~'),
                                         coalesce(c.flag::text, '~'), coalesce(c.source_type, '~'),
                                         coalesce(c.source_name, '~'),
                                         coalesce(extract(epoch FROM c.changed_at)::bigint::text, '~'),
                                         coalesce(c.note, '~'), coalesce(c.gone::text, '~'), coalesce(c.opted_out::text, '~'),
                                         coalesce(extract(epoch FROM c.engaged_at)::bigint::text, '~')), E'\n' ORDER BY c.id), '')
    INTO contacts
    FROM app.contacts c;

    SELECT string_agg(concat_ws('|', a.account, a.contact_limit, coalesce(s.used, 0), coalesce(s.pending, 0),
                                coalesce(s.promoted, 0), coalesce(s.demoted, 0), a.period_opening, a.period_upgrades,
                                coalesce(a.requested_limit, 0)), E'\n' ORDER BY a.account)
    INTO counters
    FROM app.contacts_tier_account a
    LEFT JOIN (SELECT account, sum(used) AS used, sum(pending) AS pending, sum(promoted) AS promoted, sum(demoted) AS demoted
               FROM app.contacts_tier_counter GROUP BY account) s ON s.account = a.account;

    SELECT coalesce(string_agg(concat_ws('|', l.account, l.created, l.deleted, l.promoted, l.flagged, l.unflagged, l.demoted,
                                         l.dropped), E'\n' ORDER BY l.account), '')
    INTO activity
    FROM (SELECT account, sum(a.created) AS created, sum(a.deleted) AS deleted, sum(a.promoted) AS promoted,
                 sum(a.flagged) AS flagged, sum(a.unflagged) AS unflagged, sum(a.demoted) AS demoted, sum(a.dropped) AS dropped
          FROM contacts_tier.activity('app.contacts') a GROUP BY account) l
    WHERE created + deleted + promoted + flagged + unflagged + demoted + dropped > 0;

    SELECT coalesce(json_agg(json_build_array(l.account, l.event, l.contacts,
                                              CASE l.event WHEN 'rollover' THEN '{}' ELSE l.details - 'undoes' END) ORDER BY l.entry), '[]')
    INTO events
    FROM app.contacts_tier_ledger l WHERE event NOT IN ('activity', 'rollover_run');

    -- what the application's trigger has seen last is what there is
    SELECT string_agg(format('%s saw %s of contact %s, which is %s', l.trigger, l.seen, l.id, l.stored), E'\n')
    INTO audit
    FROM (SELECT DISTINCT ON (a.trigger, c.id) a.trigger, a.seen, c.id,
                 concat_ws('|', c.status, c.flag, c.source_type, c.source_name, c.changed_at) AS stored
          FROM app.contacts c JOIN fuzz.audit a ON a.id = c.id ORDER BY a.trigger, c.id, a.n DESC) l
    WHERE l.seen IS DISTINCT FROM l.stored;
END $$;

-- As at the beginning
CREATE FUNCTION fuzz.reset(accounts jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL session_replication_role = replica;
    TRUNCATE app.contacts, app.contacts_tier_account, app.contacts_tier_counter, app.contacts_tier_ledger, fuzz.audit;
    SET LOCAL session_replication_role = origin;
    PERFORM contacts_tier.set_condition('app.contacts', kind, NULL) FROM unnest('{exists,eligible}'::text[]) kind;
    PERFORM contacts_tier.subscribe('app.contacts', a->>0, a->>1, nullif((a->>2)::bigint, 0), on_exceed => (a->>3)::contacts_tier.exceed_policy,
                                    grace => (a->>4)::bigint,
                                    started_at => (a->>6)::timestamptz),
            contacts_tier.set_policy('app.contacts', a->>0, source_defaults => a->5, max_limit => (a->7->>'max_limit')::bigint,
                                     source_policies => a->7->'source_policies', proration => a->7->>'proration', brake => a->7->'brake')
    FROM jsonb_array_elements(accounts) a;
    PERFORM fuzz.prune();
END $$;

-- The ledger and the audit grow with the run, and with them what inspect() reads
CREATE FUNCTION fuzz.prune() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE app.contacts_tier_counter SET entry_started_at = NULL WHERE entry_started_at IS NOT NULL;
    TRUNCATE app.contacts_tier_ledger, fuzz.audit;
END $$;
