#include <algorithm>

#include "mirrorgen/parts.hpp"

namespace pgcarve::mirrorgen {

using sql::Sql;

namespace {

bool has(std::vector<std::string> const& list, std::string const& name) {
    return std::ranges::find(list, name) != list.end();
}

// Writes the bodies of one table's mirror functions.
class Bodies {
public:
    explicit Bodies(Spec const& tables) : tables_{tables}, spec_{through_views(tables)}, key_names_{names_of(tables.key)} {}

    // An immediate key: rows are upserted and deleted one by one, in the statement's order.

    [[nodiscard]] std::string insert() const { return wrap(defer().add(fresh("pgcarve_new")).add(make_room()).add(upsert("pgcarve_new"))); }

    [[nodiscard]] std::string update() const {
        Sql sql = defer();
        sql.add(fresh("pgcarve_new"));
        if (spec_.authority_partitioned) // a row that moves to another partition fires no row trigger for UPDATE
            sql.add(fresh("pgcarve_old")).add(remove("pgcarve_old"));
        return wrap(sql.add(make_room()).add(spec_.repeats ? upsert(once("pgcarve_new")) : upsert("pgcarve_new")));
    }

    [[nodiscard]] std::string remove_all() const { return wrap(defer().add(fresh("pgcarve_old")).add(remove("pgcarve_old"))); }

    // A row's key changed. Renaming it at the follower lets ON UPDATE actions of foreign keys there do what they
    // did at the authority; where that is not possible the old key goes, and the statement's trigger writes the new one.
    [[nodiscard]] std::string rename() const {
        Sql sql = defer();
        bool const settable = std::ranges::none_of(key_names_, [&](auto const& k) { return has(spec_.fixed, k); });
        auto const& f = spec_.follower;
        sql.add(fresh_row("OLD"));
        if (changed_fixed().text() != "") {
            sql.add("    IF ").add(changed_fixed()).add(" THEN -- an UPDATE cannot set it\n        ");
            sql.add(delete_row("OLD")).add("        RETURN NULL;\n    END IF;\n");
        }
        if (settable) {
            sql.add("    UPDATE ").add(f).add(" AS t SET ");
            for (std::size_t i = 0; i < key_names_.size(); ++i) {
                auto const name = sql::Ident{key_names_[i]};
                sql.add(i > 0 ? Sql::Fixed{", "} : Sql::Fixed{""}).add(name).add(" = NEW.").add(name);
            }
            sql.add("\n    WHERE ").add(same_key(spec_.key, "t", "OLD"));
            sql.add("\n      AND ").add(exists(spec_.authority, spec_.key, "x", "NEW"));
            sql.add("\n      AND NOT ").add(exists(f, spec_.key, "u", "NEW")).add(";\n");
            sql.add("    IF FOUND THEN\n        RETURN NULL;\n    END IF;\n");
        }
        return wrap(sql.add(remove_row("OLD")));
    }

    // One row of a partition which came after the statement triggers were made.
    [[nodiscard]] std::string late() const {
        Sql sql = defer();
        sql.add("    IF TG_OP <> 'INSERT' THEN\n").add(fresh_row("OLD")).add(remove_row("OLD")).add("    END IF;\n");
        sql.add("    IF TG_OP <> 'DELETE' THEN\n").add(fresh_row("NEW")).add("    INSERT INTO ").add(spec_.follower).add(" (").names(spec_.columns);
        sql.add(") OVERRIDING SYSTEM VALUE\n    SELECT ").names(spec_.columns, "x").add(" FROM ").add(spec_.authority);
        sql.add(" AS x WHERE ").add(same_key(spec_.key, "x", "NEW")).add("\n    ").add(on_conflict()).add(";\n    END IF;\n");
        return wrap(sql);
    }

