# What a new session takes for its first promotion, and for usage() of the account, after
# many single-row promotions of that account by 8 clients, while another session holds a
# snapshot from before them (held), so that no version of a counter row is removed; against
# the same without such a session (free).

write_many() { # statements
    printf '\\set n :n + 1\n\\set id 1 + :client_id + :n * 8\n%s;\n' "$(promotion ours :id 0)" >old_snapshot.pgbench
    PGOPTIONS='-c synchronous_commit=off' pgbench -n -M prepared -c 8 -j 2 -t $(($1 / 8)) -D n=-1 \
        -f old_snapshot.pgbench >/dev/null 2>pgbench.log || { cat pgbench.log >&2; exit 1; }
}

# The library is loaded, and the contact read, before
probe() { # side, id
    local times

    mapfile -t times < <(sql -c 'SELECT contacts_tier.clock()' -c "SELECT FROM ours.contacts WHERE id = $2" \
        -c '\timing on' -c "$(promotion ours "$2" 0)" -c "SELECT FROM contacts_tier.usage('ours.contacts', '0')" |
        sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p')
    record old_snapshot 'first promotion' "$OLD_STATEMENTS" "$1" "${times[0]:-}"
    record old_snapshot usage "$OLD_STATEMENTS" "$1" "${times[1]:-}"
}

one_round() {
    local side i answer

    for side in $(rotated free held); do
        sql -c "SELECT bench.fill('ours', $((OLD_STATEMENTS + 10)), 1)" -c 'VACUUM FULL ours.contacts_tier_counter'
        settle ours
        coproc HOLDER { sql; }
        if [[ $side == held ]]; then
            echo "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM ours.contacts_tier_counter;" >&"${HOLDER[1]}"
            read -r answer <&"${HOLDER[0]}"
        fi
        write_many "$OLD_STATEMENTS"
        for i in 1 2 3 4 5; do
            probe "$side" $((OLD_STATEMENTS + i))
        done
        echo '\q' >&"${HOLDER[1]}"
        wait "$HOLDER_PID" || true
    done
    sql -c "SELECT bench.clear('ours')"
}
