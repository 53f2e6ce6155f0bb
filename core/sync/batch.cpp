#include "sync/batch.hpp"

#include <algorithm>
#include <cstring>

namespace pgcarve::sync {

namespace {
constexpr std::size_t block = 256 * 1024;
}

char* Arena::take(std::size_t bytes, std::size_t alignment) {
    auto const skip = (alignment - reinterpret_cast<std::uintptr_t>(at_) % alignment) % alignment;
    if (at_ == nullptr || left_ < bytes + skip) {
        auto const size = std::max(block, bytes + alignment);
        blocks_.push_back(std::make_unique_for_overwrite<char[]>(size));
        bytes_ += size;
        at_ = blocks_.back().get();
        left_ = size;
        return take(bytes, alignment);
    }
    auto* const given = at_ + skip;
    at_ = given + bytes;
    left_ -= bytes + skip;
    return given;
}

std::span<wire::Column> Arena::cells(std::size_t count) {
    if (count == 0)
        return {};
    auto* const raw = take(count * sizeof(wire::Column), alignof(wire::Column));
    auto* const first = reinterpret_cast<wire::Column*>(raw);
    std::uninitialized_default_construct_n(first, count);
    return {first, count};
}

Cells Arena::keep(Cells from) {
    auto const to = cells(from.size());
    for (std::size_t i = 0; i < from.size(); ++i) {
        to[i].state = from[i].state;
        if (from[i].value.empty())
            continue;
        auto* const bytes = take(from[i].value.size(), 1);
        std::memcpy(bytes, from[i].value.data(), from[i].value.size());
        to[i].value = {bytes, from[i].value.size()};
    }
    return to;
}

} // namespace pgcarve::sync
