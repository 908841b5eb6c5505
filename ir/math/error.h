// erf, log1p, expm1.
#pragma once

#include "ir/math/basic.h"
#include "ir/math/trig.h"

namespace heddle::ir::math {

// clang-format off
// erf(x) = x + x p(z), z = x^2. |x| <= 0.92: error 2^-26.41; |x| <= 1: error 2^-54.96.
inline constexpr std::array<double, 7> erf_f32 = {0x1.5f953cp-14, -0x1.ab105cp-11, 0x1.54df1ap-8, -0x1.b810e8p-6,
                                                  0x1.ce2e24p-4, -0x1.812744p-2, 0x1.06eba8p-3};
inline constexpr std::array<double, 12> erf_f64 = {
    -0x1.abae491cdd605p-31, 0x1.d71b0f1bfb6bp-27, -0x1.5c0726f08e1bbp-23, 0x1.b97fd3d9a31a4p-20, -0x1.f4ca4d6f40aaap-17,
    0x1.f9a2baa8ff195p-14, -0x1.c02db03dd721p-11, 0x1.565bccf92b2fbp-8, -0x1.b82ce311fa93ep-6, 0x1.ce2f21a040d16p-4,
    -0x1.812746b0379bdp-2, 0x1.06eba8214db68p-3};
// 1 - erf(x) = exp(g(x)), with the error of erf as the weight. 0.92 .. 4: error 2^-31.29; 1 .. 6: error 2^-55.15.
inline constexpr std::array<double, 8> erfc_f32 = {-0x1.61ea2ap-16, 0x1.c790e8p-12, -0x1.115acp-8, 0x1.9b8e78p-6,
                                                   -0x1.bb83e2p-4, -0x1.44460cp-1, -0x1.2127e4p+0, 0x1.6e564ap-13};
inline constexpr std::array<double, 19> erfc_f64 = {
    0x1.27752befc8725p-40, -0x1.a5e208fe9f641p-35, 0x1.19f4048b96ebfp-30, -0x1.d439862788266p-27, 0x1.0df4d3704fed1p-23,
    -0x1.c8a897d409db2p-21, 0x1.226374740ae2ap-18, -0x1.151024fcce7c6p-16, 0x1.79cefecf8bb84p-15, -0x1.2725f43a04a48p-14,
    -0x1.77f69811032afp-15, 0x1.5027e941838dbp-11, -0x1.cfbb2214b360ep-10, 0x1.261b43dca394p-12, 0x1.38939aebf25c8p-6,
    -0x1.a4da4e3f32addp-4, -0x1.45f42b4e827dep-1, -0x1.20dd562faf026p+0, -0x1.81aefe93490f9p-23};
// clang-format on

template <class B>
typename B::V erf(B& b, typename B::V x) {
  const bool narrow = b.bits() == 32;
  const auto a = abs(b, x);
  const auto z = b.mul(a, a);
  const auto small = b.mad(a, narrow ? horner(b, erf_f32, z) : horner(b, erf_f64, z), a);
  const auto top = b.min_of(b.constant(narrow ? 4 : 6), a);
  const auto rest = exp_below(b, narrow ? horner(b, erfc_f32, top) : horner(b, erfc_f64, top));
  const auto y = b.select(b.less(b.constant(narrow ? 0.92 : 1), a), b.sub(b.constant(1), rest), small);
  return with_sign(b, y, x);
}

/// u = 1 + x rounded and what it lost: log(1 + x) = log(u) + lost/u.
template <class B>
typename B::V log1p(B& b, typename B::V x) {
  typename B::V u, lost;
  two_sum(b, b.constant(1), x, u, lost);
  const auto y = log_plus(b, u, b.div(lost, u));
  return b.select(b.equal(x, b.constant(0)), x, y);
}

/// 2^n (r + 1 - 2^-n + r^2 c(r)): where n is 1 the first sum is exact.
template <class B>
typename B::V expm1(B& b, typename B::V x) {
  const ExpTable& table = exp_table(b);
  const bool narrow = b.bits() == 32;
  const auto top = b.min_of(b.constant(table.high), b.max_of(b.constant(narrow ? -18 : -40), x));
  const auto at = reduce(b, top);
  const auto square = b.mul(at.r, at.r);
  // 2^-n, past n = 100 without weight. The low bits of n + round hold n + shift.
  const auto few = b.add(b.min_of(b.constant(100), at.n), b.constant(table.round));
  const auto bias = b.integer(static_cast<uint64_t>(table.shift + table.bias) << table.fraction);
  const auto power = b.from_bits(b.isub(bias, b.shift_left(b.to_bits(few), table.fraction)));
  const auto linear = b.add(at.r, b.sub(b.constant(1), power));
  const auto sum = b.mad(square, horner(b, table.c, at.r, table.count), linear);
  const auto y = scaled(b, sum, at);
  return with_sign(b, abs(b, y), x);
}

}  // namespace heddle::ir::math
