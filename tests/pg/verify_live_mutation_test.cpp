// Goal: while both databases are written through the stream, a comparison finds every row that was corrupted behind its
// back, by key and column, and nothing else: with every kind of key and type, across versions, however it is cut.
//
// Method: one table for each kind of key; between them they have every type. Rows with even numbers are left alone by the
// writers and corrupted at the target, round after round, and mended again; those with odd numbers, which lie between them,
// are inserted, changed, deleted and renamed all the time, and streamed. Seeds choose what is corrupted, how rows are cut
// into buckets, pieces and snapshots, down to one row each, and the way of comparing.
//
// PGCARVE_MUTATION_SECONDS and PGCARVE_MUTATION_SEED: rounds for as long, with another seed (scripts/campaign --of verify).
#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "control/migrations.hpp"
#include "control/store.hpp"
#include "model/mark.hpp"
#include "pg/sync/pair.hpp"
#include "pg/verify_types.hpp"
#include "run/proof/across_verification.hpp"

namespace {

using namespace pgcarve;
using model::FindingKind;
using sql::Sql;
using test::Pair;
using test::TypeCase;

constexpr int numbers = 80; // of rows; those that the writers leave alone are even
constexpr int rounds_at_least = 5;

using test::Cells;
using test::Found;
using test::Rows;

struct Versions { // 0: whatever version the other tests run on
    int source = 0;
    int target = 0;
};

test::Server& other_server() {
    static test::Server server;
    return server;
}

long long from_environment(char const* name, long long otherwise) {
    auto const* const value = std::getenv(name);
    return value == nullptr ? otherwise : std::atoll(value);
}

struct Table {
    std::string name;
    test::KeyCase key;
    std::vector<TypeCase> types;
    Rows rows;                                     // that nobody writes
    std::map<std::vector<std::string>, int> by_key; // numbers, by the key as text

