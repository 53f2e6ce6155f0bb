# shellcheck shell=bash
# `verify` against the query that somebody would write by hand.
# shellcheck disable=SC2016,SC2154 # Markdown in quotes; sizes set by scripts/bench

bench_verification() {
    local round by_hand='SELECT count(*) FROM public.wide a FULL JOIN svc.wide b USING (id) WHERE a IS DISTINCT FROM b'
    wide_database mirrored
    carve mirrored wide
    sed -i 's/window = "0s"/window = "28d"/' "$dir/mirrored.toml" # a run a night: its share of the rows is small
    carver mirrored split svc --yes
    sql mirrored 'VACUUM ANALYZE'
    for round in $(seq "$rounds"); do
        timed_sql mirrored "$by_hand" >>"$dir/join.small"
        timed carver mirrored verify svc >>"$dir/verify"
        sql mirrored "UPDATE public.wide SET amount = amount + 1 WHERE id % 100 = $round"
        timed carver mirrored verify svc --incremental >>"$dir/verify.incremental"
        timed_sql mirrored "SET work_mem = '1GB'" "$by_hand" >>"$dir/join.big"
        progress "  round $round: verify $(tail -n 1 "$dir/verify"), FULL JOIN $(tail -n 1 "$dir/join.small"), with memory $(tail -n 1 "$dir/join.big") ms"
    done
    result "\`verify\` of $rows rows of 12 columns" '`FULL JOIN … WHERE a IS DISTINCT FROM b` (time)' "$(compare "$dir/verify" "$dir/join.small")" \
        '< 1' "$(middle "$dir/verify") against $(middle "$dir/join.small") ms"
    result "\`verify\` of $rows rows of 12 columns" 'the same with `work_mem` 1GB (time)' "$(compare "$dir/verify" "$dir/join.big")" \
        '< 1' "$(middle "$dir/verify") against $(middle "$dir/join.big") ms"
    result '`verify --incremental`, 1 % of the rows changed' 'a full one' "$(compare "$dir/verify.incremental" "$dir/verify")" '–' \
        "$(middle "$dir/verify.incremental") against $(middle "$dir/verify") ms"
    drop_database mirrored
}
