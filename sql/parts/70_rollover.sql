------------------------------------------------------------------------------
-- Rollover: applying the update dates
------------------------------------------------------------------------------

CREATE PROCEDURE contacts_tier.rollover(contacts regclass DEFAULT NULL,
                                        account text DEFAULT NULL,
                                        batch_size integer DEFAULT 10000)
LANGUAGE c AS 'MODULE_PATHNAME', 'contacts_tier_rollover';
COMMENT ON PROCEDURE contacts_tier.rollover(regclass, text, integer) IS
'applies the update dates that have passed, in batches that it commits; in a transaction block it does not commit';

CREATE FUNCTION contacts_tier.rollover_progress(OUT contacts regclass,
                                                OUT run uuid,
                                                OUT in_progress boolean,
                                                OUT started_at timestamptz,
                                                OUT finished_at timestamptz,
                                                OUT accounts_done bigint,
                                                OUT accounts_to_do bigint,
                                                OUT contacts_done bigint,
                                                OUT contacts_to_do bigint,
                                                OUT accounts_failed bigint,
                                                OUT accounts_skipped bigint,
                                                OUT failures jsonb,
                                                OUT skipped jsonb)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_rollover_progress';
COMMENT ON FUNCTION contacts_tier.rollover_progress() IS
'runs of rollover(): what is done, what is to do, what failed or was skipped; a row without a run has what statements applied';

CREATE FUNCTION contacts_tier.schedule_rollover(schedule text DEFAULT '*/5 * * * *') RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
        RAISE undefined_object
            USING MESSAGE = 'extension "pg_cron" is not installed in this database',
                  HINT = format('Create it with CREATE EXTENSION pg_cron, or in the database of pg_cron run, as a superuser,'
                                ' SELECT cron.schedule_in_database(''contacts_tier rollover'', %s, ''CALL contacts_tier.rollover()'', %s, %s).',
                                quote_nullable(schedule_rollover.schedule), quote_literal(current_database()), quote_literal(current_user));
    END IF;
    RETURN cron.schedule('contacts_tier rollover', schedule_rollover.schedule, 'CALL contacts_tier.rollover()');
END
$$;
COMMENT ON FUNCTION contacts_tier.schedule_rollover(text) IS
'creates a job of pg_cron that calls rollover() as the current role, or changes the schedule of that job; returns its number';

CREATE FUNCTION contacts_tier.unschedule_rollover() RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension e WHERE e.extname = 'pg_cron') THEN
        RETURN false;
    END IF;
    IF NOT EXISTS (SELECT FROM cron.job j
                   WHERE j.jobname = 'contacts_tier rollover' AND j.username = current_user) THEN
        RETURN false;
    END IF;
    RETURN cron.unschedule('contacts_tier rollover');
END
$$;
COMMENT ON FUNCTION contacts_tier.unschedule_rollover() IS
'removes the job that schedule_rollover() created for the current role; returns false if there is none';

