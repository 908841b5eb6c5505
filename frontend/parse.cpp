// The second file that sees ANTLR types: the error strategy, the entry points.
//
// The grammar is LL(1), so the generated parser decides every choice by one token and never predicts: no DFA to warm up,
// no second pass with full LL.
//
// Over 500 lines: recovery and wording share the same state, the parse at hand.
#include "frontend/parse.h"

#include <algorithm>
#include <mutex>
#include <set>

#include "HeddleLexer.h"
#include "HeddleParser.h"
#include "frontend/build_tree.h"
#include "frontend/codes.h"
#include "frontend/lexer.h"
#include "frontend/tokens.h"
#include "frontend/utf8.h"
#include "support/limits.h"

namespace heddle::frontend {
namespace {

using L = HeddleLexer;
using P = HeddleParser;

// ---------------------------------------------------------------------------------------------------------------------
// Text to tokens

size_t type_of(const Token& t) {
  if (t.kind == Token::Kind::semicolon) return P::NL;
  if (t.kind == Token::Kind::open_string) return P::STRING;
  if (t.type != Token::inserted) return static_cast<size_t>(t.type);
  return t.bracket == ')' ? P::RPAREN : t.bracket == ']' ? P::RBRACKET : P::RBRACE;
}

// ---------------------------------------------------------------------------------------------------------------------
// Errors of the parser

const std::set<size_t> item_starts = {P::IMPORT, P::LET, P::OP, P::REDUCER, P::SCHEDULE, P::STEP, P::INSTR, P::PROGRAM};

std::string in_backticks(const std::string& text) { return "`" + text + "`"; }

/// What a token is called in a message.
std::string token_word(size_t type) {
  switch (type) {
    case antlr4::Token::EOF: return "the end of the text";
    case P::NL: return "the end of the line";
    case P::ID: return "a name";
    case P::INT:
    case P::FLOAT: return "a number";
    case P::STRING: return "a string";
    default: break;
  }
  std::string literal = L(nullptr).getVocabulary().getLiteralName(type);
  return literal.size() > 2 ? in_backticks(literal.substr(1, literal.size() - 2)) : "something else";
}

bool goes_on_an_expression(size_t type) {
  switch (type) {
    case P::LPAREN:
    case P::LBRACKET:
    case P::DOT:
    case P::AT_SIGN:
    case P::OR:
    case P::ASSIGN:
    case P::RANGE: return true;
    default: return false;
  }
}

/// "an expression", "`,` or `)`": the tokens that may stand at a place, in words.
std::string expected_words(const std::set<size_t>& types) {
  if (types.contains(P::ID) && types.contains(P::INT) && types.contains(P::LPAREN)) return "an expression";
  std::vector<std::string> words;
  bool name = types.contains(P::ID);
  if (name) words.push_back("a name");
  bool others = std::ranges::any_of(types, [](size_t t) { return !goes_on_an_expression(t); });
  for (size_t t : types) {
    if (name && t >= P::ALLOC && t <= P::ID) continue;  // words that may be names
    if (others && goes_on_an_expression(t)) continue;
    std::string word = token_word(t);
    if (std::ranges::find(words, word) == words.end()) words.push_back(word);
  }
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) out += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + words[i];
  return out;
}

/// Reports each error once at its statement, in words, and goes on at the next line: a statement that fails costs the others
/// nothing.
class Strategy final : public antlr4::DefaultErrorStrategy {
 public:
  Strategy(SourceRef source, Diagnostics& errors) : source_(std::move(source)), errors_(errors) {}

  /// The brace depth of each token; a closing brace counts inside.
  void set_depths(std::vector<int> depths) { depths_ = std::move(depths); }

  antlr4::Token* recoverInline(antlr4::Parser* parser) override { throw antlr4::InputMismatchException(parser); }

  // Called before every choice. In a list of statements it finds what is left of a line after its statement.
  void sync(antlr4::Parser* parser) override {
    if (inErrorRecoveryMode(parser) || !is_list(parser->getRuleContext()->getRuleIndex())) return;
    auto* state = parser->getATN().states[parser->getState()];
    if (parser->getATN().nextTokens(state).contains(parser->getTokenStream()->LA(1))) return;
    left_over(parser);
    beginErrorCondition(parser);
    if (parser->getRuleContext()->getRuleIndex() == P::RuleFullModule) skip_to_item(parser);
    else skip_to_line_end(parser, depth(parser), 0);
  }

