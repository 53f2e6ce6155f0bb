#include "mirrorgen/loose.hpp"

#include <algorithm>

#include "mirrorgen/parts.hpp"

namespace pgcarve::mirrorgen {

using sql::Sql;

namespace {

// The types' own output, as pinned sessions print it; a cast to text may be another function (character loses its blanks).
Sql value(std::string_view record, std::string const& column) {
    auto const name = sql::Ident{column};
    Sql sql{"CASE WHEN "};
    return sql.server_text(record).add(".").add(name).add(" IS NOT NULL THEN pg_catalog.format('%s', ").server_text(record).add(".").add(name).add(") END");
}

Sql values(std::string_view record, std::vector<std::string> const& columns) {
    Sql sql{"ARRAY["};
    for (std::size_t i = 0; i < columns.size(); ++i)
        sql.add(i > 0 ? Sql::Fixed{", "} : Sql::Fixed{""}).add(value(record, columns[i]));
    return sql.add("]::text[]");
}

// A key with a NULL in it is referred to by nothing.
Sql complete(std::string_view record, std::vector<std::string> const& columns) {
    Sql sql;
    for (std::size_t i = 0; i < columns.size(); ++i)
        sql.add(i > 0 ? Sql::Fixed{" AND "} : Sql::Fixed{""}).server_text(record).add(".").add(sql::Ident{columns[i]}).add(" IS NOT NULL");
    return sql;
}

// Byte for byte, so that types without an equality of pg_catalog are no trouble; a change that is none is seen later.
Sql changed(std::vector<std::string> const& columns) {
    Sql sql{"ROW("};
    sql.names(columns, "OLD").add(")::record OPERATOR(pg_catalog.*<>) ROW(").names(columns, "NEW");
    return sql.add(")::record");
}

constexpr Sql::Fixed not_the_stream = "coalesce(pg_catalog.current_setting('pgcarve.mirror', true), '') <> 'on'";

std::string trigger_name(std::string_view what, std::string const& service) { return sql::bounded_name("pgcarve_loose_" + std::string{what} + "_" + service); }

class Builder {
public:
    explicit Builder(LooseParent const& parent) : parent_{parent} { made_.owners = parent.owners; }

    Machinery build() {
        constexpr int row = on_row;
        if (parent_.partitioned) {
            // Row triggers reach partitions that are addressed by themselves. A row that moves to another partition fires
            // no AFTER UPDATE, so its change is noted before it is made.
            trigger("delete", row | on_delete, "", function("delete", delete_row()));
            trigger("update", row | before | on_update, "", function("update", update_row()));
        } else {
            trigger("delete", on_delete, "pgcarve_old", function("delete", delete_rows()));
            trigger("update", row | on_update, "", function("update", update_row()), any_changed());
        }
        auto const truncate = function("truncate", truncated());
        truncate_trigger(parent_.table, truncate);
        for (auto const& partition : parent_.partitions)
            truncate_trigger(partition, truncate);
        return std::move(made_);
    }

private:
    sql::QName function(std::string_view what, Sql const& body) {
        std::vector<std::string> settings{"search_path=pg_catalog, pg_temp", "DateStyle=iso, ymd", "IntervalStyle=postgres", "TimeZone=utc",
                                          "extra_float_digits=3", "bytea_output=hex"};
        if (parent_.row_security)
            settings.emplace_back("row_security=off");
        sql::QName const called{"pgcarve", sql::bounded_name("pgcarve_loose_" + std::string{what} + "_" + parent_.service + "_" + parent_.table.display())};
        made_.functions.push_back({called, std::move(settings), body.text()});
        return called;
    }
    void trigger(std::string_view what, int type, std::string old_table, sql::QName const& called, std::string when = {}) {
        auto const clones = (type & on_row) != 0 ? parent_.partitions : std::vector<sql::QName>{};
        made_.triggers.push_back({parent_.table, trigger_name(what, parent_.service), type, false, std::move(old_table), "",
                                  std::move(when), called, clones, {}, {}});
    }
    void truncate_trigger(sql::QName const& table, sql::QName const& called) {
        made_.triggers.push_back({table, trigger_name("truncate", parent_.service), before | on_truncate, false, "", "", "", called, {}, {}, {}});
    }

