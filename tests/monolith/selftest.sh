#!/bin/bash
# Proves that `workload check` can fail: corrupts a copy of the database (or the ledger) in one place at a time and
# expects exactly that to be reported. Also that `workload run --follow` finds tables which move under it,
# and that lost servers and killed clients leave nothing that the check mistakes for a loss.
#
#   selftest.sh WORKLOAD-BINARY        needs PostgreSQL's server programs; makes its own server
set -euo pipefail
workload=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
bin=${PGBIN:-$(pg_config --bindir)}
dir=$(mktemp -d /tmp/monolith-selftest.XXXXXX)
cp "$here"/*.sql "$dir"
as() { "$@"; }
if [ "$(id -u)" = 0 ]; then # a server refuses root
    chown -R postgres "$dir"
    as() { runuser -u postgres -- "$@"; }
fi
cd "$dir"
client=''
stop() {
    # Clients that run in the background follow a server that is gone for ever, and hold this script's output open.
    if [ -n "$client" ]; then kill -KILL "$client" 2>/dev/null || true; fi
    as "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null 2>&1 || true
    rm -rf "$dir"
}
trap stop EXIT
as "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C >/dev/null
start() { as "$bin/pg_ctl" -D "$dir/data" -l "$dir/log" -w -o "-k $dir -c listen_addresses='' -c fsync=off" start >/dev/null; }
start
export PGHOST=$dir PGUSER=postgres PGOPTIONS='-c client_min_messages=warning'
sql() { psql -XAtq -v ON_ERROR_STOP=1 -d "$1" -c "$2"; }
failures=0
fail() { echo "FAIL: $*"; failures=$((failures + 1)); }

# expect CODE PATTERN DATABASE LEDGER [ARGUMENT…]
expect() {
    local code=$1 pattern=$2 database=$3 ledger=$4 got=0
    shift 4
    "$workload" check --dsn "dbname=$database" --ledger "$ledger" "$@" >out 2>&1 || got=$?
    if [ $got != "$code" ] || ! grep -q -- "$pattern" out; then
        fail "$database: expected exit $code and '$pattern', got exit $got and:"
        head -5 out
    else
        echo "ok: $(grep -m 1 -- "$pattern" out)"
    fi
}
copies=0
# corrupt PATTERN SQL [ARGUMENT…]: in a fresh copy of the database
corrupt() {
    local pattern=$1 statement=$2
    shift 2
    copies=$((copies + 1))
    sql postgres "CREATE DATABASE c$copies TEMPLATE monolith"
    sql "c$copies" "SET session_replication_role = replica; $statement"
    expect 1 "$pattern" "c$copies" ledger "$@"
    sql postgres "DROP DATABASE c$copies"
}

psql -Xq -v ON_ERROR_STOP=1 -f roles.sql postgres
sql postgres 'CREATE DATABASE monolith OWNER monolith_owner'
PGUSER=monolith_owner psql -Xq1 -v ON_ERROR_STOP=1 -f schema.sql monolith
PGUSER=monolith_owner psql -Xq1 -v ON_ERROR_STOP=1 -v scale=0.01 -f seed.sql monolith >/dev/null
app="dbname=monolith user=monolith_app"
"$workload" run --dsn "$app" --clients 4 --seconds 8 --ledger ledger >run.json || fail "run: $(cat run.json)"
tenant=$(sed 's/.*"tenant": \([0-9]*\).*/\1/' run.json)
expect 0 ' 0 lost, 0 invented$' monolith ledger