    // A deferrable key: two rows may bear one key until the transaction ends, so the follower's rows of a
    // touched key are replaced by all that the authority has.
    [[nodiscard]] std::string replace(Sql::Fixed touched) const {
        Sql keys{"(SELECT DISTINCT "};
        keys.names(key_names_, "k").add(" FROM (").add(select_keys(touched)).add(") AS k) AS n");
        Sql sql = defer();
        if (touched.text != "new")
            sql.add(fresh("pgcarve_old"));
        if (touched.text != "old")
            sql.add(fresh("pgcarve_new"));
        if (spec_.direction == Direction::forward) {
            sql.add("    -- Waits for a backfill that is copying one of these rows.\n    PERFORM FROM ").add(spec_.authority);
            sql.add(" AS x, ").add(keys).add(" WHERE ").add(same_key(spec_.key, "x", "n")).add(" FOR UPDATE OF x;\n");
        }
        if (touched.text != "old")
            sql.add(make_room());
        sql.add("    DELETE FROM ").add(spec_.follower).add(" AS t USING ").add(keys).add(" WHERE ");
        sql.add(same_key(spec_.key, "t", "n")).add(";\n");
        if (touched.text != "new")
            sql.add(prove_gone());
        sql.add("    INSERT INTO ").add(spec_.follower).add(" (").names(spec_.columns).add(") OVERRIDING SYSTEM VALUE\n    SELECT ");
        sql.names(spec_.columns, "s").add(" FROM ").add(keys).add(" CROSS JOIN LATERAL ").add(current_row("n")).add(" AS s;\n");
        return wrap(sql);
    }

    // replace() for one row of a partition which came later.
    [[nodiscard]] std::string late_replace() const {
        Sql sql = defer();
        auto const one = [&](std::string_view record) {
            sql.add(fresh_row(record)).add("    ").add(delete_row(record)).add("    INSERT INTO ").add(spec_.follower).add(" (").names(spec_.columns);
            sql.add(") OVERRIDING SYSTEM VALUE\n    SELECT ").names(spec_.columns, "x").add(" FROM ").add(spec_.authority);
            sql.add(" AS x WHERE ").add(same_key(spec_.key, "x", record)).add(";\n");
        };
        sql.add("    IF TG_OP <> 'INSERT' THEN\n");
        one("OLD");
        sql.add("    END IF;\n    IF TG_OP <> 'DELETE' THEN\n");
        one("NEW");
        return wrap(sql.add("    END IF;\n"));
    }

    [[nodiscard]] std::string truncate(Partition const* leaf) const {
        Sql sql = defer();
        auto const keep = [&](sql::QName const& follower, sql::QName const& authority, std::vector<KeyColumn> const& key) {
            sql.add("    DELETE FROM ").add(follower).add(" AS t WHERE NOT EXISTS (SELECT FROM ").add(authority);
            sql.add(" AS x WHERE ").add(same_key(key, "x", "t")).add(");\n");
        };
        if (spec_.follower_referenced) {
            // TRUNCATE would refuse a referenced table; what references the rows was truncated with them.
            sql.add(refuse_old_snapshot());
            for (auto const& child : spec_.referencing)
                keep(child.follower, child.authority, child.key);
            keep(spec_.follower, spec_.authority, spec_.key);
        } else if (leaf == nullptr || leaf->counterpart) {
            // It would also refuse a table with checks that are still to come because the mirror deferred them.
            sql.add(set_constraints("IMMEDIATE"));
            sql.add("    TRUNCATE ").add(leaf == nullptr ? tables_.follower : *leaf->counterpart).add(";\n").add(defer());
        } else {
            sql.add(refuse_old_snapshot());
            keep(spec_.follower, spec_.authority, spec_.key);
        }
        // A trigger of the application may have written since.
        sql.add("    INSERT INTO ").add(spec_.follower).add(" (").names(spec_.columns).add(") OVERRIDING SYSTEM VALUE\n    SELECT ");
        sql.names(spec_.columns, "x").add(" FROM ").add(leaf == nullptr ? spec_.authority : leaf->name).add(" AS x");
        sql.add("\n    WHERE NOT EXISTS (SELECT FROM ").add(spec_.follower).add(" AS t WHERE ").add(same_key(spec_.key, "t", "x"));
        sql.add(")");
        if (!spec_.deferrable_key)
            sql.add("\n    ON CONFLICT (").names(key_names_).add(") DO NOTHING");
        sql.add(";\n");
        return wrap(sql);
    }

