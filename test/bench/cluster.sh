# For the benchmarks: a throw-away cluster with the extension installed.  Source
# this; then, as root, call "in_cluster DIRECTORY COMMAND...", and in the command,
# which runs as user postgres, "start_cluster".
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

# From a copy, so that nothing is left in the tree.  BENCH_INSTALL=no takes the
# extension that is installed.
install_extension() {
    local copy=$1/tree

    mkdir "$copy"
    tar -C "$root" -c --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' . |
        tar -C "$copy" -x --no-same-owner
    {
        [[ ${BENCH_INSTALL:-yes} == no ]] || make -s -C "$copy" -j"$(nproc)" install with_llvm=no
        make -s -C "$copy/test/bench/floor" with_llvm=no
    } >"$1/build.log" 2>&1 || { cat "$1/build.log" >&2; exit 1; }
    install -m 755 "$copy/test/bench/floor/floor.so" "$1/floor.so"
}

# Runs a command as postgres, with BENCH_DIR, a directory of its own in $1
in_cluster() {
    local dir=$1

    shift
    ((EUID == 0)) || { echo "the benchmarks must run as root" >&2; exit 1; }
    choose_server
    chmod 755 "$dir"
    install_extension "$dir"
    mkdir "$dir/cluster"
    chown postgres: "$dir/cluster"
    BENCH_DIR=$dir/cluster FLOOR=$dir/floor runuser -u postgres -- "$@"
}

# Large enough that neither checkpoints nor autovacuum fall into a measure
start_cluster() {
    export PGDATA=$BENCH_DIR/data PGHOST=$BENCH_DIR PGUSER=postgres PGDATABASE=postgres
    unset PGPORT PGOPTIONS
    cd "$BENCH_DIR"
    initdb -D "$PGDATA" -U postgres -A trust --no-sync >initdb.log
    cat >>"$PGDATA/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$BENCH_DIR'
max_connections = 200
shared_buffers = 1GB
max_wal_size = 64GB
min_wal_size = 2GB
checkpoint_timeout = 1d
autovacuum = off
jit = off
wal_compression = off
${BENCH_CONF:-}
CONF
    trap 'pg_ctl -s -D "$PGDATA" -m immediate stop' EXIT
    pg_ctl -s -w -D "$PGDATA" -l server.log start
    psql -Xq -c 'CREATE EXTENSION contacts_tier'
}
