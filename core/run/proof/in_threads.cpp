#include "run/proof/in_threads.hpp"

#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace pgcarve::run {

void in_threads(std::size_t count, std::function<void()> const& one, std::function<void()> const& supervise, std::function<void()> const& cancel, VerifyWatch& watch) {
    std::mutex mutex;
    std::condition_variable ended;
    std::exception_ptr crash;
    std::size_t running = count;
    auto const attempt = [&](std::function<void()> const& work) {
        try {
            work();
        } catch (...) {
            std::lock_guard const lock{mutex};
            if (!crash)
                crash = std::current_exception();
            watch.abandon();
        }
    };
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < count; ++i) {
        threads.emplace_back([&] {
            attempt(one);
            std::lock_guard const lock{mutex};
            --running;
            ended.notify_all();
        });
    }
    for (std::unique_lock lock{mutex}; running > 0;) {
        ended.wait_for(lock, std::chrono::milliseconds{100});
        if (running == 0)
            break;
        lock.unlock();
        attempt(supervise);
        if (watch.stopping())
            cancel();
        lock.lock();
    }
    threads.clear();
    if (crash)
        std::rethrow_exception(crash);
}

} // namespace pgcarve::run
