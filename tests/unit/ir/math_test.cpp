// Math rows: sampled errors within the rows' bounds on both kinds of target, edges, and the bounds that the interpreter carries.
// `bench/ulp` measures the same rows over all f32 arguments.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "ir/float_format.h"
#include "ir/math.h"

namespace heddle::ir {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

long double exact(MathOp op, long double x) {
  switch (op) {
    case MathOp::exp: return std::exp(x);
    case MathOp::log: return std::log(x);
    case MathOp::tanh: return std::tanh(x);
    case MathOp::sigmoid: {
      const long double e = std::exp(-std::fabs(x));
      return (x < 0 ? e : 1.0L) / (1 + e);
    }
    case MathOp::sqrt: return std::sqrt(x);
    case MathOp::rsqrt: return 1 / std::sqrt(x);
    case MathOp::erf: return std::erf(x);
    case MathOp::sin: return std::sin(x);
    case MathOp::cos: return std::cos(x);
    case MathOp::log1p: return std::log1p(x);
    case MathOp::expm1: return std::expm1(x);
    default: return x;
  }
}

double ulp_error(ScalarType type, double got, long double want) {
  if (std::isnan(got) || std::isnan(want)) return std::isnan(got) && std::isnan(want) ? 0 : infinity;
  const ScalarRow& row = scalar_row(type);
  const long double top = std::ldexp(1.0L, row.max_exponent + 1);
  if (std::fabs(want) > top) want = std::copysign(top, want);
  const long double near = std::isinf(got) ? std::copysign(top, static_cast<long double>(got)) : got;
  const int exponent = want == 0 ? row.min_exponent : std::max(row.min_exponent, std::ilogb(want));
  return static_cast<double>(std::ldexp(std::fabs(near - want), row.precision - 1 - exponent));
}

double eval1(MathOp op, ScalarType type, double x, bool fma = true) {
  const double args[] = {x};
  return eval_math(op, type, args, fma);
}
double eval2(MathOp op, ScalarType type, double x, double y, bool fma = true) {
  const double args[] = {x, y};
  return eval_math(op, type, args, fma);
}

const std::vector<MathOp> inexact = {MathOp::exp,  MathOp::log,   MathOp::tanh, MathOp::sigmoid,
                                     MathOp::sqrt, MathOp::rsqrt, MathOp::erf,  MathOp::sin,
                                     MathOp::cos,  MathOp::log1p, MathOp::expm1};

TEST(math, rows_are_found_by_name) {
  for (const MathRow& row : math_rows()) EXPECT_EQ(find_math(row.name), &row);
  EXPECT_EQ(math_rows().size(), static_cast<size_t>(math_op_count));
  EXPECT_EQ(find_math("expp"), nullptr);
}

TEST(math, f32_within_the_bound_on_a_sample_of_all_patterns) {
  for (MathOp op : inexact) {
    for (bool fma : {true, false}) {
      double worst = 0;
      for (uint64_t i = 0; i < 1 << 18; ++i) {
        const float x = std::bit_cast<float>(static_cast<uint32_t>(i * 16381));
        worst = std::max(worst, ulp_error(ScalarType::f32, eval1(op, ScalarType::f32, x, fma), exact(op, x)));
      }
      EXPECT_LE(worst, math_row(op).ulp_f32) << math_row(op).name << (fma ? " fma" : " no fma");
    }
  }
}

TEST(math, f64_within_the_bound) {
  std::mt19937_64 random(7);
  for (MathOp op : inexact) {
    for (bool fma : {true, false}) {
      double worst = 0;
      for (int i = 0; i < 1 << 17; ++i) {
        const double unit = static_cast<double>(random() >> 11) * 0x1p-53 - 0.5;
        const double x = i % 4 == 0   ? std::bit_cast<double>(random())
                         : i % 4 == 1 ? unit * 2
                         : i % 4 == 2 ? unit * 80
                                      : unit * 1500;
        worst = std::max(worst, ulp_error(ScalarType::f64, eval1(op, ScalarType::f64, x, fma), exact(op, x)));
      }
      EXPECT_LE(worst, math_row(op).ulp_f64) << math_row(op).name << (fma ? " fma" : " no fma");
    }
  }
}

TEST(math, edges) {
  for (ScalarType type : {ScalarType::f32, ScalarType::f64}) {
    for (bool fma : {true, false}) {
      const auto at = [&](MathOp op, double x) { return eval1(op, type, x, fma); };
      EXPECT_EQ(at(MathOp::exp, 0), 1);
      EXPECT_EQ(at(MathOp::exp, -infinity), 0);
      EXPECT_EQ(at(MathOp::exp, infinity), infinity);
      EXPECT_EQ(at(MathOp::exp, 1e30), infinity);
      EXPECT_EQ(at(MathOp::exp, -1e30), 0);
      EXPECT_EQ(at(MathOp::log, 1), 0);
      EXPECT_EQ(at(MathOp::log, 0), -infinity);
      EXPECT_EQ(at(MathOp::log, -0.0), -infinity);
      EXPECT_EQ(at(MathOp::log, infinity), infinity);
      EXPECT_TRUE(std::isnan(at(MathOp::log, -1)));
      EXPECT_TRUE(std::isnan(at(MathOp::log, -infinity)));
      EXPECT_EQ(at(MathOp::tanh, infinity), 1);
      EXPECT_EQ(at(MathOp::tanh, -infinity), -1);
      EXPECT_TRUE(std::signbit(at(MathOp::tanh, -0.0)));
      EXPECT_EQ(at(MathOp::sigmoid, 0), 0.5);
      EXPECT_EQ(at(MathOp::sigmoid, -infinity), 0);
      EXPECT_EQ(at(MathOp::sigmoid, infinity), 1);
      EXPECT_EQ(at(MathOp::rsqrt, 0), infinity);
      EXPECT_EQ(at(MathOp::rsqrt, infinity), 0);
      EXPECT_TRUE(std::isnan(at(MathOp::rsqrt, -1)));
      EXPECT_TRUE(std::isnan(at(MathOp::sqrt, -1)));
      EXPECT_EQ(at(MathOp::erf, infinity), 1);
      EXPECT_EQ(at(MathOp::erf, -infinity), -1);
      EXPECT_EQ(at(MathOp::log1p, -1), -infinity);
      EXPECT_EQ(at(MathOp::log1p, infinity), infinity);
      EXPECT_TRUE(std::isnan(at(MathOp::log1p, -1.5)));
      EXPECT_EQ(at(MathOp::expm1, -infinity), -1);
      EXPECT_EQ(at(MathOp::expm1, infinity), infinity);
      EXPECT_EQ(at(MathOp::cos, 0), 1);
      EXPECT_TRUE(std::isnan(at(MathOp::sin, infinity)));
      EXPECT_TRUE(std::isnan(at(MathOp::cos, -infinity)));
      for (MathOp op : {MathOp::erf, MathOp::sin, MathOp::log1p, MathOp::expm1}) {
        EXPECT_TRUE(std::signbit(at(op, -0.0))) << math_row(op).name;
        EXPECT_FALSE(std::signbit(at(op, 0.0))) << math_row(op).name;
        if (op != MathOp::erf) EXPECT_EQ(at(op, 0x1p-120), 0x1p-120) << math_row(op).name;
      }
      for (const MathRow& row : math_rows()) {
        if (row.arity == 1) EXPECT_TRUE(std::isnan(at(row.op, nan))) << row.name;
      }
    }
  }
  // Denormal arguments and results, and the ends of the range.
  EXPECT_EQ(eval1(MathOp::exp, ScalarType::f32, -103.9720764f), 0x1p-149);
  EXPECT_EQ(eval1(MathOp::exp, ScalarType::f32, -103.9720840f), 0);
  EXPECT_TRUE(std::isfinite(eval1(MathOp::exp, ScalarType::f32, 88.7228317f)));
  EXPECT_EQ(eval1(MathOp::exp, ScalarType::f32, 88.7228394f), infinity);
  EXPECT_EQ(eval1(MathOp::tanh, ScalarType::f32, 0x1p-149), 0x1p-149);
  EXPECT_LE(ulp_error(ScalarType::f32, eval1(MathOp::log, ScalarType::f32, 0x1p-149), exact(MathOp::log, 0x1p-149L)),
            1);
  EXPECT_LE(ulp_error(ScalarType::f32, eval1(MathOp::sigmoid, ScalarType::f32, -100), exact(MathOp::sigmoid, -100)), 2);
}

TEST(math, pow_within_the_bound) {
  std::mt19937_64 random(17);
  for (ScalarType type : {ScalarType::f32, ScalarType::f64}) {
    for (bool fma : {true, false}) {
      double worst = 0;
      for (int i = 0; i < 1 << 17; ++i) {
        const double unit = static_cast<double>(random() >> 11) * 0x1p-52 - 1;
        const double range = type == ScalarType::f32 ? 110 : 750;
        double x = round_to(
            type, i % 4 == 0 ? std::bit_cast<float>(static_cast<uint32_t>(random())) : std::exp(unit * (i % 4)));
        double y =
            i % 3 == 0 ? std::round(unit * 40) : unit * range / std::max(1e-3, std::fabs(std::log(std::fabs(x))));
        if (std::isnan(x)) x = 2;
        y = round_to(type, y);
        const long double want = std::pow(static_cast<long double>(x), static_cast<long double>(y));
        const double got = eval2(MathOp::pow, type, x, y, fma);
        EXPECT_EQ(std::signbit(got) && got == got, std::signbit(want) && want == want) << x << " " << y;
        worst = std::max(worst, ulp_error(type, got, want));
      }
      EXPECT_LE(worst, math_row(MathOp::pow).ulp_f32) << scalar_type_name(type) << (fma ? " fma" : " no fma");
    }
  }
}

// Every pair of ends agrees with the C library's, whose rules are those of IEEE 754.
TEST(math, pow_at_its_ends) {
  const double ends[] = {0, 0.5, 1, 1.5, 2, 3, 0x1p24, 0x1p53, 0x1p60, 1e300, 5e-324, infinity, nan};
  for (double a : ends)
    for (double b : ends)
      for (int signs = 0; signs < 4; ++signs)
        for (ScalarType type : {ScalarType::f32, ScalarType::f64}) {
          const double x = round_to(type, signs & 1 ? -a : a), y = round_to(type, signs & 2 ? -b : b);
          const double want = std::pow(x, y), got = eval2(MathOp::pow, type, x, y);
          EXPECT_LE(ulp_error(type, got, want), 2) << x << " to " << y;
          if (want == want) EXPECT_EQ(std::signbit(got), std::signbit(want)) << x << " to " << y;
        }
}

// The reduction of large arguments, at numbers that lie close to a multiple of pi/2 and at the ends of the range.
TEST(math, sin_and_cos_of_large_arguments) {
  std::mt19937_64 random(23);
  std::vector<double> list = {6381956970095103.0 * 0x1p797, 0x1p20,  0x1p20 + 1, 1048575.75, 1e22,
                              1.7976931348623157e308,       0x1p1023};
  for (int i = 0; i < 20000; ++i)
    list.push_back(std::ldexp(1 + static_cast<double>(random() >> 12) * 0x1p-52, static_cast<int>(random() % 1020)));
  for (double x : list)
    for (bool fma : {true, false})
      for (double sign : {1.0, -1.0}) {
        const long double at = sign * x;
        EXPECT_LE(ulp_error(ScalarType::f64, eval1(MathOp::sin, ScalarType::f64, sign * x, fma), std::sin(at)), 2) << x;
        EXPECT_LE(ulp_error(ScalarType::f64, eval1(MathOp::cos, ScalarType::f64, sign * x, fma), std::cos(at)), 2) << x;
      }
}

TEST(math, exact_rows) {
  EXPECT_EQ(eval1(MathOp::round_even, ScalarType::f32, 2.5), 2);
  EXPECT_EQ(eval1(MathOp::round_even, ScalarType::f32, -3.5), -4);
  EXPECT_EQ(eval1(MathOp::round_even, ScalarType::f32, 8388609), 8388609);
  EXPECT_EQ(eval1(MathOp::floor, ScalarType::f32, -0.25), -1);
  EXPECT_EQ(eval1(MathOp::ceil, ScalarType::f64, 0.25), 1);
  EXPECT_EQ(eval1(MathOp::abs, ScalarType::bf16, -2), 2);
  EXPECT_FALSE(std::signbit(eval1(MathOp::abs, ScalarType::f32, -0.0)));
  EXPECT_EQ(eval2(MathOp::max, ScalarType::f32, 1, 2), 2);
  EXPECT_EQ(eval2(MathOp::min, ScalarType::f32, 1, 2), 1);
  for (MathOp op : {MathOp::min, MathOp::max}) {
    EXPECT_TRUE(std::isnan(eval2(op, ScalarType::f32, nan, 1)));
    EXPECT_TRUE(std::isnan(eval2(op, ScalarType::f64, 1, nan)));
  }
  EXPECT_EQ(eval2(MathOp::max, ScalarType::f32, -infinity, -3), -3);
}

TEST(math, narrow_types_compute_in_f32_and_round_once) {
  for (ScalarType type : {ScalarType::bf16, ScalarType::f16}) {
    for (double x : {-3.0, 0.5, 1.5, 4.0}) {
      EXPECT_EQ(eval1(MathOp::exp, type, x), round_to(type, eval1(MathOp::exp, ScalarType::f32, x)));
    }
  }
  EXPECT_EQ(eval1(MathOp::exp, ScalarType::f16, 12), infinity);
}

// What a type computes from arguments within their bounds lies within the bound of the result.
TEST(math, bounds_hold) {
  std::mt19937_64 random(11);
  const auto unit = [&] { return static_cast<double>(random() >> 11) * 0x1p-52 - 1; };
  for (ScalarType type : {ScalarType::f32, ScalarType::f64, ScalarType::bf16, ScalarType::f16}) {
    for (const MathRow& row : math_rows()) {
      if (row.arity != 1) continue;
      int claimed = 0;
      for (int i = 0; i < 4000; ++i) {
        const double center = unit() * std::exp(unit() * 8), radius = std::fabs(center) * (i % 4) * 1e-3;
        const double x = round_to(type, center + unit() * radius * 0.9);
        if (std::fabs(x - center) > radius && i % 4 != 0) continue;
        const Bounded argument = i % 4 == 0 ? Bounded{x, 0} : Bounded{center, radius};
        const Bounded args[] = {argument};
        const Bounded result = bounded_math(row.op, type, args);
        const double got = eval1(row.op, type, x, i & 4);
        if (std::isinf(result.bound)) continue;
        ++claimed;
        if (std::isnan(result.value)) {
          EXPECT_TRUE(std::isnan(got)) << row.name << " " << x;
        } else if (std::isinf(result.value)) {
          EXPECT_EQ(got, result.value) << row.name << " " << x;
        } else {
          EXPECT_LE(std::fabs(got - result.value), result.bound)
              << row.name << " " << scalar_type_name(type) << " " << x;
        }
      }
      EXPECT_GT(claimed, 1000) << row.name;
    }
  }
}

TEST(math, bounds_say_when_nothing_is_known) {
  const auto at = [](MathOp op, ScalarType type, double value, double bound) {
    const Bounded args[] = {{value, bound}};
    return bounded_math(op, type, args);
  };
  EXPECT_EQ(at(MathOp::log, ScalarType::f32, 1e-3, 1e-2).bound, infinity);
  EXPECT_EQ(at(MathOp::sqrt, ScalarType::f32, -1e-9, 1e-6).bound, infinity);
  EXPECT_EQ(at(MathOp::sqrt, ScalarType::f32, -1, 1e-6).bound, 0);
  EXPECT_EQ(at(MathOp::exp, ScalarType::f32, 100, 0.1).value, infinity);
  EXPECT_EQ(at(MathOp::exp, ScalarType::f32, 88.7, 1).bound, infinity);
  EXPECT_EQ(at(MathOp::floor, ScalarType::f32, 2.0, 1e-6).bound, 1);
  EXPECT_EQ(at(MathOp::floor, ScalarType::f32, 2.5, 1e-6).bound, 0);
  EXPECT_LT(at(MathOp::exp, ScalarType::f32, 1, 0).bound, 4 * 2.72 * 0x1p-23);
  const Bounded near{65519, 0};
  EXPECT_EQ(bounded_rounding(ScalarType::f16, near).bound, infinity);
  EXPECT_EQ(bounded_rounding(ScalarType::f16, Bounded{70000, 1}).value, infinity);
}

}  // namespace
}  // namespace heddle::ir
