// exp and what is made of it, log, and the parts that other rows share. The builder B is described in ir/math.h.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace heddle::ir::math {

struct ExpTable {
  double log2e, ln2_high, ln2_low;  // ln2_high is short: n * ln2_high is exact
  double round;  // 1.5 * 2^(precision - 1) + shift: adding it rounds to an integer, kept in the low bits
  double low, zero_below, high;  // up to zero_below the result rounds to 0, past high to infinity; low: n = -shift
  int shift, bias, fraction;     // shift = 2 * bias keeps the low bits from being negative
  int count;
  std::array<double, 10> c;  // exp(r) = 1 + r + r^2 (c[count-1] + ... + c[0] r^(count-1)), highest power first
};
// clang-format off
// |r| <= 1.0001 ln(2)/2; error 2^-27.97.
inline constexpr ExpTable exp_f32 = {
    .log2e = 0x1.715476p0, .ln2_high = 0x1.62e4p-1, .ln2_low = 0x1.7f7d1cp-20,
    .round = 0x1.8p23 + 254,
    .low = -176.0, .zero_below = -104.0, .high = 89.0,
    .shift = 254, .bias = 127, .fraction = 23,
    .count = 5,
    .c = {0x1.6a242ep-10, 0x1.1239e2p-7, 0x1.5558f2p-5, 0x1.555492p-3, 0x1.fffffcp-2}};
// |r| <= 1.0001 ln(2)/2; error 2^-56.36.
inline constexpr ExpTable exp_f64 = {
    .log2e = 0x1.71547652b82fep0, .ln2_high = 0x1.62e42feep-1, .ln2_low = 0x1.a39ef35793c76p-33,
    .round = 0x1.8p52 + 2046,
    .low = -1418.0, .zero_below = -745.5, .high = 710.0,
    .shift = 2046, .bias = 1023, .fraction = 52,
    .count = 10,
    .c = {0x1.ad7f9ca254182p-26, 0x1.28ad72a6b6dcep-22, 0x1.71df2535a4beap-19, 0x1.a0199a0c944bdp-16, 0x1.a01a012a64523p-13,
          0x1.6c16c1842a00bp-10, 0x1.1111111127bc1p-7, 0x1.555555555087dp-5, 0x1.55555555554fap-3, 0x1.000000000000ap-1}};

struct LogTable {
  double ln2_high, ln2_low;
  uint64_t sqrt_half, one;  // bits of sqrt(1/2) and 1
  uint64_t integer_bits;    // bits of 2^(precision - 1): or-ed to a small integer they make that plus it
  int fraction, bias;
  double least_normal, widen;  // denormals are multiplied by widen = 2^fraction first
};
inline constexpr LogTable log_table_f32 = {
    .ln2_high = 0x1.62e4p-1, .ln2_low = 0x1.7f7d1cp-20,
    .sqrt_half = 0x3f3504f3, .one = 0x3f800000, .integer_bits = 0x4b000000,
    .fraction = 23, .bias = 127,
    .least_normal = 0x1p-126, .widen = 0x1p23};
inline constexpr LogTable log_table_f64 = {
    .ln2_high = 0x1.62e42feep-1, .ln2_low = 0x1.a39ef35793c76p-33,
    .sqrt_half = 0x3fe6a09e667f3bcd, .one = 0x3ff0000000000000, .integer_bits = 0x4330000000000000,
    .fraction = 52, .bias = 1023,
    .least_normal = 0x1p-1022, .widen = 0x1p52};
// log(1 + f) = f + f^2 (-1/2 + f q(f)), f in sqrt(1/2) - 1 .. sqrt(2) - 1; error 2^-27.22.
inline constexpr std::array<double, 8> log_f32 = {-0x1.38b5bep-4, 0x1.055b6p-3,  -0x1.0d8532p-3, 0x1.22da1ep-3,
                                                  -0x1.547246p-3, 0x1.99a008p-3, -0x1.000226p-2, 0x1.555554p-2};
// log((1 + s)/(1 - s)) = 2 s + s z q(z), z = s^2 <= (3 - 2 sqrt(2))^2; error 2^-57.89.
inline constexpr std::array<double, 7> log_f64 = {0x1.2f062fac1e8afp-3, 0x1.39a1a76f732a9p-3, 0x1.74663f9da123bp-3,
                                                  0x1.c71c52061d32bp-3, 0x1.24924941f4e27p-2, 0x1.999999997fd79p-2,
                                                  0x1.5555555555592p-1};

// tanh(x) = x + x z q(z), z = x^2. |x| <= 0.625: error 2^-26.63; |x| <= 0.7: error 2^-56.76.
inline constexpr std::array<double, 5> tanh_f32 = {-0x1.75ddb2p-8, 0x1.5225b8p-6, -0x1.b83c38p-5, 0x1.110726p-3,
                                                   -0x1.555532p-2};
