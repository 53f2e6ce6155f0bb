// A connection that runs the statements of others as they are, and hears what the server says while it does.
//
// Not pinned: search_path, TimeZone and the like are the server's defaults, as a migration meets them; only
// client_min_messages is set, to debug1, and set again after each statement.
// A statement that fails is no error here: it is what was asked.
//
// Errors: base::Error "unreachable", "server-lost". Threads: one at a time; cancel() from any.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/duration.hpp"

namespace pgcarve::pg {

struct Ran {
    bool ok = false;
    std::string sqlstate; // of the failure
    std::string message;
    std::vector<std::string> said; // notices and debug messages, first lines
    std::vector<std::vector<std::optional<std::string>>> rows; // of the last result
};

class Trace {
public:
    explicit Trace(std::string const& dsn, base::Millis statement_timeout);
    Trace(Trace const&) = delete;
    Trace& operator=(Trace const&) = delete;
    ~Trace();

    // One statement. Rows sent by COPY … TO are dropped; COPY … FROM stdin is given `copied`.
    Ran run(std::string const& statement, std::string const& copied = {});
    // For what is asked besides: what the server says is not kept. An error is a bug.
    std::vector<std::vector<std::optional<std::string>>> ask(std::string const& query);

    enum class State { idle, in_transaction, failed };
    [[nodiscard]] State state() const;
    void cancel() noexcept;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace pgcarve::pg
