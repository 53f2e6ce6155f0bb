#include "lint/lint.hpp"

#include <algorithm>
#include <set>

#include "lint/read.hpp"

namespace pgcarve::lint {

namespace {

constexpr std::pair<std::string_view, Runner> runners[] = {
    {"plain", Runner::plain},     {"flyway", Runner::flyway}, {"sqitch", Runner::sqitch},
    {"alembic", Runner::alembic}, {"django", Runner::django}, {"rails", Runner::rails},
    {"diesel", Runner::diesel},   {"goose", Runner::goose},   {"atlas", Runner::atlas}};

// What the server refuses inside a transaction.
bool refuses_transactions(Action const& action) {
    return (action.concurrently && action.verb != Verb::refresh) || action.verb == Verb::vacuum ||
           action.verb == Verb::system || (action.verb == Verb::drop && action.object == Object::database);
}

std::string_view comment_body(std::string_view text, Span span) {
    auto body = text.substr(span.begin, span.end - span.begin);
    body.remove_prefix(std::min<std::size_t>(2, body.size()));
    while (!body.empty() && (body.front() == ' ' || body.front() == '\t'))
        body.remove_prefix(1);
    while (!body.empty() && (body.back() == ' ' || body.back() == '\r' || body.back() == '\t'))
        body.remove_suffix(1);
    return body;
}

bool begins_itself(Script const& script) {
    for (auto const& statement : script.statements) {
        for (auto const& action : statement.actions) {
            if (action.verb == Verb::begin)
                return true;
            if (action.verb != Verb::set)
                return false;
        }
    }
    return false;
}

// Whether the runner opens a transaction around the file.
bool is_wrapped(File const& file, Script const& script, Runner runner) {
    auto const& text = file.text;
    auto const says = [&](std::string_view word) {
        return std::ranges::any_of(script.comments, [&](Span span) { return comment_body(text, span).starts_with(word); });
    };
    if (file.no_transaction)
        return false;
    switch (runner) {
    case Runner::plain:
    case Runner::sqitch: // psql, statement by statement
        return false;
    case Runner::goose:
        return !says("+goose NO TRANSACTION");
    case Runner::atlas:
        return !says("atlas:txmode none");
    case Runner::alembic: // `--sql` prints BEGIN and COMMIT where it has them
        return !begins_itself(script);
    case Runner::django: // `sqlmigrate` too; without them its output begins with a comment
        return !begins_itself(script) && !text.starts_with("--\n-- ");
    case Runner::flyway: { // looks at the statements itself
        bool none = true;
        for (auto const& statement : script.statements)
            none = none && (statement.actions.empty() ||
                            std::ranges::any_of(statement.actions, refuses_transactions) ||
                            statement.actions[0].verb == Verb::set);
        return !none || script.statements.empty();
    }
    case Runner::rails:
    case Runner::diesel:
        return true;
    }
    return false;
}

Whole whole_of(Script const& script) {
    Whole whole;
    auto const index = [&](Action const& action, std::vector<std::string> const& columns) {
        if (!columns.empty())
            whole.indexed.emplace(action.on.name, columns.front());
    };
    for (auto const& statement : script.statements) {
        for (auto const& action : statement.actions) {
            if (action.verb == Verb::create || action.verb == Verb::create_as)
                whole.created.insert(action.on.name);
            if (action.verb == Verb::create && action.object == Object::index)
                index(action, action.columns);
            if (action.verb == Verb::drop && action.conditional)
                whole.dropped.insert(action.name.empty() ? action.on.name : action.name);
            bool const key = action.constraint == ConstraintKind::primary_key;
            if (action.verb != Verb::add_constraint || (!key && action.constraint != ConstraintKind::unique))
                continue;
            if (key)
                whole.keyed.insert(action.on.name);
            index(action, action.columns);
        }
    }
    return whole;
}

// Where a name without a schema is looked up.
std::string default_schema(Input const& input) {
    if (input.map == nullptr)
        return "public";
    auto const* const service = input.map->service(input.database);
    if (service != nullptr && service->database)
        return service->database->schema;
    return input.map->shared_schema;
}

class Linter {
public:
    explicit Linter(Input const& input)
        : input_{input}
        , state_{input.options.server_version, default_schema(input)} {
        if (input.map != nullptr)
            boundary_.emplace(*input.map);
        if (input.sync)
            sync_.emplace(*input.sync, input.database);
        accepted_used_.resize(input.map != nullptr ? input.map->lint.accept.size() : 0);
        baseline_used_.resize(input.baseline ? input.baseline->entries.size() : 0);
    }

