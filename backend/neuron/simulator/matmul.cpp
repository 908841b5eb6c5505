#include "backend/neuron/simulator/matmul.h"

#include <algorithm>

namespace heddle::neuron::sim {

// Four rows of the result at a time share each load of `b`; blocks of 64 columns stay in registers and L1. Measured: 8.4 M
// products (one full instruction) in about 0.5 ms with AVX-512.
__attribute__((target_clones("avx512f", "avx2", "default"))) void multiply_transposed(const float* a, const float* b,
                                                                                      int64_t k, int64_t m, int64_t n,
                                                                                      float* sum) {
  constexpr int64_t block = 64;
  for (int64_t j = 0; j < n; j += block) {
    const int64_t width = std::min(block, n - j);
    int64_t i = 0;
    if (width == block)
      for (; i + 4 <= m; i += 4) {
        float s[4][block];
        for (int r = 0; r < 4; ++r)
          for (int64_t c = 0; c < block; ++c) s[r][c] = sum[(i + r) * n + j + c];
        for (int64_t q = 0; q < k; ++q) {
          const float* row = b + q * n + j;
          const float* left = a + q * m + i;
          for (int r = 0; r < 4; ++r) {
            const float x = left[r];
            for (int64_t c = 0; c < block; ++c) s[r][c] += x * row[c];
          }
        }
        for (int r = 0; r < 4; ++r)
          for (int64_t c = 0; c < block; ++c) sum[(i + r) * n + j + c] = s[r][c];
      }
    for (; i < m; ++i)
      for (int64_t q = 0; q < k; ++q) {
        const float x = a[q * m + i];
        for (int64_t c = 0; c < width; ++c) sum[i * n + j + c] += x * b[q * n + j + c];
      }
  }
}

}  // namespace heddle::neuron::sim
