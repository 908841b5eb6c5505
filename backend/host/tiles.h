// Which of the machine's tile registers each buffer in `tile` has.
#pragma once

#include <map>

#include "ir/program.h"
#include "ir/target.h"

namespace heddle::host {

/// The first tile of each buffer. Empty unless all that touches tiles is machine code: instructions in tiles whose windows are whole
/// and begin a tile that is known once loops are unrolled, and reductions over whole buffers.
using TilePlan = std::map<ir::BufferId, int>;
TilePlan plan_tiles(const ir::Program& program, const ir::Target& target);

}  // namespace heddle::host