  void reportError(antlr4::Parser* parser, const antlr4::RecognitionException& e) override {
    if (inErrorRecoveryMode(parser)) return;
    beginErrorCondition(parser);
    if (Place head = reduction_before(parser, e.getOffendingToken()); head.known()) {
      errors_.push_back(
          Diagnostic{codes::reduction_not_at_root, head, "a reduction stands only at the root of a right side"}
              .with_help("give the reduction a line of its own and read its result here"));
      return;
    }
    std::set<size_t> expected;
    for (ssize_t t : e.getExpectedTokens().toList()) expected.insert(static_cast<size_t>(t));
    antlr4::Token* found = e.getOffendingToken();
    auto* anchor = statement_around(parser->getContext());
    size_t rule = anchor ? anchor->getRuleIndex() : P::RuleFullModule;
    bool at_start = anchor && anchor->getStart() == found;
    std::string what = at_start ? statement_words(rule) : expected_words(expected);
    bool closing = expected == std::set<size_t>{P::RPAREN} || expected == std::set<size_t>{P::RBRACKET};
    if (closing) what = "`,` or " + what;  // brackets hold lists
    Diagnostic d{codes::unexpected, where(parser, found, expected),
                 "expected " + what + ", found " + shown(found, parser->getTokenStream()->LT(-1))};
    d.help = near_word(found, keywords(expected));
    if (found->getType() == P::IF && !at_start) d.help = "put `if .. then .. else ..` in parentheses";
    if (d.help.empty() && rule == P::RuleStmt && !at_start && anchor->getStart()->getType() == P::REQUIRE)
      d.help = "what is required has a reason: `require n >= 1, \"why\"`";
    antlr4::Token* before = parser->getTokenStream()->LT(-1);
    const bool of_op = anchor && anchor->getStart()->getType() == P::OP && before && before->getType() == P::RPAREN;
    if (d.help.empty() && of_op && expected.contains(P::LBRACE))
      d.help = "the results of an op stand after `->`, its equations in braces";
    if (d.help.empty()) d.help = advice(found, parser->getTokenStream()->LT(-1), at_start && rule == P::RuleStmt);
    if (d.help.empty() && anchor) d.help = near_word(anchor->getStart(), starts_of(rule));
    errors_.push_back(std::move(d));
  }

  void recover(antlr4::Parser* parser, std::exception_ptr) override {
    auto* anchor = statement_around(parser->getContext());
    if (!anchor || (anchor->getRuleIndex() == P::RuleItem && !item_starts.contains(anchor->getStart()->getType()))) {
      skip_to_item(parser);  // prose is one error, not one a line
    } else {
      size_t start = anchor->getStart()->getTokenIndex();
      skip_to_line_end(parser, start < depths_.size() ? depths_[start] : 0, anchor->getStart()->getType());
    }
  }

 private:
  static bool is_list(size_t rule) {
    return rule == P::RuleFullModule || rule == P::RuleOnlyLines || rule == P::RuleBlock || rule == P::RuleLines ||
           rule == P::RuleBody || rule == P::RuleLeaf;
  }

  static antlr4::ParserRuleContext* statement_around(antlr4::RuleContext* c) {
    for (; c; c = static_cast<antlr4::RuleContext*>(c->parent)) {
      size_t rule = c->getRuleIndex();
      bool in_leaf = rule == P::RuleEquation && c->parent &&
                     static_cast<antlr4::RuleContext*>(c->parent)->getRuleIndex() == P::RuleLeaf;
      if (rule == P::RuleItem || rule == P::RuleStmt || rule == P::RuleLine || rule == P::RuleProgramStmt ||
          rule == P::RuleReducerPart || in_leaf)
        return static_cast<antlr4::ParserRuleContext*>(c);
    }
    return nullptr;
  }

