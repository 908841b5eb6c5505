// Over 500 lines because it is one of the two files that may see ANTLR types, and one function per grammar rule reads best
// in the grammar's order.
#include "frontend/build_tree.h"

#include <algorithm>
#include <array>

#include "HeddleParser.h"
#include "frontend/codes.h"

namespace heddle::frontend {
namespace {

using namespace ast;
using P = HeddleParser;
using antlr4::ParserRuleContext;
using antlr4::tree::TerminalNode;

struct Operator {
  size_t token;
  BinaryOp op;
  int precedence;
};
constexpr int comparison = 3;
// One row for each infix operator; a higher precedence binds tighter.
constexpr std::array operators = {
    Operator{P::OROR, BinaryOp::logical_or, 1},
    Operator{P::ANDAND, BinaryOp::logical_and, 2},
    Operator{P::EQ, BinaryOp::eq, comparison},
    Operator{P::NE, BinaryOp::ne, comparison},
    Operator{P::LT, BinaryOp::lt, comparison},
    Operator{P::LE, BinaryOp::le, comparison},
    Operator{P::GT, BinaryOp::gt, comparison},
    Operator{P::GE, BinaryOp::ge, comparison},
    Operator{P::BAR, BinaryOp::bit_or, 4},
    Operator{P::CARET, BinaryOp::bit_xor, 5},
    Operator{P::AND, BinaryOp::bit_and, 6},
    Operator{P::SHIFT_LEFT, BinaryOp::shift_left, 7},
    Operator{P::SHIFT_RIGHT, BinaryOp::shift_right, 7},
    Operator{P::PLUS, BinaryOp::add, 8},
    Operator{P::MINUS, BinaryOp::sub, 8},
    Operator{P::STAR, BinaryOp::mul, 9},
    Operator{P::SLASH, BinaryOp::div, 9},
    Operator{P::PERCENT, BinaryOp::mod, 9},
};

const Operator& operator_of(P::BinaryContext* c) {
  size_t type = c->getStart()->getType();
  return *std::ranges::find(operators, type, &Operator::token);
}

/// Whether every rule below came to its end; otherwise parts of the tree are missing.
bool parsed(ParserRuleContext* c) {
  if (c->exception) return false;
  return std::ranges::all_of(c->children, [](antlr4::tree::ParseTree* child) {
    auto* rule = dynamic_cast<ParserRuleContext*>(child);
    return !rule || parsed(rule);
  });
}

class Builder {
 public:
  explicit Builder(const TreeInput& input) : in_(input) {}

  // Items -------------------------------------------------------------------------------------------------------------

  Module module(P::FullModuleContext* c) {
    Module out{in_.source, {}};
    const bool whole = in_.errors.empty();  // no rule ended early
    for (P::ItemContext* item : c->item())
      if (whole || parsed(item)) out.items.push_back(this->item(item));
    return out;
  }

  std::vector<Line> lines(const std::vector<P::LineContext*>& all) {
    std::vector<Line> out;
    for (P::LineContext* c : all) out.push_back(line(c));
    return out;
  }

  ExprRef expr(P::ExprContext* c) {
    if (begins_with(c, P::IF)) return if_expr(c->expr(), place(c));
    std::vector<ExprRef> operands;
    for (P::UnaryContext* u : c->unary()) operands.push_back(unary(u));
    return grouped(std::move(operands), c->binary());
  }

 private:
  // What `c->IF() != nullptr` says of a rule that may begin so, without a look at all of its parts.
  static bool begins_with(ParserRuleContext* c, size_t type) { return c->getStart()->getType() == type; }

  Item item(P::ItemContext* c) {
    if (auto* x = dynamic_cast<P::ImportItemContext*>(c))
      return {Import{string(x->STRING()), x->name() ? std::optional(name(x->name())) : std::nullopt, doc(c), place(c)}};
    if (auto* x = dynamic_cast<P::LetItemContext*>(c)) return {Let{name(x->name()), expr(x->expr()), doc(c), place(c)}};
    if (auto* x = dynamic_cast<P::OpItemContext*>(c)) return {op(x)};
    if (auto* x = dynamic_cast<P::ReducerItemContext*>(c)) return {reducer(x)};
    if (auto* x = dynamic_cast<P::ScheduleItemContext*>(c)) return {schedule(x)};
    if (auto* x = dynamic_cast<P::StepItemContext*>(c)) return {step_item(x)};
    if (auto* x = dynamic_cast<P::InstrItemContext*>(c)) return {instr(x)};
    return {program(dynamic_cast<P::ProgramItemContext*>(c))};
  }

  OpItem op(P::OpItemContext* c) {
    OpItem out{.name = name(c->name()), .generics = generics(c->generics()), .params = params(c->params())};
    if (c->results())
      for (P::ResultContext* r : c->results()->result()) {
        Param p{.name = name(r->name()), .type = type(r->type())};
        p.place = place(r);
        out.results.push_back(std::move(p));
      }
    out.body = block(c->block());
    out.doc = doc(c);
    out.place = place(c);
    return out;
  }

