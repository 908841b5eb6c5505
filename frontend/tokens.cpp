#include "frontend/tokens.h"

#include <algorithm>
#include <span>

#include "frontend/codes.h"
#include "support/limits.h"

namespace heddle::frontend {
namespace {

using Kind = Token::Kind;
using Words = std::span<const std::string_view>;

// Infix operators and openers: the statement goes on after them.
constexpr std::string_view open_ended[] = {
    "+",  "-", "*",  "/",  "%", "<<", ">>", "&", "|", "^",  "~",   "!", "&&", "||", "==",   "!=",   "<",  "<=",   ">",
    ">=", "=", "<-", "->", ",", "(",  "[",  "{", ".", "..", "...", ":", "@",  "or", "then", "else", "if", "where"};
// No statement begins with these.
constexpr std::string_view continuing[] = {"+",  "-",  "*",  "/", "%",  "<<", ">>", "&",  "|",    "^",    "&&",
                                           "||", "==", "!=", "<", "<=", ">",  ">=", "=",  "<-",   "->",   ",",
                                           ")",  "]",  "{",  ".", "..", ":",  "@",  "or", "then", "else", "where"};
// Words of an item's header, outside every bracket.
constexpr std::string_view header_words[] = {"on", "allow", "facts", "numerics", "cost", "commutes", "exactly"};
// Reserved words that begin an item and stand nowhere else: an open bracket before one was never closed.
constexpr std::string_view item_words[] = {"op", "reducer", "schedule", "instr", "program", "import"};
constexpr std::string_view statement_words[] = {"let", "require", "scan", "tune"};
constexpr std::string_view infix[] = {"+", "-",  "*",  "/", "%",  "<<", ">>", "&",  "|",
                                      "^", "==", "!=", "<", "<=", ">",  ">=", "&&", "||"};

bool in(std::string_view text, Words words) { return std::ranges::find(words, text) != words.end(); }

char closer_of(char open) { return open == '(' ? ')' : open == '[' ? ']' : '}'; }
bool opens(char c) { return c == '(' || c == '[' || c == '{'; }
bool closes(char c) { return c == ')' || c == ']' || c == '}'; }
bool ends_line(const Token& t) { return t.kind == Kind::line_end || t.kind == Kind::semicolon; }

class Filter {
 public:
  Filter(const SourceRef& source, const std::vector<Token>& raw) : source_(source), text_(source->text()), raw_(raw) {}

  FilteredTokens run() {
    take_words();
    pair_brackets();
    if (!out_.fatal) drop_line_ends();
    if (!out_.fatal) hold_limits();
    std::ranges::sort(out_.errors, {}, [](const Diagnostic& d) { return d.place.begin; });
    return std::move(out_);
  }

 private:
  std::string_view text(const Token& t) const { return text_.substr(t.begin, t.end - t.begin); }
  Place place(const Token& t) const { return {source_, t.begin, t.end}; }
  void error(Diagnostic d) { out_.errors.push_back(std::move(d)); }
  void fatal(Diagnostic d) {
    out_.errors.clear();  // what else was seen on the way follows from the same text
    error(std::move(d));
    out_.fatal = true;
  }

  // From here on: no doc comments, stray characters or open strings among the tokens.
  void take_words() {
    std::string doc;
    for (size_t i = 0; i < raw_.size(); ++i) {
      const Token& t = raw_[i];
      if (t.kind == Kind::doc) {
        std::string_view line = text(t).substr(3);
        if (line.starts_with(' ')) line.remove_prefix(1);
        doc += (doc.empty() ? "" : "\n") + std::string(line);
        continue;
      }
      if (t.kind == Kind::stray) {
        Token all = t;
        while (i + 1 < raw_.size() && raw_[i + 1].kind == Kind::stray && raw_[i + 1].begin == all.end)
          all.end = raw_[++i].end;
        Diagnostic d{codes::stray_character, place(all),
                     all.end == t.end ? "this character is no part of the language"
                                      : "these characters are no part of the language"};
        if (text(all) == "#") d.help = "a comment begins with `//`";
        if (text(all) == "?") d.help = "one of two values is `if condition then a else b`";
        error(std::move(d));
        continue;
      }
      if (t.kind == Kind::open_string) error({codes::open_string, place(t), "this string does not end on its line"});
      if (!ends_line(t) && !doc.empty()) out_.docs[t.begin] = std::move(doc), doc.clear();
      tokens_.push_back(t);
    }
  }

