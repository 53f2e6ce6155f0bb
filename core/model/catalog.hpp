// What the server's catalog says about tables, as plain values.
//
// Read by catalog/reader.hpp, consumed by planning, DDL and mirror generation, which so
// work offline. Text fields named *_def or *_expr are what the server's own deparser
// printed under search_path = pg_catalog, so every name in them is schema-qualified.
//
// One-letter codes are those of the catalog columns they are named after. sql_name and head
// are names as the deparser itself quotes them: with them a definition can be taken apart
// at exactly the right place, or be refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/types.hpp"
#include "sql/ident.hpp"

namespace pgcarve::model {

struct Grant {
    std::string grantee; // empty = PUBLIC
    std::string privilege; // SELECT, INSERT, …
    bool grantable = false;
    std::string grantor;
    auto operator<=>(Grant const&) const = default;
};

struct Column {
    int number = 0; // attnum
    std::string name;
    std::string type;      // format_type with modifier, qualified
    std::string type_kind; // typtype: b base, c composite, d domain, e enum, r range, m multirange
    bool not_null = false;
    std::optional<std::string> default_expr; // also the expression of a generated column
    char identity = 0;  // 'a' always, 'd' by default, 0 none
    char generated = 0; // 's' stored, 'v' virtual, 0 none
    std::optional<std::string> collation; // qualified and quoted, when not the type's own
    std::optional<int> statistics_target;
    std::vector<std::string> options; // attoptions: n_distinct=…
    std::vector<Grant> grants;
    std::optional<std::string> comment;
    // The sequence an identity or serial column owns.
    std::optional<sql::QName> owned_sequence;
    std::vector<sql::QName> default_sequences; // which its default draws from, owned or not
    char storage = 0;     // attstorage
    char compression = 0; // attcompression: 0 the server's default (always before version 14)
    char type_storage = 0; // typstorage: what `storage` is by itself
};

struct Constraint {
    std::string name;
    char type = 0; // c check, f foreign key, p primary key, u unique, x exclusion, t trigger, n not null (18)
    std::string definition; // pg_get_constraintdef
    std::vector<std::string> columns; // conkey, in order; empty for table-level checks
    bool deferrable = false;
    bool deferred = false;
    bool validated = true;
    bool enforced = true; // false only from version 18
    bool inherited = false; // came from a partition parent, so it needs no statement of its own
    // foreign keys only
    base::Oid referenced_oid{};
    sql::QName referenced;
    std::vector<std::string> referenced_columns;
    char on_update = 'a'; // a no action, r restrict, c cascade, n set null, d set default
    char on_delete = 'a';
    char match = 's'; // s simple, f full
    std::vector<std::string> set_columns; // ON DELETE SET NULL (…) or SET DEFAULT (…); empty: all of its columns
    std::vector<std::string> equals;      // referenced = referring, column by column: OPERATOR(pg_catalog.=)
    std::vector<std::string> referenced_equals; // referenced = referenced
    std::string head; // of the definition: FOREIGN KEY (a, b) REFERENCES
    std::optional<std::string> comment;
};

struct Index {
    base::Oid oid{};
    std::string name;
    std::string definition; // pg_get_indexdef
    bool unique = false;
    bool primary = false;
    bool valid = true;
    bool immediate = true; // indimmediate: false for a deferrable constraint's
    bool clustered = false;
    bool replica_identity = false;
    bool partial = false;
    bool expressions = false;
    bool inherited = false; // attached to a partitioned index
    std::optional<std::string> parent; // the name of that index
    std::string sql_name;              // without schema
    std::vector<std::string> key_columns; // key columns that are plain columns, in order (INCLUDEd ones not)
    std::optional<std::string> constraint; // the constraint it backs
    std::vector<std::string> options; // reloptions
    std::optional<std::string> tablespace;
    std::vector<std::pair<int, int>> statistics; // (index column number, target)
    std::optional<std::string> comment;
};

struct Trigger {
    std::string name;
    std::string definition; // pg_get_triggerdef
    char enabled = 'O'; // O origin, D disabled, R replica, A always
    sql::QName function;
    std::string function_source; // prosrc, for the search for crossings
    bool before = false;
    bool row_level = false;
    bool inherited = false; // a clone of a partitioned table's trigger
    bool constraint = false;
    std::string head; // of the definition: CREATE TRIGGER t BEFORE INSERT OR UPDATE ON
    std::optional<std::string> comment;
};

struct Policy {
    std::string name;
    bool permissive = true;
    char command = '*'; // r select, a insert, w update, d delete, * all
    std::vector<std::string> roles; // empty = PUBLIC
    std::optional<std::string> using_expr;
    std::optional<std::string> check_expr;
    std::optional<std::string> comment;
};

struct Statistics { // CREATE STATISTICS
    sql::QName name;
    std::string sql_name; // with schema
    std::string owner;
    std::string definition;
    std::optional<int> target;
    std::optional<std::string> comment;
};

struct Table {
    base::Oid oid{};
    sql::QName name;
    std::string sql_name; // with schema
    char kind = 'r'; // r ordinary, p partitioned, f foreign, v view …
    char persistence = 'p'; // p permanent, u unlogged, t temporary
    std::string owner;
    std::optional<std::string> access_method;
    std::optional<std::string> tablespace;
    std::vector<std::string> options;       // reloptions
    std::vector<std::string> toast_options; // without the "toast." prefix
    bool row_security = false;
    bool force_row_security = false;
    char replica_identity = 'd'; // d default, n nothing, f full, i index
    std::optional<std::string> comment;
    std::optional<sql::QName> of_type; // CREATE TABLE … OF

