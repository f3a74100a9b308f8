--
-- PostgreSQL database dump
--


-- Dumped from database version 15.20 (Debian 15.20-0+deb12u1)
-- Dumped by pg_dump version 15.20 (Debian 15.20-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: My "own" schema; Type: SCHEMA; Schema: -; Owner: Owner of "contacts"
--

CREATE SCHEMA "My ""own"" schema";


ALTER SCHEMA "My ""own"" schema" OWNER TO "Owner of ""contacts""";

--
-- Name: The tiers'; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA "The tiers'";


ALTER SCHEMA "The tiers'" OWNER TO postgres;

--
-- Name: archive; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA archive;


ALTER SCHEMA archive OWNER TO postgres;

--
-- Name: contacts_tier; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA contacts_tier;


ALTER SCHEMA contacts_tier OWNER TO postgres;

--
-- Name: SCHEMA contacts_tier; Type: COMMENT; Schema: -; Owner: postgres
--

COMMENT ON SCHEMA contacts_tier IS 'what applications and owners of contacts use of the extension contacts_tier: functions, views, types, plans and tools';


--
-- Name: contacts_tier; Type: EXTENSION; Schema: -; Owner: -
--

CREATE EXTENSION IF NOT EXISTS contacts_tier WITH SCHEMA contacts_tier;


--
-- Name: EXTENSION contacts_tier; Type: COMMENT; Schema: -; Owner: 
--

COMMENT ON EXTENSION contacts_tier IS 'marketing contacts and contact tiers, counted and enforced in the transaction';


--
-- Name: crm; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA crm;


ALTER SCHEMA crm OWNER TO postgres;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: Kunden, 'alle'; Type: TABLE; Schema: My "own" schema; Owner: Owner of "contacts"
--

CREATE TABLE "My ""own"" schema"."Kunden, 'alle'" (
    "The ID" uuid DEFAULT gen_random_uuid() NOT NULL,
    "Konto ""Nr.""" character varying(20) COLLATE pg_catalog."C",
    "Status'" contacts_tier.marketing_status DEFAULT contacts_tier_internal.default_status(),
    name text,
    "bis, dann ""weg""" boolean DEFAULT contacts_tier_internal.default_until_next_update(),
    "Quelle\Art" text DEFAULT contacts_tier_internal.default_source_type(),
    "Quelle" text DEFAULT contacts_tier_internal.default_source_name(),
    "Am" timestamp with time zone DEFAULT contacts_tier_internal.default_updated_at()
);


ALTER TABLE "My ""own"" schema"."Kunden, 'alle'" OWNER TO "Owner of ""contacts""";

--
-- Name: COLUMN "Kunden, 'alle'"."bis, dann ""weg"""; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema"."Kunden, 'alle'"."bis, dann ""weg""" IS 'true if the marketing contact becomes non-marketing on the next update date, else null; added by contacts_tier.attach()';


--
-- Name: COLUMN "Kunden, 'alle'"."Quelle\Art"; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema"."Kunden, 'alle'"."Quelle\Art" IS 'type of the source that last changed the marketing status of the contact; added by contacts_tier.attach()';


--
-- Name: COLUMN "Kunden, 'alle'"."Quelle"; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema"."Kunden, 'alle'"."Quelle" IS 'name of the source that last changed the marketing status of the contact; added by contacts_tier.attach()';


--
-- Name: COLUMN "Kunden, 'alle'"."Am"; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema"."Kunden, 'alle'"."Am" IS 'time at which the marketing status of the contact last changed; added by contacts_tier.attach()';


--
-- Name: contacts_tier_account; Type: TABLE; Schema: My "own" schema; Owner: Owner of "contacts"
--

CREATE TABLE "My ""own"" schema".contacts_tier_account (
    account character varying NOT NULL COLLATE pg_catalog."C",
    plan text NOT NULL,
    contact_limit bigint NOT NULL,
    billing_cycle contacts_tier.billing_cycle NOT NULL,
    on_exceed contacts_tier.exceed_policy NOT NULL,
    grace bigint NOT NULL,
    thresholds integer[] DEFAULT '{75,90,98,100}'::integer[] NOT NULL,
    announced integer DEFAULT 0 NOT NULL,
    exceeded_announced boolean DEFAULT false NOT NULL,
    source_defaults jsonb DEFAULT '{}'::jsonb NOT NULL,
    time_zone text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    anchor date NOT NULL,
    period_started_at timestamp with time zone NOT NULL,
    next_update_at timestamp with time zone NOT NULL,
    renews_at timestamp with time zone NOT NULL,
    renewal_limit bigint,
    renewal_cycle contacts_tier.billing_cycle,
    auto_downgrade boolean DEFAULT false NOT NULL,
    cancelled boolean DEFAULT false NOT NULL,
    ended_at timestamp with time zone,
    period_limit bigint DEFAULT 0 NOT NULL,
    period_price numeric,
    period_opening bigint DEFAULT 0 NOT NULL,
    period_upgrades integer DEFAULT 0 NOT NULL,
    requested_limit bigint,
    record_activity boolean DEFAULT true NOT NULL,
    max_limit bigint,
    source_policies jsonb DEFAULT '{}'::jsonb NOT NULL,
    proration text DEFAULT 'prorated'::text NOT NULL,
    brake jsonb,
    rollover_run uuid,
    rollover_started_at timestamp with time zone,
    rollover_contacts bigint DEFAULT 0 NOT NULL,
    CONSTRAINT contacts_tier_account_check CHECK ((period_started_at < next_update_at)),
    CONSTRAINT contacts_tier_account_contact_limit_check CHECK ((contact_limit >= 0)),
    CONSTRAINT contacts_tier_account_grace_check CHECK ((grace >= 0)),
    CONSTRAINT contacts_tier_account_max_limit_check CHECK ((max_limit > 0)),
    CONSTRAINT contacts_tier_account_proration_check CHECK ((proration = ANY (ARRAY['prorated'::text, 'full'::text, 'none'::text])))
);


ALTER TABLE "My ""own"" schema".contacts_tier_account OWNER TO "Owner of ""contacts""";

--
-- Name: TABLE contacts_tier_account; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON TABLE "My ""own"" schema".contacts_tier_account IS 'contacts_tier: subscription, policy and dates of each account';


--
-- Name: COLUMN contacts_tier_account.account; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.account IS 'account: a value of the account column, or default if the table is one account';


--
-- Name: COLUMN contacts_tier_account.plan; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.plan IS 'plan that the account is subscribed to';


--
-- Name: COLUMN contacts_tier_account.contact_limit; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.contact_limit IS 'contact limit of the current tier';


--
-- Name: COLUMN contacts_tier_account.billing_cycle; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.billing_cycle IS 'whether the contract renews each month or each year';


--
-- Name: COLUMN contacts_tier_account.on_exceed; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.on_exceed IS 'what happens when the account exceeds its contact tier';


--
-- Name: COLUMN contacts_tier_account.grace; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.grace IS 'number of contacts that are allowed above the limit';


--
-- Name: COLUMN contacts_tier_account.thresholds; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.thresholds IS 'percentages of the limit at which a notification is sent';


--
-- Name: COLUMN contacts_tier_account.announced; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.announced IS 'highest threshold that was announced in the current period, in percent of the limit';


--
-- Name: COLUMN contacts_tier_account.exceeded_announced; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.exceeded_announced IS 'whether it was announced in the current period that the limit is exceeded';


--
-- Name: COLUMN contacts_tier_account.source_defaults; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.source_defaults IS 'object that maps source types to the default status of new contacts, unless the default of the catalogue applies';


--
-- Name: COLUMN contacts_tier_account.time_zone; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.time_zone IS 'time zone of the dates of the account';


--
-- Name: COLUMN contacts_tier_account.started_at; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.started_at IS 'when the subscription began';


--
-- Name: COLUMN contacts_tier_account.anchor; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.anchor IS 'local day on which the subscription began; update and renewal dates follow from it';


--
-- Name: COLUMN contacts_tier_account.period_started_at; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.period_started_at IS 'last update date that was applied, or the start of the subscription';


--
-- Name: COLUMN contacts_tier_account.next_update_at; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.next_update_at IS 'next update date; rollover applies it when it has passed';


--
-- Name: COLUMN contacts_tier_account.renews_at; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.renews_at IS 'renewal date of the contract';


--
-- Name: COLUMN contacts_tier_account.renewal_limit; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.renewal_limit IS 'contact limit of the tier requested for the renewal date; null if there is no request';


--
-- Name: COLUMN contacts_tier_account.renewal_cycle; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.renewal_cycle IS 'billing cycle requested for the renewal date; null if there is no request';


--
-- Name: COLUMN contacts_tier_account.auto_downgrade; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.auto_downgrade IS 'true if the account moves to the smallest tier that fits at the renewal date';


--
-- Name: COLUMN contacts_tier_account.cancelled; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.cancelled IS 'true if the subscription ends at the renewal date';


--
-- Name: COLUMN contacts_tier_account.ended_at; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.ended_at IS 'when a cancelled subscription ended; the account has had no marketing contacts since';


--
-- Name: COLUMN contacts_tier_account.period_limit; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.period_limit IS 'contact limit at the start of the current period';


--
-- Name: COLUMN contacts_tier_account.period_price; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.period_price IS 'monthly price of the tier at the start of the current period; null if it had none';


--
-- Name: COLUMN contacts_tier_account.period_opening; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.period_opening IS 'number of marketing contacts at the start of the current period';


--
-- Name: COLUMN contacts_tier_account.period_upgrades; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.period_upgrades IS 'number of moves to a larger tier in the current period';


--
-- Name: COLUMN contacts_tier_account.requested_limit; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.requested_limit IS 'contact limit of the requested tier, which would have held the contacts that were capped; approve_upgrade() grants it';


--
-- Name: COLUMN contacts_tier_account.record_activity; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.record_activity IS 'true if the ledger records each statement that changes contacts';


--
-- Name: COLUMN contacts_tier_account.max_limit; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.max_limit IS 'contact limit of the largest tier that the account moves up to by itself; null if there is none';


--
-- Name: COLUMN contacts_tier_account.source_policies; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.source_policies IS 'object that maps source types to what happens when their promotions exceed the contact tier, instead of on_exceed';


--
-- Name: COLUMN contacts_tier_account.proration; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.proration IS 'what a move to a larger tier costs in the current period: prorated, full or none of the difference in price';


--
-- Name: COLUMN contacts_tier_account.brake; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.brake IS 'how many promotions the brake allows in a sliding window, of the account and of source types; null if it has none';


--
-- Name: COLUMN contacts_tier_account.rollover_run; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.rollover_run IS 'run of rollover that processes the account, or will';


--
-- Name: COLUMN contacts_tier_account.rollover_started_at; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.rollover_started_at IS 'when that run started';


--
-- Name: COLUMN contacts_tier_account.rollover_contacts; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_account.rollover_contacts IS 'number of contacts that the run has made non-marketing so far';


--
-- Name: contacts_tier_counter; Type: TABLE; Schema: My "own" schema; Owner: Owner of "contacts"
--

CREATE TABLE "My ""own"" schema".contacts_tier_counter (
    account character varying NOT NULL COLLATE pg_catalog."C",
    slot integer DEFAULT 0 NOT NULL,
    used bigint DEFAULT 0 NOT NULL,
    pending bigint DEFAULT 0 NOT NULL,
    granted bigint,
    promoted bigint DEFAULT 0 NOT NULL,
    demoted bigint DEFAULT 0 NOT NULL,
    corrected bigint DEFAULT 0 NOT NULL,
    peak bigint DEFAULT 0 NOT NULL,
    floor bigint,
    bottom bigint,
    lowest bigint,
    brake bigint,
    braked_at timestamp with time zone,
    entry_started_at timestamp with time zone,
    entry_ended_at timestamp with time zone,
    entry_statements bigint,
    entry_created bigint,
    entry_deleted bigint,
    entry_promoted bigint,
    entry_demoted bigint,
    entry_flagged bigint,
    entry_unflagged bigint,
    entry_dropped bigint,
    entry_role text,
    entry_source_type text,
    entry_source_name text
)
WITH (fillfactor='30', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_scale_factor='0.0', autovacuum_vacuum_cost_delay='0');


ALTER TABLE "My ""own"" schema".contacts_tier_counter OWNER TO "Owner of ""contacts""";

--
-- Name: TABLE contacts_tier_counter; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON TABLE "My ""own"" schema".contacts_tier_counter IS 'contacts_tier: number of marketing contacts of each account; see contacts_tier.usage()';


--
-- Name: COLUMN contacts_tier_counter.account; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.account IS 'account that the contacts belong to';


--
-- Name: COLUMN contacts_tier_counter.slot; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.slot IS 'number of the slot; an account has as many slots as its concurrent writers need, and their sum is its counter';


--
-- Name: COLUMN contacts_tier_counter.used; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.used IS 'number of marketing contacts';


--
-- Name: COLUMN contacts_tier_counter.pending; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.pending IS 'how many of these become non-marketing on the next update date';


--
-- Name: COLUMN contacts_tier_counter.granted; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.granted IS 'number up to which statements can use the slot without reading the tier; null if the next one must compute a new ceiling';


--
-- Name: COLUMN contacts_tier_counter.promoted; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.promoted IS 'number of contacts that became marketing contacts of the account in the current period';


--
-- Name: COLUMN contacts_tier_counter.demoted; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.demoted IS 'number of contacts that ceased to be marketing contacts of the account in the current period';


--
-- Name: COLUMN contacts_tier_counter.corrected; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.corrected IS 'number of marketing contacts that partitions, attach() and repair() added in the current period, minus those that they removed';


--
-- Name: COLUMN contacts_tier_counter.peak; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.peak IS 'highest count of the account in the current period, as recorded before contacts were subtracted';


--
-- Name: COLUMN contacts_tier_counter.floor; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.floor IS 'number of marketing contacts below which the next statement must look at all slots; null for a single slot, or if nothing has been announced';


--
-- Name: COLUMN contacts_tier_counter.bottom; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.bottom IS 'number of marketing contacts of the account below which an announcement has to be made again; null if nothing has been announced';


--
-- Name: COLUMN contacts_tier_counter.lowest; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.lowest IS 'lowest number of marketing contacts of the account below that, as far as the slot has noted it';


--
-- Name: COLUMN contacts_tier_counter.brake; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.brake IS 'number of promotions that statements can make in the slot without counting those of the window of the brake; null if the account has none';


--
-- Name: COLUMN contacts_tier_counter.braked_at; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.braked_at IS 'when that was computed; it holds for statements since then';


--
-- Name: COLUMN contacts_tier_counter.entry_started_at; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.entry_started_at IS 'when the first statement of the open entry of activity ran, which the ledger does not have yet; null if none is open';


--
-- Name: COLUMN contacts_tier_counter.entry_ended_at; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.entry_ended_at IS 'when the last statement of the open entry ran';


--
-- Name: COLUMN contacts_tier_counter.entry_statements; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.entry_statements IS 'number of statements of the open entry';


--
-- Name: COLUMN contacts_tier_counter.entry_created; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.entry_created IS 'number of contacts that they created';


--
-- Name: COLUMN contacts_tier_counter.entry_deleted; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.entry_deleted IS 'number of contacts that they deleted';


--
-- Name: COLUMN contacts_tier_counter.entry_promoted; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.entry_promoted IS 'number of contacts that they made marketing contacts';


--
-- Name: COLUMN contacts_tier_counter.entry_demoted; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.entry_demoted IS 'number of contacts that they made non-marketing contacts, or deleted as marketing contacts';


--
-- Name: COLUMN contacts_tier_counter.entry_flagged; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.entry_flagged IS 'number of contacts that they flagged as non-marketing from the next update date on';


--
-- Name: COLUMN contacts_tier_counter.entry_unflagged; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.entry_unflagged IS 'number of contacts whose flag they cleared';


--
-- Name: COLUMN contacts_tier_counter.entry_dropped; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.entry_dropped IS 'number of contacts that they stored as non-marketing because the tier had no room';


--
-- Name: COLUMN contacts_tier_counter.entry_role; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.entry_role IS 'role that ran the statements of the open entry';


--
-- Name: COLUMN contacts_tier_counter.entry_source_type; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.entry_source_type IS 'source type of the open entry; null if there is none, or several';


--
-- Name: COLUMN contacts_tier_counter.entry_source_name; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_counter.entry_source_name IS 'source name of the open entry; null if there is none, or several';


--
-- Name: contacts_tier_ledger; Type: TABLE; Schema: My "own" schema; Owner: Owner of "contacts"
--

CREATE TABLE "My ""own"" schema".contacts_tier_ledger (
    account character varying NOT NULL COLLATE pg_catalog."C",
    entry uuid DEFAULT contacts_tier_internal.ledger_entry() NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    event text NOT NULL,
    role text NOT NULL,
    contacts bigint NOT NULL,
    details jsonb NOT NULL
);


ALTER TABLE "My ""own"" schema".contacts_tier_ledger OWNER TO "Owner of ""contacts""";

--
-- Name: TABLE contacts_tier_ledger; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON TABLE "My ""own"" schema".contacts_tier_ledger IS 'contacts_tier: history of each account: activity, tier changes, billing periods, notifications';


--
-- Name: COLUMN contacts_tier_ledger.account; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_ledger.account IS 'account that the entry is about';


--
-- Name: COLUMN contacts_tier_ledger.entry; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_ledger.entry IS 'key of the entry, in the order of creation';


--
-- Name: COLUMN contacts_tier_ledger.recorded_at; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_ledger.recorded_at IS 'when it happened';


--
-- Name: COLUMN contacts_tier_ledger.event; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_ledger.event IS 'kind of event, as listed in docs/reference.md';


--
-- Name: COLUMN contacts_tier_ledger.role; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_ledger.role IS 'role that caused it';


--
-- Name: COLUMN contacts_tier_ledger.contacts; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_ledger.contacts IS 'number of contacts that the event is about';


--
-- Name: COLUMN contacts_tier_ledger.details; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON COLUMN "My ""own"" schema".contacts_tier_ledger.details IS 'further properties of the event, as listed in docs/reference.md';


--
-- Name: contacts_tier_account; Type: TABLE; Schema: The tiers'; Owner: postgres
--

CREATE TABLE "The tiers'".contacts_tier_account (
    account text NOT NULL,
    plan text NOT NULL,
    contact_limit bigint NOT NULL,
    billing_cycle contacts_tier.billing_cycle NOT NULL,
    on_exceed contacts_tier.exceed_policy NOT NULL,
    grace bigint NOT NULL,
    thresholds integer[] DEFAULT '{75,90,98,100}'::integer[] NOT NULL,
    announced integer DEFAULT 0 NOT NULL,
    exceeded_announced boolean DEFAULT false NOT NULL,
    source_defaults jsonb DEFAULT '{}'::jsonb NOT NULL,
    time_zone text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    anchor date NOT NULL,
    period_started_at timestamp with time zone NOT NULL,
    next_update_at timestamp with time zone NOT NULL,
    renews_at timestamp with time zone NOT NULL,
    renewal_limit bigint,
    renewal_cycle contacts_tier.billing_cycle,
    auto_downgrade boolean DEFAULT false NOT NULL,
    cancelled boolean DEFAULT false NOT NULL,
    ended_at timestamp with time zone,
    period_limit bigint DEFAULT 0 NOT NULL,
    period_price numeric,
    period_opening bigint DEFAULT 0 NOT NULL,
    period_upgrades integer DEFAULT 0 NOT NULL,
    requested_limit bigint,
    record_activity boolean DEFAULT true NOT NULL,
    max_limit bigint,
    source_policies jsonb DEFAULT '{}'::jsonb NOT NULL,
    proration text DEFAULT 'prorated'::text NOT NULL,
    brake jsonb,
    rollover_run uuid,
    rollover_started_at timestamp with time zone,
    rollover_contacts bigint DEFAULT 0 NOT NULL,
    CONSTRAINT contacts_tier_account_check CHECK ((period_started_at < next_update_at)),
    CONSTRAINT contacts_tier_account_contact_limit_check CHECK ((contact_limit >= 0)),
    CONSTRAINT contacts_tier_account_grace_check CHECK ((grace >= 0)),
    CONSTRAINT contacts_tier_account_max_limit_check CHECK ((max_limit > 0)),
    CONSTRAINT contacts_tier_account_proration_check CHECK ((proration = ANY (ARRAY['prorated'::text, 'full'::text, 'none'::text])))
);


ALTER TABLE "The tiers'".contacts_tier_account OWNER TO postgres;

--
-- Name: TABLE contacts_tier_account; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON TABLE "The tiers'".contacts_tier_account IS 'contacts_tier: subscription, policy and dates of each account';


--
-- Name: COLUMN contacts_tier_account.account; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.account IS 'account: a value of the account column, or default if the table is one account';


--
-- Name: COLUMN contacts_tier_account.plan; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.plan IS 'plan that the account is subscribed to';


--
-- Name: COLUMN contacts_tier_account.contact_limit; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.contact_limit IS 'contact limit of the current tier';


--
-- Name: COLUMN contacts_tier_account.billing_cycle; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.billing_cycle IS 'whether the contract renews each month or each year';


--
-- Name: COLUMN contacts_tier_account.on_exceed; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.on_exceed IS 'what happens when the account exceeds its contact tier';


--
-- Name: COLUMN contacts_tier_account.grace; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.grace IS 'number of contacts that are allowed above the limit';


--
-- Name: COLUMN contacts_tier_account.thresholds; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.thresholds IS 'percentages of the limit at which a notification is sent';


--
-- Name: COLUMN contacts_tier_account.announced; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.announced IS 'highest threshold that was announced in the current period, in percent of the limit';


--
-- Name: COLUMN contacts_tier_account.exceeded_announced; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.exceeded_announced IS 'whether it was announced in the current period that the limit is exceeded';


--
-- Name: COLUMN contacts_tier_account.source_defaults; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.source_defaults IS 'object that maps source types to the default status of new contacts, unless the default of the catalogue applies';


--
-- Name: COLUMN contacts_tier_account.time_zone; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.time_zone IS 'time zone of the dates of the account';


--
-- Name: COLUMN contacts_tier_account.started_at; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.started_at IS 'when the subscription began';


--
-- Name: COLUMN contacts_tier_account.anchor; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.anchor IS 'local day on which the subscription began; update and renewal dates follow from it';


--
-- Name: COLUMN contacts_tier_account.period_started_at; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.period_started_at IS 'last update date that was applied, or the start of the subscription';


--
-- Name: COLUMN contacts_tier_account.next_update_at; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.next_update_at IS 'next update date; rollover applies it when it has passed';


--
-- Name: COLUMN contacts_tier_account.renews_at; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.renews_at IS 'renewal date of the contract';


--
-- Name: COLUMN contacts_tier_account.renewal_limit; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.renewal_limit IS 'contact limit of the tier requested for the renewal date; null if there is no request';


--
-- Name: COLUMN contacts_tier_account.renewal_cycle; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.renewal_cycle IS 'billing cycle requested for the renewal date; null if there is no request';


--
-- Name: COLUMN contacts_tier_account.auto_downgrade; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.auto_downgrade IS 'true if the account moves to the smallest tier that fits at the renewal date';


--
-- Name: COLUMN contacts_tier_account.cancelled; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.cancelled IS 'true if the subscription ends at the renewal date';


--
-- Name: COLUMN contacts_tier_account.ended_at; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.ended_at IS 'when a cancelled subscription ended; the account has had no marketing contacts since';


--
-- Name: COLUMN contacts_tier_account.period_limit; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.period_limit IS 'contact limit at the start of the current period';


--
-- Name: COLUMN contacts_tier_account.period_price; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.period_price IS 'monthly price of the tier at the start of the current period; null if it had none';


--
-- Name: COLUMN contacts_tier_account.period_opening; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.period_opening IS 'number of marketing contacts at the start of the current period';


--
-- Name: COLUMN contacts_tier_account.period_upgrades; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.period_upgrades IS 'number of moves to a larger tier in the current period';


--
-- Name: COLUMN contacts_tier_account.requested_limit; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.requested_limit IS 'contact limit of the requested tier, which would have held the contacts that were capped; approve_upgrade() grants it';


--
-- Name: COLUMN contacts_tier_account.record_activity; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.record_activity IS 'true if the ledger records each statement that changes contacts';


--
-- Name: COLUMN contacts_tier_account.max_limit; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.max_limit IS 'contact limit of the largest tier that the account moves up to by itself; null if there is none';


--
-- Name: COLUMN contacts_tier_account.source_policies; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.source_policies IS 'object that maps source types to what happens when their promotions exceed the contact tier, instead of on_exceed';


--
-- Name: COLUMN contacts_tier_account.proration; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.proration IS 'what a move to a larger tier costs in the current period: prorated, full or none of the difference in price';


--
-- Name: COLUMN contacts_tier_account.brake; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.brake IS 'how many promotions the brake allows in a sliding window, of the account and of source types; null if it has none';


--
-- Name: COLUMN contacts_tier_account.rollover_run; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.rollover_run IS 'run of rollover that processes the account, or will';


--
-- Name: COLUMN contacts_tier_account.rollover_started_at; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.rollover_started_at IS 'when that run started';


--
-- Name: COLUMN contacts_tier_account.rollover_contacts; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_account.rollover_contacts IS 'number of contacts that the run has made non-marketing so far';


--
-- Name: contacts_tier_counter; Type: TABLE; Schema: The tiers'; Owner: postgres
--

CREATE TABLE "The tiers'".contacts_tier_counter (
    account text NOT NULL,
    slot integer DEFAULT 0 NOT NULL,
    used bigint DEFAULT 0 NOT NULL,
    pending bigint DEFAULT 0 NOT NULL,
    granted bigint,
    promoted bigint DEFAULT 0 NOT NULL,
    demoted bigint DEFAULT 0 NOT NULL,
    corrected bigint DEFAULT 0 NOT NULL,
    peak bigint DEFAULT 0 NOT NULL,
    floor bigint,
    bottom bigint,
    lowest bigint,
    brake bigint,
    braked_at timestamp with time zone,
    entry_started_at timestamp with time zone,
    entry_ended_at timestamp with time zone,
    entry_statements bigint,
    entry_created bigint,
    entry_deleted bigint,
    entry_promoted bigint,
    entry_demoted bigint,
    entry_flagged bigint,
    entry_unflagged bigint,
    entry_dropped bigint,
    entry_role text,
    entry_source_type text,
    entry_source_name text
)
WITH (fillfactor='30', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_scale_factor='0.0', autovacuum_vacuum_cost_delay='0');


ALTER TABLE "The tiers'".contacts_tier_counter OWNER TO postgres;

--
-- Name: TABLE contacts_tier_counter; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON TABLE "The tiers'".contacts_tier_counter IS 'contacts_tier: number of marketing contacts of each account; see contacts_tier.usage()';


--
-- Name: COLUMN contacts_tier_counter.account; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.account IS 'account that the contacts belong to';


--
-- Name: COLUMN contacts_tier_counter.slot; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.slot IS 'number of the slot; an account has as many slots as its concurrent writers need, and their sum is its counter';


--
-- Name: COLUMN contacts_tier_counter.used; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.used IS 'number of marketing contacts';


--
-- Name: COLUMN contacts_tier_counter.pending; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.pending IS 'how many of these become non-marketing on the next update date';


--
-- Name: COLUMN contacts_tier_counter.granted; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.granted IS 'number up to which statements can use the slot without reading the tier; null if the next one must compute a new ceiling';


--
-- Name: COLUMN contacts_tier_counter.promoted; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.promoted IS 'number of contacts that became marketing contacts of the account in the current period';


--
-- Name: COLUMN contacts_tier_counter.demoted; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.demoted IS 'number of contacts that ceased to be marketing contacts of the account in the current period';


--
-- Name: COLUMN contacts_tier_counter.corrected; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.corrected IS 'number of marketing contacts that partitions, attach() and repair() added in the current period, minus those that they removed';


--
-- Name: COLUMN contacts_tier_counter.peak; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.peak IS 'highest count of the account in the current period, as recorded before contacts were subtracted';


--
-- Name: COLUMN contacts_tier_counter.floor; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.floor IS 'number of marketing contacts below which the next statement must look at all slots; null for a single slot, or if nothing has been announced';


--
-- Name: COLUMN contacts_tier_counter.bottom; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.bottom IS 'number of marketing contacts of the account below which an announcement has to be made again; null if nothing has been announced';


--
-- Name: COLUMN contacts_tier_counter.lowest; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.lowest IS 'lowest number of marketing contacts of the account below that, as far as the slot has noted it';


--
-- Name: COLUMN contacts_tier_counter.brake; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.brake IS 'number of promotions that statements can make in the slot without counting those of the window of the brake; null if the account has none';


--
-- Name: COLUMN contacts_tier_counter.braked_at; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.braked_at IS 'when that was computed; it holds for statements since then';


--
-- Name: COLUMN contacts_tier_counter.entry_started_at; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.entry_started_at IS 'when the first statement of the open entry of activity ran, which the ledger does not have yet; null if none is open';


--
-- Name: COLUMN contacts_tier_counter.entry_ended_at; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.entry_ended_at IS 'when the last statement of the open entry ran';


--
-- Name: COLUMN contacts_tier_counter.entry_statements; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.entry_statements IS 'number of statements of the open entry';


--
-- Name: COLUMN contacts_tier_counter.entry_created; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.entry_created IS 'number of contacts that they created';


--
-- Name: COLUMN contacts_tier_counter.entry_deleted; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.entry_deleted IS 'number of contacts that they deleted';


--
-- Name: COLUMN contacts_tier_counter.entry_promoted; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.entry_promoted IS 'number of contacts that they made marketing contacts';


--
-- Name: COLUMN contacts_tier_counter.entry_demoted; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.entry_demoted IS 'number of contacts that they made non-marketing contacts, or deleted as marketing contacts';


--
-- Name: COLUMN contacts_tier_counter.entry_flagged; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.entry_flagged IS 'number of contacts that they flagged as non-marketing from the next update date on';


--
-- Name: COLUMN contacts_tier_counter.entry_unflagged; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.entry_unflagged IS 'number of contacts whose flag they cleared';


--
-- Name: COLUMN contacts_tier_counter.entry_dropped; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.entry_dropped IS 'number of contacts that they stored as non-marketing because the tier had no room';


--
-- Name: COLUMN contacts_tier_counter.entry_role; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.entry_role IS 'role that ran the statements of the open entry';


--
-- Name: COLUMN contacts_tier_counter.entry_source_type; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.entry_source_type IS 'source type of the open entry; null if there is none, or several';


--
-- Name: COLUMN contacts_tier_counter.entry_source_name; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_counter.entry_source_name IS 'source name of the open entry; null if there is none, or several';


--
-- Name: contacts_tier_ledger; Type: TABLE; Schema: The tiers'; Owner: postgres
--

CREATE TABLE "The tiers'".contacts_tier_ledger (
    account text NOT NULL,
    entry uuid DEFAULT contacts_tier_internal.ledger_entry() NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    event text NOT NULL,
    role text NOT NULL,
    contacts bigint NOT NULL,
    details jsonb NOT NULL
);


ALTER TABLE "The tiers'".contacts_tier_ledger OWNER TO postgres;

--
-- Name: TABLE contacts_tier_ledger; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON TABLE "The tiers'".contacts_tier_ledger IS 'contacts_tier: history of each account: activity, tier changes, billing periods, notifications';


--
-- Name: COLUMN contacts_tier_ledger.account; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_ledger.account IS 'account that the entry is about';


--
-- Name: COLUMN contacts_tier_ledger.entry; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_ledger.entry IS 'key of the entry, in the order of creation';


--
-- Name: COLUMN contacts_tier_ledger.recorded_at; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_ledger.recorded_at IS 'when it happened';


--
-- Name: COLUMN contacts_tier_ledger.event; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_ledger.event IS 'kind of event, as listed in docs/reference.md';


--
-- Name: COLUMN contacts_tier_ledger.role; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_ledger.role IS 'role that caused it';


--
-- Name: COLUMN contacts_tier_ledger.contacts; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_ledger.contacts IS 'number of contacts that the event is about';


--
-- Name: COLUMN contacts_tier_ledger.details; Type: COMMENT; Schema: The tiers'; Owner: postgres
--

COMMENT ON COLUMN "The tiers'".contacts_tier_ledger.details IS 'further properties of the event, as listed in docs/reference.md';


--
-- Name: contacts; Type: TABLE; Schema: crm; Owner: postgres
--

CREATE TABLE crm.contacts (
    id bigint NOT NULL,
    tenant bigint NOT NULL,
    marketing_contact_status contacts_tier.marketing_status DEFAULT contacts_tier_internal.default_status(),
    marketing_contact_until_next_update boolean DEFAULT contacts_tier_internal.default_until_next_update(),
    marketing_contact_status_source_type text DEFAULT contacts_tier_internal.default_source_type(),
    marketing_contact_status_source_name text DEFAULT contacts_tier_internal.default_source_name(),
    marketing_contact_status_updated_at timestamp with time zone DEFAULT contacts_tier_internal.default_updated_at()
)
PARTITION BY RANGE (tenant);


ALTER TABLE crm.contacts OWNER TO postgres;

--
-- Name: COLUMN contacts.marketing_contact_status; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts.marketing_contact_status IS 'whether the contact is a marketing contact, which counts against the contact tier; added by contacts_tier.attach()';


--
-- Name: COLUMN contacts.marketing_contact_until_next_update; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts.marketing_contact_until_next_update IS 'true if the marketing contact becomes non-marketing on the next update date, else null; added by contacts_tier.attach()';


--
-- Name: COLUMN contacts.marketing_contact_status_source_type; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts.marketing_contact_status_source_type IS 'type of the source that last changed the marketing status of the contact; added by contacts_tier.attach()';


--
-- Name: COLUMN contacts.marketing_contact_status_source_name; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts.marketing_contact_status_source_name IS 'name of the source that last changed the marketing status of the contact; added by contacts_tier.attach()';


--
-- Name: COLUMN contacts.marketing_contact_status_updated_at; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts.marketing_contact_status_updated_at IS 'time at which the marketing status of the contact last changed; added by contacts_tier.attach()';


--
-- Name: contacts_2; Type: TABLE; Schema: archive; Owner: postgres
--

CREATE TABLE archive.contacts_2 (
    tenant bigint NOT NULL,
    id bigint NOT NULL,
    marketing_contact_status contacts_tier.marketing_status DEFAULT contacts_tier_internal.default_status(),
    marketing_contact_until_next_update boolean DEFAULT contacts_tier_internal.default_until_next_update(),
    marketing_contact_status_source_type text DEFAULT contacts_tier_internal.default_source_type(),
    marketing_contact_status_source_name text DEFAULT contacts_tier_internal.default_source_name(),
    marketing_contact_status_updated_at timestamp with time zone DEFAULT contacts_tier_internal.default_updated_at()
);


ALTER TABLE archive.contacts_2 OWNER TO postgres;

--
-- Name: contacts_1; Type: TABLE; Schema: crm; Owner: postgres
--

CREATE TABLE crm.contacts_1 (
    id bigint NOT NULL,
    tenant bigint NOT NULL,
    marketing_contact_status contacts_tier.marketing_status DEFAULT contacts_tier_internal.default_status(),
    marketing_contact_until_next_update boolean DEFAULT contacts_tier_internal.default_until_next_update(),
    marketing_contact_status_source_type text DEFAULT contacts_tier_internal.default_source_type(),
    marketing_contact_status_source_name text DEFAULT contacts_tier_internal.default_source_name(),
    marketing_contact_status_updated_at timestamp with time zone DEFAULT contacts_tier_internal.default_updated_at()
);


ALTER TABLE crm.contacts_1 OWNER TO postgres;

--
-- Name: contacts_tier_account; Type: TABLE; Schema: crm; Owner: postgres
--

CREATE TABLE crm.contacts_tier_account (
    account bigint NOT NULL,
    plan text NOT NULL,
    contact_limit bigint NOT NULL,
    billing_cycle contacts_tier.billing_cycle NOT NULL,
    on_exceed contacts_tier.exceed_policy NOT NULL,
    grace bigint NOT NULL,
    thresholds integer[] DEFAULT '{75,90,98,100}'::integer[] NOT NULL,
    announced integer DEFAULT 0 NOT NULL,
    exceeded_announced boolean DEFAULT false NOT NULL,
    source_defaults jsonb DEFAULT '{}'::jsonb NOT NULL,
    time_zone text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    anchor date NOT NULL,
    period_started_at timestamp with time zone NOT NULL,
    next_update_at timestamp with time zone NOT NULL,
    renews_at timestamp with time zone NOT NULL,
    renewal_limit bigint,
    renewal_cycle contacts_tier.billing_cycle,
    auto_downgrade boolean DEFAULT false NOT NULL,
    cancelled boolean DEFAULT false NOT NULL,
    ended_at timestamp with time zone,
    period_limit bigint DEFAULT 0 NOT NULL,
    period_price numeric,
    period_opening bigint DEFAULT 0 NOT NULL,
    period_upgrades integer DEFAULT 0 NOT NULL,
    requested_limit bigint,
    record_activity boolean DEFAULT true NOT NULL,
    max_limit bigint,
    source_policies jsonb DEFAULT '{}'::jsonb NOT NULL,
    proration text DEFAULT 'prorated'::text NOT NULL,
    brake jsonb,
    rollover_run uuid,
    rollover_started_at timestamp with time zone,
    rollover_contacts bigint DEFAULT 0 NOT NULL,
    CONSTRAINT contacts_tier_account_check CHECK ((period_started_at < next_update_at)),
    CONSTRAINT contacts_tier_account_contact_limit_check CHECK ((contact_limit >= 0)),
    CONSTRAINT contacts_tier_account_grace_check CHECK ((grace >= 0)),
    CONSTRAINT contacts_tier_account_max_limit_check CHECK ((max_limit > 0)),
    CONSTRAINT contacts_tier_account_proration_check CHECK ((proration = ANY (ARRAY['prorated'::text, 'full'::text, 'none'::text])))
);


ALTER TABLE crm.contacts_tier_account OWNER TO postgres;

--
-- Name: TABLE contacts_tier_account; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TABLE crm.contacts_tier_account IS 'contacts_tier: subscription, policy and dates of each account';


--
-- Name: COLUMN contacts_tier_account.account; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.account IS 'account: a value of the account column, or default if the table is one account';


--
-- Name: COLUMN contacts_tier_account.plan; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.plan IS 'plan that the account is subscribed to';


--
-- Name: COLUMN contacts_tier_account.contact_limit; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.contact_limit IS 'contact limit of the current tier';


--
-- Name: COLUMN contacts_tier_account.billing_cycle; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.billing_cycle IS 'whether the contract renews each month or each year';


--
-- Name: COLUMN contacts_tier_account.on_exceed; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.on_exceed IS 'what happens when the account exceeds its contact tier';


--
-- Name: COLUMN contacts_tier_account.grace; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.grace IS 'number of contacts that are allowed above the limit';


--
-- Name: COLUMN contacts_tier_account.thresholds; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.thresholds IS 'percentages of the limit at which a notification is sent';


--
-- Name: COLUMN contacts_tier_account.announced; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.announced IS 'highest threshold that was announced in the current period, in percent of the limit';


--
-- Name: COLUMN contacts_tier_account.exceeded_announced; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.exceeded_announced IS 'whether it was announced in the current period that the limit is exceeded';


--
-- Name: COLUMN contacts_tier_account.source_defaults; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.source_defaults IS 'object that maps source types to the default status of new contacts, unless the default of the catalogue applies';


--
-- Name: COLUMN contacts_tier_account.time_zone; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.time_zone IS 'time zone of the dates of the account';


--
-- Name: COLUMN contacts_tier_account.started_at; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.started_at IS 'when the subscription began';


--
-- Name: COLUMN contacts_tier_account.anchor; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.anchor IS 'local day on which the subscription began; update and renewal dates follow from it';


--
-- Name: COLUMN contacts_tier_account.period_started_at; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.period_started_at IS 'last update date that was applied, or the start of the subscription';


--
-- Name: COLUMN contacts_tier_account.next_update_at; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.next_update_at IS 'next update date; rollover applies it when it has passed';


--
-- Name: COLUMN contacts_tier_account.renews_at; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.renews_at IS 'renewal date of the contract';


--
-- Name: COLUMN contacts_tier_account.renewal_limit; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.renewal_limit IS 'contact limit of the tier requested for the renewal date; null if there is no request';


--
-- Name: COLUMN contacts_tier_account.renewal_cycle; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.renewal_cycle IS 'billing cycle requested for the renewal date; null if there is no request';


--
-- Name: COLUMN contacts_tier_account.auto_downgrade; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.auto_downgrade IS 'true if the account moves to the smallest tier that fits at the renewal date';


--
-- Name: COLUMN contacts_tier_account.cancelled; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.cancelled IS 'true if the subscription ends at the renewal date';


--
-- Name: COLUMN contacts_tier_account.ended_at; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.ended_at IS 'when a cancelled subscription ended; the account has had no marketing contacts since';


--
-- Name: COLUMN contacts_tier_account.period_limit; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.period_limit IS 'contact limit at the start of the current period';


--
-- Name: COLUMN contacts_tier_account.period_price; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.period_price IS 'monthly price of the tier at the start of the current period; null if it had none';


--
-- Name: COLUMN contacts_tier_account.period_opening; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.period_opening IS 'number of marketing contacts at the start of the current period';


--
-- Name: COLUMN contacts_tier_account.period_upgrades; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.period_upgrades IS 'number of moves to a larger tier in the current period';


--
-- Name: COLUMN contacts_tier_account.requested_limit; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.requested_limit IS 'contact limit of the requested tier, which would have held the contacts that were capped; approve_upgrade() grants it';


--
-- Name: COLUMN contacts_tier_account.record_activity; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.record_activity IS 'true if the ledger records each statement that changes contacts';


--
-- Name: COLUMN contacts_tier_account.max_limit; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.max_limit IS 'contact limit of the largest tier that the account moves up to by itself; null if there is none';


--
-- Name: COLUMN contacts_tier_account.source_policies; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.source_policies IS 'object that maps source types to what happens when their promotions exceed the contact tier, instead of on_exceed';


--
-- Name: COLUMN contacts_tier_account.proration; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.proration IS 'what a move to a larger tier costs in the current period: prorated, full or none of the difference in price';


--
-- Name: COLUMN contacts_tier_account.brake; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.brake IS 'how many promotions the brake allows in a sliding window, of the account and of source types; null if it has none';


--
-- Name: COLUMN contacts_tier_account.rollover_run; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.rollover_run IS 'run of rollover that processes the account, or will';


--
-- Name: COLUMN contacts_tier_account.rollover_started_at; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.rollover_started_at IS 'when that run started';


--
-- Name: COLUMN contacts_tier_account.rollover_contacts; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_account.rollover_contacts IS 'number of contacts that the run has made non-marketing so far';


--
-- Name: contacts_tier_counter; Type: TABLE; Schema: crm; Owner: postgres
--

CREATE TABLE crm.contacts_tier_counter (
    account bigint NOT NULL,
    slot integer DEFAULT 0 NOT NULL,
    used bigint DEFAULT 0 NOT NULL,
    pending bigint DEFAULT 0 NOT NULL,
    granted bigint,
    promoted bigint DEFAULT 0 NOT NULL,
    demoted bigint DEFAULT 0 NOT NULL,
    corrected bigint DEFAULT 0 NOT NULL,
    peak bigint DEFAULT 0 NOT NULL,
    floor bigint,
    bottom bigint,
    lowest bigint,
    brake bigint,
    braked_at timestamp with time zone,
    entry_started_at timestamp with time zone,
    entry_ended_at timestamp with time zone,
    entry_statements bigint,
    entry_created bigint,
    entry_deleted bigint,
    entry_promoted bigint,
    entry_demoted bigint,
    entry_flagged bigint,
    entry_unflagged bigint,
    entry_dropped bigint,
    entry_role text,
    entry_source_type text,
    entry_source_name text
)
WITH (fillfactor='30', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_scale_factor='0.0', autovacuum_vacuum_cost_delay='0');


ALTER TABLE crm.contacts_tier_counter OWNER TO postgres;

--
-- Name: TABLE contacts_tier_counter; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TABLE crm.contacts_tier_counter IS 'contacts_tier: number of marketing contacts of each account; see contacts_tier.usage()';


--
-- Name: COLUMN contacts_tier_counter.account; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.account IS 'account that the contacts belong to';


--
-- Name: COLUMN contacts_tier_counter.slot; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.slot IS 'number of the slot; an account has as many slots as its concurrent writers need, and their sum is its counter';


--
-- Name: COLUMN contacts_tier_counter.used; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.used IS 'number of marketing contacts';


--
-- Name: COLUMN contacts_tier_counter.pending; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.pending IS 'how many of these become non-marketing on the next update date';


--
-- Name: COLUMN contacts_tier_counter.granted; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.granted IS 'number up to which statements can use the slot without reading the tier; null if the next one must compute a new ceiling';


--
-- Name: COLUMN contacts_tier_counter.promoted; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.promoted IS 'number of contacts that became marketing contacts of the account in the current period';


--
-- Name: COLUMN contacts_tier_counter.demoted; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.demoted IS 'number of contacts that ceased to be marketing contacts of the account in the current period';


--
-- Name: COLUMN contacts_tier_counter.corrected; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.corrected IS 'number of marketing contacts that partitions, attach() and repair() added in the current period, minus those that they removed';


--
-- Name: COLUMN contacts_tier_counter.peak; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.peak IS 'highest count of the account in the current period, as recorded before contacts were subtracted';


--
-- Name: COLUMN contacts_tier_counter.floor; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.floor IS 'number of marketing contacts below which the next statement must look at all slots; null for a single slot, or if nothing has been announced';


--
-- Name: COLUMN contacts_tier_counter.bottom; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.bottom IS 'number of marketing contacts of the account below which an announcement has to be made again; null if nothing has been announced';


--
-- Name: COLUMN contacts_tier_counter.lowest; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.lowest IS 'lowest number of marketing contacts of the account below that, as far as the slot has noted it';


--
-- Name: COLUMN contacts_tier_counter.brake; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.brake IS 'number of promotions that statements can make in the slot without counting those of the window of the brake; null if the account has none';


--
-- Name: COLUMN contacts_tier_counter.braked_at; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.braked_at IS 'when that was computed; it holds for statements since then';


--
-- Name: COLUMN contacts_tier_counter.entry_started_at; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.entry_started_at IS 'when the first statement of the open entry of activity ran, which the ledger does not have yet; null if none is open';


--
-- Name: COLUMN contacts_tier_counter.entry_ended_at; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.entry_ended_at IS 'when the last statement of the open entry ran';


--
-- Name: COLUMN contacts_tier_counter.entry_statements; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.entry_statements IS 'number of statements of the open entry';


--
-- Name: COLUMN contacts_tier_counter.entry_created; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.entry_created IS 'number of contacts that they created';


--
-- Name: COLUMN contacts_tier_counter.entry_deleted; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.entry_deleted IS 'number of contacts that they deleted';


--
-- Name: COLUMN contacts_tier_counter.entry_promoted; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.entry_promoted IS 'number of contacts that they made marketing contacts';


--
-- Name: COLUMN contacts_tier_counter.entry_demoted; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.entry_demoted IS 'number of contacts that they made non-marketing contacts, or deleted as marketing contacts';


--
-- Name: COLUMN contacts_tier_counter.entry_flagged; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.entry_flagged IS 'number of contacts that they flagged as non-marketing from the next update date on';


--
-- Name: COLUMN contacts_tier_counter.entry_unflagged; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.entry_unflagged IS 'number of contacts whose flag they cleared';


--
-- Name: COLUMN contacts_tier_counter.entry_dropped; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.entry_dropped IS 'number of contacts that they stored as non-marketing because the tier had no room';


--
-- Name: COLUMN contacts_tier_counter.entry_role; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.entry_role IS 'role that ran the statements of the open entry';


--
-- Name: COLUMN contacts_tier_counter.entry_source_type; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.entry_source_type IS 'source type of the open entry; null if there is none, or several';


--
-- Name: COLUMN contacts_tier_counter.entry_source_name; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_counter.entry_source_name IS 'source name of the open entry; null if there is none, or several';


--
-- Name: contacts_tier_ledger; Type: TABLE; Schema: crm; Owner: postgres
--

CREATE TABLE crm.contacts_tier_ledger (
    account bigint NOT NULL,
    entry uuid DEFAULT contacts_tier_internal.ledger_entry() NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    event text NOT NULL,
    role text NOT NULL,
    contacts bigint NOT NULL,
    details jsonb NOT NULL
)
PARTITION BY LIST (event);


ALTER TABLE crm.contacts_tier_ledger OWNER TO postgres;

--
-- Name: TABLE contacts_tier_ledger; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TABLE crm.contacts_tier_ledger IS 'contacts_tier: history of each account; activity by months';


--
-- Name: COLUMN contacts_tier_ledger.account; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_ledger.account IS 'account that the entry is about';


--
-- Name: COLUMN contacts_tier_ledger.entry; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_ledger.entry IS 'key of the entry, in the order of creation';


--
-- Name: COLUMN contacts_tier_ledger.recorded_at; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_ledger.recorded_at IS 'when it happened';


--
-- Name: COLUMN contacts_tier_ledger.event; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_ledger.event IS 'kind of event, as listed in docs/reference.md';


--
-- Name: COLUMN contacts_tier_ledger.role; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_ledger.role IS 'role that caused it';


--
-- Name: COLUMN contacts_tier_ledger.contacts; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_ledger.contacts IS 'number of contacts that the event is about';


--
-- Name: COLUMN contacts_tier_ledger.details; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.contacts_tier_ledger.details IS 'further properties of the event, as listed in docs/reference.md';


--
-- Name: contacts_tier_ledger_activity; Type: TABLE; Schema: crm; Owner: postgres
--

CREATE TABLE crm.contacts_tier_ledger_activity (
    account bigint NOT NULL,
    entry uuid DEFAULT contacts_tier_internal.ledger_entry() NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    event text NOT NULL,
    role text NOT NULL,
    contacts bigint NOT NULL,
    details jsonb NOT NULL
)
PARTITION BY RANGE (recorded_at);


ALTER TABLE crm.contacts_tier_ledger_activity OWNER TO postgres;

--
-- Name: TABLE contacts_tier_ledger_activity; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TABLE crm.contacts_tier_ledger_activity IS 'contacts_tier: activity, by months (UTC)';


--
-- Name: contacts_tier_ledger_activity_2024_01; Type: TABLE; Schema: crm; Owner: postgres
--

CREATE TABLE crm.contacts_tier_ledger_activity_2024_01 (
    account bigint NOT NULL,
    entry uuid DEFAULT contacts_tier_internal.ledger_entry() NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    event text NOT NULL,
    role text NOT NULL,
    contacts bigint NOT NULL,
    details jsonb NOT NULL
);


ALTER TABLE crm.contacts_tier_ledger_activity_2024_01 OWNER TO postgres;

--
-- Name: contacts_tier_ledger_activity_2024_02; Type: TABLE; Schema: crm; Owner: postgres
--

CREATE TABLE crm.contacts_tier_ledger_activity_2024_02 (
    account bigint NOT NULL,
    entry uuid DEFAULT contacts_tier_internal.ledger_entry() NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    event text NOT NULL,
    role text NOT NULL,
    contacts bigint NOT NULL,
    details jsonb NOT NULL
);


ALTER TABLE crm.contacts_tier_ledger_activity_2024_02 OWNER TO postgres;

--
-- Name: contacts_tier_ledger_activity_other; Type: TABLE; Schema: crm; Owner: postgres
--

CREATE TABLE crm.contacts_tier_ledger_activity_other (
    account bigint NOT NULL,
    entry uuid DEFAULT contacts_tier_internal.ledger_entry() NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    event text NOT NULL,
    role text NOT NULL,
    contacts bigint NOT NULL,
    details jsonb NOT NULL
);


ALTER TABLE crm.contacts_tier_ledger_activity_other OWNER TO postgres;

--
-- Name: TABLE contacts_tier_ledger_activity_other; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TABLE crm.contacts_tier_ledger_activity_other IS 'contacts_tier: activity of months that have no partition';


--
-- Name: contacts_tier_ledger_events; Type: TABLE; Schema: crm; Owner: postgres
--

CREATE TABLE crm.contacts_tier_ledger_events (
    account bigint NOT NULL,
    entry uuid DEFAULT contacts_tier_internal.ledger_entry() NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    event text NOT NULL,
    role text NOT NULL,
    contacts bigint NOT NULL,
    details jsonb NOT NULL
);


ALTER TABLE crm.contacts_tier_ledger_events OWNER TO postgres;

--
-- Name: TABLE contacts_tier_ledger_events; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TABLE crm.contacts_tier_ledger_events IS 'contacts_tier: all entries of the ledger but activity';


--
-- Name: leads; Type: TABLE; Schema: crm; Owner: postgres
--

CREATE TABLE crm.leads (
    id bigint NOT NULL,
    tenant bigint,
    marketing_contact_status contacts_tier.marketing_status DEFAULT contacts_tier_internal.default_status(),
    marketing_contact_until_next_update boolean DEFAULT contacts_tier_internal.default_until_next_update(),
    marketing_contact_status_source_type text DEFAULT contacts_tier_internal.default_source_type(),
    marketing_contact_status_source_name text DEFAULT contacts_tier_internal.default_source_name(),
    marketing_contact_status_updated_at timestamp with time zone DEFAULT contacts_tier_internal.default_updated_at()
);


ALTER TABLE crm.leads OWNER TO postgres;

--
-- Name: COLUMN leads.marketing_contact_status; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.leads.marketing_contact_status IS 'whether the contact is a marketing contact, which counts against the contact tier; added by contacts_tier.attach()';


--
-- Name: COLUMN leads.marketing_contact_until_next_update; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.leads.marketing_contact_until_next_update IS 'true if the marketing contact becomes non-marketing on the next update date, else null; added by contacts_tier.attach()';


--
-- Name: COLUMN leads.marketing_contact_status_source_type; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.leads.marketing_contact_status_source_type IS 'type of the source that last changed the marketing status of the contact; added by contacts_tier.attach()';


--
-- Name: COLUMN leads.marketing_contact_status_source_name; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.leads.marketing_contact_status_source_name IS 'name of the source that last changed the marketing status of the contact; added by contacts_tier.attach()';


--
-- Name: COLUMN leads.marketing_contact_status_updated_at; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.leads.marketing_contact_status_updated_at IS 'time at which the marketing status of the contact last changed; added by contacts_tier.attach()';


--
-- Name: saved; Type: TABLE; Schema: crm; Owner: postgres
--

CREATE TABLE crm.saved (
    id bigint NOT NULL,
    tenant text,
    marketing_contact_status_source_name text DEFAULT contacts_tier_internal.default_source_name(),
    marketing_contact_status contacts_tier.marketing_status DEFAULT contacts_tier_internal.default_status(),
    marketing_contact_until_next_update boolean DEFAULT contacts_tier_internal.default_until_next_update(),
    marketing_contact_status_source_type text DEFAULT contacts_tier_internal.default_source_type(),
    marketing_contact_status_updated_at timestamp with time zone DEFAULT contacts_tier_internal.default_updated_at()
);


ALTER TABLE crm.saved OWNER TO postgres;

--
-- Name: COLUMN saved.marketing_contact_status; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.saved.marketing_contact_status IS 'whether the contact is a marketing contact, which counts against the contact tier; added by contacts_tier.attach()';


--
-- Name: COLUMN saved.marketing_contact_until_next_update; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.saved.marketing_contact_until_next_update IS 'true if the marketing contact becomes non-marketing on the next update date, else null; added by contacts_tier.attach()';


--
-- Name: COLUMN saved.marketing_contact_status_source_type; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.saved.marketing_contact_status_source_type IS 'type of the source that last changed the marketing status of the contact; added by contacts_tier.attach()';


--
-- Name: COLUMN saved.marketing_contact_status_updated_at; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON COLUMN crm.saved.marketing_contact_status_updated_at IS 'time at which the marketing status of the contact last changed; added by contacts_tier.attach()';


--
-- Name: contacts_tier_account; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.contacts_tier_account (
    account text NOT NULL,
    plan text NOT NULL,
    contact_limit bigint NOT NULL,
    billing_cycle contacts_tier.billing_cycle NOT NULL,
    on_exceed contacts_tier.exceed_policy NOT NULL,
    grace bigint NOT NULL,
    thresholds integer[] DEFAULT '{75,90,98,100}'::integer[] NOT NULL,
    announced integer DEFAULT 0 NOT NULL,
    exceeded_announced boolean DEFAULT false NOT NULL,
    source_defaults jsonb DEFAULT '{}'::jsonb NOT NULL,
    time_zone text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    anchor date NOT NULL,
    period_started_at timestamp with time zone NOT NULL,
    next_update_at timestamp with time zone NOT NULL,
    renews_at timestamp with time zone NOT NULL,
    renewal_limit bigint,
    renewal_cycle contacts_tier.billing_cycle,
    auto_downgrade boolean DEFAULT false NOT NULL,
    cancelled boolean DEFAULT false NOT NULL,
    ended_at timestamp with time zone,
    period_limit bigint DEFAULT 0 NOT NULL,
    period_price numeric,
    period_opening bigint DEFAULT 0 NOT NULL,
    period_upgrades integer DEFAULT 0 NOT NULL,
    requested_limit bigint,
    record_activity boolean DEFAULT true NOT NULL,
    max_limit bigint,
    source_policies jsonb DEFAULT '{}'::jsonb NOT NULL,
    proration text DEFAULT 'prorated'::text NOT NULL,
    brake jsonb,
    rollover_run uuid,
    rollover_started_at timestamp with time zone,
    rollover_contacts bigint DEFAULT 0 NOT NULL,
    CONSTRAINT contacts_tier_account_check CHECK ((period_started_at < next_update_at)),
    CONSTRAINT contacts_tier_account_contact_limit_check CHECK ((contact_limit >= 0)),
    CONSTRAINT contacts_tier_account_grace_check CHECK ((grace >= 0)),
    CONSTRAINT contacts_tier_account_max_limit_check CHECK ((max_limit > 0)),
    CONSTRAINT contacts_tier_account_proration_check CHECK ((proration = ANY (ARRAY['prorated'::text, 'full'::text, 'none'::text])))
);


ALTER TABLE public.contacts_tier_account OWNER TO postgres;

--
-- Name: TABLE contacts_tier_account; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON TABLE public.contacts_tier_account IS 'contacts_tier: subscription, policy and dates of each account';


--
-- Name: COLUMN contacts_tier_account.account; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.account IS 'account: a value of the account column, or default if the table is one account';


--
-- Name: COLUMN contacts_tier_account.plan; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.plan IS 'plan that the account is subscribed to';


--
-- Name: COLUMN contacts_tier_account.contact_limit; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.contact_limit IS 'contact limit of the current tier';


--
-- Name: COLUMN contacts_tier_account.billing_cycle; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.billing_cycle IS 'whether the contract renews each month or each year';


--
-- Name: COLUMN contacts_tier_account.on_exceed; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.on_exceed IS 'what happens when the account exceeds its contact tier';


--
-- Name: COLUMN contacts_tier_account.grace; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.grace IS 'number of contacts that are allowed above the limit';


--
-- Name: COLUMN contacts_tier_account.thresholds; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.thresholds IS 'percentages of the limit at which a notification is sent';


--
-- Name: COLUMN contacts_tier_account.announced; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.announced IS 'highest threshold that was announced in the current period, in percent of the limit';


--
-- Name: COLUMN contacts_tier_account.exceeded_announced; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.exceeded_announced IS 'whether it was announced in the current period that the limit is exceeded';


--
-- Name: COLUMN contacts_tier_account.source_defaults; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.source_defaults IS 'object that maps source types to the default status of new contacts, unless the default of the catalogue applies';


--
-- Name: COLUMN contacts_tier_account.time_zone; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.time_zone IS 'time zone of the dates of the account';


--
-- Name: COLUMN contacts_tier_account.started_at; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.started_at IS 'when the subscription began';


--
-- Name: COLUMN contacts_tier_account.anchor; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.anchor IS 'local day on which the subscription began; update and renewal dates follow from it';


--
-- Name: COLUMN contacts_tier_account.period_started_at; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.period_started_at IS 'last update date that was applied, or the start of the subscription';


--
-- Name: COLUMN contacts_tier_account.next_update_at; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.next_update_at IS 'next update date; rollover applies it when it has passed';


--
-- Name: COLUMN contacts_tier_account.renews_at; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.renews_at IS 'renewal date of the contract';


--
-- Name: COLUMN contacts_tier_account.renewal_limit; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.renewal_limit IS 'contact limit of the tier requested for the renewal date; null if there is no request';


--
-- Name: COLUMN contacts_tier_account.renewal_cycle; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.renewal_cycle IS 'billing cycle requested for the renewal date; null if there is no request';


--
-- Name: COLUMN contacts_tier_account.auto_downgrade; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.auto_downgrade IS 'true if the account moves to the smallest tier that fits at the renewal date';


--
-- Name: COLUMN contacts_tier_account.cancelled; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.cancelled IS 'true if the subscription ends at the renewal date';


--
-- Name: COLUMN contacts_tier_account.ended_at; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.ended_at IS 'when a cancelled subscription ended; the account has had no marketing contacts since';


--
-- Name: COLUMN contacts_tier_account.period_limit; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.period_limit IS 'contact limit at the start of the current period';


--
-- Name: COLUMN contacts_tier_account.period_price; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.period_price IS 'monthly price of the tier at the start of the current period; null if it had none';


--
-- Name: COLUMN contacts_tier_account.period_opening; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.period_opening IS 'number of marketing contacts at the start of the current period';


--
-- Name: COLUMN contacts_tier_account.period_upgrades; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.period_upgrades IS 'number of moves to a larger tier in the current period';


--
-- Name: COLUMN contacts_tier_account.requested_limit; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.requested_limit IS 'contact limit of the requested tier, which would have held the contacts that were capped; approve_upgrade() grants it';


--
-- Name: COLUMN contacts_tier_account.record_activity; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.record_activity IS 'true if the ledger records each statement that changes contacts';


--
-- Name: COLUMN contacts_tier_account.max_limit; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.max_limit IS 'contact limit of the largest tier that the account moves up to by itself; null if there is none';


--
-- Name: COLUMN contacts_tier_account.source_policies; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.source_policies IS 'object that maps source types to what happens when their promotions exceed the contact tier, instead of on_exceed';


--
-- Name: COLUMN contacts_tier_account.proration; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.proration IS 'what a move to a larger tier costs in the current period: prorated, full or none of the difference in price';


--
-- Name: COLUMN contacts_tier_account.brake; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.brake IS 'how many promotions the brake allows in a sliding window, of the account and of source types; null if it has none';


--
-- Name: COLUMN contacts_tier_account.rollover_run; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.rollover_run IS 'run of rollover that processes the account, or will';


--
-- Name: COLUMN contacts_tier_account.rollover_started_at; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.rollover_started_at IS 'when that run started';


--
-- Name: COLUMN contacts_tier_account.rollover_contacts; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_account.rollover_contacts IS 'number of contacts that the run has made non-marketing so far';


--
-- Name: contacts_tier_counter; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.contacts_tier_counter (
    account text NOT NULL,
    slot integer DEFAULT 0 NOT NULL,
    used bigint DEFAULT 0 NOT NULL,
    pending bigint DEFAULT 0 NOT NULL,
    granted bigint,
    promoted bigint DEFAULT 0 NOT NULL,
    demoted bigint DEFAULT 0 NOT NULL,
    corrected bigint DEFAULT 0 NOT NULL,
    peak bigint DEFAULT 0 NOT NULL,
    floor bigint,
    bottom bigint,
    lowest bigint,
    brake bigint,
    braked_at timestamp with time zone,
    entry_started_at timestamp with time zone,
    entry_ended_at timestamp with time zone,
    entry_statements bigint,
    entry_created bigint,
    entry_deleted bigint,
    entry_promoted bigint,
    entry_demoted bigint,
    entry_flagged bigint,
    entry_unflagged bigint,
    entry_dropped bigint,
    entry_role text,
    entry_source_type text,
    entry_source_name text
)
WITH (fillfactor='30', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_scale_factor='0.0', autovacuum_vacuum_cost_delay='0');


ALTER TABLE public.contacts_tier_counter OWNER TO postgres;

--
-- Name: TABLE contacts_tier_counter; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON TABLE public.contacts_tier_counter IS 'contacts_tier: number of marketing contacts of each account; see contacts_tier.usage()';


--
-- Name: COLUMN contacts_tier_counter.account; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.account IS 'account that the contacts belong to';


--
-- Name: COLUMN contacts_tier_counter.slot; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.slot IS 'number of the slot; an account has as many slots as its concurrent writers need, and their sum is its counter';


--
-- Name: COLUMN contacts_tier_counter.used; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.used IS 'number of marketing contacts';


--
-- Name: COLUMN contacts_tier_counter.pending; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.pending IS 'how many of these become non-marketing on the next update date';


--
-- Name: COLUMN contacts_tier_counter.granted; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.granted IS 'number up to which statements can use the slot without reading the tier; null if the next one must compute a new ceiling';


--
-- Name: COLUMN contacts_tier_counter.promoted; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.promoted IS 'number of contacts that became marketing contacts of the account in the current period';


--
-- Name: COLUMN contacts_tier_counter.demoted; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.demoted IS 'number of contacts that ceased to be marketing contacts of the account in the current period';


--
-- Name: COLUMN contacts_tier_counter.corrected; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.corrected IS 'number of marketing contacts that partitions, attach() and repair() added in the current period, minus those that they removed';


--
-- Name: COLUMN contacts_tier_counter.peak; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.peak IS 'highest count of the account in the current period, as recorded before contacts were subtracted';


--
-- Name: COLUMN contacts_tier_counter.floor; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.floor IS 'number of marketing contacts below which the next statement must look at all slots; null for a single slot, or if nothing has been announced';


--
-- Name: COLUMN contacts_tier_counter.bottom; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.bottom IS 'number of marketing contacts of the account below which an announcement has to be made again; null if nothing has been announced';


--
-- Name: COLUMN contacts_tier_counter.lowest; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.lowest IS 'lowest number of marketing contacts of the account below that, as far as the slot has noted it';


--
-- Name: COLUMN contacts_tier_counter.brake; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.brake IS 'number of promotions that statements can make in the slot without counting those of the window of the brake; null if the account has none';


--
-- Name: COLUMN contacts_tier_counter.braked_at; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.braked_at IS 'when that was computed; it holds for statements since then';


--
-- Name: COLUMN contacts_tier_counter.entry_started_at; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.entry_started_at IS 'when the first statement of the open entry of activity ran, which the ledger does not have yet; null if none is open';


--
-- Name: COLUMN contacts_tier_counter.entry_ended_at; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.entry_ended_at IS 'when the last statement of the open entry ran';


--
-- Name: COLUMN contacts_tier_counter.entry_statements; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.entry_statements IS 'number of statements of the open entry';


--
-- Name: COLUMN contacts_tier_counter.entry_created; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.entry_created IS 'number of contacts that they created';


--
-- Name: COLUMN contacts_tier_counter.entry_deleted; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.entry_deleted IS 'number of contacts that they deleted';


--
-- Name: COLUMN contacts_tier_counter.entry_promoted; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.entry_promoted IS 'number of contacts that they made marketing contacts';


--
-- Name: COLUMN contacts_tier_counter.entry_demoted; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.entry_demoted IS 'number of contacts that they made non-marketing contacts, or deleted as marketing contacts';


--
-- Name: COLUMN contacts_tier_counter.entry_flagged; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.entry_flagged IS 'number of contacts that they flagged as non-marketing from the next update date on';


--
-- Name: COLUMN contacts_tier_counter.entry_unflagged; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.entry_unflagged IS 'number of contacts whose flag they cleared';


--
-- Name: COLUMN contacts_tier_counter.entry_dropped; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.entry_dropped IS 'number of contacts that they stored as non-marketing because the tier had no room';


--
-- Name: COLUMN contacts_tier_counter.entry_role; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.entry_role IS 'role that ran the statements of the open entry';


--
-- Name: COLUMN contacts_tier_counter.entry_source_type; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.entry_source_type IS 'source type of the open entry; null if there is none, or several';


--
-- Name: COLUMN contacts_tier_counter.entry_source_name; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_counter.entry_source_name IS 'source name of the open entry; null if there is none, or several';


--
-- Name: contacts_tier_ledger; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.contacts_tier_ledger (
    account text NOT NULL,
    entry uuid DEFAULT contacts_tier_internal.ledger_entry() NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    event text NOT NULL,
    role text NOT NULL,
    contacts bigint NOT NULL,
    details jsonb NOT NULL
);


ALTER TABLE public.contacts_tier_ledger OWNER TO postgres;

--
-- Name: TABLE contacts_tier_ledger; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON TABLE public.contacts_tier_ledger IS 'contacts_tier: history of each account: activity, tier changes, billing periods, notifications';


--
-- Name: COLUMN contacts_tier_ledger.account; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_ledger.account IS 'account that the entry is about';


--
-- Name: COLUMN contacts_tier_ledger.entry; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_ledger.entry IS 'key of the entry, in the order of creation';


--
-- Name: COLUMN contacts_tier_ledger.recorded_at; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_ledger.recorded_at IS 'when it happened';


--
-- Name: COLUMN contacts_tier_ledger.event; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_ledger.event IS 'kind of event, as listed in docs/reference.md';


--
-- Name: COLUMN contacts_tier_ledger.role; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_ledger.role IS 'role that caused it';


--
-- Name: COLUMN contacts_tier_ledger.contacts; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_ledger.contacts IS 'number of contacts that the event is about';


--
-- Name: COLUMN contacts_tier_ledger.details; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.contacts_tier_ledger.details IS 'further properties of the event, as listed in docs/reference.md';


--
-- Name: people; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.people (
    id integer NOT NULL,
    marketing_contact_status contacts_tier.marketing_status DEFAULT contacts_tier_internal.default_status(),
    marketing_contact_until_next_update boolean DEFAULT contacts_tier_internal.default_until_next_update(),
    marketing_contact_status_source_type text DEFAULT contacts_tier_internal.default_source_type(),
    marketing_contact_status_source_name text DEFAULT contacts_tier_internal.default_source_name(),
    marketing_contact_status_updated_at timestamp with time zone DEFAULT contacts_tier_internal.default_updated_at()
);


ALTER TABLE public.people OWNER TO postgres;

--
-- Name: COLUMN people.marketing_contact_status; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.people.marketing_contact_status IS 'whether the contact is a marketing contact, which counts against the contact tier; added by contacts_tier.attach()';


--
-- Name: COLUMN people.marketing_contact_until_next_update; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.people.marketing_contact_until_next_update IS 'true if the marketing contact becomes non-marketing on the next update date, else null; added by contacts_tier.attach()';


--
-- Name: COLUMN people.marketing_contact_status_source_type; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.people.marketing_contact_status_source_type IS 'type of the source that last changed the marketing status of the contact; added by contacts_tier.attach()';


--
-- Name: COLUMN people.marketing_contact_status_source_name; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.people.marketing_contact_status_source_name IS 'name of the source that last changed the marketing status of the contact; added by contacts_tier.attach()';


--
-- Name: COLUMN people.marketing_contact_status_updated_at; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON COLUMN public.people.marketing_contact_status_updated_at IS 'time at which the marketing status of the contact last changed; added by contacts_tier.attach()';


--
-- Name: contacts_2; Type: TABLE ATTACH; Schema: archive; Owner: postgres
--

ALTER TABLE ONLY crm.contacts ATTACH PARTITION archive.contacts_2 FOR VALUES FROM ('10') TO ('20');


--
-- Name: contacts_1; Type: TABLE ATTACH; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.contacts ATTACH PARTITION crm.contacts_1 FOR VALUES FROM ('0') TO ('10');


--
-- Name: contacts_tier_ledger_activity; Type: TABLE ATTACH; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.contacts_tier_ledger ATTACH PARTITION crm.contacts_tier_ledger_activity FOR VALUES IN ('activity');


--
-- Name: contacts_tier_ledger_activity_2024_01; Type: TABLE ATTACH; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.contacts_tier_ledger_activity ATTACH PARTITION crm.contacts_tier_ledger_activity_2024_01 FOR VALUES FROM ('2024-01-01 00:00:00+00') TO ('2024-02-01 00:00:00+00');


--
-- Name: contacts_tier_ledger_activity_2024_02; Type: TABLE ATTACH; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.contacts_tier_ledger_activity ATTACH PARTITION crm.contacts_tier_ledger_activity_2024_02 FOR VALUES FROM ('2024-02-01 00:00:00+00') TO ('2024-03-01 00:00:00+00');


--
-- Name: contacts_tier_ledger_activity_other; Type: TABLE ATTACH; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.contacts_tier_ledger_activity ATTACH PARTITION crm.contacts_tier_ledger_activity_other DEFAULT;


--
-- Name: contacts_tier_ledger_events; Type: TABLE ATTACH; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.contacts_tier_ledger ATTACH PARTITION crm.contacts_tier_ledger_events DEFAULT;


--
-- Data for Name: Kunden, 'alle'; Type: TABLE DATA; Schema: My "own" schema; Owner: Owner of "contacts"
--

COPY "My ""own"" schema"."Kunden, 'alle'" ("The ID", "Konto ""Nr.""", "Status'", name, "bis, dann ""weg""", "Quelle\Art", "Quelle", "Am") FROM stdin;
945504ae-c1f8-4cb5-ba86-8149574eb1d5	a	marketing	before	\N	\N	\N	\N
cbc13f74-a873-4018-9ece-7b46e134f42e	b\\c	non_marketing	before	\N	\N	\N	\N
8d2afe21-a2cc-470c-81d6-acb3e4058c2a	a	marketing	tab\t1	\N	WEBINAR	postgres	2024-01-15 12:00:00+00
526c6ddf-f7cf-4191-8ae8-c89f69347363	a	marketing	tab\t2	\N	WEBINAR	postgres	2024-01-15 12:00:00+00
811079b2-7998-4c1c-b281-4afa8517f32e	a	marketing	tab\t3	\N	WEBINAR	postgres	2024-01-15 12:00:00+00
319d88c3-06ed-4e9d-9720-2b19bc8b94ad	b\\c	marketing	tab\t1	\N	WEBINAR	postgres	2024-01-15 12:00:00+00
729139c1-674a-41b9-98bb-4507adf30434	b\\c	marketing	tab\t2	\N	WEBINAR	postgres	2024-01-15 12:00:00+00
4d4c0948-1aae-4b74-90dc-14d9ff36f981	b\\c	marketing	tab\t3	\N	WEBINAR	postgres	2024-01-15 12:00:00+00
\.


--
-- Data for Name: contacts_tier_account; Type: TABLE DATA; Schema: My "own" schema; Owner: Owner of "contacts"
--

COPY "My ""own"" schema".contacts_tier_account (account, plan, contact_limit, billing_cycle, on_exceed, grace, thresholds, announced, exceeded_announced, source_defaults, time_zone, started_at, anchor, period_started_at, next_update_at, renews_at, renewal_limit, renewal_cycle, auto_downgrade, cancelled, ended_at, period_limit, period_price, period_opening, period_upgrades, requested_limit, record_activity, max_limit, source_policies, proration, brake, rollover_run, rollover_started_at, rollover_contacts) FROM stdin;
b\\c	It's a "plan"	5	annual	block	3	{75,90,98,100}	0	f	{}	Pacific/Apia	2023-12-30 20:00:00+00	2023-12-31	2023-12-31 11:00:00+00	2024-01-31 11:00:00+00	2024-12-30 11:00:00+00	\N	\N	f	f	\N	5	2.5	0	0	\N	t	\N	{}	prorated	\N	\N	\N	0
a	It's a "plan"	5	annual	block	3	{10,50}	50	f	{"FORM": "non_marketing"}	Pacific/Apia	2023-12-30 20:00:00+00	2023-12-31	2023-12-31 11:00:00+00	2024-01-31 11:00:00+00	2024-12-30 11:00:00+00	\N	\N	f	f	\N	5	2.5	1	0	\N	t	\N	{}	prorated	\N	\N	\N	0
\.


--
-- Data for Name: contacts_tier_counter; Type: TABLE DATA; Schema: My "own" schema; Owner: Owner of "contacts"
--

COPY "My ""own"" schema".contacts_tier_counter (account, slot, used, pending, granted, promoted, demoted, corrected, peak, floor, bottom, lowest, brake, braked_at, entry_started_at, entry_ended_at, entry_statements, entry_created, entry_deleted, entry_promoted, entry_demoted, entry_flagged, entry_unflagged, entry_dropped, entry_role, entry_source_type, entry_source_name) FROM stdin;
a	0	4	0	5	3	0	0	0	\N	3	\N	\N	\N	2024-01-15 12:00:00+00	2024-01-15 12:00:00+00	1	3	0	3	0	0	0	0	postgres	WEBINAR	postgres
b\\c	0	3	0	3	3	0	0	0	\N	\N	\N	\N	\N	2024-01-15 12:00:00+00	2024-01-15 12:00:00+00	1	3	0	3	0	0	0	0	postgres	WEBINAR	postgres
\.


--
-- Data for Name: contacts_tier_ledger; Type: TABLE DATA; Schema: My "own" schema; Owner: Owner of "contacts"
--

COPY "My ""own"" schema".contacts_tier_ledger (account, entry, recorded_at, event, role, contacts, details) FROM stdin;
a	01a21e68-ba4b-76f1-b13d-fd3e85f74d5c	2024-01-15 12:00:00+00	subscribe	postgres	0	{"plan": "It's a \\"plan\\"", "contact_limit": 5}
b\\c	01a21e68-ba4f-7b1a-8d04-4c54a43266fc	2024-01-15 12:00:00+00	subscribe	postgres	0	{"plan": "It's a \\"plan\\"", "contact_limit": 5}
a	01a21e68-ba54-7c7e-a054-5d9848efd3d8	2024-01-15 12:00:00+00	policy	postgres	0	{"thresholds": [10, 50], "source_defaults": {"FORM": "non_marketing"}}
a	01a21e68-ba55-7e1c-96ab-922e3c42cbfe	2024-01-15 12:00:00+00	threshold	postgres	4	{"threshold": 10, "contact_limit": 5}
a	01a21e68-ba55-7e9b-9f45-eff3dd4f2534	2024-01-15 12:00:00+00	threshold	postgres	4	{"threshold": 50, "contact_limit": 5}
\.


--
-- Data for Name: contacts_tier_account; Type: TABLE DATA; Schema: The tiers'; Owner: postgres
--

COPY "The tiers'".contacts_tier_account (account, plan, contact_limit, billing_cycle, on_exceed, grace, thresholds, announced, exceeded_announced, source_defaults, time_zone, started_at, anchor, period_started_at, next_update_at, renews_at, renewal_limit, renewal_cycle, auto_downgrade, cancelled, ended_at, period_limit, period_price, period_opening, period_upgrades, requested_limit, record_activity, max_limit, source_policies, proration, brake, rollover_run, rollover_started_at, rollover_contacts) FROM stdin;
\.


--
-- Data for Name: contacts_tier_counter; Type: TABLE DATA; Schema: The tiers'; Owner: postgres
--

COPY "The tiers'".contacts_tier_counter (account, slot, used, pending, granted, promoted, demoted, corrected, peak, floor, bottom, lowest, brake, braked_at, entry_started_at, entry_ended_at, entry_statements, entry_created, entry_deleted, entry_promoted, entry_demoted, entry_flagged, entry_unflagged, entry_dropped, entry_role, entry_source_type, entry_source_name) FROM stdin;
\.


--
-- Data for Name: contacts_tier_ledger; Type: TABLE DATA; Schema: The tiers'; Owner: postgres
--

COPY "The tiers'".contacts_tier_ledger (account, entry, recorded_at, event, role, contacts, details) FROM stdin;
\.


--
-- Data for Name: contacts_2; Type: TABLE DATA; Schema: archive; Owner: postgres
--

COPY archive.contacts_2 (tenant, id, marketing_contact_status, marketing_contact_until_next_update, marketing_contact_status_source_type, marketing_contact_status_source_name, marketing_contact_status_updated_at) FROM stdin;
11	100	marketing	\N	USER	postgres	2024-01-15 12:00:00+00
11	2	marketing	\N	FORM	postgres	2024-01-15 12:00:00+00
11	3	marketing	\N	FORM	postgres	2024-01-15 12:00:00+00
12	2	non_marketing	\N	FORM	postgres	2024-01-15 12:00:00+00
12	3	non_marketing	\N	FORM	postgres	2024-01-15 12:00:00+00
11	1	marketing	t	FORM	postgres	2024-01-15 12:00:00+00
12	1	non_marketing	\N	FORM	postgres	2024-01-15 12:00:00+00
\.


--
-- Data for Name: plan; Type: TABLE DATA; Schema: contacts_tier; Owner: postgres
--

COPY contacts_tier.plan (name, currency, marketing_contacts) FROM stdin;
It's a "plan"	EUR	t
legacy	USD	f
\.


--
-- Data for Name: source_type; Type: TABLE DATA; Schema: contacts_tier; Owner: postgres
--

COPY contacts_tier.source_type (name, default_status, changeable, seeded) FROM stdin;
WEBINAR	marketing	t	f
O'Hara "x"	non_marketing	f	f
\.


--
-- Data for Name: tier; Type: TABLE DATA; Schema: contacts_tier; Owner: postgres
--

COPY contacts_tier.tier (plan, contact_limit, monthly_price) FROM stdin;
It's a "plan"	2	1.5
It's a "plan"	5	2.5
It's a "plan"	10	3
\.


--
-- Data for Name: tool; Type: TABLE DATA; Schema: contacts_tier; Owner: postgres
--

COPY contacts_tier.tool (name, needs_marketing_contact, seeded) FROM stdin;
fax	t	f
pigeon	f	f
\.


--
-- Data for Name: contacts_1; Type: TABLE DATA; Schema: crm; Owner: postgres
--

COPY crm.contacts_1 (id, tenant, marketing_contact_status, marketing_contact_until_next_update, marketing_contact_status_source_type, marketing_contact_status_source_name, marketing_contact_status_updated_at) FROM stdin;
2	1	marketing	\N	FORM	postgres	2024-01-15 12:00:00+00
3	1	marketing	\N	FORM	postgres	2024-01-15 12:00:00+00
1	1	marketing	t	FORM	postgres	2024-01-15 12:00:00+00
\.


--
-- Data for Name: contacts_tier_account; Type: TABLE DATA; Schema: crm; Owner: postgres
--

COPY crm.contacts_tier_account (account, plan, contact_limit, billing_cycle, on_exceed, grace, thresholds, announced, exceeded_announced, source_defaults, time_zone, started_at, anchor, period_started_at, next_update_at, renews_at, renewal_limit, renewal_cycle, auto_downgrade, cancelled, ended_at, period_limit, period_price, period_opening, period_upgrades, requested_limit, record_activity, max_limit, source_policies, proration, brake, rollover_run, rollover_started_at, rollover_contacts) FROM stdin;
12	legacy	0	monthly	upgrade	0	{75,90,98,100}	0	f	{}	UTC	2024-01-15 12:00:00+00	2024-01-15	2024-01-15 12:00:00+00	2024-02-15 00:00:00+00	2024-02-15 00:00:00+00	\N	\N	f	f	\N	0	\N	0	0	\N	t	\N	{}	prorated	\N	\N	\N	0
1	It's a "plan"	5	monthly	upgrade	0	{75,90,98,100}	100	f	{}	UTC	2024-01-15 12:00:00+00	2024-01-15	2024-01-15 12:00:00+00	2024-02-15 00:00:00+00	2024-02-15 00:00:00+00	\N	\N	f	f	\N	2	1.5	0	1	\N	t	\N	{}	prorated	\N	\N	\N	0
11	It's a "plan"	5	monthly	upgrade	0	{75,90,98,100}	100	f	{}	UTC	2024-01-15 12:00:00+00	2024-01-15	2024-01-15 12:00:00+00	2024-02-15 00:00:00+00	2024-02-15 00:00:00+00	\N	\N	f	f	\N	2	1.5	0	1	\N	t	\N	{}	prorated	\N	\N	\N	0
\.


--
-- Data for Name: contacts_tier_counter; Type: TABLE DATA; Schema: crm; Owner: postgres
--

COPY crm.contacts_tier_counter (account, slot, used, pending, granted, promoted, demoted, corrected, peak, floor, bottom, lowest, brake, braked_at, entry_started_at, entry_ended_at, entry_statements, entry_created, entry_deleted, entry_promoted, entry_demoted, entry_flagged, entry_unflagged, entry_dropped, entry_role, entry_source_type, entry_source_name) FROM stdin;
12	0	0	0	\N	0	0	0	0	\N	9223372036854775807	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N	\N
1	0	5	1	5	5	0	0	0	\N	5	\N	\N	\N	2024-01-15 12:00:00+00	2024-01-15 12:00:00+00	3	5	0	5	0	1	0	0	postgres	FORM	postgres
11	0	5	1	5	5	0	0	0	\N	5	\N	\N	\N	2024-01-15 12:00:00+00	2024-01-15 12:00:00+00	3	5	0	5	0	1	0	0	postgres	FORM	postgres
\.


--
-- Data for Name: contacts_tier_ledger_activity_2024_01; Type: TABLE DATA; Schema: crm; Owner: postgres
--

COPY crm.contacts_tier_ledger_activity_2024_01 (account, entry, recorded_at, event, role, contacts, details) FROM stdin;
12	01a21e68-ba88-7aa7-8dcc-d8fbcc3344d6	2024-01-15 12:00:00+00	activity	postgres	0	{"created": 5, "ended_at": "2024-01-15T12:00:00+00:00", "statements": 2, "source_name": "postgres", "source_type": "FORM"}
\.


--
-- Data for Name: contacts_tier_ledger_activity_2024_02; Type: TABLE DATA; Schema: crm; Owner: postgres
--

COPY crm.contacts_tier_ledger_activity_2024_02 (account, entry, recorded_at, event, role, contacts, details) FROM stdin;
\.


--
-- Data for Name: contacts_tier_ledger_activity_other; Type: TABLE DATA; Schema: crm; Owner: postgres
--

COPY crm.contacts_tier_ledger_activity_other (account, entry, recorded_at, event, role, contacts, details) FROM stdin;
\.


--
-- Data for Name: contacts_tier_ledger_events; Type: TABLE DATA; Schema: crm; Owner: postgres
--

COPY crm.contacts_tier_ledger_events (account, entry, recorded_at, event, role, contacts, details) FROM stdin;
1	01a21e68-ba70-7be3-8b0f-e6863bf03d30	2024-01-15 12:00:00+00	subscribe	postgres	0	{"plan": "It's a \\"plan\\"", "contact_limit": 2}
11	01a21e68-ba74-7753-ba48-500d5806bbf1	2024-01-15 12:00:00+00	subscribe	postgres	0	{"plan": "It's a \\"plan\\"", "contact_limit": 2}
12	01a21e68-ba7f-7b02-9c66-1ce41024d15c	2024-01-15 12:00:00+00	subscribe	postgres	0	{"plan": "legacy", "contact_limit": 0}
1	01a21e68-ba83-76f5-8394-aca3bd5c1aa5	2024-01-15 12:00:00+00	tier_change	postgres	3	{"to": 5, "from": 2, "plan": "It's a \\"plan\\"", "charge": 1.00, "reason": "exceeded", "currency": "EUR", "to_price": 2.5, "proration": "prorated", "from_price": 1.5, "month_share": 1, "period_fraction": 1.000000}
11	01a21e68-ba88-769b-8188-56c27c6234a5	2024-01-15 12:00:00+00	tier_change	postgres	3	{"to": 5, "from": 2, "plan": "It's a \\"plan\\"", "charge": 1.00, "reason": "exceeded", "currency": "EUR", "to_price": 2.5, "proration": "prorated", "from_price": 1.5, "month_share": 1, "period_fraction": 1.000000}
1	01a21e68-ba89-7722-b23b-6d913f07f815	2024-01-15 12:00:00+00	threshold	postgres	5	{"threshold": 75, "contact_limit": 5}
1	01a21e68-ba89-7795-93f4-ec033e3e4480	2024-01-15 12:00:00+00	threshold	postgres	5	{"threshold": 90, "contact_limit": 5}
1	01a21e68-ba89-77df-87b7-062188f4c507	2024-01-15 12:00:00+00	threshold	postgres	5	{"threshold": 98, "contact_limit": 5}
1	01a21e68-ba89-7810-8906-b708c45d1918	2024-01-15 12:00:00+00	threshold	postgres	5	{"threshold": 100, "contact_limit": 5}
11	01a21e68-ba89-7bd2-8391-945a75ba5cbc	2024-01-15 12:00:00+00	threshold	postgres	5	{"threshold": 75, "contact_limit": 5}
11	01a21e68-ba89-7c24-a105-35e4f8ada1b6	2024-01-15 12:00:00+00	threshold	postgres	5	{"threshold": 90, "contact_limit": 5}
11	01a21e68-ba89-7c56-a168-284a64cc34e2	2024-01-15 12:00:00+00	threshold	postgres	5	{"threshold": 98, "contact_limit": 5}
11	01a21e68-ba89-7c7a-8ddb-e0ca5a776270	2024-01-15 12:00:00+00	threshold	postgres	5	{"threshold": 100, "contact_limit": 5}
\.


--
-- Data for Name: leads; Type: TABLE DATA; Schema: crm; Owner: postgres
--

COPY crm.leads (id, tenant, marketing_contact_status, marketing_contact_until_next_update, marketing_contact_status_source_type, marketing_contact_status_source_name, marketing_contact_status_updated_at) FROM stdin;
11	1	marketing	\N	FORM	postgres	2024-01-15 12:00:00+00
111	11	marketing	\N	FORM	postgres	2024-01-15 12:00:00+00
121	12	non_marketing	\N	FORM	postgres	2024-01-15 12:00:00+00
12	1	marketing	\N	FORM	postgres	2024-01-15 12:00:00+00
112	11	marketing	\N	FORM	postgres	2024-01-15 12:00:00+00
122	12	non_marketing	\N	FORM	postgres	2024-01-15 12:00:00+00
\.


--
-- Data for Name: saved; Type: TABLE DATA; Schema: crm; Owner: postgres
--

COPY crm.saved (id, tenant, marketing_contact_status_source_name, marketing_contact_status, marketing_contact_until_next_update, marketing_contact_status_source_type, marketing_contact_status_updated_at) FROM stdin;
\.


--
-- Data for Name: contacts_tier_account; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.contacts_tier_account (account, plan, contact_limit, billing_cycle, on_exceed, grace, thresholds, announced, exceeded_announced, source_defaults, time_zone, started_at, anchor, period_started_at, next_update_at, renews_at, renewal_limit, renewal_cycle, auto_downgrade, cancelled, ended_at, period_limit, period_price, period_opening, period_upgrades, requested_limit, record_activity, max_limit, source_policies, proration, brake, rollover_run, rollover_started_at, rollover_contacts) FROM stdin;
default	It's a "plan"	5	monthly	upgrade	0	{75,90,98,100}	0	f	{}	UTC	2024-01-10 00:00:00+00	2024-01-10	2024-01-10 00:00:00+00	2024-02-10 00:00:00+00	2024-02-10 00:00:00+00	\N	\N	f	f	\N	2	1.5	0	1	\N	t	\N	{}	prorated	\N	\N	\N	0
\.


--
-- Data for Name: contacts_tier_counter; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.contacts_tier_counter (account, slot, used, pending, granted, promoted, demoted, corrected, peak, floor, bottom, lowest, brake, braked_at, entry_started_at, entry_ended_at, entry_statements, entry_created, entry_deleted, entry_promoted, entry_demoted, entry_flagged, entry_unflagged, entry_dropped, entry_role, entry_source_type, entry_source_name) FROM stdin;
default	0	3	1	3	3	0	0	0	\N	\N	\N	\N	\N	2024-01-15 12:00:00+00	2024-01-15 12:00:00+00	2	4	0	3	0	1	0	0	postgres	USER	postgres
\.


--
-- Data for Name: contacts_tier_ledger; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.contacts_tier_ledger (account, entry, recorded_at, event, role, contacts, details) FROM stdin;
default	01a21e68-ba32-706a-93fe-8a380b7312d1	2024-01-15 12:00:00+00	subscribe	postgres	0	{"plan": "It's a \\"plan\\"", "contact_limit": 2}
default	01a21e68-ba33-7ffb-9c7a-e8ebee9f990d	2024-01-15 12:00:00+00	tier_change	postgres	3	{"to": 5, "from": 2, "plan": "It's a \\"plan\\"", "charge": 0.82, "reason": "exceeded", "currency": "EUR", "to_price": 2.5, "proration": "prorated", "from_price": 1.5, "month_share": 1, "period_fraction": 0.822581}
\.


--
-- Data for Name: people; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.people (id, marketing_contact_status, marketing_contact_until_next_update, marketing_contact_status_source_type, marketing_contact_status_source_name, marketing_contact_status_updated_at) FROM stdin;
2	marketing	\N	USER	postgres	2024-01-15 12:00:00+00
3	marketing	\N	USER	postgres	2024-01-15 12:00:00+00
4	non_marketing	\N	USER	postgres	2024-01-15 12:00:00+00
1	marketing	t	USER	postgres	2024-01-15 12:00:00+00
\.


--
-- Name: Kunden, 'alle' Kunden, 'alle'_pkey; Type: CONSTRAINT; Schema: My "own" schema; Owner: Owner of "contacts"
--

ALTER TABLE ONLY "My ""own"" schema"."Kunden, 'alle'"
    ADD CONSTRAINT "Kunden, 'alle'_pkey" PRIMARY KEY ("The ID");


--
-- Name: contacts_tier_account contacts_tier_account_pkey; Type: CONSTRAINT; Schema: My "own" schema; Owner: Owner of "contacts"
--

ALTER TABLE ONLY "My ""own"" schema".contacts_tier_account
    ADD CONSTRAINT contacts_tier_account_pkey PRIMARY KEY (account);


--
-- Name: contacts_tier_counter contacts_tier_counter_pkey; Type: CONSTRAINT; Schema: My "own" schema; Owner: Owner of "contacts"
--

ALTER TABLE ONLY "My ""own"" schema".contacts_tier_counter
    ADD CONSTRAINT contacts_tier_counter_pkey PRIMARY KEY (account, slot) WITH (deduplicate_items=off);


--
-- Name: contacts_tier_ledger contacts_tier_ledger_pkey; Type: CONSTRAINT; Schema: My "own" schema; Owner: Owner of "contacts"
--

ALTER TABLE ONLY "My ""own"" schema".contacts_tier_ledger
    ADD CONSTRAINT contacts_tier_ledger_pkey PRIMARY KEY (account, entry);


--
-- Name: contacts_tier_account contacts_tier_account_pkey; Type: CONSTRAINT; Schema: The tiers'; Owner: postgres
--

ALTER TABLE ONLY "The tiers'".contacts_tier_account
    ADD CONSTRAINT contacts_tier_account_pkey PRIMARY KEY (account);


--
-- Name: contacts_tier_counter contacts_tier_counter_pkey; Type: CONSTRAINT; Schema: The tiers'; Owner: postgres
--

ALTER TABLE ONLY "The tiers'".contacts_tier_counter
    ADD CONSTRAINT contacts_tier_counter_pkey PRIMARY KEY (account, slot) WITH (deduplicate_items=off);


--
-- Name: contacts_tier_ledger contacts_tier_ledger_pkey; Type: CONSTRAINT; Schema: The tiers'; Owner: postgres
--

ALTER TABLE ONLY "The tiers'".contacts_tier_ledger
    ADD CONSTRAINT contacts_tier_ledger_pkey PRIMARY KEY (account, entry);


--
-- Name: contacts contacts_pkey; Type: CONSTRAINT; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.contacts
    ADD CONSTRAINT contacts_pkey PRIMARY KEY (id, tenant);


--
-- Name: contacts_2 contacts_2_pkey; Type: CONSTRAINT; Schema: archive; Owner: postgres
--

ALTER TABLE ONLY archive.contacts_2
    ADD CONSTRAINT contacts_2_pkey PRIMARY KEY (id, tenant);


--
-- Name: contacts_1 contacts_1_pkey; Type: CONSTRAINT; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.contacts_1
    ADD CONSTRAINT contacts_1_pkey PRIMARY KEY (id, tenant);


--
-- Name: contacts_tier_account contacts_tier_account_pkey; Type: CONSTRAINT; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.contacts_tier_account
    ADD CONSTRAINT contacts_tier_account_pkey PRIMARY KEY (account);


--
-- Name: contacts_tier_counter contacts_tier_counter_pkey; Type: CONSTRAINT; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.contacts_tier_counter
    ADD CONSTRAINT contacts_tier_counter_pkey PRIMARY KEY (account, slot) WITH (deduplicate_items=off);


--
-- Name: contacts_tier_ledger contacts_tier_ledger_pkey; Type: CONSTRAINT; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.contacts_tier_ledger
    ADD CONSTRAINT contacts_tier_ledger_pkey PRIMARY KEY (account, entry, event, recorded_at);


--
-- Name: contacts_tier_ledger_activity contacts_tier_ledger_activity_pkey; Type: CONSTRAINT; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.contacts_tier_ledger_activity
    ADD CONSTRAINT contacts_tier_ledger_activity_pkey PRIMARY KEY (account, entry, event, recorded_at);


--
-- Name: contacts_tier_ledger_activity_2024_01 contacts_tier_ledger_activity_2024_01_pkey; Type: CONSTRAINT; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.contacts_tier_ledger_activity_2024_01
    ADD CONSTRAINT contacts_tier_ledger_activity_2024_01_pkey PRIMARY KEY (account, entry, event, recorded_at);


--
-- Name: contacts_tier_ledger_activity_2024_02 contacts_tier_ledger_activity_2024_02_pkey; Type: CONSTRAINT; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.contacts_tier_ledger_activity_2024_02
    ADD CONSTRAINT contacts_tier_ledger_activity_2024_02_pkey PRIMARY KEY (account, entry, event, recorded_at);


--
-- Name: contacts_tier_ledger_activity_other contacts_tier_ledger_activity_other_pkey; Type: CONSTRAINT; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.contacts_tier_ledger_activity_other
    ADD CONSTRAINT contacts_tier_ledger_activity_other_pkey PRIMARY KEY (account, entry, event, recorded_at);


--
-- Name: contacts_tier_ledger_events contacts_tier_ledger_events_pkey; Type: CONSTRAINT; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.contacts_tier_ledger_events
    ADD CONSTRAINT contacts_tier_ledger_events_pkey PRIMARY KEY (account, entry, event, recorded_at);


--
-- Name: leads leads_pkey; Type: CONSTRAINT; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.leads
    ADD CONSTRAINT leads_pkey PRIMARY KEY (id);


--
-- Name: saved saved_pkey; Type: CONSTRAINT; Schema: crm; Owner: postgres
--

ALTER TABLE ONLY crm.saved
    ADD CONSTRAINT saved_pkey PRIMARY KEY (id);


--
-- Name: contacts_tier_account contacts_tier_account_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contacts_tier_account
    ADD CONSTRAINT contacts_tier_account_pkey PRIMARY KEY (account);


--
-- Name: contacts_tier_counter contacts_tier_counter_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contacts_tier_counter
    ADD CONSTRAINT contacts_tier_counter_pkey PRIMARY KEY (account, slot) WITH (deduplicate_items=off);


--
-- Name: contacts_tier_ledger contacts_tier_ledger_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contacts_tier_ledger
    ADD CONSTRAINT contacts_tier_ledger_pkey PRIMARY KEY (account, entry);


--
-- Name: people people_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.people
    ADD CONSTRAINT people_pkey PRIMARY KEY (id);


--
-- Name: Kunden, 'alle'_contacts_tier_pending; Type: INDEX; Schema: My "own" schema; Owner: Owner of "contacts"
--

CREATE INDEX "Kunden, 'alle'_contacts_tier_pending" ON "My ""own"" schema"."Kunden, 'alle'" USING btree ("Konto ""Nr.""", "The ID") WHERE ("bis, dann ""weg""" AND contacts_tier_internal.library_loaded());


--
-- Name: INDEX "Kunden, 'alle'_contacts_tier_pending"; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON INDEX "My ""own"" schema"."Kunden, 'alle'_contacts_tier_pending" IS 'finds contacts that become non-marketing on the next update date; created by contacts_tier.attach()';


--
-- Name: contacts_tier_account_next_update_at_idx; Type: INDEX; Schema: My "own" schema; Owner: Owner of "contacts"
--

CREATE INDEX contacts_tier_account_next_update_at_idx ON "My ""own"" schema".contacts_tier_account USING btree (next_update_at);


--
-- Name: contacts_tier_account_rollover_run_idx; Type: INDEX; Schema: My "own" schema; Owner: Owner of "contacts"
--

CREATE INDEX contacts_tier_account_rollover_run_idx ON "My ""own"" schema".contacts_tier_account USING btree (rollover_run) WHERE (rollover_run IS NOT NULL);


--
-- Name: contacts_tier_ledger_drift_idx; Type: INDEX; Schema: My "own" schema; Owner: Owner of "contacts"
--

CREATE INDEX contacts_tier_ledger_drift_idx ON "My ""own"" schema".contacts_tier_ledger USING btree (entry) WHERE (event = ANY (ARRAY['verify'::text, 'repair'::text]));


--
-- Name: contacts_tier_ledger_recorded_at_idx; Type: INDEX; Schema: My "own" schema; Owner: Owner of "contacts"
--

CREATE INDEX contacts_tier_ledger_recorded_at_idx ON "My ""own"" schema".contacts_tier_ledger USING btree (account, recorded_at);


--
-- Name: contacts_tier_ledger_rollover_run_idx; Type: INDEX; Schema: My "own" schema; Owner: Owner of "contacts"
--

CREATE INDEX contacts_tier_ledger_rollover_run_idx ON "My ""own"" schema".contacts_tier_ledger USING btree (entry) WHERE (event = 'rollover_run'::text);


--
-- Name: contacts_tier_account_next_update_at_idx; Type: INDEX; Schema: The tiers'; Owner: postgres
--

CREATE INDEX contacts_tier_account_next_update_at_idx ON "The tiers'".contacts_tier_account USING btree (next_update_at);


--
-- Name: contacts_tier_account_rollover_run_idx; Type: INDEX; Schema: The tiers'; Owner: postgres
--

CREATE INDEX contacts_tier_account_rollover_run_idx ON "The tiers'".contacts_tier_account USING btree (rollover_run) WHERE (rollover_run IS NOT NULL);


--
-- Name: contacts_tier_ledger_drift_idx; Type: INDEX; Schema: The tiers'; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_drift_idx ON "The tiers'".contacts_tier_ledger USING btree (entry) WHERE (event = ANY (ARRAY['verify'::text, 'repair'::text]));


--
-- Name: contacts_tier_ledger_recorded_at_idx; Type: INDEX; Schema: The tiers'; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_recorded_at_idx ON "The tiers'".contacts_tier_ledger USING btree (account, recorded_at);


--
-- Name: contacts_tier_ledger_rollover_run_idx; Type: INDEX; Schema: The tiers'; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_rollover_run_idx ON "The tiers'".contacts_tier_ledger USING btree (entry) WHERE (event = 'rollover_run'::text);


--
-- Name: contacts_contacts_tier_pending; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_contacts_tier_pending ON ONLY crm.contacts USING btree (tenant, id) WHERE (marketing_contact_until_next_update AND contacts_tier_internal.library_loaded());


--
-- Name: INDEX contacts_contacts_tier_pending; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON INDEX crm.contacts_contacts_tier_pending IS 'finds contacts that become non-marketing on the next update date; created by contacts_tier.attach()';


--
-- Name: contacts_2_tenant_id_idx; Type: INDEX; Schema: archive; Owner: postgres
--

CREATE INDEX contacts_2_tenant_id_idx ON archive.contacts_2 USING btree (tenant, id) WHERE (marketing_contact_until_next_update AND contacts_tier_internal.library_loaded());


--
-- Name: contacts_1_tenant_id_idx; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_1_tenant_id_idx ON crm.contacts_1 USING btree (tenant, id) WHERE (marketing_contact_until_next_update AND contacts_tier_internal.library_loaded());


--
-- Name: contacts_tier_account_next_update_at_idx; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_account_next_update_at_idx ON crm.contacts_tier_account USING btree (next_update_at);


--
-- Name: contacts_tier_account_rollover_run_idx; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_account_rollover_run_idx ON crm.contacts_tier_account USING btree (rollover_run) WHERE (rollover_run IS NOT NULL);


--
-- Name: contacts_tier_ledger_recorded_at_idx; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_recorded_at_idx ON ONLY crm.contacts_tier_ledger USING btree (account, recorded_at);


--
-- Name: contacts_tier_ledger_activity_account_recorded_at_idx; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_activity_account_recorded_at_idx ON ONLY crm.contacts_tier_ledger_activity USING btree (account, recorded_at);


--
-- Name: contacts_tier_ledger_activity_2024_01_account_recorded_at_idx; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_activity_2024_01_account_recorded_at_idx ON crm.contacts_tier_ledger_activity_2024_01 USING btree (account, recorded_at);


--
-- Name: contacts_tier_ledger_drift_idx; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_drift_idx ON ONLY crm.contacts_tier_ledger USING btree (entry) WHERE (event = ANY (ARRAY['verify'::text, 'repair'::text]));


--
-- Name: contacts_tier_ledger_activity_entry_idx; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_activity_entry_idx ON ONLY crm.contacts_tier_ledger_activity USING btree (entry) WHERE (event = ANY (ARRAY['verify'::text, 'repair'::text]));


--
-- Name: contacts_tier_ledger_activity_2024_01_entry_idx; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_activity_2024_01_entry_idx ON crm.contacts_tier_ledger_activity_2024_01 USING btree (entry) WHERE (event = ANY (ARRAY['verify'::text, 'repair'::text]));


--
-- Name: contacts_tier_ledger_rollover_run_idx; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_rollover_run_idx ON ONLY crm.contacts_tier_ledger USING btree (entry) WHERE (event = 'rollover_run'::text);


--
-- Name: contacts_tier_ledger_activity_entry_idx1; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_activity_entry_idx1 ON ONLY crm.contacts_tier_ledger_activity USING btree (entry) WHERE (event = 'rollover_run'::text);


--
-- Name: contacts_tier_ledger_activity_2024_01_entry_idx1; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_activity_2024_01_entry_idx1 ON crm.contacts_tier_ledger_activity_2024_01 USING btree (entry) WHERE (event = 'rollover_run'::text);


--
-- Name: contacts_tier_ledger_activity_2024_02_account_recorded_at_idx; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_activity_2024_02_account_recorded_at_idx ON crm.contacts_tier_ledger_activity_2024_02 USING btree (account, recorded_at);


--
-- Name: contacts_tier_ledger_activity_2024_02_entry_idx; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_activity_2024_02_entry_idx ON crm.contacts_tier_ledger_activity_2024_02 USING btree (entry) WHERE (event = ANY (ARRAY['verify'::text, 'repair'::text]));


--
-- Name: contacts_tier_ledger_activity_2024_02_entry_idx1; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_activity_2024_02_entry_idx1 ON crm.contacts_tier_ledger_activity_2024_02 USING btree (entry) WHERE (event = 'rollover_run'::text);


--
-- Name: contacts_tier_ledger_activity_other_account_recorded_at_idx; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_activity_other_account_recorded_at_idx ON crm.contacts_tier_ledger_activity_other USING btree (account, recorded_at);


--
-- Name: contacts_tier_ledger_activity_other_entry_idx; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_activity_other_entry_idx ON crm.contacts_tier_ledger_activity_other USING btree (entry) WHERE (event = ANY (ARRAY['verify'::text, 'repair'::text]));


--
-- Name: contacts_tier_ledger_activity_other_entry_idx1; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_activity_other_entry_idx1 ON crm.contacts_tier_ledger_activity_other USING btree (entry) WHERE (event = 'rollover_run'::text);


--
-- Name: contacts_tier_ledger_events_account_recorded_at_idx; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_events_account_recorded_at_idx ON crm.contacts_tier_ledger_events USING btree (account, recorded_at);


--
-- Name: contacts_tier_ledger_events_entry_idx; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_events_entry_idx ON crm.contacts_tier_ledger_events USING btree (entry) WHERE (event = ANY (ARRAY['verify'::text, 'repair'::text]));


--
-- Name: contacts_tier_ledger_events_entry_idx1; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_events_entry_idx1 ON crm.contacts_tier_ledger_events USING btree (entry) WHERE (event = 'rollover_run'::text);


--
-- Name: leads_contacts_tier_pending; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX leads_contacts_tier_pending ON crm.leads USING btree (tenant, id) WHERE (marketing_contact_until_next_update AND contacts_tier_internal.library_loaded());


--
-- Name: INDEX leads_contacts_tier_pending; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON INDEX crm.leads_contacts_tier_pending IS 'finds contacts that become non-marketing on the next update date; created by contacts_tier.attach()';


--
-- Name: saved_contacts_tier_pending; Type: INDEX; Schema: crm; Owner: postgres
--

CREATE INDEX saved_contacts_tier_pending ON crm.saved USING btree (tenant, id) WHERE (marketing_contact_until_next_update AND contacts_tier_internal.library_loaded());


--
-- Name: INDEX saved_contacts_tier_pending; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON INDEX crm.saved_contacts_tier_pending IS 'finds contacts that become non-marketing on the next update date; created by contacts_tier.attach()';


--
-- Name: contacts_tier_account_next_update_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contacts_tier_account_next_update_at_idx ON public.contacts_tier_account USING btree (next_update_at);


--
-- Name: contacts_tier_account_rollover_run_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contacts_tier_account_rollover_run_idx ON public.contacts_tier_account USING btree (rollover_run) WHERE (rollover_run IS NOT NULL);


--
-- Name: contacts_tier_ledger_drift_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_drift_idx ON public.contacts_tier_ledger USING btree (entry) WHERE (event = ANY (ARRAY['verify'::text, 'repair'::text]));


--
-- Name: contacts_tier_ledger_recorded_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_recorded_at_idx ON public.contacts_tier_ledger USING btree (account, recorded_at);


--
-- Name: contacts_tier_ledger_rollover_run_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contacts_tier_ledger_rollover_run_idx ON public.contacts_tier_ledger USING btree (entry) WHERE (event = 'rollover_run'::text);


--
-- Name: people_contacts_tier_pending; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX people_contacts_tier_pending ON public.people USING btree (id) WHERE (marketing_contact_until_next_update AND contacts_tier_internal.library_loaded());


--
-- Name: INDEX people_contacts_tier_pending; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON INDEX public.people_contacts_tier_pending IS 'finds contacts that become non-marketing on the next update date; created by contacts_tier.attach()';


--
-- Name: contacts_2_pkey; Type: INDEX ATTACH; Schema: archive; Owner: postgres
--

ALTER INDEX crm.contacts_pkey ATTACH PARTITION archive.contacts_2_pkey;


--
-- Name: contacts_2_tenant_id_idx; Type: INDEX ATTACH; Schema: archive; Owner: postgres
--

ALTER INDEX crm.contacts_contacts_tier_pending ATTACH PARTITION archive.contacts_2_tenant_id_idx;


--
-- Name: contacts_1_pkey; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_pkey ATTACH PARTITION crm.contacts_1_pkey;


--
-- Name: contacts_1_tenant_id_idx; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_contacts_tier_pending ATTACH PARTITION crm.contacts_1_tenant_id_idx;


--
-- Name: contacts_tier_ledger_activity_2024_01_account_recorded_at_idx; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_activity_account_recorded_at_idx ATTACH PARTITION crm.contacts_tier_ledger_activity_2024_01_account_recorded_at_idx;


--
-- Name: contacts_tier_ledger_activity_2024_01_entry_idx; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_activity_entry_idx ATTACH PARTITION crm.contacts_tier_ledger_activity_2024_01_entry_idx;


--
-- Name: contacts_tier_ledger_activity_2024_01_entry_idx1; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_activity_entry_idx1 ATTACH PARTITION crm.contacts_tier_ledger_activity_2024_01_entry_idx1;


--
-- Name: contacts_tier_ledger_activity_2024_01_pkey; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_activity_pkey ATTACH PARTITION crm.contacts_tier_ledger_activity_2024_01_pkey;


--
-- Name: contacts_tier_ledger_activity_2024_02_account_recorded_at_idx; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_activity_account_recorded_at_idx ATTACH PARTITION crm.contacts_tier_ledger_activity_2024_02_account_recorded_at_idx;


--
-- Name: contacts_tier_ledger_activity_2024_02_entry_idx; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_activity_entry_idx ATTACH PARTITION crm.contacts_tier_ledger_activity_2024_02_entry_idx;


--
-- Name: contacts_tier_ledger_activity_2024_02_entry_idx1; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_activity_entry_idx1 ATTACH PARTITION crm.contacts_tier_ledger_activity_2024_02_entry_idx1;


--
-- Name: contacts_tier_ledger_activity_2024_02_pkey; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_activity_pkey ATTACH PARTITION crm.contacts_tier_ledger_activity_2024_02_pkey;


--
-- Name: contacts_tier_ledger_activity_account_recorded_at_idx; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_recorded_at_idx ATTACH PARTITION crm.contacts_tier_ledger_activity_account_recorded_at_idx;


--
-- Name: contacts_tier_ledger_activity_entry_idx; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_drift_idx ATTACH PARTITION crm.contacts_tier_ledger_activity_entry_idx;


--
-- Name: contacts_tier_ledger_activity_entry_idx1; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_rollover_run_idx ATTACH PARTITION crm.contacts_tier_ledger_activity_entry_idx1;


--
-- Name: contacts_tier_ledger_activity_other_account_recorded_at_idx; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_activity_account_recorded_at_idx ATTACH PARTITION crm.contacts_tier_ledger_activity_other_account_recorded_at_idx;


--
-- Name: contacts_tier_ledger_activity_other_entry_idx; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_activity_entry_idx ATTACH PARTITION crm.contacts_tier_ledger_activity_other_entry_idx;


--
-- Name: contacts_tier_ledger_activity_other_entry_idx1; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_activity_entry_idx1 ATTACH PARTITION crm.contacts_tier_ledger_activity_other_entry_idx1;


--
-- Name: contacts_tier_ledger_activity_other_pkey; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_activity_pkey ATTACH PARTITION crm.contacts_tier_ledger_activity_other_pkey;


--
-- Name: contacts_tier_ledger_activity_pkey; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_pkey ATTACH PARTITION crm.contacts_tier_ledger_activity_pkey;


--
-- Name: contacts_tier_ledger_events_account_recorded_at_idx; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_recorded_at_idx ATTACH PARTITION crm.contacts_tier_ledger_events_account_recorded_at_idx;


--
-- Name: contacts_tier_ledger_events_entry_idx; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_drift_idx ATTACH PARTITION crm.contacts_tier_ledger_events_entry_idx;


--
-- Name: contacts_tier_ledger_events_entry_idx1; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_rollover_run_idx ATTACH PARTITION crm.contacts_tier_ledger_events_entry_idx1;


--
-- Name: contacts_tier_ledger_events_pkey; Type: INDEX ATTACH; Schema: crm; Owner: postgres
--

ALTER INDEX crm.contacts_tier_ledger_pkey ATTACH PARTITION crm.contacts_tier_ledger_events_pkey;


--
-- Name: Kunden, 'alle' aa_contacts_tier_count; Type: TRIGGER; Schema: My "own" schema; Owner: Owner of "contacts"
--

CREATE TRIGGER aa_contacts_tier_count AFTER INSERT OR DELETE OR UPDATE ON "My ""own"" schema"."Kunden, 'alle'" FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.count_contact('My "own" schema', 'Konto "Nr."', 'Status''', 'bis, dann "weg"', 'Quelle\Art', 'Quelle', 'Am', 'had_status');


--
-- Name: TRIGGER aa_contacts_tier_count ON "Kunden, 'alle'"; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON TRIGGER aa_contacts_tier_count ON "My ""own"" schema"."Kunden, 'alle'" IS 'notes what each changed contact means for the counters of its account; created by contacts_tier.attach()';


--
-- Name: Kunden, 'alle' contacts_tier_apply; Type: TRIGGER; Schema: My "own" schema; Owner: Owner of "contacts"
--

CREATE TRIGGER contacts_tier_apply AFTER INSERT OR DELETE OR UPDATE ON "My ""own"" schema"."Kunden, 'alle'" FOR EACH STATEMENT EXECUTE FUNCTION contacts_tier_internal.apply_counts();


--
-- Name: TRIGGER contacts_tier_apply ON "Kunden, 'alle'"; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON TRIGGER contacts_tier_apply ON "My ""own"" schema"."Kunden, 'alle'" IS 'applies the noted changes to the counters and enforces the contact tier at the end of each statement; created by contacts_tier.attach()';


--
-- Name: Kunden, 'alle' contacts_tier_truncate; Type: TRIGGER; Schema: My "own" schema; Owner: Owner of "contacts"
--

CREATE TRIGGER contacts_tier_truncate BEFORE TRUNCATE ON "My ""own"" schema"."Kunden, 'alle'" FOR EACH STATEMENT WHEN (((NULL::"My ""own"" schema".contacts_tier_account IS NULL) AND (NULL::"My ""own"" schema".contacts_tier_counter IS NULL) AND (NULL::"My ""own"" schema".contacts_tier_ledger IS NULL))) EXECUTE FUNCTION contacts_tier_internal.count_truncate('My "own" schema', 'Konto "Nr."', 'Status''', 'bis, dann "weg"', 'Quelle\Art', 'Quelle', 'Am', 'had_status');


--
-- Name: TRIGGER contacts_tier_truncate ON "Kunden, 'alle'"; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON TRIGGER contacts_tier_truncate ON "My ""own"" schema"."Kunden, 'alle'" IS 'subtracts truncated contacts from the counters, and makes the table depend on its companion tables; created by contacts_tier.attach()';


--
-- Name: Kunden, 'alle' zz_contacts_tier_status; Type: TRIGGER; Schema: My "own" schema; Owner: Owner of "contacts"
--

CREATE TRIGGER zz_contacts_tier_status BEFORE INSERT OR UPDATE ON "My ""own"" schema"."Kunden, 'alle'" FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('My "own" schema', 'Konto "Nr."', 'Status''', 'bis, dann "weg"', 'Quelle\Art', 'Quelle', 'Am', 'had_status');


--
-- Name: TRIGGER zz_contacts_tier_status ON "Kunden, 'alle'"; Type: COMMENT; Schema: My "own" schema; Owner: Owner of "contacts"
--

COMMENT ON TRIGGER zz_contacts_tier_status ON "My ""own"" schema"."Kunden, 'alle'" IS 'decides the marketing status of each contact before it is written; created by contacts_tier.attach()';


--
-- Name: contacts_2 contacts_tier_apply; Type: TRIGGER; Schema: archive; Owner: postgres
--

CREATE TRIGGER contacts_tier_apply AFTER INSERT OR DELETE OR UPDATE ON archive.contacts_2 FOR EACH STATEMENT EXECUTE FUNCTION contacts_tier_internal.apply_counts();


--
-- Name: TRIGGER contacts_tier_apply ON contacts_2; Type: COMMENT; Schema: archive; Owner: postgres
--

COMMENT ON TRIGGER contacts_tier_apply ON archive.contacts_2 IS 'applies the noted changes to the counters and enforces the contact tier at the end of each statement; created by contacts_tier.attach()';


--
-- Name: contacts_2 contacts_tier_truncate; Type: TRIGGER; Schema: archive; Owner: postgres
--

CREATE TRIGGER contacts_tier_truncate BEFORE TRUNCATE ON archive.contacts_2 FOR EACH STATEMENT WHEN (((NULL::crm.contacts_tier_account IS NULL) AND (NULL::crm.contacts_tier_counter IS NULL) AND (NULL::crm.contacts_tier_ledger IS NULL))) EXECUTE FUNCTION contacts_tier_internal.count_truncate('crm', 'tenant');


--
-- Name: TRIGGER contacts_tier_truncate ON contacts_2; Type: COMMENT; Schema: archive; Owner: postgres
--

COMMENT ON TRIGGER contacts_tier_truncate ON archive.contacts_2 IS 'subtracts truncated contacts from the counters, and makes the table depend on its companion tables; created by contacts_tier.attach()';


--
-- Name: contacts aa_contacts_tier_count; Type: TRIGGER; Schema: crm; Owner: postgres
--

CREATE TRIGGER aa_contacts_tier_count AFTER INSERT OR DELETE OR UPDATE ON crm.contacts FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.count_contact('crm', 'tenant');


--
-- Name: TRIGGER aa_contacts_tier_count ON contacts; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TRIGGER aa_contacts_tier_count ON crm.contacts IS 'notes what each changed contact means for the counters of its account; created by contacts_tier.attach()';


--
-- Name: leads aa_contacts_tier_count; Type: TRIGGER; Schema: crm; Owner: postgres
--

CREATE TRIGGER aa_contacts_tier_count AFTER INSERT OR DELETE OR UPDATE ON crm.leads FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.count_contact('crm', 'tenant');


--
-- Name: TRIGGER aa_contacts_tier_count ON leads; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TRIGGER aa_contacts_tier_count ON crm.leads IS 'notes what each changed contact means for the counters of its account; created by contacts_tier.attach()';


--
-- Name: saved aa_contacts_tier_count; Type: TRIGGER; Schema: crm; Owner: postgres
--

CREATE TRIGGER aa_contacts_tier_count AFTER INSERT OR DELETE OR UPDATE ON crm.saved FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.count_contact('The tiers''', 'tenant', 'marketing_contact_status', 'marketing_contact_until_next_update', 'marketing_contact_status_source_type', 'marketing_contact_status_source_name', 'marketing_contact_status_updated_at', 'whole_row_saves had_source_name');


--
-- Name: TRIGGER aa_contacts_tier_count ON saved; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TRIGGER aa_contacts_tier_count ON crm.saved IS 'notes what each changed contact means for the counters of its account; created by contacts_tier.attach()';


--
-- Name: contacts contacts_tier_apply; Type: TRIGGER; Schema: crm; Owner: postgres
--

CREATE TRIGGER contacts_tier_apply AFTER INSERT OR DELETE OR UPDATE ON crm.contacts FOR EACH STATEMENT EXECUTE FUNCTION contacts_tier_internal.apply_counts();


--
-- Name: TRIGGER contacts_tier_apply ON contacts; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TRIGGER contacts_tier_apply ON crm.contacts IS 'applies the noted changes to the counters and enforces the contact tier at the end of each statement; created by contacts_tier.attach()';


--
-- Name: contacts_1 contacts_tier_apply; Type: TRIGGER; Schema: crm; Owner: postgres
--

CREATE TRIGGER contacts_tier_apply AFTER INSERT OR DELETE OR UPDATE ON crm.contacts_1 FOR EACH STATEMENT EXECUTE FUNCTION contacts_tier_internal.apply_counts();


--
-- Name: TRIGGER contacts_tier_apply ON contacts_1; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TRIGGER contacts_tier_apply ON crm.contacts_1 IS 'applies the noted changes to the counters and enforces the contact tier at the end of each statement; created by contacts_tier.attach()';


--
-- Name: leads contacts_tier_apply; Type: TRIGGER; Schema: crm; Owner: postgres
--

CREATE TRIGGER contacts_tier_apply AFTER INSERT OR DELETE OR UPDATE ON crm.leads FOR EACH STATEMENT EXECUTE FUNCTION contacts_tier_internal.apply_counts();


--
-- Name: TRIGGER contacts_tier_apply ON leads; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TRIGGER contacts_tier_apply ON crm.leads IS 'applies the noted changes to the counters and enforces the contact tier at the end of each statement; created by contacts_tier.attach()';


--
-- Name: saved contacts_tier_apply; Type: TRIGGER; Schema: crm; Owner: postgres
--

CREATE TRIGGER contacts_tier_apply AFTER INSERT OR DELETE OR UPDATE ON crm.saved FOR EACH STATEMENT EXECUTE FUNCTION contacts_tier_internal.apply_counts();


--
-- Name: TRIGGER contacts_tier_apply ON saved; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TRIGGER contacts_tier_apply ON crm.saved IS 'applies the noted changes to the counters and enforces the contact tier at the end of each statement; created by contacts_tier.attach()';


--
-- Name: contacts contacts_tier_eligible; Type: TRIGGER; Schema: crm; Owner: postgres
--

CREATE TRIGGER contacts_tier_eligible AFTER DELETE ON crm.contacts FOR EACH ROW WHEN (((false AND ((old.tenant IS NOT NULL) AND (old.id > 0))) IS TRUE)) EXECUTE FUNCTION contacts_tier_internal.eligible_condition('refuse');


--
-- Name: TRIGGER contacts_tier_eligible ON contacts; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TRIGGER contacts_tier_eligible ON crm.contacts IS 'holds the condition of the contacts that can be promoted, and never fires; created by contacts_tier.set_condition()';


--
-- Name: contacts contacts_tier_exists; Type: TRIGGER; Schema: crm; Owner: postgres
--

CREATE TRIGGER contacts_tier_exists AFTER DELETE ON crm.contacts FOR EACH ROW WHEN (((false AND (old.id < 100)) IS TRUE)) EXECUTE FUNCTION contacts_tier_internal.exists_condition();


--
-- Name: TRIGGER contacts_tier_exists ON contacts; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TRIGGER contacts_tier_exists ON crm.contacts IS 'holds the condition of the contacts that exist, and never fires; created by contacts_tier.set_condition()';


--
-- Name: contacts contacts_tier_truncate; Type: TRIGGER; Schema: crm; Owner: postgres
--

CREATE TRIGGER contacts_tier_truncate BEFORE TRUNCATE ON crm.contacts FOR EACH STATEMENT WHEN (((NULL::crm.contacts_tier_account IS NULL) AND (NULL::crm.contacts_tier_counter IS NULL) AND (NULL::crm.contacts_tier_ledger IS NULL))) EXECUTE FUNCTION contacts_tier_internal.count_truncate('crm', 'tenant');


--
-- Name: TRIGGER contacts_tier_truncate ON contacts; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TRIGGER contacts_tier_truncate ON crm.contacts IS 'subtracts truncated contacts from the counters, and makes the table depend on its companion tables; created by contacts_tier.attach()';


--
-- Name: contacts_1 contacts_tier_truncate; Type: TRIGGER; Schema: crm; Owner: postgres
--

CREATE TRIGGER contacts_tier_truncate BEFORE TRUNCATE ON crm.contacts_1 FOR EACH STATEMENT WHEN (((NULL::crm.contacts_tier_account IS NULL) AND (NULL::crm.contacts_tier_counter IS NULL) AND (NULL::crm.contacts_tier_ledger IS NULL))) EXECUTE FUNCTION contacts_tier_internal.count_truncate('crm', 'tenant');


--
-- Name: TRIGGER contacts_tier_truncate ON contacts_1; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TRIGGER contacts_tier_truncate ON crm.contacts_1 IS 'subtracts truncated contacts from the counters, and makes the table depend on its companion tables; created by contacts_tier.attach()';


--
-- Name: leads contacts_tier_truncate; Type: TRIGGER; Schema: crm; Owner: postgres
--

CREATE TRIGGER contacts_tier_truncate BEFORE TRUNCATE ON crm.leads FOR EACH STATEMENT WHEN (((NULL::crm.contacts_tier_account IS NULL) AND (NULL::crm.contacts_tier_counter IS NULL) AND (NULL::crm.contacts_tier_ledger IS NULL))) EXECUTE FUNCTION contacts_tier_internal.count_truncate('crm', 'tenant');


--
-- Name: TRIGGER contacts_tier_truncate ON leads; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TRIGGER contacts_tier_truncate ON crm.leads IS 'subtracts truncated contacts from the counters, and makes the table depend on its companion tables; created by contacts_tier.attach()';


--
-- Name: saved contacts_tier_truncate; Type: TRIGGER; Schema: crm; Owner: postgres
--

CREATE TRIGGER contacts_tier_truncate BEFORE TRUNCATE ON crm.saved FOR EACH STATEMENT WHEN (((NULL::"The tiers'".contacts_tier_account IS NULL) AND (NULL::"The tiers'".contacts_tier_counter IS NULL) AND (NULL::"The tiers'".contacts_tier_ledger IS NULL))) EXECUTE FUNCTION contacts_tier_internal.count_truncate('The tiers''', 'tenant', 'marketing_contact_status', 'marketing_contact_until_next_update', 'marketing_contact_status_source_type', 'marketing_contact_status_source_name', 'marketing_contact_status_updated_at', 'whole_row_saves had_source_name');


--
-- Name: TRIGGER contacts_tier_truncate ON saved; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TRIGGER contacts_tier_truncate ON crm.saved IS 'subtracts truncated contacts from the counters, and makes the table depend on its companion tables; created by contacts_tier.attach()';


--
-- Name: contacts zz_contacts_tier_status; Type: TRIGGER; Schema: crm; Owner: postgres
--

CREATE TRIGGER zz_contacts_tier_status BEFORE INSERT OR UPDATE ON crm.contacts FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('crm', 'tenant');


--
-- Name: TRIGGER zz_contacts_tier_status ON contacts; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TRIGGER zz_contacts_tier_status ON crm.contacts IS 'decides the marketing status of each contact before it is written; created by contacts_tier.attach()';


--
-- Name: leads zz_contacts_tier_status; Type: TRIGGER; Schema: crm; Owner: postgres
--

CREATE TRIGGER zz_contacts_tier_status BEFORE INSERT OR UPDATE ON crm.leads FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('crm', 'tenant');


--
-- Name: TRIGGER zz_contacts_tier_status ON leads; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TRIGGER zz_contacts_tier_status ON crm.leads IS 'decides the marketing status of each contact before it is written; created by contacts_tier.attach()';


--
-- Name: saved zz_contacts_tier_status; Type: TRIGGER; Schema: crm; Owner: postgres
--

CREATE TRIGGER zz_contacts_tier_status BEFORE INSERT OR UPDATE ON crm.saved FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('The tiers''', 'tenant', 'marketing_contact_status', 'marketing_contact_until_next_update', 'marketing_contact_status_source_type', 'marketing_contact_status_source_name', 'marketing_contact_status_updated_at', 'whole_row_saves had_source_name');


--
-- Name: TRIGGER zz_contacts_tier_status ON saved; Type: COMMENT; Schema: crm; Owner: postgres
--

COMMENT ON TRIGGER zz_contacts_tier_status ON crm.saved IS 'decides the marketing status of each contact before it is written; created by contacts_tier.attach()';


--
-- Name: people aa_contacts_tier_count; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER aa_contacts_tier_count AFTER INSERT OR DELETE OR UPDATE ON public.people FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.count_contact('public', '');


--
-- Name: TRIGGER aa_contacts_tier_count ON people; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON TRIGGER aa_contacts_tier_count ON public.people IS 'notes what each changed contact means for the counters of its account; created by contacts_tier.attach()';


--
-- Name: people contacts_tier_apply; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER contacts_tier_apply AFTER INSERT OR DELETE OR UPDATE ON public.people FOR EACH STATEMENT EXECUTE FUNCTION contacts_tier_internal.apply_counts();


--
-- Name: TRIGGER contacts_tier_apply ON people; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON TRIGGER contacts_tier_apply ON public.people IS 'applies the noted changes to the counters and enforces the contact tier at the end of each statement; created by contacts_tier.attach()';


--
-- Name: people contacts_tier_truncate; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER contacts_tier_truncate BEFORE TRUNCATE ON public.people FOR EACH STATEMENT WHEN (((NULL::public.contacts_tier_account IS NULL) AND (NULL::public.contacts_tier_counter IS NULL) AND (NULL::public.contacts_tier_ledger IS NULL))) EXECUTE FUNCTION contacts_tier_internal.count_truncate('public', '');


--
-- Name: TRIGGER contacts_tier_truncate ON people; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON TRIGGER contacts_tier_truncate ON public.people IS 'subtracts truncated contacts from the counters, and makes the table depend on its companion tables; created by contacts_tier.attach()';


--
-- Name: people zz_contacts_tier_status; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER zz_contacts_tier_status BEFORE INSERT OR UPDATE ON public.people FOR EACH ROW EXECUTE FUNCTION contacts_tier_internal.maintain_status('public', '');


--
-- Name: TRIGGER zz_contacts_tier_status ON people; Type: COMMENT; Schema: public; Owner: postgres
--

COMMENT ON TRIGGER zz_contacts_tier_status ON public.people IS 'decides the marketing status of each contact before it is written; created by contacts_tier.attach()';


--
-- Name: FUNCTION apply_counts(); Type: ACL; Schema: contacts_tier_internal; Owner: postgres
--

GRANT ALL ON FUNCTION contacts_tier_internal.apply_counts() TO "Owner of ""contacts""";


--
-- Name: FUNCTION count_contact(); Type: ACL; Schema: contacts_tier_internal; Owner: postgres
--

GRANT ALL ON FUNCTION contacts_tier_internal.count_contact() TO "Owner of ""contacts""";


--
-- Name: FUNCTION count_truncate(); Type: ACL; Schema: contacts_tier_internal; Owner: postgres
--

GRANT ALL ON FUNCTION contacts_tier_internal.count_truncate() TO "Owner of ""contacts""";


--
-- Name: FUNCTION create_companions(schema text, account_type text); Type: ACL; Schema: contacts_tier_internal; Owner: postgres
--

GRANT ALL ON FUNCTION contacts_tier_internal.create_companions(schema text, account_type text) TO "Owner of ""contacts""";


--
-- Name: FUNCTION maintain_status(); Type: ACL; Schema: contacts_tier_internal; Owner: postgres
--

GRANT ALL ON FUNCTION contacts_tier_internal.maintain_status() TO "Owner of ""contacts""";


--
-- Name: TABLE contacts_tier_ledger; Type: ACL; Schema: My "own" schema; Owner: Owner of "contacts"
--

REVOKE ALL ON TABLE "My ""own"" schema".contacts_tier_ledger FROM "Owner of ""contacts""";
GRANT SELECT,INSERT,REFERENCES,TRIGGER ON TABLE "My ""own"" schema".contacts_tier_ledger TO "Owner of ""contacts""";


--
-- Name: TABLE contacts_tier_ledger; Type: ACL; Schema: The tiers'; Owner: postgres
--

REVOKE ALL ON TABLE "The tiers'".contacts_tier_ledger FROM postgres;
GRANT SELECT,INSERT,REFERENCES,TRIGGER ON TABLE "The tiers'".contacts_tier_ledger TO postgres;


--
-- Name: TABLE contacts_tier_ledger; Type: ACL; Schema: crm; Owner: postgres
--

REVOKE ALL ON TABLE crm.contacts_tier_ledger FROM postgres;
GRANT SELECT,INSERT,REFERENCES,TRIGGER ON TABLE crm.contacts_tier_ledger TO postgres;


--
-- Name: TABLE contacts_tier_ledger_activity; Type: ACL; Schema: crm; Owner: postgres
--

REVOKE ALL ON TABLE crm.contacts_tier_ledger_activity FROM postgres;
GRANT SELECT,INSERT,REFERENCES,TRIGGER ON TABLE crm.contacts_tier_ledger_activity TO postgres;


--
-- Name: TABLE contacts_tier_ledger_activity_2024_01; Type: ACL; Schema: crm; Owner: postgres
--

REVOKE ALL ON TABLE crm.contacts_tier_ledger_activity_2024_01 FROM postgres;
GRANT SELECT,INSERT,REFERENCES,TRIGGER ON TABLE crm.contacts_tier_ledger_activity_2024_01 TO postgres;


--
-- Name: TABLE contacts_tier_ledger_activity_2024_02; Type: ACL; Schema: crm; Owner: postgres
--

REVOKE ALL ON TABLE crm.contacts_tier_ledger_activity_2024_02 FROM postgres;
GRANT SELECT,INSERT,REFERENCES,TRIGGER ON TABLE crm.contacts_tier_ledger_activity_2024_02 TO postgres;


--
-- Name: TABLE contacts_tier_ledger_activity_other; Type: ACL; Schema: crm; Owner: postgres
--

REVOKE ALL ON TABLE crm.contacts_tier_ledger_activity_other FROM postgres;
GRANT SELECT,INSERT,REFERENCES,TRIGGER ON TABLE crm.contacts_tier_ledger_activity_other TO postgres;


--
-- Name: TABLE contacts_tier_ledger_events; Type: ACL; Schema: crm; Owner: postgres
--

REVOKE ALL ON TABLE crm.contacts_tier_ledger_events FROM postgres;
GRANT SELECT,INSERT,REFERENCES,TRIGGER ON TABLE crm.contacts_tier_ledger_events TO postgres;


--
-- Name: TABLE contacts_tier_ledger; Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON TABLE public.contacts_tier_ledger FROM postgres;
GRANT SELECT,INSERT,REFERENCES,TRIGGER ON TABLE public.contacts_tier_ledger TO postgres;


--
-- PostgreSQL database dump complete
--


