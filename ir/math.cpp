#include "ir/math.h"

#include <algorithm>
#include <cassert>
#include <limits>

#include "ir/float_format.h"

namespace heddle::ir {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// name, arity, on integers too, exact, ulp in f32 and f64, domain. docs/numerics.md shows what bench/ulp measures.
constexpr std::array<MathRow, math_op_count> rows = {{
    {MathOp::exp, "exp", 1, false, false, 2, 2, -infinity, infinity, "e to the power x"},
    {MathOp::log, "log", 1, false, false, 2, 2, 0, infinity, "natural logarithm; -inf at 0, NaN below"},
    {MathOp::tanh, "tanh", 1, false, false, 2, 2, -infinity, infinity, "hyperbolic tangent"},
    {MathOp::sigmoid, "sigmoid", 1, false, false, 3, 3, -infinity, infinity, "1 / (1 + exp(-x)), without overflow"},
    {MathOp::sqrt, "sqrt", 1, false, true, 0.5, 0.5, 0, infinity, "square root, correctly rounded; NaN below 0"},
    {MathOp::rsqrt, "rsqrt", 1, false, false, 1.5, 1.5, 0, infinity,
     "1 / sqrt(x), each correctly rounded; NaN below 0"},
    {MathOp::abs, "abs", 1, true, true, 0, 0, -infinity, infinity, "magnitude; of the least integer itself"},
    {MathOp::floor, "floor", 1, false, true, 0, 0, -infinity, infinity, "greatest integral value not above x"},
    {MathOp::ceil, "ceil", 1, false, true, 0, 0, -infinity, infinity, "least integral value not below x"},
    {MathOp::round_even, "round_even", 1, false, true, 0, 0, -infinity, infinity,
     "nearest integral value, ties to even"},
    {MathOp::min, "min", 2, true, true, 0, 0, -infinity, infinity, "the lesser; NaN where either is NaN"},
    {MathOp::max, "max", 2, true, true, 0, 0, -infinity, infinity, "the greater; NaN where either is NaN"},
    {MathOp::erf, "erf", 1, false, false, 2, 2, -infinity, infinity, "error function"},
    {MathOp::sin, "sin", 1, false, false, 2, 2, -infinity, infinity, "sine of radians, of any size; NaN at infinity"},
    {MathOp::cos, "cos", 1, false, false, 2, 2, -infinity, infinity, "cosine of radians, of any size; NaN at infinity"},
    {MathOp::pow, "pow", 2, false, false, 2, 2, -infinity, infinity,
     "x to the power y; NaN for a negative x and a y that is not whole; 1 where y is 0 or x is 1"},
    {MathOp::log1p, "log1p", 1, false, false, 2, 2, -1, infinity, "log(1 + x), exact near 0; -inf at -1, NaN below"},
    {MathOp::expm1, "expm1", 1, false, false, 2, 2, -infinity, infinity, "exp(x) - 1, exact near 0"},
}};

constexpr bool in_order() {
  for (size_t i = 0; i < rows.size(); ++i) {
    if (static_cast<size_t>(rows[i].op) != i) return false;
  }
  return true;
}
static_assert(in_order(), "rows stand in the order of the enumeration");

// In f64 by the host's library, which is within 1 ulp: the reference of the bounded mode.
double reference(MathOp op, double x, double y) {
  switch (op) {
    case MathOp::exp: return std::exp(x);
    case MathOp::log: return std::log(x);
    case MathOp::tanh: return std::tanh(x);
    case MathOp::sigmoid: {
      const double e = std::exp(-std::fabs(x));
      return (x < 0 ? e : 1) / (1 + e);
    }
    case MathOp::sqrt: return std::sqrt(x);
    case MathOp::rsqrt: return 1 / std::sqrt(x);
    case MathOp::erf: return std::erf(x);
    case MathOp::sin: return std::sin(x);
    case MathOp::cos: return std::cos(x);
    case MathOp::pow: return std::pow(x, y);
    case MathOp::log1p: return std::log1p(x);
    case MathOp::expm1: return std::expm1(x);
    default: break;
  }
  math::ScalarBuilder<double> b;
  return math::apply(b, op, x, y);
}

// pow over the rectangle of its arguments: for positive x it is monotone in each while the other is fixed, so its corners bound it.
double pow_radius(const Bounded& x, const Bounded& y, double value) {
  if (x.bound == 0 && y.bound == 0) return 0;
  if (!(x.value - x.bound > 0) || !std::isfinite(y.bound)) return infinity;
  double radius = 0;
  for (double a : {x.value - x.bound, x.value + x.bound})
    for (double b : {y.value - y.bound, y.value + y.bound}) {
      const double corner = std::pow(a, b);
      if (corner != value) radius = std::max(radius, std::fabs(corner - value));
    }
  return std::isnan(radius) ? infinity : radius;
}

// How far a monotone row may move while its argument moves by its bound; infinite where the argument may leave the domain.
double image_radius(MathOp op, const Bounded& x, double value) {
  if (x.bound == 0) return 0;
  if (op == MathOp::sin || op == MathOp::cos) return std::min(x.bound, 2.0);
  const MathRow& row = math_row(op);
  const double low = x.value - x.bound, high = x.value + x.bound;
  if (!(low >= row.low && high <= row.high)) return infinity;
  const double at_low = reference(op, low, 0), at_high = reference(op, high, 0);
  if (at_low == value && at_high == value) return 0;
  const double radius = std::max(std::fabs(at_high - value), std::fabs(at_low - value));
  return std::isnan(radius) ? infinity : radius;
}

}  // namespace

