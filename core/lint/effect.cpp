// Which locks a statement takes on tables that exist, and whether it holds them for long. As in
// PostgreSQL's manual ("Explicit Locking" and the pages of the statements); the tests ask a server.
#include "lint/state.hpp"

namespace pgcarve::lint {

namespace {

class Judge {
public:
    Judge(Action const& action, State const& state)
        : action_{action}
        , state_{state} {}

    Effect run() {
        switch (action_.verb) {
        case Verb::create:
            create();
            break;
        case Verb::drop:
            drop();
            break;
        case Verb::rename:
        case Verb::set_schema:
            if (action_.object == Object::table || action_.object == Object::column ||
                action_.object == Object::constraint || action_.object == Object::trigger ||
                action_.object == Object::policy || action_.object == Object::materialized_view)
                lock(action_.on, Lock::access_exclusive);
            else if (action_.object == Object::index)
                lock_indexed(Lock::share_update_exclusive);
            break;
        case Verb::truncate:
            lock(action_.on, Lock::access_exclusive);
            break;
        case Verb::lock:
            for (int mode = 0; mode <= static_cast<int>(Lock::access_exclusive); ++mode) {
                if (!action_.words.empty() && action_.words[0] == text(static_cast<Lock>(mode)))
                    lock(action_.on, static_cast<Lock>(mode));
            }
            break;
        case Verb::vacuum:
            lock(action_.on, action_.full ? Lock::access_exclusive : Lock::share_update_exclusive);
            effect_.rewrites = action_.full && exists(action_.on);
            break;
        case Verb::cluster:
            lock(action_.on, Lock::access_exclusive);
            effect_.rewrites = exists(action_.on);
            break;
        case Verb::reindex:
            if (action_.object == Object::index)
                lock_indexed(action_.concurrently ? Lock::share_update_exclusive : Lock::share);
            else
                lock(action_.on, action_.concurrently ? Lock::share_update_exclusive : Lock::share);
            effect_.builds = exists(action_.on);
            break;
        case Verb::refresh:
            lock(action_.on, action_.concurrently ? Lock::exclusive : Lock::access_exclusive);
            effect_.rewrites = exists(action_.on);
            break;
        case Verb::comment:
            if (action_.object == Object::table || action_.object == Object::column)
                lock(action_.on, Lock::share_update_exclusive);
            break;
        case Verb::insert:
        case Verb::update:
        case Verb::remove:
        case Verb::merge:
        case Verb::copy:
            lock(action_.on, Lock::row_exclusive);
            break;
        case Verb::alter_other:
            if (action_.object == Object::policy) {
                lock(action_.on, Lock::access_exclusive);
                break;
            }
            [[fallthrough]];
        default:
            if (action_.object == Object::table || action_.object == Object::materialized_view)
                alter();
            break;
        }
        return std::move(effect_);
    }

private:
    [[nodiscard]] bool exists(sql::QName const& name) const { return !state_.is_new(name); }

    void lock(sql::QName const& name, Lock mode) {
        if (!name.name.empty() && exists(name))
            effect_.locks.push_back({state_.resolve(name), mode});
    }

    // The table of an index that the statement names without its table.
    void lock_indexed(Lock mode) {
        auto const* const known = state_.index(action_.other);
        if (known == nullptr)
            effect_.locks.push_back({{}, mode});
        else
            lock(known->table, mode);
    }

    void create() {
        switch (action_.object) {
        case Object::table:
            for (auto const& key : action_.foreign_keys)
                lock(key.parent, Lock::share_row_exclusive);
            if (action_.partition) {
                for (auto const& parent : action_.parents)
                    lock(parent, Lock::access_exclusive);
            }
            break;
        case Object::index:
            if (action_.only && state_.is_partitioned(action_.on)) {
                lock(action_.on, Lock::share);
                break;
            }
            lock(action_.on, action_.concurrently ? Lock::share_update_exclusive : Lock::share);
            effect_.builds = exists(action_.on);
            break;
        case Object::trigger:
            lock(action_.on, Lock::share_row_exclusive);
            break;
        case Object::policy:
        case Object::rule:
            lock(action_.on, Lock::access_exclusive);
            break;
        default:
            break;
        }
    }

