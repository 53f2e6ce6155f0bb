#include "catalog/mentions.hpp"

namespace pgcarve::catalog {

namespace {

bool is_name_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (static_cast<unsigned char>(c) & 0x80U) != 0;
}
bool is_name_part(char c) { return is_name_start(c) || (c >= '0' && c <= '9') || c == '$'; }

// Hands out the names in a text, each with whether a dot stood before it.
class Scanner {
public:
    explicit Scanner(std::string_view text) : text_{text} {}

    struct Name {
        std::string name;
        bool after_dot = false;
    };

    bool next(Name& out) {
        bool dot = false;
        while (at_ < text_.size()) {
            char const c = text_[at_];
            if (skip_comment())
                continue;
            if (is_name_start(c)) {
                out = {plain_name(), dot};
                return true;
            }
            if (c == '"') {
                out = {quoted_name(), dot};
                return true;
            }
            if (c == '.')
                dot = true;
            else if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
                dot = false;
            ++at_;
        }
        return false;
    }

private:
    bool skip_comment() {
        if (text_.substr(at_, 2) == "--") {
            auto const end = text_.find('\n', at_);
            at_ = end == std::string_view::npos ? text_.size() : end;
            return true;
        }
        if (text_.substr(at_, 2) != "/*")
            return false;
        int depth = 0;
        while (at_ < text_.size()) {
            auto const two = text_.substr(at_, 2);
            if (two == "/*" || two == "*/") {
                depth += two == "/*" ? 1 : -1;
                at_ += 2;
                if (depth == 0)
                    break;
            } else {
                ++at_;
            }
        }
        return true;
    }

    std::string plain_name() {
        std::string name;
        for (; at_ < text_.size() && is_name_part(text_[at_]); ++at_) {
            char const c = text_[at_];
            name += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        }
        return name;
    }

    // A lone quote inside a string literal begins no name: what is too long for one is read again as plain text.
    std::string quoted_name() {
        auto const start = at_;
        std::string name;
        for (++at_; at_ < text_.size(); ++at_) {
            if (text_[at_] == '"') {
                if (text_.substr(at_ + 1, 1) != "\"")
                    break;
                ++at_;
            }
            name += text_[at_];
        }
        if (at_ == text_.size() || name.size() > 63) {
            at_ = start + 1;
            return {};
        }
        ++at_;
        return name;
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

} // namespace

TableNames::TableNames(std::vector<sql::QName> const& tables) {
    for (auto const& table : tables) {
        qualified_.insert(table);
        by_name_.emplace(table.name, table);
    }
}

std::map<sql::QName, bool> TableNames::mentions(std::string_view source) const {
    std::map<sql::QName, bool> found;
    Scanner scanner{source};
    Scanner::Name name;
    std::string before;
    while (scanner.next(name)) {
        if (name.after_dot) {
            sql::QName const whole{before, name.name};
            if (qualified_.contains(whole))
                found.insert_or_assign(whole, true);
        } else {
            auto const [first, last] = by_name_.equal_range(name.name);
            for (auto at = first; at != last; ++at)
                found.emplace(at->second, false);
        }
        before = name.name;
    }
    return found;
}

std::set<sql::QName> TableNames::mentioned(std::string_view source) const {
    std::set<sql::QName> found;
    for (auto const& [table, qualified] : mentions(source))
        found.insert(table);
    return found;
}

} // namespace pgcarve::catalog
