# Single-row promotions by many clients at once, all in one account: transactions
# per second.  Commits take about a millisecond (slow), what the disk takes (on),
# or nothing (off).  Every run promotes other contacts than the one before.

prepare() {
    cat >promote.pgbench <<'SQL'
\set n :n + 1
\set id 1 + :client_id + :n * :clients
UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = :id;
SQL
    cat >promote_ledger_floor.pgbench <<'SQL'
\set n :n + 1
\set id 1 + :client_id + :n * :clients
WITH promoted AS (UPDATE contacts SET marketing_contact_status = 'marketing' WHERE id = :id RETURNING account)
INSERT INTO ledger (account, recorded_at, event, role, contacts, details)
SELECT account, now(), 'activity', current_user, 1, '{"promoted": 1, "source_name": "bench", "source_type": "USER"}' FROM promoted;
SQL
}

session_options() { # side, kind of commit
    case $2 in
        slow) echo "-c search_path=$1 -c commit_delay=1000 -c commit_siblings=0" ;;
        *) echo "-c search_path=$1 -c synchronous_commit=$2" ;;
    esac
}

transactions_per_second() { # side, kind of commit, clients
    local script=promote.pgbench

    [[ ! -e promote_$1.pgbench ]] || script=promote_$1.pgbench
    PGOPTIONS=$(session_options "$1" "$2") pgbench -n -M prepared -c "$3" -j 2 -T "$SECONDS_EACH" \
        -D n=-1 -D clients="$3" -f "$script" 2>pgbench.log |
        sed -n 's/^tps = \([0-9.]*\) .*/\1/p'
    [[ ! -s pgbench.log ]] || { cat pgbench.log >&2; exit 1; }
}

one_round() {
    local contacts=$((SECONDS_EACH * 100000)) commit clients side tps

    for commit in slow on off; do
        for clients in 8 32; do
            for side in $(rotated bare ours quiet ledger_floor row); do
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