  ReducerItem reducer(P::ReducerItemContext* c) {
    ReducerItem out{.name = name(c->name()), .generics = generics(c->generics()), .fields = params(c->params())};
    out.commutes = c->COMMUTES();
    out.exactly = c->EXACTLY();
    bool identity = false, combine = false;
    auto once = [&](bool seen, ParserRuleContext* part) {
      if (seen) error(codes::reducer_parts, place(part->getStart()), "a second `" + text(part->getStart()) + "` block");
    };
    for (P::ReducerPartContext* part : c->reducerPart()) {
      if (auto* x = dynamic_cast<P::IdentityPartContext*>(part)) {
        once(std::exchange(identity, true), part);
        out.identity = block(x->block());
      } else if (auto* x = dynamic_cast<P::CombinePartContext*>(part)) {
        once(std::exchange(combine, true), part);
        out.left = name(x->name(0));
        out.right = name(x->name(1));
        out.combine = block(x->block());
      } else if (auto* x = dynamic_cast<P::WholePartContext*>(part)) {
        once(out.whole.has_value(), part);
        out.whole = ReducerItem::WholeRange{name(x->name(0)), name(x->name(1)), block(x->block()), place(x)};
      }
    }
    if (!identity)
      error(codes::reducer_parts, out.name.place, "reducer `" + out.name.text + "` has no `identity` block");
    if (!combine) error(codes::reducer_parts, out.name.place, "reducer `" + out.name.text + "` has no `combine` block");
    out.doc = doc(c);
    out.place = place(c);
    return out;
  }

  ScheduleItem schedule(P::ScheduleItemContext* c) {
    ScheduleItem out;
    out.op = path(c->path());
    out.name = out.op.names.back();
    if (out.op.bare()) {
      error(codes::unexpected, out.op.place, "a schedule is named `OP.NAME`, found `" + out.op.text() + "`");
    } else {
      out.op.names.pop_back();
      out.op.place = out.op.names.front().place.to(out.op.names.back().place);
    }
    out.target = target(c->target());
    if (c->allow()) out.allow = names(c->allow()->name());
    out.condition = where(c->where());
    out.lines = lines(c->lines()->line());
    out.doc = doc(c);
    out.place = place(c);
    return out;
  }

  StepItem step_item(P::StepItemContext* c) {
    StepItem out{.name = name(c->name())};
    for (P::StepParamContext* p : c->stepParam()) out.params.push_back({name(p->name(0)), name(p->name(1))});
    out.lines = lines(c->lines()->line());
    out.doc = doc(c);
    out.place = place(c);
    return out;
  }

  InstrItem instr(P::InstrItemContext* c) {
    InstrItem out{.name = name(c->name()), .params = params(c->params())};
    for (P::NumericContext* n : c->numeric()) {
      auto bounds = n->number();
      out.numerics.push_back({name(n->name()), bounds.size() > 0 ? number(bounds[0]) : nullptr,
                              bounds.size() > 1 ? number(bounds[1]) : nullptr});
    }
    if (c->expr()) out.cost = expr(c->expr());
    combines_ = true;
    out.body = block(c->block());
    combines_ = false;
    out.doc = doc(c);
    out.place = place(c);
    return out;
  }

  ProgramItem program(P::ProgramItemContext* c) {
    ProgramItem out{.name = path(c->path()), .params = params(c->params())};
    if (c->target()) out.target = target(c->target());
    if (c->allow()) out.allow = names(c->allow()->name());
    out.facts = exprs(c->expr());
    combines_ = true;
    out.body = body(c->body());
    combines_ = false;
    out.doc = doc(c);
    out.place = place(c);
    return out;
  }

  std::vector<Generic> generics(P::GenericsContext* c) {
    std::vector<Generic> out;
    if (!c) return out;
    for (P::GenericContext* g : c->generic()) {
      auto words = names(g->name());
      out.push_back({words[0], words.size() > 1 ? words[1] : Name{"any", words[0].place}});
    }
    return out;
  }

  std::vector<Param> params(P::ParamsContext* c) {
    std::vector<Param> out;
    for (P::ParamContext* p : c->param()) out.push_back(param(p));
    return out;
  }

  Param param(P::ParamContext* c) {
    Param out;
    if (c->IN()) out.direction = Direction::in;
    if (c->INOUT()) out.direction = Direction::inout;
    if (c->CONST()) out.direction = Direction::constant;
    if (c->OUT()) out.direction = Direction::out;
    out.name = name(c->name());
    out.type = type(c->type());
    if (P::MemoryContext* m = c->memory()) {
      out.memory = name(m->name());
      out.layout = layout(m->layoutMap());
      if (m->expr()) out.pad = expr(m->expr());
    }
    if (c->expr()) out.default_value = expr(c->expr());
    out.place = place(c);
    return out;
  }