  static const char* statement_words(size_t rule) {
    switch (rule) {
      case P::RuleStmt: return "an equation, `let`, `require` or `scan`";
      case P::RuleLine: return "a step, `tune`, `let` or `if`";
      case P::RuleProgramStmt: return "`stage`, `for`, `alloc`, `reduce`, `at`, `call`, `check`, `let` or `require`";
      case P::RuleReducerPart: return "`identity`, `combine` or `of`";
      case P::RuleEquation: return "an equation";
      default: return "`op`, `schedule`, `reducer`, `instr`, `step`, `program`, `import` or `let`";
    }
  }

  static std::vector<std::string> starts_of(size_t rule) {
    switch (rule) {
      case P::RuleStmt: return {"let", "require", "scan"};
      case P::RuleLine: return {"tune", "let", "if"};
      case P::RuleProgramStmt: return {"stage", "for", "alloc", "reduce", "at", "call", "check", "let", "require"};
      case P::RuleReducerPart: return {"identity", "combine", "of"};
      case P::RuleItem: return {"op", "schedule", "reducer", "instr", "step", "program", "import", "let"};
      default: return {};
    }
  }

  static std::vector<std::string> keywords(const std::set<size_t>& expected) {
    std::vector<std::string> out;
    for (size_t t : expected)
      if (t < P::ID && t != antlr4::Token::EOF) {
        std::string word = token_word(t);
        out.push_back(word.substr(1, word.size() - 2));
      }
    return out;
  }

  std::string near_word(antlr4::Token* t, const std::vector<std::string>& known) const {
    if (!t || t->getType() != P::ID) return "";
    std::string near = nearest(place(t).text(), known);
    return near.empty() ? "" : "did you mean " + in_backticks(near) + "?";
  }

  // `sum[j]` right before an operand that cannot stand there.
  Place reduction_before(antlr4::Parser* parser, antlr4::Token* found) const {
    static constexpr std::string_view reducers[] = {"sum", "prod", "max", "min", "argmax", "argmin", "any", "all"};
    auto* stream = parser->getTokenStream();
    const size_t type = found->getType();
    const bool operand = type == P::ID || type == P::INT || type == P::FLOAT || type == P::IF || type == P::NOT;
    if (!operand || !stream->LT(-1) || stream->LA(-1) != P::RBRACKET) return {};
    int open = 0;
    for (ssize_t back = -1; stream->LT(back); --back) {
      const size_t t = stream->LA(back);
      open += t == P::RBRACKET ? 1 : t == P::LBRACKET ? -1 : 0;
      if (t == P::NL) return {};
      if (open != 0) continue;
      antlr4::Token* head = stream->LT(back - 1);
      if (!head || std::ranges::find(reducers, place(head).text()) == std::end(reducers)) return {};
      return place(head).to(place(stream->LT(-1)));
    }
    return {};
  }

  // What is often meant by a token that cannot stand where it is.
  std::string advice(antlr4::Token* found, antlr4::Token* before, bool in_statement) const {
    size_t type = found->getType(), last = before ? before->getType() : antlr4::Token::EOF;
    bool number = last == P::INT || last == P::FLOAT;
    if (last == P::INT && type == P::DOT)
      return "a number has a digit on both sides of its dot: " + in_backticks(std::string(place(before).text()) + ".0");
    if (number && type == P::ID && place(before).end == place(found).begin)
      return "a number takes the type of its other side, or is converted: `f32(2)`";
    if (type == P::DOT) return "a number has a digit on both sides of its dot: `0.5`";
    if (type == P::STAR && last == P::STAR) return "a power is written `pow(x, y)`";
    const std::string_view word = type == P::ID ? place(found).text() : std::string_view();
    if (word == "and") return "conditions are joined by `&&` and `||`";
    if (last == P::ID && place(before).text() == "not") return "the opposite of a condition is `!a`";
    if (word == "def" || word == "func" || word == "fn" || word == "function" || word == "kernel")
      return "what is computed is written `op NAME(x: f32[n]) -> y: f32[n] { y[i] = .. }`";
    const bool sign = type == P::PLUS || type == P::MINUS || type == P::STAR || type == P::SLASH;
    if (sign && source_->text().substr(place(found).end).starts_with("="))
      return "a cell has one equation: a sum over an index is `sum[j] ..`, an `inout` tensor is updated by `<-`";
    if (type == P::PLUS) return "a number or name stands without a plus";
    if (last >= P::AFTER && last <= P::WITH && type == P::COLON)
      return in_backticks(std::string(place(before).text())) + " is a word of the language, so it cannot be a name";
    if (type == P::LPAREN && in_statement) return "several names on the left stand bare: `a, b = f(x)`";
    if (type == P::LPAREN && last == P::ID) return "subscripts stand in brackets: `y[i] = ..`";
    if ((type >= P::AFTER && type <= P::WITH) || type == P::CONST || type == P::INOUT)
      return in_backticks(std::string(place(found).text())) + " is a word of the language, so it cannot be a name";
    return "";
  }

