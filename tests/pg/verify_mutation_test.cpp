// Goal: a comparison finds every change of a value, however small, and nothing else; repair mends
// exactly that and touches no other row.
//
// Method: a table with a column of every type worth naming. Each cell is one of a few variants of
// its type which a client can tell apart, the nearest neighbours among them (1.0 and 1.00, 0 and
// -0, NULL and ''), so that what must be found follows from comparing variant numbers in the
// test. Seeds choose key type, mutations, ranges (down to one row each) and workers.
#include <algorithm>
#include <map>
#include <random>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "pg/verify_types.hpp"
#include "run/proof/schema_verification.hpp"
#include "support/server.hpp"
#include "verify/repair.hpp"

namespace {

using namespace pgcarve;
using model::FindingKind;
using sql::Sql;

using test::KeyCase;
using test::TypeCase;

using test::Cells;
using test::Found;
using test::Rows;

constexpr int row_limit = 60;

class Mutation : public testing::TestWithParam<unsigned> {
protected:
    void SetUp() override {
        auto& server = test::Server::shared();
        database_ = server.create_database();
        session_.emplace(server.connect(database_));
        std::string labels;
        for (int i = 0; i < row_limit; ++i)
            labels += fmt::format("{}'label{}'", i > 0 ? ", " : "", (i * 37) % row_limit);
        session_->run(test::type_setup(labels));
        types_ = test::type_cases(*session_);
        key_ = test::key_cases[GetParam() % test::key_cases.size()];
        random_.seed(GetParam());
    }

    std::size_t any(std::size_t count) { return std::uniform_int_distribution<std::size_t>{0, count - 1}(random_); }
    std::size_t any_variant(std::size_t column) { return any(types_[column].variants.size() + 1); }

    void create(std::string const& schema, bool shuffled) {
        std::vector<std::string> columns{"rn int4 NOT NULL"};
        for (std::size_t i = 0; i < key_.types.size(); ++i)
            columns.push_back(fmt::format("key_{} {} NOT NULL", i, key_.types[i]));
        for (auto const& type : types_)
            columns.push_back(fmt::format("{} {}", sql::quote_ident(type.name), type.type));
        columns.emplace_back("c_generated int8 GENERATED ALWAYS AS (c_int4::int8 * 2) STORED");
        if (shuffled) {
            std::ranges::shuffle(columns, random_);
            columns.insert(columns.begin() + 3, "doomed text");
        }
        session_->run(fmt::format("CREATE TABLE {}.everything ({})", schema, fmt::join(columns, ", ")));
        session_->run(fmt::format("ALTER TABLE {}.everything ADD PRIMARY KEY ({})", schema, fmt::join(key_names(), ", ")));
        if (shuffled)
            session_->run(fmt::format("ALTER TABLE {}.everything DROP COLUMN doomed", schema));
    }

    [[nodiscard]] std::vector<std::string> key_names() const {
        std::vector<std::string> names;
        for (std::size_t i = 0; i < key_.types.size(); ++i)
            names.push_back(fmt::format("key_{}", i));
        return names;
    }

    void fill(std::string const& schema, Rows const& rows) {
        for (auto const& [number, cells] : rows) {
            std::string names = "rn";
            std::string values = std::to_string(number);
            for (std::size_t i = 0; i < key_.types.size(); ++i) {
                names += fmt::format(", key_{}", i);
                values += ", " + fmt::format(fmt::runtime(key_.values[i]), number);
            }
            for (std::size_t i = 0; i < cells.size(); ++i) {
                names += ", " + sql::quote_ident(types_[i].name);
                values += ", " + (cells[i] < types_[i].variants.size() ? types_[i].variants[cells[i]] : "NULL");
            }
            session_->run(fmt::format("INSERT INTO {}.everything ({}) VALUES ({})", schema, names, values));
        }
    }

    Cells any_cells() {
        Cells cells;
        for (std::size_t i = 0; i < types_.size(); ++i)
            cells.push_back(any_variant(i));
        return cells;
    }

    void mutate(Rows& target) {
        auto const numbers = [&] {
            std::vector<int> all;
            for (auto const& [number, cells] : target)
                all.push_back(number);
            return all;
        };
        auto const count = 1 + any(12);
        for (std::size_t i = 0; i < count; ++i) {
            auto const all = numbers();
            int const row = all[any(all.size())];
            switch (any(8)) {
            case 0: target.erase(row); break;
            case 1: target[40 + static_cast<int>(any(row_limit - 40))] = any_cells(); break;
            case 2: std::swap(target[row], target[all[any(all.size())]]); break;
            default: {
                auto const column = any(types_.size());
                target[row][column] = any_variant(column);
            }
            }
        }
    }