  std::optional<LayoutMap> layout(P::LayoutMapContext* c) {
    if (!c) return std::nullopt;
    return LayoutMap{names(c->name()), exprs(c->expr()), place(c)};
  }

  Type type(P::TypeContext* c) {
    Type out{.name = name(c->name()), .tensor = c->LBRACKET() != nullptr};
    out.dims = entries(c->entries());
    if (c->entries()) {
      auto contexts = c->entries()->entry();
      for (size_t i = 0; i < out.dims.size(); ++i)
        if (out.dims[i].kind == Entry::Kind::value)
          split_bound(out.dims[i].value, out.dims[i].max, contexts[i]->expr(0));
    }
    no_targets(out.dims, "a dim");
    out.place = place(c);
    return out;
  }

  Name target(P::TargetContext* c) {
    Name out{"", place(c)};
    for (char ch : out.place.text())
      if (ch != ' ' && ch != '\t') out.text += ch;
    return out;
  }

  ExprRef where(P::WhereContext* c) { return c ? expr(c->expr()) : nullptr; }

  ExprRef number(P::NumberContext* c) {
    auto kind = c->INT() ? Literal::Kind::integer : Literal::Kind::real;
    antlr4::Token* digits = c->getStop();
    ExprRef value = make(Literal{kind, text(digits)}, place(digits));
    return c->MINUS() ? make(Unary{UnaryOp::negate, value}, place(c)) : value;
  }

  // Blocks ------------------------------------------------------------------------------------------------------------

  Block block(P::BlockContext* c) {
    Block out;
    for (P::StmtContext* s : c->stmt()) out.push_back(stmt(s));
    return out;
  }

  Stmt stmt(P::StmtContext* c) {
    if (auto* x = dynamic_cast<P::LetStmtContext*>(c)) return {Let{name(x->name()), expr(x->expr()), "", place(c)}};
    if (auto* x = dynamic_cast<P::RequireStmtContext*>(c))
      return {Require{expr(x->expr()), string(x->STRING()), place(c)}};
    if (auto* x = dynamic_cast<P::ScanStmtContext*>(c))
      return {Scan{name(x->name()), x->REVERSE() != nullptr, block(x->block()), place(c)}};
    return {equation(dynamic_cast<P::EquationStmtContext*>(c)->equation())};
  }

  Equation equation(P::EquationContext* c) {
    Equation out;
    for (P::RefContext* r : c->ref()) out.left.push_back(ref(r));
    if (c->UPDATE()) out.kind = AssignKind::update;
    if (c->name()) {
      out.kind = AssignKind::combine;
      out.reducer = name(c->name());
      if (!combines_) no_combine(out);
    }
    left_ = out.left[0].place;
    right_ = place(c->right());
    out.right = right(c->right());
    out.place = place(c);
    if (out.left.size() > 1 && !(out.right.value && out.right.value->as<Call>()))
      error(codes::misplaced, out.left[1].place, "several left sides, but the right side is no call of an op");
    return out;
  }

  void no_combine(const Equation& e) {
    Diagnostic d{codes::misplaced, e.reducer.place,
                 "`" + e.reducer.text + "=` stands only in programs and instructions"};
    d.help = "write `" + std::string(e.left[0].place.text()) + " = " + e.reducer.text + "[..] ..`";
    if (e.left[0].bare_name())
      if (auto near = nearest(e.left[0].path.first(), {"let", "require", "scan"}); !near.empty()) {
        d.place = e.left[0].place;
        d.message = "unknown word `" + e.left[0].path.first() + "`";
        d.help = "did you mean `" + near + "`?";
      }
    in_.errors.push_back(std::move(d));
  }

  // A reduction is a read-like head `path[binders]` and a body. The body is its own rule, or, when it begins with a
  // parenthesis, the arguments of what looks like a call of the head.
  Right right(P::RightContext* c) {
    P::ExprContext* e = c->expr();
    P::AtomContext* head = e->IF() ? nullptr : atom_of(e->unary(0));
    bool reads = head && head->ref() && head->ref()->subscripts(0);
    bool bracketed = reads && head->callArgs();
    if (!c->reductionBody() && !bracketed) {
      if (reads) no_minus_body(e, head->ref());
      return {expr(e), std::nullopt};
    }
    bool alone = e->IF() == nullptr && e->unary().size() == 1 && !e->unary(0)->otherwise();
    if (!reads || head->ref()->DOT() || (c->reductionBody() && (bracketed || !alone))) {
      not_at_root(c);
      return {placeholder(place(e)), std::nullopt};
    }
    Reduction out{.reducer = path(head->ref()->path())};
    P::SubscriptsContext* subs = head->ref()->subscripts(0);
    out.binders = entries(subs->entries());
    for (const Entry& b : out.binders) binder(b);
    out.condition = where(subs->where());
    out.body = c->reductionBody() ? reduction_body(c->reductionBody()) : body_in_brackets(e, head);
    out.place = place(c);
    if (const Tuple* fields = out.body->as<Tuple>()) {
      for (const Entry& f : fields->entries)
        if (!f.target)
          error(codes::misplaced, f.place, "expected a field of `" + out.reducer.text() + "`, as in `m = ..`");
      out.fields = fields->entries;
      out.body = nullptr;
    }
    return {nullptr, std::move(out)};
  }

