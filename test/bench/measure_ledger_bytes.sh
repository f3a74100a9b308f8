# How much the ledger of an account grows by a promotion, its indexes included, at
# 100 promotions a second by 8 clients: of one source, and of 10 sources at random.
# by_hand has an entry for each promotion.  So few entries of one source fit into the
# pages that are there; so entries are counted, and an entry is as long as the ledger has
# them on average.

sources_of() { # side
    case $1 in
        *10*) echo 10 ;;
        *) echo 1 ;;
    esac
}

promote_at_rate() { # schema, sources
    local change

    change=$(promotion "$1" :id :client_id)
    [[ $1 != ours ]] || change="UPDATE ours.contacts SET marketing_contact_status = 'marketing',
        marketing_contact_status_source_type = 'USER', marketing_contact_status_source_name = 'source ' || :source
        WHERE id = :id"
    printf '\\set n :n + 1\n\\set source random(1, %s)\n\\set id 1 + :client_id + :n * 8\n%s;\n' \
        "$2" "${change//$'\n'/ }" >promote.pgbench
    pgbench -n -M prepared -c 8 -j 2 -R 100 -T "$LEDGER_SECONDS" -D n=-1 -f promote.pgbench >pgbench.out 2>pgbench.log
    [[ ! -s pgbench.log ]] || { cat pgbench.log >&2; exit 1; }
}

# Entries, those included that are still open: set_policy() writes them
entries() { # schema, ledger
    [[ $1 != ours ]] || sql -c "SELECT contacts_tier.set_policy('ours.contacts', '0')" >/dev/null
    sql -c "SELECT count(*) FROM $2"
}

one_round() {
    local side schema ledger before after

    ((round == 0)) || return 0
    for side in by_hand "1 source" "10 sources"; do
        schema=ours ledger=ours.contacts_tier_ledger
        [[ $side != by_hand ]] || schema=by_hand ledger=by_hand.ledger
        sql -c "SELECT bench.fill('$schema', $((LEDGER_SECONDS * 400)), 1)"
        settle "$schema"
        before=$(entries "$schema" "$ledger")
        promote_at_rate "$schema" "$(sources_of "$side")"
        after=$(entries "$schema" "$ledger")
        record ledger_bytes "100 a second" "$LEDGER_SECONDS" "$side" "$(sql -c "SELECT
            round(($after - $before) * (pg_relation_size('$ledger') + pg_indexes_size('$ledger'))::numeric / $after /
                (SELECT count(*) FROM $schema.contacts WHERE marketing_contact_status = 'marketing'), 1)")"
    done
}
