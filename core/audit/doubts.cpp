#include "audit/doubts.hpp"

#include <algorithm>
#include <map>
#include <thread>
#include <unordered_set>

#include "base/error.hpp"

namespace pgcarve::audit {

namespace {

using Clock = std::chrono::steady_clock;
constexpr int most_looks = 5;
constexpr std::size_t keys_at_once = 500;
constexpr base::Millis look_again{100};

} // namespace

Doubts::Doubts(pg::SessionSettings const& shared, Plan const& plan, Ledger& ledger, Decide decide, Undecided undecided)
    : shared_{shared}
    , plan_{plan}
    , ledger_{ledger}
    , decide_{std::move(decide)}
    , undecided_{std::move(undecided)} {
    renew_now();
}

void Doubts::renew_now() {
    if (looks_.size() < 2) {
        looks_.push_back(std::make_unique<Look>(shared_));
    } else {
        auto oldest = std::move(looks_.front());
        looks_.pop_front();
        oldest->renew();
        looks_.push_back(std::move(oldest));
    }
    auto& newest = *looks_.back();
    // A commit is in the log, and so in the stream, before snapshots see it; with synchronous replication long before.
    std::erase_if(unseen_, [&](auto const& one) { return newest.snapshot().sees(one.first); });
    newest.hidden_from = taken_ + 1;
    for (auto const& [xid, number] : unseen_)
        newest.hidden_from = std::min(newest.hidden_from, number);
    ledger_bytes_ = ledger_.bytes();
}

void Doubts::renew(base::Millis age, std::size_t growth) {
    if (Clock::now() - looks_.back()->taken() < age && ledger_.bytes() < ledger_bytes_ + growth)
        return;
    if (!soon_.empty()) // they may need the snapshot that goes
        return;
    renew_now();
    if (ledger_.bytes() > 2 * growth) {
        auto needed = looks_.front()->hidden_from;
        for (auto const& look : looks_)
            needed = std::min(needed, look->hidden_from);
        ledger_.release(needed - 1);
        ledger_bytes_ = ledger_.bytes();
    }
}

// What the snapshot sees was committed before its position, and so before the transaction; what it does not see the ledger knows.
Look* Doubts::before(base::Lsn commit) {
    for (auto at = looks_.rbegin(); at != looks_.rend(); ++at) {
        auto& look = **at;
        if (look.position() <= commit && ledger_.floor() < look.hidden_from)
            return &look;
    }
    return nullptr;
}

Look* Doubts::after(wire::TransactionId xid, base::Millis patience) {
    for (auto const deadline = Clock::now() + patience;;) {
        if (looks_.back()->snapshot().sees(xid))
            return looks_.back().get();
        if (Clock::now() >= deadline)
            return nullptr;
        if (!soon_.empty())
            return nullptr;
        renew_now();
        if (!looks_.back()->snapshot().sees(xid))
            std::this_thread::sleep_for(std::min(patience, look_again));
    }
}

void Doubts::written(Net const& net, wire::TransactionId xid) {
    if (watched_.empty())
        return;
    // Values that are wanted and were left alone (large ones, not sent) can still be looked at.
    auto const tell = [&](Doubt& doubt, Side side, SideState const* now) {
        if (!judge(doubt.state, doubt.written).wanted[index(side)])
            return;
        auto const& wanted = doubt.state.of(side);
        bool left_alone = now != nullptr && now->presence == Presence::present && wanted.presence == Presence::present;
        for (std::size_t i = 0; left_alone && i < wanted.columns.size(); ++i)
            left_alone = !doubt.written[i] || wanted.columns[i] != unknown_value || now->columns[i] == unknown_value;
        if (!left_alone)
            doubt.writers.push_back(xid);
    };
    for (auto const& [table, truncated] : net.truncations()) {
        for (auto& [id, doubt] : watched_) {
            for (auto const side : both) {
                if (id.table == table && truncated[index(side)].any())
                    tell(*doubt, side, nullptr);
            }
        }
    }
    for (auto const& [id, state] : net.rows()) {
        auto const [from, to] = watched_.equal_range(id);
        for (auto at = from; at != to; ++at) {
            for (auto const side : both) {
                if (state.of(side).presence != Presence::unknown)
                    tell(*at->second, side, &state.of(side));
            }
        }
    }
}

void Doubts::taken(wire::TransactionId xid, Ledger::Number number) {
    taken_ = number;
    if (!looks_.back()->snapshot().sees(xid))
        unseen_.emplace_back(xid, number);
}

void Doubts::add(std::shared_ptr<Judged> const& transaction, RowId id, RowState state, std::vector<bool> written) {
    auto doubt = std::make_unique<Doubt>();
    doubt->transaction = transaction;
    doubt->id = std::move(id);
    doubt->state = std::move(state);
    doubt->written = std::move(written);
    ++transaction->open;
    auto const judgement = judge(doubt->state, doubt->written);
    bool only_later = false;
    for (auto const side : both)
        only_later = only_later || (judgement.wanted[index(side)] && doubt->state.of(side).only_later);
    doubt->before = only_later ? nullptr : before(transaction->commit);
    if (doubt->before != nullptr)
        soon_.push_back(std::move(doubt));
    else
        watch(std::move(doubt));
}

void Doubts::watch(std::unique_ptr<Doubt> doubt) {
    doubt->before = nullptr;
    watched_.emplace(doubt->id, doubt.get());
    later_.push_back(std::move(doubt));
}

void Doubts::finish(Doubt& doubt) {
    --doubt.transaction->open;
    auto const judgement = judge(doubt.state, doubt.written);
    if (judgement.outcome == Outcome::open) {
        undecided_(*doubt.transaction, doubt.id);
        return;
    }
    for (auto const side : both)
        ledger_.learn(doubt.id, side, doubt.state.of(side), doubt.transaction->number);
    decide_(*doubt.transaction, doubt.id, judgement, doubt.written);
}

void Doubts::fill(Doubt& doubt, Side side, Shown const& shown) {
    auto& state = doubt.state.of(side);
    // A later look shows the row under the key that it has; an earlier one under the key that it had.
    bool const later = doubt.before == nullptr;
    auto const at = shown.find(later || state.origin.empty() ? doubt.id.key : state.origin);
    if (state.presence == Presence::unknown) {
        state = at == shown.end() ? SideState{Presence::absent, {}, {}, false} : SideState{Presence::present, at->second, {}, false};
    } else if (at != shown.end()) {
        for (std::size_t i = 0; i < state.columns.size(); ++i) {
            if (state.columns[i] == unknown_value)
                state.columns[i] = at->second[i];
        }
        if (std::ranges::find(state.columns, unknown_value) == state.columns.end())
            state.origin.clear();
    }
}

Doubts::List Doubts::look_up(Look& look, List doubts) {
    List vain;
    std::map<std::pair<std::uint32_t, Side>, std::vector<Doubt*>> questions;
    for (auto const& doubt : doubts) {
        auto const judgement = judge(doubt->state, doubt->written);
        for (auto const side : both) {
            if (judgement.wanted[index(side)])
                questions[{doubt->id.table, side}].push_back(doubt.get());
        }
    }
    std::unordered_set<Doubt const*> unanswered;
    for (auto const& [about, asked] : questions) {
        auto const& table = plan_.tables[about.first];
        for (std::size_t from = 0; from < asked.size(); from += keys_at_once) {
            auto const to = std::min(from + keys_at_once, asked.size());
            std::vector<Key> keys;
            std::vector<bool> columns(table.columns.size(), false);
            for (auto i = from; i < to; ++i) {
                auto const& state = asked[i]->state.of(about.second);
                keys.push_back(asked[i]->before == nullptr || state.origin.empty() ? asked[i]->id.key : state.origin);
                for (std::size_t c = 0; c < columns.size(); ++c)
                    columns[c] = columns[c] || asked[i]->written[c];
            }
            std::ranges::sort(keys);
            keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
            auto const shown = look.rows(table, about.second, keys, columns);
            for (auto i = from; i < to; ++i) {
                if (shown)
                    fill(*asked[i], about.second, *shown);
                else
                    unanswered.insert(asked[i]);
            }
        }
    }
    for (auto& doubt : doubts) {
        if (unanswered.contains(doubt.get()))
            vain.push_back(std::move(doubt));
        else if (doubt->before != nullptr)
            finish(*doubt);
        else
            later_.push_back(std::move(doubt)); // until the stream has come as far
    }
    return vain;
}

void Doubts::resolve(base::Lsn processed) {
    std::map<Look*, List> by_look;
    for (auto& doubt : std::exchange(soon_, {}))
        by_look[doubt->before].push_back(std::move(doubt));
    for (auto& [look, doubts] : by_look) {
        for (auto& doubt : look_up(*look, std::move(doubts)))
            watch(std::move(doubt));
    }
    look_later();
    List waiting;
    for (auto& doubt : std::exchange(later_, {})) {
        if (!doubt->seen || doubt->decide_at > processed) {
            waiting.push_back(std::move(doubt));
            continue;
        }
        auto const [from, to] = watched_.equal_range(doubt->id);
        watched_.erase(std::find_if(from, to, [&](auto const& one) { return one.second == doubt.get(); }));
        bool const overwritten = std::ranges::any_of(doubt->writers, [&](wire::TransactionId xid) { return doubt->seen->sees(xid); });
        if (overwritten) {
            --doubt->transaction->open;
            undecided_(*doubt->transaction, doubt->id);
        } else {
            finish(*doubt);
        }
    }
    later_ = std::move(waiting);
}

void Doubts::look_later() {
    List asked;
    List others;
    bool renewed = false;
    for (auto& doubt : std::exchange(later_, {})) {
        if (doubt->seen) {
            others.push_back(std::move(doubt));
            continue;
        }
        auto const xid = doubt->transaction->xid;
        // A second look is for a table that was changed after the snapshot was taken.
        bool const fresh = looks_.back()->snapshot().sees(xid) && (doubt->looks == 0 || renewed);
        if (!fresh && !renewed && Clock::now() - looks_.back()->taken() >= look_again) {
            renew_now();
            renewed = true;
        }
        if (looks_.back()->snapshot().sees(xid) && (doubt->looks == 0 || renewed)) {
            ++doubt->looks;
            doubt->seen = looks_.back()->snapshot();
            doubt->decide_at = looks_.back()->position();
            asked.push_back(std::move(doubt));
        } else {
            others.push_back(std::move(doubt));
        }
    }
    later_ = std::move(others);
    if (asked.empty())
        return;
    for (auto& doubt : look_up(*looks_.back(), std::move(asked))) {
        doubt->seen.reset();
        if (doubt->looks >= most_looks) {
            doubt->seen = looks_.back()->snapshot(); // it stays open, and so undecided
            doubt->decide_at = {};
        }
        later_.push_back(std::move(doubt));
    }
}

} // namespace pgcarve::audit
