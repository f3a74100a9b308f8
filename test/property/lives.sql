--
-- Random lives: accounts with random subscriptions, and what happens to them,
-- done to the extension and to the model (model.sql) alike, and compared.
--
--   CALL property.live(seed, accounts, steps);
--   TABLE property.mismatch;
--
-- The same seed makes the same lives.
--
CREATE SCHEMA property;

CREATE TABLE contacts (id integer PRIMARY KEY, account text NOT NULL, email text, gone boolean, opted_out boolean, engaged_at timestamptz);
CREATE TABLE leads (engaged_at timestamptz, gone boolean, account text NOT NULL, email text, opted_out boolean, id integer PRIMARY KEY);
CREATE INDEX ON contacts (account);
CREATE INDEX ON leads (account);
SELECT contacts_tier.attach('contacts', 'account');
SELECT contacts_tier.attach('leads', 'account');

-- Leads have ids above this one.
CREATE FUNCTION property.first_lead() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1000000';

-- The conditions that a table can have, as the model calls them
CREATE TABLE property.condition (kind text, name text, condition text NOT NULL, PRIMARY KEY (kind, name));
INSERT INTO property.condition VALUES
    ('exists', 'certainly not gone', 'NOT gone'),
    ('exists', 'not gone', 'gone IS NOT TRUE'),
    ('exists', 'neither gone nor opted out', 'NOT coalesce(gone, false) AND opted_out IS NOT TRUE'),
    ('eligible', 'not opted out', 'opted_out IS NOT TRUE'),
    ('eligible', 'engaged', 'engaged_at > contacts_tier.clock() - interval ''40 days'''),
    ('eligible', 'both', 'opted_out IS NOT TRUE AND coalesce(engaged_at, ''infinity'') > contacts_tier.clock() - interval ''90 days''');

CREATE FUNCTION property.make_plan(name text, limits bigint[], prices numeric[], has_access boolean DEFAULT true)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM contacts_tier.create_plan(name, limits, prices, 'EUR', has_access);
    INSERT INTO model.plan VALUES (name, has_access, 'EUR');
    INSERT INTO model.tier SELECT name, l, p FROM unnest(limits, prices) AS t (l, p);
END $$;
SELECT property.make_plan('small', '{3, 6, 12, 25, 60}', '{10, 19.99, 35, 60.50, 100}');
SELECT property.make_plan('steps', '{5, 10, 15, 20, 25, 30}', '{7.77, 15.54, 23.31, 31.08, 38.85, 46.62}');
SELECT property.make_plan('free', '{4, 10, 30}', NULL);
SELECT property.make_plan('single', '{8}', '{12.34}');
SELECT property.make_plan('legacy', '{}', '{}', false);

-- What is known of an account from the outset.  "lateness": so many update
-- dates are missed before rollover is called for it; 99: only by chance.
CREATE TABLE property.life (
    account   text PRIMARY KEY,
    time_zone text NOT NULL,
    anchor    integer NOT NULL,      -- day of the month on which it likes to begin
    lateness  integer NOT NULL
);

CREATE TABLE property.step (
    step    integer PRIMARY KEY,
    now     timestamptz NOT NULL,
    account text NOT NULL,
    command text NOT NULL,
    outcome text NOT NULL
);

-- What undo_promotion() and the model said
CREATE TABLE property.undone (step integer, taken_back bigint, left_alone bigint, from_limit bigint, to_limit bigint);
CREATE TABLE property.undone_by_model (LIKE property.undone);

CREATE TABLE property.mismatch (step integer NOT NULL, account text, difference text NOT NULL);

------------------------------------------------------------------------------
-- Chance
------------------------------------------------------------------------------

-- 0 .. n - 1
CREATE FUNCTION property.random(n integer) RETURNS integer LANGUAGE plpgsql AS
$$ BEGIN RETURN floor(random() * n); END $$;

CREATE FUNCTION property.chance(p float8) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN RETURN random() < p; END $$;

CREATE FUNCTION property.pick(VARIADIC choices text[]) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN RETURN choices[1 + property.random(cardinality(choices))]; END $$;

-- A quarter of the accounts are busy.
CREATE FUNCTION property.any_account() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    accounts integer := (SELECT count(*) FROM property.life);
    busy boolean := property.chance(0.6);
    chosen integer := property.random(CASE WHEN busy THEN accounts / 4 ELSE accounts END);
BEGIN
    RETURN (SELECT account FROM property.life ORDER BY account OFFSET chosen LIMIT 1);
END $$;

-- Some contacts of an account, at most n, all of one table
CREATE FUNCTION property.some_contacts(which_account text, n integer) RETURNS integer[] LANGUAGE plpgsql AS $$
DECLARE
    leads boolean := property.chance(0.3);
    own integer[] := ARRAY(SELECT id FROM model.contact
                           WHERE account = which_account AND (id > property.first_lead()) = leads ORDER BY id);
    first integer := property.random(cardinality(own));
    chosen integer[] := '{}';
BEGIN
    FOR i IN first + 1 .. least(first + n, cardinality(own)) LOOP
        IF property.chance(0.8) THEN
            chosen := chosen || own[i];
        END IF;
    END LOOP;
    RETURN chosen;
END $$;

------------------------------------------------------------------------------
-- Comparing
------------------------------------------------------------------------------

