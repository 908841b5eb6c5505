// Recursive descent over the tokens. What the kernel language lacks is named as such (rule 17), with its documentation path. One file:
// it reads from statements down to atoms.
#include <charconv>
#include <map>

#include "backend/neuron/simulator/refuse.h"
#include "backend/neuron/simulator/syntax.h"
#include "backend/neuron/simulator/tokens.h"

namespace heddle::neuron::sim {
namespace {

using Kind = Token::Kind;

// Constructs of Python that a kernel may not use.
const std::map<std::string_view, std::string_view> no_statements = {
    {"while", "run-time loops are `nl.fori_loop` or `nl.while_loop`"},
    {"class", "a kernel declares no classes"},
    {"try", "a kernel catches nothing"},
    {"raise", "write `assert`"},
    {"global", "a kernel is pure"},
    {"nonlocal", "a kernel is pure"},
    {"del", "names are not deleted"},
    {"lambda", "write a nested `def`"},
    {"yield", "a kernel yields nothing"},
    {"async", "a kernel is not asynchronous"},
    {"await", "a kernel is not asynchronous"},
    {"match", "write `if`"},
    {"break", "loops run to their end"},
    {"continue", "loops run to their end"}};

class Parser {
 public:
  explicit Parser(SourceRef source) : source_(std::move(source)), text_(source_->text()), tokens_(tokenize(source_)) {}

  Text run() {
    Text out{source_, {}};
    while (peek().kind != Kind::end) out.statements.push_back(statement());
    return out;
  }

 private:
  // --- statements ---

  std::vector<Stmt> block() {
    expect(":");
    std::vector<Stmt> body;
    if (peek().kind != Kind::newline) {
      body.push_back(simple());
      end_line();
      return body;
    }
    take();
    if (peek().kind != Kind::indent) fail("an indented block is missing here");
    take();
    while (peek().kind != Kind::dedent && peek().kind != Kind::end) body.push_back(statement());
    if (peek().kind == Kind::dedent) take();
    return body;
  }

  Stmt statement() {
    Guard deep(*this);
    uint32_t begin = peek().begin;
    if (peek().kind == Kind::indent) fail("this line is indented without a block");
    Stmt s;
    if (is("@") || is("def")) s = definition();
    else if (is("for")) s = loop();
    else if (is("if")) s = branch();
    else if (is("with")) s = with();
    else {
      s = simple();
      end_line();
    }
    s.begin = begin;
    if (!s.end) s.end = before();
    return s;
  }

  Stmt definition() {
    Stmt s{.kind = Stmt::Kind::define};
    while (is("@")) {
      take();
      s.decorators.push_back(expression());
      end_line();
    }
    if (!is("def")) fail("a decorator stands before `def`");
    take();
    s.text = name();
    expect("(");
    while (!is(")")) {
      if (is("*") || is("**")) refuse_rule(RuleId::removed_syntax, here(), "a kernel has no `*` in its parameters");
      Parameter p;
      p.begin = peek().begin;
      p.name = name();
      p.end = before();
      if (is(":")) take(), expression();  // a type, which says nothing here
      if (is("=")) take(), p.fallback = expression();
      s.parameters.push_back(std::move(p));
      if (!is(")")) expect(",");
    }
    take();
    if (is("->")) take(), expression();
    s.end = before();
    s.body = block();
    return s;
  }

  Stmt loop() {
    take();
    Stmt s{.kind = Stmt::Kind::loop};
    s.target = targets();
    expect("in");
    s.value = expression_list();
    s.end = before();
    s.body = block();
    if (is("else")) refuse_rule(RuleId::removed_syntax, here(), "a loop has no `else`");
    return s;
  }

  Stmt branch() {
    take();
    Stmt s{.kind = Stmt::Kind::branch};
    s.value = expression();
    s.end = before();
    s.body = block();
    if (is("elif")) {
      Guard deep(*this);
      uint32_t begin = peek().begin;
      s.other.push_back(branch());
      s.other.back().begin = begin;
    } else if (is("else")) {
      take();
      s.other = block();
    }
    return s;
  }

