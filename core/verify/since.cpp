#include "verify/since.hpp"

namespace pgcarve::verify {

namespace {

using sql::Sql;

constexpr std::uint64_t half_of_all = 1ULL << 31U;
constexpr std::uint64_t margin = 100'000'000; // given out while somebody looks
constexpr std::size_t keys_at_a_time = 2'000;

// age() grows with the number's distance from the newest, and is greatest for frozen rows. In a subquery it is computed once.
void add_touched(Sql& q, std::uint64_t horizon) {
    constexpr std::uint32_t first_normal = 3; // those below never stand for a transaction
    auto const low = static_cast<std::uint32_t>(horizon);
    q.add("pg_catalog.age(x.xmin) <= (SELECT pg_catalog.age(").bind(std::to_string(low < first_normal ? first_normal : low)).add("::pg_catalog.xid))");
}

void add_column(Sql& q, std::string const& name) {
    std::string const one[]{name};
    q.names(one, "x");
}

void add_text(Sql& q, std::string const& name) {
    q.add("pg_catalog.format('%s', ");
    add_column(q, name);
    q.add(")");
}

// 64 bits of the key's bytes.
void add_key_hash(Sql& q, PairShape const& shape, std::size_t parts) {
    if (parts == 0) {
        q.add("0");
        return;
    }
    auto const& column = shape.columns[shape.key[parts - 1].column];
    bool const number = column.type == "smallint" || column.type == "integer" || column.type == "bigint";
    if (number) {
        q.add("pg_catalog.hashint8extended(");
        add_column(q, column.name);
        q.add("::pg_catalog.int8, ");
    } else if (column.type == "uuid") {
        q.add("pg_catalog.uuid_hash_extended(");
        add_column(q, column.name);
        q.add(", ");
    } else {
        q.add("pg_catalog.hashtextextended(");
        if (column.textual)
            add_column(q, column.name);
        else
            add_text(q, column.name);
        q.add(" COLLATE \"C\", ");
    }
    add_key_hash(q, shape, parts - 1);
    q.add(")");
}

void add_from(Sql& q, PairShape const& shape, bool source) { q.add(" FROM ").add(source ? shape.source : shape.target).add(" AS x"); }

void add_summary(Sql& q, PairShape const& shape, bool source, std::uint64_t horizon, std::string const& where) {
    q.add("(SELECT pg_catalog.count(*) AS rows, pg_catalog.sum(");
    add_key_hash(q, shape, shape.key.size());
    q.add(") AS keys, pg_catalog.count(*) FILTER (WHERE ");
    add_touched(q, horizon);
    q.add(") AS touched");
    add_from(q, shape, source);
    // The operator's own SQL: it runs with the operator's rights, in a read-only transaction.
    if (!where.empty())
        q.add(" WHERE (").server_text(where).add("\n)");
    q.add(")");
}

} // namespace

bool can_tell(std::uint64_t horizon, std::uint64_t next) { return horizon <= next && next - horizon < half_of_all - margin; }

SinceLook look_since(pg::Session& session, PairShape const& shape, std::uint64_t horizon, std::string const& where) {
    Sql q{"SELECT s.rows, s.touched + t.touched AS touched, s.rows = t.rows AND s.keys IS NOT DISTINCT FROM t.keys AS same FROM "};
    add_summary(q, shape, true, horizon, where);
    q.add(" AS s, ");
    add_summary(q, shape, false, horizon, where);
    auto const row = session.one(q.add(" AS t"));
    if (auto const why = changed_since_snapshot(session, {shape.source_oid, shape.target_oid}); !why.empty())
        throw Incomparable{why};
    return {row.integer("rows"), row.integer("touched"), row.boolean("same")};
}

AcrossCounts compare_since(pg::Session& session, PairShape const& shape, std::uint64_t horizon, std::string const& where,
                           std::function<void(model::Finding const&, Key const&)> const& found, std::function<bool()> const& going_on) {
    // Whether `where` holds may have changed on one side: keys are looked up whatever it says, and it decides then.
    Sql q{"DECLARE pgcarve_touched NO SCROLL CURSOR FOR "};
    for (bool const source : {true, false}) {
        q.add(source ? Sql::Fixed{"SELECT "} : Sql::Fixed{" UNION SELECT "});
        for (std::size_t i = 0; i < shape.key.size(); ++i) {
            if (i > 0)
                q.add(", ");
            add_text(q, shape.columns[shape.key[i].column].name);
            q.add(" COLLATE \"C\"");
        }
        add_from(q, shape, source);
        q.add(" WHERE ");
        add_touched(q, horizon);
    }
    session.query(q);
    AcrossCounts counts;
    while (going_on()) {
        auto const rows = session.query(Sql{"FETCH "}.number(static_cast<long long>(keys_at_a_time)).add(" FROM pgcarve_touched"));
        if (rows.empty())
            break;
        Scope scope;
        scope.where = where;
        scope.keys.emplace();
        for (auto const row : rows) {
            Key key;
            for (std::size_t i = 0; i < shape.key.size(); ++i)
                key.push_back(row.text(static_cast<int>(i)));
            scope.keys->push_back(std::move(key));
        }
        auto const part = compare_range(session, shape, scope, keys_at_a_time, 0);
        counts.add(part.counts);
        for (auto const& finding : part.samples) {
            Key key;
            for (auto const& [column, value] : finding.key)
                key.push_back(value.value_or(""));
            found(finding, key);
        }
    }
    session.run("CLOSE pgcarve_touched");
    return counts;
}

} // namespace pgcarve::verify
