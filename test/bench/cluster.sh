# For the benchmarks: a throw-away cluster with the extension installed, as user
# postgres.  Source this, then call "in_cluster NAME ARGUMENTS...".
#
# PG_CONFIG chooses the server, otherwise PG_MAJOR, otherwise the newest one;
# BENCH_CONF adds lines to postgresql.conf.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)

choose_server() {
    local newest

    newest=$(printf '%s\n' /usr/lib/postgresql/*/bin/pg_config | sort -V | tail -n 1)
    [[ -z ${PG_MAJOR:-} ]] || newest=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config
    PG_CONFIG=${PG_CONFIG:-$newest}
    [[ -x $PG_CONFIG ]] || { echo "found no PostgreSQL server" >&2; exit 1; }
    export PG_CONFIG PATH=$("$PG_CONFIG" --bindir):$PATH
}

# From a copy, so that nothing is left in the tree.  BENCH_INSTALL=no takes what
# is installed.
install_extension() {
    local copy=$1/tree

    [[ ${BENCH_INSTALL:-yes} != no ]] || return 0
    mkdir "$copy"
    tar -C "$root" -c --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' . |
        tar -C "$copy" -x --no-same-owner
    make -s -C "$copy" -j"$(nproc)" install with_llvm=no >"$1/build.log" 2>&1 ||
        { cat "$1/build.log" >&2; exit 1; }
}

start_cluster() {
    initdb -D "$PGDATA" -U postgres -A trust --no-sync >"$BENCH_DIR/initdb.log"
    cat >>"$PGDATA/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$BENCH_DIR'
max_connections = 200
shared_buffers = 512MB
max_wal_size = 8GB
checkpoint_timeout = 1h
wal_compression = off
${BENCH_CONF:-}
CONF
    pg_ctl -s -w -D "$PGDATA" -l "$BENCH_DIR/server.log" start
    trap 'pg_ctl -s -D "$PGDATA" -m immediate stop' EXIT
    psql -Xq -c 'CREATE EXTENSION contacts_tier'
}

# Run this script again inside: as root it builds and installs, as postgres it
# starts the cluster and returns.
in_cluster() {
    if ((EUID == 0)); then
        choose_server
        dir=$(mktemp -d /tmp/contacts_tier-bench.XXXXXX)
        trap 'rm -rf "$dir"' EXIT
        chmod 755 "$dir"
        install_extension "$dir"
        mkdir "$dir/cluster"
        chown postgres: "$dir/cluster"
        BENCH_DIR=$dir/cluster runuser -u postgres -- "$@"
        exit
    fi
    [[ -n ${BENCH_DIR:-} ]] || { echo "$1 must run as root" >&2; exit 1; }
    export PGDATA=$BENCH_DIR/data PGHOST=$BENCH_DIR PGUSER=postgres PGDATABASE=postgres
    unset PGPORT PGOPTIONS
    cd "$BENCH_DIR" || exit 1
    start_cluster
}

# Medians of the last column of a CSV file by the columns before the side, with
# the ratio to the side "bare".  $1: number of columns that say what was
# measured; they are followed by side and value.
medians() {
    awk -F, -v n="$1" '
        function median(key,  i, j, v, m) {
            m = count[key]
            for (i = 1; i <= m; i++) v[i] = value[key, i]
            for (i = 2; i <= m; i++)
                for (j = i; j > 1 && v[j] < v[j - 1]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
            return m % 2 ? v[(m + 1) / 2] : (v[m / 2] + v[m / 2 + 1]) / 2
        }
        NR == 1 {
            for (i = 1; i <= n; i++) printf "%-10s", $i
            next
        }
        {
            what = ""
            for (i = 1; i <= n; i++) what = what sprintf("%-10s", $i)
            if (!(what in seen)) { seen[what] = 1; order[++lines] = what }
            if (!($(n + 1) in known)) { known[$(n + 1)] = 1; side[++sides] = $(n + 1) }
            key = what SUBSEP $(n + 1)
            value[key, ++count[key]] = $NF + 0
        }
        END {
            printf "%10s", side[1]
            for (s = 2; s <= sides; s++) printf "%18s", side[s]
            print ""
            for (l = 1; l <= lines; l++) {
                base = median(order[l] SUBSEP side[1])
                printf "%s%10.0f", order[l], base
                for (s = 2; s <= sides; s++) {
                    m = median(order[l] SUBSEP side[s])
                    printf "%10.0f (%5.2f)", m, (base > 0 ? m / base : 0)
                }
                print ""
            }
        }'
}
