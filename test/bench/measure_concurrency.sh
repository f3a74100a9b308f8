# Single-row promotions by many clients at once, all in one account: transactions
# per second.  Commits take about a millisecond (slow), what the disk takes (on),
# or nothing (off).  Every run promotes other contacts than the one before.

session_options() { # kind of commit
    case $1 in
        slow) echo "-c commit_delay=1000 -c commit_siblings=0" ;;
        *) echo "-c synchronous_commit=$1" ;;
    esac
}

transactions_per_second() { # side, kind of commit, clients
    printf '\\set n :n + 1\n\\set id 1 + :client_id + :n * :clients\n%s;\n' \
        "$(promotion "$1" :id :client_id)" >promote.pgbench
    PGOPTIONS=$(session_options "$2") pgbench -n -M prepared -c "$3" -j 2 -T "$SECONDS_EACH" \
        -D n=-1 -D clients="$3" -f promote.pgbench 2>pgbench.log |
        sed -n 's/^tps = \([0-9.]*\) .*/\1/p'
    [[ ! -s pgbench.log ]] || { cat pgbench.log >&2; exit 1; }
}

one_round() {
    local contacts=$((SECONDS_EACH * 60000)) commit clients side tps

    for commit in slow on off; do
        for clients in 8 32; do
            for side in $(rotated bare ours quiet by_hand margin margin_c row); do
                sql -c "SELECT bench.fill('$side', $contacts, 1)"
                settle "$side"
                tps=$(transactions_per_second "$side" "$commit" "$clients")
                record concurrency "commit $commit" "$clients" "$side" "$tps"
                [[ $(sql -c "SELECT marketing_contact_status FROM \"$side\".contacts WHERE id = $contacts") != marketing ]] ||
                    echo "note: $side ran out of contacts, the last promotions changed nothing" >&2
            done
        done
    done
}
