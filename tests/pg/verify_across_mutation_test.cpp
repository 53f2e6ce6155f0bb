// Goal: a comparison of two databases finds every change of a value, however small, and nothing else.
//
// Method: as verify_mutation_test.cpp, but each side on a server of its own: types with other numbers, labels in another
// order, columns in another order, columns dropped; of the same version, and of different ones. Seeds choose the kind of key,
// the mutations, and how rows are cut into buckets, down to one row each.
#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "pg/verify_types.hpp"
#include "support/server.hpp"
#include "verify/across.hpp"

namespace {

using namespace pgcarve;
using model::FindingKind;
using sql::Sql;
using test::KeyCase;
using test::TypeCase;
using verify::AcrossScope;
using verify::Side;

using test::Cells;
using test::Found;
using test::Rows;

constexpr int row_limit = 60;

test::Server& other_server() {
    static test::Server server;
    return server;
}

// 0: whatever version the other tests run on.
struct Versions {
    int source = 0;
    int target = 0;
};

class AcrossMutation : public testing::TestWithParam<std::tuple<Versions, unsigned>> {
protected:
    void SetUp() override {
        auto const [versions, seed] = GetParam();
        for (auto const version : {versions.source, versions.target}) {
            if (version != 0)
                PGCARVE_NEEDS_VERSION(version);
        }
        auto& source = versions.source == 0 ? test::Server::shared() : test::server_of_version(versions.source);
        auto& target = versions.target == 0 ? other_server() : test::server_of_version(versions.target);
        random_.seed(seed);
        source_.emplace(source.connect(source.create_database()));
        target_.emplace(target.connect(target.create_database()));
        auto const labels = [](int step) {
            std::string all;
            for (int i = 0; i < row_limit; ++i)
                all += fmt::format("{}'label{}'", i > 0 ? ", " : "", (i * step) % row_limit);
            return all;
        };
        target_->run("CREATE TYPE public.in_the_way AS (a int); CREATE TYPE public.in_the_way_too AS ENUM ('x')");
        source_->run(test::type_setup(labels(37)));
        target_->run(test::type_setup(labels(41)));
        types_ = test::type_cases(source_->server_version() < target_->server_version() ? *source_ : *target_); // the older one has fewer
        key_ = test::key_cases[seed % test::key_cases.size()];
    }

    std::size_t any(std::size_t count) { return std::uniform_int_distribution<std::size_t>{0, count - 1}(random_); }

    [[nodiscard]] std::vector<std::string> key_names() const {
        std::vector<std::string> names;
        for (std::size_t i = 0; i < key_.types.size(); ++i)
            names.push_back(fmt::format("key_{}", i));
        return names;
    }

    void create(pg::Session& session, bool shuffled) {
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
        session.run(fmt::format("CREATE TABLE app.everything ({})", fmt::join(columns, ", ")));
        session.run(fmt::format("ALTER TABLE app.everything ADD PRIMARY KEY ({})", fmt::join(key_names(), ", ")));
        if (shuffled)
            session.run("ALTER TABLE app.everything DROP COLUMN doomed");
    }

    void fill(pg::Session& session, Rows const& rows) {
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
            session.run(fmt::format("INSERT INTO app.everything ({}) VALUES ({})", names, values));
        }
    }

    Cells any_cells() {
        Cells cells;
        for (auto const& type : types_)
            cells.push_back(any(type.variants.size() + 1));
        return cells;
    }

    void mutate(Rows& target) {
        auto const count = any(4) == 0 ? 0 : 1 + any(12);
        for (std::size_t i = 0; i < count; ++i) {
            std::vector<int> all;
            for (auto const& [number, cells] : target)
                all.push_back(number);
            int const row = all[any(all.size())];
            int const another = all[any(all.size())];
            auto const column = any(types_.size());
            switch (any(8)) {
            case 0: target.erase(row); break;
            case 1: target[40 + static_cast<int>(any(row_limit - 40))] = any_cells(); break;
            case 2: std::swap(target[row], target[another]); break;
            case 3: std::swap(target[row][column], target[another][column]); break;
            default: target[row][column] = any(types_[column].variants.size() + 1);
            }
        }
    }