  // A missing token is reported at the end of the one before, a wrong one where it stands.
  Place where(antlr4::Parser* parser, antlr4::Token* found, const std::set<size_t>& expected) const {
    antlr4::Token* before = parser->getTokenStream()->LT(-1);
    size_t type = found->getType();
    bool missing = type == P::NL || type == P::RBRACE || type == antlr4::Token::EOF || expected.size() == 1;
    if (!missing || !before) return place(found);
    Place end = place(before);
    return {source_, end.end, end.end};
  }

  std::string shown(antlr4::Token* t, antlr4::Token* before) const {
    if (t->getType() == P::NL && place(t).text() != ";") return token_word(P::NL);
    if (t->getType() == P::RBRACE && before && line(t) > line(before)) return token_word(P::NL);
    if (t->getType() == antlr4::Token::EOF) return token_word(t->getType());
    std::string text(place(t).text());
    if (text.size() > 40) text = text.substr(0, 37) + "..";
    return text.empty() ? token_word(t->getType()) : in_backticks(text);
  }

  void left_over(antlr4::Parser* parser) {
    auto* stream = parser->getTokenStream();
    antlr4::Token* found = stream->LT(1);
    antlr4::Token* before = stream->LT(-1);
    size_t rule = parser->getRuleContext()->getRuleIndex();
    bool at_start = !before || before->getType() == P::LBRACE || before->getType() == P::NL;
    size_t statement = rule == P::RuleFullModule                          ? P::RuleItem
                       : rule == P::RuleLines || rule == P::RuleOnlyLines ? P::RuleLine
                       : rule == P::RuleBody                              ? P::RuleProgramStmt
                                                                          : P::RuleStmt;
    if (at_start) {
      Diagnostic d{codes::unexpected, place(found),
                   "expected " + std::string(statement_words(statement)) + ", found " + shown(found, before)};
      d.help = near_word(found, starts_of(statement));
      if (d.help.empty()) d.help = advice(found, before, statement == P::RuleStmt);
      errors_.push_back(std::move(d));
    } else if (statement == P::RuleLine && found->getType() < P::LPAREN && operand_follows(stream->LA(2))) {
      static const std::vector<std::string> prepositions = {"by", "into", "at",   "as",   "in",
                                                            "to", "with", "when", "after"};
      std::string near = nearest(place(found).text(), prepositions);
      errors_.push_back(
          Diagnostic{codes::unknown_preposition, place(found), "unknown preposition " + shown(found, before)}.with_help(
              near.empty() ? "the prepositions are by, into, at, as, in, to, with, when, after"
                           : "did you mean " + in_backticks(near) + "?"));
    } else {
      const char* more = statement == P::RuleLine ? "a comma, a preposition" : "an operator";
      Diagnostic d{codes::unexpected, place(found),
                   "expected " + std::string(more) + " or the end of the line, found " + shown(found, before)};
      d.help = advice(found, before, false);
      errors_.push_back(std::move(d));
    }
  }

  static bool operand_follows(size_t type) { return type <= P::STRING || type == P::LPAREN || type == P::LBRACKET; }

  int depth(antlr4::Parser* parser) const {
    size_t i = parser->getTokenStream()->index();
    return i < depths_.size() ? depths_[i] : 0;
  }

