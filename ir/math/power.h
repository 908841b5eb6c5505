// pow. f32 goes through f64, whose log and exp are exact enough; f64 carries y log|x| as a sum of two numbers.
#pragma once

#include "ir/math/basic.h"
#include "ir/math/trig.h"

namespace heddle::ir::math {

// clang-format off
// log((1 + s)/(1 - s)) = 2 s + s z (2/3 + z q(z)), z = s^2 <= (3 - 2 sqrt(2))^2; error 2^-65.34.
inline constexpr std::array<double, 7> log_rest = {0x1.0e43c8eb251b3p-3, 0x1.0f7fcbf9a717cp-3, 0x1.3b1eed450b2fcp-3,
                                                   0x1.745ce9dccb8f6p-3, 0x1.c71c722d78db6p-3, 0x1.2492492457c9p-2,
                                                   0x1.9999999999b3p-2};
inline constexpr double two_thirds = 0x1.5555555555555p-1, two_thirds_low = 0x1.5555555555555p-55;
// clang-format on

/// A number as a sum of two.
template <class V>
struct Sum2 {
  V high, low;
};

/// The exact product. Without FMA by halves of 26 and 27 bits.
template <class B>
Sum2<typename B::V> two_product(B& b, typename B::V x, typename B::V y) {
  const auto p = b.mul(x, y);
  if (b.fma()) return {p, b.mad(x, y, b.sub(b.constant(0), p))};
  const auto mask = b.integer(~((uint64_t{1} << 27) - 1));
  const auto xh = b.from_bits(b.iand(b.to_bits(x), mask)), yh = b.from_bits(b.iand(b.to_bits(y), mask));
  const auto xl = b.sub(x, xh), yl = b.sub(y, yh);
  const auto cross = b.add(b.mul(xh, yl), b.mul(xl, yh));
  return {p, b.add(b.add(b.sub(b.mul(xh, yh), p), cross), b.mul(xl, yl))};
}

/// log(x) of 0 < x < infinity in f64, right to 2^-64 of itself.
template <class B>
Sum2<typename B::V> log_sum(B& b, typename B::V x) {
  const LogTable& table = log_table_f64;
  const auto two = b.constant(2);
  const auto [k, f] = split(b, table, x);
  // s = f/(2 + f)
  const auto d = b.add(two, f);
  const auto d_low = b.sub(f, b.sub(d, two));
  const auto s = b.div(f, d);
  const auto sd = two_product(b, s, d);
  const auto rest = b.sub(b.sub(b.sub(f, sd.high), sd.low), b.mul(s, d_low));
  const auto s_low = b.div(rest, d);
  // u = 2/3 + z q(z), c = z u, a = s c
  auto z = two_product(b, s, s);
  z.low = b.mad(b.mul(two, s), s_low, z.low);
  const auto q = b.mul(z.high, horner(b, log_rest, z.high));
  const auto third = b.constant(two_thirds);
  const auto u = b.add(third, q);
  const auto u_low = b.add(b.add(b.sub(third, u), q), b.constant(two_thirds_low));
  auto c = two_product(b, z.high, u);
  c.low = b.add(c.low, b.mad(z.high, u_low, b.mul(z.low, u)));
  auto a = two_product(b, s, c.high);
  a.low = b.add(a.low, b.mad(s, c.low, b.mul(s_low, c.high)));
  // 2 s + a, then + k log(2), each with the larger term first
  const auto s2 = b.mul(two, s);
  const auto h = b.add(s2, a.high);
  const auto h_low = b.add(b.add(b.sub(s2, h), a.high), b.mad(two, s_low, a.low));
  const auto k_ln2 = b.mul(k, b.constant(table.ln2_high));
  const auto high = b.add(k_ln2, h);
  const auto low = b.add(b.add(b.sub(k_ln2, high), h), b.mad(k, b.constant(table.ln2_low), h_low));
  return {high, low};
}

// |x|^y in f64; x = 0, infinity and NaN by the logarithm's ends.
template <class B>
typename B::V pow_of_magnitude(B& b, typename B::V x, typename B::V y, bool of_f32) {
  const auto zero = b.constant(0);
  if (of_f32) return exp(b, b.mul(y, log(b, x)));
  const auto inside = b.both(b.less(zero, x), b.less(x, b.constant(HUGE_VAL)));
  const auto l = log_sum(b, x);
  const auto end = b.select(b.equal(x, zero), b.constant(-HUGE_VAL), x);
  const auto high = b.select(inside, l.high, end), low = b.select(inside, l.low, zero);
  const auto p = two_product(b, y, high);
  // Past the range of exp only the sign of the product counts, and its rest may be NaN.
  const auto bounded = b.less(abs(b, p.high), b.constant(1000));
  const auto rest = b.select(bounded, b.mad(y, low, p.low), zero);
  return exp_of_sum(b, b.min_of(b.constant(exp_table(b).high), p.high), rest);
}

template <class B>
typename B::V pow(B& b, typename B::V x, typename B::V y) {
  auto w = b.wide();
  const auto a = abs(b, x), one = b.constant(1), zero = b.constant(0), infinity = b.constant(HUGE_VAL);
  auto out = b.narrow(pow_of_magnitude(w, b.widen(a), b.widen(y), b.bits() == 32));
  const auto half = b.mul(y, b.constant(0.5));
  const auto whole = b.equal(b.round_even(y), y);
  const auto odd = b.both(whole, b.less(b.floor(half), half));
  const auto negative = b.less(with_sign(b, one, x), zero);
  out = b.select(b.both(negative, odd), b.from_bits(b.ior(b.to_bits(out), b.integer(sign_bit(b)))), out);
  const auto below = b.both(b.less(x, zero), b.less(b.constant(-HUGE_VAL), x));
  const auto nan = b.constant(std::bit_cast<double>(uint64_t{0x7ff8} << 48));
  out = b.select(below, b.select(whole, out, nan), out);
  out = b.select(b.both(b.equal(a, one), b.equal(abs(b, y), infinity)), one, out);
  out = b.select(b.equal(x, one), one, out);
  return b.select(b.equal(y, zero), one, out);
}

}  // namespace heddle::ir::math
