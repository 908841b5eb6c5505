// NKI text -> trace: runs the kernel's Python (loops, slices, integers) and collects its instructions, each checked against the
// rules that need no data. As the vendor's front end does, so the result depends on shapes and scalars, not on contents.
#pragma once

#include <map>
#include <variant>

#include "backend/neuron/simulator/machine.h"
#include "backend/neuron/simulator/syntax.h"
#include "backend/neuron/simulator/trace.h"

namespace heddle::neuron::sim {

struct SpecialiseLimits {
  int64_t instructions = 50'000;         ///< static ones; the vendor's limit is not public (inferred)
  int64_t run_instructions = 1'000'000;  ///< with the iterations of dynamic loops
  int64_t work = 30'000'000;             ///< expressions evaluated
  int64_t hbm_bytes = int64_t{2} << 30;  ///< a simulation with data holds them all
  int64_t tensors = 1'000'000;
};

struct ArrayType {
  Dtype dtype = Dtype::f32;
  std::vector<int64_t> shape;
};

/// Arguments in the order of the kernel's parameters.
using Argument = std::variant<ArrayType, int64_t, double>;

/// Those that are given by name; they are scalars.
using Scalars = std::map<std::string, std::variant<int64_t, double>>;

/// Throws Refused. `kernel` chooses one of several functions; empty when there is one with @nki.jit.
Trace specialise(const Text& text, const std::string& kernel, const std::vector<Argument>& arguments,
                 const Scalars& scalars, const Machine& machine, const SpecialiseLimits& limits);

}  // namespace heddle::neuron::sim
