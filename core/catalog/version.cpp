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
        .set_columns = major >= 15 ? Fixed{"coalesce(c.confdelsetcols, '{}')"} : Fixed{"'{}'::int2[]"},
        .publication_schemas =
            major >= 15 ? Fixed{"SELECT p.pubname, n.nspname FROM pg_publication_namespace pn"
                                " JOIN pg_publication p ON p.oid = pn.pnpubid JOIN pg_namespace n ON n.oid = pn.pnnspid"}
                        : Fixed{"SELECT ''::name AS pubname, ''::name AS nspname WHERE false"},
        .string_body = major >= 14 ? Fixed{"p.prosqlbody IS NULL"} : Fixed{"true"},
        .collation = major >= 17   ? Fixed{"c.collcollate AS collate, c.collctype AS ctype, c.colllocale AS locale, c.collicurules AS rules"}
                     : major == 16 ? Fixed{"c.collcollate AS collate, c.collctype AS ctype, c.colliculocale AS locale, c.collicurules AS rules"}
                     : major == 15 ? Fixed{"c.collcollate AS collate, c.collctype AS ctype, c.colliculocale AS locale, NULL AS rules"}
                                   : Fixed{"c.collcollate AS collate, c.collctype AS ctype, c.collcollate AS locale, NULL AS rules"},
        .multirange = major >= 14 ? Fixed{"(SELECT mn.nspname FROM pg_type m JOIN pg_namespace mn ON mn.oid = m.typnamespace"
                                          " WHERE m.oid = r.rngmultitypid) AS multirange_schema,"
                                          " (SELECT m.typname FROM pg_type m WHERE m.oid = r.rngmultitypid) AS multirange_name"}
                                  : Fixed{"NULL AS multirange_schema, NULL AS multirange_name"},
    };
}

} // namespace pgcarve::catalog