    void drop() {
        switch (action_.object) {
        case Object::table:
        case Object::materialized_view:
        case Object::trigger:
        case Object::policy:
        case Object::rule:
            lock(action_.on, Lock::access_exclusive);
            break;
        case Object::index:
            lock_indexed(action_.concurrently ? Lock::share_update_exclusive : Lock::access_exclusive);
            break;
        default:
            break;
        }
    }

    void add_column() {
        lock(action_.on, Lock::access_exclusive);
        for (auto const& column : action_.definitions) {
            bool const defaulted = column.default_value != Volatility::none && !column.default_null;
            bool const rewrites = column.generated || column.identity || column.serial ||
                                  column.default_value >= Volatility::unknown ||
                                  state_.constrained_domain(column.type.name);
            effect_.rewrites = effect_.rewrites || (rewrites && exists(action_.on));
            effect_.scans = effect_.scans || (column.check && exists(action_.on));
            effect_.builds = effect_.builds || ((column.unique || column.primary) && exists(action_.on));
            if (column.foreign_key) {
                lock(column.foreign_key->parent, Lock::share_row_exclusive);
                effect_.scans = effect_.scans || (defaulted && exists(action_.on));
            }
        }
    }

    void add_constraint() {
        bool const old = exists(action_.on);
        switch (action_.constraint) {
        case ConstraintKind::foreign_key:
            lock(action_.on, Lock::share_row_exclusive);
            lock(action_.other, Lock::share_row_exclusive);
            effect_.scans = old && action_.validates;
            break;
        case ConstraintKind::check:
        case ConstraintKind::not_null:
            lock(action_.on, Lock::access_exclusive);
            effect_.scans = old && action_.validates;
            break;
        default:
            lock(action_.on, Lock::access_exclusive);
            effect_.builds = old && !action_.uses_index;
            break;
        }
    }

    void alter() {
        switch (action_.verb) {
        case Verb::add_column:
            add_column();
            break;
        case Verb::add_constraint:
            add_constraint();
            break;
        case Verb::validate_constraint:
            lock(action_.on, Lock::share_update_exclusive);
            effect_.scans = exists(action_.on);
            break;
        case Verb::set_not_null:
            lock(action_.on, Lock::access_exclusive);
            effect_.scans =
                exists(action_.on) && state_.not_null(action_.on, action_.columns[0]) == State::Proof::no;
            break;
        case Verb::alter_type: {
            lock(action_.on, Lock::access_exclusive);
            auto const* const column = state_.column(action_.on, action_.columns[0]);
            auto const change =
                judge_type_change(column != nullptr ? column->type : std::nullopt, action_.type);
            effect_.rewrites = exists(action_.on) && (action_.converts || change == TypeChange::rewrites ||
                                                      change == TypeChange::unknown ||
                                                      (change == TypeChange::unless_utc && !state_.utc));
            effect_.builds = exists(action_.on) && (effect_.rewrites || rebuilds_indexes(action_, state_));
            break;
        }
        case Verb::set_tablespace:
        case Verb::set_logged:
        case Verb::set_access_method:
            lock(action_.on, Lock::access_exclusive);
            effect_.rewrites = exists(action_.on);
            break;
        case Verb::enable_trigger:
        case Verb::disable_trigger:
            lock(action_.on, Lock::share_row_exclusive);
            break;
        case Verb::alter_lightly:
            lock(action_.on, Lock::share_update_exclusive);
            break;
        case Verb::attach_partition:
            lock(action_.on, Lock::share_update_exclusive);
            lock(action_.other, Lock::access_exclusive);
            effect_.scans = exists(action_.other);
            break;
        case Verb::detach_partition:
            lock(action_.on, action_.concurrently ? Lock::share_update_exclusive : Lock::access_exclusive);
            lock(action_.other, action_.concurrently || state_.version < 14 ? Lock::share_update_exclusive : Lock::access_exclusive);
            break;
        case Verb::inherit:
            lock(action_.on, Lock::access_exclusive);
            lock(action_.other, Lock::share_update_exclusive);
            break;
        case Verb::drop_column:
        case Verb::set_default:
        case Verb::drop_default:
        case Verb::drop_not_null:
        case Verb::drop_constraint:
        case Verb::row_security:
        case Verb::alter_other:
            lock(action_.on, Lock::access_exclusive);
            break;
        default:
            break;
        }
    }

    Action const& action_;
    State const& state_;
    Effect effect_;
};

} // namespace

Effect effect_of(Action const& action, State const& state) {
    return Judge{action, state}.run();
}

} // namespace pgcarve::lint
