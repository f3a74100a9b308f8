# INSERT ... SELECT of contacts, half of them marketing.  statement_floor sets source
# and time by hand: what keeping the properties costs as such.

one_round() {
    local size=$LARGEST side columns given

    sql -c "SELECT bench.fill('source', $size, 1000, true)" -c 'VACUUM (ANALYZE, FREEZE) source.contacts'
    for side in $(rotated bare same ours statement_floor after_floor before_floor statement); do
        columns='id, account, email, marketing_contact_status' given=
        if [[ $side == statement_floor ]]; then
            given=", 'USER', 'bench', now()"
            columns+=', marketing_contact_status_source_type, marketing_contact_status_source_name, marketing_contact_status_updated_at'
        fi
        sql -c "SELECT bench.clear('$side')"
        settle "$side"
        time_statement insert "1000 accounts" "$size" "$side" \
            "INSERT INTO SIDE.contacts ($columns)
             SELECT id, account, email, marketing_contact_status$given FROM source.contacts"
        sql -c "SELECT bench.clear('$side')"
    done
}

prepare() {
    sql -c "SELECT bench.create_bare('source')"
}