  // Finds brackets without a partner. A missing one is inserted where its line ends, a superfluous one is taken out, so that
  // the parser's own errors are about something else.
  void pair_brackets() {
    partner_.assign(tokens_.size(), 0);
    dropped_.assign(tokens_.size(), false);
    for (size_t i = 0; i < tokens_.size() && !out_.fatal; ++i) {
      const Token& t = tokens_[i];
      bool starts_line = i == 0 || ends_line(tokens_[i - 1]);
      if (t.kind == Kind::word && starts_line && !open_.empty()) {
        if (in(text(t), item_words)) unclosed_down_to(0, i);
        else if (in(text(t), statement_words)) unclosed_down_to(brace_level(), i);
      }
      if (opens(t.bracket)) {
        if (t.bracket == '{') unclosed_down_to(brace_level(), i);
        open_.push_back(i);
        if (open_.size() > size_t{limits::nesting}) too_deep(t);
      } else if (closes(t.bracket)) {
        close(i);
      }
    }
    if (!out_.fatal) unclosed_down_to(0, tokens_.size());
  }

  /// How many brackets are open up to and with the innermost brace.
  size_t brace_level() const {
    size_t level = open_.size();
    while (level > 0 && tokens_[open_[level - 1]].bracket != '{') --level;
    return level;
  }

  void close(size_t i) {
    char c = tokens_[i].bracket;
    size_t floor = c == '}' ? 0 : brace_level();
    size_t level = open_.size();
    while (level > floor && closer_of(tokens_[open_[level - 1]].bracket) != c) --level;
    if (level == floor) {
      dropped_[i] = true;
      error({codes::unpaired_bracket, place(tokens_[i]), "`" + std::string(1, c) + "` closes nothing"});
      return;
    }
    unclosed_down_to(level, i);
    partner_[open_.back()] = i;
    open_.pop_back();
  }

  /// All brackets above the level end without a partner before token `at`.
  void unclosed_down_to(size_t level, size_t at) {
    size_t reported = SIZE_MAX;
    while (open_.size() > level) {
      size_t opener = open_.back();
      open_.pop_back();
      size_t where = tokens_[opener].bracket == '{' ? at : end_of_line(opener, at);
      while (where > opener + 1 && ends_line(tokens_[where - 1])) --where;
      Token close{.kind = Kind::mark, .bracket = closer_of(tokens_[opener].bracket)};
      close.begin = close.end = tokens_[where - 1].end;
      inserts_.emplace(where, close);
      if (where == reported) continue;  // one line, one error
      reported = where;
      std::string c(1, tokens_[opener].bracket);
      error(Diagnostic{codes::unpaired_bracket, place(close), "expected `" + std::string(1, close.bracket) + "`"}.label(
          place(tokens_[opener]), "`" + c + "` opened here is not closed"));
    }
  }

  /// The first line end after an opener that is not inside a closed pair, at most `limit`.
  size_t end_of_line(size_t opener, size_t limit) const {
    for (size_t i = opener + 1; i < limit; ++i) {
      if (ends_line(tokens_[i])) return i;
      if (partner_[i] > i) i = partner_[i];
    }
    return limit;
  }

  void too_deep(const Token& t) {
    fatal(Diagnostic{codes::nested_too_deep, place(t),
                     "nested deeper than " + std::to_string(limits::nesting) + " levels"}
              .with_help("give parts of the expression names of their own"));
  }