  /// The atom of an operand without prefix operators, else null.
  static P::AtomContext* atom_of(P::UnaryContext* c) { return c->atom(); }

  void binder(const Entry& b) {
    bool bare = b.kind == Entry::Kind::value && !b.target && b.value->as_name();
    bool ranged = b.kind == Entry::Kind::range && b.bound && !b.max;
    if (!bare && !ranged && b.kind != Entry::Kind::pack)
      error(codes::unexpected, b.place, "expected an index, as in `j` or `j in 0 .. n`");
  }

  void no_minus_body(P::ExprContext* e, P::RefContext* head) {
    static constexpr std::string_view builtin[] = {"sum", "prod", "max", "min", "argmax", "argmin", "any", "all"};
    auto ops = e->binary();
    if (ops.empty() || ops[0]->getStart()->getType() != P::MINUS || e->unary(0)->otherwise()) return;
    std::string word(place(head->path()).text());
    if (std::ranges::find(builtin, word) == std::end(builtin)) return;
    std::string whole(place(head).text());
    in_.errors.push_back(
        Diagnostic{codes::minus_body, place(ops[0]), "the body of this reduction begins with a minus"}.with_help(
            "put the body in parentheses: `" + whole + " (-..)`"));
  }

  // The last operand of an expression, without its prefix operators.
  Place head_at_end(P::ExprContext* e) {
    while (e->IF()) e = e->expr(2);
    P::UnaryContext* last = e->unary().back();
    while (last->unary()) last = last->unary();
    return place(last);
  }

  // The equation at hand with its reduction on a line of its own.
  std::string in_two_lines(const Place& reduction) const {
    const std::string general = "give the reduction a line of its own and read its result here";
    if (!left_.known() || reduction.begin < right_.begin || reduction.end > right_.end) return general;
    const std::string left(left_.text()), right(right_.text());
    const size_t bracket = left.find('[');
    std::string part = left.rfind("t[", 0) == 0 || left == "t" ? "s" : "t";
    if (bracket != std::string::npos)
      part += left.find(" in ") == std::string::npos ? left.substr(bracket) : std::string("[..]");
    const std::string before = right.substr(0, reduction.begin - right_.begin);
    const std::string after = right.substr(reduction.end - right_.begin);
    const std::string help = "split it in two lines: `" + part + " = " + std::string(reduction.text()) + "` and `" +
                             left + " = " + before + part + after + "`";
    return help.size() > 160 || help.find('\n') != std::string::npos ? general : help;
  }

  void not_at_root(P::RightContext* c) {
    auto* body = c->reductionBody();
    P::ExprContext* e = c->expr();
    bool looks_like_one = place(e).text().ends_with(']') || (!body && !e->IF());
    if (looks_like_one || e->IF()) {
      in_.errors.push_back(
          Diagnostic{codes::reduction_not_at_root, place(e), "a reduction stands only at the root of a right side"}
              .with_help(in_two_lines(body ? head_at_end(e).to(place(body)) : place(e))));
    } else {
      Diagnostic d{codes::unexpected, place(body->getStart()),
                   "expected an operator or the end of the line, found `" + text(body->getStart()) + "`"};
      bool number_and_word = place(e).end == place(body).begin;  // `2f`: nothing else stands without a gap
      if (number_and_word) d.help = "a number takes the type of its other side, or is converted: `f32(2)`";
      in_.errors.push_back(std::move(d));
    }
  }

  ExprRef reduction_body(P::ReductionBodyContext* c) {
    if (c->IF()) return if_expr(c->expr(), place(c));
    std::vector<ExprRef> operands{body_unary(c->bodyUnary())};
    for (P::UnaryContext* u : c->unary()) operands.push_back(unary(u));
    return grouped(std::move(operands), c->binary());
  }

  ExprRef body_unary(P::BodyUnaryContext* c) {
    if (P::UnaryContext* u = c->unary())
      return make(Unary{c->NOT() ? UnaryOp::logical_not : UnaryOp::bit_not, unary(u)}, place(c));
    P::BodyAtomContext* a = c->bodyAtom();
    ExprRef value = a->literal() ? literal(a->literal()) : read_or_call(a->ref(), a->callArgs());
    return with_default(value, c->otherwise());
  }

  ExprRef body_in_brackets(P::ExprContext* e, P::AtomContext* head) {
    P::CallArgsContext* args = head->callArgs();
    ExprRef first = tuple(entries(args->entries()), place(args));
    std::vector<ExprRef> operands{with_default(first, e->unary(0)->otherwise())};
    auto all = e->unary();
    for (size_t i = 1; i < all.size(); ++i) operands.push_back(unary(all[i]));
    return grouped(std::move(operands), e->binary());
  }

  // Expressions -------------------------------------------------------------------------------------------------------

