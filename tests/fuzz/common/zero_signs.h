// The sign of a zero that `max` or `min` gives is free (docs/numerics.md), and with it what is computed from it: 1 / min(0, -0) is one
// infinity or the other.
#pragma once

#include "ir/program.h"

namespace heddle::fuzz {

/// The program with each zero of `max` and `min` of floats a positive one, or a negative one: of operations, of terms of reductions, in
/// the lines of reducers.
ir::Program with_zeros_of_extrema(const ir::Program& program, bool negative);

}  // namespace heddle::fuzz
