// ALTER TABLE, columns and constraints.
#include <map>

#include "lint/tree.hpp"

namespace pgcarve::lint {

namespace {

ForeignKey read_foreign_key(Node const& node, Place const& place) {
    ForeignKey key;
    key.name = string_of(node, "conname");
    key.columns = strings(child(node, "fk_attrs"));
    key.parent = range_name(child(node, "pktable"));
    key.validates = !flag_of(node, "skip_validation");
    key.span = place.span(node);
    return key;
}

void add_column_constraint(Column& column, Node const& node, Place const& place) {
    auto const type = string_of(node, "contype");
    if (type == "CONSTR_NOTNULL") {
        column.not_null = true;
    } else if (type == "CONSTR_DEFAULT") {
        auto const& expression = child(node, "raw_expr");
        column.default_value = volatility(expression, column.default_function);
        auto const* value = &expression;
        while (value->contains("TypeCast"))
            value = &child((*value)["TypeCast"], "arg");
        column.default_null = value->contains("A_Const") && flag_of((*value)["A_Const"], "isnull");
    } else if (type == "CONSTR_IDENTITY") {
        column.identity = column.not_null = true;
    } else if (type == "CONSTR_GENERATED") {
        column.generated = true;
    } else if (type == "CONSTR_UNIQUE") {
        column.unique = true;
    } else if (type == "CONSTR_PRIMARY") {
        column.primary = column.not_null = true;
    } else if (type == "CONSTR_CHECK") {
        column.check = true;
    } else if (type == "CONSTR_FOREIGN") {
        column.foreign_key = read_foreign_key(node, place);
        column.foreign_key->columns = {column.name};
    }
}

ConstraintKind constraint_kind(std::string const& type) {
    static std::map<std::string, ConstraintKind> const known{
        {"CONSTR_CHECK", ConstraintKind::check},         {"CONSTR_FOREIGN", ConstraintKind::foreign_key},
        {"CONSTR_UNIQUE", ConstraintKind::unique},       {"CONSTR_PRIMARY", ConstraintKind::primary_key},
        {"CONSTR_EXCLUSION", ConstraintKind::exclusion}, {"CONSTR_NOTNULL", ConstraintKind::not_null}};
    auto const at = known.find(type);
    return at == known.end() ? ConstraintKind::none : at->second;
}

// The text of each command: what stands between the commas behind the table's name.
std::vector<Span> command_spans(Node const& node, Place const& place) {
    std::vector<Span> spans;
    if (!place.exact)
        return spans;
    auto const& relation = child(node, "relation");
    auto const start = place.base + static_cast<std::size_t>(std::max(0L, number_of(relation, "location")));
    Lexer lexer{place.file.substr(0, place.end), start};
    Token token;
    bool more = lexer.next(token); // the name, its parts joined by dots
    while (more && (more = lexer.next(token)) &&
           place.file.substr(token.begin, token.end - token.begin) == ".")
        more = lexer.next(token);
    if (more && place.file.substr(token.begin, token.end - token.begin) == "*")
        more = lexer.next(token);
    int depth = 0;
    bool fresh = true;
    for (; more; more = lexer.next(token)) {
        if (token.kind == Token::Kind::comma && depth == 0) {
            fresh = true;
            continue;
        }
        depth += token.kind == Token::Kind::open ? 1 : token.kind == Token::Kind::close ? -1 : 0;
        if (fresh)
            spans.push_back({token.begin, token.end});
        fresh = false;
        spans.back().end = token.end;
    }
    return spans;
}

Verb verb_of(std::string const& subtype) {
    static std::map<std::string, Verb> const known{
        {"AT_AddColumn", Verb::add_column},
        {"AT_DropColumn", Verb::drop_column},
        {"AT_AlterColumnType", Verb::alter_type},
        {"AT_SetNotNull", Verb::set_not_null},
        {"AT_DropNotNull", Verb::drop_not_null},
        {"AT_AddConstraint", Verb::add_constraint},
        {"AT_ValidateConstraint", Verb::validate_constraint},
        {"AT_DropConstraint", Verb::drop_constraint},
        {"AT_AttachPartition", Verb::attach_partition},
        {"AT_DetachPartition", Verb::detach_partition},
        {"AT_AddInherit", Verb::inherit},
        {"AT_SetTableSpace", Verb::set_tablespace},
        {"AT_SetLogged", Verb::set_logged},
        {"AT_SetUnLogged", Verb::set_logged},
        {"AT_SetAccessMethod", Verb::set_access_method},
        {"AT_EnableTrig", Verb::enable_trigger},
        {"AT_EnableAlwaysTrig", Verb::enable_trigger},
        {"AT_EnableReplicaTrig", Verb::enable_trigger},
        {"AT_EnableTrigAll", Verb::enable_trigger},
        {"AT_EnableTrigUser", Verb::enable_trigger},
        {"AT_DisableTrig", Verb::disable_trigger},
        {"AT_DisableTrigAll", Verb::disable_trigger},
        {"AT_DisableTrigUser", Verb::disable_trigger},
        {"AT_EnableRowSecurity", Verb::row_security},
        {"AT_DisableRowSecurity", Verb::row_security},
        {"AT_ForceRowSecurity", Verb::row_security},
        {"AT_NoForceRowSecurity", Verb::row_security},
        {"AT_SetStatistics", Verb::alter_lightly},
        {"AT_SetOptions", Verb::alter_lightly},
        {"AT_ResetOptions", Verb::alter_lightly},
        {"AT_SetRelOptions", Verb::alter_lightly},
        {"AT_ResetRelOptions", Verb::alter_lightly},
        {"AT_ClusterOn", Verb::alter_lightly},
        {"AT_DropCluster", Verb::alter_lightly},
    };
    auto const at = known.find(subtype);
    return at == known.end() ? Verb::alter_other : at->second;
}

// USING x or USING x::newtype is what the server would do by itself.
bool only_casts_itself(Node const& expression, std::string const& column) {
    auto const* node = &expression;
    while (node->contains("TypeCast"))
        node = &child((*node)["TypeCast"], "arg");
    auto const names = strings(child(child(*node, "ColumnRef"), "fields"));
    return !names.empty() && names.back() == column;
}

void fill(Action& action, Node const& command, Place const& place) {
    auto const subtype = string_of(command, "subtype");
    auto const& def = child(command, "def");
    auto const name = string_of(command, "name");
    action.verb = verb_of(subtype);
    action.conditional = flag_of(command, "missing_ok");
    action.cascade = string_of(command, "behavior") == "DROP_CASCADE";
    if (subtype == "AT_ColumnDefault")
        action.verb = def.empty() ? Verb::drop_default : Verb::set_default;
    switch (action.verb) {
    case Verb::add_column:
        action.definitions.push_back(read_column(child(def, "ColumnDef"), place));
        action.columns = {action.definitions[0].name};
        break;
    case Verb::alter_type: {
        auto const& column = child(def, "ColumnDef");
        auto const& conversion = child(column, "raw_default");
        action.columns = {name};
        action.type = type_of(child(column, "typeName"));
        action.converts = !conversion.empty() && !only_casts_itself(conversion, name);
        break;
    }
    case Verb::attach_partition:
    case Verb::detach_partition:
        action.other = range_name(child(child(def, "PartitionCmd"), "name"));
        action.concurrently = flag_of(child(def, "PartitionCmd"), "concurrent");
        break;
    case Verb::inherit:
        action.other = range_name(def);
        break;
    case Verb::drop_column:
    case Verb::set_not_null:
    case Verb::drop_not_null:
    case Verb::set_default:
    case Verb::drop_default:
        action.columns = {name};
        break;
    default:
        action.name = name;
        action.words = {subtype};
        if (subtype == "AT_ReplicaIdentity") {
            auto const& identity = child(def, "ReplicaIdentityStmt");
            action.words.push_back(string_of(identity, "identity_type"));
            action.name = string_of(identity, "name");
        }
        break;
    }
}

} // namespace

Column read_column(Node const& node, Place const& place) {
    Column column;
    column.name = string_of(node, "colname");
    column.type = type_of(child(node, "typeName"));
    auto const& type = column.type.name;
    column.serial = type.schema.empty() &&
                    (type.name == "serial" || type.name == "bigserial" || type.name == "smallserial" ||
                     type.name == "serial2" || type.name == "serial4" || type.name == "serial8");
    column.not_null = column.serial;
    for (auto const& constraint : child(node, "constraints"))
        add_column_constraint(column, child(constraint, "Constraint"), place);
    return column;
}

Action read_constraint(Node const& node, Place const& place) {
    Action action;
    action.verb = Verb::add_constraint;
    action.constraint = constraint_kind(string_of(node, "contype"));
    action.name = string_of(node, "conname");
    action.validates = !flag_of(node, "skip_validation");
    action.columns = strings(child(node, "keys"));
    auto const index = string_of(node, "indexname");
    action.uses_index = !index.empty();
    if (action.uses_index)
        action.other = {"", index};
    if (action.constraint == ConstraintKind::foreign_key) {
        action.foreign_keys.push_back(read_foreign_key(node, place));
        action.columns = action.foreign_keys[0].columns;
        action.other = action.foreign_keys[0].parent;
    }
    if (action.constraint == ConstraintKind::check)
        action.proves_not_null = proven_not_null(child(node, "raw_expr"));
    action.span = place.span(node);
    return action;
}

void read_alter_table(Node const& node, Place const& place, std::vector<Action>& actions) {
    auto const spans = command_spans(node, place);
    auto const& commands = child(node, "cmds");
    std::size_t index = 0;
    for (auto const& wrapped : commands) {
        auto const& command = child(wrapped, "AlterTableCmd");
        Action action;
        if (string_of(command, "subtype") == "AT_AddConstraint")
            action = read_constraint(child(child(command, "def"), "Constraint"), place);
        else
            fill(action, command, place);
        action.object = object_of(string_of(node, "objtype"));
        action.on = range_name(child(node, "relation"));
        action.only = !flag_of(child(node, "relation"), "inh");
        action.span = spans.size() == commands.size() ? spans[index] : Span{place.base, place.end};
        ++index;
        actions.push_back(std::move(action));
    }
}

} // namespace pgcarve::lint
