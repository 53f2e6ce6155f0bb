// Every statement but ALTER TABLE to its actions.
#include <map>

#include "lint/tree.hpp"

namespace pgcarve::lint {

namespace {

using Reader = void (*)(Node const&, Place const&, Action, std::vector<Action>&);

bool has_option(Node const& options, std::string_view name) {
    for (auto const& option : options) {
        auto const& element = child(option, "DefElem");
        if (string_of(element, "defname") != name)
            continue;
        auto const& value = child(element, "arg");
        if (value.empty())
            return true;
        auto const word = value.contains("String") ? string_of(value["String"], "sval")
                          : value.contains("Boolean")
                              ? (flag_of(value["Boolean"], "boolval") ? "on" : "off")
                              : std::to_string(number_of(child(value, "Integer"), "ival"));
        return word != "off" && word != "false" && word != "0";
    }
    return false;
}

bool is_cascade(Node const& node) {
    return string_of(node, "behavior") == "DROP_CASCADE";
}

void read_transaction(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    static std::map<std::string, Verb> const kinds{{"TRANS_STMT_BEGIN", Verb::begin},
                                                   {"TRANS_STMT_START", Verb::begin},
                                                   {"TRANS_STMT_COMMIT", Verb::commit},
                                                   {"TRANS_STMT_PREPARE", Verb::commit},
                                                   {"TRANS_STMT_ROLLBACK", Verb::rollback},
                                                   {"TRANS_STMT_COMMIT_PREPARED", Verb::other},
                                                   {"TRANS_STMT_ROLLBACK_PREPARED", Verb::other}};
    auto const at = kinds.find(string_of(node, "kind"));
    action.verb = at == kinds.end() ? Verb::savepoint : at->second;
    action.words = {flag_of(node, "chain") ? "chain" : ""};
    out.push_back(std::move(action));
}

void read_set(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::set;
    action.name = string_of(node, "name");
    action.local = flag_of(node, "is_local");
    auto const kind = string_of(node, "kind");
    if (kind == "VAR_SET_VALUE") {
        for (auto const& argument : child(node, "args")) {
            auto const& constant = child(argument, "A_Const");
            if (constant.contains("sval"))
                action.words.push_back(string_of(constant["sval"], "sval"));
            else if (constant.contains("ival"))
                action.words.push_back(std::to_string(number_of(constant["ival"], "ival")));
            else
                action.words.emplace_back("?");
        }
    } // no words: reset to the default
    if (kind == "VAR_RESET_ALL")
        action.name = "all";
    out.push_back(std::move(action));
}

void add_table_elements(Node const& elements, Place const& place, Action& action,
                        std::vector<Action>& constraints) {
    for (auto const& element : elements) {
        if (element.contains("ColumnDef")) {
            auto column = read_column(element["ColumnDef"], place);
            if (column.foreign_key)
                action.foreign_keys.push_back(*column.foreign_key);
            action.definitions.push_back(std::move(column));
        } else if (element.contains("Constraint")) {
            constraints.push_back(read_constraint(element["Constraint"], place));
        } else if (element.contains("TableLikeClause")) {
            action.parents.push_back(range_name(child(element["TableLikeClause"], "relation")));
        }
    }
}

void read_create_table(Node const& node, Place const& place, Action action, std::vector<Action>& out) {
    action.verb = Verb::create;
    action.on = range_name(child(node, "relation"));
    action.temporary = string_of(child(node, "relation"), "relpersistence") == "t";
    action.conditional = flag_of(node, "if_not_exists");
    action.partitioned = !child(node, "partspec").empty();
    action.partition = !child(node, "partbound").empty();
    for (auto const& parent : child(node, "inhRelations"))
        action.parents.push_back(range_name(parent));
    std::vector<Action> constraints;
    add_table_elements(child(node, "tableElts"), place, action, constraints);
    for (auto& constraint : constraints) {
        for (auto& column : action.definitions) {
            bool const named = std::ranges::find(constraint.columns, column.name) != constraint.columns.end();
            column.not_null =
                column.not_null || (named && constraint.constraint == ConstraintKind::primary_key);
        }
        action.constraints.push_back({constraint.name, constraint.constraint, constraint.columns, constraint.proves_not_null});
        action.foreign_keys.insert(action.foreign_keys.end(), constraint.foreign_keys.begin(),
                                   constraint.foreign_keys.end());
    }
    out.push_back(std::move(action));
}

void read_create_as(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::create_as;
    action.object =
        string_of(node, "objtype") == "OBJECT_MATVIEW" ? Object::materialized_view : Object::table;
    action.on = range_name(child(child(node, "into"), "rel"));
    action.temporary = string_of(child(child(node, "into"), "rel"), "relpersistence") == "t";
    out.push_back(std::move(action));
}

void read_select(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    auto const& into = child(node, "intoClause");
    action.verb = into.empty() ? Verb::select : Verb::create_as;
    if (!into.empty())
        action.on = range_name(child(into, "rel"));
    out.push_back(std::move(action));
}

void read_view(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::create;
    action.object = Object::view;
    action.on = range_name(child(node, "view"));
    action.replace = flag_of(node, "replace");
    action.temporary = string_of(child(node, "view"), "relpersistence") == "t";
    out.push_back(std::move(action));
}

// The columns that stand in an expression, at any depth: that of what the splitter lets through.
void add_columns(Node const& expression, std::vector<std::string>& columns) {
    if (expression.is_object() && expression.contains("ColumnRef")) {
        auto const names = strings(child(expression["ColumnRef"], "fields"));
        if (!names.empty())
            columns.push_back(names.back());
    }
    if (expression.is_structured()) {
        for (auto const& part : expression)
            add_columns(part, columns);
    }
}

void read_index(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::create;
    action.object = Object::index;
    action.on = range_name(child(node, "relation"));
    action.only = !flag_of(child(node, "relation"), "inh");
    action.name = string_of(node, "idxname");
    action.concurrently = flag_of(node, "concurrent");
    action.unique = flag_of(node, "unique");
    action.conditional = flag_of(node, "if_not_exists");
    for (auto const& element : child(node, "indexParams")) {
        auto const name = string_of(child(element, "IndexElem"), "name");
        if (!name.empty())
            action.columns.push_back(name);
        else
            add_columns(child(element, "IndexElem"), action.words);
    }
    add_columns(child(node, "whereClause"), action.words);
    out.push_back(std::move(action));
}

std::vector<std::string> object_name(Node const& object) {
    if (object.contains("ObjectWithArgs"))
        return strings(child(object["ObjectWithArgs"], "objname"));
    if (object.contains("TypeName"))
        return strings(child(object["TypeName"], "names"));
    if (object.contains("String"))
        return {string_of(object["String"], "sval")};
    return strings(object);
}

void read_drop(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::drop;
    action.object = object_of(string_of(node, "removeType"));
    action.cascade = is_cascade(node);
    action.conditional = flag_of(node, "missing_ok");
    action.concurrently = flag_of(node, "concurrent");
    for (auto const& object : child(node, "objects")) {
        auto one = action;
        auto parts = object_name(object);
        bool const on_table =
            one.object == Object::trigger || one.object == Object::policy || one.object == Object::rule;
        if (on_table && parts.size() > 1) {
            one.name = parts.back();
            parts.pop_back();
        }
        one.on = qname(parts);
        if (one.object == Object::index) {
            one.other = one.on; // the index; its table is not written
            one.name = one.on.name;
            one.on = {};
        }
        out.push_back(std::move(one));
    }
}

void read_rename(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::rename;
    action.object = object_of(string_of(node, "renameType"));
    action.on = range_name(child(node, "relation"));
    action.name = string_of(node, "newname");
    action.old_name = string_of(node, "subname");
    if (action.object == Object::schema)
        action.on = {"", action.old_name};
    if (action.on.name.empty())
        action.on = qname(object_name(child(node, "object")));
    if (action.object == Object::index) {
        action.other = action.on;
        action.on = {};
    }
    // A column of a view or a type is no table's.
    auto const relation = string_of(node, "relationType");
    if (action.object == Object::column && relation != "OBJECT_TABLE" && relation != "OBJECT_FOREIGN_TABLE")
        action.object = Object::other;
    out.push_back(std::move(action));
}

void read_set_schema(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::set_schema;
    action.object = object_of(string_of(node, "objectType"));
    action.on = range_name(child(node, "relation"));
    if (action.on.name.empty())
        action.on = qname(object_name(child(node, "object")));
    action.name = string_of(node, "newschema");
    out.push_back(std::move(action));
}

void read_trigger(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::create;
    action.object = Object::trigger;
    action.on = range_name(child(node, "relation"));
    action.name = string_of(node, "trigname");
    action.other = qname(strings(child(node, "funcname")));
    action.replace = flag_of(node, "replace");
    out.push_back(std::move(action));
}

void read_truncate(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::truncate;
    action.cascade = is_cascade(node);
    for (auto const& relation : child(node, "relations")) {
        auto one = action;
        one.on = range_name(relation);
        out.push_back(std::move(one));
    }
}

void read_lock(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    static constexpr char const* modes[] = {
        "",      "ACCESS SHARE",        "ROW SHARE", "ROW EXCLUSIVE",   "SHARE UPDATE EXCLUSIVE",
        "SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"};
    action.verb = Verb::lock;
    auto const mode = static_cast<std::size_t>(std::clamp(number_of(node, "mode"), 0L, 8L));
    action.words = {modes[mode]};
    for (auto const& relation : child(node, "relations")) {
        auto one = action;
        one.on = range_name(relation);
        out.push_back(std::move(one));
    }
}

template <Verb verb>
void read_dml(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = verb;
    action.on = range_name(child(node, "relation"));
    action.whole = child(node, "whereClause").empty();
    auto const& select = child(child(node, "selectStmt"), "SelectStmt");
    action.reads = !select.empty() && !select.contains("valuesLists");
    for (auto const& target : child(node, "targetList"))
        action.columns.push_back(string_of(child(target, "ResTarget"), "name"));
    out.push_back(std::move(action));
}

void read_copy(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = flag_of(node, "is_from") ? Verb::copy : Verb::select;
    action.on = range_name(child(node, "relation"));
    out.push_back(std::move(action));
}

void read_vacuum(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = flag_of(node, "is_vacuumcmd") ? Verb::vacuum : Verb::analyze;
    action.full = action.verb == Verb::vacuum && has_option(child(node, "options"), "full");
    if (child(node, "rels").empty()) {
        out.push_back(std::move(action));
        return;
    }
    for (auto const& relation : child(node, "rels")) {
        auto one = action;
        one.on = range_name(child(child(relation, "VacuumRelation"), "relation"));
        out.push_back(std::move(one));
    }
}

void read_cluster(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::cluster;
    action.on = range_name(child(node, "relation"));
    out.push_back(std::move(action));
}

void read_reindex(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::reindex;
    action.concurrently = has_option(child(node, "params"), "concurrently");
    auto const kind = string_of(node, "kind");
    action.words = {kind};
    if (kind == "REINDEX_OBJECT_INDEX") {
        action.object = Object::index;
        action.other = range_name(child(node, "relation"));
        action.name = action.other.name;
    } else {
        action.on = range_name(child(node, "relation"));
        action.name = string_of(node, "name");
    }
    out.push_back(std::move(action));
}

void read_refresh(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::refresh;
    action.object = Object::materialized_view;
    action.on = range_name(child(node, "relation"));
    action.concurrently = flag_of(node, "concurrent");
    out.push_back(std::move(action));
}

void read_grant(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = flag_of(node, "is_grant") ? Verb::grant : Verb::revoke;
    action.object = object_of(string_of(node, "objtype"));
    bool const all = string_of(node, "targtype") == "ACL_TARGET_ALL_IN_SCHEMA";
    for (auto const& role : child(node, "grantees"))
        action.words.push_back(string_of(child(role, "RoleSpec"), "rolename"));
    for (auto const& object : child(node, "objects")) {
        auto one = action;
        if (object.contains("RangeVar"))
            one.on = range_name(object);
        else
            one.on = qname(object_name(object));
        if (all) { // every table of a schema
            one.on = {one.on.name, "*"};
        }
        out.push_back(std::move(one));
    }
}

void read_comment(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::comment;
    action.object = object_of(string_of(node, "objtype"));
    auto parts = object_name(child(node, "object"));
    if (action.object == Object::column && parts.size() > 1)
        parts.pop_back();
    action.on = qname(parts);
    out.push_back(std::move(action));
}

void read_policy(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = node.contains("cmd_name") ? Verb::create : Verb::alter_other;
    action.object = Object::policy;
    action.on = range_name(child(node, "table"));
    action.name = string_of(node, "policy_name");
    out.push_back(std::move(action));
}

void read_rule(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::create;
    action.object = Object::rule;
    action.on = range_name(child(node, "relation"));
    action.name = string_of(node, "rulename");
    out.push_back(std::move(action));
}

void read_sequence(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    bool const alters = !node.contains("options") || flag_of(node, "for_alter") || !node.contains("ownerId");
    action.verb = alters ? Verb::alter_object : Verb::create;
    action.object = Object::sequence;
    action.on = range_name(child(node, "sequence"));
    for (auto const& option : child(node, "options")) {
        auto const& element = child(option, "DefElem");
        auto parts = strings(child(element, "arg"));
        if (string_of(element, "defname") == "owned_by" && parts.size() > 1) {
            parts.pop_back();
            action.other = qname(parts);
        }
    }
    out.push_back(std::move(action));
}

void read_domain(Node const& node, Place const& place, Action action, std::vector<Action>& out) {
    action.verb = Verb::create;
    action.object = Object::domain;
    action.on = qname(strings(child(node, "domainname")));
    action.type = type_of(child(node, "typeName"));
    for (auto const& constraint : child(node, "constraints"))
        action.constraint = read_constraint(child(constraint, "Constraint"), place).constraint;
    out.push_back(std::move(action));
}

void read_alter_domain(Node const& node, Place const& place, Action action, std::vector<Action>& out) {
    action.verb = Verb::alter_object;
    action.object = Object::domain;
    action.on = qname(strings(child(node, "typeName")));
    auto const subtype = string_of(node, "subtype");
    if (subtype == "C") {
        auto const added = read_constraint(child(child(node, "def"), "Constraint"), place);
        action.constraint = added.constraint;
        action.validates = added.validates;
        action.name = added.name;
    } else if (subtype == "O") { // SET NOT NULL
        action.constraint = ConstraintKind::not_null;
    }
    action.words = {subtype};
    out.push_back(std::move(action));
}

template <Object object>
void read_create_type(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::create;
    action.object = object;
    action.on = qname(strings(child(node, "typeName")));
    if (action.on.name.empty())
        action.on = range_name(child(node, "typevar"));
    out.push_back(std::move(action));
}

void read_schema(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::create;
    action.object = Object::schema;
    action.on = {"", string_of(node, "schemaname")};
    action.conditional = flag_of(node, "if_not_exists");
    out.push_back(std::move(action));
}

// words: what is done to the list of tables: AP_AddObjects, AP_DropObjects, AP_SetObjects.
void read_publication(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::alter_object;
    action.object = Object::publication;
    action.name = string_of(node, "pubname");
    action.words = {string_of(node, "action")};
    out.push_back(std::move(action));
}

void read_alter_enum(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::alter_object;
    action.object = Object::type;
    action.on = qname(strings(child(node, "typeName")));
    action.name = string_of(node, "newVal");
    action.old_name = string_of(node, "oldVal");
    out.push_back(std::move(action));
}

void read_alter_routine(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::alter_object;
    action.object = Object::function;
    action.on = qname(strings(child(child(node, "func"), "objname")));
    for (auto const& option : child(node, "actions")) {
        auto const& value = child(child(child(option, "DefElem"), "arg"), "VariableSetStmt");
        if (string_of(value, "name") == "search_path") {
            action.name = "search_path";
            for (auto const& argument : child(value, "args"))
                action.words.push_back(string_of(child(child(argument, "A_Const"), "sval"), "sval"));
        }
    }
    out.push_back(std::move(action));
}

void read_alter_role_set(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    auto const& setting = child(node, "setstmt");
    action.verb = Verb::alter_object;
    action.object = Object::role;
    action.on = {"", string_of(child(node, "role"), "rolename")};
    action.name = string_of(setting, "name");
    for (auto const& argument : child(setting, "args"))
        action.words.push_back(string_of(child(child(argument, "A_Const"), "sval"), "sval"));
    out.push_back(std::move(action));
}

void read_drop_database(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::drop;
    action.object = Object::database;
    action.on = {"", string_of(node, "dbname")};
    out.push_back(std::move(action));
}

void read_extension(Node const& node, Place const&, Action action, std::vector<Action>& out) {
    action.verb = Verb::alter_object;
    action.object = Object::extension;
    action.name = string_of(node, "extname");
    out.push_back(std::move(action));
}

template <Verb verb>
void read_plain(Node const&, Place const&, Action action, std::vector<Action>& out) {
    action.verb = verb;
    action.object = Object::other;
    out.push_back(std::move(action));
}

std::map<std::string, Reader> const& readers() {
    static std::map<std::string, Reader> const all{
        {"TransactionStmt", read_transaction},
        {"VariableSetStmt", read_set},
        {"CreateStmt", read_create_table},
        {"CreateTableAsStmt", read_create_as},
        {"SelectStmt", read_select},
        {"ViewStmt", read_view},
        {"IndexStmt", read_index},
        {"DropStmt", read_drop},
        {"RenameStmt", read_rename},
        {"AlterObjectSchemaStmt", read_set_schema},
        {"CreateTrigStmt", read_trigger},
        {"TruncateStmt", read_truncate},
        {"LockStmt", read_lock},
        {"InsertStmt", read_dml<Verb::insert>},
        {"UpdateStmt", read_dml<Verb::update>},
        {"DeleteStmt", read_dml<Verb::remove>},
        {"MergeStmt", read_dml<Verb::merge>},
        {"CopyStmt", read_copy},
        {"VacuumStmt", read_vacuum},
        {"ClusterStmt", read_cluster},
        {"ReindexStmt", read_reindex},
        {"RefreshMatViewStmt", read_refresh},
        {"GrantStmt", read_grant},
        {"CommentStmt", read_comment},
        {"CreatePolicyStmt", read_policy},
        {"AlterPolicyStmt", read_policy},
        {"RuleStmt", read_rule},
        {"CreateSeqStmt", read_sequence},
        {"AlterSeqStmt", read_sequence},
        {"CreateDomainStmt", read_domain},
        {"AlterDomainStmt", read_alter_domain},
        {"AlterEnumStmt", read_alter_enum},
        {"CreateEnumStmt", read_create_type<Object::type>},
        {"CompositeTypeStmt", read_create_type<Object::type>},
        {"CreateRangeStmt", read_create_type<Object::type>},
        {"CreateSchemaStmt", read_schema},
        {"CreatePublicationStmt", read_publication},
        {"AlterPublicationStmt", read_publication},
        {"AlterFunctionStmt", read_alter_routine},
        {"AlterRoleSetStmt", read_alter_role_set},
        {"AlterDatabaseSetStmt", read_alter_role_set},
        {"AlterExtensionStmt", read_extension},
        {"DropdbStmt", read_drop_database},
        {"CreatedbStmt", read_plain<Verb::system>},
        {"AlterSystemStmt", read_plain<Verb::system>},
        {"CreateTableSpaceStmt", read_plain<Verb::system>},
        {"DropTableSpaceStmt", read_plain<Verb::system>},
        {"CallStmt", read_plain<Verb::call>},
    };
    return all;
}

} // namespace

void read_node(Node const& wrapped, Place const& place, std::vector<Action>& actions) {
    for (auto const& [kind, node] : wrapped.items()) {
        if (kind == "AlterTableStmt") {
            read_alter_table(node, place, actions);
            continue;
        }
        Action action;
        action.span = {place.base, place.end};
        auto const at = readers().find(kind);
        if (at != readers().end()) {
            at->second(node, place, std::move(action), actions);
        } else {
            action.object = Object::other;
            actions.push_back(std::move(action));
        }
    }
}

} // namespace pgcarve::lint
