// Expressions: one immutable tree for data (leaf bodies) and for indices (bounds, subscripts, predicates).
//
// A node knows its element type. Index arithmetic has the type `index` and never wraps; data arithmetic follows
// docs/numerics.md. Names are ids into the symbol and buffer tables of the op or program that owns the tree.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "ir/scalar_type.h"

namespace heddle::ir {

/// An entry of a symbol table: a dim, const, run-time scalar, stage axis, loop or local.
struct SymbolId {
  uint32_t value = UINT32_MAX;
  bool known() const { return value != UINT32_MAX; }
  auto operator<=>(const SymbolId&) const = default;
};
/// An entry of a buffer table: a parameter, the result of a stage, or a temporary that a step made.
struct BufferId {
  uint32_t value = UINT32_MAX;
  bool known() const { return value != UINT32_MAX; }
  auto operator<=>(const BufferId&) const = default;
};
struct StageId {
  uint32_t value = UINT32_MAX;
  bool known() const { return value != UINT32_MAX; }
  auto operator<=>(const StageId&) const = default;
};

struct ExprNode;

/// A shared immutable expression; a default one is "none" (used for optional parts).
class Expr {
 public:
  Expr() = default;
  explicit Expr(std::shared_ptr<const ExprNode> node) : node_(std::move(node)) {}

  bool known() const { return node_ != nullptr; }
  const ExprNode& node() const { return *node_; }
  const ExprNode* operator->() const { return node_.get(); }
  ScalarType type() const;

  /// The form as T, or null.
  template <class T>
  const T* as() const;

  /// Identity of the node, not structural equality (that is `same`, below).
  bool is(const Expr& other) const { return node_ == other.node_; }

 private:
  std::shared_ptr<const ExprNode> node_;
};

/// A literal of the node's type. Floats of every width are exact in `real`; integers and booleans (0, 1) stand in `integer`
/// as the value's two's complement bits (u64 as its bits).
struct Constant {
  int64_t integer = 0;
  double real = 0;
};

struct Var {
  SymbolId symbol;
};

/// A read of one element. Subscripts are of type index, in logical coordinates. With `otherwise`, the read is tried: if every
/// subscript is inside the buffer's box then the element, else `otherwise` (the `or` of the language).
struct Load {
  BufferId buffer;
  std::vector<Expr> subs;
  Expr otherwise;
};

/// Inside a reducer's combine block only: field `field` of the left state (side 0), the right state (side 1), or of the
/// new state that an earlier line of the block defines (side 2). In a whole-range form side 3 is the element at hand.
struct StateField {
  int side = 0;
  int field = 0;
  std::vector<Expr> subs;
};

enum class UnaryOp : uint8_t { negate, logical_not, bit_not };

enum class BinaryOp : uint8_t {
  add,
  sub,
  mul,
  div,
  mod,
  ceildiv,
  min,
  max,  // div and mod floor; by zero both give 0. ceildiv: index only
  shift_left,
  shift_right,
  bit_and,
  bit_or,
  bit_xor,
  eq,
  ne,
  lt,
  le,
  gt,
  ge,  // result boolean
  logical_and,
  logical_or  // lazy, result boolean
};

struct Unary {
  UnaryOp op;
  Expr value;
};
struct Binary {
  BinaryOp op;
  Expr left, right;
};

/// `if condition then yes else no`; lazy: only the chosen arm is evaluated, and its reads are checked under the condition.
struct Select {
  Expr condition, yes, no;
};

/// A math row (ir/math.h) by its printed name: `exp`, `log`, `sqrt`, `abs`, `floor`, ...; arguments and result of one type.
struct MathCall {
  std::string function;
  std::vector<Expr> args;
};

enum class ConvertMode : uint8_t { value, saturate };  ///< `f32(x)`, `saturate(i8, x)`; docs/numerics.md
struct Convert {
  ConvertMode mode = ConvertMode::value;
  Expr value;
};

using ExprForm = std::variant<Constant, Var, Load, StateField, Unary, Binary, Select, MathCall, Convert>;

struct ExprNode {
  ScalarType type;
  ExprForm form;
  uint32_t depth = 1;  ///< levels of the tree: refused past limits::nesting + limits::chain
  uint64_t hash = 0;   ///< structural, by symbol and buffer id
};

inline ScalarType Expr::type() const { return node_->type; }
template <class T>
const T* Expr::as() const {
  return node_ ? std::get_if<T>(&node_->form) : nullptr;
}

/// The only way to make a node: computes depth and hash. Does not fold; the builders below do for `index`.
Expr make_expr(ScalarType type, ExprForm form);

// Builders. Integer constants and index arithmetic fold and drop neutral elements (x + 0, x * 1, 0 / n, ...).
Expr index_constant(int64_t value);
Expr integer_constant(ScalarType type, int64_t value);
Expr real_constant(ScalarType type, double value);
Expr bool_constant(bool value);
Expr var(SymbolId symbol, ScalarType type = ScalarType::index);
Expr load(ScalarType type, BufferId buffer, std::vector<Expr> subs, Expr otherwise = {});
Expr unary(UnaryOp op, Expr value);
Expr binary(BinaryOp op, Expr left, Expr right);  ///< type of the left side, or boolean for comparisons and logic
Expr select(Expr condition, Expr yes, Expr no);
Expr math_call(std::string function, std::vector<Expr> args);
Expr convert(ScalarType to, Expr value, ConvertMode mode = ConvertMode::value);

inline Expr operator+(const Expr& a, const Expr& b) { return binary(BinaryOp::add, a, b); }
inline Expr operator-(const Expr& a, const Expr& b) { return binary(BinaryOp::sub, a, b); }
inline Expr operator*(const Expr& a, const Expr& b) { return binary(BinaryOp::mul, a, b); }
inline Expr operator+(const Expr& a, int64_t b) { return a + index_constant(b); }
inline Expr operator-(const Expr& a, int64_t b) { return a - index_constant(b); }
inline Expr operator*(const Expr& a, int64_t b) { return a * index_constant(b); }
Expr ceildiv(const Expr& a, const Expr& b);
Expr min(const Expr& a, const Expr& b);
Expr max(const Expr& a, const Expr& b);
Expr both(const Expr& a, const Expr& b);  ///< logical and; drops `true`
/// The parts of a conjunction; nothing for `true` or none.
std::vector<Expr> conjuncts(const Expr& condition);
/// None when there are no parts.
Expr conjoin(const std::vector<Expr>& parts);
Expr less(const Expr& a, const Expr& b);
Expr less_equal(const Expr& a, const Expr& b);

/// Structural equality by symbol and buffer id.
bool same(const Expr& a, const Expr& b);

/// The value of an integer, index or boolean constant, or nothing.
const int64_t* constant_value(const Expr& e);
bool is_constant(const Expr& e, int64_t value);

}  // namespace heddle::ir
