------------------------------------------------------------------------------
-- An account in its own type.  Each function that has an account as text has an overload
-- with anyelement for it, of the same C function, which reads it by ct_account_argument().
-- It has no default for the account, so what is called without one is the other function; and
-- literals and parameters that are not known to be of a type are text, which PostgreSQL
-- prefers.  An argument that is IN and OUT becomes two, so that the result is text as well.
------------------------------------------------------------------------------

DO $$
DECLARE
    f    record;
    args text;
BEGIN
    FOR f IN
        SELECT p.oid, p.proname, p.prosrc, p.provolatile, p.prorows, p.proargnames AS names,
               coalesce(p.proallargtypes, ARRAY(SELECT unnest(p.proargtypes))) AS types,
               coalesce(p.proargmodes, array_fill('i'::"char", ARRAY[p.pronargs::integer])) AS modes,
               CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END AS kind,
               CASE WHEN p.prokind = 'p' THEN '' ELSE ' RETURNS ' || pg_get_function_result(p.oid) END AS returns,
               p.proretset
        FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'contacts_tier'::regnamespace
          AND p.proargnames[2] = 'account' AND p.proargtypes[1] = 'text'::regtype
          AND p.proname IN ('subscribe', 'change_tier', 'approve_upgrade', 'cancel', 'set_policy', 'has_access',
                            'rename_account', 'usage', 'banner', 'tier_changes', 'billing_periods', 'notifications', 'activity',
                            'forecast', 'preview', 'rollover', 'audience', 'usage_history', 'sources',
                            'undo_promotion', 'explain_change', 'ineligible')
    LOOP
        SELECT string_agg(CASE WHEN n = 1 THEN 'contacts regclass'
                               WHEN n = 2 THEN 'account anyelement'
                               -- of another type, too: rename_account('contacts', id, 7) where id is a bigint
                               WHEN f.names[n] = 'new_account' THEN 'new_account anycompatible'
                               ELSE format('%I %s', f.names[n], format_type(f.types[n], NULL))
                                    || coalesce(' DEFAULT ' || pg_get_function_arg_default(f.oid, n::integer), '')
                          END, ', ' ORDER BY n) FILTER (WHERE f.modes[n] IN ('i', 'b'))
               || coalesce(string_agg(format(', OUT %I %s', f.names[n], format_type(f.types[n], NULL)), '' ORDER BY n)
                           FILTER (WHERE f.modes[n] IN ('b', 'o')), '')
        INTO args
        FROM generate_subscripts(f.types, 1) AS n;
        EXECUTE format('CREATE %s contacts_tier.%I(%s)%s LANGUAGE c%s%s AS ''MODULE_PATHNAME'', %L',
                       f.kind, f.proname, args, f.returns,
                       CASE f.provolatile WHEN 's' THEN ' STABLE' ELSE '' END,
                       CASE WHEN f.proretset THEN format(' ROWS %s', f.prorows) ELSE '' END, f.prosrc);
    END LOOP;

    FOR f IN
        SELECT p.oid::regprocedure AS signature
        FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'contacts_tier'::regnamespace AND p.proargtypes[1] = 'anyelement'::regtype
    LOOP
        EXECUTE format('COMMENT ON ROUTINE %s IS ''the same as with text, for an account that is given in its own type''', f.signature);
    END LOOP;
END
$$;