    // NOT (OLD.k = NEW.k), or a fixed column changed.
    [[nodiscard]] std::string key_changed() const {
        Sql sql{"NOT ("};
        sql.add(same_key(spec_.key, "OLD", "NEW")).add(")");
        auto const fixed = changed_fixed();
        if (!fixed.text().empty())
            sql.add(" OR ").add(fixed);
        return sql.text();
    }

private:
    [[nodiscard]] static std::string wrap(Sql const& statements) {
        Sql sql{"\n#variable_conflict use_column\nDECLARE\n    touched bigint;\nBEGIN\n"};
        return sql.add(statements).add("    RETURN NULL;\nEND\n").text();
    }

    [[nodiscard]] Sql defer() const { return set_constraints("DEFERRED"); }

    [[nodiscard]] Sql set_constraints(Sql::Fixed mode) const {
        Sql sql;
        if (spec_.deferrable.empty())
            return sql;
        sql.add("    SET CONSTRAINTS ");
        for (std::size_t i = 0; i < spec_.deferrable.size(); ++i)
            sql.add(i > 0 ? Sql::Fixed{", "} : Sql::Fixed{""}).add(spec_.deferrable[i]);
        return sql.add(" ").add(mode).add(";\n");
    }

    // TRUNCATE empties a table whatever the snapshot, but the DELETE that stands for it at the follower would leave
    // what the snapshot does not see.
    [[nodiscard]] Sql refuse_old_snapshot() const {
        Sql sql{"    IF "};
        sql.add(old_snapshot).add(" THEN\n        RAISE EXCEPTION USING ERRCODE = '0A000',\n            MESSAGE = ");
        sql.literal("table " + tables_.authority.quoted() + " is mirrored and can be truncated only in a READ COMMITTED transaction");
        sql.add(",\n            HINT = ").literal("begin the transaction with ISOLATION LEVEL READ COMMITTED, or use DELETE");
        return sql.add(";\n    END IF;\n");
    }

    // The fixed columns outside the key: OLD.c IS DISTINCT FROM NEW.c OR …
    [[nodiscard]] Sql changed_fixed() const {
        Sql sql;
        for (auto const& column : spec_.fixed) {
            if (has(key_names_, column))
                continue;
            auto const name = sql::Ident{column};
            sql.add(sql.text().empty() ? Sql::Fixed{"OLD."} : Sql::Fixed{" OR OLD."}).add(name);
            sql.add(" IS DISTINCT FROM NEW.").add(name);
        }
        return sql;
    }

    // An old snapshot still sees a row that others have deleted since, beside the one that this transaction gave
    // the same key: locking what is seen fails with 40001 on such a row.
    [[nodiscard]] Sql fresh(Sql::Fixed rows) const {
        Sql sql{"    IF "};
        sql.add(old_snapshot).add(" THEN\n        PERFORM FROM ").add(rows).add(" AS n CROSS JOIN LATERAL (SELECT FROM ");
        sql.add(spec_.authority).add(" AS x WHERE ").add(same_key(spec_.key, "x", "n"));
        return sql.add(" OFFSET 0 FOR KEY SHARE) AS s;\n    END IF;\n");
    }

    [[nodiscard]] Sql fresh_row(std::string_view record) const {
        Sql sql{"    IF "};
        sql.add(old_snapshot).add(" THEN\n        PERFORM FROM ").add(spec_.authority).add(" AS x WHERE ");
        return sql.add(same_key(spec_.key, "x", record)).add(" FOR KEY SHARE;\n    END IF;\n");
    }

