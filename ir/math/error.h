// erf, log1p, expm1.
#pragma once

#include "ir/math/basic.h"
#include "ir/math/trig.h"

namespace heddle::ir::math {

// clang-format off
// f32: erf(k step + r) = p_k(r) with |r| <= step/2, of degree 5, a column for each k, highest power first; of k = 0 without the x in
// x + x q(x). Error 1.6 ulp at most (k = 1), else 1.1, roundings included.
inline constexpr double erf_step = 69.0 / 256;
inline constexpr std::array<std::array<double, 16>, 6> erf_f32 = {{
    {0x1.c5ddcep-4, 0x1.36f176p-4, -0x1.47cbc2p-9, -0x1.f1ecbep-5, -0x1.0a398p-4, -0x1.18dd98p-5,
     -0x1.880ab8p-9, 0x1.7c9172p-7, 0x1.8ba964p-7, 0x1.e6d242p-8, 0x1.b86206p-9,
     0x1.393e0cp-10, 0x1.69131cp-12, 0x1.5775b2p-14, 0x1.10427ap-16, 0x1.72e0e6p-9},
    {0x1.523e38p-12, 0x1.114186p-3, 0x1.74f114p-3, 0x1.1235bcp-3, 0x1.643fdep-5, -0x1.aa93b2p-6,
     -0x1.977bd8p-5, -0x1.50af9p-5, -0x1.8bc0e4p-6, -0x1.6cbae4p-7, -0x1.0ab394p-8,
     -0x1.43fab4p-10, 0x1.c54d9ap-16, 0x1.a836d8p-14, -0x1.3aa3fp-11, 0x1.48d0dp-10},
    {-0x1.812beep-2, -0x1.3226b8p-2, -0x1.e2ada6p-4, 0x1.ecf10ap-5, 0x1.3f23e4p-3, 0x1.49cd66p-3,
     0x1.dcbff4p-4, 0x1.0c313cp-4, 0x1.e9485ep-6, 0x1.714d46p-7, 0x1.d2bff4p-9,
     0x1.f19bfcp-11, 0x1.c1ca5ap-13, 0x1.59f2ccp-15, 0x1.c60a04p-18, 0x1.c6aee8p-13},
    {0x1.604f6ep-22, -0x1.219a44p-2, -0x1.d1c8eap-2, -0x1.e5e47p-2, -0x1.859c16p-2, -0x1.fa850cp-3,
     -0x1.1158cap-3, -0x1.f02fbp-5, -0x1.7d7a2cp-6, -0x1.f3335ep-8, -0x1.1718dap-9,
     -0x1.0b1f44p-11, -0x1.d083d6p-14, -0x1.686a8cp-16, 0x1.0a02b8p-17, 0x1.259cb2p-16},
    {0x1.06eba8p-3, 0x1.0c9fcp+0, 0x1.b00a4cp-1, 0x1.2c7354p-1, 0x1.695e8cp-2, 0x1.77dcd8p-3,
     0x1.5211ecp-4, 0x1.06f4d2p-5, 0x1.61beaep-7, 0x1.9b8662p-9, 0x1.9e0058p-11,
     0x1.682b6p-13, 0x1.0ef6c4p-15, 0x1.6091fcp-18, 0x1.8cb738p-21, 0x1.ad3ba4p-21},
    {0, 0x1.300d7ap-2, 0x1.1bb95cp-1, 0x1.7e8e4p-1, 0x1.bece0ep-1, 0x1.e2fc98p-1,
     0x1.f4a31ep-1, 0x1.fc1888p-1, 0x1.fed374p-1, 0x1.ffb10ep-1, 0x1.ffedeap-1,
     0x1.fffc64p-1, 0x1.ffff6p-1, 0x1.ffffe8p-1, 0x1.fffffcp-1, 1}}};
// f64: erf(x) = x + x p(z), z = x^2. |x| <= 1: error 2^-54.96.
inline constexpr std::array<double, 12> erf_f64 = {
    -0x1.abae491cdd605p-31, 0x1.d71b0f1bfb6bp-27, -0x1.5c0726f08e1bbp-23, 0x1.b97fd3d9a31a4p-20, -0x1.f4ca4d6f40aaap-17,
    0x1.f9a2baa8ff195p-14, -0x1.c02db03dd721p-11, 0x1.565bccf92b2fbp-8, -0x1.b82ce311fa93ep-6, 0x1.ce2f21a040d16p-4,
    -0x1.812746b0379bdp-2, 0x1.06eba8214db68p-3};
// f64: 1 - erf(x) = exp(g(x)), with the error of erf as the weight. 1 .. 6: error 2^-55.15.
inline constexpr std::array<double, 19> erfc_f64 = {
    0x1.27752befc8725p-40, -0x1.a5e208fe9f641p-35, 0x1.19f4048b96ebfp-30, -0x1.d439862788266p-27, 0x1.0df4d3704fed1p-23,
    -0x1.c8a897d409db2p-21, 0x1.226374740ae2ap-18, -0x1.151024fcce7c6p-16, 0x1.79cefecf8bb84p-15, -0x1.2725f43a04a48p-14,
    -0x1.77f69811032afp-15, 0x1.5027e941838dbp-11, -0x1.cfbb2214b360ep-10, 0x1.261b43dca394p-12, 0x1.38939aebf25c8p-6,
    -0x1.a4da4e3f32addp-4, -0x1.45f42b4e827dep-1, -0x1.20dd562faf026p+0, -0x1.81aefe93490f9p-23};
// clang-format on

/// By pieces: from 4 on it is 1 in the type.
template <class B>
typename B::V erf_by_pieces(B& b, typename B::V x) {
  const auto a = b.min_of(b.constant(4), abs(b, x));
  const auto round = b.constant(0x1.8p23);
  const auto t = b.mad(a, b.constant(0x1.dae608p+1), round);  // 1 / erf_step; the low bits hold the piece
  const auto n = b.sub(t, round), r = b.mad(n, b.constant(-erf_step), a);
  const auto piece = b.to_bits(t);
  auto p = b.lookup(erf_f32[0], piece);
  for (size_t i = 1; i < 5; ++i) p = b.mad(p, r, b.lookup(erf_f32[i], piece));
  const auto first = b.select(b.equal(n, b.constant(0)), a, b.lookup(erf_f32[5], piece));
  return with_sign(b, b.mad(p, r, first), x);
}

template <class B>
typename B::V erf(B& b, typename B::V x) {
  if (b.bits() == 32) return erf_by_pieces(b, x);
  const auto a = abs(b, x);
  const auto z = b.mul(a, a);
  const auto small = b.mad(a, horner(b, erf_f64, z), a);
  const auto rest = exp_below(b, horner(b, erfc_f64, b.min_of(b.constant(6), a)));
  const auto y = b.select(b.less(b.constant(1), a), b.sub(b.constant(1), rest), small);
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
