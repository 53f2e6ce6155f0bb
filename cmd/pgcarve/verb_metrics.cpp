#include <chrono>

#include <fmt/format.h>

#include "pg/wake.hpp"
#include "pgcarve/file.hpp"
#include "pgcarve/listen.hpp"
#include "pgcarve/verbs.hpp"
#include "report/metrics.hpp"
#include "run/metrics.hpp"

namespace pgcarve::cmd {

namespace {

using Clock = std::chrono::steady_clock;

struct MetricsOptions {
    std::string textfile;
    std::string listen;
};

// However many scrape, the server is asked no more often than this.
constexpr std::chrono::seconds fresh_for{2};

// The shared database being away is something to measure: pgcarve_up says so.
class Source {
public:
    explicit Source(Context& context)
        : context_{context}
        , run_{context} {}

    std::string text() {
        if (!text_.empty() && Clock::now() - taken_ < fresh_for)
            return text_;
        model::Metrics metrics;
        failure_.reset();
        try {
            metrics = run::metrics(run_.get());
        } catch (base::Error const& e) {
            failure_ = e;
            context_.log.warn("{}", e.message());
        }
        text_ = report::prometheus(metrics);
        taken_ = Clock::now();
        return text_;
    }
    [[nodiscard]] std::optional<base::Error> const& failure() const { return failure_; }

private:
    Context& context_;
    RunContext run_;
    std::string text_;
    Clock::time_point taken_;
    std::optional<base::Error> failure_;
};

base::Exit run_metrics(MetricsOptions const& options, Context& context) {
    Source source{context};
    if (options.listen.empty()) {
        auto const text = source.text();
        if (options.textfile.empty())
            context.terminal.print(text);
        else
            write_atomically(options.textfile, text);
        if (source.failure())
            throw *source.failure();
        return base::Exit::done;
    }
    Listener listener{options.listen};
    pg::WakeFd const wake{context.interrupt};
    context.terminal.message(fmt::format("listening at port {}: /metrics\n", listener.port()));
    listener.serve(context.interrupt, wake.get(), [&source]() -> Answer {
        try {
            return {.body = source.text()};
        } catch (std::exception const& e) {
            return {500, "text/plain", fmt::format("{}\n", e.what())};
        }
    });
    return base::Exit::done;
}

} // namespace

void register_metrics(Registry& registry) {
    auto const options = std::make_shared<MetricsOptions>();
    auto& verb = registry.add(
        {.name = "metrics",
         .summary = "phase, window, lag, gate, verifications, slots and audit for Prometheus",
         .examples = {"pgcarve metrics", "pgcarve metrics --textfile /var/lib/prometheus/node-exporter/pgcarve.prom", "pgcarve metrics --listen 127.0.0.1:9187"},
         .details = "Without an option the metrics go to stdout. --textfile replaces the file in one step. --listen serves\n"
                    "/metrics until it is stopped (SIGTERM: exit code 0). pgcarve_up is 0 while the shared database does\n"
                    "not answer; a --textfile is written then too, and the exit code is 4."},
        [options](Context& context) { return run_metrics(*options, context); });
    auto* const textfile = verb.add_option("--textfile", options->textfile, "write them to this file, once")->type_name("PATH");
    verb.add_option("--listen", options->listen, "serve them at this address, such as 127.0.0.1:9187 or :9187")->type_name("ADDR")->excludes(textfile);
}

} // namespace pgcarve::cmd