    // (SELECT … FROM authority WHERE key = n.key OFFSET 0): one index probe for each row of n, in n's order.
    [[nodiscard]] Sql current_row(std::string_view n) const {
        Sql sql{"(SELECT "};
        sql.names(spec_.columns, "x").add(" FROM ").add(spec_.authority).add(" AS x WHERE ");
        return sql.add(same_key(spec_.key, "x", n)).add(" OFFSET 0)");
    }

    [[nodiscard]] Sql on_conflict() const {
        Sql sql{"ON CONFLICT ("};
        sql.names(key_names_).add(") DO ");
        bool any = false;
        for (auto const& column : spec_.columns) { // key columns too: equal keys may differ in bytes (1.0 and 1.00)
            if (has(spec_.fixed, column))
                continue;
            auto const name = sql::Ident{column};
            sql.add(any ? Sql::Fixed{", "} : Sql::Fixed{"UPDATE SET "}).add(name).add(" = EXCLUDED.").add(name);
            any = true;
        }
        return any ? sql : sql.add("NOTHING");
    }

    // Each key once, where it came first. Actions of foreign keys share one transition table with the statement.
    [[nodiscard]] Sql once(Sql::Fixed rows) const {
        Sql sql{"(SELECT "};
        sql.names(key_names_, "r").add(" FROM (SELECT ").names(key_names_, "q").add(", pg_catalog.row_number() OVER () AS pgcarve_at FROM ");
        sql.add(rows).add(" AS q) AS r GROUP BY ").names(key_names_, "r");
        return sql.add(" ORDER BY pg_catalog.min(r.pgcarve_at))");
    }

    [[nodiscard]] Sql upsert(Sql::Fixed rows) const { return upsert(Sql{rows}); }

    [[nodiscard]] Sql upsert(Sql const& rows) const {
        Sql sql{"    INSERT INTO "};
        sql.add(spec_.follower).add(" (").names(spec_.columns).add(") OVERRIDING SYSTEM VALUE\n    SELECT ");
        sql.names(spec_.columns, "s").add(" FROM ").add(rows).add(" AS n CROSS JOIN LATERAL ").add(current_row("n"));
        return sql.add(" AS s\n    ").add(on_conflict()).add(";\n");
    }

    // Inside another statement's triggers, and in MERGE (whose INSERT triggers come before those of its DELETE),
    // the follower may still hold a unique value that the authority has given to another row. Such rows go;
    // the trigger that is still to come for them writes them again. Where foreign keys would act on that, only
    // the value goes, if it may be NULL.
    [[nodiscard]] Sql make_room() const {
        Sql sql;
        for (auto const& unique : spec_.other_uniques) {
            if (spec_.follower_referenced && !unique.nullable)
                continue;
            if (spec_.follower_referenced)
                sql.add("        UPDATE ").add(spec_.follower).add(" AS t SET ").add(sql::Ident{*unique.nullable}).add(" = NULL FROM ");
            else
                sql.add("        DELETE FROM ").add(spec_.follower).add(" AS t USING ");
            sql.add("pgcarve_new AS n CROSS JOIN LATERAL ").add(current_row("n")).add(" AS s\n        WHERE ");
            sql.add(same_key(unique.columns, "t", "s")).add(" AND NOT (").add(same_key(spec_.key, "t", "s"));
            sql.add(")\n          AND NOT EXISTS (SELECT FROM ").add(spec_.authority).add(" AS x WHERE ").add(same_key(spec_.key, "x", "t"));
            sql.add(" AND ").add(same_key(unique.columns, "x", "t")).add(" OFFSET 0);\n");
        }
        if (sql.text().empty())
            return sql;
        Sql guarded{"    IF pg_catalog.pg_trigger_depth() > 1 OR pg_catalog.current_query() ILIKE '%merge%' THEN\n"};
        return guarded.add(sql).add("    END IF;\n");
    }