  Stmt with() {
    take();
    Stmt s{.kind = Stmt::Kind::with};
    s.value = expression();
    if (is("as")) fail("`with` gives no name here");
    s.end = before();
    s.body = block();
    return s;
  }

  Stmt simple() {
    Stmt s;
    s.begin = peek().begin;
    if (peek().kind == Kind::name)
      if (auto no = no_statements.find(word()); no != no_statements.end() && no->first != "match")
        refuse_rule(RuleId::removed_syntax, here(),
                    "`" + std::string(no->first) + "` is no part of the kernel language: " + std::string(no->second));
    if (is("import") || is("from")) return import();
    if (is("pass")) return take(), s;
    if (is("return")) {
      take();
      s.kind = Stmt::Kind::returning;
      if (peek().kind != Kind::newline && !is(";")) s.value = expression_list();
    } else if (is("assert")) {
      take();
      s.kind = Stmt::Kind::assertion;
      s.value = expression();
      if (is(",")) take(), expression();
    } else {
      s.kind = Stmt::Kind::expression;
      s.value = expression_list();
      if (is("=")) {
        take();
        s.kind = Stmt::Kind::assign;
        s.target = std::move(s.value);
        check_target(s.target);
        s.value = expression_list();
        if (is("=")) fail("one target to an assignment");
      } else if (peek().kind == Kind::op && word().size() > 1 && word().back() == '=' && word() != "==" &&
                 word() != "!=" && word() != "<=" && word() != ">=" && word() != ":=") {
        s.kind = Stmt::Kind::augment;
        s.text = std::string(word().substr(0, word().size() - 1));
        take();
        s.target = std::move(s.value);
        if (s.target.kind != Expr::Kind::name) fail_at(s.target, "only a name can be changed in place");
        s.value = expression_list();
      } else if (is(":")) {
        fail("an annotation stands here; write `name = value`");
      }
    }
    s.end = before();
    if (is(";")) fail("one statement to a line");
    return s;
  }

  Stmt import() {
    Stmt s{.kind = Stmt::Kind::import};
    s.begin = peek().begin;
    if (is("from")) {
      take();
      std::string module = dotted();
      expect("import");
      std::string item = name();
      s.text = module + "." + item;
      s.target.text = item;
    } else {
      take();
      s.text = dotted();
      s.target.text = s.text.substr(0, s.text.find('.'));
    }
    if (is("as")) take(), s.target.text = name();
    else if (s.text.find('.') != std::string::npos && s.target.text == "nki") s.text = "nki";
    s.end = before();
    if (is(",")) fail("one module to an import");
    return s;
  }

  void check_target(const Expr& e) {
    if (e.kind == Expr::Kind::name) return;
    if (e.kind == Expr::Kind::tuple)
      for (const Expr& k : e.kids) check_target(k);
    else if (e.kind == Expr::Kind::subscript)
      refuse_rule(RuleId::removed_syntax, at(e),
                  "tiles are written by instructions, not by assignment to their elements");
    else fail_at(e, "this cannot be assigned to");
  }

  Expr targets() {
    Expr first = postfix();
    if (!is(",")) return check_target(first), first;
    Expr t = node(Expr::Kind::tuple, first.begin);
    t.kids.push_back(std::move(first));
    while (is(",")) take(), t.kids.push_back(postfix());
    t.end = before();
    check_target(t);
    return t;
  }

  // --- expressions ---

  Expr expression_list() {
    Expr first = expression();
    if (!is(",")) return first;
    Expr t = node(Expr::Kind::tuple, first.begin);
    t.kids.push_back(std::move(first));
    while (is(",")) {
      take();
      if (peek().kind == Kind::newline || is("=") || is(")")) break;
      t.kids.push_back(expression());
    }
    t.end = before();
    return t;
  }

