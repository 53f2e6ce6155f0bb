#include "wire/reader.hpp"

#include <fmt/format.h>

#include "base/error.hpp"

namespace pgcarve::wire {

base::Lsn Reader::set_lsn(std::string_view field) {
    auto const value = lsn();
    if (value == base::Lsn{})
        fail(fmt::format("{} is 0/0", field));
    return value;
}

std::size_t Reader::count16(std::string_view field) {
    auto const value = static_cast<std::int16_t>(u16());
    if (value < 0)
        fail(fmt::format("{} is {}", field, value));
    return static_cast<std::size_t>(value);
}

std::size_t Reader::count32(std::string_view field) {
    auto const value = i32();
    if (value < 0)
        fail(fmt::format("{} is {}", field, value));
    return static_cast<std::size_t>(value);
}

std::string_view Reader::text(std::string_view field) {
    auto const zero = bytes_.find('\0', at_);
    if (zero == std::string_view::npos)
        fail(fmt::format("{} has no end", field));
    auto const value = bytes_.substr(at_, zero - at_);
    at_ = zero + 1;
    return value;
}

bool Reader::flag(std::string_view field) {
    auto const value = u8();
    if (value > 1)
        fail(fmt::format("{} is {}, neither 0 nor 1", field, value));
    return value == 1;
}

void Reader::end() const {
    if (left() != 0)
        fail(fmt::format("{} bytes too many", left()));
}

void Reader::truncated(std::size_t wanted) const {
    fail(fmt::format("{} bytes wanted, {} there", wanted, left()));
}

void Reader::fail(std::string const& why) const {
    throw base::Error{base::Exit::needs_decision, "protocol",
                      fmt::format("the server sent what pgcarve does not understand: {}, at byte {} of {}: {}", what_,
                                  at_, bytes_.size(), why),
                      "nothing from this transaction on was confirmed, so nothing is lost; "
                      "`pgcarve doctor` shows where the stream stands"};
}

} // namespace pgcarve::wire
