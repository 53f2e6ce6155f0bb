// The functions and triggers that keep a follower equal to its authority, and those that keep
// foreign writes off the follower: generated as values, from which the SQL that installs,
// switches and drops them follows, and against which the server's catalog is compared.
//
// The mirror works by state, not by value: a statement's transition table says which keys it
// touched, and the follower's rows of these keys become what the authority's rows are now. So
// a trigger of the application that writes the same row again inside the statement cannot
// leave an older value behind. Rows are taken in the statement's order, each by index, whatever
// the planner's statistics were when the plan was cached.
//
// A write that meets a follower row which the transaction's snapshot cannot see fails with
// 40001: it is never lost.
//
// Pure: values in, SQL text out. Everything goes into the schema "pgcarve"; a table's
// triggers have fixed names, so a table belongs to one pair.
#pragma once

#include <string>
#include <vector>

#include "mirrorgen/spec.hpp"
#include "sql/builder.hpp"

namespace pgcarve::mirrorgen {

struct Function {
    sql::QName name;
    std::vector<std::string> settings; // "search_path=pg_catalog, pg_temp", as proconfig holds them, in order
    std::string body;                  // prosrc
    bool security_definer = true;      // else it has no settings either: it looks at its caller's
    auto operator<=>(Function const&) const = default;
};

struct Trigger {
    sql::QName table;
    std::string name;
    int type = 0;         // tgtype: 1 row, 2 before, 4 insert, 8 delete, 16 update, 32 truncate
    bool constraint = false; // deferrable initially deferred
    std::string old_table; // transition tables; empty: none
    std::string new_table;
    std::string when;     // SQL condition; empty: always
    sql::QName function;
    std::vector<sql::QName> clones;      // partitions that carry a clone of it
    std::vector<sql::QName> disabled_on; // clones that stay disabled when it is enabled
    std::vector<std::string> of_columns; // UPDATE OF, sorted; empty: any
};

// A view of a table, in the schema "pgcarve": functions reach the table through it. While it stands, a column cannot
// be dropped or retyped under the mirror, and a column or table that is renamed is still found.
struct View {
    sql::QName name;
    sql::QName table;
    std::vector<std::string> columns;
};

// What one direction of one pair is made of: its mirror, or its fence.
struct Machinery {
    std::vector<std::string> owners; // of the tables: they may execute the functions
    std::vector<View> views; // both tables'; the pair's other machinery has the same ones
    std::vector<Function> functions;
    std::vector<Trigger> triggers;
    // What a table like this one has no need of, and may have from when it had: install() and drop() remove it.
    std::vector<Function> needless_functions;
    std::vector<Trigger> needless_triggers;
};

// Triggers on the authority which write the follower.
[[nodiscard]] Machinery mirror(Spec const& spec);
// Triggers on the follower which refuse writes that are not the mirror's.
[[nodiscard]] Machinery fence(Spec const& spec);

// All statements may run in one transaction with others; each list is to be run in order.
// install may be run again over what is there. Locks: SHARE ROW EXCLUSIVE on the triggers' tables.
[[nodiscard]] std::vector<std::string> install(Machinery const& machinery, bool enabled);
[[nodiscard]] std::vector<std::string> enable(Machinery const& machinery);
[[nodiscard]] std::vector<std::string> disable(Machinery const& machinery);
// Before a table's columns are altered: its views go, and install() brings them back, in the same transaction.
[[nodiscard]] std::vector<std::string> drop_views(Machinery const& machinery);
[[nodiscard]] std::vector<std::string> drop(Machinery const& machinery); // ACCESS EXCLUSIVE, as DROP TRIGGER takes it

// One trigger as the server has it: a row of installed_query().
struct Installed {
    sql::QName table;
    std::string name;
    char enabled = 'O';
    int type = 0;
    bool constraint = false;
    bool has_when = false;
    std::string old_table;
    std::string new_table;
    Function function;
    std::vector<std::string> of_columns;
};

// Columns: table_schema, table_name, name, enabled, type, constraint, has_when, old_table, new_table, function_schema,
// function_name, settings (text[]), body, security_definer, of_columns (text[]). One row a trigger that calls one of the machinery's
// functions or has one of its names on one of its tables.
[[nodiscard]] sql::Sql installed_query(Machinery const& machinery);

// One sentence for everything missing, disabled, enabled or altered, and for every partition that came later.
[[nodiscard]] std::vector<std::string> drift(Machinery const& machinery, bool enabled, std::vector<Installed> const& installed);

} // namespace pgcarve::mirrorgen
