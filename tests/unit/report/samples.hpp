// One value of every kind that the renderers take, with everything in it that could go wrong: long names,
// wide characters, escapes, nothing.
#pragma once

#include "report/render.hpp"

namespace pgcarve::test {

inline model::Gate closed_gate() {
    using enum model::ConditionState;
    return {{{"window", fail, "3d 4h", "28d", "wait 24d 20h", {}},
             {"clean_runs", pass, "7", "7", "", {}},
             {"last_verification", unknown, "", "24h", "pgcarve verify checkout", {}},
             {"crossings", fail, "2 undecided", "0", "decide them in pgcarve.toml",
              "agreed with the\x1b[31m team"}}};
}

inline model::Gate open_gate() {
    return {{{"window", model::ConditionState::pass, "28d", "28d", "", {}}}};
}

inline model::Plan plan() {
    model::Plan plan;
    plan.service = "checkout";
    plan.verb = "split";
    plan.tables = {
        {{"public", "orders"}, {"checkout", "orders"}, {"id"}, true, false, {"id", "total"}},
        {{"public", "Order Lines"}, {"checkout", "Order Lines"}, {"order_id", "line"}, false, false, {}},
        {{"public", "payment"}, {"checkout", "payment"}, {"id", "paid_at"}, true, false, {}},
        {{"public", "payment_2026_01"}, {"checkout", "payment_2026_01"}, {"id", "paid_at"}, true, true, {}},
    };
    plan.crossings = {
        {"foreign_key", "orders.customer_id -> customers", "customers", "loose", "ON DELETE CASCADE"},
        {"view", "public.v_sales", "orders", "undecided", "reads orders"}};
    plan.notices = {{false, "public.orders", "has a rule, which is not carried", ""},
                    {true, "public.log", "has no key", "ALTER TABLE public.log ADD PRIMARY KEY (id)"}};
    plan.steps = {
        {"schema",
         {"CREATE SCHEMA \"checkout\""},
         "",
         "the service's own schema",
         {"DROP SCHEMA \"checkout\""}},
        {"mirror:orders",
         {"CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n  RETURN NULL;\nEND\n$$",
          "CREATE TRIGGER t AFTER INSERT ON \"public\".\"orders\" EXECUTE FUNCTION f();"},
         "SHARE ROW EXCLUSIVE on public.orders",
         "every write is applied to both sides",
         {}},
        {"backfill:orders", {}, "", "rows that were there before", {}}};
    return plan;
}

inline model::Verification verification() {
    model::Verification run;
    run.id = 12;
    run.service = "checkout";
    run.verdict = model::Verdict::different;
    run.mode = "full";
    run.proven_lsn = {0x16B374D848};
    run.proven_time = "2026-11-22T13:00:00Z";
    run.seconds = 12.3456;
    model::TableVerification clean{
        {"public", "orders"}, {"checkout", "orders"}, model::Verdict::clean, "", 1234567, 0, 0, 0, {}};
    model::TableVerification bad{{"public", "größe_漢字"},
                                 {"checkout", "größe_漢字"},
                                 model::Verdict::different,
                                 "",
                                 42,
                                 1,
                                 1,
                                 12,
                                 {}};
    bad.samples = {{model::FindingKind::missing, {{"id", "7"}}, {}, {}},
                   {model::FindingKind::extra, {{"id", "8"}, {"part", std::nullopt}}, {}, {}},
                   {model::FindingKind::different,
                    {{"id", "9"}},
                    {"total", "note"},
                    {{"total", "1.0", "1.00"}, {"note", "", std::nullopt}}}};
    model::TableVerification cut{{"public", "big"},
                                 {"checkout", "big"},
                                 model::Verdict::incomplete,
                                 "time budget used up",
                                 1000,
                                 0,
                                 0,
                                 0,
                                 {}};
    run.tables = {clean, bad, cut};
    return run;
}

inline model::ServiceStatus status() {
    model::ServiceStatus s;
    s.service = "checkout";
    s.phase = "dual_writing";
    s.hop = "schema";
    s.authority = "shared";
    s.window = {28 * 86400, 3 * 86400 + 4 * 3600, "2026-11-19T09:00:00Z"};
    s.lag = {0, 0.0};
    s.last_verification = {12, model::Verdict::clean, "full", "2026-11-22T11:00:00Z", 7200, 1234567, 0, 3};
    s.gate = closed_gate();
    s.next = "pgcarve verify checkout";
    return s;
}

inline model::ServiceStatus busy_status() {
    model::ServiceStatus s;
    s.service = "reporting";
    s.phase = "backfilling";
    s.hop = "schema";
    s.authority = "shared";
    s.window.required_seconds = 3600;
    s.copy = {3, 12, 1234, 99000, 200.0};
    s.throttled = "replica standby1 is 12s behind (limit 10s)";
    s.drift = {"public.orders: column note was added"};
    s.unfinished = "pgcarve split reporting";
    s.next = "pgcarve split reporting";
    return s;
}

inline model::CutoverResult cutover() {
    model::CutoverResult r;
    r.service = "checkout";
    r.from = "dual_writing";
    r.to = "schema_live";
    r.predicted_write_block_ms = 20;
    r.write_block_ms = 12.3456;
    r.gate = open_gate();
    r.next = "pgcarve status checkout";
    return r;
}

inline model::DoctorReport doctor() {
    using enum model::DoctorLevel;
    return {{{fine, "version", "server", "15.20", "", "", {}, ""},
             {problem,
              "wal_level",
              "wal_level",
              "the database hop needs logical decoding",
              "replica",
              "logical",
              {"ALTER SYSTEM SET wal_level = 'logical';"},
              "restart the server"},
             {advice,
              "pg_stat_statements",
              "pg_stat_statements",
              "is not installed",
              "",
              "",
              {"CREATE EXTENSION pg_stat_statements;"},
              ""},
             {decision,
              "unfinished-step",
              "service checkout",
              "a cutover was interrupted",
              "",
              "",
              {},
              "pgcarve cutover checkout"}}};
}

inline base::Error error() {
    base::Error e{base::Exit::needs_decision, "target-not-empty", "table checkout.orders has 1203 rows",
                  "run `pgcarve status checkout`"};
    e.with("source: public.orders").with("two\nlines \x1b]0;title\x07");
    return e;
}

} // namespace pgcarve::test
