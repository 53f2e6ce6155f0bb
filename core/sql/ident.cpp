#include "sql/ident.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include <fmt/format.h>

namespace pgcarve::sql {

namespace {

// Reserved, type_func_name and col_name keywords of PostgreSQL 13 to 18: the words which quote_ident() quotes.
constexpr std::array keywords{
    std::string_view{"all"}, std::string_view{"analyse"}, std::string_view{"analyze"}, std::string_view{"and"},
    std::string_view{"any"}, std::string_view{"array"}, std::string_view{"as"}, std::string_view{"asc"},
    std::string_view{"asymmetric"}, std::string_view{"authorization"}, std::string_view{"between"},
    std::string_view{"bigint"}, std::string_view{"binary"}, std::string_view{"bit"}, std::string_view{"boolean"},
    std::string_view{"both"}, std::string_view{"case"}, std::string_view{"cast"}, std::string_view{"char"},
    std::string_view{"character"}, std::string_view{"check"}, std::string_view{"coalesce"},
    std::string_view{"collate"}, std::string_view{"collation"}, std::string_view{"column"},
    std::string_view{"concurrently"}, std::string_view{"constraint"}, std::string_view{"create"},
    std::string_view{"cross"}, std::string_view{"current_catalog"}, std::string_view{"current_date"},
    std::string_view{"current_role"}, std::string_view{"current_schema"}, std::string_view{"current_time"},
    std::string_view{"current_timestamp"}, std::string_view{"current_user"}, std::string_view{"dec"},
    std::string_view{"decimal"}, std::string_view{"default"}, std::string_view{"deferrable"},
    std::string_view{"desc"}, std::string_view{"distinct"}, std::string_view{"do"}, std::string_view{"else"},
    std::string_view{"end"}, std::string_view{"except"}, std::string_view{"exists"}, std::string_view{"extract"},
    std::string_view{"false"}, std::string_view{"fetch"}, std::string_view{"float"}, std::string_view{"for"},
    std::string_view{"foreign"}, std::string_view{"freeze"}, std::string_view{"from"}, std::string_view{"full"},
    std::string_view{"grant"}, std::string_view{"greatest"}, std::string_view{"group"},
    std::string_view{"grouping"}, std::string_view{"having"}, std::string_view{"ilike"}, std::string_view{"in"},
    std::string_view{"initially"}, std::string_view{"inner"}, std::string_view{"inout"}, std::string_view{"int"},
    std::string_view{"integer"}, std::string_view{"intersect"}, std::string_view{"interval"},
    std::string_view{"into"}, std::string_view{"is"}, std::string_view{"isnull"}, std::string_view{"join"},
    std::string_view{"json"}, std::string_view{"json_array"}, std::string_view{"json_arrayagg"},
    std::string_view{"json_exists"}, std::string_view{"json_object"}, std::string_view{"json_objectagg"},
    std::string_view{"json_query"}, std::string_view{"json_scalar"}, std::string_view{"json_serialize"},
    std::string_view{"json_table"}, std::string_view{"json_value"}, std::string_view{"lateral"},
    std::string_view{"leading"}, std::string_view{"least"}, std::string_view{"left"}, std::string_view{"like"},
    std::string_view{"limit"}, std::string_view{"localtime"}, std::string_view{"localtimestamp"},
    std::string_view{"merge_action"}, std::string_view{"national"}, std::string_view{"natural"},
    std::string_view{"nchar"}, std::string_view{"none"}, std::string_view{"normalize"}, std::string_view{"not"},
    std::string_view{"notnull"}, std::string_view{"null"}, std::string_view{"nullif"},
    std::string_view{"numeric"}, std::string_view{"offset"}, std::string_view{"on"}, std::string_view{"only"},
    std::string_view{"or"}, std::string_view{"order"}, std::string_view{"out"}, std::string_view{"outer"},
    std::string_view{"overlaps"}, std::string_view{"overlay"}, std::string_view{"placing"},
    std::string_view{"position"}, std::string_view{"precision"}, std::string_view{"primary"},
    std::string_view{"real"}, std::string_view{"references"}, std::string_view{"returning"},
    std::string_view{"right"}, std::string_view{"row"}, std::string_view{"select"},
    std::string_view{"session_user"}, std::string_view{"setof"}, std::string_view{"similar"},
    std::string_view{"smallint"}, std::string_view{"some"}, std::string_view{"substring"},
    std::string_view{"symmetric"}, std::string_view{"system_user"}, std::string_view{"table"},
    std::string_view{"tablesample"}, std::string_view{"then"}, std::string_view{"time"},
    std::string_view{"timestamp"}, std::string_view{"to"}, std::string_view{"trailing"},
    std::string_view{"treat"}, std::string_view{"trim"}, std::string_view{"true"}, std::string_view{"union"},
    std::string_view{"unique"}, std::string_view{"user"}, std::string_view{"using"}, std::string_view{"values"},
    std::string_view{"varchar"}, std::string_view{"variadic"}, std::string_view{"verbose"},
    std::string_view{"when"}, std::string_view{"where"}, std::string_view{"window"}, std::string_view{"with"},
    std::string_view{"xmlattributes"}, std::string_view{"xmlconcat"}, std::string_view{"xmlelement"},
    std::string_view{"xmlexists"}, std::string_view{"xmlforest"}, std::string_view{"xmlnamespaces"},
    std::string_view{"xmlparse"}, std::string_view{"xmlpi"}, std::string_view{"xmlroot"},
    std::string_view{"xmlserialize"}, std::string_view{"xmltable"},
};

constexpr std::size_t max_name_bytes = 63; // NAMEDATALEN - 1

// FNV-1a: only has to tell long names of one schema apart, and to stay the same for ever.
std::uint64_t fnv1a(std::string_view text) {
    std::uint64_t h = 14695981039346656037ULL;
    for (char const c : text) {
        h ^= static_cast<unsigned char>(c);
        h *= 1099511628211ULL;
    }
    return h;
}

} // namespace

std::string quote_ident(std::string_view name) {
    std::string out = "\"";
    for (char const c : name) {
        if (c == '"')
            out += '"';
        out += c;
    }
    out += '"';
    return out;
}

std::string display_ident(std::string_view name) {
    auto const plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
    bool const safe = !name.empty() && !(name[0] >= '0' && name[0] <= '9') && std::ranges::all_of(name, plain) &&
                      std::ranges::find(keywords, name) == keywords.end();
    return safe ? std::string{name} : quote_ident(name);
}

std::string literal(std::string_view value) {
    bool const escape = value.find('\\') != std::string_view::npos;
    std::string out = escape ? " E'" : "'";
    for (char const c : value) {
        if (c == '\'' || (escape && c == '\\'))
            out += c;
        out += c;
    }
    out += '\'';
    return out;
}

std::string bounded_name(std::string_view base, std::string_view suffix) {
    if (base.size() + suffix.size() <= max_name_bytes)
        return std::string{base} + std::string{suffix};
    auto const hash = fmt::format("_{:08x}", static_cast<std::uint32_t>(fnv1a(base)));
    std::size_t keep = max_name_bytes - hash.size() - suffix.size();
    while (keep > 0 && (static_cast<unsigned char>(base[keep]) & 0xC0U) == 0x80U)
        --keep;
    return std::string{base.substr(0, keep)} + hash + std::string{suffix};
}

std::string Ident::quoted() const { return quote_ident(name); }
std::string QName::quoted() const { return quote_ident(schema) + "." + quote_ident(name); }
std::string QName::display() const { return display_ident(schema) + "." + display_ident(name); }

} // namespace pgcarve::sql
