------------------------------------------------------------------------------
-- Dates.  An account has a monthly update date, and the renewal date of its contract.
-- Both follow from its anchor, the local day on which the subscription began, so that
-- day 31 returns after a shorter month.
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier_internal.local_midnight(day timestamp, time_zone text) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT CASE WHEN (t - interval '1 hour') AT TIME ZONE time_zone = midnight THEN t - interval '1 hour' ELSE t END
    FROM (SELECT date_trunc('day', day), date_trunc('day', day) AT TIME ZONE time_zone) AS m (midnight, t)
);
COMMENT ON FUNCTION contacts_tier_internal.local_midnight(timestamp, text) IS
'00:00 of a day in a time zone; if a change of clocks skips 00:00, the first instant after it; if 00:00 occurs twice, the first';

CREATE FUNCTION contacts_tier.clock() RETURNS timestamptz
LANGUAGE c STABLE PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'contacts_tier_clock';
COMMENT ON FUNCTION contacts_tier.clock() IS
'current time of contacts_tier: the start of the statement, or the setting contacts_tier.now';

CREATE FUNCTION contacts_tier_internal.finite_instant(instant timestamptz) RETURNS timestamptz
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'contacts_tier_finite_instant';
COMMENT ON FUNCTION contacts_tier_internal.finite_instant(timestamptz) IS
'the instant; an error if it is infinite';

-- There is no year 0: 1 BC is the year before 1.
CREATE FUNCTION contacts_tier_internal.months_since(anchor date, instant timestamptz, time_zone text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT (12 * (year + (year < 0)::integer - since_year - (since_year < 0)::integer) + month - since_month)::integer
    FROM (SELECT extract(year FROM contacts_tier_internal.finite_instant(instant) AT TIME ZONE time_zone),
                 extract(month FROM instant AT TIME ZONE time_zone),
                 extract(year FROM anchor), extract(month FROM anchor)) AS d (year, month, since_year, since_month)
);
COMMENT ON FUNCTION contacts_tier_internal.months_since(date, timestamptz, text) IS
'calendar months from the month of the anchor to that of an instant';

CREATE FUNCTION contacts_tier_internal.renewal_dates(anchor date, cycle contacts_tier.billing_cycle,
                                                     time_zone text, around timestamptz)
RETURNS SETOF timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 3
BEGIN ATOMIC
    SELECT contacts_tier_internal.local_midnight(anchor + make_interval(months => term * (months / term + n)), time_zone)
    FROM (SELECT contacts_tier_internal.months_since(anchor, around, time_zone),
                 CASE cycle WHEN 'annual' THEN 12 ELSE 1 END) AS m (months, term),
         generate_series(-1, 1) AS n;
END;
COMMENT ON FUNCTION contacts_tier_internal.renewal_dates(date, contacts_tier.billing_cycle, text, timestamptz) IS
'the renewal dates next to an instant, at least one before and one after it: the anchor day of each month or year, or the last day of a shorter month';

CREATE FUNCTION contacts_tier_internal.update_dates(anchor date, cycle contacts_tier.billing_cycle,
                                                    time_zone text, around timestamptz)
RETURNS SETOF timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 6
BEGIN ATOMIC
    SELECT d FROM contacts_tier_internal.renewal_dates(anchor, cycle, time_zone, around) AS d
    UNION ALL
    SELECT contacts_tier_internal.local_midnight(date_trunc('month', around AT TIME ZONE time_zone)
                                        + make_interval(months => n), time_zone)
    FROM generate_series(-1, 1) AS n
    WHERE cycle = 'annual';
END;
COMMENT ON FUNCTION contacts_tier_internal.update_dates(date, contacts_tier.billing_cycle, text, timestamptz) IS
'the update dates next to an instant, at least one before and one after it: monthly, the anchor day of each month; annual, the 1st of each month and the renewal date';

CREATE FUNCTION contacts_tier_internal.following_renewal_date(anchor date, cycle contacts_tier.billing_cycle,
                                                              time_zone text, renewal timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN contacts_tier_internal.local_midnight(
    anchor + make_interval(months => contacts_tier_internal.months_since(anchor, renewal, time_zone)
                                     + CASE cycle WHEN 'annual' THEN 12 ELSE 1 END), time_zone);
COMMENT ON FUNCTION contacts_tier_internal.following_renewal_date(date, contacts_tier.billing_cycle, text, timestamptz) IS
'the renewal date after another: the anchor day a month or a year later, or the last day of a shorter month';

CREATE FUNCTION contacts_tier_internal.following_update_date(cycle contacts_tier.billing_cycle, time_zone text,
                                                             renewal timestamptz, after timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE cycle
    WHEN 'annual' THEN least(renewal,
        contacts_tier_internal.local_midnight(date_trunc('month', after AT TIME ZONE time_zone) + interval '1 month', time_zone))
    ELSE renewal END;
COMMENT ON FUNCTION contacts_tier_internal.following_update_date(contacts_tier.billing_cycle, text, timestamptz, timestamptz) IS
'the update date after an instant: monthly, the renewal date; annual, the 1st of the next month or the renewal date, whichever comes first';

CREATE FUNCTION contacts_tier_internal.month_share(cycle contacts_tier.billing_cycle, time_zone text,
                                                   period_start timestamptz, period_end timestamptz) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE cycle
    WHEN 'annual' THEN (
        SELECT round(extract(epoch FROM period_end - period_start) / extract(epoch FROM
                         contacts_tier_internal.local_midnight(month + interval '1 month', time_zone)
                         - contacts_tier_internal.local_midnight(month, time_zone)), 6)
        FROM (SELECT date_trunc('month', (period_end - interval '1 microsecond') AT TIME ZONE time_zone)) AS m (month))
    ELSE 1 END;
COMMENT ON FUNCTION contacts_tier_internal.month_share(contacts_tier.billing_cycle, text, timestamptz, timestamptz) IS
'share of a monthly price that is due for a billing period: monthly, 1; annual, its part of the calendar month, which the renewal date divides';

CREATE FUNCTION contacts_tier.next_update_date(anchor date, cycle contacts_tier.billing_cycle,
                                               time_zone text, after timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT min(d) FROM contacts_tier_internal.update_dates(anchor, cycle, time_zone, after) AS d WHERE d > after);
COMMENT ON FUNCTION contacts_tier.next_update_date(date, contacts_tier.billing_cycle, text, timestamptz) IS
'the first update date after an instant';

CREATE FUNCTION contacts_tier.last_update_date(anchor date, cycle contacts_tier.billing_cycle,
                                               time_zone text, before timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT max(d) FROM contacts_tier_internal.update_dates(anchor, cycle, time_zone, before) AS d WHERE d <= before);
COMMENT ON FUNCTION contacts_tier.last_update_date(date, contacts_tier.billing_cycle, text, timestamptz) IS
'the last update date up to an instant, that instant included';

CREATE FUNCTION contacts_tier.next_renewal_date(anchor date, cycle contacts_tier.billing_cycle,
                                                time_zone text, after timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT min(d) FROM contacts_tier_internal.renewal_dates(anchor, cycle, time_zone, after) AS d WHERE d > after);
COMMENT ON FUNCTION contacts_tier.next_renewal_date(date, contacts_tier.billing_cycle, text, timestamptz) IS
'the first renewal date after an instant';