    [[nodiscard]] Sql delete_gone(Sql::Fixed rows) const {
        Sql sql{"DELETE FROM "};
        sql.add(spec_.follower).add(" AS t USING ").add(rows).add(" AS o\n    WHERE ").add(same_key(spec_.key, "t", "o"));
        return sql.add(" AND NOT ").add(exists(spec_.authority, spec_.key, "x", "o"));
    }

    // Whether the follower's constraints allow a row `o` that is not seen: where a row that it points at is missing,
    // or another one holds its unique value, it cannot be there, and must not be tried.
    [[nodiscard]] Sql may_exist(std::string_view o) const {
        Sql sql;
        for (auto const& unique : spec_.other_uniques) {
            if (!unique.partial)
                sql.add("\n          AND NOT EXISTS (SELECT FROM ").add(spec_.follower).add(" AS w WHERE ").add(same_key(unique.columns, "w", o)).add(")");
        }
        for (auto const& key : spec_.outgoing) {
            sql.add("\n          AND (");
            for (auto const& column : key.columns)
                sql.server_text(o).add(".").add(sql::Ident{column}).add(" IS NULL OR ");
            sql.add("EXISTS (SELECT FROM ").add(key.referenced).add(" AS p WHERE ");
            for (std::size_t i = 0; i < key.columns.size(); ++i) {
                sql.add(i > 0 ? Sql::Fixed{" AND p."} : Sql::Fixed{"p."}).add(sql::Ident{key.referenced_columns[i]});
                sql.add(" = ").server_text(o).add(".").add(sql::Ident{key.columns[i]});
            }
            sql.add("))");
        }
        return sql;
    }

    // Around a switch the follower has foreign keys, and its own actions may have taken a row, and the row it points at,
    // before. They are checked when every key has been tried: by then no hidden row was found. The subtransaction is
    // entered only by an old snapshot that misses a row.
    static constexpr Sql::Fixed proven_by_foreign_key = "            EXCEPTION WHEN foreign_key_violation THEN\n                NULL;\n            END;\n";

    // Follower rows of these keys go, unless the authority has the key again. A row that is there but invisible to
    // an old snapshot must not stay behind: inserting its key finds it, and fails with 40001.
    [[nodiscard]] Sql remove(Sql::Fixed rows) const {
        Sql sql{"    "};
        sql.add(delete_gone(rows)).add(";\n");
        sql.add("    IF ").add(old_snapshot).add(" THEN\n        GET DIAGNOSTICS touched = ROW_COUNT;\n");
        sql.add("        IF touched < (SELECT pg_catalog.count(*) FROM ").add(rows).add(" AS o WHERE NOT ");
        sql.add(exists(spec_.authority, spec_.key, "x", "o")).add(") THEN\n            BEGIN\n            INSERT INTO ").add(spec_.follower);
        sql.add(" (").names(spec_.columns).add(") OVERRIDING SYSTEM VALUE\n            SELECT ").names(spec_.columns, "o");
        sql.add(" FROM ").add(rows).add(" AS o WHERE NOT ").add(exists(spec_.authority, spec_.key, "x", "o"));
        sql.add(may_exist("o")).add("\n            ON CONFLICT (").names(key_names_).add(") DO NOTHING;\n            ");
        return sql.add(delete_gone(rows)).add(";\n").add(proven_by_foreign_key).add("        END IF;\n    END IF;\n");
    }

    [[nodiscard]] Sql delete_row(std::string_view record) const {
        Sql sql{"DELETE FROM "};
        return sql.add(spec_.follower).add(" AS t WHERE ").add(same_key(spec_.key, "t", record)).add(";\n");
    }

