// The math builder (ir/math.h) over native vectors, for measuring: `with_fma` picks the target's kind, `scalef` the AVX-512 scaling.
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "ir/math/quadrant.h"

#ifdef __AVX512F__
#include <immintrin.h>
#endif

namespace heddle::bench {

template <class F, int lanes, bool with_fma, bool scalef>
struct VectorBuilder {
  using Integer = std::conditional_t<sizeof(F) == 4, uint32_t, uint64_t>;
  using V = F __attribute__((ext_vector_type(lanes)));
  using I = Integer __attribute__((ext_vector_type(lanes)));
  using M = std::make_signed_t<Integer> __attribute__((ext_vector_type(lanes)));

  static constexpr int bits() { return 8 * sizeof(F); }
  static constexpr bool fma() { return with_fma; }
  auto wide() const { return VectorBuilder<double, lanes, with_fma, scalef>(); }
  auto widen(V x) const {
    return __builtin_convertvector(x, typename VectorBuilder<double, lanes, with_fma, scalef>::V);
  }
  V narrow(typename VectorBuilder<double, lanes, with_fma, scalef>::V x) const { return __builtin_convertvector(x, V); }
  void far_quadrant(M near, V x, V& r, I& q) const {
    if (__builtin_reduce_and(near)) return;
    for (int i = 0; i < lanes; ++i) {
      if (near[i]) continue;
      const ir::math::FarQuadrant far = ir::math::far_quadrant(x[i]);
      r[i] = static_cast<F>(far.r), q[i] = static_cast<Integer>(far.q);
    }
  }
  V constant(double value) const { return V(static_cast<F>(value)); }
  I integer(uint64_t value) const { return I(static_cast<Integer>(value)); }
  V add(V x, V y) const { return x + y; }
  V sub(V x, V y) const { return x - y; }
  V mul(V x, V y) const { return x * y; }
  V div(V x, V y) const { return x / y; }
  V mad(V x, V y, V z) const {
    if constexpr (with_fma) return __builtin_elementwise_fma(x, y, z);
    return x * y + z;
  }
  V sqrt(V x) const { return __builtin_elementwise_sqrt(x); }
  V floor(V x) const { return __builtin_elementwise_floor(x); }
  V ceil(V x) const { return __builtin_elementwise_ceil(x); }
  V round_even(V x) const { return __builtin_elementwise_roundeven(x); }
  V min_of(V x, V y) const { return x < y ? x : y; }
  V max_of(V x, V y) const { return x > y ? x : y; }
  M less(V x, V y) const { return x < y; }
  M equal(V x, V y) const { return x == y; }
  M is_nan(V x) const { return x != x; }
  M both(M x, M y) const { return x & y; }
  V select(M m, V x, V y) const { return m ? x : y; }
  I to_bits(V x) const { return __builtin_bit_cast(I, x); }
  V from_bits(I x) const { return __builtin_bit_cast(V, x); }
  I iadd(I x, I y) const { return x + y; }
  I isub(I x, I y) const { return x - y; }
  I iand(I x, I y) const { return x & y; }
  I ior(I x, I y) const { return x | y; }
  I shift_left(I x, int count) const { return x << I(static_cast<Integer>(count)); }
  I shift_right(I x, int count) const { return x >> I(static_cast<Integer>(count)); }

  V lookup(const std::array<double, 16>& table, I index) const {
#ifdef __AVX512F__
    if constexpr (sizeof(F) == 4 && sizeof(V) == 64) {
      V entries;
      for (int i = 0; i < lanes; ++i) entries[i] = static_cast<F>(table[static_cast<size_t>(i)]);
      return __builtin_bit_cast(
          V, _mm512_permutexvar_ps(__builtin_bit_cast(__m512i, index), __builtin_bit_cast(__m512, entries)));
    }
#endif
    V out;
    for (int i = 0; i < lanes; ++i) out[i] = static_cast<F>(table[index[i] & 15]);
    return out;
  }

#ifdef __AVX512F__
  static constexpr bool has_scale() { return scalef && sizeof(V) == 64; }
  V scale(V p, V n) const {
    if constexpr (sizeof(F) == 4 && sizeof(V) == 64) {
      return __builtin_bit_cast(V, _mm512_scalef_ps(__builtin_bit_cast(__m512, p), __builtin_bit_cast(__m512, n)));
    } else if constexpr (sizeof(V) == 64) {
      return __builtin_bit_cast(V, _mm512_scalef_pd(__builtin_bit_cast(__m512d, p), __builtin_bit_cast(__m512d, n)));
    } else {
      return p;
    }
  }
#endif
};

}  // namespace heddle::bench
