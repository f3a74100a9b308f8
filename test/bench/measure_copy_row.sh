# COPY in one transaction into one account with the row trigger that one writes
# by hand: each contact makes a version of the counter row that the next one has
# to step over, so that the cost is quadratic.

prepare() {
    local size

    for size in $ROW_SIZES; do
        sql -c "COPY (SELECT i, 0, 'contact' || i || '@example.com', 'marketing' FROM generate_series(1, $size) i)
                TO '$BENCH_DIR/copy_row_$size'"
    done
}

one_round() {
    local size side

    for size in $(weighted $ROW_SIZES); do
        for side in $(rotated bare ours row); do
            sql -c "SELECT bench.clear('$side')"
            settle "$side"
            time_statement copy_row "1 account" "$size" "$side" \
                "COPY SIDE.contacts (id, account, email, marketing_contact_status) FROM '$BENCH_DIR/copy_row_$size'"
        done
    done
}