    model::LintReport run() {
        report_.boundary = boundary_.has_value();
        report_.sync = sync_.has_value();
        report_.gaps_allowed = input_.options.allow_gaps;
        state_.base = true;
        if (input_.catalog)
            learn(*input_.catalog, state_);
        for (auto const& file : input_.schema)
            learn(file, state_);
        state_.base = false;
        auto past = state_;
        past.base = true;
        for (auto const& file : input_.files) {
            judge(file);
            if (!input_.options.history)
                continue;
            learn(file, past);
            state_ = past;
            state_.base = false;
        }
        file_ = nullptr;
        tell_stale();
        return std::move(report_);
    }

private:
    void learn(File const& file, State& state) const {
        state.begin_file(false);
        for (auto const& statement : read_script(file, input_.options.runner).statements) {
            for (auto const& action : statement.actions)
                state.apply(action);
        }
    }

    void judge(File const& file) {
        auto const script = read_script(file, input_.options.runner);
        Lines const lines{file.text};
        file_ = &file;
        lines_ = &lines;
        seen_.clear();
        occurrences_.clear();
        ignores_ = read_ignores(file.text, script.comments);
        service_ = boundary_ ? boundary_->service_of_file(file.name) : std::string{};
        wrapped_ = script.wrapped;
        report_.files.push_back(file.name);
        auto const first_finding = report_.findings.size();
        whole_ = whole_of(script);
        judging_.clear();
        for (auto const* const rule : all_rules()) {
            if (rule->judge != nullptr && is_on(*rule, file.name))
                judging_.push_back(rule);
        }
        state_.begin_file(wrapped_);
        std::size_t previous_end = 0;
        for (auto const& statement : script.statements) {
            scope_ = {previous_end, statement.span.end};
            judge(statement);
            previous_end = statement.span.end;
        }
        tell_ignores();
        std::stable_sort(report_.findings.begin() + static_cast<std::ptrdiff_t>(first_finding),
                         report_.findings.end(),
                         [](model::LintFinding const& a, model::LintFinding const& b) {
                             return std::tuple{a.from.line, a.from.column, a.rule} <
                                    std::tuple{b.from.line, b.from.column, b.rule};
                         });
    }

    void judge(Statement const& statement) {
        statement_ = &statement;
        ++report_.coverage.statements;
        bool open = false; // a gap that nobody answered for
        for (auto const& gap : statement.gaps)
            open = tell_gap(gap) || open;
        ++(open ? report_.coverage.not_analysed : report_.coverage.heuristic);
        state_.before(statement);
        for (std::size_t i = 0; i < statement.actions.size(); ++i) {
            auto const& action = statement.actions[i];
            auto const effect = effect_of(action, state_);
            judge(statement, action, effect, i == 0, i + 1 == statement.actions.size());
            state_.hold(effect, statement.span);
            state_.apply(action);
        }
    }

    void judge(Statement const& statement, Action const& action, Effect const& effect, bool first,
               bool last) {
        Rule const* judging = nullptr;
        std::function<void(Told)> const tell = [&](Told told) { this->tell(*judging, std::move(told)); };
        std::function<bool(std::string const&)> const once = [&](std::string const& key) {
            return seen_.insert(judging->about.id + key).second;
        };
        Context const context{action,
                              statement,
                              state_,
                              effect,
                              boundary_ ? &*boundary_ : nullptr,
                              service_,
                              input_.options.runner,
                              first,
                              last,
                              wrapped_,
                              whole_,
                              tell,
                              once,
                              sync_ ? &*sync_ : nullptr,
                              file_->text};
        for (auto const* const rule : judging_) {
            judging = rule;
            rule->judge(context);
        }
    }

    // Whether findings of the rule are wanted in the file, and can be had.
    [[nodiscard]] bool is_on(Rule const& rule, std::string const& file) const {
        auto const family = rule.about.id[0];
        return input_.options.chosen(rule.about.id, file).value_or(rule.about.severity) != model::Severity::off && (family != 'B' || boundary_) &&
               (family != 'S' || sync_);
    }
    [[nodiscard]] bool is_on(std::string const& rule, std::string const& file) const {
        auto const* const known = find_rule(rule);
        return known == nullptr || is_on(*known, file);
    }

