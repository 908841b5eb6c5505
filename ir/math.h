// Math functions, each written once as a template over a builder, so that the interpreter (scalars), the host backend (LLVM
// vectors) and `bench/ulp` (native vectors) run the same operations in the same order and agree in every bit.
//
// A builder B has
//   V, I, M                       a float value, an integer value of the same width, a mask (scalars or vectors)
//   int bits()                    32 or 64
//   V constant(double)            exact in the float type         I integer(uint64_t)   low bits
//   V add, sub, mul, div(V, V)    one rounding each               V sqrt, floor, ceil, round_even(V)
//   V mad(V a, V b, V c)          a * b + c: one rounding on a target with FMA, two on one without (docs/numerics.md)
//   V min_of(V a, V b)            a < b ? a : b                   V max_of(V a, V b)    a > b ? a : b: as minps and maxps, so
//                                                                 the second operand where either is NaN
//   M less(V, V), equal(V, V)     false on NaN                    M is_nan(V)           M both(M, M)
//   V select(M, V, V)
//   I to_bits(V), V from_bits(I), I iadd, isub, iand, ior(I, I), I shift_left(I, int), I shift_right(I, int)  (logical)
//   B' wide(), V' widen(V), V narrow(V')    the builder of f64 over the same lanes and back with one rounding; of f64 itself
//   void far_quadrant(M near, V x, V& r, I& q)    f64: where not near, r and q of ir/math/quadrant.h
//   V lookup(const std::array<double, 16>& table, I index)   the low four bits of the index; the entries are exact in the float type
//   bool fma()                    whether mad has one rounding
//   optional: bool has_scale(), V scale(V p, V n)   p * 2^n with one rounding, n integral: vscalefps
// Only `mad` differs between targets, so the result is a function of the argument, the type and the target's FMA flag.
//
// Coefficients come from a weighted Remez exchange at 200 bits on the interval named beside each table (relative error of the
// function as the weight), rounded to the type; the error after rounding is named. Those of pieces are rounded one after the other,
// lowest power first, and the rest of the piece fitted again. `bench/ulp` measures the whole function.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include "ir/math/basic.h"
#include "ir/math/error.h"
#include "ir/math/power.h"
#include "ir/math/trig.h"
#include "ir/scalar_type.h"