  /// Goes to the line end or closing brace that ends a statement at this depth. A block on the way is parsed for its own
  /// errors: `header` is the first token of the statement and says what the block holds.
  void skip_to_line_end(antlr4::Parser* parser, int level, size_t header) {
    auto* stream = parser->getTokenStream();
    for (;;) {
      size_t type = stream->LA(1);
      int here = depth(parser);
      if (type == antlr4::Token::EOF || here < level) return;
      if (here == level && (type == P::NL || type == P::RBRACE)) return;
      if (type == P::LBRACE && here == level && parse_block(static_cast<P*>(parser), header)) continue;
      parser->consume();
    }
  }

  bool parse_block(P* parser, size_t header) {
    endErrorCondition(parser);
    switch (header) {
      case P::OP:
      case P::INSTR:
      case P::SCAN: parser->block(); break;
      case P::SCHEDULE:
      case P::STEP:
      case P::IF: parser->lines(); break;
      case P::PROGRAM:
      case P::FOR:
      case P::REDUCE: parser->body(); break;
      case P::AT: parser->leaf(); break;
      default: beginErrorCondition(parser); return false;
    }
    beginErrorCondition(parser);
    return true;
  }

  void skip_to_item(antlr4::Parser* parser) {
    auto* stream = parser->getTokenStream();
    while (stream->LA(1) != antlr4::Token::EOF) {
      bool next = stream->LA(1) == P::NL && depth(parser) == 0 && item_starts.contains(stream->LA(2));
      if (next) return;
      parser->consume();
    }
  }

  Place place(antlr4::Token* t) const {
    return {source_, static_cast<uint32_t>(t->getStartIndex()), static_cast<uint32_t>(t->getStopIndex())};
  }
  int line(antlr4::Token* t) const { return source_->at(place(t).begin).line; }

  SourceRef source_;
  Diagnostics& errors_;
  std::vector<int> depths_;
};

// ---------------------------------------------------------------------------------------------------------------------
// Tokens to tree

/// The parser's tokens, with byte offsets (the end exclusive) in the place of code points.
std::vector<std::unique_ptr<antlr4::Token>> parser_tokens(const std::vector<Token>& tokens, size_t end) {
  std::vector<std::unique_ptr<antlr4::Token>> out;
  auto put = [&](size_t type, size_t from, size_t to) {
    auto t = std::make_unique<antlr4::CommonToken>(type);
    t->setStartIndex(from);
    t->setStopIndex(to);
    out.push_back(std::move(t));
  };
  for (size_t i = 0; i < tokens.size(); ++i) {
    size_t type = type_of(tokens[i]);
    // `out` is a direction only in `out y: ..`.
    if (type == P::OUT && !(i + 2 < tokens.size() && type_of(tokens[i + 2]) == P::COLON)) type = P::ID;
    put(type, tokens[i].begin, tokens[i].end);
  }
  put(antlr4::Token::EOF, end, end);
  return out;
}

std::vector<int> brace_depths(const std::vector<Token>& tokens) {
  std::vector<int> out;
  int depth = 0;
  for (const Token& t : tokens) {
    out.push_back(depth);
    if (t.bracket == '{') ++depth;
    if (t.bracket == '}') --depth;
  }
  return out;
}

/// The parser stumbles over what the token filter has reported already: one error for each line is enough.
void drop_repeated(Diagnostics& errors, size_t from) {
  std::set<int> lines;
  for (size_t i = 0; i < from; ++i) {
    lines.insert(errors[i].place.source->at(errors[i].place.begin).line);
    for (const Label& l : errors[i].labels) lines.insert(l.place.source->at(l.place.begin).line);
  }
  auto repeated = [&](const Diagnostic& d) { return lines.contains(d.place.source->at(d.place.begin).line); };
  errors.erase(std::remove_if(errors.begin() + static_cast<ptrdiff_t>(from), errors.end(), repeated), errors.end());
}

Diagnostics finished(Diagnostics errors) {
  std::ranges::sort(errors, {}, [](const Diagnostic& d) { return d.place.begin; });
  if (errors.size() > limits::diagnostics) {
    size_t more = errors.size() - limits::diagnostics;
    Diagnostic note{codes::too_many_errors, errors[limits::diagnostics].place,
                    std::to_string(more) + " more errors are not shown"};
    note.severity = Severity::note;
    errors.resize(limits::diagnostics);
    errors.push_back(std::move(note));
  }
  return errors;
}

template <class T, class Rule, class Build>
Result<T> parse_text(const SourceRef& source, Rule rule, Build build) {
  if (Result<Done> fine = check_utf8(source); !fine) return fine.errors();
  // The runtime's parsers share static caches and locks: one at a time.
  static std::mutex one_parser;
  std::lock_guard lock(one_parser);

  std::vector<Token> raw = lex(source->text(), token_types(), limits::tokens);
  FilteredTokens filtered = filter_tokens(source, raw);
  if (!filtered.fatal && raw.size() > limits::tokens)
    return Diagnostic{codes::too_many_tokens,
                      {source, raw.back().begin, raw.back().end},
                      "more than " + std::to_string(limits::tokens) + " tokens"};
  if (filtered.fatal) return std::move(filtered.errors);

  Diagnostics errors = std::move(filtered.errors);
  const size_t of_filter = errors.size();
  antlr4::ListTokenSource list(parser_tokens(filtered.tokens, source->text().size()));
  antlr4::CommonTokenStream stream(&list);
  P parser(&stream);
  parser.removeErrorListeners();
  auto strategy = std::make_shared<Strategy>(source, errors);
  strategy->set_depths(brace_depths(filtered.tokens));
  parser.setErrorHandler(strategy);
  parser.getInterpreter<antlr4::atn::ParserATNSimulator>()->setPredictionMode(antlr4::atn::PredictionMode::SLL);
  antlr4::ParserRuleContext* tree = rule(parser);
  TreeInput input{source, filtered.docs, errors};
  T out = build(tree, input);  // also after errors: the items without one may have some of the builder's
  drop_repeated(errors, of_filter);
  if (!errors.empty()) return finished(std::move(errors));
  return out;
}

/// ANTLR and the standard library throw; nothing of ours lets that out.
template <class T, class Rule, class Build>
Result<T> guarded(const SourceRef& source, Rule rule, Build build) {
  try {
    return parse_text<T>(source, rule, build);
  } catch (const std::exception& e) {
    return Diagnostic{codes::parser_failed, {source, 0, 0}, std::string("the parser failed: ") + e.what()};
  } catch (...) {  // the runtime throws strings too
    return Diagnostic{codes::parser_failed, {source, 0, 0}, "the parser failed"};
  }
}

}  // namespace

