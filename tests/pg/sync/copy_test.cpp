// Goal: rows copied in ranges while others write them arrive exactly once, whatever is killed on the way. Method: real
// writers on a source with wal_level = logical, small ranges and short turns, the copy broken off at random and
// begun again, keys of the target's tables made on the way; in the end both sides are equal byte for byte.
#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "pg/replication.hpp"
#include "support/server.hpp"
#include "sync/aside.hpp"
#include "sync/copy.hpp"
#include "sync/stream.hpp"

namespace {

using namespace pgcarve;

test::Server& server() {
    static test::Server one{{.settings = {"wal_level = logical", "max_replication_slots = 20", "max_wal_senders = 20"}}};
    return one;
}

sync::MappedTable mapped(pg::Session& source, std::string const& table, std::vector<std::string> const& key) {
    sync::MappedTable m{{"public", table}, {"svc", table}, {}, {}};
    for (auto const row : source.query(sql::Sql{"SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type, atttypid::oid::bigint AS oid, atttypmod::bigint AS typmod, attidentity = 'a' AS always "
                                                "FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attrelid = "}
                                           .bind("public." + table)
                                           .add("::regclass ORDER BY attnum"))) {
        m.columns.push_back({row.text("name"), row.text("type"), base::Oid{static_cast<std::uint32_t>(row.integer("oid"))},
                             static_cast<std::int32_t>(row.integer("typmod")), false, row.boolean("always")});
    }
    for (auto const& name : key) {
        auto const at = std::ranges::find(m.columns, name, &sync::MappedColumn::name);
        at->key = true;
        m.key.push_back(static_cast<std::size_t>(at - m.columns.begin()));
    }
    return m;
}

std::string content(pg::Session& session, std::string const& table) {
    return session.one(sql::Sql{"SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' ORDER BY t::text COLLATE \"C\")), '') AS c FROM "}.server_text(table).add(" AS t")).text("c");
}

class CopyTest : public testing::Test {
protected:
    CopyTest() {
        auto const source_name = server().create_database();
        auto const target_name = server().create_database();
        source_dsn_ = server().dsn(source_name);
        target_dsn_ = server().dsn(target_name);
        slot_ = "slot_" + source_name;
    }

    void tables(std::vector<std::pair<std::string, std::string>> const& definitions) {
        pg::Session source{{.dsn = source_dsn_, .purpose = "test"}};
        pg::Session target{{.dsn = target_dsn_, .purpose = "test"}};
        target.run("CREATE SCHEMA svc");
        for (auto const& [name, columns] : definitions) {
            source.run(fmt::format("CREATE TABLE public.{} ({})", name, columns));
            target.run(fmt::format("CREATE TABLE svc.{} ({})", name, columns));
        }
        source.run("CREATE PUBLICATION pub FOR ALL TABLES");
    }

    void begin() {
        pg::Replication replication{{.dsn = source_dsn_, .purpose = "test"}};
        auto const made = replication.create_slot(slot_);
        pg::Session target{{.dsn = target_dsn_, .purpose = "test"}};
        sync::prepare_target(target);
        sync::set_position(target, "s", made.consistent_point, replication.identify().system_id);
    }

    sync::StreamSettings stream_settings() const {
        return {.name = "s", .slot = slot_, .publications = {"pub"}, .source = {.dsn = source_dsn_, .purpose = "stream"},
                .target = {.dsn = target_dsn_, .purpose = "stream"}};
    }

    sync::CopySettings copy_settings() const {
        return {.stream = "s", .source = {.dsn = source_dsn_, .purpose = "copy"}, .target = {.dsn = target_dsn_, .purpose = "copy"},
                .workers = 2, .range_rows = 50, .turn = base::Millis{30}};
    }

    // Tables of the target that get their key when the copy says so; once, whatever was broken off before.
    sync::LateKeys late_key(std::uint32_t number, std::string table, std::string column) const {
        return {{number}, [this, table = std::move(table), column = std::move(column)] {
                    pg::Session target{{.dsn = target_dsn_, .purpose = "keys"}};
                    if (!has_key(target, table))
                        target.run(fmt::format("ALTER TABLE svc.{} ADD PRIMARY KEY ({})", table, column));
                }};
    }
    static bool has_key(pg::Session& target, std::string const& table) {
        return target.one(sql::Sql{"SELECT EXISTS (SELECT FROM pg_constraint WHERE contype = 'p' AND conrelid = "}.bind("svc." + table).add("::regclass) AS there")).boolean("there");
    }