    [[nodiscard]] Sql remove_row(std::string_view record) const {
        Sql sql{"    IF NOT "};
        sql.add(exists(spec_.authority, spec_.key, "x", record)).add(" THEN\n        ").add(delete_row(record));
        sql.add("        IF NOT FOUND AND ").add(old_snapshot).add(" THEN\n            BEGIN\n            INSERT INTO ").add(spec_.follower).add(" (");
        sql.names(spec_.columns).add(") OVERRIDING SYSTEM VALUE\n            SELECT ").names(spec_.columns, record);
        sql.add(" WHERE true").add(may_exist(record)).add("\n            ON CONFLICT (").names(key_names_).add(") DO NOTHING;\n            ");
        return sql.add(delete_row(record)).add(proven_by_foreign_key).add("        END IF;\n    END IF;\n");
    }

    [[nodiscard]] Sql select_keys(Sql::Fixed touched) const {
        Sql sql;
        auto const from = [&](Sql::Fixed rows) { sql.add("SELECT ").names(key_names_, "r").add(" FROM ").add(rows).add(" AS r"); };
        if (touched.text != "new")
            from("pgcarve_old");
        if (touched.text == "both")
            sql.add(" UNION ALL ");
        if (touched.text != "old")
            from("pgcarve_new");
        return sql;
    }

    // The same for a deferrable key, which only shows a hidden row when it is checked at once. The subtransaction is
    // entered only by an old snapshot that misses a row.
    [[nodiscard]] Sql prove_gone() const {
        Sql sql{"    IF "};
        sql.add(old_snapshot).add(" THEN\n        GET DIAGNOSTICS touched = ROW_COUNT;\n        IF touched < (SELECT pg_catalog.count(*) FROM pgcarve_old AS o WHERE NOT ");
        sql.add(exists(spec_.authority, spec_.key, "x", "o")).add(") THEN\n");
        sql.add("            BEGIN\n                SET CONSTRAINTS ").add(*spec_.deferrable_key).add(" IMMEDIATE;\n                INSERT INTO ");
        sql.add(spec_.follower).add(" (").names(spec_.columns).add(") OVERRIDING SYSTEM VALUE\n                SELECT DISTINCT ON (").names(key_names_, "o").add(") ");
        sql.names(spec_.columns, "o").add(" FROM pgcarve_old AS o WHERE NOT ").add(exists(spec_.authority, spec_.key, "x", "o"));
        sql.add(may_exist("o"));
        sql.add(";\n            EXCEPTION WHEN unique_violation THEN\n");
        sql.add("                RAISE EXCEPTION 'could not serialize access due to concurrent update' USING ERRCODE = '40001';\n");
        sql.add("            WHEN foreign_key_violation THEN\n                NULL;\n            END;\n");
        sql.add("            DELETE FROM ").add(spec_.follower).add(" AS t USING pgcarve_old AS o WHERE ").add(same_key(spec_.key, "t", "o"));
        sql.add(" AND NOT ").add(exists(spec_.authority, spec_.key, "x", "o"));
        return sql.add(";\n            SET CONSTRAINTS ").add(*spec_.deferrable_key).add(" DEFERRED;\n        END IF;\n    END IF;\n");
    }

    Spec const& tables_;
    Spec spec_; // with the tables' views in their place
    std::vector<std::string> key_names_;
};

class Builder {
public:
    explicit Builder(Spec const& spec) : spec_{spec}, bodies_{spec} {
        made_.owners = spec.owners;
        made_.views = views_of(spec);
    }

