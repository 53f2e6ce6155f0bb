// What the connecting role, and the service's own role, may not do and would have to.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "plan/ownership.hpp"
#include "run/doctor/parts.hpp"
#include "run/facts.hpp"

namespace pgcarve::run::doctor {

using model::DoctorLevel;
using model::Table;
using sql::Ident;
using sql::QName;
using sql::Sql;

namespace {

constexpr int version_with_set_option = 160000; // membership may come without the right to SET ROLE

std::string grant_role(Examination const& exam, std::string const& role) {
    Sql grant;
    grant.add("GRANT ").add(Ident{role}).add(" TO ").add(Ident{exam.catalog.role.name});
    if (exam.catalog.server_version >= version_with_set_option)
        grant.add(" WITH INHERIT TRUE, SET TRUE");
    return grant.text();
}

bool schema_exists(Examination const& exam, std::string const& schema) {
    return std::ranges::any_of(exam.catalog.schemas, [&](model::Schema const& s) { return s.name == schema; });
}

void database_rights(Examination& exam) {
    exam.check("create-on-database", exam.me(), "may create schemas in this database", [&] {
        auto const may = exam.session.one(Sql{"SELECT has_database_privilege(current_database(), 'CREATE') AS may"}).boolean("may");
        if (may)
            return;
        std::vector<std::string> missing;
        if (exam.session.query(Sql{"SELECT FROM pg_namespace WHERE nspname = 'pgcarve'"}).empty())
            missing.emplace_back("pgcarve (`init`)");
        for (auto const& one : exam.cases) {
            if (one.before_split() && !schema_exists(exam, one.service->schema))
                missing.push_back(fmt::format("{} (`split {}`)", sql::display_ident(one.service->schema), one.service->name));
        }
        if (missing.empty())
            return;
        exam.add({.level = DoctorLevel::problem,
                  .id = "create-on-database",
                  .object = exam.me(),
                  .message = fmt::format("may not create schemas in database {}, and these are to be made: {}",
                                         sql::display_ident(exam.catalog.database), listed(missing)),
                  .sql = {Sql{"GRANT CREATE ON DATABASE "}
                              .add(Ident{exam.catalog.database})
                              .add(" TO ")
                              .add(Ident{exam.catalog.role.name})
                              .text()},
                  .hint = "run it as the owner of the database"});
    });
}

// What is to be changed, by the role that it belongs to.
struct Owned {
    struct Object {
        std::string name;  // for people
        std::string alter; // ALTER TABLE "a"."b"
    };
    std::map<std::string, std::vector<Object>> by_owner;
    void add(std::string const& owner, std::string name, Sql const& alter) {
        auto& objects = by_owner[owner];
        if (std::ranges::find(objects, alter.text(), &Object::alter) == objects.end())
            objects.push_back({std::move(name), alter.text()});
    }
    void table(Table const& t) { add(t.owner, t.name.display(), Sql{"ALTER TABLE "}.add(t.name)); }
};

Owned tables_to_change(Examination const& exam, Case const& one) {
    Owned owned;
    for (auto const* const table : one.tables) {
        owned.table(*table);
        for (auto const& column : table->columns) {
            for (auto const& name : column.default_sequences) { // the service's role is granted its use
                if (auto const* const sequence = exam.catalog.sequence(name))
                    owned.add(sequence->owner, name.display(), Sql{"ALTER SEQUENCE "}.add(name));
            }
        }
    }
    auto const schema = std::ranges::find(exam.catalog.schemas, one.service->schema, &model::Schema::name);
    if (schema != exam.catalog.schemas.end()) // rights on it are granted
        owned.add(schema->owner, fmt::format("schema {}", sql::display_ident(schema->name)),
                  Sql{"ALTER SCHEMA "}.add(Ident{schema->name}));
    if (one.state && one.state->setup) {
        for (auto const& pair : one.state->setup->tables) {
            if (auto const* const target = exam.catalog.find(pair.target))
                owned.table(*target);
        }
    }
    return owned;
}

// Foreign keys and views of others that `complete` moves over to the new tables.
Owned dependants_to_change(Examination const& exam, Case const& one) {
    Owned owned;
    auto const ours = [&](QName const& name) {
        return std::ranges::any_of(one.tables, [&](model::Table const* t) { return t->name == name; });
    };
    for (auto const& table : exam.catalog.tables) {
        if (ours(table.name) || table.name.schema == one.service->schema)
            continue;
        for (auto const& key : table.constraints) {
            if (key.type == 'f' && ours(key.referenced))
                owned.table(table);
        }
    }
    for (auto const& dependency : exam.catalog.dependencies) {
        if (dependency.kind != "view" || !dependency.to || !ours(*dependency.to))
            continue;
        auto const view = std::ranges::find(exam.catalog.relations, dependency.object, &model::Relation::name);
        if (view != exam.catalog.relations.end())
            owned.add(view->owner, view->name.display(), Sql{"ALTER VIEW "}.add(view->name));
    }
    return owned;
}

Mend owner_mend(Examination& exam, std::string const& owner, std::vector<Owned::Object> const& objects) {
    auto const row = exam.session.one(Sql{"SELECT rolsuper, pg_has_role(rolname, 'MEMBER') AS member FROM pg_roles WHERE rolname = "}.bind(owner));
    Ident const me{exam.catalog.role.name};
    if (row.boolean("rolsuper")) { // nobody should be granted a superuser for this
        Mend mend{{}, "or to the role that owns the other tables; run it as a superuser"};
        for (auto const& object : objects)
            mend.sql.push_back(Sql{}.server_text(object.alter).add(" OWNER TO ").add(me).text());
        return mend;
    }
    if (row.boolean("member") && exam.catalog.server_version < version_with_set_option)
        return {{Sql{"ALTER ROLE "}.add(me).add(" INHERIT").text()}, "run it as a superuser"};
    return {{grant_role(exam, owner)},
            fmt::format("run it as a superuser, or as a role with ADMIN OPTION on {}", sql::display_ident(owner))};
}

void ownership(Examination& exam, Case const& one, std::string const& id, Owned const& owned, std::string const& verbs) {
    exam.check(id, one.service->name, fmt::format("{} has the rights of the owners that {} need", exam.me(), verbs), [&] {
        for (auto const& [owner, objects] : owned.by_owner) {
            bool const inherits = std::ranges::find(exam.catalog.role.member_of, owner) != exam.catalog.role.member_of.end();
            // Tables are handed over to their owner, for which one must be able to become that role.
            bool const becomes =
                exam.catalog.server_version < version_with_set_option ||
                exam.session.one(Sql{"SELECT pg_has_role("}.bind(owner).add("::name, 'SET') AS may")).boolean("may");
            if (exam.catalog.role.superuser || (inherits && becomes))
                continue;
            std::vector<std::string> names;
            for (auto const& object : objects)
                names.push_back(object.name);
            auto mend = owner_mend(exam, owner, objects);
            exam.add({.level = DoctorLevel::problem,
                      .id = id,
                      .object = sql::display_ident(owner),
                      .message = fmt::format("owns {}; {} lacks its rights, which {} need", listed(names), exam.me(), verbs),
                      .sql = std::move(mend.sql),
                      .hint = std::move(mend.hint)});
        }
    });
}

void owners_create(Examination& exam, Case const& one) {
    if (!one.before_split() || !schema_exists(exam, one.service->schema))
        return;
    exam.check("create-on-schema", one.service->name, "the tables' owners may have tables in the service's schema", [&] {
        std::set<std::string> owners{exam.catalog.role.name};
        for (auto const* const table : one.tables)
            owners.insert(table->owner);
        for (auto const& role : owners) {
            if (exam.session.one(Sql{"SELECT has_schema_privilege("}
                                     .bind(role)
                                     .add("::name, ")
                                     .bind(one.service->schema)
                                     .add("::text, 'CREATE') AS may"))
                    .boolean("may"))
                continue;
            exam.add({.level = DoctorLevel::problem,
                      .id = "create-on-schema",
                      .object = sql::display_ident(role),
                      .message = fmt::format("may not have tables in schema {}, where the service's tables are to be made",
                                             sql::display_ident(one.service->schema)),
                      .sql = {Sql{"GRANT USAGE, CREATE ON SCHEMA "}.add(Ident{one.service->schema}).add(" TO ").add(Ident{role}).text()},
                      .hint = "run it as the owner of the schema"});
        }
    });
}

void schema_usage(Examination& exam, Case const& one) {
    exam.check("usage-on-schema", one.service->name, "the tables' schemas, types and trigger functions can be used", [&] {
        std::set<std::string> schemas;
        for (auto const* const table : one.tables)
            schemas.insert(table->name.schema);
        auto const me = Ident{exam.catalog.role.name};
        for (auto const& schema : schemas) {
            if (!exam.session.one(Sql{"SELECT has_schema_privilege("}.bind(schema).add("::text, 'USAGE') AS may")).boolean("may"))
                exam.add({.level = DoctorLevel::problem,
                          .id = "usage-on-schema",
                          .object = exam.me(),
                          .message = fmt::format("may not use schema {}, where the service's tables are", sql::display_ident(schema)),
                          .sql = {Sql{"GRANT USAGE ON SCHEMA "}.add(Ident{schema}).add(" TO ").add(me).text()},
                          .hint = "run it as the owner of the schema"});
        }
        auto const oids = pg::format_array(oid_texts(one.tables));
        for (auto const row : exam.session.query(
                 Sql{"SELECT DISTINCT 'TYPE' AS kind, format_type(t.oid, NULL) AS name FROM pg_attribute a"
                     " JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = ANY ("}
                     .bind(oids)
                     .add("::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND NOT has_type_privilege(t.oid, 'USAGE')"
                          " UNION SELECT DISTINCT 'FUNCTION', p.oid::regprocedure::text FROM pg_trigger g"
                          " JOIN pg_proc p ON p.oid = g.tgfoid WHERE p.pronamespace IS DISTINCT FROM to_regnamespace('pgcarve')"
                          " AND g.tgrelid = ANY (")
                     .bind(oids)
                     .add("::oid[]) AND NOT g.tgisinternal AND NOT has_function_privilege(p.oid, 'EXECUTE') ORDER BY 1, 2"))) {
            bool const type = row.text("kind") == "TYPE";
            exam.add({.level = DoctorLevel::problem,
                      .id = type ? "usage-on-type" : "execute-on-function",
                      .object = exam.me(),
                      .message = fmt::format("may not use {} {}, which the service's new tables need", type ? "type" : "function",
                                             row.text("name")),
                      .sql = {type ? Sql{"GRANT USAGE ON TYPE "}.server_text(row.text("name")).add(" TO ").add(me).text()
                                   : Sql{"GRANT EXECUTE ON FUNCTION "}.server_text(row.text("name")).add(" TO ").add(me).text()},
                      .hint = "run it as its owner"});
        }
    });
}

void references(Examination& exam, Case const& one) {
    exam.check("references", one.service->name, "foreign keys that leave the service can be made at the new tables", [&] {
        std::map<QName, std::vector<std::string>> wanted; // parent -> columns
        for (auto const* const table : one.tables) {
            for (auto const& key : table->constraints) {
                bool const inside = exam.ownership.owner_of(key.referenced) == one.service->name;
                if (key.type != 'f' || key.inherited || inside ||
                    plan::decision_for(*one.service, exam.catalog, table->name, key) == model::CrossingDecision::drop)
                    continue;
                auto& columns = wanted[key.referenced];
                columns.insert(columns.end(), key.referenced_columns.begin(), key.referenced_columns.end());
            }
        }
        for (auto const& [parent, columns] : wanted) {
            auto const* const table = exam.catalog.find(parent);
            if (table == nullptr)
                continue;
            auto const may = exam.session
                                 .one(Sql{"SELECT has_table_privilege("}
                                          .number(table->oid.value)
                                          .add("::oid, 'REFERENCES') OR (SELECT bool_and(has_column_privilege(")
                                          .number(table->oid.value)
                                          .add("::oid, c, 'REFERENCES')) FROM unnest(")
                                          .bind(pg::format_array(columns))
                                          .add("::text[]) AS c) AS may"))
                                 .boolean("may");
            if (!may)
                exam.add({.level = DoctorLevel::problem,
                          .id = "references",
                          .object = parent.display(),
                          .message = fmt::format("a foreign key of the service points here, and {} may not make one at the new table",
                                                 exam.me()),
                          .sql = {Sql{"GRANT REFERENCES ON "}.add(parent).add(" TO ").add(Ident{exam.catalog.role.name}).text()},
                          .hint = "run it as the owner of the table"});
        }
    });
}

void row_security(Examination& exam, Case const& one) {
    exam.check("bypass-rls", one.service->name, "no policy hides rows from pgcarve", [&] {
        if (exam.catalog.role.bypass_rls || exam.catalog.role.superuser)
            return;
        std::vector<std::string> forced;
        for (auto const* const table : one.tables) {
            if (table->row_security && table->force_row_security)
                forced.push_back(table->name.display());
        }
        if (forced.empty())
            return;
        exam.add({.level = DoctorLevel::problem,
                  .id = "bypass-rls",
                  .object = listed(forced),
                  .message = fmt::format("FORCE ROW LEVEL SECURITY holds for the owner too, so {} cannot read every row", exam.me()),
                  .sql = {Sql{"ALTER ROLE "}.add(Ident{exam.catalog.role.name}).add(" BYPASSRLS").text()},
                  .hint = "run it as a superuser; or ALTER TABLE … NO FORCE ROW LEVEL SECURITY as the owner"});
    });
}

} // namespace

void check_rights(Examination& exam) {
    database_rights(exam);
    for (auto const& one : exam.cases) {
        if (one.tables.empty() && !(one.state && one.state->setup))
            continue;
        bool const over = one.state && one.state->phase == cutover::Phase::completed;
        ownership(exam, one, "owner", tables_to_change(exam, one), over ? "`complete --purge`" : "`split`, `cutover` and `complete`");
        if (over)
            continue;
        ownership(exam, one, "owner-of-dependant", dependants_to_change(exam, one), "`complete`");
        schema_usage(exam, one);
        owners_create(exam, one);
        references(exam, one);
        row_security(exam, one);
    }
}

void check_service_role(Examination& exam, Case const& one) {
    auto const& role = one.service->role;
    bool const over = one.state && one.state->phase == cutover::Phase::completed;
    if (!role || over)
        return;
    exam.check("service-role", *role, "the service's role is there and can do its work", [&] {
        auto const found = exam.session.maybe_one(Sql{"SELECT rolcanlogin FROM pg_roles WHERE rolname = "}.bind(*role));
        auto const create = Sql{"CREATE ROLE "}.add(Ident{*role}).add(" LOGIN").text();
        if (!found && one.service->create_role) {
            auto const may = exam.session.one(Sql{"SELECT rolsuper OR rolcreaterole AS may FROM pg_roles WHERE rolname = current_user"});
            if (!may.boolean("may"))
                exam.add({.level = DoctorLevel::problem,
                          .id = "create-role",
                          .object = exam.me(),
                          .message = fmt::format("may not create roles, and create_role asks for {}", sql::display_ident(*role)),
                          .sql = {create},
                          .hint = fmt::format("run it as an administrator; or ALTER ROLE {} CREATEROLE", exam.me())});
            return;
        }
        if (!found) {
            exam.add({.level = DoctorLevel::problem,
                      .id = "service-role",
                      .object = sql::display_ident(*role),
                      .message = fmt::format("the role of service {} does not exist", one.service->name),
                      .sql = {create},
                      .hint = "run it as an administrator; or set create_role = true"});
            return;
        }
        if (!found->boolean("rolcanlogin"))
            exam.add({.level = DoctorLevel::advice,
                      .id = "service-role",
                      .object = sql::display_ident(*role),
                      .message = "the service's role cannot log in",
                      .sql = {Sql{"ALTER ROLE "}.add(Ident{*role}).add(" LOGIN").text()},
                      .hint = "unless another role with its rights does"});
        if (one.planned() || !one.state->setup)
            return;
        auto const& setup = *one.state->setup;
        auto const lacks = role_lacks(exam.session, *role, setup);
        if (!lacks.empty()) {
            std::vector<std::string> mend{
                Sql{"GRANT USAGE ON SCHEMA "}.add(Ident{setup.schema}).add(" TO ").add(Ident{*role}).text()};
            for (auto const& pair : setup.tables) {
                if (!pair.is_partition)
                    mend.push_back(Sql{"GRANT SELECT, INSERT, UPDATE, DELETE ON "}.add(pair.target).add(" TO ").add(Ident{*role}).text());
            }
            exam.add({.level = DoctorLevel::problem,
                      .id = "service-role",
                      .object = sql::display_ident(*role),
                      .message = fmt::format("the service could not work: {}", listed(lacks)),
                      .sql = std::move(mend),
                      .hint = "run it as the owner of the tables"});
        }
    });
    if (one.planned() || !one.state->setup)
        return;
    exam.check("sequences", one.service->name, "the tables' sequences can be read", [&] {
        for (auto const& name : unreadable_sequences(exam.session, *one.state->setup))
            exam.add({.level = DoctorLevel::problem,
                      .id = "sequences",
                      .object = name,
                      .message = fmt::format("{} cannot read this sequence, which has to go on at the other side", exam.me()),
                      .sql = {Sql{"GRANT SELECT, UPDATE ON SEQUENCE "}
                                  .server_text(name)
                                  .add(" TO ")
                                  .add(Ident{exam.catalog.role.name})
                                  .text()},
                      .hint = "run it as its owner"});
    });
}

} // namespace pgcarve::run::doctor
