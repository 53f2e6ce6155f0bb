#include "sync/receiver.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "base/error.hpp"
#include "model/mark.hpp"
#include "wire/decoder.hpp"
#include "wire/relations.hpp"

namespace pgcarve::sync {

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void unexpected(std::string const& what) {
    throw base::Error{base::Exit::bug, "protocol", fmt::format("the stream has {}, which was not asked for", what), "please report this"};
}

} // namespace

struct Receiver::Impl {
    pg::Replication connection;
    Mapping const& mapping;
    ReceiverLimits const limits;

    // of the thread alone
    std::optional<wire::Decoder> decoder;
    wire::Relations relations;
    struct Known {
        wire::Relations::Shape shape;
        std::optional<Mapping::Resolved> resolved; // nullopt: its changes are left out
        std::optional<std::size_t> mark{};         // of pgcarve's table of marks: the column with the content
    };
    std::unordered_map<std::uint32_t, Known> known; // by the relation's number
    std::unique_ptr<Batch> batch = std::make_unique<Batch>();
    wire::TransactionId xid;
    base::Lsn committed{}; // where the open transaction ends
    base::Lsn from;
    std::size_t ended = 0; // changes in `batch` of transactions that have ended; the others are of the open one
    std::optional<std::string> marker; // of the open transaction: from a message, or from a row of the table of marks
    bool skipping = false; // a transaction that the target has already
    Clock::time_point last_status = Clock::now();
    base::Lsn heard{}; // from a keepalive: nothing before it is still to come, but for what `batch` holds

    // shared
    mutable std::mutex mutex;
    std::condition_variable changed;
    std::deque<std::unique_ptr<Batch>> queue;
    std::exception_ptr error;
    bool stopping = false;
    ReceiverState shared;
    base::Lsn handed_over{}; // end of the last complete batch in the queue or behind it
    bool asked = false;

    std::thread thread;

    Impl(pg::Replication taken, Mapping const& tables, base::Lsn start, ReceiverLimits bounds)
        : connection{std::move(taken)}, mapping{tables}, limits{bounds}, from{start} {
        shared.received = shared.passed = shared.durable = handed_over = start;
    }

    // ---- the thread

