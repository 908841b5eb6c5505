// Programs from text, compiled and run beside the interpreter on random data: both must give the same bits.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "backend/host/codegen.h"
#include "ir/interpret.h"
#include "jit/engine.h"

namespace heddle::jit::testing {

/// Values of dims by name.
using Dims = std::map<std::string, int64_t>;

ir::Program program_of(const std::string& text);
/// The first op of a module: canonical, for the given element type of its generics; then its schedule, if named.
ir::Program program_of_op(const std::string& text, const std::string& op, ir::ScalarType type, const std::string& schedule,
                          const ir::Target& target, const std::map<std::string, int64_t>& tune = {});

struct Array {
  ir::ScalarType type = ir::ScalarType::f32;
  std::vector<int64_t> extents;
  std::vector<int64_t> strides;  ///< in elements
  std::vector<unsigned char> bytes;
  int64_t count() const;
  double at(int64_t i) const;  ///< of the i-th element in memory
};

/// Arguments for a program: inputs random (floats in -2 .. 2, integers small), outputs filled with a pattern.
std::vector<Array> arguments(const ir::Program& program, const Dims& dims, uint64_t seed, bool strided = false);

struct Outcome {
  int64_t status = 0;
  host::CheckReport report;
};
/// Compiles for the target and runs with `threads` claimed (parts run one after another), the arena fenced by a pattern.
Outcome run_compiled(const ir::Program& program, const ir::Target& target, const Dims& dims, std::vector<Array>& arrays,
                     const std::vector<ir::ScalarValue>& scalars = {}, int threads = 3, bool strided = false);

/// Interpreter (typed) = compiled, bit for bit (any NaN equals any NaN), on each target that this machine can run.
void expect_same(const ir::Program& program, const Dims& dims, const std::vector<ir::ScalarValue>& scalars = {}, uint64_t seed = 1);

}  // namespace heddle::jit::testing