    // Row numbers by the key as text.
    std::map<std::vector<std::string>, int> numbers() {
        std::map<std::vector<std::string>, int> all;
        std::string list = "rn";
        for (auto const& name : key_names())
            list += fmt::format(", format('%s', {}) AS {}", name, name);
        for (auto* const session : {&*source_, &*target_}) {
            for (auto const row : session->query(Sql{"SELECT "}.server_text(list).add(" FROM app.everything"))) {
                std::vector<std::string> key;
                for (auto const& name : key_names())
                    key.push_back(row.text(name));
                all[key] = static_cast<int>(row.integer("rn"));
            }
        }
        return all;
    }

    std::optional<pg::Session> source_;
    std::optional<pg::Session> target_;
    std::vector<TypeCase> types_;
    KeyCase key_;
    std::mt19937 random_;
};

TEST_P(AcrossMutation, FindsExactlyWhatWasChanged) {
    Rows rows;
    for (int i = 0; i < 40; ++i)
        rows[i] = any_cells();
    auto changed = rows;
    mutate(changed);
    create(*source_, false);
    create(*target_, any(2) == 0);
    fill(*source_, rows);
    fill(*target_, changed);
    auto const should = test::expected_findings(types_, rows, changed);
    auto const by_key = numbers();

    verify::TwoSessions const sessions{*source_, *target_};
    EXPECT_EQ(verify::common_hash(*source_, *target_), verify::RowHash::array);
    pg::Transaction const here{*source_, pg::Isolation::repeatable_read, pg::Access::read_only};
    pg::Transaction const there{*target_, pg::Isolation::repeatable_read, pg::Access::read_only};
    auto const hash = any(5) == 0 ? verify::RowHash::sha256 : verify::RowHash::array;
    auto const shape = verify::read_across(*source_, *target_, {{"app", "everything"}, {"app", "everything"}, key_names()}, hash);

    Found found;
    auto const note = [&](verify::Difference const& difference) {
        std::vector<std::string> key;
        for (auto const& name : key_names()) {
            auto const at = std::ranges::find(shape.key, name, [&](auto const& part) { return shape.columns[part.column].name; });
            key.push_back(difference.key[static_cast<std::size_t>(at - shape.key.begin())]);
        }
        std::set<std::string> columns;
        for (auto const column : difference.columns)
            columns.insert(shape.columns[column].name);
        EXPECT_TRUE(found.emplace(by_key.at(key), std::pair{difference.kind, columns}).second) << "reported twice";
    };
    auto const expect_counts = [&](verify::AcrossCounts const& counts, Found const& of) {
        auto const count = [&](FindingKind kind) { return std::ranges::count(of, kind, [](auto const& entry) { return entry.second.first; }); };
        EXPECT_EQ(counts.missing, count(FindingKind::missing));
        EXPECT_EQ(counts.extra, count(FindingKind::extra));
        EXPECT_EQ(counts.different, count(FindingKind::different));
    };

    // As a whole, in buckets of any size.
    std::vector<verify::Key> bounds;
    if (shape.ordered)
        bounds = verify::across_bounds(sessions, shape, std::vector<double>{1, 1, 3, 7, 100}[any(5)], {});
    auto const counts = verify::compare_scope(sessions, shape, {}, bounds, note);
    EXPECT_EQ(counts.rows, 40);
    EXPECT_EQ(found, should);
    expect_counts(counts, should);

    // In parts by the key's hash, which together are the whole; and by keys.
    Found const whole = std::exchange(found, {});
    auto const parts = 1 + static_cast<int>(any(5));
    auto unordered = shape;
    unordered.ranged = false;
    for (int part = 0; part < parts; ++part)
        (void)verify::compare_scope(sessions, unordered, {.parts = parts, .part = part}, {}, note);
    EXPECT_EQ(found, should);
    found.clear();
    std::vector<verify::Key> keys;
    for (auto const& [key, number] : by_key) {
        verify::Key ordered;
        for (auto const& part : shape.key) {
            auto const names = key_names();
            ordered.push_back(key[static_cast<std::size_t>(std::ranges::find(names, shape.columns[part.column].name) - names.begin())]);
        }
        keys.push_back(std::move(ordered));
    }
    expect_counts(verify::compare_keys(sessions, shape, keys, {}, note), should);
    EXPECT_EQ(found, should);

    // What is left out is not looked at.
    found.clear();
    auto const left = verify::compare_scope(sessions, shape, {.without = &keys}, bounds, note);
    EXPECT_EQ(left.rows, 0);
    EXPECT_TRUE(found.empty());
    verify::check_unchanged(sessions, shape);
}

