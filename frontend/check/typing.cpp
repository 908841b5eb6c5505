#include "frontend/check/typing.h"

#include <algorithm>

#include "frontend/check/literal.h"
#include "frontend/codes.h"
#include "ir/random.h"

namespace heddle::frontend {

using ir::ScalarType;

namespace {

constexpr const char* operator_text[] = {"+", "-",  "*",  "/", "%",  "<<", ">>", "&",  "|",
                                         "^", "==", "!=", "<", "<=", ">",  ">=", "&&", "||"};

ir::BinaryOp operator_of(ast::BinaryOp op) {
  using A = ast::BinaryOp;
  using I = ir::BinaryOp;
  switch (op) {
    case A::add: return I::add;
    case A::sub: return I::sub;
    case A::mul: return I::mul;
    case A::div: return I::div;
    case A::mod: return I::mod;
    case A::shift_left: return I::shift_left;
    case A::shift_right: return I::shift_right;
    case A::bit_and: return I::bit_and;
    case A::bit_or: return I::bit_or;
    case A::bit_xor: return I::bit_xor;
    case A::eq: return I::eq;
    case A::ne: return I::ne;
    case A::lt: return I::lt;
    case A::le: return I::le;
    case A::gt: return I::gt;
    case A::ge: return I::ge;
    case A::logical_and: return I::logical_and;
    case A::logical_or: return I::logical_or;
  }
  return I::add;
}

bool is_comparison(ast::BinaryOp op) { return op >= ast::BinaryOp::eq && op <= ast::BinaryOp::ge; }
bool is_logic(ast::BinaryOp op) { return op >= ast::BinaryOp::logical_and; }
bool is_bitwise(ast::BinaryOp op) { return op >= ast::BinaryOp::shift_left && op <= ast::BinaryOp::bit_xor; }

std::string type_name(ScalarType type) { return std::string(ir::scalar_type_name(type)); }
std::string kind_text(ScalarType type) { return type == ScalarType::index ? "an index" : "`" + type_name(type) + "`"; }

bool untyped_arguments(const ast::Call& c) {
  if (!c.callee.bare() || c.args.empty()) return false;
  const std::string& name = c.callee.first();
  if (name != "min" && name != "max" && !math_arity(name)) return false;
  return std::all_of(c.args.begin(), c.args.end(), [](const ast::Entry& a) { return a.value && untyped(*a.value); });
}

}  // namespace

bool untyped(const ast::Expr& e) {
  if (const auto* l = e.as<ast::Literal>())
    return l->kind == ast::Literal::Kind::integer || l->kind == ast::Literal::Kind::real;
  if (const auto* u = e.as<ast::Unary>()) return u->op != ast::UnaryOp::logical_not && untyped(*u->value);
  // The right side first: in a long chain it is the short one.
  if (const auto* b = e.as<ast::Binary>())
    return !is_comparison(b->op) && !is_logic(b->op) && untyped(*b->right) && untyped(*b->left);
  if (const auto* i = e.as<ast::If>()) return untyped(*i->no) && untyped(*i->yes);
  if (const auto* c = e.as<ast::Call>()) return untyped_arguments(*c);
  return false;
}

ir::Expr negation(const ir::Expr& c) {
  if (const auto* u = c.as<ir::Unary>(); u && u->op == ir::UnaryOp::logical_not) return u->value;
  const auto* b = c.as<ir::Binary>();
  if (!b) return ir::unary(ir::UnaryOp::logical_not, c);
  using I = ir::BinaryOp;
  // Floats compare false with NaN, so only integers turn round.
  bool turns = !ir::is_float(b->left.type());
  auto turned = [&](I op) { return ir::binary(op, b->left, b->right); };
  switch (b->op) {
    case I::eq: return turned(I::ne);
    case I::ne: return turned(I::eq);
    case I::lt:
      if (turns) return turned(I::ge);
      break;
    case I::le:
      if (turns) return turned(I::gt);
      break;
    case I::gt:
      if (turns) return turned(I::le);
      break;
    case I::ge:
      if (turns) return turned(I::lt);
      break;
    case I::logical_and: return ir::binary(I::logical_or, negation(b->left), negation(b->right));
    case I::logical_or: return ir::binary(I::logical_and, negation(b->left), negation(b->right));
    default: break;
  }
  return ir::unary(ir::UnaryOp::logical_not, c);
}

std::string excerpt(const Place& place) {
  std::string out;
  for (char c : place.text()) {
    bool blank = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (blank && (out.empty() || out.back() == ' ')) continue;
    out += blank ? ' ' : c;
  }
  constexpr size_t longest = 48;
  if (out.size() <= longest) return out;
  size_t cut = longest - 3;
  while (cut > 0 && (static_cast<unsigned char>(out[cut]) & 0xC0) == 0x80) --cut;  // never inside a UTF-8 letter
  return out.substr(0, cut) + "...";
}

std::optional<ScalarType> Typing::type_word(const std::string& word) const { return ir::parse_scalar_type(word); }

bool Typing::is_builtin_reducer(const std::string& name) {
  static constexpr const char* names[] = {"sum", "prod", "max", "min", "argmax", "argmin", "any", "all"};
  return std::any_of(std::begin(names), std::end(names), [&](const char* n) { return name == n; });
}

Diagnostic Typing::not_at_root(const std::string& name, const Place& place) const {
  bool reduction = is_builtin_reducer(name);
  return Diagnostic(
             codes::not_at_root, place,
             (reduction ? "the reduction `" : "the call of `") + name + "` stands only at the root of a right side")
      .with_help(std::string("split it in two lines: `t") + (reduction ? "[..]" : "") + " = " + excerpt(place) +
                 "`, then use `t[..]` here");
}

ir::Expr Typing::index(const ast::Expr& e) {
  return with_index(true, [&] { return value(e, ScalarType::index); });
}

ir::Expr Typing::condition(const ast::Expr& e) {
  ir::Expr c = with_index(false, [&] { return value(e, ScalarType::boolean); });
  if (!c.known() || c.type() == ScalarType::boolean) return c;
  report(Diagnostic(codes::wrong_operand, e.place,
                    "a condition is needed here, and `" + excerpt(e.place) + "` is " + kind_text(c.type()))
             .with_help("compare it: `" + excerpt(e.place) + " != 0`"));
  return {};
}

ir::Expr Typing::value_of_type(const ast::Expr& e, ScalarType type, const std::string& what, const Place& declared,
                               const std::string& spelled) {
  ir::Expr v = value(e, type);
  if (!v.known() || v.type() == type) return v;
  Diagnostic d(codes::silent_conversion, e.place,
               what + " is " + kind_text(type) + ", and `" + excerpt(e.place) + "` is " + kind_text(v.type()));
  if (declared.known()) d.labels.push_back({declared, what + " is " + kind_text(type)});
  bool boolean = type == ScalarType::boolean || v.type() == ScalarType::boolean;
  d.help = boolean ? "write a comparison, or `if .. then .. else ..`"
                   : "convert it: `" + (spelled.empty() ? type_name(type) : spelled) + "(" + excerpt(e.place) + ")`";
  report(std::move(d));
  return {};
}

ir::Expr Typing::value(const ast::Expr& e, Hint hint) {
  if (const auto* l = e.as<ast::Literal>()) return literal(*l, false, e.place, hint);
  if (const auto* r = e.as<ast::Read>()) return adapted(read(*r, e.place, hint), e.place);
  if (const auto* b = e.as<ast::Binary>()) return binary(e, *b, hint);
  if (const auto* u = e.as<ast::Unary>()) return unary(e, *u, hint);
  if (const auto* i = e.as<ast::If>()) return choice(e, *i, hint);
  if (const auto* c = e.as<ast::Call>()) return adapted(call(e, *c, hint), e.place);
  report(Diagnostic(codes::wrong_operand, e.place,
                    e.as<ast::Tuple>() ? "a tuple stands only as the subscript of a composite dim"
                                       : "a list stands only in a schedule"));
  return {};
}

// In a subscript or bound, integer data becomes index; floats and booleans have no place there.
ir::Expr Typing::adapted(ir::Expr e, const Place& place) {
  if (!in_index_ || !e.known() || e.type() == ScalarType::index) return e;
  if (ir::is_integer(e.type())) return ir::convert(ScalarType::index, e);
  if (e.type() == ScalarType::boolean) return e;  // the condition of an `if` inside an index
  report(Diagnostic(codes::wrong_operand, place,
                    "an integer is needed here, and `" + excerpt(place) + "` is " + kind_text(e.type()))
             .with_help("convert it: `i64(" + excerpt(place) + ")`"));
  return {};
}

ir::Expr Typing::literal(const ast::Literal& l, bool negative, const Place& place, Hint hint) {
  if (l.kind == ast::Literal::Kind::boolean && !hint) hint = ScalarType::boolean;
  if (!hint) {
    report(Diagnostic(codes::untyped_literal, place, "the type of `" + excerpt(place) + "` is not known here")
               .with_help("write it with its type, such as `f32(" + excerpt(place) + ")`"));
    return {};
  }
  Result<ir::Expr> constant = typed_literal(l, negative, *hint, place);
  if (constant.ok()) return *constant;
  report_all(constant.errors());
  return {};
}

ir::Expr Typing::unary(const ast::Expr& e, const ast::Unary& u, Hint hint) {
  if (u.op == ast::UnaryOp::logical_not) {
    ir::Expr c = condition(*u.value);
    return c.known() ? ir::unary(ir::UnaryOp::logical_not, c) : c;
  }
  if (const auto* l = u.value->as<ast::Literal>(); l && u.op == ast::UnaryOp::negate)
    return literal(*l, true, e.place, hint);
  ir::Expr v = value(*u.value, hint);
  if (!v.known()) return v;
  bool fits = u.op == ast::UnaryOp::negate ? v.type() != ScalarType::boolean : ir::is_integer(v.type());
  if (fits) return ir::unary(u.op == ast::UnaryOp::negate ? ir::UnaryOp::negate : ir::UnaryOp::bit_not, v);
  report(
      Diagnostic(codes::wrong_operand, e.place,
                 std::string(u.op == ast::UnaryOp::negate ? "`-`" : "`~`") + " does not take " + kind_text(v.type())));
  return {};
}

void Typing::refuse_types(const ast::Expr& l, const ir::Expr& left, const ast::Expr& r, const ir::Expr& right,
                          const std::string& op, const Place& place) {
  ScalarType a = left.type(), b = right.type();
  Diagnostic d(codes::silent_conversion, place,
               kind_text(a) + " and " + kind_text(b) + " meet in `" + op + "`: nothing is converted silently");
  d.labels.push_back({l.place, "this is " + kind_text(a)});
  d.labels.push_back({r.place, "this is " + kind_text(b)});
  if (b == ScalarType::index && a != ScalarType::boolean)
    d.help = "convert it: `" + type_name(a) + "(" + excerpt(r.place) + ")`";
  else if (a == ScalarType::index && b != ScalarType::boolean)
    d.help = "convert it: `" + type_name(b) + "(" + excerpt(l.place) + ")`";
  else if (a == ScalarType::boolean || b == ScalarType::boolean)
    d.help = "write `if .. then .. else ..` for a number from a condition";
  else if (ir::widened(b) == a) d.help = "widen it: `widen(" + excerpt(r.place) + ")`";
  else if (ir::widened(a) == b) d.help = "widen it: `widen(" + excerpt(l.place) + ")`";
  else d.help = "convert one side: `" + type_name(a) + "(" + excerpt(r.place) + ")`";
  report(std::move(d));
}

// Both sides in one type. A side made of literals takes the type of the other; an index may be compared with integer
// data.
Typing::Pair Typing::pair(const ast::Expr& l, const ast::Expr& r, Hint hint, bool comparison, const std::string& op,
                          const Place& op_place) {
  if (in_index_) hint = ScalarType::index;
  Pair p;
  bool left_free = untyped(l), right_free = untyped(r);
  if (left_free && !right_free) {
    p.right = value(r, hint);
    p.left = p.right.known() ? value(l, p.right.type()) : ir::Expr();
  } else {
    p.left = value(l, hint);
    if (right_free && !left_free) p.right = p.left.known() ? value(r, p.left.type()) : ir::Expr();
    else p.right = value(r, hint);
  }
  if (!p.ok()) return p;
  if (comparison && of_indices() && p.left.type() == p.right.type() && ir::is_integer(p.left.type()) &&
      p.left.type() != ScalarType::u64)
    return {index(l), index(r)};
  if (p.left.type() == p.right.type()) return p;
  if (of_indices() && p.left.type() == ScalarType::index && ir::is_integer(p.right.type())) p.right = index(r);
  else if (of_indices() && p.right.type() == ScalarType::index && ir::is_integer(p.left.type())) p.left = index(l);
  else if (comparison && p.left.type() == ScalarType::index && ir::is_integer(p.right.type())) {
    p.right = ir::convert(ScalarType::index, p.right);
  } else if (comparison && p.right.type() == ScalarType::index && ir::is_integer(p.left.type())) {
    p.left = ir::convert(ScalarType::index, p.left);
  } else {
    refuse_types(l, p.left, r, p.right, op, op_place);
    return {};
  }
  return p;
}

ir::Expr Typing::logic(const ast::Binary& b) {
  ir::Expr left = condition(*b.left);
  bool is_and = b.op == ast::BinaryOp::logical_and;
  ir::Expr guard = !left.known() ? left : is_and ? left : negation(left);
  ir::Expr right = under(guard, [&] { return condition(*b.right); });
  if (!left.known() || !right.known()) return {};
  return ir::binary(operator_of(b.op), left, right);
}

ir::Expr Typing::binary(const ast::Expr& e, const ast::Binary& b, Hint hint) {
  if (is_logic(b.op)) return logic(b);
  std::string op = operator_text[static_cast<int>(b.op)];
  bool comparison = is_comparison(b.op);
  if (hint == ScalarType::boolean) hint.reset();  // no operator takes booleans and gives one, but == and !=
  Pair p =
      pair(*b.left, *b.right, comparison ? Hint() : hint, comparison, op, b.op_place.known() ? b.op_place : e.place);
  if (!p.ok()) return {};
  ScalarType type = p.left.type();
  bool fits = true;
  if (is_bitwise(b.op)) fits = ir::is_integer(type);
  else if (b.op == ast::BinaryOp::mod) fits = !ir::is_float(type) && type != ScalarType::boolean;
  else if (b.op != ast::BinaryOp::eq && b.op != ast::BinaryOp::ne) fits = type != ScalarType::boolean;
  if (fits) return ir::binary(operator_of(b.op), p.left, p.right);
  report(Diagnostic(codes::wrong_operand, e.place, "`" + op + "` does not take " + kind_text(type)));
  return {};
}

ir::Expr Typing::choice(const ast::Expr& e, const ast::If& i, Hint hint) {
  ir::Expr c = condition(*i.condition);
  if (in_index_) hint = ScalarType::index;
  ir::Expr not_c = c.known() ? negation(c) : c;
  auto arm = [&](bool yes, Hint h) { return under(yes ? c : not_c, [&] { return value(yes ? *i.yes : *i.no, h); }); };
  ir::Expr yes, no;
  if (untyped(*i.yes) && !untyped(*i.no)) {
    no = arm(false, hint);
    yes = no.known() ? arm(true, no.type()) : ir::Expr();
  } else {
    yes = arm(true, hint);
    bool no_takes_yes = untyped(*i.no) && !untyped(*i.yes);
    if (!no_takes_yes) no = arm(false, hint);
    else if (yes.known()) no = arm(false, yes.type());
  }
  if (!c.known() || !yes.known() || !no.known()) return {};
  if (yes.type() == no.type()) return ir::select(c, yes, no);
  refuse_types(*i.yes, yes, *i.no, no, "if", e.place);
  return {};
}

bool Typing::argument_count(const ast::Call& c, size_t count, const Place& place) {
  for (const ast::Entry& a : c.args) {
    if (a.kind == ast::Entry::Kind::value && !a.target && !a.bound && a.value) continue;
    report(Diagnostic(codes::wrong_arguments, a.place, "`" + c.callee.text() + "` takes plain values"));
    return false;
  }
  if (c.args.size() == count) return true;
  report(Diagnostic(codes::wrong_arguments, place,
                    "`" + c.callee.text() + "` takes " + std::to_string(count) +
                        (count == 1 ? " argument" : " arguments") + ", not " + std::to_string(c.args.size())));
  return false;
}

ir::Expr Typing::unknown_function(const std::string& name, const Place& place) {
  std::vector<std::string> known = math_names();
  for (const char* word : {"widen", "saturate", "min", "max", "ceildiv", ir::random_function}) known.push_back(word);
  for (const ir::ScalarRow& row : ir::scalar_rows())
    if (row.type != ScalarType::index) known.emplace_back(row.name);
  for (std::string& word : callables()) known.push_back(std::move(word));
  Diagnostic d(codes::unknown_name, place, "there is no function `" + name + "`");
  std::string near = nearest(name, known);
  if (is_tensor(name)) d.help = "`" + name + "` is a tensor: subscripts stand in brackets, `" + name + "[..]`";
  else if (name == "select" || name == "where") d.help = "one of two values is `if condition then a else b`";
  else if (!near.empty()) d.help = "did you mean `" + near + "`?";
  else d.help = "docs/language.md lists the functions; what several equations compute is an op of its own";
  report(std::move(d));
  return {};
}

ir::Expr Typing::call(const ast::Expr& e, const ast::Call& c, Hint hint) {
  std::string name = c.callee.text();
  if (in_index_) hint = ScalarType::index;
  if (auto type = type_word(name)) return conversion(c, *type, e.place);
  if (name == "index" && allows_index_conversion()) return conversion(c, ScalarType::index, e.place);
  if (name == "saturate") return saturation(c, e.place);
  if (name == "min" || name == "max")
    return extremum(c, name == "min" ? ir::BinaryOp::min : ir::BinaryOp::max, e.place, hint);
  if (name == "ceildiv") return extremum(c, ir::BinaryOp::ceildiv, e.place, hint);
  if (name == "widen") {
    if (!argument_count(c, 1, e.place)) return {};
    ir::Expr v = value(*c.args[0].value, {});
    return v.known() ? ir::convert(ir::widened(v.type()), v) : v;
  }
  if (size_t arity = math_arity(name)) return math(c, name, arity, e.place, hint);
  if (name == ir::random_function) return random(c, e.place);
  if (only_at_root(name)) {
    report(not_at_root(name, e.place));
    return {};
  }
  return unknown_function(name, c.callee.place);
}

ir::Expr Typing::conversion(const ast::Call& c, ScalarType to, const Place& place) {
  if (!argument_count(c, 1, place)) return {};
  const ast::Expr& arg = *c.args[0].value;
  bool to_index = to == ScalarType::index;
  ir::Expr v = with_index(false, [&] { return value(arg, untyped(arg) ? Hint(to) : Hint()); });
  if (!v.known() || v.type() == to) return v;
  if (to_index && !ir::is_integer(v.type())) {
    report(Diagnostic(codes::wrong_operand, place, kind_text(v.type()) + " does not convert to an index"));
    return {};
  }
  return ir::convert(to, v);
}

ir::Expr Typing::saturation(const ast::Call& c, const Place& place) {
  if (!argument_count(c, 2, place)) return {};
  const std::string* word = c.args[0].value->as_name();
  std::optional<ScalarType> to = word ? type_word(*word) : std::nullopt;
  if (!to || *to == ScalarType::boolean) {
    report(Diagnostic(codes::wrong_arguments, c.args[0].place, "`saturate` takes a type of numbers first")
               .with_help("such as `saturate(i8, x)`"));
    return {};
  }
  ir::Expr v = with_index(false, [&] { return value(*c.args[1].value, {}); });
  if (!v.known() || v.type() == *to) return v;
  if (v.type() == ScalarType::boolean) {
    report(Diagnostic(codes::wrong_operand, place, "`saturate` does not take `bool`"));
    return {};
  }
  return ir::convert(*to, v, ir::ConvertMode::saturate);
}

ir::Expr Typing::math(const ast::Call& c, const std::string& name, size_t arity, const Place& place, Hint hint) {
  if (!argument_count(c, arity, place)) return {};
  std::vector<ir::Expr> args;
  if (arity == 2) {
    Pair p = pair(*c.args[0].value, *c.args[1].value, hint, false, name, place);
    if (!p.ok()) return {};
    args = {p.left, p.right};
  } else {
    args = {value(*c.args[0].value, hint)};
  }
  if (!args[0].known()) return {};
  ScalarType type = args[0].type();
  if (ir::is_float(type) || (ir::is_integer(type) && math_on_integers(name)))
    return ir::math_call(name, std::move(args));
  Diagnostic d(codes::wrong_operand, place,
               "`" + name + "` takes a float, and `" + excerpt(c.args[0].place) + "` is " + kind_text(type));
  if (type != ScalarType::boolean) d.help = "convert it: `" + name + "(f32(" + excerpt(c.args[0].place) + "))`";
  report(std::move(d));
  return {};
}

// Outside of subscripts: random numbers are data.
ir::Expr Typing::random(const ast::Call& c, const Place& place) {
  if (!argument_count(c, 2, place)) return {};
  std::vector<ir::Expr> args;
  for (size_t i = 0; i < 2; ++i) {
    const std::string what = i == 0 ? "the seed" : "the counter";
    ir::Expr v = with_index(false, [&] { return value_of_type(*c.args[i].value, ScalarType::u64, what, {}); });
    if (!v.known()) return {};
    args.push_back(std::move(v));
  }
  ir::Expr bits = ir::math_call(ir::random_function, std::move(args));
  return in_index_ ? adapted(bits, place) : bits;
}

ir::Expr Typing::extremum(const ast::Call& c, ir::BinaryOp op, const Place& place, Hint hint) {
  if (!argument_count(c, 2, place)) return {};
  Pair p = pair(*c.args[0].value, *c.args[1].value, hint, false, c.callee.text(), place);
  if (!p.ok()) return {};
  bool fits = op == ir::BinaryOp::ceildiv ? p.left.type() == ScalarType::index : p.left.type() != ScalarType::boolean;
  if (fits) return ir::binary(op, p.left, p.right);
  report(
      Diagnostic(codes::wrong_operand, place, "`" + c.callee.text() + "` does not take " + kind_text(p.left.type())));
  return {};
}

}  // namespace heddle::frontend
