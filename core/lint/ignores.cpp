#include "lint/ignores.hpp"

#include <algorithm>
#include <cstdint>

#include "lint/rule.hpp"

namespace pgcarve::lint {

namespace {

std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    std::size_t at = 0;
    while ((at = text.find_first_not_of(" \t\r\n", at)) != std::string_view::npos) {
        auto const end = std::min(text.find_first_of(" \t\r\n", at), text.size());
        words.push_back(text.substr(at, end - at));
        at = end;
    }
    return words;
}

bool looks_like_day(std::string_view text) {
    if (text.size() != 10 || text[4] != '-' || text[7] != '-')
        return false;
    for (std::size_t i : {0U, 1U, 2U, 3U, 5U, 6U, 8U, 9U}) {
        if (text[i] < '0' || text[i] > '9')
            return false;
    }
    return text.substr(5, 2) >= "01" && text.substr(5, 2) <= "12" && text.substr(8, 2) >= "01" &&
           text.substr(8, 2) <= "31";
}

void read_rules(Ignore& ignore, std::string_view list) {
    for (std::size_t at = 0; at <= list.size();) {
        auto const end = std::min(list.find(',', at), list.size());
        auto const written = list.substr(at, end - at);
        at = end + 1;
        if (written == "not_analysed") {
            ignore.rules.emplace_back(written);
            continue;
        }
        auto const* const rule = find_rule(written);
        if (rule == nullptr)
            ignore.wrong = "there is no rule " + std::string{written};
        else
            ignore.rules.push_back(rule->about.id);
    }
}

} // namespace

std::vector<Ignore> read_ignores(std::string_view text, std::vector<Span> const& comments) {
    std::vector<Ignore> ignores;
    for (auto const& span : comments) {
        auto body = text.substr(span.begin, span.end - span.begin);
        bool const block = body.starts_with("/*");
        body.remove_prefix(2);
        if (block && body.ends_with("*/"))
            body.remove_suffix(2);
        auto words = words_of(body);
        if (words.empty() || !words[0].starts_with("pgcarve:"))
            continue;
        Ignore ignore;
        ignore.span = span;
        ignore.whole_file = words[0] == "pgcarve:ignore-file";
        if (!ignore.whole_file && words[0] != "pgcarve:ignore") {
            ignore.wrong = "unknown word " + std::string{words[0]};
        } else if (words.size() < 2) {
            ignore.wrong = "it names no rule";
        } else {
            read_rules(ignore, words[1]);
            auto const count = words.size();
            auto last = count;
            if (count >= 4 && words[count - 2] == "until") {
                ignore.until = words[count - 1];
                last = count - 2;
                if (!looks_like_day(ignore.until) && ignore.wrong.empty())
                    ignore.wrong = ignore.until + " is not a day: write it as 2027-01-31";
            }
            for (auto i = std::size_t{2}; i < last; ++i)
                ignore.reason += (i == 2 ? "" : " ") + std::string{words[i]};
            if (ignore.reason.empty() && ignore.wrong.empty())
                ignore.wrong = "it gives no reason";
        }
        ignore.used.resize(ignore.rules.size());
        ignores.push_back(std::move(ignore));
    }
    return ignores;
}

std::string fingerprint(std::string_view rule, std::string_view file, std::string_view statement,
                        int occurrence) {
    std::uint64_t hash = 14695981039346656037ULL; // FNV-1a
    auto const add = [&](std::string_view part) {
        for (char const c : part) {
            hash ^= static_cast<unsigned char>(c);
            hash *= 1099511628211ULL;
        }
        hash ^= 0xFFU;
        hash *= 1099511628211ULL;
    };
    add(rule);
    add(file);
    Lexer lexer{statement};
    for (Token token; lexer.next(token);)
        add(token.kind == Token::Kind::word ? lower_word(statement, token)
                                            : statement.substr(token.begin, token.end - token.begin));
    add(std::to_string(occurrence));
    static constexpr char const* digits = "0123456789abcdef";
    std::string out;
    for (int shift = 60; shift >= 0; shift -= 4)
        out += digits[(hash >> static_cast<unsigned>(shift)) & 0xFU];
    return out;
}

} // namespace pgcarve::lint
