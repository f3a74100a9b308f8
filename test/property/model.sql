--
-- What contacts_tier promises (its rules S, T, P and D), once more, as plainly as
-- possible: rows and loops, and PostgreSQL's own date functions.  Nothing here
-- knows of the extension, its functions or its tables; the property test lives
-- the same lives here and there, and compares.
--
-- A statement is an array of model.write, in the order in which it writes rows.
-- What the rules refuse raises the SQLSTATE that they name, and leaves nothing.
--
CREATE SCHEMA model;
SET search_path = model, pg_catalog;
SET check_function_bodies = off;

-- "passes": does the running transaction pass the brake?
CREATE TABLE clock (now timestamptz NOT NULL, passes boolean NOT NULL DEFAULT false);

CREATE TABLE plan (
    plan       text PRIMARY KEY,
    has_access boolean NOT NULL,
    currency   text NOT NULL
);
CREATE TABLE tier (
    plan          text NOT NULL,
    contact_limit bigint NOT NULL,
    monthly_price numeric,
    PRIMARY KEY (plan, contact_limit)
);
-- default status of the source types; all others default to non-marketing
CREATE TABLE source_type (
    source_type text PRIMARY KEY,
    marketing   boolean NOT NULL,
    changeable  boolean NOT NULL
);
INSERT INTO source_type VALUES
    ('FORM', true, true), ('EXTERNAL_FORM', true, true), ('CHATFLOW', false, true), ('IMPORT', false, true),
    ('INTEGRATION', false, true), ('API', false, true), ('CRM_SYNC', false, true), ('USER', false, true);

CREATE TABLE contact (
    id          integer PRIMARY KEY,
    account     text NOT NULL,
    status      text NOT NULL CHECK (status IN ('marketing', 'non_marketing')),
    flag        boolean CHECK (flag IS NULL OR flag AND status = 'marketing'),
    source_type text NOT NULL,
    updated_at  timestamptz NOT NULL,
    -- of the application
    of_table    text NOT NULL,
    gone        boolean,
    opted_out   boolean,
    engaged_at  timestamptz
);
CREATE INDEX ON contact (account);

-- The conditions of a table: "exists" and "eligible", by the names that is_there() and
-- is_eligible() know
CREATE TABLE condition (
    of_table text,
    kind     text,
    name     text NOT NULL,
    refuses  boolean NOT NULL,
    PRIMARY KEY (of_table, kind)
);

CREATE TABLE account (
    account           text PRIMARY KEY,
    plan              text NOT NULL,
    contact_limit     bigint NOT NULL,
    billing_cycle     text NOT NULL,
    on_exceed         text NOT NULL,
    grace             bigint NOT NULL,
    source_defaults   jsonb NOT NULL DEFAULT '{}',
    max_limit         bigint,
    source_policies   jsonb NOT NULL DEFAULT '{}',
    proration         text NOT NULL DEFAULT 'prorated',
    brake             jsonb,
    auto_downgrade    boolean NOT NULL DEFAULT false,
    time_zone         text NOT NULL,
    -- dates are days of the account's own calendar; the renewal date is so many
    -- months after the anchor
    anchor            date NOT NULL,
    renewal_months    integer NOT NULL,
    update_day        date NOT NULL,
    -- the instants at which these begin
    period_started_at timestamptz NOT NULL,
    next_update_at    timestamptz NOT NULL,
    renews_at         timestamptz NOT NULL,
    -- what is to happen at the renewal date
    renewal_limit     bigint,
    renewal_cycle     text,
    cancelled         boolean NOT NULL DEFAULT false,
    ended_at          timestamptz,
    requested_limit   bigint,
    -- the count, and the running period
    marketing         bigint NOT NULL DEFAULT 0,
    period_limit      bigint NOT NULL,
    opening           bigint NOT NULL DEFAULT 0,
    peak              bigint NOT NULL DEFAULT 0,
    promoted          bigint NOT NULL DEFAULT 0,
    demoted           bigint NOT NULL DEFAULT 0,
    corrected         bigint NOT NULL DEFAULT 0,
    upgrades          integer NOT NULL DEFAULT 0,
    charges           numeric DEFAULT 0
);
CREATE INDEX ON account (next_update_at);

CREATE TABLE period (
    account       text NOT NULL,
    period_start  timestamptz NOT NULL,
    period_end    timestamptz NOT NULL,
    plan          text NOT NULL,
    contact_limit bigint NOT NULL,
    opening       bigint NOT NULL,
    peak          bigint NOT NULL,
    closing       bigint NOT NULL,
    promoted      bigint NOT NULL,
    demoted       bigint NOT NULL,
    corrected     bigint NOT NULL,
    upgrades      integer NOT NULL,
    tier_charges  numeric,
    month_share   numeric NOT NULL
);

CREATE TABLE tier_change (
    number          integer GENERATED ALWAYS AS IDENTITY,
    account         text NOT NULL,
    changed_at      timestamptz NOT NULL,
    plan            text NOT NULL,
    from_limit      bigint NOT NULL,
    to_limit        bigint NOT NULL,
    reason          text NOT NULL,
    contacts        bigint NOT NULL,
    period_fraction numeric NOT NULL,
    charge          numeric,
    withdrawn       boolean NOT NULL DEFAULT false
);

-- Who did it: what each statement meant for the count of each account.  A statement that
-- changes contacts with several sources has none, but its promotions have, if the account has
-- a brake.  "undone": so many of the promotions were taken back.  "corrected" is by a
-- condition that was set.
CREATE TABLE log (
    number      integer GENERATED ALWAYS AS IDENTITY,
    account     text NOT NULL,
    at          timestamptz NOT NULL,
    source_type text,
    promoted    bigint NOT NULL,
    demoted     bigint NOT NULL,
    corrected   bigint NOT NULL DEFAULT 0,
    undone      bigint NOT NULL DEFAULT 0,
    taken_back  bigint NOT NULL DEFAULT 0   -- by this, which is undone by itself
);
CREATE INDEX ON log (account, at);

-- What the brake counts; of what was promoted before there was one, the source type is known if
-- the statement had only one
CREATE TABLE promotion (
    account     text NOT NULL,
    at          timestamptz NOT NULL,
    source_type text,
    contacts    bigint NOT NULL
);
CREATE INDEX ON promotion (account, at);

