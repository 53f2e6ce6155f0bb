#include "run/scratch.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include <fmt/format.h>
#include <unistd.h>

#include "pg/conninfo.hpp"
#include "pg/session.hpp"
#include "pg/trace.hpp"
#include "run/scratch_sync.hpp"

namespace pgcarve::run {

namespace {

using lint::Lock;
using lint::Observed;
using lint::Verb;

constexpr base::Millis statement_limit{60'000};
constexpr int most_roles = 100; // made for one file

// One database of its own, for the life of the object.
class ScratchDatabase {
public:
    explicit ScratchDatabase(std::string const& dsn, std::string const& suffix = {})
        : admin_{{.dsn = dsn, .purpose = "scratch"}}
        , name_{fmt::format("pgcarve_lint_{}_{}{}", ::getpid(), admin_.backend_pid(), suffix)} {
        admin_.run(fmt::format("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'", sql::quote_ident(name_)));
        auto keywords = pg::parse_conninfo(dsn);
        keywords["dbname"] = name_;
        dsn_ = pg::make_conninfo(keywords);
    }
    ScratchDatabase(ScratchDatabase const&) = delete;
    ScratchDatabase& operator=(ScratchDatabase const&) = delete;
    ~ScratchDatabase() {
        try {
            // A slot of a stream keeps its database.
            admin_.query(sql::Sql{"SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots WHERE NOT active AND database = "}
                             .bind(name_));
            admin_.run(fmt::format("DROP DATABASE IF EXISTS {} WITH (FORCE)", sql::quote_ident(name_)));
        } catch (base::Error const&) { // NOLINT: the server is gone, and the database with it or to be found by its name
        }
    }
    [[nodiscard]] std::string const& dsn() const { return dsn_; }
    pg::Session& admin() { return admin_; }

private:
    pg::Session admin_;
    std::string name_;
    std::string dsn_;
};

// What stands between the first pair of double quotes behind `head`; nullopt when the text does not begin with it.
std::optional<std::string> quoted_after(std::string_view text, std::string_view head) {
    if (!text.starts_with(head))
        return std::nullopt;
    auto const end = text.find('"', head.size());
    return end == std::string_view::npos ? std::nullopt : std::optional{std::string{text.substr(head.size(), end - head.size())}};
}

Lock lock_of(std::string_view mode) {
    static std::map<std::string_view, Lock> const modes{{"AccessShareLock", Lock::access_share},
                                                        {"RowShareLock", Lock::row_share},
                                                        {"RowExclusiveLock", Lock::row_exclusive},
                                                        {"ShareUpdateExclusiveLock", Lock::share_update_exclusive},
                                                        {"ShareLock", Lock::share},
                                                        {"ShareRowExclusiveLock", Lock::share_row_exclusive},
                                                        {"ExclusiveLock", Lock::exclusive},
                                                        {"AccessExclusiveLock", Lock::access_exclusive}};
    auto const at = modes.find(mode);
    return at == modes.end() ? Lock::none : at->second;
}

struct Relation {
    sql::QName name;
    std::string file; // relfilenode
};

using Held = std::set<std::pair<std::string, Lock>>; // oid and mode

class Runner {
public:
    Runner(ScratchRequest const& request, lint::Input const& input, base::Interrupt& interrupt)
        : request_{request}
        , input_{input}
        , interrupt_{interrupt}
        , database_{request.dsn} {}

    ScratchResult run() {
        if (request_.load)
            request_.load(database_.dsn());
        trace_.emplace(database_.dsn(), statement_limit);
        for (auto const& file : input_.schema)
            replay(file);
        auto const synced = input_.database.empty() ? lint::touched_syncs(input_) : std::vector<model::SyncedTable>{};
        if (!synced.empty()) {
            fresh_session();
            other_.emplace(request_.dsn, "_target");
            syncs_.emplace(database_.dsn(), other_->dsn(), interrupt_);
            syncs_->set_up(synced);
        }
        learn_existing();
        for (std::size_t i = 0; i < input_.files.size(); ++i) {
            watch(i);
            if (input_.options.history)
                learn_existing();
        }
        if (syncs_) {
            fresh_session();
            result_.syncs = syncs_->try_out();
        }
        return std::move(result_);
    }

    // The same change set with other statements in the places of some.
    std::vector<lint::RewriteTried> run(std::vector<lint::Rewrite> const& rewrites) {
        if (request_.load)
            request_.load(database_.dsn());
        trace_.emplace(database_.dsn(), statement_limit);
        for (auto const& file : input_.schema)
            replay(file);
        learn_existing();
        std::vector<lint::RewriteTried> tried;
        for (std::size_t i = 0; i < input_.files.size(); ++i) {
            fresh_session();
            auto const& file = input_.files[i];
            for (auto const& statement : lint::read_script(file, input_.options.runner).statements) {
                interrupt_.check();
                if (is_psql(statement) || is_transaction_end(statement))
                    continue;
                auto const at = std::ranges::find_if(rewrites, [&](lint::Rewrite const& one) { return one.file == i && one.span.begin == statement.span.begin; });
                if (at == rewrites.end())
                    (void)trace_->run(text_of(file, statement.span)); // what fails here has failed, and been told, before
                else
                    tried.push_back({*at, try_rewrite(*at)});
                if (trace_->state() == pg::Trace::State::failed)
                    trace_->ask("ROLLBACK");
            }
        }
        return tried;
    }

private:
    static bool is_transaction_end(lint::Statement const& statement) {
        return !statement.actions.empty() && statement.actions[0].verb >= Verb::begin && statement.actions[0].verb <= Verb::savepoint;
    }

    std::string try_rewrite(lint::Rewrite const& rewrite) {
        std::string trouble;
        for (auto const& statement : rewrite.sql) {
            lint::File const file{"rewrite", statement};
            Observed seen;
            lint::Statement const whole{.span = {0, statement.size()}};
            auto const ran = observe(file, whole, seen);
            if (!ran.ok)
                return statement + ": " + ran.message;
            auto const blocks = [&](std::vector<std::string> const& tables) {
                return std::ranges::any_of(tables, [&](std::string const& table) { return seen.watched && lint::blocks_writes(seen.holds(table)); });
            };
            if (!seen.rewrites.empty() || blocks(seen.scans) || blocks(seen.builds))
                trouble = statement + " blocks while it works";
        }
        return trouble;
    }

    // Every file is a session of its own.
    void fresh_session() {
        if (trace_->state() != pg::Trace::State::idle)
            trace_->ask("ROLLBACK");
        trace_->ask("DISCARD ALL");
        hear();
        trace_->ask(fmt::format("SET timezone = 'Asia/Kolkata'; SET statement_timeout = {}", statement_limit.count()));
    }
    void hear() { trace_->ask("SET client_min_messages = debug1"); }

    // Makes a role that a statement was refused for; false: that was not it.
    bool mend_role(pg::Ran const& ran) {
        auto const role = ran.sqlstate == "42704" ? quoted_after(ran.message, "role \"") : std::nullopt;
        if (!role || !request_.make_roles || ++roles_ > most_roles)
            return false;
        database_.admin().run("CREATE ROLE " + sql::quote_ident(*role));
        return true;
    }

    std::string text_of(lint::File const& file, lint::Span span) { return file.text.substr(span.begin, span.end - span.begin); }

    static bool is_psql(lint::Statement const& statement) {
        return std::ranges::any_of(statement.gaps, [](lint::Gap const& gap) { return gap.reason == "it is a command of psql"; });
    }

    // The base: all of it, or what the server takes of it.
    void replay(lint::File const& file) {
        auto const script = lint::read_script(file, input_.options.runner);
        roles_ = 0;
        for (int attempt = 0;; ++attempt) {
            fresh_session();
            if (script.wrapped)
                trace_->ask("BEGIN");
            bool again = false;
            for (auto const& statement : script.statements) {
                interrupt_.check();
                if (is_psql(statement))
                    continue;
                auto ran = trace_->run(text_of(file, statement.span));
                if (!ran.ok && mend_role(ran)) {
                    again = trace_->state() == pg::Trace::State::failed;
                    if (again)
                        break;
                    ran = trace_->run(text_of(file, statement.span));
                }
                if (ran.ok)
                    continue;
                lint::Lines const lines{file.text};
                result_.unproven.push_back({file.name, lines.at(statement.span.begin), "the scratch server refuses it in the base: " + ran.message});
                if (trace_->state() == pg::Trace::State::failed)
                    break;
            }
            if (again)
                continue;
            if (script.wrapped && trace_->state() == pg::Trace::State::in_transaction)
                trace_->run("COMMIT");
            return;
        }
    }

    void learn_existing() {
        fresh_session();
        existing_.clear();
        for (auto& row : trace_->ask("SELECT c.oid, n.nspname, c.relname, c.relfilenode FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON "
                                     "n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'm', 'f') AND c.oid >= 16384 AND n.nspname !~ '^pg_|^pgcarve$'"))
            existing_[*row[0]] = {{*row[1], *row[2]}, *row[3]};
    }

    void watch(std::size_t index) {
        auto const& file = input_.files[index];
        auto const script = lint::read_script(file, input_.options.runner);
        roles_ = 0;
        for (;;) {
            auto const before = result_.observed.size();
            if (watch(index, file, script))
                return;
            result_.observed.resize(before);
        }
    }

    // False: a role was made, and the file has to be run again.
    bool watch(std::size_t index, lint::File const& file, lint::Script const& script) {
        fresh_session();
        held_.clear();
        if (script.wrapped)
            trace_->ask("BEGIN");
        bool failed = false;
        bool const begins = !script.statements.empty() && is_transaction(script.statements[0]); // nothing is committed before it
        for (auto const& statement : script.statements) {
            interrupt_.check();
            Observed seen{.file = index, .span = statement.span};
            if (!failed && !is_psql(statement)) {
                auto ran = observe(file, statement, seen);
                if (!ran.ok && mend_role(ran)) {
                    if (script.wrapped || (begins && trace_->state() == pg::Trace::State::failed))
                        return false;
                    ran = observe(file, statement, seen);
                }
                seen.ran = ran.ok;
                seen.refused = ran.ok ? "" : ran.message;
                failed = !ran.ok && (script.wrapped || trace_->state() == pg::Trace::State::failed);
            }
            if (!is_psql(statement))
                result_.observed.push_back(std::move(seen));
        }
        if (script.wrapped && trace_->state() == pg::Trace::State::in_transaction)
            commit_file(file);
        refresh_files();
        return true;
    }

    // What is deferred to the commit can fail there.
    void commit_file(lint::File const& file) {
        auto const ran = trace_->run("COMMIT");
        if (!ran.ok)
            result_.unproven.push_back({file.name, {}, "the scratch server refuses to commit it: " + ran.message});
    }

    [[nodiscard]] static bool is_transaction(lint::Statement const& statement) {
        return !statement.actions.empty() && statement.actions[0].verb >= Verb::begin && statement.actions[0].verb <= Verb::set;
    }

    // Touches no table; and SET TRANSACTION is refused behind a query, also one that looks at locks.
    [[nodiscard]] static bool is_setting(lint::Statement const& statement) {
        return !statement.actions.empty() &&
               std::ranges::all_of(statement.actions, [](lint::Action const& action) { return action.verb == Verb::begin || action.verb == Verb::set; });
    }

    pg::Ran observe(lint::File const& file, lint::Statement const& statement, Observed& seen) {
        auto const text = text_of(file, statement.span);
        bool const apart = trace_->state() == pg::Trace::State::idle;
        if (!apart || is_transaction(statement)) {
            auto ran = trace_->run(text);
            see(file, statement, ran, seen);
            return ran;
        }
        held_.clear();
        trace_->ask("BEGIN");
        auto ran = trace_->run(text);
        bool const needs_none = ran.sqlstate == "25001" || ran.sqlstate == "2D000"; // refuses a transaction, or ends it
        if (ran.ok)
            see(file, statement, ran, seen);
        if (trace_->state() == pg::Trace::State::failed)
            trace_->ask("ROLLBACK");
        else if (auto const committed = trace_->run("COMMIT"); !committed.ok)
            ran = committed;
        if (!needs_none)
            return ran;
        ran = trace_->run(text);
        see(file, statement, ran, seen);
        return ran;
    }

    // What the statement did, as far as the server tells.
    void see(lint::File const& file, lint::Statement const& statement, pg::Ran const& ran, Observed& seen) {
        if (!ran.ok || trace_->state() == pg::Trace::State::failed)
            return;
        if (text_of(file, statement.span).find("client_min_messages") != std::string::npos)
            hear();
        if (is_setting(statement))
            return;
        see_locks(seen);
        std::set<std::string> rewrites;
        bool const truncates = std::ranges::any_of(statement.actions, [](lint::Action const& action) { return action.verb == Verb::truncate; });
        present_.clear();
        for (auto const& row : trace_->ask("SELECT oid, relfilenode FROM pg_catalog.pg_class WHERE relkind IN ('r', 'm', 'p', 'f') AND oid >= 16384")) {
            auto const at = existing_.find(*row[0]);
            if (at == existing_.end())
                continue;
            present_.insert(*row[0]);
            if (at->second.file == *row[1])
                continue;
            at->second.file = *row[1];
            if (!truncates)
                rewrites.insert(at->second.name.display());
        }
        std::set<std::string> scans;
        std::set<std::string> builds;
        for (auto const& line : ran.said) {
            if (auto const table = quoted_after(line, "rewriting table \""))
                add_named(*table, rewrites);
            if (auto const table = quoted_after(line, "verifying table \""))
                add_named(*table, scans);
            if (auto const key = quoted_after(line, "validating foreign key constraint \""))
                add_child_of(*key, scans);
            if (line.starts_with("building index \"")) {
                auto const on = line.find("\" on table \"");
                if (on != std::string::npos)
                    add_named(*quoted_after(std::string_view{line}.substr(on), "\" on table \""), builds);
            }
        }
        seen.rewrites.assign(rewrites.begin(), rewrites.end());
        seen.scans.assign(scans.begin(), scans.end());
        seen.builds.assign(builds.begin(), builds.end());
    }

    void see_locks(Observed& seen) {
        seen.watched = trace_->state() == pg::Trace::State::in_transaction;
        if (!seen.watched) {
            held_.clear();
            return;
        }
        Held now;
        for (auto const& row : trace_->ask("SELECT relation, mode FROM pg_catalog.pg_locks WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'relation' "
                                           "AND granted AND relation >= 16384")) {
            auto const at = existing_.find(*row[0]);
            if (at == existing_.end())
                continue;
            auto const mode = lock_of(*row[1]);
            now.insert({*row[0], mode});
            seen.held.push_back({at->second.name, mode});
            if (!held_.contains({*row[0], mode}))
                seen.taken.push_back({at->second.name, mode});
        }
        held_ = std::move(now);
    }

    // The server says a table's name without its schema: one that was made anew in the change set is not meant.
    void add_named(std::string const& table, std::set<std::string>& to) const {
        for (auto const& [oid, relation] : existing_) {
            if (relation.name.name == table && present_.contains(oid))
                to.insert(relation.name.display());
        }
    }

    void add_child_of(std::string const& key, std::set<std::string>& to) {
        for (auto const& row : trace_->ask("SELECT conrelid FROM pg_catalog.pg_constraint WHERE contype = 'f' AND conname = " + sql::literal(key))) {
            auto const at = existing_.find(*row[0]);
            if (at != existing_.end())
                to.insert(at->second.name.display());
        }
    }

    // After a file that was rolled back, or changed what no statement was seen to change.
    void refresh_files() {
        if (trace_->state() != pg::Trace::State::idle)
            trace_->ask("ROLLBACK");
        for (auto const& row : trace_->ask("SELECT oid, relfilenode FROM pg_catalog.pg_class WHERE relkind IN ('r', 'm') AND oid >= 16384")) {
            if (auto const at = existing_.find(*row[0]); at != existing_.end())
                at->second.file = *row[1];
        }
    }

    ScratchRequest const& request_;
    lint::Input const& input_;
    base::Interrupt& interrupt_;
    ScratchDatabase database_;
    std::optional<ScratchDatabase> other_;
    std::optional<ScratchSync> syncs_;
    std::optional<pg::Trace> trace_;
    std::map<std::string, Relation> existing_; // by oid
    std::set<std::string> present_; // of these: neither dropped nor made anew under the same name
    Held held_;
    ScratchResult result_;
    int roles_ = 0;
};

} // namespace

ScratchResult run_on_scratch(ScratchRequest const& request, lint::Input const& input, base::Interrupt& interrupt,
                             std::vector<lint::Rewrite> const& rewrites) {
    auto result = Runner{request, input, interrupt}.run();
    if (!rewrites.empty())
        result.rewrites = Runner{request, input, interrupt}.run(rewrites);
    return result;
}

} // namespace pgcarve::run
