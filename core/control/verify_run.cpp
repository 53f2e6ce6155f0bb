#include "control/verify_run.hpp"

#include <random>

#include <fmt/format.h>

namespace pgcarve::control {

using nlohmann::json;
using sql::Sql;

namespace {

constexpr base::Millis forgotten{30LL * 24 * 3600 * 1000}; // runs that nobody takes up any more
constexpr base::Millis remembered{24LL * 3600 * 1000};      // with a verdict: for those that are about to end with it

long long draw() {
    std::random_device random;
    return static_cast<long long>((static_cast<std::uint64_t>(random()) << 31) ^ random());
}

std::string text_of(base::Millis time) { return std::to_string(time.count()); }

std::optional<std::string> text_of(std::optional<std::uint64_t> number) { return number ? std::optional{std::to_string(*number)} : std::nullopt; }

void add_interval(Sql& q, base::Millis time) { q.bind(text_of(time)).add("::float8 / 1000 * interval '1 second'"); }

// The lock under which runs begin. Its holder compares nothing meanwhile, so it is short.
void add_lock(Sql& q, std::string const& service) { q.add("hashtextextended('pgcarve verification of ' || ").bind(service).add(", 0)"); }

// A range again as if nobody had looked at it.
constexpr Sql::Fixed anew = "UPDATE pgcarve.verify_range SET holder = NULL, pid = NULL, held_until = NULL, proven_from = NULL, proven_at = NULL,"
                            " compared_at = NULL, row_count = 0, missing = 0, extra = 0, different = 0, found = NULL, horizon = NULL WHERE run = ";

} // namespace

VerifyRun::VerifyRun(pg::SessionSettings settings, std::string service, std::string subject)
    : session_{std::move(settings)}, service_{std::move(service)}, subject_{std::move(subject)}, holder_{draw()} {
    // What a crash of the server takes away is claimed or compared again.
    session_.run("SET synchronous_commit = off");
}

VerifyRun::~VerifyRun() {
    try {
        if (run_ != 0 && session_.alive())
            session_.query(Sql{"UPDATE pgcarve.verify_range SET holder = NULL, pid = NULL, held_until = NULL WHERE proven_at IS NULL AND run = "}
                               .number(run_)
                               .add(" AND holder = ")
                               .number(holder_));
    } catch (base::Error const&) { // NOLINT(bugprone-empty-catch)
        // Others take over what this one held when its session is gone.
    }
}

bool VerifyRun::attach(base::Millis max_age, bool fresh, std::function<void()> const& waiting) {
    std::lock_guard const guard{mutex_};
    for (;;) {
        Sql lock{"SELECT pg_try_advisory_lock("};
        add_lock(lock, service_);
        if (session_.one(lock.add(") AS locked")).boolean("locked"))
            break;
        waiting();
    }
    Sql old{"DELETE FROM pgcarve.verify_run WHERE service = "};
    old.bind(service_).add(" AND (began_at < clock_timestamp() - ");
    add_interval(old, forgotten);
    old.add(" OR verification IS NOT NULL AND began_at < clock_timestamp() - ");
    add_interval(old, remembered);
    session_.query(old.add(")"));
    if (fresh)
        return false;
    // The newest alone: what was broken off before a later verdict is not taken up behind it.
    auto const found = session_.maybe_one(Sql{"SELECT id, verification IS NULL AS open FROM pgcarve.verify_run WHERE service = "}
                                              .bind(service_)
                                              .add(" AND subject = ")
                                              .bind(subject_)
                                              .add(" ORDER BY id DESC LIMIT 1"));
    if (!found || !found->boolean("open"))
        return false;
    run_ = found->integer("id");
    Sql stale{anew};
    stale.number(run_).add(" AND (missing + extra + different > 0 OR compared_at < clock_timestamp() - ");
    add_interval(stale, max_age);
    session_.query(stale.add(")"));
    Sql unlock{"SELECT pg_advisory_unlock("};
    add_lock(unlock, service_);
    session_.query(unlock.add(")"));
    return true;
}

void VerifyRun::begin(std::vector<VerifyRange> const& ranges) {
    std::lock_guard const guard{mutex_};
    pg::Transaction transaction{session_};
    run_ = session_.one(Sql{"INSERT INTO pgcarve.verify_run (service, subject) VALUES ("}.bind(service_).add(", ").bind(subject_).add(") RETURNING id")).integer("id");
    constexpr std::size_t at_a_time = 1'000;
    for (std::size_t from = 0; from < ranges.size(); from += at_a_time) {
        auto lines = json::array();
        for (auto i = from; i < std::min(ranges.size(), from + at_a_time); ++i)
            lines.push_back({{"n", ranges[i].n}, {"source_table", ranges[i].source_table}, {"scope", ranges[i].scope}});
        session_.query(Sql{"INSERT INTO pgcarve.verify_range (run, n, source_table, scope) SELECT "}
                           .number(run_)
                           .add(", n, source_table, scope FROM jsonb_to_recordset(")
                           .bind(lines.dump())
                           .add("::jsonb) AS r (n integer, source_table text, scope jsonb)"));
    }
    transaction.commit();
    Sql unlock{"SELECT pg_advisory_unlock("};
    add_lock(unlock, service_);
    session_.query(unlock.add(")"));
}

std::optional<VerifyRange> VerifyRun::claim(std::set<std::string> const& without) {
    std::lock_guard const guard{mutex_};
    // MATERIALIZED: joined as it is, the subquery may be run again for each line, and claim another one each time.
    Sql q{"WITH next AS MATERIALIZED (SELECT n FROM pgcarve.verify_range AS o WHERE proven_at IS NULL AND run = "};
    q.number(run_)
        .add(" AND source_table <> ALL (")
        .bind(pg::format_array({without.begin(), without.end()}))
        .add("::text[]) AND (holder IS NULL OR held_until < clock_timestamp() OR NOT EXISTS (SELECT FROM pg_stat_activity AS a WHERE a.pid = o.pid))"
             " ORDER BY n LIMIT 1 FOR UPDATE SKIP LOCKED) UPDATE pgcarve.verify_range AS r SET holder = ")
        .number(holder_)
        .add(", pid = pg_backend_pid(), held_until = clock_timestamp() + ");
    add_interval(q, hold);
    q.add(" FROM next WHERE r.n = next.n AND r.run = ")
        .number(run_)
        .add(" RETURNING r.n, r.source_table, r.scope::text AS scope");
    auto const row = session_.maybe_one(q);
    if (!row)
        return std::nullopt;
    return VerifyRange{static_cast<int>(row->integer("n")), row->text("source_table"), json::parse(row->text("scope"))};
}

void VerifyRun::renew() {
    std::lock_guard const guard{mutex_};
    Sql q{"UPDATE pgcarve.verify_range SET held_until = clock_timestamp() + "};
    add_interval(q, hold);
    session_.query(q.add(" WHERE proven_at IS NULL AND run = ").number(run_).add(" AND holder = ").number(holder_));
}

void VerifyRun::let_go(int n) {
    std::lock_guard const guard{mutex_};
    session_.query(Sql{"UPDATE pgcarve.verify_range SET holder = NULL, pid = NULL, held_until = NULL WHERE proven_at IS NULL AND run = "}
                       .number(run_)
                       .add(" AND n = ")
                       .number(n)
                       .add(" AND holder = ")
                       .number(holder_));
}

bool VerifyRun::prove(int n, RangeProof const& proof) {
    std::lock_guard const guard{mutex_};
    return session_
               .query(Sql{"UPDATE pgcarve.verify_range SET compared_at = clock_timestamp(), proven_from = "}
                          .bind(proof.from.text())
                          .add("::pg_lsn, proven_at = ")
                          .bind(proof.at.text())
                          .add("::pg_lsn, row_count = ")
                          .number(proof.rows)
                          .add(", missing = ")
                          .number(proof.missing)
                          .add(", extra = ")
                          .number(proof.extra)
                          .add(", different = ")
                          .number(proof.different)
                          .add(", found = ")
                          .bind(proof.found.is_null() ? std::nullopt : std::optional{proof.found.dump()})
                          .add("::jsonb, horizon = ")
                          .bind(text_of(proof.horizon))
                          .add("::xid8 WHERE proven_at IS NULL AND run = ")
                          .number(run_)
                          .add(" AND n = ")
                          .number(n)
                          .add(" AND holder = ")
                          .number(holder_))
               .affected() == 1;
}

std::vector<VerifyRun::Range> VerifyRun::ranges() {
    std::lock_guard const guard{mutex_};
    std::vector<Range> all;
    for (auto const row : session_.query(
             Sql{"SELECT n, source_table, proven_from::text AS proven_from, proven_at::text AS proven_at, row_count, missing, extra,"
                 " different, found::text AS found, horizon::text AS horizon, to_char(compared_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS compared_at,"
                 " coalesce(holder <> "}
                 .number(holder_)
                 .add(" AND proven_at IS NULL AND held_until >= clock_timestamp(), false) AS held FROM pgcarve.verify_range WHERE run = ")
                 .number(run_)
                 .add(" ORDER BY n"))) {
        Range range{static_cast<int>(row.integer("n")), row.text("source_table"), {}, row.boolean("held")};
        if (auto const from = row.maybe("proven_from")) {
            auto const found = row.maybe("found");
            range.proof = RangeProof{base::Lsn::parse(*from).value(),
                                     base::Lsn::parse(row.text("proven_at")).value(),
                                     row.text("compared_at"),
                                     row.integer("row_count"),
                                     row.integer("missing"),
                                     row.integer("extra"),
                                     row.integer("different"),
                                     found ? json::parse(*found) : json(nullptr),
                                     {}};
            if (auto const horizon = row.maybe("horizon"))
                range.proof->horizon = std::stoull(*horizon);
        }
        all.push_back(std::move(range));
    }
    return all;
}

void VerifyRun::raise(std::vector<int> const& numbers, std::optional<base::Lsn> since, base::Lsn from, base::Lsn at, std::optional<std::uint64_t> horizon) {
    std::lock_guard const guard{mutex_};
    std::vector<std::string> texts;
    for (auto const n : numbers)
        texts.push_back(std::to_string(n));
    Sql q{"UPDATE pgcarve.verify_range SET proven_from = "};
    q.bind(from.text()).add("::pg_lsn, proven_at = ").bind(at.text()).add("::pg_lsn, horizon = ").bind(text_of(horizon));
    q.add("::xid8 WHERE missing + extra + different = 0 AND proven_at < ").bind(at.text()).add("::pg_lsn AND run = ").number(run_);
    q.add(" AND n = ANY (").bind(pg::format_array(texts)).add("::int4[])");
    if (since)
        q.add(" AND proven_from >= ").bind(since->text()).add("::pg_lsn");
    session_.query(q);
}

void VerifyRun::forget_before(std::optional<base::Lsn> limit) {
    std::lock_guard const guard{mutex_};
    Sql q{anew};
    q.number(run_).add(" AND proven_at IS NOT NULL");
    if (limit)
        q.add(" AND proven_from < ").bind(limit->text()).add("::pg_lsn");
    session_.query(q);
}

void VerifyRun::forget_table(std::string const& source_table) {
    std::lock_guard const guard{mutex_};
    Sql q{anew};
    session_.query(q.number(run_).add(" AND proven_at IS NOT NULL AND source_table = ").bind(source_table));
}

long long VerifyRun::finish(std::function<long long()> const& record) {
    std::lock_guard const guard{mutex_};
    pg::Transaction transaction{session_};
    auto const row = session_.maybe_one(Sql{"SELECT verification FROM pgcarve.verify_run WHERE id = "}.number(run_).add(" FOR UPDATE"));
    if (row && row->maybe("verification"))
        return row->integer("verification");
    auto const id = record();
    session_.query(Sql{"UPDATE pgcarve.verify_run SET verification = "}.number(id).add(" WHERE id = ").number(run_));
    transaction.commit();
    return id;
}

} // namespace pgcarve::control
