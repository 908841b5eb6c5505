// Pipelined loops: which statement belongs to which stage, and when iterations may overlap so.
#pragma once

#include <optional>

#include "schedule/step.h"
#include "schedule/tree.h"

namespace heddle::schedule {

/// The stage of each statement of the loop's body, of `count` stages. Statements that only fetch into what is allocated inside are of
/// the first, those that only take results out of it of the last; the others run just before the last, or are the last; allocs are of
/// the first stage that touches what they allocate. Nothing where there is but one kind, so that nothing would overlap.
std::optional<std::vector<int>> pipeline_stages(const ir::Program& program, const ir::For& loop, int count);

/// Statements of different stages touch no cell around the loop that one of them writes, and within an iteration each comes no
/// earlier than what it reads. `what`: how a refusal begins.
Result<Done> can_overlap(const Step& step, const ir::For& loop, const std::vector<int>& stage_of);

/// How many iterations hold what the body allocates: from the stage of its alloc to the last that touches it.
int copies_needed(const ir::Program& program, const ir::For& loop, const std::vector<int>& stage_of,
                  ir::BufferId buffer);

/// After another step: every pipeline of the program is still one.
Result<Done> pipelines_hold(const Step& step);

}  // namespace heddle::schedule
