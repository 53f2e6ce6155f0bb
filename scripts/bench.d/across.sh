# shellcheck shell=bash
# Verification across two servers while a sync keeps them in step, as it does in use: against what the slower one needs to hash
# its own rows, against pg_comparator, and what it costs the clients of the source.
# shellcheck disable=SC2016,SC2154 # Markdown in quotes; sizes set by scripts/bench

across_hash='SELECT count(*), sum(hash_array_extended(ARRAY[int8send(id), int4send(customer), numeric_send(amount), textsend(reference),
    textsend(note), timestamptz_send(placed_at), date_send(due), boolsend(paid), uuid_send(token), jsonb_send(attributes),
    float8send(weight), int8send(version)], 0)) FROM'

there() { psql -XAtq -v ON_ERROR_STOP=1 -d "host=$dir/two dbname=across user=postgres" "$@"; }

across_start() {
    mkdir "$dir/two"
    server_make "$dir/two" "${settings[@]}" max_connections=60
    sql postgres "ALTER SYSTEM SET wal_level = 'logical'"
    server_as "$pg_bin/pg_ctl" -D "$dir/data" -l "$dir/data/server.log" -m fast -w restart >"$dir/start.log"
    psql -Xq -d "host=$dir/two dbname=postgres user=postgres" -c 'CREATE ROLE bench LOGIN SUPERUSER' -c 'CREATE ROLE svc_app LOGIN' \
        -c 'CREATE DATABASE across OWNER bench'
    sql postgres 'ALTER ROLE bench SUPERUSER'
    wide_database across
    carve across wide
    sed -i 's/window = "0s"/window = "28d"/' "$dir/across.toml" # a run a night: its share of the rows is small
    cat >>"$dir/across.toml" <<TOML
[service.svc.database]
dsn = "host=$dir/two dbname=across user=bench"
schema = "svc"
TOML
    carver across sync svc --yes --until-caught-up
    there -c 'VACUUM ANALYZE'
    "$pgcarve" --config "$dir/across.toml" sync svc --yes >"$dir/sync.log" 2>&1 </dev/null &
    across_sync=$!
}

# across_in_step ID: until the target has what was written last, which row ID shows
across_in_step() {
    local wanted
    wanted=$(sql across "SELECT amount FROM public.wide WHERE id = $1")
    until [ "$(there -c "SELECT amount FROM svc.wide WHERE id = $1")" = "$wanted" ]; do
        if ! kill -0 "$across_sync" 2>/dev/null; then
            echo 'bench: the sync has ended' >&2
            cat "$dir/sync.log" >&2
            return 1
        fi
        sleep 0.1
    done
}

# The rows of one residue of a hundred, hashed where they are found by their keys: what no incremental one can do without.
across_touched() {
    sql across "UPDATE public.wide SET amount = amount + 1 WHERE id % 100 = $1"
    across_in_step "$1"
    timed_sql across 'SET jit = off' 'SET max_parallel_workers_per_gather = 0' \
        "$across_hash public.wide WHERE id = ANY (ARRAY(SELECT generate_series($1::bigint, $rows, 100)))"
}

# The time of verify with these options, in milliseconds, as it says itself
across_verify() {
    carver across --format json verify svc "$@" >&2 || [ $? = 1 ]
    sed -n 's/^ *"seconds": *\([0-9.]*\).*/\1/p' <<<"$carved" | head -n 1 | awk '{ print $1 * 1000 }'
}

across_alone() {
    local from=('SET jit = off' 'SET max_parallel_workers_per_gather = 0')
    if [ "$1" = here ]; then
        timed_sql across "${from[@]}" "$across_hash public.wide"
    else
        there -c "${from[0]}" -c "${from[1]}" -c '\timing on' -c "$across_hash svc.wide" | awk '/^Time: / { print $2 }'
    fi
}

# The longer of the two, at the same time: what there is of this machine for a comparison of both.
across_both() {
    local other
    across_alone here >"$dir/across.one" &
    other=$!
    across_alone there >"$dir/across.other"
    wait "$other"
    sort -g "$dir/across.one" "$dir/across.other" | tail -n 1
}

