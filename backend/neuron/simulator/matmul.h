// The product of the Tensor engine, fast enough to run whole matmuls.
#pragma once

#include <cstdint>

namespace heddle::neuron::sim {

/// sum[m, n] += a[k, m] * b[k, n], row-major, in fp32, k in order for each element.
void multiply_transposed(const float* a, const float* b, int64_t k, int64_t m, int64_t n, float* sum);

}  // namespace heddle::neuron::sim
