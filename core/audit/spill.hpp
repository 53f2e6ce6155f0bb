// The changes of a transaction that is too large for memory, on disk, by groups of rows: each group is read back as a Net.
//
// Files have no name, so nothing is left behind however the process ends.
// Errors: base::Error "spill-failed" (exit 4) when the folder is full or cannot be written.
// Threads: one at a time.
#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "audit/net.hpp"

namespace pgcarve::audit {

class Spill {
public:
    explicit Spill(std::string folder);

    // What the transaction did so far.
    void begin(Net const& net);
    void put(RowId const& id, Side side, std::vector<Digest> const& values, std::optional<Key> const& moved_from);
    void remove(RowId const& id, Side side);
    void truncate(std::uint32_t table, Side side, bool whole);

    // Hands over the rows in groups of which none costs much more than `limit` bytes. Call it once.
    void groups(std::size_t limit, std::function<void(Net&)> const& take);

    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

private:
    struct Close {
        void operator()(std::FILE* file) const noexcept { std::fclose(file); }
    };
    struct Bucket {
        std::unique_ptr<std::FILE, Close> file;
        std::size_t bytes = 0;
    };
    enum class Kind : char { put = 'p', remove = 'd', truncate = 't', state = 's' };

    Bucket& bucket(RowId const& id);
    void write(Bucket& to, std::string const& record);
    void replay(Bucket& from, std::size_t part, std::size_t parts, Net& net);
    [[noreturn]] void fail(char const* what) const;

    std::string folder_;
    std::vector<Bucket> buckets_;
    std::size_t bytes_ = 0;
};

} // namespace pgcarve::audit
