#include "base/error.hpp"

#include <utility>

namespace pgcarve::base {

Error::Error(Exit exit, std::string code, std::string message, std::string hint)
    : exit_{exit}
    , code_{std::move(code)}
    , message_{std::move(message)}
    , hint_{std::move(hint)}
    , what_{code_ + ": " + message_} {}

Error& Error::with(std::string detail) & {
    details_.push_back(std::move(detail));
    return *this;
}

Error&& Error::with(std::string detail) && {
    details_.push_back(std::move(detail));
    return std::move(*this);
}

void bug(std::string const& what) {
    throw Error{Exit::bug, "bug", what, "this is a bug in pgcarve: please report it with the command and its output"};
}

} // namespace pgcarve::base