-- One row of a statement.  NULL means that the statement does not say.
CREATE TYPE write AS (
    action      text,     -- insert, update or delete
    id          integer,
    account     text,
    status      text,
    flag        text,     -- 'true' or 'null'
    source_type text,
    gone        text,     -- 'true', 'false' or 'null'
    opted_out   text,     -- likewise
    engaged_at  text      -- an instant, or 'null'
);
-- What it meant for an account
CREATE TYPE effect AS (
    account     text,
    id          integer,
    change      integer,  -- 1: became a marketing contact of it, -1: ceased to be, 0: neither
    by_default  boolean,  -- became one although nobody asked for it
    before      contact,  -- as it was, if it was there (P2)
    source_type text      -- who did it
);

CREATE FUNCTION now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT now FROM model.clock';

-- Leads have ids above a million.
CREATE FUNCTION table_of(id integer) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN id > 1000000 THEN 'leads' ELSE 'contacts' END $$;

------------------------------------------------------------------------------
-- P2, P3: which contacts exist, and which may be promoted
------------------------------------------------------------------------------

CREATE FUNCTION is_there(c contact) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN CASE (SELECT name FROM model.condition WHERE of_table = c.of_table AND kind = 'exists')
               WHEN 'certainly not gone' THEN c.gone IS NOT NULL AND NOT c.gone
               WHEN 'not gone' THEN c.gone IS NULL OR NOT c.gone
               WHEN 'neither gone nor opted out' THEN coalesce(c.gone, false) = false AND coalesce(c.opted_out, false) = false
               ELSE true END;
END $$;

CREATE FUNCTION is_eligible(c contact) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN CASE (SELECT name FROM model.condition WHERE of_table = c.of_table AND kind = 'eligible')
               WHEN 'not opted out' THEN coalesce(c.opted_out, false) = false
               WHEN 'engaged' THEN coalesce(c.engaged_at + interval '40 days' > model.now(), false)
               WHEN 'both' THEN coalesce(c.opted_out, false) = false AND coalesce(c.engaged_at + interval '90 days' > model.now(), true)
               ELSE true END;
END $$;

-- Is it one that the account pays for?
CREATE FUNCTION counts(c contact) RETURNS boolean LANGUAGE plpgsql STABLE AS
$$ BEGIN RETURN c.status = 'marketing' AND model.is_there(c); END $$;

------------------------------------------------------------------------------
-- D1: dates
------------------------------------------------------------------------------

-- The first instant at which clocks in a zone show the day, or a later one:
-- found by trying every quarter of an hour.
CREATE TABLE midnight (time_zone text, day date, instant timestamptz NOT NULL, PRIMARY KEY (time_zone, day));
CREATE FUNCTION midnight(which_day date, which_zone text) RETURNS timestamptz LANGUAGE plpgsql AS $$
DECLARE
    t timestamptz;
BEGIN
    SELECT instant INTO t FROM model.midnight WHERE day = which_day AND time_zone = which_zone;
    IF FOUND THEN
        RETURN t;
    END IF;
    t := which_day::timestamp AT TIME ZONE 'UTC' - interval '16 hours';
    WHILE t AT TIME ZONE which_zone < which_day LOOP
        t := t + interval '15 minutes';
    END LOOP;
    INSERT INTO model.midnight VALUES (which_zone, which_day, t);
    RETURN t;
END $$;

-- Adding months to a date clamps it to the end of a short month
CREATE FUNCTION day_after_months(anchor date, months integer) RETURNS date LANGUAGE sql IMMUTABLE AS
$$ SELECT (anchor + make_interval(months => months))::date $$;

CREATE FUNCTION term(cycle text) RETURNS integer LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE cycle WHEN 'annual' THEN 12 ELSE 1 END $$;

-- The update day after a day
CREATE FUNCTION next_update_day(cycle text, day date, renewal_day date) RETURNS date LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE cycle WHEN 'annual' THEN least((date_trunc('month', day) + interval '1 month')::date, renewal_day)
                     ELSE renewal_day END $$;

------------------------------------------------------------------------------
-- Tiers
------------------------------------------------------------------------------

CREATE FUNCTION smallest_tier(which_plan text, contacts bigint) RETURNS bigint LANGUAGE sql STABLE AS
$$ SELECT min(contact_limit) FROM model.tier WHERE plan = which_plan AND contact_limit >= contacts $$;

CREATE FUNCTION price(which_plan text, which_limit bigint) RETURNS numeric LANGUAGE sql STABLE AS
$$ SELECT monthly_price FROM model.tier WHERE plan = which_plan AND contact_limit = which_limit $$;

-- An annual subscription pays each of its periods, all within one calendar month,
-- by its part of that month
CREATE FUNCTION month_share(a account) RETURNS numeric LANGUAGE sql STABLE AS $$
    SELECT CASE a.billing_cycle WHEN 'annual' THEN
        round(extract(epoch FROM a.next_update_at - a.period_started_at)
              / extract(epoch FROM model.midnight((m + interval '1 month')::date, a.time_zone) - model.midnight(m::date, a.time_zone)), 6)
        ELSE 1 END
    FROM date_trunc('month', (a.next_update_at - interval '1 microsecond') AT TIME ZONE a.time_zone) m
$$;

-- The tier changes, and the share of the running period that is left is charged
CREATE FUNCTION move_to_tier(a account, to_limit bigint, contacts bigint, reason text, fraction numeric, at timestamptz)
RETURNS account
LANGUAGE plpgsql AS $$
DECLARE
    charge numeric := round(fraction * model.month_share(a) * (model.price(a.plan, to_limit) - model.price(a.plan, a.contact_limit)), 2);
BEGIN
    INSERT INTO model.tier_change (account, changed_at, plan, from_limit, to_limit, reason, contacts, period_fraction, charge)
    VALUES (a.account, at, a.plan, a.contact_limit, to_limit, reason, contacts, fraction, charge);
    IF to_limit > a.contact_limit THEN
        a.upgrades := a.upgrades + 1;
    END IF;
    a.charges := a.charges + charge;      -- unknown in a plan without prices
    a.contact_limit := to_limit;
    IF a.requested_limit <= to_limit THEN
        a.requested_limit := NULL;
    END IF;
    RETURN a;
END $$;

CREATE FUNCTION fraction_left(a account) RETURNS numeric LANGUAGE sql STABLE AS
$$ SELECT round((extract(epoch FROM a.next_update_at) - extract(epoch FROM model.now()))
                / (extract(epoch FROM a.next_update_at) - extract(epoch FROM a.period_started_at)), 6) $$;

