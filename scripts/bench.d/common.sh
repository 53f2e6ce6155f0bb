# shellcheck shell=bash
# What the measures share. Sourced by scripts/bench, which sets the sizes.
# shellcheck disable=SC2154 # set by scripts/bench and scripts/lib/server.sh

results=()

progress() { printf '%s  %s\n' "$(date +%T)" "$*" >&2; }

# result WHAT AGAINST FIGURE AIM FIGURES-IT-CAME-FROM
result() {
    results+=("| $1 | $2 | $3 | $4 | $5 |")
    progress "  $1, against $2: $3 (aim: $4; $5)"
}

print_results() {
    echo
    echo '| what | against | ratio or figure | aim | from |'
    echo '|---|---|---|---|---|'
    printf '%s\n' "${results[@]}"
}

# Of the numbers on stdin.
median() { sort -g | awk '{ v[NR] = $1 } END { if (NR == 0) exit 1
    print (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2) }'; }
highest() { sort -g | tail -n 1; }
count() { awk 'END { print NR }'; }
two() { awk -v a="$1" 'BEGIN { printf "%.2f", a }'; }

# compare A-FILE B-FILE: the median of the ratios A/B, line by line, and their range
compare() {
    local ratios
    ratios=$(paste "$1" "$2" | awk 'NF != 2 || $2 == 0 { exit 1 } { printf "%.4f\n", $1 / $2 }')
    if [ "$(count <<<"$ratios")" = 1 ]; then
        two "$ratios"
        return
    fi
    printf '%s (%s to %s)' "$(two "$(median <<<"$ratios")")" "$(two "$(sort -g <<<"$ratios" | head -n 1)")" \
        "$(two "$(highest <<<"$ratios")")"
}
# The median of a file, rounded.
middle() { median <"$1" | awk '{ printf ($1 < 100 ? "%.1f" : "%.0f"), $1 }'; }

now_ms() { date +%s%3N; }

start_server() {
    local memory buffers=256MB
    memory=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo)
    if [ "$memory" -ge 8000 ]; then buffers=1GB; fi
    settings=("shared_buffers=$buffers" max_wal_size=16GB checkpoint_timeout=60min autovacuum=off)
    server_make "$dir" "${settings[@]}" max_connections=60
    psql -Xq -v ON_ERROR_STOP=1 -d "host=$dir dbname=postgres user=postgres" -c 'CREATE ROLE bench LOGIN' \
        -c 'GRANT pg_read_all_stats TO bench' -c 'CREATE ROLE svc_app LOGIN'
}

describe_machine() {
    local model disk
    model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
    disk=$(df --output=fstype "$dir" | tail -n 1)
    echo "- date: $(date -u +%F), pgcarve $("$pgcarve" --version | awk '{ print $2 }')"
    echo "- machine: $(nproc) cores, ${model:-$(uname -m)}, $(awk '/^MemTotal/ { printf "%.0f GB", $2 / 1048576 }' /proc/meminfo), $disk"
    echo "- PostgreSQL $(sql postgres 'SHOW server_version'), fsync on, ${settings[*]}"
    echo "- load of the machine when it began: $(cut -d' ' -f1-3 /proc/loadavg)"
    if [ "$disk" = tmpfs ]; then
        echo "- the server's files are in memory: fsync costs nothing here, use --dir"
    fi
    if [ -n "$quick" ]; then echo '- a quick run: these figures mean nothing'; fi
}

dsn() { echo "host=$dir dbname=$1 user=bench"; }
# sql DATABASE STATEMENT…
sql() {
    local database=$1 arguments=() statement
    shift
    for statement in "$@"; do arguments+=(-c "$statement"); done
    psql -XAtq -v ON_ERROR_STOP=1 -d "host=$dir dbname=$database user=postgres" "${arguments[@]}"
}

make_database() {
    sql postgres "CREATE DATABASE $1 OWNER bench"
    sql "$1" "GRANT ALL ON SCHEMA public TO bench"
}

# carve DATABASE TABLE…: the boundary map of one service, svc, and the control schema
carve() {
    local database=$1 table list=''
    shift
    for table in "$@"; do list+="${list:+, }\"$table\""; done
    cat >"$dir/$database.toml" <<TOML
[shared]
dsn = "$(dsn "$database")"
schema = "public"
[defaults]
window = "0s"
clean_runs = 1
[service.svc]
schema = "svc"
role = "svc_app"
tables = [$list]
TOML
    carver "$database" init --yes
}

# carver DATABASE VERB…: runs pgcarve; what it prints is in $carved. Fails like it.
carver() {
    local database=$1 code=0
    shift
    carved=$("$pgcarve" --config "$dir/$database.toml" "$@" </dev/null 2>"$dir/pgcarve.err") || code=$?
    if [ "$code" != 0 ]; then
        printf 'bench: pgcarve %s: exit code %s\n%s\n' "$*" "$code" "$carved" >&2
        cat "$dir/pgcarve.err" >&2
    fi
    return "$code"
}

# timed_sql DATABASE STATEMENT…: milliseconds that the statements took at the server's client
timed_sql() {
    local database=$1 arguments=() statement
    shift
    for statement in "$@"; do arguments+=(-c "$statement"); done
    psql -XAtq -v ON_ERROR_STOP=1 -d "$(dsn "$database")" -c '\timing on' "${arguments[@]}" |
        awk '/^Time: / { sum += $2; n++ } END { if (!n) exit 1; print sum }'
}

# timed COMMAND…: milliseconds on stdout
timed() {
    local from
    from=$(now_ms)
    "$@" >&2
    echo $(($(now_ms) - from))
}

# The table with 12 columns, and rows for it with keys from A to B.
wide_table='CREATE TABLE public.wide (id bigint PRIMARY KEY, customer integer NOT NULL, amount numeric(12,2) NOT NULL,
    reference text NOT NULL, note text, placed_at timestamptz NOT NULL, due date, paid boolean NOT NULL,
    token uuid NOT NULL, attributes jsonb NOT NULL, weight double precision, version bigint NOT NULL DEFAULT 1);
    CREATE INDEX wide_customer ON public.wide (customer); CREATE INDEX wide_placed ON public.wide (placed_at)'
wide_rows() {
    echo "SELECT g, (g::bigint * 7919 % 100000)::integer, (g % 100000) / 100.0, 'R-' || g, CASE WHEN g % 3 = 0 THEN 'please ring twice' END,
        timestamptz '2025-01-01 00:00+00' + g % 31000000 * interval '1 second', date '2025-01-01' + (g % 365)::integer, g % 2 = 0,
        md5(g::text)::uuid, jsonb_build_object('step', g % 7, 'by', 'bench'), g / 7.0, 1 FROM generate_series($1, $2) g"
}
# wide_pair DATABASE: the table with its rows, and an equal, empty one beside it in the schema svc
wide_database() {
    make_database "$1"
    sql "$1" 'SET ROLE bench' "$wide_table" "INSERT INTO public.wide $(wide_rows 1 "$rows")" 'RESET ROLE' 'VACUUM ANALYZE public.wide'
}
twin_of_wide() {
    sql "$1" 'SET ROLE bench' 'CREATE SCHEMA svc' 'CREATE TABLE svc.wide (LIKE public.wide INCLUDING ALL)'
}
drop_database() { sql postgres "DROP DATABASE $1"; }
