#include "ir/expr.h"

#include <algorithm>
#include <bit>

#include "ir/float_format.h"
#include "ir/integer.h"

namespace heddle::ir {
namespace {

uint64_t mix(uint64_t h, uint64_t v) {
  h ^= v + 0x9E3779B97F4A7C15ull + (h << 6) + (h >> 2);
  return h * 0xFF51AFD7ED558CCDull;
}

struct Summary {
  uint32_t depth = 0;
  uint64_t hash = 0;
  void part(const Expr& e) {
    if (!e.known()) {
      hash = mix(hash, 0x5EED);
      return;
    }
    depth = std::max(depth, e->depth);
    hash = mix(hash, e->hash);
  }
  void parts(const std::vector<Expr>& list) {
    hash = mix(hash, list.size());
    for (const Expr& e : list) part(e);
  }
};

Summary summarize(ScalarType type, const ExprForm& form) {
  Summary s;
  s.hash = mix(static_cast<uint64_t>(type) + 1, form.index());
  std::visit(
      [&](const auto& f) {
        using T = std::decay_t<decltype(f)>;
        if constexpr (std::is_same_v<T, Constant>) {
          s.hash = mix(mix(s.hash, static_cast<uint64_t>(f.integer)), std::bit_cast<uint64_t>(f.real));
        } else if constexpr (std::is_same_v<T, Var>) {
          s.hash = mix(s.hash, f.symbol.value);
        } else if constexpr (std::is_same_v<T, Load>) {
          s.hash = mix(s.hash, f.buffer.value);
          s.parts(f.subs);
          s.part(f.otherwise);
        } else if constexpr (std::is_same_v<T, StateField>) {
          s.hash = mix(mix(s.hash, f.side), f.field);
          s.parts(f.subs);
        } else if constexpr (std::is_same_v<T, Unary>) {
          s.hash = mix(s.hash, static_cast<uint64_t>(f.op));
          s.part(f.value);
        } else if constexpr (std::is_same_v<T, Binary>) {
          s.hash = mix(s.hash, static_cast<uint64_t>(f.op));
          s.part(f.left);
          s.part(f.right);
        } else if constexpr (std::is_same_v<T, Select>) {
          s.part(f.condition);
          s.part(f.yes);
          s.part(f.no);
        } else if constexpr (std::is_same_v<T, MathCall>) {
          s.hash = mix(s.hash, std::hash<std::string>{}(f.function));
          s.parts(f.args);
        } else {
          s.hash = mix(s.hash, static_cast<uint64_t>(f.mode));
          s.part(f.value);
        }
      },
      form);
  return s;
}

bool same_list(const std::vector<Expr>& a, const std::vector<Expr>& b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](auto& x, auto& y) { return same(x, y); });
}

bool same_form(const ExprForm& a, const ExprForm& b) {
  return std::visit(
      [&](const auto& x) {
        using T = std::decay_t<decltype(x)>;
        const T& y = std::get<T>(b);
        if constexpr (std::is_same_v<T, Constant>) {
          return x.integer == y.integer && std::bit_cast<uint64_t>(x.real) == std::bit_cast<uint64_t>(y.real);
        } else if constexpr (std::is_same_v<T, Var>) {
          return x.symbol == y.symbol;
        } else if constexpr (std::is_same_v<T, Load>) {
          return x.buffer == y.buffer && same_list(x.subs, y.subs) && same(x.otherwise, y.otherwise);
        } else if constexpr (std::is_same_v<T, StateField>) {
          return x.side == y.side && x.field == y.field && same_list(x.subs, y.subs);
        } else if constexpr (std::is_same_v<T, Unary>) {
          return x.op == y.op && same(x.value, y.value);
        } else if constexpr (std::is_same_v<T, Binary>) {
          return x.op == y.op && same(x.left, y.left) && same(x.right, y.right);
        } else if constexpr (std::is_same_v<T, Select>) {
          return same(x.condition, y.condition) && same(x.yes, y.yes) && same(x.no, y.no);
        } else if constexpr (std::is_same_v<T, MathCall>) {
          return x.function == y.function && same_list(x.args, y.args);
        } else {
          return x.mode == y.mode && same(x.value, y.value);
        }
      },
      a);
}

