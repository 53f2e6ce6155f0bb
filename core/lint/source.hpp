// A migration's text cut into statements, without a grammar: strings, quoted names, dollar quotes,
// comments, and the parentheses and BEGIN ATOMIC blocks in which a semicolon ends nothing.
//
// The parser's own scanner gives up at psql's commands, at the rows behind COPY … FROM stdin and at
// templates; here each of them is one piece that is told apart, so that the rest is judged.
//
// Any bytes are taken. Linear in the length of the text. Offsets are bytes of the whole text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "model/lint.hpp"

namespace pgcarve::lint {

struct Span {
    std::size_t begin = 0;
    std::size_t end = 0;
};

struct Token {
    enum class Kind { word, quoted, text, number, symbol, open, close, comma, semicolon, backslash };
    Kind kind = Kind::symbol;
    std::size_t begin = 0;
    std::size_t end = 0;
};

class Lexer {
public:
    Lexer(std::string_view text, std::size_t from = 0)
        : text_{text}
        , at_{from} {}

    // False at the end of the text. Comments are skipped; their spans go to `comments` when it is set.
    bool next(Token& token);
    std::vector<Span>* comments = nullptr;
    [[nodiscard]] bool unterminated() const { return unterminated_; }
    void skip_to(std::size_t offset) { at_ = offset; }

private:
    bool skip_blanks();
    void skip_quoted(char quote, bool backslashes);
    bool skip_dollar_quoted();

    std::string_view text_;
    std::size_t at_ = 0;
    bool unterminated_ = false;
};

// The word of a token in lower case; "" for other kinds.
[[nodiscard]] std::string lower_word(std::string_view text, Token const& token);

struct Piece {
    Span span;              // without the semicolon, from its first token to its last
    std::string obstacle{}; // why it cannot be parsed; "" when it can be tried
};

struct Source {
    std::vector<Piece> pieces;
    std::vector<Span> comments;
};

[[nodiscard]] Source split(std::string_view text);

// Where a text's bytes stand. REQUIRES that the text outlives it.
class Lines {
public:
    explicit Lines(std::string_view text);
    [[nodiscard]] model::Position at(std::size_t offset) const;
    // The line that holds the offset, without its end.
    [[nodiscard]] std::string_view line(std::size_t offset) const;
    [[nodiscard]] std::size_t line_begin(int line) const; // 1-based

private:
    std::string_view text_;
    std::vector<std::size_t> starts_;
};

[[nodiscard]] bool is_utf8(std::string_view text);

} // namespace pgcarve::lint
