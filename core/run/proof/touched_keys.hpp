// What a stream has touched, table by table, as keys that a comparison takes.
//
// Lines name the leaf partition that the source named; keys are those of the pair that is compared, its root.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "run/stream/route.hpp"
#include "sync/chunks.hpp"
#include "sync/touched.hpp"
#include "verify/statements.hpp"

namespace pgcarve::run {

struct TouchedRows {
    std::set<verify::Key> keys; // in the order of TablePair::key
    bool all = false;           // a TRUNCATE: of the whole table nothing is known any more
};
using TouchedByTable = std::map<std::size_t, TouchedRows>; // by index into `pairs`

class TouchedReader {
public:
    // `pairs`: the roots; keys come in the order of their `key`. `mapping`: of the stream, leaves.
    TouchedReader(pg::Session& source, std::vector<model::TablePair> const& pairs, sync::Mapping const& mapping, std::string stream);

    // What of the lines behind `since` satisfies `wanted`. Throws TooMany beyond `limit` keys. `oldest`: see sync::read_touched().
    struct TooMany {};
    [[nodiscard]] TouchedByTable read(pg::Session& target, base::Lsn since, std::size_t limit,
                                      std::function<bool(sync::Touched const&)> const& wanted = {}, std::optional<wire::TransactionId> oldest = {}) const;

private:
    struct Leaf {
        std::size_t pair = 0;
        std::size_t parts = 0;
        std::vector<std::size_t> order; // of the pair's key: which part of the leaf's
    };
    std::string stream_;
    std::map<std::string, Leaf> leaves_; // by quoted name
};

} // namespace pgcarve::run
