#include "lint/source.hpp"

#include <algorithm>

namespace pgcarve::lint {

namespace {

constexpr std::size_t longest_statement = std::size_t{16} << 20U; // far above any that was written by hand
// Recursion of the parser and of ours is bounded by the nesting of what is parsed: about a kilobyte of
// stack for each level, on stacks of eight megabytes.
constexpr int deepest_nesting = 2000;

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}
bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool starts_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           static_cast<unsigned char>(c) >= 0x80U;
}
bool continues_word(char c) {
    return starts_word(c) || is_digit(c) || c == '$';
}
bool is_operator(char c) {
    return std::string_view{"+-*/<>=~!@#%^&|`?"}.find(c) != std::string_view::npos;
}

} // namespace

// False at the end of the text.
bool Lexer::skip_blanks() {
    while (at_ < text_.size()) {
        auto const rest = text_.substr(at_);
        if (is_blank(rest[0])) {
            ++at_;
            continue;
        }
        auto const begin = at_;
        if (rest.starts_with("--")) {
            at_ = std::min(text_.find('\n', at_), text_.size());
        } else if (rest.starts_with("/*")) {
            at_ += 2;
            for (int depth = 1; depth > 0;) {
                auto const mark = text_.find_first_of("*/", at_);
                if (mark == std::string_view::npos || mark + 1 >= text_.size()) {
                    at_ = text_.size();
                    unterminated_ = true;
                    break;
                }
                auto const two = text_.substr(mark, 2);
                depth += two == "/*" ? 1 : two == "*/" ? -1 : 0;
                at_ = mark + (two == "/*" || two == "*/" ? 2 : 1);
            }
        } else {
            return true;
        }
        if (comments != nullptr)
            comments->push_back({begin, at_});
    }
    return false;
}

// From behind the opening quote to behind the closing one.
void Lexer::skip_quoted(char quote, bool backslashes) {
    while (at_ < text_.size()) {
        char const c = text_[at_++];
        if (c == '\\' && backslashes && at_ < text_.size()) {
            ++at_;
        } else if (c == quote) {
            if (at_ >= text_.size() || text_[at_] != quote)
                return;
            ++at_;
        }
    }
    unterminated_ = true;
}

// At a $: a dollar-quoted string; false when it is none.
bool Lexer::skip_dollar_quoted() {
    auto end = at_ + 1;
    if (end < text_.size() && is_digit(text_[end]))
        return false;
    while (end < text_.size() && (starts_word(text_[end]) || is_digit(text_[end])))
        ++end;
    if (end >= text_.size() || text_[end] != '$')
        return false;
    auto const mark = text_.substr(at_, end + 1 - at_);
    auto const close = text_.find(mark, end + 1);
    if (close == std::string_view::npos) {
        unterminated_ = true;
        at_ = text_.size();
    } else {
        at_ = close + mark.size();
    }
    return true;
}

bool Lexer::next(Token& token) {
    if (!skip_blanks())
        return false;
    using enum Token::Kind;
    token.begin = at_;
    char const c = text_[at_];
    char const after = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    token.kind = symbol;
    if (c == '\'') {
        token.kind = text;
        ++at_;
        skip_quoted('\'', false);
    } else if ((c == 'e' || c == 'E') && after == '\'') {
        token.kind = text;
        at_ += 2;
        skip_quoted('\'', true);
    } else if ((c == 'b' || c == 'B' || c == 'x' || c == 'X' || c == 'n' || c == 'N') && after == '\'') {
        token.kind = text;
        at_ += 2;
        skip_quoted('\'', false);
    } else if ((c == 'u' || c == 'U') && after == '&' && at_ + 2 < text_.size() &&
               (text_[at_ + 2] == '\'' || text_[at_ + 2] == '"')) {
        char const quote = text_[at_ + 2];
        token.kind = quote == '"' ? quoted : text;
        at_ += 3;
        skip_quoted(quote, false);
    } else if (c == '"') {
        token.kind = quoted;
        ++at_;
        skip_quoted('"', false);
    } else if (c == '$' && skip_dollar_quoted()) {
        token.kind = text;
    } else if (starts_word(c)) {
        token.kind = word;
        while (at_ < text_.size() && continues_word(text_[at_]))
            ++at_;
    } else if (is_digit(c)) {
        token.kind = number;
        while (at_ < text_.size() && (continues_word(text_[at_]) || text_[at_] == '.'))
            ++at_;
    } else if (is_operator(c)) {
        // A comment begins inside a run of operator characters too.
        do {
            ++at_;
        } while (at_ < text_.size() && is_operator(text_[at_]) && !text_.substr(at_).starts_with("--") &&
                 !text_.substr(at_).starts_with("/*"));
    } else {
        token.kind = c == '(' || c == '['   ? open
                     : c == ')' || c == ']' ? close
                     : c == ','             ? comma
                     : c == ';'             ? semicolon
                     : c == '\\'            ? backslash
                                            : symbol;
        ++at_;
    }
    token.end = at_;
    return true;
}

