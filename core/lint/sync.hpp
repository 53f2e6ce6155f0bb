// The tables of a change set that are being synced, and what is to be done instead of changing them at one side.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/sync_state.hpp"

namespace pgcarve::lint {

enum class Side { source, target };

struct Synced {
    model::SyncedTable const* pair = nullptr;
    Side side = Side::source;
    [[nodiscard]] bool source() const { return side == Side::source; }
    [[nodiscard]] bool stream() const { return pair->by == model::KeptBy::stream; }
    [[nodiscard]] model::SyncedSide const& here() const { return source() ? pair->source : pair->target; }
    [[nodiscard]] model::SyncedSide const& there() const { return source() ? pair->target : pair->source; }
    [[nodiscard]] bool in_key(std::string const& column) const; // also when the key is not known
    // "the source of service checkout's stream to checkout.orders"
    [[nodiscard]] std::string text() const;
};

class SyncView {
public:
    // `database`: which one the files are for. REQUIRES that the state outlives it.
    SyncView(model::SyncState const& state, std::string database)
        : state_{state}
        , database_{std::move(database)} {}

    [[nodiscard]] std::vector<Synced> find(sql::QName const& table) const;
    // All tables of this database.
    [[nodiscard]] std::vector<Synced> all() const;

private:
    model::SyncState const& state_;
    std::string database_;
};

// The ordered recipe: the same change first at the target (`change` as it stands behind ALTER TABLE name), then here.
[[nodiscard]] std::string target_first(Synced const& synced, std::string_view change);
// What has to be run once both sides have changed.
[[nodiscard]] std::string afterwards(Synced const& synced);

// What `pgcarve status --format json` printed. Throws base::Error "sync-state" (exit 2) saying what is wrong with it.
[[nodiscard]] model::SyncState parse_sync_state(std::string const& json);

} // namespace pgcarve::lint
