// The threads of one comparison, looked after from the one that called.
#pragma once

#include <functional>

#include "run/proof/verify_watch.hpp"

namespace pgcarve::run {

// Calls `one` on `count` threads of their own, and returns when all of them have. Meanwhile `supervise` is called now and then on
// this thread, and `cancel` again and again once the watch is stopping: a cancellation that comes between two statements is lost.
// What a thread or `supervise` throws stops the watch, and is thrown here in the end: the first of it.
void in_threads(std::size_t count, std::function<void()> const& one, std::function<void()> const& supervise, std::function<void()> const& cancel, VerifyWatch& watch);

} // namespace pgcarve::run
