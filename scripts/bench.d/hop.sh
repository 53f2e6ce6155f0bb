# shellcheck shell=bash
# Cutover to another server and rollback, under 500 transactions a second: an application that has a connection to each
# side, is refused at the one that closed, and goes on at the other. It is a function in a database of its own, so that pgbench
# drives it and notes how long each transaction took; what pgcarve says it blocked stands beside it.
# shellcheck disable=SC2016,SC2034,SC2154 # Markdown in quotes; sizes set by scripts/bench, which reads load_pid

hop_application() {
    echo "CREATE FUNCTION pay(aid integer, tid integer, bid integer, delta integer) RETURNS void LANGUAGE plpgsql AS \$\$
    DECLARE
        side text := coalesce(nullif(current_setting('bench.side', true), ''), 'from');
        work text := format('UPDATE {}.pgbench_accounts SET abalance = abalance + %4\$s WHERE aid = %1\$s;
            UPDATE {}.pgbench_tellers SET tbalance = tbalance + %4\$s WHERE tid = %2\$s;
            UPDATE {}.pgbench_branches SET bbalance = bbalance + %4\$s WHERE bid = %3\$s;
            INSERT INTO {}.pgbench_history (tid, bid, aid, delta, mtime) VALUES (%2\$s, %3\$s, %1\$s, %4\$s, now())', aid, tid, bid, delta);
    BEGIN
        IF 'from' <> ALL (coalesce(dblink_get_connections(), '{}')) THEN
            PERFORM dblink_connect('from', 'host=$dir/from dbname=hop user=postgres'), dblink_connect('to', 'host=$dir/to dbname=hop user=postgres');
        END IF;
        FOR attempt IN 1..10000 LOOP
            BEGIN
                PERFORM dblink_exec(side, replace(work, '{}', CASE side WHEN 'from' THEN 'public' ELSE 'svc' END));
                PERFORM set_config('bench.side', side, false);
                RETURN;
            EXCEPTION WHEN SQLSTATE 'PGC01' THEN
                side := CASE side WHEN 'from' THEN 'to' ELSE 'from' END;
                PERFORM pg_sleep(0.002); -- while neither side takes writes
            END;
        END LOOP;
        RAISE 'neither side takes writes';
    END \$\$"
}

# hop_switch VERB: as switch_over() of block.sh; a gate that is not open yet is tried again
hop_switch() {
    local from attempt
    for attempt in $(seq 20); do
        carver hop verify svc
        from=$(now_ms)
        if carver hop --format json "$1" svc --yes; then
            printf '%s %s %s\n' "$(sed -n 's/.*"write_block_ms": *\([0-9.]*\).*/\1/p' <<<"$carved")" "$from" "$(now_ms)" >>"$dir/switch.hop.$1"
            return
        fi
        progress "  $1 refused, try $attempt"
        sleep 1
    done
    return 1
}

bench_hop() {
    local round verb rate=500 quiet pid
    if [ "$(sql postgres "SELECT count(*) FROM pg_available_extensions WHERE name = 'dblink'")" = 0 ]; then
        progress '  left out: there is no extension dblink (Debian: postgresql-contrib)'
        return
    fi
    stream_servers
    stream_carve hop pgbench_accounts
    sed -i 's/^tables = .*/tables = ["pgbench_*"]/; s/^window = .*/&\nclean_runs = 1/' "$dir/hop.toml"
    pgbench -i -q -s "$scale" -h "$dir/from" -U postgres hop >"$dir/pgbench.log" 2>&1 || { cat "$dir/pgbench.log" >&2; return 1; }
    stream_sql from hop 'ALTER TABLE pgbench_history ADD COLUMN id bigserial PRIMARY KEY' 'VACUUM ANALYZE'
    carver hop init --yes
    sql postgres 'CREATE DATABASE application OWNER bench'
    sql application 'CREATE EXTENSION dblink' "$(hop_application)"
    cat >"$dir/hop.sql" <<SQL
\\set aid random(1, 100000 * $scale)
\\set bid random(1, $scale)
\\set tid random(1, 10 * $scale)
\\set delta random(-5000, 5000)
SELECT pay(:aid, :tid, :bid, :delta);
SQL
    carver hop sync svc --yes --until-caught-up
    "$pgcarve" --config "$dir/hop.toml" sync svc --yes </dev/null >"$dir/hop.out" 2>&1 &
    pid=$!
    (cd "$dir" && exec pgbench -n -M prepared -c 8 -j 2 -R $rate -T 36000 -l --log-prefix="$dir/clients" -f "$dir/hop.sql" \
        -d "host=$dir dbname=application user=postgres" >"$dir/load.log" 2>&1) &
    load_pid=$!
    quiet=$(now_ms)
    sleep $((seconds + 1))
    printf '0 %s %s\n' $((quiet + 1000)) "$(now_ms)" >"$dir/switch.hop.quiet"
    for round in $(seq "$switches"); do
        for verb in cutover rollback; do
            hop_switch "$verb"
            sleep 1
        done
        progress "  switch $round: cutover $(tail -n 1 "$dir/switch.hop.cutover" | cut -d' ' -f1), rollback $(tail -n 1 "$dir/switch.hop.rollback" | cut -d' ' -f1) ms"
    done
    end_switch_load
    kill -TERM "$pid"
    wait "$pid"
    quiet=$(longest_waits "$dir/switch.hop.quiet")
    for verb in cutover rollback; do
        cut -d' ' -f1 "$dir/switch.hop.$verb" >"$dir/block.hop.$verb"
        longest_waits "$dir/switch.hop.$verb" >"$dir/wait.hop.$verb"
        result "write block at $verb between two servers, $rate tps" '–' \
            "median $(middle "$dir/block.hop.$verb") ms, worst $(highest <"$dir/block.hop.$verb") ms" 'a fraction of a second' "$switches runs"
        result "longest wait of a client at $verb between two servers" "longest without one: $quiet ms" \
            "median $(middle "$dir/wait.hop.$verb") ms, worst $(highest <"$dir/wait.hop.$verb") ms" '–' "$switches runs"
    done
    rm -f "$dir"/clients.*
    carver hop sync svc --yes --until-caught-up
    carver hop verify svc # nothing was lost on the way
    carver hop cancel svc --yes
    drop_database application
    stream_sql from postgres 'DROP DATABASE hop'
    stream_sql to postgres 'DROP DATABASE hop'
}
