// Which outputs may stand in the memory of an input.
#pragma once

#include "ir/program.h"

namespace heddle::ir {

/// Whether the call gives the same answer when the output's array is the input's: each cell of the input is read only for the same cell
/// of the output, once, before that is written.
bool may_share_memory(const Program& program, BufferId input, BufferId output);

}  // namespace heddle::ir
