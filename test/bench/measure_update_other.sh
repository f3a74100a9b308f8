# An UPDATE of another column of all contacts, half of them marketing

one_round() {
    local size=$LARGEST side

    ((size <= 1000000)) || size=1000000
    for side in $(rotated bare same ours); do
        sql -c "SELECT bench.fill('$side', $size, 1000, true)"
        settle "$side"
        time_statement update_other "1000 accounts" "$size" "$side" "UPDATE SIDE.contacts SET email = 'new' || email"
    done
}