  Expr expression() {
    Guard deep(*this);
    if (is("lambda"))
      refuse_rule(RuleId::removed_syntax, here(), "`lambda` is no part of the kernel language: write a nested `def`");
    Expr value = disjunction();
    if (is(":=")) refuse_rule(RuleId::removed_syntax, here(), "`:=` is no part of the kernel language");
    if (!is("if")) return value;
    take();
    Expr e = node(Expr::Kind::choose, value.begin);
    Expr condition = disjunction();
    expect("else");
    Expr other = expression();
    e.kids.push_back(std::move(condition));
    e.kids.push_back(std::move(value));
    e.kids.push_back(std::move(other));
    e.end = before();
    return e;
  }

  Expr disjunction() {
    return joined("or", Expr::Kind::any,
                  [this] { return joined("and", Expr::Kind::all, [this] { return negation(); }); });
  }

  template <class Next>
  Expr joined(std::string_view op, Expr::Kind kind, Next next) {
    Expr first = next();
    if (!is(op)) return first;
    Expr e = node(kind, first.begin);
    e.kids.push_back(std::move(first));
    while (is(op)) take(), e.kids.push_back(next());
    e.end = before();
    return e;
  }

  Expr negation() {
    if (!is("not")) return comparison();
    Guard deep(*this);
    Expr e = node(Expr::Kind::unary, peek().begin);
    e.text = "not";
    take();
    e.kids.push_back(negation());
    e.end = before();
    return e;
  }

  Expr comparison() {
    Expr first = binary(0);
    Expr e = node(Expr::Kind::compare, first.begin);
    for (;;) {
      if (is("is"))
        refuse_rule(RuleId::removed_syntax, here(), "`is` is no part of the kernel language: compare by `==`");
      if (is("in") || is("not")) {
        break;  // `for x in`; elsewhere what follows does not belong to the statement
      }
      if (!is("==") && !is("!=") && !is("<") && !is("<=") && !is(">") && !is(">=")) break;
      e.keywords.emplace_back(word());
      take();
      e.kids.push_back(binary(0));
    }
    if (e.kids.empty()) return first;
    e.kids.insert(e.kids.begin(), std::move(first));
    e.end = before();
    return e;
  }

  // Levels from loose to tight; operators of one level associate to the left.
  Expr binary(size_t level) {
    static const std::vector<std::vector<std::string_view>> levels = {
        {"|"}, {"^"}, {"&"}, {"<<", ">>"}, {"+", "-"}, {"*", "/", "//", "%", "@"}};
    if (level == levels.size()) return prefix();
    Expr left = binary(level + 1);
    for (int chain = 0;;) {
      bool found = false;
      for (std::string_view op : levels[level]) found |= is(op);
      if (!found) return left;
      if (++chain > 50) refuse(codes::nki_limit, here(), "this chain of operators is too long");
      Expr e = node(Expr::Kind::binary, left.begin);
      e.text = std::string(word());
      take();
      e.kids.push_back(std::move(left));
      e.kids.push_back(binary(level + 1));
      e.end = before();
      left = std::move(e);
    }
  }

  Expr prefix() {
    if (is("-") || is("+") || is("~")) {
      Guard deep(*this);
      Expr e = node(Expr::Kind::unary, peek().begin);
      e.text = std::string(word());
      take();
      e.kids.push_back(prefix());
      e.end = before();
      return e;
    }
    Expr base = postfix();
    if (!is("**")) return base;
    Guard deep(*this);
    Expr e = node(Expr::Kind::binary, base.begin);
    e.text = "**";
    take();
    e.kids.push_back(std::move(base));
    e.kids.push_back(prefix());
    e.end = before();
    return e;
  }

  Expr postfix() {
    Expr e = atom();
    for (int chain = 0;; ++chain) {
      if (chain > 30) refuse(codes::nki_limit, here(), "this chain of calls and subscripts is too long");
      if (is(".")) {
        take();
        Expr outer = node(Expr::Kind::attribute, e.begin);
        outer.text = name();
        outer.kids.push_back(std::move(e));
        e = std::move(outer);
      } else if (is("(")) {
        e = call(std::move(e));
      } else if (is("[")) {
        e = subscript(std::move(e));
      } else {
        return e;
      }
      e.end = before();
    }
  }