    [[nodiscard]] std::string any_changed() const {
        Sql sql;
        for (auto const& columns : parent_.referenced)
            sql.add(sql.text().empty() ? Sql::Fixed{""} : Sql::Fixed{" OR "}).add(changed(columns));
        return sql.text();
    }

    [[nodiscard]] Sql into(Sql::Fixed columns) const {
        Sql sql{"INSERT INTO pgcarve.loose_queue (service, reference, op, old"};
        return sql.add(columns).add(")\n        SELECT ").literal(parent_.service).add(", ");
    }
    [[nodiscard]] std::string reference(std::vector<std::string> const& columns) const { return loose_reference(parent_.table, columns); }

    [[nodiscard]] static Sql guarded(Sql const& inside, Sql::Fixed result) {
        Sql sql{"\nBEGIN\n    IF "};
        return sql.add(not_the_stream).add(" THEN\n").add(inside).add("    END IF;\n    RETURN ").add(result).add(";\nEND\n");
    }

    [[nodiscard]] Sql delete_rows() const {
        Sql sql;
        for (auto const& columns : parent_.referenced)
            sql.add("        ").add(into("")).literal(reference(columns)).add(", 'd', ").add(values("o", columns)).add(" FROM pgcarve_old AS o WHERE ")
                .add(complete("o", columns)).add(";\n");
        return guarded(sql, "NULL");
    }
    [[nodiscard]] Sql delete_row() const {
        Sql sql;
        for (auto const& columns : parent_.referenced)
            sql.add("        ").add(into("")).literal(reference(columns)).add(", 'd', ").add(values("OLD", columns)).add(" WHERE ")
                .add(complete("OLD", columns)).add(";\n");
        return guarded(sql, "NULL");
    }
    [[nodiscard]] Sql update_row() const {
        Sql sql;
        for (auto const& columns : parent_.referenced)
            sql.add("        ").add(into(", new")).literal(reference(columns)).add(", 'u', ").add(values("OLD", columns)).add(", ")
                .add(values("NEW", columns)).add(" WHERE ").add(complete("OLD", columns)).add(" AND ").add(changed(columns)).add(";\n");
        return guarded(sql, parent_.partitioned ? Sql::Fixed{"NEW"} : Sql::Fixed{"NULL"});
    }
    // By the name that the table has then, and of the partition that is truncated.
    [[nodiscard]] Sql truncated() const {
        Sql sql;
        for (auto const& columns : parent_.referenced) {
            Sql statement = into("");
            statement.literal(reference(columns)).add(", 'd', ").add(values("o", columns)).add(" FROM ");
            Sql const where = complete("o", columns);
            sql.add("        EXECUTE ").literal(statement.text()).add("\n            || pg_catalog.quote_ident(TG_TABLE_SCHEMA) || '.' || "
                                                                      "pg_catalog.quote_ident(TG_TABLE_NAME)\n            || ");
            sql.literal(" AS o WHERE " + where.text()).add(";\n");
        }
        return guarded(sql, "NULL");
    }

    LooseParent const& parent_;
    Machinery made_;
};

} // namespace

std::string loose_reference(sql::QName const& parent, std::vector<std::string> const& referenced) {
    std::string columns;
    for (auto const& column : referenced)
        columns += (columns.empty() ? "" : ", ") + sql::display_ident(column);
    return parent.display() + " (" + columns + ")";
}

std::vector<std::string> loose_trigger_names(std::string const& service) {
    return {trigger_name("delete", service), trigger_name("truncate", service), trigger_name("update", service)};
}

Machinery loose_parent(LooseParent const& parent) { return Builder{parent}.build(); }

std::vector<std::string> loose_queue() {
    return {"CREATE TABLE IF NOT EXISTS pgcarve.loose_queue (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, service text NOT NULL, "
            "reference text NOT NULL, op \"char\" NOT NULL CHECK (op IN ('d', 'u')), old text[] NOT NULL, new text[], "
            "queued_at timestamptz NOT NULL DEFAULT clock_timestamp(), next_try timestamptz NOT NULL DEFAULT '-infinity', problem text, "
            "child_rows bigint NOT NULL DEFAULT 0)",
            "CREATE INDEX IF NOT EXISTS loose_queue_due ON pgcarve.loose_queue (service, reference, next_try, id)",
            "CREATE INDEX IF NOT EXISTS loose_queue_changes ON pgcarve.loose_queue (service, reference) WHERE op = 'u'"};
}

} // namespace pgcarve::mirrorgen
