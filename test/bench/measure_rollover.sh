# Rollover of a quarter of the contacts against one plain UPDATE of the same rows
# on the table without its triggers ("same"), and
#
#   rollover_memory  peak of the backend's own memory (RssAnon, kB), at two sizes
#   rollover_due     as many contacts in 100 accounts, all of them due, and in
#                    10,000 of which 100 are due; "by account" is a plain UPDATE for
#                    each account, since the rows of one are scattered over the table

prepare() {
    sql -c "SELECT bench.create_attached('few', 100), bench.create_attached('many', 10000)"
}

# Makes the update date of the accounts below $2 pass now
make_due() { # side, accounts
    sql -c "UPDATE $1.contacts_tier_account SET next_update_at = now() WHERE account < $2" -c 'SELECT pg_sleep(0.1)' >/dev/null
}

check_done() { # side
    [[ $(sql -c "SELECT count(*) FROM $1.contacts WHERE marketing_contact_until_next_update") == 0 ]] ||
        { echo "the rollover of $1 left contacts" >&2; exit 1; }
}

# The largest RssAnon of the backend with the application name "rollover", until
# it has gone
peak_memory() {
    local pid='' name value rest peak=0

    while [[ -z $pid ]]; do
        pid=$(sql -c "SELECT pid FROM pg_stat_activity WHERE application_name = 'rollover'")
    done
    while [[ -r /proc/$pid/status ]]; do
        while read -r name value rest; do
            [[ $name != RssAnon: ]] || ((value <= peak)) || peak=$value
        done 2>/dev/null <"/proc/$pid/status" || true
        sleep 0.02
    done
    echo "$peak"
}

memory_of_rollover() {
    local client

    PGAPPNAME=rollover sql -c "SELECT pg_sleep(0.3)" -c 'CALL contacts_tier.rollover()' >/dev/null &
    client=$!
    peak_memory
    wait "$client"
}

plain_update="UPDATE same.contacts
    SET marketing_contact_status = 'non_marketing', marketing_contact_until_next_update = NULL,
        marketing_contact_status_source_type = 'ROLLOVER', marketing_contact_status_source_name = now()::text,
        marketing_contact_status_updated_at = now()
    WHERE marketing_contact_until_next_update"

# The same in batches of 10,000 by their keys, each committed: each fourth contact
# is one of them
batched_update="DO \$\$ BEGIN
    FOR i IN 0 .. (SELECT max(id) / 40000 FROM same.contacts) LOOP
        $plain_update AND account = 0 AND id > i * 40000 AND id <= (i + 1) * 40000;
        COMMIT;
    END LOOP;
END \$\$"

# The same account by account, by the index
update_by_account="DO \$\$ BEGIN
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    FOR i IN 0 .. 99 LOOP
        $plain_update AND account = i;
        COMMIT;
    END LOOP;
END \$\$"

roll_over() { # measure, case, size, label of side, side, accounts, due
    sql -c "SELECT bench.fill_pending('$5', $3, $6, $7)"
    settle "$5"
    if [[ $4 == same ]]; then
        time_statement "$1" "$2" "$3" "$4" "$plain_update"
    elif [[ $4 == batches ]]; then
        time_statement "$1" "$2" "$3" "$4" "$batched_update"
    elif [[ $4 == "by account" ]]; then
        time_statement "$1" "$2" "$3" "$4" "$update_by_account"
    else
        make_due "$5" "$7"
        time_statement "$1" "$2" "$3" "$4" 'CALL contacts_tier.rollover()'
    fi
    check_done "$5"
    sql -c "SELECT bench.clear('$5')"
}

one_round() {
    local size side

    for side in $(rotated same batches ours); do
        roll_over rollover "1 account" "$ROLLOVER_CONTACTS" "$side" "${side/batches/same}" 1 1
    done
    for side in $(rotated same by_account few many); do
        case $side in
            by_account) roll_over rollover_due "100 accounts due" $((ROLLOVER_CONTACTS / 5)) "by account" same 10000 100 ;;
            same) roll_over rollover_due "100 accounts due" $((ROLLOVER_CONTACTS / 5)) same same 10000 100 ;;
            few) roll_over rollover_due "100 accounts due" $((ROLLOVER_CONTACTS / 5)) "100 accounts" few 100 100 ;;
            many) roll_over rollover_due "100 accounts due" $((ROLLOVER_CONTACTS / 5)) "10000 accounts" many 10000 100 ;;
        esac
    done
    for size in $((ROLLOVER_CONTACTS / 5)) $ROLLOVER_CONTACTS; do
        sql -c "SELECT bench.fill_pending('ours', $size, 1, 1)"
        settle ours
        make_due ours 1
        record rollover_memory "1 account" "$ROLLOVER_CONTACTS" \
            "$size contacts" "$(memory_of_rollover)"
        check_done ours
    done
    sql -c "SELECT bench.clear('ours')"
}
