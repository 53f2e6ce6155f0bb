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

#include "support/server.hpp"
#include "verify/repair.hpp"

namespace {

using namespace pgcarve;
using model::FindingKind;
using sql::Sql;

struct TypeCase {
    std::string name;
    std::string type;
    std::vector<std::string> variants; // without NULL, which every column has as its last variant
};

std::vector<TypeCase> type_cases(pg::Session& session) {
    std::vector<TypeCase> cases{
        {"c_bool", "bool", {"true", "false"}},
        {"c_int2", "int2", {"1", "2", "-32768"}},
        {"c_int4", "int4", {"1073741823", "1073741822", "0"}},
        {"c_int8", "int8", {"9223372036854775807", "9223372036854775806"}},
        {"c_oid", "oid", {"1", "4294967295"}},
        {"c_float4", "float4", {"'0'", "'-0'", "'NaN'", "'1.0000001'", "'1.0000002'"}},
        {"c_float8", "float8", {"'0'", "'-0'", "'NaN'", "'0.3'", "'0.30000000000000004'", "'-Infinity'"}},
        {"c_numeric", "numeric", {"'1'", "'1.0'", "'1.00'", "'NaN'", "'123456789012345678901234567890.1'"}},
        {"c_numeric2", "numeric(14,2)", {"'1.00'", "'1.01'"}},
        {"c_money", "money", {"'1.00'", "'1.01'"}},
        {"c_text", "text", {"''", "' '", "'a'", "'A'", "'a '", "U&'\\00e9'", "U&'e\\0301'"}},
        {"c_toast", "text", {"repeat('x', 9000)", "repeat('x', 9000) || 'y'",
                             "(SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i)"}},
        {"c_icu", "text COLLATE \"en-x-icu\"", {"'a'", "'A'", "''"}},
        {"c_blind", "text COLLATE app.blind", {"'a'", "'A'", "''"}},
        {"c_varchar", "varchar(20)", {"''", "'a'", "'a '"}},
        {"c_char", "char(4)", {"'a'", "'b'", "''"}},
        {"c_bpchar", "bpchar", {"'a'", "'a '", "''"}},
        {"c_char1", "\"char\"", {"'a'", "'b'"}},
        {"c_name", "name", {"'a'", "'b'", "''"}},
        {"c_bytea", "bytea", {"''", "'\\x00'", "'\\x0000'"}},
        {"c_date", "date", {"'2020-02-29'", "'2020-03-01'", "'infinity'"}},
        {"c_time", "time", {"'00:00:00'", "'24:00:00'", "'00:00:00.000001'"}},
        {"c_timetz", "timetz", {"'12:00+00'", "'13:00+01'"}},
        {"c_timestamp", "timestamp", {"'2020-01-01 00:00:00'", "'2020-01-01 00:00:00.000001'", "'-infinity'"}},
        {"c_timestamptz", "timestamptz", {"'2020-01-01 00:00:00Z'", "'2020-01-01 00:00:00.000001Z'"}},
        {"c_interval", "interval", {"'24:00:00'", "'1 day'", "'30 days'", "'1 mon'"}},
        {"c_uuid", "uuid", {"'00000000-0000-0000-0000-000000000000'", "'00000000-0000-0000-0000-000000000001'"}},
        {"c_json", "json", {"'{\"a\":1}'", "'{\"a\": 1}'", "'null'"}},
        {"c_jsonb", "jsonb", {"'{\"a\":1.0}'", "'{\"a\":1.00}'", "'null'", "'{}'", "'[]'"}},
        {"c_jsonpath", "jsonpath", {"'$.a'", "'$.b'"}},
        {"c_inet", "inet", {"'10.0.0.1'", "'10.0.0.1/24'", "'::1'"}},
        {"c_cidr", "cidr", {"'10.0.0.0/8'", "'10.0.0.0/16'"}},
        {"c_macaddr", "macaddr", {"'08:00:2b:01:02:03'", "'08:00:2b:01:02:04'"}},
        {"c_bit", "bit(4)", {"B'0001'", "B'0000'"}},
        {"c_varbit", "varbit", {"B''", "B'0'", "B'00'"}},
        {"c_point", "point", {"'(0,0)'", "'(-0,0)'", "'(0,1e-300)'"}},
        {"c_box", "box", {"'(1,1),(0,0)'", "'(1,1),(0,1e-300)'"}},
        {"c_path", "path", {"'[(0,0),(1,1)]'", "'((0,0),(1,1))'"}},
        {"c_polygon", "polygon", {"'((0,0),(1,1),(1,0))'", "'((0,0),(1,0),(1,1))'"}},
        {"c_circle", "circle", {"'<(0,0),1>'", "'<(0,0),2>'"}},
        {"c_ints", "int[]", {"'{}'", "'{1,2}'", "'{1,NULL}'", "'[0:1]={1,2}'", "'{{1,2}}'", "'{2,1}'"}},
        {"c_texts", "text[]", {"'{}'", "'{\"\"}'", "'{NULL}'", "'{\"NULL\"}'"}},
        {"c_numerics", "numeric[]", {"'{1.0}'", "'{1.00}'"}},
        {"c_range", "int4range", {"'[1,5)'", "'[1,6)'", "'empty'", "'[1,)'"}},
        {"c_numrange", "numrange", {"'[1.0,2)'", "'[1.00,2)'"}},
        {"c_enum", "app.\"Mood\"", {"'sad'", "'glad'"}},
        {"c_enums", "app.\"Mood\"[]", {"'{sad}'", "'{glad}'"}},
        {"c_domain", "app.amount", {"1.0", "1.00"}},
        {"c_composite", "app.pair", {"ROW(NULL, NULL)", "ROW(1.0, '')", "ROW(1.00, '')", "ROW(1.0, NULL)"}},
        {"c_composites", "app.pair[]", {"ARRAY[ROW(1.0, '')]::app.pair[]", "ARRAY[ROW(1.0, NULL)]::app.pair[]"}},
        {"c_tsvector", "tsvector", {"'a:1'", "'a:2'", "''"}},
        {"c_tsquery", "tsquery", {"'a & b'", "'a | b'"}},
        {"c_lsn", "pg_lsn", {"'0/1'", "'0/2'"}},
        {"c_regclass", "regclass", {"'pg_class'", "'pg_type'"}},
        {"Quoted \"Name\"", "text", {"''", "'x'"}},
    };
    if (session.server_version() >= 140000)
        cases.push_back({"c_multirange", "nummultirange", {"'{[1.0,2)}'", "'{[1.00,2)}'", "'{}'"}});
    auto const available = [&](char const* extension) {
        return !session.query(Sql{"SELECT FROM pg_available_extensions WHERE name = "}.bind(extension)).empty();
    };
    if (available("hstore"))
        cases.push_back({"c_hstore", "public.hstore", {"'a=>NULL'", "'a=>\"\"'", "''"}});
    if (available("citext"))
        cases.push_back({"c_citext", "public.citext", {"'a'", "'A'", "''"}});
    if (session.one(Sql{"SELECT count(*) AS n FROM pg_config WHERE name = 'CONFIGURE' AND setting LIKE '%libxml%'"})
            .integer("n") > 0)
        cases.push_back({"c_xml", "xml", {"'<a/>'", "'<a></a>'"}});
    return cases;
}

struct KeyCase {
    std::vector<std::string> types;
    std::vector<std::string> values; // of row {0}
};

std::vector<KeyCase> const key_cases{
    {{"int8"}, {"{0} * 7 - 50"}},
    {{"uuid"}, {"md5('{0}')::uuid"}},
    {{"text COLLATE \"en-x-icu\""}, {"chr(65 + {0} % 26) || CASE WHEN {0} % 2 = 0 THEN '_' ELSE 'b c' END || '{0}'"}},
    {{"text COLLATE app.blind"}, {"'Row ' || {0}"}},
    {{"numeric"}, {"{0} / 10.0"}},
    {{"timestamptz"}, {"timestamptz '2020-01-01' + {0} * interval '1 microsecond'"}},
    {{"bytea"}, {"decode(md5('{0}'), 'hex')"}},
    {{"char(8)"}, {"'k{0}'"}},
    {{"app.wide_enum"}, {"'label{0}'"}},
    {{"int[]"}, {"ARRAY[{0} % 5, {0}]"}},
    {{"app.pair"}, {"ROW({0} % 4, '{0}')"}},
    {{"int4", "text", "date"}, {"{0} % 3", "'x' || ({0} % 7)", "date '2020-01-01' + {0}"}},
    {{"int4", "app.amount"}, {"{0} % 3", "{0}"}},
    {{"int4", "public.citext"}, {"{0} % 3", "'Key ' || {0}"}},
};

using Cells = std::vector<std::size_t>; // variant by column
using Rows = std::map<int, Cells>;      // by row number

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
        session_->run("CREATE SCHEMA app; CREATE SCHEMA side; CREATE TYPE app.\"Mood\" AS ENUM ('sad', 'glad');"
                      "CREATE DOMAIN app.amount AS numeric; CREATE TYPE app.pair AS (n numeric, t text);"
                      "CREATE COLLATION app.blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
                      "CREATE EXTENSION hstore SCHEMA public; CREATE EXTENSION citext SCHEMA public;"
                      "CREATE TYPE app.wide_enum AS ENUM (" + labels + ")");
        types_ = type_cases(*session_);
        key_ = key_cases[GetParam() % key_cases.size()];
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

