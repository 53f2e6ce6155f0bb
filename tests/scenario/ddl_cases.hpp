// What the tests of lint's sync rules share: kinds of DDL, each run against a table of its own under a running sync, and
// what lint says of the same text with the state file that `pgcarve status --format json` printed.
//
// A case that lint lets pass has to break nothing. One that it refuses has to break something, or to say why it is refused
// although it does not.
#pragma once

#include <map>
#include <set>

#include "lint/lint.hpp"
#include "scenario/carving.hpp"

namespace pgcarve::test {

inline Server& logical_server() {
    static Server one{{.settings = {"wal_level = logical", "max_replication_slots = 60", "max_wal_senders = 60"}}};
    return one;
}

// $S and $T stand for the source and the target, $s for the bare name of both, $P for the service.
struct DdlCase {
    std::string name;
    std::string ddl; // in the shared database
    std::string write = {};          // by the application, instead of the usual writes
    std::string refused_though = {}; // why lint refuses it although this test breaks nothing
    std::string columns = "id bigint PRIMARY KEY, name text NOT NULL, qty int CONSTRAINT small CHECK (qty < 1000), note varchar(20), u int UNIQUE";
    bool partitioned = false;
    std::string own_ddl = {}; // in the service's own database, before the other; judged when there is no other
};

inline std::string const usual_writes = "INSERT INTO $S (id, name, qty, u) VALUES (101, 'new', 1, 101); UPDATE $S SET name = 'changed' WHERE id = 2; "
                                        "DELETE FROM $S WHERE id = 3";

inline std::string filled(std::string text, sql::QName const& source, sql::QName const& target, std::string const& service = "shop") {
    std::map<std::string, std::string> const values{{"$S", source.display()}, {"$T", target.display()}, {"$s", source.name}, {"$P", service}};
    for (auto const& [mark, value] : values) {
        for (std::size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += value.size())
            text.replace(at, mark.size(), value);
    }
    return text;
}

// The case's table, with a few rows.
inline std::string created(DdlCase const& one, sql::QName const& table) {
    auto const name = table.display();
    auto text = fmt::format("CREATE TABLE {} ({}){};\n", name, one.columns, one.partitioned ? " PARTITION BY RANGE (id)" : "");
    if (one.partitioned)
        text += fmt::format("CREATE TABLE {0}_a PARTITION OF {0} FOR VALUES FROM (0) TO (1000);\n", name);
    return text + fmt::format("INSERT INTO {} (id, name, qty, u) SELECT g, 'row ' || g, g, g FROM generate_series(1, 20) AS g;\n", name);
}

// "" when the statements ran; else the server's words.
inline std::string ran(std::string const& database, std::string const& sql) {
    auto session = logical_server().connect(database);
    try {
        session.run(sql);
    } catch (base::Error const& error) {
        return std::string{error.what()}.substr(0, 300);
    }
    return {};
}

// All rows as one text, column names and all, without those columns.
inline std::string rows_of(std::string const& database, sql::QName const& table, std::string const& without = {}) {
    auto session = logical_server().connect(database);
    if (Carving::value(session, fmt::format("SELECT to_regclass({})", sql::literal(table.quoted()))) == "NULL")
        return "no such table";
    return Carving::value(session, fmt::format("SELECT coalesce(string_agg(r, E'\\n' ORDER BY r COLLATE \"C\"), '') FROM (SELECT (to_jsonb(t) - {})::text AS r FROM {} AS t) AS x",
                                               sql::literal(without), table.quoted()));
}

struct Judged {
    std::set<std::string> rules;
    std::string text;
};

// What the S rules say; `database`: "" for the shared one, else the service's own.
inline Judged judge(model::SyncState const& state, std::string const& sql, std::string const& schema, std::string const& database = {}) {
    lint::Input input;
    input.schema.push_back({"schema.sql", schema});
    input.files.push_back({"m.sql", sql});
    input.sync = state;
    input.database = database;
    input.options.today = "2026-11-25";
    Judged judged;
    auto const report = lint::lint(input);
    EXPECT_TRUE(report.gaps.empty()) << sql;
    for (auto const& finding : report.findings) {
        if (finding.rule[0] != 'S')
            continue;
        judged.rules.insert(finding.rule);
        judged.text += finding.rule + " " + finding.message + "\n";
    }
    return judged;
}

// `broken`: what broke, "" for nothing. Rules that were right are added to `proven`.
inline void expect_right(DdlCase const& one, Judged const& judged, std::string const& broken, std::set<std::string>& proven) {
    auto const said = judged.text.empty() ? std::string{"lint lets it pass\n"} : judged.text;
    if (judged.rules.empty())
        EXPECT_EQ(broken, "") << one.name << ": " << said;
    else if (one.refused_though.empty())
        EXPECT_NE(broken, "") << one.name << ": nothing broke, but " << said;
    else
        EXPECT_EQ(broken, "") << one.name << ": it does break something, so it need not be excused: " << said;
    if (!judged.rules.empty() && !broken.empty())
        proven.insert(judged.rules.begin(), judged.rules.end());
}

} // namespace pgcarve::test
