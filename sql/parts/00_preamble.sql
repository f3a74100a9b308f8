/* contacts_tier: made by make from sql/parts, do not edit the whole */
-- complain if the script is sourced in psql rather than by CREATE EXTENSION
\echo Use "CREATE EXTENSION contacts_tier" to load this file. \quit

