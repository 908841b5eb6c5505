#include "ir/interpret/bounded.h"

namespace heddle::ir::interpreter {
namespace {

using Real = BoundedMode::Real;
using Int = BoundedMode::Int;

constexpr double infinity = std::numeric_limits<double>::infinity();

bool narrow(ScalarType type) { return type != ScalarType::f64 && type != ScalarType::f32; }

// One rounding of an operation; the narrow types round in f32 first.
Real rounded(ScalarType type, Real x) {
  if (narrow(type)) x = bounded_rounding(ScalarType::f32, x);
  return bounded_rounding(type, x);
}

// Both sides certain and the result exact in the type: then every computation gives just this.
bool exact(ScalarType type, Real a, Real b, double v, bool exact_in_f64) {
  return exact_in_f64 && a.bound == 0 && b.bound == 0 && round_to(type, v) == v;
}

// bound * |factor| where an infinite factor meets a bound of zero, or zero a value of which nothing is claimed: that may be infinite.
double scaled(double bound, double factor) {
  return bound == 0 || bound == infinity ? bound : bound * std::fabs(factor);
}

bool may_be_zero(Real x) { return !(std::fabs(x.value) > x.bound); }

// A result that is NaN or infinite: certain where the operands decide it. Where the type has no infinity it is NaN.
Real not_finite(ScalarType type, double v, bool certain) {
  return {std::isinf(v) && !scalar_row(type).has_infinity ? std::numeric_limits<double>::quiet_NaN() : v,
          certain ? 0 : infinity};
}

bool finite(Real x) { return std::isfinite(x.value); }

double as_double(ScalarType type, int64_t v) {
  return is_signed(type) ? static_cast<double>(v) : static_cast<double>(static_cast<uint64_t>(v));
}

bool in_range(ScalarType type, double low, double high) {
  const double greatest = as_double(type, integer_max(type));
  return low >= static_cast<double>(integer_min(type)) && high <= greatest;
}

}  // namespace

Real BoundedMode::flushed(ScalarType type, Real v) {
  const double least = std::ldexp(1.0, scalar_row(type).min_exponent);
  if ((v.value != 0 || v.bound != 0) && std::fabs(v.value) - v.bound < least) v.bound += least;
  return v;
}

Real BoundedMode::add(ScalarType type, Real a, Real b) {
  const double v = a.value + b.value;
  if (std::isnan(a.value) || std::isnan(b.value)) return {v, std::isnan(a.value) ? a.bound : b.bound};
  if (!std::isfinite(v)) {
    const bool overflow = finite(a) && finite(b);
    return not_finite(type, v, overflow ? a.bound == 0 && b.bound == 0 : a.bound < infinity && b.bound < infinity);
  }
  const double back = v - a.value;
  const double error = (a.value - (v - back)) + (b.value - back);
  if (exact(type, a, b, v, error == 0)) return {v, 0};
  return rounded(type, {v, a.bound + b.bound});
}

Real BoundedMode::mul(ScalarType type, Real a, Real b) {
  const double v = a.value * b.value;
  if (std::isnan(a.value) || std::isnan(b.value)) return {v, std::isnan(a.value) ? a.bound : b.bound};
  if (std::isnan(v)) return not_finite(type, v, a.bound == 0 && b.bound == 0);
  if (std::isinf(v)) {
    const bool overflow = finite(a) && finite(b);
    return not_finite(type, v, (a.bound == 0 && b.bound == 0) || (!overflow && !may_be_zero(a) && !may_be_zero(b)));
  }
  if (exact(type, a, b, v, std::fma(a.value, b.value, -v) == 0)) return {v, 0};
  return rounded(type, {v, scaled(b.bound, a.value) + scaled(a.bound, b.value) + scaled(a.bound, b.bound)});
}

Real BoundedMode::div(ScalarType type, Real a, Real b) {
  const double v = a.value / b.value;
  if (std::isnan(a.value) || std::isnan(b.value)) return {v, std::isnan(a.value) ? a.bound : b.bound};
  if (b.bound > 0 && may_be_zero(b)) return {v, infinity};
  if (!std::isfinite(v)) {
    if (finite(a) && b.value != 0) return not_finite(type, v, a.bound == 0 && b.bound == 0);  // overflow
    return not_finite(type, v, a.bound == 0 || !may_be_zero(a));
  }
  if (exact(type, a, b, v, std::fma(v, b.value, -a.value) == 0)) return {v, 0};
  return rounded(type, {v, (a.bound + scaled(b.bound, v)) / (std::fabs(b.value) - b.bound)});
}

Int BoundedMode::compare(BinaryOp op, Real a, Real b) {
  const int64_t v = compare_values(op, a.value, b.value);
  const double slack = a.bound + b.bound;
  if (slack == 0) return {v, 0};
  return {v, std::fabs(a.value - b.value) > slack ? 0 : infinity};
}

Int BoundedMode::compare(BinaryOp op, ScalarType type, Int a, Int b) {
  const int64_t v = compare_integers(op, type, a.value, b.value);
  const double slack = a.bound + b.bound;
  if (slack == 0) return {v, 0};
  return {v, std::fabs(as_double(type, a.value) - as_double(type, b.value)) > slack ? 0 : infinity};
}

Int BoundedMode::integer_binary(BinaryOp op, ScalarType type, Int a, Int b) {
  const int64_t v = interpreter::integer_binary(op, type, a.value, b.value);
  if (a.bound == 0 && b.bound == 0) return {v, 0};
  const double x = as_double(type, a.value), y = as_double(type, b.value);
  double exact_value = 0, bound = 0;
  switch (op) {
    case BinaryOp::min:
    case BinaryOp::max: return {v, std::max(a.bound, b.bound)};
    case BinaryOp::add: exact_value = x + y, bound = a.bound + b.bound; break;
    case BinaryOp::sub: exact_value = x - y, bound = a.bound + b.bound; break;
    case BinaryOp::mul:
      exact_value = x * y;
      bound = scaled(b.bound, x) + scaled(a.bound, y) + scaled(a.bound, b.bound);
      break;
    default: return {v, infinity};
  }
  return {v,
          in_range(type, exact_value - bound, exact_value + bound) ? bound : infinity};  // where it may wrap: nothing
}

Real BoundedMode::to_float(ScalarType to, ScalarType from, Int v) {
  if (v.bound == 0) return {integer_to_float(to, from, v.value), 0};  // one value, rounded as everyone rounds it
  return rounded(to, {as_double(from, v.value), v.bound});
}

Real BoundedMode::convert_float(ScalarType to, ScalarType from, bool saturate, Real v) {
  if (std::isnan(v.value)) return v;
  if (v.bound == 0) return {saturate ? saturate_float(to, v.value) : round_to(to, v.value), 0};
  if (scalar_row(to).precision >= scalar_row(from).precision &&
      scalar_row(to).max_exponent >= scalar_row(from).max_exponent)
    return v;
  if (!saturate) return bounded_rounding(to, v);
  const double greatest = scalar_row(to).max_finite;
  const double clamped = std::clamp(v.value, -greatest, greatest);
  if (v.bound == infinity) return {clamped, infinity};
  const Real inside =
      bounded_rounding(to, {clamped * 0.5, v.bound});  // half: so that the limit itself does not overflow
  return {clamped, v.bound + 2 * (inside.bound - v.bound)};
}

Int BoundedMode::to_integer(ScalarType to, Real v) {
  const int64_t value = float_to_integer(to, v.value);
  if (v.bound == 0) return {value, 0};
  if (!(v.bound < infinity)) return {value, infinity};
  if (std::isnan(v.value)) return {value, infinity};
  if (to == ScalarType::boolean) return {value, may_be_zero(v) ? infinity : 0};
  const double at = as_double(to, value);
  const double low = as_double(to, float_to_integer(to, v.value - v.bound));
  const double high = as_double(to, float_to_integer(to, v.value + v.bound));
  return {value, std::max(at - low, high - at)};
}

Int BoundedMode::convert_integer(ScalarType to, ScalarType from, bool saturate, Int v) {
  const int64_t value = saturate ? saturate_integer(to, from, v.value) : wrap_integer(to, v.value);
  if (v.bound == 0) return {value, 0};
  const double at = as_double(from, v.value);
  if (to == ScalarType::boolean) return {value, std::fabs(at) > v.bound ? 0 : infinity};
  if (saturate || in_range(to, at - v.bound, at + v.bound)) return {value, v.bound};
  return {value, infinity};
}

Real BoundedMode::hull(Real a, Real b) {
  if (std::isnan(a.value) && std::isnan(b.value)) return {a.value, std::max(a.bound, b.bound)};
  if (a.value == b.value) return {a.value, std::max(a.bound, b.bound)};
  const double apart = std::fabs(a.value - b.value) + b.bound;  // NaN where one of them is
  return {a.value, std::isnan(apart) ? infinity : std::max(a.bound, apart)};
}

Int BoundedMode::hull(Int a, Int b) {
  const double apart = std::fabs(static_cast<double>(a.value) - static_cast<double>(b.value));
  return {a.value, std::max(a.bound, apart + b.bound)};
}

Real BoundedMode::finish_sum(ScalarType type, Real sum, double count, double magnitude) {
  const double greatest = scalar_row(type).max_finite;
  if (!std::isfinite(sum.value)) return {sum.value, std::isfinite(sum.bound) && magnitude <= greatest ? 0 : infinity};
  if (count <= 1) return sum;
  // eps is twice the unit roundoff; narrow types round each addition in f32 as well, and 1.01 covers products of
  // roundings.
  const double eps = 2 * unit_roundoff(type) * (narrow(type) ? 1.01 : 1);
  const double bound = sum.bound + count * eps * magnitude;
  if (magnitude + bound > greatest) return {sum.value, infinity};
  return {sum.value, bound};
}

void Terms::term(Real x) {
  count += 1;
  if (finite(x)) magnitude += std::fabs(x.value) + x.bound;
}

void Terms::merged(Real x, Real state) {
  term(x);
  for (const Real& r : {x, state})
    if (finite(r)) greatest = std::max(greatest, std::fabs(r.value) + r.bound);
}

Real BoundedMode::finish_state(ScalarType type, Real state, const Terms& terms) {
  constexpr double roundings = 4;  // of a line of `combine`
  if (terms.count <= 1 || (state.value == 0 && state.bound == 0)) return state;
  return {state.value, state.bound + roundings * finish_sum(type, {0, 0}, terms.count, terms.greatest).bound};
}

void Terms::factor(Real x) {
  if (std::isnan(x.value)) return;
  if (std::isinf(x.value)) return void(infinite = true);
  if (may_be_zero(x)) zero = true;
  else below += std::min(0.0, std::log2(std::fabs(x.value) - x.bound));
  above += std::max(0.0, std::log2(std::fabs(x.value) + x.bound));
}

// The factors of any part of the product multiply to something between 2^below and 2^above.
Real BoundedMode::finish_product(ScalarType type, Real product, const Terms& terms) {
  const bool overflows = !(terms.above < std::log2(scalar_row(type).max_finite) - 1);
  const bool vanishes = terms.zero || !(terms.below > scalar_row(type).min_exponent + 1);
  const bool one_answer = terms.infinite ? !vanishes : terms.zero ? !overflows : !overflows && !vanishes;
  return one_answer || std::isnan(product.value) ? product : Real{product.value, infinity};
}

void BoundedMode::any_order(Real a, Real b, Real& out) {
  if (finite(out)) return;
  const bool same = a.value == b.value && a.value == out.value;
  if (!same || a.bound + b.bound > 0) out.bound = infinity;
}

}  // namespace heddle::ir::interpreter
