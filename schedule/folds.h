// Circular storage: when the iterations of a loop get on with a few slices of a buffer.
#pragma once

#include "schedule/step.h"
#include "schedule/tree.h"

namespace heddle::schedule {

struct Fold {
  ir::SymbolId loop;
  size_t dim;  ///< that moves upwards with the loop
};

/// The one loop that uses the buffers (the fields of a stage), behind their allocation, touches at most `slices` slices in an iteration,
/// and later ones never go back. Refused: another loop too, one that runs at once, more slices, no such dim.
Result<Fold> fold_of(const Step& step, const std::vector<ir::BufferId>& buffers, int64_t slices);

/// After another step: every folded buffer is still used so.
Result<Done> folds_hold(const Step& step);

}  // namespace heddle::schedule
