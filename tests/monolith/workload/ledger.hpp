// The ledger: what the workload knows about its own writes, in lines of tab-separated text.
//
//   H tenant total               a run begins: its tenant, and the money that its accounts hold together
//   I tenant client n kind  (table key rank hash|-)*     about to commit these rows (- : deleted)
//   A tenant client n            the commit was acknowledged
//   R tenant client n            the commit was refused: nothing of it may be there
//
// An I that neither A nor R follows is in doubt (connection lost, or this process killed): both
// outcomes are accepted. The intent is written before COMMIT is sent, so that no commit can be
// missing from the ledger, whoever dies.
//
// A rank orders the writes of one key: sN by the client's own counter (only this client writes the
// key), vN by the row's version column (everybody may; consecutive, so a lost update shows), wN by
// the version of the parent row that was locked (order only).
//
// Threads: append() may be called by several; a line is one write(2) to a file opened O_APPEND.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tables.hpp"

namespace monolith {

struct Write {
    Table table;
    std::string key; // values joined with /
    char rank_kind;  // s, v or w
    std::int64_t rank;
    std::uint64_t content; // hash; 0: deleted
};

struct TransactionId {
    int tenant = 0;
    int client = 0;
    std::int64_t number = 0;
};

class LedgerWriter {
public:
    explicit LedgerWriter(std::string const& path); // appends; throws std::system_error
    ~LedgerWriter();
    LedgerWriter(LedgerWriter const&) = delete;
    LedgerWriter& operator=(LedgerWriter const&) = delete;

    void header(int tenant, std::string_view total);
    void intent(TransactionId id, std::string_view kind, std::vector<Write> const& writes);
    void acknowledged(TransactionId id);
    void refused(TransactionId id);

private:
    void append(std::string const& line);

    int fd_;
};

enum class Fate : std::uint8_t { in_doubt, acknowledged, refused };

// One recorded write, small: a ledger of millions of them is held in memory.
struct Record {
    std::uint64_t key;     // hash_text of the key
    std::uint64_t content; // 0: deleted
    std::int64_t rank;
    std::uint32_t transaction; // index into Ledger::fates
    Table table;
    char rank_kind;
};

struct Run {
    int tenant;
    std::string total;
};

struct Ledger {
    std::vector<Run> runs;
    std::vector<Record> records; // of transactions that were not refused; by table, key, rank
    std::vector<Fate> fates;
    std::uint64_t acknowledged = 0;
    std::uint64_t in_doubt = 0;
    // First key columns of rows which belong to no run (table by table, unique): seeded rows that were
    // touched.
    std::vector<std::vector<std::string>> foreign_keys;
};

// Reads files that a LedgerWriter wrote. A last line that a kill cut short is ignored; anything else that
// is not understood throws std::runtime_error with file and line.
[[nodiscard]] Ledger read_ledgers(std::vector<std::string> const& paths);

// The key texts behind hashes, by a second reading: only findings need them.
[[nodiscard]] std::vector<std::string> find_keys(std::vector<std::string> const& paths, Table table,
                                                 std::vector<std::uint64_t> const& hashes);

} // namespace monolith
