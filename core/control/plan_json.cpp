#include "control/plan_json.hpp"

namespace pgcarve::control {

using nlohmann::json;

namespace {

json name_json(sql::QName const& name) { return json::array({name.schema, name.name}); }
sql::QName name_from(json const& j) { return {j.at(0).get<std::string>(), j.at(1).get<std::string>()}; }

json pair_json(model::TablePair const& pair) {
    return {{"source", name_json(pair.source)},   {"target", name_json(pair.target)},
            {"key", pair.key},                    {"key_immediate", pair.key_immediate},
            {"is_partition", pair.is_partition},  {"columns", pair.columns}};
}

model::TablePair pair_from(json const& j) {
    return {name_from(j.at("source")),
            name_from(j.at("target")),
            j.at("key").get<std::vector<std::string>>(),
            j.at("key_immediate").get<bool>(),
            j.at("is_partition").get<bool>(),
            j.at("columns").get<std::vector<std::string>>()};
}

json severed_json(model::SeveredKey const& key) {
    return {{"child", name_json(key.child)},
            {"name", key.name},
            {"definition", key.definition},
            {"decision", model::text(key.decision)},
            {"parent", name_json(key.parent)},
            {"parent_moves", key.parent_moves},
            {"columns", key.columns},
            {"referenced", key.referenced},
            {"equals", key.equals},
            {"referenced_equals", key.referenced_equals},
            {"set_columns", key.set_columns},
            {"on_delete", std::string(1, key.on_delete)},
            {"on_update", std::string(1, key.on_update)},
            {"match", std::string(1, key.match)}};
}

model::SeveredKey severed_from(json const& j) {
    model::SeveredKey key{name_from(j.at("child")), j.at("name").get<std::string>(), j.at("definition").get<std::string>()};
    auto const decision = j.value("decision", "drop");
    for (auto const one : {model::CrossingDecision::keep, model::CrossingDecision::loose, model::CrossingDecision::replicate}) {
        if (decision == model::text(one))
            key.decision = one;
    }
    if (!j.contains("parent"))
        return key;
    key.parent = name_from(j.at("parent"));
    key.parent_moves = j.at("parent_moves").get<bool>();
    key.columns = j.at("columns").get<std::vector<std::string>>();
    key.referenced = j.at("referenced").get<std::vector<std::string>>();
    key.equals = j.at("equals").get<std::vector<std::string>>();
    key.referenced_equals = j.at("referenced_equals").get<std::vector<std::string>>();
    key.set_columns = j.at("set_columns").get<std::vector<std::string>>();
    key.on_delete = j.at("on_delete").get<std::string>().at(0);
    key.on_update = j.at("on_update").get<std::string>().at(0);
    key.match = j.at("match").get<std::string>().at(0);
    return key;
}

template <typename Items, typename Convert>
json array_of(Items const& items, Convert convert) {
    auto out = json::array();
    for (auto const& item : items)
        out.push_back(convert(item));
    return out;
}

template <typename Item, typename Convert>
std::vector<Item> items_of(json const& array, Convert convert) {
    std::vector<Item> out;
    for (auto const& item : array)
        out.push_back(convert(item));
    return out;
}

} // namespace

json to_json(model::Plan const& plan) {
    return {{"service", plan.service},
            {"verb", plan.verb},
            {"tables", array_of(plan.tables, pair_json)},
            {"crossings", array_of(plan.crossings,
                                   [](model::Crossing const& c) {
                                       return json{{"kind", c.kind},
                                                   {"from", c.from},
                                                   {"to", c.to},
                                                   {"decision", c.decision},
                                                   {"detail", c.detail}};
                                   })},
            {"notices", array_of(plan.notices,
                                 [](model::Notice const& n) {
                                     return json{{"refuses", n.refuses}, {"object", n.object}, {"text", n.text}, {"hint", n.hint}};
                                 })},
            {"steps", array_of(plan.steps, [](model::Step const& s) {
                 return json{{"id", s.id}, {"sql", s.sql}, {"lock", s.lock}, {"why", s.why}, {"undo", s.undo}};
             })}};
}

model::Plan plan_from_json(json const& j) {
    model::Plan plan;
    plan.service = j.at("service").get<std::string>();
    plan.verb = j.at("verb").get<std::string>();
    plan.tables = items_of<model::TablePair>(j.at("tables"), pair_from);
    plan.crossings = items_of<model::Crossing>(j.at("crossings"), [](json const& c) {
        return model::Crossing{c.at("kind").get<std::string>(), c.at("from").get<std::string>(),
                               c.at("to").get<std::string>(), c.at("decision").get<std::string>(),
                               c.at("detail").get<std::string>()};
    });
    plan.notices = items_of<model::Notice>(j.at("notices"), [](json const& n) {
        return model::Notice{n.at("refuses").get<bool>(), n.at("object").get<std::string>(),
                             n.at("text").get<std::string>(), n.at("hint").get<std::string>()};
    });
    plan.steps = items_of<model::Step>(j.at("steps"), [](json const& s) {
        return model::Step{s.at("id").get<std::string>(), s.at("sql").get<std::vector<std::string>>(),
                           s.at("lock").get<std::string>(), s.at("why").get<std::string>(),
                           s.at("undo").get<std::vector<std::string>>()};
    });
    return plan;
}

json to_json(model::Setup const& setup) {
    return {{"shared_schema", setup.shared_schema},
            {"schema", setup.schema},
            {"strategy", model::text(setup.strategy)},
            {"dual_write", model::text(setup.dual_write)},
            {"legacy", model::text(setup.legacy)},
            {"role", setup.role ? json(*setup.role) : json(nullptr)},
            {"created_schema", setup.created_schema},
            {"created_role", setup.created_role},
            {"tables", array_of(setup.tables, pair_json)},
            {"signatures", setup.signatures},
            {"database", !setup.database ? json(nullptr)
                                         : json{{"schema", setup.database->schema},
                                                {"name", setup.database->name},
                                                {"tables", array_of(setup.database->tables, pair_json)},
                                                {"severed", array_of(setup.database->severed, severed_json)},
                                                {"reference", array_of(setup.database->reference, pair_json)}}}};
}

model::Setup setup_from_json(json const& j) {
    model::Setup setup;
    setup.shared_schema = j.at("shared_schema").get<std::string>();
    setup.schema = j.at("schema").get<std::string>();
    setup.strategy = j.at("strategy") == "move" ? model::Strategy::move : model::Strategy::copy;
    setup.dual_write = j.at("dual_write") == "application" ? model::DualWrite::application : model::DualWrite::trigger;
    setup.legacy = j.at("legacy") == "view" ? model::Legacy::view : model::Legacy::refuse;
    if (!j.at("role").is_null())
        setup.role = j.at("role").get<std::string>();
    setup.created_schema = j.at("created_schema").get<bool>();
    setup.created_role = j.at("created_role").get<bool>();
    setup.tables = items_of<model::TablePair>(j.at("tables"), pair_from);
    setup.signatures = j.at("signatures").get<std::map<std::string, std::string>>();
    if (auto const database = j.find("database"); database != j.end() && !database->is_null())
        setup.database = model::DatabaseSetup{database->at("schema").get<std::string>(), database->at("name").get<std::string>(),
                                              items_of<model::TablePair>(database->at("tables"), pair_from),
                                              items_of<model::SeveredKey>(database->value("severed", json::array()), severed_from),
                                              items_of<model::TablePair>(database->value("reference", json::array()), pair_from)};
    return setup;
}

} // namespace pgcarve::control
