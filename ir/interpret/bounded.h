// The bounded mode's values: a number in f64 with a bound on its distance from what any computation that follows
// docs/numerics.md may give, and an integer, boolean or index with a bound of the same meaning (0 = certain).
#pragma once

#include "ir/interpret/typed.h"

namespace heddle::ir::interpreter {

struct BoundedInt {
  int64_t value = 0;
  double bound = 0;
};

/// What was combined into one cell of an open sum or product, or of a field of a reducer of the text.
struct Terms {
  double count = 0, magnitude = 0;
  double greatest = 0;  // of the terms and of what they were combined to
  // Of a product's factors: the logarithms of those above 1 and of those below 1, summed up.
  double above = 0, below = 0;
  bool zero = false, infinite = false;

  void term(ir::Bounded x);
  void merged(ir::Bounded x, ir::Bounded state);
  void factor(ir::Bounded x);
};

struct BoundedMode {
  using Real = ir::Bounded;
  using Int = BoundedInt;
  static constexpr bool bounded = true;

  static Real real(double v) { return {v, 0}; }
  static Int integer(int64_t v) { return {v, 0}; }
  static double nominal(Real v) { return v.value; }
  static int64_t nominal_int(Int v) { return v.value; }
  static bool sure(Int v) { return v.bound == 0; }
  /// The value with nothing claimed about it.
  static Real doubtful(Real v) { return {v.value, HUGE_VAL}; }
  static Int doubtful(Int v) { return {v.value, HUGE_VAL}; }

  template <class Use>
  static bool with_real_binary(BinaryOp op, ScalarType type, Use use) {
    switch (op) {
      case BinaryOp::add: use([type](Real a, Real b) { return add(type, a, b); }); return true;
      case BinaryOp::sub: use([type](Real a, Real b) { return add(type, a, negate(b)); }); return true;
      case BinaryOp::mul: use([type](Real a, Real b) { return mul(type, a, b); }); return true;
      case BinaryOp::div: use([type](Real a, Real b) { return div(type, a, b); }); return true;
      case BinaryOp::min:
        use([](Real a, Real b) { return Real{lesser(a.value, b.value), std::max(a.bound, b.bound)}; });
        return true;
      case BinaryOp::max:
        use([](Real a, Real b) { return Real{greater(a.value, b.value), std::max(a.bound, b.bound)}; });
        return true;
      default: return false;
    }
  }
  static Real add(ScalarType type, Real a, Real b);
  static Real mul(ScalarType type, Real a, Real b);
  static Real div(ScalarType type, Real a, Real b);
  static Real negate(Real a) { return {-a.value, a.bound}; }

  static Int compare(BinaryOp op, Real a, Real b);
  static Int compare(BinaryOp op, ScalarType type, Int a, Int b);
  static Int integer_binary(BinaryOp op, ScalarType type, Int a, Int b);
  static bool index_binary(BinaryOp op, Int a, Int b, Int& out) {
    out.bound = a.bound == 0 && b.bound == 0 ? 0 : integer_binary(op, ScalarType::index, a, b).bound;
    return interpreter::index_binary(op, a.value, b.value, out.value);
  }
  static Int bit_not(ScalarType type, Int a) { return {wrap_integer(type, ~a.value), a.bound}; }
  static Int logical_not(Int a) { return {!a.value, a.bound}; }
  static Int integer_abs(ScalarType type, Int a) { return {ir::integer_abs(type, a.value), a.bound}; }

  static Real math(MathOp op, ScalarType type, Real x, Real y, bool) {
    const std::array<Real, 2> args = {x, y};
    return bounded_math(op, type, std::span(args).first(static_cast<size_t>(math_row(op).arity)));
  }
  static Real to_float(ScalarType to, ScalarType from, Int v);
  static Real convert_float(ScalarType to, ScalarType from, bool saturate, Real v);
  static Int to_integer(ScalarType to, Real v);
  static Int convert_integer(ScalarType to, ScalarType from, bool saturate, Int v);
  static Real element(ScalarType type, double v) { return {round_to(type, v), 0}; }
  /// What may be taken as 0 because it is denormal.
  static Real flushed(ScalarType type, Real v);

  /// What holds whichever of the two it is; the first is the nominal one.
  static Real hull(Real a, Real b);
  static Int hull(Int a, Int b);

  /// The end of a sum of `count` terms in any order: `magnitude` is the sum of the finite |terms| and their bounds.
  static Real finish_sum(ScalarType type, Real sum, double count, double magnitude);
  /// The end of a field that is no sum, of a reducer of the text: what another order rounds is taken to be of the size of the greatest
  /// term or state. A field that is 0 for certain stays so.
  static Real finish_state(ScalarType type, Real state, const Terms& terms);
  /// The end of a product: where the terms in another order may pass the ends of the type's range, nothing is claimed.
  static Real finish_product(ScalarType type, Real product, const Terms& terms);
  /// A field of a reducer of the text, combined from `a` and `b`: other orders may give NaN where this one is infinite, and the other
  /// way round, unless both sides are infinite like the result.
  static void any_order(Real a, Real b, Real& out);
};

}  // namespace heddle::ir::interpreter