    [[nodiscard]] std::vector<std::string> key_names() const {
        std::vector<std::string> names;
        for (std::size_t i = 0; i < key.types.size(); ++i)
            names.push_back(fmt::format("key_{}", i));
        return names;
    }
    [[nodiscard]] std::string key_value(std::size_t part, int number) const { return fmt::format(fmt::runtime(key.values[part]), number); }
    [[nodiscard]] std::string cell(std::size_t column, std::size_t variant) const {
        return variant < types[column].variants.size() ? types[column].variants[variant] : "NULL";
    }
    [[nodiscard]] std::string create() const {
        std::vector<std::string> columns{"rn int4 NOT NULL"};
        for (std::size_t i = 0; i < key.types.size(); ++i)
            columns.push_back(fmt::format("key_{} {} NOT NULL", i, key.types[i]));
        for (auto const& type : types)
            columns.push_back(fmt::format("{} {}", sql::quote_ident(type.name), type.type));
        columns.emplace_back("c_generated int8 GENERATED ALWAYS AS (c_int4::int8 * 2) STORED");
        return fmt::format("CREATE TABLE {} ({}, PRIMARY KEY ({}));", name, fmt::join(columns, ", "), fmt::join(key_names(), ", "));
    }
    [[nodiscard]] std::string insert(int number, Cells const& cells) const {
        std::vector<std::string> names{"rn"};
        std::vector<std::string> values{std::to_string(number)};
        for (std::size_t i = 0; i < key.types.size(); ++i) {
            names.push_back(fmt::format("key_{}", i));
            values.push_back(key_value(i, number));
        }
        for (std::size_t i = 0; i < cells.size(); ++i) {
            names.push_back(sql::quote_ident(types[i].name));
            values.push_back(cell(i, cells[i]));
        }
        return fmt::format("INSERT INTO {} ({}) VALUES ({})", name, fmt::join(names, ", "), fmt::join(values, ", "));
    }
    // Its number stays the one that its key belongs to.
    [[nodiscard]] std::string rename(int number, int to) const {
        std::string sets = fmt::format("rn = {}", to);
        for (std::size_t i = 0; i < key.types.size(); ++i)
            sets += fmt::format(", key_{} = {}", i, key_value(i, to));
        return fmt::format("UPDATE {} SET {} WHERE rn = {}", name, sets, number);
    }
};

class Random {
public:
    explicit Random(unsigned seed) : engine_{seed} {}
    std::size_t any(std::size_t count) { return std::uniform_int_distribution<std::size_t>{0, count - 1}(engine_); }
    template <class T>
    T one_of(std::initializer_list<T> values) {
        return *(values.begin() + any(values.size()));
    }
    Cells cells(Table const& table) {
        Cells cells;
        for (auto const& type : table.types)
            cells.push_back(any(type.variants.size() + 1));
        return cells;
    }

private:
    std::mt19937 engine_;
};

// As `sync`: applies until stopped, under the lease.
class Applier {
public:
    Applier(pg::SessionSettings const& shared, Pair& pair, sync::Mapping const& mapping)
        : lease_{shared, "shop", "sync", "test@host"}, stream_{pair.stream(mapping)}, thread_{[this] { run(); }} {}
    Applier(Applier const&) = delete;
    Applier& operator=(Applier const&) = delete;
    ~Applier() {
        stop_.request("test");
        thread_.join();
        stream_->stop();
    }

private:
    void run() {
        try {
            while (!stop_.requested())
                stream_->run_until(base::Lsn{~std::uint64_t{0}}, base::Millis{200}, stop_);
        } catch (base::Error const& e) {
            ADD_FAILURE() << "the stream: " << e.what();
        }
    }
    control::Lease lease_;
    base::Interrupt stop_;
    std::unique_ptr<sync::Stream> stream_;
    std::thread thread_;
};

class Writers {
public:
    Writers(Pair const& pair, std::vector<Table> const& tables, unsigned seed) {
        for (unsigned w = 0; w < 2; ++w)
            threads_.emplace_back([&, w, seed] { run(pair, tables, seed * 2 + w); });
    }
    Writers(Writers const&) = delete;
    Writers& operator=(Writers const&) = delete;
    ~Writers() {
        done_ = true;
        for (auto& thread : threads_)
            thread.join();
    }
    [[nodiscard]] long long written() const { return written_; }

private:
    static std::string change(std::vector<Table> const& tables, Random& random) {
        auto const& table = tables[random.any(tables.size())];
        int const number = static_cast<int>(random.any(numbers / 2)) * 2 + 1;
        auto const column = random.any(table.types.size());
        switch (random.any(6)) {
        case 0: return fmt::format("DELETE FROM {} WHERE rn = {}", table.name, number);
        case 1: return table.rename(number, static_cast<int>(random.any(numbers / 2)) * 2 + 1);
        case 2:
        case 3: return table.insert(number, random.cells(table)) + " ON CONFLICT DO NOTHING";
        default:
            return fmt::format("UPDATE {} SET {} = {} WHERE rn = {}", table.name, sql::quote_ident(table.types[column].name),
                               table.cell(column, random.any(table.types[column].variants.size() + 1)), number);
        }
    }
    void run(Pair const& pair, std::vector<Table> const& tables, unsigned seed) {
        Random random{seed};
        auto session = pair.writer();
        session.run("SET synchronous_commit = off");
        while (!done_) {
            try {
                session.run("BEGIN");
                for (auto n = 1 + random.any(5); n > 0; --n)
                    session.run(change(tables, random));
                session.run(random.any(8) == 0 ? "ROLLBACK" : "COMMIT");
                ++written_;
            } catch (pg::SqlError const& e) {
                if (e.sqlstate() != "40P01" && e.sqlstate() != "23505") {
                    ADD_FAILURE() << e.what();
                    return;
                }
                session.run("ROLLBACK");
            }
            std::this_thread::sleep_for(std::chrono::milliseconds{2});
        }
    }

    std::atomic<bool> done_{false};
    std::atomic<long long> written_{0};
    std::vector<std::thread> threads_;
};

class LiveMutation : public testing::TestWithParam<Versions> {
protected:
    void SetUp() override {
        auto const versions = GetParam();
        for (auto const version : {versions.source, versions.target}) {
            if (version != 0)
                PGCARVE_NEEDS_VERSION(version);
        }
        auto& source = versions.source == 0 ? test::Server::shared() : test::server_of_version(versions.source);
        auto& target = versions.target == 0 ? other_server() : test::server_of_version(versions.target);
        seed_ = static_cast<unsigned>(from_environment("PGCARVE_MUTATION_SEED", 1)) + static_cast<unsigned>(versions.source * 100 + versions.target);
        random_ = Random{seed_};
        make_tables(source.version() < target.version() ? source : target); // the older one has fewer types
        std::vector<std::string> names;
        std::string create;
        for (auto const& table : tables_) {
            names.push_back("shop." + table.name);
            create += table.create();
        }
        auto const labels = [](int step) {
            std::string all;
            for (int i = 0; i < numbers; ++i)
                all += fmt::format("{}'label{}'", i > 0 ? ", " : "", (i * step) % numbers);
            return all;
        };
        auto const publication = fmt::format("FOR TABLE {}", fmt::join(names, ", "));
        pair_.emplace(test::type_setup(labels(37)) + ";" + create,
                      test::PairOptions{"CREATE TYPE public.in_the_way AS (a int);" + test::type_setup(labels(41)) + ";" + create, publication, &source, &target});
        auto admin = source.connect(pair_->source_database);
        control::migrate(admin, control::embedded_migrations());
        for (auto& table : tables_) {
            read_keys(table);
            for (int n = 0; n < numbers; ++n) {
                auto const cells = random_.cells(table);
                if (n % 4 != 2) // those are for extra rows
                    pair_->run(table.insert(n, cells));
                if (n % 4 == 0)
                    table.rows[n] = cells;
            }
        }
        map_.dsn = source.dsn(pair_->source_database);
        map_.services["shop"].name = "shop";
        route_ = {"shop", pair_->name, false, map_.dsn, target.dsn(pair_->target_database), {}};
        for (auto const& table : tables_)
            route_.tables.push_back({{"shop", table.name}, {"service", table.name}, table.key_names()});
        mapping_.emplace(pair_->mapping());
    }

