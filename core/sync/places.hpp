// Where keys are among the ranges of a table, for keys that only the source can compare: texts in their collation, numbers
// with decimals, times. It is asked for all keys of a batch at once.
//
// Threads: one at a time.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "pg/session.hpp"
#include "sync/batch.hpp"
#include "sync/mapping.hpp"

namespace pgcarve::sync {

class Places {
public:
    // nullopt: the source has no index in the order of the key's first column, so that each range would cost a sort of the
    // table; or the column is of another type there than at the target.
    [[nodiscard]] static std::optional<Places> of(pg::Session& source, MappedTable const& table);

    // For the keys of these changes of table `number`; `bounds`: the upper ends of its ranges, ascending.
    void look(pg::Session& source, std::uint32_t number, std::vector<Change> const& changes, std::vector<std::string> const& bounds);
    // How many of the bounds are below the key, which was in the changes looked at last.
    [[nodiscard]] std::size_t at(std::string_view key) const;

private:
    Places(std::size_t column, std::string type, std::optional<std::string> collation)
        : column_{column}, type_{std::move(type)}, collation_{std::move(collation)} {}

    std::size_t column_; // in the table's rows
    std::string type_;
    std::optional<std::string> collation_; // quoted; nullopt: the type has none
    std::unordered_map<std::string, std::size_t> places_;
};

} // namespace pgcarve::sync
