// What a running sync may take of the source. No part of the boundary map: it says how fast, not what belongs to whom.
#pragma once

namespace pgcarve::model {

struct SyncLimits {
    int workers = 2;                // connections that copy at the same time
    long long max_retained_wal = 0; // bytes of log that the source may keep for the slot; 0: no limit of ours
    long long max_touched = 1LL << 30U; // bytes of pgcarve.touched that a stream may have at its target; 0: no limit
    bool drop_at_wal_limit = false; // above it the slot goes, the target has to be healed then; false: only copying waits
};

} // namespace pgcarve::model
