// The boundary map: which service owns which table, and the limits under which it may move.
// The value that pgcarve.toml becomes (config/parse.hpp); names are resolved against a
// catalog by plan/ownership.hpp.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.hpp"
#include "sql/ident.hpp"

namespace pgcarve::model {

// Where something stands in the configuration, for messages.
struct Where {
    std::string file;
    int line = 0;
    std::string key; // service.checkout.tables[2]
};

struct TablePattern {
    std::string text; // as written, without the leading !
    bool exclude = false;
    std::string schema; // pattern; the shared schema when unqualified
    std::string name;   // pattern; * and ? match unless the part was quoted
    bool schema_literal = false; // quoted, or defaulted: no wildcards
    bool name_literal = false;
    Where where;
};

enum class DualWrite { trigger, application };
enum class Strategy { copy, move };
enum class Legacy { refuse, view };
enum class CrossingDecision { keep, loose, replicate, drop };

struct ForeignKeyDecision {
    std::string text; // the key as written
    sql::QName child;
    std::vector<std::string> columns; // either columns and parent …
    std::optional<sql::QName> parent;
    std::optional<std::string> constraint; // … or a constraint's name
    CrossingDecision decision = CrossingDecision::keep;
    Where where;
};

struct Limits {
    base::Millis window = std::chrono::hours{24 * 28};
    int clean_runs = 7;
    base::Millis max_lag = std::chrono::seconds{10};
    base::Millis max_write_block = std::chrono::seconds{2};
    base::Millis max_verification_age = std::chrono::hours{24};
    base::Millis max_transaction_age = std::chrono::minutes{1}; // the oldest writer a cutover starts beside
    base::Millis hold = std::chrono::hours{24 * 7};             // how long `complete` keeps the old tables
};

struct Database {
    std::string dsn;
    std::string schema;
    Where where;
};

struct Service {
    std::string name;
    std::string schema;
    std::optional<std::string> role;
    bool create_role = false;
    std::vector<TablePattern> tables;
    DualWrite dual_write = DualWrite::trigger;
    Strategy strategy = Strategy::copy;
    Legacy legacy = Legacy::refuse;
    Limits limits;
    std::optional<Database> database;
    std::vector<ForeignKeyDecision> foreign_keys;
    std::optional<std::string> migrations; // a pattern of paths: the files whose statements are this service's
    Where where;
};

struct Throttle {
    base::Millis max_replica_lag = std::chrono::seconds{10}; // of any standby, while backfilling
    int max_active_sessions = 0;     // 0: no limit
    int max_lock_waiters = 0;        // sessions that wait for a lock which we hold: pause above
    base::Millis chunk_time{100};    // aimed at, per chunk
    double nice = 0.0;               // sleep this share of the time that a chunk took
};

struct Verify {
    double nice_ratio = 7.0; // for each second of reading while other sessions are active, seconds of rest
};

struct Hooks {
    std::optional<std::string> on_cutover;
    std::optional<std::string> on_rollback;
};

// A finding of `pgcarve lint` that somebody answers for.
struct AcceptedFinding {
    std::string rule;                  // B01
    std::string file;                  // a pattern of paths
    std::optional<std::string> object; // a pattern of what the finding is about
    std::string owner;
    std::string reason;
    std::string until; // YYYY-MM-DD, the last day
    Where where;
};

struct LintSettings {
    std::vector<TablePattern> unowned;           // tables that stay without an owner on purpose
    std::map<std::string, std::string> severity; // by rule: off, warning, error
    std::vector<AcceptedFinding> accept;
};

struct BoundaryMap {
    std::string file;
    std::string dsn;
    std::string replica_dsn; // of a standby of the shared database, where `verify` may read; empty: none
    std::string shared_schema = "public";
    std::map<std::string, Service> services; // by name: output is in this order
    std::vector<TablePattern> reference;
    Throttle throttle;
    Verify verify;
    Hooks hooks;
    LintSettings lint;

    [[nodiscard]] Service const* service(std::string const& name) const;
};

// Whether one pattern, taken by itself (its ! ignored), fits a table's stored name.
[[nodiscard]] bool pattern_matches(TablePattern const& pattern, sql::QName const& table);
// Whether a list owns a table: some pattern fits and no exclusion does; their order means nothing.
[[nodiscard]] bool patterns_own(std::vector<TablePattern> const& patterns, sql::QName const& table);

// * is any run of characters, ? is one character.
[[nodiscard]] bool text_matches(std::string_view pattern, std::string_view text);
// The same for paths: * and ? stop at a slash, ** does not; a leading ./ means nothing.
[[nodiscard]] bool path_matches(std::string_view pattern, std::string_view path);

[[nodiscard]] char const* text(DualWrite v);
[[nodiscard]] char const* text(Strategy v);
[[nodiscard]] char const* text(Legacy v);
[[nodiscard]] char const* text(CrossingDecision v);

} // namespace pgcarve::model