std::span<const MathRow> math_rows() { return rows; }
const MathRow& math_row(MathOp op) { return rows[static_cast<size_t>(op)]; }

const MathRow* find_math(std::string_view name) {
  for (const MathRow& row : rows) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

float eval_math(MathOp op, float a, float b, bool has_fma) {
  math::ScalarBuilder<float> builder{has_fma};
  return math::apply(builder, op, a, b);
}

double eval_math(MathOp op, ScalarType type, std::span<const double> args, bool has_fma) {
  assert(is_float(type) && args.size() == static_cast<size_t>(math_row(op).arity));
  const double x = args[0], y = args.back();
  if (type == ScalarType::f64) {
    math::ScalarBuilder<double> builder{has_fma};
    return math::apply(builder, op, x, y);
  }
  return round_to(type, eval_math(op, static_cast<float>(x), static_cast<float>(y), has_fma));
}

Bounded bounded_rounding(ScalarType type, Bounded x, double ulps, bool flush) {
  if (std::isinf(x.value) && !scalar_row(type).has_infinity) return {std::numeric_limits<double>::quiet_NaN(), x.bound};
  if (std::isnan(x.value) || std::isinf(x.value) || std::isinf(x.bound)) return x;
  const double most = std::fabs(x.value) + x.bound, least = std::fabs(x.value) - x.bound;
  const double unit = 2 * (unit_roundoff(type) * most + tiny_roundoff(type));
  const double flushed = flush ? std::ldexp(1.0, scalar_row(type).min_exponent) : 0;
  const double error = ulps * unit * (type == ScalarType::f64 ? 2 : 1) + flushed;
  const double greatest = scalar_row(type).max_finite;
  if (least - error > greatest + unit) {
    return {scalar_row(type).has_infinity ? std::copysign(infinity, x.value) : std::numeric_limits<double>::quiet_NaN(),
            0};
  }
  if (most + error > greatest) return {x.value, infinity};
  return {x.value, x.bound + error};
}

Bounded bounded_math(MathOp op, ScalarType type, std::span<const Bounded> args, bool flush) {
  const MathRow& row = math_row(op);
  const Bounded x = args[0], y = args.back();
  const double value = reference(op, x.value, y.value);
  if (op == MathOp::min || op == MathOp::max) return {value, std::max(x.bound, y.bound)};
  if (op == MathOp::abs) return {value, x.bound};
  // An argument of which nothing is claimed may be NaN; so may the sine of one that may be infinite.
  if (std::isinf(x.bound) || std::isinf(y.bound)) return {value, infinity};
  if (std::isnan(value)) {
    const bool sure =
        std::isnan(x.value) || std::isnan(y.value) || x.value + x.bound < row.low || (x.bound == 0 && y.bound == 0);
    return {value, sure ? 0 : infinity};
  }
  const Bounded image{value, op == MathOp::pow ? pow_radius(x, y, value) : image_radius(op, x, value)};
  if (row.exact && op != MathOp::sqrt) return image;
  const ScalarType compute = type == ScalarType::f64 ? type : ScalarType::f32;
  const double ulps = type == ScalarType::f64 ? row.ulp_f64 : row.ulp_f32;
  const Bounded result = bounded_rounding(compute, image, ulps, flush);
  return compute == type ? result : bounded_rounding(type, result, 0.5, flush);
}

}  // namespace heddle::ir
