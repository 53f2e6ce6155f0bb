// pgoutput's bytes → wire::Message, one message at a time.
//
// It knows what START_REPLICATION asked for and where in the conversation it is (idle, in a transaction, in a
// stream block), since the bytes mean different things there; one Decoder serves one START_REPLICATION. It keeps
// no relations: wire/relations.hpp does.
//
// Errors: base::Error "protocol" naming the message and the offset, for anything unknown, truncated, with bytes too
// many, not asked for, or out of place (a change outside a transaction, a begin inside one: a message between them
// was lost). A failed decode() leaves the Decoder as it was.
//
// Memory: none per column or message but vectors that are reused; see wire/message.hpp for what lives how long.
// Threads: one at a time.
#pragma once

#include <string_view>
#include <vector>

#include "wire/message.hpp"
#include "wire/reader.hpp"

namespace pgcarve::wire {

enum class Streaming : std::uint8_t { off, on, parallel };

// What START_REPLICATION asked for, as far as it changes what the bytes mean.
struct Negotiated {
    int protocol = 1; // 1; 2: streaming; 3: two_phase; 4: streaming = parallel
    Streaming streaming = Streaming::off;
    bool two_phase = false;
    bool binary = false;
};

class Decoder {
public:
    // Options that contradict each other are a bug.
    explicit Decoder(Negotiated negotiated);

    // `payload`: what one XLogData carries, which is always exactly one message.
    Message decode(std::string_view payload);

    // A transaction or stream block is open: what was received last is no place to stop at.
    [[nodiscard]] bool in_transaction() const { return place_ != Place::idle; }
    // The top-level transaction of the open stream block; 0 outside of one.
    [[nodiscard]] TransactionId stream() const { return stream_; }

private:
    enum class Place : std::uint8_t { idle, transaction, prepared, stream };

    Message parse(char kind, Reader& in);
    Message parse_change(char kind, Reader& in);
    Message parse_stream(char kind, Reader& in);
    Message parse_two_phase(char kind, Reader& in);
    Relation parse_relation(Reader& in);
    Update parse_update(Reader& in);
    Truncate parse_truncate(Reader& in);
    LogicalMessage parse_message(Reader& in);
    Tuple parse_tuple(Reader& in, std::vector<Column>& into) const;
    TransactionId parse_xid(Reader& in) const;
    void expect(Place place, Reader const& in) const;
    void move_on(Message const& message);

    Negotiated negotiated_;
    Place place_ = Place::idle;
    TransactionId stream_;
    std::vector<Column> old_;
    std::vector<Column> row_;
    std::vector<RelationColumn> columns_;
    std::vector<base::Oid> relations_;
};

} // namespace pgcarve::wire
