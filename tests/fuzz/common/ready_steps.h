// Steps for which a program is ready: those that need a setting (an allocation inside a loop, a loop of several statements, a nest of
// constant extent), at a place that has it. Random names rarely meet such a place.
#pragma once

#include <optional>

#include "ir/program.h"
#include "ir/step_call.h"
#include "tests/fuzz/common/random.h"

namespace heddle::fuzz {

/// Nothing where no place is ready for any of them. A step may still be refused.
std::optional<ir::StepCall> ready_step(const ir::Program& program, Random& random);
/// `rfactor .. with of` of a reduction whose reducer has a form for whole ranges; nothing where there is none.
std::optional<ir::StepCall> whole_range_step(const ir::Program& program, Random& random);

}  // namespace heddle::fuzz
