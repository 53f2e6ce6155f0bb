# shellcheck shell=bash
# The database hop between two servers: the copy against `COPY … (format binary)` piped and against pgcopydb, a backlog
# against a native subscription and against decoding alone, the lag at a steady rate, memory under a huge transaction.
# shellcheck disable=SC2016,SC2034,SC2154 # Markdown in quotes; sizes set by scripts/bench, which reads load_pid

stream_sql() { # SERVER DATABASE STATEMENT…
    local server=$1 database=$2 arguments=() statement
    shift 2
    for statement in "$@"; do arguments+=(-c "$statement"); done
    psql -XAtq -v ON_ERROR_STOP=1 -d "host=$dir/$server dbname=$database user=postgres" "${arguments[@]}"
}

stream_servers() {
    local server
    for server in from to; do
        if [ -d "$dir/$server" ]; then continue; fi # of another measure
        mkdir "$dir/$server"
        chmod a+rx "$dir"
        servers+=("$dir/$server")
        server_make "$dir/$server" "${settings[@]}" wal_level=logical max_replication_slots=20 max_wal_senders=20 max_connections=60
    done
}

# stream_carve NAME TABLE: databases NAME on both servers, the table at the source, and a boundary map
stream_carve() {
    stream_sql from postgres "CREATE DATABASE $1"
    stream_sql to postgres "CREATE DATABASE $1"
    cat >"$dir/$1.toml" <<TOML
[shared]
dsn = "host=$dir/from dbname=$1 user=postgres"
schema = "public"
[defaults]
window = "0s"
[service.svc]
schema = "svc"
tables = ["$2"]
[service.svc.database]
dsn = "host=$dir/to dbname=$1 user=postgres"
schema = "svc"
TOML
}

stream_pipe() { # DATABASE FROM-KEY TO-KEY
    psql -Xq -d "host=$dir/from dbname=$1 user=postgres" -c "COPY (SELECT * FROM public.wide WHERE id > $2 AND id <= $3) TO STDOUT (FORMAT binary)" |
        psql -Xq -v ON_ERROR_STOP=1 -d "host=$dir/to dbname=$1 user=postgres" -c 'COPY public.wide FROM STDIN (FORMAT binary)'
}
stream_two_pipes() {
    local half=$((rows / 2)) first
    stream_pipe "$1" 0 "$half" &
    first=$!
    stream_pipe "$1" "$half" "$rows"
    wait "$first"
}

stream_copy() {
    local round key_only=${wide_table%%CREATE INDEX*}
    stream_carve copied wide
    carver copied init --yes
    stream_sql from copied "$key_only" "INSERT INTO public.wide $(wide_rows 1 "$rows")" 'VACUUM ANALYZE public.wide'
    stream_sql to copied "$key_only"
    for round in $(seq "$rounds"); do
        stream_sql to copied 'TRUNCATE public.wide' CHECKPOINT
        timed stream_pipe copied 0 "$rows" >>"$dir/copy.pipe"
        stream_sql to copied 'TRUNCATE public.wide' CHECKPOINT
        timed stream_two_pipes copied >>"$dir/copy.pipes"
        stream_sql to copied CHECKPOINT
        timed carver copied sync svc --yes --until-caught-up >>"$dir/copy.sync"
        carver copied cancel svc --yes
        if command -v pgcopydb >/dev/null; then
            stream_sql to postgres 'CREATE DATABASE cloned'
            timed pgcopydb clone --source "host=$dir/from dbname=copied user=postgres" --target "host=$dir/to dbname=cloned user=postgres" \
                --table-jobs 2 --index-jobs 2 --split-tables-larger-than 50MB --dir "$dir/pgcopydb" --restart --not-consistent >>"$dir/copy.pgcopydb" 2>"$dir/pgcopydb.err"
            stream_sql to postgres 'DROP DATABASE cloned'
        fi
        progress "  round $round: sync $(tail -n 1 "$dir/copy.sync"), pipe $(tail -n 1 "$dir/copy.pipe"), two $(tail -n 1 "$dir/copy.pipes") ms"
    done
    result "\`sync\` of $rows rows, from start to in step" 'one `COPY` piped by psql (time)' "$(compare "$dir/copy.sync" "$dir/copy.pipe")" '≤ 0.75' \
        "$(middle "$dir/copy.sync") against $(middle "$dir/copy.pipe") ms"
    result '' 'two of them, half the keys each' "$(compare "$dir/copy.sync" "$dir/copy.pipes")" '–' "$(middle "$dir/copy.pipes") ms"
    if [ -s "$dir/copy.pgcopydb" ]; then
        result '' 'pgcopydb clone, two jobs' "$(compare "$dir/copy.sync" "$dir/copy.pgcopydb")" '≤ 0.7' "$(middle "$dir/copy.pgcopydb") ms"
    fi
}

