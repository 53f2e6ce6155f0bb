#include "run/stream/reference.hpp"

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "pg/wake.hpp"
#include "run/stream/mend.hpp"
#include "run/stream/patience.hpp"
#include "run/stream/published.hpp"
#include "run/stream/touched_bound.hpp"
#include "sync/stream.hpp"

namespace pgcarve::run {

using base::Error;
using base::Millis;

namespace {

constexpr Millis slice{200};
constexpr Millis pause{2'000};

} // namespace

Route reference_route(Context const& context, std::string const& service, model::DatabaseSetup const& setup) {
    auto made = route(context, service, setup, false);
    made.name = setup.reference_name();
    made.tables = setup.reference;
    return made;
}

struct ReferenceStream::Impl {
    Context& context;
    Route way;
    SyncOptions options;
    pg::WakeFd wake;
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> passed{0};
    mutable std::mutex mutex;
    std::exception_ptr broken;
    std::thread thread;

    Impl(Context& given, Route route, SyncOptions::Limits const& limits)
        : context{given}, way{std::move(route)}, options{.limits = [limits] { return limits; }}, wake{given.interrupt}, thread{[this] { run(); }} {}
    ~Impl() {
        stop = true;
        thread.join();
    }

    [[nodiscard]] bool over() const { return stop || context.interrupt.requested(); }

    void run() {
        while (!over()) {
            try {
                follow();
            } catch (Error const& e) {
                if (over())
                    return;
                context.events.warn(fmt::format("reference tables: {}{}", e.message(), passes(e) ? "; trying again" : "; they are not fed until `sync` is started again"));
                if (!passes(e)) {
                    std::lock_guard const lock{mutex};
                    broken = std::current_exception();
                    return;
                }
                for (auto left = pause; left.count() > 0 && !over(); left -= slice)
                    context.interrupt.wait_for(slice);
            }
        }
    }

    void follow() {
        pg::Session source{way.source("reference")};
        auto const apart = read_apart(way);
        if (!apart.returning.empty()) {
            pg::Session shared{context.shared("reference")};
            SyncOutcome outcome;
            (void)mend(context, way, shared, source, apart, options, {}, outcome, wake.get(), [this] { return over(); });
            return; // and look again
        }
        require_published(way, source);
        auto const tables = read_mapping(way, source, apart.left, TargetFirst::accepted);
        auto const stream = open_stream(context, way, tables, wake.get());
        TouchedBound bound{context, way, false}; // nobody compares these tables
        while (!over()) {
            stream->run_until(base::Lsn{~std::uint64_t{0}}, slice, context.interrupt);
            passed = std::max(stream->applied().value, passed.load());
            bound.look(stream->counts().touched_bytes, options.limits().sync.max_touched);
        }
        stream->stop();
    }
};

ReferenceStream::ReferenceStream(Context& context, std::string const& service, model::DatabaseSetup const& setup,
                                 SyncOptions::Limits const& limits) {
    if (!setup.reference.empty())
        impl_ = std::make_unique<Impl>(context, reference_route(context, service, setup), limits);
}
ReferenceStream::~ReferenceStream() = default;

bool ReferenceStream::reached(base::Lsn until) const {
    if (!impl_)
        return true;
    std::lock_guard const lock{impl_->mutex};
    if (impl_->broken)
        std::rethrow_exception(impl_->broken);
    return impl_->passed >= until.value;
}

} // namespace pgcarve::run
