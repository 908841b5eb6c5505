// Whether iterations of one loop may run at the same time.
#pragma once

#include "ir/program.h"
#include "ir/prove.h"
#include "ir/region.h"

namespace heddle::ir {

/// Accesses of two iterations that may meet in a cell, one of them a write; empty when there are none. `at`: the facts around the
/// loop. Buffers that the body allocates are each iteration's own.
Diagnostics check_races(const Program& program, const For& loop, const Place& place, const Facts& at);

/// No cell is touched by `first` at one iteration of the loop and by `second` at a later one: both are accesses of the loop's body.
bool never_meet_later(const Program& program, const For& loop, const Facts& at, const Access& first,
                      const Access& second);

}  // namespace heddle::ir
