// The typed mode's values: floats as the double that they equal, integers, booleans and indices as int64_t. Each
// operation is done in its own type, f16, bf16 and fp8 in f32 with one more rounding (docs/numerics.md).
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

#include "ir/expr.h"
#include "ir/float_format.h"
#include "ir/integer.h"
#include "ir/math.h"

namespace heddle::ir::interpreter {

inline int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

/// Index arithmetic never wraps: false where the result does not fit.
inline bool index_binary(BinaryOp op, int64_t a, int64_t b, int64_t& out) {
  switch (op) {
    case BinaryOp::add: return !__builtin_add_overflow(a, b, &out);
    case BinaryOp::sub: return !__builtin_sub_overflow(a, b, &out);
    case BinaryOp::mul: return !__builtin_mul_overflow(a, b, &out);
    case BinaryOp::div:
      if (b == -1) return !__builtin_sub_overflow(int64_t{0}, a, &out);
      out = b == 0 ? 0 : floor_div(a, b);
      return true;
    case BinaryOp::mod: out = b == 0 || b == -1 ? 0 : a - b * floor_div(a, b); return true;
    case BinaryOp::ceildiv: out = b <= 0 ? 0 : a / b + (a % b > 0); return true;
    case BinaryOp::min: out = std::min(a, b); return true;
    case BinaryOp::max: out = std::max(a, b); return true;
    default: return false;
  }
}

inline int64_t integer_binary(BinaryOp op, ScalarType type, int64_t a, int64_t b) {
  switch (op) {
    case BinaryOp::add: return integer_add(type, a, b);
    case BinaryOp::sub: return integer_sub(type, a, b);
    case BinaryOp::mul: return integer_mul(type, a, b);
    case BinaryOp::div: return integer_div(type, a, b);
    case BinaryOp::mod: return integer_mod(type, a, b);
    case BinaryOp::min: return integer_less(type, b, a) ? b : a;
    case BinaryOp::max: return integer_less(type, a, b) ? b : a;
    case BinaryOp::shift_left: return integer_shift_left(type, a, b);
    case BinaryOp::shift_right: return integer_shift_right(type, a, b);
    case BinaryOp::bit_and: return a & b;
    case BinaryOp::bit_or: return a | b;
    case BinaryOp::bit_xor: return a ^ b;
    default: return 0;
  }
}

inline bool is_comparison(BinaryOp op) { return op >= BinaryOp::eq && op <= BinaryOp::ge; }

template <class T>
bool compare_values(BinaryOp op, T a, T b) {
  switch (op) {
    case BinaryOp::eq: return a == b;
    case BinaryOp::ne: return a != b;
    case BinaryOp::lt: return a < b;
    case BinaryOp::le: return a <= b;
    case BinaryOp::gt: return a > b;
    default: return a >= b;
  }
}

inline bool compare_integers(BinaryOp op, ScalarType type, int64_t a, int64_t b) {
  if (is_signed(type)) return compare_values(op, a, b);
  return compare_values(op, static_cast<uint64_t>(a), static_cast<uint64_t>(b));
}

/// NaN where either is NaN.
template <class F>
F lesser(F x, F y) {
  return x != x ? x : x < y ? x : y;
}
template <class F>
F greater(F x, F y) {
  return x != x ? x : x > y ? x : y;
}

struct Typed {
  using Real = double;
  using Int = int64_t;
  static constexpr bool bounded = false;

  static Real real(double v) { return v; }
  static Int integer(int64_t v) { return v; }
  static double nominal(Real v) { return v; }
  static int64_t nominal_int(Int v) { return v; }
  static bool sure(Int) { return true; }
  static Real doubtful(Real v) { return v; }
  static Int doubtful(Int v) { return v; }

  /// Calls `use` with the operation on two floats of the type; false if floats have no such operation.
  template <class Use>
  static bool with_real_binary(BinaryOp op, ScalarType type, Use use) {
    switch (op) {
      case BinaryOp::add: in_type(type, use, [](auto x, auto y) { return x + y; }); return true;
      case BinaryOp::sub: in_type(type, use, [](auto x, auto y) { return x - y; }); return true;
      case BinaryOp::mul: in_type(type, use, [](auto x, auto y) { return x * y; }); return true;
      case BinaryOp::div: in_type(type, use, [](auto x, auto y) { return x / y; }); return true;
      case BinaryOp::min: use([](double x, double y) { return lesser(x, y); }); return true;
      case BinaryOp::max: use([](double x, double y) { return greater(x, y); }); return true;
      default: return false;
    }
  }
  static Int compare(BinaryOp op, Real a, Real b) { return compare_values(op, a, b); }
  static Int compare(BinaryOp op, ScalarType type, Int a, Int b) { return compare_integers(op, type, a, b); }
  static Real negate(Real a) { return -a; }
  static Int integer_binary(BinaryOp op, ScalarType type, Int a, Int b) {
    return interpreter::integer_binary(op, type, a, b);
  }
  static bool index_binary(BinaryOp op, Int a, Int b, Int& out) { return interpreter::index_binary(op, a, b, out); }
  static Int bit_not(ScalarType type, Int a) { return wrap_integer(type, ~a); }
  static Int logical_not(Int a) { return !a; }
  static Int integer_abs(ScalarType type, Int a) { return ir::integer_abs(type, a); }

  static Real math(MathOp op, ScalarType type, Real x, Real y, bool has_fma) {
    if (type == ScalarType::f32) return eval_math(op, static_cast<float>(x), static_cast<float>(y), has_fma);
    const std::array<double, 2> args = {x, y};
    return eval_math(op, type, std::span(args).first(static_cast<size_t>(math_row(op).arity)), has_fma);
  }
  static Real to_float(ScalarType to, ScalarType from, Int v) { return integer_to_float(to, from, v); }
  static Real convert_float(ScalarType to, ScalarType, bool saturate, Real v) {
    return saturate ? saturate_float(to, v) : round_to(to, v);
  }
  static Int to_integer(ScalarType to, Real v) { return float_to_integer(to, v); }
  static Int convert_integer(ScalarType to, ScalarType from, bool saturate, Int v) {
    return saturate ? saturate_integer(to, from, v) : wrap_integer(to, v);
  }
  /// A run-time scalar, or an element, as a value.
  static Real element(ScalarType type, double v) { return round_to(type, v); }

 private:
  template <class Use, class F>
  static void in_type(ScalarType type, Use use, F f) {
    if (type == ScalarType::f64) {
      use([f](double x, double y) { return f(x, y); });
    } else if (type == ScalarType::f32) {
      use([f](double x, double y) -> double { return f(static_cast<float>(x), static_cast<float>(y)); });
    } else {
      use([f, type](double x, double y) { return round_to(type, f(static_cast<float>(x), static_cast<float>(y))); });
    }
  }
};

}  // namespace heddle::ir::interpreter
