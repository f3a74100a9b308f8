# COPY of contacts, half of them marketing, from a file of the server

copy_file() { # size, accounts
    echo "$BENCH_DIR/copy_$1_$2"
}

prepare() {
    local size accounts

    for size in $SIZES; do
        for accounts in 1 1000; do
            sql -c "COPY (SELECT i, i % $accounts, 'contact' || i || '@example.com',
                        CASE WHEN i % 2 = 0 THEN 'marketing' ELSE 'non_marketing' END
                    FROM generate_series(1, $size) i) TO '$(copy_file "$size" "$accounts")'"
        done
    done
}

copy_statement() { # side, size, accounts
    echo "COPY $1.contacts (id, account, email, marketing_contact_status) FROM '$(copy_file "$2" "$3")'"
}

# As the first statement of a session
copy_first() { # size
    sql -c "SELECT bench.clear('ours')"
    settle ours
    record copy "1 account" "$1" first "$(milliseconds "$(copy_statement ours "$1" 1)" 'SELECT 1')"
    sql -c "SELECT bench.clear('ours')"
}

one_round() {
    local size accounts case side

    for size in $(weighted $SIZES); do
        for accounts in 1000 1; do
            case=$accounts\ accounts
            ((accounts > 1)) || case='1 account'
            for side in $(rotated bare same ours after_floor before_floor statement); do
                sql -c "SELECT bench.clear('$side')"
                settle "$side"
                time_statement copy "$case" "$size" "$side" "$(copy_statement SIDE "$size" "$accounts")"
                sql -c "SELECT bench.clear('$side')"
            done
        done
    done
    copy_first "$LARGEST"
}
