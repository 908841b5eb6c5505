// Questions about the index map of a buffer.
#pragma once

#include "ir/program.h"

namespace heddle::ir {

/// Whether cells share a place: a coordinate stands only under `%` (`fold_storage`), so a cell is gone once another of
/// its place is written. Nothing may be written that the program does not write.
bool folds(const Buffer& buffer);
/// Whether cells that differ along the dim may share a place: that they differ says nothing.
bool folds(const Buffer& buffer, size_t dim);
/// How many places there are along a dim that folds: cells less than that many apart have places of their own. 0: not known.
int64_t folded_places(const Buffer& buffer, size_t dim);

}  // namespace heddle::ir