# Until the slot has confirmed what was written by now.
stream_native() {
    local end=$1
    stream_sql to native 'ALTER SUBSCRIPTION native ENABLE'
    while [ "$(stream_sql from backlog "SELECT confirmed_flush_lsn >= '$end' FROM pg_replication_slots WHERE slot_name = 'native'")" != t ]; do sleep 0.05; done
    stream_sql to native 'ALTER SUBSCRIPTION native DISABLE'
    while [ "$(stream_sql from backlog "SELECT active FROM pg_replication_slots WHERE slot_name = 'native'")" != f ]; do sleep 0.05; done
}
# With the options that decode fastest.
stream_decode() {
    local options=(-o proto_version=1)
    if [ "$(stream_sql from postgres 'SHOW server_version_num')" -ge 140000 ]; then options=(-o proto_version=2 -o streaming=on -o binary=true); fi
    pg_recvlogical -d "host=$dir/from dbname=backlog user=postgres" --slot decode --start -f /dev/null --endpos "$1" "${options[@]}" \
        -o publication_names=pgcarve_svc
}

stream_backlog() {
    local n=$((rows / 4)) name end round
    local -A backlog=(
        [inserts]="DO \$\$ BEGIN FOR i IN 0..$((n / 1000 - 1)) LOOP INSERT INTO public.wide $(wide_rows "i * 1000 + 1" "i * 1000 + 1000"); COMMIT; END LOOP; END \$\$"
        [updates]="UPDATE public.wide SET version = version + 1, note = 'again'"
        [singles]="DO \$\$ BEGIN FOR i IN 1..$((n / 4)) LOOP UPDATE public.wide SET version = version + 1 WHERE id = 1 + (i * 7919::bigint) % $n; COMMIT; END LOOP; END \$\$"
        [deletes]='DELETE FROM public.wide'
    )
    stream_carve backlog wide
    carver backlog init --yes
    stream_sql from backlog "$wide_table"
    carver backlog sync svc --yes --until-caught-up
    stream_sql to postgres 'CREATE DATABASE native'
    stream_sql to native "$wide_table" \
        "CREATE SUBSCRIPTION native CONNECTION 'host=$dir/from dbname=backlog user=postgres' PUBLICATION pgcarve_svc WITH (copy_data = false, create_slot = false, enabled = false, slot_name = 'native')"
    stream_sql from backlog "SELECT pg_create_logical_replication_slot('native', 'pgoutput')" "SELECT pg_create_logical_replication_slot('decode', 'pgoutput')"
    for round in $(seq "$rounds"); do
        for name in inserts updates singles deletes; do
            stream_sql from backlog 'SET synchronous_commit = off' "${backlog[$name]}" CHECKPOINT
            end=$(stream_sql from backlog 'SELECT pg_current_wal_flush_lsn()')
            timed stream_decode "$end" >>"$dir/backlog.$name.decode"
            timed stream_native "$end" >>"$dir/backlog.$name.native"
            timed carver backlog sync svc --yes --until-caught-up >>"$dir/backlog.$name.sync"
            progress "  round $round: $name: sync $(tail -n 1 "$dir/backlog.$name.sync"), native $(tail -n 1 "$dir/backlog.$name.native"), decoding $(tail -n 1 "$dir/backlog.$name.decode") ms"
        done
    done
    for name in inserts updates singles deletes; do
        result "backlog of $name" 'native subscription (its time / ours)' "$(compare "$dir/backlog.$name.native" "$dir/backlog.$name.sync")" \
            "$([ "$name" = updates ] && echo '≥ 2' || echo '–')" "$(middle "$dir/backlog.$name.native") against $(middle "$dir/backlog.$name.sync") ms"
        result '' 'decoding alone' "$(compare "$dir/backlog.$name.decode" "$dir/backlog.$name.sync")" '≥ 0.9' "$(middle "$dir/backlog.$name.decode") ms"
    done
    for name in native sync decode; do
        paste "$dir"/backlog.{inserts,updates,singles,deletes}."$name" | awk '{ print $1 + $2 + $3 + $4 }' >"$dir/backlog.mix.$name"
    done
    result 'the four together' 'native subscription' "$(compare "$dir/backlog.mix.native" "$dir/backlog.mix.sync")" '≥ 1.6' "$(middle "$dir/backlog.mix.native") against $(middle "$dir/backlog.mix.sync") ms"
    result '' 'decoding alone' "$(compare "$dir/backlog.mix.decode" "$dir/backlog.mix.sync")" '≥ 0.9' "$(middle "$dir/backlog.mix.decode") ms"
}