    void run() {
        try {
            while (!stop_requested()) {
                bool const ready = batch->transactions > 0 && !decoder->in_transaction();
                // Ready, and nobody waits for it: it may grow, but somebody may come.
                auto const patience = !ready ? base::Millis{100} : base::Millis{hungry() ? 0 : 2};
                if (auto const received = connection.poll(patience))
                    take(received->frame());
                else if (ready && hungry())
                    hand_over(true);
                report(take_question());
            }
            report(false, true);
            connection.stop(base::Millis{2'000});
        } catch (...) {
            // What had ended before goes first: when the shape of a table has changed, only this can still be applied
            // with the shape that it had.
            auto const why = std::current_exception();
            if (batch->transactions > 0) {
                batch->changes.resize(ended);
                push(true);
            }
            std::lock_guard const lock{mutex};
            error = why;
            changed.notify_all();
        }
    }

    // The applier has nothing but what it works on.
    bool hungry() {
        std::lock_guard const lock{mutex};
        return queue.empty();
    }

    bool take_question() {
        std::lock_guard const lock{mutex};
        return std::exchange(asked, false);
    }

    bool stop_requested() {
        std::lock_guard const lock{mutex};
        return stopping;
    }

    void take(wire::Frame const& frame) {
        if (auto const* const alive = std::get_if<wire::Keepalive>(&frame)) {
            if (!decoder->in_transaction())
                heard = std::max(heard, alive->end);
            {
                std::lock_guard const lock{mutex};
                shared.received = std::max(shared.received, alive->end);
                if (!decoder->in_transaction() && batch->changes.empty() && batch->transactions == 0)
                    shared.passed = std::max(shared.passed, heard);
            }
            if (alive->reply_requested)
                report(false, true);
            return;
        }
        auto const& data = std::get<wire::XLogData>(frame);
        {
            std::lock_guard const lock{mutex};
            shared.received = std::max(shared.received, data.end);
        }
        auto const message = decoder->decode(data.payload);
        std::visit([this](auto const& m) { on(m); }, message);
    }

    void on(wire::Begin const& m) {
        committed = m.final_lsn;
        xid = m.xid;
        marker.reset();
        // The record that ends it starts before the position: then the target has it.
        skipping = m.final_lsn < from;
    }

    void on(wire::Commit const& m) {
        if (skipping) {
            skipping = false;
            return;
        }
        ++batch->transactions;
        ended = batch->changes.size();
        batch->marker = std::exchange(marker, std::nullopt);
        batch->end = m.end_lsn;
        batch->commit_time = m.commit_time;
        if (batch->marker || large_enough())
            hand_over(true);
    }

    bool large_enough() {
        return batch->changes.size() >= limits.batch_changes || batch->arena.bytes() >= limits.batch_bytes ||
               (batch->changes.size() >= limits.early_changes && hungry());
    }

    void on(wire::Origin const&) {}
    void on(wire::Type const&) {}

    void on(wire::Relation const& m) {
        auto const& shape = relations.replace(m, {});
        if (auto const mark = mark_of(*shape))
            known[m.id.value] = Known{shape, std::nullopt, mark};
        else
            known[m.id.value] = Known{shape, mapping.resolve(*shape, committed)};
    }

    static std::optional<std::size_t> mark_of(wire::RelationShape const& shape) {
        if (sql::QName{shape.schema, shape.name} != model::mark_table())
            return std::nullopt;
        auto const at = std::ranges::find(shape.columns, model::mark_column, &wire::RelationShape::Column::name);
        if (at == shape.columns.end())
            throw base::Error{base::Exit::needs_decision, "schema-changed", fmt::format("{} has no column {} any more", model::mark_table().display(), model::mark_column),
                              "it is pgcarve's own: make it as `pgcarve init` does"};
        return static_cast<std::size_t>(at - shape.columns.begin());
    }

    void note_mark(Known const& table, wire::Tuple row) {
        table.shape->check(row);
        if (auto const& cell = row[*table.mark]; cell.state == wire::ColumnState::text)
            marker = std::string{cell.value};
    }

    Known const& relation(base::Oid id) {
        auto const at = known.find(id.value);
        if (at == known.end())
            throw base::Error{base::Exit::bug, "protocol", fmt::format("the stream names relation {}, which it has not explained", id.value), "please report this"};
        return at->second;
    }

    Change& add(Kind kind, std::uint32_t table) {
        batch->changes.push_back({kind, table, xid, {}, {}, nullptr, false});
        return batch->changes.back();
    }

    // The table's columns of a tuple, in the table's order.
    Cells keep(Known const& of, wire::Tuple tuple) {
        of.shape->check(tuple);
        picked.clear();
        for (auto const at : of.resolved->at) // a column that came later is left as it is, or to its default
            picked.push_back(at == Mapping::absent ? wire::Column{wire::ColumnState::unchanged_toast, {}} : tuple[at]);
        return batch->arena.keep(picked);
    }
    std::vector<wire::Column> picked;

    void on(wire::Insert const& m) {
        if (skipping)
            return;
        auto const& table = relation(m.relation);
        if (table.mark)
            note_mark(table, m.row);
        if (!table.resolved)
            return;
        auto const row = keep(table, m.row);
        add(Kind::insert, table.resolved->table).row = row;
        split();
    }

    void on(wire::Update const& m) {
        if (skipping)
            return;
        auto const& table = relation(m.relation);
        if (table.mark)
            note_mark(table, m.row);
        if (!table.resolved)
            return;
        auto row = keep(table, m.row);
        auto const old = m.old_kind == wire::OldTuple::none ? row : keep(table, m.old);
        if (m.old_kind == wire::OldTuple::full) {
            // A large value that did not change is in the old row.
            auto const filled = batch->arena.cells(row.size());
            for (std::size_t i = 0; i < row.size(); ++i)
                filled[i] = row[i].state == wire::ColumnState::unchanged_toast ? old[i] : row[i];
            row = filled;
        }
        auto& change = add(Kind::update, table.resolved->table);
        change.old = old;
        change.row = row;
        split();
    }

    void on(wire::Delete const& m) {
        if (skipping)
            return;
        auto const& table = relation(m.relation);
        if (!table.resolved)
            return;
        auto const old = keep(table, m.old);
        add(Kind::remove, table.resolved->table).old = old;
        split();
    }

    void on(wire::Truncate const& m) {
        if (skipping)
            return;
        auto tables = std::make_unique<std::vector<std::uint32_t>>();
        for (auto const id : m.relations) {
            if (auto const& resolved = relation(id).resolved)
                tables->push_back(resolved->table);
        }
        if (tables->empty())
            return;
        auto& change = add(Kind::truncate, tables->front());
        change.truncated = tables.get();
        change.restart_identity = m.restart_identity;
        batch->truncations.push_back(std::move(tables));
    }

    void on(wire::LogicalMessage const& m) {
        if (m.transactional && !skipping && m.prefix == message_prefix)
            marker = std::string{m.content};
    }

    template <class Other>
    void on(Other const&) {
        unexpected("a streamed or prepared transaction");
    }

    // A transaction may be larger than a batch. What had ended before it goes by itself: it is not to wait for the end
    // of this one, nor to fail with it.
    void split() {
        if (!large_enough())
            return;
        if (batch->transactions == 0) {
            hand_over(false);
            return;
        }
        auto rest = std::make_unique<Batch>();
        for (auto i = ended; i < batch->changes.size(); ++i) {
            auto change = batch->changes[i];
            change.old = rest->arena.keep(change.old);
            change.row = rest->arena.keep(change.row);
            if (change.truncated != nullptr) {
                rest->truncations.push_back(std::make_unique<std::vector<std::uint32_t>>(*change.truncated));
                change.truncated = rest->truncations.back().get();
            }
            rest->changes.push_back(change);
        }
        batch->changes.resize(ended);
        hand_over(true);
        batch = std::move(rest);
    }

    void hand_over(bool complete) {
        std::unique_lock lock{mutex};
        while (queue.size() >= limits.queued_batches && !stopping) {
            // The target is slower: the server has to hear from us all the same.
            changed.wait_for(lock, limits.status_interval);
            lock.unlock();
            report(false);
            lock.lock();
        }
        lock.unlock();
        push(complete);
    }

    void push(bool complete) {
        std::lock_guard const lock{mutex};
        batch->complete = complete;
        ended = 0;
        if (complete) {
            handed_over = batch->end;
            shared.passed = std::max({shared.passed, batch->end, heard});
        }
        shared.idle = false;
        queue.push_back(std::exchange(batch, std::make_unique<Batch>()));
        changed.notify_all();
    }

    void report(bool ask, bool now = false) {
        auto const at = Clock::now();
        if (!ask && !now && at - last_status < limits.status_interval)
            return;
        last_status = at;
        ReceiverState state;
        {
            std::lock_guard const lock{mutex};
            state = shared;
        }
        connection.send_status(state.received, std::min(state.durable, state.received), std::min(state.durable, state.received), ask);
    }
};

Receiver::Receiver(pg::Replication connection, pg::StreamRequest request, Mapping const& mapping, base::Lsn from, ReceiverLimits limits)
    : impl_{std::make_unique<Impl>(std::move(connection), mapping, from, limits)} {
    request.start = from;
    auto const terms = impl_->connection.start(request);
    impl_->decoder.emplace(terms.negotiated);
    impl_->thread = std::thread{[this] { impl_->run(); }};
}

Receiver::~Receiver() {
    {
        std::lock_guard const lock{impl_->mutex};
        impl_->stopping = true;
        impl_->changed.notify_all();
    }
    if (impl_->thread.joinable())
        impl_->thread.join();
}

std::unique_ptr<Batch> Receiver::next(base::Millis timeout) {
    std::unique_lock lock{impl_->mutex};
    impl_->changed.wait_for(lock, timeout, [this] { return !impl_->queue.empty() || impl_->error; });
    if (impl_->queue.empty()) {
        if (impl_->error)
            std::rethrow_exception(impl_->error);
        return nullptr;
    }
    auto batch = std::move(impl_->queue.front());
    impl_->queue.pop_front();
    impl_->changed.notify_all();
    return batch;
}

void Receiver::durable(base::Lsn position) {
    std::lock_guard const lock{impl_->mutex};
    impl_->shared.durable = std::max(impl_->shared.durable, position);
    impl_->shared.idle = impl_->queue.empty() && position >= impl_->handed_over;
}

ReceiverState Receiver::state() const {
    std::lock_guard const lock{impl_->mutex};
    return impl_->shared;
}

void Receiver::ask() {
    std::lock_guard const lock{impl_->mutex};
    impl_->asked = true;
}

void Receiver::stop() {
    {
        std::lock_guard const lock{impl_->mutex};
        impl_->stopping = true;
        impl_->changed.notify_all();
    }
    if (impl_->thread.joinable())
        impl_->thread.join();
    std::lock_guard const lock{impl_->mutex};
    if (impl_->error)
        std::rethrow_exception(impl_->error);
}

} // namespace pgcarve::sync