    // Without them nothing is compared, and it is said why.
    void publish_marks() {
        try {
            (void)run::verify_across(context_, route_, *mapping_, route_.tables, {}, {});
            ADD_FAILURE() << "compared";
        } catch (base::Error const& e) {
            EXPECT_EQ(e.code(), "not-proven");
            EXPECT_NE(e.hint().find("ADD TABLE \"pgcarve\".\"mark\""), std::string::npos) << e.hint();
        }
        auto admin = pair_->source_server.connect(pair_->source_database);
        admin.run("ALTER PUBLICATION pub ADD TABLE pgcarve.mark");
        admin.run(fmt::format("CREATE PUBLICATION \"{}\" FOR TABLE pgcarve.mark", route_.name)); // the one that is looked for
    }

    // Every type is in one of the tables at least.
    void make_tables(test::Server& older) {
        auto session = older.connect();
        auto const types = test::type_cases(session);
        for (std::size_t i = 0; i < test::key_cases.size(); ++i) {
            Table table{fmt::format("t{}", i), test::key_cases[i], {}, {}, {}};
            for (std::size_t t = 0; t < types.size(); ++t) {
                if (types[t].name == "c_int4" || t % test::key_cases.size() == i || random_.any(10) == 0)
                    table.types.push_back(types[t]);
            }
            tables_.push_back(std::move(table));
        }
    }
    void read_keys(Table& table) {
        std::string question;
        for (int n = 0; n < numbers; ++n) {
            question += fmt::format("{}SELECT {} AS rn", n > 0 ? " UNION ALL " : "", n);
            for (std::size_t i = 0; i < table.key.types.size(); ++i) // "text COLLATE x" is no type to cast to
                question += fmt::format(", format('%s', ({})::{}) AS key_{}", table.key_value(i, n), table.key.types[i].substr(0, table.key.types[i].find(" COLLATE")), i);
        }
        for (auto const row : pair_->source.query(Sql{}.server_text(question))) {
            std::vector<std::string> key;
            for (auto const& name : table.key_names())
                key.push_back(row.text(name));
            table.by_key[key] = static_cast<int>(row.integer("rn"));
        }
        ASSERT_EQ(table.by_key.size(), static_cast<std::size_t>(numbers)) << table.name;
    }

    Rows corrupted(Table const& table) {
        auto rows = table.rows;
        for (auto count = random_.any(3) == 0 ? 1 + random_.any(6) : 0; count > 0 && !rows.empty(); --count) {
            auto const some = [&] { return std::next(rows.begin(), static_cast<std::ptrdiff_t>(random_.any(rows.size())))->first; };
            int const row = some();
            int const another = some();
            auto const column = random_.any(table.types.size());
            switch (random_.any(8)) {
            case 0: rows.erase(row); break;
            case 1: rows[static_cast<int>(random_.any(numbers / 4)) * 4 + 2] = random_.cells(table); break;
            case 2: std::swap(rows[row], rows[another]); break;
            case 3: std::swap(rows[row][column], rows[another][column]); break;
            default: rows[row][column] = random_.any(table.types[column].variants.size() + 1);
            }
        }
        return rows;
    }
    // By the back door.
    void write_target(Table const& table, std::set<int> const& which, Rows const& rows) {
        for (auto const number : which) {
            pair_->target.run(fmt::format("DELETE FROM {} WHERE rn = {}", table.name, number));
            if (auto const row = rows.find(number); row != rows.end())
                pair_->target.run(table.insert(number, row->second));
        }
    }

    run::AcrossOptions any_options() {
        run::AcrossOptions options;
        options.bucket_rows = random_.one_of({1.0, 1.0, 3.0, 10.0, 1000.0});
        options.unit_rows = options.bucket_rows * random_.one_of({10.0, 100.0, 100.0});
        options.compare.workers = random_.one_of({1, 2, 2, 3});
        options.compare.max_samples = 1'000;
        if (proven_ && random_.any(3) == 0) { // what was touched since, and a share that is everything
            options.since = *proven_;
            options.share = 100;
        } else if (random_.any(5) == 0) { // units at several moments
            options.snapshot_limit = base::Millis{60};
            options.unit_rows = 1'000;
        }
        return options;
    }

