# What the measures share.  A measure is a file measure_NAME.sh with a function
# one_round, which measures all its sides once, in turns, and perhaps a function
# prepare.  "round" is the number of the round.

sql() {
    psql -XqAt -v ON_ERROR_STOP=1 "$@"
}

# The sides in the order of this round: each comes first once
rotated() {
    local first=$((round % $#))

    echo "${@:first + 1}" "${@:1:first}"
}

# Sizes, the small ones repeated: their times scatter most and cost least
weighted() {
    local size

    for size; do
        echo "$size"
        ((size >= 100000 || ROUNDS == 1)) || { echo "$size"; echo "$size"; }
    done
}

# One value.  A case says what else was chosen; times are in milliseconds.
record() { # measure, case, size, side, value
    [[ -n $5 ]] || { echo "no value for $1, $2, $3, $4" >&2; exit 1; }
    echo "$1,$2,$3,$4,$5" >>"$RUNS"
    echo "    $1, $2, $3: $4 $5" >&2
}

# In a fresh session that has loaded our library, as any has that used the table
# before, or has not (COPY does not load it in time by itself)
milliseconds() { # statement, the one before
    sql -c "${2:-SELECT contacts_tier.clock()}" -c '\timing on' -c "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
}

# After filling a table, before measuring
settle() {
    sql -c "VACUUM (ANALYZE, FREEZE) $1.contacts" -c CHECKPOINT
    case $1 in
        ours|quiet|few|many|crowd) sql -c "VACUUM (ANALYZE) $1.contacts_tier_account, $1.contacts_tier_counter, $1.contacts_tier_ledger" ;;
        statement|row|margin|margin_c) sql -c "VACUUM (FULL, ANALYZE) $1.counter" ;;
    esac
}

# The statement by which a side promotes one contact; a side that counts by hand
# does so in the given row
promotion() { # side, id, number of the counter row
    local ledger="INSERT INTO $1.ledger (account, recorded_at, event, role, contacts, details)
        SELECT account, now(), 'activity', current_user, 1, '{\"promoted\": 1, \"source_name\": \"bench\", \"source_type\": \"USER\"}'
        FROM promoted"

    case $1 in
        statement_floor) echo "UPDATE $1.contacts SET marketing_contact_status = 'marketing',
                marketing_contact_status_source_type = 'USER', marketing_contact_status_source_name = 'bench',
                marketing_contact_status_updated_at = now()
            WHERE id = $2" ;;
        ledger_floor) echo "WITH promoted AS (UPDATE $1.contacts SET marketing_contact_status = 'marketing'
            WHERE id = $2 RETURNING account) $ledger" ;;
        by_hand) echo "WITH promoted AS (UPDATE $1.contacts SET marketing_contact_status = 'marketing',
                marketing_contact_status_source_type = 'USER', marketing_contact_status_source_name = 'bench',
                marketing_contact_status_updated_at = now()
            WHERE id = $2 RETURNING account),
            counted AS (UPDATE $1.counter SET used = used + 1, promoted = counter.promoted + 1 WHERE account = 0 AND slot = $3)
            $ledger" ;;
        *) echo "UPDATE \"$1\".contacts SET marketing_contact_status = 'marketing' WHERE id = $2" ;;
    esac | tr '\n' ' '
}

# Statements that name a side's table as SIDE.contacts
time_statement() { # measure, case, size, side, statement
    record "$1" "$2" "$3" "$4" "$(milliseconds "${5//SIDE/\"$4\"}")"
}

# Runs a statement, on one line, in a single-user server, after one that loads our library
in_single_user_server() { # statement, command that runs the server
    pg_ctl -s -w -D "$PGDATA" stop
    printf '%s\n' 'SELECT contacts_tier.clock()' "$1" |
        "${@:2}" postgres --single -D "$PGDATA" postgres >single.log 2>&1
    ! grep -q ERROR single.log || { cat single.log >&2; exit 1; }
    pg_ctl -s -w -D "$PGDATA" -l server.log start
}

# The instructions of a statement there
count_instructions() { # statement, file for the profile
    in_single_user_server "$1" valgrind --tool=callgrind --callgrind-out-file="${2:-/dev/null}"
    sed -n 's/.*Collected : *//p' single.log
}
