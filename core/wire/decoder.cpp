#include "wire/decoder.hpp"

#include <string>

#include <fmt/format.h>

#include "base/error.hpp"

// Field by field as in PostgreSQL's documentation, "Logical Replication Message Formats"; what the documentation leaves
// open (which message may come where, which LSN may be 0) follows src/backend/replication/pgoutput and
// src/backend/replication/logical/proto.c of PostgreSQL 13 to 18.

namespace pgcarve::wire {

namespace {

// The server writes nothing for pg_catalog.
std::string_view schema_of(std::string_view sent) { return sent.empty() ? "pg_catalog" : sent; }

// No flag has ever been defined here. A server that sends one means something we would miss.
void no_flags(Reader& in) {
    if (auto const flags = in.u8(); flags != 0)
        in.fail(fmt::format("unknown flags {}", flags));
}

std::string printable(char kind) {
    auto const code = static_cast<unsigned char>(kind);
    return code > 0x20 && code < 0x7F ? fmt::format("'{}'", kind) : fmt::format("0x{:02X}", code);
}

TransactionId some_xid(Reader& in) {
    auto const xid = in.xid();
    if (xid == TransactionId{})
        in.fail("the transaction is 0");
    return xid;
}

OldTuple old_kind(char letter, Reader const& in) {
    switch (letter) {
    case 'K':
        return OldTuple::key;
    case 'O':
        return OldTuple::full;
    default:
        in.fail(fmt::format("a tuple of kind {} where K or O belongs", printable(letter)));
    }
}

void expect_new(char letter, Reader const& in) {
    if (letter != 'N')
        in.fail(fmt::format("a tuple of kind {} where N belongs", printable(letter)));
}

// Prepare, Commit Prepared and Stream Prepare have the same fields.
template <typename Ending>
Ending parse_prepared(Reader& in) {
    no_flags(in);
    auto const lsn = in.set_lsn("the lsn");
    auto const end = in.set_lsn("the end lsn");
    auto const time = in.time();
    auto const xid = some_xid(in);
    return Ending{lsn, end, time, xid, in.text("the gid")};
}

} // namespace

Decoder::Decoder(Negotiated negotiated) : negotiated_{negotiated} {
    auto const& n = negotiated_;
    if (n.protocol < 1 || n.protocol > 4 || (n.streaming != Streaming::off && n.protocol < 2) ||
        (n.two_phase && n.protocol < 3) || (n.streaming == Streaming::parallel && n.protocol < 4))
        base::bug(fmt::format("protocol {} does not go with its options", n.protocol));
}

Message Decoder::decode(std::string_view payload) {
    Reader in{payload, "an empty message"};
    char const kind = in.letter();
    auto message = parse(kind, in);
    in.end();
    move_on(message);
    return message;
}

Message Decoder::parse(char kind, Reader& in) {
    switch (kind) {
    case 'B': {
        in.name("Begin");
        expect(Place::idle, in);
        auto const lsn = in.set_lsn("the final lsn");
        auto const time = in.time();
        return Begin{lsn, time, some_xid(in)};
    }
    case 'C': {
        in.name("Commit");
        expect(Place::transaction, in);
        no_flags(in);
        auto const lsn = in.set_lsn("the commit lsn");
        auto const end = in.set_lsn("the end lsn");
        return Commit{lsn, end, in.time()};
    }
    case 'S':
    case 'E':
    case 'c':
    case 'A':
        return parse_stream(kind, in);
    case 'b':
    case 'P':
    case 'K':
    case 'r':
    case 'p':
        return parse_two_phase(kind, in);
    case 'M':
        return parse_message(in);
    default:
        return parse_change(kind, in);
    }
}

Message Decoder::parse_change(char kind, Reader& in) {
    switch (kind) {
    case 'I': {
        in.name("Insert");
        auto const xid = parse_xid(in);
        auto const relation = in.oid();
        expect_new(in.letter(), in);
        return Insert{xid, relation, parse_tuple(in, row_)};
    }
    case 'U':
        in.name("Update");
        return parse_update(in);
    case 'D': {
        in.name("Delete");
        auto const xid = parse_xid(in);
        auto const relation = in.oid();
        auto const old = old_kind(in.letter(), in);
        return Delete{xid, relation, old, parse_tuple(in, old_)};
    }
    case 'T':
        in.name("Truncate");
        return parse_truncate(in);
    case 'R':
        in.name("Relation");
        return parse_relation(in);
    case 'Y': {
        in.name("Type");
        auto const xid = parse_xid(in);
        auto const id = in.oid();
        auto const schema = schema_of(in.text("the schema"));
        return Type{xid, id, schema, in.text("the name")};
    }
    case 'O': {
        in.name("Origin");
        // Never with a transaction's number, not even inside a stream block.
        if (place_ == Place::idle)
            in.fail("it is outside a transaction");
        auto const lsn = in.lsn();
        return Origin{lsn, in.text("the name")};
    }
    default:
        in.name("a message");
        in.fail(fmt::format("its kind {} is unknown", printable(kind)));
    }
}

Update Decoder::parse_update(Reader& in) {
    Update update;
    update.xid = parse_xid(in);
    update.relation = in.oid();
    char letter = in.letter();
    if (letter != 'N') {
        update.old_kind = old_kind(letter, in);
        update.old = parse_tuple(in, old_);
        letter = in.letter();
    }
    expect_new(letter, in);
    update.row = parse_tuple(in, row_);
    if (update.old_kind != OldTuple::none && update.old.size() != update.row.size())
        in.fail(fmt::format("the old tuple has {} columns, the new one {}", update.old.size(), update.row.size()));
    return update;
}

Truncate Decoder::parse_truncate(Reader& in) {
    Truncate truncate;
    truncate.xid = parse_xid(in);
    auto const count = in.count32("the number of relations");
    auto const options = in.u8();
    if ((options & ~3U) != 0)
        in.fail(fmt::format("unknown options {}", options));
    truncate.cascade = (options & 1U) != 0;
    truncate.restart_identity = (options & 2U) != 0;
    // Compared before anything is stored: a broken count must not ask for memory.
    if (count == 0 || in.left() / 4 != count || in.left() % 4 != 0)
        in.fail(fmt::format("{} relations in {} bytes", count, in.left()));
    relations_.clear();
    for (std::size_t i = 0; i < count; ++i)
        relations_.push_back(in.oid());
    truncate.relations = relations_;
    return truncate;
}

Relation Decoder::parse_relation(Reader& in) {
    Relation relation;
    relation.xid = parse_xid(in);
    relation.id = in.oid();
    relation.schema = schema_of(in.text("the schema"));
    relation.name = in.text("the name");
    char const identity = in.letter();
    if (identity != 'd' && identity != 'n' && identity != 'f' && identity != 'i')
        in.fail(fmt::format("unknown replica identity {}", printable(identity)));
    relation.identity = static_cast<ReplicaIdentity>(identity);
    auto const count = in.count16("the number of columns");
    columns_.clear();
    for (std::size_t i = 0; i < count; ++i) {
        RelationColumn column;
        column.key = in.flag("a column's flags"); // 1: part of the replica identity; nothing else is defined
        column.name = in.text("a column's name");
        column.type = in.oid();
        column.typmod = in.i32();
        columns_.push_back(column);
    }
    relation.columns = columns_;
    return relation;
}

LogicalMessage Decoder::parse_message(Reader& in) {
    in.name("Message");
    LogicalMessage message;
    if (place_ == Place::stream)
        message.xid = some_xid(in);
    message.transactional = in.flag("the flags");
    if (message.transactional && place_ == Place::idle)
        in.fail("it is transactional and outside a transaction");
    message.lsn = in.set_lsn("the lsn");
    message.prefix = in.text("the prefix");
    message.content = in.bytes(in.count32("the length"));
    return message;
}

Message Decoder::parse_stream(char kind, Reader& in) {
    in.name(kind == 'S' ? "Stream Start" : kind == 'E' ? "Stream Stop" : kind == 'c' ? "Stream Commit" : "Stream Abort");
    if (negotiated_.streaming == Streaming::off)
        in.fail("streaming was not asked for");
    expect(kind == 'E' ? Place::stream : Place::idle, in);
    if (kind == 'E')
        return StreamStop{};
    auto const xid = some_xid(in);
    if (kind == 'S')
        return StreamStart{xid, in.flag("the first segment")};
    if (kind == 'c') {
        no_flags(in);
        auto const lsn = in.set_lsn("the commit lsn");
        auto const end = in.set_lsn("the end lsn");
        return StreamCommit{xid, lsn, end, in.time()};
    }
    StreamAbort abort{xid, some_xid(in)};
    // The protocol's number alone does not bring these two; and the server knows no LSN (0/0) when it aborts
    // what a crash left behind.
    abort.timed = negotiated_.streaming == Streaming::parallel;
    if (abort.timed) {
        abort.abort_lsn = in.lsn();
        abort.abort_time = in.time();
    }
    return abort;
}

Message Decoder::parse_two_phase(char kind, Reader& in) {
    in.name(kind == 'b'   ? "Begin Prepare"
            : kind == 'P' ? "Prepare"
            : kind == 'K' ? "Commit Prepared"
            : kind == 'r' ? "Rollback Prepared"
                          : "Stream Prepare");
    if (!negotiated_.two_phase)
        in.fail("two-phase commit was not asked for");
    if (kind == 'p' && negotiated_.streaming == Streaming::off)
        in.fail("streaming was not asked for");
    expect(kind == 'P' ? Place::prepared : Place::idle, in);
    switch (kind) {
    case 'b': {
        auto const lsn = in.set_lsn("the lsn");
        auto const end = in.set_lsn("the end lsn");
        auto const time = in.time();
        auto const xid = some_xid(in);
        return BeginPrepare{lsn, end, time, xid, in.text("the gid")};
    }
    case 'P':
        return parse_prepared<Prepare>(in);
    case 'K':
        return parse_prepared<CommitPrepared>(in);
    case 'p':
        return parse_prepared<StreamPrepare>(in);
    default:
        break;
    }
    RollbackPrepared rollback;
    no_flags(in);
    rollback.prepare_end_lsn = in.set_lsn("the end lsn of the prepare");
    rollback.rollback_end_lsn = in.set_lsn("the end lsn of the rollback");
    rollback.prepare_time = in.time();
    rollback.rollback_time = in.time();
    rollback.xid = some_xid(in);
    rollback.gid = in.text("the gid");
    return rollback;
}

Tuple Decoder::parse_tuple(Reader& in, std::vector<Column>& into) const {
    auto const count = in.count16("the number of columns");
    into.clear();
    for (std::size_t i = 0; i < count; ++i) {
        switch (char const state = in.letter()) {
        case 'n':
            into.push_back({ColumnState::null});
            break;
        case 'u':
            into.push_back({ColumnState::unchanged_toast});
            break;
        case 't':
            into.push_back({ColumnState::text, in.bytes(in.count32("a value's length"))});
            break;
        case 'b':
            if (!negotiated_.binary)
                in.fail("a binary value, which was not asked for");
            into.push_back({ColumnState::binary, in.bytes(in.count32("a value's length"))});
            break;
        default:
            in.fail(fmt::format("column {} has the unknown state {}", i, printable(state)));
        }
    }
    return into;
}

// A change names its transaction inside a stream block, and must have one anywhere.
TransactionId Decoder::parse_xid(Reader& in) const {
    if (place_ == Place::idle)
        in.fail("it is outside a transaction");
    return place_ == Place::stream ? some_xid(in) : TransactionId{};
}

void Decoder::expect(Place place, Reader const& in) const {
    if (place_ == place)
        return;
    switch (place_) {
    case Place::idle:
        in.fail("there is nothing that it could end");
    case Place::transaction:
        in.fail("it is inside a transaction");
    case Place::prepared:
        in.fail("it is inside a transaction that is being prepared");
    case Place::stream:
        in.fail("it is inside a stream block");
    }
    base::bug("the decoder is nowhere");
}

void Decoder::move_on(Message const& message) {
    if (std::holds_alternative<Begin>(message)) {
        place_ = Place::transaction;
    } else if (std::holds_alternative<BeginPrepare>(message)) {
        place_ = Place::prepared;
    } else if (auto const* const start = std::get_if<StreamStart>(&message)) {
        place_ = Place::stream;
        stream_ = start->xid;
    } else if (std::holds_alternative<Commit>(message) || std::holds_alternative<Prepare>(message) ||
               std::holds_alternative<StreamStop>(message)) {
        place_ = Place::idle;
        stream_ = {};
    }
}

} // namespace pgcarve::wire