    // Waits for a walsender that a broken connection left behind.
    std::unique_ptr<sync::Stream> open(sync::Mapping const& mapping) {
        std::unique_ptr<sync::Stream> stream;
        EXPECT_TRUE(test::wait_until([&] {
            try {
                stream = std::make_unique<sync::Stream>(stream_settings(), mapping);
                return true;
            } catch (pg::SqlError const& e) {
                if (e.sqlstate() != "55006") // in use
                    throw;
                return false;
            }
        }));
        return stream;
    }

    // Broken off so many times, by a stop or by killed sessions, each behind a few ranges; then to its end.
    std::unique_ptr<sync::Stream> copy_broken_off(sync::CopySettings const& settings, sync::Mapping const& mapping, unsigned seed, int times, int most_ranges) {
        std::mt19937 random{seed};
        std::unique_ptr<sync::Stream> stream;
        for (int broken = 0;;) {
            base::Interrupt interrupt;
            auto left = broken < times ? std::uniform_int_distribution<int>{1, most_ranges}(random) : 1'000'000;
            bool const kill = random() % 2 == 0;
            sync::Copy::Events events;
            events.after_range = [&] {
                if (--left != 0)
                    return;
                if (kill)
                    pg::Session{{.dsn = source_dsn_, .purpose = "killer"}}.run(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name IN ('pgcarve copy', 'pgcarve stream')");
                else
                    interrupt.request("test");
            };
            try {
                sync::Copy copy{settings, mapping};
                copy.run([&] { return open(mapping); }, stream, interrupt, events);
                EXPECT_GE(broken, times);
                return stream;
            } catch (base::Error const& e) {
                if (e.code() != "interrupted" && e.code() != "server-lost" && e.code() != "in-doubt" && e.code() != "sql-57014")
                    throw;
                ++broken;
                stream.reset();
            }
        }
    }

    void expect_equal(std::vector<std::string> const& names) {
        pg::Session source{{.dsn = source_dsn_, .purpose = "test"}};
        pg::Session target{{.dsn = target_dsn_, .purpose = "test"}};
        for (auto const& name : names)
            EXPECT_EQ(content(source, "public." + name), content(target, "svc." + name)) << name;
    }

    void catch_up(sync::Stream& stream) {
        pg::Session source{{.dsn = source_dsn_, .purpose = "test"}};
        auto const until = sync::mark(source);
        base::Interrupt interrupt;
        ASSERT_TRUE(stream.run_until(until, base::Millis{60'000}, interrupt));
    }

    std::string source_dsn_;
    std::string target_dsn_;
    std::string slot_;
};

TEST_F(CopyTest, EmptyAndQuiet) {
    tables({{"e", "id bigint PRIMARY KEY, v text"}, {"t", "k text PRIMARY KEY, v text"}});
    pg::Session source{{.dsn = source_dsn_, .purpose = "test"}};
    source.run("INSERT INTO public.t SELECT 'k' || g, 'v' || g FROM generate_series(1, 500) g");
    begin();
    sync::Mapping const mapping{{mapped(source, "e", {"id"}), mapped(source, "t", {"k"})}};
    sync::Copy copy{copy_settings(), mapping};
    std::unique_ptr<sync::Stream> stream;
    base::Interrupt interrupt;
    copy.run([&] { return open(mapping); }, stream, interrupt, {});
    EXPECT_TRUE(copy.finished());
    expect_equal({"e", "t"});
    source.run("INSERT INTO public.e VALUES (1, NULL); UPDATE public.t SET v = 'w' WHERE k < 'k2'");
    catch_up(*stream);
    expect_equal({"e", "t"});
}

// Writers of every kind, the copy broken off after every few ranges, by an interrupt or a killed backend.
TEST_F(CopyTest, UnderWritersAndKills) {
    tables({{"a", "id bigint PRIMARY KEY, v text, n integer UNIQUE DEFERRABLE"}, {"u", "id uuid PRIMARY KEY, v text"}, {"w", "k text PRIMARY KEY, v text"},
            {"c", "p integer, q integer, v text, PRIMARY KEY (p, q)"}});
    pg::Session source{{.dsn = source_dsn_, .purpose = "test"}};
    pg::Session target{{.dsn = target_dsn_, .purpose = "test"}};
    target.run("ALTER TABLE svc.a DROP CONSTRAINT a_n_key"); // what looks at several rows comes after the load
    target.run("ALTER TABLE svc.a DROP CONSTRAINT a_pkey; ALTER TABLE svc.u DROP CONSTRAINT u_pkey; ALTER TABLE svc.w DROP CONSTRAINT w_pkey");
    source.run("INSERT INTO public.a SELECT g, 'v' || g, g FROM generate_series(-1000, 2000) g; INSERT INTO public.u SELECT md5(g::text)::uuid, 'v' FROM generate_series(1, 2000) g; "
               "INSERT INTO public.w SELECT 'k' || g, repeat('x', 3000) FROM generate_series(1, 300) g; INSERT INTO public.c SELECT g / 10, g % 10, 'v' FROM generate_series(1, 2000) g");
    begin();
    std::atomic<bool> stop{false};
    std::vector<std::thread> writers;
    for (unsigned seed = 1; seed <= 3; ++seed) {
        writers.emplace_back([this, seed, &stop] {
            pg::Session session{{.dsn = source_dsn_, .purpose = "writer"}};
            std::mt19937 random{seed};
            for (int i = 0; i < 6'000 && !stop; ++i) { // on a machine that is too slow for this, the end is quiet
                std::this_thread::sleep_for(std::chrono::milliseconds{5});
                auto const n = [&](int from, int to) { return std::uniform_int_distribution<int>{from, to}(random); };
                std::vector<std::string> const statements{
                    fmt::format("UPDATE public.a SET v = v || 'x' WHERE id BETWEEN {0} AND {0} + 20", n(-1000, 2000)),
                    fmt::format("DELETE FROM public.a WHERE id = {}", n(-1000, 2000)),
                    fmt::format("INSERT INTO public.a VALUES ({0}, 'new', NULL) ON CONFLICT (id) DO UPDATE SET v = 'again'", n(-1100, 2100)),
                    fmt::format("UPDATE public.u SET v = md5(v) WHERE id = md5('{}')::uuid", n(1, 2000)),
                    fmt::format("DELETE FROM public.u WHERE id = md5('{}')::uuid", n(1, 2000)),
                    fmt::format("INSERT INTO public.u VALUES (md5('{}')::uuid, 'i') ON CONFLICT DO NOTHING", n(1, 2500)),
                    fmt::format("UPDATE public.w SET k = k || 'y' WHERE k = 'k{}'", n(1, 300)),
                    fmt::format("UPDATE public.c SET q = q + 100 WHERE p = {} AND q < 100", n(0, 200)),
                    fmt::format("BEGIN; DELETE FROM public.c WHERE p = {0}; SAVEPOINT s; DELETE FROM public.a; ROLLBACK TO s; INSERT INTO public.c VALUES ({0}, {1}, 'r'); COMMIT", n(0, 200), n(0, 9)),
                };
                try {
                    session.run(statements[static_cast<std::size_t>(n(0, static_cast<int>(statements.size()) - 1))]);
                } catch (pg::SqlError const&) {
                    session.run("ROLLBACK"); // of a statement that began one; else a warning
                }
            }
        });
    }
    sync::Mapping const mapping{{mapped(source, "a", {"id"}), mapped(source, "u", {"id"}), mapped(source, "w", {"k"}), mapped(source, "c", {"p", "q"})}};
    auto settings = copy_settings();
    settings.late_keys = {late_key(0, "a", "id"), late_key(1, "u", "id"), late_key(2, "w", "k")};
    settings.longest_turn = base::Millis{60};
    auto const stream = copy_broken_off(settings, mapping, 7, 12, 12);
    stop = true;
    for (auto& writer : writers)
        writer.join();
    catch_up(*stream);
    expect_equal({"a", "u", "w", "c"});
    for (auto const* const table : {"a", "u", "w"})
        EXPECT_TRUE(has_key(target, table)) << table;
    EXPECT_EQ(target.one(sql::Sql{"SELECT count(*) AS n FROM pgcarve.chunk WHERE lo IS NULL"}).text("n"), "4");
}

// Keys in orders that only the source knows: collations that do not sort by bytes, one for which different texts are equal,
// numbers, times. Rows move from range to range while they are copied.
TEST_F(CopyTest, KeysThatOnlyTheSourceCompares) {
    struct Kind {
        std::string table;
        std::string type;
        std::string key; // of a number n
    };
    std::vector<Kind> const kinds{
        {"letters", "text COLLATE \"de-x-icu\"", "(ARRAY['ä', 'Z', 'b', 'a-', 'A ', E'\\\\', '{\"'])[1 + n % 7] || n"},
        {"either", "varchar(40) COLLATE public.either", "(ARRAY['a', 'B', 'c'])[1 + n % 3] || n"},
        {"amounts", "numeric", "CASE WHEN n % 50 = 0 THEN 'NaN'::numeric + n WHEN n % 2 = 0 THEN n / 100.0 ELSE -n END"},
        {"moments", "timestamptz", "timestamptz '2025-03-30 00:00+00' + n * interval '7 minutes'"},
        {"raw", "bytea", "decode(md5(n::text), 'hex')"},
        {"padded", "char(6)", "(n % 100) || 'x' || n / 100"},
    };
    for (auto const& dsn : {source_dsn_, target_dsn_})
        pg::Session{{.dsn = dsn, .purpose = "test"}}.run("CREATE COLLATION public.either (provider = icu, locale = 'und-u-ks-level2', deterministic = false)");
    std::vector<std::pair<std::string, std::string>> definitions;
    for (auto const& kind : kinds)
        definitions.emplace_back(kind.table, fmt::format("k {} PRIMARY KEY, v text", kind.type));
    definitions.emplace_back("pairs", "a text COLLATE \"de-x-icu\", b integer, v text, PRIMARY KEY (a, b)");
    definitions.emplace_back("unsorted", "k text NOT NULL, v text"); // with an index in another order: one range
    tables(definitions);
    pg::Session source{{.dsn = source_dsn_, .purpose = "test"}};
    source.run("CREATE UNIQUE INDEX unsorted_k ON public.unsorted (k text_pattern_ops); ALTER TABLE public.unsorted ALTER k SET NOT NULL, REPLICA IDENTITY USING INDEX unsorted_k");
    std::vector<sync::MappedTable> all;
    for (auto const& kind : kinds) {
        source.run(fmt::format("INSERT INTO public.{} SELECT {}, 'v' FROM generate_series(1, 1000) n ON CONFLICT DO NOTHING", kind.table, kind.key));
        all.push_back(mapped(source, kind.table, {"k"}));
    }
    source.run("INSERT INTO public.pairs SELECT 'p' || n % 60, n, 'v' FROM generate_series(1, 1000) n; INSERT INTO public.unsorted SELECT 'k' || n, 'v' FROM generate_series(1, 300) n");
    all.push_back(mapped(source, "pairs", {"a", "b"}));
    all.push_back(mapped(source, "unsorted", {"k"}));
    begin();
    std::atomic<bool> stop{false};
    std::vector<std::thread> writers;
    for (unsigned seed = 1; seed <= 3; ++seed) {
        writers.emplace_back([this, seed, &stop, &kinds] {
            pg::Session session{{.dsn = source_dsn_, .purpose = "writer"}};
            std::mt19937 random{seed};
            auto const n = [&](int from, int to) { return std::uniform_int_distribution<int>{from, to}(random); };
            for (int i = 0; i < 6'000 && !stop; ++i) {
                std::this_thread::sleep_for(std::chrono::milliseconds{3});
                auto const& kind = kinds[static_cast<std::size_t>(n(0, static_cast<int>(kinds.size()) - 1))];
                auto const some = [&] { return fmt::format("(SELECT {} FROM (VALUES ({})) AS x (n))", kind.key, n(1, 1200)); };
                std::vector<std::string> const statements{
                    fmt::format("UPDATE public.{} SET v = v || 'x' WHERE k = {}", kind.table, some()),
                    fmt::format("DELETE FROM public.{} WHERE k = {}", kind.table, some()),
                    fmt::format("INSERT INTO public.{} VALUES ({}, 'new') ON CONFLICT (k) DO UPDATE SET v = 'again'", kind.table, some()),
                    fmt::format("UPDATE public.{0} SET k = {1} WHERE k = {2} AND NOT EXISTS (SELECT FROM public.{0} WHERE k = {1})", kind.table, some(), some()),
                    fmt::format("UPDATE public.pairs SET a = 'P' || {}, v = v || 'm' WHERE a = 'p{}'", n(1, 60), n(0, 59)),
                    fmt::format("UPDATE public.unsorted SET v = v || 'u' WHERE k = 'k{}'", n(1, 300)),
                };
                try {
                    session.run(statements[static_cast<std::size_t>(n(0, static_cast<int>(statements.size()) - 1))]);
                } catch (pg::SqlError const& e) {
                    EXPECT_TRUE(e.sqlstate() == "23505" || e.sqlstate() == "40P01") << e.what(); // somebody else was quicker
                }
            }
        });
    }
    sync::Mapping const mapping{all};
    auto const stream = copy_broken_off(copy_settings(), mapping, 11, 8, 20);
    stop = true;
    for (auto& writer : writers)
        writer.join();
    catch_up(*stream);
    pg::Session target{{.dsn = target_dsn_, .purpose = "test"}};
    auto const ranges = [&](std::string const& table) {
        return target.one(sql::Sql{"SELECT count(*) AS n FROM pgcarve.chunk WHERE source_table = "}.bind("public." + table)).integer("n");
    };
    for (auto const& [table, columns] : definitions) {
        expect_equal({table});
        if (table == "unsorted")
            EXPECT_EQ(ranges(table), 1);
        else
            EXPECT_GE(ranges(table), 8) << table;
    }
}

// A row at which a range ends belongs to this range; it is changed once, which nothing later can hide.
TEST_F(CopyTest, ARangeHasItsLastRow) {
    tables({{"t", "k text PRIMARY KEY, v integer"}, {"i", "k integer PRIMARY KEY, v integer"}});
    pg::Session source{{.dsn = source_dsn_, .purpose = "test"}};
    source.run("INSERT INTO public.t SELECT 'k' || g, 0 FROM generate_series(1, 500) g; INSERT INTO public.i SELECT g, 0 FROM generate_series(1, 500) g");
    begin();
    sync::Mapping const mapping{{mapped(source, "t", {"k"}), mapped(source, "i", {"k"})}};
    sync::Copy::Events events;
    pg::Session target{{.dsn = target_dsn_, .purpose = "test"}};
    int changed = 0;
    events.after_range = [&] {
        for (auto const row : target.query(sql::Sql{"SELECT source_table, hi FROM pgcarve.chunk WHERE hi IS NOT NULL"})) {
            sql::Sql change{"UPDATE "};
            changed += static_cast<int>(source.query(change.server_text(row.text(0)).add(" SET v = 1 WHERE v = 0 AND k::text = ").bind(row.text(1))).affected());
        }
    };
    auto settings = copy_settings();
    settings.turn = base::Millis{0};
    sync::Copy copy{settings, mapping};
    std::unique_ptr<sync::Stream> stream;
    base::Interrupt interrupt;
    copy.run([&] { return open(mapping); }, stream, interrupt, events);
    catch_up(*stream);
    EXPECT_GE(changed, 10);
    expect_equal({"t", "i"});
}

// Its index went while the copy was broken off: no range of it can be found again, and all of it comes anew.
TEST_F(CopyTest, AnIndexThatGoesWhileItIsCopied) {
    tables({{"t", "k text PRIMARY KEY, v text"}});
    pg::Session source{{.dsn = source_dsn_, .purpose = "test"}};
    source.run("INSERT INTO public.t SELECT 'k' || g, 'v' FROM generate_series(1, 500) g");
    begin();
    sync::Mapping const mapping{{mapped(source, "t", {"k"})}};
    std::unique_ptr<sync::Stream> stream;
    {
        base::Interrupt interrupt;
        int left = 3;
        sync::Copy::Events events;
        events.after_range = [&] {
            if (--left == 0)
                interrupt.request("test");
        };
        sync::Copy copy{copy_settings(), mapping};
        EXPECT_THROW(copy.run([&] { return open(mapping); }, stream, interrupt, events), base::Error);
        stream.reset();
    }
    source.run("ALTER TABLE public.t DROP CONSTRAINT t_pkey; CREATE UNIQUE INDEX t_k ON public.t (k text_pattern_ops); ALTER TABLE public.t REPLICA IDENTITY USING INDEX t_k;"
               " UPDATE public.t SET v = 'w' WHERE k LIKE 'k1%'");
    base::Interrupt interrupt;
    sync::Copy copy{copy_settings(), mapping};
    copy.run([&] { return open(mapping); }, stream, interrupt, {});
    catch_up(*stream);
    expect_equal({"t"});
}

// A turn goes on for a table without its key until all of it is there, but not beyond what the source may log meanwhile.
TEST_F(CopyTest, KeysComeWithTheLastRow) {
    for (bool const quiet : {true, false}) {
        auto const name = std::string{quiet ? "quiet" : "busy"};
        auto const source_name = server().create_database();
        auto const target_name = server().create_database();
        source_dsn_ = server().dsn(source_name);
        target_dsn_ = server().dsn(target_name);
        slot_ = "slot_" + source_name;
        tables({{"t", "id bigint PRIMARY KEY, v text"}});
        pg::Session source{{.dsn = source_dsn_, .purpose = "test"}};
        pg::Session target{{.dsn = target_dsn_, .purpose = "test"}};
        target.run("ALTER TABLE svc.t DROP CONSTRAINT t_pkey");
        source.run("INSERT INTO public.t SELECT g, 'v' FROM generate_series(1, 1000) g");
        begin();
        sync::Mapping const mapping{{mapped(source, "t", {"id"})}};
        auto settings = copy_settings();
        settings.turn = base::Millis{0};
        settings.longest_turn_log = quiet ? 1LL << 40U : 1;
        settings.late_keys = {late_key(0, "t", "id")};
        int ranges = 0;
        int without = 0;
        sync::Copy::Events events;
        events.after_range = [&] {
            ++ranges;
            without += has_key(target, "t") ? 0 : 1;
            source.run("UPDATE public.t SET v = v || 'w' WHERE id % 100 = 7");
        };
        sync::Copy copy{settings, mapping};
        std::unique_ptr<sync::Stream> stream;
        base::Interrupt interrupt;
        copy.run([&] { return open(mapping); }, stream, interrupt, events);
        catch_up(*stream);
        expect_equal({"t"});
        EXPECT_TRUE(has_key(target, "t"));
        EXPECT_GE(ranges, 20) << name;
        if (quiet)
            EXPECT_GE(without, 19) << name;
        else
            EXPECT_LT(without, 10) << name;
    }
}

// Between two turns with the stream, as a rule, or surely in the midst of one: then some ranges have seen it and others not.
class TruncatedCopyTest : public CopyTest, public testing::WithParamInterface<int> {};

TEST_P(TruncatedCopyTest, EndsEqual) {
    tables({{"t", "id bigint PRIMARY KEY, v text"}});
    pg::Session source{{.dsn = source_dsn_, .purpose = "test"}};
    source.run("INSERT INTO public.t SELECT g, 'v' FROM generate_series(1, 1000) g");
    begin();
    sync::Mapping const mapping{{mapped(source, "t", {"id"})}};
    int ranges = 0;
    sync::Copy::Events events;
    events.after_range = [&] {
        if (++ranges == 5) {
            pg::Session session{{.dsn = source_dsn_, .purpose = "test"}};
            session.run("TRUNCATE public.t; INSERT INTO public.t SELECT g, 'w' FROM generate_series(1, 700) g");
        }
    };
    auto settings = copy_settings();
    settings.workers = 1;
    settings.turn = base::Millis{GetParam()};
    sync::Copy copy{settings, mapping};
    std::unique_ptr<sync::Stream> stream;
    base::Interrupt interrupt;
    copy.run([&] { return open(mapping); }, stream, interrupt, events);
    catch_up(*stream);
    expect_equal({"t"});
}

INSTANTIATE_TEST_SUITE_P(Turns, TruncatedCopyTest, testing::Values(1, 60'000));

// A target with rows missing, too many, wrong, and standing in each other's way, while the source goes on being written.
TEST_F(CopyTest, ARepairEndsEqual) {
    tables({{"a", "id bigint PRIMARY KEY, v text, code integer UNIQUE, n integer GENERATED ALWAYS AS IDENTITY"}, {"w", "k text PRIMARY KEY, v numeric"},
            {"other", "id integer PRIMARY KEY, v text"}});
    pg::Session source{{.dsn = source_dsn_, .purpose = "test"}};
    pg::Session target{{.dsn = target_dsn_, .purpose = "test"}};
    source.run("INSERT INTO public.a SELECT g, 'v' || g, g FROM generate_series(1, 1000) g; INSERT INTO public.w SELECT 'k' || g, g + 0.50 FROM generate_series(1, 200) g; "
               "INSERT INTO public.other SELECT g, 'v' FROM generate_series(1, 100) g");
    target.run("INSERT INTO svc.other SELECT g, 'v' FROM generate_series(1, 100) g");
    // Codes the other way round, so that every range is in the way of another; a third of the rows missing, some too many.
    target.run("INSERT INTO svc.a SELECT g, 'v' || g, 1001 - g FROM generate_series(1, 1000) g WHERE g % 3 > 0; INSERT INTO svc.a SELECT -g, 'extra', -g FROM generate_series(1, 50) g; "
               "INSERT INTO svc.w SELECT 'k' || g, g + 0.5 FROM generate_series(1, 150) g; INSERT INTO svc.w VALUES ('', 1)");
    begin();
    std::atomic<bool> stop{false};
    std::vector<std::thread> writers;
    for (unsigned seed = 1; seed <= 2; ++seed) {
        writers.emplace_back([this, seed, &stop] {
            pg::Session session{{.dsn = source_dsn_, .purpose = "writer"}};
            std::mt19937 random{seed};
            for (int i = 0; i < 6'000 && !stop; ++i) {
                std::this_thread::sleep_for(std::chrono::milliseconds{5});
                auto const id = [&] { return std::uniform_int_distribution<int>{1, 1000}(random); };
                try {
                    session.run(fmt::format("BEGIN; UPDATE public.a SET code = NULL WHERE id IN ({0}, {1}); UPDATE public.a SET code = {0} WHERE id = {1} AND NOT EXISTS (SELECT FROM public.a WHERE code = {0}); "
                                            "DELETE FROM public.a WHERE id = {2}; INSERT INTO public.a (id, v) VALUES ({2}, 'again') ON CONFLICT DO NOTHING; "
                                            "UPDATE public.other SET v = 'w{0}' WHERE id = {0} % 100 + 1; UPDATE public.w SET v = v + 1 WHERE k = 'k{3}'; COMMIT",
                                            id(), id(), id(), id() % 200));
                } catch (pg::SqlError const&) {
                    session.run("ROLLBACK");
                }
            }
        });
    }
    sync::Mapping const mapping{{mapped(source, "a", {"id"}), mapped(source, "w", {"k"}), mapped(source, "other", {"id"})}};
    auto settings = copy_settings();
    settings.repair = true;
    settings.followed = {false, false, true};
    std::unique_ptr<sync::Stream> stream;
    long long mended = 0;
    int broken = 0;
    for (bool done = false; !done;) {
        base::Interrupt interrupt;
        int left = broken < 4 ? 3 : 1'000'000;
        sync::Copy::Events events;
        events.after_range = [&] {
            if (--left == 0)
                interrupt.request("test");
        };
        events.progress = [&](sync::CopyProgress const& progress) { mended = std::max(mended, progress.mended); };
        try {
            sync::Copy copy{settings, mapping};
            copy.run([&] { return open(mapping); }, stream, interrupt, events);
            done = true;
        } catch (base::Error const& e) {
            ASSERT_TRUE(e.code() == "interrupted" || e.code() == "sql-57014") << e.what();
            ++broken;
            stream.reset();
        }
    }
    stop = true;
    for (auto& writer : writers)
        writer.join();
    catch_up(*stream);
    expect_equal({"a", "w", "other"});
    EXPECT_GT(mended, 0);
    EXPECT_EQ(target.one(sql::Sql{"SELECT count(*) AS n FROM pgcarve.chunk WHERE source_table = 'public.other'"}).text("n"), "0");
}

// One that differs in nothing but its unique index, which the source does not have.
TEST_F(CopyTest, ARepairThatCannotEnd) {
    tables({{"a", "id bigint PRIMARY KEY, code integer"}});
    pg::Session source{{.dsn = source_dsn_, .purpose = "test"}};
    pg::Session target{{.dsn = target_dsn_, .purpose = "test"}};
    source.run("INSERT INTO public.a SELECT g, 1 FROM generate_series(1, 10) g");
    target.run("CREATE UNIQUE INDEX ON svc.a (code)");
    begin();
    sync::Mapping const mapping{{mapped(source, "a", {"id"})}};
    auto settings = copy_settings();
    settings.repair = true;
    sync::Copy copy{settings, mapping};
    std::unique_ptr<sync::Stream> stream;
    base::Interrupt interrupt;
    try {
        copy.run([&] { return open(mapping); }, stream, interrupt, {});
        ADD_FAILURE() << "it ends";
    } catch (base::Error const& e) {
        EXPECT_EQ(e.code(), "target-differs") << e.what();
    }
}

// A table that is set aside is left alone, whatever happens to it, and comes back.
TEST_F(CopyTest, SetAsideAndBroughtBack) {
    tables({{"a", "id bigint PRIMARY KEY, v text"}, {"b", "id bigint PRIMARY KEY, v text"}});
    pg::Session source{{.dsn = source_dsn_, .purpose = "test"}};
    pg::Session target{{.dsn = target_dsn_, .purpose = "test"}};
    begin();
    auto const rows = "INSERT INTO public.a SELECT g, 'v' FROM generate_series(1, 100) g; INSERT INTO public.b SELECT g, 'v' FROM generate_series(1, 100) g";
    source.run(rows);
    sync::set_aside(target, "s", {"public", "b"}, "test");
    {
        sync::Mapping const mapping{{mapped(source, "a", {"id"})}, {}, {{"public", "b"}}};
        auto const stream = open(mapping);
        catch_up(*stream);
        source.run("BEGIN; TRUNCATE public.a, public.b; UPDATE public.b SET v = 'w'; ALTER TABLE public.b ADD w int; COMMIT");
        source.run("INSERT INTO public.b VALUES (1, 'x', 2), (2, 'y', 3); INSERT INTO public.a VALUES (7, 'z'); DELETE FROM public.b WHERE id = 2");
        catch_up(*stream);
        stream->stop();
    }
    expect_equal({"a"});
    EXPECT_EQ(content(target, "svc.b").substr(0, 2), "0 ");
    target.run("ALTER TABLE svc.b ADD w int; INSERT INTO svc.b VALUES (2, 'stale', 1), (9, 'stale', 1)");
    sync::bring_back(target, "s", {{"public", "b"}}, "test");
    auto const aside = sync::asides(target, "s");
    ASSERT_EQ(aside.size(), 1U);
    EXPECT_TRUE(aside[0].returning);
    sync::Mapping const mapping{{mapped(source, "a", {"id"}), mapped(source, "b", {"id"})}};
    auto settings = copy_settings();
    settings.repair = true;
    settings.followed = {true, false};
    sync::Copy copy{settings, mapping};
    std::unique_ptr<sync::Stream> stream;
    base::Interrupt interrupt;
    copy.run([&] { return open(mapping); }, stream, interrupt, {});
    sync::brought_back(target, "s", {{"public", "b"}});
    EXPECT_TRUE(sync::asides(target, "s").empty());
    source.run("UPDATE public.b SET v = 'new'; DELETE FROM public.a");
    catch_up(*stream);
    expect_equal({"a", "b"});
}

} // namespace