// Folding of index arithmetic: never wraps, so an operation that would overflow is left as it is.
bool fold_index(BinaryOp op, int64_t a, int64_t b, int64_t& out) {
  auto floor_div = [](int64_t x, int64_t y) { return x / y - ((x % y != 0 && (x < 0) != (y < 0)) ? 1 : 0); };
  switch (op) {
    case BinaryOp::add: return !__builtin_add_overflow(a, b, &out);
    case BinaryOp::sub: return !__builtin_sub_overflow(a, b, &out);
    case BinaryOp::mul: return !__builtin_mul_overflow(a, b, &out);
    case BinaryOp::div:
      if (b == -1) return false;
      out = b == 0 ? 0 : floor_div(a, b);
      return true;
    case BinaryOp::mod:
      if (b == -1) return false;
      out = b == 0 ? 0 : a - b * floor_div(a, b);
      return true;
    case BinaryOp::ceildiv:
      if (b <= 0) return false;
      out = a / b + (a % b > 0 ? 1 : 0);
      return true;
    case BinaryOp::min: out = std::min(a, b); return true;
    case BinaryOp::max: out = std::max(a, b); return true;
    default: return false;
  }
}

bool compare(BinaryOp op, int64_t a, int64_t b) {
  switch (op) {
    case BinaryOp::eq: return a == b;
    case BinaryOp::ne: return a != b;
    case BinaryOp::lt: return a < b;
    case BinaryOp::le: return a <= b;
    case BinaryOp::gt: return a > b;
    default: return a >= b;
  }
}

// The folded form of an index operation, or none.
Expr fold(BinaryOp op, const Expr& a, const Expr& b) {
  const int64_t* x = constant_value(a);
  const int64_t* y = constant_value(b);
  int64_t value = 0;
  if (x && y && fold_index(op, *x, *y, value)) return index_constant(value);
  switch (op) {
    case BinaryOp::add:
      if (x && *x == 0) return b;
      if (y && *y == 0) return a;
      if (y && *y < 0 && *y != INT64_MIN)
        return make_expr(ScalarType::index, Binary{BinaryOp::sub, a, index_constant(-*y)});
      break;
    case BinaryOp::sub:
      if (y && *y == 0) return a;
      if (same(a, b)) return index_constant(0);
      break;
    case BinaryOp::mul:
      if ((x && *x == 0) || (y && *y == 0)) return index_constant(0);
      if (x && *x == 1) return b;
      if (y && *y == 1) return a;
      break;
    case BinaryOp::div:
    case BinaryOp::ceildiv:
      if (y && *y == 1) return a;
      if (x && *x == 0) return index_constant(0);
      break;
    case BinaryOp::mod:
      if (y && *y == 1) return index_constant(0);
      if (x && *x == 0) return index_constant(0);
      break;
    case BinaryOp::min:
    case BinaryOp::max:
      if (same(a, b)) return a;
      break;
    default: break;
  }
  return {};
}

bool is_comparison(BinaryOp op) { return op >= BinaryOp::eq && op <= BinaryOp::ge; }

}  // namespace

Expr make_expr(ScalarType type, ExprForm form) {
  Summary s = summarize(type, form);
  return Expr(std::make_shared<const ExprNode>(ExprNode{type, std::move(form), s.depth + 1, s.hash}));
}

Expr index_constant(int64_t value) { return make_expr(ScalarType::index, Constant{value, 0}); }
Expr integer_constant(ScalarType type, int64_t value) { return make_expr(type, Constant{value, 0}); }
Expr real_constant(ScalarType type, double value) { return make_expr(type, Constant{0, value}); }
Expr bool_constant(bool value) { return make_expr(ScalarType::boolean, Constant{value ? 1 : 0, 0}); }
Expr var(SymbolId symbol, ScalarType type) { return make_expr(type, Var{symbol}); }
Expr load(ScalarType type, BufferId buffer, std::vector<Expr> subs, Expr otherwise) {
  return make_expr(type, Load{buffer, std::move(subs), std::move(otherwise)});
}

