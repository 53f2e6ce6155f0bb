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

void create_table(Statements& out, model::Catalog const& catalog, Made const& made);
void column_settings(Statements& out, model::Catalog const& catalog, Made const& made); // identity, statistics, options
void checks(Statements& out, Made const& made);
void indexes(Statements& out, Made const& made); // with the constraints they back
void index_settings(Statements& out, Made const& made);
void triggers(Statements& out, Made const& made);
void statistics(Statements& out, model::Catalog const& catalog, Made const& made);
void row_security(Statements& out, Made const& made);
void comments(Statements& out, Made const& made);
void ownership(Statements& out, model::Catalog const& catalog, Made const& made); // owner, then grants

} // namespace pgcarve::ddl
