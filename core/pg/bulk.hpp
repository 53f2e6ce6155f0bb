// One connection that moves rows: COPY in both directions, and statements whose parameters are whole columns.
//
// Pinned as a Session is, and as little inclined to reconnect. Statements given to execute() are prepared once and
// kept by their text, so there may be only as many of them as there are tables and shapes of changes.
//
// Errors: as a Session's: SqlError, base::Error "unreachable", "server-lost", "in-doubt" (commit()).
// Threads: one at a time; only cancel() may be called from another one.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pg/session.hpp"
#include "sql/builder.hpp"

namespace pgcarve::pg {

// A text[] in the binary form of the protocol (src/backend/utils/adt/arrayfuncs.c, array_recv): one column of many rows,
// with nothing to quote and nothing to parse.
class TextArray {
public:
    TextArray() { clear(); }
    void clear();
    void add(std::string_view value);
    void add_null();
    [[nodiscard]] int size() const noexcept { return size_; }
    [[nodiscard]] std::size_t bytes() const noexcept { return buffer_.size(); }

private:
    friend class Bulk;
    [[nodiscard]] std::string_view finish();
    std::string buffer_;
    int size_ = 0;
};

class Bulk {
public:
    explicit Bulk(SessionSettings const& settings);
    Bulk(Bulk&&) noexcept;
    Bulk& operator=(Bulk&&) noexcept;
    ~Bulk();

    // One statement, or several separated by ;, without values.
    void run(std::string const& statement);
    // One statement with its values; the first column of its first row, nullopt when there is none or it is NULL.
    std::optional<std::string> value(sql::Sql const& sql);
    // Returns the rows affected. Every parameter of `statement` is a text[].
    long long execute(std::string const& statement, std::span<TextArray> columns);

    void begin(Isolation isolation = Isolation::read_committed, Access access = Access::read_write);
    void commit();
    void rollback();
    [[nodiscard]] bool in_transaction() const;

    // Runs COPY … TO STDOUT and hands over each piece as it comes; a piece ends between rows. What `take` throws
    // breaks the COPY off.
    void copy_out(std::string const& statement, std::function<void(std::string_view)> const& take);

    // COPY … FROM STDIN; feed() any cuts, finish() returns the rows. Small pieces are gathered: the server pays for each
    // message. What it refuses may so come out of a later call. Destroyed unfinished, the COPY fails.
    class CopyIn {
    public:
        CopyIn(Bulk& bulk, std::string const& statement);
        CopyIn(CopyIn const&) = delete;
        CopyIn& operator=(CopyIn const&) = delete;
        ~CopyIn();
        void feed(std::string_view bytes);
        long long finish();

    private:
        void send(std::string_view bytes);
        Bulk& bulk_;
        std::string statement_;
        std::string pending_;
        bool open_ = true;
    };

    [[nodiscard]] int server_version() const;
    [[nodiscard]] bool alive() const noexcept;
    void cancel() noexcept;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace pgcarve::pg