    [[nodiscard]] model::Severity severity(Rule const& rule) const {
        return input_.options.chosen(rule.about.id, file_ == nullptr ? std::string{} : file_->name).value_or(rule.about.severity);
    }

    void tell(Rule const& rule, Told told) {
        model::LintFinding finding;
        finding.rule = rule.about.id;
        finding.severity = severity(rule);
        if (told.warn_only && !input_.options.chosen(rule.about.id, file_->name))
            finding.severity = model::Severity::warning;
        finding.message = std::move(told.message);
        finding.fix = told.fix.empty() ? rule.about.fix : std::move(told.fix);
        finding.lock = std::move(told.lock);
        finding.object = std::move(told.object);
        finding.proof = "heuristic";
        place(finding, told.span);
        auto const statement = std::string_view{file_->text}.substr(
            statement_->span.begin, statement_->span.end - statement_->span.begin);
        auto const key = finding.rule + std::string{statement};
        finding.fingerprint = fingerprint(finding.rule, finding.file, statement, occurrences_[key]++);
        if (is_ignored(finding) || is_accepted(finding) || is_in_baseline(finding)) {
            ++report_.ignored;
            return;
        }
        report_.findings.push_back(std::move(finding));
    }

    void place(model::LintFinding& finding, Span span) const {
        finding.file = file_->name;
        finding.from = lines_->at(span.begin);
        finding.to = lines_->at(span.end);
        finding.excerpt = lines_->line(span.begin);
    }

    // False when somebody answered for it.
    bool tell_gap(Gap const& gap) {
        if (is_answered("not_analysed"))
            return false;
        report_.gaps.push_back({file_->name, lines_->at(gap.span.begin), lines_->at(gap.span.end), gap.reason,
                                std::string{lines_->line(gap.span.begin)}});
        return true;
    }

    // An ignore between the last statement and this one's end.
    bool is_answered(std::string const& rule) {
        for (auto& ignore : ignores_) {
            bool const here =
                ignore.whole_file || (ignore.span.begin >= scope_.begin && ignore.span.begin < scope_.end);
            if (!here || !ignore.wrong.empty())
                continue;
            for (std::size_t i = 0; i < ignore.rules.size(); ++i) {
                if (ignore.rules[i] != rule)
                    continue;
                ignore.used[i] = true;
                return ignore.until.empty() || input_.options.today <= ignore.until;
            }
        }
        return false;
    }
    bool is_ignored(model::LintFinding const& finding) { return is_answered(finding.rule); }

    bool is_accepted(model::LintFinding const& finding) {
        if (input_.map == nullptr)
            return false;
        auto const& accepted = input_.map->lint.accept;
        for (std::size_t i = 0; i < accepted.size(); ++i) {
            if (accepted[i].rule != finding.rule || !model::path_matches(accepted[i].file, finding.file) ||
                (accepted[i].object && !model::text_matches(*accepted[i].object, finding.object)))
                continue;
            accepted_used_[i] = true;
            if (input_.options.today <= accepted[i].until)
                return true;
        }
        return false;
    }

    bool is_in_baseline(model::LintFinding const& finding) {
        if (!input_.baseline)
            return false;
        auto const& entries = input_.baseline->entries;
        for (std::size_t i = 0; i < entries.size(); ++i) {
            if (entries[i].fingerprint == finding.fingerprint && entries[i].rule == finding.rule) {
                baseline_used_[i] = true;
                return true;
            }
        }
        return false;
    }

    // A finding about what somebody answered for.
    void tell_meta(std::string_view id, model::LintFinding finding, std::string message) {
        auto const* const rule = find_rule(id);
        finding.rule = id;
        finding.severity = severity(*rule);
        finding.message = std::move(message);
        finding.fix = rule->about.fix;
        finding.proof = "heuristic";
        finding.fingerprint = fingerprint(id, finding.file, finding.message, 0);
        if (finding.severity != model::Severity::off)
            report_.findings.push_back(std::move(finding));
    }

