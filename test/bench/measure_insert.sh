# INSERT ... SELECT of contacts, half of them marketing

one_round() {
    local size=$LARGEST side

    sql -c "SELECT bench.fill('source', $size, 1000, true)" -c 'VACUUM (ANALYZE, FREEZE) source.contacts'
    for side in $(rotated bare same ours after_floor before_floor statement); do
        sql -c "SELECT bench.clear('$side')"
        settle "$side"
        time_statement insert "1000 accounts" "$size" "$side" \
            "INSERT INTO SIDE.contacts (id, account, email, marketing_contact_status)
             SELECT id, account, email, marketing_contact_status FROM source.contacts"
        sql -c "SELECT bench.clear('$side')"
    done
}

prepare() {
    sql -c "SELECT bench.create_bare('source')"
}
