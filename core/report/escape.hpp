// Text from outside (names, values, servers' messages) made safe for the formats that programs read.
// What a terminal must not see (control characters, bytes that are no UTF-8) is made visible first: report/table.hpp.
#pragma once

#include <string>
#include <string_view>

namespace pgcarve::report {

// For element content and double-quoted attributes of XML 1.0.
[[nodiscard]] std::string escape_xml(std::string_view text);
// For a line or a table's cell of GitHub's and GitLab's Markdown.
[[nodiscard]] std::string escape_markdown(std::string_view text);
// For a label's value in Prometheus' text format, without the quotes.
[[nodiscard]] std::string escape_label(std::string_view text);

} // namespace pgcarve::report
