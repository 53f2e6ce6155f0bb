# shellcheck shell=bash
# pgbench on three databases in turn: plain; mirrored by pgcarve; and one where the client writes both tables itself.
# shellcheck disable=SC2016,SC2154 # Markdown in quotes; sizes set by scripts/bench

pgbench_tables=(pgbench_accounts pgbench_branches pgbench_tellers pgbench_history)

# pgbench's tables; the history gets the key that a mirror needs, in every database
pgbench_database() {
    make_database "$1"
    pgbench -i -q -s "$scale" -d "$(dsn "$1")" >"$dir/pgbench.log" 2>&1 || { cat "$dir/pgbench.log" >&2; return 1; }
    sql "$1" 'ALTER TABLE pgbench_history ADD COLUMN id bigserial PRIMARY KEY' 'VACUUM ANALYZE'
}

# Writes the scripts NAME.sql and NAME.twice.sql.
oltp_scripts() {
    local set
    set="\\set aid random(1, 100000 * $scale)
\\set bid random(1, $scale)
\\set tid random(1, 10 * $scale)
\\set delta random(-5000, 5000)"
    local history='(tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP)'
    local returning='RETURNING id \gset h_'
    local history_twice='(tid, bid, aid, delta, mtime, id) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP, :h_id)'
    cat >"$dir/tpcb.sql" <<SQL
$set
BEGIN;
UPDATE public.pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM public.pgbench_accounts WHERE aid = :aid;
UPDATE public.pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE public.pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO public.pgbench_history $history;
END;
SQL
    cat >"$dir/tpcb.twice.sql" <<SQL
$set
BEGIN;
UPDATE public.pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
UPDATE svc.pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM public.pgbench_accounts WHERE aid = :aid;
UPDATE public.pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE svc.pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE public.pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
UPDATE svc.pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO public.pgbench_history $history $returning
INSERT INTO svc.pgbench_history $history_twice;
END;
SQL
    cat >"$dir/update.sql" <<SQL
$set
UPDATE public.pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SQL
    cat >"$dir/update.twice.sql" <<SQL
$set
BEGIN;
UPDATE public.pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
UPDATE svc.pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
END;
SQL
    cat >"$dir/insert.sql" <<SQL
$set
INSERT INTO public.pgbench_history $history;
SQL
    cat >"$dir/insert.twice.sql" <<SQL
$set
BEGIN;
INSERT INTO public.pgbench_history $history $returning
INSERT INTO svc.pgbench_history $history_twice;
END;
SQL
}

# tps DATABASE SCRIPT off|on: one run
tps() {
    sql "$1" 'VACUUM public.pgbench_branches, public.pgbench_tellers' CHECKPOINT
    PGOPTIONS="-c synchronous_commit=$3" pgbench -n -M prepared -c 4 -j 2 -T "$seconds" -f "$2" -d "$(dsn "$1")" \
        >"$dir/pgbench.log" 2>&1 || { cat "$dir/pgbench.log" >&2; return 1; }
    if ! awk '/^number of failed transactions/ { if ($5 + 0 > 0) exit 1 }' "$dir/pgbench.log"; then
        cat "$dir/pgbench.log" >&2
        return 1
    fi
    awk '/^tps = / { print $3; seen = 1 } END { exit !seen }' "$dir/pgbench.log"
}

bench_oltp() {
    local database table script sync round name aim
    for database in plain mirrored twice; do pgbench_database "$database"; done
    carve mirrored "${pgbench_tables[@]}"
    carver mirrored split svc --yes
    sql twice 'SET ROLE bench' 'CREATE SCHEMA svc'
    for table in "${pgbench_tables[@]}"; do
        sql twice 'SET ROLE bench' "CREATE TABLE svc.$table (LIKE public.$table INCLUDING ALL)" "INSERT INTO svc.$table SELECT * FROM public.$table"
    done
    sql twice 'VACUUM ANALYZE'
    sql mirrored 'VACUUM ANALYZE'
    oltp_scripts
    for script in tpcb update insert; do
        for sync in off on; do
            rm -f "$dir"/tps.*
            for round in $(seq "$rounds"); do
                tps plain "$dir/$script.sql" $sync >>"$dir/tps.plain"
                tps mirrored "$dir/$script.sql" $sync >>"$dir/tps.mirrored"
                tps twice "$dir/$script.twice.sql" $sync >>"$dir/tps.twice"
                progress "  $script, synchronous_commit $sync, round $round: plain $(tail -n 1 "$dir/tps.plain")," \
                    "mirrored $(tail -n 1 "$dir/tps.mirrored"), twice $(tail -n 1 "$dir/tps.twice") tps"
            done
            case $script in
            tpcb) name='TPC-B-like transaction, four tables mirrored' ;;
            update) name='one-row `UPDATE` by key' ;;
            insert) name='one-row `INSERT`' ;;
            esac
            if [ $sync = off ]; then aim='≥ 0.6'; else aim='≥ 0.9'; fi
            result "$name, \`synchronous_commit\` $sync" 'the same without mirror' "$(compare "$dir/tps.mirrored" "$dir/tps.plain")" "$aim" \
                "$(middle "$dir/tps.mirrored") against $(middle "$dir/tps.plain") tps"
            result "$name, \`synchronous_commit\` $sync" 'client writes both tables in one transaction' \
                "$(compare "$dir/tps.mirrored" "$dir/tps.twice")" '≥ 1.4' "$(middle "$dir/tps.mirrored") against $(middle "$dir/tps.twice") tps"
        done
    done
    carver mirrored verify svc # what was measured did its work
    for database in plain mirrored twice; do drop_database "$database"; done
}
