#include "frontend/format.h"

#include <algorithm>
#include <cctype>
#include <span>
#include <string_view>
#include <vector>

#include "frontend/codes.h"
#include "frontend/parse.h"

namespace heddle::frontend {
namespace {

// ---------------------------------------------------------------------------------------------------------------------
// Pieces of a line. The text has parsed, so this small scanner meets only what the lexer knows (grammar/HeddleLexer.g4); comments, which
// the lexer drops, are pieces too.

struct Piece {
  enum class Kind : uint8_t { word, value, mark, comment };
  Kind kind = Kind::mark;
  std::string_view text;
  int column = 0;         // in the source line, from 0
  bool blank = false;     // a blank stands before it in the source
  bool unary = false;     // `-`, `!`, `~` before their operand
  bool tight = false;     // part of a target's name: `cpu/x86-64-v2`
  bool generic = false;   // `<` and `>` around generic parameters
  bool combines = false;  // the word of `sum=`
  bool is(std::string_view s) const { return text == s && kind != Kind::comment; }
};

struct Line {
  std::vector<Piece> pieces;  // empty: a blank line
  std::string out;
  int equals = -1;     // the piece that is the equation's `=`, outside every bracket
  int equals_at = 0;   // its column in `out`
  int comment = -1;    // the piece that is a comment after code
  int comment_at = 0;  // its column in `out`
  int depth = 0;       // open braces at its start
  bool first = true;   // begins a statement
};

bool word_char(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

size_t number_end(std::string_view s, size_t at) {
  auto digits = [&](size_t i) {
    while (i < s.size() && std::isdigit(static_cast<unsigned char>(s[i]))) ++i;
    return i;
  };
  if (s.size() > at + 2 && s[at] == '0' && (s[at + 1] == 'x' || s[at + 1] == 'X')) {
    size_t i = at + 2;
    while (i < s.size() && std::isxdigit(static_cast<unsigned char>(s[i]))) ++i;
    return i;
  }
  size_t i = digits(at);
  if (i + 1 < s.size() && s[i] == '.' && std::isdigit(static_cast<unsigned char>(s[i + 1]))) i = digits(i + 1);
  if (i < s.size() && (s[i] == 'e' || s[i] == 'E')) {
    size_t e = i + 1;
    if (e < s.size() && (s[e] == '+' || s[e] == '-')) ++e;
    if (digits(e) > e) i = digits(e);
  }
  return i;
}

size_t string_end(std::string_view s, size_t at) {
  size_t i = at + 1;
  while (i < s.size() && s[i] != '"') i += s[i] == '\\' ? 2 : 1;
  return std::min(i + 1, s.size());
}

constexpr std::string_view long_marks[] = {"...", "..", "->", "<-", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||"};

std::vector<Piece> scan(std::string_view s) {
  std::vector<Piece> out;
  bool blank = false;
  for (size_t i = 0; i < s.size();) {
    if (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\f') {
      blank = true;
      ++i;
      continue;
    }
    Piece p{.column = static_cast<int>(i), .blank = blank};
    size_t end = i + 1;
    if (s.substr(i, 2) == "//") {
      p.kind = Piece::Kind::comment;
      end = s.find_last_not_of(" \t\r\f") + 1;
    } else if (std::isdigit(static_cast<unsigned char>(s[i]))) {
      p.kind = Piece::Kind::value;
      end = number_end(s, i);
    } else if (s[i] == '"') {
      p.kind = Piece::Kind::value;
      end = string_end(s, i);
    } else if (word_char(s[i])) {
      p.kind = Piece::Kind::word;
      while (end < s.size() && word_char(s[end])) ++end;
    } else {
      for (std::string_view mark : long_marks)
        if (s.substr(i, mark.size()) == mark) {
          end = i + mark.size();
          break;
        }
    }
    p.text = s.substr(i, end - i);
    out.push_back(p);
    blank = false;
    i = p.kind == Piece::Kind::comment ? s.size() : end;
  }
  return out;
}

std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> out;
  while (!text.empty()) {
    size_t end = text.find('\n');
    out.push_back({.pieces = scan(text.substr(0, end))});
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return out;
}

// ---------------------------------------------------------------------------------------------------------------------
// What stands between two pieces

bool in(std::string_view text, std::span<const std::string_view> words) {
  return std::ranges::find(words, text) != words.end();
}

// Words before a bracket that opens a value, not arguments or subscripts.
constexpr std::string_view reserved[] = {"after", "as", "at", "by",   "else", "if",      "in",    "into",
                                         "let",   "or", "to", "then", "when", "require", "where", "with"};
// Words that are names elsewhere; before `(` they begin a list or a condition.
constexpr std::string_view clauses[] = {"facts", "pad", "cost", "check"};
constexpr std::string_view binary[] = {"+", "-",  "*", "/",  "%", "<<", ">>", "&",  "|",  "^",  "==", "!=",
                                       "<", "<=", ">", ">=", "=", "&&", "||", "->", "<-", "..", ":"};
// Tight or spaced as the author has it: `i*stride + u`, `a * b`, `0..n`, `0 .. i + 1`.
constexpr std::string_view either[] = {"*", "/", "%", "<<", ">>", "&", "|", "^", ".."};
constexpr std::string_view items[] = {"op", "reducer", "schedule", "step", "instr", "program", "import"};
constexpr std::string_view header_ends[] = {"allow", "where", "facts", "{", "parallel", "vector"};

bool opens(const Piece& p) { return p.is("(") || p.is("[") || p.is("{"); }
bool closes(const Piece& p) { return p.is(")") || p.is("]") || p.is("}"); }
bool is_word(const Piece& p) { return p.kind == Piece::Kind::word; }
bool is_reserved(const Piece& p) { return is_word(p) && in(p.text, reserved); }

class Formatter {
 public:
  explicit Formatter(std::string_view text) : lines_(lines_of(text)) {}

  std::string run() {
    mark();
    for (size_t i = 0; i < lines_.size(); ++i) write(lines_[i]);
    align_equals();
    align_comments();
    return join();
  }

 private:
  // Reads what the pieces are from those before them, across lines.
  void mark() {
    const Piece* last = nullptr;
    const Piece* before = nullptr;
    std::string_view item;
    int depth = 0, round = 0, generic = 0;
    bool target = false;
    for (Line& line : lines_)
      for (size_t i = 0; i < line.pieces.size(); ++i) {
        Piece& p = line.pieces[i];
        if (p.kind == Piece::Kind::comment) continue;
        if (depth == 0 && in(p.text, items)) item = p.text;
        if (opens(p)) ++depth;
        if (closes(p)) --depth;
        if (p.is("*") && last && last->is("@")) p.kind = Piece::Kind::word;  // `y@*`: all parts
        p.unary = p.is("!") || p.is("~") || (p.is("*") && last && last->is("by")) ||
                  (p.is("-") && item == "instr" && depth == 0) ||
                  (p.is("-") && (!last || in(last->text, binary) || opens(*last) || last->is(",") || last->unary ||
                                 is_reserved(*last)));
        if (p.is("<") && before && (before->is("op") || before->is("reducer"))) p.generic = true, generic = depth + 1;
        if (p.is(">") && generic == depth + 1) p.generic = true, generic = 0;
        if (in(p.text, header_ends)) target = false;
        p.tight = target && last && !last->is("on");
        if (p.is("on") && depth == 0) target = true;
        if (p.is("=") && item != "schedule" && item != "step" && round == 0 && i >= 2)
          mark_combining(line.pieces[i - 2], line.pieces[i - 1]);
        if (p.is("(") || p.is("[")) ++round;
        if (p.is(")") || p.is("]")) --round;
        before = last;
        last = &p;
      }
  }

  // `part[r] sum= e[r]`: a word between the left side and `=`.
  static void mark_combining(const Piece& left, Piece& word) {
    word.combines = is_word(word) && (left.is("]") || (is_word(left) && !is_reserved(left) && !left.is("tune")));
  }

  // The piece after a tight operator is settled by the caller.
  static bool spaced(const Piece& a, const Piece& b, const Piece* next) {
    if (b.kind == Piece::Kind::comment) return true;
    if (b.tight || a.unary || a.generic || b.generic) return a.generic && a.is(">") && !b.is("(");
    if (b.is(",") || b.is(";") || b.is(":") || b.is(")") || b.is("]")) return false;
    if (a.is("(") || a.is("[") || a.is(".") || b.is(".") || a.is("@") || b.is("@") || a.is("...")) return false;
    if (a.is("{") && b.is("}")) return b.blank;
    if (a.combines && b.is("=")) return false;
    if (!b.unary && in(b.text, either)) return !next || next->kind == Piece::Kind::comment || (b.blank && next->blank);
    if (b.is("(")) return !is_word(a) || is_reserved(a) || in(a.text, clauses);
    if (b.is("[")) return !is_word(a) || is_reserved(a);
    return true;
  }

  // From here on: the line's own text, with one blank or none between pieces.
  void write(Line& line) {
    if (line.pieces.empty()) return;
    const bool only_comment = line.pieces.front().kind == Piece::Kind::comment;
    int closing = 0;
    for (const Piece& p : line.pieces) {
      if (!closes(p)) break;
      if (p.is("}")) ++closing;
    }
    line.depth = braces_ - closing;
    line.first = !only_comment && brackets_.empty() && !continues(line.pieces.front());
    int indent = 2 * std::max(line.depth, 0);
    bool goes_on = only_comment ? !brackets_.empty() : !line.first && !closes(line.pieces.front());
    if (goes_on) indent = continuation(line.pieces.front(), indent);
    line.out.assign(indent, ' ');
    bool tight = false;
    int round = static_cast<int>(brackets_.size());
    for (size_t i = 0; i < line.pieces.size(); ++i) {
      const Piece& p = line.pieces[i];
      const Piece* next = i + 1 < line.pieces.size() ? &line.pieces[i + 1] : nullptr;
      bool blank = i > 0 && !tight && spaced(line.pieces[i - 1], p, next);
      tight = i > 0 && !p.unary && p.kind == Piece::Kind::mark && in(p.text, either) && !blank;
      if (blank) line.out += ' ';
      if (p.kind == Piece::Kind::comment && i > 0) {
        line.comment = static_cast<int>(i);
        line.out += ' ';
        line.comment_at = static_cast<int>(line.out.size());
      }
      if (p.is("=") && round == 0 && line.equals < 0 && line.first && (braces_ == line.depth || closing > 0)) {
        line.equals = static_cast<int>(i);
        line.equals_at = static_cast<int>(line.out.size());
      }
      int column = static_cast<int>(line.out.size());
      line.out += p.text;
      if (p.kind == Piece::Kind::comment) continue;
      last_ = &p;
      if (p.is("{")) ++braces_;
      if (p.is("}")) --braces_;
      if (p.is("(") || p.is("[")) {
        brackets_.push_back({next && next->kind != Piece::Kind::comment ? next->column : -1, column + 1});
        ++round;
      }
      if ((p.is(")") || p.is("]")) && !brackets_.empty()) brackets_.pop_back(), --round;
    }
  }

  // Whether the piece goes on the statement of the line before.
  bool continues(const Piece& p) const {
    if (!last_ || last_->is(";") || last_->is("{") || last_->is("}")) return false;
    static constexpr std::string_view head[] = {"on", "allow", "facts", "numerics", "cost", "commutes", "exactly"};
    static constexpr std::string_view more[] = {"or", "then", "else", "where"};
    auto infix = [](const Piece& q) {
      return q.kind == Piece::Kind::mark && !q.unary && (in(q.text, binary) || q.is(",") || q.is("."));
    };
    return infix(*last_) || infix(p) || in(p.text, more) || in(last_->text, more) || last_->is("if") ||
           (braces_ == 0 && in(p.text, head));
  }

  int continuation(const Piece& p, int indent) const {
    if (!brackets_.empty() && brackets_.back().source == p.column) return brackets_.back().out;
    return indent + (!brackets_.empty() && brackets_.back().source < 0 ? 2 : 4);
  }

  template <class Take, class Move>
  void align(Take column_in_source, Move move) {
    for (size_t i = 0; i < lines_.size();) {
      size_t end = i + 1;
      int column = column_in_source(lines_[i]);
      while (column >= 0 && end < lines_.size() && column_in_source(lines_[end]) == column &&
             lines_[end].depth == lines_[i].depth)
        ++end;
      if (column >= 0 && end > i + 1) move(std::span(lines_).subspan(i, end - i));
      i = end;
    }
  }

  // Lines that follow each other with their `=` in one column keep them in one.
  void align_equals() {
    align([](const Line& l) { return l.equals < 0 ? -1 : l.pieces[l.equals].column; },
          [](std::span<Line> run) {
            int column = 0;
            for (const Line& l : run) column = std::max(column, l.equals_at);
            for (Line& l : run) {
              int more = column - l.equals_at;
              l.out.insert(l.equals_at, more, ' ');
              l.comment_at += more;
            }
          });
  }

  // Likewise comments after code.
  void align_comments() {
    align([](const Line& l) { return l.comment < 0 ? -1 : l.pieces[l.comment].column; },
          [](std::span<Line> run) {
            int column = 0;
            for (const Line& l : run) column = std::max(column, l.comment_at);
            for (Line& l : run) l.out.insert(l.comment_at, column - l.comment_at, ' ');
          });
  }

  // One blank line at most, none at the ends of the text or of a block.
  std::string join() const {
    std::string out;
    bool blank = false, opened = true;
    for (const Line& line : lines_) {
      if (line.pieces.empty()) {
        blank = true;
        continue;
      }
      if (blank && !opened && !line.pieces.front().is("}")) out += '\n';
      blank = false;
      out += line.out + "\n";
      const Piece& last = line.comment < 0 ? line.pieces.back() : line.pieces[line.comment - 1];
      opened = last.is("{");
    }
    return out;
  }

  struct Bracket {
    int source;  // the column of what follows it in the source, -1 at the end of its line
    int out;
  };
  std::vector<Line> lines_;
  std::vector<Bracket> brackets_;  // round and square ones that are open
  const Piece* last_ = nullptr;    // the last one that is no comment
  int braces_ = 0;
};

// The pieces of both texts are the same: white space between them is all that may differ.
bool same_pieces(std::string_view a, std::string_view b) {
  auto flat = [](std::string_view text) {
    std::vector<std::string> out;
    for (const Line& line : lines_of(text)) {
      for (const Piece& p : line.pieces) out.emplace_back(p.text);
      if (!line.pieces.empty()) out.emplace_back("\n");
    }
    return out;
  };
  return flat(a) == flat(b);
}

}  // namespace

Result<std::string> format(const SourceRef& source) {
  Result<ast::Module> parsed = parse(source);
  if (!parsed) return parsed.errors();
  std::string_view text = source->text();
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::string out = Formatter(text).run();
  if (!same_pieces(text, out))
    return Diagnostic(codes::parser_failed, {source, 0, 0}, "formatting would change more than white space");
  return out;
}

}  // namespace heddle::frontend