  ExprRef if_expr(const std::vector<P::ExprContext*>& parts, Place where) {
    return make(If{expr(parts[0]), expr(parts[1]), expr(parts[2])}, std::move(where));
  }

  /// Groups `a op b op c ..` by precedence, without recursion: chains are long.
  ExprRef grouped(std::vector<ExprRef> operands, const std::vector<P::BinaryContext*>& ops) {
    std::vector<ExprRef> values{operands[0]};
    std::vector<P::BinaryContext*> waiting;
    auto reduce = [&] {
      P::BinaryContext* op = waiting.back();
      waiting.pop_back();
      ExprRef r = std::move(values.back());
      values.pop_back();
      ExprRef l = std::move(values.back());
      values.back() = make(Binary{operator_of(op).op, place(op), l, r}, l->place.to(r->place));
    };
    for (size_t i = 0; i < ops.size(); ++i) {
      int precedence = operator_of(ops[i]).precedence;
      while (!waiting.empty() && operator_of(waiting.back()).precedence >= precedence) {
        if (precedence == comparison && operator_of(waiting.back()).precedence == comparison)
          chained(waiting.back(), ops[i]);
        reduce();
      }
      waiting.push_back(ops[i]);
      values.push_back(std::move(operands[i + 1]));
    }
    while (!waiting.empty()) reduce();
    return values[0];
  }

  void chained(P::BinaryContext* first, P::BinaryContext* second) {
    in_.errors.push_back(Diagnostic{codes::chained_comparison, place(second), "comparisons do not chain"}
                             .label(place(first), "the first comparison")
                             .with_help("write `a < b && b < c`"));
  }

  ExprRef unary(P::UnaryContext* c) {
    if (c->atom()) return with_default(atom(c->atom()), c->otherwise());
    UnaryOp op = c->MINUS() ? UnaryOp::negate : c->NOT() ? UnaryOp::logical_not : UnaryOp::bit_not;
    return make(Unary{op, unary(c->unary())}, place(c));
  }

  ExprRef with_default(ExprRef value, P::OtherwiseContext* c) {
    if (!c) return value;
    const Read* read = value->as<Read>();
    if (!read || !read->ref.subscripted) {
      error(codes::misplaced, place(c), "`or` gives a default to a read such as `x[i - 1]`, not to another expression");
      return value;
    }
    Read out = *read;
    out.otherwise = unary(c->unary());
    return make(std::move(out), value->place.to(place(c)));
  }

  ExprRef atom(P::AtomContext* c) {
    if (c->literal()) return literal(c->literal());
    if (c->ref()) return read_or_call(c->ref(), c->callArgs());
    if (c->tuple()) return tuple(entries(c->tuple()->entries()), place(c));
    List out{entries(c->list()->entries())};
    no_targets(out.entries, "an element of a list");
    return make(std::move(out), place(c));
  }

  /// One plain expression in parentheses is that expression.
  ExprRef tuple(Entries all, Place where) {
    if (all.size() == 1 && all[0].kind == Entry::Kind::value && !all[0].target)
      return std::make_shared<const Expr>(all[0].value->form, std::move(where));
    return make(Tuple{std::move(all)}, std::move(where));
  }

  ExprRef literal(P::LiteralContext* c) {
    using Kind = Literal::Kind;
    if (begins_with(c, P::STRING)) return make(Literal{Kind::text, string(c->STRING())}, place(c));
    Kind kind = begins_with(c, P::INT)                                ? Kind::integer
                : begins_with(c, P::TRUE) || begins_with(c, P::FALSE) ? Kind::boolean
                                                                      : Kind::real;
    return make(Literal{kind, text(c->getStart())}, place(c));
  }

  ExprRef read_or_call(P::RefContext* r, P::CallArgsContext* args) {
    if (!args) return make(Read{ref(r), nullptr}, place(r));
    Place all = place(r).to(place(args));
    if (!r->subscripts(0)) return make(Call{path(r->path()), entries(args->entries())}, all);
    in_.errors.push_back(
        Diagnostic{codes::reduction_not_at_root, all, "a reduction stands only at the root of a right side"}.with_help(
            in_two_lines(all)));
    return placeholder(all);
  }

  Ref ref(P::RefContext* c) {
    Ref out{.path = path(c->path())};
    auto subs = c->subscripts();
    if (subs.size() > 0) out.subscripted = true, out.subs = subscripts(subs[0]);
    if (c->name()) out.field = name(c->name());
    if (subs.size() > 1) out.field_subscripted = true, out.field_subs = subscripts(subs[1]);
    out.place = place(c);
    return out;
  }

  Entries subscripts(P::SubscriptsContext* c) {
    if (c->where()) error(codes::misplaced, place(c->where()->getStart()), "`where` stands only in a reduction");
    Entries out = entries(c->entries());
    no_targets(out, "a subscript");
    return out;
  }

  Entries entries(P::EntriesContext* c) {
    Entries out;
    if (c)
      for (P::EntryContext* e : c->entry()) out.push_back(entry(e));
    return out;
  }

