# shellcheck shell=bash
# Cutover and rollback under 500 transactions a second, which find the side that takes writes as an application would:
# they are refused, and try the other one. What pgcarve says it blocked, and the longest that a client waited.
# shellcheck disable=SC2016,SC2154 # Markdown in quotes; sizes set by scripts/bench

pay_function() {
    local one=''
    body() {
        one="UPDATE $1.pgbench_accounts SET abalance = abalance + delta WHERE pgbench_accounts.aid = pay.aid;
            UPDATE $1.pgbench_tellers SET tbalance = tbalance + delta WHERE pgbench_tellers.tid = pay.tid;
            UPDATE $1.pgbench_branches SET bbalance = bbalance + delta WHERE pgbench_branches.bid = pay.bid;
            INSERT INTO $1.pgbench_history (tid, bid, aid, delta, mtime) VALUES (tid, bid, aid, delta, now());"
    }
    body public
    local shared=$one
    body svc
    echo "CREATE FUNCTION public.pay(aid integer, tid integer, bid integer, delta integer) RETURNS void LANGUAGE plpgsql AS \$\$
    DECLARE
        in_svc boolean := coalesce(current_setting('bench.in_svc', true), '') = 'yes';
    BEGIN
        FOR attempt IN 1..10 LOOP
            BEGIN
                IF in_svc THEN $one ELSE $shared END IF;
                PERFORM set_config('bench.in_svc', CASE WHEN in_svc THEN 'yes' ELSE 'no' END, false);
                RETURN;
            EXCEPTION WHEN SQLSTATE 'PGC01' THEN
                in_svc := NOT in_svc;
            END;
        END LOOP;
        RAISE 'neither side takes writes';
    END \$\$"
}

# switch VERB: one line: write block that pgcarve reports, and from when to when it ran (ms since the epoch)
switch_over() {
    local from
    from=$(now_ms)
    carver block --format json "$1" svc --yes
    printf '%s %s %s\n' "$(sed -n 's/.*"write_block_ms": *\([0-9.]*\).*/\1/p' <<<"$carved")" "$from" "$(now_ms)" >>"$dir/switch.$1"
}

# The longest transaction, from its begin, that ended while a switch ran or within 300 ms after it, for each line of the file.
longest_waits() {
    awk 'NR == FNR { from[NR] = $2; to[NR] = $3 + 300; n = NR; next }
        # Without the schedule lag: that grows as soon as the machine is busy, whoever keeps it so.
        { took = $3 - $7; end = $5 * 1000 + $6 / 1000; for (i = 1; i <= n; i++) if (end >= from[i] && end <= to[i] && took > most[i]) most[i] = took }
        END { for (i = 1; i <= n; i++) printf "%.2f\n", most[i] / 1000 }' "$1" "$dir"/clients.*
}

# Ends the clients that wrote through the switches; fails when one of them met an error.
end_switch_load() {
    sleep 3 # so that the clients' logs hold the last switch: pgbench writes them in blocks
    if ! kill -TERM "$load_pid" 2>/dev/null; then
        cat "$dir/load.log" >&2
        return 1
    fi
    wait "$load_pid" || true # ended by the signal
    load_pid=''
    if grep -iq 'error\|abort' "$dir/load.log"; then
        cat "$dir/load.log" >&2
        return 1
    fi
}

bench_block() {
    local round verb rate=500 quiet
    pgbench_database block
    carve block "${pgbench_tables[@]}"
    carver block split svc --yes
    sql block 'SET ROLE bench' "$(pay_function)"
    cat >"$dir/pay.sql" <<SQL
\\set aid random(1, 100000 * $scale)
\\set bid random(1, $scale)
\\set tid random(1, 10 * $scale)
\\set delta random(-5000, 5000)
SELECT public.pay(:aid, :tid, :bid, :delta);
SQL
    (cd "$dir" && exec pgbench -n -M prepared -c 8 -j 2 -R $rate -T 3600 -l --log-prefix="$dir/clients" -f "$dir/pay.sql" \
        -d "$(dsn block)" >"$dir/load.log" 2>&1) &
    load_pid=$!
    quiet=$(now_ms)
    sleep $((seconds + 1))
    printf '0 %s %s\n' $((quiet + 1000)) "$(now_ms)" >"$dir/switch.quiet"
    for round in $(seq "$switches"); do
        carver block verify svc
        sleep 0.5
        switch_over cutover
        sleep 1
        switch_over rollback
        progress "  switch $round: cutover $(tail -n 1 "$dir/switch.cutover" | cut -d' ' -f1), rollback $(tail -n 1 "$dir/switch.rollback" | cut -d' ' -f1) ms"
        sleep 0.5
    done
    end_switch_load
    quiet=$(longest_waits "$dir/switch.quiet")
    for verb in cutover rollback; do
        cut -d' ' -f1 "$dir/switch.$verb" >"$dir/block.$verb"
        longest_waits "$dir/switch.$verb" >"$dir/wait.$verb"
        result "write block at $verb, $rate tps" '–' "median $(middle "$dir/block.$verb") ms, worst $(highest <"$dir/block.$verb") ms" '≤ 50 ms' "$switches runs"
        result "longest wait of a client at $verb, $rate tps" "longest without one: $quiet ms" \
            "median $(middle "$dir/wait.$verb") ms, worst $(highest <"$dir/wait.$verb") ms" '–' "$switches runs"
    done
    carver block verify svc
    drop_database block
}
