#include "config/parse.hpp"

namespace pgcarve::config {

// Prose is commented with "# "; a line that starts with "#" and a key or table is an option to switch on.
// The tests parse both the text as it stands and the text with every option switched on.
std::string_view template_text() {
    return R"toml(# pgcarve.toml: which service owns which tables of the shared database, and under which
# limits they may move. Made for a repository: it holds no passwords (libpq takes those from
# PGPASSFILE, ~/.pgpass or a service file).
#
# Durations are a whole number and a unit: 500ms, 45s, 10m, 6h, 28d.

[shared]
# Any libpq connection string. Empty, or the line left out: PGHOST, PGDATABASE, PGSERVICE …
dsn = "service=monolith"
# The schema of table names that are written without one.
schema = "public"

[defaults]
# For how long both sides must have agreed before a cutover.
window = "28d"
# How many verifications in a row must have been clean, and how old the last one may be.
clean_runs = 7
#max_verification_age = "24h"
# A cutover does not begin while the target is further behind than this,
max_lag = "10s"
# or beside a transaction older than this.
#max_transaction_age = "1m"
# A cutover predicted to hold up writes for longer is refused; one that does is undone.
max_write_block = "2s"
# How long `complete` keeps the old tables, renamed, before `complete --purge` may drop them.
#hold = "7d"

# One table for each service. Its name is what you type: `pgcarve plan checkout`.
#[service.checkout]
# Where its tables go in the shared database. Default: the service's name.
#schema = "checkout"
# The role the service connects as; created if you say so.
#role = "checkout_app"
#create_role = true
# Names as they are stored, without case folding. * and ? match, ! excludes, schema.table
# names another schema, and SQL double quotes take a name literally: "\"Order.Lines\"".
#tables = ["orders", "order_*", "!order_archive"]
# Who writes both sides: "trigger" (pgcarve's mirror) or "application" (pgcarve audits and repairs).
#dual_write = "trigger"
# "copy" keeps both sides in step for the window; "move" is ALTER TABLE … SET SCHEMA: instant, one copy.
#strategy = "copy"
# What the monolith finds at the old names after the cutover: "refuse" (writes fail, saying where
# to go) or "view" (an updatable view of the new tables).
#legacy = "refuse"
# Which migrations are this service's, for `pgcarve lint`: ** crosses folders, * and ? do not.
#migrations = "services/checkout/migrations/**"
# Every key of [defaults] may be set here too.
#window = "14d"

# Leave this out to stop in the service's own schema.
#[service.checkout.database]
#dsn = "service=checkout_db"
#schema = "checkout"

# Every foreign key that leaves or enters the service needs a decision before the database hop:
# keep (schema hop only), loose (checked and cascaded asynchronously), replicate, drop.
# Named by child.column[, column] -> parent, or by child and constraint name.
#[service.checkout.foreign_keys]
#"orders.customer_id -> customers" = "loose"
#"orders orders_country_fkey" = "replicate"

# Tables that many services read: replicated read-only, owned by one.
#[reference]
#tables = ["countries", "currencies"]

# What slows the copying of rows down, for the application's sake.
#[throttle]
#max_replica_lag = "10s"
#max_active_sessions = 40
#max_lock_waiters = 0
# How long one chunk of rows should take; then sleep this share of it.
#chunk_time = "100ms"
#nice = 0.5

# For each second that `verify` reads while other sessions are active, it rests this many; 0: never.
#[verify]
#nice_ratio = 7

# What a database hop may take of the source: connections that copy, and log that is kept for the stream's slot; above
# that, copying waits (pause), or the slot goes to save the source's disk (drop). And what the record of the rows that
# were touched since the last clean verification may take of the target; beyond that, its oldest part is forgotten.
#[sync]
#workers = 2
#max_retained_wal = "50GB"
#on_wal_limit = "pause"
#max_touched = "1GB"

# Shell commands run when authority has moved.
#[hooks]
#on_cutover = "systemctl reload pgbouncer"
#on_rollback = "systemctl reload pgbouncer"

# A PgBouncer whose clients wait while authority moves between databases; also as [service.NAME.pgbouncer].
#[pgbouncer]
#dsn = "host=/run/postgresql port=6432 dbname=pgbouncer user=pgcarve"
#database = "checkout"

# What `pgcarve lint` is to take for granted.
#[lint]
# Tables that stay without an owner on purpose.
#unowned = ["audit_*"]
# How grave findings are, by rule or by family: "off", "warning" or "error". `pgcarve lint --rules` lists the rules;
# those of family H, hygiene, are off unless asked for.
#[lint.severity]
#L20 = "error"
#H = "warning"
# A finding that somebody answers for, up to a day. One that is over, or fits nothing any more, is told.
#[[lint.accept]]
#rule = "B01"
#file = "migrations/2026-03-*.sql"
#object = "orders.customer_id"
#owner = "team-checkout"
#reason = "customers move with the next release"
#until = "2027-01-31"
)toml";
}

} // namespace pgcarve::config
