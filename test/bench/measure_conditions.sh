# What conditions on contacts cost where many rows are written, against "plain", an attached table
# without one.  Contacts stay what they are, but in "delete", where they cease to exist, and
# "restore".  Tables:
#
#   existing     exists: gone_at IS NULL
#   engaged      eligible: opened_at > now() - interval '180 days'
#   pair         both of them
#   called       the first by a function in PL/pgSQL
#   constrained  the same function in a CHECK constraint, and no condition: what PostgreSQL takes
#                to call it

create_side() { # side, condition "exists", condition "eligible"
    sql <<SQL
SELECT bench.create_attached('$1', 1000);
ALTER TABLE $1.contacts ADD gone_at timestamptz, ADD opened_at timestamptz;
SELECT contacts_tier.set_condition('$1.contacts', 'exists', $2), contacts_tier.set_condition('$1.contacts', 'eligible', $3);
SQL
}

prepare() {
    local exists="'gone_at IS NULL'" eligible="\$\$opened_at > now() - interval '180 days'\$\$"

    sql -c "CREATE FUNCTION bench.lives(gone_at timestamptz) RETURNS boolean
            LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN gone_at IS NULL; END'"
    create_side plain NULL NULL
    create_side existing "$exists" NULL
    create_side engaged NULL "$eligible"
    create_side pair "$exists" "$eligible"
    create_side called "'bench.lives(gone_at)'" NULL
    create_side constrained NULL NULL
    sql -c 'ALTER TABLE constrained.contacts ADD CHECK (bench.lives(gone_at))' \
        -c "COPY (SELECT i, i % 1000, 'contact' || i || '@example.com', CASE WHEN i % 2 = 0 THEN 'marketing' ELSE 'non_marketing' END,
                NULL, now() - i % 170 * interval '1 day' FROM generate_series(1, $LARGEST) i) TO '$BENCH_DIR/conditions'"
}

one_round() {
    local side step statement

    for side in $(rotated plain existing engaged pair called constrained); do
        sql -c "SELECT bench.clear('$side')"
        for step in copy update_read update_status delete restore; do
            case $step in
                copy) statement="COPY SIDE.contacts (id, account, email, marketing_contact_status, gone_at, opened_at)
                    FROM '$BENCH_DIR/conditions'" ;;
                update_read) statement='UPDATE SIDE.contacts SET opened_at = now(), gone_at = NULL' ;;
                update_status) statement="UPDATE SIDE.contacts SET marketing_contact_status = 'marketing'" ;;
                delete) statement='UPDATE SIDE.contacts SET gone_at = now()' ;;
                restore) statement='UPDATE SIDE.contacts SET gone_at = NULL' ;;
            esac
            [[ $side$step != constraineddelete ]] || break
            settle "$side"
            time_statement conditions "$step" "$LARGEST" "$side" "$statement"
        done
        sql -c "SELECT bench.clear('$side')"
    done
}