    Machinery build() {
        bool const replaces = spec_.deferrable_key.has_value();
        bool const room = !spec_.other_uniques.empty();
        bool const old_rows = replaces || spec_.authority_partitioned;
        auto const insert = function("mirror_insert", replaces ? bodies_.replace("new") : bodies_.insert(), replaces || room);
        auto const update = function("mirror_update", replaces ? bodies_.replace("both") : bodies_.update(), old_rows || room);
        auto const remove = function("mirror_delete", replaces ? bodies_.replace("old") : bodies_.remove_all(), true);
        statement("pgcarve_mirror_insert", on_insert, insert, "", "pgcarve_new");
        statement("pgcarve_mirror_update", on_update, update, old_rows ? "pgcarve_old" : "", "pgcarve_new");
        statement("pgcarve_mirror_delete", on_delete, remove, "pgcarve_old", "");
        if (!replaces)
            key();
        if (spec_.authority_partitioned) {
            auto const late = function("mirror_late", replaces ? bodies_.late_replace() : bodies_.late(), true);
            row("pgcarve_mirror_late", on_insert | on_update | on_delete, late, "", true);
        }
        truncate();
        return std::move(made_);
    }

private:
    sql::QName function(std::string_view what, std::string body, bool joins) {
        return function_of(spec_.authority, what, std::move(body), joins ? Plans::joins : Plans::probes);
    }

    enum class Plans { free, probes, joins };

    sql::QName function_of(sql::QName const& table, std::string_view what, std::string body, Plans plans) {
        std::vector<std::string> settings{"search_path=pg_catalog, pgcarve, pg_temp"};
        // A plan made while a table was small, or for a huge statement, stays cached in its session: it
        // has to be one that reads by index.
        if (plans != Plans::free)
            settings.emplace_back("enable_seqscan=off");
        if (plans == Plans::joins) {
            settings.emplace_back("enable_hashjoin=off");
            settings.emplace_back("enable_mergejoin=off");
        }
        if (spec_.row_security)
            settings.emplace_back("row_security=off"); // an error instead of filtered rows
        made_.functions.push_back({function_name(table, what), std::move(settings), std::move(body)});
        return made_.functions.back().name;
    }

    void statement(std::string name, int events, sql::QName const& called, std::string old_table, std::string new_table) {
        auto const on = [&](sql::QName const& table) {
            made_.triggers.push_back({table, name, events, false, old_table, new_table, "", called, {}, {}, {}});
        };
        on(spec_.authority);
        for (auto const& partition : spec_.authority_partitions)
            on(partition.name);
    }

    // The column list spares statements that leave the key alone the reading of the condition, which the server
    // parses anew in every one.
    void key() {
        row("pgcarve_mirror_key", on_update, function("mirror_key", bodies_.rename(), true), bodies_.key_changed(), false);
        if (spec_.key_may_change_unseen)
            return;
        auto& columns = made_.triggers.back().of_columns;
        columns = names_of(spec_.key);
        for (auto const& column : spec_.fixed) {
            if (std::ranges::find(columns, column) == columns.end())
                columns.push_back(column);
        }
        std::ranges::sort(columns);
    }

    void row(std::string name, int events, sql::QName const& called, std::string when, bool only_later_partitions) {
        Trigger trigger{spec_.authority, std::move(name), events | on_row, false, "", "", std::move(when), called, {}, {}, {}};
        for (auto const& partition : spec_.authority_partitions) {
            trigger.clones.push_back(partition.name);
            // On a partition that is partitioned itself it stays enabled, for partitions added below that one.
            if (only_later_partitions && !partition.partitioned)
                trigger.disabled_on.push_back(partition.name);
        }
        made_.triggers.push_back(std::move(trigger));
    }

    void truncate() {
        auto const add = [&](sql::QName const& table, Partition const* leaf) {
            auto const called = function_of(table, "mirror_truncate", bodies_.truncate(leaf), Plans::free);
            made_.triggers.push_back({table, "pgcarve_mirror_truncate", on_truncate, false, "", "", "", called, {}, {}, {}});
        };
        add(spec_.authority, nullptr);
        for (auto const& partition : spec_.authority_partitions)
            add(partition.name, &partition);
    }

    Spec const& spec_;
    Bodies bodies_;
    Machinery made_;
};

} // namespace

Machinery mirror(Spec const& spec) {
    return Builder{spec}.build();
}

} // namespace pgcarve::mirrorgen
