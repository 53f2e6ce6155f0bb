// A pair of schemas under mirrors in both directions, driven through the generator as
// the planner drives it: what is installed comes from the server's own catalog.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "catalog/reader.hpp"
#include "mirrorgen/mirrorgen.hpp"
#include "support/server.hpp"

namespace pgcarve::test {

struct Pair {
    std::string authority; // schemas
    std::string follower;
    std::vector<std::string> tables; // roots

    // Mirror and fence of every table, for one direction.
    [[nodiscard]] std::vector<std::pair<mirrorgen::Machinery, mirrorgen::Machinery>>
    machinery(pg::Session& session, mirrorgen::Direction direction) const {
        auto const catalog = catalog::read_catalog(session);
        auto const forward = direction == mirrorgen::Direction::forward;
        std::vector<mirrorgen::Spec> specs;
        for (auto const& table : tables) {
            auto const* const a = catalog.find(sql::QName{forward ? authority : follower, table});
            auto const* const f = catalog.find(sql::QName{forward ? follower : authority, table});
            if (a == nullptr || f == nullptr)
                throw std::runtime_error{"no such table: " + table};
            specs.push_back(mirrorgen::make_spec("checkout", direction, *a, *f, catalog));
        }
        mirrorgen::link(specs, catalog);
        std::vector<std::pair<mirrorgen::Machinery, mirrorgen::Machinery>> all;
        for (auto const& spec : specs)
            all.emplace_back(mirrorgen::mirror(spec), mirrorgen::fence(spec));
        return all;
    }

    // Makes `direction` the only active one.
    void activate(pg::Session& session, mirrorgen::Direction direction) const {
        using mirrorgen::Direction;
        auto const other = direction == Direction::forward ? Direction::reverse : Direction::forward;
        session.run("BEGIN");
        for (bool const enabled : {false, true}) {
            for (auto const& [mirror, fence] : machinery(session, enabled ? direction : other)) {
                for (auto const* m : {&mirror, &fence}) {
                    for (auto const& statement : mirrorgen::install(*m, enabled))
                        session.run(statement);
                }
            }
        }
        session.run("COMMIT");
    }
};

inline std::vector<mirrorgen::Installed> read_installed(pg::Session& session, mirrorgen::Machinery const& machinery) {
    std::vector<mirrorgen::Installed> all;
    for (auto const& row : session.query(mirrorgen::installed_query(machinery))) {
        mirrorgen::Installed one;
        one.table = {row.text("table_schema"), row.text("table_name")};
        one.name = row.text("name");
        one.enabled = row.letter("enabled");
        one.type = static_cast<int>(row.integer("type"));
        one.constraint = row.boolean("constraint");
        one.has_when = row.boolean("has_when");
        one.old_table = row.text("old_table");
        one.new_table = row.text("new_table");
        one.function = {{row.text("function_schema"), row.text("function_name")}, row.array("settings"), row.text("body")};
        one.function.security_definer = row.boolean("security_definer");
        one.of_columns = row.array("of_columns");
        all.push_back(std::move(one));
    }
    return all;
}

// Rows of `columns` that only one of the tables has, as text; strict about every byte of it.
inline std::vector<std::string> differences(pg::Session& session, std::string const& a, std::string const& b,
                                            std::string const& columns) {
    auto const rows = [&](std::string const& table) { return "SELECT ROW(" + columns + ")::text FROM " + table; };
    auto const one_way = [&](std::string const& x, std::string const& y) {
        return "SELECT " + sql::literal(x + " only: ") + " || r FROM (" + rows(x) + " EXCEPT ALL " + rows(y) + ") AS d(r)";
    };
    sql::Sql sql;
    sql.server_text(one_way(a, b)).add(" UNION ALL ").server_text(one_way(b, a));
    std::vector<std::string> found;
    for (auto const& row : session.query(sql))
        found.push_back(row.text(0));
    return found;
}

inline std::string value(pg::Session& session, std::string const& query) {
    sql::Sql sql;
    return session.one(sql.server_text(query)).text(0);
}

// The SQLSTATE with which a statement fails; empty when it does not.
inline std::string failure(pg::Session& session, std::string const& statement) {
    try {
        session.run(statement);
        return {};
    } catch (pg::SqlError const& e) {
        return e.sqlstate();
    }
}

} // namespace pgcarve::test
