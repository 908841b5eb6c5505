// Random bits without a state: the n-th number of a seed is a function of both, the same on every target, in any order.
//
// Philox4x32-10 of J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC11): the
// counter fills the low two words of the block, the seed is the key, and the first two words of the output are the number, low first.
#pragma once

#include <array>
#include <cstdint>

namespace heddle::ir {

inline constexpr const char* random_function = "random_bits";  ///< random_bits(seed: u64, counter: u64) -> u64

/// Written once for numbers and for machine code. Words are the low halves of 64-bit values V of a builder B:
///   V word(uint32_t), V multiply(V, V) (64 bits of two words), V exclusive_or(V, V), V low(V), V high(V), V add(V, V), V join(V low, V high)
template <class B, class V>
V philox(B& b, V seed, V counter) {
  std::array<V, 4> x{b.low(counter), b.high(counter), b.word(0), b.word(0)};
  V k0 = b.low(seed), k1 = b.high(seed);
  for (int round = 0; round < 10; ++round) {
    const V p0 = b.multiply(b.word(0xD2511F53), x[0]), p1 = b.multiply(b.word(0xCD9E8D57), x[2]);
    x = {b.exclusive_or(b.exclusive_or(b.high(p1), x[1]), k0), b.low(p1),
         b.exclusive_or(b.exclusive_or(b.high(p0), x[3]), k1), b.low(p0)};
    k0 = b.low(b.add(k0, b.word(0x9E3779B9)));
    k1 = b.low(b.add(k1, b.word(0xBB67AE85)));
  }
  return b.join(x[0], x[1]);
}

struct RandomBuilder {
  static uint64_t word(uint32_t v) { return v; }
  static uint64_t multiply(uint64_t x, uint64_t y) { return x * y; }
  static uint64_t exclusive_or(uint64_t x, uint64_t y) { return x ^ y; }
  static uint64_t low(uint64_t x) { return x & 0xFFFFFFFF; }
  static uint64_t high(uint64_t x) { return x >> 32; }
  static uint64_t add(uint64_t x, uint64_t y) { return x + y; }
  static uint64_t join(uint64_t low, uint64_t high) { return low | high << 32; }
};

inline uint64_t random_bits(uint64_t seed, uint64_t counter) {
  RandomBuilder b;
  return philox(b, seed, counter);
}

}  // namespace heddle::ir
