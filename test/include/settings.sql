\set ECHO none
-- What is printed is the same on every server, and every day.
SET TIME ZONE 'UTC';
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
\set SHOW_CONTEXT never
\pset null '-'
SET contacts_tier.now = '2026-01-10 10:00+00';
\set ECHO all
