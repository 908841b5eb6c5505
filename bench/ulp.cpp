// Measures the error of the math rows in units in the last place, and their speed: exp in f32 over all 2^32 arguments, the rest
// over a dense sample of bit patterns with all edges. Fails where a row's bound (ir/math.cpp) does not hold, or where the forms
// of a row differ in a bit. The table in docs/numerics.md is its output.
//
//   ulp              the table (half a minute)
//   ulp --all        every f32 row over all arguments (some minutes a row)
//   ulp --all log    one row
//
// Built for the machine it runs on; without AVX-512 or FMA it measures the forms that machine has.
#include <atomic>
#include <bit>
#include <chrono>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/vector_builder.h"
#include "ir/math.h"

namespace heddle::bench {
namespace {

using ir::MathOp;

// The next wider type, its functions being within a small part of the narrow type's ulp.
template <class F>
using Wide = std::conditional_t<sizeof(F) == 4, double, long double>;
template <class F>
using Bits = std::conditional_t<sizeof(F) == 4, uint32_t, uint64_t>;

template <class W>
W exact(MathOp op, W x, W y) {
  switch (op) {
    case MathOp::erf: return std::erf(x);
    case MathOp::sin: return std::sin(x);
    case MathOp::cos: return std::cos(x);
    case MathOp::pow: return std::pow(x, y);
    case MathOp::log1p: return std::log1p(x);
    case MathOp::expm1: return std::expm1(x);
    case MathOp::exp:
      return std::fabs(x) < W(0x1p-32) ? 1 + x : std::exp(x);  // half of all arguments: the sum is exact enough
    case MathOp::log: return std::log(x);
    case MathOp::tanh: return std::tanh(x);
    case MathOp::sigmoid: {
      const W e = std::exp(-std::fabs(x));
      return (x < 0 ? e : W(1)) / (1 + e);
    }
    case MathOp::sqrt: return std::sqrt(x);
    case MathOp::rsqrt: return 1 / std::sqrt(x);
    default: return x;
  }
}

/// |got - want| in ulps of F at `want`; infinity counts as the next power of two after the greatest number.
template <class F>
double ulp_error(F got, Wide<F> want) {
  using Limits = std::numeric_limits<F>;
  if (std::isnan(want) || std::isnan(got)) return std::isnan(want) && std::isnan(got) ? 0 : HUGE_VAL;
  const Wide<F> top = 2 * static_cast<Wide<F>>(std::ldexp(F(1), Limits::max_exponent - 1));
  Wide<F> near = got;
  if (std::isinf(got)) near = std::copysign(top, near);
  if (std::fabs(want) > top) want = std::copysign(top, want);
  int exponent = Limits::min_exponent - 1;
  if constexpr (sizeof(F) == 4) {
    exponent = std::max(exponent, static_cast<int>((std::bit_cast<uint64_t>(want) >> 52) & 0x7ff) - 1023);
    const double per_ulp = std::bit_cast<double>(static_cast<uint64_t>(1023 - (exponent - Limits::digits + 1)) << 52);
    return std::fabs(near - want) * per_ulp;
  } else {
    if (want != 0) exponent = std::max(exponent, std::ilogb(want));
    return static_cast<double>(std::ldexp(std::fabs(near - want), Limits::digits - 1 - exponent));
  }
}

template <class F>
struct Worst {
  double error = 0;
  F at = 0;
  uint64_t mismatches = 0;  ///< lanes whose bits differ from the scalar form's, NaN aside
  uint64_t count = 0;
  void merge(const Worst& other) {
    if (other.error > error) error = other.error, at = other.at;
    mismatches += other.mismatches;
    count += other.count;
  }
};

template <class F>
bool same_bits(F x, F y) {
  return std::bit_cast<Bits<F>>(x) == std::bit_cast<Bits<F>>(y) || (std::isnan(x) && std::isnan(y));
}

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif
#if defined(__FMA__)
constexpr bool native_fma = true;
#else
constexpr bool native_fma = false;
#endif

template <class F, bool fma, bool scalef>
using Builder = VectorBuilder<F, vector_bytes / static_cast<int>(sizeof(F)), fma, scalef>;

/// Arguments from `x` and, of pow, `second`; results to `y`.
template <class F, bool fma, bool scalef>
void apply_block(MathOp op, const F* x, const F* second, F* y, size_t count) {
  using B = Builder<F, fma, scalef>;
  constexpr size_t lanes = vector_bytes / sizeof(F);
  B b;
  const auto run = [&](auto row) {
    for (size_t i = 0; i < count; i += lanes) {
      typename B::V in;
      std::memcpy(&in, x + i, sizeof in);
      const typename B::V out = row(in);
      std::memcpy(y + i, &out, sizeof out);
    }
  };
  switch (op) {
    case MathOp::exp: return run([&](auto v) { return ir::math::exp(b, v); });
    case MathOp::log: return run([&](auto v) { return ir::math::log(b, v); });
    case MathOp::tanh: return run([&](auto v) { return ir::math::tanh(b, v); });
    case MathOp::sigmoid: return run([&](auto v) { return ir::math::sigmoid(b, v); });
    case MathOp::sqrt: return run([&](auto v) { return b.sqrt(v); });
    case MathOp::rsqrt: return run([&](auto v) { return ir::math::rsqrt(b, v); });
    case MathOp::erf: return run([&](auto v) { return ir::math::erf(b, v); });
    case MathOp::sin: return run([&](auto v) { return ir::math::sin(b, v); });
    case MathOp::cos: return run([&](auto v) { return ir::math::cos(b, v); });
    case MathOp::log1p: return run([&](auto v) { return ir::math::log1p(b, v); });
    case MathOp::expm1: return run([&](auto v) { return ir::math::expm1(b, v); });
    case MathOp::pow:
      for (size_t i = 0; i < count; i += lanes) {
        typename B::V v, power;
        std::memcpy(&v, x + i, sizeof v);
        std::memcpy(&power, second + i, sizeof power);
        const typename B::V out = ir::math::pow(b, v, power);
        std::memcpy(y + i, &out, sizeof out);
      }
      return;
    default: return;
  }
}

/// The argument of rank `i`: with stride 1 all of f32, else a dense sample of bit patterns, in f64 three quarters of it in intervals
/// around 0.
template <class F>
F argument(uint64_t i, uint64_t stride) {
  if constexpr (sizeof(F) == 4) {
    return std::bit_cast<F>(static_cast<uint32_t>(i * stride));
  } else {
    const uint64_t mixed = (i + 1) * 0x9e3779b97f4a7c15u;
    if (i % 4 == 0) return std::bit_cast<F>(mixed ^ (mixed >> 31));
    const F unit = static_cast<F>(mixed >> 11) * F(0x1p-53);
    if (i % 4 == 1) return (unit - F(0.5)) * 4;
    if (i % 4 == 2) return (unit - F(0.5)) * 80;
    return (unit - F(0.5)) * 1500;
  }
}

/// The exponent of rank `i` for x: half of them so that the power is a number of ordinary size, the rest of any bits, or whole.
template <class F>
F exponent_for(F x, uint64_t i) {
  uint64_t mixed = (i + 7) * 0xd1342543de82ef95u;
  mixed = (mixed ^ (mixed >> 29)) * 0x9e3779b97f4a7c15u;
  if (i % 4 == 0)
    return sizeof(F) == 4 ? static_cast<F>(std::bit_cast<float>(static_cast<uint32_t>(mixed >> 32)))
                          : static_cast<F>(std::bit_cast<double>(mixed));
  if (i % 4 == 1) return static_cast<F>(static_cast<int64_t>(mixed >> 58) - 32);
  const double range = sizeof(F) == 4 ? 110 : 750, log = std::log(std::fabs(static_cast<double>(x)));
  const double unit = (static_cast<double>(mixed >> 11) * 0x1p-53 - 0.5) * 2;
  return static_cast<F>(unit * range / (std::isfinite(log) && log != 0 ? log : 1));
}

template <class F, bool fma, bool scalef>
Worst<F> measure_range(MathOp op, uint64_t begin, uint64_t end, uint64_t stride) {
  constexpr size_t block = 1024;
  alignas(64) F x[block], second[block], y[block];
  Worst<F> worst;
  ir::math::ScalarBuilder<F> scalar{fma};
  for (uint64_t start = begin; start < end; start += block) {
    for (size_t i = 0; i < block; ++i) {
      x[i] = argument<F>(start + i, stride);
      if (op == MathOp::pow && i % 4 > 1) x[i] = std::fabs(x[i]);
      second[i] = op == MathOp::pow ? exponent_for(x[i], start + i) : x[i];
    }
    apply_block<F, fma, scalef>(op, x, second, y, block);
    for (size_t i = 0; i < block; ++i) {
      const double error = ulp_error<F>(y[i], exact<Wide<F>>(op, x[i], second[i]));
      if (!(error <= worst.error)) worst.error = error, worst.at = x[i];
    }
    for (size_t i = (start / block) % 16; i < block; i += 16) {  // the scalar form is slow: one argument in sixteen
      if (!same_bits(y[i], ir::math::apply(scalar, op, x[i], second[i]))) ++worst.mismatches;
    }
    worst.count += block;
  }
  return worst;
}

/// Every pair of the interesting bases and exponents.
template <class F>
void pairs(std::vector<F>& x, std::vector<F>& y) {
  using Limits = std::numeric_limits<F>;
  std::vector<F> list = {0,
                         F(0.5),
                         1,
                         F(1.5),
                         2,
                         3,
                         F(1) + Limits::epsilon(),
                         F(1) - Limits::epsilon() / 2,
                         10,
                         F(0.1),
                         Limits::max(),
                         Limits::min(),
                         Limits::denorm_min(),
                         Limits::infinity(),
                         Limits::quiet_NaN(),
                         F(0x1p24),
                         F(0x1p53),
                         F(0x1p60),
                         F(16777215),
                         F(127.5),
                         F(1023),
                         F(1e-5)};
  const size_t positive = list.size();
  for (size_t i = 0; i < positive; ++i) list.push_back(-list[i]);
  x.clear(), y.clear();
  for (F a : list)
    for (F b : list) x.push_back(a), y.push_back(b);
  while (x.size() % (vector_bytes / sizeof(F)) != 0) x.push_back(1), y.push_back(1);
}

template <class F, bool fma, bool scalef>
Worst<F> measure_edges(MathOp op) {
  std::vector<F> edges;
  for (double power = -1100; power <= 1100; ++power) {
    for (double part : {1.0, 1.2345678, 1.4142135, 1.4142137, 1.9999999})
      edges.push_back(static_cast<F>(std::exp2(power) * part));
  }
  for (double x : {0.0,
                   0.5,
                   9.0,
                   9.01,
                   19.06,
                   87.33,
                   88.72284,
                   88.73,
                   103.97,
                   104.0,
                   708.39,
                   709.782712893384,
                   745.13,
                   745.14,
                   1e30,
                   0.92,
                   1.0,
                   1.5707963267948966,
                   3.141592653589793,
                   6.283185307179586,
                   4.0,
                   5.9,
                   6.0,
                   1048575.9,
                   1048576.0,
                   1048577.0,
                   5.0e8,
                   1e22,
                   6381956970095103.0 * 0x1p797,
                   16367173.0 * 0x1p72})
    edges.push_back(static_cast<F>(x));
  edges.push_back(std::numeric_limits<F>::infinity());
  edges.push_back(std::numeric_limits<F>::quiet_NaN());
  const size_t count = edges.size();
  for (size_t i = 0; i < count; ++i) edges.push_back(-edges[i]);
  while (edges.size() % (vector_bytes / sizeof(F)) != 0) edges.push_back(1);
  std::vector<F> got(edges.size()), second = edges;
  if (op == MathOp::pow) pairs(edges, second);
  got.resize(edges.size());
  apply_block<F, fma, scalef>(op, edges.data(), second.data(), got.data(), edges.size());
  Worst<F> worst;
  ir::math::ScalarBuilder<F> scalar{fma};
  for (size_t i = 0; i < edges.size(); ++i) {
    const double error = ulp_error<F>(got[i], exact<Wide<F>>(op, edges[i], second[i]));
    if (!(error <= worst.error)) worst.error = error, worst.at = edges[i];
    if (!same_bits(got[i], ir::math::apply(scalar, op, edges[i], second[i]))) ++worst.mismatches;
  }
  return worst;
}

/// Arguments a second and core, over a buffer in the first cache with ordinary arguments.
template <class F, bool fma, bool scalef>
double speed(MathOp op) {
  constexpr size_t count = 2048;
  alignas(64) static thread_local F x[count], y[count];
  for (size_t i = 0; i < count; ++i)
    x[i] = static_cast<F>((i * 37 % count) * (8.0 / count) + 0.01) * (op == MathOp::exp ? F(-1) : F(1));
  double best = 0;
  for (int round = 0; round < 7; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 400; ++i) apply_block<F, fma, scalef>(op, x, x, y, count);
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    best = std::max(best, 400.0 * count / passed.count());
  }
  return best;
}

template <class F, bool fma, bool scalef>
bool measure(MathOp op, const char* form, uint64_t count, uint64_t stride) {
  const unsigned threads = std::max(1u, std::min(2u, std::thread::hardware_concurrency()));
  const double rate = speed<F, fma, scalef>(op);
  const auto start = std::chrono::steady_clock::now();
  std::vector<Worst<F>> parts(threads);
  std::vector<std::thread> pool;
  for (unsigned t = 0; t < threads; ++t) {
    pool.emplace_back([&, t] {
      parts[t] = measure_range<F, fma, scalef>(op, count / threads * t, count / threads * (t + 1), stride);
    });
  }
  for (std::thread& thread : pool) thread.join();
  Worst<F> worst = measure_edges<F, fma, scalef>(op);
  for (const Worst<F>& part : parts) worst.merge(part);
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  const ir::MathRow& row = ir::math_row(op);
  const double bound = sizeof(F) == 4 ? row.ulp_f32 : row.ulp_f64;
  const bool good = worst.error <= bound && worst.mismatches == 0;
  std::printf("| %s | %s | %s | %" PRIu64 "%s | %.3f | %a | %.1f | %.2f | %s |\n", row.name.data(),
              sizeof(F) == 4 ? "f32" : "f64", form, worst.count, worst.count == uint64_t{1} << 32 ? " (all)" : "",
              worst.error, static_cast<double>(worst.at), bound, rate * 1e-9,
              worst.mismatches ? "BITS DIFFER"
              : good           ? "ok"
                               : "PAST THE BOUND");
  std::fflush(stdout);
  std::fprintf(stderr, "  %s: %.1f s\n", row.name.data(), passed.count());
  return good;
}

bool measure_all(bool all, std::string_view only) {
  bool good = true, any = false;
  std::printf(
      "| row | type | form | arguments | worst, ulp | at | bound | G/s, one core | "
      "|\n|---|---|---|---|---|---|---|---|---|\n");
  constexpr uint64_t every = uint64_t{1} << 32;
  for (MathOp op : {MathOp::exp, MathOp::log, MathOp::tanh, MathOp::sigmoid, MathOp::sqrt, MathOp::rsqrt, MathOp::erf,
                    MathOp::sin, MathOp::cos, MathOp::pow, MathOp::log1p, MathOp::expm1}) {
    if (!only.empty() && ir::math_row(op).name != only) continue;
    any = true;
    const bool full = all || op == MathOp::exp;
    // 63 is odd, so the products are distinct and run over all of the 2^32 patterns' range.
    const uint64_t count = full ? every : every / 64, stride = full ? 1 : 63;
    const bool scales =
        vector_bytes == 64 && (op == MathOp::exp || op == MathOp::sigmoid || op == MathOp::erf || op == MathOp::expm1);
    if (native_fma) {
      if (scales) good &= measure<float, native_fma, true>(op, "fma, scalef", count, stride);
      // The two forms with FMA agree in every bit, so the second needs no full run.
      const bool again = scales && !all;
      good &= measure<float, native_fma, false>(op, "fma", again ? every / 64 : count, again ? 63 : stride);
      if (scales) good &= measure<double, native_fma, true>(op, "fma, scalef", 1 << 22, 1);
      good &= measure<double, native_fma, false>(op, "fma", 1 << 22, 1);
    }
    good &= measure<float, false, false>(op, "no fma", count, stride);
    good &= measure<double, false, false>(op, "no fma", 1 << 22, 1);
  }
  if (!any) std::fprintf(stderr, "no row `%.*s`\n", static_cast<int>(only.size()), only.data());
  return good && any;
}

}  // namespace
}  // namespace heddle::bench

int main(int argc, char** argv) {
  const bool all = argc > 1 && std::string_view(argv[1]) == "--all";
  const std::string_view only = argc > 1 + all ? argv[1 + all] : "";
  return heddle::bench::measure_all(all, only) ? 0 : 1;
}