INSTANTIATE_TEST_SUITE_P(Seeds, AcrossMutation, testing::Combine(testing::Values(Versions{}), testing::Range(0U, 14U)),
                         [](auto const& given) { return std::to_string(std::get<1>(given.param)); });
// Every kind of key with two of these pairs; 18 to 13: the newer one has the authority, as after a cutover.
std::vector<std::tuple<Versions, unsigned>> across_versions() {
    std::vector<std::tuple<Versions, unsigned>> all;
    for (unsigned seed = 28; seed < 56; ++seed)
        all.emplace_back(std::array{Versions{13, 15}, Versions{15, 18}, Versions{18, 13}}.at(seed % 3), seed);
    return all;
}
INSTANTIATE_TEST_SUITE_P(Versions, AcrossMutation, testing::ValuesIn(across_versions()), [](auto const& given) {
    auto const versions = std::get<0>(given.param);
    return fmt::format("{}to{}_{}", versions.source, versions.target, std::get<1>(given.param));
});

// Sums of hash_array_extended() alone would not see any of these.
TEST(AcrossDigest, NothingCancelsOut) {
    auto& server = test::Server::shared();
    auto source = server.connect(server.create_database());
    auto target = server.connect(server.create_database());
    std::string const table = "CREATE SCHEMA app; CREATE TABLE app.t (id bigint PRIMARY KEY, a text, b text);";
    source.run(table + "INSERT INTO app.t SELECT n, 'a' || n, CASE WHEN n % 2 = 0 THEN 'b' || n END FROM generate_series(1, 100) AS n");
    verify::TwoSessions const sessions{source, target};
    target.run(table);
    auto const differing = [&](std::string const& change) {
        target.run("TRUNCATE app.t");
        target.run("INSERT INTO app.t SELECT n, 'a' || n, CASE WHEN n % 2 = 0 THEN 'b' || n END FROM generate_series(1, 100) AS n");
        target.run(change);
        std::vector<long long> all;
        pg::Transaction const here{source, pg::Isolation::repeatable_read, pg::Access::read_only};
        pg::Transaction const there{target, pg::Isolation::repeatable_read, pg::Access::read_only};
        for (auto const hash : {verify::RowHash::array, verify::RowHash::sha256}) {
            auto shape = verify::read_across(source, target, {{"app", "t"}, {"app", "t"}, {"id"}}, hash);
            auto const counts = verify::compare_scope(sessions, shape, {}, {}, [](auto const&) {}); // one bucket
            shape.ranged = false;
            auto const again = verify::compare_scope(sessions, shape, {}, {}, [](auto const&) {});
            all.push_back(counts.different);
            EXPECT_EQ(again.different, counts.different);
            EXPECT_EQ(counts.missing + counts.extra, again.missing + again.extra);
        }
        EXPECT_EQ(all[0], all[1]);
        return all[0];
    };
    EXPECT_EQ(differing(""), 0);
    // Two rows exchange a value; all rows pass one on; the same value goes to every row.
    EXPECT_EQ(differing("UPDATE app.t SET a = CASE id WHEN 1 THEN 'a2' ELSE 'a1' END WHERE id IN (1, 2)"), 2);
    EXPECT_EQ(differing("UPDATE app.t SET a = 'a' || id % 100 + 1"), 100);
    EXPECT_EQ(differing("UPDATE app.t SET a = 'same'"), 100);
    // Columns exchange their values, and NULL its place.
    EXPECT_EQ(differing("UPDATE app.t SET a = b, b = a WHERE id = 7"), 1);
    EXPECT_EQ(differing("UPDATE app.t SET a = b, b = a"), 100);
    EXPECT_EQ(differing("UPDATE app.t SET a = a || b, b = '' WHERE id = 8"), 1);
    EXPECT_EQ(differing("UPDATE app.t SET b = '' WHERE b IS NULL"), 50);
}

} // namespace