    void round() {
        std::vector<Rows> there;
        std::vector<Found> should;
        pair_->target.run("BEGIN; SET LOCAL pgcarve.mirror = 'on'");
        auto const changed = [](Found const& found) {
            std::set<int> all;
            for (auto const& [number, what] : found)
                all.insert(number);
            return all;
        };
        bool const sound = random_.any(5) == 0;
        for (auto const& table : tables_) {
            there.push_back(sound ? table.rows : corrupted(table));
            should.push_back(test::expected_findings(table.types, table.rows, there.back()));
            write_target(table, changed(should.back()), there.back());
            seeded_ += static_cast<long long>(should.back().size());
        }
        pair_->target.run("COMMIT");
        auto const outcome = run::verify_across(context_, route_, *mapping_, route_.tables, any_options(), {});
        expect(outcome.verification, should);
        if (outcome.verification.verdict == model::Verdict::clean) {
            proven_ = outcome.verification.proven_lsn;
            sync::prune_touched(pair_->target, pair_->name, *proven_);
        }
        pair_->target.run("BEGIN; SET LOCAL pgcarve.mirror = 'on'");
        for (std::size_t i = 0; i < tables_.size(); ++i)
            write_target(tables_[i], changed(should[i]), tables_[i].rows);
        pair_->target.run("COMMIT");
    }
    void expect(model::Verification const& verification, std::vector<Found> const& should) {
        ASSERT_EQ(verification.tables.size(), tables_.size());
        bool clean = true;
        for (std::size_t i = 0; i < tables_.size(); ++i) {
            SCOPED_TRACE(fmt::format("{} ({})", tables_[i].name, fmt::join(tables_[i].key.types, ", ")));
            auto const& table = verification.tables[i];
            EXPECT_EQ(table.why, "");
            Found found;
            for (auto const& sample : table.samples) {
                std::vector<std::string> key;
                for (auto const& name : tables_[i].key_names())
                    key.push_back(std::ranges::find(sample.key, name, [](auto const& part) { return part.first; })->second.value());
                auto const number = tables_[i].by_key.find(key);
                ASSERT_NE(number, tables_[i].by_key.end()) << fmt::format("{}", fmt::join(key, " "));
                EXPECT_TRUE(found.emplace(number->second, std::pair{sample.kind, std::set<std::string>{sample.columns.begin(), sample.columns.end()}}).second)
                    << "reported twice: " << number->second;
            }
            EXPECT_EQ(found, should[i]);
            auto const count = [&](FindingKind kind) { return std::ranges::count(should[i], kind, [](auto const& entry) { return entry.second.first; }); };
            EXPECT_EQ(table.missing, count(FindingKind::missing));
            EXPECT_EQ(table.extra, count(FindingKind::extra));
            EXPECT_EQ(table.different, count(FindingKind::different));
            clean = clean && should[i].empty();
        }
        EXPECT_EQ(verification.verdict, clean ? model::Verdict::clean : model::Verdict::different);
    }

    unsigned seed_ = 0;
    Random random_{0};
    std::vector<Table> tables_;
    std::optional<Pair> pair_;
    model::BoundaryMap map_;
    base::Interrupt interrupt_;
    run::Context context_{map_, interrupt_, "test@host", {}, run::Failpoints{}};
    run::Route route_;
    std::optional<sync::Mapping> mapping_;
    std::optional<base::Lsn> proven_;
    long long seeded_ = 0;
};

TEST_P(LiveMutation, EveryCorruptionIsFoundAndNothingElse) {
    pair_->catch_up();
    if (!model::streams_messages(pair_->source.server_version()))
        publish_marks();
    Applier const applier{context_.shared("lease"), *pair_, *mapping_};
    Writers const writers{*pair_, tables_, seed_};
    auto const until = std::chrono::steady_clock::now() + std::chrono::seconds{from_environment("PGCARVE_MUTATION_SECONDS", 0)};
    int rounds = 0;
    for (; (rounds < rounds_at_least || std::chrono::steady_clock::now() < until) && !HasFailure(); ++rounds) {
        SCOPED_TRACE(fmt::format("seed {}, round {}", seed_, rounds));
        round();
    }
    std::cout << fmt::format("{} rounds of {} tables, {} corruptions, beside {} transactions\n", rounds, tables_.size(), seeded_, writers.written());
    EXPECT_GT(writers.written(), 0);
}

INSTANTIATE_TEST_SUITE_P(Versions, LiveMutation, testing::Values(Versions{}, Versions{13, 15}, Versions{15, 13}, Versions{15, 18}, Versions{18, 13}), [](auto const& given) {
    return given.param.source == 0 ? std::string{"Same"} : fmt::format("{}to{}", given.param.source, given.param.target);
});

} // namespace
