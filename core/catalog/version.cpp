#include "catalog/version.hpp"

#include <fmt/format.h>

#include "base/error.hpp"

namespace pgcarve::catalog {

using Fixed = sql::Sql::Fixed;

VersionText version_text(int version) {
    int const major = version / 10'000;
    if (major < 13 || major > 18) {
        throw base::Error{base::Exit::usage, "server-version",
                          fmt::format("the server is version {}; versions 13 to 18 are supported", major)};
    }
    return VersionText{
        .compression = major >= 14 ? Fixed{"a.attcompression"} : Fixed{"''::\"char\""},
        .enforced = major >= 18 ? Fixed{"c.conenforced"} : Fixed{"true"},
        .period = major >= 18 ? Fixed{"c.conperiod"} : Fixed{"false"},
        .publication_schemas =
            major >= 15 ? Fixed{"SELECT p.pubname, n.nspname FROM pg_publication_namespace pn"
                                " JOIN pg_publication p ON p.oid = pn.pnpubid JOIN pg_namespace n ON n.oid = pn.pnnspid"}
                        : Fixed{"SELECT ''::name AS pubname, ''::name AS nspname WHERE false"},
        .string_body = major >= 14 ? Fixed{"p.prosqlbody IS NULL"} : Fixed{"true"},
    };
}

} // namespace pgcarve::catalog
