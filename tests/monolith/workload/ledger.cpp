#include "ledger.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <system_error>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

namespace monolith {

LedgerWriter::LedgerWriter(std::string const& path)
    : fd_{::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)} {
    if (fd_ < 0) {
        throw std::system_error{errno, std::generic_category(), path};
    }
}

LedgerWriter::~LedgerWriter() {
    ::close(fd_);
}

void LedgerWriter::append(std::string const& line) {
    auto const written = ::write(fd_, line.data(), line.size());
    if (written != static_cast<ssize_t>(line.size())) {
        throw std::system_error{errno, std::generic_category(), "cannot append to the ledger"};
    }
}

void LedgerWriter::header(int tenant, std::string_view total) {
    append(fmt::format("H\t{}\t{}\n", tenant, total));
}

void LedgerWriter::intent(TransactionId id, std::string_view kind, std::vector<Write> const& writes) {
    auto line = fmt::format("I\t{}\t{}\t{}\t{}", id.tenant, id.client, id.number, kind);
    for (auto const& w : writes) {
        if (w.key.find_first_of("\t\n") != std::string::npos) {
            throw std::logic_error{"a key with a tab or a line end cannot be recorded"};
        }
        fmt::format_to(std::back_inserter(line), "\t{}\t{}\t{}{}\t", spec(w.table).name, w.key, w.rank_kind,
                       w.rank);
        line += w.content == 0 ? std::string{"-"} : fmt::format("{:016x}", w.content);
    }
    line += '\n';
    append(line);
}

void LedgerWriter::acknowledged(TransactionId id) {
    append(fmt::format("A\t{}\t{}\t{}\n", id.tenant, id.client, id.number));
}

void LedgerWriter::refused(TransactionId id) {
    append(fmt::format("R\t{}\t{}\t{}\n", id.tenant, id.client, id.number));
}

namespace {

template <class Number>
Number number(std::string_view text, int base = 10) {
    Number n{};
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), n, base);
    if (error != std::errc{} || end != text.data() + text.size()) {
        throw std::runtime_error{fmt::format("not a number: {}", text)};
    }
    return n;
}

void split(std::string_view line, std::vector<std::string_view>& fields) {
    fields.clear();
    for (;;) {
        auto const tab = line.find('\t');
        fields.push_back(line.substr(0, tab));
        if (tab == std::string_view::npos) {
            return;
        }
        line.remove_prefix(tab + 1);
    }
}

// Calls visit(fields) for every whole line.
void for_each_line(std::string const& path,
                   std::function<void(std::vector<std::string_view> const&)> const& visit) {
    std::ifstream in{path};
    if (!in) {
        throw std::system_error{errno, std::generic_category(), path};
    }
    std::string line;
    std::vector<std::string_view> fields;
    for (int n = 1; std::getline(in, line); ++n) {
        if (in.eof()) {
            return; // no line end: cut short by a kill, so what it announces was never sent
        }
        split(line, fields);
        try {
            visit(fields);
        } catch (std::exception const& e) {
            throw std::runtime_error{fmt::format("{}:{}: {}", path, n, e.what())};
        }
    }
}

struct Reader {
    Ledger ledger;
    std::unordered_map<std::string, std::uint32_t> open; // "tenant client n"
    std::vector<std::unordered_set<std::string>> foreign =
        std::vector<std::unordered_set<std::string>>(all_tables().size());

    static std::string id(std::vector<std::string_view> const& f) {
        if (f.size() < 4) {
            throw std::runtime_error{"too few fields"};
        }
        return fmt::format("{} {} {}", f[1], f[2], f[3]);
    }

    void line(std::vector<std::string_view> const& f) {
        if (f[0] == "H" && f.size() == 3) {
            ledger.runs.push_back({number<int>(f[1]), std::string{f[2]}});
        } else if (f[0] == "I" && f.size() >= 5 && f.size() % 4 == 1) {
            intent(f);
        } else if (f[0] == "A" || f[0] == "R") {
            auto const at = open.find(id(f));
            if (at == open.end()) {
                throw std::runtime_error{"the outcome of a transaction that was not announced"};
            }
            ledger.fates[at->second] = f[0] == "A" ? Fate::acknowledged : Fate::refused;
            open.erase(at);
        } else {
            throw std::runtime_error{"not a line of a ledger"};
        }
    }

    void intent(std::vector<std::string_view> const& f) {
        auto const transaction = static_cast<std::uint32_t>(ledger.fates.size());
        if (!open.emplace(id(f), transaction).second) {
            throw std::runtime_error{"a transaction announced twice"};
        }
        ledger.fates.push_back(Fate::in_doubt);
        for (std::size_t i = 5; i < f.size(); i += 4) {
            auto const* table = find_spec(f[i]);
            if (table == nullptr || f[i + 2].size() < 2) {
                throw std::runtime_error{fmt::format("unknown table or rank: {} {}", f[i], f[i + 2])};
            }
            char const kind = f[i + 2][0];
            ledger.records.push_back(
                {hash_text(f[i + 1]), f[i + 3] == "-" ? 0 : number<std::uint64_t>(f[i + 3], 16),
                 number<std::int64_t>(f[i + 2].substr(1)), transaction, table->id, kind});
            if (kind != 's') {
                auto const first = f[i + 1].substr(0, f[i + 1].find('/'));
                foreign[static_cast<std::size_t>(table->id)].emplace(first);
            }
        }
    }
};

} // namespace

Ledger read_ledgers(std::vector<std::string> const& paths) {
    Reader reader;
    for (auto const& path : paths) {
        for_each_line(path, [&reader](auto const& fields) { reader.line(fields); });
    }
    auto& ledger = reader.ledger;
    for (auto const fate : ledger.fates) {
        ledger.acknowledged += fate == Fate::acknowledged ? 1U : 0U;
        ledger.in_doubt += fate == Fate::in_doubt ? 1U : 0U;
    }
    auto& records = ledger.records;
    records.erase(
        std::remove_if(records.begin(), records.end(),
                       [&](Record const& r) { return ledger.fates[r.transaction] == Fate::refused; }),
        records.end());
    std::sort(records.begin(), records.end(), [](Record const& a, Record const& b) {
        return std::tie(a.table, a.key, a.rank, a.transaction) <
               std::tie(b.table, b.key, b.rank, b.transaction);
    });
    for (auto& keys : reader.foreign) {
        ledger.foreign_keys.emplace_back(keys.begin(), keys.end());
    }
    return std::move(ledger);
}

std::vector<std::string> find_keys(std::vector<std::string> const& paths, Table table,
                                   std::vector<std::uint64_t> const& hashes) {
    std::vector<std::string> found(hashes.size());
    auto const& name = spec(table).name;
    for (auto const& path : paths) {
        for_each_line(path, [&](std::vector<std::string_view> const& f) {
            for (std::size_t i = 5; f[0] == "I" && i + 1 < f.size(); i += 4) {
                auto const at = f[i] == name ? std::find(hashes.begin(), hashes.end(), hash_text(f[i + 1]))
                                             : hashes.end();
                if (at != hashes.end()) {
                    found[static_cast<std::size_t>(at - hashes.begin())] = f[i + 1];
                }
            }
        });
    }
    return found;
}

} // namespace monolith