  Entry entry(P::EntryContext* c) {
    Entry out;
    out.place = place(c);
    if (c->children.size() == 1) {  // most are
      out.value = expr(c->expr(0));
      return out;
    }
    if (c->ELLIPSIS()) {
      out.kind = Entry::Kind::pack;
      out.pack = name(c->name());
      return out;
    }
    auto parts = c->expr();
    size_t next = 0;
    if (c->IN()) {
      ExprRef index = expr(parts[next++]);
      if (const std::string* word = index->as_name()) out.bound = Name{*word, index->place};
      else error(codes::unexpected, index->place, "expected an index before `in`");
    }
    out.value = expr(parts[next++]);
    if (c->RANGE()) {
      out.kind = Entry::Kind::range;
      out.hi = expr(parts[next]);
      split_bound(out.hi, out.max, parts[next++]);
    }
    if (c->ASSIGN()) assign(out, expr(parts[next]));
    return out;
  }

  /// `target = value`
  void assign(Entry& e, ExprRef value) {
    const Read* left = e.kind == Entry::Kind::value ? e.value->as<Read>() : nullptr;
    if (left && !left->otherwise) e.target = std::make_shared<const Ref>(left->ref);
    else error(codes::unexpected, e.value->place, "expected a name before `=`");
    e.value = std::move(value);
  }

  /// `e <= max` at the end of a range or dim (not in parentheses): a bound, not a comparison.
  static void split_bound(ExprRef& value, ExprRef& max, P::ExprContext* c) {
    const Binary* b = value->as<Binary>();
    if (!b || b->op != BinaryOp::le || c->binary().empty()) return;
    max = b->right;
    value = ExprRef(b->left);
  }

  void no_targets(const Entries& all, const std::string& what) {
    for (const Entry& e : all)
      if (e.target) error(codes::misplaced, e.place, what + " has no name");
  }

  // Schedules ---------------------------------------------------------------------------------------------------------

  Line line(P::LineContext* c) {
    if (auto* x = dynamic_cast<P::TuneLineContext*>(c)) return {tune(x)};
    if (auto* x = dynamic_cast<P::LetLineContext*>(c)) return {Let{name(x->name()), expr(x->expr()), "", place(c)}};
    if (auto* x = dynamic_cast<P::BranchLineContext*>(c)) return {branch(x->branch())};
    return {step(dynamic_cast<P::StepLineContext*>(c))};
  }

  Tune tune(P::TuneLineContext* c) {
    Tune out{.name = name(c->name()), .value = expr(c->expr(0))};
    ExprRef first = expr(c->expr(1));
    if (c->RANGE()) {
      out.lo = first;
      out.hi = expr(c->expr(2));
      if (c->BY()) out.factor = expr(c->expr(3));
    } else {
      out.choices = first;
      if (!first->as<List>())
        error(codes::unexpected, first->place,
              "expected a list such as `[1, 2, 4]`, or a range such as `1 .. 64 by *2`");
    }
    out.condition = where(c->where());
    out.place = place(c);
    return out;
  }

  Branch branch(P::BranchContext* c) {
    Branch out{expr(c->expr()), lines(c->lines()->line()), {}, place(c)};
    auto others = c->otherLines();
    for (size_t i = 0; i + 1 < others.size(); ++i)
      if (!others[i]->expr()) {
        error(codes::misplaced, place(others[i + 1]->getStart()), "nothing follows the `else` without a condition");
        return out;
      }
    if (others.size() > 64) {  // each nests in the one before
      error(codes::nested_too_deep, place(others[64]->getStart()), "more than 64 `else if` in one chain");
      return out;
    }
    for (size_t i = others.size(); i-- > 0;) {
      std::vector<Line> inner = lines(others[i]->lines()->line());
      if (others[i]->expr()) {
        Branch nested{expr(others[i]->expr()), std::move(inner), std::move(out.otherwise), place(others[i])};
        out.otherwise.clear();
        out.otherwise.push_back({std::move(nested)});
      } else {
        out.otherwise = std::move(inner);
      }
    }
    return out;
  }

  Step step(P::StepLineContext* c) {
    Step out{.name = path(c->path())};
    auto all = c->operands();
    auto words = c->preposition();
    size_t first = all.size() == words.size() ? 0 : 1;
    if (first == 1) out.operands = operands(all[0]);
    for (size_t i = 0; i < words.size(); ++i)
      out.prepositions.push_back({{text(words[i]->getStart()), place(words[i])}, operands(all[first + i])});
    out.place = place(c);
    return out;
  }

  Entries operands(P::OperandsContext* c) {
    Entries out;
    for (P::OperandContext* o : c->operand()) {
      Entry e;
      e.place = place(o);
      e.value = expr(o->expr(0));
      if (o->ASSIGN()) assign(e, expr(o->expr(1)));
      out.push_back(std::move(e));
    }
    return out;
  }

