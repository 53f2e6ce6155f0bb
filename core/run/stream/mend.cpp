#include "run/stream/mend.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "catalog/reader.hpp"
#include "control/migrations.hpp"
#include "pg/replication.hpp"
#include "run/stream/copy_throttle.hpp"
#include "run/stream/reference.hpp"
#include "run/stream/touched_bound.hpp"
#include "sync/aside.hpp"
#include "sync/copy.hpp"

namespace pgcarve::run {

using base::Error;
using base::Exit;
using cutover::Phase;

namespace {

// The way of a service that is being streamed.
Route streamed_way(Context const& context, std::string const& service, pg::Session& session) {
    auto const state = control::Store{session}.service(service);
    auto const phase = state ? state->phase : Phase::planned;
    if (phase != Phase::syncing && phase != Phase::database_live)
        throw Error{Exit::usage, "wrong-phase", fmt::format("service {} is {}: nothing is streamed", service, cutover::text(phase)),
                    fmt::format("`pgcarve status {}` says what comes next; nothing was touched", service)};
    return route(context, service, *state->setup->database, phase == Phase::database_live);
}

// The tables that carry rows: roots of partitions have none.
std::vector<sql::QName> with_rows(Route const& way, model::Catalog const& catalog) {
    std::vector<sql::QName> all;
    for (auto const& pair : way.tables) {
        auto const* const table = catalog.find(pair.source);
        if (table == nullptr || table->kind != 'p')
            all.push_back(pair.source);
    }
    return all;
}

// A name as the operator writes it: with its schema or, where that is clear, without. A root stands for its partitions.
std::vector<sql::QName> named_tables(Route const& way, model::Catalog const& catalog, std::vector<std::string> const& names) {
    std::vector<sql::QName> all;
    for (auto const& name : names) {
        auto const before = all.size();
        for (auto const& table : with_rows(way, catalog)) {
            auto const fits = [&](sql::QName const& one) { return one.display() == name || one.name == name; };
            bool wanted = fits(table);
            auto const* at = catalog.find(table);
            while (!wanted && at != nullptr && at->partition_of) {
                wanted = fits(*at->partition_of);
                at = catalog.find(*at->partition_of);
            }
            if (wanted)
                all.push_back(table);
        }
        if (all.size() == before)
            throw Error{Exit::usage, "unknown-table", fmt::format("service {} streams no table {}", way.service, name),
                        "name it as the side that takes writes has it; nothing was touched"};
    }
    return all;
}

model::Plan plan_of(std::string verb, std::string const& service, std::vector<model::Step> steps) {
    model::Plan plan;
    plan.service = service;
    plan.verb = std::move(verb);
    plan.steps = std::move(steps);
    return plan;
}

model::Step step_of(std::string id, std::string why) {
    model::Step step;
    step.id = std::move(id);
    step.why = std::move(why);
    return step;
}

void heal(Context& context, Route const& way, std::vector<sql::QName> const& tables) {
    pg::Session source{way.source("sync")};
    pg::Session target{way.target("sync")};
    sync::prepare_target(target);
    if (!sync::position(target, way.name))
        sync::set_position(target, way.name, {}, ""); // of no log: nothing is applied from it
    // From here on no row counts as equal, whatever this dies of.
    sync::bring_back(target, way.name, tables, "the stream is healed");
    context.failpoints.hit("heal/marked");
    drop_slot(context, source, way.name);
    context.failpoints.hit("heal/dropped");
    make_slot(context, way, source);
    context.failpoints.hit("heal/slot");
    set_position_of_slot(way, source, target);
}

} // namespace

Apart read_apart(Route const& way) {
    Apart apart;
    pg::Session target{way.target("sync")};
    for (auto const& aside : sync::asides(target, way.name)) {
        auto const at = std::ranges::find_if(way.tables, [&](model::TablePair const& pair) { return pair.source.display() == aside.table; });
        if (at == way.tables.end())
            continue;
        if (aside.returning)
            apart.returning.push_back(at->source);
        else
            apart.left.insert(at->source);
    }
    return apart;
}

bool mend(Context& context, Route const& way, pg::Session& shared, pg::Session& source, Apart const& apart, SyncOptions const& options, SyncEvents const& events,
          SyncOutcome& outcome, int wake_fd, std::function<bool()> const& give_way) {
    auto const tables = read_mapping(way, source, apart.left, TargetFirst::accepted);
    auto const catalog = catalog::read_catalog(source);
    sync::CopySettings settings{.stream = way.name, .source = way.source("copy"), .target = way.target("copy"), .workers = options.limits().sync.workers, .repair = true};
    for (auto const& table : tables.tables()) {
        auto const* const found = catalog.find(table.source);
        bool const returns = std::ranges::find(apart.returning, table.source) != apart.returning.end();
        settings.followed.push_back(!returns);
        settings.estimated_rows.push_back(returns && found != nullptr ? found->estimated_rows : 0);
    }
    context.events.info(fmt::format("mending {} tables of {}, range by range", apart.returning.size(), way.service));
    base::Interrupt stop; // of this alone: somebody may want the lease
    bool gives_way = false;
    auto const guard = context.interrupt.on_request([&] { stop.request("stop"); });
    sync::Copy::Events copy_events;
    std::unique_ptr<sync::Stream> stream;
    TouchedBound bound{context, way};
    copy_events.progress = [&](sync::CopyProgress const& progress) {
        events.copy(progress);
        bound.look(stream->counts().touched_bytes, options.limits().sync.max_touched);
        if (!gives_way && give_way()) {
            gives_way = true;
            stop.request("another verb");
        }
    };
    CopyThrottle throttle{context, way, options, shared};
    copy_events.throttled = [&] { return throttle.reason(source); };
    copy_events.workers = [&] { return options.limits().sync.workers; };
    copy_events.after_range = [&] { context.failpoints.hit("sync/mend-range"); };
    try {
        sync::Copy copy{settings, tables};
        copy.run([&] { return open_stream(context, way, tables, wake_fd); }, stream, stop, copy_events);
    } catch (Error const&) {
        if (gives_way && !context.interrupt.requested())
            return false;
        throw;
    }
    outcome.transactions += stream->counts().transactions;
    stream->stop();
    pg::Session target{way.target("sync")};
    sync::brought_back(target, way.name, apart.returning);
    context.events.info(fmt::format("{} tables of {} are equal again", apart.returning.size(), way.service));
    return true;
}

MendOutcome change_apart(Context& context, std::string const& service, MendRequest const& request, Confirm const& confirm) {
    pg::Session session{context.shared("sync")};
    control::require_current(session, control::embedded_migrations());
    auto const way = streamed_way(context, service, session);
    pg::Session source{way.source("sync")};
    auto const catalog = catalog::read_catalog(source);
    // The reference tables have a stream of their own, which goes the same way whoever has the authority.
    auto const database = *control::Store{session}.service(service)->setup->database;
    auto const reference = reference_route(context, service, database);
    MendOutcome outcome;
    auto const next = fmt::format("a sync that runs takes it up by itself; otherwise: pgcarve sync {}", service);
    if (request.what == MendRequest::What::heal) {
        if (way.back && database.reference.empty())
            throw Error{Exit::usage, "wrong-phase", "the stream back to the shared database cannot be healed in place",
                        fmt::format("the tables there keep the rows that they have; without the way back, `pgcarve complete {}` ends the hop", service)};
        struct Stream {
            Route const& way;
            std::vector<sql::QName> tables;
        };
        std::vector<Stream> streams;
        if (!way.back)
            streams.push_back({way, with_rows(way, catalog)});
        if (!database.reference.empty())
            streams.push_back({reference, with_rows(reference, way.back ? catalog::read_catalog(session) : catalog)});
        std::vector<model::Step> steps;
        for (auto const& one : streams) {
            outcome.tables.insert(outcome.tables.end(), one.tables.begin(), one.tables.end());
            steps.push_back(step_of("slot", fmt::format("slot {} is dropped and made anew; it waits for the transactions that run at the source", one.way.name)));
            steps.push_back(step_of("mend", fmt::format("every range of {} tables is compared with the source, and what differs is changed", one.tables.size())));
        }
        if (!confirm(plan_of("heal", service, std::move(steps))))
            return {.confirmed = false, .tables = {}, .next = {}};
        control::Lease const lease{context.shared("lease"), service, "sync", context.operator_name, control::Lease::From::sync};
        for (auto const& one : streams)
            heal(context, one.way, one.tables);
        outcome.next = next;
        return outcome;
    }
    bool const aside = request.what == MendRequest::What::set_aside;
    outcome.tables = named_tables(way, catalog, request.tables);
    std::string names;
    for (auto const& table : outcome.tables)
        names += (names.empty() ? "" : ", ") + table.display();
    if (!confirm(plan_of(aside ? "set-aside" : "bring-back", service,
                         {step_of("record", aside ? fmt::format("{}: left alone by the stream; the gate stays closed until they are back", names)
                                                  : fmt::format("{}: every range is compared with the source, and what differs is changed", names))})))
        return {.confirmed = false, .tables = {}, .next = {}};
    control::Lease const lease{context.shared("lease"), service, "sync", context.operator_name, control::Lease::From::sync};
    pg::Session target{way.target("sync")};
    if (aside) {
        pg::Transaction transaction{target};
        for (auto const& table : outcome.tables)
            sync::set_aside(target, way.name, table, fmt::format("set aside by {}", context.operator_name));
        transaction.commit();
    } else {
        sync::bring_back(target, way.name, outcome.tables, fmt::format("brought back by {}", context.operator_name));
    }
    outcome.next = aside ? fmt::format("mend the table, then: pgcarve sync {} --bring-back TABLE", service) : next;
    return outcome;
}

} // namespace pgcarve::run
