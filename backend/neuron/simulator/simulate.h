// The simulator of NKI texts: reads the text itself (never our own tree), holds it against the documented rules, computes it with
// the documented precision in a random legal order, and models its time. docs/neuron-model.md says what it knows and does not.
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "backend/neuron/simulator/report.h"
#include "ir/scalar_type.h"
#include "support/result.h"

namespace heddle::neuron::sim {

struct SimArray {
  ir::ScalarType type = ir::ScalarType::f32;
  std::vector<int64_t> extents;
  std::vector<unsigned char> bytes;  ///< row-major
};

using SimScalar = std::variant<int64_t, double>;
/// An argument: an array, or a run-time scalar.
using SimArgument = std::variant<SimArray, int64_t, double>;

struct SimulateOptions {
  std::string target = "neuron/trn2";             ///< trn1, trn2, trn3
  std::string kernel;                             ///< of several; empty: the only one
  std::map<std::string, SimScalar> scalars = {};  ///< by the parameter's name, for those not given in order
  uint64_t seed = 1;                              ///< of the random order
  bool shuffle = true;                            ///< else program order
  bool data = true;                               ///< else only rules and time; arrays may then be without bytes
  bool timeline = false;
  int64_t max_instructions = 50'000;  ///< unrolled
};

struct Simulation {
  std::vector<SimArray> outputs;  ///< in the order of `return`; without data their types and extents
  Report report;
};

/// Arguments in the order of the kernel's parameters; `name` is what diagnostics call the text.
Result<Simulation> simulate(std::string text, const std::string& name, const std::vector<SimArgument>& arguments,
                            const SimulateOptions& options = {});

}  // namespace heddle::neuron::sim