one="ctid = (SELECT min(ctid) FROM"
mine="WHERE tenant_id = $tenant)"
corrupt 'lost: public.order_lines .*differs' "UPDATE order_lines SET quantity = quantity + 1 WHERE $one order_lines $mine"
corrupt 'lost: public.order_addresses .*differs' "UPDATE order_addresses SET address.street = 'x' WHERE $one order_addresses $mine"
corrupt 'lost: public.order_notes .*missing' "DELETE FROM order_notes WHERE $one order_notes $mine"
corrupt 'lost: public.order_events .*missing' "DELETE FROM order_events WHERE event_id = (SELECT max(event_id) FROM order_events $mine"
corrupt 'lost: public.cart_items .*differs' "UPDATE cart_items SET gift_message = '' WHERE $one cart_items WHERE gift_message IS NULL AND tenant_id = $tenant)"
corrupt 'lost: public.checkout_sessions .*differs' "UPDATE checkout_sessions SET rate = 0 WHERE $one checkout_sessions WHERE rate = 0 AND rate::text = '-0' AND tenant_id = $tenant)"
corrupt 'invented: public.order_notes .*nobody' "INSERT INTO order_notes SELECT gen_random_uuid(), order_id, tenant_id, NULL, 'x' FROM orders WHERE tenant_id = $tenant LIMIT 1"
corrupt 'invented: public.audit_log .*twice' "INSERT INTO audit_log (tenant_id, object) SELECT tenant_id, object FROM audit_log WHERE tenant_id = $tenant LIMIT 1"
corrupt 'money: the sum of all accounts' "UPDATE ledger_accounts SET balance = balance + 0.01 WHERE tenant_id = $tenant AND kind = 'wallet' AND number = 0"
deleted=$(awk -F'\t' '$1 == "I" { for (i = 6; i < NF; i += 4) if ($i == "checkout_sessions" && $(i + 3) == "-") last = $(i + 1) } END { print last }' ledger)
corrupt 'invented: public.checkout_sessions .*was deleted' "INSERT INTO checkout_sessions (token, tenant_id, state) VALUES ('$deleted', $tenant, '{}')"
seeded=$(sql monolith "SELECT min(order_id) FROM orders WHERE attributes ? 'touched'")
corrupt "lost: public.orders $seeded: differs" "UPDATE orders SET version = version - 1 WHERE order_id = $seeded"

# Two sides: the second is a copy, then a copy with one row less.
sides="CREATE SCHEMA side; DO \$\$ DECLARE t text; BEGIN FOREACH t IN ARRAY '{carts,cart_items,orders,order_lines,order_addresses,
    order_discounts,order_notes,order_events,checkout_sessions}'::text[] LOOP EXECUTE format('CREATE TABLE side.%1\$I AS TABLE public.%1\$I', t);
    END LOOP; END \$\$;"
sql postgres 'CREATE DATABASE sides TEMPLATE monolith'
sql sides "$sides"
expect 0 ' 0 lost, 0 invented$' sides ledger --also-schema checkout=side
corrupt 'lost: side.orders .*missing' "$sides DELETE FROM side.orders WHERE order_id = (SELECT max(order_id) FROM orders $mine" --also-schema checkout=side