    using Found = std::map<int, std::pair<FindingKind, std::set<std::string>>>;

    [[nodiscard]] Found expected(Rows const& source, Rows const& target) const {
        Found found;
        for (auto const& [number, cells] : source) {
            auto const other = target.find(number);
            if (other == target.end()) {
                found[number] = {FindingKind::missing, {}};
                continue;
            }
            std::set<std::string> columns;
            for (std::size_t i = 0; i < cells.size(); ++i) {
                if (cells[i] == other->second[i])
                    continue;
                columns.insert(types_[i].name);
                if (types_[i].name == "c_int4")
                    columns.insert("c_generated");
            }
            if (!columns.empty())
                found[number] = {FindingKind::different, columns};
        }
        for (auto const& [number, cells] : target) {
            if (!source.contains(number))
                found[number] = {FindingKind::extra, {}};
        }
        return found;
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
    pg::SessionSettings const settings{.dsn = test::Server::shared().dsn(database_), .purpose = "verify"};
    auto const result = verify::compare(settings, "shop", pairs, options, {});

    auto const should = expected(source, target);
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
    auto const report = verify::repair(settings, "shop", pairs, repair, {});
    EXPECT_EQ(report.remaining(), 0);
    EXPECT_EQ(contents("side"), contents("app"));
    EXPECT_EQ(verify::compare(settings, "shop", pairs, options, {}).verdict, model::Verdict::clean);
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
