// Sliding windows: what a serial loop needs of a stage again is kept from the iteration before.
#pragma once

#include <optional>

#include "schedule/nest.h"

namespace heddle::schedule {

/// The nest that computes, in each iteration of the serial loop right around it, only what the iterations before have
/// not: its loop over the one dim along which the box moves begins behind what is there, except in the first iteration.
/// Nothing where the boxes of two iterations do not overlap, or it cannot be shown what is there. The buffers must keep
/// their cells over the loop.
std::optional<ir::StmtRef> slid(const Step& step, const ProducerNest& nest, const ir::For& around);

}  // namespace heddle::schedule
