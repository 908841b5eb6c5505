// Computes what a trace computes, in a random order that its dependences and in-order streams allow.
#pragma once

#include <memory>
#include <optional>

#include "backend/neuron/simulator/plan.h"

namespace heddle::neuron::sim {

/// The elements of one tensor while it is alive, and which of them have been written.
struct Store {
  std::vector<unsigned char> bytes;
  std::vector<unsigned char> written;  ///< of each element: 0 no, 1 yes, 2 yes and by a matmul; empty: all are
};

struct ExecuteOptions {
  uint64_t seed = 1;
  bool shuffle = true;  ///< else program order
  /// A fault to plant, for the test that orders show it: this kind of dependence is not waited for.
  std::optional<DependenceKind> forget = {};
};

/// `stores[i]` of a parameter holds its elements on entry, of an output on return. Throws Refused for what only data show:
/// reads of elements that nothing has written, activation functions outside their range, indices out of bounds.
void execute(const Trace& trace, const MemoryPlan& plan, const Machine& machine, const ExecuteOptions& options,
             std::vector<std::unique_ptr<Store>>& stores);

}  // namespace heddle::neuron::sim