bench_across() {
    local round name
    across_start
    for round in $(seq "$rounds"); do
        across_alone here >>"$dir/across.here"
        across_alone there >>"$dir/across.there"
        paste "$dir/across.here" "$dir/across.there" | awk '{ print ($1 > $2 ? $1 : $2) }' >"$dir/across.alone"
        across_both >>"$dir/across.both"
        across_verify --full >>"$dir/across.full"
        # One row of a hundred is written, and streamed.
        sql across "UPDATE public.wide SET amount = amount + 1 WHERE id % 100 = $round"
        across_in_step "$round"
        across_verify --incremental >>"$dir/across.incremental"
        across_verify --incremental >>"$dir/across.nothing"
        across_touched $((round + 50)) >>"$dir/across.touched"
        there -c "SET pgcarve.mirror = 'on'" -c "UPDATE svc.wide SET note = 'wrong' WHERE id % ($rows / 10) = 7"
        across_verify --full >>"$dir/across.ten"
        there -c "SET pgcarve.mirror = 'on'" -c "UPDATE svc.wide SET note = CASE WHEN id % 3 = 0 THEN 'please ring twice' END WHERE id % ($rows / 10) = 7"
        if across_has_comparator; then
            timed across_comparator md5 >>"$dir/across.comparator"
            timed across_comparator ck >>"$dir/across.comparator.ck"
        fi
        progress "  round $round: alone $(tail -n 1 "$dir/across.alone"), full $(tail -n 1 "$dir/across.full")," \
            "incremental $(tail -n 1 "$dir/across.incremental"), ten differences $(tail -n 1 "$dir/across.ten") ms"
    done
    result "\`verify\` of $rows rows on two servers" 'the slower server hashing its own rows: its rate' \
        "$(compare "$dir/across.alone" "$dir/across.full")" '≥ 0.85' "$(middle "$dir/across.alone") against $(middle "$dir/across.full") ms"
    result 'the same statement on both servers at once, and nothing else' 'the slower server alone: its rate' \
        "$(compare "$dir/across.alone" "$dir/across.both")" '–' "$(middle "$dir/across.alone") against $(middle "$dir/across.both") ms"
    result '`verify --incremental`, 1 % of the rows changed' 'a full one' "$(compare "$dir/across.incremental" "$dir/across.full")" '≤ 0.05' \
        "$(middle "$dir/across.incremental") against $(middle "$dir/across.full") ms"
    result 'the same, nothing changed' 'a full one' "$(compare "$dir/across.nothing" "$dir/across.full")" '–' \
        "$(middle "$dir/across.nothing") against $(middle "$dir/across.full") ms"
    result 'one server finding and hashing such rows, just changed, alone' 'a full one' "$(compare "$dir/across.touched" "$dir/across.full")" '–' \
        "$(middle "$dir/across.touched") against $(middle "$dir/across.full") ms"
    result '`verify`, ten rows differ' 'none differs' "$(compare "$dir/across.ten" "$dir/across.full")" '≤ 1.1' \
        "$(middle "$dir/across.ten") against $(middle "$dir/across.full") ms"
    if [ -s "$dir/across.comparator" ]; then
        result '`pg_comparator` with md5 on the same pair' '`verify`' "$(compare "$dir/across.comparator" "$dir/across.full")" '≥ 5' \
            "$(middle "$dir/across.comparator") against $(middle "$dir/across.full") ms"
        result '`pg_comparator` with its own hash in C' '`verify`' "$(compare "$dir/across.comparator.ck" "$dir/across.full")" '≥ 5' \
            "$(middle "$dir/across.comparator.ck") against $(middle "$dir/across.full") ms"
    else
        progress '  no pg_comparator here (Debian: postgresql-comparator, and postgresql-15-pgcmp at the servers): left out'
    fi
    across_memory
    across_load
    kill -TERM "$across_sync"
    wait "$across_sync" || true
    carver across cancel svc --yes
    server_stop "$dir/two"
}

# With md5, too, it leans on what its extension brings: a cast of bytea to bit.
across_has_comparator() {
    command -v pg_comparator >/dev/null && sql across 'CREATE EXTENSION IF NOT EXISTS pgcmp' 2>/dev/null && there -c 'CREATE EXTENSION IF NOT EXISTS pgcmp' 2>/dev/null
}

# across_comparator HASH. It wants a host, but takes its place from the sources.
across_comparator() {
    pg_comparator "--checksum-function=$1" -1 "DBI:Pg:dbname=across;host=$dir" -2 "DBI:Pg:dbname=across;host=$dir/two" \
        'pgsql://bench@localhost/across/public.wide?id:customer,amount,reference,note,placed_at,due,paid,token,attributes,weight,version' \
        'pgsql://bench@localhost/across/svc.wide' >"$dir/comparator.log" 2>&1 || { cat "$dir/comparator.log" >&2; return 1; }
}

# across_tps [OPTION…]: of two clients of the source, in another database; while it is verified with these options, if any
across_tps() {
    local beside=''
    if [ $# -gt 0 ]; then
        (
            trap 'kill -TERM "$verify"; wait; exit 0' TERM
            while true; do
                "$pgcarve" --config "$dir/across.toml" verify svc --fresh "$@" >"$dir/beside.log" 2>&1 </dev/null &
                verify=$!
                wait "$verify"
            done
        ) &
        beside=$!
    fi
    pgbench -n -b simple-update -c 2 -T "$seconds" -d "$(dsn bank)" 2>"$dir/pgbench.log" | sed -n 's/^tps = \([0-9.]*\).*/\1/p'
    if [ -n "$beside" ]; then
        if ! kill -TERM "$beside"; then
            cat "$dir/beside.log" >&2
            return 1
        fi
        wait "$beside"
    fi
}

across_load() {
    local round
    pgbench_database bank
    for round in $(seq "$rounds"); do
        across_tps >>"$dir/across.tps"
        across_tps --full >>"$dir/across.tps.default"
        across_tps --nice-ratio 0 >>"$dir/across.tps.never"
    done
    result 'pgbench of two clients at the source, beside `verify`' 'without' "$(compare "$dir/across.tps.default" "$dir/across.tps")" '≥ 0.9' \
        "$(middle "$dir/across.tps.default") against $(middle "$dir/across.tps") tps"
    result 'the same, beside `verify --nice-ratio 0`' 'without' "$(compare "$dir/across.tps.never" "$dir/across.tps")" '-' \
        "$(middle "$dir/across.tps.never") against $(middle "$dir/across.tps") tps"
    drop_database bank
}

across_memory() {
    for name in full incremental; do
        peak 0 "verify --$name, two servers, $rows rows" across verify svc "--$name"
    done
}