-- T9: the share of the running period that a move is charged for
CREATE FUNCTION charged_fraction(a account) RETURNS numeric LANGUAGE sql STABLE AS
$$ SELECT CASE a.proration WHEN 'prorated' THEN model.fraction_left(a) WHEN 'full' THEN 1 ELSE 0 END $$;

CREATE FUNCTION has_access(a account) RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT a.ended_at IS NULL AND coalesce((SELECT p.has_access FROM model.plan p WHERE p.plan = a.plan), false) $$;

-- Write an account back
CREATE FUNCTION save(a account) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM model.account WHERE account = a.account;
    INSERT INTO model.account SELECT a.*;
END $$;

------------------------------------------------------------------------------
-- D2, D3, T4, T5: an update date
------------------------------------------------------------------------------

-- Of all marketing contacts of an account those flagged before an instant, or
-- NULL for all; but not those that the running statement is about to bring in.
CREATE FUNCTION demote(which_account text, flagged_before timestamptz, spared integer[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    c record;
    n bigint := 0;
BEGIN
    FOR c IN SELECT m.*, model.counts(m) AS counted FROM model.contact m
             WHERE account = which_account AND status = 'marketing' AND id <> ALL (spared) LOOP
        IF flagged_before IS NULL OR c.flag AND c.updated_at < flagged_before THEN
            UPDATE model.contact SET status = 'non_marketing', flag = NULL, source_type = 'ROLLOVER', updated_at = model.now()
            WHERE id = c.id;
            n := n + c.counted::integer;
        END IF;
    END LOOP;
    IF n > 0 THEN
        INSERT INTO model.log (account, at, source_type, promoted, demoted) VALUES (which_account, model.now(), 'ROLLOVER', 0, n);
    END IF;
    RETURN n;
END $$;

-- P3: who has ceased to be eligible without being written is flagged
CREATE FUNCTION flag_ineligible(which_account text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE model.contact c SET flag = true, source_type = 'ROLLOVER', updated_at = model.now()
    WHERE account = which_account AND flag IS NULL AND model.counts(c) AND NOT model.is_eligible(c);
END $$;

CREATE FUNCTION count_change(a account, more bigint, less bigint) RETURNS account LANGUAGE plpgsql AS $$
BEGIN
    a.marketing := a.marketing + more - less;
    a.promoted := a.promoted + more;
    a.demoted := a.demoted + less;
    a.peak := greatest(a.peak, a.marketing);
    RETURN a;
END $$;

CREATE FUNCTION open_period(a account) RETURNS account LANGUAGE plpgsql AS $$
BEGIN
    a.opening := a.marketing;
    a.peak := a.marketing;
    a.promoted := 0;
    a.demoted := 0;
    a.corrected := 0;
    a.upgrades := 0;
    a.charges := 0;
    a.period_limit := a.contact_limit;
    RETURN a;
END $$;

CREATE FUNCTION close_period(a account) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO model.period VALUES (a.account, a.period_started_at, a.next_update_at, a.plan, a.period_limit, a.opening,
                                     a.peak, a.marketing, a.promoted, a.demoted, a.corrected, a.upgrades, a.charges,
                                     model.month_share(a));
END $$;

-- The tier of the next term
CREATE FUNCTION renew_tier(a account) RETURNS account LANGUAGE plpgsql AS $$
DECLARE
    wanted bigint := a.renewal_limit;
    smallest bigint := model.smallest_tier(a.plan, a.marketing);
BEGIN
    a.renewal_limit := NULL;
    IF wanted IS NULL AND a.auto_downgrade AND smallest < a.contact_limit THEN
        wanted := smallest;
    END IF;
    IF wanted IS NOT NULL AND a.marketing <= wanted AND wanted <> a.contact_limit THEN
        INSERT INTO model.tier_change (account, changed_at, plan, from_limit, to_limit, reason, contacts, period_fraction, charge)
        VALUES (a.account, a.period_started_at, a.plan, a.contact_limit, wanted, 'renewal', a.marketing, 0,
                0 * model.price(a.plan, wanted));
        a.charges := a.charges + 0 * model.price(a.plan, wanted);
        a.contact_limit := wanted;
        IF a.requested_limit <= wanted THEN
            a.requested_limit := NULL;
        END IF;
    END IF;
    RETURN a;
END $$;

-- Above the limit on an update date: the grace is over
CREATE FUNCTION settle_grace(a account) RETURNS account LANGUAGE plpgsql AS $$
DECLARE
    fits bigint := model.smallest_tier(a.plan, a.marketing);
BEGIN
    -- T7: not beyond max_limit
    IF a.on_exceed = 'upgrade' AND a.marketing > a.contact_limit AND fits <= coalesce(a.max_limit, fits) THEN
        a := model.move_to_tier(a, fits, a.marketing, 'grace', 1, a.period_started_at);
    END IF;
    RETURN a;
END $$;

CREATE FUNCTION apply_update_date(a account, spared integer[]) RETURNS account LANGUAGE plpgsql AS $$
DECLARE
    due timestamptz := a.next_update_at;
    is_renewal boolean := a.renews_at = due;
BEGIN
    a := model.count_change(a, 0, model.demote(a.account, due, spared));
    IF is_renewal AND a.cancelled THEN
        a := model.count_change(a, 0, model.demote(a.account, NULL, spared));
        PERFORM model.close_period(a);
        a.ended_at := due;
        a.period_started_at := due;
        RETURN model.open_period(a);
    END IF;

    PERFORM model.close_period(a);
    a := model.open_period(a);
    a.period_started_at := due;
    IF is_renewal THEN
        a := model.renew_tier(a);
        a.billing_cycle := coalesce(a.renewal_cycle, a.billing_cycle);
        a.renewal_cycle := NULL;
        a.renewal_months := a.renewal_months + model.term(a.billing_cycle);
        a.renews_at := model.midnight(model.day_after_months(a.anchor, a.renewal_months), a.time_zone);
        a.period_limit := a.contact_limit;
    END IF;
    a.update_day := model.next_update_day(a.billing_cycle, a.update_day, model.day_after_months(a.anchor, a.renewal_months));
    a.next_update_at := model.midnight(a.update_day, a.time_zone);
    RETURN model.settle_grace(a);
END $$;

-- All dates that have passed, one by one
CREATE FUNCTION catch_up(a account, spared integer[] DEFAULT '{}') RETURNS account LANGUAGE plpgsql AS $$
BEGIN
    WHILE a.ended_at IS NULL AND a.next_update_at <= model.now() LOOP
        a := model.apply_update_date(a, spared);
    END LOOP;
    RETURN a;
END $$;

CREATE FUNCTION rollover(which_account text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a model.account;
BEGIN
    FOR a IN SELECT * FROM model.account
             WHERE next_update_at <= model.now() AND ended_at IS NULL AND account = coalesce(which_account, account) LOOP
        PERFORM model.flag_ineligible(a.account);
        PERFORM model.save(model.catch_up(a));
    END LOOP;
END $$;

------------------------------------------------------------------------------
-- S1 to S5: rows
------------------------------------------------------------------------------

CREATE FUNCTION default_is_marketing(which_account text, which_source text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    a model.account;
    s model.source_type;
BEGIN
    SELECT * INTO a FROM model.account WHERE account = which_account;
    IF NOT FOUND OR NOT model.has_access(a) THEN
        RETURN false;
    END IF;
    SELECT * INTO s FROM model.source_type WHERE source_type = which_source;
    IF FOUND AND s.changeable AND a.source_defaults ? which_source THEN
        RETURN a.source_defaults->>which_source = 'marketing';
    END IF;
    RETURN coalesce(s.marketing, false);
END $$;

-- P3: a promotion of a contact that is not eligible.  Refused, if that was chosen, and somebody
-- asked for it.
CREATE FUNCTION refuse_promotion(c contact, by_default boolean) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT by_default AND (SELECT refuses FROM model.condition WHERE of_table = c.of_table AND kind = 'eligible') THEN
        RAISE EXCEPTION 'contact % is not eligible', c.id USING ERRCODE = '23514';
    END IF;
END $$;

CREATE FUNCTION write_new(w write) RETURNS SETOF effect LANGUAGE plpgsql AS $$
DECLARE
    new model.contact;
    by_default boolean := w.status IS NULL;
BEGIN
    new := ROW(w.id, w.account, w.status, NULL, coalesce(w.source_type, 'USER'), model.now(), model.table_of(w.id),
               nullif(w.gone, 'null'), nullif(w.opted_out, 'null'), nullif(w.engaged_at, 'null'));
    IF by_default THEN
        new.status := CASE WHEN model.default_is_marketing(w.account, new.source_type) THEN 'marketing' ELSE 'non_marketing' END;
    END IF;
    IF new.status = 'marketing' AND NOT model.is_eligible(new) THEN
        PERFORM model.refuse_promotion(new, by_default);
        new.status := 'non_marketing';
    END IF;
    IF new.status = 'marketing' AND w.flag = 'true' THEN
        new.flag := true;
    END IF;
    INSERT INTO model.contact SELECT new.*;
    IF model.is_there(new) THEN
        RETURN NEXT ROW(w.account, w.id, model.counts(new)::integer, by_default, NULL, new.source_type)::model.effect;
    END IF;
END $$;

-- S1 to S3, P3: status and flag that a changed contact gets; what else is changed has been
CREATE FUNCTION change_status(w write, old contact, new contact) RETURNS contact LANGUAGE plpgsql AS $$
BEGIN
    IF w.status = 'marketing' THEN
        new.status := 'marketing';
        new.flag := NULL;
    END IF;
    IF w.flag IS NOT NULL AND new.status = 'marketing' THEN
        new.flag := CASE w.flag WHEN 'true' THEN true END;
    END IF;
    IF w.status = 'non_marketing' AND old.status = 'marketing' THEN
        new.flag := true;
    END IF;
    IF new.status = 'marketing' AND NOT model.is_eligible(new) THEN
        IF old.status = 'non_marketing' OR NOT model.is_there(old) AND model.is_there(new) THEN
            PERFORM model.refuse_promotion(new, false);
            new.status := 'non_marketing';
            new.flag := NULL;
        ELSIF old.flag OR model.is_eligible(old) THEN
            new.flag := true;
        END IF;
    END IF;
    RETURN new;
END $$;

-- What the change of a contact meant for the accounts that had it and have it
CREATE FUNCTION change_effects(old contact, new contact) RETURNS SETOF effect LANGUAGE plpgsql AS $$
DECLARE
    was_there boolean := model.is_there(old);
    is_there boolean := model.is_there(new);
    was integer := model.counts(old)::integer;
    now integer := model.counts(new)::integer;
    -- who brings a contact back, or takes it away, is not who has set its status
    source text := CASE WHEN is_there AND (was_there OR (old.status, old.flag, old.source_type, old.updated_at)
                                           IS DISTINCT FROM (new.status, new.flag, new.source_type, new.updated_at))
                        THEN new.source_type ELSE 'USER' END;
    before model.contact;
BEGIN
    IF was <> now OR was_there <> is_there OR old.account <> new.account OR new.flag IS DISTINCT FROM old.flag AND now = 1 THEN
        IF was_there THEN
            before := old;
        END IF;
        IF old.account = new.account THEN
            RETURN NEXT ROW(new.account, new.id, now - was, false, before, source)::model.effect;
            RETURN;
        END IF;
        IF was = 1 OR was_there AND NOT is_there THEN
            RETURN NEXT ROW(old.account, new.id, - was, false, before, source)::model.effect;
        END IF;
        IF now = 1 OR is_there AND NOT was_there THEN
            RETURN NEXT ROW(new.account, new.id, now, false, before, source)::model.effect;
        END IF;
    END IF;
END $$;

CREATE FUNCTION write_change(w write) RETURNS SETOF effect LANGUAGE plpgsql AS $$
DECLARE
    old model.contact;
    new model.contact;
BEGIN
    SELECT * INTO old FROM model.contact WHERE id = w.id;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    new := old;
    new.account := coalesce(w.account, old.account);
    new.gone := CASE WHEN w.gone IS NULL THEN old.gone ELSE nullif(w.gone, 'null')::boolean END;
    new.opted_out := CASE WHEN w.opted_out IS NULL THEN old.opted_out ELSE nullif(w.opted_out, 'null')::boolean END;
    new.engaged_at := CASE WHEN w.engaged_at IS NULL THEN old.engaged_at ELSE nullif(w.engaged_at, 'null')::timestamptz END;
    new := model.change_status(w, old, new);
    IF new.status <> old.status OR new.flag IS DISTINCT FROM old.flag THEN
        new.source_type := coalesce(w.source_type, 'USER');
        new.updated_at := model.now();
    END IF;
    DELETE FROM model.contact WHERE id = w.id;
    INSERT INTO model.contact SELECT new.*;
    RETURN QUERY SELECT * FROM model.change_effects(old, new);
END $$;

CREATE FUNCTION write_away(w write) RETURNS SETOF effect LANGUAGE plpgsql AS $$
DECLARE
    old model.contact;
BEGIN
    DELETE FROM model.contact WHERE id = w.id RETURNING * INTO old;
    IF FOUND AND model.is_there(old) THEN
        RETURN NEXT ROW(old.account, w.id, - model.counts(old)::integer, false, NULL, 'USER')::model.effect;
    END IF;
END $$;

CREATE FUNCTION write_row(w write) RETURNS SETOF effect LANGUAGE plpgsql AS $$
BEGIN
    CASE w.action
        WHEN 'insert' THEN RETURN QUERY SELECT * FROM model.write_new(w);
        WHEN 'update' THEN RETURN QUERY SELECT * FROM model.write_change(w);
        WHEN 'delete' THEN RETURN QUERY SELECT * FROM model.write_away(w);
    END CASE;
END $$;

------------------------------------------------------------------------------
-- T1 to T4, T6 to T8, P1, and the last part of S4: may so many become marketing contacts?
------------------------------------------------------------------------------

-- T8: what happens to a contact that became a marketing contact, if it does not fit
CREATE FUNCTION policy(a account, e effect) RETURNS text LANGUAGE sql STABLE AS
$$ SELECT coalesce(a.source_policies->>e.source_type, a.on_exceed) $$;

-- The last so many of the contacts that became marketing contacts and may be chosen do not
-- after all: those that only a default asked for; with "first", those of which the
-- policies say so.
CREATE FUNCTION store_non_marketing(effects effect[], number bigint, first boolean, a account) RETURNS effect[]
LANGUAGE plpgsql AS $$
DECLARE
    left_over model.effect[] := '{}';
    rule text;
BEGIN
    FOR i IN REVERSE cardinality(effects) .. 1 LOOP
        rule := CASE WHEN first THEN model.policy(a, effects[i]) ELSE 'block' END;
        IF number > 0 AND effects[i].change = 1 AND (rule = 'cap' OR rule = 'block' AND effects[i].by_default) THEN
            -- S5: who stays what it was keeps its source and time, too
            UPDATE model.contact
            SET status = 'non_marketing', flag = NULL,
                source_type = coalesce((effects[i].before).source_type, source_type),
                updated_at = coalesce((effects[i].before).updated_at, updated_at)
            WHERE id = effects[i].id;
            number := number - 1;
        ELSE
            left_over := effects[i] || left_over;
        END IF;
    END LOOP;
    RETURN left_over;
END $$;

CREATE FUNCTION net(effects effect[]) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT coalesce(sum(change), 0) FROM unnest(effects) $$;

-- T1, T7: the account moves up, if it must and may
CREATE FUNCTION move_up(a account, wanted bigint, contacts bigint) RETURNS account LANGUAGE plpgsql AS $$
DECLARE
    larger bigint := model.smallest_tier(a.plan, wanted);
BEGIN
    IF wanted > a.contact_limit + a.grace AND larger <= coalesce(a.max_limit, larger) THEN
        a := model.move_to_tier(a, larger, contacts, 'exceeded', model.charged_fraction(a), model.now());
    END IF;
    RETURN a;
END $$;

-- Make them fit into the tier, by leaving some out or by a larger one.
CREATE FUNCTION fit(INOUT a account, INOUT effects effect[]) LANGUAGE plpgsql AS $$
DECLARE
    wanted bigint := a.marketing + model.net(effects);
    larger bigint := model.smallest_tier(a.plan, wanted);
    was model.effect[] := effects;
    is_capped boolean;
    n record;
BEGIN
    IF wanted <= a.contact_limit + a.grace THEN
        RETURN;
    END IF;
    SELECT coalesce(bool_or(model.policy(a, e) = 'cap'), false) INTO is_capped FROM unnest(effects) e WHERE change = 1;
    effects := model.store_non_marketing(effects, wanted - a.contact_limit - a.grace, true, a);
    is_capped := is_capped AND (SELECT count(*) FROM unnest(was) e WHERE change = 1 AND model.policy(a, e) = 'cap')
                             > (SELECT count(*) FROM unnest(effects) e WHERE change = 1 AND model.policy(a, e) = 'cap');
    wanted := a.marketing + model.net(effects);
    IF wanted > a.contact_limit + a.grace THEN
        SELECT count(*) FILTER (WHERE model.policy(a, e) <> 'upgrade') AS blocked,
               count(*) FILTER (WHERE model.policy(a, e) = 'upgrade' AND by_default) AS by_default,
               count(*) FILTER (WHERE model.policy(a, e) = 'upgrade' AND NOT by_default) AS others
        INTO n FROM unnest(effects) e WHERE change = 1;
        IF n.by_default + n.others > 0 THEN
            a := model.move_up(a, wanted - n.blocked, wanted);
        END IF;
        IF n.others > 0 AND n.by_default > 0 THEN
            a := model.move_up(a, wanted - n.blocked - n.by_default, wanted);
        END IF;
        effects := model.store_non_marketing(effects, wanted - a.contact_limit - a.grace, false, a);
    END IF;
    IF is_capped AND larger > greatest(a.contact_limit, a.requested_limit) AND larger <= coalesce(a.max_limit, larger) THEN
        a.requested_limit := larger;
    END IF;
    IF model.net(effects) > 0 AND a.marketing + model.net(effects) > a.contact_limit + a.grace THEN
        RAISE EXCEPTION 'tier of % exceeded', a.account USING ERRCODE = 'MC001';
    END IF;
END $$;

-- P1: what a window of the brake has of an account, of one source type or of all
CREATE FUNCTION in_window(a account, which_source text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(contacts), 0)::bigint FROM model.promotion
    WHERE account = a.account AND at > model.now() - (a.brake->>'window')::interval
      AND (which_source IS NULL OR source_type = which_source)
$$;

CREATE FUNCTION number_of(effects effect[], which_source text) RETURNS bigint LANGUAGE sql STABLE AS
$$ SELECT count(*) FROM unnest(effects) WHERE change = 1 AND (which_source IS NULL OR source_type = which_source) $$;

-- The last contacts that only a default made marketing contacts do not become so, until one limit of
-- the brake lets the others pass.
CREATE FUNCTION brake_one(a account, INOUT effects effect[], which_source text, most bigint) LANGUAGE plpgsql AS $$
DECLARE
    room bigint := greatest(most - model.in_window(a, which_source), 0);
    fewer model.effect[];
BEGIN
    WHILE model.number_of(effects, which_source) > room LOOP
        fewer := model.store_non_marketing(effects, 1, false, a);
        IF cardinality(fewer) = cardinality(effects) THEN
            RAISE EXCEPTION 'brake of %', a.account USING ERRCODE = 'MC004';
        END IF;
        effects := fewer;
    END LOOP;
END $$;

CREATE FUNCTION brake(a account, INOUT effects effect[]) LANGUAGE plpgsql AS $$
DECLARE
    rule record;
BEGIN
    IF a.brake IS NULL OR (SELECT passes FROM model.clock) THEN
        RETURN;
    END IF;
    IF a.brake ? 'limit' THEN
        effects := model.brake_one(a, effects, NULL, (a.brake->>'limit')::bigint);
    END IF;
    FOR rule IN SELECT key, value::bigint FROM jsonb_each_text(a.brake->'sources') LOOP
        effects := model.brake_one(a, effects, rule.key, rule.value);
    END LOOP;
END $$;

-- Who did it, and what the brake counts
CREATE FUNCTION record(which_account text, effects effect[], of_one_source boolean, has_brake boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    more bigint;
BEGIN
    SELECT count(*) FILTER (WHERE change = 1) INTO more FROM unnest(effects);
    IF has_brake AND NOT of_one_source THEN
        INSERT INTO model.log (account, at, source_type, promoted, demoted)
        SELECT which_account, model.now(), source_type, count(*), 0 FROM unnest(effects) WHERE change = 1 GROUP BY source_type;
        INSERT INTO model.log (account, at, promoted, demoted) VALUES (which_account, model.now(), 0, more - model.net(effects));
    ELSE
        INSERT INTO model.log (account, at, source_type, promoted, demoted)
        VALUES (which_account, model.now(), CASE WHEN of_one_source THEN effects[1].source_type END, more, more - model.net(effects));
    END IF;
    INSERT INTO model.promotion
    SELECT which_account, model.now(), CASE WHEN of_one_source OR has_brake THEN source_type END, count(*)
    FROM unnest(effects) WHERE change = 1 GROUP BY source_type;
END $$;

-- What a statement did to one account.  "applied": the account's overdue dates
-- were applied; they may be before any promotion, and must be before it is
-- refused, capped or answered by a larger tier.
CREATE FUNCTION judge(which_account text, effects effect[], applied boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a model.account;
    fitted record;
    more bigint;
    of_one_source boolean := (SELECT count(DISTINCT source_type) = 1 FROM unnest(effects));
BEGIN
    SELECT * INTO a FROM model.account WHERE account = which_account;
    IF model.net(effects) > 0 THEN
        IF a.account IS NOT NULL AND (applied OR a.marketing + model.net(effects) > a.contact_limit + a.grace) THEN
            a := model.catch_up(a, ARRAY(SELECT id FROM unnest(effects) WHERE change = 1));
        END IF;
        IF a.account IS NULL OR NOT model.has_access(a) THEN
            effects := model.store_non_marketing(effects, cardinality(effects), false, a);
            IF model.net(effects) > 0 THEN
                RAISE EXCEPTION '% may not have marketing contacts', which_account USING ERRCODE = 'MC002';
            END IF;
        ELSE
            fitted := model.fit(a, effects);
            a := fitted.a;
            effects := fitted.effects;
        END IF;
    END IF;
    IF a.account IS NOT NULL AND model.has_access(a) THEN
        effects := model.brake(a, effects);
    END IF;
    PERFORM model.record(which_account, effects, of_one_source, a.brake IS NOT NULL);
    IF a.account IS NOT NULL THEN
        SELECT count(*) FILTER (WHERE change = 1) INTO more FROM unnest(effects);
        PERFORM model.save(model.count_change(a, more, more - model.net(effects)));
    END IF;
END $$;

-- "pass": from here on the transaction passes the brake.
CREATE FUNCTION statement(writes write[], applied text[], pass boolean DEFAULT false) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    w model.write;
    e model.effect;
    effects model.effect[] := '{}';
    own model.effect[];
    which text;
BEGIN
    UPDATE model.clock SET passes = passes OR pass;
    FOREACH w IN ARRAY writes LOOP
        FOR e IN SELECT * FROM model.write_row(w) LOOP
            effects := effects || e;
        END LOOP;
    END LOOP;
    FOR which IN SELECT DISTINCT account COLLATE "C" FROM unnest(effects) ORDER BY 1 LOOP
        own := '{}';
        FOREACH e IN ARRAY effects LOOP
            IF e.account = which THEN
                own := own || e;
            END IF;
        END LOOP;
        PERFORM model.judge(which, own, which = ANY (applied));
    END LOOP;
END $$;

-- P5: how much of a marketing contact is it?
CREATE FUNCTION rank(c contact) RETURNS integer LANGUAGE sql STABLE AS
$$ SELECT CASE WHEN NOT model.counts(c) THEN 0 WHEN c.flag THEN 1 ELSE 2 END $$;

CREATE FUNCTION merge(winner integer, loser integer, applied text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    w model.contact;
    l model.contact;
    writes model.write[] := ARRAY[ROW('delete', loser, NULL, NULL, NULL, NULL, NULL, NULL, NULL)::model.write];
BEGIN
    SELECT * INTO w FROM model.contact WHERE id = winner;
    SELECT * INTO l FROM model.contact WHERE id = loser;
    IF w.id IS NULL OR l.id IS NULL OR w.id = l.id OR w.account <> l.account THEN
        PERFORM model.refuse('cannot be merged');
    END IF;
    IF model.rank(w) = 1 OR model.rank(l) = 1 THEN       -- a flag is not carried over its date
        PERFORM model.save(model.catch_up(a)) FROM model.account a WHERE a.account = w.account;
        SELECT * INTO w FROM model.contact WHERE id = winner;
        SELECT * INTO l FROM model.contact WHERE id = loser;
    END IF;
    IF model.rank(l) > model.rank(w) THEN
        writes := writes || ROW('update', winner, NULL, 'marketing', coalesce(l.flag::text, 'null'), NULL, NULL, NULL, NULL)::model.write;
    END IF;
    PERFORM model.statement(writes, applied);
END $$;

------------------------------------------------------------------------------
-- P2, P3: conditions that are set, changed and dropped
------------------------------------------------------------------------------

CREATE FUNCTION set_condition(which_table text, which_kind text, which_name text, on_ineligible text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    CREATE TEMPORARY TABLE counted AS
        SELECT account, count(*) FILTER (WHERE model.counts(m)) AS n FROM model.contact m GROUP BY account;
    DELETE FROM model.condition WHERE of_table = which_table AND kind = which_kind;
    IF which_name IS NOT NULL THEN
        INSERT INTO model.condition VALUES (which_table, which_kind, which_name, on_ineligible = 'refuse');
    END IF;
    -- whatever the tiers; nobody was promoted or demoted
    FOR c IN SELECT account, count(*) FILTER (WHERE model.counts(m)) - n AS change
             FROM model.contact m JOIN counted USING (account) GROUP BY account, n LOOP
        CONTINUE WHEN c.change = 0;
        UPDATE model.account SET marketing = marketing + c.change, corrected = corrected + c.change,
                                 peak = greatest(peak, marketing + c.change) WHERE account = c.account;
        INSERT INTO model.log (account, at, promoted, demoted, corrected) VALUES (c.account, model.now(), 0, 0, c.change);
    END LOOP;
    DROP TABLE counted;
END $$;

------------------------------------------------------------------------------
-- Subscriptions
------------------------------------------------------------------------------

CREATE FUNCTION refuse(why text, code text DEFAULT '22023') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', why USING ERRCODE = code;
END $$;

CREATE FUNCTION subscribe(which_account text, which_plan text, which_limit bigint, cycle text, start timestamptz,
                          zone text, policy text, which_grace bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a model.account;
    renewal_day date;
BEGIN
    SELECT * INTO a FROM model.account WHERE account = which_account;
    IF FOUND THEN
        a := model.catch_up(a);
        IF a.ended_at IS NULL THEN
            PERFORM model.refuse('subscribed already', '42710');
        END IF;
    END IF;
    a.account := which_account;
    -- of an account without a subscription, a condition can say that it has contacts (P2)
    a.marketing := (SELECT count(*) FROM model.contact c WHERE c.account = which_account AND model.counts(c));
    a.plan := which_plan;
    a.contact_limit := which_limit;
    IF which_limit IS NULL THEN
        SELECT CASE WHEN has_access THEN model.smallest_tier(which_plan, a.marketing) ELSE 0 END INTO a.contact_limit
        FROM model.plan WHERE plan = which_plan;
    ELSIF model.smallest_tier(which_plan, which_limit) IS DISTINCT FROM which_limit THEN
        PERFORM model.refuse('no such tier');
    END IF;
    a.billing_cycle := cycle;
    a.on_exceed := policy;
    a.grace := which_grace;
    a.source_defaults := coalesce(a.source_defaults, '{}');
    a.auto_downgrade := coalesce(a.auto_downgrade, false);
    a.source_policies := coalesce(a.source_policies, '{}');
    a.proration := coalesce(a.proration, 'prorated');
    a.time_zone := zone;
    a.anchor := (coalesce(start, model.now()) AT TIME ZONE zone)::date;
    -- what the subscription before it was billed for is not billed again
    a.period_started_at := greatest(coalesce(start, model.now()), a.ended_at);
    -- its dates from the start up to the first one that is still to come
    a.update_day := a.anchor;
    a.renewal_months := model.term(cycle);
    LOOP
        renewal_day := model.day_after_months(a.anchor, a.renewal_months);
        a.update_day := model.next_update_day(cycle, a.update_day, renewal_day);
        EXIT WHEN model.midnight(a.update_day, zone) > model.now();
        a.period_started_at := greatest(a.period_started_at, model.midnight(a.update_day, zone));
        IF a.update_day = renewal_day THEN
            a.renewal_months := a.renewal_months + model.term(cycle);
        END IF;
    END LOOP;
    a.next_update_at := model.midnight(a.update_day, zone);
    a.renews_at := model.midnight(renewal_day, zone);
    a.renewal_limit := NULL;
    a.renewal_cycle := NULL;
    a.requested_limit := NULL;
    a.cancelled := false;
    a.ended_at := NULL;
    PERFORM model.save(model.open_period(a));
END $$;

-- An account that runs, with its overdue dates applied or, if they need not
-- be, as it is
CREATE FUNCTION running(which_account text, applied boolean DEFAULT true) RETURNS account LANGUAGE plpgsql AS $$
DECLARE
    a model.account;
BEGIN
    SELECT * INTO a FROM model.account WHERE account = which_account;
    IF NOT FOUND THEN
        PERFORM model.refuse('no subscription');
    END IF;
    IF applied THEN
        a := model.catch_up(a);
    END IF;
    IF a.ended_at IS NOT NULL THEN
        PERFORM model.refuse('subscription has ended');
    END IF;
    RETURN a;
END $$;

CREATE FUNCTION change_tier(which_account text, wanted bigint, at_renewal boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a model.account := model.running(which_account);
BEGIN
    IF model.smallest_tier(a.plan, wanted) IS DISTINCT FROM wanted THEN
        PERFORM model.refuse('no such tier');
    END IF;
    IF wanted = a.contact_limit THEN
        a.renewal_limit := NULL;
    ELSIF wanted < a.contact_limit THEN
        IF NOT at_renewal THEN
            PERFORM model.refuse('smaller only at renewal');
        END IF;
        a.renewal_limit := wanted;
    ELSIF at_renewal THEN
        a.renewal_limit := wanted;
    ELSE
        a := model.move_to_tier(a, wanted, a.marketing, 'requested', model.charged_fraction(a), model.now());
        a.renewal_limit := NULL;
    END IF;
    PERFORM model.save(a);
END $$;

CREATE FUNCTION approve_upgrade(which_account text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a model.account := model.running(which_account);
BEGIN
    IF a.requested_limit IS NULL THEN
        PERFORM model.refuse('nothing is requested', '55000');
    END IF;
    a := model.move_to_tier(a, a.requested_limit, a.marketing, 'approved', model.charged_fraction(a), model.now());
    PERFORM model.save(a);
END $$;

CREATE FUNCTION cancel(which_account text, withdraw boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a model.account := model.running(which_account);
BEGIN
    a.cancelled := NOT withdraw;
    PERFORM model.save(a);
END $$;

CREATE FUNCTION set_policy(which_account text, policy text, which_grace bigint, defaults jsonb, zone text,
                           downgrade boolean, cycle text, most bigint, policies jsonb, which_proration text, which_brake jsonb,
                           applied boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a model.account := model.running(which_account, applied);
BEGIN
    a.on_exceed := coalesce(policy, a.on_exceed);
    a.grace := coalesce(which_grace, a.grace);
    a.source_defaults := coalesce(defaults, a.source_defaults);
    a.auto_downgrade := coalesce(downgrade, a.auto_downgrade);
    a.max_limit := CASE WHEN most IS NULL THEN a.max_limit ELSE nullif(most, 0) END;
    IF a.requested_limit > nullif(most, 0) THEN
        a.requested_limit := NULL;
    END IF;
    a.source_policies := coalesce(policies, a.source_policies);
    a.proration := coalesce(which_proration, a.proration);
    a.brake := CASE WHEN which_brake IS NULL THEN a.brake ELSE nullif(which_brake, '{}') END;
    IF cycle IS NOT NULL THEN
        a.renewal_cycle := nullif(cycle, a.billing_cycle);
    END IF;
    IF zone IS NOT NULL THEN
        -- the same days; one that lies before the running period there is over
        a.time_zone := zone;
        WHILE model.midnight(a.update_day, zone) <= a.period_started_at LOOP
            IF a.update_day = model.day_after_months(a.anchor, a.renewal_months) THEN
                a.renewal_months := a.renewal_months + model.term(a.billing_cycle);
            END IF;
            a.update_day := model.next_update_day(a.billing_cycle, a.update_day,
                                                  model.day_after_months(a.anchor, a.renewal_months));
        END LOOP;
        a.next_update_at := model.midnight(a.update_day, zone);
        a.renews_at := model.midnight(model.day_after_months(a.anchor, a.renewal_months), zone);
    END IF;
    PERFORM model.save(a);
END $$;

------------------------------------------------------------------------------
-- P4: undoing promotions
------------------------------------------------------------------------------

-- So many of the promotions by a source are taken back: those that it promoted first, as far as anybody
-- can tell from counts.  Returns how many of them are left.
CREATE FUNCTION strike(which_account text, which_source text, since timestamptz, how_many bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    l model.log;
    n bigint;
    remaining bigint := 0;
BEGIN
    FOR l IN SELECT * FROM model.log WHERE account = which_account AND source_type = which_source AND at >= since
             ORDER BY number LOOP
        n := least(how_many, l.promoted - l.undone);
        UPDATE model.log SET undone = undone + n WHERE model.log.number = l.number;
        how_many := how_many - n;
        remaining := remaining + l.promoted - l.undone - n;
    END LOOP;
    RETURN remaining;
END $$;

-- The highest count since the instant, as it would have been without what was struck.  What was taken back, and
-- not found, since statements with several sources have none in the log, counts as needed.
CREATE FUNCTION highest_without(a account, since timestamptz, number bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    l model.log;
    n bigint := a.marketing + number - (SELECT coalesce(sum(promoted - demoted + corrected - taken_back), 0)
                                        FROM model.log WHERE account = a.account AND at >= since);
    highest bigint := n;
BEGIN
    FOR l IN SELECT * FROM model.log WHERE account = a.account AND at >= since ORDER BY log.number LOOP
        n := n + l.promoted - l.undone - l.demoted + l.corrected;
        highest := greatest(highest, n);
    END LOOP;
    RETURN highest;
END $$;

-- The account goes back, as long as it fits, would have fitted all the time, and nobody asked for its tier
CREATE FUNCTION move_back(a account, since timestamptz, number bigint) RETURNS account LANGUAGE plpgsql AS $$
DECLARE
    highest bigint := model.highest_without(a, since, number);
    t model.tier_change;
BEGIN
    LOOP
        SELECT * INTO t FROM model.tier_change
        WHERE account = a.account AND changed_at >= since AND NOT withdrawn AND reason <> 'undo' ORDER BY tier_change.number DESC LIMIT 1;
        EXIT WHEN t.account IS NULL OR t.reason <> 'exceeded' OR t.to_limit <> a.contact_limit
               OR a.marketing > t.from_limit OR highest > t.from_limit + a.grace;
        UPDATE model.tier_change SET withdrawn = true WHERE tier_change.number = t.number;
        INSERT INTO model.tier_change (account, changed_at, plan, from_limit, to_limit, reason, contacts, period_fraction, charge)
        VALUES (a.account, model.now(), t.plan, t.to_limit, t.from_limit, 'undo', a.marketing, t.period_fraction, - t.charge);
        a.contact_limit := t.from_limit;
        a.upgrades := a.upgrades - 1;
        a.charges := a.charges - t.charge;
    END LOOP;
    RETURN a;
END $$;

-- How many were taken back and left alone
CREATE FUNCTION undo(which_account text, which_source text, since timestamptz, OUT taken_back bigint, OUT left_alone bigint,
                     OUT from_limit bigint, OUT to_limit bigint)
LANGUAGE plpgsql AS $$
DECLARE
    a model.account := model.running(which_account);
BEGIN
    IF since < a.period_started_at THEN
        PERFORM model.refuse('of a closed period');
    END IF;
    from_limit := a.contact_limit;
    UPDATE model.contact c SET status = 'non_marketing', flag = NULL, source_type = 'USER', updated_at = model.now()
    WHERE account = which_account AND model.counts(c) AND flag IS NULL AND source_type = which_source AND updated_at >= since;
    GET DIAGNOSTICS taken_back = ROW_COUNT;
    a := model.count_change(a, 0, taken_back);
    left_alone := model.strike(which_account, which_source, since, taken_back);
    IF taken_back > 0 THEN
        a := model.move_back(a, since, taken_back);
    END IF;
    to_limit := a.contact_limit;
    INSERT INTO model.log (account, at, promoted, demoted, taken_back) VALUES (which_account, model.now(), 0, 0, taken_back);
    PERFORM model.save(a);
END $$;

RESET check_function_bodies;
RESET search_path;
