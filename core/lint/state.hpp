// What is known while a change set is judged, statement by statement: which tables are new, what their
// columns are, what the transaction holds, what was set.
//
// What is not known is not assumed: a table that nobody mentioned exists, has rows and has columns of
// unknown types.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lint/facts.hpp"

namespace pgcarve::lint {

// PostgreSQL's lock modes, weakest first.
enum class Lock {
    none,
    access_share,
    row_share,
    row_exclusive,
    share_update_exclusive,
    share,
    share_row_exclusive,
    exclusive,
    access_exclusive
};
[[nodiscard]] char const* text(Lock lock); // "ACCESS EXCLUSIVE"
[[nodiscard]] inline bool blocks_writes(Lock lock) {
    return lock >= Lock::share;
}

struct TableLock {
    sql::QName table; // resolved; empty when the statement does not say which
    Lock mode = Lock::none;
};

// What a statement does to tables that exist.
struct Effect {
    std::vector<TableLock> locks;
    bool rewrites = false;
    bool scans = false;  // reads every row under the lock
    bool builds = false; // an index
    [[nodiscard]] bool slow() const { return rewrites || scans || builds; }
    [[nodiscard]] Lock strongest() const;
};

struct ColumnState {
    std::optional<Type> type;
    bool not_null = false;
    bool is_new = false; // added by this change set
};

struct ConstraintState {
    ConstraintKind kind = ConstraintKind::none; // none: its definition is not known
    NotNullColumns proves_not_null;
    std::vector<std::string> columns;
    bool validated = false;
    int added_in = -1; // the transaction
};

struct TableState {
    Object kind = Object::table;
    bool is_new = false;
    bool complete = false; // its columns are all known
    bool partitioned = false;
    std::map<std::string, ColumnState> columns;
    std::map<std::string, ConstraintState> constraints;
    std::vector<sql::QName> partitions;
};

struct IndexState {
    sql::QName table;
    std::vector<std::string> columns;
    bool unique = false;
    std::vector<std::string> mentions; // columns in its expressions and condition
};

struct Held {
    sql::QName table;
    Lock mode = Lock::none;
    Span by; // the statement
};

class State {
public:
    State(int server_version, std::string default_schema)
        : version{server_version}
        , default_schema_{default_schema}
        , schema_{std::move(default_schema)} {}

    int version;       // major
    bool base = false; // what is applied now is the schema that the change set meets
    bool in_transaction = false;
    int transaction = 0; // counts; every statement outside one is its own
    bool lock_timeout = false;
    bool statement_timeout = false;
    bool utc = false;       // the session's TimeZone was set to UTC
    bool path_set = false;  // by SET search_path in this file
    bool triggers_off = false; // session_replication_role = replica
    std::vector<Held> held; // write-blocking locks on tables that exist, by this transaction
    int ddl_statements = 0; // in this transaction, on tables that exist

    [[nodiscard]] sql::QName resolve(sql::QName const& name) const;
    [[nodiscard]] bool is_new(sql::QName const& table) const; // of a name as written
    [[nodiscard]] TableState const* table(sql::QName const& name) const;
    [[nodiscard]] ColumnState const* column(sql::QName const& table, std::string const& name) const;
    [[nodiscard]] IndexState const* index(sql::QName const& name) const;
    // Whether an index, or the index of a constraint, may stand on the column.
    [[nodiscard]] bool is_indexed(sql::QName const& table, std::string const& column) const;
    // Whether one has it in an expression or condition.
    [[nodiscard]] bool in_expression(sql::QName const& table, std::string const& column) const;
    [[nodiscard]] Action const* routine(sql::QName const& name) const;
    // A CHECK which the server has seen to hold proves that the column has no nulls; it may be NOT NULL
    // already.
    enum class Proof { no, likely, yes };
    [[nodiscard]] Proof not_null(sql::QName const& table, std::string const& column) const;
    [[nodiscard]] bool is_partitioned(sql::QName const& table) const;
    [[nodiscard]] bool constrained_domain(sql::QName const& type) const;
    [[nodiscard]] bool is_new_type(sql::QName const& type) const;
    // Whether a column of the table may be of this type; true when its columns are not all known.
    [[nodiscard]] bool may_use(sql::QName const& table, sql::QName const& type) const;
    // Whether a constraint may be a primary key or unique; what is not known is told from the server's way to name it.
    [[nodiscard]] bool may_be_key(sql::QName const& table, std::string const& constraint) const;
    // Whether the change set has dropped the same NOT NULL or constraint of another table before.
    [[nodiscard]] bool has_let_go(sql::QName const& table, Action const& drop) const;

    void begin_file(bool wrapped);           // wrapped: the runner opens a transaction around it
    void before(Statement const& statement); // a transaction of its own, outside one
    void apply(Action const& action);
    void hold(Effect const& effect, Span by);

private:
    void add_keys(TableState& table, std::string const& name, Column const& column) const;
    void create_table(Action const& action);
    void alter_table(Action const& action);
    void drop(Action const& action);
    void rename(Action const& action);
    void set(Action const& action);
    TableState& touch(sql::QName const& name);
    void end_transaction();

    std::string default_schema_;
    std::string schema_;
    std::map<sql::QName, TableState> tables_;
    std::map<sql::QName, IndexState> indexes_;
    std::map<sql::QName, Action> routines_;
    std::set<sql::QName> constrained_domains_;
    std::set<sql::QName> new_types_;
    std::set<std::pair<sql::QName, std::string>> let_go_; // a column's NOT NULL, or a constraint
    struct Setting {
        bool lock_timeout = false;
        bool statement_timeout = false;
        bool utc = false;
    };
    std::optional<Setting> outer_; // what the end of the transaction brings back
    std::set<std::string> locals_;
};

[[nodiscard]] Effect effect_of(Action const& action, State const& state);

// A change of type that leaves the rows as they are may build indexes anew: those whose operators are another type's, and
// those which have the column in an expression or condition.
[[nodiscard]] bool rebuilds_indexes(Action const& alter_type, State const& state);

enum class TypeChange { free, rewrites, unless_utc, unknown };
// What ALTER COLUMN … TYPE costs; `from` unknown: what can be said of the new type alone.
[[nodiscard]] TypeChange judge_type_change(std::optional<Type> const& from, Type const& to);

} // namespace pgcarve::lint
