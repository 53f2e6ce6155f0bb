# shellcheck shell=bash
# One statement over many rows of a mirrored table, against the statement and the same once more for the other table.
# shellcheck disable=SC2016,SC2154 # Markdown in quotes; sizes set by scripts/bench

# statement_pair NAME STATEMENT: appends both times to $dir/NAME.a and $dir/NAME.b; @ in the statement is the schema
statement_pair() {
    timed_sql byhand BEGIN "${2//@/public}" "${2//@/svc}" COMMIT >>"$dir/$1.byhand"
    timed_sql mirrored BEGIN "${2//@/public}" COMMIT >>"$dir/$1.mirrored"
}

bench_statement() {
    local round many=100000 from to name text
    if [ -n "$quick" ]; then many=10000; fi
    wide_database mirrored
    carve mirrored wide
    carver mirrored split svc --yes
    wide_database byhand
    twin_of_wide byhand
    sql byhand 'SET ROLE bench' 'INSERT INTO svc.wide SELECT * FROM public.wide'
    from=$((rows + 1)) to=$((rows + many))
    for round in $(seq "$rounds"); do
        for name in mirrored byhand; do sql "$name" 'VACUUM ANALYZE public.wide, svc.wide' CHECKPOINT; done
        # The rows by hand for the second table come from the first one, as somebody would write it.
        timed_sql byhand BEGIN "INSERT INTO public.wide $(wide_rows $from $to)" \
            "INSERT INTO svc.wide SELECT * FROM public.wide WHERE id BETWEEN $from AND $to" COMMIT >>"$dir/insert.byhand"
        timed_sql mirrored BEGIN "INSERT INTO public.wide $(wide_rows $from $to)" COMMIT >>"$dir/insert.mirrored"
        statement_pair update "UPDATE @.wide SET amount = amount + 1, version = version + 1 WHERE id BETWEEN $from AND $to"
        statement_pair delete "DELETE FROM @.wide WHERE id BETWEEN $from AND $to"
        progress "  round $round: insert $(tail -qn 1 "$dir"/insert.{mirrored,byhand} | paste -sd' '), update" \
            "$(tail -qn 1 "$dir"/update.{mirrored,byhand} | paste -sd' '), delete $(tail -qn 1 "$dir"/delete.{mirrored,byhand} | paste -sd' ') ms"
    done
    for name in insert update delete; do
        text=$(tr '[:lower:]' '[:upper:]' <<<"$name")
        result "\`$text\` of $many rows, mirrored" 'the statement, then one for the other table' \
            "$(compare "$dir/$name.mirrored" "$dir/$name.byhand")" '≤ 1.3' "$(middle "$dir/$name.mirrored") against $(middle "$dir/$name.byhand") ms"
    done
    carver mirrored verify svc
    drop_database mirrored
    drop_database byhand
}