    std::optional<std::string> partition_key;      // pg_get_partkeydef, of a partitioned table
    std::optional<sql::QName> partition_of;        // its parent
    std::optional<std::string> partition_bound;    // FOR VALUES …, or DEFAULT
    std::vector<sql::QName> inherits;              // plain inheritance parents
    bool has_inheritance_children = false;         // plain inheritance

    std::vector<Column> columns; // live columns in attnum order
    std::vector<Constraint> constraints;
    std::vector<Index> indexes;
    std::vector<Trigger> triggers; // without internal ones and pgcarve's own
    std::vector<Policy> policies;
    std::vector<Statistics> statistics;
    std::vector<std::string> rules;        // names
    std::vector<std::string> publications; // that list it by name
    std::vector<std::string> security_labels;
    std::vector<std::string> loose_functions; // used on every write, and finding other names by the writer's search_path
    std::vector<Grant> grants;

    double estimated_rows = 0; // reltuples; a partitioned table: the sum over its leaves
    std::int64_t bytes = 0;    // pg_total_relation_size

    [[nodiscard]] Column const* column(std::string_view column_name) const;
};

struct Sequence {
    sql::QName name;
    std::string owner;
    std::string type; // smallint, integer, bigint
    std::int64_t start = 1;
    std::int64_t increment = 1;
    std::int64_t minimum = 1;
    std::int64_t maximum = 0;
    std::int64_t cache = 1;
    bool cycle = false;
    char persistence = 'p';
    std::optional<sql::QName> owned_by; // table …
    std::string owned_by_column;        // … and column
    std::vector<Grant> grants;
    std::optional<std::string> comment;
};

struct Schema {
    std::string name;
    std::string owner;
    std::vector<Grant> grants;
};

// A relation which is no table: its name is taken.
struct Relation {
    sql::QName name;
    char kind = 'v'; // relkind: v view, m materialized view, S sequence, i and I index, c composite type
    std::string owner;
    auto operator<=>(Relation const&) const = default;
};

// ALTER DEFAULT PRIVILEGES: what a new object gets by itself.
struct DefaultPrivilege {
    std::string creator;
    std::optional<std::string> schema; // nullopt: in every schema
    char kind = 'r'; // r tables, S sequences
    std::vector<Grant> grants;
};

// The role that looks: what it can do decides how things are carried.
struct CurrentRole {
    std::string name;
    bool superuser = false;
    bool bypass_rls = false;
    std::vector<std::string> member_of; // roles whose rights it has, itself included
};

// The columns that identify one row: the primary key, else the first (by name) unique, complete,
// plain-column index whose columns are all NOT NULL.
struct Key {
    std::vector<std::string> columns;
    std::string index;
    bool immediate = true; // false: deferrable, so it cannot serve ON CONFLICT
};

// nullopt when the table has none. An immediate unique index is preferred to a deferrable primary key.
[[nodiscard]] std::optional<Key> usable_key(Table const& table);
// The statement after which the log identifies rows by this key, if it is immediate.
[[nodiscard]] std::string identity_statement(Table const& table, Key const& key);

// Something outside a table that hangs on it or on which it hangs.
struct Dependency {
    std::string kind; // foreign_key, view, materialized_view, function, trigger, type, sequence, rule, policy, publication, grant, default
    std::string name;      // of the object, as SQL would name it
    sql::QName object;     // its schema-qualified name (a foreign key: its table)
    std::optional<sql::QName> from; // the table it belongs to or reads …
    std::optional<sql::QName> to;   // … and the table or object at the other end
    std::string detail;
    bool certain = true; // false: found by reading a function's text
};

struct Catalog {
    int server_version = 0; // server_version_num
    std::string database;
    std::vector<Table> tables; // sorted by name; partitions are tables too
    std::vector<Dependency> dependencies;
    std::vector<std::string> roles;
    std::vector<Schema> schemas;        // without the server's own
    std::vector<Sequence> sequences;    // sorted by name
    std::vector<Relation> relations;    // sorted by name
    std::vector<DefaultPrivilege> default_privileges;
    CurrentRole role;

    [[nodiscard]] Sequence const* sequence(sql::QName const& name) const;
    [[nodiscard]] Table const* find(sql::QName const& name) const;
    [[nodiscard]] Table const* find(base::Oid oid) const;
    // The partitions below `root`, all levels, parents before children, sorted by name within a level.
    [[nodiscard]] std::vector<Table const*> partitions(Table const& root) const;
};

} // namespace pgcarve::model