  Expr call(Expr callee) {
    take();
    Expr e = node(Expr::Kind::call, callee.begin);
    e.kids.push_back(std::move(callee));
    while (!is(")")) {
      if (is("*") || is("**"))
        refuse_rule(RuleId::removed_syntax, here(), "arguments are not unpacked by `*` in a kernel");
      std::string keyword;
      if (peek().kind == Kind::name && text(peek(1)) == "=" && peek(1).kind == Kind::op) {
        keyword = name();
        take();
      } else if (!e.keywords.empty() && !e.keywords.back().empty()) {
        fail("a positional argument follows a keyword");
      }
      e.kids.push_back(expression());
      if (is("for")) refuse_rule(RuleId::removed_syntax, here(), "comprehensions are no part of the kernel language");
      e.keywords.push_back(keyword);
      if (!is(")")) expect(",");
    }
    take();
    return e;
  }

  Expr subscript(Expr base) {
    take();
    Expr e = node(Expr::Kind::subscript, base.begin);
    e.kids.push_back(std::move(base));
    if (is("]")) fail("an index is missing");
    while (!is("]")) {
      e.kids.push_back(index());
      if (is("]")) break;
      expect(",");
      e.text = ",";
    }
    take();
    return e;
  }

  Expr index() {
    if (is(".") && text(peek(1)) == "." && text(peek(2)) == ".") {
      Expr e = node(Expr::Kind::name, peek().begin);
      take(), take(), take();
      e.text = "...";
      e.end = before();
      return e;
    }
    Expr s = node(Expr::Kind::slice, peek().begin);
    s.kids.resize(3);
    int colons = 0;
    for (;;) {
      if (is(":")) {
        if (++colons > 2) fail("a slice has three parts");
        take();
        continue;
      }
      if (is(",") || is("]")) break;
      if (s.kids[colons].kind != Expr::Kind::none) fail("`,` or `]` is missing");
      s.kids[colons] = expression();
      if (!is(":") && !is(",") && !is("]")) fail("`,` or `]` is missing");
    }
    if (!colons) {
      if (s.kids[0].kind == Expr::Kind::none) fail("an index is missing");
      Expr only = std::move(s.kids[0]);
      return only;
    }
    s.end = before();
    return s;
  }

  Expr atom() {
    const Token t = peek();
    Expr e = node(Expr::Kind::none, t.begin);
    switch (t.kind) {
      case Kind::integer: integer(e); break;
      case Kind::real: {
        std::string digits;
        for (char c : word())
          if (c != '_') digits += c;
        e.kind = Expr::Kind::real;
        e.real = std::strtod(digits.c_str(), nullptr);
        take();
        break;
      }
      case Kind::string: {
        e.kind = Expr::Kind::string;
        std::string_view w = word();
        size_t quotes = w.size() >= 6 && w.substr(0, 3) == std::string(3, w[0]) ? 3 : 1;
        e.text = std::string(w.substr(quotes, w.size() - 2 * quotes));
        take();
        while (peek().kind == Kind::string) fail("strings are not joined by standing side by side");
        break;
      }
      case Kind::name: {
        if (auto no = no_statements.find(word()); no != no_statements.end() && no->first != "match")
          refuse_rule(RuleId::removed_syntax, here(),
                      "`" + std::string(no->first) + "` is no part of the kernel language");
        static const std::map<std::string_view, int> reserved = {
            {"for", 0},    {"in", 0},     {"if", 0},   {"else", 0},   {"elif", 0},   {"def", 0},
            {"return", 0}, {"import", 0}, {"from", 0}, {"as", 0},     {"with", 0},   {"and", 0},
            {"or", 0},     {"is", 0},     {"pass", 0}, {"assert", 0}, {"except", 0}, {"finally", 0}};
        if (reserved.count(word())) fail("an expression is missing here");
        e.kind = Expr::Kind::name;
        e.text = std::string(word());
        take();
        break;
      }
      case Kind::op:
        if (is("(") || is("[")) return bracketed();
        if (is("{")) refuse_rule(RuleId::removed_syntax, here(), "the simulator follows no dicts and sets");
        [[fallthrough]];
      default: fail("an expression is missing here");
    }
    e.end = before();
    return e;
  }

