// Goal: what servers really send, of every kind and in every version of the protocol, is understood, and is what the fuzzer
// starts from (tests/fuzz/corpus). Method: the same traffic read with protocol 1 to 4; with PGCARVE_WRITE_CORPUS=FOLDER it is
// written there, in the form that tests/fuzz/decoder_fuzz.cpp reads.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/server.hpp"
#include "wire/decoder.hpp"

namespace {

using namespace pgcarve;

std::string from_hex(std::string const& text) {
    std::string bytes;
    for (std::size_t i = 2; i + 1 < text.size(); i += 2) // behind \x
        bytes += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
    return bytes;
}

struct Terms {
    int choice; // of decoder_fuzz.cpp
    wire::Negotiated negotiated;
    std::string options;
};

std::vector<Terms> const all_terms{
    {0, {}, "'proto_version', '1', 'messages', 'true'"},
    {1, {.protocol = 2, .streaming = wire::Streaming::on}, "'proto_version', '2', 'messages', 'true', 'streaming', 'on'"},
    {2, {.protocol = 3, .streaming = wire::Streaming::on, .two_phase = true}, "'proto_version', '3', 'messages', 'true', 'streaming', 'on', 'two_phase', 'true'"},
    {3,
     {.protocol = 4, .streaming = wire::Streaming::parallel, .two_phase = true, .binary = true},
     "'proto_version', '4', 'messages', 'true', 'streaming', 'parallel', 'two_phase', 'true', 'binary', 'true'"}};

// Large transactions are large by what is not published, so that their messages stay few and short.
constexpr auto schema = "SET search_path = public; CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE t (id int PRIMARY KEY, m mood, big text, u uuid);"
                        "ALTER TABLE t ALTER big SET STORAGE EXTERNAL; CREATE TABLE f (a int, b text); ALTER TABLE f REPLICA IDENTITY FULL;"
                        "CREATE TABLE unpublished (x text); ALTER TABLE unpublished ALTER x SET STORAGE EXTERNAL; CREATE PUBLICATION pub FOR TABLE t, f;"
                        "INSERT INTO t VALUES (100, 'ok', repeat('x', 3000), NULL)";

constexpr auto large = "INSERT INTO unpublished SELECT repeat('y', 100000) FROM generate_series(1, 3);";

std::vector<std::string> traffic(bool two_phase) {
    auto const big = std::string{large};
    std::vector<std::string> all{
        "BEGIN; INSERT INTO t VALUES (1, 'ok', NULL, gen_random_uuid()), (2, NULL, '', NULL); UPDATE t SET m = NULL WHERE id = 100; UPDATE t SET id = 3 WHERE id = 2;"
        " DELETE FROM t WHERE id = 1; COMMIT",
        "BEGIN; INSERT INTO f VALUES (1, 'x'); UPDATE f SET b = NULL; DELETE FROM f; TRUNCATE t, f RESTART IDENTITY CASCADE; COMMIT",
        "SELECT pg_logical_emit_message(true, 'pgcarve', 'in'), pg_logical_emit_message(false, 'pgcarve', 'at once')",
        "SELECT pg_replication_origin_session_setup('elsewhere'); BEGIN; SELECT pg_replication_origin_xact_setup('0/1', now()); INSERT INTO t VALUES (4); COMMIT;"
        " SELECT pg_replication_origin_session_reset()",
        "BEGIN; INSERT INTO t VALUES (5); " + big + "SAVEPOINT s; INSERT INTO t VALUES (6); " + big + "ROLLBACK TO s; INSERT INTO t VALUES (7); " + big +
            "UPDATE t SET big = 'b' WHERE id = 5; DELETE FROM t WHERE id = 7; TRUNCATE f; SELECT pg_logical_emit_message(true, 'pgcarve', 'streamed'); COMMIT",
        "BEGIN; INSERT INTO t VALUES (8); " + big + "ALTER TABLE t ADD COLUMN IF NOT EXISTS more int; INSERT INTO t (id, more) VALUES (9, 9); " + big + "ROLLBACK"};
    if (two_phase) {
        for (std::string const end : {"COMMIT", "ROLLBACK"}) {
            all.push_back("BEGIN; INSERT INTO t VALUES (11); PREPARE TRANSACTION 'small'; " + end + " PREPARED 'small'");
            all.push_back("BEGIN; INSERT INTO t VALUES (12); " + big + "PREPARE TRANSACTION 'large'; " + end + " PREPARED 'large'; DELETE FROM t WHERE id > 10");
        }
    }
    return all;
}

class DecoderCorpus : public testing::TestWithParam<int> {};

TEST_P(DecoderCorpus, EveryKindIsUnderstood) {
    PGCARVE_NEEDS_VERSION(GetParam());
    auto& server = test::server_of_version(GetParam());
    std::set<std::size_t> kinds;
    for (auto const& terms : all_terms) {
        if ((terms.negotiated.protocol == 2 && GetParam() < 14) || (terms.negotiated.protocol == 3 && GetParam() < 15) || (terms.negotiated.protocol == 4 && GetParam() < 16))
            continue;
        SCOPED_TRACE(terms.options);
        auto session = server.connect(server.create_database());
        session.run(schema);
        session.run("SET logical_decoding_work_mem = '64kB'");
        if (session.one(sql::Sql{"SELECT EXISTS (SELECT FROM pg_replication_origin WHERE roname = 'elsewhere') AS there"}).boolean("there") == false)
            session.run("SELECT pg_replication_origin_create('elsewhere')");
        auto const slot = fmt::format("corpus_{}", terms.choice);
        session.run(fmt::format("SELECT pg_create_logical_replication_slot('{}', 'pgoutput', false{})", slot, terms.negotiated.two_phase ? ", true" : ""));
        wire::Decoder decoder{terms.negotiated};
        std::string seed{static_cast<char>(terms.choice)};
        for (auto const& statements : traffic(terms.negotiated.two_phase)) {
            std::istringstream each{statements}; // one by one: COMMIT PREPARED may not be sent with others
            for (std::string statement; std::getline(each, statement, ';');)
                session.run(statement);
            // What is only kept in the log's buffers is not decoded.
            session.run("SELECT pg_switch_wal()");
            for (auto const row : session.query(sql::Sql{"SELECT data::text AS data FROM pg_logical_slot_get_binary_changes("}.server_text(
                     fmt::format("'{}', NULL, NULL, 'publication_names', 'pub', {})", slot, GetParam() < 14 ? "'proto_version', '1'" : terms.options)))) {
                auto const message = from_hex(row.text("data"));
                kinds.insert(decoder.decode(message).index());
                ASSERT_LT(message.size(), 256U) << "longer than a piece of the corpus";
                seed += static_cast<char>(message.size());
                seed += message;
            }
        }
        session.run(fmt::format("SELECT pg_drop_replication_slot('{}')", slot));
        if (char const* const folder = std::getenv("PGCARVE_WRITE_CORPUS"))
            std::ofstream{std::filesystem::path{folder} / fmt::format("server{}_protocol{}", GetParam(), terms.negotiated.protocol), std::ios::binary} << seed;
    }
    if (GetParam() == 16) { // 18 does not decode what it knows to have been rolled back
        EXPECT_EQ(kinds.size(), std::variant_size_v<wire::Message>);
    }
}

INSTANTIATE_TEST_SUITE_P(Versions, DecoderCorpus, testing::Values(13, 15, 16, 18), [](auto const& given) { return std::to_string(given.param); });

} // namespace
