#include "report/exposition.hpp"

#include <fmt/format.h>

#include "report/escape.hpp"

namespace pgcarve::report {

void Exposition::family(std::string_view name, std::string_view help, std::string_view type) {
    name_ = name;
    head_ = fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

void Exposition::line(Labels const& labels, std::string const& value) {
    text_ += head_;
    head_.clear();
    text_ += name_;
    char separator = '{';
    for (auto const& [label, content] : labels) {
        text_ += fmt::format("{}{}=\"{}\"", separator, label, escape_label(content));
        separator = ',';
    }
    text_ += labels.empty() ? fmt::format(" {}\n", value) : fmt::format("}} {}\n", value);
}

void Exposition::sample(Labels const& labels, double value) { line(labels, fmt::format("{}", value)); }
void Exposition::sample(Labels const& labels, std::int64_t value) { line(labels, fmt::format("{}", value)); }

std::string Exposition::text() && { return std::move(text_); }

} // namespace pgcarve::report