CREATE VIEW property.contact AS
    SELECT id, account, marketing_contact_status::text AS status, marketing_contact_until_next_update AS flag,
           marketing_contact_status_source_type AS source_type, marketing_contact_status_updated_at AS updated_at,
           gone, opted_out, engaged_at FROM contacts
    UNION ALL
    SELECT id, account, marketing_contact_status::text, marketing_contact_until_next_update,
           marketing_contact_status_source_type, marketing_contact_status_updated_at, gone, opted_out, engaged_at FROM leads;

-- What of an account is not as the model has it
CREATE FUNCTION property.differences(which_account text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    expected record;
    got record;
BEGIN
    RETURN QUERY
        SELECT format('contact %s: expected %s, got %s', coalesce(m.id, c.id), to_jsonb(m), to_jsonb(c))
        FROM (SELECT * FROM model.contact WHERE account = which_account) AS m
        FULL JOIN (SELECT * FROM property.contact WHERE account = which_account) AS c USING (id)
        WHERE (m.status, m.flag, m.source_type, m.updated_at, m.gone, m.opted_out, m.engaged_at)
              IS DISTINCT FROM (c.status, c.flag, c.source_type, c.updated_at, c.gone, c.opted_out, c.engaged_at)
        ORDER BY coalesce(m.id, c.id);
    SELECT a.plan, a.contact_limit, a.marketing,
           (SELECT count(flag) FROM model.contact c WHERE account = which_account AND model.counts(c)) AS pending,
           a.next_update_at, a.renews_at
    INTO expected FROM model.account a WHERE account = which_account AND ended_at IS NULL;
    SELECT plan, contact_limit, marketing_contacts AS marketing, pending_non_marketing AS pending, next_update_at, renews_at
    INTO got FROM contacts_tier.usage('contacts', which_account);
    IF expected.plan IS NOT NULL AND to_jsonb(expected) IS DISTINCT FROM to_jsonb(got) THEN
        RETURN NEXT format('usage: expected %s, got %s', to_jsonb(expected), to_jsonb(got));
    END IF;
    IF contacts_tier.has_access('contacts', which_account) IS DISTINCT FROM
       coalesce((SELECT model.has_access(a) FROM model.account a WHERE account = which_account), false) THEN
        RETURN NEXT 'has_access() differs';
    END IF;
    -- and the model with itself
    IF (SELECT marketing FROM model.account WHERE account = which_account)
       <> (SELECT count(*) FROM model.contact c WHERE account = which_account AND model.counts(c)) THEN
        RETURN NEXT 'the model has counted wrong';
    END IF;
END $$;

CREATE FUNCTION property.compare(which_step integer, accounts text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    which text;
BEGIN
    FOR which IN SELECT DISTINCT u FROM unnest(accounts) u ORDER BY u LOOP
        INSERT INTO property.mismatch SELECT which_step, which, d FROM property.differences(which) d;
    END LOOP;
END $$;

-- Rows of two reports that the other one does not have
CREATE FUNCTION property.compare_reports(which_step integer, report text, expected text, got text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($sql$
        INSERT INTO property.mismatch
        SELECT %1$s, account, %2$L || ': ' || side || ' ' || to_jsonb(r)::text FROM (
            (SELECT 'expected' AS side, e.* FROM (%3$s) e EXCEPT ALL SELECT 'expected', g.* FROM (%4$s) g)
            UNION ALL
            (SELECT 'got' AS side, g.* FROM (%4$s) g EXCEPT ALL SELECT 'got', e.* FROM (%3$s) e)) AS r
        ORDER BY account, to_jsonb(r)->>'at', side$sql$, which_step, report, expected, got);
END $$;

CREATE FUNCTION property.compare_all(which_step integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM property.compare(which_step, ARRAY(SELECT account FROM property.life));
    INSERT INTO property.mismatch
    SELECT which_step, account, 'verify(): ' || to_jsonb(v)::text FROM contacts_tier.verify() v
    WHERE drift <> 0 OR pending_counted <> pending_actual;
    PERFORM property.compare_reports(which_step, 'ineligible()', $sql$
        SELECT account, updated_at AS at, id::text AS contact, flag FROM model.contact c WHERE model.counts(c) AND NOT model.is_eligible(c)$sql$, $sql$
        SELECT account, updated_at AS at, contact, until_next_update AS flag
        FROM (SELECT * FROM contacts_tier.ineligible('contacts') UNION ALL SELECT * FROM contacts_tier.ineligible('leads')) i$sql$);
    PERFORM property.compare_reports(which_step, 'tier_changes()', $sql$
        SELECT account, changed_at AS at, plan, from_limit, to_limit, reason, contacts, period_fraction, charge
        FROM model.tier_change$sql$, $sql$
        SELECT account, changed_at AS at, plan, from_limit, to_limit, reason, marketing_contacts AS contacts, period_fraction, charge
        FROM contacts_tier.tier_changes('contacts')$sql$);
    PERFORM property.compare_reports(which_step, 'billing_periods()', $sql$
        SELECT account, period_start AS at, period_end, true AS closed, plan, contact_limit, opening, peak, closing,
               promoted, demoted, corrected, upgrades, model.price(plan, contact_limit) AS monthly_price, month_share, tier_charges,
               round(model.price(plan, contact_limit) * month_share, 2) + tier_charges AS total
        FROM model.period
        UNION ALL
        SELECT account, period_started_at, next_update_at, false, plan, period_limit, opening, peak, marketing,
               promoted, demoted, corrected, upgrades, model.price(plan, period_limit), model.month_share(a), charges,
               round(model.price(plan, period_limit) * model.month_share(a), 2) + charges
        FROM model.account a WHERE ended_at IS NULL$sql$, $sql$
        SELECT account, period_start AS at, period_end, closed, plan, contact_limit, opening, peak, closing,
               promoted, demoted, corrected, upgrades, monthly_price, month_share, tier_charges, total
        FROM contacts_tier.billing_periods('contacts')$sql$);
    -- who did it tells of all that was counted
    INSERT INTO property.mismatch
    SELECT which_step, account, 'the log of the model differs from its periods'
    FROM (SELECT account, sum(promoted) AS promoted, sum(demoted) AS demoted
          FROM (SELECT account, promoted, demoted FROM model.period
                UNION ALL SELECT account, promoted, demoted FROM model.account WHERE ended_at IS NULL) AS p GROUP BY account) AS p
    JOIN (SELECT account, sum(promoted) AS promoted, sum(demoted + taken_back) AS demoted FROM model.log GROUP BY account) AS l
    USING (account) WHERE p.promoted > l.promoted OR p.demoted > l.demoted;
    PERFORM property.compare_reports(which_step, 'activity()', $sql$
        SELECT account, now() AS at, promoted, demoted
        FROM (SELECT account, sum(promoted) AS promoted, sum(demoted + taken_back) AS demoted FROM model.log GROUP BY account) AS s
        WHERE promoted + demoted > 0$sql$, $sql$
        SELECT account, now() AS at, promoted, demoted
        FROM (SELECT account, sum(promoted) AS promoted, sum(demoted) AS demoted
              FROM contacts_tier.activity('contacts') GROUP BY account) AS s
        WHERE promoted + demoted > 0$sql$);
END $$;

------------------------------------------------------------------------------
-- Doing the same here and there
------------------------------------------------------------------------------

-- The SQLSTATE that a command ends with; what fails leaves nothing
CREATE FUNCTION property.try(command text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE command;
    RETURN '00000';
EXCEPTION WHEN OTHERS THEN
    IF SQLSTATE ~ '^(XX|42[^57]|57)' THEN
        RETURN SQLSTATE || ' ' || SQLERRM;
    END IF;
    RETURN SQLSTATE;
END $$;

-- Which of the accounts have had their overdue dates applied by the extension,
-- and not yet by the model?
CREATE FUNCTION property.applied(accounts text[]) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
    RETURN ARRAY(SELECT a.account FROM model.account a JOIN contacts_tier_account r USING (account)
                 WHERE a.account = ANY (accounts)
                 AND (a.period_started_at, a.ended_at) IS DISTINCT FROM (r.period_started_at, r.ended_at));
END $$;

-- A command that the extension and the model understand; in the model's, "%s"
-- stands for the accounts whose overdue dates were applied.
CREATE FUNCTION property.do(which_step integer, accounts text[], command text, model_command text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    got text;
    expected text;
BEGIN
    IF property.chance(0.04) THEN      -- something fails later, and takes it back
        got := property.try(format('DO %L', format('BEGIN EXECUTE %L; PERFORM 1 / 0; END', command)));
        INSERT INTO property.step VALUES (which_step, model.now(), array_to_string(accounts, ' '), command, 'taken back: ' || got);
        PERFORM property.compare(which_step, accounts);
        RETURN;
    END IF;
    got := property.try(command);
    -- what was refused had them applied first, and taken back
    expected := property.try(format(model_command, quote_literal(CASE got WHEN '00000' THEN property.applied(accounts)
                                                                          ELSE accounts END)));
    INSERT INTO property.step VALUES (which_step, model.now(), array_to_string(accounts, ' '), command, got);
    -- Of several reasons to refuse an order, any will do; so does any account
    -- of several that a statement is refused for.
    IF (got = '00000') <> (expected = '00000') OR length(got) > 5
       OR got <> expected AND model_command ~ '^SELECT model\.(statement|merge)\('
          AND NOT (cardinality(accounts) > 1 AND got LIKE 'MC%' AND expected LIKE 'MC%') THEN
        INSERT INTO property.mismatch
        VALUES (which_step, accounts[1], format('outcome: expected %s, got %s', expected, got));
    END IF;
    PERFORM property.compare(which_step, accounts);
END $$;

CREATE FUNCTION property.do_statement(which_step integer, statement text, writes model.write[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    passes boolean := property.chance(0.02);
BEGIN
    IF passes THEN
        statement := format('DO %L', 'BEGIN PERFORM contacts_tier.pass_brake(); ' || statement || '; END');
    END IF;
    PERFORM property.do(which_step,
                        ARRAY(SELECT DISTINCT a FROM unnest(writes) w,
                              LATERAL (SELECT w.account UNION SELECT account FROM model.contact c WHERE c.id = w.id) AS x (a)
                              WHERE a IS NOT NULL ORDER BY a),
                        statement, format('SELECT model.statement(%L, %%s, %L)', writes, passes));
END $$;

------------------------------------------------------------------------------
-- Statements
------------------------------------------------------------------------------

CREATE FUNCTION property.value(w model.write, which text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE which WHEN 'id' THEN w.id::text WHEN 'account' THEN w.account WHEN 'marketing_contact_status' THEN w.status
                      WHEN 'marketing_contact_until_next_update' THEN nullif(w.flag, 'null')
                      WHEN 'gone' THEN nullif(w.gone, 'null') WHEN 'opted_out' THEN nullif(w.opted_out, 'null')
                      WHEN 'engaged_at' THEN nullif(w.engaged_at, 'null') ELSE w.source_type END
$$;

-- INSERT with VALUES or SELECT, or COPY
CREATE FUNCTION property.insert_command(columns text[], writes model.write[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    target text := model.table_of(writes[1].id);
    list text := array_to_string(columns, ', ');
    way text := property.pick('values', 'values', 'select', 'copy');
    rows text;
BEGIN
    IF way = 'copy' THEN
        SELECT string_agg((SELECT string_agg(coalesce(property.value(w, c), 'null'), '\t' ORDER BY n)
                           FROM unnest(columns) WITH ORDINALITY AS u (c, n)) || '\n', '' ORDER BY m)
        INTO rows FROM generate_subscripts(writes, 1) AS m, LATERAL (SELECT writes[m] AS w) AS r;
        RETURN format('COPY %s (%s) FROM PROGRAM %L WITH (NULL ''null'')', target, list, format('printf "%s"', rows));
    END IF;
    FOR i IN 1 .. cardinality(writes) LOOP
        rows := concat_ws(', ', rows, '(' || (SELECT string_agg(quote_nullable(property.value(writes[i], c))
                                                                || CASE c WHEN 'id' THEN '::integer'
                                                                          WHEN 'marketing_contact_status' THEN '::contacts_tier.marketing_status'
                                                                          WHEN 'marketing_contact_until_next_update' THEN '::boolean'
                                                                          WHEN 'gone' THEN '::boolean' WHEN 'opted_out' THEN '::boolean'
                                                                          WHEN 'engaged_at' THEN '::timestamptz' ELSE '' END,
                                                                ', ' ORDER BY n)
                                              FROM unnest(columns) WITH ORDINALITY AS u (c, n)) || ')');
    END LOOP;
    RETURN format(CASE way WHEN 'values' THEN 'INSERT INTO %s (%s) VALUES %s' ELSE 'INSERT INTO %s (%s) SELECT * FROM (VALUES %s) v' END,
                  target, list, rows);
END $$;

-- Of the columns that conditions read: any value of a boolean, mostly the one that lets a contact be
CREATE FUNCTION property.any_boolean() RETURNS text LANGUAGE plpgsql AS
$$ BEGIN RETURN property.pick('false', 'false', 'false', 'null', 'true'); END $$;

CREATE FUNCTION property.any_engagement() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    days integer := property.random(60);
BEGIN
    RETURN CASE WHEN property.chance(0.1) THEN 'null' ELSE (model.now() - make_interval(days => days))::text END;
END $$;

CREATE FUNCTION property.insert_some(which_step integer, which_account text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    lead boolean := property.chance(0.3);
    last integer := coalesce((SELECT max(id) FROM model.contact WHERE (id > property.first_lead()) = lead),
                             CASE WHEN lead THEN property.first_lead() ELSE 0 END);
    n integer := CASE WHEN property.chance(0.5) THEN 1 ELSE 2 + property.random(9) END;
    several boolean := property.chance(0.2);
    columns text[] := '{id,account}';
    command text;
    w model.write;
    writes model.write[] := '{}';
BEGIN
    columns := columns || CASE WHEN property.chance(0.7) THEN '{marketing_contact_status}'::text[] END
                       || CASE WHEN property.chance(0.1) THEN '{marketing_contact_until_next_update}'::text[] END
                       || CASE WHEN property.chance(0.6) THEN '{marketing_contact_status_source_type}'::text[] END
                       || CASE WHEN property.chance(0.5) THEN '{gone}'::text[] END
                       || CASE WHEN property.chance(0.3) THEN '{opted_out}'::text[] END
                       || CASE WHEN property.chance(0.7) THEN '{engaged_at}'::text[] END;
    FOR i IN 1 .. n LOOP
        w := ROW('insert', last + i, which_account, NULL, NULL, NULL, NULL, NULL, NULL);
        IF several AND property.chance(0.5) THEN
            w.account := property.any_account();
        END IF;
        IF 'marketing_contact_status' = ANY (columns) THEN
            w.status := property.pick('marketing', 'marketing', 'marketing', 'non_marketing', NULL);
        END IF;
        IF 'marketing_contact_until_next_update' = ANY (columns) THEN
            w.flag := property.pick('true', 'null');
        END IF;
        IF 'marketing_contact_status_source_type' = ANY (columns) THEN
            w.source_type := property.pick('FORM', 'FORM', 'EXTERNAL_FORM', 'IMPORT', 'API', 'MEETING', 'ROBOT', NULL);
        END IF;
        IF 'gone' = ANY (columns) THEN
            w.gone := property.any_boolean();
        END IF;
        IF 'opted_out' = ANY (columns) THEN
            w.opted_out := property.any_boolean();
        END IF;
        IF 'engaged_at' = ANY (columns) THEN
            w.engaged_at := property.any_engagement();
        END IF;
        writes := writes || w;
    END LOOP;
    IF n > 2 AND property.chance(0.1) THEN       -- a contact that is there already, at the end
        writes[n].id := writes[1].id;
    END IF;
    command := property.insert_command(columns, writes);
    -- where rows are dropped and only some have a status, nobody knows which
    -- were given one (documented): not here
    IF n > 2 AND writes[n].id = writes[1].id AND command LIKE 'INSERT%'
       AND NOT 'marketing_contact_status' = ANY (columns) THEN
        command := command || ' ON CONFLICT DO NOTHING';
        writes := trim_array(writes, 1);
    END IF;
    PERFORM property.do_statement(which_step, command, writes);
END $$;

-- An UPDATE of some contacts; the one write that it is told by has no id yet.
CREATE FUNCTION property.update_some(which_step integer, which_account text, w model.write) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ids integer[] := property.some_contacts(which_account, CASE WHEN property.chance(0.4) THEN 1 ELSE 12 END);
    writes model.write[] := '{}';
    sets text := concat_ws(', ',
        'marketing_contact_status = ' || quote_literal(w.status),
        'marketing_contact_until_next_update = ' || w.flag,
        'account = ' || quote_literal(w.account),
        'marketing_contact_status_source_type = ' || quote_literal(w.source_type),
        'gone = ' || w.gone, 'opted_out = ' || w.opted_out,
        'engaged_at = ' || CASE w.engaged_at WHEN 'null' THEN 'NULL' ELSE quote_literal(w.engaged_at) END);
BEGIN
    IF sets = '' THEN
        sets := 'email = ''x''';
    END IF;
    IF cardinality(ids) = 0 THEN
        RETURN;
    END IF;
    FOR i IN 1 .. cardinality(ids) LOOP
        w.id := ids[i];
        writes := writes || w;
    END LOOP;
    PERFORM property.do_statement(which_step, format('UPDATE %s SET %s WHERE id = ANY (%L)', model.table_of(ids[1]), sets, ids),
                                  writes);
END $$;

CREATE FUNCTION property.delete_some(which_step integer, which_account text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ids integer[] := property.some_contacts(which_account, CASE WHEN property.chance(0.5) THEN 1 ELSE 6 END);
BEGIN
    IF cardinality(ids) > 0 THEN
        PERFORM property.do_statement(which_step, format('DELETE FROM %s WHERE id = ANY (%L)', model.table_of(ids[1]), ids),
                                      ARRAY(SELECT ROW('delete', id, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::model.write
                                            FROM unnest(ids) id ORDER BY id));
    END IF;
END $$;

-- Two contacts of one table, mostly of one account
CREATE FUNCTION property.merge_some(which_step integer, which_account text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    ids integer[] := property.some_contacts(which_account, 12);
    n integer := cardinality(ids);
    winner integer;
    loser integer;
BEGIN
    IF n < 2 THEN
        RETURN;
    END IF;
    winner := ids[1 + property.random(n)];
    loser := ids[1 + property.random(n)];
    IF property.chance(0.03) THEN
        loser := coalesce((SELECT max(id) FROM model.contact WHERE model.table_of(id) = model.table_of(winner)), loser);
    END IF;
    PERFORM property.do(which_step, ARRAY(SELECT DISTINCT account FROM model.contact WHERE id IN (winner, loser) ORDER BY 1),
                        format('SELECT contacts_tier.merge_contacts(%L, %s, %s)', model.table_of(winner), winner, loser),
                        format('SELECT model.merge(%s, %s, %%s)', winner, loser));
END $$;

-- Another condition, or none
CREATE FUNCTION property.set_condition(which_step integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    which_table text := property.pick('contacts', 'leads');
    which_kind text := property.pick('exists', 'eligible');
    mode text := property.pick('keep', 'keep', 'refuse');
    choices text[] := ARRAY(SELECT name FROM property.condition WHERE kind = which_kind ORDER BY name);
    chosen text := property.pick(VARIADIC choices || '{none}'::text[]);
BEGIN
    chosen := nullif(chosen, 'none');
    PERFORM property.do(which_step, ARRAY(SELECT account FROM property.life ORDER BY account),
                        format('SELECT contacts_tier.set_condition(%L, %L, %L, %L)', which_table, which_kind,
                               (SELECT condition FROM property.condition WHERE kind = which_kind AND name = chosen), mode),
                        format('SELECT model.set_condition(%L, %L, %L, %L)', which_table, which_kind, chosen, mode));
END $$;

------------------------------------------------------------------------------
-- Subscriptions
------------------------------------------------------------------------------

-- Often the start is at a given day of the month, and often in the past.
CREATE FUNCTION property.any_start(anchor integer, zone text) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    month date := date_trunc('month', model.now() AT TIME ZONE zone) - make_interval(months => property.random(14));
    start timestamptz := (month + anchor - 1 + make_interval(mins => property.random(1440))) AT TIME ZONE zone;
BEGIN
    RETURN CASE WHEN start <= model.now() AND property.chance(0.8) THEN start END;
END $$;

CREATE FUNCTION property.subscribe(which_step integer, which_account text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    life property.life;
    which_plan text := property.pick('small', 'small', 'small', 'steps', 'steps', 'free', 'single', 'legacy');
    contact_limit bigint := CASE WHEN property.chance(0.3) THEN
        (ARRAY(SELECT t.contact_limit FROM model.tier t WHERE t.plan = which_plan ORDER BY 1))[1 + property.random(3)] END;
    arguments text;
BEGIN
    SELECT * INTO life FROM property.life WHERE account = which_account;
    arguments := format('%L, %L, %L, %L, %L, %L, %L, %L', which_account, which_plan, contact_limit,
                        property.pick('monthly', 'monthly', 'annual'), property.any_start(life.anchor, life.time_zone),
                        life.time_zone, property.pick('upgrade', 'upgrade', 'block', 'cap'), property.pick('0', '0', '2', '5'));
    PERFORM property.do(which_step, ARRAY[which_account],
                        format('SELECT contacts_tier.subscribe(''contacts'', %s)', arguments),
                        format('SELECT model.subscribe(%s)', arguments));
END $$;

CREATE FUNCTION property.change_tier(which_step integer, which_account text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wanted text := property.pick('3', '6', '12', '25', '5', '10', '15', '20', '4', '30', '8', '7');
    own bigint[] := ARRAY(SELECT t.contact_limit FROM model.tier t JOIN model.account a USING (plan)
                          WHERE account = which_account ORDER BY 1);
    arguments text;
BEGIN
    IF cardinality(own) > 0 AND property.chance(0.9) THEN
        wanted := own[1 + property.random(cardinality(own))];
    END IF;
    arguments := format('%L, %L, %s', which_account, wanted, property.pick('NULL', 'NULL', 'true', 'false'));
    PERFORM property.do(which_step, ARRAY[which_account],
                        format('SELECT contacts_tier.change_tier(''contacts'', %s)', arguments),
                        format('SELECT model.change_tier(%s)', arguments));
END $$;

CREATE FUNCTION property.cancel(which_step integer, which_account text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    withdraw text := property.pick('false', 'false', 'false', 'true');
BEGIN
    PERFORM property.do(which_step, ARRAY[which_account],
                        format('SELECT contacts_tier.cancel(''contacts'', %L, withdraw => %s)', which_account, withdraw),
                        format('SELECT model.cancel(%L, %s)', which_account, withdraw));
END $$;

CREATE FUNCTION property.approve(which_step integer, which_account text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF property.chance(0.7) THEN       -- rather one that waits for it
        which_account := coalesce((SELECT min(account) FROM model.account WHERE requested_limit IS NOT NULL AND ended_at IS NULL),
                                  which_account);
    END IF;
    PERFORM property.do(which_step, ARRAY[which_account],
                        format('SELECT contacts_tier.approve_upgrade(''contacts'', %L)', which_account),
                        format('SELECT model.approve_upgrade(%L)', which_account));
END $$;

CREATE FUNCTION property.set_policy(which_step integer, which_account text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    policy text := CASE WHEN property.chance(0.3) THEN property.pick('upgrade', 'block', 'cap') END;
    grace text := CASE WHEN property.chance(0.2) THEN property.pick('0', '3') END;
    defaults text := CASE WHEN property.chance(0.2) THEN
        property.pick('{}', '{"FORM": "non_marketing"}', '{"IMPORT": "marketing", "API": "marketing"}', '{"USER": "marketing"}') END;
    zone text := CASE WHEN property.chance(0.2) THEN property.pick('UTC', 'America/Havana', 'Pacific/Apia', 'Europe/Berlin') END;
    downgrade text := CASE WHEN property.chance(0.2) THEN property.pick('true', 'false') END;
    cycle text := CASE WHEN property.chance(0.2) THEN property.pick('monthly', 'annual') END;
    most text := CASE WHEN property.chance(0.3) THEN coalesce(
        (SELECT contact_limit::text FROM model.tier WHERE property.chance(0.3) ORDER BY contact_limit LIMIT 1), '0') END;
    policies text := CASE WHEN property.chance(0.3) THEN
        property.pick('{}', '{"IMPORT": "block", "API": "cap"}', '{"FORM": "cap", "USER": "upgrade"}', '{"USER": "block", "FORM": "upgrade"}') END;
    proration text := CASE WHEN property.chance(0.3) THEN property.pick('prorated', 'full', 'none') END;
    brake text := CASE WHEN property.chance(0.3) THEN property.pick('{}', '{}', '{"window": "1 hour", "limit": 2}',
        '{"window": "20 days", "limit": 9, "sources": {"FORM": 2, "USER": 6}}', '{"window": "1 mon", "sources": {"IMPORT": 1, "USER": 5}}') END;
BEGIN
    PERFORM property.do(which_step, ARRAY[which_account],
                        format('SELECT contacts_tier.set_policy(''contacts'', %L, %L, %L, source_defaults => %L, time_zone => %L,'
                               ' auto_downgrade => %L, billing_cycle => %L, max_limit => %L, source_policies => %L, proration => %L, brake => %L)',
                               which_account, policy, grace, defaults, zone, downgrade, cycle, most, policies, proration, brake),
                        format('SELECT model.set_policy(%L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L = ANY (%%s::text[]))',
                               which_account, policy, grace, defaults, zone, downgrade, cycle, most, policies, proration, brake,
                               which_account));
END $$;

-- What a source promoted, since some instant; mostly one of the running period, and one that
-- promoted something.  What is less than a minute apart may be one entry of the ledger, which is undone
-- as a whole; and of what a condition has corrected it has no entry: not here
CREATE FUNCTION property.undo(which_step integer, which_account text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a model.account;
    source text := property.pick('USER', 'USER', 'FORM', 'IMPORT', 'API', 'WORKFLOW', 'CRM_SYNC');
    since timestamptz;
    days integer := property.random(12);
    result text;
    got text;
BEGIN
    IF property.chance(0.85) THEN
        -- rather something that can be taken back, best of all from an account that has moved up
        SELECT c.account, c.source_type INTO which_account, source
        FROM model.contact c JOIN model.account m USING (account)
        WHERE c.status = 'marketing' AND c.flag IS NULL AND c.updated_at >= m.period_started_at
          AND m.ended_at IS NULL AND m.next_update_at > model.now() AND model.is_there(c)
        ORDER BY EXISTS (SELECT FROM model.tier_change t WHERE t.account = m.account AND t.reason = 'exceeded'
                         AND NOT t.withdrawn AND t.changed_at >= m.period_started_at AND t.to_limit = m.contact_limit) DESC,
                 c.account = which_account DESC, c.updated_at DESC, c.id OFFSET property.random(2) LIMIT 1;
        IF NOT FOUND THEN
            RETURN;
        END IF;
    END IF;
    SELECT * INTO a FROM model.account WHERE account = which_account;
    since := CASE property.random(4) WHEN 0 THEN model.now() - make_interval(days => days)
                                     WHEN 1 THEN coalesce((SELECT max(at) FROM model.log WHERE account = which_account
                                                           AND source_type = source AND promoted > 0), model.now())
                                     ELSE a.period_started_at END;
    IF since IS NULL OR EXISTS (SELECT FROM (SELECT at - lag(at) OVER (ORDER BY number) AS distance FROM model.log
                                             WHERE account = which_account AND at > since - interval '2 minutes') AS l
                                WHERE distance < '2 minutes')
       OR EXISTS (SELECT FROM model.log WHERE account = which_account AND at >= since AND corrected <> 0) THEN
        RETURN;
    END IF;
    PERFORM property.do(which_step, ARRAY[which_account],
                        format('INSERT INTO property.undone SELECT %s, u.* FROM contacts_tier.undo_promotion(''contacts'', %L, %L, current_user, %L) u',
                               which_step, which_account, source, since),
                        format('INSERT INTO property.undone_by_model SELECT %s, u.* FROM model.undo(%L, %L, %L) u',
                               which_step, which_account, source, since));
    SELECT to_jsonb(u)::text INTO result FROM property.undone_by_model u WHERE step = which_step;
    SELECT to_jsonb(u)::text INTO got FROM property.undone u WHERE step = which_step;
    IF result IS DISTINCT FROM got THEN
        INSERT INTO property.mismatch VALUES (which_step, which_account, format('undone: expected %s, got %s', result, got));
    END IF;
END $$;

------------------------------------------------------------------------------
-- Time
------------------------------------------------------------------------------

CREATE FUNCTION property.set_clock(t timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE model.clock SET now = t;
    PERFORM set_config('contacts_tier.now', t::text, false);
END $$;

-- The next instant; often right before, at, or right after an update date.
CREATE FUNCTION property.next_instant(average interval) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    now timestamptz := model.now();
    t timestamptz := date_trunc('second', now + average * 2 * random());
    near boolean := property.chance(0.3);
    distance integer := property.random(3) - 1;
    due timestamptz;
BEGIN
    SELECT min(next_update_at) INTO due FROM model.account
    WHERE next_update_at BETWEEN now + interval '2 microseconds' AND t AND ended_at IS NULL;
    RETURN CASE WHEN near AND due IS NOT NULL THEN due + distance * interval '1 microsecond' ELSE t END;
END $$;

-- What a transaction may ends with it (P1).
CREATE PROCEDURE property.commit() LANGUAGE plpgsql AS $$
BEGIN
    UPDATE model.clock SET passes = false;
    COMMIT;
END $$;

-- Accounts whose rollover is not put off any longer, and all of them now and
-- then: in a transaction block, and with commits
CREATE PROCEDURE property.roll_over(which_step integer) LANGUAGE plpgsql AS $$
DECLARE
    accounts text[];
    which text;
BEGIN
    IF property.chance(0.002) THEN
        accounts := ARRAY(SELECT account FROM model.account WHERE next_update_at <= model.now() AND ended_at IS NULL ORDER BY account);
        CALL contacts_tier.rollover(batch_size => 4);
        PERFORM model.rollover();
        CALL property.commit();
        PERFORM property.compare(which_step, accounts);
        RETURN;
    END IF;
    accounts := ARRAY(SELECT account FROM model.account JOIN property.life USING (account)
                      WHERE next_update_at + make_interval(months => lateness) <= model.now() AND ended_at IS NULL
                      ORDER BY account);
    FOREACH which IN ARRAY accounts LOOP
        IF property.chance(0.5) THEN
            CALL contacts_tier.rollover('contacts', which, 1 + property.random(4));
            CALL property.commit();
        ELSE
            PERFORM property.try(format('CALL contacts_tier.rollover(''leads'', %L)', which));
        END IF;
        PERFORM model.rollover(which);
    END LOOP;
    PERFORM property.compare(which_step, accounts);
END $$;

------------------------------------------------------------------------------
-- Lives
------------------------------------------------------------------------------

-- Mostly one whose update date is now, if there is one.
CREATE FUNCTION property.concerned_account() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    which text := property.any_account();
    moment interval := '1 microsecond';
BEGIN
    RETURN coalesce((SELECT min(account) FROM model.account
                     WHERE next_update_at BETWEEN model.now() - moment AND model.now() + moment
                        OR period_started_at BETWEEN model.now() - moment AND model.now() + moment
                     HAVING property.chance(0.7)), which);
END $$;

-- A write that tells of an UPDATE; "p": how probably it sets each of the columns that conditions read
CREATE FUNCTION property.change(status text, flag text, source text, account text DEFAULT NULL, p float8 DEFAULT 0.05) RETURNS model.write
LANGUAGE plpgsql AS $$
BEGIN
    RETURN ROW('update'::text, NULL::integer, account, status, flag, source, CASE WHEN property.chance(p) THEN property.any_boolean() END,
               CASE WHEN property.chance(p) THEN property.any_boolean() END, CASE WHEN property.chance(p) THEN property.any_engagement() END);
END $$;

CREATE FUNCTION property.act(which_step integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    which text := property.concerned_account();
    source text := CASE WHEN property.chance(0.3) THEN property.pick('WORKFLOW', 'BULK_ACTION', 'CRM_SYNC') END;
    dice integer;
BEGIN
    dice := property.random(100);
    IF NOT EXISTS (SELECT FROM model.account WHERE account = which AND ended_at IS NULL) AND property.chance(0.8) THEN
        PERFORM property.subscribe(which_step, which);
        RETURN;
    END IF;
    CASE
        WHEN dice < 22 THEN PERFORM property.insert_some(which_step, which);
        WHEN dice < 39 THEN PERFORM property.update_some(which_step, which, property.change('marketing', NULL, source));
        WHEN dice < 50 THEN PERFORM property.update_some(which_step, which, property.change('non_marketing', NULL, source));
        WHEN dice < 53 THEN PERFORM property.update_some(which_step, which, property.change(NULL, 'true', source));
        WHEN dice < 55 THEN PERFORM property.update_some(which_step, which, property.change(NULL, 'null', source));
        WHEN dice < 56 THEN PERFORM property.update_some(which_step, which, property.change(NULL, NULL, source));
        WHEN dice < 58 THEN PERFORM property.update_some(which_step, which,
                                property.change(property.pick('marketing', 'non_marketing'), property.pick('true', 'null'), source));
        WHEN dice < 62 THEN PERFORM property.update_some(which_step, which,
                                property.change(property.pick('marketing', NULL, NULL), NULL, source, property.any_account()));
        WHEN dice < 70 THEN PERFORM property.update_some(which_step, which,
                                property.change(property.pick('marketing', NULL, NULL, NULL), NULL, source, NULL, 0.5));
        WHEN dice < 76 THEN PERFORM property.delete_some(which_step, which);
        WHEN dice < 81 THEN PERFORM property.merge_some(which_step, which);
        WHEN dice < 87 THEN PERFORM property.set_policy(which_step, which);
        WHEN dice < 91 THEN PERFORM property.change_tier(which_step, which);
        WHEN dice < 93 THEN PERFORM property.approve(which_step, which);
        WHEN dice < 95 THEN PERFORM property.cancel(which_step, which);
        WHEN dice < 96 THEN PERFORM property.subscribe(which_step, which);
        WHEN dice < 97 AND property.chance(0.6) THEN PERFORM property.set_condition(which_step);
        ELSE PERFORM property.undo(which_step, which);
    END CASE;
END $$;

CREATE FUNCTION property.begin(seed integer, accounts integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first_day date;
    zone text;
    odd_days integer[];
BEGIN
    PERFORM setseed(seed::float8 / 2147483648);
    first_day := property.pick('2010-09-14', '2012-11-03', '2013-12-20', '2016-02-20', '2021-12-10');
    INSERT INTO model.clock VALUES (first_day);
    PERFORM property.set_clock(first_day::timestamp AT TIME ZONE 'UTC');
    FOR i IN 1 .. accounts LOOP
        zone := property.pick('America/Sao_Paulo', 'Africa/Cairo', 'Asia/Beirut', 'America/Havana', 'Europe/Berlin',
                              'Pacific/Apia', 'UTC', 'Asia/Kathmandu');
        -- days of the month whose midnight does not exist, or comes twice
        odd_days := ARRAY(SELECT DISTINCT extract(day FROM d)::integer
                          FROM generate_series(first_day::timestamp, first_day + interval '3 years', '1 day') AS d
                          WHERE (d AT TIME ZONE zone) AT TIME ZONE zone <> d
                             OR (d AT TIME ZONE zone - interval '1 hour') AT TIME ZONE zone = d ORDER BY 1);
        INSERT INTO property.life
        VALUES ('a' || to_char(i, 'FM000'), zone,
                CASE WHEN cardinality(odd_days) > 0 AND property.chance(0.4) THEN odd_days[1 + property.random(cardinality(odd_days))]
                     WHEN property.chance(0.6) THEN 29 + property.random(3) ELSE 1 + property.random(28) END,
                property.pick('0', '0', '0', '1', '2', '3', '99')::integer);
    END LOOP;
    -- a statement works on contacts in the order of their ids
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET jit = off;    -- which plans that are said to be costly would get
END $$;

-- Live through three years, a few steps in each transaction.  Ends early after
-- a step that mismatches.
CREATE PROCEDURE property.live(seed integer, accounts integer, steps integer) LANGUAGE plpgsql AS $$
DECLARE
    last timestamptz;
    late boolean;
    differs boolean;
BEGIN
    PERFORM property.begin(seed, accounts);
    last := model.now() + interval '3 years';
    FOR s IN 1 .. steps LOOP
        PERFORM property.set_clock(property.next_instant((last - model.now()) / (steps - s + 1)));
        late := property.chance(0.5);
        IF NOT late THEN
            CALL property.roll_over(s);
        END IF;
        PERFORM property.act(s);
        IF late THEN
            CALL property.roll_over(s);
        END IF;
        IF s % (steps / 10) = 0 THEN
            PERFORM property.compare_all(s);
        END IF;
        differs := EXISTS (SELECT FROM property.mismatch);
        PERFORM set_config('default_transaction_isolation',
                           CASE WHEN property.chance(0.15) THEN property.pick('repeatable read', 'serializable')
                                ELSE 'read committed' END, false);
        IF property.chance(0.6) THEN
            CALL property.commit();
        END IF;
        EXIT WHEN differs;
    END LOOP;
END $$;

-- What led to a mismatch: the last steps of the accounts concerned
CREATE VIEW property.last_steps AS
    SELECT s.step, s.now, s.account, s.command, s.outcome
    FROM property.step s
    WHERE EXISTS (SELECT FROM property.mismatch m WHERE m.account = ANY (string_to_array(s.account, ' ')))
    ORDER BY s.step DESC LIMIT 15;
