#include "wire/relations.hpp"

#include <utility>

#include <fmt/format.h>

#include "base/error.hpp"

namespace pgcarve::wire {

namespace {

[[noreturn]] void fail(std::string message) {
    throw base::Error{base::Exit::needs_decision, "protocol", std::move(message),
                      "nothing from this transaction on was confirmed, so nothing is lost; "
                      "`pgcarve doctor` shows where the stream stands"};
}

} // namespace

void RelationShape::check(Tuple tuple) const {
    if (tuple.size() != columns.size())
        fail(fmt::format("the server sent a row of {} columns for {}.{}, which it said has {}", tuple.size(), schema, name,
                         columns.size()));
}

Relations::Shape const& Relations::replace(Relation const& message, TransactionId stream) {
    auto shape = std::make_shared<RelationShape>();
    shape->id = message.id;
    shape->schema = message.schema;
    shape->name = message.name;
    shape->identity = message.identity;
    shape->columns.reserve(message.columns.size());
    for (auto const& column : message.columns)
        shape->columns.push_back({column.key, std::string{column.name}, column.type, column.typmod});
    auto& table = stream == TransactionId{} ? known_ : streamed_[stream.value];
    auto& entry = table[message.id.value];
    entry = Entry{std::move(shape), ++messages_};
    return entry.shape;
}

Relations::Shape const& Relations::find(base::Oid id, TransactionId stream) const {
    Table const* table = &known_;
    if (stream != TransactionId{}) {
        auto const scope = streamed_.find(stream.value);
        table = scope == streamed_.end() ? nullptr : &scope->second;
    }
    if (table != nullptr) {
        if (auto const found = table->find(id.value); found != table->end())
            return found->second.shape;
    }
    fail(fmt::format("the server sent a change of relation {}, which it has not described{}", id.value,
                     stream == TransactionId{} ? "" : fmt::format(" in streamed transaction {}", stream.value)));
}

void Relations::stream_committed(TransactionId stream) {
    auto const table = streamed_.find(stream.value);
    if (table == streamed_.end())
        return; // it changed nothing that had to be described
    for (auto& [id, entry] : table->second) {
        auto& known = known_[id];
        if (known.heard < entry.heard)
            known = std::move(entry);
    }
    streamed_.erase(table);
}

void Relations::stream_aborted(TransactionId stream) { streamed_.erase(stream.value); }

} // namespace pgcarve::wire