    void tell_ignores() {
        for (auto const& ignore : ignores_) {
            model::LintFinding finding;
            place(finding, ignore.span);
            if (!ignore.wrong.empty()) {
                tell_meta("A03", finding, "this ignore means nothing: " + ignore.wrong);
                continue;
            }
            bool const expired = !ignore.until.empty() && input_.options.today > ignore.until;
            for (std::size_t i = 0; i < ignore.rules.size(); ++i) {
                if (!ignore.used[i] && is_on(ignore.rules[i], file_->name))
                    tell_meta("A01", finding,
                              "nothing here is found by " + ignore.rules[i] + ": this ignore can go");
                else if (ignore.used[i] && expired)
                    tell_meta("A02", finding,
                              "this ignore of " + ignore.rules[i] + " ended on " + ignore.until);
            }
        }
    }

    void tell_stale() {
        for (std::size_t i = 0; i < accepted_used_.size(); ++i) {
            auto const& entry = input_.map->lint.accept[i];
            bool const looked_at = std::ranges::any_of(report_.files, [&](std::string const& file) {
                return model::path_matches(entry.file, file) && is_on(entry.rule, file);
            });
            model::LintFinding finding;
            finding.file = entry.where.file;
            finding.from = finding.to = {std::max(entry.where.line, 1), 1};
            if (looked_at && !accepted_used_[i])
                tell_meta("A04", finding,
                          "nothing in " + entry.file + " is found by " + entry.rule +
                              " any more: this accepted finding can go");
            else if (looked_at && input_.options.today > entry.until)
                tell_meta("A05", finding,
                          "what " + entry.owner + " accepted for " + entry.rule + " ended on " + entry.until);
        }
        for (std::size_t i = 0; i < baseline_used_.size(); ++i) {
            auto const& entry = input_.baseline->entries[i];
            if (baseline_used_[i] || !is_on(entry.rule, entry.file) || std::ranges::find(report_.files, entry.file) == report_.files.end())
                continue;
            model::LintFinding finding;
            finding.file = entry.file;
            tell_meta("A06", finding,
                      "the baseline knows a finding of " + entry.rule + " (" + entry.fingerprint +
                          ") that is there no more");
        }
    }

    Input const& input_;
    State state_;
    std::optional<Boundary> boundary_;
    std::optional<SyncView> sync_;
    model::LintReport report_;
    File const* file_ = nullptr;
    Lines const* lines_ = nullptr;
    Statement const* statement_ = nullptr;
    Span scope_;
    std::string service_;
    bool wrapped_ = false;
    Whole whole_;
    std::vector<Rule const*> judging_; // in this file
    std::vector<Ignore> ignores_;
    std::set<std::string> seen_;
    std::map<std::string, int> occurrences_;
    std::vector<bool> accepted_used_;
    std::vector<bool> baseline_used_;
};

} // namespace

std::optional<model::Severity> Options::chosen(std::string const& rule, std::string const& file) const {
    if (auto const at = asked.find(rule); at != asked.end())
        return at->second;
    for (auto folder = folders.rbegin(); folder != folders.rend(); ++folder) {
        auto const at = folder->severity.find(rule);
        if (at != folder->severity.end() && model::path_matches(folder->path, file))
            return at->second;
    }
    auto const at = severity.find(rule);
    return at == severity.end() ? std::nullopt : std::optional{at->second};
}

Script read_script(File const& file, Runner runner) {
    auto source = split(file.text);
    if (runner == Runner::goose) { // the way back is another change set
        auto const down = std::ranges::find_if(source.comments, [&](Span span) {
            return comment_body(file.text, span).starts_with("+goose Down");
        });
        if (down != source.comments.end())
            std::erase_if(source.pieces, [&](Piece const& piece) { return piece.span.begin > down->begin; });
    }
    Script script;
    for (auto const& piece : source.pieces) {
        if (piece.obstacle.empty()) {
            script.statements.push_back(read_statement(file.text, piece.span));
            continue;
        }
        Statement statement;
        statement.span = piece.span;
        statement.gaps.push_back({piece.span, piece.obstacle});
        script.statements.push_back(std::move(statement));
    }
    script.comments = std::move(source.comments);
    script.wrapped = is_wrapped(file, script, runner);
    return script;
}

model::LintReport lint(Input const& input) {
    return Linter{input}.run();
}

std::optional<Runner> runner_of(std::string_view name) {
    for (auto const& [known, runner] : runners) {
        if (known == name)
            return runner;
    }
    return std::nullopt;
}

std::vector<std::string> runner_names() {
    std::vector<std::string> names;
    for (auto const& [known, runner] : runners)
        names.emplace_back(known);
    return names;
}

} // namespace pgcarve::lint
