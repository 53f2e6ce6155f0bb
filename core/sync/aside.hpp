// Tables of a stream that are left alone for a while, so that one bad table does not stop the others, and their way back.
//
// Kept at the target, with the stream's position (pgcarve.aside). A table that comes back is mended in ranges, as a copy
// goes (copy.hpp), and belongs to the stream again when all of it is equal. To heal a whole stream, whose slot or whose
// target has lost something, is to bring all of its tables back to a new slot.
#pragma once

#include <string>
#include <vector>

#include "pg/session.hpp"
#include "sql/ident.hpp"

namespace pgcarve::sync {

struct Aside {
    std::string table; // at the source, as QName::display() has it
    std::string reason;
    bool returning = false; // it is to be mended, or is being mended
};

// By name; none where the target has no such record.
[[nodiscard]] std::vector<Aside> asides(pg::Session& target, std::string const& stream);
// Each of these in a transaction of its own, or in the caller's.
void set_aside(pg::Session& target, std::string const& stream, sql::QName const& table, std::string const& reason);
// Both forget what was copied of a table. Those that come back are mended from their first range.
void bring_back(pg::Session& target, std::string const& stream, std::vector<sql::QName> const& tables, std::string const& reason);
// They are equal.
void brought_back(pg::Session& target, std::string const& stream, std::vector<sql::QName> const& tables);

} // namespace pgcarve::sync