  // Programs ----------------------------------------------------------------------------------------------------------

  ProgramBody body(P::BodyContext* c) {
    ProgramBody out;
    for (P::ProgramStmtContext* s : c->programStmt()) out.push_back(program_stmt(s));
    return out;
  }

  ProgramStmt program_stmt(P::ProgramStmtContext* c) {
    if (auto* x = dynamic_cast<P::LetProgramContext*>(c)) return {Let{name(x->name()), expr(x->expr()), "", place(c)}};
    if (auto* x = dynamic_cast<P::RequireProgramContext*>(c))
      return {Require{expr(x->expr()), string(x->STRING()), place(c)}};
    if (auto* x = dynamic_cast<P::StageProgramContext*>(c)) return {stage(x)};
    if (auto* x = dynamic_cast<P::ForProgramContext*>(c)) return {for_loop(x)};
    if (auto* x = dynamic_cast<P::AllocProgramContext*>(c)) return {alloc(x)};
    if (auto* x = dynamic_cast<P::ReduceProgramContext*>(c)) return {reduce_region(x)};
    if (auto* x = dynamic_cast<P::LeafProgramContext*>(c)) return {leaf(x)};
    if (auto* x = dynamic_cast<P::CallProgramContext*>(c))
      return {CallInstr{path(x->path()), refs(x->ref()), place(c)}};
    auto* x = dynamic_cast<P::CheckProgramContext*>(c);
    std::vector<ExprRef> all = exprs(x->expr());
    return {Check{all[0], string(x->STRING()), {all.begin() + 1, all.end()}, place(c)}};
  }

  StageRow stage(P::StageProgramContext* c) {
    StageRow out{.name = path(c->path())};
    for (P::AxisContext* a : c->axis()) {
      std::string cls = text(a->getStart());
      one_of(a->getStart(), {"map", "reduce", "scan", "scan_reverse", "scatter"}, "an axis is");
      out.axes.push_back({cls, name(a->name().back()), expr(a->expr(0)), expr(a->expr(1)), place(a)});
    }
    auto words = names(c->name());
    if (c->BY()) {
      out.reducer = words.front();
      words.erase(words.begin());
    }
    out.writes = refs(c->ref());
    out.condition = where(c->where());
    out.flags = std::move(words);
    out.place = place(c);
    return out;
  }

  For for_loop(P::ForProgramContext* c) {
    For out{.loop = path(c->path()), .lo = expr(c->expr(0)), .hi = expr(c->expr(1))};
    if (P::LoopKindContext* kind = c->loopKind()) {
      out.kind = text(kind->getStart());
      if (kind->ON()) {
        out.axis = name(kind->name());
      } else {
        one_of(kind->getStart(), {"parallel", "vector", "unrolled", "pipelined", "prefetch"}, "a loop is");
        loop_attributes(kind, out);
      }
    }
    out.body = body(c->body());
    out.place = place(c);
    return out;
  }

  // `pipelined 2 at (0, 1)`, `prefetch x by 4, w by 8`.
  void loop_attributes(P::LoopKindContext* c, For& out) {
    std::vector<ExprRef> all = exprs(c->expr());
    if (out.kind == "prefetch") {
      if (c->BY().empty()) return error(codes::misplaced, place(c), "`prefetch` is written `prefetch x by 4`");
      for (size_t i = 0; i + 1 < all.size(); i += 2) out.prefetch.emplace_back(all[i], all[i + 1]);
      return;
    }
    if (all.empty()) return;
    if (out.kind != "pipelined")
      return error(codes::misplaced, place(c->expr(0)), "only `pipelined` has a number of stages");
    if (!c->BY().empty())
      return error(codes::misplaced, place(c->BY(0)->getSymbol()), "only `prefetch` is written with `by`");
    out.stages = all[0];
    if (c->AT()) out.stage_of = all[1];
  }

  Alloc alloc(P::AllocProgramContext* c) {
    Alloc out{.name = path(c->path()), .type = type(c->type()), .memory = name(c->name())};
    out.layout = layout(c->layoutMap());
    auto all = exprs(c->expr());
    if (c->PAD()) out.pad = all.front();
    if (c->COPIES()) out.copies = all.back();
    out.place = place(c);
    return out;
  }

  ReduceRegion reduce_region(P::ReduceProgramContext* c) {
    ReduceRegion out{.windows = refs(c->ref()), .reducer = name(c->name(0))};
    if (c->name().size() > 1) {
      out.reassociated = true;
      one_of(c->name(1)->getStart(), {"reassociated"}, "a reduction is");
    }
    out.body = body(c->body());
    out.place = place(c);
    return out;
  }

  Leaf leaf(P::LeafProgramContext* c) {
    Leaf out{.stage = path(c->path())};
    for (P::BindingContext* b : c->binding()) out.bindings.push_back({name(b->name()), expr(b->expr())});
    out.condition = where(c->where());
    for (P::NameContext* flag : c->name()) {
      one_of(flag->getStart(), {"recomputed", "nontemporal"}, "a leaf is");
      out.recomputed |= name(flag).text == "recomputed";
      out.nontemporal |= name(flag).text == "nontemporal";
    }
    for (P::EquationContext* e : c->leaf()->equation()) out.assigns.push_back(equation(e));
    out.place = place(c);
    return out;
  }