std::string lower_word(std::string_view text, Token const& token) {
    if (token.kind != Token::Kind::word)
        return {};
    std::string word{text.substr(token.begin, token.end - token.begin)};
    for (char& c : word) {
        if (c >= 'A' && c <= 'Z')
            c = static_cast<char>(c - 'A' + 'a');
    }
    return word;
}

namespace {

// psql's commands that change nothing about what the statements do.
bool is_harmless_command(std::string_view line) {
    static constexpr std::string_view harmless[] = {"\\echo",
                                                    "\\qecho",
                                                    "\\warn",
                                                    "\\timing",
                                                    "\\pset",
                                                    "\\x",
                                                    "\\encoding",
                                                    "\\restrict",
                                                    "\\unrestrict",
                                                    "\\errverbose",
                                                    "\\set ON_ERROR_STOP",
                                                    "\\unset ON_ERROR_STOP"};
    return std::ranges::any_of(harmless, [&](std::string_view command) {
        return line.starts_with(command) && (line.size() == command.size() || is_blank(line[command.size()]));
    });
}

// An upper bound for the depth of a statement's tree, which a chain of operators deepens like a parenthesis.
class Nesting {
public:
    void see(Token const& token, std::string const& word) {
        switch (token.kind) {
        case Token::Kind::open:
            levels_.push_back(0);
            break;
        case Token::Kind::close:
            if (levels_.size() > 1) {
                sum_ -= levels_.back();
                levels_.pop_back();
            }
            break;
        case Token::Kind::comma:
            sum_ -= levels_.back();
            levels_.back() = 0;
            break;
        default:
            // These join what holds commas of its own.
            if (word == "union" || word == "except" || word == "intersect" || word == "join" ||
                word == "case" || word == "else")
                ++kept_;
            else if (token.kind == Token::Kind::symbol || word == "not" || word == "and" || word == "or" ||
                     word == "is" || word == "collate" || word == "at")
                deepen();
            break;
        }
        deepest_ = std::max(deepest_, static_cast<long>(levels_.size()) + sum_ + kept_);
    }
    [[nodiscard]] bool too_deep() const { return deepest_ > deepest_nesting; }

private:
    void deepen() {
        ++levels_.back();
        ++sum_;
    }
    std::vector<long> levels_{0};
    long sum_ = 0;
    long kept_ = 0;
    long deepest_ = 0;
};

class Splitter {
public:
    explicit Splitter(std::string_view text)
        : text_{text}
        , lexer_{text, text.starts_with("\xEF\xBB\xBF") ? std::size_t{3} : std::size_t{0}} {
        lexer_.comments = &source_.comments;
    }

    Source run() {
        Token token;
        while (lexer_.next(token)) {
            if (token.kind == Token::Kind::backslash)
                command(token);
            else if (token.kind == Token::Kind::semicolon && parentheses_ == 0 && atomic_ == 0)
                finish();
            else
                see(token);
        }
        if (lexer_.unterminated()) {
            if (empty_) // a comment behind the last statement: it may hide others
                piece_.span = source_.comments.back();
            empty_ = false;
            piece_.obstacle = "a quote or comment is not closed";
        }
        finish();
        return std::move(source_);
    }

private:
    void see(Token const& token) {
        if (empty_) {
            piece_.span.begin = token.begin;
            empty_ = false;
        }
        piece_.span.end = token.end;
        auto word = lower_word(text_, token);
        nesting_.see(token, word);
        if (token.kind == Token::Kind::open)
            ++parentheses_;
        else if (token.kind == Token::Kind::close && parentheses_ > 0)
            --parentheses_;
        else if (token.kind == Token::Kind::word)
            see_word(word);
        previous_ = std::move(word);
    }

    void see_word(std::string const& word) {
        ++words_;
        if (words_ == 1)
            first_ = word;
        if (first_ == "create" && words_ <= 4 && (word == "function" || word == "procedure"))
            routine_ = true;
        if (routine_ && atomic_ == 0 && word == "atomic" && previous_ == "begin")
            atomic_ = 1;
        else if (atomic_ > 0 && word == "case")
            ++atomic_;
        else if (atomic_ > 0 && word == "end")
            --atomic_;
        if (first_ == "copy" && previous_ == "from" && word == "stdin")
            copies_ = true;
    }