# Beside a process that follows: lag at a steady rate, then memory under one huge transaction.
stream_steady() {
    local pid high=0 key value end looks=$((seconds * 30))
    stream_sql from backlog "INSERT INTO public.wide $(wide_rows 1 10000)"
    "$pgcarve" --config "$dir/backlog.toml" sync svc --yes </dev/null >"$dir/steady.out" 2>&1 &
    pid=$!
    load_pid=$pid
    cat >"$dir/steady.pgbench" <<'SQL'
\set id random(1, 10000)
UPDATE public.wide SET version = version + 1 WHERE id = :id;
SQL
    pgbench -n -R 200 -c 2 -T "$((seconds * 5))" -f "$dir/steady.pgbench" -h "$dir/from" -U postgres backlog >/dev/null 2>&1 &
    local load=$!
    sleep 1
    stream_sql to backlog 'CREATE TEMPORARY TABLE look (ms float8)' \
        "DO \$\$ BEGIN FOR i IN 1..$looks LOOP INSERT INTO look SELECT extract(epoch FROM applied_at - commit_time) * 1000 FROM pgcarve.stream;
            COMMIT; PERFORM pg_sleep(0.1); END LOOP; END \$\$" 'SELECT ms FROM look' >"$dir/steady.lag"
    wait "$load"
    result 'lag at 200 transactions a second' '–' "median $(middle "$dir/steady.lag") ms, p99 $(sort -g "$dir/steady.lag" | awk '{ v[NR] = $1 } END { print v[int(NR * 0.99)] }') ms" '–' "$(count <"$dir/steady.lag") looks"
    stream_sql from backlog "INSERT INTO public.wide $(wide_rows 1000001 "$((1000000 + huge))")"
    end=$(stream_sql from backlog 'SELECT pg_current_wal_flush_lsn()')
    while [ "$(stream_sql from backlog "SELECT confirmed_flush_lsn >= '$end' FROM pg_replication_slots WHERE slot_name = 'pgcarve_svc'")" != t ]; do sleep 0.2; done
    while read -r key value _; do
        if [ "$key" = VmHWM: ]; then high=$value; fi
    done <"/proc/$pid/status"
    kill -TERM "$pid"
    wait "$pid"
    load_pid=''
    stream_sql to native 'ALTER SUBSCRIPTION native SET (slot_name = NONE)' 'DROP SUBSCRIPTION native'
    stream_sql from backlog "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name IN ('native', 'decode')"
    carver backlog cancel svc --yes
    result "memory of \`sync\` under a transaction of $huge rows" '–' "$(awk -v k="$high" 'BEGIN { printf "%.0f MB", k / 1024 }')" '≤ 100 MB' 'peak resident'
}

bench_stream() {
    stream_servers
    stream_copy
    stream_backlog
    stream_steady
}