inline constexpr std::array<double, 12> tanh_f64 = {
    0x1.421c1dd33ff81p-18, -0x1.c617d2751a77dp-16, 0x1.719d522d853f6p-14, -0x1.ec7d18538112cp-13,
    0x1.3495a09db35cfp-11, -0x1.7d8c90ac9bca4p-10, 0x1.d6d1f8bba3c61p-9,  -0x1.226e2892a9c98p-7,
    0x1.664f481139865p-6,  -0x1.ba1ba1b7cb6e4p-5,  0x1.111111110e087p-3,  -0x1.5555555555529p-2};
// clang-format on

template <class B>
constexpr const ExpTable& exp_table(const B& b) {
  return b.bits() == 32 ? exp_f32 : exp_f64;
}
template <class B>
constexpr uint64_t sign_bit(const B& b) {
  return uint64_t{1} << (b.bits() - 1);
}

template <class B, size_t count>
typename B::V horner(B& b, const std::array<double, count>& c, typename B::V x, int used = count) {
  typename B::V sum = b.constant(c[0]);
  for (int i = 1; i < used; ++i) sum = b.mad(sum, x, b.constant(c[static_cast<size_t>(i)]));
  return sum;
}

template <class B>
typename B::V abs(B& b, typename B::V x) {
  return b.from_bits(b.iand(b.to_bits(x), b.integer(sign_bit(b) - 1)));
}

/// The magnitude of `x`, which is not negative, with the sign of `sign`.
template <class B>
typename B::V with_sign(B& b, typename B::V x, typename B::V sign) {
  return b.from_bits(b.ior(b.to_bits(x), b.iand(b.to_bits(sign), b.integer(sign_bit(b)))));
}

/// x = n ln(2) + r with |r| about ln(2)/2 at most; `t` holds n + shift in its low bits.
template <class V>
struct Reduced {
  V t, n, r;
};
template <class B>
Reduced<typename B::V> reduce(B& b, typename B::V x) {
  const ExpTable& table = exp_table(b);
  const auto t = b.mad(x, b.constant(table.log2e), b.constant(table.round));
  const auto n = b.sub(t, b.constant(table.round));
  auto r = b.mad(n, b.constant(-table.ln2_high), x);
  r = b.mad(n, b.constant(-table.ln2_low), r);
  return {t, n, r};
}

template <class B>
constexpr bool has_scale(const B& b) {
  if constexpr (requires { b.has_scale(); }) return b.has_scale();
  return false;
}

/// p * 2^n with one rounding, also where the result is denormal: two powers of about n/2, of which the first product is exact.
template <class B>
typename B::V scale_by_powers(B& b, typename B::V p, typename B::V t) {
  const ExpTable& table = exp_table(b);
  const auto both = b.to_bits(t);
  const auto first = b.shift_right(both, 1);
  const auto second = b.isub(both, first);
  p = b.mul(p, b.from_bits(b.shift_left(first, table.fraction)));
  return b.mul(p, b.from_bits(b.shift_left(second, table.fraction)));
}

/// p * 2^n where p is about 1 or more. The two ways agree in every bit.
template <class B>
typename B::V scaled(B& b, typename B::V p, const Reduced<typename B::V>& at) {
  if constexpr (requires { b.scale(p, at.n); }) {
    if (has_scale(b)) return b.scale(p, at.n);
  }
  return scale_by_powers(b, p, at.t);
}

/// exp of x <= high, or NaN. The two ways to scale agree in every bit. A result that underflows costs about 240 cycles a vector on
/// Intel, with vscalefps even where it rounds to 0, and masked softmax is full of exp(-inf): so p is 0 there, and by powers x stops
/// at `low`, where both powers are 0. Results that are denormal stay slow. `rest`, when given, is added to x: a few of its last places.
template <class B>
typename B::V exp_below(B& b, typename B::V x, const typename B::V* rest = nullptr) {
  const ExpTable& table = exp_table(b);
  const auto one = b.constant(1);
  if (!has_scale(b)) x = b.max_of(b.constant(table.low), x);  // NaN is the second operand: it stays
  auto at = reduce(b, x);
  if (rest) at.r = b.add(at.r, *rest);
  const auto p = b.mad(b.mad(horner(b, table.c, at.r, table.count), at.r, one), at.r, one);
  if constexpr (requires { b.scale(p, at.n); }) {
    if (has_scale(b)) return b.scale(b.select(b.less(x, b.constant(table.zero_below)), b.constant(0), p), at.n);
  }
  return scale_by_powers(b, p, at.t);
}
template <class B>
typename B::V exp_of_sum(B& b, typename B::V x, typename B::V rest) {
  return exp_below(b, x, &rest);
}

template <class B>
typename B::V exp(B& b, typename B::V x) {
  return exp_below(b, b.min_of(b.constant(exp_table(b).high), x));
}

