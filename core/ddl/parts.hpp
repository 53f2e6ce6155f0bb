// What a carried table is put together from; only the files of this folder use it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "model/catalog.hpp"
#include "model/plan.hpp"

namespace pgcarve::ddl {

using Statements = std::vector<std::string>;

struct Made { // a table that is being made
    model::Table const* source;
    sql::QName target;
};

// Throw "table-gone", "cannot-carry".
[[nodiscard]] model::Table const& source_of(model::Catalog const& catalog, model::TablePair const& pair);
[[nodiscard]] std::string carried(std::optional<std::string> text, std::string const& what, model::Table const& table);

[[nodiscard]] std::string comment_on(std::string const& object, std::string const& comment);

[[nodiscard]] std::string create_sequence(model::Sequence const& sequence, sql::QName const& name);
void create_table(Statements& out, model::Catalog const& catalog, Made const& made);
void column_settings(Statements& out, model::Catalog const& catalog, Made const& made); // identity, statistics, options
void checks(Statements& out, Made const& made);
[[nodiscard]] std::string create_index(Made const& made, model::Index const& index); // or the constraint that it backs
[[nodiscard]] std::string attach_index(Made const& made, model::Index const& index); // to its parent
void indexes(Statements& out, Made const& made); // with the constraints they back
[[nodiscard]] std::string create_policy(sql::QName const& table, model::Policy const& policy);
void index_settings(Statements& out, Made const& made);
void triggers(Statements& out, Made const& made);
[[nodiscard]] std::string set_trigger(sql::QName const& table, std::string const& trigger, char state); // state: tgenabled
void statistics(Statements& out, model::Catalog const& catalog, Made const& made);
void row_security(Statements& out, Made const& made);
void comments(Statements& out, Made const& made);
void ownership(Statements& out, model::Catalog const& catalog, Made const& made); // owner, then grants

// Refusals that hold wherever a table is carried to (notices.cpp): what it is, and definitions that cannot be taken apart.
void judge_kind(std::vector<model::Notice>& out, model::Table const& table);
void judge_definitions(std::vector<model::Notice>& out, model::Catalog const& catalog, model::Table const& table);
void judge_key(std::vector<model::Notice>& out, model::Table const& table);

} // namespace pgcarve::ddl
