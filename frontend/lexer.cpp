#include "frontend/lexer.h"

namespace heddle::frontend {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex_digit(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool ends_line(char c) { return c == '\n' || c == '\r'; }
bool continues_sequence(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

char bracket_of(char c) { return std::string_view("()[]{}").find(c) != std::string_view::npos ? c : '\0'; }

class Lexer {
 public:
  Lexer(std::string_view text, const TokenTypes& types) : text_(text), types_(types) {
    if (text.starts_with(byte_order_mark)) at_ = byte_order_mark.size();
  }

  /// False at the end.
  bool next(Token& out) {
    skip();
    if (at_ >= text_.size()) return false;
    const size_t begin = at_;
    const char c = text_[at_];
    out = {};
    if (is_letter(c)) word(out);
    else if (is_digit(c)) number(out);
    else if (c == '"') string(out);
    else if (c == '\n') one(out, Token::Kind::line_end, types_.line_end);
    else if (text_.substr(at_).starts_with("///")) doc(out);
    else mark(out);
    out.begin = static_cast<uint32_t>(begin);
    out.end = static_cast<uint32_t>(at_);
    return true;
  }

 private:
  // A zero byte after the end, which none of the classes holds.
  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  void skip() {
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == ' ' || c == '\t' || c == '\r' || c == '\f') continue;
      if (c != '/' || peek(1) != '/' || peek(2) == '/') return;
      to_line_end();
      --at_;
    }
  }

  void to_line_end() {
    while (at_ < text_.size() && !ends_line(text_[at_])) ++at_;
  }

  void one(Token& out, Token::Kind kind, int type) {
    ++at_;
    out.kind = kind;
    out.type = type;
  }

  void word(Token& out) {
    const size_t begin = at_;
    while (is_letter(peek()) || is_digit(peek())) ++at_;
    auto fixed = types_.fixed.find(std::string(text_.substr(begin, at_ - begin)));
    out.kind = Token::Kind::word;
    out.type = fixed == types_.fixed.end() ? types_.name : fixed->second;
  }

  void digits() {
    while (is_digit(peek())) ++at_;
  }

  bool exponent() {
    const size_t sign = peek(1) == '+' || peek(1) == '-';
    if ((peek() != 'e' && peek() != 'E') || !is_digit(peek(1 + sign))) return false;
    at_ += 1 + sign;
    digits();
    return true;
  }

  // A float has a digit on both sides of its dot.
  void number(Token& out) {
    out.kind = Token::Kind::literal;
    out.type = types_.integer;
    if (peek() == '0' && (peek(1) == 'x' || peek(1) == 'X') && is_hex_digit(peek(2))) {
      at_ += 2;
      while (is_hex_digit(peek())) ++at_;
      return;
    }
    digits();
    const bool fraction = peek() == '.' && is_digit(peek(1));
    if (fraction) ++at_, digits();
    if (exponent() || fraction) out.type = types_.real;
  }

  void string(Token& out) {
    out.kind = Token::Kind::open_string;
    out.type = types_.open_string;
    for (++at_; at_ < text_.size() && !ends_line(text_[at_]); ++at_) {
      if (text_[at_] == '"') return one(out, Token::Kind::literal, types_.string);
      if (text_[at_] == '\\' && at_ + 1 < text_.size() && !ends_line(text_[at_ + 1])) ++at_;
    }
  }

  void doc(Token& out) {
    to_line_end();
    out.kind = Token::Kind::doc;
    out.type = types_.doc;
  }

  // The longest one that there is; else one character that nothing takes.
  void mark(Token& out) {
    for (size_t length = 3; length > 0; --length) {
      auto fixed = types_.fixed.find(std::string(text_.substr(at_, length)));
      if (fixed == types_.fixed.end()) continue;
      out.kind = text_[at_] == ';' ? Token::Kind::semicolon : Token::Kind::mark;
      out.type = fixed->second;
      out.bracket = bracket_of(text_[at_]);
      at_ += fixed->first.size();
      return;
    }
    one(out, Token::Kind::stray, types_.stray);
    while (at_ < text_.size() && continues_sequence(text_[at_])) ++at_;
  }

  std::string_view text_;
  const TokenTypes& types_;
  size_t at_ = 0;
};

}  // namespace

std::vector<Token> lex(std::string_view text, const TokenTypes& types, size_t most) {
  std::vector<Token> out;
  out.reserve(text.size() / 3);
  Lexer lexer(text, types);
  for (Token t; out.size() <= most && lexer.next(t);) out.push_back(t);
  return out;
}

}  // namespace heddle::frontend