/// Near 0 the odd polynomial, else 1 - 2/(e + 1) with e = exp(2 |x|); past the limit that is 1 in the type.
template <class B>
typename B::V tanh(B& b, typename B::V x) {
  const bool narrow = b.bits() == 32;
  const ExpTable& table = exp_table(b);
  const auto one = b.constant(1), two = b.constant(2);
  const auto a = b.min_of(b.constant(narrow ? 9.125 : 19.125), abs(b, x));
  const auto z = b.mul(a, a);
  const auto q = narrow ? horner(b, tanh_f32, z) : horner(b, tanh_f64, z);
  const auto small = b.mad(b.mul(q, z), a, a);

  const auto at = reduce(b, b.add(a, a));
  auto p = b.mad(b.mad(horner(b, table.c, at.r, table.count), at.r, one), at.r, one);
  const auto exponent = b.shift_left(b.to_bits(at.t), table.fraction);  // n is 0 .. 56: one power suffices
  const auto excess = b.integer(static_cast<uint64_t>(table.shift - table.bias) << table.fraction);
  const auto e = b.mul(p, b.from_bits(b.isub(exponent, excess)));
  const auto large = b.sub(one, b.div(two, b.add(e, one)));
  return with_sign(b, b.select(b.less(b.constant(narrow ? 0.625 : 0.7), a), large, small), x);
}

/// 1/(1 + e) or e/(1 + e) with e = exp(-|x|): no overflow, and denormal results keep their bits.
template <class B>
typename B::V sigmoid(B& b, typename B::V x) {
  const auto one = b.constant(1);
  const auto negative = b.from_bits(b.ior(b.to_bits(x), b.integer(sign_bit(b))));
  const auto e = exp_below(b, negative);
  return b.div(b.select(b.less(x, b.constant(0)), e, one), b.add(one, e));
}

/// x = 2^k (1 + f), 1 + f in sqrt(1/2) .. sqrt(2).
template <class V>
struct Parts {
  V k, f;
};
template <class B>
Parts<typename B::V> split(B& b, const LogTable& table, typename B::V x) {
  const double integer = b.bits() == 32 ? 0x1p23 : 0x1p52;  // the value of integer_bits
  const auto tiny = b.less(x, b.constant(table.least_normal));
  x = b.select(tiny, b.mul(x, b.constant(table.widen)), x);
  const auto bias = b.select(tiny, b.constant(integer + table.bias + table.fraction), b.constant(integer + table.bias));
  const auto shifted = b.iadd(b.to_bits(x), b.integer(table.one - table.sqrt_half));
  const auto exponent = b.ior(b.shift_right(shifted, table.fraction), b.integer(table.integer_bits));
  const auto fraction = b.iand(shifted, b.integer((uint64_t{1} << table.fraction) - 1));
  const auto m = b.from_bits(b.iadd(fraction, b.integer(table.sqrt_half)));
  return {b.sub(b.from_bits(exponent), bias), b.sub(m, b.constant(1))};
}

/// log(x) + rest, where `rest` is about a last place of x; `plus` says whether there is one.
template <class B>
typename B::V log_plus(B& b, typename B::V x, typename B::V rest, bool plus = true) {
  const LogTable& table = b.bits() == 32 ? log_table_f32 : log_table_f64;
  const auto [k, f] = split(b, table, x);
  auto low = b.mul(k, b.constant(table.ln2_low));
  if (plus) low = b.add(low, rest);
  const auto square = b.mul(f, f);
  auto y = f;
  if (b.bits() == 32) {
    const auto w = b.mad(horner(b, log_f32, f), f, b.constant(-0.5));
    y = b.add(f, b.mad(square, w, low));
  } else {
    // With s = f/(2 + f), log(1 + f) = f - (h - s (h + z q)), h = f^2/2: the large term f is exact.
    const auto s = b.div(f, b.add(f, b.constant(2)));
    const auto z = b.mul(s, s);
    const auto h = b.mul(square, b.constant(0.5));
    const auto inner = b.mad(horner(b, log_f64, z), z, h);
    y = b.sub(f, b.sub(h, b.mad(s, inner, low)));
  }
  y = b.mad(k, b.constant(table.ln2_high), y);
  // 0 gives -inf, a negative number NaN; infinity and NaN give themselves.
  const auto zero = b.constant(0), infinity = b.constant(HUGE_VAL);
  const auto inside = b.both(b.less(zero, x), b.less(x, infinity));
  const auto below = b.select(b.less(x, zero), b.constant(std::bit_cast<double>(uint64_t{0x7ff8} << 48)), x);
  return b.select(inside, y, b.select(b.equal(x, zero), b.constant(-HUGE_VAL), below));
}

template <class B>
typename B::V log(B& b, typename B::V x) {
  return log_plus(b, x, x, false);
}

template <class B>
typename B::V rsqrt(B& b, typename B::V x) {
  return b.div(b.constant(1), b.sqrt(x));
}

/// NaN where either is NaN: min_of and max_of give the second operand then.
template <class B>
typename B::V min(B& b, typename B::V x, typename B::V y) {
  return b.select(b.is_nan(x), x, b.min_of(x, y));
}
template <class B>
typename B::V max(B& b, typename B::V x, typename B::V y) {
  return b.select(b.is_nan(x), x, b.max_of(x, y));
}

}  // namespace heddle::ir::math
