# Instructions of a backend, for each promotion or row, counted by callgrind in a
# single-user server: unlike times they are the same in each run.  What does not
# depend on the number of rows drops out, since the difference of two lengths counts.
#
#   promote      single-row promotions, each in its own transaction, all in one
#                account and of one source, of contacts that lie side by side
#   apart        the same of contacts that lie far apart, so that each is on a page of
#                its own, as in a table that is large
#   transaction  the same in one transaction
#   insert       INSERT ... SELECT of contacts in 1,000 accounts, half of them
#                marketing contacts

APART=100

prepare() {
    sql -c "SELECT bench.create_bare('few_source'), bench.fill('few_source', $((INSTRUCTIONS_ROWS * 60)), 1000, true)" \
        -c 'VACUUM (ANALYZE, FREEZE) few_source.contacts'
}

statement() { # case, side, length
    local end='' contact=i columns='id, account, email, marketing_contact_status' given=''

    [[ $1 == transaction ]] || end='COMMIT;'
    [[ $1 != apart ]] || contact="i * $APART"
    if [[ $2 == statement_floor ]]; then
        given=", 'USER', 'bench', now()"
        columns+=', marketing_contact_status_source_type, marketing_contact_status_source_name, marketing_contact_status_updated_at'
    fi
    case $1 in
        insert) echo "INSERT INTO $2.contacts ($columns)" \
            "SELECT id, account, email, marketing_contact_status$given FROM few_source.contacts WHERE id <= $3" ;;
        *) echo "DO \$\$ BEGIN FOR i IN 1 .. $3 LOOP $(promotion "$2" "$contact" 0); $end END LOOP; END \$\$" ;;
    esac
}

fill_for() { # case, side, length
    local contacts=$3

    [[ $1 != apart ]] || contacts=$((contacts * APART))
    if [[ $1 == insert ]]; then
        sql -c "SELECT bench.clear('$2')"
    else
        sql -c "SELECT bench.fill('$2', $contacts, 1)"
    fi
    settle "$2"
}

# The short length and the long one, which is three times as long.  Run once before, so
# that the slots which such a server uses have been opened.
measure() { # case, short length, sides
    local side i counted=()

    for side in "${@:3}"; do
        fill_for "$1" "$side" $(($2 * 3))
        in_single_user_server "$(statement "$1" "$side" "$2")" env
        for i in 1 3; do
            fill_for "$1" "$side" $(($2 * 3))
            counted[i]=$(count_instructions "$(statement "$1" "$side" $(($2 * i)))")
        done
        record instructions "$1" $(($2 * 3)) "$side" $(((counted[3] - counted[1]) / ($2 * 2)))
    done
}

one_round() {
    ((round == 0)) || return 0
    command -v valgrind >/dev/null || { echo "note: no valgrind, so no instructions are counted" >&2; return 0; }
    measure promote "$INSTRUCTIONS_ROWS" bare statement_floor by_hand ours quiet
    measure apart "$INSTRUCTIONS_ROWS" bare statement_floor ours quiet
    measure transaction $((INSTRUCTIONS_ROWS * 4)) bare statement_floor ours quiet
    measure insert $((INSTRUCTIONS_ROWS * 20)) bare same statement_floor after_floor ours quiet
}