  // From here on: line ends only between two statements.
  void drop_line_ends() {
    std::vector<char> open;
    auto insert = inserts_.begin();
    Token pending;
    bool has_pending = false;
    auto put = [&](const Token& t) {
      if (has_pending) line_end_before(t, pending, open.empty());
      has_pending = false;
      if (opens(t.bracket)) open.push_back(t.bracket);
      if (closes(t.bracket) && !open.empty()) open.pop_back();
      out_.tokens.push_back(t);
    };
    for (size_t i = 0; i <= tokens_.size(); ++i) {
      for (; insert != inserts_.end() && insert->first == i; ++insert) put(insert->second);
      if (i == tokens_.size() || dropped_[i]) continue;
      const Token& t = tokens_[i];
      if (!ends_line(t)) {
        put(t);
      } else if (t.kind == Kind::semicolon || open.empty() || open.back() == '{') {
        if (!has_pending || t.kind == Kind::semicolon) pending = t;
        has_pending = true;
      }
    }
  }

  void line_end_before(const Token& next, const Token& pending, bool outside) {
    if (out_.tokens.empty() || out_.tokens.back().bracket == '{' || next.bracket == '}') return;
    const Token& last = out_.tokens.back();
    bool part_star = text(last) == "*" && out_.tokens.size() > 1 && text(out_.tokens[out_.tokens.size() - 2]) == "@";
    std::string_view word = text(next);
    bool starts = in(word, statement_words) || in(word, item_words);
    bool goes_on = (in(text(last), open_ended) && !part_star && !starts) || in(word, continuing) ||
                   (outside && in(word, header_words));
    if (goes_on && pending.kind == Kind::line_end) return;
    out_.tokens.push_back(pending);
  }

  // One level of brackets: what the expression since the last separator holds, and the deepest part seen.
  struct Level {
    int prefixes = 0, operators = 0, child = 0, deepest = 0;
    bool brace = false;
    int here() const { return prefixes + operators + child + 1; }
    void separate() {
      deepest = std::max(deepest, here());
      prefixes = operators = child = 0;
    }
  };

  // Bounds the depth of the parser's stack (brackets and prefixes) and of the tree (a chain is as deep as it is long).
  void hold_limits() {
    std::vector<Level> levels(1);
    int prefixes = 0;  // of all open levels
    for (size_t i = 0; i < out_.tokens.size() && !out_.fatal; ++i) {
      const Token& t = out_.tokens[i];
      std::string_view word = text(t);
      Level& level = levels.back();
      if (opens(t.bracket)) {
        if (t.bracket == '{') prefixes -= level.prefixes, level.separate();
        levels.push_back({.brace = t.bracket == '{'});
      } else if (closes(t.bracket) && levels.size() > 1) {
        prefixes -= level.prefixes;
        level.separate();
        int deepest = level.brace ? 0 : level.deepest;
        levels.pop_back();
        levels.back().child = std::max(levels.back().child, deepest);
      } else if (ends_line(t) || word == ",") {
        prefixes -= level.prefixes;
        level.separate();
      } else if (word == "if" || word == "or" || word == "!" || word == "~" || (word == "-" && prefix_at(i))) {
        ++level.prefixes, ++prefixes;
      } else if (in(word, infix)) {
        ++level.operators;
      }
      check(t, levels.back(), static_cast<int>(levels.size()) - 1 + prefixes);
    }
  }

  bool prefix_at(size_t i) const {
    return i == 0 || out_.tokens[i - 1].bracket == 0 ? i == 0 || in(text(out_.tokens[i - 1]), open_ended)
                                                     : opens(out_.tokens[i - 1].bracket);
  }

  void check(const Token& t, const Level& level, int nesting) {
    if (nesting > limits::nesting) {
      too_deep(t);
    } else if (level.operators > limits::chain || level.here() > limits::chain + limits::nesting) {
      fatal(Diagnostic{codes::chain_too_long, place(t),
                       "expression of more than " + std::to_string(limits::chain) + " operators"}
                .with_help("write a reduction, or give parts of the expression names of their own"));
    }
  }

  SourceRef source_;
  std::string_view text_;
  const std::vector<Token>& raw_;
  std::vector<Token> tokens_;
  std::vector<size_t> partner_;  // of an opener: its closer
  std::vector<bool> dropped_;
  std::vector<size_t> open_;
  std::multimap<size_t, Token> inserts_;  // before the token of that index, inner brackets first
  FilteredTokens out_;
};

}  // namespace

FilteredTokens filter_tokens(const SourceRef& source, const std::vector<Token>& raw) {
  return Filter(source, raw).run();
}

}  // namespace heddle::frontend
