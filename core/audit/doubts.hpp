// Rows of which the stream alone does not say whether both sides are equal, and the snapshots that do.
//
// A snapshot from before the transaction shows what the transaction left untouched, as long as the ledger knows every write
// since; two snapshots are kept for that, the older one some seconds old. Where there is none (the audit is behind), one from
// after the transaction does, unless the row was written again in between: that is known once the stream has come as far as the
// snapshot.
//
// Errors: those of Look. Threads: one.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "audit/judge.hpp"
#include "audit/look.hpp"

namespace pgcarve::audit {

// A transaction that is being judged.
struct Judged {
    Ledger::Number number = 0;
    wire::TransactionId xid;
    base::Lsn commit;
    base::Lsn end;
    wire::Timestamp time;
    std::size_t open = 0; // rows in doubt
    struct Row {
        RowId id;
        Judgement judgement;
        std::vector<bool> written;
    };
    std::vector<Row> different; // the first of them
    std::int64_t rows = 0;      // that differ
    bool truncated = false;
    std::vector<std::pair<std::uint32_t, Side>> emptied; // only this side of the table was
    std::vector<std::pair<RowId, std::vector<bool>>> equal; // rows, as far as somebody may ask
    std::int64_t undecided = 0;
};

class Doubts {
public:
    using Decide = std::function<void(Judged&, RowId const&, Judgement const&, std::vector<bool> const&)>;
    using Undecided = std::function<void(Judged&, RowId const&)>;

    Doubts(pg::SessionSettings const& shared, Plan const& plan, Ledger& ledger, Decide decide, Undecided undecided);

    // A transaction wrote these rows: who waits for a later look at them has to know.
    void written(Net const& net, wire::TransactionId xid);
    // All of a transaction that the ledger has taken, after written().
    void taken(wire::TransactionId xid, Ledger::Number number);
    void add(std::shared_ptr<Judged> const& transaction, RowId id, RowState state, std::vector<bool> written);

    // Decides what can be decided. `processed`: every transaction that committed before it has been taken.
    void resolve(base::Lsn processed);
    // Takes a new snapshot in place of the oldest, when the newest is older than `age`, or the ledger has grown by `growth`.
    void renew(base::Millis age, std::size_t growth);
    // A snapshot that sees the transaction; nullptr when there is none within `patience`.
    [[nodiscard]] Look* after(wire::TransactionId xid, base::Millis patience);

    [[nodiscard]] std::size_t size() const noexcept { return soon_.size() + later_.size(); }
    [[nodiscard]] bool waiting() const noexcept { return !later_.empty(); }

private:
    struct Doubt {
        std::shared_ptr<Judged> transaction;
        RowId id;
        RowState state;
        std::vector<bool> written;
        Look* before = nullptr;
        // of those that wait for a later look
        std::vector<wire::TransactionId> writers; // that wrote the row since
        std::optional<sync::Snapshot> seen;       // the snapshot that was looked at
        base::Lsn decide_at{};
        int looks = 0;
    };
    using List = std::vector<std::unique_ptr<Doubt>>;

    [[nodiscard]] Look* before(base::Lsn commit);
    void renew_now();
    // Looks the rows of `doubts` up; gives back those which the snapshot cannot show any more.
    List look_up(Look& look, List doubts);
    void fill(Doubt& doubt, Side side, Shown const& shown);
    void finish(Doubt& doubt);
    void watch(std::unique_ptr<Doubt> doubt);
    void look_later();

    pg::SessionSettings shared_;
    Plan const& plan_;
    Ledger& ledger_;
    Decide decide_;
    Undecided undecided_;
    std::deque<std::unique_ptr<Look>> looks_; // oldest first
    std::deque<std::pair<wire::TransactionId, Ledger::Number>> unseen_; // taken, and not seen by the newest look
    Ledger::Number taken_ = 0;
    std::size_t ledger_bytes_ = 0; // at the last renewal
    List soon_;
    List later_;
    std::unordered_multimap<RowId, Doubt*, RowIdHash> watched_;
};

} // namespace pgcarve::audit
