// The whole-range form of a reducer as stages of a program: what `rfactor .. with of` makes of partial results.
#pragma once

#include "schedule/partial.h"

namespace heddle::schedule {

/// Stages `name.line`, one for each line of the form, each after its alloc; `fields` are the buffers of the state's fields, in the
/// order of the reducer.
struct WholeRange {
  ir::Body statements;
  Partial fields;
};
Result<WholeRange> whole_range(Step& step, const Reduction& r, const std::string& name);

}  // namespace heddle::schedule