# The ledger: an unknown outcome is accepted either way, but not by half; an update nobody recorded is found, and a lost one.
# Of a transaction whose rows nobody touched again, or the later write would count.
placed=$(awk -F'\t' 'NR == FNR { if ($1 == "I") for (f = 7; f <= NF; f += 4) ++writes[$f]; next }
    $1 == "I" && $5 == "take_notes" && writes[$7] == 1 { id = $2 "\t" $3 "\t" $4 } END { print id }' ledger ledger)
grep -v -x "A	$placed" ledger >doubt
expect 0 ' 0 lost, 0 invented, 1 in doubt' monolith doubt
note=$(awk -F'\t' -v id="$placed" '$1 == "I" && $2 "\t" $3 "\t" $4 == id { print $7 }' ledger)
sql postgres 'CREATE DATABASE half TEMPLATE monolith'
sql half "SET session_replication_role = replica; DELETE FROM order_notes WHERE note_id = '$note'"
expect 1 'by half' half doubt
# One whose variants somebody wrote again later: only then a version is missing in between.
again=$(awk -F'\t' '$1 == "I" && $5 == "touch_prices" && $6 == "product_variants" { if ($7 in first) { print first[$7]; exit }
    first[$7] = $2 "\t" $3 "\t" $4 }' ledger)
[ -n "$again" ] || fail 'nobody wrote the same variants twice'
grep -v "^[IA]	$again\b" ledger >gap
expect 1 'invented: product_variants .*written by nobody' monolith gap
awk -F'\t' -v OFS='\t' '$1 == "I" && $5 == "touch_prices" && ++n == 1 { print; print "A", $2, $3, $4; $4 = 9999999; print; $1 = "A"; NF = 4 } { print }' ledger |
    awk '!(/^A/ && seen[$0]++)' >twice
expect 1 'lost: product_variants .*acknowledged twice' monolith twice

# The tables move while clients follow; then the old names refuse like pgcarve's fence does.
# wait_for COMMAND…: until it succeeds, for at most half a minute
wait_for() { for _ in $(seq 300); do if "$@"; then return; fi; sleep 0.1; done; fail "waited in vain for: $*"; }
acknowledged() { [ "$(grep -c ^A "$1")" -ge "$2" ]; }
"$workload" run --dsn "$app" --clients 4 --follow --service checkout=checkout --prepared --ledger ledger >run.json &
client=$!
wait_for acknowledged ledger $(($(grep -c ^A ledger) + 500))
# Clients lock these tables in any order, so a transaction that takes them all may be the victim of a deadlock.
move() {
    sql monolith "SET lock_timeout = '500ms'; CREATE SCHEMA checkout AUTHORIZATION monolith_owner; GRANT USAGE ON SCHEMA checkout TO checkout_app;
    DO \$\$ DECLARE t text; BEGIN FOR t IN SELECT c.relname FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    AND (relname IN ('carts', 'cart_items', 'orders', 'checkout_sessions') OR relname LIKE 'order\\_%') AND relname <> 'order_archive' ORDER BY relname
    LOOP EXECUTE format('ALTER TABLE public.%I SET SCHEMA checkout', t); END LOOP; END \$\$;" 2>move.err && return
    grep -q 'deadlock detected\|lock timeout' move.err || { cat move.err >&2; exit 1; }
    return 1
}
wait_for move
wait_for acknowledged ledger $(($(grep -c ^A ledger) + 500))
kill -TERM $client
wait $client || fail "follow: $(cat run.json)"
client=''
grep -q '"retries": {.*"42P01"' run.json || fail "nobody followed: $(cat run.json)"
expect 0 ' 0 lost, 0 invented$' monolith ledger --service checkout=checkout
sql monolith "CREATE FUNCTION public.moved() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN RAISE 'moved' USING ERRCODE = 'PGC01'; END \$\$;
    DO \$\$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM pg_class WHERE relnamespace = 'checkout'::regnamespace AND relkind IN ('r', 'p') LOOP
    EXECUTE format('CREATE TABLE public.%1\$I (LIKE checkout.%1\$I); GRANT ALL ON public.%1\$I TO monolith_app; CREATE TRIGGER moved BEFORE INSERT OR UPDATE
    OR DELETE ON public.%1\$I FOR EACH STATEMENT EXECUTE FUNCTION public.moved()', t); END LOOP; END \$\$"
"$workload" run --dsn "$app" --clients 2 --seconds 3 --follow --service checkout=checkout --ledger ledger >run.json || fail "fence: $(cat run.json)"
grep -q '"refused": [1-9]' run.json || fail "nobody was refused: $(cat run.json)"
expect 0 ' 0 lost, 0 invented$' monolith ledger --service checkout=checkout
"$workload" run --dsn "$app" --clients 1 --seconds 2 --ledger refused >run.json 2>/dev/null && fail 'a refusal without --follow is not an error' || echo 'ok: refused without --follow'

# A server that dies under the clients, then clients that die.
"$workload" run --dsn "$app" --clients 4 --service checkout=checkout --ledger ledger >run.json 2>errors &
client=$!
for _ in 1 2 3; do
    wait_for acknowledged ledger $(($(grep -c ^A ledger) + 300))
    as "$bin/pg_ctl" -D "$dir/data" -m immediate -w stop >/dev/null
    start
done
wait_for acknowledged ledger $(($(grep -c ^A ledger) + 300))
kill -KILL $client
wait $client 2>/dev/null || true
client=''
nobody() { [ "$(sql postgres "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'workload%'")" = 0 ]; }
wait_for nobody
expect 0 ' 0 lost, 0 invented' monolith ledger --service checkout=checkout

echo "$failures failed"
[ $failures = 0 ]
