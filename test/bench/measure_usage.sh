# usage() of one account with few and with many contacts: the time of 10,000 calls,
# and the buffers that a call reads; usage() of many accounts against counting the
# rows of the counter table.

prepare() {
    sql -c "SELECT bench.create_attached('crowd', $USAGE_ACCOUNTS)"
    settle crowd
}

buffers() {
    local call="SELECT * FROM contacts_tier.usage('ours.contacts', '0')"

    sql -c "$call" -c "$call" -c "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, SUMMARY OFF) $call" |
        sed -n 's/^ *Buffers: shared hit=\([0-9]*\).*/\1/p' | head -n 1
}

one_round() {
    local size side statement

    for size in $(rotated 1000 1000000); do
        sql -c "SELECT bench.fill('ours', $size, 1, true)"
        settle ours
        record usage_time "1 account" 10000 "$size contacts" "$(milliseconds \
            "DO \$\$ BEGIN
                FOR i IN 1 .. 10000 LOOP
                    PERFORM FROM contacts_tier.usage('ours.contacts', '0');
                END LOOP;
            END \$\$")"
        record usage_buffers "1 account" 1 "$size contacts" "$(buffers)"
    done
    sql -c "SELECT bench.clear('ours')"
    for side in $(rotated count usage); do
        case $side in
            count) statement='SELECT count(*) FROM crowd.contacts_tier_counter' ;;
            usage) statement="SELECT count(*) FROM contacts_tier.usage('crowd.contacts')" ;;
        esac
        record usage_all "all accounts" "$USAGE_ACCOUNTS" "$side" "$(milliseconds "$statement")"
    done
}
