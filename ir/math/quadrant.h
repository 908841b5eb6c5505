// The reduction of any finite x by pi/2, in integers: x = m 2^e with 53 bits of m times the 192 bits of 2/pi that matter, as in
// Payne and Hanek's method. For arguments from 2^20 on; rare, so it is a branch. Compiled code has the same in LLVM's words
// (backend/host/emit_quadrant.cpp); being integer arithmetic up to one conversion, both give the same bits.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>

namespace heddle::ir::math {

// 2/pi as a binary fraction, after 64 zeros: bit k of the fraction has the weight 2^-k.
inline constexpr std::array<uint64_t, 22> two_over_pi_bits = {
    0x0000000000000000, 0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561,
    0xb7246e3a424dd2e0, 0x06492eea09d1921c, 0xfe1deb1cb129a73e, 0xe88235f52ebb4484, 0xe99c7026b45f7e41,
    0x3991d639835339f4, 0x9c845f8bbdf9283b, 0x1ff897ffde05980f, 0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7,
    0x4f463f669e5fea2d, 0x7527bac7ebe5f17b, 0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab,
    0xf0cfbc209af4361d, 0xa9e391615ee61b08};
inline constexpr uint64_t half_pi_bits = 0xc90fdaa22168c234;  // pi/2 2^63

struct FarQuadrant {
  double r;
  uint64_t q;
};

/// For 2^20 <= |x| < infinity; NaN for infinity and NaN. `r` is the nearest double but for 2^-9 of its last place.
inline FarQuadrant far_quadrant(double x) {
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  const int64_t exponent = static_cast<int64_t>(bits >> 52 & 0x7ff);
  if (exponent == 0x7ff || exponent < 1023) return {std::numeric_limits<double>::quiet_NaN(), 0};
  const uint64_t m = (bits & ((uint64_t{1} << 52) - 1)) | uint64_t{1} << 52;
  // Bits of weight below 2^(1 - e) make multiples of 4: the window of 192 bits begins at bit e - 1.
  const int64_t start = exponent - 1075 - 1 + 63;
  const auto word = static_cast<size_t>(start >> 6);
  const int shift = static_cast<int>(start & 63);
  const auto window = [&](size_t i) {
    return two_over_pi_bits[word + i] << shift | two_over_pi_bits[word + i + 1] >> 1 >> (63 - shift);
  };
  using Wide = unsigned __int128;
  // m * window, the upper 128 of its lowest 192 bits: in units of 2^-126 quadrants.
  const Wide product = (Wide{window(0) * m} << 64) + Wide{window(1)} * m + (Wide{window(2)} * m >> 64);
  const Wide rounded = product + (Wide{1} << 125);
  uint64_t q = static_cast<uint64_t>(rounded >> 126);
  Wide f = product << 2;  // the signed rest in units of 2^-128
  const bool below = static_cast<uint64_t>(f >> 127) != 0;
  if (below) f = -f;
  const auto high = static_cast<uint64_t>(f >> 64), low = static_cast<uint64_t>(f);
  const int zeros = high ? std::countl_zero(high) : 64 + (low ? std::countl_zero(low) : 0);
  const auto leading = static_cast<uint64_t>((f << zeros) >> 64);
  const auto scaled = static_cast<uint64_t>(Wide{leading} * half_pi_bits >> 65);  // of 62 or 63 bits: leading pi/2 / 4
  // The product's unit: 2^-128 * 2^(64 - zeros) * 2^(65 - 63) = 2^(-62 - zeros).
  const double unit = std::bit_cast<double>(static_cast<uint64_t>(1023 - 62 - zeros) << 52);
  double r = static_cast<double>(static_cast<int64_t>(scaled)) * unit;
  bool negative = below;
  if (bits >> 63) negative = !negative, q = 0 - q;
  return {negative ? -r : r, q & 3};
}

}  // namespace heddle::ir::math
