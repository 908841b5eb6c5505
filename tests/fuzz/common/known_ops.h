// Ops as people write them, at random types and sizes: what the generator's own stages do not add up to.
#pragma once

#include "tests/fuzz/common/op_generator.h"

namespace heddle::fuzz {

RandomOp known_op(Random& random);

}  // namespace heddle::fuzz
