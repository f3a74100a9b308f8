------------------------------------------------------------------------------
-- Pictures: how the count came about, and a page that shows it, for roles that have SELECT
-- on the companion tables
------------------------------------------------------------------------------

CREATE FUNCTION contacts_tier.usage_history(contacts regclass,
                                            account text,
                                            since timestamptz DEFAULT NULL,
                                            step interval DEFAULT '1 day',
                                            OUT at timestamptz,
                                            OUT marketing_contacts bigint,
                                            OUT pending bigint,
                                            OUT contact_limit bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_usage_history';
COMMENT ON FUNCTION contacts_tier.usage_history(regclass, text, timestamptz, interval) IS
'marketing contacts and contact limit of an account at each step since an instant, and now; exact where activity is recorded';

CREATE FUNCTION contacts_tier.sources(contacts regclass,
                                      account text,
                                      OUT source_type text,
                                      OUT source_names bigint,
                                      OUT marketing_contacts bigint,
                                      OUT pending bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 10 AS 'MODULE_PATHNAME', 'contacts_tier_sources';
COMMENT ON FUNCTION contacts_tier.sources(regclass, text) IS
'marketing contacts of an account by the source type that set their status, largest first, with the number of source names; reads the contacts';

CREATE FUNCTION contacts_tier_internal.page_account(contacts regclass,
                                                    account text,
                                                    OUT time_zone text,
                                                    OUT on_exceed text,
                                                    OUT grace bigint,
                                                    OUT record_activity boolean,
                                                    OUT has_plan boolean,
                                                    OUT ended_at timestamptz)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 1 AS 'MODULE_PATHNAME', 'contacts_tier_page_account';
COMMENT ON FUNCTION contacts_tier_internal.page_account(regclass, text) IS
'time zone and policies of an account, for usage_page(); no row without a subscription';

CREATE FUNCTION contacts_tier_internal.page_history(contacts regclass,
                                                    account text,
                                                    since timestamptz,
                                                    step interval,
                                                    OUT at timestamptz,
                                                    OUT marketing_contacts bigint,
                                                    OUT pending bigint,
                                                    OUT contact_limit bigint,
                                                    OUT peak bigint)
RETURNS SETOF record
LANGUAGE c STABLE ROWS 100 AS 'MODULE_PATHNAME', 'contacts_tier_page_history';
COMMENT ON FUNCTION contacts_tier_internal.page_history(regclass, text, timestamptz, interval) IS
'usage_history() for usage_page(), with the highest count between an instant and the next one';

-- Text in a picture.  There is no font to measure it with, so widths are those of a wide
-- one, DejaVu Sans, or above.  All but plain ASCII is written by number, whatever the
-- encodings of the server and of the file are.

CREATE FUNCTION contacts_tier_internal.svg_code(letter text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT CASE octet_length(u)
               WHEN 2 THEN get_byte(u, 0) % 32 * 64 + get_byte(u, 1) % 64
               WHEN 3 THEN (get_byte(u, 0) % 16 * 64 + get_byte(u, 1) % 64) * 64 + get_byte(u, 2) % 64
               WHEN 4 THEN ((get_byte(u, 0) % 8 * 64 + get_byte(u, 1) % 64) * 64 + get_byte(u, 2) % 64) * 64 + get_byte(u, 3) % 64
               -- SQL_ASCII does not say which letter this is
               ELSE CASE WHEN get_byte(u, 0) < 128 THEN get_byte(u, 0) ELSE 65533 END
           END
    FROM convert_to(letter, 'UTF8') AS u
    WHERE letter <> ''
);
COMMENT ON FUNCTION contacts_tier_internal.svg_code(text) IS
'Unicode number of a letter';

CREATE FUNCTION contacts_tier_internal.svg_escape(letter text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT CASE
               WHEN letter = '<' THEN '&lt;'
               WHEN letter = '>' THEN '&gt;'
               WHEN letter = '&' THEN '&amp;'
               WHEN letter = '"' THEN '&quot;'
               WHEN letter = '''' THEN '&#39;'
               WHEN code BETWEEN 32 AND 126 THEN letter
               WHEN code IN (9, 10, 13) THEN ' '
               -- not allowed in XML, or turns the direction of what follows
               WHEN code < 32 OR code BETWEEN 127 AND 159 OR code BETWEEN 8234 AND 8238
                    OR code BETWEEN 8294 AND 8297 OR code IN (65534, 65535) THEN '&#65533;'
               ELSE '&#' || code || ';'
           END
    FROM contacts_tier_internal.svg_code(letter) AS code
);
COMMENT ON FUNCTION contacts_tier_internal.svg_escape(text) IS
'a letter as it is written in XML';

CREATE FUNCTION contacts_tier_internal.svg_width(letter text) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT CASE
               WHEN letter ~ '[-iljI.,:;''|!`ftrJ()/ ]' OR letter IN ('[', ']') THEN 0.42
               WHEN letter ~ '[mwMWOQGD@%&<>=+#~^]' THEN 1.0
               WHEN letter ~ '[A-Z]' THEN 0.79
               WHEN code < 128 THEN 0.64
               WHEN code = 183 THEN 0.42
               WHEN code < 592 THEN 0.9
               WHEN code < 65536 THEN 1.1
               ELSE 1.5
           END
    FROM contacts_tier_internal.svg_code(letter) AS code
);
COMMENT ON FUNCTION contacts_tier_internal.svg_width(text) IS
'width of a letter, in units of the font size, in no usual font less than it is';

CREATE FUNCTION contacts_tier_internal.svg_length(words text) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT coalesce(sum(contacts_tier_internal.svg_width(letter)), 0)
    FROM regexp_split_to_table("left"(words, 1000), '') AS letter
    WHERE letter <> ''
);
COMMENT ON FUNCTION contacts_tier_internal.svg_length(text) IS
'width of a text, in units of the font size';

CREATE FUNCTION contacts_tier_internal.svg_words(words text, room numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT coalesce(string_agg(contacts_tier_internal.svg_escape(letter), '' ORDER BY n) FILTER (WHERE whole <= room OR upto <= room - 1), '')
           || CASE WHEN max(whole) > room OR length(words) > 1000 THEN '&#8230;' ELSE '' END
    FROM (SELECT letter, n, sum(width) OVER (ORDER BY n), sum(width) OVER ()
          FROM (SELECT letter, n, contacts_tier_internal.svg_width(letter)
                FROM regexp_split_to_table("left"(words, 1000), '') WITH ORDINALITY AS l (letter, n)
                WHERE letter <> '') AS w (letter, n, width)) AS c (letter, n, upto, whole)
);
COMMENT ON FUNCTION contacts_tier_internal.svg_words(text, numeric) IS
'a text as it is written in XML, cut where it would take more room, in units of the font size';

CREATE FUNCTION contacts_tier_internal.svg_text(x numeric, y numeric, class text, size numeric, words text, room numeric)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN format(E'<text x="%s" y="%s" class="%s" font-size="%s">%s</text>\n', round(x, 1), round(y, 1), class, round(size, 1),
              contacts_tier_internal.svg_words(words, room / size / CASE WHEN class ~ '\mb\M' THEN 1.15 ELSE 1.0 END));
COMMENT ON FUNCTION contacts_tier_internal.svg_text(numeric, numeric, text, numeric, text, numeric) IS
'a line of text in a picture, cut where it would take more room; class b is bold';

CREATE FUNCTION contacts_tier_internal.svg_rect(x numeric, y numeric, width numeric, height numeric, class text, radius numeric DEFAULT 0)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN width <= 0 THEN ''
    ELSE format(E'<rect x="%s" y="%s" width="%s" height="%s" rx="%s" class="%s"/>\n',
                round(x, 1), round(y, 1), round(width, 1), round(height, 1), radius, class)
END;
COMMENT ON FUNCTION contacts_tier_internal.svg_rect(numeric, numeric, numeric, numeric, text, numeric) IS
'a rectangle in a picture';

CREATE FUNCTION contacts_tier_internal.page_number(n numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_char(n, 'FM9,999,999,999,999,999,990');
COMMENT ON FUNCTION contacts_tier_internal.page_number(numeric) IS
'a number of contacts, for usage_page()';

CREATE FUNCTION contacts_tier_internal.page_amount(amount numeric, currency text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_char(amount, 'FM999,999,999,999,990.00') || coalesce(' ' || currency, '');
COMMENT ON FUNCTION contacts_tier_internal.page_amount(numeric, text) IS
'an amount of money, for usage_page()';

CREATE FUNCTION contacts_tier_internal.page_day(instant timestamptz, time_zone text, today timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT to_char(day, 'FMDD FMMonth') || CASE WHEN abs(day::date - (today AT TIME ZONE time_zone)::date) > 300
                                                THEN to_char(day, ' FMYYYY') ELSE '' END
    FROM (SELECT instant AT TIME ZONE time_zone) AS d (day)
);
COMMENT ON FUNCTION contacts_tier_internal.page_day(timestamptz, text, timestamptz) IS
'the day of an instant in words, with the year if it is far from today, for usage_page()';

CREATE FUNCTION contacts_tier_internal.page_title(used bigint, leaving bigint, contact_limit bigint, day text, s record)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- "No marketing contacts", "1 marketing contact"
    contacts text := CASE used WHEN 0 THEN 'No' ELSE contacts_tier_internal.page_number(used) END
                     || ' marketing contact' || CASE used WHEN 1 THEN '' ELSE 's' END;
BEGIN
    IF contact_limit IS NULL THEN
        RETURN contacts || ', no subscription';
    ELSIF s.ended_at IS NOT NULL THEN
        RETURN contacts || ', the subscription has ended';
    ELSIF NOT s.has_plan THEN
        RETURN contacts || ', the plan includes none';
    END IF;
    RETURN format('%s of %s marketing contact%s%s', contacts_tier_internal.page_number(used),
                  contacts_tier_internal.page_number(contact_limit), CASE contact_limit WHEN 1 THEN '' ELSE 's' END,
                  CASE WHEN leaving > 0 THEN format(', %s leave%s on %s', contacts_tier_internal.page_number(leaving),
                                                    CASE leaving WHEN 1 THEN 's' ELSE '' END, day) ELSE '' END);
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.page_title(bigint, bigint, bigint, text, record) IS
'title of a usage page: how many of how many';

CREATE FUNCTION contacts_tier_internal.page_style() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '<style>
text { font-family: system-ui, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; fill: #1c2434; }
.b { font-weight: bold; }
.e { text-anchor: end; }
.m { text-anchor: middle; }
.q { fill: #5a6478; }
.halo { stroke: #ffffff; stroke-width: 4; stroke-linejoin: round; paint-order: stroke; }
.page { fill: #ffffff; }
.used { fill: #2f6fde; }
.leaving { fill: #f2a33a; }
.free { fill: #e4e9f2; }
.over { fill: #d23f5c; }
.grid { stroke: #e4e8ef; fill: none; }
.axis { stroke: #aab3c3; fill: none; }
.update { stroke: #8d98ab; stroke-dasharray: 2 4; fill: none; }
.tier { stroke: #d23f5c; stroke-width: 2; fill: none; }
.edge { stroke: #2f6fde; stroke-width: 2; stroke-linejoin: round; fill: none; }
.ahead { stroke: #2f6fde; stroke-width: 2; stroke-dasharray: 5 4; fill: none; }
.now { stroke: #1c2434; fill: none; }
.dot { fill: #2f6fde; stroke: #ffffff; stroke-width: 2; }
.area { fill: #2f6fde; fill-opacity: 0.22; }
.tierword { fill: #b92f4b; }
@media (prefers-color-scheme: dark) {
text { fill: #e9edf5; }
.q { fill: #9ba6b9; }
.halo { stroke: #141923; }
.page { fill: #141923; }
.used { fill: #5a94f7; }
.leaving { fill: #eaa447; }
.free { fill: #2b3445; }
.over { fill: #f0718b; }
.grid { stroke: #262e3d; }
.axis { stroke: #55617a; }
.update { stroke: #7b879d; }
.tier { stroke: #f0718b; }
.edge, .ahead { stroke: #5a94f7; }
.now { stroke: #e9edf5; }
.dot { fill: #5a94f7; stroke: #141923; }
.area { fill: #5a94f7; fill-opacity: 0.28; }
.tierword { fill: #f58ea3; }
}
</style>
';
COMMENT ON FUNCTION contacts_tier_internal.page_style() IS
'colours of a usage page, on a light and on a dark background';

CREATE FUNCTION contacts_tier_internal.page_bar(used bigint, leaving bigint, contact_limit bigint, day text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- the whole bar: all that counts, and all that would fit
    whole  numeric := greatest(used, contact_limit, 1);
    per    numeric := 880 / whole;
    stays  numeric := (used - leaving) * per;
    leaves numeric := leaving * per;
    parts  text[][] := ARRAY[['used', CASE WHEN leaving > 0 THEN ' stay' ELSE ' in use' END, (used - leaving)::text]];
    result text;
BEGIN
    result := format(E'<g clip-path="url(#bar)">\n%s%s%s</g>\n',
                     contacts_tier_internal.svg_rect(40, 138, 880, 24, 'free'),
                     contacts_tier_internal.svg_rect(40, 138, stays, 24, 'used'),
                     contacts_tier_internal.svg_rect(40 + stays, 138, leaves, 24, 'leaving'));
    IF leaving > 0 THEN
        parts := parts || ARRAY[['leaving', coalesce(' leave on ' || day, ' leave'), leaving::text]];
    END IF;
    IF contact_limit > used THEN
        parts := parts || ARRAY[['free', ' free', (contact_limit - used)::text]];
    ELSIF used > contact_limit THEN
        parts := parts || ARRAY[['over', ' above the limit', (used - contact_limit)::text]];
        -- where the limit is
        result := result || format(E'<path class="tier" d="M%s 132v36"/>\n', round(40 + contact_limit * per, 1));
    END IF;
    FOR i IN 1 .. array_length(parts, 1) LOOP
        result := result || contacts_tier_internal.svg_rect(40 + (i - 1) * 300, 178, 12, 12, parts[i][1], 3)
                  || contacts_tier_internal.svg_text(60 + (i - 1) * 300, 189, 'q', 13,
                         contacts_tier_internal.page_number(parts[i][3]::numeric) || parts[i][2], 272);
    END LOOP;
    RETURN result;
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.page_bar(bigint, bigint, bigint, text) IS
'part of a usage page: a bar of what stays, leaves and is free';

CREATE FUNCTION contacts_tier_internal.page_scale(highest numeric, OUT top numeric, OUT step numeric) RETURNS record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    -- room for the words above the highest line, and about four lines below it
    SELECT greatest(highest, 1) * 1.15, greatest(1, (
        SELECT min(digit * power) FROM unnest('{1, 2, 2.5, 5, 10}'::numeric[]) AS digit
        WHERE digit * power >= greatest(highest, 1) / 4 AND digit * power = trunc(digit * power)))
    FROM (SELECT power(10::numeric, floor(log(greatest(greatest(highest, 1) / 4, 1))))) AS p (power);
END;
COMMENT ON FUNCTION contacts_tier_internal.page_scale(numeric) IS
'top of an axis from 0, and the distance of its lines';

CREATE FUNCTION contacts_tier_internal.page_axis(top numeric, step numeric, y numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT string_agg(format(E'<path class="%s" d="M112 %sH920"/>\n', CASE n WHEN 0 THEN 'axis' ELSE 'grid' END, at)
                      || contacts_tier_internal.svg_text(104, at + 4, 'q e', 12,
                             CASE WHEN n > 0 AND top > 10000000
                                  THEN rtrim(to_char(n / 1000000, 'FM999,999,999,999,990.99'), '.') || ' M'
                                  ELSE contacts_tier_internal.page_number(n) END, 64), '' ORDER BY n)
    FROM (SELECT n, round(y + 220 - 220 * n / top, 1) FROM generate_series(0, top, step) AS n) AS l (n, at)
);
COMMENT ON FUNCTION contacts_tier_internal.page_axis(numeric, numeric, numeric) IS
'part of a usage page: lines and numbers of the vertical axis';

CREATE FUNCTION contacts_tier_internal.page_steps(at timestamptz[], value bigint[], first timestamptz, last timestamptz, top numeric)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    -- only where the value changes, up to the last instant
    SELECT 'M' || string_agg(format('%s %s', x, y), 'H' ORDER BY n) FILTER (WHERE n = 1)
           || coalesce(string_agg(format('H%sV%s', x, y), '' ORDER BY n) FILTER (WHERE n > 1 AND value IS DISTINCT FROM before), '')
           || 'H' || max(x)
    FROM (SELECT n, value, lag(value) OVER (ORDER BY n) AS before, round(500 - 220 * value / top, 1) AS y,
                 round(112 + 808 * extract(epoch FROM at - first) / extract(epoch FROM last - first), 1) AS x
          FROM unnest(at, value) WITH ORDINALITY AS p (at, value, n)) AS c
);
COMMENT ON FUNCTION contacts_tier_internal.page_steps(timestamptz[], bigint[], timestamptz, timestamptz, numeric) IS
'path of a number that changes in steps, in the chart of a usage page';

CREATE FUNCTION contacts_tier_internal.page_peaks(h record, first timestamptz, last timestamptz, top numeric) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- upright, where the steps on both sides are lower
    RETURN (SELECT E'<path class="edge" d="' || string_agg(format('M%s %sV%s', round(112 + 808 * extract(epoch FROM until - first) / extract(epoch FROM last - first), 1),
                                     round(500 - 220 * greatest(value, next) / top, 1), round(500 - 220 * peak / top, 1)), '' ORDER BY n)
                   || E'"/>\n'
            FROM (SELECT n, value, peak, lead(at) OVER w AS until, lead(value) OVER w AS next
                  FROM unnest(h.at, h.used, h.peak) WITH ORDINALITY AS p (at, value, peak, n) WINDOW w AS (ORDER BY n)) AS c
            WHERE until IS NOT NULL AND peak > greatest(value, next));
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.page_peaks(record, timestamptz, timestamptz, numeric) IS
'part of a usage page: what the count reached between the points of the chart; NULL if nothing';

CREATE FUNCTION contacts_tier_internal.page_limit(at timestamptz[], value bigint[], first timestamptz, last timestamptz,
                                                  top numeric) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    -- where limits change; each is written above its line, if that is long enough
    SELECT string_agg(format(E'<path class="tier" d="M%s %sH%s%s"/>\n', x, y, until, coalesce('V' || next_y, ''))
                      || CASE WHEN until - x >= 12 + 12 * contacts_tier_internal.svg_length(words)
                              THEN contacts_tier_internal.svg_text(x + 6, y - 6, 'tierword halo', 12, words, until - x - 6)
                              ELSE '' END, '' ORDER BY x)
    FROM (SELECT x, y, coalesce(lead(x) OVER (ORDER BY n), 920) AS until, lead(y) OVER (ORDER BY n) AS next_y, value,
                 'tier ' || contacts_tier_internal.page_number(value) AS words
          FROM (SELECT n, value, lag(value) OVER (ORDER BY n) AS before, round(500 - 220 * value / top, 1) AS y,
                       round(112 + 808 * extract(epoch FROM at - first) / extract(epoch FROM last - first), 1) AS x
                FROM unnest(at, value) WITH ORDINALITY AS p (at, value, n)) AS c
          WHERE n = 1 OR value IS DISTINCT FROM before) AS l
    WHERE value IS NOT NULL
);
COMMENT ON FUNCTION contacts_tier_internal.page_limit(timestamptz[], bigint[], timestamptz, timestamptz, numeric) IS
'lines and words of the limits in the chart of a usage page';

CREATE FUNCTION contacts_tier_internal.page_days(dates timestamptz[], first timestamptz, last timestamptz, time_zone text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result text := '';
    span   numeric := extract(epoch FROM last - first);
    -- the year only where it is not clear
    style  text := CASE WHEN span > 300 * 86400 THEN 'FMDD Mon YYYY' WHEN span < 2 * 86400 THEN 'FMDD Mon HH24:MI' ELSE 'FMDD Mon' END;
    room   numeric := 12 * 1.15 * contacts_tier_internal.svg_length(to_char(timestamp '2000-12-30', style));
    every  interval := make_interval(days => greatest(1, ceil(span / 86400 / 7)::integer));
    taken  numeric[] := '{}';
    day    record;
    x      numeric;
BEGIN
    FOR day IN
        SELECT d.at, d.is_date FROM (
            SELECT at, true AS is_date FROM unnest(dates) AS u (at)
            UNION ALL SELECT first, false
            UNION ALL SELECT at AT TIME ZONE time_zone, false
            FROM generate_series(date_trunc('day', first AT TIME ZONE time_zone) + every, last AT TIME ZONE time_zone, every) AS g (at)) AS d
        WHERE d.at BETWEEN first AND last ORDER BY d.is_date DESC, CASE WHEN d.is_date THEN last - d.at ELSE d.at - first END
    LOOP
        x := 112 + 808 * extract(epoch FROM day.at - first) / span;
        IF day.is_date THEN
            result := result || format(E'<path class="update" d="M%s 280V506"/>\n', round(x, 1));
        END IF;
        x := least(greatest(x, 112 + room / 2), 920 - room / 2);
        CONTINUE WHEN EXISTS (SELECT FROM unnest(taken) AS t (place) WHERE abs(t.place - x) < room + 10);
        taken := taken || x;
        result := result || contacts_tier_internal.svg_text(x, 521, CASE WHEN day.is_date THEN 'b m' ELSE 'q m' END, 12,
                                                            to_char(day.at AT TIME ZONE time_zone, style), 2 * room);
    END LOOP;
    RETURN result;
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.page_days(timestamptz[], timestamptz, timestamptz, text) IS
'days below the chart of a usage page, as many as there is room for, and lines at update dates';

CREATE FUNCTION contacts_tier_internal.page_legend() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN contacts_tier_internal.svg_rect(40, 244, 12, 12, 'area', 3) || E'<path class="edge" d="M40 245h12"/>\n'
    || contacts_tier_internal.svg_text(58, 254, 'q', 12.5, 'marketing contacts', 150)
    || contacts_tier_internal.svg_rect(212, 244, 12, 12, 'leaving', 3)
    || contacts_tier_internal.svg_text(230, 254, 'q', 12.5, 'leave on the update date', 190)
    || E'<path class="tier" d="M424 250h20"/>\n'
    || contacts_tier_internal.svg_text(450, 254, 'q', 12.5, 'contact tier', 100)
    || E'<path class="update" d="M567 241v18"/>\n'
    || contacts_tier_internal.svg_text(577, 254, 'q', 12.5, 'update date', 100)
    || E'<path class="ahead" d="M686 250h24"/>\n'
    || contacts_tier_internal.svg_text(718, 254, 'q', 12.5, 'if nothing else changes', 190);
COMMENT ON FUNCTION contacts_tier_internal.page_legend() IS
'part of a usage page: what the colours and lines of the chart mean';

CREATE FUNCTION contacts_tier_internal.page_chart(contacts regclass, account text, since timestamptz, now timestamptz,
                                                  forecast record, time_zone text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    span  interval := now - since;
    -- the next update date is shown unless it would leave little room for what happened
    ahead boolean := coalesce(forecast.next_update_at > now
                              AND forecast.next_update_at <= now + greatest(1.5 * span, '35 days'::interval), false);
    last  timestamptz := CASE WHEN ahead THEN forecast.next_update_at + 0.04 * (forecast.next_update_at - since) ELSE now END;
    h     record;
    dates timestamptz[];
    scale record;
    y     numeric;
    x     numeric;
BEGIN
    SELECT array_agg(u.at ORDER BY u.at) AS at, array_agg(u.marketing_contacts ORDER BY u.at) AS used,
           array_agg(u.pending ORDER BY u.at) AS pending, array_agg(u.contact_limit ORDER BY u.at) AS contact_limit,
           array_agg(u.peak ORDER BY u.at) AS peak, greatest(max(u.peak), max(u.contact_limit)) AS highest INTO h
    FROM contacts_tier_internal.page_history($1, $2, since, greatest(span / 400, '1 minute'::interval)) AS u;
    SELECT array_agg(b.period_end) || CASE WHEN ahead THEN forecast.next_update_at END INTO dates
    FROM contacts_tier.billing_periods($1, $2) AS b WHERE b.closed AND b.period_end >= since;
    scale := contacts_tier_internal.page_scale(h.highest);
    x := round(112 + 808 * extract(epoch FROM now - since) / extract(epoch FROM last - since), 1);
    y := round(500 - 220 * h.used[array_length(h.used, 1)] / scale.top, 1);
    RETURN contacts_tier_internal.svg_text(40, 230, 'b', 16, 'Since ' || to_char(since AT TIME ZONE time_zone, 'FMDD FMMonth YYYY'), 420)
        || contacts_tier_internal.page_legend()
        || contacts_tier_internal.page_axis(scale.top, scale.step, 280)
        || format(E'<path class="area" d="%sV500H112Z"/>\n', contacts_tier_internal.page_steps(h.at, h.used, since, last, scale.top))
        || format(E'<path class="leaving" d="%sV500H112Z"/>\n', contacts_tier_internal.page_steps(h.at, h.pending, since, last, scale.top))
        || contacts_tier_internal.page_days(dates, since, last, time_zone)
        || format(E'<path class="edge" d="%s"/>\n', contacts_tier_internal.page_steps(h.at, h.used, since, last, scale.top))
        || CASE WHEN ahead THEN format(E'<path class="ahead" d="M%s %sH%sV%sH920"/>\n', x, y,
                    round(112 + 808 * extract(epoch FROM forecast.next_update_at - since) / extract(epoch FROM last - since), 1),
                    round(500 - 220 * forecast.at_next_update / scale.top, 1))
                ELSE '' END
        || coalesce(contacts_tier_internal.page_limit(h.at, h.contact_limit, since, last, scale.top), '')
        -- a peak often moves the account up: above the line that shows that
        || coalesce(contacts_tier_internal.page_peaks(h, since, last, scale.top), '')
        || format(E'<path class="now" d="M%1$s 280V500"/>\n<circle class="dot" cx="%1$s" cy="%2$s" r="5"/>\n', x, y)
        || contacts_tier_internal.svg_text(least(x, 904), 275, 'b m', 12, 'now', 60);
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.page_chart(regclass, text, timestamptz, timestamptz, record, text) IS
'part of a usage page: usage in steps under the tiers, update dates, and what comes next';

CREATE FUNCTION contacts_tier_internal.page_sources(contacts regclass, account text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result text := contacts_tier_internal.svg_text(40, 562, 'b', 16, 'Sources of the marketing contacts', 430);
    source record;
    per    numeric;
    y      numeric := 592;
BEGIN
    FOR source IN
        SELECT CASE WHEN t.shown THEN coalesce(min(t.source_type), '(not known)') ELSE format('%s others', count(*)) END AS name,
               sum(t.marketing_contacts) AS used, sum(t.pending) AS leaving, max(sum(t.marketing_contacts)) OVER () AS most, t.shown
        FROM (SELECT s.*, row_number() OVER () <= 5 OR count(*) OVER () <= 6 AS shown
              FROM contacts_tier.sources($1, $2) AS s) AS t
        GROUP BY t.shown, CASE WHEN t.shown THEN t.source_type END ORDER BY t.shown DESC, 2 DESC, 1
    LOOP
        per := 170 / source.most;
        result := result || contacts_tier_internal.svg_text(40, y, 'q', 13, source.name, 142)
            || contacts_tier_internal.svg_rect(190, y - 11, (source.used - source.leaving) * per, 12, 'used', 2)
            || contacts_tier_internal.svg_rect(190 + (source.used - source.leaving) * per, y - 11, source.leaving * per, 12, 'leaving', 2)
            || contacts_tier_internal.svg_text(470, y, 'b e', 13, contacts_tier_internal.page_number(source.used), 106);
        y := y + 27;
    END LOOP;
    IF y = 592 THEN
        result := result || contacts_tier_internal.svg_text(40, y, 'q', 13, 'There are no marketing contacts.', 430);
    END IF;
    RETURN result;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN contacts_tier_internal.svg_text(40, 562, 'b', 16, 'Sources of the marketing contacts', 430)
        || contacts_tier_internal.svg_text(40, 592, 'q', 13, 'Only roles that may read the contacts see them.', 430);
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.page_sources(regclass, text) IS
'part of a usage page: marketing contacts by source; says so if the caller may not read the contacts';

CREATE FUNCTION contacts_tier_internal.page_forecast(contacts regclass, account text, now timestamptz, forecast record, s record)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result text := contacts_tier_internal.svg_text(510, 562, 'b', 16, 'What comes next', 410);
    line   record;
    y      numeric := 592;
BEGIN
    IF forecast.next_update_at IS NULL THEN
        RETURN result || contacts_tier_internal.svg_text(510, y, 'q', 13, 'Without a subscription there is no forecast.', 410);
    END IF;
    FOR line IN
        SELECT l.label, l.value FROM (VALUES
            (contacts_tier_internal.page_day(forecast.next_update_at, s.time_zone, now),
             CASE WHEN forecast.next_update_at <= now THEN 'update date is overdue'
                  ELSE contacts_tier_internal.page_number(forecast.at_next_update) || coalesce(' fit tier '
                       || contacts_tier_internal.page_number(forecast.tier_needed), ', in no tier') END),
            ('Renewal, ' || contacts_tier_internal.page_day(forecast.renews_at, s.time_zone, now),
             CASE WHEN forecast.at_renewal = 0 AND forecast.tier_needed_at_renewal IS NULL THEN 'the subscription ends'
                  ELSE contacts_tier_internal.page_number(forecast.at_renewal) || coalesce(' fit tier '
                       || contacts_tier_internal.page_number(forecast.tier_needed_at_renewal), ', in no tier') END),
            ('If exceeded', CASE s.on_exceed WHEN 'upgrade' THEN 'moves to the next tier' WHEN 'block' THEN 'statements are refused'
                                             ELSE 'the rest is non-marketing' END),
            ('Next tier, ' || contacts_tier_internal.page_number(forecast.next_tier),
             coalesce(contacts_tier_internal.page_amount(forecast.next_tier_extra_price, forecast.currency) || ' more a month', 'no price')),
            ('This period', (SELECT contacts_tier_internal.page_amount(b.total, b.currency)
                             FROM contacts_tier.billing_periods($1, $2) AS b WHERE NOT b.closed)),
            ('of these, tier changes', CASE WHEN forecast.period_charges > 0
                                            THEN contacts_tier_internal.page_amount(forecast.period_charges, forecast.currency) END)
            ) AS l (label, value)
    LOOP
        CONTINUE WHEN line.label IS NULL OR line.value IS NULL;
        result := result || contacts_tier_internal.svg_text(510, y, 'q', 13, line.label, 190)
            || contacts_tier_internal.svg_text(920, y, 'e', 13, line.value, 212);
        y := y + 27;
    END LOOP;
    RETURN result;
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.page_forecast(regclass, text, timestamptz, record, record) IS
'part of a usage page: counts and tiers at the next dates, policy and prices';

CREATE FUNCTION contacts_tier_internal.page_changes(contacts regclass, account text, time_zone text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    result text := contacts_tier_internal.svg_text(40, 786, 'b', 16, 'Last changes of the tier', 880);
    change record;
    y      numeric := 816;
BEGIN
    FOR change IN
        SELECT t.* FROM contacts_tier.tier_changes($1, $2) WITH ORDINALITY AS t ORDER BY t.changed_at DESC, t.ordinality LIMIT 5
    LOOP
        result := result
            || contacts_tier_internal.svg_text(40, y, 'q', 13, to_char(change.changed_at AT TIME ZONE time_zone, 'FMDD Mon YYYY'), 116)
            || contacts_tier_internal.svg_text(160, y, '', 13, contacts_tier_internal.page_number(change.from_limit) || ' to '
                   || contacts_tier_internal.page_number(change.to_limit), 236)
            || contacts_tier_internal.svg_text(404, y, 'q', 13,
                   CASE change.reason WHEN 'exceeded' THEN 'exceeded' WHEN 'grace' THEN 'above the limit on the update date'
                                      WHEN 'renewal' THEN 'at renewal' ELSE coalesce(change.reason, 'changed') END
                   || ' with ' || contacts_tier_internal.page_number(change.marketing_contacts) || coalesce(', by ' || change.role, ''), 366)
            || contacts_tier_internal.svg_text(920, y, 'b e', 13,
                   coalesce(contacts_tier_internal.page_amount(change.charge, change.currency), 'no price'), 142);
        y := y + 26;
    END LOOP;
    IF y = 816 THEN
        result := result || contacts_tier_internal.svg_text(40, y, 'q', 13, 'None so far.', 880);
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION contacts_tier_internal.page_changes(regclass, text, text) IS
'part of a usage page: the last changes of the tier, with cause and charge';

CREATE FUNCTION contacts_tier.usage_page(contacts regclass, account text, since timestamptz DEFAULT NULL) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    s      record;
    u      record;
    f      record;
    now    timestamptz := contacts_tier.clock();
    start  timestamptz;
    zone   text;
    day    text;
    title  text;
    height numeric := 860;
BEGIN
    SELECT p.* INTO s FROM contacts_tier_internal.page_account($1, $2) AS p;
    SELECT p.* INTO f FROM contacts_tier.forecast($1, $2) AS p;
    SELECT p.* INTO u FROM contacts_tier.usage($1, $2) AS p;
    zone := coalesce(s.time_zone, current_setting('TimeZone'));
    day := contacts_tier_internal.page_day(u.next_update_at, zone, now);
    -- a chart needs some width
    SELECT least(min(h.at), now - interval '1 hour') INTO start FROM contacts_tier.usage_history($1, $2, $3, interval '1000 years') AS h;
    title := contacts_tier_internal.page_title(coalesce(u.marketing_contacts, 0), coalesce(u.pending_non_marketing, 0),
                                               u.contact_limit, day, s);
    SELECT 862 + 26 * greatest(least(count(*), 5), 1) INTO height FROM contacts_tier.tier_changes($1, $2);
    RETURN format(E'<svg xmlns="http://www.w3.org/2000/svg" width="960" height="%1$s" viewBox="0 0 960 %1$s" role="img">\n'
                  '<title>%2$s: %3$s</title>\n', height, contacts_tier_internal.svg_words($2, 100000),
                  contacts_tier_internal.svg_words(title, 1000))
        || contacts_tier_internal.page_style()
        || E'<defs><clipPath id="bar"><rect x="40" y="138" width="880" height="24" rx="6"/></clipPath></defs>\n'
        || contacts_tier_internal.svg_rect(0, 0, 960, height, 'page')
        || contacts_tier_internal.svg_text(40, 44, 'q b', 14, $2, 880)
        || contacts_tier_internal.svg_text(40, 84, 'b', least(28, 870 / contacts_tier_internal.svg_length(title) / 1.15), title, 880)
        || contacts_tier_internal.svg_text(40, 112, 'q', 14, concat_ws(', ', 'Plan ' || CASE WHEN length(u.plan) > 24 THEN "left"(u.plan, 22) || '...' ELSE u.plan END,
               rtrim(to_char(u.percent_used, 'FM999,999,999,990.9'), '.') || ' % of the tier', 'next update ' || day,
               'renews ' || contacts_tier_internal.page_day(u.renews_at, zone, now),
               CASE WHEN NOT s.record_activity THEN 'activity is not recorded' END), 880)
        || contacts_tier_internal.page_bar(coalesce(u.marketing_contacts, 0), coalesce(u.pending_non_marketing, 0),
                                           CASE WHEN s.ended_at IS NULL THEN coalesce(u.contact_limit, 0) ELSE 0 END, day)
        || contacts_tier_internal.page_chart($1, $2, start, now, f, zone)
        || contacts_tier_internal.page_sources($1, $2)
        || contacts_tier_internal.page_forecast($1, $2, now, f, s)
        || contacts_tier_internal.page_changes($1, $2, zone)
        || contacts_tier_internal.svg_text(40, height - 24, 'q', 11.5,
               format('As of %s, %s.', to_char(now AT TIME ZONE zone, 'FMDD FMMonth YYYY, HH24:MI'), zone), 880)
        || '</svg>';
END
$$;
COMMENT ON FUNCTION contacts_tier.usage_page(regclass, text, timestamptz) IS
'the usage of an account as a picture (SVG): how many of how many, over time, by source, what comes next and what it costs';

CREATE FUNCTION contacts_tier.usage_page(contacts regclass, account anyelement, since timestamptz DEFAULT NULL) RETURNS text
LANGUAGE sql STABLE
AS 'SELECT contacts_tier.usage_page($1, $2::pg_catalog.text, $3)';
