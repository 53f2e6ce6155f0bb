// Goal: any pairing of supported versions, target not older than source, ends with both sides equal. Method: for each a
// copy in small ranges while several sessions write, then the stream behind it, broken off and gone on with; the values of a
// table with a column of every common type are compared byte by byte as each server prints them.
#include <gtest/gtest.h>

#include <thread>

#include "sync/copy.hpp"
#include "traffic.hpp"

namespace {

using namespace pgcarve;

struct Versions {
    int source;
    int target;
};

std::string const kinds = R"(
    CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy');
    CREATE DOMAIN cents AS bigint CHECK (VALUE >= 0);
    CREATE TYPE point3 AS (x int, y numeric, z text);
    CREATE TABLE kinds (id bigint PRIMARY KEY, a bool, b smallint, c real, d double precision, e numeric(20,5), f varchar(20), g char(5), h "char", i name, j bytea, k date,
        l time(3), m timetz, n timestamp, o timestamptz(0), p interval, q uuid, r json, s jsonb, t inet, u cidr, v macaddr, w bit(7), x varbit, y money,
        z int[], aa text[], ab numeric[], ac timestamptz[], ad int4range, ae tstzrange, af tsvector, ag mood, ah mood[], ai cents, aj point3, ak xml, al regclass, am point, an oid, ao pg_lsn,
        ap jsonb[], aq bigint GENERATED ALWAYS AS (id * 2) STORED))";

std::string const kinds_rows = R"(INSERT INTO kinds SELECT g, g % 2 = 0, g % 1000, g / 3.0, CASE g % 50 WHEN 0 THEN 'NaN' WHEN 1 THEN '-Infinity' ELSE g / 7.0::float8 END, g / 11.0, 'v' || g, 'g' || g % 10, 'h', 'name' || g,
    decode(md5(g::text), 'hex'), date '2000-01-01' + g::int, '12:00:00.123', '12:00:00+02', CASE WHEN g % 9 = 0 THEN 'infinity' ELSE timestamp '1990-01-01' + g * interval '1 day' END, timestamptz '2020-01-01' + g * interval '1 hour',
    g * interval '1 mon 1 day 0.5 second', md5(g::text)::uuid, '{"a" : 1}', jsonb_build_object('k', g, 'n', NULL), '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03', '1010101', '101', g::numeric::money,
    ARRAY[g, NULL, 3]::int[], ARRAY['a"b', '', NULL, E'\\' || g], ARRAY[1.50, 2], ARRAY[now(), 'infinity'], int4range(1, g::int + 1), tstzrange(now(), NULL), to_tsvector('simple', 'a b ' || g), CASE WHEN g % 3 = 0 THEN 'so so' END::mood,
    ARRAY['sad', 'happy']::mood[], g, ROW(g, 1.50, 'q"' || g)::point3, '<a>x</a>', 'pg_class', point(g, 1.5), g, '0/16B3748', ARRAY['{"a": [1, null]}']::jsonb[]
    )";

std::string new_kinds(int first, int last) { return fmt::format("{} FROM generate_series({}, {}) g;", kinds_rows, first, last); }

class SyncVersions : public testing::TestWithParam<Versions> {};

TEST_P(SyncVersions, CopyAndStream) {
    auto const [from, to] = GetParam();
    PGCARVE_NEEDS_VERSION(from);
    PGCARVE_NEEDS_VERSION(to);
    test::Pair pair{test::traffic_schema + ";" + kinds, {.source = &test::server_of_version(from), .target = &test::server_of_version(to)}};
    sync::prepare_target(pair.source); // as `init`: for the marks, where streams carry no messages
    pair.run(new_kinds(1, 300));
    pair.run("INSERT INTO plain SELECT g, 'v', repeat('b', 3000) FROM generate_series(1, 200) g; INSERT INTO named SELECT 'n' || g, NULL, g, 'v' FROM generate_series(1, 200) g; "
             "INSERT INTO parted SELECT g, g % 2, 'v' FROM generate_series(1, 200) g");
    auto const tables = pair.mapping();
    auto const settings = pair.settings();
    std::atomic<bool> stop{false};
    std::atomic<int> written{0};
    std::vector<std::thread> writers;
    for (std::uint64_t i = 0; i < 2; ++i)
        writers.emplace_back([&, own = test::Dice{i}] { test::write(pair, own, stop, written, false); });
    std::unique_ptr<sync::Stream> stream;
    try {
        sync::Copy copy{{.stream = pair.name,
                         .source = {.dsn = settings.source.dsn, .purpose = "copy"},
                         .target = {.dsn = settings.target.dsn, .purpose = "copy"},
                         .workers = 2,
                         .range_rows = 20,
                         .turn = base::Millis{100},
                         .estimated_rows = {}},
                        tables};
        base::Interrupt interrupt;
        copy.run([&] { return pair.stream(tables); }, stream, interrupt, {});
        for (int i = 0; i < 5; ++i) {
            stream->run_until(base::Lsn{~0ULL}, base::Millis{200}, interrupt);
            stream.reset();
            stream = pair.stream(tables);
        }
        pair.run(new_kinds(301, 400) + " UPDATE kinds SET a = NOT a, s = s || '{\"u\": 1}' WHERE id % 5 = 0; DELETE FROM kinds WHERE id % 7 = 0");
    } catch (std::exception const& e) {
        ADD_FAILURE() << e.what();
        stream.reset(); // it asks the copy, which is gone
    }
    stop = true;
    for (auto& writer : writers)
        writer.join();
    ASSERT_TRUE(stream);
    pair.catch_up(*stream);
    stream->stop();
    EXPECT_GT(written, 10);
    pair.expect_equal();
}

INSTANTIATE_TEST_SUITE_P(Pairings, SyncVersions,
                         testing::Values(Versions{13, 13}, Versions{13, 15}, Versions{13, 18}, Versions{14, 16}, Versions{15, 15}, Versions{15, 18}, Versions{16, 16},
                                         Versions{16, 17}, Versions{17, 18}, Versions{18, 18}),
                         [](auto const& one) { return fmt::format("{}to{}", one.param.source, one.param.target); });

} // namespace
