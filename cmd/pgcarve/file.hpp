// Files that other programs read while we write them.
#pragma once

#include <string>
#include <string_view>

namespace pgcarve::cmd {

// Whoever reads `path` sees what was there before or all of `content`, never a part of it. Readable by everybody: collectors
// run as users of their own. Error "file-unwritable" (exit 2).
void write_atomically(std::string const& path, std::string_view content);

} // namespace pgcarve::cmd
