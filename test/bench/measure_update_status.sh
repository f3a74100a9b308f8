# One UPDATE that makes half of the contacts marketing contacts.  "filled" is the
# bare table with source type, source name and time written by hand: what keeping
# the properties costs as such.

one_round() {
    local size side table by_hand

    for size in $(weighted $SIZES); do
        ((size <= 1000000)) || continue
        for side in $(rotated bare filled same ours after_floor before_floor statement); do
            table=$side by_hand=
            if [[ $side == filled ]]; then
                table=bare
                by_hand=", marketing_contact_status_source_type = 'USER', marketing_contact_status_source_name = current_user,
                    marketing_contact_status_updated_at = clock_timestamp()"
            fi
            sql -c "SELECT bench.fill('$table', $size, 1000)"
            settle "$table"
            time_statement update_status "1000 accounts" "$size" "$side" \
                "UPDATE $table.contacts SET marketing_contact_status = 'marketing' $by_hand WHERE id % 2 = 0"
        done
    done
}
