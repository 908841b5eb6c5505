// Random ops as text: several stages, elementwise, stencils with `or`, reductions, products of matrices, over small symbolic dims.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ir/scalar_type.h"
#include "tests/fuzz/random.h"

namespace heddle::fuzz {

struct RandomOp {
  std::string text;  ///< one op named `f`
  ir::ScalarType type;
  std::map<std::string, int64_t> dims;  ///< an extent for each symbol
};

RandomOp random_op(Random& random);

}  // namespace heddle::fuzz
