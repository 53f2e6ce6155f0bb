#include <algorithm>

#include <fmt/format.h>

#include "report/escape.hpp"
#include "report/exposition.hpp"
#include "report/table.hpp"
#include "report/verification.hpp"

namespace pgcarve::report {

namespace {

using model::TableVerification;
using model::Verdict;

std::string counts(TableVerification const& table) {
    return fmt::format("{} missing, {} extra, {} different", number(table.missing), number(table.extra), number(table.different));
}

std::string key_of(model::Finding const& finding) {
    std::vector<std::string> parts;
    for (auto const& [column, value] : finding.key)
        parts.push_back(fmt::format("{}={}", column, value.value_or("NULL")));
    return joined(parts);
}

std::string sample_line(model::Finding const& finding) {
    return fmt::format("{} {}{}{}", model::text(finding.kind), key_of(finding), finding.columns.empty() ? "" : ": ", joined(finding.columns));
}

std::int64_t total(TableVerification const& table) { return table.missing + table.extra + table.different; }

std::string why_incomplete(std::string const& why) { return why.empty() ? "the comparison was not completed" : why; }

std::string reason(Reasons const& reasons, std::string const& service) {
    auto const at = reasons.find(service);
    return at == reasons.end() ? std::string{} : at->second;
}

// ---- JUnit

struct Suite {
    std::string cases;
    int tests = 0;
    int failures = 0;
    int errors = 0;

    void add(std::string const& service, std::string const& name, std::string const& inner) {
        ++tests;
        auto const head = fmt::format("    <testcase classname=\"pgcarve.verify.{}\" name=\"{}\"", escape_xml(service), escape_xml(name));
        cases += inner.empty() ? head + "/>\n" : fmt::format("{}>\n{}    </testcase>\n", head, inner);
    }
};

void add_table(Suite& suite, std::string const& service, TableVerification const& table) {
    std::string inner;
    if (table.verdict == Verdict::different) {
        ++suite.failures;
        std::string samples;
        for (auto const& sample : table.samples)
            samples += sample_line(sample) + "\n";
        inner = fmt::format("      <failure type=\"different\" message=\"{}\">{}</failure>\n", escape_xml(counts(table)), escape_xml(samples));
    } else if (table.verdict == Verdict::incomplete) {
        ++suite.errors;
        inner = fmt::format("      <error type=\"incomplete\" message=\"{}\"/>\n", escape_xml(why_incomplete(table.why)));
    }
    suite.add(service, fmt::format("{} = {}", table.source.display(), table.target.display()), inner);
}

// ---- Markdown

char const* mark(Verdict verdict) {
    switch (verdict) {
    case Verdict::clean:
        return "✅";
    case Verdict::different:
        return "❌";
    case Verdict::incomplete:
        return "⚠️";
    }
    return "";
}

} // namespace

std::string verification_junit(Verifications const& services, Reasons const& reasons) {
    std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n";
    for (auto const& run : services) {
        Suite suite;
        for (auto const& table : run.tables)
            add_table(suite, run.service, table);
        // A run without a proof must not look like a suite that passed.
        bool const told = suite.failures > 0 || suite.errors > 0;
        if (run.verdict != Verdict::clean && !told) {
            ++suite.errors;
            suite.add(run.service, "verification",
                      fmt::format("      <error type=\"{}\" message=\"{}\"/>\n", model::text(run.verdict), escape_xml(why_incomplete(reason(reasons, run.service)))));
        }
        out += fmt::format("  <testsuite name=\"pgcarve verify {}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" time=\"{:.3f}\">\n{}  </testsuite>\n",
                           escape_xml(run.service), suite.tests, suite.failures, suite.errors, run.seconds, suite.cases);
    }
    return out + "</testsuites>\n";
}

std::string verification_markdown(Verifications const& services, Reasons const& reasons) {
    auto const count = [&](Verdict verdict) { return std::ranges::count(services, verdict, &model::Verification::verdict); };
    auto out = fmt::format("### pgcarve verify: {} clean, {} different, {} incomplete\n\n", count(Verdict::clean), count(Verdict::different),
                           count(Verdict::incomplete));
    if (services.empty())
        return out + "No service has its rows on two sides.\n";
    out += "| | service | verdict | rows | missing | extra | different | time | proven at |\n|---|---|---|--:|--:|--:|--:|--:|---|\n";
    for (auto const& run : services) {
        std::int64_t missing = 0;
        std::int64_t extra = 0;
        std::int64_t different = 0;
        for (auto const& table : run.tables) {
            missing += table.missing;
            extra += table.extra;
            different += table.different;
        }
        out += fmt::format("| {} | {} | {} ({}) | {} | {} | {} | {} | {} | {} |\n", mark(run.verdict), escape_markdown(run.service),
                           model::text(run.verdict), escape_markdown(run.mode), number(run.rows()), number(missing), number(extra), number(different),
                           seconds(run.seconds), escape_markdown(run.proven_time));
    }
    for (auto const& run : services) {
        if (run.verdict == Verdict::clean)
            continue;
        out += fmt::format("\n#### {}\n\n", escape_markdown(run.service));
        if (auto const why = reason(reasons, run.service); !why.empty())
            out += fmt::format("- not proven: {}\n", escape_markdown(why));
        for (auto const& table : run.tables) {
            if (table.verdict == Verdict::clean)
                continue;
            out += fmt::format("- {} and {}: {}\n", escape_markdown(table.source.display()), escape_markdown(table.target.display()),
                               table.verdict == Verdict::different ? counts(table) : "not proven: " + escape_markdown(why_incomplete(table.why)));
            for (auto const& sample : table.samples)
                out += fmt::format("  - {}\n", escape_markdown(sample_line(sample)));
            auto const more = total(table) - static_cast<std::int64_t>(table.samples.size());
            if (more > 0 && !table.samples.empty())
                out += fmt::format("  - and {} more\n", number(more));
        }
    }
    return out;
}

std::string verification_prometheus(Verifications const& services, std::int64_t finished) {
    Exposition out;
    out.family("pgcarve_verification_verdict", "1 for the verdict of the last verification.");
    for (auto const& run : services) {
        for (auto const verdict : {Verdict::clean, Verdict::different, Verdict::incomplete})
            out.sample({{"service", run.service}, {"verdict", model::text(verdict)}}, run.verdict == verdict);
    }
    out.family("pgcarve_verification_finished_timestamp_seconds", "When the verification ended.");
    for (auto const& run : services)
        out.sample({{"service", run.service}}, finished);
    out.family("pgcarve_verification_seconds", "How long it took.");
    for (auto const& run : services)
        out.sample({{"service", run.service}}, run.seconds);
    out.family("pgcarve_verification_rows", "Rows compared.");
    for (auto const& run : services)
        out.sample({{"service", run.service}}, run.rows());
    out.family("pgcarve_verification_differences", "Rows that differ, by table and kind.");
    for (auto const& run : services) {
        for (auto const& table : run.tables) {
            auto const add = [&](char const* kind, std::int64_t value) {
                out.sample({{"service", run.service}, {"table", table.source.display()}, {"kind", kind}}, value);
            };
            add("missing", table.missing);
            add("extra", table.extra);
            add("different", table.different);
        }
    }
    return std::move(out).text();
}

} // namespace pgcarve::report
