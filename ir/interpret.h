// The reference interpreter: runs any program with the parallelism that it claims (parallel loops in random order, vector loops
// in lock step, fresh memory poisoned) and is the oracle of every step and backend.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "ir/program.h"
#include "support/result.h"

namespace heddle::ir {

/// A dense row-major array, or a strided view of the caller's memory.
struct ArrayRef {
  ScalarType type = ScalarType::f32;
  std::vector<int64_t> extents;
  std::vector<int64_t> strides;  ///< in elements, one for each extent
  void* data = nullptr;
};

/// A run-time scalar by its bits: floats as double, integers as int64.
struct ScalarValue {
  double real = 0;
  int64_t integer = 0;
};

/// Arguments in the order of the program's parameters: `arrays` for the array ones, `scalars` for the scalar ones.
struct Arguments {
  std::vector<ArrayRef> arrays;
  std::vector<ScalarValue> scalars;
};

/// Values of all dims from the arguments' extents, in the order of `program.dims`; refuses ranks, types, extents that do not
/// unify, and requirements that do not hold, naming the argument.
Result<std::map<SymbolId, int64_t>> bind_dims(const Program& program, const Arguments& args);

enum class InterpretMode {
  typed,  ///< each operation in its own type, math by the host's polynomials: bit-equal to compiled code without `allow`
  bounded,  ///< in f64, with an error bound beside each value (docs/numerics.md)
};

struct InterpretOptions {
  InterpretMode mode = InterpretMode::typed;
  uint64_t seed = 1;       ///< of the random orders
  bool has_fma = true;     ///< of the target that the typed mode imitates
  int64_t max_leaves = 0;  ///< stop with a diagnostic after this many leaf instances; 0 = no limit
};

/// In bounded mode: for each written array (in parameter order, outputs and inouts), its f64 values and their bounds, row-major.
struct BoundedArray {
  std::vector<double> value, bound;
};

struct InterpretResult {
  std::vector<BoundedArray> bounded;  ///< bounded mode only
};

/// Runs the program on the arguments; outputs are written in place (in bounded mode rounded to their type). A failed `check`, a read of
/// poison, a read or write outside, or a cell written twice by racing iterations is a diagnostic.
Result<InterpretResult> interpret(const Program& program, const Arguments& args, const InterpretOptions& options = {});

}  // namespace heddle::ir