const TokenTypes& token_types() {
  static const TokenTypes types = [] {
    TokenTypes t{.name = L::ID,
                 .integer = L::INT,
                 .real = L::FLOAT,
                 .string = L::STRING,
                 .open_string = L::OPEN_STRING,
                 .line_end = L::NL,
                 .doc = L::DOC,
                 .stray = L::STRAY};
    const L lexer(nullptr);
    for (int type = 1; type <= L::STRAY; ++type)
      if (const std::string quoted = lexer.getVocabulary().getLiteralName(type); quoted.size() > 2 && type != L::NL)
        t.fixed.emplace(quoted.substr(1, quoted.size() - 2), type);
    return t;
  }();
  return types;
}

Result<ast::Module> parse(const SourceRef& source) {
  auto module = guarded<ast::Module>(source, [](P& p) { return p.fullModule(); }, build_module);
  if (module && module->items.empty())
    return Diagnostic{codes::no_items, {source, 0, 0}, "no items: the text has no op, schedule or other item"}
        .with_help("begin with `op NAME(..) -> .. { .. }`");
  return module;
}

Result<ast::ExprRef> parse_expression(const SourceRef& source) {
  return guarded<ast::ExprRef>(source, [](P& p) { return p.onlyExpr(); }, build_expr);
}

Result<std::vector<ast::Line>> parse_lines(const SourceRef& source) {
  return guarded<std::vector<ast::Line>>(source, [](P& p) { return p.onlyLines(); }, build_lines);
}

Result<ast::Module> parse_schedules(const SourceRef& source) {
  auto module = parse(source);
  if (!module) return module;
  Diagnostics errors;
  for (const ast::Item& item : module->items)
    if (!std::holds_alternative<ast::ScheduleItem>(item.form) && !std::holds_alternative<ast::StepItem>(item.form))
      errors.push_back({codes::only_schedules, item.place(), "expected `schedule` or `step`"});
  if (!errors.empty()) return errors;
  return module;
}

}  // namespace heddle::frontend
