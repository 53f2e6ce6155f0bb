#include "lint/state.hpp"

#include <algorithm>

namespace pgcarve::lint {

char const* text(Lock lock) {
    switch (lock) {
    case Lock::none:
        return "";
    case Lock::access_share:
        return "ACCESS SHARE";
    case Lock::row_share:
        return "ROW SHARE";
    case Lock::row_exclusive:
        return "ROW EXCLUSIVE";
    case Lock::share_update_exclusive:
        return "SHARE UPDATE EXCLUSIVE";
    case Lock::share:
        return "SHARE";
    case Lock::share_row_exclusive:
        return "SHARE ROW EXCLUSIVE";
    case Lock::exclusive:
        return "EXCLUSIVE";
    case Lock::access_exclusive:
        return "ACCESS EXCLUSIVE";
    }
    return "";
}

Lock Effect::strongest() const {
    auto strongest = Lock::none;
    for (auto const& lock : locks)
        strongest = std::max(strongest, lock.mode);
    return strongest;
}

sql::QName State::resolve(sql::QName const& name) const {
    return name.schema.empty() ? sql::QName{schema_, name.name} : name;
}

TableState const* State::table(sql::QName const& name) const {
    auto const at = tables_.find(resolve(name));
    return at == tables_.end() ? nullptr : &at->second;
}

bool State::is_new(sql::QName const& name) const {
    auto const* const known = table(name);
    return known != nullptr && known->is_new;
}

ColumnState const* State::column(sql::QName const& name, std::string const& column) const {
    auto const* const known = table(name);
    if (known == nullptr)
        return nullptr;
    auto const at = known->columns.find(column);
    return at == known->columns.end() ? nullptr : &at->second;
}

IndexState const* State::index(sql::QName const& name) const {
    auto const at = indexes_.find(resolve(name));
    return at == indexes_.end() ? nullptr : &at->second;
}

namespace {

bool holds(std::vector<std::string> const& columns, std::string const& column) {
    return std::ranges::find(columns, column) != columns.end();
}

} // namespace

bool State::in_expression(sql::QName const& name, std::string const& column) const {
    auto const wanted = resolve(name);
    return std::ranges::any_of(indexes_, [&](auto const& entry) { return entry.second.table == wanted && holds(entry.second.mentions, column); });
}

bool State::is_indexed(sql::QName const& name, std::string const& column) const {
    auto const wanted = resolve(name);
    bool const by_index = std::ranges::any_of(indexes_, [&](auto const& entry) { return entry.second.table == wanted && holds(entry.second.columns, column); });
    if (by_index || in_expression(name, column))
        return true;
    auto const* const known = table(name);
    if (known == nullptr || (!known->complete && known->constraints.empty()))
        return true;
    return std::ranges::any_of(known->constraints, [&](auto const& entry) {
        auto const kind = entry.second.kind;
        return kind == ConstraintKind::exclusion || ((kind == ConstraintKind::primary_key || kind == ConstraintKind::unique) && holds(entry.second.columns, column));
    });
}

Action const* State::routine(sql::QName const& name) const {
    auto const at = routines_.find(resolve(name));
    return at == routines_.end() ? nullptr : &at->second;
}

bool State::is_partitioned(sql::QName const& name) const {
    auto const* const known = table(name);
    return known != nullptr && known->partitioned;
}

bool State::constrained_domain(sql::QName const& type) const {
    return constrained_domains_.contains(resolve(type));
}

bool State::is_new_type(sql::QName const& type) const {
    return new_types_.contains(resolve(type));
}

bool State::may_use(sql::QName const& name, sql::QName const& type) const {
    auto const* const known = table(name);
    if (known == nullptr || !known->complete)
        return true;
    return std::ranges::any_of(known->columns, [&](auto const& entry) {
        return !entry.second.type || entry.second.type->name.name == type.name;
    });
}

bool State::may_be_key(sql::QName const& name, std::string const& constraint) const {
    auto const* const known = table(name);
    if (known != nullptr) {
        auto const at = known->constraints.find(constraint);
        if (at != known->constraints.end() && at->second.kind != ConstraintKind::none)
            return at->second.kind == ConstraintKind::primary_key || at->second.kind == ConstraintKind::unique;
    }
    return constraint.ends_with("_pkey") || constraint.ends_with("_key");
}

bool State::has_let_go(sql::QName const& name, Action const& drop) const {
    auto const what = drop.verb == Verb::drop_constraint ? drop.name : drop.columns.empty() ? std::string{} : drop.columns[0];
    return let_go_.contains({resolve(name), what});
}

State::Proof State::not_null(sql::QName const& name, std::string const& wanted) const {
    auto const* const known = table(name);
    if (known == nullptr)
        return Proof::no;
    auto const* const found = column(name, wanted);
    if (found != nullptr && found->not_null)
        return Proof::yes;
    bool likely = false;
    for (auto const& [constraint_name, constraint] : known->constraints) {
        if (!constraint.validated)
            continue;
        if (std::ranges::find(constraint.proves_not_null, wanted) != constraint.proves_not_null.end())
            return Proof::yes;
        likely = likely || constraint.kind == ConstraintKind::none;
    }
    return likely ? Proof::likely : Proof::no;
}

void State::begin_file(bool wrapped) {
    end_transaction();
    schema_ = default_schema_;
    lock_timeout = statement_timeout = utc = path_set = triggers_off = false;
    outer_.reset();
    in_transaction = wrapped;
    if (wrapped)
        outer_ = Setting{};
}

void State::before(Statement const&) {
    if (!in_transaction)
        end_transaction();
}

void State::end_transaction() {
    in_transaction = false;
    ++transaction;
    held.clear();
    ddl_statements = 0;
    // What SET LOCAL set ends here.
    if (outer_) {
        if (locals_.contains("lock_timeout"))
            lock_timeout = outer_->lock_timeout;
        if (locals_.contains("statement_timeout"))
            statement_timeout = outer_->statement_timeout;
        if (locals_.contains("timezone"))
            utc = outer_->utc;
    }
    outer_.reset();
    locals_.clear();
}

void State::hold(Effect const& effect, Span by) {
    for (auto const& lock : effect.locks) {
        if (blocks_writes(lock.mode))
            held.push_back({lock.table, lock.mode, by});
    }
}

TableState& State::touch(sql::QName const& name) {
    return tables_[resolve(name)];
}

void State::set(Action const& action) {
    auto const value = action.words.empty() ? std::string{} : action.words[0];
    bool const limited = !value.empty() && value != "0" && value != "default";
    if (action.local && !in_transaction)
        return; // has no effect
    if (action.local)
        locals_.insert(action.name);
    if (action.name == "lock_timeout" || action.name == "all")
        lock_timeout = limited;
    if (action.name == "statement_timeout" || action.name == "all")
        statement_timeout = limited;
    if (action.name == "timezone")
        utc = value == "UTC" || value == "utc" || value == "Etc/UTC" || value == "0";
    if (action.name == "session_replication_role" || action.name == "all")
        triggers_off = value == "replica";
    if (action.name == "search_path")
        path_set = !action.words.empty() && !action.words[0].empty();
    if (action.name == "search_path")
        schema_ = action.words.empty() || action.words[0].empty() ? default_schema_ : action.words[0];
}

// A column's own PRIMARY KEY or UNIQUE, under the name that the server gives it.
void State::add_keys(TableState& table, std::string const& name, Column const& column) const {
    if (column.primary)
        table.constraints[name + "_pkey"] = {ConstraintKind::primary_key, {}, {column.name}, true, transaction};
    if (column.unique)
        table.constraints[name + "_" + column.name + "_key"] = {ConstraintKind::unique, {}, {column.name}, true, transaction};
}

void State::create_table(Action const& action) {
    auto const name = resolve(action.on);
    auto const at = tables_.find(name);
    if (action.conditional && at != tables_.end())
        return;
    TableState table;
    table.kind = action.object;
    table.is_new = !base;
    table.complete = action.verb == Verb::create && action.parents.empty();
    table.partitioned = action.partitioned;
    for (auto const& column : action.definitions)
        table.columns[column.name] = {column.type, column.not_null, !base};
    for (auto const& column : action.definitions)
        add_keys(table, name.name, column);
    for (auto const& constraint : action.constraints) {
        auto const key = constraint.name.empty() ? "?" + std::to_string(table.constraints.size()) : constraint.name;
        table.constraints[key] = {constraint.kind, constraint.proves_not_null, constraint.columns, true, transaction};
    }
    tables_[name] = std::move(table);
    if (action.partition) {
        for (auto const& parent : action.parents) {
            auto& known = touch(parent);
            known.partitioned = true;
            known.partitions.push_back(name);
        }
    }
}

void State::alter_table(Action const& action) {
    auto& table = touch(action.on);
    switch (action.verb) {
    case Verb::add_column:
        for (auto const& column : action.definitions)
            table.columns[column.name] = {column.type, column.not_null, !base};
        for (auto const& column : action.definitions)
            add_keys(table, action.on.name, column);
        break;
    case Verb::drop_column:
        for (auto const& column : action.columns)
            table.columns.erase(column);
        break;
    case Verb::alter_type:
        table.columns[action.columns[0]].type = action.type;
        break;
    case Verb::set_not_null:
    case Verb::drop_not_null:
        table.columns[action.columns[0]].not_null = action.verb == Verb::set_not_null;
        if (action.verb == Verb::drop_not_null && !base)
            let_go_.insert({resolve(action.on), action.columns[0]});
        break;
    case Verb::add_constraint: {
        auto const name = action.name.empty() ? "?" + std::to_string(table.constraints.size()) : action.name;
        table.constraints[name] = {action.constraint, action.proves_not_null, action.columns, action.validates, transaction};
        if (action.constraint == ConstraintKind::primary_key) {
            auto const* const known = action.uses_index ? index(action.other) : nullptr;
            for (auto const& column : known != nullptr ? known->columns : action.columns)
                table.columns[column].not_null = true;
        }
        break;
    }
    case Verb::validate_constraint:
        table.constraints[action.name].validated = true;
        break;
    case Verb::drop_constraint:
        table.constraints.erase(action.name);
        if (!base)
            let_go_.insert({resolve(action.on), action.name});
        break;
    case Verb::attach_partition: {
        table.partitioned = true;
        table.partitions.push_back(resolve(action.other));
        break;
    }
    default:
        break;
    }
}

void State::drop(Action const& action) {
    if (action.object == Object::index)
        indexes_.erase(resolve(action.other));
    else if (action.object == Object::function)
        routines_.erase(resolve(action.on));
    else if (action.object == Object::table || action.object == Object::view ||
             action.object == Object::materialized_view)
        tables_.erase(resolve(action.on));
}

void State::rename(Action const& action) {
    auto const from = resolve(action.on);
    if (action.object == Object::column) {
        auto& table = touch(action.on);
        auto const at = table.columns.find(action.old_name);
        if (at != table.columns.end()) {
            auto column = at->second;
            table.columns.erase(at);
            table.columns[action.name] = std::move(column);
        }
    } else if (action.object == Object::constraint) {
        auto& table = touch(action.on);
        auto node = table.constraints.extract(action.old_name);
        if (!node.empty()) {
            node.key() = action.name;
            table.constraints.insert(std::move(node));
        }
    } else if (action.object == Object::table || action.object == Object::materialized_view ||
               action.object == Object::view) {
        auto node = tables_.extract(from);
        auto const to = action.verb == Verb::set_schema ? sql::QName{action.name, from.name}
                                                        : sql::QName{from.schema, action.name};
        for (auto& [name, index] : indexes_) {
            if (index.table == from)
                index.table = to;
        }
        tables_.erase(to);
        if (!node.empty()) {
            node.key() = to;
            tables_.insert(std::move(node));
        }
    } else if (action.object == Object::type || action.object == Object::domain) {
        // The columns keep the type under its new name; the old one may come back as another type.
        for (auto& [name, table] : tables_) {
            for (auto& [column_name, column] : table.columns) {
                if (column.type && column.type->name.name == action.on.name && action.verb == Verb::rename)
                    column.type->name.name = action.name;
            }
        }
    } else if (action.object == Object::index && action.verb == Verb::rename) {
        auto node = indexes_.extract(resolve(action.other));
        if (!node.empty()) {
            node.key() = {node.key().schema, action.name};
            indexes_.insert(std::move(node));
        }
    }
}

void State::apply(Action const& action) {
    switch (action.verb) {
    case Verb::begin:
        if (!in_transaction) {
            outer_ = Setting{lock_timeout, statement_timeout, utc};
            ++transaction;
        }
        in_transaction = true;
        break;
    case Verb::commit:
    case Verb::rollback: {
        bool const chain = !action.words.empty() && action.words[0] == "chain";
        end_transaction();
        in_transaction = chain;
        break;
    }
    case Verb::set:
        set(action);
        break;
    case Verb::create:
        if (action.object == Object::table || action.object == Object::view)
            create_table(action);
        else if (action.object == Object::index)
            indexes_[{resolve(action.on).schema, action.name}] = {resolve(action.on), action.columns, action.unique, action.words};
        else if (action.object == Object::function)
            routines_[resolve(action.on)] = action;
        else if (action.object == Object::type && !base)
            new_types_.insert(resolve(action.on));
        else if (action.object == Object::domain && action.constraint != ConstraintKind::none)
            constrained_domains_.insert(resolve(action.on));
        break;
    case Verb::create_as:
        create_table(action);
        break;
    case Verb::drop:
        drop(action);
        break;
    case Verb::rename:
    case Verb::set_schema:
        rename(action);
        break;
    default:
        if (action.object == Object::table && action.verb >= Verb::add_column &&
            action.verb <= Verb::attach_partition)
            alter_table(action);
        break;
    }
}

namespace {

bool is_one_of(std::string const& name, std::initializer_list<std::string_view> names) {
    return std::ranges::find(names, std::string_view{name}) != names.end();
}

long modifier(Type const& type, std::size_t index) {
    return index < type.modifiers.size() ? type.modifiers[index] : -1;
}

} // namespace

bool rebuilds_indexes(Action const& action, State const& state) {
    auto const& column = action.columns[0];
    auto const* const known = state.column(action.on, column);
    if (known == nullptr || !known->type || *known->type == action.type)
        return false;
    auto const change = judge_type_change(known->type, action.type);
    return state.in_expression(action.on, column) || (change == TypeChange::unless_utc && state.is_indexed(action.on, column));
}

TypeChange judge_type_change(std::optional<Type> const& from, Type const& to) {
    if (!from)
        return TypeChange::unknown;
    if (*from == to)
        return TypeChange::free;
    auto const& a = from->name.name;
    auto const& b = to.name.name;
    if (!from->name.schema.empty() || !to.name.schema.empty() || from->array != to.array)
        return TypeChange::rewrites;
    bool const text_a = is_one_of(a, {"text", "varchar", "citext"});
    if (text_a && (b == "text" || (b == "varchar" && to.modifiers.empty())))
        return a == "citext" ? TypeChange::free : TypeChange::free;
    if (a == "varchar" && b == "varchar")
        return !from->modifiers.empty() && modifier(to, 0) >= modifier(*from, 0) ? TypeChange::free
                                                                                 : TypeChange::rewrites;
    if (a == "text" && b == "citext")
        return TypeChange::free;
    if (a == "numeric" && b == "numeric") {
        if (to.modifiers.empty())
            return TypeChange::free;
        if (from->modifiers.empty())
            return TypeChange::rewrites;
        auto const scale = [](Type const& t) { return std::max(0L, modifier(t, 1)); };
        return modifier(to, 0) >= modifier(*from, 0) && scale(to) == scale(*from) ? TypeChange::free
                                                                                  : TypeChange::rewrites;
    }
    bool const time_a = is_one_of(a, {"timestamp", "timestamptz"});
    bool const time_b = is_one_of(b, {"timestamp", "timestamptz"});
    if ((time_a && time_b) || (a == b && is_one_of(a, {"time", "timetz", "interval"}))) {
        bool const widens =
            to.modifiers.empty() || (!from->modifiers.empty() && modifier(to, 0) >= modifier(*from, 0));
        if (!widens)
            return TypeChange::rewrites;
        return a == b ? TypeChange::free : TypeChange::unless_utc;
    }
    if (a == "varbit" && b == "varbit")
        return to.modifiers.empty() || (!from->modifiers.empty() && modifier(to, 0) >= modifier(*from, 0))
                   ? TypeChange::free
                   : TypeChange::rewrites;
    if (a == "cidr" && b == "inet")
        return TypeChange::free;
    return TypeChange::rewrites;
}

} // namespace pgcarve::lint
