// Whether a publication carries what its stream is for: every change of every row and column of the route's tables.
//
// Somebody can alter it while it is in use (ALTER PUBLICATION … DROP TABLE, SET (publish = …), a row filter). The stream
// then leaves out, without a word, what is not listed any more; so this is looked at again and again.
#pragma once

#include <string>

#include "run/stream/route.hpp"

namespace pgcarve::run {

// What it leaves out; empty: nothing. Tables that are not there (any more) are not asked for, and partitions come with their root.
[[nodiscard]] std::string publication_problem(Route const& route, pg::Session& source);
// What mends it.
[[nodiscard]] std::string publication_mend(Route const& route, pg::Session& source);
// Throws "publication-changed" (exit 5).
void require_published(Route const& route, pg::Session& source);

} // namespace pgcarve::run
