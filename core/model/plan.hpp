// A plan: the ordered steps of one verb. `--dry-run` prints this list, execution consumes
// the same list, and the journal records each step by its id.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sql/ident.hpp"

namespace pgcarve::model {

// One step = one transaction: its statements, and its journal line, commit together.
struct Step {
    std::string id;               // stable and unique in the plan: "table:orders", "mirror:orders"
    std::vector<std::string> sql; // run in order; empty for a step that is code (backfill)
    std::string lock;             // strongest lock on an existing table, with the table: "SHARE ROW EXCLUSIVE on public.orders"; "" = none
    std::string why;
    std::vector<std::string> undo; // what takes it back, in order
};

struct Crossing {
    std::string kind; // foreign_key, view, materialized_view, function, trigger, type, sequence, rule, grant …
    std::string from; // the object or child, named as in pgcarve.toml where that can name it
    std::string to;
    std::string decision; // keep, loose, replicate, drop; "undecided"; "none needed"
    std::string detail;
};

// A thing that was not carried or needs the operator's eye.
struct Notice {
    bool refuses = false; // true: the plan cannot run
    std::string object;
    std::string text;
    std::string hint;
};

// One table of a service: a root (ordinary or partitioned) or one of its partitions.
struct TablePair {
    sql::QName source;
    sql::QName target;
    std::vector<std::string> key; // columns
    bool key_immediate = true;
    bool is_partition = false;
    std::vector<std::string> columns; // all live columns in the source's order
};

struct Plan {
    std::string service;
    std::string verb;
    std::vector<TablePair> tables;
    std::vector<Crossing> crossings;
    std::vector<Notice> notices;
    std::vector<Step> steps;
};

} // namespace pgcarve::model
