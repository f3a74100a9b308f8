\set ECHO none
-- The role :owner may call every function of the extension.
SELECT format('GRANT USAGE ON SCHEMA %I TO %I', nspname, :'owner'),
       format('GRANT EXECUTE ON ALL ROUTINES IN SCHEMA %I TO %I', nspname, :'owner')
  FROM pg_namespace WHERE nspname IN ('contacts_tier', 'contacts_tier_internal') \gexec
\set ECHO all
