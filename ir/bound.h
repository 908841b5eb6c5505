// Loops bound to an axis of the machine: which of them run their iterations at the same time.
#pragma once

#include "ir/program.h"

namespace heddle::ir {

/// Parallel and vector loops, and loops bound to a hardware axis, except those that an open reduction of a leaf below runs over: the
/// machine combines these, and the region says how.
bool runs_at_once(const Program& program, const For& loop);

}  // namespace heddle::ir