    Found found(model::TableVerification const& table) {
        std::map<std::vector<std::string>, int> numbers;
        for (auto const* const schema : {"app", "side"}) {
            std::string list = "rn";
            for (auto const& name : key_names())
                list += fmt::format(", format('%s', {}) AS {}", name, name);
            for (auto const row : session_->query(Sql{"SELECT "}.server_text(list).add(" FROM ").add(
                     sql::QName{schema, "everything"}))) {
                std::vector<std::string> key;
                for (auto const& name : key_names())
                    key.push_back(row.text(name));
                numbers[key] = static_cast<int>(row.integer("rn"));
            }
        }
        Found result;
        for (auto const& sample : table.samples) {
            std::vector<std::string> key;
            for (auto const& name : key_names()) {
                auto const part = std::ranges::find(sample.key, name, [](auto const& p) { return p.first; });
                key.push_back(part->second.value());
            }
            result[numbers.at(key)] = {sample.kind, {sample.columns.begin(), sample.columns.end()}};
        }
        return result;
    }

    // Where each row of the target lies and which transaction wrote it.
    std::map<int, std::string> places() {
        std::map<int, std::string> result;
        for (auto const row : session_->query(
                 Sql{"SELECT rn, ctid::text || ' ' || xmin::text AS place FROM side.everything"}))
            result[static_cast<int>(row.integer("rn"))] = row.text("place");
        return result;
    }

    // Independent of the code under test: every row as JSON text and by its binary image.
    std::set<std::string> contents(std::string const& schema) {
        std::vector<std::string> names{"rn", "c_generated"};
        for (auto const& type : types_)
            names.push_back(type.name);
        Sql q{"SELECT (md5(record_send(ROW("};
        q.names(names).add(")::record)) || ROW(").names(names).add(")::text) AS row FROM ").add(
            sql::QName{schema, "everything"});
        std::set<std::string> rows;
        for (auto const row : session_->query(q))
            rows.insert(row.text("row"));
        return rows;
    }

    std::string database_;
    std::optional<pg::Session> session_;
    std::vector<TypeCase> types_;
    KeyCase key_;
    std::mt19937 random_;
};

TEST_P(Mutation, FindsAndMendsExactlyWhatWasChanged) {
    Rows source;
    for (int i = 0; i < 40; ++i)
        source[i] = any_cells();
    auto target = source;
    mutate(target);
    create("app", false);
    create("side", any(2) == 0);
    fill("app", source);
    fill("side", target);

    auto const key = key_names();
    std::vector<model::TablePair> const pairs{{{"app", "everything"}, {"side", "everything"}, key}};
    verify::CompareOptions options;
    options.workers = 1 + static_cast<int>(any(3));
    options.rows_per_item = std::vector<double>{1, 1, 3, 7, 1e6}[any(5)];
    options.max_samples = 1000;
    // Each piece with a snapshot of its own: what was written meanwhile is looked at again.
    options.snapshot_limit = base::Millis{any(3) == 0 ? 0 : 300'000};
    pg::SessionSettings const settings{.dsn = test::Server::shared().dsn(database_), .purpose = "verify"};
    auto const result = run::verify_schema(settings, "shop", pairs, {.compare = options}, {}).verification;

    auto const should = test::expected_findings(types_, source, target);
    ASSERT_EQ(result.tables.size(), 1U);
    auto const& table = result.tables[0];
    EXPECT_EQ(table.why, "");
    EXPECT_EQ(result.verdict, should.empty() ? model::Verdict::clean : model::Verdict::different);
    EXPECT_EQ(table.rows, 40);
    auto const count = [&](FindingKind kind) {
        return std::ranges::count(should, kind, [](auto const& entry) { return entry.second.first; });
    };
    EXPECT_EQ(table.missing, count(FindingKind::missing));
    EXPECT_EQ(table.extra, count(FindingKind::extra));
    EXPECT_EQ(table.different, count(FindingKind::different));
    EXPECT_EQ(found(table), should);

    auto const before = places();
    verify::RepairOptions repair;
    repair.compare = options;
    repair.batch_rows = 1 + any(5);
    auto const report = verify::repair(settings, run::locate_differences(settings, "shop", pairs, options, {}), repair, {});
    EXPECT_EQ(report.remaining(), 0);
    EXPECT_EQ(contents("side"), contents("app"));
    EXPECT_EQ(run::verify_schema(settings, "shop", pairs, {.compare = options}, {}).verification.verdict, model::Verdict::clean);
    auto const after = places();
    for (auto const& [number, place] : before) {
        if (!should.contains(number)) {
            EXPECT_EQ(after.at(number), place) << "row " << number << " was touched";
        }
    }
    if (should.empty()) {
        EXPECT_TRUE(report.tables.empty());
    } else {
        EXPECT_EQ(report.tables[0].inserted, count(FindingKind::missing));
        EXPECT_EQ(report.tables[0].updated, count(FindingKind::different));
        EXPECT_EQ(report.tables[0].deleted, count(FindingKind::extra));
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Mutation, testing::Range(0U, 28U));

} // namespace
