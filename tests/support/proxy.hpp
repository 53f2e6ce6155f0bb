// Stands between a client and a server's unix socket, so that a test can cut or stall what passes, as a bad network does.
//
// Threads: one that accepts, one for each direction of each connection; all calls from any thread.
#pragma once

#include <atomic>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace pgcarve::test {

class Proxy {
public:
    // `server`: the folder that holds the server's socket.
    explicit Proxy(std::filesystem::path server);
    Proxy(Proxy const&) = delete;
    Proxy& operator=(Proxy const&) = delete;
    ~Proxy();

    // What to write for "host" in a connection string.
    [[nodiscard]] std::string host() const { return folder_.string(); }
    // Every connection ends, without a goodbye to either side.
    void sever();
    // While stalled nothing passes, and nobody is told so.
    void stall(bool on) { stalled_ = on; }

private:
    void accept_loop();
    void pump(int from, int to) const;

    std::filesystem::path server_;
    std::filesystem::path folder_;
    int listener_ = -1;
    std::atomic<bool> stalled_{false};
    std::atomic<bool> ending_{false};
    std::mutex mutex_; // of what follows
    std::vector<int> sockets_;
    std::vector<std::thread> pumps_;
    std::thread acceptor_;
};

} // namespace pgcarve::test
