// What every program obeys, checked after every step and pass in tests and in builds with HEDDLE_VERIFY.
#pragma once

#include "ir/program.h"

namespace heddle::ir {

/// The broken rules of a program (rows of the invariant table at the top of verify.cpp), empty when it is well-formed.
Diagnostics verify(const Program& program);

}  // namespace heddle::ir