Expr unary(UnaryOp op, Expr value) {
  if (const int64_t* v = constant_value(value)) {
    if (op == UnaryOp::logical_not) return bool_constant(*v == 0);
    if (op == UnaryOp::negate && value.type() == ScalarType::index && *v != INT64_MIN) return index_constant(-*v);
  }
  ScalarType type = value.type();
  return make_expr(type, Unary{op, std::move(value)});
}

Expr binary(BinaryOp op, Expr left, Expr right) {
  ScalarType type = left.type();
  if (is_comparison(op)) {
    const int64_t* x = constant_value(left);
    const int64_t* y = constant_value(right);
    if (x && y && type != ScalarType::u64) return bool_constant(compare(op, *x, *y));
    type = ScalarType::boolean;
  } else if (op == BinaryOp::logical_and || op == BinaryOp::logical_or) {
    bool stops_at = op == BinaryOp::logical_or;
    if (const int64_t* x = constant_value(left)) return (*x != 0) == stops_at ? left : right;
    if (const int64_t* y = constant_value(right))
      if ((*y != 0) != stops_at) return left;
    type = ScalarType::boolean;
  } else if (type == ScalarType::index) {
    if (Expr folded = fold(op, left, right); folded.known()) return folded;
  }
  return make_expr(type, Binary{op, std::move(left), std::move(right)});
}

Expr select(Expr condition, Expr yes, Expr no) {
  if (const int64_t* c = constant_value(condition)) return *c ? yes : no;
  ScalarType type = yes.type();
  return make_expr(type, Select{std::move(condition), std::move(yes), std::move(no)});
}

Expr math_call(std::string function, std::vector<Expr> args) {
  ScalarType type = args.front().type();
  return make_expr(type, MathCall{std::move(function), std::move(args)});
}

Expr convert(ScalarType to, Expr value, ConvertMode mode) {
  if (value.type() == to) return value;
  // An index constant folds, so that a fixed dim (`f32(cols)`) is a constant of data, and prints as one.
  if (const int64_t* v = value.type() == ScalarType::index ? constant_value(value) : nullptr) {
    if (is_float(to)) return real_constant(to, integer_to_float(to, ScalarType::index, *v));
    return integer_constant(
        to, mode == ConvertMode::saturate ? saturate_integer(to, ScalarType::index, *v) : wrap_integer(to, *v));
  }
  return make_expr(to, Convert{mode, std::move(value)});
}

Expr ceildiv(const Expr& a, const Expr& b) { return binary(BinaryOp::ceildiv, a, b); }
Expr min(const Expr& a, const Expr& b) { return binary(BinaryOp::min, a, b); }
Expr max(const Expr& a, const Expr& b) { return binary(BinaryOp::max, a, b); }
Expr both(const Expr& a, const Expr& b) {
  if (!a.known()) return b;
  if (!b.known()) return a;
  return binary(BinaryOp::logical_and, a, b);
}
std::vector<Expr> conjuncts(const Expr& condition) {
  if (!condition.known() || is_constant(condition, 1)) return {};
  const Binary* both = condition.as<Binary>();
  if (!both || both->op != BinaryOp::logical_and) return {condition};
  std::vector<Expr> out = conjuncts(both->left), right = conjuncts(both->right);
  out.insert(out.end(), right.begin(), right.end());
  return out;
}
Expr conjoin(const std::vector<Expr>& parts) {
  Expr out;
  for (const Expr& e : parts) out = both(out, e);
  return out;
}
Expr less(const Expr& a, const Expr& b) { return binary(BinaryOp::lt, a, b); }
Expr less_equal(const Expr& a, const Expr& b) { return binary(BinaryOp::le, a, b); }

bool same(const Expr& a, const Expr& b) {
  if (a.is(b)) return true;
  if (!a.known() || !b.known()) return false;
  if (a->hash != b->hash || a.type() != b.type() || a->form.index() != b->form.index()) return false;
  return same_form(a->form, b->form);
}

const int64_t* constant_value(const Expr& e) {
  const Constant* c = e.as<Constant>();
  return c && !is_float(e.type()) ? &c->integer : nullptr;
}

bool is_constant(const Expr& e, int64_t value) {
  const int64_t* c = constant_value(e);
  return c && *c == value;
}

}  // namespace heddle::ir
