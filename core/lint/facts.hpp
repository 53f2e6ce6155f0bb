// What statements do, as plain values that rules judge: no trace of the parser in them.
//
// A statement becomes a list of actions (an ALTER TABLE has one for each of its commands, a DO block those
// of the statements in it), and a list of references: everything that it names, and how.
// What could not be understood is a gap, never silence.
//
// Names are as written, folded by SQL's rules; an empty schema means that none was written.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lint/source.hpp"
#include "sql/ident.hpp"

namespace pgcarve::lint {

enum class Use { read, write, function, type, sequence };

struct Ref {
    sql::QName name;
    Use use = Use::read;
    Span span;
};

enum class Object {
    table,
    index,
    view,
    materialized_view,
    sequence,
    schema,
    database,
    type,
    domain,
    function,
    trigger,
    policy,
    rule,
    extension,
    publication,
    column,
    constraint,
    role,
    other
};

enum class Verb {
    begin,
    commit,
    rollback,
    savepoint,
    set, // transactions and settings
    create,
    create_as,
    drop,
    rename,
    set_schema,
    add_column,
    drop_column,
    alter_type,
    set_default,
    drop_default,
    set_not_null,
    drop_not_null,
    add_constraint,
    validate_constraint,
    drop_constraint,
    attach_partition,
    detach_partition,
    inherit,
    set_tablespace,
    set_logged,
    set_access_method,
    enable_trigger,
    disable_trigger,
    row_security,
    alter_lightly, // takes SHARE UPDATE EXCLUSIVE: statistics, options, clustering marks
    alter_other,   // any other ALTER TABLE: ACCESS EXCLUSIVE
    alter_object,  // ALTER of what is no table
    truncate,
    insert,
    update,
    remove,
    merge,
    select,
    copy,
    lock,
    vacuum,
    analyze,
    cluster,
    reindex,
    refresh,
    system, // system: CREATE DATABASE and such, no transaction around
    grant,
    revoke,
    comment,
    call,
    execute_text, // execute_text: dynamic SQL
    other
};

enum class ConstraintKind { none, check, foreign_key, unique, primary_key, exclusion, not_null };
enum class Volatility { none, constant, unknown, is_volatile }; // constant: evaluated once for all rows

struct Type {
    sql::QName name; // pg_catalog's internal names for the standard's: int4, varchar
    std::vector<long> modifiers;
    bool array = false;
    [[nodiscard]] std::string text() const;
    auto operator<=>(Type const&) const = default;
};

struct ForeignKey {
    std::string name;
    std::vector<std::string> columns;
    sql::QName parent;
    bool validates = true;
    Span span;
};

// A column as CREATE TABLE or ADD COLUMN says it.
struct Column {
    std::string name;
    Type type;
    bool not_null = false; // by NOT NULL or PRIMARY KEY
    Volatility default_value = Volatility::none;
    bool default_null = false;    // DEFAULT NULL
    std::string default_function; // the first function which is or may be volatile
    bool serial = false;
    bool identity = false;
    bool generated = false; // stored
    bool unique = false;
    bool primary = false;
    bool check = false;
    std::optional<ForeignKey> foreign_key;
};

// Checks that a constraint proves, as far as SET NOT NULL is concerned: the columns x of x IS NOT NULL AND ….
using NotNullColumns = std::vector<std::string>;

// A table's constraint in CREATE TABLE; the columns' own are in Column.
struct TableConstraint {
    std::string name; // "" when the server names it
    ConstraintKind kind = ConstraintKind::none;
    std::vector<std::string> columns;
    NotNullColumns proves_not_null;
};

struct Body; // of a routine

struct Action {
    Verb verb = Verb::other;
    Object object = Object::table;
    sql::QName on; // the object; for indexes, triggers and policies the table (empty when it is not written)
    std::string name;     // of an index, trigger, policy, constraint, setting; the new name of a rename
    std::string old_name; // of a column or constraint that is renamed
    sql::QName other;     // partition, trigger's function, index used, new owner's table
    std::vector<std::string> columns;
    std::vector<Column> definitions;      // CREATE TABLE, ADD COLUMN (one)
    std::vector<ForeignKey> foreign_keys; // CREATE TABLE's, ADD CONSTRAINT (one)
    std::vector<TableConstraint> constraints; // CREATE TABLE's
    std::vector<sql::QName> parents;      // INHERITS, PARTITION OF, LIKE
    ConstraintKind constraint = ConstraintKind::none;
    NotNullColumns proves_not_null;
    Type type;
    // Values of SET, roles of GRANT, lock mode, routine's language, columns in an index's expressions and condition.
    std::vector<std::string> words;
    bool concurrently = false;
    bool conditional = false; // IF [NOT] EXISTS
    bool cascade = false;
    bool only = false;
    bool validates = true; // a constraint without NOT VALID
    bool uses_index = false;
    bool partitioned = false;
    bool partition = false; // CREATE TABLE … PARTITION OF
    bool temporary = false;
    bool unique = false;
    bool whole = false; // UPDATE, DELETE without WHERE
    bool full = false;  // VACUUM FULL
    bool local = false; // SET LOCAL
    bool replace = false;
    bool converts = false; // ALTER TYPE … USING something other than the column
    bool reads = false;    // INSERT … SELECT
    bool in_body = false;  // inside a DO block
    Span span;
    std::vector<Body> body; // one, of a routine that is created
};

struct Gap {
    Span span;
    std::string reason;
};

// Grammar that servers before `version` do not have.
struct Need {
    int version = 0; // major
    std::string what;
};

// What stands in a routine's body; it runs at some other time.
struct Body {
    std::vector<Ref> refs;
    std::vector<Action> actions; // dynamic SQL among them
};

struct Statement {
    Span span;
    std::vector<Action> actions;
    std::vector<Ref> refs; // of the statement and of a DO block; not of routines' bodies
    std::vector<Gap> gaps;
    std::vector<Need> needs;
    bool parsed = false;
};

// The SQL name of an object kind: "materialized view".
[[nodiscard]] char const* text(Object object);

} // namespace pgcarve::lint
