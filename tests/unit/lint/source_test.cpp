// Goal: a file is cut into its statements whatever stands in strings, comments and bodies, and what cannot
// be parsed is told with its position. Method: tables of cases; a property compares with the parser's own
// splitter, and feeds it random bytes and mutated SQL.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <pg_query.h>

#include "judge.hpp"
#include "lint/source.hpp"

namespace {

using namespace pgcarve;

std::vector<std::string> pieces(std::string const& text) {
    std::vector<std::string> out;
    for (auto const& piece : lint::split(text).pieces)
        out.push_back(text.substr(piece.span.begin, piece.span.end - piece.span.begin) +
                      (piece.obstacle.empty() ? "" : " !" + piece.obstacle));
    return out;
}

using Texts = std::vector<std::string>;

TEST(Split, SemicolonsInsideEndNothing) {
    EXPECT_EQ(pieces("a; b ;;c"), (Texts{"a", "b", "c"}));
    EXPECT_EQ(pieces("select ';' ; select E'\\';' ; select \"a;\"\"b\""),
              (Texts{"select ';'", "select E'\\';'", "select \"a;\"\"b\""}));
    EXPECT_EQ(pieces("do $$ a; b $$; do $x$ $$;$y$ $x$; c"),
              (Texts{"do $$ a; b $$", "do $x$ $$;$y$ $x$", "c"}));
    EXPECT_EQ(pieces("-- a;\n/* b; /* c; */ d; */ e /* f; */ ; g --;"), (Texts{"e", "g"}));
    EXPECT_EQ(pieces("create rule r as on insert to t do (a; b); c"),
              (Texts{"create rule r as on insert to t do (a; b)", "c"}));
    EXPECT_EQ(pieces("create or replace function f() returns int begin atomic select case when a then 1 end; "
                     "select 2; end; c"),
              (Texts{"create or replace function f() returns int begin atomic select case when a then 1 end; "
                     "select 2; end",
                     "c"}));
    EXPECT_EQ(pieces("U&'\\0041;'; x'1;'; select $1;b$c$;d"),
              (Texts{"U&'\\0041;'", "x'1;'", "select $1", "b$c$", "d"}));
    EXPECT_EQ(pieces("select 1--2;\n;select 2/*;*/*3"), (Texts{"select 1", "select 2/*;*/*3"}));
}

TEST(Split, WhatCannotBeParsedIsTold) {
    EXPECT_EQ(pieces("\\echo hi\n\\i other.sql\nselect 1"),
              (Texts{"\\i other.sql !it is a command of psql", "select 1"}));
    EXPECT_EQ(pieces("select 1 \\gexec\nselect 2"),
              (Texts{"select 1 \\gexec !it is a command of psql", "select 2"}));
    EXPECT_EQ(pieces("copy t from stdin;\n1\t;'\n\\.\nselect 1"), (Texts{"copy t from stdin", "select 1"}));
    EXPECT_EQ(pieces("copy t (a) FROM STDIN with (format csv);\r\n1\r\n\\.\r\nselect 1;"),
              (Texts{"copy t (a) FROM STDIN with (format csv)", "select 1"}));
    EXPECT_EQ(pieces("select 'a; select 1"),
              (Texts{"select 'a; select 1 !a quote or comment is not closed"}));
    EXPECT_EQ(pieces("select 1; /* a"), (Texts{"select 1", "/* a !a quote or comment is not closed"}));
    EXPECT_EQ(pieces(std::string{"select \0 1", 10}),
              (Texts{std::string{"select \0 1 !it holds a zero byte", 32}}));
    EXPECT_EQ(pieces("select '\xff'"), (Texts{"select '\xff' !it is not UTF-8"}));
}

TEST(Split, NestingIsBounded) {
    auto const repeat = [](std::string const& text, int n) {
        std::string out;
        for (int i = 0; i < n; ++i)
            out += text;
        return out;
    };
    auto const obstacle = [](std::string const& sql) { return lint::split(sql).pieces.at(0).obstacle; };
    EXPECT_EQ(obstacle("select " + repeat("(", 10'000) + "1" + repeat(")", 10'000)),
              "it is nested too deeply");
    EXPECT_EQ(obstacle("select 1" + repeat("+1", 200'000)), "it is nested too deeply");
    EXPECT_EQ(obstacle("select 1,2" + repeat(" union select 1,2", 10'000)), "it is nested too deeply");
    EXPECT_EQ(obstacle("select * from a" + repeat(" join b on (a, b) = (1, 2)", 10'000)),
              "it is nested too deeply");
    EXPECT_EQ(obstacle("insert into t values (1)" + repeat(", (1, -2, now() - '1d'::interval)", 10'000)), "");
    // Bodies are bounded like statements, and everything is told.
    auto const judged =
        test::judge("do $$ begin perform " + repeat("(", 10'000) + "1" + repeat(")", 10'000) + "; end $$");
    EXPECT_EQ(judged.report.coverage.not_analysed, 1) << judged.all();
}

TEST(Split, ALargeFileIsNoTrouble) {
    std::string sql;
    for (int i = 0; i < 50'000; ++i)
        sql += "INSERT INTO t VALUES (1, 'x'); -- y\n";
    EXPECT_EQ(lint::split(sql).pieces.size(), 50'000U);
    lint::Lines const lines{sql};
    EXPECT_EQ(lines.at(sql.size() - 1).line, 50'000);
}

TEST(Position, CountsCharactersFromOne) {
    std::string const text = "\xEF\xBB\xBFs\u00e9l\r\n\u20acx\n";
    lint::Lines const lines{text};
    auto const at = [&](std::string const& what) {
        auto const p = lines.at(text.find(what));
        return std::to_string(p.line) + ":" + std::to_string(p.column);
    };
    EXPECT_EQ(at("s"), "1:1") << "a byte order mark is no character";
    EXPECT_EQ(at("l"), "1:3");
    EXPECT_EQ(at("x"), "2:2");
    EXPECT_EQ(lines.line(0), "s\u00e9l");
    EXPECT_EQ(lines.line(text.find('x')), "\u20acx");
}

std::vector<std::string> const& corpus() {
    static std::vector<std::string> const all = [] {
        std::vector<std::string> out{std::string{lint::example_schema()}};
        for (auto const* const rule : lint::all_rules()) {
            out.insert(out.end(), rule->about.violating.begin(), rule->about.violating.end());
            out.insert(out.end(), rule->about.accepted.begin(), rule->about.accepted.end());
        }
        return out;
    }();
    return all;
}

TEST(Split, AgreesWithTheParser) {
    for (auto const& sql : corpus()) {
        auto const result = pg_query_split_with_parser(sql.c_str());
        ASSERT_EQ(result.error, nullptr) << sql;
        EXPECT_EQ(lint::split(sql).pieces.size(), static_cast<std::size_t>(result.n_stmts)) << sql;
        pg_query_free_split_result(result);
    }
}

RC_GTEST_PROP(Robust, AnyBytesAreJudged, (std::string const& bytes)) {
    auto const judged = test::judge(bytes);
    RC_ASSERT(judged.report.coverage.heuristic + judged.report.coverage.not_analysed ==
              judged.report.coverage.statements);
}

// Pieces of good SQL put together anyhow: what gets past the splitter reaches the parser and the readers.
TEST(Robust, MutatedSqlIsJudged) {
    rc::check("mutations", [] {
        auto sql = *rc::gen::elementOf(corpus());
        auto const other = *rc::gen::elementOf(corpus());
        int const edits = *rc::gen::inRange(1, 6);
        for (int i = 0; i < edits && !sql.empty(); ++i) {
            auto const at = *rc::gen::inRange<std::size_t>(0, sql.size());
            auto const length = *rc::gen::inRange<std::size_t>(0, 12);
            auto const from = *rc::gen::inRange<std::size_t>(0, other.size());
            switch (*rc::gen::inRange(0, 3)) {
            case 0:
                sql.erase(at, length);
                break;
            case 1:
                sql.insert(at, other.substr(from, length));
                break;
            default:
                sql[at] = *rc::gen::elementOf(std::string{"();,'\"$\\. \n*-/"});
                break;
            }
        }
        test::Setting setting;
        setting.config = lint::example_config();
        auto const judged = test::judge(sql, setting);
        RC_ASSERT(judged.report.coverage.heuristic + judged.report.coverage.not_analysed ==
                  judged.report.coverage.statements);
        for (auto const& finding : judged.report.findings)
            RC_ASSERT(finding.from.line >= 1 && finding.from.column >= 1);
    });
}

} // namespace