namespace heddle::ir {

// ---------------------------------------------------------------------------------------------------------------------
// The rows

enum class MathOp : uint8_t {
  exp,
  log,
  tanh,
  sigmoid,
  sqrt,
  rsqrt,
  abs,
  floor,
  ceil,
  round_even,
  min,
  max,
  erf,
  sin,
  cos,
  pow,
  log1p,
  expm1
};
inline constexpr int math_op_count = 18;

struct MathRow {
  MathOp op;
  std::string_view name;  ///< as printed and called
  int arity;
  bool integers;            ///< also defined on integers (ir/integer.h); else on floats only
  bool exact;               ///< the nearest value of the type, in every bit: free of the target
  double ulp_f32, ulp_f64;  ///< bound on the error, on both kinds of target; f16, bf16, fp8: in f32, then one rounding
  double low, high;         ///< domain: NaN outside
  std::string_view help;
};

std::span<const MathRow> math_rows();
const MathRow& math_row(MathOp op);
/// The row of a printed name, or null.
const MathRow* find_math(std::string_view name);

/// The value of a row on floats of `type`, as compiled code of a target with or without FMA computes it. Arguments and result
/// are carried as doubles that equal them. f16, bf16 and fp8 compute in f32 and round.
double eval_math(MathOp op, ScalarType type, std::span<const double> args, bool has_fma);
/// The same on f32, without the detour.
float eval_math(MathOp op, float a, float b, bool has_fma);

/// A value in f64 with a bound on its distance from what any computation that follows docs/numerics.md may give; where the bound
/// is infinite anything is accepted.
struct Bounded {
  double value = 0;
  double bound = 0;
};
/// One more rounding to `type` by at most `ulps` units in the last place (twice for f64, where the reference rounds too). What
/// surely overflows becomes infinity (NaN where the type has none); where it only may, the bound is infinite: nothing is claimed.
/// With `flush`, for programs that allow flush_denormals, what is below the least normal number may also become 0.
Bounded bounded_rounding(ScalarType type, Bounded x, double ulps = 0.5, bool flush = false);
/// A row applied to values with bounds: the image of the interval around each argument, plus the row's own error in `type`.
Bounded bounded_math(MathOp op, ScalarType type, std::span<const Bounded> args, bool flush = false);

// ---------------------------------------------------------------------------------------------------------------------
// The algorithms

namespace math {

/// Row by row; `y` is read by rows of two arguments only.
template <class B>
typename B::V apply(B& b, MathOp op, typename B::V x, typename B::V y) {
  switch (op) {
    case MathOp::exp: return exp(b, x);
    case MathOp::log: return log(b, x);
    case MathOp::tanh: return tanh(b, x);
    case MathOp::sigmoid: return sigmoid(b, x);
    case MathOp::sqrt: return b.sqrt(x);
    case MathOp::rsqrt: return rsqrt(b, x);
    case MathOp::abs: return abs(b, x);
    case MathOp::floor: return b.floor(x);
    case MathOp::ceil: return b.ceil(x);
    case MathOp::round_even: return b.round_even(x);
    case MathOp::min: return min(b, x, y);
    case MathOp::max: return max(b, x, y);
    case MathOp::erf: return erf(b, x);
    case MathOp::sin: return sin(b, x);
    case MathOp::cos: return cos(b, x);
    case MathOp::pow: return pow(b, x, y);
    case MathOp::log1p: return log1p(b, x);
    case MathOp::expm1: return expm1(b, x);
  }
  return x;
}

/// The builder of the interpreter: plain scalars. Built without contraction (-ffp-contract=off).
template <class F>
struct ScalarBuilder {
  using V = F;
  using I = std::conditional_t<sizeof(F) == 4, uint32_t, uint64_t>;
  using M = bool;
  bool has_fma = true;

  static constexpr int bits() { return 8 * sizeof(F); }
  bool fma() const { return has_fma; }
  ScalarBuilder<double> wide() const { return {has_fma}; }
  double widen(V x) const { return x; }
  V narrow(double x) const { return static_cast<F>(x); }
  void far_quadrant(bool near, V x, V& r, I& q) const {
    if (near) return;
    const FarQuadrant far = math::far_quadrant(x);
    r = static_cast<F>(far.r), q = static_cast<I>(far.q);
  }
  V constant(double value) const { return static_cast<F>(value); }
  I integer(uint64_t value) const { return static_cast<I>(value); }
  V add(V x, V y) const { return x + y; }
  V sub(V x, V y) const { return x - y; }
  V mul(V x, V y) const { return x * y; }
  V div(V x, V y) const { return x / y; }
  V mad(V x, V y, V z) const { return has_fma ? std::fma(x, y, z) : x * y + z; }
  V sqrt(V x) const { return std::sqrt(x); }
  V floor(V x) const { return std::floor(x); }
  V ceil(V x) const { return std::ceil(x); }
  V round_even(V x) const { return std::nearbyint(x); }  // the rounding mode is to nearest even throughout
  V min_of(V x, V y) const { return x < y ? x : y; }
  V max_of(V x, V y) const { return x > y ? x : y; }
  M less(V x, V y) const { return x < y; }
  M equal(V x, V y) const { return x == y; }
  M is_nan(V x) const { return x != x; }
  M both(M x, M y) const { return x && y; }
  V select(M m, V x, V y) const { return m ? x : y; }
  I to_bits(V x) const { return std::bit_cast<I>(x); }
  V from_bits(I x) const { return std::bit_cast<V>(x); }
  I iadd(I x, I y) const { return x + y; }
  I isub(I x, I y) const { return x - y; }
  I iand(I x, I y) const { return x & y; }
  I ior(I x, I y) const { return x | y; }
  I shift_left(I x, int count) const { return x << count; }
  I shift_right(I x, int count) const { return x >> count; }
  V lookup(const std::array<double, 16>& table, I index) const { return static_cast<V>(table[index & 15]); }
};

}  // namespace math
}  // namespace heddle::ir
