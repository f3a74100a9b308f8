# Single-row promotions in one transaction, all in one account.  They are made by
# a loop in the server, so that no client's time is counted.

one_round() {
    local size side

    for size in $(weighted $TRANSACTION_SIZES); do
        for side in $(rotated bare ours quiet ledger_floor row); do
            [[ $side != row ]] || ((size <= 20000)) || continue
            sql -c "SELECT bench.fill('$side', $size, 1)"
            settle "$side"
            time_statement transaction "1 account" "$size" "$side" \
                "DO \$\$ BEGIN FOR i IN 1 .. $size LOOP $(promotion "$side" i 0); END LOOP; END \$\$"
        done
    done
}
