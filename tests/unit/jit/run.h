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
ir::Program program_of_op(const std::string& text, const std::string& op, ir::ScalarType type,
                          const std::string& schedule, const ir::Target& target,
                          const std::map<std::string, int64_t>& tune = {});

struct Array {
  ir::ScalarType type = ir::ScalarType::f32;
  std::vector<int64_t> extents;
  std::vector<int64_t> strides;  ///< in elements
  std::vector<unsigned char> bytes;
  int64_t count() const;
  double at(int64_t i) const;  ///< of the i-th element in memory
};

/// gentle: floats in -2 .. 2, small integers. wild: any bits, so every kind of number.
enum class Data { gentle, wild };
/// Arguments for a program, all of them random.
std::vector<Array> arguments(const ir::Program& program, const Dims& dims, uint64_t seed, bool strided = false,
                             Data data = Data::gentle);

struct Outcome {
  int64_t status = 0;
  host::CheckReport report;
  int shared = 0;  ///< regions that the threads had parts of
};

/// Machine code of a program. Its threads claim their parts one after another; the arena is fenced by a pattern.
class Built {
 public:
  Built(const ir::Program& program, const ir::Target& target, bool strided = false);
  bool ok() const { return kernel_ != nullptr; }
  Outcome run(const Dims& dims, std::vector<Array>& arrays, const std::vector<ir::ScalarValue>& scalars = {},
              int threads = 3, int64_t shared_from = 0) const;
  const host::Compiled& compiled() const { return compiled_; }

 private:
  const ir::Program& program_;
  Engine engine_;
  host::Compiled compiled_;
  std::shared_ptr<LoadedKernel> kernel_;
};

/// Interpreter (typed) = compiled, bit for bit (any NaN equals any NaN), on each target that this machine can run, for dense and
/// (unless said otherwise) strided arrays.
struct Cases {
  std::vector<Dims> dims;
  std::vector<ir::ScalarValue> scalars = {};
  std::vector<Data> data = {Data::gentle};
  bool strided = true;
};
void expect_same(const ir::Program& program, const Cases& cases);

}  // namespace heddle::jit::testing
