#include "backend/neuron/simulator/tokens.h"

#include <array>

#include "backend/neuron/simulator/refuse.h"

namespace heddle::neuron::sim {
namespace {

bool is_letter(unsigned char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(const SourceRef& source) : source_(source), text_(source->text()) {
    if (text_.size() > nki_text_bytes)
      refuse(codes::nki_limit, {},
             "the text has " + std::to_string(text_.size()) + " bytes; the limit is " + std::to_string(nki_text_bytes));
  }

  std::vector<Token> run() {
    while (at_ < text_.size()) line();
    if (!brackets_.empty()) fail(brackets_.back(), brackets_.back() + 1, "this bracket is not closed");
    finish_line();
    for (; indents_.size() > 1; indents_.pop_back()) push(Token::Kind::dedent, at_, at_);
    push(Token::Kind::end, at_, at_);
    return std::move(tokens_);
  }

 private:
  // One physical line: indentation where a logical line starts, then its tokens.
  void line() {
    if (brackets_.empty() && !continued_) {
      uint32_t start = at_;
      while (at_ < text_.size() && text_[at_] == ' ') ++at_;
      if (at_ < text_.size() && text_[at_] == '\t') fail(at_, at_ + 1, "indentation by a tab; write spaces");
      if (blank_line()) return;
      indent(at_ - start);
    }
    continued_ = false;
    while (at_ < text_.size() && text_[at_] != '\n') token();
    if (at_ < text_.size()) ++at_;
    if (brackets_.empty() && !continued_) finish_line();
  }

  bool blank_line() {
    uint32_t i = at_;
    while (i < text_.size() && (text_[i] == ' ' || text_[i] == '\r' || text_[i] == '\t')) ++i;
    if (i < text_.size() && text_[i] != '\n' && text_[i] != '#') return false;
    while (i < text_.size() && text_[i] != '\n') ++i;
    at_ = i < text_.size() ? i + 1 : i;
    return true;
  }

  void indent(uint32_t width) {
    if (width > indents_.back()) {
      if (indents_.size() > nki_nesting) refuse(codes::nki_limit, place(at_, at_), "blocks nest too deeply");
      indents_.push_back(width);
      push(Token::Kind::indent, at_, at_);
    }
    while (width < indents_.back()) {
      indents_.pop_back();
      push(Token::Kind::dedent, at_, at_);
      if (width > indents_.back()) fail(at_, at_, "this indentation matches no block around it");
    }
  }

  void finish_line() {
    if (!tokens_.empty() && tokens_.back().kind != Token::Kind::newline && tokens_.back().kind != Token::Kind::indent &&
        tokens_.back().kind != Token::Kind::dedent)
      push(Token::Kind::newline, at_, at_);
  }

  void token() {
    unsigned char c = text_[at_];
    if (c == ' ' || c == '\r' || c == '\t') return void(++at_);
    if (c == '#') {
      while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      return;
    }
    if (c == '\\' && (at_ + 1 == text_.size() || text_[at_ + 1] == '\n' || text_[at_ + 1] == '\r')) {
      continued_ = true;
      return void(++at_);
    }
    uint32_t begin = at_;
    if (is_letter(c)) {
      while (at_ < text_.size() && (is_letter(text_[at_]) || is_digit(text_[at_]))) ++at_;
      if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\''))
        refuse_rule(RuleId::removed_syntax, place(begin, at_ + 1),
                    "strings with a prefix are no part of the kernel language");
      return push(Token::Kind::name, begin, at_);
    }
    if (is_digit(c) || (c == '.' && at_ + 1 < text_.size() && is_digit(text_[at_ + 1]))) return number();
    if (c == '"' || c == '\'') return string();
    symbol();
  }

  void number() {
    uint32_t begin = at_;
    bool real = false;
    if (text_[at_] == '0' && at_ + 1 < text_.size() && (text_[at_ + 1] | 32) == 'x') {
      at_ += 2;
      while (at_ < text_.size() && (is_digit(text_[at_]) || is_letter(text_[at_]))) ++at_;
      return push(Token::Kind::integer, begin, at_);
    }
    auto digits = [&] {
      while (at_ < text_.size() && (is_digit(text_[at_]) || text_[at_] == '_')) ++at_;
    };
    digits();
    if (at_ < text_.size() && text_[at_] == '.') real = true, ++at_, digits();
    if (at_ < text_.size() && (text_[at_] | 32) == 'e') {
      uint32_t mark = at_++;
      if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
      if (at_ < text_.size() && is_digit(text_[at_])) real = true, digits();
      else at_ = mark;
    }
    if (at_ < text_.size() && is_letter(text_[at_])) fail(begin, at_ + 1, "this is no number");
    push(real ? Token::Kind::real : Token::Kind::integer, begin, at_);
  }

  // The token holds the quotes; escapes stay as they are, since no string of a kernel is computed with.
  void string() {
    uint32_t begin = at_;
    char quote = text_[at_];
    bool three = text_.substr(at_, 3) == std::string(3, quote);
    at_ += three ? 3 : 1;
    while (at_ < text_.size()) {
      if (text_[at_] == '\\') at_ += 2;
      else if (three && text_.substr(at_, 3) == std::string(3, quote))
        return at_ += 3, push(Token::Kind::string, begin, at_);
      else if (!three && text_[at_] == quote) return ++at_, push(Token::Kind::string, begin, at_);
      else if (!three && text_[at_] == '\n') break;
      else ++at_;
    }
    at_ = std::min<uint32_t>(at_, text_.size());
    fail(begin, at_, "this string is not closed");
  }

  void symbol() {
    static constexpr std::array<std::string_view, 23> pairs = {
        "**=", "//=", ">>=", "<<=", "**", "//", "==", "!=", "<=", ">=", "->", "+=",
        "-=",  "*=",  "/=",  "%=",  "<<", ">>", ":=", "@=", "&=", "|=", "^="};
    for (std::string_view p : pairs)
      if (text_.substr(at_, p.size()) == p) {
        push(Token::Kind::op, at_, at_ + p.size());
        at_ += p.size();
        return;
      }
    char c = text_[at_];
    if (std::string_view("()[]{}+-*/%@<>=.,:;~&|^").find(c) == std::string_view::npos)
      fail(at_, at_ + 1, "this character stands in no NKI text");
    if (c == '(' || c == '[' || c == '{') {
      if (brackets_.size() >= nki_nesting) refuse(codes::nki_limit, place(at_, at_ + 1), "brackets nest too deeply");
      brackets_.push_back(at_);
    } else if (c == ')' || c == ']' || c == '}') {
      char open = c == ')' ? '(' : c == ']' ? '[' : '{';
      if (brackets_.empty() || text_[brackets_.back()] != open) fail(at_, at_ + 1, "this bracket closes nothing");
      brackets_.pop_back();
    }
    push(Token::Kind::op, at_, at_ + 1);
    ++at_;
  }

  void push(Token::Kind kind, uint32_t begin, uint32_t end) { tokens_.push_back({kind, begin, end}); }
  Place place(uint32_t begin, uint32_t end) const { return {source_, begin, end}; }
  [[noreturn]] void fail(uint32_t begin, uint32_t end, std::string message) const {
    refuse(codes::nki_syntax, place(begin, end), std::move(message));
  }

  SourceRef source_;
  std::string_view text_;
  uint32_t at_ = 0;
  bool continued_ = false;
  std::vector<uint32_t> indents_{0}, brackets_;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(const SourceRef& source) { return Lexer(source).run(); }

}  // namespace heddle::neuron::sim
