// Prometheus' text format, version 0.0.4: families of samples, each family once and in one piece.
// Source: prometheus.io, "Exposition formats". Private to report/.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pgcarve::report {

class Exposition {
public:
    using Labels = std::vector<std::pair<std::string_view, std::string>>;

    // Begins a family; `type` is gauge or counter. Its samples follow.
    void family(std::string_view name, std::string_view help, std::string_view type = "gauge");
    void sample(Labels const& labels, double value);
    void sample(Labels const& labels, std::int64_t value);
    void sample(Labels const& labels, bool value) { sample(labels, static_cast<std::int64_t>(value ? 1 : 0)); }
    // What is not known has no sample.
    template <class T>
    void sample(Labels const& labels, std::optional<T> const& value) {
        if (value)
            sample(labels, *value);
    }

    // Families without a sample are left out.
    [[nodiscard]] std::string text() &&;

private:
    void line(Labels const& labels, std::string const& value);

    std::string name_;
    std::string head_; // of a family that has no sample yet
    std::string text_;
};

} // namespace pgcarve::report
