// A consumer for tests: a slot, a stream, and every message as a line of text that a test can compare.
#pragma once

#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "pg/replication.hpp"
#include "support/server.hpp"
#include "wire/relations.hpp"

namespace pgcarve::test {

// A database of its own with `schema` loaded, the publication `pub` made of `tables`, and then the slot.
struct Source {
    Server& server;
    std::string database;
    std::string slot;
    pg::Session session;

    explicit Source(std::string const& schema, std::string const& publication = "FOR ALL TABLES", Server& on = Server::shared())
        : server{on}
        , database{on.create_database()}
        , slot{"slot_" + database}
        , session{on.connect(database)} {
        session.run("SET search_path = public; " + schema);
        session.run("CREATE PUBLICATION pub " + publication);
        replication().create_slot(slot);
    }
    // A slot keeps its database, and its log, until it is gone.
    ~Source() {
        try {
            released();
            server.connect(database).query(sql::Sql{"SELECT pg_drop_replication_slot("}.bind(slot).add(")"));
        } catch (base::Error const& e) {
            ADD_FAILURE() << e.what();
        }
    }
    Source(Source const&) = delete;
    Source& operator=(Source const&) = delete;

    void run(std::string const& sql) { session.run(sql); }
    [[nodiscard]] pg::Session connect() const {
        auto other = server.connect(database);
        other.run("SET search_path = public");
        return other;
    }
    [[nodiscard]] pg::Replication replication(int wake_fd = -1) const {
        return pg::Replication{{.dsn = server.dsn(database), .purpose = "test", .wake_fd = wake_fd}};
    }
    [[nodiscard]] pg::StreamRequest request() const { return {.slot = slot, .publications = {"pub"}}; }

    [[nodiscard]] base::Lsn confirmed() const {
        auto const text = server.connect().one(
            sql::Sql{"SELECT confirmed_flush_lsn::text AS l FROM pg_replication_slots WHERE slot_name = "}.bind(slot)).text("l");
        return base::Lsn::parse(text).value();
    }
    // A walsender lets its slot go a moment after its client has.
    void released() const {
        auto look = server.connect();
        if (!wait_until([&] {
                return look.one(sql::Sql{"SELECT count(*) AS n FROM pg_replication_slots WHERE active AND slot_name = "}.bind(slot))
                           .integer("n") == 0;
            }))
            throw std::runtime_error{"the slot stays active"};
    }
};

inline std::string show(wire::Tuple tuple) {
    std::string out;
    for (auto const& column : tuple) {
        out += out.empty() ? "" : "|";
        switch (column.state) {
        case wire::ColumnState::null:
            out += "null";
            break;
        case wire::ColumnState::unchanged_toast:
            out += "unchanged";
            break;
        case wire::ColumnState::text:
            out += column.value.size() > 200 ? fmt::format("{}..{}", column.value.substr(0, 3), column.value.size())
                                             : fmt::format("'{}'", column.value);
            break;
        case wire::ColumnState::binary:
            out += fmt::format("binary of {}", column.value.size());
            break;
        }
    }
    return "(" + out + ")";
}

class Feed {
public:
    explicit Feed(Source& source) : Feed{source, source.request()} {}
    Feed(Source& source, pg::StreamRequest const& request)
        : replication{source.replication()}
        , terms{replication.start(request)}
        , decoder{terms.negotiated} {}

    pg::Replication replication;
    pg::StreamTerms terms;
    wire::Decoder decoder;
    wire::Relations relations;
    std::vector<base::Lsn> ends;   // of every commit so far
    std::vector<base::Lsn> starts; // of every frame with a message so far
    base::Lsn flushed{};           // reported whenever the server asks

