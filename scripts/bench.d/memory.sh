# shellcheck shell=bash
# The peak of each verb's resident memory, on a big table and on many findings.
# shellcheck disable=SC2016,SC2154 # Markdown in quotes; sizes set by scripts/bench

# peak EXIT-CODE NAME DATABASE VERB…: runs the verb and notes its VmHWM, read from /proc until it ends
peak() {
    local want=$1 name=$2 database=$3 pid key value high=0 code=0
    shift 3
    "$pgcarve" --config "$dir/$database.toml" "$@" </dev/null >"$dir/peak.out" 2>"$dir/peak.err" &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        while read -r key value _; do
            if [ "$key" = VmHWM: ] && [ "$value" -gt "$high" ]; then high=$value; fi
        done 2>/dev/null <"/proc/$pid/status" || true
        sleep 0.01
    done
    wait "$pid" || code=$?
    if [ "$code" != "$want" ]; then
        printf 'bench: pgcarve %s: exit code %s\n' "$*" "$code" >&2
        tail -n 20 "$dir/peak.out" "$dir/peak.err" >&2
        return 1
    fi
    result "memory of \`$name\`" '–' "$(awk -v k="$high" 'BEGIN { printf "%.0f MB", k / 1024 }')" '≤ 100 MB' 'peak resident'
}

bench_memory() {
    wide_database mirrored
    carve mirrored wide
    peak 0 "doctor" mirrored doctor svc
    peak 0 "plan" mirrored plan svc
    peak 0 "split, $rows rows" mirrored split svc --yes
    peak 0 "verify, $rows rows" mirrored verify svc
    sql mirrored 'SET session_replication_role = replica' "UPDATE svc.wide SET note = 'wrong' WHERE id % 10 = 0" \
        'DELETE FROM svc.wide WHERE id % 10 = 1' 'UPDATE svc.wide SET id = -id WHERE id % 10 = 2'
    peak 1 "verify, four rows of ten wrong" mirrored verify svc
    peak 0 "repair, four rows of ten wrong" mirrored repair svc --yes
    peak 0 "verify after the repair" mirrored verify svc
    peak 0 "status" mirrored status svc
    peak 0 "cutover" mirrored cutover svc --yes
    peak 0 "rollback" mirrored rollback svc --yes
    peak 0 "cancel" mirrored cancel svc --yes
    drop_database mirrored
}
