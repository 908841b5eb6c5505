// Tile registers as a memory with a capacity: 8 tiles of 16 rows of 64 bytes, and nowhere to spill to.
#pragma once

#include "schedule/step.h"

namespace heddle::schedule {

/// Every buffer in `tile` has a constant size, and no more than the machine's tiles are alive at once; else the refusal
/// names what is alive.
Result<Done> fits_tiles(const Step& step);

}  // namespace heddle::schedule