  void integer(Expr& e) {
    std::string digits;
    for (char c : word())
      if (c != '_') digits += c;
    int base = digits.size() > 2 && (digits[1] | 32) == 'x' ? 16 : 10;
    const char* first = digits.c_str() + (base == 16 ? 2 : 0);
    const char* last = digits.c_str() + digits.size();
    auto [end, error] = std::from_chars(first, last, e.integer, base);
    if (error != std::errc() || end != last) fail("this integer does not fit in 64 bits");
    e.kind = Expr::Kind::integer;
    take();
  }

  Expr bracketed() {
    bool list = is("[");
    std::string_view close = list ? "]" : ")";
    Expr e = node(list ? Expr::Kind::list : Expr::Kind::tuple, peek().begin);
    take();
    bool comma = false;
    while (!is(close)) {
      e.kids.push_back(expression());
      if (is("for")) refuse_rule(RuleId::removed_syntax, here(), "comprehensions are no part of the kernel language");
      if (is(close)) break;
      expect(",");
      comma = true;
    }
    take();
    if (!list && !comma && e.kids.size() == 1) {
      Expr only = std::move(e.kids[0]);
      return only;
    }
    e.end = before();
    return e;
  }

  // --- tokens ---

  struct Guard {
    explicit Guard(Parser& p) : parser(p) {
      if (++p.depth_ > nki_nesting) refuse(codes::nki_limit, p.here(), "the text nests too deeply");
    }
    ~Guard() { --parser.depth_; }
    Parser& parser;
  };

  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(next_ + ahead, tokens_.size() - 1)]; }
  void take() {
    if (next_ + 1 < tokens_.size()) ++next_;
  }
  std::string_view text(const Token& t) const { return text_.substr(t.begin, t.finish - t.begin); }
  std::string_view word() const { return text(peek()); }
  bool is(std::string_view s) const { return (peek().kind == Kind::op || peek().kind == Kind::name) && word() == s; }
  uint32_t before() const { return next_ ? tokens_[next_ - 1].finish : 0; }
  void expect(std::string_view s) {
    if (!is(s)) fail("`" + std::string(s) + "` is missing here");
    take();
  }
  void end_line() {
    if (peek().kind == Kind::newline) take();
    else if (peek().kind != Kind::end && peek().kind != Kind::dedent)
      fail("this does not belong to the statement before it");
  }
  std::string name() {
    if (peek().kind != Kind::name) fail("a name is missing here");
    std::string out(word());
    take();
    return out;
  }
  std::string dotted() {
    std::string out = name();
    while (is(".")) take(), out += "." + name();
    return out;
  }
  Expr node(Expr::Kind kind, uint32_t begin) const {
    Expr e;
    e.kind = kind;
    e.begin = begin;
    return e;
  }
  Place here() const { return {source_, peek().begin, std::max(peek().finish, peek().begin)}; }
  Place at(const Expr& e) const { return {source_, e.begin, e.end}; }
  [[noreturn]] void fail(std::string message) const { refuse(codes::nki_syntax, here(), std::move(message)); }
  [[noreturn]] void fail_at(const Expr& e, std::string message) const {
    refuse(codes::nki_syntax, at(e), std::move(message));
  }

  SourceRef source_;
  std::string_view text_;
  std::vector<Token> tokens_;
  size_t next_ = 0;
  int depth_ = 0;
};

}  // namespace

Text parse_text(SourceRef source) { return Parser(std::move(source)).run(); }

}  // namespace heddle::neuron::sim