    void finish() {
        if (!empty_) {
            auto const body = text_.substr(piece_.span.begin, piece_.span.end - piece_.span.begin);
            if (piece_.obstacle.empty() && nesting_.too_deep())
                piece_.obstacle = "it is nested too deeply";
            if (piece_.obstacle.empty() && body.size() > longest_statement)
                piece_.obstacle = "it is longer than 16 MB";
            if (piece_.obstacle.empty() && body.find('\0') != std::string_view::npos)
                piece_.obstacle = "it holds a zero byte";
            if (piece_.obstacle.empty() && !is_utf8(body))
                piece_.obstacle = "it is not UTF-8";
            source_.pieces.push_back(piece_);
            if (copies_)
                skip_rows(piece_.span.end);
        }
        piece_ = {};
        empty_ = true;
        nesting_ = {};
        parentheses_ = atomic_ = words_ = 0;
        routine_ = copies_ = false;
        first_.clear();
        previous_.clear();
    }

    // A backslash outside strings is psql's: what is typed so far and the rest of the line belong to it.
    void command(Token const& token) {
        auto const end = std::min(text_.find('\n', token.begin), text_.size());
        auto line = text_.substr(token.begin, end - token.begin);
        while (!line.empty() && is_blank(line.back()))
            line.remove_suffix(1);
        lexer_.skip_to(end);
        if (empty_ && is_harmless_command(line))
            return;
        if (empty_)
            piece_.span.begin = token.begin;
        empty_ = false;
        piece_.span.end = token.begin + line.size();
        piece_.obstacle = "it is a command of psql";
        finish();
    }

    // The rows behind COPY … FROM stdin end with a line \. ; without it they go on to the end.
    void skip_rows(std::size_t from) {
        auto at = text_.find('\n', from);
        while (at != std::string_view::npos) {
            auto const end = std::min(text_.find('\n', at + 1), text_.size());
            auto line = text_.substr(at + 1, end - at - 1);
            if (line.ends_with('\r'))
                line.remove_suffix(1);
            if (line == "\\.") {
                lexer_.skip_to(end);
                return;
            }
            if (end == text_.size())
                break;
            at = end;
        }
        lexer_.skip_to(text_.size());
    }

    std::string_view text_;
    Source source_;
    Lexer lexer_;
    Piece piece_;
    bool empty_ = true;
    Nesting nesting_;
    int parentheses_ = 0;
    int atomic_ = 0; // BEGIN ATOMIC and the CASEs in it that are open
    int words_ = 0;
    bool routine_ = false;
    bool copies_ = false;
    std::string first_;
    std::string previous_;
};

} // namespace

Source split(std::string_view text) {
    return Splitter{text}.run();
}

Lines::Lines(std::string_view text)
    : text_{text}
    , starts_{0} {
    for (auto at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1))
        starts_.push_back(at + 1);
}

model::Position Lines::at(std::size_t offset) const {
    offset = std::min(offset, text_.size());
    auto const next = std::ranges::upper_bound(starts_, offset);
    auto const start = *(next - 1);
    model::Position position{static_cast<int>(next - starts_.begin()), 1};
    bool const mark = start == 0 && text_.starts_with("\xEF\xBB\xBF");
    for (auto i = start + (mark ? 3 : 0); i < offset; ++i)
        position.column += (static_cast<unsigned char>(text_[i]) & 0xC0U) == 0x80U ? 0 : 1;
    return position;
}

std::string_view Lines::line(std::size_t offset) const {
    offset = std::min(offset, text_.size());
    auto const start = *(std::ranges::upper_bound(starts_, offset) - 1);
    auto line = text_.substr(start, std::min(text_.find('\n', start), text_.size()) - start);
    if (start == 0 && line.starts_with("\xEF\xBB\xBF"))
        line.remove_prefix(3);
    if (line.ends_with('\r'))
        line.remove_suffix(1);
    return line;
}

std::size_t Lines::line_begin(int line) const {
    auto const index = static_cast<std::size_t>(std::max(line, 1)) - 1;
    return index < starts_.size() ? starts_[index] : text_.size();
}

bool is_utf8(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        auto const byte = [&](std::size_t n) {
            return i + n < text.size() ? static_cast<unsigned char>(text[i + n]) : 0U;
        };
        auto const tail = [&](std::size_t n) { return (byte(n) & 0xC0U) == 0x80U; };
        auto const c = byte(0);
        if (c < 0x80U)
            i += 1;
        else if (c >= 0xC2U && c <= 0xDFU && tail(1))
            i += 2;
        else if ((c & 0xF0U) == 0xE0U && tail(1) && tail(2) && (c != 0xE0U || byte(1) >= 0xA0U) &&
                 (c != 0xEDU || byte(1) < 0xA0U))
            i += 3;
        else if (c >= 0xF0U && c <= 0xF4U && tail(1) && tail(2) && tail(3) &&
                 (c != 0xF0U || byte(1) >= 0x90U) && (c != 0xF4U || byte(1) < 0x90U))
            i += 4;
        else
            return false;
    }
    return true;
}

} // namespace pgcarve::lint