  void one_of(antlr4::Token* token, const std::vector<std::string>& known, const std::string& what) {
    std::string word = text(token);
    if (std::ranges::find(known, word) != known.end()) return;
    std::string list;
    for (const std::string& k : known) list += (list.empty() ? "`" : ", `") + k + "`";
    std::string near = nearest(word, known);
    in_.errors.push_back(Diagnostic{codes::unknown_word, place(token), "unknown word `" + word + "`"}.with_help(
        near.empty() ? what + " one of " + list : "did you mean `" + near + "`?"));
  }

  // Words and places --------------------------------------------------------------------------------------------------

  std::vector<ExprRef> exprs(const std::vector<P::ExprContext*>& all) {
    std::vector<ExprRef> out;
    for (P::ExprContext* c : all) out.push_back(expr(c));
    return out;
  }
  std::vector<Ref> refs(const std::vector<P::RefContext*>& all) {
    std::vector<Ref> out;
    for (P::RefContext* c : all) out.push_back(ref(c));
    return out;
  }
  std::vector<Name> names(const std::vector<P::NameContext*>& all) {
    std::vector<Name> out;
    for (P::NameContext* c : all) out.push_back(name(c));
    return out;
  }
  Name name(P::NameContext* c) { return {text(c->getStart()), place(c)}; }

  Path path(P::PathContext* c) {
    Path out{{}, place(c)};
    for (antlr4::tree::ParseTree* child : c->children) {
      if (auto* n = dynamic_cast<P::NameContext*>(child)) {
        out.names.push_back(name(n));
      } else if (auto* p = dynamic_cast<P::PartContext*>(child)) {
        out.names.back().text += "@" + text(p->getStop());
        out.names.back().place = out.names.back().place.to(place(p));
      }
    }
    return out;
  }

  std::string string(TerminalNode* node) {
    Place where = place(node->getSymbol());
    std::string_view raw = where.text();
    std::string out;
    size_t last = raw.size() > 1 && raw.back() == '"' ? raw.size() - 1 : raw.size();
    for (size_t i = 1; i < last; ++i) {
      if (raw[i] != '\\' || i + 1 >= last) {
        out += raw[i];
        continue;
      }
      char c = raw[++i];
      uint32_t at = where.begin + static_cast<uint32_t>(i) - 1;
      if (c == 'n') out += '\n';
      else if (c == 't') out += '\t';
      else if (c == '"' || c == '\\') out += c;
      else error(codes::bad_escape, {in_.source, at, at + 2}, "unknown escape in a string");
    }
    return out;
  }

  std::string doc(ParserRuleContext* c) const {
    auto found = in_.docs.find(static_cast<uint32_t>(c->getStart()->getStartIndex()));
    return found == in_.docs.end() ? "" : found->second;
  }

  std::string text(antlr4::Token* t) const { return std::string(place(t).text()); }
  // Tokens carry byte offsets, the end exclusive (frontend/parse.cpp).
  Place place(antlr4::Token* t) const {
    return {in_.source, static_cast<uint32_t>(t->getStartIndex()), static_cast<uint32_t>(t->getStopIndex())};
  }
  Place place(ParserRuleContext* c) const {
    Place first = place(c->getStart());
    return c->getStop() && c->getStop()->getStopIndex() >= first.end ? first.to(place(c->getStop())) : first;
  }

  template <class Form>
  static ExprRef make(Form form, Place where) {
    return std::make_shared<const Expr>(ExprForm(std::move(form)), std::move(where));
  }
  static ExprRef placeholder(Place where) { return make(Literal{Literal::Kind::integer, "0"}, std::move(where)); }
  void error(const Code& code, Place where, std::string message) {
    in_.errors.push_back({code, std::move(where), std::move(message)});
  }

  TreeInput in_;
  Place left_, right_;     ///< of the equation at hand
  bool combines_ = false;  // inside a program or instruction, where `sum=` may stand
};

}  // namespace

Module build_module(ParserRuleContext* tree, const TreeInput& input) {
  return Builder(input).module(dynamic_cast<P::FullModuleContext*>(tree));
}
ExprRef build_expr(ParserRuleContext* tree, const TreeInput& input) {
  if (!parsed(tree)) return nullptr;
  return Builder(input).expr(dynamic_cast<P::OnlyExprContext*>(tree)->expr());
}
std::vector<Line> build_lines(ParserRuleContext* tree, const TreeInput& input) {
  std::vector<P::LineContext*> lines;
  for (P::LineContext* line : dynamic_cast<P::OnlyLinesContext*>(tree)->line())
    if (parsed(line)) lines.push_back(line);
  return Builder(input).lines(lines);
}

}  // namespace heddle::frontend
