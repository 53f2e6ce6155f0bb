// Values of every type worth naming, each in a few variants which a client can tell apart, the nearest neighbours among
// them; and keys of many kinds. Types in schemas `app` and `public`: see type_setup().
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "model/verification.hpp"
#include "pg/session.hpp"

namespace pgcarve::test {

using sql::Sql;

struct TypeCase {
    std::string name;
    std::string type;
    std::vector<std::string> variants; // without NULL, which every column has as its last variant
};

inline std::vector<TypeCase> type_cases(pg::Session& session) {
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

inline std::vector<KeyCase> const key_cases{
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

// `labels`: of app.wide_enum.
inline std::string type_setup(std::string const& labels) {
    return "CREATE SCHEMA app; CREATE SCHEMA side; CREATE TYPE app.\"Mood\" AS ENUM ('sad', 'glad');"
           "CREATE DOMAIN app.amount AS numeric; CREATE TYPE app.pair AS (n numeric, t text);"
           "CREATE COLLATION app.blind (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
           "CREATE EXTENSION hstore SCHEMA public; CREATE EXTENSION citext SCHEMA public;"
           "CREATE TYPE app.wide_enum AS ENUM (" + labels + ")";
}

using Cells = std::vector<std::size_t>; // which variant, by column
using Rows = std::map<int, Cells>;      // by row number
using Found = std::map<int, std::pair<model::FindingKind, std::set<std::string>>>; // with the columns that differ

// What a comparison has to find. A column c_generated is made of c_int4.
inline Found expected_findings(std::vector<TypeCase> const& types, Rows const& source, Rows const& target) {
    Found found;
    for (auto const& [number, cells] : source) {
        auto const other = target.find(number);
        if (other == target.end()) {
            found[number] = {model::FindingKind::missing, {}};
            continue;
        }
        std::set<std::string> columns;
        for (std::size_t i = 0; i < cells.size(); ++i) {
            if (cells[i] == other->second[i])
                continue;
            columns.insert(types[i].name);
            if (types[i].name == "c_int4")
                columns.insert("c_generated");
        }
        if (!columns.empty())
            found[number] = {model::FindingKind::different, columns};
    }
    for (auto const& [number, cells] : target) {
        if (!source.contains(number))
            found[number] = {model::FindingKind::extra, {}};
    }
    return found;
}

} // namespace pgcarve::test
