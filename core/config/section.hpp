// One table of the configuration file, read key by key. A key that nobody asked for is
// reported as unknown when the section is finished, so the keys that are read are the list of
// the keys there are.
//
// Private to config/: it is the one place beside parse.cpp that sees toml++.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include "config/parse.hpp"

namespace pgcarve::config {

// Everything that reading collects.
struct Collected {
    std::string file;
    std::vector<Problem> problems;
    std::vector<Problem> warnings;
};

class Section {
public:
    // `path` is the dotted key of the table, "" for the top of the file.
    Section(Collected& collected, toml::table const& table, std::string path)
        : collected_{collected}
        , table_{table}
        , path_{std::move(path)} {}

    // Each returns nullopt when the key is absent or, after reporting it, when it is wrong.
    std::optional<std::string> text(std::string_view key); // not empty
    std::optional<std::string> any_text(std::string_view key);
    std::optional<std::string> name(std::string_view key); // an SQL name
    std::optional<base::Millis> duration(std::string_view key, base::Millis least);
    std::optional<int> count(std::string_view key, int least, int most);
    std::optional<double> ratio(std::string_view key, double most);
    std::optional<bool> flag(std::string_view key);
    // One of `words`; its index.
    std::optional<std::size_t> choice(std::string_view key, std::vector<std::string> const& words);
    toml::table const* table(std::string_view key);

    struct Item {
        std::string text;
        model::Where where;
    };
    // An array of texts.
    std::optional<std::vector<Item>> list(std::string_view key);
    // Every key of this table with a text as its value; none of them is unknown then.
    std::vector<std::pair<Item, std::string>> texts();
    // Every key of this table with a table as its value; none of them is unknown then.
    std::vector<std::pair<std::string, toml::table const*>> tables();

    // An array of tables ([[lint.accept]]).
    std::vector<toml::table const*> array_of_tables(std::string_view key);

    void finish(); // reports the keys that were not asked for
    void problem(std::string_view key, std::string message);
    void warning(std::string_view key, std::string message);
    [[nodiscard]] bool has(std::string_view key) const { return table_.contains(key); }
    // Of a key; of the table itself when the key is absent or "".
    [[nodiscard]] model::Where where(std::string_view key) const;
    [[nodiscard]] std::string const& path() const { return path_; }
    [[nodiscard]] Collected& collected() const { return collected_; }

private:
    toml::node const* ask(std::string_view key);
    void wrong_type(std::string_view key, std::string_view wanted, toml::node const& found);

    Collected& collected_;
    toml::table const& table_;
    std::string path_;
    std::vector<std::string> asked_;
};

[[nodiscard]] std::string key_path(std::string_view path, std::string_view key);

} // namespace pgcarve::config
