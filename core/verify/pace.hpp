// How a comparison holds itself back: for each second that it reads while the servers serve others, it rests `ratio` seconds.
//
// Reading runs up a debt that time pays off. While others are active, n readers at once owe (1 + ratio) * n - 1 seconds a
// second, so that all of them together read for 1 / (1 + ratio) of the time, however many they are; nobody begins anything
// while something is owed. What the servers do is sampled: up to a sample they did what it shows, and beyond the last one
// they do so still. Until the first they are taken to be busy. Once nobody else has been active for a while, what is owed is
// dropped: a server that has fallen idle is not spared.
//
// Pure: the time is the caller's. Threads: any.
#pragma once

#include <chrono>
#include <mutex>

namespace pgcarve::verify {

class Pace {
public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::milliseconds quiet{2'000}; // without anybody active, until what is owed is dropped

    // 0: never rests, and needs no samples.
    Pace(double ratio, Time now) : ratio_{ratio}, last_{now}, active_{now} {}

    [[nodiscard]] bool never() const noexcept { return ratio_ <= 0; }
    void sample(bool others_active, Time now);
    // Whether to wait before anything is begun.
    [[nodiscard]] bool rest(Time now);
    void begin(Time now);
    void end(Time now);

    // Others were active a moment ago: what is begun should be short.
    [[nodiscard]] bool sparing() const;
    [[nodiscard]] bool resting() const; // somebody waits, and nobody reads
    [[nodiscard]] std::chrono::duration<double> rested() const; // for how long that was so

    class Reading { // begin() to end()
    public:
        explicit Reading(Pace& pace) : pace_{pace} { pace_.begin(std::chrono::steady_clock::now()); }
        Reading(Reading const&) = delete;
        Reading& operator=(Reading const&) = delete;
        ~Reading() { pace_.end(std::chrono::steady_clock::now()); }

    private:
        Pace& pace_;
    };

private:
    void advance(Time now);

    double const ratio_;
    mutable std::mutex mutex_;
    Time last_;   // what is owed is known up to here
    Time active_; // when others were seen so last
    bool busy_ = true;
    bool sampled_ = false;
    int readers_ = 0;
    bool waiting_ = false; // somebody was told to, and nothing was begun since
    std::chrono::duration<double> owed_{0};
    std::chrono::duration<double> rested_{0};
};

} // namespace pgcarve::verify
