/* contacts_tier: make generates this script from sql/parts; edit the parts */
-- complain if the script is sourced in psql rather than by CREATE EXTENSION
\echo Use "CREATE EXTENSION contacts_tier" to load this file. \quit

