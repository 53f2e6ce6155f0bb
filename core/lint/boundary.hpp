// Who owns what a migration names, by the boundary map alone.
#pragma once

#include <string>

#include "model/boundary.hpp"

namespace pgcarve::lint {

struct Owner {
    enum class Kind {
        unknown,   // of the server, or nothing is known: never judged
        nobody,    // the shared database's own
        reference, // everybody may read it
        service
    };
    Kind kind = Kind::unknown;
    std::string service{};
    bool operator==(Owner const&) const = default;
    [[nodiscard]] std::string text() const; // service checkout
};

class Boundary {
public:
    // REQUIRES that the map outlives it.
    explicit Boundary(model::BoundaryMap const& map)
        : map_{map} {}

    [[nodiscard]] Owner table(sql::QName const& name) const;
    // Functions, types: by their schema alone.
    [[nodiscard]] Owner by_schema(std::string const& schema) const;
    // A sequence is owned as the table that its name begins with, when that is a service's.
    [[nodiscard]] Owner sequence(sql::QName const& name) const;
    [[nodiscard]] Owner role(std::string const& role) const;
    [[nodiscard]] std::string service_of_file(std::string const& path) const; // "" when nobody's
    [[nodiscard]] bool unowned_on_purpose(sql::QName const& table) const;
    // Whether the configuration keeps this foreign key.
    [[nodiscard]] bool keeps(sql::QName const& child, std::string const& constraint,
                             std::vector<std::string> const& columns, sql::QName const& parent) const;
    [[nodiscard]] std::string const& shared_schema() const { return map_.shared_schema; }
    [[nodiscard]] model::BoundaryMap const& map() const { return map_; }
    // A name without a schema in a file: what the services call it in the shared schema, or their own.
    [[nodiscard]] sql::QName resolve(sql::QName const& name, std::string const& service) const;

private:
    model::BoundaryMap const& map_;
};

// Something of `from` that needs something of `to` which is another's.
[[nodiscard]] bool crosses(Owner const& from, Owner const& to, bool writes = false);

} // namespace pgcarve::lint
