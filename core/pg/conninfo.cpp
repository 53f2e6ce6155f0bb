#include "pg/conninfo.hpp"

#include <memory>

#include <libpq-fe.h>

#include "base/error.hpp"

namespace pgcarve::pg {

std::map<std::string, std::string> parse_conninfo(std::string const& dsn) {
    char* why = nullptr;
    std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> const options{PQconninfoParse(dsn.c_str(), &why),
                                                                             &PQconninfoFree};
    std::unique_ptr<char, decltype(&PQfreemem)> const owned_why{why, &PQfreemem};
    if (!options)
        throw base::Error{base::Exit::usage, "bad-dsn", "libpq cannot parse a connection string",
                          "write `dsn` as key=value pairs or as a postgresql:// URI; it is not repeated here "
                          "because it may hold a password (use PGPASSFILE or a service file for secrets)"};
    std::map<std::string, std::string> keywords;
    for (auto const* option = options.get(); option->keyword != nullptr; ++option) {
        if (option->val != nullptr)
            keywords[option->keyword] = option->val;
    }
    return keywords;
}

std::string make_conninfo(std::map<std::string, std::string> const& keywords) {
    std::string out;
    for (auto const& [keyword, value] : keywords) {
        if (!out.empty())
            out += ' ';
        out += keyword;
        out += "='";
        for (char const c : value) {
            if (c == '\'' || c == '\\')
                out += '\\';
            out += c;
        }
        out += '\'';
    }
    return out;
}

} // namespace pgcarve::pg
