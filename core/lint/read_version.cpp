// What of a statement's grammar older servers do not have.
#include <algorithm>
#include <map>

#include "lint/tree.hpp"

namespace pgcarve::lint {

namespace {

void need(std::vector<Need>& needs, int version, char const* what) {
    if (std::ranges::find(needs, what, &Need::what) == needs.end())
        needs.push_back({version, what});
}

// Keys which, when they are there and not false, mean one thing wherever they stand.
void by_key(std::string const& key, Node const& value, std::vector<Need>& needs) {
    static std::map<std::string, Need> const known{
        {"MergeStmt", {15, "MERGE"}},
        {"nulls_not_distinct", {15, "NULLS NOT DISTINCT"}},
        {"fk_del_set_cols", {15, "ON DELETE SET with columns"}},
        {"AlterDatabaseRefreshCollStmt", {15, "ALTER DATABASE ... REFRESH COLLATION VERSION"}},
        {"search_clause", {14, "SEARCH"}},
        {"cycle_clause", {14, "CYCLE"}},
        {"groupDistinct", {14, "GROUP BY DISTINCT"}},
        {"sql_body", {14, "a body in standard SQL"}},
    };
    auto const at = known.find(key);
    if (at != known.end() && value != false)
        need(needs, at->second.version, at->second.what.c_str());
}

void by_command(Node const& command, std::vector<Need>& needs) {
    auto const subtype = string_of(command, "subtype");
    if (subtype == "AT_DetachPartitionFinalize" ||
        (subtype == "AT_DetachPartition" && flag_of(child(child(command, "def"), "PartitionCmd"), "concurrent")))
        need(needs, 14, "DETACH PARTITION ... CONCURRENTLY");
    if (subtype == "AT_SetCompression")
        need(needs, 14, "SET COMPRESSION");
    if (subtype == "AT_SetAccessMethod")
        need(needs, 15, "ALTER TABLE ... SET ACCESS METHOD");
}

void by_node(std::string const& kind, Node const& node, std::vector<Need>& needs) {
    if (kind == "AlterTableCmd")
        by_command(node, needs);
    else if (kind == "ColumnDef" && !string_of(node, "compression").empty())
        need(needs, 14, "COMPRESSION");
    else if (kind == "CreateTrigStmt" && flag_of(node, "replace"))
        need(needs, 14, "CREATE OR REPLACE TRIGGER");
    else if (kind == "StatsElem" && !child(node, "expr").empty())
        need(needs, 14, "CREATE STATISTICS of an expression");
    else if (kind == "DefElem" && string_of(node, "defname") == "security_invoker")
        need(needs, 15, "security_invoker");
    else if (kind == "PublicationObjSpec") {
        auto const& table = child(node, "pubtable");
        if (string_of(node, "pubobjtype") != "PUBLICATIONOBJ_TABLE")
            need(needs, 15, "a publication of TABLES IN SCHEMA");
        else if (!child(table, "whereClause").empty() || !child(table, "columns").empty())
            need(needs, 15, "a publication of some rows or columns");
    }
}

void walk(Node const& node, std::vector<Need>& needs) { // as deep as the parser lets a statement be
    if (node.is_object()) {
        for (auto const& [key, value] : node.items()) {
            by_key(key, value, needs);
            by_node(key, value, needs);
            walk(value, needs);
        }
    } else if (node.is_array()) {
        for (auto const& element : node)
            walk(element, needs);
    }
}

} // namespace

std::vector<Need> needs_of(Node const& statement) {
    std::vector<Need> needs;
    walk(statement, needs);
    return needs;
}

} // namespace pgcarve::lint
