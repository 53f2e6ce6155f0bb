# shellcheck shell=bash
# A whole `split` (schema, table, indexes, mirror, copying in checked chunks) against INSERT … SELECT into an equal table.
# shellcheck disable=SC2016,SC2154 # Markdown in quotes; sizes set by scripts/bench

bench_backfill() {
    local round
    wide_database mirrored
    carve mirrored wide
    wide_database byhand
    twin_of_wide byhand
    for round in $(seq "$rounds"); do
        sql byhand 'TRUNCATE svc.wide' CHECKPOINT
        timed_sql byhand 'INSERT INTO svc.wide SELECT * FROM public.wide' >>"$dir/backfill.byhand"
        sql mirrored CHECKPOINT
        timed carver mirrored split svc --yes >>"$dir/backfill.split"
        progress "  round $round: split $(tail -n 1 "$dir/backfill.split"), by hand $(tail -n 1 "$dir/backfill.byhand") ms"
        carver mirrored verify svc
        carver mirrored cancel svc --yes
    done
    result "\`split\` of $rows rows, from start to end" '`INSERT … SELECT` into an equal table (time)' \
        "$(compare "$dir/backfill.split" "$dir/backfill.byhand")" '–' "$(middle "$dir/backfill.split") against $(middle "$dir/backfill.byhand") ms"
    drop_database mirrored
    drop_database byhand
}
