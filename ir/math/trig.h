// sin and cos: x = (4 k + q) pi/2 + r with |r| <= pi/4 or a little more, a polynomial in r, and q says which and with which sign.
// f32 goes through f64, where the reduction takes two products and shorter polynomials suffice.
#pragma once

#include "ir/math/basic.h"
#include "ir/math/quadrant.h"

namespace heddle::ir::math {

// clang-format off
// 2/pi, and pi/2 in parts of 33 bits (and what is left), so that n times a part is exact up to n = 2^20.
struct QuadrantTable {
  double limit = 0x1p20;
  double two_over_pi = 0x1.45f306dc9c883p-1;
  double first = 0x1.921fb544p+0, second = 0x1.0b4611a6p-34, third = 0x1.3198a2ep-69, rest = 0x1.b839a252049c1p-104;
  double all_after_first = 0x1.0b4611a626331p-34;
};
inline constexpr QuadrantTable quadrant_table;
// sin(r) = r + r z s(z), cos(r) = 1 - z/2 + z^2 c(z), z = r^2 <= (1.0001 pi/4)^2.
// Of f64: errors 2^-56.35, 2^-59.63; of f32: 2^-27.97, 2^-33.01.
inline constexpr std::array<double, 6> sin_f64 = {0x1.5d8fa31c49693p-33, -0x1.ae5e59f58dd9p-26,  0x1.71de35671256cp-19,
                                                  -0x1.a01a019bfd181p-13, 0x1.111111110f7cap-7, -0x1.5555555555548p-3};
inline constexpr std::array<double, 6> cos_f64 = {-0x1.8fa465ed575e2p-37, 0x1.1ee9d7528f4b1p-29, -0x1.27e4f7ea3792ep-22,
                                                  0x1.a01a019c8390fp-16, -0x1.6c16c16c14f8ap-10, 0x1.555555555554bp-5};
inline constexpr std::array<double, 3> sin_f32 = {-0x1.99438783e5771p-13, 0x1.110739fa9cb5cp-7, -0x1.555545240a14bp-3};
inline constexpr std::array<double, 3> cos_f32 = {0x1.99eb4a78afba2p-16, -0x1.6c0c328f639e4p-10, 0x1.55554a0f97e77p-5};
// clang-format on

template <class V, class I>
struct Quadrant {
  V r;
  I q;  // in the lowest two bits
};

/// a + b as their rounded sum and the exact rest.
template <class B>
void two_sum(B& b, typename B::V x, typename B::V y, typename B::V& sum, typename B::V& rest) {
  sum = b.add(x, y);
  const auto part = b.sub(sum, x);
  rest = b.add(b.sub(x, b.sub(sum, part)), b.sub(y, part));
}

// In f64. `short_r`: r is right to 2^-36, else to the last place.
template <class B>
Quadrant<typename B::V, typename B::I> quadrant(B& b, typename B::V x, bool short_r) {
  const QuadrantTable& t = quadrant_table;
  const auto shifted = b.mad(x, b.constant(t.two_over_pi), b.constant(0x1.8p52));
  const auto n = b.sub(shifted, b.constant(0x1.8p52));
  Quadrant<typename B::V, typename B::I> out{b.mad(n, b.constant(-t.first), x), b.to_bits(shifted)};
  if (short_r) {
    out.r = b.mad(n, b.constant(-t.all_after_first), out.r);
  } else {
    typename B::V sum, rest, next, next_rest;
    two_sum(b, out.r, b.mul(n, b.constant(-t.second)), sum, rest);
    two_sum(b, sum, b.mul(n, b.constant(-t.third)), next, next_rest);
    out.r = b.add(next, b.mad(n, b.constant(-t.rest), b.add(rest, next_rest)));
  }
  b.far_quadrant(b.less(abs(b, x), b.constant(t.limit)), x, out.r, out.q);
  return out;
}

// sin(x + shift pi/2), in f64.
template <class B>
typename B::V wave(B& b, typename B::V x, int shift, bool of_f32) {
  const auto at = quadrant(b, x, of_f32);
  const auto one = b.constant(1);
  const auto z = b.mul(at.r, at.r);
  const auto s = of_f32 ? horner(b, sin_f32, z) : horner(b, sin_f64, z);
  const auto c = of_f32 ? horner(b, cos_f32, z) : horner(b, cos_f64, z);
  const auto sine = b.mad(b.mul(at.r, z), s, at.r);
  const auto cosine = b.mad(b.mul(z, z), c, b.mad(z, b.constant(-0.5), one));
  const auto q = b.iadd(at.q, b.integer(static_cast<uint64_t>(shift)));
  const auto odd = b.from_bits(b.ior(b.shift_left(q, 63), b.to_bits(one)));  // -1 where q is odd, else 1
  const auto y = b.select(b.less(odd, b.constant(0)), cosine, sine);
  const auto flip = b.iand(b.shift_left(q, 62), b.integer(sign_bit(b)));
  return b.from_bits(b.iadd(b.to_bits(y), flip));
}

template <class B>
typename B::V sin(B& b, typename B::V x) {
  auto w = b.wide();
  const auto y = b.narrow(wave(w, b.widen(x), 0, b.bits() == 32));
  return b.select(b.less(abs(b, x), b.constant(0x1p-27)), x, y);  // keeps the sign of zero
}

template <class B>
typename B::V cos(B& b, typename B::V x) {
  auto w = b.wide();
  return b.narrow(wave(w, b.widen(x), 1, b.bits() == 32));
}

}  // namespace heddle::ir::math