    // The next message; throws when none comes for half a minute.
    template <typename Use>
    void next(Use use) {
        for (int tries = 0; tries < 300; ++tries) {
            auto const received = replication.poll(base::Millis{100});
            if (!received)
                continue;
            if (auto const* const keepalive = std::get_if<wire::Keepalive>(&received->frame())) {
                if (keepalive->reply_requested)
                    replication.send_status(flushed, flushed, flushed);
                continue;
            }
            auto const& data = std::get<wire::XLogData>(received->frame());
            starts.push_back(data.start);
            auto const message = decoder.decode(data.payload);
            if (auto const* const relation = std::get_if<wire::Relation>(&message))
                relations.replace(*relation, decoder.stream());
            if (auto const* const commit = std::get_if<wire::Commit>(&message))
                ends.push_back(commit->end_lsn);
            use(message);
            return;
        }
        throw std::runtime_error{"no message comes"};
    }

    // A relation that is said again as it was is left out: when the server does so is its own affair.
    std::string next_line() {
        std::string line;
        do
            next([&](wire::Message const& message) {
                line = std::visit([&](auto const& m) { return describe(m); }, message);
                if (auto const* const relation = std::get_if<wire::Relation>(&message)) {
                    auto& said = said_[relation->id.value];
                    line = std::exchange(said, line) == line ? "" : line;
                }
            });
        while (line.empty());
        return line;
    }

    std::vector<std::string> lines(std::size_t count) {
        std::vector<std::string> out;
        while (out.size() < count)
            out.push_back(next_line());
        return out;
    }

    // Everything up to now, by way of a transaction of our own that marks the end.
    std::vector<std::string> everything(pg::Session& session) {
        session.run("SELECT pg_logical_emit_message(true, 'test', 'end')");
        std::vector<std::string> out;
        do
            out.push_back(next_line());
        while (out.back() != "message test end");
        next_line();             // its commit
        out.resize(out.size() - 2); // and its begin
        ends.pop_back();
        return out;
    }

private:
    std::map<std::uint32_t, std::string> said_;

    [[nodiscard]] std::string row(base::Oid id, wire::Tuple tuple) const {
        relations.find(id, decoder.stream())->check(tuple);
        return show(tuple);
    }
    [[nodiscard]] std::string name(base::Oid id) const {
        auto const& shape = *relations.find(id, decoder.stream());
        return shape.schema == "public" ? shape.name : shape.schema + "." + shape.name;
    }
    static std::string old(wire::OldTuple kind) { return kind == wire::OldTuple::key ? " key " : " old "; }

    std::string describe(wire::Begin const&) const { return "begin"; }
    std::string describe(wire::Commit const&) const { return "commit"; }
    std::string describe(wire::Origin const& m) const { return fmt::format("origin {}", m.name); }
    std::string describe(wire::Relation const& m) const {
        std::string columns;
        for (auto const& c : m.columns)
            columns += fmt::format(" {}{}", c.name, c.key ? "*" : "");
        return fmt::format("relation {} {}:{}", name(m.id), static_cast<char>(m.identity), columns);
    }
    std::string describe(wire::Type const& m) const { return fmt::format("type {}.{}", m.schema, m.name); }
    std::string describe(wire::Insert const& m) const { return fmt::format("insert {} {}", name(m.relation), row(m.relation, m.row)); }
    std::string describe(wire::Update const& m) const {
        return fmt::format("update {}{} {}", name(m.relation),
                           m.old_kind == wire::OldTuple::none ? "" : old(m.old_kind) + row(m.relation, m.old), row(m.relation, m.row));
    }
    std::string describe(wire::Delete const& m) const {
        return fmt::format("delete {}{}{}", name(m.relation), old(m.old_kind), row(m.relation, m.old));
    }
    std::string describe(wire::Truncate const& m) const {
        std::string names;
        for (auto const id : m.relations)
            names += " " + name(id);
        return fmt::format("truncate{}{}{}", names, m.cascade ? " cascade" : "", m.restart_identity ? " restart" : "");
    }
    std::string describe(wire::LogicalMessage const& m) const {
        return fmt::format("message {} {}{}", m.prefix, m.content, m.transactional ? "" : " at once");
    }
    template <typename Other>
    std::string describe(Other const&) const { return "something else"; }
};

} // namespace pgcarve::test
