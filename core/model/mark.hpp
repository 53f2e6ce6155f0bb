// How a position in a source's log is marked, so that whoever applies its stream knows when he is there: by a message in
// the log, or, on servers whose pgoutput sends no messages, by a row of a table that every stream's publication lists.
// Source: PostgreSQL documentation, "Logical Streaming Replication Parameters": `messages` is there since version 14.
#pragma once

#include "sql/ident.hpp"

namespace pgcarve::model {

[[nodiscard]] constexpr bool streams_messages(int server_version) { return server_version >= 140'000; }

// In the schema of pgcarve, at every database that is a source. It has one row.
[[nodiscard]] inline sql::QName mark_table() { return {"pgcarve", "mark"}; }
inline constexpr char const* mark_column = "content";

} // namespace pgcarve::model
