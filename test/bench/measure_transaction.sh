# Single-row promotions in one transaction, all in one account.  They are made by
# a loop in the server, so that no client's time is counted.

one_round() {
    local size side ledger

    for size in $(weighted $TRANSACTION_SIZES); do
        for side in $(rotated bare ours quiet ledger_floor row); do
            [[ $side != row ]] || ((size <= 20000)) || continue
            sql -c "SELECT bench.fill('$side', $size, 1)"
            settle "$side"
            [[ $side != ledger_floor ]] || ledger="INSERT INTO SIDE.ledger (account, recorded_at, event, role, contacts, details)
                VALUES (0, now(), 'activity', current_user, 1, '{\"promoted\": 1, \"source_name\": \"bench\", \"source_type\": \"USER\"}');"
            [[ $side == ledger_floor ]] || ledger=
            time_statement transaction "1 account" "$size" "$side" \
                "DO \$\$ BEGIN
                    FOR i IN 1 .. $size LOOP
                        UPDATE SIDE.contacts SET marketing_contact_status = 'marketing' WHERE id = i;
                        $ledger
                    END LOOP;
                END \$\$"
        done
    done
}
