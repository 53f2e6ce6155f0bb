// Goal: what a server says of each kind of change is what we understand. Method: a slot on a real server, every
// message of it compared.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "feed.hpp"

namespace {

using namespace pgcarve;
using test::Feed;
using test::Source;
using Lines = std::vector<std::string>;

TEST(ReplicationDecode, InsertUpdateDeleteByPrimaryKey) {
    Source source{"CREATE TABLE t (id int PRIMARY KEY, a text, b text)"};
    Feed feed{source};
    source.run("BEGIN; INSERT INTO t VALUES (1, 'x', NULL), (2, '', 'y'); UPDATE t SET a = 'z' WHERE id = 1;"
               " UPDATE t SET id = 3 WHERE id = 2; DELETE FROM t WHERE id = 1; COMMIT");
    EXPECT_EQ(feed.everything(source.session),
              (Lines{"begin", "relation t d: id* a b", "insert t ('1'|'x'|null)", "insert t ('2'|''|'y')",
                     "update t ('1'|'z'|null)", "update t key ('2'|null|null) ('3'|''|'y')", "delete t key ('1'|null|null)",
                     "commit"}));
}

TEST(ReplicationDecode, FullIdentity) {
    Source source{"CREATE TABLE t (id int, a text); ALTER TABLE t REPLICA IDENTITY FULL"};
    Feed feed{source};
    source.run("BEGIN; INSERT INTO t VALUES (1, 'x'); UPDATE t SET a = NULL; DELETE FROM t; COMMIT");
    EXPECT_EQ(feed.everything(source.session),
              (Lines{"begin", "relation t f: id* a*", "insert t ('1'|'x')", "update t old ('1'|'x') ('1'|null)",
                     "delete t old ('1'|null)", "commit"}));
}

TEST(ReplicationDecode, IndexIdentity) {
    Source source{"CREATE TABLE t (id int PRIMARY KEY, code text NOT NULL, a text); CREATE UNIQUE INDEX code_key ON t (code);"
                  " ALTER TABLE t REPLICA IDENTITY USING INDEX code_key"};
    Feed feed{source};
    source.run("BEGIN; INSERT INTO t VALUES (1, 'c', 'x'); UPDATE t SET id = 2; UPDATE t SET code = 'd'; DELETE FROM t; COMMIT");
    EXPECT_EQ(feed.everything(source.session),
              (Lines{"begin", "relation t i: id code* a", "insert t ('1'|'c'|'x')", "update t ('2'|'c'|'x')",
                     "update t key (null|'c'|null) ('2'|'d'|'x')", "delete t key (null|'d'|null)", "commit"}));
}

TEST(ReplicationDecode, UnchangedToast) {
    Source source{"CREATE TABLE t (id int PRIMARY KEY, big text, n int); ALTER TABLE t ALTER big SET STORAGE EXTERNAL;"
                  " CREATE TABLE f (LIKE t INCLUDING ALL); ALTER TABLE f REPLICA IDENTITY FULL"};
    Feed feed{source};
    source.run("BEGIN; INSERT INTO t VALUES (1, repeat('x', 9000), 1); UPDATE t SET n = 2; UPDATE t SET id = 5;"
               " UPDATE t SET big = repeat('y', 9000); COMMIT");
    EXPECT_EQ(feed.everything(source.session),
              (Lines{"begin", "relation t d: id* big n", "insert t ('1'|xxx..9000|'1')", "update t ('1'|unchanged|'2')",
                     "update t key ('1'|null|null) ('5'|unchanged|'2')", "update t ('5'|yyy..9000|'2')", "commit"}));
    source.run("BEGIN; INSERT INTO f VALUES (1, repeat('x', 9000), 1); UPDATE f SET n = 2; DELETE FROM f; COMMIT");
    EXPECT_EQ(feed.everything(source.session),
              (Lines{"begin", "relation f f: id* big* n*", "insert f ('1'|xxx..9000|'1')",
                     "update f old ('1'|xxx..9000|'1') ('1'|unchanged|'2')", "delete f old ('1'|xxx..9000|'2')", "commit"}));
}

TEST(ReplicationDecode, AKeyThatIsToasted) {
    Source source{"CREATE TABLE t (k text PRIMARY KEY, n int); ALTER TABLE t ALTER k SET STORAGE EXTERNAL"};
    Feed feed{source};
    source.run("BEGIN; INSERT INTO t VALUES (repeat('k', 2500), 1); UPDATE t SET n = 2; DELETE FROM t; COMMIT");
    EXPECT_EQ(feed.everything(source.session),
              (Lines{"begin", "relation t d: k* n", "insert t (kkk..2500|'1')", "update t key (kkk..2500|null) (unchanged|'2')",
                     "delete t key (kkk..2500|null)", "commit"}));
}

TEST(ReplicationDecode, TruncateOfSeveral) {
    Source source{"CREATE TABLE a (id serial PRIMARY KEY); CREATE TABLE b (id serial PRIMARY KEY);"
                  " CREATE TABLE c (id int PRIMARY KEY REFERENCES a); CREATE TABLE d (id int PRIMARY KEY)"};
    Feed feed{source};
    source.run("BEGIN; TRUNCATE a, c, b RESTART IDENTITY; TRUNCATE a CASCADE; TRUNCATE d; COMMIT");
    EXPECT_EQ(feed.everything(source.session),
              (Lines{"begin", "relation a d: id*", "relation c d: id*", "relation b d: id*", "truncate a c b restart",
                     "truncate a c cascade", "relation d d: id*", "truncate d", "commit"}));
}

TEST(ReplicationDecode, ANewShapeIsSaidAnew) {
    Source source{"CREATE TABLE t (id int PRIMARY KEY, a text)"};
    Feed feed{source};
    source.run("INSERT INTO t VALUES (1, 'x')");
    source.run("BEGIN; INSERT INTO t VALUES (2, 'x'); ALTER TABLE t ADD b int DEFAULT 7; INSERT INTO t VALUES (3, 'x');"
               " ALTER TABLE t DROP a; INSERT INTO t VALUES (4); COMMIT");
    source.run("ALTER TABLE t RENAME TO u");
    source.run("ALTER TABLE u REPLICA IDENTITY FULL");
    source.run("UPDATE u SET b = 8 WHERE id = 4");
    EXPECT_EQ(feed.everything(source.session),
              (Lines{"begin", "relation t d: id* a", "insert t ('1'|'x')", "commit",                                         //
                     "begin", "insert t ('2'|'x')", "relation t d: id* a b", "insert t ('3'|'x'|'7')", "relation t d: id* b", //
                     "insert t ('4'|'7')", "commit",                                                                         //
                     "begin", "relation u f: id* b*", "update u old ('4'|'7') ('4'|'8')", "commit"}));
}

TEST(ReplicationDecode, Messages) {
    Source source{"CREATE TABLE t (id int PRIMARY KEY)"};
    Feed feed{source};
    auto open = source.connect();
    open.run("BEGIN; INSERT INTO t VALUES (1)");
    open.run("SELECT pg_logical_emit_message(false, 'pgcarve', 'now'), pg_logical_emit_message(true, 'pgcarve', 'later')");
    // Its transaction is still open. (Nobody flushes the log for it: the commit that everything() makes does.)
    EXPECT_EQ(feed.everything(source.session), (Lines{"message pgcarve now at once"}));
    open.run("COMMIT");
    EXPECT_EQ(feed.everything(source.session),
              (Lines{"begin", "relation t d: id*", "insert t ('1')", "message pgcarve later", "commit"}));
}

TEST(ReplicationDecode, Partitions) {
    std::string const schema = "CREATE TABLE p (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);"
                               " CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);"
                               " CREATE TABLE p2 (a text, id int NOT NULL); ALTER TABLE p ATTACH PARTITION p2 FOR VALUES FROM (10) TO (20)";
    std::string const traffic = "BEGIN; INSERT INTO p VALUES (1, 'x'), (11, 'y'); UPDATE p SET id = 12 WHERE id = 1; COMMIT";
    Source leaves{schema, "FOR TABLE p"};
    Feed by_leaf{leaves};
    leaves.run(traffic);
    EXPECT_EQ(by_leaf.everything(leaves.session),
              (Lines{"begin", "relation p1 d: id* a", "insert p1 ('1'|'x')", "relation p2 d: a id*", "insert p2 ('y'|'11')",
                     "delete p1 key ('1'|null)", "insert p2 ('x'|'12')", "commit"}));
    Source root{schema, "FOR TABLE p WITH (publish_via_partition_root)"};
    Feed by_root{root};
    root.run(traffic);
    auto lines = by_root.everything(root.session);
    std::erase_if(lines, [](auto const& line) { return line.starts_with("relation"); });
    EXPECT_EQ(lines, (Lines{"begin", "insert p ('1'|'x')", "insert p ('11'|'y')", "delete p key ('1'|null)",
                            "insert p ('12'|'x')", "commit"}));
}

TEST(ReplicationDecode, ValuesOfManyTypes) {
    Source source{"CREATE TYPE mood AS ENUM ('glad', 'sad'); CREATE DOMAIN cents AS numeric(12,2) CHECK (VALUE >= 0);"
                  " CREATE TYPE pair AS (a int, b text);"
                  " CREATE TABLE t (id int PRIMARY KEY, m mood, c cents, ints int[], bytes bytea, j json, jb jsonb, at timestamptz,"
                  " d interval, f float8, p pair, moods mood[], r regclass)"};
    Feed feed{source};
    source.run("SET timezone = 'Asia/Tokyo'");
    source.run("INSERT INTO t VALUES (1, 'sad', 12.5, '{1,NULL,3}', '\\x00ff41', '{\"a\" : 1}', '{\"a\" : 1}',"
               " '2024-02-29 12:00:00+09', '1 day 02:03:04', 0.1::float8 + 0.2, '(7,\"x,y\")', '{glad,sad}', 'public.t')");
    EXPECT_EQ(feed.everything(source.session),
              (Lines{"begin", "type public.mood", "type pg_catalog.numeric", "type public.pair", "type public._mood",
                     "relation t d: id* m c ints bytes j jb at d f p moods r",
                     "insert t ('1'|'sad'|'12.50'|'{1,NULL,3}'|'\\x00ff41'|'{\"a\" : 1}'|'{\"a\": 1}'|"
                     "'2024-02-29 03:00:00+00'|'1 day 02:03:04'|'0.30000000000000004'|'(7,\"x,y\")'|'{glad,sad}'|'public.t')",
                     "commit"}));
}

TEST(ReplicationDecode, BinaryValuesWhenAskedFor) {
    Source source{"CREATE TABLE t (id int PRIMARY KEY, a text, n bigint)"};
    auto request = source.request();
    request.binary = true;
    Feed feed{source, request};
    EXPECT_TRUE(feed.terms.negotiated.binary);
    source.run("INSERT INTO t VALUES (1, 'abc', NULL)");
    EXPECT_EQ(feed.everything(source.session),
              (Lines{"begin", "relation t d: id* a n", "insert t (binary of 4|binary of 3|null)", "commit"}));
}

TEST(ReplicationDecode, WhatWasRolledBackToASavepointIsNotThere) {
    Source source{"CREATE TABLE t (id int PRIMARY KEY)"};
    Feed feed{source};
    source.run("BEGIN; INSERT INTO t VALUES (1); SAVEPOINT s; INSERT INTO t VALUES (2); ROLLBACK TO s; INSERT INTO t VALUES (3);"
               " SAVEPOINT r; INSERT INTO t VALUES (4); RELEASE r; COMMIT");
    source.run("BEGIN; INSERT INTO t VALUES (5); ROLLBACK");
    EXPECT_EQ(feed.everything(source.session),
              (Lines{"begin", "relation t d: id*", "insert t ('1')", "insert t ('3')", "insert t ('4')", "commit"}));
}

TEST(ReplicationDecode, TransactionsComeInTheOrderOfTheirCommits) {
    Source source{"CREATE TABLE t (id int PRIMARY KEY)"};
    Feed feed{source};
    auto first = source.connect();
    auto second = source.connect();
    first.run("BEGIN; INSERT INTO t VALUES (1)");
    second.run("BEGIN; INSERT INTO t VALUES (2)");
    first.run("INSERT INTO t VALUES (3)");
    second.run("COMMIT");
    first.run("COMMIT");
    EXPECT_EQ(feed.everything(source.session), (Lines{"begin", "relation t d: id*", "insert t ('2')", "commit", "begin",
                                                      "insert t ('1')", "insert t ('3')", "commit"}));
    ASSERT_EQ(feed.ends.size(), 2U);
    EXPECT_LT(feed.ends[0], feed.ends[1]);
    EXPECT_LT(feed.starts[4], feed.starts[3]) << "a begin may lie before the commit that comes before it";
}

TEST(ReplicationDecode, OriginsAreNamed) {
    Source source{"CREATE TABLE t (id int PRIMARY KEY)"};
    Feed feed{source};
    auto replica = source.connect();
    auto const origin = "origin_" + source.database;
    replica.query(sql::Sql{"SELECT pg_replication_origin_create("}.bind(origin).add(")"));
    replica.query(sql::Sql{"SELECT pg_replication_origin_session_setup("}.bind(origin).add(")"));
    replica.run("INSERT INTO t VALUES (1)");
    EXPECT_EQ(feed.everything(source.session),
              (Lines{"begin", "origin " + origin, "relation t d: id*", "insert t ('1')", "commit"}));
    replica.run("SELECT pg_replication_origin_session_reset()");
    replica.query(sql::Sql{"SELECT pg_replication_origin_drop("}.bind(origin).add(")"));
}

TEST(ReplicationDecode, ATransactionOfAHundredThousandRows) {
    Source source{"CREATE TABLE t (id int PRIMARY KEY, note text)"};
    Feed feed{source};
    source.run("INSERT INTO t SELECT i, 'note ' || i FROM generate_series(1, 100000) i");
    std::int64_t want = 0;
    int commits = 0;
    while (commits == 0) {
        feed.next([&](wire::Message const& message) {
            if (auto const* const insert = std::get_if<wire::Insert>(&message)) {
                ++want;
                ASSERT_EQ(insert->row[0].value, std::to_string(want));
                ASSERT_EQ(insert->row[1].value, "note " + std::to_string(want));
            } else if (std::holds_alternative<wire::Commit>(message)) {
                ++commits;
            }
        });
    }
    EXPECT_EQ(want, 100'000);
}

// What a consumer has to hold of a streamed transaction: its rows by subtransaction, until its end.
struct Streamed {
    std::map<std::uint32_t, std::vector<int>> rows;
    int starts = 0;
    int stops = 0;
    int firsts = 0;
    int subaborts = 0;
    bool committed = false;
    bool aborted = false;

    void take(Feed& feed) {
        feed.next([&](wire::Message const& message) {
            if (auto const* const start = std::get_if<wire::StreamStart>(&message)) {
                ++starts;
                firsts += start->first ? 1 : 0;
                EXPECT_EQ(start->first, starts == 1);
                EXPECT_EQ(feed.decoder.stream(), start->xid);
            } else if (std::holds_alternative<wire::StreamStop>(message)) {
                ++stops;
            } else if (auto const* const insert = std::get_if<wire::Insert>(&message)) {
                auto const& shape = *feed.relations.find(insert->relation, feed.decoder.stream());
                shape.check(insert->row);
                EXPECT_EQ(shape.name, "t");
                rows[insert->xid.value].push_back(std::stoi(std::string{insert->row[0].value}));
            } else if (auto const* const abort = std::get_if<wire::StreamAbort>(&message)) {
                EXPECT_FALSE(abort->timed);
                if (abort->xid == abort->subxid) {
                    rows.clear();
                    aborted = true;
                    feed.relations.stream_aborted(abort->xid);
                } else {
                    rows.erase(abort->subxid.value);
                    ++subaborts;
                }
            } else if (auto const* const commit = std::get_if<wire::StreamCommit>(&message)) {
                EXPECT_LT(commit->commit_lsn, commit->end_lsn);
                feed.relations.stream_committed(commit->xid);
                committed = true;
            }
        });
    }
    [[nodiscard]] std::set<int> all() const {
        std::set<int> out;
        for (auto const& [xid, ids] : rows)
            out.insert(ids.begin(), ids.end());
        return out;
    }
};

TEST(ReplicationDecode, StreamedTransactions) {
    Source source{"CREATE TABLE t (id int PRIMARY KEY, note text)"};
    source.run("ALTER DATABASE " + source.database + " SET logical_decoding_work_mem = '64kB'");
    auto request = source.request();
    request.streaming = wire::Streaming::on;
    Feed feed{source, request};
    ASSERT_EQ(feed.terms.negotiated.protocol, 2);
    auto const fill = [](int from, int to) {
        return fmt::format("INSERT INTO t SELECT i, repeat('x', 50) FROM generate_series({}, {}) i", from, to);
    };
    // Only log that is on disk is decoded; what has not committed gets there with somebody else's commit.
    auto const flush = [&] { source.run("SELECT pg_logical_emit_message(true, 'test', 'flush')"); };

    Streamed kept;
    auto open = source.connect();
    open.run("BEGIN; " + fill(1, 3000) + "; SAVEPOINT s; " + fill(3001, 6000));
    flush();
    while (kept.rows.size() < 2) // both are under way before either has ended
        kept.take(feed);
    open.run("ROLLBACK TO s; " + fill(6001, 9000) + "; COMMIT");
    while (!kept.committed)
        kept.take(feed);
    std::set<int> want;
    for (int i = 1; i <= 9000; ++i) {
        if (i <= 3000 || i > 6000)
            want.insert(i);
    }
    EXPECT_EQ(kept.all(), want);
    EXPECT_GT(kept.starts, 1);
    EXPECT_EQ(kept.starts, kept.stops);
    EXPECT_EQ(kept.firsts, 1);
    EXPECT_EQ(kept.subaborts, 1);
    EXPECT_FALSE(kept.aborted);

    Streamed dropped;
    open.run("BEGIN; " + fill(10001, 13000));
    flush();
    while (dropped.rows.empty())
        dropped.take(feed);
    open.run("ROLLBACK");
    flush();
    while (!dropped.aborted)
        dropped.take(feed);
    EXPECT_TRUE(dropped.all().empty());
    EXPECT_EQ(dropped.starts, dropped.stops);

    // A small one is not streamed, and the shape that the committed stream has told holds for it.
    feed.everything(source.session); // what flush() has left
    open.run("INSERT INTO t VALUES (20000, 'small')");
    EXPECT_EQ(feed.everything(source.session), (Lines{"begin", "insert t ('20000'|'small')", "commit"}));
}

} // namespace
