// Random steps for a program as it stands: names of its own loops, stages and buffers, mostly in meaningful combinations.
#pragma once

#include <map>

#include "ir/program.h"
#include "ir/step_call.h"
#include "tests/fuzz/common/random.h"

namespace heddle::fuzz {

/// `dims`: the extents of the run, which `fix` must name to serve it.
ir::StepCall random_step(const ir::Program& program, const std::map<std::string, int64_t>& dims, Random& random);
/// The step as a line of a schedule.
std::string text_of(const ir::StepCall& call);

}  // namespace heddle::fuzz
