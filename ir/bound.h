// Loops bound to an axis of the machine: which of them run their iterations at the same time.
#pragma once

#include "ir/program.h"

namespace heddle::ir {

/// An axis of a tile on chip (`partition`, `free`), not an engine: on an engine iterations follow each other.
bool is_tile_axis(const std::string& axis);

/// Parallel and vector loops, and loops bound to an axis of a tile, except those that an open reduction of a leaf below runs over: the
/// machine combines these, and the region says how.
bool runs_at_once(const Program& program, const For& loop);

}  // namespace heddle::ir
